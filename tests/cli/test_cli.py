"""The command line as a person uses it: on a made-up hospital, with right and wrong requests."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dicomlake.cli import main
from dicomlake.testing import hospital

from .conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    hospital.write(folder / "archive", 12)
    with pytest.raises(SystemExit) as stopped:
        main(["index", str(folder / "archive"), "--lake", str(folder / "lake"), "--quiet"])
    assert stopped.value.code == 0
    return folder


@pytest.mark.parametrize("command", ["doctor", "dose factors", "activity gaps"])
@pytest.mark.parametrize("named", ["--lake lake", "-l lake", "--lake=lake"])
def test_a_lake_that_is_an_argument_is_named_as_everywhere(
    run: Run, command: str, named: str
) -> None:
    told = run(*command.split(), "lake")
    assert told[0] == 0
    assert _but_sizes(run(*command.split(), *named.split())) == _but_sizes(told)
    code, _, error = run(*command.split(), "--lake")
    assert code == 2
    assert "--lake" in error


def _but_sizes(told: tuple[int, str, str]) -> tuple[int, str]:
    return told[0], re.sub(r"[\d.]+ [MG]B", "", told[1])


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom dicomlake.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('pyarrow', 'duckdb', 'pydicom', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    "command",
    ["index", "query", "sql", "vocabulary", "describe", "doctor", "compact", "failures", "demo"],
)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: " in out


def test_the_total_comes_first_whatever_the_limit(run: Run) -> None:
    truth = hospital.summary(12)
    code, out, _ = run("query", "Modality = 'CT'", "--level", "patient", "--limit", "2")
    assert code == 0
    assert out.startswith(f"{truth.by_modality['patients']['CT']:,} found: ")
    assert "more: --limit N" in out


def test_csv_holds_every_row_and_the_total_goes_to_standard_error(run: Run) -> None:
    truth = hospital.summary(12)
    code, out, err = run(
        "query", "Modality = 'MR'", "--show", "SeriesInstanceUID,EchoTime", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert len(rows) == truth.by_modality["series"]["MR"]
    assert len({row["SeriesInstanceUID"] for row in rows}) == len(rows)
    assert "found: " in err


def test_json_and_parquet_say_the_same(run: Run, place: Path) -> None:
    wanted = (
        "query",
        "Modality = 'CT'",
        "--level",
        "study",
        "--show",
        "StudyInstanceUID,StudyDate",
    )
    _, out, _ = run(*wanted, "--format", "json")
    code, _, _ = run(*wanted, "--format", "parquet", "--output", "answer.parquet")
    assert code == 0
    table = pq.read_table(place / "answer.parquet").to_pylist()
    assert [r["StudyInstanceUID"] for r in json.loads(out)] == [
        r["StudyInstanceUID"] for r in table
    ]


def test_a_list_of_accession_numbers_comes_from_a_file(run: Run, place: Path) -> None:
    _, out, _ = run("query", "AccessionNumber exists", "--level", "study", "--show",
                    "AccessionNumber", "--format", "csv")  # fmt: skip
    numbers = [row["AccessionNumber"] for row in csv.DictReader(io.StringIO(out))]
    (place / "list.txt").write_text("\n".join([*numbers[:3], "", "none of ours"]) + "\n")
    code, out, _ = run("query", "AccessionNumber in @list.txt", "--level", "study", "--count")
    assert code == 0
    assert out.startswith("3 found: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("query", "MagneticFieldStrenght = 3"), "Did you mean MagneticFieldStrength?"),
        (("query", "Modality = MR"), "Put text in quotes: 'MR'"),
        (("query", "MagneticFieldStrength >= 'abc'"), "holds numbers"),
        (("query", "AccessionNumber in @missing.txt"), "cannot be read"),
        (("query", "Modality = 'MR'", "--level", "house"), "Use one of patient, study"),
        (("query", "same(segment, Modality = 'SEG')"), "is nothing that a segment has"),
        (("query", "--show", "Modalty"), "Did you mean Modality?"),
        (("sql", "delete from series"), "one SELECT statement"),
        (("sql", "select nothing from series"), "DuckDB says"),
        (("query", "--lake", "nowhere"), "is no lake. Make one with: dicomlake index"),
        (("index", "nowhere", "--lake", "lake"), "nowhere does not exist"),
        (("index", "archive", "--lake", "archive"), "exists and is no lake"),
        (("describe", "nothing"), "There are: series"),
        (("header", "1.2.3"), "No instance of the lake"),
    ],
)
def test_wrong_requests_get_a_sentence_that_helps(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    code, _, err = run(*words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_parquet_without_a_file_is_refused(run: Run) -> None:
    code, _, err = run("query", "--format", "parquet")
    assert code == 2
    assert "--output" in err


def test_a_header_is_dicom_json(run: Run) -> None:
    _, out, _ = run("query", "Modality = 'CT'", "--level", "instance", "--limit", "1",
                    "--format", "json")  # fmt: skip
    uid = json.loads(out)[0]["SOPInstanceUID"]
    code, out, _ = run("header", uid)
    assert code == 0
    assert json.loads(out)["00080018"] == {"vr": "UI", "Value": [uid]}


def test_describe_shows_the_comment_of_every_column(run: Run) -> None:
    code, out, _ = run("describe", "series")
    assert code == 0
    assert "MagneticFieldStrength" in out
    assert "tesla" in out


def test_failures_runs_versions_and_plugins_are_listed(run: Run) -> None:
    assert "the file is empty" in run("failures")[1]
    assert "finished" in run("runs")[1]
    assert run("versions")[0] == 0
    assert "engines: duckdb" in run("plugins")[1]


def test_the_doctor_finds_a_fresh_lake_healthy_and_compacting_changes_no_answer(run: Run) -> None:
    before = run("query", "MagneticFieldStrength >= 3", "--count")[1].rpartition(" (")[0]
    assert run("doctor", "lake")[0] == 0
    assert run("compact", "lake", "--vacuum-hours", "0")[0] == 0
    assert run("doctor", "lake")[0] == 0
    assert run("query", "MagneticFieldStrength >= 3", "--count")[1].rpartition(" (")[0] == before


def test_the_vocabulary_is_listed_and_searched(run: Run) -> None:
    tree = run("vocabulary", "--limit", "600")[1]
    assert re.search(r"^Modality +│ CS │ +12 │", tree, re.MULTILINE)
    assert "ScheduledProcedureStepID" in run("vocabulary", "RequestAttributesSequence")[1]
    assert "MagneticFieldStrength" in run("vocabulary", "search", "magnetic", "field")[1]
