"""The service on a large lake, asked by several clients at the same time: percentiles.

python -m bench.explore LAKE [SERIES [CLIENTS]]
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx

from bench.scale import _N1, _T1, QUESTIONS, make
from dicomlake.jobs.vocabulary import rebuild

_PLAIN = [pair for name, pair in QUESTIONS.items() if "100,000" not in name]
ROUNDS = 12


def _asked(turn: random.Random) -> dict[str, Any]:
    """A question that nobody asked before, most of the time."""
    where, level = turn.choice(_PLAIN)
    return {"where": f"({where}) and KVP <= {80 + turn.randrange(100_000) / 1000}", "level": level}


def _requests(turn: random.Random) -> list[tuple[str, str, str, dict[str, Any]]]:
    """What a person who explores asks for: name, method, path and the rest."""
    asked = _asked(turn)
    page = {**asked, "limit": 100}
    path = turn.choice(["Modality", "KVP", _T1, _N1, "StudyDate"])
    return [
        ("count", "POST", "/api/query/count", {"json": asked}),
        ("page 1", "POST", "/api/query", {"json": page}),
        ("page 2", "POST", "/api/query", {"json": {**page, "offset": 100}}),
        ("steps", "POST", "/api/query/steps", {"json": asked}),
        ("vocabulary", "GET", "/api/vocabulary", {"params": {"parent": "@attributes"}}),
        ("search", "GET", "/api/vocabulary", {"params": {"search": turn.choice(["dose", "kv"])}}),
        ("node", "GET", "/api/vocabulary/node", {"params": {"path": path}}),
        (
            "values under a question",
            "GET",
            "/api/vocabulary/values",
            {"params": {"path": "StationName", "where": "Modality = 'MR'"}},
        ),
        (
            "histogram",
            "GET",
            "/api/vocabulary/histogram",
            {"params": {"path": "KVP", "where": "Modality = 'CT'"}},
        ),
        (
            "aggregate",
            "POST",
            "/api/aggregate",
            {"json": {"by": [{"path": "StudyDate", "bin": "year"}, "Modality"]}},
        ),
        ("fill rate", "GET", "/api/fill-rate", {"params": {"limit": 20}}),
    ]


def _client(base: str, seed: int, taken: dict[str, list[float]]) -> None:
    turn = random.Random(seed)
    with httpx.Client(base_url=base, timeout=120) as client:
        for _ in range(ROUNDS):
            for name, method, path, rest in _requests(turn):
                began = time.perf_counter()
                answer = client.request(method, path, **rest)
                assert answer.status_code == 200, (name, answer.text)
                taken[name].append((time.perf_counter() - began) * 1000)


def main(lake: Path, series: int = 100_000, clients: int = 10) -> None:
    store = make(lake, series)
    if not store.paths("vocabulary"):
        rebuild(store)
    command = [sys.executable, "-c", "from dicomlake.cli import main; main()", "serve"]
    server = subprocess.Popen(
        [*command, "--lake", str(lake), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    base = server.stderr.readline().split(" at ")[1].split("/api/")[0]
    try:
        for crowd in (1, clients):
            taken: dict[str, list[float]] = defaultdict(list)
            threads = [
                threading.Thread(target=_client, args=(base, seed, taken)) for seed in range(crowd)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(f"{crowd} clients, {series:,} series: ms at 50 %, 95 %, 99 %")
            for name, each in taken.items():
                each.sort()
                marks = [each[min(int(len(each) * p), len(each) - 1)] for p in (0.5, 0.95, 0.99)]
                print(f"  {name:26}" + "".join(f"{mark:8,.0f}" for mark in marks))
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
