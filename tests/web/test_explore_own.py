"""Charts that people make, over HTTP and as files."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake
from dicomlake.jobs.charts import Charts
from dicomlake.lake import Store
from dicomlake.lake.store import SAVED

PROBLEM = "application/problem+json"
GROUPS = {"by": ["Modality"], "measure": {"what": "studies"}}
SPEC: dict[str, Any] = {"mark": "bar", "data": {"dicomlake": GROUPS}}


def spec(groups: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {**SPEC, "data": {"dicomlake": groups or GROUPS}, **more}


def keep(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/charts", json={"name": "Studies", "spec": SPEC, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_every_change_is_a_file(client: TestClient, lake: Path) -> None:
    first = keep(client, shared=True, comment="to begin with")
    path = f"/api/charts/{first['id']}"
    other = {"name": "Series", "shared": True, "spec": spec({"by": ["Modality"]})}
    second = client.put(path, json=other).json()
    assert (second["id"], second["version"], second["name"]) == (first["id"], 2, "Series")
    details = client.get(path).json()
    assert [one["version"] for one in details["history"]] == [2, 1]
    old = client.get(path, params={"version": 1}).json()
    assert {key: old[key] for key in first} == first
    assert client.get(path, params={"version": 9}).status_code == 404
    assert [one["version"] for one in client.get("/api/charts").json()] == [2]

    folder = lake / SAVED / "charts" / first["id"]
    assert sorted(file.name for file in folder.iterdir()) == ["1.json", "2.json"]
    assert json.loads((folder / "1.json").read_text())["spec"] == SPEC
    assert Store.create(lake).version >= 0  # the folder is one of ours

    assert client.delete(path).json() == {"tasks": 2}
    assert client.get(path).status_code == 404
    assert client.put(path, json=other).status_code == 404
    assert not folder.exists()


def test_a_chart_can_be_copied_as_a_file(client: TestClient, lake: Path) -> None:
    first = keep(client, shared=True)
    folder = lake / SAVED / "charts"
    (folder / "0badcafe0001").mkdir()
    (folder / "0badcafe0001" / "1.json").write_text(
        (folder / first["id"] / "1.json").read_text(), "utf-8"
    )
    (folder / "0badcafe0002").mkdir()
    (folder / "0badcafe0002" / "1.json").write_text("{", "utf-8")  # of an editor that crashed
    listed = client.get("/api/charts").json()
    assert {one["id"] for one in listed} == {first["id"], "0badcafe0001"}
    assert client.get("/api/charts/0badcafe0002").status_code == 404


def test_what_is_not_shared_is_ones_own(client: TestClient) -> None:
    mine = {"X-User": "ada"}
    answer = client.post("/api/charts", json={"name": "a", "spec": SPEC}, headers=mine)
    path = f"/api/charts/{answer.json()['id']}"
    assert client.get("/api/charts").json() == []
    assert len(client.get("/api/charts", headers=mine).json()) == 1
    assert client.get(path).status_code == 404
    assert client.put(path, json={"name": "b", "spec": SPEC}).status_code == 404
    assert client.delete(path, headers={"X-User": "bob"}).status_code == 404
    assert client.get(path, headers=mine).json()["owner"] == "ada"


def test_many_save_at_once(lake: Path) -> None:
    charts = Charts(lake)
    first = charts.put(SPEC, name="one")
    threads = [
        threading.Thread(target=charts.put, args=(SPEC,), kwargs={"name": f"{n}", "id_": first.id})
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = charts.versions(first.id)
    assert [one.version for one in found] == list(range(9, 0, -1))
    assert {one.name for one in found} == {"one", *map(str, range(8))}


def test_a_chart_shows_what_the_question_finds(web: TestClient, whole: Lake) -> None:
    body = {"spec": spec(encoding={}), "where": "PatientSex = 'F'", "level": "series"}
    found = web.post("/api/charts/data", json=body).json()
    assert found["fields"] == ["Modality", "studies"]
    assert found["spec"] == {"mark": "bar", "data": {"name": "rows"}, "encoding": {}}
    sql = (
        "select Modality, count(distinct study_key) n from series where PatientSex = 'F' group by 1"
    )
    assert dict(found["rows"]) == {r["Modality"]: r["n"] for r in whole.sql(sql).to_pylist()}


def test_a_chart_has_a_question_of_its_own(web: TestClient, whole: Lake) -> None:
    by = [
        {"path": "StudyDate", "bin": "weekday", "as": "day"},
        {"path": "StudyDate", "bin": "year", "as": "year"},
    ]
    groups = {"by": by, "where": "Modality = 'MR'", "level": "study"}
    body = {"spec": spec(groups), "where": "PatientSex = 'F'", "level": "series"}
    found = web.post("/api/charts/data", json=body).json()
    assert found["fields"] == ["day", "year", "series"]
    both = whole.query("Modality = 'MR' and PatientSex = 'F'", level="study")
    assert sum(row[2] for row in found["rows"]) == both.totals["series"] > 0
    steps = {"path": "KVP", "bin": "steps", "steps": [0, 100], "as": "kv"}
    mean = {"by": [steps], "measure": {"what": "mean", "of": "KVP"}}
    assert web.post("/api/charts/data", json={"spec": spec(mean)}).json()["fields"] == [
        "kv", "mean",
    ]  # fmt: skip


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mark": "bar"}, "Say what the chart shows"),
    ({"mark": "bar", "data": {"url": "https://example.org/x.json"}}, "Say what the chart shows"),
    ({**SPEC, "data": {"dicomlake": GROUPS, "url": "x.json"}}, "Say what the chart shows"),
    ({"data": {"dicomlake": GROUPS}}, "Say what to draw"),
    (spec(layer=[{"data": {"url": "x.csv"}, "mark": "bar"}]), "'url'"),
    (spec(transform=[{"lookup": "a", "from": {"data": {"url": "x.csv"}}}]), "'url'"),
    (spec(encoding={"url": {"field": "Modality"}}), "'url'"),
    (spec(encoding={"href": {"field": "Modality"}}), "'href'"),
    (spec(mark="image"), "image marks"),
    (spec(mark={"type": "image"}), "image marks"),
    (spec(layer=[{"mark": {"type": "image", "width": 5}}]), "image marks"),
    (spec(usermeta={"embedOptions": {"loader": {}}}), "'usermeta'"),
    (spec(params=[{"name": "a", "bind": {"input": "range", "element": "#root"}}]), "'element'"),
    (spec(layer=[{"data": {"dicomlake": GROUPS}, "mark": "bar"}]), "at the top"),
    (spec(layer=[{"data": {"sequence": {"start": 0, "stop": 1e9}}, "mark": "bar"}]), "data.values"),
    (spec({"by": []}), "list of what to group by"),
    (spec({"by": ["Modalty"]}), "Did you mean Modality"),
    (spec({"by": ["Modality"], "were": "x"}), "no 'were'"),
    (spec({"by": [{"path": "KVP", "bins": "width"}]}), "no 'bins'"),
    (spec({"by": [{"bin": "year"}]}), "with a path"),
    (spec({"by": ["*.CodeValue"]}), '"as"'),
    (spec({"by": ["Modality", "Modality"]}), "Two fields are called Modality"),
    (spec({"by": ["Modality"], "limit": 10**6}), "limit"),
    (spec({"by": ["Modality"], "level": "galaxy"}), "level is one of"),
    (spec({"by": ["Modality"], "where": {"and": []}}), "as text"),
    (spec({"by": ["Modality"], "where": "Modality ="}), "Modality ="),
    (spec({"by": ["Modality"], "measure": "studies"}), "measure is an object"),
    (spec({"by": ["Modality"], "measure": {"what": "magic"}}), "no measure"),
    (spec({"by": [{"path": "KVP", "bin": "steps", "steps": ["1"]}]}), "list of numbers"),
    (spec(title="x" * 300_000), "too large"),
]


@pytest.mark.parametrize(("wrong", "why"), REFUSED)
def test_what_a_chart_may_not_have_is_said(
    client: TestClient, wrong: dict[str, Any], why: str
) -> None:
    for answer in (
        client.post("/api/charts", json={"name": "x", "spec": wrong}),
        client.post("/api/charts/data", json={"spec": wrong}),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
        assert why in answer.json()["detail"]
    assert client.get("/api/charts").json() == []


@pytest.mark.parametrize("id_", ["..", "%2e%2e", "0badcafe0001", "0BADCAFE0001", "x" * 300])
def test_there_is_no_such_chart(client: TestClient, id_: str) -> None:
    assert client.get(f"/api/charts/{id_}").status_code == 404
