"""Questions over HTTP have the answers that the lake has in Python."""

from __future__ import annotations

import io
import json
import threading
import time
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake
from dicomlake.jobs.index import index
from dicomlake.query import Query, parse, to_json
from dicomlake.settings import Settings
from dicomlake.testing import hospital
from dicomlake.web import app
from dicomlake.web.desk import Desk

PROBLEM = "application/problem+json"
QUESTIONS = [
    None,
    "Modality = 'MR'",
    "Modality = 'CT' and KVP > 80",
    "not Modality = 'SR' and (KVP >= 100 or EchoTime exists)",
    "same(series, Modality = 'MR' and EchoTime < 10)",
    "segment.type exists or event.DLP > 100 mGy.cm",
    "related(Modality = 'CT', Modality = 'SR', within 30 days)",
]
LEVELS = ["patient", "study", "series", "instance"]


def asked(web: TestClient, path: str = "/api/query", **body: Any) -> dict[str, Any]:
    answer = web.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", QUESTIONS)
def test_answers_are_those_of_the_lake(web: TestClient, whole: Lake, text: str, level: str) -> None:
    expected = whole.query(text, level)
    found = asked(web, where=text, level=level, limit=10_000)
    assert found["totals"] == expected.totals
    assert found["total"] == expected.total
    assert [column["path"] for column in found["columns"]] == expected.rows.column_names
    said = [[None if v is None else str(v) for v in row] for row in found["rows"]]
    told = [
        [None if v is None else str(v) for v in row.values()] for row in expected.rows.to_pylist()
    ]
    assert said == told
    node = None if text is None else parse(text)
    tree = None if node is None else to_json(node)
    assert asked(web, where=tree, level=level, limit=10_000)["rows"] == found["rows"]
    counted = asked(web, "/api/query/count", where=tree, level=level)
    assert (counted["totals"], counted["total"]) == (expected.totals, expected.total)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", [[], ["-StudyDate", "Modality"], ["EchoTime"]])
def test_pages_make_up_the_whole(web: TestClient, level: str, order: list[str]) -> None:
    body = {"where": "Modality in ('MR', 'CT')", "level": level, "order": order}
    whole = asked(web, **body, limit=10_000)["rows"]
    pages = []
    for start in range(0, len(whole) + 7, 7):
        pages += asked(web, **body, limit=7, offset=start)["rows"]
    assert pages == whole
    assert asked(web, **body, limit=7, offset=10**9)["rows"] == []


def test_columns_say_what_they_hold(web: TestClient) -> None:
    show = ["PatientID", "MagneticFieldStrength", "StudyDate", "SeriesNumber", "event.DLP"]
    found = asked(web, where="Modality = 'MR'", show=show)
    assert [(c["name"], c["type"], c["unit"]) for c in found["columns"][:4]] == [
        ("Patient ID", "text", ""),
        ("Magnetic Field Strength", "number", "tesla"),
        ("Study Date", "date", ""),
        ("Series Number", "integer", ""),
    ]
    assert found["columns"][4]["unit"] == "mGy.cm"


def test_sql_agrees(web: TestClient) -> None:
    said = asked(web, "/api/sql", sql="select count(*) as n from series where Modality = 'MR'")
    assert said["columns"] == [{"name": "n", "path": "n", "type": "integer", "unit": ""}]
    found = asked(web, "/api/query/count", where="Modality = 'MR'")
    assert said["rows"] == [[found["totals"]["series"]]]
    cut = asked(web, "/api/sql", sql="select * from range(10)", limit=3)
    assert (cut["rows"], cut["more"]) == ([[0], [1], [2]], True)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as a, 2 as a",
        "select 1e300, 1::hugeint << 100, 'x'::blob, interval 1 year, [1, 2], {'a': 1}, map {1: 2}",
        "select 'nan'::double, timestamp '290000-01-01', time '12:00', null, 9007199254740993",
        "select date '99999-01-01', 1.5::decimal(10, 2), uuid(), true, '\\x00\\ud8'::varchar",
    ],
)
def test_any_value_of_sql_is_json(web: TestClient, sql: str) -> None:
    assert len(asked(web, "/api/sql", sql=sql)["rows"]) == 1


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("drop table series", "only reads"),
        ("select 1; select 2", "one SELECT"),
        ("select * from read_csv('/etc/passwd')", "DuckDB says"),
        ("select nothing from series", "DuckDB says"),
        ("copy series to '/tmp/out.csv'", "only reads"),
    ],
)
def test_sql_only_reads_the_lake(web: TestClient, sql: str, says: str) -> None:
    answer = web.post("/api/sql", json={"sql": sql})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert says in answer.json()["detail"]


# Steps


