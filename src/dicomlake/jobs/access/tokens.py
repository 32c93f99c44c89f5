"""API tokens: who they stand for, until when. Only hashes are kept, in a file of its owner alone.

A token has 256 random bits, so one round of SHA-256 keeps it as safe as many would.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.jobs.access.roles import Role, Who
from dicomlake.lake.store import ACCESS

_FILE = "tokens.json"
_PREFIX = "dl"
_DAY = 86_400.0
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token; `project` "" is the whole lake, `ends` 0.0 is never.

    Moments are seconds since 1970. Revoked ones stay listed, so that a service that had any is
    never open again by itself.
    """

    id: str
    name: str
    role: Role
    project: str
    hash: str
    made: float
    ends: float = 0.0
    revoked: float = 0.0

    def good(self, now: float) -> bool:
        """Whether it opens the door."""
        return not self.revoked and (not self.ends or now < self.ends)

    @property
    def who(self) -> Who:
        """Whom it stands for."""
        return Who(self.name, self.role, self.project, f"token {self.id}")


class Tokens:
    """The tokens of a lake; safe for many threads and processes."""

    def __init__(self, lake: str | Path) -> None:
        self.path = Path(lake) / ACCESS / _FILE
        self._read: tuple[tuple[int, int, int], dict[str, Token]] = ((0, 0, 0), {})
        self._lock = threading.Lock()

    def all(self) -> list[Token]:
        """Every token, oldest first; UsageError when the file cannot be read."""
        return list(self._known().values())

    def add(self, name: str, role: Role, project: str = "", days: float | None = None) -> str:
        """A new token; it is never told again. UsageError when the name is none."""
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise UsageError(
                f"{name[:80]!r} is no name. Use up to {_LONGEST_NAME} printable characters."
            )
        if days is not None and not 0 < days < 40_000:
            raise UsageError("A token lasts for more than 0 and less than 40,000 days.")
        now = time.time()
        id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        ends = now + days * _DAY if days is not None else 0.0
        made = Token(id_, name, role, project, _hash(secret), now, ends)
        with self._changing() as known:
            known[id_] = made
        return f"{_PREFIX}_{id_}_{secret}"

    def revoke(self, which: str) -> list[Token]:
        """Close the door to a token by its id, or to all of a name; UsageError when none is."""
        with self._changing() as known:
            found = [
                token
                for token in known.values()
                if which in (token.id, token.name) and not token.revoked
            ]
            if not found:
                raise UsageError(
                    f"No token that is not revoked yet has the id or name {which[:80]!r}. See: "
                    "dicomlake access token list"
                )
            for token in found:
                known[token.id] = replace(token, revoked=time.time())
        return found

    def who(self, told: str) -> Who | None:
        """Whom a token stands for; None when it opens no door (any more)."""
        prefix, _, rest = told.partition("_")
        id_, _, secret = rest.partition("_")
        token = self._known().get(id_)
        kept = token.hash if token is not None else _hash("")
        same = hmac.compare_digest(_hash(secret), kept)
        if prefix != _PREFIX or token is None or not same or not token.good(time.time()):
            return None
        return token.who

    def holds(self, id_: str) -> bool:
        """Whether a token still opens the door."""
        token = self._known().get(id_)
        return token is not None and token.good(time.time())

    def _known(self) -> dict[str, Token]:
        try:
            told = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(self.path) from error
        mark = (told.st_mtime_ns, told.st_size, told.st_ino)
        with self._lock:
            if self._read[0] != mark:
                self._read = (mark, _load(self.path))
            return self._read[1]

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """What is kept, to be changed; written when the block ends well."""
        folder_of(self.path)
        with _locked(self.path.with_suffix(".lock")):
            known = dict(_load(self.path)) if self.path.exists() else {}
            yield known
            part = self.path.with_suffix(".part")
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump([asdict(token) for token in known.values()], file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)


def folder_of(path: Path) -> None:
    """Make the folder of a file that only its owner may read; UsageError when it cannot be."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be made: {error.strerror}.") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _load(path: Path) -> dict[str, Token]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found = [Token(**{**one, "role": Role(one["role"])}) for one in told]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(path) from error
    return {token.id: token for token in found}


def _unreadable(path: Path) -> UsageError:
    return UsageError(f"{path} cannot be read. Put it back from a copy, or remove it.")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
