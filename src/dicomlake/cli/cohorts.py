"""Commands for cohorts: freeze, curate, compare, split, approve, withdraw."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeOption, OutputOption, console
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from dicomlake.jobs.cohorts.keeping import Version

cohort = typer.Typer(
    name="cohort", help="Frozen answers that stay the same, see docs/cohorts.md.",
    no_args_is_help=True,
)  # fmt: skip
app.add_typer(cohort)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the cohort.")]
NameAt = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The newest, or a version.")]
Comment = Annotated[str, typer.Option("--comment", "-c", help="What others should know.")]


def _who() -> str:
    """Who sits at this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


@cohort.command(
    epilog="Examples:  dicomlake cohort freeze knee-mr \"Modality = 'MR'\" --level study    "
    "dicomlake cohort freeze knee-mr --saved 'Knees' --comment 'as agreed in May'"
)
def freeze(
    name: Name,
    text: Annotated[str, typer.Argument(help="The question; empty takes everything.")] = "",
    lake: LakeOption = HERE,
    level: Annotated[
        str, typer.Option(help="series, or all series of each study or patient that is found.")
    ] = "series",
    saved: Annotated[
        str, typer.Option(help="Name or id of a saved question, instead of a text.")
    ] = "",
    comment: Comment = "",
    project: Annotated[str, typer.Option(help="Project of the settings that owns it.")] = "",
) -> None:
    """Freeze what a question finds now, as a new cohort or as the next version of one."""
    from dicomlake.api import open as open_lake

    made = open_lake(lake).freeze(
        name, text, level, saved=saved, by=_who(), comment=comment, project=project
    )
    typer.echo(f"{made.name}@{made.version} is frozen.")
    _print(made.version_of)


@cohort.command("list", epilog="Example:  dicomlake cohort list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the cohorts of a lake, newest first."""
    from rich import box
    from rich.table import Table

    from dicomlake.jobs.cohorts import listed
    from dicomlake.lake import Store

    found = listed(Store(lake).path)
    if not found:
        typer.echo("There is no cohort yet. Make one: dicomlake cohort freeze NAME QUESTION")
        return
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("cohort", "patients", "studies", "series", "instances", "made", "by", "question"):
        right = head in ("patients", "studies", "series", "instances")
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for one in found:
        numbers = (f"{one.counts[n]:,}" for n in ("patients", "studies", "series", "instances"))
        name = f"{one.name}@{one.version}"
        table.add_row(name, *numbers, _moment(one.made), one.by, one.text or "everything")
    console().print(table)


@cohort.command(
    epilog="Examples:  dicomlake cohort show knee-mr    dicomlake cohort show knee-mr@1"
)
def show(name: NameAt, lake: LakeOption = HERE) -> None:
    """Show a version: question, counts, attrition, decisions, requests, and what changed since."""
    from dicomlake.jobs.cohorts import opened

    found = opened(lake, name)
    _print(found.version_of)
    for number, what in (
        (found.withdrawn, "are of patients who withdrew since"),
        (found.missing, "are not in the lake any more"),
        (found.changed, "have another number of instances now"),
    ):
        if number:
            typer.echo(f"{number:,} series {what}.")
    if found.decided:
        typer.echo(
            f"{len(found.decided):,} decisions since: dicomlake cohort save {found.name} makes "
            "them a version."
        )
    if found.request is not None:
        asked = found.request
        until = f" until {asked.valid_until}" if asked.valid_until else ""
        typer.echo(f"Request {asked.n} of {asked.by} ({asked.purpose}): {asked.state}{until}.")


def _print(version: Version) -> None:
    """What is known of a version, on the screen."""
    counts = ", ".join(f"{n:,} {what}" for what, n in version.counts.items())
    typer.echo(f"{version.name}@{version.version}: {counts}")
    for state, number in version.left_out.items():
        if number:
            typer.echo(f"  {number:,} series {state}")
    question = version.text or "everything"
    typer.echo(f"Question: {question} (level {version.level}, lake {version.lake_version})")
    by = f" by {version.by}" if version.by else ""
    typer.echo(f"Made {_moment(version.made)}{by}, {version.kind}. {version.comment}".rstrip())
    typer.echo(f"Digest {version.digest}")
    if version.attrition:
        console().print(_steps(version))


def _steps(version: Version) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("condition", "patients", "studies", "series"):
        table.add_column(head, justify="left" if head == "condition" else "right", overflow="fold")
    levels = ("patients", "studies", "series")
    table.add_row("the lake", *(f"{version.whole[level]:,}" for level in levels))
    for step in version.attrition:
        text = Text("  " * step["depth"] + step["text"])
        table.add_row(text, *(f"{step['kept'][level]:,}" for level in levels))
    return table


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


@cohort.command(
    epilog="Example:  dicomlake cohort series knee-mr@2 --format csv --output series.csv"
)
def series(
    name: NameAt,
    lake: LakeOption = HERE,
    every: Annotated[
        bool, typer.Option("--all", help="Also what is excluded, withdrawn or gone; with reasons.")
    ] = False,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List the series of a version: what is included, not withdrawn and still in the lake."""
    from dicomlake.cli.output import write
    from dicomlake.jobs.cohorts import opened

    found = opened(lake, name)
    rows = found.rows if every else found.series()
    screen = form is Format.table and output is None
    write(rows.slice(0, 25) if screen else rows, form, output, console())
    if screen and rows.num_rows > 25:
        typer.echo(f"... and {rows.num_rows - 25:,} more: --format csv")
