"""A DICOMweb service as an archive: what it has, headers without pixel data, and objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dicomlake.contracts import Object
from dicomlake.contracts.archives import KEYS, LEVELS, Check, Listener, Match, uri_of
from dicomlake.dicom import dictionary
from dicomlake.dicom.walk import walk
from dicomlake.errors import (
    DataError,
    DicomlakeError,
    Incomplete,
    Refused,
    Unsupported,
    UsageError,
)
from dicomlake.settings import Source
from dicomlake.sources.dicomweb.connection import Connection, NotThere, TooBroad
from dicomlake.sources.dicomweb.multipart import Part, parameters, parts, whole
from dicomlake.sources.dicomweb.paging import Pages
from dicomlake.sources.dicomweb.values import cleaned, uid_of

if TYPE_CHECKING:
    import httpx

_OBJECTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
    "application/dicom",
)
_FRAMES = (
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    'multipart/related; type="application/octet-stream"',
    'multipart/related; type="image/*"; transfer-syntax=*',
    "multipart/related",
    "*/*",
)
_UID = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_HEAD = 32 * 1024


def _nothing(offset: int, length: int) -> bytes:
    return b""


class DicomwebArchive:
    """A DICOMweb service, asked by QIDO-RS and WADO-RS (PS3.18 Sections 8, 10.4 and 10.6).

    It fits `dicomlake.contracts.archives.Archive`. `transport` replaces the network in tests.
    """

    way = "wado"

    def __init__(
        self,
        name: str,
        settings: Source,
        listener: Listener | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name, self.settings = name, settings
        self._connection = Connection(name, settings, transport)
        self._pages = Pages(self._connection)
        self._metadata: bool | None = None if settings.metadata else False
        self._accepts: dict[tuple[str, ...], int] = {}

    def __enter__(self) -> DicomwebArchive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of open connections."""
        self._connection.close()

    @property
    def whole_headers(self) -> bool:
        """Whether the service gives headers of a whole series (`/metadata`, PS3.18 10.4.1.1.2).

        When nothing told so far, it is asked for one; an empty archive leaves it open.
        """
        if self._metadata is None:
            place = self._any_instance()
            if place is None:
                return True
            self._headers_of_one(*place)
        return bool(self._metadata)

    def find(
        self,
        level: str,
        keys: Mapping[str, str],
        wanted: Sequence[str] = (),
        limit: int | None = None,
    ) -> Match:
        """What matches (QIDO-RS, PS3.18 8.3.4), asked page by page until nothing new comes.

        `cut` is set when the service says that there is more (Warning 299) or refuses the query as
        too broad (413), when its own page size ends the answers, when fewer series or instances
        come than it counts in the study or series, and when a search over studies ends at a round
        number from 100 on. Other caps cannot be seen: a service that silently leaves answers out
        looks like one that has no more. Compare with counts from elsewhere where it matters.
        """
        if level not in LEVELS:
            raise UsageError(f"{level!r} is no level: {', '.join(LEVELS)}.")
        path, matching = _place(level, keys)
        returned = list(wanted or KEYS[level])
        params = [(key, _value(key, value)) for key, value in matching.items() if value]
        params += [("includefield", key) for key in returned if dictionary.tag_of(key)]
        parents = {k: v for k, v in keys.items() if k in _UID.values() and _single(v)}
        match = self._pages.ask(path, params, _UID[level], limit, alone=not any(matching.values()))
        for row in match.rows:
            for key, value in parents.items():
                row.setdefault(key, value)
        return match

    def headers(self, study: str, series: str, *, first: bool = False) -> Iterator[Object]:
        """The headers of a series as DICOM JSON (WADO-RS metadata, PS3.18 10.4.1.1.2, Annex F).

        `first`: those of one instance. So it is, too, where the service has no metadata; then the
        bytes of the whole instance come. Where it has metadata, but not of this series, the bytes
        of all instances do. Incomplete when there is no such series any longer.
        """
        if self._metadata is not False:
            headers = self._headers_of_one(study, series) if first else self._all(study, series)
            if headers is not None:
                for header in headers:
                    yield self._described(header, series)
                return
            if self._metadata and not first:
                yield from self.objects(study, series)
                return
        instance = self._first_instance(study, series)
        if instance is None:
            raise self._gone(series)
        yield from self.objects(study, series, [instance])

    def objects(self, study: str, series: str, instances: Sequence[str] = ()) -> Iterator[Object]:
        """The objects of a series as they are stored (WADO-RS, PS3.18 10.4.1.1.1, 10.4.3.3).

        Each comes as soon as its last byte does. Refused when the answer stops in the middle;
        Incomplete when the service no longer has the series, or some of the instances.
        """
        path = _path(study, series)
        if not instances:
            try:
                yield from self._objects(path)
            except NotThere:
                raise self._gone(series) from None
            return
        missing: list[str] = []
        for uid in instances:
            try:
                yield from self._objects(f"{path}/instances/{_quoted(uid)}")
            except NotThere:
                missing.append(uid)
        if missing:
            raise Incomplete(f"{self.name} has {len(missing)} objects no longer.", missing)

    def frames(
        self, study: str, series: str, instance: str, frames: Sequence[int]
    ) -> list[tuple[str, bytes]]:
        """Frames of an instance, counted from 1: media type and bytes (PS3.18 10.4.1.1.6).

        They come as they are stored where the service allows it: their media type names a transfer
        syntax. UsageError when there are no such frames.
        """
        listed = ",".join(str(int(frame)) for frame in frames)
        path = f"{_path(study, series)}/instances/{_quoted(instance)}/frames/{listed}"
        try:
            return [
                (p.headers.get("content-type", ""), p.bytes()) for p in self._got(path, _FRAMES)
            ]
        except NotThere:
            raise UsageError(f"{self.name} has no such frames of {instance}.") from None

    def check(self) -> Iterator[Check]:
        """Ask for a study, the header of one instance and one object; nothing is changed."""
        found: list[tuple[str, str, str]] = []

        def look() -> None:
            place = self._any_instance()
            if place is not None:
                found.append(place)

        yield (asked := self._tried("studies (QIDO-RS)", look))
        if not found:
            if asked.works:
                says = "It holds nothing, so nothing else can be tried."
                yield Check("instances", False, 0.0, says)
            return
        study, series, instance = found[0]
        if self.settings.metadata:
            yield self._tried(
                "headers (WADO-RS metadata)", lambda: self._try_headers(study, series, instance)
            )
        yield self._tried("objects (WADO-RS)", lambda: self._try_object(study, series, instance))

    def _tried(self, what: str, run: Callable[[], object]) -> Check:
        began = time.perf_counter()
        try:
            run()
        except (DicomlakeError, NotThere, TooBroad) as error:
            says = str(error) or f"{self.name} does not offer this. Is the url right?"
            return Check(what, False, time.perf_counter() - began, says)
        return Check(what, True, time.perf_counter() - began, "It works.")

    def _try_headers(self, study: str, series: str, instance: str) -> None:
        if self._headers_of_one(study, series, instance) is None:
            raise Unsupported(
                f"{self.name} has no metadata; one whole object is retrieved instead. Set "
                "metadata = false for this source to save the attempt."
            )

    def _try_object(self, study: str, series: str, instance: str) -> None:
        found = [thing.uri for thing in self.objects(study, series, [instance])]
        if found != [uri_of(self.name, instance)]:
            raise Refused(f"{self.name} did not send the object that was asked for.")

    def _any_instance(self) -> tuple[str, str, str] | None:
        """UIDs of some instance; None when the archive is empty."""
        found: dict[str, str] = {}
        for level in LEVELS:
            rows = self.find(level, found, (_UID[level],), limit=1).rows
            if not rows:
                return None
            found[_UID[level]] = rows[0][_UID[level]]
        study, series, instance = found.values()
        return study, series, instance

    def _first_instance(self, study: str, series: str) -> str | None:
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        rows = self.find("IMAGE", keys, ("SOPInstanceUID",), limit=1).rows
        return rows[0]["SOPInstanceUID"] if rows else None

    def _all(self, study: str, series: str) -> list[dict[str, Any]] | None:
        """The headers of all instances; None when there is no metadata of them."""
        found = self._asked(f"{_path(study, series)}/metadata")
        if not found:
            if self._first_instance(study, series) is None:
                raise self._gone(series)
            self._metadata = self._metadata or False
        return found or None

    def _headers_of_one(
        self, study: str, series: str, instance: str | None = None
    ) -> list[dict[str, Any]] | None:
        """The header of one instance in a list; None when metadata turns out not to be offered."""
        instance = instance or self._first_instance(study, series)
        if instance is None:
            raise self._gone(series)
        found = self._asked(f"{_path(study, series)}/instances/{_quoted(instance)}/metadata")
        if found:
            return found[:1]
        if self._metadata:
            raise self._gone(series)
        self._metadata = False
        return None

    def _asked(self, path: str) -> list[dict[str, Any]]:
        """Metadata, and remember that the service has some; empty where there is none."""
        try:
            found, _ = self._connection.json(path)
        except NotThere:
            return []
        except TooBroad:
            raise Refused(f"{self.name} finds a series too large (HTTP 413).") from None
        except Unsupported:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise Refused(f"{self.name} answers with JSON that is no list of headers.")
        if found:
            self._metadata = True
        return found

    def _described(self, header: dict[str, Any], series: str) -> Object:
        uid = uid_of(header)
        uri = uri_of(self.name, uid or series)
        problem = "" if uid else "a header without SOPInstanceUID"
        return Object(uri, 0, 0, _nothing, problem, cleaned(header))

    def _objects(self, path: str) -> Iterator[Object]:
        for part in self._got(path, _OBJECTS):
            kind = parameters(part.headers.get("content-type", ""))[0]
            if kind in ("", "application/dicom", "application/octet-stream"):
                uri = uri_of(self.name, _uid_in(part))
                yield Object(uri, 0, part.size, part.fetch)

    def _got(self, path: str, accepts: tuple[str, ...]) -> Iterator[Part]:
        """Parts of an answer, asked for in the first way that the service accepts.

        What worked first is where later requests begin.
        """
        for way in range(self._accepts.get(accepts, 0), len(accepts)):
            headers = {"Accept": accepts[way], "Accept-Encoding": "identity"}
            try:
                with self._connection.stream(path, headers) as answer:
                    yield from self._parts(answer)
                self._accepts.setdefault(accepts, way)
                return
            except TooBroad:
                raise Refused(f"{self.name} finds what was asked too large (HTTP 413).") from None
            except Unsupported as error:
                last = error
        raise UsageError(f"{last} Ask whoever runs it for WADO-RS.") from last

    def _parts(self, answer: httpx.Response) -> Iterator[Part]:
        if answer.status_code == 204:
            raise NotThere
        kind, more = parameters(answer.headers.get("Content-Type", ""))
        if kind.startswith("multipart/"):
            if not more.get("boundary"):
                raise Refused(f"{self.name} answers in parts without a boundary.")
            boundary = more["boundary"]
        elif kind.startswith("text/") or "json" in kind or "xml" in kind:
            raise Unsupported(f"{self.name} answers with {kind[:40]}.")
        else:  # one object as it is
            yield from whole(answer.iter_bytes(), answer.headers.get("Content-Type", ""))
            return
        try:
            yield from parts(answer.iter_bytes(), boundary)
        except Refused as error:
            raise Refused(f"{self.name}: {error}.") from error

    def _gone(self, series: str) -> Incomplete:
        return Incomplete(f"{self.name} has nothing of the series {series} any longer.")


