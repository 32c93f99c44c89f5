"""Named extractions: paths picked once, and a flat table of what every match says.

It is computed from the rows of the lake, never from objects. Every match is kept: matches of one
object that belong together (items of one group, one segment, one channel, one dose event) share a
row of the result, further ones of that group have rows of their own; a column may also ask for one
value per entity. The result depends on the rows of the lake alone, not on their order.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from dicomlake import plugins, tables
from dicomlake.contracts import Progress, Silent
from dicomlake.dicom.dictionary import NUMBERS
from dicomlake.engines import contents
from dicomlake.engines.conditions import Part
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.definitions import (
    CONTEXT,
    EACH,
    Column,
    Extraction,
    load,
    restored,
    row_condition,
)
from dicomlake.jobs.vocabulary import IDENTIFYING
from dicomlake.lake import Store, results
from dicomlake.lake.database import literal
from dicomlake.lake.linking import LINKED, show_linked
from dicomlake.query import Query, parse
from dicomlake.query.attributes import attribute
from dicomlake.query.nodes import paths_of
from dicomlake.terms import units
from dicomlake.terms.mapping import normal

__all__ = ["Column", "Extraction", "Hits", "Kept", "Preview", "extract", "kept", "load", "preview",
           "refresh", "run", "versions"]  # fmt: skip

Given: TypeAlias = str | Path | Mapping[str, Any] | Extraction
"""A definition: a YAML file, its text, its content, or what `load` makes of it."""

MOST_PREVIEWED = 100_000
"""Series that a preview looks at when nobody says how many."""
_KEYS = {"patient": "patient_key", "study": "study_key", "series": "series_id"}
_TIED = ", ".join(f'c."{name}"' for name in (
    "kind", "plane", "laterality", "documented", "CTDIvol", "DLP", "DAP", "RP", "AGD", "activity"
))  # fmt: skip
_ROWS = {
    "segments": ("segment", "c.number", "c.number", "c.label, c.type, c.tracking_uid"),
    "waveforms": (
        "channel",
        "c.\"group\" || '.' || c.channel",
        'c."group" * 1000 + c.channel',
        "c.label, c.samples",
    ),
    "dose_events": (
        "event",
        "coalesce(c.item::varchar, c.event_key)",
        "coalesce(c.item, 0)",
        f"c.event_key, {_TIED}",
    ),
    "dose_totals": ("total", "coalesce(c.item, 0)", "coalesce(c.item, 0)", _TIED),
    "annotations": (
        "annotation",
        "c.kind || ' ' || coalesce(c.label, c.name, '')",
        "c.enrichment_id",
        "c.structure, c.code, c.laterality",
    ),
    "findings": ("finding", "c.rule", "c.enrichment_id", "c.path, c.text"),
    "clinical_events": ("fact", "c.fact_key", "epoch(c.started)", "c.fact_key"),
    "documents": ("document", "c.document_key", "epoch(c.written)", "c.document_key"),
}
"""What a row of a table is called, which one it is in its object, its number, and the order of
equal ones."""
_SENT = "case when starts_with(c.unit, 'UCUM:') then substr(c.unit, 6) else c.unit_value end"
_UNITS = {
    "item.quantity": "coalesce(c.quantity_unit, c.unit_value)",
    "item.number": _SENT,
    "fact.quantity": "c.quantity_unit",
    "fact.number": "c.unit",
    "channel.sensitivity": _SENT,
    "channel.baseline": _SENT,
}
"""Columns of numbers whose unit is in another column."""
_VALUED = "('NUM', 'CODE', 'TEXT', 'PNAME', 'DATE', 'TIME', 'DATETIME', 'UIDREF')"
_NO_CONTEXT = ", ".join(
    f"null::{'timestamptz' if name == 'observed' else 'text'} as {name}" for name in CONTEXT
)
_FORMS = ("text", "number", "unit", "sent", "code", "meaning", "moment", *CONTEXT)


# Looking


@dataclass(frozen=True, slots=True)
class Hits:
    """What a preview found of a column.

    documents: objects (series for attributes of headers) with a value; `several`: with more than
    one. `units`: units as sent and how many values have them; `unfit`: values that are null in the
    table, of another kind than the unit or the form that the column wants. `examples`: most
    frequent values, never names of persons.
    """

    column: str
    documents: int
    values: int
    several: int
    units: dict[str, int] = field(default_factory=dict)
    unfit: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What the columns of an extraction find in `looked` of `series` series that may have some."""

    hits: tuple[Hits, ...]
    looked: int
    series: int

    @property
    def sampled(self) -> bool:
        """Whether only a sample was looked at."""
        return self.looked < self.series

    def __iter__(self) -> Iterator[Hits]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, at: int) -> Hits:
        return self.hits[at]


