"""HL7 aECG: annotated ECGs as the FDA takes them (HL7 v3, PORT_MT020001)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.converters.ecg.markup import attribute, child, children, text, tree
from dicomlake.converters.ecg.recording import (
    MEDIAN,
    RHYTHM,
    UV,
    Group,
    Recording,
    age,
    born,
    check_size,
    decimal,
    group_of,
    person,
)
from dicomlake.converters.ecg.sierra import whole_numbers
from dicomlake.errors import DataError
from dicomlake.terms.leads import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_SECONDS = {"s": Decimal(1), "ms": Decimal("0.001"), "us": Decimal("0.000001")}
_TIMES = {"ms": Decimal(1), "s": Decimal(1000), "us": Decimal("0.001")}
_RATES = {"bpm": Decimal(1), "/min": Decimal(1), "1/min": Decimal(1), "{beats}/min": Decimal(1),
          "{beat}/min": Decimal(1)}  # fmt: skip
_MEASURED = {
    "MDC_ECG_HEART_RATE": ("heart rate", _RATES),
    "MDC_ECG_TIME_PD_RR": ("RR", _TIMES), "MDC_ECG_TIME_PD_PP": ("PP", _TIMES),
    "MDC_ECG_TIME_PD_PR": ("PR", _TIMES), "MDC_ECG_TIME_PD_P": ("P", _TIMES),
    "MDC_ECG_TIME_PD_QRS": ("QRS", _TIMES), "MDC_ECG_TIME_PD_QT": ("QT", _TIMES),
    "MDC_ECG_TIME_PD_QTC": ("QTc", _TIMES), "MDC_ECG_TIME_PD_QTCB": ("QTcB", _TIMES),
    "MDC_ECG_TIME_PD_QTCF": ("QTcF", _TIMES),
    "MDC_ECG_ANGLE_P_FRONT": ("P axis", {"deg": Decimal(1)}),
    "MDC_ECG_ANGLE_QRS_FRONT": ("QRS axis", {"deg": Decimal(1)}),
    "MDC_ECG_ANGLE_T_FRONT": ("T axis", {"deg": Decimal(1)}),
}  # fmt: skip
_MILLIVOLTS = {unit: factor / 1000 for unit, factor in UV.items()}
_OF_LEADS = {
    "MDC_ECG_TIME_PD_P": ("P", _TIMES), "MDC_ECG_TIME_PD_PQ": ("PR", _TIMES),
    "MDC_ECG_TIME_PD_PR": ("PR", _TIMES), "MDC_ECG_TIME_PD_QRS": ("QRS", _TIMES),
    "MDC_ECG_TIME_PD_QT": ("QT", _TIMES), "MDC_ECG_TIME_PD_Q": ("Q duration", _TIMES),
    "MDC_ECG_TIME_PD_R_1": ("R duration", _TIMES), "MDC_ECG_TIME_PD_S_1": ("S duration", _TIMES),
    "MDC_ECG_TIME_PD_VENT_ACTIV": ("VAT", _TIMES),
    "MDC_ECG_AMPL_Q": ("Q", _MILLIVOLTS), "MDC_ECG_AMPL_R": ("R", _MILLIVOLTS),
    "MDC_ECG_AMPL_R_1": ("R", _MILLIVOLTS), "MDC_ECG_AMPL_R_2": ("R'", _MILLIVOLTS),
    "MDC_ECG_AMPL_S": ("S", _MILLIVOLTS), "MDC_ECG_AMPL_S_1": ("S", _MILLIVOLTS),
    "MDC_ECG_AMPL_S_2": ("S'", _MILLIVOLTS), "MDC_ECG_AMPL_J": ("J", _MILLIVOLTS),
    "MDC_ECG_AMPL_P_MAX": ("P+", _MILLIVOLTS), "MDC_ECG_AMPL_P_MIN": ("P-", _MILLIVOLTS),
    "MDC_ECG_AMPL_T_MAX": ("T+", _MILLIVOLTS), "MDC_ECG_AMPL_T_MIN": ("T-", _MILLIVOLTS),
    "MDC_ECG_AMPL_ST_20": ("ST20", _MILLIVOLTS), "MDC_ECG_AMPL_ST_60": ("ST60", _MILLIVOLTS),
    "MDC_ECG_AMPL_ST_80": ("ST80", _MILLIVOLTS),
}  # fmt: skip
_STATEMENTS = (
    "MDC_ECG_INTERPRETATION", "MDC_ECG_INTERPRETATION_STATEMENT", "MDC_ECG_INTERPRETATION_SUMMARY",
    "MDC_ECG_RHY",
)  # fmt: skip
_AGES = {"a": "Y", "mo": "M", "wk": "W", "d": "D"}
_MOMENT = re.compile(
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.(\d{1,9}))?(?:([+-])(\d\d)(\d\d))?", re.ASCII
)


def read(data: bytes) -> Recording:
    """What an aECG says; DataError when it cannot be read."""
    root = tree(data)
    if root.tag != "AnnotatedECG":
        raise DataError("it is no aECG: its root is not AnnotatedECG")
    found = Recording("HL7 aECG")
    rhythm, beat = _series(root, found)
    _patient(root, found)
    _device(root, rhythm, found)
    sets = [_sequences(each, rhythm, RHYTHM, found) for each in _sets(rhythm)]
    if not sets:
        raise DataError("it has no leads")
    found.groups += [replace(group, offset=_offset(sets[0][1], head)) for group, head in sets]
    found.moment = _began(root, rhythm, sets[0][1])
    for each in _sets(beat)[:1]:
        found.groups.append(_sequences(each, beat, MEDIAN, found, sets[0][0])[0])
    _annotations([rhythm, beat], found)
    return found


def _series(root: Element, found: Recording) -> tuple[Element, Element | None]:
    """The series of the rhythm, and that of the representative beat."""
    rhythms: list[Element] = []
    beats: list[Element] = []
    for series in children(root, "component", "series"):
        beat = attribute(series, "code", "code").upper() == "REPRESENTATIVE_BEAT"
        (beats if beat else rhythms).append(series)
        beats.extend(
            each
            for each in children(series, "derivation", "derivedSeries")
            if attribute(each, "code", "code").upper() in ("REPRESENTATIVE_BEAT", "")
        )
    if not rhythms:
        raise DataError("it has no series with a rhythm")
    if len(rhythms) > 1 or len(beats) > 1:
        found.notes.append("it has more than one series of a kind; the first was taken")
    return rhythms[0], beats[0] if beats else None


def _sets(series: Element | None) -> list[Element]:
    return list(children(series, "component", "sequenceSet"))


def _offset(first: str, head: str) -> Decimal:
    """ms from the time of the first set of leads to that of another, as they are written."""
    if first == head:
        return Decimal(0)
    times = [moment_of_hl7(each) for each in (first, head)]
    if (
        times[0] is None
        or times[1] is None
        or (times[0].tzinfo is None) != (times[1].tzinfo is None)
    ):
        raise DataError("it does not say when each of its sets of leads was recorded")
    return Decimal(round((times[1] - times[0]).total_seconds() * 1_000_000)) / 1000


def _sequences(
    node: Element, series: Element | None, label: str, found: Recording, like: Group | None = None
) -> tuple[Group, str]:
    """The leads of a set, and the absolute time of the first sample as written, or ""."""
    rate, head = None, ""
    leads: list[tuple[str, NDArray[np.int64]]] = []
    scales, baselines = [], []
    for sequence in children(node, "component", "sequence"):
        code = attribute(sequence, "code", "code")
        value = child(sequence, "value")
        if code.upper().startswith("TIME_"):
            rate = rate or _rate(value)
            head = head or (attribute(value, "head", "value") if "ABSOLUTE" in code.upper() else "")
        elif "_ECG_LEAD_" in code.upper():
            what = f"lead {len(leads) + 1}"
            leads.append((_lead_name(code), whole_numbers(text(value, "digits"), what)))
            check_size(sum(samples.size for _, samples in leads))
            scale, baseline = _scale(value, what)
            scales.append(scale)
            baselines.append(baseline)
        else:
            found.notes.append("a sequence that is no lead was left out")
    filters: dict[str, Decimal | None] = dict(_filters(series)) or (
        {"low": like.low, "high": like.high, "notch": like.notch} if like else {}
    )
    return group_of(label, rate, leads, scales, baselines, filters), head


def _lead_name(code: str) -> str:
    suffix = code[code.upper().index("_ECG_LEAD_") + 10 :]
    if suffix.upper() == "AVRNEG":
        return "-aVR"
    return plain_name(suffix) or suffix[:16] or "unspecified"


def _rate(value: Element | None) -> Decimal:
    step = decimal(attribute(value, "increment", "value"))
    unit = _SECONDS.get(attribute(value, "increment", "unit").replace("µ", "u"))
    if not step or unit is None or step <= 0:
        raise DataError("it does not say how many samples a second has: its increment is unclear")
    return 1 / (step * unit)


def _scale(value: Element | None, what: str) -> tuple[Decimal, Decimal]:
    """uV of a step, and uV of the number 0."""
    found = []
    for name in ("scale", "origin"):
        number = decimal(attribute(value, name, "value"))
        unit = UV.get(attribute(value, name, "unit").replace("µ", "u"))
        if not number and name == "origin":
            number, unit = Decimal(0), Decimal(1)
        if number is None or unit is None:
            raise DataError(f"{what} has a {name} without a number or in no unit of voltage")
        found.append(number * unit)
    return found[0], found[1]


def _filters(series: Element | None) -> Iterator[tuple[str, Decimal]]:
    """low, high and notch with their frequencies in Hz."""
    kinds = {"LOW_PASS": "high", "HIGH_PASS": "low", "NOTCH": "notch"}
    for variable in children(series, "controlVariable", "controlVariable"):
        kind = attribute(variable, "code", "code").upper().rpartition("_FILTER_")[2]
        for part in children(variable, "component", "controlVariable"):
            frequency = decimal(attribute(part, "value", "value"))
            if attribute(part, "value", "unit") not in ("Hz", "") or not frequency:
                continue
            if attribute(part, "code", "code").upper().endswith("_FREQ") and kind in kinds:
                yield kinds[kind], frequency


def _began(root: Element, rhythm: Element, head: str) -> datetime | None:
    """When the first sample was taken: by the samples, the series, or the whole document."""
    said = [head]
    for node in (rhythm, root):
        for name in ("low", "center", "high"):
            said.append(attribute(node, "effectiveTime", name, "value"))
        said.append(attribute(node, "effectiveTime", "value"))
    return next((moment for each in said if (moment := moment_of_hl7(each))), None)


def moment_of_hl7(text: str) -> datetime | None:
    """The moment of a text of HL7 that goes to minutes at least, or None.

    >>> moment_of_hl7("20021122091000.5+0100").isoformat()
    '2002-11-22T09:10:00.500000+01:00'
    >>> moment_of_hl7("20021122")
    """
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    *parts, fraction, sign, hours, minutes = match.groups()
    zone = None
    try:
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-offset if sign == "-" else offset)
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        micro = int((fraction or "0")[:6].ljust(6, "0"))
        return datetime(year, month, day, hour, minute, second, micro, zone)
    except ValueError:
        return None


def _patient(root: Element, found: Recording) -> None:
    event = child(root, "componentOf", "timepointEvent", "componentOf", "subjectAssignment")
    subject = child(event, "subject", "trialSubject")
    identity = attribute(subject, "id", "extension")
    found.say("PatientID", identity if identity not in ("?", "UNK", "NA") else "")
    demographics = child(subject, "subjectDemographicPerson")
    name = child(demographics, "name")
    family, given = text(name, "family"), " ".join(text(each) for each in children(name, "given"))
    found.say("PatientName", person(family, given) or text(name), "PN")
    sex = attribute(demographics, "administrativeGenderCode", "code").upper()
    found.say("PatientSex", {"M": "M", "F": "F", "UN": "O"}.get(sex, ""), "CS")
    day = attribute(demographics, "birthTime", "value")[:8]
    if len(day) == 8:
        found.header["PatientBirthDate"] = born(day, "%Y%m%d")
    for related in children(root, "controlVariable", "relatedObservation"):
        if attribute(related, "code", "code") == "21612-7":  # LOINC: reported age
            unit = _AGES.get(attribute(related, "value", "unit") or "a", "?")
            found.say("PatientAge", age(decimal(attribute(related, "value", "value")), unit), "SH")
    site = child(event, "componentOf", "clinicalTrial", "location", "trialSite", "location")
    found.say("InstitutionName", text(site, "name"))


def _device(root: Element, rhythm: Element, found: Recording) -> None:
    author = child(rhythm, "author", "seriesAuthor")
    device = child(author, "manufacturedSeriesDevice")
    found.say("Manufacturer", text(author, "manufacturerOrganization", "name"))
    found.say("ManufacturerModelName", text(device, "manufacturerModelName"))
    found.say("SoftwareVersions", text(device, "softwareName"))
    serial = attribute(device, "id", "extension")
    found.say("DeviceSerialNumber", serial if serial != "0" else "")
    _trial(
        child(
            root, "componentOf", "timepointEvent", "componentOf", "subjectAssignment",
            "componentOf", "clinicalTrial",
        ),
        found,
    )  # fmt: skip


def _trial(node: Element | None, found: Recording) -> None:
    """The trial, where the file names its sponsor and its protocol (PS3.3 C.7.1.3 wants both)."""
    sponsor = text(node, "author", "clinicalTrialSponsor", "sponsorOrganization", "name")
    protocol = child(node, "componentOf", "clinicalTrialProtocol")
    identity = attribute(protocol, "id", "extension")
    if not sponsor or not identity or not found.header.get("PatientID"):
        return
    found.say("ClinicalTrialSponsorName", sponsor)
    found.say("ClinicalTrialProtocolID", identity)
    found.header["ClinicalTrialProtocolName"] = ""
    found.say("ClinicalTrialProtocolName", text(protocol, "title"))
    site = child(node, "location", "trialSite")
    found.header["ClinicalTrialSiteID"] = found.header["ClinicalTrialSiteName"] = ""
    found.say("ClinicalTrialSiteID", attribute(site, "id", "extension"))
    found.say("ClinicalTrialSiteName", text(site, "location", "name"))
    found.header["ClinicalTrialSubjectID"] = found.header["PatientID"]


def _annotations(series: list[Element | None], found: Recording) -> None:
    """What people say, and what devices say beside it; the people's statements stand alone."""
    sets = [each for one in series for each in children(one, "subjectOf", "annotationSet")]
    author = ("author", "assignedEntity", "assignedAuthorType", "assignedPerson")
    by_people = [each for each in sets if child(each, *author) is not None]
    for each in by_people:
        for annotation in children(each, "component", "annotation"):
            _annotation(annotation, found)
    said = list(found.statements)
    for each in sets:
        if each not in by_people:
            for annotation in children(each, "component", "annotation"):
                _annotation(annotation, found)
    if said and found.statements != said:
        found.statements = said
        found.notes.append("statements of the device were left out: a person's are there")


