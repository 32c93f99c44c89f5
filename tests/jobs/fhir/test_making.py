"""Making resources: of all studies as of some, in files whole or not at all, in bounded memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dicomlake.contracts import Silent
from dicomlake.errors import UsageError
from dicomlake.fhir import Site
from dicomlake.jobs.fhir import rows
from dicomlake.jobs.fhir.making import Made, Maker
from dicomlake.jobs.fhir.sites import secret_of, site_of
from dicomlake.jobs.fhir.targets import part_of
from dicomlake.jobs.fhir.writing import write_ndjson
from dicomlake.lake import Store
from dicomlake.settings import Settings, read
from tests.fhir.lakes import SERIES, STUDY, lake_of, site, structures


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven studies of four patients on three devices, structures in one of them."""
    said: list[dict[str, Any]] = [{"DeviceSerialNumber": "1", "PatientID": "P0"}]
    for number in range(1, 7):
        said.append({
            "StudyInstanceUID": f"{STUDY}.{number}", "SeriesInstanceUID": f"{SERIES}.{number}",
            "PatientID": f"P{number % 4}", "DeviceSerialNumber": str(number % 3),
            "PatientWeight": 60 + number, "StudyDate": f"2021030{number}",
            "SoftwareVersions": f"v{number}",
        })  # fmt: skip
    return structures(lake_of(tmp_path_factory.mktemp("making"), *said))


def by_id(found: list[Made]) -> dict[str, Made]:
    return {one.id: one for one in found}


def test_some_studies_are_made_as_all_of_them(store: Store) -> None:
    for release in ("R4", "R5"):
        maker = Maker(store, site(), release)  # type: ignore[arg-type]
        whole = by_id(list(maker.all()))
        keys = sorted({one.study_key for one in whole.values() if one.study_key is not None})
        assert len(keys) == 7
        for some in (keys[:1], keys[2:5], keys, []):
            found = by_id(list(maker.of_studies(some)))
            hanging = {i for i, one in whole.items() if one.study_key in some}
            assert hanging <= set(found)
            assert all(one == whole[i] for i, one in found.items())
            assert {one.study_key for one in found.values()} - {None} == set(some)


def test_blocks_do_not_change_what_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [one.line for one in Maker(store, site(), "R4").all()]
    monkeypatch.setattr(rows, "BLOCK", 2)
    monkeypatch.setattr(rows, "_BATCH", 3)
    assert [one.line for one in Maker(store, site(), "R4").all()] == whole


def test_types_are_chosen_and_unknown_ones_refused(store: Store) -> None:
    maker = Maker(store, site(), "R4")
    whole = list(maker.all())
    for type_ in sorted({one.type for one in whole}):
        found = [one.line for one in maker.all(types=[type_])]
        assert found == [one.line for one in whole if one.type == type_]
    with pytest.raises(UsageError, match="no resource type 'Robot'"):
        maker.all(types=["Robot"])


def test_shared_resources_are_those_of_the_newest_series(store: Store) -> None:
    found = list(Maker(store, site(), "R4").all(types=["Device"]))
    versions = {one.resource["serialNumber"]: one.resource["version"][0]["value"]
                for one in found if "serialNumber" in one.resource}  # fmt: skip
    assert versions == {"0": "v6", "1": "v4", "2": "v5"}
    assert all(one.study_key is None for one in found)


def test_several_threads_may_make(store: Store) -> None:
    maker = Maker(store, site(), "R4")
    whole = [one.line for one in maker.all()]
    said: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: said.append([one.line for one in maker.all()]))
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert said == [whole] * 4


def test_profiles_belong_to_releases(store: Store) -> None:
    with pytest.raises(UsageError, match="impetus is of R5"):
        Maker(store, site(profile="impetus"), "R4")
    with pytest.raises(UsageError, match="mii is of R4"):
        Maker(store, site(profile="mii"), "R5")


def test_files_hold_what_is_made_in_parts(store: Store, tmp_path: Path) -> None:
    whole = sorted(one.line for one in Maker(store, site(), "R4").all())
    written = write_ndjson(store, tmp_path / "out", site(), "R4", part=1500)
    assert len([p for p in written.files if p.name.startswith("Observation")]) > 1
    lines = [line for path in written.files for line in path.read_bytes().splitlines()]
    assert sorted(lines) == whole
    assert written.counts.total() == len(whole)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in written.files
    )
    with pytest.raises(UsageError, match="is there already"):
        write_ndjson(store, tmp_path / "out", site(), "R4")


def test_a_cancelled_export_leaves_nothing(store: Store, tmp_path: Path) -> None:
    class Stopped(Silent):
        cancelled = True

    written = write_ndjson(store, tmp_path / "out", site(), "R4", progress=Stopped())
    assert str(written) == "Stopped. Nothing was written."
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_leaves_nothing(store: Store, tmp_path: Path) -> None:
    class Broken(Silent):
        def advance(self, count: int = 1) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match="No space left"):
        write_ndjson(store, tmp_path / "out", site(), "R4", progress=Broken())
    assert list(tmp_path.iterdir()) == []


def test_a_question_takes_whole_studies(store: Store, tmp_path: Path) -> None:
    part = part_of(store, "PatientWeight > 63", "study", tmp_path)
    found = [one for one in Maker(part, site(), "R4").all() if one.type == "ImagingStudy"]
    assert len(found) == 3


def test_a_lake_keeps_a_secret_of_its_own(tmp_path: Path) -> None:
    secret = secret_of(tmp_path)
    assert len(secret) == 32
    assert secret_of(tmp_path) == secret
    path = tmp_path / "_publish" / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    with pytest.raises(UsageError, match="is damaged"):
        secret_of(tmp_path)


def test_the_site_is_that_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dicomlake.toml").write_text(
        '[fhir.site]\nzone = "Europe/Berlin"\nbase_url = "https://pacs.example/dw/"\nnames = true\n'
        'secret_env = "FHIR_SECRET"\n[fhir.site.patients]\nKH = "https://kh.example/pid"\n'
    )
    monkeypatch.setenv("FHIR_SECRET", "a long enough secret")
    assert site_of(tmp_path, read(tmp_path), "mii") == Site(
        b"a long enough secret", "Europe/Berlin", "https://pacs.example/dw",
        {"KH": "https://kh.example/pid"}, names=True, profile="mii",
    )  # fmt: skip
    assert not (tmp_path / "_publish").exists()
    monkeypatch.setenv("FHIR_SECRET", "short")
    with pytest.raises(UsageError, match="16 bytes at least"):
        site_of(tmp_path, read(tmp_path))


@pytest.mark.parametrize(
    ("site_", "said"),
    [({"zone": "Mars/Olympus"}, "no time zone"), ({"base_url": "pacs"}, "must begin with http")],
)
def test_settings_that_are_wrong_say_so(site_: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.model_validate({"fhir": {"site": site_}})
