"""The header reader: one object becomes its complete header as DICOM JSON and its rows.

Objects of one archive repeat themselves: most elements of an image are those of the image before.
So what an element says (its JSON and its rows) is remembered by its bytes, in the context in which
they were met, and only bytes that are new are decoded.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import orjson

from dicomlake.dicom import dictionary
from dicomlake.dicom.charset import Repertoire, repertoire
from dicomlake.dicom.values import Row, Value, inline, interpret, plain
from dicomlake.dicom.walk import (
    DEEPEST,
    Bulk,
    Element,
    Fetch,
    Root,
    Sequence,
    walk,
    walk_items,
)
from dicomlake.errors import DataError

MOST_REMEMBERED = 150_000
"""Elements remembered before the memory is emptied (about 100 MB)."""

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
    depth: int
    recoded: bool
    """Text is UTF-8 already, whatever Specific Character Set says."""


class _Said(NamedTuple):
    """What an element says: JSON with its tag, numbers of rows, the context that follows."""

    json: bytes
    rows: tuple[int, ...]
    problems: tuple[Problem, ...]
    then: _Context | None


class _Plan(NamedTuple):
    key: bytes
    path: str
    vr: str
    easy: bool


@dataclass(slots=True)
class _Memory:
    context: _Context
    plans: dict[tuple[bytes, bytes], _Plan] = field(default_factory=dict)
    said: dict[Element, _Said] = field(default_factory=dict)


_FIRST = {
    dictionary.tag_of(k).to_bytes(4, "big"): k
    for k in (
        "MediaStorageSOPClassUID MediaStorageSOPInstanceUID SOPClassUID SOPInstanceUID "
        "StudyInstanceUID SeriesInstanceUID PatientID IssuerOfPatientID InstanceNumber Rows "
        "Columns NumberOfFrames DirectoryRecordSequence".split()
    )
}
_FIRST = {bytes((t[1], t[0], t[3], t[2])): k for t, k in _FIRST.items()}

_CHARSET = b"\x08\x00\x05\x00"
_PIXEL_REPRESENTATION = b"\x28\x00\x03\x01"
_CODES = (b"\x08\x00\x00\x01", b"\x08\x00\x19\x01", b"\x08\x00\x20\x01")
_SCHEME, _MEANING = b"\x08\x00\x02\x01", b"\x08\x00\x04\x01"


class HeaderReader:
    """Reads objects; keep one per process, it gets faster with use."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
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
            root = walk(fetch, size)
        except (struct.error, IndexError, ValueError, KeyError, AssertionError) as error:
            root = _by_pydicom(fetch, size, error)
        return self.describe(root)

    def describe(self, root: Root, *, recoded: bool = False) -> Header:
        """The header that a raw tree stands for; `recoded`: its text is UTF-8 whatever it says."""
        charset = "ISO_IR 192" if recoded else ""
        context = _Context("", root.implicit, root.order, charset, False, (), 0, recoded)
        numbers: list[int] = []
        problems: list[Problem] = [("", "", p) for p in root.problems]
        meta = [e for e in root.elements if e[0][:2] == b"\x02\x00"]
        parts: list[bytes] = []
        if meta:
            plain = context._replace(implicit=False, order="<")
            self._level(meta, plain, parts, numbers, problems)
        body = root.elements[len(meta) :]
        if len({element[0] for element in body}) != len(body):
            body = list({element[0]: element for element in body}.values())
            problems.append(("", "", "an attribute occurs twice; the last one is kept"))
        end = self._level(body, context, parts, numbers, problems)
        first: dict[str, str] = {}
        for element in root.elements:
            keyword = _FIRST.get(element[0])
            if keyword is not None and isinstance(element[2], bytes):
                first.setdefault(keyword, _first_text(keyword, element, root, end))
            elif keyword == "DirectoryRecordSequence":
                first[keyword] = "1"
        return Header(
            b"{" + b",".join(parts) + b"}", frozenset(numbers), problems, first, root.syntax
        )

    def read_json(self, header: dict[str, Any]) -> Header:
        """The header that a DICOM JSON object stands for, as a DICOMweb service or a lake has it.

        The rows are the same as those of the bytes.
        """
        return self.describe(_tree(header), recoded=True)

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
        context: _Context,
        parts: list[bytes],
        numbers: list[int],
        problems: list[Problem],
    ) -> _Context:
        """Append what a data set or item says; return the context at its end."""
        memory = self._memory(context)
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
                memory = self._memory(said[3])
                get = memory.said.get
        return memory.context

    def _new(self, element: Element, memory: _Memory) -> _Said:
        """Say what an element says for the first time, and remember it when it is small."""
        tag, vr, value = element
        context = memory.context
        plan = memory.plans.get((tag, vr))
        if plan is None:
            plan = memory.plans[tag, vr] = self._plan(tag, vr, context)
        key, path, said_vr, easy = plan
        if easy and type(value) is bytes:
            quick = plain(path, said_vr, value)
            if quick is not None:
                said = _Said(key + quick[0], tuple(map(self._number, quick[1])), (), None)
                self._remember(memory, element, said)
                return said
        group, number = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        if isinstance(value, Bulk):
            return self._bulk(key, path, said_vr, value)
        if said_vr == "SQ" or (said_vr == "UN" and _holds_items(value)):
            items = self._sequence(key, path, element, context)
            if items is not None:
                if not isinstance(value, Sequence) or value.raw:
                    self._remember(memory, element, items)
                return items
            said_vr = "UN"
        raw = value if isinstance(value, bytes) else value.raw
        order = "<" if vr == b"UN" else context.order
        found = interpret(path, said_vr, raw, order, repertoire(context.charset))
        if vr in (b"UN", b"??") and said_vr != "UN" and not _plausible(found):
            found = interpret(path, "UN", raw, "<", repertoire(""))
        then, notes = self._then(tag, group, number, raw, context)
        said = _Said(
            key + orjson.dumps(found.json),
            tuple(self._number(row) for row in found.rows),
            tuple((path, said_vr, p) for p in (*found.problems, *notes)),
            then,
        )
        if len(raw) <= 512:
            self._remember(memory, element, said)
        return said

    def _plan(self, tag: bytes, vr: bytes, context: _Context) -> _Plan:
        """How elements of this tag and VR are read here; easy ones cannot change the context."""
        group, number = tag[0] | tag[1] << 8, tag[2] | tag[3] << 8
        path, known = self._path(group, number, context)
        creator = group & 1 == 1 and 0x10 <= number <= 0xFF
        turns = tag in (_CHARSET, _PIXEL_REPRESENTATION) or creator
        easy = not turns and vr not in (b"UN", b"??", b"SQ") and context.order == "<"
        return _Plan(b'"%04X%04X":' % (group, number), path, _resolve(vr, known, context), easy)

    def _remember(self, memory: _Memory, element: Element, said: _Said) -> None:
        memory.said[element] = said
        self._remembered += 1

    def _number(self, row: Row) -> int:
        number = self._numbers.get(row)
        if number is None:
            number = self._numbers[row] = len(self.rows)
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
        where = f"?offset={bulk.offset}&length={bulk.length}"
        if bulk.inflated:
            where += "&inflated=1"
        json = orjson.dumps({"vr": vr, "BulkDataURI": where})
        row = self._number(Row(path, vr, 1, None, float(bulk.length)))
        return _Said(key + json, (row,), (), None)

    def _sequence(self, key: bytes, path: str, element: Element, context: _Context) -> _Said | None:
        """What a sequence says; None when its bytes are no items."""
        _, vr, value = element
        unknown = vr in (b"UN", b"??") or (vr == b"UN" and not context.implicit)
        if isinstance(value, bytes):
            raw = value
            try:
                value = walk_items(
                    raw,
                    implicit=context.implicit or unknown,
                    order="<" if unknown else context.order,
                    depth=context.depth + 1,
                )
            except DataError:
                if not unknown:
                    return _Said(
                        key + orjson.dumps({"vr": "SQ", "InlineBinary": inline(raw)}),
                        (self._number(Row(path, "SQ", None, unread=True)),),
                        ((path, "SQ", "a sequence that cannot be read"),),
                        None,
                    )
                return None
        assert isinstance(value, Sequence)
        inside = context._replace(
            prefix=path + ".",
            implicit=context.implicit or unknown,
            order=value.order,
            creators=(),
            depth=context.depth + 1,
        )
        numbers: list[int] = []
        problems: list[Problem] = []
        items: list[bytes] = []
        if inside.depth > DEEPEST:
            problems.append((path, "SQ", f"sequences nested deeper than {DEEPEST}"))
            value = Sequence([])
        coded = False
        for place, item in enumerate(value.items, 1):
            parts: list[bytes] = []
            at_end = self._level(item, inside, parts, numbers, problems)
            items.append(b"{" + b",".join(parts) + b"}")
            row = _code_row(path, place, item, at_end)
            if row is not None:
                coded = True
                numbers.append(self._number(row))
        if not items:
            numbers.append(self._number(Row(path, "SQ", None)))
        elif not coded:
            numbers.append(self._number(Row(path, "SQ", None, None, float(len(items)))))
        body = b'{"vr":"SQ","Value":[' + b",".join(items) + b"]}" if items else b'{"vr":"SQ"}'
        return _Said(key + body, tuple(dict.fromkeys(numbers)), tuple(problems), None)

    def _then(
        self, tag: bytes, group: int, number: int, raw: bytes, context: _Context
    ) -> tuple[_Context | None, list[str]]:
        """The context behind an element that changes it, and what is wrong with the change."""
        if tag == _CHARSET and not context.recoded:
            label = raw.decode("ascii", "replace").strip(" \0")
            problem = repertoire(label).problem
            return context._replace(charset=label), [problem] if problem else []
        if tag == _PIXEL_REPRESENTATION and raw.strip(b"\0"):
            return context._replace(signed=True), []
        if group & 1 and 0x10 <= number <= 0xFF:
            creator = repertoire(context.charset).decode(raw)[0].strip(" \0")
            if creator:
                creators = (*context.creators, (group, number, creator))
                return context._replace(creators=creators), []
        return None, []


