"""The report of quality says what is true of series with known faults, and of the hospital."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.cli import main
from dicomlake.contracts import coded
from dicomlake.enrichers.conformance import ConformanceEnricher
from dicomlake.errors import UsageError
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.jobs.quality import changes, of_lake, page, read
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.testing import faults
from dicomlake.testing.dicom import uid
from dicomlake.testing.enrichers import Told
from dicomlake.testing.hospital import write

LUNG, LIVER = Code("39607008", "SCT", "Lung"), Code("10200004", "SCT", "Liver")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of series with known faults, checked; segmenters have seen two of them."""
    folder = tmp_path_factory.mktemp("quality")
    faults.write(folder / "objects")
    path = folder / "lake"
    index([folder / "objects"], path, workers=1)
    seen = {
        uid("faults", "clean CT1 0"): [
            {"kind": "structure", "label": "lung_left", **coded("structure", LUNG)},
            {"kind": "structure", "label": "liver", **coded("structure", LIVER)},
        ],
        uid("faults", "clean CT1 1"): [
            {"kind": "structure", "label": "liver", **coded("structure", LIVER)}
        ],
    }
    enrich(path, Told(seen, name="totalsegmentator"))
    enrich(path, ConformanceEnricher(path, {}, more=()))
    return path


@pytest.fixture(scope="module")
def told(lake: Path) -> dict[str, Any]:
    return of_lake(lake)


def attribute(told: dict[str, Any], path: str) -> dict[str, Any]:
    (row,) = (row for row in told["attributes"] if row["path"] == path)
    return row


SERIES = len(list(faults.series()))


