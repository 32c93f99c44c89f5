"""A folder to tables: dicomlake against a straightforward pydicom + pyarrow script."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydicom

from bench.reader import ct_series
from dicomlake.jobs.index import index
from dicomlake.testing import hospital


def plain_script(folder: Path, out: Path, processes: int) -> int:
    """What one writes in an afternoon: every element of every file, and the header as JSON."""
    out.mkdir(parents=True)
    files = sorted(str(p) for p in folder.rglob("*") if p.is_file())
    jobs = [(files[i : i + 500], str(out), i) for i in range(0, len(files), 500)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.map(_script_chunk, jobs))


def _script_chunk(job: tuple[list[str], str, int]) -> int:
    files, out, number = job
    warnings.simplefilter("ignore")
    rows: dict[str, list[object]] = {"file": [], "path": [], "vr": [], "value": []}
    headers: dict[str, list[object]] = {"file": [], "header": []}
    for file in files:
        try:
            image = pydicom.dcmread(file, stop_before_pixels=True)
            header = json.dumps(
                image.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=str)
            )
        except Exception:  # noqa: BLE001 - the script skips what it cannot read
            continue
        headers["file"].append(file)
        headers["header"].append(header)
        for path, element in _elements(image, ""):
            rows["file"].append(file)
            rows["path"].append(path)
            rows["vr"].append(element.VR)
            rows["value"].append(str(element.value)[:1000])
    for name, table in (("elements", rows), ("headers", headers)):
        pq.write_table(pa.table(table), f"{out}/{name}-{number}.parquet", compression="zstd")
    return len(headers["file"])


def _elements(image: pydicom.Dataset, prefix: str):  # type: ignore[no-untyped-def]
    for element in image:
        path = prefix + (element.keyword or str(element.tag))
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item, path + ".")
        else:
            yield path, element


def measure(size: int = 120, rounds: int = 3, processes: int = 2) -> list[tuple[str, str, str]]:
    """(what, files per second, ratio to the script) rows; alternating, medians.

    Two folders: CT series of 200 images as scanners write them, and a made-up hospital of small
    headers in series of three images.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ct"
        files = 0
        for number in range(size // 5):
            (folder / f"{number}").mkdir(parents=True)
            for i, data in enumerate(ct_series(200, number + 1)):
                (folder / f"{number}" / f"{i}.dcm").write_bytes(data)
                files += 1
        rows = _compared("CT series", folder, files, rounds, processes)
        folder = Path(place) / "hospital"
        made = hospital.write(folder, size)
        return rows + _compared("made-up hospital", folder, made.files, rounds, processes)


def _compared(
    what: str, folder: Path, files: int, rounds: int, processes: int
) -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as place:
        times: dict[str, list[float]] = {"script": [], "dicomlake": [], "again": []}
        for number in range(rounds):
            out, lake = Path(place) / f"out{number}", Path(place) / f"lake{number}"
            began = time.perf_counter()
            plain_script(folder, out, processes)
            times["script"].append(time.perf_counter() - began)
            began = time.perf_counter()
            index([folder], lake, workers=processes)
            times["dicomlake"].append(time.perf_counter() - began)
            began = time.perf_counter()
            index([folder], lake, workers=processes)
            times["again"].append(time.perf_counter() - began)
            shutil.rmtree(out)
            shutil.rmtree(lake)
    base = statistics.median(times["script"])
    names = {
        "script": f"{what}, {files:,} files: pydicom + pyarrow script",
        "dicomlake": f"{what}: dicomlake index",
        "again": f"{what}: dicomlake index again, nothing changed",
    }
    return [
        (names[n], f"{files / statistics.median(t):,.0f}", f"{base / statistics.median(t):.1f}")
        for n, t in times.items()
    ]


_PEAK = """
import resource, sys
from pathlib import Path
from dicomlake.contracts import Silent
from dicomlake.jobs.index import index

def peak(who):
    return resource.getrusage(who).ru_maxrss // 1024

class Watch(Silent):
    reading = 0
    def stage(self, name, total=None, unit="files"):
        if name == "tidying":  # the readers have ended
            Watch.reading = peak(resource.RUSAGE_SELF)

if __name__ == "__main__":
    report = index([Path(sys.argv[1])], Path(sys.argv[2]), workers=2, progress=Watch())
    child, mine = peak(resource.RUSAGE_CHILDREN), peak(resource.RUSAGE_SELF)
    print(Watch.reading, child, mine, report.counts["files"], report.seconds)
"""


def peak_memory(files: int = 100_000) -> list[tuple[str, str, str]]:
    """(what, MiB, bound) rows: peak resident memory while indexing so many files."""
    with tempfile.TemporaryDirectory() as place:
        folder, lake, script = (Path(place) / n for n in ("hospital", "lake", "peak.py"))
        hospital.write(folder, max(files // 38, 1), pixels=False, processes=os.cpu_count() or 1)
        script.write_text(_PEAK)
        found = subprocess.run(
            [sys.executable, str(script), str(folder), str(lake)],
            check=True,
            capture_output=True,
            text=True,
        )
    reading, child, mine, seen, seconds = found.stdout.split()
    total = int(reading) + 2 * int(child)
    return [
        (
            f"while reading, writer and 2 readers, {int(seen):,} files",
            f"{total:,} MiB",
            "1,024 MiB",
        ),
        ("while sorting and counting at the end, writer alone", f"{int(mine):,} MiB", "1,024 MiB"),
        ("the same run", f"{int(seen) / float(seconds):,.0f} files/s", ""),
    ]
