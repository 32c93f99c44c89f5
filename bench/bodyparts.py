"""How well the body part is told, on the half of the labelled table that nobody tuned on."""

from __future__ import annotations

import time

from tests.terms.scoring import Score, evidence_of, labelled, scored, tag_only

from dicomlake.terms import bodyparts
from dicomlake.terms.bodyparts import judging

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def measure() -> dict[str, Table]:
    head = ("test half", "precision", "recall", "side precision", "side recall")
    rows = [
        ("all attributes", *_shown(scored("test"))),
        ("the tag alone", *_shown(scored("test", tag_only))),
    ]
    languages = [
        (language, *_shown(scored("test", languages=(language,))))
        for language in ("de", "en", "fr", "es")
    ]
    evidence = [evidence_of(row) for row in labelled("test")]
    judging._judged.cache_clear()
    start = time.perf_counter()
    for one in evidence:
        bodyparts.judge(one)
    rate = len(evidence) / (time.perf_counter() - start)
    return {
        f"Body parts of {len(evidence):,} made-up series, wordings never seen while tuning": (
            head,
            rows,
        ),
        "The same by language": (head, languages),
        "Body parts, one core": (("", "series/s"), [("judged", f"{rate:,.0f}")]),
    }


def _shown(score: Score) -> tuple[str, ...]:
    numbers = (score.precision, score.recall, score.side_precision, score.side_recall)
    return tuple(f"{number:.3f}" for number in numbers)
