"""Queries page by page (QIDO-RS, PS3.18 8.3.4.4): all answers once, and signs that some lack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from dicomlake.contracts.archives import Match
from dicomlake.errors import Refused, Unsupported, UsageError
from dicomlake.sources.dicomweb.connection import Connection, NotThere, Params, TooBroad
from dicomlake.sources.dicomweb.values import row_of

PAGE = 1000
"""Answers asked for at a time."""
MOST_PAGES = 10_000
_COUNTED = {
    "SeriesInstanceUID": ("StudyInstanceUID", "NumberOfStudyRelatedSeries"),
    "SOPInstanceUID": ("SeriesInstanceUID", "NumberOfSeriesRelatedInstances"),
}
"""By what is listed: what it is in, and the attribute that counts it there."""


@dataclass(slots=True)
class _Answers:
    """What came so far, by UID."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    warned: bool = False
    first: int = 0
    """Rows of the first page."""
    short: bool = False
    """Whether all pages so far have the size of the first, which is not what was asked."""
    odd: str = ""


class Pages:
    """Asks a service page by page, and learns how many answers it gives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answered = False
        self._largest: dict[str, int] = {}
        """By level, the longest page that came."""
        self._proved: dict[str, float] = {}
        """By level, the largest number of answers known to be all there are."""

    def ask(self, path: str, params: Params, uid: str, limit: int | None, *, alone: bool) -> Match:
        """All answers, each UID once. `alone`: the path alone says what is asked."""
        found = _Answers()
        try:
            cut = self._all(path, params, uid, limit, found)
            rows = list(found.rows.values())[:limit]
            if limit is None or len(rows) < limit:
                cut = cut or _round(rows, path) or (alone and self._fewer(path, uid, len(rows)))
        except TooBroad:
            return Match(list(found.rows.values()), True, "too broad (HTTP 413)")
        except NotThere:
            self._assure()
            return Match(list(found.rows.values()), bool(found.rows), "nothing there (HTTP 404)")
        except Unsupported as error:
            raise UsageError(f"{error} Is its url the root of QIDO-RS and WADO-RS?") from error
        return Match(rows, cut, found.odd or ("there is more" if cut else "success"))

    def _assure(self) -> None:
        """UsageError when the service never answered a query: some say 404 for no answers."""
        try:
            if not self._answered:
                self._connection.json("/studies", [("limit", "1")])
                self._answered = True
        except NotThere:
            raise UsageError(
                f"{self._connection.name} knows no studies (HTTP 404). Is its url the root of "
                "QIDO-RS and WADO-RS?"
            ) from None

    def _fewer(self, path: str, uid: str, count: int) -> bool:
        """Whether the service counts more in the study or series than it has answered.

        It is asked only when there are more answers than ever proved to be all.
        """
        counted = _COUNTED.get(uid)
        above, _, level = path.rpartition("/")
        if not counted or not above or above.count("/") % 2 or count < 2:
            return False
        if count <= self._proved.get(level, 0):
            return False
        where, _, parent = above.rpartition("/")
        asked = [(counted[0], unquote(parent)), ("includefield", counted[1]), ("limit", "1")]
        got, _ = self._connection.json(where, asked)
        row = row_of(got[0]) if isinstance(got, list) and got and isinstance(got[0], dict) else {}
        number = row.get(counted[1], "")
        if not number.isdecimal():
            self._proved[level] = math.inf  # it does not count, so there is no use in asking
            return False
        if int(number) <= count:
            self._proved[level] = count
        return int(number) > count

    def _all(self, path: str, params: Params, uid: str, limit: int | None, found: _Answers) -> bool:
        """Ask until nothing new comes; whether the service shows that it holds some back."""
        offset = 0
        for _ in range(MOST_PAGES):
            size = PAGE if limit is None else min(PAGE, limit - len(found.rows))
            page = [*params, ("limit", str(size))]
            if offset:
                page.append(("offset", str(offset)))
            got, headers = self._connection.json(path, page)
            self._answered = True
            if not isinstance(got, list):
                raise Refused("A query was answered with JSON that is no list.")
            before = len(found.rows)
            for item in got:
                row = row_of(item) if isinstance(item, dict) else {}
                if row.get(uid):
                    found.rows.setdefault(row[uid], row)
            if not got:
                return found.warned or (found.short and offset > found.first)
            found.warned = _warned(headers)
            if limit is not None and len(found.rows) >= limit:
                return False
            if len(found.rows) == before:  # offset is ignored
                found.odd = "pages repeat themselves"
                return found.warned or len(got) >= size
            if self._is_last(path, len(got), size, found, offset):
                return False
            offset += len(got)
        return True

    def _is_last(self, path: str, count: int, size: int, found: _Answers, offset: int) -> bool:
        """Whether a page is known to be the last: shorter than pages that the service can give."""
        if not offset:
            found.first, found.short = count, count < size
        else:
            found.short = found.short and count == found.first
        level = path.rpartition("/")[2]
        largest = self._largest.get(level, 0)
        self._largest[level] = max(largest, count)
        return count < size and count < max(largest, found.first) and not found.warned


def _warned(headers: Mapping[str, str]) -> bool:
    """Whether the service says that there is more (PS3.18 8.3.4.4)."""
    return headers.get("Warning", "").lstrip().startswith("299")


def _round(rows: list[dict[str, str]], path: str) -> bool:
    """Whether a search over the archive ended at a number that smells like a cap, or one more."""
    return path.count("/") == 1 and len(rows) >= 100 and len(rows) % 100 in (0, 1)
