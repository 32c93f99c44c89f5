"""The header reader: one object becomes its complete header as DICOM JSON and its rows.

Objects of one archive repeat themselves: most elements of an image are those of the image before.
So what an element says (its JSON and its rows) is remembered by its bytes, in the context in which
they were met, and only bytes that are new are decoded.
"""

from __future__ import annotations

import base64
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import orjson

from dicomlake.dicom import dictionary
from dicomlake.dicom.charset import Repertoire, repertoire
from dicomlake.dicom.values import Plain, Row, Value, inline, interpret, plain_reader
from dicomlake.dicom.walk import (
    DEEPEST,
    DEFLATED,
    MOST_TAGS,
    SMALL,
    Bulk,
    Element,
    Fetch,
    Root,
    Sequence,
    walk,
    walk_items,
)
from dicomlake.errors import DataError

MOST_REMEMBERED = 50_000
"""Elements remembered before the memory is emptied (about 40 MB)."""

HELD_BY_FALLBACK = 64 * 1024 * 1024
"""Bytes of an object that the fallback reader gets."""

Problem = tuple[str, str, str]
"""Attribute path ("" for the object), VR and what is wrong, in words."""


@dataclass(frozen=True, slots=True)
class Header:
    """One object read.

    `json` is the header (PS3.18 Annex F), `rows` the numbers of its rows in the reader's `rows`,
    `first` the first value of each attribute at the top level that has one, by keyword.
    """

    json: bytes
    rows: frozenset[int]
    problems: list[Problem]
    first: dict[str, str]
    syntax: str


class _Context(NamedTuple):
    """What decides the meaning of bytes besides themselves."""

    prefix: str
    implicit: bool
    order: str
    charset: str
    signed: bool
    creators: tuple[tuple[int, int, str], ...]
    """(group, block, creator) of the private creators of the last group that has some."""
    depth: int
    recoded: bool
    """Text is UTF-8 already, whatever Specific Character Set says."""

    def repertoire(self, vr: bytes) -> Repertoire:
        """The characters of values of this VR; nobody recodes what has none."""
        if vr in _UNKNOWN:
            return repertoire(self.charset)
        if vr not in _ENCODED:
            return _ASCII
        return _UTF8 if self.recoded else repertoire(self.charset)


class _Plan(NamedTuple):
    """How elements of one tag and VR are read: what their JSON begins with, path, VR.

    `plain` reads most of their values; `inside` is where the items of small sequences are read.
    """

    key: bytes
    path: str
    vr: str
    plain: Plain | None
    inside: _Memory | None


_Said = tuple[bytes, tuple[int, ...], tuple[Problem, ...], "_Memory | None"]
"""What an element says: JSON with its tag, numbers of rows, problems, the memory to go on with."""


_Code = tuple[int, Element, Element | None, Element | None]
"""Place of an item, and the elements of its code: value, scheme, meaning."""


@dataclass(slots=True)
class _Memory:
    """What was met in one context."""

    context: _Context
    plans: dict[tuple[bytes, bytes], _Plan] = field(default_factory=dict)
    said: dict[Element, _Said] = field(default_factory=dict)
    codes: dict[_Code, int] = field(default_factory=dict)


