"""Samples are read as pydicom and dcmtk read them; each difference has a name and a reason."""

from __future__ import annotations

import base64
import math
import struct
import subprocess
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from dicomlake.dicom.values import LONGEST_TEXT
from dicomlake.errors import DataError
from dicomlake.readers.header import Header, HeaderReader

Json = dict[str, Any]
Rows = dict[str, set[Any]]


@dataclass(frozen=True)
class Case:
    """One thing that two readers see differently; `theirs` or `ours` may be an exception."""

    file: str
    path: str
    what: str
    theirs: Any
    ours: Any


@dataclass(frozen=True)
class Justified:
    """A difference that is right as it is, and why."""

    name: str
    reason: str
    applies: Callable[[Case], bool]


BINARY = frozenset("OB OD OF OL OV OW UN".split())
FLOATS = frozenset("FL FD SL SS SV UL US UV".split())

PYDICOM = [
    Justified(
        "group length of a private group",
        "PS3.5 7.2: element 0000 is a UL in every group; pydicom knows only those of PS3.6.",
        lambda c: c.what == "vr" and c.path[-4:] == "0000" and (c.theirs, c.ours) == ("UN", "UL"),
    ),
    Justified(
        "unknown sequence of defined length",
        "PS3.5 6.2.2: a UN that begins with an item holds a sequence; pydicom keeps its bytes.",
        lambda c: c.what == "vr" and (c.theirs, c.ours) == ("UN", "SQ"),
    ),
    Justified(
        "delimiters outside a sequence",
        "They are no attributes; we leave them out and say so, pydicom cannot name their VR.",
        lambda c: c.what == "missing" and c.path.startswith("FFFE"),
    ),
    Justified(
        "value that the end of the file cuts off",
        "What is left of it would be wrong, so it is named with its place; pydicom gives the rest.",
        lambda c: c.what == "value" and c.ours == "cut off",
    ),
    Justified(
        "VR of two blanks",
        "Its length has 16 bits, dcmtk agrees; pydicom takes the rest of the file for its value.",
        lambda c: c.file == "GH179A.dcm" and c.path > "00280119",
    ),
    Justified(
        "text too long for a row",
        "Rows hold no text over 16 384 characters; the header has it.",
        lambda c: c.what == "rows" and max(map(len, c.theirs)) > LONGEST_TEXT and not c.ours,
    ),
    Justified(
        "file that ends inside an element",
        "We keep what was read and say so; pydicom raises.",
        lambda c: c.what == "file" and isinstance(c.theirs, OSError) and c.ours == "Header",
    ),
    Justified(
        "file that is no DICOM",
        "pydicom was told to read whatever comes; we say that nothing in it is an element.",
        lambda c: c.what == "file" and c.theirs == "a data set" and "not a DICOM" in c.ours,
    ),
]

DCMTK = [
    Justified(
        "program that gives up",
        "dcm2json fails on damage, encapsulated pixels and ISO 2022 as Debian builds it.",
        lambda c: c.what == "file",
    ),
    Justified(
        "group length",
        "dcmtk drops the retired elements with number 0000; we keep what was sent.",
        lambda c: c.what == "only ours" and c.path[-4:] == "0000",
    ),
    Justified(
        "Specific Character Set",
        "dcmtk says what its JSON is encoded in, we keep what the object says.",
        lambda c: c.path[-8:] == "00080005",
    ),
    Justified(
        "private dictionary",
        "An unknown VR becomes what pydicom's private dictionary says if the bytes fit.",
        lambda c: c.what == "vr" and c.theirs == "UN",
    ),
    Justified(
        "VR of pixels and waveforms",
        "OB or OW as the file has it; dcmtk corrects it by Bits Allocated.",
        lambda c: c.what == "vr" and (c.theirs, c.ours) == ("OB", "OW"),
    ),
    Justified(
        "padding with zero bytes",
        "Trailing NUL is padding whatever the VR; dcmtk keeps it in text, and adds it to odd UN.",
        lambda c: c.what == "value" and _bare(c.theirs) == _bare(c.ours),
    ),
    Justified(
        "spaces inside a UID",
        "Values are kept as sent; dcmtk deletes the spaces.",
        lambda c: c.what == "value" and c.theirs == ["".join(str(v).split()) for v in c.ours],
    ),
    Justified(
        "digits of a double",
        "dcmtk prints one digit less than the number has.",
        lambda c: c.what == "value" and _nearly(c.theirs, c.ours),
    ),
    Justified(
        "character set of an item",
        "An item has the character set that it says itself (PS3.3 C.12.1.1.2); dcmtk uses another.",
        lambda c: c.file == "chrSQEncoding.dcm" and c.what == "value",
    ),
]


