"""Lakes as the callers of a service see them: opened when asked for, and shared by their like."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from fastapi import Request

from dicomlake.api import Lake
from dicomlake.jobs.access.roles import Who
from dicomlake.jobs.snapshots import Snapshots
from dicomlake.settings import Project, Settings
from dicomlake.web.access.lakes import filter_of, parts_folder, seen
from dicomlake.web.access.needs import who_of


class Views:
    """One per service; used by many threads."""

    def __init__(self, lake: Path, settings: Settings, whole: Snapshots[Lake]) -> None:
        self._lake, self._settings, self._whole = lake, settings, whole
        self._views: dict[tuple[str, bool], Snapshots[Lake]] = {}
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None

    def lakes(self, request: Request) -> Snapshots[Lake]:
        """Versions of the lake as the caller of a request sees them."""
        return self.of(who_of(request))

    def of(self, who: Who) -> Snapshots[Lake]:
        """Versions of the lake as somebody sees them."""
        key = self.key(who)
        if not any(key):
            return self._whole
        with self._lock:
            if key not in self._views:
                opener = seen(self._whole.at, self._project(who), self._least(who), self._parts())
                self._views[key] = Snapshots(self._lake, opener)
            return self._views[key]

    def opened(self, who: Who, lake: Path) -> Lake:
        """The newest version of the lake as somebody sees it, opened for them now."""
        with self._lock:
            folder = self._parts()
        whole = Lake(lake)
        return seen(lambda _: whole, self._project(who), self._least(who), folder)(lake, None)

    def key(self, who: Who) -> tuple[str, bool]:
        """What those have in common who see the same: the project with a filter, and masks."""
        return (who.project if self._project(who) is not None else "", who.masked)

    def _project(self, who: Who) -> Project | None:
        """The project of somebody, if it has a filter."""
        project = self._settings.project[who.project] if who.project else None
        return None if project is None or filter_of(project) is None else project

    def _least(self, who: Who) -> int | None:
        return self._settings.service.access.mask_below if who.masked else None

    def _parts(self) -> Path:
        if self._folder is None:
            self._folder = self._stack.enter_context(parts_folder(self._lake))
        return self._folder

    def close(self) -> None:
        """Let go of files."""
        with self._lock:
            self._views.clear()
            self._stack.close()
            self._folder = None
