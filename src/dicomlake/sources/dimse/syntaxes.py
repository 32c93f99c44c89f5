"""Abstract and transfer syntaxes: which are storage, and what to propose for a retrieval."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""Study Root (PS3.4 C.6.2.3)."""

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
PLAIN = (EXPLICIT, IMPLICIT)

_PLAIN = (EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN)
_JPEG = "1.2.840.10008.1.2.4."
_STILL = (
    *_PLAIN,
    *(_JPEG + n for n in "70 80 90 91 50 51 57 81".split()),
    "1.2.840.10008.1.2.5",
)
_RARE = tuple(_JPEG + n for n in "201 202 203 110 111 112".split())
_VIDEO = tuple(_JPEG + n for n in "100 101 102 103 104 105 106 107 108".split())

_CLASSES = "1.2.840.10008.5.1.4.1.1."
USUAL = tuple(
    _CLASSES + n for n in "2 4 1 1.1 7 6.1 1.2 128 88.67 88.33 88.59 11.1 88.22 20".split()
)
"""Storage classes proposed first to an archive that nothing is known of yet."""
_WITHOUT_PIXELS = ("9.", "11.", "66", "67", "68", "77.1.5.3", "78.", "79.", "88.", "104.", "481.")
_MAY_BE_VIDEO = ("3.1", "7.4", "12.1", "12.2")
_MOST = 127
"""Presentation contexts of an association beside the one of the query (PS3.8 9.3.2.2)."""


@lru_cache(maxsize=1024)
def is_storage(abstract: str) -> bool:
    """Whether an abstract syntax may be of storage: private ones are, other services are not.

    >>> is_storage("1.2.840.10008.5.1.4.1.1.2"), is_storage("1.2.3"), is_storage(FIND)
    (True, True, False)
    """
    from pydicom._uid_dict import UID_dictionary

    entry = UID_dictionary.get(abstract)
    if entry is None or (abstract.startswith(_CLASSES) and not entry[0]):
        return bool(abstract)
    name = entry[0]
    return entry[1] == "SOP Class" and "Storage" in name and "Storage Commitment" not in name


def transfer_syntaxes(storage: str) -> tuple[str, ...]:
    """The transfer syntaxes that objects of a storage class may be stored in (PS3.5 Section 10).

    >>> len(transfer_syntaxes("1.2.840.10008.5.1.4.1.1.88.33"))
    4
    """
    kind = storage.removeprefix(_CLASSES)
    if kind.startswith("66.4"):
        return (*_PLAIN, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1", _JPEG + "70", _JPEG + "90")
    if kind.startswith("481.1") and kind in ("481.1", "481.2"):
        return _STILL
    if kind.startswith(_WITHOUT_PIXELS):
        return _PLAIN
    if kind in _MAY_BE_VIDEO or kind.startswith("77.1."):
        return _STILL + _VIDEO
    return _STILL


Offer = tuple[tuple[str, tuple[str, ...]], ...]
"""Storage classes with the transfer syntaxes of a presentation context each."""


def offer(needed: Iterable[str] = ()) -> Offer:
    """Presentation contexts of one transfer syntax each, as many as an association has room for.

    An archive chooses one transfer syntax per context, and would transcode, or fail, objects
    stored in another; so each is a context of its own. Classes `needed` come first, then usual
    ones.
    """
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for storage in dict.fromkeys((*needed, *USUAL)):
        syntaxes = transfer_syntaxes(storage)
        if len(pairs) + len(syntaxes) <= _MOST:
            pairs += [(storage, (syntax,)) for syntax in syntaxes]
    return tuple(pairs)


def others(classes: Sequence[str], known: Collection[str] = ()) -> Iterator[Offer]:
    """What else to propose when objects did not come, best first.

    `classes` are theirs, empty when the archive does not say: then all are proposed, in several
    offers, because an association has no room for so many. `known` were proposed already.
    Some archives (dcmtk's) take the first context of a class whatever the object is stored in; so
    one syntax is proposed at a time.
    """
    if not set(classes) <= set(known):
        yield offer(classes)
    storages = list(classes) or _storages()
    parts = [storages[at : at + _MOST] for at in range(0, len(storages), _MOST)]
    for several in (PLAIN, *((syntax,) for syntax in (*_STILL[2:], *_RARE, *_VIDEO))):
        for part in parts:
            yield tuple((storage, several) for storage in part)


@cache
def _storages() -> list[str]:
    from pydicom._uid_dict import UID_dictionary

    known = (uid for uid in UID_dictionary if uid.startswith(_CLASSES) and is_storage(uid))
    return list(dict.fromkeys((*USUAL, *known)))
