"""Storing: STOW-RS (PS3.18 10.5), and what brings into the lake what was stored."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import orjson
from anyio import from_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from dicomlake.errors import LakeError, Refused, ServiceError, UsageError
from dicomlake.jobs.access.roles import May
from dicomlake.jobs.deposits import Deposit, Stored
from dicomlake.jobs.door.entrance import made
from dicomlake.jobs.inbox import Inbox, Intake
from dicomlake.lake import Store
from dicomlake.sources.dicomweb.multipart import Part, parameters, parts, whole
from dicomlake.web.access.needs import needs, note
from dicomlake.web.desk import Desk
from dicomlake.web.dicomweb import media
from dicomlake.web.dicomweb.linking import address
from dicomlake.web.dicomweb.native import native
from dicomlake.web.dicomweb.searching import root_of
from dicomlake.web.dicomweb.shelf import Shelf, plausible, shelf_of
from dicomlake.web.problems import Failed

log = logging.getLogger(__name__)
router = APIRouter(dependencies=[needs(May.STORE)])

GRACE_S = 0.5
"""How long a crew, if one runs, has to take in what was stored before the service does."""
_AGAIN_S = 2.0


@router.post("/studies")
async def store(request: Request) -> Response:
    """Store objects of any studies."""
    return await _store(request, None)


@router.post("/studies/{study}")
async def store_of_study(study: str, request: Request) -> Response:
    """Store objects of one study."""
    if not plausible(study):
        raise Failed(400, "The address names no study.")
    return await _store(request, study)


async def _store(request: Request, study: str | None) -> Response:
    said, more = parameters(request.headers.get("content-type", ""))
    inner = more.get("type", media.DICOM).lower()
    if said not in (media.MULTIPART, media.DICOM) or inner != media.DICOM:
        raise Failed(415, f'Send {media.MULTIPART}; type="{media.DICOM}".')
    if said == media.MULTIPART and not more.get("boundary"):
        raise Failed(400, "The parts have no boundary.")
    kind = _answer_kind(request)
    chunks = _chunks(request.stream())
    found = whole(chunks, said) if said == media.DICOM else parts(chunks, more["boundary"])
    shelf = shelf_of(request)
    try:
        stored = await run_in_threadpool(_take, shelf, found, study)
    finally:
        request.app.state.committer.notify()
    note(request, stored=[each.instance for each in stored if not each.failure][:1000])
    if not stored:
        raise Failed(400, "There are no objects in the request.")
    failed = sum(1 for each in stored if each.failure)
    status = 200 if not failed else 409 if failed == len(stored) else 202
    body = report(stored, root_of(request))
    content = native(body) if kind == media.XML else orjson.dumps(body)
    return Response(content, status, {"Content-Type": kind})


def _answer_kind(request: Request) -> str:
    for each in media.accepted(request):
        if each.fits(media.JSON) or each.kind in ("application/json", media.DICOM):
            return media.JSON
        if each.fits(media.XML):
            return media.XML
    raise Failed(406, f"Accept {media.JSON} or {media.XML}.")


def _chunks(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """A body as it arrives, for a thread that reads it."""

    async def following() -> bytes | None:
        return await anext(stream, None)

    while (chunk := from_thread.run(following)) is not None:
        yield chunk


def _take(shelf: Shelf, found: Iterable[Part], study: str | None) -> list[Stored]:
    """Store the parts of a request; one is held at a time, and those before are safe by then."""
    stored: list[Stored] = []
    try:
        made(shelf.path, shelf.settings)
        deposit = Deposit(shelf.path, shelf.kept, shelf.settings)
    except (ServiceError, LakeError, UsageError, OSError) as error:
        raise Failed(503, "The lake cannot take anything in now. Try again later.") from error
    try:
        for part in found:
            stored.append(deposit.add(part.fetch, part.size, study))
    except Refused as error:  # the body is damaged, or ended in the middle
        if not stored:
            raise Failed(400, "The body is no multipart/related that can be read.") from error
        raise Failed(
            400, f"The body ended in the middle, after {len(stored)} objects; send it again."
        ) from error
    finally:
        deposit.close()
    return stored


def report(stored: list[Stored], root: str) -> dict[str, Any]:
    """What became of each object (PS3.18 Table 10.5.3-2)."""
    made: dict[str, Any] = {}
    good = [each for each in stored if not each.failure]
    named = [each for each in stored if each.failure and each.instance]
    others = [each for each in stored if each.failure and not each.instance]
    studies = {each.study for each in good}
    if len(studies) == 1:
        made["00081190"] = _text("UR", address(root, studies.pop()))
    if others:
        items = [{"00081197": {"vr": "US", "Value": [each.failure]}} for each in others]
        made["0008119A"] = {"vr": "SQ", "Value": items}
    if named:
        items = [
            {**_reference(each), "00081197": {"vr": "US", "Value": [each.failure]}}
            for each in named
        ]
        made["00081198"] = {"vr": "SQ", "Value": items}
    if good:
        items = [
            {
                **_reference(each),
                "00081190": _text("UR", address(root, each.study, each.series, each.instance)),
            }
            for each in good
        ]
        made["00081199"] = {"vr": "SQ", "Value": items}
    return dict(sorted(made.items()))


def _reference(each: Stored) -> dict[str, Any]:
    return {"00081150": _text("UI", each.kind), "00081155": _text("UI", each.instance)}


def _text(vr: str, value: str) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


class Committer:
    """Takes in what was stored when no crew does it; a thread that lives once there is something.

    The lock of the lake lets one of both do it, and the other one finds the inbox empty.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def notify(self) -> None:
        """Say that something may be in the inbox."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        self._due.set()

    def close(self) -> None:
        """Take in what is left, unless somebody else is writing, and end."""
        self._closed.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(60)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._due.clear()
            self._closed.wait(GRACE_S)
            if not self.take():
                self._closed.wait(_AGAIN_S)
                self._due.set()

    def take(self) -> bool:
        """Take in what is there; False when it is to be tried again."""
        lake = self._desk.lake
        if not Inbox(lake).batches():
            return True
        try:
            Intake(Store.create(lake), self._desk.requests.queue).take()
        except (LakeError, ServiceError, OSError) as error:
            log.info("the writer waits", extra={"error": type(error).__name__})
            return False
        return True
