"""What three made-up houses know of their patients comes in whole, each in its own form."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from dicomlake.api import Lake
from dicomlake.jobs.clinical import bring, search
from dicomlake.lake import Store
from dicomlake.testing.hospital import Histories, histories

PATIENTS = 150


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Histories, Path]:
    place = tmp_path_factory.mktemp("houses")
    truth = histories(place / "files", PATIENTS)
    for house in ("NORD", "SUD", "WEST"):
        mapping = files("dicomlake.testing.hospital").joinpath("mappings", "SUD.yaml")
        report = bring(
            place / "lake",
            [place / "files" / house],
            source=house.lower(),
            issuer=house,
            mapping=Path(str(mapping)) if house == "SUD" else None,
        )
        assert report.failures == 0, report
    return truth, place / "lake"


def test_every_fact_and_document_is_there(told: tuple[Histories, Path]) -> None:
    truth, lake = told
    kinds = Counter(Store(lake).read("clinical_events", ["kind"]).column(0).to_pylist())
    kinds.pop("patient")
    assert kinds == truth.facts
    languages = Store(lake).read("documents", ["language"]).column(0).to_pylist()
    assert Counter(languages) == truth.documents


@pytest.mark.parametrize("negated", [False, True])
def test_findings_are_affirmed_and_denied_as_they_were_written(
    told: tuple[Histories, Path], negated: bool
) -> None:
    truth, lake = told
    engine = Lake(lake).engine
    for name, count in (truth.negated if negated else truth.affirmed).items():
        language, _, words = name.partition(" ")
        found = search(engine, f'"{words}"', negated=negated, language=language, limit=10_000)
        assert found.num_rows == count, (name, found.column("snippet").to_pylist()[:3])
