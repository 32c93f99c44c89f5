"""What is shipped is what the sources say: compiled once more, it is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from profiles import definitions, shorthand

from tests.conftest import needed
from tests.fhir.conftest import MODULES, package


@pytest.mark.parametrize("release", ["r4", "r5"])
def test_sushi_makes_the_profiles_that_are_shipped(release: str, tmp_path: Path) -> None:
    package("fsh-sushi")
    package(shorthand.CORES[release][2])
    if shutil.which("node") is None:
        needed("node is missing: install Node.js 20 or newer")
    made = shorthand.compiled(release, tmp_path, MODULES)
    shipped = {path.name: path.read_bytes() for path in (definitions.OWN / release).iterdir()}
    assert made == shipped


@pytest.mark.parametrize("release", ["R4", "R5"])
def test_the_definitions_that_are_shipped_are_those_of_the_packages(release: str) -> None:
    package(definitions.RELEASES[release])
    made = definitions.packed(definitions.compiled(release, MODULES))
    shipped = (definitions.SHIPPED / f"{release.lower()}.json.gz").read_bytes()
    assert definitions.unpacked(made) == definitions.unpacked(shipped)


def test_a_table_says_what_its_lines_say() -> None:
    table = """
        # words
        profile R4 Observation https://example.org/p https://example.org/base
        code.coding:sct 0..1 = {"system": "http://snomed.info/sct"}
        hasMember 1..* only Observation,Media
        bodySite from sites

        extension R4 ImagingStudy.series,Observation https://example.org/e
        KVP 0..1 Quantity = {"code": "kV"}
        codes sites http://snomed.info/sct 1 2
    """
    profile, extension, codes = definitions.table(table.splitlines())
    assert profile["base"] == "https://example.org/base"
    assert profile["elements"] == [
        {"id": "code.coding:sct", "max": 1, "fixed": {"system": "http://snomed.info/sct"}},
        {"id": "hasMember", "min": 1, "targets": ["Observation", "Media"]},
        {"id": "bodySite", "binding": "sites"},
    ]
    assert extension["contexts"] == ["ImagingStudy.series", "Observation"]
    assert extension["parts"] == {
        "KVP": {"min": 0, "max": 1, "types": ["Quantity"], "fixed": {"code": "kV"}}
    }
    assert codes["codes"] == ["1", "2"]
