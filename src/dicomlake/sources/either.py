"""One archive with two doors: headers come by DICOMweb, the rest by DIMSE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dicomlake.contracts import Object
from dicomlake.contracts.archives import Archive, Check, Match


class EitherArchive:
    """An `Archive` that asks and retrieves by DIMSE, but takes headers from WADO-RS metadata.

    Where the DICOMweb service has no metadata after all, headers come by DIMSE, too.
    """

    def __init__(self, dimse: Archive, web: Archive) -> None:
        self.name, self._dimse, self._web = dimse.name, dimse, web

    @property
    def way(self) -> str:
        """How objects are brought: "get" or "move"."""
        return self._dimse.way

    @property
    def whole_headers(self) -> bool:
        """Whether the DICOMweb service gives the headers of all instances of a series."""
        return self._web.whole_headers

    def find(
        self,
        level: str,
        keys: Mapping[str, str],
        wanted: Sequence[str] = (),
        limit: int | None = None,
    ) -> Match:
        """What C-FIND matches."""
        return self._dimse.find(level, keys, wanted, limit)

    def headers(self, study: str, series: str, *, first: bool = False) -> Iterator[Object]:
        """The headers of a series, by the cheaper door."""
        door = self._web if self._web.whole_headers else self._dimse
        return door.headers(study, series, first=first)

    def objects(self, study: str, series: str, instances: Sequence[str] = ()) -> Iterator[Object]:
        """The objects of a series, by DIMSE."""
        return self._dimse.objects(study, series, instances)

    def check(self) -> Iterator[Check]:
        """Try both doors."""
        yield from self._dimse.check()
        yield from self._web.check()

    def close(self) -> None:
        """Let go of both connections."""
        self._dimse.close()
        self._web.close()
