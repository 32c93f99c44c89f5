"""Documents: what the lake says of a series, as a warehouse takes it, one document per series.

A document says what the tables say and nothing else. `layout` describes it, `pivot` writes it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from dicomlake import tables
from dicomlake.dicom import dictionary
from dicomlake.dicom.dictionary import BINARY, NUMBERS
from dicomlake.dicom.values import DAYS, moment_of, seconds_of
from dicomlake.errors import LakeError, ServiceError, UnknownAttribute, UsageError
from dicomlake.jobs.layout import CONTENTS, HEADED, HEADS, VERSION, Part
from dicomlake.jobs.pivot import encoded, pivot, write_xml
from dicomlake.lake import Store
from dicomlake.lake.database import connect, literal, parquet, view
from dicomlake.terms.mapping import normal

__all__ = ["FEATURES", "check_features", "documents", "encoded", "listed_features", "pivot",
           "write_xml"]  # fmt: skip

AT_ONCE = 100
"""Series whose rows are in memory together."""
FEATURES = (
    "attributes", "sequences", "private", "items", "segments", "waveforms", "dose", "annotations",
    "findings",
)  # fmt: skip
"""Parts that can be asked for: public attributes, what is nested in sequences, private attributes,
content of reports, segments, channels of waveforms, doses, and what enrichers state."""

Document = dict[str, Any]

_PRIVATE = r"(^|\.)\([0-9A-F]{3}[13579BDF],"
_NESTED = f"not regexp_matches(path, {literal(_PRIVATE)}) and (contains(path, '.') or vr = 'SQ')"
_PARTS = {
    "attributes": f"(not regexp_matches(path, {literal(_PRIVATE)}) and not contains(path, '.') "
    "and vr <> 'SQ')",
    "sequences": f"({_NESTED})",
    "private": f"regexp_matches(path, {literal(_PRIVATE)})",
}
_ORDER = {
    "elements": "path, vr, position, text, number, moment, code_value, code_scheme, code_meaning",
    "items": '"SOPInstanceUID", item',
    "segments": '"SOPInstanceUID", number, label',
    "waveforms": '"SOPInstanceUID", "group", channel',
    "annotations": "kind, structure, code, label, enrichment_id",
    "findings": "rule, path, text, enrichment_id",
    "dose_events": 'started, "SOPInstanceUID", item, event_key',
    "dose_totals": '"SOPInstanceUID", item, plane, laterality',
}
_UCUM = {"tesla": "T", "degree": "deg", "mm, row then column": "mm", "mAs": "mA.s"}
_UNITS = {
    **{keyword: _UCUM.get(unit, unit) for keyword, unit in tables.UNITS.items()},
    **dict.fromkeys(
        """SliceLocation TableHeight DataCollectionDiameter DistanceSourceToPatient
        ImagePositionPatient SingleCollimationWidth TotalCollimationWidth""".split(),
        "mm",
    ),
    **dict.fromkeys("TriggerTime FrameTime TemporalResolution".split(), "ms"),
    "GantryDetectorTilt": "deg",
    "PositionerSecondaryAngle": "deg",
    "PixelBandwidth": "Hz/{pixel}",
    "ImagingFrequency": "MHz",
    "SAR": "W/kg",
    "HeartRate": "/min",
    "ExposureInuAs": "uA.s",
    "RevolutionTime": "s",
    "ContrastBolusVolume": "mL",
    "RadionuclideHalfLife": "s",
}
"""Units of attributes whose definition in PS3.3 fixes one, UCUM."""


# What is asked for


@dataclass(frozen=True, slots=True)
class _Asked:
    """The condition on rows of `elements`, "" for none of them, and tables of contents."""

    elements: str
    contents: tuple[str, ...]


def check_features(features: Iterable[str]) -> tuple[str, ...]:
    """Features as they are; UsageError names the nearest ones of an unknown one.

    A feature is one of FEATURES or the path of an attribute; `*.` before it means any depth.

    >>> check_features(["dose", "Modality"])
    ('dose', 'Modality')
    """
    asked = tuple(features)
    for feature in asked:
        if feature not in FEATURES:
            _path(feature)
    return asked


def listed_features(text: str) -> list[str]:
    """Features of a text in which commas separate them.

    >>> listed_features('dose, Modality,(0009,"A,B",01)')
    ['dose', 'Modality', '(0009,"A,B",01)']
    """
    return [found.strip() for found in _FEATURE.findall(text) if found.strip()]


_FEATURE = re.compile(r'(?:\((?:[^()"]|"(?:[^"]|"")*")*\)|[^,])+')


def _path(feature: str) -> str:
    """The canonical path of an attribute that is asked for."""
    near = difflib.get_close_matches(feature.lower(), FEATURES, n=2, cutoff=0.6)
    try:
        found = dictionary.attribute(feature).path
    except UsageError as error:
        near += error.near if isinstance(error, UnknownAttribute) else []
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"There is no feature {feature!r}.{hint} There are: {', '.join(FEATURES)}, and paths "
            "of attributes."
        ) from error
    if "[" in found.partition('"')[0] or "**" in found:
        raise UsageError(f"{feature!r} is a place in reports. Ask for the feature items.")
    return found


def _asked(features: Sequence[str]) -> _Asked:
    features = check_features(features)
    if not features:
        return _Asked("true", tuple(CONTENTS))
    conditions = [_PARTS[f] for f in features if f in _PARTS]
    conditions += [_below(_path(f)) for f in features if f not in FEATURES]
    tables_ = [
        t for t in CONTENTS if t in features or (t.startswith("dose") and "dose" in features)
    ]
    return _Asked(" or ".join(conditions), tuple(tables_))


def _below(path: str) -> str:
    """SQL condition on rows of `elements` of an attribute and of what is nested in it."""
    deep = path.startswith("*.")
    path = path.removeprefix("*.")
    found = f"path = {literal(path)} or starts_with(path, {literal(path + '.')})"
    if deep:
        found += f" or suffix(path, {literal('.' + path)})"
        found += f" or contains(path, {literal('.' + path + '.')})"
    return f"({found})"


# Documents


def documents(
    store: Store, series: Iterable[str], features: Sequence[str] = ()
) -> Iterator[Document]:
    """One document per series, in the order of the SeriesInstanceUIDs; unknown ones are left out.

    `features`: which parts, all when there are none; the heads are always there. UsageError at
    once for an unknown feature. Memory is bounded: AT_ONCE series are read together.
    """
    return _documents(store, iter(series), _asked(features))


def _documents(store: Store, series: Iterator[str], asked: _Asked) -> Iterator[Document]:
    version = store.version
    with connect() as db:
        view(db, "series", store.paths("series"), tables.SERIES)
        while uids := list(dict.fromkeys(islice(series, AT_ONCE))):
            try:
                rows, children = _chunk(store, db, uids, asked)
            except duckdb.Error as error:
                raise ServiceError(
                    f"The documents cannot be read ({type(error).__name__}). Try again, and if it "
                    "happens again: dicomlake doctor."
                ) from error
            for row in rows:
                yield _document(row, version, asked, children)


def _chunk(
    store: Store, db: duckdb.DuckDBPyConnection, uids: list[str], asked: _Asked
) -> tuple[list[dict[str, Any]], dict[str, _Rows]]:
    """Rows of some series, and their rows of other tables."""
    told = pa.table({"uid": pa.array(uids, pa.string()), "turn": pa.array(range(len(uids)))})
    db.register("told", told)
    rows: list[dict[str, Any]] = db.sql(
        'select s.* from series s join told on uid = s."SeriesInstanceUID" order by turn'
    ).to_arrow_table().to_pylist()  # fmt: skip
    ids = [row["series_id"] for row in rows]
    db.register("chosen", pa.table({"series_id": pa.array(ids, pa.int64())}))
    wanted = (["elements"] if asked.elements else []) + list(asked.contents)
    return rows, {name: _read(store, db, name, ids, asked) for name in wanted}


def _read(
    store: Store, db: duckdb.DuckDBPyConnection, name: str, ids: list[int], asked: _Asked
) -> _Rows:
    """Rows of a table of some series, in order."""
    paths = store.paths(name, ids)
    if not paths:
        return _Rows(tables.ALL[name].empty_table())
    chosen = "series_id in (select series_id from chosen)"
    where = chosen + (f" and ({asked.elements})" if name == "elements" else "")
    if hidden := store.unhidden(db, name):
        where += f" and {hidden}"
    source = f"(select * from {parquet(paths)} where {where})"
    if name == "dose_events":
        source = _counted(source, parquet(store.paths(name)), chosen)
    rows = db.sql(f"select * from {source} order by series_id, {_ORDER[name]}")
    return _Rows(rows.to_arrow_table())


def _counted(ours: str, everything: str, chosen: str) -> str:
    """SQL of dose events that know whether they count: rows of other series may decide it."""
    study = 'coalesce("StudyInstanceUID", "SOPInstanceUID")'
    return f"""(select * from (
        select *, {tables.COUNTED} as counted from {everything}
        where series_id in (select series_id from series)
        and (event_key in (select event_key from {ours}) or {study} in (select {study} from {ours}))
    ) where {chosen})"""


class _Rows:
    """Rows of several series, sorted by series_id."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._ids = rows.column("series_id").to_numpy()

    def of(self, series_id: int) -> list[dict[str, Any]]:
        """The rows of one series."""
        first, last = np.searchsorted(self._ids, [series_id, series_id + 1])
        found: list[dict[str, Any]] = self._rows.slice(first, last - first).to_pylist()
        return found


