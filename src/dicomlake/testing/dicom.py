"""Write made-up DICOM objects: from a plain description to the bytes of a Part 10 file.

A description is a mapping. A key names one attribute the way paths do; a value is what Python has:

    {"PatientName": "Doe^Jane",                               text, in the character set asked for
     "ImageType": ["ORIGINAL", "PRIMARY"],                    a list is several values
     "SliceThickness": 1.25,                                  numbers fit the VR, DS and IS too
     "StudyDate": date(2021, 3, 4),                           dates and times fit DA, TM, DT
     "OtherPatientNames": None,                               present without a value
     "RequestAttributesSequence": [{"RequestedProcedureID": "R1"}],
     "ProcedureCodeSequence": [Code("77477000", "SCT", "CT")],
     '(0019,"SIEMENS MR HEADER",0C)': ("IS", 1000),           a tuple is (VR, value)
     "PixelData": numpy_array,                                in the byte order of the syntax
     "PatientComments": "Größe".encode("utf-8")}              bytes stand as they are, made even

`Raw` writes what no well-behaved device would: odd lengths, lengths that lie, any two letters as
VR. `Fragments` is encapsulated pixel data. Private creators get their blocks by themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import numpy as np

from dicomlake.dicom import dictionary
from dicomlake.errors import UsageError
from dicomlake.terms import Code
from dicomlake.testing.charsets import Charset, charset_of

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"

Value: TypeAlias = Any
"""A str, number, date, bytes, numpy array, Code, mapping, list of these, (VR, value) or None."""
Description: TypeAlias = Mapping[str, Value]

_LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
_FORMAT = dict(FD="d", FL="f", SL="i", SS="h", UL="I", US="H", SV="q", UV="Q")
_BINARY = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Raw:
    """A value written byte for byte: no padding, any VR, any length field.

    >>> encode({"Modality": Raw(b"CT ", vr="XX", length=99)}, preamble=False, meta=False)
    b'\\x08\\x00`\\x00XXc\\x00CT '
    """

    data: bytes
    vr: str = ""
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Fragments:
    """Encapsulated pixel data (PS3.5 A.4): an empty offset table, then these fragments."""

    parts: tuple[bytes, ...]


def uid(*what: object) -> str:
    """UID under 2.25 that always is the same for the same words, and no real organisation's.

    >>> uid("hospital", 7, "study 1")
    '2.25.147448801895476825683066589119342796692'
    """
    digest = blake2b("\x1f".join(map(str, what)).encode(), digest_size=16).digest()
    number = int.from_bytes(digest, "big") & ~(0xF << 76) & ~(0x3 << 62)
    return f"2.25.{number | 0x8 << 76 | 0x2 << 62}"


def dataset(*layers: Description, **attributes: Value) -> dict[str, Value]:
    """One description out of several: later layers win, `...` leaves an attribute out.

    >>> dataset({"Modality": "CT", "KVP": 120}, Modality="MR", KVP=...)
    {'Modality': 'MR'}
    """
    merged: dict[str, Value] = {}
    for layer in (*layers, attributes):
        merged.update(layer)
    for key in merged:
        _key(key)
    return {key: value for key, value in merged.items() if value is not ...}


def image(**attributes: Value) -> dict[str, Value]:
    """Description of a small but complete CT image, with the given attributes on top.

    >>> image(PatientID="P7", SliceLocation=...)["PatientID"]
    'P7'
    """
    return dataset(
        {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "SOPInstanceUID": uid("testing", "instance"),
            "StudyInstanceUID": uid("testing", "study"),
            "SeriesInstanceUID": uid("testing", "series"),
            "FrameOfReferenceUID": uid("testing", "frame of reference"),
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "StudyDate": "20210304",
            "StudyTime": "101500",
            "AccessionNumber": "A1",
            "Modality": "CT",
            "Manufacturer": "dicomlake",
            "ReferringPhysicianName": "",
            "PatientName": "Madeup^Jane",
            "PatientID": "P1",
            "PatientBirthDate": "19600102",
            "PatientSex": "F",
            "StudyID": "1",
            "SeriesNumber": 2,
            "InstanceNumber": 1,
            "KVP": 120,
            "SliceThickness": 5,
            "ImagePositionPatient": [-50, -50, 0],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "SliceLocation": 0,
            "PixelSpacing": [25, 25],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 4,
            "Columns": 4,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "PixelData": np.arange(16, dtype=np.uint16),
        },
        attributes,
    )


def encode(
    values: Description,
    syntax: str = EXPLICIT_LE,
    *,
    charset: str | Sequence[str] | None = None,
    preamble: bool = True,
    meta: bool = True,
    undefined_length: bool = False,
    blocks: Mapping[str, int] | None = None,
) -> bytes:
    """Bytes of a Part 10 file that says what the description says.

    >>> file = encode({"PatientName": "Müller^Anna"}, charset="ISO_IR 100")
    >>> file[128:132], b"M\\xfcller^Anna" in file
    (b'DICM', True)

    Text is encoded in `charset`, else in the Specific Character Set of the description. A set that
    is given but not described gets described, so `{"SpecificCharacterSet": "ISO_IR 100"}` together
    with `charset="ISO_IR 192"` is a file that lies. Attributes of group 2 in the description take
    the place of the automatic ones. `blocks` puts a private creator into a block of your choice.
    """
    declared = values.get("SpecificCharacterSet")
    if charset is not None and "SpecificCharacterSet" not in values:
        values = {**values, "SpecificCharacterSet": charset}
    actual = charset if charset is not None else declared
    encoder = Encoder(
        syntax,
        charset=actual if isinstance(actual, str | list | tuple) else "",
        undefined_length=undefined_length,
    )
    elements = encoder.elements(values, blocks)
    return encoder.file(elements, preamble=preamble, meta=meta)


class Encoder:
    """Writes elements in one transfer syntax and one character set.

    `elements` gives tag -> bytes, so that parts that many objects share are encoded once and joined
    with `|`; `file` makes a file of them. `encode` does both for one object.

    >>> writer = Encoder(EXPLICIT_LE)
    >>> writer.elements({"Modality": "CT"})
    {524384: b'\\x08\\x00`\\x00CS\\x02\\x00CT'}
    """

    def __init__(
        self,
        syntax: str = EXPLICIT_LE,
        *,
        charset: str | Sequence[str] = "",
        undefined_length: bool = False,
    ) -> None:
        self.syntax = syntax
        self.charset: Charset = charset_of(charset)
        self.undefined_length = undefined_length
        self.order = ">" if syntax == EXPLICIT_BE else "<"
        self.implicit = syntax == IMPLICIT_LE
        self._tag = struct.Struct(self.order + "HH").pack
        self._explicit = struct.Struct(self.order + "HH2sH").pack
        self._long = struct.Struct(self.order + "HH2sHI").pack
        self._implicit = struct.Struct(self.order + "HHI").pack
        self._codes: dict[Code, bytes] = {}
        self._pack: dict[str, Callable[[Value], bytes]] = {
            **dict.fromkeys(dictionary.TEXTS | {"AS", "IS"}, _ascii),
            **dict.fromkeys(dictionary.ENCODED, self._text),
            **{vr: self._numbers(code) for vr, code in _FORMAT.items()},
            **{vr: partial(self._binary, size) for vr, size in _BINARY.items()},
            "AT": self._tags,
            "DA": partial(_moment, "%Y%m%d"),
            "DS": _decimal,
            "DT": partial(_moment, "%Y%m%d%H%M%S"),
            "PN": self._name,
            "TM": partial(_moment, "%H%M%S"),
            "UI": _ascii,
        }

    def elements(
        self,
        values: Description,
        blocks: Mapping[str, int] | None = None,
        *,
        signed: bool = False,
    ) -> dict[int, bytes]:
        """Tag -> bytes of every element of a description, private creators included.

        `signed` tells what an outer item said of Pixel Representation, for "US or SS" attributes.
        """
        found: dict[int, bytes] = {}
        signed = bool(values.get("PixelRepresentation", signed))
        for key, value in values.items():
            tag, vr, creator = _key(key)
            if creator:
                tag |= self._block(found, tag >> 16, creator, blocks or {}) << 8
            if type(value) is tuple:
                vr, value = value
            elif len(vr) > 2:
                vr = _choose(vr, tag, value, signed)
            if tag >> 16 == 2:
                found[tag] = _META.element(tag, vr, value)
            elif vr == "SQ":
                found[tag] = self.sequence(tag, value, signed)
            elif vr == "UN" and isinstance(value, list):
                found[tag] = self.element(tag, vr, self._unknown(value))
            else:
                found[tag] = self.element(tag, vr, value)
        return found

    def _unknown(self, items: list[Description]) -> bytes:
        """Value of a sequence that travels as UN: implicit little endian (PS3.5 6.2.2 note 2)."""
        plain = Encoder(IMPLICIT_LE, charset=self.charset.labels)
        return plain.sequence(0, items)[8:]

    def _block(
        self, found: dict[int, bytes], group: int, creator: str, blocks: Mapping[str, int]
    ) -> int:
        first = group << 16
        wanted = self.element(first, "LO", creator)[8:]
        for block in range(0x10, 0x100):
            there = found.get(first | block)
            if there is not None and there[8:] == wanted:
                return block
        block = blocks.get(creator, 0)
        if not block:
            block = next(b for b in range(0x10, 0x100) if first | b not in found)
        found[first | block] = self.element(first | block, "LO", creator)
        return block

    def block_of(self, elements: Mapping[int, bytes], group: int, creator: str) -> int:
        """Block that a private creator has in these elements; UsageError when it has none."""
        wanted = self.element(group << 16, "LO", creator)[8:]
        for block in range(0x10, 0x100):
            if elements.get(group << 16 | block, b"")[8:] == wanted:
                return block
        raise UsageError(f"No private creator {creator!r} in group {group:04X}: describe one.")

    def element(self, tag: int, vr: str, value: Value) -> bytes:
        """Bytes of one element that is no sequence."""
        kind = type(value)
        data: bytes
        if kind is bytes:
            data = value
        elif value is None:
            data = b""
        elif kind is Raw:
            return self._raw(tag, vr, value)
        elif kind is Fragments:
            return self._fragments(tag, value)
        else:
            try:
                data = self._pack[vr](value)
            except (KeyError, TypeError, ValueError, struct.error) as error:
                raise UsageError(
                    f"{value!r} cannot be written as {vr} of {tag:08X}. Give bytes or Raw."
                ) from error
        if len(data) & 1:
            data += b"\0" if vr == "UI" or vr in _BINARY else b" "
        return self.header(tag, vr, len(data), data) + data

    def _raw(self, tag: int, vr: str, value: Raw) -> bytes:
        return self.header(tag, value.vr or vr, value.length, value.data) + value.data

    def header(self, tag: int, vr: str, length: int | None, data: bytes = b"") -> bytes:
        """Bytes of an element before its value; the length is that of `data` unless given."""
        if length is None:
            length = len(data)
        if self.implicit:
            return self._implicit(tag >> 16, tag & 0xFFFF, length)
        if vr in _LONG:
            return self._long(tag >> 16, tag & 0xFFFF, vr.encode("ascii"), 0, length)
        if length > 0xFFFF:
            raise UsageError(f"{length} bytes are too many for {tag:08X} of VR {vr}. Use UN or UT.")
        return self._explicit(tag >> 16, tag & 0xFFFF, vr.encode("latin-1"), length)

    def sequence(self, tag: int, items: Value, signed: bool = False, vr: str = "SQ") -> bytes:
        """Bytes of a sequence: items are mappings, Codes, or the encoded content of an item."""
        if items is None:
            items = ()
        elif isinstance(items, Mapping | Code | bytes):
            items = (items,)
        elif isinstance(items, Raw):
            return self._raw(tag, vr, items)
        parts = [self._item(item, signed) for item in items]
        if self.undefined_length:
            end = self._implicit(0xFFFE, 0xE0DD, 0)
            return b"".join((self.header(tag, vr, _UNDEFINED), *parts, end))
        data = b"".join(parts)
        return self.header(tag, vr, len(data)) + data

    def _item(self, item: Value, signed: bool) -> bytes:
        if isinstance(item, Code):
            data = self._codes.get(item)
            if data is None:
                data = self._codes[item] = self.join(self.elements(code_item(item)))
        elif isinstance(item, bytes):
            data = item
        else:
            data = self.join(self._own(item).elements(item, signed=signed))
        if self.undefined_length:
            start = self._implicit(0xFFFE, 0xE000, _UNDEFINED)
            return start + data + self._implicit(0xFFFE, 0xE00D, 0)
        return self._implicit(0xFFFE, 0xE000, len(data)) + data

    def _own(self, item: Description) -> Encoder:
        """The encoder for an item: another one if the item names its own character set."""
        charset = item.get("SpecificCharacterSet")
        if charset is None:
            return self
        return Encoder(self.syntax, charset=charset, undefined_length=self.undefined_length)

    def _fragments(self, tag: int, value: Fragments) -> bytes:
        parts = [self.header(tag, "OB", _UNDEFINED)]
        for part in (b"", *value.parts):
            part += b"\0" * (len(part) & 1)
            parts.append(self._implicit(0xFFFE, 0xE000, len(part)) + part)
        return b"".join((*parts, self._implicit(0xFFFE, 0xE0DD, 0)))

    @staticmethod
    def join(elements: Mapping[int, bytes]) -> bytes:
        """Bytes of a data set or of an item's content: the elements in the order of their tags."""
        return b"".join([elements[tag] for tag in sorted(elements)])

    def file(
        self, elements: Mapping[int, bytes], *, preamble: bool = True, meta: bool = True
    ) -> bytes:
        """Bytes of a Part 10 file; without `meta`, and perhaps `preamble`, a bare data set."""
        head = {tag: data for tag, data in elements.items() if tag < 0x00030000}
        body = self.join({tag: data for tag, data in elements.items() if tag >= 0x00030000})
        if self.syntax == DEFLATED:
            body = deflate(body)
        start = b"\0" * 128 + b"DICM" if preamble else b""
        if not meta:
            return start + body
        for source, target in ((0x00080016, 0x00020002), (0x00080018, 0x00020003)):
            if source in elements and target not in head:
                head[target] = _META.element(target, "UI", elements[source][8:])
        return start + meta_group(head, self.syntax) + body

    def _text(self, value: Value) -> bytes:
        return self.charset.encode(_joined(value))

    def _name(self, value: Value) -> bytes:
        return self.charset.encode(_joined(value), name=True)

    def _tags(self, value: Value) -> bytes:
        values = value if isinstance(value, list) else [value]
        tags = [dictionary.tag_of(v) if isinstance(v, str) else v for v in values]
        return b"".join(self._tag(tag >> 16, tag & 0xFFFF) for tag in tags)

    def _numbers(self, code: str) -> Callable[[Value], bytes]:
        one = struct.Struct(self.order + code).pack

        def pack(value: Value) -> bytes:
            if type(value) is list:
                return b"".join([one(v) for v in value])
            if isinstance(value, np.ndarray):
                return value.astype(self.order + code).tobytes()
            return one(value)

        return pack

    def _binary(self, size: int, value: Value) -> bytes:
        array = np.asarray(value)
        if size == 1 or array.dtype.itemsize == 1:
            return array.tobytes()
        order: Literal[">", "<"] = ">" if self.order == ">" else "<"
        return array.astype(array.dtype.newbyteorder(order), copy=False).tobytes()


