"""The files of the eight sites say what the truth says, read again by nothing of ours."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

import pydicom
import pytest
from openpyxl import load_workbook

from dicomlake.query import parse
from dicomlake.testing.sites import COMBINATIONS, QUESTIONS, SITES, Truth, write

if TYPE_CHECKING:
    from pathlib import Path

PATIENTS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sites")


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Truth]:
    return write(folder, PATIENTS)


def dicom(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_images_and_ecgs_are_those_of_the_truth(site, folder, truth) -> None:
    place = folder / site.name.lower()
    found = dicom(place / "dicom")
    heart = {words.series for words in site.heart}
    ct = {ds.PatientID for ds in found if ds.get("SeriesDescription") in heart}
    ecg = {int(ds.PatientID.lstrip("ABCDEFGHMNR-")) for ds in found if ds.Modality == "ECG"}
    ecg |= {int(path.parent.name) for path in (place / "ecg").rglob("ecg.*")}
    people = truth[site.name].patients
    assert ct == {who.id for who in people if who.heart}
    assert ecg == {who.number for who in people if who.ecg}
    assert {ds.IssuerOfPatientID for ds in found} == {site.name}
    formats = {path.suffix for path in place.rglob("ecg.*")}
    assert len(formats) <= len(site.ecg)


def rows(path: Path, encoding: str, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_tables_of_labels_are_those_of_the_truth(folder: Path, truth: dict[str, Truth]) -> None:
    german = rows(folder / "adler/labels/register.csv", "utf-8", ";")
    assert [row["Herzschrittmacher"] == "ja" for row in german] == [
        who.pacemaker for who in truth["ADLER"].patients
    ]
    spanish = rows(folder / "garza/labels/registro.csv", "latin-1", ";")
    assert [(row["Fibrilación"] == "S", float(row["Fracción eyección"].replace(",", ".")))
            for row in spanish] == [
        (who.fibrillation, who.fraction) for who in truth["GARZA"].patients
    ]  # fmt: skip
    sheet = load_workbook(folder / "birke/labels/register.xlsx").active
    assert [(row[0], bool(row[3])) for row in list(sheet.iter_rows(values_only=True))[1:]] == [
        (who.id, who.tavi) for who in truth["BIRKE"].patients
    ]
    billed = rows(folder / "eiche/labels/leistungen.csv", "utf-8", ";")
    assert {row["Patient"] for row in billed if row["Kode"] == "5-35a.04"} == {
        who.id for who in truth["EICHE"].patients if who.tavi
    }
    acts = rows(folder / "heron/labels/actes.tsv", "latin-1", "\t")
    assert {row["ipp"] for row in acts if row["code"] == "Z95.0"} == {
        who.id for who in truth["HERON"].patients if who.pacemaker
    }


def test_reports_are_those_of_the_truth(folder: Path, truth: dict[str, Truth]) -> None:
    found: Counter[str] = Counter()
    for ds in dicom(folder / "cedre/dicom/reports"):
        found.update(item.ConceptCodeSequence[0].CodeValue for item in ds.ContentSequence)
    people = truth["CEDRE"].patients
    assert found == {
        "441509002": sum(who.pacemaker for who in people),
        "725351001": sum(who.tavi for who in people),
        "49436004": sum(who.fibrillation for who in people),
    }


def test_every_combination_is_asked_and_every_question_can_be_read() -> None:
    assert QUESTIONS.keys() == COMBINATIONS.keys()
    for text in QUESTIONS.values():
        parse(text)


def test_combinations_differ(truth: dict[str, Truth]) -> None:
    total = sum((one.counts for one in truth.values()), Counter())
    assert total["any"] > total["CT or ECG"] > total["CT"] > total["CT and ECG"]
    assert total["CT and ECG"] == total["CT, ECG and pacemaker"] + total["CT, ECG, no pacemaker"]
    assert all(total[name] for name in COMBINATIONS)
    assert sum(not who.imaged for one in truth.values() for who in one.patients) > 0
