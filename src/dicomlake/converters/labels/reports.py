"""Rows as structured reports: measurements (TID 1500), histories (TID 3802), devices."""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dicomlake.contracts.converters import Asked
from dicomlake.converters.labels import content
from dicomlake.converters.labels.content import CONTEXT, MODIFIES, Head
from dicomlake.converters.labels.mapping import HISTORY, QUALITY, SECTIONS, Spec
from dicomlake.converters.labels.reading import Read, Said
from dicomlake.errors import DataError
from dicomlake.terms import Code
from dicomlake.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

_LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
_ENGLISH = Code("en", "RFC5646", "English")
_OBSERVER = Code("121005", "DCM", "Observer Type")
_DEVICE = Code("121007", "DCM", "Device")
_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
_PROCEDURE = Code("121058", "DCM", "Procedure reported")
_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
_GROUP = Code("125007", "DCM", "Measurement Group")
_TRACKING = Code("112039", "DCM", "Tracking Identifier")
_TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
_SITE = Code("363698007", "SCT", "Finding Site")
_LATERALITY = Code("272741003", "SCT", "Laterality")
_SOURCE = Code("121112", "DCM", "Source of Measurement")
_HISTORY = Code("11329-0", "LN", "History")
_SUBJECT = Code("121024", "DCM", "Subject Class")
_DEVICE_SUBJECT = Code("121192", "DCM", "Device Subject")
_SUBJECT_ITEMS = {
    "StationName": Code("121193", "DCM", "Device Subject Name"),
    "Manufacturer": Code("121194", "DCM", "Device Subject Manufacturer"),
    "ManufacturerModelName": Code("121195", "DCM", "Device Subject Model Name"),
    "DeviceSerialNumber": Code("121196", "DCM", "Device Subject Serial Number"),
}
_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID",
          "StudyDescription")  # fmt: skip
_KEYS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber")
MOST_LOOKED_UP = 500
"""Rows whose images are remembered, for rows of the same study that follow."""
MOST_REFERENCES = 4096
"""Instances of a series that a report refers to; of longer ones the first is named alone."""


@dataclass(frozen=True, slots=True)
class _Images:
    """What a row is about: one header of the study, and the objects that it refers to."""

    first: Dataset | None = None
    referred: tuple[Dataset, ...] = ()


