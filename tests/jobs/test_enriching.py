"""Enriching: statements become rows, later ones supersede, nothing is lost when it is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dicomlake
from dicomlake import tables
from dicomlake.contracts import Silent, coded
from dicomlake.contracts.enrichers import INSTANCES, Enriched, Subject, each
from dicomlake.errors import DataError, LakeError, ServiceError, UsageError
from dicomlake.jobs.compact import compact
from dicomlake.jobs.doctor import examine
from dicomlake.jobs.enriching import (
    BLOCK_INSTANCES,
    Standing,
    blocks_of,
    enrich,
    enricher_of,
    provenance,
    standings,
    subjects,
    waiting,
)
from dicomlake.jobs.index import index
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.part import PartStore, write_series
from dicomlake.terms import Code
from dicomlake.testing.dicom import encode, image, uid
from dicomlake.testing.enrichers import Told
from tests.enricher_package import install

KIDNEY = Code("64033007", "SCT", "Kidney")


def structure(volume: float, **more: Any) -> dict[str, Any]:
    return {"kind": "structure", "label": "kidney_left", **coded("structure", KIDNEY),
            "laterality": "SCT:7771000", "name": "Left kidney", "also": ["SCT:18639004"],
            "volume": volume, **more}  # fmt: skip


def object_(series: str, at: int = 1, **more: Any) -> bytes:
    said = image(
        SOPInstanceUID=uid(series, at), SeriesInstanceUID=uid(series),
        StudyInstanceUID=uid("study", series), InstanceNumber=at, PatientID=f"P{series}",
        **{"StudyDate": "20240101", **more},
    )  # fmt: skip
    return encode(said)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of four CT series of four patients, a to d, each a day later."""
    folder = tmp_path / "objects"
    folder.mkdir()
    for day, series in enumerate("abcd", 1):
        (folder / f"{series}.dcm").write_bytes(object_(series, StudyDate=f"2024010{day}"))
    index([folder], tmp_path / "lake", workers=1)
    return tmp_path / "lake"


def told(*series: str, version: str = "1", volume: float = 100.0, **more: Any) -> Told:
    rows = {uid(one): [structure(volume)] for one in series}
    return Told(rows, {uid(series[0]): [FINDING]} if series else {}, version=version, **more)


FINDING = {"rule": "made up", "severity": "note", "text": "It is made up."}


def volumes(lake: Path, version: int | None = None) -> list[float]:
    found = Store(lake, version).read("annotations").column("volume").to_pylist()
    return sorted(found)


def count(lake: Path, question: str) -> int:
    return dicomlake.open(lake).query(question).total


class TestRows:
    def test_statements_are_rows_that_can_be_asked(self, lake: Path) -> None:
        report = enrich(lake, told("a", "b"))
        assert (report.done, report.skipped, report.failed) == (2, 2, 0)
        assert (report.annotations, report.findings) == (2, 1)
        assert count(lake, "annotation.structure within SCT:64033007") == 2
        assert count(lake, "finding.rule = 'made up'") == 1
        rows = Store(lake).read("enrichments").to_pylist()
        assert {(r["enricher"], r["version"], r["model"], r["run_id"]) for r in rows} == {
            ("told", "1", "none", report.run_id)
        }
        assert sorted(r["state"] for r in rows) == ["done", "done", "skipped", "skipped"]
        assert all(r["reason"] for r in rows if r["state"] == "skipped")
        assert all(finding.level != "error" for finding in examine(lake))

    def test_a_second_run_looks_at_what_is_new_alone(self, lake: Path) -> None:
        enrich(lake, told("a"))
        again = told("a")
        assert enrich(lake, again).done == 0
        assert again.seen == []
        (lake.parent / "objects" / "e.dcm").write_bytes(object_("e"))
        index([lake.parent / "objects"], lake, workers=1)
        assert enrich(lake, again).skipped == 1
        assert again.seen == [uid("e")]

    def test_the_newest_studies_come_first_and_limits_hold(self, lake: Path) -> None:
        enricher = told("a")
        enrich(lake, enricher, limit=2)
        assert enricher.seen == [uid("d"), uid("c")]
        enricher.seen.clear()
        enrich(lake, enricher, where="StudyDate = 2024-01-01")
        assert enricher.seen == [uid("a")]

    def test_a_grown_series_waits_again(self, lake: Path) -> None:
        enrich(lake, told("a"))
        (lake.parent / "objects" / "a2.dcm").write_bytes(object_("a", 2, StudyDate="20240101"))
        index([lake.parent / "objects"], lake, workers=1)
        assert count(lake, "annotation exists") == 0
        enricher = told("a")
        assert enrich(lake, enricher).done == 1
        assert enricher.seen == [uid("a")]
        assert count(lake, "annotation exists") == 1

    def test_options_and_seconds_are_noted(self, lake: Path) -> None:
        enrich(lake, told("a"), options={"keep": "seg"}, limit=1)
        (row,) = Store(lake).read("enrichments").to_pylist()
        assert row["options"] == '{"keep": "seg"}'
        assert row["seconds"] >= 0
        assert row["worker"].endswith(" cpu")


