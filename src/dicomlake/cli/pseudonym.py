"""The command for pseudonyms of patients, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption


@app.command(
    epilog="Examples:  dicomlake pseudonym 4711 --issuer HOSPITAL --lake lake    "
    "dicomlake pseudonym --back CPU2ESUBDAMXJAR3H6OCYGJB3E"
)
def pseudonym(
    ids: Annotated[list[str] | None, typer.Argument(help="PatientIDs, one or several.")] = None,
    lake: LakeOption = HERE,
    issuer: Annotated[str, typer.Option(help="Issuer of these PatientIDs.")] = "",
    back: Annotated[
        list[str] | None, typer.Option(help="A pseudonym: say whose it is. May be repeated.")
    ] = None,
    pseudonyms: Annotated[
        str, typer.Option(metavar="NAME", help="Which pseudonyms: a name of [pseudonyms.NAME].")
    ] = "",
) -> None:
    """Say which pseudonym patients have, or whose pseudonyms they are.

    It needs the key of the pseudonyms, or the gPAS that knows them.
    """
    from dicomlake.errors import UsageError
    from dicomlake.jobs.door import pseudonym as job
    from dicomlake.settings import read

    if bool(ids) == bool(back):
        raise UsageError("Name PatientIDs, or pseudonyms with --back.")
    settings = read(lake)
    name = job.name_of(lake, settings, pseudonyms)
    people = [job.Person(one, issuer) for one in ids or ()]
    for one in job.pseudonyms(settings, name, people) if people else ():
        typer.echo(one)
    for person in job.people(lake, settings, name, back) if back else ():
        said = (person.PatientID, person.IssuerOfPatientID) if person else ("nobody known",)
        typer.echo("\t".join(filter(None, said)))
