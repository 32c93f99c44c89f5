"""What the tests of FHIR resources share: lakes, and the referee of npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import pytest

from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.testing.hospital import write
from tests.conftest import needed
from tests.fhir.made import lake_of, structures

HERE = Path(__file__).parent
Referee = Callable[[Iterable[object]], list[list[str]]]


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
def packages() -> Path:
    """The npm packages beside this file: a referee, SUSHI, and the definitions of R4 and R5."""
    folder = HERE / "node_modules"
    if not shutil.which("node") or not (folder / "fhir").is_dir():
        needed("the npm packages of tests/fhir are missing: npm ci --prefix tests/fhir")
    return folder


@pytest.fixture(scope="session")
def referee(packages: Path) -> Referee:
    """What the validator of npm's package fhir finds in R4 resources, a list of faults of each."""

    def asked(resources: Iterable[object]) -> list[list[str]]:
        lines = b"".join(orjson.dumps(one) + b"\n" for one in resources)
        command = ["node", str(HERE / "referee.js")]
        done = subprocess.run(command, input=lines, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return asked
