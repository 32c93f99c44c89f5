"""The files of cohorts: every version of them, and the log of what people decided.

`LAKE/_cohorts/NAME/` has `N.json` per version, which names the Parquet file of its series, and
`log.jsonl`. A version is there when its JSON is; nobody changes it, but for what is erased.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dicomlake.errors import LakeError, ServiceError, UsageError
from dicomlake.lake import Store
from dicomlake.lake.part import PartStore
from dicomlake.lake.store import COHORTS

INCLUDED, EXCLUDED, WITHDRAWN = "included", "excluded", "withdrawn"
"""What a series of a version is."""
ROWS = pa.schema(
    [
        ("SeriesInstanceUID", pa.string()),
        ("StudyInstanceUID", pa.string()),
        ("patient_key", pa.int64()),
        ("study_key", pa.int64()),
        ("PatientID", pa.string()),
        ("IssuerOfPatientID", pa.string()),
        ("Modality", pa.string()),
        ("series_id", pa.int64()),
        ("instances", pa.int64()),
        ("bytes", pa.int64()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("flag", pa.string()),
        ("added", pa.bool_()),
        ("split", pa.string()),
        ("fold", pa.int32()),
    ]
)
"""One row per series of a version, in the order of SeriesInstanceUID.

`added`: by somebody, not by the question.
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"([0-9]+)\.json")
_LOG = "log.jsonl"
_DIGESTED = ("SeriesInstanceUID", "StudyInstanceUID", "PatientID", "state", "split", "fold")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a cohort: what was asked of which version of the lake, and what came of it.

    `where`: the condition as JSON, None for everything; `kind`: frozen, saved or split; `highest`:
    the highest series_id of the lake then; `entries`: lines of the log that are in it; `counts`: of
    what is included; `left_out`: series by why; `erased`: patients that were erased since;
    `rows`: the file of its series.
    """

    name: str
    version: int
    kind: str
    level: str
    where: dict[str, Any] | None
    text: str
    lake_version: int
    highest: int
    made: float
    by: str
    comment: str
    project: str
    counts: dict[str, int]
    left_out: dict[str, int]
    digest: str
    rows: str
    entries: int = 0
    whole: dict[str, int] = field(default_factory=dict)
    attrition: list[dict[str, Any]] = field(default_factory=list)
    split: dict[str, Any] | None = None
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log: who decided what, when; `about` says of what.

    `n` counts from 1.
    """

    n: int
    what: str
    by: str
    at: float
    about: dict[str, Any]


