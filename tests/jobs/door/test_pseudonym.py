"""Which pseudonyms patients have, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import dicomlake
from dicomlake.cli import main
from dicomlake.errors import UsageError
from dicomlake.jobs.door.cleaning import door_of
from dicomlake.jobs.door.pseudonym import Person, name_of, people, pseudonyms
from dicomlake.jobs.door.views import bring_up
from dicomlake.lake.store import SETTINGS
from dicomlake.settings import Settings, read
from dicomlake.testing.gpas import Gpas

from ...planted import MARK, make_lake

PROFILE = "times-and-device"
ANN = Person(f"{MARK}-1")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudonyms")
    made = make_lake(folder)
    said = ""
    for name in ("study", "other"):
        (folder / f"{name}.key").write_text(f"0123456789abcdef0123456789abcdef-{name}")
        said += f'[pseudonyms.{name}]\nkey_file = "{folder / name}.key"\n'
    (made / SETTINGS).write_text(said)
    return made


@pytest.fixture(scope="module")
def settings(lake: Path) -> Settings:
    return read(lake)


def values(lake: Path) -> set[str]:
    """PatientIDs and all UIDs of a lake."""
    statement = (
        'select "PatientID" as v from series union select "StudyInstanceUID" from series union '
        'select "SeriesInstanceUID" from series union select "SOPInstanceUID" from instances'
    )
    return {row["v"] for row in dicomlake.open(lake).sql(statement).to_pylist() if row["v"]}


def test_they_are_those_of_the_view_and_lead_back(lake: Path, settings: Settings) -> None:
    view = bring_up(lake, door_of(settings, PROFILE, "study"))
    (said,) = pseudonyms(settings, "study", [ANN])
    assert said in values(view)
    assert people(lake, settings, "study", [said, "NOBODY"]) == [ANN, None]
    with pytest.raises(UsageError, match="pseudonyms alone"):
        people(view, settings, "study", [said])


def test_projects_have_no_value_in_common(lake: Path, settings: Settings) -> None:
    both = [values(bring_up(lake, door_of(settings, PROFILE, name))) for name in ("study", "other")]
    assert len(both[0]) == len(both[1]) > 100
    assert both[0] & both[1] == set()
    assert (both[0] | both[1]) & values(lake) == set()


def test_the_command(lake: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*more: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["pseudonym", *more, "--lake", str(lake)])
        assert stopped.value.code == 0
        return capsys.readouterr().out.strip()

    said = told(ANN.PatientID, "--pseudonyms", "study")
    assert said == pseudonyms(settings, "study", [ANN])[0]
    assert told("--back", said, "--back", "NOBODY", "--pseudonyms", "study").splitlines() == [
        ANN.PatientID,
        "nobody known",
    ]


def test_which_are_meant_has_to_be_known(lake: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match="study, other"):
        name_of(lake, settings)
    assert name_of(lake, settings, "other") == "other"


def test_a_gpas_knows_those_that_the_lake_does_not(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40)
    with Gpas("study") as gpas:
        said = {"kind": "gpas", "url": gpas.address, "domain": "study"}
        made = {"pseudonyms": {"t": {**said, "key_file": str(tmp_path / "key")}}}
        settings = Settings.model_validate(made)
        view = bring_up(lake, door_of(settings, PROFILE, "t"))
        (pseudonym,) = pseudonyms(settings, "t", [ANN])
        assert pseudonym == gpas.given["study", ANN.PatientID]
        assert pseudonym in values(view)
        assert people(view, settings, "t", [pseudonym]) == [ANN]
