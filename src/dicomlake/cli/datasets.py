"""Commands of datasets: made of a cohort, gone on with, looked at, checked."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption, console

if TYPE_CHECKING:
    from dicomlake.jobs.datasets.making import Report
    from dicomlake.jobs.datasets.wanted import Wanted

dataset = typer.Typer(
    name="dataset",
    help="Datasets: a cohort written out, cleaned, checked and packed.",
    no_args_is_help=True,
)
app.add_typer(dataset)
NameArgument = Annotated[str, typer.Argument(help="Name of the dataset.")]
WorkersOption = Annotated[int, typer.Option(min=1, max=64, help="Processes that work on it.")]
CohortArgument = Annotated[
    str, typer.Argument(help="A cohort, NAME or NAME@VERSION; - with --where.")
]
OutArgument = Annotated[
    str,
    typer.Argument(
        help="A new folder, s3://BUCKET/PREFIX, or a source of dicomlake.toml: "
        "objects:NAME/PREFIX, dicom:NAME."
    ),
]
WhereOption = Annotated[
    str, typer.Option(help="Instead of a cohort: series that meet a condition.")
]
ProfileOption = Annotated[str, typer.Option(help="How it is cleaned: the name of a profile.")]
PseudonymsOption = Annotated[str, typer.Option(help="Name of [pseudonyms.NAME] in dicomlake.toml.")]
IdentifiedOption = Annotated[
    bool, typer.Option("--identified", help="Leave everything as it is: identified data.")
]
FormatOption = Annotated[
    str, typer.Option(help="dicom, nifti, png, waveforms, tables; several with commas.")
]
LayoutOption = Annotated[str, typer.Option(help="plain, bids, monai, nnunet or federated.")]


@dataset.command(
    epilog="Examples:  dicomlake dataset make livers /data/livers --profile basic "
    "--pseudonyms study --format dicom,nifti,tables    "
    "dicomlake dataset make - /data/ct --where \"Modality = 'CT'\" --identified"
)
def make(
    cohort: CohortArgument,
    out: OutArgument,
    lake: LakeOption = HERE,
    where: WhereOption = "",
    profile: ProfileOption = "",
    pseudonyms: PseudonymsOption = "",
    identified: IdentifiedOption = False,
    format: FormatOption = "dicom",
    layout: LayoutOption = "plain",
    tables: Annotated[str, typer.Option(help="Tables as parquet or csv.")] = "parquet",
    waves: Annotated[str, typer.Option(help="Waveforms as parquet or npz.")] = "parquet",
    depth: Annotated[int, typer.Option(help="Bits of PNG: 8 or 16.")] = 8,
    labels: Annotated[
        Path | None, typer.Option(help="labels.yaml: which structures become which label.")
    ] = None,
    title: Annotated[str, typer.Option(help="What the dataset is called on its card.")] = "",
    licence: Annotated[str, typer.Option(help="Under which licence, such as CC-BY-4.0.")] = "",
    site: Annotated[str, typer.Option(help="Of a federated dataset: which site it is of.")] = "",
    name: Annotated[
        str, typer.Option(help="Its name in the lake; else that of the cohort or the folder.")
    ] = "",
    number: Annotated[int, typer.Option(help="Number of an nnU-Net dataset.")] = 501,
    workers: WorkersOption = 1,
) -> None:
    """Make a dataset of a cohort, or of what a question finds.

    Stop it at any time: dicomlake dataset resume NAME goes on from there. What cannot be made
    harmless stays in the lake, in quarantine: dicomlake dataset show NAME lists it.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.datasets.making import make as run
    from dicomlake.jobs.datasets.wanted import listed

    wanted = _wanted(
        cohort, out, where, profile, pseudonyms, identified, formats=listed(format), layout=layout,
        tables=tables, waves=waves, depth=depth, labels=_text(labels), title=title,
        licence=licence, site=site, number=number,
    )  # fmt: skip
    with Bar(console(error=True)) as bar:
        report = run(lake, wanted, name=name, workers=workers, progress=bar)
    _told(report)


@dataset.command(epilog="Example:  dicomlake dataset estimate - --where \"Modality = 'CT'\"")
def estimate(
    cohort: CohortArgument,
    lake: LakeOption = HERE,
    where: WhereOption = "",
    format: FormatOption = "dicom",
    workers: WorkersOption = 1,
) -> None:
    """Say how much a dataset would be and how long it would take; nothing is made."""
    from dicomlake.jobs.datasets.estimate import estimate as run
    from dicomlake.jobs.datasets.wanted import listed

    wanted = _wanted(cohort, "nowhere", where, "", "", True, formats=listed(format))
    found = run(lake, wanted, workers)
    typer.echo(str(found))
    if found.cohort and not found.approved:
        typer.echo(f"{found.cohort}@{found.version} is not approved: dicomlake cohort approve")


