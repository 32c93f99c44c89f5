"""The command that makes reports harmless: texts, PDF, CDA, HL7 messages and SR."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from dicomlake.cli.deid import deid
from dicomlake.errors import UsageError

if TYPE_CHECKING:
    from dicomlake.contracts.deid import Identity, Known


@deid.command(
    epilog="Examples:  dicomlake deid report letter.pdf clean.pdf --known known.csv    "
    "dicomlake deid report reports clean --lake lake --patient P0001 --as txt"
)
def report(
    source: Annotated[Path, typer.Argument(help="A report, or a folder with reports.")],
    out: Annotated[Path, typer.Argument(help="New file, or new folder.")],
    known: Annotated[
        Path | None, typer.Option(help="CSV with the columns kind and text: what is known.")
    ] = None,
    lake: Annotated[
        Path | None, typer.Option("--lake", "-l", help="Lake that knows the patient.")
    ] = None,
    patient: Annotated[str, typer.Option(help="PatientID in the lake.")] = "",
    form: Annotated[str, typer.Option("--as", help="same, txt or pdf.")] = "same",
    languages: Annotated[
        str, typer.Option(help="Languages of the rules, separated by commas.")
    ] = "en,de,fr,es",
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with the key: then dates move as those of the images do."),
    ] = None,
    issuer: Annotated[str, typer.Option(help="Issuer of the PatientID, if it has one.")] = "",
    profile: Annotated[str, typer.Option(help="Profile of the images.")] = "research",
    translate: Annotated[
        Path | None, typer.Option(help="Folder of a translation model; after de-identifying.")
    ] = None,
    translator: Annotated[str, typer.Option(help="Which plugin translates.")] = "ctranslate2",
    recogniser: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of a model that finds names.")
    ] = None,
    keep_names: Annotated[
        bool, typer.Option(help="Files of a folder keep their names; OUT may be there already.")
    ] = False,
    review: Annotated[
        Path | None, typer.Option(help="New folder for the review; it stays inside.")
    ] = None,
) -> None:
    """Make a report harmless, or all reports of a folder, and list what a person should look at.

    What no rule sees stays: read the review before anything goes out. See docs/deid-reports.md.
    """
    from dicomlake import plugins
    from dicomlake.jobs.deid.reports import To, deidentify_reports
    from dicomlake.jobs.deid.reviewpage import page

    if form not in get_args(To):
        raise UsageError(f"There is no form {form!r}. Use same, txt or pdf.")
    to: Any = form
    if review is not None and review.exists():
        raise UsageError(f"{review} exists already. Name a new folder for the review.")
    told = _known(known, lake, patient)
    with _identity(key_file, profile, patient, issuer) as identity:
        done = deidentify_reports(
            source,
            out,
            told,
            identity,
            languages=[name.strip() for name in languages.split(",")],
            to=to,
            recognisers=[_recogniser(one) for one in recogniser or ()],
            keep_names=keep_names,
            translator=plugins.load("translators", translator)(translate) if translate else None,
        )
    typer.echo(str(done))
    if review is not None:
        review.mkdir(parents=True)
        (review / "review.html").write_text(page(done), encoding="utf-8")
        (review / "review.json").write_text(json.dumps(done.told(), indent=1), encoding="utf-8")
        typer.echo(f"Read {review / 'review.html'} before anything goes out.")
    for one in done.reports:
        if one.problem:
            typer.echo(f"{one.source}: {one.problem}", err=True)
    raise typer.Exit(1 if any(one.problem for one in done.reports) else 0)


def _known(table: Path | None, lake: Path | None, patient: str) -> list[Known]:
    from dicomlake.jobs.deid.reports import known_of_lake, known_of_table
    from dicomlake.lake import Store

    if lake is not None and not patient:
        raise UsageError("Give --patient with --lake: whose reports these are.")
    found = known_of_table(table) if table else []
    return found + (known_of_lake(Store(lake), patient) if lake else [])


@contextmanager
def _identity(
    key_file: Path | None, profile: str, patient: str, issuer: str
) -> Iterator[Identity | None]:
    """What identifiers become, as in the images of the patient; None without a key."""
    from dicomlake.deid.assembly import cleaner_of
    from dicomlake.settings import Pseudonyms

    if key_file is None:
        yield None
        return
    if not patient:
        raise UsageError("Give --patient with --key-file: dates move by days of the patient.")
    cleaner = cleaner_of(profile, Pseudonyms(key_file=key_file))
    try:
        yield cleaner.patient([], patient, issuer).identity
    finally:
        cleaner.close()


def _recogniser(told: str) -> Any:
    from dicomlake import plugins

    name, _, folder = told.partition("=")
    if not folder:
        raise UsageError(f"{told!r} names no folder. Write --recogniser NAME=FOLDER.")
    return plugins.load("recognisers", name)(Path(folder))
