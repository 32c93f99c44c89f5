"""A small and fast DICOMweb service of made-up series, for workers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dicomlake.settings import add_source

STUDY, SERIES, SOP = "0020000D", "0020000E", "00080018"


class Service:
    """Studies of one day, each of some series, each of two instances: their UIDs say which."""

    def __init__(self, studies: int, series: int) -> None:
        self.studies, self.series = studies, series
        self.asked: Counter[str] = Counter()
        self.now = self.most = 0
        self.pause_s = 0.0
        self._lock = threading.Lock()

    def uids(self) -> set[str]:
        """Every SOPInstanceUID."""
        return {
            f"1.2.{s}.{x}.{n}"
            for s in range(self.studies)
            for x in range(self.series)
            for n in (1, 2)
        }

    def answer(self, path: str) -> list[dict[str, Any]]:
        split = urlsplit(path)
        keys = {name: values[0] for name, values in parse_qs(split.query).items()}
        parts = split.path.strip("/").split("/")
        with self._lock:
            self.asked[parts[-1]] += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if self.pause_s:
                time.sleep(self.pause_s)
            return self._answer(parts, keys)
        finally:
            with self._lock:
                self.now -= 1

    def _answer(self, parts: list[str], keys: dict[str, str]) -> list[dict[str, Any]]:
        if parts[-1] == "metadata":
            return [header(parts[3], number) for number in (1, 2)]
        if parts[-1] == "series":
            named = parts[1]
            rows = [series(f"{named}.{x}") for x in range(self.series)]
        else:
            first, _, last = keys.get("StudyDate", "").partition("-")
            here = first <= "20240105" <= (last or first)
            rows = [study(f"1.2.{s}", self.series) for s in range(self.studies if here else 0)]
        offset, limit = int(keys.get("offset", 0)), int(keys.get("limit", 1 << 30))
        return rows[offset : offset + limit]


def said(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def study(uid: str, series: int) -> dict[str, Any]:
    return {
        STUDY: said("UI", uid),
        "00080020": said("DA", "20240105"),
        "00201206": said("IS", series),
        "00201208": said("IS", 2 * series),
    }


def series(uid: str) -> dict[str, Any]:
    return {SERIES: said("UI", uid), "00080060": said("CS", "CT"), "00201209": said("IS", 2)}


def header(series: str, number: int) -> dict[str, Any]:
    return {
        "00080016": said("UI", "1.2.840.10008.5.1.4.1.1.2"),
        SOP: said("UI", f"{series}.{number}"),
        "00080020": said("DA", "20240105"),
        "00080060": said("CS", "CT"),
        "00100020": said("LO", series),
        STUDY: said("UI", series.rpartition(".")[0]),
        SERIES: said("UI", series),
        "00200013": said("IS", number),
    }


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The root of the service, as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(service.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *what: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # its client was killed
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        disable_nagle_algorithm = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def add(lake: Path, url: str, **more: Any) -> None:
    """The service as source `pacs` of a lake."""
    add_source(lake, "pacs", {"kind": "dicomweb", "url": url, **more})


def command(*arguments: str, lake: Path) -> subprocess.Popen[bytes]:
    """A command of dicomlake in a process of its own."""
    program = "from dicomlake.cli import main; main()"
    asked = [sys.executable, "-c", program, *arguments, "--lake", str(lake)]
    return subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def runs(pid: int) -> bool:
    """Whether a process is still there."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what or "it never came"
        time.sleep(0.02)
