"""What a site decides about its resources, and the ids that follow from it."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

Release = Literal["R4", "R5"]
Profile = Literal["mii", "impetus", "none"]

CANONICAL = "https://dicomlake.example/fhir"
"""Base of the canonical addresses of our own profiles and code systems."""
_SPACE = uuid.UUID("6f6b2a8e-5d0c-5f0a-9a52-6f1f1c1f4c55")
_PATIENT, _ACCESSION = "urn:dicomlake:patient-id", "urn:dicomlake:accession-number"


@dataclass(frozen=True, slots=True)
class Site:
    """What a site decides about its resources.

    `secret`: ids are made with it, so that nobody can guess whose they are. `zone`: the time zone
    of devices that do not tell theirs ("Europe/Berlin"); without one, moments are days. `base`:
    address of the DICOMweb service that has the images. `systems`: identifier systems of patients
    by issuer, "" for those without one; `accessions`: the same of accession numbers. `names`: names
    and birth dates of patients are told; `people`: names of physicians; `instances`: every instance
    of a series. `profile`: the profiles that resources fit besides those of FHIR itself.
    """

    secret: bytes
    zone: str = ""
    base: str = ""
    systems: Mapping[str, str] = field(default_factory=dict)
    accessions: Mapping[str, str] = field(default_factory=dict)
    canonical: str = CANONICAL
    profile: Profile = "none"
    names: bool = False
    people: bool = False
    instances: bool = False

    def patient_system(self, issuer: str) -> str:
        """The system of patient identifiers of an issuer.

        >>> Site(b"", systems={"KH": "https://kh.example/pid"}).patient_system("KH")
        'https://kh.example/pid'
        >>> Site(b"").patient_system("KH 1")
        'urn:dicomlake:patient-id:KH%201'
        """
        return _system(self.systems, _PATIENT, issuer)

    def accession_system(self, issuer: str = "") -> str:
        """The system of accession numbers of an issuer."""
        return _system(self.accessions, _ACCESSION, issuer)


def _system(known: Mapping[str, str], name: str, issuer: str) -> str:
    if issuer in known:
        return known[issuer]
    return f"{name}:{quote(issuer, safe='')}" if issuer else name


def resource_id(site: Site, type_: str, key: str) -> str:
    """The id of the resource of a type and key: always the same, and not to be guessed.

    >>> resource_id(Site(b"secret"), "Patient", "|4711")
    '47f28f90-18d1-5b05-b919-16a04562467a'
    """
    return _id(site.secret, type_, key)


@lru_cache(maxsize=16384)
def _id(secret: bytes, type_: str, key: str) -> str:
    keyed = hmac.digest(secret, f"{type_}|{key}".encode(), "sha256").hex()
    return str(uuid.uuid5(_SPACE, keyed))
