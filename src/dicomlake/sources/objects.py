"""Object storage that speaks S3 as a source: a bucket, or what is below a prefix of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from dicomlake.contracts import Found, Object
from dicomlake.dicom.walk import LARGEST_WINDOW
from dicomlake.errors import DataError, Refused, UsageError
from dicomlake.settings import Source
from dicomlake.sources.folder import ARCHIVES, members, uri_of

SCHEME = "s3://"
FIRST = 256 * 1024
"""Bytes of the first request: the header of nearly every object fits."""
_LARGEST_STEP = 8 * 1024**2
AHEAD = 16
"""Objects whose first bytes are fetched at a time."""
_PAGE = 1000
_LAKE = "dicomlake.json"
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or user and password_env of the source."
)


_MACHINE = re.compile("169[.]254[.]169[.]254|/latest/(api/token|meta-data)")
"""Where machines in a cloud find credentials; asked when there are none elsewhere."""
_AGAIN = "Bring the lake up to date with: dicomlake index s3://BUCKET/PREFIX --lake LAKE"


class _Gone(Exception):
    """An object cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """Everything below `s3://bucket/prefix`, or one object; zip and tar archives included.

    `user` and `password` are the access key and its secret. What is empty comes from the standard
    variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.
    """

    url: str
    name: str = "objects"
    endpoint: str = ""
    region: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.url.startswith(SCHEME) or not self.bucket:
            raise UsageError(f"{self.url!r} is no object storage; write it like s3://bucket/prefix")

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.url.removeprefix(SCHEME).partition("/")[0]

    @property
    def prefix(self) -> str:
        """What keys begin with, without a slash at the end; "" for the whole bucket."""
        return self.url.removeprefix(SCHEME).partition("/")[2].strip("/")

    def roots(self) -> list[str]:
        """URIs of what is listed completely: the prefix as a folder, and as a single object.

        >>> ObjectSource("s3://scans/2024/").roots()
        ['s3://scans/2024', 's3://scans/2024/']
        """
        whole = self.uri(self.prefix)
        return [whole, whole + "/"] if self.prefix else [whole]

    def uri(self, key: str) -> str:
        """The URI of a key.

        >>> ObjectSource("s3://scans").uri("a b.dcm")
        's3://scans/a%20b.dcm'
        """
        return f"{SCHEME}{self.bucket}/" + quote_from_bytes(key.encode())

    def key(self, uri: str) -> str:
        """The key in a URI of this bucket."""
        return unquote_to_bytes(uri.removeprefix(f"{SCHEME}{self.bucket}/")).decode()

    def find(self) -> Iterator[Found]:
        """Every object below the prefix; what lies below a lake is left out.

        The list waits in a temporary file until all lakes are known, since a lake shows itself by
        a key that comes after others of it.
        """
        lakes: list[str] = []
        with tempfile.TemporaryFile(prefix="dicomlake-") as spool:
            for page in self._pages():
                pickle.dump(page, spool)
                for key, _, _ in page:
                    above, _, last = key.rpartition("/")
                    if last == _LAKE:
                        lakes.append(above + "/" if above else "")
            spool.seek(0)
            for key, size, modified in _spooled(spool):
                if not any(key.startswith(lake) for lake in lakes):
                    archive = key.lower().endswith(ARCHIVES)
                    yield Found(self.uri(key), size, modified, archive)

    def open(self, found: Found) -> Iterator[Object]:
        """The object under a key, or the objects in an archive.

        One request brings the first 256 KiB; others follow as more is read.
        """
        yield from self._opened(found, lambda: self._begin(found))

    def ahead(self, founds: Iterable[Found]) -> Iterator[tuple[Found, Iterator[Object]]]:
        """Several things opened, in their order, while the first bytes of the next ones come."""
        pool = ThreadPoolExecutor(AHEAD, "dicomlake-ahead")
        waiting: deque[tuple[Found, Future[_Ranges | None]]] = deque()
        try:
            for found in founds:
                waiting.append((found, pool.submit(self._begin, found)))
                if len(waiting) > AHEAD:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def reader(self, uri: str, size: int | None = None) -> Callable[[int, int], bytes]:
        """How to read the object of a URI again; UsageError when it is gone or has another size."""
        key = self.key(uri)
        try:
            with _errors(self):
                meta = self._store().head(key)
            if size is not None and meta["size"] != size:
                raise _Gone("it has changed since it was indexed")
        except _Gone as error:
            raise UsageError(f"{uri} cannot be opened: {error}. {_AGAIN}") from error
        return _Ranges(self, key, meta["size"], b"", meta.get("e_tag"))

    @contextlib.contextmanager
    def downloaded(self, uri: str) -> Iterator[Path]:
        """The whole object of a URI as a temporary file whose name ends as its own.

        UsageError when it is gone.
        """
        with tempfile.TemporaryDirectory(prefix="dicomlake-") as folder:
            try:
                path = self._download(uri, Path(folder))
            except _Gone as error:
                raise UsageError(f"{uri} cannot be opened: {error}. {_AGAIN}") from error
            yield path

    def put(self, path: str, file: Path) -> None:
        """Write a file to a key below the prefix; nobody sees a part of it.

        UsageError or ServiceError when the storage does not take it.
        """
        key = f"{self.prefix}/{path}" if self.prefix else path
        try:
            with _errors(self):
                self._store().put(key, file)
        except _Gone as error:
            raise UsageError(f"{self.url} cannot be written to: {error}.") from error

    def _download(self, uri: str, folder: Path) -> Path:
        key = self.key(uri)
        ending = next((e for e in ARCHIVES if key.lower().endswith(e)), "")
        path = folder / f"object{ending}"
        with path.open("wb") as file, _errors(self):
            for chunk in self._store().get(key).stream(min_chunk_size=4 * 1024**2):
                file.write(chunk)
        return path

    def _next(
        self, waiting: deque[tuple[Found, Future[_Ranges | None]]]
    ) -> tuple[Found, Iterator[Object]]:
        found, begun = waiting.popleft()
        return found, self._opened(found, begun.result)

    def _opened(self, found: Found, begin: Callable[[], _Ranges | None]) -> Iterator[Object]:
        try:
            if found.archive:
                yield from self._members(found)
                return
            fetch = begin()
        except _Gone as error:
            yield Object(found.uri, 0, 0, _nothing, f"cannot be opened: {error}")
            return
        yield Object(found.uri, 0, found.size, fetch or _nothing)

    def _begin(self, found: Found) -> _Ranges | None:
        """The first bytes of an object; None when there are none to read now."""
        if found.archive or not found.size:
            return None
        key, end = self.key(found.uri), min(found.size, FIRST)
        with _errors(self):
            got = self._store().get(key, options={"range": (0, end)})
            meta, head = got.meta, bytes(got.bytes())
        if meta["size"] != found.size or (found.modified and _modified(meta) != found.modified):
            raise _Gone("it changed after it was listed")
        return _Ranges(self, key, found.size, head, meta.get("e_tag"))

    def _members(self, found: Found) -> Iterator[Object]:
        with tempfile.TemporaryDirectory(prefix="dicomlake-") as folder:
            here = uri_of(str(self._download(found.uri, Path(folder))))
            for thing in members(Found(here, found.size, found.modified, True)):
                uri = thing.uri.removesuffix(here) + found.uri
                yield replace(thing, uri=uri)

    def _pages(self) -> Iterator[list[tuple[str, int, int]]]:
        """Keys with size and time of change; UsageError when there is nothing below the prefix."""
        nothing = True
        with _errors(self, listing=True):
            if self.prefix:
                with contextlib.suppress(FileNotFoundError):
                    meta = self._store().head(self.prefix)
                    yield [(self.prefix, int(meta["size"]), _modified(meta))]
                    nothing = False
            prefix = self.prefix + "/" if self.prefix else None
            for page in self._store().list(prefix, chunk_size=_PAGE):
                yield [(str(m["path"]), int(m["size"]), _modified(m)) for m in page]
                nothing = False
        if nothing and self.prefix:
            raise UsageError(f"There is nothing below {self.url}. Is it spelled right?")

    def _store(self) -> Any:
        return _store(self)