class TestTruth:
    def test_counts_and_devices(self, told: dict[str, Any], lake: Path) -> None:
        assert told["counts"]["series"] == SERIES
        groups = {row["key"]: row["series"] for row in told["groups"]}
        assert groups == {
            "Model 1 CT1": SERIES - 3 * faults.STUDIES - 3,
            "Model 1 CT2": 8, "Model 1 CT3": 8, "Model 1 CT4": 8, "Model 2 MR1": 3,
        }  # fmt: skip

    def test_attributes_are_counted_of_the_series_that_should_have_them(
        self, told: dict[str, Any], lake: Path
    ) -> None:
        kvp = attribute(told, "KVP")
        assert (kvp["of"], kvp["filled"]) == (SERIES - 3, SERIES - 3)
        part = attribute(told, "BodyPartExamined")
        assert (part["of"], part["filled"]) == (SERIES, SERIES - 1)
        field = attribute(told, "MagneticFieldStrength")
        assert (field["of"], field["filled"]) == (3, 3)
        accession = attribute(told, "AccessionNumber")
        assert (accession["of"], accession["filled"]) == (SERIES, SERIES - 1)
        assert attribute(told, "Laterality")["filled"] == 1
        for row in told["attributes"]:
            shown = told["groups"]
            assert sum(cell["filled"] for cell in row["groups"]) == row["filled"]
            assert len(row["groups"]) == len(shown)

    def test_questions_find_what_is_counted(self, told: dict[str, Any], lake: Path) -> None:
        opened = dicomlake.open(lake)
        for row in told["attributes"]:
            assert opened.query(row["question"]).total == row["of"] - row["filled"], row["path"]
        for row in told["findings"]:
            assert opened.query(row["question"]).total == row["series"], row["rule"]

    def test_findings_are_those_that_were_made(self, told: dict[str, Any]) -> None:
        found = Counter({row["rule"]: row["rows"] for row in told["findings"]})
        assert found == faults.truth() + Counter(["segmented anatomy disagrees"])
        by_group = Counter[str]()
        for row in told["findings_by"]:
            by_group[row["rule"]] += row["series"]
        assert by_group == found
        severities = [row["severity"] for row in told["findings"]]
        assert severities == sorted(severities, key=["error", "warning", "note"].index)

    def test_modality_region_and_laterality(self, told: dict[str, Any]) -> None:
        assert told["modality"] == {
            "given": SERIES, "missing": 0, "listed": SERIES, "not_listed": [],
        }  # fmt: skip
        region = told["body_region"]
        counted = [region[n] for n in ("images", "standard", "mapped", "unknown", "missing")]
        assert counted == [SERIES, SERIES - 3, 1, 1, 1]
        (free,) = region["free"]
        assert (free["value"], free["codes"]) == ("KOPF", ["SCT:69536005"])
        assert [row["value"] for row in region["not_known"]] == ["Q7"]
        assert told["laterality"] == {"paired": 2, "given": 1, "missing": 1, "contradicting": 1}

    def test_sizes(self, told: dict[str, Any]) -> None:
        many = [len(made.objects) for made in faults.series()]
        whole = told["sizes"]["instances_per_series"]
        assert {row["of"]: row["many"] for row in whole} == {
            "CT": SERIES - 4, "MR": 3, "CR": 1,
        }  # fmt: skip
        steps = {row["low"]: row["many"] for row in told["sizes"]["series"]}
        assert steps == {1: many.count(1), 2: many.count(2), 3: many.count(3) + many.count(4)}
        studies = told["sizes"]["series_per_study"]
        assert (studies["many"], studies["max"]) == (SERIES - 1, 2)

    def test_header_and_segmented_anatomy(self, told: dict[str, Any]) -> None:
        anatomy = told["anatomy"]
        assert (anatomy["compared"], anatomy["agreeing"]) == (2, 1)
        assert anatomy["rows"] == [
            {"header": "chest", "seen": "abdomen", "series": 2},
            {"header": "chest", "seen": "chest", "series": 1},
        ]

    def test_the_clock_that_is_ahead_is_found(self, told: dict[str, Any]) -> None:
        clocks = {row["device"]: row for row in told["clocks"] if row["against"] == "study"}
        assert set(clocks) == {f"Model 1 CT{n}" for n in (1, 2, 3, 4)}
        assert clocks["Model 1 CT4"]["offset_s"] == faults.AHEAD_S
        assert [clocks[f"Model 1 CT{n}"]["offset_s"] for n in (1, 2, 3)] == [0, 0, 0]
        assert clocks["Model 1 CT4"]["samples"] == faults.STUDIES
        months = clocks["Model 1 CT4"]["months"]
        assert len(months) == faults.STUDIES
        assert {month["offset_s"] for month in months} == {faults.AHEAD_S}

    def test_years(self, told: dict[str, Any]) -> None:
        (year,) = told["trend"]
        assert (year["period"], year["series"], year["checked"]) == ("2021", SERIES, SERIES)
        rules = {row["rule"] for row in told["findings"] if row["severity"] == "error"}
        wrong = sum(any(rule in rules for rule in made.faults) for made in faults.series())
        assert year["with_errors"] == wrong

    def test_counts_of_archives(self, lake: Path, tmp_path: Path) -> None:
        import shutil

        copy = Path(shutil.copytree(lake, tmp_path / "lake"))
        store = Store(copy)
        rows = [
            {"key": name, "source": "pacs", "level": "SERIES",
             "SeriesInstanceUID": uid("faults", name), "NumberOfSeriesRelatedInstances": n}
            for name, n in (("clean CT1 0", 5), ("clean CT2 0", 2), ("clean CT3 0", 3))
        ]  # fmt: skip
        with store.lock():
            store.append("catalogue", pa.Table.from_pylist(rows, tables.CATALOGUE), run_id="r")
        declared = of_lake(copy)["declared"]
        assert declared["series"] == {"compared": 3, "equal": 1, "fewer": 1, "more": 1}


