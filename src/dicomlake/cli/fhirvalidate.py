"""The command that validates FHIR files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli.fhir import fhir

if TYPE_CHECKING:
    from dicomlake.jobs.fhir.validating import Report


@fhir.command(
    epilog="Examples:  dicomlake fhir validate out    "
    "dicomlake fhir validate bundle.json --release R5    "
    "dicomlake fhir validate Observation.ndjson --alone --strict"
)
def validate(
    path: Annotated[
        Path, typer.Argument(help="NDJSON, a resource, a bundle, or a folder of them.")
    ],
    release: Annotated[str, typer.Option(help="R4 or R5.")] = "R4",
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Canonical address of a profile, besides those of meta.profile."),
    ] = None,
    alone: Annotated[
        bool, typer.Option(help="What the resources refer to may be somewhere else.")
    ] = False,
    strict: Annotated[bool, typer.Option(help="Fail on warnings, too.")] = False,
) -> None:
    """Say whether FHIR resources are valid; exit status 1 when they are not.

    Types, codes, references, extensions and profiles are looked at; see docs/fhir-validation.md.
    Ids of resources are shown, values of elements never.
    """
    from dicomlake.jobs.fhir.validating import validate as run

    report = run(path, release.upper(), profile or (), alone=alone)
    _show(report)
    wrong = report.count("error") + (report.count("warning") if strict else 0)
    raise typer.Exit(1 if wrong else 0)


def _show(report: Report) -> None:
    for name, count in sorted(report.types.items()):
        typer.echo(f"{count:>10,}  {name}")
    for group in report.listed():
        typer.echo(f"{group.severity} {group.path}: {group.text}")
        typer.echo(f"    {group.count:,} times, as in {', '.join(group.examples)}")
    errors, warnings = report.count("error"), report.count("warning")
    verdict = "valid" if not errors else "not valid"
    typer.echo(
        f"{report.types.total():,} resources by {report.release}: {verdict}, "
        f"{errors:,} errors, {warnings:,} warnings"
    )
