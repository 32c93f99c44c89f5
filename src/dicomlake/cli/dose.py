"""Commands about radiation dose: events, studies, patients, reference levels, alarms, outliers."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeArgument, OutputOption
from dicomlake.cli.commands import console as screen
from dicomlake.cli.formats import Format
from dicomlake.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from dicomlake.api import Lake

dose = typer.Typer(
    name="dose",
    help="Radiation dose: what patients got, protocols and devices beside reference levels, "
    "alarms.",
    no_args_is_help=True,
    epilog="Start with: dicomlake dose studies lake    More: docs/dose.md",
)
app.add_typer(dose)

WhereOption = Annotated[
    str | None, typer.Option(help="Only studies that meet this condition.", metavar="CONDITION")
]
SetOption = Annotated[
    str | None,
    typer.Option("--factor-set", help="Factors of effective dose: dicomlake dose factors."),
]
ColumnsOption = Annotated[
    str,
    typer.Option(help="Only these columns, joined by commas; all of them: all.", metavar="NAMES"),
]
LimitOption = Annotated[int, typer.Option(min=1, help="Most rows on the screen.")]
LeastOption = Annotated[
    int | None, typer.Option(min=2, help="Patients or events that a statement needs.")
]
NobodyOption = Annotated[
    bool, typer.Option("--not-patients", help="Also phantoms, tests and quality assurance.")
]

_EVENTS = """PatientID StudyDate device CTDIvol DLP effective_dose DAP RP AGD activity SSDE
    standard_protocol phantom size_used size_source"""
_STUDIES = """PatientID StudyDate device DLP effective_dose DAP RP AGD_right AGD_left activity
    events CTDIvol_head CTDIvol_body fluoro_time"""
_PATIENTS = """PatientID studies last DLP_highest effective_dose_highest DAP_highest RP_highest
    DLP_now effective_dose_now StudyDate device DLP DLP_window DAP RP effective_dose
    effective_dose_window"""
_LEVELS = """standard_protocol device quantity n median unit verdict level country group phantom
    per ratio"""
_ALARMS = "alarm_id rule value limit unit state PatientID StudyDate reason"
_OUTLIERS = """StudyDate device standard_protocol quantity value median z unit n size_bin
    SoftwareVersions change first last"""
_PROTOCOLS = "kind protocol standard_protocol events studies region_meaning"
_FACTORS = "set region age_class k weighting phantom verification"
"""Columns for the screen, the most important first: as many as it is wide enough for."""


_NAMES = {"pa": SimpleNamespace(Table=object)}
"""What stands for names in the types of results: pyarrow is not imported for a page of help."""


def listed(shown: str, limit: int = 25) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function that finds rows, with options of how they are written."""
    more = {
        "columns": (ColumnsOption, ""),
        "limit": (LimitOption, limit),
        "form": (FormatOption, Format.table),
        "output": (OutputOption, None),
    }

    def made(find: Callable[..., Any]) -> Callable[..., None]:
        @wraps(find)
        def command(
            *, columns: str, limit: int, form: Format, output: Path | None, **said: Any
        ) -> None:
            rows = find(**said)
            if rows is not None:
                _write(rows, shown, columns, limit, form, output)

        own = inspect.signature(find, locals=_NAMES, eval_str=True)
        new = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind
            )
            for name, (kind, default) in more.items()
        ]
        both = [*own.parameters.values(), *new]
        command.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in both}
        return command

    return made


@dose.command(
    epilog="Examples:  dicomlake dose events lake --where \"Modality = 'CT'\"    "
    "dicomlake dose events lake --factor-set 'NCI 2012' --format csv -o events.csv"
)
@listed(_EVENTS)
def events(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    factor_set: SetOption = None,
    not_patients: NobodyOption = False,
) -> pa.Table:
    """List irradiation events that count, with effective and size-specific dose."""
    said = {"factor_set": factor_set, "include_not_patient": not_patients}
    return _open(lake).dose.events(where, **said)


@dose.command(epilog='Example:  dicomlake dose studies lake --where "StudyDate >= 2024-01-01"')
@listed(_STUDIES)
def studies(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    factor_set: SetOption = None,
    not_patients: NobodyOption = False,
) -> pa.Table:
    """List what studies have got, summed over events and as stated. CTDIvol is never added."""
    said = {"factor_set": factor_set, "include_not_patient": not_patients}
    return _open(lake).dose.studies(where, **said)