class TestAsked:
    @pytest.mark.parametrize(
        ("by", "keys"),
        [("site", {"House 1"}), ("year", {"2021"}), ("modality", {"CT", "MR", "CR"})],
    )
    def test_groups(self, lake: Path, by: str, keys: set[str]) -> None:
        assert {row["key"] for row in of_lake(lake, by=by)["groups"]} == keys

    def test_months_are_in_order(self, lake: Path) -> None:
        keys = [row["key"] for row in of_lake(lake, by="month")["groups"]]
        assert keys == sorted(keys, reverse=True)
        assert keys[0] == "2021-08"

    def test_a_question_narrows_it(self, lake: Path) -> None:
        told = of_lake(lake, where="Modality = 'MR'", attributes=["KVP", "OtherPatientIDs"])
        assert told["counts"]["series"] == 3
        assert told["where"] == "Modality = 'MR'"
        assert [row["path"] for row in told["attributes"]] == ["KVP", "OtherPatientIDs"]
        assert attribute(told, "OtherPatientIDs")["of"] == 3
        assert {row["rule"] for row in told["findings"]} == {
            "field strength is odd", "flip angle is odd", "echo after repetition",
        }  # fmt: skip
        assert told["findings"][0]["question"].startswith("Modality = 'MR' and ")

    def test_attributes_that_are_no_columns_are_counted(self, lake: Path) -> None:
        told = of_lake(lake, attributes=["PositionReferenceIndicator", "PixelRepresentation"])
        assert attribute(told, "PixelRepresentation")["filled"] == SERIES
        assert attribute(told, "PositionReferenceIndicator")["filled"] == 0

    def test_nothing_found_is_a_report_too(self, lake: Path) -> None:
        told = of_lake(lake, where="Modality = 'US'")
        assert told["counts"]["series"] == 0
        assert "Data quality" in page(told)

    def test_what_cannot_be_asked_is_said(self, lake: Path) -> None:
        with pytest.raises(UsageError, match="'colour' is nothing to report by"):
            of_lake(lake, by="colour")
        with pytest.raises(UsageError, match="inside of objects"):
            of_lake(lake, attributes=["segment.volume"])
        with pytest.raises(UsageError, match="Did you mean EchoTime"):
            of_lake(lake, attributes=["EchoTim"])

    def test_the_python_api(self, lake: Path) -> None:
        opened = dicomlake.open(lake)
        told = opened.quality("Modality = 'CT'", by="site")
        assert told["counts"]["series"] == SERIES - 4
        assert opened.quality("Modality = 'CT'", by="site") is told


class TestChanges:
    def test_better_and_worse(self, told: dict[str, Any]) -> None:
        now: dict[str, Any] = json.loads(json.dumps(told))
        row = attribute(now, "AccessionNumber")
        row["filled"] = row["of"] // 2
        now["laterality"]["given"] = 2
        now["findings"] = [r for r in now["findings"] if r["rule"] != "several sexes"]
        found = {row["what"]: row["better"] for row in changes(now, told)}
        assert found == {
            "AccessionNumber filled in": False,
            "laterality given of paired organs": True,
            "series with: several sexes": True,
        }
        assert next(iter(found)) == "AccessionNumber filled in"
        assert changes(told, told) == []