def _resolve(vr: bytes, known: str, context: _Context) -> str:
    """The VR by which an element is read: as sent, or the dictionary's where none was sent."""
    if vr not in (b"UN", b"??", b"XS", b"US"):
        return vr.decode("ascii", "replace")
    if vr == b"US":
        return "US"
    if vr == b"XS" or known.startswith("US or SS"):
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


def _text(raw: Any, charset: Repertoire) -> str:
    return charset.decode(raw)[0].strip(" \0") if isinstance(raw, bytes) else ""


def _code_row(path: str, place: int, item: list[Element], context: _Context) -> Row | None:
    """The row of an item that is a code (PS3.3 8.8), else None."""
    if len(item) > 64:
        return None
    raw = {element[0]: element[2] for element in item}
    code = next((raw[tag] for tag in _CODES if raw.get(tag)), None)
    if code is None:
        return None
    charset = repertoire(context.charset)
    return Row(
        path,
        "SQ",
        place,
        None,
        None,
        None,
        _text(code, charset) or None,
        _text(raw.get(_SCHEME), charset) or None,
        _text(raw.get(_MEANING), charset) or None,
    )


_BINARY_FIRST = frozenset(["Rows", "Columns"])


def _first_text(keyword: str, element: Element, root: Root, end: _Context) -> str:
    raw = element[2]
    assert isinstance(raw, bytes)
    if keyword in _BINARY_FIRST:
        code = "<H" if root.order == "<" else ">H"
        return str(struct.unpack_from(code, raw)[0]) if len(raw) >= 2 else ""
    text = repertoire(end.charset).decode(raw)[0]
    return text.split("\\")[0].strip(" \0")