def object_source(name: str, settings: Source) -> ObjectSource:
    """The source of a name by its settings; UsageError when its secret is not where it should be.

    `user` is the access key; its secret is where `password_env` or `password_file` says.
    """
    return ObjectSource(
        settings.url,
        name,
        endpoint=settings.endpoint,
        region=settings.region,
        user=settings.user,
        password=settings.password(),
        timeout_s=settings.timeout_s,
    )


@lru_cache(maxsize=64)
def _store(source: ObjectSource) -> Any:
    """The connection of a source, one in each process."""
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise UsageError("Object storage needs obstore: pip install 'dicomlake[pacs]'") from error
    given: dict[str, Any] = {
        "endpoint": source.endpoint,
        "region": source.region or ("" if _named_region() else "us-east-1"),
        "access_key_id": source.user,
        "secret_access_key": source.password,
    }
    config: Any = {name: value for name, value in given.items() if value}
    with _errors(source, listing=True):
        return S3Store(
            source.bucket,
            config=config,
            client_options={
                "allow_http": not source.endpoint.startswith("https://"),
                "timeout": timedelta(seconds=source.timeout_s),
                "connect_timeout": timedelta(seconds=5),
            },
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=90)},
        )


def _named_region() -> bool:
    return bool(os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))


class _Ranges:
    """Reads of an object: its first bytes are here, others come in steps that grow."""

    __slots__ = ("_at", "_held", "_key", "_size", "_source", "_step", "_tag", "head")

    def __init__(
        self, source: ObjectSource, key: str, size: int, head: bytes, tag: str | None
    ) -> None:
        self._source, self._key, self._size, self._tag = source, key, size, tag
        self.head, self._held, self._at, self._step = head, b"", 0, FIRST

    def __call__(self, offset: int, length: int) -> bytes:
        if length > LARGEST_WINDOW:
            raise DataError("a part of the object is too large to be held")
        end = min(offset + length, self._size)
        if end <= len(self.head):
            return self.head[offset:end] if offset < end else b""
        if offset >= end:
            return b""
        if not self._at <= offset <= end <= self._at + len(self._held):
            self._held = self._got(offset, min(self._size, max(end, offset + self._step)))
            self._at = offset
            self._step = min(2 * self._step, _LARGEST_STEP)
        return self._held[offset - self._at : end - self._at]

    def _got(self, start: int, end: int) -> bytes:
        options: dict[str, Any] = {"range": (start, end)}
        if self._tag:
            options["if_match"] = self._tag
        try:
            with _errors(self._source):
                return bytes(_store(self._source).get(self._key, options=options).bytes())
        except _Gone as error:
            raise DataError(str(error)) from error


