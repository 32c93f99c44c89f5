"""Other clients, and our own, against a real server on loopback."""

from __future__ import annotations

import io
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from fastapi.testclient import TestClient
from PIL import Image

import dicomlake
from dicomlake import settings
from dicomlake.jobs.requests import Request, Requests
from dicomlake.jobs.working import Crew, care_of, idle
from dicomlake.settings import Source
from dicomlake.sources.dicomweb import DicomwebArchive
from dicomlake.sources.dicomweb.multipart import parameters, parts
from dicomlake.web import app

from .serving import served

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what pydicom says of old files


@pytest.fixture(scope="module")
def address(pictures_lake: Path) -> Iterator[str]:
    with served(pictures_lake) as found:
        yield f"{found}/dicom-web"


@pytest.fixture
def client(address: str) -> DICOMwebClient:
    return DICOMwebClient(address)


def value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]


class TestDicomwebClient:
    def test_a_loop_over_pages_ends(self, client: DICOMwebClient) -> None:
        whole = client.search_for_studies()
        paged = client.search_for_studies(limit=4, get_remaining=True)
        assert paged == whole
        assert len(whole) > 10

    def test_search_and_metadata(self, client: DICOMwebClient) -> None:
        (study, *_) = client.search_for_studies(
            search_filters={"ModalitiesInStudy": "CT"}, fields=["StudyDescription"], limit=1
        )
        uid = value(study, "0020000D")
        series = client.search_for_series(uid, search_filters={"Modality": "CT"})
        instances = client.search_for_instances(uid, value(series[0], "0020000E"))
        headers = client.retrieve_series_metadata(uid, value(series[0], "0020000E"))
        assert [value(h, "00080018") for h in headers] == [value(i, "00080018") for i in instances]
        read = [pydicom.Dataset.from_json(header) for header in headers]
        assert {each.Modality for each in read} == {"CT"}

    def test_objects_frames_pictures_and_bulk_data(self, client: DICOMwebClient) -> None:
        (row,) = client.search_for_instances(search_filters={"Modality": "CT"}, limit=1)
        place = [value(row, tag) for tag in ("0020000D", "0020000E", "00080018")]
        media = (("application/dicom", "*"),)
        whole = client.retrieve_instance(*place, media_types=media)
        assert place[2] == whole.SOPInstanceUID
        assert len(client.retrieve_series(*place[:2], media_types=media)) > 1
        (frame,) = client.retrieve_instance_frames(*place, [1])
        assert frame == whole.PixelData[: len(frame)]
        png = client.retrieve_instance_rendered(*place, media_types=("image/png",))
        assert Image.open(io.BytesIO(png)).size == (whole.Columns, whole.Rows)
        header = client.retrieve_instance_metadata(*place)
        (bulk,) = client.retrieve_bulkdata(header["7FE00010"]["BulkDataURI"])
        assert bulk == whole.PixelData

    def test_store_and_retrieve(self, tmp_path: Path, pictures_files: Path) -> None:
        files = [f for f in sorted(pictures_files.rglob("*.dcm")) if f.stat().st_size > 3000][:3]
        objects = [pydicom.dcmread(file, force=True) for file in files]
        with served(tmp_path / "lake") as found:
            client = DICOMwebClient(f"{found}/dicom-web")
            report = client.store_instances(objects)
            stored = {item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence}
            assert stored == {each.SOPInstanceUID for each in objects}
            until = time.monotonic() + 20
            while len(client.search_for_instances()) < 3 and time.monotonic() < until:
                time.sleep(0.1)
            media = (("application/dicom", "*"),)
            for each in objects:
                uids = (each.StudyInstanceUID, each.SeriesInstanceUID, each.SOPInstanceUID)
                got = client.retrieve_instance(*uids, media_types=media)
                assert got.SOPInstanceUID == each.SOPInstanceUID
                assert got.get("PixelData") == each.get("PixelData")


class TestOurArchive:
    @pytest.fixture
    def archive(self, address: str) -> Iterator[DicomwebArchive]:
        with DicomwebArchive("lake", Source(kind="dicomweb", url=address)) as found:
            yield found

    def test_everything_works(self, archive: DicomwebArchive) -> None:
        checks = list(archive.check())
        assert [check.works for check in checks] == [True] * 3, checks
        assert archive.whole_headers

    def test_it_finds_everything_and_nothing_is_cut(
        self, archive: DicomwebArchive, pictures_lake: Path
    ) -> None:
        totals = dicomlake.open(pictures_lake).totals
        for level, name in (("STUDY", "studies"), ("SERIES", "series"), ("IMAGE", "instances")):
            match = archive.find(level, {})
            assert (len(match.rows), match.cut) == (totals[name], False)


