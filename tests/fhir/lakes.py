"""Lakes whose resources are made, and what the makers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomlake.contracts import coded
from dicomlake.fhir import Release, Site
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.fhir.making import Made, Maker
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.enrichers import Told

BASE = "https://pacs.example/dicom-web"
ZONE = "Europe/Berlin"
STUDY, SERIES = uid("fhir", "study"), uid("fhir", "series")


def site(**more: Any) -> Site:
    options: dict[str, Any] = {"zone": ZONE, "base": BASE, **more}
    return Site(b"a secret of thirty-two bytes ....", **options)


def lake_of(folder: Path, *objects: dict[str, Any]) -> Store:
    """A lake of images, each with these attributes on top of one CT series of one study."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for number, said in enumerate(objects or ({},), 1):
        told = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES,
                "SOPInstanceUID": uid("fhir", "instance", number), "InstanceNumber": number,
                **said}  # fmt: skip
        (files / f"{number}.dcm").write_bytes(encode(image(**told)))
    index([files], folder / "lake", workers=1)
    return Store(folder / "lake")


def made(store: Store, release: Release = "R4", **more: Any) -> list[Made]:
    return list(Maker(store, site(**more), release).all())


def one(found: list[Made], type_: str) -> dict[str, Any]:
    """The only resource of a type."""
    (only,) = [m.resource for m in found if m.type == type_]
    return only


def study(store: Store, release: Release = "R4", **more: Any) -> dict[str, Any]:
    return one(made(store, release, **more), "ImagingStudy")


def structures(store: Store, series: str = SERIES) -> Store:
    """State structures of a series: a whole left kidney, a liver that is cut off, something."""
    kidney, liver = Code("64033007", "SCT", "Kidney"), Code("10200004", "SCT", "Liver")
    said = [
        {"kind": "structure", "label": "kidney_left", **coded("structure", kidney),
         "laterality": "SCT:7771000", "name": "Left kidney", "volume": 150.5, "intensity": 31.25,
         "also": ["SCT:18639004", "RADLEX:RID29663"], "complete": True},
        {"kind": "structure", "label": "liver", **coded("structure", liver), "name": "Liver",
         "also": ["RADLEX:RID58"], "volume": 1200.0, "intensity": 60.0, "complete": False},
        {"kind": "structure", "label": "thing", "name": "Thing", "volume": 0.0},
    ]  # fmt: skip
    enrich(store.path, Told({series: said}, version="2", model="weights abc"))
    return Store(store.path)
