"""Commands about what is inside of objects: reports, segments, waveforms, doses, extractions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import (
    HERE,
    FormatOption,
    LakeArgument,
    LakeOption,
    OutputOption,
    console,
)
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from dicomlake.jobs.extraction import Hits, Kept

extractions = typer.Typer(
    name="extract",
    help="Flat tables from paths that you pick once; every match, versioned.",
    no_args_is_help=True,
    epilog="Start with: dicomlake extract preview ecg.yaml    The format: docs/contents.md",
)
app.add_typer(extractions)

Definition = Annotated[Path, typer.Argument(help="YAML file with name, each and columns.")]
Name = Annotated[str, typer.Argument(help="Name of the extraction.")]


@app.command(epilog="Example:  dicomlake show 1.2.840.113619.2.1.1 --lake lake")
def show(
    uid: Annotated[str, typer.Argument(metavar="SOPInstanceUID", help="Which object.")],
    lake: LakeOption = HERE,
) -> None:
    """Show what is inside of one object: its report as a tree, segments, channels, doses."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.inspection import print_inside

    print_inside(open_lake(lake), uid, console())


@app.command(epilog="Example:  dicomlake contents lake")
def contents(lake: LakeArgument = HERE) -> None:
    """Read what is inside of all objects again, from the headers in the lake.

    For a new reader of contents, and for lakes of an older dicomlake; no object is opened. Volumes
    have to be measured again afterwards.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.contents import contents as run

    with Bar(console(error=True)) as bar:
        report = run(lake, progress=bar)
    rows = ", ".join(f"{count:,} {name}" for name, count in report.rows.items()) or "nothing"
    typer.echo(f"{report.objects:,} objects looked at: {rows} ({report.seconds:.1f} s)")


@app.command(epilog="Example:  dicomlake volumes lake")
def volumes(
    lake: LakeArgument = HERE,
    again: Annotated[bool, typer.Option(help="Also those that have been measured.")] = False,
) -> None:
    """Measure the volume of every segment and region by the geometry of its own object.

    Opens the objects. Stop it at any time and start it again.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.volumes import volumes as run

    with Bar(console(error=True)) as bar:
        report = run(lake, progress=bar, again=again)
    typer.echo(str(report))


@extractions.command(epilog="Example:  dicomlake extract preview ecg.yaml --lake lake")
def preview(definition: Definition, lake: LakeOption = HERE) -> None:
    """Show what each column finds, before anything is kept: documents, values, units, examples."""
    from dicomlake.jobs.extraction import preview as run

    console().print(_previewed(run(lake, definition)))


@extractions.command(
    "run",
    epilog="Example:  dicomlake extract run ecg.yaml --lake lake --format csv --output ecg.csv",
)
def run_(
    definition: Definition,
    lake: LakeOption = HERE,
    limit: Annotated[int, typer.Option(min=1, help="Most rows on the screen.")] = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Make the table and keep it in the lake as the newest version of its name."""
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.extraction import extract, versions

    with Bar(console(error=True)) as bar:
        rows = extract(lake, definition, progress=bar)
    newest = versions(lake)
    made = max(newest, key=lambda kept: kept.when)
    typer.echo(f"{rows.num_rows:,} rows: version {made.version} of {made.name}", err=True)
    _write(rows, limit, form, output)


@extractions.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    lake: LakeOption = HERE,
) -> None:
    """List the versions of all extractions, newest first."""
    from dicomlake.jobs.extraction import versions

    found = versions(lake, name)
    if not found:
        typer.echo("There is no extraction yet. Make one with: dicomlake extract run FILE.yaml")
        return
    console().print(_listed(found))


@extractions.command("show", epilog="Example:  dicomlake extract show ecg --version 0 -f csv")
def show_kept(
    name: Name,
    lake: LakeOption = HERE,
    version: Annotated[int | None, typer.Option(min=0, help="An older version.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows on the screen.")] = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Show the table as it was kept."""
    from dicomlake.jobs.extraction import kept

    rows = kept(lake, name, version)
    _write(rows, limit, form, output)


def _write(rows: pa.Table, limit: int, form: Format, output: Path | None) -> None:
    """Write rows; on the screen only so many, and without columns of UIDs."""
    from dicomlake.cli.output import write

    if form is not Format.table or output is not None:
        write(rows, form, output, console())
        return
    narrow = [name for name in rows.column_names if not name.endswith("UID")]
    write(rows.select(narrow).slice(0, limit), form, output, console())
    if rows.num_rows > limit:
        typer.echo(f"... and {rows.num_rows - limit:,} more: --limit N, or --format csv")


@extractions.command()
def refresh(name: Name, lake: LakeOption = HERE) -> None:
    """Make the table anew by its newest definition, from the newest version of the lake."""
    from dicomlake.jobs.extraction import extract, versions

    rows = extract(lake, versions(lake, name)[0].definition)
    typer.echo(f"{rows.num_rows:,} rows: version {versions(lake, name)[0].version} of {name}")


@extractions.command()
def definition(
    name: Name,
    lake: LakeOption = HERE,
    version: Annotated[int | None, typer.Option(min=0, help="An older version.")] = None,
) -> None:
    """Print the definition of an extraction as YAML, as it was when a version was made."""
    import yaml

    from dicomlake.errors import UsageError
    from dicomlake.jobs.extraction import versions

    for kept in versions(lake, name):
        if version in (None, kept.version):
            typer.echo(yaml.safe_dump(kept.definition.plain(), sort_keys=False).rstrip())
            return
    raise UsageError(f"Extraction {name} has no version {version}.")


def _previewed(found: list[Hits]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for head in ("column", "documents", "values", "with several", "units", "most frequent values"):
        number = head in ("documents", "values", "with several")
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for hits in found:
        units = ", ".join(f"{unit} ({count:,})" for unit, count in hits.units.items())
        numbers = (f"{hits.documents:,}", f"{hits.values:,}", f"{hits.several:,}")
        table.add_row(Text(hits.column), *numbers, Text(units), Text("; ".join(hits.examples)))
    return table


def _listed(found: list[Kept]) -> Table:
    from datetime import UTC, datetime

    from rich.table import Table

    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for head in ("name", "version", "made", "of lake version", "definition", "each", "columns"):
        table.add_column(head)
    for kept in found:
        when = datetime.fromtimestamp(kept.when / 1e6, UTC)
        definition = kept.definition
        columns = ", ".join(column.name for column in definition.columns)
        made, of = f"{when:%Y-%m-%d %H:%M:%S}", f"{kept.lake_version}"
        table.add_row(kept.name, f"{kept.version}", made, of, kept.definition_version,
                      definition.each, columns)  # fmt: skip
    return table
