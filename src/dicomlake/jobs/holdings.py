"""What the lake holds of a study, asked again and again while archives are pulled."""

from __future__ import annotations

import time
from pathlib import Path

from dicomlake.lake import Store
from dicomlake.lake.database import connect, parquet
from dicomlake.lake.store import is_lake

LOOK_AGAIN_S = 5.0


class Holdings:
    """Looks into the table `series` of a lake every few seconds; used by one thread."""

    def __init__(self, lake: str | Path, every_s: float = LOOK_AGAIN_S) -> None:
        self._lake, self.every_s = Path(lake), every_s
        self._db = connect(memory="300MB")
        self._store: Store | None = None
        self._looked = -every_s

    def series(self, study: str) -> dict[str, tuple[str, int]]:
        """How complete each series of a study is, and its instances, by SeriesInstanceUID."""
        self._look()
        if self._store is None:
            return {}
        rows = self._db.execute(
            'select "SeriesInstanceUID", complete, instances from series '
            'where "StudyInstanceUID" = ?',
            [study],
        ).fetchall()
        return {uid: (complete, instances) for uid, complete, instances in rows}

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < self.every_s:
            return
        self._looked = now
        if self._store is None:
            if not is_lake(self._lake):
                return
            self._store = Store(self._lake)
        elif not self._store.refresh():
            return
        if paths := self._store.paths("series"):
            self._db.execute(f"create or replace view series as select * from {parquet(paths)}")
        else:
            self._store = None
