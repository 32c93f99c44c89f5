"""Codes of ECG reports and waveforms: measurements, leads, and the words of TID 3700."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from dicomlake.terms import Code
from dicomlake.terms.leads import lead_of

if TYPE_CHECKING:
    from dicomlake.converters.ecg.recording import Group

UV = Code("uV", "UCUM", "microvolt")
MS = Code("ms", "UCUM", "millisecond")
MV = Code("mV", "UCUM", "millivolt")
_UNITS = {
    "mV": MV,
    "ms": MS, "deg": Code("deg", "UCUM", "degree"), "/min": Code("/min", "UCUM", "per minute"),
}  # fmt: skip
AGES = {"Y": Code("a", "UCUM", "year"), "M": Code("mo", "UCUM", "month"),
        "W": Code("wk", "UCUM", "week"), "D": Code("d", "UCUM", "day")}  # fmt: skip
SUMMARIES = {
    "normal": Code("164854000", "SCT", "Normal ECG"),
    "abnormal": Code("102594003", "SCT", "Abnormal ECG"),
    "borderline": Code("251135002", "SCT", "Borderline Normal ECG"),
}
"""CID 3677."""
PACE_SPIKE = Code("10:4096", "MDC", "Antibradycardia pace spike")
"""CID 3335; what files call a pacemaker spike."""
_DERIVED = {"III": 111, "aVR": 112, "aVL": 113, "aVF": 114}
"""CID 3001: leads that were calculated from others."""


@lru_cache(maxsize=1)
def measures() -> dict[str, tuple[Code, Code]]:
    """Code and unit of a measurement by its name here.

    >>> measures()["QT"][0]
    Code(value='2:16160', scheme='MDC', meaning='QT interval global')
    """
    return _read("measures.csv")


@lru_cache(maxsize=1)
def lead_measures() -> dict[str, tuple[Code, Code]]:
    """Code and unit of a measurement of one lead by its name here.

    >>> lead_measures()["R"][0]
    Code(value='2:12800', scheme='MDC', meaning='R1 amplitude, per lead')
    """
    return _read("lead_measures.csv")


def _read(name: str) -> dict[str, tuple[Code, Code]]:
    lines = resources.files(__package__).joinpath(f"data/{name}").read_text("utf-8")
    rows = csv.DictReader(line for line in lines.splitlines() if not line.startswith("#"))
    return {
        row["measure"]: (Code(row["value"], row["scheme"], row["meaning"]), _UNITS[row["unit"]])
        for row in rows
    }


def code_of_lead(name: str) -> Code:
    """The MDC code of a lead by its plain name; "unspecified" where that is none that is known."""
    _, code = lead_of("", "", name)
    return Code(*code, f"Lead {name}") if code else Code("2:0", "MDC", "Unspecified lead")


def lead_code(group: Group, place: int) -> Code:
    """The MDC code of a lead of a group; "unspecified" where its name is none that is known."""
    name = group.leads[place]
    if group.label.startswith("DERIVED"):
        return Code(f"2:{_DERIVED[name]}", "MDC", f"Derived lead {name}")
    if group.numbers:
        return Code(f"2:{group.numbers[place]}", "MDC", f"Lead {name}")
    return code_of_lead(name)