def preview(lake: str | Path | Store, given: Given, *, sample: int | None = None) -> Preview:
    """What each column of an extraction finds in a lake, without keeping anything.

    `sample`: only so many series that have what is asked for, always the same ones; without it all,
    or MOST_PREVIEWED where there are more.
    """
    store = lake if isinstance(lake, Store) else Store(lake)
    extraction = load(given)
    with _working(store, extraction) as work:
        looked, series = work.sample(MOST_PREVIEWED if sample is None else max(sample, 1))
        found = tuple(_hits(work, column) for column in extraction.columns)
    return Preview(found, looked, series)


def _hits(work: _Work, column: Column) -> Hits:
    work.find(column, once=False)
    ask = work.db.execute
    documents, values, several = ask(
        "select count(*), coalesce(sum(n), 0)::bigint, count(*) filter (n > 1) "
        "from (select count(*) as n from hits group by series_id, object)"
    ).fetchall()[0]
    met = dict(
        ask(
            "select sent, count(*) from hits where sent is not null and number is not null "
            "group by 1 order by 2 desc, 1"
        ).fetchall()
    )
    form = _forms(work, column)[0][1]
    unfit = int(ask(f"select count(*) from hits where ({form}) is null").fetchall()[0][0])
    shown = ask(
        f"select {_SHOWN} as v, count(*) from hits group by 1 having v is not null "
        "order by 2 desc, 1 limit 5"
    ).fetchall()
    examples = tuple(str(value)[:60] for value, _ in shown)
    if not IDENTIFYING.isdisjoint(column.path.split(".")) and examples:
        examples = ("(identifiers)",)
    return Hits(column.name, documents, values, several, met, unfit, examples)


_NUMBER_TEXT = (
    "case when number = trunc(number) and abs(number) < 1e15 then number::bigint::varchar "
    "else number::varchar end"
)
_SHOWN = (
    "case when person then '(names)' else coalesce(case when code is not null then "
    "trim(coalesce(meaning, '') || ' (' || code || ')') end, text, "
    f"{_NUMBER_TEXT.replace('number', 'round(number, 6)')} || coalesce(' ' || unit, ''), "
    "strftime(moment, '%Y-%m-%d %H:%M')) end"
)


# Computing


@contextlib.contextmanager
def _working(store: Store, extraction: Extraction) -> Iterator[_Work]:
    """A connection with the rows of a lake; ServiceError when the lake cannot be read."""
    with store.database() as db:
        try:
            yield _Work(store, extraction, db)
        except duckdb.InterruptException as error:
            raise KeyboardInterrupt from error
        except duckdb.Error as error:
            raise ServiceError(
                f"The extraction cannot be computed ({type(error).__name__}). Try again, and if it "
                "happens again: dicomlake doctor."
            ) from error
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # what DuckDB makes of Ctrl-C
                raise KeyboardInterrupt from error
            raise


