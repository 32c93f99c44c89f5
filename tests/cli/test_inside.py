"""What is inside of objects and extractions, on the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dicomlake.cli import main
from dicomlake.lake import Store
from dicomlake.testing import hospital

from .conftest import Run

LESIONS = """
name: lesions
each: patient
columns:
  finding: {path: "*.[DCM:121071]", value: code}
  site: "*.[SCT:363698007]"
  long: "*.[SCT:103339001]"
  sex: PatientSex
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inside")
    hospital.write(folder / "archive", 6)
    with pytest.raises(SystemExit) as stopped:
        main(["index", str(folder / "archive"), "--lake", str(folder / "lake"), "--volumes"])
    assert stopped.value.code == 0
    (folder / "lesions.yaml").write_text(LESIONS)
    return folder


@pytest.fixture
def columns() -> int:
    return 80


def one_of(place: Path, table: str) -> str:
    return str(Store(place / "lake").read(table, ["SOPInstanceUID"]).column(0)[0].as_py())


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_index_measures_volumes(place: Path) -> None:
    volumes = Store(place / "lake").read("segments", ["volume"]).column(0)
    assert len(volumes) > volumes.null_count


@pytest.mark.parametrize("table", ["items", "segments", "waveforms", "dose_events"])
def test_what_is_inside_is_shown(run: Run, place: Path, table: str) -> None:
    code, out, err = run("show", one_of(place, table))
    assert (code, err) == (0, "")
    expected = {"items": "[DCM:", "segments": "volume, mL", "waveforms": "aVF",
                "dose_events": "dose events"}  # fmt: skip
    assert expected[table] in out


def test_channels_come_in_order_and_what_they_share_comes_once(run: Run, place: Path) -> None:
    _, out, _ = run("show", one_of(place, "waveforms"))
    places = [out.index(f" {lead} ") for lead in ("aVR", "aVL", "aVF", "V1", "V6")]
    assert places == sorted(places)
    assert out.count("SamplingFrequency, Hz: 500") == 1


def test_an_object_with_nothing_inside_says_so(run: Run, place: Path) -> None:
    rows = Store(place / "lake").read("series", ["series_id", "Modality"]).to_pylist()
    plain = {row["series_id"] for row in rows if row["Modality"] == "MR"}
    instances = Store(place / "lake").read("instances", ["series_id", "SOPInstanceUID"]).to_pylist()
    uid = next(row["SOPInstanceUID"] for row in instances if row["series_id"] in plain)
    code, _, err = run("show", uid)
    assert code == 2
    assert "dicomlake header" in err


def test_contents_and_volumes_run_again(run: Run) -> None:
    code, out, _ = run("contents", "lake")
    assert code == 0
    assert "items" in out
    code, out, _ = run("volumes", "lake")
    assert code == 0
    assert "have a volume now" in out


def test_a_preview_counts_and_keeps_nothing(run: Run, place: Path) -> None:
    code, out, _ = run("extract", "preview", "lesions.yaml")
    assert code == 0
    assert "Looked at " in out.splitlines()[0]
    assert "sample" not in out
    assert "mm (" in out
    assert widest(out) <= 80
    assert not (place / "lake" / "extractions" / "preview").exists()
    code, out, _ = run("extract", "preview", "lesions.yaml", "--sample", "2")
    assert "Looked at a sample of 2 of " in out


def test_a_preview_shows_no_names(run: Run, place: Path) -> None:
    (place / "names.yaml").write_text(
        "name: names\ncolumns:\n  who: PatientName\n  by: '*.[DCM:121008]'\n  id: PatientID\n"
    )
    _, out, _ = run("extract", "preview", "names.yaml")
    assert out.count("(names)") == 2
    assert "^" not in out


