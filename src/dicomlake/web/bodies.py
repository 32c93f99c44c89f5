"""What comes in and goes out of the service, as OpenAPI describes it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from dicomlake.contracts.archives import Check
from dicomlake.contracts.queues import LATER, NOW, OPEN, STATES, TODAY, State
from dicomlake.errors import UsageError
from dicomlake.jobs.documents import check_features
from dicomlake.jobs.identifiers import read_list
from dicomlake.jobs.requests import Job, Missing, Request, asked
from dicomlake.settings import Settings

PRIORITIES = {"now": NOW, "today": TODAY, "later": LATER}
KEYS = {
    "accession_numbers": "AccessionNumber",
    "patient_ids": "PatientID",
    "study_uids": "StudyInstanceUID",
    "series_uids": "SeriesInstanceUID",
}
"""What can be asked for, and the attribute that it is."""
MOST_REASONS = 20

Value = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)]
Values = Annotated[list[Value], Field(description="Any number of values; repeated ones count once")]
Depth = Literal["headers", "complete", "catalogue"]
Priority = Literal["now", "today", "later"]

_ID = "20240131120000-0badcafe"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Dates(_Body):
    """First and last StudyDate, both included; either may be left out."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: date | None = Field(None, alias="from", description="First StudyDate")
    last: date | None = Field(None, alias="to", description="Last StudyDate")


class NewJob(_Body):
    """What is wanted of a source: some studies or series by their keys, or all of some dates."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "source": "pacs",
                "accession_numbers": ["A1001", "A1002"],
                "features": ["items", "dose", "Modality"],
            }
        },
    )

    source: str = Field(description="Name of the source")
    accession_numbers: Values = []
    patient_ids: Values = []
    study_uids: Values = []
    series_uids: Values = []
    dates: Dates | None = None
    depth: Depth | None = Field(
        None,
        description="catalogue: only list what there is; headers: the cheapest way to the headers "
        "of every series; complete: all objects; that of the source when left out",
    )
    features: list[str] = Field([], description="Parts of the documents; all when there are none")
    priority: Priority = Field("now", description="now: before anything else; later: after it")
    keep: bool | None = Field(
        None, description="Keep the objects, too; as the source says when left out"
    )
    again: bool = Field(False, description="Also what the lake holds already")
    label: str = Field("", max_length=200, description="A name for people; no patient data")

    @model_validator(mode="after")
    def _something(self) -> NewJob:
        keys = any(any(getattr(self, name)) for name in KEYS)
        dates = self.dates is not None and (self.dates.first or self.dates.last)
        if keys and dates:
            raise ValueError("give keys or dates, not both")
        if not keys and not dates:
            raise ValueError(f"say what is wanted: some of {', '.join(KEYS)}, or dates")
        return self

    def request(self, settings: Settings) -> Request:
        """The request that this is; UsageError when it cannot be right."""
        source = settings.of(self.source)
        if source.kind in ("folder", "objects"):
            raise UsageError(
                f"{self.source} is a source of kind {source.kind}, which is indexed as a whole: "
                f"dicomlake pull {self.source}"
            )
        keys = {}
        for name, keyword in KEYS.items():
            if values := tuple(dict.fromkeys(value for value in getattr(self, name) if value)):
                keys[keyword] = values
        dates = None
        if self.dates is not None and (self.dates.first or self.dates.last):
            dates = (_dicom(self.dates.first), _dicom(self.dates.last))
        return Request(
            source=self.source,
            keys=keys,
            dates=dates,
            depth=self.depth or source.depth,
            priority=PRIORITIES[self.priority],
            keep=source.keep if self.keep is None else self.keep,
            again=self.again,
            features=check_features(self.features),
            label=self.label,
        )


def _dicom(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"


# Lists


def listed(body: bytes, kind: str | None) -> dict[str, list[str]]:
    """Values in a list by what they are: text, CSV, FHIR or HL7 v2, as `dicomlake pull` reads it.

    UsageError says the line that cannot be read.

    >>> listed(b"A1\\nA2\\n", None)
    {'accession_numbers': ['A1', 'A2']}
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        path.write_bytes(body)
        try:
            found = read_list(path, kind)
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), "The list")) from error
    return {name: found[keyword] for name, keyword in KEYS.items() if found.get(keyword)}


# Jobs


