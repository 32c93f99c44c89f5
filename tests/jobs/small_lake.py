"""A lake made of rows that a test writes down, without any DICOM file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.lake import Store
from dicomlake.lake.files import order_of

Rows = list[dict[str, Any]]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cs(path: str, *texts: str, vr: str = "CS") -> Rows:
    return [_row(path, vr, position=i, text=text) for i, text in enumerate(texts, 1)]


def ds(path: str, *numbers: float, vr: str = "DS") -> Rows:
    return [_row(path, vr, position=i, number=n, text=str(n)) for i, n in enumerate(numbers, 1)]


def da(path: str, text: str, vr: str = "DA") -> Rows:
    return [_row(path, vr, text=text.replace("-", ""), moment=day(text))]


def folded(path: str, low: float, high: float, vr: str = "DS") -> Rows:
    return [_row(path, vr, number=low, number_max=high, folded=True, instances=50)]


def code(path: str, value: str, scheme: str, meaning: str) -> Rows:
    said = {"code_value": value, "code_scheme": scheme, "code_meaning": meaning}
    return [_row(path, "SQ", **said)]


def items(path: str, number: int) -> Rows:
    return [_row(path, "SQ", position=None, number=float(number))]


def empty(path: str, vr: str = "LO") -> Rows:
    return [_row(path, vr, position=None)]


def _row(path: str, vr: str, **said: Any) -> dict[str, Any]:
    return {"path": path, "vr": vr, "position": 1, "instances": 1, "folded": False, **said}


def inside(table: str, document: str, **columns: Any) -> Rows:
    """A row of a table of contents."""
    return [{"in": table, "SOPInstanceUID": document, **columns}]


def item(path: str, value_type: str, document: str = "1.9", **columns: Any) -> Rows:
    """A content item."""
    return inside("items", document, path=path, value_type=value_type, item=1, **columns)


class SmallLake:
    """Series by UID; `put` adds or replaces them as indexing does, `drop` removes them."""

    def __init__(self, path: Path) -> None:
        self.store = Store.create(path)
        self.held: dict[str, tuple[int, int]] = {}

    def put(self, *series: tuple[str, int, int, Rows]) -> None:
        """Each as (SeriesInstanceUID, patient, study, rows)."""
        first = self.store.next_id()
        children: dict[str, Rows] = {name: [] for name in ("elements", *tables.CONTENTS)}
        rows: Rows = []
        for number, (uid, patient, study, said) in enumerate(series, first):
            for row in said:
                name = row.get("in", "elements")
                children[name].append({"series_id": number, **row})
            keys = {"patient_key": patient, "study_key": study, "SeriesInstanceUID": uid}
            rows.append({"series_id": number, **keys})
        for name, some in children.items():
            table = pa.Table.from_pylist(some, tables.ALL[name])
            self.store.append(name, table.sort_by(order_of(name)))
        uids = [uid for uid, *_ in series]
        known = [uid for uid in uids if uid in self.held]
        self.store.commit_series(pa.Table.from_pylist(rows, tables.SERIES), known, "run")
        self.held.update({uid: (patient, study) for uid, patient, study, _ in series})

    def drop(self, *uids: str) -> None:
        self.store.remove("series", "SeriesInstanceUID", uids)
        for uid in uids:
            del self.held[uid]
