"""Peak skin dose, where a report gives it: the largest absorbed dose of the skin.

Patient dose reports (TID 10030) give it as Maximum Absorbed Radiation Dose beside the organ; which
events it is of they say as Event UID Used.
"""

from __future__ import annotations

from typing import Any

from dicomlake.jobs.dose.rows import select

_ROWS = """
select s."StudyInstanceUID", i."SOPInstanceUID",
    max(i.quantity) * any_value(case i.quantity_unit when 'Gy' then 1000 when 'mGy' then 1 end)
        as dose,
    (select list(distinct e.text) from items e where e.series_id = i.series_id
        and e."SOPInstanceUID" = i."SOPInstanceUID" and e.concept = 'DCM:128429') as events
from items i join series s using (series_id)
where i.concept = 'DCM:128531' and i.quantity is not null and (
    i.site in ('SCT:39937001', 'SCT:181469002') or exists (
        select 1 from items o where o.series_id = i.series_id
            and o."SOPInstanceUID" = i."SOPInstanceUID" and o.parent in (i.parent, i.item)
            and o.code in ('SCT:39937001', 'SCT:181469002')))
group by s."StudyInstanceUID", i.series_id, i."SOPInstanceUID"
"""


def peaks(engine: Any, ticket: object = None) -> list[dict[str, Any]]:
    """Peak skin doses in mGy by document, with their study and the events that they are of."""
    return [row for row in select(engine, _ROWS, (), ticket) if row["dose"] is not None]


def peaks_of_events(engine: Any, ticket: object = None) -> dict[str, float]:
    """Peak skin doses by event, of documents that are of one event alone."""
    found: dict[str, float] = {}
    for row in peaks(engine, ticket):
        if len(row["events"] or ()) == 1:
            key = row["events"][0]
            found[key] = max(found.get(key, 0.0), row["dose"])
    return found


def peaks_of_studies(engine: Any, ticket: object = None) -> dict[str, float]:
    """The largest peak skin dose by study."""
    found: dict[str, float] = {}
    for row in peaks(engine, ticket):
        uid = row["StudyInstanceUID"]
        found[uid] = max(found.get(uid, 0.0), row["dose"])
    return found
