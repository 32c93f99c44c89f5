"""Texts of reports are found by what they affirm, deny or leave open."""

from __future__ import annotations

import pytest

from dicomlake.api import Lake
from dicomlake.errors import UsageError
from dicomlake.jobs.clinical import search, take
from dicomlake.jobs.clinical.searching import FOUND

TEXTS = {
    "de1": "Befund: Kein Pneumothorax. Großer Pleuraerguß links.",
    "de2": "Beurteilung: Pneumothorax rechts. V.a. Lungenoedem.",
    "en1": "Findings: No pleural effusion. Pneumothorax on the left.",
    "fr1": "Résultats : Pas de pneumothorax. Épanchement pleural gauche.",
    "es1": "Hallazgos: No se observa neumotórax. Derrame pleural izquierdo.",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    lake = tmp_path_factory.mktemp("lakes") / "lake"
    rows = [
        {"PatientID": name, "identifier": name, "text": text, "AccessionNumber": f"A-{name}"}
        for name, text in TEXTS.items()
    ]
    take(lake, (), rows, source="ris")
    return Lake(lake).engine


def found(engine, words, **more):
    return sorted(search(engine, words, **more).column("PatientID").to_pylist())


class TestSearching:
    def test_what_is_affirmed_is_found_and_what_is_denied_is_not(self, engine):
        assert found(engine, "Pneumothorax") == ["de2", "en1"]
        assert found(engine, "pneumothorax", negated=True) == ["de1", "fr1"]

    @pytest.mark.parametrize(
        "words", ["Lungenödem", "LUNGENOEDEM", "lungenodem", "*ödem", "lungen*"]
    )
    def test_case_umlauts_and_stars(self, engine, words):
        assert found(engine, words, uncertain=True) == ["de2"]

    def test_accents_do_not_matter(self, engine):
        assert found(engine, "epanchement") == ["fr1"]
        assert found(engine, "NEUMOTORAX", negated=True) == ["es1"]
        assert found(engine, "Pleuraerguss") == ["de1"]

    def test_words_in_quotes_follow_each_other(self, engine):
        assert found(engine, '"pleural gauche"') == ["fr1"]
        assert found(engine, '"gauche pleural"') == []
        assert found(engine, "gauche pleural") == ["fr1"]

    def test_all_words_are_in_one_statement(self, engine):
        assert found(engine, "pneumothorax links") == []

    def test_a_language_and_a_limit(self, engine):
        assert found(engine, "pleural", language="es") == ["es1"]
        assert len(search(engine, "*p*", limit=2)) == 2

    def test_rows_say_whose_and_what(self, engine):
        table = search(engine, "pneumothorax", language="en")
        assert table.schema == FOUND
        (row,) = table.to_pylist()
        assert row["snippet"] == "Pneumothorax on the left."
        assert (row["state"], row["AccessionNumber"]) == ("affirmed", "A-en1")

    @pytest.mark.parametrize("words", ["", "  ", "*", '"'])
    def test_nothing_to_look_for_is_refused(self, engine, words):
        with pytest.raises(UsageError, match="Search for what"):
            search(engine, words)

    def test_an_unknown_language_is_refused(self, engine):
        with pytest.raises(UsageError, match="not in 'it'"):
            search(engine, "x", language="it")

    def test_quotes_of_sql_are_no_harm(self, engine):
        assert found(engine, "x' or '1'='1") == []
