"""Commands for archives: sources, pulling, workers, and what goes on."""

from __future__ import annotations

import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeOption, OutputOption, console
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from dicomlake.contracts.queues import State
    from dicomlake.jobs.pulling import Pulled
    from dicomlake.jobs.requests import Job, Request
    from dicomlake.settings import Settings, Source

sources = typer.Typer(
    name="source",
    help="Archives, DICOMweb services, buckets and folders that feed the lake.",
    no_args_is_help=True,
)
app.add_typer(sources)
LimitOption = Annotated[int, typer.Option(min=1, help="Most rows.")]


class Depth(StrEnum):
    """How much is brought of a series."""

    catalogue = "catalogue"
    headers = "headers"
    complete = "complete"


class Usual(StrEnum):
    """How much a source brings of a series unless told otherwise."""

    headers = "headers"
    complete = "complete"


class Priority(StrEnum):
    """Before or after what other work."""

    now = "now"
    today = "today"
    later = "later"


@sources.command(
    epilog="Examples:  dicomlake source add orthanc --dicomweb http://127.0.0.1:8042/dicom-web    "
    "dicomlake source add pacs --dimse 10.0.0.5:104 --called PACS --calling LAKE    "
    "dicomlake source add bucket --s3 s3://images/ct --endpoint http://127.0.0.1:9000"
)
def add(
    name: Annotated[str, typer.Argument(help="A short name: small letters, digits, - and _.")],
    dicomweb: Annotated[str, typer.Option(help="URL of a DICOMweb service.")] = "",
    dimse: Annotated[str, typer.Option(help="HOST:PORT of an archive that speaks DIMSE.")] = "",
    s3: Annotated[str, typer.Option(help="s3://BUCKET/PREFIX of object storage.")] = "",
    folder: Annotated[Path | None, typer.Option(help="A folder.")] = None,
    called: Annotated[
        str | None, typer.Option(help="AE title of the archive; DIMSE needs it.")
    ] = None,
    calling: Annotated[
        str | None, typer.Option(help="Our AE title, as the archive knows us; DICOMLAKE.")
    ] = None,
    retrieve: Annotated[
        str | None, typer.Option(help="How objects come by DIMSE: auto, get or move.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of the object storage.")] = None,
    region: Annotated[str | None, typer.Option(help="Region of the object storage.")] = None,
    user: Annotated[str | None, typer.Option(help="User, or access key id.")] = None,
    password_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the password.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File that holds the password.")
    ] = None,
    token_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds a bearer token.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File that holds a token.")] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt DIMSE; system's authorities.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option(help="Certificate or authority to trust (PEM).")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Our certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    depth: Annotated[Usual | None, typer.Option(help="What pull brings by default.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep complete objects, too.")] = False,
    associations: Annotated[
        int | None, typer.Option(min=1, help="Most connections at a time; 2 unless set.")
    ] = None,
    objects_per_second: Annotated[
        float | None, typer.Option(help="Most objects per second.")
    ] = None,
    quiet_hours: Annotated[
        list[str] | None, typer.Option(help="Hours such as 07:00-18:00 without bulk work.")
    ] = None,
    lake: LakeOption = HERE,
) -> None:
    """Write a source into dicomlake.toml of the lake. Secrets stay where they are."""
    from dicomlake.settings import add_source, check_name

    try:
        check_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    values = _kind(dicomweb, dimse, s3, folder)
    values |= {"called": called, "calling": calling, "retrieve": retrieve, "endpoint": endpoint}
    values |= {"region": region, "user": user, "password_env": password_env}
    values |= {"token_env": token_env, "depth": depth.value if depth else None}
    values |= {"password_file": _text(password_file), "token_file": _text(token_file)}
    if tls or ca or certificate:
        paths = {"ca": ca, "certificate": certificate, "key": key}
        values["tls"] = {name: str(path.absolute()) for name, path in paths.items() if path}
    if keep:
        values["keep"] = True
    limits: dict[str, Any] = {}
    if associations:
        limits["associations"] = associations
    if objects_per_second:
        limits["objects_per_second"] = objects_per_second
    if quiet_hours:
        limits["quiet_hours"] = quiet_hours
    values["limits"] = limits or None
    add_source(lake, name, values)
    typer.echo(f"{name} is in {lake / 'dicomlake.toml'}. Try it: dicomlake source test {name}")