def checked(name: str) -> str:
    """A name for a cohort; UsageError when it is none.

    >>> checked("knee-mr")
    'knee-mr'
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} is no name of a cohort. Use up to 64 letters, digits, dots, dashes and "
            "underscores, with a letter or a digit first."
        )
    return name


def split_name(told: str) -> tuple[str, int | None]:
    """Name and version of "NAME" or "NAME@3"; UsageError when it is neither.

    >>> split_name("knee@3"), split_name("knee")
    (('knee', 3), ('knee', None))
    """
    name, at, version = told.partition("@")
    if at and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise UsageError(f"{told[:80]!r} is no cohort. Write NAME, or NAME@3 for its version 3.")
    return checked(name), int(version) if at else None


def folder(lake: Path, name: str) -> Path:
    """Where the files of a cohort are."""
    return lake / COHORTS / checked(name)


def names(lake: Path) -> list[str]:
    """The cohorts of a lake, in the order of their names."""
    found = sorted((lake / COHORTS).glob("*/1.json"))
    return [path.parent.name for path in found]


def numbers(lake: Path, name: str) -> list[int]:
    """The versions of a cohort, oldest first; UsageError when there is no such cohort."""
    try:
        there = [path.name for path in folder(lake, name).iterdir()]
    except OSError:
        there = []
    found = sorted(int(match[1]) for file in there if (match := _VERSION.fullmatch(file)))
    if not found:
        raise unknown(name, names(lake))
    return found


def unknown(name: str, known: list[str]) -> UsageError:
    """What is said of a cohort that there is not."""
    there = f"There are: {', '.join(known)}." if known else "There is none yet."
    return UsageError(f"There is no cohort {name[:80]!r}. {there}")


def read(lake: Path, name: str, version: int | None = None) -> Version:
    """A version of a cohort, the newest one unless another is named; UsageError without it."""
    there = numbers(lake, name)
    wanted = there[-1] if version is None else version
    if wanted not in there:
        raise UsageError(f"The cohort {name} has no version {wanted}; the newest is {there[-1]}.")
    path = folder(lake, name) / f"{wanted}.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(Version)}
        return Version(**{key: value for key, value in said.items() if key in known})
    except (OSError, ValueError, TypeError) as error:
        raise LakeError(f"{path} cannot be read. Put it back from a copy.") from error


def rows(lake: Path, version: Version, columns: list[str] | None = None) -> pa.Table:
    """The series of a version; LakeError when their file is gone or was changed."""
    path = folder(lake, version.name) / version.rows
    try:
        found = pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"{path} cannot be read. Put it back from a copy.") from error
    if columns is None and digest(found) != version.digest:
        raise LakeError(f"{path} is not what was frozen. Put it back from a copy.")
    return found


def digest(rows: pa.Table) -> str:
    """What tells series, states and splits of a version from any other ones."""
    texts = [pc.fill_null(rows.column(name).cast(pa.string()), "") for name in _DIGESTED]
    lines = pc.binary_join_element_wise(*texts, "\t")
    made = hashlib.sha256()
    for chunk in lines.chunks if rows.num_rows else ():
        for start in range(0, len(chunk), 65_536):
            made.update("\n".join(chunk.slice(start, 65_536).to_pylist()).encode() + b"\n")
    return made.hexdigest()


def counts(rows: pa.Table) -> dict[str, int]:
    """Patients, studies, series, instances and bytes of the rows that are included."""
    kept = rows.filter(pc.equal(rows.column("state"), INCLUDED))
    return {
        "patients": pc.count_distinct(kept.column("patient_key")).as_py(),
        "studies": pc.count_distinct(kept.column("study_key")).as_py(),
        "series": kept.num_rows,
        "instances": pc.sum(kept.column("instances")).as_py() or 0,
        "bytes": pc.sum(kept.column("bytes")).as_py() or 0,
    }


def left_out(rows: pa.Table) -> dict[str, int]:
    """Series of a version that are excluded or withdrawn."""
    states = rows.column("state")
    return {state: pc.sum(pc.equal(states, state)).as_py() or 0 for state in (EXCLUDED, WITHDRAWN)}


@contextlib.contextmanager
def changing(lake: Path) -> Iterator[None]:
    """Be the only one who changes cohorts of a lake; others wait."""
    try:
        (lake / COHORTS).mkdir(exist_ok=True)
        file = (lake / COHORTS / ".lock").open("a+")
    except OSError as error:
        raise ServiceError(
            "The cohorts of the lake cannot be written. Free some space, or give the folder "
            f"{COHORTS} back to who runs this."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def add(lake: Path, rows: pa.Table, **said: Any) -> Version:
    """Write the next version of a cohort; only inside of `changing`.

    `rows`: in the order of SeriesInstanceUID; `said`: fields of `Version` but
    its number and what is counted.
    """
    name = checked(said["name"])
    place = folder(lake, name)
    _alone(lake, name)
    place.mkdir(exist_ok=True)
    there = numbers(lake, name) if name in names(lake) else [0]
    rows = rows.cast(ROWS).combine_chunks()
    made = Version(
        version=there[-1] + 1,
        made=time.time(),
        counts=counts(rows),
        left_out=left_out(rows),
        digest=digest(rows),
        rows="",
        **said,
    )
    return _write(lake, made, rows)


def next_of(
    lake: Path, before: Version, rows: pa.Table, kind: str, by: str, comment: str, **said: Any
) -> Version:
    """The version after another one of the same question; only inside of `changing`."""
    kept = (
        "name", "level", "where", "text", "lake_version", "highest", "project", "entries", "whole",
        "attrition", "split",
    )  # fmt: skip
    fields = {key: getattr(before, key) for key in kept} | said
    return add(lake, rows, kind=kind, by=by, comment=comment, **fields)


def _alone(lake: Path, name: str) -> None:
    """UsageError for a name that differs from a known one in upper and lower case alone."""
    for other in names(lake):
        if other != name and other.lower() == name.lower():
            raise UsageError(f"There is a cohort {other} already. Names differ in more.")


def _write(lake: Path, version: Version, rows: pa.Table) -> Version:
    """Write rows under a new name of a file, then the version that names it."""
    place = folder(lake, version.name)
    file = f"{version.version}-{secrets.token_hex(4)}.parquet"
    said = {**asdict(version), "rows": file}
    try:
        pq.write_table(rows, place / f".{file}.part", compression="zstd")
        _into_place(place / f".{file}.part", place / file)
        part = place / f".{version.version}.json.part"
        part.write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        _into_place(part, place / f"{version.version}.json")
    except OSError as error:
        raise ServiceError(
            f"The cohort {version.name} cannot be written: {error.strerror}. Free some space."
        ) from error
    return Version(**said)


def _into_place(part: Path, path: Path) -> None:
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(part, path)


def replace_rows(lake: Path, version: Version, rows: pa.Table, erased: int) -> None:
    """Let a version go on without some of its rows, as if it never had them."""
    old = folder(lake, version.name) / version.rows
    said = asdict(version) | {
        "counts": counts(rows),
        "left_out": left_out(rows),
        "digest": digest(rows),
        "erased": version.erased + erased,
    }
    _write(lake, Version(**said), rows)
    old.unlink(missing_ok=True)


# The log


def log(lake: Path, name: str) -> list[Entry]:
    """What people decided about a cohort, oldest first."""
    return read_log(folder(lake, name) / _LOG)


def read_log(path: Path) -> list[Entry]:
    """The lines of a log; what a crash cut off is no line."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LakeError(f"{path} cannot be read. Put it back from a copy.") from error
    found = []
    for line in filter(None, lines):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            found.append(Entry(said["n"], said["what"], said["by"], said["at"], said["about"]))
    return found


