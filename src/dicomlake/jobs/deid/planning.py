"""Plans for a lake, a cohort or a folder: from what occurs there, before anything is written."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from dicomlake import plugins
from dicomlake.contracts import Progress, Silent
from dicomlake.contracts.pseudonyms import Original
from dicomlake.deid.identity import Keyed, KeyedIdentity
from dicomlake.deid.plan import Example, Planned, Seen, planned
from dicomlake.deid.profiles import Profile, profile_of
from dicomlake.deid.sweeping import Sweeper
from dicomlake.deid.text import words_of
from dicomlake.dicom import dictionary
from dicomlake.dicom.walk import sniff
from dicomlake.errors import DataError, UsageError
from dicomlake.lake import Store
from dicomlake.pseudonyms.local import keyed
from dicomlake.query import Node, Query
from dicomlake.readers.header import HeaderReader

_OCCUR = """
with wanted as (
    select s.series_id, any_value(i."SOPClassUID") as kind, count(*) as instances
    from series s join wanted_uids w on s."SeriesInstanceUID" = w."SeriesInstanceUID"
    join instances i on i.series_id = s.series_id
    group by s.series_id
), found as (
    select w.kind, e.path, e.vr, any_value(e.text) filter (trim(e.text) <> '') as said,
        sum(case when coalesce(e.position, 1) = 1 then e.instances else 0 end) as seen,
        any_value(w.instances) as instances
    from elements e join wanted w using (series_id)
    group by w.series_id, w.kind, e.path, e.vr
)
select kind, path, vr, sum(least(seen, instances))::bigint, any_value(said)
from found group by kind, path, vr
"""


def plan_of_lake(
    store: Store,
    profile: str | Path | Profile,
    where: Node | None = None,
    *,
    series: Sequence[str] | None = None,
    examples: bool = False,
    engine: Any = None,
) -> list[Planned]:
    """What a profile does with each attribute of series that a condition finds, or that are named.

    `examples`: with a value of each attribute before and after, for those who may see values.
    """
    if series is None:
        engine = engine or plugins.load("engines", "duckdb")(store)
        rows = engine.answer(Query(where, "series", ("SeriesInstanceUID",))).rows
        series = rows.column("SeriesInstanceUID").to_pylist()
    chosen = profile if isinstance(profile, Profile) else profile_of(profile)
    with store.database(only=["series", "instances", "elements"]) as db:
        db.register("wanted_uids", pa.table({"SeriesInstanceUID": pa.array(series, pa.string())}))
        found = db.execute(_OCCUR).fetchall()
    seen = (
        Seen(kind or "", path, vr or "UN", n or 0, text or "") for kind, path, vr, n, text in found
    )
    return planned(chosen, seen, example_of(chosen) if examples else None)


def plan_of_files(
    source: str | Path,
    profile: str | Path | Profile,
    *,
    examples: bool = False,
    progress: Progress | None = None,
) -> list[Planned]:
    """What a profile does with each attribute of the DICOM files below a folder."""
    shown = progress or Silent()
    if not Path(source).exists():
        raise UsageError(f"There is no folder {str(source)!r}.")
    chosen = profile if isinstance(profile, Profile) else profile_of(profile)
    counts: Counter[tuple[str, str, str]] = Counter()
    values: dict[tuple[str, str, str], str] = {}
    shown.stage("Reading headers")
    for header in _headers(Path(source)):
        shown.advance()
        kind = _first(header.get("00080016", {}))
        occurs = dict(_paths(header, ""))
        counts.update((kind, path, vr) for path, vr in occurs)
        for (path, vr), value in occurs.items():
            if value:
                values.setdefault((kind, path, vr), value)
    seen = (Seen(*key, n, values.get(key, "")) for key, n in counts.items())
    return planned(chosen, seen, example_of(chosen) if examples else None)


def _headers(source: Path) -> Iterator[Mapping[str, Any]]:
    reader = HeaderReader()
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            with Path(folder, name).open("rb") as file:
                data = file.read(132)
                if not sniff(data):
                    continue

                def fetch(offset: int, length: int, file: Any = file) -> bytes:
                    file.seek(offset)
                    return bytes(file.read(length))

                try:
                    yield orjson.loads(reader.read(fetch, os.fstat(file.fileno()).st_size).json)
                except DataError:
                    continue


def _paths(item: Mapping[str, Any], above: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Path and VR of every attribute of a header in DICOM JSON, and its first value."""
    creators = {
        (tag[:4], tag[6:8]): _first(element)
        for tag, element in item.items()
        if int(tag[3], 16) & 1 and tag[4:6] == "00"
    }
    for tag, element in item.items():
        vr = str(element.get("vr", "UN"))
        path = above + _segment(tag, creators)
        yield (path, vr), "" if vr == "SQ" else _first(element)
        if vr == "SQ":
            for inner in element.get("Value", ()):
                if isinstance(inner, dict):
                    yield from _paths(inner, f"{path}.")


def _segment(tag: str, creators: Mapping[tuple[str, str], str]) -> str:
    group, number = int(tag[:4], 16), int(tag, 16)
    creator = creators.get((tag[:4], tag[4:6]), "")
    if group & 1 and tag[4:6] != "00" and creator:
        return dictionary.private_segment(group, creator, number & 0xFFFF)
    return dictionary.public_segment(number)


def _first(element: Mapping[str, Any]) -> str:
    for value in element.get("Value", ()):
        if isinstance(value, dict):
            return str(next(iter(value.values()), ""))
        return "" if value is None else str(value)
    return ""


class _Thrown:
    """Pseudonyms by a key that nobody keeps."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, originals: Iterable[Original]) -> dict[Original, str]:
        return {original: keyed(self._key, kind, *original) for original in originals}

    def close(self) -> None:
        return


def example_of(profile: Profile) -> Example:
    """What values would become, with a new key that is thrown away."""
    key = secrets.token_bytes(32)
    made = Keyed(key)
    days = -made.days(0, 365) if profile.dates == "modified" else 0
    identity = KeyedIdentity(made, _Thrown(key), "example", days=days)
    return Example(identity, Sweeper(words_of([], identity), identity))
