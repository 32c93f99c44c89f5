"""Objects with something planted in them, and cleaners for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dicomlake.contracts.deid import Known
from dicomlake.deid import tables
from dicomlake.deid.assembly import cleaner_of
from dicomlake.deid.cleaning import ProfileCleaner
from dicomlake.settings import Pseudonyms

KEY = "0123456789abcdef0123456789abcdef"
TEXTS = frozenset("AE CS LO LT PN SH ST UC UR UT".split())
LONGEST = {"AE": 16, "CS": 16, "SH": 16}


def settings_of(folder: Path, key: str = KEY) -> Pseudonyms:
    path = folder / f"{key[:4]}.key"
    path.write_text(key)
    return Pseudonyms(key_file=path)


def cleaner(folder: Path, profile: str = "basic", key: str = KEY) -> ProfileCleaner:
    return cleaner_of(profile, settings_of(folder, key))


def sample(name: str = "CT_small.dcm") -> bytes:
    path = get_testdata_file(name)
    assert path is not None
    return Path(str(path)).read_bytes()


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data), force=True)


def written(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def value_of(tag: int, vr: str) -> tuple[Any, bytes]:
    """A value that occurs nowhere else, and its bytes."""
    word = f"LEAK{tag:08X}Q"
    if vr in TEXTS:
        return word[: LONGEST.get(vr, 64)], word[: LONGEST.get(vr, 64)].encode()
    if vr == "UI":
        return f"1.9.{tag}.77", f"1.9.{tag}.77".encode()
    if vr == "DA":
        day = f"{1900 + tag % 97:04}{1 + tag % 12:02}{2 + tag % 27:02}"
        return day, day.encode()
    if vr == "TM":
        time = f"{tag % 24:02}{tag % 59:02}{tag % 58:02}.{tag % 999983:06}"
        return time, time.encode()
    if vr == "DT":
        moment = f"1977{1 + tag % 12:02}{1 + tag % 27:02}115757.{tag % 999983:06}"
        return moment, moment.encode()
    if vr == "AS":
        return "097Y", b"097Y"
    if vr in ("DS", "IS"):
        number = f"{tag % 99999989}"
        return number, number.encode()
    if vr in ("OB", "OW", "UN", "OB or OW"):
        return word.encode() + b"\0", word.encode()
    if vr in ("US", "SS"):
        return 4711, (4711).to_bytes(2, "little")
    return 12345.678 if vr in ("FL", "FD") else 123456789, b""


def vr_of(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return tables.vr_of(tag) or "LO"


def planted(tags: list[int], ds: Dataset) -> dict[int, bytes]:
    """Plant a value under each tag; what to look for afterwards."""
    found = {}
    for tag in tags:
        vr = vr_of(tag)
        if vr == "SQ":
            inner = Dataset()
            inner.CodeValue, inner.CodingSchemeDesignator = f"C{tag:08X}V", "99LEAK"
            inner.CodeMeaning = f"LEAK{tag:08X}Q"
            ds.add_new(Tag(tag), "SQ", Sequence([inner]))
            found[tag] = f"LEAK{tag:08X}Q".encode()
            continue
        value, looked = value_of(tag, vr)
        vr = "OB" if " or " in vr else vr
        ds.add_new(Tag(tag), vr or "LO", value)
        if looked and vr not in ("AS", "US", "SS"):
            found[tag] = looked
    return found


def known(*said: str) -> list[Known]:
    return [Known("name", one) for one in said]
