"""Bringing clinical files into a lake: each is recognised, staged, and then all are settled."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import settings as settings_
from dicomlake import tables
from dicomlake.contracts import Progress
from dicomlake.errors import DataError, DicomlakeError, UsageError
from dicomlake.jobs.clinical.formats import omop
from dicomlake.jobs.clinical.formats.fhir import Fhir
from dicomlake.jobs.clinical.formats.mapping import Mapped, Texts, read_mapping, stage_table
from dicomlake.jobs.clinical.formats.messages import Messages, begins
from dicomlake.jobs.clinical.formats.sheets import Sheets, beginning, layout_of
from dicomlake.jobs.clinical.settling import LINKED, UNLINKED, Settled, settle
from dicomlake.jobs.clinical.staging import Given, Part, Stage, stage_rows
from dicomlake.jobs.runs import Run, running
from dicomlake.jobs.tidy import tidy
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.store import WORK
from dicomlake.settings import Settings
from dicomlake.version import __version__

log = logging.getLogger(__name__)

Form = Literal["fhir", "omop", "concept", "table", "messages", "text", "index", "other", ""]
_Group: TypeAlias = "list[tuple[Form | DataError, Path]]"
TOGETHER, SMALL, LARGE = 500, 1024**2, 16 * 1024**2
"""So many files of fewer bytes than SMALL are staged as one, up to LARGE bytes of them."""
_NO_SNAPSHOT = "Not all could be read, so nothing was removed that the files do not have any more."
_JSON = (".json", ".ndjson", ".jsonl")
_SHEETS = (".csv", ".tsv")
_TEXTS = (".txt", ".text", ".hl7", ".oru", ".dat")


@dataclass(slots=True)
class Taken:
    """What an import did: facts by kind, what is new, and who is linked to whom.

    `linked` and `unlinked` count rows by a word of `LINKED` and `UNLINKED`.
    """

    run_id: str = ""
    source: str = ""
    files: int = 0
    facts: dict[str, int] = field(default_factory=dict)
    documents: int = 0
    added: int = 0
    replaced: int = 0
    removed: int = 0
    unchanged: int = 0
    left_out: int = 0
    outdated: int = 0
    linked: dict[str, int] = field(default_factory=dict)
    unlinked: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, name: str, one: Settled) -> None:
        """Add what became of the rows of a table."""
        if name == "documents":
            self.documents += sum(one.read.values())
        else:
            self.facts |= one.read
        for word in ("added", "replaced", "removed", "unchanged", "left_out", "outdated"):
            setattr(self, word, getattr(self, word) + getattr(one, word))
        for word, said in (("linked", one.linked), ("unlinked", one.unlinked)):
            setattr(self, word, dict(Counter(getattr(self, word)) + Counter(said)))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        said = [f"{count:,} {kind}" for kind, count in self.facts.items()]
        said += [f"{self.documents:,} documents"] if self.documents else []
        yield f"{', '.join(said) or 'Nothing'} from {self.files:,} files in {self.seconds:.1f} s."
        yield (
            f"{self.added:,} new, {self.replaced:,} changed, {self.removed:,} removed, "
            f"{self.unchanged:,} as they were."
        )
        for word, count in self.linked.items():
            yield f"Linked {LINKED[word]}: {count:,}"
        for word, count in self.unlinked.items():
            yield f"Linked to nobody, {UNLINKED[word]}: {count:,}"
        if self.left_out:
            yield f"Left out, because the patient was erased: {self.left_out:,}"
        if self.outdated:
            yield f"Left out, because they were removed later: {self.outdated:,}"
        if self.failures:
            yield f"Could not be read: {self.failures:,}"
        yield from self.notes


def take(
    lake: str | Path,
    facts: Given = (),
    documents: Given = (),
    *,
    source: str,
    progress: Progress | None = None,
) -> Taken:
    """Bring rows that somebody made into a lake: dicts by column, tables, or Arrow batches.

    Numbers, codes as they are asked for, common units, languages and what a text denies are filled
    in where they are left out. Rows of the same source and identifier replace older ones.
    """
    began = time.monotonic()
    store = _store(lake, source)
    with store.lock(), running(store, "facts", {"source": source}, progress) as run:
        stage = Stage(store.path / WORK / f"facts-{run.run_id}")
        try:
            with stage.part("rows") as part:
                assert part is not None
                stage_rows(part, "clinical_events", facts)
                stage_rows(part, "documents", _told(documents))
            return _settled(store, stage, Taken(source=source), run, began)
        finally:
            stage.clear()


def _told(documents: Given) -> Iterator[dict[str, Any]]:
    """Documents with what their texts say, where that is left out."""
    from dicomlake.jobs.clinical.reports import told

    if isinstance(documents, pa.Table):
        documents = documents.to_batches()
    for one in documents:
        for row in one.to_pylist() if isinstance(one, pa.RecordBatch) else [one]:
            made = told(row.get("text") or "", row.get("language") or "")
            yield {**row, **{k: v for k, v in made.items() if row.get(k) is None or k == "text"}}


def bring(
    lake: str | Path,
    paths: Iterable[str | Path],
    *,
    source: str,
    issuer: str = "",
    mapping: str | Path | Mapping[str, Any] | None = None,
    snapshot: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Taken:
    """Bring files and folders into a lake: FHIR, OMOP, tables by a mapping, HL7 messages, texts.

    `issuer`: of patient numbers whose system no setting names. `snapshot`: the files have all that
    the source has of the tables or resources in them, so what it had besides goes. The same files
    again add nothing, and a killed import goes on where it was. LakeError when somebody else is
    writing.
    """
    began = time.monotonic()
    mapped = read_mapping(mapping)
    own = Path(mapping).absolute() if isinstance(mapping, str | Path) else None
    files = [path for path in _files(paths) if path != own]
    store = _store(lake, source)
    found = settings_.read(store.path) if settings is None else settings
    made = Taken(source=source, files=len(files))
    what = {"source": source, "files": len(files)}
    with store.lock(), running(store, "facts", what, progress) as run:
        issuers = issuers_of(found)
        key = _digest(source, issuer, mapped.digest, __version__, repr(sorted(issuers.items())))
        stage = Stage(store.path / WORK / f"facts-{key}")
        bringing = _Bringing(stage, run, issuer, issuers, mapped)
        bringing.all(files)
        made.failures = _note_failures(store, stage, files, run.run_id)
        made.notes = sorted({n for k in stage.keys for n in stage.said(k).get("notes", ())})
        if snapshot and made.failures:
            made.notes.append(_NO_SNAPSHOT)
        _settled(store, stage, made, run, began, snapshot=snapshot and not made.failures)
        stage.clear()
    return made


def issuers_of(found: Settings) -> dict[str, str]:
    """Identifier systems and the issuers that they stand for, as the settings say."""
    published = {system: issuer for issuer, system in found.fhir.site.patients.items()}
    return {**published, **found.clinical.issuers}


def _store(lake: str | Path, source: str) -> Store:
    if not source.strip():
        raise UsageError("Where do the facts come from? Name their source, such as clinic.")
    store = Store.create(lake)
    if store.door:
        raise UsageError(
            "This lake de-identifies what comes in, and facts and reports are not de-identified "
            "yet. Bring them into a lake without such a door."
        )
    return store


def _settled(
    store: Store, stage: Stage, made: Taken, run: Run, began: float, *, snapshot: bool = False
) -> Taken:
    """Bring what is staged into the tables, and let a version of the lake remember it."""
    run.progress.stage("settling", None, "rows")
    done = settle(store, stage, made.source, run.run_id, run.check, snapshot=snapshot)
    for name, one in done.items():
        made.count(name, one)
    if not store.settled:
        tidy(store, run.progress)
        store.touch(run.run_id)
        rebuild(store, progress=run.progress)
    made.run_id, made.seconds = run.run_id, time.monotonic() - began
    run.counts = {
        **made.facts, "documents": made.documents, "added": made.added,
        "replaced": made.replaced, "removed": made.removed, "failures": made.failures,
    }  # fmt: skip
    log.info("facts brought", extra={"run_id": run.run_id, "added": made.added})
    return made


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Every file that paths name, in a fixed order."""
    seen: set[Path] = set()
    for given in paths:
        path = Path(given).absolute()
        if not path.exists():
            raise UsageError(f"There is no file or folder {given}.")
        listed = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for one in listed:
            if one not in seen and not one.name.startswith("."):
                seen.add(one)
                yield one


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def form_of(path: Path, mapped: Mapped) -> Form:
    """What a file is, by its name and its first bytes; "" for what is not read."""
    plain = path.name.lower().removesuffix(".gz")
    suffix = Path(plain).suffix
    if mapped.is_index(path):
        return "index"
    if suffix in _JSON:
        return "fhir"
    if mapped.of_table(path):
        return "table"
    if suffix in (*_SHEETS, ".txt") and omop.table_of_name(path) and omop.is_omop(path):
        return "concept" if omop.table_of_name(path) == omop.CONCEPT else "omop"
    if omop.passed_over(path) and suffix in _SHEETS:
        return "other"
    if suffix in _TEXTS or mapped.of_text(path):
        head = beginning(path).decode("latin-1").lstrip("\x0b\r\n\t \ufeffï»¿")
        return "messages" if begins(head) else "text"
    return ""


