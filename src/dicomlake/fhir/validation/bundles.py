"""Bundles: rules of their types, and what a server would refuse of a transaction."""

from __future__ import annotations

import re
from typing import Any

from dicomlake.fhir.validation.found import Found
from dicomlake.fhir.validation.references import references

_ASKING = ("transaction", "batch")
_ANSWERING = ("transaction-response", "batch-response")
_UUID = re.compile(r"urn:uuid:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_VERSION = "/_history/"

Json = dict[str, Any]


def check_bundle(bundle: Json, found: Found) -> None:
    """Say what is wrong with a bundle beyond its structure."""
    kind, entries = bundle.get("type"), bundle.get("entry")
    if "total" in bundle and kind not in ("searchset", "history"):
        found.error("only what was found has a total (bdl-1)", "total")
    if kind == "document":
        _document(bundle, found)
    if not isinstance(entries, list):
        return
    entries = [one if isinstance(one, dict) else {} for one in entries]
    for number, entry in enumerate(entries):
        start = len(found)
        _entry(entry, str(kind), found)
        found.below(start, f"entry[{number}]")
    _full_urls(entries, str(kind), found)
    if kind == "transaction":
        _transaction(entries, found)


def _document(bundle: Json, found: Found) -> None:
    known = bundle.get("identifier")
    if not isinstance(known, dict) or not known.keys() >= {"system", "value"}:
        found.error("a document needs an identifier with system and value (bdl-9)", "identifier")
    if "timestamp" not in bundle:
        found.error("a document needs a timestamp (bdl-10)", "timestamp")


def _entry(entry: Json, kind: str, found: Found) -> None:
    if "search" in entry and kind != "searchset":
        found.error("only what was found has it (bdl-2)", "search")
    if kind != "subscription-notification":
        _exchange(entry, kind, found)
    full = entry.get("fullUrl")
    if isinstance(full, str):
        _full_url(entry, full, found)
    request = entry.get("request")
    if isinstance(request, dict) and kind in _ASKING:
        _request(entry, request, found)


def _exchange(entry: Json, kind: str, found: Found) -> None:
    """Requests and responses are there in bundles of requests and responses, and in no others."""
    asked = kind in _ASKING or kind == "history"
    if asked != ("request" in entry):
        words = "is missing (bdl-3)" if asked else "may not be here (bdl-3)"
        found.error(words, "request")
    answered = kind in _ANSWERING or kind == "history"
    if answered != ("response" in entry):
        words = "is missing (bdl-4)" if answered else "may not be here (bdl-4)"
        found.error(words, "response")
    if not entry.keys() & {"resource", "request", "response"}:
        found.error("needs a resource (bdl-5)")


def _full_url(entry: Json, full: str, found: Found) -> None:
    """A fullUrl is absolute and contradicts neither type nor id of its resource."""
    if _VERSION in full:
        found.error("names a version (bdl-8)", "fullUrl")
    uuid = _UUID.fullmatch(full)
    if not uuid and not full.startswith(("http://", "https://", "urn:oid:", "urn:uuid:")):
        found.error("is not absolute: https://BASE/TYPE/ID or urn:uuid:...", "fullUrl")
    resource = entry.get("resource")
    id_ = resource.get("id") if isinstance(resource, dict) else None
    if not isinstance(id_, str) or not isinstance(resource, dict):
        return
    if full.startswith("http") and not full.endswith(f"/{resource.get('resourceType')}/{id_}"):
        found.error("is the address of another resource than that of the entry", "fullUrl")
    elif uuid and _UUID.fullmatch(f"urn:uuid:{id_}") and uuid[1] != id_:
        found.warning("has another uuid than the id of its resource", "fullUrl")


def _request(entry: Json, request: Json, found: Found) -> None:
    method, url = request.get("method"), request.get("url")
    resource = entry.get("resource")
    if method in ("POST", "PUT") and not isinstance(resource, dict):
        found.error(f"{method} needs a resource", "resource")
        return
    if not isinstance(url, str) or not isinstance(resource, dict):
        return
    path, asks, _ = url.partition("?")
    if path.startswith(("http://", "https://")):
        path = "/".join(path.rsplit("/", 2)[-2:])
    kind, _, id_ = path.strip("/").partition("/")
    if "$" in path:
        return  # an operation
    if kind != resource.get("resourceType"):
        found.error("names another type than the resource has", "request.url")
    elif method == "POST" and id_:
        found.error("POST goes to a type, without an id", "request.url")
    elif method == "PUT" and not asks and not id_:
        found.error("PUT goes to TYPE/ID, or to a search", "request.url")
    elif method == "PUT" and id_ and id_ != resource.get("id"):
        found.error("names another id than the resource has", "request.url")
    if "ifNoneExist" in request and method != "POST":
        found.error("is for POST alone", "request.ifNoneExist")


def _full_urls(entries: list[Json], kind: str, found: Found) -> None:
    if kind == "history":
        return
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(entries):
        full, resource = entry.get("fullUrl"), entry.get("resource")
        if not isinstance(full, str):
            continue
        meta = resource.get("meta") if isinstance(resource, dict) else None
        version = str(meta.get("versionId", "")) if isinstance(meta, dict) else ""
        if (full, version) in seen:
            found.error("another entry has that fullUrl (bdl-7)", f"entry[{number}].fullUrl")
        seen.add((full, version))


def _transaction(entries: list[Json], found: Found) -> None:
    """No resource twice; what is referred to by urn: is an entry."""
    full = {entry["fullUrl"] for entry in entries if isinstance(entry.get("fullUrl"), str)}
    meant: set[str] = set()
    for number, entry in enumerate(entries):
        request = entry.get("request")
        request = request if isinstance(request, dict) else {}
        means = str(request.get("url"))
        if request.get("method") == "POST":
            means = f"{means}?{request['ifNoneExist']}" if "ifNoneExist" in request else ""
        if means and means in meant:
            found.error("another entry is about the same resource", f"entry[{number}].request")
        meant.add(means)
        for path, text in references(entry.get("resource")):
            if text.startswith(("urn:uuid:", "urn:oid:")) and text not in full:
                found.error(
                    "no entry has that fullUrl", f"entry[{number}].resource.{path}"
                )  # fmt: skip
