"""How much of made-up reports in four languages is found (`labelled` says how they are made)."""

from __future__ import annotations

from tests.deid import labelled


def test_the_sets_are_large_enough_and_apart() -> None:
    halves = {
        half: [template for language in labelled.LANGUAGES
               for template in (labelled.FOLDER / half / f"{language}.txt").read_text("utf-8")
               .split("=== ")[1:]]
        for half in ("tuning", "test")
    }  # fmt: skip
    assert len(halves["tuning"]) + len(halves["test"]) >= 40
    assert not set(halves["tuning"]) & set(halves["test"])
    assert sum(len(one.labels) for one in labelled.reports("test")) > 2000


def test_with_a_header_the_test_half_is_found() -> None:
    score = labelled.score("test")
    assert score.recall >= 0.95
    assert score.precision >= 0.90


def test_without_a_header_most_of_the_test_half_is_found() -> None:
    score = labelled.score("test", header=False)
    assert score.recall >= 0.90
    assert score.precision >= 0.90
