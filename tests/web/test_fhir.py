"""The FHIR endpoint answers what the lake holds, and nothing else, to those who may ask."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from dicomlake.api import Lake
from dicomlake.jobs.fhir.making import Maker
from dicomlake.jobs.fhir.sites import site_of
from dicomlake.jobs.fhir.targets import study_ids
from dicomlake.settings import Project, Pseudonyms, Settings
from dicomlake.web.fhir import answers, finding

from .guarded import HIDDEN, MARK, STUDY, House, copied, house, make_lake
from .guarded import settings as guarded
from .serving import served

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
ACCEPT = {"accept": "application/fhir+json"}


@pytest.fixture(scope="module")
def site(hospital_lake: Path) -> Iterator[str]:
    with served(hospital_lake) as address:
        yield f"{address}/fhir"


@pytest.fixture(scope="module")
def client(site: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site, headers=ACCEPT, trust_env=False, timeout=60) as made:
        yield made


def ask(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json; fhirVersion=4.0")
    found: dict[str, Any] = answer.json()
    return found


def every(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    """All resources of all pages."""
    page = ask(client, path, **params)
    found = []
    while True:
        found += [e["resource"] for e in page.get("entry", ()) if e["search"]["mode"] == "match"]
        links = {link["relation"]: link["url"] for link in page["link"]}
        if "next" not in links:
            return found
        page = client.get(links["next"]).json()


def uids(resources: list[dict[str, Any]]) -> set[str]:
    return {
        i["value"].removeprefix("urn:oid:")
        for one in resources for i in one["identifier"] if i.get("system") == "urn:dicom:uid"
    }  # fmt: skip


def studies(lake: Lake, where: str | None = None) -> set[str]:
    rows = lake.query(where, level="study", show=["StudyInstanceUID"]).rows
    return set(rows.column("StudyInstanceUID").to_pylist())


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    told = answer.json()
    assert told["resourceType"] == "OperationOutcome"
    words: str = told["issue"][0]["diagnostics"]
    return words


def test_it_says_what_it_can_do(client: httpx.Client) -> None:
    told = ask(client, "/metadata")
    assert (told["resourceType"], told["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    there = {one["type"]: one for one in told["rest"][0]["resource"]}
    names = {param["name"] for param in there["ImagingStudy"]["searchParam"]}
    assert {"modality", "bodysite", "started", "patient", "study-modality-body-site"} <= names
    for type_, said in there.items():
        for param in said["searchParam"]:
            value = {"date": "2024", "reference": "x", "composite": "a$b"}.get(param["type"], "x")
            assert client.get(f"/{type_}", params={param["name"]: value}).status_code == 200


def test_all_studies_come_page_by_page(client: httpx.Client, whole: Lake) -> None:
    found = every(client, "/ImagingStudy", _count=3)
    assert len(found) == len(studies(whole))
    assert uids(found) == studies(whole)
    assert ask(client, "/ImagingStudy", _count=3)["total"] == len(found)
    counted = ask(client, "/ImagingStudy", _summary="count")
    assert (counted["total"], "entry" in counted) == (len(found), False)
    assert ask(client, "/ImagingStudy", _count=0)["total"] == len(found)


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"modality": "CT"}, "Modality = 'CT'"),
        ({"modality": f"{DCM}|MR"}, "Modality = 'MR'"),
        ({"modality": "MR,CT"}, "Modality in ('MR', 'CT')"),
        ({"modality": "http://other|MR"}, "Modality = 'none'"),
        ({"started": "ge2020"}, "StudyDate >= 2020-01-01"),
        ({"started": "2021"}, "StudyDate between 2021-01-01 and 2021-12-31"),
        ({"started": "lt2020-06"}, "StudyDate < 2020-06-01"),
        ({"started": "gt2020-06-15"}, "StudyDate > 2020-06-15"),
        ({"started": "ne2021"}, "StudyDate < 2021-01-01 or StudyDate > 2021-12-31"),
        ({"started": ["ge2019", "le2022"]}, "StudyDate between 2019-01-01 and 2022-12-31"),
        ({"modality": "CT", "started": "ge2020"}, "Modality = 'CT' and StudyDate >= 2020-01-01"),
        ({"status": "available"}, None),
        ({"status": "cancelled"}, "Modality = 'none'"),
        ({"dicom-class": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
         "SOPClassUID = '1.2.840.10008.5.1.4.1.1.2'"),
        ({"bodysite": f"{SCT}|12738006"}, "BodyPartExamined = 'BRAIN'"),
        ({"study-modality-body-site": f"{DCM}|MR${SCT}|12738006"},
         "same(series, Modality = 'MR' and BodyPartExamined = 'BRAIN')"),
        ({"study-modality-body-site": "MR,12738006"},
         "same(series, Modality = 'MR' and BodyPartExamined = 'BRAIN')"),
    ],
)  # fmt: skip
def test_searches_find_what_questions_find(
    client: httpx.Client, whole: Lake, params: dict[str, Any], where: str | None
) -> None:
    found = every(client, "/ImagingStudy", _count=50, **params)
    assert uids(found) == studies(whole, where)
    assert ask(client, "/ImagingStudy", _summary="count", **params)["total"] == len(found)


def test_moments_are_compared_with_the_time_of_day(client: httpx.Client, whole: Lake) -> None:
    rows = whole.query(None, level="study", show=["StudyInstanceUID", "StudyDate", "StudyTime"])
    began = {
        row["StudyInstanceUID"]: f"{row['StudyDate']}T{row['StudyTime'][:2]}:"
        f"{row['StudyTime'][2:4]}:{row['StudyTime'][4:6] or '00'}"
        for row in rows.rows.to_pylist() if row["StudyDate"] and row["StudyTime"]
    }  # fmt: skip
    middle = sorted(began.values())[len(began) // 2]
    for prefix, keep in (
        ("lt", lambda t: t < middle), ("ge", lambda t: t >= middle), ("gt", lambda t: t > middle),
        ("eq", lambda t: t == middle), ("le", lambda t: t <= middle),
    ):  # fmt: skip
        found = uids(every(client, "/ImagingStudy", started=f"{prefix}{middle}", _count=100))
        assert found & set(began) == {uid for uid, when in began.items() if keep(when)}, prefix


def test_a_study_is_found_by_what_identifies_it(client: httpx.Client, whole: Lake) -> None:
    show = ["StudyInstanceUID", "AccessionNumber", "PatientID", "SeriesInstanceUID"]
    rows = whole.query("AccessionNumber exists", show=show).rows.to_pylist()
    row = next(r for r in rows if r["PatientID"])
    uid = row["StudyInstanceUID"]
    for params in (
        {"identifier": f"urn:dicom:uid|urn:oid:{uid}"}, {"identifier": f"urn:oid:{uid}"},
        {"identifier": uid}, {"series": row["SeriesInstanceUID"]},
    ):  # fmt: skip
        assert uids(every(client, "/ImagingStudy", **params)) == {uid}
    by_number = uids(every(client, "/ImagingStudy", identifier=row["AccessionNumber"]))
    assert uid in by_number
    mine = studies(whole, f"PatientID = '{row['PatientID']}'")
    by_person = {"patient.identifier": row["PatientID"]}
    assert uids(every(client, "/ImagingStudy", **by_person)) == mine
    (study,) = every(client, "/ImagingStudy", identifier=uid)
    person = study["subject"]["reference"]
    for value in (person, person.partition("/")[2], f"http://x/fhir/{person}"):
        assert uids(every(client, "/ImagingStudy", patient=value)) == mine
    for one in study["identifier"]:
        value = f"{one['system']}|{one['value']}"
        assert uid in uids(every(client, "/ImagingStudy", identifier=value))
        other = f"http://other|{one['value']}"
        assert every(client, "/ImagingStudy", identifier=other) == []
    known = ask(client, f"/{person}")["identifier"][0]
    for system, there in ((known["system"], True), ("http://other", False)):
        value = f"{system}|{known['value']}"
        assert bool(every(client, "/Patient", identifier=value)) is there
        by_person = {"subject:Patient.identifier": value}
        assert (uids(every(client, "/ImagingStudy", **by_person)) == mine) is there
    (found,) = every(client, "/Patient", identifier=row["PatientID"])
    assert f"Patient/{found['id']}" == person


def test_every_resource_is_read_by_its_id(client: httpx.Client) -> None:
    bundle = ask(client, "/ImagingStudy", _include="ImagingStudy:patient", _count=5)
    modes = [entry["search"]["mode"] for entry in bundle["entry"]]
    assert modes.count("match") == 5
    assert modes.count("include") >= 1
    pointed = {e["resource"]["subject"]["reference"] for e in bundle["entry"][:5]}
    included = {f"Patient/{e['resource']['id']}" for e in bundle["entry"][5:]}
    assert included == pointed
    for entry in bundle["entry"]:
        answer = client.get(entry["fullUrl"])
        assert answer.json() == entry["resource"]
    for type_ in ("Device", "Observation", "DiagnosticReport"):
        for one in every(client, f"/{type_}", _count=7):
            assert ask(client, f"/{type_}/{one['id']}")["id"] == one["id"]
            assert every(client, f"/{type_}", _id=one["id"]) != []


def test_pages_of_what_hangs_on_studies_hold_each_once(client: httpx.Client, whole: Lake) -> None:
    made = Maker(whole.store, site_of(whole.path, Settings()), "R4").all(types=("Observation",))
    ids = [one["id"] for one in every(client, "/Observation", _count=4)]
    assert len(ids) == len(set(ids))
    assert set(ids) == {one.id for one in made if one.type == "Observation"}
    assert ask(client, "/Observation", _summary="count")["total"] == len(ids) > 10
    mine = ask(client, f"/Observation/{ids[0]}")
    person = mine["subject"]["reference"]
    assert ids[0] in {one["id"] for one in every(client, "/Observation", patient=person, _count=7)}
    code = mine["code"]["coding"][0]
    for value in (code["code"], f"{code['system']}|{code['code']}"):
        found = every(client, "/Observation", code=value)
        assert ids[0] in {one["id"] for one in found}
        assert all(code in one["code"]["coding"] for one in found)


def test_ids_of_studies_are_known_without_making_them(whole: Lake) -> None:
    maker = Maker(whole.store, site_of(whole.path, Settings()), "R4")
    made = {one.id: one.study_key for one in maker.all(types=("ImagingStudy",))}
    assert dict(study_ids(whole.store, Settings(), maker)) == made


def test_parts_of_bodies_and_sides_are_found_that_resources_show(client: httpx.Client) -> None:
    for name, element in (("bodysite", "bodySite"), ("laterality", "laterality")):
        shown: dict[str, set[str]] = {}
        for study in every(client, "/ImagingStudy", _count=100):
            for series in study["series"]:
                if element in series:
                    shown.setdefault(series[element]["code"], set()).add(study["id"])
        assert shown or name == "laterality"
        for code, ids in shown.items():
            found = {one["id"] for one in every(client, "/ImagingStudy", **{name: code})}
            assert ids <= found, code


def test_pages_that_take_long_end_with_a_link(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [one["id"] for one in every(client, "/Observation", _count=1000)]
    monkeypatch.setattr(answers, "LONGEST_S", 0.0)
    monkeypatch.setattr(finding, "STEP", 2)
    page = ask(client, "/Observation", _count=1000)
    assert len(page.get("entry", ())) < len(ids)
    assert "total" not in page
    assert [one["id"] for one in every(client, "/Observation", _count=1000)] == ids


def test_elements_leave_the_rest_out(client: httpx.Client) -> None:
    entry = ask(client, "/ImagingStudy", _elements="subject,status", _count=1)["entry"][0]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "status", "subject"}
    assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_what_came_since_a_moment(client: httpx.Client, whole: Lake) -> None:
    first = ask(client, "/ImagingStudy", _count=1)["entry"][0]["resource"]
    when = first["meta"]["lastUpdated"]
    total = len(studies(whole))
    for params, expected in (
        ({"_lastUpdated": "ge2000"}, total), ({"_lastUpdated": "lt2000"}, 0),
        ({"_since": "2000-01-01T00:00:00Z"}, total), ({"_since": "2100-01-01T00:00:00Z"}, 0),
    ):  # fmt: skip
        assert ask(client, "/ImagingStudy", _summary="count", **params)["total"] == expected
    assert first["id"] in {
        o["id"] for o in every(client, "/ImagingStudy", _lastUpdated=f"ge{when}")
    }


def test_the_release_is_chosen_by_the_caller(client: httpx.Client) -> None:
    answer = client.get("/metadata", headers={"accept": "application/fhir+json; fhirVersion=5.0"})
    assert answer.json()["fhirVersion"] == "5.0.0"
    assert "fhirVersion=5.0" in answer.headers["content-type"]
    for accept in ("application/fhir+json; fhirVersion=3.0", "application/fhir+xml", "text/html"):
        refused(client.get("/ImagingStudy", headers={"accept": accept}), 406)


def test_segments_are_selections_in_r5_alone(client: httpx.Client) -> None:
    r5 = {"accept": "application/fhir+json; fhirVersion=5.0"}
    assert "BodyStructure" in refused(client.get("/ImagingSelection"), 404)
    all_ = client.get("/ImagingSelection", headers=r5, params={"_count": 1000}).json()
    selections = [entry["resource"] for entry in all_["entry"]]
    assert {one["resourceType"] for one in selections} == {"ImagingSelection"}
    first = selections[0]
    ids = {one["id"] for one in selections if one["derivedFrom"] == first["derivedFrom"]}
    assert 0 < len(ids) < len(selections)
    for name, value in (
        ("derived-from", first["derivedFrom"][0]["reference"]), ("study-uid", first["studyUid"])
    ):  # fmt: skip
        found = client.get("/ImagingSelection", headers=r5, params={name: value}).json()
        assert {entry["resource"]["id"] for entry in found["entry"]} == ids, name
    assert client.get(f"/ImagingSelection/{first['id']}", headers=r5).json()["id"] == first["id"]
    told = client.get("/metadata", headers=r5).json()["rest"][0]["resource"]
    assert "ImagingSelection" in {one["type"] for one in told}


def test_searching_by_a_form(client: httpx.Client, whole: Lake) -> None:
    answer = client.post("/ImagingStudy/_search", data={"modality": "CT", "_count": "1000"})
    found = [entry["resource"] for entry in answer.json()["entry"]]
    assert uids(found) == studies(whole, "Modality = 'CT'")
    refused(client.post("/ImagingStudy/_search", json={"modality": "CT"}), 415)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/Nothing", 404), ("/ImagingStudy/none", 404), ("/ImagingStudy/a%20b", 404),
        ("/ImagingStudy/" + "x" * 5000, 404), ("/ImagingStudy?modalty=CT", 400),
        ("/ImagingStudy?started=yesterday", 400), ("/ImagingStudy?started=2024-13", 400),
        ("/ImagingStudy?started=9999-12-31", 400), ("/ImagingStudy?started=0000", 400),
        ("/ImagingStudy?modality=", 400), ("/ImagingStudy?modality=DCM%7C", 400),
        ("/ImagingStudy?patient=Device/1", 400), ("/ImagingStudy?patient=a%20b", 400),
        ("/ImagingStudy?_count=-1", 400), ("/ImagingStudy?_count=1e9", 400),
        ("/ImagingStudy?_count=" + "9" * 50, 400), ("/ImagingStudy?_page=x'; drop", 400),
        ("/ImagingStudy?_page=" + "9" * 20, 400), ("/ImagingStudy?_include=Patient:link", 400),
        ("/ImagingStudy?_summary=data", 400), ("/ImagingStudy?_elements=../x", 400),
        ("/ImagingStudy?_format=xml", 400), ("/ImagingStudy?_lastUpdated=now", 400),
        ("/ImagingStudy?study-modality-body-site=MR", 400), ("/$export", 400),
        ("/ImagingStudy?bodysite=%00", 200), ("/ImagingStudy?identifier=%27%20or%201=1", 200),
        ("/$export-status/%2e%2e%2fetc%2fpasswd", 404), ("/$export-status/none", 404),
        ("/$export-file/none/x", 404), ("/Patient/x/y/z", 404), ("/metadata/x", 404),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    if status == 200:
        assert answer.json()["total"] == 0
    else:
        words = refused(answer, status)
        assert "Traceback" not in words
        assert len(answer.content) < 5000


def test_nothing_is_written_here(client: httpx.Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        path = "/Patient" if method == "POST" else "/Patient/1"
        refused(client.request(method, path, json={}), 405)


# Bulk data


def exported(client: httpx.Client, path: str = "/$export") -> dict[str, list[dict[str, Any]]]:
    answer = client.get(path, headers={"prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    where, until = answer.headers["content-location"], time.monotonic() + 60
    while (told := client.get(where)).status_code == 202:
        assert told.headers["x-progress"]
        assert time.monotonic() < until
        time.sleep(0.02)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in told.json()["output"]:
        lines = client.get(one["url"]).content.splitlines()
        assert len(lines) == one["count"]
        found.setdefault(one["type"], []).extend(map(orjson.loads, lines))
    assert client.delete(where).status_code == 202
    refused(client.get(where), 404)
    return found


def test_everything_is_exported_as_lines(client: httpx.Client, whole: Lake) -> None:
    found = exported(client)
    assert uids(found["ImagingStudy"]) == studies(whole)
    assert len({one["id"] for one in found["Patient"]}) == len(found["Patient"])
    there = {f"{o['resourceType']}/{o['id']}" for listed in found.values() for o in listed}
    assert {one["subject"]["reference"] for one in found["ImagingStudy"]} <= there


def test_exports_of_some_types_and_since_a_moment(client: httpx.Client) -> None:
    assert set(exported(client, "/$export?_type=Patient,Device")) == {"Patient", "Device"}
    assert exported(client, "/$export?_since=2100-01-01T00:00:00Z") == {}
    assert "ImagingStudy" in exported(client, "/$export?_since=2000-01-01T00:00:00Z")
    for path in ("/$export?_type=Bundle", "/$export?_since=x", "/$export?_outputFormat=csv"):
        refused(client.get(path, headers={"prefer": "respond-async"}), 400)


# Who may


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("hiding"))


@pytest.fixture
def inside(hiding: Path, tmp_path: Path) -> Iterator[House]:
    with house(copied(hiding, tmp_path)) as made:
        yield made


def test_only_those_who_may_read_are_answered(inside: House) -> None:
    assert inside.get("viewer", "/fhir/metadata").status_code == 200
    assert inside.client.get("/fhir/metadata").status_code == 401
    for path in ("/fhir/ImagingStudy", "/fhir/Patient/1", "/fhir/$export"):
        refused(inside.client.get(path), 401)
        refused(inside.get("viewer", path), 403)


def test_a_project_sees_nothing_of_other_series(inside: House) -> None:
    for path in ("ImagingStudy", "Patient", "Device", "Observation"):
        answer = inside.get("researcher", f"/fhir/{path}", _count=1000)
        assert answer.status_code == 200
        for hidden in (MARK, HIDDEN, "2.25.666"):
            assert hidden not in answer.text
        ids = {entry["resource"]["id"] for entry in answer.json()["entry"]}
        more = inside.get("steward", f"/fhir/{path}", _count=1000).json()["entry"]
        others = {entry["resource"]["id"] for entry in more} - ids
        assert others or path in ("Device", "Observation")
        for id_ in others:
            refused(inside.get("researcher", f"/fhir/{path}/{id_}"), 404)
            assert "entry" not in inside.get("researcher", f"/fhir/{path}", _id=id_).json()
    query = {"identifier": f"urn:dicom:uid|urn:oid:{STUDY}"}
    (entry,) = inside.get("researcher", "/fhir/ImagingStudy", **query).json()["entry"]
    assert len(entry["resource"]["series"]) == 1


def test_exports_are_seen_by_who_asked_for_them(inside: House) -> None:
    started = inside.ask(
        "researcher", "GET", "/fhir/$export", headers={"prefer": "respond-async"}
    )  # fmt: skip
    where = urlsplit(started.headers["content-location"]).path
    until = time.monotonic() + 60
    while (told := inside.get("researcher", where)).status_code == 202:
        assert time.monotonic() < until
        time.sleep(0.02)
    for one in told.json()["output"]:
        path = urlsplit(one["url"]).path
        assert MARK not in inside.get("researcher", path).text
        refused(inside.get("researcher of all", path), 404)
    refused(inside.get("steward", where), 404)
    refused(inside.ask("steward", "DELETE", where), 404)


def test_exports_end_with_their_service(hiding: Path, tmp_path: Path) -> None:
    lake = copied(hiding, tmp_path)
    with house(lake) as made:
        made.ask("steward", "GET", "/fhir/$export", headers={"prefer": "respond-async"})
        assert list((lake / "_access" / "exports").iterdir())
    assert list((lake / "_access" / "exports").iterdir()) == []


def test_there_are_not_too_many_exports(inside: House) -> None:
    prefer = {"headers": {"prefer": "respond-async"}}
    for _ in range(100):
        answer = inside.ask("steward", "GET", "/fhir/$export", **prefer)
        if answer.status_code == 429:
            break
    refused(answer, 429)


def test_a_project_may_see_pseudonyms_alone(hiding: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40)
    given = {"study": Pseudonyms(key_file=tmp_path / "key")}
    changed = guarded().model_dump(exclude={"pseudonyms", "project"})
    made = Settings(
        **changed, pseudonyms=given,
        project={"open": Project(pseudonyms="study", filter=guarded().project["open"].filter),
                 "all": Project()},
    )  # fmt: skip
    with house(copied(hiding, tmp_path), made) as inside:
        plain = inside.get("researcher of all", "/fhir/Patient", _count=1000)
        known = {
            i["value"] for e in plain.json()["entry"] for i in e["resource"].get("identifier", ())
        }
        ids = {entry["resource"]["id"] for entry in plain.json()["entry"]}
        assert known
        for path in ("Patient", "ImagingStudy", "Observation", "Device"):
            answer = inside.get("researcher", f"/fhir/{path}", _count=1000)
            entries = answer.json()["entry"]
            assert not any(f'"{value}"' in answer.text for value in known)
            assert ids.isdisjoint(entry["resource"]["id"] for entry in entries)
            one = entries[0]["resource"]
            again = inside.get("researcher", f"/fhir/{path}/{one['id']}").json()
            assert again == one
        for path in ("Patient?identifier=x", "ImagingStudy?identifier=x",
                     "ImagingStudy?patient.identifier=x", "ImagingStudy?started=2024"):  # fmt: skip
            refused(inside.get("researcher", f"/fhir/{path}"), 400)
        found = inside.get("researcher", "/fhir/ImagingStudy", modality="MR").json()["entry"]
        person = found[0]["resource"]["subject"]["reference"]
        assert inside.get("researcher", "/fhir/ImagingStudy", patient=person).json()["total"] >= 1


def test_a_lake_that_is_gone_is_told(hiding: Path, tmp_path: Path) -> None:
    lake = copied(hiding, tmp_path)
    with house(lake) as made:
        shutil.rmtree(lake / "series")
        words = refused(made.get("steward", "/fhir/ImagingStudy"), 503)
        assert str(lake) not in words
