"""Commands of the service: documents of series, and the REST service itself."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, LakeOption, OutputOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dicomlake.lake import Store


class DocumentFormat(StrEnum):
    """How documents are written."""

    json = "json"
    ndjson = "ndjson"
    xml = "xml"
    zip = "zip"


@app.command(
    epilog="Examples:  dicomlake documents --lake lake --where \"Modality = 'SR'\" "
    "--features items --format xml -o reports.xml    "
    "dicomlake documents --series 1.2.840.113619.2.1 --format json"
)
def documents(
    lake: LakeOption = HERE,
    series: Annotated[
        list[str] | None, typer.Option(metavar="UID", help="SeriesInstanceUID; again for more.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Series that meet a condition, as in dicomlake query.")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Series of a job.")] = None,
    features: Annotated[
        str,
        typer.Option(
            help="Parts, separated by commas: attributes, sequences, private, items, segments, "
            "waveforms, dose, or attributes such as Modality; all when left out."
        ),
    ] = "",
    form: Annotated[
        DocumentFormat,
        typer.Option("--format", "-f", help="zip holds one XML file per series."),
    ] = DocumentFormat.ndjson,
    output: OutputOption = None,
) -> None:
    """Write what the lake says of series as documents, one per series; see docs/service.md."""
    from dicomlake.errors import UsageError
    from dicomlake.jobs.documents import documents as read
    from dicomlake.jobs.documents import encoded, listed_features, missing_of
    from dicomlake.lake import Store

    if sum(given is not None for given in (series, where, job)) > 1:
        raise UsageError("Give one of --series, --where and --job.")
    if form is DocumentFormat.zip and output is None:
        raise UsageError("A zip needs a file. Add: --output documents.zip")
    store = Store(lake)
    uids = _series(store, series, where, job)
    made = read(store, uids, listed_features(features))
    _write(encoded(made, form), output)
    if missing := missing_of(store, uids):
        them = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        typer.echo(f"{len(missing):,} of the series are not in the lake: {them}", err=True)


def _series(
    store: Store, series: list[str] | None, where: str | None, job: str | None
) -> list[str]:
    """The SeriesInstanceUIDs that are asked for."""
    if series is not None:
        return series
    if job is not None:
        from dicomlake.jobs.requests import Requests
        from dicomlake.settings import read as settings_of

        with Requests(store.path, settings_of(store.path)) as requests:
            return requests.series(job)
    from dicomlake.api import Lake

    rows = Lake(store.path).query(where, show=["SeriesInstanceUID"]).rows
    return [str(uid) for uid in rows.column("SeriesInstanceUID").to_pylist()]


def _write(parts: Iterable[bytes], output: Path | None) -> None:
    from dicomlake.errors import UsageError

    if output is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as stream:
            for part in parts:
                stream.write(part)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}.") from error


@app.command(epilog="Example:  dicomlake serve --lake lake --port 8080")
def serve(
    lake: LakeOption = HERE,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set otherwise.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one.")] = None,
) -> None:
    """Run the REST service of a lake; its description is at /api/openapi.json.

    It listens on this machine alone unless told otherwise. Give it a token (settings of the
    service, token_env or token_file) before others can reach it.
    """
    from dicomlake.errors import UsageError
    from dicomlake.lake import Store
    from dicomlake.settings import read

    try:
        from dicomlake.web.server import run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The service needs {error.name}. Install it with: pip install 'dicomlake[web]'"
        ) from error
    Store(lake)  # a folder that is no lake says so
    settings = read(lake)
    service = settings.service
    given = {"host": host, "port": port}
    changed = {name: value for name, value in given.items() if value is not None}
    # port 0 (any) is no setting, but may be asked for here
    settings = settings.model_copy(update={"service": service.model_copy(update=changed)})
    run(lake, settings, say=lambda line: typer.echo(line, err=True))
