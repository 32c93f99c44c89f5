"""A made-up lake of reports, segmentations and dose, and questions about what is inside of them.

Reports have 100 items each: measurement groups with finding, site and numbers, whose concepts and
values are skewed as real ones are.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.scale import median_ms
from dicomlake import tables
from dicomlake.lake import Store
from dicomlake.lake.store import connect

ITEMS = 100
"""Items of a report: a root, a list of groups, one context, and 12 groups of 8 items and a comment.
"""
_AT_ONCE = 10_000
_PREFIX = "[DCM:126000].[DCM:126010].[DCM:125007]"
_CONCEPTS = (
    "['SCT:103339001','SCT:103340004','SCT:118565006','MDC:2:16160','DCM:113838','LN:8867-4',"
    "'SCT:42798000','SCT:121207','99BENCH:1','99BENCH:2']"
)
_SITES = (
    "['SCT:10200004','SCT:39607008','SCT:39607008','SCT:64033007','SCT:78961009','SCT:41216001',"
    "'SCT:12738006','SCT:76752008','SCT:80891009','SCT:15776009','SCT:71341001']"
)
_TYPES = (
    "['SCT:87878005','SCT:53085002','SCT:49848007','SCT:10200004','SCT:39607008','SCT:4147007']"
)


def _pick(values: str, by: str, salt: int) -> str:
    return f"list_extract({values}, 1 + (hash({by}, {salt}) % len({values}))::int)"


# g: group from 0, k: place in it; k = 0 is the group itself
_ITEM = f"""
select d as series_id, '2.25.3' || lpad(d::varchar, 12, '0') as "SOPInstanceUID",
  'report' as reader, i as item,
  case when i = 1 then null when i in (2, 3, 100) then 1 when k = 0 then 2 else 4 + 8 * g end
    as parent,
  i::varchar as place,
  case when i = 1 then '[DCM:126000]' when i = 2 then '[DCM:126000].[DCM:126010]'
    when i = 3 then '[DCM:126000].[DCM:121008]' when i = 100 then '[DCM:126000].[DCM:121106]'
    when k = 0 then '{_PREFIX}' else '{_PREFIX}.[' || concept || ']' end as path,
  value_type, concept, case when k = 2 and i < 100 and i > 3 then 'HAS CONCEPT MOD'
    when i = 3 then 'HAS OBS CONTEXT' when i > 1 then 'CONTAINS' end as "RelationshipType",
  case when value_type = 'TEXT' then 'word ' || (hash(i, d, 5) % 5000)
    when value_type = 'PNAME' then 'Reader^' || (hash(d, 6) % 50) end as text,
  case when value_type = 'NUM' then n end as number,
  case when value_type = 'NUM' then 'UCUM:mm' end as unit,
  case when value_type = 'NUM' then n end as quantity,
  case when value_type = 'NUM' then 'mm' end as quantity_unit,
  case when value_type = 'CODE' and k = 1 then finding when value_type = 'CODE' then site end
    as code,
  case when i between 4 and 99 then finding end as finding,
  case when i between 4 and 99 then site end as site,
  case when i between 4 and 99 and k not in (2) then [3, 6 + 8 * g]::int[]
    when i not in (1, 3) then [3]::int[] end as modifiers
