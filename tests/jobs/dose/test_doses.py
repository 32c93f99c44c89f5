"""Doses of lakes: events, studies and patients, as reports tell them in any order."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from math import exp
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dicomlake
from dicomlake.errors import UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.index import index
from dicomlake.query import parse
from tests.jobs.dose.made import (
    CHEST,
    CT,
    HEAD,
    ct_report,
    lake_of,
    put,
    rf_report,
    skin_report,
)

TODAY = date(2024, 12, 31)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> dicomlake.Lake:
    folder = tmp_path_factory.mktemp("doses") / "in"
    head = CT("h", 60.0, 500.0, 16, HEAD, "Schädel")
    put(folder, ct_report(head, CT("c", 10.0, 300.0, size=300.0)), study="both")
    put(folder, ct_report(CT("late", 8.0, 240.0), total=260.0), study="late", day="20240601")
    put(folder, ct_report(CT("old", 8.0, 240.0)), study="old", day="20220101")
    nobody = ct_report(CT("q", 20.0, 900.0))
    put(folder, nobody, patient="QA-1", study="qa")
    small = ct_report(CT("child", 2.0, 40.0, 32, CHEST), CT("unsized", None, None, None))
    put(folder, small, patient="P2", study="child", PatientAge="004Y", PatientWeight=None)
    far = ct_report(CT("adult", 9.0, 100.0, 32, size=470.0))
    put(folder, far, patient="P2", study="adult", IssuerOfPatientID="OTHER")
    rf = rf_report(("r1", 0.001, 0.1), ("r2", 0.001, 0.1), dap=0.0025, rp=0.205)
    put(folder, rf, patient="P3", study="rf")
    put(folder, skin_report(1.5, "r1"), patient="P3", study="rf", document="skin")
    return lake_of(folder)


def rows(found: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of a table with these values."""
    return [r for r in found.to_pylist() if all(r[name] == said for name, said in wanted.items())]


