"""The HTTP side of a DICOMweb service: credentials, redirects, and errors in words (PS3.18 8.5).

What is said of an error names the source and a status; never a query, a header or a body.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from dicomlake.contracts import http
from dicomlake.errors import Refused, Unsupported, UsageError
from dicomlake.settings import Source, Tls
from dicomlake.sources.dicomweb.multipart import parameters

if TYPE_CHECKING:
    import httpx

LARGEST_JSON = 1024**3
"""An answer in JSON that is larger (bytes, unpacked) is not read."""
JSON = "application/dicom+json"
_MOST_REDIRECTS = 5
_PLAIN = "*?,:/@!$()"
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_BUSY = frozenset([408, 425, 429, 502, 503, 504])
_NOT_OFFERED = frozenset([405, 406, 415, 501])

Params = Sequence[tuple[str, str]]


class NotThere(Exception):
    """The service has nothing under this address (404, 410)."""


class TooBroad(Exception):
    """The service finds a query too broad (413, PS3.18 8.3.4)."""


class Connection:
    """Requests to one service; opened by the first of them."""

    def __init__(
        self, name: str, settings: Source, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name, self.settings, self._transport = name, settings, transport
        self._root = settings.url.rstrip("/")
        self._ours: httpx.Client | None = None
        self._others: httpx.Client | None = None

    def json(self, path: str, params: Params = ()) -> tuple[Any, Mapping[str, str]]:
        """What a service answers in JSON, and the headers of the answer.

        NotThere, TooBroad, Unsupported, Refused and UsageError say why there is none.
        """
        import orjson

        headers = {"Accept": JSON, "Accept-Encoding": "gzip"}
        with (
            self.stream(path, headers, params) as answer,
            http.errors(self.name, self.settings.timeout_s, "A DICOMweb source"),
        ):
            if answer.status_code == 204:
                return [], answer.headers
            held = bytearray()
            for chunk in answer.iter_bytes():
                held += chunk
                if len(held) > LARGEST_JSON:
                    raise UsageError(
                        f"{self.name} answers with more than {LARGEST_JSON >> 20:,} MiB of JSON, "
                        "too much to be read. Set metadata = false for this source."
                    )
            try:
                return orjson.loads(held) if held.strip() else [], answer.headers
            except orjson.JSONDecodeError as error:
                kind = parameters(answer.headers.get("Content-Type", ""))[0]
                if "json" not in kind and kind:
                    raise Unsupported(f"{self.name} answers with {kind[:40]}, not JSON.") from error
                raise Refused(f"{self.name} answers with damaged JSON.") from error

    @contextlib.contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], params: Params = ()
    ) -> Iterator[httpx.Response]:
        """The answer to a GET below the root of the service, not read yet; its status is good."""
        with (
            http.errors(self.name, self.settings.timeout_s, "A DICOMweb source"),
            contextlib.ExitStack() as stack,
        ):
            answer = self._answer(stack, path, headers, params)
            self._judge(answer)
            yield answer

    def close(self) -> None:
        """Let go of open connections."""
        for client in (self._ours, self._others):
            if client is not None:
                client.close()
        self._ours = self._others = None

    def _answer(
        self,
        stack: contextlib.ExitStack,
        path: str,
        headers: Mapping[str, str],
        params: Params,
    ) -> httpx.Response:
        """The answer behind redirects; another host gets neither credentials nor certificate."""
        client = self._client()
        url = self._root + path + ("?" + _query(params) if params else "")
        request = client.build_request("GET", url, headers=dict(headers))
        request.headers.update(http.authorization(self.settings))
        origin = _origin(request.url)
        for _ in range(_MOST_REDIRECTS):
            answer = client.send(request, stream=True)
            stack.callback(answer.close)
            if answer.status_code not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            where = request.url.join(answer.headers["Location"])
            if where.scheme not in ("http", "https") or (
                request.url.scheme == "https" and where.scheme == "http"
            ):
                raise UsageError(f"{self.name} redirects to an address without encryption.")
            same = _origin(where) == origin
            client = self._client() if same else self._stranger()
            request = client.build_request("GET", where, headers=dict(headers))
            if same:
                request.headers.update(http.authorization(self.settings))
            answer.close()
        raise UsageError(f"{self.name} redirects again and again. Is its url right?")

    def _client(self) -> httpx.Client:
        if self._ours is None:
            self._ours = self._new(self.settings.tls)
        return self._ours

    def _stranger(self) -> httpx.Client:
        """A client without credentials, for other hosts."""
        if self._others is None:
            tls = self.settings.tls
            self._others = self._new(tls and Tls(ca=tls.ca, check_hostname=tls.check_hostname))
        return self._others

    def _new(self, tls: Tls | None) -> httpx.Client:
        import httpx

        http.hush()
        seconds = self.settings.timeout_s
        return httpx.Client(
            verify=http.context(tls) if tls or self._root.startswith("https:") else False,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(seconds, connect=min(seconds, 15.0)),
            transport=self._transport,
            limits=httpx.Limits(max_connections=self.settings.limits.associations + 2),
        )

    def _judge(self, answer: httpx.Response) -> None:
        """Raise what a status means."""
        status = answer.status_code
        if status in (200, 204, 206):
            return
        if status in (401, 403):
            self._not_allowed(answer)
        if status in (404, 410):
            raise NotThere
        if status == 413:
            raise TooBroad
        if status in _NOT_OFFERED:
            raise Unsupported(f"{self.name} does not offer this (HTTP {status}).")
        if status in _BUSY:
            wait = http.seconds(answer.headers.get("Retry-After", ""))
            raise Refused(f"{self.name} is busy or away (HTTP {status}).", wait)
        if status >= 500:
            raise Refused(f"{self.name} failed to answer (HTTP {status}).")
        raise UsageError(f"{self.name} does not understand the request (HTTP {status}).")

    def _not_allowed(self, answer: httpx.Response) -> NoReturn:
        settings, what = self.settings, f"{self.name} answers HTTP {answer.status_code}"
        if _origin(answer.request.url)[1:] != _origin(answer.request.url.join(self._root))[1:]:
            raise UsageError(
                f"{what} after a redirect to another host, which gets no credentials. If that is "
                "the service, set its url."
            )
        if settings.token_env or settings.token_file:
            raise UsageError(f"{what}: its token is wrong, expired, or does not allow this.")
        if settings.user:
            raise UsageError(f"{what}: user or password is wrong, or the user may not do this.")
        raise UsageError(
            f"{what}: it wants credentials. Set user and password_env (or password_file), "
            "token_env (or token_file), or tls with certificate and key."
        )


def _query(params: Params) -> str:
    """The query of a URL; what may stand in it as it is does: not all services decode it.

    >>> _query([("PatientID", "A*"), ("PatientName", "B C^?")])
    'PatientID=A*&PatientName=B%20C%5E?'
    """
    return "&".join(f"{key}={quote(value, safe=_PLAIN)}" for key, value in params)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
