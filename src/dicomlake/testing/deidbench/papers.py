"""Documents around a text: PDF with text and a picture of text, CDA, HL7 v2."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from dicomlake.testing.deidbench.people import Person


def pdf(text: str, author: str, title: str, picture: Any = None, packed: bool = False) -> bytes:
    """A PDF of one page: lines of text, document information, perhaps a grey picture.

    >>> pdf("Hello", "A", "T")[:8]
    b'%PDF-1.4'
    """
    lines = "".join(f"({_literal(line)}) Tj T*\n" for line in text.splitlines())
    content = f"BT /F1 10 Tf 12 TL 40 800 Td\n{lines}ET\n"
    resources = b"/Font << /F1 5 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< /Author ({_literal(author)}) /Title ({_literal(title)}) >>".encode("latin-1"),
    ]
    if picture is not None:
        rows, columns = picture.shape
        content += f"q {columns * 1.5} 0 0 {rows * 1.5} 40 80 cm /Im1 Do Q\n"
        resources += b" /XObject << /Im1 7 0 R >>"
        data = zlib.compress(picture.tobytes(), 9)
        head = (
            f"<< /Type /XObject /Subtype /Image /Width {columns} /Height {rows} /ColorSpace "
            f"/DeviceGray /BitsPerComponent 8 /Filter /FlateDecode /Length {len(data)} >>"
        )
        objects.append(head.encode("ascii") + b"\nstream\n" + data + b"\nendstream")
    objects[2] = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << "
        + resources
        + b" >> >>"
    )
    stream, kind = content.encode("cp1252", "replace"), b""
    if packed:
        stream, kind = zlib.compress(stream, 9), b" /Filter /FlateDecode"
    objects[3] = b"<< /Length %d%b >>\nstream\n%b\nendstream" % (len(stream), kind, stream)
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    start = b"xref\n0 %d\n0000000000 65535 f \n" % size
    return out + start + table + trailer % (size, len(out))


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def cda(text: str, person: Person, when: datetime, language: str) -> bytes:
    """A clinical document with header and narrative."""
    lines = "".join(f"<paragraph>{escape(line)}</paragraph>" for line in text.splitlines() if line)

    def named(tag: str, name: str) -> str:
        return f"<{tag}><name><family>{escape(name)}</family></name></{tag}>"

    document = f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<id root="2.16.840.1.113883.19" extension="{person.insurance}"/>
<code code="18748-4" codeSystem="2.16.840.1.113883.6.1" displayName="Diagnostic imaging study"/>
<title>Report</title><effectiveTime value="{when:%Y%m%d%H%M%S}"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
<languageCode code="{language}"/>
<recordTarget><patientRole><id extension="{person.id}" root="2.16.840.1.113883.19.5"/>
<addr><streetAddressLine>{person.street} 1</streetAddressLine><city>{person.city}</city></addr>
<telecom value="tel:{person.phone.replace(" ", "-")}"/>
<patient><name><given>{escape(person.given)}</given><family>{escape(person.family)}</family></name>
<administrativeGenderCode code="{person.sex}" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="{person.born:%Y%m%d}"/></patient></patientRole></recordTarget>
<author><time value="{when:%Y%m%d}"/><assignedAuthor><id nullFlavor="NI"/>
{named("assignedPerson", person.operator)}</assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id nullFlavor="NI"/>
<name>{person.institution}</name></representedCustodianOrganization></assignedCustodian></custodian>
<participant typeCode="REF"><associatedEntity classCode="PROV">
{named("associatedPerson", person.physician)}</associatedEntity></participant>
<component><structuredBody><component><section>
<code code="18782-3" codeSystem="2.16.840.1.113883.6.1"/><title>Findings</title>
<text>{lines}</text></section></component></structuredBody></component>
</ClinicalDocument>
"""
    return document.encode("utf-8")


def hl7(text: str, person: Person, when: datetime, accession: str) -> bytes:
    """An ORU^R01 message with the text as OBX segments."""
    at = f"{when:%Y%m%d%H%M%S}"
    name = f"{person.family}^{person.given}"
    segments = [
        f"MSH|^~\\&|RIS|{person.institution}|PACS|X|{at}||ORU^R01|M1|P|2.5|||||||UNICODE UTF-8",
        f"PID|1||{person.id}^^^H^MR~{person.other_id}^^^H^PI||{name}||{person.born:%Y%m%d}"
        f"|{person.sex}|||{person.street} 1^^{person.city}||{person.phone}",
        f"PV1|1|O|||||{person.physician}^Doctor",
        f"OBR|1|{accession}|{accession}|18748-4^Study^LN|||{at}|||||||||{person.physician}",
    ]
    for number, line in enumerate((line for line in text.splitlines() if line), 1):
        plain = line.replace("\\", "\\E\\").replace("|", "\\F\\").replace("&", "\\T\\")
        segments.append(f"OBX|{number}|TX|18782-3^Findings^LN||{plain}||||||F")
    return ("\r".join(segments) + "\r").encode("utf-8")


def heads(person: Person) -> dict[str, tuple[str, ...]]:
    """What identifies in the heads of documents, besides their narrative, by their suffix."""
    common = (person.given, person.id, person.street, person.city, person.physician)
    born = f"{person.born:%Y%m%d}"
    return {
        ".xml": (*common, person.insurance, person.operator, person.institution, born,
                 person.phone.replace(" ", "-")),
        ".hl7": (*common, person.institution, person.other_id, born, person.phone),
    }  # fmt: skip