class Stencil:
    """Writes objects that differ in a few attributes only: the rest is encoded once.

    >>> ct = Stencil(Encoder(), Encoder().elements(image()), ["SOPInstanceUID", "InstanceNumber"])
    >>> len(ct.fill(uid("a"), 1)), b"99" in ct.fill(uid("a"), 99)
    (994, True)
    """

    def __init__(
        self, encoder: Encoder, common: Mapping[int, bytes], varying: Sequence[str]
    ) -> None:
        self._encoder = encoder
        plan: list[tuple[int, str, int]] = []
        for at, name in enumerate(varying):
            tag, vr, creator = _key(name)
            if creator:
                tag |= encoder.block_of(common, tag >> 16, creator) << 8
            plan.append((tag, vr, at))
        plan.sort()
        varies = {tag for tag, _, _ in plan}
        head = {t: d for t, d in common.items() if t < 0x00030000}
        if 0x00020002 not in head and 0x00080016 in common:
            head[0x00020002] = _META.element(0x00020002, "UI", common[0x00080016][8:])
        self._head = head
        self._instance = next((at for tag, _, at in plan if tag == 0x00080018), None)
        if self._instance is None and 0x00080018 in common:
            head[0x00020003] = _META.element(0x00020003, "UI", common[0x00080018][8:])
        fixed = sorted(t for t in common if t >= 0x00030000 and t not in varies)
        self._steps: list[tuple[bytes, int, str, int]] = []
        start = 0
        for tag, vr, at in plan:
            stop = start
            while stop < len(fixed) and fixed[stop] < tag:
                stop += 1
            self._steps.append((b"".join([common[t] for t in fixed[start:stop]]), tag, vr, at))
            start = stop
        self._rest = b"".join([common[t] for t in fixed[start:]])

    def body(self, *values: Value) -> bytes:
        """Bytes of the data set, without preamble and meta; values in the order of `varying`."""
        element = self._encoder.element
        parts: list[bytes] = []
        for before, tag, vr, at in self._steps:
            parts.append(before)
            value = values[at]
            if type(value) is tuple:
                vr, value = value
            if len(vr) > 2:
                vr = _choose(vr, tag, value, False)
            if value is not ...:
                parts.append(element(tag, vr, value))
        parts.append(self._rest)
        return b"".join(parts)

    def fill(self, *values: Value, preamble: bool = True) -> bytes:
        """Bytes of a file; values in the order of `varying`, `...` leaves one out."""
        body = self.body(*values)
        if self._encoder.syntax == DEFLATED:
            body = deflate(body)
        head = self._head
        if self._instance is not None:
            head = {**head, 0x00020003: _META.element(0x00020003, "UI", values[self._instance])}
        start = _PREAMBLE if preamble else b""
        return start + meta_group(head, self._encoder.syntax) + body


