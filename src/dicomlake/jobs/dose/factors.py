"""Effective dose of CT by factors: sets by name, which are never mixed.

E = k * DLP. A factor is of a set, a region and a reference age; where a set assumes a phantom, a
DLP on the other one is converted by the patient's size, or refused. The result is an estimate for a
reference person, not the risk of a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from dicomlake.errors import UsageError
from dicomlake.jobs.dose import schemas
from dicomlake.jobs.dose.size import conversion
from dicomlake.terms import sheets

_PACKAGE = "dicomlake.jobs.dose.tables"
_NEEDED = ("set", "weighting", "region", "age_class", "k")
AGES = {"0y": 0.0, "1y": 1.0, "5y": 5.0, "10y": 10.0, "15y": 15.0, "adult": 18.0}
"""Reference ages in years; adults are of 18 or more."""
HEADS = frozenset(["Head", "Head and neck", "Neck"])
"""Regions whose factors are of the phantom of 16 cm at every age, by a note to AAPM 96 Table 3."""
_CHILD = 14.0
"""Who is younger never gets the factor of adults."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor, mSv/(mGy.cm).

    `phantom`: "by age", "16", "32", or "" where the source does not say it.
    """

    set: str
    weighting: str
    region: str
    age_class: str
    k: float
    phantom: str = ""
    source: str = ""
    verification: str = ""

    def wants(self) -> int | None:
        """Diameter in cm of the phantom that DLP has to be of; None where it is not said."""
        if self.phantom == "by age":
            small = self.region in HEADS or self.age_class != "adult"
            return 16 if small else 32
        return int(self.phantom) if self.phantom else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """An effective dose in mSv and the factor of it, or why there is none."""

    dose: float | None = None
    factor: Factor | None = None
    k: float | None = None
    why: str = ""


class Factors:
    """The factors of one set."""

    def __init__(self, name: str, factors: Iterable[Factor]) -> None:
        self.name = name
        self._by_region: dict[str, dict[str, Factor]] = {}
        self.weighting = ""
        for factor in factors:
            self._by_region.setdefault(factor.region, {})[factor.age_class] = factor
            self.weighting = factor.weighting

    def estimate(
        self,
        DLP: float | None,
        regions: tuple[str, ...],
        age: float | None,
        phantom: int | None,
        diameter: float | None = None,
        *,
        interpolate: bool = False,
    ) -> Estimate:
        """The effective dose of a DLP in mGy.cm.

        `regions`: the region, then what may stand for it; `age` in years; `phantom`: its diameter
        in cm; `diameter` of the patient in mm.
        """
        if DLP is None:
            return Estimate()
        found, k, why = self.choose(regions, age, interpolate=interpolate)
        if found is None or k is None:
            return Estimate(why=why)
        converted, why = _on(found.wants(), DLP, phantom, diameter)
        if converted is None:
            return Estimate(factor=found, why=why)
        return Estimate(converted * k, found, k, why)

    def choose(
        self, regions: tuple[str, ...], age: float | None, *, interpolate: bool = False
    ) -> tuple[Factor | None, float | None, str]:
        """The factor of a region and age, its number, and why there is none."""
        region = next((r for r in regions if r in self._by_region), None)
        if region is None:
            if regions:
                return None, None, f"{self.name} has no factor for {regions[0]}"
            return None, None, "neither target region nor protocol says which region it is"
        if age is None:
            return None, None, "the age is not known"
        found = self._of_age(region, age)
        if found is None:
            return None, None, f"{self.name} has no factor for this age"
        return found, self._between(region, age) if interpolate else found.k, ""

    def _of_age(self, region: str, age: float) -> Factor | None:
        """The factor of the nearest reference age; of two the younger one."""
        known = self._by_region[region]
        name = min(known, key=lambda a: (abs(AGES[a] - min(age, AGES["adult"])), AGES[a]))
        if name == "adult" and age < _CHILD:
            return None
        return known[name]

    def _between(self, region: str, age: float) -> float:
        """The factor between the reference ages around an age, on a straight line."""
        points = sorted((AGES[name], factor.k) for name, factor in self._by_region[region].items())
        if age <= points[0][0]:
            return points[0][1]
        for (a, low), (b, high) in pairwise(points):
            if age <= b:
                return low + (high - low) * (age - a) / (b - a)
        return points[-1][1]


def _on(
    wanted: int | None, DLP: float, phantom: int | None, diameter: float | None
) -> tuple[float | None, str]:
    """A DLP on the phantom that a factor wants, and what was done or why it cannot be."""
    if wanted is None or wanted == phantom:
        return DLP, ""
    ratio = None
    if phantom is not None and diameter is not None:
        ratio = conversion(phantom, wanted, diameter)
    why, done = elsewhere(wanted, phantom)
    return (None, why) if ratio is None else (DLP * ratio, done)


def elsewhere(wanted: int, phantom: int | None) -> tuple[str, str]:
    """Why a DLP on another phantom than that of the factor cannot be used, and that it was."""
    if phantom is None:
        return f"the factor is of the {wanted} cm phantom, and the phantom is not said", ""
    return (
        f"the factor is of the {wanted} cm phantom, the DLP of that of {phantom} cm, and the "
        "size is not known",
        f"DLP was converted from the {phantom} cm phantom to that of {wanted} cm",
    )


def names(own: Path | None = None) -> list[str]:
    """The names of all sets, those of a site first."""
    return list(dict.fromkeys(factor.set for factor in _all(own, _changed(own))))


def of(name: str, own: Path | None = None) -> Factors:
    """The set of a name; UsageError names those that there are."""
    return _set(name, own, _changed(own))


@lru_cache(maxsize=32)
def _set(name: str, own: Path | None, changed: int) -> Factors:
    chosen = [factor for factor in _all(own, changed) if factor.set == name]
    if not chosen:
        known = ", ".join(names(own))
        raise UsageError(f"There is no set of factors {name[:60]!r}. There are: {known}.")
    return Factors(name, chosen)


def table(own: Path | None = None) -> pa.Table:
    """All factors of all sets."""
    keys = schemas.FACTORS.names
    return schemas.table(
        schemas.FACTORS, ({k: getattr(f, k) for k in keys} for f in _all(own, _changed(own)))
    )


def _changed(own: Path | None) -> int:
    return own.stat().st_mtime_ns if own else 0


@lru_cache(maxsize=32)
def _all(own: Path | None, changed: int) -> tuple[Factor, ...]:
    """The factors of a site, and of ours those of sets that it does not name."""
    site = _read(own.name, sheets.of_site(own, "factors")) if own else []
    taken = {factor.set for factor in site}
    ours = _read("factors.csv", sheets.ours(_PACKAGE, "factors.csv"))
    return (*site, *(factor for factor in ours if factor.set not in taken))


def _read(name: str, text: str) -> list[Factor]:
    found = []
    for place, row in sheets.rows(name, text, schemas.FACTORS.names, _NEEDED):
        if row["age_class"] not in AGES:
            raise UsageError(f"{place}: {row['age_class']!r} is none of {', '.join(AGES)}.")
        if row["phantom"] not in ("", "16", "32", "by age"):
            raise UsageError(f"{place}: {row['phantom']!r} is no phantom: 16, 32 or by age.")
        found.append(Factor(**{**row, "k": number(place, "k", row["k"])}))  # type: ignore[arg-type]
    return found


def number(place: str, column: str, text: str) -> float:
    """A number above 0 of a table; UsageError says where it is none."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise UsageError(f"{place}: {column} {text!r} is no number above 0.")
    return found


@lru_cache(maxsize=1)
def regions() -> dict[str, tuple[str, ...]]:
    """Which region of factors a target region is, with what may stand for it, by code."""
    text = sheets.ours(_PACKAGE, "regions.csv")
    read = sheets.rows("regions.csv", text, ("code", "region"), ("code", "region"))
    return {row["code"]: tuple(row["region"].split("|")) for _, row in read}


@lru_cache(maxsize=64)
def standing(region: str) -> tuple[str, ...]:
    """A region of factors by its name, with what may stand for it.

    >>> standing("Abdomen")
    ('Abdomen', 'Abdomen and pelvis')
    """
    same = (found for found in regions().values() if found[0] == region)
    return next(same, (region,)) if region else ()