class _Bringing:
    """Stages files, one after the other."""

    def __init__(
        self, stage: Stage, run: Run, issuer: str, issuers: dict[str, str], mapped: Mapped
    ) -> None:
        self._stage, self._run, self._issuer, self._issuers = stage, run, issuer, issuers
        self._mapped = mapped
        self._texts = Texts(mapped, issuer)

    def all(self, files: list[Path]) -> None:
        """Stage all files; tables of concepts are read before what needs them."""
        self._run.progress.stage("reading", len(files), "files")
        forms = [(self._form(path), path) for path in files]
        with ExitStack() as stack:
            spill = self._stage.folder.parent
            known = omop.Omop(self._issuer, spill, self._check)
            stack.enter_context(closing(known))
            sheets = stack.enter_context(closing(Sheets(spill)))
            known.released = max(filter(None, map(omop.released, files)), default=None)
            concepts = _digest(
                known.released, *(_mark(p) for form, p in forms if form == "concept")
            )
            forms.sort(key=lambda one: one[0] != "concept")
            for group in _groups(forms):
                extra = concepts if group[0][0] == "omop" else ""
                self._together(group, extra, known, sheets)
                self._run.progress.advance(len(group))
                self._run.check()

    def _form(self, path: Path) -> Form | DataError:
        try:
            return form_of(path, self._mapped)
        except DataError as error:
            return error

    def _together(self, group: _Group, extra: str, known: omop.Omop, sheets: Sheets) -> None:
        """Stage some files as one part."""
        key = _digest(*(_mark(path) for _, path in group), extra)
        if group[0][0] == "concept":  # needed again by those that are read after a kill
            key = f"{key}-{self._run.run_id}"
        with self._stage.part(key) as part:
            for form, path in group if part is not None else ():
                assert part is not None
                part.begin(path.name, path.as_uri())
                self._run.check()
                self._one(form, path, part, known, sheets)

    def _one(
        self, form: Form | DataError, path: Path, part: Part, known: omop.Omop, sheets: Sheets
    ) -> None:
        try:
            if isinstance(form, DataError):
                raise form
            self._read(form, path, part, known, sheets)
        except (OSError, EOFError) as error:
            part.fail("", f"cannot be read: {getattr(error, 'strerror', '') or 'damaged'}")
        except DicomlakeError as error:
            part.fail("", str(error).replace(str(path), "the file"))

    def _read(self, form: Form, path: Path, part: Part, known: omop.Omop, sheets: Sheets) -> None:
        check = self._check
        if form == "fhir":
            Fhir(part, self._issuers, self._issuer, check, _text_of_pdf).read(path)
        elif form == "concept":
            known.concepts(path, part)
        elif form == "omop":
            known.read(path, part)
        elif form == "table":
            entries = self._mapped.of_table(path)
            stage_table(sheets, path, layout_of(path), entries, part, self._issuer, check)
        elif form == "messages":
            Messages(part, self._issuers, self._issuer, check).read(path)
        elif form == "text":
            self._texts.read(path, part)
        elif form == "other":
            part.notes.add("Tables of OMOP that have no facts were passed over.")
        elif form == "":
            if Path(path.name.lower().removesuffix(".gz")).suffix in _SHEETS:
                raise DataError("no entry of a mapping names this table, and it is none of OMOP")
            part.notes.add("Files of other kinds than JSON, CSV, HL7 and text were passed over.")

    def _check(self, count: int) -> None:
        self._run.check()


