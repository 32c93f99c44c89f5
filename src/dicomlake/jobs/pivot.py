"""Documents of series as bytes: pivot XML, JSON, JSON lines, or a zip of XML files."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import orjson

from dicomlake.errors import UsageError
from dicomlake.jobs.layout import DOCUMENT, NAMESPACE, Part, is_words

FORMS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "xml": "application/xml",
    "zip": "application/zip",
}
"""Forms of documents and their media types."""

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold in any way of writing."""
_SAFE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_QUOTES = {**_ESCAPES, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}
_BARE = str.maketrans(_ESCAPES)
_QUOTED = str.maketrans(_QUOTES)


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> Any:
        """Take some."""


# XML


def legal(text: str) -> str:
    """A text without what XML cannot hold; U+FFFD stands for each such character.

    >>> legal("a\\x00b")
    'a\ufffdb'
    """
    return _FORBIDDEN.sub("\ufffd", text)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return legal(value) if isinstance(value, str) else repr(value)


def _text(value: Any) -> str:
    return _word(value).translate(_BARE)


def _attribute(name: str, value: Any) -> str:
    return f' {name}="{_word(value).translate(_QUOTED)}"'


def _element(part: Part, value: Any) -> Iterator[str]:
    """One part of a document with a value."""
    name = part.name
    if part.entry:
        yield f"<{name}>"
        for entry in value:
            yield from _group(part.entry, part, entry)
        yield f"</{name}>"
    elif is_words(part):
        yield f"<{name}>{' '.join(map(_word, value))}</{name}>"
    else:
        for one in value if part.several else [value]:
            yield from _single(part, one)


def _single(part: Part, value: Any) -> Iterator[str]:
    name = part.name
    if part.kind == "group":
        yield from _group(name, part, value)
    elif part.kind == "code":
        yield f"<{name}{''.join(_attribute(key, said) for key, said in value.items())}/>"
    elif part.kind == "measure":
        yield f"<{name}{_attribute('unit', value['unit'])}>{_text(value['value'])}</{name}>"
    else:
        yield f"<{name}>{_text(value)}</{name}>"


def _group(name: str, part: Part, value: Mapping[str, Any], about: str = "") -> Iterator[str]:
    head = [f"<{name}{about}"]
    body: list[str] = []
    for member in part.parts:
        if (said := value.get(member.name)) is None:
            continue
        if member.attribute:
            head.append(_attribute(member.name, said))
        else:
            body += _element(member, said)
    yield "".join(head) + (">" if body else "/>")
    yield from body
    if body:
        yield f"</{name}>"
    if part.entry or name == "document":
        yield "\n"


def _xml(document: Mapping[str, Any], about: str = "") -> bytes:
    return "".join(_group("document", DOCUMENT, document, about)).encode()


def pivot(document: Mapping[str, Any]) -> bytes:
    """A document as an XML file of its own."""
    return _HEAD.encode() + _xml(document, _attribute("xmlns", NAMESPACE))


def write_xml(documents: Iterable[Mapping[str, Any]], stream: Sink) -> int:
    """Write documents as one XML file; how many they were."""
    count = 0
    for count, part in enumerate(_all_xml(documents), -1):  # noqa: B007
        stream.write(part)
    return count


def _all_xml(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield f"{_HEAD}<documents{_attribute('xmlns', NAMESPACE)}>\n".encode()
    for document in documents:
        yield _xml(document)
    yield b"</documents>\n"


# Others


def _array(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    separator = b"[\n"
    for document in documents:
        yield separator + orjson.dumps(document)
        separator = b",\n"
    yield b"\n]\n" if separator == b",\n" else b"[]\n"


def _lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for document in documents:
        yield orjson.dumps(document) + b"\n"


class _Pipe(io.RawIOBase):
    """What was written, to be taken out in pieces."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def _zip(documents: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, document in enumerate(documents, 1):
            uid = document["series"].get("SeriesInstanceUID", "")
            name = uid if _SAFE.fullmatch(uid) else f"series-{number}"
            entry = zipfile.ZipInfo(f"{name}.xml")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, pivot(document))
            yield pipe.take()
    yield pipe.take()


_WRITERS = {"json": _array, "ndjson": _lines, "xml": _all_xml, "zip": _zip}


def encoded(documents: Iterable[Mapping[str, Any]], form: str) -> Iterator[bytes]:
    """Documents as the bytes of a file, piece by piece; UsageError for an unknown form.

    json is one array, ndjson one line per series, xml one file with all, zip one XML per series.

    >>> b"".join(encoded([], "json"))
    b'[]\\n'
    """
    if form not in _WRITERS:
        raise UsageError(f"There is no format {form!r}. There are: {', '.join(_WRITERS)}.")
    return _WRITERS[form](documents)
