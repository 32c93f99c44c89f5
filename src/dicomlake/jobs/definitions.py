"""Definitions of extractions: which paths become which columns, and for whom.

    name: ecg
    each: patient
    columns:
      qt:     {path: "*.[DCM:122158].[MDC:2:16160]", unit: ms}
      smoker: {path: "[LN:11524-0].[LN:11329-0].[LN:29762-2].[SCT:365981007]", value: code}
      sex:    PatientSex

A definition is checked when it is read; UsageError says in one sentence what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from dicomlake import tables
from dicomlake.dicom.dictionary import WORD
from dicomlake.errors import QuerySyntax, UsageError
from dicomlake.query import And, Exists, Node, Not, Or, Quantity, Same, parse
from dicomlake.query.attributes import ANATOMY, ROWS, attribute
from dicomlake.query.nodes import paths_of
from dicomlake.query.values import short
from dicomlake.terms import units

EACH = {
    "patient": ("PatientID", "IssuerOfPatientID"),
    "study": ("PatientID", "StudyInstanceUID", "StudyDate"),
    "series": ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
}
"""What a table may be about, and the columns that say which one."""
SEVERAL = ("rows", "list", "first", "last", "smallest", "largest", "mean", "count")
VALUES = ("auto", "number", "text", "code", "meaning", "date")
CONTEXT = ("finding", "site", "laterality", "tracking", "observed")
"""Values that are not the item itself but what counts for it from around it."""
MOST_CHARACTERS, MOST_COLUMNS, LONGEST_NAME = 200_000, 300, 60
"""Bounds of a definition: characters of its YAML, columns, characters of a name."""
_DEFAULTS = {"unit": "", "value": "auto", "several": "rows", "where": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an extraction.

    `where`: a condition on the same item (segment, channel, ...) as the value, or on its group.
    `unit`: the unit in which numbers are given. `several`: what becomes of several matches.
    """

    name: str
    path: str
    unit: str = ""
    value: str = "auto"
    several: str = "rows"
    where: str = ""


@dataclass(frozen=True, slots=True)
class Extraction:
    """What to extract: columns for each patient, study or series, of those that meet `where`."""

    name: str
    columns: tuple[Column, ...]
    each: str = "study"
    where: str = ""

    @property
    def version(self) -> str:
        """A short name of exactly this definition."""
        text = json.dumps(self.plain())
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def plain(self) -> dict[str, Any]:
        """The definition as YAML and JSON have it."""
        columns = {}
        for column in self.columns:
            said = {"path": column.path}
            for key, default in _DEFAULTS.items():
                if getattr(column, key) != default:
                    said[key] = getattr(column, key)
            columns[column.name] = said
        plain: dict[str, Any] = {"name": self.name, "each": self.each, "columns": columns}
        return {**plain, "where": self.where} if self.where else plain


def load(given: str | Path | Mapping[str, Any] | Extraction) -> Extraction:
    """The extraction that a YAML file, its text or its content defines; UsageError says what is
    wrong with it.

    >>> load("{name: sexes, columns: {sex: PatientSex}}").plain()
    {'name': 'sexes', 'each': 'study', 'columns': {'sex': {'path': 'PatientSex'}}}
    """
    if isinstance(given, Extraction):
        given = given.plain()
    if isinstance(given, str | Path):
        given = _read(given)
    if not isinstance(given, Mapping):
        raise UsageError("A definition has name, each and columns. See docs/contents.md.")
    return _definition(given)


def restored(plain: Mapping[str, Any]) -> Extraction:
    """The extraction that was kept as plain, unchecked: an older one may have had other rules."""
    columns = (Column(name, **said) for name, said in plain["columns"].items())
    return Extraction(plain["name"], tuple(columns), plain["each"], plain.get("where", ""))


class _Loader(yaml.BaseLoader):
    """YAML in which every value is text, no key comes twice and nothing points elsewhere."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; aliases are refused, because a few of them make a definition of any size."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="leave out anchors and aliases", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping without double keys."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                problem = f"{short(key.value)} is there twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read(given: str | Path) -> Any:
    text = str(given)
    if isinstance(given, Path) or ("\n" not in text and not text.lstrip().startswith("{")):
        try:
            with Path(given).open(encoding="utf-8-sig") as file:
                text = file.read(MOST_CHARACTERS + 1)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The definition {short(str(given))} cannot be read as a YAML file."
            ) from error
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"The definition has more than {MOST_CHARACTERS:,} characters.")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f" (line {mark.line + 1})" if mark else ""
        said = problem or getattr(error, "reason", None) or "it cannot be read"
        raise UsageError(f"The definition is no YAML as it should be{place}: {said}.") from error
    except RecursionError as error:
        raise UsageError("The definition nests too deeply.") from error


def _definition(plain: Mapping[str, Any]) -> Extraction:
    _known(plain, ("name", "each", "where", "columns"), "a definition")
    name = plain.get("name")
    if not isinstance(name, str) or not WORD.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"A definition needs a name of letters, digits and _, {LONGEST_NAME} at most: name: ecg"
        )
    each = _said(plain.get("each", "study"), "each")
    if each not in EACH:
        raise UsageError(f"each is one of {', '.join(EACH)}, not {short(each)}.")
    where = _said(plain.get("where"), "where")
    if where:
        _condition(where, "where")
    columns = plain.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        raise UsageError("A definition needs columns, each with a path: columns: {qt: {path: ...}}")
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"A definition has {MOST_COLUMNS} columns at most, not {len(columns):,}.")
    found = tuple(_column(key, said) for key, said in columns.items())
    _check_names(found, EACH[each])
    return Extraction(name, found, each, where)


def _check_names(columns: Iterable[Column], keys: tuple[str, ...]) -> None:
    """UsageError when two columns of the result would have one name; case does not matter."""
    taken = {name.lower(): "" for name in (*keys, "SOPInstanceUID", "place")}
    for column in columns:
        for name in made_by(column):
            other = taken.get(name.lower())
            if other == "":
                raise UsageError(f"{name!r} is a column of its own already. Rename {column.name}.")
            if other is not None:
                raise UsageError(
                    f"Columns {other} and {column.name} would both make a column {name}. "
                    "Rename one of them."
                )
            taken[name.lower()] = column.name


def made_by(column: Column) -> list[str]:
    """Names of all columns that a column may become.

    >>> made_by(Column("qt", "*.[MDC:2:16160]")), made_by(Column("qt", "*.[MDC:2:16160]", "ms"))
    (['qt', 'qt_unit', 'qt_meaning'], ['qt'])
    """
    found, value = [column.name], column.value
    if column.several == "count" or column.unit:
        return found
    if value == "number" or (value == "auto" and column.several == "mean"):
        return [*found, f"{column.name}_unit"]
    if value == "auto":
        return [*found, f"{column.name}_unit", f"{column.name}_meaning"]
    return [*found, f"{column.name}_meaning"] if value == "code" else found


def _said(value: object, what: str) -> str:
    """A value of a definition as text; UsageError for a list, a mapping or something else."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{what} needs text, not {_kind(value)}.")
    return str(value).strip()


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else "what it has"


