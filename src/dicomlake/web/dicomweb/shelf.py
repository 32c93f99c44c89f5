"""What the doors of DICOMweb look into: the newest snapshot of the lake, and its objects."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fastapi import Request

from dicomlake.api import Lake
from dicomlake.contracts import Object
from dicomlake.contracts.deid import Unresolved
from dicomlake.contracts.queues import NOW
from dicomlake.dicom import dictionary
from dicomlake.errors import (
    DataError,
    DicomlakeError,
    LakeError,
    Paused,
    Refused,
    ServiceError,
    UsageError,
)
from dicomlake.jobs.access.roles import Who
from dicomlake.jobs.archives import archive_of, fetched, kept_of
from dicomlake.jobs.objects import Opened, elsewhere_of, object_of
from dicomlake.jobs.working import care_of
from dicomlake.lake.store import MARK, is_lake
from dicomlake.query.headers import wildcard
from dicomlake.settings import Settings
from dicomlake.sources.opening import ARCHIVE, SEALED, Elsewhere, opened
from dicomlake.web.access.deidentified import View
from dicomlake.web.access.needs import who_of
from dicomlake.web.access.views import Key, Views
from dicomlake.web.problems import Failed

log = logging.getLogger(__name__)

WAIT_S = 20.0
"""How long a connection to an archive is waited for."""
_UID = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_")
_ORDER = 'order by i."InstanceNumber" nulls last, i."SOPInstanceUID"'
_PLACE = (
    'i.series_id, i."SOPInstanceUID", i."SOPClassUID", i."TransferSyntaxUID", i."InstanceNumber", '
    'i."Rows", i."NumberOfFrames", i.uri, i."offset", i.size'
)

Fetching = contextlib.AbstractContextManager[Object]
Place = dict[str, Any]
"""An instance: its UIDs, where it lies, and what tells whether it is a picture."""


class Shelf:
    """One per service and project; used by many threads.

    `fetch` gets an object out of an archive, `opened` the lake at its newest version.
    """

    def __init__(
        self,
        lake: Path,
        settings: Settings,
        fetch: Callable[..., Fetching] = fetched,
        opened: Callable[[Path], Lake] = Lake,
        follow: Callable[[], object] = bool,
    ) -> None:
        self.path, self.settings, self._fetch = Path(lake).absolute(), settings, fetch
        self._opened, self._follow = opened, follow
        self.kept = kept_of(lake, settings)
        self._lake: Lake | None = None
        self._mark: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._elsewhere: Elsewhere | None = None

    def with_lakes(self, opened: Callable[[Path], Lake]) -> Shelf:
        """A shelf of the same objects that sees another part of the lake."""
        return Shelf(self.path, self.settings, self._fetch, opened)

    def of_view(self, view: View, opened: Callable[[Path], Lake]) -> Shelf:
        """A shelf of a de-identified view of the lake: its objects are made harmless."""
        made = Shelf(view.path, self.settings, self._fetch, opened, view.follow)
        made.kept = view.kept
        made._elsewhere = view.elsewhere(lambda: self.elsewhere)
        return made

    # The snapshot

    @property
    def lake(self) -> Lake | None:
        """The lake at its newest version; None when there is none yet."""
        self._follow()
        with self._lock:
            mark = self._newest()
            if not mark:
                return None
            if self._lake is None or mark != self._mark:
                # those who still read the one before keep it until they are done
                self._lake, self._mark = self._opened(self.path), mark
            return self._lake

    def _newest(self) -> tuple[str, ...]:
        """What changes whenever something is committed."""
        if not is_lake(self.path):
            return ()
        try:
            last = (_last(self.path / name / "_delta_log") for name in _WATCHED)
            return (str((self.path / MARK).stat().st_mtime_ns), *last)
        except OSError as error:
            raise LakeError("The lake cannot be read now. Try again in a moment.") from error

    def select(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a SELECT over the tables; none while there is no lake."""
        lake = self.lake
        return [] if lake is None else rows_of(lake, statement)

    # Resources

    def series(self, study: str, series: str | None = None) -> list[dict[str, Any]]:
        """The series of a study, or one of them, in order; 404 when there are none."""
        if not (plausible(study) and (series is None or plausible(series))):
            raise Failed(404, _GONE)
        one = f'and "SeriesInstanceUID" = {quoted(series)}' if series else ""
        found = self.select(
            'select series_id, "StudyInstanceUID", "SeriesInstanceUID", "Modality", source, '
            f'complete from series where "StudyInstanceUID" = {quoted(study)} {one} '
            'order by "SeriesNumber" nulls last, "SeriesInstanceUID"'
        )
        if not found:
            raise Failed(404, _GONE)
        return found

    def places(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Place]:
        """Instances of a study, a series, or one of them, in order; 404 when there are none."""
        of = {row["series_id"]: row for row in self.series(study, series)}
        if instance is not None and not plausible(instance):
            raise Failed(404, _GONE)
        one = f'and i."SOPInstanceUID" = {quoted(instance)}' if instance else ""
        rows = self.select(
            f"select {_PLACE} from all_instances i where series_id in {numbers(of)} {one} {_ORDER}"
        )
        by_series: dict[int, list[Place]] = {number: [] for number in of}
        for row in rows:
            uids = {name: of[row["series_id"]][name] for name in _UIDS}
            by_series[row["series_id"]].append({**row, **uids})
        found = [place for places in by_series.values() for place in places]
        if not found:
            raise Failed(404, _GONE)
        return found if instance is None else found[:1]

    def headers(self, series_id: int, instance: str | None = None) -> list[dict[str, Any]]:
        """The headers of a series as JSON text, in order, beside their SOPInstanceUID."""
        one = f'and i."SOPInstanceUID" = {quoted(instance)}' if instance else ""
        return self.select(
            'select i."SOPInstanceUID", i."TransferSyntaxUID", i.header from all_instances i '
            f"where series_id = {series_id} {one} {_ORDER}"
        )

    def tag(self, what: Iterable[Any]) -> str:
        """A validator of something made of these (RFC 9110 8.8.3): series never change, but end."""
        said = "\n".join(map(str, what)).encode("utf-8", "surrogatepass")
        return f'W/"{hashlib.sha256(said).hexdigest()[:32]}"'

    # What searches look up

    def private(self, group: int, element: int) -> list[str]:
        """Paths of the private attributes with a group and a last byte, of whatever creator."""
        lake = self.lake
        if lake is None:
            return []
        begin, end = f"({group:04X},", f",{element:02X})"
        found = [p for p in known_paths(lake) if p.startswith(begin) and p.endswith(end)]
        return sorted(path for path in found if dictionary.PRIVATE.fullmatch(path))

    def names(self, path: str, words: str) -> list[str]:
        """Names of persons in which every word begins some part, regardless of case and accents."""
        wanted = folded(words).split()
        rows = self.select(
            f"select distinct text from elements where path = {quoted(path)} and text is not null"
        )
        return [row["text"] for row in rows if _alike(wanted, row["text"])]

    # Objects

    @property
    def elsewhere(self) -> Elsewhere:
        """Where objects are that are no files here; what is fetched is kept if its source says."""
        with self._lock:
            if self._elsewhere is None:
                found = elsewhere_of(self.path, self.settings)
                self._elsewhere = Elsewhere(self.kept, self._fetched, found.buckets)
            return self._elsewhere

    @contextlib.contextmanager
    def _fetched(self, source: str, study: str, series: str, instance: str) -> Iterator[Object]:
        with (
            self._asking(source),
            self._fetch(self.settings, source, study, series, instance) as found,
        ):
            self._keep(source, instance, found)
            yield found

    def _keep(self, source: str, instance: str, found: Object) -> None:
        if self.settings.of(source).keep:
            with contextlib.suppress(OSError):  # a full disk does not keep it from the caller
                self.kept.put(instance, found.fetch, found.size)

    @contextlib.contextmanager
    def _asking(self, source: str) -> Iterator[None]:
        """Ask an archive no more than its limits allow; Paused or Refused when it is not to be."""
        limits, care = self.settings.of(source).limits, care_of(self.path)
        until = time.monotonic() + WAIT_S
        while (slot := care.acquire(source, limits, f"service:{os.getpid()}")) is None:
            if time.monotonic() > until:
                raise Refused("all connections to the archive are in use")
            time.sleep(0.2)
        try:
            if care.may_start(source, limits, NOW) > 0:
                raise Paused("the source is paused, or its archive was away just now")
            yield
        finally:
            care.release(slot)

    def all_bytes(self, places: list[Place]) -> Iterator[tuple[Place, Object]]:
        """The bytes of objects, each good until the next; those of a series come together."""
        away: dict[tuple[str, ...], dict[str, Place]] = {}
        for place in places:
            if self.near(place):
                with self.bytes(place) as found:
                    yield place, found
            else:
                source = str(place["uri"]).removeprefix(ARCHIVE).partition("/")[0]
                key = (source, place["StudyInstanceUID"], place["SeriesInstanceUID"])
                away.setdefault(key, {})[place["SOPInstanceUID"]] = place
        for (source, study, series), wanted in away.items():
            if len(wanted) == 1:
                (place,) = wanted.values()
                with self.bytes(place) as found:
                    yield place, found
            else:
                yield from self._together(source, study, series, wanted)

    def _together(
        self, source: str, study: str, series: str, wanted: dict[str, Place]
    ) -> Iterator[tuple[Place, Object]]:
        """Objects of one series of an archive, over one connection."""
        left = dict(wanted)
        with problems(), self._asking(source):
            archive = archive_of(source, self.settings)
            try:
                for found in archive.objects(study, series, tuple(wanted)):
                    uid = found.uri.rpartition("/")[2]
                    if uid in left:
                        self._keep(source, uid, found)
                        yield left.pop(uid), found
                if left:
                    raise Refused("the archive did not send all objects")
            finally:
                archive.close()

    @contextlib.contextmanager
    def object(self, place: Mapping[str, Any]) -> Iterator[Opened]:
        """An object with the header that its bytes have; a problem says why it cannot be had."""
        with problems(), object_of(place, self.elsewhere) as found:
            yield found

    @contextlib.contextmanager
    def bytes(self, place: Mapping[str, Any]) -> Iterator[Object]:
        """The bytes of an object; a problem says why they cannot be had."""
        with problems(), opened(place, self.elsewhere) as found:
            yield found

    def near(self, place: Mapping[str, Any]) -> bool:
        """Whether an object is at hand, and needs not to be fetched from an archive."""
        uri = str(place["uri"])
        return (
            not uri.startswith(ARCHIVE)
            or SEALED in uri
            or self.kept.holds(str(place["SOPInstanceUID"]))
        )


