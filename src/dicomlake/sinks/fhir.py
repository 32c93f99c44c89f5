"""FHIR servers: changes go there as transactions, and doing them twice changes nothing.

Either resources have our ids there (`PUT Type/id`), or the server gives ids of its own: then they
are known by an identifier (conditional create and update), or by a tag where they have none. What
is said of an error is a status, codes and places; never what a server says in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from dicomlake.contracts import http
from dicomlake.contracts.sinks import Change, Done, Ref
from dicomlake.errors import Refused, UsageError
from dicomlake.settings import FhirTarget

if TYPE_CHECKING:
    import httpx

MEDIA = "application/fhir+json"
SHARED = ("Patient", "Device", "Endpoint", "Organization", "Practitioner")
"""Types of which others may hold the same one: where the server has it, it stays as it is."""
TAG = "urn:dicomlake:id"
"""System of the tag by which a resource without an identifier is known again."""
_VERSIONS = {"R4": "4.0", "R5": "5.0"}
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]+)/([A-Za-z0-9.\-]{1,64})"')
_CODE = re.compile(r"[a-z][a-z-]{1,40}")
_PLACE = re.compile(r"[A-Za-z0-9_.\[\]]{1,200}")
_BUSY = frozenset([408, 425, 429, 502, 503, 504])
_GONE = frozenset([404, 405, 410])
_MOST_FAILED = 10
"""After so many resources in a row on which a server failed, the server is what is wrong."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A change and its entry of a bundle."""

    change: Change
    body: bytes


