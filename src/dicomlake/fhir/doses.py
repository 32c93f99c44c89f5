"""Doses as observations, after the guide Radiation Dose Summary: one per document and per event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dicomlake.fhir.codes import DOSE, EVENT, dcm
from dicomlake.fhir.model import Component, Json, Measurement, Summary
from dicomlake.fhir.parts import RADIATION
from dicomlake.fhir.sites import resource_id
from dicomlake.fhir.statements import Context, side_of
from dicomlake.fhir.values import coding, line, moment, oid, quantity, uid, unsigned

if TYPE_CHECKING:
    from dicomlake.fhir.mapping import Given

Row = Mapping[str, Any]
Rows = Sequence[Row]

DOCUMENTS = ("RDSR", "enhanced SR")
"""Sources of doses that are documents of their own."""
# Column, concept, unit.
_TOTALS = (
    ("DLP", dcm("113813", "CT Dose Length Product Total"), "mGy.cm"),
    ("DAP", dcm("113722", "Dose Area Product Total"), "Gy.m2"),
    ("RP", dcm("113725", "Dose (RP) Total"), "mGy"),
    ("AGD", dcm("111637", "Accumulated Average Glandular Dose"), "mGy"),
    ("activity", dcm("113507", "Administered activity"), "MBq"),
    ("fluoro_time", dcm("113730", "Total Fluoro Time"), "s"),
)
_EVENTS = (
    ("CTDIvol", dcm("113830", "Mean CTDIvol"), "mGy"),
    ("DLP", dcm("113838", "DLP"), "mGy.cm"),
    ("DAP", dcm("122130", "Dose Area Product"), "Gy.m2"),
    ("RP", dcm("113738", "Dose (RP)"), "mGy"),
    ("AGD", dcm("111631", "Average Glandular Dose"), "mGy"),
    ("activity", dcm("113507", "Administered activity"), "MBq"),
)
_COUNT = dcm("113812", "Total Number of Irradiation Events")


PROFILE = f"{RADIATION}/StructureDefinition/radiation-dose-summary"
_NAME, _ROLE, _AUTHORISING = "DCM:113870", "DCM:113875", "DCM:113850"
_STARTS = ("DCM:113809", "DCM:111526", "DCM:123003")
CONCEPTS = (*_STARTS, _NAME, _ROLE)
"""Items of documents that say when irradiation began, and who took part in what role."""


def of_series(context: Context, row: Row, given: Given) -> Iterator[Measurement]:
    """Doses that the documents of a series tell."""
    number = row["series_id"]
    members: dict[str, list[str]] = {}
    for event in given.dose_events.get(number, ()):
        if event["source"] not in DOCUMENTS or not event["counted"]:
            continue
        if made := _event(context, row, event):
            members.setdefault(event["SOPInstanceUID"], []).append(made.id)
            yield made
    stated = [one for one in given.dose_totals.get(number, ()) if one["source"] in DOCUMENTS]
    for name, rows in groupby(stated, key=lambda one: one["SOPInstanceUID"]):
        items = [item for item in given.items.get(number, ()) if item["SOPInstanceUID"] == name]
        if made := _total(context, row, name, list(rows), members.get(name, ()), items):
            yield made


def _total(
    context: Context, row: Row, name: str, rows: Rows, members: Sequence[str], items: Rows
) -> Measurement | None:
    object_ = uid(name)
    parts = [part for one in rows for part in _parts(one, _TOTALS)]
    counts = {one["events"] for one in rows if unsigned(one["events"]) is not None}
    if len(counts) == 1:
        parts.append(Component(_COUNT, whole=counts.pop()))
    if object_ is None or not parts:
        return None
    effective = _begun(context, items) or context.started
    # The guide is of R4; that of MII lets partOf name procedures alone.
    claims = context.release == "R4" and context.site.profile != "mii" and effective is not None
    return Measurement(
        id=resource_id(context.site, "Observation", f"{object_}|dose"),
        identifier=("urn:dicom:uid", oid(object_)),
        code=DOSE,
        patient=context.patient,
        study=context.study,
        effective=effective,
        components=tuple(parts),
        members=tuple(members),
        series=uid(row["SeriesInstanceUID"]),
        object=object_,
        profiles=(PROFILE,) if claims else (),
        summary=_summary(context, row, parts, items) if claims else None,
    )


def _summary(context: Context, row: Row, parts: Iterable[Component], items: Rows) -> Summary:
    by = _authorised(items)
    told = context.site.people
    return Summary(
        study=context.uid,
        words="; ".join(map(_words, parts)),
        accession=line(row["AccessionNumber"]),
        by=by if told else None,
        why="masked" if by and not told else "unknown",
    )


def _words(part: Component) -> str:
    """A component in words: Dose Area Product Total 0.00024126 Gy.m2."""
    said = part.quantity
    number = f"{said['value']} {said['unit']}" if said else f"{part.whole}"
    return f"{part.code['text']} {number}"


def _authorised(items: Rows) -> str | None:
    """Who authorised the irradiation, as the document names them (PS3.16 TID 1020)."""
    authors = {i["parent"] for i in items if i["concept"] == _ROLE and i["code"] == _AUTHORISING}
    names = (line(i["text"]) for i in items if i["concept"] == _NAME and i["item"] in authors)
    return next((" ".join(name.replace("^", " ").split()) for name in names if name), None)


def _begun(context: Context, items: Rows) -> str | None:
    """When irradiation began: the earliest moment that the document says of it."""
    said = (item["text"] or "" for item in items if item["concept"] in _STARTS)
    return min(filter(None, (_moment(context, text.strip()) for text in said)), default=None)


_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(\d{2,6}(?:\.\d+)?)?([+-]\d{4})?", re.ASCII)


def _moment(context: Context, text: str) -> str | None:
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return moment(day, match[4], match[5] or context.offset, context.site.zone)


def _event(context: Context, row: Row, event: Row) -> Measurement | None:
    name = uid(event["event_uid"])
    parts = list(_parts(event, _EVENTS))
    if name is None or not parts:
        return None
    object_ = uid(event["SOPInstanceUID"])
    return Measurement(
        id=resource_id(context.site, "Observation", f"{name}|{event['plane'] or ''}|dose event"),
        identifier=("urn:dicom:uid", oid(name)),
        code=EVENT,
        patient=context.patient,
        study=context.study,
        effective=context.started,
        site=_region(event),
        components=tuple(parts),
        series=uid(row["SeriesInstanceUID"]),
        object=object_,
    )


def _region(event: Row) -> Json | None:
    found = coding(event["region_value"], event["region_scheme"], event["region_meaning"])
    return {"coding": [found]} if found else None


def _parts(row: Row, wanted: Sequence[tuple[str, Json, str]]) -> Iterator[Component]:
    """Doses of a row; those of one of several planes or sides say in words of which."""
    side = side_of(row["laterality"])
    of = [f"plane {row['plane']}"] if row["plane"] in ("A", "B") else []
    of += [side.meaning.lower()] if side else []
    for column, code, unit in wanted:
        value = row.get(column)
        if value and value > 0 and (said := quantity(value, unit)):
            words = f"{code['text']} ({', '.join(of)})" if of else code["text"]
            yield Component({**code, "text": words}, quantity=said)
