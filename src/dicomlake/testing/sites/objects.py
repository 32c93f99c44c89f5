"""DICOM objects of the sites: small CTs, ECGs in whatever a device writes, reports of labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dicomlake.terms import Code
from dicomlake.testing import ecgfiles
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.images import STORAGE
from dicomlake.testing.hospital.reports import code, container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomlake.testing.dicom import Value
    from dicomlake.testing.sites.houses import Words
    from dicomlake.testing.sites.patients import Patient

SLICES = 3
SUFFIXES = {"dicom": ".dcm", "scp": ".scp", "aecg": ".xml", "muse": ".xml", "sierra": ".xml"}
LABELS = {
    "pacemaker": c.sct("441509002", "Cardiac pacemaker in situ"),
    "tavi": c.sct("725351001", "Transcatheter aortic valve implantation"),
    "fibrillation": c.sct("49436004", "Atrial fibrillation"),
}
"""Fields of a patient and the code that all sites come down to."""
_REPORT = Code("18748-4", "LN", "Diagnostic imaging study")


def _person(who: Patient) -> dict[str, Value]:
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": f"{who.family}^{who.given}",
        "PatientID": who.id,
        "IssuerOfPatientID": who.site,
        "PatientBirthDate": who.born,
        "PatientSex": who.sex,
        "InstitutionName": who.site,
    }


def _study(who: Patient, what: str, when: datetime) -> dict[str, Value]:
    return {
        "StudyInstanceUID": uid("sites", who.site, who.number, what),
        "SeriesInstanceUID": uid("sites", who.site, who.number, what, "series"),
        "StudyDate": when,
        "StudyTime": when,
        "AccessionNumber": f"{who.site[0]}{what[0].upper()}{who.number:06d}",
    }


def ct(who: Patient, what: str, words: Words) -> Iterator[bytes]:
    """The images of a CT, called as the site calls it."""
    when = who.seen + timedelta(days=2 if what == "heart" else 9)
    study = _study(who, what, when)
    for number in range(SLICES):
        named: dict[str, Value] = {
            "StudyDescription": words.study,
            "SeriesDescription": words.series,
            "SOPInstanceUID": uid(study["SeriesInstanceUID"], number),
            "InstanceNumber": number + 1,
            "ImagePositionPatient": [-50, -50, 5 * number],
            "SliceLocation": 5 * number,
            "FrameOfReferenceUID": uid(study["SeriesInstanceUID"], "frame of reference"),
        }
        if words.body_part is not None:
            named["BodyPartExamined"] = words.body_part
        yield encode(image(**_person(who), **study, **named))


def ecg(who: Patient, kind: str) -> bytes:
    """The ECG of a patient as one kind of device writes it."""
    made = ecgfiles.made(
        who.number,
        spikes=who.pacemaker,
        seconds=2,
        patient_id=who.id,
        family=who.family,
        given=who.given,
        sex=who.sex,
        born=who.born,
        moment=who.seen,
        institution=who.site,
        statements=("Atrial fibrillation", "Abnormal ECG")
        if who.fibrillation
        else ("Sinus rhythm", "Normal ECG"),
    )
    if kind == "dicom":
        return ecgfiles.dicom(made, IssuerOfPatientID=who.site)
    writer = {"scp": ecgfiles.scp, "aecg": ecgfiles.aecg, "muse": ecgfiles.muse,
              "sierra": ecgfiles.sierra}[kind]  # fmt: skip
    return writer(made)


def report(who: Patient) -> bytes:
    """A structured report with a finding for each label that a patient has."""
    found = [
        code(c.FINDING, meant, relation="CONTAINS")
        for name, meant in LABELS.items()
        if getattr(who, name)
    ]
    root = container(_REPORT, *found)
    del root["RelationshipType"]
    return encode(
        {
            **_person(who),
            **_study(who, "report", who.seen + timedelta(days=1)),
            **root,
            "SOPClassUID": STORAGE + "88.22",
            "SOPInstanceUID": uid("sites", who.site, who.number, "report", "instance"),
            "Modality": "SR",
            "SeriesNumber": 1,
            "InstanceNumber": 1,
            "ContentDate": who.seen,
            "ContentTime": who.seen,
            "StudyID": "",
            "ReferringPhysicianName": "",
            "Manufacturer": "dicomlake",
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "UNVERIFIED",
            "PerformedProcedureCodeSequence": [],
            "ReferencedPerformedProcedureStepSequence": None,
        }
    )
