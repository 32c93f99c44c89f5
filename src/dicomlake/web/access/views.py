"""Lakes as the callers of a service see them: opened when asked for, and shared by their like."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from pathlib import Path

from fastapi import Request

from dicomlake.api import Lake
from dicomlake.jobs.access.roles import Role, Who
from dicomlake.jobs.snapshots import Snapshots
from dicomlake.lake.store import is_lake
from dicomlake.settings import Project, Settings
from dicomlake.web.access.deidentified import Following, View, door_of_who
from dicomlake.web.access.lakes import filter_of, part_of, part_of_view, parts_folder, seen
from dicomlake.web.access.needs import who_of

Key = tuple[str, bool, str]


class Views:
    """One per service; used by many threads."""

    def __init__(self, lake: Path, settings: Settings, whole: Snapshots[Lake]) -> None:
        self._lake, self._settings, self._whole = lake, settings, whole
        self._views: dict[Key, Snapshots[Lake]] = {}
        self._doors: dict[tuple[str, str], View] = {}
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
        view = self.view(who)
        with self._lock:
            if key not in self._views:
                project, least = self._project(who), self._least(who)
                if view is None:
                    opener = seen(self._whole.at, project, least, self._parts())
                    self._views[key] = Snapshots(self._lake, opener)
                else:
                    part = partial(self._part, view)
                    opener = seen(partial(Lake, view.path), project, least, self._parts(), part)
                    self._views[key] = Following(view, opener)
            return self._views[key]

    def view(self, who: Who) -> View | None:
        """The de-identified view that somebody sees; None who sees the lake as it is."""
        door = door_of_who(who, self._settings)
        if door is None:
            return None
        with self._lock:
            key = (door.profile, door.pseudonyms)
            if key not in self._doors:
                self._doors[key] = View(self._lake, self._settings, door)
            return self._doors[key]

    def warm(self) -> None:
        """Begin to bring the view of the roles up to date, so that nobody has to wait for it."""
        roles = self._settings.service.deidentify.roles
        view = self.view(Who("", Role(roles[0]))) if roles and is_lake(self._lake) else None
        if view is not None:
            view.begin()

    def _part(self, view: View, lake: Lake, project: Project, folder: Path) -> Lake:
        """What a project sees of a view: its filter is asked of the lake as it is."""
        return part_of_view(lake, self._whole.at(), project, folder, view.cleaning.uid)

    def opened(self, who: Who, lake: Path) -> Lake:
        """The newest version of the lake as somebody sees it, opened for them now."""
        view = self.view(who)
        with self._lock:
            folder = self._parts()
        whole = Lake(lake if view is None else view.path)
        part = part_of if view is None else partial(self._part, view)
        project, least = self._project(who), self._least(who)
        return seen(lambda _: whole, project, least, folder, part)(lake, None)

    def key(self, who: Who) -> Key:
        """What those have in common who see the same.

        The project with a filter, masks, and by what the lake is de-identified.
        """
        door = door_of_who(who, self._settings)
        return (
            who.project if self._project(who) is not None else "",
            who.masked,
            f"{door.profile} {door.pseudonyms}" if door else "",
        )

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
            for view in self._doors.values():
                view.close()
            self._doors.clear()
            self._stack.close()
            self._folder = None
