"""Sources seen through the door: where things lie is sealed, and what they say is cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from dicomlake.contracts import Found, Object, Source
from dicomlake.contracts.deid import Unresolved
from dicomlake.errors import DataError, UsageError
from dicomlake.jobs.door.cleaning import Cleaning, Door, KnownInLake
from dicomlake.jobs.door.entrance import Entrance, nothing
from dicomlake.jobs.door.places import VIEW, opened_row, opened_uri, sealed_row, sealed_uri
from dicomlake.jobs.door.seals import Seal
from dicomlake.lake import Store
from dicomlake.readers.attributes import text

_ACCESSION, _MOST_SH = "00080050", 16


class DoorSource:
    """Another source through the door, for `index`; can be sent to other processes."""

    def __init__(self, source: Source, door: Door) -> None:
        self._source, self._door = source, door
        self._seal: Seal | None = None
        self._entrance: Entrance | None = None

    def __getstate__(self) -> tuple[Source, Door]:
        return self._source, self._door

    def __setstate__(self, state: tuple[Source, Door]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def name(self) -> str:
        """What `series.source` says of its objects."""
        return self._source.name

    @property
    def seal(self) -> Seal:
        """What seals places."""
        if self._seal is None:
            self._seal = self._door.seal
        return self._seal

    def roots(self) -> list[str]:
        """What `find` lists everything below."""
        found: list[str] = getattr(self._source, "roots", list)()
        return [sealed_uri(self.seal, root) for root in found]

    def find(self) -> Iterator[Found]:
        """Everything, its place sealed."""
        for found in self._source.find():
            yield replace(found, uri=sealed_uri(self.seal, found.uri))

    def open(self, found: Found) -> Iterator[Object]:
        """The objects in one thing found, cleaned."""
        opened = replace(found, uri=opened_uri(self.seal, found.uri))
        yield from self._cleaned(self._source.open(opened))

    def ahead(self, founds: list[Found]) -> Iterator[tuple[Found, Iterator[Object]]]:
        """Many things opened in their order."""
        ahead = getattr(self._source, "ahead", None)
        if ahead is None:
            yield from ((found, self.open(found)) for found in founds)
            return
        opened = [replace(found, uri=opened_uri(self.seal, found.uri)) for found in founds]
        for found, (_, things) in zip(founds, ahead(opened), strict=False):
            yield found, self._cleaned(things)

    def _cleaned(self, things: Iterable[Object]) -> Iterator[Object]:
        if self._entrance is None:
            self._entrance = Entrance(self._door)
        for thing in things:
            yield self._entrance.object(thing)


class LakeSource:
    """The objects of a lake by the headers that it has, cleaned; for `index` of a view."""

    name = "view"

    def __init__(self, lake: Store, door: Door) -> None:
        self._lake, self._door = lake, door
        self._seal = door.seal
        self._cleaning: Cleaning | None = None

    def __getstate__(self) -> tuple[Any, int, Door]:
        return self._lake.path, self._lake.version, self._door

    def __setstate__(self, state: tuple[Any, int, Door]) -> None:
        path, version, door = state
        self.__init__(Store(path, version), door)  # type: ignore[misc]

    def roots(self) -> list[str]:
        """What `find` lists everything below."""
        return [VIEW]

    def find(self) -> Iterator[Found]:
        """Every instance."""
        with self._lake.database(only=("series", "instances")) as db:
            reader = db.sql(
                'select i.uri, i."offset", i.size, epoch_us(i.modified) as modified, '
                's."StudyInstanceUID", s."SeriesInstanceUID", i."SOPInstanceUID" '
                "from instances i join series s using (series_id)"
            ).to_arrow_reader(10_000)
            for batch in reader:
                for row in batch.to_pylist():
                    uri = sealed_row(self._seal, row)
                    yield Found(uri, row["size"] or 0, row["modified"] or 0)

    def open(self, found: Found) -> Iterator[Object]:
        """The object of an instance."""
        yield from next(self.ahead([found]))[1]

    def ahead(self, founds: list[Found]) -> Iterator[tuple[Found, Iterator[Object]]]:
        """Objects of many instances, their headers read together."""
        rows = [opened_row(self._seal, {"uri": f.uri}) for f in founds]
        headers = self._headers([row["SOPInstanceUID"] for row in rows])
        for found, row in zip(founds, rows, strict=True):
            header = headers.get((row["SOPInstanceUID"], row["uri"]))
            yield found, iter([self._object(found, header)])

    def _headers(self, uids: list[str]) -> dict[tuple[str, str], dict[str, Any]]:
        import pyarrow as pa

        with self._lake.database(only=("series", "instances")) as db:
            db.register("wanted", pa.table({"uid": pa.array(uids, pa.string())}))
            found = db.execute(
                'select "SOPInstanceUID", uri, header from instances '
                'where "SOPInstanceUID" in (select uid from wanted)'
            ).fetchall()
        return {(uid, uri): orjson.loads(header) for uid, uri, header in found}

    def _object(self, found: Found, header: dict[str, Any] | None) -> Object:
        if self._cleaning is None:
            self._cleaning = self._door.cleaning(KnownInLake(self._lake))
        if header is None:
            return Object(found.uri, 0, found.size, nothing, "not in the lake any more")
        try:
            cleaned = self._ordered(header, self._cleaning.header(header))
        except Unresolved as error:
            why = f"cannot be de-identified ({error.check})"
            return Object(found.uri, 0, found.size, nothing, why)
        except (DataError, UsageError) as error:
            why = f"cannot be de-identified ({type(error).__name__})"
            return Object(found.uri, 0, found.size, nothing, why)
        return Object(found.uri, 0, found.size, nothing, header=cleaned)

    def _ordered(self, header: dict[str, Any], cleaned: dict[str, Any]) -> dict[str, Any]:
        """A cleaned header that says which studies belong to one order, if it says nothing else."""
        order = text(header, "AccessionNumber")
        if order and _ACCESSION in cleaned and not text(cleaned, "AccessionNumber"):
            said = self._seal.short(f"order {order}").replace("_", "-")[:_MOST_SH]
            return {**cleaned, _ACCESSION: {"vr": "SH", "Value": [said]}}
        return cleaned
