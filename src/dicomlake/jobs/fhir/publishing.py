"""Publishing: what the lake holds is on a FHIR server as it is here, and stays so.

Only what changed is sent. Which studies may have changed follows from two versions of the lake;
which of their resources did, from digests of what was sent last. It may be killed at any time:
what was sent but not noted is sent again, which changes nothing on the other side.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dicomlake import tables
from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.sinks import Change, Done, Ref, Sink, refs_of
from dicomlake.errors import DicomlakeError, LakeError, Refused, ServiceError, UsageError
from dicomlake.jobs.fhir.published import AGAIN, DEAD, KEPT, MARKED, About, Known, Published
from dicomlake.lake import Store
from dicomlake.lake.database import connect
from dicomlake.lake.store import REWRITTEN
from dicomlake.settings import FhirTarget

log = logging.getLogger(__name__)

BLOCK = 2000
"""Resources that are looked at together."""
STUDIES = 200
"""Studies that are published together when they changed."""
LOOK_EVERY_S = 5.0
"""So often it is looked whether the lake has a newer version."""
LONGEST_S = 300.0
"""The longest back-off, unless the other side asks for more."""
_MARKS: dict[str, dict[str, Any]] = {
    "ImagingStudy": {"status": "cancelled"},
    "Observation": {"status": "entered-in-error"},
    "DiagnosticReport": {"status": "entered-in-error"},
    "DocumentReference": {"status": "entered-in-error"},
    "ImagingSelection": {"status": "entered-in-error"},
    "Device": {"status": "entered-in-error"},
    "Endpoint": {"status": "entered-in-error"},
    "Patient": {"active": False},
    "BodyStructure": {"active": False},
}
"""What says of a resource that it does not count any more."""
_LAST = """Provenance DiagnosticReport DocumentReference Observation ImagingSelection ImagingStudy
BodyStructure Endpoint Device Practitioner Organization Patient""".split()
"""The order of deleting: what points at others goes before them."""


class Made(Protocol):
    """A resource as it is made of the lake; `digest` is of its content."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def id(self) -> str:
        """Its id, which is always the same."""

    @property
    def key(self) -> tuple[str, str] | None:
        """System and value of an identifier of its own."""

    @property
    def resource(self) -> dict[str, Any]:
        """The resource."""

    @property
    def study_key(self) -> int | None:
        """The study that it hangs on; None when others share it."""

    @property
    def patient_key(self) -> int | None:
        """The patient that it is about."""

    @property
    def digest(self) -> str:
        """What tells its content from another one."""


