"""Groups, fill rates and failures over HTTP, compared with SQL."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake
from dicomlake.engines.groups import By, Grouped

PROBLEM = "application/problem+json"


def grouped(web: TestClient, **body: Any) -> list[dict[str, Any]]:
    answer = web.post("/api/aggregate", json=body)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def said(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], Any]:
    return {tuple(row["keys"]): row["value"] for row in rows}


CHARTS: list[tuple[dict[str, Any], str]] = [
    ({"by": ["Modality"]}, "select Modality, count(*) from series group by 1"),
    (
        {"by": ["BodyPartExamined"], "measure": {"what": "patients"}},
        "select BodyPartExamined, count(distinct patient_key) from series group by 1",
    ),
    (
        {"by": [{"path": "StudyDate", "bin": "year"}, "Modality"], "measure": {"what": "studies"}},
        "select year(StudyDate), Modality, count(distinct study_key) from series group by 1, 2",
    ),
    (
        {"by": ["StationName", {"path": "StudyTime", "bin": "hour"},
                {"path": "StudyDate", "bin": "weekday"}]},
        "select StationName, substr(StudyTime, 1, 2)::int, isodow(StudyDate), count(*) "
        "from series group by 1, 2, 3",
    ),
    (
        {"by": [{"path": "StudyDate", "bin": "month"}], "measure": {"what": "instances"}},
        "select date_trunc('month', StudyDate)::date, sum(instances)::bigint from series "
        "group by 1",
    ),
    (
        {"by": ["Modality"], "measure": {"what": "mean", "of": "NumberOfFrames"}},
        "select Modality, avg(NumberOfFrames) from series where NumberOfFrames is not null "
        "group by 1",
    ),
    (
        {"by": [{"path": "KVP", "bin": "width", "width": 25}]},
        "select floor(KVP / 25) * 25, count(*) from series group by 1",
    ),
    (
        {"by": ["SoftwareVersions"]},
        "select unnest(SoftwareVersions), count(*) from series group by 1 "
        "union all select null, count(*) from series where SoftwareVersions is null",
    ),
    ({"by": ["source", "complete"]}, "select source, complete, count(*) from series group by 1, 2"),
    (
        {"by": ["lag"]},
        "select date_diff('day', StudyDate, indexed::date), count(*) from series group by 1",
    ),
    (
        {"by": ["Modality"], "where": "KVP exists", "level": "study"},
        "select Modality, count(*) from series where study_key in (select study_key from series "
        "join elements using (series_id) where path = 'KVP' and number is not null) group by 1",
    ),
    (
        {"by": ["Modality"], "measure": {"what": "max", "of": "event.DLP"}},
        "select Modality, max(DLP) from dose_events join series using (series_id) "
        "where DLP is not null group by 1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sql"), CHARTS)
def test_groups_are_those_of_sql(
    web: TestClient, whole: Lake, body: dict[str, Any], sql: str
) -> None:
    found = said(grouped(web, **body))
    expected = {}
    for row in whole.sql(sql).to_pylist():
        *keys, value = row.values()
        plain = tuple(k.isoformat() if hasattr(k, "isoformat") else k for k in keys)
        if value:
            expected[plain] = value
    assert found == pytest.approx(expected)


def test_the_largest_groups_and_the_rest(web: TestClient) -> None:
    whole = grouped(web, by=["Modality"])
    assert [row["value"] for row in whole] == sorted((r["value"] for r in whole), reverse=True)
    cut = grouped(web, by=["Modality"], limit=2, others=True)
    assert cut[:2] == whole[:2]
    assert cut[2] == {
        "keys": [None],
        "value": sum(row["value"] for row in whole[2:]),
        "others": True,
    }
    assert grouped(web, by=["Modality"], limit=2) == whole[:2]
    assert said(grouped(web, by=[])) == {(): sum(row["value"] for row in whole)}


def test_groups_of_codes_and_of_contents(web: TestClient, whole: Lake) -> None:
    found = said(grouped(web, by=["segment.type"], where="segment exists"))
    rows = whole.sql(
        "select type, type_meaning, count(distinct series_id) n from segments group by all"
    )
    for row in rows.to_pylist():
        assert found[(f"{row['type_meaning']} ({row['type']})",)] == row["n"]
    anatomy = said(grouped(web, by=["anatomy"]))
    assert any("Lung" in str(key[0]) for key in anatomy)


def test_groups_in_python(whole: Lake) -> None:
    table = whole.engine.groups(Grouped((By("Modality"),), limit=1))
    assert table.num_rows == 1


@pytest.mark.parametrize(
    "body",
    [
        {"by": ["Modalty"]},
        {"by": ["segment"]},
        {"by": ["PixelData"]},
        {"by": [{"path": "Modality", "bin": "year"}]},
        {"by": [{"path": "KVP", "bin": "width"}]},
        {"by": [{"path": "KVP", "bin": "width", "width": -1}]},
        {"by": ["Modality"] * 5},
        {"measure": {"what": "mean"}},
        {"measure": {"what": "mean", "of": "Modality"}},
        {"measure": {"what": "magic"}},
        {"limit": 0},
        {"where": "Modality ="},
    ],
)
def test_what_cannot_be_grouped_is_said(web: TestClient, body: dict[str, Any]) -> None:
    answer = web.post("/api/aggregate", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), answer.text


def test_fill_rates(web: TestClient, whole: Lake) -> None:
    paths = ["KVP", "EchoTime", "*.CodeValue", "segment.type"]
    params = {"by": "Modality", "path": paths, "where": "not Modality = 'OT'"}
    found = web.get("/api/fill-rate", params=params).json()
    assert found["paths"] == paths
    for row in found["rows"]:
        for path, filled in zip(paths, row["filled"], strict=True):
            expected = whole.query(f"Modality = '{row['key']}' and {path} exists").total
            assert filled == expected, (row["key"], path)
        assert row["series"] == whole.query(f"Modality = '{row['key']}'").total
    usual = web.get("/api/fill-rate").json()
    assert len(usual["paths"]) == 40
    assert all(len(row["filled"]) == 40 for row in usual["rows"])
    assert web.get("/api/fill-rate", params={"by": "Modalty"}).status_code == 422


def test_failures(web: TestClient, whole: Lake) -> None:
    found = web.get("/api/failures", params={"limit": 1}).json()
    assert found["total"] == whole.totals["failures"] == sum(r["objects"] for r in found["reasons"])
    assert len(found["page"]) == 1
