"""Objects are opened again where they lie; what is no longer there says what to do."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake.contracts import Object
from dicomlake.contracts.archives import uri_of as archive_uri
from dicomlake.errors import Refused, UsageError
from dicomlake.lake.keeping import Kept
from dicomlake.sources.folder import FolderSource, uri_of
from dicomlake.sources.opening import Elsewhere, bytes_of, opened

DATA = bytes(range(256)) * 300


def row(uri: str, size: int = len(DATA), offset: int = 0) -> dict[str, Any]:
    return {"uri": uri, "offset": offset, "size": size}


@pytest.mark.parametrize("name", ["plain.dcm", "a::b c%ä.dcm", "zip:.dcm"])
def test_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DATA)
    here = row(uri_of(str(tmp_path / name)))
    assert bytes_of(here) == DATA
    with opened(here) as found:
        assert found.fetch(10, 5) == DATA[10:15]
        assert found.fetch(len(DATA) - 2, 50) == DATA[-2:]
    with pytest.raises(UsageError, match="has changed"):
        bytes_of(row(here["uri"], len(DATA) - 1))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_members_are_those_that_the_source_found(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("one/x::y.dcm", DATA)
        archive.writestr("two.dcm", DATA[::-1])
    source = FolderSource((str(tmp_path),))
    (archive_found,) = source.find()
    uris = [found.uri for found in source.open(archive_found)]
    assert [bytes_of(row(uri)) for uri in uris] == [DATA, DATA[::-1]]
    with opened(row(uris[0])) as found:  # backwards too
        assert found.fetch(70_000, 4) == DATA[70_000:70_004]
        assert found.fetch(3, 4) == DATA[3:7]


def test_archives_that_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", DATA)
    uri = "zip://x::" + uri_of(str(file))
    with pytest.raises(UsageError, match="has changed"):
        bytes_of(row(uri, 5))
    with pytest.raises(UsageError, match="has changed"):
        bytes_of(row(uri.replace("zip://x", "zip://y")))
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(UsageError, match="damaged"):
        bytes_of(row(uri))
    with pytest.raises(UsageError, match="damaged"):
        bytes_of(row(uri.replace("zip://", "tar://")))
    file.unlink()
    with pytest.raises(UsageError, match="disk missing"):
        bytes_of(row(uri))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        bytes_of(row("https://pacs/studies/1"))
    with pytest.raises(UsageError, match="of a kind"):
        bytes_of(row("7z://x::" + uri_of(str(tmp_path))))


def test_errors_of_the_caller_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    with pytest.raises(ValueError, match="mine"), opened(row(uri_of(str(tmp_path / "a")))):
        raise ValueError("mine")


AWAY = {
    **row(archive_uri("orthanc", "1.2.3"), 17),
    "StudyInstanceUID": "1.2",
    "SeriesInstanceUID": "1.2.9",
    "SOPInstanceUID": "1.2.3",
}


class TestArchives:
    def test_kept_objects_come_first(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path / "_kept")
        kept.put("1.2.3", lambda at, length: DATA[at : at + length], len(DATA))
        assert bytes_of(AWAY, Elsewhere(kept)) == DATA
        assert bytes_of(row(AWAY["uri"]), Elsewhere(kept)) == DATA
        with opened(AWAY, Elsewhere(kept)) as found:
            assert (found.uri, found.size) == (AWAY["uri"], len(DATA))
            kept.drop("1.2.3")  # what is open can be read to its end
            assert found.fetch(5, 3) == DATA[5:8]

    def test_else_they_are_fetched(self, tmp_path: Path) -> None:
        asked: list[tuple[str, ...]] = []

        @contextlib.contextmanager
        def fetch(*what: str) -> Iterator[Object]:
            asked.append(what)
            yield Object("x", 0, len(DATA), lambda at, length: DATA[at : at + length])

        assert bytes_of(AWAY, Elsewhere(Kept(tmp_path / "_kept"), fetch)) == DATA
        assert bytes_of(AWAY, elsewhere=Elsewhere(fetch_from=fetch)) == DATA
        assert asked == [("orthanc", "1.2", "1.2.9", "1.2.3")] * 2

    def test_an_archive_that_is_away(self) -> None:
        def fetch(*what: str) -> Any:
            raise Refused("busy")

        with pytest.raises(Refused, match="busy"):
            bytes_of(AWAY, elsewhere=Elsewhere(fetch_from=fetch))

    def test_nothing_to_fetch_with(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path / "_kept")
        says = "archive orthanc.*dicomlake pull orthanc --series 1.2.9 --depth complete --keep"
        with pytest.raises(UsageError, match=says):
            bytes_of(AWAY, Elsewhere(kept))
        with pytest.raises(UsageError, match="dicomlake pull orthanc --depth complete"):
            bytes_of(row(AWAY["uri"]))

    def test_a_file_that_went_just_now(self, tmp_path: Path) -> None:
        class Evicting(Kept):
            def get(self, uid: str) -> Path | None:
                return self.folder / "gone"

        with pytest.raises(UsageError, match="pull orthanc"):
            bytes_of(AWAY, Elsewhere(Evicting(tmp_path)))


class TestFolders:
    def found(self, *paths: Path) -> list[str]:
        return sorted(Path(found.uri).name for found in FolderSource(tuple(map(str, paths))).find())

    def test_what_is_kept_is_no_source(self, tmp_path: Path) -> None:
        (tmp_path / "a.dcm").write_bytes(DATA)
        path = Kept(tmp_path / "cache").put("1.2", lambda at, length: b"x" * length, 5)
        assert self.found(tmp_path) == ["a.dcm"]
        for inside in (path, path.parent, tmp_path / "cache"):
            with pytest.raises(UsageError, match="keeps"):
                self.found(inside)

    def test_what_becomes_a_lake_is_no_source(self, tmp_path: Path) -> None:
        lake = tmp_path / "lake"
        for name in ("_inbox", "_queue", "_kept", "own"):
            (lake / name).mkdir(parents=True)
            (lake / name / f"{name}.dcm").write_bytes(DATA)
        assert len(self.found(tmp_path)) == 4
        (lake / "dicomlake.toml").touch()
        assert self.found(tmp_path) == ["own.dcm"]
        (lake / "dicomlake.json").touch()
        assert self.found(tmp_path) == []
