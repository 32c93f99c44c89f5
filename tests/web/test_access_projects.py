"""A project sees nothing of other series, whatever it asks; and all that it may see, as it is."""

from __future__ import annotations

import gzip
import json
import shutil
import warnings
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pydicom
import pydicom.errors
import pytest

import dicomlake
from dicomlake.engines.groups import By, Grouped
from dicomlake.errors import UsageError
from dicomlake.jobs import cohorts
from dicomlake.jobs.access.roles import WHOLE
from dicomlake.jobs.dose.overview import TABLES
from dicomlake.jobs.index import index
from dicomlake.jobs.saved import Saved
from dicomlake.query import parse
from dicomlake.settings import Project, Settings
from dicomlake.web import app
from dicomlake.web.access.lakes import part_of
from dicomlake.web.access.needs import declared

from .guarded import (
    HIDDEN,
    HIDDEN_INSTANCE,
    MARK,
    NOTHING,
    OTHER,
    OTHER_INSTANCE,
    OTHER_STUDY,
    PROJECTS,
    SEEN,
    SEEN_INSTANCE,
    STUDY,
    House,
    house,
    make_lake,
    settings,
)

WHO = "researcher"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("projects"))


@pytest.fixture(scope="module")
def inside(made: Path) -> Iterator[House]:
    cohorts.freeze(made, "ours", project="open")  # with what the project does not see
    cohorts.freeze(made, f"{MARK}-theirs", f"SeriesDescription = '{MARK}'")
    with house(made) as found:
        yield found


SECRETS = [MARK, HIDDEN, OTHER_STUDY, MARK.encode("utf-16-le").decode("latin-1")]


