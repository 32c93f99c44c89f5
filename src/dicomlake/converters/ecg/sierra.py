"""Philips Sierra XML: resting ECGs of PageWriter, TraceMasterVue and HeartStart devices."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from dicomlake.converters.ecg.coding import bytes_of, with_limb_leads, xli
from dicomlake.converters.ecg.markup import attribute, child, children, text, tree
from dicomlake.converters.ecg.recording import (
    MEDIAN,
    RHYTHM,
    Group,
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

TYPES = ("SierraECG", "PhilipsECG")
VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
_TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_MEASURED = {
    "heart rate": ("heartrate", "meanventrate"), "RR": ("rrint",), "PR": ("print", "meanprint"),
    "P": ("pdur",), "QRS": ("qrsdur", "meanqrsdur"), "QT": ("qtint", "meanqtint"),
    "QTcB": ("qtcb",), "QTcF": ("qtcf",), "QTc": ("meanqtc",), "P axis": ("pfrontaxis",),
    "QRS axis": ("qrsfrontaxis",), "T axis": ("tfrontaxis",),
}  # fmt: skip
_SUMMARIES = {"NM": "normal", "ON": "borderline", "BL": "borderline", "BO": "borderline",
              "AB": "abnormal"}  # fmt: skip


def read(data: bytes) -> Recording:
    """What a Sierra file says; DataError when it cannot be read."""
    root = tree(data)
    if root.tag != "restingecgdata":
        raise DataError("it is no Sierra ECG: its root is not restingecgdata")
    kind = text(root, "documentinfo", "documenttype")
    version = text(root, "documentinfo", "documentversion")
    if kind not in TYPES or version not in VERSIONS:
        raise DataError(
            f"it is no document of the types {' or '.join(TYPES)} in one of the versions "
            f"{', '.join(VERSIONS)}"
        )
    found = Recording(f"Philips Sierra XML {version}", language=root.get("lang") or "")
    acquisition = child(root, "dataacquisition")
    found.moment = moment_of(
        attribute(acquisition, "date"), attribute(acquisition, "time"),
        "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
    )  # fmt: skip
    _patient(child(root, "patient", "generalpatientdata"), found)
    _device(acquisition, found)
    parsed = child(root, "waveforms", "parsedwaveforms")
    if parsed is None:
        raise DataError("it has no parsedwaveforms")
    rhythm = _rhythm(parsed, child(acquisition, "signalcharacteristics"), found)
    found.groups.append(rhythm)
    if (beats := child(root, "waveforms", "repbeats")) is not None:
        _beats(beats, rhythm, found)
    _interpretation(root, found)
    _lead_measurements(root, found)
    return found


def _value(node: Element | None, *path: str) -> str:
    """A text, "" where only dashes stand for it."""
    found = text(node, *path)
    return found if found.strip("- ") else ""


def _patient(node: Element | None, found: Recording) -> None:
    found.say("PatientID", _value(node, "patientid") or _value(node, "MRN"))
    name = child(node, "name")
    names = (_value(name, "lastname"), _value(name, "firstname"), _value(name, "middlename"))
    found.say("PatientName", person(*names), "PN")
    sex = _value(node, "sex").upper()[:1]
    found.say("PatientSex", sex if sex in ("M", "F") else "", "CS")
    found.header["PatientBirthDate"] = born(
        _value(node, "age", "dateofbirth"), "%Y-%m-%d", "%m/%d/%Y"
    )
    found.say("PatientAge", age(decimal(_value(node, "age", "years")), "Y"), "SH")
    height = decimal(_value(node, "height", "cm"))
    found.size("PatientSize", height / 100 if height else None)
    found.size("PatientWeight", decimal(_value(node, "weight", "kg")))


def _device(node: Element | None, found: Recording) -> None:
    """`detaildescription` is maker:product:software."""
    maker, *rest = attribute(node, "machine", "detaildescription").split(":")
    found.say("Manufacturer", maker)
    found.say("ManufacturerModelName", _value(node, "machine") or "".join(rest[:1]))
    found.say("SoftwareVersions", ":".join(rest[1:]))
    found.say("DeviceSerialNumber", attribute(node, "machine", "machineid"))
    found.say("InstitutionName", _value(node, "acquirer", "institutionname"))
    found.say("InstitutionalDepartmentName", _value(node, "acquirer", "departmentname"))


def _rhythm(parsed: Element, signal: Element | None, found: Recording) -> Group:
    def said(*names: str) -> str:
        """What the waveform says, else what the signal's characteristics say."""
        own = [attribute(parsed, name) for name in names]
        return next(filter(None, [*own, *(text(signal, name) for name in names)]), "")

    rate = decimal(said("samplespersecond", "samplingrate"))
    duration = decimal(attribute(parsed, "durationperchannel"))
    if not rate or not duration or min(rate, duration) <= 0:
        raise DataError("it does not say how long its waveform is, or how fast it was sampled")
    names = _names(parsed, signal)
    check_size(count := int((duration * rate / 1000).to_integral_value()), len(names))
    leads = _samples(parsed, names, count, unsigned=said("signalsigned").lower() == "false")
    scale = decimal(said("resolution", "signalresolution"))
    if not scale:
        raise DataError("it does not say how many microvolts a step of its samples has")
    zero = decimal(said("signaloffset")) or Decimal(0)  # the number that stands for 0 V
    low, high = decimal(said("hipass")), decimal(said("lowpass"))
    if low is None and high is None:
        low, _, high = map(decimal, text(signal, "signalbandwidth").partition("-"))
    filters = {"low": low or None, "high": high or None, "notch": None}
    if said("notchfiltered").lower() == "true":
        filters["notch"] = decimal(said("notchfilterfreqs")) or None
    return group_of(
        RHYTHM, rate, list(zip(names, leads, strict=True)), [scale] * len(names),
        [-zero * scale] * len(names), filters,
    )  # fmt: skip


