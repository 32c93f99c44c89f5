"""Who is to see nobody sees nobody, whatever is asked; and all else."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient

from dicomlake import tables
from dicomlake.contracts.deid import Unresolved
from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import DEIDENTIFIED, Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.views import bring_up
from dicomlake.jobs.index import index
from dicomlake.query.attributes import fields
from dicomlake.testing.dicom import encode, image
from dicomlake.web import app
from dicomlake.web.access.needs import declared
from dicomlake.web.dicomweb.shelf import problems
from dicomlake.web.problems import Failed

from ..planted import INSTANCE, MARK, ROOT, SERIES, STUDY, make_lake, planted, secrets
from . import guarded
from .guarded import House
from .serving import served
from .test_access_projects import requests
from .unnamed import reveals, settings, unnamed

WHO = "researcher of all"
QUESTIONS: list[Any] = [
    None,
    "Modality = 'MR'",
    f"PatientName = '{MARK}^Ann'",
    f"StudyDescription contains '{MARK}'",
    f"StudyInstanceUID = '{STUDY}'",
    '(0029,"QZ HEADER",08) exists',
]
STATEMENTS = [
    "select * from series",
    "select * from instances",
    "select * from elements",
    "select * from items",
    "select * from failures",
    "select * from files",
    "select * from runs",
    "select * from vocabulary",
    "select * from vocabulary_values",
    "select header from instances",
    "select * from clinical_events",
    "select * from documents",
]
COLUMNS = [
    f"{root}.{name}"
    for root, table in (("fact", tables.CLINICAL_EVENTS), ("document", tables.DOCUMENTS))
    for name in table.names
    if name in fields(root)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("unnamed"))


@pytest.fixture(scope="module")
def inside(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with unnamed(made, tmp_path_factory.mktemp("keys")) as found:
        yield found


@pytest.fixture(scope="module")
def said(made: Path) -> list[str]:
    return secrets(made)


@pytest.fixture(scope="module")
def new(inside: House) -> dict[str, str]:
    """What the UIDs are called that walks ask for."""
    asked = {"Modality": "MR", "includefield": "all", "limit": 1000}
    rows = inside.get("admin", "/dicom-web/instances", **asked).json()
    at = next(n for n, row in enumerate(rows) if row["00080018"]["Value"][0] == INSTANCE)
    sort = rows[at]["00200013"]["Value"][0], rows[at]["00280010"]["Value"][0]
    mine = inside.get(WHO, "/dicom-web/instances", **asked).json()
    assert len(mine) == len(rows)
    one = next(
        row for row in mine
        if (row["00200013"]["Value"][0], row["00280010"]["Value"][0]) == sort
    )  # fmt: skip
    tags = {guarded.STUDY: "0020000D", guarded.SEEN: "0020000E", guarded.SEEN_INSTANCE: "00080018"}
    return {old: one[tag]["Value"][0] for old, tag in tags.items()}


def walk(new: dict[str, str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Requests that might tell of a person; those of projects with other UIDs."""

    def other(text: str) -> str:
        for old in sorted(new, key=len, reverse=True):
            text = text.replace(old, new[old])
        return text

    for route, method, path, more in requests():
        yield route, method, other(path), json.loads(other(json.dumps(more)))
    for level in ("patient", "study", "series", "instance"):
        for where in QUESTIONS:
            shown = [
                "PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "StudyID",
                "StudyDescription", "SeriesDescription", "StudyInstanceUID", "ProtocolName",
                "InstitutionName", "*.PatientID", "SOPInstanceUID",
            ]  # fmt: skip
            body = {"where": where, "level": level, "show": shown}
            yield "/api/query", "POST", "/api/query", {"json": {**body, "limit": 10_000}}
            for form in ("csv", "ndjson", "parquet", "xlsx"):
                more = {"json": body, "params": {"format": form}}
                yield "/api/query/export", "POST", "/api/query/export", more
    for where in ("fact exists", "document exists", f"fact.text contains '{MARK}'"):
        body = {"where": where, "level": "patient", "show": [*COLUMNS, "fact", "document"]}
        yield "/api/query", "POST", "/api/query", {"json": body}
        more = {"json": {**body, "level": "study"}, "params": {"format": "csv"}}
        yield "/api/query/export", "POST", "/api/query/export", more
    for statement in STATEMENTS:
        yield "/api/sql", "POST", "/api/sql", {"json": {"sql": statement, "limit": 10_000}}
    for word in (MARK, MARK.lower(), "street", "1931"):
        found = {"params": {"search": word}}
        yield "/api/vocabulary", "GET", "/api/vocabulary", found


