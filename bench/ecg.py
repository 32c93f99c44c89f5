"""ECG files: read and converted, against ecgdatakit, which only reads them."""

from __future__ import annotations

import io
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from dicomlake.contracts.converters import Asked, Original
from dicomlake.converters.ecg import EcgConverter, read
from dicomlake.testing.dicom import uid
from dicomlake.testing.ecgfiles import aecg, made, muse, scp, sierra

HEAD = ("12 leads x 5,000", "converted/s", "read/s", "ecgdatakit reads/s", "converted x ecgdatakit")


def missing() -> str:
    """What has to be installed for the comparison."""
    if find_spec("ecgdatakit") is None:
        return "ecgdatakit is missing: pip install 'dicomlake[convert]'"
    return ""


def measure(ecgs: int) -> list[tuple[str, ...]]:
    """Files a second of each format on one core; conversion is to the bytes of two objects."""
    writers = {"scp": scp, "aecg": aecg, "muse": muse, "sierra": sierra}
    rows = []
    for name, writer in writers.items():
        files = [writer(made(seed)) for seed in range(ecgs)]
        whole = _rate(files, _convert)
        alone = _rate(files, lambda data, name=name: read(name, data))
        peer = 0.0 if missing() else _peer(files, ".scp" if name == "scp" else ".xml")
        rows.append(
            (name, f"{whole:.1f}", f"{alone:.1f}", f"{peer:.1f}", f"{whole / (peer or 1):.2f}")
        )
    return rows


def _rate(files: list[bytes], work: Callable[[bytes], object]) -> float:
    """Files a second of processor time: the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for data in files:
            work(data)
        best = min(best, time.process_time() - start)
    return len(files) / best


def _convert(data: bytes) -> None:
    for one in EcgConverter().convert(Original("a", data), Asked(uid)).objects:
        one.save_as(io.BytesIO(), enforce_file_format=True)


def _peer(files: list[bytes], suffix: str) -> float:
    from ecgdatakit.parsing.parser import FileParser

    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / f"a{suffix}"

        def parse(data: bytes) -> None:
            path.write_bytes(data)
            FileParser().parse(path)

        return _rate(files, parse)