def _bare(values: list[Any]) -> list[Any]:
    found = [v.rstrip("\0") if isinstance(v, str) else v for v in values]
    return [v.rstrip(b"\0") if isinstance(v, bytes) else v for v in found]


def _nearly(ones: list[Any], others: list[Any]) -> bool:
    return all(isinstance(v, float) for v in ones + others) and all(
        math.isclose(a, b, rel_tol=1e-15) for a, b in zip(ones, others, strict=True)
    )


class Verdict:
    """Which differences were met, and which of them nobody has justified."""

    def __init__(self, known: list[Justified]) -> None:
        self.known = known
        self.used: dict[str, int] = defaultdict(int)
        self.open: list[Case] = []

    def judge(self, cases: Iterator[Case]) -> None:
        for case in cases:
            for entry in self.known:
                if entry.applies(case):
                    self.used[entry.name] += 1
                    break
            else:
                self.open.append(case)

    def check(self, files: int) -> None:
        assert not self.open, "\n".join(map(str, self.open[:40]))
        unused = [entry.name for entry in self.known if not self.used[entry.name]]
        assert not unused, f"no longer needed in {files} files: {unused}"


def _header(reader: HeaderReader, file: Path) -> Header | DataError:
    try:
        return reader.read_bytes(file.read_bytes())
    except DataError as error:
        return error


def test_pydicom_reads_the_same(pydicom_files: list[Path], corpus_files: list[Path]) -> None:
    verdict, reader = Verdict(PYDICOM), HeaderReader()
    files = pydicom_files + corpus_files
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict.judge(_against_pydicom(file, reader))
    verdict.check(len(files))


def _against_pydicom(file: Path, reader: HeaderReader) -> Iterator[Case]:
    header = _header(reader, file)
    try:
        dataset = pydicom.dcmread(file, force=True)
        empty = not dataset and not dataset.file_meta
    except Exception as error:  # noqa: BLE001  (whatever pydicom raises)
        yield Case(file.name, "", "file", error, type(header).__name__)
        return
    if isinstance(header, DataError):
        if not empty:
            yield Case(file.name, "", "file", "a data set", str(header))
        return
    rows = _our_rows(header, reader)
    json = orjson.loads(header.json)
    meta = {tag: json.pop(tag) for tag in list(json) if tag.startswith("0002")}
    data = file.read_bytes()
    judged = set()
    for part, said in ((dataset.file_meta, meta), (dataset, json)):
        for path, what, theirs, ours in _elements(part, said, (), data, header):
            judged.add(_named(dataset, path))
            yield Case(file.name, ".".join(path), what, theirs, ours)
    expected: Rows = defaultdict(set)
    for part in (dataset.file_meta, dataset):
        _their_rows(part, "", expected)
    for path in rows.keys() | expected.keys():
        if rows[path] != expected[path] and not any(_within(path, other) for other in judged):
            yield Case(file.name, path, "rows", expected[path], rows[path])


def _named(dataset: Dataset, path: tuple[str, ...]) -> str:
    """The path of an attribute as people write it."""
    parts = []
    for part in path:
        tag = Tag(int(part[:8], 16))
        parts.append(_segment(dataset, tag))
        if "[" in part:
            dataset = dataset[tag].value[int(part[9:-1])]
    return ".".join(parts)


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(other + ".")


def _element(dataset: Dataset, tag: int) -> Any:
    try:
        return dataset[tag]
    except Exception as error:  # noqa: BLE001  (whatever pydicom raises)
        return error


Keys = tuple[str, ...]
Found = tuple[Keys, str, Any, Any]