_WATCHED = ("series", "instances", "elements")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
_GONE = "The lake has no such study, series or instance."
_UNRESOLVED = "This object cannot be de-identified, so it is not shown"
_AWAY = (
    "The archive that has this object does not answer, or stopped in the middle. Try again later."
)
_LOST = (
    "The lake knows this object, but its file is gone or has changed. Bring the lake up to date "
    "with dicomlake index, or pull the object again."
)


def rows_of(lake: Lake, statement: str) -> list[dict[str, Any]]:
    """The rows of a SELECT of ours; LakeError when files of the lake are gone meanwhile."""
    try:
        found: list[dict[str, Any]] = lake.sql(statement).to_pylist()
    except UsageError as error:
        raise LakeError("The lake cannot be read now. Try again in a moment.") from error
    return found


def _last(folder: Path) -> str:
    """The name of the last commit of a table."""
    with os.scandir(folder) as entries:
        return max((e.name for e in entries if e.name.endswith(".json")), default="-")


@contextlib.contextmanager
def problems() -> Iterator[None]:
    """Tell what keeps an object away, without the places of files."""
    try:
        yield
    except Unresolved as error:
        log.warning("object not de-identified", extra={"check": error.check})
        raise Failed(409, f"{_UNRESOLVED} ({error.check}). {error}") from error
    except ServiceError as error:
        log.warning("object away", extra={"error": type(error).__name__})
        raise Failed(503, _AWAY) from error
    except (UsageError, DataError, OSError) as error:
        log.warning("object lost", extra={"error": type(error).__name__})
        raise Failed(409, _LOST) from error