def reveals(content: bytes) -> list[str]:
    """What of the hidden series is in an answer."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    return [secret for secret in SECRETS if secret.encode("latin-1") in content]


QUESTIONS: list[Any] = [
    None,
    "Modality = 'MR'",
    "not Modality = 'CT'",
    "PatientID exists",
    f"SeriesDescription = '{MARK}'",
    '(0029,"QXHIDDEN HEADER",08) exists',
    f"same(study, SeriesDescription = 'seen' and StationName = '{MARK}')",
    f"fact.kind = '{MARK}' or document.text contains '{MARK}'",
    "related(fact exists, Modality exists, within 99999 days) or fact exists",
]
PATHS = [
    "Modality", "SeriesDescription", "ProtocolName", "StationName", "ManufacturerModelName",
    "PatientID", "PatientName", "AccessionNumber", "StudyDescription", "PatientComments",
    "fact.kind", "fact.code", "fact.text", "document.language", "document.text",
    "SeriesInstanceUID", '(0029,"QXHIDDEN HEADER",08)', "*.StationName",
]  # fmt: skip
SHOW = [*PATHS, "NumberOfStudyRelatedSeries", "ModalitiesInStudy", "SOPInstanceUID"]


def requests() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Route, method, path and the rest of requests that might tell of hidden series."""
    yield "/api/me", "GET", "/api/me", {}
    yield "/api/lake", "GET", "/api/lake", {}
    for parent in ("", "@attributes", "@private", "@anatomy", "@reports", "@facts", "@documents"):
        yield (
            "/api/vocabulary",
            "GET",
            "/api/vocabulary",
            {"params": {"parent": parent, "limit": 1000, "zero": "true"}},
        )
    for word in ("qx", "seen", "station", "description", "2.25.666"):
        yield "/api/vocabulary", "GET", "/api/vocabulary", {"params": {"search": word}}
    for path in PATHS:
        for kind in ("node", "values", "histogram"):
            route = f"/api/vocabulary/{kind}"
            yield route, "GET", route, {"params": {"path": path}}
        yield "/api/fill-rate", "GET", "/api/fill-rate", {"params": {"by": path, "path": PATHS}}
        yield "/api/fill-rate", "POST", "/api/fill-rate", {"json": {"by": path, "path": PATHS}}
        asked = {"by": [path], "measure": {"what": "patients"}}
        yield "/api/aggregate", "POST", "/api/aggregate", {"json": asked}
        common = {"path": path, "value": "seen"}
        yield "/api/common", "GET", "/api/common", {"params": common}
    for level in ("patient", "study", "series", "instance"):
        for where in QUESTIONS:
            body: dict[str, Any] = {"where": where, "level": level}
            rows = {**body, "show": SHOW}
            yield "/api/query", "POST", "/api/query", {"json": {**rows, "limit": 10_000}}
            yield "/api/query/count", "POST", "/api/query/count", {"json": body}
            yield "/api/query/steps", "POST", "/api/query/steps", {"json": body}
        for form in ("csv", "ndjson", "parquet"):
            yield "/api/query/export", "POST", "/api/query/export", {
                "json": {"level": level, "show": SHOW}, "params": {"format": form}
            }  # fmt: skip
    yield "/api/queries", "GET", "/api/queries", {}
    yield "/api/permalink", "GET", "/api/permalink", {"params": {"link": "q0"}}
    yield "/api/patients/{patient_key}", "GET", "/api/patients/1", {}
    route = "/api/patients/{patient_key}/timeline"
    yield route, "GET", "/api/patients/1/timeline", {}
    for negated in ("true", "false"):
        wanted = {"words": "seen", "negated": negated}
        yield "/api/documents", "GET", "/api/documents", {"params": wanted}
    yield "/api/documents/{document_key}", "GET", "/api/documents/1", {}
    for part in ("devices", "utilisation", "gaps"):
        for where in ({}, {"where": "Modality = 'MR'"}):
            route = f"/api/activity/{part}"
            yield route, "GET", route, {"params": where}
    yield "/api/studies/{StudyInstanceUID}", "GET", f"/api/studies/{STUDY}", {}
    yield "/api/series/{SeriesInstanceUID}", "GET", f"/api/series/{SEEN}", {}
    yield "/api/studies/{StudyInstanceUID}/findings", "GET", f"/api/studies/{STUDY}/findings", {}
    route = "/api/series/{SeriesInstanceUID}/statements"
    yield route, "GET", f"/api/series/{SEEN}/statements", {}
    route = "/api/series/{SeriesInstanceUID}/provenance"
    yield route, "GET", f"/api/series/{SEEN}/provenance", {}
    yield "/api/series/{SeriesInstanceUID}/images", "GET", f"/api/series/{SEEN}/images", {}
    for where in (None, "Modality = 'MR'"):
        wanted = {"where": where, "limit": 1000}
        yield "/api/conformance", "POST", "/api/conformance", {"json": wanted}
        for by in ("device", "site", "year", "modality"):
            asked = {
                "params": {"by": by, "attribute": PATHS[:4], **({"where": where} if where else {})}
            }
            yield "/api/quality", "GET", "/api/quality", asked
            yield "/api/quality/report", "GET", "/api/quality/report", asked
    for path in PATHS:
        data = {"by": [path], "measure": {"what": "patients"}}
        spec = {"mark": "bar", "data": {"dicomlake": data}, "encoding": {}}
        yield "/api/charts/data", "POST", "/api/charts/data", {"json": {"spec": spec}}
    yield "/api/charts", "GET", "/api/charts", {}
    for part in ("header", "inside", "waveform", "overlay"):
        route = f"/api/instances/{{SOPInstanceUID}}/{part}"
        yield route, "GET", f"/api/instances/{SEEN_INSTANCE}/{part}", {}
    asked = {"json": {"SOPInstanceUID": SEEN_INSTANCE}}
    yield "/api/deid/preview", "POST", "/api/deid/preview", asked
    both = {"a": SEEN_INSTANCE, "b": SEEN_INSTANCE}
    yield "/api/federation", "GET", "/api/federation", {}
    study = {"name": "x", "sections": {"CT": "Modality = 'CT'", "MR": "Modality = 'MR'"}}
    study |= {"by": ["modality", "sex", "year", "age", "device"]}
    yield "/api/federation/answer", "POST", "/api/federation/answer", {"json": {"study": study}}
    yield "/api/federation/ask", "POST", "/api/federation/ask", {"json": {"text": str(study)}}
    yield "/api/compare", "GET", "/api/compare", {"params": both}
    for profile in ("basic", "research"):
        wanted = {"profile": profile, "examples": True}
        yield "/api/deid/plan", "POST", "/api/deid/plan", {"json": wanted}
    yield "/api/deid/profiles", "GET", "/api/deid/profiles", {}
    yield "/api/deid/profiles/{name}", "GET", "/api/deid/profiles/basic", {}
    yield from of_doses()
    yield from of_cohorts()
    yield from of_dicomweb()
    yield from of_fhir()


