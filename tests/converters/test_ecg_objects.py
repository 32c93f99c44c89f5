"""The objects made of ECG files are valid DICOM, other tools read them, and a lake answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

import dicomlake
from dicomlake.errors import DataError
from dicomlake.readers.report import ReportReader
from dicomlake.readers.waveforms import WaveformReader
from dicomlake.testing.ecgfiles import LEADS, aecg, made, muse, scp, sierra
from tests.converters.ecg import (
    convert,
    format_of,
    in_turn,
    leads_of,
    measured,
    measured_of_leads,
    written,
)
from tests.readers.contents import contents_of


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("DICOMLAKE_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def objects(request: pytest.FixtureRequest) -> list[Dataset]:
    """What all kinds of files become: ours, of odd kinds, and those of the corpus if it is here."""
    plain, paced = made(1), made(2, spikes=True, step=4.88)
    nameless = made(3, family="", given="", patient_id="", sex="", rate=2000, seconds=3)
    files = [writer(ecg) for ecg in (plain, paced, nameless)
             for writer in (scp, aecg, muse, sierra)]  # fmt: skip
    files += [aecg(made(4, seconds=40)), scp(made(5), subtracted=True), in_turn(made(6))]
    files.append(aecg(plain).replace(b"MDC_ECG_LEAD_V6", b"MDC_ECG_LEAD_OWN"))
    corpus = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    files += [
        data for path in sorted(corpus.rglob("*.xml")) if format_of(data := path.read_bytes())
    ]
    found = []
    for data in filter(format_of, files):
        try:
            found += convert(data).objects
        except DataError:
            continue
    assert len(found) >= 30
    return found


@pytest.mark.service
def test_dciodvfy_finds_no_error(objects: list[Dataset], tmp_path: Path) -> None:
    tool, place = program("dciodvfy", "dicom3tools"), tmp_path / "a.dcm"
    kinds = set()
    for made_ in objects:
        if made_.SOPClassUID.endswith("9.1.4"):
            continue  # it does not know the general 32-bit ECG
        made_.save_as(place, enforce_file_format=True)
        told = subprocess.run([tool, str(place)], capture_output=True, text=True, check=False)
        lines = (told.stdout + told.stderr).splitlines()
        assert not [line for line in lines if line.startswith("Error")], made_.SOPClassUID.name
        kinds |= {line for line in lines if line in ("TwelveLeadECG", "GeneralECG", "EnhancedSR")}
    assert kinds == {"TwelveLeadECG", "GeneralECG", "EnhancedSR"}


@pytest.mark.service
def test_dcmtk_reads_every_report(objects: list[Dataset], tmp_path: Path) -> None:
    tool, place = program("dsrdump", "dcmtk"), tmp_path / "a.dcm"
    for wave, report in zip(objects[::2], objects[1::2], strict=True):
        if wave.SOPClassUID.endswith("9.1.4"):
            continue  # it does not know the general 32-bit ECG
        report.save_as(place, enforce_file_format=True)
        told = subprocess.run([tool, str(place)], capture_output=True, check=True).stdout
        assert b'WAVEFORM:(,,"Source of Measurement")' in told
        assert told.count(b"<contains NUM:") == len(measured(report)) + sum(
            map(len, measured_of_leads(report).values())
        )


def test_pydicom_reads_the_samples(objects: list[Dataset], tmp_path: Path) -> None:
    for wave in objects[::2]:
        wave.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        read = pydicom.dcmread(tmp_path / "a.dcm")
        physical = read.waveform_array(0)  # uV
        for place, lead in enumerate(leads_of(wave, "RHYTHM").values()):
            assert np.allclose(physical[:, place] * 1e6, lead, rtol=1e-9, atol=1e-3)


def test_our_own_readers_find_nothing_doubtful(objects: list[Dataset]) -> None:
    for made_ in objects:
        reader = ReportReader() if made_.Modality == "SR" else WaveformReader()
        contents = contents_of(reader, written(made_))
        assert not contents.problems
        assert contents.rows["items" if made_.Modality == "SR" else "waveforms"]


def test_reports_refer_to_their_waveform(objects: list[Dataset]) -> None:
    for wave, report in zip(objects[::2], objects[1::2], strict=True):
        assert report.StudyInstanceUID == wave.StudyInstanceUID
        assert report.SeriesInstanceUID != wave.SeriesInstanceUID
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == wave.SeriesInstanceUID
        assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == wave.SOPInstanceUID
        (item,) = [
            item
            for procedure in report.ContentSequence
            for item in procedure.get("ContentSequence", [])
            if item.ValueType == "WAVEFORM"
        ]
        assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == wave.SOPInstanceUID
        assert item.ReferencedSOPSequence[0].ReferencedWaveformChannels == [1, 0]


def test_labels_fit_and_leads_have_codes(objects: list[Dataset]) -> None:
    for wave in objects[::2]:
        for group in wave.WaveformSequence:
            assert len(group.MultiplexGroupLabel) <= 16
            for channel in group.ChannelDefinitionSequence:
                assert 0 < len(channel.ChannelLabel) <= 16
                (source,) = channel.ChannelSourceSequence
                assert source.CodingSchemeDesignator == "MDC"
                assert source.CodeValue.startswith("2:")


def test_a_lake_gives_back_samples_and_measurements(tmp_path: Path) -> None:
    ecgs = {f"{how}-{seed}": (made(seed), writer) for seed in (41, 42)
            for how, writer in (("scp", scp), ("aecg", aecg), ("muse", muse), ("sierra", sierra))
            }  # fmt: skip
    (tmp_path / "in").mkdir()
    waves, reports = {}, {}
    for name, (ecg, writer) in ecgs.items():
        wave, report = convert(writer(ecg)).objects
        waves[name], reports[name] = wave.SOPInstanceUID, report.SOPInstanceUID
        wave.save_as(tmp_path / "in" / f"{name}.dcm", enforce_file_format=True)
        report.save_as(tmp_path / "in" / f"{name}-sr.dcm", enforce_file_format=True)
    lake = dicomlake.make(tmp_path / "in", tmp_path / "lake")
    columns = {
        "qt": {"path": "*.[MDC:2:16160]", "unit": "ms"},
        "hr": {"path": "*.[LN:8867-4]", "unit": "/min"},
    }
    rows = lake.extract({"name": "ecg", "columns": columns}).to_pylist()
    said = {row["SOPInstanceUID"]: (row["qt"], row["hr"]) for row in rows}
    assert lake.query("Modality = 'ECG'", level="series").total == 8
    for name, (ecg, _) in ecgs.items():
        groups = {wave.label: wave for wave in lake.waveforms(waves[name])}
        rhythm = groups["RHYTHM"]
        assert (rhythm.SamplingFrequency, set(rhythm.units)) == (500, {"uV"})
        found = {lead: rhythm.samples[:, i] for i, lead in enumerate(rhythm.leads)}
        if derived := groups.get("DERIVED LEADS"):
            found |= {lead: derived.samples[:, i] for i, lead in enumerate(derived.leads)}
        assert found.keys() == set(LEADS)
        for lead in LEADS:
            assert np.array_equal(found[lead], ecg.lead(lead) * ecg.step), (name, lead)
        assert said[reports[name]] == (ecg.qt, ecg.heart_rate), name
    ecg = ecgs["scp-41"][0]
    both = (
        f"same(item, item.concept within MDC:2:16160 and item.number = {ecg.qt}) "
        f"and PatientID = '{ecg.patient_id}'"
    )
    assert lake.query(both, level="patient").total == 1
