"""Text that is burned into real pictures: where it is was seen by eye."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomlake.deid.pixels import PixelStep
from dicomlake.deid.pixels.boxes import mask_of
from tests.deid.objects import Nobody, frames_in, item_of, read_again, rewritten

try:
    import rapidocr_onnxruntime  # noqa: F401
except ImportError as error:
    pytest.skip(f"text is not found without the extra deid: {error}", allow_module_level=True)

SEEN = {
    "CT-MONO2-16-ankle": [
        (8, 10, 225, 22), (8, 24, 75, 36), (360, 11, 500, 22), (403, 51, 440, 61),
        (452, 51, 502, 61),
    ],
    "gdcm-CT-MONO2-8-abdo.dcm": [(3, 2, 92, 14), (2, 54, 72, 64), (455, 2, 508, 14)],
    "nema-us1_j2ki.dcm": [(20, 26, 168, 40), (20, 42, 88, 54), (20, 58, 68, 70),
                          (279, 41, 360, 56), (550, 42, 619, 54)],
    "gdcm-US-ALOKA-16.dcm": [(80, 0, 250, 22), (550, 0, 640, 22), (20, 455, 100, 470)],
    "DIRW0007": [(32, 2, 132, 16), (32, 17, 186, 30), (503, 2, 576, 18), (450, 82, 488, 94),
                 (501, 34, 570, 46)],
    "OBXXXX1A.dcm": [(90, 5, 260, 55), (660, 5, 785, 55)],
}  # fmt: skip
"""Rectangles (x0, y0, x1, y1) in which names of hospitals, dates, times and numbers stand."""
CLEAN = ("gdcm-CR-MONO1-10-chest.dcm", "nema-ct1_jpll.dcm")
"""Pictures in which nothing is written, though they are searched."""


def found_in(corpus: Path, name: str) -> bytes:
    return next(corpus.rglob(name)).read_bytes()


@pytest.mark.parametrize("name", SEEN)
def test_what_was_seen_is_blanked(corpus_folder: Path, name: str) -> None:
    item = item_of(found_in(corpus_folder, name))
    step = PixelStep({"most_frames": 2})
    frames, sought = step.sought(item)
    mask = mask_of(sought.boxes, frames.rows, frames.columns)
    for x0, y0, x1, y1 in SEEN[name]:
        assert mask[y0:y1, x0:x1].mean() > 0.95, (x0, y0, x1, y1)


@pytest.mark.parametrize("name", CLEAN)
def test_what_shows_no_text_stays(corpus_folder: Path, name: str) -> None:
    found = PixelStep().clean(item_of(found_in(corpus_folder, name)), Nobody(), None)  # type: ignore[arg-type]
    assert found is not None
    assert 0x7FE00010 not in found.values


def test_a_cine_with_loss_is_rewritten_without(corpus_folder: Path) -> None:
    """DIRW0007: 65 frames of JPEG baseline."""
    item = item_of(found_in(corpus_folder, "DIRW0007"))
    step = PixelStep({"most_frames": 1})
    found = step.clean(item, Nobody(), None)  # type: ignore[arg-type]
    assert found is not None
    after = rewritten(item, found)
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    assert after.LossyImageCompression == "01"
    _, sought = step.sought(item)
    mask = mask_of(sought.boxes, after.Rows, after.Columns)
    before = read_again(item.data)
    for number in (0, 40, 64):
        a, b = (frames_in(data, number) for data in (before, after))
        assert (a[~mask] == b[~mask]).all()
        assert (a[mask] != b[mask]).any()
