"""Structures of a series become annotations with codes; masks are kept where they are asked for."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

import dicomlake
from dicomlake.contracts.segmenters import Labels, Stack, Volume, measured
from dicomlake.enrichers.anatomy import HounsfieldEnricher
from dicomlake.enrichers.masks import nifti_header
from dicomlake.errors import UsageError
from dicomlake.jobs.enriching import EnrichReport, enrich
from dicomlake.jobs.index import index
from dicomlake.lake import Store
from dicomlake.readers.stacks import StackReader
from dicomlake.readers.volumes import volumes_of
from dicomlake.segmenters.hounsfield import HounsfieldSegmenter
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.volumes import Phantom, axial, chest, series
from tests.readers.contents import header_of


def phantom() -> Phantom:
    return chest(axial((60, 90, 120), (5, 3, 3)))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a chest, a tilted CT, an MR and a CT of two slices."""
    folder = tmp_path_factory.mktemp("anatomy")
    objects = folder / "objects"
    objects.mkdir()
    small = Phantom(axial((4, 8, 8), (5, 5, 5))).volume()
    tilted = [{"ImagePositionPatient": [0, 2 * at, 5 * at]} for at in range(4)]
    files = series(phantom().volume(), name="chest")
    files += [series(small, name="tilted", **said)[at] for at, said in enumerate(tilted)]
    files += series(small, name="MR", Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    files += series(Phantom(axial((2, 8, 8))).volume(), name="two")
    files += series(small, name="air")
    files.append(encode(image(SOPInstanceUID=uid("one"), SeriesInstanceUID=uid("one"))))
    for number, data in enumerate(files):
        (objects / f"{number}.dcm").write_bytes(data)
    index(objects, folder / "lake")
    return folder / "lake"


def enriched(lake: Path, segmenter: Any = HounsfieldSegmenter, **options: str) -> EnrichReport:
    enricher = HounsfieldEnricher(lake, options, segmenter=segmenter, reader=StackReader())
    return enrich(lake, enricher, again=True)


def rows(lake: Path, statement: str) -> list[dict[str, Any]]:
    with Store(lake).database() as db:
        found: list[dict[str, Any]] = db.sql(statement).to_arrow_table().to_pylist()
    return found


def test_structures_become_annotations_and_the_rest_says_why(lake: Path) -> None:
    report = enriched(lake)
    assert (report.done, report.skipped, report.failed) == (1, 3, 1)
    tilted = "the gantry was tilted: its slices are shifted by 21.8 degrees"
    assert set(report.reasons) == {
        tilted,
        "it has fewer than 3 slices",
        "it has only one image",
        "there is nothing but air in it",
    }
    found = {row["label"]: row for row in rows(lake, "select * from annotations")}
    assert set(found) == {"body", "lung_left", "lung_right", "bone", "air", "fat"}
    left, truth = found["lung_left"], phantom().truth
    assert left["enricher"] == "hounsfield"
    assert left["kind"] == "structure"
    assert (left["structure"], left["structure_meaning"]) == ("SCT:39607008", "Lung")
    assert (left["laterality"], left["name"]) == ("SCT:7771000", "Left lung")
    assert left["volume"] == pytest.approx(truth["lung_left"], rel=0.1)
    assert left["intensity"] == pytest.approx(-850, abs=30)
    assert left["complete"] is True
    assert found["body"]["complete"] is False
    assert left["grid"] == 5.0
    assert left["box"] == pytest.approx([0, -70, -75, 118, 70, 115], abs=7)
    assert left["confidence"] is None
    assert {found[n]["kind"] for n in ("body", "bone", "air", "fat")} == {"tissue"}
    assert (found["air"]["structure"], found["air"]["code"]) == (None, "SCT:15158005")
    model = rows(lake, "select distinct model from enrichments")[0]["model"]
    assert "not a trained network" in model


def test_what_it_sees_can_be_asked_for(lake: Path) -> None:
    enriched(lake)
    for size, count in ((500, 1), (50_000, 0)):
        both = f"annotation.structure within SCT:39607008 and annotation.volume > {size}"
        assert dicomlake.Lake(lake).query(f"same(annotation, {both})").totals["series"] == count


def test_masks_are_kept_where_asked_for(lake: Path) -> None:
    enriched(lake)
    assert not (lake / "_masks").exists()
    enriched(lake, keep="seg,nifti")
    said = rows(lake, "select kept from enrichments where kept is not null")
    nifti, seg = (Path(uri.removeprefix("file://")) for uri in said[0]["kept"])
    stated = {r["label"]: r for r in rows(lake, "select * from annotations")}

    data = seg.read_bytes()
    found = pydicom.dcmread(seg)
    json = header_of(data)[1]
    volumes = volumes_of(json, lambda at, length: data[at : at + length], len(data))
    labels = {s.SegmentNumber: s.SegmentLabel for s in found.SegmentSequence}
    assert set(labels.values()) == set(stated)
    for number, label in labels.items():
        assert volumes[number].volume == pytest.approx(stated[label]["volume"], rel=1e-3)
    left = next(s for s in found.SegmentSequence if s.SegmentLabel == "lung_left")
    (kind,) = left.SegmentedPropertyTypeCodeSequence
    assert kind.CodeValue == "39607008"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == uid("chest", "series")

    raw = gzip.decompress(nifti.read_bytes())
    assert struct.unpack_from("<8h", raw, 40)[:4] == (3, 120, 90, 60)
    assert struct.unpack_from("<4f", raw, 76)[1:] == (3.0, 3.0, 5.0)
    voxels = np.frombuffer(raw, np.uint8, offset=352)
    assert np.count_nonzero(voxels) * 0.045 == pytest.approx(stated["body"]["volume"], rel=1e-4)


def test_nifti_counts_to_the_right_and_to_the_front() -> None:
    head = nifti_header(np.dtype(np.uint8), axial((2, 3, 4), (5, 2, 1)))
    assert len(head) == 352
    assert struct.unpack_from("<i", head)[0] == 348
    assert head[344:348] == b"n+1\0"
    assert struct.unpack_from("<2h", head, 252) == (0, 1)
    affine = struct.unpack_from("<12f", head, 280)
    assert affine == (-1, 0, 0, 1.5, 0, -2, 0, 2, 0, 0, 5, -2.5)


def test_options_that_are_unknown_are_refused(lake: Path) -> None:
    with pytest.raises(UsageError, match="takes seg or nifti, or both"):
        enriched(lake, keep="stl")
    with pytest.raises(UsageError, match="no option 'task'"):
        enriched(lake, task="total")


class Odd(HounsfieldSegmenter):
    """Knows a label that nobody has a code for, and one that it does not find."""

    def segment(self, volume: Volume) -> Labels:
        voxels = np.zeros(volume.grid.shape, np.uint8)
        voxels[1:3, 2:5, 2:5] = 1
        names = {"vertebrae_L6": (1,), "liver": (2,)}
        return Labels(voxels, volume.grid, names, volume.voxels)

    def refuses(self, stack: Stack) -> str:
        return "" if stack.grid.shape[0] > 50 else "too few"


class Away(Odd):
    """Needs what is not installed."""

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__()

    def missing(self) -> str:
        return "It needs weights. Install them with: dicomlake segmenter install DIR"


def test_unknown_labels_have_words_and_no_code_and_empty_ones_no_row(lake: Path) -> None:
    assert enriched(lake, Odd).done == 1
    (row,) = rows(lake, "select * from annotations")
    assert (row["label"], row["name"]) == ("vertebrae_L6", "Vertebrae L6")
    assert (row["structure"], row["code"], row["also"]) == (None, None, None)


def test_a_segmenter_that_misses_something_says_what(lake: Path) -> None:
    with pytest.raises(UsageError, match="dicomlake segmenter install DIR"):
        enriched(lake, Away)


def test_measured_has_no_row_for_what_is_not_there() -> None:
    labels = HounsfieldSegmenter().segment(phantom().volume())
    assert "lung" not in {one.label for one in measured(labels)}
