"""What dciodvfy says of objects: the validator of dicom3tools (David Clunie), as findings.

The program prints values as they are, also those of patients. Of its messages only what is known
to hold none is kept: the words before a value, the attribute, and the module.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dicomlake.contracts.enrichers import (
    INSTANCES,
    SKIPPED,
    Enriched,
    Hardware,
    Subject,
    each,
)
from dicomlake.dicom import dictionary
from dicomlake.errors import DataError, UsageError

PROGRAM = "dciodvfy"
TIMEOUT_S = 60.0
LARGEST = 1024**3
"""Bytes of the largest object that is handed over."""
_SEVERITIES = {"Error": "error", "Abort": "error", "Warning": "warning"}
_LINE = re.compile(r"^(Error|Abort|Warning) - (.*)$")
_TAG = re.compile(r"\(0x([0-9a-fA-F]{4}),0x([0-9a-fA-F]{4})\)")
_NAMED = re.compile(r"Element=<(\w+)>")
_CALLED = re.compile(r"attribute <([^<>]*)>$")
_MODULE = re.compile(r"Module=<(\w+)>")
_WORDS = re.compile(r"[<>=\"]|\(0x| Element\b| - |\d{4,}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the program, without values."""

    severity: str
    rule: str
    path: str
    module: str

    def row(self, instances: int) -> dict[str, Any]:
        """Its row of `findings`."""
        said = self.rule.removeprefix("dciodvfy: ")
        return {
            "rule": self.rule,
            "severity": self.severity,
            "path": self.path,
            "text": f"{said[:1].upper()}{said[1:]}.",
            "expected": f"module {self.module}" if self.module else None,
            "instances": instances,
        }


def messages(printed: str) -> Iterator[Message]:
    """The messages in what the program printed.

    >>> line = "Error - Missing attribute Type 1 Required Element=<KVP> Module=<CTImage>"
    >>> next(messages(line))
    Message(severity='error', rule='dciodvfy: missing attribute type 1 required', path='KVP', \
module='CTImage')
    """
    for line in printed.splitlines():
        found = _LINE.match(line)
        if found and (words := _safe(_WORDS.split(found[2])[0])):
            module = _MODULE.search(found[2]) if _NAMED.search(found[2]) else None
            yield Message(
                _SEVERITIES[found[1]],
                f"dciodvfy: {words.lower()}",
                _path(found[2]),
                module[1] if module else "",
            )


def _safe(text: str) -> str:
    """The words of a message; what might be a name or a number of somebody is left out.

    >>> _safe("Missing attribute Type 1C Conditional"), _safe("Odd value DOE^JANE 4711 here")
    ('Missing attribute Type 1C Conditional', 'Odd value here')
    """
    first, *rest = text.strip(" ,:-").split() or [""]
    plain = first if first.isalpha() else ""
    return " ".join([plain, *filter(_is_plain, rest)]).strip()


def _is_plain(word: str) -> bool:
    """Whether a word is one of the program, and none of the object."""
    bare = word.strip("(),.:;")
    return bare.islower() or bare in _KNOWN or dictionary.is_keyword(bare)


_KNOWN = frozenset(
    "VR VM IOD DICOM Dicom DICOMDIR SOP UID Class Type 1 2 3 1C 2C Required Conditional Value "
    "Multiplicity Attribute Module Sequence Item Code Scheme Functional Group Image Standard "
    "Extended Information Object Not Representations".split()
)


def _path(text: str) -> str:
    """The keyword of the attribute that a message names, or ""."""
    if named := _NAMED.search(text):
        keyword = named[1]
    elif called := _CALLED.search(text):
        keyword = re.sub(r"'s\b|[^A-Za-z0-9]", "", called[1])
    elif tag := _TAG.search(text):
        keyword = dictionary.public_segment(int(tag[1] + tag[2], 16))
    else:
        return ""
    return keyword if dictionary.is_keyword(keyword) else ""


class DciodvfyEnricher:
    """What dciodvfy says of one object of each series; option `objects`: all of them.

    Options: `objects` one (default) or all; `timeout_s`, of one object.
    """

    name = "dciodvfy"
    about = "Errors and warnings of dciodvfy about one object of each series, or about all."
    version = "1"
    reads: tuple[str, ...] = (INSTANCES,)
    writes: tuple[str, ...] = ("finding",)
    after: tuple[str, ...] = ()
    hardware: Hardware = "cpu"
    at_once = 20

    def __init__(
        self, lake: Path, options: Mapping[str, str], *, program: str | None = None
    ) -> None:
        options = dict(options)
        objects, limit = options.pop("objects", "one"), options.pop("timeout_s", str(TIMEOUT_S))
        if options:
            raise UsageError(
                f"The enricher dciodvfy has no option {sorted(options)[0]!r}. "
                "It takes objects and timeout_s."
            )
        if objects not in ("one", "all"):
            raise UsageError(f"The option objects takes one or all, not {objects!r}.")
        try:
            self._timeout_s = float(limit)
        except ValueError as error:
            raise UsageError(f"The option timeout_s takes seconds, not {limit!r}.") from error
        found = shutil.which(program or PROGRAM)
        if found is None:
            raise UsageError(
                "The program dciodvfy is not installed. It is in the package dicom3tools of "
                "Debian and Ubuntu: apt-get install dicom3tools"
            )
        self._all, self._program = objects == "all", found
        digest = hashlib.sha256(Path(found).read_bytes()).hexdigest()[:12]
        self.model = f"dciodvfy {digest}, {objects} of a series"

    def where(self) -> str:
        """Every series."""
        return "true"

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """What the program says of each series."""
        return each(subjects, self._say)

    def close(self) -> None:
        """Nothing to end."""

    def _say(self, subject: Subject) -> Enriched:
        rows = [row for row in subject.instances if (row["size"] or 0) <= LARGEST]
        if not rows:
            return Enriched(SKIPPED, "it has no object that is small enough to be looked at")
        counted: dict[Message, int] = {}
        for row in rows if self._all else rows[:1]:
            for message in dict.fromkeys(messages(self._print(subject, row))):
                counted[message] = counted.get(message, 0) + 1
        found = [message.row(n) for message, n in counted.items()]
        return Enriched(findings=found)

    def _print(self, subject: Subject, row: Mapping[str, Any]) -> str:
        assert subject.open is not None
        with tempfile.TemporaryFile() as copy:  # it seeks, which a pipe cannot
            with subject.open(row) as found:
                copy.write(found.fetch(0, found.size))
            copy.seek(0)
            return self._run(copy)

    def _run(self, object_: IO[bytes]) -> str:
        try:
            done = subprocess.run(
                [self._program],
                stdin=object_,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"dciodvfy took longer than {self._timeout_s:g} s") from error
        except OSError as error:
            raise DataError(f"dciodvfy could not be run ({type(error).__name__})") from error
        if done.returncode < 0:
            raise DataError(f"dciodvfy ended by signal {-done.returncode}")
        return str(done.stdout, "latin-1")
