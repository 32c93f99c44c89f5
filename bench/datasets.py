"""Datasets: objects written in a second, and how that compares with copying their files."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dicomlake.jobs.datasets.making import make
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.index import index
from dicomlake.testing.volumes import axial, chest, series

KEY = "a key of thirty-two bytes or more, of a measurement"
HEAD = ("", "objects/s", "MB/s", "x plain copy")


def measure(patients: int) -> list[tuple[str, ...]]:
    """A copy, identified and de-identified objects, by one process and by two, with volumes."""
    with tempfile.TemporaryDirectory(prefix="dicomlake-bench-") as folder:
        place = Path(folder)
        count = _write(place / "archive", patients)
        size = sum(path.stat().st_size for path in (place / "archive").iterdir())
        index([place / "archive"], place / "lake", workers=2)
        os.environ["BENCH_KEY"] = KEY
        (place / "lake" / "dicomlake.toml").write_text(
            '[pseudonyms.bench]\nkey_env = "BENCH_KEY"\n', encoding="utf-8"
        )
        copied = _timed(lambda: shutil.copytree(place / "archive", place / "copy"))
        rows = [_row("files copied", count, size, copied, copied)]
        for workers in (1, 2):
            for title, more in _KINDS:
                out = place / f"{title.replace(' ', '-').replace(',', '')}-{workers}"
                wanted = Wanted(str(out), where="Modality = 'CT'", **more)  # type: ignore[arg-type]
                name = f"d{len(rows)}"
                took = _timed(_made(place / "lake", wanted, name, workers))
                rows.append(_row(f"{title}, {workers} workers", count, size, took, copied))
        return rows


_CLEAN = {"profile": "basic", "pseudonyms": "bench"}
_KINDS = (
    ("identified", {"profile": "identified"}),
    ("de-identified", _CLEAN),
    ("de-identified with volumes", {**_CLEAN, "formats": ("dicom", "nifti")}),
)


def _made(lake: Path, wanted: Wanted, name: str, workers: int) -> Callable[[], object]:
    return lambda: make(lake, wanted, name=name, workers=workers)


def _timed(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _row(title: str, count: int, size: int, took: float, copied: float) -> tuple[str, ...]:
    return (title, f"{count / took:,.0f}", f"{size / took / 1e6:,.1f}", f"{copied / took:.3f}")


def _write(folder: Path, patients: int) -> int:
    """CT series of 40 slices of 256 x 256."""
    folder.mkdir(parents=True)
    volume = chest(axial((40, 256, 256), (8.0, 1.6, 1.6))).volume(noise=8)
    count = 0
    for who in range(patients):
        for at, data in enumerate(series(volume, name=f"bench {who}", PatientID=f"B{who}")):
            (folder / f"{who}-{at}.dcm").write_bytes(data)
            count += 1
    return count
