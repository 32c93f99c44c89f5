"""Retrieval: WADO-RS of metadata, objects, frames and bulk data (PS3.18 10.4)."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from dicomlake.contracts import Object
from dicomlake.dicom.walk import BIG_ENDIAN
from dicomlake.errors import DataError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.objects import Opened
from dicomlake.readers.attributes import key_of
from dicomlake.readers.bulk import bulk_of, place_of, read_all, reader_of, syntax_of
from dicomlake.readers.pixels import Pixels
from dicomlake.web.access.needs import needs
from dicomlake.web.dicomweb import media
from dicomlake.web.dicomweb.linking import address, element_at, linked
from dicomlake.web.dicomweb.media import DICOM, OCTETS, Part
from dicomlake.web.dicomweb.native import native
from dicomlake.web.dicomweb.searching import root_of
from dicomlake.web.dicomweb.shelf import Place, Shelf, problems, shelf_of
from dicomlake.web.dicomweb.transcoding import EXPLICIT, plain_of
from dicomlake.web.problems import Failed, response

router = APIRouter(dependencies=[needs(May.READ)])
TheShelf = Annotated[Shelf, Depends(shelf_of)]

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
_STEP = 1024**2
_MOST_FRAMES = 10_000
_KINDS = {
    "1.2.840.10008.1.2.4.50": "image/jpeg", "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg", "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls", "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2", "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx", "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc", "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}  # fmt: skip
"""Media types of compressed frames (PS3.18 Table 8.7.3-2)."""


# Metadata


@router.get(STUDY + "/metadata")
def study_metadata(study: str, request: Request, shelf: TheShelf) -> Response:
    """The headers of a study."""
    return _metadata(request, shelf, study)


@router.get(SERIES + "/metadata")
def series_metadata(study: str, series: str, request: Request, shelf: TheShelf) -> Response:
    """The headers of a series."""
    return _metadata(request, shelf, study, series)


@router.get(INSTANCE + "/metadata")
def metadata(study: str, series: str, instance: str, request: Request, shelf: TheShelf) -> Response:
    """The header of an instance."""
    return _metadata(request, shelf, study, series, instance)


def _metadata(
    request: Request,
    shelf: Shelf,
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> Response:
    """Headers as the lake has them; a validator lets callers keep them (PS3.18 10.4.1.1.2)."""
    kind = _metadata_kind(request)
    rows = shelf.series(study, series)
    if instance is not None:
        shelf.places(study, series, instance)
    root = root_of(request)
    tag = shelf.tag([root, kind, instance, *(row["series_id"] for row in rows)])
    if same := media.unchanged(request, tag):
        return same
    found = _headers(shelf, root, rows, instance)
    headers = {"ETag": tag, "Cache-Control": media.CACHED}
    if kind == media.XML:
        made = media.related((Part(media.XML, [native(header)]) for header in found), kind)
        made.headers.update(headers)
        return made
    return media.document(request, media.begun(_array(found)), headers)


def _metadata_kind(request: Request) -> str:
    for each in media.accepted(request):
        if not each.multipart and (each.fits(media.JSON) or each.kind == "application/json"):
            return media.JSON
        if each.fits(media.XML):
            return media.XML
    raise Failed(406, f"Accept {media.JSON}, or {media.MULTIPART} with {media.XML}.")


def _headers(
    shelf: Shelf, root: str, series: list[dict[str, Any]], instance: str | None
) -> Iterator[dict[str, Any]]:
    """Headers of some series, those of one series held at a time."""
    for row in series:
        uids = (row["StudyInstanceUID"], row["SeriesInstanceUID"])
        for said in shelf.headers(row["series_id"], instance):
            url = address(root, *uids, said["SOPInstanceUID"])
            header = linked(orjson.loads(said["header"]), url)
            header.setdefault("00080018", {"vr": "UI", "Value": [said["SOPInstanceUID"]]})
            if syntax := said["TransferSyntaxUID"]:
                header["00083002"] = {"vr": "UI", "Value": [syntax]}
            yield dict(sorted(header.items()))


def _array(headers: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    separator = b"["
    for header in headers:
        yield separator + orjson.dumps(header)
        separator = b","
    yield b"]" if separator == b"," else b"[]"


# Objects


@router.get(STUDY)
def study(study: str, request: Request, shelf: TheShelf) -> Response:
    """The objects of a study."""
    return objects(request, shelf, shelf.places(study))


@router.get(SERIES)
def series(study: str, series: str, request: Request, shelf: TheShelf) -> Response:
    """The objects of a series."""
    return objects(request, shelf, shelf.places(study, series))


@router.get(INSTANCE)
def instance(study: str, series: str, instance: str, request: Request, shelf: TheShelf) -> Response:
    """An object; as it is where application/dicom is accepted by itself."""
    return objects(request, shelf, shelf.places(study, series, instance))


def objects(request: Request, shelf: Shelf, places: list[Place]) -> Response:
    """Objects as they are stored, or without compression where that is asked for.

    406 when they are not stored in a transfer syntax that is accepted (PS3.18 8.7.3.5).
    """
    for each in media.accepted(request):
        if not each.fits(DICOM) or (not each.multipart and each.kind == DICOM and len(places) > 1):
            continue
        syntaxes = {str(place["TransferSyntaxUID"]) for place in places}
        wanted = each.syntax.strip('"')
        if wanted not in ("", "*", EXPLICIT) and syntaxes != {wanted}:
            continue
        plain = wanted == EXPLICIT and syntaxes != {EXPLICIT}
        if len(places) == 1 and not each.multipart and each.kind == DICOM:
            return _single(shelf, places[0], plain=plain)
        return media.related(_parts(shelf, root_of(request), places, plain=plain), DICOM)
    raise Failed(
        406,
        f'Accept {media.MULTIPART}; type="{DICOM}"; transfer-syntax=*, or the transfer syntax in '
        f"which the objects are stored, or {EXPLICIT}.",
    )


def _single(shelf: Shelf, place: Place, *, plain: bool) -> Response:
    def pieces() -> Iterator[bytes]:
        with shelf.bytes(place) as found:
            yield from _bytes(found, plain=plain and place["TransferSyntaxUID"] != EXPLICIT)

    kind = _dicom(EXPLICIT if plain else place["TransferSyntaxUID"])
    return StreamingResponse(media.begun(pieces()), headers={"Content-Type": kind})


def _dicom(syntax: str | None) -> str:
    return f"{DICOM}; transfer-syntax={syntax}" if syntax else DICOM


def _parts(shelf: Shelf, root: str, places: list[Place], *, plain: bool) -> Iterator[Part]:
    for place, found in shelf.all_bytes(places):
        uids = (place["StudyInstanceUID"], place["SeriesInstanceUID"], place["SOPInstanceUID"])
        stored = place["TransferSyntaxUID"]
        pieces = media.begun(_bytes(found, plain=plain and stored != EXPLICIT))
        yield Part(_dicom(EXPLICIT if plain else stored), pieces, address(root, *uids))


def _bytes(found: Object, *, plain: bool) -> Iterator[bytes]:
    if plain:
        try:
            yield plain_of(found.fetch, found.size)
        except DataError as error:
            said = f"The object cannot be given without compression: {error}."
            raise Failed(406, said) from error
        return
    with problems():
        for at in range(0, found.size, _STEP):
            yield found.fetch(at, min(_STEP, found.size - at))


# Frames


@router.get(INSTANCE + "/frames/{frames}")
def frames(
    study: str, series: str, instance: str, frames: str, request: Request, shelf: TheShelf
) -> Response:
    """Frames as they are stored, or without compression (PS3.18 10.4.1.1.6 and 8.7.3.3)."""
    place = shelf.places(study, series, instance)[0]
    wanted = frame_numbers(frames)
    made = _frames(shelf, place, wanted, request)
    said, multipart = next(made)
    assert isinstance(said, str)
    if not multipart:
        return Response(next(made)[0], headers={"Content-Type": said})
    base = address(root_of(request), study, series, instance)
    parts = (
        Part(said, [frame], f"{base}/frames/{n}")
        for n, (frame, _) in zip(wanted, made, strict=True)
        if isinstance(frame, bytes)
    )
    return media.related(parts, said.partition(";")[0])


def _frames(
    shelf: Shelf, place: Place, wanted: list[int], request: Request
) -> Iterator[tuple[str | bytes, bool]]:
    """The media type of frames and whether they come in parts, then one frame after another."""
    with shelf.object(place) as found:
        pixels = _pixels(found, wanted)
        said, multipart, stored = _frame_kind(request, pixels, len(wanted))
        yield said, multipart
        for n in wanted:
            try:
                frame = pixels.stored(n) if stored else pixels.native_bytes(n)
            except DataError as error:
                raise Failed(406, f"The frames cannot be given so: {error}.") from error
            yield frame, multipart


def frame_numbers(listed: str) -> list[int]:
    """Numbers of frames, separated by commas; 400 when they are none.

    >>> frame_numbers("1,3")
    [1, 3]
    """
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", listed, re.ASCII):
        raise Failed(400, "Name frames by numbers from 1, such as /frames/1,2,3.")
    found = [int(part) for part in listed.split(",")]
    if len(found) > _MOST_FRAMES:
        raise Failed(400, f"Ask for at most {_MOST_FRAMES} frames at a time.")
    return found


def _pixels(found: Any, wanted: list[int]) -> Pixels:
    try:
        pixels = Pixels(found.header, found.fetch, found.size)
    except DataError as error:
        raise Failed(404, f"There are no frames to be had: {error}.") from error
    if not all(1 <= n <= pixels.count for n in wanted):
        raise Failed(404, f"The object has the frames 1 to {pixels.count}.")
    return pixels


def _frame_kind(request: Request, pixels: Pixels, count: int) -> tuple[str, bool, bool]:
    """Media type of frames, whether in parts, and whether as stored; 406 when none is accepted."""
    stored = pixels.syntax if not pixels.native else EXPLICIT
    native_kind = _KINDS.get(pixels.syntax, OCTETS)
    for each in media.accepted(request):
        if not each.multipart and (count > 1 or each.kind == "*/*"):
            if each.kind != "*/*":
                continue
            return f"{OCTETS}; transfer-syntax={stored}", True, True
        wanted = each.syntax.strip('"')
        if each.fits(OCTETS):
            if wanted in ("*", stored) or (each.kind == "*/*" and not wanted):
                return f"{OCTETS}; transfer-syntax={stored}", each.multipart, True
            if wanted in ("", EXPLICIT):
                return f"{OCTETS}; transfer-syntax={EXPLICIT}", each.multipart, pixels.native
        elif each.fits(native_kind) and wanted in ("", "*", stored):
            return f"{native_kind}; transfer-syntax={stored}", each.multipart, True
    raise Failed(
        406, f'Accept {media.MULTIPART}; type="{OCTETS}"; transfer-syntax=*, or {EXPLICIT}.'
    )


# Bulk data


@router.get(INSTANCE + "/bulkdata/{path:path}")
def bulkdata(
    study: str, series: str, instance: str, path: str, request: Request, shelf: TheShelf
) -> Response:
    """A value that metadata left out; a part of it by Range (PS3.18 10.4.1.1.5, RFC 9110 14)."""
    place = shelf.places(study, series, instance)[0]
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(/\d{1,6}/[0-9A-Fa-f]{8}){0,48}", path, re.ASCII):
        raise Failed(404, _NO_BULK)
    made = _open_value(shelf, place, path)
    total = next(made)
    assert isinstance(total, int)
    span = span_of(request.headers.get("range", ""), total)
    if span is not None and span[0] >= total:
        made.close()
        headers = {"Content-Range": f"bytes */{total}"}
        return response(416, f"The value has {total} bytes.", headers)
    first, last = span or (0, total - 1)
    made.send((first, last + 1 - first))
    pieces = (piece for piece in made if isinstance(piece, bytes))
    return _bulk(request, pieces, span, total)


def _bulk(request: Request, pieces: Iterator[bytes], span: Span | None, total: int) -> Response:
    kind = next((each for each in media.accepted(request) if each.fits(OCTETS)), None)
    if kind is None:
        raise Failed(406, f"Accept {OCTETS}, by itself or in {media.MULTIPART}.")
    if kind.multipart:
        made = media.related([Part(OCTETS, pieces)], OCTETS)
    else:
        length = total if span is None else span[1] + 1 - span[0]
        headers = {"Content-Type": OCTETS, "Content-Length": str(length)}
        made = StreamingResponse(media.begun(pieces), headers=headers)
    made.headers["Accept-Ranges"] = "bytes"
    if span is not None:
        made.status_code = 206
        made.headers["Content-Range"] = f"bytes {span[0]}-{span[1]}/{total}"
    return made


_NO_BULK = "The object has no bulk data at that place. Take the address from its metadata."
Span = tuple[int, int]
"""First and last byte."""


def span_of(said: str, total: int) -> Span | None:
    """The bytes that a single range names; None when it is to be passed over (RFC 9110 14.2).

    >>> span_of("bytes=0-9", 100), span_of("bytes=-10", 100), span_of("bytes=90-", 100)
    ((0, 9), (90, 99), (90, 99))
    """
    m = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", said.replace(" ", ""), re.ASCII)
    if m is None or not (m[1] or m[2]):
        return None
    if not m[1]:
        return (max(0, total - int(m[2])), total - 1) if int(m[2]) and total else (total, total)
    first, last = int(m[1]), min(int(m[2] or total), total - 1)
    return (first, last) if first <= last or first >= total else None


def _open_value(
    shelf: Shelf, place: Place, path: str
) -> Generator[int | bytes | None, tuple[int, int] | None, None]:
    """The size of a value; then, told where to begin and how many to read, its bytes."""
    with shelf.object(place) as found:
        try:
            item, tag = element_at(found.header, path)
            element = {_ANY: item[tag]}
            held = _held(found, element)
            start, total = (0, len(held)) if held is not None else place_of(element, _NAME)[:2]
            fetch = reader_of(element, _NAME, found.fetch, found.size, found.header) if (
                held is None) else None  # fmt: skip
        except DataError as error:
            raise Failed(404, _NO_BULK) from error
        asked = yield total
        yield None
        assert asked is not None
        first, length = asked
        if held is not None or fetch is None:
            yield (held or b"")[first : first + length]
            return
        for at in range(first, first + length, _STEP):
            yield read_all(fetch, start + at, min(_STEP, first + length - at))


_NAME = "PixelData"
_ANY = key_of(_NAME)
"""A value of whatever tag is read as if it were this one."""


def _held(found: Opened, element: dict[str, Any]) -> bytes | None:
    """A value that is in the header, or whose bytes have to be swapped; None for others."""
    if "BulkDataURI" in element[_ANY] and syntax_of(found.header) != BIG_ENDIAN:
        return None
    if not {"BulkDataURI", "InlineBinary"} & element[_ANY].keys():
        raise DataError("no bulk data")
    return bulk_of(element, _NAME, found.header, found.fetch, found.size)
