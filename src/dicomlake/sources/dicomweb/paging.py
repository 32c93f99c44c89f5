"""Queries page by page (QIDO-RS, PS3.18 8.3.4.4): all answers once, and signs that some lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomlake.contracts.archives import Match
from dicomlake.errors import Refused, Unsupported, UsageError
from dicomlake.sources.dicomweb.connection import Connection, NotThere, Params, TooBroad
from dicomlake.sources.dicomweb.values import row_of

PAGE = 1000
"""Answers asked for at a time."""
MOST_PAGES = 10_000
_COUNTED = {
    "SeriesInstanceUID": "NumberOfStudyRelatedSeries",
    "SOPInstanceUID": "NumberOfSeriesRelatedInstances",
}


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
    """Asks a service page by page, and learns how many answers it gives at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._largest: dict[str, int] = {}

    def ask(self, path: str, params: Params, uid: str, limit: int | None, *, alone: bool) -> Match:
        """All answers, each UID once. `alone`: the path alone says what is asked."""
        counted = _COUNTED.get(uid, "") if alone and path.count("/") % 2 else ""
        if counted and limit is None and ("includefield", counted) not in params:
            asked: Params = [*params, ("includefield", counted)]
        else:
            asked, counted = params, counted if limit is None else ""
        found = _Answers()
        try:
            cut = self._all(path, asked, uid, limit, found)
        except TooBroad:
            return Match(list(found.rows.values()), True, "too broad (HTTP 413)")
        except NotThere:
            return Match(list(found.rows.values()), bool(found.rows), "nothing there (HTTP 404)")
        except Unsupported as error:
            raise UsageError(f"{error} Is its url the root of QIDO-RS and WADO-RS?") from error
        rows = list(found.rows.values())[:limit]
        if limit is None or len(rows) < limit:
            cut = cut or _fewer(rows, counted) or _round(rows, path)
        if asked is not params:
            for row in rows:
                row.pop(counted, None)
        return Match(rows, cut, found.odd or ("there is more" if cut else "success"))

    def _all(self, path: str, params: Params, uid: str, limit: int | None, found: _Answers) -> bool:
        """Ask until nothing new comes; whether the service shows that it holds some back."""
        offset = 0
        for _ in range(MOST_PAGES):
            size = PAGE if limit is None else min(PAGE, limit - len(found.rows))
            page = [*params, ("limit", str(size))]
            if offset:
                page.append(("offset", str(offset)))
            got, headers = self._connection.json(path, page)
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


def _fewer(rows: list[dict[str, str]], counted: str) -> bool:
    """Whether the service counts more in the study or series than it has answered."""
    counts = [int(row[counted]) for row in rows if row.get(counted, "").isdecimal()]
    return bool(counts) and max(counts) > len(rows)


def _round(rows: list[dict[str, str]], path: str) -> bool:
    """Whether a search over the archive ended at a number that smells like a cap, or one more."""
    return path.count("/") == 1 and len(rows) >= 100 and len(rows) % 100 in (0, 1)
