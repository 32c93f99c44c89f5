"""Samples are what pydicom reads, and what is no measurement is marked."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.waveforms.numpy_handler import generate_multiplex

import dicomlake
from dicomlake.errors import DataError, UsageError
from dicomlake.readers.samples import Waveform, waveform_of, waveforms_of
from dicomlake.testing.dicom import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, encode
from tests.readers.contents import header_of, mutants, named
from tests.readers.test_waveforms import channel, ecg

UID = "1.2.826.0.1.3680043.8.498.89623170437663723329382978340499119689"


def read(data: bytes) -> list[Waveform]:
    _, json = header_of(data)
    return waveforms_of(json, lambda offset, length: data[offset : offset + length], len(data))


def made(samples: Any, *channels: dict[str, Any], **more: Any) -> Waveform:
    samples = np.asarray(samples)
    group = {"NumberOfWaveformSamples": len(samples), "WaveformData": samples, **more}
    (found,) = read(encode(ecg(*channels, **group)))
    return found


def test_the_example_ecg_is_what_pydicom_reads(corpus_files: list[Path]) -> None:
    file = named(corpus_files, "example_ecg.dcm")
    ours, theirs = read(file.read_bytes()), pydicom.dcmread(file)
    assert [w.label for w in ours] == ["RHYTHM", "MEDIAN BEAT"]
    stored = generate_multiplex(theirs, as_raw=True)
    for waveform, raw, physical in zip(
        ours, stored, generate_multiplex(theirs, as_raw=False), strict=True
    ):
        assert np.array_equal(waveform.raw, raw)
        good = ~np.isnan(waveform.samples)
        assert np.array_equal(np.asarray(waveform)[good], physical[good])
        assert waveform.mask[~good].all()
        assert set(waveform.units) == {"uV"}
        assert waveform.SamplingFrequency == 1000
    assert ours[0].samples.shape == (10_000, 12)
    assert ours[1].samples.shape == (1_199, 12)
    assert ours[0].leads[:4] == ("I", "II", "III", "aVR")


@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE, EXPLICIT_BE, DEFLATED])
@pytest.mark.parametrize(
    ("kind", "dtype"), [("SS", "i2"), ("US", "u2"), ("SB", "i1"), ("UB", "u1"), ("SL", "i4")]
)
def test_every_packing(syntax: str, kind: str, dtype: str) -> None:
    raw = np.arange(-40, 40).astype(dtype).reshape(40, 2)
    description = ecg(
        channel(),
        channel(ChannelSensitivity=0.5, ChannelBaseline=3),
        NumberOfWaveformSamples=40,
        WaveformSampleInterpretation=kind,
        WaveformBitsAllocated=8 * raw.itemsize,
        WaveformData=("OB", raw.tobytes()) if raw.itemsize == 1 else raw,
    )
    if (kind, syntax) == ("SL", EXPLICIT_BE):
        with pytest.raises(DataError, match="big endian"):
            read(encode(description, syntax))
        return
    (found,) = read(encode(description, syntax))
    assert np.array_equal(found.raw, raw)
    assert np.array_equal(found.samples[:, 0], raw[:, 0] * 2.5)
    assert np.array_equal(found.samples[:, 1], raw[:, 1] * 0.5 + 3)


def test_padding_beyond_the_signal_is_masked() -> None:
    found = made(
        np.array([[5], [9999], [7], [9999]], "i2"),
        channel(),
        WaveformPaddingValue=("OW", b"\x0f\x27"),
    )
    assert found.mask[:, 0].tolist() == [False, True, False, True]
    assert found.raw[:, 0].tolist() == [5, 9999, 7, 9999]
    assert not found.notes
    assert found.masked.sum() == 30


def test_padding_among_the_signal_is_masked_at_its_ends_only() -> None:
    column = [0, 0, 0, 0, 3, 0, -3, 5, 0, 0, -5, 4, 0, 0]
    found = made(
        np.array(column, "i2").reshape(-1, 1), channel(), WaveformPaddingValue=("OW", b"\0\0")
    )
    assert found.mask[:, 0].tolist() == [True] * 4 + [False] * 10
    assert len(found.notes) == 1
    assert "5 times inside" in found.notes[0]
    assert found.samples[5, 0] == 0


def test_the_lowest_number_is_no_voltage() -> None:
    found = made(np.array([[-32768], [4], [-32768]], "i2"), channel())
    assert found.mask[:, 0].tolist() == [True, False, True]
    assert np.isnan(found.samples[[0, 2], 0]).all()
    assert found.samples[1, 0] == 10
    assert found.raw[0, 0] == -32768


def test_samples_without_sensitivity_are_as_stored() -> None:
    found = made(np.array([[1], [2]], "i2"), {"ChannelLabel": "Pleth"})
    assert found.units == ("1",)
    assert found.leads == ("Pleth",)
    assert found.samples[:, 0].tolist() == [1, 2]
    assert found.notes


def test_samples_that_end_early_are_counted() -> None:
    found = made(np.array([[1], [2]], "i2"), channel(), NumberOfWaveformSamples=5)
    assert found.samples.shape == (2, 1)
    assert "3 of 5 samples are missing" in found.notes[0]


def test_what_cannot_be_read_says_why() -> None:
    for more in (
        {"WaveformSampleInterpretation": "MB", "WaveformBitsAllocated": 8},
        {"WaveformBitsAllocated": 12},
        {"NumberOfWaveformChannels": 0},
        {"WaveformData": None},
    ):
        with pytest.raises(DataError):
            read(encode(ecg(channel(), **more)))


# In a lake


@pytest.fixture
def twelve(tmp_path: Path) -> tuple[str, bytes, Any]:
    """UID, bytes and samples of the ECG of a made-up hospital."""
    from dicomlake.testing.hospital.waveforms import samples

    raw = samples(60, 1000)
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    channels = [channel(ChannelLabel=lead, ChannelSourceSequence=[]) for lead in leads]
    description = ecg(*channels, NumberOfWaveformSamples=1000, WaveformData=raw)
    description |= {"StudyInstanceUID": "2.25.3", "SeriesInstanceUID": "2.25.4", "PatientID": "P"}
    return description["SOPInstanceUID"], encode(description), raw


def _tarred(data: bytes, mode: str) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("deep/a b.dcm")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


@pytest.mark.parametrize("place", ["ecg.dcm", "a.zip", "a.tar", "a.tar.gz"])
def test_samples_of_a_lake(tmp_path: Path, twelve: tuple[str, bytes, Any], place: str) -> None:
    uid, data, raw = twelve
    folder = tmp_path / "in"
    folder.mkdir()
    if place.endswith(".zip"):
        with zipfile.ZipFile(folder / place, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("deep/ü ecg.dcm", data)
    elif ".tar" in place:
        (folder / place).write_bytes(_tarred(data, "w:gz" if place.endswith("gz") else "w"))
    else:
        (folder / place).write_bytes(data)
    lake = dicomlake.make(folder, tmp_path / "lake")
    found = lake.waveform(uid)
    assert np.array_equal(found.raw, raw)
    assert np.array_equal(np.asarray(found), raw * 2.5)
    assert found.leads[3:6] == ("aVR", "aVL", "aVF")
    assert [w.group for w in lake.waveforms(uid)] == [1]
    with pytest.raises(UsageError, match="no 2"):
        lake.waveform(uid, 2)
    with pytest.raises(UsageError, match=r"SOPInstanceUID 1\.2\.3"):
        lake.waveform("1.2.3")
    (folder / place).write_bytes(b"gone")
    with pytest.raises(UsageError, match="dicomlake index"):
        lake.waveform(uid)
    (folder / place).unlink()
    with pytest.raises(UsageError, match="disk missing"):
        lake.waveform(uid)


def test_every_ecg_of_a_made_up_hospital() -> None:
    from dicomlake.readers.waveforms import WaveformReader
    from dicomlake.testing.hospital import objects
    from tests.readers.contents import contents_of

    found = 0
    for path, data in objects(patients=4):
        if "ECG" not in path:
            continue
        found += 1
        rows = contents_of(WaveformReader(), data).rows
        (waveform,) = read(data)
        assert [r["lead"] for r in rows["waveforms"]] == list(waveform.leads)
        assert [r["source"] for r in rows["waveforms"]][:3] == ["MDC:2:1", "MDC:2:2", "MDC:2:61"]
        assert {r["unit"] for r in rows["waveforms"]} == {"UCUM:uV"}
        measured = {r["concept"]: r["quantity_unit"] for r in rows["items"][1:]}
        assert measured == {
            "LN:8867-4": "/min",
            "MDC:2:15872": "ms",
            "MDC:2:16156": "ms",
            "MDC:2:16160": "ms",
        }
        theirs = pydicom.dcmread(io.BytesIO(data)).waveform_array(0)
        assert np.array_equal(np.asarray(waveform), theirs)
    assert found > 2


def test_another_object_in_its_place(tmp_path: Path, twelve: tuple[str, bytes, Any]) -> None:
    uid, data, _ = twelve
    file = tmp_path / "in" / "a.dcm"
    file.parent.mkdir()
    file.write_bytes(data)
    lake = dicomlake.make(file.parent, tmp_path / "lake")
    file.write_bytes(data.replace(uid.encode(), b"2.25.9"))
    with pytest.raises(UsageError, match="another object"):
        lake.waveform(uid)


def test_the_example_ecg_in_a_lake(tmp_path: Path, corpus_files: list[Path]) -> None:
    lake = dicomlake.make(named(corpus_files, "example_ecg.dcm"), tmp_path / "lake")
    assert lake.waveform(UID, 2).label == "MEDIAN BEAT"
    assert repr(lake.waveform(UID)).startswith("<Waveform RHYTHM: 10,000 samples x 12 channels")


def test_damage_never_surprises(corpus_files: list[Path]) -> None:
    data = named(corpus_files, "example_ecg.dcm").read_bytes()
    for copy in mutants(data, 60, 1, 4_400) + mutants(data, 20, 2):
        try:
            _, json = header_of(copy)
            fetch = lambda offset, length, copy=copy: copy[offset : offset + length]  # noqa: E731
            waveform_of(json, fetch, len(copy), 1)
        except DataError:
            continue
