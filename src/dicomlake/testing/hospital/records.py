"""How each house keeps what it knows of its patients: four systems, three countries.

NORD/fhir/*.ndjson     FHIR R4 resources, one type per file, with German and international codes
NORD/hl7/*.hl7         letters as ORU^R01 messages
SUD/actes.csv          one table: semicolons, decimal commas, Latin-1, French dates
SUD/actes.yaml         the mapping file that tells what its columns mean
SUD/lettres/           letters as text files, index.csv tells whose they are
WEST/omop/*.csv        tables of an OMOP database; letters are its notes
"""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import orjson

from dicomlake.testing.hospital.codes import ucum

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from dicomlake.terms import Code
    from dicomlake.testing.hospital.concepts import Concept
    from dicomlake.testing.hospital.history import Fact, History
    from dicomlake.testing.hospital.letters import Letter
    from dicomlake.testing.hospital.people import Person

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "ATC": "http://www.whocc.no/atc",
    "I10GM": "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
    "OPS": "http://fhir.de/CodeSystem/bfarm/ops",
}
NUMBERS = "https://nord.example/patients"
"""The system of the identifiers that NORD gives its patients."""


class _House(Protocol):
    def write(self, told: History) -> None: ...


class Houses:
    """The records of all houses below a folder, written patient by patient."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()

    def __enter__(self) -> Houses:
        self._houses: dict[str, _House] = {
            "NORD": _Nord(self.folder / "NORD", self._open),
            "SUD": _Sud(self.folder / "SUD", self._open),
            "WEST": _West(self.folder / "WEST" / "omop", self._open),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def write(self, told: History) -> None:
        """Add one patient to the records of the house that numbers it."""
        self._houses[told.person.issuer].write(told)


def _opened(path: Path, held: ExitStack, encoding: str = "utf-8") -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return held.enter_context(path.open("w", encoding=encoding, newline=""))


# --- NORD: FHIR and HL7 v2 ------------------------------------------------------------------------

_RESOURCES = {
    "condition": "Condition",
    "procedure": "Procedure",
    "observation": "Observation",
    "medication": "MedicationStatement",
    "encounter": "Encounter",
    "patient": "Patient",
}


class _Nord:
    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.messages = folder / "hl7"
        self.messages.mkdir(parents=True, exist_ok=True)
        self.files = {
            kind: _opened(folder / "fhir" / f"{name}.ndjson", held)
            for kind, name in _RESOURCES.items()
        }

    def write(self, told: History) -> None:
        self._add("patient", _patient(told.person))
        for fact in told.facts:
            self._add(fact.kind, _resource(told.person, fact))
        for letter in told.letters:
            path = self.messages / f"{letter.identifier}.hl7"
            path.write_bytes(message(told.person, letter).encode())

    def _add(self, kind: str, resource: dict[str, Any]) -> None:
        self.files[kind].write(orjson.dumps(resource).decode() + "\n")


def names_of(person: Person) -> tuple[str, str]:
    """Family and given name of a patient, in Latin letters or those of the patient.

    >>> from dicomlake.testing.hospital.people import person
    >>> names_of(person(7, 4))
    ('Kakuu', 'Tarou')
    """
    family, given, *_ = f"{person.name.partition('=')[0]}^".split("^")
    return family, given


def _reference(person: Person) -> dict[str, str]:
    return {"reference": f"Patient/p{person.number}"}


def _patient(person: Person) -> dict[str, Any]:
    family, given = names_of(person)
    return {
        "resourceType": "Patient",
        "id": f"p{person.number}",
        "identifier": [{"system": NUMBERS, "value": person.id}],
        "name": [{"family": family, "given": [given]}],
        "gender": {"F": "female", "M": "male"}.get(person.sex, "other"),
        "birthDate": f"{person.born:%Y-%m-%d}",
    }


def codings(concept: Concept) -> list[dict[str, str]]:
    """The codings of a concept in FHIR, the country's own first."""
    codes = [code for code in (concept.german, concept.code) if code is not None]
    return [
        {"system": SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}
        for code in codes
    ]


