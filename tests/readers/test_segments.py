"""Segments and regions of interest are rows that agree with an independent count."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pydicom
import pytest

from dicomlake import tables
from dicomlake.contracts import Contents
from dicomlake.errors import DataError
from dicomlake.readers.segments import STORAGE, SegmentReader
from dicomlake.terms import Code
from tests.readers.contents import contents_of, header_of, mutants, named

LV, RV, MYOCARDIUM = "SCT:87878005", "SCT:53085002", "SCT:49848007"


def rows_of(data: Any) -> list[dict[str, Any]]:
    return contents_of(SegmentReader(), data).rows["segments"]


def _read(file: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(file, force=True, stop_before_pixels=True)


@pytest.fixture(scope="module")
def segmentations(corpus_files: list[Path]) -> list[Path]:
    kinds = (STORAGE + "66.4", STORAGE + "66.7")
    return [f for f in corpus_files if _class(f) in kinds]


@pytest.fixture(scope="module")
def structures(corpus_files: list[Path]) -> list[Path]:
    return [f for f in corpus_files if _class(f) == STORAGE + "481.3"]


_CLASSES: dict[Path, str | None] = {}


def _class(file: Path) -> str | None:
    if file not in _CLASSES:
        try:
            _CLASSES[file] = header_of(file.read_bytes())[0].first.get("SOPClassUID")
        except DataError:
            _CLASSES[file] = None
    return _CLASSES[file]


def _code(item: pydicom.Dataset, keyword: str) -> tuple[str, str, str] | None:
    found = item.get(keyword)
    if not found:
        return None
    return (found[0].CodeValue, found[0].CodingSchemeDesignator, found[0].CodeMeaning)


def test_every_segmentation_of_the_corpus(segmentations: list[Path]) -> None:
    assert len(segmentations) == 51
    for file in segmentations:
        theirs, ours = _read(file), rows_of(file.read_bytes())
        frames: Counter[int] = Counter()
        for group in theirs.PerFrameFunctionalGroupsSequence:
            frames[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber] += 1
        assert len(ours) == len(theirs.SegmentSequence), file
        for segment, row in zip(theirs.SegmentSequence, ours, strict=True):
            assert row["kind"] == "segmentation"
            assert (row["number"], row["label"]) == (segment.SegmentNumber, segment.SegmentLabel)
            assert row["frames"] == frames[segment.SegmentNumber]
            assert row["present"] is (row["frames"] > 0)
            for name, keyword in (
                ("type", "SegmentedPropertyTypeCodeSequence"),
                ("category", "SegmentedPropertyCategoryCodeSequence"),
                ("region", "AnatomicRegionSequence"),
            ):
                sent = tuple(row.get(f"{name}_{part}") for part in ("value", "scheme", "meaning"))
                assert sent == (_code(segment, keyword) or (None, None, None))
            assert row["algorithm_type"] == segment.SegmentAlgorithmType
            assert row["FrameOfReferenceUID"] == theirs.get("FrameOfReferenceUID")
            series = theirs.get("ReferencedSeriesSequence") or []
            assert set(row["ReferencedSeriesInstanceUID"] or []) <= {
                s.SeriesInstanceUID for s in series
            }
            assert row["ReferencedSeriesInstanceUID"] or not series
            assert row["volume"] is None if "volume" in row else True


@pytest.mark.parametrize(
    ("file", "declared", "present"),
    [
        ("seg_image_sm_control.dcm", 20, 19),
        ("seg_image_sm_numbers.dcm", 20, 19),
        ("seg_image_sm_dots.dcm", 50, 45),
    ],
)
def test_declared_is_not_present(
    corpus_files: list[Path], file: str, declared: int, present: int
) -> None:
    rows = rows_of(named(corpus_files, file).read_bytes())
    assert len(rows) == declared
    assert sum(row["present"] for row in rows) == present


def test_the_liver_is_one_concept_under_two_designators(corpus_files: list[Path]) -> None:
    for file in ("liver.dcm", "24x38x3/seg/label.seg"):
        (row,) = rows_of(named(corpus_files, file).read_bytes())
        assert row["type"] == "SCT:10200004"
        assert (row["type_value"], row["type_scheme"]) == ("T-62000", "SRT")


def test_fractional_and_binary(corpus_files: list[Path]) -> None:
    for file, kind in (
        ("seg_image_ct_true_fractional.dcm", "PROBABILITY"),
        ("seg_image_ct_binary_fractional.dcm", "PROBABILITY"),
        ("seg_image_ct_binary.dcm", None),
    ):
        assert {r["fractional"] for r in rows_of(named(corpus_files, file).read_bytes())} == {kind}


def test_structure_sets_of_the_corpus(structures: list[Path]) -> None:
    assert len(structures) == 3
    expected = {"rtstruct.dcm": (3, 5), "invalid_reference_rt.dcm": (4, 12), "rt.dcm": (1, 2)}
    for file in structures:
        rows, theirs = rows_of(file.read_bytes()), _read(file)
        assert (len(rows), sum(row["contours"] for row in rows)) == expected[file.name]
        for roi, row in zip(theirs.StructureSetROISequence, rows, strict=True):
            assert (row["number"], row["label"]) == (roi.ROINumber, roi.ROIName)
            assert row["kind"] == "structure set"
            assert row["FrameOfReferenceUID"] == roi.ReferencedFrameOfReferenceUID
            shape = next(
                s for s in theirs.ROIContourSequence if s.ReferencedROINumber == roi.ROINumber
            )
            assert row["color"] == [int(c) for c in shape.ROIDisplayColor]
            images = {
                image.ReferencedSOPInstanceUID
                for contour in shape.ContourSequence
                for image in contour.get("ContourImageSequence", [])
            }
            assert set(row["ReferencedSOPInstanceUID"] or []) == images
            assert len(row["ReferencedSeriesInstanceUID"]) == 1
    phantom = rows_of(named(structures, "rtstruct.dcm").read_bytes())
    assert [r["interpreted"] for r in phantom] == ["EXTERNAL", "ISOCENTER", "ISOCENTER"]
    assert [r["geometry"] for r in phantom] == ["CLOSED_PLANAR", "POINT", "POINT"]
    unnamed = rows_of(named(structures, "invalid_reference_rt.dcm").read_bytes())
    assert {r["interpreted"] for r in unnamed} == {None}


# Both ventricles in one instance


def _without(file: Path, value: str) -> bytes:
    """A copy of a segmentation without the segment of a type, under another instance UID."""
    import io

    copy = pydicom.dcmread(file)
    gone = {
        segment.SegmentNumber
        for segment in copy.SegmentSequence
        if segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == value
    }
    assert len(gone) == 1
    copy.SegmentSequence = [s for s in copy.SegmentSequence if s.SegmentNumber not in gone]
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = f"2.25.{value}"
    held = io.BytesIO()
    copy.save_as(held)
    return held.getvalue()


def test_both_ventricles_in_one_instance(segmentations: list[Path]) -> None:
    hearts = [f for f in segmentations if f.name == "seg_0_ED.dcm"]
    assert len(hearts) == 29
    objects = {str(_read(f).SOPInstanceUID): ("P" + f.parent.name, f.read_bytes()) for f in hearts}
    some = hearts[0]
    objects["2.25.87878005"] = ("Q", _without(some, "87878005"))
    objects["2.25.53085002"] = ("Q", _without(some, "53085002"))
    rows = []
    for uid, (patient, data) in objects.items():
        for row in rows_of(data):
            rows.append({**row, "SOPInstanceUID": uid, "tracking": patient})
    segments = pa.Table.from_pylist(rows, tables.SEGMENTS)
    with duckdb.connect() as db:
        db.register("segments", segments)
        query = (
            f"select {{}} from segments where present and \"type\" in ('{LV}', '{RV}') "
            'group by all having count(distinct "type") = 2'
        )
        instances = {row[0] for row in db.sql(query.format('"SOPInstanceUID"')).fetchall()}
        patients = {row[0] for row in db.sql(query.format("tracking")).fetchall()}
    assert instances == {uid for uid, (patient, _) in objects.items() if patient != "Q"}
    assert len(instances) == 29
    assert "Q" in patients


# Made-up objects


def segment(number: Any, *, kind: Code | None = None, **more: Any) -> dict[str, Any]:
    organ = kind or Code("64033007", "SCT", "Kidney")
    return {
        "SegmentNumber": number,
        "SegmentLabel": f"S{number}",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": [Code("91723000", "SCT", "Anatomical structure")],
        "SegmentedPropertyTypeCodeSequence": [organ],
        **more,
    }


def segmentation(*segments: dict[str, Any], frames: list[Any], **more: Any) -> dict[str, Any]:
    """A description of a segmentation; `frames` has a segment number or a group per frame."""
    groups = [
        group
        if isinstance(group, dict)
        else {"SegmentIdentificationSequence": [{"ReferencedSegmentNumber": group}]}
        for group in frames
    ]
    return {
        "SOPClassUID": STORAGE + "66.4",
        "SOPInstanceUID": "2.25.1",
        "Modality": "SEG",
        "SegmentationType": "BINARY",
        "SegmentSequence": list(segments),
        "NumberOfFrames": len(groups),
        "PerFrameFunctionalGroupsSequence": groups,
        **more,
    }


def coded(value: str, scheme: str, modifier: Code, keyword: str) -> dict[str, Any]:
    return {
        "CodeValue": value,
        "CodingSchemeDesignator": scheme,
        "CodeMeaning": "made up",
        keyword: [modifier],
    }


@pytest.mark.parametrize(
    ("modifiers", "side"),
    [
        ([Code("7771000", "SCT", "Left")], "SCT:7771000"),
        ([Code("G-A100", "SRT", "Right")], "SCT:24028007"),
        ([Code("G-A101", "SNM3", "Left")], "SCT:7771000"),
        ([Code("51440002", "SCT", "Right and left")], "SCT:51440002"),
        ([Code("7771000", "SCT", "Left"), Code("24028007", "SCT", "Right")], "SCT:51440002"),
        ([Code("261183002", "SCT", "Upper")], None),
    ],
)
def test_laterality(modifiers: list[Code], side: str | None) -> None:
    organ = coded("64033007", "SCT", modifiers[0], "SegmentedPropertyTypeModifierCodeSequence")
    organ["SegmentedPropertyTypeModifierCodeSequence"] = modifiers
    (row,) = rows_of(
        segmentation(segment(1, SegmentedPropertyTypeCodeSequence=[organ]), frames=[1])
    )
    assert row["laterality"] == side
    assert [m["value"] for m in row["modifiers"]] == [m.value for m in modifiers]


def test_laterality_of_the_anatomic_region() -> None:
    region = coded(
        "39607008", "SCT", Code("24028007", "SCT", "Right"), "AnatomicRegionModifierSequence"
    )
    (row,) = rows_of(segmentation(segment(1, AnatomicRegionSequence=[region]), frames=[1]))
    assert (row["region"], row["laterality"]) == ("SCT:39607008", "SCT:24028007")


def test_frames_that_name_no_segment() -> None:
    one = contents_of(SegmentReader(), segmentation(segment(7), frames=[{}, {}]))
    assert [(r["frames"], r["present"]) for r in one.rows["segments"]] == [(2, True)]
    two = contents_of(SegmentReader(), segmentation(segment(1), segment(2), frames=[1, {}]))
    assert [(r["frames"], r["present"]) for r in two.rows["segments"]] == [(1, True), (0, None)]
    assert one.problems
    assert two.problems


def test_one_segment_for_all_frames() -> None:
    shared = {"SegmentIdentificationSequence": [{"ReferencedSegmentNumber": 2}]}
    rows = rows_of(
        segmentation(
            segment(1), segment(2), frames=[{}, {}, {}], SharedFunctionalGroupsSequence=[shared]
        )
    )
    assert [r["frames"] for r in rows] == [0, 3]


def test_frames_of_segments_that_nobody_declared() -> None:
    contents = contents_of(SegmentReader(), segmentation(segment(1), frames=[1, 9]))
    assert [r["frames"] for r in contents.rows["segments"]] == [1]
    assert any("not declared" in problem for _, _, problem in contents.problems)


def test_a_label_map_leaves_presence_to_its_pixels() -> None:
    for more in ({"SOPClassUID": STORAGE + "66.7"}, {"SegmentationType": "LABELMAP"}):
        rows = rows_of(segmentation(segment(1), segment(300), frames=[{}, {}], **more))
        assert [(r["kind"], r["number"]) for r in rows] == [("label map", 1), ("label map", 300)]
        assert all(r.get("frames") is None and r.get("present") is None for r in rows)


def test_the_background_of_a_label_map_is_no_structure() -> None:
    background = segment(0, kind=Code("125040", "DCM", "Background"))
    rows = rows_of(segmentation(background, segment(1), frames=[{}], SOPClassUID=STORAGE + "66.7"))
    assert [row["number"] for row in rows] == [1]
    rows = rows_of(segmentation(segment(0), frames=[{}], SOPClassUID=STORAGE + "66.7"))
    assert [row["number"] for row in rows] == [0]


def test_surfaces_and_height_maps_are_rows() -> None:
    surface = {"SOPClassUID": STORAGE + "66.5", "SOPInstanceUID": "2.25.1"}
    shapes = [segment(1, SurfaceCount=2), segment(2, SurfaceCount=0)]
    rows = rows_of({**surface, "SegmentSequence": shapes})
    assert [(r["kind"], r["present"]) for r in rows] == [("surface", True), ("surface", False)]
    (row,) = rows_of(segmentation(segment(1), frames=[{}], SOPClassUID=STORAGE + "66.8"))
    assert (row["kind"], row.get("present")) == ("height map", None)


def test_frames_tell_what_a_segment_was_drawn_on() -> None:
    def frame(number: int, uid: str) -> dict[str, Any]:
        source = {"ReferencedSOPClassUID": STORAGE + "2", "ReferencedSOPInstanceUID": uid}
        return {
            "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": number}],
            "DerivationImageSequence": [{"SourceImageSequence": [source]}],
        }

    def series(uid: str, *instances: str) -> dict[str, Any]:
        listed = [{"ReferencedSOPInstanceUID": one} for one in instances]
        return {"SeriesInstanceUID": uid, "ReferencedInstanceSequence": listed}

    rows = rows_of(
        segmentation(
            segment(1),
            segment(2),
            segment(3),
            frames=[frame(1, "1.1"), frame(1, "1.2"), frame(2, "2.1")],
            ReferencedSeriesSequence=[series("1", "1.1", "1.2"), series("2", "2.1")],
        )
    )
    drawn = [(r["ReferencedSOPInstanceUID"], r["ReferencedSeriesInstanceUID"]) for r in rows]
    assert drawn[0] == (["1.1", "1.2"], ["1"])
    assert drawn[1] == (["2.1"], ["2"])
    assert drawn[2] == (["1.1", "1.2", "2.1"], ["1", "2"])  # all: nobody knows better


def test_codes_and_observations_of_regions() -> None:
    kind = coded(
        "64033007",
        "SCT",
        Code("7771000", "SCT", "Left"),
        "SegmentedPropertyTypeModifierCodeSequence",
    )
    roi = {"ROINumber": 4, "ROIName": "Niere li", "ROIGenerationAlgorithm": "AUTOMATIC"}
    contents = contents_of(
        SegmentReader(),
        {
            "SOPClassUID": STORAGE + "481.3",
            "SOPInstanceUID": "2.25.1",
            "StructureSetROISequence": [roi, {"ROINumber": 5, "ROIName": "empty"}],
            "ROIContourSequence": [{"ReferencedROINumber": 9, "ContourSequence": [{}]}],
            "RTROIObservationsSequence": [
                {
                    "ObservationNumber": 1,
                    "ReferencedROINumber": 4,
                    "RTROIInterpretedType": "ORGAN",
                    "ROIInterpreter": "Doe^Jane",
                    "RTROIIdentificationCodeSequence": [kind],
                }
            ],
        },
    )
    one, two = contents.rows["segments"]
    assert (one["type"], one["laterality"]) == ("SCT:64033007", "SCT:7771000")
    assert (one["interpreted"], one["creator"]) == ("ORGAN", "Doe^Jane")
    assert (one["contours"], one["present"], two["present"]) == (0, False, False)
    assert any("not declared" in problem for _, _, problem in contents.problems)


def test_objects_without_segments() -> None:
    empty = contents_of(SegmentReader(), segmentation(frames=[]))
    assert not empty.rows["segments"]
    assert empty.problems
    image = contents_of(SegmentReader(), {"SOPClassUID": STORAGE + "2", "Rows": 4})
    assert not image.rows["segments"]
    assert not image.problems


def test_ten_thousand_frames_are_counted_at_once() -> None:
    position = [0.0, 0.0, 0.0]
    frames = [
        {
            "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": i % 100 + 1}],
            "PlanePositionSequence": [{"ImagePositionPatient": position}],
        }
        for i in range(10_000)
    ]
    data = segmentation(*(segment(n) for n in range(1, 101)), frames=frames)
    from dicomlake.testing.dicom import encode

    _, json = header_of(encode(data))
    contents = Contents()
    began = time.perf_counter()
    SegmentReader().read(json, contents)
    assert time.perf_counter() - began < 20  # it is no square of the frames
    assert {row["frames"] for row in contents.rows["segments"]} == {100}


def _damaged(files: list[Path]) -> Iterator[bytes]:
    for seed, file in enumerate(files):
        data = file.read_bytes()
        yield from mutants(data, 12, seed, 20_000)


def test_damage_never_raises(segmentations: list[Path], structures: list[Path]) -> None:
    read = 0
    began = time.monotonic()
    for data in _damaged([*structures, *structures, *segmentations]):
        try:
            contents_of(SegmentReader(), data)
        except DataError:
            continue
        read += 1
    assert read > 400
    assert time.monotonic() - began < 30


def test_nonsense_is_no_segment() -> None:
    odd: dict[str, Any] = {"vr": "SQ", "Value": [None, {}, {"00620004": {"vr": "US"}}, "x", 5]}
    for value in (odd, {"vr": "UN", "InlineBinary": "AAAA"}, {"vr": "SQ"}, {"vr": "LO"}):
        for sop in (STORAGE + "66.4", STORAGE + "481.3"):
            keys = ("00620002", "30060020", "30060039", "30060080", "52009229", "52009230")
            header = {key: value for key in keys}
            header["00080016"] = {"vr": "UI", "Value": [sop]}
            SegmentReader().read(header, Contents())


def test_numbers_beyond_all_measure() -> None:
    rows = rows_of(
        segmentation(segment(1, SegmentNumber=("IS", "9" * 12)), frames=[1], NumberOfFrames=5)
    )
    assert rows[0]["number"] == 999_999_999_999
    assert np.isfinite(rows[0]["frames"])


def test_a_lesion_is_no_part_of_a_body() -> None:
    tissue, altered = Code("85756007", "SCT", "Tissue"), Code("49755003", "SCT", "Altered")
    liver, lesion = Code("T-62000", "SRT", "Liver"), Code("52988006", "SCT", "Lesion")
    for category, kind, structure in (
        (tissue, liver, "SCT:10200004"),
        (None, liver, "SCT:10200004"),
        (altered, lesion, None),
        (Code("M-01000", "SRT", "Altered"), lesion, None),
    ):
        category_ = {"SegmentedPropertyCategoryCodeSequence": [category]} if category else {}
        one = {**segment(1, kind=kind), "SegmentedPropertyCategoryCodeSequence": [], **category_}
        (row,) = rows_of(segmentation(one, frames=[1]))
        assert row.get("structure") == structure
