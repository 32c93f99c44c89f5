"""Sets of resources: each by itself, and whether what they refer to is there."""

from __future__ import annotations

from collections import Counter
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
    held = list(resources)
    problems = [problem for one in held for problem in _each(one, release, tuple(profiles))]
    single = [(about(one), one) for one in held if not _is_bundle(one)]
    single += [(about(inner), inner) for one in held for inner in entries(one)]
    there = Counter(name for name, _ in single)
    urls = {url for one in held for url in _full_urls(one)}
    for name, number in there.items():
        if number > 1 and not name.endswith("/?"):
            text = f"{number} resources have that type and id"
            problems.append(Problem(name.partition("/")[0], "error", text, name))
    for name, one in single:
        for path, text in references(one):
            if not _found(text, there, urls, elsewhere):
                problem = f"{name.partition('/')[0]}.{path}"
                problems.append(Problem(problem, "error", "leads to nothing of the set", name))
    return problems


def about(resource: Any) -> str:
    """Type and id of a resource; "?" for what it does not say.

    >>> about({"resourceType": "Patient", "id": "a1"}), about([])
    ('Patient/a1', '?/?')
    """
    if not isinstance(resource, dict):
        return "?/?"
    id_ = resource.get("id")
    fits = isinstance(id_, str) and len(id_) <= 64 and id_.isascii() and id_.isprintable()
    return f"{named(resource.get('resourceType'))}/{id_ if fits else '?'}"


def entries(resource: Any) -> Iterator[Any]:
    """The resources in a bundle; none for what is no bundle."""
    listed = resource.get("entry") if _is_bundle(resource) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and "resource" in one:
            yield one["resource"]


def _is_bundle(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("resourceType") == "Bundle"


def _each(resource: Any, release: str, profiles: tuple[str, ...]) -> Iterator[Problem]:
    name = about(resource)
    for problem in check(resource, release, () if _is_bundle(resource) else profiles):
        yield Problem(problem.path, problem.severity, problem.text, name)


def _full_urls(bundle: Any) -> Iterator[str]:
    listed = bundle.get("entry") if _is_bundle(bundle) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("fullUrl"), str):
            yield one["fullUrl"]


def _found(
    text: str, there: Counter[str], urls: Collection[str], elsewhere: Collection[str]
) -> bool:
    if text.startswith("#") or "?" in text or text in urls:
        return True
    if text.startswith("urn:"):
        return False
    if text.startswith(("http://", "https://")):
        return True  # another server
    kind, _, rest = text.partition("/")
    return kind in elsewhere or f"{kind}/{rest.partition('/')[0]}" in there
