"""Pseudonyms are always the same, and nobody finds out whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.contracts.pseudonyms import ACCESSION, OTHER, PATIENT
from dicomlake.errors import Refused, UsageError
from dicomlake.pseudonyms.gpas import MOST, GpasPseudonyms
from dicomlake.pseudonyms.local import LocalPseudonyms
from dicomlake.settings import Pseudonyms
from dicomlake.testing.gpas import Gpas

ONE, TWO = ("http://example.org/pid", "4711"), ("", "4712")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("k" * 40)
    return tmp_path / "key"


@pytest.fixture
def gpas() -> Iterator[Gpas]:
    with Gpas("patients", "orders") as made:
        yield made


def asked(gpas: Gpas, key: Path, **more: str) -> GpasPseudonyms:
    settings = Pseudonyms(kind="gpas", key_file=key, url=gpas.address, domain="patients", **more)  # type: ignore[arg-type]
    return GpasPseudonyms("study", settings)


def test_local_ones_depend_on_key_kind_system_and_value(key: Path, tmp_path: Path) -> None:
    made = LocalPseudonyms("study", Pseudonyms(key_file=key))
    (tmp_path / "other").write_text("o" * 40)
    other = LocalPseudonyms("study", Pseudonyms(key_file=tmp_path / "other"))
    found = {
        made.of(PATIENT, [ONE])[ONE], made.of(PATIENT, [TWO])[TWO], made.of(ACCESSION, [ONE])[ONE],
        other.of(PATIENT, [ONE])[ONE], made.of(PATIENT, [("", "4711")])["", "4711"],
    }  # fmt: skip
    assert len(found) == 5
    assert all(len(one) == 26 and "471" not in one for one in found)
    assert made.of(PATIENT, [ONE, TWO])[ONE] == made.of(PATIENT, [ONE])[ONE]


def test_a_key_that_is_short_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    with pytest.raises(UsageError, match="32 bytes"):
        LocalPseudonyms("study", Pseudonyms(key_file=tmp_path / "key"))
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        LocalPseudonyms("study", Pseudonyms(key_env="NO_SUCH_KEY"))


def test_a_gpas_is_asked_once_for_each(gpas: Gpas, key: Path) -> None:
    made = asked(gpas, key)
    first = made.of(PATIENT, [ONE, TWO])
    assert first == {ONE: gpas.given["patients", "4711"], TWO: gpas.given["patients", "4712"]}
    assert made.of(PATIENT, [TWO]) == {TWO: first[TWO]}
    assert [sorted(one) for one in gpas.asked] == [["4711", "4712"]]
    made.close()
    again = asked(gpas, key)
    assert again.of(PATIENT, [ONE, TWO]) == first
    again.close()


def test_many_are_asked_for_in_batches(gpas: Gpas, key: Path) -> None:
    made = asked(gpas, key)
    originals = [("", str(n)) for n in range(2 * MOST + 7)]
    assert len(set(made.of(PATIENT, originals).values())) == len(originals)
    assert [one.total() for one in gpas.asked] == [MOST, MOST, 7]
    made.close()


def test_only_what_has_a_domain_is_asked_for(gpas: Gpas, key: Path) -> None:
    made = asked(gpas, key)
    made.of(ACCESSION, [ONE])
    made.of(OTHER, [ONE])
    assert gpas.asked == []
    made.close()
    orders = asked(gpas, key, domain_accession="orders")
    assert orders.of(ACCESSION, [ONE])[ONE] == gpas.given["orders", "4711"]
    orders.close()


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(503, Refused, "away"), (500, Refused, "away"), (401, UsageError, "user and password_env"),
     (404, UsageError, "domain"), (400, UsageError, "TTP-FHIR")],
)  # fmt: skip
def test_a_gpas_that_gives_none_is_told(
    gpas: Gpas, key: Path, status: int, error: type[Exception], words: str
) -> None:
    gpas.status = status
    made = asked(gpas, key)
    with pytest.raises(error, match=words) as told:
        made.of(PATIENT, [ONE])
    assert "4711" not in str(told.value)
    made.close()


def test_a_gpas_that_is_no_gpas_is_told(gpas: Gpas, key: Path) -> None:
    made = asked(gpas, key)
    made._held["patients", "x"] = ""
    gpas.given["patients", "4711"] = ""
    with pytest.raises(UsageError, match="for each value"):
        made.of(PATIENT, [ONE])
    made.close()


def test_a_gpas_tells_whose_pseudonyms_they_are(gpas: Gpas, key: Path) -> None:
    made = asked(gpas, key)
    given = made.of(PATIENT, [ONE, TWO])
    assert made.back(PATIENT, [given[TWO], "psn-nobody"]) == {given[TWO]: TWO[1]}
    assert made.back(OTHER, [given[TWO]]) is None


def test_what_a_gpas_said_is_remembered_and_tells_nobody(
    gpas: Gpas, key: Path, tmp_path: Path
) -> None:
    file = tmp_path / "remembered"
    person = ("", "PATIENT-4711-SECRET")
    given = asked(gpas, key, cache_file=str(file)).of(PATIENT, [person])
    assert asked(gpas, key, cache_file=str(file)).of(PATIENT, [person]) == given
    assert len(gpas.asked) == 1
    assert file.stat().st_mode & 0o077 == 0
    content = file.read_bytes()
    assert person[1].encode() not in content
    assert given[person].encode() not in content
    (tmp_path / "other").write_text("o" * 40)
    asked(gpas, tmp_path / "other", cache_file=str(file)).of(PATIENT, [person])
    assert len(gpas.asked) == 2  # another key finds nothing