@lru_cache(maxsize=64)
def _meta_defaults(syntax: str) -> tuple[bytes, bytes]:
    version = _META.element(0x00020001, "OB", b"\0\1")
    rest = {"TransferSyntaxUID": syntax, "ImplementationClassUID": _IMPLEMENTATION}
    elements = _META.elements({**rest, "ImplementationVersionName": "DICOMLAKE"})
    return version, b"".join(elements.values())


def meta_group(head: Mapping[int, bytes], syntax: str) -> bytes:
    """Bytes of the file meta information, group length included; elements given replace ours."""
    version, rest = _meta_defaults(syntax)
    if head.keys() <= {0x00020002, 0x00020003}:
        data = version + b"".join([head[tag] for tag in sorted(head)]) + rest
    else:
        ours = {
            "FileMetaInformationVersion": b"\0\1",
            "TransferSyntaxUID": syntax,
            "ImplementationClassUID": _IMPLEMENTATION,
            "ImplementationVersionName": "DICOMLAKE",
        }
        elements = {**_META.elements(ours), **head}
        length = elements.pop(0x00020000, None)
        data = Encoder.join(elements)
        if length is not None:
            return length + data
    return b"\x02\0\0\0UL\x04\0" + len(data).to_bytes(4, "little") + data


def code_item(code: Code) -> dict[str, Value]:
    """Description of a code as an item of a code sequence (PS3.3 Section 8).

    >>> code_item(Code("64033007", "SCT", "Kidney"))["CodeMeaning"]
    'Kidney'
    """
    key = "CodeValue" if len(code.value) <= 16 else "LongCodeValue"
    return {key: code.value, "CodingSchemeDesignator": code.scheme, "CodeMeaning": code.meaning}


