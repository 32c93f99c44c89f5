"""The command that makes a report of radiation dose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli.commands import HERE, LakeArgument
from dicomlake.cli.dose import LeastOption, NobodyOption, SetOption, WhereOption, dose
from dicomlake.errors import UsageError


@dose.command(
    epilog='Examples:  dicomlake dose report lake --out dose.pdf --where "StudyDate >= 2024-01-01"'
    "    dicomlake dose report lake --out dose.xlsx --factor-set 'Deak 2010' --with-patients"
)
def report(
    lake: LakeArgument = HERE,
    out: Annotated[Path, typer.Option("--out", "-o", help="dose.html, dose.pdf or dose.xlsx.")] = (
        Path("dose.html")
    ),
    where: WhereOption = None,
    factor_set: SetOption = None,
    country: Annotated[str | None, typer.Option(help="Only its reference levels: GB, DE.")] = None,
    least: LeastOption = None,
    days: Annotated[int, typer.Option(min=1, help="Length of the window of patients.")] = 365,
    not_patients: NobodyOption = False,
    with_patients: Annotated[
        bool, typer.Option("--with-patients", help="Name patients and studies; left out otherwise.")
    ] = False,
) -> None:
    """Make a report: totals, protocols and devices beside reference levels, outliers, alarms.

    A PDF or a workbook needs: pip install 'dicomlake[dose]'
    """
    from dicomlake.api import open as open_lake
    from dicomlake.jobs.dose import options_of
    from dicomlake.jobs.dose.overview import Overview
    from dicomlake.jobs.dose.reporting import KINDS
    from dicomlake.jobs.dose.reporting import report as make
    from dicomlake.query import parse

    kind = out.suffix.removeprefix(".").lower()
    if kind not in KINDS:
        raise UsageError(f"A report is written as .html, .pdf or .xlsx, not {out.name!r}.")
    opened = open_lake(lake)
    options = options_of(
        lake, factor_set=factor_set, country=country, least=least,
        include_not_patient=not_patients or None,
    )  # fmt: skip
    node = parse(where) if where else None
    asked = Overview(opened.engine, node, options, days)
    made = make(
        opened.engine, node, kind, options, version=opened.version, with_patients=with_patients,
        tables=asked,
    )  # fmt: skip
    out.write_bytes(made)
    typer.echo(f"Wrote {out}.")