@dataset.command("list", epilog="Example:  dicomlake dataset list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the datasets that were made of the lake, or are being made."""
    from dicomlake.jobs.datasets.listing import listed

    found = listed(lake)
    for one in found:
        typer.echo(f"{one.made}  {one.report}  {one.report.out}")
    if not found:
        typer.echo("None yet. Make one with: dicomlake dataset make COHORT FOLDER")


@dataset.command(epilog="Example:  dicomlake dataset show livers --lake lake")
def show(name: NameArgument, lake: LakeOption = HERE) -> None:
    """Show a dataset: how far it is, what is in quarantine and why, what could not be made."""
    from dicomlake.jobs.datasets.listing import details

    found = details(lake, name)
    _told(found.report, leave=False)
    for check, why, count in found.quarantine:
        typer.echo(f"  {count:,} in quarantine ({check}): {why}")
    for check, why, count in found.failed:
        typer.echo(f"  {count:,} not read ({check}): {why}")
    for kind, why, count in found.notes:
        typer.echo(f"  {count:,} series, {kind}: {why}")


@dataset.command(epilog="Example:  dicomlake dataset resume livers --lake lake")
def resume(
    name: NameArgument,
    lake: LakeOption = HERE,
    without: Annotated[
        bool, typer.Option("--without", help="Leave out what could not be read.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try again what is in quarantine, too.")
    ] = False,
    workers: WorkersOption = 1,
) -> None:
    """Go on with a dataset that was stopped, and try again what could not be read."""
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.datasets.making import run

    with Bar(console(error=True)) as bar:
        report = run(lake, name, workers=workers, progress=bar, without=without, again=again)
    _told(report)


@dataset.command(epilog="Example:  dicomlake dataset cancel livers --lake lake")
def cancel(name: NameArgument, lake: LakeOption = HERE) -> None:
    """Stop a dataset that is being made, here or by the service; what is written stays."""
    from dicomlake.jobs.datasets.ledger import Ledger

    with contextlib.closing(Ledger(lake, name)) as ledger:
        if not ledger.running:
            typer.echo(f"Nobody makes {name} now.")
            return
        ledger.cancel()
    typer.echo(f"{name} stops. Go on with: dicomlake dataset resume {name}")


@dataset.command(epilog="Example:  dicomlake dataset check /data/livers --lake lake")
def check(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished dataset.")],
    lake: Annotated[
        Path | None, typer.Option(help="The lake that it was made of: looks for patients, too.")
    ] = None,
) -> None:
    """Check a dataset: checksums, every object read again, and nothing left that identifies.

    With the lake that made it, all old UIDs and all that is known of its patients are looked for,
    in contents and in names.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.datasets.checking import check as run

    with Bar(console(error=True)) as bar:
        found = run(folder, lake, bar)
    for one in found:
        typer.echo(f"{one.path}: {one.check}: {one.why}")
    if found:
        typer.echo(f"{len(found):,} problems.")
        raise typer.Exit(1)
    typer.echo("Everything is as it should be.")


@dataset.command(epilog="Example:  dicomlake dataset schema /data/livers")
def schema(
    folder: Annotated[Path, typer.Argument(help="The folder of a federated dataset.")],
) -> None:
    """Show what other sites must have in common with a federated dataset, and its hash."""
    import json

    from dicomlake.jobs.datasets.schemas import read

    typer.echo(json.dumps(read(folder), indent=1, ensure_ascii=False))


@dataset.command(
    "compare-schema",
    epilog="Example:  dicomlake dataset compare-schema kiel/schema.json /data/here",
)
def compare_schema(
    folders: Annotated[list[Path], typer.Argument(help="Datasets, or their schema.json.")],
) -> None:
    """Compare the schemas of several sites, before anybody trains on them together."""
    from dicomlake.errors import UsageError
    from dicomlake.jobs.datasets.schemas import differences, read

    if len(folders) < 2:
        raise UsageError("Name two datasets or more, or their files schema.json.")
    found = differences(folders)
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(1)
    typer.echo(f"All {len(folders)} have the same schema: {read(folders[0])['hash']}")


def _wanted(
    cohort: str,
    out: str,
    where: str,
    profile: str,
    pseudonyms: str,
    identified: bool,
    **more: object,
) -> Wanted:
    from dicomlake.errors import UsageError
    from dicomlake.jobs.datasets.wanted import IDENTIFIED, Wanted

    if identified and profile:
        raise UsageError("--identified has no --profile: leave one of the two out.")
    cohort = "" if cohort == "-" else cohort
    profile = IDENTIFIED if identified else profile
    return Wanted(out, cohort, where, profile, pseudonyms, **more)  # type: ignore[arg-type]


def _text(path: Path | None) -> str:
    from dicomlake.errors import UsageError

    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read.") from error


def _told(report: Report, *, leave: bool = True) -> None:
    typer.echo(str(report))
    if report.why:
        typer.echo(f"  {report.why}")
    if leave and report.state != "finished":
        raise typer.Exit(1)
