"""What every engine must answer, on a small lake made by hand.

    class TestMine(EngineContract):
        @pytest.fixture
        def engine(self, tmp_path):
            folder = write(tmp_path / "objects")
            ...                             # make a lake of the folder
            histories.tell(store)           # and the facts and documents of its patients
            return MyEngine(lake)

The answers were written by hand, from `OBJECTS`. Things have short names: P1 is a patient, P1a one
of its studies, `ct` a series and `ct#2` its second instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts import Answer, Engine
from dicomlake.errors import UsageError
from dicomlake.query import LEVELS, Query, parse, parse_query
from dicomlake.terms import Code
from dicomlake.testing import histories
from dicomlake.testing.dicom import Description, encode, uid

if TYPE_CHECKING:
    import pyarrow as pa

_PATIENTS: dict[str, Description] = {
    "P1": {
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "PatientSex": "M",
        "PatientBirthDate": "19700105",
        "PatientAge": "050Y",
    },
    "P2": {
        "PatientName": "Doe^Jane",
        "PatientSex": "F",
        "PatientBirthDate": "19.05.1975",  # no DA
        "PatientAge": "018M",
    },
    "P3": {"PatientName": "Roe^Max", "PatientSex": None, "PatientAge": "old"},
}
_STUDIES: dict[str, Description] = {
    "P1a": {"StudyDate": "20200110", "StudyTime": "101500", "AccessionNumber": "A1"},
    "P1b": {"StudyDate": "20200301", "StudyTime": "235959.5", "AccessionNumber": "A2"},
    "P2a": {"StudyDate": "20210601", "StudyTime": "12:30", "AccessionNumber": "A3"},
    "P2b": {"StudyDate": "20210620", "StudyTime": "9999", "AccessionNumber": "A4"},
    "P3a": {},
}
_ACME = '(0009,"ACME",01)'
_B_VALUE = '(0019,"SIEMENS MR HEADER",0C)'
_LENGTH, _WIDTH = Code("410668003", "SCT", "Length"), Code("103355008", "SCT", "Width")


def _measured(concept: Code, number: float) -> Description:
    value = {"NumericValue": number, "MeasurementUnitsCodeSequence": [Code("mm", "UCUM", "mm")]}
    return {
        "ValueType": "NUM",
        "ConceptNameCodeSequence": [concept],
        "MeasuredValueSequence": [value],
    }


_SERIES: dict[str, tuple[str, Description, list[Description]]] = {
    "ct": (  # few different values
        "P1a",
        {
            "Modality": "CT",
            "BodyPartExamined": "CHEST",
            "SeriesDescription": "Thorax nativ",
            "KVP": 120,
            "SliceThickness": 5,
            "Rows": 512,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ContrastBolusAgent": None,
            "ProcedureCodeSequence": [Code("77477000", "SCT", "CT")],
        },
        [
            {"SliceLocation": 0, "ImageComments": "first"},
            {"SliceLocation": 5, "ImageComments": "second"},
            {"SliceLocation": 10, "ImageComments": "third"},
        ],
    ),
    "big": (  # so many different numbers, dates and texts that they fold
        "P1a",
        {
            "Modality": "CT",
            "BodyPartExamined": "CHEST",
            "SeriesDescription": "Lunge 100%_a",
            "KVP": 100,
            "SliceThickness": 2.5,
            "ImageType": ["DERIVED", "SECONDARY"],
        },
        [
            {
                "SliceLocation": 10 * n,
                "ImageComments": f"note {n + 1:02}",
                "ContentDate": date(2020, 1, 1) + timedelta(n),
                "XRayTubeCurrent": b"bad " if n == 3 else 100 + n,
            }
            for n in range(20)
        ],
    ),
    "mr": (
        "P1b",
        {
            "Modality": "MR",
            "BodyPartExamined": "PROSTATE",
            "SeriesDescription": "t2_tse_tra",
            "MagneticFieldStrength": 3,
            "ContrastBolusAgent": "Gadovist",
            "SoftwareVersions": ["syngo A", "B 2"],
            "AcquisitionDateTime": "20200301120000",
        },
        [
            {
                "EchoTime": 80,
                "ImageType": ["ORIGINAL", "PRIMARY", "M"],
                "DiffusionBValue": float("nan"),
                _B_VALUE: ("IS", 0),
            },
            {
                "EchoTime": 100,
                "ImageType": ["ORIGINAL", "PRIMARY", "P"],
                "DiffusionBValue": 1000.0,
                _B_VALUE: ("IS", 1000),
            },
        ],
    ),
    "sr": (
        "P1b",
        {
            "Modality": "SR",
            "InstanceNumber": ...,
            "ProcedureCodeSequence": [Code("P5-08000", "SRT", "CT")],
            "ContentSequence": [
                _measured(_LENGTH, 12.5),
                _measured(_WIDTH, 150),
                {
                    "ValueType": "CONTAINER",
                    "ContentSequence": [{"ValueType": "TEXT", "TextValue": "Kalk"}],
                },
            ],
        },
        [{}],
    ),
    "ecg": (
        "P2a",
        {
            "Modality": "ECG",
            "SeriesDescription": "Ruhe-EKG",
            "AcquisitionDateTime": "20210601003000+0200",
            "RequestAttributesSequence": [
                {"RequestedProcedureID": "R1", "ScheduledProcedureStepID": "S2"},
                {"RequestedProcedureID": "R2", "ScheduledProcedureStepID": "S1"},
            ],
            _ACME: ("LO", "north"),
        },
        [{}],
    ),
    "mr2": (
        "P2a",
        {
            "Modality": "MR",
            "BodyPartExamined": None,
            "SeriesDescription": " T1 MPRAGE ",
            "MagneticFieldStrength": 1.5,
            "EchoTime": 30,
            "RequestAttributesSequence": [],
        },
        [{}],
    ),
    "ct3": (
        "P2b",
        {
            "Modality": "CT",
            "KVP": b"abc ",  # no DS
            "SliceThickness": b"1.0 ",
            "RequestAttributesSequence": [{}],
        },
        [{}],
    ),
    "ot": (
        "P3a",
        {"EncapsulatedDocument": np.arange(6, dtype=np.uint8), _ACME: ("LO", "42")},
        [{}],
    ),
    "mix": (  # a column of `series` that varies inside a series
        "P3a",
        {"SeriesDate": "20220101"},
        [
            {"Modality": "CT", _ACME: ("IS", 7)},
            {"Modality": "PT", _ACME: ("UN", bytes(range(8)))},
        ],
    ),
}


def _objects() -> dict[str, Description]:
    found: dict[str, Description] = {}
    for series, (study, common, instances) in _SERIES.items():
        for number, own in enumerate(instances, 1):
            said: dict[str, Any] = {
                "SpecificCharacterSet": "ISO_IR 192",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
                "SOPInstanceUID": uid("engines", f"{series}#{number}"),
                "SeriesInstanceUID": uid("engines", series),
                "StudyInstanceUID": uid("engines", study),
                "PatientID": study[:2],
                "InstanceNumber": number,
            }
            for layer in (_PATIENTS[study[:2]], _STUDIES[study], common, own):
                said.update(layer)
            found[f"{series}#{number}"] = {k: v for k, v in said.items() if v is not ...}
    return found


OBJECTS: Mapping[str, Description] = _objects()
"""Every object by its name: 32 instances, 9 series, 5 studies, 3 patients."""

_NAMES = {uid("engines", name): name for name in [*OBJECTS, *_SERIES, *_STUDIES]}
_KEY = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}


def write(folder: Path) -> Path:
    """A folder with a file per object; it is made when it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, said) in enumerate(OBJECTS.items()):
        # Private creators move: ACME is in another block in every other file.
        block = 0x10 + number % 2
        blocks = {"ACME": block, "SIEMENS MR HEADER": block}
        (folder / f"{name.replace('#', '-')}.dcm").write_bytes(encode(said, blocks=blocks))
    return folder