def _resource(person: Person, fact: Fact) -> dict[str, Any]:
    subject = _reference(person)
    head: dict[str, Any] = {"resourceType": _RESOURCES[fact.kind], "id": fact.identifier}
    started = _instant(fact.started)
    ended = _instant(fact.ended) if fact.ended else None
    concept = fact.concept
    if concept is None:
        return {
            **head,
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
            },
            "subject": subject,
            "period": {"start": started, "end": ended},
        }
    coded = {"coding": codings(concept), "text": concept.words[0]}
    if fact.kind == "condition":
        active = {
            "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
            "code": "active",
        }
        return {
            **head,
            "clinicalStatus": {"coding": [active]},
            "code": coded,
            "subject": subject,
            "onsetDateTime": started[:10],
        }
    if fact.kind == "procedure":
        return {
            **head,
            "status": "completed",
            "code": coded,
            "subject": subject,
            "performedPeriod": {"start": started, "end": ended},
        }
    quantity = {
        "value": fact.number,
        "unit": concept.unit,
        "system": "http://unitsofmeasure.org",
        "code": concept.unit,
    }
    if fact.kind == "observation":
        return {
            **head,
            "status": "final",
            "code": coded,
            "subject": subject,
            "effectiveDateTime": started,
            "valueQuantity": quantity,
        }
    return {
        **head,
        "status": "completed",
        "medicationCodeableConcept": coded,
        "subject": subject,
        "effectivePeriod": {"start": started, "end": ended},
        "dosage": [{"doseAndRate": [{"doseQuantity": quantity}]}],
    }


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def message(person: Person, letter: Letter) -> str:
    """A letter as an ORU^R01 message of HL7 version 2.5.

    >>> from dicomlake.testing.hospital.history import history
    >>> told = history(7, 1)
    >>> message(told.person, told.letters[0]).split("|")[8]
    'ORU^R01^ORU_R01'
    """
    family, given = names_of(person)
    moment = f"{letter.written:%Y%m%d%H%M%S}"
    lines = [line for line in letter.text.split("\n") if line]
    segments = [
        f"MSH|^~\\&|RIS|NORD|LAKE|NORD|{moment}||ORU^R01^ORU_R01|{letter.identifier}|P|2.5"
        "||||||UNICODE UTF-8",
        f"PID|1||{person.id}^^^NORD^MR||{_plain(family)}^{_plain(given)}||"
        f"{person.born:%Y%m%d}|{person.sex}",
        f"OBR|1|{letter.accession}|{letter.identifier}|18748-4^{_plain(letter.title)}^LN|||"
        f"{moment}|||||||||||{letter.accession}||||{moment}||RAD|F",
        *(
            f"OBX|{at}|TX|18748-4^{_plain(letter.title)}^LN||{_plain(line)}||||||F"
            for at, line in enumerate(lines, 1)
        ),
    ]
    return "\r".join(segments) + "\r"


