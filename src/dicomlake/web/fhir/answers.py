"""Answers to searches: bundles of resources, page by page, and single resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson

from dicomlake.jobs.fhir.publishing import Made
from dicomlake.web.fhir.finding import Snapshot, blocks
from dicomlake.web.fhir.searching import Asked, _utc

Resource = dict[str, Any]


@dataclass(slots=True)
class Page:
    """Resources of a page, how many there are in all if that is known, and where it ended."""

    made: list[Made]
    total: int | None
    next: str = ""


def found(snapshot: Snapshot, asked: Asked) -> Page:
    """What a search finds."""
    if asked.type in ("Device", "Endpoint"):
        return _listed(snapshot, asked)
    chosen = snapshot.chosen(asked)
    if asked.type in ("ImagingStudy", "Patient"):
        return _by_key(snapshot, asked, chosen)
    if asked.summary:
        total = sum(len(_wanted(snapshot, asked, block)) for block in blocks(chosen.tolist()))
        return Page([], total)
    return _by_study(snapshot, asked, chosen)


def _by_key(snapshot: Snapshot, asked: Asked, chosen: np.ndarray[Any, Any]) -> Page:
    """Studies or patients: one resource for each key."""
    total = len(chosen)
    if asked.summary:
        return Page([], total)
    after = int(asked.after.partition(".")[0]) if asked.after else None
    start = 0 if after is None else int(np.searchsorted(chosen, after, side="right"))
    keys = [int(key) for key in chosen[start : start + asked.count]]
    made = (
        snapshot.people(keys)
        if asked.type == "Patient"
        else snapshot.of_type("ImagingStudy", keys)
        if keys
        else []
    )
    more = start + asked.count < total
    return Page(made, total, str(keys[-1]) if more and keys else "")


def _by_study(snapshot: Snapshot, asked: Asked, chosen: np.ndarray[Any, Any]) -> Page:
    """Others: study by study, until the page is full."""
    first, _, skipped = asked.after.partition(".")
    start = int(np.searchsorted(chosen, int(first))) if first else 0
    keys = [int(key) for key in chosen[start:]]
    skip = int(skipped or 0)
    page: list[Made] = []
    for block in blocks(keys):
        by_study: dict[int | None, list[Made]] = {}
        for one in _wanted(snapshot, asked, block):
            by_study.setdefault(one.study_key, []).append(one)
        for key in block:
            there = by_study.get(key, [])
            for number, one in enumerate(there):
                if key == keys[0] and number < skip:
                    continue
                if len(page) == asked.count:
                    return Page(page, None, f"{key}.{number}")
                page.append(one)
    return Page(page, None if asked.after else len(page))


def _wanted(snapshot: Snapshot, asked: Asked, block: Sequence[int]) -> list[Made]:
    made = snapshot.of_type(asked.type, block)
    if asked.ids is not None:
        made = [one for one in made if one.id in asked.ids]
    if asked.codes:
        made = [one for one in made if _has_code(one.resource, asked.codes)]
    return made


def _has_code(resource: Resource, codes: Iterable[tuple[str | None, str]]) -> bool:
    said = resource.get("code", {}).get("coding", ())
    return any(
        coding.get("code") == code and system in (None, coding.get("system"))
        for coding in said
        for system, code in codes
    )


def _listed(snapshot: Snapshot, asked: Asked) -> Page:
    """Devices and endpoints: few enough to be listed."""
    there = snapshot.index.of(asked.type).shared
    ids = sorted(id_ for id_ in there if asked.ids is None or id_ in asked.ids)
    if asked.updated and not snapshot.chosen(Asked(asked.type, updated=asked.updated)).size:
        ids = []
    if asked.summary:
        return Page([], len(ids))
    start = int(asked.after.partition(".")[0] or 0) if asked.after else 0
    page = [there[id_] for id_ in ids[start : start + asked.count]]
    end = start + asked.count
    return Page(page, len(ids), str(end) if end < len(ids) else "")


# Bundles


def bundle(
    snapshot: Snapshot, asked: Asked, page: Page, root: str, params: Sequence[tuple[str, str]]
) -> Resource:
    """A searchset with the links of its pages."""
    kept = [(name, value) for name, value in params if name != "_page"]
    links = [{"relation": "self", "url": _url(root, asked.type, params)}]
    if page.next:
        links.append(
            {"relation": "next", "url": _url(root, asked.type, [*kept, ("_page", page.next)])}
        )
    made: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if page.total is not None:
        made["total"] = page.total
    if asked.summary:
        return made
    more = snapshot.pointed(page.made, asked.include) if asked.include else []
    when = updated(snapshot, [*page.made, *more])
    entries = [_entry(one, root, "match", asked, when) for one in page.made]
    entries += [_entry(one, root, "include", Asked(one.type), when) for one in more]
    if entries:
        made["entry"] = entries
    return made


def _url(root: str, type_: str, params: Sequence[tuple[str, str]]) -> str:
    return f"{root}/{type_}" + (f"?{urlencode(params)}" if params else "")


def _entry(one: Made, root: str, mode: str, asked: Asked, when: dict[int, datetime]) -> Resource:
    resource = shown(one, when)
    if asked.elements:
        kept = {"resourceType", "id", "meta", *asked.elements}
        tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
               "code": "SUBSETTED"}  # fmt: skip
        resource = {name: value for name, value in resource.items() if name in kept}
        resource["meta"] = {**resource["meta"], "tag": [*resource["meta"].get("tag", ()), tag]}
    url = f"{root}/{one.type}/{one.id}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}


def updated(snapshot: Snapshot, made: Sequence[Made]) -> dict[int, datetime]:
    """When what is known of the studies of resources came last."""
    keys = sorted({one.study_key for one in made if one.study_key is not None})
    return snapshot.keys.updated(np.array(keys, np.int64)) if keys else {}


def shown(one: Made, when: dict[int, datetime]) -> Resource:
    """A resource as the endpoint answers it, with the time from which it is so."""
    meta = dict(one.resource.get("meta", {}))
    if one.study_key in when:
        meta["lastUpdated"] = _utc(when[one.study_key]).isoformat(timespec="milliseconds")
    return {**one.resource, "meta": meta} if meta else dict(one.resource)


def packed(resource: Resource) -> bytes:
    """A resource as bytes."""
    return orjson.dumps(resource)
