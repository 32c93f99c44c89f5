"""Commands for who may see what: API tokens, and the audit log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption

if TYPE_CHECKING:
    from dicomlake.jobs.access.audit import Audit
    from dicomlake.jobs.access.tokens import Token

access = typer.Typer(name="access", help="Who may use the service, see docs/access.md.")
token = typer.Typer(name="token", help="API tokens: made, listed, revoked.")
audit = typer.Typer(name="audit", help="The audit log: who asked for what, checked and shown.")
for _group in (access, token, audit):
    _group.info.no_args_is_help = True
access.add_typer(token)
app.add_typer(access)
app.add_typer(audit)


class RoleName(StrEnum):
    """Roles of the service."""

    partner = "partner"
    viewer = "viewer"
    researcher = "researcher"
    steward = "steward"
    admin = "admin"


@token.command(
    epilog="Example:  dicomlake access token add ann --role researcher --project cardio --days 90"
)
def add(
    name: Annotated[str, typer.Argument(help="Who or what it stands for.")],
    role: Annotated[RoleName, typer.Option(help="What it allows, see docs/access.md.")],
    lake: LakeOption = HERE,
    project: Annotated[
        str, typer.Option(help="Project of the settings whose series it shows; all of them else.")
    ] = "",
    days: Annotated[float | None, typer.Option(help="How long it lasts; for ever else.")] = None,
) -> None:
    """Make an API token. It is shown once, and only its hash is kept."""
    from dicomlake.errors import UsageError
    from dicomlake.jobs.access.roles import Role
    from dicomlake.jobs.access.tokens import Tokens
    from dicomlake.lake import Store
    from dicomlake.settings import read

    Store(lake)  # a folder that is no lake says so
    projects = read(lake).project
    if project and project not in projects:
        known = ", ".join(projects) or "none yet; write [project.NAME] into dicomlake.toml"
        raise UsageError(f"There is no project {project!r}. There are: {known}.")
    if role is RoleName.researcher and not project:
        raise UsageError(
            "A researcher needs a project: --project NAME. One without a filter is the whole lake."
        )
    made = Tokens(lake).add(name, Role(role.value), project, days)
    typer.echo(made)
    typer.echo("Note it now: it is not shown again, and nobody can find it out.", err=True)


@token.command("list", epilog="Example:  dicomlake access token list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the tokens, without what opens the door."""
    from rich.table import Table

    from dicomlake.cli.commands import console
    from dicomlake.jobs.access.tokens import Tokens

    table = Table("id", "name", "role", "project", "made", "ends", "state", box=None)
    for one in Tokens(lake).all():
        ends = _moment(one.ends) if one.ends else "never"
        table.add_row(one.id, one.name, one.role, one.project, _moment(one.made), ends, _state(one))
    console().print(table)


def _state(one: Token) -> str:
    import time

    return "revoked" if one.revoked else "good" if one.good(time.time()) else "over"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


@token.command(epilog="Example:  dicomlake access token revoke ann --lake lake")
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID|NAME", help="One token, or all of a name.")],
    lake: LakeOption = HERE,
) -> None:
    """Close the door to a token, from now on."""
    from dicomlake.jobs.access.tokens import Tokens

    for one in Tokens(lake).revoke(which):
        typer.echo(f"Revoked {one.id} of {one.name}.")


AuditOption = Annotated[
    Path | None, typer.Option("--file", help="Another file than that of the settings.")
]


def _log(lake: Path, file: Path | None) -> Audit:
    from dicomlake.jobs.access.audit import Audit
    from dicomlake.settings import read

    return Audit(file) if file else Audit.of(lake, read(lake).service.access.audit)


@audit.command(epilog="Example:  dicomlake audit verify --lake lake --head 3f0c...")
def verify(
    lake: LakeOption = HERE,
    head: Annotated[
        str, typer.Option(help="A hash that this command has shown before: it must be there.")
    ] = "",
    file: AuditOption = None,
) -> None:
    """Check that no line of the audit log was changed, removed, put elsewhere or cut off."""
    found = _log(lake, file).verify(head.strip())
    if not found.good:
        where = f"Line {found.broken:,}: " if found.broken else ""
        typer.echo(f"The audit log is damaged. {where}{found.why}.")
        raise typer.Exit(1)
    torn = f" A crash cut off {found.torn:,}, as the lines after them say." if found.torn else ""
    typer.echo(f"The audit log is whole: {found.lines:,} lines.{torn}")
    typer.echo(f"Its head is {found.head}")


@audit.command(epilog="Example:  dicomlake audit show --name ann --what export --limit 20")
def show(
    lake: LakeOption = HERE,
    name: Annotated[str, typer.Option(help="Of who called.")] = "",
    what: Annotated[str, typer.Option(help="Part of what was asked for.")] = "",
    text: Annotated[str, typer.Option(help="Anywhere in the line.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The newest lines.")] = 50,
    file: AuditOption = None,
) -> None:
    """Show the newest lines of the audit log as JSON lines, the newest last."""
    import orjson

    lines, _ = _log(lake, file).newest(limit, name=name, what=what, any=text)
    for line in reversed(lines):
        typer.echo(orjson.dumps(_readable(line)).decode())


def _readable(line: dict[str, Any]) -> dict[str, Any]:
    moment = datetime.fromtimestamp(line["time"]).astimezone().isoformat(timespec="seconds")
    return {**line, "time": moment}
