"""The report reader: the content items of structured reports, one row each (PS3.3 C.17.3).

One walk takes every template, and none: it follows the items, not what a class or a template
demands of them. What a device sent against the rules becomes a row all the same, and a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dicomlake.contracts import MOST_ITEMS, Contents, coded, measured
from dicomlake.dicom.values import moment_of, number_of
from dicomlake.terms import Code
from dicomlake.terms.mapping import misnamed

CLASSES = "1.2.840.10008.5.1.4.1.1.88."
"""What the SOP classes of structured documents begin with, trial versions and key objects too."""
DEEPEST = 64
"""Items inside of items; what is deeper is left out and noted."""
MOST_MODIFIERS = 100
"""Modifiers and contexts that are listed for one item."""
LONGEST_CODE = 1024
"""Characters of a code; longer ones are no codes."""
MOST_PATHS = 64 * 1024 * 1024
"""Characters of all paths of one object, which repeat the concepts of the items around."""
MOST_PROBLEMS = 200
"""Problems of one object that are noted one by one."""

Json = dict[str, Any]

_CHILDREN, _MODIFIERS = "0040A730", "00400441"
_CONCEPT, _RELATION, _TYPE = "0040A043", "0040A010", "0040A040"
_REFERENCE = "0040DB73"

_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a mistake of ours may raise on a header that nobody foresaw."""


class ReportReader:
    """Reads the content items of structured reports, whatever their template."""

    name = "report"
    version = 1
    after: tuple[str, ...] = ()

    def wants(self, first: Mapping[str, str]) -> str | None:
        """Every object that has content items, or is of a class that should have some.

        >>> ReportReader().wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"})
        ''
        >>> ReportReader().wants({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"})
        """
        sop_class = first.get("SOPClassUID") or first.get("MediaStorageSOPClassUID") or ""
        return "" if first.get("ContentSequence") or sop_class.startswith(CLASSES) else None

    def read(self, header: Json, contents: Contents) -> None:
        """Add a row for each content item; the data set is the root of their tree."""
        try:
            flatten([header], contents, document=True)
        except _UNEXPECTED as error:
            contents.problem("", "SQ", f"content items not readable ({type(error).__name__})")


def flatten(items: Iterable[Any], contents: Contents, *, document: bool = False) -> None:
    """Add rows for content items in DICOM JSON and all below them.

    For anything that is written as content items are, as in Acquisition Context Sequence; the only
    item of a `document` is the data set, a container whatever it says.

    >>> contents = Contents()
    >>> age = {"0040A040": {"vr": "CS", "Value": ["TEXT"]}, "0040A160": {"Value": ["old"]}}
    >>> flatten([age], contents)
    >>> [(row["place"], row["value_type"], row["text"]) for row in contents.rows["items"]]
    [('1', 'TEXT', 'old')]
    """
    walk = _Walk(contents, document)
    walk.collect(items)
    walk.inherit()


@dataclass(slots=True, eq=False)
class _Node:
    """An item with its row, and what its children say for others."""

    row: dict[str, Any]
    parent: _Node | None
    depth: int
    modifies: bool
    """Whether its relation makes it a modifier or a context of the item around it."""
    group: bool
    """Whether it is a measurement group (TID 1410, 1411, 1501)."""
    own: dict[str, _Node] = field(default_factory=dict)
    """Children that fill a column of this item."""
    passed: dict[str, _Node] = field(default_factory=dict)
    """Children that fill a column of its other children."""
    fills: tuple[str, str] | None = None
    """The column of others that it fills itself, and its value."""
    modifiers: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    """Modifiers and contexts among its children: their numbers by concept."""
    above: _Context | None = None
    """What holds for it."""
    base: dict[str, Any] = field(default_factory=dict)
    """Columns of its children, but for what these say for one another."""
    below: _Context | None = None
    """What holds for its children."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What holds at a place in the tree."""

    columns: dict[str, Any]
    """Columns of rows that are inherited."""
    side: str | None
    """The nearest laterality that is not that of a finding site."""
    modifiers: dict[Any, tuple[int, ...]]
    """Numbers of modifiers by their concept."""
    numbers: list[int] | None
    """All of them."""


