"""Mapping files: how the columns of a table of one's own become facts, and texts documents.

A mapping is YAML. Under `tables` each entry names files and says what their columns are; under
`texts` an entry says how text files are named, or which table tells of whom they are. A `code` is
one text as in `LN:4548-4`, or says its `column` and `scheme`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.clinical.codes import asked, scheme_of
from dicomlake.jobs.clinical.formats.sheets import (
    Layout,
    Projection,
    Sheets,
    known,
    opened,
)
from dicomlake.jobs.clinical.reports import stage_document
from dicomlake.jobs.clinical.staging import Part
from dicomlake.lake.database import literal

KINDS = ("condition", "procedure", "observation", "medication", "encounter", "patient")
_CODES = ("code", "value", "site", "laterality")
_MOMENTS = ("started", "ended", "updated")
_NUMBERS = ("number",)
_COLUMNS = (
    "PatientID", "IssuerOfPatientID", "AccessionNumber", "encounter", "status", "identifier",
    "text", "unit", *_CODES, *_MOMENTS, *_NUMBERS,
)  # fmt: skip
_OF_TEXTS = (
    "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID", "written", "title",
    "language", "identifier", "status", "file",
)  # fmt: skip
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column comes from: one of the table, or a value for all rows.

    `scheme` of a code, or `scheme_column`; `meaning`: the column of its meaning; `format`: of a
    date, as strptime has it; `map`: what values become.
    """

    column: str = ""
    value: str = ""
    scheme: str = ""
    scheme_column: str = ""
    meaning: str = ""
    format: str = ""
    map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableMapping:
    """How the files of a pattern become facts of a kind."""

    files: str
    kind: str
    columns: Mapping[str, _Column]


