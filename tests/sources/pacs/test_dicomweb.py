"""DICOMweb services that are busy, odd, broken or evil: what comes, and what is said."""

from __future__ import annotations

import gzip
import logging
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from dicomlake.errors import DicomlakeError, Incomplete, Refused, UsageError
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import Source
from dicomlake.sources.dicomweb import DicomwebArchive, connection
from dicomlake.sources.dicomweb.values import cleaned, row_of
from dicomlake.testing.dicom import encode, image, uid

JSON = {"Content-Type": "application/dicom+json"}
Answer = Callable[[httpx.Request], httpx.Response]


def archive(
    answer: Answer, url: str = "https://pacs.test/dicom-web/", **more: Any
) -> DicomwebArchive:
    source = Source(kind="dicomweb", url=url, **more)
    return DicomwebArchive("pacs", source, transport=httpx.MockTransport(answer))


def study(number: int) -> dict[str, Any]:
    return {
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Phonetic": "x"}]},
        "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
        "00201208": {"vr": "IS", "Value": [number]},
        "00091010": {"vr": "LO", "Value": ["private"]},
        "12345678": {"vr": "LO", "Value": ["unknown"]},
        "00081030": {"vr": "LO"},
    }


def paged(total: int, most: int = 10**6, sees_offset: bool = True, warn: bool = False) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        offset = int(asked.get("offset", 0)) if sees_offset else 0
        size = min(int(asked.get("limit", 10**6)), most)
        found = [study(n) for n in range(offset, min(total, offset + size))]
        more = {"Warning": '299 pacs: "There are additional results that can be requested"'}
        warned = more if warn and offset + len(found) < total else {}
        return httpx.Response(200, json=found, headers={**JSON, **warned})

    return answer


def asked(answer: Answer, into: list[httpx.Request]) -> Answer:
    def noted(request: httpx.Request) -> httpx.Response:
        into.append(request)
        return answer(request)

    return noted