class _Work:
    """The current rows of a lake, the entities that are asked about, and their series."""

    def __init__(self, store: Store, extraction: Extraction, db: duckdb.DuckDBPyConnection) -> None:
        self.extraction, self.db = extraction, db
        show_linked(db)
        self.inside = "members"  # the series into which columns of contents look
        key = _KEYS[extraction.each]
        where = parse(extraction.where) if extraction.where else None
        self.asked = where is not None
        only = ""
        if where is not None:
            engine = plugins.load("engines", "duckdb")(store)
            found = engine.answer(Query(where, extraction.each, ("SeriesInstanceUID",)))
            told = found.rows.column(0).to_pylist()
            uids = [uid for cell in told for uid in (cell or "").split("; ")]
            self.db.register("met_uids", pa.table({"uid": pa.array(uids, pa.string())}))
            only = (
                f"where {key} in (select {key} from series s2 join met_uids "
                'on uid = s2."SeriesInstanceUID")'
            )
        keys = ", ".join(f'min("{k}") as "{k}"' for k in EACH[extraction.each])
        db.execute(
            f"create temp table entities as select {key} as entity, {keys} from series {only} "
            f"group by {key}"
        )
        db.execute(
            f"create temp table members as select series_id, {key} as entity, "
            '"SeriesInstanceUID" as uid, '
            "coalesce(StudyDate, SeriesDate, AcquisitionDate, ContentDate) as day, "
            "coalesce(StudyTime, SeriesTime, AcquisitionTime, ContentTime) as time "
            f"from series where {key} in (select entity from entities)"
        )

    def sample(self, most: int) -> tuple[int, int]:
        """Look only at so many series that have what is asked for: how many, and of how many."""
        asked = sorted({attribute(c.path).table for c in self.extraction.columns} - {""})
        may = " union ".join(
            f"select series_id from {contents.rows_among(name, 'members')}" for name in asked
        )
        only = f"where series_id in ({may})" if may else ""
        count = int(self.db.execute(f"select count(*) from members {only}").fetchall()[0][0])
        if count <= most:
            return count, count
        self.db.execute(
            f"create temp table looked as select * from members {only} "
            f"order by md5(uid), uid limit {int(most)}"
        )
        self.db.execute("delete from members where entity not in (select entity from looked)")
        if may:
            self.inside = "looked"
        else:
            self.db.execute("delete from members where series_id not in (select series_id "
                            "from looked)")  # fmt: skip
        return int(most), count

    def find(self, column: Column, *, once: bool = True) -> None:
        """Make the table `hits` of a column: entity, object, place, rank, the value in forms.

        `rank` counts the hits of a group; `turn` is their order in time. `once`: of equal values in
        headers of an entity only the first.
        """
        about = attribute(column.path)
        lists: dict[str, pa.Table] = {}
        if not about.table:
            select = self._of_header(column)
        elif about.table == "items":
            select = _of_items(column, lists)
        else:
            select = _of_rows(column, lists, self.inside)
        for name, table in lists.items():
            self.db.register(name, table)
        once = once and not about.table
        members = self.inside if about.table else "members"
        same = f"coalesce(code, {_NUMBER_TEXT}, text, moment::varchar)"
        own = about.table in tables.CLINICAL  # what has a time of its own
        undated = "h.spot is null" if own else "m.day is null"
        first = "h.spot nulls first, " if own else ""
        qualify = f"qualify row_number() over (partition by entity, {same} order by turn) = 1"
        self.db.execute(
            "create or replace temp table hits as with found as (select m.entity, "
            f"{undated} as undated, row_number() over (order by {first}m.day nulls first, "
            "m.time nulls first, m.uid, h.object, h.spot, h.place, h.item, h.position, h.text, "
            "h.number, h.code, h.meaning) as turn, "
            "row_number() over (partition by h.series_id, h.object, h.place "
            "order by h.item, h.position, h.text, h.number, h.code) as rank, h.* "
            f"from ({select.sql}) h join {members} m using (series_id)) "
            f"select * from found {qualify if once else ''}",
            list(select.values),
        )

    def _of_header(self, column: Column) -> Part:
        """Values of an attribute of headers: what a series says, once each."""
        path = column.path.removeprefix("*.")
        paths = Part("path = ?", (path,))
        if path != column.path:
            paths = Part("(path = ? or suffix(path, '.' || ?))", (path, path))
        codes = self.db.execute(
            f"select distinct code_value, coalesce(code_scheme, '') from elements "
            f"where {paths.sql} and code_value is not null",
            list(paths.values),
        ).fetchall()
        named = {"value": [], "scheme": [], "code": []}  # type: dict[str, list[str]]
        for value, scheme in codes:
            same, of = normal(value, scheme)
            for key, said in (("value", value), ("scheme", scheme), ("code", f"{of}:{same}")):
                named[key].append(said)
        schema = pa.schema([(key, pa.string()) for key in named])
        self.db.register("codes", pa.table(named, schema))
        # many values of a series are folded into their range: only its ends are known
        end = {"smallest": "", "largest": "_max"}.get(column.several)
        number, moment = (
            f"case when not folded then {name} {f'else {name}{end}' if end is not None else ''} end"
            for name in ("number", "moment")
        )
        numeric = f"vr in ({', '.join(map(literal, sorted(NUMBERS)))})"
        return Part(
            "select series_id, null::text as object, null::text as place, 0 as spot, "
            "coalesce(position, 1) as item, 0 as position, vr = 'PN' as person, vr = 'DA' as day, "
            "case when code.code is null then text end as text, "
            f"case when {numeric} then {number} end as number, null::text as unit, "
            "null::text as sent, code.code as code, code_meaning as meaning, "
            f"{moment} as moment, {_NO_CONTEXT} from elements left join codes code "
            "on code.value = code_value and code.scheme = coalesce(code_scheme, '') "
            f"where {paths.sql} and (text is not null or code_value is not null or "
            f"({numeric} and number is not null) or moment is not null)",
            paths.values,
        )


