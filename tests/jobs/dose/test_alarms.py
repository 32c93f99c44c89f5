"""Alarms: which cases fire and which do not, what people say of them, and who is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import dicomlake
from dicomlake.errors import Refused, UsageError
from dicomlake.jobs.dose.telling import tell
from dicomlake.jobs.index import index
from tests.jobs.dose.made import CT, ct_report, lake_of, put, rf_report, skin_report


def fluoroscopy(
    folder: Path, patient: str, day: str, dap: float, rp: float = 0.1, document: str = ""
) -> Path:
    """A study of fluoroscopy in Gy.m2 and Gy, of one event that has all of it."""
    name = f"{patient} {day}"
    report = rf_report((name, dap, rp), dap=dap, rp=rp)
    return put(folder, report, patient=patient, study=name, day=day, document=document)


def fill(folder: Path) -> None:
    fluoroscopy(folder, "P1", "20240101", 0.021)  # 21,000 cGy.cm2
    fluoroscopy(folder, "P2", "20240101", 0.012)
    fluoroscopy(folder, "P2", "20240324", 0.012)  # 83 days later
    fluoroscopy(folder, "P3", "20240101", 0.012)
    fluoroscopy(folder, "P3", "20240325", 0.012)  # 84 days later: no longer in 12 weeks
    fluoroscopy(folder, "P4", "20240101", 0.001, 2.5)
    fluoroscopy(folder, "P5", "20240101", 0.02, 2.0)  # at the limits
    fluoroscopy(folder, "QA-1", "20240101", 0.05, 5.0)
    put(folder, skin_report(2.2, "P2 20240101"), patient="P2", study="P2 20240101",
        document="skin")  # fmt: skip
    put(folder, ct_report(CT("over", alert=1000.0, estimate=1200.0)), patient="P6", study="over")
    put(folder, ct_report(CT("under", alert=1000.0, estimate=900.0)), patient="P6", study="under")


FIRING = {
    ("P1", "fluoroscopy DAP", 21000.0),
    ("P2", "fluoroscopy DAP in 12 weeks", 24000.0),
    ("P2", "peak skin dose", 2.2),
    ("P4", "fluoroscopy RP", 2.5),
    ("P6", "dose check DLP", 1200.0),
}


def told(lake: dicomlake.Lake, **more: Any) -> set[tuple[str, str, float]]:
    found = lake.dose.alarms(**more).to_pylist()
    return {(r["PatientID"], r["rule"], round(r["value"], 9)) for r in found}


@pytest.fixture
def lake(tmp_path: Path) -> dicomlake.Lake:
    fill(tmp_path / "in")
    return lake_of(tmp_path / "in")


def test_those_that_fire_and_no_others(lake: dicomlake.Lake) -> None:
    assert told(lake) == FIRING
    found = lake.dose.alarms().to_pylist()
    assert len({row["alarm_id"] for row in found}) == len(found)
    assert {row["state"] for row in found} == {"open"}
    assert told(lake, where="PatientID = 'P1'") == {("P1", "fluoroscopy DAP", 21000.0)}


def test_rules_of_sets_and_of_a_site(lake: dicomlake.Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are: dosecheck, ncrp168, openrem"):
        lake.dose.alarms(sets=("nobody",))
    rules = {
        "sets": {"openrem": {"active": False}},
        "rules": [
            {"name": "high DLP", "quantity": "DLP", "limit": 0.2, "unit": "Gy.cm", "per": "study",
             "protocol": "CT *"},
            {"name": "on others", "quantity": "DLP", "limit": 1, "unit": "mGy.cm", "per": "study",
             "device": "no such"},
        ],
    }  # fmt: skip
    (tmp_path / "alarms.yaml").write_text(yaml.safe_dump(rules))
    found = told(lake, folder=tmp_path)
    assert found == {("P6", "dose check DLP", 1200.0), ("P6", "high DLP", 0.3)}
    many = told(lake, folder=tmp_path, sets=("openrem",))
    assert many == FIRING | {("P6", "high DLP", 0.3)}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"quantity": "dose"}, "'dose' is none of"),
        ({"unit": "mGy"}, "DLP cannot be in 'mGy'"),
        ({"per": "day"}, "per is event, study or window"),
        ({"per": "window"}, "a window has days"),
        ({"limit": -1}, "is no number above 0"),
        ({"colour": "red"}, "'colour' is not known"),
    ],
)
def test_a_wrong_rule_is_said(
    rule: dict[str, Any], why: str, tmp_path: Path, empty: dicomlake.Lake
) -> None:
    plain = {"name": "x", "quantity": "DLP", "limit": 1, "unit": "mGy.cm", "per": "study"}
    (tmp_path / "alarms.yaml").write_text(yaml.safe_dump({"rules": [plain | rule]}))
    with pytest.raises(UsageError, match=why):
        empty.dose.alarms(folder=tmp_path)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> dicomlake.Lake:
    folder = tmp_path_factory.mktemp("empty") / "in"
    put(folder, ct_report(CT("one")))
    return lake_of(folder)


def test_closed_is_closed_until_it_rises(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    fluoroscopy(folder, "P1", "20240101", 0.021)
    lake = lake_of(folder)
    (row,) = lake.dose.alarms().to_pylist()
    with pytest.raises(UsageError, match="Say why"):
        lake.dose.close(row["alarm_id"], " ")
    with pytest.raises(UsageError, match="no alarm 'nothing'"):
        lake.dose.close("nothing", "why not")
    (closed,) = lake.dose.close(row["alarm_id"], "skin looked at", "anna").to_pylist()
    said = "state reason who holds".split()
    assert [closed[name] for name in said] == ["closed", "skin looked at", "anna", True]
    assert closed["changed"] is not None
    assert lake.dose.alarms(state="open").num_rows == 0

    late = rf_report(("P1 20240101", 0.03, 0.1), dap=0.03, rp=0.1)
    put(folder, late, patient="P1", study="P1 20240101", document="late", made="235959")
    index([folder], lake.path, workers=1)
    (risen,) = lake.refresh().dose.alarms().to_pylist()
    assert (risen["state"], risen["value"]) == ("open", pytest.approx(30000))
    assert risen["alarm_id"] == row["alarm_id"]
    assert "risen from 21000" in risen["reason"]


def test_a_late_document_takes_an_alarm_back(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    fluoroscopy(folder, "P1", "20240101", 0.021)
    lake = lake_of(folder)
    (row,) = lake.dose.alarms().to_pylist()
    lake.dose.close(row["alarm_id"], "looks wrong", state="seen")
    right = rf_report(("P1 20240101", 0.0021, 0.1), dap=0.0021, rp=0.1)
    put(folder, right, patient="P1", study="P1 20240101", document="late", made="235959")
    index([folder], lake.path, workers=1)
    (gone,) = lake.refresh().dose.alarms().to_pylist()
    assert (gone["holds"], gone["state"], gone["PatientID"]) == (False, "seen", None)


class Hook:
    """A webhook that says yes, or another status."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.bodies = status, list[dict[str, Any]]()
        self.transport = httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        return httpx.Response(self.status)


def test_each_alarm_is_told_once(lake: dicomlake.Lake) -> None:
    with pytest.raises(UsageError, match=r"\[dose.webhook\]"):
        tell(lake.path, lake.engine)
    (lake.path / "dicomlake.toml").write_text('[dose.webhook]\nurl = "http://localhost:1/a"\n')
    broken, hook = Hook(503), Hook()
    with pytest.raises(Refused, match="status 503"):
        tell(lake.path, lake.engine, transport=broken.transport)
    assert len(tell(lake.path, lake.engine, transport=hook.transport)) == len(FIRING)
    assert tell(lake.path, lake.engine, transport=hook.transport) == []
    assert len(hook.bodies) == 1
    sent = json.dumps(hook.bodies)
    assert not [word for word in ("P1", "Made", "2.25.", "PatientID", "Study") if word in sent]
    found = lake.dose.alarms().to_pylist()
    assert all(row["noticed"] and row["state"] == "open" for row in found)
