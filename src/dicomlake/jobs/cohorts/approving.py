"""Requests to use a version of a cohort, and what stewards decide about them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.cohorts import keeping
from dicomlake.lake import Store

_DAY_S = 86_400.0
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Request:
    """A request of somebody for a version, and what was decided.

    `n`: its line of the log, which names it; `valid_until`: the last day, ISO, "" for no end;
    `state`: open, approved, refused or withdrawn, by whom, when and why.
    """

    n: int
    version: int
    by: str
    at: float
    purpose: str
    ethics: str = ""
    profile: str = ""
    valid_until: str = ""
    state: str = "open"
    decided_by: str = ""
    decided_at: float = 0.0
    comment: str = ""

    def over(self, now: float) -> bool:
        """Whether its last day has gone by, in UTC."""
        if not self.valid_until:
            return False
        last = datetime.combine(date.fromisoformat(self.valid_until), datetime.min.time(), UTC)
        return now >= last.timestamp() + _DAY_S

    def approved(self, now: float) -> bool:
        """Whether it lets the cohort be used."""
        return self.state == "approved" and not self.over(now)


def request(
    lake: str | Path | Store,
    name: str,
    purpose: str,
    *,
    ethics: str = "",
    profile: str = "",
    valid_until: str = "",
    by: str = "",
) -> Request:
    """Ask stewards to approve a version, "NAME" or "NAME@3", for a purpose.

    `ethics`: number of the vote; `profile`: of de-identification that is meant; `valid_until`: a
    day such as 2027-12-31. UsageError for a day that is none or gone, or a missing purpose.
    """
    called, number = keeping.split_name(name)
    store = keeping.store_of(lake)
    if not purpose.strip():
        raise UsageError("Say what for. On the command line: --purpose TEXT")
    if any(len(text) > _LONGEST for text in (purpose, ethics, profile)):
        raise UsageError(f"Keep it short: up to {_LONGEST:,} characters each.")
    about: dict[str, Any] = {
        "version": keeping.read(store.path, called, number).version,
        "purpose": purpose.strip(),
        "ethics": ethics.strip(),
        "profile": profile.strip(),
        "valid_until": _day(valid_until.strip()),
    }
    with keeping.changing(store.path):
        entry = keeping.note(store.path, called, "request", by, about)
    return Request(entry.n, by=by, at=entry.at, **about)


def _day(text: str) -> str:
    if not text:
        return ""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text[:40]!r} is no day. Write it as 2027-12-31.") from error
    if day < datetime.now(UTC).date():
        raise UsageError(f"{day} is gone. Name a day to come, or leave it out.")
    return day.isoformat()


def requests(lake: Path, name: str) -> list[Request]:
    """All requests for versions of a cohort, oldest first."""
    found: dict[int, Request] = {}
    for entry in keeping.log(lake, name):
        if entry.what == "request":
            found[entry.n] = Request(entry.n, by=entry.by, at=entry.at, **entry.about)
        elif entry.what in _STATES and entry.about["request"] in found:
            found[entry.about["request"]] = replace(
                found[entry.about["request"]],
                state=_STATES[entry.what],
                decided_by=entry.by,
                decided_at=entry.at,
                comment=entry.about["comment"],
            )
    return list(found.values())


_STATES = {"approve": "approved", "refuse": "refused"}


def judge(
    lake: str | Path | Store,
    name: str,
    what: str,
    *,
    n: int | None = None,
    comment: str = "",
    by: str = "",
    own: bool = False,
) -> Request:
    """Approve or refuse a request, the newest one of the version unless `n` names another one.

    What is approved may be refused later, which ends it. `own`: also one's own request. NotAllowed
    for one's own; UsageError when there is no request, or a refusal without a comment.
    """
    if what not in _STATES:
        raise UsageError(f"{what!r} decides nothing. Use approve or refuse.")
    called, number = keeping.split_name(name)
    store = keeping.store_of(lake)
    with keeping.changing(store.path):
        version = keeping.read(store.path, called, number).version
        asked = [one for one in requests(store.path, called) if n in (None, one.n)]
        wanted = [one for one in asked if n is not None or one.version == version]
        if not wanted:
            raise UsageError(
                f"Nobody asked for version {version} of {called}. Ask with: dicomlake cohort "
                f"request {called} --purpose TEXT"
            )
        last = wanted[-1]
        if what == "approve" and last.by == by and not own:
            raise NotAllowed("This is your own request. Another steward has to approve it.")
        if what == "approve" and last.over(time.time()):
            raise UsageError("The last day of this request has gone by. Make a new one.")
        if what == "refuse" and not comment.strip():
            raise UsageError("Say why: who asked has to understand it. --comment TEXT")
        if last.state == _STATES[what]:
            raise UsageError(f"The request is {last.state} already.")
        about: dict[str, Any] = {"request": last.n, "comment": comment.strip()}
        entry = keeping.note(store.path, called, what, by, about)
    return replace(
        last,
        state=_STATES[what],
        decided_by=by,
        decided_at=entry.at,
        comment=about["comment"],
    )  # fmt: skip
