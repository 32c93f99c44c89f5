"""Commands of the benchmark of de-identification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dicomlake.cli import app
from dicomlake.cli.commands import console
from dicomlake.errors import UsageError

bench = typer.Typer(
    name="bench-deid",
    help="Measure de-identification: a corpus with planted secrets, and a judge of what came out.",
    no_args_is_help=True,
    epilog="Start with: dicomlake bench-deid make bench    All of it: docs/deid-benchmark.md",
)
app.add_typer(bench)

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="report.html or report.json.")
]


@bench.command(epilog="Example:  dicomlake bench-deid make bench --seed 7 --patients 60")
def make(
    out: Annotated[Path, typer.Argument(help="New folder: corpus/ and key/ come into it.")],
    seed: Annotated[int, typer.Option(help="Another number is another corpus.")] = 1,
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 60,
) -> None:
    """Make a corpus of about ten objects per patient, and the key with every check."""
    from dicomlake.testing.deidbench import make as make_corpus

    corpus, key = make_corpus(out, patients, seed)
    told = json.loads((key / "corpus.json").read_text(encoding="utf-8"))
    typer.echo(
        f"{told['objects']:,} objects of {patients:,} patients and {told['reports']:,} reports in "
        f"{corpus}, {told['checks']:,} checks in {key}."
    )


@bench.command(
    epilog="Example:  dicomlake bench-deid judge bench/corpus bench/key cleaned -o report.html"
)
def judge(
    corpus: Annotated[Path, typer.Argument(help="The corpus that was cleaned.")],
    key: Annotated[Path, typer.Argument(help="Its key.")],
    cleaned: Annotated[Path, typer.Argument(help="What came out; names do not matter.")],
    uid_map: Annotated[
        Path | None, typer.Option("--map", help="CSV of UIDs: id_old, id_new.")
    ] = None,
    options: Annotated[
        str, typer.Option(help="What the profile promised; the one for research if left out.")
    ] = "",
    output: OutputOption = None,
    failures: Annotated[int, typer.Option(help="How many failures are shown.")] = 20,
) -> None:
    """Judge what came out of a corpus. Ends with 1 when a gate is not passed."""
    from dicomlake.testing.deidbench import judge as judge_corpus
    from dicomlake.testing.deidbench import summary
    from dicomlake.testing.deidbench.answers import RESEARCH

    _checked(output)
    asked = [name.strip() for name in options.split(",") if name.strip()] or sorted(RESEARCH)
    told = summary(judge_corpus(corpus, key, cleaned, asked, uid_map=uid_map))
    _show(told, failures)
    _write(output, "De-identification, judged", told)
    if not all(gate["passed"] for gate in told["gates"]):
        raise typer.Exit(1)


@bench.command(
    epilog="Example:  dicomlake bench-deid run bench --tools dicomlake,dicognito -o report.html"
)
def run(
    folder: Annotated[Path, typer.Argument(help="New folder for everything.")],
    tools: Annotated[
        str, typer.Option(help="With commas; pip installs those of others for themselves.")
    ] = "dicomlake,dicom-anonymizer,dicom-anonymizer-2026c,dicognito,deid",
    seed: Annotated[int, typer.Option(help="Of the corpus.")] = 1,
    patients: Annotated[int, typer.Option(min=1, help="How many.")] = 60,
    profile: Annotated[str, typer.Option(help="Profile of dicomlake.")] = "research",
    speed: Annotated[bool, typer.Option(help="Measure files per second, too.")] = True,
    output: OutputOption = None,
) -> None:
    """Let tools clean the same corpus, judge them side by side, and measure their speed."""
    from dicomlake.testing.deidbench.page import columns
    from dicomlake.testing.deidbench.running import run as run_tools

    _checked(output)
    screen = console(error=True)
    names = [name.strip() for name in tools.split(",") if name.strip()]
    told = run_tools(
        folder, names, patients=patients, seed=seed, profile=profile, speed=speed, say=screen.print
    )
    for name, one in told["tools"].items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in columns(one)))
    _write(output, "De-identification, side by side", told)


def _checked(output: Path | None) -> None:
    if output is not None and output.suffix not in (".html", ".json"):
        raise UsageError(f"A report is written as .html or .json, not {output.name!r}.")


def _show(told: dict[str, Any], failures: int) -> None:
    low, high = told["interval"]
    typer.echo(
        f"{told['passed']:,} of {told['checks']:,} checks passed on {told['objects']:,} files; "
        f"score {told['score']:.2%} ({low:.2%} to {high:.2%})"
    )
    for gate in told["gates"]:
        word = "passed" if gate["passed"] else "NOT PASSED"
        typer.echo(f"{gate['name']}: {gate['measured']:.4g}, needed {gate['needed']}: {word}")
    for row in told["failed"][:failures]:
        place = f"{row['file']} {row['path']}".strip()
        typer.echo(f"  {row['check_id']} {row['action']} {place}: {row['why']}")


def _write(output: Path | None, title: str, told: dict[str, Any]) -> None:
    if output is None:
        return
    from dicomlake.testing.deidbench.page import page

    if output.suffix == ".html":
        output.write_text(page(title, told), encoding="utf-8")
    else:
        text = json.dumps(told, ensure_ascii=False, indent=1)
        output.write_text(text + "\n", encoding="utf-8")
