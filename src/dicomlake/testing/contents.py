"""What every engine must answer about what is inside of objects, on a small lake made by hand.

    class TestMine(ContentContract):
        @pytest.fixture
        def engine(self, tmp_path):
            folder = write_contents(tmp_path / "objects")
            ...                             # make a lake of the folder
            return MyEngine(lake)

        @pytest.fixture
        def nonsense(self, tmp_path):
            folder = write_contents(tmp_path / "nonsense", nonsense=True)
            ...

The answers were written by hand, from `CONTENT_OBJECTS`. C1 is a patient, C1a one of its studies,
`half` a series and `half#2` its second instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dicomlake.contracts import Answer, Engine, coded
from dicomlake.errors import UsageError
from dicomlake.query import LEVELS, Query, parse, parse_query
from dicomlake.terms import Code
from dicomlake.testing.dicom import Description, encode, uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.codes import dcm, sct, ucum
from dicomlake.testing.hospital.reports import (
    Item,
    code,
    container,
    moment,
    number,
    person,
    text,
    uidref,
)

_MOD, _CONTEXT = "HAS CONCEPT MOD", "HAS OBS CONTEXT"
_MM, _CM, _MGY, _MGYCM = ucum("mm"), ucum("cm"), ucum("mGy"), ucum("mGy.cm")
_QT = Code("2:16160", "MDC", "QT interval")
_ODD = Code("a'b\"]%?\\", "99 X'", "odd")
_STORAGE = "1.2.840.10008.5.1.4.1.1."


def _group(*children: Item) -> Item:
    return container(dcm("125007", "Measurement Group"), *children, template="1411")


def _report(*groups: Item) -> Description:
    """A measurement report (TID 1500)."""
    root = container(
        dcm("126000", "Imaging Measurement Report"),
        person(dcm("121008", "Person Observer Name"), "Yamada^Tarou=山田^太郎"),
        container(dcm("126010", "Imaging Measurements"), *groups),
        template="1500",
    )
    return _document("88.33", root)


def _document(sop_class: str, root: Item) -> Description:
    tree = {key: value for key, value in root.items() if key != "RelationshipType"}
    return {"Modality": "SR", "SOPClassUID": _STORAGE + sop_class, **tree}


def _site(where: Code, *children: Item) -> Item:
    return code(c.FINDING_SITE, where, *children, relation=_MOD)


def _ct_event(at: str, kind: Code, region: Code, phantom: Code, ctdi: float, dlp: float) -> Item:
    return container(
        dcm("113819", "CT Acquisition"),
        code(dcm("123014", "Target Region"), region),
        code(dcm("113820", "CT Acquisition Type"), kind),
        uidref(dcm("113769", "Irradiation Event UID"), uid("contents", at)),
        container(
            dcm("113829", "CT Dose"),
            number(dcm("113830", "Mean CTDIvol"), ctdi, _MGY),
            code(dcm("113835", "CTDIw Phantom Type"), phantom),
            number(dcm("113838", "DLP"), dlp, Code("mGycm", "UCUM", "mGycm")),
        ),
    )


def _segmentation(*types: Code, shown: tuple[int, ...]) -> Description:
    """A segmentation with a segment per type; frames show those of these numbers."""
    return {
        "SOPClassUID": _STORAGE + "66.4",
        "SegmentationType": "BINARY",
        "SegmentSequence": [
            {
                "SegmentNumber": at,
                "SegmentLabel": f"Segment {at}",
                "SegmentAlgorithmType": "MANUAL" if at == 1 else "AUTOMATIC",
                "SegmentedPropertyCategoryCodeSequence": c.ORGAN,
                "SegmentedPropertyTypeCodeSequence": kind,
            }
            for at, kind in enumerate(types, 1)
        ],
        "PerFrameFunctionalGroupsSequence": [
            {"SegmentIdentificationSequence": [{"ReferencedSegmentNumber": at}]} for at in shown
        ],
        "NumberOfFrames": len(shown),
    }


_WAVEFORM: Description = {
    "Modality": "ECG",
    "SOPClassUID": _STORAGE + "9.1.1",
    "WaveformSequence": [
        {
            "WaveformOriginality": "ORIGINAL",
            "NumberOfWaveformChannels": 2,
            "NumberOfWaveformSamples": 1000,
            "SamplingFrequency": 500,
            "WaveformBitsAllocated": 16,
            "WaveformSampleInterpretation": "SS",
            "ChannelDefinitionSequence": [
                {"ChannelSourceSequence": Code("2:1", "MDC", "Lead I"), "FilterLowFrequency": 0.5},
                {"ChannelSourceSequence": Code("5.6.3-9-3", "SCPECG", "V1")},
            ],
        }
    ],
    "WaveformAnnotationSequence": [
        {
            "ConceptNameCodeSequence": [_QT],
            "MeasurementUnitsCodeSequence": [ucum("s")],
            "ReferencedWaveformChannels": [1, 0],
            "NumericValue": 0.43,
        }
    ],
}

_LOCAL_AXIS, _LOCAL_LIVER = (
    Code(one.value, "99LOCAL", one.meaning) for one in (c.LONG_AXIS, c.LIVER)
)
_OLD_LIVER, _OLD_RIGHT_VENTRICLE = Code("T-62000", "SRT", "Liver"), Code("T-32500", "SRT", "RV")

_STUDIES = {
    "C1a": "20240110", "C1b": "20240301", "C2a": "20240201", "C2b": "20240202",
    "C3a": "20240401", "C3b": "20240402",
}  # fmt: skip
_SERIES: dict[str, tuple[str, list[Description]]] = {
    "ct": (
        "C1a",
        [{"Modality": "CT", "KVP": 120, "AnatomicRegionSequence": Code("T-32000", "SRT", "Heart")}],
    ),
    "liver": (  # liver 4 cm, spleen 10 mm
        "C1a",
        [
            _report(
                _group(
                    code(c.FINDING, c.MASS),
                    _site(c.LIVER),
                    number(c.LONG_AXIS, 4, _CM),
                    number(c.SHORT_AXIS, 20, _MM),
                ),
                _group(
                    code(c.FINDING, c.NODULE),
                    _site(c.SPLEEN, code(c.LATERALITY, c.LEFT, relation=_MOD)),
                    number(c.LONG_AXIS, 10, _MM),
                    text(dcm("121106", "Comment"), "Kalk 100%_a"),
                ),
            )
        ],
    ),
    "ecg": (
        "C1b",
        [
            _document(
                "88.34",
                container(
                    Code("11524-0", "LN", "EKG"),
                    moment(dcm("122146", "Procedure DateTime"), "20240301123000"),
                    container(
                        dcm("122158", "ECG Global Measurements"),
                        number(_QT, 460, ucum("ms")),
                        number(Code("2:15872", "MDC", "PR"), 160, ucum("ms")),
                        number(_ODD, 7, ucum("1")),
                    ),
                ),
            )
        ],
    ),
    "liver2": (  # a liver beside a spleen: the site of the number itself
        "C2a",
        [
            _report(
                _group(
                    code(c.FINDING, c.MASS),
                    _site(c.SPLEEN),
                    number(c.LONG_AXIS, 35, _MM, _site(_OLD_LIVER)),
                    number(c.SHORT_AXIS, 12, _MM),
                )
            )
        ],
    ),
    "seg": (
        "C2a",
        [
            {
                "Modality": "SEG",
                **_segmentation(c.LEFT_VENTRICLE, c.RIGHT_VENTRICLE, shown=(1, 1, 2)),
            }
        ],
    ),
    "wave": ("C2b", [_WAVEFORM]),
    "half": (  # what one has, the other has not
        "C3a",
        [
            {"Modality": "SEG", **_segmentation(c.LEFT_VENTRICLE, shown=(1,))},
            {"Modality": "SEG", **_segmentation(c.MYOCARDIUM, _OLD_RIGHT_VENTRICLE, shown=(1,))},
        ],
    ),
    "dose": (
        "C3b",
        [
            _document(
                "88.67",
                container(
                    dcm("113701", "X-Ray Radiation Dose Report"),
                    code(
                        dcm("121058", "Procedure reported"),
                        sct("77477000", "CT"),
                        relation=_MOD,
                    ),
                    container(
                        dcm("113811", "CT Accumulated Dose Data"),
                        number(dcm("113813", "CT DLP Total"), 1200, _MGYCM),
                    ),
                    _ct_event(
                        "body",
                        Code("P5-08001", "SRT", "Spiral"),
                        c.CHEST,
                        dcm("113691", "Body"),
                        10,
                        300,
                    ),
                    _ct_event(
                        "head",
                        sct("113961008", "Constant angle"),
                        Code("T-D1100", "SRT", "Head"),
                        dcm("113690", "Head"),
                        55,
                        900,
                    ),
                    template="10011",
                ),
            )
        ],
    ),
    "local": (  # the same values under another scheme
        "C3b",
        [_report(_group(_site(_LOCAL_LIVER), number(_LOCAL_AXIS, 99, _MM)))],
    ),
}


def _objects() -> dict[str, Description]:
    found: dict[str, Description] = {}
    for series, (study, instances) in _SERIES.items():
        for at, own in enumerate(instances, 1):
            found[f"{series}#{at}"] = {
                "SpecificCharacterSet": "ISO_IR 192",
                "SOPInstanceUID": uid("contents", f"{series}#{at}"),
                "SeriesInstanceUID": uid("contents", series),
                "StudyInstanceUID": uid("contents", study),
                "StudyDate": _STUDIES[study],
                "PatientID": study[:2],
                "InstanceNumber": at,
                **own,
            }
    return found


CONTENT_OBJECTS: Mapping[str, Description] = _objects()
"""Every object by its name: 10 instances, 9 series, 6 studies, 3 patients."""

_NAMES = {uid("contents", name): name for name in [*CONTENT_OBJECTS, *_SERIES, *_STUDIES]}
_KEY = dict(
    zip(
        LEVELS,
        ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
        strict=True,
    )
)


def write_contents(folder: Path, *, nonsense: bool = False) -> Path:
    """A folder with a file per object; with `nonsense`, the meaning of every code is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, said in CONTENT_OBJECTS.items():
        if nonsense:
            said = _without_meaning(said)
        (folder / f"{name.replace('#', '-')}.dcm").write_bytes(encode(said))
    return folder


