"""FHIR resources of what a lake holds, as plain dicts: no network, no database.

Rows become things of a neutral `model` (`mapping`), and those resources of a release (`r4`, `r5`).
"""

from __future__ import annotations

from dicomlake.fhir.sites import CANONICAL, Profile, Release, Site, resource_id

__all__ = ["CANONICAL", "Profile", "Release", "Site", "resource_id"]