def names(answer: Answer) -> list[str]:
    """The names of what an answer found, in its order."""
    found: list[str] = answer.rows.column(_KEY[answer.query.level]).to_pylist()
    return [_NAMES.get(name, name) for name in found]


ALL = "ct big mr sr ecg mr2 ct3 ot mix"

SERIES: dict[str, str] = {
    # texts
    "Modality = 'CT'": "ct big ct3 mix",
    "Modality != 'CT'": "mr sr ecg mr2 mix",
    "not Modality = 'CT'": "mr sr ecg mr2 ot",
    "Modality < 'ECG'": "ct big ct3 mix",
    "Modality <= 'ECG'": "ct big ct3 mix ecg",
    "Modality > 'MR'": "sr mix",
    "Modality >= 'MR'": "mr mr2 sr mix",
    "Modality = 'ct'": "",
    "SeriesDescription = 'T1 MPRAGE'": "mr2",
    "SoftwareVersions = 'B 2'": "mr",
    "SoftwareVersions = 'syngo A\\B 2'": "",
    "ImageType = 'AXIAL'": "ct",
    "ImageType = 'P'": "mr",
    "ImageComments = 'third'": "ct",
    "ImageComments = 'note 07'": "big",
    "ImageComments = 'note 99'": "",
    "ImageComments != 'note 07'": "ct big",
    "ImageComments < 'note 02'": "ct big",
    "ImageComments < 'note 01'": "ct",
    "ImageComments > 'note 20'": "ct",
    "ImageComments >= 'note 20'": "ct big",
    "ImageComments between 'note 03' and 'note 04'": "big",
    "ImageComments between 'note 030' and 'note 031'": "",
    "PatientName = 'Yamada^Tarou'": "ct big mr sr",
    "PatientName = '山田^太郎'": "ct big mr sr",
    "PatientName = 'Yamada^Tarou=山田^太郎=やまだ^たろう'": "ct big mr sr",
    "PatientName = '山田'": "",
    "PatientName != 'Yamada^Tarou'": "ecg mr2 ct3 ot mix",
    "PatientName > 'E'": "ct big mr sr ot mix",
    # numbers
    "KVP = 120": "ct",
    "KVP != 120": "big",
    "KVP < 120": "big",
    "KVP <= 120": "ct big",
    "KVP > 100": "ct",
    "KVP >= 100": "ct big",
    "KVP exists": "ct big ct3",
    "SliceThickness = 1": "ct3",
    "Rows = 512.0": "ct",
    "SliceLocation = 5": "ct",
    "SliceLocation = 70": "big",
    "SliceLocation = 75": "",
    "SliceLocation != 0": "ct big",
    "SliceLocation < 0": "",
    "SliceLocation <= 0": "ct big",
    "SliceLocation > 10": "big",
    "SliceLocation >= 190": "big",
    "SliceLocation > 190": "",
    "SliceLocation between 3 and 7": "ct",
    "SliceLocation between 41 and 49": "",
    "SliceLocation between 41 and 50": "big",
    "SliceLocation between -10 and 1000": "ct big",
    "EchoTime = 100": "mr",
    "EchoTime between 90 and 95": "",
    "EchoTime between 30 and 80": "mr mr2",
    "DiffusionBValue exists": "mr",
    "DiffusionBValue > 0": "mr",
    "DiffusionBValue <= 0": "",
    "DiffusionBValue != 1000": "",
    "InstanceNumber = 17": "big",
    "InstanceNumber > 2": "ct big",
    # dates, times and ages
    "StudyDate = 2020-03-01": "mr sr",
    "StudyDate = 2021": "ecg mr2 ct3",
    "StudyDate != 2020-01-10": "mr sr ecg mr2 ct3",
    "StudyDate < 2020-02-01": "ct big",
    "StudyDate >= 2021": "ecg mr2 ct3",
    "StudyDate between 2020-01-10 and 2020-03-01": "ct big mr sr",
    "StudyDate missing": "ot mix",
    "ContentDate = 2020-01-13": "big",
    "ContentDate = 2020-01-21": "",
    "ContentDate > 2020-01-19": "big",
    "PatientBirthDate = 1970-01-05": "ct big mr sr",
    "PatientBirthDate > 1900": "ct big mr sr",
    "PatientBirthDate exists": "ct big mr sr ecg mr2 ct3",
    "StudyTime = 10:15": "ct big",
    "StudyTime > 12:00": "mr sr ecg mr2",
    "StudyTime >= 23:59:59.5": "mr sr",
    "StudyTime exists": "ct big mr sr ecg mr2 ct3",
    "AcquisitionDateTime = 2021-06-01T00:30:00+02:00": "ecg",
    "AcquisitionDateTime = 2021-05-31T22:30:00": "ecg",
    "AcquisitionDateTime = 2021-05-31": "ecg",
    "AcquisitionDateTime = 2021-06-01": "",
    "AcquisitionDateTime < 2020-03-01T12:00:01": "mr",
    "PatientAge = 50Y": "ct big mr sr",
    "PatientAge < 2Y": "ecg mr2 ct3",
    "PatientAge >= 18M": "ct big mr sr ecg mr2 ct3",
    "PatientAge exists": ALL,
    # among
    "Modality in ('ECG', 'CT')": "ct big ecg ct3 mix",
    "SliceLocation in (5, 70.0)": "ct big",
    "SliceLocation in (75, 85)": "",
    "SliceLocation in (-1, 1000)": "",
    "StudyDate in (2020-01-10, 2021-06-20)": "ct big ct3",
    "PatientName in ('Doe^Jane', '山田^太郎')": "ct big mr sr ecg mr2 ct3",
    "PatientName in @names": "ct big mr sr",
    "AccessionNumber in @numbers": "mr sr ct3",
    "SliceLocation in @lengths": "big",
    "ImageComments in @notes": "big",
    # there or not
    "ContrastBolusAgent exists": "mr",
    "ContrastBolusAgent missing": "ct big sr ecg mr2 ct3 ot mix",
    "BodyPartExamined missing": "sr ecg mr2 ct3 ot mix",
    "RequestAttributesSequence exists": "ecg ct3",
    "RequestAttributesSequence missing": "ct big mr sr mr2 ot mix",
    "EncapsulatedDocument exists": "ot",
    "EncapsulatedDocument missing": "ct big mr sr ecg mr2 ct3 mix",
    "PatientWeight exists": "",
    "PatientWeight > 1": "",
    "PatientWeight missing": ALL,
    # parts of texts
    "SeriesDescription contains 'THORAX'": "ct",
    "SeriesDescription contains '%'": "big",
    "SeriesDescription contains '_'": "big mr",
    "ImageComments contains 'IR'": "ct",
    "ImageComments contains '07'": "big",
    "PatientName contains 'taro'": "ct big mr sr",
    "SeriesDescription like 't2_*'": "mr",
    "SeriesDescription like 'T2_*'": "",
    "SeriesDescription like '*100%?a'": "big",
    "SeriesDescription like '?????? nativ'": "ct",
    "SeriesDescription like 'text'": "",
    "ImageComments like 'note ?7'": "big",
    "ImageComments like 'note ?'": "",
    "PatientName like 'doe*'": "ecg mr2 ct3",
    "PatientName like '*tarou'": "ct big mr sr",
    "PatientName like '山田*'": "ct big mr sr",
    # codes
    "ProcedureCodeSequence within SCT:77477000": "ct sr",
    "ProcedureCodeSequence within SRT:P5-08000": "ct sr",
    "ProcedureCodeSequence within SCT:1": "",
    "*.ConceptNameCodeSequence within SCT:410668003": "sr",
    # paths
    "RequestAttributesSequence.RequestedProcedureID = 'R1'": "ecg",
    "*.RequestedProcedureID = 'R2'": "ecg",
    "RequestedProcedureID = 'R1'": "",
    "*.EchoTime = 30": "mr2",
    "*.NumericValue > 100": "sr",
    "*.SelectorOFValue exists": "",
    "ContentSequence.MeasuredValueSequence.NumericValue < 20": "sr",
    "ContentSequence.ContentSequence.TextValue contains 'kal'": "sr",
    "ContentSequence.TextValue exists": "",
    # private attributes
    f"{_B_VALUE} = 1000": "mr",
    f"{_B_VALUE} > 1000": "",
    f"{_ACME} exists": "ecg ot mix",
    f"{_ACME} = 42": "ot",
    f"{_ACME} = '42'": "ot",
    f"{_ACME} = 7": "mix",
    f"{_ACME} = '7'": "mix",
    f"{_ACME} > 7": "ot",
    f"{_ACME} != 'north'": "ot mix",
    f"{_ACME} in ('north', 7)": "ecg mix",
    f"{_ACME} contains 'ORT'": "ecg",
    '(0009,"SOMEBODY ELSE",01) exists': "",
    "(0009,0010) = 'ACME'": "ecg mix",
    "(0009,0011) = 'ACME'": "ot mix",
    "(0009,1001) exists": "",
    # joined
    "Modality = 'CT' and KVP = 100": "big",
    "KVP = 120 or EchoTime = 30": "ct mr2",
    "SliceLocation = 70 or ImageComments = 'third'": "ct big",
    "SliceLocation = 75 or ImageComments = 'note 99'": "",
    "not (Modality = 'CT' or Modality = 'MR')": "sr ecg ot",
    "not not Modality = 'SR'": "sr",
    "not SliceLocation = 70": "ct mr sr ecg mr2 ct3 ot mix",
    "not SliceLocation = 75 and Modality = 'CT'": "ct big ct3 mix",
    "SliceLocation = 5 and SliceLocation = 10": "ct",
    "RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S1'": "ecg",
    # counted
    "NumberOfSeriesRelatedInstances > 2": "ct big",
    "NumberOfSeriesRelatedInstances in (2, 20)": "big mr mix",
    "NumberOfSeriesRelatedInstances exists": ALL,
    "NumberOfSeriesRelatedInstances missing": "",
    "NumberOfStudyRelatedSeries = 1": "ct3",
    "NumberOfStudyRelatedInstances between 3 and 22": "mr sr ot mix",
    "NumberOfPatientRelatedStudies != 2": "ot mix",
    "NumberOfPatientRelatedSeries <= 3": "ecg mr2 ct3 ot mix",
    "NumberOfPatientRelatedInstances >= 26": "ct big mr sr",
    "ModalitiesInStudy = 'ECG'": "ecg mr2",
    "ModalitiesInStudy != 'CT'": "mr sr ecg mr2 ot mix",
    "ModalitiesInStudy like 'S?'": "mr sr",
    # one and the same
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S2')": "ecg",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S1')": "",
    "same(item, RequestAttributesSequence.RequestedProcedureID missing)": "ct3",
    "same(item, RequestAttributesSequence.RequestedProcedureID exists and not "
    "RequestAttributesSequence.RequestedProcedureID = 'R1')": "ecg",
    "same(item, *.ConceptNameCodeSequence within SCT:410668003 and *.NumericValue > 100)": "",
    "same(item, *.ConceptNameCodeSequence within SCT:103355008 and *.NumericValue > 100)": "sr",
    "same(item, ContentSequence.ConceptNameCodeSequence within SCT:410668003 and "
    "ContentSequence.MeasuredValueSequence.NumericValue < 20)": "sr",
    "same(instance, SliceLocation = 5 and ImageComments = 'second')": "ct",
    "same(instance, SliceLocation = 5 and ImageComments = 'third')": "",
    "same(instance, SliceLocation = 70 and ImageComments = 'note 08')": "big",
    "same(instance, SliceLocation = 70 and ImageComments = 'note 09')": "",
    "same(instance, ImageType = 'M' and EchoTime = 80)": "mr",
    "same(instance, ImageType = 'M' and EchoTime = 100)": "",
    "same(instance, SliceLocation exists and not SliceLocation = 5)": "ct big",
    "same(instance, InstanceNumber = 2 and EchoTime = 100)": "mr",
    "same(instance, InstanceNumber = 1 and EchoTime = 100)": "",
    "same(instance, Modality = 'CT' and Modality = 'PT')": "",
    "same(series, Modality = 'CT' and Modality = 'PT')": "mix",
    "same(study, Modality = 'ECG' and Modality = 'MR')": "ecg mr2",
    "same(study, Modality = 'ECG') and Modality = 'MR'": "mr2",
    "same(patient, Modality = 'ECG') and Modality = 'CT'": "ct3",
    "same(patient, KVP = 120 and EchoTime = 100) and Modality = 'CT'": "ct big",
    # in time
    "related(Modality = 'CT', Modality = 'MR', before)": "ct big",
    "related(Modality = 'CT', Modality = 'MR', before 51 days)": "ct big",
    "related(Modality = 'CT', Modality = 'MR', before 50 days)": "",
    "related(Modality = 'CT', Modality = 'MR', before 51 to 60 days)": "ct big",
    "related(Modality = 'CT', Modality = 'MR', before at least 52 days)": "",
    "related(Modality = 'CT', Modality = 'MR', after)": "ct3",
    "related(Modality = 'CT', Modality = 'MR', after 18 days)": "",
    "related(Modality = 'CT', Modality = 'MR', within 20 days)": "ct3",
    "related(Modality = 'CT', Modality = 'MR', within 60 days)": "ct big ct3",
    "related(Modality = 'CT', Modality = 'MR', within 30 to 60 days)": "ct big",
    "related(Modality = 'ECG', Modality = 'MR', before)": "",
    "related(Modality = 'ECG', Modality = 'MR', after)": "",
    "related(Modality = 'ECG', Modality = 'MR', before 0 days)": "ecg",
    "related(Modality = 'ECG', Modality = 'MR', before 30 days)": "ecg",
    "related(Modality = 'ECG', Modality = 'MR', before at least 0 days)": "ecg",
    "related(Modality = 'ECG', Modality = 'MR', before at least 1 days)": "",
    "related(Modality = 'ECG', Modality = 'MR', within 0 days)": "ecg",
    "related(PatientID = 'P3', PatientID = 'P3', within 0 days)": "mix",
    "related(SliceLocation = 70, EchoTime = 100, before)": "big",
}