class _Outside(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "a"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on") or name == "src"]


class TestPage:
    def test_it_needs_nothing_and_tells_of_no_patient(self, told: dict[str, Any]) -> None:
        html = page(told, changes(told, told))
        outside = _Outside()
        outside.feed(html)
        assert outside.found == []
        assert "url(" not in html
        assert "@import" not in html
        for text in (html, json.dumps(told)):
            for secret in (faults.SECRET, "F-births", "F-sexes", "19600102", "1960"):
                assert secret not in text
        asked = "finding.rule = &#x27;KVP is odd&#x27;"
        for words in ("Body region", "Clocks of devices", "+20.0 min", "anatomy disagrees", asked):
            assert words in html

    def test_values_are_escaped(self, told: dict[str, Any]) -> None:
        odd: dict[str, Any] = json.loads(json.dumps(told))
        odd["groups"][0]["key"] = "<script>alert(1)</script>"
        odd["body_region"]["not_known"][0]["value"] = "<b>"
        html = page(odd)
        assert "<script" not in html
        assert "<b>" not in html


class TestCommand:
    def test_it_writes_and_compares(
        self, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        json_, html = tmp_path / "report.json", tmp_path / "report.html"
        main_of(["quality", str(lake), "--by", "site", "--output", str(json_)])
        assert read(json_)["by"] == "site"
        main_of(["quality", str(lake), "--against", str(json_), "--output", str(html)])
        assert "Nothing changed by half a percent" in html.read_text()
        main_of(["quality", str(lake), "--where", "Modality = 'MR'", "--against", str(json_)])
        out = capsys.readouterr().out
        assert "3 series of 3 patients" in out
        assert re.search(r"worse: series with: field strength is odd 1\.3% -> 33\.3%", out)

    @pytest.mark.parametrize(
        ("more", "why"),
        [(["--output", "x.pdf"], "written as .html or .json"),
         (["--against", "none.json"], "cannot be read as a report")],
    )  # fmt: skip
    def test_faults_are_sentences(
        self, lake: Path, more: list[str], why: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(["quality", str(lake), *more])
        assert stopped.value.code == 2
        assert why in capsys.readouterr().err

    def test_reports_of_other_layouts_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "old.json").write_text('{"layout": 0}')
        with pytest.raises(UsageError, match="no report of layout 1"):
            read(tmp_path / "old.json")


def main_of(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A lake of a small hospital, checked, and the truth about it."""
    folder = tmp_path_factory.mktemp("house")
    summary = write(folder / "archive", 12)
    index([folder / "archive"], folder / "lake", workers=1)
    enrich(folder / "lake", ConformanceEnricher(folder / "lake", {}, more=()))
    return folder / "lake", summary


class TestHospital:
    """The made-up hospital, whose summary counts what is untidy."""

    def test_traits_are_found(self, house: tuple[Path, Any]) -> None:
        lake, summary = house
        with Store(lake).database() as db:
            rows = db.sql(
                "select path, text, sum(instances)::bigint from findings "
                "where rule = 'value against its VR' group by all"
            ).fetchall()
        counted = {(path, text): n for path, text, n in rows}
        traits = summary.traits
        assert counted["SeriesDate", "DA: not a date"] == traits["invalid DA"] > 0
        assert counted["SeriesTime", "TM: not a time"] == traits["invalid TM"] > 0
        assert counted["SliceThickness", "DS: not a decimal number"] == traits["invalid DS"] > 0
        born = counted["PatientBirthDate", "DA: not a date"]
        assert born == traits["PatientBirthDate invalid"] > 0

    def test_fill_rates_are_those_of_the_charts(self, house: tuple[Path, Any]) -> None:
        lake, _ = house
        opened = dicomlake.open(lake)
        paths = ["AccessionNumber", "PatientSex", "StationName", "ManufacturerModelName"]
        whole = opened.fill_rate("Modality", paths).whole
        told = opened.quality(attributes=paths)
        assert [row["filled"] for row in told["attributes"]] == whole[2]
        assert whole[2][0] < whole[1]

    def test_body_parts_are_those_of_images(self, house: tuple[Path, Any]) -> None:
        lake, _ = house
        enrich(lake, "codes")
        region = dicomlake.open(lake).quality()["body_region"]
        stated = sum(row["series"] for row in region["stated"])
        assert 0 < stated <= region["images"]


def test_the_documented_schema_is_that_of_reports(told: dict[str, Any]) -> None:
    schema = json.loads(
        (Path(dicomlake.__file__).parent / "jobs/schemas/quality.schema.json").read_text()
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = {**told, "changes": changes(told, told)}
    jsonschema.validate(json.loads(json.dumps(whole)), schema)
    assert set(schema["properties"]) == set(whole)
