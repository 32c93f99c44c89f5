"""What is made of the made-up hospital and of the samples is valid, by two validators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from dicomlake.enrichers.anatomy import HounsfieldEnricher
from dicomlake.fhir import Release, Site
from dicomlake.fhir.sites import Profile
from dicomlake.fhir.validation import check_all
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.fhir.making import Maker
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from tests.fhir.conftest import Referee

SECRET = b"only for tests"
CASES = [("R4", "none"), ("R4", "mii"), ("R5", "none"), ("R5", "impetus")]


def made(store: Store, release: Any, profile: Any) -> list[dict[str, Any]]:
    assert release in get_args(Release)
    assert profile in get_args(Profile)
    site = Site(
        SECRET,
        zone="Europe/Berlin",
        base="https://pacs.example/rs",
        profile=profile,
        names=profile == "none",
        people=profile == "none",
        instances=True,
    )
    return [one.resource for one in Maker(store, site, release).all()]


def wrong(resources: list[dict[str, Any]], release: str) -> set[tuple[str, str, str]]:
    """What is wrong, each kind of problem once."""
    return {
        (one.severity, re.sub(r"\[\d+\]", "", one.path), one.text)
        for one in check_all(resources, release)
    }


@pytest.fixture(scope="module")
def hospital(small_hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    place = tmp_path_factory.mktemp("valid") / "lake"
    index(small_hospital, place, workers=1)
    enrich(place, HounsfieldEnricher(place, {}))
    return Store(place)


@pytest.fixture(scope="module")
def samples(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    place = tmp_path_factory.mktemp("valid") / "lake"
    index(corpus_folder, place, workers=1)
    return Store(place)


@pytest.mark.parametrize(("release", "profile"), CASES)
def test_resources_of_the_hospital_are_valid(hospital: Store, release: str, profile: str) -> None:
    resources = made(hospital, release, profile)
    assert len(resources) > 20
    assert wrong(resources, release) == set()


@pytest.mark.parametrize(("release", "profile"), [("R4", "mii"), ("R5", "none")])
def test_resources_of_samples_are_valid(samples: Store, release: str, profile: str) -> None:
    resources = made(samples, release, profile)
    assert len(resources) > 100
    assert wrong(resources, release) == set()


@pytest.mark.parametrize("profile", ["none", "mii"])
def test_a_referee_agrees(hospital: Store, profile: str, referee: Referee) -> None:
    found = referee(made(hospital, "R4", profile))
    assert [one for one in found if one] == []
