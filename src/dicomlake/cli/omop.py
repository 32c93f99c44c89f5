"""The command that writes the lake as tables of OMOP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeArgument, console
from dicomlake.errors import UsageError


@app.command(
    epilog="Examples:  dicomlake omop lake --out omop --pseudonyms research    "
    "dicomlake omop lake --out omop --identified --format parquet --vocabulary CONCEPT.csv"
)
def omop(
    lake: LakeArgument = HERE,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("omop"),
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    cohort: Annotated[
        str, typer.Option(help="Only series of a cohort: NAME or NAME@VERSION.")
    ] = "",
    vocabulary: Annotated[
        Path | None, typer.Option(help="CONCEPT.csv of Athena: what concept ids are taken from.")
    ] = None,
    pseudonyms: Annotated[
        str, typer.Option(help="[pseudonyms.NAME] of the settings; the only one when left out.")
    ] = "",
    identified: Annotated[
        bool, typer.Option("--identified", help="Write patients, UIDs and dates as they are.")
    ] = False,
    notes: Annotated[
        bool, typer.Option("--notes", help="With --identified: texts of documents, too.")
    ] = False,
    year_of_birth: Annotated[
        int | None,
        typer.Option(metavar="YEAR", help="Of persons of whom nobody says one; else left out."),
    ] = None,
    wado: Annotated[
        str, typer.Option(metavar="URL", help="DICOMweb service that has the series.")
    ] = "",
) -> None:
    """Write tables of OMOP with its imaging extension: facts, images and what was seen in them."""
    from dicomlake import settings
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.door.pseudonym import name_of
    from dicomlake.jobs.omop import Asked, write
    from dicomlake.lake import Store

    if identified and pseudonyms:
        raise UsageError("Either --identified, or --pseudonyms NAME: not both.")
    told = settings.read(lake)
    name = "" if identified else name_of(lake, told, pseudonyms)
    asked = Asked(form, cohort, vocabulary, name, notes, year_of_birth, wado)
    with Bar(console(error=True)) as bar:
        report = write(Store(lake), out, asked, told, bar)
    for table, rows in report.rows.items():
        typer.echo(f"{rows:>12,}  {table}")
    if report.without_day:
        typer.echo(f"{report.without_day:,} series are left out: nobody says their day.")
    if report.without_birth:
        typer.echo(
            f"{report.without_birth:,} persons are left out: nobody says their year of birth. "
            "--year-of-birth YEAR writes them."
        )
    if report.undated:
        typer.echo(f"{report.undated:,} facts are left out: nobody says their day.")
    if report.unlinked:
        typer.echo(f"{report.unlinked:,} facts are left out: they are of nobody who is written.")
    if report.unmapped:
        typer.echo(
            f"{report.unmapped:,} of {report.codes:,} codes have no concept; "
            "their source values are kept."
        )
