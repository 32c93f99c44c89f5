"""Orthanc and dcmqrscp asked by our own DIMSE."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Sender
from dicomlake.errors import Refused, UsageError
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import ListenerSettings
from dicomlake.sources.dimse.archive import DimseArchive
from dicomlake.sources.dimse.listener import StoreListener
from dicomlake.testing.archives import Dcmqrscp, Orthanc, free_port
from tests.sources.pacs.dimse_made import COMPRESSED, sample, series_of, source, uids, written

pytestmark = pytest.mark.service

STUDY, SERIES = "1.2.3", "1.2.3.1"
COUNT = 25


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    series_of(folder / "ct", COUNT)
    for number, name in enumerate(COMPRESSED.values(), 1):
        values = {"StudyInstanceUID": "1.2.4", "SeriesInstanceUID": "1.2.4.1"}
        ds = sample(name, **values, SOPInstanceUID=f"1.2.4.1.{number}", PatientID="C")
        written(ds, folder / "compressed")
    for number, text in enumerate(("ISO_IR 192", "ISO 2022 IR 87"), 1):
        values = {"StudyInstanceUID": f"1.2.5.{number}", "SeriesInstanceUID": f"1.2.5.{number}.1"}
        ds = sample("CT_small.dcm", **values, SOPInstanceUID=f"1.2.5.{number}.1.1")
        ds.SpecificCharacterSet = text if "2022" not in text else ["", text]
        ds.PatientName, ds.PatientID = "Yamada^Tarou=山田^太郎", f"P{number}"
        ds.StudyDescription = "頭部"
        written(ds, folder / "text")
    return folder


@pytest.fixture(scope="module")
def strays() -> list[Object]:
    return []


@pytest.fixture(scope="module")
def listener(network: None, strays: list[Object]) -> Iterator[StoreListener]:
    def arrived(sender: Sender, found: Object) -> None:
        strays.append(found)

    settings = ListenerSettings(port=free_port())
    with StoreListener(settings, callers=["ORTHANC", "QRSCP"], arrived=arrived) as listener:
        yield listener


@pytest.fixture(scope="module")
def orthanc(
    orthanc_installed: None,
    files: Path,
    listener: StoreListener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Orthanc]:
    where = tmp_path_factory.mktemp("orthanc")
    with Orthanc(where, {"DICOMLAKE": listener.port}, {"DefaultEncoding": "Utf8"}) as archive:
        refused = archive.seed(sorted(files.rglob("*.dcm")))
        assert not refused
        yield archive


@pytest.fixture(scope="module")
def dcmqrscp(
    dcmqrscp_installed: None,
    files: Path,
    listener: StoreListener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Dcmqrscp]:
    archive = Dcmqrscp(tmp_path_factory.mktemp("dcmqrscp"), {"DICOMLAKE": listener.port})
    archive.seed(files)
    with archive:
        yield archive


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def port_and_title(request: pytest.FixtureRequest) -> tuple[int, str]:
    archive = request.getfixturevalue(request.param)
    return archive.dicom, archive.ae_title


@pytest.fixture(params=["get", "move"])
def archive(
    request: pytest.FixtureRequest, port_and_title: tuple[int, str], listener: StoreListener
) -> Iterator[DimseArchive]:
    found = DimseArchive("here", source(*port_and_title, retrieve=request.param), listener)
    yield found
    found.close()


@pytest.fixture
def asked(port_and_title: tuple[int, str]) -> Iterator[DimseArchive]:
    found = DimseArchive("here", source(*port_and_title))
    yield found
    found.close()


def dataset(found: Object) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(found.fetch(0, found.size)))


def test_find_at_all_levels(asked: DimseArchive) -> None:
    studies = asked.find("STUDY", {})
    assert {row["StudyInstanceUID"] for row in studies.rows} == {
        STUDY,
        "1.2.4",
        "1.2.5.1",
        "1.2.5.2",
    }
    assert (studies.cut, studies.status) == (False, "success")
    series = asked.find("SERIES", {"StudyInstanceUID": STUDY})
    assert [(row["SeriesInstanceUID"], row["Modality"]) for row in series.rows] == [(SERIES, "CT")]
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    images = asked.find("IMAGE", keys)
    assert {row["SOPInstanceUID"] for row in images.rows} == {
        f"{SERIES}.{number}" for number in range(1, COUNT + 1)
    }
    both = asked.find("STUDY", {"StudyInstanceUID": "1.2.3\\1.2.4"}, ["StudyDate"])
    assert {row["StudyInstanceUID"] for row in both.rows} == {"1.2.3", "1.2.4"}
    assert all(len(row["StudyDate"]) == 8 for row in both.rows)
    assert asked.find("STUDY", {"PatientID": "nobody"}).rows == []


def test_a_limit_cancels_and_the_association_goes_on(asked: DimseArchive) -> None:
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    few = asked.find("IMAGE", keys, limit=3)
    assert (len(few.rows), few.cut) == (3, True)
    kept = asked._query
    assert len(asked.find("IMAGE", keys).rows) == COUNT
    assert asked._query is kept is not None


def test_texts_are_decoded_and_asked_for(asked: DimseArchive) -> None:
    wanted = ("PatientName", "StudyDescription", "PatientID")
    rows = asked.find("STUDY", {"PatientID": "P?"}, wanted).rows
    assert sorted(
        (row["PatientID"], row["PatientName"], row["StudyDescription"]) for row in rows
    ) == [
        ("P1", "Yamada^Tarou=山田^太郎", "頭部"),
        ("P2", "Yamada^Tarou=山田^太郎", "頭部"),
    ]
    found = asked.find("STUDY", {"PatientName": "*山田*"}, ("PatientID",)).rows
    assert "P1" in {row["PatientID"] for row in found}


def test_a_series_comes_whole_and_as_it_is(archive: DimseArchive, files: Path) -> None:
    seen = {}
    for found in archive.objects(STUDY, SERIES):
        seen[found.uri.removeprefix("pacs://here/")] = dataset(found)
        assert HeaderReader().read(found.fetch, found.size) is not None
    assert len(seen) == COUNT
    for uid, ds in seen.items():
        stored = pydicom.dcmread(files / "ct" / f"{uid}.dcm")
        assert ds.PixelData == stored.PixelData
        assert ds.file_meta.MediaStorageSOPInstanceUID == uid
        assert ds.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID


def test_some_objects_of_a_series(archive: DimseArchive, strays: list[Object]) -> None:
    wanted = [f"{SERIES}.{number}" for number in (2, 5, 7)]
    assert uids(list(archive.objects(STUDY, SERIES, wanted))) == wanted
    assert strays == []


def test_the_header_of_a_series_is_one_object(archive: DimseArchive) -> None:
    for first in (True, False):
        found = list(archive.headers(STUDY, SERIES, first=first))
        assert len(found) == 1
        assert found[0].header is None
        assert dataset(found[0]).SeriesInstanceUID == SERIES
    assert not archive.whole_headers
    assert list(archive.headers(STUDY, "1.9.9.9")) == []


def test_associations_are_kept_between_calls(archive: DimseArchive) -> None:
    assert len(list(archive.objects(STUDY, SERIES))) == COUNT
    kept = archive._retrieval
    assert len(list(archive.objects(STUDY, SERIES))) == COUNT
    assert archive._retrieval is not None
    assert kept is not None
    assert archive._retrieval.association is kept.association


def test_a_dead_association_is_opened_again(archive: DimseArchive) -> None:
    assert len(list(archive.objects(STUDY, SERIES))) == COUNT
    assert archive.find("STUDY", {}).rows
    assert archive._retrieval is not None
    assert archive._query is not None
    archive._retrieval.association.abort()
    archive._query.abort()
    assert archive.find("STUDY", {}).rows
    assert len(list(archive.objects(STUDY, SERIES))) == COUNT


def test_stopping_early_leaves_nothing_behind(archive: DimseArchive) -> None:
    some = archive.objects(STUDY, SERIES)
    assert next(some).size > 1000
    some.close()  # type: ignore[attr-defined]
    assert archive._retrieval is None
    assert len(list(archive.objects(STUDY, SERIES))) == COUNT


@pytest.mark.parametrize("port_and_title", ["orthanc"], indirect=True)
def test_a_query_may_be_asked_between_objects(archive: DimseArchive) -> None:
    for found in archive.objects(STUDY, SERIES):
        uid = found.uri.rpartition("/")[2]
        keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": uid}
        assert len(archive.find("IMAGE", keys).rows) == 1


def test_orthanc_sends_pixels_as_they_are_stored(
    orthanc: Orthanc, listener: StoreListener, files: Path
) -> None:
    for way in ("get", "move"):
        archive = DimseArchive("here", source(orthanc.dicom, retrieve=way), listener)
        seen = {}
        for found in archive.objects("1.2.4", "1.2.4.1"):
            seen[found.uri.rpartition("/")[2]] = dataset(found)
        archive.close()
        assert len(seen) == len(COMPRESSED)
        for uid, ds in seen.items():
            stored = pydicom.dcmread(files / "compressed" / f"{uid}.dcm")
            assert ds.PixelData == stored.PixelData, uid
            if way == "get":
                assert ds.file_meta.TransferSyntaxUID == stored.file_meta.TransferSyntaxUID, uid


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("+xr", "RLE"),
        ("+xt", "JPEG-LS"),
        ("+xv", "JPEG 2000 lossless"),
        ("+xw", "JPEG 2000"),
        ("+xs", "JPEG lossless"),
        ("+xy", "JPEG baseline"),
    ],
)
@pytest.mark.usefixtures("dcmqrscp_installed")
def test_dcmqrscp_sends_pixels_as_they_are_stored(option: str, kind: str, tmp_path: Path) -> None:
    values = {"StudyInstanceUID": "1.6", "SeriesInstanceUID": "1.6.1"}
    compressed = sample(COMPRESSED[kind], **values, SOPInstanceUID="1.6.1.1", PatientID="C")
    plain = sample("MR_small.dcm", **values, SOPInstanceUID="1.6.1.2", PatientID="C")
    for one in (compressed, plain):
        written(one, tmp_path / "files")
    server = Dcmqrscp(tmp_path, arguments=[option])
    server.seed(tmp_path / "files")
    with server:
        archive = DimseArchive("here", source(server.dicom, "QRSCP"))
        seen = {found.uri[-1]: dataset(found) for found in archive.objects("1.6", "1.6.1")}
        archive.close()
    assert seen["1"].PixelData == compressed.PixelData
    assert seen["1"].file_meta.TransferSyntaxUID == compressed.file_meta.TransferSyntaxUID
    assert seen["2"].PixelData == plain.PixelData


def test_a_class_that_was_not_proposed_is_asked_for_again(orthanc: Orthanc, tmp_path: Path) -> None:
    values = {"StudyInstanceUID": "1.8", "SeriesInstanceUID": "1.8.1"}
    usual = sample("MR_small.dcm", **values, SOPInstanceUID="1.8.1.1", PatientID="D")
    wave = sample("MR_small.dcm", **values, SOPInstanceUID="1.8.1.3", PatientID="D")
    wave.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    wave.file_meta.MediaStorageSOPClassUID = wave.SOPClassUID
    refused = orthanc.seed([written(one, tmp_path) for one in (usual, wave)])
    assert not refused
    archive = DimseArchive("here", source(orthanc.dicom))
    assert uids(list(archive.objects("1.8", "1.8.1"))) == ["1.8.1.1", "1.8.1.3"]
    assert wave.SOPClassUID in dict(archive._offer)
    assert uids(list(archive.objects("1.8", "1.8.1"))) == ["1.8.1.1", "1.8.1.3"]
    kept = archive._retrieval
    assert len(list(archive.objects("1.8", "1.8.1"))) == 2
    assert kept is not None
    assert archive._retrieval is not None
    assert archive._retrieval.association is kept.association
    archive.close()
    assert archive.find("STUDY", {"StudyInstanceUID": "1.8"}).rows
    for uid in ("1.8.1.1", "1.8.1.3"):
        assert dataset(next(iter(archive.objects("1.8", "1.8.1", [uid])))).SOPInstanceUID == uid
    archive.close()


@pytest.mark.parametrize("port_and_title", ["orthanc"], indirect=True)
def test_checks_say_that_all_works(archive: DimseArchive) -> None:
    checks = list(archive.check())
    if archive.settings.retrieve == "get":
        assert all(check.works for check in checks), checks
        assert [check.what for check in checks] == [
            "connect (C-ECHO)",
            "query (C-FIND)",
            "retrieve (C-GET)",
        ]
    else:
        assert all(check.works for check in checks), checks
        assert [check.what for check in checks][2:] == ["retrieve (C-MOVE)"]
    assert archive.way == archive.settings.retrieve


def test_an_archive_without_get_is_asked_to_move(
    dcmqrscp_installed: None, files: Path, listener: StoreListener, tmp_path: Path
) -> None:
    server = Dcmqrscp(tmp_path, {"DICOMLAKE": listener.port}, arguments=["--disable-get"])
    server.seed(files / "ct")
    with server:
        archive = DimseArchive("here", source(server.dicom, "QRSCP"), listener)
        assert archive.way == "move"
        assert len(list(archive.objects(STUDY, SERIES))) == COUNT
        archive.close()
        alone = DimseArchive("here", source(server.dicom, "QRSCP"))
        with pytest.raises(UsageError, match="set \\[listener\\]"):
            list(alone.objects(STUDY, SERIES))
        last = list(alone.check())[-1]
        assert not last.works
        assert "listener" in last.says
        alone.close()


def test_an_unknown_destination_says_what_to_do(orthanc: Orthanc, network: None) -> None:
    def ignored(sender: Sender, found: Object) -> None:
        raise Refused("not here")

    settings = ListenerSettings(port=free_port(), ae_title="NOBODY")
    with StoreListener(settings, arrived=ignored) as listener:
        archive = DimseArchive("here", source(orthanc.dicom, retrieve="move"), listener)
        with pytest.raises((UsageError, Refused)) as error:
            list(archive.objects(STUDY, SERIES))
        archive.close()
    assert "C-MOVE" in str(error.value)


def test_a_wrong_called_title_says_what_to_do(orthanc: Orthanc) -> None:
    archive = DimseArchive("here", source(orthanc.dicom, "WRONG"))
    with pytest.raises(UsageError, match="does not know the AE title WRONG as called"):
        archive.find("STUDY", {})
    checks = list(archive.check())
    assert [check.works for check in checks] == [False]
    assert "set called" in checks[0].says


def test_nobody_there_is_refused(network: None) -> None:
    archive = DimseArchive("here", source(free_port()))
    with pytest.raises(Refused, match="cannot be reached"):
        archive.find("STUDY", {})
    assert not next(archive.check()).works
    with pytest.raises(UsageError, match="no level"):
        archive.find("PATIENT", {})