def _iso(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


class Progress(_Body):
    """How far a job is. More tasks follow from those that are done, until it is over."""

    done: int = Field(description="Tasks that are over")
    total: int = Field(description="Tasks so far")
    fraction: float = Field(description="done of total, from 0 to 1")


class JobOut(_Body):
    """A job: what was wanted, and how far it is."""

    id: str
    state: Literal["waiting", "running", "finished", "failed", "cancelled"] = Field(
        description="finished: over; failed: over, but some tasks failed for good"
    )
    source: str
    asked: dict[str, int] = Field(description="How many values of which attribute were asked for")
    dates: Dates | None = None
    depth: Depth
    priority: Priority
    keep: bool
    again: bool
    features: list[str]
    label: str
    created: datetime | None = None
    ended: datetime | None = None
    tasks: dict[str, int] = Field(description="Tasks by state")
    progress: Progress

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """A job as it goes out."""
        return cls.model_validate(_told(job))


def _band(priority: int) -> str:
    """The name of a priority, or of the one before it.

    >>> _band(0), _band(5), _band(9)
    ('now', 'today', 'later')
    """
    return max((most, name) for name, most in PRIORITIES.items() if most <= priority)[1]


def _told(job: Job) -> dict[str, Any]:
    request = job.request
    total = sum(job.tasks.values())
    done = total - sum(job.tasks.get(state, 0) for state in OPEN)
    days = [f"{d[:4]}-{d[4:6]}-{d[6:]}" if d else None for d in request.dates or ()]
    return {
        "id": job.id,
        "state": job.state,
        "source": request.source,
        "asked": {keyword: len(values) for keyword, values in request.keys.items()},
        "dates": dict(zip(("from", "to"), days, strict=True)) if days else None,
        "depth": request.depth,
        "priority": _band(request.priority),
        "keep": request.keep,
        "again": request.again,
        "features": list(request.features),
        "label": request.label,
        "created": _iso(job.created),
        "ended": _iso(job.ended),
        "tasks": {state: count for state, count in job.tasks.items() if count},
        "progress": {
            "done": done,
            "total": total,
            "fraction": round(done / total, 4) if total else float(job.over),
        },
    }


class MissingSummary(_Body):
    """How much of what was asked for is not there, or not yet, by reason."""

    total: int
    reasons: dict[str, int]


class JobDetails(JobOut):
    """A job with a summary of what is missing."""

    missing: MissingSummary

    @classmethod
    def with_missing(cls, job: Job, missing: Iterator[Missing]) -> JobDetails:
        """A job as it goes out, and what is missing of it."""
        reasons = Counter(found.why for found in missing)
        summary = {"total": reasons.total(), "reasons": dict(reasons.most_common(MOST_REASONS))}
        return cls.model_validate({**_told(job), "missing": summary})


class MissingOut(_Body):
    """Something that was asked for and is not there."""

    what: str = Field(description="Keyword of the attribute")
    value: str
    why: str
    state: str = Field(description="State of its task")
    attempts: int
    id: str = Field(description="Id of its task")


class TaskOut(_Body):
    """One task of a job."""

    id: str
    kind: str
    what: str = Field(description="Keyword of the attribute that it is about")
    value: str
    state: str
    priority: int
    attempts: int
    error: str
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None

    @classmethod
    def of(cls, state: State) -> TaskOut:
        """A task as it goes out."""
        what, value = asked(state.task)
        return cls(
            id=state.id,
            kind=state.task.kind,
            what=what,
            value=value,
            state=state.state,
            priority=state.task.priority,
            attempts=state.attempts,
            error=state.error,
            created=_iso(state.created),
            started=_iso(state.started),
            ended=_iso(state.ended),
        )


class SourceTask(TaskOut):
    """One task of any job."""

    source: str

    @classmethod
    def of_source(cls, state: State) -> SourceTask:
        """A task as it goes out, with its source."""
        return cls(**TaskOut.of(state).model_dump(), source=state.task.source)


class Retried(_Body):
    """Which dead tasks are tried again."""

    ids: list[Annotated[str, StringConstraints(max_length=256)]] = Field(
        [], max_length=20_000, description="Their ids; when left out, all that fit the rest"
    )
    source: str = Field("", max_length=200)
    kind: str = Field("", max_length=64)


class Changed(_Body):
    """How many tasks something changed."""

    tasks: int


# Operations


class SourceOut(_Body):
    """A source and whether it may be asked."""

    name: str
    kind: str
    paused: bool
    why: str = Field(description="Why it is paused")
    until: datetime | None = Field(None, description="Not asked before")
    allowed: int = Field(description="Associations or connections that it may have")
    in_use: int


class CheckOut(_Body):
    """One thing tried at a source."""

    what: str
    works: bool
    seconds: float
    says: str

    @classmethod
    def of(cls, check: Check) -> CheckOut:
        """A check as it goes out."""
        return cls(what=check.what, works=check.works, seconds=check.seconds, says=check.says)


class Health(_Body):
    """That the service answers."""

    status: Literal["ok"] = "ok"
    version: str


# Examples

PROGRESS = {"done": 3, "total": 5, "fraction": 0.6}
JOB: dict[str, Any] = {
    "id": _ID, "state": "running", "source": "pacs", "asked": {"AccessionNumber": 2},
    "dates": None, "depth": "headers", "priority": "now", "keep": False, "again": False,
    "features": ["items", "dose"], "label": "", "created": "2024-01-31T12:00:00Z", "ended": None,
    "tasks": {"done": 3, "running": 2}, "progress": PROGRESS,
}  # fmt: skip
DETAILS = {**JOB, "missing": {"total": 1, "reasons": {"the archive has none with this value": 1}}}
MISSING = {"what": "AccessionNumber", "value": "A1002", "state": "done", "attempts": 1, "id": "7",
           "why": "the archive has none with this value"}  # fmt: skip
TASK: dict[str, Any] = {
    "id": "7", "kind": "find", "what": "AccessionNumber", "value": "A1002", "state": "done",
    "priority": 0, "attempts": 1, "error": "", "created": "2024-01-31T12:00:00Z",
    "started": "2024-01-31T12:00:01Z", "ended": "2024-01-31T12:00:02Z",
}  # fmt: skip
SOURCE: dict[str, Any] = {
    "name": "pacs", "kind": "dimse", "paused": False, "why": "", "until": None, "allowed": 2,
    "in_use": 1,
}  # fmt: skip
CHECK = {"what": "echo", "works": True, "seconds": 0.02, "says": "answered"}
TASK_STATES = STATES


def shown(example: Any, media: str = "application/json") -> dict[int | str, dict[str, Any]]:
    """What OpenAPI shows as the example of a success."""
    return {200: {"content": {media: {"example": example}}}}
