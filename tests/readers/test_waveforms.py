"""Channels and annotations of waveforms are rows in plain words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from dicomlake.contracts import Contents
from dicomlake.errors import DataError
from dicomlake.readers.waveforms import WaveformReader
from dicomlake.terms import Code
from dicomlake.terms.leads import lead_of
from tests.readers.contents import contents_of, mutants, named

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
MICROVOLT = Code("uV", "UCUM", "microvolt")


def channel(**more: Any) -> dict[str, Any]:
    return {
        "ChannelSourceSequence": [Code("2:1", "MDC", "Lead I")],
        "ChannelSensitivity": 2.5,
        "ChannelSensitivityUnitsSequence": [MICROVOLT],
        **more,
    }


def ecg(*channels: dict[str, Any], notes: Any = (), **more: Any) -> dict[str, Any]:
    """A description of a waveform of one group with 16-bit samples."""
    group = {
        "NumberOfWaveformChannels": len(channels),
        "NumberOfWaveformSamples": 4,
        "SamplingFrequency": 500,
        "ChannelDefinitionSequence": list(channels),
        "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS",
        "WaveformData": bytes(8 * len(channels)),
        **more,
    }
    return {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.9.1.1",
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPInstanceUID": "2.25.2",
        "Modality": "ECG",
        "WaveformSequence": [group],
        "WaveformAnnotationSequence": list(notes),
    }


def read(*channels: dict[str, Any], **more: Any) -> Contents:
    return contents_of(WaveformReader(), ecg(*channels, **more))


def test_the_example_ecg(corpus_files: list[Path]) -> None:
    data = named(corpus_files, "example_ecg.dcm").read_bytes()
    contents = contents_of(WaveformReader(), data)
    rows = contents.rows["waveforms"]
    assert [row["lead"] for row in rows] == TWELVE * 2
    assert [(row["group"], row["channel"]) for row in rows] == [
        (group, which) for group in (1, 2) for which in range(1, 13)
    ]
    assert {(r["group_label"], r["samples"]) for r in rows} == {
        ("RHYTHM", 10_000),
        ("MEDIAN BEAT", 1_199),
    }
    assert {r["SamplingFrequency"] for r in rows} == {1000}
    assert rows[0]["duration"] == 10
    assert {(r["sensitivity"], r["unit"], r["baseline"]) for r in rows} == {(0.9375, "UCUM:uV", 0)}
    assert [r["source"] for r in rows[:3]] == ["MDC:2:1", "MDC:2:2", "MDC:2:61"]
    assert (rows[2]["source_value"], rows[2]["source_scheme"]) == ("5.6.3-9-61", "SCPECG")
    assert (rows[0]["filter_low"], rows[0]["filter_high"], rows[0]["notch"]) == (0.05, 300, 50)
    assert (rows[0]["interpretation"], rows[0]["bits"]) == ("SS", 16)
    assert rows[0]["skew"] == 0
    assert not contents.rows["items"]
    assert {path for path, _, _ in contents.problems} == {
        "MediaStorageSOPInstanceUID",
        "AcquisitionContextSequence.ValueType",
    }


@pytest.mark.parametrize(
    ("value", "scheme", "label", "lead", "mdc"),
    [
        ("5.6.3-9-1", "SCPECG", "", "I", "2:1"),
        ("5.6.3-9-64", "SCPECG", "", "aVF", "2:64"),
        ("2:8", "MDC", "", "V6", "2:8"),
        ("2:11", "MDC", "", "V3R", "2:11"),
        ("2:16", "MDC", "", "X", "2:16"),
        ("2:33", "MDC", "", "V1", "2:33"),
        ("2:67", "MDC", "", "V9", "2:67"),
        ("MDC_ECG_LEAD_AVL", "MDC", "", "aVL", "2:63"),
        ("99", "99GEMS", "avr", "aVR", "2:62"),
        ("", "", "Lead V2", "V2", "2:4"),
        ("", "", "lead iii (derived)", "III", "2:61"),
        ("2:16160", "MDC", "", None, None),
        ("131329", "MDC", "", "I", "2:1"),
        ("2:318", "MDC", "", "aVR", "2:62"),
        ("131073", "MDC", "", "I", "2:1"),
        ("5.6.3-9-140", "SCPECG", "", None, "2:140"),
        ("", "", "Pleth", None, None),
    ],
)
def test_leads(value: str, scheme: str, label: str, lead: str | None, mdc: str | None) -> None:
    assert lead_of(value, scheme, label) == (lead, mdc and (mdc, "MDC"))


def test_channels_without_a_code_are_known_by_their_label() -> None:
    bare = channel(ChannelSourceSequence=..., ChannelLabel="aVF")
    bare.pop("ChannelSourceSequence")
    (row,) = read(bare).rows["waveforms"]
    assert (row["lead"], row["source"], row["label"]) == ("aVF", "MDC:2:64", "aVF")
    (row,) = read(channel(ChannelSourceSequence=[Code("X1", "99X", "Lead V4")])).rows["waveforms"]
    assert (row["lead"], row["source"], row["source_value"]) == ("V4", "MDC:2:6", "X1")


def test_sensitivity_holds_the_correction() -> None:
    (row,) = read(
        channel(ChannelSensitivityCorrectionFactor=1.1, ChannelBaseline=-7, ChannelSampleSkew=2)
    ).rows["waveforms"]
    assert row["sensitivity"] == pytest.approx(2.75)
    assert (row["baseline"], row["skew"]) == (-7, 0.004)


def test_a_channel_without_sensitivity_has_no_unit() -> None:
    contents = read({"ChannelLabel": "I"})
    (row,) = contents.rows["waveforms"]
    assert row["sensitivity"] is None
    assert row.get("unit") is None
    assert any(path.endswith("ChannelSensitivity") for path, _, _ in contents.problems)


@pytest.mark.parametrize(
    ("kind", "bits", "raw", "number"),
    [("SS", 16, b"\0\x80", -32768), ("US", 16, b"\0\x80", 32768), ("SB", 8, b"\xff\0", -1)],
)
def test_padding(kind: str, bits: int, raw: bytes, number: int) -> None:
    (row,) = read(
        channel(),
        WaveformSampleInterpretation=kind,
        WaveformBitsAllocated=bits,
        WaveformPaddingValue=("OW", raw),
    ).rows["waveforms"]
    assert row["padding"] == number


# Annotations


def annotation(concept: Code | None = None, **more: Any) -> dict[str, Any]:
    return {"ConceptNameCodeSequence": [concept], **more} if concept else more


def notes(*found: dict[str, Any]) -> tuple[list[dict[str, Any]], Contents]:
    contents = read(channel(), notes=found)
    return contents.rows["items"], contents


def test_annotations_are_items() -> None:
    qt = Code("2:16160", "MDC", "QT interval")
    rows, contents = notes(
        annotation(
            qt,
            NumericValue="0.412",
            MeasurementUnitsCodeSequence=[Code("s", "UCUM", "second")],
            ReferencedWaveformChannels=[1, 0],
        ),
        annotation(
            Code("2:1", "99X", "Rhythm"), ConceptCodeSequence=[Code("251150006", "SCT", "Sinus")]
        ),
        annotation(None, UnformattedTextValue="Sinusrhythmus, Linkstyp"),
        annotation(
            Code("111", "99X", "P onset"),
            TemporalRangeType="POINT",
            ReferencedSamplePositions=[17, 5000],
        ),
    )
    assert [row["value_type"] for row in rows] == ["CONTAINER", "NUM", "CODE", "TEXT", "TCOORD"]
    root, number, code, text, point = rows
    assert root["path"] == "[DICOM:WaveformAnnotationSequence]"
    assert number["path"] == root["path"] + ".[MDC:2:16160]"
    assert (number["number"], number["number_sent"], number["unit"]) == (0.412, "0.412", "UCUM:s")
    assert (number["quantity"], number["quantity_unit"]) == (pytest.approx(412), "ms")
    assert (number["unit_value"], number["unit_meaning"]) == ("s", "second")
    assert number["ReferencedWaveformChannels"] == [1, 0]
    assert code["code"] == "SCT:251150006"
    assert text["text"] == "Sinusrhythmus, Linkstyp"
    assert text["path"] == root["path"] + ".[]"
    assert (point["values"], point["GraphicType"]) == (["17", "5000"], "POINT")
    assert [row["place"] for row in rows] == ["1", "1.1", "1.2", "1.3", "1.4"]
    assert not contents.problems


def test_an_axis_in_milliseconds_is_kept_and_named() -> None:
    rows, contents = notes(
        annotation(
            Code("2:16132", "MDC", "QRS axis"),
            NumericValue=45,
            MeasurementUnitsCodeSequence=[Code("ms", "UCUM", "millisecond")],
        )
    )
    assert (rows[1]["number"], rows[1]["unit"]) == (45, "UCUM:ms")
    assert [problem for _, _, problem in contents.problems] == ["unit ms where deg is expected"]


@pytest.mark.parametrize(
    ("text", "code", "number", "unit"),
    [
        ("QTc 450 ms", "MDC:2:15876", 450, "ms"),
        ("QRS-Dauer: 98 ms", "MDC:2:16156", 98, "ms"),
        ("HR=61 bpm", "LN:8867-4", 61, "/min"),
        ("QRS Axis -30°", "MDC:2:16132", -30, "deg"),
        ("QT 0,41 s", "MDC:2:16160", 410, "ms"),
    ],
)
def test_numbers_read_out_of_words(text: str, code: str, number: float, unit: str) -> None:
    rows, _ = notes(annotation(None, UnformattedTextValue=text))
    _, said, found = rows
    assert (said["value_type"], said["text"]) == ("TEXT", text)
    assert (found["concept"], found["quantity"], found["quantity_unit"]) == (
        code,
        pytest.approx(number),
        unit,
    )
    assert found.get("ValueType") is None
    assert found["parent"] == said["item"]


@pytest.mark.parametrize("text", ["QT prolonged", "450", "V2 450 ms", "QRS axis 45 ms", "QT 450"])
def test_words_that_are_no_measurement_stay_words(text: str) -> None:
    rows, _ = notes(annotation(None, UnformattedTextValue=text))
    assert len(rows) == 2


def test_a_text_with_a_code_is_not_read() -> None:
    rows, _ = notes(annotation(Code("1", "99X", "Note"), UnformattedTextValue="QTc 450 ms"))
    assert len(rows) == 2


def test_several_numbers_and_no_number() -> None:
    rows, contents = notes(
        annotation(Code("1", "99X", "heights"), NumericValue=[1, 2.5]),
        annotation(Code("1", "99X", "height"), NumericValue="high"),
    )
    assert (rows[1]["number"], rows[1]["numbers"]) == (1, [1, 2.5])
    assert (rows[2]["number"], rows[2]["number_sent"]) == (None, "high")
    assert any("not a number" in problem for _, _, problem in contents.problems)


def test_other_objects_are_left_alone() -> None:
    contents = contents_of(WaveformReader(), {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"})
    assert not any(contents.rows.values())


def test_damage_never_raises(corpus_files: list[Path]) -> None:
    data = named(corpus_files, "example_ecg.dcm").read_bytes()
    began = time.monotonic()
    for copy in mutants(data, 150, 5, 4_400) + mutants(data, 50, 6):
        try:
            contents_of(WaveformReader(), copy)
        except DataError:
            continue
    assert time.monotonic() - began < 30
