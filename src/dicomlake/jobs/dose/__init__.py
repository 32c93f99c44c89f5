"""Radiation dose of a lake: events, studies, patients, levels, alarms, outliers.

events       irradiation events that count, with estimates
studies      what their events and documents say, per study
cumulative   sums of patients over a rolling window
levels       medians of protocols and devices beside diagnostic reference levels
alarms       rules with limits, and what became of their alarms; telling of them
outliers     what stands out of its group, and how devices drift
protocols    standard names by rules, and what is no patient; mapping: which has which
factors      effective dose by sets of factors that are never mixed
size         size-specific dose, and diameters measured in pixels

Every question takes an engine, perhaps a condition, and options; its answer is a table of one of
`schemas.ALL`, with units in the metadata of its fields.
"""

from __future__ import annotations

from dicomlake.jobs.dose.alarms import alarms, close
from dicomlake.jobs.dose.cumulative import patient, patients
from dicomlake.jobs.dose.events import events
from dicomlake.jobs.dose.levels import compare
from dicomlake.jobs.dose.mapping import protocols
from dicomlake.jobs.dose.options import DoseOptions, options_of
from dicomlake.jobs.dose.outliers import outliers, trends
from dicomlake.jobs.dose.studies import studies

__all__ = [
    "DoseOptions",
    "alarms",
    "close",
    "compare",
    "events",
    "options_of",
    "outliers",
    "patient",
    "patients",
    "protocols",
    "studies",
    "trends",
]
