"""Doses as observations, after the guide Radiation Dose Summary: one per document and per event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from dicomlake.fhir.codes import DOSE, EVENT, dcm
from dicomlake.fhir.model import Component, Json, Measurement
from dicomlake.fhir.sites import resource_id
from dicomlake.fhir.statements import Context, side_of
from dicomlake.fhir.values import coding, oid, quantity, uid, unsigned

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


def of_series(
    context: Context, row: Row, totals: Mapping[int, Rows], events: Mapping[int, Rows]
) -> Iterator[Measurement]:
    """Doses that the documents of a series tell."""
    number = row["series_id"]
    members: dict[str, list[str]] = {}
    for event in events.get(number, ()):
        if event["source"] not in DOCUMENTS or not event["counted"]:
            continue
        if made := _event(context, row, event):
            members.setdefault(event["SOPInstanceUID"], []).append(made.id)
            yield made
    stated = [one for one in totals.get(number, ()) if one["source"] in DOCUMENTS]
    for name, rows in groupby(stated, key=lambda one: one["SOPInstanceUID"]):
        if made := _total(context, row, name, list(rows), members.get(name, ())):
            yield made


def _total(
    context: Context, row: Row, name: str, rows: Rows, members: Sequence[str]
) -> Measurement | None:
    object_ = uid(name)
    parts = [part for one in rows for part in _parts(one, _TOTALS)]
    counts = {one["events"] for one in rows if unsigned(one["events"]) is not None}
    if len(counts) == 1:
        parts.append(Component(_COUNT, whole=counts.pop()))
    if object_ is None or not parts:
        return None
    return Measurement(
        id=resource_id(context.site, "Observation", f"{object_}|dose"),
        identifier=("urn:dicom:uid", oid(object_)),
        code=DOSE,
        patient=context.patient,
        study=context.study,
        effective=context.started,
        components=tuple(parts),
        members=tuple(members),
        series=uid(row["SeriesInstanceUID"]),
        object=object_,
    )


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
