"""A long queue: how evenly it is worked off, in how much memory, and whether priorities hold.

The archive is a small DICOMweb service of this process that answers at once, from memory, so
that nothing but dicomlake itself is measured.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from bench.reader import ct_series
from dicomlake.contracts.queues import LATER, NOW, OPEN, RUNNING, WAITING, Task
from dicomlake.jobs.requests import queue_of
from dicomlake.readers.header import HeaderReader
from dicomlake.settings import add_source, read

OBJECTS = 3
"""Headers that the archive gives of each series."""
URGENT = 100
WINDOW_S = 5.0
Rows = list[tuple[str, ...]]


def _headers() -> bytes:
    """The metadata of a CT series, with @ where the number of the series stands."""
    reader = HeaderReader()
    found = [orjson.loads(reader.read_bytes(data).json) for data in ct_series(OBJECTS)]
    for number, header in enumerate(found):
        header["00080018"] = {"vr": "UI", "Value": [f"1.2.3.@.{number}"]}
        header["0020000D"] = {"vr": "UI", "Value": ["1.2.4.@"]}
        header["0020000E"] = {"vr": "UI", "Value": ["1.2.3.@"]}
        header["00100020"] = {"vr": "LO", "Value": ["P@"]}
        header["7FE00010"] = {"vr": "OW", "BulkDataURI": "http://127.0.0.1/bulk"}
    return orjson.dumps(found)


class _Archive(BaseHTTPRequestHandler):
    """Answers the metadata of any series 1.2.3.NUMBER at once."""

    protocol_version = "HTTP/1.1"
    parts: tuple[bytes, ...] = ()

    def do_GET(self) -> None:
        number = re.search(r"/series/1\.2\.3\.(\d+)/", self.path)
        body = self.parts[0]
        if number:
            body = number[1].encode().join(self.parts)
        self.send_response(200 if number else 404)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _task(number: int, priority: int) -> Task:
    what = {"depth": "headers", "keep": False, "again": False, "expected": OBJECTS}
    what |= {"study": f"1.2.4.{number}", "series": f"1.2.3.{number}"}
    return Task(f"series/fast/1.2.3.{number}/headers", "series", what, priority, "fast", "bench")


@dataclass
class _Moment:
    seconds: float
    waiting: int
    open: int
    urgent: int
    megabytes: float
    processes: int


def measure(tasks: int = 10_000, workers: int = 4) -> dict[str, tuple[Any, Rows]]:
    """Tables by title: throughput and memory per window of time, then the sums."""
    _Archive.parts = tuple(_headers().split(b"@"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Archive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as place:
        lake = Path(place) / "lake"
        url = f"http://127.0.0.1:{server.server_port}"
        limits = {"associations": workers}
        add_source(lake, "fast", {"kind": "dicomweb", "url": url, "limits": limits})
        queue = queue_of(lake, read(lake))
        began = time.monotonic()
        queue.put(_task(n, LATER) for n in range(tasks))
        put_s = time.monotonic() - began
        words = ["worker", "--lake", str(lake), "--processes", str(workers), "--once"]
        run = "from dicomlake.cli import main; main()"
        crew = subprocess.Popen(
            [sys.executable, "-c", run, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            moments, urgent_s = _watch(queue, crew, tasks)
            crew.wait(60)
        finally:
            crew.terminate()
            crew.wait(30)
            queue.close()
            server.shutdown()
            server.server_close()
        did = len(list_series(lake))
    return {
        f"A queue of {tasks:,} series with {OBJECTS} headers each, {workers} workers, SQLite": (
            ("window", "brought/s", "committed/s", "MiB", "processes"),
            _windows(moments, tasks),
        ),
        "The same run": (
            ("", "measured"),
            [
                ("tasks put into the queue", f"{tasks / put_s:,.0f}/s"),
                ("series committed per second, first to last", _rate(moments, tasks)),
                ("series in the lake at the end", f"{did:,}"),
                (f"{URGENT} 'now' tasks put in the middle: leased after", f"{urgent_s[0]:.1f} s"),
                ("  and committed after", f"{urgent_s[1]:.1f} s"),
                ("largest sum of memory", f"{max(m.megabytes for m in moments):,.0f} MiB"),
            ],
        ),
    }


def list_series(lake: Path) -> list[str]:
    from dicomlake.lake import Store

    found = Store(lake).read("series", ["SeriesInstanceUID"])
    uids: list[str] = found.column("SeriesInstanceUID").to_pylist()
    return uids


def _watch(
    queue: Any, crew: subprocess.Popen[bytes], tasks: int
) -> tuple[list[_Moment], tuple[float, float]]:
    """Look every half second; put urgent tasks into the middle, and see when they are done."""
    moments: list[_Moment] = []
    began = time.monotonic()
    put = leased = committed = 0.0
    while crew.poll() is None:
        counts = queue.counts()
        left = sum(c.tasks for c in counts if c.state in OPEN)
        ours = [c for c in counts if c.priority == NOW]
        urgent = sum(c.tasks for c in ours if c.state in OPEN)
        now = time.monotonic()
        if put and not leased and not any(c.state == WAITING and c.tasks for c in ours):
            leased = now - put
        if put and not committed and not urgent:
            committed = now - put
        waiting = sum(c.tasks for c in counts if c.state in (WAITING, RUNNING))
        more = URGENT if put else 0  # so that windows count what was done, not what was put
        memory = _memory(crew.pid)
        moments.append(_Moment(now - began, waiting - more, left - more, urgent, *memory))
        if not put and left < tasks / 2:
            queue.put(_task(n, NOW) for n in range(tasks, tasks + URGENT))
            put = time.monotonic()
        if put and committed and not left:
            break
        time.sleep(0.5)
    return moments, (leased, committed)


def _memory(pid: int) -> tuple[float, int]:
    """MiB of a process and those below it, what they share counted once, and how many."""
    pids = [pid]
    for one in pids:
        try:
            pids += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
    total = 0.0
    for one in pids:
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
        except OSError:
            continue
        total += int(found[1]) / 1024 if found else 0.0
    return total, len(pids)


def _windows(moments: list[_Moment], tasks: int) -> Rows:
    """Series per second that were brought, and that were committed, by window of time."""
    rows: Rows = []
    at = start = next((m.seconds for m in moments if m.waiting < tasks), 0.0)
    end = _end(moments).seconds
    while at < end:
        inside = [m for m in moments if at <= m.seconds < at + WINDOW_S]
        after = next((m for m in moments if m.seconds >= at + WINDOW_S), moments[-1])
        if inside:
            first = inside[0]
            took = after.seconds - first.seconds or WINDOW_S
            said = (
                f"{(first.waiting - after.waiting) / took:,.0f}",
                f"{(first.open - after.open) / took:,.0f}",
                f"{statistics.median(m.megabytes for m in inside):,.0f}",
                f"{inside[-1].processes}",
            )
            rows.append((f"{at - start:,.0f} to {at - start + WINDOW_S:,.0f} s", *said))
        at += WINDOW_S
    return rows


def _end(moments: list[_Moment]) -> _Moment:
    last = min(m.open for m in moments)
    return next(m for m in moments if m.open == last)


def _rate(moments: list[_Moment], tasks: int) -> str:
    start = next((m for m in moments if m.waiting < tasks), moments[0])
    end = _end(moments)
    return f"{(start.open - end.open) / max(end.seconds - start.seconds, 0.1):,.0f}"
