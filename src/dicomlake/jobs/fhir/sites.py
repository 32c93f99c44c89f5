"""The site of a lake: its settings, and the secret that its ids are made with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.fhir import CANONICAL, Profile, Release, Site
from dicomlake.lake.store import PUBLISH
from dicomlake.settings import Settings

SECRET = "secret"
"""The file of the secret, in the folder of what is published; its owner alone may read it."""
_BYTES = 32


def site_of(lake: str | Path, settings: Settings, profile: str = "none") -> Site:
    """The site of a lake. Where the settings name no secret, the lake keeps one of its own."""
    told = settings.fhir.site
    return Site(
        secret=told.secret() or secret_of(lake),
        zone=told.zone,
        base=told.base_url,
        systems=told.patients,
        accessions=told.accessions,
        canonical=told.canonical or CANONICAL,
        profile=profile_of(profile),
        names=told.names,
        people=told.people,
        instances=told.instances,
    )


def profile_of(name: str) -> Profile:
    """The profiles of a name; UsageError names those that there are."""
    if name in ("mii", "impetus", "none"):
        return name  # type: ignore[return-value]
    raise UsageError(f"There are no profiles {name!r}. There are: mii, impetus, none.")


def release_of(name: str) -> Release:
    """The release of a name; UsageError names those that there are."""
    if name in ("R4", "R5"):
        return name  # type: ignore[return-value]
    raise UsageError(f"There is no release {name!r} here. There are: R4, R5.")


def fitting(profile: str, release: str) -> str:
    """Profiles as they are, or "none" where they are of the other release.

    >>> fitting("mii", "R4"), fitting("mii", "R5"), fitting("impetus", "R5")
    ('mii', 'none', 'impetus')
    """
    return profile if {"mii": "R4", "impetus": "R5"}.get(profile) == release else "none"


def secret_of(lake: str | Path) -> bytes:
    """The secret of a lake, made when there is none; UsageError when it cannot be kept."""
    path = Path(lake) / PUBLISH / SECRET
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _keep(path, secrets.token_bytes(_BYTES))
        found = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. Name a secret in dicomlake.toml: "
            "[fhir.site] secret_file."
        ) from error
    if len(found) != _BYTES:
        raise UsageError(f"{path} is damaged. Put it back from a backup, so that ids stay.")
    return found


def _keep(path: Path, secret: bytes) -> None:
    """Write a secret whole or not at all; who comes second keeps that of the first."""
    part = path.with_name(f".{SECRET}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return
    finally:
        part.unlink()
