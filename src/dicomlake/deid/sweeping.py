"""Texts of one patient, cleaned of what is known of them, in their character set again."""

from __future__ import annotations

import re

from dicomlake.contracts.deid import Identity, Span, Words
from dicomlake.deid.identity import STANDARD
from dicomlake.deid.text import MARKS, UNSURE
from dicomlake.dicom.charset import repertoire

LONGEST = {
    "AE": 16,
    "CS": 16,
    "SH": 16,
    "LO": 64,
    "PN": 194,
    "ST": 1024,
    "LT": 10240,
    "DS": 16,
    "IS": 12,
}
"""Characters that a value may have."""
VALUE, PROSE, NAMES = "value", "prose", "names"
"""What is looked for: in what somebody wrote everything that looks like a name, a date or a number;
in other values, such as names of programs, only what surely identifies; or known names alone."""
REPLACED = "ANONYMIZED"
_REMEMBERED = 20_000
_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){2,}(?![\d.])", re.ASCII)
_CS = re.compile(r"[A-Z0-9 _]{0,16}", re.ASCII)
_PROSE = frozenset(["LT", "ST", "UT"])
_SINGLE = frozenset(["LT", "ST", "UR", "UT"])


class Sweeper:
    """Cleans values of one patient; what was met before is remembered."""

    def __init__(self, words: Words, identity: Identity) -> None:
        self._words, self._identity = words, identity
        self._held: dict[tuple[bytes, str, str], bytes] = {}

    def clean(self, raw: bytes, vr: str, label: str, mode: str = VALUE) -> bytes:
        """A value without what identifies; the same bytes when there is nothing in it."""
        if len(raw) < 2:
            return raw
        mode = PROSE if mode == VALUE and vr in _PROSE else mode
        key = (raw, f"{vr} {mode}", label)
        found = self._held.get(key)
        if found is None:
            found = self._cleaned(raw, vr, label, mode)
            if len(self._held) > _REMEMBERED:
                self._held.clear()
            if len(raw) <= 4096:
                self._held[key] = found
        return found

    def _cleaned(self, raw: bytes, vr: str, label: str, mode: str) -> bytes:
        text, _ = repertoire(label).decode(raw, name=vr == "PN")
        parts = [text] if vr in _SINGLE else text.split("\\")
        made = [self._part(part.rstrip(" \0"), vr, mode) for part in parts]
        if made == [part.rstrip(" \0") for part in parts]:
            return raw
        return encoded("\\".join(made), label)

    def _part(self, text: str, vr: str, mode: str) -> str:
        if len(text) < 2:
            return text
        made = _UID.sub(self._uid, self._without(text, mode))
        if made == text:
            return text
        if len(made) > LONGEST.get(vr, len(made)):
            made = REPLACED if _UID.search(made) else made[: LONGEST[vr]].rstrip()
        if vr == "CS" and not _CS.fullmatch(made):
            return REPLACED
        return made.replace("\\", " ") if vr == "AE" else made

    def _without(self, text: str, mode: str) -> str:
        """A text without what surely identifies, as its mode says."""
        spans = self._words.spans(text)
        sure = [span for span in spans if _is_sure(span, text, mode)]
        if not sure:
            return text
        if len(sure) == len(spans):
            return self._words.clean(text)
        made, end = [], 0
        for span in sure:
            made += [text[end : span.start], self._words.clean(text[span.start : span.end])]
            if made[-1] == text[span.start : span.end]:
                made[-1] = MARKS[span.kind]
            end = span.end
        return "".join([*made, text[end:]])

    def _uid(self, match: re.Match[str]) -> str:
        found = match[0]
        # Shorter ones are versions and numbers of chapters.
        if found.startswith(STANDARD) or len(found) < (12 if found.count(".") > 3 else 20):
            return found
        return self._identity.uid(found)


def _is_sure(span: Span, text: str, mode: str) -> bool:
    if mode == NAMES:
        return span.kind == "name" and span.found_by == "known"
    if span.found_by == "title" and text[: span.start].rstrip(" .").endswith("MR"):
        return False  # the modality, not Mister
    if mode == PROSE:
        return True
    by_rule = span.kind not in ("date", "age", "url") and span.found_by not in UNSURE
    return span.found_by == "known" or by_rule


def encoded(text: str, label: str) -> bytes:
    """A text in a Specific Character Set; what that does not have becomes a question mark.

    >>> encoded("Grüße", "ISO_IR 100"), encoded("Grüße", "ISO_IR 192")
    (b'Gr\\xfc\\xdfe', b'Gr\\xc3\\xbc\\xc3\\x9fe')
    """
    if text.isascii():
        return text.encode("ascii")
    found = repertoire(label)
    if not found.escapes:
        codec = "utf_8" if found.codec == "ascii" else found.codec
        return text.encode(codec, "replace")
    from pydicom.charset import convert_encodings, encode_string

    try:
        return bytes(encode_string(text, convert_encodings(label.split("\\"))))
    except (LookupError, UnicodeError, ValueError):
        return text.encode(found.codec, "replace")
