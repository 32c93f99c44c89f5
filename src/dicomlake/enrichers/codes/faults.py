"""Rows of `findings`: where a header contradicts itself, and terms and codes that are no good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from dicomlake.enrichers.codes.headers import Sent
from dicomlake.enrichers.codes.knowledge import Knowledge
from dicomlake.enrichers.codes.statements import harmonised
from dicomlake.terms.bodyparts import (
    SURE,
    Evidence,
    Finding,
    Judgement,
    Said,
    Tables,
    listed,
    squeezed,
)
from dicomlake.terms.mapping import SNOMED_RT, misnamed, normal

Row = dict[str, Any]
_ONE_SIDED = frozenset(["CR", "DX", "IO", "MG", "OP", "OPT", "XC"])
"""Modalities whose pictures of paired parts show a side that Image Laterality is to tell."""
_MAPPED = frozenset(
    ["AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ProcedureCodeSequence",
     "RequestedProcedureCodeSequence"]
)  # fmt: skip


def of_regions(
    judgement: Judgement, evidence: Evidence, where: Mapping[str, str], known: Knowledge
) -> Iterator[Row]:
    """What is wrong with body part and side of a series."""
    for finding in judgement.findings:
        yield _disagreement(finding, where)
    yield from _term(judgement, evidence, known.bodyparts)
    sure = [found for found in judgement.found if found.confidence >= SURE]
    paired = [
        found.code.meaning
        for found in sure
        if found.laterality is None
        and found.code.value in known.bodyparts.regions
        and known.bodyparts.regions[found.code.value].paired
    ]
    if paired and evidence.Modality in _ONE_SIDED:
        yield {
            "rule": "side missing",
            "severity": "note",
            "path": "ImageLaterality",
            "text": f"{paired[0]} has two sides, and nothing says which one is shown.",
            "expected": "L, R or B",
        }


def _disagreement(finding: Finding, where: Mapping[str, str]) -> Row:
    """Two statements that cannot both be true; it is about the one that is trusted less."""
    other, one = finding.other, finding.one
    rule, severity = "body part disagrees", "warning"
    if finding.kind == "laterality":
        rule = "side disagrees"
    elif "Modality" in (one.attribute, other.attribute):
        rule, severity = "body part impossible for modality", "error"
        if other.attribute == "Modality":
            one, other = other, one
    expected = _meant(one)
    return {
        "rule": rule,
        "severity": severity,
        "path": where.get(other.attribute, other.attribute),
        "text": finding.what,
        "value": other.words,
        "expected": expected,
    }


def _meant(said: Said) -> str:
    code = said.laterality or said.code
    assert code is not None
    return f"{code.meaning} ({code.scheme}:{code.value})"


def _term(judgement: Judgement, evidence: Evidence, tables: Tables) -> Iterator[Row]:
    """Whether Body Part Examined is a term of the Standard, and whether anything is known of it."""
    term = evidence.BodyPartExamined.strip()
    if not term or term in listed():
        return
    about: Row = {"path": "BodyPartExamined", "value": term}
    meant = [said for said in judgement.said if said.attribute == "BodyPartExamined" and said.code]
    if not meant:
        yield {
            "rule": "body part not understood",
            "severity": "warning",
            "text": "Nothing is known of the term in BodyPartExamined. Add it to a table of yours.",
            "expected": "a term of PS3.16 Table L-1",
            **about,
        }
        return
    terms = [_terms(tables).get(said.code.value) for said in meant if said.code]
    yield {
        "rule": "body part not of the Standard",
        "severity": "note",
        "text": "The term in BodyPartExamined is none of the Standard (PS3.16 Table L-1).",
        "expected": " or ".join(dict.fromkeys(term for term in terms if term)) or None,
        **about,
    }


@lru_cache(maxsize=4)
def _terms(tables: Tables) -> dict[str, str]:
    """Terms of the Standard by region, of several the one that means it best."""
    rows = [(term, tables.tags.get(squeezed(term))) for term in sorted(listed())]
    known = [(row.grade, len(term), term, row.codes[0]) for term, row in rows if row and row.codes]
    return {code: term for _, _, term, code in sorted(known, reverse=True)}


def of_codes(sent: tuple[Sent, ...], known: Knowledge) -> Iterator[Row]:
    """What is wrong with the codes of a series."""
    for path, code in sent:
        about = {"path": path, "value": f"{code.scheme}:{code.value}"}
        value, scheme, _, grade, _ = harmonised(path, code, known)
        last = path.rpartition(".")[2]
        new = normal(code.value, code.scheme)
        if new[0] != code.value or (new[1] == "SCT" and _is_rt(code.scheme)):
            yield {
                "rule": "code retired",
                "severity": "note",
                "text": "The code has been retired; another one stands in its place (PS3.16).",
                "expected": f"{scheme}:{value}",
                **about,
            }
        elif new[1] != code.scheme:
            yield {
                "rule": "coding scheme misnamed",
                "severity": "note",
                "text": "The Standard calls the coding scheme otherwise (PS3.16 Section 8).",
                "expected": f"{scheme}:{value}",
                **about,
            }
        elif (
            _is_private(code.scheme)
            and grade is None
            and last in _MAPPED
            and new not in known.bodyparts.codes
        ):
            yield {
                "rule": "private code without mapping",
                "severity": "note",
                "text": "Nothing is known of this private code. Add it to a table of yours.",
                **about,
            }
        if misnamed(code.value, code.scheme, code.meaning):
            yield {
                "rule": "code meaning disagrees",
                "severity": "warning",
                "text": "The code comes with the meaning of another one (PS3.16 Annex D).",
                **about,
            }


def _is_rt(scheme: str) -> bool:
    return scheme.strip().upper() in SNOMED_RT


def _is_private(scheme: str) -> bool:
    """Whether a scheme is of one's own (PS3.16 Section 8: 99 and letters, or L)."""
    return scheme.startswith("99") or scheme in ("", "L")
