"""Profiles: which options of PS3.15 E hold, and what a site decides for single attributes.

A profile is a YAML file; ours lie beside this one:

    extends: basic
    title: For the study on aneurysms
    options: [modified-dates, device]
    attributes:
      PatientSex: K
      (0029,"CREATOR",10): X
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from dicomlake.deid import tables
from dicomlake.deid.tables import OPTIONS, Private
from dicomlake.dicom import dictionary
from dicomlake.errors import UsageError

ACTIONS = {
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy value",
    "U": "replaced by another UID",
    "C": "cleaned",
    "K": "kept",
}
"""Actions of PS3.15 Table E.1-1."""
Dates = Literal["removed", "modified", "kept"]
_KEYS = ("name", "title", "extends", "options", "attributes", "private", "pixels")
_CHOICES = frozenset([*ACTIONS, "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"])
_STRICT = "KCUDZX"
"""Actions, the most protective one last."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a profile does with an attribute, and why: in words, for plans and reports."""

    action: str
    why: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Which options hold, and what is done with single attributes.

    `attributes`: actions of the site by tag or private attribute. `private`: who says which private
    attributes stay beside the option: nobody, or The Cancer Imaging Archive ("tcia"). `pixels`:
    options of the step that cleans pixels (`dicomlake.deid.pixels.Options`).
    """

    name: str
    title: str = ""
    options: frozenset[str] = frozenset()
    attributes: Mapping[int | Private, str] = field(default_factory=dict)
    private: str = ""
    pixels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dates(self) -> Dates:
        """What happens to dates and times."""
        if "modified-dates" in self.options:
            return "modified"
        return "kept" if "full-dates" in self.options else "removed"

    @property
    def keeps_private(self) -> bool:
        """Whether any private attribute may stay."""
        own = any(not isinstance(key, int) for key in self.attributes)
        return bool("safe-private" in self.options or self.private or own)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of CID 7050: of the profile, then of its options."""
        return (tables.BASIC, *sorted(OPTIONS[one] for one in self.options))

    @property
    def digest(self) -> str:
        """Of all rules: equal when they do the same."""
        rules = sorted(map(repr, self.attributes.items()))
        said = (sorted(self.options), self.private, rules, sorted(self.pixels.items()))
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    def decide(self, tag: int) -> Decision | None:
        """What Table E.1-1, an option or the site says about a public attribute, or None."""
        if tag in self.attributes:
            return Decision(self.attributes[tag], "rule of the site")
        row = tables.row_of(tag)
        if row is None:
            return None
        said = {row.options[name]: name for name in self.options if name in row.options}
        if not said:
            return Decision(row.basic, "Basic Profile")
        action = max(said, key=_STRICT.index)
        return Decision(action, f"option {said[action]}")

    def decide_private(self, key: Private) -> tuple[Decision, str]:
        """What happens to a private attribute, and the VR that its list gives it ("" if none)."""
        if key in self.attributes:
            return Decision(self.attributes[key], "rule of the site"), ""
        if "safe-private" in self.options and key in tables.safe():
            return Decision("K", "option safe-private"), tables.safe()[key]
        if self.private == "tcia" and key in tables.dispositions():
            found = tables.dispositions()[key]
            action = {"k": "K", "h": "U", "o": "C"}.get(found.letter, "X")
            return Decision(action, "list of The Cancer Imaging Archive"), found.vr
        return Decision("X", "private"), ""


def names() -> list[str]:
    """Names of the profiles that come with dicomlake.

    >>> names()[:3]
    ['basic', 'research', 'research-full-dates']
    """
    folder = resources.files(__package__)
    return sorted(one.name[:-5] for one in folder.iterdir() if one.name.endswith(".yaml"))


def profile_of(name: str | Path) -> Profile:
    """The profile of a name, of an option, or of a YAML file; UsageError when it cannot be.

    >>> profile_of("research").dates, profile_of("device").codes
    ('modified', ('113100', '113109'))
    """
    text = str(name)
    if text in names():
        return _ours(text)
    if text in OPTIONS:
        return Profile(text, f"Basic Profile with {text}", _options([text], text))
    if not text.endswith((".yaml", ".yml")):
        raise UsageError(
            f"There is no profile {text!r}.{_meant(text, [*names(), *OPTIONS])} There are: "
            f"{', '.join(names())}, or the path of a YAML file."
        )
    try:
        said = Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The profile {text!r} cannot be read. Is it a text in UTF-8?") from error
    return parsed(said, Path(text).stem)


@cache
def _ours(name: str) -> Profile:
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return parsed(text, name)


