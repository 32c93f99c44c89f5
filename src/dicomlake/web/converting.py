"""Converting: what can be converted, watched folders, and a look into one of them now."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from dicomlake.contracts.queues import DEAD, DONE, RUNNING, WAITING, WRITTEN
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.converting import converters_of
from dicomlake.jobs.converting.watching import source_of, submit
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["converting"])
TheDesk = Annotated[Desk, Depends(desk_of)]
_JOBS = 200
"""The newest, among which those of watched folders are looked for."""


class FormatOut(Shape):
    """A format of files that can be converted."""

    name: str
    about: str
    converter: str


class FolderOut(Shape):
    """A watched folder of the settings, and the tasks of its files."""

    name: str
    source: str = Field(description="What the lake calls where its files come from")
    done: Literal["move", "keep"]
    waiting: int
    running: int
    converted: int
    failed: int = Field(description="Files that were refused, or failed for good")
    job: str = Field(description="The newest of its jobs; empty when there is none")
    came: datetime | None = Field(description="When the newest job began")


class Converting(Shape):
    """What can be converted, and where it is waited for."""

    formats: list[FormatOut]
    folders: list[FolderOut]


class NewLook(Shape):
    """A watched folder to be looked into now."""

    folder: str = Field(description="Its name in the settings: [convert.NAME]", max_length=64)


class LookOut(Shape):
    """What was queued."""

    job: str = Field(description="Of the day; nothing where no file is new")
    tasks: int = Field(description="How many of its files wait")


_FOLDER = {
    "name": "labels", "source": "labels", "done": "move",
    "waiting": 2, "running": 0, "converted": 40, "failed": 1,
    "job": "20260101120000-0badcafe", "came": "2026-01-01T12:00:00Z",
}  # fmt: skip
_FORMAT = {"name": "nifti", "about": "NIfTI-1 and NIfTI-2 (.nii, .nii.gz)", "converter": "masks"}


@router.get(
    "/api/convert",
    dependencies=[needs(May.WATCH)],
    summary="List watched folders, and formats that can be converted",
    responses={**shown({"formats": [_FORMAT], "folders": [_FOLDER]}), **documented(503)},
)
def converting(desk: TheDesk) -> Converting:
    """What the installed converters read, and how far the files of watched folders are."""
    formats = [
        FormatOut(name=name, about=words, converter=converter.name)
        for converter in converters_of()
        for name, words in converter.formats.items()
    ]
    return Converting(formats=formats, folders=_folders(desk))


def _folders(desk: Desk) -> list[FolderOut]:
    tasks: dict[str, Counter[str]] = {}
    for count in desk.requests.queue.counts():
        tasks.setdefault(count.source, Counter())[count.state] += count.tasks
    newest = {job.request.source: job for job in reversed(desk.requests.jobs(_JOBS))}
    found = []
    for name, said in desk.settings.convert.items():
        states = tasks.get(source_of(name), Counter())
        job = newest.get(source_of(name))
        found.append(
            FolderOut(
                name=name,
                source=said.source or name,
                done=said.done,
                waiting=states[WAITING],
                running=states[RUNNING] + states[WRITTEN],
                converted=states[DONE],
                failed=states[DEAD],
                job=job.id if job else "",
                came=datetime.fromtimestamp(job.created, UTC) if job else None,
            )
        )
    return found


@router.post(
    "/api/convert",
    dependencies=[needs(May.FETCH)],
    status_code=202,
    summary="Look into a watched folder now",
    response_model=LookOut,
    responses={
        202: {
            "description": "Queued; workers convert it",
            "content": {
                "application/json": {"example": {"job": "20260101120000-0badcafe", "tasks": 2}}
            },
        },
        **documented(404, 422, 503),
    },
)
def look(wanted: NewLook, desk: TheDesk, response: Response) -> LookOut:
    """Queue the files that came into a watched folder; workers look into it by themselves, too."""
    if wanted.folder not in desk.settings.convert:
        known = ", ".join(desk.settings.convert) or "none"
        raise Failed(404, f"There is no watched folder {wanted.folder[:64]!r}. There are: {known}.")
    job = submit(desk.lake, desk.settings, wanted.folder, desk.requests)
    if job is None:
        return LookOut(job="", tasks=0)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return LookOut(job=job.id, tasks=job.tasks.get(WAITING, 0))
