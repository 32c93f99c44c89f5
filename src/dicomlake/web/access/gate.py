"""The gate: tells who calls, by a token, a session or nothing at all, and slows down guessing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Scope

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.access.roles import LOCAL, Role, Who
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.settings import Service, Settings
from dicomlake.web.access.oidc import Provider
from dicomlake.web.access.sessions import COOKIE, Sessions, cookies

SERVICE = Who("service", Role.admin, how="the service token")
"""Whoever sends the one token of the settings."""
FREE_TRIES = 5
"""Wrong credentials of one address that are just refused."""
LONGEST_WAIT_S = 300.0
_FORGET_S = 900.0
_MOST_ADDRESSES = 10_000
_MOST_GOOD = 1000


@dataclass(frozen=True, slots=True)
class Called:
    """Who calls, from where.

    `who`: None for somebody unknown; `tried`: with credentials that are none; `wait_s`: how long
    the address has to wait; `cookie`: by a session, whose cookie this is.
    """

    who: Who | None
    address: str
    tried: bool = False
    wait_s: float = 0.0
    cookie: str = ""


class Gate:
    """One per service; used by many threads."""

    def __init__(self, lake: Path, settings: Settings) -> None:
        self.settings = settings
        self._service = settings.service
        self._token = _token(settings.service)
        self.tokens = Tokens(lake)
        self.sessions = Sessions(settings.service.access.hours)
        oidc = settings.service.access.oidc
        self.provider = Provider(oidc) if oidc is not None else None
        self.tries = Tries()
        self._loopback = is_loopback(settings.service.host)

    def close(self) -> None:
        """Let go of connections."""
        if self.provider is not None:
            self.provider.close()

    @property
    def configured(self) -> bool:
        """Whether there is any way to say who one is."""
        return bool(self._token or self.provider or self.tokens.all())

    @property
    def open(self) -> bool:
        """Whether everybody may do everything: on this machine alone, and nothing is configured."""
        return self._loopback and not self.configured

    def called(self, scope: Scope) -> Called:
        """Who calls."""
        headers = Headers(scope=scope)
        address = self._address(scope, headers)
        if self.open:
            return Called(LOCAL, address)
        told = headers.get("authorization", "")
        if told:
            return self._by_credentials(told, address)
        cookie = cookies(headers.get("cookie", "")).get(COOKIE, "")
        session = self.sessions.get(cookie) if cookie else None
        if session is None or (session.token and not self._still(session.token)):
            return Called(None, address)
        return Called(session.who, address, cookie=cookie)

    def _still(self, token: str) -> bool:
        return token == "service" or self.tokens.holds(token)

    def _by_credentials(self, told: str, address: str) -> Called:
        wait = self.tries.wait(address)
        mark = hashlib.sha256(f"{address} {told}".encode("utf-8", "surrogatepass")).digest()
        if wait and not self.tries.was_good(mark):
            return Called(None, address, tried=True, wait_s=wait)
        who = self._known(told)
        if who is None:
            self.tries.failed(address)
            return Called(None, address, tried=True)
        self.tries.good(mark)
        return Called(who, address)

    def _known(self, told: str) -> Who | None:
        scheme, _, rest = told.partition(" ")
        sent = rest.strip()
        if scheme.lower() == "basic":
            sent = _password(sent)
        elif scheme.lower() != "bearer":
            return None
        return self.who(sent)

    def who(self, sent: str) -> Who | None:
        """Whom a token stands for: ours, the one of the settings, or one of the provider.

        A text of a header, whose bytes are read as Latin-1.
        """
        if not sent:
            return None
        raw = sent.encode("latin-1", "replace")
        if self._token and hmac.compare_digest(raw, self._token.encode()):
            return SERVICE
        who = self.tokens.who(sent)
        if who is None and self.provider is not None and sent.count(".") == 2:
            try:
                who = self.provider.bearer(sent)
            except (UsageError, ServiceError):
                return None
        return who

    def project(self, who: Who, asked: str | None) -> Who:
        """Somebody in one of their projects; UsageError when it is none of theirs."""
        if not asked or asked == who.project:
            return who
        if asked in who.projects:
            return replace(who, project=asked)
        raise UsageError("That is no project of yours.")

    def _address(self, scope: Scope, headers: Headers) -> str:
        client = scope.get("client")
        peer = client[0] if client else ""
        if peer in self._service.access.proxies:
            said = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            return said[:64] or peer
        return peer


class Tries:
    """Wrong credentials by address: after a few, each one doubles how long to wait."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float, float]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> float:
        """Seconds that an address has to wait before it may try again."""
        with self._lock:
            _, until, _ = self._failed.get(address, (0, 0.0, 0.0))
        return max(0.0, until - time.monotonic())

    def failed(self, address: str) -> None:
        """Note that credentials were wrong."""
        now = time.monotonic()
        with self._lock:
            count, _, last = self._failed.pop(address, (0, 0.0, now))
            count = 1 if now - last > _FORGET_S else count + 1
            wait = min(LONGEST_WAIT_S, 2.0 ** (count - FREE_TRIES)) if count >= FREE_TRIES else 0.0
            self._failed[address] = (count, now + wait, now)
            while len(self._failed) > _MOST_ADDRESSES:
                self._failed.popitem(last=False)

    def good(self, mark: bytes) -> None:
        """Note credentials that were right: they are never made to wait."""
        with self._lock:
            self._good[mark] = None
            self._good.move_to_end(mark)
            while len(self._good) > _MOST_GOOD:
                self._good.popitem(last=False)

    def was_good(self, mark: bytes) -> bool:
        """Whether these credentials were right before, from the same address."""
        with self._lock:
            return mark in self._good


def _password(told: str) -> str:
    """The password of HTTP basic authentication, in which any name may stand."""
    try:
        plain = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return plain.partition(b":")[2].decode("latin-1")  # as headers are decoded


def _token(service: Service) -> str:
    """The token of the settings; UsageError when one is meant to be, and is empty."""
    token = service.token()
    if not token and (service.token_env or service.token_file):
        raise UsageError("The token of the service is empty. Write one, or ask for none.")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
