"""Text burned into pixels is hidden, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from dicomlake.contracts.deid import Item, Replaced
from dicomlake.deid.pixels import PixelStep
from dicomlake.readers.header import HeaderReader
from dicomlake.testing.dicom import EXPLICIT_LE, encode, image
from tests.deid.planted import correlation, frame_with_text

pytest.importorskip("rapidocr_onnxruntime", reason="needs the extra deid", exc_type=ImportError)

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


class Nobody:
    """Words of a patient of whom nothing is known."""

    def spans(self, text: str) -> list[Any]:
        return []

    def clean(self, text: str) -> str:
        return text


def item_of(data: bytes) -> Item:
    header = HeaderReader().read(lambda at, length: data[at : at + length], len(data))
    return Item(data, orjson.loads(header.json))


def picture(pixels: Any, syntax: str = EXPLICIT_LE, **more: Any) -> Item:
    """An object of ultrasound with these pixels."""
    rows, columns = pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    said = {
        "SOPClassUID": ULTRASOUND, "Modality": "US", "Rows": rows, "Columns": columns,
        "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelData": pixels, **more,
    }  # fmt: skip
    return item_of(encode(image(**said), syntax))


def cleaned(item: Item, step: PixelStep) -> Replaced:
    found = step.clean(item, Nobody(), None)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def step() -> PixelStep:
    return PixelStep()


def test_planted_text_is_hidden(step: PixelStep) -> None:
    hidden = []
    for seed in range(3):
        before, planted = frame_with_text(seed)
        found = cleaned(picture(before), step)
        value = found.values[0x7FE00010]
        assert value is not None
        after = np.frombuffer(value[1], np.uint8).reshape(before.shape)
        hidden += [correlation(before, after, each) < 0.2 for each in planted]
    assert np.mean(hidden) >= 0.98
