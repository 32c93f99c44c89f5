"""XML from outside: read without entities, without other files, and without its namespaces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from dicomlake.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DEPTH = 200
MOST_ELEMENTS = 200_000
_PROLOG = re.compile(r"^\s*<\?xml[^>]*\?>")


class _Refused(Exception):
    """A construct that is not read."""


def tree(data: bytes) -> Element:
    """The root element; names without namespaces. DataError when it is not well-formed.

    A text whose bytes do not fit the encoding that it names is read as Windows-1252.

    >>> tree(b'<a xmlns="urn:x"><b c="1">hi</b></a>').find("b").text
    'hi'
    """
    try:
        return _parsed(data)
    except expat.ExpatError as error:
        if error.code not in _ENCODING:
            raise DataError(f"its XML ends early or is damaged at line {error.lineno}") from error
    except (LookupError, ValueError) as error:
        raise DataError("its XML is in an encoding that is not known") from error
    try:
        text = _PROLOG.sub("", data.decode("cp1252", errors="replace"))
        return _parsed(text.encode("utf-8"))
    except (expat.ExpatError, ValueError) as error:
        raise DataError("its XML is damaged: its bytes do not fit its encoding") from error


_ENCODING = {
    expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
    expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
}


def _parsed(data: bytes) -> Element:
    builder, parser = TreeBuilder(), expat.ParserCreate(namespace_separator="}")
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > MOST_DEPTH or elements > MOST_ELEMENTS:
            raise _Refused("its XML is nested too deep or has too many elements")
        builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def entity(*_: Any) -> int:
        raise _Refused("its XML declares entities, which are not read")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = entity
    parser.ExternalEntityRefHandler = entity
    try:
        parser.Parse(data, True)
    except _Refused as refused:
        raise DataError(str(refused)) from refused
    return builder.close()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def root_name(head: bytes) -> str:
    """The name of the root element by the first bytes, without its prefix, or "".

    >>> root_name(b'<?xml version="1.0"?><!-- x --><h:AnnotatedECG ')
    'AnnotatedECG'
    """
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head.decode("utf-16", errors="ignore")
    else:
        text = head.decode("latin-1")
    text = re.sub(r"<!--.*?(?:-->|$)", "", text[:16_000], flags=re.DOTALL)
    match = re.search(r"<(?:[A-Za-z_][\w.-]{0,60}:)?([A-Za-z_][\w.-]{0,60})[\s>/]", text)
    return match[1] if match and text.lstrip("\ufeffï»¿ \r\n\t").startswith("<") else ""


def child(node: Element | None, *path: str) -> Element | None:
    """The first element along a path of names."""
    for name in path:
        if node is None:
            return None
        node = node.find(name)
    return node


def children(node: Element | None, *path: str) -> Iterator[Element]:
    """All elements along a path of names."""
    if node is None:
        return
    if not path:
        yield node
        return
    for each in node.findall(path[0]):
        yield from children(each, *path[1:])


def text(node: Element | None, *path: str) -> str:
    """The text inside of an element, with single spaces."""
    found = child(node, *path)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""


def attribute(node: Element | None, *path: str) -> str:
    """An attribute, named last, of the element along a path."""
    found = child(node, *path[:-1])
    return (found.get(path[-1]) or "").strip() if found is not None else ""