def _names(parsed: Element, signal: Element | None) -> list[str]:
    """The leads in their order: named, else those of a known set, else numbered."""
    named = attribute(parsed, "leadlabels").split()
    told = decimal(attribute(parsed, "numberofleads"))
    if named:
        named = named[: int(told)] if told and 0 < told < len(named) else named
        return [plain_name(name) or name[:16] for name in named]
    channels = decimal(text(signal, "numberchannelsallocated")) or decimal(
        text(signal, "numberchannelsvalid")
    )
    if not channels or not 0 < channels < 256:
        raise DataError("it does not say which leads it has")
    kind = text(signal, "acquisitiontype") or text(signal, "leadset")
    known = _TWELVE if kind in ("STD-12", "10-WIRE") else ()
    return [known[i] if i < len(known) else f"Channel {i + 1}" for i in range(int(channels))]


def _samples(
    parsed: Element, names: list[str], count: int, *, unsigned: bool
) -> list[NDArray[np.int64]]:
    if count < 1:
        raise DataError("its leads have no samples")
    how = attribute(parsed, "compression") or attribute(parsed, "compressmethod")
    if attribute(parsed, "compressflag").lower() == "false":
        how = ""
    encoding = attribute(parsed, "dataencoding").lower()
    if how.upper() == "XLI" and encoding == "base64":
        leads = xli(bytes_of(text(parsed), "the waveform"), len(names), count)
        if tuple(names[:6]) == _TWELVE[:6]:
            with_limb_leads(leads)
        return leads
    if how.lower() not in ("", "uncompressed", "none"):
        raise DataError("its waveform is compressed in a way that is not known; XLI is")
    values = _values(text(parsed), encoding, "the waveform", unsigned=unsigned)
    if values.size < count * len(names):
        raise DataError("its waveform has fewer samples than it says: the file is truncated")
    return [values[i * count : (i + 1) * count] for i in range(len(names))]


