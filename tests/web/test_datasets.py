"""Datasets by REST: of approved cohorts, made beside other work, by those who may."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake.jobs.datasets.checking import check
from dicomlake.settings import DatasetSettings, Pseudonyms, Settings
from tests.jobs.datasets.lungs import KEY, SETTINGS, WHERE
from tests.jobs.datasets.lungs import make_lake as make_lungs

from .guarded import House, settings
from .guarded import house as opened


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lungs(tmp_path_factory.mktemp("lungs"), 1)


@pytest.fixture
def house(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("DATASET_KEY", KEY)
    lake = Path(shutil.copytree(made, tmp_path / "lake"))
    (lake / "dicomlake.toml").write_text(SETTINGS, encoding="utf-8")
    keys = {"study": Pseudonyms(key_env="DATASET_KEY")}
    said = settings().model_copy(
        update={"datasets": DatasetSettings(folder=tmp_path / "out", workers=1), "pseudonyms": keys}
    )
    assert isinstance(said, Settings)
    with opened(lake, said) as found:
        yield found


def ask_for(house: House, who: str, **more: Any) -> Any:
    body = {"cohort": "Lungs", "formats": ["dicom", "nifti"], "profile": "basic",
            "pseudonyms": "study", "layout": "monai", **more}  # fmt: skip
    return house.post(who, "/api/datasets", body)


def approve(house: House) -> None:
    body = {"name": "Lungs", "where": WHERE}
    assert house.post("researcher of all", "/api/cohorts", body).status_code in (200, 201)
    base = "/api/cohorts/Lungs/requests"
    asked = house.post("researcher of all", base, {"purpose": "a study"}).json()
    assert ask_for(house, "researcher of all").status_code == 403  # not approved
    said = {"n": asked["n"], "what": "approve"}
    assert house.ask("steward", "PUT", base, json=said).status_code == 200


def until_it_ends(house: House, name: str) -> dict[str, Any]:
    for _ in range(600):
        found: dict[str, Any] = house.get("steward", f"/api/datasets/{name}").json()
        if found["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


def test_an_approved_cohort_becomes_a_dataset(house: House, tmp_path: Path) -> None:
    approve(house)
    asked = {"cohort": "Lungs", "formats": ["dicom"]}
    estimate = house.post("researcher of all", "/api/datasets/estimate", asked).json()
    assert (estimate["objects"], estimate["approved"]) == (13, True)
    answer = ask_for(house, "researcher of all")
    assert answer.status_code == 202
    assert answer.json()["name"] == "lungs"
    found = until_it_ends(house, "lungs")
    assert (found["state"], found["written"], found["quarantined"]) == ("finished", 13, 0)
    assert check(tmp_path / "out" / "lungs", house.lake) == []
    listed = json.loads((tmp_path / "out" / "lungs" / "datalist.json").read_text())
    assert len(listed["training"]) == 1
    page = house.get("researcher of all", "/api/datasets/lungs/card")
    assert page.headers["content-type"].startswith("text/html")
    assert "De-identified by dicomlake" in page.text
    (one,) = house.get("researcher of all", "/api/datasets").json()
    assert {name: found[name] for name in one} == one
    again = ask_for(house, "researcher of all")
    assert (again.status_code, "already" in again.json()["detail"]) == (422, True)
    resumed = house.post("steward", "/api/datasets/lungs/resume", {})
    assert resumed.status_code == 202
    assert until_it_ends(house, "lungs")["state"] == "finished"


def test_identified_data_is_for_stewards(house: House) -> None:
    approve(house)
    asked = {"profile": "identified", "pseudonyms": "", "name": "raw"}
    assert ask_for(house, "researcher of all", **asked).status_code == 403
    assert house.get("researcher of all", "/api/datasets/choices").json()["identified"] is False
    assert ask_for(house, "steward", **asked).status_code == 202
    assert until_it_ends(house, "raw")["state"] == "finished"
    resumed = house.post("researcher of all", "/api/datasets/raw/resume", {})
    assert resumed.status_code == 403


def test_who_sees_a_part_of_the_lake_makes_none(house: House) -> None:
    for who in ("researcher", "steward of a project", "viewer"):
        assert house.get(who, "/api/datasets").status_code == 403
        assert ask_for(house, who).status_code == 403
        assert house.get(who, "/api/datasets/lungs/card").status_code == 403


def test_mistakes_are_told(house: House, tmp_path: Path) -> None:
    approve(house)
    for wrong in ({"target": "s3://elsewhere/x"}, {"target": str(tmp_path / "x")}, {"name": "A B"},
                  {"profile": "none"}, {"pseudonyms": "none"}, {"labels": "{"},
                  {"cohort": "none"}, {"layout": "nnunet", "formats": ["dicom"]},
                  {"target": "dicom:pacs"}):  # fmt: skip
        answer = ask_for(house, "researcher of all", **wrong)
        assert answer.status_code in (404, 422), (wrong, answer.text)
    assert house.get("steward", "/api/datasets").json() == []
    assert house.get("steward", "/api/datasets/none").status_code == 404
    assert house.ask("steward", "DELETE", "/api/datasets/none").status_code == 404
