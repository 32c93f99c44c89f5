"""Five sites with lakes and servers of their own, one behind TLS, and a coordinator."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from dicomlake.errors import NotAllowed, UsageError
from dicomlake.jobs.access.roles import Role
from dicomlake.jobs.access.tokens import Tokens
from dicomlake.jobs.cohorts import approving
from dicomlake.jobs.federation.asking import ask, export, sites_of
from dicomlake.jobs.federation.studies import Study, load
from dicomlake.jobs.index import index
from dicomlake.settings import Federation, FederationSite, Pseudonyms, Settings, Tls
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.web import app
from tests.sources.pacs.test_dimse_tls import made as certificate

SITES = {"kiel": (12, 7, 2), "erlangen": (9, 3, 0), "rennes": (6, 11, 1), "heidelberg": (21, 8, 0),
         "barcelona": (5, 0, 0)}  # fmt: skip
"""Patients with a CT alone, with CT and ECG, and of the latter with a pacemaker."""
STUDY = {
    "name": "tavi",
    "purpose": "CT before valve replacement",
    "sections": {
        "CT": "Modality = 'CT'",
        "CT and ECG": "Modality = 'CT' and Modality = 'ECG'",
        "CT, ECG and pacemaker": "Modality = 'CT' and Modality = 'ECG' and StudyDescription = "
        "'pacemaker'",
    },
    "by": ["modality", "sex", "year", "age", "device"],
}


def _write(folder: Path, site: str, ct: int, both: int, paced: int) -> None:
    folder.mkdir(parents=True)
    for number in range(ct + both):
        who = f"{site}-{number}"
        kinds = ["CT", "ECG"] if number >= ct else ["CT"]
        if site == "rennes" and number == 0:
            kinds.append("MR")
        for kind in kinds:
            some = 3 if kind != "ECG" else 1
            for place in range(some):
                data = image(
                    PatientID=who, PatientName=f"Doe^{who}", PatientSex="FM"[number % 2],
                    PatientAge=f"0{30 + number}Y", StudyDate="20240105", Modality=kind,
                    StudyDescription="pacemaker" if number >= ct + both - paced else "heart",
                    StationName=f"S{number}", ManufacturerModelName="Force",
                    StudyInstanceUID=uid(site, number), SeriesInstanceUID=uid(site, number, kind),
                    SOPInstanceUID=uid(site, number, kind, place), InstanceNumber=place + 1,
                    ImagePositionPatient=[-50, -50, place * 2.5], Rows=8, Columns=8,
                    PixelSpacing=[1, 1], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                    BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=0,
                    SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2",
                    PixelData=bytes(range(128)),
                )  # fmt: skip
                (folder / f"{who}-{kind}-{place}.dcm").write_bytes(encode(data))


@dataclass(frozen=True)
class Place:
    """A site of the test."""

    lake: Path
    site: FederationSite
    server: uvicorn.Server


@contextlib.contextmanager
def _served(lake: Path, settings: Settings, tls: tuple[Path, Path] | None) -> Iterator[Any]:
    more = {"ssl_keyfile": str(tls[0]), "ssl_certfile": str(tls[1])} if tls else {}
    config = uvicorn.Config(
        app(lake, settings), port=0, log_level="error", access_log=False, ws="none", **more
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        thread.join(30)


def _settings(folder: Path, name: str) -> Settings:
    key = folder / "key"
    key.write_text("k" * 40)
    return Settings(
        federation=Federation(site=name, out=folder / "out", pseudonyms="study", overlapping=4),
        pseudonyms={"study": Pseudonyms(key_file=key)},
    )


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A lake per site."""
    above = tmp_path_factory.mktemp("sites")
    for name, numbers in SITES.items():
        _write(above / name / "files", name, *numbers)
        index([above / name / "files"], above / name / "lake", workers=1)
    return {name: above / name / "lake" for name in SITES}


@pytest.fixture
def places(lakes: dict[str, Path], tmp_path: Path) -> Iterator[dict[str, Place]]:
    """All sites served, each with a token for the coordinator."""
    tls = certificate(tmp_path, "kiel")
    with contextlib.ExitStack() as stack:
        found = {}
        for name, original in lakes.items():
            folder = tmp_path / name
            lake = Path(shutil.copytree(original, folder / "lake"))
            settings = _settings(folder, name)
            (lake / "dicomlake.toml").write_text(
                f'[pseudonyms.study]\nkey_file = "{folder / "key"}"\n'
            )
            (folder / "token").write_text(Tokens(lake).add("coordinator", Role.partner))
            url, server = stack.enter_context(
                _served(lake, settings, tls if name == "kiel" else None)
            )
            # FastAPI builds routes on its way to the one that is asked for, and not for five
            # services at once: one that there is not comes after all of them.
            token = (folder / "token").read_text()
            called = {"authorization": f"Bearer {token}"}
            told = httpx.get(f"{url}/api/me", verify=False, headers=called)
            assert told.json()["role"] == "partner"
            assert httpx.get(f"{url}/api/none", verify=False, headers=called).status_code == 404
            site = FederationSite(
                url=url,
                token_file=folder / "token",
                tls=Tls(ca=tls[1]) if name == "kiel" else None,
            )
            found[name] = Place(lake, site, server)
        yield found


