"""Damaged, odd and hostile ECG files: refused with the reason, never a crash, never much memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicomlake.errors import DataError, UsageError
from dicomlake.testing.ecgfiles import Ecg, aecg, made, muse, scp, sierra
from dicomlake.testing.ecgfiles.binary import record, sections
from tests.converters.ecg import convert, format_of, in_turn, leads_of, measured, texts, written

WRITERS: dict[str, Callable[[Ecg], bytes]] = {
    "scp": scp,
    "aecg": aecg,
    "muse": muse,
    "sierra": lambda ecg: sierra(ecg, encoding="utf-8"),
    "sierra, utf-16": sierra,
}
SHORT = made(21, seconds=2)
SECRETS = (SHORT.patient_id, SHORT.family, SHORT.given)


def changed(data: bytes, old: str, new: str, count: int = -1) -> bytes:
    assert old.encode() in data, old
    return data.replace(old.encode(), new.encode(), count)


def resealed(number: int, change: Callable[[bytes], bytes], **how: object) -> bytes:
    """An SCP-ECG record with one section changed and all its checksums right."""
    bodies = sections(SHORT, **how)  # type: ignore[arg-type]
    return record({**bodies, number: change(bodies[number])})


def without(*numbers: int) -> bytes:
    return record({k: v for k, v in sections(SHORT).items() if k not in numbers})


def patched(place: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body[:place] + new + body[place + len(new) :]


def _moved_area(body: bytes) -> bytes:
    """Section 4 whose first protected area begins a sample later."""
    place = 6 + 14 * body[4]
    return patched(place, struct.pack("<I", struct.unpack_from("<I", body, place)[0] + 1))(body)


REFUSED = {
    "scp truncated": (lambda: scp(SHORT)[:-100], "truncated"),
    "scp without its end": (lambda: scp(SHORT)[:40], "truncated"),
    "scp with a wrong byte": (lambda: scp(SHORT)[:900] + b"?" + scp(SHORT)[901:], "CRC"),
    "scp section checksum": (
        lambda: _with_wrong_section(scp(SHORT)), "the checksum (CRC) of section 6 is wrong"),
    "scp without leads": (lambda: resealed(3, lambda _: bytes([0, 4])), "no leads"),
    "scp without section 3": (lambda: without(3), "no section 3"),
    "scp without rhythm": (lambda: without(6), "no section 6"),
    "scp without samples": (
        lambda: resealed(3, patched(2, struct.pack("<II", 5, 4))), "no samples"),
    "scp a lead of a time of its own": (
        lambda: resealed(3, patched(6, struct.pack("<I", 70_000))), "fewer samples than"),
    "aecg six sets of leads": (lambda: _sets(aecg(SHORT), 6), "has 7 sets of leads"),
    "aecg sets without times": (
        lambda: changed(_sets(aecg(SHORT), 2), "TIME_ABSOLUTE", "TIME_RELATIVE", 1),
        "does not say when each of its sets"),
    "scp bimodal without a beat": (
        lambda: record({k: v for k, v in sections(SHORT, sparse=4).items() if k != 5}),
        "but has no section 5"),
    "scp bimodal of other rates": (
        lambda: resealed(6, patched(2, struct.pack("<H", 3000)), sparse=4), "that do not fit"),
    "scp bimodal between its areas": (lambda: resealed(4, _moved_area, sparse=4),
                                      "no multiple of 4 samples"),
    "scp section 10": (lambda: resealed(10, patched(0, b"\xff")), "section 10 is truncated"),
    "scp coding": (lambda: resealed(6, patched(4, b"\7")), "coded in a way that is not known"),
    "scp scale": (lambda: resealed(6, patched(0, b"\0\0")), "how large its steps are"),
    "scp interval": (lambda: resealed(6, patched(2, b"\0\0")), "how long they last"),
    "scp huffman ends": (lambda: resealed(6, lambda b: b[:-4000]), "is truncated"),
    "scp plain ends": (
        lambda: resealed(6, lambda b: b[:-400], compressed=False, order=0), "is truncated"),
    "scp no table": (lambda: resealed(2, lambda _: bytes(2)), "no Huffman table"),
    "scp ambiguous table": (
        lambda: resealed(2, lambda _: struct.pack("<HHBBBhIBBBhI", 1, 2, 1, 1, 1, 0, 0,
                                                  2, 2, 1, 1, 0)), "ambiguous"),
    "scp tag": (lambda: resealed(1, patched(1, b"\xff\xff")), "longer than the section"),
    "scp section 7": (lambda: resealed(7, patched(0, b"\xff")), "section 7 is truncated"),
    "scp without moment": (lambda: without(1), "give AcquisitionDateTime with the header"),
    "scp beat is missing": (
        lambda: record({k: v for k, v in sections(SHORT, subtracted=True).items() if k != 5}),
        "lacks a reference beat"),
    "aecg cut": (lambda: aecg(SHORT)[:5000], "ends early or is damaged"),
    "aecg no leads": (
        lambda: changed(aecg(SHORT), "MDC_ECG_LEAD_", "MDC_OTHER_"), "has no leads"),
    "aecg other lengths": (
        lambda: changed(aecg(SHORT), "<digits>", "<digits>1 ", 1), "different numbers of samples"),
    "aecg no samples": (lambda: _without_digits(aecg(SHORT)), "no samples"),
    "aecg no number": (
        lambda: changed(aecg(SHORT), "<digits>", "<digits>x ", 1), "is no whole number"),
    "aecg fraction": (
        lambda: changed(aecg(SHORT), "<digits>", "<digits>1.5 ", 1), "is no whole number"),
    "aecg no rate": (
        lambda: changed(aecg(SHORT), "increment", "incr"), "how many samples a second"),
    "aecg no scale": (lambda: changed(aecg(SHORT), "<scale ", "<scales "), "has a scale without"),
    "aecg unit": (lambda: changed(aecg(SHORT), 'unit="uV"/><digits', 'unit="kg"/><digits'),
                  "in no unit of voltage"),
    "aecg rhythm": (lambda: changed(aecg(SHORT), '"RHYTHM"', '"REPRESENTATIVE_BEAT"'),
                    "no series with a rhythm"),
    "muse checksum": (lambda: _other_sample(muse(SHORT)), "does not fit its checksum"),
    "muse shorter": (lambda: changed(muse(SHORT), "<LeadByteCountTotal>2", "<LeadByteCountTotal>3"),
                     "the file is truncated"),
    "muse unit": (lambda: changed(muse(SHORT), "MICROVOLTS", "FURLONGS"), "how many microvolts"),
    "muse no rhythm": (lambda: changed(muse(SHORT), ">Rhythm<", ">Other<"), "no rhythm"),
    "muse no base 64": (lambda: changed(muse(SHORT), "<WaveFormData>", "<WaveFormData>!"),
                        "no base 64"),
    "muse rate": (lambda: changed(muse(SHORT), "SampleBase>", "SomeBase>"), "samples a second"),
    "muse exponent": (
        lambda: changed(muse(SHORT), "<SampleExponent>0", "<SampleExponent>99"), "SampleExponent"),
    "sierra compression": (lambda: changed(WRITERS["sierra"](SHORT), '"XLI"', '"ZIP"'),
                           "compressed in a way that is not known"),
    "sierra shorter": (
        lambda: changed(WRITERS["sierra"](SHORT), 'durationperchannel="2000"',
                        'durationperchannel="4000"'), "fewer samples"),
    "sierra leads": (
        lambda: changed(WRITERS["sierra"](SHORT), 'V6" duration', 'V6 V7" duration')
        .replace(b'leads="12"', b'leads="13"'), "hold 12 leads where 13 are named"),
    "sierra version": (lambda: changed(WRITERS["sierra"](SHORT), ">1.04<", ">9.99<"), "1.04.02"),
    "sierra resolution": (
        lambda: changed(changed(WRITERS["sierra"](SHORT), 'resolution="5"', ""), "<resolution>5",
                        "<resolution>"), "how many microvolts"),
    "sierra rate": (
        lambda: changed(changed(WRITERS["sierra"](SHORT), 'samplespersecond="500"', ""),
                        "<samplingrate>500", "<samplingrate>"), "how fast it was sampled"),
    "sierra no samples": (
        lambda: changed(WRITERS["sierra"](SHORT), 'durationperchannel="2000"',
                        'durationperchannel="0.1"'), "no samples"),
    "something else": (lambda: b"%PDF-1.7 no ECG", "no ECG in a format that is read"),
    "nothing": (lambda: b"", "no ECG in a format that is read"),
}  # fmt: skip


def _with_wrong_section(data: bytes) -> bytes:
    """A byte of section 6 is wrong, and the checksum of the whole record is right."""
    import binascii

    place = struct.unpack_from("<I", data, 22 + 6 * 10 + 6)[0] + 200
    data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    return struct.pack("<H", binascii.crc_hqx(data[2:], 0xFFFF)) + data[2:]


def _without_digits(data: bytes) -> bytes:
    import re

    return re.sub(rb"<digits>[^<]*</digits>", b"<digits></digits>", data)


def _sets(data: bytes, count: int) -> bytes:
    """An aECG whose leads come several times, each half a second after the one before."""
    start = data.index(b"<component><sequenceSet>")
    end = data.index(b"</sequenceSet></component>") + len(b"</sequenceSet></component>")
    head = f'<head value="{SHORT.moment:%Y%m%d%H%M%S}'.encode()
    one = data[start:end]
    rest = [one.replace(head, head + b".%02d" % (50 * i % 100)) for i in range(1, count)]
    return data[:end] + b"".join(rest) + data[end:]


def _other_sample(data: bytes) -> bytes:
    at = data.index(b"<WaveFormData>") + 40
    return data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(what: str) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(DataError) as caught:
        convert(make())
    assert reason in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_checksums_of_another_kind_are_noted() -> None:
    converted = convert(changed(muse(SHORT), "<LeadDataCRC32>", "<LeadDataCRC32>1"))
    assert "no lead fits its LeadDataCRC32: checksums of another kind, not tried" in converted.notes
    assert not any("CRC32" in note for note in convert(muse(SHORT)).notes)


def test_what_is_not_applied_is_noted() -> None:
    old, new = (
        "<LeadTimeOffset>0<",
        "<FirstSampleBaseline>5</FirstSampleBaseline><LeadTimeOffset>2<",
    )
    notes = convert(changed(muse(SHORT), old, new)).notes
    for name in ("FirstSampleBaseline", "LeadTimeOffset"):
        assert f"{name} was not applied: its meaning is not published" in notes
    samples = SHORT.samples.copy()
    samples[5, 0] = -0x8000
    notes = convert(scp(made(21, seconds=2, samples=samples), compressed=False)).notes
    assert any("lowest number of 16 bits" in note for note in notes)


def test_leads_recorded_one_after_another_are_groups_with_their_times() -> None:
    """Three leads at a time for half a second each, as paper shows them."""
    converted = convert(in_turn(SHORT))
    wave = converted.objects[0]
    assert wave.SOPClassUID.name == "12-lead ECG Waveform Storage"
    labels = ["RHYTHM", "RHYTHM +500 ms", "RHYTHM +1000 ms", "RHYTHM +1500 ms"]
    assert [group.MultiplexGroupLabel for group in wave.WaveformSequence] == labels
    assert {group.WaveformOriginality for group in wave.WaveformSequence} == {"ORIGINAL"}
    for i, label in enumerate(labels):
        for name, found in leads_of(wave, label).items():
            wanted = SHORT.lead(name)[i * 250 : (i + 1) * 250].astype(np.int64)
            assert np.array_equal(found, wanted * 5_000_000), name
    assert any("one after another" in note for note in converted.notes)


def test_sets_of_an_annotated_ecg_are_groups_with_their_times() -> None:
    wave = convert(_sets(aecg(SHORT), 2)).objects[0]
    labels = [group.MultiplexGroupLabel for group in wave.WaveformSequence]
    assert labels == ["RHYTHM", "RHYTHM +500 ms", "MEDIAN BEAT"]


BOMBS = {
    "entities": (
        b'<?xml version="1.0"?><!DOCTYPE AnnotatedECG [<!ENTITY a "x">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
        + b"]><AnnotatedECG>&j;</AnnotatedECG>",
        "declares entities",
    ),
    "another file": (
        b'<!DOCTYPE RestingECG [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        b"<RestingECG>&x;</RestingECG>",
        "declares entities",
    ),
    "nested": (b"<AnnotatedECG>" + b"<a>" * 100_000, "nested too deep"),
    "a year of samples": (
        changed(WRITERS["sierra"](SHORT), 'durationperchannel="2000"', 'durationperchannel="3e10"'),
        "samples; at most",
    ),
    "four thousand million samples": (
        resealed(3, lambda _: bytes([12, 4]) + struct.pack("<IIB", 1, 0xFFFFFFFF, 1) * 12),
        "samples; at most",
    ),
    "255 leads": (
        resealed(3, lambda _: bytes([255, 4]) + struct.pack("<IIB", 1, 9, 1) * 255),
        "at most 85",
    ),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs_take_no_memory(what: str) -> None:
    data, reason = BOMBS[what]
    assert format_of(data)
    convert(scp(SHORT))  # what is loaded once is not counted
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=reason):
            convert(data)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_dictionary_that_unfolds_without_end_is_stopped() -> None:
    from dicomlake.converters.ecg.coding import LONGEST_CHUNK, lzw
    from dicomlake.testing.ecgfiles.xml import _packed

    codes = [97, *range(256, 1023), *([1022] * 40_000)]
    with pytest.raises(DataError, match="would take more"):
        lzw(_packed(codes, 10), "lead 1")
    assert LONGEST_CHUNK < 32 << 20


def mutants(data: bytes, count: int, seed: int) -> list[bytes]:
    """Copies that are cut off, that have wrong bits, and that miss a part or have it twice."""
    rng, found = random.Random(seed), []
    for i in range(count):
        if i % 4 == 0:
            found.append(data[: rng.randrange(len(data))])
            continue
        copy = bytearray(data)
        if i % 4 == 1:
            start = rng.randrange(len(copy))
            part = copy[start : start + rng.randrange(1, 200)]
            copy[start : start + rng.choice((0, len(part)))] = part * rng.choice((0, 2))
        for _ in range(rng.randint(1, 8)):
            if copy:
                # half of them near the beginning, where what matters most is
                reach = len(copy) if rng.random() < 0.5 else min(len(copy), 3000)
                copy[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        found.append(bytes(copy))
    return found


def survives(data: bytes, secrets: tuple[str, ...] = ()) -> bool:
    """Whether a file is converted into objects that can be written; a DataError is as good."""
    try:
        converted = convert(data, AcquisitionDateTime="20240131120000")
    except DataError as error:
        told = str(error)
    else:
        assert all(len(written(made_)) > 500 for made_ in converted.objects)
        return True
    assert not any(secret in told for secret in secrets)
    return False


@pytest.mark.parametrize("how", WRITERS)
def test_mutated_files(how: str) -> None:
    data = WRITERS[how](SHORT)
    done = [survives(mutant, SECRETS) for mutant in mutants(data, 150, 1)]
    assert not all(done)


def test_mutated_sections_with_right_checksums() -> None:
    done = []
    for subtracted in (False, True):
        bodies = sections(SHORT, subtracted=subtracted)
        for number, body in bodies.items():
            for mutant in mutants(body, 10, number):
                done.append(survives(record({**bodies, number: mutant}), SECRETS))
    assert any(done)
    assert not all(done)


def test_mutated_files_of_the_corpus(corpus_folder: Path) -> None:
    paths = [path for path in sorted(corpus_folder.rglob("*.xml")) if format_of(path.read_bytes())]
    assert len(paths) > 10
    for path in paths:
        data = path.read_bytes()
        count = 12 if len(data) > 10_000 else 80
        done = [survives(mutant) for mutant in mutants(data, count, len(data))]
        assert not all(done), path.name


def test_names_and_texts_in_other_characters() -> None:
    one = made(30, family="Größe", given="Łucja", statements=("Rythme sinusal à 60",))
    for writer in (scp, aecg, sierra):
        wave, report = convert(writer(one)).objects
        assert str(wave.PatientName) == "Größe^Łucja"
        assert wave.SpecificCharacterSet == "ISO_IR 192"
        assert texts(report, "271921002") == ["Rythme sinusal à 60"]
        assert "Größe".encode() in written(wave)


def test_bytes_that_do_not_fit_their_encoding_are_read_as_windows_1252() -> None:
    one = made(31, family="Größe", given="Anna")
    lying = aecg(one).decode("utf-8").encode("cp1252")
    assert b"UTF-8" in lying
    assert str(convert(lying).objects[0].PatientName) == "Größe^Anna"


@pytest.mark.parametrize(("code", "encoding"), [(0x01, "latin-1"), (0x03, "iso8859-2")])
def test_languages_of_scp(code: int, encoding: str) -> None:
    name = "Müller"
    bodies = sections(made(32, family="@@@@@@", given="X"))
    about = bodies[1].replace(b"@@@@@@", name.encode(encoding))
    place = about.index(b"CARD1\0") + 8  # the model stands 8 bytes before the language
    about = about[:place] + bytes([code]) + about[place + 1 :]
    wave = convert(record({**bodies, 1: about})).objects[0]
    assert str(wave.PatientName) == "Müller^X"


def test_names_cannot_break_out_of_their_attribute() -> None:
    one = made(33, family="Do^e=x\\y", given="J\tn", patient_id="A\\B\r\n1")
    for writer in (scp, muse, aecg):
        wave = convert(writer(one)).objects[0]
        assert str(wave.PatientName) == "Do e x y^J n"
        assert wave.PatientID == "A B 1"


def test_an_identity_that_is_too_long_is_refused() -> None:
    with pytest.raises(DataError, match="PatientID has more than 64 characters"):
        convert(aecg(made(1, patient_id="7" * 65)))
    converted = convert(aecg(made(1, institution="H" * 80)))
    assert converted.objects[0].InstitutionName == "H" * 64
    assert "InstitutionName was cut at 64 characters" in converted.notes


def test_zones_are_kept_and_none_is_invented() -> None:
    one = made(34)
    at = f"{one.moment:%Y%m%d%H%M%S}"
    data = changed(aecg(one), f'<head value="{at}"/>', f'<head value="{at}.25-0330"/>')
    wave, report = convert(data).objects
    assert wave.AcquisitionDateTime == f"{at}.250000-0330"
    assert (wave.TimezoneOffsetFromUTC, wave.ContentTime) == ("-0330", f"{at[8:]}.250000")
    assert report.TimezoneOffsetFromUTC == "-0330"
    assert "TimezoneOffsetFromUTC" not in convert(aecg(one)).objects[0]


def test_ages_keep_their_unit() -> None:
    data = changed(muse(SHORT), "<AgeUnits>YEARS", "<AgeUnits>MONTHS")
    wave, report = convert(data).objects
    assert wave.PatientAge == f"{SHORT.age:03d}M"
    assert measured(report)["121033"] == (SHORT.age, "mo")
    assert "PatientAge" not in convert(changed(muse(SHORT), "YEARS", "FORTNIGHTS")).objects[0]


def test_the_header_fills_what_the_file_lacks() -> None:
    one = made(35)
    header = {"PatientID": "OTHER", "IssuerOfPatientID": "HOSPITAL", "AccessionNumber": "A-1",
              "StudyInstanceUID": "1.2.3", "StudyDescription": "Resting ECG",
              "SeriesInstanceUID": "1.2.4"}  # fmt: skip
    for made_ in convert(scp(one), "a.scp", **header).objects:
        assert made_.PatientID == one.patient_id  # the file says it
        assert made_.IssuerOfPatientID == "HOSPITAL"
        assert (made_.AccessionNumber, made_.StudyInstanceUID) == ("A-1", "1.2.3")
        assert made_.SeriesInstanceUID != "1.2.4"
        assert made_.StudyDescription == "Resting ECG"
    bodies = sections(one)
    bodies.pop(1)
    wave = convert(record(bodies), AcquisitionDateTime="20240131120000", **header).objects[0]
    assert (wave.PatientID, wave.AcquisitionDateTime) == ("OTHER", "20240131120000")
    with pytest.raises(UsageError, match="write it as 20240131120000"):
        convert(record(bodies), AcquisitionDateTime="31.1.2024")
    with pytest.raises(UsageError, match="PatientIdd"):
        convert(scp(one), PatientIdd="1")


def test_dates_of_the_header_are_those_of_its_study_alone() -> None:
    one = made(36)
    dates = {"StudyDate": "20010203", "StudyTime": "040506", "AcquisitionDateTime": "20010203"}
    for made_ in convert(scp(one), "a.scp", **dates).objects:
        assert made_.StudyDate == f"{one.moment:%Y%m%d}"
    wave, report = convert(scp(one), "a.scp", StudyInstanceUID="1.2.3", **dates).objects
    for made_ in (wave, report):
        assert (made_.StudyDate, made_.StudyTime) == ("20010203", "040506")
        assert made_.ContentDate == f"{one.moment:%Y%m%d}"
    assert wave.AcquisitionDateTime == f"{one.moment:%Y%m%d%H%M%S}"
    assert "AcquisitionDateTime" not in report


def test_sizes_of_patients() -> None:
    size = "<HeightCM>171.33333333333</HeightCM><WeightKG>70.5</WeightKG><Gender>"
    wave = convert(changed(muse(SHORT), "<Gender>", size)).objects[0]
    assert (wave.PatientSize, wave.PatientWeight) == (1.71333, 70.5)
    wave = convert(changed(muse(SHORT), "<Gender>", "<HeightCM>1713</HeightCM><Gender>")).objects[0]
    assert "PatientSize" not in wave


def test_a_large_huffman_table_takes_no_longer() -> None:
    """Four thousand codes of 12 bits: each bit is looked at once, not each code."""
    codes = b"".join(
        struct.pack("<BBBhI", 12, 12, 1, i % 7, int(f"{i:012b}"[::-1], 2)) for i in range(4096)
    )
    stream = random.Random(1).randbytes(1_500) * 43
    signal = struct.pack("<HHBB12H", 5000, 2000, 0, 0, *([len(stream)] * 12)) + stream * 12
    count = len(stream) * 8 // 12
    listed = bytes([12, 4]) + b"".join(struct.pack("<IIB", 1, count, i) for i in range(1, 13))
    bodies = {1: sections(SHORT)[1], 2: struct.pack("<HH", 1, 4096) + codes, 3: listed, 6: signal}
    wave = convert(record(bodies)).objects[0]
    first = f"{int.from_bytes(stream[:3], 'big'):024b}"
    found = next(iter(leads_of(wave, "RHYTHM").values()))[:2] // 5_000_000
    assert found.tolist() == [int(first[:12], 2) % 7, int(first[12:], 2) % 7]
    with pytest.raises(DataError, match="more than 4096 codes"):
        convert(record({**bodies, 2: struct.pack("<HH", 1, 4097) + codes + codes[:9]}))


def test_what_people_say_counts_before_what_devices_say() -> None:
    one = made(37)
    said = (
        "<subjectOf><annotationSet><author><assignedEntity><assignedAuthorType><assignedPerson/>"
        "</assignedAuthorType></assignedEntity></author>"
        '<component><annotation><code code="MDC_ECG_TIME_PD_QT"/><value value="0.4" unit="s"/>'
        '</annotation></component><component><annotation><code code="MDC_ECG_INTERPRETATION"/>'
        "<value>Read by hand</value></annotation></component></annotationSet></subjectOf></series>"
    )
    converted = convert(changed(aecg(one), "</series>", said))
    numbers = measured(converted.objects[1])
    assert numbers["2:16160"] == (400, "ms")
    assert numbers["2:15872"] == (one.pr, "ms")
    assert texts(converted.objects[1], "271921002") == ["Read by hand"]
    assert "statements of the device were left out: a person's are there" in converted.notes


def test_characters_that_are_lost_are_noted() -> None:
    bodies = sections(made(38, family="@@@@"))
    broken = record({**bodies, 1: bodies[1].replace(b"@@@@", b"M\xfcll")})  # no UTF-8
    converted = convert(broken)
    assert "PatientName has characters that the encoding of the file lacks" in converted.notes


def test_what_it_was_made_of_stands_in_the_objects() -> None:
    from hashlib import sha256

    data = scp(SHORT)
    for made_ in convert(data, "Mustermann_Max.scp").objects:
        digest = sha256(data).hexdigest()
        block = made_.private_block(0x0009, "DICOMLAKE")
        assert (block[1].value, block[2].value) == ("SCP-ECG 2.0", digest)
        assert digest in made_.ContributingEquipmentSequence[0].ContributionDescription
        assert b"Mustermann" not in written(made_)
