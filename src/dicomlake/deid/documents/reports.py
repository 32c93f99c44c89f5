"""One report in any form: what form it has, and how it is made harmless."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dicomlake.contracts.deid import Identity, Unresolved, Words
from dicomlake.deid.documents.cda import clean_cda, text_of_cda
from dicomlake.deid.documents.hl7 import clean_hl7, is_message, text_of_hl7
from dicomlake.deid.documents.pdf import Ocr, pages_of, rendered
from dicomlake.deid.documents.pieces import Replacement, clean_pieces
from dicomlake.deid.documents.sr import text_of_sr

Form = Literal["txt", "pdf", "cda", "hl7", "sr"]
FORMS: Mapping[Form, str] = {
    "txt": ".txt",
    "pdf": ".pdf",
    "cda": ".xml",
    "hl7": ".hl7",
    "sr": ".txt",
}
"""Forms of reports, and the endings of their files when they have been cleaned."""
LARGEST = 200 * 1024 * 1024
"""Bytes of a report."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that may leave: its bytes, their form, its text in pages, and what was replaced."""

    data: bytes
    form: Form
    pages: tuple[str, ...]
    replaced: tuple[Replacement, ...]
    scanned: int = 0
    """Pages that were pictures and were read by OCR, which makes mistakes."""
    notes: tuple[str, ...] = ()


def form_of(data: bytes) -> Form:
    """What form a report has, by its first bytes; Unresolved when no one knows."""
    start = data[:4096]
    if start.lstrip()[:5] == b"%PDF-":
        return "pdf"
    if data[128:132] == b"DICM":
        return "sr"
    text = _decoded(start, lenient=True)
    if is_message(text):
        return "hl7"
    if text.lstrip("\ufeff \r\n\t").startswith("<"):
        return "cda"
    if "\0" in text:
        raise Unresolved("document", "The file is none of: PDF, CDA, HL7, SR, text.")
    return "txt"


def cleaned_report(
    data: bytes,
    words: Words,
    identity: Identity | None = None,
    *,
    form: Form | None = None,
    to: Literal["same", "txt", "pdf"] = "same",
    ocr: Ocr | None = None,
) -> Report:
    """A report without what identifies, in its own form, as text or as PDF.

    >>> from dicomlake.deid.text import words_of
    >>> cleaned_report(b"Dr. Weber: no mass.", words_of([])).data
    b'Dr. [NAME]: no mass.'
    """
    if len(data) > LARGEST:
        raise Unresolved("document", "The report is larger than 200 MiB.")
    form = form or form_of(data)
    report = _READERS[form](data, words, identity, ocr)
    if to == "same" or to == report.form:
        return report
    text = "\f".join(report.pages)
    if to == "txt":
        data = text.replace("\f", "\n").encode()
        return Report(data, "txt", report.pages, report.replaced, report.scanned, report.notes)
    return _as_pdf(report.pages, report.replaced, report.scanned, report.notes)


def _as_pdf(
    pages: Sequence[str], replaced: Sequence[Replacement], scanned: int, notes: Sequence[str]
) -> Report:
    data, missing = rendered(pages)
    more = [f"{missing} characters are shown as ?: the font has none of them"] if missing else []
    return Report(data, "pdf", tuple(pages), tuple(replaced), scanned, (*notes, *more))


def _text(data: bytes, words: Words, identity: Identity | None, ocr: Ocr | None) -> Report:
    cleaned, made = clean_pieces(words, [_decoded(data)])
    return Report(cleaned[0].encode(), "txt", (cleaned[0],), tuple(made))


def _pdf(data: bytes, words: Words, identity: Identity | None, ocr: Ocr | None) -> Report:
    pages, scanned = pages_of(data, ocr)
    cleaned, made = clean_pieces(words, pages)
    return _as_pdf(cleaned, made, scanned, ())


def _cda(data: bytes, words: Words, identity: Identity | None, ocr: Ocr | None) -> Report:
    inner = _Nested(words, identity, ocr)
    cleaned, made = clean_cda(data, words, identity, inner)
    text = "\n".join([text_of_cda(cleaned), *inner.texts]).strip()
    return Report(cleaned, "cda", (text,), (*made, *inner.made), inner.scanned)


def _hl7(data: bytes, words: Words, identity: Identity | None, ocr: Ocr | None) -> Report:
    inner = _Nested(words, identity, ocr)
    cleaned, made = clean_hl7(_decoded(data), words, identity, inner)
    text = "\n".join([text_of_hl7(cleaned), *inner.texts]).strip()
    return Report(cleaned.encode(), "hl7", (text,), (*made, *inner.made), inner.scanned)


def _sr(data: bytes, words: Words, identity: Identity | None, ocr: Ocr | None) -> Report:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(io.BytesIO(data)).to_json_dict(suppress_invalid_tags=True)
    except (InvalidDicomError, OSError, ValueError, NotImplementedError) as error:
        raise Unresolved("document", "The DICOM file cannot be read.") from error
    if "0040A730" not in header:
        raise Unresolved("document", "The DICOM file is no structured report: it has no content.")
    text, made = text_of_sr(header, words, identity)
    return Report(text.encode(), "txt", (text,), tuple(made))


class _Nested:
    """Cleans documents inside of documents, and remembers what was replaced."""

    def __init__(self, words: Words, identity: Identity | None, ocr: Ocr | None) -> None:
        self._words, self._identity, self._ocr = words, identity, ocr
        self.made: list[Replacement] = []
        self.texts: list[str] = []
        self.scanned = 0

    def __call__(self, data: bytes, media: str) -> bytes:
        kind = media.split(";")[0].strip().lower()
        form: Form | None = (
            "pdf" if kind == "application/pdf" else "txt" if kind == "text/plain" else None
        )
        if form is None:
            raise Unresolved(
                "document", "A document holds another one that is neither PDF nor text."
            )
        report = _READERS[form](data, self._words, self._identity, self._ocr)
        self.made += report.replaced
        self.texts += report.pages
        self.scanned += report.scanned
        return report.data


def _decoded(data: bytes, *, lenient: bool = False) -> str:
    for mark, codec in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(codec, "replace" if lenient else "strict")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


_Reader = Callable[[bytes, Words, "Identity | None", "Ocr | None"], Report]
_READERS: Mapping[Form, _Reader] = {
    "txt": _text,
    "pdf": _pdf,
    "cda": _cda,
    "hl7": _hl7,
    "sr": _sr,
}
