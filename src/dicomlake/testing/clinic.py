"""A made-up clinic that works by the clock, written straight into the tables of a lake.

Every device opens, examines one patient after the other with known pauses, and closes; what is
untidy about times is planted and listed. So what devices did is known to the second.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.lake import Store
from dicomlake.lake.files import order_of


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the clinic: where it stands, what it is, when it works and how long it takes."""

    institution: str
    department: str
    station: str
    Modality: str
    model: str
    serial: str
    opens: int
    """Minutes since midnight."""
    closes: int
    minutes: int
    """Of an examination, from the first picture to the last."""
    pause: int
    """Minutes between two patients."""
    series: int = 3
    weekends: bool = False


_NORTH, _LAKE = "Northfield Hospital", "Lakeside Practice"
_RADIOLOGY, _EMERGENCY = "Radiology", "Emergency"
CLINIC = (
    Device(_NORTH, _RADIOLOGY, "CT 1", "CT", "Model Aurora", "N-101", 420, 1020, 12, 9),
    Device(_NORTH, _RADIOLOGY, "CT 2", "CT", "Model Aurora", "N-102", 480, 960, 15, 20),
    Device(_NORTH, _RADIOLOGY, "MR 1", "MR", "Model Boreal", "N-201", 420, 1200, 32, 8, 6),
    Device(_NORTH, _RADIOLOGY, "MR 2", "MR", "Model Boreal", "N-202", 480, 1020, 35, 25, 6),
    Device(_NORTH, _EMERGENCY, "CT E", "CT", "Model Cirrus", "N-301", 3, 1430, 10, 65, 3, True),
    Device(_NORTH, _EMERGENCY, "DX E", "DX", "Model Dune", "N-302", 4, 1430, 2, 28, 2, True),
    Device(_NORTH, "Cardiology", "US 3", "US", "Model Echo", "N-401", 510, 960, 14, 11, 1),
    Device(_LAKE, _RADIOLOGY, "MR A", "MR", "Model Fjord", "L-101", 450, 1080, 28, 14, 5),
    Device(_LAKE, _RADIOLOGY, "DX A", "DX", "Model Dune", "L-102", 480, 960, 2, 13, 2),
    Device(_LAKE, "Breast Centre", "MG A", "MG", "Model Grove", "L-201", 480, 900, 6, 9, 4),
)
"""Ten devices of two institutions."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What one device did for one patient."""

    device: Device
    patient: int
    study: int
    began: datetime
    ended: datetime


def examinations(
    weeks: int, first: date = date(2024, 1, 1), seed: int = 7, devices: tuple[Device, ...] = CLINIC
) -> Iterator[Examination]:
    """What the clinic does, in order of devices and time; `first` is a Monday."""
    chance, number = random.Random(seed), 0
    for device in devices:
        for day in (first + timedelta(days=n) for n in range(7 * weeks)):
            if day.weekday() > 4 and not device.weekends:
                continue
            at = datetime(day.year, day.month, day.day) + timedelta(minutes=device.opens)
            closes = at + timedelta(minutes=device.closes - device.opens)
            while at + timedelta(minutes=device.minutes) <= closes:
                if chance.random() < 0.9:  # or the patient did not come
                    ended = at + timedelta(minutes=device.minutes)
                    yield Examination(device, chance.randrange(400 * weeks), number, at, ended)
                    number += 1
                at += timedelta(minutes=device.minutes + device.pause)


def write(path: Path, weeks: int = 4, seed: int = 7, first: date = date(2024, 1, 1)) -> Store:
    """A lake of the clinic; the series of an examination share its time evenly."""
    store = Store.create(path)
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    elements: dict[str, list[Any]] = {name: [] for name in _ELEMENTS}
    first_id = store.next_id()
    for each in examinations(weeks, first, seed):
        _add(columns, elements, each, first_id)
    rows = _table(columns, tables.SERIES)
    order = [("path", "ascending"), ("series_id", "ascending")]
    store.append("elements", _table(elements, tables.ELEMENTS).sort_by(order))
    store.append("series", rows.sort_by(order_of("series")))
    return store


_COLUMNS = """series_id patient_key study_key source complete instances indexed run_id varying
PatientID StudyInstanceUID SeriesInstanceUID StudyDate StudyTime SeriesDate SeriesTime
AcquisitionDate AcquisitionTime Modality ImageType InstitutionName InstitutionalDepartmentName
StationName Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions
SeriesNumber StudyDescription""".split()
_ELEMENTS = """series_id path vr position text number number_max instances folded""".split()
_ASKED = (
    ("Modality", "CS"), ("InstitutionName", "LO"), ("InstitutionalDepartmentName", "LO"),
    ("StationName", "SH"), ("ManufacturerModelName", "LO"), ("DeviceSerialNumber", "LO"),
    ("PatientID", "LO"),
)  # fmt: skip
"""Attributes that can be asked for."""


def _add(columns: dict[str, Any], elements: dict[str, Any], each: Examination, base: int) -> None:
    device, count = each.device, each.device.series
    step = (each.ended - each.began) / count
    for n in range(count):
        began, ended = each.began + n * step, each.began + (n + 1) * step
        number = base + len(columns["series_id"])
        several = ended > began
        row = {
            "series_id": number, "patient_key": each.patient, "study_key": each.study,
            "source": "clinic", "complete": "all", "instances": 10, "run_id": "clinic",
            "indexed": (each.ended + timedelta(minutes=5)).replace(tzinfo=UTC),
            "varying": ["AcquisitionTime"] if several else [],
            "PatientID": f"P{each.patient:06}", "StudyInstanceUID": f"2.25.7.{each.study}",
            "SeriesInstanceUID": f"2.25.7.{each.study}.{n + 1}", "StudyDate": each.began.date(),
            "StudyTime": f"{each.began:%H%M%S}", "SeriesDate": began.date(),
            "SeriesTime": f"{began:%H%M%S}", "AcquisitionDate": began.date(),
            "AcquisitionTime": f"{began:%H%M%S}", "Modality": device.Modality,
            "ImageType": ["ORIGINAL", "PRIMARY"], "InstitutionName": device.institution,
            "InstitutionalDepartmentName": device.department, "StationName": device.station,
            "Manufacturer": "Made Up", "ManufacturerModelName": device.model,
            "DeviceSerialNumber": device.serial, "SoftwareVersions": ["7.1"],
            "SeriesNumber": n + 1, "StudyDescription": f"{device.Modality} {device.department}",
        }  # fmt: skip
        for name, value in row.items():
            columns[name].append(value)
        seconds = began.hour * 3600 + began.minute * 60 + began.second + began.microsecond / 1e6
        last = seconds + step.total_seconds()
        told: list[tuple[Any, ...]]
        told = [(number, "AcquisitionTime", "TM", None, None, seconds, last, 10, True)]
        told += [(number, path, vr, 1, row[path], None, None, 10, False) for path, vr in _ASKED]
        for one in told:
            for name, value in zip(_ELEMENTS, one, strict=True):
                elements[name].append(value)


def _table(columns: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    """Columns in the order of a table; those that are not given are null."""
    length = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(length, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