class TestEvents:
    def test_columns_and_units(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.events()
        assert found.schema == schemas.EVENTS
        assert schemas.unit_of(found.schema.field("DLP")) == "mGy.cm"
        assert all(field.metadata[b"comment"] for field in found.schema)

    def test_effective_dose_says_how(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.events(), protocol="Schädel")[0]
        assert found["effective_dose"] == pytest.approx(500 * 0.0021)
        said = "factor_set tissue_weighting factor_region age_class factor phantom".split()
        assert [found[name] for name in said] == [
            "AAPM 96", "ICRP 60", "Head", "adult", 0.0021, 16,
        ]  # fmt: skip
        assert (found["standard_protocol"], found["device"]) == ("CT head", "Model CT1")
        other = rows(lake.dose.events(factor_set="NCI 2012"), protocol="Schädel")[0]
        assert other["effective_dose"] == pytest.approx(500 * 0.0017)
        assert other["tissue_weighting"] == "ICRP 103"

    def test_size_as_sent(self, lake: dicomlake.Lake) -> None:
        found = next(r for r in lake.dose.events().to_pylist() if r["size_used"] == 300.0)
        f = 3.704369 * exp(-0.03671937 * 30)
        assert found["SSDE"] == pytest.approx(10 * f)
        assert found["size_source"] == "as sent"

    def test_what_is_missing_says_why(self, lake: dicomlake.Lake) -> None:
        child, unsized = rows(lake.dose.events(), PatientID="P2", IssuerOfPatientID=None)
        child, unsized = (child, unsized) if child["DLP"] else (unsized, child)
        assert child["effective_dose"] is None
        assert any("16 cm phantom" in why for why in child["why_not"])
        assert unsized["why_not"] is None
        far = rows(lake.dose.events(), IssuerOfPatientID="OTHER")[0]
        assert far["why_not"] == ["no SSDE: the size is outside of 8 to 45 cm"]

    def test_not_patients_are_left_out_not_deleted(self, lake: dicomlake.Lake) -> None:
        assert not rows(lake.dose.events(), PatientID="QA-1")
        found = rows(lake.dose.events(include_not_patient=True), PatientID="QA-1")[0]
        assert found["not_patient"]
        assert "PatientID" in found["why_not"][0]

    def test_given_sizes_and_own_names(self, lake: dicomlake.Lake, tmp_path: Path) -> None:
        (tmp_path / "sizes.csv").write_text("PatientID,ap,lateral\nP1,200,450\n")
        (tmp_path / "names.yaml").write_text(
            "protocols:\n- {standard: Our head, match: schädel}\n"
            "devices:\n- {standard: Room 1, columns: StationName, match: CT1}\n"
        )
        found = rows(lake.dose.events(folder=tmp_path), PatientID="P1")
        assert {r["device"] for r in found} == {"Room 1"}
        sources = {(r["size_used"], r["size_source"]) for r in found}
        assert sources == {(300.0, "given"), (300.0, "as sent")}
        assert {r["standard_protocol"] for r in found} == {"Our head", "CT chest"}

    def test_of_a_condition(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.events("StudyDate >= 2024-06-01")
        assert found.column("DLP").to_pylist() == [240.0]
        same = lake.dose.events(parse("StudyDate >= 2024-06-01"))
        assert same.equals(found)

    def test_peak_skin_dose(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.events(), kind="projection")
        assert sorted(r["peak_skin_dose"] or 0 for r in found) == [0, pytest.approx(1500)]


class TestStudies:
    def test_two_phantoms_are_never_added(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.studies().to_pylist()
        both = next(r for r in found if r["events"] == 2 and r["CTDIvol_head"])
        assert (both["CTDIvol_head"], both["CTDIvol_body"]) == (60.0, 10.0)
        assert both["DLP"] == 800.0
        told = [r[name] for r in found for name in r if name.startswith("CTDIvol")]
        assert 70.0 not in told
        assert both["effective_dose_head"] == pytest.approx(500 * 0.0021)
        assert both["effective_dose_body"] == pytest.approx(300 * 0.014)
        assert both["effective_dose"] == pytest.approx(500 * 0.0021 + 300 * 0.014)

    def test_what_is_stated_differs(self, lake: dicomlake.Lake) -> None:
        found = {r["DLP_stated"]: r for r in lake.dose.studies().to_pylist()}
        late = found[260.0]
        assert (late["DLP"], late["DLP_events"], late["DLP_differs"]) == (240.0, 240.0, True)
        assert found[800.0]["DLP_differs"] is False

    def test_fluoroscopy_counts_as_stated(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.studies(), kinds=["projection"])[0]
        assert (found["DAP"], found["DAP_events"]) == (0.0025, pytest.approx(0.002))
        assert found["DAP_differs"] is True
        assert (found["RP"], found["RP_differs"]) == (pytest.approx(205), False)
        assert (found["fluoro_time"], found["peak_skin_dose"]) == (300.0, pytest.approx(1500))

    def test_events_without_an_estimate_are_counted(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.studies(), PatientID="P2", IssuerOfPatientID=None)[0]
        assert (found["effective_dose"], found["unestimated"]) == (None, 1)
        assert found["events"] == 2

    def test_sets_are_asked_one_at_a_time(self, lake: dicomlake.Lake) -> None:
        for name in ("AAPM 96", "NCI 2012"):
            found = lake.dose.studies(factor_set=name).column("factor_set").to_pylist()
            assert set(found) <= {name, None}


class TestPatients:
    def test_windows(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.patients(today=TODAY), PatientID="P1")[0]
        assert (found["studies"], found["DLP_total"]) == (3, 1280.0)
        assert (found["DLP_highest"], found["DLP_now"]) == (1040.0, 1040.0)
        assert found["DLP_highest_until"] == date(2024, 6, 1)
        short = rows(lake.dose.patients(today=TODAY, days=84), PatientID="P1")[0]
        assert (short["DLP_highest"], short["DLP_now"]) == (800.0, None)
        assert short["DLP_highest_until"] == date(2024, 1, 10)

    def test_the_last_day_of_a_window(self, lake: dicomlake.Lake) -> None:
        days = (date(2024, 6, 1) - date(2024, 1, 10)).days
        for length, highest in ((days, 800.0), (days + 1, 1040.0)):
            found = rows(lake.dose.patients(days=length, today=TODAY), PatientID="P1")[0]
            assert found["DLP_highest"] == highest

    def test_one_id_of_two_issuers_is_two_patients(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.patients(), PatientID="P2")
        assert sorted(r["DLP_total"] for r in found) == [40.0, 100.0]
        assert len({r["patient_key"] for r in found}) == 2

    def test_merged_ids_are_one_person(self, lake: dicomlake.Lake, tmp_path: Path) -> None:
        own = tmp_path / "patients.csv"
        head = "PatientID,IssuerOfPatientID,same_as,same_as_issuer\n"
        own.write_text(f"{head}P2,OTHER,P2,\nP2,,P1,\n")
        found = lake.dose.patients(folder=tmp_path, today=TODAY)
        assert sorted(found.column("PatientID").to_pylist()) == ["P1", "P3"]
        (one,) = rows(found, PatientID="P1")
        assert (one["studies"], one["DLP_total"]) == (5, 1420.0)
        assert one["DLP_highest"] == 1180.0
        history = lake.dose.patient(one["patient_key"], folder=tmp_path)
        assert history.num_rows == 5
        other = rows(lake.dose.patients(), IssuerOfPatientID="OTHER")[0]["patient_key"]
        assert lake.dose.patient(other, folder=tmp_path).equals(history)
        own.write_text(f"{head}P2,,P1,\nP1,,P2,\n")
        with pytest.raises(UsageError, match="in a circle"):
            lake.dose.patients(folder=tmp_path)

    def test_history(self, lake: dicomlake.Lake) -> None:
        key = rows(lake.dose.patients(), PatientID="P1")[0]["patient_key"]
        found = lake.dose.patient(key)
        assert found.column("StudyDate").to_pylist() == [
            date(2022, 1, 1), date(2024, 1, 10), date(2024, 6, 1),
        ]  # fmt: skip
        assert found.column("DLP_window").to_pylist() == [240.0, 800.0, 1040.0]
        assert lake.dose.patient("P1").equals(found)
        assert lake.dose.patient(str(key)).equals(found)
        with pytest.raises(UsageError, match="no patient 5"):
            lake.dose.patient(5)
        with pytest.raises(UsageError, match="No patient has this PatientID"):
            lake.dose.patient("P0")
        with pytest.raises(UsageError, match=r"name a patient_key: -?\d+, -?\d+"):
            lake.dose.patient("P2")


def test_nothing_in_it(tmp_path: Path) -> None:
    put(tmp_path / "in", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"})
    doses = lake_of(tmp_path / "in").dose
    for ask in (doses.events, doses.studies, doses.patients, doses.levels, doses.alarms,
                doses.outliers, doses.trends, doses.protocols):  # fmt: skip
        assert ask().num_rows == 0


class TestOrder:
    """Continued reports, and a cumulative one of both that comes late, in any order."""

    def documents(self) -> dict[str, tuple[dict[str, Any], str]]:
        a, b, c, d = (CT(name, 5.0 + n, 100.0 + n) for n, name in enumerate("abcd"))
        return {
            "one": (ct_report(a, b), "100000"),
            "two": (ct_report(c, d), "110000"),
            "all": (ct_report(a, b, c, d), "120000"),
        }

    def told(self, lake: Path) -> list[dict[str, Any]]:
        found = dicomlake.open(lake).dose
        return [*found.events().to_pylist(), *found.studies().to_pylist(),
                *found.patients(today=TODAY).to_pylist()]  # fmt: skip

    def test_any_order(self, tmp_path: Path) -> None:
        seen = []
        for n, order in enumerate(permutations(self.documents().items())):
            folder, lake = tmp_path / f"{n}", tmp_path / f"lake{n}"
            for name, (description, made) in order:
                path = put(folder, description, document=name, made=made)
                index([path], lake, workers=1)
            seen.append(self.told(lake))
        assert all(told == seen[0] for told in seen[1:])
        study = next(row for row in seen[0] if "DLP_stated" in row)
        assert (study["events"], study["events_stated"]) == (4, 4)
        assert (study["DLP"], study["DLP_stated"], study["DLP_differs"]) == (406.0, 406.0, False)

    def test_continued(self, tmp_path: Path) -> None:
        for name, (description, made) in list(self.documents().items())[:2]:
            put(tmp_path / "in", description, document=name, made=made)
        (study,) = lake_of(tmp_path / "in").dose.studies().to_pylist()
        assert (study["events"], study["events_stated"]) == (4, 4)
        assert (study["DLP"], study["DLP_stated"]) == (406.0, 406.0)

    def test_documents_that_share_some_events(self, tmp_path: Path) -> None:
        put(tmp_path / "in", rf_report(("a", 0.001, 0.1), ("b", 0.002, 0.1), dap=0.003, rp=0.2),
            document="one", made="100000")  # fmt: skip
        put(tmp_path / "in", rf_report(("b", 0.002, 0.1), ("c", 0.004, 0.1), dap=0.006, rp=0.2),
            document="two", made="110000")  # fmt: skip
        (study,) = lake_of(tmp_path / "in").dose.studies().to_pylist()
        assert study["DAP"] == study["DAP_events"] == pytest.approx(0.007)
        assert (study["DAP_stated"], study["DAP_differs"]) == (pytest.approx(0.009), True)
