"""What the service does for those who call it: one lake, its requests and its archives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from fastapi import Request as HttpRequest

from dicomlake.api import Lake
from dicomlake.contracts.archives import Check
from dicomlake.errors import DicomlakeError, UsageError
from dicomlake.jobs.documents import check_features, documents
from dicomlake.jobs.pivot import encoded
from dicomlake.jobs.requests import Job, Requests
from dicomlake.jobs.saved import Saved
from dicomlake.jobs.snapshots import Snapshots
from dicomlake.jobs.status import Status, status
from dicomlake.jobs.trying import try_source
from dicomlake.jobs.working import care_of
from dicomlake.lake.store import is_lake
from dicomlake.query import Query
from dicomlake.settings import Settings
from dicomlake.web.access.needs import who_of
from dicomlake.web.access.views import Views
from dicomlake.web.problems import Failed
from dicomlake.web.running import Board, Running

_PIECE = 256 * 1024
"""Bytes of documents that are sent together, about."""


LARGE = 100_000
"""Series of a lake that takes seconds to open: its versions are prepared before they are shown."""


def _large(lake: Lake) -> bool:
    return lake.totals["series"] >= LARGE


class Desk:
    """One per service; used by many threads. Files and connections open when they are needed.

    `lake`: the folder of the lake as its caller sees it; `home`: that of the lake of the service.
    """

    def __init__(self, lake: Path, settings: Settings) -> None:
        self.lake = self.home = Path(lake)
        self.settings = settings
        self._requests: Requests | None = None
        self.lakes: Snapshots[Lake] = Snapshots(self.lake, Lake, _large, self._warm)
        self.board = Board()
        self.saved = Saved(self.lake)
        self._lock = threading.Lock()
        self._warming = Running()

    @property
    def requests(self) -> Requests:
        """The requests of the lake."""
        with self._lock:
            if self._requests is None:
                self._requests = Requests(self.lake, self.settings)
            return self._requests

    def warm(self) -> None:
        """Ask what everybody sees first, beside other work, so that nobody has to wait for it."""

        def ask() -> None:
            with suppress(DicomlakeError):
                self._warm(self.lakes.at())

        if is_lake(self.lake):
            threading.Thread(target=ask, name="warm", daemon=True).start()

    def _warm(self, lake: Lake) -> None:
        running = self._warming.use(lake)
        running.terminology.children("", "technical")
        for level in ("study", "patient", "series"):
            self._warming.check()
            running.engine.answer(Query(None, level, limit=1), ticket=self._warming)

    def close(self) -> None:
        """Let go of files and connections."""
        self._warming.cancel()
        with self._lock:
            if self._requests is not None:
                self._requests.close()
                self._requests = None

    # Jobs

    def job(self, id_: str) -> Job:
        """A job; 404 when there is none."""
        try:
            return self.requests.job(id_)
        except UsageError as error:
            raise Failed(404, f"There is no job {id_[:64]!r}. GET /api/jobs lists them.") from error

    def documents(self, job: Job, features: tuple[str, ...], form: str) -> Iterator[bytes]:
        """Documents of the series of a job that are there, in pieces of a file.

        What is wrong is said before the first piece is given.
        """
        wanted = check_features(features or job.request.features)
        series = self.requests.series(job.id)
        found = documents(self.lakes.at().store, series, wanted) if is_lake(self.lake) else iter(())
        parts = _pieces(encoded(found, form))
        return chain([next(parts, b"")], parts)

    # Sources

    def status(self) -> Status:
        """What goes on at the lake."""
        return status(self.lake, self.settings, self.requests.queue)

    def source(self, name: str) -> str:
        """The name of a source; 404 when there is none."""
        try:
            self.settings.of(name)
        except UsageError as error:
            raise Failed(404, str(error)) from error
        return name

    def check(self, name: str) -> Iterator[Check]:
        """Try a source: connect, ask, ways to retrieve."""
        return try_source(self.lake, self.settings, self.source(name))

    def pause(self, name: str | None) -> None:
        """Ask nothing more of a source, or of any."""
        care_of(self.lake).pause(name)

    def resume(self, name: str | None) -> None:
        """Ask a source again, or all that are not paused by themselves."""
        care_of(self.lake).resume(name)


class DeskOf(Desk):
    """A desk whose lakes are what somebody sees; all else is that of the service.

    `view`: the folder of the de-identified view that they see, which is the lake for all that they
    ask; what they save for themselves is kept at `home`.
    """

    def __init__(self, desk: Desk, lakes: Snapshots[Lake], view: Path | None = None) -> None:
        self._desk = desk
        self.lake, self.home = view or desk.lake, desk.home
        self.settings, self.board, self.saved = desk.settings, desk.board, desk.saved
        self.lakes = lakes

    @property
    def requests(self) -> Requests:
        """The requests of the lake."""
        return self._desk.requests

    def close(self) -> None:
        """Nothing: files and connections belong to the service."""


def desk_of(request: HttpRequest) -> Desk:
    """The desk of the service that a request came to, with the lake as its caller sees it."""
    whole: Desk = request.app.state.desk
    views: Views = request.app.state.views
    lakes = views.lakes(request)
    if lakes is whole.lakes:
        return whole
    view = views.view(who_of(request))
    return DeskOf(whole, lakes, view.path if view is not None else None)


def _pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Parts joined to pieces of a good size."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
