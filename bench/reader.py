"""The reader against pydicom, on one core: objects per second and how often faster."""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

from dicomlake.dicom.walk import walk
from dicomlake.errors import DataError
from dicomlake.readers.contents import ContentsReader
from dicomlake.readers.header import HeaderReader
from dicomlake.testing import hospital


def ct_series(count: int = 200, number: int = 1) -> list[bytes]:
    """A CT series of 262 elements each: pydicom's CT_small, varied as a series varies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
        made = []
        image.SeriesInstanceUID = f"1.2.3.{number}"
        image.PatientID = f"P{number // 4}"
        for i in range(count):
            z = -0.5 * i
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = (
                f"1.2.3.{number}.{i}"
            )
            image.InstanceNumber = i
            image.AcquisitionNumber = i // 10
            image.SliceLocation = f"{z:.2f}"
            image.ImagePositionPatient = [f"{-125.5:.3f}", f"{-130.25:.3f}", f"{z:.3f}"]
            image.InstanceCreationTime = image.ContentTime = f"{100000 + i}.{i:03}"
            image.AcquisitionTime = f"{110000 + i // 4}.{i:03}"
            image.XRayTubeCurrent = 200 + i % 40
            image.Exposure = 100 + i % 40
            image.WindowCenter, image.WindowWidth = 40 + i % 3, 400
            for tag in (0x00271041, 0x00271042, 0x00271043, 0x00271044, 0x00431040, 0x00431041):
                image[tag].value = i * 0.37 + tag % 97
            for tag in (0x00191002, 0x00191003, 0x00191004, 0x00211003, 0x00211005):
                if tag in image and isinstance(image[tag].value, int):
                    image[tag].value = i
            held = io.BytesIO()
            image.save_as(held)
            made.append(held.getvalue())
    return made


def all_values(data: bytes) -> int:
    """pydicom with every value decoded, sequences included."""
    return sum(e.value is not None for e in pydicom.dcmread(io.BytesIO(data), force=True).iterall())


def once(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure(rounds: int = 5) -> list[tuple[str, str, str]]:
    """(what, objects per second, ratio to pydicom) rows; candidates alternate, medians."""
    objects = ct_series()
    candidates: dict[str, Callable[[], object]] = {
        "pydicom, all values": lambda: [all_values(b) for b in objects],
        "walk, raw values": lambda: [walk(lambda o, n, b=b: b[o : o + n], len(b)) for b in objects],
        "reader: header JSON and rows": lambda: _series(objects),
        "reader that remembers nothing": lambda: [HeaderReader().read_bytes(b) for b in objects],
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(rounds):
            for name, run in candidates.items():
                times[name].append(once(run))
    times |= _dcmtk(objects, rounds)
    base = statistics.median(times["pydicom, all values"])
    return [
        (name, f"{len(objects) / statistics.median(t):,.0f}", f"{base / statistics.median(t):.1f}")
        for name, t in times.items()
    ]


def _series(objects: list[bytes]) -> None:
    reader = HeaderReader()
    for data in objects:
        reader.read_bytes(data)


def _dcmtk(objects: list[bytes], rounds: int) -> dict[str, list[float]]:
    """dcmdump in one process for all files and dcm2json in one process each, where installed."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, data in enumerate(objects):
            files.append(str(Path(folder) / f"{i}.dcm"))
            Path(files[-1]).write_bytes(data)
        if shutil.which("dcmdump"):
            run = ["dcmdump", "-q", *files]
            found["dcmdump, one process"] = [
                once(lambda: subprocess.run(run, check=True, capture_output=True))
                for _ in range(rounds)
            ]
        if shutil.which("dcm2json"):
            some = files[:40]
            found["dcm2json, one process each"] = [
                once(
                    lambda: [
                        subprocess.run(["dcm2json", f], check=True, capture_output=True)
                        for f in some
                    ]
                )
                * (len(files) / len(some))
                for _ in range(2)
            ]
    return found


def objects_with_contents(patients: int = 40) -> dict[str, list[bytes]]:
    """Objects of the made-up hospital that have something inside, by what that is."""
    kinds: dict[str, list[bytes]] = {}
    contents, reader = ContentsReader(), HeaderReader()
    with tempfile.TemporaryDirectory() as folder:
        hospital.write(Path(folder) / "archive", patients, 7, pixels=False)
        for file in sorted((Path(folder) / "archive").rglob("*")):
            if file.is_file():
                try:
                    header = reader.read_bytes(file.read_bytes())
                except DataError:
                    continue
                places = [place for place, _ in contents.wanted(header.first)]
                found = contents.read(header.json, places).rows if places else {}
                for name in ("segments", "waveforms", "items", "dose_events"):
                    if found.get(name):
                        what = "items and dose_events" if found["dose_events"] else name
                        kinds.setdefault(what, []).append(file.read_bytes())
                        break
    return kinds


def measure_contents(rounds: int = 5) -> list[tuple[str, str, str, str]]:
    """(rows of, objects, ms per object, share of a plain pydicom read); alternating, medians."""
    reader, contents = HeaderReader(), ContentsReader()
    found = []
    for what, objects in sorted(objects_with_contents().items()):
        headers = [reader.read_bytes(data) for data in objects]
        wanted = [[place for place, _ in contents.wanted(h.first)] for h in headers]
        pairs = list(zip([h.json for h in headers], wanted, strict=True))
        plain: list[float] = []
        ours: list[float] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(rounds):
                plain.append(once(lambda o=objects: [all_values(data) for data in o]))
                ours.append(once(lambda p=pairs: [contents.read(*pair) for pair in p]))
        took = statistics.median(ours)
        share = f"{took / statistics.median(plain):.2f}"
        found.append((what, f"{len(objects):,}", f"{took / len(objects) * 1000:.2f}", share))
    return found