@dose.command(
    epilog="Examples:  dicomlake dose patients lake --days 84    "
    "dicomlake dose patients lake --patient P000014"
)
@listed(_PATIENTS)
def patients(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    days: Annotated[int, typer.Option(min=1, help="Length of the window.")] = 365,
    patient: Annotated[
        str | None,
        typer.Option(metavar="PatientID", help="The studies of one patient, oldest first."),
    ] = None,
    factor_set: SetOption = None,
) -> pa.Table:
    """List what patients have got in a window of days: its highest sum, and that of today."""
    doses = _open(lake).dose
    if patient is not None:
        if where:
            raise UsageError("Give --patient or --where, not both.")
        return doses.patient(patient, days, factor_set=factor_set)
    return doses.patients(where, days=days, factor_set=factor_set)


@dose.command(
    epilog="Examples:  dicomlake dose levels lake --country GB    "
    'dicomlake dose levels lake --least 30 --where "StudyDate >= 2024-01-01"'
)
@listed(_LEVELS, limit=50)
def levels(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    country: Annotated[str | None, typer.Option(help="Only its reference levels: GB, DE.")] = None,
    least: LeastOption = None,
) -> pa.Table:
    """Compare medians of protocols and devices with reference levels; never one patient."""
    return _open(lake).dose.levels(where, country=country, least=least)


@dose.command(
    epilog="Examples:  dicomlake dose alarms lake --state open    "
    "dicomlake dose alarms lake --set ncrp168    "
    "dicomlake dose alarms lake --close 0f3a... --reason 'Two stents, skin looked at'    "
    "dicomlake dose alarms lake --tell"
)
@listed(_ALARMS)
def alarms(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    state: Annotated[str, typer.Option(help="Only those that are open, seen or closed.")] = "",
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Also the rules of this set; may come again.")
    ] = None,
    close: Annotated[str, typer.Option(metavar="ID", help="Close this alarm.")] = "",
    seen: Annotated[str, typer.Option(metavar="ID", help="Say that this alarm was seen.")] = "",
    reopen: Annotated[str, typer.Option(metavar="ID", help="Open this alarm again.")] = "",
    reason: Annotated[str, typer.Option(help="Why; an alarm is not closed without.")] = "",
    tell: Annotated[
        bool, typer.Option("--tell", help="Tell [dose.webhook] of those nobody was told of.")
    ] = False,
) -> pa.Table | None:
    """List alarms for patients by rules with limits, and say what became of them."""
    opened = _open(lake)
    named = [(close, "closed"), (seen, "seen"), (reopen, "open")]
    chosen = [(alarm, what) for alarm, what in named if alarm]
    if len(chosen) > 1:
        raise UsageError("Close, see or reopen one alarm at a time.")
    if chosen:
        alarm, what = chosen[0]
        return opened.dose.close(alarm, reason, getpass.getuser(), state=what)
    if tell:
        from dicomlake.jobs.dose.telling import tell as run

        typer.echo(f"{len(run(lake, opened.engine)):,} alarms told")
        return None
    return opened.dose.alarms(where, state=state, sets=tuple(sets) if sets else None)


@dose.command(
    epilog="Examples:  dicomlake dose outliers lake --z 5    dicomlake dose outliers lake --trends"
)
@listed(_OUTLIERS)
def outliers(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    z: Annotated[float | None, typer.Option(min=0.1, help="From which distance on.")] = None,
    least: LeastOption = None,
    trends: Annotated[
        bool, typer.Option("--trends", help="Instead: medians of devices by their software.")
    ] = False,
) -> pa.Table:
    """List events that stand out of their model, protocol and size of patients."""
    doses = _open(lake).dose
    if trends:
        return doses.trends(where, least=least)
    return doses.outliers(where, z=z, least=least)


