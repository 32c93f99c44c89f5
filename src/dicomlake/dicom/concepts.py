"""Paths of concepts: how a place in a report is named, `[LN:11524-0].[DCM:122158].[MDC:2:16160]`.

A step is the code of a concept name, scheme first; `[]` is an item without one.
"""

from __future__ import annotations

import re

from dicomlake.errors import UsageError

STEP = re.compile(
    r'\[(?:(?P<scheme>[^\[\]":|]*):(?P<value>[^\[\]"|]*)'
    r'|"(?P<quoted_scheme>(?:[^"]|"")*)":"(?P<quoted_value>(?:[^"]|"")*)"'
    r"|)(?: ?\|(?P<meaning>[^|]*)\|)?\]"
)
"""A step as people may write it, with or without its meaning between bars."""
_PLAIN_SCHEME = re.compile(r'[^\[\]":|\s](?:[^\[\]":|]*[^\[\]":|\s])?')
_PLAIN_VALUE = re.compile(r'[^\[\]"|\s](?:[^\[\]"|]*[^\[\]"|\s])?')


def step(value: str, scheme: str) -> str:
    """The step of a concept.

    >>> step("11524-0", "LN"), step("", ""), step("a]b", "99X")
    ('[LN:11524-0]', '[]', '["99X":"a]b"]')
    """
    if not value and not scheme:
        return "[]"
    if _PLAIN_SCHEME.fullmatch(scheme) and _PLAIN_VALUE.fullmatch(value):
        return f"[{scheme}:{value}]"
    scheme, value = scheme.replace('"', '""'), value.replace('"', '""')
    return f'["{scheme}":"{value}"]'


def code_of(text: str) -> tuple[str, str]:
    """Value and scheme of a step.

    >>> code_of("[MDC:2:16160 |QT interval|]"), code_of("[]")
    (('2:16160', 'MDC'), ('', ''))
    """
    found = STEP.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text!r} is no concept. Write it as [SCHEME:VALUE], such as [DCM:121071]."
        )
    if found["quoted_scheme"] is not None:
        value, scheme = found["quoted_value"], found["quoted_scheme"]
        return value.replace('""', '"'), scheme.replace('""', '"')
    return (found["value"] or "").strip(), (found["scheme"] or "").strip()