@pytest.mark.parametrize("who", [WHO, "viewer", "researcher"])
def test_no_answer_tells_of_a_person(
    inside: House, new: dict[str, str], said: list[str], who: str
) -> None:
    found, good = {}, 0
    for _, method, path, more in walk(new):
        answer = inside.ask(who, method, path, **more)
        assert answer.status_code < 500, (path, more, answer.text)
        good += answer.status_code == 200
        asked = json.dumps(more) + path
        told = [one for one in reveals(answer.content, said) if one not in asked]
        if told:
            found[f"{method} {path} {more}"] = told[:5]
    assert found == {}
    assert good > (20 if who == "viewer" else 200)


def test_what_is_not_of_the_view_is_not_for_them(
    inside: House, made: Path, tmp_path: Path, new: dict[str, str]
) -> None:
    walked = {(method, route) for route, method, _, _ in walk(new)}
    missing = []
    for method, path, needed in declared(app(made, settings(tmp_path))):
        if needed <= DEIDENTIFIED:  # walked
            continue
        filled = path.replace("{", "").replace("}", "").replace(":path", "")
        answer = inside.ask(WHO, method, filled, **({"json": {}} if method != "GET" else {}))
        if answer.status_code not in (403, 404, 422):
            missing.append((method, path, answer.status_code))
    assert missing == []
    assert len(walked) > 40


def test_facts_are_asked_as_in_the_lake(inside: House, said: list[str]) -> None:
    """Their codes, numbers and moments are there; who wrote what about whom is not."""
    sql = 'select * from clinical_events where "PatientID" in (select "PatientID" from series)'
    rows = inside.post(WHO, "/api/sql", {"sql": sql}).json()["rows"]
    text = json.dumps(rows)
    for code in ("SCT:90470006", "99HOUSE:7", "LN:2857-1"):
        assert code in text
    assert "OPS:5-604" not in text  # the order is of two patients
    assert "2014-05-03" in text
    for where in ("fact.code within SCT:90470006 and Modality = 'MR'", "document exists"):
        body = {"where": where, "level": "patient"}
        here, there = (
            inside.post(who, "/api/query/count", body).json()["totals"] for who in (WHO, "admin")
        )
        assert here == there
        assert here["patients"] == 1
    for where in (f"fact.text contains '{MARK}'", f"document.text contains '{MARK}'"):
        body = {"where": where, "level": "patient"}
        assert inside.post("admin", "/api/query/count", body).json()["totals"]["patients"] == 1
        assert inside.post(WHO, "/api/query/count", body).json()["totals"]["patients"] == 0
    keys = "select distinct patient_key from clinical_events where code = 'SCT:90470006'"
    ((key,),) = inside.post(WHO, "/api/sql", {"sql": keys}).json()["rows"]
    answer = inside.get(WHO, f"/api/patients/{key}/timeline")
    lanes = [one["lane"] for one in answer.json()["events"]]
    assert {"study", "procedure", "condition", "observation", "document"} <= set(lanes)
    assert "patient" not in lanes
    assert not reveals(answer.content, said)


def test_dicomweb_by_new_uids(inside: House, said: list[str]) -> None:
    answer = inside.get(WHO, "/dicom-web/series", includefield="all", limit=1000)
    assert not reveals(answer.content, said)
    whole = inside.get("admin", "/dicom-web/series", includefield="all", limit=1000)
    assert len(answer.json()) == len(whole.json()) > 3
    assert reveals(whole.content, said)
    for one in answer.json():
        study, series = one["0020000D"]["Value"][0], one["0020000E"]["Value"][0]
        path = f"/dicom-web/studies/{study}/series/{series}"
        metadata = inside.get(WHO, f"{path}/metadata")
        assert metadata.status_code == 200
        assert not reveals(metadata.content, said)
        objects = inside.ask(WHO, "GET", path, headers={"accept": "*/*"})
        assert objects.status_code == 200, objects.text
        assert not reveals(objects.content, said)
    old = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
    assert inside.get(WHO, old).status_code == 404
    assert inside.get("admin", old).status_code == 200


def test_pseudonyms_are_for_administrators(inside: House, made: Path) -> None:
    asked = {"people": [{"PatientID": f"{MARK}-1"}], "name": "study"}
    for who in (WHO, "steward", "viewer"):
        assert inside.post(who, "/api/pseudonyms", asked).status_code == 403
        back = {"pseudonyms": ["X"], "name": "study"}
        assert inside.post(who, "/api/pseudonyms/back", back).status_code == 403
    (given,) = inside.post("admin", "/api/pseudonyms", asked).json()
    found = inside.get(WHO, "/dicom-web/studies", PatientID=given["pseudonym"]).json()
    assert len(found) == 1
    back = {"pseudonyms": [given["pseudonym"], "NOBODY"], "name": "study"}
    first, second = inside.post("admin", "/api/pseudonyms/back", back).json()
    assert (first, second["PatientID"]) == (given, None)
    log = (made / "_access" / "audit.jsonl").read_text()
    lines = [line for line in log.splitlines() if "pseudonyms" in line]
    assert any(given["pseudonym"] in line for line in lines)
    assert not any(MARK in line for line in lines)


