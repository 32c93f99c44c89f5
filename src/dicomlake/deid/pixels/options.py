"""What a profile may say of pixels: the options of the step, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from dicomlake.errors import UsageError

LOOKS = ("suspected", "all")
"""Which objects are searched for text: those that may have some, or every one with pixels."""
POLICIES = ("blank_all_text", "blank_identifying_text")


@dataclass(frozen=True, slots=True)
class Options:
    """How pixels are made harmless.

    `look`: at which objects. `policy`: all text goes, or only what is not known to be harmless.
    `markers`: a letter L or R that stands alone stays. `devices`: files of rules of a site, beside
    ours. `regions`: whether the regions of ultrasound say what stays. `most_frames`: of so many
    frames each one is searched for text, of more as many as differ most. `most_rounds`: how often a
    frame is searched again before it is given up. `threads` of the detection; 0: all.
    """

    look: str = "suspected"
    policy: str = "blank_all_text"
    markers: bool = True
    devices: tuple[str, ...] = ()
    regions: bool = True
    most_frames: int = 12
    most_rounds: int = 3
    threads: int = 1

    def __post_init__(self) -> None:
        _one_of("look", self.look, LOOKS)
        _one_of("policy", self.policy, POLICIES)
        for name in ("most_frames", "most_rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} of pixels is 1 or more, not {getattr(self, name)}.")


def options_of(said: Options | Mapping[str, Any] | None) -> Options:
    """Options as a profile writes them; UsageError for one that there is not.

    >>> options_of({"look": "all"}).look
    'all'
    """
    if isinstance(said, Options):
        return said
    told = dict(said or {})
    known = {each.name: each.type for each in fields(Options)}
    for name, value in told.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(known)}."
            raise UsageError(f"Pixels have no option {name!r}.{hint}")
        if name == "devices":
            told[name] = (value,) if isinstance(value, str) else tuple(map(str, value))
        elif not isinstance(value, type(getattr(_DEFAULT, name))):
            kind = type(getattr(_DEFAULT, name)).__name__
            raise UsageError(f"The option {name} of pixels is of type {kind}, not {value!r}.")
    return Options(**told)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} of pixels is {' or '.join(allowed)}, not {value!r}.")


_DEFAULT = Options()
