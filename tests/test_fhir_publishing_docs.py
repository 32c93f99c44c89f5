"""The page about publishing is true: commands and Python run, settings and parameters exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomlake.cli import main
from dicomlake.jobs.index import index
from dicomlake.settings import FhirTarget, Pseudonyms, Settings
from dicomlake.testing import hospital
from dicomlake.testing.fhir import FhirServer
from dicomlake.web.fhir.searching import TYPES, params_of

PAGE = (Path(__file__).parents[1] / "docs" / "fhir-publishing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hospital.write(tmp_path / "hospital" / "archive", 2, pixels=False)
    index([tmp_path / "hospital" / "archive"], tmp_path / "hospital" / "lake", workers=1)
    (tmp_path / "study-a.key").write_text("k" * 40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with FhirServer() as made:
        yield made


def configure(folder: Path, text: str, server: FhirServer) -> None:
    said = text.replace("http://127.0.0.1:8090/fhir", server.address)
    (folder / "hospital" / "lake" / "dicomlake.toml").write_text(said)


def run(line: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[1:])
    assert stopped.value.code in (0, None), line


def test_commands_and_python_run(folder: Path, server: FhirServer) -> None:
    first, second, _ = blocks("toml")
    configure(folder, first, server)
    for line in blocks("sh")[0].splitlines():
        run(line)
    there = len(server.resources.every())
    assert there > 50
    (code,) = blocks("python")
    space: dict[str, object] = {}
    exec(compile(code, "fhir-publishing.md", "exec"), space)
    assert space["report"].sent == 0  # type: ignore[attr-defined]
    assert len(server.resources.every()) == there
    with FhirServer() as other:
        configure(folder, first + second, other)
        run("dicomlake fhir push research --lake hospital/lake")
        assert other.resources.every("Patient")


def test_all_settings_are_told() -> None:
    said = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert set(FhirTarget.model_fields) - said == set()
    gpas = {name for block in blocks("toml") for name in re.findall(r"^([a-z_]+) =", block, re.M)}
    plain = {"user", "password_env", "password_file", "token_file", "tls", "timeout_s"}
    assert set(Pseudonyms.model_fields) - said - gpas - plain == set()


def test_every_block_of_settings_is_one() -> None:
    Settings.model_validate(tomllib.loads("\n".join(blocks("toml"))))


def test_all_types_and_parameters_are_told() -> None:
    said = set(re.findall(r"[`=?&, ]([A-Za-z_-]+(?:\.[a-z]+)?)(?=[`=, ]|$)", PAGE))
    assert set(TYPES) <= said
    for type_ in TYPES:
        assert {name for name, _ in params_of(type_)} - said <= {"study"}, type_