def deflate(data: bytes) -> bytes:
    """Data as a raw deflate stream (RFC 1951), the same bytes with every version of zlib.

    >>> import zlib
    >>> zlib.decompress(deflate(b"abc" * 9), wbits=-15) == b"abc" * 9
    True
    """
    bits = "".join(["110", *map(_literals().__getitem__, data), "0000000"])
    bits += "0" * (-len(bits) % 8)
    return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")


@lru_cache(maxsize=1)
def _literals() -> list[str]:
    """Bits of every byte in the fixed Huffman code, in the order they are sent."""
    return [f"{0x30 + n:08b}" if n < 144 else f"{0x190 + n - 144:09b}" for n in range(256)]


@lru_cache(maxsize=65536)
def _key(key: str) -> tuple[int, str, str]:
    """(tag, VR, private creator) of a key; the block of a private tag is still 0."""
    if m := dictionary.PRIVATE.fullmatch(key):
        group, creator, element = int(m[1], 16), m[2].replace('""', '"'), int(m[3], 16)
        vr = (dictionary.private_entry(creator, group, element) or ("UN",))[0]
        return group << 16 | element, vr[:2], creator
    if m := dictionary.RAW.fullmatch(key):
        tag = int(m[1] + m[2], 16)
        creator_tag = tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
        entry = dictionary.entry_of(tag)
        return tag, entry[0] if entry else "LO" if creator_tag else "UN", ""
    tag = dictionary.tag_of(key)
    entry = dictionary.entry_of(tag)
    assert entry is not None
    return tag, entry[0], ""


