"""A report of dose as one file: HTML that needs no network, PDF, or a workbook.

content      what a report says: facts, and sheets of rows
html         as a page; light, dark and on paper
pdf          as pages of paper
xlsx         as a workbook, one sheet per table
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomlake.errors import UsageError
from dicomlake.jobs.dose.options import DoseOptions
from dicomlake.jobs.dose.overview import Overview
from dicomlake.jobs.dose.reporting import html, pdf, xlsx
from dicomlake.jobs.dose.reporting.content import Told, told
from dicomlake.query import Node

__all__ = ["KINDS", "MEDIA", "report"]

KINDS: dict[str, Callable[[Told], bytes]] = {
    "html": html.written, "pdf": pdf.written, "xlsx": xlsx.written,
}  # fmt: skip
"""Forms of a report, and what writes them."""
MEDIA = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def report(
    engine: Any,
    where: Node | None,
    kind: str,
    options: DoseOptions,
    *,
    version: int | None = None,
    with_patients: bool = False,
    tables: Overview | None = None,
    ticket: object = None,
) -> bytes:
    """A report of the doses that a condition finds, as html, pdf or xlsx.

    `with_patients`: it names patients and studies, which it does not otherwise; `version`: of the
    lake; `tables`: those of the same question, where they have been made. UsageError for another
    form. A PDF or a workbook needs the extra `dose`.
    """
    if kind not in KINDS:
        raise UsageError(f"A report of dose is made as {', '.join(KINDS)}, not {kind[:20]!r}.")
    asked = tables or Overview(engine, where, options)
    return KINDS[kind](told(asked, version, with_patients=with_patients, ticket=ticket))
