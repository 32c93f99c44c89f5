"""Identities are the same everywhere, and dates keep what is between them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.contracts.pseudonyms import PATIENT
from dicomlake.deid.identity import Keyed, KeyedIdentity, patient_key_of
from dicomlake.pseudonyms.local import LocalPseudonyms
from tests.deid.made import KEY, cleaner, read, sample, settings_of, written


def identity(folder: Path, days: int = -100, who: str = "4711", issuer: str = "") -> KeyedIdentity:
    given_ = LocalPseudonyms("study", settings_of(folder))
    return KeyedIdentity(Keyed(KEY.encode()), given_, who, issuer, days=days)


def test_uids_are_valid_and_those_of_the_standard_stay(tmp_path: Path) -> None:
    made = identity(tmp_path)
    assert made.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"
    assert made.uid("1.2.3").startswith("2.25.")
    assert len(made.uid("1.2.3")) <= 64
    assert made.uid("1.2.3") == identity(tmp_path, who="other").uid("1.2.3") != made.uid("1.2.4")
    assert made.uid("1.2.840.10008.NAME") != "1.2.840.10008.NAME"


def test_the_pseudonym_is_that_of_fhir(tmp_path: Path) -> None:
    given_ = LocalPseudonyms("study", settings_of(tmp_path))
    system = "urn:dicomlake:patient-id:KH"
    expected = given_.of(PATIENT, [(system, "4711")])[system, "4711"]
    assert identity(tmp_path, issuer="KH").PatientID == expected != identity(tmp_path).PatientID


def test_a_patient_moves_by_the_days_of_their_number() -> None:
    keyed = Keyed(KEY.encode())
    found = {keyed.days(patient_key_of(str(n)), 365) for n in range(200)}
    assert min(found) >= 1
    assert max(found) <= 365
    assert len(found) > 100


@pytest.mark.parametrize(
    ("value", "vr", "moved"),
    [
        ("20200101", "DA", "20190923"),
        ("2020.01.01", "DA", "2019.09.23"),
        ("20200101\\20200201", "DA", "20190923\\20191024"),
        ("20200101-20200201", "DA", "20190923-20191024"),
        ("20200101-", "DA", "20190923-"),
        ("2020", "DT", "2020"),
        ("202001", "DT", "201910"),
        ("20200101123456.5+0100", "DT", "20190923123456.5+0100"),
        ("20200101-0500", "DT", "20190923-0500"),
        ("123456.789", "TM", "123456.789"),
        ("12:34:56", "TM", "12:34:56"),
        ("SMITH", "DA", ""),
        ("20201399", "DA", ""),
        ("SMITH", "TM", ""),
        ("", "DA", ""),
    ],
)
def test_dates_move(tmp_path: Path, value: str, vr: str, moved: str) -> None:
    assert identity(tmp_path).moved(value, vr) == moved


@given(first=st.datetimes(datetime(1900, 1, 1)), second=st.datetimes(datetime(1900, 1, 1)))
def test_what_is_between_two_dates_stays(
    tmp_path_factory: pytest.TempPathFactory, first: datetime, second: datetime
) -> None:
    made = identity(tmp_path_factory.getbasetemp())
    days = [
        datetime.strptime(made.moved(f"{one:%Y%m%d}").zfill(8), "%Y%m%d").date()
        for one in (first, second)
    ]
    assert days[1] - days[0] == second.date() - first.date()


def test_without_a_patient_every_study_is_one(tmp_path: Path) -> None:
    ids = set()
    patient = cleaner(tmp_path).patient([], "")
    for study in ("1.9.1", "1.9.2", "1.9.1"):
        ds = read(sample())
        ds.PatientID, ds.StudyInstanceUID = "", study
        made = patient.clean(written(ds))
        assert read(made.data).PatientID == made.PatientID != ""
        ids.add(made.PatientID)
    assert len(ids) == 2


def test_another_key_has_nothing_in_common(tmp_path: Path) -> None:
    mine = cleaner(tmp_path).patient([], "1CT1").clean(sample())
    other = cleaner(tmp_path, key="f" * 40).patient([], "1CT1").clean(sample())
    assert mine.PatientID != other.PatientID
    assert mine.SOPInstanceUID != other.SOPInstanceUID
    assert mine.data == cleaner(tmp_path).patient([], "1CT1").clean(sample()).data