def note(lake: Path, name: str, what: str, by: str, about: Mapping[str, Any]) -> Entry:
    """Write a line into the log of a cohort; only inside of `changing`."""
    return append(folder(lake, name) / _LOG, what, by, about)


def append(path: Path, what: str, by: str, about: Mapping[str, Any]) -> Entry:
    """Write a line at the end of a log."""
    number = max((entry.n for entry in read_log(path)), default=0) + 1
    entry = Entry(number, what, by, time.time(), dict(about))
    line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("ab+") as file:
            if file.tell() and not _ended(file):
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ServiceError(f"{path} cannot be written: {error.strerror}.") from error
    return entry


def _ended(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """All lines of a log give way to others."""
    part = path.with_suffix(".part")
    lines = [json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries]
    part.write_text("".join(lines), encoding="utf-8")
    _into_place(part, path)


def path_of_log(lake: Path, name: str) -> Path:
    """The file of the log of a cohort."""
    return folder(lake, name) / _LOG


def seen(store: Store, rows: pa.Table) -> pa.Table:
    """Rows as those may see them who see a part of a lake."""
    if not isinstance(store, PartStore):
        return rows
    with store.database(only=("series",)) as db:
        uids = db.sql('select "SeriesInstanceUID" from series').to_arrow_table().column(0)
    return rows.filter(pc.is_in(rows.column("SeriesInstanceUID"), value_set=uids.combine_chunks()))


def store_of(lake: str | Path | Store) -> Store:
    """The tables of a lake, whose folder or tables are given."""
    return lake if isinstance(lake, Store) else Store(lake)
