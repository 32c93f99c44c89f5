"""Pictures: rendered frames and thumbnails of WADO-RS (PS3.18 10.4.1.1.3), and WADO-URI (9.4)."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transpose

from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.access.roles import May
from dicomlake.readers.pictures import FUNCTIONS, Window, picture
from dicomlake.readers.pixels import Pixels
from dicomlake.web.access.needs import needs
from dicomlake.web.dicomweb import media
from dicomlake.web.dicomweb.linking import address
from dicomlake.web.dicomweb.retrieving import (
    INSTANCE,
    SERIES,
    STUDY,
    frame_numbers,
    objects,
)
from dicomlake.web.dicomweb.searching import root_of
from dicomlake.web.dicomweb.shelf import Place, Shelf, shelf_of
from dicomlake.web.problems import Failed

router = APIRouter(dependencies=[needs(May.READ)])
TheShelf = Annotated[Shelf, Depends(shelf_of)]

KINDS = {"image/jpeg": "JPEG", "image/png": "PNG"}
"""Media types of pictures; the first is given where any will do (PS3.18 Table 8.7.4-1)."""
SMALL = 200
"""Pixels of the longer side of a thumbnail."""
LARGEST = 8192
_MOST = 1000
"""Pictures of one answer."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is to be: window, size to fit into, the part of it, quality (PS3.18 8.3.5)."""

    kind: str
    window: Window | None = None
    columns: int = 0
    rows: int = 0
    part: tuple[float, float, float, float] | None = None
    quality: int = 90


@router.get(INSTANCE + "/rendered")
def rendered(study: str, series: str, instance: str, request: Request, shelf: TheShelf) -> Response:
    """The first frame of an instance as a picture."""
    look = look_of(request)
    place = shelf.places(study, series, instance)[0]
    return Response(_drawn(shelf, place, 1, look), headers={"Content-Type": look.kind})


@router.get(INSTANCE + "/frames/{frames}/rendered")
def rendered_frames(
    study: str, series: str, instance: str, frames: str, request: Request, shelf: TheShelf
) -> Response:
    """Frames as pictures; several in parts."""
    look, wanted = look_of(request), frame_numbers(frames)
    place = shelf.places(study, series, instance)[0]
    if len(wanted) == 1:
        return Response(_drawn(shelf, place, wanted[0], look), headers={"Content-Type": look.kind})
    base = address(root_of(request), study, series, instance)
    return media.related(
        (
            media.Part(look.kind, [_drawn(shelf, place, n, look)], f"{base}/frames/{n}/rendered")
            for n in wanted[:_MOST]
        ),
        look.kind,
    )


@router.get(STUDY + "/rendered")
def rendered_study(study: str, request: Request, shelf: TheShelf) -> Response:
    """Pictures of all images of a study, in parts."""
    return _all(request, shelf, shelf.places(study))


@router.get(SERIES + "/rendered")
def rendered_series(study: str, series: str, request: Request, shelf: TheShelf) -> Response:
    """Pictures of all images of a series, in parts."""
    return _all(request, shelf, shelf.places(study, series))


def _all(request: Request, shelf: Shelf, places: list[Place]) -> Response:
    look, root = look_of(request), root_of(request)
    images = [place for place in places if place["Rows"]][:_MOST]
    if not images:
        raise Failed(404, _NO_PICTURE)

    def parts() -> Iterator[media.Part]:
        for place in images:
            uids = (place["StudyInstanceUID"], place["SeriesInstanceUID"], place["SOPInstanceUID"])
            url = f"{address(root, *uids)}/rendered"
            yield media.Part(look.kind, [_drawn(shelf, place, 1, look)], url)

    return media.related(parts(), look.kind)


# Thumbnails


@router.get(STUDY + "/thumbnail")
def study_thumbnail(study: str, request: Request, shelf: TheShelf) -> Response:
    """The image in the middle of a study."""
    return _thumbnail(request, shelf, shelf.places(study))


