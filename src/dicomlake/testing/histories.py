"""Clinical facts and documents of the patients of the engine contract, and what asks for them.

    index([write(folder / "objects")], folder / "lake", workers=1)
    tell(Store(folder / "lake"))

The answers were written by hand, from `FACTS` and `DOCUMENTS`; names are those of `engines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.testing.dicom import uid

if TYPE_CHECKING:
    from dicomlake.lake import Store

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_STRANGER = 7
"""The patient_key of somebody whom the lake does not have."""


def _day(year: int, month: int = 1, day: int = 1, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


FACTS: tuple[dict[str, Any], ...] = (
    {
        "PatientID": "P1", "kind": "procedure", "code": "SCT:90470006",
        "code_meaning": "Prostatectomy", "codes": ["SCT:90470006", "OPS:5-604.02"],
        "text": "Radikale Prostatektomie", "started": _day(2020, 6, 15),
    },
    {
        "PatientID": "P1", "kind": "observation", "code": "LN:15074-8", "code_meaning": "Glucose",
        "number": 129.7, "unit": "mg/dL", "quantity": 7.2, "quantity_unit": "mmol/L",
        "started": _day(2020, 3, 1, 8),
    },
    {
        "PatientID": "P1", "kind": "observation", "code": "LN:15074-8", "code_meaning": "Glucose",
        "number": 6.1, "unit": "mmol/L", "quantity": 6.1, "quantity_unit": "mmol/L",
        "started": _day(2020, 5), "precision": "month",
    },
    {
        "PatientID": "P2", "kind": "condition", "code": "I10GM:C34.1",
        "code_meaning": "Bronchialkarzinom", "started": _day(2021, 6, 10),
    },
    {  # of the study P2b alone
        "PatientID": "P2", "kind": "procedure", "code": "CCAM:JGFA006", "AccessionNumber": "A4",
        "started": _day(2021, 6, 20),
    },
    {  # nobody is named: of the patient of the study P2a
        "kind": "observation", "code": "LN:8867-4", "code_meaning": "Heart rate",
        "AccessionNumber": "A3", "number": 72.0, "unit": "/min", "quantity": 72.0,
        "quantity_unit": "/min", "started": _day(2021, 6, 1, 12),
    },
    {
        "PatientID": "P3", "kind": "condition", "code": "I10:C34.9", "started": _day(2019),
        "precision": "year",
    },
    {  # of somebody else
        "PatientID": "P9", "kind": "procedure", "code": "SCT:90470006", "started": _day(2020, 6),
    },
    {  # the lake does not have this study
        "PatientID": "P2", "kind": "medication", "code": "ATC:C09AA05", "AccessionNumber": "A9",
        "number": 5.0, "unit": "mg", "quantity": 0.005, "quantity_unit": "g",
    },
    {  # a study of this number is of another patient
        "PatientID": "P3", "kind": "encounter", "code": "99HOUSE:ward", "AccessionNumber": "A1",
        "started": _day(2022, 1, 3), "ended": _day(2022, 1, 9),
    },
)  # fmt: skip
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "PatientID": "P1", "StudyInstanceUID": uid("engines", "P1b"), "type": "LN:18748-4",
        "language": "de", "written": _day(2020, 3, 2, 9), "title": "MR-Befund",
        "text": "Kein Pneumothorax. Raumforderung der Prostata.",
        "affirmed": "Raumforderung der Prostata.", "negated": "Kein Pneumothorax.",
    },
    {
        "AccessionNumber": "A4", "type": "LN:18748-4", "language": "en",
        "written": _day(2021, 6, 21), "title": "CT report",
        "text": "Small pneumothorax on the left.", "affirmed": "Small pneumothorax on the left.",
    },
    {
        "PatientID": "P2", "type": "LN:11506-3", "language": "fr", "written": _day(2021, 6, 5),
        "title": "Lettre", "text": "Pas de fracture.", "negated": "Pas de fracture.",
    },
)  # fmt: skip


def rows(store: Store, name: str, said: Iterable[Mapping[str, Any]], number: int = 1) -> pa.Table:
    """Rows of `clinical_events` or `documents` of patients of a lake, as an import writes them.

    The patients are named by PatientID; `number` is the key of the first row.
    """
    known = store.read("series", ["PatientID", "patient_key"]).to_pylist()
    keys = {row["PatientID"]: row["patient_key"] for row in known}
    key = "fact_key" if name == "clinical_events" else "document_key"
    made = []
    for at, row in enumerate(said, number):
        patient = row.get("PatientID")
        own = {"code": row["code"], "codes": [row["code"]]} if row.get("code") else {}
        made.append({
            key: at, "patient_key": keys.get(patient, _STRANGER) if patient else None,
            "identifier": f"id-{at}", "source": "test", "origin": f"file line {at}",
            "status": "final", "imported": _NOW, "run_id": "told",
            "precision": "day" if row.get("started") else None, **_sent(row), **own, **row,
        })  # fmt: skip
    schema = tables.ALL[name]
    named = [{name: row.get(name) for name in schema.names} for row in made]
    return pa.Table.from_pylist(named, schema)


def _sent(row: Mapping[str, Any]) -> dict[str, str]:
    """The parts of codes as sent."""
    found = {}
    for name in ("code", "type", "value"):
        if row.get(name):
            found[f"{name}_scheme"], _, found[f"{name}_value"] = row[name].partition(":")
    return found


def tell(store: Store) -> None:
    """Write the facts and documents of the contract, as a new version of the lake."""
    for name, said in (("clinical_events", FACTS), ("documents", DOCUMENTS)):
        store.append(name, rows(store, name, said))
    store.touch("told")


_P1, _P2, _P3 = "ct big mr sr", "ecg mr2 ct3", "ot mix"

SERIES: dict[str, str] = {
    "fact exists": f"{_P1} {_P2} {_P3}",
    "fact missing": "",
    "fact.code within SCT:90470006": _P1,
    "fact.code within OPS:5-604": _P1,
    "fact.code within OPS:5-605": "",
    "fact.code within I10GM:C34": _P2,
    "fact.code within I10GM:C341": _P2,
    "fact.code within I10:C34": f"{_P2} {_P3}",
    "fact.code within 'ICD-10':C34": f"{_P2} {_P3}",
    "fact.code within I10GM:C34.9": "",
    "fact.code within CCAM:JGFA006": "ct3",
    "fact.code within CCAM:JGFA": "",
    "fact.code within ATC:C09": _P2,
    "fact.code within LN:8867-4": "ecg mr2",
    "fact.code within '99HOUSE':ward": _P3,
    "not fact.code within CCAM:JGFA006 and PatientID = 'P2'": "ecg mr2",
    "fact.kind = 'procedure'": f"{_P1} ct3",
    "fact.kind in ('procedure', 'encounter')": f"{_P1} ct3 {_P3}",
    "fact.quantity > 7 mmol/L": _P1,
    "fact.quantity > 7.5 mmol/L": "",
    "fact.quantity > 7": f"{_P1} ecg mr2",
    "fact.quantity between 6 mmol/L and 6.5 mmol/L": _P1,
    "fact.quantity in (72, 6.1 mmol/L)": f"{_P1} ecg mr2",
    "fact.quantity < 6 mg": _P2,
    "fact.started = 2020-06-15": _P1,
    "fact.started between 2019 and 2020": f"{_P1} {_P3}",
    "fact.ended exists": _P3,
    "fact.text contains 'prostatekt'": _P1,
    "same(fact, fact.code within LN:15074-8 and fact.quantity < 7 mmol/L)": _P1,
    "same(fact, fact.code within SCT:90470006 and fact.quantity exists)": "",
    "fact.code within SCT:90470006 and fact.quantity exists": _P1,
    "same(fact, not fact.code within CCAM:JGFA006 and fact.kind = 'procedure')": _P1,
    "same(study, fact.code within LN:8867-4 and Modality = 'MR')": "ecg mr2",
    "same(patient, fact.code within LN:8867-4)": _P2,
    "same(series, fact.code within LN:8867-4 and Modality = 'MR')": "mr2",
    "same(instance, fact.code within LN:8867-4 and Modality = 'MR')": "mr2",
    "Modality = 'MR' and fact.code within SCT:90470006": "mr",
    "document exists": "mr sr ecg mr2 ct3",
    "document.text contains 'PNEUMOTHORAX'": "mr sr ct3",
    "document.affirmed contains 'Pneumothorax'": "ct3",
    "document.negated contains 'Pneumothorax'": "mr sr",
    "document.type within LN:18748-4": "mr sr ct3",
    "document.language = 'fr'": _P2,
    "same(document, document.language = 'de' and document.text contains 'fracture')": "",
    # in time
    "related(Modality = 'MR', fact.code within SCT:90470006, before)": "mr",
    "related(Modality = 'MR', fact.code within SCT:90470006, before 106 days)": "mr",
    "related(Modality = 'MR', fact.code within SCT:90470006, before 105 days)": "",
    "related(Modality = 'MR', fact.code within SCT:90470006, after)": "",
    "related(same(series, Modality = 'MR' and MagneticFieldStrength >= 2.5), same(fact, "
    "fact.code within SCT:90470006 and fact.started between 2014 and 2020), before 365 days)": "mr",
    "related(Modality = 'MR', fact.code within SCT:90470006 and fact.started between 2014 and 2019,"
    " before 365 days)": "",
    "related(fact.code within SCT:90470006, Modality = 'MR', after)": _P1,
    "related(fact.code within I10GM:C34, Modality = 'CT', before 10 days)": _P2,
    "related(fact.code within CCAM:JGFA006, Modality = 'ECG', after 30 days)": "ct3",
    "related(fact.code within CCAM:JGFA006, Modality = 'ECG', after 18 days)": "",
    "related(fact.code within LN:15074-8, fact.code within SCT:90470006, before 45 days)": _P1,
    "related(fact.code within LN:15074-8, fact.code within SCT:90470006, before 44 days)": "",
    "related(document exists, Modality = 'MR', after 1 days)": "mr sr",
    "related(Modality = 'ECG', document.language = 'fr', before 4 days)": "ecg",
    "related(fact.code within ATC:C09, Modality = 'CT', within 9999 days)": "",
    "related(fact.code within I10:C34.9, fact.kind = 'encounter', before 1098 days)": _P3,
    "related(Modality = 'MR' and fact.code within LN:8867-4, Modality = 'CT', before)": "mr2",
}
PATIENTS: dict[str, str] = {
    "fact.code within SCT:90470006": "P1",
    "not fact.code within SCT:90470006": "P2 P3",
    "fact.code within CCAM:JGFA006": "P2",
    "fact.code within CCAM:JGFA006 and fact.code within LN:8867-4": "P2",
    "same(study, fact.code within CCAM:JGFA006 and fact.code within LN:8867-4)": "",
    "fact.kind = 'condition' and Modality = 'CT'": "P2 P3",
    "fact.quantity missing": "P3",
    "related(Modality = 'MR', fact.code within SCT:90470006, before)": "P1",
    "not related(Modality = 'MR', fact.code within SCT:90470006, before)": "P2 P3",
    "document.affirmed contains 'raumforderung'": "P1",
    "document missing": "P3",
}
STUDIES: dict[str, str] = {
    "fact.code within SCT:90470006": "P1a P1b",
    "fact.code within CCAM:JGFA006": "P2b",
    "fact.code within LN:8867-4 and Modality = 'MR'": "P2a",
    "document.type within LN:18748-4": "P1b P2b",
    "related(Modality = 'MR', fact.kind = 'procedure', before)": "P1b P2a",
}
INSTANCES: dict[str, str] = {
    "fact.code within CCAM:JGFA006": "ct3#1",
    "fact.code within LN:8867-4 and not Modality = 'MR'": "ecg#1",
    "document.text contains 'prostata' and EchoTime = 100": "mr#2",
    "same(fact, fact.kind = 'encounter' and fact.ended exists) or EchoTime = 80": (
        "ot#1 mix#1 mix#2 mr#1"
    ),
    "related(Modality = 'MR', fact.code within SCT:90470006, before) and EchoTime = 80": "mr#1",
    "fact missing": "",
    "document missing and PatientID = 'P3'": "ot#1 mix#1 mix#2",
}
ORDERS: dict[str, str] = {
    "level patient order by fact.started": "P3 P1 P2",
    "level patient order by -fact.started": "P3 P2 P1",
    "level study order by -fact.quantity, StudyDate": "P2a P1a P1b P2b P3a",
    "level study order by document.written, StudyDate": "P1b P2a P2b P1a P3a",
    "PatientID = 'P2' level instance order by -fact.quantity, Modality": "ecg#1 mr2#1 ct3#1",
}
SHOWN: dict[str, list[dict[str, Any]]] = {
    "level patient show fact.code, fact.kind, fact, document order by PatientID": [
        {
            "fact.code": "Glucose (LN:15074-8); Prostatectomy (SCT:90470006)",
            "fact.kind": "observation; procedure", "fact": 3, "document": 1,
        },
        {
            "fact.code": "(ATC:C09AA05); (CCAM:JGFA006); Bronchialkarzinom (I10GM:C34.1); "
            "Heart rate (LN:8867-4)",
            "fact.kind": "condition; medication; observation; procedure", "fact": 4, "document": 2,
        },
        {
            "fact.code": "(99HOUSE:ward); (I10:C34.9)", "fact.kind": "condition; encounter",
            "fact": 2, "document": None,
        },
    ],
    "PatientID = 'P2' level study show fact.quantity, document.title order by StudyDate": [
        {"fact.quantity": "0.005 g; 72 /min", "document.title": "Lettre"},
        {"fact.quantity": "0.005 g", "document.title": "CT report; Lettre"},
    ],
    "Modality = 'ECG' level instance show fact.code, document.language": [
        {
            "fact.code": "(ATC:C09AA05); Bronchialkarzinom (I10GM:C34.1); Heart rate (LN:8867-4)",
            "document.language": "fr",
        }
    ],
}  # fmt: skip
"""Conditions, and columns, by what finds them."""
