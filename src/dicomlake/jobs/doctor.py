"""The doctor: checks a lake and says in words what is wrong and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake import tables
from dicomlake.errors import DicomlakeError, LakeError
from dicomlake.jobs.contents import outdated
from dicomlake.jobs.tidy import MANY_FILES
from dicomlake.lake import Store
from dicomlake.lake.compaction import leftovers, small_files
from dicomlake.lake.store import CHILDREN
from dicomlake.readers.contents import ContentsReader

FREE_BYTES = 1024**3
"""Less free disk space than this, or than a tenth of the lake, is worth a notice."""
_INDEX = "Run dicomlake index again on the same folders."
_COMPACT = "Run dicomlake compact."
_AGAIN = "Restore the lake from a backup, or index its sources into a new one."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `level` says how bad it is, `advice` what to do ("" when nothing)."""

    level: Literal["ok", "notice", "error"]
    what: str
    advice: str = ""


def examine(lake: str | Path) -> list[Finding]:
    """Everything that was checked of a lake, in the order of the checks; changes nothing.

    A check whose requirements are not met (no table, no file) is left out.
    """
    try:
        store = Store(lake)
    except LakeError as error:
        return [Finding("error", str(error))]
    found = [Finding("ok", f"layout {tables.VERSION}")]
    found += _tables(store)
    if not any(finding.level == "error" for finding in found):
        found += _files(store)
    if not any(finding.level == "error" for finding in found):
        with store.database(current=False) as db:
            for check in _ROWS:
                found += check(store, db)
    found += _around(store)
    return found


def _tables(store: Store) -> Iterator[Finding]:
    for name, schema in tables.ALL.items():
        try:
            there = pa.schema(store.table(name).schema().to_arrow())
        except DicomlakeError as error:
            yield Finding("error", str(error), _AGAIN)
            continue
        differs = _difference(schema, there)
        if differs:
            advice = "Use the version of dicomlake that wrote this lake, or index into a new lake."
            yield Finding("error", f"table {name}: {differs}", advice)
    yield Finding("ok", f"{len(tables.ALL)} tables looked at, {store.path}")


def _difference(wanted: pa.Schema, there: pa.Schema) -> str:
    """How the columns of a table differ from what they should be, in words; "" when equal."""
    missing = [n for n in wanted.names if n not in there.names]
    extra = [n for n in there.names if n not in wanted.names]
    if missing or extra:
        said = [f"{n} is missing" for n in missing] + [f"{n} is unknown" for n in extra]
        return "columns differ: " + ", ".join(said)
    for field in wanted:
        found = there.field(field.name)
        if str(_plain(found.type)) != str(_plain(field.type)):
            return f"column {field.name} is {found.type}, not {field.type}"
        if tables.comment_of(found) != tables.comment_of(field):
            return f"column {field.name} has another comment"
    return ""


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type as text compares it: names inside lists do not matter."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.type)) for f in kind])
    return pa.string() if pa.types.is_large_string(kind) else kind


def _files(store: Store) -> Iterator[Finding]:
    count = 0
    for name in tables.ALL:
        gone = wrong = broken = 0
        for file in store.files(name):
            path = store.path / name / file.name
            count += 1
            if not path.exists():
                gone += 1
            elif path.stat().st_size != file.size:
                wrong += 1
            elif not _readable(path, file.rows):
                broken += 1
        for number, how in ((gone, "missing"), (wrong, "of another size"), (broken, "damaged")):
            if number:
                yield Finding("error", f"{number} files of table {name} are {how}", _AGAIN)
    yield Finding("ok", f"{count} files looked at")


def _readable(path: Path, rows: int | None) -> bool:
    """Whether the end of a Parquet file can be read and speaks of so many rows."""
    try:
        found = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException):
        return False
    return rows is None or found == rows


def _rows(db: duckdb.DuckDBPyConnection, statement: str) -> list[tuple[int, ...]]:
    return db.execute(statement).fetchall()


