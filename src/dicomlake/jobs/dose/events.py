"""Irradiation events that count, with patient, device, standard names and estimates.

All columns are made at once: names and factors once per combination of what they depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dicomlake.jobs.dose import factors, schemas, size
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.protocols import Names, names_of
from dicomlake.jobs.dose.rows import PHANTOMS, Row, age_of, device_of, distinct, put, read
from dicomlake.jobs.dose.sizes import Sizes
from dicomlake.jobs.dose.skin import peaks_of_events
from dicomlake.query import Node

LOCALISER = "DCM:113805"
"""Constant angle acquisitions: SSDE is not meant for them (AAPM 204)."""


def events(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> pa.Table:
    """Events that count of what a condition finds: `schemas.EVENTS`, oldest first.

    `given`, here and in other questions: what `told` says of the same, where it was asked already.
    """
    found = told(engine, where, options=options, ticket=ticket) if given is None else given
    return schemas.fitted(schemas.EVENTS, of_patients(found, options))


def of_patients(found: pa.Table, options: DoseOptions) -> pa.Table:
    """Rows without those of no patient, unless the options want them."""
    if options.include_not_patient:
        return found
    return found.filter(pc.invert(found.column("not_patient")))


def rows_of(
    names: Sequence[str],
    engine: Any,
    where: Node | None,
    options: DoseOptions,
    ticket: object = None,
    given: pa.Table | None = None,
) -> Iterator[Row]:
    """Some columns of events as rows, without those of no patient unless they are wanted."""
    found = told(engine, where, options=options, ticket=ticket) if given is None else given
    for batch in of_patients(found.select(_there(found, names)), options).to_batches(8192):
        yield from batch.to_pylist()


def told(
    engine: Any, where: Node | None, *, options: DoseOptions, ticket: object = None
) -> pa.Table:
    """The same with columns of the series besides, and with events of no patient."""
    found = named(read(engine, "dose_events", where, options, ticket), options)
    found = put(found, {"SSDE_sent": found.column("SSDE")})
    found = put(found, {"phantom": _each(found, ["phantom"], _phantom, pa.int64())})
    peaks = peaks_of_events(engine, ticket)
    keys = found.column("event_key").to_pylist() if peaks else []
    skin = pa.array(map(peaks.get, keys), pa.float64()) if peaks else _nothing(found)
    diameters, sources = Sizes(engine, options, ticket).of(found)
    found = put(
        found,
        {
            "peak_skin_dose": skin,
            "size_used": pa.array(diameters, pa.float64()),
            "size_source": pa.array(sources, pa.string()),
        },
    )
    found, regions = _with_regions(found)
    found = _sized(found, regions, options)
    found = _estimated(found, regions, options)
    whys = [found.column(name) for name in ("why_nobody", "why_no_size", "why_no_dose")]
    found = put(found, {"why_not": _lists(whys)})
    return found.drop_columns(["why_nobody", "why_no_size", "why_no_dose", "regions"])


def named(found: pa.Table, options: DoseOptions) -> pa.Table:
    """Rows with names of protocols and devices, ages, and who is no patient."""
    names = names_of(options.own("names.yaml"))
    made, codes = _spoken(found, names, "protocols")
    rules = [names.protocol(row, row.get("StudyDate")) for row in made]
    of = "ManufacturerModelName Manufacturer StationName DeviceSerialNumber".split()
    device = _there(found, [*names.asked("devices"), *of])
    return put(
        found,
        {
            "standard_protocol": _texts([r.standard if r else None for r in rules], codes),
            "rule": _texts([r.name if r else None for r in rules], codes),
            "rule_region": _texts([r.region if r else "" for r in rules], codes),
            "device": _each(found, device, lambda row: _device(names, row), pa.string()),
            "age": _each(
                found, ["PatientAge", "PatientBirthDate", "StudyDate"], age_of, pa.float64()
            ),
            **_nobody(found, names),
        },
    )


def _spoken(found: pa.Table, names: Names, part: str) -> tuple[list[Row], pa.Array]:
    """Combinations of what rules of a part look at; texts that say nothing to them are left out."""
    asked = _there(found, names.asked(part))
    few = found.select(asked)
    for name in asked:
        if name in ("kind", "ManufacturerModelName", "StudyDate"):
            continue
        made, codes = distinct(found, [name])
        said = [row[name] if names.telling(part, name, row[name]) else None for row in made]
        few = put(few, {name: _texts(said, codes)})
    return distinct(few, asked)


def _device(names: Names, row: Row) -> str:
    return names.device(row, row.get("StudyDate")) or device_of(row)


def _nobody(found: pa.Table, names: Names) -> dict[str, pa.Array]:
    """Who is no patient: a study with one event of a phantom is of that phantom."""
    made, codes = _spoken(found, names, "nobody")
    why = _texts([names.not_patient(row) or None for row in made], codes)
    studies = found.column("StudyInstanceUID")
    theirs = studies.filter(pc.is_valid(why)).unique()
    beside = pc.and_(pc.is_null(why), pc.is_in(studies, theirs, skip_nulls=True))
    why = pc.if_else(beside, "another event of the study is of no patient", why)
    return {"why_nobody": why, "not_patient": pc.is_valid(why)}


def _phantom(row: Row) -> int | None:
    return PHANTOMS.get(row["phantom"] or "")


def _there(found: pa.Table, names: Sequence[str]) -> list[str]:
    """Names of columns that a table has, each once."""
    return [name for name in dict.fromkeys(names) if name in found.column_names]


def _each(
    found: pa.Table, names: Sequence[str], make: Callable[[Row], Any], kind: pa.DataType
) -> pa.Array:
    """A column of what a function makes of some others."""
    made, codes = distinct(found, names)
    return pa.array([make(row) for row in made], kind).take(codes)


def _texts(values: Sequence[str | None], codes: pa.Array) -> pa.Array:
    return pa.array(values, pa.string()).take(codes)


def _nothing(found: pa.Table) -> pa.Array:
    return pa.nulls(found.num_rows, pa.float64())


def _numbers(found: pa.Table, name: str) -> NDArray[np.float64]:
    """A column with NaN where nothing is."""
    column = pc.cast(found.column(name), pa.float64())
    numbers: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy()
    return numbers


def _column(numbers: NDArray[np.float64]) -> pa.Array:
    """The same back: nothing where NaN is."""
    return pa.array(numbers, pa.float64(), from_pandas=True)


def _is(found: pa.Table, name: str, value: str) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = pc.fill_null(pc.equal(found.column(name), value), False).to_numpy()
    return same


def _lists(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """A list of what some columns say, nothing where they are silent."""
    names = [str(n) for n in range(len(columns))]
    made, codes = distinct(pa.table(dict(zip(names, columns, strict=True))), names)
    said = [[text for text in row.values() if text] or None for row in made]
    return pa.array(said, pa.list_(pa.field("element", pa.string()))).take(codes)


# Estimates

_Regions = list[tuple[str, ...]]


def _with_regions(found: pa.Table) -> tuple[pa.Table, _Regions]:
    """Rows with the number of their regions of factors: by target region, else by a rule."""
    made, codes = distinct(found, ["region", "rule_region"])
    known = factors.regions()
    said = [
        known.get(row["region"] or "", ()) or factors.standing(row["rule_region"]) for row in made
    ]
    regions = list(dict.fromkeys(said))
    numbers = pa.array([regions.index(one) for one in said], pa.int64()).take(codes)
    return put(found, {"regions": numbers}), regions


def _sized(found: pa.Table, regions: _Regions, options: DoseOptions) -> pa.Table:
    """Rows with size-specific dose, or why there is none, where CTDIvol is."""
    CTDIvol, diameter = _numbers(found, "CTDIvol"), _numbers(found, "size_used")
    phantom = _numbers(found, "phantom")
    heads = [options.head293 and "Head" in one for one in regions]
    head = np.array([*heads, False])[found.column("regions").to_numpy()]
    wanted = _is(found, "kind", "CT") & ~np.isnan(CTDIvol) & ~_is(found, "type", LOCALISER)
    SSDE = np.where(wanted, CTDIvol * size.factors(phantom, diameter, head), np.nan)
    why = np.zeros(found.num_rows, np.int64)
    why[wanted & np.isnan(SSDE)] = 3
    why[wanted & np.isnan(phantom)] = 2
    why[wanted & np.isnan(diameter)] = 1
    return put(found, {"SSDE": _column(SSDE), "why_no_size": _texts(_NO_SIZE, pa.array(why))})


_NO_SIZE = (
    None, "no SSDE: the size is not known", "no SSDE: the phantom is not said",
    "no SSDE: the size is outside of 8 to 45 cm",
)  # fmt: skip


def _estimated(found: pa.Table, regions: _Regions, options: DoseOptions) -> pa.Table:
    """Rows with the effective dose, or why there is none, where DLP is."""
    chosen = factors.of(options.factor_set, options.own("factors.csv"))
    DLP = _numbers(found, "DLP")
    wanted = _is(found, "kind", "CT") & ~np.isnan(DLP)
    made, codes = distinct(put(found, {"wanted": pa.array(wanted)}),
                           ["wanted", "regions", "age", "phantom"])  # fmt: skip
    few = [_choice(row, chosen, regions, options) for row in made]
    numbers = codes.to_numpy()
    k, on = (np.array([one[n] for one in few], float)[numbers] for n in ("k", "on"))
    ratio = _ratio(_numbers(found, "phantom"), on, _numbers(found, "size_used"))
    effective = np.where(wanted, DLP * k * ratio, np.nan)
    done, moved = ~np.isnan(effective), ~np.isnan(on)
    why = np.where(done, np.where(moved, numbers + len(few), 0), numbers + 2 * len(few))
    texts = [None] * len(few) + [one["moved"] for one in few] + [one["why"] for one in few]
    shown = {name: [one[name] for one in few] for name in ("region", "class", "set", "weighting")}
    return put(
        found,
        {
            "effective_dose": _column(effective),
            "factor": _column(np.where(done, k, np.nan)),
            "factor_region": _texts(shown["region"], codes),
            "age_class": _texts(shown["class"], codes),
            "factor_set": _texts(shown["set"], codes),
            "tissue_weighting": _texts(shown["weighting"], codes),
            "why_no_dose": _texts(texts, pa.array(why)),
        },
    )


def _choice(row: Row, chosen: factors.Factors, regions: _Regions, options: DoseOptions) -> Row:
    """The factor of events of one region, age and phantom; `on`: the phantom to convert DLP to."""
    found: Row = dict.fromkeys("k on region class set weighting why moved".split())
    if not row["wanted"]:
        return found
    found |= {"set": chosen.name, "weighting": chosen.weighting}
    factor, k, why = chosen.choose(
        regions[row["regions"]], row["age"], interpolate=options.interpolate
    )
    if factor is None:
        return found | {"why": f"no effective dose: {why}"}
    found |= {"k": k, "region": factor.region, "class": factor.age_class}
    on = factor.wants()
    if on is None or on == row["phantom"]:
        return found
    why, moved = factors.elsewhere(on, row["phantom"])
    return found | {"on": on, "why": f"no effective dose: {why}", "moved": moved}


def _ratio(
    phantom: NDArray[np.float64], on: NDArray[np.float64], diameter: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By what DLP is multiplied to be one on another phantom; NaN where it cannot be."""
    head = np.zeros(len(on), bool)
    both = size.factors(phantom, diameter, head) / size.factors(on, diameter, head)
    return np.where(np.isnan(on), 1.0, both)
