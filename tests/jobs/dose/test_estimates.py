"""Factors, sizes and names in closed form: nothing here needs a lake."""

from __future__ import annotations

from datetime import date
from math import exp, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import factors, groups, size
from dicomlake.jobs.dose.levels import levels_of
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.protocols import names_of


class TestFactors:
    @pytest.mark.parametrize(
        ("set_", "region", "age", "phantom", "k"),
        [
            ("AAPM 96", "Head", 50, 16, 0.0021),
            ("AAPM 96", "Chest", 50, 32, 0.014),
            ("AAPM 96", "Abdomen and pelvis", 0.1, 16, 0.049),
            ("AAPM 96", "Chest", 4, 16, 0.018),
            ("AAPM 96", "Chest", 14, 16, 0.013),
            ("Deak 2010", "Chest", 50, 32, 0.0145),
            ("NCI 2012", "Chest", 50, 32, 0.021),
            ("NCI 2012", "Chest", 15.4, 32, 0.0121),
        ],
    )
    def test_table(self, set_: str, region: str, age: float, phantom: int, k: float) -> None:
        found = factors.of(set_).estimate(400.0, (region,), age, phantom)
        assert found.dose == pytest.approx(400 * k)
        assert found.factor is not None
        assert (found.factor.set, found.factor.region) == (set_, region)

    def test_sets_differ_and_are_named(self) -> None:
        doses = {
            name: factors.of(name).estimate(100.0, ("Chest",), 40, 32).dose
            for name in factors.names()
        }
        assert len(doses) == 5
        assert max(filter(None, doses.values())) == pytest.approx(2.1)
        with pytest.raises(UsageError, match="AAPM 96, Deak 2010"):
            factors.of("AAPM")

    @pytest.mark.parametrize(
        ("asked", "why"),
        [
            ((("Chest",), None, 32), "age is not known"),
            (((), 50, 32), "neither target region nor protocol"),
            ((("Knee",), 50, 32), "no factor for Knee"),
            ((("Chest",), 50, 16), "size is not known"),
            ((("Chest",), 50, None), "the phantom is not said"),
        ],
    )
    def test_refused(self, asked: tuple[Any, Any, Any], why: str) -> None:
        found = factors.of("AAPM 96").estimate(100.0, *asked)
        assert found.dose is None
        assert why in found.why

    def test_a_set_of_adults_has_nothing_for_children(self) -> None:
        found = factors.of("Deak 2010").estimate(100.0, ("Chest",), 9, 32)
        assert (found.dose, found.why) == (None, "Deak 2010 has no factor for this age")

    def test_another_phantom_is_converted_by_size(self) -> None:
        found = factors.of("AAPM 96").estimate(100.0, ("Chest",), 5, 32, 200.0)
        ratio = 3.704369 * exp(-0.03671937 * 20) / (1.874799 * exp(-0.03871313 * 20))
        assert found.dose == pytest.approx(100 * ratio * 0.018)
        assert "converted from the 32 cm phantom" in found.why

    def test_interpolation(self) -> None:
        chest = factors.of("AAPM 96")
        near = chest.estimate(100.0, ("Chest",), 7, 16)
        between = chest.estimate(100.0, ("Chest",), 7, 16, interpolate=True)
        assert near.dose == pytest.approx(1.8)
        assert between.dose == pytest.approx(100 * (0.018 + 0.4 * (0.013 - 0.018)))

    def test_of_a_site(self, tmp_path: Path) -> None:
        own = tmp_path / "factors.csv"
        own.write_text("set,weighting,region,age_class,k\nOurs,ICRP 103,Chest,adult,0.02\n")
        assert factors.names(own)[0] == "Ours"
        found = factors.of("Ours", own).estimate(100.0, ("Chest",), 50, None)
        assert found.dose == pytest.approx(2.0)
        own.write_text("set,weighting,region,age_class,k\nOurs,ICRP 103,Chest,20y,0.02\n")
        with pytest.raises(UsageError, match=r"factors.csv, line 2: '20y'"):
            factors.of("Ours", own)


