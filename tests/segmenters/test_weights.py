"""What is installed is noted with digests; nothing is taken for weights that is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomlake.cli import app
from dicomlake.cli import segmenter as commands
from dicomlake.errors import UsageError
from dicomlake.segmenters.totalsegmentator import about, weights
from dicomlake.segmenters.totalsegmentator.process import Limits, Process
from dicomlake.segmenters.totalsegmentator.worker import FILES, Networks, Unfit, slabs

NETWORK = "Dataset297_TotalSegmentator_total_3mm_1559subj/trainer__nnUNetPlans__3d_fullres"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like weights."""
    for name in FILES:
        path = tmp_path / "weights" / NETWORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "weights"


def test_what_is_installed_is_noted_and_forgotten(folder: Path, tmp_path: Path) -> None:
    assert weights.installed(tmp_path) is None
    made = weights.install(folder, place=tmp_path)
    assert weights.installed(tmp_path) == made
    assert made.networks == (NETWORK,)
    assert made.python == Path(sys.executable).absolute()
    before = made.digest(made.networks)
    (folder / NETWORK / "plans.json").write_text("other")
    assert weights.install(folder, place=tmp_path).digest(made.networks) != before
    assert weights.remove(tmp_path)
    assert not weights.remove(tmp_path)
    assert (folder / NETWORK / "plans.json").exists()


def test_what_is_no_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no weights of TotalSegmentator"):
        weights.install(tmp_path, place=tmp_path)
    with pytest.raises(UsageError, match="There is no Python at"):
        weights.install(folder, tmp_path / "python", tmp_path)
    (folder / NETWORK / FILES[2]).unlink()
    with pytest.raises(UsageError, match=r"checkpoint_final.pth is missing"):
        weights.install(folder, place=tmp_path)


def test_a_damaged_note_is_none(tmp_path: Path) -> None:
    (tmp_path / weights.ABOUT).write_text("{")
    assert weights.installed(tmp_path) is None


def test_networks_are_checked_before_they_are_loaded(folder: Path, tmp_path: Path) -> None:
    made = weights.install(folder, place=tmp_path)
    networks = Networks(folder, made.files, 1, 1)
    networks.check(folder / NETWORK)
    (folder / NETWORK / FILES[2]).write_text("another program")
    with pytest.raises(Unfit, match="another one than was installed"):
        networks.check(folder / NETWORK)
    with pytest.raises(Unfit, match="was not installed"):
        Networks(folder, {}, 1, 1).check(folder / NETWORK)


@pytest.mark.parametrize("depth", [1, 127, 128, 129, 300, 567])
def test_slabs_cover_every_slice_once(depth: int) -> None:
    seen: list[int] = []
    for read, keep, place in slabs(depth, 128, 32):
        assert keep.stop - keep.start == place.stop - place.start
        assert read.start + keep.start == place.start
        assert 0 <= read.start <= read.stop <= depth
        assert place.start - read.start in (0, 32)
        seen += range(place.start, place.stop)
    assert seen == list(range(depth))


def test_a_python_without_the_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not installed in the environment of"):
        about(tmp_path / "python")


def test_a_program_that_says_nothing_is_no_segmenter(folder: Path) -> None:
    from dicomlake.errors import ServiceError

    process = Process(Path("/bin/true"), folder, {}, limits=Limits())
    with pytest.raises(ServiceError, match="does not start"):
        process.run({"folder": "."})
    assert process.pid is None


def test_commands_say_what_to_do_next(tmp_path: Path) -> None:
    assert commands
    run = CliRunner().invoke
    done = run(app, ["segmenter", "remove", "--folder", str(tmp_path)])
    assert (done.exit_code, done.output.strip()) == (0, "No weights were installed.")
    done = run(app, ["segmenter", "install", str(tmp_path), "--folder", str(tmp_path)])
    assert isinstance(done.exception, UsageError)


def test_commands_of_an_installation(segment_python: Path, bands: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    at = ["--folder", str(tmp_path)]
    done = run(app, ["segmenter", "install", str(bands), "--python", str(segment_python), *at])
    assert done.exit_code == 0, done.output
    assert "7 networks" in done.output
    done = run(app, ["segmenter", "status", *at])
    assert "Package: TotalSegmentator 2.18.0" in done.output
    assert "Ready: total fast, total full, total fastest" in done.output
    assert "Next: dicomlake enrich totalsegmentator --lake LAKE" in done.output
    assert run(app, ["segmenter", "remove", *at]).output.strip() == "The weights are forgotten."
    assert run(app, ["segmenter", "status", *at]).exit_code == 1