_ASCII, _UTF8 = repertoire(""), repertoire("ISO_IR 192")
_ENCODED = frozenset(vr.encode() for vr in dictionary.ENCODED)
_UNKNOWN = frozenset([b"UN", b"??"])
_UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What a mistake of ours may raise on bytes that nobody foresaw."""

FIRST = """
MediaStorageSOPClassUID MediaStorageSOPInstanceUID SOPClassUID SOPInstanceUID StudyInstanceUID
SeriesInstanceUID PatientID IssuerOfPatientID InstanceNumber Rows Columns NumberOfFrames
DirectoryRecordSequence Modality Manufacturer ContentSequence WaveformSequence SegmentSequence
StructureSetROISequence RadiopharmaceuticalInformationSequence IrradiationEventUID
SharedFunctionalGroupsSequence AcquisitionNumber AcquisitionDate AcquisitionTime CTDIvol KVP
Exposure ExposureInuAs OrganDose EntranceDose EntranceDoseInmGy ImageAndFluoroscopyAreaDoseProduct
""".split()
"""Attributes of which a header gives the first value at once; of sequences "1"."""
_FIRST = {dictionary.tag_of(k).to_bytes(4, "big"): k for k in FIRST}
_FIRST = {bytes((t[1], t[0], t[3], t[2])): k for t, k in _FIRST.items()}

_CHARSET = b"\x08\x00\x05\x00"
_PIXEL_REPRESENTATION = b"\x28\x00\x03\x01"
_CODES = frozenset([b"\x08\x00\x00\x01", b"\x08\x00\x19\x01", b"\x08\x00\x20\x01"])
_SCHEME, _MEANING = b"\x08\x00\x02\x01", b"\x08\x00\x04\x01"


class HeaderReader:
    """Reads objects; keep one per process, it gets faster with use."""

    def __init__(self, walk: Callable[[Fetch, int], Root] = walk) -> None:
        self.rows: list[Row] = []
        self._walk = walk
        self._numbers: dict[Row, int] = {}
        self._memories: dict[_Context, _Memory] = {}
        self._remembered = 0

    def read_bytes(self, data: bytes) -> Header:
        """The header of an object held in memory; DataError when it is none."""
        return self.read(lambda offset, length: data[offset : offset + length], len(data))

    def read(self, fetch: Fetch, size: int) -> Header:
        """The header of the object that `fetch(offset, length)` reads; DataError when it is none.

        Row numbers stay valid until `forget` is called.
        """
        try:
            return self.describe(self._walk(fetch, size))
        except _UNEXPECTED as error:
            root = _by_pydicom(fetch(0, min(size, HELD_BY_FALLBACK)), error)
        try:
            return self.describe(root)
        except _UNEXPECTED as error:
            raise DataError(f"not readable ({type(error).__name__})") from error

    def describe(self, root: Root, *, recoded: bool = False) -> Header:
        """The header that a raw tree stands for; `recoded`: its text is UTF-8 whatever it says."""
        problems: list[Problem] = [("", "", p) for p in root.problems]
        elements, by_tag, untidy = _tidy(root.elements)
        if untidy:
            problems.append(("", "", untidy))
        signed = _signed(by_tag)
        context = _Context("", root.implicit, root.order, "", signed, (), 0, recoded)
        memory = self._memory(context)
        numbers: list[int] = []
        parts: list[bytes] = []
        meta = 0
        while meta < len(elements) and elements[meta][0][:2] == b"\x02\x00":
            meta += 1
        if meta:
            plain = context._replace(implicit=False, order="<")
            self._level(elements[:meta], self._memory(plain), parts, numbers, problems)
        end = self._level(elements[meta:], memory, parts, numbers, problems)
        first: dict[str, str] = {}
        for tag in _FIRST.keys() & by_tag.keys():
            found = _first(_FIRST[tag], by_tag[tag], end.context)
            if found is not None:
                first[_FIRST[tag]] = found
        json = b"{" + b",".join(parts) + b"}"
        return Header(json, frozenset(numbers), problems, first, root.syntax)

    def read_json(self, header: dict[str, Any]) -> Header:
        """The header that a DICOM JSON object stands for, as a DICOMweb service or a lake has it.

        The rows are the same as those of the bytes. DataError when it is no such object.
        """
        try:
            return self.describe(_tree(header), recoded=True)
        except _UNEXPECTED as error:
            raise DataError(f"not DICOM JSON ({type(error).__name__})") from error

    def forget(self) -> None:
        """Empty the memory when it has grown large; row numbers are void afterwards."""
        if self._remembered > MOST_REMEMBERED or len(self.rows) > 4 * MOST_REMEMBERED:
            self._memories.clear()
            self._numbers.clear()
            self.rows = []
            self._remembered = 0

    def _memory(self, context: _Context) -> _Memory:
        found = self._memories.get(context)
        if found is None:
            found = self._memories[context] = _Memory(context)
        return found

    def _level(
        self,
        elements: Iterable[Element],
        memory: _Memory,
        parts: list[bytes],
        numbers: list[int],
        problems: list[Problem],
    ) -> _Memory:
        """Append what a data set or item says; return the memory of the context at its end."""
        get, add, extend = memory.said.get, parts.append, numbers.extend
        for element in elements:
            said = get(element)
            if said is None:
                said = self._new(element, memory)
            add(said[0])
            extend(said[1])
            if said[2]:
                problems.extend(said[2])
            if said[3] is not None:
                memory = said[3]
                get = memory.said.get
        return memory

    def _new(self, element: Element, memory: _Memory) -> _Said:
        """Say what an element says for the first time, and remember it when it is small."""
        tag, vr, value = element
        plan = memory.plans.get((tag, vr))
        if plan is None:
            plan = self._plan(tag, vr, memory)
        if plan.plain is not None and type(value) is bytes:
            plain = plan.plain(plan.path, value)
            if plain is not None:
                json, rows = plain
                number = self._number
                numbers = (number(rows[0]),) if len(rows) == 1 else tuple(map(number, rows))
                memory.said[element] = said = (plan.key + json, numbers, (), None)
                self._remembered += 1
                return said
        return self._slowly(element, plan, memory)

    def _slowly(self, element: Element, plan: _Plan, memory: _Memory) -> _Said:
        """Say what any element says."""
        tag, vr, value = element
        key, path, said_vr = plan[:3]
        if isinstance(value, Bulk):
            return self._bulk(key, path, said_vr, value)
        if said_vr == "SQ" or (said_vr == "UN" and _holds_items(value)):
            items = self._sequence(element, plan, memory)
            if items is not None:
                if not isinstance(value, Sequence) or value.raw:
                    self._remember(memory, element, items)
                return items
            said_vr = "UN"
        raw = value if isinstance(value, bytes) else value.raw
        order = "<" if vr == b"UN" else memory.context.order
        found = interpret(path, said_vr, raw, order, memory.context.repertoire(vr))
        if vr in _UNKNOWN and said_vr != "UN" and not _plausible(found):
            found = interpret(path, "UN", raw, "<", _UTF8)
        then, notes = self._then(tag, vr, raw, memory)
        said = (
            key + orjson.dumps(found.json),
            tuple(map(self._number, found.rows)),
            tuple((path, said_vr, p) for p in (*found.problems, *notes)),
            then,
        )
        if len(raw) <= 512:
            self._remember(memory, element, said)
        return said

    def _plan(self, tag: bytes, vr: bytes, memory: _Memory) -> _Plan:
        group, number = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        context = memory.context
        path, known = self._path(group, number, context)
        said_vr = _resolve(vr, known, context)
        turns = tag == _CHARSET or _is_creator(group, number)
        plain = inside = None
        if not turns and (context.order == "<" or vr == b"UN"):
            plain = plain_reader(said_vr)
        if said_vr in ("SQ", "UN"):
            order = "<" if vr == b"UN" else context.order
            inside = self._inside(path, context, context.implicit or vr in _UNKNOWN, order)
        plan = _Plan(b'"%04X%04X":' % (group, number), path, said_vr, plain, inside)
        memory.plans[tag, vr] = plan
        self._remembered += 1
        return plan

    def _inside(self, path: str, context: _Context, implicit: bool, order: str) -> _Memory:
        """Where the items of the sequence at `path` are read; they have creators of their own."""
        inside = context._replace(
            prefix=path + ".",
            implicit=implicit,
            order=order,
            creators=(),
            depth=context.depth + 1,
        )
        return self._memory(inside)

    def _remember(self, memory: _Memory, element: Element, said: _Said) -> None:
        memory.said[element] = said
        self._remembered += 1 + len(said[0]) // 512

    def _number(self, row: Row) -> int:
        count = len(self.rows)
        number = self._numbers.setdefault(row, count)
        if number == count:
            self.rows.append(row)
        return number

    def _path(self, group: int, number: int, context: _Context) -> tuple[str, str]:
        """Path of an attribute, and the VR that a dictionary gives it ("" when none does)."""
        if not group & 1 or number <= 0xFF:
            entry = dictionary.entry_of(group << 16 | number)
            vr = entry[0] if entry else ""
            if number == 0:
                vr = "UL"
            elif group & 1 and number >= 0x10:
                vr = "LO"
            return context.prefix + dictionary.public_segment(group << 16 | number), vr
        block = number >> 8
        for known_group, known_block, creator in context.creators:
            if (known_group, known_block) == (group, block):
                private = dictionary.private_entry(creator, group, number & 0xFF)
                segment = dictionary.private_segment(group, creator, number)
                return context.prefix + segment, private[0] if private else ""
        return f"{context.prefix}({group:04X},{number:04X})", ""

    def _bulk(self, key: bytes, path: str, vr: str, bulk: Bulk) -> _Said:
        where = bulk.uri or f"?offset={bulk.offset}&length={bulk.length}"
        if bulk.inflated:
            where += "&inflated=1"
        json = orjson.dumps({"vr": vr, "BulkDataURI": where})
        counted = vr in dictionary.BINARY and not bulk.uri
        row = Row(path, vr, 1, None, float(bulk.length)) if counted else _unread(path, vr)
        return key + json, (self._number(row),), (), None

    def _sequence(self, element: Element, plan: _Plan, memory: _Memory) -> _Said | None:
        """What a sequence says; None when its bytes are no items and its VR is a guess."""
        _, vr, value = element
        context, inside = memory.context, plan.inside
        if isinstance(value, bytes):
            raw = value
            implicit, order = context.implicit or vr in _UNKNOWN, context.order
            if vr == b"UN":
                order = "<"
            if context.recoded and vr not in _UNKNOWN:  # found unreadable by whoever wrote the JSON
                return self._closed(plan, raw, "a sequence that cannot be read")
            try:
                value = walk_items(raw, implicit=implicit, order=order, depth=context.depth + 1)
            except DataError as error:
                return None if vr in _UNKNOWN else self._closed(plan, raw, str(error))
        assert isinstance(value, Sequence)
        if inside is None or (value.implicit, value.order) != inside.context[1:3]:
            inside = self._inside(plan.path, context, value.implicit, value.order)
        numbers: list[int] = []
        problems: list[Problem] = []
        items: list[bytes] = []
        coded = False
        for place, item in enumerate(value.items, 1):
            said, code = self._item(plan.path, place, item, inside, numbers, problems)
            items.append(said)
            if code is not None:
                coded = True
                numbers.append(code)
        if not items:
            numbers.append(self._number(Row(plan.path, "SQ", None)))
        elif not coded:
            numbers.append(self._number(Row(plan.path, "SQ", None, None, float(len(items)))))
        body = b'{"vr":"SQ","Value":[' + b",".join(items) + b"]}" if items else b'{"vr":"SQ"}'
        return plan.key + body, tuple(dict.fromkeys(numbers)), tuple(problems), None

    def _item(
        self,
        path: str,
        place: int,
        elements: list[Element],
        memory: _Memory,
        numbers: list[int],
        problems: list[Problem],
    ) -> tuple[bytes, int | None]:
        """JSON of an item, and the number of its row when it is a code (PS3.3 8.8)."""
        elements, by_tag, untidy = _tidy(elements)
        if untidy:
            problems.append((path, "SQ", untidy))
        if _PIXEL_REPRESENTATION in by_tag:
            signed = _signed(by_tag, memory.context.signed)
            memory = self._memory(memory.context._replace(signed=signed))
        parts: list[bytes] = []
        memory = self._level(elements, memory, parts, numbers, problems)
        code = None
        if len(by_tag) <= 64 and not _CODES.isdisjoint(by_tag):
            code = self._code(path, place, by_tag, memory)
        return b"{" + b",".join(parts) + b"}", code

    def _code(
        self, path: str, place: int, by_tag: dict[bytes, Element], memory: _Memory
    ) -> int | None:
        found = [by_tag[tag] for tag in sorted(_CODES) if tag in by_tag and by_tag[tag][2]]
        if not found:
            return None
        key = (place, found[0], by_tag.get(_SCHEME), by_tag.get(_MEANING))
        number = memory.codes.get(key)
        if number is None:
            texts = (_clean(e[2], memory.context.repertoire(e[1])) if e else "" for e in key[1:])
            value, scheme, meaning = (text or None for text in texts)
            row = Row(path, "SQ", place, None, None, None, value, scheme, meaning)
            number = self._number(row)
            if isinstance(found[0][2], bytes) and len(found[0][2]) <= 256:
                memory.codes[key] = number
                self._remembered += 1
        return number

    def _closed(self, plan: _Plan, raw: bytes, problem: str) -> _Said:
        """What a sequence says that cannot be read: its bytes."""
        json = orjson.dumps({"vr": "SQ", "InlineBinary": inline(raw)})
        row = self._number(_unread(plan.path, "SQ"))
        return plan.key + json, (row,), ((plan.path, "SQ", problem),), None

    def _then(
        self, tag: bytes, vr: bytes, raw: bytes, memory: _Memory
    ) -> tuple[_Memory | None, list[str]]:
        """Where to go on behind an element that changes the context, and what is wrong with it."""
        context = memory.context
        group, number = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        if tag == _CHARSET:
            label = raw.decode("ascii", "replace").strip(" \0")
            problem = repertoire(label).problem
            return self._memory(context._replace(charset=label)), [problem] if problem else []
        if _is_creator(group, number):
            creator = _clean(raw, context.repertoire(vr))
            if creator:
                others = (c for c in context.creators if c[0] == group)
                creators = (*others, (group, number, creator))
                return self._memory(context._replace(creators=creators)), []
        return None, []


def _tidy(elements: list[Element]) -> tuple[list[Element], dict[bytes, Element], str]:
    """Elements by ascending tag, each once, also by tag; and what was wrong in words.

    The order matters: a character set or a private creator counts for what follows it.
    """
    by_tag = {element[0]: element for element in elements}
    ranks = list(map(_RANKS.__getitem__, by_tag))
    twice = len(by_tag) != len(elements)
    ascending = sorted(ranks)
    if ranks == ascending and not twice:
        return elements, by_tag, ""
    found = dict(zip(ranks, by_tag.values(), strict=True))
    elements = [found[rank] for rank in ascending]
    if twice:
        return elements, by_tag, "an attribute occurs twice; the last one is kept"
    return elements, by_tag, "attributes are not in ascending order"


class _Ranks(dict[bytes, int]):
    """Tag bytes to the tag as a number, filled as tags occur."""

    def __missing__(self, tag: bytes) -> int:
        if len(self) > MOST_TAGS:
            self.clear()
        self[tag] = rank = tag[1] << 24 | tag[0] << 16 | tag[3] << 8 | tag[2]
        return rank


_RANKS = _Ranks()


def _signed(by_tag: dict[bytes, Element], default: bool = False) -> bool:
    """Whether Pixel Representation says that pixel values are signed, else `default`."""
    element = by_tag.get(_PIXEL_REPRESENTATION)
    if element is None or not isinstance(element[2], bytes) or not element[2]:
        return default
    return element[2].strip(b"\0") != b""


def _is_creator(group: int, number: int) -> bool:
    return group & 1 == 1 and 0x10 <= number <= 0xFF


def _unread(path: str, vr: str) -> Row:
    return Row(path, vr, None, unread=True)


def _resolve(vr: bytes, known: str, context: _Context) -> str:
    """The VR by which an element is read: as sent, or the dictionary's where none was sent."""
    if vr not in (b"UN", b"??", b"?S"):
        return vr.decode("ascii", "replace")
    if vr == b"?S" or known.startswith("US or SS"):
        return "SS" if context.signed else "US"
    if "OW" in known:
        return "OW"
    return known[:2] if known and known != "NONE" else "UN"


