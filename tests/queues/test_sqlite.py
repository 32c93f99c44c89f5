"""The queue in SQLite: its contract, and what only a file can suffer."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from dicomlake.contracts.queues import DEAD, DONE, RUNNING, WAITING, Task
from dicomlake.errors import ServiceError, UsageError
from dicomlake.queues.sqlite import SqliteQueue
from dicomlake.testing.queues import Clock, QueueContract, fetch


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

    def test_nothing_stays_in_the_way(self, queue, clock):
        """Whatever waits for later, or for a source left out, costs a lease nothing."""
        queue.put(fetch(f"l{n}", priority=0, not_before=clock() + 1e6) for n in range(20_000))
        queue.put(fetch(f"s{n}", priority=1, source="away") for n in range(20_000))
        queue.put([fetch("now", priority=9)])
        before = time.perf_counter()
        assert [x.task.key for x in queue.lease("one", without=["away"])] == ["now"]
        assert time.perf_counter() - before < 0.1

    def test_threads_share_one_object(self, queue):
        queue.put(fetch(f"t{n}") for n in range(500))
        ended = []

        def work():
            while leases := queue.lease("same", 5):
                ended.extend(x.id for x in leases if queue.done(x, {}))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ended) == len(set(ended)) == 500

    def test_after_a_fork(self, queue):
        queue.put([fetch("a"), fetch("b")])
        lease = queue.lease("parent")[0]
        child = os.fork()
        if child == 0:
            ok = False
            try:
                ok = queue.done(queue.lease("child")[0], {}) and queue.counts() != []
                queue.close()
            finally:
                os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert queue.done(lease, {})
        assert self.states(queue) == {DONE: 2}


WORKER = """
    import sys, time
    from dicomlake.queues.sqlite import SqliteQueue
    from dicomlake.contracts.queues import Task
    queue = SqliteQueue(sys.argv[1])
    idle = time.monotonic()
    with open(sys.argv[2], "a") as ended:
        while time.monotonic() - idle < 1.5:
            for lease in queue.lease(sys.argv[2], 10, 0.8):
                idle = time.monotonic()
                time.sleep(float(sys.argv[3]))
                first = lease.task.kind == "fetch"
                then = [Task("c" + lease.id, "child", most=99)] if first else []
                ended.write("try " + lease.id + "\\n")
                ended.flush()
                if queue.done(lease, {}, then=then):
                    ended.write("done " + lease.id + "\\n")
                    ended.flush()
            time.sleep(0.002)