_NOTHING = _Context({}, None, {}, None)


class _Walk:
    """One pass over items that makes rows, and one over the rows that pushes context down."""

    def __init__(self, contents: Contents, document: bool) -> None:
        self._contents = contents
        self._document = document
        self._nodes: list[_Node] = []
        self._notes = 0
        self._room = MOST_PATHS

    def collect(self, items: Iterable[Any]) -> None:
        """Make the rows, in the order of the items."""
        stack: list[tuple[Any, _Node | None, str]] = []
        stack += [(item, None, "") for item in items][::-1]
        rows = self._contents.rows["items"]
        while stack:
            item, parent, relation = stack.pop()
            if len(rows) >= MOST_ITEMS:
                self._note("", "SQ", f"more than {MOST_ITEMS} content items")
                return
            node = self._add(item, parent, relation)
            self._room -= len(node.row["path"])
            if self._room < 0:
                self._note(node.row["place"], "SQ", "paths too long for the items that follow")
                return
            below = _below(item)
            if below and node.depth >= DEEPEST:
                self._note(node.row["place"], "SQ", f"items nested deeper than {DEEPEST}")
            elif below:
                room = MOST_ITEMS + 1 - len(rows)
                stack += [(child, node, how) for child, how in below[:room]][::-1]

    def _add(self, item: Any, parent: _Node | None, relation: str) -> _Node:
        notes: list[str] = []
        columns: dict[str, Any] = {}
        concept: Code | None = None
        kind: str | None = None
        try:
            if isinstance(item, dict):
                top = parent is None
                concept, kind = _read(item, columns, notes, top, top and self._document)
            else:
                notes.append("an item of the sequence that is none")
        except _UNEXPECTED as error:
            notes.append(f"not readable ({type(error).__name__})")
        row = self._contents.item(parent.row if parent else None, concept, kind or "", **columns)
        if kind is None:
            row["value_type"] = None
        if concept is not None and not concept.value:
            row["concept"] = None
        for note in notes:
            self._note(row["place"], kind or "", note)
        how = _plain(columns.get("RelationshipType") or relation)
        depth = parent.depth + 1 if parent else 1
        node = _Node(row, parent, depth, how in _MODIFYING, row.get("concept") == _GROUP)
        if parent is not None:
            _tell(node, parent, how)
        self._nodes.append(node)
        return node

    def _note(self, place: str, kind: str, problem: str) -> None:
        self._notes += 1
        if self._notes <= MOST_PROBLEMS:
            self._contents.problem(place, kind, problem)
        elif self._notes == MOST_PROBLEMS + 1:
            self._contents.problem("", "", "more problems of content items than are noted")

    def inherit(self) -> None:
        """Fill the columns that items have from the items around them."""
        places = {node.row["place"] for node in self._nodes}
        for node in self._nodes:
            row = node.row
            above = node.above = _above(node)
            side, modifiers, listed = above.side, above.modifiers, above.numbers
            own = _own(row)
            columns = {**above.columns, **own} if own else above.columns
            here = _told(columns, side, node.own)[0] if node.own else columns
            if node.fills is not None:  # what is below it is about it
                columns = {**columns, node.fills[0]: node.fills[1]}
            node.base = columns
            if node.passed:
                columns, side = _told(columns, side, node.passed)
            numbers = listed
            if node.modifiers:
                outer = {k: v for k, v in modifiers.items() if k not in node.modifiers}
                listed = _numbers(outer)
                modifiers = {**node.modifiers, **outer}
                if sum(map(len, modifiers.values())) > MOST_MODIFIERS:
                    modifiers = _nearest(modifiers)
                    self._note(row["place"], "SQ", f"more than {MOST_MODIFIERS} modifiers")
                numbers = _numbers(modifiers)
            changed = columns is not above.columns or modifiers is not above.modifiers
            node.below = _Context(columns, side, modifiers, numbers) if changed else above
            row.update(here)
            if listed:
                row["modifiers"] = listed
            target = row.get("target")
            if target is not None and target not in places:
                self._note(row["place"], "", "a reference to an item that is not there")


