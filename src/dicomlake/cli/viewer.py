"""Commands of the viewer OHIF, which the service shows below /viewer when it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption

if TYPE_CHECKING:
    from dicomlake.jobs.ohif import Installed

viewers = typer.Typer(
    name="viewer",
    help="OHIF, a viewer with more tools than the built-in one: install, show, remove.",
    no_args_is_help=True,
)
app.add_typer(viewers)
FolderOption = Annotated[
    Path | None,
    typer.Option(
        help="Where it is installed: that of the settings (service, viewer), else a folder for "
        "data of the user."
    ),
]


def _folder(lake: Path, given: Path | None) -> Path:
    from dicomlake.jobs.ohif import default_folder
    from dicomlake.settings import read

    return given or read(lake).service.viewer or default_folder()


@viewers.command(
    epilog="Examples:  dicomlake viewer install    "
    "dicomlake viewer install ohif-app-3.13.2.tgz  (fetched elsewhere: npm pack @ohif/app@3.13.2)"
)
def install(
    package: Annotated[
        Path | None,
        typer.Argument(
            help="The package as npm packs it, or a folder of it; npm fetches it when left out.",
            exists=True,
        ),
    ] = None,
    lake: LakeOption = HERE,
    folder: FolderOption = None,
    unchecked: Annotated[
        bool, typer.Option(help="Take a folder, or another version, as it is.")
    ] = False,
    everything: Annotated[
        bool, typer.Option(help="Source maps and neural networks, too; 170 MB more.")
    ] = False,
) -> None:
    """Install OHIF (npm package @ohif/app, MIT) for the service; needs no network with a file."""
    from dicomlake.jobs import ohif

    found = ohif.install(
        _folder(lake, folder),
        package,
        unchecked=unchecked,
        everything=everything,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo(_said(found))
    typer.echo("The service shows it at /viewer/, and studies have a button that opens it.")


@viewers.command()
def status(lake: LakeOption = HERE, folder: FolderOption = None) -> None:
    """Say whether OHIF is installed, which version, and where."""
    from dicomlake.jobs import ohif

    place = _folder(lake, folder)
    found = ohif.status(place)
    if found is None:
        typer.echo(f"OHIF is not installed in {place}. Install it with: dicomlake viewer install")
        raise typer.Exit(1)
    typer.echo(_said(found))


@viewers.command()
def remove(lake: LakeOption = HERE, folder: FolderOption = None) -> None:
    """Remove OHIF; the built-in viewer stays."""
    from dicomlake.jobs import ohif

    place = _folder(lake, folder)
    removed = ohif.remove(place)
    typer.echo(f"OHIF is {'removed' if removed else 'not installed'}: {place}")


def _said(found: Installed) -> str:
    checked = "the package of npm" if found.checked else "not checked"
    size = found.bytes // 1_000_000
    return f"OHIF {found.version} ({checked}), {found.files:,} files, {size} MB: {found.folder}"
