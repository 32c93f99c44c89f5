"""Runs: every job leaves a row that says what it did, also when it was stopped."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from dicomlake import tables
from dicomlake.contracts import Progress, Silent
from dicomlake.errors import ServiceError
from dicomlake.lake import Store
from dicomlake.version import __version__


@dataclass(slots=True)
class Run:
    """One run of a job; `counts` is what it did so far."""

    run_id: str
    kind: str
    what: dict[str, Any]
    started: datetime
    progress: Progress = field(default_factory=Silent)
    counts: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False

    def check(self) -> None:
        """Raise KeyboardInterrupt once somebody asked the job to stop."""
        if self.stopped or self.progress.cancelled:
            raise KeyboardInterrupt

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
def running(
    store: Store, kind: str, what: dict[str, Any], progress: Progress | None = None
) -> Iterator[Run]:
    """A run whose row says running, then finished, interrupted or failed; needs the writer's lock.

    Ctrl-C is noted and acted upon at the next `check`, a second one at once. ServiceError when the
    disk is full or the files of the lake cannot be read or written.
    """
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    run = Run(run_id, kind, what, now, progress or Silent())
    _begin(store, run)
    state = "failed"
    try:
        with _asked_by_signal(run):
            yield run
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException, DeltaError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ServiceError(
            f"The lake could not be read or written ({why}). What was committed is safe; start the "
            "same command again, and if it happens again: dicomlake doctor."
        ) from error
    finally:
        with contextlib.suppress(OSError) if state == "failed" else contextlib.nullcontext():
            store.replace("runs", "run_id", [run.run_id], run.row(state))


def _begin(store: Store, run: Run) -> None:
    """Add the row of a run; those that say running were killed, because nobody else is writing."""
    rows = store.read("runs")
    dead = rows.filter(pc.equal(rows.column("state"), "running"))
    state = pa.array(["interrupted"] * dead.num_rows, pa.string())
    dead = dead.set_column(dead.schema.get_field_index("state"), dead.schema.field("state"), state)
    ids = dead.column("run_id").to_pylist()
    store.replace("runs", "run_id", ids, pa.concat_tables([dead, run.row("running")]))


@contextlib.contextmanager
def _asked_by_signal(run: Run) -> Iterator[None]:
    """Let the first Ctrl-C set `run.stopped`; only where Ctrl-C would raise KeyboardInterrupt."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stopped = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
