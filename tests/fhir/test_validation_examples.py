"""The official examples of HL7 are valid; those that are not are listed with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dicomlake.fhir.validation import check

TYPES = """Patient ImagingStudy Device Endpoint BodyStructure Observation Provenance Bundle
    DiagnosticReport DocumentReference ImagingSelection""".split()

MOST = 500_000  # bytes; larger bundles hold definitions
FULL_URL = "a fullUrl names another resource than that of its entry"
R4_WRONG = {
    "Bundle-10bb101f-a121-4264-a920-67be9cb82c74.json": FULL_URL,
    "Bundle-3a0707d3-549e-4467-b8b8-5a2ab3800efe.json": FULL_URL,
    "Bundle-father.json": "'tbl' is said to be a unit of UCUM",
    "Bundle-hla-1.json": "an extension has a part 'uri' that its definition calls 'url'",
    "Bundle-lri-example.json": FULL_URL,
    "Observation-clinical-gender.json": "the performer is an Encounter",
}
R5_WRONG = {
    "Bundle-10bb101f-a121-4264-a920-67be9cb82c74.json": FULL_URL,
    "Bundle-3a0707d3-549e-4467-b8b8-5a2ab3800efe.json": FULL_URL,
    "Bundle-lri-example.json": FULL_URL,
    "DocumentReference-xray.json": "the context is a DocumentReference",
    "ImagingStudy-example-xr.json": "the procedure is a Procedure, not a definition of one",
}


def examples(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        if path.name.partition("-")[0] in TYPES and path.stat().st_size < MOST:
            yield path.name, json.loads(path.read_bytes())


def invalid(folder: Path, release: str) -> tuple[int, set[str]]:
    """How many examples there are, and which are not valid."""
    read = list(examples(folder))
    return len(read), {
        name for name, one in read if any(p.severity == "error" for p in check(one, release))
    }


def test_examples_of_r4_are_valid(r4_package: Path) -> None:
    number, wrong = invalid(r4_package, "R4")
    assert number > 130
    assert wrong == set(R4_WRONG)


def test_examples_of_r5_are_valid(r5_examples: Path) -> None:
    number, wrong = invalid(r5_examples, "R5")
    assert number > 200
    assert wrong == set(R5_WRONG)
