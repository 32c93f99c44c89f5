"""Scores and gates out of the results of checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomlake.testing.deidbench.judging import Judged, Result
from dicomlake.testing.deidbench.reading import words

_FAMILIES = {"hipaa": 0.7, "dicom": 0.2, "best_practice": 0.1}


@dataclass(frozen=True, slots=True)
class Gate:
    """A demand on the whole: what was measured, and what is needed."""

    name: str
    measured: float
    needed: str
    passed: bool


def share(results: Iterable[Result]) -> float:
    """Weighted share of what passed, parts of a check included; 1 where there is nothing."""
    rows = list(results)
    total = sum(row.check.weight for row in rows)
    return sum(row.score * row.check.weight for row in rows) / total if total else 1.0


def by(results: Iterable[Result], what: Callable[[Result], str]) -> dict[str, list[Result]]:
    """Results in groups, in the order of their names."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[what(result)].append(result)
    return dict(sorted(groups.items(), key=lambda group: (len(group[0]), group[0])))


def family_weighted(results: Sequence[Result]) -> float:
    """Identifiers of HIPAA count 70, what DICOM asks 20, good practice 10."""
    groups = by(results, lambda r: r.check.family)
    parts = [(weight, groups[name]) for name, weight in _FAMILIES.items() if name in groups]
    return sum(w * share(rows) for w, rows in parts) / max(sum(w for w, _ in parts), 1e-9)


def series_worst(results: Sequence[Result]) -> float:
    """The worst result of each action and path within a series counts for all of them."""
    worst: dict[tuple[str, str, str], float] = {}
    for row in results:
        check = row.check
        place = (check.series_uid_old or check.file or check.patient_id_old, check.action)
        full = (*place, check.path)
        worst[full] = min(worst.get(full, 1.0), row.score)
    return sum(worst.values()) / len(worst) if worst else 1.0


def interval(results: Sequence[Result], rounds: int = 500) -> tuple[float, float]:
    """95 % of the scores that other patients of the same kind would give (bootstrap)."""
    groups = by((r for r in results if r.check.patient_id_old), lambda r: r.check.patient_id_old)
    if not groups:
        return 1.0, 1.0
    sums = np.array([[sum(r.score for r in rows), len(rows)] for rows in groups.values()])
    drawn = np.random.default_rng(1).integers(0, len(sums), (rounds, len(sums)))
    totals = sums[drawn].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5])
    return float(low), float(high)


def reports(results: Sequence[Result]) -> tuple[float, float]:
    """(recall, precision) on narratives: spans that went, and words lost that should stay."""
    spans = [r for r in results if r.check.action == "report_span"]
    gone = sum(r.passed for r in spans)
    lost = sum(
        round((1 - r.score) * len(words(r.check.action_text))) for r in results
        if r.check.action == "text_retained" and r.check.category in ("H12", "H13")
    )  # fmt: skip
    return gone / max(len(spans), 1), gone / max(gone + lost, 1)


def gates(judged: Judged, speed: float | None = None) -> list[Gate]:
    """What a tool must reach; `speed`: how many times as fast as dicognito it was."""
    rows = judged.results
    direct = sum(not r.passed for r in rows if r.check.severity == 1)
    score, kept = share(rows), share(r for r in rows if r.check.severity == 3)
    boxes = [r for r in rows if r.check.action == "pixels_hidden" and r.check.category == "H11"]
    hidden = share(boxes)
    more = sum(judged.overmask) / max(len(judged.overmask), 1)
    found = [
        Gate("direct leaks", direct, "0", direct == 0),
        Gate("score", score, ">= 0.999", score >= 0.999),
        Gate("retained", kept, ">= 0.995", kept >= 0.995),
    ]
    if "pixels" in judged.options:
        found.append(Gate("words in pixels hidden", hidden, ">= 0.98", hidden >= 0.98))
        found.append(Gate("pixels hidden without need", more, "<= 0.05", more <= 0.05))
    if "reports" in judged.options:
        recall, precision = reports(rows)
        found.append(Gate("recall on reports", recall, ">= 0.95", recall >= 0.95))
        found.append(Gate("precision on reports", precision, ">= 0.90", precision >= 0.9))
    if speed is not None:
        found.append(Gate("times as fast as dicognito", speed, ">= 3", speed >= 3))
    return found


def summary(judged: Judged, speed: float | None = None) -> dict[str, Any]:
    """Everything about a judgement as plain values: scores, gates, tables, what failed."""
    rows = judged.results
    low, high = interval(rows)
    return {
        "options": sorted(judged.options),
        "objects": judged.objects,
        "missing": len(judged.missing),
        "unmatched": len(judged.unmatched),
        "checks": len(rows),
        "passed": sum(r.passed for r in rows),
        "score": share(rows),
        "interval": [low, high],
        "family_weighted": family_weighted(rows),
        "series_worst": series_worst(rows),
        "gates": [
            {"name": g.name, "measured": g.measured, "needed": g.needed, "passed": g.passed}
            for g in gates(judged, speed)
        ],
        "categories": _table(by(rows, lambda r: r.check.category)),
        "actions": _table(by(rows, lambda r: r.check.action)),
        "families": _table(by(rows, lambda r: r.check.family)),
        "severities": _table(by(rows, lambda r: str(r.check.severity))),
        "failed": [failure(r) for r in judged.failed],
    }


def _table(groups: dict[str, list[Result]]) -> dict[str, dict[str, float]]:
    return {
        name: {"checks": len(rows), "passed": sum(r.passed for r in rows), "score": share(rows)}
        for name, rows in groups.items()
    }


def failure(result: Result) -> dict[str, Any]:
    """A check that failed, without its values, which are secrets of made-up people only."""
    check = result.check
    return {
        "check_id": check.check_id,
        "severity": check.severity,
        "category": check.category,
        "action": check.action,
        "file": check.file,
        "path": check.path,
        "score": round(result.score, 4),
        "why": result.why,
    }


__all__ = ["Gate", "gates", "summary"]