_LEFT, _RIGHT = "SCT:7771000", "SCT:24028007"


def _stated(at: int, side: str, volume: float, complete: bool | None, **more: Any) -> Any:
    """A statement that an adrenal gland is in the picture."""
    sides = {_LEFT: ("Left", "SCT:38353004"), _RIGHT: ("Right", "SCT:29392005")}
    name, code = sides[side]
    return {
        "kind": "structure", "label": f"adrenal_{name.lower()}", "laterality": side,
        **coded("structure", sct("23451007", "Adrenal gland")), "name": f"{name} adrenal gland",
        "also": [code, f"RADLEX:RID{at}"], "volume": volume, "intensity": 30.0 + at,
        "complete": complete, "grid": 3.0, **more,
    }  # fmt: skip


STATED: Mapping[str, list[dict[str, Any]]] = {
    uid("contents", "ct"): [_stated(1, _LEFT, 4.5, True), _stated(2, _RIGHT, 2.25, False)],
    uid("contents", "wave"): [
        _stated(3, _LEFT, 9, None, confidence=0.5, equivalence="narrower",
                evidence=[{"path": "SeriesDescription", "text": "Nebenniere links",
                           "code": "SCT:38353004", "confidence": 0.5}]),
        {"kind": "series type", "label": "arterial", "name": "Arterial phase",
         **coded("code", dcm("110505", "Arterial phase"))},
    ],
}  # fmt: skip
"""What is stated of some series; lakes of `write_contents` have it, too."""
FOUND: Mapping[str, list[dict[str, Any]]] = {
    uid("contents", "seg"): [
        {"rule": "made up", "severity": "warning", "path": "Modality", "text": "It is made up.",
         "value": "SEG", "expected": "CT", "instances": 1}
    ],
}  # fmt: skip
"""What is found of some series; lakes of `write_contents` have it, too."""