def _choose(vr: str, tag: int, value: Value, signed: bool) -> str:
    """The VR among those that PS3.6 allows."""
    if "OB" in vr:
        small = isinstance(value, np.ndarray) and value.dtype.itemsize == 1
        return "OB" if small or isinstance(value, Fragments) else "OW"
    if "US" in vr:
        return "SS" if signed and "SS" in vr else "US"
    return vr[:2]


def _joined(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\\".join(map(str, value))
    return str(value)


def _ascii(value: Value) -> bytes:
    return _joined(value).encode("ascii")


def _number(value: Value) -> str:
    if type(value) is not float:
        return str(value)
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    digits = 14
    while len(text) > 16:
        text = f"{value:.{digits}g}"
        digits -= 1
    return text


def _decimal(value: Value) -> bytes:
    if isinstance(value, list):
        return "\\".join(map(_number, value)).encode("ascii")
    return _number(value).encode("ascii")


def _moment(form: str, value: Value) -> bytes:
    values = value if isinstance(value, list) else [value]
    timed = date | datetime | time
    texts = [v.strftime(form) if isinstance(v, timed) else str(v) for v in values]
    return "\\".join(texts).encode("ascii")


_PREAMBLE = b"\0" * 128 + b"DICM"
_META = Encoder(EXPLICIT_LE)
_IMPLEMENTATION = uid("dicomlake", "testing")
