"""Versions of a lake that is open in a service while it grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomlake.jobs import snapshots
from dicomlake.jobs.snapshots import NoVersion, Snapshots
from dicomlake.lake import Store


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(snapshots, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(snapshots, "SHOWN_FOR", 0)
    Store.create(tmp_path / "lake")
    return tmp_path / "lake"


def opened(_: Path, version: int | None) -> int:
    assert version is not None
    return version


def grow(lake: Path) -> None:
    """What a commit leaves: the next file of the log."""
    log = lake / "series" / "_delta_log"
    (log / f"{len(list(log.glob('*.json'))):020}.json").write_text("{}\n")


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_small_lake_is_shown_as_it_is_now(lake: Path) -> None:
    found = Snapshots(lake, opened)
    assert found.at() == 0
    grow(lake)
    assert found.at() == 1
    assert found.at(0) == 0
    with pytest.raises(NoVersion, match="no version 2; the newest is 1"):
        found.at(2)


def test_a_large_lake_is_shown_when_it_is_ready(lake: Path) -> None:
    go_on, warmed = threading.Event(), list[int]()

    def warm(version: int) -> None:
        assert go_on.wait(20)
        warmed.append(version)

    found = Snapshots(lake, opened, lambda _: True, warm)
    assert found.at() == 0
    grow(lake)
    assert [found.at() for _ in range(5)] == [0] * 5
    go_on.set()
    until(lambda: found.at() == 1)
    assert warmed == [1]
    assert found.at(0) == 0


def test_what_cannot_be_opened_is_tried_again(lake: Path) -> None:
    tries = list[int]()

    def opener(_: Path, version: int | None) -> int:
        assert version is not None
        tries.append(version)
        if tries.count(1) == 1 and version == 1:
            raise NoVersion("not yet")
        return version

    found = Snapshots(lake, opener, lambda _: True)
    assert found.at() == 0
    grow(lake)
    until(lambda: found.at() == 1)
    assert tries == [0, 1, 1]


def test_only_some_stay_open_and_what_is_shown_does(lake: Path) -> None:
    for _ in range(5):
        grow(lake)
    tries = list[int]()

    def opener(_: Path, version: int | None) -> int:
        tries.append(version if version is not None else -1)
        return tries[-1]

    found = Snapshots(lake, opener)
    for version in (None, 0, 1, 2, 3, None, 0):
        found.at(version)
    assert tries == [5, 0, 1, 2, 3, 0]
