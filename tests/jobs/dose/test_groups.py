"""Statements on groups: reference levels, outliers, drifts; what they need and leave out."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import pyarrow as pa
import pytest

import dicomlake
from dicomlake.testing.dicom import uid
from tests.jobs.dose.made import CHEST, CT, HEAD, ct_report, lake_of, put

PLANTED = {"high": 90.0, "low": 1.0}


def plain(n: int) -> float:
    """A CTDIvol of a patient: about 8 mGy."""
    return round(8 + Random(n).gauss(0, 1), 2)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> dicomlake.Lake:
    """Chests of 24 patients on CT1, of 19 on CT2; heads of 20 above the level of Germany."""
    folder = tmp_path_factory.mktemp("groups") / "in"
    for n in range(24):
        ctdi = {22: PLANTED["high"], 23: PLANTED["low"]}.get(n, plain(n))
        software = "V1" if n % 2 else "V2"
        day = "20240110" if software == "V1" else "20240710"
        put(folder, ct_report(CT(f"a{n}", ctdi, ctdi * 30)), patient=f"A{n}", study=f"a{n}",
            day=day, SoftwareVersions=software)  # fmt: skip
    for n in range(19):
        put(folder, ct_report(CT(f"b{n}", plain(n), 240.0)), patient=f"B{n}", study=f"b{n}",
            StationName="CT2", ManufacturerModelName="Other")  # fmt: skip
    more = {"StationName": "CT3", "ManufacturerModelName": "Third"}
    for n in range(20):
        event = CT(f"c{n}", 70.0 + n / 10, 900.0, 16, HEAD, "Schädel")
        put(folder, ct_report(event), patient=f"C{n}", study=f"c{n}", day="20150101", **more)
    excluded: list[tuple[str, list[CT], dict[str, Any]]] = [
        ("zero", [CT("x0", 0.0, 0.0)], {}),
        ("heavy", [CT("x1")], {"PatientWeight": 130}),
        ("young", [CT("x2")], {"PatientAge": "012Y"}),
        ("ageless", [CT("x3")], {"PatientAge": None}),
        ("mixed", [CT("x4"), CT("x5", 50.0, 500.0, 16, HEAD, "Schädel")], {}),
        ("QA-7", [CT("x6", 900.0, 9000.0)], {}),
    ]
    for name, events, about in excluded:
        put(folder, ct_report(*events), patient=name, study=name, **about)
    put(folder, ct_report(CT("again", 9.0, 270.0)), patient="A0", study="again", day="20241010")
    return lake_of(folder)


def rows(found: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    return [r for r in found.to_pylist() if all(r[name] == said for name, said in wanted.items())]


class TestLevels:
    def one(self, lake: dicomlake.Lake, device: str, quantity: str, **more: Any) -> dict[str, Any]:
        found = lake.dose.levels(**more)
        (row,) = rows(found, device=device, quantity=quantity, country="GB", exam="Chest")
        return row

    def test_nineteen_are_too_few(self, lake: dicomlake.Lake) -> None:
        row = self.one(lake, "Other CT2", "CTDIvol")
        assert (row["n"], row["verdict"]) == (19, "too few")
        assert row["median"] == pytest.approx(median(plain(n) for n in range(19)))
        asked = self.one(lake, "Other CT2", "CTDIvol", least=19)
        assert asked["verdict"] == "not above"

    def test_twenty_are_enough(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.levels(), device="Third CT3", country="DE", quantity="CTDIvol")
        (row,) = found
        assert (row["n"], row["verdict"], row["level"]) == (20, "above", 65.0)
        assert row["median"] == pytest.approx(70.95)
        assert (row["low"], row["high"]) == (70.5, 71.4)
        assert row["ratio"] == pytest.approx(70.95 / 65)

    def test_a_level_of_another_time_is_not_compared(self, lake: dicomlake.Lake) -> None:
        assert not rows(lake.dose.levels(), device="Third CT3", country="GB")

    def test_one_value_of_each_standard_patient(self, lake: dicomlake.Lake) -> None:
        row = self.one(lake, "Model CT1", "CTDIvol")
        values = [9.0 if n == 0 else plain(n) for n in range(22)] + [90.0, 1.0, 10.0]
        assert row["n"] == 25  # with the chest of the mixed examination
        assert row["median"] == pytest.approx(median(values))
        assert row["excluded"] == [
            "1 age not known",
            "1 another age",
            "1 another study of the same patient",
            "1 no standard weight",
            "1 no value, or 0",
        ]

    def test_an_examination_is_of_one_protocol(self, lake: dicomlake.Lake) -> None:
        row = self.one(lake, "Model CT1", "DLP")
        assert (row["per"], row["n"]) == ("examination", 24)
        assert "1 several protocols in one examination" in row["excluded"]

    def test_never_one_patient(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.levels("PatientID = 'A1'", least=2)
        assert set(found.column("verdict").to_pylist()) == {"too few"}
        assert not {"PatientID", "patient_key"} & set(found.column_names)

    def test_levels_of_a_country(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.levels(country="GB").column("country").to_pylist()
        assert set(found) == {"GB", None}
        lonely = rows(lake.dose.levels(country="GB"), device="Third CT3")
        assert {r["verdict"] for r in lonely} == {"no level"}


class TestOutliers:
    def test_planted_ones_are_found(self, lake: dicomlake.Lake) -> None:
        found = rows(lake.dose.outliers(), quantity="CTDIvol")
        planted = [(uid("event", "a22"), "high"), (uid("event", "a23"), "low")]
        assert {(r["event_key"], r["tail"]) for r in found} == set(planted)
        for row in found:
            assert abs(row["z"]) > 3.5
            assert row["n"] >= 20
            assert row["size_bin"] == "70 to 90 kg"

    def test_only_in_groups_that_are_large_enough(self, lake: dicomlake.Lake) -> None:
        assert lake.dose.outliers(least=40).num_rows == 0

    def test_a_hard_limit_needs_no_group(self, lake: dicomlake.Lake) -> None:
        found = lake.dose.outliers("PatientID = 'QA-7'", include_not_patient=True)
        assert found.num_rows == 0  # no patient, whatever is asked

    def test_drift(self, lake: dicomlake.Lake) -> None:
        chest = {"device": "Model CT1", "quantity": "CTDIvol", "standard_protocol": "CT chest"}
        first, second = rows(lake.dose.trends(least=12), **chest)
        assert (first["SoftwareVersions"], second["SoftwareVersions"]) == ("V1", "V2")
        assert first["change"] is None
        assert second["change"] == pytest.approx(second["median"] / first["median"])
        few = rows(lake.dose.trends(least=100), **chest)
        assert [r["change"] for r in few] == [None, None]


def test_hard_limits(tmp_path: Path) -> None:
    put(tmp_path / "in", ct_report(CT("one", 600.0, 700.0), CT("two", 10.0, 300.0)))
    (row,) = lake_of(tmp_path / "in").dose.outliers().to_pylist()
    assert (row["event_key"], row["quantity"], row["why"]) == (
        uid("event", "one"), "CTDIvol", "hard limit",
    )  # fmt: skip
    assert (row["value"], row["limit"], row["z"]) == (600.0, 500.0, None)


def test_protocols_say_their_rule(lake: dicomlake.Lake) -> None:
    found = lake.dose.protocols().to_pylist()
    assert found[0]["standard_protocol"] == "CT chest"
    assert found[0]["events"] == 30
    assert all(row["rule"].startswith("names.yaml, protocols ") for row in found)
    assert CHEST.meaning == found[0]["region_meaning"]
