"""What a check finds: problems, with the place in the resource where each is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place of a resource. Texts hold no values, so they can be shown and kept.

    `severity` is "error" where the resource is not valid, "warning" where it is and should still be
    otherwise: a code without a system says nothing. `about` is type and id of a resource of a set.
    """

    path: str
    severity: str
    text: str
    about: str = ""

    def __str__(self) -> str:
        about = f"{self.about} " if self.about else ""
        return f"{self.severity} {about}{self.path}: {self.text}"


class Found(list[list[str]]):
    """Problems found so far, each a place, a severity and a text; places grow from the inside."""

    __slots__ = ("in_bundle", "inside")

    def __init__(self) -> None:
        super().__init__()
        self.in_bundle = False
        self.inside = False

    def error(self, text: str, path: str = "") -> None:
        """Add what makes a resource invalid."""
        self.append([path, "error", text])

    def warning(self, text: str, path: str = "") -> None:
        """Add what is valid and should be otherwise."""
        self.append([path, "warning", text])

    def below(self, start: int, name: str) -> None:
        """Say of the problems from a number on that they are inside of an element, or item."""
        for one in self[start:]:
            inner = one[0]
            one[0] = name + inner if not inner or inner[0] == "[" else f"{name}.{inner}"


Check = Callable[[Any, Found], None]
"""Looks at a value and adds what is wrong with it."""


def named(key: object) -> str:
    """A name of an element as problems show it: what cannot be one is not shown.

    >>> named("status"), named("Meier, Anna")
    ('status', '?')
    """
    return key if isinstance(key, str) and _NAME.fullmatch(key) else "?"
