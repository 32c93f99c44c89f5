"""The columns of what is told of dose: one schema per table, with units, as `tables` has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from dicomlake import tables


def _text(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.string(), True, {"comment": comment})


def _texts(name: str, comment: str) -> pa.Field:
    kind = pa.list_(pa.field("element", pa.string()))
    return pa.field(name, kind, True, {"comment": comment})


def _whole(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.int64(), True, {"comment": comment})


def _truth(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.bool_(), True, {"comment": comment})


def _day(name: str, comment: str) -> pa.Field:
    return pa.field(name, pa.date32(), True, {"comment": comment})


def _moment(name: str, comment: str) -> pa.Field:
    return pa.field(name, tables.STAMP, True, {"comment": comment})


def _number(name: str, comment: str, unit: str = "") -> pa.Field:
    more = {"unit": unit} if unit else {}
    said = f"{comment}, {unit}" if unit else comment
    return pa.field(name, pa.float64(), True, {"comment": said, **more})


UNITS = {
    "CTDIvol": "mGy", "DLP": "mGy.cm", "DAP": "Gy.m2", "RP": "mGy", "AGD": "mGy",
    "AGD_right": "mGy", "AGD_left": "mGy", "activity": "MBq", "effective_dose": "mSv",
    "SSDE": "mGy", "peak_skin_dose": "mGy", "fluoro_time": "s",
}  # fmt: skip
"""The unit of every quantity of dose here, UCUM."""
SHOWN = {"Gy.m2": ("cGy.cm2", 1e6)}
"""Units in which people read what is kept in others, and the factor."""

_PATIENT = [
    _whole("patient_key", "number of the patient as in series, or of whom a site says it is"),
    _text("PatientID", "Patient ID"),
    _text("IssuerOfPatientID", "Issuer of Patient ID"),
    _text("PatientSex", "Patient's Sex"),
    _number("age", "age at the study", "a"),
    _number("PatientSize", "Patient's Size", "m"),
    _number("PatientWeight", "Patient's Weight", "kg"),
]
_STUDY = [
    _text("StudyInstanceUID", "Study Instance UID"),
    _day("StudyDate", "Study Date"),
    _text("StudyDescription", "Study Description"),
    _text("AccessionNumber", "Accession Number"),
]
_DEVICE = [
    _text("device", "name of the device: as mapped, else model and station or serial number"),
    _text("Manufacturer", "Manufacturer"),
    _text("ManufacturerModelName", "Manufacturer's Model Name"),
    _text("StationName", "Station Name"),
    _text("DeviceSerialNumber", "Device Serial Number"),
    _text("SoftwareVersions", "Software Versions, joined by a comma"),
    _text("InstitutionName", "Institution Name"),
]
_PERSONAL = [
    _truth("not_patient", "whether it is of a phantom, a test or quality assurance"),
    _texts("why_not", "why there is no effective dose or size-specific dose, or why it is no "
           "patient, in words"),
]  # fmt: skip
_ESTIMATED = [
    _text("factor_set", "set of factors of the effective dose"),
    _text("tissue_weighting", "tissue weighting of the set: ICRP 60 or ICRP 103"),
]

EVENTS = pa.schema(
    [
        *_PATIENT,
        *_STUDY,
        *_DEVICE,
        _text("SOPInstanceUID", "the document or image that tells of it"),
        _text("SeriesInstanceUID", "its series"),
        _text("source", "RDSR, enhanced SR, image or secondary capture"),
        _text("kind", "CT, projection, mammography or radiopharmaceutical"),
        _text("event_key", "irradiation event UID, or what stands for it"),
        _moment("started", "when irradiation or administration began, in UTC"),
        _text("type", "acquisition type or event type, SCHEME:VALUE"),
        _text("type_meaning", "its meaning as sent"),
        _text("protocol", "acquisition protocol as sent"),
        _text("standard_protocol", "standard name of the protocol; null: no rule fits"),
        _text("region", "target region, SCHEME:VALUE"),
        _text("region_meaning", "its meaning as sent"),
        _text("laterality", "side, SCHEME:VALUE"),
        _text("view_meaning", "image view as sent"),
        _text("plane", "acquisition plane: single, A or B"),
        _whole("phantom", "diameter of the phantom of CTDIvol in cm: 16 (head) or 32 (body)"),
        _number("CTDIvol", "mean CTDIvol", "mGy"),
        _number("DLP", "dose length product", "mGy.cm"),
        _number("DAP", "dose area product", "Gy.m2"),
        _number("RP", "air kerma at the reference point", "mGy"),
        _number("AGD", "average glandular dose", "mGy"),
        _number("activity", "administered activity", "MBq"),
        _text("agent_meaning", "radiopharmaceutical as sent"),
        _number("KVP", "tube voltage", "kV"),
        _number("XRayTubeCurrent", "tube current", "mA"),
        _number("Exposure", "exposure", "mA.s"),
        _number("ExposureTime", "exposure time", "ms"),
        _number("length", "scanning length", "mm"),
        _number("SpiralPitchFactor", "pitch factor", "1"),
        _number("BodyPartThickness", "compression thickness", "mm"),
        _number("effective_dose", "effective dose, an estimate for a reference person", "mSv"),
        *_ESTIMATED,
        _text("factor_region", "region of the factor"),
        _text("age_class", "reference age of the factor"),
        _number("factor", "the factor", "mSv/(mGy.cm)"),
        _number("SSDE", "size-specific dose estimate by AAPM 204", "mGy"),
        _number("SSDE_sent", "size-specific dose estimate as sent", "mGy"),
        _number("size_used", "diameter that SSDE was made with", "mm"),
        _text("size_source", "where it is from: as sent, water equivalent, localiser calibrated, "
              "localiser, localiser with one view, or given"),
        _number("peak_skin_dose", "peak skin dose as a report gives it for this event", "mGy"),
        _number("CTDIvol_alert", "dose check: alert value", "mGy"),
        _number("CTDIvol_alert_estimate", "dose check: forward estimate above it", "mGy"),
        _number("DLP_alert", "dose check: alert value", "mGy.cm"),
        _number("DLP_alert_estimate", "dose check: forward estimate above it", "mGy.cm"),
        *_PERSONAL,
    ],
    {"comment": "one row per irradiation event that counts"},
)  # fmt: skip


def _told(name: str, what: str, unit: str) -> list[pa.Field]:
    """A quantity of a study: what counts, what its events and its documents say."""
    return [
        _number(name, f"{what} of the study", unit),
        _number(f"{name}_events", f"{what}: sum over its events", unit),
        _number(f"{name}_stated", f"{what}: as its documents state it", unit),
        _truth(f"{name}_differs", f"whether both differ by more than 5 %: {what}"),
    ]


STUDIES = pa.schema(
    [
        *_PATIENT,
        *_STUDY,
        *_DEVICE,
        _texts("kinds", "kinds of dose"),
        _texts("standard_protocols", "standard names of its protocols"),
        _whole("events", "irradiation events that count"),
        _whole("events_stated", "irradiation events as the documents that count state them"),
        _number("CTDIvol_head", "largest CTDIvol on the phantom of 16 cm", "mGy"),
        _number("CTDIvol_body", "largest CTDIvol on the phantom of 32 cm", "mGy"),
        _number("CTDIvol_unknown", "largest CTDIvol where no phantom is said", "mGy"),
        *_told("DLP", "dose length product", "mGy.cm"),
        *_told("DAP", "dose area product", "Gy.m2"),
        _number("DAP_fluoro", "dose area product of fluoroscopy", "Gy.m2"),
        _number("DAP_acquisition", "dose area product of acquisitions", "Gy.m2"),
        *_told("RP", "air kerma at the reference point", "mGy"),
        _number("fluoro_time", "fluoroscopy time", "s"),
        *_told("AGD_right", "average glandular dose of the right breast", "mGy"),
        *_told("AGD_left", "average glandular dose of the left breast", "mGy"),
        _number("AGD_unknown", "average glandular dose where no side is said", "mGy"),
        _number("activity", "administered activity", "MBq"),
        _number("peak_skin_dose", "largest peak skin dose that a report gives", "mGy"),
        _number("effective_dose", "effective dose of CT, an estimate: sum of one set", "mSv"),
        _number("effective_dose_head", "of it that of head and neck", "mSv"),
        _number("effective_dose_body", "of it that of the body", "mSv"),
        *_ESTIMATED,
        _whole("unestimated", "events with DLP that have no effective dose"),
        *_PERSONAL,
    ],
    {"comment": "one row per study with dose"},
)

SUMMED = ("DLP", "DAP", "RP", "AGD_right", "AGD_left", "activity", "effective_dose")
"""Quantities that are added over studies of a patient."""

PATIENTS = pa.schema(
    [
        *_PATIENT[:4],
        _whole("studies", "studies with dose"),
        _day("first", "day of the first of them"),
        _day("last", "day of the last"),
        _whole("undated", "of them without a day: in no window"),
        _whole("days", "length of the window in days"),
        *[
            field
            for name in SUMMED
            for field in (
                _number(f"{name}_highest", f"highest sum of {name} in a window", UNITS[name]),
                _day(f"{name}_highest_until", f"last day of the window with most {name}"),
                _number(f"{name}_now", f"sum of {name} in the window that ends now", UNITS[name]),
                _number(f"{name}_total", f"sum of all {name}", UNITS[name]),
            )
        ],
        *_ESTIMATED,
        _whole("unestimated", "events with DLP that have no effective dose"),
    ],
    {"comment": "one row per patient with dose"},
)
"""What patients have got; the effective dose is an estimate of one set."""

HISTORY = pa.schema(
    [
        *STUDIES,
        _whole("days", "length of the window in days"),
        *[
            _number(f"{name}_window", f"{name} of this study and those in the days before it",
                    UNITS[name])
            for name in SUMMED
        ],
    ],
    {"comment": "one row per study of a patient, oldest first"},
)  # fmt: skip

LEVELS = pa.schema(
    [
        _text("standard_protocol", "standard name of the protocol"),
        _text("kind", "CT, projection, mammography or radiopharmaceutical"),
        _text("device", "name of the device"),
        _text("quantity", "quantity that is compared"),
        _text("unit", "unit of all numbers of the row"),
        _text("per", "what the values are of: sequence (one event) or examination (a study)"),
        _whole("phantom", "diameter of the phantom of CTDIvol in cm"),
        _text("group", "patients of the level: adult, 5-<15 kg, ..."),
        _whole("n", "patients that are compared: one value of each"),
        _number("median", "median of the values"),
        _number("q1", "first quartile"),
        _number("q3", "third quartile"),
        _number("smallest", "smallest value"),
        _number("largest", "largest value"),
        _number("low", "lower end of the 95 % interval of the median"),
        _number("high", "upper end of the 95 % interval of the median"),
        _day("first", "first study"),
        _day("last", "last study"),
        _texts("excluded", "what was left out and how often: 3 another size, ..."),
        _text("country", "country of the level; null: there is none to compare with"),
        _text("exam", "examination as the source of the level calls it"),
        _text("indication", "indication of the level"),
        _number("level", "the diagnostic reference level"),
        _number("ratio", "median by level"),
        _text("verdict", "above, not above, too few, or no level"),
        _day("valid_from", "first day of the level"),
        _day("valid_to", "its last day"),
        _text("source", "where the level is from"),
        _text("verification", "how the level was checked"),
    ],
    {"comment": "one row per protocol, device, quantity and level; never about one patient"},
)

ALARMS = pa.schema(
    [
        _text("alarm_id", "name of the alarm; always the same for the same rule and event"),
        _text("rule", "name of the rule"),
        _text("set", "set of the rule"),
        _text("quantity", "quantity with a limit"),
        _number("value", "what there is, in the unit of the rule"),
        _number("limit", "the limit, in the unit of the rule"),
        _text("unit", "unit of value and limit"),
        _text("per", "event, study or window"),
        _whole("days", "length of the window in days"),
        *_PATIENT[:4],
        *_STUDY,
        _text("event_key", "the event, of alarms of events"),
        _text("kind", "kind of dose"),
        _text("device", "name of the device"),
        _text("standard_protocol", "standard name of the protocol, of alarms of events"),
        _truth("holds", "whether the lake says so now; false: what came later took it back"),
        _text("state", "open, seen or closed"),
        _text("reason", "why it is in that state, in words"),
        _text("who", "who said so"),
        _moment("changed", "when they did"),
        _moment("noticed", "when the alarm was first looked at; null: not yet"),
    ],
    {"comment": "one row per alarm, newest study first"},
)

OUTLIERS = pa.schema(
    [
        _text("event_key", "the event"),
        *_PATIENT[:2],
        *_STUDY,
        _text("SOPInstanceUID", "the document or image that tells of it"),
        _text("kind", "kind of dose"),
        _text("device", "name of the device"),
        _text("ManufacturerModelName", "model, which makes the group with protocol and size"),
        _text("standard_protocol", "standard name of the protocol"),
        _text("size_bin", "size of the patients of the group"),
        _text("quantity", "quantity that stands out"),
        _number("value", "its value"),
        _text("unit", "unit of value, median and limit"),
        _number("median", "median of the group"),
        _number("z", "robust z: distance from the median of the logarithms in 1.4826 MAD"),
        _whole("n", "events of the group"),
        _text("tail", "high or low"),
        _text("why", "robust z or hard limit"),
        _number("limit", "the limit that it is beyond: of z, or in the unit"),
    ],
    {"comment": "one row per event and quantity that stands out of its group, farthest first"},
)

TRENDS = pa.schema(
    [
        _text("device", "name of the device"),
        _text("ManufacturerModelName", "model"),
        _text("standard_protocol", "standard name of the protocol"),
        _text("quantity", "quantity"),
        _text("unit", "unit of the median"),
        _text("SoftwareVersions", "software of the device in that time"),
        _day("first", "first study with it"),
        _day("last", "last study with it"),
        _whole("n", "events"),
        _number("median", "median of the quantity"),
        _number("change", "median by that of the software before; null: the first, or too few"),
    ],
    {"comment": "one row per device, protocol, quantity and software, in order"},
)

PROTOCOLS = pa.schema(
    [
        _text("kind", "kind of dose"),
        _text("ManufacturerModelName", "model of the device"),
        _text("protocol", "acquisition protocol as sent"),
        _text("StudyDescription", "Study Description"),
        _text("region_meaning", "target region as sent"),
        _text("standard_protocol", "standard name; null: no rule fits"),
        _text("rule", "the rule that says so"),
        _whole("events", "irradiation events"),
        _whole("studies", "studies"),
        _day("first", "first study"),
        _day("last", "last study"),
    ],
    {"comment": "one row per protocol as sent, most events first"},
)

FACTORS = pa.schema(
    [
        _text("set", "name of the set"),
        _text("weighting", "tissue weighting"),
        _text("region", "region of the body"),
        _text("age_class", "reference age"),
        _number("k", "factor", "mSv/(mGy.cm)"),
        _text("phantom", "by age: DLP of children, heads and necks on 16 cm, else on 32 cm; "
              "16 or 32: of that phantom; empty: not said"),
        _text("source", "where it is from"),
        _text("verification", "how it was checked"),
    ],
    {"comment": "one row per factor of effective dose"},
)  # fmt: skip

ALL = {
    "events": EVENTS, "studies": STUDIES, "patients": PATIENTS, "patient": HISTORY,
    "levels": LEVELS, "alarms": ALARMS, "outliers": OUTLIERS, "trends": TRENDS,
    "protocols": PROTOCOLS, "factors": FACTORS,
}  # fmt: skip
"""Every table of dose by the name of what makes it."""


def table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of a schema; what a row lacks is null."""
    listed = list(rows)
    columns = [pa.array([row.get(f.name) for row in listed], f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def fitted(schema: pa.Schema, found: pa.Table) -> pa.Table:
    """The columns of a schema of a table that has them; those that it lacks are empty."""
    columns = [
        found.column(f.name).cast(f.type)
        if f.name in found.column_names
        else pa.nulls(found.num_rows, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def unit_of(field: pa.Field) -> str:
    """The unit of a column, "" where it has none."""
    found = (field.metadata or {}).get(b"unit", b"")
    return str(found.decode())