def _annotation(node: Element, found: Recording) -> None:
    """A measurement, of all or of one lead, or a statement; what is said of one beat is left."""
    code = attribute(node, "code", "code").upper().removesuffix("_GL")
    leads = _leads_of(node)
    if code == "MDC_ECG_BEAT" or len(leads) > 1:
        return
    value = child(node, "value")
    if leads:
        _of_lead(code, value, leads[0], found)
        return
    if code in _MEASURED:
        name, units = _MEASURED[code]
        number = decimal(attribute(value, "value"))
        unit = attribute(value, "unit")
        if number is not None and unit in units:
            found.measured.setdefault(name, number * units[unit])
        elif number is not None:
            found.notes.append(f"{name} has no unit, or one that does not fit, and was left out")
    elif code in _STATEMENTS:
        found.state(text(value) or attribute(value, "displayName"))
    for part in children(node, "component", "annotation"):
        _annotation(part, found)


def _of_lead(code: str, value: Element | None, lead: str, found: Recording) -> None:
    """A measurement of one lead, in ms or mV."""
    if code not in _OF_LEADS:
        return
    name, units = _OF_LEADS[code]
    number = decimal(attribute(value, "value"))
    unit = attribute(value, "unit").replace("µ", "u")
    if number is not None and unit in units:
        found.measure_lead(lead, name, number * units[unit])


def _leads_of(node: Element) -> list[str]:
    """The leads that an annotation is about; none when it is about all."""
    codes = [
        attribute(each, "code", "code")
        for each in children(node, "support", "supportingROI", "component", "boundary")
    ]
    return [_lead_name(code) for code in codes if "_ECG_LEAD_" in code.upper()]