def _groups(forms: list[tuple[Form | DataError, Path]]) -> Iterator[_Group]:
    """Files in portions: small ones of one form together, large ones alone."""
    held: _Group = []
    size = 0
    for form, path in forms:
        own = path.stat().st_size
        alone = own >= SMALL or form in ("omop", "concept", "table")
        full = len(held) >= TOGETHER or size + own > LARGE
        if held and (alone or full or form != held[0][0]):
            yield held
            held, size = [], 0
        if alone:
            yield [(form, path)]
        else:
            held.append((form, path))
            size += own
    if held:
        yield held


def _mark(path: Path) -> str:
    info = path.stat()
    return f"{path}\0{info.st_size}\0{info.st_mtime_ns}"


def _text_of_pdf(data: bytes) -> str:
    from dicomlake.deid.documents.pdf import pages_of

    try:
        return "\n".join(pages_of(data)[0])
    except DicomlakeError as error:
        raise DataError(f"its PDF cannot be read: {error}") from error


def _note_failures(store: Store, stage: Stage, files: list[Path], run_id: str) -> int:
    """Rows of `failures` for what could not be read now; older ones of these files go."""
    rows, count, now = [], 0, datetime.now(UTC)
    known = {path.as_uri(): path for path in files}
    for key in stage.keys:
        said = stage.said(key)
        count += said["failed"]
        listed = list(said["failures"])
        if said["failed"] > len(listed):
            more = said["failed"] - len(listed)
            listed.append((listed[-1][0], "", f"{more} more lines could not be read"))
        for uri, place, reason in listed:
            info = known[uri].stat()
            rows.append(
                {
                    "run_id": run_id,
                    "uri": f"{uri}:{place}" if place else uri,
                    "size": info.st_size,
                    "modified": datetime.fromtimestamp(info.st_mtime, UTC),
                    "stage": "import",
                    "reason": reason,
                    "met": now,
                }
            )
    older = _older(store, known.keys())
    if rows or older:
        table = pa.Table.from_pylist(rows, tables.FAILURES)
        store.replace("failures", "uri", older, table, run_id=run_id)
    return count


def _older(store: Store, ours: Collection[str]) -> list[str]:
    """Failures of an earlier import of these files."""
    known = store.read("failures", ["uri", "stage"])
    uris = known.filter(pc.equal(known.column("stage"), "import")).column("uri").to_pylist()
    return [uri for uri in uris if uri in ours or uri.rpartition(":")[0] in ours]


__all__ = ["Taken", "bring", "issuers_of", "take"]
