"""The queue in SQLite: its contract, and what only a file can suffer."""

from __future__ import annotations

import pytest

from dicomlake.queues.sqlite import SqliteQueue
from dicomlake.testing.queues import Clock, QueueContract


class TestSqlite(QueueContract):
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def another(self, clock, tmp_path):
        opened = []

        def make():
            opened.append(SqliteQueue(tmp_path / "queue.sqlite", clock=clock))
            return opened[-1]

        yield make
        for queue in opened:
            queue.close()

    @pytest.fixture
    def queue(self, another):
        return another()
