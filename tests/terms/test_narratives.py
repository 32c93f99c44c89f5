"""What reports affirm and deny: sentences labelled by hand, half of them held out.

The rules were written with the half called tuned at hand; the other half only measures them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.terms.narratives import (
    LANGUAGES,
    assertions_of,
    found_in,
    language_of,
    sections_of,
    sentences,
)

STATES = ("affirmed", "negated", "uncertain")
LEAST = {"tuned": 0.97, "held out": 0.85}


def labelled(language: str, half: str = "") -> list[dict[str, str]]:
    path = Path(__file__).with_name("narratives.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["language"] == language]
    return [row for row in rows if half in ("", row["half"])]


def judged(language: str, half: str = "") -> Iterator[tuple[str, str, str]]:
    """The state that was labelled, the one that was found, and the sentence."""
    for row in labelled(language, half):
        said = assertions_of(row["sentence"], language)
        states = [name for name in STATES if found_in(said[name], f"*{row['concept']}*")]
        yield row["state"], states[0] if states else "", row["sentence"]


def f1(language: str, half: str, state: str) -> float:
    pairs = [(a, b) for a, b, _ in judged(language, half)]
    right = sum(a == b == state for a, b in pairs)
    wrong = sum((a == state) != (b == state) for a, b in pairs)
    return 2 * right / (2 * right + wrong)


@pytest.mark.parametrize("language", LANGUAGES)
class TestLabelled:
    def test_there_are_enough_sentences_of_each_state(self, language):
        rows = labelled(language)
        assert len({row["sentence"] for row in rows}) >= 60
        for half in ("tuned", "held out"):
            states = [row["state"] for row in rows if row["half"] == half]
            assert min(states.count(state) for state in STATES) >= 5

    @pytest.mark.parametrize("half", ["tuned", "held out"])
    @pytest.mark.parametrize("state", STATES)
    def test_states_are_found(self, language, half, state):
        wrong = [one for one in judged(language, half) if one[0] != one[1]]
        assert f1(language, half, state) >= LEAST[half], wrong

    def test_the_language_of_all_sentences_together_is_known(self, language):
        assert language_of(" ".join(row["sentence"] for row in labelled(language))) == language

    def test_nothing_of_a_text_is_lost(self, language):
        for row in labelled(language):
            said = assertions_of(row["sentence"], language)
            words = sorted("\n".join(said.values()).replace(";", "").split())
            assert words == sorted(row["sentence"].replace(";", "").split())


class TestScopes:
    @pytest.mark.parametrize(
        ("language", "sentence", "negated", "uncertain"),
        [
            ("de", "Kein Erguss, Herz normal groß.", "Kein Erguss,", ""),
            ("de", "Erguss, Infiltrat oder Pneumothorax nicht nachweisbar.", "Erguss, Infiltrat "
             "oder Pneumothorax nicht nachweisbar.", ""),
            ("de", "Großer Erguss, ein Pneumothorax ist ausgeschlossen.", "ein Pneumothorax ist "
             "ausgeschlossen.", ""),
            ("de", "Fraktur kann nicht mit Sicherheit ausgeschlossen werden.", "", "Fraktur kann "
             "nicht mit Sicherheit ausgeschlossen werden."),
            ("en", "No nodule, lungs are clear.", "No nodule,", ""),
            ("en", "No nodule, mass or effusion, but scarring.", "No nodule, mass or effusion,",
             ""),
            ("fr", "Ni épanchement ni nodule.", "Ni épanchement ni nodule.", ""),
            ("es", "Sin derrame, silueta cardiaca normal.", "Sin derrame,", ""),
        ],
    )  # fmt: skip
    def test_a_scope_ends_where_something_else_begins(self, language, sentence, negated, uncertain):
        said = assertions_of(sentence, language)
        assert (said["negated"], said["uncertain"]) == (negated, uncertain)

    def test_abbreviations_and_dates_end_no_sentence(self):
        text = "Z.n. OP am 3.5.2014. V.a. Rezidiv li. basal."
        assert sentences(text, "de") == ["Z.n. OP am 3.5.2014.", "V.a. Rezidiv li. basal."]

    def test_a_language_that_nobody_knows_is_affirmed_as_a_whole(self):
        assert assertions_of("Nincs folyadék.", "")["affirmed"] == "Nincs folyadék."


class TestSections:
    @pytest.mark.parametrize(
        ("text", "codes"),
        [
            ("BEFUND:\nKein Erguss.\n\nBEURTEILUNG:\nNormal.", ["LN:59776-5", "LN:19005-8"]),
            ("Findings: clear. Impression: normal.", ["LN:59776-5", "LN:19005-8"]),
            ("Résultats :\nNormal.\nConclusion :\nNormal.", ["LN:59776-5", "LN:19005-8"]),
            ("Hallazgos: normal.\nConclusión: normal.", ["LN:59776-5", "LN:19005-8"]),
            ("Technik: nativ. Fragestellung: Fraktur?", ["LN:55111-9", "LN:18785-6"]),
            ("Dear colleague: thank you.", [""]),
            ("", []),
        ],
    )
    def test_headings_are_known(self, text, codes):
        assert [one.code for one in sections_of(text)] == codes

    def test_text_before_the_first_heading_stays(self):
        first, second = sections_of("CT Thorax\nBefund: Kein Erguss.")
        assert (first.title, first.text) == ("", "CT Thorax")
        assert second.text == "Kein Erguss."


class TestWords:
    @pytest.mark.parametrize(
        ("text", "words", "found"),
        [
            ("Lungenödem", "lungenoedem", True),
            ("Lungenoedem", "Lungenödem", True),
            ("PLEURAERGUSS", "pleuraerguß", True),
            ("épanchement", "EPANCHEMENT", True),
            ("Pleuraerguss", "erguss", False),
            ("Pleuraerguss", "*erguss", True),
            ("pleural effusions", "pleural effusion*", True),
            ("effusion, pleural", "pleural effusion", False),
        ],
    )
    def test_case_and_marks_do_not_matter(self, text, words, found):
        assert bool(found_in(text, words)) is found
