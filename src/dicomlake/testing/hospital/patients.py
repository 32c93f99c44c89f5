"""All objects of one patient, as they come from the devices, before they land in the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomlake.testing.hospital.chance import chance
from dicomlake.testing.hospital.devices import SITES
from dicomlake.testing.hospital.exams import EXAMS
from dicomlake.testing.hospital.people import person
from dicomlake.testing.hospital.study import Options, Study
from dicomlake.testing.hospital.untidy import habits
from dicomlake.testing.hospital.visits import visits

if TYPE_CHECKING:
    from collections.abc import Iterator


def studies(seed: int, number: int, options: Options | None = None) -> Iterator[Study]:
    """The studies of a patient, oldest first, each with its objects.

    >>> [study.description for study in studies(7, 11)][:2]
    ['Sonographie Abdomen', 'CT Leber zweiphasig']
    """
    for name, study in planned(seed, number, options):
        EXAMS[name].make(study)
        yield study


def planned(seed: int, number: int, options: Options | None = None) -> Iterator[tuple[str, Study]]:
    """(examination, study without objects) of a patient, oldest first.

    >>> [name for name, _ in planned(7, 11)][:2]
    ['sonography', 'CT abdomen']
    """
    who = person(seed, number)
    for at, (when, name) in enumerate(visits(seed, who), 1):
        rng = chance(seed, "study", number, at)
        exam = EXAMS[name]
        elsewhere = rng.random() < 0.08 and who.charset in ("", "ISO_IR 100", "ISO_IR 192")
        site = rng.choice(SITES) if elsewhere else who.site
        yield (
            name,
            Study(
                seed, at, who, site, when, exam.words, exam.body_part, exam.region, exam.procedure,
                habits(who, at, rng), rng, options or Options(),
            ),
        )  # fmt: skip
