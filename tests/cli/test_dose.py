"""Radiation dose on the command line."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.jobs.dose.made import CHEST, CT, HEAD, ct_report, lake_of, put, rf_report

from .conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dose")
    both = ct_report(CT("h", 60.0, 500.0, 16, HEAD, "Schädel"), CT("c", region=CHEST))
    put(folder / "lake-in", both, study="both")
    put(folder / "lake-in", ct_report(CT("x", protocol="Own name", region=None)), patient="P2")
    strong = rf_report(("r", 0.03, 0.3), dap=0.03, rp=0.3)
    put(folder / "lake-in", strong, patient="P3", study="rf", day="20240301")
    lake_of(folder / "lake-in").path.rename(folder / "lake")
    return folder


def test_on_the_screen(run: Run) -> None:
    code, out, _ = run("dose", "studies", "lake", "--where", "PatientID = 'P3'")
    assert code == 0
    assert "DAP [cGy.cm2]" in out
    assert re.search(r"\b30000\b", out)
    assert "CTDIvol" not in out  # nothing of it
    out = run("dose", "events", "lake", "--limit", "1")[1]
    assert "... and 3 more: --limit N, or --format csv" in out
    out = run("dose", "levels", "lake")[1]
    assert "too few" in out
    out = run("dose", "outliers", "lake")[1]
    assert out == "There is nothing of that.\n"


@pytest.mark.parametrize("wide", [60, 80, 120])
def test_the_screen_is_wide_enough(run: Run, monkeypatch: pytest.MonkeyPatch, wide: int) -> None:
    monkeypatch.setenv("COLUMNS", str(wide))
    for name in "events studies patients levels protocols factors".split():
        out = run("dose", name, "lake", "--limit", "2")[1]
        lines = [line for line in out.splitlines() if not line.startswith(("Not shown", "..."))]
        assert len(lines) > 3
        assert max(map(len, lines)) <= wide
    out = run("dose", "events", "lake")[1]
    assert "--columns NAMES" in out
    assert "Not shown: " in out


def test_columns_by_name(run: Run) -> None:
    out = run("dose", "events", "lake", "--columns", "size_source, DLP", "-f", "csv")[1]
    assert out.splitlines()[0] == '"size_source","DLP"'
    assert "why_not" in run("dose", "events", "lake", "--columns", "all")[1]
    code, _, err = run("dose", "events", "lake", "--columns", "DLPP")
    assert (code, "There is no column 'DLPP'" in err) == (2, True)


def test_files_have_all_columns(run: Run, place: Path) -> None:
    out = run("dose", "events", "lake", "-f", "csv")[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 4
    assert {"DAP", "why_not", "factor_set"} <= set(rows[0])
    assert run("dose", "studies", "lake", "-f", "parquet", "-o", "studies.parquet")[0] == 0
    table = pq.read_table(place / "studies.parquet")
    assert table.schema.field("DLP").metadata[b"unit"] == b"mGy.cm"
    out = run("dose", "patients", "lake", "-f", "json", "--days", "30")[1]
    assert {row["days"] for row in json.loads(out)} == {30}


def test_one_patient(run: Run) -> None:
    rows = json.loads(run("dose", "patients", "lake", "-f", "json")[1])
    key = next(str(row["patient_key"]) for row in rows if row["PatientID"] == "P1")
    code, out, _ = run("dose", "patients", "lake", "--patient", key)
    assert (code, out) == run("dose", "patients", "lake", "--patient", "P1")[:2]
    assert code == 0
    assert "DLP_window [mGy.cm]" in out
    code, _, err = run("dose", "patients", "lake", "--patient", "5")
    assert (code, "no patient 5" in err) == (2, True)


def test_names_that_no_rule_knows(run: Run) -> None:
    rows = json.loads(run("dose", "protocols", "lake", "--unnamed", "-f", "json")[1])
    assert [row["protocol"] for row in rows] == ["Own name"]


def test_an_alarm_is_closed_with_a_reason(run: Run) -> None:
    (alarm,) = json.loads(run("dose", "alarms", "lake", "-f", "json")[1])
    code, _, err = run("dose", "alarms", "lake", "--close", alarm["alarm_id"])
    assert (code, err) == (2, "dicomlake: Say why the alarm is closed.\n")
    words = ("dose", "alarms", "lake", "--close", alarm["alarm_id"], "--reason", "seen by A")
    code, out, _ = run(*words, "-f", "json")
    assert [row["state"] for row in json.loads(out)] == ["closed"]
    assert run("dose", "alarms", "lake", "--state", "open")[1] == "There is nothing of that.\n"
    run("dose", "alarms", "lake", "--reopen", alarm["alarm_id"])
    (again,) = json.loads(run("dose", "alarms", "lake", "--state", "open", "-f", "json")[1])
    assert again["alarm_id"] == alarm["alarm_id"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("events", "lake", "--factor-set", "none"), "There is no set of factors 'none'"),
        (("alarms", "lake", "--set", "none"), "There is no set of alarms 'none'"),
        (("alarms", "lake", "--state", "gone"), "'gone' is no state"),
        (("alarms", "lake", "--tell"), "[dose.webhook]"),
        (("events", "nowhere"), "is no lake"),
        (("events", "lake", "--where", "PatientIDD = 'a'"), "Did you mean PatientID"),
    ],
)
def test_what_is_wrong_is_said(run: Run, words: tuple[str, ...], said: str) -> None:
    code, _, err = run("dose", *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_help_has_examples(run: Run) -> None:
    for name in "events studies patients levels alarms outliers protocols factors sizes".split():
        code, out, _ = run("dose", name, "--help")
        assert code == 0
        assert f"dicomlake dose {name}" in out