def _elements(
    theirs: Dataset, ours: Json, prefix: Keys, data: bytes, header: Header
) -> Iterator[Found]:
    """(path, what, theirs, ours) of everything that differs, at every depth."""
    seen = set()
    for tag in sorted(theirs.keys()):
        key = f"{int(tag):08X}"
        seen.add(key)
        element, mine, path = _element(theirs, tag), ours.get(key), (*prefix, key)
        if mine is None:
            yield path, "missing", element, None
        elif isinstance(element, Exception):
            yield path, "error", element, mine
        elif mine["vr"] != element.VR:
            yield path, "vr", element.VR, mine["vr"]
        elif element.VR == "SQ":
            items = mine.get("Value", [])
            if len(items) != len(element.value):
                yield path, "items", len(element.value), len(items)
            for i, (one, other) in enumerate(zip(element.value, items, strict=False)):
                yield from _elements(one, other, (*prefix, f"{key}[{i}]"), data, header)
        else:
            yield from _values(path, element, mine, data, header)
    for key in ours.keys() - seen:
        yield (*prefix, key), "only ours", None, ours[key]["vr"]


def _values(path: Keys, element: Any, mine: Json, data: bytes, header: Header) -> Iterator[Found]:
    left, right = _theirs(element), _ours(mine, element.VR)
    if "BulkDataURI" in mine:
        if "inflated" in mine["BulkDataURI"]:
            return
        offset, length = (int(p.split("=")[1]) for p in mine["BulkDataURI"][1:].split("&"))
        right = [data[offset : offset + length]]
        if header.problems and offset + length >= len(data) and left != right:
            right = "cut off"  # type: ignore[assignment]
    if left != right:
        yield path, "value", left, right


def _single(values: list[Any]) -> list[Any]:
    return [v if v == "nan" else struct.pack("<f", v + 0.0) for v in values]


def _theirs(element: Any) -> list[Any]:
    """Values of a pydicom element in a form that can be compared."""
    value = element.value
    if value is None or value == "" or value == b"":
        return []
    many = list(value) if isinstance(value, list | MultiValue) else [value]
    found = [_plain(v, element.VR) for v in many]
    if element.VR == "CS":
        found = [v.rstrip() for v in found]
    return [] if found == [""] else _single(found) if element.VR == "FL" else found


def _plain(value: Any, vr: str) -> Any:
    if value is None:
        return ""
    if vr in ("DS", "IS"):
        return str(getattr(value, "original_string", value)).strip()
    if vr == "AT":
        return f"{int(value):08X}"
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, int | float):
        return "nan" if math.isnan(value) else float(value)
    return str(value)


def _ours(mine: Json, vr: str) -> list[Any]:
    """Values of a DICOM JSON element in the same form."""
    if "InlineBinary" in mine and "Value" not in mine:
        return [base64.b64decode(mine["InlineBinary"])]
    found = [_said(v, vr) for v in mine.get("Value", [])]
    return _single(found) if vr == "FL" else found


def _said(value: Any, vr: str) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        return "=".join(value.get(g, "") for g in groups).rstrip("=")
    if vr in ("DS", "IS"):
        return str(value)
    if value == "NaN":
        return "nan"
    return float(value) if vr in FLOATS else value


# Rows


def _our_rows(header: Header, reader: HeaderReader) -> Rows:
    found: Rows = defaultdict(set)
    for number in header.rows:
        row = reader.rows[number]
        if row.code_value is not None:
            found[row.path].add((row.code_value, row.code_scheme, row.code_meaning))
        elif not row.unread:
            found[row.path].add(_key(row.vr, row.text, row.number))
    return found


def _key(vr: str, text: str | None, number: float | None) -> Any:
    if vr in BINARY:
        return None  # lengths are compared with the values
    if vr in FLOATS:
        return text if number is None else struct.pack("<f", number + 0.0) if vr == "FL" else number
    if vr == "SQ":
        return number
    return text and text.strip()


def _their_rows(dataset: Dataset, prefix: str, found: Rows) -> None:
    """What the rows of a pydicom data set should be, by path, as `_our_rows` has them."""
    for tag in sorted(dataset.keys()):
        element = _element(dataset, tag)
        if isinstance(element, Exception):
            continue
        path = prefix + _segment(dataset, tag)
        if element.VR == "SQ":
            coded = [code for code in map(_code, element.value) if code]
            found[path].update(coded or [float(len(element.value)) or None])
            for item in element.value:
                _their_rows(item, path + ".", found)
        else:
            found[path].update(_their_keys(element) or [None])


