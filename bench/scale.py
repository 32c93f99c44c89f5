"""A made-up lake of any size, written straight into its tables, and questions about it.

The values are drawn from skewed lists per attribute, so that a few values are frequent and most
are rare; the columns of `series` and the rows of `elements` say the same.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.lake import Store
from dicomlake.lake.store import connect

COMMON = 60
"""Attributes that every series has; the others of the 2000 are rare."""
PATHS = 2000

_MODALITIES = (
    "['CT','CT','CT','CT','CT','MR','MR','MR','CR','CR','DX','US','MG','XA','PT','NM','SR']"
)
_PARTS = "['CHEST','CHEST','HEAD','ABDOMEN','KNEE','PELVIS','SPINE','BREAST','HEART','NECK','']"
_MAKERS = "['SIEMENS','SIEMENS','GE MEDICAL SYSTEMS','Philips Medical Systems','TOSHIBA','Canon']"
_WORDS = (
    "['t2_tse_tra','t1_vibe','Thorax nativ','Schaedel','LUNG 1.0','prostate dwi','scout','ax T2']"
)


def _pick(values: str, salt: int) -> str:
    return f"list_extract({values}, 1 + (hash(i, {salt}) % len({values}))::int)"


def _skewed(count: int, salt: int) -> str:
    """A whole number below `count`, small ones much more frequent."""
    return f"(pow((hash(i, {salt}) % 1000003) / 1000003.0, 3) * {count})::bigint"


COLUMNS = {
    "Modality": _pick(_MODALITIES, 1),
    "BodyPartExamined": f"nullif({_pick(_PARTS, 2)}, '')",
    "Manufacturer": _pick(_MAKERS, 3),
    "PatientSex": "case when (i // 4) % 2 = 0 then 'M' else 'F' end",
    "PatientID": "'P' || lpad((i // 4)::varchar, 8, '0')",
    "AccessionNumber": "'A' || lpad((i // 2)::varchar, 9, '0')",
    "StudyInstanceUID": "'2.25.1' || lpad((i // 2)::varchar, 12, '0')",
    "SeriesInstanceUID": "'2.25.2' || lpad(i::varchar, 12, '0')",
    "SeriesDescription": f"{_pick(_WORDS, 4)} || ' ' || {_skewed(500, 5)}",
    "StudyDescription": f"{_pick(_WORDS, 6)} || ' ' || {_skewed(200, 7)}",
    "ProtocolName": f"{_pick(_WORDS, 8)} || ' ' || {_skewed(300, 9)}",
    "StationName": f"'ST' || {_skewed(60, 10)}",
    "ManufacturerModelName": f"'Model ' || {_skewed(80, 11)}",
    "InstitutionName": f"'House ' || {_skewed(12, 12)}",
}
NUMBERS = {
    "KVP": f"(80 + 20 * {_skewed(4, 13)})::double",
    "SliceThickness": f"(0.5 + {_skewed(40, 14)} / 4)::double",
    "MagneticFieldStrength": _pick("[1.5, 1.5, 3.0, 3.0, 0.55]", 15),
    "EchoTime": f"(1 + {_skewed(2000, 16)} / 10)::double",
    "RepetitionTime": f"({_skewed(9000, 17)})::double",
    "SeriesNumber": f"(1 + {_skewed(40, 18)})::bigint",
}
DATES = {"StudyDate": "date '2010-01-01' + (hash(i // 2, 19) % 5800)::int"}


def make(path: Path, series: int, rows_per_series: int = 100) -> Store:
    """A lake of so many series, four to a patient and two to a study, in sorted files."""
    store = Store.create(path)
    if store.paths("series"):
        return store
    with connect() as db:
        db.execute("set memory_limit = '4GB'")
        db.execute(f"set temp_directory = '{path / '_work'}'")
        store.add("elements", _elements(store, db, series, rows_per_series))
        _series(store, db, series)
    return store


def _series(store: Store, db: Any, series: int) -> None:
    picked = {**COLUMNS, **NUMBERS, **DATES}
    said = ", ".join(f'{expression} as "{name}"' for name, expression in picked.items())
    rows = db.sql(
        f"select i as series_id, i // 4 as patient_key, i // 2 as study_key, 'bench' as source, "
        f"'all' as complete, (1 + hash(i, 99) % 300)::bigint as instances, {said} "
        f"from range({series}) t(i) order by Modality, BodyPartExamined, StudyDate"
    ).to_arrow_table()
    now = pa.array([datetime.now(UTC)] * rows.num_rows, tables.STAMP)
    columns = []
    for field in tables.SERIES:
        if field.name in rows.column_names:
            columns.append(rows.column(field.name).cast(field.type))
        elif field.name == "indexed":
            columns.append(now)
        elif field.name == "varying":
            columns.append(pa.array([[]] * rows.num_rows, field.type))
        else:
            columns.append(pa.nulls(rows.num_rows, field.type))
    table = pa.Table.from_arrays(columns, schema=tables.SERIES)
    store.append("series", table, children="{}")


def few(store: Store, db: Any, series: int, names: Iterable[str]) -> None:
    """So many rows of `series`, and the elements of a few of their columns with text."""
    source = f"range({series}) t(i)"
    parts = [_select(name, "text", COLUMNS[name], source) for name in names]
    store.add("elements", _flush(store, db, parts))
    _series(store, db, series)


def _elements(store: Store, db: Any, series: int, rows_per_series: int) -> list[str]:
    named = {**{n: ("text", e) for n, e in COLUMNS.items()}}
    named |= {n: ("number", e) for n, e in NUMBERS.items()}
    named |= {n: ("moment", e) for n, e in DATES.items()}
    extra = COMMON - len(named)
    for n, keyword in enumerate(keywords(extra)):
        kind = dictionary.kind_of(dictionary.vr_of(keyword))
        number = _skewed(3000, 100 + n)
        named[keyword] = (kind, number if kind == "number" else f"'v' || {_skewed(400, 100 + n)}")
    rare = PATHS - COMMON
    each = max(series * (rows_per_series - COMMON) // rare, 1)
    files: list[str] = []
    parts: list[str] = []
    for number, (path, (kind, expression)) in enumerate(sorted(_with_rare(named, rare).items())):
        source = f"range({series}) t(i)"
        if "." in path:
            source = (
                f"(select (hash(j, {number}) % {series})::bigint as i from range({each}) t(j)) t"
            )
        parts.append(_select(path, kind, expression, source))
        if len(parts) >= (4 if "." not in path else 200):
            files += _flush(store, db, parts)
            parts = []
    files += _flush(store, db, parts)
    return files


def keywords(count: int) -> list[str]:
    """Keywords that are no columns of `series`, texts and numbers in turn."""
    found: dict[str, list[str]] = {"text": [], "number": []}
    for keyword in sorted(dictionary._keywords()):
        kind = dictionary.kind_of(dictionary.vr_of(keyword))
        if kind in found and keyword not in tables.SERIES_KEYWORDS:
            found[kind].append(keyword)
    pairs = zip(found["text"], found["number"], strict=False)
    return [keyword for pair in pairs for keyword in pair][:count]


def _with_rare(named: dict[str, tuple[str, str]], rare: int) -> dict[str, tuple[str, str]]:
    found = dict(named)
    for n, keyword in enumerate(keywords(rare)):
        kind = dictionary.kind_of(dictionary.vr_of(keyword))
        number = _skewed(900, 5000 + n)
        expression = number if kind == "number" else f"'r' || {_skewed(90, 5000 + n)}"
        found[f"SharedFunctionalGroupsSequence.{keyword}"] = (kind, expression)
    return found


def _select(path: str, kind: str, expression: str, source: str) -> str:
    vr = dictionary.attribute(path).vr
    values = {
        "text": f"{expression}" if kind == "text" else "null",
        "number": f"({expression})::double" if kind == "number" else "null",
        "moment": f"({expression})::timestamptz" if kind == "moment" else "null",
    }
    return (
        f"select i as series_id, '{path}' as path, '{vr}' as vr, 1::int as position, "
        f"{values['text']}::varchar as text, {values['number']}::double as number, "
        f"null::double as number_max, {values['moment']}::timestamptz as moment, "
        "null::timestamptz as moment_max, null::varchar as code_value, "
        "null::varchar as code_scheme, null::varchar as code_meaning, "
        f"(1 + hash(i, 99) % 300)::bigint as instances, false as folded from {source}"
    )


def _flush(store: Store, db: Any, parts: list[str]) -> list[str]:
    if not parts:
        return []
    union = " union all ".join(parts)
    table = db.sql(f"{union} order by path, text, number, series_id").to_arrow_table()
    file = store.write("elements", table.cast(tables.ELEMENTS))
    return [file] if file else []


_T1, _N1, _T2, _N2 = keywords(4)
_RARE = f"SharedFunctionalGroupsSequence.{keywords(102)[101]}"

QUESTIONS = {
    "wide filter, patients": ("Modality = 'MR' and StudyDate >= 2020 and KVP > 80", "patient"),
    "element text equals": (f"{_T1} = 'v7'", "series"),
    "element number range": (f"{_N1} between 500 and 520", "series"),
    "three elements, and": (f"{_T1} = 'v3' and {_N1} > 1000 and {_T2} = 'v1'", "series"),
    "element, wide, patients": (f"{_T1} = 'v3' and Modality = 'CT'", "patient"),
    "substring, one text": ("SeriesDescription contains 'prostate'", "series"),
    "substring, two texts": (
        "SeriesDescription contains 'prostate' or StudyDescription contains 'thorax'",
        "series",
    ),
    "wildcard": ("ProtocolName like 't2*1?'", "series"),
    "rare nested attribute": (f"{_RARE} > 300", "patient"),
    "any depth": (f"*.{_N2} > 2500", "series"),
    "two series of a patient": ("Modality = 'CT' and Modality = 'MR'", "patient"),
    "same series": ("same(series, Modality = 'CT' and KVP = 120)", "patient"),
    "one of 100,000": ("AccessionNumber in @list", "study"),
    "missing": ("BodyPartExamined missing and Modality = 'CR'", "series"),
}


def median_ms(run: Callable[[], Any], times: int = 7) -> float:
    """Median milliseconds of a few warm runs."""
    run()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def measure(path: Path, series: int) -> list[tuple[str, str, str]]:
    """(question, median ms warm, how many were found) rows."""
    from dicomlake.engines.duck import DuckEngine
    from dicomlake.query import Query, parse

    store = make(path, series)
    wanted = [f"A{n:09}" for n in range(0, series, max(series // 100_000, 1))][:100_000]
    engine = DuckEngine(store)
    rows = []
    for name, (text, level) in QUESTIONS.items():
        query = Query(parse(text, lambda _: wanted), level, limit=25)
        found = engine.answer(query)
        rows.append(
            (name, f"{median_ms(lambda q=query: engine.answer(q)):,.0f}", f"{found.total:,}")
        )
    return rows
