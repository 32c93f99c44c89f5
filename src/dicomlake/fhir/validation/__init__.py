"""Whether FHIR resources are valid: by the definitions of R4 and R5, and by profiles.

>>> from dicomlake.fhir.validation import check
>>> study = {"resourceType": "ImagingStudy", "status": "done", "started": "2024-03-01T12:00:00"}
>>> for problem in check(study, "R4"):
...     print(problem)
error ImagingStudy.status: the code is none of the required value set imagingstudy-status
error ImagingStudy.started: a dateTime with a time needs seconds and a time zone
error ImagingStudy.subject: is missing
"""

from __future__ import annotations

from dicomlake.fhir.validation.definitions import RELEASES, Definitions, definitions
from dicomlake.fhir.validation.found import Problem
from dicomlake.fhir.validation.resources import check
from dicomlake.fhir.validation.sets import Gathering, check_all

__all__ = ["RELEASES", "Definitions", "Gathering", "Problem", "check", "check_all", "definitions"]
