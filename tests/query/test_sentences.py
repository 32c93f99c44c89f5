"""Questions in plain words, in English and German."""

from __future__ import annotations

import pytest
from hypothesis import given

from dicomlake.query import Query, parse_query
from dicomlake.query.sentence import sentence

from .strategies import queries


@pytest.mark.parametrize(
    ("text", "english", "german"),
    [
        ("", "All series.", "Alle Serien."),
        (
            "PatientAge > 60Y and not Modality in ('CT', 'MR') level patient",
            "Patients with: Patient’s Age is above 60 years, and not (Modality is one of CT, MR).",
            "Patienten mit: Patient’s Age ist über 60 Jahre, und nicht (Modality ist eines von CT, "
            "MR).",
        ),
        (
            "same(patient, StudyDate >= 2024-01-01 or BodyPartExamined missing) level study limit "
            "5000",
            "Studies with: in one and the same patient (Study Date is on or after 2024-01-01, or "
            "Body Part Examined has no value). The first 5,000.",
            "Studien mit: in ein und demselben Patienten (Study Date ist am oder nach 2024-01-01, "
            "oder Body Part Examined hat keinen Wert). Die ersten 5.000.",
        ),
        (
            "related(Modality = 'CT', segment exists, before 30 days) order by -StudyDate",
            "Series with: (Modality is CT) at most 30 days before (there is a segment) of the same "
            "patient. Sorted by Study Date downwards.",
            "Serien mit: (Modality ist CT) höchstens 30 Tage vor (es gibt segment) desselben "
            "Patienten. Sortiert nach Study Date absteigend.",
        ),
        (
            "same(annotation, annotation.structure within SCT:39607008 and "
            "annotation.laterality within SCT:7771000 and annotation.volume > 200 mL and "
            "annotation.complete = 'yes')",
            "Series with: in one and the same statement (body part or structure stated is Lung "
            "(SCT:39607008) or something narrower, and side stated is Left (SCT:7771000) or "
            "something narrower, and volume stated is above 200 mL, and complete in the picture is "
            "yes).",
            "Serien mit: in ein und derselben Aussage (ausgesagte Körperregion oder Struktur ist "
            "Lung (SCT:39607008) oder etwas Engeres, und ausgesagte Seite ist Left (SCT:7771000) "
            "oder etwas Engeres, und ausgesagtes Volumen ist über 200 mL, und vollständig im Bild "
            "ist ja).",
        ),
        (
            "related(Modality = 'MR', same(fact, fact.code within SCT:90470006 |Prostatectomy| and "
            "fact.started between 2014 and 2019), before 365 days) or fact.quantity > 7 mmol/L or "
            "document exists",
            "Series with: (Modality is MR) at most 365 days before (in one and the same clinical "
            "fact (diagnosis, procedure, value or medication is Prostatectomy (SCT:90470006) or "
            "something narrower, and begin of the clinical fact is between 2014-01-01 and "
            "2019-12-31)) of the same patient, or value of the clinical fact is above 7 mmol/L, or "
            "there is a document.",
            "Serien mit: (Modality ist MR) höchstens 365 Tage vor (in ein und derselben klinischen "
            "Angabe (Diagnose, Prozedur, Messwert oder Medikation ist Prostatectomy (SCT:90470006) "
            "oder etwas Engeres, und Beginn der klinischen Angabe liegt zwischen 2014-01-01 und "
            "2019-12-31)) desselben Patienten, oder Wert der klinischen Angabe ist über 7 mmol/L, "
            "oder es gibt ein Dokument.",
        ),
        (
            "finding.rule = 'side missing' or annotation.kind = 'body part' or finding exists",
            "Series with: fault found is side missing, or kind of the statement is body part, or "
            "there is a fault.",
            "Serien mit: gefundener Fehler ist side missing, oder Art der Aussage ist body part, "
            "oder es gibt einen Fehler.",
        ),
    ],
)
def test_sentences(text: str, english: str, german: str) -> None:
    query = parse_query(text) if text else Query(None)
    assert sentence(query) == english
    assert sentence(query, "de") == german


@given(queries)
def test_every_question_has_a_sentence_in_both_languages(query: Query) -> None:
    for language in ("en", "de"):
        said = sentence(query, language)
        assert said.endswith(".")
        assert "{" not in said or "{" in str(query)
