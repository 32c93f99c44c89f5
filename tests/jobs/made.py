"""Small made-up folders, and what of a lake is compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dicomlake import tables
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.index import Report, index
from dicomlake.lake import Store
from dicomlake.testing.dicom import encode, image, uid


def slice_of(series: object = 1, number: int = 1, **more: Any) -> bytes:
    """A CT image: its series and its number in it."""
    return encode(
        image(
            StudyInstanceUID=uid("study", str(series).partition("/")[0]),
            SeriesInstanceUID=uid("series", series),
            SOPInstanceUID=uid("instance", series, number),
            InstanceNumber=number,
            SliceLocation=number * 2.5,
            ImagePositionPatient=[-50, -50, number * 2.5],
            PixelData=...,
            **more,
        )
    )


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file below a folder; its time of change differs from any earlier one."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def run(folder: Path, lake: Path, **more: Any) -> Report:
    """Index in this process."""
    return index([folder], lake, **{"workers": 1, **more})


_OURS = {"series_id", "run_id", "indexed", "met"}


def content(lake: Path, version: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """What a lake shows, without the numbers and times that differ from run to run."""
    store = Store(lake, version)
    with store.database() as db:
        uids = dict(db.execute('select series_id, "SeriesInstanceUID" from series').fetchall())
    found = {}
    for name in ("series", "instances", "elements", *tables.CONTENTS, "failures", "files"):
        rows = _rows(store, name) if name in tables.CONTENTS else store.read(name).to_pylist()
        for row in rows:
            row["of"] = uids.get(row.get("series_id"))
        found[name] = sorted(
            (tuple((k, str(v)) for k, v in row.items() if k not in _OURS) for row in rows),
        )
    return found


def _rows(store: Store, name: str) -> list[dict[str, Any]]:
    """Rows of contents; those of doses say which ones count."""
    with store.database() as db:
        return db.sql(f"from {name}").to_arrow_table().to_pylist()


def uids(lake: Path) -> set[str]:
    """SOPInstanceUIDs of a lake."""
    return set(Store(lake).read("instances", ["SOPInstanceUID"]).column(0).to_pylist())


def healthy(lake: Path) -> None:
    """The doctor finds no error."""
    errors = [f for f in examine(lake) if f.level == "error"]
    assert errors == [], errors


def known_files(lake: Path) -> Iterator[str]:
    """URI of every file that a lake says something about, archives once."""
    store = Store(lake)
    for name in ("instances", "failures", "files"):
        for found in store.read(name, ["uri"]).column(0).to_pylist():
            yield found.rpartition("::")[2]
