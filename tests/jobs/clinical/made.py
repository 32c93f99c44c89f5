"""Small clinical files, made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dicomlake.lake import Store

LOINC, ICD, SNOMED = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10", "http://snomed.info/sct"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
_OURS = {"run_id", "imported"}


def coded(system: str, code: str, text: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"coding": [{"system": system, "code": code}]}
    return made | ({"text": text} if text else {})


def patient(id_: str, number: str, system: str = "", **more: Any) -> dict[str, Any]:
    identifier = {"value": number} | ({"system": system} if system else {})
    return {"resourceType": "Patient", "id": id_, "identifier": [identifier], **more}


def condition(id_: str, of: str, code: str = "C61", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": id_,
        "subject": {"reference": of},
        "code": coded(ICD, code),
        "onsetDateTime": "2014-05-03",
        **more,
    }


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}


def put(folder: Path, name: str, *documents: Any) -> Path:
    """A file of JSON: one document per line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(json.dumps(one) for one in documents) + "\n", encoding="utf-8")
    return path


def facts(lake: Path, name: str = "clinical_events") -> list[dict[str, Any]]:
    """Rows of a table, without what differs from run to run."""
    rows = Store(lake).read(name).to_pylist()
    return sorted(
        ({k: v for k, v in row.items() if k not in _OURS and v is not None} for row in rows),
        key=lambda row: (str(row.get("identifier")), str(row)),
    )


def failures(lake: Path) -> dict[str, str]:
    """Reasons by file and line."""
    rows = Store(lake).read("failures").to_pylist()
    return {row["uri"].rpartition("/")[2]: row["reason"] for row in rows}
