"""Who tells of pacemakers, valves and fibrillation: eight sources, as eight sites have them."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import orjson

from dicomlake.testing.hospital.records import SYSTEMS
from dicomlake.testing.sites.objects import LABELS, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from dicomlake.terms import Code
    from dicomlake.testing.sites.patients import Patient

File = tuple[str, bytes]
"""Path below the folder of the site, and what is in it."""


def _table(
    head: Iterable[str],
    rows: Iterable[Iterable[object]],
    *,
    delimiter: str = ";",
    encoding: str = "utf-8",
) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def _csv(patients: list[Patient]) -> Iterator[File]:
    """A German table of a cardiology: ja and nein, what nobody asked is empty."""
    head = ("Patientennummer", "Untersuchungsdatum", "Herzschrittmacher", "TAVI", "Vorhofflimmern")
    rows = (
        (
            who.id,
            f"{who.seen:%d.%m.%Y}",
            "ja" if who.pacemaker else "nein",
            "ja" if who.tavi else "",
            "ja" if who.fibrillation else "nein",
        )
        for who in patients
    )
    yield "labels/register.csv", _table(head, rows)


def _xlsx(patients: list[Patient]) -> Iterator[File]:
    """A workbook: numbers for yes and no, dates as the program has them."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "Register"
    sheet.append(["MRN", "Visit", "PM (0/1)", "TAVI (0/1)", "AF (0/1)", "EF %"])
    for who in patients:
        labels = [int(who.pacemaker), int(who.tavi), int(who.fibrillation)]
        sheet.append([who.id, who.seen.date(), *labels, who.fraction])
    out = io.BytesIO()
    book.save(out)
    yield "labels/register.xlsx", out.getvalue()


def _sr(patients: list[Patient]) -> Iterator[File]:
    """Structured reports: DICOM already."""
    for who in patients:
        if who.pacemaker or who.tavi or who.fibrillation:
            yield f"dicom/reports/{who.number:06d}.dcm", report(who)


def _fhir(patients: list[Patient]) -> Iterator[File]:
    """FHIR resources, one type per file: procedures and conditions."""
    kinds: dict[str, list[bytes]] = {"Patient": [], "Condition": [], "Procedure": []}
    for who in patients:
        subject = {"reference": f"Patient/p{who.number}"}
        numbers = [{"system": "https://dove.example/mrn", "value": who.id}]
        kinds["Patient"].append(
            orjson.dumps({"resourceType": "Patient", "id": f"p{who.number}", "identifier": numbers})
        )
        for name, code in _had(who):
            coding = [{"system": SYSTEMS["SCT"], "code": code.value, "display": code.meaning}]
            kind = "Procedure" if name == "tavi" else "Condition"
            when = f"{_when(who, name):%Y-%m-%d}"
            status = (
                {"status": "completed", "performedDateTime": when}
                if kind == "Procedure"
                else {"clinicalStatus": _ACTIVE, "onsetDateTime": when}
            )
            resource = {
                "resourceType": kind,
                "id": f"{name}{who.number}",
                **status,
                "code": {"coding": coding},
                "subject": subject,
            }
            kinds[kind].append(orjson.dumps(resource))
    for kind, lines in kinds.items():
        yield f"facts/{kind}.ndjson", b"\n".join(lines) + b"\n"


_ACTIVE = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
            "code": "active",
        }
    ]
}


def _had(who: Patient) -> list[tuple[str, Code]]:
    return [(name, code) for name, code in LABELS.items() if getattr(who, name)]


def _when(who: Patient, name: str) -> datetime:
    return who.seen if name == "fibrillation" else who.treated


_GERMAN = {
    "pacemaker": ("ICD-10-GM", "Z95.0"),
    "fibrillation": ("ICD-10-GM", "I48.9"),
    "tavi": ("OPS", "5-35a.04"),
}


