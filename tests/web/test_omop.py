"""Tables of OMOP by REST: of approved cohorts under pseudonyms, of anything for stewards."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.csv as pcsv
import pytest

from dicomlake.jobs import cohorts
from dicomlake.lake import Store
from dicomlake.settings import Pseudonyms, Settings

from .guarded import House, make_lake, settings
from .guarded import house as opened


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("omop")
    lake, key = make_lake(folder), folder / "key"
    key.write_text("k" * 40)
    cohorts.freeze(lake, "all", None)
    told = settings().model_copy(update={"pseudonyms": {"study": Pseudonyms(key_file=key)}})
    assert isinstance(told, Settings)
    with opened(lake, told) as found:
        yield found


def made(house: House, who: str, **body: Any) -> dict[str, Any]:
    """Tables, when they are there."""
    answer = house.post(who, "/api/omop", {"year_of_birth": 1900, **body})
    assert answer.status_code == 202, answer.text
    where = f"/api/omop/{answer.json()['id']}"
    for _ in range(600):
        found: dict[str, Any] = house.get(who, where).json()
        if found["state"] != "running":
            return found
        time.sleep(0.05)
    raise AssertionError("it did not end")


def test_a_steward_has_tables_made_and_fetches_them(house: House) -> None:
    found = made(house, "steward", pseudonyms="identified", form="csv")
    assert (found["state"], found["why"], found["pseudonyms"]) == ("finished", "", "identified")
    files = {one["table"]: one for one in found["files"]}
    images = files["image_occurrence"]
    answer = house.get("steward", f"/api/omop/{found['id']}/files/{images['name']}")
    rows = pcsv.read_csv(io.BytesIO(answer.content))
    assert rows.num_rows == images["rows"] > 0
    assert images["bytes"] == len(answer.content)
    held = {row["image_series_uid"] for row in rows.to_pylist()}
    assert held <= {
        row["SeriesInstanceUID"] for row in Store(house.lake).read("series").to_pylist()
    }
    assert found["id"] in {one["id"] for one in house.get("steward", "/api/omop").json()}
    base = f"/api/omop/{found['id']}"
    assert house.get("steward", f"{base}/files/none.csv").status_code == 404
    assert house.get("admin", base).status_code == 404  # another's
    assert house.ask("steward", "DELETE", base).status_code == 204
    assert house.get("steward", base).status_code == 404


def test_researchers_get_approved_cohorts_under_pseudonyms_alone(house: House) -> None:
    who = "researcher of all"
    for body in ({}, {"cohort": "all"}, {"cohort": "all", "pseudonyms": "identified"}):
        assert house.post(who, "/api/omop", body).status_code == 403
    assert house.post(who, "/api/omop", {"cohort": "none"}).status_code == 404
    assert house.post("viewer", "/api/omop", {"cohort": "all"}).status_code == 403
    approve(house)
    found = made(house, who, cohort="all", pseudonyms="study", form="csv")
    assert (found["state"], found["cohort"], found["pseudonyms"]) == ("finished", "all@1", "study")
    person = house.get(who, f"/api/omop/{found['id']}/files/person.csv").text
    assert not [
        row
        for row in Store(house.lake).read("series").to_pylist()
        if f'"{row["PatientID"]}"' in person
    ]
    refused = house.post(who, "/api/omop", {"cohort": "all", "notes": True})
    assert refused.status_code == 422
    assert "identified" in refused.json()["detail"]


def approve(house: House) -> None:
    base = "/api/cohorts/all/requests"
    asked = house.post("researcher of all", base, {"purpose": "a study"}).json()
    said = {"n": asked["n"], "what": "approve"}
    assert house.ask("steward", "PUT", base, json=said).status_code == 200
