"""What the made-up hospital says of itself, counted again by pydicom."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from dicomlake.testing.hospital import Summary, objects, shown, summary, write
from dicomlake.testing.hospital.archive import files_of
from dicomlake.testing.hospital.exams import EXAMS
from dicomlake.testing.hospital.patients import studies
from dicomlake.testing.hospital.study import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENTS = 25
REGIONS = {word: exam.body_part for exam in EXAMS.values() for word in exam.words}


def unpacked(path: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, or the files inside an archive."""
    if path.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield f"{path}/{name}", archive.read(name)
    elif path.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                inside = archive.extractfile(member)
                assert inside is not None
                yield f"{path}/{member.name}", inside.read()
    else:
        yield path, data


def looks_like_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM" or data[:4] == b"\x02\x00\x00\x00"


def dicom(data: bytes) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        ds.as_sent = {
            keyword: ds.get_item(keyword).value
            for keyword in ("PatientID", "SliceThickness", "PixelSpacing", "BodyPartExamined")
            if keyword in ds
        }
        ds.decode()
    return ds


def content_items(ds: pydicom.Dataset) -> int:
    return 1 + sum(content_items(item) for item in ds.get("ContentSequence", ()))


@pytest.fixture(scope="module")
def files() -> list[tuple[str, bytes]]:
    return [pair for path, data in objects(PATIENTS) for pair in unpacked(path, data)]


@pytest.fixture(scope="module")
def read(files) -> dict[str, pydicom.Dataset]:
    """Every DICOM file by its path, as pydicom reads it; DICOMDIR and truncated ones too."""
    return {path: dicom(data) for path, data in files if looks_like_dicom(data)}


@pytest.fixture(scope="module")
def datasets(read) -> dict[str, pydicom.Dataset]:
    """Every complete object by its SOP Instance UID."""
    return {ds.SOPInstanceUID: ds for ds in read.values() if "StudyInstanceUID" in ds}


@pytest.fixture(scope="module")
def truth() -> Summary:
    return summary(PATIENTS)


def test_the_truth_is_what_pydicom_counts(read, datasets, truth):
    all_of = list(datasets.values())
    assert truth.objects == len(all_of)
    assert truth.series == len({ds.SeriesInstanceUID for ds in all_of})
    assert truth.studies == len({ds.StudyInstanceUID for ds in all_of})
    people = {(ds.IssuerOfPatientID, ds.PatientID.strip()) for ds in all_of}
    assert truth.patients == len(people) == PATIENTS
    assert truth.patient_ids == len({identifier for _, identifier in people}) == PATIENTS - 1
    assert truth.by_class == Counter(ds.SOPClassUID for ds in all_of)
    levels = {
        "objects": "SOPInstanceUID",
        "series": "SeriesInstanceUID",
        "studies": "StudyInstanceUID",
    }
    for level, keyword in levels.items():
        pairs = {(ds.Modality, ds[keyword].value) for ds in all_of}
        assert truth.by_modality[level] == Counter(modality for modality, _ in pairs)
    pairs = {(ds.Modality, ds.IssuerOfPatientID, ds.PatientID.strip()) for ds in all_of}
    assert truth.by_modality["patients"] == Counter(pair[0] for pair in pairs)
    complete = [ds for ds in read.values() if "StudyInstanceUID" in ds]
    assert truth.duplicates == len(complete) - len(all_of)


def test_rows_are_what_pydicom_counts(datasets, truth):
    rows: Counter[str] = Counter()
    for ds in datasets.values():
        if ds.Modality in ("SR", "KO"):
            rows["content items"] += content_items(ds)
            codes = [str(e.value) for e in ds.iterall() if e.keyword == "CodeValue"]
            rows["dose events"] += codes.count("113819") + codes.count("113706")
            rows["measurement groups"] += codes.count("125007")
        rows["segments"] += len(ds.get("SegmentSequence", ()))
        rows["regions of interest"] += len(ds.get("StructureSetROISequence", ()))
        rows["annotations"] += len(ds.get("WaveformAnnotationSequence", ()))
        for group in ds.get("WaveformSequence", ()):
            rows["waveform channels"] += group.NumberOfWaveformChannels
    assert +rows == truth.rows


