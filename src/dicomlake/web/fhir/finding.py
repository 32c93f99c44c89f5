"""What a search finds: studies and patients of a snapshot, and which of them a resource is of."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomlake.api import Lake
from dicomlake.contracts.sinks import refs_of
from dicomlake.jobs.fhir.publishing import Made, Making
from dicomlake.web.fhir.searching import Asked, Span

Numbers = NDArray[np.int64]
STEP = 50
"""Studies whose resources are made together while a page is filled."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Series of a snapshot in order: their studies, their patients, and when they came (us)."""

    studies: Numbers
    patients: Numbers
    came: Numbers

    @classmethod
    def of(cls, lake: Lake) -> Keys:
        """The keys of a lake, in the order of its engine."""
        found = lake.engine.read(
            "select study_key, patient_key, greatest(epoch_us(indexed), coalesce(made, 0)) as came "
            "from series left join (select series_id, max(epoch_us(made)) as made "
            "from enrichments group by series_id) using (series_id) order by series_id"
        )
        return cls(*(found.column(n).to_numpy() for n in ("study_key", "patient_key", "came")))

    def updated(self, studies: Numbers) -> dict[int, datetime]:
        """When the newest of what is known of studies came."""
        wanted = np.isin(self.studies, studies)
        order = np.argsort(self.studies[wanted], kind="stable")
        keys, came = self.studies[wanted][order], self.came[wanted][order]
        if not len(keys):
            return {}
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        newest = np.maximum.reduceat(came, starts)
        return {
            int(key): datetime.fromtimestamp(int(us) / 1e6, UTC)
            for key, us in zip(keys[starts], newest, strict=True)
        }


class Index:
    """Which study or patient a resource is of, by its id; each type when it is asked for first."""

    def __init__(self, making: Making) -> None:
        self._making = making
        self._types: dict[str, _OfType] = {}
        self._lock = threading.Lock()

    def of(self, type_: str) -> _OfType:
        """The index of a type."""
        with self._lock:
            if type_ not in self._types:
                self._types[type_] = _OfType.of(self._making, type_)
            return self._types[type_]

    def studies_of(self, type_: str, ids: Sequence[str] | frozenset[str]) -> set[int]:
        """The studies of resources of a type."""
        return self.of(type_).keys(ids)

    def patients(self, ids: Sequence[str] | frozenset[str]) -> Numbers:
        """The patients of ids of the type Patient."""
        return np.array(sorted(self.of("Patient").keys(ids)), np.int64)


@dataclass(frozen=True, slots=True)
class _OfType:
    """Resources of a type: their ids in order, and study or patient of each; shared ones whole."""

    ids: NDArray[np.bytes_]
    of_: Numbers
    shared: dict[str, Made]

    @classmethod
    def of(cls, making: Making, type_: str) -> _OfType:
        """What is made of a type."""
        ids: list[bytes] = []
        keys: list[int] = []
        shared: dict[str, Made] = {}
        for one in making.all(types=(type_,)):
            if one.type != type_:
                continue
            key = one.patient_key if type_ == "Patient" else one.study_key
            if key is None:
                shared[one.id] = one
            else:
                ids.append(one.id.encode())
                keys.append(key)
        names = np.array(ids, "S64")
        order = np.argsort(names)
        return cls(names[order], np.array(keys, np.int64)[order], shared)

    def keys(self, ids: Sequence[str] | frozenset[str]) -> set[int]:
        """Studies or patients of some ids."""
        found = set()
        for wanted in (id_.encode() for id_ in ids):
            at = int(np.searchsorted(self.ids, wanted))
            if at < len(self.ids) and self.ids[at] == wanted:
                found.add(int(self.of_[at]))
        return found


