"""The ledger: which files a lake knows, so that unchanged ones are not read again.

It is not kept apart but derived: instances, failures and files hold uri, size and time of change.
So it can never disagree with the lake, whenever a run was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts import Found, Source
from dicomlake.errors import UsageError
from dicomlake.jobs.runs import Run
from dicomlake.lake import Store
from dicomlake.lake.database import connect, view

_FOUND = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("archive", pa.bool_()),
    ]
)
_STEP = 20_000
_MEMORY = "300MB"


class Known(Protocol):
    """What the writer of a lake has to know of what is read and of what it replaces.

    `db` has the tables `todo` (files that are read) and `stale` (rows of the lake that give way).
    """

    db: duckdb.DuckDBPyConnection

    def stale_archives(self) -> set[str]:
        """Archives to be read of which the lake holds something already."""

    def has_stale(self) -> bool:
        """Whether something of the lake gives way."""

    def outdate(self, ids: list[int], old: list[str], new: list[str]) -> None:
        """Settle which rows in files of `instances` give way to new ones; `ids` are their series'.

        Called before series are merged.
        """


class Ledger:
    """What a source holds now against what the lake knows.

    What does not fit into memory goes to files in `folder`. `db` has the tables `todo` (files to be
    read) and `stale` (rows of the lake about files that are to be read again, hold something else
    now, or are pruned).
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.db: duckdb.DuckDBPyConnection = connect(memory=_MEMORY, spill=folder)
        for name in ("series", "instances", "failures", "files"):
            view(self.db, f"then_{name}", store.paths(name), tables.ALL[name])
        # The size of an archive's member says nothing about the archive.
        self.db.execute(
            """create table known as
            select split_part(uri, '::', -1) as file, uri, epoch_us(modified) as modified, size,
                   uri not like '%::%' as whole, 'instance' as what
            from then_instances semi join then_series using (series_id)
            union all
            select split_part(uri, '::', -1), uri, epoch_us(modified), size,
                   uri not like '%::%', 'failure'
            from then_failures
            union all
            select split_part(uri, '::', -1), uri, epoch_us(modified), size,
                   uri not like '%::%', 'file'
            from then_files"""
        )
        self.db.execute("create table found (uri text, size bigint, modified bigint, archive bool)")

    def scan(self, source: Source, run: Run) -> None:
        """List everything the source holds."""
        run.progress.stage("looking for files", None, "files")
        rows: list[tuple[str, int, int, bool]] = []
        for found in source.find():
            rows.append((found.uri, found.size, found.modified, found.archive))
            if len(rows) >= _STEP:
                self._store(rows)
                run.progress.advance(len(rows))
                run.check()
                rows.clear()
        self._store(rows)
        run.progress.advance(len(rows))

    def _store(self, rows: list[tuple[str, int, int, bool]]) -> None:
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, _FOUND, strict=True)]
            self.db.register("listed", pa.Table.from_arrays(arrays, schema=_FOUND))
            self.db.execute("insert into found select * from listed")
            self.db.unregister("listed")

    def compare(self, roots: list[str], *, again: bool, prune: bool) -> dict[str, int]:
        """Settle what is to be read; counts of files, unchanged, changed and vanished ones.

        `roots`: what the source lists completely, folders with a slash at the end. `again`: also
        read files whose last reading failed. `prune`: what vanished files held is stale.
        """
        retry = "or f.uri in (select file from known where what = 'failure')" if again else ""
        self.db.execute(
            f"""create table reading as select distinct on (f.uri) f.* from found f
            where f.uri not in (
                select f.uri from found f join known k
                on k.whole and k.uri = f.uri and k.size = f.size and k.modified = f.modified)
            {retry}"""
        )
        self.db.execute(
            """create table stale as select distinct k.* from known k join found f on k.file = f.uri
            where k.file in (select uri from reading) or k.modified <> f.modified
               or (k.whole and k.size <> f.size)"""
        )
        self._vanished(roots)
        if prune:
            self._refuse_empty()
            self.db.execute("insert into stale select * from gone")
        self._take_over()
        self.db.execute(
            "create table todo as select *, row_number() over (order by uri) as place from reading"
        )
        self.db.execute("drop table reading")
        count = self._count
        files, todo = (count(f"select count(distinct uri) from {t}") for t in ("found", "todo"))
        return {
            "files": files,
            "unchanged": files - todo,
            "changed": count("select count(*) from todo where uri in (select file from stale)"),
            "vanished": count("select count(distinct file) from gone"),
        }

    def _vanished(self, roots: list[str]) -> None:
        """What the lake knows below the roots that is no longer there.

        What lies below a folder that cannot be listed now has not vanished.
        """
        self.db.register("rooted", pa.table({"root": pa.array(roots, pa.string())}))
        self.db.execute("create table roots as select distinct root from rooted")
        self.db.unregister("rooted")
        self.db.execute(
            """create table gone as select k.* from known k
            where (k.file in (select root from roots) or exists (
                select 1 from roots r where r.root like '%/' and starts_with(k.file, r.root)))
            and k.file not in (select uri from found)
            and not exists (
                select 1 from found f where f.size = 0 and f.modified = 0
                and starts_with(k.file, f.uri || '/'))"""
        )

    def _refuse_empty(self) -> None:
        """UsageError when a folder of which the lake knows files is empty: a disk may be away."""
        empty = self._count(
            """select count(*) from roots r where r.root like '%/'
            and exists (select 1 from gone g where starts_with(g.file, r.root))
            and not exists (select 1 from found f where starts_with(f.uri, r.root))"""
        )
        if empty:
            raise UsageError(
                "Nothing at all is left below a folder of which the lake holds files. If a disk is "
                "missing, connect it. If the folder really is empty, put any file into it and "
                "prune again."
            )

    def _take_over(self) -> None:
        """Read duplicates again whose object the lake would no longer hold otherwise."""
        if not self._count("select count(*) from then_files where state = 'duplicate'"):
            return
        self.db.execute(
            """create table repeated as
            select "SeriesInstanceUID" as series, "SOPInstanceUID" as sop,
                   split_part(uri, '::', -1) as file
            from then_files where state = 'duplicate';
            create table held as select s."SeriesInstanceUID" as series, i."SOPInstanceUID" as sop
            from then_instances i
            semi join repeated r on i."SOPInstanceUID" = r.sop
            join then_series s using (series_id)
            anti join stale x on x.uri = i.uri and x.size = i.size
            and x.modified = epoch_us(i.modified) and x.what = 'instance';
            create table orphans as select distinct file from repeated anti join held
            using (series, sop)"""
        )
        self.db.execute(
            """insert into reading select distinct on (f.uri) f.* from found f
            semi join orphans on f.uri = orphans.file anti join reading r on f.uri = r.uri"""
        )
        self.db.execute(
            """insert into stale select distinct k.* from known k
            semi join orphans o on k.file = o.file semi join reading r on k.file = r.uri
            anti join stale s on k.file = s.file"""
        )

    def noted(self, what: str) -> list[str]:
        """URIs in `failures` or `files` whose note is void ("failure" or "file").

        A failure is also void when its file is no longer there.
        """
        also = "union select uri from gone where what = 'failure'" if what == "failure" else ""
        found = self.db.execute(f"select uri from stale where what = ? {also}", [what])
        return [row[0] for row in found.fetchall()]

    def stale_archives(self) -> set[str]:
        """Archives to be read of which the lake holds something already."""
        found = self.db.execute(
            "select uri from todo where archive and uri in (select file from stale)"
        )
        return {row[0] for row in found.fetchall()}

    def has_stale(self) -> bool:
        """Whether any known file changed, or is to be pruned."""
        return bool(self._count("select count(*) from stale where what = 'instance'"))

    def outdate(self, ids: list[int], old: list[str], new: list[str]) -> None:
        """Nothing: `compare` has settled it by size and time of change."""

    def few(self) -> bool:
        """Whether so little is to be read that processes would start more slowly than it is."""
        size, count = self.db.execute(
            "select coalesce(sum(size) filter (archive), 0), count(*) from todo"
        ).fetchall()[0]
        return bool(count < 200 and size < 64 * 1024**2)

    def todo(self) -> Iterator[Found]:
        """What is to be read, ordered by URI."""
        last = 0
        while True:
            rows = self.db.execute(
                "select uri, size, modified, archive from todo where place > ? and place <= ? "
                "order by place",
                [last, last + _STEP],
            ).fetchall()
            if not rows:
                return
            last += _STEP
            for uri, size, modified, archive in rows:
                yield Found(uri, size, modified, archive)

    def _count(self, statement: str) -> int:
        return int(self.db.execute(statement).fetchall()[0][0])

    def close(self) -> None:
        """Let go of the files."""
        self.db.close()
