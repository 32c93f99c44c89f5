"""Objects of a lake opened again, wherever they lie: files, what is kept, archives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dicomlake
from dicomlake import settings
from dicomlake.contracts import Found, Object
from dicomlake.contracts.archives import uri_of
from dicomlake.errors import LakeError, Refused, UsageError
from dicomlake.jobs.archives import kept_of
from dicomlake.jobs.index import index
from dicomlake.jobs.objects import object_of, row_of
from dicomlake.jobs.volumes import AWAY, volumes
from dicomlake.lake import Store
from dicomlake.lake import store as lake_store
from dicomlake.lake.keeping import INDEX, Kept
from dicomlake.settings import Settings
from dicomlake.sources import folder
from dicomlake.sources.opening import Elsewhere
from dicomlake.testing.dicom import encode, uid
from tests.readers.test_volumes import VOXEL, box, made
from tests.readers.test_waveforms import channel, ecg

SAID = {
    "SOPInstanceUID": uid("away"),
    "SeriesInstanceUID": uid("series"),
    "StudyInstanceUID": uid("study"),
    "PatientID": "P",
}


class Away:
    """A source whose objects lie in an archive."""

    name = "orthanc"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def find(self) -> Iterator[Found]:
        yield Found(uri_of(self.name, SAID["SOPInstanceUID"]), len(self.data), 1)

    def open(self, found: Found) -> Iterator[Object]:
        yield Object(found.uri, 0, len(self.data), lambda at, n: self.data[at : at + n])

    @contextlib.contextmanager
    def fetch(self, source: str, study: str, series: str, instance: str) -> Iterator[Object]:
        assert source == self.name
        assert [study, series] == [SAID["StudyInstanceUID"], SAID["SeriesInstanceUID"]]
        yield from self.open(Found(uri_of(source, instance), 0, 0))


def keep(kept: Kept, data: bytes) -> None:
    kept.put(SAID["SOPInstanceUID"], lambda at, n: data[at : at + n], len(data))


@pytest.fixture
def away(tmp_path: Path) -> Away:
    source = Away(encode(made({1: box((3, 4, 5)), 2: box((1, 2, 2))}) | SAID))
    index(source, tmp_path / "lake", workers=1)
    return source


def test_where_an_object_lies(tmp_path: Path, away: Away) -> None:
    found = row_of(Store(tmp_path / "lake"), SAID["SOPInstanceUID"])
    assert found == {
        **{name: value for name, value in SAID.items() if name != "PatientID"},
        "uri": f"pacs://orthanc/{SAID['SOPInstanceUID']}",
        "offset": 0,
        "size": len(away.data),
    }
    with pytest.raises(UsageError, match="No instance"):
        row_of(Store(tmp_path / "lake"), "1.2")


def test_objects_of_archives(tmp_path: Path, away: Away) -> None:
    found = row_of(Store(tmp_path / "lake"), SAID["SOPInstanceUID"])
    with object_of(found, elsewhere=Elsewhere(fetch_from=away.fetch)) as one:
        assert one.size == len(away.data)
    with pytest.raises(UsageError, match="lies in the archive orthanc"), object_of(found):
        pass
    kept = kept_of(tmp_path / "lake", Settings())
    keep(kept, encode(made({1: box((3, 4, 5))}) | SAID | {"SOPInstanceUID": "1.2"}))
    with pytest.raises(UsageError, match="another object"), object_of(found, Elsewhere(kept)):
        pass


def test_volumes_of_what_is_kept(tmp_path: Path, away: Away) -> None:
    def problems() -> set[Any]:
        return set(Store(tmp_path / "lake").read("segments").column("volume_problem").to_pylist())

    def busy(*_: str) -> Any:
        raise Refused("busy")

    assert volumes(tmp_path / "lake").unmeasured == 2
    assert volumes(tmp_path / "lake", elsewhere=Elsewhere(fetch_from=busy)).unmeasured == 2
    assert problems() == {AWAY}
    keep(kept_of(tmp_path / "lake", Settings()), away.data)
    assert volumes(tmp_path / "lake").measured == 2
    assert problems() == {None}
    rows = Store(tmp_path / "lake").read("segments").column("volume").to_pylist()
    assert sorted(rows) == [pytest.approx(4 * VOXEL), pytest.approx(60 * VOXEL)]
    kept_of(tmp_path / "lake", Settings()).drop(SAID["SOPInstanceUID"])
    assert (
        volumes(tmp_path / "lake", again=True, elsewhere=Elsewhere(fetch_from=away.fetch)).measured
        == 2
    )


def test_samples_of_what_is_kept(tmp_path: Path) -> None:
    source = Away(encode(ecg(channel(), channel()) | SAID))
    index(source, tmp_path / "lake", workers=1)
    lake = dicomlake.open(tmp_path / "lake")
    with pytest.raises(UsageError, match="no source 'orthanc'"):
        lake.waveform(SAID["SOPInstanceUID"])
    (tmp_path / "lake" / settings.FILE).write_text(f'[cache]\npath = "{tmp_path}/cache"\n')
    keep(Kept(tmp_path / "cache"), source.data)
    assert len(lake.waveforms(SAID["SOPInstanceUID"])) == 1
    assert lake.waveform(SAID["SOPInstanceUID"]).samples.shape[1] == 2


def test_where_objects_are_kept(tmp_path: Path) -> None:
    assert kept_of(tmp_path / "lake", Settings()) == Kept(tmp_path / "lake" / "_kept", 20 * 1000**3)
    cache = settings.CacheSettings(path=tmp_path / "c", size="3 MB")
    assert kept_of("lake", settings.Settings(cache=cache)) == Kept(tmp_path / "c", 3 * 1000**2)


def test_a_lake_is_made_around_what_is_there(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    settings.add_source(lake, "old", {"kind": "folder", "path": str(tmp_path)})
    for name in ("_queue", "_inbox"):
        (lake / name).mkdir()
    keep(kept_of(lake, Settings()), b"x")
    Store.create(lake)
    assert kept_of(lake, Settings()).holds(SAID["SOPInstanceUID"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(LakeError, match="no lake"):
        Store.create(tmp_path / "other")


def test_names_of_ours_agree() -> None:
    assert settings.FILE == lake_store.SETTINGS == folder._SETTINGS
    assert lake_store.MARK == folder._LAKE
    assert folder._KEPT == INDEX
    ours = {lake_store.KEPT, lake_store.QUEUE, lake_store.INBOX, lake_store.SETTINGS}
    assert ours == folder._OURS
