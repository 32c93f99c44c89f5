"""The step for encapsulated documents (PS3.3 A.45): PDF and CDA inside of DICOM objects."""

from __future__ import annotations

import io
from typing import Any

from dicomlake.contracts.deid import Identity, Item, Replaced, Unresolved, Words
from dicomlake.deid.documents.pdf import Ocr
from dicomlake.deid.documents.reports import Form, cleaned_report

_DOCUMENT, _LENGTH = 0x00420011, 0x00420015
_CLASSES = "1.2.840.10008.5.1.4.1.1.104."
_FORMS: dict[str, Form] = {"application/pdf": "pdf", "text/xml": "cda", "application/xml": "cda"}


class DocumentStep:
    """Cleans the document of an object; fits `dicomlake.contracts.deid.Step`.

    `ocr` reads scanned pages; without it, that of the extra deid does.
    """

    def __init__(self, ocr: Ocr | None = None) -> None:
        self._ocr = ocr

    def clean(self, item: Item, words: Words, identity: Identity) -> Replaced | None:
        """A new document in the place of the old one; None when the object has none.

        Unresolved for what is neither PDF nor CDA, and for what cannot be read.
        """
        if "00420011" not in item.header:
            if _value(item, "00080016").startswith(_CLASSES):
                raise Unresolved("document", "The object has no document that can be cleaned.")
            return None
        data, length = _document(item.data)
        form = (
            "pdf" if data.lstrip()[:5] == b"%PDF-" else _FORMS.get(_value(item, "00420012").lower())
        )
        if form is None:
            raise Unresolved("document", "The document in the object is neither PDF nor CDA.")
        report = cleaned_report(data, words, identity, form=form, ocr=self._ocr)
        new = report.data
        values: dict[int, tuple[str, bytes] | None] = {
            _DOCUMENT: ("OB", new + b"\0" * (len(new) % 2))
        }
        if length:
            values[_LENGTH] = ("UL", len(new).to_bytes(4, "little"))
        scans = f", {report.scanned} scanned pages read" if report.scanned else ""
        note = f"{form.upper()} document made anew, {len(report.replaced)} places replaced{scans}"
        return Replaced(values, changed=True, notes=(note, *report.notes))


def _value(item: Item, tag: str) -> str:
    element: Any = item.header.get(tag) or {}
    values = element.get("Value") or [""]
    return str(values[0]).strip()


def _document(data: bytes) -> tuple[bytes, bool]:
    """The document, and whether the object tells its length."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        found = bytes(dataset[_DOCUMENT].value or b"")
    except (
        InvalidDicomError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        NotImplementedError,
    ) as error:
        raise Unresolved("document", "The document in the object cannot be read.") from error
    told = dataset.get("EncapsulatedDocumentLength")
    if told:
        return found[: int(told)], True
    return found.rstrip(b"\0") if found[-1:] == b"\0" else found, False