def _without_meaning(value: Any) -> Any:
    if isinstance(value, Code):
        return Code(value.value, value.scheme, f"nonsense {len(value.meaning)}")
    if isinstance(value, Mapping):
        return {key: _without_meaning(inner) for key, inner in value.items()}
    return [_without_meaning(one) for one in value] if isinstance(value, list) else value


def content_names(answer: Answer) -> list[str]:
    """The names of what an answer found, in its order."""
    found: list[str] = answer.rows.column(_KEY[answer.query.level]).to_pylist()
    return [_NAMES.get(name, name) for name in found]


_LONG = "*.[SCT:103339001]"
_QTC = "*.[MDC:2:16160]"
_GROUP = "[DCM:126000].[DCM:126010].[DCM:125007]"
_LIVER, _LV, _RV = "SCT:10200004", "SCT:87878005", "SCT:53085002"
_ODD_PATH = """*.["99 X'":"a'b""]%?\\"]"""
_ALL = ("C1 C2 C3", "C1a C1b C2a C2b C3a C3b", "ct liver ecg liver2 seg wave half dose local",
        "ct#1 liver#1 ecg#1 liver2#1 seg#1 wave#1 half#1 half#2 dose#1 local#1")  # fmt: skip
_NONE = ("", "", "", "")


def _only(*series: str, instances: str = "") -> tuple[str, str, str, str]:
    """Everything around some series that meet a condition by themselves."""
    studies = sorted({_SERIES[name][0] for name in series})
    patients = sorted({study[:2] for study in studies})
    found = instances or " ".join(
        f"{name}#{at}" for name in series for at in range(1, len(_SERIES[name][1]) + 1)
    )
    return " ".join(patients), " ".join(studies), " ".join(series), found


