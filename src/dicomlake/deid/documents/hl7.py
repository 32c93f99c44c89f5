"""HL7 version 2 results (ORU): fields about people replaced, texts cleaned, the rest dropped."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dicomlake.contracts.deid import Identity, Unresolved, Words
from dicomlake.deid.documents.moments import moved_time
from dicomlake.deid.documents.pieces import Replacement, clean_pieces

Nested = Callable[[bytes, str], bytes]

_FIELDS: dict[str, dict[int, str]] = {
    "MSH": {7: "time", 9: "keep", 10: "id", 11: "keep", 12: "keep", 18: "keep", 19: "keep"},
    "PID": {1: "keep", 3: "patient", 5: "name", 7: "time", 8: "keep"},
    "PV1": {1: "keep", 2: "keep"},
    "ORC": {1: "keep", 2: "id", 3: "accession", 5: "keep", 9: "time"},
    "OBR": {
        1: "keep", 2: "id", 3: "accession", 4: "code", 6: "time", 7: "time", 8: "time", 13: "text",
        14: "time", 15: "code", 18: "accession", 19: "id", 20: "id", 21: "id", 22: "time",
        24: "keep", 25: "keep", 31: "text", 36: "time", 44: "code",
    },
    "OBX": {
        1: "keep", 2: "keep", 3: "code", 4: "keep", 5: "value", 6: "code", 7: "keep", 8: "keep",
        11: "keep", 14: "time",
    },
    "NTE": {1: "keep", 2: "keep", 3: "text"},
}  # fmt: skip
"""What is done with the fields that stay; all others become empty, other segments go."""
_TEXTS = frozenset("TX FT ST CE CWE CNE".split())
_PLAIN = frozenset("NM SN IS ID".split())
_BEGIN = re.compile(r"[\x0b\s]*MSH[^\w\s]")


def is_message(text: str) -> bool:
    """Whether a text begins as HL7 messages do."""
    return bool(_BEGIN.match(text))


@dataclass(slots=True)
class _Message:
    """The segments that stay, and where texts in them are cleaned."""

    segments: list[list[str]] = field(default_factory=list)
    texts: list[tuple[int, int]] = field(default_factory=list)
    made: list[Replacement] = field(default_factory=list)


def clean_hl7(
    text: str, words: Words, identity: Identity | None, nested: Nested
) -> tuple[str, list[Replacement]]:
    """The messages as they may leave, and what was replaced; Unresolved for none."""
    if not is_message(text):
        raise Unresolved("document", "The text is no HL7 message: it does not begin with MSH.")
    message = _Message()
    marks = "|^~\\&"
    for line in re.split(r"[\r\n\x1c\x0b]+", text):
        name = line[:3]
        if name == "MSH":
            marks = line[3:8].ljust(5, "&")
            line = f"MSH{marks[0]}{line[3:]}"  # MSH-1 is the delimiter itself
        if name in _FIELDS and line[3:4] == marks[0]:
            _take(message, line.split(marks[0]), marks, identity, nested)
        elif line.strip():
            message.made.append(Replacement("other", "HL7"))
    _clean_texts(message, words, marks)
    lines = []
    for parts in message.segments:
        shown = marks[0].join(parts).rstrip(marks[0])
        lines.append(f"MSH{marks[0]}" + marks[0].join(parts[2:]) if parts[0] == "MSH" else shown)
    return "\r".join(lines) + "\r", message.made


def text_of_hl7(text: str) -> str:
    """The texts of a message that is clean, as lines."""
    lines = []
    for line in re.split(r"[\r\n]+", text):
        parts = line.split(text[3:4] or "|")
        if parts[0] == "OBX" and len(parts) > 5:
            lines.append(parts[5].replace("\\.br\\", "\n"))
        elif parts[0] == "NTE" and len(parts) > 3:
            lines.append(parts[3].replace("\\.br\\", "\n"))
    return "\n".join(lines)


def _take(
    message: _Message, parts: list[str], marks: str, identity: Identity | None, nested: Nested
) -> None:
    rules = _FIELDS[parts[0]]
    kept = [parts[0]] + [""] * (len(parts) - 1)
    if parts[0] == "MSH":
        kept[1], kept[2] = marks[0], parts[2]
    for number, value in enumerate(parts):
        rule = rules.get(number)
        if not rule or not value or value == '""':
            if value and number and not (parts[0] == "MSH" and number < 3):
                message.made.append(Replacement("other", "HL7"))
            continue
        if rule == "value":
            rule = _rule_of(parts)
        if rule in ("keep", "code"):
            kept[number] = value
        elif rule == "name":
            kept[number] = "[NAME]"
            message.made.append(Replacement("name", "HL7"))
        elif rule == "time":
            kept[number] = moved_time(value.split(marks[1])[0], identity) or ""
            message.made.append(Replacement("date", "HL7"))
        elif rule in ("id", "accession", "patient"):
            kept[number] = _number(value, marks, identity, rule)
            message.made.append(Replacement("id", "HL7"))
        elif rule == "document":
            kept[number] = _document(value, marks, nested)
        elif rule == "text":
            kept[number] = value
        if rule in ("text", "code"):
            message.texts.append((len(message.segments), number))
    message.segments.append(kept)


def _rule_of(parts: list[str]) -> str:
    """What is done with the value of an observation, by its type."""
    kind = parts[2].strip()
    if kind in _PLAIN:
        return "keep"
    if kind in _TEXTS or not kind:
        return "text"
    return {"ED": "document", "DT": "time", "TS": "time", "DTM": "time"}.get(kind, "drop")


def _number(value: str, marks: str, identity: Identity | None, kind: str) -> str:
    first = value.split(marks[2])[0].split(marks[1])[0].split(marks[4])[0]
    return identity.id(first, "other" if kind == "id" else kind) if identity else "[ID]"


def _document(value: str, marks: str, nested: Nested) -> str:
    """ED: source, type, subtype, encoding, data."""
    parts = value.split(marks[1])
    if len(parts) < 5 or parts[3].casefold() != "base64":
        raise Unresolved("document", "A message holds a document that is not in base64.")
    try:
        data = base64.b64decode(parts[4], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unresolved("document", "A document inside of a message is damaged.") from error
    media = "application/pdf" if data[:5] == b"%PDF-" else f"{parts[1]}/{parts[2]}".lower()
    return marks[1].join(["", parts[1], parts[2], "Base64",
                          base64.b64encode(nested(data, media)).decode("ascii")])  # fmt: skip


def _clean_texts(message: _Message, words: Words, marks: str) -> None:
    """Clean all texts as one, since a name may stand on two lines."""
    escape = re.escape(marks[3])
    pieces = [
        re.sub(rf"{escape}\.br{escape}", "\n", message.segments[segment][number])
        for segment, number in message.texts
    ]
    stands = {"F": marks[0], "S": marks[1], "R": marks[2], "T": marks[4]}
    pieces = [
        re.sub(rf"{escape}([FSRT]){escape}", lambda m: f"\0{m[1]}{stands[m[1]]}", p) for p in pieces
    ]
    cleaned, made = clean_pieces(words, pieces)
    message.made += made
    for (segment, number), text in zip(message.texts, cleaned, strict=True):
        back = re.sub("\0([FSRT]).", lambda m: f"{marks[3]}{m[1]}{marks[3]}", text)
        message.segments[segment][number] = back.replace("\n", f"{marks[3]}.br{marks[3]}")
