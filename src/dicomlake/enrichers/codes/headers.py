"""What of a series may say something: columns of its row, and code sequences at any depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dicomlake.contracts.enrichers import Subject
from dicomlake.terms import Code
from dicomlake.terms.bodyparts import Evidence
from dicomlake.terms.seriestypes import Series

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_FRAMES = tuple(f"{group}.FrameAnatomySequence" for group in _GROUPS)
_REQUEST = "RequestAttributesSequence"
_SPECIMEN = "SpecimenDescriptionSequence.PrimaryAnatomicStructureSequence"

# Where the codes of each attribute of the evidence stand.
_EVIDENCE: dict[str, tuple[str, ...]] = {
    "AnatomicRegionSequence": (
        "AnatomicRegionSequence", *(f"{frames}.AnatomicRegionSequence" for frames in _FRAMES)
    ),
    "AnatomicRegionModifierSequence": (
        "AnatomicRegionSequence.AnatomicRegionModifierSequence",
        *(f"{frames}.AnatomicRegionSequence.AnatomicRegionModifierSequence" for frames in _FRAMES),
        "PrimaryAnatomicStructureSequence.PrimaryAnatomicStructureModifierSequence",
        f"{_SPECIMEN}.PrimaryAnatomicStructureModifierSequence",
    ),
    "PrimaryAnatomicStructureSequence": (
        "PrimaryAnatomicStructureSequence",
        *(f"{frames}.PrimaryAnatomicStructureSequence" for frames in _FRAMES),
        _SPECIMEN,
    ),
    "ProcedureCodeSequence": ("ProcedureCodeSequence",),
    "RequestedProcedureCodeSequence": (
        "RequestedProcedureCodeSequence", f"{_REQUEST}.RequestedProcedureCodeSequence"
    ),
}  # fmt: skip
_OTHER_CODES = (
    "ViewCodeSequence",
    "ViewCodeSequence.ViewModifierCodeSequence",
    "PerformedProtocolCodeSequence",
    f"{_REQUEST}.ScheduledProtocolCodeSequence",
    "ContrastBolusAgentSequence",
    "RadiopharmaceuticalInformationSequence.RadionuclideCodeSequence",
    "RadiopharmaceuticalInformationSequence.RadiopharmaceuticalCodeSequence",
    "PatientOrientationCodeSequence",
    "PatientGantryRelationshipCodeSequence",
    "AcquisitionDeviceTypeCodeSequence",
    "ConceptNameCodeSequence",
)
_ATTRIBUTE_OF = {path: name for name, paths in _EVIDENCE.items() for path in paths}
_CODED = frozenset([*_ATTRIBUTE_OF, *_OTHER_CODES])
_LATERALITY = tuple(f"{frames}.FrameLaterality" for frames in _FRAMES)
_REQUESTED = f"{_REQUEST}.RequestedProcedureDescription"
_ORIENTATION = tuple(
    f"{group}.PlaneOrientationSequence.ImageOrientationPatient" for group in _GROUPS
)

PATHS = (
    *sorted(_CODED), *_LATERALITY, *_ORIENTATION, _REQUESTED, "ImageLaterality", "CorrectedImage",
    "AttenuationCorrectionMethod",
)  # fmt: skip
"""Paths of all elements that are read."""

Places = tuple[tuple[str, str], ...]
"""Attributes of the evidence that stand deeper than their name says, with their paths."""


class Sent(NamedTuple):
    """A code as it was sent, and the path of its sequence."""

    path: str
    code: Code


class Header(NamedTuple):
    """What is known of a series, ready to be judged; equal where headers say the same."""

    evidence: Evidence
    places: Places
    series: Series
    codes: tuple[Sent, ...]


def of(subject: Subject) -> Header:
    """What the header of a series says."""
    row, elements = subject.series, subject.elements
    coded, places = dict[str, tuple[Code, ...]](), list[tuple[str, str]]()
    for attribute in sorted({_ATTRIBUTE_OF[path] for path in elements if path in _ATTRIBUTE_OF}):
        found = [path for path in _EVIDENCE[attribute] if path in elements]
        codes = dict.fromkeys(code for path in found for code in _codes(elements[path]))
        coded[attribute] = tuple(codes)
        if found[0] != attribute:
            places.append((attribute, found[0]))
    requested = row["RequestedProcedureDescription"]
    if not requested and (asked := _texts(elements, _REQUESTED)):
        requested = asked[0]
        places.append(("RequestedProcedureDescription", _REQUESTED))
    frames = [path for path in _LATERALITY if path in elements]
    if frames:
        places.append(("FrameLaterality", frames[0]))
    evidence = Evidence(
        Modality=row["Modality"] or "",
        BodyPartExamined=row["BodyPartExamined"] or "",
        Laterality=row["Laterality"] or "",
        ImageLaterality=_side(_texts(elements, "ImageLaterality")) or row["ImageLaterality"] or "",
        FrameLaterality=_side([text for path in frames for text in _texts(elements, path)]),
        SeriesDescription=row["SeriesDescription"] or "",
        ProtocolName=row["ProtocolName"] or "",
        StudyDescription=row["StudyDescription"] or "",
        RequestedProcedureDescription=requested or "",
        PerformedProcedureStepDescription=row["PerformedProcedureStepDescription"] or "",
        ImageType=tuple(row["ImageType"] or ()),
        **coded,
    )
    return Header(evidence, tuple(places), _series(row, elements), tuple(_sent(elements)))


def _series(row: Mapping[str, Any], elements: Mapping[str, Sequence[Mapping[str, Any]]]) -> Series:
    oriented = tuple(round(number, 3) for number in row["ImageOrientationPatient"] or ())
    views = elements.get("ViewCodeSequence", ())
    return Series(
        Modality=row["Modality"] or "",
        SOPClassUID=row["SOPClassUID"] or "",
        ImageType=tuple(row["ImageType"] or ()),
        SeriesDescription=row["SeriesDescription"] or "",
        ProtocolName=row["ProtocolName"] or "",
        StudyDescription=row["StudyDescription"] or "",
        ImageOrientationPatient=oriented or _oriented(elements),
        ContrastBolusAgent=row["ContrastBolusAgent"] or "",
        ConvolutionKernel=tuple(row["ConvolutionKernel"] or ()),
        ViewPosition=row["ViewPosition"] or "",
        ViewCodeSequence=tuple(_codes(views)),
        ScanningSequence=tuple(row["ScanningSequence"] or ()),
        SequenceName=row["SequenceName"] or "",
        EchoTime=row["EchoTime"],
        RepetitionTime=row["RepetitionTime"],
        InversionTime=row["InversionTime"],
        FlipAngle=row["FlipAngle"],
        DiffusionBValue=_values(row, "DiffusionBValue"),
        CorrectedImage=tuple(_texts(elements, "CorrectedImage")),
        AttenuationCorrectionMethod="".join(_texts(elements, "AttenuationCorrectionMethod")[:1]),
    )


def _values(row: Mapping[str, Any], keyword: str) -> tuple[float, ...]:
    """The value of most instances, the smallest and the largest one, each once."""
    found = (row[keyword], row[f"{keyword}_min"], row[f"{keyword}_max"])
    return tuple(dict.fromkeys(number for number in found if number is not None))


def _codes(rows: Sequence[Mapping[str, Any]]) -> list[Code]:
    return [
        Code(row["code_value"], row["code_scheme"] or "", row["code_meaning"] or "")
        for row in rows
        if row["code_value"]
    ]


def _texts(elements: Mapping[str, Sequence[Mapping[str, Any]]], path: str) -> list[str]:
    return [row["text"] for row in elements.get(path, ()) if row["text"]]


def _side(texts: Sequence[str]) -> str:
    """One side of all frames or images; both where there are left and right ones."""
    sides = set(texts) & {"L", "R", "B"}
    return sides.pop() if len(sides) == 1 else "B" if sides else ""


def _oriented(elements: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[float, ...]:
    """Cosines of the frames where all of them have the same."""
    for path in _ORIENTATION:
        rows = elements.get(path, ())
        if len(rows) == 6 and not any(row["folded"] for row in rows):
            by_place = {row["position"]: row["number"] for row in rows}
            if set(by_place) == {1, 2, 3, 4, 5, 6}:
                return tuple(round(by_place[at], 3) for at in range(1, 7))
    return ()


def _sent(elements: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Sent]:
    """Every code that is looked at, once."""
    for path in sorted(elements):
        if path in _CODED:
            for code in dict.fromkeys(_codes(elements[path])):
                yield Sent(path, code)