def _holds_items(value: bytes | Sequence) -> bool:
    return isinstance(value, Sequence) or value[:4] == b"\xfe\xff\x00\xe0"


def _plausible(value: Value) -> bool:
    """Whether bytes without a VR of their own can be what a dictionary says."""
    if "InlineBinary" in value.json:
        return value.json["vr"] in ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
    return not value.problems and all(
        row.text is None or row.text.isprintable() or value.json["vr"] in ("LT", "ST", "UT")
        for row in value.rows
    )


def _clean(raw: object, charset: Repertoire) -> str:
    """Text of a value without the padding of its parts."""
    text = charset.decode(raw)[0] if isinstance(raw, bytes) else ""
    if "\\" not in text:
        return text.rstrip(" \0").lstrip(" ")
    return "\\".join(part.rstrip(" \0") for part in text.split("\\")).strip(" ")


def _first(keyword: str, element: Element, context: _Context) -> str | None:
    """The first value of an attribute as text, or None."""
    _, vr, raw = element
    if keyword.endswith("Sequence"):
        return "1"
    if not isinstance(raw, bytes):
        return None
    if keyword == "CTDIvol":  # binary; whether two are the same is all that matters
        return raw.hex() or None
    if keyword in ("Rows", "Columns") and vr in (b"US", b"UN", b"??"):
        code = "<H" if context.order == "<" or vr == b"UN" else ">H"
        return str(struct.unpack_from(code, raw)[0]) if len(raw) >= 2 else None
    return context.repertoire(vr).decode(raw)[0].split("\\")[0].strip(" \0") or None