def test_steps_are_questions_of_their_own(web: TestClient, whole: Lake) -> None:
    where = "Modality in ('CT', 'MR') and (KVP > 80 or EchoTime exists) and not KVP = 120"
    for level in ("patient", "series", "instance"):
        found = asked(web, "/api/query/steps", where=where, level=level)
        steps = {step["place"]: step for step in found["steps"]}
        assert list(steps) == [
            "", "and[0]", "and[1]", "and[1].or[0]", "and[1].or[1]", "and[2]", "and[2].not",
        ]  # fmt: skip
        first, second = "Modality in ('CT', 'MR')", "(KVP > 80 or EchoTime exists)"
        expected = {
            "": (where, where),
            "and[0]": (first, first),
            "and[1]": (second, f"{first} and {second}"),
            "and[1].or[0]": ("KVP > 80", f"{first} and KVP > 80"),
            "and[1].or[1]": ("EchoTime exists", f"{first} and {second}"),
            "and[2]": ("not KVP = 120", where),
            "and[2].not": ("KVP = 120", "KVP = 120"),
        }
        for place, (alone, kept) in expected.items():
            assert steps[place]["alone"] == whole.query(alone, level, limit=1).totals, place
            assert steps[place]["kept"] == whole.query(kept, level, limit=1).totals, place
        assert (
            steps[""]["kept"] == asked(web, "/api/query/count", where=where, level=level)["totals"]
        )
        assert found["whole"] == whole.query(None, level, limit=1).totals


def test_steps_inside_of_same_ask_one_thing(web: TestClient, whole: Lake) -> None:
    found = asked(web, "/api/query/steps", where="same(series, Modality = 'MR' and EchoTime < 10)")
    last = found["steps"][-1]
    assert last["place"] == "same.part.and[1]"
    assert last["kept"] == whole.query("same(series, Modality = 'MR' and EchoTime < 10)").totals
    assert asked(web, "/api/query/steps")["steps"] == []
    many = {"or": [{"exists": {"path": "KVP"}}] * 300}
    assert web.post("/api/query/steps", json={"where": many}).status_code == 422


# Forms


def test_forms_of_a_question(web: TestClient) -> None:
    text = "Modality = 'MR' and MagneticFieldStrength >= 3 level study show PatientID limit 5"
    found = asked(web, "/api/query/parse", text=text)
    assert found["text"] == text
    assert found["json"]["where"]["and"][0] == {
        "compare": {"path": "Modality", "op": "=", "value": "MR"}
    }
    assert found["sentence"] == (
        "Studies with: Modality is MR, and Magnetic Field Strength is at least 3 tesla. "
        "The first 5."
    )
    assert found["paths"] == ["Modality", "MagneticFieldStrength"]
    assert asked(web, "/api/query/parse", json=found["json"]) == found


