"""Radiation dose of a lake: events, studies, patients, levels, alarms, outliers.

events       irradiation events that count, with estimates
studies      what their events and documents say, per study
cumulative   sums of patients over a rolling window
levels       medians of protocols and devices beside diagnostic reference levels
alarms       rules with limits, and what became of their alarms
outliers     what stands out of its group, and how devices drift
protocols    standard names by rules, and what is no patient
factors      effective dose by sets of factors that are never mixed
size         size-specific dose, and diameters measured in pixels
"""

from __future__ import annotations

from dicomlake.jobs.dose.cumulative import patient, patients
from dicomlake.jobs.dose.events import events
from dicomlake.jobs.dose.options import DoseOptions, options_of
from dicomlake.jobs.dose.studies import studies

__all__ = ["DoseOptions", "events", "options_of", "patient", "patients", "studies"]