def _by_pydicom(held: bytes, error: Exception) -> Root:
    """The raw tree as pydicom reads it: the way out when our own walk meets what it cannot."""
    from pydicom import dcmread

    problem = f"not readable ({type(error).__name__})"
    if any(syntax.encode() in held[:SMALL] for syntax in DEFLATED):
        raise DataError(problem) from error  # pydicom inflates without end
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = dcmread(io.BytesIO(held), force=True, stop_before_pixels=True)
            implicit, little = found.original_encoding
            elements = [*_from_pydicom(found.file_meta), *_from_pydicom(found)]
            syntax = str(getattr(found.file_meta, "TransferSyntaxUID", ""))
    except Exception as second:  # pydicom raises anything on damage
        raise DataError(problem) from second
    if not elements:
        raise DataError("not a DICOM object: no element could be read") from error
    root = Root(elements, syntax, "<" if little else ">", bool(implicit))
    root.problems.append(f"read by the fallback reader ({type(error).__name__})")
    return root


def _from_pydicom(dataset: Any) -> list[Element]:
    found: list[Element] = []
    for tag in dataset.keys():  # noqa: SIM118  (a Dataset iterates over its elements)
        element = dataset.get_item(tag)
        if element.VR == "SQ":
            element = dataset[tag]
        vr = (element.VR or "??").encode()
        raw_tag = struct.pack("<HH", tag.group, tag.element)
        if vr == b"SQ":
            implicit, little = element.value[0].original_encoding if element.value else (True, True)
            items = [_from_pydicom(item) for item in element.value]
            order = "<" if little is not False else ">"
            found.append((raw_tag, vr, Sequence(items, order, b"", bool(implicit))))
        else:
            found.append((raw_tag, vr, _bytes_of(element.value)))
    return found


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, int):
        return struct.pack("<I", value)
    return value if isinstance(value, bytes) else str(value or "").encode()


