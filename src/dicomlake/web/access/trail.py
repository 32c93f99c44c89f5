"""What the audit log says of requests: who, from where, what, with which outcome."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from dicomlake.jobs.access.audit import Audit
from dicomlake.jobs.access.roles import May
from dicomlake.web.access.gate import Called
from dicomlake.web.access.needs import NEEDED, TOLD, WHO

_SILENT = frozenset((May.OPEN, May.ENTER, May.WATCH))
"""What is not written down when it is allowed: it shows nothing of patients, and is asked often."""
_REFUSED = (401, 403, 429)
MOST_BODY = 20_000
"""Bytes of a question that are kept; of a longer one the beginning is."""
QUIET_S = 10.0
"""Refusals of unknown callers are written once in this time per address, with their number."""
_MOST_ADDRESSES = 10_000


class Trail:
    """Writes about requests into the audit log of a service."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._quiet: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    async def write(
        self, scope: Scope, called: Called, status: int, body: bytes, began: float
    ) -> int:
        """Write a line if the request is worth one, before its answer goes out; its number."""
        said = self._line(scope, called, status, body, began)
        return 0 if said is None else await run_in_threadpool(self.audit.append, said)

    async def end(self, scope: Scope, called: Called, number: int, size: int) -> None:
        """Write how an answer ended whose rows were counted while they were sent."""
        told = scope.get(TOLD, {})
        if number and "rows" in told.get("after", {}):
            said = {**_who(scope, called), "what": "end of an answer", "of": number, "bytes": size}
            await run_in_threadpool(self.audit.append, {**said, **told["after"]})

    def _line(
        self, scope: Scope, called: Called, status: int, body: bytes, began: float
    ) -> dict[str, Any] | None:
        told = dict(scope.get(TOLD, {}))
        told.pop("after", None)
        needed = scope.get(NEEDED, [])
        refused = status in _REFUSED
        if not (refused or told.get("what") or any(what not in _SILENT for what in needed)):
            return None
        more = 0
        if refused and called.who is None:
            if not (called.tried or told.get("what")):
                return None  # a page that asks before somebody signed in
            more = self._often(called.address)
            if more < 0:
                return None
        said = {**_who(scope, called), "what": f"{scope['method']} {_path(scope)}"}
        params = scope.get("path_params") or {}
        if params and "route" in scope:
            said["params"] = {key: str(value) for key, value in params.items()}
        said["query"] = scope.get("query_string", b"").decode("latin-1")
        if body and not told.get("what"):
            said["body"] = _question(body)
        said |= {"status": status, "ms": round((time.monotonic() - began) * 1000, 1)}
        if more:
            said["refused_before"] = more
        return {key: value for key, value in {**said, **told}.items() if value not in ("", None)}

    def _often(self, address: str) -> int:
        """Refusals since the last line about an address; -1 when it is not the time for one yet."""
        now = time.monotonic()
        with self._lock:
            last, more = self._quiet.pop(address, (-QUIET_S, 0))
            due = now - last >= QUIET_S
            self._quiet[address] = (now, 0) if due else (last, more + 1)
            while len(self._quiet) > _MOST_ADDRESSES:
                self._quiet.popitem(last=False)
        return more if due else -1


def _who(scope: Scope, called: Called) -> dict[str, Any]:
    who = scope.get(WHO)
    if who is None:
        return {"name": "", "from": called.address}
    return {
        "name": who.name, "role": who.role, "project": who.project, "how": who.how,
        "from": called.address,
    }  # fmt: skip


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path[:2000]


def _question(body: bytes) -> Any:
    """A body as it was asked, or its beginning."""
    if len(body) <= MOST_BODY:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return body[:2000].decode("utf-8", "replace")