def _segment(dataset: Dataset, tag: BaseTag) -> str:
    if tag.is_private and tag.element > 0xFF:
        creator = dataset.get((tag.group, tag.element >> 8))
        if creator and creator.value:
            name = str(creator.value).strip().replace('"', '""')
            return f'({tag.group:04X},"{name}",{tag.element & 0xFF:02X})'
    return keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"


def _code(item: Dataset) -> Any:
    """Value, scheme and meaning of an item that is a code."""
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        if item.get(keyword) and len(item) <= 64:
            parts = (item.get(k) for k in (keyword, "CodingSchemeDesignator", "CodeMeaning"))
            return tuple(str(part).strip() or None if part else None for part in parts)
    return None


def _their_keys(element: Any) -> set[Any]:
    values = _theirs(element)
    if element.VR in BINARY:
        return {None}
    if element.VR in FLOATS:
        return set(values)
    texts = (str(v).strip().rstrip("=" if element.VR == "PN" else "") for v in values)
    return {text for text in texts if text}


# dcmtk


@pytest.mark.service
def test_dcmtk_reads_the_same(
    dcm2json: str, pydicom_files: list[Path], corpus_files: list[Path]
) -> None:
    verdict, reader = Verdict(DCMTK), HeaderReader()
    files = pydicom_files + corpus_files
    with ThreadPoolExecutor(2) as pool:
        for file, theirs in zip(files, pool.map(partial(_by_dcmtk, dcm2json), files), strict=True):
            header = _header(reader, file)
            if theirs is None:
                verdict.judge(iter([Case(file.name, "", "file", None, None)]))
            elif isinstance(header, DataError):
                verdict.judge(iter([Case(file.name, "", "read by dcmtk alone", None, header)]))
            else:
                verdict.judge(_against_json(file.name, theirs, orjson.loads(header.json), ""))
    verdict.check(len(files))


def _by_dcmtk(program: str, file: Path) -> Json | None:
    done = subprocess.run([program, "+m", "-ee", "-q", file], capture_output=True, check=False)
    if done.returncode:
        return None
    try:
        return orjson.loads(done.stdout)
    except ValueError:  # it passes on what has no character set
        return orjson.loads(done.stdout.decode("latin-1"))


def _against_json(file: str, theirs: Json, ours: Json, prefix: str) -> Iterator[Case]:
    for key in sorted(theirs.keys() | ours.keys()):
        one, other, path = theirs.get(key), ours.get(key), prefix + key
        if one is None or other is None:
            yield Case(file, path, "only ours" if one is None else "missing", one, other)
        elif one["vr"] != other["vr"]:
            yield Case(file, path, "vr", one["vr"], other["vr"])
        elif one["vr"] == "SQ":
            left, right = one.get("Value", []), other.get("Value", [])
            if len(left) != len(right):
                yield Case(file, path, "items", len(left), len(right))
            for i, (a, b) in enumerate(zip(left, right, strict=False)):
                yield from _against_json(file, a or {}, b or {}, f"{path}[{i}].")
        elif "BulkDataURI" not in other:
            a, b = _compared(one), _compared(other)
            if a != b:
                yield Case(file, path, "value", a, b)


def _compared(element: Json) -> list[Any]:
    """Values of DICOM JSON without what two writers may do differently."""
    vr = element["vr"]
    values = [_number(v) if vr in ("DS", "IS") else v for v in _ours(element, vr)]
    if vr == "PN":
        values = ["=".join(g.rstrip("^ ") for g in v.split("=")).rstrip("=") for v in values]
    values = [v.strip() if isinstance(v, str) else v for v in values]
    while values and values[-1] in ("", b""):
        values.pop()
    return values


def _number(text: str) -> float | str:
    try:
        return float(text.rstrip("\0"))
    except ValueError:
        return text


# The other way around


def test_rows_of_the_json_are_those_of_the_bytes(
    pydicom_files: list[Path], corpus_files: list[Path]
) -> None:
    reader = HeaderReader()
    for file in pydicom_files + corpus_files:
        header = _header(reader, file)
        if isinstance(header, DataError):
            continue
        again = reader.read_json(orjson.loads(header.json))
        differ = [reader.rows[n] for n in header.rows ^ again.rows]
        assert not differ, (file.name, differ[:6])
        assert again.first == header.first, file.name
        assert again.syntax == header.syntax or not again.syntax, file.name
