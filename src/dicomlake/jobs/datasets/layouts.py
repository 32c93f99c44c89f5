"""Layouts: where in a dataset objects, volumes and labels lie, and the files that list them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicomlake.contracts.deid import Cleaned
from dicomlake.jobs.datasets.places import safe
from dicomlake.jobs.datasets.wanted import Wanted

TRAINING, VALIDATION, TEST = "training", "validation", "test"
_OBJECTS = {"bids": "sourcedata"}
_BIDS = {"CT": ("ct", "ct"), "PT": ("pet", "pet"), "MR": ("anat", "MR")}
_CHANNELS = {"CT": "CT", "MR": "MRI", "PT": "PET"}


@dataclass(frozen=True, slots=True)
class Case:
    """A volume of a dataset, and its labels: paths below the dataset, "" where there are none.

    `shape` is in the order of the file; `present`: the labels that it has; `by`: what converted it.
    """

    case: str
    person: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    Modality: str
    split: str
    fold: int | None
    image: str
    label: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    present: tuple[int, ...]
    by: str

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Case:
        """From JSON."""
        lists = {name: tuple(plain[name]) for name in ("shape", "spacing", "present")}
        return cls(**{**plain, **lists})

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        names = self.__dataclass_fields__
        return {name: getattr(self, name) for name in names}


def objects_in(layout: str, person: str, cleaned: Cleaned) -> str:
    """The path of an object: patient, study, series, object."""
    parts = [safe(uid) for uid in (cleaned.StudyInstanceUID, cleaned.SeriesInstanceUID)]
    whose = f"sub-{plainly(person)}" if layout == "bids" else person
    return "/".join([objects_folder(layout), whose, *parts, f"{safe(cleaned.SOPInstanceUID)}.dcm"])


def objects_folder(layout: str) -> str:
    """The folder of objects."""
    return _OBJECTS.get(layout, "dicom")


def plainly(name: str) -> str:
    """A name as a label of BIDS: letters and digits alone.

    >>> plainly("p-01.a")
    'p01a'
    """
    return "".join(c for c in name if c.isascii() and c.isalnum())


def short(uid: str) -> str:
    """A few digits for a UID, always the same ones.

    >>> short("1.2.3")
    '27a1303c'
    """
    return hashlib.blake2b(uid.encode(), digest_size=4).hexdigest()


def case_of(person: str, uid: str) -> str:
    """The name of a case: its patient, and digits of its series."""
    return f"{person}-{short(uid)}"


def paths_of(
    wanted: Wanted,
    person: str,
    study: str,
    series: str,
    Modality: str,
    split: str,
    *,
    labelled: bool,
) -> tuple[str, str]:
    """The paths of the volume of a series and of its labels; "" for a volume that has no place.

    nnU-Net has a place for what it trains with, which has labels, and for what it is tried on.
    """
    case = case_of(person, series)
    part = "Ts" if split == TEST else "Tr"
    if wanted.layout == "nnunet":
        folder = nnunet_folder(wanted)
        image = f"{folder}/images{part}/{case}_0000.nii.gz"
        return (image if labelled or part == "Ts" else ""), f"{folder}/labels{part}/{case}.nii.gz"
    if wanted.layout == "monai":
        return f"images{part}/{case}.nii.gz", f"labels{part}/{case}.nii.gz"
    if wanted.layout == "federated":
        return f"images/{case}.nii.gz", f"labels/{case}.nii.gz"
    if wanted.layout == "bids":
        sub, ses = f"sub-{plainly(person)}", f"ses-{short(study)}"
        folder, suffix = _BIDS.get(Modality, ("anat", plainly(Modality) or "image"))
        stem = f"{sub}/{ses}/{folder}/{sub}_{ses}_acq-{short(series)}"
        return f"{stem}_{suffix}.nii.gz", f"derivatives/labels/{stem}_dseg.nii.gz"
    place = f"{person}/{safe(study)}/{safe(series)}.nii.gz"
    return f"nifti/{place}", f"labels/{place}"


def nnunet_folder(wanted: Wanted) -> str:
    """The folder of a dataset of nnU-Net: Dataset501_Name.

    >>> nnunet_folder(Wanted("x", where="a", profile="identified", name="liver-ct"))
    'Dataset501_liverct'
    """
    return f"Dataset{wanted.number:03}_{plainly(wanted.name) or 'dataset'}"


def lists_of(
    wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files that tell a program what is where, by their paths."""
    make = {"monai": _monai, "nnunet": _nnunet, "bids": _bids, "federated": _federated}
    found = make[wanted.layout](wanted, cases, labels, about) if wanted.layout in make else {}
    return {name: _json(one) if not isinstance(one, bytes) else one for name, one in found.items()}


