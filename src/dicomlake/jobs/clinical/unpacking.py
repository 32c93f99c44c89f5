"""Archives of clinical files: what a zip has, in a folder of its own."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from dicomlake.errors import DataError

MOST_TIMES = 200
"""So many times its own bytes an archive may become, beside FREE bytes; more is a trap."""
FREE = 64 * 1000**2
_STEP = 1024**2


def unpack(path: Path, folder: Path) -> list[Path]:
    """The files of a zip, in a folder; DataError for what is none, or leads out of the folder."""
    left = FREE + MOST_TIMES * path.stat().st_size
    made = []
    try:
        with zipfile.ZipFile(path) as packed:
            for one in packed.infolist():
                target = _place(folder, one.filename)
                if one.is_dir() or target is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(one) as source, target.open("xb") as file:
                    while piece := source.read(_STEP):
                        left -= len(piece)
                        if left < 0:
                            raise DataError("the archive becomes too large when it is unpacked")
                        file.write(piece)
                made.append(target)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError("the archive is damaged, or needs a password") from error
    except FileExistsError as error:
        raise DataError("the archive has two files of one name") from error
    return made


def _place(folder: Path, name: str) -> Path | None:
    """Where a file of an archive goes; None for hidden ones, DataError for one that leads out."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise DataError("the archive has a file that leads out of it")
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        return None
    return folder.joinpath(*parts)
