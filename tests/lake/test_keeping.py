"""Kept objects: whole or not at all, the least recently used go first, promises are held."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.errors import DataError
from dicomlake.lake import keeping
from dicomlake.lake.keeping import INDEX, Kept


def of(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


def put(kept: Kept, uid: str, size: int = 100) -> Path:
    return kept.put(uid, of(uid.encode().ljust(size, b"\0")[:size]), size)


def used(kept: Kept, uid: str, seconds_ago: float) -> None:
    """Have an object be used last so long ago, as the index knows it too."""
    when = time.time_ns() - int(seconds_ago * 1e9)
    path = kept.get(uid)
    assert path is not None
    os.utime(path, ns=(when, when))
    kept.rescan()


def held(kept: Kept, uids: str) -> str:
    return "".join(uid for uid in uids if kept.holds(f"1.{uid}"))


def files(kept: Kept) -> list[str]:
    return sorted(path.name for path in kept.folder.rglob("*") if path.is_file())


def test_objects_come_back_as_they_were(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k")
    data = os.urandom(9 * 1024**2 + 3)
    path = kept.put("1.2.3", of(data), len(data))
    assert path.read_bytes() == data
    assert path.name == "1.2.3.dcm"
    assert path.parent.parent == kept.folder
    assert kept.get("1.2.3") == path
    assert kept.holds("1.2.3")
    assert kept.size == len(data)
    put(kept, "1.2.3", 50)
    assert (path.stat().st_size, kept.size) == (50, 50)
    put(kept, "1.2.4", 70)
    kept.drop("1.2.3")
    kept.drop("1.2.3")
    assert kept.get("1.2.3") is None
    assert kept.size == 70
    assert files(kept) == ["1.2.4.dcm", INDEX]


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 5)
    assert kept.get("1.2") is None
    assert not kept.holds("1.2")
    assert not kept.pin("1.2")
    assert kept.size == kept.evict() == 0
    kept.drop("1.2")
    kept.rescan()
    assert not kept.folder.exists()


@pytest.mark.parametrize("uid", ["../../x", "/etc/passwd", "..", ".", "", "a\0b", "Ä" * 999, "1\n"])
def test_what_is_no_uid_stays_inside_and_unnamed(tmp_path: Path, uid: str) -> None:
    kept = Kept(tmp_path / "k")
    path = put(kept, uid)
    assert path.resolve().parent.parent == kept.folder
    assert path.name.startswith("x")
    assert len(path.name) == 69
    assert kept.get(uid) == path
    assert list(tmp_path.iterdir()) == [kept.folder]


@given(st.text())
def test_no_text_escapes(uid: str) -> None:
    path = Kept(Path("/k"))._path(uid)
    assert path.parts[:2] == ("/", "k")
    assert len(path.parts) == 4
    assert ".." not in path.parts
    assert os.path.normpath(path) == str(path)


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 500)
    for uid in "12345":
        put(kept, f"1.{uid}")
        time.sleep(0.002)
    assert held(kept, "12345") == "12345"
    kept.get("1.1")
    kept.get("1.3")
    put(kept, "1.6")
    assert held(kept, "123456") == "13456"
    put(kept, "1.7", 250)
    assert held(kept, "1234567") == "367"
    assert kept.size == 450
    assert kept.evict() == 0


def test_an_object_that_is_larger_than_everything_is_there_until_the_next(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 500)
    put(kept, "1.1")
    assert put(kept, "1.2", 900).exists()
    assert held(kept, "12") == "2"
    put(kept, "1.3")
    assert held(kept, "123") == "3"


def test_what_is_pinned_stays(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 250)
    put(kept, "1.1")
    assert kept.pin("1.1")
    for uid in "234":
        put(kept, f"1.{uid}")
    assert held(kept, "1234") == "14"
    (kept.folder / INDEX).unlink()  # the promise does not hang on the index
    put(kept, "1.5")
    put(kept, "1.6")
    assert held(kept, "123456") == "16"
    put(kept, "1.1", 120)  # sent again
    put(kept, "1.7")
    assert held(kept, "123456") == "1"
    kept.drop("1.1")
    put(kept, "1.1")
    put(kept, "1.8", 200)
    assert held(kept, "178") == "8"


def test_without_a_limit_nothing_goes(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k")
    for uid in "12345":
        put(kept, f"1.{uid}")
    assert kept.evict() == 0
    assert held(kept, "12345") == "12345"
    assert Kept(kept.folder, 250).evict() == 300
    assert held(kept, "12345") == "45"


def test_files_removed_or_added_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path / "k", 500)
    paths = [put(kept, f"1.{uid}") for uid in "12345"]
    paths[3].unlink()
    paths[4].unlink()
    assert kept.get("1.4") is None
    assert kept.size == 500
    stale = paths[0].with_name(".1.9.x.part")
    stale.touch()
    os.utime(stale, (0, 0))
    monkeypatch.setattr(keeping, "RESCAN_S", 0.0)
    put(kept, "1.6")
    assert held(kept, "123456") == "1236", "room was made by hand already"
    assert kept.size == 400
    assert not stale.exists()
    extra = kept._path("1.8")
    extra.parent.mkdir(exist_ok=True)
    extra.write_bytes(b"x" * 50)
    kept.rescan()
    assert kept.size == 450


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_an_index_that_is_lost_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    kept = Kept(tmp_path / "k", 500)
    for uid in "123":
        put(kept, f"1.{uid}")
    used(kept, "1.2", 1000)
    (kept.folder / INDEX).write_bytes(damage)
    assert kept.size == 300
    put(kept, "1.4", 250)
    assert held(kept, "1234") == "134"


def test_an_index_damaged_inside(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 10_000_000)
    for number in range(200):
        put(kept, f"1.{number}")
    index = kept.folder / INDEX
    data = bytearray(index.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    index.write_bytes(bytes(data))
    for _ in range(3):
        try:
            assert kept.size == 200 * 100
            put(kept, "1.500")
            break
        except OSError:
            continue
    assert kept.size == 201 * 100


def test_an_index_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path / "k")
    put(kept, "1.1")
    monkeypatch.setattr(keeping, "_WAIT_S", 0.05)
    other = sqlite3.connect(kept.folder / INDEX, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(OSError, match="cannot be used"):
        put(kept, "1.2")
    other.execute("rollback")
    other.close()
    assert files(kept) == ["1.1.dcm", INDEX]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 500)

    def full(offset: int, length: int) -> bytes:
        raise OSError(errno.ENOSPC, "full")

    put(kept, "1.1")
    with pytest.raises(OSError, match="full"):
        kept.put("1.1", full, 10)
    with pytest.raises(DataError, match="whole"):
        kept.put("1.2", of(b"short"), 10)
    assert files(kept) == ["1.1.dcm", INDEX]
    assert kept.size == 100


def _with_a_full_disk(folder: Path) -> None:
    kept = Kept(folder, 500)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    with pytest.raises(OSError, match="large"):
        put(kept, "1.2", 2_000_000)


def test_a_full_disk(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", 500)
    put(kept, "1.1")
    worker = multiprocessing.get_context("spawn").Process(
        target=_with_a_full_disk, args=[kept.folder]
    )
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert files(kept) == ["1.1.dcm", INDEX]
    assert kept.size == 100


def _work(folder: Path, seed: int) -> None:
    kept = Kept(folder, 20_000)
    for step in range(60):
        uid = f"1.{(step * 7 + seed * 3) % 40}"
        put(kept, uid, 1000)
        path = kept.get(f"1.{(step * 5) % 40}")
        if path is not None:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            assert len(data) == 1000
            assert data.startswith(path.stem.encode() + b"\0")


def test_many_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=[tmp_path / "k", seed]) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    kept = Kept(tmp_path / "k", 20_000)
    there = [path for path in kept.folder.rglob("*.dcm")]
    assert kept.size == 1000 * len(there) <= 20_000
    assert not list(kept.folder.rglob("*.part"))
