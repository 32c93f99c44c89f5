"""Alarms are told as they come, to a real server, whenever the lake has changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dicomlake import settings
from dicomlake.jobs.dose.calling import Caller
from dicomlake.jobs.index import index
from tests.jobs.dose.made import lake_of, put, rf_report


class Told(ThreadingHTTPServer):
    """A server that notes what it is told; `status` is its answer."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def alarms(self) -> int:
        return sum(len(body["alarms"]) for body in self.bodies)


class _Handler(BaseHTTPRequestHandler):
    server: Told

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.bodies.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Told]:
    with Told() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fluoroscopy(folder: Path, patient: str) -> None:
    put(folder, rf_report((patient, 0.03, 0.1), dap=0.03, rp=0.1), patient=patient, study=patient)


def until(caller: Caller, done: Any) -> None:
    """Tick until something is so."""
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        caller.tick()
        time.sleep(0.05)


def test_what_is_new_is_told_after_every_change(tmp_path: Path, server: Told) -> None:
    folder = tmp_path / "in"
    fluoroscopy(folder, "P1")
    lake = lake_of(folder).path
    url = f"http://127.0.0.1:{server.server_port}/alarms"
    (lake / "dicomlake.toml").write_text(f'[dose.webhook]\nurl = "{url}"\n')
    server.status = 503
    caller = Caller(lake, settings.read(lake), every_s=0.0)
    try:
        for _ in range(2):  # it is tried again
            caller.tick()
            until(caller, caller._ended)
        server.status = 200
        until(caller, lambda: server.alarms == 1)
        until(caller, caller._ended)
        caller.tick()
        assert caller._process is None  # nothing has changed since
        fluoroscopy(folder, "P2")
        index([folder], lake, workers=1)
        until(caller, lambda: server.alarms == 2)
    finally:
        caller.stop()
    assert not [word for word in ("P1", "P2", "2.25.") if word in json.dumps(server.bodies)]


def test_nobody_is_told_where_the_settings_name_nobody(tmp_path: Path) -> None:
    fluoroscopy(tmp_path / "in", "P1")
    lake = lake_of(tmp_path / "in").path
    caller = Caller(lake, settings.read(lake), every_s=0.0)
    caller.tick()
    assert caller._process is None
