"""The commands of dicomlake; each imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.formats import Format

if TYPE_CHECKING:
    from rich.console import Console

    from dicomlake.contracts import Source
    from dicomlake.jobs.index import Report

LakeOption = Annotated[
    Path, typer.Option("--lake", "-l", help="Folder of the lake.", envvar="DICOMLAKE_LAKE")
]
LakeArgument = Annotated[
    Path, typer.Argument(help="Folder of the lake; or --lake LAKE.", envvar="DICOMLAKE_LAKE")
]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to write the rows.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")]
HERE = Path("lake")


def console(*, error: bool = False) -> Console:
    """The screen, or standard error."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)


@app.command(
    epilog="Examples:  dicomlake index /data/pacs --lake lake    "
    "dicomlake index cd1.zip cd2.tar.gz new/ --lake lake --workers 4    "
    "dicomlake index s3://bucket/prefix --lake lake"
)
def index(
    paths: Annotated[
        list[str],
        typer.Argument(help="Folders, files, zip and tar archives; or one s3://bucket/prefix."),
    ],
    lake: LakeOption = HERE,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Reading processes; as many as processors.")
    ] = None,
    prune: Annotated[
        bool, typer.Option(help="Drop from the lake what vanished from the folders.")
    ] = False,
    retry_failures: Annotated[
        bool, typer.Option(help="Read files again whose last reading failed.")
    ] = False,
    volumes: Annotated[
        bool, typer.Option(help="Measure segments afterwards, as dicomlake volumes does.")
    ] = False,
    deidentify: Annotated[
        str,
        typer.Option(
            metavar="PROFILE",
            help="Make a lake that de-identifies all that comes in by this profile, from now on.",
        ),
    ] = "",
    pseudonyms: Annotated[
        str, typer.Option(metavar="NAME", help="By which key: a name of [pseudonyms.NAME].")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bar, no summary.")] = False,
) -> None:
    """Make a lake from DICOM files, or bring it up to date with them.

    Unchanged files are not read again. Stop it at any time and start it again.
    """
    from dicomlake.jobs.index import index as run
    from dicomlake.jobs.volumes import volumes as measure

    if deidentify:
        _fix(lake, deidentify, pseudonyms)
    options: dict[str, Any] = {
        "workers": workers,
        "prune": prune,
        "retry_failures": retry_failures,
    }
    if quiet:
        run(_sources(paths, lake), lake, **options)
        if volumes:
            measure(lake)
        return
    from dicomlake.cli.progress import Bar

    with Bar(console(error=True)) as bar:
        report = run(_sources(paths, lake), lake, progress=bar, **options)
        measured = measure(lake, progress=bar) if volumes else None
    summary(report, console())
    if measured is not None:
        typer.echo(str(measured))
    if report.failures:
        typer.echo(f"What could not be read: dicomlake failures --lake {lake}")


def _fix(lake: Path, profile: str, pseudonyms: str) -> None:
    from dicomlake import settings
    from dicomlake.jobs.door.cleaning import door_of
    from dicomlake.jobs.door.entrance import fix
    from dicomlake.lake import Store

    found = settings.read(lake)
    door_of(found, profile, pseudonyms)  # before anything is made
    fix(Store.create(lake), found, profile, pseudonyms)


def _sources(paths: list[str], lake: Path) -> list[str] | Source:
    """What to index: paths, or object storage with the settings that the lake has for it."""
    from dicomlake import settings
    from dicomlake.errors import UsageError
    from dicomlake.sources.objects import ObjectSource, object_source

    stored = [path for path in paths if path.startswith("s3://")]
    if not stored:
        return paths
    if len(paths) > 1:
        raise UsageError("Index object storage alone: one s3://bucket/prefix at a time.")
    for name, known in settings.read(lake).source.items():
        if known.kind == "objects" and known.url.rstrip("/") == stored[0].rstrip("/"):
            return object_source(name, known)
    return ObjectSource(stored[0])


def summary(report: Report, screen: Console) -> None:
    """Print what a run of indexing did."""
    from rich.table import Table

    counts, seconds = report.counts, report.seconds
    read = counts["files"] - counts["unchanged"]
    rate = f", {read / seconds:,.0f} files/s" if read and seconds > 1 else ""
    table = Table(title=f"Indexed in {seconds:,.1f} s{rate}", title_justify="left", show_edge=False)
    table.add_column("this run")
    table.add_column("", justify="right")
    table.add_column("the lake now")
    table.add_column("", justify="right")
    left = [(name, count) for name, count in counts.items() if count or name == "objects"]
    left += [("failures", sum(report.failures.values()))]
    left += [(f"  {reason}", count) for reason, count in report.failures.items()]
    right = list(report.lake.items())
    for i in range(max(len(left), len(right))):
        a, n = left[i] if i < len(left) else ("", None)
        b, m = right[i] if i < len(right) else ("", None)
        table.add_row(a, "" if n is None else f"{n:,}", b, "" if m is None else f"{m:,}")
    screen.print(table)


