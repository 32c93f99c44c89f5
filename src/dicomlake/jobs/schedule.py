"""The schedule: daily work is queued at its time, once, also after a night switched off."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from dicomlake.contracts.queues import LATER, TODAY, Queue
from dicomlake.errors import DicomlakeError, ServiceError
from dicomlake.jobs.requests import Request, Requests
from dicomlake.lake.store import QUEUE
from dicomlake.settings import Schedule, Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0


def request_of(entry: Schedule, today: date, settings: Settings) -> Request:
    """What a line of the schedule asks for on a day.

    >>> from dicomlake.settings import Settings, Source
    >>> found = Settings(source={"pacs": Source(kind="dicomweb", url="http://pacs")})
    >>> request_of(Schedule(source="pacs", days=2), date(2024, 3, 2), found).dates
    ('20240229', '20240301')
    """
    source = settings.of(entry.source)
    label = f"schedule: {entry.what} at {entry.at}"
    depth = entry.depth or source.depth
    yesterday = f"{today - timedelta(days=1):%Y%m%d}"
    if entry.what == "yesterday":
        first = f"{today - timedelta(days=entry.days):%Y%m%d}"
        dates = (first, yesterday)
        return Request(entry.source, {}, dates, depth, TODAY, source.keep, label=label)
    if entry.what == "catalogue":
        return Request(entry.source, {}, None, "catalogue", LATER, undated=True, label=label)
    return Request(
        entry.source, {}, ("", yesterday), depth, LATER, source.keep, backwards=True, label=label
    )


class Scheduler:
    """Submits what is due; safe with several crews on one lake. `clock` gives local time."""

    def __init__(
        self,
        lake: str | Path,
        settings: Settings,
        queue: Queue,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._lake, self._settings, self._queue, self._clock = lake, settings, queue, clock
        self._last = -LOOK_EVERY_S
        self._requests: Requests | None = None
        path = Path(lake).absolute() / QUEUE / "schedule.sqlite"
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute(
            "create table if not exists submitted (entry text, day text, primary key (entry, day))"
        )

    def tick(self) -> int:
        """Submit what is due and was not yet; how many requests. Looks every ten seconds only."""
        now = time.monotonic()
        if now - self._last < LOOK_EVERY_S or not self._settings.schedule:
            return 0
        self._last = now
        return self.look()

    def look(self) -> int:
        """Submit what is due and was not yet; how many requests."""
        now = self._clock()
        count = 0
        for entry in self._settings.schedule:
            name = json.dumps(entry.model_dump(mode="json"), sort_keys=True)
            if f"{now:%H:%M}" < entry.at or not self._claim(name, f"{now:%Y-%m-%d}"):
                continue
            try:
                job = self._asking().submit(request_of(entry, now.date(), self._settings))
            except DicomlakeError as error:
                log.error("scheduled work not possible", extra={"why": str(error)})
                if isinstance(error, ServiceError):  # the next look may do it
                    self._release(name, f"{now:%Y-%m-%d}")
            else:
                log.info("scheduled work", extra={"source": entry.source, "job": job.id})
                count += 1
        return count

    def _claim(self, name: str, day: str) -> bool:
        """Whether nobody has submitted an entry on a day before."""
        try:
            done = self._db.execute("insert or ignore into submitted values (?, ?)", (name, day))
        except sqlite3.Error as error:
            raise ServiceError(f"The schedule cannot be written ({error}).") from error
        return done.rowcount > 0

    def _release(self, name: str, day: str) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("delete from submitted where entry = ? and day = ?", (name, day))

    def _asking(self) -> Requests:
        if self._requests is None:
            self._requests = Requests(self._lake, self._settings, self._queue)
        return self._requests

    def close(self) -> None:
        """Let go of the files."""
        if self._requests is not None:
            self._requests.close()
        self._db.close()