PATIENTS: dict[str, str] = {
    "Modality = 'CT' and Modality = 'ECG'": "P2",
    "Modality = 'CT' and Modality = 'MR'": "P1 P2",
    "same(series, Modality = 'CT' and Modality = 'MR')": "",
    "Modality != 'MR'": "P1 P2 P3",
    "not Modality = 'MR'": "P3",
    "not Modality = 'CT'": "",
    "Modality = 'CT' and not Modality = 'SR'": "P2 P3",
    "PatientSex missing": "P3",
    "BodyPartExamined missing": "P2 P3",
    "SliceLocation = 5 and SliceLocation = 70": "P1",
    "SliceLocation = 75 or PatientID = 'P3'": "P3",
    "KVP = 120 and EchoTime = 100": "P1",
    "EchoTime in (30, 100) and not EchoTime = 80": "P2",
    "same(series, Modality = 'MR' and EchoTime < 50)": "P2",
    "same(study, KVP = 120 and EchoTime = 100)": "",
    "same(study, KVP = 120 and KVP = 100)": "P1",
    "same(patient, KVP = 120 and EchoTime = 100)": "P1",
    "same(patient, same(study, Modality = 'MR') and not Modality = 'SR')": "P2",
    "same(instance, SliceLocation = 70 and ImageComments = 'note 08')": "P1",
    "not same(instance, SliceLocation = 70 and ImageComments = 'note 09')": "P1 P2 P3",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S2')": "P2",
    "related(Modality = 'CT', Modality = 'MR', before)": "P1",
    "related(Modality = 'CT', Modality = 'MR', after)": "P2",
    "not related(Modality = 'CT', Modality = 'MR', before)": "P2 P3",
    "NumberOfPatientRelatedStudies = 2": "P1 P2",
    "NumberOfStudyRelatedInstances = 3": "P1 P3",
    "NumberOfSeriesRelatedInstances = 1 and Modality = 'PT'": "P3",
    "ModalitiesInStudy = 'ECG'": "P2",
    "*.NumericValue > 100 and ImageComments = 'note 07'": "P1",
    "AccessionNumber in @numbers": "P1 P2",
    "StudyDate = 1999": "",
}