def _of_items(column: Column, lists: dict[str, pa.Table]) -> Part:
    """Values of content items, every match and each of its numbers."""
    about = attribute(column.path)
    asked = contents.asked_rows(column.path)
    several = "c.numbers is not null and len(c.numbers) > 1"
    if about.kind == "content":
        # of several numbers of which the first is 0 nobody can tell the factor
        odd = f"({several} and c.number = 0)"
        factor = "coalesce(c.quantity / nullif(c.number, 0), 1)"
        number = (
            f"case when {several} then list_transform(c.numbers, lambda n: n * {factor}) "
            "else [coalesce(c.quantity, c.number)] end"
        )
        unit = f"case when {odd} then {_SENT} else coalesce(c.quantity_unit, c.unit_value) end"
        text = (
            f"coalesce(c.text, case when c.value_type not in {_VALUED} then "
            'coalesce(c."ReferencedSOPInstanceUID", c.value_type) end)'
        )
        forms = (
            f"c.value_type = 'PNAME' as person, c.value_type = 'DATE' as day, {text} as text, "
            f"{unit} as unit, {_SENT} as sent, c.code, c.code_meaning as meaning, c.moment, "
            + ", ".join(f"c.{name} as {name}" for name in CONTEXT)
        )
        where = asked.where & Part(contents.VALUED)
    else:
        number, forms, there = _fields(column)
        number = f"[{number}]"
        where = asked.where & there
    if column.where:
        node = row_condition(column)
        seen = contents.items_that_see(node, lists)
        some = f'in (select series_id, "SOPInstanceUID", item from ({seen.sql}))'
        met = Part(f'(c.series_id, c."SOPInstanceUID", c.item) {some}', seen.values)
        if not all(path.startswith("item.") for path in paths_of(node)):
            met = met | Part(f'(c.series_id, c."SOPInstanceUID", c.parent) {some}', seen.values)
        where = where & met
    return Part(
        "select * exclude (numbers), unnest(numbers) as number, unnest(range(len(numbers))) as "
        'position from (select c.series_id, c."SOPInstanceUID" as object, '
        "'item ' || coalesce(c.parent, 0) as place, coalesce(c.parent, 0) as spot, c.item as item, "
        f"{number} as numbers, {forms} from items c where {where.sql})",
        where.values,
    )


