"""A plan: what happens to each attribute that occurs somewhere, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from dicomlake.contracts.deid import Identity
from dicomlake.deid import levels
from dicomlake.deid.levels import Act, Level
from dicomlake.deid.profiles import Profile
from dicomlake.deid.rewriting import dummy_of
from dicomlake.deid.sweeping import Sweeper
from dicomlake.dicom import dictionary

WORDS = {
    levels.KEEP: "kept",
    levels.SWEEP: "kept, cleaned of what identifies",
    levels.GONE: "removed",
    levels.EMPTY: "emptied",
    levels.DUMMY: "replaced by a dummy value",
    levels.UID: "replaced by another UID",
    levels.DATE: "moved",
    levels.AGE: "kept, ages over 89 as 90",
    levels.NUMBER: "kept",
    levels.RECURSE: "entered: each attribute inside as planned for it",
    levels.PSEUDONYM: "replaced by the pseudonym",
    levels.NAME: "replaced by the pseudonym",
}
"""What is done, as people say it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An attribute that occurs in so many objects of a SOP class, and one of its values."""

    SOPClassUID: str
    path: str
    vr: str
    objects: int
    example: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """What happens to an attribute: the action of the Standard ("" for those outside its table), in
    words, and why; `before` and `after` are an example where somebody may see it."""

    path: str
    name: str
    vr: str
    objects: int
    action: str
    what: str
    why: str
    before: str = ""
    after: str = ""


class Example:
    """What values would become; with a key that nobody keeps."""

    def __init__(self, identity: Identity, sweeper: Sweeper) -> None:
        self._identity, self._sweeper = identity, sweeper

    def after(self, act: Act, value: str) -> str:
        """What a value becomes; "" where nothing is left."""
        if act.do in (levels.GONE, levels.EMPTY, levels.RECURSE):
            return ""
        if act.do == levels.UID:
            return self._identity.uid(value)
        if act.do == levels.DATE:
            return self._identity.moved(value, act.vr)
        if act.do == levels.DUMMY:
            return dummy_of(act.vr).decode("ascii", "replace").strip("\0 ")
        if act.do in (levels.PSEUDONYM, levels.NAME):
            return self._identity.id(value)
        if act.do == levels.SWEEP and act.swept and value not in act.listed:
            raw = value.encode("utf-8", "replace")
            made = self._sweeper.clean(raw, act.vr, "ISO_IR 192", act.swept)
            return made.decode("utf-8", "replace")
        return value


def planned(
    profile: Profile, seen: Iterable[Seen], example: Example | None = None
) -> list[Planned]:
    """What happens to attributes, by path; those of several SOP classes together where it is the
    same. Without `example` no value is told.

    >>> from dicomlake.deid.profiles import profile_of
    >>> ct = "1.2.840.10008.5.1.4.1.1.2"
    >>> planned(profile_of("basic"), [Seen(ct, "PatientSex", "CS", 7)])[0].what
    'emptied'
    """
    tops: dict[str, Level] = {}
    found: dict[tuple[str, str, str, str], Planned] = {}
    for one in seen:
        top = tops.setdefault(one.SOPClassUID, Level(profile, one.SOPClassUID))
        made = _planned(profile, top, one, example)
        key = (made.path, made.vr, made.what, made.why)
        before = found.get(key)
        if before is not None:
            made = replace(
                made,
                objects=made.objects + before.objects,
                before=before.before or made.before,
                after=before.after if before.before else made.after,
            )
        found[key] = made
    return sorted(found.values(), key=lambda one: (one.path, one.vr, -one.objects))


def _planned(profile: Profile, top: Level, one: Seen, example: Example | None) -> Planned:
    act, inside = _act(profile, top, one)
    about = dictionary.attribute(one.path)
    kept = act.do == levels.DATE and profile.dates == "kept"
    what = WORDS[levels.KEEP] if kept else WORDS[act.do]
    if inside:
        what = "goes with its sequence"
    shown = example is not None and bool(one.example) and one.vr != "SQ"
    return Planned(
        one.path,
        about.name,
        one.vr,
        one.objects,
        act.action,
        what,
        act.why,
        one.example if shown else "",
        example.after(act, one.example) if shown and example is not None and not inside else "",
    )


def _act(profile: Profile, top: Level, one: Seen) -> tuple[Act, bool]:
    """What is done with an attribute, and whether the sequence around it goes."""
    level, parts = top, dictionary.segments(one.path)
    act = None
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        act = _step(profile, level, part, one.vr if last else "SQ")
        if last:
            break
        if act.inside is None:
            return act, True
        level = act.inside
    assert act is not None
    return act, False


def _step(profile: Profile, level: Level, part: str, vr: str) -> Act:
    if m := dictionary.PRIVATE.fullmatch(part):
        key = (int(m[1], 16), m[2].replace('""', '"'), int(m[3], 16))
        decision, known = profile.decide_private(key)
        if level.strict:
            return Act(levels.GONE, vr, "X", "private")
        said = vr if vr in levels.VRS and vr != "UN" else known or "UN"
        if said == "UN" and decision.why != "rule of the site":
            return Act(levels.GONE, vr, "X", "private, and of no known kind")
        return level.private(said, decision, part)
    if m := dictionary.RAW.fullmatch(part):
        number = int(m[1] + m[2], 16)
        if (number >> 16) & 1:
            stays = 0x10 <= number & 0xFFFF <= 0xFF
            why = "creator of private attributes" if stays else "private"
            return Act(levels.GONE, vr, "X", why)
    else:
        number = dictionary.tag_of(part)
    raw = number.to_bytes(4, "big")
    return level[bytes((raw[1], raw[0], raw[3], raw[2])), vr.encode("ascii", "replace")]


def totals(rows: Iterable[Planned]) -> dict[str, int]:
    """How many attributes each thing happens to."""
    found: dict[str, int] = {}
    for one in rows:
        found[one.what] = found.get(one.what, 0) + 1
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def html(profile: Profile, rows: Iterable[Planned]) -> Iterator[str]:
    """A page that shows a plan, in pieces."""
    from html import escape

    yield (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>Plan: {escape(profile.name)}</title><style>body{{font:14px system-ui;margin:2em}}"
        "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:4px 8px;"
        "text-align:left;vertical-align:top}</style>"
        f"<h1>What {escape(profile.name)} does</h1><p>{escape(profile.title)}</p>"
        "<table><tr><th>attribute<th>VR<th>objects<th>action<th>what<th>why<th>before<th>after"
    )
    for one in rows:
        cells = (one.path, one.vr, f"{one.objects:,}", one.action, one.what, one.why, one.before,
                 one.after)  # fmt: skip
        yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells)
    yield "</table></html>"
