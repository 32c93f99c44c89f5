"""What enrichers state of series: structures, their volumes, and where all that comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomlake.fhir import codes
from dicomlake.fhir.model import (
    Body,
    Component,
    Json,
    Measurement,
    Origin,
    Part,
    Software,
    Thing,
)
from dicomlake.fhir.sites import Release, Site, resource_id
from dicomlake.fhir.values import coding, instant, line, quantity, uid
from dicomlake.terms import Code

Row = Mapping[str, Any]
Rows = Sequence[Row]

KINDS = ("structure", "tissue")
"""Kinds of annotations that are parts of a body."""
_SIDES = {
    "SCT:7771000": Code("7771000", "SCT", "Left"),
    "SCT:24028007": Code("24028007", "SCT", "Right"),
    "SCT:51440002": Code("51440002", "SCT", "Bilateral"),
    "SCT:66459002": Code("66459002", "SCT", "Unilateral"),
}
# PS3.16 has the code; where one of SNOMED CT would have to be a finding, it stands for Volume.
_IBSI_VOLUME = codes.of("YEKZ", "urn:oid:1.2.840.10008.2.16.13", "Volume from Voxel Summation")


@dataclass(frozen=True, slots=True)
class Context:
    """What everything about a study shares: ids of it and its patient, its start and offset."""

    site: Site
    release: Release
    study: str
    uid: str
    patient: str
    started: str | None
    offset: str | None
    later: list[Thing] = field(default_factory=list)


def side_of(laterality: str | None) -> Code | None:
    """The side of a column `laterality`."""
    return _SIDES.get(laterality or "")


def of_series(
    context: Context,
    row: Row,
    annotations: Mapping[int, Rows],
    enrichments: Mapping[int, Rows],
) -> Iterator[Thing]:
    """Programs, structures, volumes and provenance of a series."""
    stated = annotations.get(row["series_id"], ())
    for run in enrichments.get(row["series_id"], ()):
        ours = [one for one in stated if one["enrichment_id"] == run["enrichment_id"]]
        if run["state"] == "done" and ours:
            yield from _of_run(context, row, run, ours)


def software(site: Site, run: Row) -> Software:
    """The program of an enrichment."""
    name, version, model = (line(run[n]) or "" for n in ("enricher", "version", "model"))
    key = f"software|{name}|{version}|{model}"
    return Software(resource_id(site, "Device", key), name, version, model)


def _of_run(context: Context, row: Row, run: Row, stated: Rows) -> Iterator[Thing]:
    site = context.site
    program = software(site, run)
    yield program
    key = f"{row['SeriesInstanceUID']}|{program.name}|{program.version}"
    parts = [one for one in stated if one["kind"] in KINDS and (one["label"] or one["name"])]
    bodies = list(_bodies(context, key, parts))
    yield from bodies
    at_once = context.release == "R5"
    volumes = []
    for number, one in enumerate(parts):
        body = bodies[0 if at_once else number]
        if made := _volume(context, row, key, one, body, program):
            volumes.append(made)
    yield from volumes
    recorded = instant(run["made"])
    if recorded is None:
        return
    targets = [f"BodyStructure/{body.id}" for body in bodies]
    if site.profile != "impetus":
        targets += [f"Observation/{one.id}" for one in volumes]
    yield Origin(
        resource_id(site, "Provenance", key),
        tuple(targets) or (f"ImagingStudy/{context.study}",),
        recorded,
        program.id,
        context.study,
        context.patient,
    )


def _bodies(context: Context, key: str, stated: Rows) -> Iterator[Body]:
    """One of each structure in R4, one of all in R5."""
    if context.release == "R5":
        if stated:
            yield _body(context, key, tuple(_part(one) for one in stated))
        return
    for one in stated:
        yield _body(context, f"{key}|{_label(one)}", (_part(one),), line(one["name"]))


def _body(context: Context, key: str, parts: tuple[Part, ...], text: str | None = None) -> Body:
    id_ = resource_id(context.site, "BodyStructure", key)
    return Body(id_, key, context.patient, parts, text)


def _label(one: Row) -> str:
    return line(one["label"]) or line(one["name"]) or ""


def _part(one: Row) -> Part:
    return Part(_structure(one), side_of(one["laterality"]), one["complete"] is False)


def _structure(one: Row) -> Json:
    """What a structure is: its code, the same in other codes, and words."""
    codings = []
    if one["structure_value"]:
        found = coding(one["structure_value"], one["structure_scheme"], one["structure_meaning"])
        codings = [found] if found else []
    for also in one["also"] or ():
        scheme, _, value = also.partition(":")
        if (found := coding(value, scheme, None)) and found not in codings:
            codings.append(found)
    made: Json = {"coding": codings} if codings else {}
    return {**made, "text": line(one["name"]) or _label(one)}


def _volume(
    context: Context, row: Row, key: str, one: Row, body: Body, program: Software
) -> Measurement | None:
    """The volume of a structure with its mean Hounsfield number; None where there is none."""
    if not one["volume"] or one["volume"] <= 0:
        return None
    site = context.site
    parts = []
    if row["Modality"] == "CT" and (mean := quantity(one["intensity"], "[hnsf'U]", "HU")):
        parts.append(Component(codes.DENSITY, quantity=mean))
    if one["complete"] is not None:
        whole = codes.own(site, "complete", "Whole structure in the field of view")
        parts.append(Component(whole, boolean=bool(one["complete"])))
    name = f"{key}|{_label(one)}|volume"
    code = _IBSI_VOLUME if site.profile == "mii" and context.release == "R4" else codes.VOLUME
    return Measurement(
        id=resource_id(site, "Observation", name),
        identifier=("urn:dicomlake:measurement", name),
        code=code,
        patient=context.patient,
        study=context.study,
        effective=context.started,
        quantity=quantity(one["volume"], "mL"),
        site=_structure(one),
        side=side_of(one["laterality"]),
        body=body.id,
        device=program.id,
        components=tuple(parts),
        series=uid(row["SeriesInstanceUID"]),
    )
