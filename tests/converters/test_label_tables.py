"""Tables of labels beside masks: BIDS, ITK-SNAP and JSON say the same of the same mask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomlake.contracts.converters import Asked, Original
from dicomlake.converters.label_tables import beside, table_of
from dicomlake.converters.masks import MasksConverter
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.converting import mapping_of
from tests.converters.test_masks import LIVER, SERIES, affine, nifti, series, truth

BIDS = "index\tname\tabbreviation\n0\tBackground\tBG\n1\tliver\tL\n3\tMy Spleen\tS\n"
SNAP = """# ITK-SnAP Label Description File
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "liver"
    3     0    0  255        0.5  1  0    "My Spleen"
"""
FREESURFER = "# No. Name R G B A\n0 Unknown 0 0 0 0\n1 liver 70 130 180 0\n3 My Spleen 1 2 3 255\n"
NNUNET = json.dumps({"labels": {"background": 0, "liver": 1, "My Spleen": 3}, "numTraining": 4})
MONAI = json.dumps({"labels": {"0": "background", "1": "liver", "3": "My Spleen"}})
KNOWN = {1: "liver", 3: "My Spleen"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("a_dseg.tsv", BIDS), ("a.label", SNAP), ("a.txt", SNAP), ("a.txt", FREESURFER),
     ("dataset.json", NNUNET), ("a.json", MONAI)],
)  # fmt: skip
def test_all_say_the_same(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text(said)
    assert table_of(tmp_path / name) == KNOWN


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("a.tsv", "id\tname\n1\tliver\n", "no columns index and name"),
        ("a.tsv", "index\tname\none\tliver\n", "an index that is no whole number"),
        ("a.tsv", "index\tname\n1\tliver\n1\tspleen\n", "says twice what 1 is"),
        ("a.txt", "1 255 0 liver\n", "line 1 of a.txt"),
        ("a.json", "{", "no JSON"),
        ("a.json", '{"labels": {"whole tumour": [1, 2]}}', "neither a number nor a name"),
        ("a.json", "{}", "names no label"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, name: str, said: str, why: str) -> None:
    (tmp_path / name).write_text(said)
    with pytest.raises(DataError, match=why):
        table_of(tmp_path / name)


def test_the_nearest_table_of_bids_counts(tmp_path: Path) -> None:
    folder = tmp_path / "derivatives" / "sub-01" / "anat"
    folder.mkdir(parents=True)
    mask = folder / "sub-01_space-T1w_desc-aseg_dseg.nii.gz"
    for name in ("dseg.tsv", "desc-aseg_dseg.tsv", "desc-other_dseg.tsv"):
        (tmp_path / "derivatives" / name).write_text(BIDS)
    assert beside(mask, mask.name[:-7]).name == "desc-aseg_dseg.tsv"
    (folder / "dseg.tsv").write_text(BIDS)
    assert beside(mask, mask.name[:-7]) == folder / "dseg.tsv"
    (folder / f"{mask.name[:-7]}.label").write_text(SNAP)
    assert beside(mask, mask.name[:-7]).suffix == ".label"
    with pytest.raises(DataError, match=r"beside it: other\.tsv"):
        beside(tmp_path / "other.nii", "other")


def test_a_mask_with_its_table(tmp_path: Path, ask: Callable[..., Asked]) -> None:
    data = nifti(truth().transpose(2, 1, 0), affine())
    said: dict[str, Any] = {
        "converter": "masks", "labels": "beside", "series": {"SeriesInstanceUID": SERIES},
        "names": {"my spleen": {"what": ["78961009", "SCT", "Spleen"]}},
    }  # fmt: skip
    asked = ask(said, series=lambda _: series(), find=lambda _: series()[:1])
    mask = Original("m.nii.gz", data, tmp_path / "m.nii.gz")
    with pytest.raises(DataError, match="no table of labels beside it"):
        MasksConverter().convert(mask, asked)
    (tmp_path / "m.label").write_text(SNAP)
    seg = MasksConverter().convert(mask, asked).objects[0]
    types = [one.SegmentedPropertyTypeCodeSequence[0] for one in seg.SegmentSequence]
    assert [(one.CodeValue, one.CodeMeaning) for one in types] == [
        (LIVER[0], "Liver"), ("78961009", "Spleen"),
    ]  # fmt: skip
    table = Original("m.label", SNAP.encode(), tmp_path / "m.label")
    assert MasksConverter().format_of(table, asked) == "labels"
    assert MasksConverter().convert(table, asked).objects == []
    assert MasksConverter().format_of(table, ask({"labels": {1: "liver"}})) == ""


def test_a_mapping_names_the_file_of_its_table(tmp_path: Path) -> None:
    (tmp_path / "project.txt").write_text(SNAP)
    (tmp_path / "masks.yaml").write_text("converter: masks\nlabels: project.txt\n")
    assert mapping_of(tmp_path / "masks.yaml")["labels"] == KNOWN
    (tmp_path / "masks.yaml").write_text("converter: masks\nlabels: other.txt\n")
    with pytest.raises(UsageError, match=r"mistake at labels: other\.txt"):
        mapping_of(tmp_path / "masks.yaml")