class TestSuperseding:
    def test_a_newer_version_supersedes_and_nothing_is_overwritten(self, lake: Path) -> None:
        enrich(lake, told("a", "b"))
        before = Store(lake).version
        enrich(lake, told("a", version="2", volume=200))
        assert volumes(lake) == [200]
        assert volumes(lake, before) == [100, 100]
        rows = provenance(Store(lake), uid("a"))
        assert [(r["version"], r["counts"]) for r in rows] == [("2", True), ("1", False)]
        with Store(lake).database(current=False) as db:
            assert db.execute("select count(*) from annotations").fetchall() == [(3,)]

    def test_another_model_counts_as_a_version(self, lake: Path) -> None:
        enrich(lake, told("a"))
        assert enrich(lake, told("a", model="other", volume=300)).done == 1
        assert volumes(lake) == [300]

    def test_another_enricher_supersedes_nothing(self, lake: Path) -> None:
        enrich(lake, told("a"))
        enrich(lake, told("a", name="other", volume=300))
        assert volumes(lake) == [100, 300]

    def test_again_looks_at_everything(self, lake: Path) -> None:
        enrich(lake, told("a"))
        assert enrich(lake, told("a", volume=150), again=True).done == 1
        assert volumes(lake) == [150]

    def test_what_failed_supersedes_nothing_and_is_tried_again(self, lake: Path) -> None:
        enrich(lake, told("a"))
        report = enrich(lake, Failing(version="2"), where="StudyDate = 2024-01-01")
        assert report.failed == 1
        assert report.reasons == {"the image is odd": 1}
        assert volumes(lake) == [100]
        assert enrich(lake, Failing(version="2"), where="StudyDate = 2024-01-01").failed == 1
        rows = provenance(Store(lake), uid("a"))
        assert [(r["state"], r["counts"]) for r in rows] == [
            ("failed", False), ("failed", False), ("done", True)]  # fmt: skip

    def test_compaction_keeps_answers(self, lake: Path) -> None:
        enrich(lake, told("a", "b"))
        enrich(lake, told("a", version="2", volume=200))
        compact(lake, full=True, vacuum_hours=0)
        assert volumes(lake) == [200]
        assert [r["counts"] for r in provenance(Store(lake), uid("a"))] == [True, False]

    def test_unknown_series_has_no_provenance(self, lake: Path) -> None:
        with pytest.raises(UsageError, match="No series of the lake"):
            provenance(Store(lake), "1.2.3")

    def test_a_part_of_a_lake_hides_what_is_superseded(self, lake: Path, tmp_path: Path) -> None:
        enrich(lake, told("a", "b"))
        enrich(lake, told("a", "b", version="2", volume=200))
        store = Store(lake)
        with store.database() as db:
            ids = db.sql(
                f"select series_id from series where SeriesInstanceUID = '{uid('a')}'"
            ).to_arrow_table()
        write_series(store, ids.column(0), tmp_path / "part.parquet")
        part = PartStore(lake, store.version, tmp_path / "part.parquet")
        assert part.read("annotations").column("volume").to_pylist() == [200]
        assert part.read("enrichments").num_rows == 2