def test_an_extraction_is_made_listed_shown_and_made_again(run: Run, place: Path) -> None:
    code, out, err = run("extract", "run", "lesions.yaml", "--limit", "1")
    assert code == 0
    assert "rows: version 0 of lesions" in err
    assert "long [mm]" in out
    assert "UID" not in out
    assert "_unit" not in out
    assert "more: --limit N" in out
    assert widest(out) <= 80

    code, out, _ = run("extract", "list")
    assert "lesions" in out
    assert widest(out) <= 80
    assert run("extract", "refresh", "lesions")[1].strip().endswith("version 0 of lesions")

    text = run("extract", "definition", "lesions")[1]
    (place / "again.yaml").write_text(text + "  age: PatientAge\n".replace("  age", "  age", 1))
    code, _, err = run("extract", "run", "again.yaml")
    assert "version 1 of lesions" in err
    first = run("extract", "show", "lesions", "--version", "0", "--format", "json")[1]
    second = run("extract", "show", "lesions", "--format", "json")[1]
    assert "age" not in json.loads(first)[0]
    assert "age" in json.loads(second)[0]
    assert "age" not in run("extract", "definition", "lesions", "--version", "0")[1]
    assert run("extract", "list", "lesions")[1].count("lesions") == 2
    code, out, _ = run("sql", "select count(*) as n from extraction_lesions", "--format", "csv")
    assert (code, int(out.split()[1])) == (0, len(json.loads(second)))


def test_csv_json_and_parquet_say_the_same(run: Run, place: Path) -> None:
    run("extract", "run", "lesions.yaml", "--format", "csv", "--output", "out.csv")
    run("extract", "show", "lesions", "--format", "json", "--output", "out.json")
    run("extract", "show", "lesions", "--format", "parquet", "--output", "out.parquet")
    rows = list(csv.DictReader(io.StringIO((place / "out.csv").read_text())))
    table = pq.read_table(place / "out.parquet")
    assert len(rows) == table.num_rows == len(json.loads((place / "out.json").read_text())) > 1
    assert list(rows[0]) == table.column_names
    assert [row["site"] or None for row in rows] == table.column("site").to_pylist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "1.2.3"), "No instance of the lake"),
        (("extract", "preview", "missing.yaml"), "cannot be read as a YAML file"),
        (("extract", "run", "archive"), "cannot be read as a YAML file"),
        (("extract", "show", "nothing"), "No extraction is called 'nothing'"),
        (("extract", "show", "../series"), "No extraction is called '../series'"),
        (("extract", "refresh", "nothing"), "No extraction is called"),
        (("extract", "definition", "nothing"), "No extraction is called"),
        (("extract", "list", "nothing"), "No extraction is called"),
        (("extract", "list", "--lake", "nowhere"), "is no lake"),
        (("extract", "preview", "wrong.yaml"), "Did you mean PatientSex?"),
        (("extract", "preview", "where.yaml"), "Put text in quotes"),
        (("sql", "select * from extraction_nothing"), "DuckDB says"),
    ],
)
def test_mistakes_get_a_sentence(run: Run, place: Path, words: tuple[str, ...], said: str) -> None:
    (place / "wrong.yaml").write_text("name: a\ncolumns: {s: PatientSx}\n")
    (place / "where.yaml").write_text("name: a\nwhere: Modality = CT\ncolumns: {s: PatientSex}\n")
    code, _, err = run(*words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_an_unknown_version_gets_a_sentence(run: Run) -> None:
    run("extract", "run", "lesions.yaml")
    for command in ("show", "definition"):
        code, _, err = run("extract", command, "lesions", "--version", "99")
        assert code == 2
        assert "has no version 99" in err


def test_no_extraction_yet(run: Run, tmp_path: Path) -> None:
    run("index", "archive", "--lake", str(tmp_path / "new"), "--quiet")
    code, out, _ = run("extract", "list", "--lake", str(tmp_path / "new"))
    assert code == 0
    assert "There is no extraction yet" in out


@pytest.mark.parametrize(
    "command",
    ["show", "contents", "volumes", "extract preview", "extract run", "extract list",
     "extract show", "extract refresh", "extract definition"],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"dicomlake {command}" in " ".join(out.split())
    assert "Example" in out
