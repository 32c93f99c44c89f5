"""Documents of studies: structured reports with what they measure, and encapsulated documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dicomlake.fhir import codes
from dicomlake.fhir.model import Json, Measurement, Report, Thing
from dicomlake.fhir.sites import resource_id
from dicomlake.fhir.statements import Context, side_of
from dicomlake.fhir.values import coding, concept, line, moment, oid, prose, quantity, uid

if TYPE_CHECKING:
    from dicomlake.fhir.mapping import Given

Row = Mapping[str, Any]
Rows = Sequence[Row]

ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
"""Beginning of the SOP classes of encapsulated documents."""
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_OTHERS = tuple(_REPORTS + end for end in ("40", "59", "67", "68", "73"))
"""Logs, selections of objects and doses: structured, and no reports."""
MEASURED = "1500"
"""The template of reports whose measurements become observations (PS3.16 TID 1500)."""
CONCLUSIONS = ("DCM:121073", "DCM:121077", "LN:19005-8")
"""Concepts of texts that conclude a report: impression and conclusion."""
_GROUP = "DCM:125007"


def of_series(context: Context, row: Row, given: Given) -> Iterator[Thing]:
    """Reports and measurements of a series."""
    kind, number = row["SOPClassUID"] or "", row["series_id"]
    if kind.startswith(ENCAPSULATED):
        for one in given.instances.get(number, ()):
            if made := _encapsulated(context, row, one, given.elements.get(number, {})):
                yield made
    elif kind.startswith(_REPORTS) and kind not in _OTHERS:
        objects: dict[str, list[Row]] = {}
        for item in given.items.get(number, ()):
            objects.setdefault(item["SOPInstanceUID"], []).append(item)
        for name, items in objects.items():
            yield from _report(context, row, name, items)


def _encapsulated(
    context: Context, row: Row, one: Row, elements: Mapping[str, Rows]
) -> Report | None:
    name, kind = uid(one["SOPInstanceUID"]), uid(one["SOPClassUID"])
    if name is None or kind is None:
        return None
    title = _text(elements, "DocumentTitle")
    mime = _text(elements, "MIMETypeOfEncapsulatedDocument") or ""
    return Report(
        id=resource_id(context.site, "DocumentReference", name),
        uid=name,
        patient=context.patient,
        study=context.study,
        series=row["SeriesInstanceUID"],
        sop_class=kind,
        code=_kind(elements) or codes.REPORT,
        issued=_issued(context, row),
        title=title,
        mime=mime if _is_mime(mime) else "application/octet-stream",
        address=_address(context, row, name, "/rendered"),
    )


def _is_mime(text: str) -> bool:
    first, slash, second = text.partition("/")
    return bool(first and slash and second) and " " not in text and text != "application/dicom"


def _text(elements: Mapping[str, Rows], path: str) -> str | None:
    return next((text for row in elements.get(path, ()) if (text := line(row["text"]))), None)


def _kind(elements: Mapping[str, Rows]) -> Json | None:
    for row in elements.get("ConceptNameCodeSequence", ()):
        if said := concept(row["code_value"], row["code_scheme"], row["code_meaning"]):
            return said
    return None


def _issued(context: Context, row: Row) -> str | None:
    """When a document was made, where its zone is known: an instant has one."""
    made = moment(row["ContentDate"], row["ContentTime"], context.offset, context.site.zone)
    return made if made and "T" in made else None


def _address(context: Context, row: Row, name: str, form: str = "") -> str | None:
    base = context.site.base.rstrip("/")
    if not base:
        return None
    series = row["SeriesInstanceUID"]
    return f"{base}/studies/{context.uid}/series/{series}/instances/{name}{form}"


def _report(context: Context, row: Row, name: str, items: Rows) -> Iterator[Thing]:
    object_ = uid(name)
    root = next((item for item in items if item["parent"] is None), None)
    if object_ is None or root is None:
        return
    measured = list(_measured(context, row, object_, items))
    yield from measured
    held = {member for one in measured for member in one.members}
    said = [item for item in items if item["concept"] in CONCLUSIONS]
    yield Report(
        id=resource_id(context.site, "DiagnosticReport", object_),
        uid=object_,
        patient=context.patient,
        study=context.study,
        series=row["SeriesInstanceUID"],
        sop_class=row["SOPClassUID"],
        code=_titled(root),
        status=_status(row),
        effective=context.started,
        issued=_issued(context, row),
        title=line(root["concept_meaning"]),
        address=_address(context, row, object_),
        conclusion="\n\n".join(text for item in said if (text := prose(item["text"]))) or None,
        results=tuple(one.id for one in measured if one.id not in held),
    )


def _titled(root: Row) -> Json:
    """What a report is: a code always, a diagnostic imaging study where it has none."""
    told = concept(root["concept_value"], root["concept_scheme"], root["concept_meaning"])
    if told is None:
        return codes.REPORT
    return told if "coding" in told else {**codes.REPORT, "text": told["text"]}


def _observed(row: Row) -> str:
    """The same of an observation, which is never partial."""
    return "final" if _status(row) == "final" else "preliminary"


def _status(row: Row) -> str:
    if row["CompletionFlag"] == "PARTIAL":
        return "partial"
    return "final" if row["VerificationFlag"] == "VERIFIED" else "preliminary"


def _measured(context: Context, row: Row, object_: str, items: Rows) -> Iterator[Measurement]:
    """Measurements of a report after TID 1500, then the groups that hold them together."""
    groups: dict[int, list[str]] = {}
    for item in items:
        if item["value_type"] == "NUM" and (made := _number(context, row, object_, item)):
            groups.setdefault(item["parent"] or 0, []).append(made.id)
            yield made
    for item in items:
        members = groups.get(item["item"], ())
        if item["concept"] == _GROUP and members and item["value_type"] == "CONTAINER":
            name = f"{object_}|{item['item']}"
            finding = next((_stated(i["finding"]) for i in items if i["parent"] == item["item"]
                            and i["finding"]), None)  # fmt: skip
            yield Measurement(
                id=resource_id(context.site, "Observation", name),
                identifier=_named(item, name),
                code=codes.GROUP,
                category="findings" if context.site.profile == "mii" else "",
                patient=context.patient,
                study=context.study,
                status=_observed(row),
                effective=context.started,
                concept=finding,
                members=tuple(members),
                series=uid(row["SeriesInstanceUID"]),
                object=object_,
            )


def _named(item: Row, name: str) -> tuple[str, str]:
    known = uid(item["observation"])
    return ("urn:dicom:uid", oid(known)) if known else ("urn:dicomlake:content-item", name)


def _number(context: Context, row: Row, object_: str, item: Row) -> Measurement | None:
    """A NUM; None without a number, a concept with a public code, or a unit of UCUM."""
    code = coding(item["concept_value"], item["concept_scheme"], item["concept_meaning"])
    scheme, _, unit = (item["unit"] or "").partition(":")
    value = quantity(item["number"], unit, line(item["unit_meaning"]) or unit)
    if code is None or value is None or scheme != "UCUM" or not unit:
        return None
    name = f"{object_}|{item['item']}"
    return Measurement(
        id=resource_id(context.site, "Observation", name),
        identifier=_named(item, name),
        code={"coding": [code]},
        category="findings" if context.site.profile == "mii" else "",
        patient=context.patient,
        study=context.study,
        status=_observed(row),
        effective=context.started,
        quantity=value,
        site=_stated(item["site"]),
        side=side_of(item["laterality"]),
        series=uid(row["SeriesInstanceUID"]),
        object=object_,
    )


def _stated(code: str | None) -> Json | None:
    """A code of a column that has no words of its own."""
    scheme, _, value = (code or "").partition(":")
    found = coding(value, scheme, None)
    return {"coding": [found]} if found else None
