"""What can be tried of an archive without changing anything, and what to do when it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dicomlake.contracts.archives import Check
from dicomlake.errors import DicomlakeError, UsageError

if TYPE_CHECKING:
    from dicomlake.sources.dimse.archive import DimseArchive


def of(archive: DimseArchive) -> Iterator[Check]:
    """A row per thing tried; those that need an earlier one end when it fails."""
    check = _tried("connect (C-ECHO)", lambda: _answers(archive))
    yield check
    if not check.works:
        return
    studies: list[str] = []
    yield _tried("query (C-FIND)", lambda: _finds(archive, studies))
    moves = archive.settings.retrieve == "move"
    if not moves:
        check = _tried("retrieve (C-GET)", lambda: _gets(archive))
        yield check
        moves = not check.works
    if moves:
        yield _tried("retrieve (C-MOVE)", lambda: _moves(archive, studies))


def _tried(what: str, task: Callable[[], str]) -> Check:
    start = time.perf_counter()
    try:
        says, works = task(), True
    except DicomlakeError as error:
        says, works = str(error), False
    return Check(what, works, time.perf_counter() - start, says)


def _answers(archive: DimseArchive) -> str:
    archive.echo()
    return f"{archive.peer.called} at {archive.peer.place} answers."


def _finds(archive: DimseArchive, studies: list[str]) -> str:
    found = archive.find("STUDY", {}, ("StudyInstanceUID",), limit=1)
    studies += [row["StudyInstanceUID"] for row in found.rows]
    if not studies:
        return "The archive answers queries, and has no study that we may see."
    return "The archive answers queries at the level of studies."


def _gets(archive: DimseArchive) -> str:
    if not archive.gets():
        raise UsageError("The archive does not offer C-GET, so C-MOVE is needed.")
    return "The archive accepts C-GET and sends objects on the same association."


def _moves(archive: DimseArchive, studies: list[str]) -> str:
    if archive.listener is None:
        raise UsageError(
            "C-MOVE needs our listener: set [listener] in dicomlake.toml, start it, and make its"
            " AE title known to the archive."
        )
    to = archive.listener.ae_title
    if not studies:
        return f"There is no study to try it with; the archive would have to know {to}."
    series = _first(archive, "SERIES", {"StudyInstanceUID": studies[0]}, "SeriesInstanceUID")
    keys = {"StudyInstanceUID": studies[0], "SeriesInstanceUID": series}
    image = _first(archive, "IMAGE", keys, "SOPInstanceUID")
    if archive.arrives(keys, image):
        return f"An object arrived at our listener as {to}."
    raise UsageError(
        f"The archive says that it has sent an object to {to}, but none arrived. Make the archive"
        f" know AE title {to} at the address and port of our listener, and open its firewall."
    )


def _first(archive: DimseArchive, level: str, keys: dict[str, str], wanted: str) -> str:
    rows = archive.find(level, keys, (wanted,), limit=1).rows
    if not rows or not rows[0][wanted]:
        raise UsageError(f"The archive has found a study, but nothing of it at the level {level}.")
    return rows[0][wanted]