STUDIES: dict[str, str] = {
    "Modality = 'CT' and Modality = 'MR'": "",
    "Modality = 'MR' and Modality = 'ECG'": "P2a",
    "same(study, Modality = 'MR' and Modality = 'ECG')": "P2a",
    "same(series, Modality = 'CT' and Modality = 'PT')": "P3a",
    "same(patient, Modality = 'CT' and Modality = 'MR')": "P1a P1b P2a P2b",
    "not same(patient, Modality = 'MR')": "P3a",
    "same(patient, Modality = 'CT') and Modality = 'MR'": "P1b P2a",
    "same(instance, SliceLocation = 5 and ImageComments = 'second')": "P1a",
    "not Modality = 'CT'": "P1b P2a",
    "Modality missing": "",
    "BodyPartExamined missing": "P2a P2b P3a",
    "SliceLocation = 5 and SliceLocation = 70": "P1a",
    "ModalitiesInStudy = 'MR'": "P1b P2a",
    "NumberOfStudyRelatedSeries = 2": "P1a P1b P2a P3a",
    "NumberOfSeriesRelatedInstances = 2": "P1b P3a",
    "related(Modality = 'CT', Modality = 'MR', before)": "P1a",
    "related(Modality = 'MR', Modality = 'CT', after)": "P1b",
    "*.RequestedProcedureID exists": "P2a",
    "StudyDate missing": "P3a",
}

