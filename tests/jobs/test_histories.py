"""Whatever happened before, a lake shows what its folder holds now."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from dicomlake import tables
from dicomlake.jobs import index as indexing
from dicomlake.jobs import reading, writing
from dicomlake.jobs.compact import compact
from dicomlake.jobs.index import index
from dicomlake.lake import Store

from .inside import kinds, made
from .made import content, healthy, run, slice_of

CLOCK = 1_600_000_000


class Folder:
    """A folder that lives: files come, go, change, are repeated, are put into archives."""

    def __init__(self, path: Path, chance: Random) -> None:
        self.path, self.chance, self.time = path, chance, CLOCK
        path.mkdir()

    def put(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.touch(path)

    def touch(self, path: Path) -> None:
        self.time += 1
        os.utime(path, (self.time, self.time))

    def object(self) -> bytes:
        chance = self.chance
        if chance.random() < 0.6:  # several kinds in one series, too
            series, number = f"inside/{chance.randrange(2)}", chance.randrange(8)
            return made(series, number, chance.choice(kinds(chance.randrange(6)))())
        kvp = chance.choice([80, 100, 120])
        comment = f"comment {chance.randrange(30)}"
        return slice_of(chance.randrange(3), chance.randrange(8), KVP=kvp, ImageComments=comment)

    def name(self) -> str:
        return f"{self.chance.choice('abc')}/{self.chance.randrange(12)}"

    def live(self) -> None:
        """One thing happens."""
        there = sorted(path for path in self.path.rglob("*") if path.is_file())
        what = self.chance.randrange(10)
        if what < 4 or not there:
            self.put(self.name(), self.object())
        elif what == 4:
            self.chance.choice(there).unlink()
        elif what == 5:
            self.touch(self.chance.choice(there))
        elif what == 6:
            data = self.chance.choice([b"", b"no image", slice_of(1, 1)[:200]])
            self.put(self.name() + self.chance.choice(["", ".dcm"]), data)
        elif what == 7:
            one, other = self.chance.choice(there), self.chance.choice(there)
            if one.suffix == other.suffix and one != other:
                shutil.copyfile(one, other)
                self.touch(other)
        elif what == 8:
            held = io.BytesIO()
            with zipfile.ZipFile(held, "w") as archive:
                for number in range(self.chance.randrange(4)):
                    archive.writestr(f"{number}", self.object())
            self.put(f"{self.chance.randrange(2)}.zip", held.getvalue())
        else:
            for path in there[:: self.chance.randrange(2, 5)]:
                path.unlink()


class Crash(BaseException):
    """A power cut: nothing catches it."""


class Fragile(Store):
    """A store that breaks at its n-th commit, just before it or just after."""

    left = 1 << 30
    after = False

    def commit(self, *given: Any, **more: Any) -> None:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self.after):
            raise Crash
        super().commit(*given, **more)
        if self.left == 0:
            raise Crash


def fragile(lake: Path, left: int, *, after: bool) -> Fragile:
    Store.create(lake)
    store = Fragile(lake)
    store.left, store.after = left, after
    return store


def small_steps(monkeypatch, chance: Random) -> None:
    monkeypatch.setattr(reading, "CHUNK_FILES", chance.choice([1, 2, 5]))
    monkeypatch.setattr(indexing, "COMMIT_AT", chance.choice([0, 3]))
    monkeypatch.setattr(writing, "MERGE_AT_ONCE", chance.choice([1, 10, 1000]))


@pytest.mark.parametrize("seed", range(8))
def test_a_lake_forgets_how_it_came_about(tmp_path, monkeypatch, seed):
    chance = Random(seed)
    folder, lake = Folder(tmp_path / "files", chance), tmp_path / "lake"
    for _ in range(chance.randrange(2, 5)):
        for _ in range(chance.choice([3, 8, 20])):
            folder.live()
        small_steps(monkeypatch, chance)
        prune = chance.random() < 0.5
        if chance.random() < 0.6:
            store = fragile(lake, chance.randrange(1, 14), after=chance.random() < 0.5)
            try:
                index([folder.path], store, workers=1, prune=prune)
            except Crash:
                healthy(lake)
        else:
            run(folder.path, lake, prune=prune, retry_failures=chance.random() < 0.3)
        if chance.random() < 0.3:
            compact(lake, full=chance.random() < 0.5, vacuum_hours=chance.choice([0, 168]))
    run(folder.path, lake, prune=True)
    run(folder.path, tmp_path / "fresh")
    assert content(lake) == content(tmp_path / "fresh")
    assert run(folder.path, lake).counts["unchanged"] == run(folder.path, lake).counts["files"]
    healthy(lake)


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_commit_leaves_a_lake_that_can_go_on(tmp_path, after):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.dcm").write_bytes(slice_of(number % 2, number))
    for number in range(9):
        data = made(f"inside/{number % 2}", number, kinds(number)[number]())
        (folder / f"inside {number}").write_bytes(data)
    (folder / "bad.dcm").write_bytes(b"bad")
    (folder / "text").write_bytes(b"text")
    run(folder, lake)
    before = content(lake)
    assert all(before[name] for name in tables.CONTENTS)
    for number in (1, 2, 5):
        data = made(f"inside/{number % 2}", number, kinds(number + 1)[number]())
        (folder / f"inside {number}").write_bytes(data)
    (folder / "inside 8").unlink()
    (folder / "1.dcm").write_bytes(slice_of(1, 1, StudyDescription="a longer description"))
    (folder / "2.dcm").write_bytes(slice_of("other", 2))
    (folder / "bad.dcm").write_bytes(slice_of(0, 9))
    (folder / "text").unlink()
    run(folder, tmp_path / "fresh", prune=True)
    expected = content(tmp_path / "fresh")
    for commit in itertools.count(1 + after, 2):
        copy = tmp_path / f"copy {commit}"
        shutil.copytree(lake, copy)
        store = Fragile(copy)
        store.left, store.after = commit, after
        try:
            index([folder], store, workers=1, prune=True)
            break
        except Crash:
            healthy(copy)
            shown = content(copy)
            parts = ("series", "instances", "elements", *tables.CONTENTS)
            assert [shown[p] for p in parts] in ([a[p] for p in parts] for a in (before, expected))
        run(folder, copy, prune=True)
        states = Store(copy).read("runs", ["state"]).column(0).to_pylist()
        assert states.count("running") == 0
        assert content(copy) == expected
        healthy(copy)
    assert commit > 12


def test_what_a_crash_left_is_swept_by_the_next_run(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(slice_of(1, 1))
    with pytest.raises(Crash):
        index([folder], fragile(lake, 2, after=False), workers=1)
    work = lake / "_work" / "of a killed run"
    work.mkdir(parents=True)
    (work / "rows.parquet").write_bytes(b"...")
    (lake / "instances" / ".part-1.parquet.part").write_bytes(b"...")
    (lake / "instances" / "part-1.parquet").write_bytes(b"...")
    run(folder, lake)
    assert list((lake / "_work").iterdir()) == []
    mentioned = {Path(path).name for path in Store(lake).paths("instances")}
    assert {p.name for p in (lake / "instances").glob("*part*")} == mentioned


def test_numbers_of_series_are_never_used_twice(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    folder.mkdir()
    (folder / "readme.txt").write_text("never empty: an empty folder is not pruned")
    seen: set[int] = set()
    for number in range(4):
        (folder / f"{number}.dcm").write_bytes(slice_of(number, 1))
        run(folder, lake, prune=True)
        compact(lake, full=True, vacuum_hours=0)
        ids = set(Store(lake).read("series", ["series_id"]).column(0).to_pylist())
        assert not ids & seen
        seen |= ids
        (folder / f"{number}.dcm").unlink()
        run(folder, lake, prune=True)
        compact(lake, full=True, vacuum_hours=0)
    assert isinstance(Store(lake).read("series"), pa.Table)
