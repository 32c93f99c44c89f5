"""Data sets as XML: the Native DICOM Model (PS3.19 Annex A.1), made of DICOM JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from dicomlake.dicom import dictionary

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xml:space="preserve" '
    'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
)
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML cannot hold; U+FFFD stands for each of them."""
_NAMES = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def native(header: dict[str, Any]) -> bytes:
    """A data set as XML.

    >>> native({"00080060": {"vr": "CS", "Value": ["CT"]}}).decode()[-83:]
    'keyword="Modality"><Value number="1">CT</Value></DicomAttribute></NativeDicomModel>'
    """
    written = "".join([_HEAD, *_attributes(header), "</NativeDicomModel>"])
    return written.encode("utf-8", "replace")


def _attributes(item: dict[str, Any]) -> Iterator[str]:
    for tag, element in item.items():
        number = int(tag, 16)
        entry = dictionary.entry_of(number)
        keyword = f" keyword={quoteattr(entry[4])}" if entry and entry[4] else ""
        creator = _creator(item, tag)
        vr = element.get("vr", "UN")
        yield f'<DicomAttribute tag="{tag}" vr="{vr}"{keyword}{creator}>'
        yield from _content(vr, element)
        yield "</DicomAttribute>"


def _creator(item: dict[str, Any], tag: str) -> str:
    """The private creator of a private attribute, as an attribute of XML."""
    if not int(tag[3], 16) & 1 or tag[4:6] == "00":
        return ""
    found = item.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") or [""]
    return f" privateCreator={quoteattr(_fit(str(found[0] or '')))}"


def _content(vr: str, element: dict[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(_fit(str(element['BulkDataURI'])))}/>"
    elif "InlineBinary" in element and "Value" not in element:
        yield f"<InlineBinary>{escape(str(element['InlineBinary']))}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if vr == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value or {})
            yield "</Item>"
        elif isinstance(value, dict):
            yield f'<PersonName number="{number}">{_person(value)}</PersonName>'
        elif value is not None:
            yield f'<Value number="{number}">{escape(_fit(str(value)))}</Value>'


def _person(value: dict[str, Any]) -> str:
    found = []
    for group in ("Alphabetic", "Ideographic", "Phonetic"):
        if said := value.get(group):
            parts = zip(_NAMES, str(said).split("^", 4), strict=False)
            inner = "".join(f"<{n}>{escape(_fit(part))}</{n}>" for n, part in parts if part)
            found.append(f"<{group}>{inner}</{group}>")
    return "".join(found)


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)