def _sites(places: dict[str, Place]) -> dict[str, FederationSite]:
    return {name: place.site for name, place in places.items()}


def _range(text: str) -> tuple[int, float]:
    if under := re.fullmatch(r"under (\d+)", text):
        return 0, int(under[1]) - 1
    if least := re.fullmatch(r"at least (\d+)", text):
        return int(least[1]), float("inf")
    low, _, high = text.partition(" to ")
    return int(low), int(high or low)


def _truth(name: str, section: str) -> int:
    ct, both, paced = SITES[name]
    return {"CT": ct + both, "CT and ECG": both, "CT, ECG and pacemaker": paced}[section]


def test_five_sites_say_what_they_have(places: dict[str, Place]) -> None:
    table = ask(Study.of(STUDY), _sites(places))
    assert table.away == {}
    whole = [row for row in table.rows if not row.group]
    assert [row.section for row in whole] == list(STUDY["sections"])
    refused = 0
    for row in whole:
        for name, cell in zip(table.sites, row.cells, strict=True):
            if cell == "refused":
                refused += 1
                continue
            low, high = _range(cell)
            assert low <= _truth(name, row.section) <= high, (name, row)
            assert high - low == 4
        low, high = _range(row.total)
        assert low <= sum(_truth(name, row.section) for name in SITES) <= high
    # 'CT, ECG and pacemaker' is nobody or a few: it differs from 'CT and ECG' by few at erlangen
    assert dict(zip(table.sites, whole[1].cells, strict=True))["erlangen"] == "under 5"
    assert 0 < refused < 6
    sexes = {row.group: row.cells for row in table.rows if row.by == "sex" and row.section == "CT"}
    assert set(sexes) == {"F", "M"}
    assert {"csv", "html", "json"} == {
        kind for kind in ("csv", "html", "json") if "CT and ECG" in getattr(table, f"as_{kind}")()
    }
    said = json.loads(table.as_json())
    assert said["rows"][0]["sites"]["heidelberg"] == "25 to 29"


