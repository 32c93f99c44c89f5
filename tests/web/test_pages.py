"""The pages: what is served, with which headers, to whom; and what they are made from."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from dicomlake.settings import Service, Settings
from dicomlake.web import app, problems
from dicomlake.web.pages import PAGES, pages

from .conftest import TestClient

ROOT = Path(__file__).parents[2]
UI = ROOT / "ui"
INDEX = '<meta name="nonce" content="NONCE-OF-THIS-ANSWER"><script src="/assets/a-1.js"></script>'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "assets" / "a-1.js").write_text("go();" * 100)
    (folder / "assets" / "a-1.woff2").write_bytes(b"font")
    (folder / "assets" / "secret.py").write_text("no")
    return folder


def client_of(static: Path) -> TestClient:
    made = FastAPI()
    made.include_router(pages(static))
    problems.register(made)
    return TestClient(made, base_url="http://localhost", raise_server_exceptions=False)


def test_every_page_is_the_one_document_with_a_strict_policy(built: Path) -> None:
    client = client_of(built)
    nonces = set()
    for address in ("/", *(f"/{first}/deep/1.2.3" for first in PAGES)):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        said = re.search(r"style-src 'self' 'nonce-([\w-]+)'", policy)
        assert said is not None
        assert f'content="{said[1]}"' in answer.text
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["cache-control"] == "no-store"
        nonces.add(said[1])
    assert len(nonces) == len(PAGES) + 1


def test_files_have_types_and_stay(built: Path) -> None:
    client = client_of(built)
    script = client.get("/assets/a-1.js")
    assert script.text == "go();" * 100
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["content-encoding"] == "gzip"
    assert "immutable" in script.headers["cache-control"]
    plain = client.get("/assets/a-1.js", headers={"Accept-Encoding": "identity"})
    assert plain.text == script.text
    assert "content-encoding" not in plain.headers
    assert client.get("/assets/a-1.woff2").headers["content-type"] == "font/woff2"


@pytest.mark.parametrize(
    "name", ["none.js", "secret.py", "%2e%2e%2findex.html", "..%2Findex.html", ".js"]
)
def test_nothing_else_is_a_file(built: Path, name: str) -> None:
    assert client_of(built).get(f"/assets/{name}").status_code == 404


def test_without_the_application_there_is_a_word_about_it(tmp_path: Path) -> None:
    answer = client_of(tmp_path).get("/")
    assert answer.status_code == 503
    assert "make ui" in answer.text


def test_pages_need_no_token_but_data_do(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICOMLAKE_TEST_TOKEN", "secret")
    settings = Settings(service=Service(token_env="DICOMLAKE_TEST_TOKEN"))
    with TestClient(app(lake, settings), base_url="http://localhost") as client:
        assert client.get("/").status_code != 401
        assert client.get("/studies/1.2.3").status_code != 401
        for address in ("/api/lake", "/api/studies/1.2.3", "/metrics", "/other", "/askew"):
            assert client.get(address).status_code == 401, address
        assert client.post("/ask").status_code == 401


def test_unknown_addresses_stay_problems(client: TestClient) -> None:
    assert client.get("/api/none").headers["content-type"] == "application/problem+json"
    assert client.get("/none").status_code == 404


def test_types_are_those_of_the_service() -> None:
    found = importlib.util.spec_from_file_location("openapi", UI / "openapi.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    assert made.types(made.description()) == made.TYPES.read_text("utf-8"), (
        "python ui/openapi.py writes them anew"
    )


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    text = (UI / "package-lock.json").read_text("utf-8")
    assert "://" not in text
    lock = json.loads(text)
    assert all("integrity" in said for name, said in lock["packages"].items() if name)


def test_both_languages_say_everything() -> None:
    texts = {
        name: json.loads((UI / "src" / "texts" / f"{name}.json").read_text("utf-8"))
        for name in ("en", "de")
    }
    assert list(texts["en"]) == list(texts["de"])
    for key, said in texts["en"].items():
        held = re.findall(r"\{\w+\}", said)
        assert sorted(held) == sorted(re.findall(r"\{\w+\}", texts["de"][key])), key


def test_pages_of_the_application_are_those_of_the_service() -> None:
    source = (UI / "src" / "app.tsx").read_text("utf-8")
    listed = re.search(r"const PAGES.*?\{(.*?)\n\};", source, re.DOTALL)
    assert listed is not None
    names = set(re.findall(r"^  (\w+):", listed[1], re.MULTILINE))
    assert names == set(PAGES)
