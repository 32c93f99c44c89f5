"""Searches (QIDO-RS) against the whole application."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

import dicomlake
from dicomlake.errors import UsageError
from dicomlake.jobs.index import index
from dicomlake.settings import Service, Settings
from dicomlake.sources.dicomweb.multipart import parts
from dicomlake.sources.dicomweb.values import row_of
from dicomlake.testing.dicom import dataset, encode, image
from dicomlake.web import app
from dicomlake.web.dicomweb.keys import paths_of, search_of, split

Rows = list[dict[str, Any]]


def found(pictures: TestClient, path: str, **params: Any) -> Rows:
    answer = pictures.get(f"/dicom-web{path}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    return answer.json()  # type: ignore[no-any-return]


def value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]


def stripped(element: dict[str, Any]) -> dict[str, Any]:
    """An element without blanks around its texts."""
    values = element.get("Value", ())
    return {**element, "Value": [v.strip() if isinstance(v, str) else v for v in values]}


def pages(pictures: TestClient, path: str, limit: int, **params: Any) -> Iterator[Rows]:
    offset = 0
    while page := found(pictures, path, limit=limit, offset=offset, **params):
        yield page
        offset += len(page)


UIDS = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}


class TestPages:
    @pytest.mark.parametrize("level", UIDS)
    def test_all_come_once_and_loops_end(self, pictures: TestClient, level: str) -> None:
        whole = found(pictures, f"/{level}")
        split_up = [row for page in pages(pictures, f"/{level}", 7) for row in page]
        assert split_up == whole
        assert len({value(row, UIDS[level]) for row in whole}) == len(whole) > 10

    def test_the_total_is_told_and_a_warning_only_when_cut(self, pictures: TestClient) -> None:
        total = len(found(pictures, "/studies"))
        cut = pictures.get("/dicom-web/studies?limit=5")
        assert cut.headers["x-total-count"] == str(total)
        assert cut.headers["warning"].startswith("299 ")
        assert f"{total - 5} additional" in cut.headers["warning"]
        for query in ("", f"limit={total}", f"offset={total}", f"offset={total - 2}&limit=2"):
            answer = pictures.get(f"/dicom-web/studies?{query}")
            assert "warning" not in answer.headers, query
            assert answer.headers["x-total-count"] == str(total)

    def test_beyond_the_end_and_for_nothing_there_is_an_empty_list(
        self, pictures: TestClient
    ) -> None:
        assert found(pictures, "/studies", offset=10_000) == []
        assert found(pictures, "/studies", offset=10**40) == []
        assert found(pictures, "/studies", PatientID="nobody") == []
        assert found(pictures, "/studies/1.2.3/series") == []
        assert found(pictures, "/studies", limit=0) == []

    def test_without_a_lake_there_is_nothing(self, tmp_path: Path) -> None:
        with TestClient(
            app(tmp_path / "none", Settings()), base_url="http://localhost"
        ) as pictures:
            assert found(pictures, "/studies") == []
            assert pictures.get("/dicom-web/studies/1.2").status_code == 404


class TestKeys:
    """Every answer is what the engine says of the same question."""

    @pytest.mark.parametrize(
        ("level", "params", "question"),
        [
            ("study", {"ModalitiesInStudy": "CT"}, "ModalitiesInStudy = 'CT'"),
            ("study", {"00080061": "CT,MR"}, "ModalitiesInStudy in ('CT', 'MR')"),
            ("study", {"ModalitiesInStudy": "CT\\MR"}, "ModalitiesInStudy in ('CT', 'MR')"),
            ("study", {"StudyDate": "20200101-20211231"},
             "StudyDate between 2020-01-01 and 2021-12-31"),
            ("study", {"StudyDate": "-20201231"}, "StudyDate <= 2020-12-31"),
            ("study", {"00080020": "20210101-"}, "StudyDate >= 2021-01-01"),
            ("study", {"StudyTime": "12-14"}, "StudyTime between 12:00 and 14:59:59.999999"),
            ("study", {"StudyTime": "-1159"}, "StudyTime <= 11:59:59.999999"),
            ("study", {"StudyDescription": "*thorax*"}, "StudyDescription like '*thorax*'"),
            ("study", {"PatientID": "P00000?"}, "PatientID like 'P00000?'"),
            ("study", {"PatientName": "SUPPOS*"}, "PatientName like 'suppos*'"),
            ("series", {"KVP": "100"}, "KVP = 100"),
            ("series", {"Modality": "MR", "MagneticFieldStrength": "1.5"},
             "Modality = 'MR' and MagneticFieldStrength = 1.5"),
            ("series", {"PatientAge": "079Y"}, "PatientAge = 79Y"),
            ("series", {"ContrastBolusAgent": '""'}, "ContrastBolusAgent missing"),
            ("series", {"ContrastBolusAgent": "*"}, "Modality exists"),
            ("series", {"ProcedureCodeSequence.CodeValue": "169069000"},
             "ProcedureCodeSequence.CodeValue = '169069000'"),
            ("series", {"00081032.00080100": "169069000", "00081032.00080102": "SCT"},
             "same(item, ProcedureCodeSequence.CodeValue = '169069000' and "
             "ProcedureCodeSequence.CodingSchemeDesignator = 'SCT')"),
            ("series", {'(0009,"GEMS_IDEN_01",02)': "MADE"}, '(0009,"GEMS_IDEN_01",02) = \'MADE\''),
            ("series", {"00091002": "MADE"}, '(0009,"GEMS_IDEN_01",02) = \'MADE\''),
            ("instance", {"InstanceNumber": "1"}, "InstanceNumber = 1"),
            ("instance", {"Modality": "CT", "InstanceNumber": "2"},
             "Modality = 'CT' and InstanceNumber = 2"),
            ("instance", {"NumberOfSeriesRelatedInstances": "1"},
             "NumberOfSeriesRelatedInstances = 1"),
        ],
    )  # fmt: skip
    def test_match(
        self,
        pictures: TestClient,
        pictures_lake: Path,
        level: str,
        params: dict[str, str],
        question: str,
    ) -> None:
        path = {"study": "studies", "series": "series", "instance": "instances"}[level]
        keyword = {"study": "Study", "series": "Series", "instance": "SOP"}[level] + "InstanceUID"
        rows = dicomlake.open(pictures_lake).query(question, level, [keyword]).rows
        expected = set(rows.column(keyword).to_pylist())
        assert {value(row, UIDS[path]) for row in found(pictures, f"/{path}", **params)} == expected
        assert expected

    def test_lists_of_uids(self, pictures: TestClient) -> None:
        uids = [value(row, "0020000D") for row in found(pictures, "/studies", limit=3)]
        wanted = [
            {"StudyInstanceUID": ",".join(uids)},
            {"0020000D": "\\".join(uids)},
            {"StudyInstanceUID": uids},
        ]
        for params in wanted:
            got = {value(row, "0020000D") for row in found(pictures, "/studies", **params)}
            assert got == set(uids)

    def test_names_without_case_and_accents(self, pictures: TestClient) -> None:
        def of(**params: str) -> set[str]:
            rows = found(pictures, "/studies", **params)
            return {value(row, "00100010")["Alphabetic"] for row in rows}

        assert of(PatientName="supposé^yves") == {"Supposé^Yves"}
        assert of(PatientName="suppose^yves") == set()
        for words in ("suppose", "yves suppose", "SUPP yv", "*ppos*"):
            assert of(PatientName=words, fuzzymatching="true") == {"Supposé^Yves"}, words
        assert of(PatientName="xyz", fuzzymatching="true") == set()

    def test_any_of_several_values(self, pictures: TestClient) -> None:
        both = found(pictures, "/series", Modality=["CT", "MR"])
        assert len(both) == sum(len(found(pictures, "/series", Modality=m)) for m in ("CT", "MR"))

    @pytest.mark.parametrize(
        "query",
        ["NoSuchThing=1", "StudyDate=yesterday", "limit=-1", "limit=x", "fuzzymatching=maybe",
         "ProcedureCodeSequence=1", "PixelData=1", "includefield=Nonsense", "segment.label=x",
         "StudyTime=99", "KVP=many", "StudyDate=20210101-20200101", "Modality.CodeValue=1"],
    )  # fmt: skip
    def test_what_cannot_be_understood_is_a_problem(self, pictures: TestClient, query: str) -> None:
        answer = pictures.get(f"/dicom-web/studies?{query}")
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(".")

    def test_another_form_is_not_acceptable(self, pictures: TestClient) -> None:
        assert (
            pictures.get("/dicom-web/studies", headers={"Accept": "text/html"}).status_code == 406
        )
        good = pictures.get("/dicom-web/studies?accept=application/json", headers={"Accept": "a/b"})
        assert good.status_code == 200


class TestAnswers:
    def test_required_attributes_and_counts(self, pictures: TestClient) -> None:
        for study in found(pictures, "/studies"):
            for tag in ("00080020", "00080030", "00080050", "00080056", "00080061", "00080090",
                        "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010",
                        "00201206", "00201208", "00081190"):  # fmt: skip
                assert tag in study
            url = value(study, "00081190").removeprefix("http://localhost/dicom-web")
            members = found(pictures, f"{url}/series")
            assert value(study, "00201206") == len(members)
            assert set(study["00080061"]["Value"]) == {value(s, "00080060") for s in members}
            sizes = [value(series, "00201209") for series in members]
            assert (
                value(study, "00201208") == sum(sizes) == len(found(pictures, f"{url}/instances"))
            )
            for series in members:
                below = value(series, "00081190").removeprefix("http://localhost/dicom-web")
                assert len(found(pictures, f"{below}/instances")) == value(series, "00201209")

    def test_values_are_those_of_the_headers(self, pictures: TestClient) -> None:
        fields = (
            "KVP,00189345,PerformedProcedureStepStartDate,OperatorsName,ImageType,SliceThickness"
        )
        for row in found(pictures, "/series", includefield=fields, Modality="CT"):
            url = value(row, "00081190").removeprefix("http://localhost/dicom-web")
            headers = pictures.get(f"/dicom-web{url}/metadata").json()
            for tag in set(row) - {"00080005", "00080056", "00081190", "00201209", "00400275",
                                   "00080061", "00201206", "00201208"}:  # fmt: skip
                said = [header.get(tag, {"vr": row[tag]["vr"]}) for header in headers]
                assert stripped(row[tag]) in map(stripped, said), (tag, row[tag], said[0])

    def test_includefield(self, pictures: TestClient) -> None:
        fields = [
            "KVP,00180050",
            '(0009,"GEMS_IDEN_01",02)',
            "ProcedureCodeSequence.CodeMeaning",
            "00081032.00080100",
        ]
        wanted = {"includefield": fields, "ProtocolName": "TDM*"}
        rows = found(pictures, "/series", Manufacturer="GE*", Modality="CT", **wanted)
        assert rows
        for row in rows:
            assert {"00180060", "00180050", "00181030", "00091002", "00090010"} <= set(row)
            (item,) = row["00081032"]["Value"]
            assert set(item) == {"00080100", "00080104"}

    def test_everything(self, pictures: TestClient) -> None:
        for path in ("/studies", "/series", "/instances"):
            plain = found(pictures, path, limit=3)
            rows = found(pictures, path, limit=3, includefield="all")
            assert all(len(more) > len(row) for row, more in zip(plain, rows, strict=True))
            for row, more in zip(plain, rows, strict=True):
                shared = [tag for tag in row if "Value" in row[tag]]
                assert {t: more[t] for t in shared} == {t: row[t] for t in shared}
        assert not any(tag.startswith("0002") for row in rows for tag in row)

    def test_request_attributes_keep_their_items(self, pictures: TestClient) -> None:
        rows = [r for r in found(pictures, "/series") if r.get("00400275", {}).get("Value")]
        assert rows
        assert any("00401001" in item for row in rows for item in row["00400275"]["Value"])

    def test_as_xml(self, pictures: TestClient) -> None:
        accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
        answer = pictures.get("/dicom-web/studies?limit=3", headers=accept)
        boundary = answer.headers["content-type"].partition("boundary=")[2]
        models = [ElementTree.fromstring(p.bytes()) for p in parts([answer.content], boundary)]
        uids = [
            element.findtext("{*}Value")
            for model in models
            for element in model
            if element.get("keyword") == "StudyInstanceUID"
        ]
        assert uids == [value(row, "0020000D") for row in found(pictures, "/studies", limit=3)]

    def test_packed_where_asked(self, pictures: TestClient) -> None:
        with pictures.stream(
            "GET", "/dicom-web/studies", headers={"Accept-Encoding": "gzip"}
        ) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert orjson.loads(gzip.decompress(raw)) == found(pictures, "/studies")
        plain = pictures.get("/dicom-web/studies", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers

    def test_a_validator_saves_the_body(self, pictures: TestClient) -> None:
        first = pictures.get("/dicom-web/studies?limit=3")
        again = {"If-None-Match": first.headers["etag"]}
        assert pictures.get("/dicom-web/studies?limit=3", headers=again).status_code == 304
        assert pictures.get("/dicom-web/studies?limit=4", headers=again).status_code == 200

    def test_rows_are_what_our_own_client_reads(self, pictures: TestClient) -> None:
        (row,) = [row_of(r) for r in found(pictures, "/studies", limit=1)]
        assert row["NumberOfStudyRelatedSeries"].isdigit()
        assert row["StudyDate"].isdigit()


class TestViewer:
    """What OHIF asks, and what it reads of the answers."""

    def test_the_list_of_studies(self, pictures: TestClient) -> None:
        answer = pictures.get(
            "/dicom-web/studies?limit=101&offset=0&fuzzymatching=false"
            "&includefield=00081030,00080060,00080090,00100030"
        )
        assert answer.headers["content-type"] == "application/dicom+json"
        for row in answer.json():
            for tag in ("0020000D", "00080020", "00080030", "00080050", "00100010", "00100020",
                        "00100030", "00201208", "00081030", "00080061", "00080090"):  # fmt: skip
                assert tag in row

    def test_prior_studies_of_a_patient(self, pictures: TestClient) -> None:
        patient = value(found(pictures, "/studies", limit=1)[0], "00100020")
        for key in ("00100020", "PatientID"):
            rows = found(pictures, "/studies", **{key: patient, "limit": 101})
            assert {value(row, "00100020") for row in rows} == {patient}

    def test_filters(self, pictures: TestClient) -> None:
        asked = {"PatientName": "*uppos*", "ModalitiesInStudy": "CT", "AccessionNumber": "*0*"}
        rows = found(pictures, "/studies", limit=101, StudyDate="19000101-20991231", **asked)
        assert rows
        assert all("CT" in row["00080061"]["Value"] for row in rows)

    def test_the_series_of_a_study(self, pictures: TestClient) -> None:
        study = value(found(pictures, "/studies", limit=1)[0], "0020000D")
        rows = found(
            pictures, f"/studies/{study}/series", includefield="00080021,00080031,0008103E,00200011"
        )
        for row in rows:
            for tag in ("0020000D", "0020000E", "00080060", "00200011", "00080021", "0008103E",
                        "00201209"):  # fmt: skip
                assert tag in row


def test_links_carry_the_address_that_a_trusted_proxy_tells(pictures_lake: Path) -> None:
    said = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "lake.example:8443",
        "X-Forwarded-Prefix": "/imaging/",
    }
    odd = {"X-Forwarded-Proto": "ftp", "X-Forwarded-Host": "a b", "X-Forwarded-Prefix": "//x"}
    for proxies, headers, root in (
        (("testclient",), said, "https://lake.example:8443/imaging/dicom-web/"),
        (("testclient",), odd, "http://localhost/dicom-web/"),
        ((), said, "http://localhost/dicom-web/"),
        (("10.0.0.1",), said, "http://localhost/dicom-web/"),
    ):
        settings = Settings(service=Service(proxies=proxies))
        with TestClient(app(pictures_lake, settings), base_url="http://localhost") as client:
            (row,) = client.get("/dicom-web/instances?limit=1", headers=headers).json()
            url = row["00081190"]["Value"][0]
            assert url.startswith(root)
            path = url.removeprefix(root)
            (header,) = client.get(f"/dicom-web/{path}/metadata", headers=headers).json()
            links = [e["BulkDataURI"] for e in header.values() if "BulkDataURI" in e]
            assert all(link.startswith(root) for link in links)


def test_objects_without_a_study_have_no_address(tmp_path: Path) -> None:
    lost = {k: v for k, v in image().items() if k != "StudyInstanceUID"}
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lost.dcm").write_bytes(encode(dataset(lost)))
    (tmp_path / "files" / "good.dcm").write_bytes(
        encode(image(SOPInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", StudyInstanceUID="1.2.5"))
    )
    index([tmp_path / "files"], tmp_path / "lake", workers=1)
    with TestClient(app(tmp_path / "lake", Settings()), base_url="http://localhost") as pictures:
        for level, uid in (("studies", "1.2.5"), ("series", "1.2.4"), ("instances", "1.2.3")):
            assert [value(row, UIDS[level]) for row in found(pictures, f"/{level}")] == [uid]


def test_samples_of_other_projects(corpus_web: TestClient) -> None:
    for path in ("/studies", "/series", "/instances"):
        for field in ("", "all") if path == "/series" else ("",):
            total = int(corpus_web.get(f"/dicom-web{path}").headers["x-total-count"])
            rows = [r for page in pages(corpus_web, path, 150, includefield=field) for r in page]
            assert len({value(row, UIDS[path.strip("/")]) for row in rows}) == total == len(rows)


NAMES = st.sampled_from(
    ["PatientName", "00100010", "StudyDate", "StudyTime", "AcquisitionDateTime", "Modality",
     "ModalitiesInStudy", "KVP", "PatientAge", "00400275.00400009", "*.EchoTime", "limit",
     "offset", "includefield", "fuzzymatching", "00091002", '(0009,"GEMS_IDEN_01",02)',
     "StudyInstanceUID", "NumberOfStudyRelatedSeries", "PixelData", "SOPInstanceUID",
     "AvailableTransferSyntaxUID", "SelectorUNValue", "00020010", "InstanceNumber"]
) | st.text(max_size=12)  # fmt: skip
VALUES = st.text(max_size=20) | st.from_regex(r"[0-9*?\\,:.\-+\"]{0,24}", fullmatch=True)


@profile(max_examples=250)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.sampled_from(["studies", "series"]))
def test_no_query_breaks_the_service(
    pictures: TestClient, params: list[tuple[str, str]], level: str
) -> None:
    encodable = [(n, v.encode("utf-8", "ignore").decode()) for n, v in params]
    answer = pictures.get(f"/dicom-web/{level}", params=[*encodable, ("limit", "3")])
    assert answer.status_code in (200, 400), answer.text


@given(st.text(max_size=40))
def test_lists_and_names_are_read_or_refused(text: str) -> None:
    assert "".join(split(text)).count(",") <= text.count(",")
    with contextlib.suppress(UsageError):
        assert paths_of(text, lambda group, element: [])


def test_a_search_is_a_condition() -> None:
    found = search_of(
        [("Modality", "CT"), ("limit", "5"), ("includefield", "KVP")],
        [("StudyInstanceUID", "1.2")],
        lambda group, element: [],
        lambda path, words: [],
    )
    assert (found.limit, found.offset, found.fields) == (5, 0, ("KVP", "Modality"))