class TestPaging:
    @pytest.mark.parametrize("total", [0, 1, 7, 130, 2500])
    @pytest.mark.parametrize("most", [10**6, 100, 30])
    def test_all_come_once(self, total: int, most: int) -> None:
        match = archive(paged(total, most)).find("STUDY", {})
        assert [row["StudyInstanceUID"] for row in match.rows] == [f"1.2.{n}" for n in range(total)]

    def test_few_requests(self) -> None:
        requests: list[httpx.Request] = []
        pacs = archive(asked(paged(30), requests))
        assert not pacs.find("STUDY", {}).cut
        assert len(requests) == 2  # is there more behind a page that is not full?
        pacs.find("STUDY", {"StudyDate": "2024"}, limit=20)
        assert len(requests) == 3
        pacs = archive(asked(paged(3), requests))
        pacs._pages._largest["studies"] = 30  # a longer page was met before
        assert not pacs.find("STUDY", {}).cut
        assert len(requests) == 4

    def test_offset_ignored(self) -> None:
        requests: list[httpx.Request] = []
        few = archive(asked(paged(30, sees_offset=False), requests)).find("STUDY", {})
        assert (len(few.rows), few.cut, len(requests)) == (30, False, 2)
        many = archive(paged(3000, sees_offset=False)).find("STUDY", {})
        assert (len(many.rows), many.cut) == (1000, True)

    def test_endless_answers_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dicomlake.sources.dicomweb.paging.MOST_PAGES", 5)
        match = archive(paged(10**9)).find("STUDY", {})
        assert (len(match.rows), match.cut) == (5000, True)

    def test_warned(self) -> None:
        assert not archive(paged(25, 10, warn=True)).find("STUDY", {}).cut

        def capped(request: httpx.Request) -> httpx.Response:
            if "offset" in request.url.params:
                return httpx.Response(200, json=[])
            return httpx.Response(200, json=[study(1)], headers={"Warning": "299 more"})

        assert archive(capped).find("STUDY", {}).cut

    def test_caps_that_show_themselves(self) -> None:
        assert archive(lambda request: httpx.Response(413)).find("STUDY", {}).cut
        assert archive(paged(100)).find("STUDY", {}).cut
        assert archive(paged(501)).find("STUDY", {}).cut
        assert not archive(paged(502)).find("STUDY", {}).cut
        assert archive(paged(60, 20)).find("STUDY", {}).cut  # whole pages, then nothing
        assert not archive(paged(65, 20)).find("STUDY", {}).cut
        assert not archive(paged(500)).find("STUDY", {}, limit=100).cut

    def test_counts_of_the_service(self) -> None:
        requests: list[httpx.Request] = []

        def counting(counted: int, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/series"):
                found = [{"0020000E": {"vr": "UI", "Value": [f"1.{n}"]}} for n in range(4)]
                return httpx.Response(200, json=[] if "offset" in request.url.params else found)
            assert dict(request.url.params)["StudyInstanceUID"] == "1.2"
            return httpx.Response(200, json=[{"00201206": {"vr": "IS", "Value": [counted]}}])

        for counted, cut in ((10, True), (4, False)):
            pacs = archive(asked(partial(counting, counted), requests))
            match = pacs.find("SERIES", {"StudyInstanceUID": "1.2"})
            assert match.cut is cut
            assert match.rows[0] == {"SeriesInstanceUID": "1.0", "StudyInstanceUID": "1.2"}
        requests.clear()
        pacs.find("SERIES", {"StudyInstanceUID": "1.3"})
        assert len(requests) == 2  # four are known to be no cap by now, so nobody is asked

    def test_nothing_there(self) -> None:
        assert archive(lambda request: httpx.Response(204)).find("STUDY", {}).rows == []

        def scolds(request: httpx.Request) -> httpx.Response:  # for having no answers
            return httpx.Response(404 if "StudyDate" in request.url.params else 200, json=[])

        assert archive(scolds).find("STUDY", {"StudyDate": "20240101"}).rows == []
        with pytest.raises(UsageError, match="Is its url"):
            archive(lambda request: httpx.Response(404)).find("STUDY", {})


class TestQueries:
    @pytest.mark.parametrize(
        ("level", "keys", "path", "rest"),
        [
            ("STUDY", {"StudyInstanceUID": "1.2"}, "/studies", "StudyInstanceUID=1.2"),
            ("SERIES", {"StudyInstanceUID": "1.2"}, "/studies/1.2/series", ""),
            (
                "SERIES",
                {"StudyInstanceUID": "1.2\\1.3", "Modality": "CT"},
                "/series",
                "StudyInstanceUID=1.2,1.3&Modality=CT",
            ),
            (
                "IMAGE",
                {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "InstanceNumber": "5"},
                "/studies/1.2/series/1.3/instances",
                "InstanceNumber=5",
            ),
            ("IMAGE", {"StudyInstanceUID": "1.2"}, "/studies/1.2/instances", ""),
            (
                "STUDY",
                {"StudyDate": "20240101-20240131", "PatientName": "M*", "PatientID": ""},
                "/studies",
                "StudyDate=20240101-20240131&PatientName=M*",
            ),
        ],
    )
    def test_paths(self, level: str, keys: dict[str, str], path: str, rest: str) -> None:
        requests: list[httpx.Request] = []
        archive(asked(paged(0), requests)).find(level, keys, ["StudyDate"], limit=5)
        (request,) = requests
        query = (rest + "&" if rest else "") + "includefield=StudyDate&limit=5"
        assert request.url.raw_path.decode() == f"/dicom-web{path}?{query}"
        assert request.headers["Accept"] == "application/dicom+json"

    def test_rows(self) -> None:
        assert archive(paged(1)).find("STUDY", {}).rows == [
            {
                "StudyInstanceUID": "1.2.0",
                "PatientName": "Doe^Jane==x",
                "ModalitiesInStudy": "CT\\MR",
                "NumberOfStudyRelatedInstances": "0",
                "StudyDescription": "",
            }
        ]
        odd = {"00081030": None, "x": {}, "00280030": {"vr": "DS", "Value": [0.5, None, 2.0, True]}}
        assert row_of(odd) == {"PixelSpacing": "0.5\\\\2\\True"}

    def test_paths_cannot_be_left(self) -> None:
        requests: list[httpx.Request] = []
        pacs = archive(asked(paged(0), requests))
        pacs.find("SERIES", {"StudyInstanceUID": "1/../../admin"})
        assert b"/studies/1%2F..%2F..%2Fadmin/series?" in requests[0].url.raw_path
        with pytest.raises(UsageError, match="no UID"):
            pacs.find("SERIES", {"StudyInstanceUID": ".."})


def objects_of(*numbers: int) -> list[bytes]:
    return [encode(image(SeriesInstanceUID=uid("s"), SOPInstanceUID=uid("i", n))) for n in numbers]


def multipart(*objects: bytes, boundary: str = "abc", quoted: bool = True) -> httpx.Response:
    body = b"".join(
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (boundary.encode(), data)
        for data in objects
    )
    shown = f'"{boundary}"' if quoted else boundary
    kind = f'multipart/related; type="application/dicom"; boundary={shown}'
    return httpx.Response(
        200, content=body + f"--{boundary}--\r\n".encode(), headers={"Content-Type": kind}
    )


class TestObjects:
    @pytest.mark.parametrize("quoted", [True, False])
    def test_they_come(self, quoted: bool) -> None:
        data = objects_of(1, 2, 3)
        requests: list[httpx.Request] = []
        pacs = archive(asked(lambda request: multipart(*data, quoted=quoted), requests))
        found = list(pacs.objects("1.2", "1.3"))
        assert [thing.fetch(0, thing.size) for thing in found] == data
        assert [thing.uri for thing in found] == [f"pacs://pacs/{uid('i', n)}" for n in (1, 2, 3)]
        assert requests[0].headers["Accept-Encoding"] == "identity"
        assert requests[0].url.path == "/dicom-web/studies/1.2/series/1.3"

    def test_other_ways_to_ask(self) -> None:
        """Some do not know `transfer-syntax=*`, some send single objects as they are."""
        (data,) = objects_of(1)
        requests: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if request.headers["Accept"] != "application/dicom":
                return httpx.Response(406)
            return httpx.Response(200, content=data, headers={"Content-Type": "application/dicom"})

        pacs = archive(asked(answer, requests))
        for _ in range(2):
            (thing,) = pacs.objects("1.2", "1.3", ["1.4"])
            assert thing.fetch(0, thing.size) == data
        assert len(requests) == 4  # what works is remembered
        with pytest.raises(UsageError, match="does not offer"):
            list(archive(lambda request: httpx.Response(406)).objects("1.2", "1.3"))

    def test_one_that_cannot_be_had_as_it_is_changes_nothing(self) -> None:
        requests: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            odd = request.url.path.endswith("/1.5") and "*" in request.headers["Accept"]
            return httpx.Response(406) if odd else multipart(*objects_of(1))

        pacs = archive(asked(answer, requests))
        for instance in ("1.4", "1.5", "1.6"):
            assert len(list(pacs.objects("1.2", "1.3", [instance]))) == 1
        assert ["*" in request.headers["Accept"] for request in requests] == [
            True,
            True,
            False,
            True,
        ]

    def test_cut_off(self) -> None:
        data = objects_of(1, 2)
        whole = multipart(*data)
        kind = {"Content-Type": whole.headers["Content-Type"]}
        cut = whole.content[:-200]
        pacs = archive(lambda request: httpx.Response(200, content=cut, headers=kind))
        found = pacs.objects("1.2", "1.3")
        assert next(found).size == len(data[0])
        with pytest.raises(Refused, match="pacs: an answer in parts stopped in the middle"):
            next(found)

    def test_the_connection_breaks(self) -> None:
        data = objects_of(1, 2)
        whole = multipart(*data)
        kind = {"Content-Type": whole.headers["Content-Type"]}

        def stream() -> Iterator[bytes]:
            yield whole.content[:-100]
            raise httpx.ReadError("Doe^Jane")

        pacs = archive(lambda request: httpx.Response(200, content=stream(), headers=kind))
        found = pacs.objects("1.2", "1.3")
        assert next(found).size == len(data[0])
        with pytest.raises(Refused, match="stopped") as raised:
            next(found)
        assert "Doe" not in str(raised.value)

    def test_unreadable_objects_still_come(self) -> None:
        pacs = archive(lambda request: multipart(b"no DICOM", b""))
        assert [(t.uri, t.size) for t in pacs.objects("1.2", "1.3")] == [
            ("pacs://pacs/", 8),
            ("pacs://pacs/", 0),
        ]

    @pytest.mark.parametrize("kind", ["text/html", "application/json", "multipart/related"])
    def test_other_answers(self, kind: str) -> None:
        pacs = archive(
            lambda request: httpx.Response(200, content=b"x", headers={"Content-Type": kind})
        )
        with pytest.raises(DicomlakeError, match="pacs answers"):
            list(pacs.objects("1.2", "1.3"))

    def test_gone(self) -> None:
        for status in (204, 404, 410):
            pacs = archive(lambda request, s=status: httpx.Response(s))
            with pytest.raises(Incomplete, match=r"1\.3"):
                list(pacs.objects("1.2", "1.3"))
            with pytest.raises(Incomplete) as raised:
                list(pacs.objects("1.2", "1.3", ["1.4", "1.5"]))
            assert raised.value.failed == ("1.4", "1.5")

    def test_stopping_early_closes_the_answer(self) -> None:
        pacs = archive(lambda request: multipart(*objects_of(1, 2, 3)))
        found = pacs.objects("1.2", "1.3")
        next(found)
        found.close()  # type: ignore[attr-defined]
        assert len(list(pacs.objects("1.2", "1.3"))) == 3

    def test_frames(self) -> None:
        requests: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if request.headers["Accept"] != "*/*":
                return httpx.Response(406)
            return multipart(b"one", b"two")

        pacs = archive(asked(answer, requests))
        got = pacs.frames("1.2", "1.3", "1.4", [1, 2])
        assert got == [("application/dicom", b"one"), ("application/dicom", b"two")]
        assert requests[0].url.path.endswith("/instances/1.4/frames/1,2")


def header(number: int) -> dict[str, Any]:
    data = encode(image(SeriesInstanceUID=uid("s"), SOPInstanceUID=uid("i", number)))
    found = orjson.loads(HeaderReader().read_bytes(data).json)
    return {tag: element for tag, element in found.items() if tag > "0003"}


ADDED = {
    "00081190": {"vr": "UR", "Value": ["https://pacs/1"]},
    "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.90"]},
    "00080056": {"vr": "CS", "Value": ["ONLINE"]},
}


