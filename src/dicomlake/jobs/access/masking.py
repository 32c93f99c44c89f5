"""Counts for those who only plan: too few patients are none, and no number is exact.

What describes fewer than `least` patients is shown as 0, and every other number in steps of
`least`, rounded down: 0, 5, 10. So 0 may be some, 5 means 5 to 9, and the difference of two
numbers (a total and its parts, a step and the next one) is no exact one either. Values, groups and
attributes that fewer patients share are left out, and with them the ends of ranges. What points at
persons cannot be asked: a condition on four known patients and one more would tell of that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.errors import NotAllowed
from dicomlake.jobs.vocabulary import IDENTIFYING
from dicomlake.query.attributes import attribute

_MORE = frozenset(
    """PatientName StudyID RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
    IssuerOfPatientID OtherPatientIDsSequence OtherPatientNames""".split()
)
_PUBLIC = ("ClassUID", "SyntaxUID", "SchemeUID", "ContextUID", "ResourceUID", "ModelUID")
"""Ends of keywords of UIDs that the Standard gives, not a device."""


def cell(number: int, patients: int, least: int) -> int:
    """A number as it is shown, which so many patients make up.

    >>> [cell(n, n, 5) for n in (0, 4, 5, 9, 12)], cell(80, 2, 5)
    ([0, 0, 5, 5, 10], 0)
    """
    return 0 if patients < least else number - number % least


def totals(found: Mapping[str, int], least: int) -> dict[str, int]:
    """Counts of patients, studies, series and instances as they are shown.

    >>> totals({"patients": 6, "studies": 8, "series": 31}, 5)
    {'patients': 5, 'studies': 5, 'series': 30}
    """
    return {name: cell(number, found["patients"], least) for name, number in found.items()}


def identifying(path: str) -> bool:
    """Whether values at a path point at persons, or at studies of theirs.

    >>> identifying("PatientID"), identifying("*.ReferringPhysicianName"), identifying("Modality")
    (True, True, False)
    >>> identifying("StudyInstanceUID"), identifying("SOPClassUID")
    (True, False)
    """
    segments = path.removeprefix("*.").split(".")
    if not (IDENTIFYING | _MORE).isdisjoint(segments):
        return True
    about = attribute(path)
    if about.vr == "UI":
        return not segments[-1].endswith(_PUBLIC)
    return about.vr == "PN" or path in _OF_ROWS


_OF_ROWS = frozenset(
    f"{root}.{name}"
    for root, table in (
        ("item", "items"), ("segment", "segments"), ("channel", "waveforms"),
        ("event", "dose_events"), ("total", "dose_totals"), ("annotation", "annotations"),
        ("finding", "findings"), ("fact", "clinical_events"), ("document", "documents"),
    )
    for name in tables.ALL[table].names
    if f"{root}.{name}".endswith(
        ("UID", "_uid", "_key", "tracking", "observer", "creator", "item.text", "finding.value",
         "evidence", ".identifier", ".encounter", ".origin", "fact.text", "document.text",
         ".title", ".affirmed", ".negated", ".uncertain")
    )
)  # fmt: skip
"""Columns of what is inside of objects that hold UIDs, names or what was written freely."""


def check(paths: Iterable[str]) -> None:
    """NotAllowed when one of the paths points at persons."""
    for path in paths:
        if identifying(path):
            raise NotAllowed(
                f"{path} points at persons, and your role only counts. Ask without it, or ask a "
                "steward of the lake for the role of a researcher."
            )


def vocabulary(table: pa.Table, least: int) -> pa.Table:
    """A table of `tables.VOCABULARY` as it is shown."""
    rows = [_row(row, least) for row in table.to_pylist()]
    kept = [row for row in rows if row["patients"] or not row["path"]]
    return pa.Table.from_pylist(kept, tables.VOCABULARY)


def _row(row: dict[str, Any], least: int) -> dict[str, Any]:
    patients = row["patients"] or 0
    made = {**row, "names": [], "histogram": [], "top": []}
    for name in ("patients", "studies", "series", "documents", "empty", "distinct_values"):
        if row[name] is not None:
            made[name] = cell(row[name], patients, least)
    for name in ("lowest", "highest", "first", "last"):
        made[name] = None
    for name in ("vrs", "units"):
        sent = row[name] or []
        made[name] = [{**one, "series": cell(one["series"], patients, least)} for one in sent]
    if row["path"] and not identifying(row["path"]):
        made["top"] = [
            {
                **top,
                "series": cell(top["series"], top["patients"], least),
                "patients": cell(top["patients"], top["patients"], least),
            }
            for top in row["top"] or []
            if top["patients"] >= least
        ]
    return made
