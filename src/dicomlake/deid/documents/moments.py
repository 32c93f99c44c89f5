"""Times as HL7 writes them (TS, DTM), moved or taken out."""

from __future__ import annotations

import re

from dicomlake.contracts.deid import Identity

_TS = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2,6}(?:\.\d+)?)?([+-]\d{4})?")


def moved_time(value: str, identity: Identity | None) -> str | None:
    """A time moved by days, as precise as it was; None when it cannot be, or must not.

    >>> moved_time("20210303", None)
    """
    found = _TS.fullmatch(value.strip())
    if found is None or identity is None or not identity.days:
        return None
    year, month, day, clock, zone = found.groups()
    then = identity.moved(f"{year}{month or '07'}{day or '15'}", "DA")
    if not re.fullmatch(r"\d{8}", then):
        return None
    length = 8 if day else 6 if month else 4
    return then[:length] + (clock or "") + (zone or "")