class TestSize:
    @pytest.mark.parametrize(
        ("phantom", "diameter", "f"),
        [(32, 200, 1.777), (32, 300, 1.231), (16, 200, 0.864), (16, 300, 0.587)],
    )
    def test_aapm_204(self, phantom: int, diameter: float, f: float) -> None:
        assert size.factor(phantom, diameter) == pytest.approx(f, abs=5e-4)

    @pytest.mark.parametrize(("phantom", "diameter"), [(32, 79), (32, 451), (20, 200)])
    def test_outside(self, phantom: int, diameter: float) -> None:
        assert size.factor(phantom, diameter) is None

    def test_aapm_293_only_when_asked(self) -> None:
        assert size.factor(16, 180, head293=True) == pytest.approx(1.9852 * exp(-0.0486 * 18))
        assert size.factor(32, 180, head293=True) == size.factor(32, 180)


def phantom(
    diameter: float, field: float = 500.0, pixels: int = 256, hu: float = 0.0
) -> tuple[np.ndarray[Any, Any], tuple[float, float]]:
    """A cylinder in air, in HU, and the spacing of its pixels."""
    spacing = field / pixels
    axis = (np.arange(pixels) - pixels / 2 + 0.5) * spacing
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.where(np.hypot(x, y) <= diameter / 2, hu, -1000.0), (spacing, spacing)


class TestWater:
    @pytest.mark.parametrize("diameter", [100.0, 200.0, 320.0, 440.0])
    def test_cylinder_of_water(self, diameter: float) -> None:
        found = size.water(*phantom(diameter))
        assert found is not None
        assert found.diameter == pytest.approx(diameter, rel=0.01)
        assert (found.cut, found.truncated) == (0.0, False)

    def test_density_counts(self) -> None:
        found = size.water(*phantom(300.0, hu=200.0))
        assert found is not None
        assert found.diameter == pytest.approx(300 * sqrt(1.2), rel=0.01)

    def test_lungs_count_as_what_they_are(self) -> None:
        slice_, spacing = phantom(300.0)
        inner, _ = phantom(150.0)
        slice_[inner > -500] = -800.0
        found = size.water(slice_, spacing)
        assert found is not None
        outer, lung = 150**2 * pi, 75**2 * pi
        expected = 2 * sqrt((outer - lung + 0.2 * lung) / pi)
        assert found.diameter == pytest.approx(expected, rel=0.01)
        assert found.area == pytest.approx(outer, rel=0.01)

    def test_without_table(self) -> None:
        slice_, spacing = phantom(300.0)
        bottom = int(256 / 2 + 150 / spacing[0]) + 2
        slice_[bottom : bottom + 4, 20:236] = 100.0  # apart from the body
        slice_[bottom + 12 : bottom + 14, 20:236] = 300.0
        found = size.water(slice_, spacing)
        assert found is not None
        assert found.diameter == pytest.approx(300, rel=0.01)

    def test_without_a_table_that_touches(self) -> None:
        slice_, spacing = phantom(300.0)
        bottom = int(256 / 2 + 150 / spacing[0])
        slice_[bottom : bottom + 2, 20:236] = 100.0
        found = size.water(slice_, spacing)
        assert found is not None
        assert found.diameter == pytest.approx(300, rel=0.01)

    def test_cut_off(self) -> None:
        found = size.water(*phantom(300.0, field=270.0))
        assert found is not None
        assert found.truncated
        assert found.diameter < 300
        round_, spacing = phantom(300.0, field=320.0)
        far, _ = phantom(280.0, field=320.0)
        round_[far < -500] = -2048.0  # a round field of view
        found = size.water(round_, spacing)
        assert found is not None
        assert found.truncated

    def test_nothing_but_air(self) -> None:
        assert size.water(np.full((64, 64), -1000.0), (1.0, 1.0)) is None