def _kind(dicomweb: str, dimse: str, s3: str, folder: Path | None) -> dict[str, Any]:
    given = [bool(dicomweb or dimse), bool(s3), folder is not None]
    if sum(given) != 1:
        raise typer.BadParameter(
            "name --dicomweb, --dimse (or both of one archive), --s3 or --folder"
        )
    if dicomweb and not dimse:
        return {"kind": "dicomweb", "url": dicomweb}
    if s3:
        return {"kind": "objects", "url": s3}
    if folder is not None:
        return {"kind": "folder", "path": str(folder.absolute())}
    host, _, port = dimse.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter("--dimse is HOST:PORT, such as 127.0.0.1:4242")
    return {
        "kind": "dimse",
        "host": host.strip("[]"),
        "port": int(port),
        "url": dicomweb or None,
    }


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None


@sources.command("list", epilog="Example:  dicomlake source list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the sources of the lake, and whether they are paused."""
    from dicomlake.jobs.status import status
    from dicomlake.settings import read

    found = read(lake)
    if not found.source:
        typer.echo("There are no sources yet. Add one with: dicomlake source add")
        return
    states = {one.name: one for one in status(lake, found).sources}
    rows = [
        {
            "source": name,
            "kind": source.kind,
            "where": _where(source),
            "depth": source.depth,
            "state": "paused" if states[name].paused else "ready",
            "why": states[name].why,
        }
        for name, source in found.source.items()
    ]
    _show(rows, long=("where", "why"))


def _where(source: Source) -> str:
    if source.kind == "dimse":
        return f"{source.called} at {source.host}:{source.port}"
    return source.url or str(source.path)


@sources.command("test", epilog="Example:  dicomlake source test orthanc --lake lake")
def try_(
    name: Annotated[str, typer.Argument(help="Name of the source.")], lake: LakeOption = HERE
) -> None:
    """Try what a source can do, without changing anything in it."""
    from rich.table import Table
    from rich.text import Text

    from dicomlake.jobs.trying import try_source
    from dicomlake.settings import read

    works = []
    for check in try_source(lake, read(lake), name):
        works.append(check.works)
        mark, style = ("ok", "green") if check.works else ("no", "red")
        says = f"{check.what}, {check.seconds * 1000:.0f} ms: {check.says}"
        line = Table.grid(padding=(0, 2))
        line.add_row(Text(mark, style=style), Text(says))
        console().print(line)
    raise typer.Exit(0 if all(works) else 1)


@sources.command(epilog="Example:  dicomlake source listener --ae-title LAKE --caller CT1")
def listener(
    ae_title: Annotated[str, typer.Option(help="Our AE title.")] = "DICOMLAKE",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 11112,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    caller: Annotated[
        list[str] | None, typer.Option(help="AE title that may send, besides those of sources.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the objects, for good.")] = False,
    lake: LakeOption = HERE,
) -> None:
    """Let the workers of the lake listen for objects: needed for C-MOVE, and to be sent to."""
    from dicomlake.settings import set_listener

    values = {"ae_title": ae_title, "host": host, "port": port, "keep": keep}
    set_listener(lake, {**values, "callers": caller or []})
    typer.echo(f"Workers of {lake} will listen as {ae_title} on {host}:{port}.")


@app.command(
    epilog="Examples:  dicomlake pull orthanc --accession A1 --accession A2    "
    "dicomlake pull pacs --list study.csv --depth complete    "
    "dicomlake pull pacs --from 20240101 --to 20240331    dicomlake pull pacs --catalogue"
)
def pull(
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    accession: Annotated[
        list[str] | None, typer.Option(help="Accession number; again for more.")
    ] = None,
    patient: Annotated[list[str] | None, typer.Option(help="Patient ID; again for more.")] = None,
    study: Annotated[
        list[str] | None, typer.Option(help="StudyInstanceUID; again for more.")
    ] = None,
    series: Annotated[
        list[str] | None, typer.Option(help="SeriesInstanceUID; again for more.")
    ] = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option("--list", help="File with such values: text, CSV, FHIR or HL7 v2."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="What a plain --list holds, such as PatientID.")
    ] = None,
    first: Annotated[str, typer.Option("--from", help="First StudyDate, YYYYMMDD.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last StudyDate, YYYYMMDD.")] = "",
    yesterday: Annotated[
        bool, typer.Option("--yesterday", help="The last days up to yesterday.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="How many days --yesterday goes back.")] = 3,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole archive, newest first.")
    ] = False,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="List studies and series only.")
    ] = False,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="Backwards in time, after all other work.")
    ] = False,
    depth: Annotated[Depth | None, typer.Option(help="How much of each series.")] = None,
    keep: Annotated[
        bool | None, typer.Option("--keep/--no-keep", help="Keep whole objects as files, too.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also what the lake holds already.")
    ] = False,
    priority: Annotated[Priority | None, typer.Option(help="Before or after other work.")] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Only queue it, for dicomlake worker.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that pull.")] = 2,
    lake: LakeOption = HERE,
) -> None:
    """Bring headers or objects from a source into the lake.

    Stop it at any time: what is queued stays queued, and the same command goes on.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.pulling import pull as run
    from dicomlake.jobs.requests import Requests
    from dicomlake.settings import read

    found = read(lake)
    asked = found.of(source)
    if asked.kind in ("objects", "folder"):
        _index(lake, source, asked)
        return
    given = _asked(source, asked, accession, patient, study, series, lists, kind)
    given |= _dates(first, last, yesterday, days, everything or legacy or catalogue)
    if not given["keys"] and given["dates"] is None and not (everything or catalogue):
        raise typer.BadParameter(
            "say what to pull: --accession, --patient, --study, --series, --list, --from and --to, "
            "--yesterday, --catalogue, --legacy or --all"
        )
    request = _request(given, asked, catalogue, legacy, depth, keep, again, priority)
    if queue:
        with Requests(lake, found) as requests:
            job = requests.submit(request)
        typer.echo(f"Queued as job {job.id}. See: dicomlake jobs --lake {lake}")
        return
    _ask_first(lake, found, source)
    with Bar(console(error=True)) as bar:
        pulled = run(lake, request, found=found, workers=workers, progress=bar)
    typer.echo(_said(pulled, lake))
    if pulled.missing:
        raise typer.Exit(1)


def _ask_first(lake: Path, found: Settings, name: str) -> None:
    """Ask an archive one small question, so that a mistake in the settings is told at once."""
    from dicomlake.errors import Refused, UsageError
    from dicomlake.jobs.archives import archive_of
    from dicomlake.jobs.care import ALL
    from dicomlake.jobs.working import care_of

    care = care_of(lake)
    paused = care.paused()
    if name in paused or ALL in paused:
        what, which = ("Everything", "") if ALL in paused else (name, f"{name} ")
        raise UsageError(f"{what} is paused. Go on with: dicomlake resume {which}--lake {lake}")
    slot = care.acquire(name, found.of(name).limits, "pull")
    if slot is None:  # others are asking it right now
        return
    try:
        with closing(archive_of(name, found)) as archive:
            archive.find("STUDY", {"StudyInstanceUID": "2.25.0"}, ("StudyInstanceUID",), 1)
    except Refused as error:
        typer.echo(f"{error} It is asked again until it answers; stop with Ctrl-C.", err=True)
    finally:
        care.release(slot)


def _index(lake: Path, name: str, source: Source) -> None:
    """Objects in a bucket or a folder are indexed."""
    from dicomlake.cli.commands import summary
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.index import index
    from dicomlake.jobs.trying import indexed

    with Bar(console(error=True)) as bar:
        report = index(indexed(name, source), lake, progress=bar)
    summary(report, console())


def _asked(
    source: str,
    settings: Source,
    accession: list[str] | None,
    patient: list[str] | None,
    study: list[str] | None,
    series: list[str] | None,
    lists: list[Path] | None,
    kind: str | None,
) -> dict[str, Any]:
    """The values asked for, by keyword."""
    from dicomlake.jobs.identifiers import read_list

    keys: dict[str, list[str]] = {
        "AccessionNumber": accession or [],
        "PatientID": patient or [],
        "StudyInstanceUID": study or [],
        "SeriesInstanceUID": series or [],
    }
    for path in lists or []:
        for keyword, values in read_list(path, kind).items():
            keys[keyword] += values
    kept = {keyword: tuple(dict.fromkeys(values)) for keyword, values in keys.items() if values}
    return {"source": source, "keys": kept}


def _dates(first: str, last: str, yesterday: bool, days: int, everything: bool) -> dict[str, Any]:
    from datetime import date, timedelta

    today = date.today()
    if yesterday:
        first = f"{today - timedelta(days=days):%Y%m%d}"
        last = f"{today - timedelta(days=1):%Y%m%d}"
    if first or last:
        plain = tuple(text.replace("-", "") for text in (first, last))
        return {"dates": plain, "undated": False}
    return {"dates": None, "undated": everything}


def _request(
    given: dict[str, Any],
    source: Source,
    catalogue: bool,
    legacy: bool,
    depth: Depth | None,
    keep: bool | None,
    again: bool,
    priority: Priority | None,
) -> Request:
    from dicomlake.contracts.queues import LATER, NOW, TODAY
    from dicomlake.jobs.requests import Request

    levels = {"now": NOW, "today": TODAY, "later": LATER}
    usual = LATER if legacy else NOW if given["keys"] else TODAY
    wanted = "catalogue" if catalogue else depth.value if depth else source.depth
    kept = source.keep if keep is None else keep
    return Request(
        **given,
        depth="complete" if kept and wanted == "headers" else wanted,
        priority=levels[priority.value] if priority else usual,
        keep=kept,
        again=again,
        backwards=legacy,
    )


def _said(pulled: Pulled, lake: Path) -> str:
    request = pulled.job.request
    if request.depth == "catalogue":
        text = (
            f"{_listed(lake, request.source)} ({pulled.seconds:.1f} s). "
            f"What of them is not in the lake: dicomlake missing --lake {lake}"
        )
    else:
        text = (
            f"{pulled.series:,} series with {pulled.objects:,} objects pulled, {pulled.held:,} "
            f"series were there already ({pulled.seconds:.1f} s)."
        )
    if pulled.missing:
        text += (
            f"\nNot there, or not yet: {pulled.missing:,}. "
            f"See: dicomlake missing {pulled.job.id} --lake {lake}"
        )
    return "\n".join((text, *pulled.notes))


def _listed(lake: Path, source: str) -> str:
    """How much the catalogue of a source lists."""
    from dicomlake.lake import Store

    with Store(lake).database() as db:
        counts = dict(
            db.execute(
                "select level, count(*) from catalogue where source = ? group by level", [source]
            ).fetchall()
        )
    return (
        f"The catalogue of {source} lists {counts.get('STUDY', 0):,} studies with "
        f"{counts.get('SERIES', 0):,} series"
    )


@app.command(
    epilog="Examples:  dicomlake worker --lake lake    dicomlake worker --processes 4    "
    "dicomlake worker --processes 0 --enrichers 1 --hardware gpu"
)
def worker(
    lake: LakeOption = HERE,
    processes: Annotated[int, typer.Option("--processes", "-n", min=0, help="Processes.")] = 2,
    enrichers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Further processes, for enrichers; 1 where one of them is automatic."
        ),
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="What these may use: cpu, gpu, or cpu,gpu.")
    ] = "cpu",
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is left to be done.")
    ] = False,
    metrics: Annotated[
        int | None, typer.Option(help="Port of 127.0.0.1 for Prometheus metrics.")
    ] = None,
) -> None:
    """Do what is queued, listen, take in what comes, and keep to the schedule, until stopped.

    Any of its processes may be killed at any time: nothing is lost.
    """
    import logging

    from dicomlake.jobs.pulling import crew_lock
    from dicomlake.jobs.working import Crew, idle
    from dicomlake.settings import read

    found = read(lake)
    level = logging.getLevelName(logging.getLogger("dicomlake").level or logging.WARNING)
    with crew_lock(lake) as ours:
        if not ours:
            console(error=True).print("Other workers run for this lake; these join them.")
        if enrichers is None:
            enrichers = int(any(said.automatic for said in found.enrich.values()))
        crew = Crew(
            lake, found, processes, enrichers=enrichers, hardware=_hardware(hardware),
            publish=ours and not once, log_level=str(level),
        )  # fmt: skip
        if metrics is not None:
            _metrics(lake, found, metrics)
        many = "1 worker" if processes == 1 else f"{processes} workers"
        if enrichers:
            many += f" and {enrichers} for enrichers on {hardware}"
        heard = found.listener
        listens = f", listening as {heard.ae_title} on {heard.host}:{heard.port}" if heard else ""
        times = f", {len(found.schedule)} lines of the schedule" if found.schedule else ""
        typer.echo(f"{many} for {lake}{listens}{times}. Stop with Ctrl-C.", err=True)
        try:
            crew.run(idle(crew.queue) if once else _never)
        except KeyboardInterrupt:
            if not once:
                console(error=True).print("Stopped. What is queued stays queued.")
                return
            raise


def _hardware(text: str) -> list[str]:
    from dicomlake.errors import UsageError

    found = [word.strip() for word in text.split(",")]
    if not found or not set(found) <= {"cpu", "gpu"}:
        raise UsageError(f"--hardware is cpu, gpu, or cpu,gpu, not {text!r}.")
    return found


def _metrics(lake: Path, found: Settings, port: int) -> None:
    from dicomlake.errors import UsageError

    try:
        from dicomlake.web.metrics import serve
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Metrics need {error.name}. Install it with: pip install 'dicomlake[web]'"
        ) from error
    serve(lake, found, port)


def _never() -> bool:
    return False


@app.command(epilog="Examples:  dicomlake pause    dicomlake pause pacs --lake lake")
def pause(
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    lake: LakeOption = HERE,
) -> None:
    """Ask nothing of any source, or of one, until resumed; what runs stops at its next object."""
    from dicomlake.jobs.working import care_of
    from dicomlake.settings import read

    if source:
        read(lake).of(source)
    _there(lake)
    care_of(lake).pause(source)
    again = " ".join(("dicomlake resume", *([source] if source else ()), "--lake", str(lake)))
    typer.echo(f"{source or 'Everything'} is paused. Go on with: {again}")


@app.command(epilog="Examples:  dicomlake resume    dicomlake resume pacs --lake lake")
def resume(
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    lake: LakeOption = HERE,
) -> None:
    """Go on after a pause, also one that was made because a source kept refusing."""
    from dicomlake.jobs.working import care_of
    from dicomlake.settings import read

    if source:
        read(lake).of(source)
    _there(lake)
    care_of(lake).resume(source)
    typer.echo(f"{source or 'Everything'} goes on.")


@app.command(epilog="Examples:  dicomlake jobs    dicomlake jobs --limit 5 --lake lake")
def jobs(
    lake: LakeOption = HERE,
    limit: LimitOption = 20,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List what was asked for, newest first, and how far it is."""
    with _requests(lake) as requests:
        rows = [_job(job) for job in requests.jobs(limit)]
    brief = [
        {
            "job": row["job"],
            "asked": f"{row['source']}: {row['asked']}",
            "depth": row["depth"],
            "state": row["state"],
            "tasks": f"{row['over']:,} of {row['tasks']:,}"
            + (f", {row['dead']:,} dead" if row["dead"] else ""),
        }
        for row in rows
    ]
    _show(rows, form, output, "Nothing was asked for yet.", brief, ("asked", "tasks"))


