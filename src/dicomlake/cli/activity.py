"""Commands about what devices do, and who opens what of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeArgument, OutputOption, console
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from dicomlake.api import Lake
    from dicomlake.jobs.activity import Activity

activity = typer.Typer(
    name="activity",
    help="What devices do: where they stand, when they are used or idle, who opens their studies.",
    no_args_is_help=True,
    epilog="Start with: dicomlake activity devices lake    What is counted how: docs/activity.md",
)
app.add_typer(activity)

Where = Annotated[str | None, typer.Option(help="Only series that meet this condition.")]
Since = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day.")]
HoursOption = Annotated[
    str, typer.Option(help="Working hours, as 07:30-16:00; else of the settings, else derived.")
]
Device = Annotated[str | None, typer.Option(help="One device, as the device map calls it.")]


def _activity(
    lake: Lake, where: str | None, since: datetime | None, until: datetime | None, hours: str
) -> Activity:
    from dicomlake import settings
    from dicomlake.jobs.activity import Asked, Hours

    hours = hours or settings.read(lake.path).activity.hours
    asked = Asked(
        since=since.date() if since else None,
        until=until.date() if until else None,
        hours=Hours.read(hours) if hours else None,
    )
    return lake.activity(where, asked)


def _note(found: Activity) -> None:
    """Say on standard error what the times could not tell."""
    for row in found.untidy.to_pylist():
        word = "counted" if row["kept"] else "left out"
        typer.echo(f"{row['series']:,} series {word}: {row['reason']}", err=True)


@activity.command(epilog="Example:  dicomlake activity devices lake --since 2024-01-01")
def devices(
    lake: LakeArgument = HERE,
    where: Where = None,
    since: Since = None,
    until: Until = None,
    hours: HoursOption = "",
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List the devices: where they stand, software, first and last seen, studies, utilisation."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    found = _activity(open_lake(lake), where, since, until, hours)
    table = found.devices()
    if form is Format.table and output is None:
        table = table.select(_SHOWN)
    write(table, form, output, console())
    _note(found)


_SHOWN = "InstitutionName device modalities last_seen studies utilisation".split()
"""Columns that fit on a screen."""


@activity.command(epilog="Example:  dicomlake activity utilisation lake --device 'Model Aurora 7'")
def utilisation(
    lake: LakeArgument = HERE,
    device: Device = None,
    where: Where = None,
    since: Since = None,
    until: Until = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Say of every hour of the week how many minutes devices were busy, and how many began."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    found = _activity(open_lake(lake), where, since, until, "")
    write(found.utilisation(device), form, output, console())
    _note(found)


@activity.command(epilog="Example:  dicomlake activity gaps lake --hours 07:30-16:00 --pauses")
def gaps(
    lake: LakeArgument = HERE,
    device: Device = None,
    where: Where = None,
    since: Since = None,
    until: Until = None,
    hours: HoursOption = "",
    pauses: Annotated[
        bool, typer.Option("--pauses", help="Count pauses by steps of minutes instead.")
    ] = False,
    days: Annotated[
        bool, typer.Option("--days", help="First, last, busy, idle and over of each day instead.")
    ] = False,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List the longest times within working hours in which devices did nothing."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    found = _activity(open_lake(lake), where, since, until, hours)
    how = found.pauses if pauses else found.days if days else found.gaps
    write(how(device), form, output, console())
    _note(found)


@activity.command(epilog="Example:  dicomlake activity access lake --by modality")
def access(
    lake: LakeArgument = HERE,
    by: Annotated[str, typer.Option(help="role, user, modality, device, hour or export.")] = "role",
    where: Where = None,
    since: Since = None,
    until: Until = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Say who opened what, how often, and how soon after it was made, from the audit log."""
    from dicomlake import settings
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write
    from dicomlake.errors import UsageError
    from dicomlake.jobs.access.audit import Audit
    from dicomlake.jobs.activity import access as opened
    from dicomlake.jobs.activity import zone_of

    told = settings.read(lake)
    opener = open_lake(lake)
    found = _activity(opener, where, since, until, "")
    log = Audit.of(lake, told.service.access.audit)
    seen = opened(opener.engine, found, log.lines(), zone_of(told.activity.timezone))
    tables = {
        "role": seen.roles, "user": seen.users, "hour": seen.hours, "export": seen.exports,
        "modality": seen.soon_by("modality"), "device": seen.soon_by("device"),
    }  # fmt: skip
    if by not in tables:
        raise UsageError(f"{by!r} is nothing to count by. Use one of {', '.join(tables)}.")
    if seen.since is None:
        typer.echo("The audit log is empty: nobody has opened anything yet.", err=True)
    write(tables[by], form, output, console())