"""


def worker(folder, number, queue, busy_s="0"):
    code = textwrap.dedent(WORKER)
    log = folder / f"log{number}"
    return subprocess.Popen([sys.executable, "-c", code, queue, log, busy_s])


def test_killed_workers_lose_and_double_nothing(tmp_path):
    path, tasks = tmp_path / "queue.sqlite", 1_500
    queue = SqliteQueue(path)
    queue.put(fetch(f"t{n}", most=99) for n in range(tasks))
    chance = random.Random(7)
    workers = [worker(tmp_path, number, path, "0.002") for number in range(3)]
    for number in range(3, 9):
        time.sleep(chance.uniform(0.2, 0.5))
        victim = workers.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        workers.append(worker(tmp_path, number, path, "0.002"))
    assert [w.wait(60) for w in workers] == [0, 0, 0]
    lines = [line for log in tmp_path.glob("log*") for line in log.read_text().split("\n") if line]
    done = [line for line in lines if line.startswith("done")]
    assert len(done) == len(set(done))
    assert len({line[4:] for line in lines if line.startswith("try")}) == 2 * tasks
    assert {c.state for c in queue.counts()} == {DONE}
    assert sum(c.tasks for c in queue.counts()) == 2 * tasks  # each with exactly one child
    queue.close()


def test_four_processes_do_each_task_once(tmp_path):
    path = tmp_path / "queue.sqlite"
    queue = SqliteQueue(path)
    queue.put(Task(f"t{n}", "child") for n in range(3_000))
    workers = [worker(tmp_path, number, path) for number in range(4)]
    assert [w.wait(60) for w in workers] == [0, 0, 0, 0]
    lines = [line for log in tmp_path.glob("log*") for line in log.read_text().split("\n")]
    done = [line for line in lines if line.startswith("done")]
    assert len(done) == len(set(done)) == 3_000
    assert {(c.state, c.tasks) for c in queue.counts()} == {(DONE, 3_000)}
    queue.close()


def test_file_that_may_not_grow(tmp_path):
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    queue.put([fetch("a")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(ServiceError, match="Make room and try again"):
            queue.put(fetch(f"t{n}", what={"long": "x" * 1000}) for n in range(5_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert queue.put([fetch("b")]) == 1
    assert {"a", "b"} <= {x.task.key for x in queue.tasks(limit=9999)}
    queue.close()


def test_full_disk(tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: it needs root")
    try:
        queue = SqliteQueue(disk / "queue.sqlite")
        queue.put([fetch("a")])
        with pytest.raises(ServiceError, match="its disk is full"):
            queue.put(fetch(f"t{n}", what={"long": "x" * 1000}) for n in range(5_000))
        assert "a" in {x.task.key for x in queue.tasks(limit=9999)}
        queue.close()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_journal_of_a_killed_process_is_read(tmp_path):
    code = """
        import os, sys
        from dicomlake.queues.sqlite import SqliteQueue
        from dicomlake.contracts.queues import Task
        queue = SqliteQueue(sys.argv[1])
        queue.put(Task(f"t{n}", "fetch") for n in range(1500))
        queue.lease("me", 1)
        os.kill(os.getpid(), 9)
    """
    path = tmp_path / "queue.sqlite"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), path], check=False)
    journal = path.with_name("queue.sqlite-wal")
    assert journal.stat().st_size > 0
    queue = SqliteQueue(path)
    assert {(c.state, c.tasks) for c in queue.counts()} == {(WAITING, 1499), (RUNNING, 1)}
    queue.close()


def test_half_a_journal_is_cut_at_a_transaction(tmp_path):
    queue = SqliteQueue(tmp_path / "queue.sqlite")
    for number in range(20):
        queue.put([fetch(f"t{number}")])
    for name in ("queue.sqlite", "queue.sqlite-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"old-{name}")
    journal = tmp_path / "old-queue.sqlite-wal"
    os.truncate(journal, journal.stat().st_size - 5_000)
    old = SqliteQueue(tmp_path / "old-queue.sqlite")
    keys = [x.task.key for x in old.tasks()][::-1]
    assert 0 < len(keys) < 20
    assert keys == [f"t{n}" for n in range(len(keys))]
    queue.close()
    old.close()


def test_another_program_holds_the_file(tmp_path):
    queue = SqliteQueue(tmp_path / "queue.sqlite", busy_s=0.05)
    queue.put([fetch("a")])
    other = sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(ServiceError, match=r"locked by another program for 0\.05 s"):
        queue.put([fetch("b")])
    assert queue.counts()[0].tasks == 1  # reading goes on
    other.execute("rollback")
    other.close()
    assert queue.put([fetch("b")]) == 1
    queue.close()


def test_no_sqlite_file(tmp_path):
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"no database, but long enough to look like one" * 100)
    with pytest.raises(ServiceError, match="is no SQLite file"):
        SqliteQueue(path).counts()


def test_damaged_file(tmp_path):
    path = tmp_path / "queue.sqlite"
    queue = SqliteQueue(path)
    queue.put(fetch(f"t{n}") for n in range(2_000))
    queue.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(path.stat().st_size - 4096))
    with pytest.raises(ServiceError, match="is damaged"):
        queue.tasks()
    queue.close()


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be made"):
        SqliteQueue(tmp_path / "file" / "queue.sqlite").counts()


def test_queue_of_a_newer_version(tmp_path):
    connection = sqlite3.connect(tmp_path / "queue.sqlite")
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="newer dicomlake"):
        SqliteQueue(tmp_path / "queue.sqlite").counts()


def test_processes_that_start_at_once(tmp_path):
    code = """
        import sys
        from dicomlake.queues.sqlite import SqliteQueue
        from dicomlake.contracts.queues import Task
        sys.stdin.readline()
        print(SqliteQueue(sys.argv[1]).put([Task("a", "fetch")]))
    """
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), tmp_path / "queue.sqlite"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    said = [process.communicate(b"go\n")[0].strip() for process in started]
    assert sorted(said) == [b"0", b"0", b"0", b"1"]


def test_closed_queue_opens_again(tmp_path):
    queue = SqliteQueue(tmp_path / "made" / "queue.sqlite")
    queue.put([fetch("a", most=1)])
    queue.close()
    queue.retry(queue.lease("one")[0], "no")
    assert [x.state for x in queue.tasks()] == [DEAD]
    queue.close()
