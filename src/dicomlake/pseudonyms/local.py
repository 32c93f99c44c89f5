"""Pseudonyms by a key: who has not the key can neither make them nor find out whose they are."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection

from dicomlake.contracts.pseudonyms import Original
from dicomlake.settings import Pseudonyms as Settings


class LocalPseudonyms:
    """HMAC-SHA256 of kind, system and value; 128 bits of it in letters and digits."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._key = settings.key()

    def of(self, kind: str, originals: Collection[Original]) -> dict[Original, str]:
        """The pseudonyms of identifiers."""
        return {original: keyed(self._key, kind, *original) for original in originals}

    def close(self) -> None:
        """Nothing is open."""


def keyed(key: bytes, *said: str) -> str:
    """What a key makes of texts: 26 capital letters and digits, always the same.

    >>> keyed(b"k" * 32, "patient", "", "4711")
    'CPU2ESUBDAMXJAR3H6OCYGJB3E'
    """
    text = "\0".join(said).encode()
    return base64.b32encode(hmac.digest(key, text, "sha256")[:16]).decode().rstrip("=")
