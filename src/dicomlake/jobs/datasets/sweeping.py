"""What must not be in a dataset, looked for in bytes: old UIDs, and what is known of its patients.

Texts are looked for in UTF-8, Latin-1, UTF-16 and base64. Pixels are left out, since any digits
are somewhere in them; what is packed is unpacked before.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from dicomlake.contracts.deid import Known
from dicomlake.errors import DataError
from dicomlake.jobs.datasets.objects import parsed
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import text, texts
from dicomlake.readers.bulk import place_of

SHORTEST = 4
"""Characters of a word that is looked for; shorter ones are in everything."""
KINDS = ("name", "id", "phone", "mail", "place")
"""Kinds of what is known that are looked for; dates move, and ages are in many places."""
_UID = re.compile(rb"[0-9]+(?:\.[0-9]+){2,}")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SPLIT = re.compile(r"[\^=\s,;/\\]+")
_FREE = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "BodyPartExamined")
"""Elements that may say a word that is also somebody's name."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "WaveformData")


class Sweep:
    """Looks for old UIDs, and for words that somebody is known by."""

    def __init__(self, uids: Iterable[str], known: Iterable[Known]) -> None:
        self._uids = {uid.encode() for uid in uids}
        self._pattern = _pattern(words_of(known))

    def found(self, data: bytes, free: Sequence[str] = ()) -> str:
        """What is wrong with bytes: "old UID", "known word" or nothing.

        `free`: values in them that may say such a word.
        """
        for match in _UID.finditer(data):
            if match[0] in self._uids:
                return "old UID"
        if b"\0" in data and self._uids:
            for match in _UID.finditer(data.replace(b"\0", b"")):
                if match[0] in self._uids:
                    return "old UID"
        if self._pattern is None:
            return ""
        lower = data.lower()
        hits = sum(1 for _ in self._pattern.finditer(lower))
        if hits and free:
            hits -= sum(len(self._pattern.findall(one.lower().encode())) for one in free)
        return "known word" if hits > 0 else ""


def words_of(known: Iterable[Known]) -> list[str]:
    """The words by which somebody is known, as they are looked for."""
    found: set[str] = set()
    for one in known:
        if one.kind not in KINDS:
            continue
        parts = [one.text.strip(), *(_SPLIT.split(one.text) if one.kind == "name" else ())]
        found |= {part.lower() for part in parts if len(part) >= SHORTEST}
    return sorted(found)


def _pattern(words: Sequence[str]) -> re.Pattern[bytes] | None:
    if not words:
        return None
    plain: set[bytes] = set()
    wide: set[bytes] = set()
    for word in words:
        plain |= {data for how in ("utf-8", "latin-1") if (data := _encoded(word, how))}
        wide |= {data for how in ("utf-16-le", "utf-16-be") if (data := _encoded(word, how))}
        if len(word) >= 8:
            wide |= set(_in_base64(word))
    inside = b"|".join(re.escape(word) for word in sorted(plain))
    parts = [rb"(?<![a-z0-9])(?:" + inside + rb")(?![a-z0-9])"]
    parts += [re.escape(word) for word in sorted(wide)]
    return re.compile(b"|".join(parts))


def _encoded(word: str, how: str) -> bytes:
    try:
        return word.encode(how)
    except UnicodeEncodeError:
        return b""


def _in_base64(word: str) -> Iterator[bytes]:
    """The part of base64 that a word makes wherever it begins, in small letters."""
    for spelled in (word, word.upper(), word.title()):
        data = spelled.encode()
        for shift in range(3):
            whole = base64.b64encode(bytes(shift) + data)
            first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
            if last - first >= 8:
                yield whole[first:last].lower()


def swept(path: Path, data: bytes) -> tuple[list[bytes], list[str]]:
    """The bytes of a file to look into, and values that may say anything; DataError: damaged."""
    name = path.name.lower()
    if name.endswith(".dcm"):
        return _of_object(parsed(data), data)
    if name.endswith(".nii.gz"):
        return [_start(data)], []
    if name.endswith(".parquet"):
        return [_of_table(data)], []
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [n for n in archive.namelist() if n.startswith(("leads", "units"))]
            return [archive.read(n) for n in names], []
    if name.endswith(".png"):
        return [_chunks(data)], []
    return [data], []


def _of_object(found: Opened, data: bytes) -> tuple[list[bytes], list[str]]:
    free = [one for name in _FREE for one in texts(found.header, name)]
    if text(found.header, "TransferSyntaxUID") == _DEFLATED:
        start = data.find(b"DICM")
        meta = 4 + int.from_bytes(data[start + 12 : start + 16], "little") + 12
        try:
            data = data[: start + meta] + zlib.decompress(data[start + meta :], -15)
        except zlib.error as error:
            raise DataError("it cannot be inflated") from error
        return [data], free
    parts, at = [], 0
    places = []
    for keyword in _PIXELS[:3]:
        try:
            offset, length, _ = place_of(found.header, keyword)
        except DataError:
            continue
        places.append((offset, length))
    for offset, length in sorted(places):
        parts.append(data[at:offset])
        at = offset + length
    return [*parts, data[at:]], free


def _start(data: bytes) -> bytes:
    """The header of a packed NIfTI file."""
    try:
        return zlib.decompressobj(31).decompress(data, 2048)[:352]
    except zlib.error as error:
        raise DataError("it cannot be unpacked") from error


def _of_table(data: bytes) -> bytes:
    """All texts of a Parquet file, and what it says of itself."""
    rows = pq.read_table(io.BytesIO(data))
    out = [str(rows.schema).encode("utf-8", "replace")]
    for column in rows.columns:
        kind = str(column.type)
        if "string" in kind or "struct" in kind:
            values = column.unique().to_pylist() if kind == "string" else column.to_pylist()
            out.append("\n".join(map(str, values)).encode("utf-8", "replace"))
    return b"\n".join(out)


def _chunks(data: bytes) -> bytes:
    """What a PNG says beside its pixels."""
    at, out = 8, []
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind != b"IDAT":
            out.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return b"\n".join(out)