def _series(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    total, ids, uids = _rows(
        db,
        'select count(*), count(distinct series_id), count(distinct "SeriesInstanceUID") '
        "from series",
    )[0]
    if ids != total:
        yield Finding("error", f"{total - ids} series share their series_id with another", _AGAIN)
    if uids != total:
        yield Finding("error", f"{total - uids} series are in the lake more than once", _AGAIN)
    yield Finding("ok", f"{total} series, version {store.version}")


def _children(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    bare, short, silent, instances = _rows(
        db,
        """select count(*) filter (i.n is null),
                  count(*) filter (i.n is not null and i.n <> s.instances),
                  count(*) filter (e.series_id is null), coalesce(sum(i.n), 0)::bigint
        from series s
        left join (select series_id, count(*) as n from instances group by 1) i using (series_id)
        left join (select distinct series_id from elements) e on e.series_id = s.series_id
        where s.complete = 'all'""",
    )[0]
    if bare:
        yield Finding("error", f"{bare} series have no instances", _AGAIN)
    if short:
        yield Finding("error", f"{short} series hold another number of instances than said", _AGAIN)
    if silent:
        yield Finding("error", f"{silent} series have no elements", _AGAIN)
    twice = _rows(
        db,
        "select count(*) from (select 1 from instances semi join series using (series_id) "
        'group by series_id, "SOPInstanceUID" having count(*) > 1)',
    )[0][0]
    if twice:
        yield Finding("error", f"{twice} instances are in their series more than once", _AGAIN)
    yield Finding("ok", f"{instances} instances belong to their series")
    for name in CHILDREN:
        unseen = _rows(db, f"select count(*) from {name} anti join series using (series_id)")[0][0]
        if unseen:
            what = f"{unseen} rows of {name} belong to no current series"
            yield Finding("notice", what, f"They are harmless. {_COMPACT}")


def _contents(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    readers = ContentsReader()
    if outdated(store, readers):
        there, here = store.content_readers, readers.versions
        names = sorted(n for n in {*there, *here} if there.get(n) != here.get(n))
        what = f"what is inside of objects was read by other readers: {', '.join(names)} differ"
        yield Finding("notice", what, "Run dicomlake contents.")
    rows = 0
    for name in tables.CONTENTS:
        total, stray = _rows(
            db,
            f"""select count(*), count(*) filter (where i.series_id is null)
            from {name} c semi join series using (series_id)
            left join (select distinct series_id, "SOPInstanceUID" from instances) i
            using (series_id, "SOPInstanceUID")""",
        )[0]
        rows += total
        if stray:
            what = f"{stray} rows of {name} belong to no instance"
            yield Finding("error", what, "Run dicomlake contents.")
    orphans = _rows(
        db,
        """select count(*) from items c semi join series using (series_id)
        where parent is not null and not exists (select 1 from items p
            where p.series_id = c.series_id and p."SOPInstanceUID" = c."SOPInstanceUID"
            and p.item = c.parent)""",
    )[0][0]
    if orphans:
        what = f"{orphans} content items lie in one that is not there"
        yield Finding("error", what, "Run dicomlake contents.")
    yield Finding("ok", f"{rows} rows of contents belong to their instances")


def _clinical(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    rows = 0
    for name, key in zip(tables.CLINICAL, ("fact_key", "document_key"), strict=True):
        total, keys = _rows(db, f"select count(*), count(distinct {key}) from {name}")[0]
        rows += total
        if total != keys:
            what = f"{total - keys} rows of {name} are there more than once"
            yield Finding(
                "error", what, "Remove their source, and bring it again: dicomlake facts."
            )
    if rows and not store.settled:
        what = "facts were brought by a run that was killed before its end"
        yield Finding("notice", what, "Run the same dicomlake facts import again.")
    yield Finding("ok", f"{rows} facts and documents, each once")


def _runs(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    writing = store.locked
    count = _rows(db, "select count(*) from runs where state = 'running'")[0][0]
    if writing:
        yield Finding("notice", "somebody is writing to the lake now", "Wait for the end.")
    elif count:
        yield Finding("notice", f"{count} runs were killed before their end", _INDEX)
    else:
        yield Finding("ok", "nobody is writing, and no run was cut off")
    last = db.execute(
        "select kind, state from runs where state <> 'running' order by started desc limit 1"
    ).fetchall()
    if last and last[0][1] != "finished":
        yield Finding("notice", f"the last run ({last[0][0]}) was {last[0][1]}", "Start it again.")


def _failures(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    found = db.execute(
        "select reason, stage = 'import', count(*) from failures group by 1, 2 order by 3 desc, 1"
    ).fetchall()
    for reason, brought, count in found[:10]:
        again = (
            "bring the corrected file again" if brought else "read them again with --retry-failures"
        )
        advice = f"Look at them with dicomlake failures; {again}."
        yield Finding("notice", f"{count} could not be read: {reason}", advice)
    if len(found) > 10:
        rest = sum(count for _, _, count in found[10:])
        yield Finding("notice", f"{rest} could not be read for {len(found) - 10} other reasons")
    if not found:
        yield Finding("ok", "everything found could be read")


def _vocabulary(store: Store, db: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    noted = next(store.notes("vocabulary", "counted"), None)
    if noted is None:
        return
    version = json.loads(noted["counted"]).get("series")
    if version is None or _same_series(store, version):
        yield Finding("ok", "the vocabulary is that of the newest version")
    else:
        what = f"the vocabulary was counted from version {version}, the lake is at {store.version}"
        yield Finding("notice", what, _INDEX)


def _same_series(store: Store, version: int) -> bool:
    """Whether only compaction has touched `series` since a version."""
    later = [entry for entry in store.table("series").history() if entry["version"] > version]
    return all(entry.get("reason") == "compaction" for entry in later)


_Check = Callable[[Store, duckdb.DuckDBPyConnection], Iterator[Finding]]
_ROWS: tuple[_Check, ...] = (
    _series,
    _children,
    _contents,
    _clinical,
    _runs,
    _failures,
    _vocabulary,
)


def _around(store: Store) -> Iterator[Finding]:
    """What lies around: small files, leftovers, free disk space."""
    try:
        small = {name: small_files(store, name) for name in tables.ALL}
        size = sum(file.size for name in tables.ALL for file in store.files(name))
    except DicomlakeError:
        return
    for name, count in small.items():
        if count > 2 * MANY_FILES:
            yield Finding("notice", f"table {name} has {count} small files", _COMPACT)
    if not store.locked:
        left = leftovers(store)
        if left:
            what = f"{len(left)} files or folders were left by a killed run"
            yield Finding("notice", what, f"They are harmless. {_COMPACT}")
    free = shutil.disk_usage(store.path).free
    level: Literal["ok", "notice"] = "notice" if free < max(FREE_BYTES, size // 10) else "ok"
    advice = "Make room, or move the lake." if level == "notice" else ""
    yield Finding(
        level, f"the lake has {size / 1e6:,.1f} MB, the disk {free / 1e9:,.1f} GB free", advice
    )
