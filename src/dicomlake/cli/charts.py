"""Commands about charts of one's own: keep them, list them, and see their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import HERE, FormatOption, LakeOption, OutputOption, console
from dicomlake.cli.formats import Format
from dicomlake.errors import UsageError

if TYPE_CHECKING:
    from dicomlake.jobs.charts import Chart

charts = typer.Typer(
    name="chart",
    help="Charts of your own: small Vega-Lite files, kept with all versions.",
    no_args_is_help=True,
    epilog="Start with: dicomlake chart save CHART.json    The format: docs/dashboards.md",
)
app.add_typer(charts)

Which = Annotated[str, typer.Argument(metavar="ID|FILE", help="A kept chart, or a file.")]


@charts.command(epilog="Example:  dicomlake chart save chart.json --name 'Studies per year'")
def save(
    file: Annotated[Path, typer.Argument(help="JSON: Vega-Lite, or a chart that was exported.")],
    lake: LakeOption = HERE,
    name: Annotated[str, typer.Option(help="Its name; else that of the file.")] = "",
    chart: Annotated[str | None, typer.Option("--id", help="A new version of this one.")] = None,
) -> None:
    """Keep a chart in the lake, for everybody who opens its dashboards."""
    from dicomlake.jobs.charts import Charts
    from dicomlake.lake import Store

    told = _read(file)
    Store(lake)
    kept = Charts(lake).put(
        told["spec"],
        name=name or told["name"],
        comment=told["comment"],
        shared=True,
        id_=chart,
    )
    typer.echo(f"Version {kept.version} of {kept.name!r}: {kept.id}")


@charts.command("list", epilog="Example:  dicomlake chart list --lake lake")
def list_(lake: LakeOption = HERE) -> None:
    """List the charts that everybody sees, newest first."""
    from rich.table import Table

    from dicomlake.jobs.charts import Charts

    found = Charts(lake).all()
    if not found:
        typer.echo("There is no chart yet. Keep one with: dicomlake chart save FILE.json")
        return
    table = Table("id", "name", "version", show_edge=False, header_style="bold")
    for one in found:
        table.add_row(one.id, one.name, str(one.version))
    console().print(table)


@charts.command(epilog="Example:  dicomlake chart show 0badcafe0001 > chart.json")
def show(
    chart: Annotated[str, typer.Argument(metavar="ID", help="Which chart.")],
    lake: LakeOption = HERE,
    version: Annotated[int | None, typer.Option(min=1, help="An older version.")] = None,
) -> None:
    """Print a chart as a file that can be changed and kept again."""
    kept = _kept(lake, chart, version)
    told = {"name": kept.name, "comment": kept.comment, "spec": kept.spec}
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False))


@charts.command(epilog="Example:  dicomlake chart data chart.json --where \"Modality = 'MR'\"")
def data(
    chart: Which,
    lake: LakeOption = HERE,
    where: Annotated[str, typer.Option(help="Only of what this question finds.")] = "",
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Show the numbers that a chart draws."""
    from dicomlake.api import open as open_lake
    from dicomlake.cli.output import write

    file = Path(chart)
    spec = _read(file)["spec"] if file.is_file() else _kept(lake, chart, None).spec
    write(open_lake(lake).chart(spec, where or None), form, output, console())


def _kept(lake: Path, chart: str, version: int | None) -> Chart:
    from dicomlake.jobs.charts import Charts

    try:
        return Charts(lake).get(chart, version)
    except UsageError as error:
        raise UsageError(f"{error} dicomlake chart list shows them.") from error


def _read(file: Path) -> dict[str, Any]:
    """The chart in a file: with a name and a comment, or the specification alone."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{file} is no JSON: {error}.") from error
    if not isinstance(told, dict):
        raise UsageError(f"{file} holds no chart.")
    whole = told if isinstance(told.get("spec"), dict) else {"spec": told}
    return {"name": file.stem, "comment": "", **whole}