@router.get(SERIES + "/thumbnail")
def series_thumbnail(study: str, series: str, request: Request, shelf: TheShelf) -> Response:
    """The image in the middle of a series."""
    return _thumbnail(request, shelf, shelf.places(study, series))


@router.get(INSTANCE + "/thumbnail")
def thumbnail(
    study: str, series: str, instance: str, request: Request, shelf: TheShelf
) -> Response:
    """The frame in the middle of an instance."""
    return _thumbnail(request, shelf, shelf.places(study, series, instance))


@router.get(INSTANCE + "/frames/{frames}/thumbnail")
def frame_thumbnail(
    study: str, series: str, instance: str, frames: str, request: Request, shelf: TheShelf
) -> Response:
    """A frame, small."""
    places = shelf.places(study, series, instance)
    return _thumbnail(request, shelf, places, frame_numbers(frames)[0])


def _thumbnail(
    request: Request, shelf: Shelf, places: list[Place], frame: int | None = None
) -> Response:
    look = look_of(request, small=True)
    images = [place for place in places if place["Rows"]]
    if not images:
        raise Failed(404, _NO_PICTURE)
    place = images[len(images) // 2]
    tag = shelf.tag([place["series_id"], place["SOPInstanceUID"], frame, look])
    if same := media.unchanged(request, tag):
        return same
    made = _drawn(shelf, place, frame, look)
    headers = {"Content-Type": look.kind, "ETag": tag, "Cache-Control": media.CACHED}
    return Response(made, headers=headers)


_NO_PICTURE = "There is no image here that could be shown."


# Drawing


def _drawn(shelf: Shelf, place: Place, frame: int | None, look: Look) -> bytes:
    """A frame as a file of a picture; without a number the one in the middle."""
    with shelf.object(place) as found:
        try:
            pixels = Pixels(found.header, found.fetch, found.size)
            number = pixels.count // 2 + 1 if frame is None else frame
        except DataError as error:
            raise Failed(404, f"{_NO_PICTURE} Of this object it is known: {error}.") from error
        if not 1 <= number <= pixels.count:
            raise Failed(404, f"The object has the frames 1 to {pixels.count}.")
        try:
            made = picture(found.header, found.fetch, found.size, number, look.window)
        except DataError as error:
            raise Failed(406, f"The object cannot be given as a picture: {error}.") from error
        return drawn(made, look)


def drawn(made: NDArray[np.uint8], look: Look) -> bytes:
    """The file of a picture, of the part and the size that are asked for (PS3.18 8.3.5.1.3)."""
    image = Image.fromarray(made)
    if look.part is not None:
        image = _cut(image, look.part)
    if look.columns or look.rows:
        image = _fitted(image, look)
    file = io.BytesIO()
    image.save(file, KINDS[look.kind], quality=look.quality)
    return file.getvalue()


def _cut(image: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
    """A part of an image; one of negative width or height is turned round."""
    x, y, width, height = part
    width, height = width or image.width - x, height or image.height - y
    right, bottom = min(x + abs(width), image.width), min(y + abs(height), image.height)
    box = (round(x), round(y), round(right), round(bottom))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Failed(400, "The part that viewport asks for is not in the image.")
    image = image.crop(box)
    if width < 0:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Transpose.FLIP_TOP_BOTTOM) if height < 0 else image


def _fitted(image: Image.Image, look: Look) -> Image.Image:
    """An image in the size that is asked for, its proportions kept."""
    scale = min((look.columns or math.inf) / image.width, (look.rows or math.inf) / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Resampling.BOX if scale < 1 else Resampling.BILINEAR)


def look_of(request: Request, *, small: bool = False) -> Look:
    """What parameters ask of a picture; 400 for one that cannot be, 406 for another form."""
    try:
        return _look(request, small=small)
    except (ValueError, UsageError) as error:
        raise Failed(
            400,
            "Write window=CENTER,WIDTH,FUNCTION (linear, linear-exact or sigmoid), "
            "viewport=COLUMNS,ROWS or COLUMNS,ROWS,X,Y,WIDTH,HEIGHT, and quality from 1 to 100.",
        ) from error


def _look(request: Request, *, small: bool) -> Look:
    said = request.query_params
    kind = _picture_kind(request)
    window = _window(said["window"]) if said.get("window") else None
    quality = int(said.get("quality") or 90)
    if not 1 <= quality <= 100:
        raise ValueError(quality)
    columns, rows, part = (SMALL, SMALL, None) if small else (0, 0, None)
    if text := said.get("viewport"):
        columns, rows, part = _viewport(text)
    return Look(kind, window, columns, rows, part, quality)


def _viewport(text: str) -> tuple[int, int, tuple[float, float, float, float] | None]:
    columns, rows, *rest = text.split(",")
    width, height = int(columns), int(rows)
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST) or len(rest) not in (0, 4):
        raise ValueError(text)
    if not rest:
        return width, height, None
    x, y, part_width, part_height = (float(each or 0) for each in rest)
    sizes = (x, y, abs(part_width), abs(part_height))
    if not all(0 <= each <= 65535 for each in sizes):
        raise ValueError(text)
    return width, height, (x, y, part_width, part_height)


