"""Files that are made in the background: how far they are, fetched, cancelled.

Who asked for it, and nobody else, sees how far it is, fetches its files and cancels it. Files lie
in the folder of the lake, readable by its owner alone, and go a day later or with the service.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomlake.errors import DicomlakeError
from dicomlake.lake.store import ACCESS
from dicomlake.web.problems import Failed

log = logging.getLogger(__name__)

MOST_RUNNING, MOST_KEPT = 3, 30
KEPT_S = 24 * 3600.0


@dataclass(slots=True)
class Export:
    """An export and how far it is: its files by name, with types and numbers of lines.

    `told`: what else there is to say of it.
    """

    id: str
    owner: tuple[str, str]
    folder: Path
    url: str
    began: datetime
    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    lines: int = 0
    state: str = "running"
    why: str = ""
    cancelled: bool = False
    ended: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


Work = Callable[[Export], None]
"""What makes the files; it ends early, or raises Cancelled, when the export was cancelled."""


class Exports:
    """The exports of a service; used by many threads."""

    def __init__(self, lake: Path, name: str = "exports") -> None:
        self._above = lake / ACCESS / name
        self._all: dict[str, Export] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, owner: tuple[str, str], url: str, work: Work) -> Export:
        """Begin an export; 429 while there are too many."""
        with self._lock:
            self._forget()
            running = sum(one.state == "running" for one in self._all.values())
            if running >= MOST_RUNNING or len(self._all) >= MOST_KEPT:
                raise Failed(429, "Too many exports run or are kept. Delete one, or wait.")
            id_ = secrets.token_urlsafe(16)
            folder = self._folder() / id_
            folder.mkdir(mode=0o700)
            made = Export(id_, owner, folder, url, datetime.now(UTC))
            self._all[id_] = made
            thread = threading.Thread(target=_run, args=(made, work), daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()
        return made

    def all_of(self, owner: tuple[str, str]) -> list[Export]:
        """The exports of somebody, the newest first."""
        with self._lock:
            self._forget()
            found = [one for one in self._all.values() if one.owner == owner]
        return sorted(found, key=lambda one: one.began, reverse=True)

    def of(self, owner: tuple[str, str], id_: str) -> Export:
        """An export of somebody; 404 when they have none of that id."""
        with self._lock:
            self._forget()
            found = self._all.get(id_)
        if found is None or found.owner != owner:
            raise Failed(404, "There is no such export, or not any more. Start it again.")
        return found

    def cancel(self, made: Export) -> None:
        """End an export, and remove its files."""
        made.cancelled = True
        with self._lock:
            self._all.pop(made.id, None)
        if made.state != "running":
            shutil.rmtree(made.folder, ignore_errors=True)

    def close(self) -> None:
        """End all of them, and remove their files."""
        with self._lock:
            listed, threads = list(self._all.values()), self._threads
        for one in listed:
            self.cancel(one)
        for thread in threads:
            thread.join(30)
        for one in listed:
            shutil.rmtree(one.folder, ignore_errors=True)

    def _folder(self) -> Path:
        """Where exports lie; what a killed service left is removed."""
        self._above.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._above.mkdir(mode=0o700, exist_ok=True)
        for old in self._above.iterdir():
            aged = time.time() - old.stat().st_mtime > 2 * KEPT_S
            if old.name not in self._all and aged:
                shutil.rmtree(old, ignore_errors=True)
        return self._above

    def _forget(self) -> None:
        for one in list(self._all.values()):
            if one.ended and time.monotonic() - one.ended > KEPT_S:
                del self._all[one.id]
                shutil.rmtree(one.folder, ignore_errors=True)


def _run(made: Export, work: Work) -> None:
    try:
        work(made)
        made.state = "finished"
    except DicomlakeError as error:
        made.state, made.why = "failed", str(error)
    except OSError as error:
        made.state, made.why = "failed", f"The files cannot be written: {error.strerror}."
    except Exception as error:  # noqa: BLE001  what a bug says may hold values: only its name
        log.error("export failed", extra={"error": type(error).__name__})
        made.state, made.why = "failed", "Something went wrong here, not with the request."
    finally:
        made.ended = time.monotonic()
        if made.cancelled:
            shutil.rmtree(made.folder, ignore_errors=True)