class Failing(Told):
    """Fails at every series: what is wrong is one of ours."""

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        def say(subject: Subject) -> Enriched:
            raise DataError("the image is odd")

        return each(subjects, say)


class Breaking(Told):
    """Raises what nobody thought of at one series."""

    error: Exception = ZeroDivisionError("secret name")

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        for subject in subjects:
            if subject.series["SeriesInstanceUID"] == uid("c"):
                raise self.error
            yield from super().enrich([subject])


class TestTrouble:
    @pytest.mark.parametrize("at_once", [1, 2, 100])
    def test_an_unexpected_error_costs_one_series(self, lake: Path, at_once: int) -> None:
        found = {uid(one): [structure(1)] for one in "abcd"}
        report = enrich(lake, Breaking(found, at_once=at_once))
        assert (report.done, report.failed) == (3, 1)
        assert report.reasons == {"it could not be looked at (ZeroDivisionError)": 1}

    def test_a_service_that_is_away_stops_the_run_and_keeps_what_was_stated(
        self, lake: Path
    ) -> None:
        enricher = Breaking({uid(one): [structure(1)] for one in "abcd"}, at_once=1)
        enricher.error = ServiceError("The archive is away.")
        with pytest.raises(ServiceError):
            enrich(lake, enricher)
        assert volumes(lake) == [1]  # d came first
        states = {run["kind"]: run["state"] for run in Store(lake).read("runs").to_pylist()}
        assert states["enrich"] == "failed"

    def test_stopped_runs_go_on(self, lake: Path) -> None:
        progress = Stopping(2)
        enricher = Told({uid(one): [structure(1)] for one in "abcd"}, at_once=1)
        with pytest.raises(KeyboardInterrupt):
            enrich(lake, enricher, progress=progress)
        assert len(volumes(lake)) == 2
        assert enrich(lake, enricher).done == 2
        assert len(volumes(lake)) == 4

    def test_rows_without_their_enrichment_are_hidden(self, lake: Path) -> None:
        enrich(lake, told("a"))
        store = Store(lake)
        rows = store.read("annotations")
        place = rows.schema.get_field_index("enrichment_id")
        stray = rows.set_column(place, rows.schema.field(place), pa.array([99], pa.int64()))
        with store.lock():
            store.append("annotations", stray)
        assert volumes(lake) == [100]
        enrich(lake, told("b", name="other", volume=5))
        assert volumes(lake) == [5, 100]
        assert 99 not in Store(lake).read("enrichments").column("enrichment_id").to_pylist()

    def test_two_writers(self, lake: Path) -> None:
        with Store(lake).lock(), pytest.raises(LakeError, match="Another process"):
            enrich(lake, told("a"))

    def test_unknown_enricher(self, lake: Path) -> None:
        with pytest.raises(UsageError, match="no plugin 'nonsense'"):
            enricher_of(lake, "nonsense")

    def test_it_is_closed(self, lake: Path) -> None:
        enricher = told("a")
        enrich(lake, enricher)
        assert enricher.closed


class Stopping(Silent):
    """Asks to stop after so many."""

    def __init__(self, after: int) -> None:
        self.after = after

    def advance(self, count: int = 1) -> None:
        self.after -= count
        self.cancelled = self.after <= 0


