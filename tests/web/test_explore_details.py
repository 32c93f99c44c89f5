"""One patient, study, series and instance over HTTP, compared with the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake
from dicomlake.jobs import tracing
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing.dicom import encode, image
from dicomlake.web import app

PROBLEM = "application/problem+json"


def got(web: TestClient, path: str, /, **params: Any) -> dict[str, Any]:
    answer = web.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def one(whole: Lake, sql: str) -> Any:
    return whole.sql(sql).to_pylist()[0]


def test_a_lake(web: TestClient, whole: Lake) -> None:
    found = got(web, "/api/lake")
    assert found["totals"] == whole.totals
    assert found["version"] == whole.version
    assert found["versions"][0]["version"] == whole.version
    assert (found["writing"], found["sources"], found["engines"]) == (False, 2, ["duckdb"])


def test_a_patient(web: TestClient, whole: Lake) -> None:
    row = one(whole, "select patient_key, count(distinct study_key) as n from series group by 1")
    found = got(web, f"/api/patients/{row['patient_key']}")
    assert found["patient_key"] == str(row["patient_key"])
    assert found["studies"] == len(found["all_studies"]) == row["n"]
    dates = [study["StudyDate"] for study in found["all_studies"]]
    assert dates == sorted(dates, reverse=True)


def test_a_study(web: TestClient, whole: Lake) -> None:
    uid = one(whole, "select StudyInstanceUID as u from series where Modality = 'SR'")["u"]
    found = got(web, f"/api/studies/{uid}")
    rows = whole.sql(
        f"select SeriesInstanceUID, instances from series where StudyInstanceUID = '{uid}'"
    ).to_pylist()
    listed = {row["SeriesInstanceUID"]: row["instances"] for row in found["all_series"]}
    assert listed == {row["SeriesInstanceUID"]: row["instances"] for row in rows}
    assert found["patient"]["studies"] == len(found["others"]) + 1
    assert all(other["StudyInstanceUID"] != uid for other in found["others"])
    assert found["reports"]
    assert found["reports"][0]["title"]
    assert any(line["value"] for line in found["reports"][0]["lines"])


def test_a_series(web: TestClient, whole: Lake) -> None:
    row = one(whole, "select * from series where instances > 5")
    uid = row["SeriesInstanceUID"]
    found = got(web, f"/api/series/{uid}", limit=3)
    assert found["row"]["Modality"] == row["Modality"]
    rest = got(web, f"/api/series/{uid}", limit=1000, offset=3)["page"]
    assert len(found["page"]) + len(rest) == row["instances"]
    sql = "select count(distinct (path, vr)) as n from elements where series_id = "
    paths = one(whole, sql + str(row["series_id"]))
    assert len(found["elements"]) == paths["n"]


def test_a_header(web: TestClient, whole: Lake) -> None:
    sql = "select SOPInstanceUID as u from instances join series using (series_id) "
    uid = one(whole, sql + "where Manufacturer ilike 'siemens%' and Modality = 'MR'")["u"]
    found = got(web, f"/api/instances/{uid}/header")
    assert found["json"] == whole.header(uid)
    assert [node["tag"] for node in found["tree"]] == [
        f"({tag[:4]},{tag[4:]})" for tag in sorted(found["json"])
    ]
    private = [node for node in found["tree"] if node["creator"]]
    assert private
    assert any(node["name"] for node in private)
    sequence = next(node for node in found["tree"] if node["vr"] == "SQ" and node["items"])
    assert sequence["items"][0][0]["path"].startswith(sequence["path"] + ".")
    for node in found["tree"]:
        if not node["private"] and node["keyword"]:
            assert whole.vocabulary.find(node["path"]) is not None or node["tag"] < "(0008"


def test_what_is_inside(web: TestClient, whole: Lake) -> None:
    for table, name in (("segments", "segments"), ("waveforms", "channels"), ("items", "items"),
                        ("dose_events", "dose_events")):  # fmt: skip
        uid = one(whole, f"select SOPInstanceUID as u from {table}")["u"]
        found = got(web, f"/api/instances/{uid}/inside")
        count = whole.inside(uid)[table].num_rows
        if name != "items":
            assert len(found[name]) == count
            continue
        todo, met = list(found["items"]), 0
        while todo:
            item = todo.pop()
            met += 1
            todo += item["children"]
        assert met == count


def test_a_waveform(web: TestClient, whole: Lake) -> None:
    uid = one(whole, "select SOPInstanceUID as u from waveforms")["u"]
    wave = whole.waveform(uid)
    found = got(web, f"/api/instances/{uid}/waveform")
    assert found["leads"] == list(wave.leads)
    told = np.array(found["channels"], dtype=float)
    assert np.allclose(told, np.where(wave.mask, np.nan, wave.samples).T, equal_nan=True)
    raw = web.get(f"/api/instances/{uid}/waveform", params={"format": "float32"})
    shape = int(raw.headers["x-channels"]), int(raw.headers["x-points"])
    assert np.allclose(np.frombuffer(raw.content, "<f4").reshape(shape), told, equal_nan=True)
    thin = got(web, f"/api/instances/{uid}/waveform", width=8)
    assert thin["points"] == 16
    few = np.array(thin["channels"], dtype=float)
    assert np.array_equal(few.max(axis=1), told.max(axis=1))
    assert np.array_equal(few.min(axis=1), told.min(axis=1))
    assert web.get(f"/api/instances/{uid}/waveform", params={"group": 99}).status_code == 404
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "MOST_SAMPLES", 10)
        many = web.get(f"/api/instances/{uid}/waveform")
        assert many.status_code == 404
        assert "pixels" in many.json()["detail"]


def test_two_headers(web: TestClient, whole: Lake) -> None:
    sql = "select SOPInstanceUID as u from instances join series using (series_id) "
    first, second = (row["u"] for row in whole.sql(sql + "where Modality='CT' limit 2").to_pylist())
    found = got(web, "/api/compare", a=first, b=second)
    a, b = whole.header(first), whole.header(second)
    top = {node["tag"] for node in found["differences"] if " " not in node["place"]}
    expected = {f"({tag[:4]},{tag[4:]})" for tag in {*a, *b} if a.get(tag) != b.get(tag)}
    nested = {node["place"].split(" ")[0] for node in found["differences"]}
    assert expected == nested
    assert top <= expected
    assert found["same"] == sum(1 for tag in a if b.get(tag) == a[tag])
    assert got(web, "/api/compare", a=first, b=first)["differences"] == []


def test_how_common_a_value_is(web: TestClient, whole: Lake) -> None:
    found = got(web, "/api/common", path="Modality", value="MR")
    assert found["found"] == whole.query("Modality = 'MR'").totals
    assert found["whole"] == whole.query().totals
    assert found["share"] == round(found["found"]["series"] / found["has"]["series"], 6)
    coded = got(web, "/api/common", path="segment.type", value="SCT:39607008")
    assert coded["found"] == whole.query("segment.type within SCT:39607008").totals


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/patients/1", 404),
        ("/api/patients/x", 422),
        ("/api/patients/99999999999999999999", 422),
        ("/api/studies/1.2.3", 404),
        ("/api/series/1.2.3", 404),
        ("/api/instances/1.2.3/header", 404),
        ("/api/instances/1.2.3/inside", 404),
        ("/api/instances/1.2.3/waveform", 404),
        ("/api/instances/'; drop table series; --/header", 404),
        ("/api/instances/%00/header", 404),
        ("/api/compare?a=1&b=2", 404),
        ("/api/compare?a=1", 422),
        ("/api/common?path=Nothing&value=1", 422),
        ("/api/common?path=KVP&value=high", 422),
        ("/api/common?path=ProcedureCodeSequence&value=x", 422),
        ("/api/common?path=PixelData&value=x", 422),
    ],
)
def test_what_is_not_there_is_said(web: TestClient, path: str, status: int) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text


SCRIPT = "<script>alert(1)</script>^<img src=x onerror=alert(2)>"


def test_script_in_a_name_is_plain_json(tmp_path: Path) -> None:
    """What an object says is data, wherever it comes out."""
    made = image(PatientName=SCRIPT, SeriesDescription="=cmd|'/c calc'!A1")
    (tmp_path / "one.dcm").write_bytes(encode(made))
    index([tmp_path / "one.dcm"], tmp_path / "lake", workers=1)
    uid = str(made["SOPInstanceUID"])
    with TestClient(app(tmp_path / "lake", Settings()), base_url="http://localhost") as web:
        body = {"show": ["PatientName", "SeriesDescription"]}
        asked = web.post("/api/query", json=body)
        header = web.get(f"/api/instances/{uid}/header")
        study = web.get(f"/api/studies/{made['StudyInstanceUID']}")
        values = web.get(
            "/api/vocabulary/values", params={"path": "PatientName", "prefix": "<script"}
        )
        for answer in (asked, header, study, values):
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script>" in answer.text
        assert asked.json()["rows"][0][0] == SCRIPT
        assert study.json()["patient"]["PatientName"] == SCRIPT
        table = web.post("/api/query/export", json=body)
        assert table.headers["content-disposition"].startswith("attachment")
        assert ",'=cmd" in table.text or ",\"'=cmd" in table.text
