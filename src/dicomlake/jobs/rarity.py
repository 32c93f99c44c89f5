"""How common a value is: the condition that finds it, and the one that finds any."""

from __future__ import annotations

from dicomlake.errors import UsageError
from dicomlake.query import Compare, Exists, Node, Within
from dicomlake.query.attributes import attribute
from dicomlake.query.values import number
from dicomlake.terms import Code


def condition_of(path: str, value: str) -> tuple[Node, Node]:
    """Conditions on a value as questions write it, and on any value; codes are SCHEME:VALUE.

    >>> condition_of("KVP", "80")[0]
    Compare(path='KVP', op='=', value=80)
    """
    about = attribute(path)
    some = Exists(about.path)
    scheme, _, code = value.partition(":")
    if about.kind == "sequence":
        if not scheme or not code:
            raise UsageError(
                f"{path} holds codes. Write one as SCHEME:VALUE, such as SCT:10200004."
            )
        return Within(about.path, Code(code, scheme, "")), some
    if about.kind in ("unknown", "content") and (found := number(value)) is not None:
        return Compare(about.path, "=", found) | Compare(about.path, "=", value), some
    return Compare(about.path, "=", value), some
