"""Radiation dose by REST: the tables of the jobs, narrowed, in pages, and counts for who counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from fastapi.testclient import TestClient

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.dose import events, options_of
from dicomlake.jobs.dose.overview import TABLES
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital
from dicomlake.web import app

from .guarded import House, copied, house


@pytest.fixture(scope="module")
def dosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doses")
    hospital.write(folder / "files", 32, pixels=False, seed=7)
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def client(dosed: Path) -> Iterator[TestClient]:
    with TestClient(app(dosed, Settings()), base_url="http://localhost") as made:
        yield made


@pytest.fixture(scope="module")
def lake(dosed: Path) -> Lake:
    return dicomlake.open(dosed)


def rows(client: TestClient, name: str, **asked: Any) -> list[dict[str, Any]]:
    """Rows of a table by the names of its columns."""
    answer = client.get(f"/api/dose/{name}", params=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    columns = [column["name"] for column in told["columns"]]
    return [dict(zip(columns, row, strict=True)) for row in told["rows"]]


def test_the_tables_are_those_of_the_jobs(client: TestClient, lake: Lake) -> None:
    found = events(lake.engine, options=options_of(lake.path))
    assert found.num_rows > 50
    told = rows(client, "events")
    assert [row["event_key"] for row in told] == found.column("event_key").to_pylist()
    assert [row["DLP"] for row in told] == found.column("DLP").to_pylist()


def test_columns_say_their_units(client: TestClient) -> None:
    columns = client.get("/api/dose/events").json()["columns"]
    units = {column["name"]: column["unit"] for column in columns}
    assert (units["DLP"], units["DAP"], units["effective_dose"]) == ("mGy.cm", "Gy.m2", "mSv")
    assert (units["PatientID"], units["phantom"]) == ("", "")


def test_totals_and_months_are_sums_of_studies(client: TestClient) -> None:
    studies = rows(client, "studies")
    values = [row["DLP"] for row in studies if row["DLP"] is not None]
    (total,) = [row for row in rows(client, "totals") if row["quantity"] == "DLP"]
    assert (total["studies"], total["unit"]) == (len(values), "mGy.cm")
    assert total["total"] == pytest.approx(sum(values))
    assert total["median"] == pytest.approx(median(values))
    by: dict[str, list[float]] = defaultdict(list)
    for row in studies:
        if row["DLP"] is not None:
            by[row["StudyDate"][:7]].append(row["DLP"])
    months = [row for row in rows(client, "months") if row["quantity"] == "DLP"]
    assert {row["month"][:7]: row["studies"] for row in months} == {
        k: len(v) for k, v in by.items()
    }
    assert sum(row["total"] for row in months) == pytest.approx(sum(values))


def test_distributions_keep_phantoms_apart(client: TestClient) -> None:
    found = [row for row in rows(client, "distributions") if row["quantity"] == "CTDIvol"]
    assert {row["phantom"] for row in found} == {16, 32, None}
    one = found[0]
    values = sorted(
        row["CTDIvol"]
        for row in rows(client, "events")
        if (row["kind"], row["standard_protocol"], row["phantom"])
        == ("CT", one["standard_protocol"], one["phantom"])
        and row["CTDIvol"]
    )
    assert one["n"] == len(values)
    assert (one["smallest"], one["largest"]) == (values[0], values[-1])
    assert one["median"] == pytest.approx(median(values))
    assert one["smallest"] <= one["q1"] <= one["median"] <= one["q3"] <= one["largest"]


def test_what_is_missing_is_told_with_its_whole(client: TestClient) -> None:
    found = {row["what"]: row for row in rows(client, "missing")}
    without = sum(row["standard_protocol"] is None for row in rows(client, "events"))
    assert found["no standard name of the protocol"]["n"] == without > 0
    assert all(0 < row["n"] <= row["whole"] for row in found.values())


def test_a_question_narrows_every_table(client: TestClient) -> None:
    where = "Modality = 'MG'"
    kinds = {row["kind"] for row in rows(client, "events", where=where)}
    assert kinds == {"mammography"}
    told = client.post("/api/dose/totals", json={"where": where}).json()
    assert {row[0] for row in told["rows"]} == {"mammography"}
    assert len(rows(client, "patients", where=where)) < len(rows(client, "patients"))


def test_pages_in_an_order(client: TestClient) -> None:
    whole = rows(client, "studies", order="-DLP")
    values = [row["DLP"] for row in whole]
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=True) + [None] * (len(values) - len(known))
    assert rows(client, "studies", order="-DLP", limit=3, offset=2) == whole[2:5]
    assert client.get("/api/dose/studies", params={"limit": 3}).json()["total"] == len(whole)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"order": "Dlp"}, "There is no column 'Dlp'"),
        ({"order": "why_not"}, "holds lists"),
        ({"factor_set": "AAPM 97"}, "AAPM 96"),
        ({"where": "Modalty = 'CT'"}, "Did you mean"),
    ],
)
def test_mistakes_are_told(client: TestClient, asked: dict[str, Any], words: str) -> None:
    answer = client.get("/api/dose/events", params=asked)
    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text


def test_sets_of_factors_are_not_mixed(client: TestClient) -> None:
    ours = {row["factor_set"] for row in rows(client, "events") if row["effective_dose"]}
    other = rows(client, "events", factor_set="Deak 2010")
    theirs = {row["factor_set"] for row in other if row["effective_dose"]}
    assert ours == {"AAPM 96"}
    assert theirs == {"Deak 2010"}


def test_a_patient_is_told_study_by_study(client: TestClient) -> None:
    most = rows(client, "patients", order="-studies", limit=1)[0]
    told = client.get(f"/api/dose/patients/{most['patient_key']}").json()
    names = [column["name"] for column in told["columns"]]
    assert len(told["rows"]) == most["studies"] > 1
    days = [row[names.index("StudyDate")] for row in told["rows"]]
    assert days == sorted(days)
    assert {row[names.index("PatientID")] for row in told["rows"]} == {most["PatientID"]}
    assert client.get("/api/dose/patients/1").status_code == 422


def test_the_overview_counts(client: TestClient, lake: Lake) -> None:
    told = client.get("/api/dose/overview").json()
    found = events(lake.engine, options=options_of(lake.path)).to_pylist()
    for one in told["kinds"]:
        ours = {row["StudyInstanceUID"] for row in found if row["kind"] == one["kind"]}
        assert one["studies"] == len(ours)
    assert told["counts"]["patients"] == len({row["patient_key"] for row in found})
    ct = [row["studies"] for row in told["years"] if row["kind"] == "CT"]
    assert sum(ct) == next(row["studies"] for row in told["kinds"] if row["kind"] == "CT")
    same = client.post("/api/dose/overview", json={"where": "Modality = 'MG'"}).json()
    assert same["counts"]["studies"] < told["counts"]["studies"]


@pytest.fixture(scope="module")
def inside(dosed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(copied(dosed, tmp_path_factory.mktemp("dose-roles"))) as found:
        yield found


def test_who_only_counts_sees_masked_counts_and_no_table(inside: House) -> None:
    whole = inside.get("steward", "/api/dose/overview").json()
    masked = inside.get("viewer", "/api/dose/overview").json()
    assert masked["counts"]["patients"] % 5 == 0
    assert masked["counts"]["patients"] <= whole["counts"]["patients"]
    assert all(row["studies"] % 5 == 0 for row in (*masked["kinds"], *masked["years"]))
    assert masked["kinds"]
    for name in TABLES:
        if name != "everything":
            assert inside.get("viewer", f"/api/dose/{name}").status_code == 403
    assert inside.get("viewer", "/api/dose/report").status_code == 403
    assert inside.get("viewer", "/api/dose/patients/1").status_code == 403
    asked = inside.get("viewer", "/api/dose/overview", where="PatientID = 'P000001'")
    assert asked.status_code == 403


def test_a_project_sees_its_own_doses(inside: House) -> None:
    mine = inside.get("researcher", "/api/dose/events").json()
    all_ = inside.get("researcher of all", "/api/dose/events").json()
    kind = [column["name"] for column in mine["columns"]].index("kind")
    assert {row[kind] for row in mine["rows"]}
    assert mine["total"] < all_["total"]


def test_everything_is_no_table_of_its_own(client: TestClient) -> None:
    shown = {name for name in TABLES if client.get(f"/api/dose/{name}").status_code == 200}
    assert shown == set(TABLES) - {"everything"}


def alarms(inside: House, who: str = "steward") -> list[dict[str, Any]]:
    told = inside.get(who, "/api/dose/alarms").json()
    names = [column["name"] for column in told["columns"]]
    return [dict(zip(names, row, strict=True)) for row in told["rows"]]


def test_an_alarm_is_seen_and_closed_with_a_reason(inside: House) -> None:
    first, *_ = alarms(inside)
    assert first["state"] == "open"
    path = f"/api/dose/alarms/{first['alarm_id']}"
    assert inside.post("steward", path, {"state": "seen"}).status_code == 200
    without = inside.post("steward", path, {"state": "closed"})
    assert (without.status_code, without.json()["detail"]) == (422, "Say why the alarm is closed.")
    answer = inside.post("steward", path, {"state": "closed", "reason": "Skin looked at"})
    assert answer.status_code == 200
    now = next(row for row in alarms(inside) if row["alarm_id"] == first["alarm_id"])
    assert (now["state"], now["reason"], now["who"]) == ("closed", "Skin looked at", "steward")
    assert inside.post("steward", "/api/dose/alarms/none", {"state": "seen"}).status_code == 422


@pytest.mark.parametrize(
    "who", ["viewer", "researcher", "researcher of all", "steward of a project"]
)
def test_others_do_not_close_alarms(inside: House, who: str) -> None:
    one = alarms(inside)[0]["alarm_id"]
    answer = inside.post(who, f"/api/dose/alarms/{one}", {"state": "seen"})
    assert answer.status_code == 403


def test_a_project_hears_nothing_of_alarms_that_it_does_not_find(inside: House) -> None:
    one = alarms(inside)[0]
    reason = "told of somebody else"
    inside.post("steward", f"/api/dose/alarms/{one['alarm_id']}",
                {"state": "closed", "reason": reason})  # fmt: skip
    assert any(row["reason"] == reason for row in alarms(inside))
    mine = alarms(inside, "researcher")  # of CT, SR and ECG: reports, but no XA
    told = {row["alarm_id"] for row in mine}
    assert all(row["holds"] for row in mine)
    assert (one["alarm_id"] in told) == any(row["reason"] == reason for row in mine)


@pytest.mark.parametrize(
    ("form", "media", "begins"),
    [("html", "text/html", b"<!doctype html>"), ("pdf", "application/pdf", b"%PDF-"),
     ("xlsx", "application/vnd.openxmlformats", b"PK")],
)  # fmt: skip
def test_the_report_is_a_file(client: TestClient, form: str, media: str, begins: bytes) -> None:
    answer = client.get("/api/dose/report", params={"format": form, "where": "Modality = 'MG'"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["content-disposition"] == f'attachment; filename="dose.{form}"'
    assert answer.content.startswith(begins)


def test_only_stewards_have_patients_named(inside: House) -> None:
    whom = alarms(inside)[0]["PatientID"]
    quiet = inside.get("researcher of all", "/api/dose/report")
    assert quiet.status_code == 200
    assert whom not in quiet.text
    refused = inside.get("researcher of all", "/api/dose/report", patients=True)
    assert refused.status_code == 403
    assert whom in inside.get("steward", "/api/dose/report", patients=True).text