@dose.command(epilog="Example:  dicomlake dose protocols lake --unnamed")
@listed(_PROTOCOLS, limit=50)
def protocols(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    unnamed: Annotated[
        bool, typer.Option("--unnamed", help="Only those that no rule names.")
    ] = False,
) -> pa.Table:
    """List protocols as sent with their standard names; rules are in names.yaml."""
    import pyarrow.compute as pc

    rows = _open(lake).dose.protocols(where)
    if unnamed:
        rows = rows.filter(pc.is_null(rows.column("standard_protocol")))
    return rows


@dose.command(epilog="Example:  dicomlake dose factors lake --format csv")
@listed(_FACTORS, limit=100)
def factors(
    lake: LakeArgument = HERE,
) -> pa.Table:
    """List the factors of effective dose, by set. A set is never mixed with another one."""
    return _open(lake).dose.factors()


@dose.command(epilog="Example:  dicomlake dose sizes lake --where \"BodyPartExamined = 'CHEST'\"")
def sizes(
    lake: LakeArgument = HERE,
    where: Annotated[
        str | None, typer.Option(help="Only series that meet it.", metavar="CONDITION")
    ] = None,
    again: Annotated[bool, typer.Option(help="Also those that have been measured.")] = False,
) -> None:
    """Measure water-equivalent diameters in the pixels of CT series, for size-specific dose.

    Opens the objects. Stop it at any time and start it again.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.dose.measuring import measure
    from dicomlake.query import parse

    with Bar(screen(error=True)) as bar:
        report = measure(lake, parse(where) if where else None, progress=bar, again=again)
    typer.echo(str(report))


def _open(lake: Path) -> Lake:
    from dicomlake.api import open as open_lake

    return open_lake(lake)


def _write(
    rows: pa.Table, shown: str, columns: str, limit: int, form: Format, output: Path | None
) -> None:
    """Write rows; on the screen only columns with a value that it is wide enough for."""
    from dicomlake.cli.output import write

    rows = rows.select(_wanted(rows, columns))
    if form is not Format.table or output is not None:
        write(rows, form, output, screen())
        return
    if not rows.num_rows:
        typer.echo("There is nothing of that.")
        return
    some = rows.slice(0, limit)
    names = rows.column_names
    if not columns:
        there = [name for name in shown.split() if name in names]
        names = [name for name in there if some.column(name).null_count < some.num_rows]
    some = _in_units(some.select(names))
    console = screen()
    fitting = some if columns else _fitting(some, console)
    console.width = max(console.width, _width(fitting, console))
    write(fitting, form, output, console)
    left = [name for name in some.column_names if name not in fitting.column_names]
    if left:
        typer.echo(f"Not shown: {', '.join(name.split()[0] for name in left)}: --columns NAMES")
    if rows.num_rows > limit:
        typer.echo(f"... and {rows.num_rows - limit:,} more: --limit N, or --format csv")


def _wanted(rows: pa.Table, columns: str) -> list[str]:
    """Names of columns that somebody asks for; UsageError for one that is not there."""
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if not names or names == ["all"]:
        return list(rows.column_names)
    for name in names:
        if name not in rows.column_names:
            raise UsageError(
                f"There is no column {name[:60]!r}. There are: {', '.join(rows.column_names)}."
            )
    return names


def _fitting(rows: pa.Table, console: Console) -> pa.Table:
    """The columns that the screen is wide enough for, the first ones first."""
    names: list[str] = []
    for name in rows.column_names:
        if _width(rows.select([*names, name]), console) <= console.width or len(names) < 2:
            names.append(name)
    return rows.select(names)


def _width(rows: pa.Table, console: Console) -> int:
    """How wide a screen has to be for rows."""
    from dicomlake.cli.output import drawn

    free = console.options.update(max_width=100_000)
    return console.measure(drawn(rows), options=free).maximum


def _in_units(rows: pa.Table) -> pa.Table:
    """Numbers as people read them, with the unit in the head: DAP in cGy.cm2."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from dicomlake.jobs.dose.schemas import SHOWN, unit_of

    for at, field in enumerate(rows.schema):
        if not pa.types.is_floating(field.type):
            continue
        unit = unit_of(field)
        head, by = SHOWN.get(unit, (unit, 1.0))
        numbers = pc.round(pc.multiply(rows.column(at), by), 3)
        name = f"{field.name} [{head}]" if unit else field.name
        rows = rows.set_column(at, name, numbers)
    return rows