class TestSubjects:
    def test_they_have_what_is_read(self, lake: Path) -> None:
        enrich(lake, told("a"))
        reader = Told(reads=("Modality", INSTANCES))
        reader.after = ("told",)
        store = Store(lake)
        ids = waiting(store, reader, again=True).column("series_id").to_pylist()
        found = subjects(store, reader, [*ids, 999])
        assert [one.number for one in found] == ids
        first = next(s for s in found if s.series["SeriesInstanceUID"] == uid("a"))
        assert [row["text"] for row in first.elements["Modality"]] == ["CT"]
        assert set(first.elements) == {"Modality"}
        assert [row["volume"] for row in first.annotations] == [100]
        (instance,) = first.instances
        assert "header" not in instance
        assert first.open is not None
        with first.open(instance) as opened:
            assert opened.header["00080018"]["Value"] == [uid("a", 1)]

    @pytest.mark.parametrize("at_once", [1, 2])
    def test_rows_of_instances_are_read_in_blocks_of_whole_portions(self, at_once: int) -> None:
        reader = Told(reads=(INSTANCES,), at_once=at_once)
        sizes = [BLOCK_INSTANCES - 1, 1, 1, 5 * BLOCK_INSTANCES, 1, 1]
        found = pa.table({"series_id": range(len(sizes)), "instances": sizes})
        blocks = list(blocks_of(found, reader))
        assert [number for block in blocks for number in block] == list(range(len(sizes)))
        assert blocks == {1: [[0, 1], [2], [3], [4, 5]], 2: [[0, 1], [2, 3], [4, 5]]}[at_once]
        assert list(blocks_of(found, Told(at_once=at_once))) == [list(range(len(sizes)))]

    def test_how_far_an_installed_one_is(
        self, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(install(tmp_path / "package")))

        def standing(name: str = "lengths") -> Standing:
            (found,) = [one for one in standings(Store(lake)) if one.name == name]
            return found

        assert (standing().done, standing().waiting, standing().problem) == (0, 4, "")
        enrich(lake, "lengths", limit=3)
        assert (standing().done, standing().waiting, standing().annotations) == (3, 1, 3)
        old = Told({uid("a"): [structure(1)]}, name="lengths", version="0", model="older")
        enrich(lake, old, where="StudyDate = 2024-01-01")
        assert (standing().done, standing().waiting) == (3, 1)
        enrich(lake, old, where="StudyDate = 2024-01-02", again=True)  # gave way to an older one
        assert (standing().done, standing().skipped, standing().waiting) == (2, 0, 2)
        assert standing("broken").problem.startswith("It cannot be loaded")
        assert standing("homesick").about == "Never works."

    def test_how_far_enrichers_are(self, lake: Path) -> None:
        enrich(lake, told("a", "b"))
        (mine,) = [one for one in standings(Store(lake)) if one.name == "told"]
        assert (mine.done, mine.skipped, mine.failed, mine.annotations) == (2, 2, 0, 2)
        assert mine.waiting is None
        assert mine.problem == "It is not installed here."


class TestVocabulary:
    def test_counts_follow_statements(self, lake: Path) -> None:
        enrich(lake, told("a", "b"))
        term = dicomlake.open(lake).vocabulary["annotation.structure"]
        assert (term.series, term.patients) == (2, 2)
        assert [(v.value, v.label) for v in term.values] == [
            ("SCT:64033007", "Kidney (SCT:64033007)")
        ]

    def test_bringing_up_to_date_is_counting_anew(self, lake: Path) -> None:
        enrich(lake, told("a", "b", "c"))
        steps = [
            lambda: enrich(lake, told("b", version="2", volume=7)),
            lambda: enrich(lake, told("a", name="other")),
            lambda: enrich(lake, told("d", version="3", volume=9), where="StudyDate = 2024-01-04"),
        ]
        for step in steps:
            step()
            store = Store(lake)
            brought = _counts(store)
            with store.lock():
                rebuild(store, full=True)
            assert _counts(Store(lake)) == brought
        assert "annotation.volume" in brought


def _counts(store: Store) -> dict[str, Any]:
    rows = store.read("vocabulary").to_pylist()
    return {row["path"]: {k: v for k, v in row.items() if k != "path"} for row in rows}


def test_statements_have_no_instance() -> None:
    """What is said of a series is said of all its instances."""
    for name in tables.STATED:
        assert "SOPInstanceUID" not in tables.ALL[name].names
