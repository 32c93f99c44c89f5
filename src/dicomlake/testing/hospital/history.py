"""What is known of the patients besides images: diagnoses, procedures, laboratory, letters.

Everything follows the stories of `visits`: who came with a tumour of the prostate may be operated
on after the MR, another man was operated on years before. `histories` writes it down as each house
keeps it, see `records`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dicomlake.testing.hospital.chance import chance
from dicomlake.testing.hospital.concepts import CONCEPTS, Concept
from dicomlake.testing.hospital.letters import EXAMINED, Letter, letter
from dicomlake.testing.hospital.patients import planned
from dicomlake.testing.hospital.people import person
from dicomlake.testing.hospital.visits import stories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from dicomlake.testing.hospital.people import Person
    from dicomlake.testing.hospital.study import Study

# story -> (concept, first and last day after its begin, how likely)
_COURSES: dict[str, tuple[tuple[str, int, int, float], ...]] = {
    "prostate": (
        ("PSA", -20, -3, 0.9), ("tamsulosin", 5, 30, 0.5), ("prostatectomy", 20, 300, 0.6),
        ("prostatectomy", 800, 1100, 0.8),
    ),
    "prostate cancer": (
        ("PSA", -30, -5, 1.0), ("prostate cancer", 8, 25, 1.0), ("prostatectomy", 40, 70, 0.8),
        ("PSA", 120, 200, 0.8),
    ),
    "head injury": (("concussion", 0, 0, 0.8),),
    "brain tumour": (("glioma", 4, 20, 0.9),),
    "liver": (("liver cancer", 10, 40, 0.5), ("CRP", 0, 5, 0.7)),
    "lung": (
        ("CRP", 0, 3, 0.9), ("lung cancer", 20, 60, 0.6), ("lung lobectomy", 65, 100, 0.4),
    ),
    "cough": (("bronchitis", 0, 1, 0.7), ("CRP", 0, 2, 0.8)),
    "heart": (
        ("coronary disease", 2, 10, 0.8), ("atrial fibrillation", 0, 2, 0.5),
        ("bisoprolol", 3, 12, 0.8), ("apixaban", 3, 12, 0.4), ("pacemaker", 35, 150, 0.4),
        ("TAVI", 20, 60, 0.3),
    ),
    "heart screening": (("hypertension", 0, 30, 0.7), ("atrial fibrillation", 0, 2, 0.3)),
    "fracture": (("hand fracture", 0, 0, 0.9),),
    "back": (("back pain", -10, 0, 0.9),),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about a patient; `identifier` is its name in the system of the house.

    `study` is the study that it belongs to, where it names an accession number.
    """

    name: str
    kind: str
    identifier: str
    started: datetime
    ended: datetime | None = None
    number: float | None = None
    accession: str = ""

    @property
    def concept(self) -> Concept | None:
        """What it is; a stay has none."""
        return CONCEPTS.get(self.name)


@dataclass(frozen=True, slots=True)
class History:
    """What the records of a house say of one patient."""

    person: Person
    facts: tuple[Fact, ...]
    letters: tuple[Letter, ...]
    studies: tuple[tuple[str, Study], ...]


@dataclass(slots=True)
class Histories:
    """The truth about what `histories` wrote.

    facts       facts by kind
    documents   letters by language
    patients    patients that have any
    affirmed    finding -> letters that say that it is there; `negated` -> that it is not
    answers     question in words -> patients that answer it
    """

    facts: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    patients: int = 0
    affirmed: Counter[str] = field(default_factory=Counter)
    negated: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Histories) -> Histories:
        return Histories(
            self.facts + other.facts,
            self.documents + other.documents,
            self.patients + other.patients,
            self.affirmed + other.affirmed,
            self.negated + other.negated,
            self.answers + other.answers,
        )


def history(seed: int, number: int) -> History:
    """What is known of a patient besides images.

    >>> [fact.name for fact in history(7, 1).facts if fact.kind == "condition"]
    ['concussion']
    """
    who = person(seed, number)
    rng = chance(seed, "history", number)
    studies = tuple(planned(seed, number))
    facts = [*_stays(who, studies), *_told(seed, who, studies, rng)]
    letters = []
    for name, study in studies:
        if name in EXAMINED and rng.random() < 0.8:
            written = study.when + timedelta(minutes=rng.randrange(20, 300))
            name_of_it = f"{who.issuer[0]}B{number:06d}{study.number:02d}"
            letters.append(
                letter(name, language_of(who), name_of_it, study.accession, written, rng)
            )
    return History(who, tuple(facts), tuple(letters), studies)


def language_of(who: Person) -> str:
    """The language of a patient's letters: that of the house, which near the border has two."""
    if who.issuer == "SUD":
        return "es" if who.number % 3 == 0 else "fr"
    return "de" if who.issuer == "NORD" else "en"


