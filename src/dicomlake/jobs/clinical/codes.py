"""Coding schemes under the names that DICOM has for them, whatever a source calls them."""

from __future__ import annotations

from functools import lru_cache

from dicomlake.fhir.values import SYSTEMS
from dicomlake.terms.mapping import normal

OMOP = "OMOP"
"""Scheme of concepts of OMOP that no vocabulary was given for."""

# What has no Coding Scheme Designator in PS3.16 Table 8-1 is called as people call it.
_MORE = {
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": "ICD10GM",
    "http://fhir.de/CodeSystem/dimdi/icd-10-gm": "ICD10GM",
    "http://hl7.org/fhir/sid/icd-10-de": "ICD10GM",
    "http://fhir.de/CodeSystem/bfarm/ops": "OPS",
    "http://fhir.de/CodeSystem/dimdi/ops": "OPS",
    "http://fhir.de/CodeSystem/bfarm/atc": "ATC",
    "http://fhir.de/CodeSystem/dimdi/atc": "ATC",
    "http://www.whocc.no/atc": "ATC",
    "http://hl7.org/fhir/sid/ndc": "NDC",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://www.ama-assn.org/go/cpt": "C4",
    "https://mos.esante.gouv.fr/NOS/CCAM": "CCAM",
    "https://smt.esante.gouv.fr/terminologie-ccam": "CCAM",
    "https://smt.esante.gouv.fr/terminologie-cim-10": "I10",
    "http://www.cms.gov/Medicare/Coding/ICD10": "I10P",
    "http://fhir.de/CodeSystem/ifa/pzn": "PZN",
    "https://fhir-terminology.ohdsi.org": OMOP,
    "urn:oid:2.16.840.1.113883.6.96": "SCT",
    "urn:oid:2.16.840.1.113883.6.1": "LN",
    "urn:oid:2.16.840.1.113883.6.3": "I10",
    "urn:oid:2.16.840.1.113883.6.90": "I10C",
    "urn:oid:2.16.840.1.113883.6.73": "ATC",
    "urn:oid:2.16.840.1.113883.6.88": "RXNORM",
    "urn:oid:1.2.276.0.76.5.409": "ICD10GM",
}

# Vocabularies of OMOP, and names that tables and messages use.
_NAMES = {
    "SNOMED": "SCT", "SNOMED CT": "SCT", "SNOMEDCT": "SCT", "LOINC": "LN", "LN": "LN",
    "ICD10": "I10", "ICD-10": "I10", "ICD-10-WHO": "I10", "CIM10": "I10", "CIM-10": "I10",
    "ICD10CM": "I10C", "ICD-10-CM": "I10C", "ICD10PCS": "I10P", "ICD-10-PCS": "I10P",
    "ICD9CM": "I9C", "ICD-9-CM": "I9C", "ICD10GM": "ICD10GM", "ICD-10-GM": "ICD10GM",
    "OPS": "OPS", "CCAM": "CCAM", "ATC": "ATC", "RXNORM": "RXNORM", "RXNORM EXTENSION": "RXNORM",
    "CPT4": "C4", "UCUM": "UCUM", "RADLEX": "RADLEX", "NDC": "NDC", "CVX": "CVX",
    "I10": "I10", "I10C": "I10C", "SCT": "SCT",
}  # fmt: skip

_SCHEMES = {uri: scheme for scheme, uri in SYSTEMS.items()} | _MORE


@lru_cache(maxsize=4096)
def scheme_of(system: str) -> str:
    """The name of a coding scheme; one that nobody knows keeps the name that it has.

    >>> scheme_of("http://loinc.org"), scheme_of("http://fhir.de/CodeSystem/bfarm/ops")
    ('LN', 'OPS')
    >>> scheme_of("ICD10GM"), scheme_of("SNOMED"), scheme_of("99LOCAL")
    ('ICD10GM', 'SCT', '99LOCAL')
    """
    system = system.strip()
    found = _SCHEMES.get(system) or _SCHEMES.get(system.rstrip("/"))
    return found or _NAMES.get(system.upper(), system)


@lru_cache(maxsize=65536)
def asked(value: str, scheme: str) -> str:
    """A code as questions ask for it.

    >>> asked("T-62000", "SRT"), asked("C61", "http://hl7.org/fhir/sid/icd-10")
    ('SCT:10200004', 'I10:C61')
    """
    value, scheme = normal(value, scheme_of(scheme))
    return f"{scheme}:{value}"
