"""OHIF, a viewer of others (MIT): install its npm package for our service to serve, or remove it.

The package is built for the root of a server. What is installed asks its own page where it is, so
that it works below any prefix; nothing in it is fetched from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import orjson

from dicomlake.errors import ServiceError, UsageError

PACKAGE, VERSION = "@ohif/app", "3.13.2"
INTEGRITY = (
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F"
    "87BKxFfpq+jd5xXZB9E8EA=="
)
"""Of the package, as npm has it (Subresource Integrity)."""
FILES = "dist"
ABOUT = "installed.json"
PREFIX = "PREFIX-OF-THIS-ANSWER"
"""Stands in the document for the way from the page to the files of the viewer."""
_MOST_BYTES = 1 << 30
_NPM_S = 600
_ORT = "ort/"
"""Neural networks in the browser: two thirds of the package."""

_HERE = (
    '(self.PUBLIC_URL||(self.location.protocol==="blob:"?"/":'
    'new URL("./",self.location.href).pathname))'
)
_PUBLIC = re.compile(rb'__webpack_require__\.p = "/"')
_FUNCTION = b"voiLutModule.voiLUTFunction[0]"
"""Takes the first letter of a VOI LUT Function for the function, and then shows nothing."""
_LINKS = re.compile(r'(href|src)="/')
_URL = 'window.PUBLIC_URL="/"'


@dataclass(frozen=True, slots=True)
class Installed:
    """OHIF as it is installed in a folder."""

    folder: Path
    version: str
    checked: bool
    files: int
    bytes: int

    @property
    def root(self) -> Path:
        """The folder of its files."""
        return self.folder / FILES


def default_folder() -> Path:
    """Where programs of this system keep data of a person."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "dicomlake" / "ohif"


