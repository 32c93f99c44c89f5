"""What datasets of several sites must have in common, and whether they do, before anybody trains.

A schema says keys and types of the manifest, keys of the datalist, labels, layout and formats;
never what a site has. Its hash is the same at every site whose datasets can be trained on together.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dicomlake.errors import UsageError

if TYPE_CHECKING:
    from dicomlake.jobs.datasets.layouts import Case
    from dicomlake.jobs.datasets.wanted import Wanted

MANIFEST = pa.schema(
    [
        pa.field("case", pa.string(), False),
        pa.field("person", pa.string(), False),
        pa.field("StudyInstanceUID", pa.string(), False),
        pa.field("SeriesInstanceUID", pa.string(), False),
        pa.field("Modality", pa.string(), False),
        pa.field("split", pa.string(), False),
        pa.field("fold", pa.int64()),
        pa.field("image", pa.string(), False),
        pa.field("label", pa.string(), False),
        pa.field("shape", pa.list_(pa.int64()), False),
        pa.field("spacing", pa.list_(pa.float64()), False),
        pa.field("present", pa.list_(pa.int64()), False),
        pa.field("by", pa.string(), False),
    ]
)
"""One row per case: as `dicomlake.jobs.datasets.layouts.Case`."""
VERSION = 1
SCHEMA = "schema.json"


def manifest(cases: Sequence[Case]) -> bytes:
    """The cases as Parquet."""
    out = io.BytesIO()
    rows = [one.plain() for one in cases]
    pq.write_table(pa.Table.from_pylist(rows, MANIFEST), out, compression="zstd")
    return out.getvalue()


def schema_of(wanted: Wanted, cases: Sequence[Case], labels: Mapping[str, int]) -> dict[str, Any]:
    """What other sites must have, too, and its hash."""
    said: dict[str, Any] = {
        "version": VERSION,
        "layout": wanted.layout,
        "volumes": ".nii.gz, RAS affine in mm",
        "manifest": {field.name: str(field.type) for field in MANIFEST},
        "datalist": ["training", "validation", "test", "unlabelled"],
        "entry": ["image", "label", "fold"],
        "labels": {"background": 0, **dict(sorted(labels.items(), key=lambda one: one[1]))},
        "modalities": sorted({one.Modality for one in cases}),
    }
    return {**said, "hash": hash_of(said)}


def hash_of(said: Mapping[str, Any]) -> str:
    """The hash of a schema, without the one that it says itself."""
    plain = {name: value for name, value in said.items() if name != "hash"}
    text = json.dumps(plain, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: str | Path) -> dict[str, Any]:
    """The schema of a dataset; UsageError when it has none, or it is not what its hash says."""
    path = Path(folder)
    path = path / SCHEMA if path.is_dir() else path
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        told = found["hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read as a schema: datasets of the layout federated have one."
        ) from error
    if hash_of(found) != told:
        raise UsageError(f"{path} was changed: its hash is another one. Take it from the dataset.")
    return found


def differences(folders: Sequence[str | Path]) -> list[str]:
    """What the datasets do not have in common, in words; nothing when they fit together."""
    first, found = read(folders[0]), []
    for folder in folders[1:]:
        other = read(folder)
        for name in sorted((first.keys() | other.keys()) - {"hash"}):
            one, two = first.get(name), other.get(name)
            if one != two:
                found.append(f"{folder}: {name} is {_said(two)}, not {_said(one)}")
    return found


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
