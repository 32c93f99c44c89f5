"""FHIR resources per second: of a lake, and of dicom2fhir from the same studies.

dicom2fhir is not among our dependencies: `DICOM2FHIR` names the Python of an environment with
`dicom2fhir==0.1.25` and `fhir.resources==8.2.0` (it fails with newer ones). Both are timed without
their start, in turns.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from dicomlake.fhir import Site
from dicomlake.jobs.fhir.making import Maker
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.dicom import encode, image, uid

STUDIES, SERIES, SLICES = 200, 2, 20
ROUNDS = 3
_SITE = Site(b"measured", "Europe/Berlin", "https://pacs.example", profile="mii", instances=True)
_THEIRS = """
import asyncio, logging, sys, time, warnings
from pathlib import Path
logging.disable(logging.CRITICAL); warnings.simplefilter("ignore")
from dicom2fhir.dicom2fhir import from_directory
folders = sorted(Path(sys.argv[1]).iterdir())
config = {"dicom_timezone": "Europe/Berlin"}
asyncio.run(from_directory(folders[0], config))
began, made = time.perf_counter(), 0
for folder in folders:
    bundle = asyncio.run(from_directory(folder, config))
    bundle.json()
    made += len(bundle.entry)
print(made, time.perf_counter() - began)
"""


def missing() -> str:
    """Why dicom2fhir cannot be measured, or ""."""
    python = os.environ.get("DICOM2FHIR", "")
    if python and shutil.which(python):
        return ""
    return (
        "dicom2fhir is not measured: set DICOM2FHIR to the Python of an environment with "
        "dicom2fhir==0.1.25 and fhir.resources==8.2.0"
    )


def studies(folder: Path, count: int = STUDIES) -> Path:
    """CT studies as files, one folder per study."""
    for study in range(count):
        place = folder / f"study-{study}"
        place.mkdir(parents=True)
        for series in range(SERIES):
            for number in range(SLICES):
                (place / f"{series}-{number}.dcm").write_bytes(_slice(study, series, number))
    return folder


def _slice(study: int, series: int, number: int) -> bytes:
    return encode(
        image(
            PatientID=f"P{study}", StudyInstanceUID=uid("bench", study),
            SeriesInstanceUID=uid("bench", study, series), SeriesNumber=series + 1,
            SOPInstanceUID=uid("bench", study, series, number), InstanceNumber=number + 1,
            BodyPartExamined="CHEST", DeviceSerialNumber=f"S{study % 3}", StationName="CT1",
            ManufacturerModelName="Somatom", PatientWeight=70, PatientSize=1.8,
            ImagePositionPatient=[-50, -50, number * 5],
        )
    )  # fmt: skip


def measure() -> list[tuple[str, ...]]:
    """What was made, in which time, and how many times as fast as dicom2fhir."""
    with tempfile.TemporaryDirectory() as place:
        folder = studies(Path(place) / "files")
        lake = Path(place) / "lake"
        began = time.perf_counter()
        index([folder], lake, workers=1)
        indexing = time.perf_counter() - began
        ours, theirs = [], []
        maker = Maker(Store(lake), _SITE, "R4")
        list(maker.all())
        for _ in range(ROUNDS):
            began = time.perf_counter()
            made = sum(1 for _ in maker.all())
            ours.append((made, time.perf_counter() - began))
            if not missing():
                theirs.append(_theirs(folder))
    return _rows(ours, theirs, indexing)


def _theirs(folder: Path) -> tuple[int, float]:
    command = [os.environ["DICOM2FHIR"], "-c", _THEIRS, str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    made, seconds = done.stdout.split()
    return int(made), float(seconds)


def _rows(
    ours: list[tuple[int, float]], theirs: list[tuple[int, float]], indexing: float
) -> list[tuple[str, ...]]:
    made, seconds = _median(ours)
    reference = _median(theirs) if theirs else None
    whole = ("the same, files to lake included", made, seconds + indexing)
    rows = []
    for name, count, took in (("dicomlake, lake to R4 (MII)", made, seconds), whole):
        ratio = f"{count / took / (reference[0] / reference[1]):,.0f}" if reference else "-"
        rows.append((name, f"{count:,}", f"{took:.2f}", f"{count / took:,.0f}", ratio))
    if reference:
        count, took = reference
        rows.append(
            ("dicom2fhir, files to R4B", f"{count:,}", f"{took:.2f}", f"{count / took:,.0f}", "1")
        )
    return rows


def _median(runs: list[tuple[int, float]]) -> tuple[int, float]:
    return runs[0][0], statistics.median(seconds for _, seconds in runs)


def measure_large(lake: Path) -> list[tuple[str, ...]]:
    """A lake of any size as NDJSON lines: resources per second, and the most memory."""
    began, made, size = time.perf_counter(), 0, 0
    for one in Maker(Store(lake), Site(b"measured", "Europe/Berlin"), "R4").all():
        made, size = made + 1, size + len(one.line)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [(f"{made:,}", f"{made / seconds:,.0f}", f"{size / 1e6:,.0f}", f"{peak:,.0f}")]
