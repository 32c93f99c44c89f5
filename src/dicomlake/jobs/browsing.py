"""What a lake says of one patient, study, series or instance, as plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from dicomlake.dicom import dictionary
from dicomlake.errors import UsageError
from dicomlake.query.attributes import attribute

MOST_STUDIES = 1000
MOST_ITEMS = 20_000
"""Content items of one object that are given together."""
_STUDY = """any_value("StudyInstanceUID") as "StudyInstanceUID", min("StudyDate") as "StudyDate",
min("StudyTime") as "StudyTime", min("StudyDescription") as "StudyDescription",
min("AccessionNumber") as "AccessionNumber", min("PatientAge") as "PatientAge",
min("ReferringPhysicianName") as "ReferringPhysicianName",
min("InstitutionName") as "InstitutionName", min(patient_key) as patient_key,
list(distinct "Modality" order by "Modality") filter ("Modality" is not null) as modalities,
list(distinct "BodyPartExamined" order by "BodyPartExamined")
filter ("BodyPartExamined" is not null) as body_parts,
count(*) as series, sum(instances)::bigint as instances"""
_SERIES = """"SeriesInstanceUID", "SeriesNumber", "Modality", "SeriesDate", "SeriesTime",
"SeriesDescription", "ProtocolName", "BodyPartExamined", "Laterality", "Manufacturer",
"ManufacturerModelName", "StationName", "SOPClassUID", "SliceThickness", "Rows", "Columns",
instances, complete, source, indexed"""
_PATIENT = "PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex".split()

Row = dict[str, Any]


def _rows(found: pa.Table) -> list[Row]:
    """Rows as dicts; keys of patients and studies as text, for they have more digits than
    JavaScript counts."""
    rows: list[Row] = found.to_pylist()
    for row in rows:
        row |= {name: str(row[name]) for name in _KEYS if name in row}
    return rows


_KEYS = ("patient_key", "study_key")


def patient(engine: Any, key: int, ticket: object = None) -> Row:
    """A patient by `patient_key` with all studies, newest first; UsageError for an unknown one."""
    most = ", ".join(f'mode("{name}") as "{name}"' for name in _PATIENT)
    about = _rows(
        engine.read(
            f"select patient_key, {most}, count(distinct study_key) as studies, "
            "count(*) as series, sum(instances)::bigint as instances from series "
            "where patient_key = ? group by patient_key",
            [key],
            ticket,
        )
    )
    if not about:
        raise UsageError(f"There is no patient {key} in this version of the lake.")
    return {**about[0], "all_studies": _studies(engine, "patient_key = ?", [key], ticket)}


def _studies(engine: Any, where: str, values: list[Any], ticket: object) -> list[Row]:
    return _rows(
        engine.read(
            f"select {_STUDY} from series where {where} group by study_key "
            'order by "StudyDate" desc nulls last, "StudyTime" desc nulls last, '
            f'"StudyInstanceUID" limit {MOST_STUDIES}',
            values,
            ticket,
        )
    )


def study(engine: Any, uid: str, ticket: object = None) -> Row:
    """A study with its series, reports and the patient's other studies."""
    found = _studies(engine, '"StudyInstanceUID" = ?', [uid], ticket)
    if not found:
        raise UsageError("There is no study of that StudyInstanceUID in this version of the lake.")
    series = _rows(
        engine.read(
            f'select {_SERIES} from series where "StudyInstanceUID" = ? '
            'order by "SeriesNumber" nulls last, "SeriesInstanceUID"',
            [uid],
            ticket,
        )
    )
    key = int(found[0]["patient_key"])
    others = _studies(engine, 'patient_key = ? and "StudyInstanceUID" <> ?', [key, uid], ticket)
    day = found[0]["StudyDate"]
    for other in others:
        when = other["StudyDate"]
        other["days"] = (when - day).days if when and day else None
    about = patient(engine, key, ticket)
    about.pop("all_studies")
    return {
        **found[0],
        "patient": about,
        "all_series": series,
        "reports": _reports(engine, uid, ticket),
        "others": others,
    }


def _reports(engine: Any, uid: str, ticket: object) -> list[Row]:
    """The reports of a study: title and content of every document that has a root."""
    items = _rows(
        engine.read(
            'select i."SOPInstanceUID", s."SeriesInstanceUID", s."CompletionFlag", '
            's."VerificationFlag", i.item, i.parent, i.place, i.value_type, i.concept_meaning, '
            "i.text, i.code_meaning, i.code, i.number_sent, i.unit_meaning, i.unit_value "
            "from items i join series s using (series_id) "
            "where s.\"StudyInstanceUID\" = ? and starts_with(i.path, '[') "
            f'order by i."SOPInstanceUID", i.item limit {MOST_ITEMS}',
            [uid],
            ticket,
        )
    )
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in items:
        grouped[row["SOPInstanceUID"]].append(row)
    return [
        {
            "SOPInstanceUID": sop,
            "SeriesInstanceUID": rows[0]["SeriesInstanceUID"],
            "title": rows[0]["concept_meaning"] or "",
            "CompletionFlag": rows[0]["CompletionFlag"],
            "VerificationFlag": rows[0]["VerificationFlag"],
            "lines": [_line(row) for row in rows],
        }
        for sop, rows in grouped.items()
    ]