def of(studies: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{uid}'" for uid in studies)
    return f'(select series_id from series where "StudyInstanceUID" in ({listed}))'


def plain(header: dict[str, Any]) -> dict[str, Any]:
    """A header without file meta information and the places of bulk data."""
    return {tag: bare(e) for tag, e in header.items() if not tag.startswith("0002")}


def bare(element: dict[str, Any]) -> dict[str, Any]:
    if "BulkDataURI" in element:
        return {"vr": element["vr"], "BulkDataURI": ""}
    if element["vr"] == "SQ" and "Value" in element:
        return {"vr": "SQ", "Value": [plain(item) for item in element["Value"]]}
    if "Value" in element:  # raw bytes of damaged texts are not given out beside the texts
        return {"vr": element["vr"], "Value": element["Value"]}
    return element


def headers(lake: Path, studies: tuple[str, ...]) -> dict[str, Any]:
    rows = (
        dicomlake.open(lake)
        .sql(f'select "SOPInstanceUID", header from instances where series_id in {of(studies)}')
        .to_pylist()
    )
    return {row["SOPInstanceUID"]: plain(orjson.loads(row["header"])) for row in rows}


def pulled(place: Path, uids: tuple[str, ...], depth: str) -> None:
    """Pull studies of the source `first` into a lake."""
    found = settings.read(place)
    with Requests(place, found) as requests:
        requests.submit(Request("first", {"StudyInstanceUID": uids}, depth=depth))
        crew = Crew(place, found, 1, schedule=False)
        done = idle(requests.queue)
        until = time.monotonic() + 60
        work = threading.Thread(target=crew.run, args=(lambda: done() or time.monotonic() > until,))
        work.start()
        work.join(90)


@pytest.mark.parametrize("depth", ["headers", "complete"])
def test_a_lake_pulled_from_a_lake_is_equal_to_it(
    address: str, pictures_lake: Path, tmp_path: Path, depth: str
) -> None:
    place = tmp_path / "lake"
    place.mkdir()
    settings.add_source(place, "first", {"kind": "dicomweb", "url": address})
    shown, limit = ["StudyInstanceUID"], 5 if depth == "headers" else 3
    studies = dicomlake.open(pictures_lake).query(level="study", show=shown, limit=limit).rows
    uids = tuple(studies.column("StudyInstanceUID").to_pylist())
    pulled(place, uids, depth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = headers(pictures_lake, uids), headers(place, uids)
    assert second.keys() == first.keys()
    assert second == first
    one, other = dicomlake.open(pictures_lake), dicomlake.open(place)
    picked = "select path, vr, position, text, number, moment, code_value, instances from elements"
    rest = f"where series_id in {of(uids)} and vr not in ('OB', 'OW')"
    rest += " and path not like '(0002%' and path not like 'FileMeta%'"
    rest += " and path not like '%ImplementationVersion%' and path not like '%ImplementationClass%'"
    rest += " and path not like 'MediaStorage%' and path <> 'TransferSyntaxUID' order by all"
    assert one.sql(f"{picked} {rest}").equals(other.sql(f"{picked} {rest}"))


def test_objects_are_pulled_through_from_another_service(
    pictures_lake: Path, tmp_path: Path
) -> None:
    place = tmp_path / "lake"
    place.mkdir()
    series = dicomlake.open(pictures_lake).sql(
        'select "StudyInstanceUID" as study, "SeriesInstanceUID" as series, instances '
        "from series where \"Modality\" = 'CT' and instances > 2 limit 1"
    ).to_pylist()[0]  # fmt: skip
    path = f"/dicom-web/studies/{series['study']}/series/{series['series']}"
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with served(pictures_lake) as first:
        source = {"kind": "dicomweb", "url": f"{first}/dicom-web", "timeout_s": 5}
        settings.add_source(place, "first", source)
        pulled(place, (series["study"],), "headers")
        found = settings.read(place)
        with TestClient(app(place, found), base_url="http://localhost") as pictures:
            assert len(parts_of(pictures.get(path, headers=accept))) == series["instances"]
            (row, *_) = pictures.get(f"{path}/instances").json()
            assert row["00080056"]["Value"] == ["NEARLINE"]
            assert pictures.get(f"{path}/thumbnail").status_code == 200
            own = pictures.get(f"{path}/instances/{row['00080018']['Value'][0]}/frames/1")
            assert own.status_code == 200
            care_of(place).pause("first")
            assert pictures.get(path, headers=accept).status_code == 503
            care_of(place).resume("first")
        keeping = found.source["first"].model_copy(update={"keep": True})
        kept = found.model_copy(update={"source": {"first": keeping}})
        with TestClient(app(place, kept), base_url="http://localhost") as pictures:
            whole = parts_of(pictures.get(path, headers=accept))
            assert pictures.get(f"{path}/instances").json()[0]["00080056"]["Value"] == ["ONLINE"]
    with TestClient(app(place, kept), base_url="http://localhost") as pictures:  # the first is gone
        assert sorted(parts_of(pictures.get(path, headers=accept))) == sorted(whole)
        other = next(
            row
            for row in pictures.get("/dicom-web/instances").json()
            if row["00080056"]["Value"] == ["NEARLINE"]
        )
        answer = pictures.get(other["00081190"]["Value"][0], headers=accept)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"


def parts_of(answer: Any) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    boundary = parameters(answer.headers["content-type"])[1]["boundary"]
    return [part.bytes() for part in parts([answer.content], boundary)]
