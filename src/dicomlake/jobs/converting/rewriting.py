"""Originals of which somebody must vanish: tables are written anew, other files go as a whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from dicomlake import plugins
from dicomlake.contracts.converters import Asked, InPieces, Original, Piece
from dicomlake.errors import DicomlakeError
from dicomlake.jobs.converting.originals import Keeping, Originals, Uids
from dicomlake.jobs.erasure.remembered import Remembered
from dicomlake.readers.batch import key_of

WHOLE, ANEW, ROWS = "originals", "originals written anew", "rows of originals"
"""What is counted: files that went, files that were written anew, and the rows that they lack."""


@dataclass(frozen=True, slots=True)
class Vanishing:
    """Who vanishes: `named` says it of a row, `clean` takes it out of a text.

    `holds`: whether a file of another kind has a trace.
    """

    named: Callable[[Piece], bool]
    clean: Callable[[str], str] = str
    instances: Collection[str] = ()
    patients: Collection[int] = ()
    holds: Callable[[Path], bool] = lambda path: False


def erase(originals: Originals, who: Vanishing) -> Counter[str]:
    """Take somebody out of all originals; what was done, by the words above."""
    originals.tidy()
    told, done = originals.about(who.instances, who.patients), Counter[str]()
    for kept in originals.kept():
        places = told.pop(kept.digest, None)
        found = _anew(originals, kept, who, places or set())
        if found is None or (places is not None and not found[1]):
            if places is not None or who.holds(originals.path(kept.digest)):
                originals.drop(kept.digest)
                done[WHOLE] += 1
            continue
        data, count = found
        if not data:
            originals.drop(kept.digest)
            done[WHOLE] += 1
        elif count:
            originals.put_instead(kept.digest, data, who.instances, who.patients)
            done[ANEW] += 1
            done[ROWS] += count
    for digest in told:  # what is not kept: only the ledger knows it
        originals.drop(digest)
        done[WHOLE] += 1
    return done


def _anew(
    originals: Originals, kept: Keeping, who: Vanishing, places: set[str]
) -> tuple[bytes, int] | None:
    """A file without what vanishes, and how many pieces went; None when it has no pieces."""
    converter = _of(kept.converter)
    if converter is None or not kept.way:
        return None
    said = json.loads(kept.way)
    path = originals.path(kept.digest)

    def gone(piece: Piece) -> bool:
        return piece.origin in places or who.named(piece)

    asked = Asked(Uids(b""), said["mapping"], said["header"])
    try:
        original = Original(path.name, path.read_bytes(), path)
        return converter.without(original, asked, gone, who.clean)
    except (DicomlakeError, OSError):
        return None


def _of(name: str) -> InPieces | None:
    if name not in plugins.names("converters"):
        return None
    converter = plugins.load("converters", name)()
    return converter if isinstance(converter, InPieces) else None


def remembered_in(remembered: Remembered) -> Vanishing | None:
    """Those who were erased from a lake and must not come back; None when there is nobody."""
    if all(mark.again for mark in remembered.all()):
        return None

    def out(digest: str) -> bool:
        mark = remembered.find(digest)
        return mark is not None and not mark.again

    def named(piece: Piece) -> bool:
        who = piece.who
        uid, order, issuer = (
            who.get(name, "") for name in ("PatientID", "AccessionNumber", "IssuerOfPatientID")
        )
        return (
            (bool(uid) and remembered.shuts_out(key_of("patient", issuer, uid), None))
            or (bool(uid) and not issuer and out(remembered.of_id(uid)))
            or (bool(order) and out(remembered.of_order(order)))
            or remembered.shuts_out(None, who.get("StudyInstanceUID"))
        )

    return Vanishing(named)


def spared(
    originals: Originals, digest: str, who: Vanishing, places: Iterable[str], *, whole: bool
) -> None:
    """Write one original without those who vanish, and without what stands at some places.

    `whole`: it goes as a whole when it cannot be parted, for it tells of them.
    """
    kept = originals.kept(digest)
    found = _anew(originals, kept[0], who, set(places)) if kept else None
    if found is None and not whole:
        return
    if found is None or not found[0]:
        originals.drop(digest)
    elif found[1]:
        originals.put_instead(digest, found[0], who.instances, who.patients)
