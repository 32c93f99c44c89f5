"""The audit log: one line per question, view, export and refusal, each bound to the one before.

A line is JSON. `before` is the hash of the line before, `hash` that of its own content with
`before` in it: whoever changes, removes or reorders lines breaks the chain. What was cut off at
the end is told by the file beside it, which holds the newest number and hash, and by any hash that
was noted elsewhere. Lines hold identifiers of patients where questions do: it is the one place.
When a patient is erased, they are crossed out: the line keeps its `hash`, and a new line says what
every line that changed is hashed to from then on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dicomlake.errors import ServiceError, UsageError
from dicomlake.jobs.access.tokens import folder_of
from dicomlake.lake.store import ACCESS

START = "0" * 64
"""What the first line has as `before`."""
_HEAD = ".head"
_STEP = 1 << 16
_OURS = ("n", "time", "before", "hash", "torn")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the log found.

    `broken`: number of the first line of the file, from 1, that does not fit; 0 when all do, with
    `why` in words. `torn`: lines that a crash cut off, and that the line after tells of;
    `redacted`: lines in which an erasure crossed out a patient, as a later line tells.
    """

    lines: int
    head: str
    broken: int = 0
    why: str = ""
    torn: int = 0
    redacted: int = 0

    @property
    def good(self) -> bool:
        """Whether the log is whole."""
        return not self.why


class Audit:
    """The log of a lake; safe for many threads and processes, and for a crash at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._known: tuple[int, int, int, str] = (0, -1, 0, START)
        """File, its size, number and hash of its last line, as this process left it."""

    @classmethod
    def of(cls, lake: str | Path, path: Path | None = None) -> Audit:
        """The log of a lake, in its folder or at a path of the settings."""
        return cls(path or Path(lake) / ACCESS / "audit.jsonl")

    def append(self, said: Mapping[str, Any]) -> int:
        """Write a line and give its number; ServiceError when it cannot be written."""
        try:
            with self._lock, self._open() as (file, size):
                rest, number, before = self._end(file, size)
                torn = b"" if _ended(rest, before) else rest
                if rest and not torn:  # all of a line but its end
                    number, before = number + 1, str(orjson.loads(rest)["hash"])
                line: dict[str, Any] = {"n": number + 1, "time": round(time.time(), 6)}
                line |= {key: value for key, value in said.items() if key not in _OURS}
                line["before"] = before
                if torn:
                    line["torn"] = _digest(torn)
                line["hash"] = _hash(line)
                written = (b"\n" if rest else b"") + _bytes(line) + b"\n"
                if os.write(file, written) != len(written):
                    raise OSError("the line was cut")
                self._note(number + 1, line["hash"])
                mark = os.fstat(file)
                self._known = (mark.st_ino, mark.st_size, number + 1, line["hash"])
                return number + 1
        except (OSError, UsageError, ValueError) as error:
            raise ServiceError(
                "The audit log cannot be written, and nothing is answered without it. Free some "
                "space, or give its folder back to the service."
            ) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[int, int]]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            file = os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            folder_of(self.path)
            file = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file, os.fstat(file).st_size
        finally:
            os.close(file)

    def _end(self, file: int, size: int) -> tuple[bytes, int, str]:
        """What a crash left of a line, and number and hash of the last whole line."""
        if self._known[:2] == (os.fstat(file).st_ino, size):
            return b"", self._known[2], self._known[3]
        tail, at = b"", size
        while at > 0:
            at, length = max(0, at - _STEP), min(_STEP, at)
            tail = os.pread(file, length, at) + tail
            *lines, rest = tail.split(b"\n")
            for line in reversed(lines[1:] if at else lines):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said = orjson.loads(line)
                    return rest, int(said["n"]), str(said["hash"])
        return tail.rpartition(b"\n")[2], 0, START

    def _note(self, number: int, head: str) -> None:
        """Keep number and hash of the last line beside the log."""
        told = f"{number:020d} {head}\n".encode()
        file = os.open(self._head, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, told, 0)
        finally:
            os.close(file)

    @property
    def _head(self) -> Path:
        return self.path.with_name(self.path.name + _HEAD)

    # Reading

    def verify(self, head: str = "") -> Checked:
        """Whether every line fits; `head`: a hash noted before that has to be among them."""
        noted, noted_hash = self._noted()
        number, before, torn, fragment, redacted = 0, START, 0, b"", 0
        crossed = self._crossed()
        found_head = not head or head == START
        for place, raw in enumerate(self._lines(), 1):
            try:
                line = _whole(raw)
            except ValueError:
                if fragment:
                    return Checked(number, before, place - 1, "the line cannot be read", torn)
                fragment = raw
                continue
            told = _digest(raw) in crossed
            why = _misfit(line, number, before, fragment, crossed, told=told)
            if why:
                return Checked(number, before, place - bool(fragment), why, torn)
            torn += bool(fragment)
            redacted += told
            number, before, fragment = line["n"], line["hash"], b""
            found_head = found_head or before == head
            if number == noted and before != noted_hash:
                why = "the line is not the one that was noted when it was written"
                return Checked(number, before, place, why, torn)
        why = ""
        if noted > number:
            why = f"lines {number + 1:,} to {noted:,} were cut off at the end"
        elif not found_head:
            why = "no line has the hash that was given: lines are gone, or were written anew"
        return Checked(number, before, 0, why, torn, redacted)

    def _crossed(self) -> set[str]:
        """Digests of lines as erasures left them, which whole lines of the log tell."""
        found: set[str] = set()
        for raw in self._lines():
            if b'"redacted":' in raw:
                with contextlib.suppress(ValueError, AttributeError, TypeError):
                    line = _whole(raw)
                    if line["hash"] == _hash({k: v for k, v in line.items() if k != "hash"}):
                        found |= set(line["redacted"].values())
        return found

    def redact(
        self, spans: Callable[[bytes], list[tuple[int, int]]], said: Mapping[str, Any]
    ) -> int:
        """Cross out what `spans` finds in lines; how many. A new line, with `said`, tells of them.

        Lines stay as long as they are. It may be killed at any time and started again.
        """
        if not self.path.exists():
            return 0
        changes = list(self._changes(spans))
        if not changes:
            return 0
        told = {str(place): _digest(line) for place, _, line in changes}
        self.append({**said, "redacted": told})
        with self._lock, self._open() as (_file, _):
            plain = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                for _, at, line in changes:
                    os.pwrite(plain, line, at)
                os.fsync(plain)
            finally:
                os.close(plain)
        return len(changes)

    def _changes(
        self, spans: Callable[[bytes], list[tuple[int, int]]]
    ) -> Iterator[tuple[int, int, bytes]]:
        """Number in the file, place and new bytes of lines in which something is found."""
        at = 0
        for place, raw in enumerate(self._lines(), 1):
            line = _crossed_out(raw, spans(raw))
            if line != raw:
                yield place, at, line
            at += len(raw) + 1

    def _noted(self) -> tuple[int, str]:
        try:
            number, _, head = self._head.read_text(encoding="ascii").strip().partition(" ")
            return int(number), head
        except (OSError, ValueError):
            return 0, ""

    def _lines(self) -> Iterator[bytes]:
        """Lines as they are; a last one that nobody ended is being written, or was cut by a crash:
        it is told by the next one that is written."""
        try:
            with self.path.open("rb") as file:
                for raw in file:
                    if raw.endswith(b"\n"):
                        yield raw[:-1]
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}.") from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line that can be read, oldest first."""
        for raw in self._lines():
            with contextlib.suppress(ValueError):
                line = orjson.loads(raw)
                if isinstance(line, dict):
                    yield line

    def newest(self, limit: int, start: int = 0, **wanted: str) -> tuple[list[dict[str, Any]], int]:
        """Lines, newest first, and how many there are that fit.

        `wanted`: texts that members have to hold, such as name="ann"; case does not matter.
        """
        asked = {key: text.casefold() for key, text in wanted.items() if text}
        found = [line for line in self.lines() if _fits(line, asked)]
        found.reverse()
        return found[start : start + limit], len(found)


