"""Cohorts: frozen answers that stay the same, what people decide about them, and who may use them.

keeping      the files: versions and logs
freezing     a question becomes a version
deciding     include, exclude, flag and comment, with reasons
comparing    two versions, and what is new in the lake
splitting    training, validation and test by patient, site or date; folds
checking     what leaks from one split into another
approving    requests, and what stewards decide
withdrawing  patients who take their consent back
erasing      patients who are erased
cohort       a cohort as exports use it
"""

from dicomlake.jobs.cohorts.cohort import Cohort, history, listed, opened
from dicomlake.jobs.cohorts.erasing import forget
from dicomlake.jobs.cohorts.freezing import freeze, question_of, save

__all__ = [
    "Cohort",
    "forget",
    "freeze",
    "history",
    "listed",
    "opened",
    "question_of",
    "save",
]
