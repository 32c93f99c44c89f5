"""Viewers count: no number is exact, few are none, and no value points at anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dicomlake
from dicomlake.api import Lake
from dicomlake.jobs.access import masking
from dicomlake.jobs.index import index
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image

from .guarded import House, house

RARE = "QXRARE"
"""What three patients share; four in five do not."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masking")
    hospital.write(folder / "files", 14, pixels=False, seed=5)
    for n in range(3):
        rare = image(
            PatientID=f"RARE{n}", PatientName=f"Rare^{n}", StudyInstanceUID=f"2.25.8{n}",
            SeriesInstanceUID=f"2.25.8{n}.1", SOPInstanceUID=f"2.25.8{n}.1.1", Modality="OT",
            StationName=RARE, KVP=997, StudyDate="19010203",
            **{f'(0029,"{RARE}",08)': ("LO", RARE)},
        )  # fmt: skip
        (folder / "files" / f"rare{n}.dcm").write_bytes(encode(rare))
    index([folder / "files"], folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def inside(made: Path) -> Iterator[House]:
    with house(made) as found:
        yield found


@pytest.fixture(scope="module")
def whole(made: Path) -> Lake:
    return dicomlake.open(made)


def counts_in(said: Any) -> Iterator[int]:
    """All numbers of an answer that count something."""
    names = {"patients", "studies", "series", "instances", "value", "empty", "distinct", "objects"}
    if isinstance(said, dict):
        for key, value in said.items():
            if key in names and type(value) is int:
                yield value
            else:
                yield from counts_in(value)
    elif isinstance(said, list):
        for one in said:
            yield from counts_in(one)


def test_totals_are_in_steps(inside: House, whole: Lake) -> None:
    shown = inside.get("viewer", "/api/lake").json()["totals"]
    for name in ("patients", "studies", "series", "instances"):
        assert 0 <= whole.totals[name] - shown[name] < 5
        assert shown[name] % 5 == 0
    assert shown["failures"] == 0
    assert inside.get("viewer", "/api/lake").json()["path"] == ""


ASKED: list[tuple[str, str, Any]] = [
    ("POST", "/api/query/count", {"where": "Modality = 'CT'"}),
    ("POST", "/api/query/count", {"where": "Modality = 'CT'", "level": "instance"}),
    ("POST", "/api/query/steps", {
        "where": "Modality = 'CT' and (KVP >= 100 or not KVP exists)", "level": "patient"}),
    ("POST", "/api/aggregate", {"by": ["Modality"], "measure": {"what": "patients"}}),
    ("POST", "/api/aggregate", {
        "by": ["Manufacturer", {"path": "StudyDate", "bin": "year"}], "others": True}),
    ("GET", "/api/vocabulary?limit=1000&parent=@attributes", None),
    ("GET", "/api/vocabulary?limit=1000&parent=@private", None),
    ("GET", "/api/vocabulary/node?path=Modality", None),
    ("GET", "/api/vocabulary/values?path=Modality", None),
    ("GET", "/api/vocabulary/values?path=Manufacturer&where=StudyDate+exists", None),
    ("GET", "/api/vocabulary/histogram?path=KVP&bins=20", None),
    ("GET", "/api/vocabulary/histogram?path=StudyDate", None),
    ("GET", "/api/common?path=Modality&value=CT", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_every_count_is_in_steps_and_few_are_none(
    inside: House, method: str, path: str, body: Any
) -> None:
    answer = inside.ask("viewer", method, path, json=body)
    assert answer.status_code == 200, answer.text
    found = list(counts_in(answer.json()))
    assert found
    assert [number for number in found if number % 5] == []
    assert RARE not in answer.text
    exact = list(counts_in(inside.ask("steward", method, path, json=body).json()))
    assert [number for number in exact if number % 5] != []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/query/count", {"where": f"StationName = '{RARE}'"}),
        ("POST", "/api/query/count", {"where": "KVP = 997"}),
        ("GET", f"/api/common?path=StationName&value={RARE}", None),
        ("POST", "/api/query/count", {"where": "StudyDate = 1901-02-03", "level": "instance"}),
    ],
)
def test_few_patients_look_like_none(inside: House, method: str, path: str, body: Any) -> None:
    found = inside.ask("viewer", method, path, json=body).json()
    counts = found.get("totals") or found["found"]
    assert set(counts.values()) == {0}
    gone = re.sub(f"{RARE}|997|1901", lambda m: m[0].replace("R", "Z").replace("9", "3"), str(body))
    if body is not None:
        none = inside.ask("viewer", method, path, json=eval(gone))
        assert none.json()["totals"] == counts


def test_what_few_share_is_not_listed(inside: House) -> None:
    for path in (
        "/api/vocabulary/values?path=StationName&limit=1000",
        "/api/vocabulary?search=qxrare",
        "/api/vocabulary?parent=@private&limit=1000",
        f"/api/vocabulary/values?path=StationName&prefix={RARE}",
    ):
        assert RARE in inside.get("steward", path).text, path
        assert RARE not in inside.get("viewer", path).text.replace("prefix", ""), path
    node = inside.get("viewer", "/api/vocabulary/node", path="KVP").json()
    assert (node["lowest"], node["highest"], node["histogram"]) == ("", "", [])
    assert "997" not in str(node)
    bins = inside.get("viewer", "/api/vocabulary/histogram", path="KVP").json()["bins"]
    assert all(one["high"] < 997 for one in bins)
    body = {"by": ["StationName"], "others": True, "limit": 1000}
    rows = inside.post("viewer", "/api/aggregate", body).json()["rows"]
    assert RARE not in {str(key) for row in rows for key in row["keys"]}
    private = f'(0029,"{RARE}",08)'
    assert inside.get("viewer", "/api/vocabulary/node", path=private).status_code == 422


IDENTIFYING = [
    "PatientID = 'RARE1'", "PatientName contains 'Rare'", "AccessionNumber exists",
    "StudyInstanceUID = '2.25.81'", "SeriesInstanceUID exists", "SOPInstanceUID exists",
    "PatientBirthDate = 1960-01-02", "*.ReferencedSOPInstanceUID exists",
    "same(study, Modality = 'CT' and PatientID in ('RARE0', 'RARE1'))",
    "not (Modality = 'CT' or PatientID = 'x')",
    "related(Modality = 'CT', PatientID = 'RARE1', within 3 days)",
    "segment.tracking exists", "item.text contains 'Rare'", "ReferringPhysicianName exists",
    "RequestAttributesSequence.RequestedProcedureID exists",
]  # fmt: skip


@pytest.mark.parametrize("where", IDENTIFYING)
def test_nobody_who_counts_asks_for_persons(inside: House, where: str) -> None:
    exact = inside.post("steward", "/api/query/count", {"where": where})
    if exact.status_code == 422:
        pytest.fail(f"{where}: {exact.json()['detail']}")
    for path, body in (
        ("/api/query/count", {"where": where}),
        ("/api/query/steps", {"where": where}),
        ("/api/aggregate", {"where": where, "by": ["Modality"]}),
    ):
        answer = inside.post("viewer", path, body)
        assert (answer.status_code, "persons" in answer.text) == (403, True)
    for path in ("values?path=Modality", "histogram?path=KVP"):
        found = inside.ask("viewer", "GET", f"/api/vocabulary/{path}&where={_quoted(where)}")
        assert found.status_code == 403


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


@pytest.mark.parametrize("path", ["PatientID", "PatientName", "StudyInstanceUID", "StudyID"])
def test_nobody_who_counts_sees_values_that_identify(inside: House, path: str) -> None:
    assert inside.get("viewer", "/api/vocabulary/values", path=path).status_code == 403
    assert inside.post("viewer", "/api/aggregate", {"by": [path]}).status_code == 403
    assert inside.get("viewer", "/api/common", path=path, value="x").status_code == 403
    node = inside.get("viewer", "/api/vocabulary/node", path=path).json()
    assert node["values"] == []


@pytest.mark.parametrize("what", ["min", "max", "sum"])
def test_ends_and_sums_are_not_told(inside: House, what: str) -> None:
    body = {"by": ["Modality"], "measure": {"what": what, "of": "KVP"}}
    assert inside.post("viewer", "/api/aggregate", body).status_code == 403
    body["measure"] = {"what": "mean", "of": "KVP"}
    assert inside.post("viewer", "/api/aggregate", body).status_code == 200


def test_the_least_number_is_a_setting(made: Path) -> None:
    from .guarded import settings

    with house(made, settings(mask_below=12)) as found:
        shown = found.get("viewer", "/api/lake").json()["totals"]
        assert all(number % 12 == 0 for number in shown.values())
        assert found.get("viewer", "/api/me").json()["mask_below"] == 12
        assert found.get("steward", "/api/me").json()["mask_below"] == 0


def test_a_viewer_of_a_project_counts_in_it(inside: House, whole: Lake) -> None:
    shown = inside.get("viewer of a project", "/api/lake").json()["totals"]
    assert 0 < shown["series"] < inside.get("viewer", "/api/lake").json()["totals"]["series"]


def test_what_a_counting_lake_does_not_know_is_refused(whole: Lake) -> None:
    from dicomlake.errors import NotAllowed
    from dicomlake.web.access.lakes import CountsLake

    lake: Any = CountsLake(whole, 5)
    for name in ("query", "table", "header", "sql", "store", "waveform", "anything_new"):
        with pytest.raises(NotAllowed):
            getattr(lake, name)
    for name in ("answer", "pages", "read", "sql", "chosen", "anything_new"):
        with pytest.raises(NotAllowed):
            getattr(lake.engine, name)


def test_masked_cells_never_say_more_than_there_is() -> None:
    for least in (2, 5, 10):
        for patients in range(30):
            for number in range(patients, 60, 7):
                shown = masking.cell(number, patients, least)
                assert shown <= number
                assert shown % least == 0
                assert (shown == 0) >= (patients < least)
