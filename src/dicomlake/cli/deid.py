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


@deid.command(
    epilog="Examples:  dicomlake deid plan lake --where \"Modality = 'CT'\" --profile research    "
    "dicomlake deid plan images --html > plan.html"
)
def plan(
    source: Annotated[Path, typer.Argument(help="A lake, or a folder with DICOM files.")],
    profile: ProfileOption = "research",
    where: Annotated[str | None, typer.Option(help="Only series that match, in a lake.")] = None,
    cohort: Annotated[str | None, typer.Option(help="Only series of a cohort, in a lake.")] = None,
    examples: Annotated[
        bool, typer.Option(help="With a value before and after. They may identify somebody.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    html: Annotated[bool, typer.Option("--html", help="As a page.")] = False,
) -> None:
    """Show what happens to each attribute that occurs, before anything is written."""
    from dataclasses import asdict

    import orjson
    from rich.table import Table

    from dicomlake.cli.progress import Bar
    from dicomlake.deid.plan import html as page
    from dicomlake.deid.plan import totals
    from dicomlake.deid.profiles import profile_of
    from dicomlake.jobs.deid.planning import plan_of_files

    chosen = profile_of(profile)
    if (source / "dicomlake.json").exists():
        from dicomlake.api import open as open_lake

        rows = open_lake(source).plan(chosen, where, cohort=cohort or "", examples=examples)
    else:
        with Bar(console(error=True)) as bar:
            rows = plan_of_files(source, chosen, examples=examples, progress=bar)
    if json:
        typer.echo(orjson.dumps([asdict(one) for one in rows], option=orjson.OPT_INDENT_2))
        return
    if html:
        for piece in page(chosen, rows):
            typer.echo(piece)
        return
    table = Table("attribute", "VR", "objects", "what", "why", *(["before", "after"] * examples))
    for one in rows:
        more = (one.before, one.after) if examples else ()
        table.add_row(one.path, one.vr, f"{one.objects:,}", one.what, one.why, *more)
    console().print(table)
    typer.echo(", ".join(f"{count:,} {what}" for what, count in totals(rows).items()))
