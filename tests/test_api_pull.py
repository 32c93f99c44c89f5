"""Pulling from an archive in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dicomlake
from dicomlake.errors import UsageError
from dicomlake.jobs.working import care_of
from dicomlake.settings import add_source
from dicomlake.testing.archives import Orthanc


@pytest.fixture(scope="module")
def orthanc(
    orthanc_installed: None, small_hospital: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as found:
        found.seed(sorted(small_hospital.rglob("*.dcm")))
        yield found


@pytest.fixture
def lake(orthanc: Orthanc, tmp_path: Path) -> Path:
    add_source(tmp_path / "lake", "web", {"kind": "dicomweb", "url": orthanc.dicomweb})
    return tmp_path / "lake"


@pytest.mark.service
def test_a_study_then_the_rest(lake: Path, orthanc: Orthanc) -> None:
    listed = dicomlake.pull(lake, "web", dates=("", ""), depth="catalogue", workers=1)
    assert (listed.series, listed.missing, listed.job.state) == (0, 0, "finished")
    opened = dicomlake.open(lake)
    missing = opened.missing("web")
    assert missing.num_rows == len(orthanc.get("/series"))
    assert set(missing.column("why").to_pylist()) == {"not asked for yet"}

    study = missing.column("StudyInstanceUID")[0].as_py()
    did = opened.pull("web", study=study, workers=1)
    assert did.series > 0
    assert len(opened.query(f"StudyInstanceUID = '{study}'")) == did.series  # refreshed
    assert opened.missing().num_rows == missing.num_rows - did.series

    rest = opened.pull("web", dates=("19000101", ""), depth="complete", keep=True)
    assert rest.series + rest.held >= opened.missing().num_rows
    assert list((lake / "_kept").rglob("*.dcm"))


@pytest.mark.service
def test_what_the_archive_has_not_is_missing(lake: Path) -> None:
    did = dicomlake.pull(lake, "web", accession=["NOT THERE"], workers=1)
    assert (did.series, did.missing) == (0, 1)


def test_it_ends_when_asking_again_cannot_help(tmp_path: Path) -> None:
    add_source(tmp_path / "lake", "web", {"kind": "dicomweb", "url": "http://127.0.0.1:1"})
    care_of(tmp_path / "lake").pause("web", "The password is wrong.")  # as a worker does
    did = dicomlake.pull(tmp_path / "lake", "web", accession="A1", workers=1)
    assert did.notes == [
        "web is paused: The password is wrong. What is queued stays queued. When that is mended: "
        "dicomlake resume web"
    ]
    assert (did.missing, did.job.over) == (1, False)


def test_nothing_is_not_everything(tmp_path: Path) -> None:
    add_source(tmp_path, "web", {"kind": "dicomweb", "url": "http://127.0.0.1:1"})
    with pytest.raises(UsageError, match="Say what to pull"):
        dicomlake.pull(tmp_path, "web", accession=[])
    with pytest.raises(UsageError, match="no source 'other'"):
        dicomlake.pull(tmp_path, "other", accession=["A1"])
    with pytest.raises(UsageError, match="wildcard"):
        dicomlake.pull(tmp_path, "web", accession=["A*"])
