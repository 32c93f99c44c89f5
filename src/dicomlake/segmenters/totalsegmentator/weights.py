"""Weights of TotalSegmentator: found in a folder, noted with the SHA-256 of each file.

Checkpoints are programs: to load one is to run it. So what was installed is noted once, and nothing
else is ever loaded. Weights are never downloaded here, and stay where they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from dicomlake.errors import UsageError
from dicomlake.segmenters.totalsegmentator.worker import FILES, digest

ABOUT = "totalsegmentator.json"
_DATASET = re.compile(r"Dataset(\d{3})_\w+")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights as they were installed: where they are, the Python that runs them, their files.

    `files` has the SHA-256 of each by its path below the folder.
    """

    folder: Path
    python: Path
    files: dict[str, str]

    @property
    def networks(self) -> tuple[str, ...]:
        """Folders of the networks, in order."""
        tail = f"/{FILES[0]}"
        return tuple(sorted(n.removesuffix(tail) for n in self.files if n.endswith(tail)))

    def digest(self, networks: Iterable[str]) -> str:
        """A digest of some networks: others give other answers."""
        found = hashlib.sha256()
        for network in sorted(networks):
            for name in FILES:
                found.update(f"{network}/{name} {self.files[f'{network}/{name}']}\n".encode())
        return found.hexdigest()[:12]


def default_folder() -> Path:
    """Where programs of this system keep data of a person."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "dicomlake" / "segmenters"


def installed(place: Path | None = None) -> Weights | None:
    """What is installed; None when nothing is."""
    try:
        said = orjson.loads(((place or default_folder()) / ABOUT).read_bytes())
        return Weights(Path(said["folder"]), Path(said["python"]), dict(said["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def install(folder: Path, python: Path | None = None, place: Path | None = None) -> Weights:
    """Note a folder of weights with the digest of every file; returns what was found.

    The folder has one folder for each network, as TotalSegmentator unpacks them:
    `Dataset297_.../nnUNetTrainer..__nnUNetPlans__3d_fullres/` with plans.json, dataset.json and
    fold_0/checkpoint_final.pth. UsageError says what is missing.
    """
    found = Weights(folder.absolute(), (python or Path(sys.executable)).absolute(), _files(folder))
    if not found.python.exists():
        raise UsageError(f"There is no Python at {found.python}. Give the path of its program.")
    noted = {"folder": str(found.folder), "python": str(found.python), "files": found.files}
    at = (place or default_folder()) / ABOUT
    try:
        at.parent.mkdir(parents=True, exist_ok=True)
        new = at.with_suffix(".new")
        new.write_bytes(orjson.dumps(noted, option=orjson.OPT_INDENT_2))
        new.replace(at)
    except OSError as error:
        raise UsageError(f"{at} cannot be written: {error.strerror}.") from error
    return found


def remove(place: Path | None = None) -> bool:
    """Forget what is installed, and say whether something was; the weights stay where they are."""
    at = (place or default_folder()) / ABOUT
    there = at.exists()
    at.unlink(missing_ok=True)
    return there


def _files(folder: Path) -> dict[str, str]:
    networks = [
        path
        for path in sorted(folder.glob("Dataset*/*__*__*"))
        if path.is_dir() and _DATASET.fullmatch(path.parent.name)
    ]
    if not networks:
        raise UsageError(
            f"{folder} holds no weights of TotalSegmentator. It should have folders such as "
            "Dataset297_TotalSegmentator_total_3mm_1559subj, as its downloads unpack to."
        )
    found = {}
    for network in networks:
        for name in FILES:
            path = network / name
            if not path.is_file():
                raise UsageError(f"{path} is missing: the weights are not complete.")
            found[path.relative_to(folder).as_posix()] = digest(path)
    return found
