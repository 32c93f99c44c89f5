"""Commands for archives, as somebody at a terminal sees them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from dicomlake.cli import main
from dicomlake.cli.status import drawn, listed
from dicomlake.contracts.queues import DEAD
from dicomlake.jobs.status import Failed, SourceStatus, Status
from dicomlake.settings import read
from dicomlake.testing.archives import Orthanc, free_port

UID = "2.25.237313410880823034543661828124322413206"


def run(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    assert stopped.value.code == code, words


def screen(drawing: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(drawing)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("words", [["jobs"], ["tasks"], ["missing"], ["status"], ["pause"]])
def test_looking_at_no_lake_makes_none(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*words, "--lake", str(tmp_path / "none"), code=2)
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_lake_that_nothing_was_pulled_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("source", "add", "web", "--dicomweb", "http://127.0.0.1:1", "--lake", str(tmp_path))
    run("missing", "--lake", str(tmp_path))
    run("jobs", "--lake", str(tmp_path))
    said = capsys.readouterr().out
    assert "Nothing was pulled yet" in said
    assert "Nothing was asked for yet." in said


def test_both_doors_of_one_archive_are_one_source(tmp_path: Path) -> None:
    doors = ["--dimse", "10.0.0.5:104", "--called", "PACS", "--dicomweb", "http://10.0.0.5/web"]
    run("source", "add", "pacs", *doors, "--lake", str(tmp_path))
    found = read(tmp_path).of("pacs")
    assert (found.kind, found.host, found.port, found.url) == (
        "dimse",
        "10.0.0.5",
        104,
        "http://10.0.0.5/web",
    )
    run("source", "add", "x", "--s3", "s3://a/b", "--folder", ".", "--lake", str(tmp_path), code=2)


def test_what_to_pull_has_to_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("source", "add", "web", "--dicomweb", "http://127.0.0.1:1", "--lake", str(tmp_path))
    run("pull", "web", "--lake", str(tmp_path), code=2)
    assert "--accession" in capsys.readouterr().err


def test_a_paused_source_is_not_pulled_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("source", "add", "web", "--dicomweb", "http://127.0.0.1:1", "--lake", str(tmp_path))
    run("pause", "web", "--lake", str(tmp_path))
    run("pull", "web", "--accession", "A1", "--lake", str(tmp_path), code=2)
    assert "web is paused. Go on with: dicomlake resume web" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
def test_short_columns_are_never_broken(width: int) -> None:
    rows = [{"source": "orthanc", "level": "series", "uid": UID, "held": 0, "why": "some reason"}]
    lines = screen(listed(rows, ("uid", "why")), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[2].startswith("orthanc   series   2.25")
    assert (UID in lines[2]) == (width == 120)


@pytest.mark.parametrize("width", [80, 120])
def test_a_status_fits_the_screen(width: int) -> None:
    why = "it does not know the AE title LAKE as calling: make it known there, or set calling"
    found = Status(
        1e9,
        sources=[SourceStatus("hospital-archive", "dimse", paused=True, why=why, allowed=2)],
        tasks=[
            {"source": "hospital-archive", "kind": "series", "priority": 4, "state": s, "tasks": 7}
            for s in ("waiting", "running", "written", "done", "dead")
        ],
        states={"waiting": 7, "running": 7, "written": 7, "done": 7, DEAD: 7},
        throughput={"1 min": {"series": 0.05, "objects": 1234.0}},
        lag={"4": 12.0, "5": 3.0, "written": 1.0},
        failures=[Failed("1", "hospital-archive", "series", "SeriesInstanceUID", UID, why, 5, 0)],
    )
    text = screen(drawn(found), width)
    assert max(map(len, text.splitlines())) <= width
    for whole in ("hospital-archive", "paused", "Dead tasks (7)", "0.05 series", "today (5)"):
        assert whole in text


@pytest.mark.service
def test_a_wrong_ae_title_is_told_at_once(
    orthanc_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = str(tmp_path / "lake")
    with Orthanc(tmp_path / "orthanc") as orthanc:
        place = ["--dimse", f"127.0.0.1:{orthanc.dicom}"]
        run("source", "add", "typo", *place, "--called", "ORTHANK", "--lake", lake)
        run("pull", "typo", "--accession", "A1", "--lake", lake, code=2)
        assert "set called" in capsys.readouterr().err
        run("source", "test", "typo", "--lake", lake, code=1)
        assert capsys.readouterr().out.startswith("no  connect (C-ECHO)")
        run("jobs", "--format", "json", "--lake", lake)
        assert json.loads(capsys.readouterr().out or "[]") == []


def test_an_archive_that_is_away_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--dimse", f"127.0.0.1:{free_port()}", "--called", "AWAY"]
    run("source", "add", "away", *place, "--lake", str(tmp_path))
    run("source", "test", "away", "--lake", str(tmp_path), code=1)
    assert "cannot be reached" in capsys.readouterr().out
