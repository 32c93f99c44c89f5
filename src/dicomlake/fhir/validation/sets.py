"""Sets of resources: each by itself, and whether what they refer to is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dicomlake.fhir.validation.found import Problem, named
from dicomlake.fhir.validation.references import references
from dicomlake.fhir.validation.resources import check


def check_all(
    resources: Iterable[Any],
    release: str,
    profiles: Iterable[str] = (),
    elsewhere: Collection[str] = (),
) -> list[Problem]:
    """What is wrong with resources that belong together; bundles stand for what they hold.

    Besides what `check` finds: two resources with one type and id, and references to resources that
    are not among them. `elsewhere` names types that others hold, such as "Patient".
    """
    gathered = Gathering(release, profiles, elsewhere)
    problems = [problem for one in resources for problem in gathered.add(one)]
    return [*problems, *gathered.missing()]


class Gathering:
    """A set of resources that is checked one by one; of each only what others need is kept."""

    def __init__(
        self, release: str, profiles: Iterable[str] = (), elsewhere: Collection[str] = ()
    ) -> None:
        self._release, self._profiles, self._elsewhere = release, tuple(profiles), elsewhere
        self._there: set[str] = set()
        self._urls: set[str] = set()
        self._wanted: dict[str, tuple[str, str]] = {}

    def add(self, resource: Any) -> Iterator[Problem]:
        """What is wrong with the next resource, or bundle."""
        bundle = _is_bundle(resource)
        name = about(resource)
        for problem in check(resource, self._release, () if bundle else self._profiles):
            yield Problem(problem.path, problem.severity, problem.text, name)
        if not bundle:
            yield from self._note(resource)
        for full, inner in entries(resource):
            if full:
                self._urls.add(full)
            if inner is not None:
                yield from self._note(inner)

    def _note(self, resource: Any) -> Iterator[Problem]:
        name = about(resource)
        if not name.endswith("/?"):
            if name in self._there:
                text = "another resource has that type and id"
                yield Problem(f"{name.partition('/')[0]}.id", "error", text, name)
            self._there.add(name)
        for path, text in references(resource):
            self._wanted.setdefault(text, (f"{name.partition('/')[0]}.{path}", name))

    def missing(self) -> Iterator[Problem]:
        """References that lead to nothing, each once, when all resources are added."""
        for text, (path, name) in self._wanted.items():
            if not self._found(text):
                yield Problem(path, "error", "leads to nothing of the set", name)

    def _found(self, text: str) -> bool:
        if text.startswith("#") or "?" in text or text in self._urls:
            return True
        if text.startswith("urn:"):
            return False
        if text.startswith(("http://", "https://")):
            return True  # on another server
        kind, _, rest = text.partition("/")
        return kind in self._elsewhere or f"{kind}/{rest.partition('/')[0]}" in self._there


def about(resource: Any) -> str:
    """Type and id of a resource; "?" for what it does not say.

    >>> about({"resourceType": "Patient", "id": "a1"}), about([])
    ('Patient/a1', '?/?')
    """
    if not isinstance(resource, dict):
        return "?/?"
    id_ = resource.get("id")
    fits = isinstance(id_, str) and 0 < len(id_) <= 64 and id_.isascii() and id_.isprintable()
    return f"{named(resource.get('resourceType'))}/{id_ if fits else '?'}"


def entries(resource: Any) -> Iterator[tuple[str, Any]]:
    """fullUrl and resource of the entries of a bundle; none for what is no bundle."""
    listed = resource.get("entry") if _is_bundle(resource) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            full = one.get("fullUrl")
            yield full if isinstance(full, str) else "", one.get("resource")


def _is_bundle(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("resourceType") == "Bundle"
