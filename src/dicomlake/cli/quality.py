"""The command that reports how complete and how right the headers of a lake are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeArgument, console
from dicomlake.errors import UsageError


@app.command(
    epilog="Examples:  dicomlake quality lake --by site --output report.html    "
    "dicomlake quality lake --where \"Modality = 'CT'\" --output report.json    "
    "dicomlake quality lake --against older.json"
)
def quality(
    lake: LakeArgument = HERE,
    where: Annotated[str | None, typer.Option(help="Only series that meet this condition.")] = None,
    by: Annotated[str, typer.Option(help="device, site, year, month or modality.")] = "device",
    attributes: Annotated[
        str, typer.Option(help="Which attributes, with commas; those that matter when left out.")
    ] = "",
    against: Annotated[
        Path | None, typer.Option(help="An older report.json: what got better or worse.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="report.html or report.json.")
    ] = None,
) -> None:
    """Report how complete and how right headers are, for data stewards and radiology.

    The findings in it are made by: dicomlake enrich conformance
    """
    from dicomlake.jobs.quality import changes, of_lake, page, read

    if output is not None and output.suffix not in (".html", ".json"):
        raise UsageError(f"A report is written as .html or .json, not {output.name!r}.")
    older = read(against) if against else None
    names = tuple(name.strip() for name in attributes.split(",") if name.strip())
    told = of_lake(lake, where=where, by=by, attributes=names)
    changed = None if older is None else changes(told, older)
    if output is None:
        _print(told, changed)
    elif output.suffix == ".html":
        output.write_text(page(told, changed), encoding="utf-8")
    else:
        more = {} if changed is None else {"changes": changed}
        text = json.dumps({**told, **more}, ensure_ascii=False, indent=1)
        output.write_text(text + "\n", encoding="utf-8")


def _print(told: dict[str, Any], changed: list[dict[str, Any]] | None) -> None:
    """The report in short, on the screen."""
    screen = console()
    counts = told["counts"]
    typer.echo(f"{counts['series']:,} series of {counts['patients']:,} patients")
    screen.print(_table(("attribute", "of series", "filled in", "share"), [
        (row["path"], f"{row['of']:,}", f"{row['filled']:,}",
         f"{100 * row['filled'] / row['of']:.1f} %")
        for row in told["attributes"] if row["of"]
    ]))  # fmt: skip
    if told["findings"]:
        screen.print(_table(("rule", "severity", "series", "rows"), [
            (row["rule"], row["severity"], f"{row['series']:,}", f"{row['rows']:,}")
            for row in told["findings"]
        ]))  # fmt: skip
    else:
        typer.echo("No finding yet. Rules are checked by: dicomlake enrich conformance")
    for row in changed or ():
        word = "better" if row["better"] else "worse"
        typer.echo(f"{word}: {row['what']} {row['before']:.1%} -> {row['after']:.1%}")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at > 1 else "left")
    for row in rows:
        table.add_row(*row)
    return table