class TestNames:
    @pytest.mark.parametrize(
        ("row", "standard"),
        [
            ({"kind": "CT", "protocol": "Schädel nativ 4mm"}, "CT head"),
            ({"kind": "CT", "protocol": "Abdomen portalvenös"}, "CT abdomen"),
            ({"kind": "CT", "protocol": "TAP"}, "CT chest abdomen pelvis"),
            ({"kind": "CT", "protocol": "Topogram Thorax"}, "CT localiser"),
            ({"kind": "CT", "protocol": "x", "type": "DCM:113805"}, "CT localiser"),
            ({"kind": "CT", "protocol": "x", "region": "SCT:69536005"}, "CT head"),
            ({"kind": "projection", "protocol": "THORAX_FACE"}, "XR chest pa"),
            ({"kind": "mammography", "protocol": "R CC"}, "Mammography"),
            ({"kind": "projection", "protocol": "Schädel nativ"}, None),
            ({"kind": "CT", "protocol": "Headache"}, None),
        ],
    )
    def test_ours(self, row: dict[str, Any], standard: str | None) -> None:
        rule = names_of(None).protocol(row, None)
        assert (rule.standard if rule else None) == standard

    @pytest.mark.parametrize(
        ("row", "nobody"),
        [
            ({"PatientID": "PHANTOM 3"}, True),
            ({"PatientID": "QA-2024"}, True),
            ({"PatientName": "Catphan600"}, True),
            ({"StudyDescription": "Daily QC"}, True),
            ({"PatientID": "QAMAR"}, False),
            ({"PatientName": "Testworthy^Alfie"}, False),
        ],
    )
    def test_not_patients(self, row: dict[str, Any], nobody: bool) -> None:
        said = names_of(None).not_patient(row)
        assert bool(said) is nobody
        assert not any(value in said for value in row.values())

    def test_names_of_a_site_have_a_history(self, tmp_path: Path) -> None:
        own = tmp_path / "names.yaml"
        rules = [
            {"standard": "Old", "match": "/^P12$/", "valid_to": "2023-12-31"},
            {"standard": "New", "match": "p12", "valid_from": "2024-01-01"},
        ]
        own.write_text(yaml.safe_dump({"protocols": rules}))
        names = names_of(own)
        row = {"kind": "CT", "protocol": "P12"}
        said = [names.protocol(row, date(year, 6, 1)) for year in (2023, 2024)]
        assert [rule.standard for rule in said if rule] == ["Old", "New"]

    @pytest.mark.parametrize(
        ("rules", "why"),
        [
            ([{"standard": "A"}], "say what it fits"),
            ([{"standard": "A", "match": "/(/"}], "no regular expression"),
            ([{"standard": "A", "match": "a", "on": ["x"]}], "is not known"),
            ([{"standard": "A", "match": "a", "columns": ["x"]}], "columns is one"),
            ([{"standard": "A", "match": "a", "valid_from": "soon"}], "is no day"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, rules: list[Any], why: str) -> None:
        own = tmp_path / "names.yaml"
        own.write_text(yaml.safe_dump({"protocols": rules}))
        with pytest.raises(UsageError, match=why):
            names_of(own)


def test_every_level_has_a_protocol_that_a_rule_names() -> None:
    standards = {rule.standard for rule in names_of(None).protocols}
    levels = levels_of(None)
    assert len(levels) == 63
    assert {level.protocol for level in levels} <= standards


def test_levels_of_a_site(tmp_path: Path) -> None:
    own = tmp_path / "levels.csv"
    head = "country,protocol,quantity,per,value,unit,source"
    own.write_text(f"{head}\nGB,CT head,DLP,examination,700,mGy.cm,ours\n")
    ours = [level for level in levels_of(own) if level.country == "GB"]
    assert [(level.protocol, level.value) for level in ours] == [("CT head", 700.0)]
    own.write_text(f"{head}\nGB,CT head,DLP,examination,700,mGy,ours\n")
    with pytest.raises(UsageError, match=r"line 2: DLP cannot be in 'mGy'"):
        levels_of(own)


def test_interval_of_the_median() -> None:
    assert groups.interval([1.0] * 5) == (None, None)
    assert groups.interval([float(n) for n in range(1, 21)]) == (6.0, 15.0)
    low, high = groups.interval([float(n) for n in range(2000)])
    assert (low, high) == (956.0, 1043.0)


def test_options() -> None:
    with pytest.raises(UsageError, match="2 at least"):
        DoseOptions(least=1)
    with pytest.raises(UsageError, match="no level"):
        DoseOptions(level="item")  # type: ignore[arg-type]
