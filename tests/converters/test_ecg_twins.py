"""One made-up ECG in five formats: the objects agree in samples, measurements and patient."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from dicomlake.converters.ecg.coding import HuffmanCode, HuffmanTable, default_table, huffman
from dicomlake.testing.ecgfiles import LEADS, Ecg, aecg, dicom, made, muse, scp, sierra
from dicomlake.testing.ecgfiles.binary import NUMBERS, protected, record, sections
from dicomlake.testing.ecgfiles.xml import STORED, lzw
from tests.converters.ecg import (
    convert,
    format_of,
    leads_of,
    measured,
    measured_of_leads,
    peer,
    texts,
    written,
)

WRITERS = {
    "scp": scp,
    "scp, first differences": lambda ecg: scp(ecg, differences=1),
    "scp, plain": lambda ecg: scp(ecg, compressed=False),
    "scp, beats taken away": lambda ecg: scp(ecg, subtracted=True),
    "scp, eight leads": lambda ecg: scp(ecg, leads=STORED),
    "aecg": aecg,
    "muse": muse,
    "sierra": sierra,
    "sierra, plain": lambda ecg: sierra(ecg, compressed=False, encoding="utf-8"),
}
EIGHT = ("scp, eight leads", "muse")


def steps(ecg: Ecg, beat: bool = False) -> dict[str, np.ndarray]:
    """Picovolts of the leads."""
    samples = (ecg.beat if beat else ecg.samples).astype(np.int64)
    return {lead: samples[:, i] * round(ecg.step * 1e6) for i, lead in enumerate(LEADS)}


OF_LEADS = {
    "QRS": "2:7936", "QT": "2:8192", "R duration": "2:11264", "S duration": "2:12032",
    "R": "2:12800", "S": "2:13568", "T+": "2:2560",
}  # fmt: skip


def all_leads(wave: Dataset, label: str, derived: str) -> dict[str, np.ndarray]:
    return {**leads_of(wave, label), **leads_of(wave, derived)}


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize(("seed", "step"), [(1, 5.0), (2, 2.5), (3, 4.88), (4, 1.25)])
def test_twins_agree(how: str, seed: int, step: float) -> None:
    ecg = made(seed, step=step)
    data = WRITERS[how](ecg)
    assert format_of(data) == how.split(",")[0]
    wave, report = convert(data).objects
    for found, wanted in (
        (all_leads(wave, "RHYTHM", "DERIVED LEADS"), steps(ecg)),
        (all_leads(wave, "MEDIAN BEAT", "DERIVED LEADS, B"), steps(ecg, beat=True)),
    ):
        assert found.keys() == wanted.keys()
        for lead in LEADS:
            assert np.array_equal(found[lead], wanted[lead]), lead
    numbers = measured(report)
    wanted_numbers = {
        "8867-4": (ecg.heart_rate, "/min"), "2:16168": (ecg.rr, "ms"), "2:15872": (ecg.pr, "ms"),
        "2:16184": (ecg.p_duration, "ms"), "2:16156": (ecg.qrs, "ms"), "2:16160": (ecg.qt, "ms"),
        "2:15880": (ecg.qtc, "ms"), "2:16128": (ecg.p_axis, "deg"),
        "2:16132": (ecg.qrs_axis, "deg"), "2:16136": (ecg.t_axis, "deg"),
    }  # fmt: skip
    if how == "muse":  # it has no P duration, and no formula of its QTc
        del wanted_numbers["2:16184"]
        wanted_numbers["2:15876"] = wanted_numbers.pop("2:15880")
    numbers.pop("121033", None)
    assert numbers == wanted_numbers
    there = STORED if how == "scp, eight leads" else () if how == "muse" else LEADS
    assert measured_of_leads(report) == {
        f"2:{NUMBERS[lead]}": {
            OF_LEADS[name]: (value / 1000, "mV") if name in ("R", "S", "T+") else (value, "ms")
            for name, value in ecg.measured(lead).items()
        }
        for lead in there
    }
    assert texts(report, "271921002") == list(ecg.statements)
    for each in (wave, report):
        assert each.PatientID == ecg.patient_id
        assert str(each.PatientName) == f"{ecg.family}^{ecg.given}"
        assert each.PatientBirthDate == f"{ecg.born:%Y%m%d}"
        assert each.PatientSex == ecg.sex
        assert each.InstitutionName == ecg.institution
        assert (each.StudyDate, each.StudyTime) == (f"{ecg.moment:%Y%m%d}", f"{ecg.moment:%H%M%S}")
    channel = wave.WaveformSequence[0].ChannelDefinitionSequence[0]
    assert (channel.FilterLowFrequency, channel.FilterHighFrequency) == (0.05, 150)
    assert channel.NotchFilterFrequency == 50
    derived = [g.MultiplexGroupLabel for g in wave.WaveformSequence[2:]]
    assert derived == (["DERIVED LEADS", "DERIVED LEADS, B"] if how in EIGHT else [])


def quiet(ecg: Ecg, sparse: int) -> Ecg:
    """An ECG that is its median beat outside of the areas that are protected."""
    samples, beat = ecg.samples.copy(), ecg.beat
    kept = np.zeros(len(samples), bool)
    for first, last in protected(ecg, sparse):
        kept[first - 1 : last] = True
    plain = np.zeros_like(samples)
    for start in range(0, len(samples) - len(beat), ecg.rr * ecg.rate // 1000):
        plain[start : start + len(beat)] += beat
    samples[~kept] = plain[~kept]
    return replace(ecg, samples=samples)


@pytest.mark.parametrize("sparse", [2, 4])
@pytest.mark.parametrize("compressed", [True, False])
def test_two_densities_of_scp_are_read_to_the_sample(sparse: int, compressed: bool) -> None:
    ecg = quiet(made(4), sparse)
    data = scp(ecg, compressed=compressed, sparse=sparse)
    assert len(data) < len(scp(ecg, compressed=compressed, subtracted=True))
    converted = convert(data)
    found = leads_of(converted.objects[0], "RHYTHM")
    for lead, wanted in steps(ecg).items():
        assert np.array_equal(found[lead], wanted), lead
    assert converted.objects[0].WaveformSequence[0].SamplingFrequency == 500
    assert any("two densities" in note for note in converted.notes)


def test_between_protected_areas_of_scp_lie_straight_lines() -> None:
    ecg = made(4)
    found = leads_of(convert(scp(ecg, sparse=4)).objects[0], "RHYTHM")["V3"]
    wanted = steps(ecg)["V3"]
    areas = protected(ecg, 4)
    for first, last in areas:
        assert np.array_equal(found[first - 1 : last], wanted[first - 1 : last])
    step = round(ecg.step * 1e6)
    start, end = areas[2][1], areas[3][0] - 1
    beats = np.zeros(len(ecg.samples), np.int64)
    for begin in range(0, len(beats) - len(ecg.beat), ecg.rr * ecg.rate // 1000):
        beats[begin : begin + len(ecg.beat)] += ecg.beat[:, LEADS.index("V3")]
    rest = (wanted // step - beats)[start:end]
    means = [round(float(part.mean())) for part in np.split(rest, len(rest) // 4)]
    for at in range(len(rest)):  # means stand on 2, 6, 10, ...; before and after they go on
        left = min(max((at - 2) // 4, 0), len(means) - 1)
        right = min(left + 1, len(means) - 1)
        share = min(max((at - 2) - 4 * left, 0), 4)
        line = (means[left] * (4 - share) + means[right] * share) / 4
        assert found[start + at] == (beats[start + at] + math.floor(line + 0.5)) * step


def test_two_densities_that_are_one_are_read_as_by_another_program(tmp_path: Path) -> None:
    bodies = sections(made(4), subtracted=True)
    data = record({**bodies, 6: bodies[6][:5] + b"\1" + bodies[6][6:]})
    found = leads_of(convert(data).objects[0], "RHYTHM")
    theirs = peer(data, tmp_path / "a.scp")
    for lead in theirs.leads:
        assert np.array_equal(found[lead.label], np.rint(np.asarray(lead.samples) * 1e9))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_device_that_sends_dicom_agrees(seed: int) -> None:
    ecg = made(seed)
    sent = pydicom.dcmread(io.BytesIO(dicom(ecg)))
    ours = convert(scp(ecg)).objects[0]
    for label in ("RHYTHM", "MEDIAN BEAT"):
        theirs = leads_of(sent, label)
        assert list(theirs) == list(LEADS)
        assert all(np.array_equal(theirs[k], v) for k, v in leads_of(ours, label).items())
    said = {
        note.ConceptNameCodeSequence[0].CodeValue: note.NumericValue
        for note in sent.WaveformAnnotationSequence
        if "NumericValue" in note
    }
    found = {code: value for code, (value, _) in measured(convert(scp(ecg)).objects[1]).items()}
    found.pop("121033")
    assert said == found


@pytest.mark.parametrize("how", WRITERS)
def test_another_program_reads_the_made_up_files_alike(how: str, tmp_path: Path) -> None:
    ecg = made(11, spikes=True)
    found = peer(WRITERS[how](ecg), tmp_path / ("a.scp" if "scp" in how else "a.xml"))
    wanted = steps(ecg)
    assert len(found.leads) == (8 if how in EIGHT else 12)
    for lead in found.leads:
        assert np.array_equal(np.rint(np.asarray(lead.samples) * 1e9), wanted[lead.label])
    assert found.patient.patient_id == ecg.patient_id
    assert found.patient.last_name == ecg.family
    assert found.recording.date == ecg.moment


def test_pacemaker_spikes_are_annotations() -> None:
    ecg = made(5, spikes=True)
    assert len(ecg.spikes) > 5
    (note,) = convert(scp(ecg)).objects[0].WaveformAnnotationSequence
    assert tuple(map(int, note.ReferencedTimeOffsets)) == ecg.spikes
    assert note.ConceptNameCodeSequence[0].CodeValue == "10:4096"
    assert "WaveformAnnotationSequence" not in convert(scp(made(5))).objects[0]


def test_leads_calculated_from_others_say_so() -> None:
    converted = convert(muse(made(6)))
    groups = converted.objects[0].WaveformSequence
    assert [(g.MultiplexGroupLabel, g.WaveformOriginality) for g in groups] == [
        ("RHYTHM", "ORIGINAL"), ("MEDIAN BEAT", "DERIVED"), ("DERIVED LEADS", "DERIVED"),
        ("DERIVED LEADS, B", "DERIVED"),
    ]  # fmt: skip
    codes = [c.ChannelSourceSequence[0].CodeValue for c in groups[2].ChannelDefinitionSequence]
    assert codes == ["2:111", "2:112", "2:113", "2:114"]
    assert any("calculated from I and II" in note for note in converted.notes)


def test_odd_numbers_of_the_limb_leads_stay_exact() -> None:
    ecg = made(8)
    samples = ecg.samples.copy()
    samples[:, 0] += 1  # now I / 2 is no whole number of steps
    data = muse(made(8, samples=samples))
    wave = convert(data).objects[0]
    one, two = (steps(made(8, samples=samples))[lead] for lead in ("I", "II"))
    derived = leads_of(wave, "DERIVED LEADS")
    assert np.array_equal(2 * derived["aVR"], -(one + two))
    assert np.array_equal(2 * derived["aVL"], 2 * one - two)
    assert np.array_equal(2 * derived["aVF"], 2 * two - one)


def test_intervals_of_scp_are_said_to_be_differences() -> None:
    converted = convert(scp(made(1)))
    (comment,) = texts(converted.objects[1], "121106")
    assert "section 7 states" in comment
    assert comment in converted.notes
    stated = convert(aecg(made(1)))
    assert not stated.notes
    assert not texts(stated.objects[1], "121106")


def test_large_numbers_take_32_bits() -> None:
    ecg = made(9)
    text = aecg(ecg).decode().replace("<digits>", "<digits>70000 ", 12)
    cut = text.replace('<scale value="5"', '<scale value="0.1"')
    wave = convert(cut.encode()).objects[0]
    assert wave.SOPClassUID == "1.2.840.10008.5.1.4.1.1.9.1.4"
    assert wave.WaveformSequence[0].WaveformSampleInterpretation == "SL"
    leads = leads_of(wave, "RHYTHM")
    assert {int(lead[0]) for lead in leads.values()} == {7_000_000_000}
    assert np.array_equal(leads["V1"][1:], ecg.lead("V1").astype(np.int64) * 100_000)


@pytest.mark.parametrize("rate", [125, 250, 1000, 2000])
def test_other_rates(rate: int) -> None:
    ecg = made(3, rate=rate, seconds=4)
    for writer in (scp, aecg, muse, sierra):
        wave = convert(writer(ecg)).objects[0]
        assert wave.WaveformSequence[0].SamplingFrequency == rate
        found = all_leads(wave, "RHYTHM", "DERIVED LEADS")
        assert all(np.array_equal(found[k], v) for k, v in steps(ecg).items())
        assert wave.SOPClassUID.endswith("9.1.1" if 200 <= rate <= 1000 else "9.1.4")


def test_a_long_recording_is_a_general_ecg() -> None:
    ecg = made(3, seconds=40)
    for writer in (aecg, muse, sierra):
        wave = convert(writer(ecg)).objects[0]
        assert wave.SOPClassUID.name == "General ECG Waveform Storage"
        assert leads_of(wave, "RHYTHM")["V6"].size == 20_000


def test_the_same_file_makes_the_same_bytes() -> None:
    for writer in (scp, aecg, muse, sierra):
        data = writer(made(4))
        first, again = convert(data, "x.scp"), convert(data, "other name.bin")
        assert [written(a) for a in first.objects] == [written(b) for b in again.objects]
    assert convert(scp(made(4))).objects[0].SOPInstanceUID != (
        convert(scp(made(5))).objects[0].SOPInstanceUID
    )


def test_own_huffman_tables_with_switches() -> None:
    """Two tables: 0 -> 3, 10 -> go to table 2, 110 + 4 bits; there 1 -> 7, 0 -> go to table 1."""
    one = HuffmanTable.of(
        [HuffmanCode("0", 0, 3), HuffmanCode("10", 0, 2, True), HuffmanCode("110", 4, 0)]
    )
    two = HuffmanTable.of([HuffmanCode("1", 0, 7), HuffmanCode("0", 0, 1, True)])
    bits = "0" "10" "1" "1" "0" "110" "1010" "0"  # fmt: skip
    data = int(bits.ljust(16, "0"), 2).to_bytes(2, "big")
    assert huffman(data, 5, [one, two], "x").tolist() == [3, 7, 7, -6, 3]


def test_a_huffman_table_in_the_file() -> None:
    """The default table written out, with its codes backwards as the format has them."""
    ecg = made(2)
    codes = default_table().codes.values()
    body = bytes([1, 0]) + len(codes).to_bytes(2, "little")
    for code in codes:
        body += bytes([len(code.bits), len(code.bits) + code.extra, 1])
        body += code.value.to_bytes(2, "little", signed=True)
        body += int(code.bits[::-1], 2).to_bytes(4, "little")
    wave = convert(record({**sections(ecg), 2: body})).objects[0]
    assert np.array_equal(leads_of(wave, "RHYTHM")["V3"], steps(ecg)["V3"])


def test_a_dictionary_that_is_full_stays() -> None:
    from dicomlake.converters.ecg.coding import lzw as unpacked

    noise = np.random.default_rng(1).integers(0, 256, 5000, np.uint8).tobytes()
    assert unpacked(lzw(noise * 2), "x") == noise * 2
