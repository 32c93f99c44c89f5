"""What the cleaning of pixels would blank in an instance, for a look before it is done."""

from __future__ import annotations

import base64
import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from dicomlake.deid.pixels import PixelStep
from dicomlake.deid.pixels.review import Review, png
from dicomlake.errors import DataError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.deid.previewing import of_object
from dicomlake.web.access.needs import needs, note
from dicomlake.web.bodies import shown
from dicomlake.web.dicomweb.shelf import Shelf, plausible, quoted, shelf_of
from dicomlake.web.explore.shapes import Shape
from dicomlake.web.problems import Failed, documented

router = APIRouter(tags=["de-identification"], dependencies=[needs(May.READ), needs(May.CURATE)])
TheShelf = Annotated[Shelf, Depends(shelf_of)]
_GONE = "The lake has no such instance."


class WantedPreview(BaseModel):
    """Which instance is looked at, and how."""

    model_config = ConfigDict(extra="forbid")

    SOPInstanceUID: str = Field(min_length=1, max_length=128)
    look: Literal["suspected", "all"] = Field("suspected", description="all: whatever it is")
    policy: Literal["blank_all_text", "blank_identifying_text"] = "blank_all_text"


class BoxOut(Shape):
    """A rectangle that is blanked, in pixels; the last ones are not in it."""

    x0: int
    y0: int
    x1: int
    y1: int
    why: str


class PreviewOut(Shape):
    """What would be blanked in an instance."""

    SOPInstanceUID: str
    why: str = Field(description="Why it is searched for text; nothing when it is not")
    problem: str = Field(description="Why it would go into quarantine; nothing when it would not")
    frames: list[int] = Field(description="Frames that were searched; boxes are for all frames")
    boxes: list[BoxOut]
    notes: list[str]
    frame: int | None = Field(description="The frame that is shown")
    before: str | None = Field(description="The frame with lines around boxes: PNG, Base64")
    after: str | None = Field(description="The frame as it would be: PNG, Base64")


class Looking:
    """Steps of a service, one for each way to look; one object at a time."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], PixelStep] = {}
        self._lock = threading.Lock()

    def review(self, found: Any, look: str, policy: str) -> Review:
        """What would be done with an object."""
        with self._lock:
            key = (look, policy)
            if key not in self._steps:
                self._steps[key] = PixelStep({"look": look, "policy": policy})
            return of_object(found.fetch, found.size, self._steps[key])


def looking_of(request: Request) -> Looking:
    """The steps of the service that a request came to."""
    state = request.app.state
    if not hasattr(state, "looking"):
        state.looking = Looking()
    found: Looking = state.looking
    return found


_PREVIEW: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.4.1", "why": "images of its SOP class may have text in them",
    "problem": "", "frames": [1], "boxes": [{"x0": 4, "y0": 2, "x1": 180, "y1": 20, "why": "text"}],
    "notes": ["text: 1 rectangles blanked"], "frame": 1, "before": "iVBORw0KGgo=",
    "after": "iVBORw0KGgo=",
}  # fmt: skip


@router.post(
    "/api/deid/preview",
    summary="Show what would be blanked in the pixels of an instance",
    responses={**shown(_PREVIEW), **documented(404, 409, 422, 503)},
)
def preview(
    wanted: WantedPreview,
    request: Request,
    shelf: TheShelf,
    looking: Annotated[Looking, Depends(looking_of)],
) -> PreviewOut:
    """Boxes and why they are blanked, and a frame before and after; nothing is changed."""
    uid = wanted.SOPInstanceUID
    rows = [] if not plausible(uid) else shelf.select(
        'select s."StudyInstanceUID" study, s."SeriesInstanceUID" series from all_instances i '
        f'join series s using (series_id) where i."SOPInstanceUID" = {quoted(uid)} limit 1'
    )  # fmt: skip
    if not rows:
        raise Failed(404, _GONE)
    note(request, SOPInstanceUID=uid)
    place = shelf.places(rows[0]["study"], rows[0]["series"], uid)[0]
    with shelf.bytes(place) as found:
        try:
            told = looking.review(found, wanted.look, wanted.policy)
        except DataError as error:
            raise Failed(404, f"The instance cannot be looked at: {error}.") from error
    first = told.shown[0] if told.shown else None
    return PreviewOut(
        SOPInstanceUID=uid, why=told.why, problem=told.problem, frames=list(told.frames),
        boxes=[BoxOut(x0=b.x0, y0=b.y0, x1=b.x1, y1=b.y1, why=b.why) for b in told.boxes],
        notes=list(told.notes), frame=first.frame if first else None,
        before=_text(png(first.before)) if first else None,
        after=_text(png(first.after)) if first else None,
    )  # fmt: skip


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
