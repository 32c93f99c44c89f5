"""Rows of the tables to things of the model: what hangs on one study.

Rows are dicts by column. What is the same in every release is decided here; `r4` and `r5` write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from dicomlake.fhir import documents, doses, mii, selections, statements
from dicomlake.fhir.codes import HEIGHT, WEIGHT
from dicomlake.fhir.model import (
    Body,
    Door,
    Instance,
    Json,
    Machine,
    Measurement,
    Person,
    Series,
    Study,
    Thing,
)
from dicomlake.fhir.sites import Release, Site, resource_id
from dicomlake.fhir.values import (
    MODALITIES,
    concept,
    line,
    moment,
    prose,
    quantity,
    uid,
    unsigned,
)
from dicomlake.terms import Code, bodyparts

Row = Mapping[str, Any]
Rows = Sequence[Row]

PATHS = """TimezoneOffsetFromUTC AnatomicRegionSequence
    AnatomicRegionSequence.AnatomicRegionModifierSequence ProcedureCodeSequence
    RequestAttributesSequence.ReasonForTheRequestedProcedure ReasonForTheRequestedProcedure
    RequestAttributesSequence.ReasonForRequestedProcedureCodeSequence
    ReasonForRequestedProcedureCodeSequence IssuerOfAccessionNumberSequence.LocalNamespaceEntityID
    DocumentTitle MIMETypeOfEncapsulatedDocument ConceptNameCodeSequence
    RadiopharmaceuticalInformationSequence.RadiopharmaceuticalCodeSequence
    RadiopharmaceuticalInformationSequence.RadionuclideCodeSequence
    RadiopharmaceuticalInformationSequence.Radiopharmaceutical
    RadiopharmaceuticalInformationSequence.RadionuclideTotalDose
    RadiopharmaceuticalInformationSequence.RadionuclideHalfLife""".split()
"""Paths of `elements` that resources are made of."""
COLUMNS = """series_id instances varying StudyInstanceUID StudyDate StudyTime StudyDescription
    AccessionNumber ReferringPhysicianName PatientSize PatientWeight InstitutionalDepartmentName
    SeriesInstanceUID Modality SeriesNumber SeriesDate SeriesTime SeriesDescription BodyPartExamined
    Laterality ImageLaterality OperatorsName SOPClassUID ContentDate ContentTime ContrastBolusAgent
    SliceThickness CTDIvol KVP ExposureTime Exposure XRayTubeCurrent ConvolutionKernel
    MagneticFieldStrength EchoTime RepetitionTime InversionTime FlipAngle ScanningSequence
    SequenceVariant ViewPosition Units CompletionFlag VerificationFlag NumberOfFrames""".split()
"""Columns of `series` that resources are made of."""


@dataclass(frozen=True, slots=True)
class Given:
    """Rows of a study: of `series` in their order, others by series_id (elements also by path).

    `patient` is the key of its patient, `machines` those of devices by series_id.
    """

    patient: str
    series: Rows
    machines: Mapping[int, str] = field(default_factory=dict)
    elements: Mapping[int, Mapping[str, Rows]] = field(default_factory=dict)
    instances: Mapping[int, Rows] = field(default_factory=dict)
    items: Mapping[int, Rows] = field(default_factory=dict)
    dose_events: Mapping[int, Rows] = field(default_factory=dict)
    dose_totals: Mapping[int, Rows] = field(default_factory=dict)
    annotations: Mapping[int, Rows] = field(default_factory=dict)
    enrichments: Mapping[int, Rows] = field(default_factory=dict)
    segments: Mapping[int, Rows] = field(default_factory=dict)


def things(site: Site, release: Release, given: Given) -> Iterator[Thing]:
    """What hangs on a study: first what others point at. Nothing where its UID is none."""
    rows = [row for row in given.series if uid(row["SeriesInstanceUID"])]
    first = rows[0] if rows else None
    if first is None or not uid(first["StudyInstanceUID"]):
        return
    context = _context(site, release, given, rows)
    bodies: dict[int, str] = {}
    for row in rows:
        about = statements.of_series(context, row, given.annotations, given.enrichments)
        for thing in about:
            if isinstance(thing, Body):
                bodies.setdefault(row["series_id"], thing.id)
            context.later.append(thing)
    measures = list(_measures(context, rows))
    yield _study(context, given, rows, bodies, measures)
    yield from measures
    yield from context.later
    for row in rows:
        yield from doses.of_series(context, row, given)
        yield from documents.of_series(context, row, given)
        yield from selections.of_series(context, row, given.segments)


def _context(site: Site, release: Release, given: Given, rows: Rows) -> statements.Context:
    study = str(uid(rows[0]["StudyInstanceUID"]))
    offsets = [
        found
        for row in rows
        if (found := _said(given.elements.get(row["series_id"], {}), "TimezoneOffsetFromUTC"))
    ]
    starts = [
        start
        for row in rows
        if (start := moment(row["StudyDate"], row["StudyTime"], _first(offsets), site.zone))
    ]
    return statements.Context(
        site,
        release,
        study=resource_id(site, "ImagingStudy", study),
        uid=study,
        patient=resource_id(site, "Patient", given.patient),
        started=min(starts, default=None),
        offset=_first(offsets),
    )


def _first(values: Sequence[str]) -> str | None:
    return values[0] if values else None


def _said(elements: Mapping[str, Rows], *paths: str) -> str | None:
    """The first text at some paths."""
    for path in paths:
        for row in elements.get(path, ()):
            if text := line(row["text"]):
                return text
    return None


# The study


def _study(
    context: statements.Context,
    given: Given,
    rows: Rows,
    bodies: Mapping[int, str],
    measures: Sequence[Measurement],
) -> Study:
    site = context.site
    elements = [given.elements.get(row["series_id"], {}) for row in rows]
    reasons = _concepts(elements, *_REASON_CODES)
    reason = next((r for one in elements if (r := _said(one, *_REASONS))), None)
    if reason and not reasons:
        reasons = ({"text": reason},)
    mine = site.profile == "mii" and context.release == "R4"
    more = [mii.reason(reason)] if mine and reason else []
    more += [
        mii.body_measure("groesse" if one.code is HEIGHT else "gewicht", one.id)
        for one in measures
        if mine
    ]
    return Study(
        id=context.study,
        uid=context.uid,
        patient=context.patient,
        accession=_accession(site, rows, elements),
        started=context.started,
        description=_one(rows, "StudyDescription"),
        procedures=_concepts(elements, "ProcedureCodeSequence"),
        reasons=reasons,
        referrer=_one(rows, "ReferringPhysicianName") if site.people else None,
        department=_one(rows, "InstitutionalDepartmentName"),
        door=door(site).id if site.base else None,
        instances=sum(row["instances"] or 0 for row in rows),
        series=tuple(_series(context, given, row, bodies) for row in rows),
        more=tuple(more),
    )


_REASONS = (
    "RequestAttributesSequence.ReasonForTheRequestedProcedure", "ReasonForTheRequestedProcedure",
)  # fmt: skip
_REASON_CODES = (
    "RequestAttributesSequence.ReasonForRequestedProcedureCodeSequence",
    "ReasonForRequestedProcedureCodeSequence",
)


def _one(rows: Rows, keyword: str) -> str | None:
    """The first text of an attribute of a study."""
    return next((text for row in rows if (text := line(row[keyword]))), None)


def _concepts(elements: Sequence[Mapping[str, Rows]], *paths: str) -> tuple[Json, ...]:
    """Different codes at some paths, in order."""
    found: dict[bytes, Json] = {}
    for one in elements:
        for path in paths:
            for row in one.get(path, ()):
                said = concept(row["code_value"], row["code_scheme"], row["code_meaning"])
                if said is not None:
                    found.setdefault(orjson.dumps(said), said)
    return tuple(found.values())


def _accession(
    site: Site, rows: Rows, elements: Sequence[Mapping[str, Rows]]
) -> tuple[str, str] | None:
    number = _one(rows, "AccessionNumber")
    if number is None:
        return None
    path = "IssuerOfAccessionNumberSequence.LocalNamespaceEntityID"
    issuer = next((text for one in elements if (text := _said(one, path))), "")
    return site.accession_system(issuer), number


def door(site: Site) -> Door:
    """The DICOMweb service of a site."""
    return Door(resource_id(site, "Endpoint", site.base), site.base)


# Series


def _series(
    context: statements.Context, given: Given, row: Row, bodies: Mapping[int, str]
) -> Series:
    site, number = context.site, row["series_id"]
    elements = given.elements.get(number, {})
    region, side = _body_site(row, elements, given.annotations.get(number, ()))
    machine = given.machines.get(number)
    mine = site.profile == "mii" and context.release == "R4"
    modality = modality_of(row["Modality"])
    return Series(
        uid=str(uid(row["SeriesInstanceUID"])),
        modality=modality,
        number=unsigned(row["SeriesNumber"]),
        description=line(row["SeriesDescription"]),
        instances=unsigned(row["instances"]),
        started=_series_start(context, row),
        site=region,
        side=side,
        body=bodies.get(number) if context.release == "R5" else None,
        device=resource_id(site, "Device", machine) if machine else None,
        operators=_operators(row) if site.people and site.profile != "mii" else (),
        objects=_objects(modality, given.instances.get(number, ()), mine) if site.instances else (),
        more=tuple(mii.of_series(row, elements)) if mine else (),
    )


def modality_of(value: str | None) -> str:
    """A modality of PS3.16 CID 33: OT where it is none of them.

    >>> modality_of("CT"), modality_of("ct "), modality_of("FOO"), modality_of(None)
    ('CT', 'CT', 'OT', 'OT')
    """
    found = (value or "").strip().upper()
    return found if found in MODALITIES else "OT"


def _series_start(context: statements.Context, row: Row) -> str | None:
    """When a series began; what is before its study is a mistake, and left out."""
    made = moment(row["SeriesDate"], row["SeriesTime"], context.offset, context.site.zone)
    begun = context.started
    if made is None or begun is None:
        return made or _needed(context)
    length = min(len(made), len(begun), 19)
    return made if made[:length] >= begun[:length] else _needed(context)


def _needed(context: statements.Context) -> str | None:
    """The start of the study, where a profile wants one of each series."""
    return context.started if context.site.profile == "impetus" else None


def _operators(row: Row) -> tuple[str, ...]:
    return tuple(name for one in row["OperatorsName"] or () if (name := line(one)))


def _objects(modality: str, rows: Rows, mine: bool) -> tuple[Instance, ...]:
    made = []
    for row in rows:
        name, kind = uid(row["SOPInstanceUID"]), uid(row["SOPClassUID"])
        if name is None or kind is None:
            continue
        header = _keywords(row["header"]) if mine else {}
        made.append(
            Instance(
                name,
                kind,
                unsigned(row["InstanceNumber"]),
                frames=unsigned(row["NumberOfFrames"]),
                more=mii.of_instance(modality, header) if mine else (),
            )
        )
    return tuple(made)


_TAGS = {
    "00280030": "PixelSpacing", "00180050": "SliceThickness", "00080008": "ImageType",
    "00280301": "BurnedInAnnotation",
}  # fmt: skip


def _keywords(header: str | None) -> dict[str, list[Any]]:
    """Values of some attributes of a header in DICOM JSON, numbers as numbers."""
    told = orjson.loads(header) if header else {}
    found: dict[str, list[Any]] = {}
    for tag, keyword in _TAGS.items():
        values = (told.get(tag) or {}).get("Value") or []
        number = keyword in ("PixelSpacing", "SliceThickness")
        found[keyword] = [_number(value) if number else value for value in values]
    return found


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


# Where in the body


def _body_site(
    row: Row, elements: Mapping[str, Rows], annotations: Rows
) -> tuple[Code | None, Code | None]:
    """Region and side of a series: as an enricher states them, else as the header does."""
    stated = [one for one in annotations if one["kind"] == "body part" and _coded(one["structure"])]
    if stated:
        best = max(stated, key=lambda one: (one["confidence"] or 0.0, one["structure"]))
        value = best["structure"].partition(":")[2]
        region = Code(value, "SCT", line(best["structure_meaning"]) or _meaning(value))
        return region, _paired(value, statements.side_of(best["laterality"]))
    return _judged(
        line(row["BodyPartExamined"]) or "",
        line(row["Laterality"]) or "",
        line(row["ImageLaterality"]) or "",
        _codes(elements, "AnatomicRegionSequence"),
        _codes(elements, "AnatomicRegionSequence.AnatomicRegionModifierSequence"),
    )


def _coded(structure: str | None) -> bool:
    return structure is not None and structure.startswith("SCT:")


def _meaning(value: str) -> str:
    return bodyparts.load().code(value).meaning or value


def _paired(value: str, side: Code | None) -> Code | None:
    region = bodyparts.load().regions.get(value)
    return side if region is None or region.paired else None


def _codes(elements: Mapping[str, Rows], path: str) -> tuple[Code, ...]:
    return tuple(
        Code(row["code_value"], row["code_scheme"] or "", row["code_meaning"] or "")
        for row in elements.get(path, ())
        if row["code_value"]
    )


@lru_cache(maxsize=16384)
def _judged(
    examined: str,
    laterality: str,
    image: str,
    regions: tuple[Code, ...],
    modifiers: tuple[Code, ...],
) -> tuple[Code | None, Code | None]:
    if not examined and not regions:
        return None, None
    found = bodyparts.of(
        bodyparts.Evidence(
            BodyPartExamined=examined,
            Laterality=laterality,
            ImageLaterality=image,
            AnatomicRegionSequence=regions,
            AnatomicRegionModifierSequence=modifiers,
        )
    )
    if not found or found[0].confidence < bodyparts.SURE:
        return None, None
    return found[0].code, _paired(found[0].code.value, found[0].laterality)


# Height and weight


def _measures(context: statements.Context, rows: Rows) -> Iterator[Measurement]:
    """Height and weight, one of each per study, where they can be those of a person."""
    if context.started is None:
        return
    for code, keyword, unit, factor, low, high in (
        (HEIGHT, "PatientSize", "cm", 100.0, 20.0, 280.0),
        (WEIGHT, "PatientWeight", "kg", 1.0, 0.2, 700.0),
    ):
        values = [row[keyword] * factor for row in rows if row[keyword]]
        value = next((value for value in values if low <= value <= high), None)
        if value is not None:
            yield Measurement(
                id=resource_id(context.site, "Observation", f"{context.uid}|{keyword}"),
                identifier=("urn:dicomlake:measurement", f"{context.uid}|{keyword}"),
                code=code,
                category="vital-signs",
                patient=context.patient,
                study=context.study,
                effective=context.started,
                quantity=quantity(value, unit),
            )


# Patients and devices


def person(site: Site, key: str, row: Row) -> Person:
    """A patient, as the newest series of theirs tells."""
    value, issuer = line(row["PatientID"]), line(row["IssuerOfPatientID"]) or ""
    birth = row["PatientBirthDate"]
    return Person(
        id=resource_id(site, "Patient", key),
        system=site.patient_system(issuer) if value else "",
        value=value or "",
        gender=_GENDERS.get((row["PatientSex"] or "").strip().upper(), "unknown"),
        birth=birth.isoformat() if birth and site.names and site.profile != "impetus" else None,
        names=names(row["PatientName"]) if site.names and site.profile != "impetus" else (),
    )


_GENDERS = {"M": "male", "F": "female", "O": "other"}
_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def names(value: str | None) -> tuple[Json, ...]:
    """A Person Name of DICOM (PS3.5 6.2.1) as HumanName, one per group of components.

    >>> names("Yamada^Tarou=山田^太郎")[0]
    {'family': 'Yamada', 'given': ['Tarou']}
    >>> names("Adams^John Robert Quincy^^Rev.^B.A. M.Div.")
    ({'family': 'Adams', 'given': ['John Robert Quincy'], 'prefix': ['Rev.'], \
'suffix': ['B.A. M.Div.']},)
    """
    made = []
    for kind, group in zip(("ABC", "IDE", "SYL"), (value or "").split("="), strict=False):
        parts = [line(part) for part in (*group.split("^"), "", "", "", "")][:5]
        family, given, middle, prefix, suffix = parts
        told: Json = {
            "family": family,
            "given": [one for one in (given, middle) if one],
            "prefix": [prefix] if prefix else None,
            "suffix": [suffix] if suffix else None,
        }
        told = {name: said for name, said in told.items() if said}
        if told and kind != "ABC":
            told = {"extension": [{"url": _REPRESENTATION, "valueCode": kind}], **told}
        if told:
            made.append(told)
    return tuple(made)


def machine(site: Site, key: str, row: Row) -> Machine:
    """A device, as the newest series of it tells."""
    return Machine(
        id=resource_id(site, "Device", key),
        uid=uid(row["DeviceUID"]),
        udi=line(row["udi"]),
        manufacturer=line(row["Manufacturer"]),
        model=line(row["ManufacturerModelName"]),
        serial=line(row["DeviceSerialNumber"]),
        station=line(row["StationName"]),
        institution=line(row["InstitutionName"]),
        versions=tuple(
            dict.fromkeys(said for one in row["SoftwareVersions"] or () if (said := line(one)))
        ),
    )


__all__ = ["COLUMNS", "PATHS", "Given", "door", "machine", "person", "prose", "things"]
