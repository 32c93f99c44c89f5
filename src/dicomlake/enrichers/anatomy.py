"""Anatomy: structures that a segmenter sees in a series, with volume, mean value and place.

One class does it for every segmenter. Masks are thrown away unless the option `keep` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from dicomlake import plugins
from dicomlake.contracts import coded
from dicomlake.contracts.enrichers import (
    DONE,
    FAILED,
    HEADERS,
    SKIPPED,
    Enriched,
    Hardware,
    Subject,
    each,
)
from dicomlake.contracts.segmenters import (
    Labels,
    Measured,
    Segmenter,
    SegmenterClass,
    Stack,
    StackReader,
    measured,
)
from dicomlake.errors import DataError, UsageError
from dicomlake.terms import structures

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

MASKS = "_masks"
"""Folder of the lake for masks that are kept."""
KINDS = ("seg", "nifti")


class AnatomyEnricher:
    """What a segmenter sees, as annotations; subclasses name the segmenter."""

    name = ""
    about = ""
    version = ""
    hardware: Hardware = "cpu"
    reads: tuple[str, ...] = (HEADERS,)
    writes: tuple[str, ...] = ("structure", "tissue", "finding")
    after: tuple[str, ...] = ()
    at_once = 1

    def __init__(
        self,
        lake: Path,
        options: Mapping[str, str],
        *,
        segmenter: SegmenterClass | None = None,
        reader: StackReader | None = None,
    ) -> None:
        options = dict(options)
        self._keep = _kinds(self.name, options.pop("keep", ""))
        made = segmenter or plugins.load("segmenters", self.name)
        self._segmenter: Segmenter = made(options)
        self.hardware = "cpu" if options.get("device") == "cpu" else type(self).hardware
        if why := self._segmenter.missing():
            raise UsageError(why)
        self._reader: StackReader = reader or plugins.load("readers", "volume")()
        self._masks = lake / MASKS / self.name
        self.version = self._segmenter.version
        self.model = f"{self._segmenter.model()}; codes {structures.digest()}"

    def where(self) -> str:
        """Series of the modalities that the segmenter takes."""
        listed = ", ".join(f"'{modality}'" for modality in self._segmenter.modalities)
        return f'"Modality" in ({listed})'

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """What the segmenter sees in each series; skipped with the reason where it sees none."""
        return each(subjects, self._say)

    def close(self) -> None:
        """End the process of the segmenter, if it has one."""
        self._segmenter.close()

    def _say(self, subject: Subject) -> Enriched:
        headers = [orjson.loads(row["header"] or b"{}") for row in subject.instances]
        try:
            stack = self._reader.stack(headers)
        except DataError as error:
            return Enriched(SKIPPED, str(error))
        if why := self._segmenter.refuses(stack):
            return Enriched(SKIPPED, why)
        try:
            labels = self._segment(subject, stack)
        except DataError as error:
            return Enriched(FAILED, str(error))
        rows = [_row(one, labels) for one in measured(labels)]
        return Enriched(DONE, annotations=rows, kept=self._kept(subject, headers, labels))

    def _segment(self, subject: Subject, stack: Stack) -> Labels:
        def opener(item: int) -> AbstractContextManager[Any]:
            assert subject.open is not None
            return subject.open(subject.instances[item])

        return self._segmenter.segment(self._reader.volume(stack, opener))

    def _kept(
        self, subject: Subject, headers: Sequence[Mapping[str, Any]], labels: Labels
    ) -> list[str]:
        """URIs of the masks of a series, written where they were asked for."""
        return list(self._written(subject, headers, labels)) if self._keep else []

    def _written(
        self, subject: Subject, headers: Sequence[Mapping[str, Any]], labels: Labels
    ) -> Iterator[str]:
        from dicomlake.enrichers import masks

        self._masks.mkdir(parents=True, exist_ok=True)
        stem = self._masks / str(subject.series["SeriesInstanceUID"])
        if "nifti" in self._keep:
            yield masks.write_nifti(stem.with_name(f"{stem.name}.nii.gz"), labels).as_uri()
        if "seg" in self._keep:
            path = stem.with_name(f"{stem.name}.dcm")
            said = (self.name, self.version, self.model)
            yield masks.write_seg(path, labels, headers, said).as_uri()


class HounsfieldEnricher(AnatomyEnricher):
    """Body, lungs, bone, air and fat of CT, by Hounsfield ranges."""

    name = "hounsfield"
    about = (
        "Body, lungs, bone, air and fat of CT with their volumes, by Hounsfield ranges, "
        "not by a trained network."
    )
    version = "1"


class TotalSegmentatorEnricher(AnatomyEnricher):
    """Organs, bones, muscles and vessels of CT and MR, by TotalSegmentator."""

    name = "totalsegmentator"
    about = "Organs, bones, muscles and vessels with their volumes, by TotalSegmentator."
    version = "1"
    hardware: Hardware = "gpu"


def _kinds(name: str, said: str) -> frozenset[str]:
    """The forms of masks to be kept: "seg", "nifti" or both with a comma."""
    found = frozenset(word.strip() for word in said.split(",") if word.strip())
    if unknown := sorted(found - set(KINDS)):
        raise UsageError(
            f"The enricher {name} cannot keep masks as {unknown[0]!r}. "
            f"The option keep takes {' or '.join(KINDS)}, or both with a comma."
        )
    if "seg" in found:
        from dicomlake.enrichers.masks import missing

        if why := missing():
            raise UsageError(why)
    return found


def _row(one: Measured, labels: Labels) -> dict[str, Any]:
    """A structure as a row of `annotations`."""
    known = structures.of(one.label)
    return {
        "kind": known.kind,
        "label": one.label,
        **coded("structure", known.structure),
        "laterality": coded("laterality", known.laterality).get("laterality"),
        **coded("code", known.code),
        "name": known.name,
        "also": list(known.also) or None,
        "equivalence": known.equivalence or None,
        "volume": round(one.volume, 3),
        "intensity": round(one.intensity, 2),
        "complete": one.complete,
        "box": list(one.box),
        "grid": round(max(labels.grid.spacing), 4),
    }
