"""Rows as clinical facts: rows of `tables.CLINICAL_EVENTS` by column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dicomlake.contracts import coded
from dicomlake.converters.labels.mapping import Spec
from dicomlake.converters.labels.reading import Read, Said
from dicomlake.errors import DataError
from dicomlake.terms import Code, units


def facts(spec: Spec, row: Read) -> Iterator[dict[str, Any]]:
    """What a row says, one fact for each value; DataError when it says of nobody."""
    who = {
        name: row.who[name]
        for name in ("PatientID", "IssuerOfPatientID", "AccessionNumber")
        if row.who.get(name)
    }
    if not who.keys() & {"PatientID", "AccessionNumber"}:
        raise DataError("it says no patient and no order")
    for at, one in enumerate(row.said, 1):
        identifier = {"identifier": f"{row.identifier}/{at}"} if row.identifier else {}
        status = {"status": spec.status} if spec.status else {}
        yield {**who, **identifier, **status, "origin": f"row {row.number}", **_fact(one)}


def _fact(one: Said) -> dict[str, Any]:
    label = one.label
    found: dict[str, Any] = {"kind": label.kind, "text": label.column}
    if one.when is not None:
        found |= {"started": one.when, "precision": "second" if one.exact else "day"}
    if isinstance(one.value, Code) and (label.codes or label.concept is None):
        found |= {**coded("code", one.value), "text": one.value.value}
        found["codes"] = [found["code"]]
    elif label.concept is not None:
        found |= {**coded("code", label.concept), "text": label.concept.meaning}
        found["codes"] = [found["code"]]
    if isinstance(one.value, Code) and not label.codes:
        found |= coded("value", one.value)
    elif isinstance(one.value, float) and label.unit is not None:
        found |= _measured(one.value, label.unit)
    elif isinstance(one.value, str):
        found["text"] = one.value
    if label.site is not None:
        found["site"] = coded("site", label.site)["site"]
    if label.laterality is not None:
        found["laterality"] = coded("laterality", label.laterality)["laterality"]
    return found


def _measured(number: float, unit: Code) -> dict[str, Any]:
    common = units.common(number, unit.value)
    quantity, quantity_unit = common or (None, None)
    return {
        "number": number,
        "unit": unit.value,
        "quantity": quantity,
        "quantity_unit": quantity_unit,
    }
