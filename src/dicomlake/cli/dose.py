"""Commands about radiation dose: events, studies, patients, reference levels, alarms, outliers."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeArgument, OutputOption
from dicomlake.cli.commands import console as screen
from dicomlake.cli.formats import Format
from dicomlake.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

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
LimitOption = Annotated[int, typer.Option(min=1, help="Most rows on the screen.")]
LeastOption = Annotated[
    int | None, typer.Option(min=2, help="Patients or events that a statement needs.")
]
NobodyOption = Annotated[
    bool, typer.Option("--not-patients", help="Also phantoms, tests and quality assurance.")
]

_EVENTS = """PatientID StudyDate device standard_protocol phantom CTDIvol DLP DAP RP AGD activity
    effective_dose SSDE"""
_STUDIES = "PatientID StudyDate device events DLP DAP RP AGD_right AGD_left activity effective_dose"
_PATIENTS = """PatientID studies last DLP_highest DLP_now DAP_highest RP_highest
    effective_dose_highest effective_dose_now"""
_LEVELS = "standard_protocol device quantity phantom group n median unit level country verdict"
_ALARMS = "alarm_id rule value limit unit PatientID StudyDate state reason"
_OUTLIERS = "StudyDate device standard_protocol size_bin quantity value unit median z n"
_PROTOCOLS = "kind protocol region_meaning standard_protocol events studies"
_FACTORS = "set weighting region age_class k verification"


@dose.command(
    epilog="Examples:  dicomlake dose events lake --where \"Modality = 'CT'\"    "
    "dicomlake dose events lake --factor-set 'NCI 2012' --format csv -o events.csv"
)
def events(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    factor_set: SetOption = None,
    not_patients: NobodyOption = False,
    limit: LimitOption = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List irradiation events that count, with effective and size-specific dose."""
    said = {"factor_set": factor_set, "include_not_patient": not_patients}
    _write(_open(lake).dose.events(where, **said), _EVENTS, limit, form, output)


@dose.command(epilog='Example:  dicomlake dose studies lake --where "StudyDate >= 2024-01-01"')
def studies(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    factor_set: SetOption = None,
    not_patients: NobodyOption = False,
    limit: LimitOption = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List what studies have got, summed over events and as stated. CTDIvol is never added."""
    said = {"factor_set": factor_set, "include_not_patient": not_patients}
    _write(_open(lake).dose.studies(where, **said), _STUDIES, limit, form, output)


@dose.command(
    epilog="Examples:  dicomlake dose patients lake --days 84    "
    "dicomlake dose patients lake --patient 2228416500714706394"
)
def patients(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    days: Annotated[int, typer.Option(min=1, help="Length of the window.")] = 365,
    patient: Annotated[
        int | None, typer.Option(help="The studies of this patient_key, oldest first.")
    ] = None,
    factor_set: SetOption = None,
    limit: LimitOption = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List what patients have got in a window of days: its highest sum, and that of today."""
    doses = _open(lake).dose
    if patient is not None:
        if where:
            raise UsageError("Give --patient or --where, not both.")
        rows = doses.patient(patient, days, factor_set=factor_set)
        shown = "StudyDate device DLP DLP_window DAP RP effective_dose effective_dose_window"
        _write(rows, shown, limit, form, output)
        return
    rows = doses.patients(where, days=days, factor_set=factor_set)
    _write(rows, _PATIENTS, limit, form, output)


@dose.command(
    epilog="Examples:  dicomlake dose levels lake --country GB    "
    'dicomlake dose levels lake --least 30 --where "StudyDate >= 2024-01-01"'
)
def levels(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    country: Annotated[str | None, typer.Option(help="Only its reference levels: GB, DE.")] = None,
    least: LeastOption = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Compare medians of protocols and devices with reference levels; never one patient."""
    rows = _open(lake).dose.levels(where, country=country, least=least)
    _write(rows, _LEVELS, limit, form, output)


@dose.command(
    epilog="Examples:  dicomlake dose alarms lake --state open    "
    "dicomlake dose alarms lake --set ncrp168    "
    "dicomlake dose alarms lake --close 0f3a... --reason 'Two stents, skin looked at'    "
    "dicomlake dose alarms lake --tell"
)
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
    limit: LimitOption = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List alarms for patients by rules with limits, and say what became of them."""
    opened = _open(lake)
    named = [(close, "closed"), (seen, "seen"), (reopen, "open")]
    chosen = [(alarm, what) for alarm, what in named if alarm]
    if len(chosen) > 1:
        raise UsageError("Close, see or reopen one alarm at a time.")
    if chosen:
        alarm, what = chosen[0]
        rows = opened.dose.close(alarm, reason, getpass.getuser(), state=what)
    elif tell:
        from dicomlake.jobs.dose.telling import tell as run

        typer.echo(f"{len(run(lake, opened.engine)):,} alarms told")
        return
    else:
        rows = opened.dose.alarms(where, state=state, sets=tuple(sets) if sets else None)
    _write(rows, _ALARMS, limit, form, output)


@dose.command(
    epilog="Examples:  dicomlake dose outliers lake --z 5    dicomlake dose outliers lake --trends"
)
def outliers(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    z: Annotated[float | None, typer.Option(min=0.1, help="From which distance on.")] = None,
    least: LeastOption = None,
    trends: Annotated[
        bool, typer.Option("--trends", help="Instead: medians of devices by their software.")
    ] = False,
    limit: LimitOption = 25,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List events that stand out of their model, protocol and size of patients."""
    doses = _open(lake).dose
    if trends:
        rows = doses.trends(where, least=least)
        _write(rows, " ".join(rows.column_names), limit, form, output)
        return
    _write(doses.outliers(where, z=z, least=least), _OUTLIERS, limit, form, output)


@dose.command(epilog="Example:  dicomlake dose protocols lake --unnamed")
def protocols(
    lake: LakeArgument = HERE,
    where: WhereOption = None,
    unnamed: Annotated[
        bool, typer.Option("--unnamed", help="Only those that no rule names.")
    ] = False,
    limit: LimitOption = 50,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List protocols as sent with their standard names; rules are in names.yaml."""
    import pyarrow.compute as pc

    rows = _open(lake).dose.protocols(where)
    if unnamed:
        rows = rows.filter(pc.is_null(rows.column("standard_protocol")))
    _write(rows, _PROTOCOLS, limit, form, output)


@dose.command(epilog="Example:  dicomlake dose factors lake --format csv")
def factors(
    lake: LakeArgument = HERE,
    limit: LimitOption = 100,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List the factors of effective dose, by set. A set is never mixed with another one."""
    _write(_open(lake).dose.factors(), _FACTORS, limit, form, output)


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


def _write(rows: pa.Table, shown: str, limit: int, form: Format, output: Path | None) -> None:
    """Write rows; on the screen only some columns that have a value, and only so many rows."""
    from dicomlake.cli.output import write

    if form is not Format.table or output is not None:
        write(rows, form, output, screen())
        return
    if not rows.num_rows:
        typer.echo("There is nothing of that.")
        return
    names = [name for name in shown.split() if rows.column(name).null_count < rows.num_rows]
    write(_in_units(rows.select(names)).slice(0, limit), form, output, screen())
    if rows.num_rows > limit:
        typer.echo(f"... and {rows.num_rows - limit:,} more: --limit N, or --format csv")


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
        rows = rows.set_column(at, f"{field.name} [{head}]" if unit else field.name, numbers)
    return rows
