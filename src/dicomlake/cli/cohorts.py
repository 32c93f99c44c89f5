"""Commands for cohorts: freeze, curate, compare, split, approve, withdraw."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeOption, OutputOption, console
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from dicomlake.jobs.cohorts.keeping import Version

cohort = typer.Typer(
    name="cohort", help="Frozen answers that stay the same, see docs/cohorts.md.",
    no_args_is_help=True,
)  # fmt: skip
app.add_typer(cohort)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the cohort.")]
NameAt = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The newest, or a version.")]
RequestOption = Annotated[int | None, typer.Option("--request", help="Its number.")]
Comment = Annotated[str, typer.Option("--comment", "-c", help="What others should know.")]


def _who() -> str:
    """Who sits at this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"


@cohort.command(
    epilog="Examples:  dicomlake cohort freeze knee-mr \"Modality = 'MR'\" --level study    "
    "dicomlake cohort freeze knee-mr --saved 'Knees' --comment 'as agreed in May'"
)
def freeze(
    name: Name,
    text: Annotated[str, typer.Argument(help="The question; empty takes everything.")] = "",
    lake: LakeOption = HERE,
    level: Annotated[
        str, typer.Option(help="series, or all series of each study or patient that is found.")
    ] = "series",
    saved: Annotated[
        str, typer.Option(help="Name or id of a saved question, instead of a text.")
    ] = "",
    comment: Comment = "",
    project: Annotated[str, typer.Option(help="Project of the settings that owns it.")] = "",
) -> None:
    """Freeze what a question finds now, as a new cohort or as the next version of one."""
    from dicomlake.api import open as open_lake

    made = open_lake(lake).freeze(
        name, text, level, saved=saved, by=_who(), comment=comment, project=project
    )
    typer.echo(f"{made.name}@{made.version} is frozen.")
    _print(made.version_of)


