"""GE MUSE XML: resting ECGs as the MUSE system exports them (restecg.dtd)."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.converters.ecg.coding import bytes_of
from dicomlake.converters.ecg.markup import child, children, text, tree
from dicomlake.converters.ecg.recording import (
    MEDIAN,
    RHYTHM,
    UV,
    Recording,
    age,
    born,
    check_size,
    decimal,
    group_of,
    moment_of,
    person,
)
from dicomlake.errors import DataError
from dicomlake.terms.leads import plain_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_UNITS = {
    "MICROVOLTS": "uV", "MICROVOLT": "uV", "UV": "uV", "MILLIVOLTS": "mV", "MILLIVOLT": "mV",
    "MV": "mV", "NANOVOLTS": "nV", "NANOVOLT": "nV", "NV": "nV", "VOLTS": "V", "VOLT": "V",
}  # fmt: skip
_MEASURED = {
    "VentricularRate": "heart rate", "PRInterval": "PR", "QRSDuration": "QRS", "QTInterval": "QT",
    "QTCorrected": "QTc", "QTcFrederica": "QTcF", "PAxis": "P axis", "RAxis": "QRS axis",
    "TAxis": "T axis",
}  # fmt: skip
_KINDS = {"rhythm": RHYTHM, "": RHYTHM, "median": MEDIAN}


def read(data: bytes) -> Recording:
    """What a MUSE file says; DataError when it cannot be read."""
    root = tree(data)
    if root.tag != "RestingECG":
        raise DataError("it is no resting ECG of GE MUSE: its root is not RestingECG")
    found = Recording("GE MUSE XML")
    test = child(root, "TestDemographics")
    _patient(child(root, "PatientDemographics"), found)
    _test(test, found)
    for waveform in children(root, "Waveform"):
        _waveform(waveform, found)
    if not any(group.label == RHYTHM for group in found.groups):
        raise DataError("it has no rhythm waveform")
    found.groups.sort(key=lambda group: group.label != RHYTHM)
    _measurements(root, found)
    for line in _lines(child(root, "Diagnosis")) or _lines(child(root, "OriginalDiagnosis")):
        found.state(line)
    return found


def _patient(node: Element | None, found: Recording) -> None:
    found.say("PatientID", text(node, "PatientID"))
    name = person(text(node, "PatientLastName"), text(node, "PatientFirstName"))
    found.say("PatientName", name, "PN")
    sex = text(node, "Gender").upper()[:1]
    found.say("PatientSex", sex if sex in ("M", "F", "O") else "", "CS")
    found.header["PatientBirthDate"] = born(
        text(node, "DateofBirth"), "%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%Y%m%d", "%d-%b-%Y"
    )
    unit = text(node, "AgeUnits").upper()[:1]
    found.say("PatientAge", age(decimal(text(node, "PatientAge")), unit or "?"), "SH")
    height = decimal(text(node, "HeightCM"))
    found.size("PatientSize", height / 100 if height else None)
    found.size("PatientWeight", decimal(text(node, "WeightKG")))


def _test(node: Element | None, found: Recording) -> None:
    found.moment = moment_of(
        text(node, "AcquisitionDate"),
        text(node, "AcquisitionTime"),
        *(f"{day} {time}" for day in ("%m-%d-%Y", "%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y")
          for time in ("%H:%M:%S", "%H:%M")),
    )  # fmt: skip
    found.say("ManufacturerModelName", text(node, "AcquisitionDevice"))
    found.say("SoftwareVersions", text(node, "AcquisitionSoftwareVersion"))
    found.say("InstitutionName", text(node, "SiteName"))
    found.say("StationName", text(node, "CartNumber"), "SH")
    found.say("CurrentPatientLocation", text(node, "LocationName"))
    physician = person(text(node, "ReferringMDLastName"), text(node, "ReferringMDFirstName"))
    found.say("ReferringPhysicianName", physician, "PN")


def _waveform(node: Element, found: Recording) -> None:
    kind = text(node, "WaveformType").lower()
    label = _KINDS.get(kind)
    if label is None or any(group.label == label for group in found.groups):
        found.notes.append("a further waveform, neither rhythm nor median, was left out")
        return
    base, power = decimal(text(node, "SampleBase")), decimal(text(node, "SampleExponent"))
    if power is not None and abs(power) > 6:
        raise DataError("its SampleExponent is no power that makes sense")
    rate = base * Decimal(10) ** int(power or 0) if base else None
    leads, scales, checks = [], [], []
    for place, lead in enumerate(children(node, "LeadData"), 1):
        samples, scale, fits = _lead(lead, place)
        checks.append(fits)
        name = text(lead, "LeadID")
        if not name:
            raise DataError(f"lead {place} has no LeadID")
        leads.append((plain_name(name) or name[:16], samples))
        scales.append(scale)
        check_size(sum(each.size for _, each in leads))
    if False in checks:
        if True in checks:
            which = checks.index(False) + 1
            raise DataError(
                f"lead {which} does not fit its checksum (LeadDataCRC32): the file is damaged"
            )
        found.notes.append("no lead fits its LeadDataCRC32: checksums of another kind, not tried")
    for name in ("FirstSampleBaseline", "LeadOffsetFirstSample", "LeadTimeOffset"):
        if any(decimal(text(lead, name)) for lead in children(node, "LeadData")):
            found.notes.append(f"{name} was not applied: its meaning is not published")
    high_pass, low_pass = decimal(text(node, "HighPassFilter")), text(node, "LowPassFilter")
    filters = {
        "low": high_pass / 100 if high_pass else None,
        "high": decimal(low_pass) or None,
        "notch": decimal(text(node, "ACFilter")) or None,
    }
    if label == MEDIAN and not leads:
        return
    found.groups.append(group_of(label, rate, leads, scales, filters=filters))


def _lead(node: Element, place: int) -> tuple[NDArray[np.int64], Decimal, bool | None]:
    """Samples of a lead, how many uV a step has, and whether its checksum fits if it has one."""
    what = f"lead {place}"
    data = bytes_of(text(node, "WaveFormData"), what)
    size = int(decimal(text(node, "LeadSampleSize")) or 2)
    if size not in (1, 2, 4) or len(data) % size:
        raise DataError(f"{what} is no whole number of samples of {size} bytes")
    for name, counted in (("LeadByteCountTotal", 1), ("LeadSampleCountTotal", size)):
        told = decimal(text(node, name))
        if told is not None and told * counted != len(data):
            raise DataError(f"{what} is not as long as its {name} says: the file is truncated")
    told = decimal(text(node, "LeadDataCRC32"))
    fits = None if told is None else int(told) % (1 << 32) == zlib.crc32(data)
    unit = _UNITS.get(text(node, "LeadAmplitudeUnits").upper())
    scale = decimal(text(node, "LeadAmplitudeUnitsPerBit"))
    if unit is None or scale is None:
        raise DataError(f"{what} does not say how many microvolts a step of its samples has")
    return np.frombuffer(data, f"<i{size}").astype(np.int64), scale * UV[unit], fits


def _measurements(root: Element, found: Recording) -> None:
    """The measurements that count now; before an edit they were others."""
    node = child(root, "RestingECGMeasurements")
    if node is None:
        node = child(root, "OriginalRestingECGMeasurements")
    for name, measure in _MEASURED.items():
        found.measure(measure, text(node, name))
    if rr := decimal(text(root, "QRSTimesTypes", "GlobalRR")):
        found.measure("RR", str(rr))


def _lines(node: Element | None) -> list[str]:
    """Statements of a diagnosis; a line goes on until its end is flagged, where any is."""
    said = [
        (text(each, "StmtText"), any(text(f) == "ENDSLINE" for f in children(each, "StmtFlag")))
        for each in children(node, "DiagnosisStatement")
    ]
    if not any(ends for _, ends in said):
        return [words for words, _ in said]
    lines, line = [], []
    for words, ends in said:
        line.append(words)
        if ends:
            lines.append(" ".join(line))
            line = []
    return [*lines, " ".join(line)]
