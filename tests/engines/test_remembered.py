"""What was found once is found once, also by many at the same time."""

from __future__ import annotations

import threading

import pytest

from dicomlake.engines.remembered import Remembered


def test_who_asks_the_same_meanwhile_waits_for_it() -> None:
    known: Remembered[str, str] = Remembered(100, len)
    began, go_on = threading.Event(), threading.Event()
    found: list[str] = []
    times: list[int] = []

    def find() -> str:
        times.append(1)
        began.set()
        assert go_on.wait(20)
        return "found"

    threads = [
        threading.Thread(target=lambda: found.append(known.once("key", find))) for _ in range(4)
    ]
    threads[0].start()
    assert began.wait(20)
    for thread in threads[1:]:
        thread.start()
    assert known.once("other", lambda: "at once") == "at once"
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert found == ["found"] * 4
    assert times == [1]


def test_what_fails_is_tried_by_the_next_one() -> None:
    known: Remembered[str, str] = Remembered(100, len)
    began, go_on = threading.Event(), threading.Event()
    failed: list[str] = []

    def fail() -> str:
        began.set()
        assert go_on.wait(20)
        raise OSError("gone")

    def first() -> None:
        with pytest.raises(OSError, match="gone"):
            known.once("key", fail)
        failed.append("first")

    found: list[str] = []
    one = threading.Thread(target=first)
    two = threading.Thread(target=lambda: found.append(known.once("key", lambda: "found")))
    one.start()
    assert began.wait(20)
    two.start()
    go_on.set()
    one.join(20)
    two.join(20)
    assert (failed, found) == (["first"], ["found"])


def test_who_waits_may_stop_waiting() -> None:
    known: Remembered[str, str] = Remembered(100, len)
    began, go_on = threading.Event(), threading.Event()

    def find() -> str:
        began.set()
        assert go_on.wait(20)
        return "found"

    def check() -> None:
        raise InterruptedError

    thread = threading.Thread(target=known.once, args=("key", find))
    thread.start()
    assert began.wait(20)
    with pytest.raises(InterruptedError):
        known.once("key", find, check)
    go_on.set()
    thread.join(20)
    assert known.get("key") == "found"