def _fits(line: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    for key, text in asked.items():
        said = line if key == "any" else line.get(key, "")
        plain = said if isinstance(said, str) else orjson.dumps(said).decode()
        if text not in plain.casefold():
            return False
    return True


def _ended(rest: bytes, before: str) -> bool:
    """Whether a line without its end is whole."""
    try:
        line = _whole(rest)
    except ValueError:
        return False
    told = _hash({key: value for key, value in line.items() if key != "hash"})
    return bool(told == line["hash"] and line["before"] == before)


def _whole(raw: bytes) -> dict[str, Any]:
    """A line; ValueError when it is none."""
    line = orjson.loads(raw)
    if not isinstance(line, dict) or not {"n", "before", "hash"} <= line.keys():
        raise ValueError("no line of an audit log")
    return line


def _misfit(
    line: dict[str, Any],
    number: int,
    before: str,
    fragment: bytes,
    crossed: set[str],
    *,
    told: bool,
) -> str:
    """Why a line does not follow the one before; empty when it does.

    `crossed`: digests of lines that an erasure changed; `told`: whether this line is one of them.
    """
    if not told and _hash({k: v for k, v in line.items() if k != "hash"}) != line["hash"]:
        return "the line was changed"
    if line["before"] != before or line["n"] != number + 1:
        return "lines before it are missing, or were put elsewhere"
    if fragment and _digest(fragment) in crossed and line.get("torn"):
        return ""
    if line.get("torn", "") != (_digest(fragment) if fragment else ""):
        return "the line cannot be read" if fragment else "a line that a crash cut off is missing"
    return ""


def _crossed_out(raw: bytes, spans: list[tuple[int, int]]) -> bytes:
    """A line with other signs in some places; numbers that stand alone stay numbers."""
    for sign in (b"*", b"1"):
        made = bytearray(raw)
        for begin, end in spans:
            made[begin:end] = sign * (end - begin)
        with contextlib.suppress(ValueError):
            orjson.loads(bytes(made))
            break
    return bytes(made)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _hash(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(_bytes(line)).hexdigest()


def _bytes(line: Mapping[str, Any]) -> bytes:
    """A line in its one spelling."""
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