from (
  select d, i, (i - 4) // 8 as g, (i - 4) % 8 as k,
    {_pick(_SITES, "d * 12 + (i - 4) // 8", 1)} as site,
    'SCT:' || (4147000 + hash(d * 12 + (i - 4) // 8, 2) % 30) as finding,
    (pow((hash(i, d, 3) % 1000003) / 1000003.0, 3) * 200)::double as n,
    case when i = 1 then 'DCM:126000' when i = 2 then 'DCM:126010' when i = 3 then 'DCM:121008'
      when i = 100 then 'DCM:121106' when (i - 4) % 8 = 0 then 'DCM:125007'
      when (i - 4) % 8 = 1 then 'DCM:121071' when (i - 4) % 8 = 2 then 'SCT:363698007'
      when (i - 4) % 8 = 3 then 'SCT:103339001' when (i - 4) % 8 = 4 then 'SCT:103340004'
      when (i - 4) % 8 = 5 then 'DCM:112039'
      when (i - 4) % 8 = 6 then 'CODED:' || (hash(i, d, 7) % 3000)
      else {_pick(_CONCEPTS, "i * 7919 + d", 4)} end as concept,
    case when i in (1, 2) then 'CONTAINER' when i = 3 then 'PNAME' when i = 100 then 'TEXT'
      when (i - 4) % 8 = 0 then 'CONTAINER' when (i - 4) % 8 in (1, 2) then 'CODE'
      when (i - 4) % 8 = 5 then 'TEXT' else 'NUM' end as value_type
  from range({{low}}, {{high}}) a(d), range(1, {ITEMS + 1}) b(i)
)
"""
_SEGMENT = f"""
select d as series_id, '2.25.3' || lpad(d::varchar, 12, '0') as "SOPInstanceUID",
  'segments' as reader, 'segmentation' as kind, i as number, 'Segment ' || i as label,
  {_pick(_TYPES, "i * 31 + d", 8)} as type, true as present,
  (pow((hash(i, d, 9) % 1000003) / 1000003.0, 3) * 300)::double as volume
from range({{low}}, {{high}}) a(d), range(1, 6) b(i)
"""
_EVENT = """
select d as series_id, '2.25.3' || lpad(d::varchar, 12, '0') as "SOPInstanceUID",
  'dose' as reader, 'CT' as kind, 1 as precedence, 'e' || d || '-' || i as event_key,
  case when i = 1 then 'DCM:113690' else 'DCM:113691' end as phantom,
  (pow((hash(i, d, 9) % 1000003) / 1000003.0, 3) * 1500)::double as "DLP"
from range({low}, {high}) a(d), range(1, 4) b(i)
"""


def make(path: Path, documents: int) -> Store:
    """A lake of so many documents, each in a series of its own, four to a patient."""
    store = Store.create(path)
    if store.paths("series"):
        return store
    with connect() as db:
        db.execute("set memory_limit = '3GB'")
        db.execute(f"set temp_directory = '{path / '_work'}'")
        for name, select in (("items", _ITEM), ("segments", _SEGMENT), ("dose_events", _EVENT)):
            for low in range(0, documents, _AT_ONCE):
                sql = select.format(low=low, high=min(low + _AT_ONCE, documents))
                _append(store, name, db.sql(sql).to_arrow_table())
        rows = db.sql(
            "select i as series_id, i // 4 as patient_key, i // 2 as study_key, 'bench' as source, "
            "'all' as complete, 1::bigint as instances, 'P' || i // 4 as \"PatientID\", "
            "'2.25.1' || i // 2 as \"StudyInstanceUID\", '2.25.2' || i as \"SeriesInstanceUID\", "
            "case when i % 2 = 0 then 'SR' else 'CT' end as \"Modality\", "
            f"date '2010-01-01' + (hash(i // 2, 19) % 5800)::int as \"StudyDate\" "
            f"from range({documents}) t(i)"
        ).to_arrow_table()
        _append(store, "instances", db.sql(
            "select i as series_id, '2.25.3' || lpad(i::varchar, 12, '0') as \"SOPInstanceUID\", "
            f"1::bigint as \"InstanceNumber\", '{{}}' as header from range({documents}) t(i)"
        ).to_arrow_table())  # fmt: skip
    now = pa.array([datetime.now(UTC)] * rows.num_rows, tables.STAMP)
    _append(store, "series", rows.append_column("indexed", now), children="{}")
    return store


def _append(store: Store, name: str, rows: pa.Table, **notes: str) -> None:
    schema = tables.ALL[name]
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    table = pa.Table.from_arrays(columns, schema=schema)
    from dicomlake.lake.files import order_of

    store.append(name, table.sort_by(order_of(name)), **notes)


_LONG = "*.[SCT:103339001]"
_LIVER = "SCT:10200004"
QUESTIONS = {
    "concept exists, rare": ("*.[CODED:77] exists", "series"),
    "concept with number": (f"{_LONG} > 190 mm", "series"),
    "number, most reports": (f"{_LONG} > 30 mm", "patient"),
    "whole path with number": (f"{_PREFIX}.[MDC:2:16160] > 150 mm", "series"),
    "path with a gap": ("[DCM:126000].**.[MDC:2:16160] > 150 mm", "series"),
    "code": (f"*.[SCT:363698007] within {_LIVER}", "series"),
    "text contains": ("*.[DCM:121106] contains 'word 77'", "series"),
    "person": ("*.[DCM:121008] = 'Reader^7'", "patient"),
    "inherited column": (f"item.site within {_LIVER}", "series"),
    "one item: site and number": (
        f"same(item, *.[SCT:363698007] within {_LIVER} and {_LONG} > 190 mm)", "series"),
    "one item: column and number": (
        f"same(item, item.site within {_LIVER} and {_LONG} > 190 mm)", "series"),
    "one item: rare concept": (
        f"same(item, *.[CODED:77] exists and *.[SCT:363698007] within {_LIVER})", "patient"),
    "one item, and not": (
        f"same(item, {_LONG} > 190 mm and not *.[SCT:363698007] within {_LIVER})", "series"),
    "segment": ("segment.type within SCT:87878005", "series"),
    "two segments, instance": (
        "segment.type within SCT:87878005 and segment.type within SCT:53085002", "instance"),
    "one segment": ("same(segment, segment.type within SCT:87878005 and segment.volume > 0.2 L)",
                    "series"),
    "one dose event": ("same(event, event.phantom within DCM:113690 and event.DLP > 1.2 Gy.cm)",
                       "patient"),
    "anatomy": (f"anatomy within {_LIVER}", "series"),
    "with a header": (f"{_LONG} > 190 mm and Modality = 'CT'", "patient"),
    "missing": ("*.[CODED:77] missing", "series"),
}  # fmt: skip


def measure(path: Path, documents: int) -> list[tuple[str, str, str, str]]:
    """(question, ms of the first run, median ms warm, how many were found) rows."""
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.query import Query, parse

    store = make(path, documents)
    rows = []
    for name, (text, level) in QUESTIONS.items():
        engine = DuckEngine(store)  # nothing of the lake is in its memory
        query = Query(parse(text), level, show=("PatientID",), limit=25)
        engine.answer(Query(limit=1))
        began = time.perf_counter()
        found = engine.answer(query)
        first = (time.perf_counter() - began) * 1000

        def ask(engine: Any = engine, query: Query = query) -> None:
            engine.answer(query)

        rows.append((name, f"{first:,.0f}", f"{median_ms(ask):,.0f}", f"{found.total:,}"))
    return rows
