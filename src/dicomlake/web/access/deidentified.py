"""Who sees the lake de-identified, and the view that they see, which follows the lake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from dicomlake.api import Lake
from dicomlake.errors import DicomlakeError, LakeError
from dicomlake.jobs.access.roles import Role, Who
from dicomlake.jobs.door.cleaning import Cleaning, Door, door_of
from dicomlake.jobs.door.opening import Behind
from dicomlake.jobs.door.views import behind, born_of, bring_up, complete, kept_of_view, view_of
from dicomlake.jobs.snapshots import LOOK_EVERY_S, Snapshots
from dicomlake.lake.keeping import Kept
from dicomlake.settings import Settings
from dicomlake.sources.opening import Elsewhere

WAIT_S = 20.0
"""How long a question waits for what came last; then it sees the view as it was before."""


def deidentified(who: Who, settings: Settings) -> bool:
    """Whether somebody sees the lake de-identified: by role, or by project."""
    project = settings.project.get(who.project) if who.project else None
    return who.role in settings.service.deidentify.roles or (
        project is not None and project.deidentified
    )


def door_of_who(who: Who, settings: Settings) -> Door | None:
    """By what the lake is de-identified for somebody; None where it is seen as it is."""
    if not deidentified(who, settings):
        return None
    said, project = settings.service.deidentify, settings.project.get(who.project)
    name = (project.pseudonyms if project else "") or said.pseudonyms
    return door_of(settings, said.profile, name)


def check_doors(settings: Settings) -> None:
    """UsageError when somebody is to see the lake de-identified, and profile or key are missing."""
    whos = [Who("", Role(role)) for role in settings.service.deidentify.roles]
    whos += [Who("", Role.viewer, name) for name in settings.project]
    for who in whos:
        if (door := door_of_who(who, settings)) is not None:
            door.cleaning().close()


class View:
    """A view of the lake of a service; used by many threads."""

    def __init__(self, lake: Path, settings: Settings, door: Door) -> None:
        self.lake, self.door = Path(lake).absolute(), door
        self.path = view_of(lake, door)
        self.kept: Kept = kept_of_view(self.path, settings.cache.bytes)
        self.cleaning: Cleaning = door.cleaning()
        self._lock = threading.Lock()
        self._looked = 0.0
        self._running: threading.Thread | None = None
        self._failed: DicomlakeError | None = None

    def begin(self) -> threading.Thread | None:
        """Begin to bring the view up to date; None when it is."""
        with self._lock:
            now = time.monotonic()
            if self._running is None:
                if self._looked and now - self._looked < LOOK_EVERY_S:
                    return None
                if not behind(self.lake, self.path):
                    self._looked = now
                    return None
                self._failed = None
                self._running = threading.Thread(target=self._bring_up, daemon=True)
                self._running.start()
            return self._running

    def follow(self) -> None:
        """Bring the view up to date, or begin to; LakeError while there is none yet."""
        running = self.begin()
        if running is not None:
            running.join(WAIT_S)
            self._check(running)

    def _bring_up(self) -> None:
        try:
            bring_up(self.lake, self.door)
        except DicomlakeError as error:
            self._failed = error
        finally:
            self._running = None

    def _check(self, running: threading.Thread) -> None:
        """LakeError when there is nothing to see."""
        if complete(self.path):
            return
        if running.is_alive():
            raise LakeError(
                "The de-identified view of the lake is being made. Try again in a few minutes."
            )
        if self._failed is not None:
            raise LakeError(
                f"The de-identified view of the lake cannot be made. {self._failed}"
            ) from self._failed

    def elsewhere(self, inner: Callable[[], Elsewhere]) -> Elsewhere:
        """Where the objects of the view are; `inner`: those of the lake."""
        return Elsewhere(self.kept, None, (), Behind(self.door, inner, self.kept, self.lake))

    def close(self) -> None:
        """Let go of what is open."""
        self.cleaning.close()


class Following(Snapshots[Lake]):
    """Versions of a view, which follows its lake."""

    def __init__(self, view: View, opener: Callable[[Path, int | None], Lake]) -> None:
        super().__init__(view.path, opener)
        self._view, self._born = view, 0

    def at(self, version: int | None = None) -> Lake:
        """A version of the view."""
        self._view.follow()
        if (born := born_of(self._view.path)) != self._born:  # made anew: versions mean others
            with self._lock:
                self._open.clear()
                self._newest = self._shown = -1
                self._born = born
        return super().at(version)
