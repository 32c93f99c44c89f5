"""Conformance finds what is wrong, once, and nothing where nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.contracts import coded
from dicomlake.contracts.enrichers import Enricher, Subject
from dicomlake.enrichers.conformance import RULES, Case, ConformanceEnricher, Fault, Rule
from dicomlake.enrichers.conformance.facts import required
from dicomlake.errors import UsageError
from dicomlake.jobs.enriching import enrich, subjects, waiting
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.testing import faults
from dicomlake.testing.dicom import uid
from dicomlake.testing.enrichers import EnricherContract, Told


def conformance(lake: Path, **options: str) -> ConformanceEnricher:
    return ConformanceEnricher(lake, options, more=())


def found(lake: Path) -> list[dict[str, Any]]:
    with Store(lake).database() as db:
        rows: list[dict[str, Any]] = (
            db.sql('select f.*, "SeriesInstanceUID" from findings f join series using (series_id)')
            .to_arrow_table()
            .to_pylist()
        )
    return rows


class TestContract(EnricherContract):
    @pytest.fixture
    def enricher(self, made: Path) -> Enricher:
        return conformance(made)

    @pytest.fixture
    def subjects(self, made: Path, enricher: Enricher) -> Sequence[Subject]:
        store = Store(made)
        ids = waiting(store, enricher).column("series_id").to_pylist()
        return subjects(store, enricher, ids)


class TestTruth:
    def test_each_series_has_the_faults_it_was_given(self, faulty: Path) -> None:
        enrich(faulty, conformance(faulty))
        by_series: dict[str, Counter[str]] = {}
        for row in found(faulty):
            by_series.setdefault(row["SeriesInstanceUID"], Counter())[row["rule"]] += 1
        for made in faults.series():
            assert by_series.get(made.SeriesInstanceUID, Counter()) == made.faults, made.name

    def test_findings_can_be_asked(self, faulty: Path) -> None:
        enrich(faulty, conformance(faulty))
        lake = dicomlake.open(faulty)
        for rule, count in faults.truth().items():
            assert lake.query(f"finding.rule = '{rule}'").total == count, rule
        odd = "same(finding, finding.rule = 'type 1 missing' and finding.path = 'RescaleSlope')"
        assert lake.query(odd).total == 1

    def test_nothing_of_a_patient_is_in_a_row(self, faulty: Path) -> None:
        enrich(faulty, conformance(faulty))
        said = repr([[row[n] for n in ("path", "text", "value", "expected")]
                     for row in found(faulty)])  # fmt: skip
        for secret in (faults.SECRET, "F-births", "19600102", "1960-01-02", "2022"):
            assert secret not in said

    def test_rules_have_names_of_their_own_and_sentences(self) -> None:
        shared = {name for name, n in Counter(one.name for one in RULES).items() if n > 1}
        assert shared == {"negative number"}  # one rule per attribute, all of one name
        assert all(one.text.endswith((".", "?")) for one in RULES)


class TestCatalogue:
    def test_counts_of_the_archive_are_compared(self, faulty: Path) -> None:
        store = Store(faulty)
        names = ("clean CT1 0", "clean CT2 0", "clean CT3 0")
        rows = [
            {"key": name, "source": "pacs", "level": "SERIES",
             "SeriesInstanceUID": uid("faults", name), "NumberOfSeriesRelatedInstances": n}
            for name, n in zip(names, (5, 2, 3), strict=True)
        ]  # fmt: skip
        with store.lock():
            store.append("catalogue", pa.Table.from_pylist(rows, tables.CATALOGUE), run_id="r")
        enrich(faulty, conformance(faulty))
        counted = {
            (row["rule"], row["value"], row["expected"])
            for row in found(faulty)
            if row["path"] == "NumberOfSeriesRelatedInstances"
        }
        assert counted == {
            ("fewer instances than listed", "3", "5"), ("more instances than listed", "3", "2"),
        }  # fmt: skip


LIVER = Code("10200004", "SCT", "Liver")
LUNG = Code("39607008", "SCT", "Lung")
KNEE = Code("72696002", "SCT", "Knee")


class TestAnatomy:
    def test_what_segmenters_see_is_compared_with_the_header(self, faulty: Path) -> None:
        chest, other = uid("faults", "clean CT1 0"), uid("faults", "clean CT1 1")
        seen = {
            chest: [{"kind": "structure", "label": "lung_left", **coded("structure", LUNG)}],
            other: [{"kind": "structure", "label": "liver", **coded("structure", LIVER)}],
            uid("faults", "clean CT1 2"): [  # the dome of a liver below a chest
                {"kind": "structure", **coded("structure", LIVER), "complete": False}
            ],
        }
        enrich(faulty, Told(seen, name="totalsegmentator"))
        enrich(faulty, conformance(faulty))
        rows = [r for r in found(faulty) if r["rule"] == "segmented anatomy disagrees"]
        assert [(r["SeriesInstanceUID"], r["value"], r["expected"]) for r in rows] == [
            (other, "CHEST", "abdomen")
        ]

    def test_words_say_another_side(self, faulty: Path) -> None:
        knee = uid("faults", "laterality contradicts")
        row = {"kind": "body part", "label": "KNEE", **coded("structure", KNEE),
               "laterality": "SCT:24028007", "confidence": 0.9}  # fmt: skip
        enrich(faulty, Told({knee: [row], uid("faults", "clean CT1 0"): [row]}, name="codes"))
        enrich(faulty, conformance(faulty))
        rules = {(r["SeriesInstanceUID"], r["rule"]) for r in found(faulty)}
        # By the words the chest of the header is a knee, and has no side.
        assert (uid("faults", "clean CT1 0"), "laterality missing") in rules
        assert (knee, "laterality missing") not in rules


RULES_OF_A_SITE = """
- name: chest CT without contrast agent
  severity: note
  where: Modality = 'CT' and BodyPartExamined = 'CHEST' and ContrastBolusAgent missing
  text: The agent is not documented.
  path: ContrastBolusAgent
