"""Codes and body part: what the header of a series says in one terminology, where it disagrees.

`headers` gathers what may say something, `statements` and `faults` make rows of it; what is known
stands in `dicomlake.terms`, and in tables of the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from dicomlake.contracts.enrichers import Enriched, Hardware, Subject, each
from dicomlake.enrichers.codes import faults, headers, statements
from dicomlake.enrichers.codes.knowledge import Knowledge
from dicomlake.errors import UsageError
from dicomlake.terms import bodyparts
from dicomlake.terms.seriestypes import Series

_MOST = 20_000
"""Distinct headers whose statements are remembered."""


class CodesEnricher:
    """Body part, procedure and type of a series, and its codes, from its header.

    The option `tables` names a folder with tables of the site, CSV files with the columns of ours.
    """

    name = "codes"
    about = (
        "Body part with side, procedure, type and codes of every series in SNOMED CT, DICOM and "
        "LOINC, from all that its header says, and where that disagrees."
    )
    version = "1"
    reads = headers.PATHS
    writes = ("body part", "laterality", "procedure", "series type", "code", "finding")
    after: tuple[str, ...] = ()
    hardware: Hardware = "cpu"
    at_once = 5_000

    def __init__(self, lake: Path, options: Mapping[str, str]) -> None:
        options = dict(options)
        folder = options.pop("tables", "")
        if options:
            raise UsageError(
                f"The enricher codes has no option {sorted(options)[0]!r}; it has tables."
            )
        self._known = Knowledge.of(lake / folder if folder else None)
        self.model = self._known.model
        self._judged = lru_cache(_MOST)(self._judge)
        self._typed = lru_cache(_MOST)(self._type)
        self._coded = lru_cache(_MOST)(self._code)

    def where(self) -> str:
        """Every series: those of reports and segmentations say what they are about, too."""
        return "true"

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """What the header of each series says."""
        return each(subjects, self._say)

    def close(self) -> None:
        """Forget what was judged."""
        for remembered in (self._judged, self._typed, self._coded):
            remembered.cache_clear()

    def _say(self, subject: Subject) -> Enriched:
        header = headers.of(subject)
        said = Enriched()
        types, contrast = self._typed(header.series)
        for rows, found in (
            self._judged(header.evidence, header.places, contrast),
            (types, ()),
            self._coded(header.codes),
        ):
            said.annotations += rows
            said.findings += found
        return said

    def _judge(
        self, evidence: bodyparts.Evidence, places: headers.Places, contrast: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        judgement = bodyparts.judge(evidence, self._known.bodyparts)
        where = dict(places)
        rows = list(statements.body_parts(judgement, where, self._known))
        rows += statements.procedures(judgement, evidence.Modality, contrast, where, self._known)
        return rows, list(faults.of_regions(judgement, evidence, where, self._known))

    def _type(self, series: Series) -> tuple[list[dict[str, Any]], str]:
        return statements.series_types(series, self._known)

    def _code(
        self, codes: tuple[headers.Sent, ...]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        known = self._known
        return list(statements.codes(codes, known)), list(faults.of_codes(codes, known))
