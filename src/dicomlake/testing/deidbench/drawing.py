"""Pictures with words burned into them, and their encodings."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.errors import UsageError
from dicomlake.testing.hospital.chance import chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

Picture = Any
"""Numpy array: rows x columns, or rows x columns x 3."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words in a picture: where they begin, how high they are, how bright (0 to 1), how turned."""

    words: str
    x: int
    y: int
    height: int = 16
    bright: float = 1.0
    turned: bool = False


def _pillow() -> Any:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise UsageError(
            'Pictures need Pillow. Install it with: pip install "dicomlake[deid]"'
        ) from error
    return Image, ImageDraw, ImageFont


@lru_cache(maxsize=4096)
def ink(words: str, height: int, turned: bool = False) -> NDArray[np.uint8]:
    """The words alone, cut to their ink: 0 is paper, 255 is ink."""
    image, draw, fonts = _pillow()
    font = fonts.load_default(size=height)
    left, top, right, bottom = (int(v) for v in font.getbbox(words))
    paper = image.new("L", (right - left + 4, bottom - top + 4), 0)
    draw.Draw(paper).text((2 - left, 2 - top), words, fill=255, font=font)
    drawn = np.asarray(paper)
    rows, columns = np.nonzero(drawn > 64)
    drawn = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.ascontiguousarray(np.rot90(drawn) if turned else drawn)


def burn(picture: Picture, text: Text, white: int) -> tuple[int, int, int, int]:
    """Draw the words into a picture; the box x0, y0, x1, y1 that they fill."""
    drawn = ink(text.words, text.height, text.turned)
    rows, columns = drawn.shape
    y = min(text.y, picture.shape[0] - rows)
    x = min(text.x, picture.shape[1] - columns)
    if min(x, y) < 0:
        raise UsageError(f"{len(text.words)} letters do not fit into the picture. Draw them lower.")
    part = picture[y : y + rows, x : x + columns]
    share = (drawn / 255.0) if picture.ndim == 2 else (drawn / 255.0)[..., None]
    level = text.bright * white
    part[...] = np.rint(part * (1 - share) + level * share).astype(picture.dtype)
    return x, y, x + columns, y + rows


def anatomy(rows: int, columns: int, top: int, *what: object) -> NDArray[np.uint16]:
    """A soft bright shape with grain on black, values 0 to `top`."""
    rng = chance("anatomy", *what)
    y, x = np.mgrid[0:rows, 0:columns]
    away = ((x / columns - 0.5) / 0.33) ** 2 + ((y / rows - 0.55) / 0.3) ** 2
    seed = np.random.Generator(np.random.PCG64(rng.getrandbits(32)))
    grain = seed.integers(0, max(top // 6, 2), (rows, columns))
    inside = np.clip(1.2 - away, 0, 0.5) * top * 0.9
    return np.where(away < 1, inside + grain, 0).astype(np.uint16)


def as_rle(frame: Picture) -> bytes:
    """One frame in RLE (PS3.5 Annex G): a segment for every byte plane, most significant first."""
    planes = frame[..., None] if frame.ndim == 2 else frame
    size = planes.dtype.itemsize
    parts = []
    for sample in range(planes.shape[2]):
        data = planes[..., sample].astype(planes.dtype.newbyteorder(">")).tobytes()
        for byte in range(size):
            parts.append(_packed(data[byte::size], frame.shape[1]))
    offsets, at = [], 64
    for part in parts:
        offsets.append(at)
        at += len(part)
    head = [len(parts), *offsets, *[0] * (15 - len(parts))]
    return np.array(head, "<u4").tobytes() + b"".join(parts)


def _packed(data: bytes, columns: int) -> bytes:
    """PackBits, row by row, of runs and of literal stretches."""
    out = bytearray()
    for start in range(0, len(data), columns):
        row = data[start : start + columns]
        at = 0
        while at < len(row):
            run = 1
            while at + run < len(row) and run < 128 and row[at + run] == row[at]:
                run += 1
            if run > 1:
                out += bytes([257 - run, row[at]])
                at += run
                continue
            end = at + 1
            while end < len(row) and end - at < 128 and row[end] != row[end - 1]:
                end += 1
            out += bytes([end - at - 1]) + row[at:end]
            at = end
    return bytes(out) + b"\0" * (len(out) & 1)


def as_jpeg(frame: Picture) -> bytes:
    """One frame of 8 bits as baseline JPEG; colour as YBR_FULL_422."""
    image, _, _ = _pillow()
    held = io.BytesIO()
    image.fromarray(frame).save(held, "JPEG", quality=95, subsampling="4:2:2")
    return held.getvalue()


def as_j2k(frame: Picture) -> bytes:
    """One frame as a JPEG 2000 codestream without loss."""
    image, _, _ = _pillow()
    held = io.BytesIO()
    image.fromarray(frame).save(held, "JPEG2000", irreversible=False, no_jp2=True)
    return held.getvalue()


def as_lossless_jpeg(frame: Picture, bits: int) -> bytes:
    """One grey frame as lossless JPEG of selection value 1 (process 14), one flat Huffman table."""
    values = frame.astype(np.int64)
    before = np.empty_like(values)
    before[:, 1:] = values[:, :-1]
    before[1:, 0] = values[:-1, 0]
    before[0, 0] = 1 << (bits - 1)
    coded = []
    for difference in (values - before).ravel().tolist():
        size = abs(difference).bit_length()
        rest = difference if difference >= 0 else difference + (1 << size) - 1
        coded.append(f"{size:05b}" + (f"{rest:0{size}b}" if size else ""))
    stream = "".join(coded)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    rows, columns = frame.shape
    size = b"".join(v.to_bytes(2, "big") for v in (rows, columns))
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xc3\0\x0b" + bytes([bits]) + size + b"\x01\x01\x11\0",
            b"\xff\xc4\0\x24\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17)),
            b"\xff\xda\0\x08\x01\x01\0\x01\0\0",
            data,
            b"\xff\xd9",
        )
    )
