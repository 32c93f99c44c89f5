"""Named extractions: paths picked once, and a flat table of what every match says.

    name: ecg
    each: patient
    columns:
      qt:     {path: "*.[DCM:122158].[MDC:2:16160]", unit: ms}
      smoker: {path: "[LN:11524-0].[LN:11329-0].[LN:29762-2].[SCT:365981007].[SCT:77176002]"}
      sex:    PatientSex

It is computed from the rows of the lake, never from objects. Every match is kept: matches of one
object that belong together (items of one container, one segment, one channel, one dose event) share
a row of the result, others have rows of their own; a column may also ask for one value per entity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from dicomlake import plugins, tables
from dicomlake.contracts import Progress, Silent
from dicomlake.dicom.dictionary import WORD
from dicomlake.engines import contents
from dicomlake.engines.conditions import Part
from dicomlake.errors import LakeError, UsageError
from dicomlake.lake import Store
from dicomlake.lake.store import EXTRACTIONS
from dicomlake.query import And, Exists, Node, Quantity, Query, Same, parse
from dicomlake.query.attributes import ROWS, attribute
from dicomlake.terms import units

EACH = {
    "patient": ("PatientID", "IssuerOfPatientID"),
    "study": ("PatientID", "StudyInstanceUID", "StudyDate"),
    "series": ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
}
"""What a table may be about, and the columns that say which one."""
SEVERAL = ("rows", "list", "first", "last", "smallest", "largest", "mean", "count")
VALUES = ("auto", "number", "text", "code", "meaning", "date")
_KEYS = {"patient": "patient_key", "study": "study_key", "series": "series_id"}
_ROW = {
    "items": "'item ' || coalesce(c.parent, 0)",
    "segments": "'segment ' || c.number",
    "waveforms": "'channel ' || c.\"group\" || '.' || c.channel",
    "dose_events": "'event ' || coalesce(c.item::varchar, c.event_key)",
    "dose_totals": "'total ' || coalesce(c.item, 0)",
}
"""What makes matches of one object belong together."""


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
        text = json.dumps(self.plain(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def plain(self) -> dict[str, Any]:
        """The definition as YAML and JSON have it."""
        columns = {}
        for column in self.columns:
            said = {"path": column.path}
            for key, default in (
                ("unit", ""),
                ("value", "auto"),
                ("several", "rows"),
                ("where", ""),
            ):
                if getattr(column, key) != default:
                    said[key] = getattr(column, key)
            columns[column.name] = said
        plain: dict[str, Any] = {"name": self.name, "each": self.each, "columns": columns}
        return {**plain, "where": self.where} if self.where else plain


def load(given: str | Path | Mapping[str, Any] | Extraction) -> Extraction:
    """The extraction that a YAML file, its text or its content defines; UsageError says what is
    wrong with it."""
    if isinstance(given, Extraction):
        return given
    if isinstance(given, Mapping):
        return _definition(given)
    text = str(given)
    if isinstance(given, Path) or "\n" not in text:
        try:
            text = Path(given).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The definition {given} cannot be read as a YAML file.") from error
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        place = f" (line {where.line + 1})" if where else ""
        raise UsageError(f"The definition is no YAML{place}: {error.problem}.") from error  # type: ignore[attr-defined]
    if not isinstance(plain, Mapping):
        raise UsageError("A definition has name, each and columns. See docs/contents.md.")
    return _definition(plain)


def _definition(plain: Mapping[str, Any]) -> Extraction:
    _known(plain, ("name", "each", "where", "columns"), "a definition")
    name = plain.get("name")
    if not isinstance(name, str) or not WORD.fullmatch(name):
        raise UsageError("A definition needs a name of letters, digits and _: name: ecg")
    each, where = plain.get("each", "study"), plain.get("where") or ""
    if each not in EACH:
        raise UsageError(f"each: {each!r} is none of {', '.join(EACH)}.")
    columns = plain.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        raise UsageError("A definition needs columns, each with a path: columns: {qt: {path: ...}}")
    if where:
        parse(str(where))
    found = tuple(_column(str(key), said) for key, said in columns.items())
    taken = {*EACH[each], "SOPInstanceUID", "place"}
    for column in found:
        if not WORD.fullmatch(column.name) or column.name in taken - {column.path}:
            raise UsageError(f"{column.name!r} cannot be the name of a column here.")
    return Extraction(name, found, each, str(where))


def _column(name: str, said: object) -> Column:
    if isinstance(said, str):
        said = {"path": said}
    if not isinstance(said, Mapping) or "path" not in said:
        raise UsageError(f"Column {name} needs a path, such as path: '*.[DCM:121071]'.")
    _known(said, ("path", "unit", "value", "several", "where"), f"column {name}")
    column = Column(name, **{key: str(value) for key, value in said.items()})
    try:
        about = attribute(column.path)
    except UsageError as error:
        raise UsageError(f"Column {name}: {error}") from error
    for key, known in (("value", VALUES), ("several", SEVERAL)):
        if getattr(column, key) not in known:
            raise UsageError(f"Column {name}: {key} is one of {', '.join(known)}.")
    if column.unit:
        Quantity(1, column.unit)
    if column.where:
        _row_condition(column)
    if not about.table and (column.where or column.unit):
        raise UsageError(f"Column {name}: where and unit are for what is inside of objects.")
    if about.table and "." not in about.path and not about.path.startswith("["):
        raise UsageError(f"Column {name}: name a column, such as {about.path}.type.")
    return Column(name, about.path, column.unit, column.value, column.several, column.where)


def _known(plain: Mapping[Any, Any], keys: tuple[str, ...], what: str) -> None:
    for key in plain:
        if key not in keys:
            raise UsageError(f"{key!r} has no meaning in {what}. It has: {', '.join(keys)}.")


def _row_condition(column: Column) -> Node:
    """The condition of a column, which must be about the same row."""
    root = column.path.partition(".")[0]
    level = root if root in ROWS else "item"
    node = parse(column.where)
    if node is None:
        raise UsageError(f"Column {column.name}: where is empty.")
    try:
        Same(level, And((Exists(column.path), node)))
    except UsageError as error:
        raise UsageError(f"Column {column.name}: {error}") from error
    return node


# Computing


@dataclass(frozen=True, slots=True)
class Hits:
    """What a preview found of a column: documents and values, units met, documents with several."""

    column: str
    documents: int
    values: int
    several: int
    units: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


class _Work:
    """A connection with the current rows of a lake, and the entities that are asked about."""

    def __init__(self, store: Store, extraction: Extraction) -> None:
        self.extraction = extraction
        self.key = _KEYS[extraction.each]
        self._context = store.database()
        self.db = self._context.__enter__()
        where = parse(extraction.where) if extraction.where else None
        self.asked = where is not None
        if where is not None:
            engine = plugins.load("engines", "duckdb")(store)
            found = engine.answer(Query(where, extraction.each, ("SeriesInstanceUID",)))
            uids = [
                u for cell in found.rows.column(0).to_pylist() for u in (cell or "").split("; ")
            ]
            self.db.register("met_uids", pa.table({"uid": pa.array(uids, pa.string())}))
            only = (
                f"where {self.key} in (select {self.key} from series s2 join met_uids "
                'on uid = s2."SeriesInstanceUID")'
            )
        else:
            only = ""
        keys = ", ".join(f'any_value("{k}") as "{k}"' for k in EACH[extraction.each])
        self.db.execute(
            f"create temp table entities as select {self.key} as entity, {keys} from series {only} "
            f"group by {self.key}"
        )
        self.db.execute(
            f"create temp table members as select series_id, {self.key} as entity from series "
            f"where {self.key} in (select entity from entities)"
        )

    def close(self) -> None:
        self._context.__exit__(None, None, None)

    def hits(self, column: Column) -> None:
        """Make the table `hits` of a column: entity, object, row, rank, and the value in forms."""
        about = attribute(column.path)
        select = _of_contents(column) if about.table else _of_header(column.path)
        lists: dict[str, pa.Table] = {}
        if column.where:
            same = _sees(column, lists)
            select = Part(f"select * from ({select.sql}) where {same.sql}",
                          select.values + same.values)  # fmt: skip
        for name, table in lists.items():
            self.db.register(name, table)
        self.db.execute(
            "create or replace temp table hits as select m.entity, h.*, "
            "row_number() over (partition by m.entity, h.series_id, h.object, h.place "
            "order by h.item, h.text) as rank "
            f"from ({select.sql}) h join members m using (series_id)",
            list(select.values),
        )


def _of_header(path: str) -> Part:
    """Values of an attribute of headers: what a series says, once each."""
    paths = "path = ?"
    value = path
    if path.startswith("*."):
        value = path[2:]
        paths = "(path = ? or suffix(path, '.' || ?))"
    values = (value,) * paths.count("?")
    return Part(
        "select series_id, null::text as object, null::text as place, "
        "coalesce(position, 1) as item, null::int as around, "
        "case when text is not null then text when code_value is not null then "
        "coalesce(code_scheme, '') || ':' || code_value else number::varchar end as text, "
        "case when not folded then number end as number, null::text as unit, "
        "case when code_value is not null then coalesce(code_scheme, '') || ':' || code_value end "
        "as code, code_meaning as meaning, moment, instances "
        f"from elements where {paths} and "
        "(text is not null or number is not null or code_value is not null) "
        "qualify row_number() over (partition by series_id, position order by instances desc, "
        "text, number) = 1",
        values,
    )


def _of_contents(column: Column) -> Part:
    """Values inside of objects, every match."""
    about = attribute(column.path)
    asked = contents.asked_rows(column.path)
    place = _ROW[about.table]
    if about.kind == "content":
        number, unit = "coalesce(c.quantity, c.number)", "coalesce(c.quantity_unit, c.unit_value)"
        forms = (
            f"c.text, {number} as number, {unit} as unit, c.code, c.code_meaning as meaning, "
            "c.moment"
        )
        where = asked.where & Part(contents.VALUED)
    else:
        name = column.path.partition(".")[2]
        field_ = contents.shown_field(column.path)
        numeric, coded = about.kind == "number" and about.vm == "1", about.vr == "SQ"
        dated = about.vr == "DT"
        meaning = f'c."{name}_meaning"'
        known = f"{name}_meaning" in tables.ALL[about.table].names
        text = contents.shown(column.path) if about.vm != "1" else f"{field_}::varchar"
        forms = (
            f"{'null::text' if numeric or coded or dated else text} as text, "
            f"{field_ if numeric else 'null::double'}::double as number, "
            f"{repr(about.unit) if about.unit else 'null::text'} as unit, "
            f"{field_ if coded and about.vm == '1' else 'null::text'} as code, "
            f"{meaning if coded and known else 'null::text'} as meaning, "
            f"{field_ if dated else 'null::timestamptz'} as moment"
        )
        where = asked.where & Part(f'c."{name}" is not null')
    around = "c.parent" if about.table == "items" else "null::int"
    if about.table == "dose_events":  # of the documents that tell of an event, the best one
        where = where & Part("c.counted")
    item = "c.item" if about.table in ("items", "dose_events", "dose_totals") else "1"
    return Part(
        f'select c.series_id, c."SOPInstanceUID" as object, {place} as place, {item} as item, '
        f"{around} as around, {forms} from {asked.table} c where {where.sql}",
        where.values,
    )


def _sees(column: Column, lists: dict[str, pa.Table]) -> Part:
    """Which hits see what the condition of a column asks."""
    node = _row_condition(column)
    if attribute(column.path).table == "items":
        seen = contents.items_that_see(node, lists)
        some = f'in (select series_id, "SOPInstanceUID", item from ({seen.sql}))'
        return Part(
            f"((series_id, object, item) {some} or (series_id, object, around) {some})",
            seen.values * 2,
        )
    root = column.path.partition(".")[0]
    met = contents.row_condition(node, lists)
    table = ROWS[root]
    return Part(
        f'(series_id, object, place) in (select c.series_id, c."SOPInstanceUID", {_ROW[table]} '
        f"from {table} c where {met.sql})",
        met.values,
    )


def preview(
    lake: str | Path | Store, given: str | Path | Mapping[str, Any] | Extraction
) -> list[Hits]:
    """What each column of an extraction finds in a lake, without keeping anything."""
    store = lake if isinstance(lake, Store) else Store(lake)
    extraction = load(given)
    work = _Work(store, extraction)
    found = []
    try:
        for column in extraction.columns:
            work.hits(column)
            documents, values, several = work.db.execute(
                "select count(*), coalesce(sum(n), 0)::bigint, count(*) filter (n > 1) "
                "from (select count(*) as n from hits group by series_id, object)"
            ).fetchall()[0]
            met = dict(
                work.db.execute(
                    "select unit, count(*) from hits where unit is not null and number is not null "
                    "group by unit order by 2 desc, 1"
                ).fetchall()
            )
            shown = work.db.execute(
                f"select {_SHOWN} as v, count(*) from hits group by 1 having v is not null "
                "order by 2 desc, 1 limit 5"
            ).fetchall()
            examples = tuple(str(value)[:60] for value, _ in shown)
            found.append(Hits(column.name, documents, values, several, met, examples))
    finally:
        work.close()
    return found


_SHOWN = (
    "coalesce(case when code is not null then trim(coalesce(meaning, '') || ' (' || code || ')') "
    "end, text, case when number is not null then round(number, 6)::varchar || "
    "coalesce(' ' || unit, '') end, moment::varchar)"
)


def extract(
    lake: str | Path | Store,
    given: str | Path | Mapping[str, Any] | Extraction,
    *,
    keep: bool = True,
    progress: Progress | None = None,
) -> pa.Table:
    """The flat table of an extraction; `keep`: also as a new version in the lake.

    Columns of the entity come first, then SOPInstanceUID and place of the matches in a row, then
    what was asked. The result depends on the rows of the lake alone.
    """
    store = lake if isinstance(lake, Store) else Store(lake)
    extraction = load(given)
    progress = progress or Silent()
    progress.stage("extracting", len(extraction.columns), "columns")
    work = _Work(store, extraction)
    try:
        found = _flat(work, progress)
    finally:
        work.close()
    if keep:
        _keep(store, extraction, found)
    return found


def _flat(work: _Work, progress: Progress) -> pa.Table:
    """Join the columns: those with rows by what belongs together, the others by entity."""
    db, extraction = work.db, work.extraction
    inline, single, shown = [], [], []
    for number, column in enumerate(extraction.columns):
        if progress.cancelled:
            raise KeyboardInterrupt
        work.hits(column)
        forms = _forms(work, column)
        if column.several == "rows" and attribute(column.path).table:
            picked = ", ".join(f'{sql} as "{name}"' for name, sql in forms)
            db.execute(
                f"create temp table rows_{number} as "
                f"select entity, series_id, object, place, rank, {picked} from hits"
            )
            inline.append(number)
        else:
            kind = _fewest(work) if column.several == "rows" else column.several
            picked = ", ".join(_one(name, sql, kind) for name, sql in forms)
            db.execute(
                f"create temp table rows_{number} as select entity, {picked} from hits "
                "group by entity"
            )
            single.append(number)
        shown += [f'r{number}."{name}"' for name, _ in forms]
        progress.advance()
    spine = (
        " union ".join(
            f"select entity, series_id, object, place, rank from rows_{n}" for n in inline
        )
        or "select null::bigint as entity, null as series_id, null::text as object, null::text as "
        "place, null::bigint as rank where false"
    )
    db.execute(f"create temp table spine as {spine}")
    joins = [
        f"left join rows_{n} r{n} on r{n}.entity = e.entity and r{n}.series_id = s.series_id and "
        f"r{n}.object = s.object and r{n}.place = s.place and r{n}.rank = s.rank"
        for n in inline
    ]
    joins += [f"left join rows_{n} r{n} on r{n}.entity = e.entity" for n in single]
    inside = [n for n in single if attribute(extraction.columns[n].path).table]
    there = " or ".join(["s.object is not null", *(f"r{n}.entity is not null" for n in inside)])
    keys = ", ".join(f'e."{key}"' for key in EACH[extraction.each])
    where = "true" if work.asked or not (inline or inside) else f"({there})"
    found: pa.Table = db.sql(
        f'select {keys}, s.object as "SOPInstanceUID", s.place, {", ".join(shown)} '
        f"from entities e left join spine s on s.entity = e.entity {' '.join(joins)} "
        f"where {where} order by all"
    ).to_arrow_table()
    return found


def _forms(work: _Work, column: Column) -> list[tuple[str, str]]:
    """Columns of the result that a column becomes, with their SQL over `hits`."""
    name, value = column.name, column.value
    if column.several == "count":
        return [(name, "1")]
    if value == "auto":
        value = _auto(work)
    if value == "number":
        if column.unit:
            _, common = Quantity(1, column.unit).common
            factor = units.common(1.0, column.unit)
            assert factor is not None
            from_common = f"case when unit = {_quoted(common)} then number / {factor[0]!r} end"
            fixed = attribute(column.path).unit
            if fixed:
                ours = units.common(1.0, fixed)
                assert ours is not None
                from_common = f"number * {ours[0] / factor[0]!r}"
            return [(name, from_common)]
        met = work.db.execute("select distinct unit from hits where number is not null").fetchall()
        return [(name, "number")] + ([(f"{name}_unit", "unit")] if met and met != [(None,)] else [])
    if value == "code":
        return [(name, "code"), (f"{name}_meaning", "meaning")]
    if value == "meaning":
        return [(name, "meaning")]
    if value == "date":
        return [(name, "moment")]
    return [(name, "coalesce(text, code, number::varchar, moment::varchar)")]


def _fewest(work: _Work) -> str:
    """One value where every entity has only one, else a list."""
    most = work.db.execute(
        "select coalesce(max(n), 0) from (select count(distinct coalesce(text, code, "
        "number::varchar, '')) as n from hits group by entity)"
    ).fetchall()
    return "list" if most[0][0] > 1 else "first"


def _auto(work: _Work) -> str:
    """The form that all values of a column have."""
    numbers, codes, moments, values = work.db.execute(
        "select count(number) filter (code is null and (text is null or object is null)), "
        "count(code), count(moment), count(*) from hits"
    ).fetchall()[0]
    if not values:
        return "text"
    for kind, count in (("code", codes), ("date", moments), ("number", numbers)):
        if count == values:
            return kind
    return "text"


def _one(name: str, sql: str, several: str) -> str:
    """SQL of the one value of an entity that several become."""
    order = "series_id, object, item"
    made = {
        "list": f"list(distinct {sql} order by {sql}) filter ({sql} is not null)",
        "first": f"first({sql} order by {order})",
        "last": f"last({sql} order by {order})",
        "smallest": f"min({sql})",
        "largest": f"max({sql})",
        "mean": f"avg({sql})",
        "count": "count(*)",
    }[several]
    return f'{made} as "{name}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# Keeping


def _keep(store: Store, extraction: Extraction, rows: pa.Table) -> None:
    """Write a result as the newest version; its commit tells the definition and the lake's."""
    folder = store.path / EXTRACTIONS / extraction.name
    with store.lock():
        folder.parent.mkdir(exist_ok=True)
        write_deltalake(
            str(folder),
            _writable(rows),
            mode="overwrite",
            schema_mode="overwrite",
            commit_properties=CommitProperties(
                custom_metadata={
                    "definition": json.dumps(extraction.plain()),
                    "definition_version": extraction.version,
                    "lake_version": str(store.version),
                }
            ),
        )