class Snapshot:
    """A snapshot as it is searched: a lake, and what makes its resources."""

    def __init__(self, lake: Lake, making: Making) -> None:
        self.lake, self.making = lake, making
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._index = Index(making)

    @property
    def keys(self) -> Keys:
        """The keys of its series."""
        with self._lock:
            if self._keys is None:
                self._keys = Keys.of(self.lake)
            return self._keys

    @property
    def index(self) -> Index:
        """Its index."""
        return self._index

    def chosen(self, asked: Asked) -> Numbers:
        """Studies that meet a search, or patients where patients are searched for, in order."""
        keys = self.keys
        people = asked.type == "Patient"
        with self.lake.engine.chosen(asked.where, "patient" if people else "study") as (_, mask):
            chosen = mask.copy()
        if asked.patients is not None:
            chosen &= np.isin(keys.patients, self.index.patients(asked.patients))
        if asked.studies is not None:
            wanted = self.index.studies_of("ImagingStudy", asked.studies)
            chosen &= np.isin(keys.studies, np.array(sorted(wanted), np.int64))
        if asked.ids is not None:
            chosen &= self._with_ids(asked)
        of = keys.patients if people else keys.studies
        found = np.unique(of[chosen])
        for when in asked.updated:
            found = found[_within(of, keys.came, found, when)]
        return found

    def _with_ids(self, asked: Asked) -> NDArray[np.bool_]:
        assert asked.ids is not None
        if asked.type == "Patient":
            return np.isin(self.keys.patients, self.index.patients(asked.ids))
        wanted = self.index.studies_of(asked.type, asked.ids)
        return np.isin(self.keys.studies, np.array(sorted(wanted), np.int64))

    # Resources

    def one(self, type_: str, id_: str) -> Made | None:
        """The resource of an id; None when the snapshot has none."""
        index = self.index.of(type_)
        if id_ in index.shared:
            return index.shared[id_]
        keys = sorted(index.keys([id_]))
        studies = self._some_study(keys) if type_ == "Patient" else keys
        made = self.making.of_studies(studies, (type_,)) if studies else iter(())
        return next((one for one in made if (one.type, one.id) == (type_, id_)), None)

    def of_type(self, type_: str, studies: Sequence[int]) -> list[Made]:
        """Resources of a type that hang on studies, each once."""
        made: dict[str, Made] = {}
        for one in self.making.of_studies(list(studies), (type_,)):
            if one.type == type_:
                made.setdefault(one.id, one)
        return list(made.values())

    def people(self, patients: Sequence[int]) -> list[Made]:
        """The resources of patients."""
        wanted = set(patients)
        found = self.of_type("Patient", self._some_study(patients)) if patients else []
        return [one for one in found if one.patient_key in wanted]

    def pointed(self, made: Sequence[Made], types: frozenset[str]) -> list[Made]:
        """What some resources point at, of these types, each once."""
        have = {(one.type, one.id) for one in made}
        wanted = {r for one in made for r in refs_of(one.resource) if r[0] in types} - have
        studies = sorted({one.study_key for one in made if one.study_key is not None})
        found: dict[tuple[str, str], Made] = {}
        for one in self.making.of_studies(studies, types) if wanted and studies else ():
            if (one.type, one.id) in wanted:
                found.setdefault((one.type, one.id), one)
        return list(found.values())

    def _some_study(self, patients: Sequence[int]) -> list[int]:
        """One study of each patient."""
        keys = self.keys
        at = np.flatnonzero(np.isin(keys.patients, np.array(patients, np.int64)))
        _, first = np.unique(keys.patients[at], return_index=True)
        return [int(key) for key in np.unique(keys.studies[at[first]])]


def _within(of: Numbers, came: Numbers, found: Numbers, when: Span) -> NDArray[np.bool_]:
    """Which studies or patients came at a time that a search asks for."""
    newest = np.full(len(found), np.iinfo(np.int64).min, np.int64)
    at = np.searchsorted(found, of)
    at = np.minimum(at, max(len(found) - 1, 0))
    hit = found[at] == of if len(found) else np.zeros(len(of), bool)
    np.maximum.at(newest, at[hit], came[hit])
    low, high = (round(one.timestamp() * 1e6) for one in (when.low, when.high))
    inside = (newest >= low) & (newest < high)
    found_: dict[str, Callable[[], Any]] = {
        "eq": lambda: inside, "ap": lambda: inside, "ne": lambda: ~inside,
        "gt": lambda: newest >= high, "sa": lambda: newest >= high, "ge": lambda: newest >= low,
        "lt": lambda: newest < low, "eb": lambda: newest < low, "le": lambda: newest < high,
    }  # fmt: skip
    mask: NDArray[np.bool_] = found_[when.op]()
    return mask


def blocks(items: Sequence[int], size: int = STEP) -> Iterator[list[int]]:
    """Keys in lists of at most some size."""
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block


class Held:
    """Snapshots that are searched, kept as long as their lakes are."""

    def __init__(self) -> None:
        self._held: weakref.WeakKeyDictionary[Lake, dict[Any, Snapshot]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def of(self, lake: Lake, what: Any, make: Callable[[], Making]) -> Snapshot:
        """The snapshot of a lake and of how its resources are made."""
        with self._lock:
            held = self._held.setdefault(lake, {})
            if what not in held:
                held[what] = Snapshot(lake, make())
            return held[what]
