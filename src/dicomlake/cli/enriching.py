"""Commands about enrichers: have them look at series, see how far they are, ask what said what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption, console

if TYPE_CHECKING:
    from dicomlake.jobs.enriching import Standing


@app.command(
    epilog="Examples:  dicomlake enrich codes --lake lake    "
    "dicomlake enrich totalsegmentator --where \"Modality = 'CT'\" --set keep=seg    "
    "dicomlake enrich hounsfield --queue"
)
def enrich(
    name: Annotated[str, typer.Argument(help="Which enricher; dicomlake enrichers lists them.")],
    lake: LakeOption = HERE,
    where: Annotated[str | None, typer.Option(help="Only series that meet this condition.")] = None,
    again: Annotated[
        bool, typer.Option(help="Also series that it has looked at; what it said stays on record.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many series, the newest studies first.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the enricher."),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Leave it to workers: dicomlake worker --enrichers 1")
    ] = False,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, help="With --queue: 0 first, 9 last.")
    ] = None,
) -> None:
    """Have an enricher look at all series that it has not looked at.

    Stop it at any time; the same command goes on from there.
    """
    from dicomlake.settings import read

    found = read(lake)
    if queue:
        _queue(lake, found, name, where, again, priority, set_)
        return
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.enriching import enrich as run
    from dicomlake.jobs.enrichtasks import options_of

    options = {**options_of(found, name), **_options(set_ or [])}
    with Bar(console(error=True)) as bar:
        report = run(
            lake, name, where=where, options=options, again=again, limit=limit, progress=bar
        )
    typer.echo(str(report))
    for reason, count in report.reasons.most_common(5):
        typer.echo(f"  {count:,} {reason}")


def _queue(
    lake: Path,
    found: Any,
    name: str,
    where: str | None,
    again: bool,
    priority: int | None,
    set_: list[str] | None,
) -> None:
    from dicomlake.errors import UsageError
    from dicomlake.jobs.enrichtasks import submit

    if set_:
        raise UsageError(
            f"Workers take options from dicomlake.toml: write {set_[0]} under [enrich.{name}]."
        )
    job, tasks = submit(lake, found, name, where=where, again=again, priority=priority)
    if not tasks:
        typer.echo(f"Nothing waits for {name} that is not queued already.")
        return
    typer.echo(f"{tasks:,} tasks queued as {job}. They are done by: dicomlake worker --enrichers 1")


def _options(texts: list[str]) -> dict[str, str]:
    from dicomlake.errors import UsageError

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"Write an option as NAME=VALUE, not {text!r}.")
        found[name] = value
    return found


@app.command(epilog="Example:  dicomlake enrichers --lake lake")
def enrichers(lake: LakeOption = HERE) -> None:
    """List the enrichers: what they do, how far they are with this lake, and what they need."""
    from dicomlake.jobs.enriching import standings
    from dicomlake.jobs.enrichtasks import options_of
    from dicomlake.lake import Store
    from dicomlake.settings import read

    settings = read(lake)
    options = {name: options_of(settings, name) for name in settings.enrich}
    found = standings(Store(lake), options)
    console().print(_standings(found))
    for one in found:
        typer.echo(f"{one.name}: {one.about}" if one.about else one.name)
        if one.problem:
            typer.echo(f"  {one.problem}")


def _standings(found: list[Standing]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    heads = ("enricher", "version", "on", "done", "skipped", "failed", "waiting", "rows")
    for head in heads:
        table.add_column(head, justify="left" if head in heads[:3] else "right", no_wrap=True)
    for one in found:
        waits = "?" if one.waiting is None else f"{one.waiting:,}"
        numbers = (one.done, one.skipped, one.failed)
        table.add_row(one.name, one.version, one.hardware, *(f"{n:,}" for n in numbers), waits,
                      f"{one.annotations + one.findings:,}")  # fmt: skip
    return table


@app.command(epilog="Example:  dicomlake statements 1.2.840.113619.2.55.3 --lake lake")
def statements(
    uid: Annotated[str, typer.Argument(metavar="SeriesInstanceUID", help="Which series.")],
    lake: LakeOption = HERE,
) -> None:
    """Show what enrichers state of a series: as it was sent, what it means, and what is wrong."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.inspection import print_statements

    print_statements(open_lake(lake), uid, console())


@app.command(epilog="Example:  dicomlake provenance 1.2.840.113619.2.55.3 --lake lake")
def provenance(
    uid: Annotated[str, typer.Argument(metavar="SeriesInstanceUID", help="Which series.")],
    lake: LakeOption = HERE,
) -> None:
    """Show who stated something of a series: enricher, version, model, run; newest first.

    A line without a star is superseded by a later one of the same enricher, or failed.
    """
    from dicomlake.jobs.enriching import provenance as run
    from dicomlake.lake import Store

    rows = run(Store(lake), uid)
    if not rows:
        typer.echo("No enricher has looked at this series yet: dicomlake enrichers")
    for row in rows:
        mark = "*" if row["counts"] else " "
        what = row["reason"] or f"{row['annotations']:,} statements, {row['findings']:,} findings"
        typer.echo(
            f"{mark} {row['made']:%Y-%m-%d %H:%M:%S}  {row['enricher']} {row['version']} "
            f"({row['model']})  {row['state']}: {what}  run {row['run_id']}"
        )
        for uri in row["kept"] or ():
            typer.echo(f"    kept {uri}")