def _plain(text: str) -> str:
    """Text with the characters escaped that separate fields."""
    for sign, name in (("\\", "E"), ("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        text = text.replace(sign, f"\\{name}\\")
    return text


# --- SUD: a table and text files ------------------------------------------------------------------

_COLUMNS = (
    "ipp", "numero_demande", "nomenclature", "code", "libelle", "valeur", "unite", "debut", "fin",
    "identifiant",
)  # fmt: skip
_TABLES_OF_SUD = {
    "condition": "diagnostics",
    "procedure": "actes",
    "observation": "biologie",
    "medication": "medicaments",
    "encounter": "sejours",
}
_NOMENCLATURES = {"I10": "CIM-10", "CCAM": "CCAM", "LN": "LOINC", "ATC": "ATC"}


class _Sud:
    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.letters = folder / "lettres"
        self.letters.mkdir(parents=True, exist_ok=True)
        self.tables = {}
        for kind, name in _TABLES_OF_SUD.items():
            table = _opened(folder / f"{name}.csv", held, "latin-1")
            self.tables[kind] = csv.writer(table, delimiter=";", lineterminator="\r\n")
            self.tables[kind].writerow(_COLUMNS)
        index = _opened(self.letters / "index.csv", held)
        self.index = csv.writer(index, lineterminator="\n")
        self.index.writerow(
            ("file", "PatientID", "AccessionNumber", "written", "title", "identifier")
        )
        folder.with_suffix(".yaml").write_bytes(mapping("SUD.yaml"))

    def write(self, told: History) -> None:
        for fact in told.facts:
            self.tables[fact.kind].writerow(_row(told.person, fact))
        for letter in told.letters:
            name = f"{letter.identifier}.txt"
            (self.letters / name).write_text(letter.text, encoding="utf-8")
            written = f"{letter.written:%Y-%m-%d %H:%M:%S}"
            who = told.person.id, letter.accession
            self.index.writerow((name, *who, written, letter.title, letter.identifier))


def mapping(name: str) -> bytes:
    """A mapping file of the hospital."""
    return (resources.files(__package__) / "mappings" / name).read_bytes()


def _row(person: Person, fact: Fact) -> tuple[str, ...]:
    concept = fact.concept
    code = (concept.french or concept.code) if concept else None
    number = "" if fact.number is None else f"{fact.number:.1f}".replace(".", ",")
    return (
        person.id,
        fact.accession,
        _NOMENCLATURES[code.scheme] if code else "",
        code.value if code else "",
        concept.words[1] if concept else "",
        number,
        concept.unit if concept else "",
        f"{fact.started:%d/%m/%Y %H:%M}",
        f"{fact.ended:%d/%m/%Y %H:%M}" if fact.ended else "",
        fact.identifier,
    )


# --- WEST: OMOP -----------------------------------------------------------------------------------

_TABLES: dict[str, str] = {
    "person": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,"
    "race_concept_id,ethnicity_concept_id,person_source_value,gender_source_value",
    "visit_occurrence": "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,"
    "visit_start_datetime,visit_end_date,visit_end_datetime,visit_type_concept_id,"
    "visit_source_value",
    "condition_occurrence": "condition_occurrence_id,person_id,condition_concept_id,"
    "condition_start_date,condition_start_datetime,condition_end_date,condition_type_concept_id,"
    "condition_source_value",
    "procedure_occurrence": "procedure_occurrence_id,person_id,procedure_concept_id,"
    "procedure_date,procedure_datetime,procedure_type_concept_id,procedure_source_value",
    "measurement": "measurement_id,person_id,measurement_concept_id,measurement_date,"
    "measurement_datetime,measurement_type_concept_id,value_as_number,unit_concept_id,"
    "measurement_source_value,unit_source_value",
    "drug_exposure": "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,"
    "drug_exposure_start_datetime,drug_exposure_end_date,drug_exposure_end_datetime,"
    "drug_type_concept_id,quantity,drug_source_value,dose_unit_source_value",
    "note": "note_id,person_id,note_date,note_datetime,note_type_concept_id,"
    "note_class_concept_id,note_title,note_text,encoding_concept_id,language_concept_id,"
    "note_source_value",
    "concept": "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,"
    "standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason",
}
_VOCABULARIES = {"SCT": "SNOMED", "LN": "LOINC", "ATC": "ATC", "UCUM": "UCUM"}
_DOMAINS = {
    "condition": "Condition",
    "procedure": "Procedure",
    "observation": "Measurement",
    "medication": "Drug",
}
_FIRST_OWN = 2_000_000_000
"""Concepts of a house have numbers from here on."""


@dataclass(slots=True)
class _Counter:
    last: int = 0

    def __call__(self) -> int:
        self.last += 1
        return self.last


class _West:
    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.tables = {}
        for name, columns in _TABLES.items():
            self.tables[name] = csv.writer(_opened(folder / f"{name}.csv", held))
            self.tables[name].writerow(columns.split(","))
        self.number = _Counter()
        self.concepts: dict[tuple[str, str], int] = {}

    def write(self, told: History) -> None:
        person = told.person
        gender = {"F": 8532, "M": 8507}.get(person.sex, 0)
        self._add(
            "person", person.number, gender, person.born.year, person.born.month, person.born.day,
            0, 0, person.id, person.sex,
        )  # fmt: skip
        for fact in told.facts:
            self._fact(person.number, fact)
        for letter in told.letters:
            self._add(
                "note", self.number(), person.number, *_both(letter.written), 0, 0, letter.title,
                letter.text, 0, 4180186, letter.accession,
            )  # fmt: skip

    def _add(self, table: str, *values: object) -> None:
        self.tables[table].writerow(values)

    def _fact(self, person: int, fact: Fact) -> None:
        began = _both(fact.started)
        ended = _both(fact.ended) if fact.ended else ("", "")
        concept = fact.concept
        number = self.number()
        if concept is None:
            self._add("visit_occurrence", number, person, 9202, *began, *ended, 0, fact.identifier)
            return
        name = self._concept(concept.code, _DOMAINS[fact.kind])
        word = concept.words[2]
        if fact.kind == "condition":
            self._add("condition_occurrence", number, person, name, *began, "", 0, word)
        elif fact.kind == "procedure":
            self._add("procedure_occurrence", number, person, name, *began, 0, word)
        elif fact.kind == "observation":
            unit = self._concept(ucum(concept.unit), "Unit")
            self._add(
                "measurement", number, person, name, *began, 0, fact.number, unit, word,
                concept.unit,
            )  # fmt: skip
        else:
            self._add(
                "drug_exposure", number, person, name, *began, *ended, 0, fact.number, word,
                concept.unit,
            )  # fmt: skip

    def _concept(self, code: Code, domain: str) -> int:
        """The number of a concept, which is told in the table of concepts when first used."""
        known = self.concepts.get((code.scheme, code.value))
        if known is None:
            known = self.concepts[code.scheme, code.value] = _FIRST_OWN + len(self.concepts) + 1
            self._add(
                "concept", known, code.meaning, domain, _VOCABULARIES[code.scheme], domain, "S",
                code.value, "19700101", "20991231", "",
            )  # fmt: skip
        return known


def _both(moment: datetime) -> tuple[str, str]:
    """Date and moment, the way OMOP has two columns for each."""
    return f"{moment:%Y-%m-%d}", f"{moment:%Y-%m-%d %H:%M:%S}"
