"""The FHIR endpoint of a lake, below `/fhir`: what it holds, to be read and searched."""

from __future__ import annotations

from dicomlake.web.fhir.routes import Fhir, router

__all__ = ["Fhir", "router"]
