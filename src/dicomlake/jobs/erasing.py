"""Erasing a patient, or a study, from a lake: everywhere, for good, and with a proof.

What is to be done is noted before anything is touched, so an erasure that was killed goes on with
the next one. Nobody else may write meanwhile; whoever reads goes on and sees the new version.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress, Silent
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.door.views import forget as forget_views
from dicomlake.jobs.erasure import around, rows
from dicomlake.jobs.erasure.person import JOURNAL, Person, left, person_of
from dicomlake.jobs.erasure.remembered import Mark, Remembered
from dicomlake.jobs.erasure.traces import sweep
from dicomlake.jobs.fhir.published import Published
from dicomlake.jobs.inbox import Inbox, spare_batches
from dicomlake.jobs.runs import running
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.store import ACCESS
from dicomlake.readers.batch import key_of
from dicomlake.settings import Settings, read
from dicomlake.version import __version__

log = logging.getLogger(__name__)

ORDER = "order"
"""Kind of the marks of accession numbers."""
PROOFS = "erasures"
"""Folder of proofs, in that of tokens and the audit log."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would take away, before anything is done.

    `rows` by table; `files`: of the sources that are still there; `questions`: names of saved
    questions and charts that name the patient; `erased`: whether it was erased before.
    """

    kind: str
    studies: int
    series: int
    instances: int
    rows: dict[str, int]
    sources: dict[str, int]
    files: int
    questions: list[str]
    exports: list[dict[str, str]]
    erased: str = ""


@dataclass(slots=True)
class Proof:
    """What was removed, and that nothing is left: counts and digests, never a value.

    `removed`: rows, files, cells and lines by place. `swept`: files and bytes that were looked at,
    and how many values were looked for. `left`: where something was found all the same.
    `published`: what became of it at FHIR servers. `sources`: what would bring it back, and how
    many of its series came from there. `exports`: those that held it: their holders have to know.
    """

    id: str
    kind: str
    digests: list[str]
    began: str
    ended: str = ""
    lake_version: int = 0
    dicomlake: str = __version__
    series: int = 0
    instances: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    swept: dict[str, int] = field(default_factory=dict)
    left: list[dict[str, Any]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    source_files: int = 0
    exports: list[dict[str, str]] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing was found any more, and every FHIR server was told."""
        return not self.left and not any(said.startswith("not") for said in self.published.values())

    def as_json(self) -> dict[str, Any]:
        """The proof as it is kept."""
        return {**asdict(self), "whole": self.whole}

    def __str__(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterable[str]:
        yield f"Erasure {self.id} of a {self.kind}, {self.began} to {self.ended}"
        yield f"The lake is at version {self.lake_version}; older ones cannot be read any more."
        yield f"{self.series:,} series with {self.instances:,} instances were in it. Removed:"
        yield from (f"  {place}: {count:,}" for place, count in self.removed.items())
        looked, size = self.swept.get("files", 0), self.swept.get("bytes", 0)
        values = self.swept.get("values", 0)
        yield f"{looked:,} files ({size / 1e6:,.1f} MB) were looked through for {values:,} values."
        if self.left:
            yield "STILL THERE:"
            yield from (f"  {one['where']}: {one['how']} ({one['count']:,})" for one in self.left)
        else:
            yield "None was found."
        yield from (f"FHIR server {name}: {said}" for name, said in self.published.items())
        yield from (f"Saved under a name: {name}" for name in self.questions)
        for name, count in self.sources.items():
            yield f"{count:,} series came from {name}, which may send them again."
        if self.source_files:
            yield f"{self.source_files:,} files of sources are still there; dicomlake leaves them."
        for one in self.exports:
            yield f"Export {one.get('name', '')} ({one.get('made', '')}) held it: tell its holders."
        yield from self.outside


def preview(
    lake: str | Path, PatientID: str, *, issuer: str | None = None, study: str | None = None
) -> Preview:
    """What `erase` would take away; changes nothing."""
    store = Store(lake)
    person = person_of(store, "", PatientID, issuer, study)
    remembered = Remembered(store.path)
    told = _digests(remembered, person, PatientID)
    marks = [remembered.find(digest) for digest, kind in told if kind != ORDER]
    return Preview(
        person.kind,
        len(person.studies),
        len(person.numbers),
        len(person.instances),
        rows.held(store, person),
        person.sources,
        person.files,
        around.named_questions(store.path, person.finder),
        _exports(store.path, person),
        next((mark.when for mark in marks if mark), ""),
    )


def _exports(lake: Path, person: Person) -> list[dict[str, str]]:
    return around.past_exports(lake, person) if person.kind == "patient" else []


def erase(
    lake: str | Path,
    PatientID: str,
    *,
    issuer: str | None = None,
    study: str | None = None,
    questions: str = "redact",
    allow_again: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Erase a patient from a lake, or one study of the patient, and prove it.

    `questions`: saved ones that name the patient are kept without it ("redact"), or removed
    ("remove"). `allow_again`: indexing may bring it back. LakeError when somebody else is writing.
    What a killed erasure left is done first.
    """
    if questions not in ("redact", "remove"):
        raise UsageError("Saved questions can be changed (redact) or removed (remove).")
    store = Store(lake)
    found = read(store.path) if settings is None else settings
    with store.lock():
        store.refresh()
        for person in left(store.path):
            _Erasing(store, person, found, progress).run()
        id_ = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        person = person_of(store, id_, PatientID, issuer, study)
        person.began = datetime.now(UTC).isoformat(timespec="seconds")
        person.found["remove_questions"] = questions == "remove"
        person.found["again"] = allow_again
        person.digests = _digests(Remembered(store.path), person, PatientID)
        return _Erasing(store, person, found, progress).run()


def resume(
    lake: str | Path, *, settings: Settings | None = None, progress: Progress | None = None
) -> list[Proof]:
    """Do what killed erasures left; their proofs."""
    store = Store(lake)
    found = read(store.path) if settings is None else settings
    with store.lock():
        return [_Erasing(store, person, found, progress).run() for person in left(store.path)]


class _Erasing:
    """One erasure; every step may be done twice."""

    def __init__(
        self, store: Store, person: Person, settings: Settings, progress: Progress | None
    ) -> None:
        self.store, self.person, self.settings = store, person, settings
        self.lake, self.finder = store.path, person.finder
        self.progress = progress or Silent()
        self.remembered = Remembered(self.lake)

    def run(self) -> Proof:
        """All steps, and what came of them."""
        person = self.person
        what = {"erasure": person.id, "kind": person.kind}
        with running(self.store, "erase", what, self.progress) as run:
            self._note()
            self._tables(run.run_id, run.check)
            self._around()
            run.counts = {"series": len(person.numbers)}
        rows.purge(self.store)
        self._publish()
        proof = self._proof()
        self._keep(proof)
        person.done(self.lake)
        log.info("erased", extra={"erasure": person.id, "whole": proof.whole})
        return proof

    def _note(self) -> None:
        """Note what is to be done, and that it must not come back; before anything is touched."""
        person = self.person
        if not person.before:
            person.before = {"_": 0, **rows.held(self.store, person)}
            person.write(self.lake)
        if not person.found.get("again"):
            self.remembered.add(person.digests, person.id)
        else:
            self.remembered.allow(digest for digest, _ in person.digests)

    def _tables(self, run_id: str, check: Callable[[], None]) -> None:
        self.progress.stage("erasing from the tables", 4, "steps")
        inbox, numbers = Inbox(self.lake), self.person.numbers
        self._count(inbox=spare_batches(inbox, self.remembered, self.finder, numbers))
        rows.take_out(self.store, self.person, run_id, check)
        self.progress.advance()
        self._count(**rows.clean(self.store, self.person, self.finder, check))
        self._count(**{
            f"extraction {name}": count
            for name, count in rows.extractions(self.store, self.person, self.finder).items()
        })  # fmt: skip
        self.progress.advance()
        rebuild(self.store, full=True)
        self.store.touch(run_id)  # who holds the lake open opens it anew, before files go
        self.progress.advance()
        files, _ = rows.purge(self.store)
        self._count(older_files=files)
        self.progress.advance()

    def _around(self) -> None:
        """What lies beside the tables."""
        self.progress.stage("erasing beside the tables", 7, "steps")
        person, finder = self.person, self.finder
        remove = bool(person.found.get("remove_questions"))
        names = around.named_questions(self.lake, finder)
        person.found["questions"] = sorted({*person.found.get("questions", []), *names})
        steps: list[tuple[str, Callable[[], int]]] = [
            ("de-identified views", lambda: forget_views(self.lake)),
            ("kept objects", lambda: around.objects(kept_of(self.lake, self.settings), person)),
            ("masks", lambda: around.masks(self.lake, finder)),
            ("passing files", lambda: around.passing(self.lake, finder)),
            ("journals", lambda: around.journals(self.lake, finder)),
            ("charts", lambda: around.charts(self.lake, finder, remove=remove)),
            ("audit log", lambda: around.audit(self._log(), finder, person)),
        ]
        for name, step in steps:
            self._count(**{name: step()})
            self.progress.advance()
        self._count(**around.originals(self.lake, self.settings, person, finder))
        self._count(**around.forget_others(self.lake, person))
        self._count(**around.databases(self.lake, finder, remove=remove))

    def _log(self) -> Audit:
        return Audit.of(self.lake, self.settings.service.access.audit)

    def _count(self, **found: int) -> None:
        """Add to what was removed, so that it is known after a kill, too."""
        removed = self.person.found.setdefault("removed", {})
        for name, count in found.items():
            if count:
                removed[name] = removed.get(name, 0) + count
        self.person.write(self.lake)

    def _publish(self) -> None:
        """Tell FHIR servers what vanished; those that are away are told by the next push."""
        told: dict[str, str] = {}
        for name in self.settings.fhir.target:
            with contextlib.closing(Published(self.lake, name)) as published:
                if not published.begun:
                    continue
                published.wait(self.person.study_keys, 0.0)
            told[name] = self._push(name)
        self.person.found["published"] = told
        if told:
            around.databases(self.lake, self.finder, remove=False)

    def _push(self, name: str) -> str:
        from dicomlake.jobs.fhir.targets import opened

        again = f"not told yet. When it answers: dicomlake fhir push {name}"
        try:
            with opened(self.lake, self.settings, name) as publisher:
                report = publisher.push()
        except DicomlakeError as error:
            log.warning("target not told", extra={"target": name, "why": type(error).__name__})
            return again
        how = self.settings.fhir.of(name).vanished
        if report.refused:
            return again
        if how == "keep":
            return "keeps what vanished, as its settings say: remove it there"
        return f"told: {report.gone:,} resources {'deleted' if how == 'delete' else 'marked'}"

    def _proof(self) -> Proof:
        """Look through every file for what was erased."""
        person = self.person
        self.progress.stage("looking through all files", None, "files")
        kept = kept_of(self.lake, self.settings).folder
        log_file = self._log().path
        folders = [self.lake]
        folders += [f for f in (kept, log_file.parent) if f.exists() and self.lake not in
                    (f, *f.parents)]  # fmt: skip
        traces, files, size = sweep(folders, self.finder)
        ours = f"{ACCESS}/{JOURNAL}{person.id}"
        removed = person.found.get("removed", {})
        return Proof(
            person.id,
            person.kind,
            [digest for digest, kind in person.digests if kind != ORDER],
            person.began,
            datetime.now(UTC).isoformat(timespec="seconds"),
            self.store.version,
            series=len(person.numbers),
            instances=len(person.instances),
            removed={**{n: c for n, c in person.before.items() if c}, **removed},
            swept={"files": files, "bytes": size, "values": self.finder.values},
            left=[asdict(one) for one in traces if ours not in one.where],
            questions=person.found.get("questions", []),
            published=person.found.get("published", {}),
            sources={self.finder.without(name): n for name, n in person.sources.items()},
            source_files=person.files,
            exports=person.found.get("exports", []),
            outside=self._outside(),
        )

    def _outside(self) -> list[str]:
        """What this program cannot reach, as sentences."""
        said = ["Backups and copies of the lake are not reached from here: erase there, too."]
        if self.settings.queue.kind != "sqlite":
            said.append(f"The queue {self.settings.queue.kind} keeps tasks as long as it is told.")
        return said

    def _keep(self, proof: Proof) -> None:
        folder = self.lake / ACCESS / PROOFS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / f"{proof.id}.json").write_text(json.dumps(proof.as_json(), indent=1) + "\n")
        (folder / f"{proof.id}.txt").write_text(str(proof))


def _digests(remembered: Remembered, person: Person, PatientID: str) -> list[tuple[str, str]]:
    orders = [(remembered.of_order(number), ORDER) for number in person.accessions]
    if person.kind == "study":
        return [*((remembered.of_study(uid), "study") for uid in person.studies), *orders]
    keys = [(remembered.of_patient(key), "patient") for key in person.patients]
    return [*keys, (remembered.of_id(PatientID), "id"), *orders]


def proofs(lake: str | Path) -> list[dict[str, Any]]:
    """Proofs of all erasures of a lake, newest first."""
    folder = Store(lake).path / ACCESS / PROOFS
    found = sorted(folder.glob("*.json"), reverse=True)
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def was_erased(lake: str | Path, PatientID: str, issuer: str | None = None) -> Mark | None:
    """The mark of a patient who was erased, None when nobody of that id was."""
    remembered = Remembered(Store(lake).path)
    return next(
        (m for d in _asked(remembered, PatientID, issuer) if (m := remembered.find(d))), None
    )


def _asked(remembered: Remembered, PatientID: str, issuer: str | None) -> list[str]:
    """Digests of a patient; without an issuer, of the PatientID whoever gave it."""
    if issuer is not None:
        return [remembered.of_patient(key_of("patient", issuer, PatientID))]
    return [remembered.of_patient(key_of("patient", "", PatientID)), remembered.of_id(PatientID)]


def allow_again(lake: str | Path, PatientID: str, issuer: str | None = None) -> bool:
    """Let a patient who was erased come back when indexed; whether the patient was shut out."""
    remembered = Remembered(Store(lake).path)
    marks = [m for d in _asked(remembered, PatientID, issuer) if (m := remembered.find(d))]
    erasures = {mark.erasure for mark in marks}
    return remembered.allow(m.digest for m in remembered.all() if m.erasure in erasures) > 0


__all__ = ["Preview", "Proof", "allow_again", "erase", "preview", "proofs",
           "resume", "was_erased"]  # fmt: skip