def _document(
    row: Mapping[str, Any], version: int, asked: _Asked, children: Mapping[str, _Rows]
) -> Document:
    made: Document = {"version": VERSION}
    for head in HEADS:
        if said := {p.name: v for p in head.parts if (v := _headed(p, row[p.name])) is not None}:
            made[head.name] = said
    origin = {
        "source": row["source"],
        "complete": row["complete"],
        "instances": row["instances"],
        "lake_version": version,
        "indexed": _iso(row["indexed"]),
        "varying": [keyword for keyword in row["varying"] or () if keyword in HEADED] or None,
    }
    made["origin"] = {name: value for name, value in origin.items() if value is not None}
    if asked.elements:
        made["elements"] = [_element(r) for r in children["elements"].of(row["series_id"])]
    for name in asked.contents:
        part = CONTENTS[name]
        if entries := [_entry(part, r) for r in children[name].of(row["series_id"])]:
            made[name] = entries
    return made


def _headed(part: Part, value: Any) -> Any:
    """The value of an attribute in a head."""
    if isinstance(value, str) and part.name.endswith("Time"):
        return _time(value) or value
    return _plain(part, value)


def _entry(part: Part, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of contents as a member of a document."""
    made = {}
    for member in part.parts:
        if member.kind == "code":
            sent = {name: row[column] for name, column in member.columns}
            value: Any = {name: said for name, said in sent.items() if said is not None} or None
        else:
            value = _plain(member, row[member.name])
        if value is not None:
            made[member.name] = value
    return made


def _plain(part: Part, value: Any) -> Any:
    """A value of a table as documents have it; None where there is none."""
    if value is None or value == []:
        return None
    if part.several:
        found = [_plain_one(part, one) for one in value]
        return None if part.kind == "number" and None in found else _filled(found)
    return _plain_one(part, value)


def _filled(found: list[Any]) -> list[Any] | None:
    return [one for one in found if one is not None] or None


def _plain_one(part: Part, value: Any) -> Any:
    if part.kind == "group":
        return {name: said for name, said in value.items() if said is not None} or None
    if isinstance(value, float) and not isfinite(value):
        return None
    if part.kind == "measure":
        return {"value": value, "unit": part.unit}
    return _iso(value) if isinstance(value, date | datetime) else value


# Elements


@lru_cache(maxsize=65536)
def _known(path: str) -> dict[str, str]:
    """What is known of a path: keyword, tag, name, creator."""
    found = {"path": path}
    with suppress(UsageError):
        about = dictionary.attribute(path)
        said = {"keyword": about.keyword, "tag": about.tag, "name": about.name}
        found |= {name: text for name, text in said.items() if text}
        if about.creator:
            found["creator"] = about.creator
    return found


def _element(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `elements` as a typed element."""
    vr, text, folded = row["vr"], row["text"], row["folded"]
    made: dict[str, Any] = dict(_known(row["path"]))
    value, more = _value(row)
    made |= {"vr": vr, "type": _type(row), "position": row["position"], **more}
    if made["type"] == "number" and isinstance(value, str):
        made["type"] = "text"
    if made["type"] == "number":
        made["unit"] = _UNITS.get(made.get("keyword", ""))
    made["instances"] = row["instances"]
    if not (folded or more or value is not None or text is not None):
        made["empty"] = True
    if folded:
        made["folded"] = True
    made["value"] = value
    if text is not None and value is not text and str(value) != text:
        made["text"] = text
    return {name: said for name, said in made.items() if said is not None}


def _type(row: Mapping[str, Any]) -> str:
    """One of layout.TYPES: that of the value, or that of the VR where there is no value."""
    vr, text, nothing = row["vr"], row["text"], row["number"] is None and row["moment"] is None
    if row["code_value"] is not None:
        return "code"
    if vr == "SQ":
        return "sequence"
    if vr in BINARY:
        return "binary"
    if text is not None and nothing:
        return "text"
    return _VR_TYPES.get(vr, "number" if vr in NUMBERS else "text")


_VR_TYPES = {"DA": "date", "DT": "datetime", "TM": "time", "AS": "age"}


def _value(row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The value of an element, and other members that say what it is."""
    vr, text, number = row["vr"], row["text"], row["number"]
    if row["code_value"] is not None:
        return None, {"code": _code(row)}
    if vr == "SQ" or (vr in BINARY and not row["folded"]):
        name = "items" if vr == "SQ" else "bytes"
        return text, {} if number is None else {name: int(number)}
    if row["folded"]:
        return None, _range(row)
    if number is not None:
        if vr == "TM":
            return _time(text) or _clock(number), {}
        return (_age(number) if vr == "AS" else _number(vr, number)), {}
    if row["moment"] is not None:
        if vr == "DA":
            return row["moment"].date().isoformat(), {}
        return _datetime(text) or _iso(row["moment"]), {}
    return text, {}


def _code(row: Mapping[str, Any]) -> dict[str, str]:
    value, scheme, meaning = row["code_value"], row["code_scheme"], row["code_meaning"]
    code, name = normal(value, scheme or "")
    said = {"code": f"{name}:{code}", "value": value, "scheme": scheme, "meaning": meaning}
    return {key: text for key, text in said.items() if text is not None}


def _range(row: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest and the largest of many values."""
    vr = row["vr"]
    made = {}
    for name, number, moment in (
        ("min", row["number"], row["moment"]),
        ("max", row["number_max"], row["moment_max"]),
    ):
        if moment is not None:
            made[name] = moment.date().isoformat() if vr == "DA" else _iso(moment)
        elif number is not None:
            known: dict[str, Callable[[float], Any]] = {"TM": _clock, "AS": _age}
            made[name] = known[vr](number) if vr in known else _number(vr, number)
    return made


# Writing values


def _number(vr: str, number: float) -> int | float | str:
    """A number as JSON and XML can write it; what is none (NaN, infinities) as text."""
    if not isfinite(number):
        return {"nan": "NaN", "inf": "INF", "-inf": "-INF"}[str(number)]
    whole = vr not in ("DS", "FD", "FL") and number.is_integer() and abs(number) < 1 << 53
    return int(number) if whole else number


def _iso(moment: date | datetime | None) -> str | None:
    """ISO 8601; moments in UTC.

    >>> from datetime import UTC
    >>> _iso(datetime(2024, 2, 29, 7, 5, tzinfo=UTC))
    '2024-02-29T07:05:00Z'
    """
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


_TM = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(\.\d+)?", re.ASCII)
_DT = re.compile(
    r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\.\d+)?(?:([+-]\d\d)(\d\d))?", re.ASCII
)


def _time(text: str | None) -> str | None:
    """A TM by ISO 8601, as exact as it was sent; None when it is none.

    >>> _time("0705"), _time("070512.50"), _time("7 am")
    ('07:05', '07:05:12.50', None)
    """
    found = _TM.fullmatch(text or "")
    if found is None or seconds_of(text or "") is None:
        return None
    return ":".join(part for part in found.groups()[:3] if part) + (found[4] or "")


def _clock(seconds: float) -> str:
    """A time of day by its seconds since midnight.

    >>> _clock(25505.5)
    '07:05:05.500000'
    """
    return (datetime.min + timedelta(seconds=min(seconds, 86399.999999))).time().isoformat()


def _datetime(text: str | None) -> str | None:
    """A DT by ISO 8601, as exact as it was sent and without a zone that it does not have.

    >>> _datetime("20240315123456.5+0100"), _datetime("2024"), _datetime("2024-03")
    ('2024-03-15T12:34:56.5+01:00', '2024', None)
    """
    found = _DT.fullmatch(text or "")
    if found is None or moment_of(text or "", "DT") is None:
        return None
    year, month, day, hour, minute, second, fraction, zone, more = found.groups()
    made = "-".join(part for part in (year, month, day) if part)
    if hour:
        made += "T" + ":".join(part for part in (hour, minute or "00", second) if part)
    return made + (fraction or "") + (f"{zone}:{more}" if zone and hour else "")


def _age(days: float) -> str:
    """An age by ISO 8601, in the longest unit that makes it whole.

    >>> _age(365.25 * 75), _age(14), _age(3)
    ('P75Y', 'P2W', 'P3D')
    """
    for unit in "YMW":
        if days and (days / DAYS[unit]).is_integer():
            return f"P{int(days / DAYS[unit])}{unit}"
    return f"P{days:g}D"


def missing_of(store: Store, series: Iterable[str]) -> list[str]:
    """Those SeriesInstanceUIDs that the lake does not have; LakeError when it cannot be read."""
    asked = list(dict.fromkeys(series))
    with connect() as db:
        view(db, "series", store.paths("series"), tables.SERIES)
        db.register("told", pa.table({"uid": pa.array(asked, pa.string())}))
        try:
            found = db.execute(
                'select uid from told where uid not in (select "SeriesInstanceUID" from series)'
            ).fetchall()
        except duckdb.Error as error:
            raise LakeError(f"The series of {store.path} cannot be read.") from error
    gone = {uid for (uid,) in found}
    return [uid for uid in asked if uid in gone]
