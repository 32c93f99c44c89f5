"""Commands of clinical facts and reports: import, status, remove, search."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption, console

facts = typer.Typer(
    name="facts",
    help="Diagnoses, procedures, laboratory values, medications and reports beside the images.",
    no_args_is_help=True,
    epilog="Start with: dicomlake facts import export/ --source clinic    All: docs/clinical.md",
)
app.add_typer(facts)


@facts.command(
    "import",
    epilog="Examples:  dicomlake facts import bundles/ --source clinic --lake lake    "
    "dicomlake facts import omop/*.csv --source omop --issuer HOSPITAL    "
    "dicomlake facts import labs.csv --source lab --mapping labs.yaml",
)
def import_(
    paths: Annotated[
        list[Path], typer.Argument(help="FHIR, OMOP, CSV, HL7 v2 and text files; folders.")
    ],
    source: Annotated[str, typer.Option(help="Name of the system that they come from.")],
    lake: LakeOption = HERE,
    issuer: Annotated[
        str, typer.Option(help="Issuer of patient numbers that no setting says one for.")
    ] = "",
    mapping: Annotated[
        Path | None, typer.Option(help="YAML: what columns of tables and names of texts mean.")
    ] = None,
    snapshot: Annotated[
        bool, typer.Option(help="The files have all of the source: what else it had goes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No bar, no report.")] = False,
) -> None:
    """Bring clinical facts and reports into a lake; the same files again add nothing.

    They are linked to images by patient and issuer, and by accession number, also when the images
    come later. Stop it at any time and start it again.
    """
    from dicomlake.jobs import clinical

    options = {"source": source, "issuer": issuer, "mapping": mapping, "snapshot": snapshot}
    if quiet:
        clinical.bring(lake, paths, **options)  # type: ignore[arg-type]
        return
    from dicomlake.cli.progress import Bar

    with Bar(console(error=True)) as bar:
        report = clinical.bring(lake, paths, progress=bar, **options)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps(asdict(report), ensure_ascii=False, indent=1))
        return
    typer.echo(str(report))
    if report.failures:
        typer.echo(f"What could not be read: dicomlake failures --lake {lake}")


@facts.command("status", epilog="Example:  dicomlake facts status --lake lake")
def status_(
    lake: LakeOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what each source has brought, and how much of it is of patients with images."""
    from dicomlake.cli.quality import _table
    from dicomlake.jobs import clinical

    found = clinical.status(lake)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=str, indent=1))
        return
    if not found:
        typer.echo("The lake has no facts yet. Bring some: dicomlake facts import --help")
        return
    console().print(
        _table(
            ("source", "kind", "rows", "patients", "with images", "from", "to"),
            [
                (one.source, one.kind, f"{one.rows:,}", f"{one.patients:,}", f"{one.linked:,}",
                 f"{one.first:%Y-%m-%d}" if one.first else "",
                 f"{one.last:%Y-%m-%d}" if one.last else "")
                for one in found
            ],
        )
    )  # fmt: skip


@facts.command("remove", epilog="Example:  dicomlake facts remove --source lab --lake lake")
def remove_(
    source: Annotated[str, typer.Option(help="Whose facts and documents go.")],
    lake: LakeOption = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let everything that a source brought go; bring it again with import."""
    from dicomlake.jobs import clinical

    if not yes:
        typer.confirm(f"Remove all facts and documents of {source}?", abort=True)
    gone = clinical.remove(lake, source)
    typer.echo(f"{gone['clinical_events']:,} facts and {gone['documents']:,} documents removed.")


@facts.command(
    "search",
    epilog="Examples:  dicomlake facts search Pneumothorax --lake lake    "
    "dicomlake facts search '\"pleural effusion\" left' --language en    "
    "dicomlake facts search '*erguss' --negated",
)
def search_(
    words: Annotated[str, typer.Argument(help="Words; in quotes as they follow each other.")],
    lake: LakeOption = HERE,
    negated: Annotated[bool, typer.Option("--negated", help="What reports deny.")] = False,
    uncertain: Annotated[
        bool, typer.Option("--uncertain", help="What reports leave open.")
    ] = False,
    language: Annotated[str | None, typer.Option(help="de, en, es or fr.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Search the texts of reports for what they affirm, whatever case and accents words have."""
    from dicomlake.api import Lake
    from dicomlake.cli.quality import _table
    from dicomlake.jobs import clinical

    found = clinical.search(
        Lake(lake).engine, words, negated=negated, uncertain=uncertain, language=language,
        limit=limit,
    ).to_pylist()  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found, default=str, ensure_ascii=False, indent=1))
        return
    if not found:
        typer.echo("No report says that.")
        return
    console().print(
        _table(
            ("PatientID", "AccessionNumber", "written", "says"),
            [
                (one["PatientID"] or "", one["AccessionNumber"] or "",
                 f"{one['written']:%Y-%m-%d}" if one["written"] else "", one["snippet"])
                for one in found
            ],
        )
    )  # fmt: skip