def _window(text: str) -> Window:
    center, width, *more = text.split(",")
    function = (more[0] if more else "linear").upper().replace("-", "_")
    found = Window(float(center), float(width), function)
    finite = math.isfinite(found.center) and math.isfinite(found.width)
    if not finite or found.width <= 0 or function not in FUNCTIONS or len(more) > 1:
        raise ValueError(text)
    return found


def _picture_kind(request: Request) -> str:
    for each in media.accepted(request):
        for kind in KINDS:
            if each.fits(kind):
                return kind
    raise Failed(406, f"Accept {' or '.join(KINDS)}.")


# WADO-URI


@router.get("/")
@router.get("/wado")
def wado(request: Request, shelf: TheShelf) -> Response:
    """One object, or a picture of it, by parameters (WADO-URI, PS3.18 9.4)."""
    said = request.query_params
    uids = [said.get(name, "") for name in ("studyUID", "seriesUID", "objectUID")]
    if said.get("requestType") != "WADO" or not all(uids):
        raise Failed(400, "Ask ?requestType=WADO with studyUID, seriesUID and objectUID.")
    place = shelf.places(uids[0], uids[1], uids[2])[0]
    asked = [part.partition(";")[0].strip() for part in said.get("contentType", "").split(",")]
    is_image = bool(place["Rows"])
    for kind in asked:
        if kind == media.DICOM or (kind in ("", "*/*") and not is_image):
            return objects(_accepting(request, said.get("transferSyntax", "*")), shelf, [place])
        if kind in KINDS or (kind in ("", "*/*", "image/*") and is_image):
            look = _wado_look(request, kind if kind in KINDS else "image/jpeg")
            frame = frame_numbers(said.get("frameNumber") or "1")[0]
            return Response(_drawn(shelf, place, frame, look), headers={"Content-Type": look.kind})
    raise Failed(406, f"contentType is {media.DICOM}, {' or '.join(KINDS)}.")


def _accepting(request: Request, syntax: str) -> Request:
    """A request that accepts one object by itself."""
    fields = [(name, value) for name, value in request.scope["headers"] if name != b"accept"]
    accept = f'{media.DICOM}; transfer-syntax="{syntax}"'.encode("latin-1", "replace")
    return Request({**request.scope, "headers": [*fields, (b"accept", accept)]})


def _wado_look(request: Request, kind: str) -> Look:
    said = request.query_params
    try:
        window = None
        if said.get("windowCenter") and said.get("windowWidth"):
            window = _window(f"{said['windowCenter']},{said['windowWidth']}")
        columns, rows = int(said.get("columns") or 0), int(said.get("rows") or 0)
        quality = int(said.get("imageQuality") or 90)
        if not (0 <= columns <= LARGEST and 0 <= rows <= LARGEST and 1 <= quality <= 100):
            raise ValueError
    except ValueError as error:
        raise Failed(400, "rows, columns, windowCenter, windowWidth and imageQuality are numbers."
                     ) from error  # fmt: skip
    return Look(kind, window, columns, rows, None, quality)
