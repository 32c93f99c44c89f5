"""Every resource that is made is valid: by our validator, and by one that is not ours."""

from __future__ import annotations

from collections import Counter

import pytest

from dicomlake.fhir import CANONICAL, Release
from dicomlake.fhir.sites import Profile
from dicomlake.fhir.validation import check
from dicomlake.lake import Store
from tests.fhir.conftest import Referee
from tests.fhir.lakes import made

WAYS: list[tuple[Release, Profile]] = [
    ("R4", "none"), ("R4", "mii"), ("R5", "none"), ("R5", "impetus"),
]  # fmt: skip
EVERYTHING = {"names": True, "people": True, "instances": True}


@pytest.mark.parametrize(("release", "profile"), WAYS)
@pytest.mark.parametrize("lake", ["hospital", "samples", "small"])
def test_what_is_made_is_valid(
    request: pytest.FixtureRequest, lake: str, release: Release, profile: Profile
) -> None:
    store: Store = request.getfixturevalue(lake)
    found = made(store, release, profile=profile, **EVERYTHING)
    assert len(found) >= 7
    faults = Counter(str(f) for one in found for f in check(one.resource, release))
    assert faults == Counter()
    ids = [(one.type, one.id) for one in found]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("profile", ["none", "mii"])
@pytest.mark.parametrize("lake", ["hospital", "samples", "small"])
def test_a_referee_finds_the_same(
    request: pytest.FixtureRequest, referee: Referee, lake: str, profile: Profile
) -> None:
    found = made(request.getfixturevalue(lake), "R4", profile=profile, **EVERYTHING)
    said = referee([one.resource for one in found])
    assert len(said) == len(found)
    assert Counter(fault for faults in said for fault in faults) == Counter()


def test_the_referee_sees_faults(referee: Referee) -> None:
    wrong = {"resourceType": "ImagingStudy", "status": "bogus", "subjekt": {}}
    assert len(referee([wrong])[0]) >= 2


@pytest.mark.parametrize(("release", "profile"), WAYS)
def test_references_lead_to_what_is_made(
    hospital: Store, release: Release, profile: Profile
) -> None:
    from dicomlake.contracts.sinks import refs_of

    found = made(hospital, release, profile=profile)
    known = {(one.type, one.id) for one in found}
    pointed = {ref for one in found for ref in refs_of(one.resource)}
    assert pointed
    assert pointed <= known


OURS = f"{CANONICAL}/StructureDefinition"


def test_what_is_made_fits_our_profiles(hospital: Store) -> None:
    counts: Counter[str] = Counter()
    for one in made(hospital, "R4"):
        name = {"BodyStructure": "found-structure", "Provenance": "program-run"}.get(one.type, "")
        code = one.resource.get("code", {}).get("coding", [{}])[0].get("code")
        name = "structure-volume" if code == "118565006" else name
        if name:
            assert check(one.resource, "R4", [f"{OURS}/{name}"]) == []
            counts[name] += 1
    assert set(counts) == {"found-structure", "program-run", "structure-volume"}


def test_profiles_are_claimed_where_they_fit(hospital: Store) -> None:
    for release, profile, most in (("R4", "mii", "ImagingStudy"), ("R5", "impetus", "Patient")):
        found = made(hospital, release, profile=profile)
        claimed = Counter(one.type for one in found if "meta" in one.resource)
        assert claimed[most] == sum(one.type == most for one in found)
    kinds = {one.type for one in found}
    assert kinds == {
        "Patient", "Device", "Endpoint", "ImagingStudy", "BodyStructure", "Provenance",
    }  # fmt: skip
