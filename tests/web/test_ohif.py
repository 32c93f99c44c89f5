"""OHIF: installed from its package, served as it is, and in a real browser."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from pydicom.sr.codedict import codes
from typer.testing import CliRunner

from dicomlake.cli import app as cli
from dicomlake.cli import main, viewer
from dicomlake.errors import UsageError
from dicomlake.jobs import ohif
from dicomlake.jobs.index import index
from dicomlake.settings import Service, Settings
from dicomlake.web import app

from . import phantom
from .phantom import SERIES, STUDY
from .walks import chromium, need, quiet_page, served

INDEX = (
    '<!doctype html><head><link href="/app.css" rel="stylesheet">'
    '<meta content="/assets/browserconfig.xml"><script>window.PUBLIC_URL="/"</script>'
    '<script src="/app.bundle.js"></script></head>'
)
FILES = {
    "package/package.json": '{"name": "@ohif/app", "version": "9.9.9"}',
    "package/dist/index.html": INDEX,
    "package/dist/app.bundle.js": '__webpack_require__.p = "/";\nvoiLutModule.voiLUTFunction[0]',
    "package/dist/app.css": "@font-face { src: url(/0123456789abcdef.woff2) }",
    "package/dist/0123456789abcdef.woff2": "font",
    "package/dist/fedcba9876543210.wasm": "wasm",
    "package/dist/manifest.json": '{"icons": [{"src": "/assets/a.png"}]}',
    "package/dist/app.bundle.js.map": "map",
    "package/dist/ort/large.wasm": "network",
    "package/dist/app-config.js": "window.config = 'https://elsewhere.example'",
    "package/dist/secret.py": "no",
}


def package(place: Path, files: dict[str, str] | None = None) -> Path:
    file = place / "made.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in (files or FILES).items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return file


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    ohif.install(tmp_path / "ohif", package(tmp_path), unchecked=True)
    return tmp_path / "ohif"


def client_of(folder: Path, lake: Path) -> TestClient:
    settings = Settings(service=Service(viewer=folder))
    return TestClient(app(lake, settings), base_url="http://localhost")


class TestInstalling:
    def test_what_is_installed(self, installed: Path) -> None:
        names = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
        assert names == {
            "installed.json", "dist/index.html", "dist/app.bundle.js", "dist/app.css",
            "dist/0123456789abcdef.woff2", "dist/fedcba9876543210.wasm", "dist/manifest.json",
            "dist/secret.py",
        }  # fmt: skip
        found = ohif.status(installed)
        assert found is not None
        assert (found.version, found.checked, found.files) == ("9.9.9", False, 7)
        script = (installed / "dist/app.bundle.js").read_text()
        assert "self.PUBLIC_URL" in script
        assert "[].concat(voiLutModule.voiLUTFunction)[0]" in script
        assert "url(./0123" in (installed / "dist/app.css").read_text()
        assert '"assets/a.png"' in (installed / "dist/manifest.json").read_text()

    def test_everything_when_asked(self, tmp_path: Path) -> None:
        ohif.install(tmp_path / "o", package(tmp_path), unchecked=True, everything=True)
        assert (tmp_path / "o/dist/ort/large.wasm").is_file()
        assert (tmp_path / "o/dist/app.bundle.js.map").is_file()

    def test_another_package_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is not the package @ohif/app"):
            ohif.install(tmp_path / "o", package(tmp_path))
        assert not (tmp_path / "o").exists()
        other = {"package/package.json": '{"name": "other", "version": "1"}'}
        with pytest.raises(UsageError, match="no built viewer"):
            ohif.install(tmp_path / "o", package(tmp_path, other), unchecked=True)
        (tmp_path / "made.tgz").write_bytes(b"nothing")
        with pytest.raises(UsageError, match="no package of npm"):
            ohif.install(tmp_path / "o", tmp_path / "made.tgz", unchecked=True)
        assert not (tmp_path / "o").exists()

    def test_names_that_lead_elsewhere_are_left_out(self, tmp_path: Path) -> None:
        odd = {**FILES, "package/dist/../../../out.js": "x", "/abs/dist/x.js": "x"}
        ohif.install(tmp_path / "in" / "o", package(tmp_path, odd), unchecked=True)
        assert not list(tmp_path.rglob("out.js"))
        assert not list(tmp_path.rglob("x.js"))

    def test_a_folder_again_and_removed(self, installed: Path, tmp_path: Path) -> None:
        for name, content in FILES.items():
            path = tmp_path / "unpacked" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("9.9.9", "9.9.10"))
        ohif.install(installed, tmp_path / "unpacked", unchecked=True)
        found = ohif.status(installed)
        assert found is not None
        assert found.version == "9.9.10"
        assert ohif.remove(installed)
        assert not installed.exists()
        assert not ohif.remove(installed)

    def test_a_folder_with_something_else_stays(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("words")
        with pytest.raises(UsageError, match="something else"):
            ohif.install(tmp_path / "mine", package(tmp_path), unchecked=True)
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["made.tgz", "mine"]

    def test_without_npm_there_is_a_word(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UsageError, match="npm is missing"):
            ohif.install(tmp_path / "o")

    def test_commands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        run = CliRunner().invoke
        assert viewer.viewers.registered_commands
        assert run(cli, ["viewer", "status"]).exit_code == 1
        with pytest.raises(SystemExit):
            main(["viewer", "install", str(package(tmp_path))])
        assert "--unchecked" in capsys.readouterr().err
        done = run(cli, ["viewer", "install", str(package(tmp_path)), "--unchecked"])
        assert "OHIF 9.9.9 (not checked), 7 files" in done.output
        assert "9.9.9" in run(cli, ["viewer", "status"]).output
        assert "is removed" in run(cli, ["viewer", "remove"]).output
        assert "is not installed" in run(cli, ["viewer", "remove"]).output


class TestServing:
    def test_the_document_with_a_policy_for_every_address(
        self, installed: Path, hospital_lake: Path
    ) -> None:
        with client_of(installed, hospital_lake) as client:
            assert client.get("/viewer", follow_redirects=False).headers["location"] == "viewer/"
            for path, above in (("", "./"), ("viewer?StudyInstanceUIDs=1.2.3", "./"),
                                ("local/basic", "../")):  # fmt: skip
                answer = client.get(f"/viewer/{path}")
                assert answer.status_code == 200
                assert f'src="{above}app.bundle.js"' in answer.text
                assert f'href="{above}app.css"' in answer.text
                assert f'new URL("{above}",location.href).pathname' in answer.text
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "http" not in policy
                assert answer.text.count("<script nonce=") == answer.text.count("<script")

    def test_files(self, installed: Path, hospital_lake: Path) -> None:
        with client_of(installed, hospital_lake) as client:
            for name, kind in (("app.bundle.js", "text/javascript; charset=utf-8"),
                               ("app.css", "text/css; charset=utf-8"),
                               ("fedcba9876543210.wasm", "application/wasm"),
                               ("0123456789abcdef.woff2", "font/woff2")):  # fmt: skip
                answer = client.get(f"/viewer/{name}")
                assert answer.headers["content-type"] == kind
                hashed = "immutable" in answer.headers["cache-control"]
                assert hashed is (len(name.partition(".")[0]) == 16)
            policy = client.get("/viewer/app.bundle.js").headers["content-security-policy"]
            assert "script-src 'self' 'unsafe-eval'" in policy  # that of workers
            config = client.get("/viewer/app-config.js").text
            assert "../dicom-web" in config
            assert "elsewhere" not in config
            for path in ("none.js", "..%2finstalled.json", "%2e%2e/installed.json"):
                assert client.get(f"/viewer/{path}").status_code == 404, path
            assert "no" not in client.get("/viewer/secret.py").text[:2]

    def test_without_it(self, tmp_path: Path, hospital_lake: Path) -> None:
        with client_of(tmp_path / "none", hospital_lake) as client:
            answer = client.get("/viewer/")
            assert answer.status_code == 404
            assert "dicomlake viewer install" in answer.json()["detail"]
            assert client.get("/api/viewer").json() == {
                "installed": False, "version": "", "path": "/viewer",
            }  # fmt: skip

    def test_files_need_no_token_but_its_data_do(
        self, installed: Path, hospital_lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DICOMLAKE_TEST_TOKEN", "secret")
        service = Service(viewer=installed, token_env="DICOMLAKE_TEST_TOKEN")
        made = app(hospital_lake, Settings(service=service))
        with TestClient(made, base_url="http://localhost") as client:
            assert client.get("/viewer/").status_code == 200
            for path in ("/dicom-web/studies", "/api/viewer"):
                assert client.get(path).status_code == 401


# The real one


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real viewer, fetched by npm once for all runs on this machine; it is what we pinned."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dicomlake"
    kept = cache / f"ohif-app-{ohif.VERSION}.tgz"
    if not kept.is_file():
        need(shutil.which("npm"), "npm is missing, which fetches OHIF")
        cache.mkdir(parents=True, exist_ok=True)
        work = tmp_path_factory.mktemp("npm")
        try:
            found = ohif.packed(work)
        except Exception as error:
            need(False, f"npm cannot fetch OHIF: {type(error).__name__}")
            raise
        part = cache / f"{kept.name}.{os.getpid()}"
        shutil.copyfile(found, part)
        part.replace(kept)
    folder = tmp_path_factory.mktemp("real") / "ohif"
    assert ohif.install(folder, kept).checked
    return folder


@pytest.fixture(scope="module")
def address(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("phantom")
    files = phantom.write(folder / "files")
    segment(files)
    index([files], folder / "lake", workers=1)
    with served(folder / "lake", Settings(service=Service(viewer=real))) as found:
        yield found


def segment(files: Path) -> None:
    """A segmentation of the slices as highdicom writes them, in place of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import highdicom
        from highdicom.seg import Segmentation, SegmentDescription

        slices = [pydicom.dcmread(files / f"ct{at}.dcm") for at in range(phantom.SLICES)]
        described = SegmentDescription(
            1, "Box", codes.SCT.Organ, codes.SCT.Liver,
            highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )  # fmt: skip
        inside = np.stack([phantom.mask(1, at) for at in range(phantom.SLICES)])
        made = Segmentation(
            slices, inside.astype(np.uint8), highdicom.seg.SegmentationTypeValues.BINARY,
            [described], SERIES["SEG"], 2, phantom.sop("SEG"), 1, "Maker", "Model", "1", "1",
            series_description="SEG of the phantom",
        )  # fmt: skip
        made.save_as(files / "seg.dcm")


