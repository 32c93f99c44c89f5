"""How services outside are reached by HTTP: credentials, encryption, errors in words.

What is said of an error names the service and a status; never a query, a header or a body.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Protocol

from dicomlake.errors import Refused, UsageError
from dicomlake.settings import Tls

_LONGEST_WAIT_S = 24 * 3600.0


class Credentials(Protocol):
    """Settings of a service that say who calls."""

    @property
    def user(self) -> str:
        """Who calls, with a password."""

    @property
    def token_env(self) -> str:
        """The variable that holds a bearer token."""

    @property
    def token_file(self) -> object:
        """The file that holds a bearer token."""

    def password(self) -> str:
        """The password, from where it is."""

    def token(self) -> str:
        """The bearer token, from where it is."""


def authorization(settings: Credentials) -> dict[str, str]:
    """The header with the credentials, read anew so that tokens may change."""
    if settings.token_env or settings.token_file:
        return {"Authorization": f"Bearer {clean(settings.token(), 'token')}"}
    if settings.user:
        both = f"{settings.user}:{settings.password()}".encode()
        return {"Authorization": "Basic " + base64.b64encode(both).decode()}
    return {}


def clean(secret: str, what: str) -> str:
    """A secret as it can be sent in a header."""
    if not secret.isascii() or not secret.isprintable():
        raise UsageError(f"The {what} has characters that cannot be sent.")
    return secret.strip()


def context(tls: Tls | None) -> ssl.SSLContext:
    """How connections are encrypted (PS3.15 B.1, BCP 195)."""
    tls = tls or Tls()
    try:
        made = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        made.check_hostname = tls.check_hostname
        if tls.certificate:
            key = str(tls.key) if tls.key else None
            made.load_cert_chain(str(tls.certificate), key, password=lambda: "none")
    except ssl.SSLError as error:
        raise UsageError(
            "The certificate, its key or the authority under tls cannot be used: files in PEM are "
            "needed, keys without a password."
        ) from error
    except OSError as error:
        raise UsageError(f"A file under tls cannot be read: {error.strerror}.") from error
    return made


@contextlib.contextmanager
def errors(name: str, timeout_s: float, what: str) -> Iterator[None]:
    """Errors of httpx as ours, and that it is missing; `name`: of the service, `what` it is."""
    try:
        import httpx
    except ImportError as error:
        raise UsageError(f"{what} needs httpx: pip install 'dicomlake[pacs]'") from error
    try:
        yield
    except httpx.TimeoutException as error:
        raise Refused(f"{name} did not answer within {timeout_s:g} s.") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UsageError(f"The url of {name} cannot be right.") from error
    except httpx.DecodingError as error:
        raise Refused(f"{name} answers with damaged compression.") from error
    except httpx.HTTPError as error:
        if why := encryption(error):
            raise UsageError(f"No encrypted connection to {name}: {why}") from error
        kind = "cannot be reached" if isinstance(error, httpx.ConnectError) else "stopped"
        raise Refused(f"{name} {kind} ({type(error).__name__}).") from error


def encryption(error: BaseException) -> str:
    """Why an encrypted connection cannot be had, "" when that is not what is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}). Set ca under tls."
        if isinstance(cause, ssl.SSLError) and "ALERT" in str(cause.reason or ""):
            return "it does not accept ours. Set certificate and key under tls."
        cause = cause.__cause__ or cause.__context__
    return ""


def seconds(text: str) -> float:
    """How long Retry-After asks to wait, as seconds or as a date (RFC 9110 10.2.3)."""
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(wait, 0.0), _LONGEST_WAIT_S) if wait == wait else 0.0


def _without_query(record: logging.LogRecord) -> bool:
    """Take the query out of what httpx logs: it may name patients."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            str(a).partition("?")[0] if type(a).__name__ == "URL" else a for a in record.args
        )
    return True


def hush() -> None:
    """Let httpx log no query: it may name patients."""
    log = logging.getLogger("httpx")
    if _without_query not in log.filters:
        log.addFilter(_without_query)
