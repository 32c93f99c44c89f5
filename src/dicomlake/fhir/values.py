"""Values of the tables as FHIR writes them: texts, moments, codes, quantities, UIDs."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dicomlake.terms import Code
from dicomlake.terms.mapping import normal

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"

# Coding Scheme Designators and what FHIR calls them (PS3.16 Table 8-1). Others are no system: the
# designators of vendors and sites name nothing outside of them.
SYSTEMS = {
    "DCM": DCM, "SCT": SCT, "LN": LOINC, "UCUM": UCUM, "MDC": "urn:iso:std:iso:11073:10101",
    "RADLEX": "http://www.radlex.org", "FMA": "http://sig.biostr.washington.edu/projects/fm/",
    "I10": "http://hl7.org/fhir/sid/icd-10", "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm", "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "UMLS": "http://www.nlm.nih.gov/research/umls", "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "RFC5646": "urn:ietf:bcp:47", "IBSI": "https://ibsi.readthedocs.io",
}  # fmt: skip

# Values of Modality and what they stand for (PS3.16 CID 33).
MODALITIES = dict(
    entry.split(" ", 1)
    for entry in """
AR Autorefraction
ASMT Content Assessment Result
AU Basic Voice Audio
BDUS Ultrasound Bone Densitometry
BI Biomagnetic Imaging
BMD Bone Mineral Densitometry
CFM Confocal Microscopy
CR Computed Radiography
CT Computed Tomography
CTPROTOCOL CT Protocol
DG Diaphanography
DMS Dermoscopy
DOC Document
DX Digital Radiography
ECG Electrocardiography
EEG Electroencephalography
EMG Electromyography
EOG Electrooculography
EPS Cardiac Electrophysiology
ES Endoscopy
FID Spatial Fiducials
GM General Microscopy
HC Hard Copy
HD Hemodynamic Waveform
IO Intra-oral Radiography
IOL Intraocular Lens Calculation
IVOCT Intravascular Optical Coherence Tomography
IVUS Intravascular Ultrasound
KER Keratometry
KO Key Object Selection
LEN Lensometry
LS Laser Scan
M3D Model for 3D Manufacturing
MG Mammography
MR Magnetic Resonance
NM Nuclear Medicine
OAM Ophthalmic Axial Measurements
OCT Optical Coherence Tomography
OP Ophthalmic Photography
OPM Ophthalmic Mapping
OPT Ophthalmic Tomography
OPTBSV Ophthalmic Tomography B-scan Volume Analysis
OPTENF Ophthalmic Tomography En Face
OPV Ophthalmic Visual Field
OSS Optical Surface Scanner
OT Other
PA Photoacoustic
PLAN Plan
POS Position Sensor
PR Presentation State
PT Positron emission tomography
PX Panoramic X-Ray
REG Registration
RESP Respiratory Waveform
RF Radiofluoroscopy
RG Radiographic imaging
RTDOSE RT Dose
RTIMAGE RT Image
RTPLAN RT Plan
RTRECORD RT Treatment Record
RTSTRUCT RT Structure Set
RWV Real World Value Map
SEG Segmentation
SM Slide Microscopy
SMR Stereometric Relationship
SR Structured Report Document
SRF Subjective Refraction
STAIN Automated Slide Stainer
TEXTUREMAP Texture Map
TG Thermography
US Ultrasound
VA Visual Acuity
XA X-Ray Angiography
XC External-camera Photography
""".strip().splitlines()
)

_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_BREAKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):?(?:(\d\d):?(?:(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_LARGEST = 2_147_483_647

Json = dict[str, Any]


def line(value: object) -> str | None:
    """A text on one line, without what is not to be seen; None where nothing is left.

    >>> line("  THORAX\\x00\\n ap "), line("\\x00 ")
    ('THORAX ap', None)
    """
    return _BLANK.sub(" ", str(value)).strip() or None if value is not None else None


def prose(value: object) -> str | None:
    """A text that may have line breaks; None where nothing is left."""
    return _BREAKS.sub(" ", str(value)).strip() or None if value is not None else None


def uid(value: object) -> str | None:
    """A UID, or None for what is none (PS3.5 9.1; zeros that lead a part are let pass).

    >>> uid("1.2.840"), uid("1..2"), uid("abc")
    ('1.2.840', None, None)
    """
    found = str(value).strip(" \0") if value is not None else ""
    return found if len(found) <= 64 and _UID.fullmatch(found) else None


def oid(value: str) -> str:
    """A UID as a URI."""
    return f"urn:oid:{value}"


def unsigned(value: int | None) -> int | None:
    """A number that FHIR's unsignedInt can hold, or None.

    >>> unsigned(3), unsigned(-1), unsigned(4_294_967_295)
    (3, None, None)
    """
    return value if value is not None and 0 <= value <= _LARGEST else None


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of a name; None when there is none of that name."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def moment(day: date | None, time: str | None, offset: str | None, zone: str) -> str | None:
    """A day and a time of DICOM as a dateTime: with the zone, or the day alone where none is known.

    `offset`: Timezone Offset From UTC as sent; `zone`: of devices that do not send it.

    >>> moment(date(2024, 3, 15), "143000.25", "+0100", "")
    '2024-03-15T14:30:00.25+01:00'
    >>> moment(date(2024, 7, 15), "1430", None, "Europe/Berlin")
    '2024-07-15T14:30:00+02:00'
    >>> moment(date(2024, 3, 15), "143000", None, ""), moment(None, "143000", "+0100", "")
    ('2024-03-15', None)
    """
    if day is None:
        return None
    match = _TIME.fullmatch(time.strip()) if time else None
    if match is None:
        return day.isoformat()
    hour, minute, second = (int(part or 0) for part in match.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return day.isoformat()
    shift = _shift(offset) or _zoned(zone, day, hour, minute)
    if shift is None:
        return day.isoformat()
    fraction = f".{match[4]}" if match[4] else ""
    return f"{day.isoformat()}T{hour:02}:{minute:02}:{min(second, 59):02}{fraction}{shift}"


def _shift(offset: str | None) -> str | None:
    """An offset as FHIR writes it; of a list the first one.

    >>> _shift("+0530"), _shift("-0000"), _shift("+1500"), _shift("")
    ('+05:30', '+00:00', None, None)
    """
    match = _OFFSET.fullmatch((offset or "").split("\\")[0].strip())
    if match is None:
        return None
    hours, minutes = int(match[2]), int(match[3])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        return None
    return f"{'+' if not hours + minutes else match[1]}{match[2]}:{match[3]}"


@lru_cache(maxsize=65536)
def _zoned(zone: str, day: date, hour: int, minute: int) -> str | None:
    known = zone_of(zone)
    if known is None:
        return None
    return _written(datetime(day.year, day.month, day.day, hour, minute, tzinfo=known).utcoffset())


def _written(shift: timedelta | None) -> str:
    minutes = round((shift or timedelta()).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def instant(when: datetime | None) -> str | None:
    """A moment of our own, in UTC, as an instant."""
    if when is None:
        return None
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def coding(value: str | None, scheme: str | None, meaning: str | None) -> Json | None:
    """A code of DICOM as a Coding; None where its scheme is no public one.

    >>> coding("T-D3000", "SRT", "Chest")
    {'system': 'http://snomed.info/sct', 'code': '816094009', 'display': 'Chest'}
    >>> coding("X1", "99ACME", "Ours")
    """
    found = _coding(line(value), line(scheme))
    if found is None:
        return None
    made = {"system": found[0], "code": found[1]}
    if shown := line(meaning):
        made["display"] = shown
    return made


@lru_cache(maxsize=16384)
def _coding(value: str | None, scheme: str | None) -> tuple[str, str] | None:
    if not value or not scheme:
        return None
    value, scheme = normal(value, scheme)
    system = SYSTEMS.get(scheme) or SYSTEMS.get(scheme.upper())
    if system == SCT and not value.isdecimal():
        return None  # a SNOMED-RT identifier that has no successor
    return (system, value) if system else None


def concept(value: str | None, scheme: str | None, meaning: str | None) -> Json | None:
    """A code of DICOM as a CodeableConcept: a text alone where its scheme is no public one."""
    made: Json = {}
    if found := coding(value, scheme, meaning):
        made["coding"] = [found]
    if said := line(meaning):
        made["text"] = said
    return made or None


def concept_of(code: Code) -> Json:
    """A code of ours as a CodeableConcept."""
    return {"coding": [coding_of(code)], "text": code.meaning}


def coding_of(code: Code) -> Json:
    """A code of ours as a Coding."""
    return {"system": SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}


def quantity(value: float | None, unit: str, shown: str = "") -> Json | None:
    """A number and its unit of UCUM; None for no number, and for one that is none.

    >>> quantity(5.0, "mL"), quantity(float("nan"), "mL")
    ({'value': 5, 'unit': 'mL', 'system': 'http://unitsofmeasure.org', 'code': 'mL'}, None)
    """
    if value is None or not isfinite(value):
        return None
    return {"value": plain(value), "unit": shown or unit, "system": UCUM, "code": unit}


def plain(value: float) -> int | float:
    """A number without needless digits, and none that only binary numbers have.

    >>> plain(2.0), plain(0.1 + 0.2)
    (2, 0.3)
    """
    short = float(f"{value:.12g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def filled(**members: Any) -> Json:
    """Members that have something in them.

    >>> filled(a=1, b=None, c=[], d="", e=0, f={})
    {'a': 1, 'e': 0}
    """
    return {n: v for n, v in members.items() if v is not None and v != [] and v != "" and v != {}}