def _codes(patients: list[Patient]) -> Iterator[File]:
    """What the German house bills: OPS and ICD codes, one per line, and many that nobody asked."""
    rows: list[tuple[str, ...]] = []
    for who in patients:
        rows.append((who.id, "ICD-10-GM", "I10.00", f"{who.seen:%d.%m.%Y}"))
        for name, _ in _had(who):
            rows.append((who.id, *_GERMAN[name], f"{_when(who, name):%d.%m.%Y}"))
        if who.pacemaker and who.number % 2:
            rows.append((who.id, "OPS", "5-377.30", f"{who.treated:%d.%m.%Y}"))
    yield "labels/leistungen.csv", _table(("Patient", "Katalog", "Kode", "Datum"), rows)


def _omop(patients: list[Patient]) -> Iterator[File]:
    """An OMOP database: a pacemaker is a condition, a valve a procedure."""
    numbers = {name: 2_000_000_001 + at for at, name in enumerate(LABELS)}
    concepts = [
        (numbers[name], code.meaning, "Procedure" if name == "tavi" else "Condition", "SNOMED",
         "Clinical Finding", "S", code.value, "19700101", "20991231", "")
        for name, code in LABELS.items()
    ]  # fmt: skip
    people: list[tuple[object, ...]] = []
    conditions: list[tuple[object, ...]] = []
    procedures: list[tuple[object, ...]] = []
    for who in patients:
        people.append((who.number, 0, who.born.year, who.born.month, who.born.day, 0, 0, who.id))
        for name, code in _had(who):
            when = _when(who, name)
            row = (len(conditions) + len(procedures) + 1, who.number, numbers[name],
                   f"{when:%Y-%m-%d}", f"{when:%Y-%m-%d %H:%M:%S}")  # fmt: skip
            if name == "tavi":
                procedures.append((*row, 0, code.meaning))
            else:
                conditions.append((*row, "", 0, code.meaning))
    written: dict[str, tuple[str, Iterable[Iterable[object]]]] = {
        "concept": (
            "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,"
            "concept_code,valid_start_date,valid_end_date,invalid_reason",
            concepts,
        ),
        "person": (
            "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,"
            "race_concept_id,ethnicity_concept_id,person_source_value",
            people,
        ),
        "condition_occurrence": (
            "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,"
            "condition_start_datetime,condition_end_date,condition_type_concept_id,"
            "condition_source_value",
            conditions,
        ),
        "procedure_occurrence": (
            "procedure_occurrence_id,person_id,procedure_concept_id,procedure_date,"
            "procedure_datetime,procedure_type_concept_id,procedure_source_value",
            procedures,
        ),
    }
    for name, (head, rows) in written.items():
        yield f"facts/{name}.csv", _table(head.split(","), rows, delimiter=",")


def _decimals(patients: list[Patient]) -> Iterator[File]:
    """A Spanish table of a program of its own: S and N, decimal commas, Latin-1."""
    head = ("Historia clínica", "Fecha", "Marcapasos", "TAVI", "Fibrilación", "Fracción eyección")
    rows = (
        (
            who.id,
            f"{who.seen:%d/%m/%Y}",
            "S" if who.pacemaker else "N",
            "S" if who.tavi else "N",
            "S" if who.fibrillation else "N",
            f"{who.fraction:.1f}".replace(".", ","),
        )
        for who in patients
    )
    yield "labels/registro.csv", _table(head, rows, encoding="latin-1")


_FRENCH = {
    "pacemaker": ("CIM-10", "Z95.0"),
    "fibrillation": ("CIM-10", "I48.9"),
    "tavi": ("CCAM", "DBLF001"),
}


def _acts(patients: list[Patient]) -> Iterator[File]:
    """French acts and diagnoses, separated by tabs."""
    rows = [
        (who.id, *_FRENCH[name], f"{_when(who, name):%d/%m/%Y}")
        for who in patients
        for name, _ in _had(who)
    ]
    head = ("ipp", "nomenclature", "code", "date")
    yield "labels/actes.tsv", _table(head, rows, delimiter="\t", encoding="latin-1")


SOURCES: dict[str, Callable[[list[Patient]], Iterator[File]]] = {
    "csv": _csv,
    "xlsx": _xlsx,
    "sr": _sr,
    "fhir": _fhir,
    "codes": _codes,
    "omop": _omop,
    "decimals": _decimals,
    "acts": _acts,
}
"""What `Site.labels` names."""
