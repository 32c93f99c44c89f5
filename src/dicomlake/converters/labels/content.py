"""Structured reports written: content items of a tree, and the document around it (PS3.3 A.35)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from dicomlake.terms import Code
from dicomlake.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
CONTAINS, CONTEXT, MODIFIES = "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD"
"""Relationships of an item with the one above it."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a document says besides its tree: whose it is, of which study and when.

    `patient` and `study`: attributes by keyword; `evidence`: headers of objects that the tree
    refers to.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SeriesDescription: str
    number: int
    when: datetime
    patient: Mapping[str, str] = field(default_factory=dict)
    study: Mapping[str, str] = field(default_factory=dict)
    evidence: Sequence[Dataset] = ()


def coded(code: Code) -> Dataset:
    """An item of a code sequence (PS3.3 8.8); long values go where there is room for them."""
    from pydicom import Dataset

    item = Dataset()
    setattr(item, "CodeValue" if len(code.value) <= 16 else "LongCodeValue", code.value)
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning[:64]
    return item


def _item(kind: str, concept: Code | None, relation: str) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.RelationshipType = relation
    item.ValueType = kind
    if concept is not None:
        item.ConceptNameCodeSequence = [coded(concept)]
    return item


def container(concept: Code, children: Iterable[Dataset], template: str = "") -> Dataset:
    """A CONTAINER, following a template of PS3.16 when one is named."""
    from pydicom import Dataset

    item = _item("CONTAINER", concept, CONTAINS)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        said = Dataset()
        said.MappingResource, said.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [said]
    item.ContentSequence = list(children)
    return item


def code(concept: Code, value: Code, relation: str = CONTAINS) -> Dataset:
    """A CODE item."""
    item = _item("CODE", concept, relation)
    item.ConceptCodeSequence = [coded(value)]
    return item


def number(concept: Code, value: float, unit: Code, relation: str = CONTAINS) -> Dataset:
    """A NUM item; the decimal string is as exact as its 16 characters can be."""
    from pydicom import Dataset
    from pydicom.valuerep import DSfloat

    item = _item("NUM", concept, relation)
    said = Dataset()
    short = f"{value:.10g}"
    exact = len(short) <= 16 and float(short) == value
    said.NumericValue = DSfloat(short) if exact else DSfloat(value, auto_format=True)
    said.MeasurementUnitsCodeSequence = [coded(unit)]
    item.MeasuredValueSequence = [said]
    return item


def text(concept: Code, value: str, relation: str = CONTAINS) -> Dataset:
    """A TEXT item."""
    item = _item("TEXT", concept, relation)
    item.TextValue = value
    return item


def uid(concept: Code, value: str, relation: str = CONTAINS) -> Dataset:
    """A UIDREF item."""
    item = _item("UIDREF", concept, relation)
    item.UID = value
    return item


def image(concept: Code, header: Dataset) -> Dataset:
    """An IMAGE item that refers to an object by its header."""
    item = _item("IMAGE", concept, CONTAINS)
    item.ReferencedSOPSequence = [reference(header)]
    return item


def reference(header: Dataset) -> Dataset:
    """A reference to an object by its header."""
    from pydicom import Dataset

    found = Dataset()
    found.ReferencedSOPClassUID = header.SOPClassUID
    found.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return found


def document(root: Dataset, head: Head) -> Dataset:
    """A Comprehensive SR with a tree, ready to be written."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    said = Dataset()
    said.update({element.tag: element for element in root if element.keyword != "RelationshipType"})
    day, time = f"{head.when:%Y%m%d}", f"{head.when:%H%M%S}"
    said.SpecificCharacterSet = "ISO_IR 192"
    said.SOPClassUID, said.SOPInstanceUID = COMPREHENSIVE_SR, head.SOPInstanceUID
    said.StudyInstanceUID, said.SeriesInstanceUID = head.StudyInstanceUID, head.SeriesInstanceUID
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(said, keyword, "")
    for keyword in ("ReferringPhysicianName", "StudyID", "AccessionNumber"):
        setattr(said, keyword, "")
    said.StudyDate, said.StudyTime = day, time
    for keyword, value in {**head.patient, **head.study}.items():
        setattr(said, keyword, value)
    said.Modality, said.SeriesNumber, said.InstanceNumber = "SR", 900, head.number
    said.SeriesDescription = head.SeriesDescription[:64]
    said.Manufacturer, said.ManufacturerModelName = "dicomlake", "labels"
    said.SoftwareVersions = __version__[:64]
    said.ContentDate, said.ContentTime = day, time
    said.CompletionFlag, said.VerificationFlag = "COMPLETE", "UNVERIFIED"
    said.ReferencedPerformedProcedureStepSequence = []
    said.PerformedProcedureCodeSequence = []
    if head.evidence:
        said.CurrentRequestedProcedureEvidenceSequence = _evidence(head.evidence)
    said.file_meta = FileMetaDataset()
    said.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    said.file_meta.MediaStorageSOPClassUID = UID(COMPREHENSIVE_SR)
    said.file_meta.MediaStorageSOPInstanceUID = UID(head.SOPInstanceUID)
    return said


def _evidence(headers: Sequence[Dataset]) -> list[Dataset]:
    """What the tree refers to, by study and series (PS3.3 C.17.2.1)."""
    from pydicom import Dataset

    studies: dict[str, dict[str, list[Dataset]]] = {}
    for header in headers:
        series = studies.setdefault(header.StudyInstanceUID, {})
        series.setdefault(header.SeriesInstanceUID, []).append(reference(header))
    found = []
    for study, of in studies.items():
        one = Dataset()
        one.StudyInstanceUID = study
        one.ReferencedSeriesSequence = []
        for series_uid, references in of.items():
            series_item = Dataset()
            series_item.SeriesInstanceUID = series_uid
            series_item.ReferencedSOPSequence = references
            one.ReferencedSeriesSequence.append(series_item)
        found.append(one)
    return found