@cohort.command("list", epilog="Example:  dicomlake cohort list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the cohorts of a lake, newest first."""
    from rich import box
    from rich.table import Table

    from dicomlake.jobs.cohorts import listed
    from dicomlake.lake import Store

    found = listed(Store(lake).path)
    if not found:
        typer.echo("There is no cohort yet. Make one: dicomlake cohort freeze NAME QUESTION")
        return
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("cohort", "patients", "studies", "series", "instances", "made", "by", "question"):
        right = head in ("patients", "studies", "series", "instances")
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for one in found:
        numbers = (f"{one.counts[n]:,}" for n in ("patients", "studies", "series", "instances"))
        name = f"{one.name}@{one.version}"
        table.add_row(name, *numbers, _moment(one.made), one.by, one.text or "everything")
    console().print(table)


@cohort.command(
    epilog="Examples:  dicomlake cohort show knee-mr    dicomlake cohort show knee-mr@1"
)
def show(name: NameAt, lake: LakeOption = HERE) -> None:
    """Show a version: question, counts, attrition, decisions, requests, and what changed since."""
    from dicomlake.jobs.cohorts import opened

    found = opened(lake, name)
    _print(found.version_of)
    for number, what in (
        (found.withdrawn, "are of patients who withdrew since"),
        (found.missing, "are not in the lake any more"),
        (found.changed, "have another number of instances now"),
    ):
        if number:
            typer.echo(f"{number:,} series {what}.")
    if found.decided:
        typer.echo(
            f"{len(found.decided):,} decisions since: dicomlake cohort save {found.name} makes "
            "them a version."
        )
    if found.request is not None:
        asked = found.request
        until = f" until {asked.valid_until}" if asked.valid_until else ""
        typer.echo(f"Request {asked.n} of {asked.by} ({asked.purpose}): {asked.state}{until}.")


def _print(version: Version) -> None:
    """What is known of a version, on the screen."""
    counts = ", ".join(f"{n:,} {what}" for what, n in version.counts.items())
    typer.echo(f"{version.name}@{version.version}: {counts}")
    for state, number in version.left_out.items():
        if number:
            typer.echo(f"  {number:,} series {state}")
    question = version.text or "everything"
    typer.echo(f"Question: {question} (level {version.level}, lake {version.lake_version})")
    by = f" by {version.by}" if version.by else ""
    typer.echo(f"Made {_moment(version.made)}{by}, {version.kind}. {version.comment}".rstrip())
    typer.echo(f"Digest {version.digest}")
    if version.attrition:
        console().print(_steps(version))


def _steps(version: Version) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("condition", "patients", "studies", "series"):
        table.add_column(head, justify="left" if head == "condition" else "right", overflow="fold")
    levels = ("patients", "studies", "series")
    table.add_row("the lake", *(f"{version.whole[level]:,}" for level in levels))
    for step in version.attrition:
        text = Text("  " * step["depth"] + step["text"])
        table.add_row(text, *(f"{step['kept'][level]:,}" for level in levels))
    return table


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


@cohort.command(
    epilog="Example:  dicomlake cohort series knee-mr@2 --format csv --output series.csv"
)
def series(
    name: NameAt,
    lake: LakeOption = HERE,
    every: Annotated[
        bool, typer.Option("--all", help="Also what is excluded, withdrawn or gone; with reasons.")
    ] = False,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List the series of a version: what is included, not withdrawn and still in the lake."""
    from dicomlake.cli.output import write
    from dicomlake.jobs.cohorts import opened

    found = opened(lake, name)
    rows = found.rows if every else found.series()
    screen = form is Format.table and output is None
    write(rows.slice(0, 25) if screen else rows, form, output, console())
    if screen and rows.num_rows > 25:
        typer.echo(f"... and {rows.num_rows - 25:,} more: --format csv")


Uids = Annotated[list[str], typer.Argument(metavar="UID...", help="UIDs, or PatientIDs.")]
Level = Annotated[str, typer.Option(help="What the UIDs are: series, study, patient.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; others have to understand it.")]


@cohort.command(epilog="Example:  dicomlake cohort include knee-mr 1.2.3.4 --reason 'asked for'")
def include(
    name: Name, uids: Uids, lake: LakeOption = HERE, level: Level = "series", reason: Reason = ""
) -> None:
    """Take series in again, or add some of the lake that the question does not find."""
    _decide(lake, name, "include", uids, level, reason)


@cohort.command(
    epilog="Examples:  dicomlake cohort exclude knee-mr 1.2.3.4 --reason 'motion'    "
    "dicomlake cohort exclude knee-mr P000012 --level patient --reason 'implant'"
)
def exclude(
    name: Name,
    uids: Uids,
    lake: LakeOption = HERE,
    level: Level = "series",
    reason: Reason = "",
    flag: Annotated[str, typer.Option(help="A short mark beside the reason.")] = "",
) -> None:
    """Leave series out of the next version, with a reason."""
    _decide(lake, name, "exclude", uids, level, reason, flag)


@cohort.command(epilog="Example:  dicomlake cohort flag knee-mr 1.2.3.4 --flag 2")
def flag(
    name: Name,
    uids: Uids,
    flag: Annotated[str, typer.Option(help="A short mark, such as 1 to 9; empty removes it.")],
    lake: LakeOption = HERE,
    level: Level = "series",
    reason: Reason = "",
) -> None:
    """Mark series, which stay what they are."""
    _decide(lake, name, "flag", uids, level, reason, flag)


@cohort.command(epilog="Example:  dicomlake cohort comment knee-mr 1.2.3.4 --reason 'see report'")
def comment(
    name: Name, uids: Uids, reason: Reason, lake: LakeOption = HERE, level: Level = "series"
) -> None:
    """Write down something about series; the log keeps it."""
    _decide(lake, name, "comment", uids, level, reason)


def _decide(
    lake: Path, name: str, what: str, uids: list[str], level: str, reason: str, flag: str = ""
) -> None:
    from dicomlake.jobs.cohorts.deciding import decide

    entry = decide(lake, name, what, uids, reason, level=level, flag=flag, by=_who())
    typer.echo(
        f"Noted of {len(entry.about['series']):,} series. Next: dicomlake cohort save {name}"
    )


@cohort.command(epilog="Example:  dicomlake cohort save knee-mr --comment 'after reading'")
def save(name: Name, lake: LakeOption = HERE, comment: Comment = "") -> None:
    """Make what was decided since the newest version the next one."""
    from dicomlake.jobs.cohorts import save as run

    made = run(lake, name, by=_who(), comment=comment)
    typer.echo(f"{made.name}@{made.version} is saved.")
    _print(made)


@cohort.command(epilog="Example:  dicomlake cohort log knee-mr")
def log(name: Name, lake: LakeOption = HERE) -> None:
    """Show what people decided, oldest first."""
    from dicomlake.jobs.cohorts import keeping
    from dicomlake.lake import Store

    place = Store(lake).path
    keeping.numbers(place, name)
    for entry in keeping.log(place, name):
        about = entry.about
        uids = about.get("series")
        number = "" if uids is None else f" {len(uids):,} series"
        words = ("reason", "comment", "purpose")
        said = next((about[word] for word in words if about.get(word)), "")
        mark = f" [{about['flag']}]" if about.get("flag") else ""
        typer.echo(
            f"{entry.n:>4}  {_moment(entry.at)}  {entry.by}  {entry.what}{number}{mark} {said}"
        )


@cohort.command(
    epilog="Examples:  dicomlake cohort compare knee-mr@1 knee-mr    "
    "dicomlake cohort compare knee-mr knee-ct --format csv --output differences.csv"
)
def compare(
    a: NameAt,
    b: NameAt,
    lake: LakeOption = HERE,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Say what two versions or two cohorts have in common, and why they differ."""
    from dicomlake.cli.output import write
    from dicomlake.jobs.cohorts.comparing import compare as run

    found = run(lake, a, b)
    if form is not Format.table or output is not None:
        write(found.rows, form, output, console())
        return
    for level, sides in found.counts.items():
        typer.echo(
            f"{level}: {sides['only_a']:,} only in {a}, {sides['both']:,} in both, "
            f"{sides['only_b']:,} only in {b}"
        )
    for side, which in (("only_a", a), ("only_b", b)):
        for why, number in found.why[side].items():
            typer.echo(f"only in {which}: {number:,} series: {why}")


@cohort.command(epilog="Example:  dicomlake cohort new knee-mr")
def new(name: NameAt, lake: LakeOption = HERE) -> None:
    """Say what the question finds now beyond what was frozen."""
    from dicomlake.jobs.cohorts.comparing import news

    found = news(lake, name)
    if not found.any:
        typer.echo("Nothing changed: the question finds the same series as then.")
        return
    counts = ", ".join(f"{n:,} {what}" for what, n in found.counts.items() if what != "bytes")
    typer.echo(f"New: {counts}")
    for number, what in (
        (found.changed, "were read again since, and may have changed"),
        (found.lost, "are not found any more"),
        (found.missing, "are not in the lake any more"),
    ):
        if number:
            typer.echo(f"{number:,} series of the version {what}.")
    typer.echo(
        "The next version has what is there now: freeze the question again under the same name."
    )


@cohort.command(
    epilog="Examples:  dicomlake cohort split knee-mr --into train=0.7,val=0.1,test=0.2 "
    "--stratify sex,age --seed 1    "
    "dicomlake cohort split knee-mr --by site --values 'Hospital B=test,*=train' --folds 5    "
    "dicomlake cohort split knee-mr --by date --dates train=,test=2024-01-01"
)
def split(
    name: Name,
    lake: LakeOption = HERE,
    into: Annotated[str, typer.Option(help="Splits and their shares, such as a=0.8,b=0.2.")] = "",
    by: Annotated[
        str, typer.Option(help="patient, or whole site, device, model, source; or date.")
    ] = "patient",
    values: Annotated[str, typer.Option(help="Split of each site: A=train,B=test,*=train.")] = "",
    dates: Annotated[str, typer.Option(help="First StudyDate of each split.")] = "",
    stratify: Annotated[
        str, typer.Option(help="Attributes that are to be as frequent in all, such as sex,age.")
    ] = "",
    folds: Annotated[int, typer.Option(min=0, help="Folds of the first split.")] = 0,
    seed: Annotated[int, typer.Option(help="Another seed, other patients.")] = 0,
    comment: Comment = "",
) -> None:
    """Make a version with splits: no patient is in two of them, and the same seed is the same."""
    from dicomlake.errors import UsageError
    from dicomlake.jobs.cohorts.splitting import Spec
    from dicomlake.jobs.cohorts.splitting import split as run

    try:
        shares = {key: float(value) for key, value in _pairs(into).items()}
    except ValueError as error:
        raise UsageError("Shares are numbers: --into train=0.7,val=0.1,test=0.2") from error
    wanted = [part.strip() for part in stratify.split(",") if part.strip()]
    spec = Spec(by, shares, _pairs(values), _pairs(dates), tuple(wanted), seed, folds)
    made = run(lake, name, spec, by=_who(), comment=comment)
    typer.echo(f"{made.name}@{made.version} is split.")
    _shares(lake, f"{made.name}@{made.version}")
    _leaks(lake, f"{made.name}@{made.version}", devices=False)


def _pairs(text: str) -> dict[str, str]:
    from dicomlake.errors import UsageError

    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equal, value = part.partition("=")
        if not equal:
            raise UsageError(f"{part!r} is no pair. Write NAME=VALUE, with commas between them.")
        found[key.strip()] = value.strip()
    return found


def _shares(lake: Path, name: str) -> None:
    """Patients and series of each split and fold."""
    from dicomlake.jobs.cohorts import opened
    from dicomlake.jobs.cohorts.splitting import shares

    for row in shares(opened(lake, name).series()):
        fold = "" if row["fold"] is None else f" fold {row['fold']}"
        typer.echo(
            f"{row['split'] or 'no split'}{fold}: {row['patients']:,} patients, "
            f"{row['studies']:,} studies, {row['series']:,} series"
        )


@cohort.command(epilog="Example:  dicomlake cohort check knee-mr --devices")
def check(
    name: NameAt,
    lake: LakeOption = HERE,
    devices: Annotated[bool, typer.Option(help="Also devices in several splits.")] = False,
) -> None:
    """Look for what leaks from one split into another. Exit code 1 on errors."""
    _shares(lake, name)
    if _leaks(lake, name, devices=devices):
        raise typer.Exit(1)


def _leaks(lake: Path, name: str, *, devices: bool) -> bool:
    """Print what leaks; whether it is an error."""
    from dicomlake.jobs.cohorts.checking import check as run

    found = run(lake, name, devices=devices)
    for leak in found:
        some = f" Such as: {' '.join(leak.series[:3])}" if leak.series else ""
        typer.echo(f"{leak.level}: {leak.message}{some}")
    if not found:
        typer.echo(
            "Nothing leaks: no patient, person, study, object or frame of reference is in two."
        )
    return any(leak.level == "error" for leak in found)


@cohort.command(
    epilog="Example:  dicomlake cohort request knee-mr --purpose 'training of a model' "
    "--ethics 2026-17 --profile research --until 2099-12-31"
)
def request(
    name: NameAt,
    purpose: Annotated[str, typer.Option(help="What for.")],
    lake: LakeOption = HERE,
    ethics: Annotated[str, typer.Option(help="Number of the vote of the ethics board.")] = "",
    profile: Annotated[str, typer.Option(help="Profile of de-identification.")] = "",
    until: Annotated[str, typer.Option(help="Last day, such as 2099-12-31.")] = "",
) -> None:
    """Ask stewards to approve a version."""
    from dicomlake.jobs.cohorts.approving import request as run

    made = run(lake, name, purpose, ethics=ethics, profile=profile, valid_until=until, by=_who())
    typer.echo(f"Request {made.n} for {name} is open. A steward decides: dicomlake cohort approve")


@cohort.command(epilog="Example:  dicomlake cohort approve knee-mr --comment 'as in the vote'")
def approve(
    name: NameAt, lake: LakeOption = HERE, comment: Comment = "", n: RequestOption = None
) -> None:
    """Approve a request, as a steward; one's own only where nobody else can sign in."""
    _judge(lake, name, "approve", comment, n)


@cohort.command(epilog="Example:  dicomlake cohort refuse knee-mr --comment 'no vote'")
def refuse(
    name: NameAt, lake: LakeOption = HERE, comment: Comment = "", n: RequestOption = None
) -> None:
    """Refuse a request, or end an approval, as a steward."""
    _judge(lake, name, "refuse", comment, n)


def _judge(lake: Path, name: str, what: str, comment: str, n: int | None) -> None:
    from dicomlake.jobs.cohorts.approving import judge

    who = _who()
    done = judge(lake, name, what, n=n, comment=comment, by=who, own=_alone(lake))
    _audit(lake, f"cohort {what}", cohort=name, version=done.version, request=done.n)
    typer.echo(f"Request {done.n} for version {done.version} is {done.state}.")


def _alone(lake: Path) -> bool:
    """Whether nobody else can sign in: the service is open on this machine alone."""
    from dicomlake.settings import read
    from dicomlake.web.access.gate import Gate

    gate = Gate(lake, read(lake))
    try:
        return gate.open
    finally:
        gate.close()


def _audit(lake: Path, what: str, **said: Any) -> None:
    """Let the audit log know of it, as of what is done through the service."""
    from dicomlake.jobs.access.audit import Audit
    from dicomlake.settings import read

    audit = Audit.of(lake, read(lake).service.access.audit)
    audit.append({"name": _who(), "how": "command line", "what": what, **said})


@cohort.command(
    epilog="Examples:  dicomlake cohort withdraw P000012 --reason 'letter of 3 May'    "
    "dicomlake cohort withdraw --file withdrawn.txt    dicomlake cohort withdraw P000012 --undo"
)
def withdraw(
    patients: Annotated[
        list[str] | None, typer.Argument(metavar="PatientID...", help="Who withdraws.")
    ] = None,
    lake: LakeOption = HERE,
    file: Annotated[Path | None, typer.Option(help="A list, one PatientID per line.")] = None,
    issuer: Annotated[
        str | None, typer.Option(help="Only of this IssuerOfPatientID; of any when left out.")
    ] = None,
    reason: Reason = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take withdrawals back.")] = False,
) -> None:
    """Withdraw patients from all cohorts and later exports, and list the exports that had them."""
    from dicomlake.jobs.cohorts import withdrawing
    from dicomlake.jobs.identifiers import read_list

    ids = [*(patients or ()), *(read_list(file, "PatientID").get("PatientID", ()) if file else ())]
    if undo:
        number = withdrawing.restore(lake, ids, reason, by=_who())
        _audit(lake, "cohort withdraw --undo", PatientID=ids)
        typer.echo(f"{number:,} patients are back in the cohorts that had them.")
        return
    done = withdrawing.withdraw(lake, ids, reason, issuer=issuer, by=_who())
    _audit(lake, "cohort withdraw", PatientID=ids)
    typer.echo(f"{done.patients:,} patients are withdrawn.")
    if done.unknown:
        typer.echo(f"{done.unknown:,} more are not in the lake: they count when they come.")
    for name, number in done.cohorts.items():
        typer.echo(f"{name}: {number:,} series less")
    for past in done.exports:
        typer.echo(f"Exported before: {past.name}, {past.series:,} series, to {past.where}")
    if not done.exports:
        typer.echo("No export is known that had them.")
