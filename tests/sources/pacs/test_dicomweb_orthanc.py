"""DICOMweb against a real Orthanc: everything is found, and read as from the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from dicomlake.contracts.archives import KEYS
from dicomlake.dicom.walk import walk
from dicomlake.errors import DataError, Incomplete, UsageError
from dicomlake.readers.header import Header, HeaderReader
from dicomlake.settings import Source
from dicomlake.sources.dicomweb import DicomwebArchive
from dicomlake.testing.archives import Orthanc
from dicomlake.testing.dicom import encode, image, uid

pytestmark = pytest.mark.service
STUDY, SERIES, INSTANCE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"


def archive_of(orthanc: Orthanc, **more: Any) -> DicomwebArchive:
    return DicomwebArchive("orthanc", Source(kind="dicomweb", url=orthanc.dicomweb, **more))


def read(data: bytes) -> Header:
    return HeaderReader().read_bytes(data)


@pytest.fixture(scope="module")
def orthanc(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def held(orthanc: Orthanc, small_hospital: Path, pydicom_files: list[Path]) -> dict[str, bytes]:
    """What the archive took, by SOPInstanceUID."""
    files = [p for p in small_hospital.rglob("*.dcm") if p.is_file()]
    files += [p for p in pydicom_files if p.suffix == ".dcm" and p.stat().st_size < 400_000][:60]
    found: dict[str, bytes] = {}
    for file in files:
        data = file.read_bytes()
        try:
            first = read(data).first
        except DataError:
            continue
        if first.keys() >= {STUDY, SERIES, INSTANCE, "PatientID"} and not orthanc.seed([file]):
            found[first[INSTANCE]] = data
    assert len(found) > 80
    return found


@pytest.fixture
def archive(orthanc: Orthanc, held: dict[str, bytes]) -> Iterator[DicomwebArchive]:
    with archive_of(orthanc) as archive:
        yield archive


def places(held: dict[str, bytes]) -> dict[str, tuple[str, str]]:
    firsts = {instance: read(data).first for instance, data in held.items()}
    return {instance: (first[STUDY], first[SERIES]) for instance, first in firsts.items()}


class TestFinding:
    def test_everything_at_every_level(
        self, archive: DicomwebArchive, held: dict[str, bytes]
    ) -> None:
        there = places(held)
        studies = archive.find("STUDY", {})
        assert not studies.cut
        assert {row[STUDY] for row in studies.rows} == {study for study, _ in there.values()}
        everything = {row[INSTANCE] for row in archive.find("IMAGE", {}).rows}
        assert everything == set(held)
        for row in studies.rows[:10]:
            series = archive.find("SERIES", {STUDY: row[STUDY]})
            assert not series.cut
            assert all(found[STUDY] == row[STUDY] for found in series.rows)
            assert len(series.rows) == int(row["NumberOfStudyRelatedSeries"])
            for found in series.rows:
                match = archive.find("IMAGE", {STUDY: row[STUDY], SERIES: found[SERIES]})
                assert not match.cut
                assert {(r[STUDY], r[SERIES]) for r in match.rows} == {(row[STUDY], found[SERIES])}
                assert {r[INSTANCE] for r in match.rows} == {
                    i for i, place in there.items() if place[1] == found[SERIES]
                }

    def test_what_is_returned_is_text(self, archive: DicomwebArchive) -> None:
        rows = archive.find("STUDY", {"ModalitiesInStudy": "CT"}).rows
        assert rows
        for row in rows:
            assert "CT" in row["ModalitiesInStudy"].split("\\")
            assert row["NumberOfStudyRelatedInstances"].isdecimal()
            assert set(row) >= set(KEYS["STUDY"]) - {
                "IssuerOfPatientID",
                "StudyID",
                "StudyDescription",
            }
        row = archive.find("STUDY", {}, ["PatientName"], limit=1).rows[0]
        assert "^" in row["PatientName"]

    def test_keys(self, archive: DicomwebArchive) -> None:
        rows = archive.find("STUDY", {}).rows
        dates = sorted(row["StudyDate"] for row in rows if row.get("StudyDate"))
        low, high = dates[3], dates[-3]
        found = archive.find("STUDY", {"StudyDate": f"{low}-{high}"}).rows
        expected = [r for r in rows if low <= r.get("StudyDate", "") <= high]
        assert {r[STUDY] for r in found} == {r[STUDY] for r in expected}
        two = "\\".join(row[STUDY] for row in rows[:2])
        assert {r[STUDY] for r in archive.find("STUDY", {STUDY: two}).rows} == set(two.split("\\"))
        assert {r[STUDY] for r in archive.find("SERIES", {STUDY: two}).rows} == set(two.split("\\"))
        patient = rows[0]["PatientID"]
        some = archive.find("STUDY", {"PatientID": patient[:-1] + "*", "AccessionNumber": ""})
        assert patient in {r["PatientID"] for r in some.rows}
        some = archive.find("STUDY", {"PatientID": "?" + patient[1:]})
        assert patient in {r["PatientID"] for r in some.rows}
        assert archive.find("STUDY", {"PatientID": "nobody at all"}).rows == []

    def test_limit(self, archive: DicomwebArchive) -> None:
        match = archive.find("STUDY", {}, limit=2)
        assert len(match.rows) == 2

    def test_mistakes(self, archive: DicomwebArchive) -> None:
        with pytest.raises(UsageError, match="no level"):
            archive.find("PATIENT", {})
        with pytest.raises(UsageError, match="PatientNam"):
            archive.find("STUDY", {"PatientNam": "x"})


class TestRetrieving:
    def test_objects_are_the_bytes_that_were_stored(
        self, archive: DicomwebArchive, held: dict[str, bytes]
    ) -> None:
        for study, series in sorted(set(places(held).values())):
            for thing in archive.objects(study, series):
                data = thing.fetch(0, thing.size)
                assert len(data) == thing.size
                first = read(data).first
                assert thing.uri == f"pacs://orthanc/{first[INSTANCE]}"
                assert data == held[first[INSTANCE]]

    def test_some_instances(self, archive: DicomwebArchive, held: dict[str, bytes]) -> None:
        instance, (study, series) = next(iter(places(held).items()))
        (thing,) = archive.objects(study, series, [instance])
        assert thing.fetch(0, thing.size) == held[instance]
        things = archive.objects(study, series, ["1.2.3", instance, "1.2.4"])
        assert next(things).uri.endswith(instance)
        with pytest.raises(Incomplete) as raised:
            list(things)
        assert raised.value.failed == ("1.2.3", "1.2.4")

    def test_what_is_not_there(self, archive: DicomwebArchive) -> None:
        assert archive.whole_headers
        for gone in (archive.objects("1.2", "1.3"), archive.headers("1.2", "1.3")):
            with pytest.raises(Incomplete, match=r"1\.3"):
                list(gone)
        with pytest.raises(Incomplete):
            list(archive.headers("1.2", "1.3", first=True))

    def test_frames(self, archive: DicomwebArchive, orthanc: Orthanc) -> None:
        dataset = image(
            StudyInstanceUID=uid("frames"),
            SeriesInstanceUID=uid("frames", 1),
            SOPInstanceUID=uid("frames", 2),
            Rows=4,
            Columns=4,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            NumberOfFrames=3,
            PixelData=bytes(range(48)),
        )
        orthanc.post("/instances", encode(dataset))
        where = uid("frames"), uid("frames", 1), uid("frames", 2)
        got = archive.frames(*where, [1, 3])
        assert [data for _, data in got] == [bytes(range(16)), bytes(range(32, 48))]
        assert all("octet-stream" in kind for kind, _ in got)
        with pytest.raises(UsageError):
            archive.frames(*where, [9])
        with pytest.raises(UsageError):
            archive.frames("1.2", "1.3", "1.4", [1])


def values(header: Header) -> dict[str, Any]:
    """Elements but the file meta, group lengths and pixel data, which services leave out."""
    return {
        tag: element
        for tag, element in orjson.loads(header.json).items()
        if tag > "0003" and tag[4:] != "0000" and tag != "7FE00010"
    }


class TestHeaders:
    def test_they_say_what_files_say(
        self, archive: DicomwebArchive, held: dict[str, bytes]
    ) -> None:
        """Apart from what Orthanc's JSON cannot say: see the exceptions below."""
        reader, met, exact = HeaderReader(), set(), 0
        for study, series in sorted(set(places(held).values())):
            for thing in archive.headers(study, series):
                assert thing.header is not None
                assert thing.size == 0
                assert "00081190" not in thing.header
                header = reader.read_json(thing.header)
                instance = header.first[INSTANCE]
                met.add(instance)
                original = read(held[instance])
                assert thing.uri == f"pacs://orthanc/{instance}"
                assert header.first.keys() - {"MediaStorageSOPClassUID"} <= original.first.keys()
                for name in (STUDY, SERIES, "SOPClassUID", "Modality", "Rows", "InstanceNumber"):
                    assert header.first.get(name) == original.first.get(name)
                exact += values(header).keys() == values(original).keys()
        assert met == set(held)
        assert exact > 0.95 * len(held)

    def test_one_series_value_by_value(
        self, archive: DicomwebArchive, held: dict[str, bytes], small_hospital: Path
    ) -> None:
        reader = HeaderReader()
        same = different = 0
        for study, series in sorted(set(places(held).values())):
            for thing in archive.headers(study, series):
                assert thing.header is not None
                header = reader.read_json(thing.header)
                original = values(read(held[header.first[INSTANCE]]))
                for tag, element in values(header).items():
                    mine = original.get(tag, {})
                    if "Value" in element and "Value" in mine:
                        equal = element["Value"] == mine["Value"] or tag == "00080005"
                        same, different = same + equal, different + (not equal)
        assert different < 0.02 * same

    def test_first(self, archive: DicomwebArchive, held: dict[str, bytes]) -> None:
        _, (study, series) = next(iter(places(held).items()))
        (thing,) = archive.headers(study, series, first=True)
        assert thing.header is not None
        there = {i for i, place in places(held).items() if place[1] == series}
        assert thing.uri.rpartition("/")[2] in there

    def test_without_metadata_one_object_comes(
        self, orthanc: Orthanc, held: dict[str, bytes]
    ) -> None:
        _, (study, series) = next(iter(places(held).items()))
        with archive_of(orthanc, metadata=False) as archive:
            assert not archive.whole_headers
            (thing,) = archive.headers(study, series)
            assert thing.header is None
            found = walk(thing.fetch, thing.size)
            assert found.syntax