def _of_rows(column: Column, lists: dict[str, pa.Table], members: str) -> Part:
    """Values of a column of segments, channels, doses, facts or documents, every row.

    `members`: a table of series and their entities. A fact comes once for each entity that it
    belongs to, however many series that has.
    """
    table = attribute(column.path).table
    what, which, spot, tied = _ROWS[table]
    number, forms, where = _fields(column)
    if column.where:
        where = where & contents.row_condition(row_condition(column), lists)
    if table == "dose_events":  # of the documents that tell of an event, the best one
        where = where & Part("c.counted")
    stated = table in (*tables.STATED, *tables.CLINICAL)  # of no single object
    source = _once_each(table, members) if table in tables.CLINICAL else table
    known = "*, '' as object" if stated else '*, "SOPInstanceUID" as object'
    return Part(
        f"select c.series_id, c.object, '{what} ' || {which} as place, "
        f"{spot} as spot, c.twin as item, 0 as position, {number} as number, {forms} from "
        f"(select {known}, row_number() over (partition by series_id, object, {which} "
        f"order by {tied}) as twin from {source} c) c where {where.sql}",
        where.values,
    )


def _once_each(table: str, members: str) -> str:
    """SQL of facts or documents with one series of each entity that they belong to."""
    parts = []
    for tied in (False, True):
        keys = "s.patient_key, s.study_key" if tied else "s.patient_key"
        some = (
            f"select {keys}, min(m.series_id) as series_id from {members} m "
            f"join series s using (series_id) group by {keys}, m.entity"
        )
        same = "k.patient_key = l.patient_key" + (" and k.study_key = l.study_key" if tied else "")
        kept = "is not null" if tied else "is null"
        parts.append(
            f"select l.*, k.series_id from {LINKED[table]} l join ({some}) k on {same} "
            f"where l.study_key {kept}"
        )
    return f"({' union all '.join(parts)})"


def _fields(column: Column) -> tuple[str, str, Part]:
    """SQL of the number and the forms of a column of rows, and whether there is a value."""
    about = attribute(column.path)
    name = column.path.partition(".")[2]
    shown = contents.shown_field(column.path)
    numeric, coded, dated = (
        about.kind == "number" and about.vm == "1",
        about.vr == "SQ" and about.vm == "1",
        about.vr == "DT",
    )
    known = f"{name}_meaning" in tables.ALL[about.table].names
    text = contents.shown(column.path) if about.vm != "1" else f"{shown}::varchar"
    unit = _UNITS.get(column.path, literal(about.unit) if about.unit else "null::text")
    person = "c.value_type = 'PNAME'" if column.path == "item.text" else str(about.vr == "PN")
    forms = (
        f"{person} as person, false as day, "
        f"{'null::text' if numeric or coded or dated else text} as text, "
        f"{unit} as unit, {unit} as sent, "
        f"{shown if coded else 'null::text'} as code, "
        f'{f"""c."{name}_meaning" """ if coded and known else "null::text"} as meaning, '
        f"{shown if dated else 'null::timestamptz'} as moment, {_NO_CONTEXT}"
    )
    there = Part(f'c."{name}" is not null')
    return f"{shown if numeric else 'null'}::double", forms, there


def extract(
    lake: str | Path | Store,
    given: Given,
    *,
    keep: bool = True,
    progress: Progress | None = None,
) -> pa.Table:
    """The flat table of an extraction; `keep`: also as a version in the lake, as `run` does.

    Columns of the entity come first, then SOPInstanceUID and place of the matches in a row, then
    what was asked.
    """
    return run(lake, given, progress=progress)[1] if keep else _computed(lake, given, progress)


