"""Commands of de-identification: plans, profiles, folders of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import console

deid = typer.Typer(
    name="deid",
    help="Headers, pixels and reports without what tells who somebody is (PS3.15 E).",
    no_args_is_help=True,
    epilog="Start with: dicomlake deid profiles    All of it: docs/deidentification.md",
)
app.add_typer(deid)

ProfileOption = Annotated[
    str, typer.Option(help="Name of a profile (see: dicomlake deid profiles), or a YAML file.")
]
KeyOption = Annotated[
    Path, typer.Option(help="File with the key: 32 bytes or more. Without it nobody finds back.")
]


@deid.command(epilog="Examples:  dicomlake deid profiles    dicomlake deid profiles research")
def profiles(
    name: Annotated[str | None, typer.Argument(help="Show the statement of this one.")] = None,
) -> None:
    """List the profiles, or show what one does as a conformance statement."""
    from dicomlake.deid.profiles import names, profile_of, statement

    if name:
        typer.echo(statement(profile_of(name)), nl=False)
        return
    for one in names():
        typer.echo(f"{one:24}{profile_of(one).title}")


@deid.command(
    epilog="Example:  dicomlake deid files images shared --profile research --key-file key.txt"
)
def files(
    source: Annotated[Path, typer.Argument(help="Folder with DICOM files.")],
    out: Annotated[Path, typer.Argument(help="New folder.")],
    key_file: KeyOption,
    profile: ProfileOption = "research",
    quarantine: Annotated[
        Path | None, typer.Option(help="Copies of refused files go here; it stays inside.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """De-identify all DICOM files of a folder into another one, under new names.

    Stop it at any time and start it again.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.deid.files import deidentify_files
    from dicomlake.settings import Pseudonyms

    with Bar(console(error=True)) as bar:
        report = deidentify_files(
            source,
            out,
            profile,
            Pseudonyms(key_file=key_file),
            quarantine=quarantine,
            workers=workers,
            progress=bar,
        )
    typer.echo(str(report))