def _writable(rows: pa.Table) -> pa.Table:
    """Rows with types that a table on disk may have."""
    fields = []
    for each in rows.schema:
        kind = pa.string() if pa.types.is_null(each.type) else each.type
        fields.append(pa.field(each.name, kind))
    return rows.cast(pa.schema(fields))


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of the result of an extraction; `when` in microseconds since 1970."""

    name: str
    version: int
    when: int
    lake_version: int
    definition_version: str
    definition: Extraction


def versions(lake: str | Path | Store, name: str | None = None) -> list[Kept]:
    """Versions of the results of all extractions of a lake, or of one: newest first."""
    store = lake if isinstance(lake, Store) else Store(lake)
    folder = store.path / EXTRACTIONS
    names = [name] if name else sorted(p.name for p in folder.glob("*") if p.is_dir())
    found = []
    for each in names:
        for entry in _opened(store, each).history():
            if "definition" in entry:
                found.append(
                    Kept(
                        each,
                        int(entry["version"]),
                        int(entry["timestamp"]) * 1000,
                        int(entry["lake_version"]),
                        entry["definition_version"],
                        load(json.loads(entry["definition"])),
                    )
                )
    return found


def kept(lake: str | Path | Store, name: str, version: int | None = None) -> pa.Table:
    """The result of an extraction, as it was computed last or at a version."""
    store = lake if isinstance(lake, Store) else Store(lake)
    table = _opened(store, name, version)
    rows: pa.Table = table.to_pyarrow_table()
    return rows


def _opened(store: Store, name: str, version: int | None = None) -> DeltaTable:
    folder = store.path / EXTRACTIONS / name
    if not folder.is_dir():
        there = sorted(p.name for p in (store.path / EXTRACTIONS).glob("*") if p.is_dir())
        known = f"There are: {', '.join(there)}." if there else "There is none yet."
        raise UsageError(f"No extraction is called {name!r}. {known}")
    try:
        return DeltaTable(str(folder), version=version)
    except DeltaError as error:
        raise LakeError(f"Version {version} of extraction {name} cannot be read.") from error
