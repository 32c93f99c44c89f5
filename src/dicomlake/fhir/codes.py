"""Concepts that resources of ours use, and what our own code system names."""

from __future__ import annotations

from typing import Any

from dicomlake.fhir.sites import Site
from dicomlake.fhir.values import DCM, LOINC, SCT
from dicomlake.terms import Code

Json = dict[str, Any]


def text(words: str) -> Json:
    """A concept that has words and no code."""
    return {"text": words}


def of(code: str, system: str, display: str) -> Json:
    """A concept of a code system."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def dcm(code: str, display: str) -> Json:
    """A concept of DICOM."""
    return of(code, DCM, display)


def own(site: Site, code: str, display: str) -> Json:
    """A concept of our own code system, which says what no other does."""
    return of(code, f"{site.canonical}/CodeSystem/dicomlake", display)


def cut(site: Site) -> Json:
    """Said of structures that the field of view cuts off."""
    return own(site, "cut-off", "Cut off by the field of view")


WADO = {
    "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
    "code": "dicom-wado-rs",
    "display": "DICOM WADO-RS",
}
SOFTWARE = of("531975", "urn:iso:std:iso:11073:10101", "MDC_ID_PROD_SPEC_SW")
IMAGING = of("imaging", "http://terminology.hl7.org/CodeSystem/observation-category", "Imaging")
VITAL = of(
    "vital-signs", "http://terminology.hl7.org/CodeSystem/observation-category", "Vital Signs"
)
HEIGHT = of("8302-2", LOINC, "Body height")
WEIGHT = of("29463-7", LOINC, "Body weight")
DOSE = of(
    "73569-6",
    LOINC,
    "Radiation exposure and protection information [Description] Document Diagnostic imaging",
)
REPORT = of("18748-4", LOINC, "Diagnostic imaging study")
REPORT_CATEGORY = {
    "coding": [
        {"system": SCT, "code": "4201000179104", "display": "Imaging report (record artifact)"}
    ]
}
FINDINGS = {
    "coding": [
        {
            "system": LOINC,
            "code": "18782-3",
            "display": "Radiology Study observation (narrative)",
        },
        {"system": SCT, "code": "122869004", "display": "Measurement procedure (procedure)"},
    ]
}
VOLUME = of("118565006", SCT, "Volume")
DENSITY = dcm("112031", "Attenuation Coefficient")
GROUP = dcm("125007", "Measurement Group")
EVENT = dcm("113852", "Irradiation Event")
SEGMENT = dcm("121191", "Referenced Segment")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
