"""What the endpoint can do, as a CapabilityStatement."""

from __future__ import annotations

from typing import Any

from dicomlake.version import __version__
from dicomlake.web.fhir.searching import params_of, types_of

VERSIONS = {"R4": "4.0.1", "R5": "5.0.0"}
_EXPORT = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"
_INCLUDES = {
    "ImagingStudy": ["ImagingStudy:patient", "ImagingStudy:endpoint", "ImagingStudy:performer"],
    "Observation": ["Observation:subject", "Observation:device", "Observation:part-of"],
    "BodyStructure": ["BodyStructure:patient"],
    "ImagingSelection": ["ImagingSelection:patient", "ImagingSelection:derived-from"],
}


def statement(release: str, root: str, date: str, *, secured: bool) -> dict[str, Any]:
    """What the endpoint can do; `date`: when that was said."""
    rest: dict[str, Any] = {
        "mode": "server",
        "resource": [_resource(one) for one in types_of(release)],
        "operation": [{"name": "export", "definition": _EXPORT}],
    }
    if secured:
        rest["security"] = {"description": "Bearer token of the service, or its sign-on."}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "software": {"name": "dicomlake", "version": __version__},
        "implementation": {"description": "What an imaging data lake holds", "url": root},
        "fhirVersion": VERSIONS[release],
        "format": ["json"],
        "rest": [rest],
    }


def _resource(type_: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": type_,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "searchParam": [{"name": name, "type": kind} for name, kind in params_of(type_)],
    }
    if type_ in _INCLUDES:
        made["searchInclude"] = _INCLUDES[type_]
    return made