def test_untidiness_is_what_pydicom_sees(files, datasets, truth):
    seen: Counter[str] = Counter()
    for ds in datasets.values():
        syntax = ds.file_meta.TransferSyntaxUID
        seen["implicit VR"] += syntax == ImplicitVRLittleEndian
        seen["big endian"] += syntax == "1.2.840.10008.1.2.2"
        seen["deflated"] += syntax == "1.2.840.10008.1.2.1.99"
        seen["no AccessionNumber"] += not ds.AccessionNumber
        seen["charset: label misspelt"] += ds.get("SpecificCharacterSet") == "ISO-IR 100"
        identifier = ds.as_sent["PatientID"]
        spaces = identifier.startswith(b" ") or len(identifier) > 8
        seen["PatientID with spaces"] += spaces
        seen["PatientBirthDate invalid"] += not ds.PatientBirthDate.startswith(("19", "20")) or (
            "." in ds.PatientBirthDate
        )
        seen["invalid DA"] += "." in ds.SeriesDate
        seen["invalid TM"] += ":" in ds.SeriesTime
        seen["invalid DS"] += b"," in ds.as_sent.get("SliceThickness", b"")
        seen["long DS"] += any(
            len(v) > 16 for v in ds.as_sent.get("PixelSpacing", b"").split(b"\\")
        )
        seen["enhanced"] += "PerFrameFunctionalGroupsSequence" in ds and ds.Modality != "SEG"
        if "FrameOfReferenceUID" in ds:
            seen["BodyPartExamined missing"] += "BodyPartExamined" not in ds
            seen["BodyPartExamined empty"] += ds.get("BodyPartExamined") == ""
            preset = "HEAD" if REGIONS[ds.StudyDescription] == "CHEST" else "CHEST"
            seen["BodyPartExamined of another part"] += ds.get("BodyPartExamined") == preset
    names = {path for path, data in files if data[:4] == b"\x02\x00\x00\x00"}
    seen["no preamble"] = len(names)
    assert {kind: truth.traits[kind] for kind in seen} == seen


def test_what_cannot_be_read(files, read, truth):
    kinds: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    for path, data in files:
        if path.endswith((".jpg", ".txt", ".db")):
            foreign[path[path.rindex(".") :]] += 1
        elif not data:
            kinds["empty"] += 1
        elif not looks_like_dicom(data):
            kinds["garbage"] += 1
        elif not path.endswith("DICOMDIR") and "StudyInstanceUID" not in read[path]:
            kinds["truncated"] += 1
    assert kinds == truth.failures
    assert foreign == truth.foreign


def test_pixels_decode_and_only_the_damaged_do_not(datasets, truth):
    failed = 0
    for ds in datasets.values():
        if "PixelData" in ds:
            try:
                assert ds.pixel_array.max() > 0
            except ValueError:
                failed += 1
    assert failed == sum(truth.damaged.values()) == 1


def test_what_ct_shows_is_what_its_pixels_hold(datasets):
    truth = shown(PATIENTS)
    seen = 0
    for series, structures in truth.items():
        images = [ds for ds in datasets.values() if ds.SeriesInstanceUID == series]
        images.sort(key=lambda ds: ds.InstanceNumber)
        if any(len(ds.PixelData) < 2 * 128 * 128 for ds in images):
            continue  # the damaged file
        heights = [float(ds.ImagePositionPatient[2]) for ds in images]
        step = heights[1] - heights[0]
        assert np.allclose(np.diff(heights), step)
        stack = np.stack([ds.pixel_array for ds in images]).astype(int) - 1024
        spacing = 300 / 128 if images[0].ImagePositionPatient[0] == -200 else 380 / 128
        voxel = spacing * spacing * step / 1000
        for name, low, high in (("lungs", -870, -830), ("bone", 480, 720), ("fat", -110, -90)):
            inside = (stack >= low) & (stack <= high)
            volume = structures[name].volume_mL if name in structures else 0
            assert inside.sum() * voxel == pytest.approx(volume)
            if volume:
                assert stack[inside].mean() == pytest.approx(structures[name].HU, abs=1)
                seen += 1
        lungs = (stack >= -870) & (stack <= -830)
        at_edge = lungs[[0, -1]].any() or lungs[:, :, [0, -1]].any() or lungs[:, [0, -1]].any()
        if "lungs" in structures:
            assert structures["lungs"].complete != at_edge
    assert seen > 40


