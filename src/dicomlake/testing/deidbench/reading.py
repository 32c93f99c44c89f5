"""What came out, as the judge reads it: with pydicom and nothing of any engine."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

_STEP = re.compile(
    r'\(([0-9A-F]{4}),([0-9A-F]{4})\)|\(([0-9A-F]{4}),"((?:[^"]|"")*)",([0-9A-F]{2})\)|\[(\d+)\]'
)
_DOCUMENT = "(0042,0011)"
_NO_TEXT = frozenset(["OB", "OW", "OF", "OD", "OL", "OV", "UN"])


class Opened:
    """A DICOM file and what is at its paths; `error` says why it cannot be read."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.name = path.relative_to(root).as_posix()
        self.data = path.read_bytes()
        self.error = ""
        self.dataset: Any = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.dataset = _read(self.data)
            except Exception as error:  # noqa: BLE001 - whatever a broken file makes pydicom raise
                self.error = type(error).__name__

    def element(self, path: str) -> Any:
        """The pydicom element at a path, an item for a path that ends with one, or None."""
        here = self.dataset
        for match in _STEP.finditer(path):
            if here is None:
                return None
            if match[6]:
                here = _item(here, int(match[6]))
                continue
            holder = here if not hasattr(here, "VR") else None
            if holder is None:
                return None
            tag = _private(holder, match) if match[3] else int(match[1] + match[2], 16)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if tag >> 16 == 2 and holder is self.dataset:
                    holder = holder.file_meta
                here = holder[tag] if tag and tag in holder else None
        return here

    def text(self, path: str, part: str = "") -> str | None:
        """What the value at a path says, documents as their text; None when there is no such path.

        `part` "information" is that of a PDF about itself.
        """
        found = self.element(path)
        if found is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path == _DOCUMENT:
                return paper_text(bytes(found.value or b""), part)
            return _said(found)

    def value(self, path: str) -> str:
        """The first value at a path, "" when there is none."""
        return (self.text(path) or "").partition("\\")[0].strip("\0 ")

    @cached_property
    def syntax(self) -> str:
        """Transfer Syntax UID."""
        return str(getattr(self.dataset.file_meta, "TransferSyntaxUID", ""))

    @cached_property
    def frames(self) -> Any:
        """Frames x rows x columns (x 3) as stored, colour as RGB; None without pixels."""
        import numpy as np
        from pydicom.pixels.utils import pixel_array

        if "PixelData" not in self.dataset:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pixel_array(self.dataset)
        single = 3 if int(self.dataset.SamplesPerPixel) > 1 else 2
        return found[np.newaxis] if found.ndim == single else found

    @cached_property
    def elements(self) -> list[Any]:
        """Every element, those in items too."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(self.dataset.iterall())


def _read(data: bytes) -> Any:
    import io

    import pydicom
    from pydicom import config

    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if not len(dataset):
        raise ValueError("nothing in it")
    known = config.replace_un_with_known_vr
    # pydicom reads the items of UN in the byte order of the object, which is wrong in big endian
    config.replace_un_with_known_vr = dataset.original_encoding[1] is not False
    try:
        for element in dataset.iterall():
            element.value  # noqa: B018 - pydicom reads a value when it is asked for
    finally:
        config.replace_un_with_known_vr = known
    return dataset


def _private(holder: Any, match: re.Match[str]) -> int:
    group, creator = int(match[3], 16), match[4].replace('""', '"')
    for block in range(0x10, 0x100):
        tag = group << 16 | block
        if tag in holder and str(holder[tag].value).strip() == creator:
            return group << 16 | block << 8 | int(match[5], 16)
    return 0


def _item(element: Any, number: int) -> Any:
    vr = getattr(element, "VR", "")
    items = element.value if vr == "SQ" else _unknown(element.value) if vr == "UN" else ()
    return items[number - 1] if items is not None and len(items) >= number else None


def _unknown(data: Any) -> Any:
    """The items of a sequence that came as UN: implicit little endian (PS3.5 6.2.2 note 2)."""
    import io

    from pydicom.filereader import read_sequence

    if not isinstance(data, bytes):
        return ()
    return read_sequence(io.BytesIO(data), True, True, len(data), ["iso8859"])


def _said(found: Any) -> str:
    if not hasattr(found, "VR"):  # an item
        return " ".join(_said(element) for element in found)
    value = found.value
    if found.VR == "SQ":
        return " ".join(_said(element) for item in value for element in item)
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ")
    if value is None:
        return ""
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return "\\".join(str(v) for v in value)
    original = getattr(value, "original_string", None)
    return str(original if isinstance(original, str) else value).strip("\0 ")


def paper_text(data: bytes, part: str = "") -> str:
    """The text of a document, whatever it is: PDF, XML or plain.

    >>> paper_text(b'<a b="x"><c>y</c></a>').split()
    ['x', 'y']
    """
    if data.lstrip()[:5] == b"%PDF-":
        return _pdf_text(data, part)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = text.strip("\0")
    if text.lstrip("\ufeff \n\r").startswith("<"):
        quoted = re.sub(r'<[^>]*?((?:="[^"]*"[^>]*?)*)>', _attributes, text)
        return re.sub(r"&(lt|gt|amp|quot|apos);", " ", quoted)
    return text


def _attributes(match: re.Match[str]) -> str:
    return " " + " ".join(re.findall(r'="([^"]*)"', match[0])) + " "


def _pdf_text(data: bytes, part: str) -> str:
    import io

    reader = _pypdf().PdfReader(io.BytesIO(data))
    if part == "information":
        return " ".join(str(value) for value in (reader.metadata or {}).values())
    return "\n".join(page.extract_text() for page in reader.pages)


def _pypdf() -> Any:
    from dicomlake.errors import UsageError

    try:
        import pypdf
    except ImportError as error:
        raise UsageError(
            'PDF documents are judged with pypdf. Install it with: pip install "dicomlake[deid]"'
        ) from error
    return pypdf


def pictures(data: bytes) -> Iterator[Any]:
    """The pictures of a PDF as grey arrays."""
    import io

    import numpy as np

    if data.lstrip()[:5] != b"%PDF-":
        return
    for page in _pypdf().PdfReader(io.BytesIO(data)).pages:
        for picture in page.images:
            yield np.asarray(picture.image.convert("L"))


def folded(text: str) -> str:
    """Lower case, without accents, blanks run together.

    >>> folded("Mülle\\u0301r  STRASSE")
    'muller strasse'
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.casefold().split())


def words(text: str, least: int = 1) -> list[str]:
    """The words and numbers of a text, folded, of at least so many letters.

    >>> words("Leber, 5 mm", 2)
    ['leber', 'mm']
    """
    return [
        word for word in re.findall(r"\w+", folded(text).replace("_", " ")) if len(word) >= least
    ]
