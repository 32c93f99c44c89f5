"""Irradiation events that count, with patient, device, standard names and estimates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from dicomlake.jobs.dose import factors, schemas, size
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.protocols import Names, names_of
from dicomlake.jobs.dose.rows import PHANTOMS, Row, age_of, device_of, read
from dicomlake.jobs.dose.sizes import Sizes
from dicomlake.jobs.dose.skin import peaks_of_events
from dicomlake.query import Node

_LOCALISERS = frozenset(["DCM:113805"])
"""Constant angle acquisitions: SSDE is not meant for them (AAPM 204)."""


def events(
    engine: Any,
    where: Node | None = None,
    *,
    options: DoseOptions,
    ticket: object = None,
) -> pa.Table:
    """Events that count of what a condition finds: `schemas.EVENTS`, oldest first."""
    rows = told(engine, where, options=options, ticket=ticket)
    return schemas.table(schemas.EVENTS, rows)


def told(
    engine: Any, where: Node | None, *, options: DoseOptions, ticket: object = None
) -> Iterator[Row]:
    """The same as rows, with columns of the series besides."""
    naming = Naming(options)
    sizes = Sizes(engine, options, ticket)
    peaks = peaks_of_events(engine, ticket)
    chosen = factors.of(options.factor_set, options.own("factors.csv"))
    for row in read(engine, "dose_events", where, options, ticket):
        why = naming.name(row)
        if row["not_patient"] and not options.include_not_patient:
            continue
        row["phantom"] = PHANTOMS.get(row["phantom"])
        row["SSDE_sent"] = row.pop("SSDE")
        row["peak_skin_dose"] = peaks.get(row["event_key"])
        why += _sized(row, sizes, options)
        why += _estimated(row, chosen, options)
        row["why_not"] = why or None
        yield row


class Naming:
    """Names of protocols and devices, ages, and who is no patient."""

    def __init__(self, options: DoseOptions) -> None:
        self.names: Names = names_of(options.own("names.yaml"))

    def name(self, row: Row) -> list[str]:
        """Fill in a row; why it is no patient, in words."""
        day = row["StudyDate"]
        rule = self.names.protocol(row, day)
        row["standard_protocol"] = rule.standard if rule else None
        row["rule"] = rule.name if rule else None
        row["rule_region"] = rule.region if rule else ""
        row["age"] = age_of(row)
        row["device"] = self.names.device(row, day) or device_of(row)
        why = self.names.not_patient(row)
        row["not_patient"] = bool(why)
        return [why] if why else []


def _sized(row: Row, sizes: Sizes, options: DoseOptions) -> Iterable[str]:
    """Fill in size and size-specific dose; why there is none, where CTDIvol is."""
    sent = row.pop("water_equivalent_diameter")
    row["size_used"], row["size_source"] = (sent, "as sent") if sent else sizes.of(row)
    if row["kind"] != "CT" or row["CTDIvol"] is None or row["type"] in _LOCALISERS:
        return []
    if row["size_used"] is None:
        return ["no SSDE: the size is not known"]
    if row["phantom"] is None:
        return ["no SSDE: the phantom is not said"]
    head = options.head293 and "Head" in _regions(row)
    found = size.factor(row["phantom"], row["size_used"], head293=head)
    if found is None:
        return ["no SSDE: the size is outside of 8 to 45 cm"]
    row["SSDE"] = row["CTDIvol"] * found
    return []


def _regions(row: Row) -> tuple[str, ...]:
    """Regions of factors of a row: of its target region, else of its protocol by a rule."""
    return factors.regions().get(row["region"] or "", ()) or factors.standing(row["rule_region"])


def _estimated(row: Row, chosen: factors.Factors, options: DoseOptions) -> Iterable[str]:
    """Fill in the effective dose; why there is none, where DLP is."""
    if row["kind"] != "CT" or row["DLP"] is None:
        return []
    found = chosen.estimate(
        row["DLP"], _regions(row), row["age"], row["phantom"], row["size_used"],
        interpolate=options.interpolate,
    )  # fmt: skip
    row["effective_dose"] = found.dose
    row |= {"factor_set": chosen.name, "tissue_weighting": chosen.weighting}
    if found.factor is not None:
        row["factor_region"] = found.factor.region
        row["age_class"] = found.factor.age_class
        row["factor"] = found.k
    if not found.why:
        return []
    return [found.why if found.dose is not None else f"no effective dose: {found.why}"]
