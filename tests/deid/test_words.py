"""Finding a person in texts: the dictionary, patterns, and the rules of languages."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from dicomlake.contracts.deid import Known
from dicomlake.deid.text import words_of
from dicomlake.errors import UsageError


class Moving:
    """An identity whose dates move by 17 days back."""

    days = -17

    def uid(self, uid: str) -> str:
        return uid if uid.startswith("1.2.840.10008.") else "2.25.7"

    def id(self, value: str, kind: str = "patient") -> str:
        return "P1"

    def moved(self, value: str, vr: str = "DA") -> str:
        day = date(int(value[:4]), int(value[4:6]), int(value[6:8])) + timedelta(self.days)
        return day.strftime("%Y%m%d")


PERSON = [
    Known("name", "Müller-Weiß^Anna Maria"),
    Known("id", "00123456"),
    Known("date", "19610304"),
    Known("place", "Universitätsklinikum Musterstadt"),
]


@pytest.mark.parametrize(
    "text",
    [
        "MUELLER-WEISS ANNA", "Anna Müller-Weiß", "mueller weiss, anna", "Muller^Anna", "A. Müller",
        "Müller, A.", "Anna-Maria Müller", "ANNA_MUELLER", "M\u00fcller-Wei\u00df", "Mu\u0308ller",
        "Maria Müllers",
    ],
)  # fmt: skip
def test_a_name_is_found_in_every_spelling(text: str) -> None:
    assert words_of(PERSON).clean(text) == "[NAME]"


@pytest.mark.parametrize("text", ["00123456", "123456", "ID 123456", "PAT123456", "0123456"])
def test_a_number_is_found_in_every_spelling(text: str) -> None:
    assert "123456" not in words_of(PERSON).clean(text)


def test_the_wanted_words_of_a_description_stay() -> None:
    words = words_of(PERSON)
    assert words.clean("CT ABDOMEN MUELLER 123456 3.0 B31s") == "CT ABDOMEN [NAME] [ID] 3.0 B31s"
    assert words.clean("THORAX Musterstadt") == "THORAX [PLACE]"


@pytest.mark.parametrize(
    "text",
    [
        "Morbus Crohn, Hodgkin lymphoma, Kerley B lines, Parkinson",
        "L4/5, 2.5 x 3.1 cm, 10-12-14 mm, T2* 3.0 mm, 1.5 T, -35 HU",
        "Hand links, AP", "MR Hand rechts", "DR Thorax", "PD Knie", "SR Report", "BRAIN W/O", "t2_tse_tra_384", "ax 3mm 120kV 1.25",
        "SNOMED CT 123037004, (39607008, SCT, Lung)", "Software version 5.12.2019",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert words_of(PERSON).clean(text) == text


def test_a_name_that_is_a_word_is_found_where_it_is_a_name() -> None:
    words = words_of([Known("name", "Hand^Peter"), Known("name", "Long^Linda")])
    assert words.clean("Rechte Hand von Herrn Hand: Hand, Peter") == (
        "Rechte Hand von Herrn [NAME]: [NAME]"
    )
    assert words.clean("long TE, a long tail, Mrs Long") == "long TE, a long tail, Mrs [NAME]"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("am 3. März 2021", "am 14. Februar 2021"),
        ("le 3 mars 2021", "le 14 février 2021"),
        ("3 de marzo de 2021", "14 de febrero de 2021"),
        ("March 3rd, 2021", "February 14th, 2021"),
        ("03-MAR-2021", "14-FEB-2021"),
        ("2021-03-03", "2021-02-14"),
        ("20210303", "20210214"),
        ("03.03.21", "14.02.21"),
        ("3.3.2021", "14.2.2021"),
        ("5/25/2021", "5/8/2021"),
        ("04/03/1961", "15/02/1961"),
        ("05/06/2019", "[DATE]"),
        ("am 12.03. und", "am [DATE] und"),
    ],
)
def test_dates_move_as_they_are_written(text: str, then: str) -> None:
    assert words_of(PERSON, Moving()).clean(text) == then


def test_dates_go_when_they_do_not_move() -> None:
    assert words_of([]).clean("am 3. März 2021, 2021-03-03") == "am [DATE], [DATE]"


def test_uids_are_replaced_as_in_headers() -> None:
    words = words_of([], Moving())
    text = "1.2.276.0.7230010.3.1.4.8323 is a 1.2.840.10008.5.1.4.1.1.2"
    assert words.clean(text) == "2.25.7 is a 1.2.840.10008.5.1.4.1.1.2"
    assert words.clean("2.25.329800735698586629295641978511506172918") == "2.25.7"
    assert words_of([]).clean("1.2.276.0.7230010.3.1.4.8323") == "[ID]"


def test_a_language_without_rules_is_named() -> None:
    with pytest.raises(UsageError, match="no rules for texts in xx"):
        words_of([], None, ["xx"])
