"""What a caller accepts, and answers in that form (PS3.18 8.7; RFC 9110 12.5.1)."""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from dicomlake.sources.dicomweb.multipart import parameters

JSON = "application/dicom+json"
XML = "application/dicom+xml"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
MULTIPART = "multipart/related"
_MOST_RANGES = 64


@dataclass(frozen=True, slots=True)
class Range:
    """One media range that a caller accepts: of a multipart one, `kind` is that of its parts."""

    kind: str
    multipart: bool
    syntax: str
    quality: float

    def fits(self, kind: str) -> bool:
        """Whether a media type is in the range."""
        mine, _, sub = self.kind.partition("/")
        return self.kind in ("*/*", kind) or (sub == "*" and kind.startswith(f"{mine}/"))


def accepted(request: Request) -> list[Range]:
    """What a caller accepts, best first; the parameter `accept` goes before the header.

    Nothing said means anything.
    """
    said = request.query_params.getlist("accept") or request.headers.getlist("accept")
    parts = [part for text in said for part in _listed(text)][:_MOST_RANGES]
    found = [_range(part) for part in parts]
    found = [each for each in found if each.quality > 0] if parts else [_range("*/*")]
    return sorted(found, key=lambda each: -each.quality)


def _listed(text: str) -> list[str]:
    """The parts of a list, but for commas inside of quotes."""
    return [part.strip() for part in re.findall(r'(?:"[^"]*"|[^,"])+', text) if part.strip()]


def _range(text: str) -> Range:
    kind, more = parameters(text)
    try:
        quality = float(more.get("q", "1"))
    except ValueError:
        quality = 1.0
    multipart = kind in (MULTIPART, "multipart/*")
    inner = more.get("type", "*/*").lower() if multipart else kind or "*/*"
    return Range(inner, multipart, more.get("transfer-syntax", ""), quality)


# Documents


def document(
    request: Request, pieces: Iterable[bytes], headers: dict[str, str], kind: str = JSON
) -> StreamingResponse:
    """An answer of text in pieces, packed by gzip where the caller can unpack it."""
    headers = {"Vary": "Accept, Accept-Encoding", **headers}
    if _unpacks(request):
        headers["Content-Encoding"] = "gzip"
        pieces = packed(pieces)
    return StreamingResponse(pieces, headers={**headers, "Content-Type": kind})


def _unpacks(request: Request) -> bool:
    said = request.headers.get("accept-encoding", "").lower()
    codings = [part.replace(" ", "") for part in said.split(",")]
    return any(c in ("gzip", "*") or (c.startswith("gzip;q=") and c[7:] != "0") for c in codings)


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as gzip has them."""
    packer = zlib.compressobj(3, wbits=31)
    for piece in pieces:
        if done := packer.compress(piece):
            yield done
    yield packer.flush()


def unchanged(request: Request, tag: str) -> Response | None:
    """304 when a caller has that already (RFC 9110 13.1.2)."""
    said = request.headers.get("if-none-match", "")
    if said.strip() == "*" or tag in [part.strip() for part in said.split(",")]:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": CACHED})
    return None


CACHED = "private, no-cache"
"""May be kept by the one who asked, who has to ask each time whether it still is so."""


# Parts


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer: its media type, its bytes in pieces, where it is by itself."""

    kind: str
    pieces: Iterable[bytes]
    location: str = ""


def related(parts: Iterable[Part], kind: str) -> StreamingResponse:
    """Parts as multipart/related (RFC 2387); the first is made before anything is sent."""
    boundary = f"dicomlake-{secrets.token_hex(12)}"
    headers = {"Content-Type": f'{MULTIPART}; type="{kind}"; boundary={boundary}'}
    return StreamingResponse(begun(_written(parts, boundary)), headers=headers)


def _written(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    for part in parts:
        location = f"Content-Location: {part.location}\r\n" if part.location else ""
        head = f"--{boundary}\r\nContent-Type: {part.kind}\r\n{location}\r\n"
        yield head.encode("latin-1", "replace")
        yield from part.pieces
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, of which two are there already, so that errors are told in time."""
    held = [piece for _ in range(2) if (piece := next(pieces, None)) is not None]

    def all_of_them() -> Iterator[bytes]:
        yield from held
        held.clear()
        yield from pieces

    return all_of_them()
