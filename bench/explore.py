"""The service on a large lake, asked by ten people at the same time: percentiles.

A person looks for a term, adds a condition (which asks for values, a count, what each condition
keeps and the first page, all at once), scrolls, opens a chart, and thinks between two actions.

python -m bench --only web [--series N] [--lake DIR]
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.scale import _N1, _T1, QUESTIONS, make
from dicomlake.jobs.vocabulary import rebuild

PEOPLE = 10
THINKS_S = 2.0
"""On average, between an answer and the next action."""
ACTIONS = 25
"""Of each person."""
AIMS = {"count": 300, "page 1": 300, "page 2": 300, "children": 100, "search": 100, "node": 100}
"""Milliseconds."""
_PLAIN = [pair for name, pair in QUESTIONS.items() if "100,000" not in name]

_Request = tuple[str, str, str, dict[str, Any]]


def _asked(turn: random.Random) -> dict[str, Any]:
    """A question that nobody asked before."""
    where, level = turn.choice(_PLAIN)
    return {"where": f"({where}) and KVP <= {80 + turn.randrange(100_000) / 1000}", "level": level}


def _actions(turn: random.Random) -> Iterator[list[_Request]]:
    """What a person does, in some order: each action is what the page asks for at once."""
    asked: dict[str, Any] = {"level": "study"}
    while True:
        path = turn.choice(["Modality", "KVP", _T1, _N1, "StudyDate"])
        word = turn.choice(["dose", "kv", "echo", "station", "thick"])
        among = {"path": "StationName", "where": f"Modality = '{turn.choice(['MR', 'CT', 'US'])}'"}
        yield [("children", "GET", "/api/vocabulary", {"params": {"parent": "@attributes"}})]
        yield [("search", "GET", "/api/vocabulary", {"params": {"search": word}})]
        yield [("node", "GET", "/api/vocabulary/node", {"params": {"path": path}})]
        for _ in range(3):
            asked = _asked(turn)
            yield [
                ("values", "GET", "/api/vocabulary/values", {"params": among}),
                ("count", "POST", "/api/query/count", {"json": asked}),
                ("steps", "POST", "/api/query/steps", {"json": asked}),
                ("page 1", "POST", "/api/query", {"json": {**asked, "limit": 100}}),
            ]
            after = {**asked, "limit": 100, "offset": 100 * turn.randrange(1, 5)}
            yield [("page 2", "POST", "/api/query", {"json": after})]
        yield [("histogram", "GET", "/api/vocabulary/histogram", {"params": {"path": "KVP"}})]
        by = [{"path": "StudyDate", "bin": "year"}, "Modality"]
        yield [("chart", "POST", "/api/aggregate", {"json": {"by": by}})]


def _person(
    base: str, seed: int, actions: int, thinks_s: float, taken: dict[str, list[float]]
) -> None:
    turn = random.Random(seed)
    with httpx.Client(base_url=base, timeout=120) as client, ThreadPoolExecutor(4) as at_once:

        def ask(request: _Request) -> None:
            name, method, path, rest = request
            began = time.perf_counter()
            answer = client.request(method, path, **rest)
            assert answer.status_code == 200, (name, answer.text)
            taken[name].append((time.perf_counter() - began) * 1000)

        time.sleep(turn.random() * thinks_s)
        for _, action in zip(range(actions), _actions(turn), strict=False):
            list(at_once.map(ask, action))
            time.sleep(turn.expovariate(1 / thinks_s) if thinks_s else 0.0)


@contextmanager
def serving(lake: Path) -> Iterator[str]:
    """The address of a service of a lake, as a person starts it."""
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()", "serve"]
    server = subprocess.Popen(
        [*command, "--lake", str(lake), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    base = server.stderr.readline().split(" at ")[1].split()[0].rstrip("/")
    threading.Thread(target=server.stderr.read, daemon=True).start()
    try:
        yield base
    finally:
        server.terminate()
        server.wait(20)


def _painted(base: str) -> list[float]:
    """Milliseconds until the first paint, and until the first row, in a browser with no cache."""
    program = shutil.which("chromium")
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        paints, rows = [], []
        for _ in range(5):
            page = browser.new_context().new_page()
            began = time.perf_counter()
            page.goto(base + "/ask?q=Modality = 'MR'")
            page.locator(".table-row").first.wait_for()
            rows.append((time.perf_counter() - began) * 1000)
            paints.append(page.evaluate(script))
            page.context.close()
        browser.close()
    return [sorted(paints)[2], sorted(rows)[2]]


def measure(lake: Path, series: int) -> dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Tables of percentiles by title."""
    store = make(lake, series)
    if not store.paths("vocabulary"):
        rebuild(store)
    found = {}
    with serving(lake) as base:
        _person(base, 99, 3, 0.0, defaultdict(list))  # what only the first question ever pays
        if paints := _painted(base):
            rows = [
                ("first paint", f"{paints[0]:,.0f}", "1,500"),
                ("first rows", f"{paints[1]:,.0f}", ""),
            ]
            found[f"A page about {series:,} series, alone"] = (("", "median ms", "aim"), rows)
        for people, thinks_s in ((1, 0.0), (PEOPLE, THINKS_S), (PEOPLE, 0.0)):
            taken: dict[str, list[float]] = defaultdict(list)
            threads = [
                threading.Thread(
                    target=_person, args=(base, seed + people * 100, ACTIONS, thinks_s, taken)
                )
                for seed in range(people)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            title = f"{people} at once on {series:,} series, {thinks_s:g} s to think: ms"
            found[title] = (("", "n", "50 %", "90 %", "95 %", "99 %", "aim"), _rows(taken))
    return found


def _rows(taken: dict[str, list[float]]) -> list[tuple[str, ...]]:
    rows = []
    for name, each in taken.items():
        each.sort()
        marks = [each[min(int(len(each) * p), len(each) - 1)] for p in (0.5, 0.9, 0.95, 0.99)]
        aim = str(AIMS.get(name, ""))
        rows.append((name, str(len(each)), *(f"{mark:,.0f}" for mark in marks), aim))
    return rows
