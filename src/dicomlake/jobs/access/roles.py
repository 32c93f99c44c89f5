"""Roles and what each of them may do: the one table, and nothing is allowed that is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class May(StrEnum):
    """What a route of the service needs its caller to be allowed."""

    OPEN = "open"
    """Nothing: also those who did not sign in."""
    ENTER = "enter"
    """To be somebody: who one is, schemas, signing out."""
    COUNT = "count"
    """Vocabulary and counts."""
    READ = "read"
    """Rows of series, studies, headers, images, exports."""
    SQL = "sql"
    """Any SELECT over the tables."""
    WATCH = "watch"
    """What goes on: status, sources, failures, metrics."""
    FETCH = "fetch"
    """Asking archives for studies, and the documents of what came."""
    STORE = "store"
    """Storing objects."""
    OPERATE = "operate"
    """Pausing, trying, retrying and cancelling."""
    AUDIT = "audit"
    """The audit log."""
    USAGE = "usage"
    """How the whole lake is used: who opens studies by role, and how soon."""
    CURATE = "curate"
    """Cohorts: freezing, including and excluding, splitting, asking for approval."""
    EXPORT = "export"
    """Datasets: making them, and seeing which were made."""
    RELEASE = "release"
    """Approving cohorts, withdrawing patients from them, and closing alarms of dose."""
    REIDENTIFY = "reidentify"
    """Whose pseudonym it is."""
    ERASE = "erase"
    """Erasing patients."""
    FEDERATE = "federate"
    """Asking studies of a federation: masked counts, and datasets that are made here."""


class Role(StrEnum):
    """What somebody is for the service."""

    partner = "partner"
    viewer = "viewer"
    researcher = "researcher"
    steward = "steward"
    admin = "admin"


_VIEWER = frozenset((May.OPEN, May.ENTER, May.COUNT))
_RESEARCHER = _VIEWER | {May.READ, May.SQL, May.USAGE, May.CURATE, May.EXPORT}
_STEWARD = _RESEARCHER | {
    May.WATCH,
    May.FETCH,
    May.STORE,
    May.AUDIT,
    May.RELEASE,
    May.FEDERATE,
}
ALLOWED = {
    Role.partner: frozenset((May.OPEN, May.ENTER, May.FEDERATE)),
    Role.viewer: _VIEWER,
    Role.researcher: _RESEARCHER,
    Role.steward: _STEWARD,
    Role.admin: _STEWARD | {May.OPERATE, May.REIDENTIFY, May.ERASE},
}
"""What each role may do."""
WHOLE = frozenset((May.SQL, May.WATCH, May.FETCH, May.STORE, May.OPERATE, May.AUDIT)) | {
    May.USAGE,
    May.EXPORT,
    May.RELEASE,
    May.REIDENTIFY,
    May.ERASE,
}
"""What only those may do who see the whole lake: no filter can be put into these."""
DEIDENTIFIED = frozenset((May.OPEN, May.ENTER, May.COUNT, May.READ, May.SQL))
"""All that those may do who see the lake de-identified: what is asked of the view of the lake."""
MASKED = frozenset((Role.partner, Role.viewer))
"""Roles that see counts of few patients masked, and no value that identifies anybody."""


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who calls the service.

    `project`: the one whose series are seen, "" for none, which is the whole lake; `how`: what
    vouches for the name, such as "token 3f2a"; `projects`: those that can be chosen from.
    """

    name: str
    role: Role
    project: str = ""
    how: str = ""
    projects: tuple[str, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether counts of few patients are masked."""
        return self.role in MASKED


LOCAL = Who("local", Role.admin, how="this machine")
"""Everybody who reaches a service that is open, on this machine alone."""


def may(who: Who | None, what: May, *, filtered: bool, deidentified: bool = False) -> bool:
    """Whether somebody may do something; `filtered`: the project has a filter.

    `deidentified`: they see the lake de-identified.

    >>> may(Who("ann", Role.viewer), May.READ, filtered=False), may(None, May.OPEN, filtered=False)
    (False, True)
    """
    if who is None:
        return what is May.OPEN
    if deidentified and what not in DEIDENTIFIED:
        return False
    return what in ALLOWED[who.role] and not (filtered and what in WHOLE)
