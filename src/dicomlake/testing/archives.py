"""Real archives for tests: Orthanc and dcmtk's dcmqrscp, on loopback, in a network of their own.

Orthanc listens on all addresses of a machine whatever it is told. So the test process first moves
into a network namespace that has nothing but a loopback interface; what it starts is in it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_inside: set[int] = set()

PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so",)


class Missing(Exception):
    """A program that a test needs is not there; the message names it."""


def enter_namespace() -> None:
    """Move this thread, and what it starts from now on, into a network with loopback alone.

    Missing where the system does not let us (it needs root on most).
    """
    if threading.get_native_id() in _inside:
        return
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("enter the namespace from the main thread, before others are started")
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_CLONE_NEWNET):
        why = os.strerror(ctypes.get_errno())
        raise Missing(f"unshare: no network namespace can be made here ({why}; run as root)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    _inside.add(threading.get_native_id())


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Wait until somebody listens on a port of loopback; RuntimeError when the process ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")


def program(name: str) -> str:
    """The path of a program of the system; Missing names it.

    Programs of Python packages may have the same names, so the folders of the system come first.
    """
    folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


@dataclass
class Orthanc:
    """An Orthanc with DICOMweb; `destinations` maps AE titles to ports that C-MOVE may send to.

    Use as a context manager; `options` are further keys of its configuration.
    """

    folder: Path
    destinations: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    ae_title: str = "ORTHANC"
    http: int = 0
    dicom: int = 0

    def __post_init__(self) -> None:
        self.http, self.dicom = self.http or free_port(), self.dicom or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Root of its own REST service."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def dicomweb(self) -> str:
        """Root of its DICOMweb service."""
        return f"{self.url}/dicom-web"

    def start(self) -> Orthanc:
        """Start it, and wait until it answers."""
        enter_namespace()
        plugins = [path for path in PLUGINS if Path(path).exists()]
        if not plugins:
            raise Missing("orthanc-dicomweb is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomModalities": {
                ae: [ae, "127.0.0.1", port] for ae, port in self.destinations.items()
            },
            "StableAge": 1,
            "Plugins": plugins,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "OverwriteInstances": True,
            "SyncStorageArea": False,
            "StrictAetComparison": False,
            **self.options,
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(configuration))
        log = (self.folder / "orthanc.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [program("Orthanc"), str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1"},
            )
        wait_for_port(self.http, self._process)
        for _ in range(200):
            with contextlib.suppress(OSError):
                self.get("/system")
                break
            time.sleep(0.05)
        wait_for_port(self.dicom, self._process)
        return self

    def get(self, path: str) -> Any:
        """What its REST service answers, from JSON."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: bytes) -> Any:
        """Post bytes to its REST service."""
        asked = urllib.request.Request(f"{self.url}{path}", data=body, method="POST")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read())

    def delete(self, path: str) -> None:
        """Delete something by its REST service."""
        asked = urllib.request.Request(f"{self.url}{path}", method="DELETE")
        with urllib.request.urlopen(asked, timeout=60):
            pass

    def seed(self, files: Iterable[Path]) -> dict[Path, str]:
        """Store files; those that it does not take, with its reason."""
        refused: dict[Path, str] = {}
        for file in files:
            try:
                self.post("/instances", file.read_bytes())
            except urllib.error.HTTPError as error:
                refused[file] = f"HTTP {error.code}"
                error.close()
        return refused

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, gently or not."""
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Orthanc:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


@dataclass
class Dcmqrscp:
    """dcmtk's dcmqrscp: an archive with C-FIND, C-MOVE and C-GET."""

    folder: Path
    destinations: Mapping[str, int] = field(default_factory=dict)
    ae_title: str = "QRSCP"
    dicom: int = 0
    arguments: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.dicom = self.dicom or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Dcmqrscp:
        """Start it, and wait until it listens."""
        enter_namespace()
        storage = self.folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        hosts = [f"d{n} = ({ae}, 127.0.0.1, {p})" for n, (ae, p) in enumerate(self._known())]
        path = self.folder / "dcmqrscp.cfg"
        path.write_text(
            "\n".join(
                [
                    f"NetworkTCPPort = {self.dicom}",
                    "MaxPDUSize = 16384",
                    "MaxAssociations = 16",
                    "HostTable BEGIN",
                    *hosts,
                    "HostTable END",
                    "VendorTable BEGIN",
                    "VendorTable END",
                    "AETable BEGIN",
                    f"{self.ae_title} {storage} RW (100000, 1024gb) ANY",
                    "AETable END",
                ]
            )
            + "\n"
        )
        with (self.folder / "dcmqrscp.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program("dcmqrscp"), "-c", str(path), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1"},
            )
        wait_for_port(self.dicom, self._process)
        return self

    def _known(self) -> list[tuple[str, int]]:
        return list(self.destinations.items())

    def seed(self, folder: Path) -> None:
        """Put the objects of files named .dcm into it, by dcmtk's dcmqridx."""
        storage = self.folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        names = []
        for number, file in enumerate(sorted(folder.rglob("*.dcm"))):
            shutil.copyfile(file, storage / f"{number:06}.dcm")
            names.append(str(storage / f"{number:06}.dcm"))
        for at in range(0, len(names), 500):
            command = [program("dcmqridx"), str(storage), *names[at : at + 500]]
            subprocess.run(command, check=True, capture_output=True)

    def stop(self, *, kill: bool = False) -> None:
        """Stop it and the processes of its associations."""
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait(20)
            self._process = None

    def __enter__(self) -> Dcmqrscp:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


@contextlib.contextmanager
def running(*archives: Orthanc | Dcmqrscp) -> Iterator[None]:
    """Several archives at once."""
    with contextlib.ExitStack() as stack:
        for archive in archives:
            stack.enter_context(archive)
        yield