@pytest.mark.parametrize(
    ("body", "more", "says"),
    [
        ({"text": "Modality = 'MR' and Modalty > 3"},
         {"position": 20, "near": ["Modality"]}, "Did you mean Modality"),
        ({"text": "Modality ="}, {"position": 10}, "value"),
        ({"text": "KVP = 'high'"}, {"position": 0}, "holds numbers"),
        ({"json": {"and": [{"exists": {"path": "Modalty"}}]}},
         {"place": "and[0].exists.path", "near": ["Modality"]}, "Did you mean Modality"),
        ({"json": {"or": [{"exist": {"path": "KVP"}}]}}, {"place": "or[0]"}, "exists"),
        ({"text": "A", "json": {}}, {}, "either"),
        ({}, {}, "either"),
        ({"text": "AccessionNumber in @/etc/passwd"}, {}, "cannot be read here"),
    ],
)  # fmt: skip
def test_mistakes_say_where(
    web: TestClient, body: dict[str, Any], more: dict[str, Any], says: str
) -> None:
    answer = web.post("/api/query/parse", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    found = answer.json()
    assert says in found["detail"]
    assert {key: found.get(key) for key in more} == more


# Export


@pytest.mark.parametrize("level", LEVELS)
def test_exports_have_every_row(web: TestClient, whole: Lake, level: str) -> None:
    body = {"where": "Modality in ('MR', 'CT')", "level": level, "show": ["PatientName", "KVP"]}
    expected = whole.query(body["where"], level, body["show"]).rows
    got = {
        form: web.post("/api/query/export", params={"format": form}, json=body)
        for form in ("csv", "ndjson", "parquet")
    }
    assert {answer.status_code for answer in got.values()} == {200}
    lines = got["csv"].text.splitlines()
    assert lines[0] == "PatientName,KVP"
    assert len(lines) == expected.num_rows + 1
    assert len(got["ndjson"].text.splitlines()) == expected.num_rows
    table = pq.read_table(io.BytesIO(got["parquet"].content))
    assert table.column("PatientName").to_pylist() == expected.column("PatientName").to_pylist()
    desk: Desk = web.app.state.desk  # type: ignore[attr-defined]
    assert desk.board.cancel("") == 0
    assert got["csv"].headers["content-disposition"] == 'attachment; filename="answer.csv"'


# Stopping

SLOW = "select count(*) from range(10000000000) a, range(1000) b where hash(a.range) % 7 = b.range"


def test_a_question_can_be_stopped(web: TestClient) -> None:
    got = []

    def ask() -> None:
        headers = {"X-Query-Id": "slow-1"}
        got.append(web.post("/api/sql", json={"sql": SLOW}, headers=headers))

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(200):
        if web.delete("/api/query/slow-1").status_code == 200:
            break
        time.sleep(0.02)
    thread.join(20)
    assert got[0].status_code == 409
    assert "cancelled" in got[0].json()["detail"]
    assert web.delete("/api/query/slow-1").status_code == 404


def test_a_question_has_its_time(web: TestClient) -> None:
    began = time.monotonic()
    answer = web.post("/api/sql", json={"sql": SLOW, "timeout_s": 0.3})
    assert answer.status_code == 503
    assert "longer than 0.3 s" in answer.json()["detail"]
    assert time.monotonic() - began < 10
    desk: Desk = web.app.state.desk  # type: ignore[attr-defined]
    assert desk.board.cancel("") == 0


# Odd input


@pytest.mark.parametrize(
    "body",
    [
        {"where": 3},
        {"where": {"and": []}},
        {"where": {"where": {"exists": {"path": "KVP"}}}},
        {"where": "{"},
        {"where": "\x00"},
        {"level": "galaxy"},
        {"limit": 0},
        {"limit": 10**9},
        {"offset": -1},
        {"show": ["Nothing"]},
        {"show": ["KVP"] * 101},
        {"order": ["PixelData"]},
        {"version": 10**30},
        {"unknown": 1},
        {"where": {"compare": {"path": "KVP", "op": "=", "value": 10**400}}},
        {"where": {"one_of": {"path": "KVP", "values": [float("inf")]}}},
    ],
)
def test_what_cannot_be_asked_is_said(web: TestClient, body: dict[str, Any]) -> None:
    answer = web.post(
        "/api/query", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), answer.text


@pytest.mark.parametrize(
    "raw",
    [
        '{"where": {"compare": {"path": "PatientName", "op": "=", "value": "\\ud800"}}}',
        '{"where": "PatientName = \'\\ud800\'"}',
        '{"where": ' + '{"not": ' * 3000 + "null" + "}" * 3000 + "}",
        '{"where": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "{",
        "",
        "null",
        "[]",
    ],
)
def test_odd_bodies_never_break_it(web: TestClient, raw: str) -> None:
    for path in ("/api/query", "/api/query/count", "/api/query/parse", "/api/aggregate"):
        answer = web.post(path, content=raw, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), (path, answer.text)
        assert answer.headers["content-type"] == PROBLEM


def test_versions_stay_as_they_were(lake: Any, web: TestClient) -> None:
    """A newer version is seen at once, the older one can still be asked."""
    with TestClient(app(lake, Settings()), base_url="http://localhost") as client:
        before = client.post("/api/query/count", json={}).json()
        hospital.write(lake.parent / "more", 1, seed=99, pixels=False)
        index([lake.parent / "more"], lake, workers=1)
        desk: Desk = client.app.state.desk  # type: ignore[attr-defined]
        desk.lakes._looked = -1e9
        after = client.post("/api/query/count", json={}).json()
        assert after["version"] > before["version"]
        assert after["totals"]["series"] > before["totals"]["series"]
        old = client.post("/api/query/count", json={"version": before["version"]}).json()
        assert old["totals"] == before["totals"]
        assert client.get("/api/lake").json()["version"] == after["version"]
        missing = client.post("/api/query", json={"version": after["version"] + 1})
        assert missing.status_code == 404
        assert "newest" in missing.json()["detail"]


def test_the_same_question_is_found_once(web: TestClient, whole: Lake) -> None:
    engine = whole.engine
    query = Query(parse("Modality = 'MR' and KVP missing"), "series", limit=2)
    first = engine.answer(query)
    assert engine.answer(query, 0).rows == first.rows
    assert engine.answer(query, 2).rows.num_rows > 0


def test_an_export_that_nobody_makes_is_over(web: TestClient, monkeypatch: Any) -> None:
    monkeypatch.setattr("dicomlake.web.explore.queries.WAIT_S", 0.0)
    with web.stream("GET", "/api/query/nothing/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "".join(answer.iter_text()) == "event: end\ndata: {}\n\n"


def test_exports_say_how_many_rows_there_will_be(web: TestClient, whole: Lake) -> None:
    answer = web.post("/api/query/export", json={"level": "series", "show": ["Modality"]})
    assert answer.headers["x-total-rows"] == str(whole.totals["series"])
