"""Commands of a federation: asking all sites the same, and making the same dataset at each."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import console

if TYPE_CHECKING:
    from dicomlake.jobs.federation.merging import Table

federate = typer.Typer(
    name="federate",
    help="Studies over several sites; data stay where they are, see docs/federation.md.",
    no_args_is_help=True,
)
app.add_typer(federate)
StudyArgument = Annotated[Path, typer.Argument(help="The study: TOML, YAML or JSON.")]
SitesOption = Annotated[Path, typer.Option(help="The sites: TOML with [site.NAME].")]


class TableForm(StrEnum):
    """How the table is written."""

    csv = "csv"
    html = "html"
    json = "json"


@federate.command(
    epilog="Example:  dicomlake federate ask study.toml --sites sites.toml --out table.csv"
)
def ask(
    study: StudyArgument,
    sites: SitesOption = Path("sites.toml"),
    out: Annotated[
        Path | None, typer.Option(help="File for the table: .csv, .html or .json.")
    ] = None,
) -> None:
    """Ask every site how many patients it has of each section; a table of what each has.

    Numbers are ranges: no site tells of few patients. Exit code 1 when a site did not answer.
    """
    from dicomlake.errors import UsageError
    from dicomlake.jobs.federation.asking import ask as run
    from dicomlake.jobs.federation.asking import sites_of
    from dicomlake.jobs.federation.studies import load

    form = out.suffix.removeprefix(".") if out else ""
    if out and form not in [one.value for one in TableForm]:
        raise UsageError("Name a file that ends in .csv, .html or .json.")
    found = run(load(study), sites_of(sites))
    if out:
        text = {"csv": found.as_csv, "html": found.as_html, "json": found.as_json}[form]()
        out.write_text(text, encoding="utf-8")
    _draw(found)
    for name, why in found.away.items():
        typer.echo(f"{name} did not answer: {why}", err=True)
    raise typer.Exit(1 if found.away else 0)


def _draw(found: Table) -> None:
    from rich.table import Table as Drawn

    drawn = Drawn("patients", *found.sites, "all", box=None)
    for row in found.rows:
        what = f"  {row.by}: {row.group}" if row.group else row.section
        drawn.add_row(what, *row.cells, row.total)
    console().print(drawn)


@federate.command(
    epilog="Example:  dicomlake federate export study.toml --sites sites.toml --wait 60"
)
def export(
    study: StudyArgument,
    sites: SitesOption = Path("sites.toml"),
    wait: Annotated[
        float, typer.Option(min=0, help="Ask again until all are finished, for so many minutes.")
    ] = 0,
) -> None:
    """Have every site make the dataset of the study at home; compare what they made.

    A steward approves it at each site. Start the same command again to see how far it is. Exit
    code 1 unless all are finished and their schemas agree.
    """
    from dicomlake.jobs.federation.asking import export as run
    from dicomlake.jobs.federation.asking import sites_of
    from dicomlake.jobs.federation.studies import load

    wanted, there = load(study), sites_of(sites)
    until = time.monotonic() + wait * 60
    while True:
        told, differ = run(wanted, there)
        states = {n: str(t.answer["state"]) if t.answer else "away" for n, t in told.items()}
        if set(states.values()) == {"finished"} or time.monotonic() >= until:
            break
        time.sleep(5.0)
    for name, one in told.items():
        typer.echo(f"{name}: {states[name]}{'. ' + one.why if one.why else ''}")
    for line in differ:
        typer.echo(f"Not the same. {line}")
    finished = set(states.values()) == {"finished"}
    if finished and not differ:
        typer.echo("All sites made the same: their schemas agree.")
    raise typer.Exit(0 if finished and not differ else 1)