def of_doses() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for where in QUESTIONS[:5]:
        asked = {"params": {"where": where} if where else {}}
        route = "/api/dose/overview"
        yield route, "GET", route, asked
        yield route, "POST", route, {"json": {"where": where}}
        yield "/api/dose/report", "GET", "/api/dose/report", asked
        for name in TABLES:
            yield "/api/dose/{name}", "GET", f"/api/dose/{name}", asked
            yield "/api/dose/{name}", "POST", f"/api/dose/{name}", {"json": {"where": where}}
    yield "/api/dose/patients/{patient_key}", "GET", "/api/dose/patients/1", {}


def of_cohorts() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    base = "/api/cohorts"
    yield base, "GET", base, {}
    for name in ("ours", f"{MARK}-theirs", "none"):
        one = f"{base}/{{name}}"
        yield one, "GET", f"{base}/{name}", {}
        for part in ("series", "check", "news"):
            wanted = {"params": {"limit": 1000} if part == "series" else {}}
            yield f"{one}/{part}", "GET", f"{base}/{name}/{part}", wanted
        for other in ("ours", f"{MARK}-theirs"):
            wanted = {"params": {"other": other}}
            yield f"{one}/compare", "GET", f"{base}/{name}/compare", wanted
        for uid in (HIDDEN, OTHER):
            decision = {"what": "include", "of": [uid], "reason": "x"}
            yield f"{one}/decisions", "POST", f"{base}/{name}/decisions", {"json": decision}


def of_dicomweb() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    root = "/dicom-web"
    xml = {"accept": 'multipart/related; type="application/dicom+xml"'}
    for level in ("studies", "series", "instances"):
        for query in (
            {"includefield": "all", "limit": "1000"},
            {"PatientID": "SEEN", "includefield": "all"},
            {"PatientName": "*a*", "fuzzymatching": "true"},
            {"StudyInstanceUID": f"{STUDY},{OTHER_STUDY}", "includefield": "00290008"},
        ):
            yield f"{root}/{level}", "GET", f"{root}/{level}", {"params": query}
        yield f"{root}/{level}", "GET", f"{root}/{level}", {"headers": xml}
    study, series = f"{root}/studies/{STUDY}", f"{root}/studies/{STUDY}/series/{SEEN}"
    instance = f"{series}/instances/{SEEN_INSTANCE}"
    for base, filled, more in (
        ("/studies/{study}", study, ("", "/series", "/instances", "/metadata", "/rendered",
                                     "/thumbnail")),
        ("/studies/{study}/series/{series}", series,
         ("", "/instances", "/metadata", "/rendered", "/thumbnail")),
        ("/studies/{study}/series/{series}/instances/{instance}", instance,
         ("", "/metadata", "/rendered", "/thumbnail")),
    ):  # fmt: skip
        for end in more:
            for headers in ({}, {"accept": "*/*"}):
                yield f"{root}{base}{end}", "GET", filled + end, {"headers": headers}
    base = f"{root}/studies/{{study}}/series/{{series}}/instances/{{instance}}"
    yield f"{base}/frames/{{frames}}", "GET", f"{instance}/frames/1", {}
    for end in ("rendered", "thumbnail"):
        yield f"{base}/frames/{{frames}}/{end}", "GET", f"{instance}/frames/1/{end}", {}
    yield f"{base}/bulkdata/{{path:path}}", "GET", f"{instance}/bulkdata/7FE00010", {}
    uids = {"requestType": "WADO", "studyUID": STUDY, "seriesUID": SEEN}
    for path in ("/wado", "/"):
        wanted = {**uids, "objectUID": SEEN_INSTANCE, "contentType": "application/dicom"}
        yield f"{root}{path}", "GET", root + path, {"params": wanted}


