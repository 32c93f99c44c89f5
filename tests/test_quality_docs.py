"""The page about data quality is true: commands, Python and rules run, all rules are told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.enrichers.conformance import RULES, ConformanceEnricher
from dicomlake.jobs.enriching import enrich
from dicomlake.jobs.index import index
from dicomlake.testing import faults

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_python_and_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.write(tmp_path / "hospital" / "archive")
    lake = tmp_path / "hospital" / "lake"
    index([tmp_path / "hospital" / "archive"], lake, workers=1)
    (yaml,) = blocks("yaml")
    (lake / "rules.yaml").write_text(yaml)
    (toml,) = blocks("toml")
    assert 'rules = "rules.yaml"' in toml
    asked, made = blocks("python")
    own: dict[str, object] = {}
    exec(compile(made, "quality.md", "exec"), own)
    enricher = ConformanceEnricher(lake, {"rules": "rules.yaml"}, more=[own["rule"]])
    report = enrich(lake, enricher)
    assert report.findings == faults.truth().total() + len(list(faults.series()))
    monkeypatch.chdir(tmp_path)
    exec(compile(asked, "quality.md", "exec"), {})
    first, *others = blocks("sh")[0].splitlines()
    assert first == "dicomlake enrich conformance --lake hospital/lake"
    for line in others:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, line
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_every_rule_is_told() -> None:
    said = PAGE.replace(", ", " ").replace("; ", " ")
    for one in RULES:
        words = one.name.split()
        assert all(word in said for word in words), one.name
    for name in ("instance numbers repeat", "echo after repetition", "modality against class"):
        assert name in PAGE
