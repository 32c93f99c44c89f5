"""The command that erases patients, and tells who was erased."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption, console

if TYPE_CHECKING:
    from dicomlake.jobs.erasing import Preview


@app.command(
    epilog="Examples:  dicomlake erase P000014 --keep-proof proof.json --lake lake    "
    "dicomlake erase - --yes < id.txt    dicomlake erase P000014 --check"
)
def erase(
    patient: Annotated[
        str, typer.Argument(metavar="PATIENT", help="PatientID; - reads it from standard input.")
    ] = "",
    lake: LakeOption = HERE,
    issuer: Annotated[str | None, typer.Option(help="Issuer of the PatientID; '' is none.")] = None,
    study: Annotated[
        str | None, typer.Option(metavar="UID", help="Erase only this study of the patient.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep_proof: Annotated[
        Path | None, typer.Option(help="Write the proof here, too: .json, or readable.")
    ] = None,
    questions: Annotated[
        str, typer.Option(help="Saved questions that name the patient: redact or remove.")
    ] = "redact",
    allow_again: Annotated[
        bool, typer.Option("--allow-again", help="Indexing may bring the patient back.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the patient was erased.")
    ] = False,
) -> None:
    """Erase a patient from a lake, for good, and prove that nothing is left; see docs/erasure.md.

    Without a patient, what a killed erasure left is done. Exit code 1 when something was found.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs import erasing

    who = sys.stdin.readline().rstrip("\n") if patient == "-" else patient
    if not who:
        for proof in erasing.resume(lake):
            typer.echo(str(proof), nl=False)
        return
    if check:
        _say_whether(lake, who, issuer)
        return
    if allow_again and erasing.allow_again(lake, who, issuer):
        typer.echo("Indexing may bring the patient back from now on.")
        return
    _show(erasing.preview(lake, who, issuer=issuer, study=study))
    if not yes and typer.prompt("This cannot be undone. Type the PatientID once more") != who:
        typer.echo("That is another one. Nothing was erased.")
        raise typer.Exit(1)
    with Bar(console(error=True)) as bar:
        proof = erasing.erase(
            lake,
            who,
            issuer=issuer,
            study=study,
            questions=questions,
            allow_again=allow_again,
            progress=bar,
        )
    typer.echo(str(proof), nl=False)
    if keep_proof:
        as_json = keep_proof.suffix == ".json"
        text = json.dumps(proof.as_json(), indent=1) + "\n" if as_json else str(proof)
        keep_proof.write_text(text, encoding="utf-8")
    raise typer.Exit(0 if proof.whole else 1)


def _say_whether(lake: Path, who: str, issuer: str | None) -> None:
    from dicomlake.jobs.erasing import was_erased

    mark = was_erased(lake, who, issuer)
    if mark is None:
        typer.echo("Nobody of that PatientID was erased from this lake.")
        raise typer.Exit(1)
    again = "may come back" if mark.again else "is left out when it comes again"
    typer.echo(f"Erased {mark.when} by erasure {mark.erasure}; {again}.")


def _show(found: Preview) -> None:
    """What would go, before anybody is asked."""
    typer.echo(
        f"{found.series:,} series of {found.studies:,} studies with {found.instances:,} instances "
        f"and {sum(found.rows.values()):,} rows will go, with every older version of the lake."
    )
    if not found.series:
        typer.echo("The lake holds no series of that patient; traces are looked for all the same.")
    for name, count in found.sources.items():
        typer.echo(f"{count:,} series came from {name}, which may send them again.")
    for name in found.questions:
        typer.echo(f"Saved under a name: {name}")
    for one in found.exports:
        typer.echo(f"An export held the patient: {one.get('name', '')} of {one.get('made', '')}")
