"""What patients have, get and are measured for: concepts with the codes that each house writes."""

from __future__ import annotations

from dataclasses import dataclass

from dicomlake.terms import Code
from dicomlake.testing.hospital.codes import sct

Words = tuple[str, str, str, str]
"""German, French, English, Spanish."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A diagnosis, procedure, observable or medication.

    `code` is the international one, `german` and `french` those of the two countries where they
    have their own. `unit` and the range are of observations and doses.
    """

    kind: str
    code: Code
    words: Words
    german: Code | None = None
    french: Code | None = None
    unit: str = ""
    low: float = 0.0
    high: float = 0.0


def _condition(code: str, icd: str, *words: str) -> Concept:
    german, french = Code(icd, "I10GM", words[0]), Code(icd, "I10", words[1])
    return Concept("condition", sct(code, words[2]), _four(words), german, french)


def _procedure(code: str, ops: str, ccam: str, *words: str) -> Concept:
    german, french = Code(ops, "OPS", words[0]), Code(ccam, "CCAM", words[1])
    return Concept("procedure", sct(code, words[2]), _four(words), german, french)


def _value(code: str, unit: str, low: float, high: float, *words: str) -> Concept:
    name = Code(code, "LN", words[2])
    return Concept("observation", name, _four(words), unit=unit, low=low, high=high)


def _drug(code: str, dose: float, *words: str) -> Concept:
    name = Code(code, "ATC", words[2])
    return Concept("medication", name, _four(words), unit="mg", low=dose, high=dose)


def _four(words: tuple[str, ...]) -> Words:
    german, french, english, spanish = words
    return german, french, english, spanish


CONCEPTS: dict[str, Concept] = {
    # conditions
    "prostate cancer": _condition(
        "399068003", "C61", "Prostatakarzinom", "Cancer de la prostate",
        "Malignant tumour of prostate", "Cáncer de próstata"),
    "lung cancer": _condition(
        "363358000", "C34.1", "Bronchialkarzinom", "Cancer du poumon", "Malignant tumour of lung",
        "Cáncer de pulmón"),
    "liver cancer": _condition(
        "109841003", "C22.0", "Leberzellkarzinom", "Carcinome hépatocellulaire",
        "Liver cell carcinoma", "Carcinoma hepatocelular"),
    "glioma": _condition(
        "393564001", "C71.1", "Gliom", "Gliome", "Glioma", "Glioma"),
    "concussion": _condition(
        "110030002", "S06.0", "Gehirnerschütterung", "Commotion cérébrale", "Concussion",
        "Conmoción cerebral"),
    "bronchitis": _condition(
        "10509002", "J20.9", "Akute Bronchitis", "Bronchite aiguë", "Acute bronchitis",
        "Bronquitis aguda"),
    "coronary disease": _condition(
        "53741008", "I25.1", "Koronare Herzkrankheit", "Cardiopathie ischémique",
        "Coronary arteriosclerosis", "Cardiopatía isquémica"),
    "atrial fibrillation": _condition(
        "49436004", "I48.9", "Vorhofflimmern", "Fibrillation auriculaire", "Atrial fibrillation",
        "Fibrilación auricular"),
    "hypertension": _condition(
        "38341003", "I10", "Arterielle Hypertonie", "Hypertension artérielle", "Hypertension",
        "Hipertensión arterial"),
    "diabetes": _condition(
        "44054006", "E11.9", "Diabetes mellitus Typ 2", "Diabète de type 2",
        "Type 2 diabetes mellitus", "Diabetes mellitus tipo 2"),
    "back pain": _condition(
        "161891005", "M54.5", "Kreuzschmerz", "Lombalgie", "Backache", "Dolor lumbar"),
    "hand fracture": _condition(
        "20511007", "S62.8", "Fraktur der Hand", "Fracture de la main", "Fracture of hand",
        "Fractura de mano"),
    # procedures
    "prostatectomy": _procedure(
        "90470006", "5-604.02", "JGFA006", "Radikale Prostatektomie", "Prostatectomie totale",
        "Prostatectomy", "Prostatectomía"),
    "lung lobectomy": _procedure(
        "173171007", "5-324.71", "GFFA009", "Lobektomie der Lunge", "Lobectomie pulmonaire",
        "Lobectomy of lung", "Lobectomía pulmonar"),
    "pacemaker": _procedure(
        "307280005", "5-377.30", "DELF007", "Implantation eines Herzschrittmachers",
        "Implantation d'un stimulateur cardiaque", "Implantation of cardiac pacemaker",
        "Implantación de marcapasos"),
    "TAVI": _procedure(
        "725351001", "5-35a.04", "DBLF001", "Transkatheter-Aortenklappenimplantation",
        "Remplacement percutané de la valve aortique",
        "Transcatheter aortic valve implantation", "Implante percutáneo de válvula aórtica"),
    # laboratory
    "PSA": _value("2857-1", "ng/mL", 0.2, 28, "PSA", "PSA", "Prostate specific antigen", "PSA"),
    "CRP": _value("1988-5", "mg/L", 0.5, 140, "CRP", "CRP", "C reactive protein", "PCR"),
    "HbA1c": _value("4548-4", "%", 5.6, 10.4, "HbA1c", "HbA1c", "Hemoglobin A1c", "HbA1c"),
    "creatinine": _value("2160-0", "mg/dL", 0.6, 2.8, "Kreatinin", "Créatinine", "Creatinine",
                         "Creatinina"),
    # medications
    "tamsulosin": _drug("G04CA02", 0.4, "Tamsulosin", "Tamsulosine", "Tamsulosin", "Tamsulosina"),
    "bisoprolol": _drug("C07AB07", 5, "Bisoprolol", "Bisoprolol", "Bisoprolol", "Bisoprolol"),
    "metformin": _drug("A10BA02", 850, "Metformin", "Metformine", "Metformin", "Metformina"),
    "apixaban": _drug("B01AF02", 5, "Apixaban", "Apixaban", "Apixaban", "Apixabán"),
}  # fmt: skip
"""By our own short names."""