@dataclass(frozen=True, slots=True)
class TextMapping:
    """How text files say whose they are: by their name, or by a table beside them."""

    files: str
    name: re.Pattern[str] | None = None
    index: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping file, read and checked; `digest` stands for its text."""

    tables: tuple[TableMapping, ...] = ()
    texts: tuple[TextMapping, ...] = ()
    digest: str = ""

    def of_table(self, path: Path) -> list[TableMapping]:
        """The entries for a table."""
        return [one for one in self.tables if _matches(path, one.files)]

    def of_text(self, path: Path) -> TextMapping | None:
        """The entry for a text file."""
        return next((one for one in self.texts if _matches(path, one.files)), None)

    def is_index(self, path: Path) -> bool:
        """Whether a file is a table that tells of whom texts are."""
        return any(one.index and path.name == one.index for one in self.texts)


def _matches(path: Path, pattern: str) -> bool:
    name = path.name.lower()
    return any(fnmatch(one, pattern.lower()) for one in (name, name.removesuffix(".gz")))


def read_mapping(given: str | Path | Mapping[str, Any] | None) -> Mapped:
    """A mapping from a file of YAML, or as one; UsageError says what is wrong in it."""
    if given is None:
        return Mapped()
    if isinstance(given, Mapping):
        return _mapped(dict(given), repr(sorted(given.items(), key=str)))
    try:
        return mapping_of(Path(given).read_text(encoding="utf-8-sig"), f"The mapping {given}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The mapping {given} cannot be read.") from error


def mapping_of(text: str, called: str = "The mapping") -> Mapped:
    """A mapping of YAML; UsageError says what is wrong in it."""
    import yaml

    try:
        return _mapped(yaml.safe_load(text), text)
    except yaml.YAMLError as error:
        raise UsageError(f"{called} is no YAML: {error}") from error


def _mapped(told: Any, text: str) -> Mapped:
    if not isinstance(told, dict) or not set(told) <= {"tables", "texts"}:
        raise UsageError("A mapping has the entries tables and texts, and no others.")
    listed, texts = _entries(told, "tables"), _entries(told, "texts")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Mapped(tuple(map(_table, listed)), tuple(map(_texts, texts)), digest)


def _entries(told: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = told.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"In a mapping, {name} is a list of entries.")
    return found


def _table(told: dict[str, Any]) -> TableMapping:
    if wrong := set(told) - {"files", "kind", "columns"}:
        raise UsageError(f"An entry of tables has no {min(wrong)!r}: files, kind and columns.")
    kind = told.get("kind")
    if kind not in KINDS:
        raise UsageError(f"kind of an entry of tables is one of: {', '.join(KINDS)}.")
    columns = told.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise UsageError("An entry of tables says under columns what its columns are.")
    for name in columns:
        if name not in _COLUMNS:
            raise UsageError(f"A fact has no column {name!r}. There are: {', '.join(_COLUMNS)}.")
    made = {name: _column(name, said) for name, said in columns.items()}
    return TableMapping(str(told.get("files", "*.csv")), kind, made)


def _column(name: str, said: Any) -> _Column:
    if isinstance(said, str):
        scheme, colon, value = said.partition(":")
        if name in _CODES and colon:
            return _Column(value=value, scheme=scheme)
        return _Column(column=said)
    if isinstance(said, int | float):
        return _Column(value=str(said))
    if not isinstance(said, dict) or not set(said) <= set(_Column.__dataclass_fields__):
        known_ = ", ".join(_Column.__dataclass_fields__)
        raise UsageError(f"The column {name!r} of a mapping is a name, or says: {known_}.")
    given: dict[str, Any] = {k: v if k == "map" else str(v) for k, v in said.items()}
    if not given.get("column") and not given.get("value"):
        raise UsageError(f"The column {name!r} of a mapping needs a column or a value.")
    if "map" in given:
        given["map"] = {str(k): str(v) for k, v in dict(given["map"]).items()}
    made = _Column(**given)
    if name in _CODES and not (made.scheme or made.scheme_column):
        raise UsageError(f"The code {name!r} of a mapping needs its scheme, such as I10GM.")
    return made


def _texts(told: dict[str, Any]) -> TextMapping:
    if wrong := set(told) - {"files", "name", "index", "columns"}:
        raise UsageError(f"An entry of texts has no {min(wrong)!r}: files, name, index, columns.")
    name, columns = str(told.get("name", "")), dict(told.get("columns") or {})
    for one in (*columns, *_PLACE.findall(name)):
        if one not in _OF_TEXTS:
            raise UsageError(f"A text has no {one!r}. There are: {', '.join(_OF_TEXTS)}.")
    if not name and not told.get("index"):
        raise UsageError("An entry of texts needs a name, such as '{AccessionNumber}.txt', or an "
                         "index.")  # fmt: skip
    pattern = re.compile(_as_pattern(name), re.IGNORECASE) if name else None
    return TextMapping(str(told.get("files", "*.txt")), pattern, str(told.get("index", "")),
                       {k: str(v) for k, v in columns.items()})  # fmt: skip


def _as_pattern(name: str) -> str:
    """A pattern of file names: {PatientID}_{AccessionNumber}.txt."""
    parts = _PLACE.split(name)
    return "".join(
        f"(?P<{part}>[^/]+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts)
    )


# Tables


def stage_table(
    sheets: Sheets, path: Path, layout: Layout, entries: list[TableMapping], part: Part,
    issuer: str, check: Any,
) -> None:  # fmt: skip
    """Stage the facts of a table by the entries for it; DataError when a column is missing."""
    there = {name.lower() for name in layout.columns}
    for entry in entries:
        for one in entry.columns.values():
            for name in (one.column, one.scheme_column, one.meaning):
                if name and name.lower() not in there:
                    raise DataError(f"the table has no column {name!r}, which the mapping names")
    projections = [
        _projection(one, layout, issuer, part.file, number, len(entries) > 1)
        for number, one in enumerate(entries, 1)
    ]
    sheets.stage(path, layout, projections, part, check)


def _projection(
    entry: TableMapping, layout: Layout, issuer: str, file: str, number: int, several: bool
) -> Projection:
    columns: dict[str, str] = {"kind": literal(entry.kind)}
    needs = []
    for name, one in entry.columns.items():
        sql = _sql(one, layout)
        if name in _CODES:
            columns |= _code(name, one, layout)
        elif name in _MOMENTS:
            then = f"try_strptime({sql}, {literal(one.format)})::timestamptz" if one.format else (
                f"moment({sql})"
            )  # fmt: skip
            columns[name] = then
            needs.append((f"{sql} is null or {then} is not null", f"{name} is no date"))
            if name == "started":
                columns["precision"] = (
                    f"case when {then} is not null then "
                    + (literal(_precision(one.format)) if one.format else f"precision_of({sql})")
                    + " end"
                )
        elif name in _NUMBERS:
            made = f"try_cast(replace({sql}, ',', '.') as double)"
            columns[name] = made
            needs.append((f"{sql} is null or {made} is not null", f"{name} is no number"))
        else:
            columns[name] = sql
    columns.setdefault("IssuerOfPatientID", literal(issuer) if issuer else "null::text")
    if "identifier" in columns and several:
        columns["identifier"] = f"{columns['identifier']} || ':{number}'"
    columns["origin"] = f"{literal(file)} || ':' || line__"
    if entry.kind == "observation":
        says = [columns[n] for n in ("number", "text", "value", "value_value") if n in columns]
        if says and ("number" in columns or "text" in columns):
            needs.append((f"coalesce({', '.join(f'({s})::text' for s in says)}) is not null",
                          "it has no value"))  # fmt: skip
    says = [columns[n] for n in ("code", "code_value", "text") if n in columns]
    if entry.kind not in ("encounter", "patient"):
        needs.append((f"coalesce({', '.join(says) or 'null::text'}) is not null",
                      "it says nothing: no code and no text"))  # fmt: skip
    return Projection("clinical_events", columns, tuple(needs))


def _precision(form: str) -> str:
    for sign, known_ in (("%H", "second"), ("%I", "second"), ("%d", "day"), ("%m", "month")):
        if sign in form:
            return known_
    return "year"


def _sql(one: _Column, layout: Layout) -> str:
    sql = known(layout.columns, one.column) if one.column else literal(one.value)
    if one.map:
        cases = " ".join(f"when {literal(k)} then {literal(v)}" for k, v in one.map.items())
        sql = f"case {sql} {cases} else {sql} end"
    return sql


def _code(name: str, one: _Column, layout: Layout) -> dict[str, str]:
    """The columns of a code; that of all rows is known as it is asked for already."""
    sql = _sql(one, layout)
    if name in ("site", "laterality"):
        scheme = scheme_of(one.scheme)
        fixed = literal(asked(one.value, scheme)) if one.value else f"'{scheme}:' || {sql}"
        return {name: fixed}
    scheme_sql = known(layout.columns, one.scheme_column) if one.scheme_column else (
        literal(scheme_of(one.scheme))
    )  # fmt: skip
    made = {f"{name}_value": sql, f"{name}_scheme": f"case when {sql} is not null then "
            f"{scheme_sql} end"}  # fmt: skip
    if name == "value":  # only that of code is completed later
        scheme = scheme_of(one.scheme)
        made[name] = literal(asked(one.value, scheme)) if one.value else f"'{scheme}:' || {sql}"
    if one.meaning:
        made[f"{name}_meaning"] = known(layout.columns, one.meaning)
    return made


# Texts


class Texts:
    """Reads text files; those that no name and no index tells of anybody are refused."""

    def __init__(self, mapped: Mapped, issuer: str) -> None:
        self._mapped, self._issuer = mapped, issuer
        self._indexes: dict[Path, dict[str, dict[str, str]]] = {}

    def read(self, path: Path, part: Part) -> None:
        """Stage the text of a file; DataError when nothing says whose it is."""
        entry = self._mapped.of_text(path)
        if entry is None:
            raise DataError("nothing says whose text this is: name it in a mapping, under texts")
        said: dict[str, str] = {}
        if entry.name is not None and (found := entry.name.fullmatch(path.name)):
            said |= {k: v for k, v in found.groupdict().items() if v}
        if entry.index:
            index = self._index(path.parent / entry.index, entry)
            said |= index.get(path.name, {})
        if not said.get("PatientID") and not said.get("AccessionNumber"):
            raise DataError("nothing says whose text this is: not its name, and no line of the "
                            "index")  # fmt: skip
        said.pop("file", None)
        with opened(path) as file:
            text = _decoded(file.read())
        if not text.strip():
            raise DataError("the text is empty")
        place = hashlib.sha256(path.name.encode()).hexdigest()[:12]
        said.setdefault("identifier", f"text/{place}")
        if said.get("PatientID"):
            said.setdefault("IssuerOfPatientID", self._issuer)
        written = said.pop("written", "")
        row = {name: value or None for name, value in said.items()}
        stage_document(part, text, written=written, origin=part.file, **row)

    def _index(self, path: Path, entry: TextMapping) -> dict[str, dict[str, str]]:
        if path not in self._indexes:
            columns = entry.columns or {name: name for name in _OF_TEXTS}
            wanted = {said.lower(): name for name, said in columns.items()}
            found: dict[str, dict[str, str]] = {}
            for row in _rows(path):
                said = {wanted[k.lower()]: v.strip() for k, v in row.items()
                        if k and v and v.strip() and k.lower() in wanted}  # fmt: skip
                if name := said.get("file"):
                    found[Path(name).name] = said
            self._indexes[path] = found
        return self._indexes[path]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"the index {path.name!r} cannot be read") from error
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count)
    return list(csv.DictReader(io.StringIO(text), delimiter=separator))


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


__all__ = ["KINDS", "Mapped", "Texts", "mapping_of", "read_mapping", "stage_table"]
