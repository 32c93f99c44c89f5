"""dicomlake: an open imaging data lake for hospitals and research consortia.

import dicomlake
lake = dicomlake.open("lake")
lake.query("Modality = 'MR' and MagneticFieldStrength >= 3", level="patient")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomlake.version import __version__

if TYPE_CHECKING:
    from dicomlake.api import Lake, deidentify, make, open, pull
    from dicomlake.contracts import Answer

_FROM = {
    "Lake": "api",
    "deidentify": "api",
    "make": "api",
    "open": "api",
    "pull": "api",
    "Answer": "contracts",
}

__all__ = ["Answer", "Lake", "__version__", "deidentify", "make", "open", "pull"]


def __getattr__(name: str) -> Any:
    """Load the parts of the Python API when they are first used."""
    if name in _FROM:
        from importlib import import_module

        return getattr(import_module(f"dicomlake.{_FROM[name]}"), name)
    raise AttributeError(f"module 'dicomlake' has no attribute {name!r}")
