"""Series with faults on purpose: for each fault a series of its own, and the truth about them.

Beside them stand series without any fault, made by the same devices, one of which has a clock that
is ahead. Patients have made-up names, and nothing of them may be seen in a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dicomlake.testing.dicom import Value, encode, image, uid

MR = "1.2.840.10008.5.1.4.1.1.4"
AHEAD_S = 20 * 60
"""How far the clock of CT4 is ahead of those of CT1, CT2 and CT3."""
DEVICES = ("CT1", "CT2", "CT3", "CT4")
STUDIES = 8
"""Studies of each device that are without a fault."""
SECRET = "Geheimnis"
"""The family name of all patients."""

Attributes = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Made:
    """A series: its name, its objects, and the rules that it breaks with how many findings."""

    name: str
    objects: tuple[Attributes, ...]
    faults: Counter[str]

    @property
    def SeriesInstanceUID(self) -> str:
        """Its UID."""
        return uid("faults", self.name)


def _ct(series: str, at: int = 1, **more: Value) -> Attributes:
    """An object without a fault."""
    said: Attributes = {
        "StudyInstanceUID": uid("faults", "study", series),
        "SeriesInstanceUID": uid("faults", series),
        "SOPInstanceUID": uid("faults", series, at),
        "FrameOfReferenceUID": uid("faults", "frame", series),
        "PatientName": f"{SECRET}^{series}",
        "PatientID": f"F-{series}",
        "InstanceNumber": at,
        "ImagePositionPatient": [-50, -50, 5 * at],
        "SpacingBetweenSlices": 5,
        "SliceLocation": ...,
        "PositionReferenceIndicator": "",
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "AcquisitionNumber": 1,
        "BodyPartExamined": "CHEST",
        "ManufacturerModelName": "Model 1",
        "DeviceSerialNumber": "CT1",
        "StationName": "CT1",
        "InstitutionName": "House 1",
        **_at("20210304", "101500", 60),
    }
    return image(**{**said, **more})


def _mr(series: str, at: int = 1, **more: Value) -> Attributes:
    said: Attributes = {
        "SOPClassUID": MR, "Modality": "MR", "BodyPartExamined": "BRAIN",
        "ScanningSequence": "SE", "SequenceVariant": "NONE", "ScanOptions": "",
        "MRAcquisitionType": "2D", "RepetitionTime": 500, "EchoTime": 10, "EchoTrainLength": 1,
        "MagneticFieldStrength": 3, "FlipAngle": 90, "KVP": ..., "RescaleIntercept": ...,
        "RescaleSlope": ..., "ManufacturerModelName": "Model 2", "DeviceSerialNumber": "MR1",
        "StationName": "MR1",
    }  # fmt: skip
    return _ct(series, at, **{**said, **more})


def _at(day: str, clock: str, late_s: float) -> Attributes:
    """When a study was, and its series so many seconds later by the clock of the device."""
    study = datetime.strptime(day + clock, "%Y%m%d%H%M%S")
    own = study + timedelta(seconds=late_s)
    said: Attributes = {"StudyDate": day, "StudyTime": clock}
    for what in ("Series", "Acquisition", "Content"):
        said[f"{what}Date"], said[f"{what}Time"] = f"{own:%Y%m%d}", f"{own:%H%M%S}"
    return said


def _stack(series: str, places: tuple[int, ...], **more: Value) -> tuple[Attributes, ...]:
    return tuple(
        _ct(series, at, ImagePositionPatient=[-50, -50, 5 * place], **more)
        for at, place in enumerate(places, 1)
    )


# rule -> what makes a CT break it, alone
_SINGLE: dict[str, Attributes] = {
    "value against its VR": {"PatientSize": "one seventy"},
    "enumerated value": {"PatientSex": "W"},
    "value not listed": {"BodyPartExamined": "KOPF"},
    "type 1 missing": {"RescaleSlope": ...},
    "type 1 empty": {"PixelSpacing": ""},
    "type 2 missing": {"AccessionNumber": ...},
    "date in the future": {"ContentDate": "29990101"},
    "birth after the study": {"PatientBirthDate": "20220101"},
    "birth long ago": {"PatientBirthDate": "18800101"},
    "age against birth date": {"PatientAge": "031Y"},
    "weight out of range": {"PatientWeight": 7000},
    "height out of range": {"PatientSize": 172},
    "slice thickness is 0": {"SliceThickness": 0},
    "slice thickness is odd": {"SliceThickness": 500},
    "KVP is odd": {"KVP": 120000},
    "negative number": {"ExposureTime": -5},
    "pixel spacing is 0": {"PixelSpacing": [0, 0]},
    "bits stored": {"BitsStored": 17},
    "orientation": {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
    "fewer instances than acquired": {"ImagesInAcquisition": 40},
    "study after its series": {"SeriesDate": "20200101"},
    "content before acquisition": {"ContentTime": "090000"},
    "body part missing": {"BodyPartExamined": ""},
    "laterality missing": {"BodyPartExamined": "KNEE"},
    "laterality contradicts": {"BodyPartExamined": "KNEE", "Laterality": "L",
                               "ImageLaterality": "R"},
    "modality against class": {"Modality": "CR"},
}  # fmt: skip
_SINGLE_MR: dict[str, Attributes] = {
    "field strength is odd": {"MagneticFieldStrength": 15000},
    "flip angle is odd": {"FlipAngle": 900},
    "echo after repetition": {"EchoTime": 600},
}
# What breaks two rules: the first names the series.
_DOUBLE: dict[tuple[str, str], Attributes] = {
    ("date before 1900", "study after its series"): {"SeriesDate": "18500101"},
    ("body part not known", "value not listed"): {"BodyPartExamined": "Q7"},
    ("acquired before the study", "clock differs"): {"AcquisitionDate": "20210301"},
}


def series() -> Iterator[Made]:
    """All series, always the same ones."""
    for at in range(STUDIES):
        for device in DEVICES:
            name = f"clean {device} {at}"
            late = 60 + (AHEAD_S if device == "CT4" else 0)
            when = _at(f"2021{at % 12 + 1:02d}04", "101500", late)
            said: Attributes = {"DeviceSerialNumber": device, "StationName": device, **when}
            yield Made(name, _stack(name, (1, 2, 3), **said), Counter())
    for rule, said in _SINGLE.items():
        yield Made(rule, (_ct(rule, **said),), Counter([rule]))
    for rule, said in _SINGLE_MR.items():
        yield Made(rule, (_mr(rule, **said),), Counter([rule]))
    for both, said in _DOUBLE.items():
        yield Made(both[0], (_ct(both[0], **said),), Counter(both))
    yield from _several()


def _several() -> Iterator[Made]:
    """Faults that take several objects or series."""
    name = "instance numbers repeat"
    yield Made(name, tuple({**one, "InstanceNumber": 1} for one in _stack(name, (1, 2))),
               Counter([name]))  # fmt: skip
    name = "instance numbers have gaps"
    gaps = ({**one, "InstanceNumber": n} for one, n in zip(_stack(name, (1, 2, 3)), (1, 2, 7),
                                                           strict=True))  # fmt: skip
    yield Made(name, tuple(gaps), Counter([name]))
    yield Made("slices are missing", _stack("slices are missing", (1, 2, 3, 7)),
               Counter(["slices are missing"]))  # fmt: skip
    name = "spacing of slices disagrees"
    yield Made(name, _stack(name, (1, 2, 3), SpacingBetweenSlices=3.1), Counter([name]))
    name = "clock differs"
    yield Made(name, (_ct(name, **_at("20210304", "101500", 9 * 3600)),), Counter([name]))
    for part in ("a", "b"):
        name = f"study of several patients {part}"
        study: Attributes = {"StudyInstanceUID": uid("faults", "mixed study")}
        yield Made(name, (_ct(name, **study),), Counter(["study of several patients"]))
        name = f"object of several patients {part}"
        copied: Attributes = {"SOPInstanceUID": uid("faults", "copied")}
        yield Made(name, (_ct(name, **copied),), Counter(["object of several patients"]))
        name = f"several birth dates {part}"
        day = "19600102" if part == "a" else "19600201"
        born: Attributes = {"PatientID": "F-births", "PatientBirthDate": day}
        yield Made(name, (_ct(name, **born),), Counter(["several birth dates"]))
        name = f"several sexes {part}"
        sex: Attributes = {"PatientID": "F-sexes", "PatientSex": "M" if part == "a" else "F"}
        yield Made(name, (_ct(name, **sex),), Counter(["several sexes"]))


def truth() -> Counter[str]:
    """Findings of each rule in all series.

    >>> truth()["KVP is odd"], truth()["study of several patients"]
    (1, 2)
    """
    return sum((made.faults for made in series()), Counter())


def write(folder: Path) -> None:
    """Write all objects into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for made in series():
        for one in made.objects:
            number += 1
            (folder / f"{number:04d}.dcm").write_bytes(encode(one))
