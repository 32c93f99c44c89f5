"""Codes of labels: sides stand apart, and what has no row has no code."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dicomlake.terms import structures
from dicomlake.terms.mapping import normal


def labels() -> list[str]:
    path = Path(structures.__file__).parent / "structures.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [row["label"] for row in csv.DictReader(lines)]


def test_every_label_stands_once() -> None:
    found = labels()
    assert len(found) == len(set(found)) > 120


@pytest.mark.parametrize("label", labels())
def test_rows_are_whole(label: str) -> None:
    found = structures.of(label)
    assert found.kind in ("structure", "tissue", "finding")
    assert found.name
    assert found.structure or found.code
    assert found.equivalence in ("equivalent", "narrower", "broader")
    side = next((s for s in ("left", "right") if s in label.split("_")), "")
    assert (found.laterality.meaning.lower() if found.laterality else "") == side
    for code in (found.structure, found.code):
        if code is not None:
            assert normal(code.value, code.scheme) == (code.value, code.scheme)
    for code_ in found.also:
        scheme, _, value = code_.partition(":")
        assert scheme in ("SCT", "RADLEX")
        assert "|" not in value


def test_structure_and_side_are_unique() -> None:
    total = [structures.of(label) for label in labels()[:117]]
    keys = {(s.structure, s.laterality, s.code) for s in total}
    assert len(keys) == 117


def test_known_mistakes_of_others_are_not_repeated() -> None:
    # The side of a code is the side of its label.
    assert "SCT:722738000" not in structures.of("femur_right").also
    assert structures.of("subclavian_artery_left").also[0] == "SCT:85235006"
    assert structures.of("vertebrae_S1").also == ()
    assert structures.of("rib_left_4").also == ()
    assert structures.of("portal_vein_and_splenic_vein").also == (
        "RADLEX:RID1208",
        "RADLEX:RID1209",
    )
    maximus = structures.of("gluteus_maximus_left").structure
    assert maximus is not None
    assert maximus.value == "206007"


def test_a_cyst_is_a_finding_in_a_kidney() -> None:
    found = structures.of("kidney_cyst_right")
    assert found.kind == "finding"
    assert found.code is not None
    assert found.structure is not None
    assert (found.code.meaning, found.structure.meaning, found.name) == (
        "Cyst", "Kidney", "Cyst: right kidney",
    )  # fmt: skip


def test_labels_without_a_row_have_words() -> None:
    for label in ("vertebrae_L6", "intervertebral_discs", "tooth_11"):
        found = structures.of(label)
        assert found.structure is found.code is found.laterality is None
        assert found.name[0].isupper()
