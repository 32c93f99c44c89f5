"""Headers as a service gives them out (PS3.18 Annex F): bulk data as addresses that it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from dicomlake.errors import DataError

Header = dict[str, Any]


def linked(header: Header, base: str) -> Header:
    """A header without file meta information, its bulk data below `base` (the instance).

    >>> linked({"7FE00010": {"vr": "OW", "BulkDataURI": "?offset=1&length=2"}}, "http://x/i")
    {'7FE00010': {'vr': 'OW', 'BulkDataURI': 'http://x/i/bulkdata/7FE00010'}}
    """
    plain = {tag: element for tag, element in header.items() if not tag.startswith("0002")}
    return _linked(plain, f"{base}/bulkdata")


def _linked(item: Mapping[str, Any], base: str) -> Header:
    return {tag: _element(element, f"{base}/{tag}") for tag, element in item.items()}


def _element(element: dict[str, Any], base: str) -> dict[str, Any]:
    if "BulkDataURI" in element:
        return {"vr": element.get("vr", "UN"), "BulkDataURI": base}
    values = element.get("Value")
    if element.get("vr") == "SQ" and values:
        return {"vr": "SQ", "Value": [_linked(v, f"{base}/{n}") for n, v in enumerate(values)]}
    if values is not None and "InlineBinary" in element:  # one of both (PS3.18 F.2.2)
        return {"vr": element["vr"], "Value": values}
    return element


def element_at(header: Header, path: str) -> tuple[Header, str]:
    """The item that has the element at a path of `linked`, and its tag; DataError without one.

    >>> element_at({"00081140": {"vr": "SQ", "Value": [{"00081150": {}}]}}, "00081140/0/00081150")
    ({'00081150': {}}, '00081150')
    """
    *outer, tag = path.upper().split("/")
    item: Any = header
    try:
        for key, number in zip(outer[::2], outer[1::2], strict=True):
            item = item[key]["Value"][int(number)] if number.isdecimal() else None
        if not isinstance(item[tag], dict):
            raise KeyError(tag)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError("there is nothing at that place of the object") from error
    return item, tag


def address(root: str, study: str, series: str | None = None, instance: str | None = None) -> str:
    """The address of a study, a series or an instance (PS3.18 Table 10.1-1).

    >>> address("http://x/dicom-web", "1.2", "3.4")
    'http://x/dicom-web/studies/1.2/series/3.4'
    """
    return "".join(_steps(root, study, series, instance))


def _steps(root: str, study: str, series: str | None, instance: str | None) -> Iterator[str]:
    yield f"{root}/studies/{quote(study, safe='')}"
    if series is not None:
        yield f"/series/{quote(series, safe='')}"
    if instance is not None:
        yield f"/instances/{quote(instance, safe='')}"
