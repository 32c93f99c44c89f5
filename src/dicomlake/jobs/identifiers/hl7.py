"""Orders in HL7 version 2 messages: what their procedures are called in the archive.

IHE RAD-4 and RAD-28: IPC-1 and IPC-3 or ZDS-1 where there are any, else OBR-18, else the number of
the filler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dicomlake.errors import UsageError
from dicomlake.jobs.identifiers.found import Found, Place
from dicomlake.jobs.identifiers.lines import Lines

TYPES = frozenset("ORM ORU OMI OMG MDM".split())
"""Messages about orders and their results; others are passed over."""

_BEGINS = re.compile(r"(MSH|FHS|BHS)[^\w\s]")
_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9][0-9]?)(?:\.([1-9][0-9]?))?")
_FRAMES = "\x0b\x1c\r\n"
_ID = re.compile(r"[A-Z][A-Z0-9]{2}")
_NULL = '""'


def begins(text: str) -> bool:
    """Whether a file that begins so holds HL7 messages."""
    return bool(_BEGINS.match(text))


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What is between the parts of a message, as its MSH says."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    sub: str = "&"

    def values(self, segment: str, number: int, component: int = 1) -> Iterator[str]:
        """The values of a field, one of each repetition."""
        fields = segment.split(self.field)
        for one in fields[number].split(self.repetition) if number < len(fields) else ():
            parts = one.split(self.component)
            value = parts[component - 1].split(self.sub)[0] if component <= len(parts) else ""
            value = self.unescaped(value).strip()
            if value and value != _NULL:
                yield value

    def unescaped(self, value: str) -> str:
        """A value with the delimiters that are written as escapes."""
        if self.escape not in value:
            return value
        e = re.escape(self.escape)
        stand = {
            "F": self.field,
            "S": self.component,
            "R": self.repetition,
            "E": self.escape,
            "T": self.sub,
        }
        return re.sub(f"{e}([FSRET]){e}", lambda found: stand[found[1]], value)


@dataclass(slots=True)
class _Order:
    """One order of a message: what its segments say."""

    place: Place
    studies: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    ipc: list[str] = field(default_factory=list)
    common: list[str] = field(default_factory=list)
    filler: list[str] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)


class _Messages:
    """Takes the segments of messages and gives their orders to `found`."""

    def __init__(self, found: Found, path: str, wanted: str) -> None:
        self.found = found
        self._field = _parsed(wanted)
        self._delimiters = Delimiters()
        self._read = False
        self._order = _Order(Place(path))
        self._fillers: list[tuple[list[str], Place]] = []
        self._named = False

    def take(self, line: str, place: Place) -> None:
        name = line[:3]
        if name == "MSH":
            self.end()
            self._delimiters = delimiters_of(line, place)
            # MSH-1 is the delimiter itself, so MSH-9 is the eighth part.
            kind = next(self._delimiters.values(line, 8), "")
            self._read, self._order = kind in TYPES, _Order(place)
        elif name in ("FHS", "BHS", "BTS", "FTS"):
            self.end()
            self._read = False
        elif self._read and _ID.fullmatch(name) and line[3:4] in ("", self._delimiters.field):
            self._segment(name, line, place)

    def _segment(self, name: str, line: str, place: Place) -> None:
        seen = self._order.segments
        if (name == "ORC" and seen & {"ORC", "OBR"}) or (name == "OBR" and "OBR" in seen):
            self._end_order()
        order, values = self._order, self._delimiters.values
        order.segments.add(name)
        if name == "PID" and self.found.kind == "PatientID":
            for value in self._patients(line):
                self.found.add("PatientID", value, place)
        if self._field and self._field[0] == name:
            order.chosen += values(line, *self._field[1:])
        if name == "IPC":
            order.ipc += values(line, 1)
            order.studies += values(line, 3)
        elif name == "ZDS":
            order.studies += values(line, 1)
        elif name == "OBR":
            order.common += values(line, 18)
            order.filler += values(line, 3)
        elif name == "TXA":
            order.filler += values(line, 15)
        if name in ("IPC", "ZDS", "OBR", "TXA") or (self._field and self._field[0] == name):
            order.place = place

    def _patients(self, line: str) -> list[str]:
        """PID-3: the medical record number, or the first one when none says that it is one."""
        first = self._delimiters
        repeated = line.split(first.field)[3:4]
        listed = repeated[0].split(first.repetition) if repeated else []
        numbers = [f"PID{first.field}{one}" for one in listed]
        typed = [one for one in numbers if next(first.values(one, 1, 5), "") in ("MR", "PI")]
        chosen = typed[:1] or numbers[:1]
        return [value for one in chosen for value in first.values(one, 1)]

    def _end_order(self) -> None:
        order, self._order = self._order, _Order(self._order.place)
        numbers = order.chosen if self._field else order.ipc or order.common
        self.found.add_order(order.studies, numbers, order.place)
        if numbers or (order.studies and self.found.kind is None):
            self._named = True
        elif not self._field:
            self._fillers.append((order.filler, order.place))

    def end(self) -> None:
        """A message is over: numbers of fillers count when it says nothing better."""
        self._end_order()
        for numbers, place in self._fillers if not self._named else ():
            self.found.add_order((), numbers, place)
        self._fillers, self._named = [], False


def read(lines: Lines, found: Found, wanted: str = "") -> None:
    """Read messages, in a batch, framed or one after the other; `wanted`: as `read_list.field`."""
    messages = _Messages(found, str(lines.path), wanted)
    for line in lines:
        segment = line.strip(_FRAMES)
        if segment:
            messages.take(segment, lines.place)
    messages.end()


def _parsed(wanted: str) -> tuple[str, int, int] | None:
    if not wanted:
        return None
    found = _FIELD.fullmatch(wanted)
    if found is None or found[1] == "MSH":
        raise UsageError(f"{wanted!r} is no field of a message; write it like OBR-18 or OBR-3.1.")
    return found[1], int(found[2]), int(found[3] or 1)


def delimiters_of(line: str, place: Place) -> Delimiters:
    """The delimiters that an MSH declares; those that it leaves out are the usual ones."""
    separator = line[3:4]
    if not separator or separator.isalnum() or separator.isspace():
        raise UsageError(f"{place}: MSH does not say what is between the fields.")
    rest = line[4:].split(separator)[0][:4]
    usual = "^~\\&"
    return Delimiters(separator, *(rest + usual[len(rest) :]))
