"""Histories over HTTP: a patient on one line of time, texts of reports, and who may see them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from dicomlake import tables
from dicomlake.lake import Store

from .guarded import MARK, OTHER_STUDY, STUDY, House, house, make_lake


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fact(key: int, kind: str, text: str, started: str | None, **more: Any) -> dict[str, Any]:
    began = when(started) if started else None
    return {"fact_key": key, "kind": kind, "text": text, "started": began, "source": "his", **more}


TEXT = (
    "Kein Nachweis eines Pneumothorax. Épanchement pleural droit. "
    "Eine Pneumonie kann nicht ausgeschlossen werden."
)


def document(key: int, text: str = TEXT, **more: Any) -> dict[str, Any]:
    return {
        "document_key": key, "title": "CT Thorax", "language": "de", "text": text,
        "written": when("2024-01-02T10:00:00"), "source": "ris",
        "affirmed": "Épanchement pleural droit.",
        "negated": "Kein Nachweis eines Pneumothorax.",
        "uncertain": "Eine Pneumonie kann nicht ausgeschlossen werden.", **more,
    }  # fmt: skip


def bring(path: Path, facts: list[dict[str, Any]], documents: list[dict[str, Any]]) -> None:
    store = Store(path)
    store.append("clinical_events", pa.Table.from_pylist(facts, tables.CLINICAL_EVENTS))
    store.append("documents", pa.Table.from_pylist(documents, tables.DOCUMENTS))
    store.touch("test")


def someone(path: Path) -> dict[str, Any]:
    """A patient with a dose, their study and its accession number."""
    with Store(path).database() as db:
        row = db.execute(
            'select patient_key, "StudyInstanceUID", "AccessionNumber", count(distinct study_key) '
            "over (partition by patient_key) from series semi join "
            "(from dose_events where counted) using (series_id) where \"AccessionNumber\" <> '' "
            "order by 1, 2 limit 1"
        ).fetchone()
    assert row is not None
    return dict(zip(("key", "study", "accession"), row, strict=False))


@pytest.fixture
def brought(lake: Path) -> dict[str, Any]:
    """Somebody of whom facts and documents are known."""
    who = someone(lake)
    key, accession = who["key"], who["accession"]
    bring(
        lake,
        [
            fact(1, "condition", "Pneumonia", "2019-04-01", patient_key=key, precision="day"),
            fact(2, "procedure", "Prostatectomy", "2018-01-01", AccessionNumber=accession),
            fact(3, "observation", "Creatinine", None, patient_key=key, number=1.1, unit="mg/dL"),
            fact(4, "condition", "Of somebody else", "2019-04-01", patient_key=key + 1),
        ],
        [
            document(21, patient_key=key, StudyInstanceUID=who["study"]),
            document(22, "Of somebody else.", patient_key=key + 1, affirmed="", negated="",
                     uncertain=""),
            document(23, "Left pleural effusion.", AccessionNumber=accession,
                     affirmed="Left pleural effusion.", negated=None, uncertain=None,
                     language="en"),
        ],
    )  # fmt: skip
    return who


@pytest.fixture
def told(brought: dict[str, Any], client: TestClient) -> tuple[TestClient, dict[str, Any]]:
    """A service that opens the lake after they were brought."""
    return client, brought


def test_a_timeline_has_everything_of_one_patient(told: tuple[TestClient, Any], lake: Path) -> None:
    client, who = told
    found = client.get(f"/api/patients/{who['key']}/timeline").json()
    events = found["events"]
    titles = [event["title"] for event in events]
    assert "Of somebody else" not in titles
    assert {"Pneumonia", "Prostatectomy", "Creatinine", "CT Thorax"} <= set(titles)
    times = [event["began"] for event in events if event["began"]]
    assert times == sorted(times)
    assert events[-1]["title"] == "Creatinine"  # nobody knows when
    by = {event["title"]: event for event in events}
    assert by["Prostatectomy"]["StudyInstanceUID"] == who["study"]
    assert by["CT Thorax"]["StudyInstanceUID"] == who["study"]
    assert by["Pneumonia"]["StudyInstanceUID"] is None
    assert by["Creatinine"]["number"] == 1.1
    with Store(lake).database() as db:
        studies = db.execute(
            'select distinct "StudyInstanceUID" from series where patient_key = ?', [who["key"]]
        ).fetchall()
        dlp = db.execute(
            'select sum("DLP") from dose_events e join series s using (series_id) '
            'where s."StudyInstanceUID" = ? and counted',
            [who["study"]],
        ).fetchone()
    assert {e["key"] for e in events if e["lane"] == "study"} == {row[0] for row in studies}
    doses = [e for e in events if e["lane"] == "dose" and e["key"] == who["study"]]
    assert doses
    timed = {e["key"]: e["precision"] for e in events if e["lane"] == "study"}
    with Store(lake).database() as db:
        moments = db.execute(
            'select "StudyInstanceUID", min("StudyTime") from series where patient_key = ? '
            "group by 1",
            [who["key"]],
        ).fetchall()
    assert timed == {uid: "second" if time else "day" for uid, time in moments}
    if dlp and dlp[0]:
        assert sum(e["number"] for e in doses if e["unit"] == "mGy.cm") == pytest.approx(dlp[0])


def test_an_unknown_patient_is_told(client: TestClient) -> None:
    answer = client.get("/api/patients/5/timeline")
    assert answer.status_code == 404
    assert "no patient" in answer.json()["detail"]


def keys(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["total"] == len(found["documents"])
    return [one["document_key"] for one in found["documents"]]


def test_what_is_denied_is_not_found_unless_asked(told: tuple[TestClient, Any]) -> None:
    client, _ = told
    assert keys(client.get("/api/documents", params={"words": "pneumothorax"})) == []
    asked = {"words": "pneumothorax", "negated": True}
    answer = client.get("/api/documents", params=asked)
    assert keys(answer) == ["21"]
    snippet = answer.json()["documents"][0]["snippets"][0]
    assert snippet["state"] == "negated"
    assert [p["text"] for p in snippet["pieces"] if p["hit"]] == ["Pneumothorax"]
    assert "".join(p["text"] for p in snippet["pieces"]) == "Kein Nachweis eines Pneumothorax."


def test_accents_and_case_do_not_matter(told: tuple[TestClient, Any]) -> None:
    client, _ = told
    answer = client.get("/api/documents", params={"words": "EPANCHEMENT droit"})
    assert keys(answer) == ["21"]
    snippet = answer.json()["documents"][0]["snippets"][0]
    assert [p["text"] for p in snippet["pieces"] if p["hit"]] == ["Épanchement", "droit"]
    assert snippet["state"] == "affirmed"
    assert keys(client.get("/api/documents", params={"words": "pneumonie"})) == ["21"]


def test_language_and_order_narrow(told: tuple[TestClient, Any]) -> None:
    client, who = told
    answer = client.get("/api/documents", params={"words": "effusion", "language": "en"})
    assert keys(answer) == ["23"]
    one = answer.json()["documents"][0]
    assert one["patient_key"] == str(who["key"])
    assert one["StudyInstanceUID"] == who["study"]
    asked = {"words": "effusion", "language": "de"}
    assert keys(client.get("/api/documents", params=asked)) == []
    nothing = client.get("/api/documents", params={"words": "**"})
    assert nothing.status_code == 422
    assert nothing.json()["detail"]


def test_a_document_says_what_each_sentence_is(told: tuple[TestClient, Any]) -> None:
    client, _ = told
    found = client.get("/api/documents/21").json()
    states = [part["state"] for part in found["parts"] if part["text"].strip()]
    assert states == ["negated", "affirmed", "uncertain"]
    assert "".join(part["text"] for part in found["parts"]) == TEXT
    assert client.get("/api/documents/99").status_code == 404


# In a project


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = make_lake(tmp_path_factory.mktemp("histories"))
    with Store(path).database() as db:
        rows = db.execute(
            'select "StudyInstanceUID", any_value(patient_key), any_value("AccessionNumber") '
            "from series group by 1"
        ).fetchall()
    people = {row[0]: row[1:] for row in rows}
    hidden = people[OTHER_STUDY][0]
    bring(
        path,
        [fact(1, "condition", MARK, "2019-04-01", patient_key=hidden)],
        [document(31, f"{MARK} seen", patient_key=hidden, affirmed=f"{MARK} seen"),
         document(32, f"{MARK} seen", StudyInstanceUID=OTHER_STUDY, affirmed=f"{MARK} seen")],
    )  # fmt: skip
    with house(path) as found:
        yield found, people


def test_a_project_sees_histories_of_its_patients_alone(inside: Any) -> None:
    found: House = inside[0]
    people = inside[1]
    for key in {person[0] for person in people.values()}:
        answer = found.ask("researcher", "GET", f"/api/patients/{key}/timeline")
        assert MARK not in answer.text
    for negated in ("true", "false"):
        asked = {"words": "seen", "negated": negated}
        answer = found.ask("researcher", "GET", "/api/documents", params=asked)
        assert answer.status_code == 200
        assert MARK not in answer.text
    for key in (31, 32):
        assert found.ask("researcher", "GET", f"/api/documents/{key}").status_code == 404
    assert people[STUDY]


def test_who_only_counts_sees_no_history(inside: Any) -> None:
    found: House = inside[0]
    for path in ("/api/documents?words=seen", "/api/documents/31", "/api/patients/1/timeline",
                 "/api/activity/devices", "/api/activity/access"):  # fmt: skip
        assert found.ask("viewer", "GET", path).status_code == 403