INSTANCES: dict[str, str] = {
    "InstanceNumber = 2": "ct#2 big#2 mr#2 mix#2",
    "InstanceNumber >= 19": "big#19 big#20",
    "InstanceNumber missing": "sr#1",
    "InstanceNumber > 18 or Modality = 'ECG'": "big#19 big#20 ecg#1",
    "InstanceNumber = 2 and Modality = 'CT'": "ct#2 big#2",
    "not InstanceNumber < 20": "big#20 sr#1",
    "SliceLocation > 150": "big#17 big#18 big#19 big#20",
    "SliceLocation between 5 and 10": "ct#2 ct#3 big#2",
    "SliceLocation = 75": "",
    "SliceLocation != 0 and SliceLocation <= 10": "ct#2 ct#3 big#2",
    "SliceLocation in (0, 190)": "ct#1 big#1 big#20",
    "SliceLocation missing and not PatientID = 'P1'": "ecg#1 mr2#1 ct3#1 ot#1 mix#1 mix#2",
    "same(patient, Modality = 'ECG') and Modality = 'CT'": "ct3#1",
    "same(instance, same(patient, Modality = 'ECG') and EchoTime exists)": "mr2#1",
    "ImageComments = 'note 07' or ImageComments = 'third'": "big#7 ct#3",
    "ImageComments like 'note ?7'": "big#7 big#17",
    "ImageComments contains 'IR'": "ct#1 ct#3",
    "ContentDate = 2020-01-13": "big#13",
    "EchoTime = 80": "mr#1",
    "EchoTime exists": "mr#1 mr#2 mr2#1",
    "ImageType = 'M'": "mr#1",
    "ImageType = 'PRIMARY'": "ct#1 ct#2 ct#3 mr#1 mr#2",
    "DiffusionBValue > 0": "mr#2",
    "DiffusionBValue exists": "mr#1 mr#2",
    f"{_B_VALUE} = 1000": "mr#2",
    f"{_ACME} exists": "ecg#1 ot#1 mix#1 mix#2",
    f"{_ACME} > 5": "ot#1 mix#1",
    "Modality = 'PT'": "mix#2",
    "PatientID = 'P3' and not Modality = 'PT'": "ot#1 mix#1",
    "Modality missing": "ot#1",
    "*.NumericValue > 100": "sr#1",
    "PatientName = '山田^太郎' and Modality = 'MR'": "mr#1 mr#2",
    "StudyTime = 23:59:59.5": "mr#1 mr#2 sr#1",
    "same(instance, EchoTime = 100 and ImageType = 'P')": "mr#2",
    "same(series, Modality = 'PT')": "mix#1 mix#2",
    "same(series, Modality = 'PT') and Modality = 'CT'": "mix#1",
    "same(study, Modality = 'ECG')": "ecg#1 mr2#1",
    "same(study, Modality = 'ECG') or EchoTime = 80": "ecg#1 mr2#1 mr#1",
    "same(item, RequestAttributesSequence.RequestedProcedureID = 'R1' and "
    "RequestAttributesSequence.ScheduledProcedureStepID = 'S2')": "ecg#1",
    "same(item, RequestAttributesSequence.RequestedProcedureID missing)": "ct3#1",
    "NumberOfSeriesRelatedInstances = 2": "mr#1 mr#2 mix#1 mix#2",
    "ModalitiesInStudy = 'ECG'": "ecg#1 mr2#1",
    "related(Modality = 'CT', Modality = 'MR', after)": "ct3#1",
    "related(Modality = 'CT', Modality = 'MR', before) and InstanceNumber = 3": "ct#3 big#3",
    "related(Modality = 'CT', Modality = 'MR', before) and SliceLocation = 10": "ct#3 big#2",
    "AccessionNumber in @numbers": "mr#1 mr#2 sr#1 ct3#1",
    "ProcedureCodeSequence within SRT:P5-08000": "ct#1 ct#2 ct#3 sr#1",
    "StudyDate = 1999": "",
}

