"""The command that shows what the cleaning of pixels would blank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli.commands import console
from dicomlake.cli.deid import deid

if TYPE_CHECKING:
    from dicomlake.deid.pixels.review import Review


@deid.command(
    epilog="Examples:  dicomlake deid pixels image.dcm    "
    "dicomlake deid pixels image.dcm --to review --frames 3"
)
def pixels(
    file: Annotated[Path, typer.Argument(help="A DICOM file.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder for pictures before and after, as PNG.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Pictures of so many frames at most.")] = 1,
    look: Annotated[str, typer.Option(help="suspected, or all: whatever the object is.")] = (
        "suspected"
    ),
    policy: Annotated[
        str, typer.Option(help="blank_all_text or blank_identifying_text.")
    ] = "blank_all_text",
    devices: Annotated[
        list[Path] | None, typer.Option(help="Files with rules of devices, beside ours.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what would be blanked in the pixels of a file, and why. Nothing is changed."""
    from dicomlake.deid.pixels import Options
    from dicomlake.jobs.deid.previewing import preview, write

    options = Options(look=look, policy=policy, devices=tuple(map(str, devices or ())))
    found = preview(file, options, most_shown=frames if to else 0)
    written = write(found, to) if to else []
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=1))
    else:
        _print(found)
    for path in written:
        typer.echo(str(path), err=as_json)


def _print(found: Review) -> None:
    if not found.why:
        typer.echo("Not searched for text: it is a cut through the body as it was acquired.")
        typer.echo("With --look all it is.")
    else:
        typer.echo(f"Searched for text: {found.why}")
    if found.problem:
        typer.echo(f"It would go into quarantine: {found.problem}")
    for note in found.notes:
        typer.echo(note)
    if found.boxes:
        console().print(_table(found))


def _table(found: Review) -> object:
    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in ("left", "top", "right", "bottom"):
        table.add_column(head, justify="right")
    table.add_column("why")
    for each in found.boxes:
        table.add_row(*map(str, (each.x0, each.y0, each.x1, each.y1)), each.why)
    return table


def _plain(found: Review) -> dict[str, object]:
    return {
        "why": found.why,
        "problem": found.problem,
        "frames": list(found.frames),
        "notes": list(found.notes),
        "boxes": [
            {"x0": b.x0, "y0": b.y0, "x1": b.x1, "y1": b.y1, "why": b.why} for b in found.boxes
        ],
    }
