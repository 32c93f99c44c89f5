"""An object in the making: its description, and the checks that go with what was planted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dicomlake.dicom import dictionary
from dicomlake.testing.deidbench.answers import Check, Scope
from dicomlake.testing.deidbench.people import Person
from dicomlake.testing.dicom import EXPLICIT_LE, Encoder, Value


def path_of(*steps: str | int) -> str:
    """A path out of keywords, private keys and numbers of items.

    >>> path_of("RequestAttributesSequence", 1, "PatientID")
    '(0040,0275)[1](0010,0020)'
    """
    parts = []
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.startswith("("):
            parts.append(step)
        else:
            tag = dictionary.tag_of(step)
            parts.append(f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
    return "".join(parts)


@dataclass(slots=True)
class Key:
    """All checks so far, and the tokens that must be nowhere, by patient and kind."""

    checks: list[Check] = field(default_factory=list)
    tokens: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, action: str, category: str, scope: Scope = "instance", **more: Any) -> None:
        """One more check."""
        at = self.counts[category] = self.counts.get(category, 0) + 1
        more.setdefault("family", "best_practice" if more.get("severity") == 3 else "dicom")
        if more.get("hipaa_letter"):
            more["family"] = "hipaa"
        more.setdefault("severity", 1)
        name = f"{category}-{at:05d}"
        self.checks.append(Check(name, scope, action, category, **more))

    def token(self, PatientID: str, kind: str, *tokens: str) -> None:
        """Something that must be in no output at all."""
        held = self.tokens.setdefault((PatientID, kind), [])
        held.extend(t for t in tokens if t and t not in held)


@dataclass(slots=True)
class Series:
    """A series: its UID, what it is, what was put into it so far."""

    uid: str
    number: int
    modality: str
    objects: list[Draft] = field(default_factory=list)


@dataclass(slots=True)
class Study:
    """A study of a patient: what its objects share."""

    seed: int
    person: Person
    number: int
    uid: str
    frame_of_reference: str
    when: datetime
    accession: str
    series: list[Series] = field(default_factory=list)

    @property
    def images(self) -> list[Draft]:
        """The images that others refer to."""
        return self.series[0].objects


@dataclass(slots=True)
class Draft:
    """An object of a study in the making; `number` is its InstanceNumber, unique in the corpus."""

    study: Study
    series: Series
    key: Key
    number: int
    uid: str
    kind: str
    file: str = ""
    syntax: str = EXPLICIT_LE
    undefined: bool = False
    values: dict[str, Value] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    preamble: bytes = b""

    @property
    def person(self) -> Person:
        """The patient."""
        return self.study.person

    def has(self, tag: int) -> bool:
        """Whether the description has this attribute at its top."""
        return any(_tag(key) == tag for key in self.values)

    def check(
        self, action: str, category: str, path: str = "", value: str = "", text: str = "",
        **more: Any,
    ) -> None:  # fmt: skip
        """A check of this object; `value` is value_old, `text` is action_text."""
        self.key.add(
            action,
            category,
            more.pop("scope", "instance"),
            patient_id_old=self.person.id,
            study_uid_old=self.study.uid,
            series_uid_old=self.series.uid,
            sop_uid_old=self.uid,
            file=self.file,
            path=path,
            value_old=value,
            action_text=text,
            **more,
        )

    def removed(self, category: str, path: str, *tokens: str, **more: Any) -> None:
        """These words must be gone at a path."""
        self.check("text_removed", category, path, " ".join(tokens), **more)

    def retained(self, category: str, path: str, text: str, **more: Any) -> None:
        """These words must still be there."""
        self.check("text_retained", category, path, text=text, severity=3, **more)

    def own(self, *tokens: str) -> None:
        """Tokens that stand for nothing else and must be nowhere."""
        self.key.token(self.person.id, "planted", *tokens)

    def encoded(self) -> bytes:
        """Bytes of the file."""
        encoder = Encoder(self.syntax, charset=self.person.charset, undefined_length=self.undefined)
        data = encoder.file(encoder.elements(self.values, self.blocks))
        if self.preamble:
            data = self.preamble.ljust(128, b"\0")[:128] + data[128:]
        return data


def _tag(key: str) -> int:
    if key.startswith("("):
        return int(key[1:5] + key[6:10], 16) if key[6] != '"' else 0
    return dictionary.tag_of(key)


def references(drafts: Iterable[Draft]) -> list[dict[str, Value]]:
    """Items that refer to objects."""
    return [
        {
            "ReferencedSOPClassUID": draft.values["SOPClassUID"],
            "ReferencedSOPInstanceUID": draft.uid,
        }
        for draft in drafts
    ]
