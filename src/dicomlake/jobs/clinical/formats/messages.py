"""Reports in HL7 version 2 messages (ORU): the text of each order, with patient and accession."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dicomlake.jobs.clinical.codes import scheme_of
from dicomlake.jobs.clinical.moments import moment
from dicomlake.jobs.clinical.reports import stage_document
from dicomlake.jobs.clinical.staging import Part
from dicomlake.jobs.identifiers.found import Place
from dicomlake.jobs.identifiers.hl7 import Delimiters, begins, delimiters_of
from dicomlake.jobs.identifiers.lines import Lines

_FRAMES = "\x0b\x1c\r\n"
_TEXTS = frozenset(["TX", "FT", "ST", ""])
_WITHDRAWN = frozenset("DWX")
"""OBR-25, OBX-11 of results that were deleted, were wrong, or were never made."""


@dataclass(slots=True)
class _Report:
    """One order of a message, as its segments say it."""

    place: Place
    accession: str = ""
    filler: str = ""
    study: str = ""
    code: tuple[str, str, str] = ("", "", "")
    status: str = ""
    when: str = ""
    updated: str = ""
    withdrawn: int = 0
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Messages:
    """Reads files of messages; `issuers`: assigning authorities and the issuers they stand for."""

    part: Part
    issuers: Mapping[str, str] = field(default_factory=dict)
    issuer: str = ""
    check: Callable[[int], None] = lambda count: None
    _marks: Delimiters = field(default_factory=Delimiters)
    _read: bool = False
    _patient: tuple[str, str] | None = None
    _control: str = ""
    _sent: str = ""
    _report: _Report | None = None

    def read(self, path: Path) -> None:
        """Stage the reports of a file of messages."""
        with Lines(path) as lines:
            for line in lines:
                if segment := line.strip(_FRAMES):
                    self._segment(segment, lines.place)
            self._end()
        self.check(1)

    def _segment(self, line: str, place: Place) -> None:
        name = line[:3]
        if name == "MSH":
            self._end()
            self._marks = delimiters_of(line, place)
            kind = self._one(line, 8)
            self._read, self._patient = kind == "ORU", None
            self._control, self._sent = self._one(line, 9), self._one(line, 6)
            return
        if not self._read or line[3:4] != self._marks.field:
            return
        if name == "PID":
            self._patient = self._identity(line)
        elif name == "OBR":
            self._end()
            self._report = _Report(
                place,
                accession=self._one(line, 18),
                filler=self._one(line, 3),
                code=(self._one(line, 4), self._one(line, 4, 2), self._one(line, 4, 3)),
                status=self._one(line, 25),
                when=self._one(line, 22) or self._one(line, 7) or self._sent,
                updated=self._sent or self._one(line, 22),
            )
        elif self._report is not None:
            self._add(name, line, self._report)

    def _add(self, name: str, line: str, report: _Report) -> None:
        if name in ("ZDS", "IPC"):
            report.study = report.study or self._one(line, 1 if name == "ZDS" else 3)
            if name == "IPC":
                report.accession = report.accession or self._one(line, 1)
        elif name == "NTE":
            report.lines += self._texts(line, 3)
        elif name == "OBX" and self._one(line, 2) in _TEXTS:
            if self._one(line, 11) in _WITHDRAWN:
                report.withdrawn += 1
            else:
                report.lines += self._texts(line, 5)

    def _texts(self, line: str, number: int) -> list[str]:
        """A field as lines: repetitions, and the line breaks that are written in it."""
        parts = line.split(self._marks.field)
        if number >= len(parts):
            return []
        e = self._marks.escape
        made = []
        for one in parts[number].split(self._marks.repetition):
            for said in one.replace(f"{e}.br{e}", "\n").replace(f"{e}.sp{e}", "\n").split("\n"):
                made.append(self._marks.unescaped(said).rstrip())
        return made

    def _one(self, line: str, number: int, component: int = 1) -> str:
        return next(self._marks.values(line, number, component), "")

    def _identity(self, line: str) -> tuple[str, str] | None:
        """PID-3: of an authority that is known, else the medical record number, else the first."""
        listed = line.split(self._marks.field)[3:4]
        found = []
        for one in listed[0].split(self._marks.repetition) if listed else ():
            alone = f"PID{self._marks.field}{one}"
            if value := self._one(alone, 1):
                found.append((value, self._one(alone, 1, 4), self._one(alone, 1, 5)))
        known = [f for f in found if f[1] in self.issuers]
        typed = [f for f in found if f[2] in ("MR", "PI")]
        chosen = next(iter(known or typed or found), None)
        return (chosen[0], self.issuers.get(chosen[1], self.issuer)) if chosen else None

    def _end(self) -> None:
        """A report is over: it is staged, or noted when it has no text."""
        report, self._report = self._report, None
        if report is None:
            return
        text = "\n".join(report.lines).strip()
        gone = report.status in _WITHDRAWN or bool(report.withdrawn and not text)
        if not text and not gone:
            self.part.fail(str(report.place.number), "the result has no text")
            return
        value, meaning, scheme = report.code
        number = report.accession or report.filler
        known = f"ORU/{report.filler or number}" if report.filler or number else None
        patient = self._patient
        stage_document(
            self.part,
            text,
            written=report.when,
            PatientID=patient[0] if patient else None,
            IssuerOfPatientID=(patient[1] or None) if patient else None,
            AccessionNumber=number or None,
            StudyInstanceUID=report.study or None,
            identifier=known or (f"MSH/{self._control}" if self._control else None),
            origin=self.part.origin(report.place.number),
            status=report.status or None,
            gone=gone,
            updated=updated[0] if (updated := moment(report.updated)) else None,
            title=meaning or value or None,
            type_value=value if value and scheme else None,
            type_scheme=scheme_of(scheme) if value and scheme else None,
            type_meaning=meaning or None,
        )


__all__ = ["Messages", "begins"]
