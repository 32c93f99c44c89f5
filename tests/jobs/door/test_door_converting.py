"""Files that are converted into a lake with a door: de-identified, and their originals not kept."""

from __future__ import annotations

from pathlib import Path

import pytest

import dicomlake
from dicomlake.converters.labels import LabelsConverter
from dicomlake.errors import UsageError
from dicomlake.jobs.converting import convert
from dicomlake.jobs.converting.watching import submit
from dicomlake.jobs.index import index
from dicomlake.jobs.requests import Requests
from dicomlake.lake import Store
from dicomlake.settings import Settings, WatchedFolder
from dicomlake.testing.dicom import encode, image

from ...planted import MARK, ROOT, planted
from .swept import swept
from .test_door_facts import guarded

EF = {"column": "EF", "concept": ["10230-1", "LN", "Left ventricular Ejection fraction"],
      "number": "%"}  # fmt: skip
REPORTS = {
    "converter": "labels", "to": "measurements", "title": "Heart labels",
    "identify": {"AccessionNumber": "order"}, "labels": [EF],
}  # fmt: skip
TABLE = f"order,EF\n{MARK}A,55\n{MARK}B,40\n"


def test_reports_are_of_the_pseudonym_of_the_images(tmp_path: Path) -> None:
    lake = guarded(tmp_path, "lake", "research")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.dcm").write_bytes(encode(image(**planted(Modality="CT"))))
    table = tmp_path / f"{MARK}.csv"
    table.write_text(TABLE)
    index([tmp_path / "images"], lake, workers=1)
    for _ in range(2):  # the second time nothing is new
        report = convert(
            table, lake=lake, mapping=REPORTS, images=tmp_path / "images",
            converters=[LabelsConverter()],
        )  # fmt: skip
        assert (report.converted, report.objects, report.parts) == (1, 1, 1)
        found = dicomlake.open(lake)
        assert found.totals["series"] == 2
        assert found.totals["patients"] == 1
        assert found.query("Modality = 'SR' and *.[LN:10230-1] > 50 %", level="series").total == 1
    (failure,) = Store(lake).read("failures").to_pylist()
    assert failure["stage"] == "convert"
    assert "row" not in failure["reason"]
    assert swept(lake, [MARK, ROOT, "19310704"]) == {}
    assert not list((lake / "_kept").rglob("originals*"))


def test_a_watched_folder_is_refused(tmp_path: Path) -> None:
    lake = guarded(tmp_path, "lake", "research")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{MARK}.csv").write_text(TABLE)
    settings = Settings(convert={"heart": WatchedFolder(folder=tmp_path / "in", quiet_s=0)})
    requests = Requests(lake, settings)
    with pytest.raises(UsageError, match="names of files"):
        submit(lake, settings, "heart", requests)
    requests.close()
    assert swept(lake, [MARK]) == {}
