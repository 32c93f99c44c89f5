"""A FHIR server on loopback, for tests: R4 or R5, transactions, conditions, history, and faults.

with FhirServer() as server:
    server.fault("503", times=2)
    ...  # publish to server.address
    server.resources.every("ImagingStudy")
"""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from dicomlake.testing.fhir.resources import Did, Resource, Resources, Version, Wrong, references

__all__ = ["FhirServer", "Resources", "references"]

MEDIA = "application/fhir+json"
VERSIONS = {"R4": "4.0.1", "R5": "5.0.0"}
Kind = Literal["503", "429", "500", "drop before", "drop after", "slow", "no FHIR"]
_PAGE = 50
_MEANINGS = {200: "OK", 201: "Created", 204: "No Content"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request; `wait_s`: Retry-After, or how slow."""

    kind: Kind
    wait_s: float


class FhirServer:
    """A server that listens as long as the block runs.

    `token` or `user` and `password`: what callers must send. `asked`: how often each method and
    kind of address was asked for; `entries`: how many entries came in bundles, by method;
    `largest`: the most bytes and entries of a bundle.
    """

    def __init__(
        self,
        release: Literal["R4", "R5"] = "R4",
        *,
        client_ids: bool = True,
        token: str = "",
        user: str = "",
        password: str = "",
        port: int = 0,
    ) -> None:
        self.release, self.token = release, token
        self.basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self.resources = Resources(client_ids)
        self.asked: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.largest = (0, 0)
        self._port = port
        self._faults: deque[Fault] = deque()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for one in self._sockets:
                one.close()
        self._thread.join(30)

    @property
    def address(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}/fhir"

    def fault(self, kind: Kind, times: int = 1, wait_s: float = 0.0) -> None:
        """Let the next requests fail: these statuses, a connection that drops before or after the
        work is done, a slow answer, or one that is no FHIR."""
        self._faults.extend([Fault(kind, wait_s)] * times)

    def next_fault(self) -> Fault | None:
        """What goes wrong with this request."""
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def note(self, connection: socket.socket, *, there: bool) -> None:
        """Connections are closed with the server."""
        with self._lock:
            (self._sockets.add if there else self._sockets.discard)(connection)

    # Answers

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Resource | None, dict[str, str]]:
        """Status, resource and headers of an answer."""
        parts = urlsplit(target)
        path = parts.path.removeprefix("/fhir").strip("/")
        self.asked[f"{method} {path.partition('/')[0] or '/'}"] += 1
        try:
            self._let_in(headers)
            if path == "metadata" and method == "GET":
                return 200, self._capabilities(), {}
            self._check_media(method, headers)
            held = _parsed(body) if body else None
            if not path and method == "POST":
                return 200, self._bundle(held or {}, len(body)), {}
            return self._one(method, path, parts.query, held, headers)
        except Wrong as error:
            return error.status, outcome(error), {}

    def _let_in(self, headers: Mapping[str, str]) -> None:
        said = headers.get("Authorization", "")
        if self.token and said != f"Bearer {self.token}":
            raise Wrong(401, "login", "A token is needed.")
        if self.basic and said != f"Basic {self.basic}":
            raise Wrong(401, "login", "A user and a password are needed.")

    def _check_media(self, method: str, headers: Mapping[str, str]) -> None:
        for name, status in (("Content-Type", 415), ("Accept", 406)):
            said = headers.get(name, "")
            if "fhirVersion=" in said and VERSIONS[self.release][:3] not in said:
                raise Wrong(status, "not-supported", f"The server speaks {self.release}.")
        kind = headers.get("Content-Type", "").partition(";")[0].strip()
        if method in ("POST", "PUT") and kind not in (MEDIA, "application/json"):
            raise Wrong(415, "not-supported", f"Send {MEDIA}.")

    def _capabilities(self) -> Resource:
        kinds = ["transaction", "batch", "history-system", "search-system"]
        return {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2024-01-01",
            "kind": "instance",
            "fhirVersion": VERSIONS[self.release],
            "format": ["json"],
            "rest": [{"mode": "server", "interaction": [{"code": code} for code in kinds]}],
        }

    def _bundle(self, bundle: Resource, size: int) -> Resource:
        if bundle.get("resourceType") != "Bundle":
            raise Wrong(400, "structure", "Only bundles are sent to the base.")
        entries = bundle.get("entry", [])
        self.largest = (max(self.largest[0], size), max(self.largest[1], len(entries)))
        self.entries.update(str(one.get("request", {}).get("method")) for one in entries)
        kind = bundle.get("type")
        if kind not in ("transaction", "batch"):
            raise Wrong(400, "value", "type is transaction or batch.", "Bundle.type")
        done = (
            self.resources.transaction(bundle)
            if kind == "transaction"
            else self.resources.batch(bundle)
        )
        answers = [{"response": self._response(one)} for one in done]
        return {"resourceType": "Bundle", "type": f"{kind}-response", "entry": answers}

    def _response(self, did: Did | Wrong) -> Resource:
        if isinstance(did, Wrong):
            return {"status": str(did.status), "outcome": outcome(did)}
        said = {"status": f"{did.status} {_MEANINGS[did.status]}"}
        if did.version is not None:
            said["location"] = f"{did.type}/{did.id}/_history/{did.version.number}"
            said["etag"] = f'W/"{did.version.number}"'
            said["lastModified"] = did.version.when.isoformat(timespec="milliseconds")
        return said

    def _one(
        self,
        method: str,
        path: str,
        query: str,
        held: Resource | None,
        headers: Mapping[str, str],
    ) -> tuple[int, Resource | None, dict[str, str]]:
        type_, _, rest = path.partition("/")
        if method == "GET" and not rest:
            return 200, self._found(type_, query), {}
        if method == "GET":
            return self._read(type_, *rest.split("/"))
        url = path + (f"?{query}" if query else "")
        did = self.resources.change(
            method,
            url,
            held,
            none_exist=headers.get("If-None-Exist", ""),
            match=headers.get("If-Match", ""),
        )
        version = did.version
        if version is None:
            return did.status, None, {}
        where = f"{self.address}/{did.type}/{did.id}/_history/{version.number}"
        return did.status, version.resource, {"Location": where, **_tagged(version)}

    def _read(
        self, type_: str, id_: str, *rest: str
    ) -> tuple[int, Resource | None, dict[str, str]]:
        if not rest:
            version = self.resources.read(type_, id_)
            return 200, version.resource, _tagged(version)
        versions = self.resources.history(type_, id_)
        if rest == ("_history",):
            entries = [{"resource": v.resource} if v.resource else {} for v in versions]
            return 200, _set("history", entries, len(entries)), {}
        for version in versions:
            if rest == ("_history", str(version.number)) and version.resource:
                return 200, version.resource, _tagged(version)
        raise Wrong(404, "not-found", "There is no such version.")

    def _found(self, type_: str, query: str) -> Resource:
        found = self.resources.search(type_, query)
        said = parse_qs(query)
        if said.get("_summary") == ["count"]:
            return _set("searchset", None, len(found))
        count, offset = int(said.get("_count", [_PAGE])[0]), int(said.get("_offset", ["0"])[0])
        page = found[offset : offset + count]
        entries = [
            {"fullUrl": f"{self.address}/{type_}/{one['id']}", "resource": one} for one in page
        ]
        made = _set("searchset", entries, len(found))
        if offset + count < len(found):
            rest = "&".join(
                f"{n}={quote(v)}" for n, vs in said.items() for v in vs if n != "_offset"
            )
            url = f"{self.address}/{type_}?{rest}&_offset={offset + count}"
            made["link"] = [{"relation": "next", "url": url}]
        return made


def outcome(error: Wrong) -> Resource:
    """What went wrong, as servers say it: with words that may tell of patients."""
    issue = {"severity": "error", "code": error.code, "diagnostics": error.words}
    if error.at:
        issue["expression"] = [error.at]  # type: ignore[assignment]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _set(kind: str, entries: list[Resource] | None, total: int) -> Resource:
    made: Resource = {"resourceType": "Bundle", "type": kind, "total": total}
    return made if not entries else {**made, "entry": entries}


def _tagged(version: Version) -> dict[str, str]:
    return {"ETag": f'W/"{version.number}"'}


def _parsed(body: bytes) -> Resource:
    try:
        found = json.loads(body)
    except ValueError:
        raise Wrong(400, "structure", "The body is no JSON.") from None
    if not isinstance(found, dict):
        raise Wrong(400, "structure", "The body is no resource.")
    return found


class _Server(ThreadingHTTPServer):
    """Takes many connections at a time, and says nothing of those that drop."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def _handler(server: FhirServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers for a server."""

        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def setup(self) -> None:
            """Begin with a connection."""
            super().setup()
            server.note(self.connection, there=True)

        def finish(self) -> None:
            """End with a connection."""
            server.note(self.connection, there=False)
            super().finish()

        def do_GET(self) -> None:
            """Answer."""
            self._answer()

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = server.next_fault()
            kind = fault.kind if fault else ""
            if fault and kind in ("503", "429", "500"):
                headers = {"Retry-After": str(int(fault.wait_s))} if fault.wait_s else {}
                self._send(int(kind), {"resourceType": "OperationOutcome"}, headers)
                return
            if kind == "drop before":
                self._drop()
                return
            if kind == "no FHIR":
                self._send(200, {"hello": "world"}, {})
                return
            if fault and kind == "slow":
                time.sleep(fault.wait_s)
            headers = {name.title(): str(value) for name, value in self.headers.items()}
            answer = server.answer(self.command, self.path, headers, body)
            if kind == "drop after":
                self._drop()
                return
            self._send(*answer)

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, status: int, resource: Resource | None, headers: dict[str, str]) -> None:
            body = b"" if resource is None else json.dumps(resource).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{MEDIA}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
