"""The patients of the sites, and what is true of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dicomlake.testing.hospital.chance import chance

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomlake.testing.sites.houses import Site

_FAMILIES = ("Exempel", "Müster", "Fictif", "Sample", "Inventado", "Größe", "Modèle", "Nadie")
_GIVEN = {"F": ("Änne", "Chloé", "Maud", "Inés"), "M": ("Jörg", "Benoît", "Basil", "Nicolás")}


@dataclass(frozen=True, slots=True)
class Patient:
    """What is known of a patient: which of them a lake has to find again.

    `heart` and `other`: a CT that shows the heart, one that does not. `treated` is when the
    pacemaker or the valve came, `seen` the day of the first examination. `fraction` is the ejection
    fraction in %.
    """

    site: str
    number: int
    id: str
    family: str
    given: str
    sex: str
    born: date
    seen: datetime
    treated: datetime
    heart: bool
    other: bool
    ecg: bool
    pacemaker: bool
    tavi: bool
    fibrillation: bool
    fraction: float

    @property
    def imaged(self) -> bool:
        """Whether a lake has anything of the patient but labels."""
        return self.heart or self.other or self.ecg


def patient(seed: int, site: Site, number: int) -> Patient:
    """The patient of a number at a site, counted from 1; nothing else has an influence.

    >>> from dicomlake.testing.sites.houses import SITES
    >>> one = patient(11, SITES[0], 3)
    >>> one.id, one.site
    ('0000003', 'ADLER')
    """
    rng = chance(seed, site.name, number)
    sex = rng.choice("FM")
    seen = datetime(2015, 1, 5) + timedelta(
        days=rng.randrange(3200), minutes=rng.randrange(420, 1100)
    )
    return Patient(
        site.name,
        number,
        site.number.format(number),
        rng.choice(_FAMILIES),
        rng.choice(_GIVEN[sex]),
        sex,
        date(1930, 1, 1) + timedelta(days=rng.randrange(15000)),
        seen,
        seen - timedelta(days=rng.randrange(30, 900)),
        heart=rng.random() < 0.6,
        other=rng.random() < 0.3,
        ecg=rng.random() < 0.6,
        pacemaker=rng.random() < 0.3,
        tavi=rng.random() < 0.25,
        fibrillation=rng.random() < 0.35,
        fraction=round(rng.uniform(25, 70), 1),
    )


COMBINATIONS: dict[str, Callable[[Patient], bool]] = {
    "any": lambda p: True,
    "CT": lambda p: p.heart,
    "ECG": lambda p: p.ecg,
    "CT and ECG": lambda p: p.heart and p.ecg,
    "CT or ECG": lambda p: p.heart or p.ecg,
    "CT, no ECG": lambda p: p.heart and not p.ecg,
    "pacemaker": lambda p: p.pacemaker,
    "TAVI": lambda p: p.tavi,
    "atrial fibrillation": lambda p: p.fibrillation,
    "CT, ECG and pacemaker": lambda p: p.heart and p.ecg and p.pacemaker,
    "CT, ECG, no pacemaker": lambda p: p.heart and p.ecg and not p.pacemaker,
    "CT and TAVI": lambda p: p.heart and p.tavi,
    "ECG and atrial fibrillation": lambda p: p.ecg and p.fibrillation,
    "CT, TAVI and atrial fibrillation, no pacemaker": lambda p: (
        p.heart and p.tavi and p.fibrillation and not p.pacemaker
    ),
}  # fmt: skip
"""Questions by name, as they are answered by who made the patients up."""


def counted(patients: list[Patient]) -> Counter[str]:
    """How many patients answer each of the questions.

    >>> sorted(counted([])) == sorted(COMBINATIONS)
    True
    """
    found = Counter(dict.fromkeys(COMBINATIONS, 0))
    for one in patients:
        found.update(name for name, holds in COMBINATIONS.items() if one.imaged and holds(one))
    return found
