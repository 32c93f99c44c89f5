"""What a FHIR server for tests holds: resources with all their versions, changed by transactions.

It is strict where servers differ, so that what it takes every server takes: references must point
at something, bare UUIDs are none, two entries of a bundle may not mean the same resource, and each
PUT makes a version, also of the same content.
"""

from __future__ import annotations

import operator
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

Resource = dict[str, Any]
Key = tuple[str, str]
"""Type and id."""
Claim = Callable[[Key, int], None]
"""Says that an entry of a bundle, by its number, changes a resource."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{2,40}")
_LITERAL = re.compile(r"([A-Z][A-Za-z]{2,40})/([A-Za-z0-9\-.]{1,64})(/_history/\d+)?")
_SEARCH = re.compile(r"([A-Z][A-Za-z]{2,40})\?(.+)")
_ORDER = ("DELETE", "POST", "PUT", "PATCH", "GET", "HEAD")
"""In which order a transaction does its entries (FHIR, 3.2.0.13.2)."""


class Wrong(Exception):
    """Ends a request: a status, a code of OperationOutcome, words, and where it is."""

    def __init__(self, status: int, code: str, words: str, at: str = "") -> None:
        self.status, self.code, self.words, self.at = status, code, words, at
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a resource; None: it was deleted."""

    number: int
    when: datetime
    resource: Resource | None


@dataclass(frozen=True, slots=True)
class Did:
    """What became of an entry: the status, and which version there is now."""

    status: int
    type: str
    id: str
    version: Version | None = None


@dataclass(slots=True)
class Entry:
    """An entry of a bundle: what is asked, and of which resource."""

    number: int
    method: str
    url: str
    full: str
    resource: Resource | None
    none_exist: str
    match: str

    @property
    def at(self) -> str:
        """Where it is in its bundle."""
        return f"Bundle.entry[{self.number}]"