def _requests(lake: Path) -> Any:
    from dicomlake.jobs.requests import Requests
    from dicomlake.settings import read

    _there(lake)
    return Requests(lake, read(lake))


def _there(lake: Path) -> None:
    """Looking at a lake that is not there must not make one."""
    from dicomlake.errors import UsageError

    if not lake.is_dir():
        raise UsageError(
            f"There is no folder {lake}. Name the lake by --lake, or begin with: "
            "dicomlake source add"
        )


def _job(job: Job) -> dict[str, Any]:
    asked = ", ".join(f"{len(v):,} {k}" for k, v in job.request.keys.items())
    if job.request.dates:
        asked = "-".join(job.request.dates)
    over = job.tasks.get("done", 0) + job.tasks.get("dead", 0) + job.tasks.get("cancelled", 0)
    return {
        "job": job.id,
        "source": job.request.source,
        "asked": asked or "the whole archive",
        "depth": job.request.depth,
        "state": job.state,
        "tasks": sum(job.tasks.values()),
        "over": over,
        "dead": job.tasks.get("dead", 0),
        "since": _when(job.created),
    }


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


@app.command(epilog="Example:  dicomlake tasks --state dead --lake lake")
def tasks(
    job: Annotated[str, typer.Argument(help="Only of this job.")] = "",
    state: Annotated[list[str] | None, typer.Option(help="waiting, running, dead, ...")] = None,
    limit: LimitOption = 50,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    lake: LakeOption = HERE,
) -> None:
    """List tasks, newest first, with attempts and the last error."""
    from dicomlake.contracts.queues import STATES
    from dicomlake.errors import UsageError

    unknown = set(state or ()) - set(STATES)
    if unknown:
        raise UsageError(f"{unknown.pop()!r} is no state. There are: {', '.join(STATES)}.")
    with _requests(lake) as requests:
        rows = [_task(one) for one in requests.queue.tasks(tuple(state or STATES), job, limit)]
    brief = [
        {
            "source": row["source"],
            "what": f"{row['what']} {row['value']}",
            "priority": row["priority"],
            "state": row["state"],
            "tried": row["attempts"],
            "error": row["error"],
        }
        for row in rows
    ]
    _show(rows, form, output, "There are no such tasks.", brief, ("what", "error"))