def _condition(text: str, what: str) -> Node:
    """The condition that a text states; errors begin with what it is the condition of."""
    try:
        node = parse(text)
    except QuerySyntax as error:
        raise QuerySyntax(f"{what}: {error}", error.text, error.position) from error
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    if node is None:
        raise UsageError(f"{what} is empty.")
    return node


def _column(name: object, said: object) -> Column:
    if not isinstance(name, str) or not WORD.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(f"{short(name)} is no name of a column: letters, digits and _, please.")
    what = f"Column {name}"
    if isinstance(said, str):
        said = {"path": said}
    if not isinstance(said, Mapping) or not said.get("path"):
        raise UsageError(f"{what} needs a path, such as path: '*.[DCM:121071]'.")
    _known(said, ("path", *_DEFAULTS), f"column {name}")
    given = {key: _said(value, f"{what}: {key}") for key, value in said.items()}
    column = Column(name, **{key: value or _DEFAULTS.get(key, "") for key, value in given.items()})
    try:
        path = Exists(column.path).path
        if column.unit:
            Quantity(1, column.unit)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    column = Column(name, path, column.unit, column.value, column.several, column.where)
    for key, known in (("value", (*VALUES, *CONTEXT)), ("several", SEVERAL)):
        if getattr(column, key) not in known:
            raise UsageError(f"{what}: {key} is one of {', '.join(known)}.")
    _fits(column, what)
    if column.where:
        row_condition(column)
    return column


def _fits(column: Column, what: str) -> None:
    """UsageError when the parts of a column contradict each other."""
    about = attribute(column.path)
    if not about.table and (column.where or column.unit):
        raise UsageError(f"{what}: where and unit are for what is inside of objects.")
    if about.path == ANATOMY:
        raise UsageError(f"{what}: anatomy is in several places. Name one, such as segment.type.")
    if about.kind == "binary":
        raise UsageError(f"{what}: {column.path} holds bytes, which are no value of a table.")
    if about.table and "." not in about.path and not about.path.startswith("["):
        first = next(iter(tables.ALL[about.table].names[3:]))
        raise UsageError(f"{what}: name a column, such as {about.path}.{first}.")
    if column.value in CONTEXT and about.kind != "content":
        raise UsageError(f"{what}: value: {column.value} is for items of reports.")
    if column.unit and column.value not in ("auto", "number"):
        raise UsageError(f"{what}: a unit is for numbers, not for value: {column.value}.")
    if column.several == "mean" and column.value not in ("auto", "number"):
        raise UsageError(f"{what}: only numbers have a mean, not value: {column.value}.")
    if column.unit and about.kind != "content":
        if about.kind != "number":
            raise UsageError(f"{what}: {column.path} holds no numbers, so it has no unit.")
        if (
            about.unit not in ("", tables.ANY_UNIT)
            and units.convert(1, about.unit, column.unit) is None
        ):
            raise UsageError(
                f"{what}: {column.path} is in {about.unit}, which is no {column.unit}."
            )


def _known(plain: Mapping[Any, Any], keys: tuple[str, ...], what: str) -> None:
    for key in plain:
        if key not in keys:
            near = get_close_matches(str(key), keys, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(keys)}."
            raise UsageError(f"{short(key)} has no meaning in {what}. {hint}")


def row_condition(column: Column) -> Node:
    """The condition of a column, which must be about the same row as its value."""
    what = f"Column {column.name}: where"
    node = _condition(column.where, what)
    root = column.path.partition(".")[0]
    level = root if root in ROWS else "item"
    for path in paths_of(node):
        if path == ANATOMY or attribute(path).table != ROWS[level]:
            raise UsageError(
                f"{what} is about the same {level} as the value, and {path} is nothing that it has."
                " Ask it in the where of the whole definition."
            )
    todo = [node]
    while todo:
        each = todo.pop()
        joined = isinstance(each, And | Or | Not) or (
            isinstance(each, Same) and each.level == level
        )
        if not joined and not hasattr(each, "path"):
            raise UsageError(f"{what} is about one {level}: join its conditions by and, or, not.")
        todo += each.children
    return node
