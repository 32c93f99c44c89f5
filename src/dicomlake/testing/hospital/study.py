"""One study while it is being made: who, when, where, and what every object of it repeats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from dicomlake.testing.dicom import EXPLICIT_LE, Encoder, Stencil, uid
from dicomlake.testing.hospital import untidy
from dicomlake.testing.hospital.devices import devices_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from random import Random

    from dicomlake.terms import Code
    from dicomlake.testing.dicom import Description, Value
    from dicomlake.testing.hospital.devices import Device, Site
    from dicomlake.testing.hospital.people import Person
    from dicomlake.testing.hospital.untidy import Habits

LANGUAGES = ("de", "fr", "en")
Words = tuple[str, ...]
"""German, French, English; or one word for all."""


@dataclass(frozen=True, slots=True)
class Options:
    """How objects are made: with pixels or headers only, and how many images for each planned."""

    pixels: bool = True
    images: float = 1.0


@dataclass(slots=True)
class Series:
    """What has been written of a series: ground truth, and what later objects refer to."""

    modality: str
    uid: str
    study: Study
    number: int
    sop_class: str
    device: Device
    words: str
    frame_of_reference: str
    instances: list[str] = field(default_factory=list)
    traits: tuple[str, ...] = ()
    facts: Description = field(default_factory=dict)


@dataclass(slots=True)
class Object:
    """One made-up object: its bytes and its place in the archive.

    `rows` counts what a lake should find inside: content items, segments, dose events, ...
    """

    series: Series
    uid: str
    data: bytes
    path: str = ""
    rows: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Study:
    """A study of a person: attributes that all of its objects share, encoded once per encoder."""

    seed: int
    number: int
    person: Person
    site: Site
    when: datetime
    words: Words
    body_part: str
    region: Code
    procedure: Code | None
    habits: Habits
    rng: Random
    options: Options

    def __post_init__(self) -> None:
        self.uid = uid("hospital", self.seed, self.person.number, self.number)
        self.language = LANGUAGES.index(self.site.language)
        self.frame_of_reference = uid(self.uid, "frame of reference")
        self.description = self.say(self.words)
        self.series: list[Series] = []
        self.objects: list[Object] = []
        self._layers: dict[Encoder, dict[int, bytes]] = {}

    def say(self, words: Words) -> str:
        """A text in the language of the site."""
        return words[self.language] if len(words) > 1 else words[0]

    def device(self, modality: str) -> Device:
        """The device of the site that makes this study's images of a modality."""
        choice = devices_of(self.site, modality)
        return choice[(self.person.number + self.number) % len(choice)]

    def encoder(self, device: Device) -> tuple[Encoder, str | None]:
        """The encoder for a device's objects, and the character set that it declares."""
        declared, actual = self.habits.charset(self.person, device)
        deep = device.manufacturer.startswith("Philips")
        return _encoder(self.habits.syntax, actual, deep), declared

    def layer(self, encoder: Encoder) -> dict[int, bytes]:
        """Elements of patient and study."""
        layer = self._layers.get(encoder)
        if layer is None:
            layer = self._layers[encoder] = encoder.elements(self._description())
        return layer

    @property
    def age(self) -> int:
        """Years of the patient at the day of the study."""
        born = self.person.born
        before = (self.when.month, self.when.day) < (born.month, born.day)
        return self.when.year - born.year - before

    def _description(self) -> dict[str, Value]:
        person, habits = self.person, self.habits
        values: dict[str, Value] = {
            "PatientName": person.name,
            "PatientID": habits.patient_id(person.id),
            "IssuerOfPatientID": person.issuer,
            "PatientBirthDate": habits.birth_date or person.born.strftime("%Y%m%d"),
            "PatientSex": person.sex,
            "PatientAge": f"{self.age:03d}Y",
            "PatientSize": person.height,
            "PatientWeight": person.weight,
            "StudyInstanceUID": self.uid,
            "StudyDate": self.when,
            "StudyTime": self.when,
            "ReferringPhysicianName": self.site.physicians[self.number % 3],
            "StudyID": str(1000 + self.number),
            "StudyDescription": self.description,
            "AccessionNumber": self.accession,
        }
        if self.procedure is not None:
            values["ProcedureCodeSequence"] = [self.procedure]
        if habits.requested:
            values["RequestAttributesSequence"] = [
                {
                    "RequestedProcedureID": f"R{self.person.number:06d}{self.number:02d}",
                    "RequestedProcedureDescription": self.description,
                    "ScheduledProcedureStepID": f"S{self.number}",
                    "ScheduledProtocolCodeSequence": [] if not self.procedure else [self.procedure],
                    "ReasonForTheRequestedProcedure": self.description,
                }
            ]
        return values

    @property
    def accession(self) -> str:
        """Accession number; some studies have none."""
        if not self.habits.accession:
            return ""
        return f"{self.site.issuer[0]}{self.person.number:06d}{self.number:02d}"

    def open(
        self,
        modality: str,
        sop_class: str,
        words: str,
        *,
        device: Device | None = None,
        number: int | None = None,
        geometry: bool = True,
        traits: Sequence[str] = (),
        **facts: Value,
    ) -> Series:
        """A new series of the study, empty so far."""
        device = device or self.device(modality)
        number = number or len(self.series) + 1
        series = Series(
            device.modality if modality == "DX" else modality,
            uid(self.uid, "series", len(self.series)),
            self,
            number,
            sop_class,
            device,
            words,
            self.frame_of_reference if geometry else "",
            traits=(*self.habits.traits, *traits),
            facts=facts,
        )
        self.series.append(series)
        return series

    def write(
        self,
        series: Series,
        common: Description,
        varying: Sequence[str] = (),
        rows: Iterable[Sequence[Value]] = ((),),
        *,
        blocks: dict[str, int] | None = None,
        counts: Sequence[Counter[str]] = (),
    ) -> None:
        """Write the objects of a series: `common` in all of them, one object per row."""
        device = series.device
        encoder, declared = self.encoder(device)
        body_part, trait = self.habits.body_part(self.body_part, self.language)
        values: dict[str, Value] = {
            "SOPClassUID": series.sop_class,
            "Modality": series.modality,
            "SeriesInstanceUID": series.uid,
            "SeriesNumber": series.number,
            "SeriesDescription": series.words,
            "SeriesDate": self.when,
            "SeriesTime": self.when,
            "ContentDate": self.when,
            **common,
        }
        if declared is not None:
            values["SpecificCharacterSet"] = declared
        if series.frame_of_reference:
            values["FrameOfReferenceUID"] = series.frame_of_reference
            values["PositionReferenceIndicator"] = ""
            if body_part is not None:
                values["BodyPartExamined"] = body_part
            series.traits += trait
        values, traits = self.habits.spoil(values)
        series.traits += traits
        own = encoder.elements(values, blocks or device.blocks)
        elements = {**_device_layer(device, encoder), **self.layer(encoder), **own}
        stencil = Stencil(
            encoder, elements, ["SOPInstanceUID", "InstanceNumber", "ContentTime", *varying]
        )
        clock = self.when.hour * 3600 + self.when.minute * 60
        clock += 40 * self.series.index(series)
        for at, row in enumerate(rows):
            name = uid(series.uid, len(series.instances))
            second = clock + at
            time = _clock(second, at)
            data = stencil.fill(
                name, len(series.instances) + 1, time, *row, preamble=self.habits.preamble
            )
            series.instances.append(name)
            count = counts[at] if at < len(counts) else untidy.NOTHING
            self.objects.append(Object(series, name, data, rows=count))

    def references(self, series: Series, limit: int = 10**9) -> list[dict[str, Value]]:
        """Items that reference the instances of a series (PS3.3 Table 10-11)."""
        return [
            {"ReferencedSOPClassUID": series.sop_class, "ReferencedSOPInstanceUID": instance}
            for instance in series.instances[:limit]
        ]

    def images(self, planned: int) -> int:
        """Number of images for a planned number, as the options stretch it."""
        return max(1, round(planned * self.options.images))


def _clock(second: int, at: int) -> str:
    hour, minute = second // 3600 % 24, second // 60 % 60
    return f"{hour:02d}{minute:02d}{second % 60:02d}.{at % 1000:03d}"


@lru_cache(maxsize=1024)
def _encoder(syntax: str, charset: str, undefined_length: bool) -> Encoder:
    return Encoder(syntax or EXPLICIT_LE, charset=charset, undefined_length=undefined_length)


@lru_cache(maxsize=4096)
def _device_layer(device: Device, encoder: Encoder) -> dict[int, bytes]:
    """Elements of the device; a name that the character set lacks is written in ASCII."""
    return encoder.elements(device.description, device.blocks)
