"""Eight made-up heart centres with habits of their own, and the truth about their patients.

    write(folder, patients=40)     the files of eight sites, and a Truth of each
    steps(place, lake)             the commands by which a site comes into a lake, the same for all
    QUESTIONS                      what is asked at every site, in the same words
    COMBINATIONS                   the same questions as whoever made the patients up answers them

ECGs come as DICOM, SCP-ECG, HL7 aECG, MUSE and Sierra XML, CTs under names of four languages or
of nobody's and with wrong body parts, labels from eight kinds of sources. What is peculiar to a
site is told by its mapping files; no code knows one of them.
"""

from __future__ import annotations

from dicomlake.testing.sites.archive import Truth, write
from dicomlake.testing.sites.houses import SITES
from dicomlake.testing.sites.patients import COMBINATIONS
from dicomlake.testing.sites.questions import QUESTIONS
from dicomlake.testing.sites.steps import steps

__all__ = ["COMBINATIONS", "QUESTIONS", "SITES", "Truth", "steps", "write"]
