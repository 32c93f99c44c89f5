"""What the enricher decides by: our tables with those of a site on top."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicomlake.errors import UsageError
from dicomlake.terms import bodyparts, procedures, seriestypes, sheets

_OURS = (
    *(("dicomlake.terms.bodyparts", name) for name in bodyparts.OURS),
    ("dicomlake.terms.seriestypes", "words.csv"),
    ("dicomlake.terms.procedures", "procedures.csv"),
    ("dicomlake.terms", "retired.csv"),
)
# What a table of a site is about, by the columns that tell it from the others.
_KINDS = {
    "body parts": bodyparts.NEEDED,
    "series types": seriestypes.NEEDED,
    "procedures": procedures.NEEDED,
}


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """The tables. `model` changes when a byte of one of them does."""

    bodyparts: bodyparts.Tables
    seriestypes: seriestypes.Words
    procedures: tuple[procedures.Row, ...]
    model: str

    @classmethod
    def of(cls, folder: Path | None) -> Knowledge:
        """Our tables, and those of a folder; UsageError says in which line of which one is what."""
        sites = list(_sites(folder)) if folder else []
        by_kind: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
        for path, text in sites:
            by_kind[_kind(path, text)].append(path)
        return cls(
            bodyparts.load(*by_kind["body parts"]),
            seriestypes.load(*by_kind["series types"]),
            procedures.load(*by_kind["procedures"]),
            _model(sites),
        )


def _sites(folder: Path) -> Iterator[tuple[Path, str]]:
    """The tables in a folder, by name."""
    paths = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if not paths:
        raise UsageError(
            f"There is no CSV file in the folder {str(folder)!r}. The option tables of the "
            "enricher codes names a folder with tables, from the folder of the lake on."
        )
    for path in paths:
        yield path, sheets.of_site(path, "codes")


def _kind(path: Path, text: str) -> str:
    columns = set(sheets.columns_of(text))
    for kind, needed in _KINDS.items():
        if columns.issuperset(needed):
            return kind
    says = "; ".join(f"of {kind}: {', '.join(needed)}" for kind, needed in _KINDS.items())
    raise UsageError(
        f"{path.name}, line {sheets.first_line(text)}: the columns do not say what the table is "
        f"about. Needed are, {says}."
    )


def _model(sites: list[tuple[Path, str]]) -> str:
    """Names and versions of the tables, and the digest of all."""
    ours = [sheets.ours(package, name) for package, name in _OURS]
    version = sheets.stamp("tables", ours[0])
    whole = hashlib.sha256("\0".join([*ours, *(text for _, text in sites)]).encode())
    named = [version, *(sheets.stamp(path.name, text) for path, text in sites)]
    return f"{' + '.join(named)}, digest {whole.hexdigest()[:12]}"