def _task(state: State) -> dict[str, Any]:
    from dicomlake.jobs.requests import asked

    what, value = asked(state.task)
    return {
        "id": state.id,
        "kind": state.task.kind,
        "source": state.task.source,
        "priority": state.task.priority,
        "what": what,
        "value": value,
        "state": state.state,
        "attempts": state.attempts,
        "error": state.error,
        "since": _when(state.created),
    }


@app.command(
    epilog="Examples:  dicomlake missing --lake lake    dicomlake missing JOB --format csv"
)
def missing(
    job: Annotated[str, typer.Argument(help="Of this job; else of the catalogue.")] = "",
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Also series read by one object only.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most rows on the screen.")] = 50,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    lake: LakeOption = HERE,
) -> None:
    """List exactly what was asked for, or is listed by an archive, and is not here; and why."""
    from dataclasses import asdict

    from dicomlake.jobs.missing import gaps
    from dicomlake.lake import Store
    from dicomlake.lake.store import is_lake

    with _requests(lake) as requests:
        if job:
            rows = [asdict(one) for one in requests.missing(job)]
            brief = [
                {"what": f"{row['what']} {row['value']}", "state": row["state"], "why": row["why"]}
                for row in rows
            ]
        else:
            if not is_lake(lake):
                typer.echo("Nothing was pulled yet: dicomlake pull SOURCE --catalogue")
                return
            found = gaps(Store(lake), requests.queue, source, complete=complete)
            rows = [asdict(gap) for gap in found]
            brief = [
                {
                    "source": row["source"],
                    "level": "series" if row["SeriesInstanceUID"] else "study",
                    "uid": row["SeriesInstanceUID"] or row["StudyInstanceUID"],
                    "listed": row["listed"],
                    "held": row["held"],
                    "why": row["why"],
                }
                for row in rows
            ]
    _show(rows, form, output, "Nothing is missing.", brief[:limit], ("what", "uid", "why"))
    if form is Format.table and not output and len(rows) > limit:
        typer.echo(f"... and {len(rows) - limit:,} more. All: --format csv --output missing.csv")


