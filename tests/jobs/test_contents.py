"""What is inside of objects is in the lake as if everything had been read at once."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from dicomlake import tables
from dicomlake.contracts import Contents, Silent
from dicomlake.errors import LakeError
from dicomlake.jobs import contents as job
from dicomlake.jobs import index as indexing
from dicomlake.jobs import reading
from dicomlake.jobs.compact import compact
from dicomlake.jobs.contents import contents, outdated
from dicomlake.jobs.index import index
from dicomlake.jobs.volumes import volumes
from dicomlake.lake import Store
from dicomlake.lake.vocabulary import Vocabulary
from dicomlake.readers import contents as reading_contents
from dicomlake.readers.contents import ContentsReader, installed
from dicomlake.testing.dicom import uid
from dicomlake.testing.hospital.codes import sct

from .inside import (
    ecg,
    kinds,
    made,
    measured,
    segmented,
    slice_with_dose,
    x_ray,
)
from .made import content, healthy, put, run, slice_of

EVENT = uid("event", 1)


def rows(lake: Path, version: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of contents alone."""
    found = content(lake, version)
    return {name: found[name] for name in tables.CONTENTS}


def number_of(lake: Path) -> dict[str, int]:
    return {name: len(found) for name, found in rows(lake).items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Series with several kinds of objects in several folders."""
    for at in range(3):
        for kind, make in enumerate(kinds(at)):
            data = made(f"p{kind % 2}/mixed", 10 * at + kind, make())
            put(tmp_path / "files", f"{at}/{kind}.dcm", data)
    put(tmp_path / "files", "plain.dcm", slice_of("p0", 1))
    return tmp_path / "files"


def fresh(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """A lake of a folder that is read at once."""
    lake = folder.parent / "fresh"
    shutil.rmtree(lake, ignore_errors=True)
    run(folder, lake, prune=True)
    return content(lake)


@pytest.fixture(params=["all at once", "one by one", "with processes"])
def how(request: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if request.param == "one by one":
        monkeypatch.setattr(reading, "CHUNK_FILES", 1)
        monkeypatch.setattr(indexing, "COMMIT_AT", 0)
    if request.param == "with processes":
        monkeypatch.setattr(reading, "CHUNK_FILES", 5)
        monkeypatch.setattr("dicomlake.jobs.ledger.Ledger.few", lambda self: False)
        return {"workers": 2}
    return {}


def test_what_is_inside_becomes_rows(folder: Path, how: dict[str, Any]) -> None:
    lake = folder.parent / "lake"
    run(folder, lake, **how)
    found = number_of(lake)
    assert found["segments"] == 1 + 2 + 3
    assert found["waveforms"] == 6
    assert found["dose_totals"] == 3
    assert min(found.values()) > 0
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(reading, "CHUNK_FILES", 768)
        assert content(lake) == fresh(folder)
    healthy(lake)


def changed(folder: Path) -> None:
    put(folder, "0/1.dcm", made("p1/mixed", 1, measured(7.0, 8.0, 9.0, words="another one")))
    put(folder, "1/3.dcm", made("p1/mixed", 13, ecg(99)))


def gone(folder: Path) -> None:
    for name in ("0/5.dcm", "1/0.dcm", "2/2.dcm", "0/8.dcm"):
        (folder / name).unlink()


def emptied(folder: Path) -> None:
    for path in folder.rglob("*.dcm"):
        if path.name[0] in "02468":
            path.unlink()


def copied(folder: Path) -> None:
    put(folder, "+/copy.dcm", made("p1/mixed", 1, segmented(*[sct("10200004", "Liver")] * 4)))
    put(folder, "+/same.dcm", (folder / "0" / "5.dcm").read_bytes())
    put(folder, "z/copy.dcm", made("p1/mixed", 3, segmented()))


def archived(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted((folder / "0").iterdir()):
            archive.writestr(path.name, path.read_bytes())
    shutil.rmtree(folder / "0")


def grown(folder: Path) -> None:
    """Smaller UIDs than before, and a second event."""
    for at in range(100, 106):
        event = EVENT if at % 2 else uid("event", "new")
        put(folder, f"new/{at}.dcm", made("p1/mixed", at, slice_with_dose(event, 12.0)))
        put(folder, f"new/x{at}.dcm", made("p0/mixed", at, x_ray(event)))


@pytest.mark.parametrize(
    ("step", "files"),
    [(changed, 1), (gone, 768), (emptied, 1), (copied, 768), (archived, 1), (grown, 1)],
)
def test_after_a_change_it_is_as_if_read_at_once(
    folder: Path, step: Any, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = folder.parent / "lake"
    with monkeypatch.context() as patch:
        patch.setattr(reading, "CHUNK_FILES", files)
        run(folder, lake)
        before, version = rows(lake), Store(lake).version
        step(folder)
        run(folder, lake, prune=True)
    expected = fresh(folder)
    assert content(lake) == expected
    assert rows(lake, version) == before
    assert (rows(lake) == before) is (step is archived)
    compact(lake, full=True)
    assert content(lake) == expected
    assert contents(lake).rows == {n: len(r) for n, r in rows(lake).items() if r}
    assert content(lake) == expected
    healthy(lake)


def test_images_of_one_event_tell_of_it_once_and_others_each(tmp_path: Path) -> None:
    """In whatever parts: slices of an event are one row, X-ray images of it are one each."""
    for at in range(6):
        event = uid("event", at % 2)
        put(tmp_path / "files", f"{at}/ct.dcm", made("p/ct", at, slice_with_dose(event)))
        put(tmp_path / "files", f"{at}/dx.dcm", made("p/dx", at, x_ray(event)))
    run(tmp_path / "files", tmp_path / "whole")
    for at in range(6):
        run(tmp_path / "files" / str(at), tmp_path / "lake")
    for lake in (tmp_path / "whole", tmp_path / "lake"):
        told = Store(lake).read("dose_events", ["kind", "SOPInstanceUID"]).to_pylist()
        assert Counter(row["kind"] for row in told) == {"CT": 2, "projection": 6}
        firsts = [min(uid("inside", "p/ct", at) for at in range(n, 6, 2)) for n in (0, 1)]
        assert {r["SOPInstanceUID"] for r in told if r["kind"] == "CT"} == set(firsts)
    assert rows(tmp_path / "whole") == rows(tmp_path / "lake")


class Stop(Silent):
    """Asks to stop after so many steps."""

    def __init__(self, after: int) -> None:
        self.after, self.stages = after, []

    def stage(self, name: str, total: int | None = None, unit: str = "files") -> None:
        self.stages.append((name, total))

    def advance(self, count: int = 1) -> None:
        self.after -= count
        self.cancelled = self.after <= 0


class Extra:
    """A foreign reader: a root item for each X-ray image, and one for all images of an event."""

    name = "extra"
    after = ("dose",)

    def __init__(self, version: int = 1) -> None:
        self.version, self.met = version, []

    def wants(self, first: Mapping[str, str]) -> str | None:
        if first.get("Modality") == "CT":
            return first.get("IrradiationEventUID")
        return "" if first.get("Modality") == "DX" else None

    def read(self, header: dict[str, Any], contents: Contents) -> None:
        self.met.append(header["00080018"]["Value"][0])
        contents.item(None, None, "TEXT", text=f"version {self.version}")
        contents.problem("Modality", "CS", "seen")


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> Extra:
    """Another reader, installed while a test runs."""
    ours, extra = installed(), Extra()
    monkeypatch.setattr(reading_contents, "installed", lambda: [*ours, extra])
    return extra


class TestReadingAgain:
    def test_gives_what_indexing_gives(self, folder: Path) -> None:
        lake = folder.parent / "lake"
        run(folder, lake)
        before = content(lake)
        version = Store(lake).version
        progress = Stop(1 << 30)
        report = contents(lake, progress=progress)
        assert report.objects == 28 == len(before["instances"])
        assert ("reading contents", 28) in progress.stages
        assert content(lake) == before
        assert Store(lake).version == version
        assert report.readers == ContentsReader().versions == Store(lake).content_readers
        runs = {r["run_id"]: r for r in Store(lake).read("runs").to_pylist()}
        assert json.loads(runs[report.run_id]["counts"]) == {"objects": 28, **report.rows}
        healthy(lake)

    def test_series_that_lie_in_many_files_have_one_object_that_stands(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for at in range(40):
            event = uid("event", at % 3)
            put(tmp_path / "files", f"{at:02}", made(f"p{at % 4}/ct", at, slice_with_dose(event)))
        run(tmp_path / "files", tmp_path / "lake")
        expected = rows(tmp_path / "lake")
        assert len(expected["dose_events"]) == 12
        store = Store(tmp_path / "lake")
        instances = store.read("instances").sort_by("SOPInstanceUID")
        parts = [instances.slice(at, 7) for at in range(0, 40, 7)]
        store.exchange("instances", [f for p in parts if (f := store.write("instances", p))])
        contents(tmp_path / "lake")
        assert rows(tmp_path / "lake") == expected

    def test_stopped_in_the_middle_the_lake_is_as_it_was(self, folder: Path) -> None:
        lake = folder.parent / "lake"
        run(folder, lake)
        before, noted = content(lake), Store(lake).content_readers
        with pytest.raises(KeyboardInterrupt):
            contents(lake, progress=Stop(3), readers=ContentsReader([Extra()]))
        assert content(lake) == before
        assert Store(lake).content_readers == noted
        states = {r["kind"]: r["state"] for r in Store(lake).read("runs").to_pylist()}
        assert states["contents"] == "interrupted"
        healthy(lake)
        contents(lake)
        assert content(lake) == before

    @pytest.mark.parametrize("commit", [1, 4])
    def test_killed_between_commits_it_is_read_again(
        self, folder: Path, extra: Extra, monkeypatch: pytest.MonkeyPatch, commit: int
    ) -> None:
        lake = folder.parent / "lake"
        with monkeypatch.context() as patch:
            patch.setattr(reading_contents, "installed", list)
            run(folder, lake)
        assert not any(rows(lake).values())

        class Broken(Exception):
            pass

        class Fragile(Store):
            left = commit

            def exchange(self, name: str, files: Any, **notes: str) -> None:
                if name in tables.CONTENTS:
                    self.left -= 1
                    if self.left < 0:
                        raise Broken
                super().exchange(name, files, **notes)

        with pytest.raises(Broken):
            contents(Fragile(lake))
        assert outdated(Store(lake), ContentsReader())
        run(folder, lake)
        assert not outdated(Store(lake), ContentsReader())
        assert rows(lake) == (fresh(folder) and rows(folder.parent / "fresh"))
        assert "segment.type" in Vocabulary.read(Store(lake))
        healthy(lake)

    def test_indexing_with_a_new_reader_reads_old_objects_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = folder.parent / "lake"
        run(folder, lake)
        ours, extra = installed(), Extra()
        monkeypatch.setattr(reading_contents, "installed", lambda: [*ours, extra])
        put(folder, "later.dcm", made("p1/mixed", 99, x_ray(uid("later"))))
        run(folder, lake)
        assert Store(lake).content_readers["extra"] == 1
        read = Counter(extra.met)
        assert set(read.values()) == {1}
        assert len(read) > 5
        extra.met.clear()
        run(folder, lake)
        contents_before = rows(lake)
        assert extra.met == []
        assert contents_before == (fresh(folder) and rows(folder.parent / "fresh"))
        extra.met.clear()
        extra.version = 2
        run(folder, lake)
        assert len(extra.met) == len(read)
        texts = Store(lake).read("items", ["reader", "text"]).to_pylist()
        assert {r["text"] for r in texts if r["reader"] == "extra"} == {"version 2"}
        monkeypatch.setattr(reading_contents, "installed", lambda: ours)
        run(folder, lake)
        assert "extra" not in Store(lake).read("items", ["reader"]).column(0).to_pylist()
        healthy(lake)

    def test_a_first_run_that_was_stopped_is_not_read_again(
        self, folder: Path, extra: Extra, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = folder.parent / "lake"
        monkeypatch.setattr(reading, "CHUNK_FILES", 4)
        with pytest.raises(KeyboardInterrupt):
            index([folder], lake, workers=1, progress=Stop(28 + 12))
        assert Store(lake).read("instances", ["uri"]).num_rows
        monkeypatch.setattr(job, "read_again", None)
        monkeypatch.setattr(indexing, "read_again", None)
        run(folder, lake)
        assert Store(lake).read("instances", ["uri"]).num_rows == 28

    def test_problems_are_noted_with_the_object(self, folder: Path, extra: Extra) -> None:
        lake = folder.parent / "lake"
        run(folder, lake)
        found = Store(lake).read("instances", ["SOPInstanceUID", "problems"]).to_pylist()
        problem = {"path": "Modality", "vr": "CS", "problem": "seen"}
        assert {r["SOPInstanceUID"] for r in found if problem in r["problems"]} == set(extra.met)

    def test_a_reader_that_raises_costs_nothing_but_a_problem(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Raising(Extra):
            def read(self, header: dict[str, Any], contents: Contents) -> None:
                raise ZeroDivisionError

        ours = installed()
        run(folder, folder.parent / "plain")
        monkeypatch.setattr(reading_contents, "installed", lambda: [*ours, Raising()])
        lake = folder.parent / "lake"
        run(folder, lake)
        assert rows(lake) == rows(folder.parent / "plain")
        said = "contents not readable by extra (ZeroDivisionError)"
        assert said in str(Store(lake).read("instances", ["problems"]).to_pylist())
        contents(lake)
        assert rows(lake) == rows(folder.parent / "plain")

    def test_only_in_lakes_and_by_one_writer(self, tmp_path: Path) -> None:
        with pytest.raises(LakeError, match="is no lake"):
            contents(tmp_path / "nowhere")
        assert not (tmp_path / "nowhere").exists()
        store = Store.create(tmp_path / "lake")
        with store.lock(), pytest.raises(LakeError, match="Another process"):
            contents(tmp_path / "lake")
        assert contents(tmp_path / "lake").rows == {}


def test_volumes_and_the_vocabulary_go_together(folder: Path) -> None:
    lake = folder.parent / "lake"
    run(folder, lake)
    assert "segment.volume_problem" not in Vocabulary.read(Store(lake))
    volumes(lake)
    assert Vocabulary.read(Store(lake))["segment.volume_problem"].documents == 3
    version = Store(lake).table("vocabulary").version()
    volumes(lake)
    assert Store(lake).table("vocabulary").version() == version
    before = Store(lake).read("segments").sort_by([("series_id", "ascending")])
    contents(lake)  # objects may be away by now, so what was measured of them stays
    assert Store(lake).read("segments").sort_by([("series_id", "ascending")]) == before
    assert Vocabulary.read(Store(lake))["segment.volume_problem"].documents == 3


def test_volumes_that_were_stopped_are_counted_by_the_next_run(folder: Path) -> None:
    lake = folder.parent / "lake"
    run(folder, lake)
    with pytest.raises(KeyboardInterrupt):
        volumes(lake, progress=Stop(1))
    run(folder, lake)
    assert Vocabulary.read(Store(lake))["segment.volume_problem"].documents == 1


# Lakes of layout 1


def older(lake: Path) -> None:
    """Make a lake one of layout 1, as dicomlake without contents left it."""
    for name in tables.CONTENTS:
        shutil.rmtree(lake / name)
    for name, new in (("vocabulary", ["units", "names", "documents"]), ("vocabulary_values", [])):
        schema = pa.schema([f for f in tables.ALL[name] if f.name not in new])
        rows = pa.concat_tables(
            [pa.Table.from_pylist([], schema), Store_read(lake, name).select(schema.names)]
        )
        shutil.rmtree(lake / name)
        DeltaTable.create(str(lake / name), schema)
        from deltalake import write_deltalake

        write_deltalake(str(lake / name), rows, mode="append")
    for log in (lake / "series" / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if "children" in line.get("commitInfo", {}):
                pins = json.loads(line["commitInfo"]["children"])
                pins = {n: v for n, v in pins.items() if n not in tables.CONTENTS}
                line["commitInfo"]["children"] = json.dumps(pins)
        log.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (lake / "dicomlake.json").write_text('{"layout": 1, "what": "a lake of dicomlake"}\n')


def Store_read(lake: Path, name: str) -> pa.Table:
    return DeltaTable(str(lake / name)).to_pyarrow_table()


class TestLayout1:
    @pytest.fixture
    def lake(self, folder: Path) -> Path:
        lake = folder.parent / "lake"
        run(folder / "0", lake)
        put(folder, "0/0.dcm", made("p0/mixed", 0, measured(3.0)))
        run(folder, lake)
        self.before = content(lake)
        self.versions = {v: self.plain(lake, v) for v in range(1, Store(lake).version + 1)}
        assert len(self.versions) > 1
        older(lake)
        return lake

    def plain(self, lake: Path, version: int | None = None) -> Any:
        found = content(lake, version)
        return {name: found[name] for name in ("series", "instances", "elements")}

    def test_opening_says_what_to_do(self, lake: Path) -> None:
        with pytest.raises(LakeError, match="up to date with: dicomlake contents"):
            Store(lake)

    def test_reading_contents_brings_it_up_to_date(self, lake: Path) -> None:
        contents(lake)
        self.check(lake)

    def test_indexing_brings_it_up_to_date(self, lake: Path, folder: Path) -> None:
        assert run(folder, lake).counts["objects"] == 0
        self.check(lake)

    def check(self, lake: Path) -> None:
        assert content(lake) == self.before
        for version, before in self.versions.items():
            assert self.plain(lake, version) == before
        vocabulary = Vocabulary.read(Store(lake))
        assert vocabulary["segment.type"].documents == 3
        assert vocabulary["Modality"].series == len(self.before["series"])
        healthy(lake)
        kinds = Store(lake).read("runs", ["kind"]).column(0).to_pylist()
        assert kinds.count("index") >= 2

    @pytest.mark.parametrize("after", [1, 6])
    def test_killed_in_between_it_can_be_repeated(
        self, lake: Path, after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from dicomlake.lake import store as module

        class Killed(BaseException):
            pass

        made_, left = module._make, [after]

        def make(path: Path, name: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            made_(path, name)

        with monkeypatch.context() as patch:
            patch.setattr(module, "_make", make)
            with pytest.raises(Killed):
                contents(lake)
        with pytest.raises(LakeError, match="dicomlake contents"):
            Store(lake)
        contents(lake)
        self.check(lake)

    def test_killed_before_reading_the_next_run_does_it(self, lake: Path, folder: Path) -> None:
        Store.create(lake)
        assert not any(rows(lake).values())
        run(folder, lake)
        self.check(lake)


CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no samples beside the repository")
def test_the_samples_are_read_again_as_they_were_indexed(tmp_path: Path) -> None:
    run(CORPUS, tmp_path / "lake")
    before = content(tmp_path / "lake")
    assert all(before[name] for name in tables.CONTENTS)
    contents(tmp_path / "lake")
    assert content(tmp_path / "lake") == before
    healthy(tmp_path / "lake")
