"""What was done: a procedure in words from modality, region, side and contrast, coded where safe.

A code stands in `procedures.csv` with its source; where there is none, the words have to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.terms import Code, sheets
from dicomlake.terms.bodyparts import BOTH, LEFT, RIGHT, SURE, Found, Grade

COLUMNS = (
    "modality", "region", "region_meaning", "laterality", "contrast", "code", "scheme", "meaning",
    "source",
)  # fmt: skip
NEEDED = ("modality", "region", "code", "scheme")
CONTRASTS = ("", "none", "given", "before and after")
_SIDES = {"L": LEFT, "R": RIGHT, "B": BOTH}
_NAMES = {
    "CT": "CT", "MR": "MRI", "US": "Ultrasound", "CR": "X-ray", "DX": "X-ray", "RG": "X-ray",
    "MG": "Mammography", "XA": "Angiography", "RF": "Fluoroscopy", "NM": "Nuclear medicine",
    "PT": "PET", "PX": "Panoramic X-ray", "IO": "Intra-oral X-ray", "BMD": "Densitometry",
    "OP": "Photography", "OPT": "Optical tomography", "ECG": "Electrocardiography",
    "ES": "Endoscopy",
}  # fmt: skip
_WITH = {"none": " without contrast", "given": " with contrast",
         "before and after": " without and with contrast"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of procedures."""

    modalities: frozenset[str]
    region: str
    laterality: Code | None
    contrast: str
    code: Code
    rule: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A code of a procedure, how well it fits (ISO/TR 12300), and the row that it comes from."""

    code: Code
    grade: Grade
    rule: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure: words that people read, codes where safe ones are known, and how sure it is."""

    description: str
    codes: tuple[Coded, ...]
    confidence: float


def load(*sites: str | Path) -> tuple[Row, ...]:
    """Our procedures, those of a site before them.

    >>> len(load()) > 50
    True
    """
    return _loaded(tuple(str(site) for site in sites))


@cache
def _loaded(sites: tuple[str, ...]) -> tuple[Row, ...]:
    texts = [(Path(site).name, sheets.of_site(site, "procedures")) for site in reversed(sites)]
    texts.append(("procedures.csv", sheets.ours(__package__, "procedures.csv")))
    rows = list[Row]()
    for name, text in texts:
        source = sheets.stamp(name, text)
        for place, raw in sheets.rows(name, text, COLUMNS, NEEDED):
            line = place.rpartition(", ")[2]
            rows.append(_row(raw, f"{source}, {line}", place))
    return tuple(rows)


def _row(value: dict[str, str], rule: str, place: str) -> Row:
    for column in NEEDED:
        if not value[column]:
            raise UsageError(f"{place}, column {column}: a procedure needs a value there.")
    for column, allowed in (("contrast", CONTRASTS), ("laterality", ("", *_SIDES))):
        if value[column] not in allowed:
            raise UsageError(
                f"{place}, column {column}: unknown {column} {value[column]!r}. Allowed are "
                f"{', '.join(filter(None, allowed))}, or nothing."
            )
    return Row(
        frozenset(value["modality"].split()), value["region"], _SIDES.get(value["laterality"]),
        value["contrast"], Code(value["code"], value["scheme"], value["meaning"]), rule,
    )  # fmt: skip


def of(
    modality: str, found: Sequence[Found], contrast: str = "", rows: Sequence[Row] | None = None
) -> Procedure | None:
    """The procedure of a series or study; None where modality or region are unknown.

    >>> from dicomlake.terms import bodyparts
    >>> head = bodyparts.of(bodyparts.Evidence("CT", StudyDescription="CCT nativ"))
    >>> procedure = of("CT", head, "none")
    >>> procedure.description, [coded.code.value for coded in procedure.codes]
    ('CT of head without contrast', ['303653007', '30799-1'])
    """
    sure = [one for one in found if one.confidence >= SURE]
    name = _NAMES.get(modality)
    if not sure or name is None:
        return None
    described = " and ".join(_region(one) for one in sure)
    description = f"{name} of {described}{_WITH.get(contrast, '')}"
    codes = _codes(modality, sure[0], contrast, rows or load()) if len(sure) == 1 else ()
    return Procedure(description, codes, min(one.confidence for one in sure))


def _region(found: Found) -> str:
    meaning = found.code.meaning
    words = meaning[:1].lower() + meaning[1:] if meaning[1:2].islower() else meaning
    words = words.replace(", Abdomen", ", abdomen").replace(" Abdomen", " abdomen")
    words = (
        words.replace(" Pelvis", " pelvis").replace(" Chest", " chest").replace(" Neck", " neck")
    )
    words = words.replace(" Artery", " artery")
    if found.laterality == BOTH:
        return f"{words} on both sides"
    return f"{found.laterality.meaning.lower()} {words}" if found.laterality else words


def _codes(modality: str, found: Found, contrast: str, rows: Sequence[Row]) -> tuple[Coded, ...]:
    """The code of each scheme that says most of what is known, and nothing else."""
    best: dict[str, tuple[int, Row]] = {}
    for row in rows:
        if modality not in row.modalities or row.region != found.code.value:
            continue
        if row.laterality not in (None, found.laterality) or row.contrast not in ("", contrast):
            continue
        rank = bool(row.laterality) + bool(row.contrast)
        known = best.get(row.code.scheme)
        if known is None or rank > known[0]:
            best[row.code.scheme] = (rank, row)
    told = bool(found.laterality) + bool(contrast)
    return tuple(
        Coded(row.code, Grade.equivalent if rank == told else Grade.narrower, row.rule)
        for rank, row in best.values()
    )