def service(
    *, series: bool = True, instance: bool = True, whole: bool = True, packed: bool = False
) -> Answer:
    """A service with one series of three, that offers metadata of a series, an instance, or not."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/instances"):
            rows = [{"00080018": header(n)["00080018"]} for n in range(3)]
            return httpx.Response(200, json=rows[: int(request.url.params["limit"])])
        if path.endswith("/metadata"):
            one = "/instances/" in path
            if not (instance if one else series):
                return httpx.Response(404 if one else 501)
            found = orjson.dumps([{**header(n), **ADDED} for n in range(1 if one else 3)])
            if packed:
                more = {**JSON, "Content-Encoding": "gzip"}
                return httpx.Response(200, content=gzip.compress(found), headers=more)
            return httpx.Response(200, content=found, headers=JSON)
        return multipart(*objects_of(0)) if whole else httpx.Response(404)

    return answer


class TestHeaders:
    @pytest.mark.parametrize("packed", [True, False])
    def test_whole_series(self, packed: bool) -> None:
        requests: list[httpx.Request] = []
        pacs = archive(asked(service(packed=packed), requests))
        found = list(pacs.headers("1.2", "1.3"))
        assert len(requests) == 1
        assert "gzip" in requests[0].headers["Accept-Encoding"]
        assert [thing.uri for thing in found] == [f"pacs://pacs/{uid('i', n)}" for n in range(3)]
        for number, thing in enumerate(found):
            assert (thing.offset, thing.size, thing.fetch(0, 9)) == (0, 0, b"")
            assert thing.header is not None
            assert thing.header.pop("00020010")["Value"] == ["1.2.840.10008.1.2.4.90"]
            assert thing.header == header(number)
            assert HeaderReader().read_json(thing.header).first["SOPInstanceUID"]
        assert pacs.whole_headers

    def test_first(self) -> None:
        requests: list[httpx.Request] = []
        pacs = archive(asked(service(), requests))
        (thing,) = pacs.headers("1.2", "1.3", first=True)
        assert thing.header is not None
        assert len(requests) == 2
        assert requests[1].url.path.endswith(f"/instances/{uid('i', 0)}/metadata")

    def test_where_there_is_no_metadata(self) -> None:
        for offered in ({"series": False, "instance": False}, {"series": False}):
            pacs = archive(service(**offered))
            (thing,) = pacs.headers("1.2", "1.3")
            assert thing.header is None
            assert thing.fetch(0, thing.size) == objects_of(0)[0]
            assert not pacs.whole_headers

    def test_metadata_of_other_series_alone(self) -> None:
        """Then all objects come, since all headers were promised."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/series/1.4/metadata"):
                return httpx.Response(404)
            if request.url.path.endswith("/series/1.4"):
                return multipart(*objects_of(0, 1, 2))
            return service()(request)

        pacs = archive(answer)
        assert len(list(pacs.headers("1.2", "1.3"))) == 3
        found = list(pacs.headers("1.2", "1.4"))
        assert [thing.header for thing in found] == [None] * 3
        assert pacs.whole_headers

    def test_settled_by_asking(self) -> None:
        def empty(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=[])

        assert archive(empty).whole_headers
        assert not archive(empty, metadata=False).whole_headers

    def test_several_syntaxes_tell_nothing(self) -> None:
        two = {"00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]}}
        assert cleaned({**two, "00080060": {"vr": "CS"}}) == {"00080060": {"vr": "CS"}}
        assert cleaned({"00083002": None}) == {}

    def test_a_header_without_a_uid(self) -> None:
        pacs = archive(lambda request: httpx.Response(200, json=[{}]))
        (thing,) = pacs.headers("1.2", "1.3")
        assert thing.problem == "a header without SOPInstanceUID"

    @pytest.mark.parametrize("found", [b"{}", b"[1]", b"[{]", b"\xff", b'["x"]'])
    def test_wrong_json(self, found: bytes) -> None:
        pacs = archive(lambda request: httpx.Response(200, content=found, headers=JSON))
        with pytest.raises(Refused, match="JSON"):
            list(pacs.headers("1.2", "1.3"))

    def test_a_web_page_instead(self) -> None:
        page = {"Content-Type": "text/html"}
        pacs = archive(lambda request: httpx.Response(200, content=b"<html>", headers=page))
        with pytest.raises(UsageError, match="url"):
            pacs.find("STUDY", {})

    def test_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "LARGEST_JSON", 1 << 20)
        bomb = gzip.compress(b" " * (1 << 24))
        more = {**JSON, "Content-Encoding": "gzip"}
        pacs = archive(lambda request: httpx.Response(200, content=bomb, headers=more))
        with pytest.raises(UsageError, match="metadata = false"):
            list(pacs.headers("1.2", "1.3"))

    def test_damaged_compression(self) -> None:
        more = {**JSON, "Content-Encoding": "gzip"}

        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Bytes(b"no gzip"), headers=more)

        with pytest.raises(Refused, match="damaged compression"):
            list(archive(answer).headers("1.2", "1.3"))


