"""The queue in Kafka: its contract on the mock broker of librdkafka, and on a real one."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import ClassVar

import jsonschema
import pytest

from dicomlake.contracts.queues import DONE, OPEN, Task
from dicomlake.errors import ServiceError, UsageError
from dicomlake.queues.kafka import BANDS, KafkaQueue
from dicomlake.queues.view import Event, read_task
from dicomlake.settings import QueueSettings
from dicomlake.testing.queues import EXACT_ORDER, LEASES_END, Clock, QueueContract

kafka = pytest.importorskip("confluent_kafka")


def topics(prefix):
    return [f"{prefix}.{name}" for name in ("events", "dead", *(f"tasks.{b}" for b in BANDS))]


class KafkaContract(QueueContract):
    """Joining a group takes seconds, so tests of one queue alone share it, and leave it empty."""

    cannot: ClassVar = {
        EXACT_ORDER: "three topics stand for ten priorities, and a worker sees its own partitions",
        LEASES_END: "tasks of a worker come back when it leaves its group, or hangs for minutes",
    }
    patience_s = 20.0
    settle_s = 0.2

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, new_settings):
        clock = Clock()
        queue = KafkaQueue(new_settings(), clock=clock)
        yield queue, clock
        queue.close()

    @pytest.fixture
    def clock(self, request):
        return (
            Clock() if "another" in request.fixturenames else request.getfixturevalue("shared")[1]
        )

    @pytest.fixture
    def another(self, clock, new_settings):
        opened, settings = [], new_settings()

        def make():
            opened.append(KafkaQueue(settings, clock=clock))
            return opened[-1]

        yield make
        with ThreadPoolExecutor(max(len(opened), 1)) as pool:  # each waits to leave the group
            list(pool.map(KafkaQueue.close, opened))

    @pytest.fixture
    def queue(self, request, clock):
        if "another" in request.fixturenames:
            yield request.getfixturevalue("another")()
            return
        queue = request.getfixturevalue("shared")[0]
        yield queue
        queue.cancel(keys=[state.task.key for state in queue.tasks(OPEN)])
        queue.forget(clock() + 1)
        assert queue.lease("nobody") == queue.counts() == []


@pytest.fixture(scope="session")
def mock_broker():
    """The mock broker of librdkafka; it lives as long as this producer."""
    producer = kafka.Producer(
        {"bootstrap.servers": "mock:1", "test.mock.num.brokers": 1, "log_level": 0}
    )
    broker = next(iter(producer.list_topics(timeout=5).brokers.values()))
    return producer, f"{broker.host}:{broker.port}"


def mock_settings(mock_broker):
    producer, address = mock_broker
    prefix = f"t{secrets.token_hex(4)}"
    for topic in topics(prefix):
        producer.list_topics(topic, timeout=5)  # the mock broker makes it by that
    options = {"fetch.wait.max.ms": 2, "heartbeat.interval.ms": 200}
    return QueueSettings(kind="kafka", brokers=address, prefix=prefix, options=options)


class TestMockBroker(KafkaContract):
    @pytest.fixture(scope="class")
    @classmethod
    def new_settings(cls, mock_broker):
        return lambda: mock_settings(mock_broker)


@pytest.fixture
def settings(mock_broker):
    return mock_settings(mock_broker)


@pytest.fixture
def another(settings):
    opened = []

    def make(**how):
        opened.append(KafkaQueue(settings, **how))
        return opened[-1]

    yield make
    for queue in opened:
        queue.close()


def one(queue, owner="one", count=1):
    found, until = [], time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        found += queue.lease(owner, count - len(found))
    assert len(found) == count
    return found


def events(settings):
    """What a program reads that knows only docs/queue.md."""
    consumer = kafka.Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": "flow",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.assign([kafka.TopicPartition(f"{settings.prefix}.events", 0, 0)])
    found = []
    while message := consumer.poll(0.5):
        assert message.error() is None
        found.append((message.key().decode(), json.loads(message.value())))
    consumer.close()
    return found


def schema(name):
    return json.loads(resources.files("dicomlake.queues").joinpath(name).read_text())


def documented(number):
    """The examples of messages in docs/queue.md."""
    text = Path(__file__).parents[2].joinpath("docs/queue.md").read_text()
    return json.loads(re.findall("```json\n(.*?)```", text, re.S)[number])


def send(settings, topic, *values):
    producer = kafka.Producer({"bootstrap.servers": settings.brokers, "log_level": 0})
    for value in values:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        producer.produce(f"{settings.prefix}.{topic}", text)
    assert producer.flush(10) == 0


def test_documented_messages_fit_their_schemas():
    for name, number in (("task.schema.json", 0), ("event.schema.json", 1)):
        jsonschema.Draft202012Validator.check_schema(schema(name))
        jsonschema.validate(documented(number), schema(name))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**documented(number), "more": 1}, schema(name))
    assert read_task(json.dumps(documented(0)).encode())[0] == "order-4711"
    event = Event.read(json.dumps(documented(1)).encode())
    assert json.loads(event.packed()) == documented(1)


def test_another_program_on_the_mock_broker_puts_a_task_and_reads_its_events(settings, another):
    queue = another()
    order, short = documented(0), {"task": {"key": "short", "kind": "fetch", "priority": 1}}
    send(settings, "tasks.now", order, b"no task", {"task": {"key": ""}}, order, short)
    leases = {lease.task.key: lease for lease in one(queue, count=2)}
    lease = leases[order["task"]["key"]]
    assert (lease.id, lease.task.what, lease.task.most) == ("order-4711", order["task"]["what"], 5)
    assert queue.done(lease, {"objects": 312}, then=[Task("child", "fetch", job="order-4711")])
    assert queue.lease("one")[0].task.key == "child" or one(queue)[0].task.key == "child"
    queue.refuse(leases["short"], "no")
    told = events(settings)
    for key, value in told:
        jsonschema.validate(value, schema("event.schema.json"))
        assert key == value["id"]
    mine = [value for key, value in told if key == "order-4711"]
    assert [(e["number"], e["state"]) for e in mine] == [
        (1, "waiting"),
        (2, "running"),
        (3, "done"),
    ]
    assert mine[-1]["result"] == {"objects": 312}
    assert [child["task"]["key"] for child in mine[-1]["then"]] == ["child"]
    assert {e["id"] for _, e in told if "order-4711" in e["jobs"]} == {
        "order-4711",
        mine[-1]["then"][0]["id"],
    }


def test_foreign_task_of_an_open_key_joins_it_on_the_mock_broker(settings, another):
    queue = another()
    queue.put([Task("a", "fetch", priority=8, job="A"), Task("z", "fetch")])
    send(settings, "tasks.now", {"task": {"key": "a", "kind": "fetch", "priority": 0, "job": "B"}})
    until = time.monotonic() + 30
    while not queue.tasks(job="B") and time.monotonic() < until:
        assert queue.lease("one", only=[]) == []
    assert [state.task.priority for state in queue.tasks(job="B")] == [0]
    assert len(queue.tasks()) == 2


def test_messages_of_tasks_fit_the_schema_on_the_mock_broker(settings, another):
    another().put([Task("a", "fetch", {"n": 1}, job="A")])
    consumer = kafka.Consumer(
        {"bootstrap.servers": settings.brokers, "group.id": "x", "auto.offset.reset": "earliest"}
    )
    consumer.assign(
        [kafka.TopicPartition(f"{settings.prefix}.tasks.today", p, 0) for p in range(4)]
    )
    message = consumer.poll(5)
    consumer.close()
    jsonschema.validate(json.loads(message.value()), schema("task.schema.json"))
    assert message.key() == b"a"


def test_dead_letters_on_the_mock_broker(settings, another):
    queue = another()
    queue.put([Task("a", "fetch", most=1)])
    assert queue.retry(one(queue)[0], "it was away")
    queue.close()
    consumer = kafka.Consumer({"bootstrap.servers": settings.brokers, "group.id": "x"})
    consumer.assign([kafka.TopicPartition(f"{settings.prefix}.dead", p, 0) for p in range(4)])
    value = json.loads(consumer.poll(5).value())
    consumer.close()
    jsonschema.validate(value, schema("event.schema.json"))
    assert (value["state"], value["error"]) == ("dead", "it was away")


def test_killed_worker_on_the_mock_broker_loses_nothing(settings, another):
    settings.options["session.timeout.ms"] = 4500
    queue = another()
    queue.put(Task(f"t{n}", "fetch", job="J") for n in range(40))
    code = """
        import os, sys
        from dicomlake.queues.kafka import KafkaQueue
        from dicomlake.settings import QueueSettings
        queue = KafkaQueue(QueueSettings.model_validate_json(sys.argv[1]))
        ended = 0
        while ended < 10:
            for lease in queue.lease("killed", 5, 0.5):
                ended += queue.done(lease, {})
        queue.lease("killed", 7, 0.5)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), settings.model_dump_json()]
    assert subprocess.run(command, timeout=90, check=False).returncode == -9
    done, until = 0, time.monotonic() + 60
    while done < 30 and time.monotonic() < until:
        done += sum(queue.done(lease, {}) for lease in queue.lease("alive", 20))
    states = queue.tasks(job="J")
    assert {state.state for state in states} == {DONE}
    assert len(states) == 40
    assert Counter(state.owner for state in states) == {"alive": 30, "killed": 10}
    assert Counter(state.attempts for state in states) == {1: 33, 2: 7}