def test_a_project_of_another_key_has_no_value_in_common(inside: House) -> None:
    secret = inside.tokens.add("elsewhere", Role.steward, "elsewhere")
    headers = {"authorization": f"Bearer {secret}"}
    rows = {}
    for name, more in (("mine", {}), ("theirs", headers)):
        path = "/dicom-web/instances?includefield=all&limit=1000"
        answer = inside.client.get(path, headers=more) if more else inside.get(WHO, path)
        tags = ("0020000D", "0020000E", "00080018", "00100020")
        rows[name] = {row[tag]["Value"][0] for row in answer.json() for tag in tags}
    assert len(rows["mine"]) == len(rows["theirs"]) > 100
    assert rows["mine"] & rows["theirs"] == set()


def test_a_view_follows_its_lake(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    with unnamed(lake, tmp_path) as house:
        before = house.get(WHO, "/api/lake").json()["totals"]
        more = image(**planted(SOPInstanceUID=f"{ROOT}.1.1.2", InstanceNumber=2))
        (tmp_path / "files" / MARK / "more.dcm").write_bytes(encode(more))
        (tmp_path / "files" / MARK / f"{MARK}_3.dcm").unlink()
        index([tmp_path / "files"], lake, workers=1, prune=True)
        after, until = before, time.monotonic() + 120
        while after["series"] == before["series"] and time.monotonic() < until:
            time.sleep(0.5)  # it is looked for once a second, and shown when it is ready
            after = house.get(WHO, "/api/lake").json()["totals"]
    assert after["instances"] == before["instances"]
    assert after["series"] == before["series"] - 1


def test_cohorts_of_the_lake_are_not_seen(inside: House, made: Path) -> None:
    """A cohort of the lake holds PatientIDs and UIDs as they are."""
    new = {"name": f"{MARK.lower()}-cohort", "where": "Modality = 'MR'", "level": "series"}
    answer = inside.post("admin", "/api/cohorts", new)
    assert answer.status_code in (200, 201), answer.text
    assert inside.post(WHO, "/api/cohorts", new).status_code == 403
    assert MARK.lower() in inside.get("admin", "/api/cohorts").text
    for end in (
        "",
        f"/{new['name']}",
        *(f"/{new['name']}/{e}" for e in ("series", "check", "news")),
    ):
        seen = inside.get(WHO, f"/api/cohorts{end}")
        assert seen.status_code in (200, 404), end
        assert MARK.lower() not in seen.text.replace(new["name"] if end else "", "")


def test_another_client_reads_a_study(made: Path, said: list[str], tmp_path: Path) -> None:
    """dicomweb-client finds it, and gets metadata, objects and frames."""
    token = Tokens(made).add("client", Role.researcher)
    found = settings(tmp_path)
    bring_up(made, door_of(found, found.service.deidentify.profile, "study"))
    with served(made, found) as address:
        headers = {"Authorization": f"Bearer {token}"}
        client = DICOMwebClient(f"{address}/dicom-web", headers=headers)
        rows = client.search_for_series(search_filters={"Modality": "MR"}, fields=["Rows"])
        uids = [[row[tag]["Value"][0] for tag in ("0020000D", "0020000E")] for row in rows]
        for study, series in uids:
            found = client.retrieve_series_metadata(study, series)
            assert not reveals(json.dumps(found).encode(), said)
            if any("7FE00010" in one for one in found):
                break
        objects = client.retrieve_series(study, series)
        instance = objects[0].SOPInstanceUID
        assert instance in {one["00080018"]["Value"][0] for one in found}
        (frame,) = client.retrieve_instance_frames(study, series, instance, [1])
        assert frame == objects[0].PixelData[: len(frame)]
        for one in objects:
            buffer = io.BytesIO()
            one.save_as(buffer)
            assert not reveals(buffer.getvalue(), said)


def test_what_cannot_be_made_harmless_is_not_shown() -> None:
    with pytest.raises(Failed, match=r"cannot be de-identified.*\(pixels\)") as refused, problems():
        raise Unresolved("pixels", "Text stays in its pixels.")
    assert refused.value.status == 409


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_parquet('{lake}/series/*.parquet')",
        "select * from read_parquet('{lake}/_access/views/../../series/*.parquet')",
        "select content from read_text('{lake}/dicomlake.json')",
        "select * from parquet_scan('{lake}/instances/*.parquet')",
    ],
)
def test_sql_does_not_reach_the_lake_around_the_view(
    inside: House, made: Path, statement: str
) -> None:
    answer = inside.post(WHO, "/api/sql", {"sql": statement.format(lake=made)})
    assert answer.status_code in (403, 422), answer.text


def test_a_key_that_is_missing_is_told_when_the_service_starts(made: Path, tmp_path: Path) -> None:
    found = settings(tmp_path)
    (tmp_path / "study.key").unlink()
    with pytest.raises(UsageError, match=r"study\.key"):
        app(made, found)
