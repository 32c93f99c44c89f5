"""Rows of contents in the shape of `elements`, so that both are counted by the same statements.

Items of reports lie at their path of concepts, columns of the other tables at segment.type,
channel.lead, event.DLP and so on, and every code of anatomy at anatomy as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from dicomlake import tables
from dicomlake.dicom.dictionary import Attribute
from dicomlake.lake.database import literal
from dicomlake.query.attributes import ANATOMY, ANATOMY_PATHS, ROWS, fields

_COLUMNS = (
    "series_id path vr position text number number_max moment moment_max code_value code_scheme "
    "code_meaning instances folded object unit called"
).split()
_OF_ITEMS = frozenset("site laterality finding template language".split())
"""Columns of items that are counted for themselves; the others are in the items' own rows."""
_UNCOUNTED = frozenset(
    "reader place item event_key number group channel target tracking_uid padding enricher".split()
)
_VRS = {
    "NUM": "DS",
    "CODE": "SQ",
    "TEXT": "UT",
    "PNAME": "PN",
    "DATE": "DA",
    "TIME": "TM",
    "DATETIME": "DT",
    "UIDREF": "UI",
}
"""The VR that stands for a value type; the others are sequences of one item."""


def placed(name: str) -> str:
    """SQL of the rows that say themselves where they are: elements and items."""
    return f"{_elements(name)}\nunion all {_items(name)}"


def columns(name: str) -> Iterator[tuple[str, str, str, str]]:
    """Path, SQL of the rows, table and condition of everything that is counted by columns.

    The tables are views NAME_segments and so on.
    """
    for root, table in ROWS.items():
        if table in tables.CLINICAL:
            continue  # rows of patients, not of series
        source = f"{name}_{table}"
        first = "parent is null" if root == "item" else "true"
        rows = _select(source, f"where {first}", path=literal(root), vr="'SQ'", number="1")
        yield root, rows, source, first
        for about in counted(root):
            yield about.path, _column(source, about, about.path), source, _filled(about)
    yield from _anatomy(name)


def _select(source: str, where: str = "", **columns: str) -> str:
    known = {"instances": "1", "folded": "false", **columns}
    if source.endswith(tables.STATED):
        known["object"] = "null::text"
    picked = ", ".join(f"{known.get(column) or _NULLS[column]} as {column}" for column in _COLUMNS)
    return f"select {picked} from {source} {where}"


_NULLS = {
    "series_id": "series_id",
    "object": '"SOPInstanceUID"',
    "position": "null::int",
    "number": "null::double",
    "number_max": "null::double",
    "moment": "null::timestamptz",
    "moment_max": "null::timestamptz",
    **dict.fromkeys("text code_value code_scheme code_meaning unit called".split(), "null::text"),
}


def _elements(name: str) -> str:
    own = {column: column for column in _COLUMNS if column in tables.ELEMENTS.names}
    return _select(f"{name}_elements_", **own, object="null::text")


def _split(code: str) -> dict[str, str]:
    """Scheme and value of a column that holds SCHEME:VALUE."""
    return {
        "code_scheme": f"split_part({code}, ':', 1)",
        "code_value": f"substr({code}, length(split_part({code}, ':', 1)) + 2)",
    }


def _items(name: str) -> str:
    cases = " ".join(f"when {literal(kind)} then {literal(vr)}" for kind, vr in _VRS.items())
    valued = ", ".join(map(literal, _VRS))
    factor = "coalesce(quantity / nullif(number, 0), 1)"
    code = {key: f"case when code is not null then {v} end" for key, v in _split("code").items()}
    return _select(
        f"{name}_items",
        path="path",
        vr=f"case value_type {cases} else 'SQ' end",
        text="case when code is null then text end",
        number=f"case when value_type not in ({valued}) then 1 "
        f"when numbers is not null then list_min(numbers) * {factor} "
        "else coalesce(quantity, number) end",
        number_max=f"case when numbers is not null then list_max(numbers) * {factor} end",
        moment="moment",
        code_meaning="code_meaning",
        unit="coalesce(quantity_unit, unit_value)",
        called="concept_meaning",
        **code,
    )


def counted(root: str) -> Iterator[Attribute]:
    """The columns of a table of contents that the vocabulary counts."""
    for name, about in fields(root).items():
        sent = name.endswith(("_value", "_scheme", "_meaning"))
        listed = about.vm != "1" or name.startswith("Referenced")
        if root == "item":
            if name in _OF_ITEMS:
                yield about
        elif not sent and not listed and name not in _UNCOUNTED:
            yield about


def _filled(about: Attribute) -> str:
    return f'"{about.path.partition(".")[2]}" is not null'


def _column(source: str, about: Attribute, path: str) -> str:
    column = f'"{about.path.partition(".")[2]}"'
    columns = {"path": literal(path), "vr": literal(about.vr)}
    if about.vr == "SQ":
        meaning = column[:-1] + '_meaning"'
        there = meaning[1:-1] in tables.ALL[about.table].names
        columns |= _split(column) | ({"code_meaning": meaning} if there else {})
    elif about.kind == "number":
        columns |= {"number": column} | ({"unit": literal(about.unit)} if about.unit else {})
    elif about.vr == "DT":
        columns |= {"moment": column}
    elif str(tables.ALL[about.table].field(column[1:-1]).type) == "bool":
        columns |= {"text": f"case when {column} then 'yes' else 'no' end"}
    else:
        columns |= {"text": column}
    return _select(source, f"where {_filled(about)}", **columns)


def _anatomy(name: str) -> Iterator[tuple[str, str, str, str]]:
    for path in ANATOMY_PATHS:
        root, _, column = path.partition(".")
        if root in ROWS:
            about = fields(root)[column]
            source = f"{name}_{about.table}"
            yield ANATOMY, _column(source, about, ANATOMY), source, _filled(about)
        else:
            source = f"{name}_elements_ join {name}_codes using (code_scheme, code_value)"
            rows = _select(
                source,
                f"where {anatomy_codes()}",
                path=literal(ANATOMY),
                vr="'SQ'",
                code_value="value",
                code_scheme="scheme",
                code_meaning="code_meaning",
                instances="instances",
                object="null::text",
            )
            yield ANATOMY, rows, source, anatomy_codes()


def anatomy_codes() -> str:
    """SQL condition on rows of `elements`: those with codes of anatomy."""
    last = [path.partition(".")[2] for path in ANATOMY_PATHS if path.startswith("*.")]
    each = [f"path = {literal(n)} or suffix(path, {literal('.' + n)})" for n in last]
    return f"code_value is not null and ({' or '.join(each)})"
