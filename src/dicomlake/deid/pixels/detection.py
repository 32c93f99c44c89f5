"""Where text is in a picture: a network that finds lines of text, without reading them.

It comes with rapidocr-onnxruntime (extra `deid`), models included, and works offline. Without it
nothing is taken for clean: UsageError says what to install.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.contracts.deid import Unresolved
from dicomlake.deid.pixels.boxes import Box
from dicomlake.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 2400
"""A larger picture is searched in tiles of this many pixels (they overlap by `_OVERLAP`)."""
_OVERLAP = 240
_LOCK = threading.Lock()


class Detector:
    """Finds text in pictures of eight bits, gray or of red, green and blue."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def boxes(self, picture: NDArray[np.uint8], least: float = 0.5) -> tuple[Box, ...]:
        """Where lines of text are, as the network has them: upright ones and turned ones.

        `least`: how sure it is of them at least, from 0.5 to 1.
        """
        rows, columns = picture.shape[:2]
        found: list[Box] = []
        for y in _starts(rows):
            for x in _starts(columns):
                tile = picture[y : y + LONGEST, x : x + LONGEST]
                for box in self._tile(tile, least):
                    moved = Box(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)
                    high = min(box.x1 - box.x0, box.y1 - box.y0)
                    found.append(moved.grown(3 + high // 8, rows, columns))
        return tuple(sorted(set(found)))

    def _tile(self, tile: NDArray[np.uint8], least: float) -> list[Box]:
        colours = np.repeat(tile[..., None], 3, axis=2) if tile.ndim == 2 else tile
        network, size = self._network, (tile.shape[0], tile.shape[1])
        prepared = network.get_preprocess(max(size))(np.ascontiguousarray(colours))
        if prepared is None:
            raise Unresolved("pixels", "a picture is too narrow to be searched for text")
        found, scores = network.postprocess_op(network.infer(prepared)[0], size)
        boxes = []
        for corners, score in zip(found, scores, strict=True):
            (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
            if score >= least:
                boxes.append(Box(int(x0), int(y0), int(x1) + 1, int(y1) + 1))
        return boxes

    @cached_property
    def _network(self) -> Any:
        with _LOCK:
            return _detector(self._threads)


def _detector(threads: int) -> Any:
    import yaml

    try:
        from rapidocr_onnxruntime import __file__ as package
        from rapidocr_onnxruntime.ch_ppocr_det import TextDetector
    except ImportError as error:
        raise missing(error) from error
    from pathlib import Path

    folder = Path(str(package)).parent
    said = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["Det"]
    said["model_path"] = str(folder / said["model_path"])
    number = threads or -1
    return TextDetector({**said, "intra_op_num_threads": number, "inter_op_num_threads": number})


def missing(error: ImportError) -> UsageError:
    """What to install where text in pixels cannot be found."""
    if "lib" in str(error) and ".so" in str(error):
        return UsageError(
            f"Text in pixels cannot be found here: a library of the system is missing ({error}). "
            "On Debian: apt-get install libgl1 libglib2.0-0"
        )
    return UsageError(
        "Text in pixels is found by rapidocr-onnxruntime, which is for Python before 3.13: "
        "pip install 'dicomlake[deid]'"
    )


def _starts(length: int) -> list[int]:
    """Where tiles begin, the last one at the end."""
    if length <= LONGEST:
        return [0]
    step = LONGEST - _OVERLAP
    return [*range(0, length - LONGEST, step), length - LONGEST]
