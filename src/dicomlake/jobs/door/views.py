"""Views: a lake as those see it who are to see nobody; a lake of its own in the private folder.

LAKE/_access/views/DIGEST/      the headers of the lake, cleaned and read again, and their tables

The name is the digest of rules and key: with others there is another view. So whatever asks a view
(SQL, DICOMweb, vocabulary, tables) can tell nothing that the profile takes away. Its objects lie
in sealed places and are cleaned when they are opened; its folder keeps the last ones.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dicomlake.contracts import Progress
from dicomlake.jobs.door.cleaning import Door
from dicomlake.jobs.door.following import follow
from dicomlake.jobs.door.sources import LakeSource
from dicomlake.jobs.index import index
from dicomlake.jobs.snapshots import newest_version
from dicomlake.lake import Store
from dicomlake.lake.keeping import Kept
from dicomlake.lake.store import ACCESS, KEPT, MARK, is_lake

_VIEWS, _SEEN = "views", "seen.json"
FORM = 2
"""Of what a view holds: those of another form are made anew."""


def view_of(lake: Path, door: Door) -> Path:
    """Where the view of a lake by a door is; it may not be there yet."""
    cleaning = door.cleaning()
    try:
        digest = cleaning.digest
    finally:
        cleaning.close()
    return Path(lake).absolute() / ACCESS / _VIEWS / door.seal.short(f"{digest} {FORM}")[:16]


def behind(lake: Path, view: Path) -> bool:
    """Whether a view does not show what the lake holds now."""
    return not is_lake(view) or _seen(view) != newest_version(Path(lake))


def born_of(view: Path) -> int:
    """What tells a view from one that was made anew in its place; 0 for none."""
    try:
        return (Path(view) / MARK).stat().st_mtime_ns
    except OSError:
        return 0


def complete(view: Path) -> bool:
    """Whether a view has shown all of its lake once."""
    return is_lake(view) and _seen(view) >= 0


def bring_up(lake: Path, door: Door, progress: Progress | None = None) -> Path:
    """The view of a lake by a door, brought up to date with it.

    LakeError when another process does so now.
    """
    lake, view = Path(lake), view_of(lake, door)
    for folder in (view.parent.parent, view.parent, view):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(lake)
    version = store.version
    made = Store.create(view)
    made.note_door({"profile": door.profile, "pseudonyms": door.pseudonyms, "view": True})
    if _seen(view) != version:
        index(LakeSource(store, door), made, prune=True, progress=progress)
        facts = follow(store, made, door, _noted(view).get("facts", ""), progress)
        (view / _SEEN).write_text(json.dumps({"version": version, "facts": facts}))
    return view


def lake_of_view(view: Path) -> Path:
    """The lake that a view shows."""
    return Path(view).absolute().parents[2]


def kept_of_view(view: Path, limit: int) -> Kept:
    """The cleaned objects that a view keeps."""
    return Kept(view / KEPT, limit)


def forget(lake: Path) -> int:
    """Remove all views of a lake and what they keep: they are made again when asked for."""
    folder = Path(lake) / ACCESS / _VIEWS
    found = [path for path in folder.glob("*") if path.is_dir()]
    for path in found:
        shutil.rmtree(path)
    return len(found)


def _seen(view: Path) -> int:
    return int(_noted(view).get("version", -1))


def _noted(view: Path) -> dict[str, Any]:
    """What a view has shown of its lake: the version, and whether facts have changed since."""
    try:
        return dict(json.loads((view / _SEEN).read_text()))
    except (OSError, ValueError):
        return {}
