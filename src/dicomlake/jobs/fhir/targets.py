"""Targets: FHIR servers that the lake publishes to, opened as its settings say."""

from __future__ import annotations

import os
import secrets
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from dicomlake import plugins
from dicomlake.contracts import Progress
from dicomlake.contracts.sinks import Sink
from dicomlake.fhir import resource_id
from dicomlake.fhir.values import uid
from dicomlake.jobs.fhir.making import Maker
from dicomlake.jobs.fhir.pseudonymising import Pseudonymised, pseudonyms_of
from dicomlake.jobs.fhir.published import Published
from dicomlake.jobs.fhir.publishing import Making, Publisher
from dicomlake.jobs.fhir.sites import fitting, release_of, site_of
from dicomlake.lake import Store
from dicomlake.lake.part import PartStore, write_series
from dicomlake.lake.store import PUBLISH
from dicomlake.query import parse
from dicomlake.settings import FhirTarget, Settings
from dicomlake.sinks.fhir import FhirSink

_PARTS = "parts-"


def part_of(store: Store, query: str, level: str, folder: Path) -> Store:
    """The series, studies or patients of a store that meet a condition; all when there is none.

    Their series lie in a file of the folder as long as they are used.
    """
    if not query.strip():
        return store
    engine = plugins.load("engines", "duckdb")(store)
    with engine.chosen(parse(query), level) as (search, mask):
        ids = pa.array(search.snapshot.ids[mask], pa.int64())
    file = folder / f"{secrets.token_hex(8)}.parquet"
    write_series(store, ids, file)
    part = PartStore(store.path, store.version, file)
    weakref.finalize(part, file.unlink, missing_ok=True)
    return part


@contextmanager
def parts_folder(lake: Path) -> Iterator[Path]:
    """A folder for the series of parts, of this process alone; what killed ones left goes."""
    above = lake / PUBLISH
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in above.glob(f"{_PARTS}*"):
        if not _alive(old.name.removeprefix(_PARTS).partition("-")[0]):
            shutil.rmtree(old, ignore_errors=True)
    made = above / f"{_PARTS}{os.getpid()}-{secrets.token_hex(4)}"
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _alive(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


Make = Callable[[Store, Settings, str, str, str], Making]
"""Makes the resources of a store: settings, release, name of pseudonyms, profile."""


def maker_of(
    store: Store, settings: Settings, release: str, pseudonyms: str = "", profile: str = "none"
) -> Making:
    """What makes the resources of a store in a release; with pseudonyms where they are named."""
    site = site_of(store.path, settings, fitting(profile, release))
    return pseudonymised(Maker(store, site, release_of(release)), settings, pseudonyms)


def study_ids(store: Store, settings: Settings, making: Making) -> Iterator[tuple[str, int]]:
    """Ids of the resources ImagingStudy of a store and their study_key, without making them."""
    site = site_of(store.path, settings)
    other = making.other if isinstance(making, Pseudonymised) else None
    with store.database() as db:
        found = db.execute(
            'select study_key, any_value("StudyInstanceUID") from series group by study_key'
        )
        while rows := found.fetchmany(10_000):
            for key, said in rows:
                if number := uid(said):
                    id_ = resource_id(site, "ImagingStudy", number)
                    yield (other(("ImagingStudy", id_)) if other else id_), key


def pseudonymised(making: Making, settings: Settings, name: str) -> Making:
    """What makes the same with the pseudonyms of a name; as it is when there is none."""
    if not name:
        return making
    chosen = settings.pseudonyms[name]
    return Pseudonymised(making, name, chosen, pseudonyms_of(name, chosen))


Opener = Callable[[str, FhirTarget], Sink]


@contextmanager
def opened(
    lake: str | Path,
    settings: Settings,
    name: str,
    make: Make = maker_of,
    *,
    where: tuple[str, str] = ("", "study"),
    progress: Progress | None = None,
    sink: Opener = FhirSink,
) -> Iterator[Publisher]:
    """What publishes a lake to a target, as long as the block runs, and nobody else does.

    `where`: a condition and its level, besides those of the target.

    UsageError when there is no such target; LakeError when somebody else publishes to it.
    """
    target = settings.fhir.of(name)
    store = Store(lake)
    published = Published(store.path, name)
    with ExitStack() as stack:
        stack.enter_context(published.alone())
        stack.callback(published.close)
        folder = stack.enter_context(parts_folder(store.path))

        def narrow(store: Store) -> Store:
            part = part_of(store, target.query, target.level, folder)
            return part_of(part, *where, folder)

        connection = sink(name, target)
        stack.callback(connection.close)
        yield Publisher(
            store,
            name,
            target,
            lambda seen: make(seen, settings, target.release, target.pseudonyms, target.profile),
            connection,
            published,
            narrow=narrow,
            progress=progress,
        )
