"""Whatever way objects come, the lake is the same."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake import settings
from dicomlake.contracts import Silent
from dicomlake.jobs.index import index
from dicomlake.jobs.pulling import pull
from dicomlake.jobs.requests import Request
from dicomlake.lake import Store
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import add_source, set_listener
from dicomlake.testing.archives import Orthanc, free_port

pytestmark = pytest.mark.service

OURS = {"series_id", "uri", "offset", "size", "modified", "source", "indexed", "run_id", "complete"}
"""Columns that say how and when something came."""
CONTENTS = ("items", "segments", "waveforms", "dose_events", "dose_totals")


NEWER = "1.2.840.10008.1.2.8.1"
"""Deflated image frames: dcmtk 3.6.7, and Orthanc with it, cannot send it; nor what is cut off."""


NOT_FOUND = "1.2.777.777.77.7.7777.7777"
"""A series of the samples that Orthanc lists, and answers HTTP 404 for when it is retrieved."""


def chosen(files: list[Path]) -> list[Path]:
    """One small file of each class, transfer syntax and character set."""
    found: dict[tuple[str | None, ...], Path] = {}
    for file in files:
        if file.stat().st_size > 400_000:
            continue
        try:
            header = HeaderReader().read_bytes(file.read_bytes())
        except Exception:  # noqa: BLE001 - many of them are broken on purpose
            continue
        if header.syntax == NEWER or any(not path for path, _, _ in header.problems):
            continue
        first = header.first
        if first.get("SeriesInstanceUID") == NOT_FOUND:
            continue
        kind = [first.get(name) for name in ("SOPClassUID", "SpecificCharacterSet")]
        found.setdefault((*kind, header.syntax), file)
    return sorted(found.values())


@pytest.fixture(scope="module")
def port(network: None) -> int:
    return free_port()


@pytest.fixture(scope="module")
def orthanc(
    orthanc_installed: None,
    port: int,
    small_hospital: Path,
    pydicom_files: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Orthanc]:
    corpus = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    files = [p for p in corpus.rglob("*") if p.suffix == ".dcm"] if corpus.is_dir() else []
    with Orthanc(tmp_path_factory.mktemp("orthanc"), {"LAKE": port}) as orthanc:
        orthanc.seed(sorted(small_hospital.rglob("*.dcm")) + chosen(pydicom_files + sorted(files)))
        yield orthanc


@pytest.fixture(scope="module")
def folder(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The objects as the archive has them."""
    folder = tmp_path_factory.mktemp("files")
    for one in orthanc.get("/instances"):
        (folder / f"{one}.dcm").write_bytes(file_of(orthanc, one))
    return folder