def parsed(text: str, name: str) -> Profile:
    """The profile that a YAML text describes; UsageError says what is wrong in it."""
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"The profile {name!r} is no YAML: {error}") from error
    if not isinstance(said, dict):
        raise UsageError(f"The profile {name!r} is empty. Write at least: extends: basic")
    for key in said:
        if key not in _KEYS:
            raise UsageError(f"A profile has no {key!r}.{_meant(str(key), _KEYS)}")
    under = Profile("") if name == "basic" else profile_of(str(said.get("extends", "basic")))
    options = frozenset(_options(_list(said, "options"), name)) | under.options
    if {"full-dates", "modified-dates"} <= options:
        options -= {"full-dates"}
        if {"full-dates", "modified-dates"} <= set(_list(said, "options")):
            raise UsageError(
                f"The profile {name!r} names full-dates and modified-dates; choose one of them."
            )
    private = str(said.get("private", under.private))
    if private not in ("", "tcia"):
        raise UsageError(f"private: {private!r} is none of: tcia. Leave it out for none.")
    return Profile(
        str(said.get("name", name)),
        str(said.get("title", "")),
        options,
        {**under.attributes, **_attributes(said.get("attributes") or {}, name)},
        private,
        {**under.pixels, **_pixels(said.get("pixels") or {}, name)},
    )


def _pixels(said: Any, name: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise UsageError(f"pixels of the profile {name!r} are lines such as: look: all")
    from dicomlake.deid.pixels.options import options_of

    options_of(said)  # a mistake is told at once
    return dict(said)


def _list(said: Mapping[str, Any], key: str) -> list[str]:
    found = said.get(key) or []
    if not isinstance(found, list):
        raise UsageError(f"{key} of a profile is a list, such as: {key}: [modified-dates]")
    return [str(one) for one in found]


def _options(said: list[str], name: str) -> frozenset[str]:
    for one in said:
        if one not in OPTIONS:
            raise UsageError(
                f"{one!r} of the profile {name!r} is no option.{_meant(one, OPTIONS)} There are: "
                f"{', '.join(OPTIONS)}."
            )
    return frozenset(said)


def _attributes(said: Any, name: str) -> dict[int | Private, str]:
    if not isinstance(said, dict):
        raise UsageError(f"attributes of the profile {name!r} are lines such as: PatientSex: K")
    found: dict[int | Private, str] = {}
    for path, action in said.items():
        if str(action) not in _CHOICES:
            raise UsageError(
                f"{path}: {action!r} is no action. Choose one of: "
                f"{', '.join(f'{one} ({what})' for one, what in ACTIONS.items())}."
            )
        found[_key(str(path))] = str(action)
    return found


def _key(path: str) -> int | Private:
    """What a path names: a tag, or group, creator and byte of a private attribute."""
    if m := dictionary.PRIVATE.fullmatch(path):
        return int(m[1], 16), m[2].replace('""', '"'), int(m[3], 16)
    if m := dictionary.RAW.fullmatch(path):
        return int(m[1] + m[2], 16)
    return dictionary.tag_of(path)


def _meant(said: str, known: Any) -> str:
    near = difflib.get_close_matches(said, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def statement(profile: Profile) -> str:
    """The conformance statement of a profile, as Markdown (PS3.15 E.1.1, PS3.16 CID 7050)."""
    meanings = tables.concepts()
    lines = [
        f"# De-identification with the profile {profile.name}",
        "",
        profile.title,
        "",
        "DICOM PS3.15 Annex E, Table E.1-1: actions of edition 2026c, those of options of 2024e.",
        "",
        "| code (DCM) | meaning |",
        "|---|---|",
        *(f"| {code} | {meanings[code]} |" for code in profile.codes),
        "",
        f"Dates and times: {_DATES[profile.dates]}.",
        "",
        "Attributes outside the table: dates, times and UIDs as those in it; names of persons go; "
        "texts are cleaned of what is known of the patient; what no dictionary knows is removed.",
        "",
        f"Private attributes: {_PRIVATE[_private(profile)]}.",
    ]
    if profile.attributes:
        lines += ["", "| attribute | action of the site |", "|---|---|"]
        lines += [f"| {_path(key)} | {act} |" for key, act in profile.attributes.items()]
    return "\n".join(lines) + "\n"


_DATES = {
    "removed": "removed, emptied, or replaced by a dummy where the object needs one",
    "modified": "moved by so many days as the key gives for each patient",
    "kept": "kept",
}
_PRIVATE = {
    "": "all removed",
    "safe": "those kept that PS3.15 Table E.3.10-1 (2020b) or the object itself declares safe",
    "tcia": "treated as The Cancer Imaging Archive does (no option of the Standard)",
}


def _private(profile: Profile) -> str:
    return profile.private or ("safe" if "safe-private" in profile.options else "")


def _path(key: int | Private) -> str:
    return (
        dictionary.public_segment(key) if isinstance(key, int) else dictionary.private_segment(*key)
    )