class Bytes(httpx.SyncByteStream):
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self.data


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind", "says"),
        [
            (400, UsageError, "does not understand"),
            (401, UsageError, "it wants credentials"),
            (403, UsageError, "HTTP 403"),
            (405, UsageError, "root of QIDO-RS"),
            (429, Refused, "busy"),
            (500, Refused, "failed to answer"),
            (502, Refused, "busy or away"),
            (503, Refused, "busy or away"),
            (504, Refused, "busy or away"),
            (507, Refused, "failed"),
        ],
    )
    def test_statuses(self, status: int, kind: type[Exception], says: str) -> None:
        pacs = archive(lambda request: httpx.Response(status, content=b"Doe^Jane"))
        with pytest.raises(kind, match=says) as raised:
            pacs.find("STUDY", {"PatientID": "4711", "PatientName": "Roe^R"})
        assert not any(word in str(raised.value) for word in ("Doe", "4711", "Roe"))

    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [
            ("120", 120, 120),
            ("IN A MINUTE", 50, 60),
            (formatdate(0, usegmt=True), 0, 0),
            ("-5", 0, 0),
            ("soon", 0, 0),
            ("nan", 0, 0),
            ("inf", 86400, 86400),
            ("999999999", 86400, 86400),
            ("", 0, 0),
        ],
    )
    def test_retry_after(self, text: str, low: float, high: float) -> None:
        if text == "IN A MINUTE":
            text = formatdate(time.time() + 60, usegmt=True)
        pacs = archive(lambda request: httpx.Response(429, headers={"Retry-After": text}))
        with pytest.raises(Refused) as raised:
            pacs.find("STUDY", {})
        assert low <= raised.value.wait_s <= high

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (httpx.ConnectTimeout("x"), "within 60 s"),
            (httpx.ReadTimeout("x"), "within 60 s"),
            (httpx.ConnectError("x"), "cannot be reached"),
            (httpx.RemoteProtocolError("x"), "stopped"),
        ],
    )
    def test_the_network(self, error: Exception, says: str) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise error

        with pytest.raises(Refused, match=says):
            archive(answer).find("STUDY", {})
        checks = list(archive(answer).check())
        assert [(check.works, says in check.says) for check in checks] == [(False, True)]

    def test_check_goes_on_without_metadata(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(("/studies", "/series")):
                row = {**study(1), "0020000E": {"vr": "UI", "Value": ["1.3"]}}
                return httpx.Response(200, json=[row])
            return service(series=False, instance=False)(request)

        checks = list(archive(answer).check())
        assert [check.works for check in checks] == [True, False, True], checks
        assert "metadata = false" in checks[1].says

    def test_httpx_logs_no_query(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            archive(paged(1)).find("STUDY", {"PatientID": "4711"})
        assert "pacs.test/dicom-web/studies" in caplog.text
        assert "4711" not in caplog.text

    def test_without_httpx(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "httpx", None)
        with pytest.raises(UsageError, match=r"pip install 'dicomlake\[pacs\]'"):
            archive(paged(1)).find("STUDY", {})


class TestCredentials:
    @pytest.fixture(autouse=True)
    def secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PASSWORD", "pass:wörd")
        monkeypatch.setenv("TOKEN", "token-1")

    def sent(self, **more: Any) -> str:
        requests: list[httpx.Request] = []
        archive(asked(paged(0), requests), **more).find("STUDY", {})
        return requests[0].headers.get("Authorization", "")

    def test_kinds(self) -> None:
        assert self.sent() == ""
        assert self.sent(user="me", password_env="PASSWORD") == "Basic bWU6cGFzczp3w7ZyZA=="
        assert self.sent(token_env="TOKEN") == "Bearer token-1"

    def test_tokens_may_change(self, tmp_path: Path) -> None:
        requests: list[httpx.Request] = []
        file = tmp_path / "token"
        pacs = archive(asked(paged(0), requests), token_file=file)
        with pytest.raises(UsageError, match="cannot be read"):
            pacs.find("STUDY", {})
        for token in ("one\n", "two"):
            file.write_text(token)
            pacs.find("STUDY", {})
        assert [r.headers["Authorization"] for r in requests] == ["Bearer one", "Bearer two"]
        file.write_text("a\nb")
        with pytest.raises(UsageError, match="cannot be sent"):
            pacs.find("STUDY", {})

    def test_wrong_ones(self) -> None:
        def refuses(request: httpx.Request) -> httpx.Response:
            return httpx.Response(401)

        for more, says in (
            ({"user": "me", "password_env": "PASSWORD"}, "user or password is wrong"),
            ({"token_env": "TOKEN"}, "token is wrong, expired"),
        ):
            with pytest.raises(UsageError, match=says) as raised:
                archive(refuses, **more).find("STUDY", {})
            assert "wörd" not in str(raised.value)
            assert "token-1" not in str(raised.value)
        with pytest.raises(UsageError, match="NOT_SET"):
            archive(paged(0), token_env="NOT_SET").find("STUDY", {})

    def test_redirects(self) -> None:
        requests: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/dicom-web/"):
                return httpx.Response(307, headers={"Location": "/v2" + request.url.path[10:]})
            if request.url.host == "pacs.test":
                return httpx.Response(302, headers={"Location": "https://other.test/x?signed=1"})
            return httpx.Response(200, json=[study(1)] if len(requests) < 4 else [])

        pacs = archive(asked(answer, requests), token_env="TOKEN")
        assert len(pacs.find("STUDY", {}, limit=1).rows) == 1
        assert [(r.url.host, r.url.path, r.headers.get("Authorization")) for r in requests] == [
            ("pacs.test", "/dicom-web/studies", "Bearer token-1"),
            ("pacs.test", "/v2/studies", "Bearer token-1"),
            ("other.test", "/x", None),
        ]

    def test_redirects_that_are_not_followed(self) -> None:
        def to(where: str) -> Answer:
            return lambda request: httpx.Response(302, headers={"Location": where})

        with pytest.raises(UsageError, match="again and again"):
            archive(to("https://pacs.test/dicom-web/studies")).find("STUDY", {})
        for where in ("http://pacs.test/x", "file:///etc/passwd"):
            with pytest.raises(UsageError, match="without encryption"):
                archive(to(where)).find("STUDY", {})

        def login(request: httpx.Request) -> httpx.Response:
            if request.url.host == "pacs.test":
                return httpx.Response(302, headers={"Location": "https://login.test/"})
            return httpx.Response(401)

        with pytest.raises(UsageError, match="another host, which gets no credentials"):
            archive(login, token_env="TOKEN").find("STUDY", {})


def test_values_that_a_service_took_for_one_are_parted() -> None:
    sent = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 13"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL\u00a5PRIMARY"]},
        "00280030": {"vr": "DS", "Value": ["0.4\u00a50.4"]},
        "00204000": {"vr": "LT", "Value": ["100\u00a5"]},
        "00081140": {"vr": "SQ", "Value": [{"00080008": {"vr": "CS", "Value": ["A\u00a5B"]}}]},
    }
    found = cleaned(sent)
    assert found["00080008"]["Value"] == ["ORIGINAL", "PRIMARY"]
    assert found["00280030"]["Value"] == ["0.4", "0.4"]
    assert found["00204000"]["Value"] == ["100\u00a5"]
    assert found["00081140"]["Value"][0]["00080008"]["Value"] == ["A", "B"]
    sent["00080005"]["Value"] = ["ISO_IR 192"]
    assert cleaned(sent)["00080008"]["Value"] == ["ORIGINAL\u00a5PRIMARY"]
