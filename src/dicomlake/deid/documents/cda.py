"""CDA documents (HL7 CDA R2): people masked, numbers and times replaced, narrative cleaned."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as Xml

from dicomlake.contracts.deid import Identity, Unresolved, Words
from dicomlake.deid.documents.moments import moved_time
from dicomlake.deid.documents.pieces import Replacement, clean_pieces

V3 = "{urn:hl7-org:v3}"
Nested = Callable[[bytes, str], bytes]
"""Cleans a document inside of the document, of this media type."""

_MASKED = frozenset(
    """name given family prefix suffix delimiter addr telecom streetAddressLine streetName
    houseNumber houseNumberNumeric city postalCode county state country additionalLocator unitID
    unitType postBox precinct censusTract buildingNumberSuffix careOf deliveryAddressLine
    birthplace""".split()
)
"""Elements whose content goes, wherever they stand."""
_KEPT_NAMES = frozenset(["manufacturerModelName", "softwareName"])
_DROPPED = frozenset(
    "raceCode ethnicGroupCode religiousAffiliationCode maritalStatusCode guardian".split()
)
_TIMES = frozenset("effectiveTime time birthTime low high center deceasedTime".split())
_IDS = frozenset(["id", "setId"])
_BLOCKS = frozenset(
    "td th tr caption paragraph list item table thead tbody tfoot br text title section".split()
)
_PATIENT = frozenset(["patientRole", "recordTarget"])
_MASK = "MSK"


def clean_cda(
    data: bytes, words: Words, identity: Identity | None, nested: Nested
) -> tuple[bytes, list[Replacement]]:
    """The document as it may leave, and what was replaced; Unresolved for what is no CDA."""
    root = _parsed(data)
    made: list[Replacement] = []
    _structure(root, identity, made, patient=False)
    _attachments(root, nested)
    _texts(root, words, made)
    for prefix, uri in (("", "urn:hl7-org:v3"), ("sdtc", "urn:hl7-org:sdtc"),
                        ("xsi", "http://www.w3.org/2001/XMLSchema-instance")):  # fmt: skip
        Xml.register_namespace(prefix, uri)
    written: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return written, made


def text_of_cda(data: bytes) -> str:
    """The narrative of a document that is clean, as lines."""
    lines: list[str] = []
    root = _parsed(data)
    for element in root.iter():
        if _local(element) in ("title", "text") and element.get("representation") != "B64":
            pieces = [piece for _, _, piece in _pieces(element)]
            text = re.sub(r"[ \t]+", " ", "".join(pieces))
            lines += [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines)


def _parsed(data: bytes) -> Any:
    plain = data.strip(b"\0 \r\n\t")
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain or "<!DOCTYPE".encode("utf-16-le") in plain:
        raise Unresolved("document", "The CDA document has a DTD. Save it without one.")
    try:
        root = Xml.fromstring(plain)
    except (Xml.ParseError, ValueError, LookupError) as error:
        raise Unresolved("document", "The CDA document is no well-formed XML.") from error
    if root.tag != f"{V3}ClinicalDocument":
        raise Unresolved("document", "The XML is no CDA document (ClinicalDocument of HL7 v3).")
    return root


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _structure(
    element: Any, identity: Identity | None, made: list[Replacement], *, patient: bool
) -> None:
    """Mask what stands in elements of their own, at any depth."""
    name = _local(element)
    patient = patient or name in _PATIENT
    if name in _MASKED:
        _mask(element)
        made.append(Replacement("place" if name in ("addr", "birthplace") else "name", "CDA"))
        return
    if name in _IDS:
        _replace_id(element, identity, "patient" if patient else "other")
        made.append(Replacement("id", "CDA"))
    if name in _TIMES and "value" in element.attrib and "unit" not in element.attrib:
        then = moved_time(element.get("value") or "", identity)
        made.append(Replacement("date", "CDA"))
        if then is None:
            del element.attrib["value"]
            element.set("nullFlavor", _MASK)
        else:
            element.set("value", then)
    element.attrib.pop("assigningAuthorityName", None)
    for child in list(element):
        if _local(child) in _DROPPED:
            element.remove(child)
        else:
            _structure(child, identity, made, patient=patient)


def _mask(element: Any) -> None:
    for child in list(element):
        element.remove(child)
    element.text = None
    element.attrib.clear()
    element.set("nullFlavor", _MASK)


def _replace_id(element: Any, identity: Identity | None, kind: str) -> None:
    root, extension = element.get("root"), element.get("extension")
    element.attrib.clear()
    if identity is None:
        element.set("nullFlavor", _MASK)
        return
    if root:
        element.set(
            "root", identity.uid(root) if re.fullmatch(r"[\d.]+", root) else _uuid(root, identity)
        )
    if extension:
        element.set("extension", identity.id(extension, kind))


def _uuid(root: str, identity: Identity) -> str:
    """A UUID as the UID that stands for it (PS3.5 B.2), replaced."""
    try:
        return identity.uid(f"2.25.{int(root.replace('-', ''), 16)}")
    except ValueError:
        return identity.uid("2.25.0")


def _attachments(root: Any, nested: Nested) -> None:
    """Clean what is inside in base64; what cannot be cleaned is Unresolved."""
    for element in root.iter():
        if element.get("representation") != "B64":
            continue
        media = element.get("mediaType") or "text/plain"
        try:
            data = base64.b64decode("".join((element.text or "").split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unresolved("document", "An attachment of the CDA document is damaged.") from error
        element.text = base64.b64encode(nested(data, media)).decode("ascii")


def _texts(root: Any, words: Words, made: list[Replacement]) -> None:
    """Clean all text that is left, as one, and the attributes that people read."""
    found = [
        one for one in _pieces(root) if one[0].get("representation") != "B64" or one[1] == "tail"
    ]
    cleaned, replaced = clean_pieces(words, [piece for _, _, piece in found], between="")
    made += replaced
    for (element, place, old), text in zip(found, cleaned, strict=True):
        begun = place == "text" and _local(element) in _BLOCKS and old.startswith("\n")
        setattr(element, place, text.removeprefix("\n") if begun else text)
    for element in root.iter():
        for key in ("displayName", "value", "ID", "title", "alt", "href", "reference", "caption"):
            value = element.get(key)
            if value is None or key in ("ID",) or value.startswith("#"):
                continue
            if key == "href" or re.match(r"[a-z]+:", value):
                element.attrib.pop(key)
            elif _local(element) not in _TIMES:
                element.set(key, words.clean(value))


def _pieces(element: Any) -> Iterator[tuple[Any, str, str]]:
    """The texts below an element in their order; a block begins a line."""
    if _local(element) in _BLOCKS and not (element.text or "").startswith("\n"):
        element.text = "\n" + (element.text or "")
    if element.text:
        yield element, "text", element.text
    for child in element:
        yield from _pieces(child)
        if child.tail:
            yield child, "tail", child.tail