class Making(Protocol):
    """Makes resources of a snapshot of the lake."""

    def all(
        self, progress: Progress | None = None, types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """Resources of all studies, of some types or of all."""

    def of_studies(
        self, study_keys: Sequence[int], types: Iterable[str] | None = None
    ) -> Iterator[Made]:
        """What hangs on some studies, with what they point at."""


@dataclass(slots=True)
class Report:
    """What a run of publishing did: resources by what became of them."""

    sent: int = 0
    same: int = 0
    refused: int = 0
    gone: int = 0
    everything: bool = False
    version: int = 0
    seconds: float = 0.0
    by_type: Counter[str] = field(default_factory=Counter)


class Publisher:
    """Publishes a lake to one target; used by one thread.

    `make` makes resources of a store at its version; `narrow` gives the part of a store that is
    published; `wait` waits some seconds, for tests.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        settings: FhirTarget,
        make: Callable[[Store], Making],
        sink: Sink,
        published: Published,
        *,
        narrow: Callable[[Store], Store] = lambda store: store,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store, self.name, self.settings = store, name, settings
        self._make, self._sink, self.published = make, sink, published
        self._narrow, self._part, self._part_of = narrow, store, -1
        self._progress = progress or Silent()
        self._clock, self._sleep = clock, wait
        self._report = Report()
        self._stop: Callable[[], bool] = lambda: False

    # One run

    def push(self, *, everything: bool = False, again: bool = False, only: bool = False) -> Report:
        """Publish what changed since the last run, or look at everything; what was done.

        `again`: send all resources, also those that did not change. `only`: publish what the part
        of the lake holds that is narrowed to, and leave all else there as it is. ServiceError when
        the other side stays away: the same call goes on from there.
        """
        began = time.monotonic()
        self._report = Report()
        self.store.refresh()
        self._check_place()
        if again:
            self.published.send_again()
        if only:
            self._each(self.published.next_run())
        elif everything or again or not self._changed():
            self._all()
        else:
            while studies := self.published.waiting(self._clock(), STUDIES):
                self._studies(studies)
        self._report.version = self.store.version
        self._report.seconds = time.monotonic() - began
        return self._report

    def retry(self) -> int:
        """Let what was refused be sent by the next run; how many resources."""
        found, all_ = self.published.revive()
        if all_:
            self.published.note(base=None)
        return found

    def follow(self, stop: Callable[[], bool]) -> None:
        """Publish what comes until `stop`, each study once nothing more of it came for a while."""
        self._stop = stop
        failures, looked = 0, 0.0
        while not stop():
            try:
                if time.monotonic() - looked >= LOOK_EVERY_S or not looked:
                    self.look()
                    looked = time.monotonic()
                if not self.turn():
                    self._pause(min(LOOK_EVERY_S, 0.2 + self.settings.quiet_s / 4))
                failures = 0
            except KeyboardInterrupt:
                return
            except (ServiceError, LakeError, OSError) as error:
                failures += 1
                why = str(error) if isinstance(error, DicomlakeError) else error.strerror
                log.warning("publishing waits", extra={"target": self.name, "why": why})
                with suppress(KeyboardInterrupt):
                    self._pause(_back_off(failures))

    def look(self) -> None:
        """Look which studies changed in the lake; all is published when that cannot be told."""
        self.store.refresh()
        self._check_place()
        if not self._changed():
            self._all()

    def turn(self) -> bool:
        """Publish some studies that did not change any more; whether there were any."""
        studies = self.published.waiting(self._clock() - self.settings.quiet_s, STUDIES)
        if studies:
            self._studies(studies)
        return bool(studies)

    # Which studies

    def _seen(self) -> Store:
        """The part of the lake that is published, at the version that is looked at."""
        if self._part_of != self.store.version:
            self._part, self._part_of = self._narrow(self.store), self.store.version
        return self._part

    def _check_place(self) -> None:
        """What was published elsewhere is not here."""
        place = hashlib.sha256(self.settings.url.rstrip("/").encode()).hexdigest()[:16]
        known = self.published.noted("place")
        if known is None:
            self.published.note(place=place)
        elif known != place:
            raise UsageError(
                f"The url of {self.name} is another one than that which was published to. Give the "
                f"target a new name, or remove {self.published.path} to begin anew there."
            )

    def _changed(self) -> bool:
        """Let studies wait that changed since the last look; False when that cannot be told."""
        base, here = self.published.noted("base"), self._here()
        if base is None or base["how"] != here["how"]:
            return False
        if base == here:
            return True
        try:
            if self._rewritten(base["children"]):
                return False
            studies = changed_studies(self.store, base["series"], base["enrichment"])
        except LakeError as error:
            log.info("everything is looked at", extra={"target": self.name, "why": str(error)})
            return False
        self.published.wait(studies, self._clock())
        self.published.note(base=here)
        return True

    def _here(self) -> dict[str, Any]:
        """What is looked at now: versions of the lake, and how resources are made."""
        told = self.settings.model_dump(mode="json", include=_MAKING)
        return {
            "series": self.store.version,
            "children": {n: int(self.store.table(n).version()) for n in tables.CONTENTS},
            "enrichment": _last_enrichment(self.store),
            "how": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16],
        }

    def _rewritten(self, children: dict[str, int]) -> bool:
        """Whether a job changed rows of series that stay as they are."""
        for name, version in children.items():
            table = self.store.table(name)
            newer = int(table.version()) - version
            entries = table.history(newer) if newer > 0 else ()
            if any(REWRITTEN in e and e["version"] > version for e in entries):
                return True
        return False

    # Sending

    def _all(self) -> None:
        """Publish everything, and take away what the lake has no more."""
        self._report.everything = True
        run, here, began = self.published.next_run(), self._here(), self._clock()
        self._each(run)
        for type_ in sorted(self.published.counts(), key=_rank):
            for vanished in self.published.others(run, type_):
                self._remove(vanished, run)
        self.published.note(base=here, full=self._clock())
        self.published.served(self.published.waiting(began, 1 << 40), began)

    def _each(self, run: int) -> None:
        """Publish every resource of the part of the lake that is seen."""
        self._progress.stage(f"publishing to {self.name}", None, "resources")
        self._blocks(self._make(self._seen()).all(), run)

    def _blocks(self, resources: Iterator[Made], run: int) -> None:
        block: list[Made] = []
        for made in resources:
            block.append(made)
            if len(block) >= BLOCK:
                self._publish(block, run)
                block = []
        self._publish(block, run)

    def _studies(self, studies: list[int]) -> None:
        """Publish some studies as they are now, and take away what they have no more."""
        run, began = self.published.next_run(), self._clock()
        people = self.published.patients_of(studies)
        self._blocks(self._make(self._seen()).of_studies(studies), run)
        self._remove(self.published.of_studies(studies, run), run)
        lost = people - patients_there(self._seen(), people)
        self._remove(self.published.people(lost), run)
        self.published.served(studies, began)

    def _publish(self, block: list[Made], run: int) -> None:
        """Send what changed among some resources."""
        self._check()
        unique = {(made.type, made.id): made for made in block}
        known = self.published.known(unique)
        changed = {ref: m for ref, m in unique.items() if self._differs(m, known.get(ref))}
        self.published.touch((ref for ref in unique if ref in known), run)
        self._report.same += len(unique) - len(changed)
        if changed:
            about = {r: (m.digest, m.study_key, m.patient_key) for r, m in changed.items()}
            changes = [self._change(m, known.get(ref)) for ref, m in changed.items()]
            self._send(in_order(changes), about, run)
        self._progress.advance(len(unique))

    def _differs(self, made: Made, known: Known | None) -> bool:
        if known is None or known.state in (AGAIN, MARKED):
            return True
        if known.state == DEAD and not known.status:  # what it points at may be there by now
            return True
        return known.digest != made.digest

    def _change(self, made: Made, known: Known | None) -> Change:
        there, ours = (known.there, known.ours) if known else ("", True)
        return Change(made.type, made.id, made.resource, made.key, there, ours)

    def _send(
        self,
        changes: list[Change],
        about: dict[Ref, About],
        run: int,
    ) -> list[Done]:
        """Make changes on the other side, again and again while it is away."""
        inside = {change.ref for change in changes}
        pointed = {ref for c in changes if c.resource for ref in refs_of(c.resource)}
        there = self.published.there(pointed - inside)
        left = {change.ref: change for change in changes}
        finished: list[Done] = []
        failures = 0
        while left:
            done: list[Done] = []
            try:
                for one in self._sink.push(list(left.values()), there):
                    done.append(one)
                    if len(done) >= self.settings.entries:
                        self._note(done, about, run)
                        finished += done
                        left, there, done = _less(left, done), _more(there, done), []
                        failures = 0
                        self._check()
                self._note(done, about, run)
                finished += done
                return finished
            except Refused as error:
                self._note(done, about, run)
                finished += done
                failures = 1 if done else failures + 1
                left, there = _less(left, done), _more(there, done)
                if failures >= self.settings.attempts:
                    raise ServiceError(
                        f"{error} What is left ({len(left):,} of these resources) is sent by the "
                        f"same command: dicomlake fhir push {self.name}"
                    ) from error
                log.warning("target away", extra={"target": self.name, "why": str(error)})
                self._pause(max(error.wait_s, _back_off(failures)))
        return finished

    def _note(self, done: list[Done], about: dict[Ref, About], run: int) -> None:
        """Remember what became of changes."""
        if not done:
            return
        self.published.record([one for one in done if one.change.resource is not None], about, run)
        gone = [one for one in done if one.change.resource is None]
        self.published.forget(one.change.ref for one in gone if not one.refused)
        self.published.record([one for one in gone if one.refused], about, run)
        for one in done:
            if one.refused:
                self._report.refused += 1
                log.warning(
                    "resource refused",
                    extra={"target": self.name, "type": one.change.type, "why": one.refused},
                )
            elif one.change.resource is None:
                self._report.gone += 1
            else:
                self._report.sent += 1
                self._report.by_type[one.change.type] += 1

    # What vanished

    def _remove(self, vanished: Iterable[Known], run: int) -> None:
        """Delete, mark or keep on the other side what the lake has no more."""
        listed = sorted(vanished, key=lambda one: (_rank(one.type), one.id))
        if not listed:
            return
        foreign = [one.ref for one in listed if not one.ours or not one.there]
        self.published.forget(foreign)
        ours = [one for one in listed if one.ours and one.there]
        if self.settings.vanished == "keep":
            self.published.put_aside([one.ref for one in ours], KEPT)
        elif self.settings.vanished == "mark":
            self._mark(ours, run)
        else:
            self._delete(ours, run)

    def _delete(self, ours: list[Known], run: int) -> None:
        """Delete; what others still pointed at is tried once more after them."""
        about = {one.ref: ("", one.study, one.patient) for one in ours}
        changes = [Change(*one.ref, None, None, one.there) for one in ours]
        done = self._send(changes, about, run)
        held = [one.change for one in done if one.status == 409]
        if held and len(held) < len(changes):
            self._report.refused -= len(held)
            self._send(held, about, run)

    def _mark(self, ours: list[Known], run: int) -> None:
        about = {one.ref: ("", one.study, one.patient) for one in ours}
        changes = []
        for one in ours:
            mark = _MARKS.get(one.type)
            found = self._read(one) if mark else None
            if mark and found is not None:
                meta = found.get("meta", {})
                found["meta"] = {n: v for n, v in meta.items() if n in ("profile", "tag")}
                changes.append(Change(*one.ref, {**found, "id": one.id, **mark}, None, one.there))
        there = {ref: ref[1] for c in changes if c.resource for ref in refs_of(c.resource)}
        self._marked(changes, about, there, run)
        self.published.put_aside([one.ref for one in ours], MARKED)

    def _marked(
        self, changes: list[Change], about: dict[Ref, Any], there: dict[Ref, str], run: int
    ) -> None:
        """Send marks; what they point at is named as on the other side already."""
        for change in changes:
            for attempt in range(1, self.settings.attempts + 1):
                try:
                    self._note(list(self._sink.push([change], there)), about, run)
                    break
                except Refused as error:
                    if attempt == self.settings.attempts:
                        raise
                    self._pause(max(error.wait_s, _back_off(attempt)))

    def _read(self, one: Known) -> dict[str, Any] | None:
        for attempt in range(1, self.settings.attempts):
            try:
                return self._sink.read(one.type, one.there)
            except Refused as error:
                self._pause(max(error.wait_s, _back_off(attempt)))
        return self._sink.read(one.type, one.there)

    # Waiting

    def _check(self) -> None:
        """KeyboardInterrupt once somebody asked to stop."""
        if self._progress.cancelled or self._stop():
            raise KeyboardInterrupt

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than somebody wants to."""
        while seconds > 0:
            self._check()
            self._sleep(min(seconds, 0.2))
            seconds -= 0.2
        self._check()


_MAKING = {"release", "profile", "query", "level", "pseudonyms"}


def _rank(type_: str) -> int:
    return _LAST.index(type_) if type_ in _LAST else 0


def _back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return float(min(LONGEST_S, 0.5 * 2.0**failures)) * random.uniform(0.5, 1.0)


def _less(left: dict[Ref, Change], done: Sequence[Done]) -> dict[Ref, Change]:
    over = {one.change.ref for one in done}
    return {ref: change for ref, change in left.items() if ref not in over}


def _more(there: dict[Ref, str], done: Sequence[Done]) -> dict[Ref, str]:
    return there | {one.change.ref: one.there for one in done if not one.refused}


def in_order(changes: Sequence[Change]) -> list[Change]:
    """Changes in an order in which nothing points at what comes later, else as they come.

    >>> a = Change("ImagingStudy", "1", {"subject": {"reference": "Patient/2"}})
    >>> [c.type for c in in_order([a, Change("Patient", "2", {})])]
    ['Patient', 'ImagingStudy']
    """
    by_ref = {change.ref: change for change in changes}
    ordered: dict[Ref, Change] = {}
    for first in changes:
        stack: list[tuple[Change, Iterator[Ref]]] = []
        seen: set[Ref] = set()
        if first.ref not in ordered:
            stack.append((first, refs_of(first.resource)))
            seen.add(first.ref)
        while stack:
            change, rest = stack[-1]
            below = next(
                (r for r in rest if r in by_ref and r not in ordered | dict.fromkeys(seen)), None
            )
            if below is None:
                ordered[change.ref] = change
                stack.pop()
            else:
                seen.add(below)
                stack.append((by_ref[below], refs_of(by_ref[below].resource)))
    return list(ordered.values())


# What changed in the lake


def changed_studies(store: Store, version: int, enrichment: int) -> set[int]:
    """Studies with series that came, went or were enriched since an older version of the lake.

    LakeError when that version cannot be read any more.
    """
    new, old = set(store.paths("series")), set(store.paths_at("series", version))
    if not all(Path(path).exists() for path in old):
        raise LakeError(f"Files of version {version} of series are gone.")
    with connect() as db:
        for name, paths in (("came", new - old), ("went", old - new)):
            _ids(db, name, sorted(paths))
        found = db.execute(
            "select distinct study_key from ((from came except from went) union all "
            "(from went except from came))"
        ).fetchall()
        studies = {row[0] for row in found}
        store.show(db, "enrichments", "made")
        store.show(db, "series", "here")
        enriched = db.execute(
            "select distinct study_key from here where series_id in "
            "(select series_id from made where enrichment_id > ?)",
            [enrichment],
        ).fetchall()
    return studies | {row[0] for row in enriched}


def _ids(db: Any, name: str, paths: list[str]) -> None:
    """A table of the series and studies in some files."""
    db.execute(f"create temp table {name} (series_id bigint, study_key bigint)")
    if paths:
        db.execute(f"insert into {name} select series_id, study_key from read_parquet(?)", [paths])


def _last_enrichment(store: Store) -> int:
    with connect() as db:
        store.show(db, "enrichments", "made")
        row = db.execute("select max(enrichment_id) from made").fetchone()
    return int(row[0] or 0) if row else 0


def patients_there(store: Store, patients: Iterable[int]) -> set[int]:
    """Those of some patients that the lake has series of."""
    wanted = list(patients)
    if not wanted:
        return set()
    with connect() as db:
        store.show(db, "series")
        found = db.execute(
            "select distinct patient_key from series where patient_key in (select unnest(?))",
            [wanted],
        ).fetchall()
    return {row[0] for row in found}
