"""DICOMweb of a lake: QIDO-RS, WADO-RS, WADO-URI and STOW-RS (PS3.18), below `/dicom-web`."""

from __future__ import annotations

from fastapi import APIRouter

from dicomlake.web.dicomweb import rendering, retrieving, searching, storing

ROOT = "/dicom-web"

router = APIRouter(prefix=ROOT, include_in_schema=False)  # PS3.18 describes it
for _part in (searching, retrieving, rendering, storing):
    router.include_router(_part.router)

__all__ = ["ROOT", "router"]