def _quoted(uid: str) -> str:
    """A UID as part of a path."""
    if not uid.strip("."):
        raise UsageError(f"{uid!r} is no UID.")
    return quote(uid, safe="")


def _path(study: str, series: str) -> str:
    return f"/studies/{_quoted(study)}/series/{_quoted(series)}"


def _single(value: str) -> bool:
    return bool(value) and not any(mark in value for mark in "\\,*?")


def _place(level: str, keys: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The path of a query, and the keys that are not in it (PS3.18 Table 8.3.4-1)."""
    rest, path = dict(keys), ""
    study, series = rest.get("StudyInstanceUID", ""), rest.get("SeriesInstanceUID", "")
    if level != "STUDY" and _single(study):
        path = f"/studies/{_quoted(rest.pop('StudyInstanceUID'))}"
        if level == "IMAGE" and _single(series):
            path += f"/series/{_quoted(rest.pop('SeriesInstanceUID'))}"
    return path + {"STUDY": "/studies", "SERIES": "/series", "IMAGE": "/instances"}[level], rest


def _value(key: str, value: str) -> str:
    """A matching key as QIDO-RS has it: lists of UIDs are joined by commas (PS3.18 8.3.4.1)."""
    return value.replace("\\", ",") if dictionary.vr_of(key) == "UI" else value


def _uid_in(part: Part) -> str:
    """SOPInstanceUID of an object, "" when it cannot be read."""
    try:
        for tag, _, value in walk(part.fetch, min(part.size, _HEAD)).elements:
            if tag == b"\x08\x00\x18\x00" and isinstance(value, bytes):
                return value.decode("latin-1").strip(" \0")
    except DataError:
        pass
    return ""
