"""Commands of TotalSegmentator: tell dicomlake where its weights are, see what works, forget it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli import app

segmenters = typer.Typer(
    name="segmenter",
    help="TotalSegmentator, which finds organs in CT and MR: its weights are installed, shown, "
    "forgotten here.",
    no_args_is_help=True,
)
app.add_typer(segmenters)
FolderOption = Annotated[
    Path | None,
    typer.Option(help="Where the installation is noted; else a folder for data of the user."),
]
_TASKS = ("total", "total_v3", "total_mr", "body")


@segmenters.command(
    epilog="Example:  dicomlake segmenter install ~/.totalsegmentator/nnunet/results "
    "--python segment/bin/python"
)
def install(
    weights: Annotated[
        Path,
        typer.Argument(
            help="Folder of the weights as TotalSegmentator unpacks them: Dataset297_... and more.",
            exists=True,
            file_okay=False,
        ),
    ],
    python: Annotated[
        Path | None,
        typer.Option(
            help="The Python of the environment that has TotalSegmentator; else this one.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    folder: FolderOption = None,
) -> None:
    """Note where weights are, with the SHA-256 of each file: no others will ever be loaded.

    Nothing is downloaded or copied. Do it again when weights are added or changed.
    """
    from dicomlake.segmenters.totalsegmentator.weights import install as note

    found = note(weights, python, folder)
    typer.echo(f"{len(found.networks)} networks in {found.folder}, {len(found.files)} files noted.")
    _show(found.python, folder)


@segmenters.command()
def status(folder: FolderOption = None) -> None:
    """Say which package and weights there are, what works with them, and what to do next."""
    from dicomlake.segmenters.totalsegmentator.weights import installed

    found = installed(folder)
    if found is not None:
        typer.echo(f"Weights: {len(found.networks)} networks in {found.folder}")
    _show(found.python if found else Path(sys.executable), folder)


@segmenters.command()
def remove(folder: FolderOption = None) -> None:
    """Forget where weights are; the weights stay."""
    from dicomlake.segmenters.totalsegmentator.weights import remove as forget

    removed = forget(folder)
    typer.echo("The weights are forgotten." if removed else "No weights were installed.")


def _show(python: Path, folder: Path | None) -> None:
    """The package, and what can be done."""
    from dicomlake.errors import UsageError
    from dicomlake.segmenters.totalsegmentator import NO_WEIGHTS, about
    from dicomlake.segmenters.totalsegmentator.weights import installed

    try:
        versions = about(python)["versions"]
    except UsageError as error:
        typer.echo(str(error))
        raise typer.Exit(1) from error
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    typer.echo(f"Package: {said} ({python})")
    if installed(folder) is None:
        typer.echo(NO_WEIGHTS)
        raise typer.Exit(1)
    ready = _ready(folder)
    if not ready:
        typer.echo("None of the usual tasks has all of its weights: total fast needs Dataset297.")
        raise typer.Exit(1)
    typer.echo(f"Ready: {', '.join(ready)}")
    task, mode = ready[0].split()
    asked = "".join(
        f" --set {name}={value}"
        for name, value, known in (("task", task, "total"), ("mode", mode, "fast"))
        if value != known
    )
    typer.echo(f"Next: dicomlake enrich totalsegmentator{asked} --lake LAKE")


def _ready(folder: Path | None) -> list[str]:
    """Tasks and modes that have all of their weights."""
    from dicomlake.segmenters.totalsegmentator import TotalSegmentatorSegmenter
    from dicomlake.segmenters.totalsegmentator.worker import MODES

    return [
        f"{task} {mode}"
        for task in _TASKS
        for mode in ("fast", *(m for m in MODES if m != "fast"))
        if not TotalSegmentatorSegmenter({"task": task, "mode": mode}, place=folder).missing()
    ]
