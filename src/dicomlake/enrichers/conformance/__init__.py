"""Conformance: what is wrong with the headers of series, by rules, as rows of `findings`.

rules   our rules: a name, a severity, a sentence and a function each
facts   what they need to know, counted for many series at once
site    rules of a site: questions in a file, and entry points of other packages
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dicomlake.contracts.enrichers import Enriched, Hardware, Subject, each
from dicomlake.enrichers.conformance import site
from dicomlake.enrichers.conformance.facts import facts_of
from dicomlake.enrichers.conformance.rules import RULES, Case, Fault, Rule, rule
from dicomlake.errors import UsageError
from dicomlake.lake import Store

__all__ = ["RULES", "Case", "ConformanceEnricher", "Fault", "Rule", "rule"]


class ConformanceEnricher:
    """What is wrong with the headers of series: against the Standard, or with themselves.

    Option `rules`: a YAML file of questions, from the folder of the lake.
    """

    name = "conformance"
    about = "Faults of headers: against the Standard, impossible, contradicting, odd for a device."
    version = "1"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ("finding",)
    after: tuple[str, ...] = ("codes", "hounsfield", "totalsegmentator")
    hardware: Hardware = "cpu"
    at_once = 2000

    def __init__(
        self, lake: Path, options: Mapping[str, str], *, more: Sequence[Rule] | None = None
    ) -> None:
        options = dict(options)
        file = options.pop("rules", "")
        if options:
            raise UsageError(
                f"The enricher conformance has no option {sorted(options)[0]!r}, only rules."
            )
        self._lake = lake
        self._asked, digest = site.read(lake / file) if file else ((), "")
        self._rules = (*RULES, *(site.installed() if more is None else more))
        names = sorted({one.name for one in self._rules})
        known = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
        self.model = f"{len(names)} rules {known}" + (f"; {Path(file).name} {digest}" * bool(file))
        self._store: Store | None = None
        self._met: dict[str, frozenset[str]] = {}

    def where(self) -> str:
        """Every series."""
        return "true"

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """The faults of each series; done without a row where there is none."""
        store = self._snapshot(subjects)
        with store.database() as db:
            facts = facts_of(db, [subject.number for subject in subjects])

        def say(subject: Subject) -> Enriched:
            case = Case(subject, facts[subject.number])
            found = [row for one in self._rules for row in one.rows(case)]
            uid = str(subject.series["SeriesInstanceUID"])
            found += [one.row() for one in self._asked if uid in self._met[one.name]]
            return Enriched(findings=found)

        return each(subjects, say)

    def close(self) -> None:
        """Let the lake go."""
        self._store = None

    def _snapshot(self, subjects: Sequence[Subject]) -> Store:
        """The lake as it is now; questions of the site are asked again when it has changed."""
        fresh = Store(self._lake)
        if self._store is None or self._is_older(self._store, subjects):
            self._store = fresh
            self._met = site.met(fresh, self._asked) if self._asked else {}
        return self._store

    def _is_older(self, store: Store, subjects: Sequence[Subject]) -> bool:
        with store.database() as db:
            newest = db.sql("select coalesce(max(series_id), 0) from series").fetchall()[0][0]
        return any(subject.number > newest for subject in subjects)
