"""Why a patient comes, and when: stories of months and years, told as dated examinations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dicomlake.testing.hospital.chance import chance

if TYPE_CHECKING:
    from dicomlake.testing.hospital.people import Person

FIRST, LAST = datetime(2016, 1, 4), datetime(2025, 11, 28)

# story -> (days after its begin, examination); the sexes and least age that can have it
STORIES: dict[str, tuple[str, int, tuple[tuple[int, str], ...]]] = {
    "prostate": ("M", 50, ((0, "MR prostate"), (380, "MR prostate"))),
    "prostate cancer": (
        "M",
        55,
        ((0, "MR prostate"), (31, "bone scan"), (75, "CT planning"), (500, "MR prostate")),
    ),
    "head injury": ("FMO", 0, ((0, "CT head"), (3, "CT head"), (60, "MR brain"))),
    "brain tumour": ("FMO", 18, ((0, "MR brain"), (95, "MR brain"), (210, "MR brain"))),
    "liver": (
        "FMO",
        25,
        ((0, "sonography"), (6, "CT abdomen"), (40, "MR liver"), (190, "CT abdomen")),
    ),
    "lung": ("FMO", 35, ((0, "chest"), (9, "CT thorax"), (110, "CT thorax"), (240, "PET"))),
    "cough": ("FMO", 0, ((0, "chest"), (14, "chest"))),
    "screening": ("F", 45, ((0, "mammography"), (735, "mammography"), (1470, "mammography"))),
    "heart": (
        "FMO",
        35,
        ((0, "ECG"), (1, "echo"), (4, "coronary"), (30, "MR heart"), (200, "ECG")),
    ),
    "heart screening": ("FMO", 30, ((0, "ECG"), (45, "CT heart"), (400, "ECG"))),
    "fracture": ("FMO", 5, ((0, "hand"), (21, "hand"))),
    "back": ("FMO", 20, ((0, "CT spine"), (12, "knee"), (30, "MR knee"))),
}
_FIRST_STORIES = (
    "head injury", "lung", "liver", "heart", "prostate", "screening", "brain tumour",
    "prostate cancer", "heart", "back", "liver", "heart screening", "lung",
)  # fmt: skip
"""Stories of the first patients, where sex and age allow, so that small hospitals have it all."""


@dataclass(frozen=True, slots=True)
class Story:
    """Why a patient comes, when it begins, and what is examined: (moment, examination)."""

    name: str
    begin: datetime
    exams: tuple[tuple[datetime, str], ...]


def stories(seed: int, person: Person) -> list[Story]:
    """The stories of a patient, in the order in which they are told.

    >>> from dicomlake.testing.hospital.people import person
    >>> [story.name for story in stories(7, person(7, 3))]
    ['liver', 'cough']
    """
    rng = chance(seed, "visits", person.number)
    fitting = [
        name
        for name, (sexes, age, _) in STORIES.items()
        if person.sex in sexes and person.born.year + age <= 2021
    ]
    names = [rng.choice(fitting) for _ in range(rng.choice((1, 1, 2)))]
    if 0 < person.number <= len(_FIRST_STORIES):
        wanted = _FIRST_STORIES[person.number - 1]
        names = [wanted if wanted in fitting else names[0], *names[1:]]
    told = []
    for name in dict.fromkeys(names):
        _, age, steps = STORIES[name]
        earliest = max(FIRST, datetime(person.born.year + age, 6, 1))
        length = steps[-1][0] + 30
        room = max((LAST - earliest).days - length, 1)
        begin = earliest + timedelta(days=rng.randrange(room))
        exams = []
        for days, exam in steps:
            day = begin + timedelta(days=days + (rng.randrange(7) if days else 0))
            if day <= LAST and (days == 0 or rng.random() < 0.9):
                minutes = rng.randrange(7 * 60, 19 * 60)
                exams.append((day + timedelta(minutes=minutes, seconds=rng.randrange(60)), exam))
        told.append(Story(name, begin, tuple(exams)))
    return told


def visits(seed: int, person: Person) -> list[tuple[datetime, str]]:
    """(moment, examination) in the order of time; the first is the start of a story.

    >>> from dicomlake.testing.hospital.people import person
    >>> [exam for _, exam in visits(7, person(7, 3))][:2]
    ['sonography', 'CT abdomen']
    """
    return sorted(exam for story in stories(seed, person) for exam in story.exams)