CONTENT: dict[str, tuple[str, str, str, str]] = {
    # places in reports
    f"{_LONG} exists": _only("liver", "liver2"),
    f"{_GROUP}.[SCT:103339001] exists": _only("liver", "liver2"),
    "[DCM:126000].*.*.[SCT:103339001] exists": _only("liver", "liver2"),
    "[DCM:126000].*.[SCT:103339001] exists": _NONE,
    "[DCM:126000].**.[SCT:103339001] exists": _only("liver", "liver2"),
    "[DCM:126000].**.[DCM:126010].[DCM:125007] exists": _only("liver", "liver2", "local"),
    "[DCM:125007].[SCT:103339001] exists": _NONE,
    "*.[DCM:125007].[SCT:103339001] exists": _only("liver", "liver2"),
    "*.[DCM:126010].*.[SCT:103339001] exists": _only("liver", "liver2"),
    "*.[DCM:126000].**.[SCT:103340004] exists": _only("liver", "liver2"),
    "[SCT:103339001] exists": _NONE,
    "[LN:11524-0].[DCM:122158].[MDC:2:16160] > 450 ms": _only("ecg"),
    "[LOINC:11524-0].[DCM:122158].[MDC:2:16160 |QTc|] > 450 ms": _only("ecg"),
    "[LN:11524-0].[MDC:2:16160] > 450 ms": _NONE,
    "[DCM:126000] exists": _only("liver", "liver2", "local"),
    # numbers and their units
    f"{_QTC} > 450": _only("ecg"),
    f"{_QTC} > 0.45 s": _only("ecg"),
    f"{_QTC} < 450 ms": _only("wave"),
    f"{_QTC} exists": _only("ecg", "wave"),
    f"{_QTC} > 450 mm": _NONE,
    f"{_QTC} between 0.42 s and 440 ms": _only("wave"),
    f"{_QTC} in (430 ms, 1 s)": _only("wave"),
    f"{_QTC} in (430, 460)": _only("ecg", "wave"),
    f"{_QTC} != 460 ms": _only("wave"),
    f"not {_QTC} = 460 ms": (
        "C2 C3",
        "C1a C2a C2b C3a C3b",
        "ct liver liver2 seg wave half dose local",
        "ct#1 liver#1 liver2#1 seg#1 wave#1 half#1 half#2 dose#1 local#1",
    ),
    f"{_LONG} = 40 mm": _only("liver"),
    f"{_LONG} = 4 cm": _only("liver"),
    f"{_LONG} = 0.04 m": _only("liver"),
    f"{_LONG} = 4": _NONE,
    f"{_LONG} = 40": _only("liver"),
    f"{_LONG} > 3 cm": _only("liver", "liver2"),
    f"{_LONG} <= 10 mm": _only("liver"),
    f"{_LONG} > 50 mm": _NONE,  # 99LOCAL is another scheme
    "*.[99LOCAL:103339001] > 50 mm": _only("local"),
    # other values
    "*.[DCM:121071] within SCT:4147007": _only("liver", "liver2"),
    "*.[DCM:121071] within SRT:M-03000": _only("liver", "liver2"),
    f"*.[SCT:363698007] within {_LIVER}": _only("liver", "liver2"),
    "*.[SCT:363698007] within SRT:T-62000": _only("liver", "liver2"),
    "*.[SRT:G-C0E3] within SCT:10200004": _only("liver", "liver2"),
    "*.[SCT:363698007] within 99LOCAL:10200004": _only("local"),
    "*.[DCM:121106] contains 'KALK'": _only("liver"),
    "*.[DCM:121106] contains '%_A'": _only("liver"),
    "*.[DCM:121106] like 'Kalk*'": _only("liver"),
    "*.[DCM:121106] like 'kalk*'": _NONE,
    "*.[DCM:121106] like '*100%?a'": _only("liver"),
    "*.[DCM:121106] = 'Kalk 100%_a'": _only("liver"),
    "*.[DCM:121106] in ('x', 'Kalk 100%_a', 3)": _only("liver"),
    "*.[DCM:121106] in @notes": _only("liver"),
    "*.[DCM:121106] > 3": _NONE,
    "*.[DCM:121008] = '山田^太郎'": _only("liver", "liver2", "local"),
    "*.[DCM:121008] like 'yamada*'": _only("liver", "liver2", "local"),
    "*.[DCM:121008] in @people": _only("liver", "liver2", "local"),
    "item.observer in @people": _only("liver", "liver2", "local"),
    "*.[DCM:122146] = 2024-03-01": _only("ecg"),
    "*.[DCM:122146] > 2024-02-29": _only("ecg"),
    "*.[DCM:122146] > 2024-03-01": _NONE,
    "*.[DCM:122146] >= 2024-03-01T12:30:00": _only("ecg"),
    "*.[DCM:122146] < 2024-03-01T12:30:00": _NONE,
    "*.[DCM:122146] between 2024-02-01 and 2024-03-01": _only("ecg"),
    "*.[DCM:122146] in (2024-03-01, 2024-03-02)": _only("ecg"),
    "*.[DCM:126010] exists": _only("liver", "liver2", "local"),
    f"{_QTC} missing and Modality = 'ECG'": _NONE,
    f"{_LONG} missing and Modality = 'SR'": (
        "C3", "C1b C3b", "ecg dose local", "ecg#1 dose#1 local#1"),
    # codes that look like the language
    f"{_ODD_PATH} = 7": _only("ecg"),
    f"[LN:11524-0].**.{_ODD_PATH[2:]} > 6": _only("ecg"),
    f"*.[LN:11524-0].*.{_ODD_PATH[2:]} = 7": _only("ecg"),
    "*.[99X:'; drop table items] exists": _NONE,
    "*.[99X:%] exists": _NONE,
    "[*:?].*.[99X:'] = ''')'": _NONE,
    "item.site within \"9'9\":'1\"?'": _NONE,
    # columns of rows
    f"item.site within {_LIVER}": _only("liver", "liver2"),
    "item.finding within SCT:27925004": _only("liver"),
    "item.laterality within SCT:7771000": _only("liver"),
    "item.template = '1411'": _only("liver", "liver2", "local"),
    "item.value_type = 'DATETIME'": _only("ecg"),
    f"segment.type within {_LV}": _only("seg", "half", instances="seg#1 half#1"),
    f"segment.type within {_RV}": _only("seg", "half", instances="seg#1 half#2"),
    "segment.type within SRT:T-32500": _only("seg", "half", instances="seg#1 half#2"),
    "segment.label like 'Segment ?'": _only("seg", "half"),
    "segment.number > 1": _only("seg", "half", instances="seg#1 half#2"),
    "segment.present = 'no'": _only("half", instances="half#2"),
    "segment.volume exists": _NONE,
    "segment exists": _only("seg", "half"),
    "segment missing and Modality = 'SEG'": _NONE,
    "channel.lead = 'V1'": _only("wave"),
    "channel.source within MDC:2:1": _only("wave"),
    "channel.source within MDC:2:3": _only("wave"),
    "channel.SamplingFrequency = 0.5 kHz": _only("wave"),
    "channel.filter_low exists": _only("wave"),
    "channel.duration = 2000 ms": _only("wave"),
    "channel.duration = 2": _only("wave"),
    "event.DLP > 0.5 Gy.cm": _only("dose"),
    "event.DLP > 1 Gy.cm": _NONE,
    "event.DLP in (300, 5 Gy.cm)": _only("dose"),
    "event.DLP between 0.2 Gy.cm and 0.4 Gy.cm": _only("dose"),
    "total.DLP > 1 Gy.cm": _only("dose"),
    "event.type within SCT:116152004": _only("dose"),
    "event.region within SCT:69536005": _only("dose"),
    # one and the same row
    f"same(segment, segment.type within {_LV} and segment.present = 'yes')": _only(
        "seg", "half", instances="seg#1 half#1"
    ),
    f"same(segment, segment.type within {_RV} and segment.present = 'yes')": _only("seg"),
    f"same(segment, segment.type within {_RV} and not segment.algorithm_type = 'MANUAL')": _only(
        "seg", "half", instances="seg#1 half#2"
    ),
    f"same(segment, segment.type within {_LV} and segment.type within {_RV})": _NONE,
    "same(segment, segment.volume missing and segment.number = 2)": _only(
        "seg", "half", instances="seg#1 half#2"
    ),
    f"same(segment, anatomy within {_RV} and segment.present = 'yes')": _only("seg"),
    "same(channel, channel.lead = 'V1' and channel.filter_low exists)": _NONE,
    "same(channel, channel.lead = 'I' and channel.filter_low exists)": _only("wave"),
    "same(event, event.phantom within DCM:113691 and event.DLP > 500 mGy.cm)": _NONE,
    "same(event, event.phantom within DCM:113690 and event.DLP > 500 mGy.cm)": _only("dose"),
    "event.phantom within DCM:113691 and event.DLP > 500 mGy.cm": _only("dose"),
    "same(event, event.region within SRT:T-D1100 and event.CTDIvol > 50 mGy)": _only("dose"),
    "same(event, anatomy within SCT:51185008 and event.CTDIvol > 50 mGy)": _NONE,
    # one item with what is directly below it, and with its modifiers
    f"same(item, *.[SCT:363698007] within {_LIVER} and {_LONG} > 30 mm)": _only("liver", "liver2"),
    f"same(item, item.site within {_LIVER} and {_LONG} > 30 mm)": _only("liver", "liver2"),
    f"same(item, anatomy within {_LIVER} and {_LONG} > 30 mm)": _only("liver", "liver2"),
    f"same(item, *.[SCT:363698007] within SCT:78961009 and {_LONG} > 30 mm)": _only("liver2"),
    f"same(item, item.site within {_LIVER} and {_LONG} < 30 mm)": _NONE,
    f"same(item, item.site within SCT:78961009 and {_LONG} < 30 mm)": _only("liver"),
    f"*.[SCT:363698007] within {_LIVER} and {_LONG} < 30 mm": _only("liver"),
    f"same(item, {_LONG} > 30 mm and *.[SCT:103340004] < 15 mm)": _only("liver2"),
    f"same(item, {_LONG} > 30 mm and not *.[DCM:121106] exists)": _only("liver", "liver2"),
    f"same(item, {_LONG} exists and *.[DCM:121106] exists)": _only("liver"),
    f"same(item, {_GROUP} exists and {_GROUP}.[DCM:121106] missing)": _only(
        "liver", "liver2", "local"
    ),
    f"same(item, {_LONG} = 40 mm or *.[99LOCAL:103339001] = 99 mm)": _only("liver", "local"),
    f"same(item, {_LONG} exists and ({_LONG} > 30 mm and (item.site exists and not "
    "(*.[SCT:103340004] exists and item.site within SCT:78961009))))": _only("liver", "liver2"),
    "same(item, item.value_type = 'NUM' and item.site within 99LOCAL:10200004)": _only("local"),
    f"same(item, item.laterality within SCT:7771000 and {_LONG} = 10 mm)": _only("liver"),
    f"same(item, item.laterality within SCT:7771000 and {_LONG} = 40 mm)": _NONE,
    "same(item, *.[SCT:272741003] exists and *.[SCT:363698007] exists)": _only("liver"),
    f"same(item, *.[SCT:272741003] exists and {_LONG} exists)": _NONE,  # it is below the site
    f"same(item, *.[DCM:121008] exists and {_LONG} = 35 mm)": _only("liver2"),
    "same(item, *.[DCM:113835] within DCM:113691 and *.[DCM:113838] > 500 mGy.cm)": _NONE,
    "same(item, *.[DCM:113835] within DCM:113690 and *.[DCM:113838] > 500 mGy.cm)": _only("dose"),
    # one and the same object, series or study
    f"segment.type within {_LV} and segment.type within {_RV}": (
        "C2 C3", "C2a C3a", "seg half", "seg#1"),
    f"same(instance, segment.type within {_LV} and segment.type within {_RV})": _only("seg"),
    f"same(series, segment.type within {_LV} and segment.type within {_RV})": _only("seg", "half"),
    f"same(instance, segment.type within {_LV} and not segment.type within {_RV})": _only(
        "half", instances="half#1"
    ),
    f"same(instance, {_QTC} > 450 ms and Modality = 'SR')": _only("ecg"),
    f"same(instance, {_QTC} > 450 ms and Modality = 'ECG')": _NONE,
    f"same(instance, segment.type within {_RV} and InstanceNumber = 2)": _only(
        "half", instances="half#2"
    ),
    f"same(instance, segment.type missing and segment exists or {_QTC} = 0.43 s)": _only("wave"),
    f"same(instance, same(item, item.site within {_LIVER} and {_LONG} > 3 cm) and "
    "StudyDate = 2024-02-01)": _only("liver2"),
    f"same(instance, {_QTC} missing and KVP missing and segment missing and StudyDate < "
    "2024-02-01)": _only("liver"),
    # with headers, and with time
    f"{_QTC} > 450 ms and Modality = 'CT'": ("C1", "", "", ""),
    f"same(series, {_QTC} > 450 ms) and same(series, Modality = 'CT')": ("C1", "", "", ""),
    f"{_QTC} > 450 ms or KVP = 120": _only("ct", "ecg"),
    f"{_LONG} = 4 cm and KVP = 120": ("C1", "C1a", "", ""),
    f"{_LONG} missing or KVP = 120": (
        "C1 C3", "C1a C1b C2b C3a C3b", "ct ecg seg wave half dose local",
        "ct#1 ecg#1 seg#1 wave#1 half#1 half#2 dose#1 local#1"),
    f"same(study, {_LONG} = 4 cm)": ("C1", "C1a", "ct liver", "ct#1 liver#1"),
    f"related({_QTC} > 450 ms, {_LONG} = 4 cm, after)": _only("ecg"),
    f"related(Modality = 'CT', {_QTC} > 450 ms, before 60 days)": _only("ct"),
    f"related({_QTC} < 450 ms, segment exists, after at least 5 days)": _NONE,
    # what enrichers state of whole series
    "annotation exists": _only("ct", "wave"),
    "finding exists": _only("seg"),
    "annotation.structure within SCT:23451007": _only("ct", "wave"),
    "annotation.structure within SRT:T-B3000": _only("ct", "wave"),
    "annotation.structure within SCT:29392005": _only("ct"),
    "annotation.structure within RADLEX:RID3": _only("wave"),
    "annotation.code within DCM:110505": _only("wave"),
    "annotation.name like '*adrenal*'": _only("ct", "wave"),
    f"same(annotation, annotation.laterality within {_LEFT} and annotation.complete = 'no')": _NONE,
    f"same(annotation, annotation.laterality within {_RIGHT} and annotation.complete = 'no')":
        _only("ct"),
    f"annotation.laterality within {_LEFT} and annotation.complete = 'no'": _only("ct"),
    "same(annotation, anatomy within SCT:23451007 and annotation.volume > 4 cm3)":
        _only("ct", "wave"),
    "annotation.volume < 3 mL": _only("ct"),
    "same(annotation, annotation.code exists and not annotation.code within DCM:110504)":
        _only("wave"),
    "annotation.complete missing and annotation exists": _only("wave"),
    "same(finding, finding.rule = 'made up' and finding.severity = 'warning')": _only("seg"),
    "same(instance, finding.rule = 'made up' and segment.number = 2)": _only("seg"),
    "same(instance, annotation.volume > 1 mL and not KVP exists)": _only("wave"),
    # anatomy, wherever it is written down
    "anatomy within SCT:23451007": _only("ct", "wave"),
    f"anatomy within {_LIVER}": _only("liver", "liver2"),
    "anatomy within SCT:80891009": _only("ct"),
    "anatomy within SCT:69536005": _only("dose"),
    f"anatomy within {_LV}": _only("seg", "half", instances="seg#1 half#1"),
    "anatomy within 99LOCAL:10200004": _only("local"),
    "anatomy exists": _only("ct", "liver", "liver2", "seg", "wave", "half", "dose", "local"),
    "anatomy missing": ("", "C1b", "ecg", "ecg#1"),
    "*.[DCM:126000] missing and segment missing and KVP missing": (
        "", "C1b C2b", "ecg wave dose", "ecg#1 wave#1 dose#1"),
}  # fmt: skip
"""Questions and what they find: patients, studies, series and instances."""

