"""Enrichers for tests: one that says what it is told, and what every enricher has to do.

class TestMine(EnricherContract):
    @pytest.fixture
    def enricher(self, tmp_path): return Mine(tmp_path, {})

    @pytest.fixture
    def subjects(self): return [...]          # series that it has something to say of
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dicomlake import tables
from dicomlake.contracts.enrichers import DONE, FAILED, SKIPPED, Enriched, Enricher, Subject
from dicomlake.lake.database import connect

Statement = Mapping[str, Any]


class Told:
    """States what it is told: rows of `annotations` and of `findings` by SeriesInstanceUID."""

    name = "told"
    about = "Says what a test tells it."
    writes = ("structure", "finding")
    after: tuple[str, ...] = ()
    hardware = "cpu"

    def __init__(
        self,
        annotations: Mapping[str, Sequence[Statement]] | None = None,
        findings: Mapping[str, Sequence[Statement]] | None = None,
        *,
        name: str = "told",
        version: str = "1",
        model: str = "none",
        at_once: int = 100,
        reads: tuple[str, ...] = (),
    ) -> None:
        self.annotations, self.findings = annotations or {}, findings or {}
        self.name, self.version, self.model = name, version, model
        self.at_once, self.reads = at_once, reads
        self.seen: list[str] = []
        self.closed = False

    def where(self) -> str:
        """Every series."""
        return "true"

    def enrich(self, subjects: Sequence[Subject]) -> Iterable[Enriched]:
        """What was told of each series; skipped where nothing was."""
        for subject in subjects:
            uid = str(subject.series["SeriesInstanceUID"])
            self.seen.append(uid)
            said = Enriched(
                annotations=[dict(row) for row in self.annotations.get(uid, ())],
                findings=[dict(row) for row in self.findings.get(uid, ())],
            )
            if not (said.annotations or said.findings):
                said = Enriched(SKIPPED, "nothing was told of it")
            yield said

    def close(self) -> None:
        """Nothing to end."""
        self.closed = True


_FILLED = frozenset(["series_id", "enrichment_id", "enricher"])
_KINDS = frozenset(
    ["structure", "tissue", "body part", "laterality", "procedure", "series type", "code",
     "finding"]
)  # fmt: skip


class EnricherContract:
    """Subclass it and give fixtures `enricher`, and `subjects` that it has something to say of."""

    def test_it_says_who_it_is(self, enricher: Enricher) -> None:
        """Name, version and model are there; they make its rows known."""
        for text in (enricher.name, enricher.about, enricher.version, enricher.model):
            assert isinstance(text, str)
            assert text
        assert enricher.hardware in ("cpu", "gpu")
        assert enricher.at_once >= 1

    def test_its_condition_is_about_series(self, enricher: Enricher) -> None:
        """What it may concern is SQL over the columns of `series`."""
        with connect() as db:
            db.register("series", tables.SERIES.empty_table())
            assert db.sql(f"select * from series where {enricher.where()}").fetchall() == []

    def test_rows_fit_their_tables(self, enricher: Enricher, subjects: Sequence[Subject]) -> None:
        """One answer per series, with columns that there are, and something is said."""
        said = list(enricher.enrich(subjects))
        assert len(said) == len(subjects)
        assert {one.state for one in said} <= {DONE, SKIPPED, FAILED}
        assert all(one.reason for one in said if one.state != DONE)
        for name in tables.STATED:
            rows = [row for one in said for row in getattr(one, name)]
            known = set(tables.ALL[name].names) - _FILLED
            assert all(set(row) <= known for row in rows)
            pa.Table.from_pylist(rows, tables.ALL[name])
        stated = [row for one in said for row in one.annotations]
        found = [row for one in said for row in one.findings]
        assert stated or found
        assert {row["kind"] for row in stated} <= _KINDS & {*enricher.writes}
        assert all(row["rule"] and row["severity"] and row["text"] for row in found)
        assert all(_is_code(row.get(n)) for row in stated for n in ("structure", "code"))

    def test_it_says_the_same_again(self, enricher: Enricher, subjects: Sequence[Subject]) -> None:
        """A second look at the same series says the same."""
        first, second = (
            [(one.state, one.annotations, one.findings) for one in enricher.enrich(subjects)]
            for _ in range(2)
        )
        assert first == second


def _is_code(code: str | None) -> bool:
    """Whether it is none, or SCHEME:VALUE."""
    return code is None or all(code.partition(":")[::2])