_SEEN = """wanted => [...document.querySelectorAll("canvas")].some(one => {
  if (one.width < 500) return false;
  const copy = document.createElement("canvas");
  copy.width = copy.height = 64;
  const drawing = copy.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(one, 0, 0, 64, 64);
  const { data } = drawing.getImageData(0, 0, 64, 64);
  const seen = new Function("data", "at", `return ${wanted}`);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) count += seen(data, at) ? 1 : 0;
  return count > 400;
})"""
"""Whether a tenth of a large canvas is as wanted."""


@pytest.mark.service
def test_it_lists_studies_shows_images_and_segments(address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    see = sync_api.expect
    with chromium() as browser, quiet_page(browser, address) as page:
        page.set_default_timeout(90_000)
        missing: list[str] = []
        page.on("response", lambda a: missing.append(a.url) if a.status >= 400 else None)
        page.goto(f"/studies/{STUDY}?series={SERIES['CT']}")
        link = page.get_by_role("link", name="Open in OHIF")
        see(link).to_have_attribute("href", f"/viewer/viewer?StudyInstanceUIDs={STUDY}")
        page.goto("/viewer")
        see(page.get_by_text("Madeup, Jane").first).to_be_visible(timeout=90_000)
        page.goto(f"/viewer/viewer?StudyInstanceUIDs={STUDY}")
        see(page.get_by_text("CT of the phantom").first).to_be_visible(timeout=90_000)
        page.wait_for_function(_SEEN, arg="data[at] > 60 && data[at] < 200")
        asked = page.get_by_text("open this Segmentation")
        for _ in range(12):  # a click counts once the images are there
            page.get_by_text("SEG of the phantom").first.dblclick()
            with contextlib.suppress(sync_api.TimeoutError):
                asked.wait_for(timeout=8_000)
                break
        see(asked).to_be_visible()
        page.wait_for_function(_SEEN, arg="data[at] > data[at + 1] + 30")  # red
        assert missing == []