CONTENT_TOTALS: dict[str, tuple[int, int, int, int]] = {
    f"{_QTC} > 450 ms": (1, 1, 1, 1),
    f"{_QTC} > 450 ms level patient": (1, 2, 3, 3),
    f"segment.type within {_LV} level instance": (2, 2, 2, 2),
    f"segment.type within {_LV} level series": (2, 2, 2, 3),
    f"segment.type within {_LV} and segment.type within {_RV} level patient limit 1": (2, 4, 6, 7),
}
"""Patients, studies, series and instances of everything that was found."""

CONTENT_ORDERS: dict[str, str] = {
    f"{_QTC} exists order by {_QTC}": "wave ecg",
    f"{_QTC} exists order by -{_QTC}": "ecg wave",
    f"{_LONG} exists order by {_LONG}": "liver liver2",
    f"{_LONG} exists order by -{_LONG}": "liver liver2",
    f"{_LONG} exists level patient order by -{_LONG} limit 1": "C1",
    "level patient order by event.DLP, PatientID": "C3 C1 C2",
    "annotation exists order by -annotation.volume": "wave ct",
    "annotation exists level instance order by annotation.intensity": "ct#1 wave#1",
    "Modality = 'SEG' level instance order by -segment.number, InstanceNumber, StudyDate": (
        "seg#1 half#2 half#1"
    ),
    "Modality = 'SEG' level instance order by segment.number, -StudyDate, -InstanceNumber": (
        "half#2 half#1 seg#1"
    ),
    "Modality = 'SEG' level instance order by -segment.algorithm_type, -InstanceNumber limit 1": (
        "half#2"
    ),
    "Modality = 'SEG' level instance order by -segment.number, -StudyDate limit 2": "half#2 seg#1",
    "same(instance, segment exists or KVP exists) level instance order by -segment.number, "
    "SegmentSequence.SegmentLabel, -StudyDate": "half#2 seg#1 half#1 ct#1",
}

