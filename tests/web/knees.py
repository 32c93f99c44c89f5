"""A lake of a knee whose tag says skull, and of a series that nobody looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomlake.enrichers.codes import CodesEnricher
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.enrichers import Told


def knee_lake(folder: Path, description: str, told: dict[str, Any]) -> Path:
    """It; an enricher "segments" has `told` something of the knee."""
    (folder / "objects").mkdir()
    for name, more in (
        ("knee", {"BodyPartExamined": "SKULL", "SeriesDescription": description,
                  "AnatomicRegionSequence": [Code("T-D9200", "SRT", "Knie")]}),
        ("other", {"BodyPartExamined": "CHEST", "Modality": "CT", "SeriesDescription": "Plain"}),
    ):  # fmt: skip
        said = image(
            SOPInstanceUID=uid(name, 1), SeriesInstanceUID=uid(name),
            StudyInstanceUID=uid("study"), PatientID="P", **{"Modality": "DX", **more},
        )  # fmt: skip
        (folder / "objects" / f"{name}.dcm").write_bytes(encode(said))
    lake = folder / "lake"
    index([folder / "objects"], lake, workers=1)
    enrich(lake, CodesEnricher(lake, {}), where="Modality = 'DX'")
    enrich(lake, Told({uid("knee"): [told]}, name="segments"), where="Modality = 'DX'")
    return lake