class TestConnecting:
    def test_check(self, archive: DicomwebArchive) -> None:
        checks = list(archive.check())
        assert [check.works for check in checks] == [True, True, True]
        assert all(0 < check.seconds < 30 for check in checks)
        assert archive.way == "wado"

    def test_an_empty_archive(self, orthanc_installed: None, tmp_path: Path) -> None:
        with Orthanc(tmp_path) as orthanc, archive_of(orthanc) as archive:
            assert [check.works for check in archive.check()] == [True, False]
            assert archive.whole_headers
            orthanc.post("/instances", encode(image()))
            assert [check.works for check in archive.check()] == [True, True, True]

    def test_credentials_and_a_hidden_cap(
        self, orthanc_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PASSWORD", "pässword")
        monkeypatch.setenv("WRONG", "other")
        options = {
            "AuthenticationEnabled": True,
            "RegisteredUsers": {"somebody": "pässword"},
            "LimitFindResults": 3,
            "LimitFindInstances": 3,
        }
        orthanc = Orthanc(tmp_path / "orthanc", options=options)
        _patiently(orthanc)
        try:
            with pytest.raises(UsageError, match="it wants credentials"):
                archive_of(orthanc).find("STUDY", {})
            wrong = archive_of(orthanc, user="somebody", password_env="WRONG")
            with pytest.raises(UsageError, match="user or password is wrong") as raised:
                wrong.find("STUDY", {})
            assert "other" not in str(raised.value)
            (check,) = wrong.check()
            assert not check.works
            assert "password" in check.says
            with archive_of(orthanc, user="somebody", password_env="PASSWORD") as archive:
                assert archive.find("STUDY", {}).rows == []
                for number in range(8):
                    _stored(archive, orthanc, number)
                # It shows 4 of 8 and says nothing: the number that it counts itself tells.
                keys = {STUDY: uid("study", "cap")}
                assert archive.find("SERIES", keys).cut
                assert archive.find("IMAGE", {**keys, SERIES: uid("series", 0)}).cut is False
        finally:
            orthanc.stop()


def _patiently(orthanc: Orthanc) -> None:
    """Start an Orthanc that wants credentials even of those who only look whether it is up."""
    orthanc.get = lambda path: None  # type: ignore[method-assign]
    orthanc.start()


def _stored(archive: DicomwebArchive, orthanc: Orthanc, number: int) -> None:
    import base64
    import urllib.request

    data = encode(
        image(
            StudyInstanceUID=uid("study", "cap"),
            SeriesInstanceUID=uid("series", number),
            SOPInstanceUID=uid("instance", number),
        )
    )
    both = base64.b64encode("somebody:pässword".encode()).decode()
    asked = urllib.request.Request(
        f"{orthanc.url}/instances", data, {"Authorization": f"Basic {both}"}, method="POST"
    )
    with urllib.request.urlopen(asked):
        pass
