"""The coordinator: asks every site the same, by HTTPS and a token; again those that are away."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from dicomlake.contracts import http
from dicomlake.errors import DicomlakeError, NotAllowed, Refused, UsageError
from dicomlake.jobs.federation.merging import Table, Told, merged
from dicomlake.jobs.federation.studies import Study
from dicomlake.settings import FederationSite

ATTEMPTS = 3
MOST_BYTES = 8 * 1024**2
_WAIT_S = 1.0
Sites = Mapping[str, FederationSite]


def sites_of(path: str | Path) -> dict[str, FederationSite]:
    """The sites of a file (TOML, `[site.NAME]`); UsageError when it is none."""
    try:
        said = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as sites: {type(error).__name__}.") from error
    found = said.get("site")
    if not isinstance(found, dict) or not found:
        raise UsageError(f"{path} names no site. Write [site.NAME] with url and token_env.")
    made = {}
    for name, values in found.items():
        try:
            made[name] = FederationSite.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(f"{path}: site {name}: {where}: {first['msg']}.") from error
    return made


def ask(study: Study, sites: Sites, *, wait: Callable[[float], None] = time.sleep) -> Table:
    """What all sites have of a study; those without an answer are named with the reason."""
    told = _each(sites, "/api/federation/answer", {"study": study.plain}, wait)
    return merged(study.name, study.digest, [_checked(one, study) for one in told])


def _checked(told: Told, study: Study) -> Told:
    """An answer that is one to this study."""
    if told.answer is None:
        return told
    try:
        if told.answer["study"] != study.digest:
            return Told(told.site, None, "It answered another question than the one of this file.")
        for section in told.answer["sections"]:
            _ = section["name"], section["refused"], section["counts"], section["by"]
        int(told.answer["least"])
    except (KeyError, TypeError, ValueError):
        return Told(told.site, None, "It answered in a way that cannot be understood.")
    return told


def export(
    study: Study, sites: Sites, *, wait: Callable[[float], None] = time.sleep
) -> tuple[dict[str, Told], list[str]]:
    """How far the dataset of a study is at each site, and what their schemas do not share.

    Each site makes its own, after its steward approved it. Nothing is fetched but states and
    schemas.
    """
    if study.export is None:
        raise UsageError("The study wants no dataset. Write [export] with section and profile.")
    told = _each(sites, "/api/federation/export", {"study": study.plain}, wait)
    schemas = {t.site: t.answer["schema"] for t in told if t.answer and t.answer.get("schema")}
    return {one.site: one for one in told}, differences(schemas)


def differences(schemas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What schemas of sites do not have in common, in words.

    >>> differences({"a": {"labels": {"x": 1}, "hash": "1"}, "b": {"labels": {}, "hash": "2"}})
    ['b: labels is {}, not {"x":1} as at a']
    """
    found = []
    names = list(schemas)
    for name in names[1:]:
        first, other = schemas[names[0]], schemas[name]
        for part in sorted((first.keys() | other.keys()) - {"hash"}):
            if first.get(part) != other.get(part):
                one, two = (orjson.dumps(s.get(part)).decode() for s in (first, other))
                found.append(f"{name}: {part} is {two}, not {one} as at {names[0]}")
    return found


def _each(
    sites: Sites, path: str, body: dict[str, Any], wait: Callable[[float], None]
) -> list[Told]:
    """What each site answers, all of them asked at the same time."""
    with ThreadPoolExecutor(max(1, min(16, len(sites)))) as pool:
        asked = [pool.submit(_one, name, site, path, body, wait) for name, site in sites.items()]
        return [one.result() for one in asked]


def _one(
    name: str, site: FederationSite, path: str, body: dict[str, Any], wait: Callable[[float], None]
) -> Told:
    why = ""
    for attempt in range(ATTEMPTS):
        try:
            return Told(name, _posted(name, site, path, body))
        except Refused as error:
            why = str(error)
            if attempt + 1 < ATTEMPTS:
                wait(max(min(error.wait_s, 30.0), _WAIT_S * 2**attempt))
        except DicomlakeError as error:
            return Told(name, None, str(error))
    return Told(name, None, why)


def _posted(name: str, site: FederationSite, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of a site; Refused when it is away, UsageError when asking again cannot help."""
    headers = {**http.authorization(site), "Content-Type": "application/json"}
    with http.errors(name, site.timeout_s, "Asking other sites"):
        import httpx

        http.hush()
        with (
            httpx.Client(verify=http.context(site.tls), timeout=site.timeout_s) as client,
            client.stream(
                "POST", site.url.rstrip("/") + path, content=orjson.dumps(body), headers=headers
            ) as got,
        ):
            data = b""
            for piece in got.iter_bytes():
                data += piece
                if len(data) > MOST_BYTES:
                    raise UsageError(f"{name} answers more than a table of counts can be.")
            status, after = got.status_code, http.seconds(got.headers.get("retry-after", ""))
    try:
        said = orjson.loads(data)
    except ValueError:
        said = {}
    if status >= 500 or status == 429:
        raise Refused(f"{name} could not answer (status {status}).", after)
    if status != 200 or not isinstance(said, dict):
        kind = NotAllowed if status in (401, 403) else UsageError
        detail = str(said.get("detail", "") if isinstance(said, dict) else "")[:500]
        raise kind(detail or f"{name} refused the question (status {status}).")
    return said
