"""Rows of `annotations`: body parts, procedures, types of series, and codes side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dicomlake.contracts import coded
from dicomlake.enrichers.codes.headers import Sent
from dicomlake.enrichers.codes.knowledge import Knowledge
from dicomlake.terms import Code, seriestypes, structures
from dicomlake.terms import procedures as done
from dicomlake.terms.bodyparts import (
    BOTH,
    SURE,
    Found,
    Grade,
    Judgement,
    Said,
    Tables,
    asked_by,
    same_as,
)
from dicomlake.terms.mapping import SNOMED_RT, meaning_of, normal

Row = dict[str, Any]
_ANATOMY = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")


def body_parts(judgement: Judgement, where: Mapping[str, str], known: Knowledge) -> Iterator[Row]:
    """A row for each region that the series shows; where there is none, one for the side."""
    sure = [found for found in judgement.found if found.confidence >= SURE]
    for found in sure:
        best = _best(found)
        yield {
            "kind": "body part",
            "label": found.code.meaning if best.attribute.endswith("Sequence") else best.words,
            **coded("structure", found.code),
            **_side(found.laterality),
            "name": _name(found),
            "also": _also(found, known.bodyparts) or None,
            "regions": list(_regions(found.code.value, known.bodyparts)) or None,
            "confidence": found.confidence,
            "equivalence": best.grade.name,
            "evidence": [_evidence(said, where) for said in found.evidence],
        }
    sides = [said for said in judgement.said if said.code is None and said.laterality]
    if not sure and sides:
        first = max(sides, key=lambda said: said.confidence)
        assert first.laterality is not None
        yield {
            "kind": "laterality",
            "label": first.words,
            **_side(first.laterality),
            "name": first.laterality.meaning,
            "confidence": first.confidence,
            "equivalence": first.grade.name,
            "evidence": [
                _evidence(said, where) for said in sides if said.laterality == first.laterality
            ],
        }


def _best(found: Found) -> Said:
    """The statement that speaks most for a region."""
    told = [said for said in found.evidence if said.code is not None]
    exact = [said for said in told if said.code and said.code.value == found.code.value]
    return max(exact or told, key=lambda said: said.confidence)


def _name(found: Found) -> str:
    """A region with its side.

    >>> from dicomlake.terms.bodyparts import LEFT
    >>> _name(Found(Code("72696002", "SCT", "Knee"), LEFT, 1.0, ()))
    'Left knee'
    """
    meaning = found.code.meaning or f"{found.code.scheme}:{found.code.value}"
    if found.laterality is None:
        return meaning
    if found.laterality == BOTH:
        return f"{meaning}, both sides"
    lower = meaning[:1].lower() + meaning[1:] if meaning[1:2].islower() else meaning
    return f"{found.laterality.meaning} {lower}"


def _also(found: Found, tables: Tables) -> list[str]:
    """The region with its side in other codes."""
    one, side = found.code.value, found.laterality
    return sorted({*same_as(one, side, tables), *structures.also(one, side)})


@lru_cache(maxsize=16384)
def _regions(code: str, tables: Tables) -> tuple[str, ...]:
    """Regions that a question may name and mean this one, too, in all their codes."""
    found = set[str]()
    for region in asked_by(code, tables):
        found |= {f"SCT:{region}", *same_as(region, None, tables)}
    return tuple(sorted(found))


def _side(laterality: Code | None) -> Row:
    return {"laterality": coded("side", laterality)["side"]} if laterality else {}


def _evidence(said: Said, where: Mapping[str, str]) -> Row:
    code = said.code or said.laterality
    return {
        "path": where.get(said.attribute, said.attribute),
        "text": said.words,
        "code": f"{code.scheme}:{code.value}" if code else None,
        "confidence": said.confidence,
        "rule": said.rule,
    }


def procedures(
    judgement: Judgement,
    modality: str,
    contrast: str,
    where: Mapping[str, str],
    known: Knowledge,
) -> Iterator[Row]:
    """The procedure that follows from modality, region, side and contrast, where they are known."""
    procedure = done.of(modality, judgement.found, contrast, known.procedures)
    if procedure is None:
        return
    first, *others = procedure.codes or [None]
    sure = [found for found in judgement.found if found.confidence >= SURE]
    evidence = [{"path": "Modality", "text": modality}]
    evidence += [_evidence(_best(found), where) for found in sure]
    row: Row = {
        "kind": "procedure",
        "label": procedure.description,
        "name": procedure.description,
        "confidence": procedure.confidence,
        "evidence": evidence,
    }
    if first is not None:
        row |= coded("code", first.code)
        row["equivalence"] = first.grade.name
        row["also"] = [f"{o.code.scheme}:{o.code.value}" for o in others if o] or None
        evidence[0] |= {"code": row["code"], "rule": first.rule}
    yield row


def series_types(series: seriestypes.Series, known: Knowledge) -> tuple[list[Row], str]:
    """Rows of what kind of series it is, and what is known of contrast."""
    rows, contrast = [], ""
    for trait in seriestypes.of(series, known.seriestypes):
        if trait.kind == "contrast":
            contrast = trait.value
        rows.append(
            {
                "kind": "series type",
                "label": trait.value,
                **coded("code", trait.code),
                "name": f"{trait.kind}: {trait.value}",
                "confidence": trait.confidence,
                "evidence": [
                    {
                        "path": trait.attribute,
                        "text": trait.words,
                        "code": coded("code", trait.code).get("code"),
                        "confidence": trait.confidence,
                        "rule": trait.rule,
                    }
                ],
            }
        )
    return rows, contrast


def codes(sent: tuple[Sent, ...], known: Knowledge) -> Iterator[Row]:
    """Every code as it was sent, and the one that means the same in one terminology."""
    for path, code in sent:
        value, scheme, name, grade, rule = harmonised(path, code, known)
        yield {
            "kind": "code",
            "label": path.rpartition(".")[2],
            **coded("code", code),
            "code": f"{scheme}:{value}",
            "name": name,
            "equivalence": grade,
            "evidence": [
                {
                    "path": path,
                    "text": code.meaning,
                    "code": f"{code.scheme}:{code.value}",
                    "rule": rule,
                }
            ],
        }


def harmonised(path: str, code: Code, known: Knowledge) -> tuple[str, str, str, str | None, str]:
    """A code in force: value, scheme, what it is called, how well it fits, and by which row.

    No grade and no rule: nothing is known of it, it stands as it was sent.
    """
    value, scheme = normal(code.value, code.scheme)
    last = path.rpartition(".")[2]
    row = known.bodyparts.codes.get((value, scheme)) if last in _ANATOMY else None
    if row is not None and len(row.codes) == 1:
        region = known.bodyparts.code(row.codes[0])
        return region.value, "SCT", region.meaning, row.grade.name, row.rule
    name = known.bodyparts.code(value).meaning or meaning_of(value, scheme) or code.meaning
    if (value, scheme) == (code.value, code.scheme):
        if meaning_of(value, scheme):
            return value, scheme, name, Grade.equal.name, "PS3.16"
        if ours := known.bodyparts.codes.get((value, scheme)):  # a procedure of the tables
            return value, scheme, name, Grade.equal.name, ours.rule
        return value, scheme, name, None, ""
    rule = "PS3.16 Annex O" if code.scheme.strip().upper() in SNOMED_RT else "retired.csv"
    if value == code.value:
        rule = "PS3.16 Section 8"
    return value, scheme, name, Grade.equivalent.name, rule