class Reports:
    """Makes a report of each row of a table; reports of a study are one series."""

    def __init__(self, spec: Spec, asked: Asked) -> None:
        self._spec, self._asked = spec, asked
        self._numbers: Counter[int] = Counter()  # by hash, so that long tables fit
        self._known: Counter[int] = Counter()
        self._images: OrderedDict[tuple[tuple[str, str], ...], _Images] = OrderedDict()

    def report(self, row: Read) -> Dataset | None:
        """The report of a row; None when it says nothing. DataError says why there is none."""
        if not row.said:
            return None
        if self._spec.to == QUALITY:
            return self._quality(row)
        images = self._images_of(row.who)
        patient = self._patient(row.who, images)
        study = self._study_uid(row, images, patient)
        head = self._head(row, study, patient, _told(images.first, _STUDY), images.referred)
        tree = (
            _history(row.said)
            if self._spec.to == HISTORY
            else self._measured(row.said, head, images.referred)
        )
        return content.document(tree, head)

    # Whose, and of which study

    def _images_of(self, who: Mapping[str, str]) -> _Images:
        keys = {name: who[name] for name in _KEYS if name in who}
        people = {name: who[name] for name in ("PatientID", "IssuerOfPatientID") if name in who}
        known = tuple(sorted({**keys, **people}.items()))
        if known not in self._images:
            self._images[known] = self._looked_up(keys, people)
            if len(self._images) > MOST_LOOKED_UP:
                self._images.popitem(last=False)
        self._images.move_to_end(known)
        return self._images[known]

    def _looked_up(self, keys: Mapping[str, str], people: Mapping[str, str]) -> _Images:
        find = self._asked.find
        if find is None:
            if keys and self._spec.images == "refuse":
                raise DataError("its images cannot be looked for: name a lake, or --images FOLDER")
            return _Images()
        if not keys:
            return _Images(next(iter(find(people)), None) if "PatientID" in people else None)
        found = find(keys)
        if not found:
            if self._spec.images == "refuse":
                raise DataError(f"nothing is there with its {next(iter(keys))}")
            return _Images()
        for name, value in people.items():
            if any(str(one.get(name) or "") not in ("", value) for one in found):
                raise DataError(f"its images have another {name}")
        studies = {str(one.StudyInstanceUID) for one in found}
        if len(studies) > 1:
            raise DataError(f"{len(studies)} studies have its {next(iter(keys))}")
        if "SOPInstanceUID" in keys:
            return _Images(found[0], tuple(found))
        if "SeriesInstanceUID" in keys:
            return _Images(found[0], tuple(self._series(found[0])))
        return _Images(found[0])

    def _series(self, header: Dataset) -> list[Dataset]:
        if self._asked.series is None:
            return [header]
        found = self._asked.series(str(header.SeriesInstanceUID))
        found.sort(key=lambda one: (int(one.get("InstanceNumber") or 0), one.SOPInstanceUID))
        return found if len(found) <= MOST_REFERENCES else found[:1]

    def _patient(self, who: Mapping[str, str], images: _Images) -> dict[str, str]:
        told = {name: value for name, value in who.items() if name in _PATIENT}
        found = {**_told(images.first, _PATIENT), **told}
        if not found.get("PatientID"):
            raise DataError("it says no patient")
        return found

    def _study_uid(self, row: Read, images: _Images, patient: Mapping[str, str]) -> str:
        by_images = {"StudyInstanceUID", "AccessionNumber", "SeriesInstanceUID", "SOPInstanceUID"}
        if images.first is not None and by_images & set(row.who):
            return str(images.first.StudyInstanceUID)
        if uid := row.who.get("StudyInstanceUID"):
            return uid
        whose = (patient.get("IssuerOfPatientID", ""), patient["PatientID"])
        when = f"{row.when:%Y%m%d}" if row.when else ""
        return self._asked.uid("study", *whose, row.who.get("AccessionNumber", ""), when)

    def _head(
        self,
        row: Read,
        study: str,
        patient: Mapping[str, str],
        said: Mapping[str, str],
        referred: Sequence[Dataset],
    ) -> Head:
        title = self._spec.title
        where = tuple(row.who.get(name, "") for name in _KEYS[:2])
        when = f"{row.when:%Y%m%d%H%M%S}" if row.when else ""
        identity = (title, study, *where, when)
        once, of_study = hash(identity), hash(study)
        self._known[once] += 1
        self._numbers[of_study] += 1
        told = dict(said)
        if "AccessionNumber" in row.who:
            told.setdefault("AccessionNumber", row.who["AccessionNumber"])
        return Head(
            study,
            self._asked.uid("series", "labels", title, study),
            self._asked.uid("instance", "labels", *identity, str(self._known[once])),
            title,
            self._numbers[of_study],
            row.when or datetime.now(UTC),
            patient,
            told,
            referred,
        )

    # Trees

    def _context(self) -> list[Dataset]:
        """Language and observer (TID 1204, 1001, 1002, 1004)."""
        observer = self._asked.uid("device", "labels")
        return [
            content.code(_LANGUAGE, _ENGLISH, MODIFIES),
            content.code(_OBSERVER, _DEVICE, CONTEXT),
            content.uid(_OBSERVER_UID, observer, CONTEXT),
            content.text(_OBSERVER_NAME, f"dicomlake {__version__}", CONTEXT),
        ]

    def _measured(
        self, said: Sequence[Said], head: Head, referred: Sequence[Dataset],
        subject: Sequence[Dataset] = (),
    ) -> Dataset:  # fmt: skip
        """A measurement report with a group for each site (TID 1500, 1501)."""
        places = dict.fromkeys((one.label.site, one.label.laterality) for one in said)
        groups = []
        for at, (site, side) in enumerate(places, 1):
            here = [o for o in said if (o.label.site, o.label.laterality) == (site, side)]
            items = [
                content.text(_TRACKING, f"{head.SeriesDescription} {at}", CONTEXT),
                content.uid(
                    _TRACKING_UID, self._asked.uid("tracking", head.SOPInstanceUID, at), CONTEXT
                ),
                *_placed(site, side),
                *[content.image(_SOURCE, header) for header in referred],
                *[_stated(one) for one in here],
            ]
            groups.append(content.container(_GROUP, items, "1501"))
        context = [*self._context(), *subject]
        reported = content.code(_PROCEDURE, self._spec.procedure, MODIFIES)
        measured = content.container(_MEASUREMENTS, groups)
        return content.container(_REPORT, [*context, reported, measured], "1500")

    def _quality(self, row: Read) -> Dataset:
        """A report about a device, of a study of its own for each day."""
        device = {name: row.who[name] for name in _SUBJECT_ITEMS if row.who.get(name)}
        name = device.get("DeviceSerialNumber") or device.get("StationName")
        if not name:
            raise DataError("it says no device")
        when = f"{row.when:%Y%m%d}" if row.when else ""
        patient = {
            "PatientID": row.who.get("PatientID", f"QA-{name}"[:64]),
            "PatientName": row.who.get("PatientName", "Phantom"),
            "QualityControlSubject": "YES",
        }
        study = self._asked.uid("quality", *device.values(), when)
        head = self._head(row, study, patient, {"StudyDescription": "Quality assurance"}, ())
        subject = [content.code(_SUBJECT, _DEVICE_SUBJECT, CONTEXT)]
        subject += [content.text(_SUBJECT_ITEMS[n], value, CONTEXT) for n, value in device.items()]
        found = content.document(self._measured(row.said, head, (), subject), head)
        for keyword, value in device.items():
            setattr(found, keyword, value)
        return found