@app.command(
    epilog="Examples:  dicomlake query \"Modality = 'MR' and MagneticFieldStrength >= 3\" "
    "--level patient --show PatientID,SeriesDescription    "
    'dicomlake query "AccessionNumber in @list.txt" --level study --format csv    '
    "dicomlake query '(0019,\"SIEMENS MR HEADER\",0C) >= 800'"
)
def query(
    text: Annotated[str, typer.Argument(help="The question; empty asks for everything.")] = "",
    lake: LakeOption = HERE,
    level: Annotated[
        str, typer.Option(help="What to answer with: patient, study, series or instance.")
    ] = "series",
    show: Annotated[str, typer.Option(help="Attributes to show, separated by commas.")] = "",
    order: Annotated[str, typer.Option(help="Attributes to sort by; -X downwards.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most rows; 25 on the screen, else all.")
    ] = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
    count: Annotated[bool, typer.Option("--count", help="Only the counts.")] = False,
) -> None:
    """Ask the lake; the total comes first, then the rows. See docs/query.md for the language."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write
    from dicomlake.query import Query

    if limit is None and form is Format.table and output is None:
        limit = 25
    opened = open_lake(lake)
    answer = opened.query(text, level, _paths(show), _paths(order), 1 if count else limit)
    assert isinstance(answer.query, Query)
    totals = ", ".join(f"{n:,} {what}" for what, n in answer.totals.items())
    to_screen = form is Format.table and output is None
    line = f"{answer.total:,} found: {totals} ({answer.seconds * 1000:,.0f} ms)"
    typer.echo(line, err=not to_screen)
    for note in answer.notes:
        typer.echo(f"Note: {note}", err=not to_screen)
    if count:
        return
    write(answer.rows, form, output, console())
    if to_screen and answer.total > len(answer):
        typer.echo(f"... and {answer.total - len(answer):,} more: --limit N, or --format csv")


def _paths(listed: str) -> list[str]:
    """Attribute paths separated by commas; those inside parentheses or quotes separate nothing."""
    from dicomlake.dicom.dictionary import match_path
    from dicomlake.errors import UsageError

    found: list[str] = []
    at = 0
    while at < len(listed):
        if listed[at] in " ,":
            at += 1
            continue
        down = listed[at] == "-"
        segments, end = match_path(listed, at + down)
        if not segments:
            raise UsageError(f"{listed[at:]!r} is not an attribute path.")
        found.append(("-" if down else "") + ".".join(segments))
        at = end
    return found


@app.command(
    epilog='Example:  dicomlake sql "select Modality, count(*) from series group by 1 order by 2"'
)
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT statement (DuckDB's SQL).")],
    lake: LakeOption = HERE,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows.")] = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Run read-only SQL over the tables of the lake. `dicomlake describe` lists them."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    screen = 100 if form is Format.table and output is None else None
    rows = open_lake(lake).sql(statement, limit or screen)
    write(rows, form, output, console())


@app.command(
    epilog="Examples:  dicomlake vocabulary    dicomlake vocabulary RequestAttributesSequence    "
    "dicomlake vocabulary search tesla"
)
def vocabulary(
    words: Annotated[
        list[str] | None, typer.Argument(help="A path to open, or: search TEXT.")
    ] = None,
    lake: LakeOption = HERE,
    depth: Annotated[int, typer.Option(min=1, help="How many levels to open.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Most lines.")] = 60,
) -> None:
    """What can be asked of this lake: every attribute that occurs, with counts and values."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.vocabulary import print_found, print_tree

    found = open_lake(lake).vocabulary
    screen = console()
    if words and words[0] == "search":
        print_found(found, " ".join(words[1:]), screen, limit=limit)
    else:
        print_tree(found, words[0] if words else "", screen, depth=depth, limit=limit)


