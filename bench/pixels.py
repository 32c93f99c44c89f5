"""Pixels that are searched for text, and those that pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import orjson

from dicomlake.contracts.deid import Item
from dicomlake.deid.pixels import PixelStep
from dicomlake.deid.pixels.lossless import jpeg
from dicomlake.deid.pixels.seeking import NOBODY
from dicomlake.readers.header import HeaderReader
from dicomlake.testing.dicom import EXPLICIT_LE, Fragments, encode, image

Rows = list[tuple[str, ...]]
_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


def measure(rounds: int) -> Rows:
    """CPU seconds per frame that is searched, and MB/s of slices that pass."""
    step = PixelStep()

    def clean(item: Item) -> Callable[[], object]:
        return lambda: step.clean(item, NOBODY, None)  # type: ignore[arg-type]

    random = np.random.default_rng(0)
    values = random.integers(0, 4000, (512, 512)).astype(np.uint16)
    slices = {
        "native": _slice(values, EXPLICIT_LE),
        "JPEG without loss": _slice(Fragments((jpeg(values),)), "1.2.840.10008.1.2.4.70"),
    }
    clean(_frame(random))()  # the network is loaded
    rows = []
    spent = [_spent(clean(_frame(random)), 1) for _ in range(rounds)]
    rows.append(("ultrasound 800 x 600, CPU s per frame", f"{float(np.median(spent)):.2f}"))
    for name, item in slices.items():
        seconds = _spent(clean(item), 50) / 50
        rows.append((f"CT as acquired, {name}, MB/s", f"{len(item.data) / seconds / 1e6:,.0f}"))
    return rows


def _spent(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - began


def _frame(random: np.random.Generator) -> Item:
    """A frame of ultrasound without text, another one each time."""
    speckle = np.clip(random.rayleigh(30, (600, 800)), 0, 255).astype(np.uint8)
    speckle[:, :150] = speckle[:, -150:] = 0
    return _item(
        image(
            SOPClassUID=_ULTRASOUND, Modality="US", Rows=600, Columns=800, BitsAllocated=8,
            BitsStored=8, HighBit=7, PixelData=speckle,
        )
    )  # fmt: skip


def _slice(pixels: object, syntax: str) -> Item:
    return _item(image(Rows=512, Columns=512, PixelData=pixels), syntax)


def _item(values: dict[str, object], syntax: str = EXPLICIT_LE) -> Item:
    data = encode(values, syntax)
    return Item(data, orjson.loads(HeaderReader().read_bytes(data).json))
