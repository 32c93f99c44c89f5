"""What every question about dose may say: sets of factors, limits, and tables of a site."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from dicomlake import settings
from dicomlake.errors import UsageError
from dicomlake.lake.store import DOSE

DEFAULT_SET = "AAPM 96"


@dataclass(frozen=True, slots=True)
class DoseOptions:
    """How doses are told.

    `factor_set`: the one set of factors of the effective dose; `least`: patients or events that a
    statement on a group needs. `level`: whether a condition is met by series, studies or patients;
    all dose of the studies that meet it is told. `head293`: size-specific dose of heads by AAPM
    293. `interpolate`: factors between two reference ages, instead of the nearest. `country`: only
    its reference levels. `weights`: kg of standard adults. `sets`: of alarms, besides those that
    are on. `folder`: tables of the site and what is kept of alarms and sizes; none when left out.
    `today`: the end of windows that end now.
    """

    factor_set: str = DEFAULT_SET
    least: int = 20
    include_not_patient: bool = False
    head293: bool = False
    interpolate: bool = False
    level: Literal["patient", "study", "series"] = "study"
    country: str = ""
    weights: tuple[float, float] = (50.0, 90.0)
    sets: tuple[str, ...] = ()
    z: float = 3.5
    folder: Path | None = None
    today: date | None = None

    def __post_init__(self) -> None:
        if self.least < 2:
            raise UsageError("A group needs 2 at least.")
        if self.level not in ("patient", "study", "series"):
            raise UsageError(f"{self.level!r} is no level. Use patient, study or series.")
        if not 0 < self.z < float("inf"):
            raise UsageError("The limit of z is a number above 0.")

    @property
    def now(self) -> date:
        """The end of windows that end now."""
        return self.today or date.today()

    def own(self, name: str) -> Path | None:
        """A table of the site, where there is one."""
        path = self.folder / name if self.folder else None
        return path if path is not None and path.is_file() else None


def options_of(lake: str | Path, **changed: Any) -> DoseOptions:
    """The options that the settings of a lake say, `[dose]` of dicomlake.toml, with changes.

    Changes that are None do not count. UsageError says what is wrong.
    """
    said = settings.read(lake).dose
    folder = said.folder or Path(DOSE)
    found = DoseOptions(
        factor_set=said.factor_set,
        least=said.least,
        head293=said.head293,
        interpolate=said.interpolate,
        country=said.country,
        weights=said.weights,
        sets=said.alarms,
        z=said.z,
        folder=folder if folder.is_absolute() else Path(lake) / folder,
    )
    wanted = {name: value for name, value in changed.items() if value is not None}
    return replace(found, **wanted)
