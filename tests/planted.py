"""A lake of people who must not be told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dicomlake
from dicomlake.jobs.index import index
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.testing import hospital
from dicomlake.testing.dicom import encode, image
from dicomlake.testing.histories import rows

MARK = "QZSECRET"
"""Stands in everything that tells of a person."""
ROOT = "1.2.826.0.1.3680043.77771"
STUDY, SERIES, INSTANCE = f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1"
OTHER = f"{ROOT}.2"
KEY = "0123456789abcdef0123456789abcdef-door"


def planted(**more: Any) -> dict[str, Any]:
    """An object that says the mark wherever something tells of a person."""
    said: dict[str, Any] = dict(
        Modality="MR", PatientName=f"{MARK}^Ann", PatientID=f"{MARK}-1", OtherPatientIDs=f"{MARK}2",
        PatientBirthDate="19310704", PatientAddress=f"{MARK} Street 1",
        PatientTelephoneNumbers=f"0431 {MARK}", PatientComments=f"Mrs {MARK} was afraid",
        ReferringPhysicianName=f"{MARK}^Doctor", OperatorsName=f"{MARK}^Operator",
        InstitutionName=f"{MARK} Hospital", InstitutionAddress=f"{MARK} Road",
        AccessionNumber=f"{MARK}A", StudyID=f"{MARK}S", StudyDescription=f"MRI of {MARK} Ann",
        SeriesDescription=f"T1 {MARK}", ProtocolName=f"Brain {MARK}^Ann",
        RequestingPhysician=f"{MARK}^Asker", ImageComments=f"seen by {MARK}",
        StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=INSTANCE,
        FrameOfReferenceUID=f"{ROOT}.9",
        **{'(0029,"QZ HEADER",08)': ("LO", MARK)},
    )  # fmt: skip
    return {**said, **more}


def objects() -> dict[str, bytes]:
    """Files beside those of the hospital."""
    second = {"SeriesInstanceUID": f"{ROOT}.1.2", "SOPInstanceUID": f"{ROOT}.1.2.1"}
    other = {
        "StudyInstanceUID": OTHER, "SeriesInstanceUID": f"{OTHER}.1",
        "SOPInstanceUID": f"{OTHER}.1.1", "PatientID": f"{MARK}-other", "Modality": "CT",
    }  # fmt: skip
    return {
        f"{MARK}_1": encode(image(**planted())),
        f"{MARK}_2": encode(image(**planted(**second))),
        f"{MARK}_3": encode(image(**planted(**other))),
    }


def make_files(folder: Path) -> Path:
    """The files, in folders named like patients."""
    hospital.write(folder / "files", 3, pixels=False, seed=5)
    (folder / "files" / MARK).mkdir(parents=True)
    for name, content in objects().items():
        (folder / "files" / MARK / f"{name}.dcm").write_bytes(content)
    return folder / "files"


def make_lake(folder: Path) -> Path:
    """A lake of them."""
    index([make_files(folder)], folder / "lake", workers=1)
    _tell(Store(folder / "lake"))
    return folder / "lake"


def _tell(store: Store) -> None:
    """Facts and documents that say the mark wherever a hospital may write freely."""
    said: dict[str, Any] = dict(
        PatientID=f"{MARK}-1", AccessionNumber=f"{MARK}A", encounter=f"{MARK}E", status=MARK,
        source=MARK, identifier=f"{MARK}I", origin=MARK, text=f"Mrs {MARK}", run_id=MARK,
    )  # fmt: skip
    day = datetime(2014, 5, 3, tzinfo=UTC)
    facts = [
        {**said, "kind": "procedure", "code": "SCT:90470006", "started": day,
         "code_meaning": f"Prostatectomy of {MARK} Ann"},
        {**said, "kind": "condition", "code": "99HOUSE:7", "code_meaning": MARK,
         "value": f"99HOUSE:{MARK} {MARK}", "value_meaning": MARK},
        {**said, "kind": "observation", "code": "LN:2857-1", "code_meaning": "PSA", "number": 4.5,
         "unit": f"{{{MARK}}}/mL", "quantity": 4.5, "quantity_unit": f"{{{MARK}}}/mL"},
        {**said, "kind": "encounter", "code": f"99HOUSE:{MARK}", "started": day},
        {**said, "kind": "patient", "started": datetime(1931, 7, 4, tzinfo=UTC)},
        {"AccessionNumber": f"{MARK}A", "kind": "procedure", "code": "OPS:5-604", "text": MARK},
        {"PatientID": f"{MARK}-nobody", "kind": "condition", "code": "I10:C61", "text": MARK},
    ]  # fmt: skip
    sections = [{"title": MARK, "code": MARK, "text": MARK}]
    free = {name: MARK for name in ("title", "text", "affirmed", "negated", "uncertain")}
    documents = [
        {**said, **free, "sections": sections, "type": "LN:18748-4", "type_meaning": f"of {MARK}",
         "language": MARK, "written": day},
        {"StudyInstanceUID": STUDY, **free, "type": f"99HOUSE:{MARK}^Ann", "language": "de"},
    ]  # fmt: skip
    store.append("clinical_events", rows(store, "clinical_events", facts))
    store.append("documents", rows(store, "documents", documents))
    store.touch("told")
    rebuild(store)


def secrets(lake: Path) -> list[str]:
    """What tells of a person in the lake: marks, names, ids and UIDs of all of them."""
    found = {MARK, ROOT, "19310704"}
    with dicomlake.open(lake).store.database() as db:
        for name in ("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName"):
            rows = db.execute("select distinct text from elements where path = ?", [name])
            found |= {row[0] for row in rows.fetchall() if row[0] and len(row[0]) > 3}
        uids = db.execute('select "StudyInstanceUID", "SeriesInstanceUID" from series').fetchall()
        uids += db.execute('select "SOPInstanceUID", uri from instances').fetchall()
        found |= {value for row in uids for value in row if value}
    return sorted(found)
