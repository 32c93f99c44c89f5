"""Retrieval, pictures and bulk data (WADO-RS, WADO-URI) against the whole application."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import dicomlake
from dicomlake.contracts import Object
from dicomlake.errors import Refused
from dicomlake.jobs.index import index
from dicomlake.settings import Settings, Source
from dicomlake.sources.dicomweb.multipart import Part, parameters, parts
from dicomlake.web import app
from dicomlake.web.dicomweb.media import accepted
from dicomlake.web.dicomweb.retrieving import span_of
from dicomlake.web.dicomweb.shelf import Shelf
from dicomlake.web.problems import Failed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what pydicom says of old files

ALL = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def got(pictures: TestClient, path: str, accept: str = ALL) -> list[Part]:
    answer = pictures.get(f"/dicom-web{path}", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    kind, more = parameters(answer.headers["content-type"])
    assert kind == "multipart/related"
    assert more["type"] in ("application/dicom", "application/octet-stream", "image/png")
    found = [(p.headers, p.bytes()) for p in parts([answer.content], more["boundary"])]
    return [Part(h, len(b), lambda at, n, b=b: b[at : at + n]) for h, b in found]


def rows(lake: Path, where: str = "true", limit: int = 1000) -> list[dict[str, Any]]:
    return dicomlake.open(lake).sql(
        'select s."StudyInstanceUID" as study, s."SeriesInstanceUID" as series, i.uri, i.header, '
        'i."SOPInstanceUID" as instance, i."TransferSyntaxUID" as syntax, i."Rows" as height, '
        'i."Columns" as width, i."NumberOfFrames" as frames, s."Modality" as modality '
        f"from instances i join series s using (series_id) where {where} "
        f'order by i."SOPInstanceUID" limit {limit}'
    ).to_pylist()  # fmt: skip


def path_of(row: dict[str, Any]) -> str:
    return f"/studies/{row['study']}/series/{row['series']}/instances/{row['instance']}"


@pytest.fixture(scope="module")
def ct(pictures_lake: Path) -> dict[str, Any]:
    return rows(pictures_lake, "s.\"Modality\" = 'CT' and i.uri like 'file:%'", 1)[0]


class TestMetadata:
    def test_every_level(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        study, series = f"/studies/{ct['study']}", f"/studies/{ct['study']}/series/{ct['series']}"
        whole = pictures.get(f"/dicom-web{study}/metadata").json()
        some = pictures.get(f"/dicom-web{series}/metadata").json()
        (one,) = pictures.get(f"/dicom-web{path_of(ct)}/metadata").json()
        assert one in some
        assert all(header in whole for header in some)
        assert len(whole) == len(pictures.get(f"/dicom-web{study}/instances").json())
        assert not any(tag.startswith("0002") for tag in one)
        assert one["00083002"]["Value"] == [ct["syntax"]]

    def test_a_validator_saves_the_body(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        path = f"/dicom-web/studies/{ct['study']}/metadata"
        first = pictures.get(path)
        again = pictures.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["cache-control"] == "private, no-cache"

    def test_bulk_data_are_addresses_that_answer(
        self, pictures: TestClient, pictures_lake: Path
    ) -> None:
        for row in rows(pictures_lake, "i.uri like 'file:%' and i.header like '%BulkDataURI%'", 12):
            (header,) = pictures.get(f"/dicom-web{path_of(row)}/metadata").json()
            data = pydicom.dcmread(Path(row["uri"].removeprefix("file://")), force=True)
            url = header["7FE00010"]["BulkDataURI"]
            answer = pictures.get(url)
            assert answer.status_code == 200
            if not data.file_meta.TransferSyntaxUID.is_encapsulated:
                assert answer.content == data.PixelData
                part = pictures.get(url, headers={"Range": "bytes=3-10"})
                assert (part.status_code, part.content) == (206, data.PixelData[3:11])
                assert part.headers["content-range"] == f"bytes 3-10/{len(data.PixelData)}"
                last = pictures.get(url, headers={"Range": "bytes=-4"})
                assert last.content == data.PixelData[-4:]
                beyond = pictures.get(url, headers={"Range": "bytes=99999999-"})
                assert beyond.status_code == 416

    def test_no_place_but_those_of_the_object(
        self, pictures: TestClient, ct: dict[str, Any]
    ) -> None:
        base = f"/dicom-web{path_of(ct)}/bulkdata"
        for path in ("00080060", "7FE00010/0/00080060", "..%2f..%2fetc%2fpasswd", "zz", "12345678"):
            assert pictures.get(f"{base}/{path}").status_code == 404, path


class TestObjects:
    def test_bytes_are_those_of_the_files(self, pictures: TestClient, pictures_lake: Path) -> None:
        for row in rows(pictures_lake, "i.uri like 'file:%'", 15):
            raw = Path(row["uri"].removeprefix("file://")).read_bytes()
            (part,) = got(pictures, path_of(row))
            assert part.bytes() == raw
            assert parameters(part.headers["content-type"])[1]["transfer-syntax"] == row["syntax"]
            single = pictures.get(
                f"/dicom-web{path_of(row)}", headers={"Accept": "application/dicom"}
            )
            assert single.content == raw
            assert single.headers["content-type"].startswith("application/dicom")

    def test_out_of_archives(self, ct: dict[str, Any], tmp_path: Path) -> None:
        file = Path(ct["uri"].removeprefix("file://"))
        (tmp_path / "files").mkdir()
        with zipfile.ZipFile(tmp_path / "files" / "old.zip", "w") as packed:
            packed.write(file, "DISC/IM1")
        index([tmp_path / "files"], tmp_path / "lake", workers=1)
        with TestClient(
            app(tmp_path / "lake", Settings()), base_url="http://localhost"
        ) as pictures:
            (part,) = got(pictures, path_of(ct))
            assert part.bytes() == file.read_bytes()
            assert pictures.get(f"/dicom-web{path_of(ct)}/frames/1").status_code == 200
            assert pictures.get(f"/dicom-web{path_of(ct)}/thumbnail").status_code == 200

    def test_whole_studies_and_series(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        for path in (f"/studies/{ct['study']}", f"/studies/{ct['study']}/series/{ct['series']}"):
            found = got(pictures, path)
            expected = len(pictures.get(f"/dicom-web{path}/instances").json())
            uids = {
                pydicom.dcmread(io.BytesIO(p.bytes()), force=True).SOPInstanceUID for p in found
            }
            assert len(uids) == len(found) == expected

    def test_without_compression(self, pictures: TestClient, pictures_lake: Path) -> None:
        plain = ALL.replace("*", "1.2.840.10008.1.2.1")
        compressed = rows(pictures_lake, "i.\"TransferSyntaxUID\" = '1.2.840.10008.1.2.5'", 2)
        implicit = rows(pictures_lake, "i.\"TransferSyntaxUID\" = '1.2.840.10008.1.2'", 1)
        for row in compressed + implicit:
            (stored,), (made,) = got(pictures, path_of(row)), got(pictures, path_of(row), plain)
            before, after = (pydicom.dcmread(io.BytesIO(p.bytes()), force=True)
                             for p in (stored, made))  # fmt: skip
            assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
            if "PixelData" in before:
                assert np.array_equal(before.pixel_array, after.pixel_array)
        assert compressed
        assert implicit

    @pytest.mark.parametrize(
        "accept", ["text/html", ALL.replace("*", "1.2.840.10008.1.2.4.90"), "image/png"]
    )
    def test_not_acceptable(self, pictures: TestClient, ct: dict[str, Any], accept: str) -> None:
        answer = pictures.get(f"/dicom-web{path_of(ct)}", headers={"Accept": accept})
        assert answer.status_code == 406
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("path", ["/studies/1.2.3", "/studies/..%2f..", "/studies/1/series/2",
                                      "/studies/1'--", "/studies/1.2.3/metadata",
                                      "/studies/1.2.3/thumbnail", "/studies/%00"])  # fmt: skip
    def test_what_is_not_there(self, pictures: TestClient, path: str) -> None:
        assert pictures.get(f"/dicom-web{path}").status_code == 404


class TestFrames:
    def test_as_stored_and_decoded(self, pictures: TestClient, pictures_lake: Path) -> None:
        many = rows(pictures_lake, 'i."NumberOfFrames" > 2 and s."Modality" <> \'SEG\'', 2)
        rle = rows(pictures_lake, "i.\"TransferSyntaxUID\" = '1.2.840.10008.1.2.5'", 2)
        for row in [*many, *rle, *rows(pictures_lake, "s.\"Modality\" in ('CT', 'CR')", 3)]:
            data = pydicom.dcmread(io.BytesIO(got(pictures, path_of(row))[0].bytes()), force=True)
            wanted = [1, 3] if (row["frames"] or 1) > 2 else [1]
            path = f"{path_of(row)}/frames/{','.join(map(str, wanted))}"
            plain = got(pictures, path, 'multipart/related; type="application/octet-stream"')
            pixels = data.pixel_array
            frames = [pixels[n - 1] for n in wanted] if (row["frames"] or 1) > 1 else [pixels]
            assert [p.bytes() for p in plain] == [frame.tobytes() for frame in frames]
            stored = got(pictures, path, FRAMES)
            said = parameters(stored[0].headers["content-type"])[1]["transfer-syntax"]
            if data.file_meta.TransferSyntaxUID.is_encapsulated:
                assert said == data.file_meta.TransferSyntaxUID
                held = list(pydicom.encaps.generate_frames(
                    data.PixelData, number_of_frames=row["frames"] or 1))  # fmt: skip
                assert [p.bytes() for p in stored] == [held[n - 1] for n in wanted]
            else:
                assert [p.bytes() for p in stored] == [p.bytes() for p in plain]
        assert many
        assert rle

    @pytest.mark.parametrize(
        ("frames", "status"), [("2", 404), ("0", 404), ("x", 400), ("1,", 400)]
    )
    def test_no_such_frames(
        self, pictures: TestClient, ct: dict[str, Any], frames: str, status: int
    ) -> None:
        assert pictures.get(f"/dicom-web{path_of(ct)}/frames/{frames}").status_code == status

    def test_one_by_itself(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        accept = {"Accept": "application/octet-stream"}
        answer = pictures.get(f"/dicom-web{path_of(ct)}/frames/1", headers=accept)
        assert answer.headers["content-type"].startswith("application/octet-stream")
        assert len(answer.content) == ct["height"] * ct["width"] * 2


def opened(answer: Any) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


class TestPictures:
    def test_forms_and_sizes(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        path = f"/dicom-web{path_of(ct)}/rendered"
        size = (ct["width"], ct["height"])
        assert opened(pictures.get(path, headers={"Accept": "image/png"})).size == size
        assert opened(pictures.get(path)).format == "JPEG"
        assert opened(pictures.get(f"{path}?viewport=20,10")).size[1] == 10
        assert opened(pictures.get(f"{path}?viewport=8,8,4,4,8,8")).size == (8, 8)
        assert pictures.get(path, headers={"Accept": "video/mp4"}).status_code == 406

    def test_the_window_is_that_of_the_header_or_of_the_caller(
        self, pictures: TestClient, ct: dict[str, Any]
    ) -> None:
        path, png = f"/dicom-web{path_of(ct)}/rendered", {"Accept": "image/png"}
        data = pydicom.dcmread(Path(ct["uri"].removeprefix("file://")))
        values = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)

        def linear(center: float, width: float) -> Any:
            shown = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
            return np.clip(np.rint(shown), 0, 255).astype(int)

        center, width = float(data.WindowCenter), float(data.WindowWidth)
        said = np.asarray(opened(pictures.get(path, headers=png))).astype(int)
        assert np.abs(said - linear(center, width)).max() <= 1
        asked = opened(pictures.get(f"{path}?window=100,3000,linear", headers=png))
        assert np.abs(np.asarray(asked).astype(int) - linear(100, 3000)).max() <= 1

    @pytest.mark.parametrize(
        "query",
        ["window=1", "window=a,b", "window=1,0", "window=1,nan", "window=1,2,cubic", "viewport=1",
         "viewport=0,0", "viewport=99999999,1", "viewport=5,5,1,2,3", "viewport=5,5,9999,0,1,1",
         "quality=0", "quality=x"],
    )  # fmt: skip
    def test_what_cannot_be(self, pictures: TestClient, ct: dict[str, Any], query: str) -> None:
        answer = pictures.get(f"/dicom-web{path_of(ct)}/rendered?{query}")
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"

    def test_thumbnails_on_every_level(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        series = f"/studies/{ct['study']}/series/{ct['series']}"
        for path in (f"/studies/{ct['study']}", series, path_of(ct), f"{path_of(ct)}/frames/1"):
            answer = pictures.get(f"/dicom-web{path}/thumbnail")
            assert max(opened(answer).size) == 200
            again = {"If-None-Match": answer.headers["etag"]}
            assert pictures.get(f"/dicom-web{path}/thumbnail", headers=again).status_code == 304

    def test_series_and_frames_in_parts(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        series = f"/studies/{ct['study']}/series/{ct['series']}"
        count = len(pictures.get(f"/dicom-web{series}/instances").json())
        assert len(got(pictures, f"{series}/rendered", "image/png")) == count

    def test_reports_are_no_pictures(self, pictures: TestClient, pictures_lake: Path) -> None:
        (row,) = rows(pictures_lake, "s.\"Modality\" = 'SR'", 1)
        for door in ("rendered", "thumbnail", "frames/1"):
            assert pictures.get(f"/dicom-web{path_of(row)}/{door}").status_code == 404

    def test_by_parameters(self, pictures: TestClient, ct: dict[str, Any]) -> None:
        uids = {"studyUID": ct["study"], "seriesUID": ct["series"], "objectUID": ct["instance"]}
        said = {"requestType": "WADO", **uids}
        assert opened(pictures.get("/dicom-web/wado", params=said)).format == "JPEG"
        png = {**said, "contentType": "image/png", "rows": "10", "windowCenter": "40",
               "windowWidth": "400", "frameNumber": "1"}  # fmt: skip
        assert opened(pictures.get("/dicom-web/", params=png)).size[1] == 10
        raw = pictures.get("/dicom-web/wado", params={**said, "contentType": "application/dicom"})
        assert raw.content == Path(ct["uri"].removeprefix("file://")).read_bytes()
        assert pictures.get("/dicom-web/wado", params=uids).status_code == 400
        assert pictures.get("/dicom-web/wado", params={**said, "rows": "x"}).status_code == 400


class TestObjectsThatAreAway:
    @pytest.fixture
    def away(self, pictures_lake: Path, tmp_path: Path) -> Iterator[tuple[TestClient, Path]]:
        files = tmp_path / "files"
        source = rows(pictures_lake, "s.\"Modality\" = 'CT' and i.uri like 'file:%'", 1)[0]["uri"]
        files.mkdir()
        shutil.copy(source.removeprefix("file://"), files / "one.dcm")
        index([files], tmp_path / "lake", workers=1)
        with TestClient(
            app(tmp_path / "lake", Settings()), base_url="http://localhost"
        ) as pictures:
            yield pictures, files / "one.dcm"

    def test_a_file_that_is_gone(self, away: tuple[TestClient, Path], tmp_path: Path) -> None:
        pictures, file = away
        (row,) = rows(tmp_path / "lake")
        file.unlink()
        for door in ("", "/frames/1", "/rendered", "/bulkdata/7FE00010"):
            answer = pictures.get(f"/dicom-web{path_of(row)}{door}")
            assert answer.status_code == 409
            assert str(tmp_path) not in answer.text
        assert pictures.get(f"/dicom-web{path_of(row)}/metadata").status_code == 200

    def test_pulled_through_and_kept_where_the_settings_say_so(
        self, away: tuple[TestClient, Path], tmp_path: Path
    ) -> None:
        _, file = away
        (row,) = rows(tmp_path / "lake")
        raw = file.read_bytes()
        place = {"uri": f"pacs://pacs/{row['instance']}", "offset": 0, "size": 0,
                 "StudyInstanceUID": row["study"], "SeriesInstanceUID": row["series"],
                 "SOPInstanceUID": row["instance"]}  # fmt: skip
        asked: list[str] = []

        @contextlib.contextmanager
        def fetched(
            settings: Settings, source: str, study: str, series: str, instance: str
        ) -> Iterator[Object]:
            asked.append(source)
            if len(asked) == 1:
                raise Refused("away")
            yield Object("x", 0, len(raw), lambda at, n: raw[at : at + n])

        source = Source(kind="dimse", host="127.0.0.1", port=1, called="PACS", keep=True)
        shelf = Shelf(tmp_path / "lake", Settings(source={"pacs": source}), fetched)
        assert not shelf.near(place)
        with pytest.raises(Failed) as told, shelf.bytes(place):
            pass
        assert told.value.status == 503
        for _ in range(2):
            with shelf.bytes(place) as found:
                assert found.fetch(0, found.size) == raw
        assert asked == ["pacs", "pacs"]
        assert shelf.near(place)


@given(st.text(max_size=60))
def test_ranges_are_read_or_passed_over(text: str) -> None:
    for said in (text, f"bytes={text}"):
        span = span_of(said, 100)
        assert span is None or (0 <= span[0] <= span[1] <= 100)


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_any_accept_is_read(text: str) -> None:
    class Asked:
        def __init__(self) -> None:
            from starlette.datastructures import Headers, QueryParams

            self.query_params = QueryParams("")
            self.headers = Headers({"accept": text})

    assert all(each.quality > 0 for each in accepted(Asked()))  # type: ignore[arg-type]


def test_samples_of_other_projects(corpus_web: TestClient) -> None:
    lake = corpus_web.app.state.desk.lake  # type: ignore[attr-defined]
    found = rows(lake, 'hash(i."SOPInstanceUID") % 7 = 0')
    assert len(found) > 20
    shown = 0
    for row in found:
        for door, accept in (("/metadata", "*/*"), ("", ALL), ("/frames/1", FRAMES),
                             ("/rendered", "image/png")):  # fmt: skip
            headers = {"Accept": accept}
            answer = corpus_web.get(f"/dicom-web{path_of(row)}{door}", headers=headers)
            assert answer.status_code in (200, 404, 406, 409), (row["uri"], door, answer.text)
            shown += door == "/rendered" and answer.status_code == 200
    assert shown > 8
