"""Texts of one patient, cleaned of what is known of them, in their character set again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from dicomlake.contracts.deid import Identity, Kind, Known, Span, Words
from dicomlake.deid.identity import STANDARD
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
REPLACED = "ANONYMIZED"
_REMEMBERED = 20_000
_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){4,}(?![\d.])", re.ASCII)
_CS = re.compile(r"[A-Z0-9 _]{0,16}", re.ASCII)
_SINGLE = frozenset(["LT", "ST", "UR", "UT"])


class Sweeper:
    """Cleans values of one patient; what was met before is remembered."""

    def __init__(self, words: Words, identity: Identity) -> None:
        self._words, self._identity = words, identity
        self._held: dict[tuple[bytes, str, str], bytes] = {}

    def clean(self, raw: bytes, vr: str, label: str) -> bytes:
        """A value without what identifies; the same bytes when there is nothing in it."""
        if len(raw) < 2:
            return raw
        key = (raw, vr, label)
        found = self._held.get(key)
        if found is None:
            found = self._cleaned(raw, vr, label)
            if len(self._held) > _REMEMBERED:
                self._held.clear()
            if len(raw) <= 4096:
                self._held[key] = found
        return found

    def _cleaned(self, raw: bytes, vr: str, label: str) -> bytes:
        text, _ = repertoire(label).decode(raw, name=vr == "PN")
        parts = [text] if vr in _SINGLE else text.split("\\")
        made = [self._part(part.rstrip(" \0"), vr) for part in parts]
        if made == [part.rstrip(" \0") for part in parts]:
            return raw
        return encoded("\\".join(made), label)

    def _part(self, text: str, vr: str) -> str:
        if len(text) < 2:
            return text
        made = _UID.sub(self._uid, self._words.clean(text))
        if made == text:
            return text
        if len(made) > LONGEST.get(vr, len(made)):
            made = REPLACED if _UID.search(made) else made[: LONGEST[vr]].rstrip()
        if vr == "CS" and not _CS.fullmatch(made):
            return REPLACED
        return made.replace("\\", " ") if vr == "AE" else made

    def _uid(self, match: re.Match[str]) -> str:
        found = match[0]
        # Shorter ones are versions and numbers of chapters.
        if found.startswith(STANDARD) or len(found) < 12:
            return found
        return self._identity.uid(found)


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


def folded(text: str) -> str:
    """A text in small letters without accents, as names are compared.

    >>> folded("Müller^Änne")
    'muller^anne'
    """
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


class KnownWords:
    """Finds what is known of a patient, as it is spelled, in any case and with or without accents.

    The least that is done when nothing better is at hand; fits `dicomlake.contracts.deid.Words`.
    """

    def __init__(self, known: Sequence[Known], identity: Identity) -> None:
        self._identity = identity
        kinds: dict[str, Kind] = {}
        for one in known:
            for text in _spellings(one):
                kinds.setdefault(folded(text), one.kind)
        self._kinds = kinds
        ordered = sorted(kinds, key=len, reverse=True)
        self._any = re.compile(
            "|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in ordered) or r"(?!)"
        )

    def spans(self, text: str) -> Sequence[Span]:
        """What identifies, in order and without overlap."""
        places, letters = [], []
        for place, letter in enumerate(text):
            for one in folded(letter):
                places.append(place)
                letters.append(one)
        plain = "".join(letters)
        return [
            Span(places[m.start()], places[m.end() - 1] + 1, self._kinds[m[0]], "known")
            for m in self._any.finditer(plain)
        ]

    def clean(self, text: str) -> str:
        """The text with something harmless in the place of what identifies; dates may move."""
        made, end = [], 0
        for span in self.spans(text):
            made += [text[end : span.start], self._instead(text[span.start : span.end], span.kind)]
            end = span.end
        return "".join([*made, text[end:]]) if end else text

    def _instead(self, text: str, kind: Kind) -> str:
        if kind == "date" and self._identity.days:
            return self._identity.moved(text) or REPLACED
        return REPLACED


def _spellings(known: Known) -> Iterator[str]:
    text = known.text.strip()
    if len(text) >= 3:
        yield text
    if known.kind == "name":
        for part in re.split(r"[\^=\s,]+", text):
            if len(part) >= 3:
                yield part