TOTALS: dict[str, tuple[int, int, int, int]] = {
    "": (3, 5, 9, 32),
    "level patient": (3, 5, 9, 32),
    "level study": (3, 5, 9, 32),
    "level instance": (3, 5, 9, 32),
    "Modality = 'CT'": (3, 3, 4, 26),
    "Modality = 'CT' level study": (3, 3, 5, 27),
    "Modality = 'CT' level patient": (3, 5, 9, 32),
    "Modality = 'CT' level instance": (3, 3, 4, 25),
    "SliceLocation = 70": (1, 1, 1, 20),
    "SliceLocation = 70 level instance": (1, 1, 1, 1),
    "XRayTubeCurrent exists level instance": (1, 1, 1, 20),
    "XRayTubeCurrent >= 100 level instance": (1, 1, 1, 19),
    "XRayTubeCurrent != 101 level instance": (1, 1, 1, 18),
    "StudyDate = 1999": (0, 0, 0, 0),
    "StudyDate = 1999 level patient": (0, 0, 0, 0),
    "StudyDate = 1999 level instance": (0, 0, 0, 0),
    "Modality = 'CT' level patient limit 1": (3, 5, 9, 32),
    "level instance limit 2": (3, 5, 9, 32),
}
"""Patients, studies, series and instances of everything that was found."""

ORDERS: dict[str, str] = {
    "level patient order by PatientName": "P2 P3 P1",
    "level patient order by -PatientName": "P1 P3 P2",
    "level patient order by -NumberOfPatientRelatedInstances, PatientID": "P1 P2 P3",
    "level patient order by NumberOfPatientRelatedInstances, PatientID": "P2 P3 P1",
    "level patient order by PatientBirthDate, PatientID": "P1 P2 P3",
    "level patient order by -EchoTime": "P1 P2 P3",
    "level study order by StudyDate": "P1a P1b P2a P2b P3a",
    "level study order by -StudyDate": "P2b P2a P1b P1a P3a",
    "level study order by -StudyDate limit 2": "P2b P2a",
    "level study order by ModalitiesInStudy, -StudyDate": "P2b P1a P3a P2a P1b",
    "KVP exists order by KVP": "big ct ct3",
    "KVP exists order by -KVP": "ct big ct3",
    "KVP exists order by -KVP limit 1": "ct",
    "PatientAge >= 1D order by PatientAge, -StudyDate, Modality, KVP": "ct3 ecg mr2 mr sr big ct",
    "SliceLocation exists order by -SliceLocation": "big ct",
    "Modality = 'MR' order by EchoTime": "mr2 mr",
    "PatientID = 'P3' order by NumberOfSeriesRelatedInstances": "ot mix",
    "*.NumericValue exists or EchoTime exists order by *.NumericValue, EchoTime": "sr mr2 mr",
    "Modality = 'MR' level instance order by EchoTime": "mr2#1 mr#1 mr#2",
    "Modality = 'MR' level instance order by -EchoTime limit 2": "mr#2 mr#1",
    "SliceLocation > 150 level instance order by -InstanceNumber": "big#20 big#19 big#18 big#17",
    "SliceLocation > 150 level instance order by -SliceLocation limit 2": "big#20 big#19",
    "SliceLocation < 20 level instance order by KVP, -InstanceNumber": "big#2 big#1 ct#3 ct#2 ct#1",
    "SliceLocation < 20 level instance order by ImageComments limit 2": "ct#1 big#1",
    "PatientID = 'P3' level instance order by NumberOfSeriesRelatedInstances, -InstanceNumber": (
        "ot#1 mix#2 mix#1"
    ),
    "InstanceNumber = 1 level instance order by -StudyDate, Modality limit 3": "ct3#1 ecg#1 mr2#1",
    "PatientID = 'P2' and InstanceNumber = 1 level instance order by PatientAge, Modality": (
        "ct3#1 ecg#1 mr2#1"
    ),
}