def status(folder: Path) -> Installed | None:
    """What is installed in a folder; None when nothing is."""
    try:
        said = orjson.loads((folder / ABOUT).read_bytes())
        if not (folder / FILES / "index.html").is_file():
            return None
        return Installed(
            folder, str(said["version"]), bool(said["checked"]), said["files"], said["bytes"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(folder: Path) -> bool:
    """Remove what is installed in a folder, and say whether there was something."""
    if status(folder) is None:
        return False
    try:
        (folder / ABOUT).unlink()
        shutil.rmtree(folder / FILES)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise UsageError(f"{folder} cannot be removed: {error.strerror}.") from error
    return True


def install(
    folder: Path,
    source: Path | None = None,
    *,
    unchecked: bool = False,
    everything: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Installed:
    """Install OHIF into a folder, in place of what is there.

    The package comes from npm, or from a file or a folder. One that is not the very package that is
    known here is refused, unless it is to be taken `unchecked`. `everything`: with source maps and
    neural networks, which no page of ours needs.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ohif-", dir=folder.parent) as work:
            return _install(folder, source, Path(work), unchecked, everything, say)
    except OSError as error:
        raise UsageError(f"OHIF cannot be installed in {folder}: {error.strerror}.") from error


def _install(
    folder: Path,
    source: Path | None,
    work: Path,
    unchecked: bool,
    everything: bool,
    say: Callable[[str], None],
) -> Installed:
    if source is None:
        say(f"Fetching {PACKAGE} {VERSION} by npm")
        source = packed(work)
    checked = source.is_file() and integrity(source) == INTEGRITY
    if not checked and not unchecked:
        raise UsageError(
            f"{source.name} is not the package {PACKAGE} {VERSION} as npm gives it. Take that one, "
            "or take this as it is with --unchecked."
        )
    say("Unpacking")
    made = work / "new"
    files = _files_of_folder(source) if source.is_dir() else _files_of_package(source)
    version, count, size = "", 0, 0
    for name, content in files:
        if name == "package.json":
            version = _version(content)
        elif inside := _wanted(name, everything):
            content = rewritten(inside, content)
            target = made / FILES / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            count, size = count + 1, size + len(content)
    if not version or not (made / FILES / "index.html").is_file():
        raise UsageError(f"{source.name} is no package {PACKAGE}: it has no built viewer.")
    about = {"version": version, "checked": checked, "files": count, "bytes": size}
    (made / ABOUT).write_bytes(orjson.dumps(about))
    if folder.exists():
        if any(folder.iterdir()) and status(folder) is None:
            raise UsageError(f"{folder} holds something else. Choose another folder.")
        folder.rename(work / "old")
    made.rename(folder)
    return Installed(folder, version, checked, count, size)


def packed(work: Path) -> Path:
    """The package, fetched by npm into a folder; ServiceError when npm cannot."""
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(
            f"npm is missing. Install Node, or fetch the package elsewhere (npm pack {PACKAGE}@"
            f"{VERSION}) and give its file: dicomlake viewer install FILE.tgz"
        )
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(work)]
    try:
        subprocess.run(command, cwd=work, capture_output=True, check=True, timeout=_NPM_S)
    except (subprocess.SubprocessError, OSError) as error:
        raise ServiceError(
            f"npm could not fetch {PACKAGE} {VERSION}. Try again, or fetch the package elsewhere "
            f"(npm pack {PACKAGE}@{VERSION}) and give its file: dicomlake viewer install FILE.tgz"
        ) from error
    found = sorted(work.glob("*.tgz"))
    if not found:
        raise ServiceError("npm said that it was done, but left no package.")
    return found[0]


def integrity(file: Path) -> str:
    """The integrity of a package as npm writes it."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _files_of_package(file: Path) -> Iterator[tuple[str, bytes]]:
    """Names below the package, and contents; links and names that lead elsewhere are left out."""
    total = 0
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if not member.isfile() or name.is_absolute() or ".." in name.parts:
                    continue
                total += member.size
                if total > _MOST_BYTES:
                    raise UsageError(f"{file.name} is larger than any viewer.")
                stream = archive.extractfile(member)
                if stream is not None:
                    yield "/".join(name.parts[1:]), stream.read()
    except (tarfile.TarError, EOFError) as error:
        raise UsageError(f"{file.name} is no package of npm.") from error


def _files_of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    base = folder / "package" if (folder / "package" / "package.json").is_file() else folder
    for path in sorted(base.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(base).as_posix(), path.read_bytes()


def _version(content: bytes) -> str:
    try:
        said = orjson.loads(content)
    except ValueError:
        return ""
    return str(said.get("version", "")) if said.get("name") == PACKAGE else ""


def _wanted(name: str, everything: bool) -> str:
    """The name below the files of the viewer; "" for what is not installed."""
    if not name.startswith(f"{FILES}/"):
        return ""
    inside = name.removeprefix(f"{FILES}/")
    if inside in ("app-config.js", "serve.json", "_redirects", "_headers"):
        return ""
    if not everything and (inside.endswith(".map") or inside.startswith(_ORT)):
        return ""
    return inside


def rewritten(name: str, content: bytes) -> bytes:
    """A file of the viewer as it works below any address.

    >>> rewritten("a.css", b"src: url(/a.woff2)")
    b'src: url(./a.woff2)'
    """
    if name.endswith(".js"):
        content = content.replace(_FUNCTION, b"[].concat(voiLutModule.voiLUTFunction)[0]")
        return _PUBLIC.sub(f"__webpack_require__.p = {_HERE}".encode(), content)
    if name.endswith(".css") and "/" not in name:
        return content.replace(b"url(/", b"url(./")
    if name == "manifest.json":
        return content.replace(b'"/assets', b'"assets')
    if name == "index.html":
        text = _LINKS.sub(rf'\1="{PREFIX}', content.decode())
        text = text.replace(_URL, f'window.PUBLIC_URL=new URL("{PREFIX}",location.href).pathname')
        text = text.replace('content="/assets', f'content="{PREFIX}assets')
        return text.encode()
    return content
