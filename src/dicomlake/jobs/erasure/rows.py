"""Erasing from the tables of a lake: rows, older versions, and every file that held them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dicomlake import tables
from dicomlake.jobs.erasure.person import Person
from dicomlake.jobs.erasure.traces import Finder
from dicomlake.lake import Store, results
from dicomlake.lake.compaction import leftovers
from dicomlake.lake.files import File, Stream, row_groups
from dicomlake.lake.store import CHILDREN, EXTRACTIONS

Check = Callable[[], None]


def held(store: Store, person: Person) -> dict[str, int]:
    """How many rows of each table are of the series that go."""
    found = {"series": len(person.numbers)}
    with store.database(current=False, only=CHILDREN) as db:
        db.register("going", pa.table({"series_id": pa.array(person.numbers, pa.int64())}))
        for name in CHILDREN:
            row = db.execute(f"select count(*) from {name} semi join going using (series_id)")
            found[name] = int(row.fetchall()[0][0])
    for name in tables.CLINICAL:
        found[name] = sum(
            rows.num_rows - _of_others(rows, person).num_rows
            for file in store.files(name)
            for rows in row_groups(store.path / name / file.name)
        )
    return {name: count for name, count in found.items() if count}


def take_out(store: Store, person: Person, run_id: str, check: Check) -> None:
    """Let the series go, with all rows of theirs and all that nobody can see any more."""
    if person.numbers:
        gone = tables.SERIES.empty_table()
        store.replace("series", "series_id", person.numbers, gone, run_id=run_id)
    current = store.read("series", ["series_id"]).column(0)
    for name in CHILDREN:
        for file in store.files(name):
            _rewrite(store, name, file, lambda rows: _of(rows, current))
            check()
    for name in tables.CLINICAL:
        for file in store.files(name):
            _rewrite(store, name, file, lambda rows: _of_others(rows, person))
            check()


def _of_others(rows: pa.Table, person: Person) -> pa.Table:
    """Facts or documents without those of the patient, or of the orders of the study."""

    def among(name: str, values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
        return pc.is_in(rows.column(name), value_set=pa.array(values, kind))

    ours = among("patient_key", person.patients, pa.int64())
    unnamed = pc.is_null(rows.column("patient_key"))
    ordered = among("AccessionNumber", person.accessions, pa.string())
    mine = pc.and_(ordered, pc.or_(ours, unnamed))
    if person.kind == "patient":
        mine = pc.or_(mine, ours)
    if "StudyInstanceUID" in rows.column_names:
        mine = pc.or_(mine, among("StudyInstanceUID", person.studies, pa.string()))
    return rows.filter(pc.invert(mine))


def _of(rows: pa.Table, current: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.is_in(rows.column("series_id"), value_set=current))


def _rewrite(store: Store, name: str, file: File, spare: Callable[[pa.Table], pa.Table]) -> int:
    """Write a file of a table anew with the rows that are spared, if others are in it; how many."""
    path = store.path / name / file.name
    gone: int = sum(rows.num_rows - spare(rows).num_rows for rows in row_groups(path))
    if gone:
        stream = Stream(store.path / name, name)
        for rows in row_groups(path):
            stream.write(spare(rows))
        store.commit(name, stream.close(), [file], {"reason": "erasure"})
    return gone


def clean(store: Store, person: Person, finder: Finder, check: Check) -> dict[str, int]:
    """Take what points at the patient out of lists of files, failures, archives and runs."""
    found = {}
    for name, spare in (
        ("failures", lambda rows: _unnamed(rows, ("uri", "reason"), finder)),
        ("files", lambda rows: _unnamed(rows, ("uri", *_OF_FILE), finder)),
        ("catalogue", lambda rows: _listed(rows, person, finder)),
    ):
        found[name] = sum(_rewrite(store, name, file, spare) for file in store.files(name))
        check()
    found["runs"] = _runs(store, finder)
    return {name: count for name, count in found.items() if count}


_OF_FILE = ("SeriesInstanceUID", "SOPInstanceUID")


def _unnamed(rows: pa.Table, names: Iterable[str], finder: Finder) -> pa.Table:
    """Rows without a trace in some columns."""
    for name in names:
        texts = rows.column(name).to_pylist()
        rows = rows.filter(pa.array([not (t and finder.holds(t)) for t in texts], pa.bool_()))
    return rows


def _listed(rows: pa.Table, person: Person, finder: Finder) -> pa.Table:
    """Rows of the catalogue without those of the patient, or of the study."""
    names = ["PatientID"] if person.kind == "patient" else []
    names += ["StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "key"]
    return _unnamed(rows, names, finder)


def _runs(store: Store, finder: Finder) -> int:
    """Runs say what they were asked: texts without the patient."""
    rows = store.read("runs")
    count = 0
    for name in ("what", "counts"):
        texts = rows.column(name).to_pylist()
        made = [finder.without(text) if text else text for text in texts]
        count += sum(a != b for a, b in zip(texts, made, strict=True))
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(name), pa.array(made, pa.string()))
    if count:
        store.overwrite("runs", rows, reason="erasure")
    return count


def extractions(store: Store, person: Person, finder: Finder) -> dict[str, int]:
    """Take the patient out of results that are kept; those that ask for the patient go whole.

    The log of such a result tells smallest and largest values, so a result without the patient is
    made as a new one, and older versions of it are gone.
    """
    found = {}
    for name in results.names(store):
        folder = store.path / EXTRACTIONS / name
        noted = next(results.notes(store, name, "definition"), {})
        rows = results.rows_of(store, name)
        kept = _spared_result(rows, person, finder)
        logs = (folder / "_delta_log").glob("*.json")
        if kept.num_rows == rows.num_rows and not any(finder.in_file(path) for path in logs):
            continue
        said = {k: str(v) for k, v in noted.items() if k in _NOTED}
        shutil.rmtree(folder)
        if not any(finder.holds(text) for text in said.values()):
            results.keep(store, name, kept, said | {"rows": str(kept.num_rows)})
        found[name] = rows.num_rows - kept.num_rows
    return found


_NOTED = ("definition", "definition_version", "lake_version", "rows", "run_id")


def _spared_result(rows: pa.Table, person: Person, finder: Finder) -> pa.Table:
    unwanted = {
        "SeriesInstanceUID": person.series,
        "StudyInstanceUID": person.studies,
        "SOPInstanceUID": person.instances,
    }
    for name, values in unwanted.items():
        if name in rows.column_names:
            there = pc.is_in(rows.column(name), value_set=pa.array(values, pa.string()))
            rows = rows.filter(pc.invert(there))
    if person.kind == "patient":
        texts = [n for n, k in zip(rows.column_names, rows.schema.types, strict=True)
                 if pa.types.is_string(k)]  # fmt: skip
        rows = _unnamed(rows, texts, finder)
    return rows


def purge(store: Store) -> tuple[int, int]:
    """Delete every file that the newest version of a table does not need; how many, and bytes.

    Only while the writer's lock is held. Older versions cannot be read after it.
    """
    store.refresh()
    gone = leftovers(store)
    for name in tables.ALL:
        known = {file.name for file in store.files(name)}
        folder = store.path / name
        gone += [p for p in folder.iterdir() if p.is_file() and p.name not in known]
    gone += results.swept(store, 0)
    return _delete(gone)


def _delete(paths: Iterable[Path]) -> tuple[int, int]:
    count = size = 0
    for path in dict.fromkeys(paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.exists():
            size += path.stat().st_size
            path.unlink(missing_ok=True)
        count += 1
    return count, size
