"""Runs: every job leaves a row that says what it did, also when it was stopped."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from dicomlake import __version__, tables
from dicomlake.lake import Store


@dataclass(slots=True)
class Run:
    """One run of a job; `counts` is what it did so far."""

    run_id: str
    kind: str
    what: dict[str, Any]
    started: datetime
    counts: dict[str, Any] = field(default_factory=dict)

    def row(self, state: str) -> pa.Table:
        """Its row of `runs`."""
        ended = None if state == "running" else datetime.now(UTC)
        row = {
            "run_id": self.run_id,
            "kind": self.kind,
            "state": state,
            "started": self.started,
            "ended": ended,
            "version": __version__,
            "what": json.dumps(self.what),
            "counts": json.dumps(self.counts),
        }
        return pa.Table.from_pylist([row], tables.RUNS)


@contextlib.contextmanager
def running(store: Store, kind: str, what: dict[str, Any]) -> Iterator[Run]:
    """A run whose row says running, then finished, interrupted or failed."""
    now = datetime.now(UTC)
    run = Run(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}", kind, what, now)
    store.append("runs", run.row("running"))
    state = "failed"
    try:
        yield run
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        store.replace("runs", "run_id", [run.run_id], run.row(state))
