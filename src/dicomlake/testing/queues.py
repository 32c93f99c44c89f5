"""What every queue must do: each sentence of the Protocol `Queue`, as tests.

    class TestMine(QueueContract):
        cannot = {EXACT_ORDER: "my queue keeps three classes of priority only"}

        @pytest.fixture
        def clock(self):
            return Clock()

        @pytest.fixture
        def another(self, clock, tmp_path):
            return lambda: MyQueue(tmp_path / "queue", clock=clock)   # on the same store

        @pytest.fixture
        def queue(self, another):
            return another()

What a queue cannot do is said by name in `cannot`, with the reason in words; those tests skip. A
queue that needs time until tasks reach a worker sets `patience_s`, and `settle_s` when they may
overtake each other on the way.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from dicomlake.contracts.queues import (
    CANCELLED,
    DEAD,
    DONE,
    LATER,
    NOW,
    OPEN,
    RUNNING,
    TODAY,
    WAITING,
    WRITTEN,
    Lease,
    Queue,
    State,
    Task,
)
from dicomlake.errors import UsageError

EXACT_ORDER = "priorities of ten steps, and oldest first inside of each"
LEASES_END = "leases that end by the clock while their worker still lives"
TAKES_OVER = "a better priority for a task that waits already"
ABILITIES = (EXACT_ORDER, LEASES_END, TAKES_OVER)
"""What a queue may declare that it cannot do."""


class Clock:
    """A clock that tests move.

    >>> clock = Clock()
    >>> before = clock()
    >>> clock.move(60)
    >>> clock() - before
    60.0
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, in seconds since 1970."""
        return self.now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def fetch(key: str, **values: Any) -> Task:
    """A task of kind "fetch".

    >>> fetch("a", priority=0).priority
    0
    """
    return Task(key, "fetch", **values)


class QueueContract:
    """Subclass it, and give the fixtures `clock`, `queue` and `another` (see the module)."""

    cannot: ClassVar[Mapping[str, str]] = {}
    patience_s: ClassVar[float] = 0.0
    settle_s: ClassVar[float] = 0.0

    # What tests say

    def needs(self, ability: str) -> None:
        """Skip a test of something that this queue cannot do."""
        import pytest

        assert ability in ABILITIES
        if ability in self.cannot:
            pytest.skip(f"not offered: {ability}: {self.cannot[ability]}")

    def take(self, queue: Queue, count: int = 1, owner: str = "one", **how: Any) -> list[Lease]:
        """Leases, waiting for them as long as this queue may need."""
        found: list[Lease] = []
        until = time.monotonic() + self.patience_s
        while True:
            found += queue.lease(owner, count - len(found), **how)
            if len(found) >= count or time.monotonic() >= until:
                return found

    def one(self, queue: Queue, owner: str = "one", **how: Any) -> Lease:
        """The one lease that there must be."""
        (found,) = self.take(queue, 1, owner, **how)
        return found

    def state(self, queue: Queue, key: str) -> State:
        """The newest task of a key."""
        return next(state for state in queue.tasks() if state.task.key == key)

    def states(self, queue: Queue, job: str = "") -> dict[str, int]:
        """How many tasks are in each state."""
        found: Counter[str] = Counter()
        for count in queue.counts(job):
            found[count.state] += count.tasks
        return dict(found)

    # put

    def test_put_counts_new_tasks(self, queue: Queue) -> None:
        """Tasks are added, and counted."""
        assert queue.put([]) == 0
        assert queue.put([fetch("a"), fetch("b")]) == 2
        assert queue.put(fetch(key) for key in "bc") == 1
        assert self.states(queue) == {WAITING: 3}

    def test_put_same_key_twice_at_once(self, queue: Queue) -> None:
        """A key is unique within one call as well."""
        assert queue.put([fetch("a"), fetch("a"), fetch("a", priority=NOW)]) == 1

    def test_task_comes_back_whole(self, queue: Queue) -> None:
        """All fields of a task reach the worker."""
        task = Task(
            "series:1.2.3",
            "fetch",
            {"StudyInstanceUID": "1.2", "names": ["Müller", "山田"], "deep": {"n": [1, 2.5, None]}},
            3,
            "archive",
            "job-1",
            12.0,
            7,
        )
        queue.put([task])
        lease = self.one(queue)
        assert lease.task == task
        assert (lease.owner, lease.attempt) == ("one", 1)
        assert self.state(queue, "series:1.2.3").task == task

    def test_key_may_return_when_its_task_is_over(self, queue: Queue) -> None:
        """Keys are unique among tasks that are not over."""
        queue.put([fetch("a")])
        lease = self.one(queue)
        assert queue.put([fetch("a")]) == 0
        assert queue.done(lease, {}, written=True)
        assert queue.put([fetch("a")]) == 0
        queue.committed([lease.id])
        assert queue.put([fetch("a")]) == 1
        assert self.states(queue) == {DONE: 1, WAITING: 1}

    def test_better_priority_is_taken_over(self, queue: Queue) -> None:
        """Somebody waits now for what was put for later; the reverse changes nothing."""
        self.needs(TAKES_OVER)
        queue.put([fetch("a", priority=LATER), fetch("b", priority=TODAY)])
        assert queue.put([fetch("a", priority=NOW), fetch("b", priority=LATER)]) == 0
        time.sleep(self.settle_s)
        found = self.take(queue, 2)
        assert [(x.task.key, x.task.priority) for x in found] == [("a", NOW), ("b", TODAY)]

    def test_what_is_no_task_is_told(self, queue: Queue) -> None:
        """No queue takes what it could not give back, and the message does not quote it."""
        import pytest

        wrong = [
            fetch(""),
            Task("a", ""),
            fetch("a", priority=10),
            fetch("a", priority=-1),
            fetch("a", most=0),
            fetch("a", what={"secret": object()}),
        ]
        for task in wrong:
            with pytest.raises(UsageError) as told:
                queue.put([task])
            assert "secret" not in str(told.value)
        assert queue.counts() == []

    # lease

    def test_nothing_to_lease(self, queue: Queue) -> None:
        """No tasks, no leases."""
        assert queue.lease("one") == []
        queue.put([fetch("a")])
        assert queue.lease("one", 0) == []

    def test_best_priority_first(self, queue: Queue) -> None:
        """Somebody waits; today; the legacy archive."""
        queue.put([fetch("c", priority=LATER), fetch("b", priority=TODAY)])
        queue.put([fetch("a", priority=NOW)])
        time.sleep(self.settle_s)
        assert [self.one(queue).task.key for _ in range(3)] == ["a", "b", "c"]

    def test_order(self, queue: Queue, clock: Clock) -> None:
        """Best priority first, then oldest."""
        self.needs(EXACT_ORDER)
        for number, priority in enumerate((9, 3, 5, 3, 0, 9)):
            queue.put([fetch(f"{priority}-{number}", priority=priority)])
            clock.move(1)
        found = [lease.task.key for lease in queue.lease("one", 4)]
        assert found == ["0-4", "3-1", "3-3", "5-2"]
        assert [lease.task.key for lease in queue.lease("one", 4)] == ["9-0", "9-5"]

    def test_not_before(self, queue: Queue, clock: Clock) -> None:
        """A task is due when its time has come, and does not hold up others."""
        start = clock()
        queue.put([fetch("late", not_before=start + 60, priority=NOW), fetch("soon")])
        assert self.one(queue).task.key == "soon"
        assert queue.lease("one") == []
        clock.move(59)
        assert queue.lease("one") == []
        clock.move(1)
        lease = self.one(queue)
        assert (lease.task.key, lease.attempt) == ("late", 1)

    def test_sources(self, queue: Queue) -> None:
        """`only` and `without` name sources; what they leave out stays for others."""
        queue.put([fetch("a", source="north"), fetch("b", source="south"), fetch("c")])
        assert queue.lease("one", 9, only=[]) == []
        assert self.one(queue, only=["south", "west"]).task.key == "b"
        assert queue.lease("one", 9, only=["south", "west"]) == []
        assert self.one(queue, without=["north"]).task.key == "c"
        assert queue.lease("one", 9, without=["north", ""]) == []
        assert self.one(queue).task.key == "a"

    def test_a_task_has_one_worker(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """What one worker has, nobody else gets."""
        queue.put([fetch("a")])
        lease = self.one(queue)
        assert another().lease("two") == []
        state = self.state(queue, "a")
        assert (state.state, state.attempts, state.owner) == (RUNNING, 1, "one")
        assert queue.done(lease, {})

    def test_another_sees_what_one_put(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """Queue objects on one store hold the same tasks."""
        other = another()
        assert other.counts() == []
        queue.put([fetch("a")])
        assert other.put([fetch("a")]) == 0
        assert self.states(other) == {WAITING: 1}
        assert other.done(self.one(other), {"n": 1})
        assert self.state(queue, "a").result == {"n": 1}

    # leases that end

    def test_lease_that_ended_is_due_again(
        self, queue: Queue, another: Callable[[], Queue], clock: Clock
    ) -> None:
        """A worker that hangs loses its task to another one, and is told so."""
        self.needs(LEASES_END)
        queue.put([fetch("a")])
        first = self.one(queue, seconds=60)
        assert first.until == clock() + 60
        clock.move(59)
        assert queue.lease("two") == []
        clock.move(1)
        second = self.one(another(), "two")
        assert (second.id, second.attempt) == (first.id, 2)
        assert queue.renew([first, second]) == {second.id}
        assert not queue.done(first, {"by": "one"}, then=[fetch("child")])
        assert not queue.retry(first, "late")
        queue.refuse(first, "late")
        queue.give_back(first)
        assert queue.done(second, {"by": "two"})
        assert self.state(queue, "a").result == {"by": "two"}
        assert self.states(queue) == {DONE: 1}

    def test_same_owner_leases_anew(self, queue: Queue, clock: Clock) -> None:
        """An old lease is lost also when its owner has a new one."""
        self.needs(LEASES_END)
        queue.put([fetch("a")])
        first = self.one(queue)
        clock.move(121)
        second = self.one(queue)
        assert not queue.done(first, {})
        assert queue.done(second, {})

    def test_renew_holds(self, queue: Queue, clock: Clock) -> None:
        """A lease that is renewed does not end."""
        queue.put([fetch("a")])
        lease = self.one(queue, seconds=60)
        for _ in range(3):
            clock.move(59)
            assert queue.renew([lease], 60) == {lease.id}
            assert queue.lease("two") == []
        assert queue.done(lease, {})
        assert queue.renew([lease]) == set()
        assert queue.renew([]) == set()

    def test_worker_that_always_hangs(self, queue: Queue, clock: Clock) -> None:
        """A task that hangs each worker dies after its attempts, and says so."""
        self.needs(LEASES_END)
        queue.put([fetch("a", most=2)])
        for attempt in (1, 2):
            assert self.one(queue).attempt == attempt
            clock.move(121)
        assert queue.lease("one") == []
        state = self.state(queue, "a")
        assert (state.state, state.attempts) == (DEAD, 2)
        assert state.error == "its worker ended or hung 2 times"
        assert state.ended == clock()

    # done

    def test_done(self, queue: Queue, clock: Clock) -> None:
        """A task ends once, with its result and times."""
        start = clock()
        queue.put([fetch("a")])
        clock.move(5)
        lease = self.one(queue)
        clock.move(7)
        assert queue.done(lease, {"objects": 12, "names": ["山田"]})
        assert not queue.done(lease, {"objects": 13})
        state = self.state(queue, "a")
        assert (state.id, state.state, state.attempts, state.error) == (lease.id, DONE, 1, "")
        assert state.result == {"objects": 12, "names": ["山田"]}
        assert (state.created, state.started, state.ended) == (start, start + 5, start + 12)
        assert queue.lease("one") == []

    def test_done_then(self, queue: Queue) -> None:
        """What follows from a task is there once the task is done, and only then."""
        queue.put([fetch("a"), fetch("known")])
        leases = {x.task.key: x for x in self.take(queue, 2)}
        children = [fetch("b"), fetch("known"), fetch("c")]
        assert queue.done(leases["a"], {}, then=iter(children))
        assert self.states(queue) == {DONE: 1, RUNNING: 1, WAITING: 2}
        assert not queue.done(leases["a"], {}, then=[fetch("d")])
        assert {x.task.key for x in self.take(queue, 2)} == {"b", "c"}

    def test_done_then_both_or_neither(self, queue: Queue) -> None:
        """When what follows is wrong, nothing has happened."""
        import pytest

        queue.put([fetch("a")])
        lease = self.one(queue)
        with pytest.raises(UsageError):
            queue.done(lease, {}, then=[fetch("b"), fetch("c", most=0)])
        assert self.states(queue) == {RUNNING: 1}
        with pytest.raises(UsageError):
            queue.done(lease, {"bad": object()}, then=[fetch("b")])
        assert self.states(queue) == {RUNNING: 1}
        assert queue.done(lease, {}, then=[fetch("b")])
        assert self.states(queue) == {DONE: 1, WAITING: 1}

    def test_then_may_name_its_own_key(self, queue: Queue) -> None:
        """A task that is done makes room for its key."""
        queue.put([fetch("a")])
        assert queue.done(self.one(queue), {}, then=[fetch("a")])
        assert self.states(queue) == {DONE: 1, WAITING: 1}

    def test_written_then_committed(self, queue: Queue) -> None:
        """What waits for the writer of the lake is open, and nobody's."""
        queue.put([fetch("a"), fetch("b")])
        first, second = self.take(queue, 2)
        assert queue.done(first, {"n": 1}, written=True)
        state = self.state(queue, first.task.key)
        assert (state.state, state.result, state.ended) == (WRITTEN, {"n": 1}, 0.0)
        assert queue.renew([first]) == set()
        assert queue.lease("one") == []
        queue.committed(["nonsense", "999999", "-1", "", first.id, second.id])
        assert self.state(queue, first.task.key).state == DONE
        assert self.state(queue, second.task.key).state == RUNNING
        assert self.state(queue, first.task.key).ended > 0
        queue.committed([first.id])
        queue.committed([])

    def test_written_does_not_end_by_the_clock(self, queue: Queue, clock: Clock) -> None:
        """A lease of the past does not bring back what is written."""
        queue.put([fetch("a")])
        queue.done(self.one(queue), {}, written=True)
        clock.move(10_000)
        assert queue.lease("two") == []

    # retry, refuse, give back

    def test_retry(self, queue: Queue, clock: Clock) -> None:
        """A task is tried again after a while, and dies after its attempts."""
        queue.put([fetch("a", most=2)])
        assert not queue.retry(self.one(queue), "it was away", 30)
        state = self.state(queue, "a")
        assert (state.state, state.attempts, state.error) == (WAITING, 1, "it was away")
        assert queue.lease("one") == []
        clock.move(30)
        lease = self.one(queue)
        assert lease.attempt == 2
        assert queue.retry(lease, "still away")
        state = self.state(queue, "a")
        assert (state.state, state.attempts, state.error) == (DEAD, 2, "still away")
        assert state.ended == clock()
        assert queue.lease("one") == []

    def test_retry_without_delay(self, queue: Queue) -> None:
        """No delay: at once."""
        queue.put([fetch("a")])
        assert not queue.retry(self.one(queue), "hm")
        assert self.one(queue).attempt == 2

    def test_lost_after_retry(self, queue: Queue) -> None:
        """Who has tried again has no lease any more."""
        queue.put([fetch("a")])
        lease = self.one(queue)
        queue.retry(lease, "hm")
        assert queue.renew([lease]) == set()
        assert not queue.done(lease, {})

    def test_refuse(self, queue: Queue) -> None:
        """Trying again cannot help."""
        queue.put([fetch("a")])
        lease = self.one(queue)
        queue.refuse(lease, "there is no such study")
        queue.refuse(lease, "again")
        state = self.state(queue, "a")
        assert (state.state, state.error) == (DEAD, "there is no such study")
        assert queue.put([fetch("a")]) == 1

    def test_give_back(self, queue: Queue, clock: Clock) -> None:
        """Giving back is no attempt."""
        queue.put([fetch("a", most=1)])
        queue.give_back(self.one(queue))
        lease = self.one(queue, "two")
        assert lease.attempt == 1
        queue.give_back(lease, 60)
        assert self.state(queue, "a").attempts == 0
        assert queue.lease("one") == []
        clock.move(60)
        assert self.one(queue).attempt == 1

    # cancel and revive

    def test_cancel_keys(self, queue: Queue) -> None:
        """Tasks with some keys are over, whoever wants them."""
        queue.put([fetch("a", job="A"), fetch("b"), fetch("c")])
        assert queue.cancel(keys=["a", "b", "unknown"]) == 2
        assert queue.cancel(keys=["a", "b"]) == 0
        assert self.states(queue) == {CANCELLED: 2, WAITING: 1}
        assert self.one(queue).task.key == "c"
        assert queue.lease("one") == []

    def test_cancel_nothing(self, queue: Queue) -> None:
        """Without a job and keys, nothing is cancelled: not even what has no job."""
        queue.put([fetch("a")])
        assert queue.cancel() == 0
        assert self.states(queue) == {WAITING: 1}

    def test_cancel_while_running(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """Workers are told by `renew` and `done`."""
        queue.put([fetch("a", job="A"), fetch("b", job="B")])
        leases = {x.task.key: x for x in self.take(queue, 2)}
        assert another().cancel(job="A") == 1
        assert queue.renew(leases.values()) == {leases["b"].id}
        assert not queue.done(leases["a"], {"n": 1}, then=[fetch("child", job="A")])
        assert not queue.retry(leases["a"], "hm")
        assert self.state(queue, "a").state == CANCELLED
        assert self.states(queue, "A") == {CANCELLED: 1}
        assert queue.lease("one") == []

    def test_cancel_written(self, queue: Queue) -> None:
        """What is written is open as well."""
        queue.put([fetch("a", job="A")])
        lease = self.one(queue)
        queue.done(lease, {}, written=True)
        assert queue.cancel(job="A") == 1
        queue.committed([lease.id])
        assert self.state(queue, "a").state == CANCELLED

    def test_revive(self, queue: Queue) -> None:
        """Dead tasks wait again as if they had never been tried."""
        queue.put([fetch(key, job=job, most=1) for key, job in ("aA", "bA", "cB", "d ")])
        for lease in self.take(queue, 4):
            assert queue.retry(lease, "hm")
        assert queue.revive(job="C") == 0
        assert queue.revive(ids=[self.state(queue, "a").id, "nonsense"]) == 1
        assert queue.revive(job="A") == 1
        assert self.states(queue) == {WAITING: 2, DEAD: 2}
        assert queue.revive() == 2
        assert queue.revive() == 0
        state = self.state(queue, "d")
        assert (state.state, state.attempts, state.ended) == (WAITING, 0, 0.0)
        assert {x.attempt for x in self.take(queue, 4)} == {1}

    def test_revive_leaves_open_keys_unique(self, queue: Queue) -> None:
        """A dead task stays dead while another one with its key is open."""
        queue.put([fetch("a")])
        queue.refuse(self.one(queue), "no")
        queue.put([fetch("a")])
        assert queue.revive() == 0
        assert self.states(queue) == {DEAD: 1, WAITING: 1}

    # several jobs that want one task

    def test_two_jobs_want_one_task(self, queue: Queue) -> None:
        """Both see it; it goes on until nobody wants it."""
        queue.put([fetch("a", job="A")])
        assert queue.put([fetch("a", job="B"), fetch("b", job="B")]) == 1
        assert self.states(queue, "A") == {WAITING: 1}
        assert self.states(queue, "B") == {WAITING: 2}
        assert self.states(queue) == {WAITING: 2}
        assert [x.task.job for x in queue.tasks(job="B")] == ["B", "B"]
        assert queue.cancel(job="A") == 1
        assert queue.counts("A") == []
        assert self.states(queue, "B") == {WAITING: 2}
        assert queue.cancel(job="B") == 2
        assert self.states(queue, "B") == {CANCELLED: 2}

    def test_running_task_goes_on_for_the_other_job(self, queue: Queue) -> None:
        """The worker of a shared task is not stopped."""
        queue.put([fetch("a", job="A")])
        lease = self.one(queue)
        queue.put([fetch("a", job="B")])
        queue.cancel(job="A")
        assert queue.renew([lease]) == {lease.id}
        assert queue.done(lease, {}, then=[fetch("b", job="A")])
        assert self.states(queue, "B") == {DONE: 1, WAITING: 1}
        assert queue.counts("A") == []

    def test_task_without_a_job_stays(self, queue: Queue) -> None:
        """What somebody put without a job is not cancelled with a job."""
        queue.put([fetch("a")])
        queue.put([fetch("a", job="A")])
        assert self.states(queue, "A") == {WAITING: 1}
        assert queue.cancel(job="A") == 1
        assert self.states(queue) == {WAITING: 1}

    def test_what_follows_is_wanted_by_all_jobs(self, queue: Queue) -> None:
        """Tasks that follow for a job of theirs are linked to all jobs of what they follow from."""
        queue.put([fetch("a", job="A"), fetch("open", job="C")])
        queue.put([fetch("a", job="B")])
        leases = {x.task.key: x for x in self.take(queue, 2)}
        then = [fetch("b", job="A"), fetch("open", job="A"), fetch("own", job="D"), fetch("free")]
        assert queue.done(leases["a"], {}, then=then)

        def keys(job: str) -> set[str]:
            return {state.task.key for state in queue.tasks(job=job)}

        assert keys("A") == keys("B") == {"a", "b", "open"}
        assert keys("C") == {"open"}
        assert keys("D") == {"own"}
        assert "free" in {state.task.key for state in queue.tasks()}

    # what people see

    def test_counts(self, queue: Queue, clock: Clock) -> None:
        """Tasks by source, kind, priority and state, and since when."""
        start = clock()
        queue.put([fetch("a", source="north", priority=NOW)])
        clock.move(5)
        queue.put([fetch("b", source="north", priority=NOW), Task("c", "list", source="south")])
        found = {
            (x.source, x.kind, x.priority, x.state): (x.tasks, x.oldest) for x in queue.counts()
        }
        assert found == {
            ("north", "fetch", NOW, WAITING): (2, start),
            ("south", "list", TODAY, WAITING): (1, start + 5),
        }
        assert queue.counts("nobody's") == []

    def test_tasks(self, queue: Queue) -> None:
        """Tasks in some states, newest first, no more than asked for."""
        for key in "abcd":
            queue.put([fetch(key, job="J" if key in "bd" else "")])
        lease = self.one(queue)
        queue.done(lease, {})
        assert [x.task.key for x in queue.tasks()] == ["d", "c", "b", "a"]
        assert [x.task.key for x in queue.tasks(limit=2)] == ["d", "c"]
        assert [x.id for x in queue.tasks([DONE])] == [lease.id]
        assert len(queue.tasks(OPEN)) == 3
        assert queue.tasks([DEAD]) == queue.tasks([]) == []
        assert [x.task.key for x in queue.tasks(job="J")] == ["d", "b"]
        assert [x.task.key for x in queue.tasks([WAITING], job="J", limit=1)] == ["d"]

    def test_forget(self, queue: Queue, clock: Clock) -> None:
        """Only what was over before a time is dropped."""
        queue.put([fetch(key, job="J") for key in "abcd"])
        leases = {x.task.key: x for x in self.take(queue, 4)}
        queue.done(leases["a"], {})
        queue.refuse(leases["b"], "no")
        clock.move(10)
        queue.done(leases["c"], {})
        assert queue.forget(clock()) == 2
        assert queue.forget(clock()) == 0
        assert {x.task.key for x in queue.tasks(job="J")} == {"c", "d"}
        assert queue.done(leases["d"], {})
        assert queue.forget(clock() + 1) == 2
        assert queue.counts() == queue.counts("J") == []

    def test_close(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """Tasks outlive the objects that put them; closing twice does no harm."""
        queue.put([fetch("a")])
        other = another()
        queue.close()
        queue.close()
        assert self.states(other) == {WAITING: 1}
        other.close()

    # many workers

    def test_competing_workers(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """5,000 tasks, four workers: each task is done once, and nobody is told otherwise."""
        queue.put(fetch(f"t{number}", most=1) for number in range(5_000))
        ended: list[list[str]] = [[] for _ in range(4)]
        queues = [another() for _ in ended]
        threads = [
            threading.Thread(target=self._work, args=(mine, f"w{number}", ended, 5_000))
            for number, mine in enumerate(queues)
        ]
        _run(threads)
        done = Counter(key for keys in ended for key in keys)
        assert len(done) == 5_000
        assert set(done.values()) == {1}
        assert self.states(queue) == {DONE: 5_000}

    def _work(self, queue: Queue, owner: str, ended: list[list[str]], all_of_them: int) -> None:
        mine, before, idle = ended[int(owner[1:])], 0, time.monotonic()
        while before < all_of_them and time.monotonic() - idle < self.patience_s + 10:
            for lease in queue.lease(owner, 20):
                if queue.done(lease, {}):
                    mine.append(lease.task.key)
            if (now := sum(map(len, ended))) > before:
                before, idle = now, time.monotonic()

    def test_competing_puts(self, queue: Queue, another: Callable[[], Queue]) -> None:
        """Threads that put the same keys through one queue leave one task for each."""
        new: list[int] = []

        def put() -> None:
            new.append(queue.put(fetch(f"t{number}") for number in range(200)))

        _run([threading.Thread(target=put) for _ in range(4)])
        assert sum(new) == 200
        assert self.states(another()) == {WAITING: 200}


def _run(threads: Iterable[threading.Thread]) -> None:
    """Start all, wait for all; an error in one is an error of the test (pytest tells it)."""
    threads = list(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
