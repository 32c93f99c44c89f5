"""Who is signed in by a browser: kept by the service, known by a random cookie, until it ends."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dicomlake.jobs.access.roles import Who

COOKIE = "dicomlake"
_MOST = 10_000
"""Sessions; the oldest gives way."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in; `token`: the id of the token that was shown, which may end."""

    who: Who
    ends: float
    token: str = ""


class Sessions:
    """Open sessions of a service; they end with it. Used by many threads."""

    def __init__(self, hours: float) -> None:
        self.seconds = hours * 3600
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, who: Who, token: str = "") -> str:
        """A new session; the text of its cookie."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_key(text)] = Session(who, time.time() + self.seconds, token)
            while len(self._open) > _MOST:
                self._open.popitem(last=False)
        return text

    def get(self, text: str) -> Session | None:
        """The session of a cookie; None when it is over."""
        with self._lock:
            found = self._open.get(_key(text))
            if found is not None and found.ends <= time.time():
                del self._open[_key(text)]
                return None
            return found

    def choose(self, text: str, project: str) -> None:
        """Let a session see another one of its projects."""
        with self._lock:
            found = self._open.get(_key(text))
            if found is not None:
                who = replace(found.who, project=project)
                self._open[_key(text)] = replace(found, who=who)

    def end(self, text: str) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_key(text), None)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def cookies(header: str) -> Mapping[str, str]:
    """Names and values of a Cookie header; the first of a name counts.

    >>> cookies("a=1; dicomlake=x; a=2")
    {'a': '1', 'dicomlake': 'x'}
    """
    found: dict[str, str] = {}
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value.strip('"'))
    return found


def cookie(name: str, value: str, *, secure: bool, seconds: float) -> str:
    """A Set-Cookie header that scripts cannot read and other sites do not send along."""
    safe = "; Secure" if secure else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={int(seconds)}{safe}"