def _values(words: str, encoding: str, what: str, *, unsigned: bool = False) -> NDArray[np.int64]:
    if encoding == "base64":
        data = bytes_of(words, what)
        return np.frombuffer(data[: len(data) // 2 * 2], "<u2" if unsigned else "<i2").astype(
            np.int64
        )
    if encoding == "plain":
        return whole_numbers(words, what)
    raise DataError(f"the samples of {what} are coded in a way that is not known")


def whole_numbers(words: str, what: str) -> NDArray[np.int64]:
    """Numbers with white space between them; DataError when one is no whole number of 32 bits."""
    try:
        values = np.array(words.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"a sample of {what} is no whole number") from error
    if values.size and max(-int(values.min()), int(values.max())) >= 1 << 31:
        raise DataError(f"a sample of {what} is beyond 32 bits")
    return values


def _beats(node: Element, rhythm: Group, found: Recording) -> None:
    """The representative beat of each lead, which has a rate and a resolution of its own."""
    if attribute(node, "compression"):
        found.notes.append("its median beats are compressed and were left out")
        return
    rate = decimal(attribute(node, "samplespersec")) or decimal(attribute(node, "samplespersecond"))
    scale = decimal(attribute(node, "resolution"))
    if not rate or not scale:
        found.notes.append("its median beats have no rate or no resolution and were left out")
        return
    leads = []
    for place, beat in enumerate(children(node, "repbeat"), 1):
        holder = child(beat, "waveform")
        holder = beat if holder is None else holder
        name = attribute(beat, "leadname")
        encoding = attribute(node, "dataencoding").lower()
        samples = _values(text(holder), encoding, f"median beat {place}")
        duration = decimal(attribute(holder, "duration"))
        count = int((duration * rate / 1000).to_integral_value()) if duration else samples.size
        if samples.size < count or count < 0:
            raise DataError(f"median beat {place} is shorter than it says: the file is truncated")
        leads.append((plain_name(name) or name[:16] or f"Channel {place}", samples[:count]))
    if leads:
        filters = {"low": rhythm.low, "high": rhythm.high, "notch": rhythm.notch}
        beats = group_of(MEDIAN, rate, leads, [scale] * len(leads), filters=filters)
        found.groups.append(beats)


def _lead_measurements(root: Element, found: Recording) -> None:
    """Leads one by one; a wave of 0 ms is none."""
    for place in (("internalmeasurements",), ("measurements",)):
        for node in children(root, *place, "leadmeasurements", "leadmeasurement"):
            name = attribute(node, "leadname")
            lead = plain_name(name) or name[:16]
            for measure, said in _DURATIONS.items():
                found.measure_lead(lead, measure, decimal(text(node, said)) or None)
            for measure, (said, wave) in _AMPLITUDES.items():
                value = decimal(text(node, said))
                if value is None or (wave and not decimal(text(node, wave))):
                    continue
                sign = {"P": "P-" if value < 0 else "P+", "T": "T-" if value < 0 else "T+"}
                found.measure_lead(lead, sign.get(measure, measure), value / 1000)


_DURATIONS = {
    "P": "pdur", "PR": "print", "QRS": "qrsdur", "QT": "qtint", "Q duration": "qdur",
    "R duration": "rdur", "S duration": "sdur", "R' duration": "rpdur", "S' duration": "spdur",
    "VAT": "vat",
}  # fmt: skip
_AMPLITUDES = {
    "P": ("pamp", "pdur"), "Q": ("qamp", "qdur"), "R": ("ramp", "rdur"), "S": ("samp", "sdur"),
    "R'": ("rpamp", "rpdur"), "S'": ("spamp", "spdur"), "J": ("ston", "stdur"),
    "ST80": ("st80", "stdur"), "T": ("tamp", "tdur"),
}  # fmt: skip
"""uV, and the duration of the wave, without which there is none."""


def _interpretation(root: Element, found: Recording) -> None:
    """Measurements where they are edited, else where they were made, and the statements."""
    interpretation = child(root, "interpretations", "interpretation")
    places = (
        child(interpretation, "globalmeasurements"),
        child(interpretation, "interpretationmeasurements"),
        child(root, "internalmeasurements", "crossleadmeasurements"),
        child(root, "measurements", "globalmeasurements"),
    )
    for measure, names in _MEASURED.items():
        for place in places:
            for name in names:
                found.measure(measure, text(place, name))
    if "QTcB" in found.measured or "QTcF" in found.measured:
        found.measured.pop("QTc", None)  # a mean of the program's own; the file has the formulas'
    for statement in children(interpretation, "statement"):
        left, right = _value(statement, "leftstatement"), _value(statement, "rightstatement")
        found.state(f"{left}; {right}" if left and right else left or right)
    found.summary = _SUMMARIES.get(attribute(interpretation, "severity", "code"), "")
    if severity := re.sub(r"^[\s-]+|[\s-]+$", "", text(interpretation, "severity")):
        found.state(severity)
