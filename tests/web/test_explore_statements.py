"""What enrichers state of a series: in Python, from the service, and on the screen."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import dicomlake
from dicomlake.cli import main
from dicomlake.errors import UsageError
from dicomlake.testing.dicom import uid

from .knees import knee_lake
from .serving import served

KNEE = {
    "kind": "structure", "label": "patella", "structure": "SCT:64234005", "name": "Patella",
    "volume": 12.5, "complete": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return knee_lake(tmp_path_factory.mktemp("statements"), "Knie li. Musterfrau", KNEE)


def test_in_python_rows_come_with_who_said_them(lake: Path) -> None:
    opened = dicomlake.open(lake)
    rows = opened.annotations(uid("knee")).to_pylist()
    assert [row["kind"] for row in rows][:1] == ["body part"]
    assert (rows[0]["name"], rows[0]["enricher"]) == ("Left knee", "codes")
    assert rows[0]["model"].startswith("tables 1")
    assert all(row["run_id"] for row in rows)
    (patella,) = [row for row in rows if row["enricher"] == "segments"]
    assert (patella["volume"], patella["complete"]) == (12.5, False)
    rules = [row["rule"] for row in opened.findings(uid("knee")).to_pylist()]
    assert rules[0] == "body part disagrees"
    assert "code retired" in rules
    assert opened.annotations(uid("other")).num_rows == 0
    with pytest.raises(UsageError, match="no series of that SeriesInstanceUID"):
        opened.annotations("1.2.3")


def test_the_service_tells_the_same(lake: Path) -> None:
    with served(lake) as address:
        told = httpx.get(f"{address}/api/series/{uid('knee')}/statements").json()
        unknown = httpx.get(f"{address}/api/series/1.2.3/statements")
    rows = dicomlake.open(lake).annotations(uid("knee")).to_pylist()
    assert [row["name"] for row in told["annotations"]] == [row["name"] for row in rows]
    evidence = told["annotations"][0]["evidence"]
    assert {"AnatomicRegionSequence", "SeriesDescription"} <= {one["path"] for one in evidence}
    (code,) = [row for row in told["annotations"] if row["kind"] == "code"]
    assert (code["code"], code["code_scheme"], code["code_value"]) == (
        "SCT:72696002", "SRT", "T-D9200"
    )  # fmt: skip
    assert told["findings"][0]["value"] == "SKULL"
    assert "Musterfrau" not in str(told)
    assert unknown.status_code == 404


def test_on_the_screen_raw_and_harmonised_stand_side_by_side(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "220")

    def told(name: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["statements", uid(name), "--lake", str(lake)])
        assert not stopped.value.code
        return capsys.readouterr().out

    said = told("knee")
    (line,) = [line for line in said.splitlines() if line.lstrip().startswith("code ")]
    assert "SRT:T-D9200" in line
    assert "SCT:72696002" in line
    assert "12.5 mL, cut off" in said
    assert "warning: body part disagrees. BodyPartExamined:" in said
    assert "Nothing is stated" in told("other")
