"""When a check passes: one small function per action, for what one file can tell."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

from dicomlake.testing.deidbench.answers import Check
from dicomlake.testing.deidbench.reading import Opened, folded, words

Verdict = tuple[float, str]
PASS: Verdict = (1.0, "")
UID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")

_CODES = {
    "pixels": "113101", "graphics": "113103", "structured": "113104", "descriptors": "113105",
    "full_dates": "113106", "modified_dates": "113107", "patient": "113108", "device": "113109",
    "uids": "113110", "safe_private": "113111", "institution": "113112",
}  # fmt: skip


def _failed(why: str) -> Verdict:
    return 0.0, why


def tag_retained(check: Check, text: str | None) -> Verdict:
    """The path exists."""
    return PASS if text is not None else _failed("absent")


def text_notnull(check: Check, text: str | None) -> Verdict:
    """The path exists and says something."""
    return PASS if text else _failed("absent or empty")


def text_retained(check: Check, text: str | None) -> Verdict:
    """The share of the words of `action_text` that are still there; `=` asks for a phrase."""
    if text is None:
        return _failed("absent")
    if check.action_text.startswith("="):
        phrase = folded(check.action_text[1:])
        return PASS if phrase in folded(text) else _failed(f"{phrase!r} is lost")
    wanted = words(check.action_text)
    there = set(words(text))
    lost = [word for word in wanted if word not in there]
    share = 1 - len(lost) / max(len(wanted), 1)
    return share, f"lost: {' '.join(lost[:9])}" if lost else ""


def text_removed(check: Check, text: str | None) -> Verdict:
    """The share of the words of `value_old` that are gone."""
    if not text:
        return PASS
    left = tokens_left(check.value_old, text)
    share = 1 - len(left) / max(len(words(check.value_old, 3)), 1)
    return share, f"left: {len(left)} of its words" if left else ""


def tokens_left(value: str, text: str) -> list[str]:
    """Words of a value, of 3 letters or more, that a text still holds; short ones as whole words.

    >>> tokens_left("Zorbatinx of Bo", "Dr.ZORBATINXs")
    ['zorbatinx']
    """
    plain, whole = folded(text), set(words(text))
    return [w for w in words(value, 3) if (w in plain if len(w) > 6 else w in whole)]


def tag_removed(check: Check, text: str | None) -> Verdict:
    """There is no such path."""
    return PASS if text is None else _failed("present")


def tag_empty_or_dummy(check: Check, text: str | None) -> Verdict:
    """Present, and empty or another value."""
    if text is None:
        return PASS if "absent" in check.action_text else _failed("absent")
    return PASS if not text or not _same(check.value_old, text) else _failed("the old value")


def dummy_valid(check: Check, text: str | None) -> Verdict:
    """Present, not empty, valid, and another value."""
    if text is None:
        return PASS if "absent" in check.action_text else _failed("absent")
    if not text:
        return _failed("empty")
    return PASS if not _same(check.value_old, text) else _failed("the old value")


def _same(old: str, text: str) -> bool:
    return bool(tokens_left(old, text)) or folded(old) == folded(text)


def date_shifted(check: Check, text: str | None) -> Verdict:
    """Absent, empty, or valid and another day; a month or a year may stay what it is."""
    if not text:
        return PASS
    old, new = check.value_old.split("\\"), text.split("\\")
    for value in new:
        if value and not _is_date(value):
            return _failed("no date")
    if "may be equal" in check.action_text:
        return PASS
    left = {value[:8] for value in old} & {value[:8] for value in new if value}
    return PASS if not left else _failed("the old day")


def _is_date(value: str) -> bool:
    pattern = r"\d{4}((0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(\d{2,6}(\.\d{1,6})?)?)?)?([+-]\d{4})?"
    return re.fullmatch(pattern, value) is not None


def uid_changed(check: Check, text: str | None) -> Verdict:
    """The old UID is gone, and what is there is one."""
    if text is None:
        return PASS if "absent" in check.action_text else _failed("absent")
    if check.value_old in text:
        return _failed("the old UID")
    for value in text.split("\\"):
        if not UID.fullmatch(value) or len(value) > 64:
            if not value and "absent" in check.action_text:
                continue
            return _failed("no UID")
    return PASS


def uid_retained(check: Check, text: str | None) -> Verdict:
    """The UID is what it was."""
    return PASS if text == check.value_old else _failed("absent" if text is None else "changed")


def private_retained(check: Check, text: str | None) -> Verdict:
    """The private element is there and says the same."""
    if text is None:
        return _failed("absent")
    return PASS if folded(text) == folded(check.action_text) else _failed("changed")


def report_span(check: Check, text: str | None) -> Verdict:
    """Of what identifies, at least 80 % of the letters are gone; of a phrase, that it is whole."""
    if not text:
        return PASS
    if check.action_text == "phrase":
        whole = re.search(rf"(?<!\w){re.escape(folded(check.value_old))}(?!\w)", folded(text))
        return _failed("still there") if whole else PASS
    all_words = words(check.value_old, 2)
    there = set(words(text))
    left = sum(len(w) for w in all_words if w in there or (len(w) > 6 and w in folded(text)))
    share = 1 - left / max(sum(map(len, all_words)), 1)
    return PASS if share >= 0.8 else _failed(f"{share:.0%} replaced")


TEXTS: dict[str, Callable[[Check, str | None], Verdict]] = {
    "tag_retained": tag_retained,
    "text_notnull": text_notnull,
    "text_retained": text_retained,
    "text_removed": text_removed,
    "tag_removed": tag_removed,
    "tag_empty_or_dummy": tag_empty_or_dummy,
    "dummy_valid": dummy_valid,
    "date_shifted": date_shifted,
    "uid_changed": uid_changed,
    "uid_retained": uid_retained,
    "private_removed": tag_removed,
    "private_retained": private_retained,
    "report_span": report_span,
}
"""Actions that need no more than what a path says now; None: there is no such path."""


def valid_value(opened: Opened, check: Check) -> Verdict:
    """Whether the value at a path is one of its VR."""
    from pydicom import config
    from pydicom.valuerep import validate_value

    found = opened.element(check.path)
    if found is None or found.VR == "SQ" or found.value is None:
        return PASS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = found.value if type(found.value).__name__ == "MultiValue" else [found.value]
        try:
            for value in values:
                validate_value(
                    found.VR, str(value) if found.VR in _WRITTEN else value, config.RAISE
                )
        except (ValueError, TypeError) as error:
            return _failed(f"no {found.VR}: {type(error).__name__}")
    return PASS


_WRITTEN = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UR"]
)


def markers(check: Check, opened: Opened, options: frozenset[str], words_in: bool) -> Verdict:
    """What an object says about its de-identification (PS3.15 E.1, PS3.3 C.12.1.1.2).

    `words_in`: whether words were burned into its pixels.
    """
    removed = opened.text("(0012,0062)")
    if "pixels" not in options and removed != "YES":
        return PASS  # nobody has looked at the pixels
    if "pixels" not in options and words_in:
        return _failed("(0012,0062) is YES")
    if removed != "YES":
        return _failed("(0012,0062) is not YES")
    sequence = opened.element("(0012,0064)")
    items = sequence.value if sequence is not None and sequence.VR == "SQ" else ()
    said = {str(item.get("CodeValue", "")) for item in items}
    possible = {"113100"} | {code for name, code in _CODES.items() if name in options}
    needed = possible - {"113101", "113103"}
    if missing := sorted(needed - said):
        return _failed(f"(0012,0064) lacks {', '.join(missing)}")
    if more := sorted(said - possible):
        return _failed(f"(0012,0064) has {', '.join(more)}")
    times = "MODIFIED" if "modified_dates" in options else "REMOVED"
    times = "UNMODIFIED" if "full_dates" in options else times
    if opened.text("(0028,0303)") != times:
        return _failed(f"(0028,0303) is not {times}")
    if "pixels" in options and words_in:
        if opened.text("(0028,0301)") != "NO":
            return _failed("(0028,0301) is not NO")
        if "113101" not in said:
            return _failed("(0012,0064) lacks 113101")
    return PASS


def meta_clean(check: Check, opened: Opened, tokens: list[str]) -> Verdict:
    """What stands before the data set, and the path of the file; `tokens` of this patient."""
    if any(opened.data[:128]):
        return _failed("the preamble is not zero")
    meta: Any = opened.dataset.file_meta
    for tag in (0x00020016, 0x00020017, 0x00020018, 0x00020100, 0x00020102):
        if tag in meta:
            return _failed(f"(0002,{tag & 0xFFFF:04X})")
    named = str(getattr(meta, "MediaStorageSOPInstanceUID", ""))
    if named != opened.text("(0008,0018)"):
        return _failed("(0002,0003) is not (0008,0018)")
    place = folded(opened.name)
    if any(folded(token) in place for token in tokens):
        return _failed("an old value in the path")
    return PASS


__all__ = ["PASS", "TEXTS", "markers", "meta_clean", "tokens_left", "valid_value"]