_UNREAD = frozenset(["BulkDataURI", "InlineBinary"])
_GROUP = "DCM:125007"
_MODIFYING = frozenset(["HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT"])
_RELATIONS = _MODIFYING | {"CONTAINS", "HAS PROPERTIES", "INFERRED FROM", "SELECTED FROM"}

# concept -> the column that it fills, from which column, and its rank among others that fill it
_FILLS = {
    "DCM:121071": ("finding", "code", 0),
    "SCT:363698007": ("site", "code", 0),
    "SCT:272741003": ("laterality", "code", 0),
    "DCM:112039": ("tracking", "text", 0),
    "DCM:112040": ("tracking_uid", "text", 0),
    "DCM:121008": ("observer", "text", 0),
    "DCM:121013": ("observer", "text", 1),
    "DCM:121012": ("observer", "text", 2),
    "DCM:121049": ("language", "code_value", 0),
}
_GROUPED = frozenset(["finding", "site", "laterality", "tracking", "tracking_uid"])


def _tell(node: _Node, parent: _Node, relation: str) -> None:
    """Tell an item what a child of it says for others."""
    row = node.row
    concept = row.get("concept")
    if node.modifies:
        key = concept or row["item"]
        parent.modifiers[key] = (*parent.modifiers.get(key, ())[:MOST_MODIFIERS], row["item"])
    fills = _FILLS.get(concept) if concept else None
    if fills is None or not row.get(fills[1]):
        return
    column = fills[0]
    grouped = parent.group and column in _GROUPED
    if not (grouped or node.modifies or relation == "HAS PROPERTIES"):
        return
    node.fills = (column, row[fills[1]])
    told = [parent.own]
    if grouped or node.modifies:
        told.append(parent.passed)
    for says in told:
        before = says.get(column)
        if before is None or _FILLS[before.row["concept"]][2] > fills[2]:
            says[column] = node


def _above(node: _Node) -> _Context:
    """What holds for an item: what its parent says to its children, less what it says itself."""
    parent = node.parent
    if parent is None or parent.below is None:
        return _NOTHING
    below = parent.below
    if not node.modifies and node.fills is None:
        return below
    columns, side, modifiers, numbers = below.columns, below.side, below.modifiers, below.numbers
    number = node.row["item"]
    if node.modifies and numbers and number in numbers:
        rest = {k: tuple(n for n in v if n != number) for k, v in modifiers.items()}
        modifiers = {k: v for k, v in rest.items() if v}
        numbers = _numbers(modifiers)
    if node.fills and node.fills[0] in parent.passed:
        outer = parent.above or _NOTHING
        says = {name: one for name, one in parent.passed.items() if name != node.fills[0]}
        columns, side = _told(parent.base, outer.side, says)
    return _Context(columns, side, modifiers, numbers)


def _own(row: dict[str, Any]) -> dict[str, Any]:
    """Columns that an item fills itself, for all below it too."""
    return {name: row[name] for name in ("template", "observed") if row.get(name)}


def _told(
    columns: dict[str, Any], side: str | None, says: dict[str, _Node]
) -> tuple[dict[str, Any], str | None]:
    """Columns and the nearest laterality after what the items `says` say."""
    columns = dict(columns)
    for column, node in says.items():
        assert node.fills is not None
        columns[column] = node.fills[1]
    if "laterality" in says:
        side = columns["laterality"]
    elif "site" in says:  # the side of another site is not that of this one
        lateral = says["site"].own.get("laterality")
        columns["laterality"] = lateral.row["code"] if lateral else side
    return columns, side


def _numbers(modifiers: dict[Any, tuple[int, ...]]) -> list[int] | None:
    return sorted(number for numbers in modifiers.values() for number in numbers) or None


def _nearest(modifiers: dict[Any, tuple[int, ...]]) -> dict[Any, tuple[int, ...]]:
    """The first of them, which are the nearest."""
    found: dict[Any, tuple[int, ...]] = {}
    room = MOST_MODIFIERS
    for concept, numbers in modifiers.items():
        if room <= 0:
            break
        found[concept] = numbers[:room]
        room -= len(numbers)
    return found


def _below(item: Any) -> list[tuple[Any, str]]:
    """The items inside of an item, and their relation where it goes without saying."""
    if not isinstance(item, dict):
        return []
    below = [(child, "") for child in _values(item.get(_CHILDREN))]
    if _MODIFIERS in item:
        below += [(child, "HAS CONCEPT MOD") for child in _values(item[_MODIFIERS])]
    return below


