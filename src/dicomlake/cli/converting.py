"""The command that converts what is no DICOM, and looks after what was converted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import console

if TYPE_CHECKING:
    from dicomlake.jobs.converting import Report

_SHOWN = 20


@app.command(
    epilog="Examples:  dicomlake convert ecgs/ --lake lake    "
    "dicomlake convert labels.csv --mapping labels.yaml --out converted    "
    "dicomlake convert formats    dicomlake convert check labels.yaml labels.csv    "
    "dicomlake convert original 1.2.840.113619.2.55.3 --lake lake"
)
def convert(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Files and folders. Or: formats; check MAPPING FILE; original SOPInstanceUID.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the objects to this folder.")] = None,
    lake: Annotated[
        Path | None,
        typer.Option(
            "--lake", "-l", help="Put objects and facts into this lake.", envvar="DICOMLAKE_LAKE"
        ),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="A mapping file (YAML) that says what means what.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYWORD=VALUE", help="An attribute of all objects, if not told."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Look for images in this folder, not in the lake.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="What the lake calls where these files come from.")
    ] = "convert",
    workers: Annotated[int | None, typer.Option(min=1, help="How many processes.")] = None,
    again: Annotated[bool, typer.Option(help="Also what was converted before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be, and write nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with files that come, until Ctrl-C.")
    ] = False,
) -> None:
    """Convert ECGs, tables of labels and masks to DICOM objects; keep the files they were.

    Stop it at any time; the same command goes on from there.
    """
    match files:
        case ["formats"]:
            _formats()
        case ["check", said, table]:
            _check(Path(said), Path(table), lake, images, _pairs(header))
        case ["original", uid]:
            _original(uid, out, lake)
        case _:
            from dicomlake.jobs.converting import mapping_of

            how = {} if mapping is None else mapping_of(mapping)
            options = {
                "out": out,
                "lake": lake,
                "mapping": how,
                "header": _pairs(header),
                "images": images,
                "source": source,
            }
            paths = [Path(one) for one in files if mapping is None or Path(one) != mapping]
            if watch:
                _watch(paths, options)
                return
            _convert(paths, options, workers, again=again, dry_run=dry_run)


def _convert(
    paths: list[Path], options: dict[str, Any], workers: int | None, *, again: bool, dry_run: bool
) -> None:
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.converting import convert as run

    with Bar(console(error=True)) as bar:
        report = run(
            paths,
            **options,
            workers=workers or _processors(),
            again=again,
            dry_run=dry_run,
            progress=bar,
        )
    typer.echo(str(report))
    _tell(report)
    if report.waits:
        typer.echo("Somebody else is writing to the lake, and takes in what came.")
    if report.refused:
        raise typer.Exit(1)


def _tell(report: Report) -> None:
    for note, count in report.notes.most_common(_SHOWN):
        typer.echo(f"  {count:,} {note}")
    for uri, reason in report.failures[:_SHOWN]:
        typer.echo(f"  refused: {uri}: {reason}")
    if len(report.failures) > _SHOWN:
        for reason, count in report.refused.most_common(_SHOWN):
            typer.echo(f"  {count:,} {reason}")


def _watch(paths: list[Path], options: dict[str, Any]) -> None:
    from dicomlake.errors import UsageError
    from dicomlake.jobs.converting.watching import watch

    for path in paths:
        if not path.is_dir():
            raise UsageError(f"{path} is no folder, so it cannot be watched.")
    typer.echo("Watching; files are put into done/ or refused/ of their folder. End with Ctrl-C.")
    watch(paths, **options, told=typer.echo)


def _processors() -> int:
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pairs(texts: list[str] | None) -> dict[str, str]:
    from dicomlake.errors import UsageError

    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"Write an attribute as KEYWORD=VALUE, not {text!r}.")
        found[name] = value
    return found


def _formats() -> None:
    from dicomlake.jobs.converting import converters_of

    for converter in converters_of():
        typer.echo(f"{converter.name}: {converter.about}")
        for name, words in converter.formats.items():
            typer.echo(f"  {name:<12} {words}")


def _check(
    mapping: Path, table: Path, lake: Path | None, images: Path | None, header: dict[str, str]
) -> None:
    from dicomlake.jobs.converting.checking import checked

    for number, wrong, lines in checked(mapping, table, lake=lake, images=images, header=header):
        typer.echo(f"row {number}: {wrong or '; '.join(lines) or 'nothing'}")


def _original(uid: str, out: Path | None, lake: Path | None) -> None:
    from dicomlake.errors import UsageError
    from dicomlake.jobs.converting import Originals, originals_of
    from dicomlake.jobs.converting.originals import FOLDER

    if lake is None and out is None:
        raise UsageError("Say where the object is: --lake LAKE or --out FOLDER.")
    place = originals_of(lake) if lake is not None else Originals(Path(out or "") / FOLDER)
    found = place.of(uid)
    typer.echo(str(found.path) if found.path else "The original is not kept.")
    typer.echo(f"  came from {found.uri}, {found.size:,} bytes, SHA-256 {found.digest}")
    typer.echo(f"  converted by {found.converter} ({found.format}) to:")
    for one in found.instances:
        typer.echo(f"    {one}")