CONTENT_SHOWN: dict[str, list[dict[str, Any]]] = {
    f"{_QTC} exists show Modality, {_QTC} order by {_QTC}": [
        {"Modality": "ECG", _QTC: 430.0},
        {"Modality": "SR", _QTC: 460.0},
    ],
    f"StudyDate = 2024-01-10 show {_LONG}, *.[DCM:121106], *.[DCM:125007], KVP, segment "
    "order by KVP": [
        {_LONG: None, "*.[DCM:121106]": None, "*.[DCM:125007]": None, "KVP": 120.0,
         "segment": None},
        {_LONG: "10; 40", "*.[DCM:121106]": "Kalk 100%_a", "*.[DCM:125007]": "CONTAINER",
         "KVP": None, "segment": None},
    ],
    "segment exists level instance show segment.number, segment.type, segment, segment.present "
    "order by StudyDate, InstanceNumber": [
        {"segment.number": "1; 2", "segment.type": "Left ventricle (SCT:87878005); "
         "Right ventricle (SCT:53085002)", "segment": 2, "segment.present": "yes"},
        {"segment.number": "1", "segment.type": "Left ventricle (SCT:87878005)", "segment": 1,
         "segment.present": "yes"},
        {"segment.number": "1; 2", "segment.type": "Myocardium (SCT:49848007); RV (SCT:53085002)",
         "segment": 2, "segment.present": "no; yes"},
    ],
    "event exists show event.DLP, total.DLP, event.phantom, anatomy, channel.lead": [
        {"event.DLP": "300; 900", "total.DLP": 1200.0, "event.phantom": "DCM:113690; DCM:113691",
         "anatomy": "Chest (SCT:816094009); Head (SCT:69536005)", "channel.lead": None},
    ],
    "annotation.volume exists level instance show annotation.structure, annotation.volume, "
    "annotation, finding order by KVP": [
        {"annotation.structure": "Adrenal gland (SCT:23451007)", "annotation.volume": "2.25; 4.5",
         "annotation": 2, "finding": None},
        {"annotation.structure": "Adrenal gland (SCT:23451007)", "annotation.volume": "9",
         "annotation": 2, "finding": None},
    ],
    "channel exists level study show channel.lead, channel.SamplingFrequency, channel": [
        {"channel.lead": "I; V1", "channel.SamplingFrequency": 500.0, "channel": 2},
    ],
    "KVP exists level instance show anatomy, *.[DCM:1]": [
        {"anatomy": "Adrenal gland (SCT:23451007); Heart (SRT:T-32000)", "*.[DCM:1]": None},
    ],
}  # fmt: skip