class FhirSink:
    """One FHIR server; `transport` of httpx for tests."""

    def __init__(
        self, name: str, settings: FhirTarget, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.name, self.settings, self._transport = name, settings, transport
        self._root = settings.url.rstrip("/")
        self._theirs = settings.ids == "theirs"
        self._client: httpx.Client | None = None
        self._greeted = False
        self._failed = 0

    # What the Protocol asks for

    def push(self, changes: Sequence[Change], there: Mapping[Ref, str]) -> Iterator[Done]:
        """Make changes; see `dicomlake.contracts.sinks.Sink`."""
        self._greet()
        known = dict(there)
        for group in self._groups(changes):
            yield from self._push(group, known)

    def read(self, type_: str, id_: str) -> dict[str, Any] | None:
        """A resource as it is there; None when it is not."""
        answer = self._ask("GET", f"/{type_}/{quote(id_, safe='')}")
        if answer.status_code in (404, 410):
            return None
        self._judge(answer)
        return self._resource(answer, type_)

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    # Bundles

    def _groups(self, changes: Sequence[Change]) -> Iterator[list[Change]]:
        """What may be in one bundle: shared resources come first where the server gives ids."""
        shared = [c for c in changes if c.type in SHARED and c.resource is not None]
        if not (self._theirs and shared):
            yield list(changes)
            return
        yield shared
        yield [c for c in changes if c.type not in SHARED or c.resource is None]

    def _push(self, changes: Iterable[Change], known: dict[Ref, str]) -> Iterator[Done]:
        """Bundles of a bounded size; what one has made is known to the next."""
        entries: list[_Entry] = []
        size = 0
        for change in changes:
            if self._theirs and change.there and not change.ours:
                yield Done(change, change.there, ours=False)
                continue
            body = b"" if change.resource is None else self._body(change)
            full = len(entries) >= self.settings.entries or size + len(body) > self.settings.bytes
            if entries and full:
                yield from self._sent(entries, known)
                entries, size = [], 0
            entries.append(_Entry(change, body))
            size += len(body)
        if entries:
            yield from self._sent(entries, known)

    def _sent(self, entries: list[_Entry], known: dict[Ref, str]) -> Iterator[Done]:
        """What became of entries; one that is refused does not keep the others away."""
        bundle, orphans = self._bundle(entries, known)
        yield from orphans
        lost = {done.change.ref for done in orphans}
        entries = [entry for entry in entries if entry.change.ref not in lost]
        if not entries:
            return
        answer = self._ask("POST", "", bundle)
        status = answer.status_code
        if status in (200, 201):
            self._failed = 0
            for done in self._answers(entries, answer):
                known[done.change.ref] = done.there
                yield done
            return
        if status in _BUSY or status in (401, 403) or 300 <= status < 400:
            self._judge(answer)
        if len(entries) > 1:
            half = len(entries) // 2
            yield from self._sent(entries[:half], known)
            yield from self._sent(entries[half:], known)
            return
        yield from self._refused(entries[0], answer, known)

    def _refused(
        self, entry: _Entry, answer: httpx.Response, known: dict[Ref, str]
    ) -> Iterator[Done]:
        change, status = entry.change, answer.status_code
        if self._theirs and change.there and status in _GONE and change.resource is not None:
            # It was deleted there: it is made anew.
            fresh = replace(change, there="")
            known.pop(change.ref, None)
            yield from self._sent([_Entry(fresh, self._body(fresh))], known)
            return
        if status >= 500:
            self._failed += 1
            if self._failed >= _MOST_FAILED:
                raise Refused(f"{self.name} fails again and again (HTTP {status}).")
        else:
            self._failed = 0
        yield Done(change, change.there, change.ours, self._why(change, answer), status)

    def _bundle(self, entries: list[_Entry], known: Mapping[Ref, str]) -> tuple[bytes, list[Done]]:
        """A transaction, and what cannot be in it because it points at something not there."""
        inside = {e.change.ref for e in entries if e.change.resource is not None}
        orphans: list[Done] = []
        while True:
            parts: list[bytes] = []
            lost: set[Ref] = set()
            for entry in entries:
                if entry.change.ref not in inside and entry.change.resource is not None:
                    continue
                body, missing = self._linked(entry.body, inside, known)
                if missing is not None and missing != entry.change.ref:
                    lost.add(entry.change.ref)
                    why = f"It points at {missing[0]}/{missing[1]}, which is not there."
                    orphans.append(Done(entry.change, entry.change.there, refused=why))
                parts.append(self._entry(entry.change, body))
            if not lost:
                break
            inside -= lost
        head = b'{"resourceType":"Bundle","type":"transaction","entry":['
        return head + b",".join(parts) + b"]}", orphans

    def _linked(
        self, body: bytes, inside: set[Ref], known: Mapping[Ref, str]
    ) -> tuple[bytes, Ref | None]:
        """A resource with references as the bundle needs them, and one that leads nowhere."""
        missing: Ref | None = None

        def link(m: re.Match[bytes]) -> bytes:
            nonlocal missing
            ref = (m[1].decode(), m[2].decode())
            if ref in inside:
                return b'"reference":"urn:uuid:%s"' % m[2]
            if ref not in known:
                missing = missing or ref
                return m[0]
            return f'"reference":"{ref[0]}/{known[ref]}"'.encode()

        return _REFERENCE.sub(link, body), missing

    def _body(self, change: Change) -> bytes:
        """The resource as the server gets it, with our references."""
        assert change.resource is not None
        resource = change.resource
        if not self._theirs:
            return orjson.dumps(resource)
        resource = {name: value for name, value in resource.items() if name != "id"}
        if change.there:
            resource = {**resource, "id": change.there}
        if change.key is None:
            meta = resource.get("meta", {})
            ours = {"system": TAG, "code": change.id}
            tag = [*(one for one in meta.get("tag", ()) if one != ours), ours]
            resource = {**resource, "meta": {**meta, "tag": tag}}
        return orjson.dumps(resource)

    def _entry(self, change: Change, body: bytes) -> bytes:
        asked = orjson.dumps(self._request(change))
        if change.resource is None:
            return b'{"request":%s}' % asked
        full = change.id.encode()
        return b'{"fullUrl":"urn:uuid:%s","resource":%s,"request":%s}' % (full, body, asked)

    def _request(self, change: Change) -> dict[str, str]:
        """What is asked of the server for a change."""
        here = change.there if self._theirs else change.id
        if change.resource is None:
            return {"method": "DELETE", "url": f"{change.type}/{here}"}
        if here:
            return {"method": "PUT", "url": f"{change.type}/{here}"}
        condition = _condition(change)
        if change.type in SHARED or change.key is None:
            return {"method": "POST", "url": change.type, "ifNoneExist": condition}
        return {"method": "PUT", "url": f"{change.type}?{condition}"}

    # Answers

    def _answers(self, entries: list[_Entry], answer: httpx.Response) -> Iterator[Done]:
        found = self._resource(answer, "Bundle").get("entry", [])
        if len(found) != len(entries):
            raise UsageError(
                f"{self.name} answers {len(found)} of {len(entries)} entries. A transaction has "
                "one answer for each: is its url that of a FHIR server?"
            )
        for entry, one in zip(entries, found, strict=True):
            change, said = entry.change, one.get("response", {})
            status = int(str(said.get("status", "200"))[:3])
            if change.resource is None:
                yield Done(change, status=status)
                continue
            there = self._there(change, str(said.get("location", "")))
            create = "ifNoneExist" in self._request(change)
            yield Done(change, there, change.ours and not (create and status == 200), "", status)

    def _there(self, change: Change, location: str) -> str:
        """The id that a resource has on the other side."""
        if not self._theirs:
            return change.id
        m = re.search(rf"(?:^|/){change.type}/([A-Za-z0-9.\-]{{1,64}})(?:/_history/|$)", location)
        if m:
            return m[1]
        if change.there:
            return change.there
        ids = self._matches(change)
        if len(ids) != 1:
            raise UsageError(
                f"{self.name} does not say which id it gave ({change.type}): no location in its "
                'answers. Choose ids = "ours" for this target.'
            )
        return ids[0]

    def _why(self, change: Change, answer: httpx.Response) -> str:
        """Why a resource was refused, in codes and places alone."""
        said = [f"HTTP {answer.status_code}"]
        if answer.status_code == 412 and self._theirs and not change.there:
            ids = self._matches(change)
            them = ", ".join(ids) if ids else "several"
            return f"HTTP 412: more than one {change.type} there is meant: {them}."
        try:
            issues = orjson.loads(answer.content).get("issue", [])
            for issue in issues[:5]:
                places = issue.get("expression") or issue.get("location") or ()
                known = [p for p in places if _PLACE.fullmatch(p)]
                code = issue.get("code", "")
                said.append(" ".join([code if _CODE.fullmatch(code) else "", *known]).strip())
        except (ValueError, AttributeError, TypeError):
            pass  # a server that speaks no FHIR when it refuses
        return ", ".join(filter(None, said)) + "."

    def _matches(self, change: Change) -> list[str]:
        """Ids of the resources there that a change may mean."""
        query = f"{_condition(change)}&_elements=identifier&_count=10"
        answer = self._ask("GET", f"/{change.type}?{query}")
        if answer.status_code != 200:
            return []
        entries = self._resource(answer, "Bundle").get("entry", [])
        ids = (str(one.get("resource", {}).get("id", "")) for one in entries)
        return [id_ for id_ in ids if re.fullmatch(r"[A-Za-z0-9.\-]{1,64}", id_)]

    def _resource(self, answer: httpx.Response, type_: str) -> dict[str, Any]:
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or found.get("resourceType") != type_:
            raise UsageError(f"{self.name} does not answer with FHIR. Is its url right?")
        return found

    def _greet(self) -> None:
        """UsageError when the server speaks another release."""
        if self._greeted:
            return
        answer = self._ask("GET", "/metadata?_summary=true")
        self._judge(answer)
        spoken = str(self._resource(answer, "CapabilityStatement").get("fhirVersion", ""))
        release = self.settings.release
        if not spoken.startswith(_VERSIONS[release]):
            raise UsageError(
                f"{self.name} speaks FHIR {spoken[:10]}, and its release is set to {release}. "
                "Change release of the target."
            )
        self._greeted = True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        with http.errors(self.name, self.settings.timeout_s, "A FHIR target"):
            headers = {"Accept": MEDIA, "Prefer": "return=minimal"}
            headers |= http.authorization(self.settings)
            if body is not None:
                headers["Content-Type"] = MEDIA
            return self._connected().request(
                method, self._root + path, content=body, headers=headers
            )

    def _connected(self) -> httpx.Client:
        import httpx

        if self._client is None:
            http.hush()
            seconds, tls = self.settings.timeout_s, self.settings.tls
            self._client = httpx.Client(
                verify=http.context(tls) if tls or self._root.startswith("https:") else False,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(seconds, connect=min(seconds, 15.0)),
                transport=self._transport,
            )
        return self._client

    def _judge(self, answer: httpx.Response) -> None:
        """Raise what a status means that is not about one resource."""
        status, what = answer.status_code, f"{self.name} answers HTTP {answer.status_code}"
        if status in (200, 201):
            return
        if status in (401, 403):
            raise UsageError(
                f"{what}: set user and password_env (or password_file), or token_env (or "
                "token_file) of the target, and let that user write."
            )
        if 300 <= status < 400:
            raise UsageError(f"{what}, a redirect. Set url of the target to where it leads.")
        if status in _BUSY or status >= 500:
            wait = http.seconds(answer.headers.get("Retry-After", ""))
            raise Refused(f"{self.name} is busy or away (HTTP {status}).", wait)
        raise UsageError(f"{what}. Is its url that of a FHIR server?")


def _condition(change: Change) -> str:
    """What a resource is known by, as a search."""
    if change.key is None:
        return f"_tag={quote(f'{TAG}|{change.id}', safe='')}"
    system, value = change.key
    return f"identifier={quote(f'{system}|{value}', safe='')}"