def file_of(orthanc: Orthanc, one: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(f"{orthanc.url}/instances/{one}/file", timeout=60) as answer:
        return bytes(answer.read())


Rows = dict[str, Counter[str]]


def shown(lake: Path) -> Rows:
    """Rows of the tables, as often as they are there, without what says how they came."""
    store = Store(lake)
    with store.database() as db:
        uids = dict(db.execute('select series_id, "SeriesInstanceUID" from series').fetchall())
        rows = {
            name: db.sql(f"from {name}").to_arrow_table().to_pylist()
            for name in ("series", "instances", "elements", *CONTENTS)
        }
    for row in rows["instances"]:
        row["header"] = plain(json.loads(row["header"]))
        row["problems"] = [p for p in row["problems"] or () if not meta(p)]
    rows["elements"] = [row for row in rows["elements"] if not meta(row)]
    for row in rows["elements"]:
        if row["path"] == "PixelData":
            row |= {"vr": "", "number": None}
    found: Rows = {}
    for name, several in rows.items():
        for row in several:
            row["of"] = uids[row["series_id"]]
        kept = [{k: v for k, v in row.items() if k not in OURS} for row in several]
        found[name] = Counter(json.dumps(row, sort_keys=True, default=str) for row in kept)
    return found


PADDING = "FFFCFFFC"
PIXELS = "7FE00010"
META = ("FileMetaInformation", "MediaStorage", "TransferSyntaxUID", "Implementation", "Source")
META += ("Sending", "Receiving", "PrivateInformation")


def meta(row: dict[str, Any]) -> bool:
    """Whether a row is about the file (every way writes its own), or what dcmtk leaves out."""
    path = row["path"]
    return path.startswith(META) or path.endswith(",0000)") or path == "DataSetTrailingPadding"


def plain(header: dict[str, Any]) -> dict[str, Any]:
    """A header without the file's own group, the places of bulk data, and what dcmtk leaves out.

    It sends no group lengths (retired, PS3.5 7.2), or others, and no padding after the data set
    (PS3.10 7.2); compressed pixels that a file calls OW it calls OB, as PS3.5 A.4 has it.
    """
    left_out = {tag for tag in header if tag.startswith("0002") or tag.endswith("0000")}
    left_out |= {PADDING, PIXELS}
    return {tag: bare(e) for tag, e in header.items() if tag not in left_out}


def bare(element: dict[str, Any]) -> dict[str, Any]:
    if "BulkDataURI" in element:
        return {"vr": element["vr"], "BulkDataURI": ""}
    if element.get("vr") == "SQ":
        return {"vr": "SQ", "Value": [plain(item) for item in element.get("Value", ())]}
    return element


def uids(rows: Rows) -> list[tuple[str, str]]:
    """Series and SOPInstanceUID of every object."""
    found = [json.loads(row) for row in rows["instances"].elements()]
    return sorted((row["of"], row["SOPInstanceUID"]) for row in found)


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    lake = tmp_path_factory.mktemp("expected") / "lake"
    index([folder], lake, workers=1)
    return shown(lake)


def same(found: Rows, expected: Rows, without: Callable[[str], bool] = lambda row: False) -> None:
    told = []
    for name, rows in expected.items():
        less, more = rows - found[name], found[name] - rows
        less = Counter({row: count for row, count in less.items() if not without(row)})
        more = Counter({row: count for row, count in more.items() if not without(row)})
        said = f"{name}: {less.total()} missing, {more.total()} too many of {rows.total()}"
        if less or more:
            told += [said, *list(less)[:3], *list(more)[:3]]
    assert not told, "\n".join(told)


class Patient(Silent):
    """Stops a pull that does not end by itself."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def cancelled(self) -> bool:  # type: ignore[override]
        return time.monotonic() > self._end


def pulled(lake: Path, depth: str = "complete") -> None:
    done = pull(
        lake,
        Request("pacs", depth=depth, undated=True),
        found=settings.read(lake),
        progress=Patient(60),
    )
    assert done.job.state == "finished"
    assert done.missing == 0


def dimse(lake: Path, port: int, called: str, retrieve: str) -> None:
    values = {"kind": "dimse", "host": "127.0.0.1", "port": port, "called": called}
    add_source(lake, "pacs", {**values, "calling": "LAKE", "retrieve": retrieve})


def test_by_get(orthanc: Orthanc, expected: Rows, tmp_path: Path) -> None:
    dimse(tmp_path / "lake", orthanc.dicom, "ORTHANC", "get")
    pulled(tmp_path / "lake")
    same(shown(tmp_path / "lake"), expected)


def test_by_move(orthanc: Orthanc, port: int, expected: Rows, tmp_path: Path) -> None:
    dimse(tmp_path / "lake", orthanc.dicom, "ORTHANC", "move")
    set_listener(tmp_path / "lake", {"ae_title": "LAKE", "port": port})
    pulled(tmp_path / "lake")
    same(shown(tmp_path / "lake"), expected)


def test_by_dicomweb(orthanc: Orthanc, expected: Rows, tmp_path: Path) -> None:
    add_source(tmp_path / "lake", "pacs", {"kind": "dicomweb", "url": orthanc.dicomweb})
    pulled(tmp_path / "lake")
    same(shown(tmp_path / "lake"), expected)


def test_headers_by_dicomweb(orthanc: Orthanc, expected: Rows, tmp_path: Path) -> None:
    add_source(tmp_path / "lake", "pacs", {"kind": "dicomweb", "url": orthanc.dicomweb})
    pulled(tmp_path / "lake", "headers")
    found = shown(tmp_path / "lake")
    complete = Store(tmp_path / "lake").read("series", ["complete"]).column(0).to_pylist()
    assert set(complete) == {"headers"}
    assert uids(found) == uids(expected)
    # JSON has no number -0, which some decimal strings are.
    here, there = valued(found["series"]), valued(expected["series"])
    for of, row in here.items():
        differs = {name: value for name, value in row.items() if value != there[of][name]}
        if "IR 13" in str(row["SpecificCharacterSet"]):  # Orthanc gives no DS of several values
            differs = {name: value for name, value in differs.items() if value is not None}
        assert differs == {}
    assert here.keys() == there.keys()
    for name in ("segments", "waveforms"):
        assert found[name] == expected[name]


def valued(rows: Counter[str]) -> dict[str, Any]:
    """Rows of `series` by their UIDs, as values."""
    return {row["of"]: row for row in map(json.loads, rows)}


def test_one_object_by_get(orthanc: Orthanc, expected: Rows, tmp_path: Path) -> None:
    dimse(tmp_path / "lake", orthanc.dicom, "ORTHANC", "get")
    pulled(tmp_path / "lake", "headers")
    rows = Store(tmp_path / "lake").read("series", ["complete", "instances"]).to_pylist()
    assert len(rows) == expected["series"].total()
    assert {row["instances"] for row in rows} == {1}
    assert "first" in {row["complete"] for row in rows}
