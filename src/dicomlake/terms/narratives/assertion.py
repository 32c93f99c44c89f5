"""What a report affirms, denies and leaves open: triggers with a scope, in the manner of ConText.

A trigger takes the words after it, or before it, as far as the end of its sentence, a word that
ends scopes ("but"), or a comma behind which a statement of its own begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomlake.terms.narratives.rules import ANY, GAP, Rules, State, Trigger, rules_of
from dicomlake.terms.narratives.words import folded

_TOKEN = re.compile(r"[^\W_]+")
_STOP = re.compile(r"[.!?]+(?=\s|\Z)|\n\s*(?:[-*•]\s*)?|;")
_SHORT = 4
"""Words behind a comma that may go on with a list."""


@dataclass(frozen=True, slots=True)
class Said:
    """A part of a sentence, and whether it says that something is there."""

    text: str
    state: State


@dataclass(slots=True)
class _Word:
    """A word of a sentence: folded, its place, and what it is taken for."""

    plain: str
    begin: int
    end: int
    comma: bool = False
    """A comma stands before it."""
    state: State = "affirmed"
    trigger: Trigger | None = None
    of: int = -1
    """The place of the first word of its trigger."""
    until: int = -1
    """Where its trigger ends."""


def sentences(text: str, language: str = "") -> list[str]:
    """The sentences of a text; lines and semicolons end them, too.

    >>> sentences("Kein Erguss. V.a. Pneumonie.\\nHerz normal", "de")
    ['Kein Erguss.', 'V.a. Pneumonie.', 'Herz normal']
    """
    abbreviations = rules_of(language).abbreviations if language else frozenset()
    made, begin = [], 0
    for found in _STOP.finditer(text):
        before = re.search(r"[^\s,;(]*\Z", text[begin : found.start()])
        word = folded(before[0]) if before else ""
        dot = found[0] == "."
        if dot and (word in abbreviations or (len(word) == 1 and word.isalnum())):
            continue
        if dot and word.isdigit() and re.match(r"\s*[^\W\d_]*\d", text[found.end() :]):
            continue
        made.append(text[begin : found.end()].strip(" \t\n;•*-"))
        begin = found.end()
    made.append(text[begin:].strip(" \t\n;•*-"))
    return [one for one in made if _TOKEN.search(one)]


def said_of(sentence: str, language: str) -> list[Said]:
    """The parts of a sentence, each with its state.

    >>> [(s.text, s.state) for s in said_of("No effusion, but a small nodule.", "en")]
    [('No effusion,', 'negated'), ('but a small nodule.', 'affirmed')]
    """
    rules = rules_of(language)
    words = _words(sentence)
    _find(words, rules)
    _scopes(words, rules)
    return _parts(sentence, words)


def assertions_of(text: str, language: str) -> dict[str, str]:
    """What a text affirms, what it denies and what it leaves open, each as lines.

    A text whose language nobody knows is affirmed as a whole.

    >>> assertions_of("Kein Erguss. Rundherd links.", "de")["affirmed"]
    'Rundherd links.'
    """
    made: dict[str, list[str]] = {"affirmed": [], "negated": [], "uncertain": []}
    for sentence in sentences(text, language):
        parts = said_of(sentence, language) if language else [Said(sentence, "affirmed")]
        for part in parts:
            made[part.state].append(part.text)
    return {state: "\n".join(parts) for state, parts in made.items()}


def _words(sentence: str) -> list[_Word]:
    made: list[_Word] = []
    for found in _TOKEN.finditer(sentence):
        before = sentence[made[-1].end if made else 0 : found.start()]
        comma = bool(made) and ("," in before or ":" in before or " - " in before)
        made.append(_Word(folded(found[0]), found.start(), found.end(), comma))
    return made


def _find(words: list[_Word], rules: Rules) -> None:
    """Mark the words of triggers, the longest ones first found from the left."""
    at = 0
    while at < len(words):
        for trigger in rules.by_first.get(words[at].plain, ()):
            if end := _matched(words, at, trigger.words):
                for word in words[at:end]:
                    word.trigger, word.of, word.until = trigger, at, end
                at = end - 1
                break
        at += 1


def _matched(words: list[_Word], at: int, wanted: tuple[str, ...]) -> int:
    """Where the words of a trigger end that begin at a place, 0 where they do not."""
    for number, one in enumerate(wanted):
        if one == ANY:
            rest = wanted[number + 1 :]
            ends = (_matched(words, at + gap, rest) for gap in range(GAP + 1))
            return next((end for end in ends if end), 0)
        if at >= len(words) or words[at].plain != one or (number and words[at].comma):
            return 0
        at += 1
    return at


def _scopes(words: list[_Word], rules: Rules) -> None:
    """Give words the states of the triggers that they are in the scope of; later ones win."""
    starts = [at for at, word in enumerate(words) if word.trigger and word.of == at]
    for at in starts:
        trigger = words[at].trigger
        if trigger is not None and trigger.way == "before":
            end = words[at].until
            stop = _forward(words, end, rules)
            if stop == end:  # it is about what stands before it
                _set(words, _backward(words, at, rules), end, trigger.state)
            else:
                _set(words, at, stop, trigger.state)
    for at in starts:
        trigger = words[at].trigger
        if trigger is not None and trigger.way == "after":
            end = words[at].until
            begin = _backward(words, at, rules)
            _set(words, begin, end, trigger.state)


def _set(words: list[_Word], begin: int, end: int, state: State) -> None:
    for word in words[begin:end]:
        word.state = state


def _forward(words: list[_Word], at: int, rules: Rules) -> int:
    """Where the scope of a trigger before it ends."""
    while at < len(words):
        word = words[at]
        begun = word.trigger if word.of == at else None
        if begun is not None and begun.way in ("before", "end"):
            break
        if word.comma and not _goes_on(words, at, rules):
            break
        at += 1
    return at


def _goes_on(words: list[_Word], at: int, rules: Rules) -> bool:
    """Whether a list goes on behind a comma: few words, and none that speaks for itself."""
    end = at + 1
    while end < len(words) and not words[end].comma:
        end += 1
    own = words[at:end]
    if any(word.plain in rules.speaks for word in own):
        return False
    if any(word.trigger is not None and word.trigger.way == "after" for word in own):
        return False
    return len(own) <= _SHORT or any(word.plain in rules.joins for word in own)


def _backward(words: list[_Word], at: int, rules: Rules) -> int:
    """Where the scope of a trigger behind it begins."""
    listed = False
    begin = at
    while begin > 0:
        word, before = words[begin], words[begin - 1]
        listed = listed or before.plain in rules.joins
        if word.comma and begin < at and not listed:
            break
        if before.trigger is not None and before.trigger.way in ("end", "after"):
            break
        begin -= 1
    return begin


def _parts(sentence: str, words: list[_Word]) -> list[Said]:
    """The sentence cut where the state changes."""
    if not words:
        return []
    made: list[Said] = []
    begin, state = 0, words[0].state
    for word in words[1:]:
        if word.state != state:
            made.append(Said(sentence[begin : word.begin].strip(), state))
            begin, state = word.begin, word.state
    made.append(Said(sentence[begin:].strip(), state))
    return made