# What one item says


def _read(
    item: Json, columns: dict[str, Any], notes: list[str], top: bool, root: bool
) -> tuple[Code | None, str | None]:
    """Fill the columns of an item; return its concept and its value type."""
    concept = None
    for tag, element in item.items():
        reads = _READS.get(tag)
        if reads is None and tag not in (_CONCEPT, _CHILDREN):
            continue
        values = _values(element)
        if not values and not _UNREAD.isdisjoint(element):
            notes.append("a value that the header does not hold")
        elif reads is not None:
            reads(columns, values, notes)
        elif tag == _CONCEPT:
            concept = _concept(columns, values, notes)
    if "0040A30A" in item:  # without a sequence around it, as in PS3.3 10.2
        _number(columns, [item], notes)
    said = columns.pop("_said", {})
    kind = _kind(item, columns, notes, root)
    if said:
        text, moment = said.get(kind) or next(iter(said.values()))
        columns["text"] = text
        if moment is not None:
            columns["moment"] = moment
    if not top:
        relation = _plain(columns.get("RelationshipType") or "")
        if _MODIFIERS not in item and relation not in _RELATIONS:
            notes.append("an unknown relationship" if relation else "no relationship")
    return concept, kind


def _values(element: Any) -> list[Any]:
    """The values of an element, whatever it is."""
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def _first(values: list[Any]) -> Json:
    """The first item of a sequence."""
    return values[0] if values and isinstance(values[0], dict) else {}


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):  # a person name
        groups = (value.get(name) for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(g if isinstance(g, str) else "" for g in groups).rstrip("=")
    return "" if value is None else str(value)


def _text(element: Any) -> str | None:
    """The text of an element as sent; None when it has none."""
    values = _values(element)
    if len(values) == 1:
        return _as_text(values[0]) or None
    return "\\".join(map(_as_text, values)) or None


def _plain(text: str) -> str:
    """A code string without what may be written differently."""
    return " ".join(text.upper().replace("_", " ").split())


def _code(values: list[Any], notes: list[str]) -> Code | None:
    """The first code of a sequence."""
    item = _first(values)
    if len(values) > 1:
        notes.append("more codes than one; the first one counts")
    value = ""
    for tag in ("00080100", "00080119", "00080120"):
        if tag in item and (value := (_text(item[tag]) or "").strip()):
            break
    scheme = (_text(item.get("00080102")) or "").strip()
    meaning = (_text(item.get("00080104")) or "").strip()
    if len(value) > LONGEST_CODE or len(scheme) > LONGEST_CODE:
        notes.append(f"a code longer than {LONGEST_CODE} characters")
        value = scheme = ""
    if not value:
        if scheme or meaning:
            notes.append("a code without a value")
            return Code("", scheme, meaning)
        return None
    if misnamed(value, scheme, meaning):
        notes.append("a code with the meaning of another one; the code counts")
    return Code(value, scheme, meaning)


def _sct(name: str | None) -> bool:
    return name is not None and name.startswith("SCT:") and not name[4:].isdecimal()


def _concept(columns: dict[str, Any], values: list[Any], notes: list[str]) -> Code | None:
    version = _text(_first(values).get("00080103"))
    if version:
        columns["concept_version"] = version
    found = _code(values, notes)
    if found is not None and _sct(coded("concept", found)["concept"]):
        notes.append("a concept that SNOMED CT cannot have")
    return found


def _coded_value(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
    code = _code(values, notes)
    columns.update(coded("code", code))
    if code is not None and not code.value:
        columns["code"] = None
    elif code is None:
        notes.append("no code")
    elif _sct(columns["code"]):
        notes.append("a code that SNOMED CT cannot have")


def _number(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
    """Measured Value Sequence; it may be empty."""
    value = _first(values)
    if not value:
        return
    sent = _values(value.get("0040A30A"))
    numbers = [_as_number(one) for one in sent]
    if sent:
        columns["number_sent"] = "\\".join(map(_as_text, sent))
        if None in numbers:
            notes.append("not a decimal number")
    exact = [_as_number(one) for one in _values(value.get("0040A161"))]
    if not exact and "0040A162" in value:
        exact = _ratios(_values(value["0040A162"]), _values(value.get("0040A163")))
    if exact and None not in exact and len(exact) == max(len(numbers), 1):
        if any(n is not None and not _near(n, e) for n, e in zip(numbers, exact, strict=False)):
            notes.append("a Floating Point Value that differs from the Numeric Value")
        numbers = exact
    if numbers:
        columns["number"] = numbers[0]
    if len(numbers) > 1:
        columns["numbers"] = numbers
    unit = _code(_values(value.get("004008EA")), notes)
    if unit is None:
        if numbers:
            notes.append("a number without a unit")
        return
    columns |= measured(numbers[0] if numbers else None, unit)
    if columns["unit"] is None:
        notes.append("a unit with no UCUM meaning")
    elif unit.scheme != "UCUM":
        notes.append("a unit of an unknown scheme, taken for UCUM")


def _as_number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return number_of(value.strip()) if isinstance(value, str) else None


def _ratios(above: list[Any], below: list[Any]) -> list[float | None]:
    pairs = [(_as_number(a), _as_number(b)) for a, b in zip(above, below, strict=False)]
    return [a / b if a is not None and b else None for a, b in pairs]


def _near(one: float, other: float | None) -> bool:
    return other is not None and abs(one - other) <= 1e-3 * max(abs(one), abs(other))


def _qualifier(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
    code = _code(values, notes)
    if code is not None and code.value:
        columns["qualifier"] = coded("qualifier", code)["qualifier"]


def _says(kind: str, vr: str = "") -> Callable[[dict[str, Any], list[Any], list[str]], None]:
    """Reads an attribute that is the text of an item of one value type."""

    def read(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
        text = _text({"Value": values})
        if text is None:
            return
        moment = moment_of(text, vr) if vr else None
        if vr and moment is None:
            notes.append("not a date" if vr == "DA" else "not a date and time")
        columns.setdefault("_said", {})[kind] = (text, moment)

    return read


def _as(
    name: str, convert: Callable[[list[Any]], Any]
) -> Callable[[dict[str, Any], list[Any], list[str]], None]:
    """Reads an attribute to one column."""

    def read(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
        found = convert(values)
        if found is not None:
            columns[name] = found

    return read


def _one(values: list[Any]) -> str | None:
    return _as_text(values[0]) or None if values else None


def _texts(values: list[Any]) -> list[str] | None:
    return [_as_text(value) for value in values] or None


def _wholes(values: list[Any]) -> list[int] | None:
    """Whole numbers; what is none of 64 bits is left out."""
    numbers = (_as_number(value) for value in values)
    return [int(n) for n in numbers if n is not None and abs(n) < 1 << 62] or None


def _floats(values: list[Any]) -> list[float | None] | None:
    return [_as_number(value) for value in values] or None


def _place(values: list[Any]) -> str | None:
    return ".".join(map(str, _wholes(values) or ())) or None


def _moment(values: list[Any]) -> Any:
    return moment_of(_as_text(values[0]), "DT") if values else None


def _reference(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
    item = _first(values)
    if len(values) > 1:
        notes.append("more references than one; the first one counts")
    for tag, name, convert in _REFERS:
        if tag in item:
            found = convert(_values(item[tag]))
            if found is not None:
                columns[name] = found


def _template(columns: dict[str, Any], values: list[Any], notes: list[str]) -> None:
    name = _text(_first(values).get("0040DB00"))
    if name is None:
        return
    columns["template"] = name
    if name.isdecimal() and len(name) > 5:
        notes.append("a code in place of a template identifier")


_REFERS: list[tuple[str, str, Callable[[list[Any]], Any]]] = [
    ("00081150", "ReferencedSOPClassUID", _one),
    ("00081155", "ReferencedSOPInstanceUID", _one),
    ("00081160", "ReferencedFrameNumber", _wholes),
    ("0062000B", "ReferencedSegmentNumber", _wholes),
    ("0040A0B0", "ReferencedWaveformChannels", _wholes),
]

_READS: dict[str, Callable[[dict[str, Any], list[Any], list[str]], None]] = {
    _TYPE: _as("ValueType", _one),
    _RELATION: _as("RelationshipType", _one),
    _REFERENCE: _as("target", _place),
    "0040A160": _says("TEXT"),
    "0040A123": _says("PNAME"),
    "0040A124": _says("UIDREF"),
    "0040A121": _says("DATE", "DA"),
    "0040A122": _says("TIME"),
    "0040A120": _says("DATETIME", "DT"),
    "0040A300": _number,
    "0040A301": _qualifier,
    "0040A168": _coded_value,
    "00081199": _reference,
    "00700022": _as("GraphicData", _floats),
    "00700023": _as("GraphicType", _one),
    "0040A130": _as("GraphicType", _one),
    "30060024": _as("ReferencedFrameOfReferenceUID", _one),
    "0040A132": _as("values", _texts),
    "0040A138": _as("values", _texts),
    "0040A13A": _as("values", _texts),
    "0040A504": _template,
    "0040A032": _as("observed", _moment),
    "0040A171": _as("observation", _one),
}

_TYPES = frozenset(
    "CONTAINER TEXT CODE NUM PNAME DATE TIME DATETIME UIDREF IMAGE WAVEFORM COMPOSITE SCOORD "
    "SCOORD3D TCOORD TABLE".split()
)
_PHRASES = {
    "NUMERIC": "NUM", "NUMBER": "NUM", "NUMERIC VALUE": "NUM", "CODED": "CODE",
    "CODE VALUE": "CODE", "PERSON NAME": "PNAME", "PN": "PNAME", "NAME": "PNAME", "UID": "UIDREF",
    "UID REFERENCE": "UIDREF", "DATE TIME": "DATETIME", "STRING": "TEXT", "TEXT VALUE": "TEXT",
    "SPATIAL COORDINATES": "SCOORD", "SPATIAL COORDINATES 3D": "SCOORD3D",
    "3D SPATIAL COORDINATES": "SCOORD3D", "TEMPORAL COORDINATES": "TCOORD",
    "COMPOSITE OBJECT": "COMPOSITE",
}  # fmt: skip
# what an item has, and the value type that it then is
_SHOWS = (
    ("0040A300", "NUM"), ("0040A30A", "NUM"), ("0040A168", "CODE"), ("0040A160", "TEXT"),
    ("0040A123", "PNAME"), ("0040A124", "UIDREF"), ("0040A120", "DATETIME"), ("0040A121", "DATE"),
    ("0040A122", "TIME"), ("0040A130", "TCOORD"), ("0040A801", "TABLE"),
)  # fmt: skip
_WAVEFORMS = "1.2.840.10008.5.1.4.1.1.9."


def _kind(item: Json, columns: dict[str, Any], notes: list[str], root: bool) -> str | None:
    """The value type of an item: as said, else by what it has."""
    sent = columns.get("ValueType")
    if sent in _TYPES:
        return str(sent)
    said = _plain(sent or "")
    if sent:
        notes.append("a value type that the Standard does not know")
    for kind in (said, said.removesuffix(" ITEM"), said.removesuffix(" CONTENT ITEM")):
        if kind in _TYPES:
            return kind
        if kind in _PHRASES:
            return _PHRASES[kind]
    if not sent and not root and _REFERENCE not in item:
        notes.append("no value type")
    return _shown(item, columns, root)


def _shown(item: Json, columns: dict[str, Any], root: bool) -> str | None:
    """The value type that an item without one must have."""
    for tag, kind in _SHOWS:
        if tag in item:
            return kind
    if "GraphicType" in columns or "GraphicData" in columns:
        return "SCOORD3D" if "ReferencedFrameOfReferenceUID" in columns else "SCOORD"
    if "00081199" in item:
        sop_class = str(columns.get("ReferencedSOPClassUID", ""))
        if "ReferencedWaveformChannels" in columns or sop_class.startswith(_WAVEFORMS):
            return "WAVEFORM"
        framed = "ReferencedFrameNumber" in columns or "ReferencedSegmentNumber" in columns
        return "IMAGE" if framed else "COMPOSITE"
    if root or _CHILDREN in item or "0040A050" in item:
        return "CONTAINER"
    return None
