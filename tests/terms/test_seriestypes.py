"""What kind of series it is: geometry and parameters first, words after, each with its rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomlake.errors import UsageError
from dicomlake.terms import Code, seriestypes
from dicomlake.terms.seriestypes import KINDS, Series


def told(kind: str, **attributes: object) -> str | None:
    """The value of one kind, or None."""
    traits = seriestypes.of(Series(**attributes))  # type: ignore[arg-type]
    return next((trait.value for trait in traits if trait.kind == kind), None)


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        ((1, 0, 0, 0, 1, 0), "axial"),
        ((0, 1, 0, 0, 0, -1), "sagittal"),
        ((1, 0, 0, 0, 0, -1), "coronal"),
        ((1, 0, 0, 0, 0.98, 0.199), "axial"),
        ((1, 0, 0, 0, 0.906, 0.423), "axial"),
        ((1, 0, 0, 0, 0.707, 0.707), "oblique"),
        ((1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, -1), None),
        ((0, 0, 0, 0, 0, 0), None),
        ((1, 0, 0), None),
        ((), None),
    ],
)
def test_a_plane_comes_from_the_cosines(cosines: tuple[float, ...], expected: str | None) -> None:
    assert told("plane", Modality="MR", ImageOrientationPatient=cosines) == expected


def test_cosines_come_before_words() -> None:
    series = {"Modality": "MR", "SeriesDescription": "t2_tse_sag"}
    assert told("plane", **series) == "sagittal"
    assert told("plane", **series, ImageOrientationPatient=(1, 0, 0, 0, 1, 0)) == "axial"


@pytest.mark.parametrize(
    ("kind", "modality", "text", "expected"),
    [
        ("contrast", "CT", "CT HEAD W/O CONTRAST", "none"),
        ("contrast", "CT", "CT CHEST W CONTRAST", "given"),
        ("contrast", "CT", "CT ABD W/WO", "before and after"),
        ("contrast", "CT", "Schädel nativ", "none"),
        ("contrast", "CT", "Thorax mit KM", "given"),
        ("contrast", "CT", "TDM sans injection", "none"),
        ("contrast", "CT", "TC con contraste", "given"),
        ("contrast", "CT", "TC sin contraste", "none"),
        ("contrast", "CT", "Abdomen", None),
        ("contrast", "DX", "CHEST W/O", None),
        ("contrast", "MR", "t1_se_tra_KM", "given"),
        ("contrast", "MR", "AX T1 GADO", "given"),
        ("phase", "CT", "Oberbauch arteriell", "arterial"),
        ("phase", "CT", "ABDO TEMPS PORTAL", "portal venous"),
        ("phase", "CT", "Abd pv 5mm", "portal venous"),
        ("phase", "CT", "late arterial 3mm", "late arterial"),
        ("phase", "CT", "tardif", "delayed"),
        ("phase", "CT", "4 helices sans/art/port/tardif", None),
        ("phase", "CT", "portal/venous", "portal venous"),
        ("contrast", "CT", "Created-SimpleITK", None),
        ("contrast", "CT", "Oberbauch arteriell", "given"),
        ("role", "CT", "Topogram 0.6 T20f", "localizer"),
        ("role", "MR", "3-PLANE LOC", "localizer"),
        ("role", "CT", "Dose Report", "dose record"),
        ("role", "CT", "PreMonitoring", "bolus tracking"),
        ("reconstruction", "CT", "MPR cor 3mm", "MPR"),
        ("reconstruction", "CT", "MIP 8mm", "MIP"),
        ("reconstruction", "CT", "VRT Herz", "volume rendering"),
        ("kernel", "CT", "Lunge 1mm", "sharp"),
        ("kernel", "CT", "Weichteil 3mm", "soft"),
        ("plane", "MR", "t2_tse_tra", "axial"),
        ("plane", "MR", "T1 koronar", "coronal"),
        ("plane", "CT", "cor sag", None),
        ("sequence", "MR", "t2_tirm_tra_dark-fluid", "FLAIR"),
        ("sequence", "MR", "AX T2 FLAIR", "FLAIR"),
        ("sequence", "MR", "ep2d_diff_b50_800_1500_ADC", "ADC"),
        ("sequence", "MR", "ep2d_diff_b1000", "DWI"),
        ("sequence", "MR", "t1_mprage_sag", "T1"),
        ("sequence", "MR", "SAG DP FS", "PD"),
        ("sequence", "MR", "TOF_3D_multi-slab", "TOF"),
        ("sequence", "MR", "SWI_Images", "SWI"),
        ("sequence", "MR", "AX T2* GRE", "T2*"),
        ("sequence", "CT", "T1", None),
        ("correction", "PT", "PET AC WB", "corrected"),
        ("correction", "PT", "PET NAC", "uncorrected"),
        ("view", "DX", "Thorax pa", "PA"),
        ("view", "DX", "Knie seitl.", "lateral"),
        ("view", "DX", "Thorax pa + lat", None),
        ("view", "MG", "R MLO", "MLO"),
    ],
)
def test_words_say(kind: str, modality: str, text: str, expected: str | None) -> None:
    assert told(kind, Modality=modality, SeriesDescription=text) == expected


@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        ("contrast", {"Modality": "CT", "ContrastBolusAgent": "Imeron 350"}, "given"),
        ("contrast", {"Modality": "CT", "ContrastBolusAgent": "NONE"}, None),
        ("role", {"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer"),
        ("role", {"ImageType": ("DERIVED", "SECONDARY", "MPR")}, "derived"),
        ("role", {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, "original"),
        ("role", {"ImageType": ("DERIVED", "SECONDARY", "", "DOSEINFO")}, "dose record"),
        (
            "role",
            {
                "Modality": "CT",
                "ImageType": ("DERIVED", "SECONDARY", "SCREEN SAVE"),
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
                "SeriesDescription": "Rapport dose.",
            },
            "dose record",
        ),
        ("role", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ("role", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1"}, None),
        ("reconstruction", {"ImageType": ("DERIVED", "PRIMARY", "MIN_IP")}, "MinIP"),
        ("sequence", {"Modality": "MR", "ImageType": ("DERIVED", "PRIMARY", "ADC")}, "ADC"),
        ("sequence", {"Modality": "CT", "ImageType": ("DERIVED", "PRIMARY", "ADC")}, None),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("B30f",)}, "soft"),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("Br64d", "3")}, "sharp"),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("BONEPLUS",)}, "sharp"),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("FC08",)}, "soft"),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("FC52",)}, "sharp"),
        ("kernel", {"Modality": "CT", "ConvolutionKernel": ("xyz",)}, None),
        ("correction", {"Modality": "PT", "CorrectedImage": ("DECY", "ATTN")}, "corrected"),
        ("correction", {"Modality": "PT", "CorrectedImage": ("DECY",)}, "uncorrected"),
        ("correction", {"Modality": "PT", "AttenuationCorrectionMethod": "NONE"}, "uncorrected"),
        ("view", {"Modality": "MG", "ViewCodeSequence": (Code("R-10226", "SRT"),)}, "MLO"),
        ("view", {"Modality": "MG", "ViewCodeSequence": (Code("399162004", "SCT"),)}, "CC"),
        ("view", {"Modality": "DX", "ViewPosition": "LL"}, "left lateral"),
        ("view", {"Modality": "DX", "ViewPosition": "XX"}, None),
    ],
)
def test_parameters_say(kind: str, attributes: dict[str, object], expected: str | None) -> None:
    assert told(kind, **attributes) == expected


@pytest.mark.parametrize(
    ("kind", "times", "expected"),
    [
        (("SE",), (101, 4000, None, 150), "T2"),
        (("SE",), (11, 550, None, 70), "T1"),
        (("SE",), (30, 2500, None, 90), "PD"),
        (("SE", "IR"), (92, 9000, 2500, 150), "FLAIR"),
        (("SE", "IR"), (40, 4000, 160, 150), "STIR"),
        (("GR", "IR"), (2.3, 1900, 900, 9), "T1"),
        (("GR",), (1.8, 4.8, None, 12), "T1"),
        (("GR",), (20, 600, None, 20), "T2*"),
        (("EP",), (68, 5200, None, 90), None),
        (("GR",), (1.4, 3.2, None, 5), None),
        ((), (101, 4000, None, 150), None),
        (("SE",), (None, None, None, None), None),
    ],
)
def test_times_say_the_weighting(
    kind: tuple[str, ...], times: tuple[float | None, ...], expected: str | None
) -> None:
    echo, repetition, inversion, flip = times
    series = Series(
        "MR", ScanningSequence=kind, EchoTime=echo, RepetitionTime=repetition,
        InversionTime=inversion, FlipAngle=flip,
    )  # fmt: skip
    found = [trait.value for trait in seriestypes.of(series) if trait.kind == "sequence"]
    assert found == ([expected] if expected else [])


def test_b_values_say_diffusion() -> None:
    assert told("sequence", Modality="MR", DiffusionBValue=(0, 1000)) == "DWI"
    assert told("sequence", Modality="MR", DiffusionBValue=(0,)) is None


def test_the_series_comes_before_the_study_and_the_agent() -> None:
    study = {"Modality": "CT", "StudyDescription": "CT Abdomen mit KM"}
    assert told("contrast", **study) == "given"
    assert told("contrast", **study, SeriesDescription="nativ") == "none"
    agent = {"ContrastBolusAgent": "Imeron"}
    assert told("contrast", **study, **agent, SeriesDescription="nativ") == "none"


def test_a_localizer_has_neither_contrast_nor_sequence() -> None:
    localizer = Series("MR", SeriesDescription="t2 localizer", ContrastBolusAgent="Gadovist")
    assert [trait.kind for trait in seriestypes.of(localizer)] == ["role"]


def test_evidence_and_codes() -> None:
    (view,) = seriestypes.of(Series("DX", ViewPosition="PA"))
    assert (view.attribute, view.words, view.rule) == ("ViewPosition", "PA", "PS3.3 C.8.1.2.1")
    assert view.code == Code("272479007", "SCT", "postero-anterior")
    (none,) = seriestypes.of(Series("CT", SeriesDescription="nativ"))
    assert none.rule == "seriestypes/words.csv 1: contrast nativ"
    assert none.code == Code("399331006", "SCT", "CT without contrast")
    (none,) = seriestypes.of(Series("MR", SeriesDescription="nativ"))
    assert none.code is None  # that code is of CT alone


def test_every_code_comes_from_dicom() -> None:
    from pydicom.sr._concepts_dict import concepts

    words = seriestypes.load()
    known = {
        (value, scheme)
        for scheme in ("SCT", "DCM")
        for coded in concepts[scheme].values()
        for value in coded
    }
    assert {(code.value, code.scheme) for code in words.codes.values()} <= known


def test_a_site_lays_its_words_on_top(tmp_path: Path) -> None:
    path = tmp_path / "types.csv"
    path.write_text("kind,term,value\ncontrast,nativ,\nphase,KP3,delayed\n", encoding="utf-8")
    words = seriestypes.load(path)
    assert seriestypes.of(Series("CT", SeriesDescription="nativ"), words) == ()
    values = [t.value for t in seriestypes.of(Series("CT", SeriesDescription="KP3"), words)]
    assert values == ["given", "delayed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,term\nx,y\n", "types.csv, line 1: no column 'value'"),
        ("kind,term,value\ncolour,x,y\n", "line 2, column kind: unknown kind 'colour'"),
    ],
)
def test_a_site_is_told_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "types.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(message)):
        seriestypes.load(path)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=70), st.lists(st.text(max_size=8), max_size=6),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=13),
    st.sampled_from(["CT", "MR", "PT", "DX", ""]),
    st.floats(allow_nan=True, allow_infinity=True),
)  # fmt: skip
def test_anything_is_told(
    text: str, values: list[str], numbers: list[float], modality: str, number: float
) -> None:
    series = Series(
        modality, text, tuple(values), text, text, text, tuple(numbers), text, tuple(values), text,
        (Code(text, text),), tuple(values), text, number, number, number, number, tuple(numbers),
        tuple(values), text,
    )  # fmt: skip
    traits = seriestypes.of(series)
    assert len({trait.kind for trait in traits}) == len(traits)
    assert {trait.kind for trait in traits} <= set(KINDS)
    assert all(0 < trait.confidence < 1 for trait in traits)
