"""Structured reports: dose (TID 10001, 10011), measurements (TID 1500), text, key objects."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dicomlake.terms import Code
from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.codes import dcm, ucum
from dicomlake.testing.hospital.devices import devices_of
from dicomlake.testing.hospital.images import STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomlake.testing.dicom import Value
    from dicomlake.testing.hospital.study import Series, Study

BASIC_TEXT, ENHANCED_SR, COMPREHENSIVE_SR = STORAGE + "88.11", STORAGE + "88.22", STORAGE + "88.33"
KEY_OBJECTS, DOSE_SR = STORAGE + "88.59", STORAGE + "88.67"

Item = dict[str, "Value"]


def _item(kind: str, concept: Code | None, relation: str, children: Sequence[Item]) -> Item:
    item: Item = {"RelationshipType": relation, "ValueType": kind}
    if concept is not None:
        item["ConceptNameCodeSequence"] = concept
    if children:
        item["ContentSequence"] = list(children)
    return item


def container(concept: Code, *children: Item, template: str = "") -> Item:
    """A CONTAINER with its children, following a template of PS3.16 when one is named."""
    item = _item("CONTAINER", concept, "CONTAINS", children)
    item["ContinuityOfContent"] = "SEPARATE"
    if template:
        item["ContentTemplateSequence"] = [
            {"MappingResource": "DCMR", "TemplateIdentifier": template}
        ]
    return item


def number(
    concept: Code, value: float | str, unit: Code, *children: Item, relation: str = "CONTAINS"
) -> Item:
    """A NUM item: one measured value with its unit."""
    item = _item("NUM", concept, relation, children)
    item["MeasuredValueSequence"] = [{"NumericValue": value, "MeasurementUnitsCodeSequence": unit}]
    return item


def code(concept: Code, value: Code, *children: Item, relation: str = "CONTAINS") -> Item:
    """A CODE item."""
    return {**_item("CODE", concept, relation, children), "ConceptCodeSequence": value}


def text(concept: Code, value: str, *children: Item, relation: str = "CONTAINS") -> Item:
    """A TEXT item."""
    return {**_item("TEXT", concept, relation, children), "TextValue": value}


def uidref(concept: Code, value: str, relation: str = "CONTAINS") -> Item:
    """A UIDREF item."""
    return {**_item("UIDREF", concept, relation, ()), "UID": value}


def moment(concept: Code, value: Value, relation: str = "CONTAINS") -> Item:
    """A DATETIME item."""
    return {**_item("DATETIME", concept, relation, ()), "DateTime": value}


def person(concept: Code, value: str, relation: str = "HAS OBS CONTEXT") -> Item:
    """A PNAME item."""
    return {**_item("PNAME", concept, relation, ()), "PersonName": value}


def picture(sop_class: str, instance: str, relation: str = "CONTAINS") -> Item:
    """An IMAGE item without a concept name."""
    reference = {"ReferencedSOPClassUID": sop_class, "ReferencedSOPInstanceUID": instance}
    return {**_item("IMAGE", None, relation, ()), "ReferencedSOPSequence": [reference]}


def items_in(item: Item) -> int:
    """Number of content items of a tree, its root included.

    >>> items_in(container(c.FINDING, text(c.FINDING, "a"), text(c.FINDING, "b")))
    3
    """
    return 1 + sum(items_in(child) for child in item.get("ContentSequence", ()))


def _evidence(study: Study, series: Sequence[Series]) -> list[Item]:
    used = [
        {"SeriesInstanceUID": s.uid, "ReferencedSOPSequence": study.references(s)} for s in series
    ]
    return [{"StudyInstanceUID": study.uid, "ReferencedSeriesSequence": used}] if used else []


def _document(
    study: Study,
    sop_class: str,
    words: str,
    root: Item,
    *,
    modality: str = "SR",
    series: Series | None = None,
    about: Sequence[Series] = (),
    verified: bool = True,
    rows: dict[str, int] | None = None,
) -> Series:
    desk = devices_of(study.site, "SR")[0]
    series = series or study.open(modality, sop_class, words, device=desk, geometry=False)
    tree = {key: value for key, value in root.items() if key != "RelationshipType"}
    common: Item = {**tree, "ContentDate": study.when}
    if modality == "SR":
        common |= {
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "VERIFIED" if verified else "UNVERIFIED",
            "ReferencedPerformedProcedureStepSequence": [],
            "PerformedProcedureCodeSequence": [],
        }
        if verified:
            common["VerifyingObserverSequence"] = [
                {
                    "VerifyingOrganization": study.site.institution,
                    "VerificationDateTime": study.when,
                    "VerifyingObserverName": study.site.physicians[0],
                    "VerifyingObserverIdentificationCodeSequence": [],
                }
            ]
    if about:
        common["CurrentRequestedProcedureEvidenceSequence"] = _evidence(study, about)
    counts = Counter({"content items": items_in(root), **(rows or {})})
    study.write(series, common, counts=[counts])
    return series


_PERSON_OBSERVER = dcm("121006", "Person")
_DEVICE_OBSERVER = dcm("121007", "Device")
_LANGUAGE = {
    "de": Code("de", "RFC5646", "German"),
    "fr": Code("fr", "RFC5646", "French"),
    "en": Code("en", "RFC5646", "English"),
}


def _context(study: Study) -> list[Item]:
    tongue = _LANGUAGE[study.site.language]
    return [
        code(dcm("121049", "Language of Content Item and Descendants"), tongue,
             relation="HAS CONCEPT MOD"),
        code(dcm("121005", "Observer Type"), _PERSON_OBSERVER, relation="HAS OBS CONTEXT"),
        person(dcm("121008", "Person Observer Name"), study.site.physicians[0]),
    ]  # fmt: skip


def _device_context(series: Series) -> list[Item]:
    device = series.device
    serial = dcm("121016", "Device Observer Serial Number")
    place = dcm("121012", "Device Observer UID")
    return [
        code(dcm("121005", "Observer Type"), _DEVICE_OBSERVER, relation="HAS OBS CONTEXT"),
        uidref(place, uid("hospital device", device.serial), "HAS OBS CONTEXT"),
        text(dcm("121014", "Device Observer Manufacturer"), device.manufacturer,
             relation="HAS OBS CONTEXT"),
        text(dcm("121015", "Device Observer Model Name"), device.model, relation="HAS OBS CONTEXT"),
        text(serial, device.serial, relation="HAS OBS CONTEXT"),
    ]  # fmt: skip


_MM, _MGY, _MGYCM, _SECONDS = ucum("mm"), ucum("mGy"), ucum("mGy.cm"), ucum("s")
_GYM2, _GY, _KV, _MA = ucum("Gy.m2"), ucum("Gy"), ucum("kV"), ucum("mA")
_BODY_PHANTOM = dcm("113691", "IEC Body Dosimetry Phantom")
_HEAD_PHANTOM = dcm("113690", "IEC Head Dosimetry Phantom")


def ct_dose(study: Study) -> Series | None:
    """X-Ray Radiation Dose SR of the CT series (TID 10011): one event per acquisition."""
    events: dict[str, Series] = {}
    for image in study.series:
        if image.modality == "CT" and "event" in image.facts:
            events.setdefault(image.facts["event"], image)
    if not events:
        return None
    device = next(iter(events.values())).device
    series = study.open(
        "SR", DOSE_SR, "Dose Report", device=device, number=997, geometry=False,
        traits=("dose report",),
    )  # fmt: skip
    head = study.body_part == "HEAD"
    acquisitions, total = [], 0.0
    for event, image in events.items():
        dlp = round(image.facts["ctdi"] * image.facts["length"] / 10, 2)
        total += dlp
        acquisitions.append(_ct_event(study, image, event, dlp, head))
    # one device spells its unit and its scheme as old software does
    unit = Code("mGycm", "UCUM", "mGycm") if device.model.endswith("Flash") else _MGYCM
    root = container(
        dcm("113701", "X-Ray Radiation Dose Report"),
        code(dcm("121058", "Procedure reported"),
             c.sct("77477000", "Computed Tomography X-Ray"),
             code(c.HAS_INTENT, c.DIAGNOSTIC,
                  relation="HAS CONCEPT MOD"),
             relation="HAS CONCEPT MOD"),
        *_device_context(series),
        moment(dcm("113809", "Start of X-Ray Irradiation"), study.when, "HAS OBS CONTEXT"),
        code(dcm("113705", "Scope of Accumulation"), dcm("113014", "Study"),
             uidref(dcm("110180", "Study Instance UID"), study.uid, "HAS PROPERTIES"),
             relation="HAS OBS CONTEXT"),
        container(
            dcm("113811", "CT Accumulated Dose Data"),
            number(dcm("113812", "Total Number of Irradiation Events"), len(events),
                   ucum("{events}")),
            number(dcm("113813", "CT Dose Length Product Total"), f"{total:.2f}", unit),
        ),
        *acquisitions,
        code(dcm("113854", "Source of Dose Information"),
             dcm("113856", "Automated Data Collection")),
        template="10011",
    )  # fmt: skip
    series.facts = {"dlp": total}
    return _document(
        study, DOSE_SR, "Dose Report", root, series=series, verified=False,
        rows={"dose events": len(events)},
    )  # fmt: skip


def _ct_event(study: Study, image: Series, event: str, dlp: float, head: bool) -> Item:
    facts = image.facts
    return container(
        dcm("113819", "CT Acquisition"),
        text(dcm("125203", "Acquisition Protocol"), image.words),
        code(dcm("123014", "Target Region"), study.region),
        code(dcm("113820", "CT Acquisition Type"),
             c.sct("116152004", "Spiral Acquisition")),
        uidref(dcm("113769", "Irradiation Event UID"), event),
        container(
            dcm("113822", "CT Acquisition Parameters"),
            number(dcm("113824", "Exposure Time"), 6.4, _SECONDS),
            number(dcm("113825", "Scanning Length"), facts["length"], _MM),
            number(dcm("113826", "Nominal Single Collimation Width"), 0.6, _MM),
            number(dcm("113827", "Nominal Total Collimation Width"), 38.4, _MM),
            number(dcm("113828", "Pitch Factor"), 0.9, ucum("{ratio}")),
            number(dcm("113823", "Number of X-Ray Sources"), 1, ucum("{X-Ray sources}")),
            container(
                dcm("113831", "CT X-Ray Source Parameters"),
                text(dcm("113832", "Identification of the X-Ray Source"), "1"),
                number(dcm("113733", "KVP"), facts["kvp"], _KV),
                number(dcm("113833", "Maximum X-Ray Tube Current"), facts["mas"] * 2, _MA),
                number(dcm("113734", "X-Ray Tube Current"), facts["mas"], _MA),
                number(dcm("113834", "Exposure Time per Rotation"), 0.5, _SECONDS),
            ),
        ),
        container(
            dcm("113829", "CT Dose"),
            number(dcm("113830", "Mean CTDIvol"), facts["ctdi"], _MGY),
            code(dcm("113835", "CTDIw Phantom Type"), _HEAD_PHANTOM if head else _BODY_PHANTOM),
            number(dcm("113838", "DLP"), dlp, _MGYCM),
        ),
    )  # fmt: skip


def projection_dose(study: Study, runs: Sequence[Series]) -> Series:
    """X-Ray Radiation Dose SR of projection X-ray (TID 10001), mammography included."""
    device = runs[0].device
    breast = runs[0].modality == "MG"
    series = study.open(
        "SR", DOSE_SR, "Radiation Dose Information", device=device, number=998, geometry=False,
        traits=("dose report",),
    )  # fmt: skip
    events = [_projection_event(study, run, breast) for run in runs]
    plane = dcm("113764", "Acquisition Plane")
    single = dcm("113622", "Single Plane")
    if breast:
        sides: dict[str, float] = {}
        for run in runs:
            side = run.facts["side"]
            sides[side] = sides.get(side, 0) + run.facts["agd"]
        totals = [
            number(dcm("111637", "Accumulated Average Glandular Dose"), round(dose, 2), _MGY,
                   code(c.LATERALITY, c.LEFT if side == "L" else c.RIGHT,
                        relation="HAS CONCEPT MOD"))
            for side, dose in sides.items()
        ]  # fmt: skip
        procedure = c.sct("71651007", "Mammography")
    else:
        dap = sum(run.facts["dap"] for run in runs) * 1e-5  # dGy.cm2 to Gy.m2
        totals = [
            number(dcm("113722", "Dose Area Product Total"), f"{dap:.7f}", _GYM2),
            number(dcm("113725", "Dose (RP) Total"), f"{dap * 90:.5f}", _GY),
            number(dcm("113730", "Total Fluoro Time"), 184, _SECONDS),
            number(dcm("113731", "Total Number of Radiographic Frames"),
                   sum(run.facts["frames"] for run in runs), ucum("1")),
        ]  # fmt: skip
        procedure = dcm("113704", "Projection X-Ray")
    root = container(
        dcm("113701", "X-Ray Radiation Dose Report"),
        code(dcm("121058", "Procedure reported"), procedure,
             code(c.HAS_INTENT, c.DIAGNOSTIC,
                  relation="HAS CONCEPT MOD"),
             relation="HAS CONCEPT MOD"),
        *_device_context(series),
        code(dcm("113705", "Scope of Accumulation"), dcm("113014", "Study"),
             uidref(dcm("110180", "Study Instance UID"), study.uid, "HAS PROPERTIES"),
             relation="HAS OBS CONTEXT"),
        container(
            dcm("113702", "Accumulated X-Ray Dose Data"),
            code(plane, single, relation="HAS CONCEPT MOD"),
            *totals,
        ),
        *events,
        code(dcm("113854", "Source of Dose Information"),
             dcm("113856", "Automated Data Collection")),
        template="10001",
    )  # fmt: skip
    return _document(
        study, DOSE_SR, "Radiation Dose Information", root, series=series, verified=False,
        rows={"dose events": len(events)},
    )  # fmt: skip


def _projection_event(study: Study, run: Series, breast: bool) -> Item:
    facts = run.facts
    if breast:
        values = [
            code(c.LATERALITY, c.LEFT if facts["side"] == "L" else c.RIGHT),
            number(dcm("111631", "Average Glandular Dose"), facts["agd"], _MGY),
            number(dcm("111633", "Compression Thickness"), 55, _MM),
            number(dcm("111634", "Half Value Layer"), 0.45, _MM),
            number(dcm("113733", "KVP"), 29, _KV),
        ]
    else:
        dap = facts["dap"] * 1e-5
        values = [
            number(dcm("122130", "Dose Area Product"), f"{dap:.3g}", _GYM2),
            number(dcm("113738", "Dose (RP)"), f"{dap * 90:.4f}", _GY),
            number(dcm("112011", "Positioner Primary Angle"), 30, ucum("deg")),
            number(dcm("112012", "Positioner Secondary Angle"), -20, ucum("deg")),
            number(dcm("113733", "KVP"), facts["kvp"], _KV),
            number(dcm("113734", "X-Ray Tube Current"), 600, _MA),
            number(dcm("113824", "Exposure Time"), 48, ucum("ms")),
        ]
    stationary = dcm("113611", "Stationary Acquisition")
    return container(
        dcm("113706", "Irradiation Event X-Ray Data"),
        code(dcm("113764", "Acquisition Plane"), dcm("113622", "Single Plane"),
             relation="HAS CONCEPT MOD"),
        uidref(dcm("113769", "Irradiation Event UID"), facts["event"]),
        moment(dcm("111526", "DateTime Started"), study.when),
        code(dcm("113721", "Irradiation Event Type"), stationary),
        text(dcm("125203", "Acquisition Protocol"), run.words),
        code(dcm("123014", "Target Region"), study.region),
        *values,
    )  # fmt: skip


def measurements(
    study: Study, images: Series, findings: Sequence[tuple[Code, Code, float, float]]
) -> Series:
    """Measurement report (TID 1500): one group per (finding, site, long axis, short axis) in mm."""
    groups = []
    for at, (finding, site, long, short) in enumerate(findings, 1):
        image = images.instances[at % len(images.instances)]
        inferred = _item("SCOORD", None, "INFERRED FROM", [
            picture(images.sop_class, image, "SELECTED FROM")
        ])  # fmt: skip
        inferred |= {"GraphicType": "POLYLINE", "GraphicData": [10.0, 10.0, 10.0 + long, 10.0]}
        groups.append(
            container(
                dcm("125007", "Measurement Group"),
                text(dcm("112039", "Tracking Identifier"), f"Lesion {at}",
                     relation="HAS OBS CONTEXT"),
                uidref(dcm("112040", "Tracking Unique Identifier"),
                       uid("tracking", study.seed, study.person.number, site.value, at),
                       "HAS OBS CONTEXT"),
                code(c.FINDING, finding),
                code(c.FINDING_SITE, site,
                     code(c.LATERALITY, c.LEFT if at % 2 else c.RIGHT, relation="HAS CONCEPT MOD"),
                     relation="HAS CONCEPT MOD"),
                number(c.LONG_AXIS, long, _MM, inferred),
                number(c.SHORT_AXIS, short, _MM),
                template="1411",
            )
        )  # fmt: skip
    root = container(
        dcm("126000", "Imaging Measurement Report"),
        *_context(study),
        code(dcm("121058", "Procedure reported"), study.procedure or c.ORGAN,
             relation="HAS CONCEPT MOD"),
        container(dcm("111028", "Image Library"),
                  *[picture(images.sop_class, name) for name in images.instances[:3]]),
        container(dcm("126010", "Imaging Measurements"), *groups),
        template="1500",
    )  # fmt: skip
    return _document(
        study, COMPREHENSIVE_SR, study.say(("Messungen", "Mesures", "Measurements")), root,
        about=[images], rows={"measurement groups": len(groups)},
    )  # fmt: skip


_FINDINGS = {
    "de": ("Kein Nachweis einer frischen Blutung. Größenkonstante Läsion.",
           "Befund im Verlauf stabil, Kontrolle in 6 Monaten."),
    "fr": ("Pas d'hémorragie récente. Lésion de taille inchangée.",
           "Aspect stable, contrôle à 6 mois."),
    "en": ("No acute bleed. The lesion is unchanged in size.",
           "Stable appearance, follow up in 6 months."),
}  # fmt: skip


def letter(study: Study) -> Series:
    """Basic Text report in the language of the site; it names the patient, as letters do."""
    findings, conclusion = _FINDINGS[study.site.language]
    family = study.person.name.partition("^")[0]
    born = study.person.born
    opening = study.say((
        f"Patient: {family}, geb. {born:%d.%m.%Y}.",
        f"Patient : {family}, né(e) le {born:%d/%m/%Y}.",
        f"Patient: {family}, DOB {born:%d/%m/%Y}.",
    ))  # fmt: skip
    history = dcm("121060", "History")
    root = container(
        Code("18748-4", "LN", "Diagnostic Imaging Report"),
        *_context(study),
        container(history, text(history, opening)),
        container(dcm("121070", "Findings"), text(c.FINDING, findings)),
        container(dcm("121076", "Conclusions"), text(dcm("121077", "Conclusion"), conclusion)),
        template="2000",
    )
    return _document(
        study, BASIC_TEXT, study.say(("Befund", "Compte rendu", "Report")), root,
        about=study.series[:1],
    )  # fmt: skip


def key_objects(study: Study, images: Series) -> Series:
    """Key Object Selection of two images (TID 2010)."""
    root = container(
        dcm("113000", "Of Interest"),
        *[picture(images.sop_class, name) for name in images.instances[:2]],
        template="2010",
    )
    return _document(study, KEY_OBJECTS, "Key Images", root, modality="KO", about=[images])
