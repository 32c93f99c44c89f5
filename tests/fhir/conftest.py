"""Referees of FHIR: the packages of HL7 and validators of others, from tests/fhir/node_modules.

`npm ci` in tests/fhir installs them; without them the tests skip and say so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.hospital import write
from tests.conftest import needed
from tests.fhir.lakes import lake_of, structures

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"

Referee = Callable[[list[dict[str, Any]]], list[list[str]]]
"""Problems of each resource, as another validator of R4 sees them."""


def package(name: str) -> Path:
    """The folder of an npm package; skips without it."""
    folder = MODULES / name
    if not (folder / "package.json").is_file():
        needed(f"the npm package {name} is missing: run npm ci in tests/fhir")
    return folder


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A made-up hospital, its CT looked at by an enricher."""
    folder = tmp_path_factory.mktemp("fhir-hospital")
    write(folder / "archive", patients=12)
    index([folder / "archive"], folder / "lake", workers=2)
    enrich(folder / "lake", "hounsfield", limit=8)
    return Store(folder / "lake")


@pytest.fixture(scope="session")
def samples(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The samples of other projects."""
    lake = tmp_path_factory.mktemp("fhir-samples") / "lake"
    index([corpus_folder], lake, workers=2)
    return Store(lake)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One CT series of two slices, with structures."""
    return structures(lake_of(tmp_path_factory.mktemp("fhir-small"), {}, {}))


@pytest.fixture(scope="session")
def r4_package() -> Path:
    """Definitions and examples of R4."""
    return package("hl7.fhir.r4.examples")


@pytest.fixture(scope="session")
def r5_package() -> Path:
    """Definitions of R5."""
    return package("hl7.fhir.r5.core")


@pytest.fixture(scope="session")
def r5_examples() -> Path:
    """Examples of R5."""
    return package("hl7.fhir.r5.examples")


@pytest.fixture(scope="session")
def referee() -> Iterator[Referee]:
    """The validator of the npm package fhir, for R4: started once, asked as often as one likes."""
    package("fhir")
    node = shutil.which("node")
    if node is None:
        needed("node is missing: install Node.js 20 or newer")
    process = subprocess.Popen(
        [str(node), str(HERE / "referee.cjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def ask(resources: list[dict[str, Any]]) -> list[list[str]]:
        found = []
        for resource in resources:
            asked.write(json.dumps(resource) + "\n")
            asked.flush()
            found.append(json.loads(answers.readline()))
        return found

    with process:
        yield ask
        asked.close()