def _history(said: Sequence[Said]) -> Dataset:
    """A history with its sections (after TID 3802)."""
    sections = []
    for name, concept in SECTIONS.items():
        here = [one for one in said if one.label.section == name]
        if here:
            sections.append(content.container(concept, [_stated(one) for one in here]))
    language = content.code(_LANGUAGE, _ENGLISH, MODIFIES)
    return content.container(_HISTORY, [language, *sections], "3802")


def _stated(one: Said) -> Dataset:
    """What a label says as a content item."""
    concept = one.label.concept
    if isinstance(one.value, Code):
        return content.code(concept or Code("29308-4", "LN", "Diagnosis"), one.value)
    assert concept is not None
    if isinstance(one.value, str):
        return content.text(concept, one.value)
    assert one.label.unit is not None
    return content.number(concept, one.value, one.label.unit)


def _placed(site: Code | None, side: Code | None) -> Iterator[Dataset]:
    if site is not None:
        place = content.code(_SITE, site)
        place.RelationshipType = MODIFIES
        if side is not None:
            place.ContentSequence = [content.code(_LATERALITY, side, MODIFIES)]
        yield place
    elif side is not None:
        yield content.code(_LATERALITY, side, MODIFIES)


def _told(header: Dataset | None, keywords: Sequence[str]) -> dict[str, str]:
    """What a header says that may be said again; what is no value of its VR is left out."""
    from pydicom import config
    from pydicom.valuerep import validate_value

    found = {}
    for name in keywords:
        if header is not None and header.get(name):
            with contextlib.suppress(ValueError):
                validate_value(header[name].VR, str(header[name].value), config.RAISE)
                found[name] = str(header[name].value)
    return found