def _stays(who: Person, studies: tuple[tuple[str, Study], ...]) -> list[Fact]:
    """A stay for each examination: hours, or days where much was done."""
    return [
        Fact(
            "", "encounter", f"{who.issuer[0]}V{who.number:06d}{study.number:02d}",
            study.when - timedelta(minutes=40),
            study.when + timedelta(days=3 if name in ("coronary", "CT planning") else 0, hours=2),
            accession=study.accession,
        )
        for name, study in studies
    ]  # fmt: skip


def _told(
    seed: int, who: Person, studies: tuple[tuple[str, Study], ...], rng: Random
) -> list[Fact]:
    """The facts of a patient's stories, and what happened long before or goes on beside them."""
    dated: list[tuple[str, datetime]] = []
    for story in stories(seed, who):
        for name, first, last, likely in _COURSES.get(story.name, ()):
            once = name == "prostatectomy" and any(name == one for one, _ in dated)
            if rng.random() < likely and not once:
                dated.append((name, story.begin + timedelta(days=rng.randint(first, last))))
    if who.sex == "M" and who.born.year < 1962 and rng.random() < 0.2:
        day = datetime(2011, 3, 1) + timedelta(days=rng.randrange(3900))
        if not any(name == "prostatectomy" for name, _ in dated):
            dated.append(("prostatectomy", _clear(day, studies)))
    if rng.random() < 0.15:
        began = datetime(2012, 1, 1) + timedelta(days=rng.randrange(3000))
        dated.append(("diabetes", began))
        dated.append(("metformin", began + timedelta(days=30)))
        dated += [("HbA1c", began + timedelta(days=200 * k)) for k in range(1, 4)]
    if rng.random() < 0.3:
        dated.append(("creatinine", studies[0][1].when - timedelta(days=1)))
    return [_fact(who, at, name, when, rng) for at, (name, when) in enumerate(dated, 1)]


def _clear(day: datetime, studies: tuple[tuple[str, Study], ...]) -> datetime:
    """A day that is not within hours of exactly a year after a study."""
    while any(abs((day - study.when).days - 365) < 3 for _, study in studies):
        day += timedelta(days=7)
    return day


def _fact(who: Person, at: int, name: str, when: datetime, rng: Random) -> Fact:
    concept = CONCEPTS[name]
    when = when.replace(hour=8 + rng.randrange(8), minute=5 * rng.randrange(12), second=0)
    number = None
    if concept.unit:
        number = round(rng.uniform(concept.low, concept.high), 1)
    lasts = {"medication": timedelta(days=90), "procedure": timedelta(hours=2)}.get(concept.kind)
    return Fact(
        name, concept.kind, f"{who.issuer[0]}F{who.number:06d}{at:02d}", when,
        when + lasts if lasts else None, number,
    )  # fmt: skip


QUESTIONS = (
    "patients with a prostatectomy",
    "patients with a prostatectomy 2014 to 2019",
    "patients with a prostatectomy 2014 to 2019 and an MR of the prostate in the year before",
    "patients with a prostatectomy 2014 to 2019 and such an MR at 3 T",
    "patients with atrial fibrillation and an ECG",
    "patients with atrial fibrillation and no pacemaker",
)


def answers(told: History) -> Counter[str]:
    """Which of the questions a patient answers."""
    when = [fact.started for fact in told.facts if fact.name == "prostatectomy"]
    asked = [moment for moment in when if 2014 <= moment.year <= 2019]
    scans = [study for name, study in told.studies if name == "MR prostate"]
    before = [
        study
        for study in scans
        for moment in asked
        if timedelta(0) <= moment - study.when <= timedelta(days=365)
    ]
    names = {fact.name for fact in told.facts}
    fibrillation = "atrial fibrillation" in names
    ecg = any(name == "ECG" for name, _ in told.studies)
    held = (
        bool(when),
        bool(asked),
        bool(before),
        any(study.device("MR").tesla == 3 for study in before),
        fibrillation and ecg,
        fibrillation and "pacemaker" not in names,
    )
    return Counter(dict(zip(QUESTIONS, map(int, held), strict=True)))


def counted(told: History) -> Histories:
    """What one patient adds to the truth."""
    said = {
        state: Counter(f"{one.language} {word}" for one in told.letters for word in one.said[state])
        for state in ("affirmed", "negated")
    }
    return Histories(
        Counter(fact.kind for fact in told.facts),
        Counter(one.language for one in told.letters),
        int(bool(told.facts)),
        said["affirmed"],
        said["negated"],
        answers(told),
    )


def histories(
    folder: Path,
    patients: int = 40,
    seed: int = 7,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Histories:
    """Write what the houses know of the patients into a folder; the truth about what was written.

    NORD keeps FHIR resources and sends HL7 v2 messages, SUD has tables and text files, WEST an
    OMOP database. See `records`.
    """
    from dicomlake.testing.hospital.records import Houses

    total = Histories()
    with Houses(folder) as houses:
        for number in range(1, patients + 1):
            told = history(seed, number)
            houses.write(told)
            total += counted(told)
            if progress:
                progress(number, patients)
    return total
