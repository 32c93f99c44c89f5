"""Concept ids of OMOP, from the vocabulary files that a person has: CONCEPT.csv of Athena.

A code that the files do not have is concept 0; its source value stays beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.lake.database import literal

SCHEMES = {
    "SCT": "SNOMED", "LN": "LOINC", "UCUM": "UCUM", "DCM": "DICOM", "RADLEX": "RadLex",
    "RXNORM": "RxNorm", "I10": "ICD10", "I10C": "ICD10CM", "I10P": "ICD10PCS", "OPS": "OPS",
    "ICD10GM": "ICD10GM", "I10GM": "ICD10GM", "I9C": "ICD9CM", "C4": "CPT4", "ATC": "ATC",
    "Gender": "Gender", "CDM": "CDM", "Type": "Type Concept",
}  # fmt: skip
"""Vocabularies of OMOP by the schemes of the lake; others keep their name."""
_NEEDED = {"concept_id", "concept_name", "vocabulary_id", "concept_code", "standard_concept"}


def load(db: Any, path: Path | None) -> None:
    """Make the table `concepts` of the codes in `codes`: code, concept_id, source_concept_id.

    Codes that are not standard are followed by CONCEPT_RELATIONSHIP.csv, where it lies beside.
    UsageError for a file that is none of Athena.
    """
    db.execute(
        "create or replace table concepts as select code, 0::bigint as concept_id, "
        "0::bigint as source_concept_id from codes"
    )
    if path is None:
        return
    _check(db, path)
    pairs = ", ".join(f"({literal(a)}, {literal(b)})" for a, b in SCHEMES.items())
    db.execute(f"""
        create or replace table wanted as
        select code, coalesce(v.vocabulary, split_part(code, ':', 1)) as vocabulary,
            substr(code, strpos(code, ':') + 1) as value
        from codes left join (values {pairs}) as v(scheme, vocabulary)
            on v.scheme = split_part(code, ':', 1)""")
    db.execute(f"""
        create or replace table known as
        select w.code, c.concept_id::bigint as concept_id,
            coalesce(c.standard_concept, '') = 'S' as standard
        from {_csv(path)} c join wanted w on c.vocabulary_id = w.vocabulary
            and (c.concept_code = w.value or (w.vocabulary in ('CDM', 'Type Concept')
                and c.concept_name = w.value))""")
    beside = path.with_name("CONCEPT_RELATIONSHIP.csv")
    maps = "select null::bigint as a, null::bigint as b where false"
    if beside.exists():
        maps = (
            "select concept_id_1::bigint as a, min(concept_id_2::bigint) as b from "
            f"{_csv(beside)} where relationship_id = 'Maps to' "
            "and coalesce(invalid_reason, '') = '' "
            "and concept_id_1::bigint in (select concept_id from known) group by 1"
        )
    db.execute(f"""
        create or replace table concepts as
        with mapped as ({maps}),
        best as (
            select code, concept_id, case when standard then concept_id else b end as target,
                row_number() over (partition by code order by standard desc, concept_id) as n
            from known left join mapped on a = concept_id)
        select c.code, coalesce(target, 0) as concept_id, coalesce(b.concept_id, 0)
            as source_concept_id
        from codes c left join best b on b.code = c.code and n = 1""")


def concept(of: str, column: str = "concept_id") -> str:
    """SQL of the concept of a code that `joined` calls `of`; 0 for one that is not known."""
    return f"coalesce({of}.{column}, 0)"


def joined(**codes: str) -> str:
    """SQL of joins of codes with their concepts: names of the joins, and SQL of the codes."""
    return " ".join(f"left join concepts {n} on {n}.code = {code}" for n, code in codes.items())


def _csv(path: Path) -> str:
    return (
        f"read_csv({literal(path)}, delim = '\\t', header = true, quote = '', all_varchar = true)"
    )


def _check(db: Any, path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Give CONCEPT.csv of a download from Athena.")
    names = set(db.sql(f"select * from {_csv(path)} limit 0").columns)
    if lacking := sorted(_NEEDED - names):
        raise UsageError(
            f"{path} is no CONCEPT.csv of Athena: it has no column {lacking[0]}. Give the file "
            "as it was downloaded, with tabs between columns."
        )
