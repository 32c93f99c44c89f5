"""PDF: its text read, and a new one rendered; nothing of the old file goes into the new one."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from dicomlake.contracts.deid import Unresolved
from dicomlake.errors import UsageError

Ocr = Callable[[Any], str]
"""Reads the text of a picture (numpy, height x width x 3)."""

MOST_PAGES = 500
DPI = 200
"""Of pages that are read as pictures."""

_FEWEST = 20  # characters of a page that is not only a picture
_SIZE, _LEADING, _MARGIN = 10.0, 13.0, 56.0  # points
_FONT = "Vera"


def pages_of(data: bytes, ocr: Ocr | None = None) -> tuple[list[str], int]:
    """The text of each page, and how many were pictures that were read.

    Unresolved for what is damaged, encrypted, or too long.
    """
    pypdf = _library("pypdf")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unresolved("document", "The PDF is encrypted. Save it without a password.")
        if len(reader.pages) > MOST_PAGES:
            raise Unresolved("document", f"The PDF has more than {MOST_PAGES} pages.")
        texts = [page.extract_text() or "" for page in reader.pages]
        pictures = [number for number, page in enumerate(reader.pages) if _is_picture(page)]
    except Unresolved:
        raise
    except Exception as error:
        raise Unresolved("document", "The PDF cannot be read.") from error
    scanned = [number for number in pictures if len(texts[number].strip()) < _FEWEST]
    if scanned:
        for number, text in zip(scanned, _read_pictures(data, scanned, ocr), strict=True):
            texts[number] = text
    return texts, len(scanned)


def _is_picture(page: Any) -> bool:
    """Whether a page shows pictures or forms, which may hold its text."""
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    return bool(objects and objects.get_object())


def _read_pictures(data: bytes, numbers: Sequence[int], ocr: Ocr | None) -> list[str]:
    read = ocr or _rapid()
    pdfium = _library("pypdfium2")
    texts = []
    try:
        document = pdfium.PdfDocument(data)
        try:
            for number in numbers:
                picture = document[number].render(scale=DPI / 72).to_numpy()
                texts.append(read(picture[..., :3] if picture.ndim == 3 else picture))
        finally:
            document.close()
    except pdfium.PdfiumError as error:
        raise Unresolved("document", "A scanned page of the PDF cannot be shown.") from error
    return texts


def _rapid() -> Ocr:
    """The OCR of the extra `deid`; its models come with the package."""
    engine = _library("rapidocr_onnxruntime").RapidOCR()

    def read(picture: Any) -> str:
        found, _ = engine(picture)
        return _lines([(box, text) for box, text, _ in found or ()])

    return read


def _lines(found: Sequence[tuple[Any, str]]) -> str:
    """Boxes of text as lines, from the top."""
    rows: list[tuple[float, float, list[tuple[float, str]]]] = []
    for box, text in sorted(found, key=lambda one: float(one[0][0][1])):
        top, bottom = float(box[0][1]), float(box[2][1])
        middle = (top + bottom) / 2
        if rows and rows[-1][0] <= middle <= rows[-1][1]:
            rows[-1][2].append((float(box[0][0]), text))
        else:
            rows.append((top, bottom, [(float(box[0][0]), text)]))
    return "\n".join(" ".join(text for _, text in sorted(row)) for _, _, row in rows)


def rendered(pages: Sequence[str], title: str = "") -> tuple[bytes, int]:
    """A new PDF with these pages as text, and how many characters its font does not have.

    Equal pages become equal bytes.
    """
    canvas = _library("reportlab.pdfgen.canvas")
    metrics = _library("reportlab.pdfbase.pdfmetrics")
    sizes = _library("reportlab.lib.pagesizes")
    font = _font()
    out = io.BytesIO()
    width, height = sizes.A4
    sheet = canvas.Canvas(out, pagesize=sizes.A4, invariant=1)
    sheet.setTitle(title)
    sheet.setAuthor("")
    room, missing = width - 2 * _MARGIN, 0
    for page in pages or [""]:
        y = height - _MARGIN
        sheet.setFont(_FONT, _SIZE)
        for line in page.expandtabs(4).splitlines():
            shown = "".join(c if ord(c) in font else "?" for c in line)
            missing += sum(a != b for a, b in zip(shown, line, strict=True))
            for part in _wrapped(shown, room, metrics):
                if y < _MARGIN:
                    sheet.showPage()
                    sheet.setFont(_FONT, _SIZE)
                    y = height - _MARGIN
                sheet.drawString(_MARGIN, y, part)
                y -= _LEADING
        sheet.showPage()
    sheet.save()
    return out.getvalue(), missing


def _font() -> Any:
    """The characters of the font that reportlab ships."""
    metrics, fonts = _library("reportlab.pdfbase.pdfmetrics"), _library("reportlab.pdfbase.ttfonts")
    if _FONT not in metrics.getRegisteredFontNames():
        metrics.registerFont(fonts.TTFont(_FONT, "Vera.ttf"))
    return metrics.getFont(_FONT).face.charToGlyph


def _wrapped(line: str, room: float, metrics: Any) -> list[str]:
    """A line in parts that fit."""
    parts, part = [], ""
    for word in line.split(" "):
        more = f"{part} {word}" if part else word
        if part and metrics.stringWidth(more, _FONT, _SIZE) > room:
            parts.append(part)
            more = word
        while metrics.stringWidth(more, _FONT, _SIZE) > room and len(more) > 1:
            fits = max(1, int(len(more) * room / metrics.stringWidth(more, _FONT, _SIZE)))
            parts.append(more[:fits])
            more = more[fits:]
        part = more
    return [*parts, part]


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            "Documents need the extra deid. Install it with: pip install 'dicomlake[deid]'"
        ) from error
