"""What is made of a study whose objects are clean: volumes, labels, pictures, waveforms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomlake.errors import DataError
from dicomlake.jobs.datasets import masks, places
from dicomlake.jobs.datasets.layouts import Case, case_of, paths_of
from dicomlake.jobs.datasets.ledger import Made, Note
from dicomlake.jobs.datasets.objects import opened
from dicomlake.jobs.datasets.pictures import pictures_of
from dicomlake.jobs.datasets.volumes import Written, like, nifti, packed, volume_in
from dicomlake.jobs.datasets.wanted import Wanted
from dicomlake.jobs.datasets.waves import waves_of
from dicomlake.jobs.datasets.work import UNEXPECTED, Clean, Result, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGES = ("CT", "MR", "PT")
"""Modalities of which volumes are made."""
_BY_OBJECT = {"png": pictures_of, "waveforms": waves_of}


class Writer:
    """Writes files of a dataset that belong to a patient, and notes them."""

    def __init__(self, root: Path, study: Study) -> None:
        self._root, self._study = root, study
        self.result = Result()

    def write(self, path: str, kind: str, data: bytes, series: Clean) -> None:
        """Write a file."""
        places.write(self._root / path, data)
        made = Made(path, kind, places.sha256(data), len(data), self._study.patient_key,
                    series.new_series)  # fmt: skip
        self.result.files.append(made)

    def note(self, series: Clean, kind: str, why: str) -> None:
        """Note why something is not there."""
        self.result.notes.append(Note(series.new_series, kind, why, self._study.patient_key))


def derived(study: Study, wanted: Wanted, root: Path, clean: Path) -> Result:
    """What is made of a study; why something is not made is noted and stops nothing."""
    writer = Writer(root, study)
    for series in study.series:
        if "nifti" in wanted.formats and series.Modality in IMAGES:
            _volume(writer, study, series, wanted, clean)
        for kind in sorted(_BY_OBJECT.keys() & set(wanted.formats)):
            for path in series.paths:
                _of_object(writer, study, series, kind, clean / path, wanted)
    return writer.result


def _volume(writer: Writer, study: Study, series: Clean, wanted: Wanted, clean: Path) -> None:
    """The volume of a series, and the labels that are drawn on it."""
    try:
        volume = volume_in([clean / path for path in series.paths])
        labels = _labels(writer, study, series, volume, clean)
        _write_case(writer, study, series, wanted, volume, labels)
    except DataError as error:
        writer.note(series, "nifti", str(error))
    except UNEXPECTED as error:
        writer.note(series, "nifti", f"it could not be made ({type(error).__name__})")


def _labels(
    writer: Writer, study: Study, series: Clean, volume: Written, clean: Path
) -> NDArray[Any] | None:
    """The label volume of a series; None where nothing is drawn on it."""
    places_of = {uid: one.paths[at] for one in study.series for at, uid in enumerate(one.uids)}
    labels = masks.blank(volume.grid)
    done = False
    for drawn in study.drawn:
        if drawn.on != series.SeriesInstanceUID or drawn.SOPInstanceUID not in places_of:
            continue
        try:
            found = opened(clean / places_of[drawn.SOPInstanceUID])
            others = masks.draw(labels, volume.grid, found, drawn.kind, dict(drawn.numbers))
            done = True
            if others:
                writer.note(series, "labels", f"{others:,} voxels had two labels; the last counts")
        except DataError as error:
            writer.note(series, "labels", str(error))
        except UNEXPECTED as error:
            writer.note(series, "labels", f"it could not be drawn ({type(error).__name__})")
    return labels if done else None


def _write_case(
    writer: Writer,
    study: Study,
    series: Clean,
    wanted: Wanted,
    volume: Written,
    labels: NDArray[Any] | None,
) -> None:
    image, label = paths_of(
        wanted, study.person, series.new_study, series.new_series, series.Modality, series.split,
        labelled=labels is not None,
    )  # fmt: skip
    if not image:
        writer.note(series, "nifti", "nothing is drawn on it, and it is not for testing")
        return
    writer.write(image, "nifti", volume.packed(), series)
    if volume.why:
        writer.note(series, "nifti", f"written by dicomlake itself: {volume.why}")
    if wanted.layout == "bids":
        text = json.dumps(volume.sidecar, indent=1, sort_keys=True) + "\n"
        writer.write(image.replace(".nii.gz", ".json"), "nifti", text.encode(), series)
    if labels is None:
        label = ""
    else:
        small = masks.smallest(labels, study.most)
        turned = np.ascontiguousarray(like(small, volume.grid, volume.affine))
        writer.write(label, "labels", packed(nifti(turned, volume.affine)), series)
    case = Case(
        case_of(study.person, series.new_series), study.person, series.new_study,
        series.new_series, series.Modality, series.split, series.fold, image, label, volume.shape,
        tuple(round(float(v), 6) for v in np.linalg.norm(volume.affine[:3, :3], axis=0)),
        tuple(masks.present(labels)) if labels is not None else (), volume.by,
    )  # fmt: skip
    writer.result.cases.append(case.plain())


def _of_object(
    writer: Writer, study: Study, series: Clean, kind: str, path: Path, wanted: Wanted
) -> None:
    try:
        found = opened(path)
        folder = "/".join(
            [kind, study.person, places.safe(series.new_study), places.safe(series.new_series)]
        )
        for name, data in _BY_OBJECT[kind](found, wanted):
            writer.write(f"{folder}/{path.stem}{name}", kind, data, series)
    except DataError as error:
        writer.note(series, kind, str(error))
    except UNEXPECTED as error:
        writer.note(series, kind, f"it could not be made ({type(error).__name__})")
