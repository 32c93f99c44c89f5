"""Seals: texts that only who has the key can read, such as where an object lies.

What is sealed is the same every time, so that a place that was seen before is known again. The key
of the stream and that of the mark come from the key of the pseudonyms. The mark (HMAC-SHA256 of the
text, 128 bits) is both the start of the stream (SHAKE-256) and what tells a changed seal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from dicomlake.errors import UsageError

_MARK = 16


class Seal:
    """Seals texts by a key.

    >>> seal = Seal(b"k" * 32)
    >>> seal.opened(seal.sealed("file:///archive/DOE^JANE/1.dcm"))
    'file:///archive/DOE^JANE/1.dcm'
    """

    def __init__(self, key: bytes) -> None:
        self._mark = hmac.digest(key, b"dicomlake\0seal\0mark", "sha256")
        self._stream = hmac.digest(key, b"dicomlake\0seal\0stream", "sha256")

    def sealed(self, text: str) -> str:
        """A text sealed: letters, digits, - and _."""
        plain = text.encode("utf-8", "surrogateescape")
        mark = hmac.digest(self._mark, plain, "sha256")[:_MARK]
        return base64.urlsafe_b64encode(mark + self._mixed(mark, plain)).decode().rstrip("=")

    def opened(self, sealed: str) -> str:
        """The text; UsageError when another key sealed it, or nobody did."""
        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except (binascii.Error, ValueError) as error:
            raise _broken() from error
        mark, plain = raw[:_MARK], self._mixed(raw[:_MARK], raw[_MARK:])
        if not hmac.compare_digest(mark, hmac.digest(self._mark, plain, "sha256")[:_MARK]):
            raise _broken()
        return plain.decode("utf-8", "surrogateescape")

    def short(self, text: str) -> str:
        """What stands for a text and cannot be opened again."""
        plain = text.encode("utf-8", "surrogateescape")
        made = hmac.digest(self._mark, b"short\0" + plain, "sha256")[:_MARK]
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def _mixed(self, mark: bytes, text: bytes) -> bytes:
        stream = hashlib.shake_256(self._stream + mark).digest(len(text))
        number = int.from_bytes(stream, "big") ^ int.from_bytes(text, "big")
        return number.to_bytes(len(text), "big")


def _broken() -> UsageError:
    return UsageError(
        "Where the object lies is sealed by another key. Are the pseudonyms of the settings those "
        "by which the lake was made?"
    )
