"""Images of a series for those who look at them, and what is drawn over them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import Field

from dicomlake.jobs import images as work
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.needs import needs
from dicomlake.web.bodies import shown
from dicomlake.web.desk import Desk, desk_of
from dicomlake.web.explore.details import told
from dicomlake.web.explore.shapes import Shape, Version
from dicomlake.web.problems import documented

router = APIRouter(tags=["images"], dependencies=[needs(May.READ)])
TheDesk = Annotated[Desk, Depends(desk_of)]
Uid = Annotated[str, Path(min_length=1, max_length=128)]
Numbers = list[float] | None


class WindowOut(Shape):
    """A window of a header."""

    center: float
    width: float
    function: str
    name: str = Field(description="Its explanation")


class TableOut(Shape):
    """A look-up table of a header."""

    kind: Literal["modality", "voi"]
    first: int = Field(description="Value that the first entry is for")
    entries: list[int] | None
    bulk: str | None = Field(description="Where entries are below the instance, if not here")
    bits: int
    explanation: str
    type: str


class ImageOut(Shape):
    """An image: a frame of an instance, and what is needed to show it."""

    SOPInstanceUID: str
    frame: int
    InstanceNumber: int | None
    Rows: int
    Columns: int
    PhotometricInterpretation: str
    color: bool
    BitsAllocated: int
    BitsStored: int
    HighBit: int
    signed: bool
    floats: bool
    lossy: bool
    inverse: bool
    padding: Numbers = Field(description="Lowest and highest value where there is no picture")
    frame_time: float | None = Field(description="ms from one frame to the next")
    laterality: str | None
    view: str | None
    spacing: Numbers = Field(description="mm between rows, and between columns")
    spacing_at: Literal["patient", "detector"] | None
    position: Numbers = Field(description="Image Position (Patient)")
    orientation: Numbers = Field(description="Image Orientation (Patient)")
    sides: list[str] = Field(description="Patient Orientation")
    location: float | None
    thickness: float | None
    slope: float
    intercept: float
    unit: str
    tables: list[TableOut]
    windows: list[WindowOut]
    place: list[int] = Field(description="Dimension Index Values")


class DrawnOut(Shape):
    """A segment, or a region of interest."""

    number: int | None
    label: str
    color: str | None
    volume: float | None = Field(description="mL")


class OverlayHead(Shape):
    """An object that draws on the images of a series."""

    SOPInstanceUID: str
    StudyInstanceUID: str | None
    SeriesInstanceUID: str | None
    Modality: str | None
    label: str
    segments: list[DrawnOut]


class ImagesOut(Shape):
    """The images of a series, in the order in which people look at them."""

    version: int
    StudyInstanceUID: str | None
    SeriesInstanceUID: str | None
    Modality: str | None
    SeriesNumber: int | None
    SeriesDescription: str | None
    images: list[ImageOut]
    more: bool = Field(description="There are more images than are listed")
    overlays: list[OverlayHead]


class DrawnOn(Shape):
    """An image that something is drawn on."""

    SOPInstanceUID: str
    frames: list[int] = Field(description="Empty: all")


class MaskOut(Shape):
    """A frame of a segmentation."""

    frame: int
    segment: int | None
    position: Numbers
    orientation: Numbers
    spacing: Numbers
    on: list[DrawnOn]


class ContourOut(Shape):
    """A contour of a region of interest."""

    segment: int | None
    closed: bool
    points: list[float] = Field(description="x, y, z in mm, one point after another")
    on: list[DrawnOn]


class ShapeOut(Shape):
    """A shape or a text on an image."""

    type: str
    points: list[float] = Field(description="Column, row, from 1; or parts of the view")
    relative: bool = Field(description="Points are parts of the view")
    filled: bool
    text: str
    on: list[DrawnOn]


class OverlayOut(Shape):
    """What an object draws."""

    version: int
    SOPInstanceUID: str
    masks: list[MaskOut]
    contours: list[ContourOut]
    shapes: list[ShapeOut]
    Rows: int | None
    Columns: int | None
    bits: int | None
    most: int | None = Field(description="Value of a pixel that is wholly inside")
    labels: bool = Field(description="Values of pixels are numbers of segments")


_IMAGE: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.4.1", "frame": 1, "InstanceNumber": 1, "Rows": 512, "Columns": 512,
    "PhotometricInterpretation": "MONOCHROME2", "color": False, "BitsAllocated": 16,
    "BitsStored": 12, "HighBit": 11, "signed": False, "floats": False, "lossy": False,
    "inverse": False, "padding": None, "frame_time": None, "laterality": None, "view": None,
    "spacing": [0.7, 0.7], "spacing_at": "patient", "position": [-180.0, -180.0, 20.0],
    "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "sides": [], "location": 20.0,
    "thickness": 5.0, "slope": 1.0, "intercept": -1024.0, "unit": "HU", "tables": [],
    "windows": [{"center": 40.0, "width": 400.0, "function": "LINEAR", "name": "Abdomen"}],
    "place": [],
}  # fmt: skip
_OVERLAY: dict[str, Any] = {
    "SOPInstanceUID": "1.2.3.9.1", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.9",
    "Modality": "SEG", "label": "Organs",
    "segments": [{"number": 1, "label": "Liver", "color": "#b35c2a", "volume": 1432.5}],
}  # fmt: skip
_IMAGES: dict[str, Any] = {
    "version": 7, "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "Modality": "CT",
    "SeriesNumber": 2, "SeriesDescription": "Thorax", "images": [_IMAGE], "more": False,
    "overlays": [_OVERLAY],
}  # fmt: skip
_DRAWN: dict[str, Any] = {
    "version": 7, "SOPInstanceUID": "1.2.3.9.1", "contours": [], "shapes": [], "Rows": 512,
    "Columns": 512, "bits": 1, "most": 1, "labels": False,
    "masks": [{"frame": 1, "segment": 1, "position": [-180.0, -180.0, 20.0],
               "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "spacing": [0.7, 0.7],
               "on": [{"SOPInstanceUID": "1.2.3.4.1", "frames": []}]}],
}  # fmt: skip


@router.get(
    "/api/series/{SeriesInstanceUID}/images",
    summary="List the images of a series",
    response_model=ImagesOut,
    responses={**shown(_IMAGES), **documented(404, 422, 503)},
)
async def images(
    http: Request, SeriesInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Every frame with what is needed to show it, sorted; and objects that draw on them.

    Pixels are at `/dicom-web/studies/.../frames/...`.
    """
    return await told(
        http, desk, version, lambda lake, run: work.images(lake.engine, SeriesInstanceUID, run)
    )


@router.get(
    "/api/instances/{SOPInstanceUID}/overlay",
    summary="Tell what an instance draws on images",
    response_model=OverlayOut,
    responses={**shown(_DRAWN), **documented(404, 422, 503)},
)
async def overlay(
    http: Request, SOPInstanceUID: Uid, desk: TheDesk, version: Version = None
) -> Response:
    """Frames of masks, contours in the patient, or shapes on images.

    The pixels of masks are at `/dicom-web/studies/.../frames/...`.
    """
    return await told(
        http, desk, version, lambda lake, run: work.overlay(lake.engine, SOPInstanceUID, run)
    )
