"""Texts without what tells who somebody is: what is known, patterns, and rules of languages.

What is known of a person is found in any spelling; what has a shape or a label is found without
knowing it. What no rule sees stays: for narrative that is a risk, see docs/deid-reports.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from dicomlake.contracts.deid import Identity, Kind, Known, Span, Words
from dicomlake.contracts.texts import Recogniser
from dicomlake.deid.text.dates import Dated, dates, moved
from dicomlake.deid.text.folding import composed, folded
from dicomlake.deid.text.known import Dictionary
from dicomlake.deid.text.languages import LANGUAGES, Rules, rules_of
from dicomlake.deid.text.patterns import shaped
from dicomlake.deid.text.people import people

__all__ = ["LANGUAGES", "MARKS", "UNSURE", "TextWords", "words_of"]

MARKS: Mapping[Kind, str] = {
    "name": "[NAME]", "id": "[ID]", "date": "[DATE]", "place": "[PLACE]", "phone": "[PHONE]",
    "mail": "[MAIL]", "url": "[URL]", "age": "[AGE]", "other": "[REMOVED]",
}  # fmt: skip
"""What takes the place of what identifies, by its kind."""
UNSURE = frozenset(
    [
        "given name",
        "institution",
        "postcodes",
        "long number",
        "phone number",
        "labelled place",
        "home",
        "two capitals",
        "relation",
    ]
)
"""Rules that take something harmless now and then: a person should look at what they found."""
MOST_CACHED = 20_000
"""Short texts of one patient whose cleaned form is remembered."""
SHORT = 1024
"""Characters of a text that is remembered."""


def words_of(
    known: Sequence[Known],
    identity: Identity | None = None,
    languages: Sequence[str] = LANGUAGES,
    *,
    recognisers: Sequence[Recogniser] = (),
) -> TextWords:
    """What finds one patient, and those around it, in texts.

    Dates move when `identity` moves dates, and become [DATE] else.

    >>> words = words_of([Known("name", "Müller^Anna")])
    >>> words.clean("Frau MUELLER, Anna, gez. Dr. Weber: Morbus Crohn, 12 mm")
    'Frau [NAME], gez. Dr. [NAME]: Morbus Crohn, 12 mm'
    """
    return TextWords(known, identity, rules_of(tuple(languages)), tuple(recognisers))


class TextWords(Words):
    """Finds what identifies in texts; used by one thread."""

    def __init__(
        self,
        known: Iterable[Known],
        identity: Identity | None,
        rules: Rules,
        recognisers: tuple[Recogniser, ...] = (),
    ) -> None:
        self.rules = rules
        self._dictionary = Dictionary(known, rules)
        self._identity = identity
        self._recognisers = recognisers
        self._cleaned: dict[str, str] = {}

    def spans(self, text: str) -> list[Span]:
        """What identifies, in order and without overlap."""
        whole, places = composed(text)
        found = self._spans(whole)
        if places is None:
            return found
        return [Span(places[s.start], places[s.end], s.kind, s.found_by) for s in found]

    def clean(self, text: str) -> str:
        """The text with a mark in the place of what identifies; dates may move."""
        if len(text) > SHORT:
            return self._clean(text)
        cleaned = self._cleaned.get(text)
        if cleaned is None:
            if len(self._cleaned) >= MOST_CACHED:
                self._cleaned.clear()
            cleaned = self._cleaned[text] = self._clean(text)
        return cleaned

    def replacements(self, text: str) -> list[tuple[Span, str]]:
        """What identifies, and what takes its place, in order and without overlap."""
        whole, places = composed(text)
        spans = self._spans(whole)
        if not spans:
            return []
        told = {(one.start, one.end): one for one in dates(whole, folded(whole), self.rules)}
        found = []
        for span in spans:
            then = self._instead(whole, span, told.get((span.start, span.end)))
            start, end = (span.start, span.end) if places is None else (
                places[span.start], places[span.end])  # fmt: skip
            found.append((Span(start, end, span.kind, span.found_by), then))
        return found

    def _spans(self, text: str) -> list[Span]:
        if len(text) < 2:
            return []
        found = [*self._dictionary.spans(text, folded(text)), *_general(text, self.rules)]
        for recogniser in self._recognisers:
            found += recogniser.spans(text)
        return _joined(found, text) if found else []

    def _clean(self, text: str) -> str:
        parts, at = [], 0
        for span, then in self.replacements(text):
            parts += [text[at : span.start], then]
            at = span.end
        return "".join(parts) + text[at:] if parts else text

    def _instead(self, text: str, span: Span, dated: Dated | None) -> str:
        identity = self._identity
        if identity is not None and span.kind == "date" and dated and identity.days:
            then = moved(dated, text, identity, self.rules, self._dictionary.dates)
            if then is not None:
                return then
        if identity is not None and span.found_by == "UID":
            return identity.uid(text[span.start : span.end])
        return MARKS[span.kind]


def _general(text: str, rules: Rules) -> tuple[Span, ...]:
    """What is found without knowing anybody; remembered for short texts, by all patients."""
    return _remembered(text, rules.languages) if len(text) < SHORT else _found(text, rules)


@lru_cache(maxsize=50_000)
def _remembered(text: str, languages: tuple[str, ...]) -> tuple[Span, ...]:
    return _found(text, rules_of(languages))


def _found(text: str, rules: Rules) -> tuple[Span, ...]:
    small = folded(text)
    found = [*people(text, small, rules), *shaped(text, small, rules)]
    if any(map(str.isdigit, text)):
        found += [Span(one.start, one.end, "date", "date") for one in dates(text, small, rules)]
    return tuple(found)


def _joined(found: list[Span], text: str) -> list[Span]:
    """Spans in order; what overlaps becomes one, of the kind of the surest, then longest."""
    found.sort(key=lambda s: (s.start, -s.end))
    joined: list[Span] = []
    for span in found:
        last = joined[-1] if joined else None
        if last is None or span.start >= last.end:
            joined.append(span)
            continue
        best = max(
            last,
            span,
            key=lambda s: (s.end - s.start, s.found_by == "known", s.found_by not in UNSURE),
        )
        joined[-1] = Span(last.start, max(last.end, span.end), best.kind, best.found_by)
    return _names_together(joined, text)


def _names_together(spans: list[Span], text: str) -> list[Span]:
    """Names that follow one another are one, as are a name and its initials."""
    together: list[Span] = []
    for span in spans:
        last = together[-1] if together else None
        if last and last.kind == span.kind == "name":
            between = text[last.end : span.start]
            if len(between) <= 3 and not between.strip(" ,^_.-"):
                known = "known" if "known" in (last.found_by, span.found_by) else last.found_by
                together[-1] = Span(last.start, span.end, "name", known)
                continue
        together.append(span)
    return together
