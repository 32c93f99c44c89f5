"""Compare the pixels of an object with those that came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dicomlake.testing.deidbench.answers import Check
from dicomlake.testing.deidbench.reading import Opened, pictures

ROOM = 12
"""Pixels around a box that may change, too."""
_LOSSY = "1.2.840.10008.1.2.4.5"

Verdict = tuple[float, str]


def hidden(check: Check, old: Opened, new: Opened) -> Verdict:
    """Whether what was drawn in a box can still be seen.

    Seen: a correlation of 0.2 or more with the patch as it was planted.
    """
    if check.action_text == "bits above":
        before, after = _above(old), _above(new)
    elif check.path.startswith("(60"):
        before, after = _overlay(old, check.path), _overlay(new, check.path)
    elif check.path.startswith("(0042"):
        return _pictures(check, old, new)
    elif check.path.startswith("(0088"):
        before, after = _icon(old, check.path), _icon(new, check.path)
    else:
        before, after = _frame(old, check.frame), _frame(new, check.frame)
    if after is None:
        return 1.0, ""
    if before is None or before.shape != after.shape:
        return 0.0, f"the picture is {'x'.join(map(str, after.shape))} now"
    seen = correlation(_cut(before, check.box), _cut(after, check.box))
    return (1.0, "") if seen < 0.2 else (0.0, f"correlation {seen:.2f}")


def correlation(before: Any, after: Any) -> float:
    """Absolute correlation of two patches, 0 where one of them is flat.

    >>> patch = np.arange(9.0).reshape(3, 3)
    >>> round(correlation(patch, -patch), 3), correlation(patch, patch * 0)
    (1.0, 0.0)
    """
    a, b = before.astype(float).ravel(), after.astype(float).ravel()
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(a, b)[0, 1]))


def _cut(picture: Any, box: Sequence[int]) -> Any:
    x0, y0, x1, y1 = box
    return picture[y0:y1, x0:x1]


def _frame(opened: Opened, at: int) -> Any:
    frames = opened.frames
    if frames is None or at >= len(frames):
        return None
    frame = _stored(opened, frames[at])
    return frame.mean(axis=2) if frame.ndim == 3 else frame


def _stored(opened: Opened, frame: Any) -> Any:
    """A frame without what stands above BitsStored."""
    stored = int(opened.dataset.BitsStored)
    if frame.dtype.kind == "u" and stored < frame.dtype.itemsize * 8:
        return frame & frame.dtype.type((1 << stored) - 1)
    return frame


def _above(opened: Opened) -> Any:
    """What stands in the bits above BitsStored of native pixels of 16 bits."""
    dataset = opened.dataset
    if "PixelData" not in dataset or dataset.BitsAllocated != 16 or dataset.BitsStored == 16:
        return None
    if opened.dataset["PixelData"].is_undefined_length:
        frame = opened.frames[0]
    else:
        order = ">u2" if opened.syntax == "1.2.840.10008.1.2.2" else "<u2"
        frame = np.frombuffer(dataset.PixelData, order)[: dataset.Rows * dataset.Columns]
        frame = frame.reshape(dataset.Rows, dataset.Columns)
    return frame.astype(np.uint16) >> int(dataset.BitsStored)


def _overlay(opened: Opened, path: str) -> Any:
    group = path[1:5]
    data = opened.element(f"({group},3000)")
    rows, columns = (opened.value(f"({group},{e})") for e in ("0010", "0011"))
    if data is None or not data.value or not rows or not columns:
        return None
    size = int(rows) * int(columns)
    bits = np.unpackbits(np.frombuffer(data.value, np.uint8), bitorder="little")[:size]
    return bits.reshape(int(rows), int(columns))


def _icon(opened: Opened, path: str) -> Any:
    held = opened.element(path.rpartition("(")[0])
    if held is None or "PixelData" not in held or int(held.BitsAllocated) != 8:
        return None
    size = int(held.Rows) * int(held.Columns)
    return np.frombuffer(held.PixelData, np.uint8)[:size].reshape(held.Rows, held.Columns)


def _pictures(check: Check, old: Opened, new: Opened) -> Verdict:
    """No picture of the new document may show the patch of the old one."""
    held = new.element(check.path)
    before = list(pictures(bytes(old.element(check.path).value)))
    if held is None or not held.value:
        return 1.0, ""
    patch = _cut(before[0], check.box)
    for after in pictures(bytes(held.value)):
        same = after if after.shape == before[0].shape else _scaled(after, before[0].shape)
        seen = correlation(patch, _cut(same, check.box))
        if seen >= 0.2:
            return 0.0, f"correlation {seen:.2f} in a picture of the document"
    return 1.0, ""


def _scaled(picture: Any, shape: tuple[int, ...]) -> Any:
    rows = np.arange(shape[0]) * picture.shape[0] // shape[0]
    columns = np.arange(shape[1]) * picture.shape[1] // shape[1]
    return picture[rows][:, columns]


def retained(
    check: Check, old: Opened, new: Opened, boxes: Sequence[Sequence[int]]
) -> tuple[float, str, float]:
    """(score, why, share of the frames that changed outside of the boxes and their surroundings).

    `boxes` are all that may change in any frame. A check with a box of its own is of a marker,
    which must be as it was.
    """
    before, after = old.frames, new.frames
    if after is None or before is None:
        return 0.0, "no pixels", 1.0
    if before.shape != after.shape:
        return 0.0, f"the picture is {'x'.join(map(str, after.shape))} now", 1.0
    before, after = _stored(old, before), _stored(new, after)
    away = np.abs(before.astype(np.int64) - after.astype(np.int64))
    if away.ndim == 4:
        away = away.max(axis=3)
    lossy = old.syntax.startswith(_LOSSY)
    if check.box:
        far = int(_cut(away[check.frame], check.box).max())
        return (1.0, "", 0.0) if far <= (16 if lossy else 0) else (0.0, f"up to {far} away", 0.0)
    outside = np.ones(away.shape[1:], np.bool_)
    for x0, y0, x1, y1 in boxes:
        outside[max(y0 - ROOM, 0) : y1 + ROOM, max(x0 - ROOM, 0) : x1 + ROOM] = False
    changed = away[:, outside]
    share = float((changed > (10 if lossy else 0)).sum() / max(away.size, 1))
    if "over-mask" in check.action_text:
        return (1.0, "", share) if share <= 0.05 else (0.0, f"{share:.1%} changed", share)
    if lossy:
        error = float((changed.astype(float) ** 2).mean()) if changed.size else 0.0
        ratio = 99.0 if error == 0 else 10 * np.log10(255**2 / error)
        return (1.0, "", share) if ratio >= 40 else (0.0, f"PSNR {ratio:.0f} dB", share)
    return (1.0, "", share) if not share else (0.0, f"{share:.1%} changed", share)