def test_nothing_that_leaves_a_site_points_at_anybody(places: dict[str, Place]) -> None:
    for name in ("heidelberg", "rennes"):
        place = places[name]
        token = Path(str(place.site.token_file)).read_text()
        answer = httpx.post(
            f"{place.site.url}/api/federation/answer",
            json={"study": STUDY},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 200
        assert not re.search(rf"{name}-\d|Doe|2\.25\.|S\d", answer.text)
        for path in ("/api/query/count", "/api/query"):
            refused = httpx.post(
                f"{place.site.url}{path}", json={}, headers={"authorization": f"Bearer {token}"}
            )
            assert refused.status_code == 403
    for condition in ("PatientID = 'kiel-1'", "StudyInstanceUID = '1.2'"):
        with pytest.raises(NotAllowed, match="points at persons"):
            Study.of({**STUDY, "sections": {"one": condition}})


def test_one_patient_cannot_be_found_by_difference(places: dict[str, Place]) -> None:
    here = {"heidelberg": places["heidelberg"].site}
    first = ask(Study.of({**STUDY, "sections": {"all": "Modality = 'CT'"}}), here)
    assert first.rows[0].cells == ("25 to 29",)
    for trick in (
        "Modality = 'CT' and StationName != 'S3'",
        "Modality = 'CT' and StationName not in ('S1', 'S2', 'S3')",
        "Modality = 'CT' or StationName = 'S3' and Modality = 'US'",
    ):
        table = ask(Study.of({**STUDY, "sections": {"all": trick}}), here)
        if table.rows[0].cells != ("refused",):  # the same patients as before
            assert table.rows[0].cells == ("25 to 29",)
            assert "US" in trick
    both = {"a": "Modality = 'CT'", "b": "Modality = 'CT' and StationName != 'S3'"}
    assert ask(Study.of({**STUDY, "sections": both}), here).rows[-1].cells == ("refused",)


def test_overlapping_questions_have_a_budget(places: dict[str, Place]) -> None:
    here = {"heidelberg": places["heidelberg"].site}
    cells = []
    for least in range(5, 29, 1):
        names = ", ".join(f"'S{n}'" for n in range(least))
        study = {**STUDY, "by": [], "sections": {"x": f"StationName in ({names})"}}
        cells.append(ask(Study.of(study), here).rows[0].cells[0])
    answered = [cell for cell in cells if cell != "refused"]
    assert 2 <= len(answered) <= 6
    assert answered[0] == "5 to 9"


def test_a_site_that_is_away_is_named(places: dict[str, Place]) -> None:
    places["rennes"].server.should_exit = True
    while True:
        try:
            httpx.get(places["rennes"].site.url, timeout=1)
        except httpx.HTTPError:
            break
        time.sleep(0.05)
    waits: list[float] = []
    table = ask(Study.of(STUDY), _sites(places), wait=waits.append)
    assert set(table.away) == {"rennes"}
    assert len(waits) == 2
    first = table.rows[0]
    assert dict(zip(table.sites, first.cells, strict=True))["rennes"] == "away"
    assert first.total == "at least 55"


def test_tls_and_tokens_are_checked(places: dict[str, Place], tmp_path: Path) -> None:
    site = places["kiel"].site
    other = certificate(tmp_path / "kiel", "other")[1]
    wrong = tmp_path / "wrong"
    wrong.write_text("dl_00000000_nothing")
    told = ask(
        Study.of(STUDY),
        {
            "untrusted": site.model_copy(update={"tls": Tls(ca=other)}),
            "stranger": site.model_copy(update={"token_file": wrong}),
        },
    )
    assert "certificate is not trusted" in told.away["untrusted"]
    assert "stranger" in told.away


def _exported(study: Study, sites: dict[str, FederationSite], state: str) -> list[str]:
    """Ask until every site is in a state; what schemas do not share."""
    until = time.monotonic() + 240
    while True:
        told, differ = export(study, sites)
        states = {
            name: one.answer["state"] if one.answer else one.why for name, one in told.items()
        }
        if set(states.values()) == {state}:
            return differ
        assert time.monotonic() < until, states
        assert not {"stopped", "incomplete"} & set(states.values()), states
        time.sleep(0.5)


def test_every_site_makes_the_same_dataset_at_home(places: dict[str, Place]) -> None:
    chosen = {name: places[name] for name in ("kiel", "erlangen", "rennes")}
    sites = _sites(chosen)
    wanted = {
        **STUDY,
        "sections": {"CT": "Modality = 'CT'", "both": "Modality = 'CT' and Modality = 'ECG'"},
        "level": "series",
        "export": {"section": "CT", "profile": "basic", "formats": ["dicom", "nifti"]},
    }
    study = Study.of({**wanted, "sections": {**wanted["sections"], "CT": CT_OF_ONE}})
    assert _exported(study, sites, "waiting") == []
    for place in chosen.values():
        assert not (place.lake.parent / "out").exists()
        (request,) = approving.requests(place.lake, "tavi")
        assert request.profile == "basic"
        approving.judge(place.lake, "tavi@1", "approve", by="steward", comment="yes")
    assert _exported(study, sites, "finished") == []
    for name, place in chosen.items():
        (made,) = (place.lake.parent / "out").iterdir()
        schema = json.loads((made / "schema.json").read_text())
        assert schema["modalities"] == ["CT"]
        assert name.encode() not in b"".join(p.read_bytes() for p in made.rglob("*.dcm"))

    other = Study.of({**wanted, "name": "odd", "sections": {"CT": OF_FIRST}})
    assert _exported(other, sites, "waiting") == []
    for place in chosen.values():
        approving.judge(place.lake, "odd@1", "approve", by="steward", comment="yes")
    differ = _exported(other, sites, "finished")
    assert any("modalities" in line and line.startswith("rennes") for line in differ), differ


CT_OF_ONE = "Modality = 'CT' and StationName = 'S0'"
OF_FIRST = "Modality in ('CT', 'MR') and StationName = 'S0'"


class TestFiles:
    def test_studies_are_checked(self, tmp_path: Path) -> None:
        for said, why in (
            ({"name": "X Y"}, "needs a name"),
            ({"sections": {}}, "1 to 50 sections"),
            ({"sections": {"a": "Modalty = 'CT'"}}, "Did you mean Modality"),
            ({"by": ["PatientID"]}, "not counted by"),
            ({"level": "instance"}, "one of patient"),
            ({"export": {"section": "nope", "profile": "basic"}}, "one of the sections"),
            ({"export": {"section": "CT", "profile": "identified"}}, "names the profile"),
            ({"what": 1}, "has no 'what'"),
        ):
            with pytest.raises(UsageError, match=why):
                Study.of({**STUDY, **said})
        path = tmp_path / "study.json"
        path.write_text(json.dumps(STUDY))
        assert load(path).digest == Study.of(STUDY).digest
        path.write_text("{")
        with pytest.raises(UsageError, match="is no TOML, YAML or JSON"):
            load(path)

    def test_sites_are_checked(self, tmp_path: Path) -> None:
        path = tmp_path / "sites.toml"
        path.write_text('[site.a]\nurl = "http://far.example"\n')
        with pytest.raises(UsageError, match="https"):
            sites_of(path)
        path.write_text("")
        with pytest.raises(UsageError, match="names no site"):
            sites_of(path)
        path.write_text('[site.a]\nurl = "https://far.example"\ntoken_env = "T"\n')
        assert sites_of(path)["a"].url == "https://far.example"
