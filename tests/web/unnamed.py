"""A service that shows a lake de-identified."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.views import bring_up
from dicomlake.settings import Deidentify, Project, Pseudonyms, Service, Settings

from ..planted import KEY, MARK
from .guarded import House, house


def settings(folder: Path) -> Settings:
    """Settings by which viewers and researchers see the lake de-identified."""
    keys = {}
    for name in ("study", "other"):
        (folder / f"{name}.key").write_text(f"{KEY}-{name}")
        keys[name] = Pseudonyms(key_file=folder / f"{name}.key")
    projects = {
        "open": Project(filter=f"StudyDescription contains '{MARK}' and Modality = 'MR'"),
        "all": Project(title="Everything"),
        "elsewhere": Project(deidentified=True, pseudonyms="other"),
    }
    shown = Deidentify(roles=("viewer", "researcher"), pseudonyms="study")
    service = Service(deidentify=shown)
    return Settings(project=projects, service=service, pseudonyms=keys)


def reveals(content: bytes, said: list[str]) -> list[str]:
    """What of it is in an answer, as it is, in UTF-16 or in base64."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    found = [s for s in said if s.encode() in content or s.encode("utf-16-le") in content]
    return found or [s for s in said if base64.b64encode(s.encode())[:-4] in content and len(s) > 7]


@contextmanager
def unnamed(lake: Path, folder: Path) -> Iterator[House]:
    """A service of the lake, whose views are there already."""
    made = settings(folder)
    for name in made.pseudonyms:
        bring_up(lake, door_of(made, made.service.deidentify.profile, name))
    with house(lake, made) as found:
        yield found