def _line(row: Row) -> Row:
    unit = row["unit_value"] if row["number_sent"] else None
    value = row["text"] or row["code_meaning"] or row["code"] or row["number_sent"] or ""
    return {
        "depth": (row["place"] or "").count("."),
        "type": row["value_type"],
        "concept": row["concept_meaning"] or "",
        "value": f"{value} {unit}" if unit and unit != "1" else value,
    }


def series(engine: Any, uid: str, limit: int, start: int, ticket: object = None) -> Row:
    """A series: its row, what its elements say, and a page of its instances."""
    found = _rows(engine.read('select * from series where "SeriesInstanceUID" = ?', [uid], ticket))
    if not found:
        raise UsageError("There is no series of that SeriesInstanceUID in this version.")
    row = found[0]
    number = row["series_id"]
    elements = engine.read(
        "select path, vr, list(distinct text order by text) as texts, "
        "list(distinct number order by number) as numbers, min(number) as low, "
        "max(coalesce(number_max, number)) as high, bool_or(folded) as folded, "
        "list(distinct coalesce(code_meaning, code_value)) as codes, count(*) as n, "
        "max(instances) as instances from elements where series_id = ? group by path, vr "
        "order by path, vr",
        [number],
        ticket,
    )
    instances = engine.read(
        'select "SOPInstanceUID", "SOPClassUID", "InstanceNumber", "TransferSyntaxUID", "Rows", '
        '"Columns", "NumberOfFrames", size, len(problems) as problems from instances '
        'where series_id = ? order by "InstanceNumber" nulls last, "SOPInstanceUID" '
        f"limit {limit} offset {start}",
        [number],
        ticket,
    )
    return {
        "row": {name: value for name, value in row.items() if value is not None},
        "elements": [_element(each) for each in _rows(elements)],
        "page": _rows(instances),
    }


_MOST_TEXTS = 8


def _element(row: Row) -> Row:
    about = attribute(row["path"])
    said = [t for t in row["texts"] or () if t is not None]
    said = said or [t for t in row["codes"] or () if t is not None]
    said = said or [f"{n:g}" for n in row["numbers"] or () if n is not None]
    return {
        "path": row["path"],
        "name": about.name or row["path"],
        "tag": about.tag,
        "vr": row["vr"],
        "values": said[:_MOST_TEXTS],
        "more": max(len(said) - _MOST_TEXTS, 0),
        "low": row["low"] if row["folded"] else None,
        "high": row["high"] if row["folded"] else None,
        "folded": row["folded"],
        "instances": row["instances"],
    }


# One instance


def instance(engine: Any, uid: str, ticket: object = None) -> Row:
    """Where an instance belongs: its patient, study and series, without its header."""
    found = _rows(
        engine.read(
            'select i.series_id, s.patient_key, s."StudyInstanceUID", s."SeriesInstanceUID", '
            's."Modality", i."SOPClassUID", i.uri from instances i join series s using (series_id) '
            'where i."SOPInstanceUID" = ? limit 1',
            [uid],
            ticket,
        )
    )
    if not found:
        raise UsageError("There is no instance of that SOPInstanceUID in this version.")
    return found[0]


def header(engine: Any, uid: str, ticket: object = None) -> dict[str, Any]:
    """The complete header of an instance as DICOM JSON; UsageError for an unknown one."""
    found = engine.read(
        'select header from instances where "SOPInstanceUID" = ? limit 1', [uid], ticket
    )
    if not found.num_rows:
        raise UsageError("There is no instance of that SOPInstanceUID in this version.")
    told: dict[str, Any] = orjson.loads(found.column("header")[0].as_py())
    return told


def tree(header: Mapping[str, Any], around: str = "", depth: int = 0) -> list[Row]:
    """A header as a tree with names: elements in order, and the items of sequences below them."""
    creators: dict[str, str] = {}
    found = []
    for tag, element in sorted(header.items()):
        if len(tag) != 8 or not isinstance(element, dict):
            continue
        values = element.get("Value")
        values = values if isinstance(values, list) else []
        group, number = int(tag[:4], 16), int(tag[4:], 16)
        creator = ""
        if group & 1 and 0x10 <= number <= 0xFF and values:
            creators[f"{tag[:4]}{tag[6:]}"] = str(values[0])
        elif group & 1 and number > 0xFF:
            creator = creators.get(tag[:4] + tag[4:6], "")
        found.append(_node(tag, element, values, creator, around, depth))
    return found