def run(
    lake: str | Path | Store, given: Given, *, progress: Progress | None = None
) -> tuple[Kept, pa.Table]:
    """The version that is kept of an extraction now, and its table.

    It is a new version, unless the newest one has the same definition, lake version and rows.
    LakeError when somebody else is writing.
    """
    store = lake if isinstance(lake, Store) else Store(lake)
    extraction = load(given)
    rows = _computed(store, extraction, progress)
    with store.lock():
        newest = next(_versions(store, extraction.name), None)
        made = (extraction.version, store.version)
        if newest and (newest.definition_version, newest.lake_version) == made:
            with contextlib.suppress(UsageError):
                if results.rows_of(store, extraction.name).equals(rows):
                    return newest, rows
        notes = {
            "definition": json.dumps(extraction.plain()),
            "definition_version": extraction.version,
            "lake_version": str(store.version),
            "rows": str(rows.num_rows),
        }
        try:
            results.keep(store, extraction.name, rows, notes)
        except OSError as error:
            raise ServiceError(f"The table cannot be written: {error.strerror}.") from error
        return next(_versions(store, extraction.name)), rows


def refresh(
    lake: str | Path | Store, name: str, *, progress: Progress | None = None
) -> tuple[Kept, pa.Table]:
    """`run` of the newest definition of a name."""
    return run(lake, versions(lake, name)[0].definition, progress=progress)


def _computed(lake: str | Path | Store, given: Given, progress: Progress | None = None) -> pa.Table:
    store = lake if isinstance(lake, Store) else Store(lake)
    extraction = load(given)
    progress = progress or Silent()
    progress.stage("extracting", len(extraction.columns), "columns")
    with _working(store, extraction) as work:
        return results.writable(_flat(work, progress))


