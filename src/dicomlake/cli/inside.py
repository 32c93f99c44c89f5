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

    from dicomlake.jobs.extraction import Kept, Preview

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

    For a new reader of contents, and for lakes of an older dicomlake; no object is opened. What
    dicomlake volumes has measured stays.
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
    from dicomlake.jobs.objects import kept_of
    from dicomlake.jobs.volumes import volumes as run
    from dicomlake.settings import read

    kept = kept_of(lake, read(lake))
    with Bar(console(error=True)) as bar:
        report = run(lake, progress=bar, again=again, kept=kept)
    typer.echo(str(report))


@extractions.command(
    epilog="Examples:  dicomlake extract preview ecg.yaml --lake lake    "
    "dicomlake extract preview ecg.yaml --sample 500"
)
def preview(
    definition: Definition,
    lake: LakeOption = HERE,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Look only at so many series; the same every time.")
    ] = None,
) -> None:
    """Show what each column finds, before anything is kept: documents, values, units, examples.

    Names of persons and identifiers of patients are never shown.
    """
    from dicomlake.jobs.extraction import preview as run

    found = run(lake, definition, sample=sample)
    of = (
        f"a sample of {found.looked:,} of {found.series:,}"
        if found.sampled
        else f"{found.looked:,}"
    )
    typer.echo(f"Looked at {of} series that may have it")
    console().print(_previewed(found))


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
    from dicomlake.jobs.extraction import run as make

    with Bar(console(error=True)) as bar:
        made, rows = make(lake, definition, progress=bar)
    typer.echo(_made(made), err=True)
    _write(rows, limit, form, output)


def _made(made: Kept) -> str:
    return f"{made.rows:,} rows: version {made.version} of {made.name}"


@extractions.command("list", epilog="Example:  dicomlake extract list ecg --lake lake")
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
    from dicomlake.cli.output import with_meanings, write

    if form is not Format.table or output is not None:
        write(rows, form, output, console())
        return
    empty = {"IssuerOfPatientID"} if not any(_values(rows, "IssuerOfPatientID")) else set()
    shown = [n for n in rows.column_names if not n.endswith("UID") and n not in empty]
    narrow = rows.select(shown)
    write(_units_in_heads(with_meanings(narrow)).slice(0, limit), form, output, console())
    if rows.num_rows > limit:
        typer.echo(f"... and {rows.num_rows - limit:,} more: --limit N, or --format csv")


def _values(rows: pa.Table, name: str) -> list[object]:
    return rows.column(name).to_pylist() if name in rows.column_names else []


def _units_in_heads(rows: pa.Table) -> pa.Table:
    """Rows in which a unit that all values of a column have stands in its head."""
    for name in rows.column_names:
        value = name.removesuffix("_unit")
        if value == name or value not in rows.column_names:
            continue
        cells = rows.column(name).to_pylist()
        units = {u for cell in cells for u in (cell if isinstance(cell, list) else [cell])} - {None}
        if len(units) > 1 or not all(isinstance(unit, str) for unit in units):
            continue
        head = f"{value} [{units.pop()}]" if units else value
        names = [head if n == value else n for n in rows.column_names]
        rows = rows.rename_columns(names).drop_columns([name])
    return rows


@extractions.command(epilog="Example:  dicomlake extract refresh ecg --lake lake")
def refresh(name: Name, lake: LakeOption = HERE) -> None:
    """Make the table anew by its newest definition, from the newest version of the lake."""
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.extraction import refresh as run

    with Bar(console(error=True)) as bar:
        made, _ = run(lake, name, progress=bar)
    typer.echo(_made(made))


@extractions.command(epilog="Example:  dicomlake extract definition ecg > ecg.yaml")
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
            typer.echo(
                yaml.safe_dump(
                    kept.definition.plain(), sort_keys=False, allow_unicode=True
                ).rstrip()
            )
            return
    raise UsageError(f"Extraction {name} has no version {version}.")


def _previewed(found: Preview) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from dicomlake.cli.output import shown

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("column", "documents", "values", "several", "units", "most frequent values"):
        number = head in ("documents", "values", "several")
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for hits in found:
        units = [f"{unit} ({count:,})" for unit, count in hits.units.items()]
        if hits.unfit:
            units.append(f"another kind: {hits.unfit:,}")
        numbers = (f"{hits.documents:,}", f"{hits.values:,}", f"{hits.several:,}")
        examples = "; ".join(map(shown, hits.examples))
        table.add_row(Text(hits.column), *numbers, Text(shown(", ".join(units))), Text(examples))
    return table


def _listed(found: list[Kept]) -> Table:
    from datetime import UTC, datetime

    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("name", "version", "made", "rows", "columns", "each", "lake", "definition"):
        number = head in ("version", "rows", "columns", "lake")
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for kept in found:
        when = datetime.fromtimestamp(kept.when / 1e6, UTC)
        definition = kept.definition
        table.add_row(kept.name, f"{kept.version}", f"{when:%Y-%m-%d %H:%M}", f"{kept.rows:,}",
                      f"{len(definition.columns)}", definition.each, f"{kept.lake_version}",
                      kept.definition_version)  # fmt: skip
    return table
