"""What resources are made of, before a release of FHIR: people, studies, devices, measurements.

Both serialisers read these. References are ids of resources; texts are clean, moments written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dicomlake.terms import Code

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """A patient; `system` and `value` are empty where the study names none."""

    id: str
    system: str = ""
    value: str = ""
    gender: str = "unknown"
    birth: str | None = None
    names: tuple[Json, ...] = ()
    """HumanName, the same in both releases."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A device that made images, as one of them tells."""

    id: str
    uid: str | None = None
    udi: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    station: str | None = None
    institution: str | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Software:
    """A program that states something of images."""

    id: str
    name: str
    version: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """The DICOMweb service that has the images."""

    id: str
    address: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a series; `more` are extensions of it."""

    uid: str
    sop_class: str
    number: int | None = None
    title: str | None = None
    frames: int | None = None
    more: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """A series; `modality` is one of PS3.16 CID 33, `more` are extensions of it."""

    uid: str
    modality: str
    number: int | None = None
    description: str | None = None
    instances: int | None = None
    started: str | None = None
    site: Code | None = None
    side: Code | None = None
    body: str | None = None
    device: str | None = None
    operators: tuple[str, ...] = ()
    objects: tuple[Instance, ...] = ()
    more: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Study:
    """A study with its series; `accession` is system and value."""

    id: str
    uid: str
    patient: str
    accession: tuple[str, str] | None = None
    started: str | None = None
    description: str | None = None
    procedures: tuple[Json, ...] = ()
    """CodeableConcept, the same in both releases."""
    reasons: tuple[Json, ...] = ()
    referrer: str | None = None
    department: str | None = None
    door: str | None = None
    instances: int = 0
    series: tuple[Series, ...] = ()
    more: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A structure of a body that is seen in a series."""

    structure: Json
    """CodeableConcept."""
    side: Code | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """Structures of a patient that a program or a segmentation names: one in R4, any number in R5.

    `key` tells it from others: the value of its identifier.
    """

    id: str
    key: str
    patient: str
    parts: tuple[Part, ...]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a measurement: one of the values is there."""

    code: Json
    quantity: Json | None = None
    concept: Json | None = None
    boolean: bool | None = None
    whole: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a summary of dose says beside its numbers (Radiation Dose Summary, R4).

    `study`: UID of the study; `words`: its numbers as a sentence; `by`: who authorised the
    irradiation, where that may be told; `why`: why it is not (a data absent reason).
    """

    study: str
    words: str
    accession: str | None = None
    by: str | None = None
    why: str = "unknown"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured or found; without a value it holds others together.

    `identifier` is system and value, `site` a CodeableConcept, `body` the id of a BodyStructure,
    `series` and `object` UIDs of what it was measured on or stated in.
    """

    id: str
    identifier: tuple[str, str]
    code: Json
    patient: str
    study: str | None = None
    category: str = ""
    status: str = "final"
    effective: str | None = None
    issued: str | None = None
    quantity: Json | None = None
    concept: Json | None = None
    site: Json | None = None
    side: Code | None = None
    body: str | None = None
    method: Json | None = None
    device: str | None = None
    members: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    series: str | None = None
    object: str | None = None
    profiles: tuple[str, ...] = ()
    note: str | None = None
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where statements come from: a program looked at a study. `targets` are Type/id."""

    id: str
    targets: tuple[str, ...]
    recorded: str
    device: str
    study: str
    patient: str


@dataclass(frozen=True, slots=True)
class Report:
    """A document about a study: a structured report, or one that is encapsulated."""

    id: str
    uid: str
    patient: str
    study: str
    series: str
    sop_class: str
    code: Json
    status: str = "final"
    effective: str | None = None
    issued: str | None = None
    title: str | None = None
    mime: str = "application/dicom"
    address: str | None = None
    conclusion: str | None = None
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """A segment of a segmentation: what of an object shows a structure; R5 alone.

    `uid` and `sop_class` are those of the object, `number` is the Segment Number.
    """

    id: str
    uid: str
    sop_class: str
    number: int
    study: str
    study_uid: str
    series_uid: str
    patient: str
    frame_of_reference: str | None = None
    site: Json | None = None


Thing = (
    Person | Machine | Software | Door | Study | Body | Measurement | Origin | Report | Selection
)