- name: knee
  where: BodyPartExamined = 'KNEE'
  text: It is a knee.
"""


class TestRulesOfASite:
    def test_each_question_makes_findings(self, faulty: Path) -> None:
        (faulty / "rules.yaml").write_text(RULES_OF_A_SITE)
        enricher = conformance(faulty, rules="rules.yaml")
        assert "rules.yaml" in enricher.model
        enrich(faulty, enricher)
        lake = dicomlake.open(faulty)
        chests = lake.query("Modality = 'CT' and BodyPartExamined = 'CHEST'").total
        assert lake.query("finding.rule = 'chest CT without contrast agent'").total == chests > 30
        knees = [row for row in found(faulty) if row["rule"] == "knee"]
        assert [(row["severity"], row["text"]) for row in knees] == [
            ("warning", "It is a knee.")
        ] * 2

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("no: list", "holds no list"),
            ("- name: x", "rule 1 is not complete"),
            ("- {name: x, where: KVP > 3, text: y, colour: red}", "'colour', which is not known"),
            ("- {name: x, where: KVP > 3, text: y, severity: bad}", "'bad' is no severity"),
            ("- {name: x, where: EchoTim > 3, text: y}", "Did you mean EchoTime"),
            ("- {name: x, where: '', text: y}", "asks nothing"),
            ("- {name: x, where: KVP > 3, text: y}\n- {name: x, where: KVP > 3, text: y}",
             "two rules 'x'"),
            ("{", "no YAML"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_with_a_file_is_said(self, tmp_path: Path, text: str, why: str) -> None:
        (tmp_path / "rules.yaml").write_text(text)
        with pytest.raises(UsageError, match=why):
            conformance(tmp_path, rules="rules.yaml")

    def test_an_unknown_option_or_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no option 'rule', only rules"):
            conformance(tmp_path, rule="x")
        with pytest.raises(UsageError, match=r"gone\.yaml cannot be read"):
            conformance(tmp_path, rules="gone.yaml")

    def test_rules_of_other_packages_are_run(self, faulty: Path) -> None:
        def no_station(case: Case) -> Fault | None:
            return None if case["StationName"] == "CT1" else Fault(value=case["StationName"])

        more = Rule("other station", "note", "It is not CT1.", "StationName", no_station)
        enrich(faulty, ConformanceEnricher(faulty, {}, more=[more]))
        rows = [row for row in found(faulty) if row["rule"] == "other station"]
        assert Counter(row["value"] for row in rows) == {"CT2": 8, "CT3": 8, "CT4": 8, "MR1": 3}


def test_required_attributes_are_keywords() -> None:
    from dicomlake.dicom import dictionary

    listed = required()
    assert len(listed) > 20
    for some in listed.values():
        for one in some:
            assert dictionary.attribute(one.keyword).vr
            assert one.type in ("1", "2")


def test_series_that_came_later_are_known(faulty: Path, tmp_path: Path) -> None:
    from dicomlake.jobs.index import index
    from dicomlake.testing.dicom import encode, image

    enricher = conformance(faulty)
    enrich(faulty, enricher)
    late = image(SOPInstanceUID=uid("late"), SeriesInstanceUID=uid("late series"), KVP=-3)
    (tmp_path / "late.dcm").write_bytes(encode(late))
    index([tmp_path / "late.dcm"], faulty, workers=1)
    assert enrich(faulty, enricher).done == 1
    assert dicomlake.open(faulty).query("finding.rule = 'KVP is odd'").total == 2
