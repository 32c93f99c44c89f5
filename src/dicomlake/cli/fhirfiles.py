"""The command that writes the resources of a lake into files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dicomlake.cli.commands import HERE, LakeOption, console
from dicomlake.cli.fhir import fhir


class ReleaseName(StrEnum):
    """Releases of FHIR."""

    R4 = "R4"
    R5 = "R5"


class ProfileName(StrEnum):
    """Profiles that resources may fit."""

    mii = "mii"
    impetus = "impetus"
    none = "none"


@fhir.command(
    epilog="Examples:  dicomlake fhir export out --lake lake    "
    "dicomlake fhir export out --release R4 --profile mii --types ImagingStudy,Patient    "
    "dicomlake fhir export out --where \"Modality = 'CT'\""
)
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    lake: LakeOption = HERE,
    release: Annotated[ReleaseName, typer.Option(help="Release of FHIR.")] = ReleaseName.R4,
    profile: Annotated[
        ProfileName, typer.Option(help="mii of R4, impetus of R5, or none.")
    ] = ProfileName.none,
    where: Annotated[
        str, typer.Option(help="Only studies with a series that meets this condition.")
    ] = "",
    types: Annotated[str, typer.Option(help="Only these types, with commas.")] = "",
) -> None:
    """Write the resources of a lake as NDJSON, one file per type: all of them or nothing.

    What is told of patients and devices is set in dicomlake.toml, [fhir.site]; see docs/fhir.md.
    """
    from dicomlake.cli.progress import Bar
    from dicomlake.jobs.fhir.sites import release_of, site_of
    from dicomlake.jobs.fhir.targets import part_of, parts_folder
    from dicomlake.jobs.fhir.writing import write_ndjson
    from dicomlake.lake import Store
    from dicomlake.settings import read

    settings, store = read(lake), Store(lake)
    site = site_of(lake, settings, profile.value)
    asked = [name.strip() for name in types.split(",") if name.strip()] or None
    with Bar(console(error=True)) as bar, parts_folder(store.path) as parts:
        part = part_of(store, where, "study", parts)
        written = write_ndjson(
            part, folder, site, release_of(release.value), types=asked, progress=bar
        )
    typer.echo(str(written))
