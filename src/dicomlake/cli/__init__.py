"""The command line: parse, call a job, show. Heavy imports happen inside the commands."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dicomlake.errors import DicomlakeError, QuerySyntax
from dicomlake.version import __version__


class Commands(TyperGroup):
    """All commands take --lake LAKE, those too that take the lake as their argument."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that the words name, and what is left of them for it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, _as_argument(command, rest)


def _as_argument(command: Any, args: list[str]) -> list[str]:
    """Arguments with the lake of --lake at their end, where a command has no such option."""
    for word in args:
        command = getattr(command, "commands", {}).get(word, command)
    names = {name for parameter in getattr(command, "params", ()) for name in parameter.opts}
    if "lake" not in names or "--lake" in names:
        return args
    rest, lake, words = [], [], iter(args)
    for word in words:
        if word in ("--lake", "-l"):
            lake = [next(words, word)]
        elif word.startswith("--lake="):
            lake = [word.removeprefix("--lake=")]
        else:
            rest.append(word)
    return rest + lake


app = typer.Typer(
    name="dicomlake",
    cls=Commands,
    help="An open imaging data lake: everything that DICOM objects say, in open tables.",
    epilog="Start with: dicomlake demo    or: dicomlake index /path/to/dicom --lake lake",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


MODULES = """access activity benching charts cohorts commands converting datasets deid
    deidpixels dose dosereport enriching erasing facts federation fhir fhirfiles fhirvalidate
    inside omop pacs pseudonym quality reports segmenter service viewer"""
"""Modules of commands."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dicomlake {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    log: Annotated[
        str, typer.Option(help="Log level on standard error.", envvar="DICOMLAKE_LOG")
    ] = "WARNING",
    log_json: Annotated[bool, typer.Option(help="Write the log as JSON lines.")] = False,
) -> None:
    from dicomlake.log import configure

    if log.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise typer.BadParameter("use DEBUG, INFO, WARNING, ERROR or CRITICAL")
    configure(log, as_json=log_json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are sentences on standard error, never a stack trace."""
    for name in MODULES.split():
        import_module(f"dicomlake.cli.{name}")
    try:
        app(arguments)
    except DicomlakeError as error:
        _complain(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nStopped. What was committed is safe; the same command goes on from there.\n"
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _complain(error: Any) -> None:
    sys.stderr.write(f"dicomlake: {error}\n")
    if isinstance(error, QuerySyntax) and "^" not in str(error):
        sys.stderr.write(f"  {error.text}\n  {' ' * error.position}^\n")
