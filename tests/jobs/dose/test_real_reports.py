"""Doses of real reports, beside what another tool states of them in expected_dose.csv."""

from __future__ import annotations

import csv
import shutil
from typing import Any

import pytest

import dicomlake
from tests.jobs.dose.made import lake_of
from tests.readers.test_dose import CORPUS, path_of

STUDY = {
    "ct_dose_length_product_total": (("DLP", "DLP_stated"), 1.0),
    "total_number_of_irradiation_events": (("events", "events_stated"), 1.0),
    "number_of_events": (("events",), 1.0),
    "total_dap": (("DAP", "DAP_stated"), 1.0),
    "total_dap_a": (("DAP_stated",), 1.0),
    "total_acq_dap": (("DAP_acquisition",), 1.0),
    "total_fluoro_dap": (("DAP_fluoro",), 1.0),
}
"""Quantities of the other tool, our columns of a study, and theirs in our unit."""
EVENT = {
    "mean_ctdivol": ("CTDIvol", 1.0),
    "dlp": ("DLP", 1.0),
    "dose_rp": ("RP", 1000.0),
    "average_glandular_dose": ("AGD", 1.0),
    "pitch_factor": ("SpiralPitchFactor", 1.0),
    "ctdivol_alert_value": ("CTDIvol_alert", 1.0),
    "dlp_alert_value": ("DLP_alert", 1.0),
    "accumulated_dlp_forward_estimate": ("DLP_alert_estimate", 1.0),
    "accumulated_ctdivol_forward_estimate": ("CTDIvol_alert_estimate", 1.0),
}
NAMES = """CT-ESR-GE_Optima CT-RDSR-GEPixelMed CT-RDSR-Siemens_Flash-TAP-SS
    CT-RDSR-Toshiba_DoseCheck CT-RDSR-Siemens-Continued-1
    CT-RDSR-Siemens-Continued-2 CT-RDSR-Philips_BigBore4DCT RF-RDSR-GE
    RF-RDSR-Siemens-Zee RF-RDSR-Siemens-Zee_adjusted RF-RDSR-Philips_Allura
    RF-RDSR-Eurocolumbus RF-RDSR-Canon-Alphenix-rotational DX-RDSR-Canon_CXDI
    MG-RDSR-GEPristina-DBT MG-RDSR-Hologic_2D MG-Im-GE-SenDS-scaled NM-RRDSR-Siemens
    ESR_non-dose""".split()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> dicomlake.Lake:
    folder = tmp_path_factory.mktemp("real") / "in"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(path_of(f"{name}.dcm"), folder)
    return lake_of(folder)


def study_of(lake: dicomlake.Lake, name: str) -> dict[str, Any]:
    """The study of a file; an edited copy of it may be in another one."""
    import pydicom

    uid = pydicom.dcmread(path_of(f"{name}.dcm"), stop_before_pixels=True).StudyInstanceUID
    (row,) = [
        row
        for row in lake.dose.studies(include_not_patient=True).to_pylist()
        if row["StudyInstanceUID"] == uid
    ]
    return row


def events_of(lake: dicomlake.Lake, name: str) -> list[dict[str, Any]]:
    uid = study_of(lake, name)["StudyInstanceUID"]
    found = lake.dose.events(include_not_patient=True).to_pylist()
    return [row for row in found if row["StudyInstanceUID"] == uid]


def expected(known: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Rows of the file that name one report of ours and a quantity: report, quantity, value."""
    with (CORPUS / "expected_dose.csv").open(newline="") as file:
        rows = [
            (r["dicom_files"].removesuffix(".dcm"), r["quantity"].rpartition(".")[2], r["expected"])
            for r in csv.DictReader(file)
        ]
    return [(n, q, float(value)) for n, q, value in rows if n in NAMES and q in known]


def test_totals(lake: dicomlake.Lake) -> None:
    rows = expected(STUDY)
    assert len(rows) >= 10
    for name, quantity, value in rows:
        columns, factor = STUDY[quantity]
        study = study_of(lake, name)
        for column in columns:
            assert study[column] == pytest.approx(value * factor, rel=1e-6), (name, column)


def test_events(lake: dicomlake.Lake) -> None:
    rows = expected(EVENT)
    assert len(rows) >= 20
    for name, quantity, value in rows:
        column, factor = EVENT[quantity]
        found = [event[column] for event in events_of(lake, name)]
        assert pytest.approx(value * factor, rel=1e-6) in found, (name, column)


def test_continued_reports_are_one_study(lake: dicomlake.Lake) -> None:
    study = study_of(lake, "CT-RDSR-Siemens-Continued-1")
    assert study == study_of(lake, "CT-RDSR-Siemens-Continued-2")
    assert (study["events"], study["DLP"]) == (4, pytest.approx(116.61))
    assert study["DLP_stated"] == pytest.approx(116.61)


def test_events_without_a_dose(lake: dicomlake.Lake) -> None:
    study = study_of(lake, "CT-ESR-GE_Optima")
    assert (study["events"], study["DLP"]) == (6, pytest.approx(415.82))


def test_the_phantom_of_heads(lake: dicomlake.Lake) -> None:
    study = study_of(lake, "CT-RDSR-GEPixelMed")
    assert (study["CTDIvol_head"], study["CTDIvol_body"]) == (222.59, None)
    assert study["DLP"] == pytest.approx(586.34)


def test_a_study_with_an_event_of_quality_assurance_is_no_patient_s(lake: dicomlake.Lake) -> None:
    found = events_of(lake, "CT-RDSR-GEPixelMed")
    assert [row["not_patient"] for row in found] == [True, True]
    assert sorted(row["why_not"][0] for row in found) == [
        "StudyDescription or protocol is that of no patient",
        "another event of the study is of no patient",
    ]
    uid = found[0]["StudyInstanceUID"]
    assert uid not in lake.dose.studies().column("StudyInstanceUID").to_pylist()


def test_an_edited_copy_is_no_second_exposure(lake: dicomlake.Lake) -> None:
    found = lake.dose.events(include_not_patient=True).to_pylist()
    keys = [row["event_key"] for row in found]
    assert len(set(keys)) == len(keys)
    uids = {row["StudyInstanceUID"] for row in events_of(lake, "RF-RDSR-Siemens-Zee")}
    assert len(uids) == 1


def test_breasts_have_sides(lake: dicomlake.Lake) -> None:
    study = study_of(lake, "MG-RDSR-Hologic_2D")
    sides = sorted([study["AGD_right"], study["AGD_left"]])
    assert sides == pytest.approx([1.28, 1.30])
    assert study["AGD_right_stated"] is not None


def test_no_dose_in_an_empty_report(lake: dicomlake.Lake) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        study_of(lake, "ESR_non-dose")


def test_only_the_dose_check_alarms(lake: dicomlake.Lake) -> None:
    found = lake.dose.alarms().to_pylist()
    assert {(row["rule"], row["value"], row["limit"]) for row in found} == {
        ("dose check CTDIvol", 10.6, 10.0),
        ("dose check DLP", 251.2, 100.0),
        ("dose check DLP", 502.4, 100.0),
    }
    assert lake.dose.alarms(sets=("ncrp168",)).num_rows == len(found)