def test_new_queue_on_the_mock_broker_knows_everything(another):
    first = another()
    first.put(Task(f"t{n}", "fetch", job="J") for n in range(50))
    first.cancel(keys=["t1"])
    first.forget(time.time() + 1)
    second = another()
    assert sorted(second.counts("J")) == sorted(first.counts("J"))
    assert second.tasks() == first.tasks()
    assert len(second.tasks()) == 49


def test_tasks_for_later_are_sent_to_the_end_on_the_mock_broker(another, monkeypatch):
    monkeypatch.setattr("dicomlake.queues.kafka._ASIDE", 100)
    clock = Clock()
    queue = another(clock=clock)
    queue.put(Task(f"l{n}", "fetch", not_before=clock() + 60 + n) for n in range(150))
    queue.put([Task("now", "fetch")])
    assert one(queue)[0].task.key == "now"
    for _ in range(5):
        assert queue.lease("one") == []
    clock.move(300)
    assert len({lease.task.key for lease in one(queue, count=150)}) == 150


def test_no_kafka_there():
    settings = QueueSettings(kind="kafka", brokers="127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"Kafka at 127\.0\.0\.1:1 cannot be used"):
        KafkaQueue(settings, timeout_s=0.5)


def test_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(UsageError, match=r"pip install 'dicomlake\[kafka\]'"):
        KafkaQueue(QueueSettings(kind="kafka", brokers="127.0.0.1:1"))


def test_closed_queue_on_the_mock_broker(another):
    queue = another()
    queue.close()
    with pytest.raises(UsageError, match="closed"):
        queue.counts()
