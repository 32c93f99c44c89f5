"""What an archive lists and the lake does not hold, exactly, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicomlake.contracts.queues import DEAD, OPEN, Queue, State
from dicomlake.lake import Store


@dataclass(frozen=True, slots=True)
class Gap:
    """A series, or a study whose series are not listed yet, of which instances are missing.

    `listed`: instances that the archive says there are, None when it does not; `held`: in the lake.
    """

    source: str
    StudyInstanceUID: str
    SeriesInstanceUID: str | None
    listed: int | None
    held: int
    complete: str | None
    why: str


_SERIES = """
select c.source, c."StudyInstanceUID", c."SeriesInstanceUID", c."NumberOfSeriesRelatedInstances",
       coalesce(s.instances, 0), s.complete
from catalogue c left join series s on s."SeriesInstanceUID" = c."SeriesInstanceUID"
where c.level = 'SERIES' and c.source = coalesce(?, c.source) and (
    s.series_id is null or s.complete = 'some' or (s.complete in ('first', 'headers') and ?)
    or (s.complete in ('all', 'headers') and s.instances < c."NumberOfSeriesRelatedInstances"))
order by c.source, c."StudyDate" desc, c."StudyInstanceUID", c."SeriesInstanceUID"
"""
_STUDIES = """
select c.source, c."StudyInstanceUID", null, c."NumberOfStudyRelatedInstances", 0, null
from catalogue c
where c.level = 'STUDY' and c.source = coalesce(?, c.source) and not exists (
    select 1 from catalogue s where s.level = 'SERIES' and s.source = c.source
    and s."StudyInstanceUID" = c."StudyInstanceUID")
and not exists (select 1 from series s where s."StudyInstanceUID" = c."StudyInstanceUID")
order by c.source, c."StudyDate" desc, c."StudyInstanceUID"
"""


def gaps(
    store: Store, queue: Queue, source: str | None = None, *, complete: bool = False
) -> Iterator[Gap]:
    """What is missing of the catalogue; with `complete` also series known by one object only."""
    why = _reasons(queue)
    with store.database() as db:
        rows = db.execute(_SERIES, [source, complete]).fetchall()
        rows += db.execute(_STUDIES, [source]).fetchall()
    for name, study, series, listed, held, how in rows:
        reason = why.get(series or "") or why.get(study) or _plain(series, held, how)
        yield Gap(name, study, series, listed, held, how, reason)


def _plain(series: str | None, held: int, complete: str | None) -> str:
    if series is None:
        return "its series were not listed yet"
    if complete == "first":
        return "only one object was read"
    return "some objects did not come" if held else "not asked for yet"


def _reasons(queue: Queue) -> dict[str, str]:
    """What tasks say about series and studies, by UID."""
    found: dict[str, str] = {}
    for state in queue.tasks((*OPEN, DEAD), limit=1 << 40):
        uid = state.task.what.get("series") or state.task.what.get("study")
        if uid and (uid not in found or state.state == DEAD):
            found[str(uid)] = _reason(state)
    return found


def _reason(state: State) -> str:
    if state.state == DEAD:
        return f"failed {state.attempts} times: {state.error}"
    if state.error:
        return f"tried {state.attempts} times, waits for the next: {state.error}"
    return {"waiting": "waits in the queue", "running": "is being asked for"}.get(
        state.state, "on its way into the lake"
    )