def _flat(work: _Work, progress: Progress) -> pa.Table:
    """Join the columns: those with rows by what belongs together, the others by entity."""
    db, extraction = work.db, work.extraction
    inline, single, names, shown = [], [], [], []
    for number, column in enumerate(extraction.columns):
        if progress.cancelled:
            raise KeyboardInterrupt
        work.find(column)
        forms = _forms(work, column)
        if column.several == "rows" and attribute(column.path).table:
            picked = ", ".join(f'{sql} as "{name}"' for name, sql in forms)
            db.execute(
                f"create temp table rows_{number} as "
                f"select entity, series_id, object, place, spot, rank, {picked} from hits"
            )
            inline.append(number)
        else:
            kind = _fewest(work) if column.several == "rows" else column.several
            db.execute(
                f"create temp table rows_{number} as select entity, "
                f"{_one(forms, kind, free=not column.unit)} from hits group by entity"
            )
            single.append(number)
        for name, _ in forms:
            value = f'r{number}."{name}"'
            names.append(name)
            shown.append(f"coalesce({value}, 0)" if column.several == "count" else value)
        progress.advance()
    spine = (
        " union ".join(
            f"select entity, series_id, object, place, spot, rank from rows_{n}" for n in inline
        )
        or "select null::bigint as entity, null as series_id, null::text as object, null::text as "
        "place, null::bigint as spot, null::bigint as rank where false"
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
    picked = ", ".join(f'{sql} as "{name}"' for name, sql in zip(names, shown, strict=True))
    where = "true" if work.asked or not (inline or inside) else f"({there})"
    found: pa.Table = db.sql(
        f"select {keys}, nullif(s.object, '') as \"SOPInstanceUID\", s.place, {picked} "
        f"from entities e left join spine s on s.entity = e.entity {' '.join(joins)} "
        f"where {where} order by {keys}, s.object, s.spot, s.place, s.rank, {', '.join(shown)}"
    ).to_arrow_table()
    return found


def _forms(work: _Work, column: Column) -> list[tuple[str, str]]:
    """Columns of the result that a column becomes, the value first, with their SQL over `hits`."""
    name, value = column.name, column.value
    if column.several == "count":
        return [(name, "1")]
    if value == "auto":
        value = "number" if column.unit or column.several == "mean" else _auto(work)
    if value == "number":
        if column.unit:
            return [(name, _in_unit(work, column.unit))]
        met = work.db.execute("select distinct unit from hits where number is not null").fetchall()
        return [(name, "number")] + ([(f"{name}_unit", "unit")] if set(met) - {(None,)} else [])
    if value == "code":
        return [(name, "code"), (f"{name}_meaning", "meaning")]
    if value == "date":
        days = work.db.execute("select coalesce(bool_and(day), false) from hits "
                               "where moment is not null").fetchall()[0][0]  # fmt: skip
        return [(name, "moment::date" if days else "moment")]
    if value == "meaning" or value in CONTEXT:
        return [(name, value)]
    return [(name, f"coalesce(text, code, {_NUMBER_TEXT}, moment::varchar)")]


def _in_unit(work: _Work, wanted: str) -> str:
    """SQL of the number of a hit in a unit; null where it measures something else."""
    met = work.db.execute(
        "select distinct unit from hits where number is not null and unit is not null order by 1"
    ).fetchall()
    cases = []
    for (unit,) in met:
        there, back = units.convert(1, unit, wanted), units.convert(1, wanted, unit)
        if there and back:  # of the two factors the whole one is exact
            number = f"number / {back!r}" if back >= 1 else f"number * {there!r}"
            cases.append(f"when {literal(unit)} then {number}")
    return f"case unit {' '.join(cases)} end" if cases else "null::double"


def _fewest(work: _Work) -> str:
    """One value where every entity has only one, else a list."""
    most = work.db.execute(
        "select coalesce(max(n), 0) from (select count(*) as n from hits group by entity)"
    ).fetchall()
    return "list" if most[0][0] > 1 else "first"


def _auto(work: _Work) -> str:
    """The form that all values of a column have."""
    numbers, codes, moments, values = work.db.execute(
        "select count(number) filter (code is null), count(code), count(moment), count(*) from hits"
    ).fetchall()[0]
    if not values:
        return "text"
    for kind, count in (("code", codes), ("date", moments), ("number", numbers)):
        if count == values:
            return kind
    return "text"


def _one(forms: list[tuple[str, str]], several: str, *, free: bool) -> str:
    """SQL of the one value of an entity that several become, and of what goes with it.

    `free`: numbers may be of several kinds of units, which are not compared.
    """
    value = forms[0][1]
    there = f"filter ({value} is not null)"
    made = []
    for name, sql in forms:
        one = {
            "list": f"list({sql} order by turn) {there}",
            "first": f"first({sql} order by undated, turn) {there}",
            "last": f"first({sql} order by undated, turn desc) {there}",
            "smallest": f"first({sql} order by {value}, turn) {there}",
            "largest": f"first({sql} order by {value} desc, turn) {there}",
            "mean": f"list_avg(list({sql} order by turn) {there})"
            if sql == value
            else f"first({sql} order by turn) {there}",
            "count": "count(*)",
        }[several]
        if free and value == "number" and several in ("smallest", "largest", "mean"):
            kinds = "count(distinct coalesce(unit, '')) filter (number is not null)"
            one = f"case when {kinds} = 1 then {one} end"
        made.append(f'{one} as "{name}"')
    return ", ".join(made)


# Keeping


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of the result of an extraction; `when` in microseconds since 1970."""

    name: str
    version: int
    when: int
    rows: int
    lake_version: int
    definition_version: str
    definition: Extraction


def versions(lake: str | Path | Store, name: str | None = None) -> list[Kept]:
    """Versions of the results of all extractions of a lake, or of one: newest first."""
    store = lake if isinstance(lake, Store) else Store(lake)
    if name is not None:
        results.opened(store, name)  # an unknown one says so
    names = [name] if name is not None else results.names(store)
    return [found for each in names for found in _versions(store, each)]


def _versions(store: Store, name: str) -> Iterator[Kept]:
    if name not in results.names(store):
        return
    for entry in results.notes(store, name, "definition"):
        yield Kept(
            name,
            int(entry["version"]),
            int(entry["timestamp"]) * 1000,
            int(entry["rows"]),
            int(entry["lake_version"]),
            entry["definition_version"],
            restored(json.loads(entry["definition"])),
        )


def kept(lake: str | Path | Store, name: str, version: int | None = None) -> pa.Table:
    """The result of an extraction, as it was computed last or at a version."""
    store = lake if isinstance(lake, Store) else Store(lake)
    return results.rows_of(store, name, version)
