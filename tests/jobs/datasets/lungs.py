"""A lake of three chests whose lungs are known, with a segmentation of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomlake.contracts.segmenters import Labels
from dicomlake.enrichers.masks import write_seg
from dicomlake.jobs.datasets.objects import parsed
from dicomlake.jobs.index import index
from dicomlake.testing.dicom import uid
from dicomlake.testing.volumes import Phantom, axial, chest, series

KEY = "a key of thirty-two bytes or more, of a test"
SETTINGS = """[pseudonyms.study]
key_env = "DATASET_KEY"
"""
WHERE = "Modality in ('CT', 'SEG')"


def phantom() -> Phantom:
    return chest(axial((12, 36, 48), (16.0, 7.0, 7.0)))


def make_lake(folder: Path, patients: int = 3) -> Path:
    """The lake, whose settings name pseudonyms."""
    archive = folder / "archive"
    archive.mkdir(parents=True)
    for who in range(patients):
        body = phantom()
        names: dict[str, Any] = {
            "PatientID": f"HOSP-77{who}",
            "PatientName": f"Quendolin{who}^Xaver",
            "AccessionNumber": f"ACC-99{who}",
            "FrameOfReferenceUID": uid("frame", who),
            "BurnedInAnnotation": "NO",
        }
        made = series(body.volume(noise=4), name=f"chest {who}", **names)
        for at, data in enumerate(made):
            (archive / f"{who}-{at}.dcm").write_bytes(data)
        numbers = {name: body.names.index(name) for name in ("lung_left", "lung_right")}
        labels = Labels(
            body.painted,
            body.grid,
            {name: (number,) for name, number in numbers.items()},
            body.volume().voxels,
        )
        headers = [parsed(data).header for data in made]
        write_seg(archive / f"{who}-seg.dcm", labels, headers, ("test", "1", "none"))
    lake = folder / "lake"
    index([archive], lake, workers=1)
    (lake / "dicomlake.toml").write_text(SETTINGS, encoding="utf-8")
    return lake