def test_ct_of_the_chest_shows_lungs_whole_and_cut_off():
    whole: Counter[tuple[bool, bool]] = Counter()
    for structures in shown().values():
        if structures.get("lungs") and structures["lungs"].volume_mL > 1000:
            sides = structures["right lung"], structures["left lung"]
            whole[sides[0].complete, sides[1].complete] += 1
            assert structures["lungs"].complete == all(side.complete for side in sides)
    assert whole == {(True, True): 5, (False, False): 2, (True, False): 1}


def test_references_point_into_the_same_study(datasets):
    studies: dict[str, set[str]] = {}
    for ds in datasets.values():
        studies.setdefault(ds.StudyInstanceUID, {ds.StudyInstanceUID}).add(ds.SOPInstanceUID)
    referring = 0
    for ds in datasets.values():
        wanted = {e.value for e in ds.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        referring += bool(wanted)
        assert wanted <= studies[ds.StudyInstanceUID]
    assert referring > 50


def test_dose_reports_name_the_events_of_their_images(datasets):
    images: dict[str, set[str]] = {}
    reports: dict[str, set[str]] = {}
    for ds in datasets.values():
        if "IrradiationEventUID" in ds:
            images.setdefault(ds.StudyInstanceUID, set()).add(ds.IrradiationEventUID)
        if ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.67":
            events = [i for i in items(ds) if code(i) == "113769"]
            reports.setdefault(ds.StudyInstanceUID, set()).update(i.UID for i in events)
    assert reports
    for study, events in reports.items():
        assert events == images[study]


def items(ds: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from items(item)


def code(item: pydicom.Dataset) -> str:
    concept = item.get("ConceptNameCodeSequence")
    return str(concept[0].CodeValue) if concept else ""


def test_b_values_stand_where_the_manufacturer_puts_them(datasets):
    found: dict[str, set[int]] = {}
    for ds in datasets.values():
        if ds.Modality != "MR":
            continue
        for group, creator, element in (
            (0x19, "SIEMENS MR HEADER", 0x0C),
            (0x43, "GEMS_PARM_01", 0x39),
            (0x2001, "Philips Imaging DD 001", 0x03),
        ):
            try:
                value = ds.private_block(group, creator)[element].value
            except KeyError:
                continue
            if isinstance(value, bytes):
                value = value.decode().split("\\")
            first = value[0] if isinstance(value, list | pydicom.multival.MultiValue) else value
            found.setdefault(creator, set()).add(int(first) % 1000000000)
    assert {50, 800, 1500} <= found["SIEMENS MR HEADER"]
    assert {0, 1000} <= found["GEMS_PARM_01"] | found["Philips Imaging DD 001"]


def test_the_first_patients_have_everything(datasets, truth):
    assert truth.by_modality["objects"].keys() >= {
        *("CT", "MR", "XA", "US", "MG", "PT", "DX", "CR", "NM", "ECG"),
        *("SR", "SEG", "RTSTRUCT", "KO", "PR", "DOC"),
    }
    creators = {ds.Manufacturer for ds in datasets.values()}
    assert len(creators) > 10


def test_two_runs_give_the_same_bytes():
    assert list(objects(6)) == list(objects(6))


def test_every_machine_gives_the_same_bytes():
    # the digest changes only when the hospital is meant to change
    digest = blake2b(digest_size=8)
    for path, data in objects(10):
        digest.update(path.encode() + data)
    assert digest.hexdigest() == "51ca0957887998c9"


def test_another_seed_gives_another_hospital():
    assert dict(objects(2)).keys() != dict(objects(2, seed=8)).keys()


def test_a_patient_does_not_depend_on_how_many_there_are():
    alone = [(f.path, f.data) for f in files_of(7, 12, Options())]
    many = list(objects(13))
    assert [pair for pair in many if pair in alone] == alone


def test_paths_are_different_and_name_no_patient(files, datasets):
    paths = [path for path, _ in files]
    assert len(paths) == len(set(paths))
    families = {str(ds.PatientName).split("^")[0].lower() for ds in datasets.values()}
    for path in paths:
        assert path.isascii()
        assert not any(family in path.lower() for family in families)


def test_images_stretch_and_headers_stand_alone():
    small, large = summary(3, images=0.5), summary(3, images=3)
    assert small.series == large.series
    assert large.objects > 3 * small.objects
    _, header = next(iter(objects(1, pixels=False)))
    ds = dicom(header)
    assert "PixelData" not in ds
    assert ds.Rows == 512


def test_written_files_are_the_objects(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    total = write(tmp_path, 4, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    on_disk = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert total.files == len(on_disk)
    assert total.bytes == sum(p.stat().st_size for p in on_disk)
    for path, data in objects(4):
        assert (tmp_path / path).read_bytes() == data
    assert total == summary(4)


def test_several_processes_write_the_same(tmp_path: Path):
    assert write(tmp_path, 3, processes=2) == summary(3)
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {path for path, _ in objects(3)}


def test_the_dicomdir_leads_to_its_files(files):
    path, data = next((p, d) for p, d in files if p.endswith("DICOMDIR"))
    ds = dicom(data)
    folder = path.removesuffix("DICOMDIR")
    listed = [
        folder + "/".join(record.ReferencedFileID)
        for record in ds.DirectoryRecordSequence
        if record.DirectoryRecordType == "IMAGE"
    ]
    assert listed
    assert set(listed) <= {path for path, _ in files}
    first = ds.DirectoryRecordSequence[0]
    start = ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    assert data[start : start + 4] == b"\xfe\xff\x00\xe0"
    below = first.OffsetOfReferencedLowerLevelDirectoryEntity
    assert data[below : below + 4] == b"\xfe\xff\x00\xe0"
    assert b"STUDY" in data[below : below + 60]


def test_names_come_back_where_the_character_set_is_right():
    scripts: Counter[str] = Counter()
    for number in range(1, 11):
        for study in studies(7, number):
            if any(trait.startswith("charset") for trait in study.habits.traits):
                continue
            ds = dicom(study.objects[0].data)
            assert str(ds.PatientName) == study.person.name
            assert ds.StudyDescription == study.description
            scripts[study.person.charset] += 1
    assert len(scripts) >= 6


def test_wrong_character_sets_spoil_the_name():
    spoilt = 0
    for number in range(1, 30):
        for study in studies(7, number):
            if study.habits.wrong_charset == "UTF-8 called Latin-1":
                ds = dicom(study.objects[0].data)
                assert str(ds.PatientName) != study.person.name
                assert study.person.name.encode() in study.objects[0].data
                spoilt += 1
    assert spoilt


def test_well_formed_objects_give_pydicom_nothing_to_warn_of():
    faulty = {"invalid DA", "invalid TM", "invalid DS", "long DS", "PatientBirthDate invalid"}
    for number in range(1, 8):
        for study in studies(7, number):
            for thing in study.objects:
                traits = set(thing.series.traits)
                if not traits & faulty and not any(t.startswith("charset") for t in traits):
                    ds = pydicom.dcmread(io.BytesIO(thing.data), force=True)
                    for element in ds.iterall():
                        assert element.value is not element


def test_answers_are_what_pydicom_finds(datasets, truth):
    modalities: dict[str, set[str]] = {}
    drawn: dict[str, list[set[str]]] = {}
    at_3_tesla = set()
    for ds in datasets.values():
        patient = f"{ds.IssuerOfPatientID} {ds.PatientID.strip()}"
        modalities.setdefault(patient, set()).add(ds.Modality)
        if ds.Modality == "SEG":
            types = {s.SegmentedPropertyTypeCodeSequence[0].CodeValue for s in ds.SegmentSequence}
            drawn.setdefault(patient, []).append(types)
        if ds.Modality == "MR" and ds.MagneticFieldStrength == 3:
            at_3_tesla.add(ds.SeriesInstanceUID)
    both = {"87878005", "53085002"}
    found = {
        "patients with CT and ECG": sum({"CT", "ECG"} <= m for m in modalities.values()),
        "patients with MR and SEG": sum({"MR", "SEG"} <= m for m in modalities.values()),
        "patients with both ventricles": sum(both <= set().union(*d) for d in drawn.values()),
        "patients with both ventricles in one SEG": sum(
            any(both <= one for one in d) for d in drawn.values()
        ),
        "MR series at 3 T": len(at_3_tesla),
    }
    assert {question: truth.answers[question] for question in found} == found
    assert (
        found["patients with both ventricles"] > found["patients with both ventricles in one SEG"]
    )
    assert all(found.values())