_PACK = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}


def _tree(header: dict[str, Any]) -> Root:
    """The raw tree of a DICOM JSON object, text in UTF-8."""
    problems: list[str] = []
    elements = _elements(header, 0, problems)
    syntax = next((e[2] for e in elements if e[0] == b"\x02\x00\x10\x00"), b"")
    text = syntax.decode("ascii", "replace").rstrip("\0 ") if isinstance(syntax, bytes) else ""
    return Root(elements, text, problems=list(dict.fromkeys(problems)))


def _elements(item: dict[str, Any], depth: int, problems: list[str]) -> list[Element]:
    found: list[Element] = []
    for key, element in item.items():
        if depth > DEEPEST:
            problems.append(f"sequences nested deeper than {DEEPEST}")
            break
        try:
            found.append(_element(_tag(key), dict(element), depth, problems))
        except (TypeError, ValueError):
            problems.append("a part of the JSON is no DICOM element")
    found.sort(key=lambda element: _RANKS[element[0]])
    return found


def _tag(key: str) -> bytes:
    tag = bytes.fromhex(key)
    if len(tag) != 4:
        raise ValueError(key)
    return bytes((tag[1], tag[0], tag[3], tag[2]))


def _element(tag: bytes, found: dict[str, Any], depth: int, problems: list[str]) -> Element:
    vr = found.get("vr")
    if not isinstance(vr, str) or not _VR.fullmatch(vr):
        entry = dictionary.entry_of(int.from_bytes((tag[1::-1] + tag[:1:-1]), "big"))
        vr = entry[0][:2] if entry else "UN"
    code = vr.encode()
    values = found.get("Value") or []
    try:
        if "BulkDataURI" in found:
            return tag, code, _bulk_of(found["BulkDataURI"])
        if "InlineBinary" in found and not values:  # with both, the text was doubtful
            packed = found["InlineBinary"].translate(_LINE_ENDS)
            return tag, code, base64.b64decode(packed, validate=True)
        if vr == "SQ":
            items = [_elements(item or {}, depth + 1, problems) for item in values]
            return tag, code, Sequence(items)
        return tag, code, _raw(vr, values)
    except (AttributeError, TypeError, ValueError, struct.error):
        problems.append("values in the JSON that do not fit their VR")
        left = found.get("InlineBinary", values)
        return tag, b"UN", str(left).encode("utf-8", "backslashreplace")


_VR = re.compile("[A-Z]{2}")
_LINE_ENDS = str.maketrans("", "", "\r\n")


def _bulk_of(uri: str) -> Bulk:
    """The bulk data that a URI of ours stands for; one of a service is kept as it is."""
    parts = urlsplit(uri)
    asked = parse_qs(parts.query)
    if parts.netloc or parts.path or "length" not in asked:
        return Bulk(0, 0, uri=uri)
    offset, length = (int(asked.get(name, ["0"])[0]) for name in ("offset", "length"))
    return Bulk(offset, length, "inflated" in asked)


def _raw(vr: str, values: list[Any]) -> bytes:
    if not values:
        return b""
    if vr in _PACK:
        return b"".join(struct.pack("<" + _PACK[vr], _binary(v, vr)) for v in values)
    if vr == "AT":
        return b"".join(map(_tag, values))
    if vr == "PN":
        return "\\".join(map(_name, values)).encode()
    return "\\".join("" if v is None else str(v) for v in values).encode()


def _name(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    groups = ("Alphabetic", "Ideographic", "Phonetic")
    return "=".join(value.get(group) or "" for group in groups).rstrip("=")


def _binary(value: Any, vr: str) -> int | float:
    return float(value) if vr in ("FL", "FD") else int(value)