@app.command(epilog="Example:  dicomlake cancel JOB --lake lake")
def cancel(
    job: Annotated[str, typer.Argument(help="Id of the job.")], lake: LakeOption = HERE
) -> None:
    """Cancel a job; what it brought so far stays."""
    with _requests(lake) as requests:
        typer.echo(f"{requests.cancel(job):,} tasks cancelled.")


@app.command(epilog="Examples:  dicomlake retry JOB --lake lake    dicomlake retry --lake lake")
def retry(
    job: Annotated[str, typer.Argument(help="Of this job; else of all.")] = "",
    lake: LakeOption = HERE,
) -> None:
    """Let dead tasks wait again."""
    with _requests(lake) as requests:
        count = requests.retry(job) if job else requests.queue.revive()
        typer.echo(f"{count:,} tasks wait again.")


@app.command(
    epilog="Examples:  dicomlake status --lake lake    dicomlake status --watch    "
    "dicomlake status --json"
)
def status(
    lake: LakeOption = HERE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every second.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show sources, tasks by state and priority, throughput, lag and failures."""
    from dicomlake.cli.status import drawn, watched
    from dicomlake.jobs.status import status as now
    from dicomlake.settings import read

    _there(lake)
    found = read(lake)
    if json:
        import orjson

        typer.echo(orjson.dumps(now(lake, found).as_json()).decode())
    elif watch:
        watched(lake, found, console())
    else:
        console().print(drawn(now(lake, found)))


def _show(
    rows: list[dict[str, Any]],
    form: Format = Format.table,
    output: Path | None = None,
    nothing: str = "Nothing.",
    brief: list[dict[str, Any]] | None = None,
    long: tuple[str, ...] = (),
) -> None:
    """Rows in a file format, or on the screen: there `brief`, where only `long` columns break."""
    import pyarrow as pa

    from dicomlake.cli.output import write

    if form is not Format.table or output:
        write(pa.Table.from_pylist(rows), form, output, console())
    elif rows:
        from dicomlake.cli.status import listed

        console().print(listed(rows if brief is None else brief, long))
    else:
        typer.echo(nothing)
