"""Commands of FHIR: publishing what the lake holds to servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeOption, OutputOption, console
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from dicomlake.jobs.fhir.publishing import Report

fhir = typer.Typer(
    name="fhir", help="FHIR resources of the lake: on servers, and in files.", no_args_is_help=True
)
app.add_typer(fhir)
TargetArgument = Annotated[str, typer.Argument(help="Name of the target in dicomlake.toml.")]


@fhir.command(
    epilog="Examples:  dicomlake fhir push station --lake lake    "
    "dicomlake fhir push station --where \"Modality = 'CT'\"    "
    "dicomlake fhir push station --follow"
)
def push(
    target: TargetArgument,
    lake: LakeOption = HERE,
    everything: Annotated[
        bool, typer.Option("--all", help="Look at all resources, not only at what changed.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send all resources, also those that did not change.")
    ] = False,
    where: Annotated[
        str, typer.Option(help="Only what meets a condition, as in dicomlake query.")
    ] = "",
    level: Annotated[
        str, typer.Option(help="What meets it: whole studies, patients, or series alone.")
    ] = "study",
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on publishing what comes, until stopped.")
    ] = False,
) -> None:
    """Publish what changed in the lake to a FHIR server, or what a question finds.

    With --where, what was published before and is not found stays there. Stop it at any time: the
    same command goes on from there. What the server refuses is listed by dicomlake fhir status,
    and sent again after dicomlake fhir retry.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.errors import UsageError
    from dicomlake.jobs.fhir.targets import opened
    from dicomlake.settings import read

    if where and follow:
        raise UsageError("--follow has no --where: set query of the target instead.")
    if level not in ("patient", "study", "series"):
        raise UsageError("--level is patient, study or series.")
    asked = (where, level)
    with (
        Bar(console(error=True)) as bar,
        opened(lake, read(lake), target, where=asked, progress=bar) as made,
    ):
        report = made.push(everything=everything, again=again, only=bool(where))
    typer.echo(_told(report, target))
    if follow:
        typer.echo(f"Publishing what comes to {target}. Stop with Ctrl-C.", err=True)
        with opened(lake, read(lake), target) as made:
            made.follow(lambda: False)
    raise typer.Exit(1 if report.refused else 0)


def _told(report: Report, target: str) -> str:
    """What a run did, as a sentence."""
    parts = [f"{report.sent:,} resources sent", f"{report.same:,} unchanged"]
    if report.gone:
        parts.append(f"{report.gone:,} deleted")
    if report.refused:
        parts.append(f"{report.refused:,} refused (see: dicomlake fhir status {target})")
    return f"{', '.join(parts)}, in {report.seconds:.1f} s, version {report.version} of the lake."


@fhir.command(epilog="Example:  dicomlake fhir status station --lake lake")
def status(
    target: TargetArgument,
    lake: LakeOption = HERE,
    limit: Annotated[int, typer.Option(min=1, help="Most refused resources.")] = 20,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """What was published to a target, what waits, and what it refused and why."""
    from contextlib import closing

    import pyarrow as pa

    from dicomlake.cli.output import write
    from dicomlake.jobs.fhir.published import Published
    from dicomlake.settings import read

    found = read(lake).fhir.of(target)
    with closing(Published(lake, target)) as published:
        if not published.begun:
            typer.echo(
                f"Nothing was published to {target} yet. Begin: dicomlake fhir push {target}"
            )
            return
        counts, refused = published.counts(), published.refused(limit)
        pending, base = published.pending, published.noted("base")
    if form is not Format.table or output is not None:
        rows: list[dict[str, Any]] = [
            {"type": one.type, "id": one.id, "there": one.there, "status": one.status,
             "why": one.why, "at": _when(one.at)} for one in refused
        ]  # fmt: skip
        schema = pa.schema([(n, pa.int64() if n == "status" else pa.string()) for n in _COLUMNS])
        write(pa.Table.from_pylist(rows, schema), form, output, console())
        return
    where = f"version {base['series']} of the lake" if base else "no version as a whole yet"
    typer.echo(f"{target} at {found.url} has {where}; {pending:,} studies wait.")
    table = [
        {"type": type_, "there": sum(of.values()) - of.get("dead", 0), "refused": of.get("dead", 0)}
        for type_, of in counts.items()
    ]
    if table:
        write(pa.Table.from_pylist(table), Format.table, None, console())
    for one in refused:
        typer.echo(f"refused {_when(one.at)}: {one.type}/{one.id}: {one.why}")


_COLUMNS = ("type", "id", "there", "status", "why", "at")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@fhir.command(epilog="Example:  dicomlake fhir retry station --lake lake")
def retry(target: TargetArgument, lake: LakeOption = HERE) -> None:
    """Let the next push send again what a server refused."""
    from dicomlake.jobs.fhir.targets import opened
    from dicomlake.settings import read

    with opened(lake, read(lake), target) as made:
        count = made.retry()
    again = f"dicomlake fhir push {target} --lake {lake}"
    typer.echo(f"{count:,} resources are sent again by: {again}")
