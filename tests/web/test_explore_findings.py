"""What the service says was measured and outlined in a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomlake.api import Lake

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


def study_of(whole: Lake, modality: str) -> str:
    found = whole.engine.sql(
        'select "StudyInstanceUID" from series where "Modality" = '
        f"'{modality}' order by series_id limit 1"
    )
    return str(found.column(0)[0].as_py())


def test_measurements_of_an_ecg_are_those_of_its_annotations(web: TestClient, whole: Lake) -> None:
    study = study_of(whole, "ECG")
    found = web.get(f"/api/studies/{study}/findings").json()["measurements"]
    said = {one["code"]: (one["concept"], one["number"], one["unit"]) for one in found}
    inside = [one for one in found if one["ecg"]]
    rows = whole.engine.sql(
        "select concept, number from items join series using (series_id) where value_type = 'NUM' "
        f"and \"StudyInstanceUID\" = '{study}'"
    ).to_pylist()
    assert len(found) == len(rows) > 0
    assert {(one["code"], one["number"]) for one in found} == {
        (row["concept"], row["number"]) for row in rows
    }
    assert {"LN:8867-4", "MDC:2:16160"} <= {one["code"] for one in inside}
    assert said["MDC:2:16160"][2] == "ms"


def test_segments_of_a_study_have_labels(web: TestClient, whole: Lake) -> None:
    study = study_of(whole, "SEG")
    found = web.get(f"/api/studies/{study}/findings").json()["segments"]
    rows = whole.engine.sql(
        "select label, number from segments join series using (series_id) where "
        f"\"StudyInstanceUID\" = '{study}'"
    ).to_pylist()
    assert sorted((one["label"], one["number"]) for one in found) == sorted(
        (row["label"], row["number"]) for row in rows
    )


def test_an_unknown_study_is_told(web: TestClient) -> None:
    answer = web.get("/api/studies/1.2.3/findings")
    assert answer.status_code == 404
    assert "StudyInstanceUID" in answer.json()["detail"]


def test_how_common_a_value_is_says_the_question(web: TestClient, whole: Lake) -> None:
    found = web.get("/api/common", params={"path": "Modality", "value": "CT"}).json()
    assert found["question"] == "Modality = 'CT'"
    assert found["found"]["series"] == whole.query(found["question"]).total
