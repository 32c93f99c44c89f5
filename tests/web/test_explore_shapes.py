"""Answers have the shapes that OpenAPI promises, and odd requests never break the service."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomlake.api import Lake
from dicomlake.dicom import dictionary

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/api/lake", {}),
    ("GET", "/api/vocabulary", {"params": {}}),
    ("GET", "/api/vocabulary", {"params": {"parent": "@attributes", "limit": 1000, "zero": True}}),
    ("GET", "/api/vocabulary", {"params": {"search": "dose"}}),
    ("GET", "/api/vocabulary/node", {"params": {"path": "KVP"}}),
    ("GET", "/api/vocabulary/node", {"params": {"path": "@dose"}}),
    ("GET", "/api/vocabulary/values", {"params": {"path": "Modality"}}),
    ("GET", "/api/vocabulary/histogram", {"params": {"path": "StudyDate"}}),
    ("POST", "/api/query", {"json": {"level": "patient"}}),
    ("POST", "/api/query", {"json": {"level": "instance", "show": ["*.CodeMeaning", "KVP"]}}),
    ("POST", "/api/query/count", {"json": {"where": "Modality = 'MR'"}}),
    ("POST", "/api/query/steps", {"json": {"where": "Modality = 'MR' and not KVP exists"}}),
    ("POST", "/api/query/parse", {"json": {"text": "Modality = 'MR'"}}),
    ("POST", "/api/sql", {"json": {"sql": "select * from series"}}),
    ("POST", "/api/aggregate", {"json": {"by": ["Modality"], "others": True, "limit": 1}}),
    ("GET", "/api/fill-rate", {"params": {}}),
    ("GET", "/api/failures", {"params": {}}),
    ("GET", "/api/common", {"params": {"path": "Modality", "value": "MR"}}),
]


def fits(web: TestClient, method: str, route: str, answer: Any) -> None:
    """Whether an answer is what the description says."""
    told = web.app.openapi()  # type: ignore[attr-defined]
    said = told["paths"][route][method.lower()]["responses"]["200"]["content"]["application/json"]
    schema = {**said["schema"], "components": told["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer)


@pytest.mark.parametrize(("method", "path", "rest"), ASKED)
def test_answers_fit_their_description(
    web: TestClient, method: str, path: str, rest: dict[str, Any]
) -> None:
    answer = web.request(method, path, **rest)
    assert answer.status_code == 200, answer.text
    fits(web, method, path, answer.json())


def test_details_fit_their_description(web: TestClient, whole: Lake) -> None:
    rows = whole.sql(
        'select any_value(patient_key) as patient_key, "StudyInstanceUID", "SeriesInstanceUID", '
        'min("SOPInstanceUID") as "SOPInstanceUID" from series join instances using (series_id) '
        "group by all order by all"
    ).to_pylist()
    wave = whole.sql('select "SOPInstanceUID" from waveforms').to_pylist()[0]["SOPInstanceUID"]
    routes = [
        "/api/patients/{patient_key}", "/api/studies/{StudyInstanceUID}",
        "/api/series/{SeriesInstanceUID}", "/api/instances/{SOPInstanceUID}/header",
        "/api/instances/{SOPInstanceUID}/inside",
    ]  # fmt: skip
    for row in rows[::3]:
        for route in routes:
            answer = web.get(route.format(**row))
            assert answer.status_code == 200, answer.text
            fits(web, "GET", route, answer.json())
    route = "/api/instances/{SOPInstanceUID}/waveform"
    fits(web, "GET", route, web.get(route.format(SOPInstanceUID=wave)).json())
    params = {"a": wave, "b": rows[0]["SOPInstanceUID"]}
    fits(web, "GET", "/api/compare", web.get("/api/compare", params=params).json())


# Anything at all

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
PATHS = st.sampled_from(
    ["Modality", "KVP", "StudyDate", "*.EchoTime", "segment.type", "event.DLP", "anatomy",
     "[DCM:113701]", "ProcedureCodeSequence", "PatientAge", "StudyTime", "Modalty", "PixelData",
     '(0019,"SIEMENS MR HEADER",0C)', "segment", "*.[DCM:113838]", "PatientName", ""]
)  # fmt: skip
VALUES = SCALARS | st.sampled_from(["MR", "2024-01-01", "12:00", "45Y", "SCT:1", 120])
LEAVES = st.one_of(
    st.fixed_dictionaries({"compare": st.fixed_dictionaries(
        {"path": PATHS, "op": st.sampled_from(["=", "!=", "<", ">="]), "value": VALUES})}),
    st.fixed_dictionaries({"one_of": st.fixed_dictionaries(
        {"path": PATHS, "values": st.lists(VALUES, max_size=3)})}),
    st.fixed_dictionaries({"between": st.fixed_dictionaries(
        {"path": PATHS, "low": VALUES, "high": VALUES})}),
    st.fixed_dictionaries({"contains": st.fixed_dictionaries({"path": PATHS, "text": VALUES})}),
    st.fixed_dictionaries({"like": st.fixed_dictionaries({"path": PATHS, "pattern": VALUES})}),
    st.fixed_dictionaries({"exists": st.fixed_dictionaries({"path": PATHS})}),
    st.dictionaries(st.text(max_size=5), SCALARS, max_size=2),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"same": st.fixed_dictionaries(
            {"level": st.sampled_from(["series", "item", "segment", "instance"]), "part": inner})}),
    ),
    max_leaves=5,
)  # fmt: skip
FUZZ = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def send(web: TestClient, path: str, body: Any, **params: Any) -> None:
    raw = json.dumps(body)
    answer = web.post(
        path, content=raw, params=params, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (200, 422), (path, raw, answer.text)


@FUZZ
@given(where=TREES | st.text(max_size=30) | SCALARS, level=st.sampled_from(
    ["patient", "series", "instance"]))  # fmt: skip
def test_any_question_is_answered_or_refused(web: TestClient, where: Any, level: str) -> None:
    for path in ("/api/query", "/api/query/count", "/api/query/steps"):
        send(web, path, {"where": where, "level": level})
    send(web, "/api/query/parse", {"json": where})
    send(web, "/api/query/export", {"where": where, "level": level}, format="parquet")


@FUZZ
@given(by=st.lists(PATHS, max_size=2), what=st.sampled_from(["series", "mean", "instances"]),
       of=PATHS, bin_=st.sampled_from([None, "year", "hour", "weekday", "width"]))  # fmt: skip
def test_any_grouping_is_answered_or_refused(
    web: TestClient, by: list[str], what: str, of: str, bin_: str | None
) -> None:
    bins = [{"path": path, "bin": bin_, "width": 7.5} for path in by]
    send(web, "/api/aggregate", {"by": bins, "measure": {"what": what, "of": of}})
    send(web, "/api/aggregate", {"by": by})


@FUZZ
@given(path=PATHS | st.text(max_size=20), words=st.text(max_size=12))
def test_any_path_is_shown_or_refused(web: TestClient, path: str, words: str) -> None:
    where = "Modality = 'CT'"
    for route, params in (
        ("", {"parent": path, "search": words}),
        ("/node", {"path": path}),
        ("/values", {"path": path, "prefix": words, "where": where}),
        ("/histogram", {"path": path, "bins": 7}),
    ):
        answer = web.get(f"/api/vocabulary{route}", params=params)
        assert answer.status_code in (200, 422), (route, params, answer.text)
    answer = web.get("/api/common", params={"path": path, "value": words})
    assert answer.status_code in (200, 422), (path, words, answer.text)


def test_every_term_has_values_and_histograms(web: TestClient, whole: Lake) -> None:
    """No path of the vocabulary breaks what is asked of it."""
    for term in list(whole.vocabulary)[::3]:
        for route in ("node", "values", "histogram"):
            answer = web.get(f"/api/vocabulary/{route}", params={"path": term.path})
            assert answer.status_code in (200, 422), (term.path, route, answer.text)
        if term.kind in ("text", "number", "date") and "." not in term.path:
            assert web.post("/api/aggregate", json={"by": [term.path]}).status_code == 200
        assert dictionary.kind_of(term.vr)
