"""Labels: which structures become which number of a label volume, and which values a column.

    masks:
      kidney_left: {label: 1, is: ["SCT:18639004"]}
      tumour: {label: 2, is: ["SCT:108369006", "Tumor"]}
    columns:
      qt: {path: "*.[DCM:122158].[MDC:2:16160]", unit: ms}

`is` names codes as the lake has them (SCHEME:VALUE), or labels of segments as they were written.
Without a mapping each coded structure becomes a label, in the order of their codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from dicomlake.errors import UsageError
from dicomlake.lake import Store

MOST_CHARACTERS = 200_000
MOST_LABELS = 65_535
_SEGMENTS = """
select s."StudyInstanceUID", s."SeriesInstanceUID", g."SOPInstanceUID", g.kind, g.number,
    coalesce(g.label, '') as label, coalesce(g.structure, g.type, '') as code,
    coalesce(g.type, '') as type, coalesce(g.structure_meaning, g.type_meaning, '') as meaning,
    coalesce(g.laterality, '') as laterality,
    coalesce(g."ReferencedSeriesInstanceUID", []) as series,
    coalesce(g."ReferencedSOPInstanceUID", []) as objects
from segments g join series s using (series_id) semi join chosen using ("SeriesInstanceUID")
where g.number is not null order by 1, 2, 3, 5
"""


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a volume: its name, its number, and what is one."""

    name: str
    number: int
    meant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """An object in which structures are drawn on a series: number of segment and of label."""

    SOPInstanceUID: str
    SeriesInstanceUID: str
    on: str
    kind: str
    numbers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What becomes a label; `columns` as in a definition of an extraction, by series."""

    labels: tuple[Label, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    each: str = "series"

    def number_of(self, segment: Mapping[str, Any]) -> int | None:
        """The number of the label of a segment, or none."""
        said = _said(segment)
        return next((one.number for one in self.labels if said & set(one.meant)), None)


def _said(segment: Mapping[str, Any]) -> set[str]:
    """What a segment may be meant by; with its side: CODE left."""
    found = {segment["code"], segment["type"], segment["label"].strip().lower()} - {""}
    if segment["laterality"]:
        found |= {f"{segment['code']} {segment['laterality']}"}
    return found


def mapping_of(text: str) -> Mapped:
    """The mapping that a text of YAML defines; UsageError says what is wrong with it.

    >>> mapping_of("masks: {liver: {label: 1, is: ['SCT:10200004']}}").labels[0].number
    1
    """
    if not text:
        return Mapped()
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"The labels have more than {MOST_CHARACTERS:,} characters.")
    try:
        plain = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError("The labels are no YAML. See docs/datasets.md.") from error
    if not isinstance(plain, dict) or not plain or set(plain) - {"masks", "columns", "each"}:
        raise UsageError("Labels have masks, columns and each. See docs/datasets.md.")
    masks, columns = plain.get("masks") or {}, plain.get("columns") or {}
    if not isinstance(masks, dict) or not isinstance(columns, dict):
        raise UsageError("masks and columns of the labels are mappings. See docs/datasets.md.")
    labels = tuple(_label(str(name), said, at) for at, (name, said) in enumerate(masks.items(), 1))
    if len({one.number for one in labels}) < len(labels):
        raise UsageError("Two labels have one number. Give each its own.")
    each = str(plain.get("each", "series"))
    if columns:
        from dicomlake.jobs.definitions import load

        load({"name": "labels", "each": each, "columns": columns})
    return Mapped(labels, columns, each)


def _label(name: str, said: Any, at: int) -> Label:
    if isinstance(said, str):
        said = {"is": [said]}
    if not isinstance(said, dict) or set(said) - {"label", "is"} or not said.get("is"):
        raise UsageError(
            f"The label {name[:60]!r} says what it is: {{label: 1, is: [SCT:10200004]}}"
        )
    meant = said["is"] if isinstance(said["is"], list) else [said["is"]]
    number = said.get("label", at)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MOST_LABELS:
        raise UsageError(f"The label {name[:60]!r} has a number from 1 to {MOST_LABELS:,}.")
    texts = [str(one).strip() for one in meant]
    return Label(name, number, tuple(t if ":" in t else t.lower() for t in texts))


def segments_of(store: Store, series: Iterable[str]) -> list[dict[str, Any]]:
    """The segments and regions of these series, in order."""
    import pyarrow as pa

    with store.database(only=("series", "segments")) as db:
        db.register("chosen", pa.table({"SeriesInstanceUID": pa.array(list(series), pa.string())}))
        found: list[dict[str, Any]] = db.sql(_SEGMENTS).to_arrow_table().to_pylist()
    return found


def automatic(segments: Iterable[Mapping[str, Any]]) -> Mapped:
    """A label for each coded structure and side, in the order of codes."""
    found: dict[tuple[str, str], str] = {}
    for one in segments:
        if one["code"]:
            side = one["laterality"]
            key = (one["code"], side)
            found.setdefault(key, (one["meaning"] or one["code"]))
    labels = []
    sided = sorted(found, key=lambda key: (key[0], key[1]))
    for number, (code, side) in enumerate(sided, 1):
        name = _named(found[code, side], side)
        labels.append(Label(name, number, (f"{code} {side}" if side else code,)))
    # A side is more than none: it is asked first.
    return Mapped(tuple(sorted(labels, key=lambda one: " " not in one.meant[0])))


_SIDES = {"SCT:7771000": "left", "SCT:24028007": "right", "SCT:51440002": "both"}


def _named(meaning: str, side: str) -> str:
    text = f"{meaning} {_SIDES.get(side, side)}" if side else meaning
    return "_".join(text.lower().replace("/", " ").split()) or "structure"


def drawn_of(
    segments: Iterable[Mapping[str, Any]], mapped: Mapped, series_of: Mapping[str, str]
) -> tuple[dict[str, list[Drawn]], list[tuple[str, str]]]:
    """By study: what is drawn on which series of the dataset; and series with why they are not.

    `series_of`: the series of the objects and series of the dataset, by their UIDs.
    """
    grouped: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for one in segments:
        key = (
            one["StudyInstanceUID"],
            one["SeriesInstanceUID"],
            one["SOPInstanceUID"],
            one["kind"],
        )
        held = grouped.setdefault(key, {"numbers": [], "on": set()})
        held["on"] |= {series_of[u] for u in (*one["series"], *one["objects"]) if u in series_of}
        number = mapped.number_of(one)
        if number is not None:
            held["numbers"].append((int(one["number"]), number))
    found: dict[str, list[Drawn]] = {}
    notes = []
    for (study, series, uid, kind), held in grouped.items():
        on = sorted(held["on"] - {series})
        if not on:
            notes.append((series, "what it is drawn on is not in the dataset"))
        for one in on:
            if held["numbers"]:
                found.setdefault(study, []).append(
                    Drawn(uid, series, one, kind, tuple(held["numbers"]))
                )
    return found, notes