def _by_pydicom(fetch: Fetch, size: int, error: Exception) -> Root:
    """The raw tree as pydicom reads it: the way out when our own walk meets what it cannot."""
    from pydicom import dcmread

    try:
        held = io.BytesIO(fetch(0, min(size, 64 * 1024 * 1024)))
        found = dcmread(held, force=True, stop_before_pixels=True)
        elements = [_from_pydicom(e) for e in found.file_meta.values()]
        elements += [_from_pydicom(e) for e in found.values()]
    except Exception as second:  # pydicom raises anything on damage
        raise DataError(f"not readable ({type(error).__name__})") from second
    if not elements:
        raise DataError("not a DICOM object: no element could be read") from error
    implicit, little = found.original_encoding
    syntax = str(getattr(found.file_meta, "TransferSyntaxUID", ""))
    root = Root(elements, syntax, "<" if little else ">", bool(implicit))
    root.problems.append(f"read by the fallback reader ({type(error).__name__})")
    return root


def _from_pydicom(element: Any) -> Element:
    tag = int(element.tag)
    group, number = tag >> 16, tag & 0xFFFF
    raw_tag = bytes((group & 0xFF, group >> 8, number & 0xFF, number >> 8))
    vr = str(element.VR or "UN").encode()
    if hasattr(element.value, "__iter__") and vr == b"SQ":
        items = [[_from_pydicom(e) for e in item.values()] for item in element.value]
        return raw_tag, vr, Sequence(items)
    value = element.value
    return raw_tag, vr, value if isinstance(value, bytes) else str(value or "").encode()


