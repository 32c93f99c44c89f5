"""Objects are opened again where they lie; what is no longer there says what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from dicomlake.errors import UsageError
from dicomlake.sources.folder import FolderSource, uri_of
from dicomlake.sources.opening import bytes_of, opened

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