class Shelves:
    """The shelves of a service: that of the whole lake, and one of each project with a filter."""

    def __init__(self, whole: Shelf, views: Views) -> None:
        self.whole, self._views = whole, views
        self._shelves: dict[Key, Shelf] = {}
        self._lock = threading.Lock()

    def of(self, who: Who) -> Shelf:
        """The shelf of what somebody sees."""
        key = self._views.key(who)
        if not any(key):
            return self.whole
        with self._lock:
            if key not in self._shelves:
                opened, view = partial(self._views.opened, who), self._views.view(who)
                whole = self.whole
                made = whole.of_view(view, opened) if view else whole.with_lakes(opened)
                self._shelves[key] = made
            return self._shelves[key]


def shelf_of(request: Request) -> Shelf:
    """The shelf of what the caller of a request sees."""
    found: Shelves = request.app.state.shelves
    return found.of(who_of(request))


def plausible(uid: str) -> bool:
    """Whether a text may be a UID: digits and dots, and what some made up instead.

    >>> plausible("1.2.840.10008"), plausible("../etc/passwd"), plausible("")
    (True, False, False)
    """
    return 0 < len(uid) <= 128 and set(uid) <= _UID


def quoted(text: str) -> str:
    """A text in SQL.

    >>> quoted("O'Neil")
    "'O''Neil'"
    """
    return "'" + text.replace("'", "''") + "'"


