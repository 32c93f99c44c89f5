"""The page about converting: its commands run on made-up files, and its mappings are mappings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

from dicomlake import settings
from dicomlake.api import open as open_lake
from dicomlake.converters.labels import spec_of
from dicomlake.converters.masks import MasksConverter
from dicomlake.jobs.index import index
from dicomlake.plugins import load
from dicomlake.testing import hospital

PAGE = (Path(__file__).parents[1] / "docs" / "convert.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("convert")
    hospital.write(place / "hospital" / "archive", 3)
    lake = place / "hospital" / "lake"
    index([place / "hospital" / "archive"], lake, workers=1)
    for block in blocks("yaml"):
        if named := re.match(r"# (\w+\.yaml)\n", block):
            (place / named[1]).write_text(block, encoding="utf-8")
    rows = (
        open_lake(lake)
        .sql(
            'select distinct "AccessionNumber" a, "PatientID" p from series '
            "where \"AccessionNumber\" <> '' order by all"
        )
        .to_pylist()
    )
    table = ["Auftrag;Datum;EF;Verkalkt"]
    table += [f"{row['a']};03.02.2021;{30 + at},5;ja" for at, row in enumerate(rows)]
    (place / "labels.csv").write_text("\n".join(table), encoding="utf-8")
    coded = [
        "Patient;Haus;OPS;ICD;Datum",
        *(f"{r['p']};HOUSE;5-604.0;C61;03.05.2016" for r in rows),
    ]
    (place / "procedures.csv").write_text("\n".join(coded), encoding="utf-8")
    _mask(lake, place / "masks")
    return place


def _mask(lake: Path, folder: Path) -> None:
    """A mask on the first series that is a volume."""
    reader = load("readers", "volume")()
    found = (
        open_lake(lake)
        .sql(
            'select "SeriesInstanceUID" s, list(i.header) h from series join instances i using '
            "(series_id) where \"Modality\" = 'CT' and instances > 3 group by 1 order by 1"
        )
        .to_pylist()
    )
    for row in found:
        try:
            grid = reader.stack([yaml.safe_load(one) for one in row["h"]]).grid
        except Exception:  # noqa: BLE001
            continue
        voxels = np.zeros(grid.shape[::-1], np.uint8)
        voxels[1:5, 2:4, 1], voxels[0, 0, 2] = 1, 2
        folder.mkdir()
        place = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
        nibabel.Nifti1Image(voxels, place).to_filename(folder / f"{row['s']}_mask.nii.gz")
        return
    raise AssertionError("the hospital has no volume")


def typed(place: Path, line: str) -> str:
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()"]
    done = subprocess.run(
        [*command, *shlex.split(line)[1:]], cwd=place, capture_output=True, env={**os.environ},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (line, done.stdout.decode(), done.stderr.decode())
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def test_the_commands_run_and_the_question_finds_something(folder: Path) -> None:
    (block,) = blocks("sh")
    lines = block.splitlines()
    assert len(lines) > 6
    said = {line: typed(folder, line) for line in lines}
    assert re.match(r"[1-9]", said[lines[-1]]), said[lines[-1]]
    assert "NIfTI" in said[lines[0]]
    assert "row 2: Left ventricular Ejection fraction = 30.5 %" in said[lines[1]]
    for line in lines[2:6]:
        assert re.match(r"[1-9][0-9,]* files converted", said[line]), said[line]
    lake = open_lake(folder / "hospital" / "lake")
    assert lake.table("clinical_events").num_rows > 0
    made = next(p for p in (folder / "converted").rglob("*.dcm"))
    shown = typed(folder, f"dicomlake convert original {made.stem} --out converted")
    assert "labels.csv" in shown


def test_the_python_of_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = blocks("python")
    there: dict[str, object] = {}
    exec(compile(block, "convert.md", "exec"), there)
    assert there["report"].objects > 0  # type: ignore[attr-defined]


def test_all_mappings_are_mappings() -> None:
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    assert {one["converter"] for one in found} == {"labels", "masks"}
    assert {spec_of(one).to for one in found if one["converter"] == "labels"} == {
        "measurements", "facts", "history", "quality"
    }  # fmt: skip


def test_the_settings_of_the_page_are_settings() -> None:
    (block,) = blocks("toml")
    found = settings.Settings.model_validate(tomllib.loads(block))
    assert found.convert["labels"].source == "registry"
    for name in settings.WatchedFolder.model_fields:
        assert re.search(rf"\b{name}\b", block), f"docs/convert.md does not explain {name}"


def test_every_name_of_a_mapping_is_explained() -> None:
    from dicomlake.converters import masks
    from dicomlake.converters.labels import mapping

    for name in (*mapping._TOP, *mapping._LABEL, *mapping._IDENTIFIES, *masks._TOP, *masks._LABEL):
        assert re.search(rf"\b{name}\b", PAGE), f"docs/convert.md does not explain {name}"
    assert set(MasksConverter.formats) == {"nifti", "labels"}