Lists = dict[str, Any]


def datalist(
    cases: Iterable[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> dict[str, Any]:
    """What MONAI reads: training, validation and test, with paths and folds; paired by the cohort.

    Cases to train with or to validate on have a label; those without are listed apart. All keys
    are there in every dataset, so that sites have the same ones.
    """
    found: dict[str, Any] = {
        "name": about["name"], "description": about["title"], "licence": about["licence"],
        "tensorImageSize": "3D", "modality": {"0": _channel(cases)},
        "labels": {"0": "background", **{str(n): name for name, n in sorted_labels(labels)}},
    }  # fmt: skip
    parts: dict[str, list[dict[str, Any]]] = {
        TRAINING: [], VALIDATION: [], TEST: [], "unlabelled": [],
    }  # fmt: skip
    for one in cases:
        entry: dict[str, Any] = {"image": one.image}
        if one.label:
            entry["label"] = one.label
        if one.split in (VALIDATION, TEST):
            part = one.split
        else:
            part = TRAINING
            entry["fold"] = 0 if one.fold is None else one.fold
        if part != TEST and not one.label and labels:
            part = "unlabelled"
        parts[part].append(entry)
    counts = {f"num{part.title()}": len(entries) for part, entries in parts.items()}
    return {**found, **counts, **parts}


def sorted_labels(labels: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names and numbers of labels, by number."""
    return sorted(labels.items(), key=lambda one: one[1])


def _monai(
    wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> Lists:
    return {"datalist.json": datalist(cases, labels, about)}


def _nnunet(
    wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> Lists:
    folder = nnunet_folder(wanted)
    trained = [one for one in cases if one.split != TEST]
    found: Lists = {
        f"{folder}/dataset.json": {
            "channel_names": {"0": _channel(cases)},
            "labels": {"background": 0, **dict(sorted_labels(consecutive(labels)))},
            "numTraining": len(trained),
            "file_ending": ".nii.gz",
            "name": about["name"],
            "description": about["title"],
            "licence": about["licence"],
        }
    }
    held = [one.case for one in trained if one.split == VALIDATION]
    folds = sorted({one.fold for one in trained if one.fold is not None})
    if folds:
        splits = [
            {"train": [c.case for c in trained if c.fold != fold],
             "val": [c.case for c in trained if c.fold == fold]}
            for fold in folds
        ]  # fmt: skip
    else:
        splits = [{"train": [c.case for c in trained if c.case not in held], "val": held}]
    if folds or held:
        found[f"{folder}/splits_final.json"] = splits
    return found


def consecutive(labels: Mapping[str, int]) -> dict[str, int]:
    """Labels as nnU-Net wants them: from 1, without gaps.

    >>> consecutive({"tumour": 7, "liver": 2})
    {'liver': 1, 'tumour': 2}
    """
    return {name: at for at, (name, _) in enumerate(sorted_labels(labels), 1)}


def _bids(
    wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> Lists:
    people = sorted({plainly(one.person) for one in cases})
    described = {
        "Name": about["title"] or about["name"], "BIDSVersion": "1.10.0", "DatasetType": "raw",
        "License": about["licence"],
        "GeneratedBy": [{"Name": "dicomlake", "Version": about["version"]}],
    }  # fmt: skip
    found: Lists = {
        "dataset_description.json": described,
        "participants.tsv": _tsv(["participant_id"], [[f"sub-{one}"] for one in people]),
        ".bidsignore": b"dicomlake.*\ndataset.json\nCHECKSUMS.sha256\ntables/\nct/\n*.jsonld\n",
    }
    if any(one.label for one in cases):
        rows = [[str(number), name] for name, number in sorted_labels(labels)]
        found["derivatives/labels/dseg.tsv"] = _tsv(["index", "name"], rows)
        found["derivatives/labels/dataset_description.json"] = {
            **described, "DatasetType": "derivative"
        }  # fmt: skip
    return found


def _federated(
    wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int], about: Mapping[str, Any]
) -> Lists:
    from dicomlake.jobs.datasets.schemas import manifest, schema_of

    rows = manifest(cases)
    return {
        "datalist.json": datalist(cases, labels, about),
        "manifest.parquet": rows,
        "schema.json": schema_of(wanted, cases, labels),
    }


def _channel(cases: Iterable[Case]) -> str:
    found = sorted({_CHANNELS.get(one.Modality, one.Modality) for one in cases})
    return found[0] if len(found) == 1 else "image"


def _tsv(head: list[str], rows: list[list[str]]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in [head, *rows]).encode()


def _json(found: Any) -> bytes:
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()
