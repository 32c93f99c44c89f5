"""The page about the service is true: commands run, the example is an element, paths exist."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import orjson
import pytest

from dicomlake.cli import main
from dicomlake.jobs import layout
from dicomlake.jobs.index import index
from dicomlake.settings import Settings
from dicomlake.testing import hospital
from dicomlake.web import app

from .web.conftest import TestClient

PAGE = (Path(__file__).parents[1] / "docs" / "service.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("service")
    hospital.write(place / "hospital" / "archive", 6, pixels=False)
    index([place / "hospital" / "archive"], place / "hospital" / "lake", workers=1)
    return place


def run(line: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[1:])
    assert stopped.value.code == 0, line


def test_commands_and_python_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for line in blocks("sh")[0].splitlines():
        run(line)
    assert len(ElementTree.parse(folder / "reports.xml").getroot()) > 0
    for block in blocks("python"):
        exec(compile(block, "service.md", "exec"), {})


def test_the_element_is_one_of_the_hospital(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shown = json.loads(blocks("json")[0])
    schema = orjson.loads(layout.shipped("document.schema.json"))
    element = {**schema["properties"]["elements"]["items"], "$defs": schema["$defs"]}
    jsonschema.Draft202012Validator(element).validate(shown)
    run("dicomlake documents --lake hospital/lake --features KVP -f json -o kvp.json")
    documents = json.loads((folder / "kvp.json").read_text())
    assert shown in [e for document in documents for e in document["elements"]]
    said = ElementTree.fromstring(blocks("xml")[0])
    told = {**said.attrib, **{child.tag: child.text for child in said}}
    assert told == {name: str(value) for name, value in shown.items()}


def test_every_path_is_on_the_page(tmp_path: Path) -> None:
    for path in app(tmp_path, Settings()).openapi()["paths"]:
        last = path.rsplit("/", 1)[1]
        assert re.search(rf"[/`.]{re.escape(last)}\b|{re.escape(last)}", PAGE), path


def test_the_examples_of_questions_run(folder: Path) -> None:
    examples = re.findall(r"```json (query|steps|aggregate)\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 4
    made = app(folder / "hospital" / "lake", Settings())
    with TestClient(made, base_url="http://localhost") as client:
        for name, text in examples:
            path = {"query": "/api/query", "steps": "/api/query/steps"}.get(name, "/api/aggregate")
            answer = client.post(path, json=json.loads(text))
            assert answer.status_code == 200, answer.text
            assert answer.json().get("rows") or answer.json()["steps"]
        for line in re.findall(r"curl '?http://127.0.0.1:8080(/api/(?:lake|vocab)[^'\s]*)", PAGE):
            assert client.get(line).status_code == 200, line