def of_fhir() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Exports are looked into by test_fhir.py, because they take a while."""
    for type_ in ("ImagingStudy", "Patient", "Device", "Provenance", "Observation"):
        for accept in ("application/fhir+json", "application/fhir+json; fhirVersion=5.0"):
            wanted = {"params": {"_count": 1000}, "headers": {"accept": accept}}
            yield "/fhir/{type_}", "GET", f"/fhir/{type_}", wanted
        yield "/fhir/{type_}/{id_}", "GET", f"/fhir/{type_}/1", {}
    for query in ({"identifier": f"urn:oid:{OTHER_STUDY}"}, {"patient.identifier": f"{MARK}-P"}):
        more = {"data": {**query, "_include": "ImagingStudy:patient"}}
        yield "/fhir/{type_}/_search", "POST", "/fhir/ImagingStudy/_search", more
        yield "/fhir/{type_}", "GET", "/fhir/ImagingStudy", {"params": query}
    yield "/fhir/$export", "GET", "/fhir/$export", {"headers": {"prefer": "respond-async"}}
    for route in ("/fhir/$export-status/{id_}", "/fhir/$export-file/{id_}/{name}"):
        yield route, "GET", route.replace("{id_}", "none").replace("{name}", "Patient.1.ndjson"), {}


def test_no_answer_tells_of_a_hidden_series(inside: House) -> None:
    found = {}
    for route, method, path, more in requests():
        answer = inside.ask(WHO, method, path, **more)
        assert answer.status_code < 500, (path, more, answer.text)
        told = reveals(without_echo(route, answer, more))
        if told:
            found[f"{method} {path} {more}"] = told
    assert found == {}


def without_echo(route: str, answer: Any, more: dict[str, Any]) -> bytes:
    """An answer without the texts that were sent with the question."""
    content: bytes = answer.content
    if answer.status_code == 200 and route == "/api/query/steps":  # parts of it, written anew
        said = answer.json()
        for step in said["steps"]:
            step["text"] = step["sentence"] = ""
        return json.dumps(said).encode()
    said = [more.get(name) for name in ("params", "json", "data")]
    for sent in sorted(texts(said), key=len, reverse=True):
        quoted = (json.dumps(sent)[1:-1], sent.replace('"', '""'), quote_plus(sent), escape(sent))
        for form in (sent, *quoted):
            content = content.replace(form.encode(), b"<sent>")
    return content


def texts(sent: Any) -> Iterator[str]:
    """All texts of a request that say a secret."""
    if isinstance(sent, str):
        if reveals(sent.encode()):
            yield sent
    elif isinstance(sent, dict | list):
        for one in sent.values() if isinstance(sent, dict) else sent:
            yield from texts(one)


def test_all_routes_are_asked(made: Path) -> None:
    """A new route has to be added to `requests`, or to the ones that cannot tell."""
    asked = {(method, route) for route, method, _, _ in requests()}
    silent = {
        ("POST", "/api/query/parse"), ("DELETE", "/api/query/{id}"), ("POST", "/api/queries"),
        ("GET", "/api/queries/{id}"), ("PUT", "/api/queries/{id}"),
        ("DELETE", "/api/queries/{id}"), ("POST", "/api/permalink"),
        ("GET", "/api/query/{id}/events"), ("POST", "/api/charts"), ("GET", "/api/charts/{id}"),
        ("PUT", "/api/charts/{id}"), ("DELETE", "/api/charts/{id}"),
        ("DELETE", "/fhir/$export-status/{id_}"),
    }  # fmt: skip
    reading = {
        (method, path)
        for method, path, needed in declared(app(made, Settings()))
        if needed & {"read", "count"} and not needed & WHOLE
    }
    curating = {
        ("GET", "/api/me"), ("POST", "/api/cohorts/{name}/decisions"), ("POST", "/api/deid/plan"),
        ("GET", "/api/deid/profiles"), ("GET", "/api/deid/profiles/{name}"),
        ("GET", "/api/federation"), ("POST", "/api/federation/answer"),
        ("POST", "/api/federation/ask"),
    }  # fmt: skip
    assert reading - silent == asked - curating


def test_they_would_tell_of_it_to_others(inside: House) -> None:
    """What hides nothing finds the mark by nearly all ways: the test above can fail."""
    telling = {
        route
        for route, method, path, more in requests()
        if reveals(inside.ask("researcher of all", method, path, **more).content)
    }
    assert telling >= {
        "/api/vocabulary", "/api/vocabulary/node", "/api/vocabulary/values", "/api/aggregate",
        "/api/fill-rate", "/api/query", "/api/query/export", "/api/studies/{StudyInstanceUID}",
        "/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances",
        "/dicom-web/studies/{study}/series", "/dicom-web/studies/{study}/instances",
        "/dicom-web/studies/{study}", "/dicom-web/studies/{study}/metadata",
    }  # fmt: skip


HIDING = [
    f"/api/studies/{OTHER_STUDY}",
    f"/api/series/{HIDDEN}",
    f"/api/series/{OTHER}",
    f"/api/series/{HIDDEN}/images",
    f"/api/series/{HIDDEN}/provenance",
    f"/api/series/{HIDDEN}/statements",
    f"/api/studies/{OTHER_STUDY}/findings",
    f"/api/instances/{HIDDEN_INSTANCE}/overlay",
    *(f"/api/instances/{uid}/{part}" for uid in (HIDDEN_INSTANCE, OTHER_INSTANCE)
      for part in ("header", "inside", "waveform")),
    f"/api/compare?a={HIDDEN_INSTANCE}&b={SEEN_INSTANCE}",
    f"/api/compare?a={SEEN_INSTANCE}&b={OTHER_INSTANCE}",
    *(f"/dicom-web/studies/{OTHER_STUDY}{end}"
      for end in ("", "/series", "/instances", "/metadata", "/rendered", "/thumbnail")),
    *(f"/dicom-web/studies/{STUDY}/series/{HIDDEN}{end}"
      for end in ("", "/instances", "/metadata", "/rendered", "/thumbnail")),
    *(f"/dicom-web/studies/{STUDY}/series/{HIDDEN}/instances/{HIDDEN_INSTANCE}{end}"
      for end in ("", "/metadata", "/frames/1", "/bulkdata/7FE00010", "/rendered", "/thumbnail",
                  "/frames/1/rendered", "/frames/1/thumbnail")),
    f"/dicom-web/wado?requestType=WADO&studyUID={STUDY}&seriesUID={HIDDEN}"
    f"&objectUID={HIDDEN_INSTANCE}&contentType=application/dicom",
    f"/dicom-web/instances?SOPInstanceUID={HIDDEN_INSTANCE}",
    f"/dicom-web/series?SeriesInstanceUID={HIDDEN}",
    f"/api/vocabulary/values?path=StationName&prefix={MARK}",
    f"/api/common?path=StationName&value={MARK}",
]  # fmt: skip


@pytest.mark.parametrize("path", HIDING)
def test_a_hidden_series_answers_like_one_that_is_not_there(inside: House, path: str) -> None:
    gone = path
    for uid in _SECRET:
        gone = gone.replace(uid, NOTHING)
    first, second = inside.get(WHO, path), inside.get(WHO, gone)
    assert first.status_code == second.status_code
    assert _without_uids(first.text) == _without_uids(second.text)
    assert first.headers.keys() == second.headers.keys()
    whole = inside.get("researcher of all", path)
    assert (whole.status_code, whole.content) != (first.status_code, first.content)


_SECRET = (HIDDEN_INSTANCE, OTHER_INSTANCE, OTHER, OTHER_STUDY, HIDDEN, MARK)


def _without_uids(text: str) -> str:
    for uid in (*_SECRET, NOTHING):
        text = text.replace(uid, "<uid>")
    return text


def test_what_a_project_may_see_it_sees(inside: House) -> None:
    study = inside.get(WHO, f"/api/studies/{STUDY}").json()
    assert [one["SeriesInstanceUID"] for one in study["all_series"]] == [SEEN]
    assert (study["series"], study["patient"]["series"]) == (1, 1)
    header = inside.get(WHO, f"/api/instances/{SEEN_INSTANCE}/header")
    assert header.status_code == 200
    root = f"/dicom-web/studies/{STUDY}/series/{SEEN}/instances/{SEEN_INSTANCE}"
    assert inside.get(WHO, f"{root}/thumbnail").status_code == 200
    assert inside.get(WHO, root).status_code == 200
    found = inside.get(WHO, "/dicom-web/studies", StudyInstanceUID=STUDY).json()
    assert found[0]["00201206"]["Value"] == [1]


@pytest.mark.parametrize(
    ("who", "path"),
    [(WHO, "/api/sql"), ("steward of a project", "/api/sql")],
)
def test_sql_is_for_those_who_see_the_whole_lake(inside: House, who: str, path: str) -> None:
    assert inside.post(who, path, {"sql": "select 1"}).status_code == 403


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{lake}/_access/tokens.json')",
        "select * from read_text('{lake}/_access/*')",
        "select * from read_blob('{lake}/dicomlake.json')",
        "select * from read_csv('{lake}/series/../_access/tokens.json')",
        "select * from glob('{lake}/_access/*')",
        "select * from read_text('/etc/passwd')",
        "select * from '{lake}/_saved/saved.sqlite'",
        "attach '{lake}/_queue/requests.sqlite'",
        "copy (select 1) to '{lake}/series/x.parquet'",
        "select * from duckdb_secrets(); select 1",
        "set allowed_directories = ['/']",
        "load httpfs",
        "create table x as select 1",
        "pragma database_list",
    ],
)
def test_sql_reads_the_tables_and_nothing_else(inside: House, made: Path, sql: str) -> None:
    (made / "series" / "keep").touch()
    answer = inside.post("admin", "/api/sql", {"sql": sql.format(lake=made)})
    assert answer.status_code == 422 or answer.json()["rows"] == [], answer.text
    assert not (made / "series" / "x.parquet").exists()


def test_saved_questions_stay_in_their_project(inside: House) -> None:
    query = {"where": f"SeriesDescription = '{MARK}'"}
    shared = {"name": MARK, "shared": True, "query": query}
    made = inside.post("researcher of all", "/api/queries", shared).json()
    assert MARK in inside.get("researcher of all", "/api/queries").text
    assert MARK not in inside.get(WHO, "/api/queries").text
    answer = inside.get(WHO, f"/api/queries/{made['id']}")
    assert (answer.status_code, MARK in answer.text) == (404, False)
    assert inside.ask(WHO, "DELETE", f"/api/queries/{made['id']}").status_code == 404
    mine = inside.ask(
        WHO, "POST", "/api/queries", json={"name": "mine", "query": {}},
        headers={"x-user": "researcher of all"},
    ).json()  # fmt: skip
    assert mine["owner"] == "researcher"
    assert inside.get("viewer of a project", f"/api/queries/{mine['id']}").status_code == 404


def test_charts_stay_in_their_project(inside: House) -> None:
    data = {"by": ["Modality"], "where": f"SeriesDescription = '{MARK}'"}
    spec = {"mark": "bar", "data": {"dicomlake": data}, "encoding": {}}
    new = {"name": MARK, "shared": True, "spec": spec}
    made = inside.post("researcher of all", "/api/charts", new).json()
    assert MARK in inside.get("researcher of all", "/api/charts").text
    assert MARK not in inside.get(WHO, "/api/charts").text
    answer = inside.get(WHO, f"/api/charts/{made['id']}")
    assert (answer.status_code, MARK in answer.text) == (404, False)
    assert inside.ask(WHO, "DELETE", f"/api/charts/{made['id']}").status_code == 404


def test_saved_questions_of_before_projects_are_kept(tmp_path: Path) -> None:
    saved = Saved(tmp_path)
    kept = saved.put({"level": "study"}, name="old", shared=True)
    import sqlite3

    with sqlite3.connect(tmp_path / "_saved" / "saved.sqlite") as db:
        db.execute("alter table saved drop column project")
    assert [one.name for one in Saved(tmp_path).all()] == ["old"]
    assert Saved(tmp_path).get(kept.id).project == ""


def test_nobody_stops_questions_of_others(inside: House) -> None:
    assert inside.ask(WHO, "DELETE", "/api/query/mine").status_code == 404


# The part of a lake


def test_a_part_is_as_a_lake_of_these_series_alone(made: Path, tmp_path: Path) -> None:
    """Counts, vocabulary, groups and totals of a project are those of a lake that holds no more."""
    for name in ("all", "some"):
        (tmp_path / name).mkdir()
    for n, path in enumerate(sorted((made.parent / "files").rglob("*"))):
        modality = modality_of(path)
        if modality:
            shutil.copy(path, tmp_path / "all" / f"{n}.dcm")
        if modality in ("MR", "SR", "ECG", "SEG"):
            shutil.copy(path, tmp_path / "some" / f"{n}.dcm")
    index([tmp_path / "all"], tmp_path / "lake", workers=1)
    index([tmp_path / "some"], tmp_path / "alone", workers=1)
    project = Project(filter="Modality in ('MR', 'SR', 'ECG', 'SEG')")
    part = part_of(dicomlake.open(tmp_path / "lake"), project, tmp_path)
    alone = dicomlake.open(tmp_path / "alone")
    assert part.totals == alone.totals
    assert part.totals["series"] < dicomlake.open(tmp_path / "lake").totals["series"]
    rows = [[term_row(term) for term in lake.vocabulary] for lake in (part, alone)]
    assert rows[0] == rows[1]
    assert {row[0] for row in rows[0]} > {"Modality", "item"}
    for question in (
        Grouped((By("StationName"), By("Modality")), measure="patients"),
        Grouped((By("StudyDate", "year"),), measure="studies"),
    ):
        first, second = (
            sorted(map(str, lake.engine.groups(question).to_pylist())) for lake in (part, alone)
        )
        assert first == second
    for table in ("elements", "items", "segments", "waveforms", "instances"):
        assert part.table(table).num_rows == alone.table(table).num_rows > 0


def modality_of(path: Path) -> str:
    """The modality of a file; empty for what is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return str(pydicom.dcmread(path, stop_before_pixels=True).get("Modality", ""))
    except (pydicom.errors.InvalidDicomError, OSError):
        return ""


