"""Texts that stand in pieces, such as the lines of a message, cleaned as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomlake.contracts.deid import Kind, Words
from dicomlake.deid.text import MARKS, TextWords


@dataclass(frozen=True, slots=True)
class Replacement:
    """Something that was replaced: its kind, and what found it; not what it was."""

    kind: Kind
    found_by: str


def clean_pieces(
    words: Words, pieces: Sequence[str], between: str = "\n"
) -> tuple[list[str], list[Replacement]]:
    """The pieces with what identifies replaced, also where a name goes over two of them.

    >>> from dicomlake.deid.text import words_of
    >>> clean_pieces(words_of([]), ["Name:", "Doe, Jane"])[0]
    ['Name:', '[NAME]']
    """
    cleaned: list[list[str]] = [[] for _ in pieces]
    whole = between.join(pieces)
    found = replacements(words, whole)
    begins, at = [], 0
    for piece in pieces:
        begins.append(at)
        at += len(piece) + len(between)
    for number, (piece, begin) in enumerate(zip(pieces, begins, strict=True)):
        done, end = begin, begin + len(piece)
        for start, stop, then in found:
            if stop <= begin or start >= end:
                continue
            cleaned[number].append(whole[done : max(start, done)])
            cleaned[number].append(then if start >= begin else "")
            done = min(stop, end)
        cleaned[number].append(whole[done:end])
    spans = words.spans(whole)
    made = [Replacement(span.kind, span.found_by) for span in spans]
    return ["".join(parts) for parts in cleaned], made


def replacements(words: Words, text: str) -> list[tuple[int, int, str]]:
    """From where to where something is replaced, and by what."""
    if isinstance(words, TextWords):
        return [(span.start, span.end, then) for span, then in words.replacements(text)]
    return [(span.start, span.end, MARKS[span.kind]) for span in words.spans(text)]
