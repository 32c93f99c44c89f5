"""The ledger of what archives send: there is no list of files, only objects that came.

An object that came again replaces the one of the same URI when its attributes differ, or when only
its header was known before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from dicomlake.lake.database import connect, parquet

_MEMORY = "500MB"


class Arrivals:
    """What the writer has to know (`dicomlake.jobs.ledger.Known`); spills to files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.db = connect(memory=_MEMORY, spill=folder)
        self.db.execute("create table todo (uri text)")
        self.db.execute("create table stale (uri text, size bigint, modified bigint, what text)")

    def stale_archives(self) -> set[str]:
        """None: archives are files."""
        return set()

    def has_stale(self) -> bool:
        """Nothing of the lake gives way unless something else comes."""
        return False

    def outdate(self, ids: list[int], old: list[str], new: list[str]) -> None:
        """Let rows of the lake give way to objects that came again and differ."""
        self.db.execute("delete from todo; delete from stale")
        self.db.register("known_ids", pa.table({"series_id": pa.array(ids, pa.int64())}))
        self.db.execute(f"insert into todo select distinct uri from {parquet(new)}")
        found = self.db.sql(
            f"""select o.uri, o.size, epoch_us(o.modified) as modified, o.header, n.header as said,
                       n.size as came
            from {parquet(old)} o semi join known_ids using (series_id)
            join (select uri, any_value(header) as header, max(size) as size
                  from {parquet(new)} group by uri) n using (uri)
            where o.header <> n.header"""
        ).to_arrow_reader(1000)
        rows: list[tuple[Any, ...]] = []
        for batch in found:
            for row in batch.to_pylist():
                if _differs(row):
                    rows.append((row["uri"], row["size"], row["modified"], "instance"))
        self.db.unregister("known_ids")
        if rows:
            self.db.executemany("insert into stale values (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Let go of the files."""
        self.db.close()


def _differs(row: dict[str, Any]) -> bool:
    if not row["size"] and row["came"]:
        return True
    return _plain(orjson.loads(row["header"])) != _plain(orjson.loads(row["said"]))


def _plain(header: dict[str, Any]) -> dict[str, Any]:
    """A header without what depends on the way it came: file meta, places of bulk data."""
    return {tag: _bare(e) for tag, e in header.items() if not tag.startswith("0002")}


def _bare(element: dict[str, Any]) -> dict[str, Any]:
    if "BulkDataURI" in element:
        return {"BulkDataURI": ""}
    if element.get("vr") == "SQ" and "Value" in element:
        return {"vr": "SQ", "Value": [_plain(item) for item in element["Value"]]}
    return element
