"""Which text may stay where only identifying text goes: what is read for sure, and is harmless.

The network that reads is often wrong, so it decides nothing by itself: text stays only when it was
read with confidence, nothing in it is known of the patient or looks like a name, a date or a
number of somebody, and every word of it is one of those that machines write into pictures.
"""

from __future__ import annotations

import re
import threading
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Words
from dicomlake.deid.pixels.boxes import Box
from dicomlake.deid.pixels.detection import missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE = 0.9
"""How sure the network is of a line at least that may stay."""
_SIDES, _UPRIGHT = ("L", "R"), 1.2
"""Letters that say which side a picture shows, and how wide one is for its height at most."""
_LOCK = threading.Lock()
_WORD = re.compile(r"[^\W\d_]+")
_MEASURE = re.compile(r"[-+]?\d{1,4}([.,]\d{1,3})?")
_IDENTIFYING = re.compile(
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"  # a date
    r"|\d{1,2}:\d{2}"  # a time
    r"|\d{5}"  # a number of somebody
    r"|@|www|\^",
    re.IGNORECASE,
)


class Reader:
    """Reads lines of text."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def may_stay(self, picture: NDArray[np.uint8], box: Box, words: Words) -> bool:
        """Whether the text in a box is read for sure and harmless."""
        line = picture[box.y0 : box.y1, box.x0 : box.x1]
        if line.shape[0] > line.shape[1] * 1.5:
            return False  # turned: read wrongly
        text, confidence = self.text(line)
        return confidence >= SURE and is_harmless(text) and not words.spans(text)

    def is_marker(self, picture: NDArray[np.uint8], box: Box) -> bool:
        """Whether a box has one letter alone, which says left or right."""
        area = picture[box.y0 : box.y1, box.x0 : box.x1]
        if area.shape[1] > _UPRIGHT * area.shape[0] or not _is_one_letter(area):
            return False
        text, confidence = self.text(area)
        return confidence >= SURE and text.strip() in _SIDES

    def text(self, line: NDArray[np.uint8]) -> tuple[str, float]:
        """What a line says, and how sure that is."""
        colours = np.repeat(line[..., None], 3, axis=2) if line.ndim == 2 else line
        found, _ = self._network([np.ascontiguousarray(colours)])
        text, confidence = found[0][:2]
        return str(text), float(confidence)

    @cached_property
    def _network(self) -> Any:
        with _LOCK:
            return _recognizer(self._threads)


def _is_one_letter(area: NDArray[np.uint8]) -> bool:
    """Whether one thing that hangs together stands out in a picture, and nothing beside it."""
    import cv2

    gray = np.asarray(area.mean(axis=2) if area.ndim == 3 else area, np.uint8)
    _, black = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if (black[0].mean() + black[-1].mean() + black[:, 0].mean() + black[:, -1].mean()) > 510:
        black = 255 - black
    count, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(black, np.uint8))
    sizes = sorted((int(stats[n, cv2.CC_STAT_AREA]) for n in range(1, count)), reverse=True)
    return bool(sizes) and sum(sizes[1:]) < 0.1 * sizes[0]


def is_harmless(text: str) -> bool:
    """Whether every word is one of those of machines, and every number a measurement.

    >>> is_harmless("MI 0.9 TIS 0.4"), is_harmless("Depth 12cm"), is_harmless("Dr. Hand")
    (True, True, False)
    >>> is_harmless("12.03.1957"), is_harmless("48213377"), is_harmless("")
    (False, False, False)
    """
    if not text.strip() or _IDENTIFYING.search(text):
        return False
    numbers = re.findall(r"[-+]?\d[\d.,]*", text)
    if not all(_MEASURE.fullmatch(number.rstrip(".,")) for number in numbers):
        return False
    said = [word.casefold() for word in _WORD.findall(text)]
    if len(said) > 1 and all(len(word) == 1 for word in said):
        return False  # initials
    return all(word in harmless() for word in said)


@cache
def harmless() -> frozenset[str]:
    """Words that machines write into pictures, and that tell of nobody."""
    file = resources.files(__package__) / "data" / "harmless.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(
        word for line in lines if not line.startswith("#") for word in line.casefold().split()
    )


def _recognizer(threads: int) -> Any:
    from pathlib import Path

    import yaml

    try:
        from rapidocr_onnxruntime import __file__ as package
        from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer
    except ImportError as error:
        raise missing(error) from error
    folder = Path(str(package)).parent
    said = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["Rec"]
    said["model_path"] = str(folder / said["model_path"])
    number = threads or -1
    return TextRecognizer({**said, "intra_op_num_threads": number, "inter_op_num_threads": number})