def term_row(term: Any) -> tuple[Any, ...]:
    return (
        term.path, term.vr, term.patients, term.studies, term.series, term.documents, term.empty,
        term.distinct, term.lowest, term.highest, term.histogram, term.values, term.units,
    )  # fmt: skip


@pytest.mark.parametrize("level", ["study", "patient"])
def test_a_filter_may_count_for_studies_or_patients(made: Path, tmp_path: Path, level: Any) -> None:
    project = Project(filter="SeriesDescription = 'seen'", level=level)
    part = part_of(dicomlake.open(made), project, tmp_path)
    found = part.query(None, show=["SeriesInstanceUID"]).rows.column(0).to_pylist()
    assert set(found) == {SEEN, HIDDEN}


def test_an_empty_part_is_empty(made: Path, tmp_path: Path) -> None:
    part = part_of(dicomlake.open(made), Project(filter="PatientID = 'nobody'"), tmp_path)
    assert set(part.totals.values()) == {0}
    assert len(part.vocabulary) == 0
    assert part.engine.count(None, "instance")["instances"] == 0
    for level in ("patient", "study", "series", "instance"):
        for where in ("KVP > 3", "Modality = 'CT' and not KVP exists", "same(instance, KVP = 1)"):
            assert part.query(where, level, ["KVP", "Modality"], ["KVP"]).rows.num_rows == 0
    assert part.engine.conformance(parse("KVP > 3"), "instance", 9).values.num_rows == 0


def test_files_of_parts_go_when_they_are_not_used(made: Path, tmp_path: Path) -> None:
    part = part_of(dicomlake.open(made), PROJECTS["open"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    del part
    import gc

    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_service_leaves_no_parts_behind(made: Path, tmp_path: Path) -> None:
    with house(made) as found:
        assert found.get(WHO, "/api/lake").status_code == 200
        assert list((made / "_access" / "parts").rglob("*.parquet"))
    mine = [path for path in (made / "_access" / "parts").iterdir() if not list(path.iterdir())]
    assert all(not list(path.rglob("*.parquet")) for path in mine)


def test_a_wrong_filter_is_told_at_once(made: Path) -> None:
    wrong = settings().model_copy(update={"project": {"x": Project(filter="Modalty = 'CT'")}})
    with pytest.raises(UsageError, match=r"project x .*Modality"):
        app(made, wrong)