_LISTS = {
    "notes": ["Kalk 100%_a", *(f"note {n}" for n in range(1000))],
    "people": ["山田^太郎", *(f"Nobody^{n}" for n in range(1000))],
}

_REFUSED = (
    "segment.volume > 3 mm",
    "segment.volme > 3",
    "segmnt.type exists",
    "segment within SCT:1",
    "segment.type = 'x'",
    f"same(item, {_LONG} > 3 and Modality = 'SR')",
    f"same(segment, {_LONG} > 3)",
    f"{_LONG} between 3 and 5 cm",
    f"{_LONG}.* exists",
    "[DCM:1].Modality exists",
)


class ContentContract:
    """Subclass it and give fixtures `engine` and `nonsense`, lakes of `write_contents`.

    An enricher has stated STATED and found FOUND there.
    """

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test per question, named by it."""
        cases: dict[str, Mapping[str, Any]] = {
            "found": CONTENT,
            "totals": CONTENT_TOTALS,
            "ordered": CONTENT_ORDERS,
            "shown": CONTENT_SHOWN,
        }
        for name, table in cases.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(("text", name), table.items(), ids=list(table))
        if "refused" in metafunc.fixturenames:
            metafunc.parametrize("refused", _REFUSED)

    def test_found(
        self, engine: Engine, nonsense: Engine, text: str, found: tuple[str, ...]
    ) -> None:
        """Each level finds what meets a condition, by codes and never by their meanings."""
        where = parse(text, read_list=lambda name: _LISTS[name])
        for level, names in zip(LEVELS, found, strict=True):
            for one in (engine, nonsense):
                answer = one.answer(Query(where, level, show=(_KEY[level],)))
                assert sorted(content_names(answer)) == sorted(names.split()), level

    def test_totals(self, engine: Engine, text: str, totals: tuple[int, int, int, int]) -> None:
        """Totals count all that was found, whatever the limit."""
        plural = ("patients", "studies", "series", "instances")
        assert engine.answer(parse_query(text)).totals == dict(zip(plural, totals, strict=True))

    def test_ordered(self, engine: Engine, text: str, ordered: str) -> None:
        """Rows come in order of what is inside, what has no value last."""
        query = parse_query(text)
        query = Query(query.where, query.level, (_KEY[query.level],), query.order, query.limit)
        assert content_names(engine.answer(query)) == ordered.split()

    def test_shown(self, engine: Engine, text: str, shown: list[dict[str, Any]]) -> None:
        """Columns show what is inside, typed where every cell has one value."""
        assert engine.answer(parse_query(text)).rows.to_pylist() == shown

    def test_refused(self, engine: Engine, refused: str) -> None:
        """What cannot be asked is refused before anything runs."""
        import pytest

        with pytest.raises(UsageError):
            parse(refused)

    def test_everything_is_shown(self, engine: Engine) -> None:
        """Every column can be shown, sorted by where it has an order, and asked for."""
        from dicomlake.query.attributes import CLINICAL, ROWS, attribute, fields

        for root in ROWS:
            paths = [root, *(f"{root}.{name}" for name in fields(root))]
            for level in LEVELS:
                answer = engine.answer(Query(None, level, show=tuple(paths)))
                assert answer.total == len(answer)
            sortable = [path for path in paths if attribute(path).kind != "sequence"]
            for at in range(0, len(sortable), 4):
                some = sortable[at : at + 4]
                down = tuple(f"-{path}" for path in some)
                assert len(engine.answer(Query(None, "series", order=tuple(some)))) == 9
                assert len(engine.answer(Query(None, "instance", order=down))) == 10
            every = " or ".join(f"{path} exists and not {path} missing" for path in paths)
            found = engine.answer(Query(parse(every), "instance")).total
            assert bool(found) is (root not in CLINICAL)  # of which this lake has none