_PACK = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}


def _tree(header: dict[str, Any]) -> Root:
    """The raw tree of a DICOM JSON object, text in UTF-8."""
    elements = _elements(header)
    elements.sort(key=lambda e: e[0][:2] != b"\x02\x00")  # file meta first, as in a file
    syntax = next((e[2] for e in elements if e[0] == b"\x02\x00\x10\x00"), b"")
    assert isinstance(syntax, bytes)
    return Root(elements, syntax.decode("ascii", "replace").rstrip("\0 "))


def _elements(item: dict[str, Any]) -> list[Element]:
    return [_element(key, found) for key, found in sorted(item.items())]


def _element(key: str, found: dict[str, Any]) -> Element:
    tag = bytes.fromhex(key)
    tag = bytes((tag[1], tag[0], tag[3], tag[2]))
    vr = found.get("vr", "UN")
    if vr == "SQ" and "InlineBinary" not in found:
        return tag, b"SQ", Sequence([_elements(i or {}) for i in found.get("Value", [])])
    if "BulkDataURI" in found:
        return tag, vr.encode(), _bulk_of(found["BulkDataURI"])
    if "InlineBinary" in found and "Value" not in found:  # with both, the text was doubtful
        return tag, vr.encode(), base64.b64decode(found["InlineBinary"])
    return tag, vr.encode(), _raw(vr, found.get("Value", []))


def _bulk_of(uri: str) -> Bulk:
    asked = parse_qs(urlsplit(uri).query)
    offset, length = (int(asked.get(name, ["0"])[0]) for name in ("offset", "length"))
    return Bulk(offset, length, "inflated" in asked)


def _raw(vr: str, values: list[Any]) -> bytes:
    if not values:
        return b""
    if vr in _PACK:
        return b"".join(struct.pack("<" + _PACK[vr], _number(v, vr)) for v in values)
    if vr == "AT":
        tags = [bytes.fromhex(v) for v in values]
        return b"".join(bytes((t[1], t[0], t[3], t[2])) for t in tags)
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        names = ["=".join((v or {}).get(g, "") for g in groups).rstrip("=") for v in values]
        return "\\".join(names).encode()
    return "\\".join("" if v is None else str(v) for v in values).encode()


def _number(value: Any, vr: str) -> int | float:
    return float(value) if vr in ("FL", "FD") else int(value)