def _nothing(offset: int, length: int) -> bytes:
    return b""


def _spooled(spool: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    while True:
        try:
            yield from pickle.load(spool)
        except EOFError:
            return


def _modified(meta: Any) -> int:
    """Time of change in microseconds since 1970."""
    return int(meta["last_modified"].timestamp() * 1_000_000)


@contextlib.contextmanager
def _errors(source: ObjectSource, *, listing: bool = False) -> Iterator[None]:
    """Errors of obstore as ours: _Gone for one object, UsageError or Refused for the storage."""
    from obstore import exceptions as theirs

    try:
        yield
    except FileNotFoundError as error:
        if listing:
            raise
        raise _Gone("it is no longer there") from error
    except (OSError, theirs.BaseError) as error:
        meant = _meant(source, error, listing)
        if not listing and isinstance(meant, UsageError):  # it did work a moment ago
            meant = Refused(str(meant))
        raise meant from error


def _meant(source: ObjectSource, error: Exception, listing: bool) -> Exception:
    """What an error of obstore means; nothing of its text but the code goes on."""
    text = str(error)
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    status = re.search(r"status code: (\d{3})", text)
    code, number = found[1] if found else "", int(status[1]) if status else 0
    what = f"{SCHEME}{source.bucket}"
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return UsageError(f"There is no bucket {source.bucket!r} there. Is it spelled right?")
    if (
        re.search("169.254.169.254|/latest/(api/token|meta-data)", text)
        or "credential" in text.lower()[:200]
    ):
        return UsageError(f"There are no credentials for {what}. {_CREDENTIALS}")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return UsageError(f"{what} does not accept the credentials ({code}). {_CREDENTIALS}")
    if "invalid path" in text[:200]:
        return UsageError(
            f"{what} holds a key with an empty part ('//') or a part '.' or '..', which cannot be "
            "read. Rename it, or index below another prefix."
        )
    if number in (401, 403) and listing:
        return UsageError(f"{what} may not be listed (HTTP {number} {code}). {_CREDENTIALS}")
    if number == 412 or code == "InvalidRange":
        return _Gone("it changed while it was read")
    if "redirect without LOCATION" in text[:400]:
        number, code = 301, "PermanentRedirect"
    if 300 <= number < 500 and number not in (408, 429):
        why = f"HTTP {number} {code}".strip()
        if listing:
            return UsageError(f"{what} cannot be listed ({why}). Are endpoint and region right?")
        return _Gone(f"it may not be read ({why})")
    if listing and not number:
        return Refused(f"{what} cannot be reached. Is its endpoint right?")
    return Refused(f"{what} is busy or away ({f'HTTP {number}' if number else 'no answer'}).")
