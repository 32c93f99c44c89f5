"""The tables on disk: snapshots, commits, compaction, what may be deleted."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dicomlake import tables
from dicomlake.errors import LakeError
from dicomlake.lake import Store, compaction, files
from dicomlake.lake.compaction import compact_table, expired, leftovers
from dicomlake.lake.files import GROUP_ROWS, Stream, row_groups, write_parquet


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.create(tmp_path / "lake")


def add(store: Store, uid: str, number: int, rows: int = 2) -> None:
    """A series of some instances, in the order in which writers do it."""
    instances = [{"series_id": number, "SOPInstanceUID": f"{uid}.{n}"} for n in range(rows)]
    elements = [
        {"series_id": number, "path": "Modality", "text": f"{uid} {n}"} for n in range(rows)
    ]
    store.append("instances", pa.Table.from_pylist(instances, tables.INSTANCES))
    store.append("elements", pa.Table.from_pylist(elements, tables.ELEMENTS))
    row = {"series_id": number, "SeriesInstanceUID": uid, "instances": rows, "complete": "all"}
    store.commit_series(pa.Table.from_pylist([row], tables.SERIES), [uid], "run")


def shown(store: Store) -> dict[str, list[str]]:
    return {
        "series": sorted(store.read("series").column("SeriesInstanceUID").to_pylist()),
        "instances": sorted(store.read("instances").column("SOPInstanceUID").to_pylist()),
        "elements": sorted(store.read("elements").column("text").to_pylist()),
    }


def test_every_commit_of_series_is_a_snapshot(store):
    states = {store.version: shown(store)}
    for step in range(6):
        add(store, f"1.{step % 3}", step + 1, rows=step + 1)
        states[store.version] = shown(store)
    store.remove("series", "SeriesInstanceUID", ["1.1"])
    states[store.version] = shown(store)
    assert sorted(states) == list(range(8)), "one flush is one commit of series"
    for version, state in states.items():
        assert shown(Store(store.path, version)) == state
    for name in ("series", "instances", "elements"):
        compact_table(store, name, full=True)
    assert shown(store) == states[7]
    for version, state in states.items():
        assert shown(Store(store.path, version)) == state


def test_a_snapshot_that_was_vacuumed_is_refused_in_words(store):
    for step in range(4):
        add(store, f"1.{step % 2}", step + 1)
    before = shown(store)
    for name in ("series", "instances", "elements"):
        compact_table(store, name, full=True)
        for path in expired(store, name, 0):
            path.unlink()
    assert shown(Store(store.path)) == before
    assert shown(Store(store.path, store.version)) == before
    with pytest.raises(LakeError, match="cannot be read any more"):
        Store(store.path, 3)
    with pytest.raises(LakeError, match="has no version 99; the newest is"):
        Store(store.path, 99)


def test_a_snapshot_stays_while_the_lake_goes_on(store):
    add(store, "1.1", 1)
    reader, pinned = Store(store.path), Store(store.path, store.version)
    before = shown(reader)
    add(store, "1.2", 2)
    assert shown(reader) == before
    assert reader.refresh()
    assert shown(reader) == shown(store) != before
    assert not reader.refresh()
    assert not pinned.refresh()
    assert shown(pinned) == before
    listed = [entry["version"] for entry in store.versions()]
    assert listed == [2, 1, 0]


def test_a_lake_of_another_layout_or_none_is_refused(tmp_path, store):
    with pytest.raises(LakeError, match="is no lake"):
        Store(tmp_path)
    mark = store.path / "dicomlake.json"
    for text, problem in (('{"layout": 99}', "layout 99"), ("[]", "layout None")):
        mark.write_text(text)
        with pytest.raises(LakeError, match=problem):
            Store(store.path)
    mark.write_text("{")
    with pytest.raises(LakeError, match="cannot be read"):
        Store(store.path)


def test_a_table_that_is_gone_is_an_error_in_words(store):
    shutil.rmtree(store.path / "elements")
    with pytest.raises(LakeError, match="elements"):
        Store(store.path).version  # noqa: B018


def test_one_writer_at_a_time(store):
    assert not store.locked
    with store.lock():
        assert store.locked
        with pytest.raises(LakeError, match="Another process"), Store(store.path).lock():
            pass
    with store.lock():
        pass


def test_replace_and_remove_touch_only_files_that_hold_the_rows(store):
    for n in range(3):
        rows = [{"uri": f"{n}/{i}", "state": None if i else "x"} for i in range(3)]
        store.append("files", pa.Table.from_pylist(rows, tables.FILES))
    before = {f.name for f in store.files("files")}
    store.remove("files", "uri", ["1/0", "nothing"])
    after = {f.name for f in store.files("files")}
    assert len(before & after) == 2
    new = pa.Table.from_pylist([{"uri": "new"}], tables.FILES)
    store.replace("files", "uri", ["0/0", "0/1", "0/2"], new)
    found = sorted(store.read("files", ["uri"]).column(0).to_pylist())
    assert found == ["1/1", "1/2", "2/0", "2/1", "2/2", "new"]
    store.overwrite("files", new)
    assert store.read("files", ["uri"]).num_rows == 1
    store.overwrite("files", tables.FILES.empty_table())
    assert store.files("files") == []


def test_numbers_go_on_after_everything_is_gone(store):
    add(store, "1.1", 7)
    store.remove("series", "SeriesInstanceUID", ["1.1"])
    for name in ("series", "instances", "elements"):
        compact_table(store, name, full=True)
    assert store.files("instances") == []
    assert Store(store.path).next_id() == 8


def lake_of_small_files(store: Store, series: int = 60) -> None:
    chance = random.Random(4)
    for number in range(1, series + 1):
        rows = [
            {
                "series_id": number,
                "path": chance.choice("abc"),
                "text": chance.choice(["", "x", None]),
            }
            for _ in range(20)
        ]
        store.append("elements", pa.Table.from_pylist(rows, tables.ELEMENTS))
        rows = [{"series_id": number, "SOPInstanceUID": f"{number}.{n}"} for n in range(3)]
        store.append("instances", pa.Table.from_pylist(rows, tables.INSTANCES))
    rows = [
        {"series_id": n, "SeriesInstanceUID": f"{n}", "Modality": chance.choice(["CT", "MR"])}
        for n in range(1, series + 1)
        if n % 3
    ]
    store.commit_series(pa.Table.from_pylist(rows, tables.SERIES), [], "run")


def rows_of(store: Store, name: str) -> list[str]:
    return sorted(map(str, store.read(name).to_pylist()))


def test_compaction_sorts_and_drops_what_nobody_sees(store):
    lake_of_small_files(store)
    before = {name: rows_of(store, name) for name in tables.ALL}
    done = {name: compact_table(store, name) for name in ("elements", "instances", "series")}
    assert {name: rows_of(store, name) for name in tables.ALL} == before
    assert (done["elements"].files_before, done["elements"].files_after) == (60, 1)
    assert done["elements"].rows_dropped == 20 * 20
    assert done["instances"].rows_dropped == 20 * 3
    for name, columns in (
        ("elements", ["path", "text", "number", "series_id"]),
        ("series", ["Modality", "BodyPartExamined", "StudyDate", "series_id"]),
        ("instances", ["series_id"]),
    ):
        found = pq.read_table(store.paths(name)[0]).select(columns).to_pylist()
        keys = [tuple((v is None, v) for v in row.values()) for row in found]
        assert keys == sorted(keys)
    again = compact_table(store, "elements")
    assert (again.files_before, again.files_after, again.rows_dropped) == (1, 1, 0)


def test_large_files_are_left_alone_unless_asked_for(store, monkeypatch):
    lake_of_small_files(store, 10)
    compact_table(store, "elements")
    large = {f.name for f in store.files("elements")}
    monkeypatch.setattr(compaction, "SMALL_BYTES", store.files("elements")[0].size)
    for number in (21, 22, 23):
        add(store, f"2.{number}", number)
    compact_table(store, "elements")
    kept = {f.name for f in store.files("elements")}
    assert large < kept
    assert len(kept) == 2
    compact_table(store, "elements", full=True)
    assert len(store.files("elements")) == 1
    monkeypatch.setattr(compaction, "SMALL_BYTES", 1)
    everybody = store.read("series").column("SeriesInstanceUID").to_pylist()
    store.remove("series", "SeriesInstanceUID", everybody[::2])
    assert compact_table(store, "elements").rows_dropped > 0, "too many rows that nobody sees"


def test_a_stream_of_rows_becomes_files_of_a_bounded_size(store, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_FILE", 20_000)
    monkeypatch.setattr(files, "GROUP_BYTES", 40_000)
    chance = random.Random(1)
    stream = Stream(store.path / "instances", "instances", sort=True)
    wanted = []
    for number in range(50):
        rows = [
            {
                "series_id": number,
                "SOPInstanceUID": f"{number}.{n}",
                "header": chance.randbytes(400).hex(),
            }
            for n in range(10)
        ]
        wanted += [row["SOPInstanceUID"] for row in rows]
        stream.write(pa.Table.from_pylist(rows, tables.INSTANCES))
    names = stream.close()
    assert len(names) > 5
    found = []
    for name in names:
        assert (store.path / "instances" / name).stat().st_size < 100_000
        for group in row_groups(store.path / "instances" / name):
            found += group.column("SOPInstanceUID").to_pylist()
    assert sorted(found) == sorted(wanted)
    picked = [
        n for name in names for g in row_groups(store.path / "instances" / name, [3, 40])
        for n in g.column("series_id").to_pylist()
    ]  # fmt: skip
    assert {3, 40} <= set(picked) < set(range(50))


def test_row_groups_are_bounded_in_rows(tmp_path):
    rows = pa.table({"series_id": pa.array(range(GROUP_ROWS + 5), pa.int64())})
    for field in list(tables.ELEMENTS)[1:]:
        rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    write_parquet(tmp_path / "a.parquet", "elements", rows)
    sizes = [group.num_rows for group in row_groups(tmp_path / "a.parquet")]
    assert sizes == [GROUP_ROWS, 5]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises((pa.ArrowException, ValueError)):
        write_parquet(tmp_path / "a.parquet", "series", pa.table({"x": [1]}))
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_what_no_version_mentions(store):
    for step in range(3):
        add(store, "1.1", step + 1)
    compact_table(store, "series", full=True)
    assert leftovers(store) == []
    store.table("series").create_checkpoint()
    for log in sorted((store.path / "series" / "_delta_log").glob("*.json"))[:-1]:
        log.unlink()
    assert leftovers(store) == []
    written = store.write("elements", store.read("elements"))
    part = store.path / "instances" / ".part-1.parquet.part"
    part.write_bytes(b"")
    work = store.path / "_work" / "run"
    work.mkdir(parents=True)
    assert leftovers(store) == sorted([work, store.path / "elements" / str(written), part])


def test_the_range_of_numbers_picks_files(store):
    for number in (1, 5, 9):
        add(store, f"1.{number}", number)
    assert len(store.paths("instances", [5])) == 1
    assert len(store.paths("instances", [2, 9, 77])) == 1
    assert store.paths("instances", []) == []
    assert len(store.paths("instances")) == 3
    log = store.path / "instances" / "_delta_log" / f"{1:020}.json"
    stats = [
        json.loads(line)["add"]["stats"] for line in log.read_text().splitlines() if "add" in line
    ]
    assert json.loads(stats[0])["minValues"] == {"series_id": 1}


def test_other_engines_read_the_tables(store):
    lake_of_small_files(store, 6)
    compact_table(store, "elements", full=True)
    found = store.table("elements").to_pyarrow_table()
    assert found.num_rows == 80
    assert Path(store.paths("elements")[0]).is_absolute()


def test_checkpoints_of_long_logs_are_understood(store):
    rows = pa.Table.from_pylist([{"uri": "x"}], tables.FILES)
    for _ in range(101):
        store.append("files", rows)
    log = store.path / "files" / "_delta_log"
    assert list(log.glob("*.checkpoint.parquet"))
    compact_table(store, "files")
    assert leftovers(store) == []
    for path in sorted(log.glob("*.json"))[:50]:
        path.unlink()
    assert Store(store.path).read("files").num_rows == 101
    assert leftovers(store) == []
