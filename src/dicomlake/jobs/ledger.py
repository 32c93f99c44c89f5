"""The ledger: which files a lake knows, so that unchanged ones are not read again.

It is not kept apart but derived: instances, failures and files hold uri, size and time of change.
So it can never disagree with the lake, whenever a run was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from dicomlake.contracts import Found, Progress, Source
from dicomlake.lake import Store
from dicomlake.lake.store import connect, view

_FOUND = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("archive", pa.bool_()),
    ]
)
_STEP = 20_000


class Ledger:
    """What a source holds now against what the lake knows; lives on disk while a run lasts."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._db: duckdb.DuckDBPyConnection = connect(folder / "ledger.db")
        self._db.execute("set memory_limit = '400MB'")
        self._db.execute(f"set temp_directory = '{str(folder).replace(chr(39), chr(39) * 2)}'")
        for name in ("series", "instances", "failures", "files"):
            view(self._db, name, store.paths(name))
        self._db.execute(
            """create table known as
            select split_part(uri, '::', -1) as file, uri, epoch_us(modified) as modified,
                   case when uri like '%::%' then null else size end as size, 'instance' as what
            from instances
            where series_id in (select series_id from series)
            union all
            select split_part(uri, '::', -1), uri, epoch_us(modified), size, 'failure'
            from failures
            union all
            select split_part(uri, '::', -1), uri, epoch_us(modified), size, 'file'
            from files"""
        )
        self._db.execute(
            "create table found (uri text, size bigint, modified bigint, archive bool)"
        )

    def scan(self, source: Source, progress: Progress) -> None:
        """List everything the source holds."""
        progress.stage("looking for files", None, "files")
        rows: list[tuple[str, int, int, bool]] = []
        for found in source.find():
            rows.append((found.uri, found.size, found.modified, found.archive))
            if len(rows) >= _STEP:
                self._store(rows)
                progress.advance(len(rows))
                rows.clear()
        self._store(rows)
        progress.advance(len(rows))

    def _store(self, rows: list[tuple[str, int, int, bool]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, _FOUND, strict=True)]
            self._db.register("listed", pa.Table.from_arrays(arrays, schema=_FOUND))
            self._db.execute("insert into found select * from listed")
            self._db.unregister("listed")

    def compare(self, *, again: bool) -> dict[str, int]:
        """Settle what is to be read; counts of files, unchanged, changed and vanished ones.

        `again`: also read files whose last reading failed.
        """
        retry = "and what <> 'failure'" if again else ""
        self._db.execute(
            f"""create table todo as select f.* from found f anti join
            (select uri, size, modified from known where size is not null {retry}) k
            on f.uri = k.uri and f.size = k.size and f.modified = k.modified"""
        )
        self._db.execute(
            """create table stale as select distinct k.uri, k.file from known k
            semi join todo t on k.file = t.uri"""
        )
        count = self._count
        files, todo = count("select count(*) from found"), count("select count(*) from todo")
        changed = count("select count(distinct file) from stale")
        return {"files": files, "unchanged": files - todo, "changed": changed}

    def vanished(self, roots: list[str]) -> int:
        """Files of the lake below the roots that are no longer there."""
        self._db.execute("create table roots (root text)")
        self._db.executemany("insert into roots values (?)", [[r] for r in roots])
        self._db.execute(
            """create table gone as select distinct k.uri, k.file from known k
            semi join roots r on k.file = r.root or starts_with(k.file, r.root || '/')
            anti join found f on k.file = f.uri"""
        )
        return self._count("select count(distinct file) from gone")

    def prune(self) -> None:
        """Treat vanished files like changed ones: what the lake knows of them is stale."""
        self._db.execute("insert into stale select * from gone")

    def stale_noted(self) -> list[str]:
        """URIs in failures and files that are about to be read again, or are pruned."""
        found = self._db.execute(
            """select distinct k.uri from known k semi join stale s on k.file = s.file
            where k.what in ('failure', 'file')"""
        )
        return [row[0] for row in found.fetchall()]

    def is_stale(self, uris: pa.Array) -> list[bool]:
        """Which of the URIs of current instances must not be used any more."""
        self._db.register("asked", pa.table({"i": range(len(uris)), "uri": uris}))
        found = self._db.execute(
            "select a.i, s.uri is not null from asked a left join stale s on a.uri = s.uri "
            "order by a.i"
        )
        answer = [bool(row[1]) for row in found.fetchall()]
        self._db.unregister("asked")
        return answer

    def has_stale(self) -> bool:
        """Whether any known file changed, or is to be pruned."""
        return bool(self._count("select count(*) from stale"))

    def stale_uris(self) -> pa.Table:
        """All stale URIs."""
        return self._db.sql("select uri from stale").to_arrow_table()

    def todo(self) -> Iterator[Found]:
        """What is to be read, ordered by URI."""
        cursor = self._db.cursor()
        cursor.execute("select uri, size, modified, archive from todo order by uri")
        while rows := cursor.fetchmany(_STEP):
            for uri, size, modified, archive in rows:
                yield Found(uri, size, modified, archive)

    def _count(self, statement: str) -> int:
        return int(self._db.execute(statement).fetchall()[0][0])

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()