@dataclass(slots=True)
class Resources:
    """The resources of a server. `client_ids`: whether clients may say which id a new one gets."""

    client_ids: bool = True
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _all: dict[str, dict[str, list[Version]]] = field(default_factory=dict)
    _by_identifier: dict[tuple[str, str, str], set[str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # Reading

    def read(self, type_: str, id_: str) -> Version:
        """The newest version; Wrong when there is none (404), or not any more (410)."""
        with self._lock:
            versions = self._all.get(type_, {}).get(id_)
            if not versions:
                raise Wrong(404, "not-found", f"There is no {type_}/{id_}.")
            if versions[-1].resource is None:
                raise Wrong(410, "deleted", f"{type_}/{id_} was deleted.")
            return versions[-1]

    def history(self, type_: str, id_: str) -> list[Version]:
        """All versions, newest first."""
        with self._lock:
            versions = self._all.get(type_, {}).get(id_)
            if not versions:
                raise Wrong(404, "not-found", f"There is no {type_}/{id_}.")
            return versions[::-1]

    def ids(self, type_: str) -> list[str]:
        """Ids of the resources of a type that are there."""
        with self._lock:
            return [id_ for id_, found in self._all.get(type_, {}).items() if found[-1].resource]

    def every(self, type_: str = "") -> list[Resource]:
        """The newest versions of all resources, or of a type."""
        with self._lock:
            types = [type_] if type_ else list(self._all)
            return [self.read(name, id_).resource or {} for name in types for id_ in self.ids(name)]

    def search(self, type_: str, query: str) -> list[Resource]:
        """Resources that meet a query."""
        with self._lock:
            params = [
                (n, v)
                for n, v in parse_qsl(query, keep_blank_values=True)
                if n not in ("_count", "_summary", "_offset", "_elements", "_format")
            ]
            for name, value in params:
                known = self._identified(type_, value) if name == "identifier" else None
                if known is not None:
                    ids = sorted(known)
                    break
            else:
                ids = self.ids(type_)
            found = [self.read(type_, id_).resource or {} for id_ in ids]
            for name, value in params:
                found = [one for one in found if _meets(one, name, value)]
            return found

    def _identified(self, type_: str, value: str) -> set[str] | None:
        """Ids by an identifier that names its system; None when others have to be looked for."""
        system, bar, rest = value.partition("|")
        return set(self._by_identifier.get((type_, system, rest), ())) if system and bar else None

    # Changing

    def change(
        self,
        method: str,
        url: str,
        resource: Resource | None,
        *,
        none_exist: str = "",
        match: str = "",
    ) -> Did:
        """Do one request that is in no bundle."""
        with self._lock:
            entry = Entry(0, method, url, "", resource, none_exist, match)
            return _Transaction(self, [entry]).run()[0]

    def transaction(self, bundle: Resource) -> list[Did]:
        """Do all entries of a bundle, or none of them."""
        with self._lock:
            return _Transaction(self, list(_entries(bundle))).run()

    def batch(self, bundle: Resource) -> list[Did | Wrong]:
        """Do each entry of a bundle by itself."""
        done: list[Did | Wrong] = []
        with self._lock:
            for entry in _entries(bundle):
                try:
                    done += _Transaction(self, [entry]).run()
                except Wrong as error:
                    done.append(error)
        return done

    def _put(self, key: Key, resource: Resource | None) -> Version:
        """Add a version."""
        type_, id_ = key
        versions = self._all.setdefault(type_, {}).setdefault(id_, [])
        now, number = self.clock(), len(versions) + 1
        if resource is not None:
            meta = {**resource.get("meta", {}), "versionId": str(number)}
            meta["lastUpdated"] = now.isoformat(timespec="milliseconds")
            resource = {**resource, "id": id_, "meta": meta}
        self._note(key, versions[-1].resource if versions else None, resource)
        versions.append(Version(number, now, resource))
        return versions[-1]

    def _note(self, key: Key, before: Resource | None, after: Resource | None) -> None:
        type_, id_ = key
        for system, value in _identifiers(before or {}):
            self._by_identifier.get((type_, system, value), set()).discard(id_)
        for system, value in _identifiers(after or {}):
            self._by_identifier.setdefault((type_, system, value), set()).add(id_)


def _entries(bundle: Resource) -> Iterator[Entry]:
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        raise Wrong(400, "structure", "entry is a list.", "Bundle.entry")
    for number, one in enumerate(listed):
        asked = one.get("request") or {}
        method, url = asked.get("method"), asked.get("url")
        if method not in _ORDER or not isinstance(url, str) or not url:
            raise Wrong(
                400, "required", "Each entry needs request.method and request.url.",
                f"Bundle.entry[{number}]",
            )  # fmt: skip
        yield Entry(
            number,
            method,
            url.lstrip("/"),
            one.get("fullUrl", ""),
            one.get("resource"),
            asked.get("ifNoneExist", ""),
            asked.get("ifMatch", ""),
        )


class _Transaction:
    """Finds out first what each entry means, then changes everything or nothing."""

    def __init__(self, held: Resources, entries: list[Entry]) -> None:
        self._held, self._entries = held, entries
        self._keys: dict[int, Key] = {}
        self._there: dict[int, bool] = {}
        self._by_full: dict[str, Key] = {}
        self._claimed: dict[Key, int] = {}

    def run(self) -> list[Did]:
        """What became of the entries, in their order."""
        for entry in self._entries:
            self._find(entry)
        gone = {self._keys[e.number] for e in self._entries if e.method == "DELETE"}
        coming = {self._keys[e.number] for e in self._entries if e.method in ("POST", "PUT")}
        made: dict[int, Resource] = {}
        for entry in self._entries:
            if entry.method in ("POST", "PUT") and entry.resource is not None:
                if entry.method == "POST" and self._there[entry.number]:
                    continue
                made[entry.number] = self._resolved(entry, gone, coming)
        self._check_deleted(gone, made)
        done: dict[int, Did] = {}
        for entry in sorted(self._entries, key=lambda e: _ORDER.index(e.method)):
            done[entry.number] = self._do(entry, made.get(entry.number))
        return [done[entry.number] for entry in self._entries]

    def _find(self, entry: Entry) -> None:
        """Which resource an entry is about, and whether it is there."""
        type_, id_, query = _place(entry)
        held = self._held
        if entry.method in ("POST", "PUT"):
            _check_resource(entry, type_, id_)
        if entry.method == "POST":
            found = held.search(type_, entry.none_exist) if entry.none_exist else []
            self._only(entry, found, type_)
            there = bool(found)
            key = (type_, found[0]["id"] if found else str(uuid.uuid4()))
        elif query:
            found = held.search(type_, query)
            self._only(entry, found, type_)
            there = bool(found)
            key = (type_, found[0]["id"] if found else str(uuid.uuid4()))
        else:
            key, there = (type_, id_), id_ in held._all.get(type_, {})
            if entry.method == "PUT" and not there and not held.client_ids:
                raise Wrong(
                    405, "not-supported", f"Clients may not say which id a {type_} gets.", entry.at
                )
        if entry.match:
            self._check_match(entry, key)
        if not (entry.method == "POST" and there):
            self._claim(entry, key)
        self._keys[entry.number], self._there[entry.number] = key, there
        if entry.full:
            if entry.full in self._by_full:
                raise Wrong(400, "duplicate", "Two entries have one fullUrl.", entry.at)
            if not re.match(r"urn:(uuid|oid):|https?://", entry.full):
                raise Wrong(400, "value", "fullUrl is a URL or a URN.", f"{entry.at}.fullUrl")
            self._by_full[entry.full] = key

    def _only(self, entry: Entry, found: list[Resource], type_: str) -> None:
        if len(found) > 1:
            many = f"{len(found)} resources of type {type_} meet the condition."
            raise Wrong(412, "multiple-matches", many, entry.at)

    def _claim(self, entry: Entry, key: Key) -> None:
        if entry.method in ("GET", "HEAD"):
            return
        if key in self._claimed:
            raise Wrong(400, "duplicate", "Two entries change one resource.", entry.at)
        self._claimed[key] = entry.number
        if (entry.method == "PUT" and "?" in entry.url) or entry.none_exist:
            # What does not exist yet could be made twice by one condition.
            condition = (key[0], entry.none_exist or entry.url.partition("?")[2])
            if condition in self._claimed:
                raise Wrong(400, "duplicate", "Two entries have one condition.", entry.at)
            self._claimed[condition] = entry.number

    def _check_match(self, entry: Entry, key: Key) -> None:
        try:
            number = self._held.read(*key).number
        except Wrong:
            number = 0
        if entry.match != f'W/"{number}"':
            raise Wrong(412, "conflict", "The resource has another version by now.", entry.at)

    def _resolved(self, entry: Entry, gone: set[Key], coming: set[Key]) -> Resource:
        """The resource with references to what the bundle and the server have."""
        contained = {f"#{c.get('id')}" for c in (entry.resource or {}).get("contained", ())}

        def replaced(value: Any, at: str) -> Any:
            if isinstance(value, list):
                return [replaced(one, f"{at}[{n}]") for n, one in enumerate(value)]
            if not isinstance(value, dict):
                return value
            made = {k: replaced(v, f"{at}.{k}") for k, v in value.items()}
            if isinstance(value.get("reference"), str) and not isinstance(
                value.get("resourceType"), str
            ):
                made["reference"] = self._pointed(value["reference"], contained, gone, coming, at)
            return made

        found: Resource = replaced(entry.resource, entry.at + ".resource")
        return found

    def _pointed(
        self, text: str, contained: set[str], gone: set[Key], coming: set[Key], at: str
    ) -> str:
        """A reference by type and id."""
        at = f"{at}.reference"
        if text.startswith("#"):
            if text not in contained:
                raise Wrong(422, "not-found", f"Nothing contained is {text}.", at)
            return text
        if text.startswith(("urn:uuid:", "urn:oid:")):
            if text not in self._by_full:
                raise Wrong(422, "not-found", "No entry of the bundle has that fullUrl.", at)
            return "/".join(self._by_full[text])
        if m := _SEARCH.fullmatch(text):
            found = self._held.search(m[1], m[2])
            if len(found) != 1:
                status = 412 if found else 422
                raise Wrong(status, "not-found", f"{len(found)} resources meet {m[1]}?...", at)
            return f"{m[1]}/{found[0]['id']}"
        m = _LITERAL.fullmatch(text)
        if m is None:
            raise Wrong(400, "value", "A reference is TYPE/ID or the fullUrl of an entry.", at)
        key = (m[1], m[2])
        newest = self._held._all.get(m[1], {}).get(m[2])
        if key not in coming and (key in gone or newest is None or newest[-1].resource is None):
            raise Wrong(422, "not-found", f"There is no {m[1]}/{m[2]}.", at)
        return text

    def _check_deleted(self, gone: set[Key], made: dict[int, Resource]) -> None:
        """What others point at cannot be deleted."""
        if not gone:
            return
        wanted = {"/".join(key) for key in gone}
        changed = {self._keys[number] for number in made}
        for resource in self._held.every():
            key = (resource["resourceType"], resource["id"])
            if key in gone or key in changed:
                continue
            if wanted & set(references(resource)):
                raise Wrong(409, "conflict", "Others point at what is to be deleted.")

    def _do(self, entry: Entry, resource: Resource | None) -> Did:
        key, there = self._keys[entry.number], self._there[entry.number]
        held = self._held
        if entry.method in ("GET", "HEAD"):
            version = held.read(*key)
            return Did(200, *key, version)
        if entry.method == "DELETE":
            versions = held._all.get(key[0], {}).get(key[1])
            if versions and versions[-1].resource is not None:
                held._put(key, None)
            return Did(204, *key)
        if resource is None:  # a conditional create that finds what it would have made
            return Did(200, *key, held.read(*key))
        version = held._put(key, resource)
        return Did(200 if entry.method == "PUT" and there else 201, *key, version)


def _place(entry: Entry) -> tuple[str, str, str]:
    """Type, id and query of the address of an entry."""
    path, _, query = entry.url.partition("?")
    type_, _, id_ = path.partition("/")
    if not _TYPE.fullmatch(type_):
        raise Wrong(404, "not-supported", "The address names no type of resource.", entry.at)
    if id_ and not _ID.fullmatch(id_):
        raise Wrong(400, "value", "That is no id.", entry.at)
    if entry.method in ("PUT", "GET", "HEAD") and not (id_ or query):
        raise Wrong(400, "required", f"{entry.method} needs an id or a condition.", entry.at)
    if entry.method == "PATCH":
        raise Wrong(405, "not-supported", "Resources are not patched here.", entry.at)
    return type_, id_, query


def _check_resource(entry: Entry, type_: str, id_: str) -> None:
    resource = entry.resource
    if not isinstance(resource, dict) or resource.get("resourceType") != type_:
        raise Wrong(400, "structure", f"The entry holds no {type_}.", f"{entry.at}.resource")
    if id_ and resource.get("id") != id_:
        raise Wrong(400, "value", "The id of the resource is another one.", f"{entry.at}.resource")


def references(resource: Any) -> Iterator[str]:
    """Every literal reference inside of a resource.

    >>> list(references({"subject": {"reference": "Patient/1"}}))
    ['Patient/1']
    """
    if isinstance(resource, list):
        for one in resource:
            yield from references(one)
    elif isinstance(resource, dict):
        if isinstance(resource.get("reference"), str):
            yield resource["reference"]
        for one in resource.values():
            yield from references(one)


def _identifiers(resource: Resource) -> Iterator[tuple[str, str]]:
    found = resource.get("identifier", [])
    for one in found if isinstance(found, list) else [found]:
        yield one.get("system", ""), one.get("value", "")


def _meets(resource: Resource, name: str, value: str) -> bool:
    """Whether a resource meets a parameter; one value of several is enough."""
    if name == "_id":
        return resource["id"] in value.split(",")
    if name == "_lastUpdated":
        return _compared(resource["meta"]["lastUpdated"], value)
    return any(_token(pair, one) for pair in _pairs(resource, name) for one in value.split(","))


def _pairs(resource: Resource, name: str) -> Iterator[tuple[str, str]]:
    """System and value of each token of a parameter that a resource has."""
    meta = resource.get("meta", {})
    if name == "identifier":
        yield from _identifiers(resource)
    elif name == "_tag":
        yield from ((one.get("system", ""), one.get("code", "")) for one in meta.get("tag", ()))
    elif name == "_profile":
        yield from (("", profile) for profile in meta.get("profile", ()))
    else:
        raise Wrong(400, "not-supported", f"{name} cannot be searched for.")


def _token(pair: tuple[str, str], wanted: str) -> bool:
    """Whether system and value are what a token asks: value, |value, system| or system|value."""
    system, bar, value = wanted.partition("|")
    if not bar:
        return pair[1] == wanted
    return pair[0] == system and value in ("", pair[1])


def _compared(when: str, asked: str) -> bool:
    prefix = asked[:2] if asked[:2].isalpha() else "eq"
    wanted = asked.removeprefix(prefix).replace(" ", "+")
    moment, limit = datetime.fromisoformat(when), datetime.fromisoformat(wanted)
    if limit.tzinfo is None:
        limit = limit.replace(tzinfo=UTC)
    return _MEETS[prefix](moment, limit)


_MEETS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge,
    "lt": operator.lt, "le": operator.le, "sa": operator.gt, "eb": operator.lt,
}  # fmt: skip