SHOWN: dict[str, list[dict[str, Any]]] = {
    "KVP exists show SeriesDescription, KVP, SliceThickness order by KVP": [
        {"SeriesDescription": "Lunge 100%_a", "KVP": 100.0, "SliceThickness": 2.5},
        {"SeriesDescription": "Thorax nativ", "KVP": 120.0, "SliceThickness": 5.0},
        {"SeriesDescription": None, "KVP": None, "SliceThickness": 1.0},
    ],
    "Modality = 'CT' and KVP exists show StudyDate, SliceLocation, Rows, ImageType order by KVP": [
        {
            "StudyDate": date(2020, 1, 10),
            "SliceLocation": "0 .. 190",
            "Rows": None,
            "ImageType": "DERIVED\\SECONDARY",
        },
        {
            "StudyDate": date(2020, 1, 10),
            "SliceLocation": "0; 10; 5",
            "Rows": 512,
            "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        },
        {
            "StudyDate": date(2021, 6, 20),
            "SliceLocation": None,
            "Rows": None,
            "ImageType": None,
        },
    ],
    f"PatientID = 'P3' show {_ACME}, EncapsulatedDocument, PatientWeight order by Modality": [
        {_ACME: "7; 8 bytes", "EncapsulatedDocument": None, "PatientWeight": None},
        {_ACME: "42", "EncapsulatedDocument": "6 bytes", "PatientWeight": None},
    ],
    "Modality = 'SR' show ProcedureCodeSequence, ContentSequence, *.NumericValue": [
        {
            "ProcedureCodeSequence": "CT (SRT:P5-08000)",
            "ContentSequence": "3 items",
            "*.NumericValue": "12.5; 150",
        }
    ],
    "SliceLocation = 70 show ContentDate, ImageComments, InstanceNumber": [
        {
            "ContentDate": date(2020, 1, 1),
            "ImageComments": "(many)",
            "InstanceNumber": "1 .. 20",
        }
    ],
    "PatientID = 'P2' level patient show PatientName, Modality, StudyDate, *.RequestedProcedureID, "
    "NumberOfPatientRelatedStudies, NumberOfSeriesRelatedInstances, ModalitiesInStudy": [
        {
            "PatientName": "Doe^Jane",
            "Modality": "CT; ECG; MR",
            "StudyDate": "2021-06-01; 2021-06-20",
            "*.RequestedProcedureID": "R1; R2",
            "NumberOfPatientRelatedStudies": 2,
            "NumberOfSeriesRelatedInstances": 1,
            "ModalitiesInStudy": "CT\\ECG\\MR",
        }
    ],
    "PatientID = 'P1' level study show ModalitiesInStudy, NumberOfStudyRelatedSeries, KVP": [
        {"ModalitiesInStudy": "MR\\SR", "NumberOfStudyRelatedSeries": 2, "KVP": None},
        {"ModalitiesInStudy": "CT", "NumberOfStudyRelatedSeries": 2, "KVP": "100; 120"},
    ],
    "Modality = 'PT' show Modality, ModalitiesInStudy": [
        {"Modality": "CT", "ModalitiesInStudy": "CT\\PT"},
    ],
    "EchoTime exists level instance show EchoTime, ImageType, DiffusionBValue, StudyDate, "
    "ModalitiesInStudy order by EchoTime": [
        {
            "EchoTime": 30.0,
            "ImageType": None,
            "DiffusionBValue": None,
            "StudyDate": date(2021, 6, 1),
            "ModalitiesInStudy": "ECG\\MR",
        },
        {
            "EchoTime": 80.0,
            "ImageType": "ORIGINAL\\PRIMARY\\M",
            "DiffusionBValue": "NaN",
            "StudyDate": date(2020, 3, 1),
            "ModalitiesInStudy": "MR\\SR",
        },
        {
            "EchoTime": 100.0,
            "ImageType": "ORIGINAL\\PRIMARY\\P",
            "DiffusionBValue": "1000",
            "StudyDate": date(2020, 3, 1),
            "ModalitiesInStudy": "MR\\SR",
        },
    ],
    "Modality = 'SR' level instance show PatientName, *.NumericValue, ContentSequence": [
        {
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "*.NumericValue": "12.5; 150",
            "ContentSequence": "3 items",
        }
    ],
    "InstanceNumber >= 19 level instance": [
        {
            "SeriesInstanceUID": uid("engines", "big"),
            "InstanceNumber": number,
            "SOPInstanceUID": uid("engines", f"big#{number}"),
        }
        for number in (19, 20)
    ],
    "StudyDate = 1999 show PatientID, *.NumericValue, ModalitiesInStudy": [],
    "StudyDate = 1999 level study show PatientID, *.NumericValue, ModalitiesInStudy": [],
    "StudyDate = 1999 level instance show PatientID, EchoTime, InstanceNumber": [],
}

LISTS = {
    "names": ["山田^太郎", *(f"Nobody^{n}" for n in range(1000))],
    "numbers": ["A2", "A4", *(f"X{n}" for n in range(100_000))],
    "lengths": ["70", *(f"{n}.5" for n in range(1000))],
    "notes": ["note 03", *(f"word {n}" for n in range(1000))],
}
"""Long lists that questions name with @."""

_READ_ONLY = (
    "delete from series",
    "create table t as select 1",
    "copy (select 1) to 'x.csv'",
    "attach 'x.db'",
    "select 1; select 2",
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "set enable_external_access = true",
    "select no_such_column from series",
    "selec 1",
    "",
)


def _asked(text: str, level: str) -> Query:
    where = parse(text, read_list=lambda name: LISTS[name])
    return Query(where, level, show=(_KEY[level],))


class EngineContract:
    """Subclass it and give a fixture `engine` over a lake of the objects of `write`."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test per question, named by it."""
        cases: dict[str, Mapping[str, Any]] = {
            "series": SERIES | histories.SERIES,
            "patients": PATIENTS | histories.PATIENTS,
            "studies": STUDIES | histories.STUDIES,
            "instances": INSTANCES | histories.INSTANCES,
            "totals": TOTALS,
            "ordered": ORDERS | histories.ORDERS,
            "shown": SHOWN | histories.SHOWN,
        }
        for name, table in cases.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(("text", name), table.items(), ids=list(table))
        if "statement" in metafunc.fixturenames:
            metafunc.parametrize("statement", _READ_ONLY)
        if "level" in metafunc.fixturenames:
            metafunc.parametrize("level", LEVELS)

    def test_series(self, engine: Engine, text: str, series: str) -> None:
        """Series that meet a condition."""
        assert sorted(names(engine.answer(_asked(text, "series")))) == sorted(series.split())

    def test_patients(self, engine: Engine, text: str, patients: str) -> None:
        """Patients, of whom each condition may be met by another series."""
        assert sorted(names(engine.answer(_asked(text, "patient")))) == sorted(patients.split())

    def test_studies(self, engine: Engine, text: str, studies: str) -> None:
        """Studies, of which each condition may be met by another series."""
        assert sorted(names(engine.answer(_asked(text, "study")))) == sorted(studies.split())

    def test_instances(self, engine: Engine, text: str, instances: str) -> None:
        """Single instances."""
        assert sorted(names(engine.answer(_asked(text, "instance")))) == sorted(instances.split())

    def test_single_instance(self, engine: Engine) -> None:
        """One instance by its UID, at every level."""
        wanted = uid("engines", "big#13")
        for level, name in zip(LEVELS, ("P1", "P1a", "big", "big#13"), strict=True):
            found = engine.answer(_asked(f"SOPInstanceUID = '{wanted}'", level))
            assert names(found) == [name]

    def test_totals(self, engine: Engine, text: str, totals: tuple[int, int, int, int]) -> None:
        """Totals count all that was found, whatever the limit."""
        found = engine.answer(parse_query(text))
        plural = ("patients", "studies", "series", "instances")
        assert found.totals == dict(zip(plural, totals, strict=True))
        rows = found.total if found.query.limit is None else found.query.limit
        assert len(found) == rows

    def test_ordered(self, engine: Engine, text: str, ordered: str) -> None:
        """Rows come in order, what has no value last."""
        query = parse_query(text)
        query = Query(query.where, query.level, (_KEY[query.level],), query.order, query.limit)
        assert names(engine.answer(query)) == ordered.split()

    def test_shown(self, engine: Engine, text: str, shown: list[dict[str, Any]]) -> None:
        """Columns show any attribute, typed where every cell has one value."""
        query = parse_query(text)
        found = engine.answer(query)
        assert found.rows.to_pylist() == shown
        if query.show:
            assert tuple(found.rows.column_names) == query.show

    def test_everything(self, engine: Engine, level: str) -> None:
        """No condition finds everything, in the order that people expect."""
        found = engine.answer(Query(level=level, show=(_KEY[level],)))
        count = {"patient": 3, "study": 5, "series": 9, "instance": 32}[level]
        assert found.total == len(found) == len(set(names(found))) == count
        if level == "study":
            assert names(found) == "P1b P1a P2b P2a P3a".split()

    def test_limit(self, engine: Engine, level: str) -> None:
        """The first rows are the first of all rows."""
        all_of_them = names(engine.answer(Query(level=level, show=(_KEY[level],))))
        for limit in (1, 2, 1000):
            found = engine.answer(Query(level=level, show=(_KEY[level],), limit=limit))
            assert names(found) == all_of_them[:limit]

    def test_sql(self, engine: Engine) -> None:
        """SQL reads current rows."""
        table: pa.Table = engine.sql(
            "select Modality, count(*) as n from series group by all order by n desc, Modality"
        )
        assert table.column("Modality").to_pylist() == ["CT", "MR", "ECG", "SR", None]
        assert table.column("n").to_pylist() == [4, 2, 1, 1, 1]
        joined = "select count(*) as n from elements join series using (series_id)"
        assert engine.sql(f"{joined} where path = 'KVP'").to_pylist() == [{"n": 3}]

    def test_sql_limit(self, engine: Engine) -> None:
        """A limit cuts the rows, also of a statement with one of its own."""
        assert engine.sql("select * from instances", limit=5).num_rows == 5
        assert engine.sql("select * from instances limit 3", limit=5).num_rows == 3
        assert engine.sql("select * from instances", limit=500).num_rows == 32

    def test_sql_only_reads(self, engine: Engine, statement: str) -> None:
        """One SELECT over the lake, and nothing else."""
        import pytest

        with pytest.raises(UsageError):
            engine.sql(statement)