@app.command()
def describe(
    table: Annotated[str | None, typer.Argument(help="One table; without it all of them.")] = None,
    lake: LakeOption = HERE,
) -> None:
    """Show every table and column of the lake with its type and comment."""
    from rich.table import Table

    from dicomlake import tables
    from dicomlake.errors import UsageError
    from dicomlake.lake import Store

    store = Store(lake)
    if table is not None and table not in tables.ALL:
        raise UsageError(f"There is no table {table!r}. There are: {', '.join(tables.ALL)}.")
    screen = console()
    for name in [table] if table else tables.ALL:
        import pyarrow as pa

        schema = pa.schema(store.table(name).schema())
        shown = Table(
            title=f"{name}: {store.table(name).metadata().description}",
            title_justify="left",
            show_edge=False,
        )
        shown.add_column("column")
        shown.add_column("type")
        shown.add_column("comment")
        for field in schema:
            shown.add_row(field.name, str(field.type), tables.comment_of(field))
        screen.print(shown)
        screen.print()


@app.command()
def doctor(lake: LakeArgument = HERE) -> None:
    """Check a lake: files, rows, counts, leftovers; say what to do. Exit code 1 on errors."""
    from dicomlake.jobs.doctor import examine

    findings = examine(lake)
    marks = {"ok": "ok     ", "notice": "notice ", "error": "ERROR  "}
    for finding in findings:
        advice = f"  -> {finding.advice}" if finding.advice else ""
        typer.echo(f"{marks[finding.level]}{finding.what}{advice}")
    if any(f.level == "error" for f in findings):
        raise typer.Exit(1)


@app.command()
def compact(
    lake: LakeArgument = HERE,
    full: Annotated[bool, typer.Option(help="Also rewrite large files.")] = False,
    vacuum_hours: Annotated[
        float, typer.Option(min=0, help="Delete files that no version of so many hours needs.")
    ] = 168,
) -> None:
    """Tidy a lake: fewer and sorted files, nothing that nobody can see. Answers stay the same."""
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.compact import compact as run

    with Bar(console(error=True)) as bar:
        report = run(lake, full=full, vacuum_hours=vacuum_hours, progress=bar)
    typer.echo(str(report))


@app.command()
def failures(
    lake: LakeOption = HERE,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 50,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List what could not be read, and why."""
    statement = "select stage, reason, uri, size from failures order by reason, uri"
    _list(lake, statement, limit, form, output)


@app.command()
def runs(
    lake: LakeOption = HERE,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 20,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """List what was done to the lake, newest first."""
    counts = ", ".join(
        f"(counts->>'$.{name}')::bigint as {name}"
        for name in ("files", "objects", "series", "failures")
    )
    seconds = "round(epoch(ended) - epoch(started), 1) as seconds"
    _list(
        lake,
        f"select run_id, kind, state, started, {seconds}, {counts} from runs order by started desc",
        limit,
        form,
        output,
    )


def _list(lake: Path, statement: str, limit: int, form: Format, output: Path | None) -> None:
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    write(open_lake(lake).sql(statement, limit), form, output, console())


@app.command()
def versions(lake: LakeOption = HERE) -> None:
    """List the versions of the lake, newest first."""
    from datetime import UTC, datetime

    from dicomlake.lake import Store

    for entry in Store(lake).versions():
        when = datetime.fromtimestamp(entry["when"] / 1e6, UTC)
        typer.echo(f"{entry['version']:>6}  {when:%Y-%m-%d %H:%M:%S}  {entry['what']}")


@app.command()
def header(
    uid: Annotated[str, typer.Argument(metavar="SOPInstanceUID", help="Which instance.")],
    lake: LakeOption = HERE,
) -> None:
    """Print the complete header of one instance as DICOM JSON (PS3.18 Annex F)."""
    import orjson

    from dicomlake.api import open as open_lake

    found = open_lake(lake).header(uid)
    sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")


@app.command(
    epilog="Examples:  dicomlake demo    dicomlake demo big --patients 100000 --no-pixels --no-ask"
)
def demo(
    folder: Annotated[Path, typer.Argument(help="A new folder for the hospital.")] = Path(
        "hospital"
    ),
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed, another hospital.")] = 7,
    pixels: Annotated[bool, typer.Option(help="Write small images, or headers only.")] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.")] = None,
    ask: Annotated[bool, typer.Option(help="Index it, enrich it and ask nine questions.")] = True,
) -> None:
    """Make up a hospital, index it, let enrichers look at it, and ask it nine questions."""
    from dicomlake.cli.demo import show

    show(folder, patients, seed, pixels=pixels, workers=workers, ask=ask, console=console())


@app.command()
def plugins() -> None:
    """List the sources, readers, readers of contents and engines that are installed."""
    from dicomlake import plugins as registry

    for family in registry.FAMILIES:
        typer.echo(f"{family}: {', '.join(registry.names(family)) or 'none'}")
