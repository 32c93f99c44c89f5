"""Names of files and folders of a dataset, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dicomlake.errors import ServiceError

_SAFE = re.compile(r"[^A-Za-z0-9.-]")
_PART = ".part"


def safe(name: str) -> str:
    """A name as a part of a path; where characters are exchanged, it says which name it was by a
    few digits of a hash.

    >>> safe("1.2.840"), safe("a/b")
    ('1.2.840', 'a-b-82badf67')
    """
    found = _SAFE.sub("-", name)[:80].lstrip(".")
    if found == name and found:
        return found
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{found or 'none'}-{digest}"


def person(PatientID: str, issuer: str, *, identified: bool) -> str:
    """The name of the folder of a patient: the pseudonym; a hash where data is identified."""
    if not identified:
        return safe(PatientID)
    text = f"{issuer}|{PatientID}".encode("utf-8", "surrogatepass")
    return "p" + hashlib.blake2b(text, digest_size=6).hexdigest()


def sha256(data: bytes) -> str:
    """The checksum of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; ServiceError when the disk is full."""
    with full_disks():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:120]}.{os.getpid()}{_PART}")
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def full_disks() -> Iterator[None]:
    """Errors of the disk as ours: nothing is lost, and the same goes on once there is room."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise ServiceError(
            f"The dataset cannot be written: {why or type(error).__name__}. What is written is "
            "safe; make room, then: dicomlake dataset resume"
        ) from error


def sweep_parts(folder: Path) -> None:
    """Remove what was begun and never became a file."""
    if folder.is_dir():
        for path in folder.rglob(f".*{_PART}"):
            path.unlink(missing_ok=True)