def numbers(ids: Iterable[int]) -> str:
    """A list of numbers in SQL, which is never empty.

    >>> numbers([3, 5])
    '(3, 5)'
    """
    return "(" + (", ".join(str(int(number)) for number in ids) or "-1") + ")"


def folded(text: str) -> str:
    """A text without case and accents, its parts apart.

    >>> folded("Müller^Jörg")
    'muller jorg'
    """
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return "".join(c if c.isalnum() or c in "*?" else " " for c in plain)


def _alike(wanted: list[str], name: str) -> bool:
    """Whether words begin parts of a name; those with wildcards have to be all of it."""
    parts = folded(name).split()
    if any("*" in word or "?" in word for word in wanted):
        return re.fullmatch(wildcard(" ".join(wanted)), " ".join(parts)) is not None
    return bool(wanted) and all(any(p.startswith(word) for p in parts) for word in wanted)


@lru_cache(maxsize=2)  # of a snapshot, which never changes
def known_paths(lake: Lake) -> frozenset[str]:
    """Every attribute that some object of a lake has."""
    found = lake.sql("select distinct path from all_elements")
    return frozenset(found.column("path").to_pylist())


@lru_cache(maxsize=2)
def has_homeless(lake: Lake) -> bool:
    """Whether some series of a lake do not say of which study they are."""
    found = lake.sql('select 1 from series where "StudyInstanceUID" is null', limit=1)
    return bool(found.num_rows)


def failed(error: DicomlakeError) -> Failed:
    """What a search that cannot be understood, or not be run, is answered with (PS3.18 8.3.4)."""
    if isinstance(error, LakeError | ServiceError):
        return Failed(503, "The lake cannot be read now. Try again in a moment.")
    return Failed(400, str(error))
