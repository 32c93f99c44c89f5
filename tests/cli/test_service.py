"""Documents on the command line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dicomlake.cli import main
from dicomlake.contracts.queues import NOW
from dicomlake.jobs.requests import Request, Requests
from dicomlake.lake import Store
from dicomlake.settings import Settings, Source
from dicomlake.testing import hospital

from .conftest import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    hospital.write(folder / "archive", 2, pixels=False)
    with pytest.raises(SystemExit):
        main(["index", str(folder / "archive"), "--lake", str(folder / "lake"), "-q"])
    return folder


def uids(place: Path) -> list[str]:
    return sorted(Store(place / "lake").read("series", ["SeriesInstanceUID"]).column(0).to_pylist())


def test_documents_of_a_condition(run: Run) -> None:
    code, out, err = run("documents", "--where", "Modality = 'SR'", "--features", "items, Modality")
    assert (code, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert found
    assert all(d["series"]["Modality"] == "SR" and d["items"] for d in found)
    assert all([e["value"] for e in d["elements"]] == ["SR"] for d in found)


def test_documents_of_everything_in_a_file(run: Run, place: Path) -> None:
    code, out, _ = run("documents", "--format", "json", "-o", "all.json", "--features", "dose")
    assert (code, out) == (0, "")
    found = json.loads((place / "all.json").read_text())
    assert sorted(d["series"]["SeriesInstanceUID"] for d in found) == uids(place)


def test_documents_of_named_series(run: Run, place: Path) -> None:
    first, second = uids(place)[:2]
    words = ("--series", second, "--series", first, "--series", "9.9")
    code, _, err = run("documents", *words, "-f", "zip", "-o", "two.zip")
    assert code == 0
    assert "1 of the series are not in the lake: 9.9" in err
    names = zipfile.ZipFile(io.BytesIO((place / "two.zip").read_bytes())).namelist()
    assert names == [f"{second}.xml", f"{first}.xml"]
    code, out, _ = run("documents", "--series", first, "--format", "xml")
    assert len(ElementTree.fromstring(out)) == 1


def test_documents_of_a_job(run: Run, place: Path) -> None:
    held = uids(place)[:1]
    settings = Settings(source={"pacs": Source(kind="dimse", host="x", port=1, called="X")})
    with Requests(place / "lake", settings) as requests:
        job = requests.submit(Request("pacs", {"AccessionNumber": ("A1",)}, priority=NOW))
        (lease,) = requests.queue.lease("worker")
        requests.queue.done(lease, {"held": held})
    code, out, _ = run("documents", "--job", job.id)
    assert code == 0
    assert [json.loads(line)["series"]["SeriesInstanceUID"] for line in out.splitlines()] == held


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--features", "segmets"), "Did you mean segments?"),
        (("--series", "1.2", "--where", "Modality = 'CT'"), "one of"),
        (("--format", "zip"), "--output"),
        (("--job", "unknown"), "no job"),
        (("--where", "Modalty = 'CT'"), "Modality"),
        (("-o", "no/such/folder/x.json"), "cannot be written"),
    ],
)
def test_mistakes_are_sentences(run: Run, words: tuple[str, ...], said: str) -> None:
    code, _, err = run("documents", *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
