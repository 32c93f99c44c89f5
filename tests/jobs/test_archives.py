"""Archives and file systems as they are: odd names, damage, tricks."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dicomlake.contracts import Found, Object
from dicomlake.errors import UsageError
from dicomlake.jobs import reading
from dicomlake.jobs.index import index, totals
from dicomlake.lake import Store
from dicomlake.sources import folder as folders
from dicomlake.sources.folder import FolderSource, path_of, uri_of
from dicomlake.testing.dicom import encode, image, uid

from .made import content, healthy, known_files, put, run, slice_of, uids


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def tarred(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


def reasons(lake: Path) -> list[str]:
    return sorted(Store(lake).read("failures", ["reason"]).column(0).to_pylist())


def uris(lake: Path) -> list[str]:
    return sorted(Store(lake).read("instances", ["uri"]).column(0).to_pylist())


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_the_objects_of_an_archive_are_those_of_a_folder(tmp_path, suffix):
    members = {f"s/{n}.dcm": slice_of(1, n) for n in range(3)} | {"readme.txt": b"hello"}
    compression = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
    mode = compression.get(suffix.rpartition(".")[2], "w")
    data = zipped(members) if suffix == "zip" else tarred(list(members.items()), mode)
    put(tmp_path / "files", f"a.{suffix}", data)
    report = run(tmp_path / "files", tmp_path / "lake")
    assert (report.counts["objects"], report.counts["archive"]) == (3, 1)
    assert report.counts["not DICOM"] == 1
    for name, body in members.items():
        put(tmp_path / "plain", name, body)
    run(tmp_path / "plain", tmp_path / "other")
    for name in ("series", "elements"):
        assert content(tmp_path / "lake")[name] == content(tmp_path / "other")[name]
    assert run(tmp_path / "files", tmp_path / "lake").counts["unchanged"] == 1


def test_the_place_of_an_object_in_a_tar_is_known(tmp_path):
    data = slice_of(1, 7)
    put(tmp_path / "files", "a.tar", tarred([("x", slice_of(1, 6)), ("y", data)]))
    run(tmp_path / "files", tmp_path / "lake")
    rows = Store(tmp_path / "lake").read("instances", ["uri", "offset", "size"]).to_pylist()
    row = next(row for row in rows if row["uri"].startswith("tar://y::"))
    held = (tmp_path / "files" / "a.tar").read_bytes()
    assert held[row["offset"] :][: row["size"]] == data


def test_a_changed_archive_is_read_again(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    put(folder, "a.zip", zipped({"1": slice_of(1, 1), "2": slice_of(1, 2), "3": slice_of(2, 1)}))
    put(folder, "b.dcm", slice_of(1, 9))
    run(folder, lake)
    put(folder, "a.zip", zipped({"2": slice_of(1, 2), "4": slice_of(3, 1, KVP=80)}))
    report = run(folder, lake)
    assert (report.counts["changed"], report.counts["objects"]) == (1, 2)
    wanted = {uid("instance", *pair) for pair in ((1, 2), (1, 9), (3, 1))}
    assert uids(lake) == wanted
    run(folder, tmp_path / "fresh")
    assert content(lake) == content(tmp_path / "fresh")
    (folder / "a.zip").unlink()
    run(folder, lake, prune=True)
    assert uids(lake) == {uid("instance", 1, 9)}


def test_a_touched_archive_stays_as_it_is(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    path = put(folder, "a.zip", zipped({"1": slice_of(1, 1), "x.dcm": b""}))
    run(folder, lake)
    os.utime(path, (1, 1_600_000_000))
    assert run(folder, lake).lake["instances"] == 1
    run(folder, tmp_path / "fresh")
    assert content(lake) == content(tmp_path / "fresh")


def test_members_that_failed_are_tried_again_on_request(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    put(folder, "a.zip", zipped({"1": slice_of(1, 1), "x.dcm": b""}))
    run(folder, lake)
    assert run(folder, lake).counts["unchanged"] == 1
    report = run(folder, lake, retry_failures=True)
    assert (report.counts["unchanged"], report.counts["objects"]) == (0, 1)
    assert (report.lake["instances"], report.lake["failures"]) == (1, 1)


def test_damaged_archives_are_failures(tmp_path):
    folder = tmp_path / "files"
    whole = tarred([(f"{n}", slice_of(1, n)) for n in range(4)])
    size = len(whole) // 8
    put(folder, "cut.zip", zipped({"1": slice_of("z", 1)})[:-30])
    put(folder, "cut.tar.gz", gzip.compress(whole)[:-400])
    put(folder, "cut.tar.xz", tarred([("1", os.urandom(9000))], "w:xz")[:-4000])
    put(folder, "cut.tar", whole[: size * 3])
    at = 512 + (len(slice_of(1, 0)) + 511) // 512 * 512
    put(folder, "hit.tar", whole[:at] + b"\xff" * 512 + whole[at + 512 :])
    put(folder, "no.zip", b"this is no zip file")
    put(folder, "no.tar", b"this is no tar file" * 600)
    put(folder, "empty.zip", b"")
    report = run(folder, tmp_path / "lake")
    assert sum(report.failures.values()) >= 8
    assert all("damaged" in reason for reason in report.failures)
    assert set(known_files(tmp_path / "lake")) == {uri_of(str(p)) for p in folder.iterdir()}
    assert run(folder, tmp_path / "lake").counts["unchanged"] == report.counts["files"]
    healthy(tmp_path / "lake")


def test_no_damage_of_an_archive_stops_a_run(tmp_path):
    folder = tmp_path / "files"
    for kind, data in (
        ("zip", zipped({f"{n}": slice_of(1, n) for n in range(3)})),
        ("tar", tarred([(f"{n}", slice_of(1, n)) for n in range(3)])),
        ("tar.gz", tarred([(f"{n}", slice_of(1, n)) for n in range(3)], "w:gz")),
    ):
        for n in range(40):
            place = len(data) * n // 40
            put(folder, f"{n}.{kind}", data[:place] + bytes([n * 5, 255, 0]) + data[place + 3 :])
    report = run(folder, tmp_path / "lake")
    assert report.counts["archive"] == 120
    healthy(tmp_path / "lake")


def test_encrypted_members_are_failures(tmp_path):
    data = bytearray(zipped({"1.dcm": slice_of(1, 1), "2.dcm": slice_of(1, 2)}))
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + flag
        data[at] |= 1
    put(tmp_path / "files", "a.zip", bytes(data))
    report = run(tmp_path / "files", tmp_path / "lake")
    assert report.failures == {"encrypted in its archive": 1}
    assert report.counts["objects"] == 1


def test_unknown_compression_is_a_failure(tmp_path):
    data = bytearray(zipped({"1.dcm": slice_of(1, 1)}))
    for mark, field in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.index(mark) + field, 97)
    put(tmp_path / "files", "a.zip", bytes(data))
    report = run(tmp_path / "files", tmp_path / "lake")
    assert report.failures == {"cannot be unpacked (NotImplementedError)": 1}


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LEAST_SUSPECT", 1024**2)
    bomb = slice_of(1, 1) + bytes(8 * 1024**2)
    put(tmp_path / "files", "a.zip", zipped({"bomb.dcm": bomb, "2.dcm": slice_of(1, 2)}))
    report = run(tmp_path / "files", tmp_path / "lake")
    assert report.counts["objects"] == 1
    assert list(report.failures) == [
        "grows suspiciously when unpacked; unpack its archive to read it"
    ]


def test_paths_out_of_an_archive_lead_nowhere(tmp_path):
    members = {"../../etc/1.dcm": slice_of(1, 1), "/etc/2.dcm": slice_of(1, 2)}
    put(tmp_path / "files", "a.zip", zipped(members))
    put(tmp_path / "files", "b.tar", tarred([("../3.dcm", slice_of(1, 3))]))
    assert run(tmp_path / "files", tmp_path / "lake").counts["objects"] == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["files", "lake"]
    archive = uri_of(str(tmp_path / "files" / "a.zip"))
    assert f"zip://../../etc/1.dcm::{archive}" in uris(tmp_path / "lake")


def test_two_members_of_one_name(tmp_path):
    members = [("1", slice_of(1, 1)), ("1", slice_of(1, 2)), ("1", slice_of(1, 1))]
    put(tmp_path / "files", "a.tar", tarred(members))
    report = run(tmp_path / "files", tmp_path / "lake")
    assert (report.counts["objects"], report.counts["duplicate"]) == (2, 1)


def test_the_first_of_two_copies_in_a_tar_is_the_first_by_name(tmp_path, monkeypatch):
    other = slice_of(1, 1, StudyDescription="the copy by another name", KVP=90)
    members = [("b", other), ("x", slice_of(1, 2)), ("a", slice_of(1, 1)), ("y", slice_of(2, 1))]
    put(tmp_path / "files", "a.tar", tarred(members))
    for size in (1, 64 * 1024**2):
        monkeypatch.setattr(reading, "BATCH_BYTES", size)
        run(tmp_path / "files", tmp_path / f"lake {size > 1}")
    assert content(tmp_path / "lake False") == content(tmp_path / "lake True")
    assert [u[:8] for u in uris(tmp_path / "lake True")] == ["tar://a:", "tar://x:", "tar://y:"]


NAMES = [b"caf\xe9.dcm", b"a b.dcm", b"a'b\".dcm", b"50%25.dcm", b"a::b.dcm", b"#?&.dcm", b" .dcm"]


def test_names_of_any_bytes(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    folder.mkdir()
    for number, name in enumerate([*NAMES, b"x" * 240 + b".dcm", b"new\nline.dcm"]):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(slice_of(1, number))
    deep = folder.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    (deep / "1.dcm").write_bytes(slice_of(2, 1))
    put(folder, "a.zip", zipped({"caf\xe9/\u4e2d 'x'%.dcm": slice_of(3, 1)}))
    name = os.fsdecode(b"caf\xe9%::.dcm")
    put(folder, "b.tar", tarred([(name, slice_of(3, 2))]))
    report = run(folder, lake)
    assert report.counts["objects"] == len(NAMES) + 5
    for found in uris(lake):
        assert found.isascii()
        assert Path(path_of(found.rpartition("::")[2])).is_file()
    assert run(folder, lake).counts["unchanged"] == report.counts["files"]
    for path in folder.rglob("*.dcm"):
        path.unlink()
    report = run(folder, lake, prune=True)
    assert (report.counts["vanished"], report.lake["instances"]) == (len(NAMES) + 3, 2)


def test_links_are_followed_to_files_and_not_to_folders(tmp_path):
    folder = tmp_path / "files"
    path = put(folder, "below/1.dcm", slice_of())
    (folder / "below/loop").symlink_to(folder)
    (folder / "link.dcm").symlink_to(path)
    (folder / "dangling.dcm").symlink_to(folder / "nowhere")
    report = run(folder, tmp_path / "lake")
    assert (report.counts["files"], report.counts["objects"]) == (2, 1)
    assert report.counts["duplicate"] == 1
    (tmp_path / "door").symlink_to(folder)
    assert run(tmp_path / "door", tmp_path / "lake").counts["unchanged"] == 2


def test_pipes_are_left_alone(tmp_path):
    put(tmp_path / "files", "1.dcm", slice_of())
    os.mkfifo(tmp_path / "files" / "pipe.dcm")
    assert run(tmp_path / "files", tmp_path / "lake").counts["files"] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_failures(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    path = put(folder, "1.dcm", slice_of(1, 1))
    below = put(folder, "below/2.dcm", slice_of(1, 2)).parent
    run(folder, lake)
    path.chmod(0)
    os.utime(path, (1, 1))
    below.chmod(0)
    try:
        report = run(folder, lake, prune=True)
        assert report.failures == {"cannot be opened: Permission denied": 2}
        assert report.counts["vanished"] == 0
        assert uids(lake) == {uid("instance", 1, 2)}
    finally:
        path.chmod(0o600)
        below.chmod(0o700)
    assert run(folder, lake, retry_failures=True).lake["failures"] == 0


@dataclass(frozen=True)
class Unlisted:
    """A folder of which some parts cannot be listed at times."""

    folder: FolderSource
    hidden: str = ""
    name: str = "unlisted"

    def roots(self) -> list[str]:
        return self.folder.roots()

    def find(self) -> Iterator[Found]:
        for found in self.folder.find():
            if not self.hidden or not found.uri.startswith(self.hidden):
                yield found
        if self.hidden:
            yield Found(self.hidden, 0, 0)

    def open(self, found: Found) -> Iterator[Object]:
        if found.uri == self.hidden:
            raise PermissionError
        return self.folder.open(found)


def test_what_lies_in_a_folder_that_cannot_be_listed_is_not_pruned(tmp_path):
    put(tmp_path / "files", "a/1.dcm", slice_of(1, 1))
    put(tmp_path / "files", "b/1.dcm", slice_of(1, 2))
    source = FolderSource((str(tmp_path / "files"),))
    index(Unlisted(source), tmp_path / "lake", prune=True)
    hidden = uri_of(str(tmp_path / "files" / "a"))
    report = index(Unlisted(source, hidden), tmp_path / "lake", prune=True)
    assert (report.counts["vanished"], report.lake["instances"]) == (0, 2)
    assert report.lake["failures"] == 1
    report = index(Unlisted(source), tmp_path / "lake", prune=True)
    assert (report.lake["instances"], report.lake["failures"]) == (2, 0)


@dataclass(frozen=True)
class Restless:
    """A folder in which files shrink, grow or disappear between listing and reading."""

    folder: FolderSource
    name: str = "restless"

    def find(self) -> Iterator[Found]:
        return self.folder.find()

    def open(self, found: Found) -> Iterator[Object]:
        path = Path(path_of(found.uri))
        what = path.stem.rpartition("-")[2]
        if what == "shrinks":
            os.truncate(path, 700)
        elif what == "empties":
            os.truncate(path, 0)
        elif what == "vanishes":
            path.unlink()
        elif what == "grows":
            path.write_bytes(path.read_bytes() + bytes(5000))
        elif what == "raises":
            raise RuntimeError("Doe^Jane")
        return self.folder.open(found)


def test_files_that_change_while_they_are_read(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    kinds = ("shrinks", "empties", "vanishes", "grows", "raises", "stays")
    for number, what in enumerate(kinds):
        put(folder, f"{number}-{what}.dcm", slice_of(1, number))
    report = index(Restless(FolderSource((str(folder),))), lake, workers=1)
    assert report.counts["files"] == 6
    counted = report.counts["objects"] + sum(report.failures.values())
    assert counted + report.counts.get("not DICOM", 0) == 6
    assert "cannot be read (RuntimeError)" in report.failures
    healthy(lake)
    report = run(folder, lake, retry_failures=True)
    run(folder, tmp_path / "fresh")
    assert content(lake)["instances"] == content(tmp_path / "fresh")["instances"]
    assert report.lake["failures"] == len(reasons(tmp_path / "fresh"))


def test_files_of_the_far_future_and_past(tmp_path):
    folder, lake = tmp_path / "files", tmp_path / "lake"
    for number, when in enumerate((-(10**9), 0, 5_000_000_000, 15_000_000_000)):
        path = put(folder, f"{number}.dcm", slice_of(1, number))
        os.utime(path, (when, when))
    source = FolderSource((str(folder),))
    far = 10**18

    @dataclass(frozen=True)
    class Far:
        name: str = "far"

        def find(self) -> Iterator[Found]:
            for found in source.find():
                yield Found(found.uri, found.size, min(found.modified, far))

        def open(self, found: Found) -> Iterator[Object]:
            return source.open(found)

    assert index(Far(), lake).lake["instances"] == 4
    assert run(folder, lake).counts["unchanged"] == 4


def test_no_file_name_and_no_value_reaches_the_log(tmp_path, caplog):
    caplog.set_level("DEBUG", "dicomlake")
    folder = tmp_path / "files"
    put(folder, "Doe^Jane.dcm", slice_of(1, 1, PatientName="Doe^Jane"))
    put(folder, "Doe^Jane empty.dcm", b"")
    report = run(folder, tmp_path / "lake")
    assert "Doe" not in caplog.text + str(report)


def test_a_header_of_many_frames_ends_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_BYTES", 10_000)
    for number in range(6):
        frames = [{"FrameContentSequence": [{"FrameAcquisitionNumber": n}]} for n in range(60)]
        data = encode(
            image(
                SeriesInstanceUID=uid("s", number % 2),
                SOPInstanceUID=uid("i", number),
                PerFrameFunctionalGroupsSequence=frames,
                PixelData=...,
            )
        )
        put(tmp_path / "files", f"{number}.dcm", data)
    report = run(tmp_path / "files", tmp_path / "lake")
    assert (report.lake["series"], report.lake["instances"]) == (2, 6)
    healthy(tmp_path / "lake")


def test_indexing_works_in_a_thread(tmp_path):
    put(tmp_path / "files", "1.dcm", slice_of())
    thread = threading.Thread(target=run, args=(tmp_path / "files", tmp_path / "lake"))
    thread.start()
    thread.join()
    assert len(uids(tmp_path / "lake")) == 1


def test_pruning_an_empty_folder_is_refused(tmp_path: Path) -> None:
    source, lake = tmp_path / "disk", tmp_path / "lake"
    source.mkdir()
    (source / "a.dcm").write_bytes(encode(image()))
    index([source], lake, workers=1)
    (source / "a.dcm").unlink()
    with pytest.raises(UsageError, match="Nothing at all is left"):
        index([source], lake, workers=1, prune=True)
    assert totals(Store(lake))["instances"] == 1
    (source / "readme.txt").write_text("moved away")
    index([source], lake, workers=1, prune=True)
    assert totals(Store(lake))["instances"] == 0