def _node(tag: str, element: Row, values: list[Any], creator: str, around: str, depth: int) -> Row:
    group, number = int(tag[:4], 16), int(tag[4:], 16)
    segment = (
        dictionary.private_segment(group, creator, number)
        if creator
        else dictionary.public_segment(group << 16 | number)
    )
    path = f"{around}.{segment}" if around else segment
    entry = dictionary.entry_of(group << 16 | number) if not group & 1 else None
    private = dictionary.private_entry(creator, group, number & 0xFF) if creator else None
    name = entry[2] if entry else private[2] if private else ""
    vr = str(element.get("vr", ""))
    items = [v for v in values if isinstance(v, dict)] if vr == "SQ" else []
    return {
        "tag": f"({tag[:4]},{tag[4:]})",
        "path": path,
        "keyword": segment if entry and entry[4] else "",
        "name": name or ("Private Creator" if group & 1 and 0x10 <= number <= 0xFF else ""),
        "vr": vr,
        "creator": creator,
        "private": bool(group & 1),
        "depth": depth,
        "values": [] if vr == "SQ" else [_said(value) for value in values],
        "bulk": str(element.get("BulkDataURI", "")),
        "bytes": len(element["InlineBinary"]) * 3 // 4 if _inline(element) else None,
        "items": [tree(item, path, depth + 1) for item in items],
    }


def _inline(element: Row) -> bool:
    return isinstance(element.get("InlineBinary"), str)


def _said(value: Any) -> Any:
    if isinstance(value, dict):  # the name of a person
        return "=".join(
            str(value.get(g, "")) for g in ("Alphabetic", "Ideographic", "Phonetic")
        ).rstrip("=")
    return value


# Two headers


def compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    """How two headers differ: elements that one lacks, and those with other values, in order."""
    a, b = dict(_flat(tree(first))), dict(_flat(tree(second)))
    found = []
    for place in sorted({*a, *b}):
        one, other = a.get(place), b.get(place)
        if one is not None and other is not None and _same(one, other):
            continue
        about: Row = one or other or {}
        change = "changed" if one and other else "removed" if one else "added"
        said = {key: about[key] for key in ("path", "name", "tag", "creator")}
        found.append(
            {
                **said,
                "place": " ".join(place),
                "vr": about["vr"],
                "change": change,
                "a": None if one is None else one["values"],
                "b": None if other is None else other["values"],
            }
        )
    return found


def _same(one: Row, other: Row) -> bool:
    return all(one[key] == other[key] for key in ("vr", "values", "bytes")) and len(
        one["items"]
    ) == len(other["items"])


def _flat(nodes: list[Row], around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Row]]:
    """Every element by its place: tags, and the numbers of items."""
    for node in nodes:
        place = (*around, node["tag"] + (f"{node['creator']}" if node["creator"] else ""))
        yield place, node
        for n, item in enumerate(node["items"], 1):
            yield from _flat(item, (*place, f"{n}"))


# What is inside of one instance


def inside(engine: Any, uid: str, ticket: object = None) -> Row:
    """Content items as a tree, segments, channels and doses of an instance."""
    about = instance(engine, uid, ticket)

    def rows(table: str, order: str) -> list[Row]:
        found = engine.read(
            f'select * from {table} where series_id = ? and "SOPInstanceUID" = ? order by {order} '
            f"limit {MOST_ITEMS}",
            [about["series_id"], uid],
            ticket,
        )
        return [_filled(row) for row in _rows(found)]

    return {
        **about,
        "items": _nested(rows("items", "item")),
        "segments": rows("segments", "number"),
        "channels": rows("waveforms", '"group", channel'),
        "dose_events": rows("dose_events", "started, item, event_key"),
        "dose_totals": rows("dose_totals", "item, plane, laterality"),
    }


_LEFT_OUT = frozenset(["series_id", "SOPInstanceUID", "reader"])


def _filled(row: Row) -> Row:
    """What a row says, without what is null."""
    return {k: v for k, v in row.items() if v is not None and k not in _LEFT_OUT}


def _nested(rows: list[Row]) -> list[Row]:
    """Items below the items around them."""
    known = {row["item"]: {**row, "children": []} for row in rows}
    roots: list[Row] = []
    for row in known.values():
        around = known.get(row.get("parent", 0))
        (roots if around is None else around["children"]).append(row)
    return roots
