"""Real ECG files of other projects become DICOM with the same samples and measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomlake.errors import DataError
from tests.converters.ecg import convert, format_of, leads_of, measured, peer, texts

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
REFUSED = {
    "empty.xml": "no series with a rhythm",
    "invalid-doc-type.xml": "no document of the types",
    "invalid-doc-version.xml": "in one of the versions",
}
QT, PR, QRS, RR = "2:16160", "2:15872", "2:16156", "2:16168"


@pytest.fixture(scope="module")
def xmls(corpus_folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in sorted(corpus_folder.rglob("*.xml"))}
    return {name: data for name, data in found.items() if format_of(data)}


def test_every_file_is_converted_or_refused_with_its_reason(xmls: dict[str, bytes]) -> None:
    refused = {}
    for name, data in xmls.items():
        try:
            assert len(convert(data).objects) == 2
        except DataError as error:
            refused[name] = str(error)
    assert refused.keys() == REFUSED.keys()
    for name, reason in REFUSED.items():
        assert reason in refused[name]
    assert len(xmls) >= 14


def test_samples_are_those_that_another_program_reads(
    xmls: dict[str, bytes], tmp_path: Path
) -> None:
    for name in xmls.keys() - REFUSED.keys():
        record = peer(xmls[name], tmp_path / "a.xml")
        wave = convert(xmls[name]).objects[0]
        for label, leads in (("RHYTHM", record.leads), ("MEDIAN BEAT", record.median_beats)):
            ours = leads_of(wave, label)
            assert list(ours) == [lead.label for lead in leads], name
            for lead in leads:
                assert lead.units == "mV"
                theirs = np.rint(np.asarray(lead.samples) * 1e9).astype(np.int64)
                assert np.array_equal(ours[lead.label], theirs), (name, lead.label)


def test_a_page_writer_says_its_numbers(xmls: dict[str, bytes]) -> None:
    wave, report = convert(xmls["3191723_ZZDEMOPTONLY_1-04_orig.xml"]).objects
    rhythm = wave.WaveformSequence[0]
    assert (rhythm.NumberOfWaveformSamples, rhythm.SamplingFrequency) == (5500, 500)
    assert np.frombuffer(rhythm.WaveformData, "<i2")[0] == 33
    assert leads_of(wave, "RHYTHM")["I"][0] == 165_000_000  # pV: 0.165 mV
    found = measured(report)
    assert found["8867-4"] == (84, "/min")
    assert [found[code] for code in (PR, QRS, QT)] == [(144, "ms"), (84, "ms"), (352, "ms")]
    assert found["2:15880"] == (417, "ms")
    assert (found[RR], found["2:16132"]) == ((714, "ms"), (78, "deg"))
    assert "2:15876" not in found  # the mean of the program; the file has Bazett's and Fridericia's
    assert texts(report, "271921002")[0] == "SINUS RHYTHM; normal P axis, V-rate 60-99"
    assert texts(report, "18810-2") == ["102594003"]  # abnormal
    assert (wave.PatientID, str(wave.PatientName)) == ("9999", "ZZDEMOPTONLY^ADULT")
    assert (wave.PatientBirthDate, wave.PatientSex, "PatientAge" in wave) == (
        "19500101",
        "M",
        False,
    )
    assert (wave.AcquisitionDateTime, wave.Manufacturer) == (
        "20100119151922",
        "Philips Medical Products",
    )


def test_two_exports_of_one_recording_are_equal(xmls: dict[str, bytes]) -> None:
    one, other = convert(xmls["129DYPRG.xml"]), convert(xmls["repbeats_example.xml"])
    signals = [leads_of(each.objects[0], "RHYTHM") for each in (one, other)]
    assert signals[0].keys() == signals[1].keys() == set(TWELVE)
    assert all(np.array_equal(signals[0][lead], signals[1][lead]) for lead in TWELVE)
    numbers = [measured(each.objects[1]) for each in (one, other)]
    assert numbers[0] == numbers[1]
    assert [numbers[0][code][0] for code in ("8867-4", PR, QRS, QT)] == [41, 151, 135, 476]
    assert leads_of(one.objects[0], "MEDIAN BEAT") == {}
    beats = leads_of(other.objects[0], "MEDIAN BEAT")
    assert {lead.size for lead in beats.values()} == {1200}


def test_annotated_ecgs(xmls: dict[str, bytes]) -> None:
    for name in ("subject1_0.xml", "subject1_1.xml", "subject1_2.xml"):
        wave, report = convert(xmls[name]).objects
        leads = leads_of(wave, "RHYTHM")
        assert sorted(leads) == sorted(TWELVE)
        assert {lead.size for lead in leads.values()} == {5000}
        assert wave.PatientAge == "046Y"
        assert str(wave.PatientName) == "Clark"
        assert wave.ClinicalTrialSponsorName == "ABC Pharmaceutical Company"
        # one value of each is global; those of single beats are none of the report
        assert set(measured(report)) == {"121033", PR, "2:16184", QRS, QT, "2:15876",
                                         "2:16128", "2:16132", "2:16136"}  # fmt: skip


def test_the_smallest_annotated_ecgs(xmls: dict[str, bytes]) -> None:
    small = [name for name in xmls if name.startswith("minimum_aecg")]
    assert len(small) == 5
    for name in small:
        wave, report = convert(xmls[name]).objects
        assert wave.SOPClassUID.name == "General ECG Waveform Storage"
        assert [lead[:3].tolist() for lead in leads_of(wave, "RHYTHM").values()] == [
            [-5_000_000] * 3
        ]
        assert wave.PatientID == "SBJ-123"
        assert wave.AcquisitionDateTime == "20021122091000"
        assert not measured(report)
