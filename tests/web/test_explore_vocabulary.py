"""The tree of what can be asked, its values and histograms, over HTTP."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dicomlake.api import Lake

PROBLEM = "application/problem+json"


def got(web: TestClient, path: str = "", /, **params: Any) -> dict[str, Any]:
    answer = web.get(f"/api/vocabulary{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_groups_stand_at_the_top(web: TestClient) -> None:
    groups = got(web)["terms"]
    assert [term["path"] for term in groups] == [
        "@attributes", "@anatomy", "@private", "@reports", "@items", "@segments", "@waveforms",
        "@dose",
    ]  # fmt: skip
    assert all(term["has_children"] and term["series"] for term in groups)
    clinical = [term["path"] for term in got(web, view="clinical")["terms"]]
    assert "@private" not in clinical


def test_what_is_asked_most_comes_first_for_clinicians(web: TestClient) -> None:
    paths = [t["path"] for t in got(web, parent="@attributes", view="clinical")["terms"]]
    assert paths[:3] == ["Modality", "BodyPartExamined", "StudyDescription"]
    counts = [t["patients"] for t in got(web, parent="@attributes", view="technical")["terms"]]
    assert counts == sorted(counts, reverse=True)


def test_every_term_is_below_some_group(web: TestClient, whole: Lake) -> None:
    """Walking down from the top meets every term of the vocabulary once."""
    met: list[str] = []
    todo = [""]
    while todo:
        found = got(web, parent=todo.pop(), zero=True, limit=1000)
        assert found["total"] == len(found["terms"])
        for term in found["terms"]:
            if not term["path"].startswith("@"):
                met.append(term["path"])
                above = [crumb["path"] for crumb in term["breadcrumb"]]
                assert above
                assert above[0].startswith("@")
            if term["has_children"]:
                todo.append(term["path"])
    assert len(met) == len(set(met))
    rows = {"segment", "item"}  # their columns stand below the group itself
    assert set(met) == {term.path for term in whole.vocabulary} - rows


def test_terms_say_what_the_vocabulary_says(web: TestClient, whole: Lake) -> None:
    for path in ("MagneticFieldStrength", "event.DLP", "[DCM:113701]", "ProcedureCodeSequence"):
        term, found = whole.vocabulary[path], got(web, "/node", path=path)
        assert (found["patients"], found["studies"], found["series"]) == (
            term.patients, term.studies, term.series,
        )  # fmt: skip
        assert found["definition"] == term.definition
        assert [value["value"] for value in found["values"]] == [v.value for v in term.values]
        assert (found["unit"], found["vr"], found["tag"]) == (term.unit, term.vr, term.tag)
    assert found["kind"] == "code"
    assert "within" in found["operators"]


def test_private_attributes_by_creator(web: TestClient) -> None:
    creators = got(web, parent="@private", limit=1000)["terms"]
    siemens = next(term for term in creators if term["label"] == "SIEMENS MR HEADER")
    inside = got(web, parent=siemens["path"])["terms"]
    assert {term["creator"] for term in inside} == {"SIEMENS MR HEADER"}
    assert inside[0]["breadcrumb"][-1]["label"] == "SIEMENS MR HEADER"
    assert got(web, search="siemens mr", limit=1)["terms"][0]["path"] == siemens["path"]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("field strength", "MagneticFieldStrength"),
        ("(0018,0087)", "MagneticFieldStrength"),
        ("kvp", "KVP"),
        ("THORAX", "SeriesDescription"),
        ("39607008", "segment.type"),
    ],
)
def test_search_finds_names_tags_codes_and_values(web: TestClient, words: str, path: str) -> None:
    found = got(web, search=words)["terms"]
    assert path in [term["path"] for term in found]
    assert all(term["breadcrumb"] for term in found if "@" not in term["path"])


def test_pages_of_terms(web: TestClient) -> None:
    first = got(web, parent="@attributes", limit=10)
    second = got(web, parent="@attributes", limit=10, offset=10)
    both = got(web, parent="@attributes", limit=20)
    assert first["terms"] + second["terms"] == both["terms"]
    assert both["total"] > 20


@pytest.mark.parametrize("path", ["Modality", "StationName", "SeriesDescription"])
@pytest.mark.parametrize("where", ["", "Modality = 'MR'", "KVP > 80"])
def test_values_are_those_of_sql(web: TestClient, whole: Lake, path: str, where: str) -> None:
    uids = whole.query(where, show=["SeriesInstanceUID"]).rows.column(0).to_pylist()
    listed = ", ".join(f"'{uid}'" for uid in uids)
    rows = whole.sql(
        "select text as v, count(distinct e.series_id) as n, count(distinct patient_key) as p "
        f"from elements e join series s using (series_id) where path = '{path}' "
        f'and text is not null and s."SeriesInstanceUID" in ({listed}) '
        "group by 1 order by n desc, p desc, v"
    ).to_pylist()
    found = got(web, "/values", path=path, where=where, limit=1000)
    said = [(v["value"], v["series"], v["patients"]) for v in found["values"]]
    assert said == [(row["v"], row["n"], row["p"]) for row in rows]
    assert found["more"] is False


def test_values_that_are_given_are_found_again(web: TestClient) -> None:
    """What values says can be asked, and finds as many."""
    for path in ("Modality", "KVP", "StudyDate", "PatientAge", "segment.type", "event.DLP",
                 "ProcedureCodeSequence", "anatomy", "[DCM:113701].[DCM:113705]"):  # fmt: skip
        for value in got(web, "/values", path=path)["values"][:3]:
            common = web.get("/api/common", params={"path": path, "value": value["value"]})
            assert common.status_code == 200, common.text
            assert common.json()["found"]["series"] >= value["series"], (path, value)


def test_values_begin_with_a_prefix(web: TestClient) -> None:
    found = got(web, "/values", path="SeriesDescription", prefix="thor")["values"]
    assert found
    assert all(value["value"].lower().startswith("thor") for value in found)
    assert got(web, "/values", path="segment.type", prefix="lung")["values"][0]["series"]
    assert len(got(web, "/values", path="PatientID", prefix="P", limit=1)["values"]) == 1
    assert got(web, "/values", path="PatientID", prefix="P", limit=1)["more"] is True


@pytest.mark.parametrize("path", ["KVP", "EchoTime", "StudyDate", "PatientAge", "event.DLP"])
def test_histograms_count_every_series(web: TestClient, whole: Lake, path: str) -> None:
    for bins in (1, 5, 50):
        found = got(web, "/histogram", path=path, bins=bins)["bins"]
        assert all(bar["low"] < bar["high"] for bar in found)
        assert all(a["high"] == b["low"] for a, b in pairwise(found))
        assert sum(bar["series"] for bar in found) >= whole.vocabulary[path].series
        assert len(found) <= 2 * bins + 1
    mr = got(web, "/histogram", path="EchoTime", where="Modality = 'CT'")
    assert mr["bins"] == []


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("", {"parent": "Nothing"}, 422),
        ("", {"parent": "@nothing"}, 422),
        ("", {"parent": "@private/nobody"}, 422),
        ("", {"limit": 0}, 422),
        ("/node", {"path": "Modalty"}, 422),
        ("/node", {"path": ""}, 422),
        ("/node", {"path": "\x00"}, 422),
        ("/values", {"path": "segment"}, 422),
        ("/values", {"path": "Modality", "where": "Modality ="}, 422),
        ("/values", {"path": "Modality", "where": "{"}, 422),
        ("/histogram", {"path": "Modality"}, 422),
        ("/histogram", {"path": "KVP", "bins": 1000}, 422),
        ("/node", {"path": "KVP", "version": 999}, 404),
    ],
)
def test_mistakes_are_said(web: TestClient, path: str, params: dict[str, Any], status: int) -> None:
    answer = web.get(f"/api/vocabulary{path}", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
