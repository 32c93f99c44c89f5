"""Answers as files: pieces as they come, however many rows there are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dicomlake.jobs.export import exported
from dicomlake.query import Query


class Pages:
    """An engine that gives these pages."""

    def __init__(self, pages: Iterator[pa.Table]) -> None:
        self._pages = pages

    def pages(self, query: Query, size: int, ticket: object) -> Iterator[pa.Table]:
        return self._pages


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_parquet_holds_a_page_at_a_time() -> None:
    chance = np.random.default_rng(7)
    most = 0
    begin = pa.total_allocated_bytes()

    def made() -> Iterator[pa.Table]:
        nonlocal most
        for _ in range(120):
            yield table(**{f"c{n}": chance.integers(0, 1 << 60, 10_000) for n in range(8)})
            most = max(most, pa.total_allocated_bytes() - begin)

    size, told = 0, []
    pieces = exported(Pages(made()), Query(None), "parquet", None, told.append)
    found = io.BytesIO()
    for piece in pieces:
        size += len(piece)
        found.write(piece)
        most = max(most, pa.total_allocated_bytes() - begin)
    assert told[-1] == 1_200_000
    assert pq.read_metadata(found).num_rows == 1_200_000
    assert size > 60_000_000
    assert most < 15_000_000


def test_columns_of_other_types_in_other_pages_are_joined() -> None:
    nothing = pa.array([None], pa.null())
    pages = iter(
        [
            table(a=[1], b=[1], c=nothing, d=["x"]),
            table(a=[2.5], b=["text"], c=[7], d=["y"]),
            table(a=[3], b=[2], c=nothing, d=["z"]),
        ]
    )
    found = pq.read_table(io.BytesIO(b"".join(exported(Pages(pages), Query(None), "parquet"))))
    assert found.to_pydict() == {
        "a": [1.0, 2.5, 3.0],
        "b": ["1", "text", "2"],
        "c": [None, 7, None],
        "d": ["x", "y", "z"],
    }


def test_an_answer_without_rows_has_its_columns() -> None:
    empty = table(a=pa.array([], pa.string()))
    found = pq.read_table(
        io.BytesIO(b"".join(exported(Pages(iter([empty])), Query(None), "parquet")))
    )
    assert (found.num_rows, found.column_names) == (0, ["a"])


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_a_file_that_is_given_up_leaves_nothing(
    form: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def told(rows: int) -> None:
        if rows > 2:
            raise RuntimeError("cancelled")

    pages = iter([table(a=[n, n]) for n in range(5)])
    with pytest.raises(RuntimeError, match="cancelled"):
        list(exported(Pages(pages), Query(None), form, None, told))
    assert list(tmp_path.iterdir()) == []
