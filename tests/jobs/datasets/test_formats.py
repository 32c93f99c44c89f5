"""What datasets are made of: volumes with labels, pictures, tables, lists, cards; and checks."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread

from dicomlake.deid.pixels.faces import face_of
from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.datasets import volumes
from dicomlake.jobs.datasets.checking import check
from dicomlake.jobs.datasets.labels import mapping_of
from dicomlake.jobs.datasets.ledger import Ledger
from dicomlake.jobs.datasets.making import Report, make, run
from dicomlake.jobs.datasets.schemas import differences
from dicomlake.jobs.datasets.volumes import ras, volume_in
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.index import index as index_folder
from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.volumes import axial, chest, series
from tests.deid.heads import VALUES, head
from tests.jobs.datasets.lungs import KEY, SETTINGS, WHERE, make_lake, phantom
from tests.jobs.made import put
from tests.jobs.made import run as index


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("lungs"))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_KEY", KEY)


def made(lake: Path, out: Path, *formats: str, name: str = "", **more: object) -> Report:
    wanted = Wanted(
        str(out), where=WHERE, profile="basic", pseudonyms="study", formats=formats, **more
    )  # type: ignore[arg-type]
    return make(lake, wanted, name=name or f"d{abs(hash(str(out))) % 10**8}")


def test_labels_lie_where_the_structure_is(lake: Path, tmp_path: Path) -> None:
    made(lake, tmp_path / "out", "nifti", layout="monai")
    found = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert [len(found[p]) for p in ("training", "validation", "test", "unlabelled")] == [3, 0, 0, 0]
    names = {name: int(number) for number, name in found["labels"].items()}
    body = phantom()
    for case in found["training"]:
        picture = nibabel.load(tmp_path / "out" / case["image"])
        labels = nibabel.load(tmp_path / "out" / case["label"])
        assert np.array_equal(picture.affine, labels.affine)
        values, drawn = picture.get_fdata(), np.asarray(labels.dataobj)
        for side in ("left", "right"):
            mask = drawn == names[f"lung_{side}"]
            there = int((body.painted == body.names.index(f"lung_{side}")).sum())
            assert int(mask.sum()) == there
            assert abs(values[mask].mean() + 850) < 2
        x = nibabel.affines.apply_affine(labels.affine, np.argwhere(drawn == names["lung_left"]))
        assert x[:, 0].mean() < 0  # left is minus in RAS


def test_a_volume_of_dcm2niix_is_believed_where_ours_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = chest(axial((9, 30, 40), (12.0, 5.0, 4.0)))
    for at, data in enumerate(series(body.volume(noise=3))):
        put(tmp_path, f"{at}.dcm", data)
    paths = sorted(tmp_path.glob("*.dcm"))
    found = volume_in(paths)
    assert (found.by, found.why) == ("dcm2niix", "")
    assert found.packed() == volume_in(paths).packed()
    theirs = nibabel.Nifti1Image.from_bytes(found.data)
    assert theirs.header["descrip"].tobytes().strip(b"\0") == b""

    def shifted(folder: Path) -> tuple[bytes, dict[str, object]]:
        moved = theirs.affine.copy()
        moved[2, 3] += 12
        return volumes.nifti(np.asarray(theirs.dataobj), moved), {}

    monkeypatch.setattr(volumes, "_converted", shifted)
    own = volume_in(paths)
    assert (own.by, own.why) == ("dicomlake", "dcm2niix puts it at another place")
    same = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(own.data))
    believed = nibabel.as_closest_canonical(theirs)
    assert np.allclose(same.affine, believed.affine)
    assert np.array_equal(np.asarray(same.dataobj), np.asarray(believed.dataobj))
    assert np.allclose(own.affine, ras(own.grid))


def test_a_series_without_a_volume_says_why(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    for number, z in enumerate((0, 5, 17), 1):
        data = encode(
            image(
                SOPInstanceUID=uid("uneven", number),
                InstanceNumber=number,
                ImagePositionPatient=[-50, -50, z],
            )
        )
        put(tmp_path / "archive", f"{number}.dcm", data)
    index(tmp_path / "archive", lake)
    wanted = Wanted(
        str(tmp_path / "out"), where="Modality = 'CT'", profile="identified", formats=("nifti",)
    )
    assert make(lake, wanted, name="uneven").state == "finished"
    notes = Ledger(lake, "uneven").rows("select kind, why from notes")
    assert [tuple(row) for row in notes] == [
        ("nifti", "its slices lie at uneven distances, or some are missing")
    ]


def test_nothing_of_patients_is_in_any_file(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    formats = ("dicom", "nifti", "png", "tables")
    report = made(lake, out, *formats, name="clean", layout="federated", site="Kiel")
    assert (report.state, report.quarantined) == ("finished", 0)
    secrets = [b"Quendolin", b"Xaver", b"HOSP-77", b"ACC-99", uid("frame", 0).encode()]
    secrets += [row[0].encode() for row in Ledger(lake, "clean").rows(
        "select SOPInstanceUID from objects")]  # fmt: skip
    for path in sorted(out.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data = str(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
            assert not [s for s in secrets if s in data], path
            assert not [s for s in secrets if s.decode() in str(path.relative_to(out))]
    assert check(out, lake) == []
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    tables = {path.stem for path in (out / "tables").iterdir()}
    assert tables >= {"series", "instances", "elements", "segments"}
    known = set(pq.read_table(out / "tables" / "series.parquet")["SeriesInstanceUID"].to_pylist())
    assert {row["SeriesInstanceUID"] for row in rows} <= known


@pytest.mark.parametrize("what", ["old UID", "known word", "checksum", "missing", "extra", "wide"])
def test_the_check_finds_what_is_planted(lake: Path, tmp_path: Path, what: str) -> None:
    out, name = tmp_path / "out", f"planted-{what.replace(' ', '-').lower()}"
    made(lake, out, "dicom", name=name)
    ledger = Ledger(lake, name)
    row = ledger.rows(
        "select path, SOPInstanceUID, PatientID from objects join patients using (patient_key) "
        "where Modality = 'CT'"
    )[4]
    who = f"Quendolin{row['PatientID'][-1]}"
    path = out / row["path"]
    if what == "missing":
        path.unlink()
    elif what == "extra":
        (out / "notes.txt").write_text("hello")
    else:
        word = {"old UID": row["SOPInstanceUID"].encode(), "wide": who.encode("utf-16-le")}
        path.write_bytes(path.read_bytes() + word.get(what, f"^{who.upper()}^".encode()))
        if what != "checksum":
            _sign(out, ledger, row["path"])
    found = check(out, lake)
    wanted = {"wide": "known word"}.get(what, what)
    where = "notes.txt" if what == "extra" else row["path"]
    assert [(one.path, one.check) for one in found if one.check != "parse"] == [(where, wanted)]


def _sign(out: Path, ledger: Ledger, path: str) -> None:
    """Let the checksums be those of the files as they are now."""
    from dicomlake.jobs.datasets.places import sha256, sha256_of

    lines = [
        line if not line.endswith(path) else f"{sha256_of(out / path)}  {path}"
        for line in (out / "CHECKSUMS.sha256").read_text().splitlines()
    ]
    sums = "".join(f"{line}\n" for line in lines).encode()
    (out / "CHECKSUMS.sha256").write_bytes(sums)
    about = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps({**about, "checksums": sha256(sums)}))


def test_what_the_check_finds_while_making_goes_into_quarantine(lake: Path, tmp_path: Path) -> None:
    from tests.jobs.datasets.cleaners import Marking

    wanted = Wanted(
        str(tmp_path / "out"), where=WHERE, profile="basic", pseudonyms="study",
        formats=("dicom", "nifti"), layout="monai",
    )  # fmt: skip
    report = make(lake, wanted, name="leaky", cleaner=Marking())  # UIDs change, names stay
    assert (report.state, report.written) == ("incomplete", 0)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.name for p in left] == [".dicomlake-dataset"]
    checks = {row[0] for row in Ledger(lake, "leaky").rows('select "check" from objects')}
    assert checks <= {"known word", "mark"}


def test_heads_leave_without_their_faces(tmp_path: Path) -> None:
    volume = head().volume(VALUES)
    archive = tmp_path / "archive"
    archive.mkdir()
    for at, data in enumerate(series(volume, PatientID="P7", SeriesDescription="CCT")):
        (archive / f"{at}.dcm").write_bytes(data)
    lake = tmp_path / "lake"
    index_folder([archive], lake, workers=1)
    (lake / "dicomlake.toml").write_text(SETTINGS)
    profile = "research-without-faces"
    wanted = Wanted(str(tmp_path / "out"), where="Modality = 'CT'", profile=profile,
                    pseudonyms="study", formats=("dicom",))  # fmt: skip
    report = make(lake, wanted, name="heads")
    assert (report.state, report.written) == ("finished", len(volume.voxels))
    face = face_of(volume)
    for path in (tmp_path / "out").rglob("*.dcm"):
        after = dcmread(path)
        _, y, z = volume.grid.origin
        ys = y + np.arange(after.Rows) * volume.grid.steps[1][1]
        z += volume.grid.steps[0][2] * (after.InstanceNumber - 1)
        inside = np.broadcast_to(face.holds(ys[:, None], np.array([[z]])), after.pixel_array.shape)
        voxels = after.pixel_array.astype(int) - 1024
        assert (voxels[inside] == -1000).all()
        kept = volume.voxels[after.InstanceNumber - 1]
        np.testing.assert_array_equal(voxels[~inside], kept[~inside])


def test_sites_compare_schemas_before_they_train(lake: Path, tmp_path: Path) -> None:
    for site in ("kiel", "rennes"):
        made(lake, tmp_path / site, "nifti", layout="federated", name=site, site=site)
    text = "masks: {lung: {label: 1, is: ['SCT:39607008']}}"
    made(lake, tmp_path / "other", "nifti", layout="federated", name="other", labels=text)
    assert differences([tmp_path / "kiel", tmp_path / "rennes"]) == []
    (told,) = differences([tmp_path / "kiel", tmp_path / "other"])
    assert "labels is" in told
    keys = [
        set(json.loads((tmp_path / s / "datalist.json").read_text())) for s in ("kiel", "other")
    ]
    assert keys[0] == keys[1]
    changed = tmp_path / "rennes" / "schema.json"
    changed.write_text(changed.read_text().replace("lung_left", "lung"))
    with pytest.raises(UsageError, match="was changed"):
        differences([tmp_path / "kiel", tmp_path / "rennes"])


def test_a_mapping_says_what_becomes_which_label() -> None:
    mapped = mapping_of("masks: {lung: {label: 3, is: [SCT:39607008, Tumor]}}")
    segment = {"code": "", "type": "", "label": " TUMOR", "laterality": ""}
    assert mapped.number_of(segment) == 3
    assert mapped.number_of({**segment, "label": "x"}) is None
    for wrong in ("masks: [1]", "a: 1", "masks: {x: {label: 1}}", "masks: {x: {label: 0, is: y}}",
                  "masks: {x: {label: 1, is: a}, y: {label: 1, is: b}}", "{"):  # fmt: skip
        with pytest.raises(UsageError):
            mapping_of(wrong)


def test_a_cohort_splits_its_dataset_and_withdrawals_leave_it(lake: Path, tmp_path: Path) -> None:
    from dicomlake.jobs.cohorts import splitting, withdrawing
    from dicomlake.lake import Store

    store = Store(lake)
    cohorts.freeze(store, "split", WHERE)
    spec = splitting.Spec(fractions={"training": 0.67, "test": 0.33}, seed=1)
    splitting.split(store, "split", spec)
    wanted = Wanted(str(tmp_path / "out"), cohort="split", profile="basic", pseudonyms="study",
                    formats=("nifti",), layout="nnunet")  # fmt: skip
    make(lake, wanted, name="split")
    (folder,) = (tmp_path / "out").glob("Dataset501_*")
    said = json.loads((folder / "dataset.json").read_text())
    assert said["numTraining"] == len(list((folder / "imagesTr").iterdir())) == 2
    assert len(list((folder / "imagesTs").iterdir())) == 1
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["splits"] == {"test": 2, "training": 4}
    assert about["provenance"]["cohort"] == "split"
    withdrawing.withdraw(store, ["HOSP-771"], reason="asked", by="steward")
    make(lake, Wanted(**{**wanted.plain(), "formats": ("nifti",), "layout": "monai",
                         "out": str(tmp_path / "less")}), name="less")  # fmt: skip
    assert json.loads((tmp_path / "less" / "dataset.json").read_text())["counts"]["patients"] == 2
    assert len([f for f in (tmp_path / "less").rglob("*.nii.gz")]) == 4


def test_a_question_that_names_somebody_is_withheld(lake: Path, tmp_path: Path) -> None:
    wanted = Wanted(str(tmp_path / "out"), where="PatientID = 'HOSP-770'", profile="basic",
                    pseudonyms="study")  # fmt: skip
    make(lake, wanted, name="asked")
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["provenance"]["query"].startswith("withheld")
    assert check(tmp_path / "out", lake) == []


def test_a_title_that_names_somebody_stops_it(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="'known word'"):
        made(lake, tmp_path / "out", "dicom", name="titled", title="The scans of Quendolin1")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_full_disk_stops_it_and_room_lets_it_go_on(lake: Path, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: it needs root")
    try:
        with pytest.raises(ServiceError, match="disk is full"):
            made(lake, disk / "out", "dicom", name="full")
        assert Ledger(lake, "full").job["state"] == "stopped"
        assert not list(disk.rglob(".*.part"))
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert run(lake, "full").state == "finished"
        made(lake, tmp_path / "whole", "dicom", name="whole")
        theirs = (tmp_path / "whole" / "CHECKSUMS.sha256").read_text().splitlines()
        ours = (disk / "out" / "CHECKSUMS.sha256").read_text().splitlines()
        objects = [[line for line in lines if "dicom/" in line] for lines in (ours, theirs)]
        assert objects[0] == objects[1]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_waveforms_are_tables_with_units(tmp_path: Path) -> None:
    from tests.readers.test_waveforms import ecg

    lake = tmp_path / "lake"
    channel = {
        "ChannelLabel": "I",
        "ChannelSensitivity": 5,
        "ChannelSensitivityUnitsSequence": [Code("uV", "UCUM", "microvolt")],
    }
    samples = np.arange(4, dtype="<i2").tobytes()
    told = ecg(channel, WaveformData=samples)
    whose = {"StudyInstanceUID": "2.25.7", "SeriesInstanceUID": "2.25.8", "PatientID": "P"}
    put(tmp_path / "archive", "ecg.dcm", encode({**told, **whose}))
    index(tmp_path / "archive", lake)
    for form in ("parquet", "npz"):
        wanted = Wanted(str(tmp_path / form), where="Modality = 'ECG'", profile="identified",
                        formats=("waveforms",), waves=form)  # fmt: skip
        make(lake, wanted, name=form)
    (table,) = (tmp_path / "parquet" / "waveforms").rglob("*.parquet")
    (arrays,) = (tmp_path / "npz" / "waveforms").rglob("*.npz")
    rows = pq.read_table(table)
    with np.load(arrays) as found:
        assert list(found["leads"]) == rows.column_names
        assert found["samples"][:, 0].tolist() == rows.column(0).to_pylist() == [0, 5, 10, 15]
        assert list(found["units"]) == ["uV"] == [rows.schema.field(0).metadata[b"unit"].decode()]
    assert zipfile.ZipFile(arrays).infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
