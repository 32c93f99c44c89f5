"""What a document of a series consists of, and the two schemas that say so.

One description of parts, most of it made of the columns of the tables, gives the JSON form, the XML
form, the JSON Schema and the XML Schema; so they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa

from dicomlake import tables

VERSION = 1
"""Layout of documents; a change that breaks readers gets the next number."""
NAMESPACE = f"urn:dicomlake:document:{VERSION}"
DATE_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
TYPES = ("text", "number", "date", "time", "datetime", "age", "code", "sequence", "binary")
"""Types of elements."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a document.

    kind: text, number, whole, boolean, date, moment, code, measure, value (a number or a text, by
    the type of its element), type, or group, which has `parts`. `several`: a list. `entry`: what
    XML calls one of a list, in an element of the list's name. `attribute`: XML writes it as an
    attribute. `columns` are where its values come from: of a code those of its four members.
    """

    name: str
    kind: str
    comment: str = ""
    several: bool = False
    attribute: bool = False
    required: bool = False
    unit: str = ""
    entry: str = ""
    parts: tuple[Part, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()


# Parts from columns


def _unit(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"unit", b"").decode())


def _is_code(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"kind") == b"code"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_integer(kind):
        return "whole"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_timestamp(kind):
        return "moment"
    if pa.types.is_date(kind):
        return "date"
    return "text"


def _part(field: pa.Field) -> Part:
    comment, kind = tables.comment_of(field), field.type
    several = pa.types.is_list(kind)
    if several:
        kind = kind.value_type
    if pa.types.is_struct(kind):
        parts = tuple(Part(f.name, _kind(f.type), attribute=True) for f in kind)
        return Part(field.name, "group", comment, several, parts=parts)
    unit = _unit(field)
    name = "measure" if unit and not several else _kind(kind)
    return Part(field.name, name, comment, several, unit=unit)


def parts_of(schema: pa.Schema) -> tuple[Part, ...]:
    """The parts of a row of contents: codes are one part, series_id is none.

    >>> [part.kind for part in parts_of(tables.WAVEFORMS) if part.name in ("source", "skew")]
    ['code', 'measure']
    """
    taken = {"series_id"}
    found = []
    for field in schema:
        if field.name in taken:
            continue
        if _is_code(field):
            sent = [(m, f"{field.name}_{m}") for m in ("value", "scheme", "meaning")]
            columns = (("code", field.name), *((m, c) for m, c in sent if c in schema.names))
            taken |= {column for _, column in columns}
            comment = tables.comment_of(field)
            found.append(Part(field.name, "code", comment, columns=columns))
        else:
            found.append(_part(field))
    return tuple(found)


def _head(name: str, comment: str, keywords: str) -> Part:
    """A part of attributes of the table `series`."""
    fields = [tables.SERIES.field(keyword) for keyword in keywords.split()]
    return Part(name, "group", comment, parts=tuple(map(_part, fields)))


PATIENT = _head(
    "patient", "who it is, as the lake has it",
    "PatientID IssuerOfPatientID PatientName PatientBirthDate PatientSex",
)  # fmt: skip
STUDY = _head(
    "study", "the study",
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber StudyDescription "
    "ReferringPhysicianName PatientAge PatientSize PatientWeight",
)  # fmt: skip
SERIES = _head(
    "series", "the series; its attributes are the most frequent values of its instances",
    "SeriesInstanceUID Modality SeriesNumber SeriesDate SeriesTime SeriesDescription ProtocolName "
    "BodyPartExamined Laterality PatientPosition PerformedProcedureStepDescription "
    "RequestedProcedureDescription SOPClassUID",
)  # fmt: skip
EQUIPMENT = _head(
    "equipment", "what made it, and where",
    "Manufacturer ManufacturerModelName InstitutionName InstitutionalDepartmentName StationName "
    "DeviceSerialNumber SoftwareVersions",
)  # fmt: skip
HEADS = (PATIENT, STUDY, SERIES, EQUIPMENT)
HEADED = frozenset(part.name for head in HEADS for part in head.parts)
"""Keywords in the heads of a document."""

ORIGIN = Part(
    "origin", "group", "where the document comes from", required=True,
    parts=(
        *map(_part, map(tables.SERIES.field, ("source", "complete", "instances"))),
        Part("lake_version", "whole", "version of the lake", required=True),
        Part("indexed", "moment", "when the series was read into the lake"),
        Part("varying", "text", "keywords among those of the heads whose values differ between "
             "instances of the series", several=True),
    ),
)  # fmt: skip

ELEMENT = (
    Part("path", "text", "keywords joined by dots through sequences; private ones as "
         '(gggg,"CREATOR",ee)', attribute=True, required=True),
    Part("keyword", "text", "keyword of a public attribute", attribute=True),
    Part("tag", "text", "tag; of private ones with xx for the block", attribute=True),
    Part("name", "text", "what PS3.6 or a private dictionary calls it", attribute=True),
    Part("creator", "text", "private creator", attribute=True),
    Part("vr", "text", "value representation as in the object", attribute=True),
    Part("type", "type", "what the value is", attribute=True, required=True),
    Part("position", "whole", "which value of a multi-valued attribute, or which item of a code "
         "sequence, from 1", attribute=True),
    Part("unit", "text", "unit of the number, UCUM", attribute=True),
    Part("instances", "whole", "instances of the series that have it; where folded, values",
         attribute=True),
    Part("items", "whole", "items of a sequence", attribute=True),
    Part("bytes", "whole", "length of a binary value, which is not here", attribute=True),
    Part("empty", "boolean", "true: it is there without a value", attribute=True),
    Part("folded", "boolean", "true: many different values; of numbers and dates the smallest "
         "and the largest are given", attribute=True),
    Part("value", "value", "numbers as numbers; dates, times and ages by ISO 8601; times without "
         "a zone are without one here, too"),
    Part("min", "value", "the smallest, where folded; datetimes in UTC"),
    Part("max", "value", "the largest, where folded"),
    Part("text", "text", "the value as sent, where it is written in another way"),
    Part("code", "code", "the code, of equal codes always the same one, and as it was sent"),
)  # fmt: skip

_COUNTED = Part("counted", "boolean", "true for the one row of an irradiation event that counts")
CONTENTS: dict[str, Part] = {
    "items": Part(
        "items", "group", tables.comment_of(tables.ITEMS), True, entry="item",
        parts=parts_of(tables.ITEMS),
    ),
    "segments": Part(
        "segments", "group", tables.comment_of(tables.SEGMENTS), True, entry="segment",
        parts=parts_of(tables.SEGMENTS),
    ),
    "waveforms": Part(
        "waveforms", "group", tables.comment_of(tables.WAVEFORMS), True, entry="channel",
        parts=parts_of(tables.WAVEFORMS),
    ),
    "dose_events": Part(
        "dose_events", "group", "one row per irradiation event and object that tells of it", True,
        entry="event", parts=(*parts_of(tables.DOSE_EVENTS), _COUNTED),
    ),
    "dose_totals": Part(
        "dose_totals", "group", tables.comment_of(tables.DOSE_TOTALS), True, entry="total",
        parts=parts_of(tables.DOSE_TOTALS),
    ),
    "annotations": Part(
        "annotations", "group", tables.comment_of(tables.ANNOTATIONS), True, entry="annotation",
        parts=parts_of(tables.ANNOTATIONS),
    ),
    "findings": Part(
        "findings", "group", tables.comment_of(tables.FINDINGS), True, entry="finding",
        parts=parts_of(tables.FINDINGS),
    ),
}  # fmt: skip
"""What is inside of objects, by table."""

DOCUMENT = Part(
    "document", "group", "one series of a lake",
    parts=(
        Part("version", "whole", "layout of the document", attribute=True, required=True),
        *(Part(h.name, "group", h.comment, required=h is SERIES, parts=h.parts) for h in HEADS),
        ORIGIN,
        Part("elements", "group", "one per attribute path and value of the series: a row of the "
             "table elements", True, entry="element", parts=ELEMENT),
        *CONTENTS.values(),
    ),
)  # fmt: skip


# Schemas


def shipped(name: str) -> bytes:
    """A schema as it is shipped: "document.schema.json" or "document.xsd"."""
    return resources.files(__package__).joinpath("schemas", name).read_bytes()


_JSON: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
    "moment": {"type": "string", "pattern": f"^{DATE_TIME}$"},
    "value": {"type": ["number", "string"]},
    "type": {"enum": list(TYPES)},
    "code": {"$ref": "#/$defs/code"},
}


def _json_of(part: Part) -> dict[str, Any]:
    if part.kind == "group":
        made = _json_group(part)
    elif part.kind == "measure":
        made = {
            "type": "object",
            "properties": {"value": {"type": "number"}, "unit": {"const": part.unit}},
            "required": ["value", "unit"],
            "additionalProperties": False,
        }
    else:
        made = dict(_JSON[part.kind])
    if part.several:
        made = {"type": "array", "items": made, "minItems": 0 if part.name == "elements" else 1}
    return {"description": part.comment, **made} if part.comment else made


def _json_group(part: Part) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": {member.name: _json_of(member) for member in part.parts},
        "additionalProperties": False,
    }
    if required := [member.name for member in part.parts if member.required]:
        made["required"] = required
    if part.entry == "element":
        made["allOf"] = [_typed(kind) for kind in ("number", "code", "text")]
    return made


def _typed(kind: str) -> dict[str, Any]:
    """What an element of a type must have."""
    value = {"value": {"type": "number" if kind == "number" else "string"}}
    then = {"required": ["code"]} if kind == "code" else {"properties": value}
    return {"if": {"properties": {"type": {"const": kind}}}, "then": then}


def json_schema() -> str:
    """The file `document.schema.json`."""
    code = {"code": "SCHEME:VALUE, of equal codes always the same one",
            "value": "as sent", "scheme": "as sent", "meaning": "as sent"}  # fmt: skip
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{NAMESPACE}:schema",
        "title": "Document of a series of a dicomlake",
        **_json_of(DOCUMENT),
        "$defs": {
            "code": {
                "description": "A coded concept (PS3.3 Section 8)",
                "type": "object",
                "properties": {
                    name: {"description": comment, "type": "string"}
                    for name, comment in code.items()
                },
                "additionalProperties": False,
                "minProperties": 1,
            }
        },
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


_XML = {
    "text": "xs:string",
    "number": "xs:double",
    "whole": "xs:integer",
    "boolean": "xs:boolean",
    "date": "xs:date",
    "moment": "xs:dateTime",
    "value": "xs:string",
    "type": "type",
    "code": "code",
    "measure": "measure",
}


def is_words(part: Part) -> bool:
    """Whether XML writes a list as words of one element, not as several elements."""
    return part.several and part.kind in ("number", "whole")


def _documented(comment: str, indent: str) -> Iterator[str]:
    if comment:
        text = escape(comment)
        yield f"{indent}<xs:annotation><xs:documentation>{text}</xs:documentation></xs:annotation>"


def _xsd_of(part: Part, indent: str, *, top: bool = False) -> Iterator[str]:
    """The declaration of an element."""
    often = "" if top or part.required else ' minOccurs="0"'
    if part.several and not part.entry and not is_words(part):
        often += ' maxOccurs="unbounded"'
    type_ = f"{part.kind}s" if is_words(part) else _XML.get(part.kind, "")
    typed = f' type="{type_}"' if type_ else ""
    yield f'{indent}<xs:element name="{part.name}"{typed}{often}>'
    inner = indent + " "
    yield from _documented(part.comment, inner)
    if part.entry:
        entry = Part(part.entry, "group", parts=part.parts)
        yield f"{inner}<xs:complexType><xs:sequence>"
        first, *rest = _xsd_of(entry, inner + " ", top=True)
        yield first.replace(">", ' minOccurs="0" maxOccurs="unbounded">')
        yield from rest
        yield f"{inner}</xs:sequence></xs:complexType>"
    elif part.kind == "group":
        yield from _xsd_group(part, inner)
    yield f"{indent}</xs:element>"


def _xsd_group(part: Part, indent: str) -> Iterator[str]:
    yield f"{indent}<xs:complexType>"
    inner = indent + " "
    yield f"{inner}<xs:sequence>"
    for member in part.parts:
        if not member.attribute:
            yield from _xsd_of(member, inner + " ")
    yield f"{inner}</xs:sequence>"
    for member in part.parts:
        if member.attribute:
            use = ' use="required"' if member.required else ""
            name, type_ = member.name, _XML[member.kind]
            yield f'{inner}<xs:attribute name="{name}" type="{type_}"{use}>'
            yield from _documented(member.comment, inner + " ")
            yield f"{inner}</xs:attribute>"
    yield f"{indent}</xs:complexType>"


_XSD_TYPES = """ <xs:simpleType name="type">
  <xs:restriction base="xs:string">
{types}
  </xs:restriction>
 </xs:simpleType>
 <xs:simpleType name="numbers"><xs:list itemType="xs:double"/></xs:simpleType>
 <xs:simpleType name="wholes"><xs:list itemType="xs:integer"/></xs:simpleType>
 <xs:complexType name="measure">
  <xs:simpleContent>
   <xs:extension base="xs:double">
    <xs:attribute name="unit" type="xs:string" use="required"/>
   </xs:extension>
  </xs:simpleContent>
 </xs:complexType>
 <xs:complexType name="code">
  <xs:attribute name="code" type="xs:string"/>
  <xs:attribute name="value" type="xs:string"/>
  <xs:attribute name="scheme" type="xs:string"/>
  <xs:attribute name="meaning" type="xs:string"/>
 </xs:complexType>"""


def xml_schema() -> str:
    """The file `document.xsd`."""
    types = "\n".join(f"   <xs:enumeration value={quoteattr(name)}/>" for name in TYPES)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns="{NAMESPACE}" targetNamespace="{NAMESPACE}" elementFormDefault="qualified">',
        *_xsd_of(DOCUMENT, " ", top=True),
        ' <xs:element name="documents">',
        "  <xs:complexType><xs:sequence>",
        '   <xs:element ref="document" minOccurs="0" maxOccurs="unbounded"/>',
        "  </xs:sequence></xs:complexType>",
        " </xs:element>",
        _XSD_TYPES.format(types=types),
        "</xs:schema>",
    ]
    return "\n".join(lines) + "\n"
