"""Numbers, addresses and places in texts: what has a shape, a check digit or a label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from dicomlake.contracts.deid import Kind, Span
from dicomlake.deid.text.folding import folded
from dicomlake.deid.text.languages import Rules

_BACK = 60

_MAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,}")
_URL = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"')\]]+|\bwww\.[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"')\]]*)?"
)
_IP = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d]|\.\d)"
)
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])")
_UID = re.compile(r"(?<![\d.])(?:2\.25\.[1-9]\d{9,38}|[0-2](?:\.(?:0|[1-9]\d*)){5,})(?![\d.]?\d)")
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:"
    r"\+\d{1,3}[ ./-]?(?:\(0?\d{0,5}\)[ ./-]?)?\d{1,5}(?:[ ./-]?\d{2,8}){1,5}"
    r"|00[1-9]\d[ ./-]?\d{1,5}(?:[ ./-]\d{2,8}){1,5}"
    r"|\(\d{2,6}\)[ ]?\d{3,4}[ -]?\d{2,5}"
    r"|[2-9]\d{2}[-.][2-9]\d{2}[-.]\d{4}"
    r"|0\d{2,5}[ ]?[/–-][ ]?\d{2,}(?:[ -]?\d{1,6}){0,3}"
    r"|0\d{2,4}[ ]\d{4,8}"
    r"|0\d{2,4}[ ]\d{3}[ ]\d{3,4}"
    r"|0[1-9](?:[ .-]\d{2}){4}"
    r"|[89]\d[ ]\d{3}[ ]\d{2}[ ]\d{2}"
    r"|[6789]\d{2}[ ]\d{3}[ ]\d{3}|[6789]\d{2}(?:[ ]\d{2}){3}"
    r"|(?<=[ (])(?:555-\d{4})"
    r")(?![\w]|[./-]\d)"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){3,7}(?:[ ]?[A-Z0-9]{1,4})?\b")
_KVNR = re.compile(r"\b[A-Z]\d{9}\b")
_NIR = re.compile(
    r"(?<!\d)[1278][ ]?\d{2}[ ]?(?:0[1-9]|1[0-2]|[2-9]\d)[ ]?(?:\d{2}|2[AB])"
    r"[ ]?\d{3}[ ]?\d{3}(?:[ ]?\d{2})?(?!\d)"
)
_DNI = re.compile(r"\b(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZ]-?\d{7})[ -]?[A-Z]\b")
_NHS = re.compile(r"(?<![\d.])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\d.])")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-\d{2}-\d{4}(?![\d-])")
_AHV = re.compile(r"\b756\.\d{4}\.\d{4}\.\d{2}\b")
_NUMBER = re.compile(
    r"(?<![\w.,+/-])(?=[A-Za-z0-9._/-]*\d)[A-Za-z0-9]+"
    r"(?:[._/-][A-Za-z0-9]+)*(?:[ ]\d{2,}(?![\d.,]*[ ]?[%a-zµ]))*"
)
_LONG = re.compile(
    r"(?<![\w.,/+-])(?:\d{7,}|[A-Z]{1,5}[-_]?\d{6,}|[A-Z]{2,5}-?\d{2,4}-\d{4,})(?![\w]|[.,]\d)"
)
_DIALLED = re.compile(r"[+(]?\d[\d ()/.–-]{2,}\d(?:[ ]?(?:ext|x|dw)\.?[ ]?\d+)?", re.IGNORECASE)
_COLON = re.compile(r"[:=][ \t]*")
_PLACE_END = re.compile(
    r"[;|\t\n]|[ ]{2,}|,?[ ](?:[Tt]el|[Pp]hone|[Ff]ax|T[ée]l|Tlf)\b|\.(?=[ \n]|$)"
)
_WORD = re.compile(r"[^\W\d_]+")


def shaped(text: str, small: str, rules: Rules) -> Iterator[Span]:
    """Spans of what is told by its shape; `small` is the folded text."""
    if "@" in text:
        yield from _all(_MAIL, text, "mail", "mail address")
    if "://" in text or "www." in text:
        yield from _all(_URL, text, "url", "web address")
    if any(map(str.isdigit, text)):
        yield from _numbers(text, small, rules)
    if ":" in text or "=" in text:
        yield from _labelled_places(text, rules)
    for pattern in rules.shapes["institutions"]:
        for found in pattern.finditer(text):
            if _names_one(found[0], rules):
                yield Span(found.start(), found.end(), "place", "institution")


def _all(pattern: re.Pattern[str], text: str, kind: Kind, name: str) -> Iterator[Span]:
    for found in pattern.finditer(text):
        yield Span(found.start(), found.end(), kind, name)


def _numbers(text: str, small: str, rules: Rules) -> Iterator[Span]:
    for name, pattern, right in _CHECKED:
        for found in pattern.finditer(text):
            if right(found[0]):
                yield Span(found.start(), found.end(), "id", name)
    yield from _all(_UID, text, "id", "UID")
    yield from _all(_MAC, text, "id", "network address")
    for found in _IP.finditer(text):
        if not _is_model(small, found.start(), rules) and int(found[0].split(".")[0]) >= 10:
            yield Span(found.start(), found.end(), "url", "network address")
    for found in _PHONE.finditer(text):
        if not _follows_unit(small, found.end(), rules):
            yield Span(found.start(), found.end(), "phone", "phone number")
    yield from _labelled(text, small, rules)
    for pattern in rules.shapes["ages"]:
        for found in pattern.finditer(text):
            if 89 < int(found["age"]) < 125 and not _follows_unit(small, found.end(), rules):
                yield Span(*found.span("age"), "age", "age")
    for key in ("addresses", "postcodes"):
        for pattern in rules.shapes[key]:
            for found in pattern.finditer(text):
                if not _measures(small, found, rules):
                    yield Span(found.start(), found.end(), "place", key)
    for found in _LONG.finditer(text):
        if not (_is_code(small, found, rules) or _follows_unit(small, found.end(), rules)):
            yield Span(found.start(), found.end(), "id", "long number")


def _labelled(text: str, small: str, rules: Rules) -> Iterator[Span]:
    """Numbers after labels, such as MRN or Tel."""
    for found in _NUMBER.finditer(text):
        begin = found.start()
        while begin and text[begin - 1] in "+(#":
            begin -= 1
        before = text[max(0, begin - _BACK) : begin]
        if rules.labels["ids"].search(before):
            sure = before.rstrip()[-1:] in ":=#."
            value = found[0]
            digits = sum(map(str.isdigit, value))
            if _follows_unit(small, found.end(), rules) and digits < 5:
                continue
            if digits >= 2 and (len(value) >= 4 or (sure and len(value) >= 3)):
                yield Span(begin, found.end(), "id", "labelled number")
        elif rules.labels["phones"].search(before):
            dialled = _DIALLED.match(text, begin)
            if dialled:
                yield Span(begin, dialled.end(), "phone", "phone number")
            elif found[0].isdigit() and 3 <= len(found[0]) <= 6:
                yield Span(begin, found.end(), "phone", "phone number")
        elif rules.labels["dates"].search(before):
            born = re.match(r"\d{6}(?:\d\d)?(?!\d)", found[0])
            if born:
                yield Span(begin, begin + born.end(), "date", "labelled date")


def _labelled_places(text: str, rules: Rules) -> Iterator[Span]:
    for colon in _COLON.finditer(text):
        before = text[max(0, colon.start() - _BACK) : colon.end()]
        if not rules.labels["places"].search(before):
            continue
        limit = min(len(text), colon.end() + 120)
        stop = _PLACE_END.search(text, colon.end(), limit)
        while (
            stop
            and stop[0] == "."
            and re.search(r"\b(?:St|Str|str|Av|Dr|Pl|C|Avda)\Z", text[: stop.start()])
        ):
            stop = _PLACE_END.search(text, stop.end(), limit)
        end = stop.start() if stop else limit
        value = text[colon.end() : end].rstrip(" ,")
        if value and value[0].isalnum() and _names_one(value, rules) and not value[0].islower():
            yield Span(colon.end(), colon.end() + len(value), "place", "labelled place")


def _names_one(value: str, rules: Rules) -> bool:
    """Whether anything in it is a name, and not only words of hospitals."""
    return any(
        word[0].isupper() and len(word) > 2
        and folded(word) not in rules.words and folded(word) not in rules.particles
        for word in _WORD.findall(value)
    )  # fmt: skip


def _measures(small: str, found: re.Match[str], rules: Rules) -> bool:
    words = _WORD.findall(small[found.start() : found.end()])
    return bool(words) and found[0][:1].isdigit() and words[0] in rules.units


def _follows_unit(small: str, end: int, rules: Rules) -> bool:
    after = re.match(r"[ ]?([^\W\d_]+|[%°])", small[end : end + 12])
    return after is not None and after[1] in rules.units and after[1] != "x"


def _is_model(small: str, start: int, rules: Rules) -> bool:
    before = re.search(r"([^\W\d_]+)\.?[ \t:#-]*\Z", small[max(0, start - 16) : start])
    return before is not None and before[1] in rules.before_models


def _is_code(small: str, found: re.Match[str], rules: Rules) -> bool:
    """Whether a number is that of a coding scheme, a version or a unit."""
    before = re.findall(r"[^\W\d_][\w-]*", small[max(0, found.start() - 20) : found.start()])[-2:]
    if any(word in rules.schemes or word in rules.before_models for word in before):
        return True
    after = re.match(r"[ \t]*[,|^][ \t]*\"?([a-z][\w-]*)", small[found.end() : found.end() + 14])
    if after and after[1] in rules.schemes:
        return True
    return bool(re.match(r"(?:rid|t-|g-|m-|p\d-)\d", small[found.start() : found.end()]))


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c.isdigit()]


def _kvnr(text: str) -> bool:
    """Number of an insured person in Germany: the letter as two digits, weights 1 and 2."""
    digits = _digits(f"{ord(text[0]) - 64:02d}{text[1:9]}")
    total = sum(sum(divmod(d * (1 + n % 2), 10)) for n, d in enumerate(digits))
    return total % 10 == int(text[-1])


def _nir(text: str) -> bool:
    """Number of social security in France: 97 less the rest by 97 is the key."""
    plain = text.replace(" ", "").replace("2A", "19").replace("2B", "18")
    return len(plain) == 13 or (len(plain) == 15 and 97 - int(plain[:13]) % 97 == int(plain[13:]))


def _dni(text: str) -> bool:
    """DNI and NIE of Spain: the letter is the rest by 23."""
    plain = re.sub(r"[ .-]", "", text)
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == plain[-1]


def _nhs(text: str) -> bool:
    """NHS number: weights 10 to 2, modulo 11."""
    digits = _digits(text)
    check = 11 - sum(d * w for d, w in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check % 11 == digits[-1] and check != 10


def _iban(text: str) -> bool:
    plain = text.replace(" ", "")
    number = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(number) % 97 == 1


def _ean(text: str) -> bool:
    """AHV number of Switzerland: the check digit of EAN-13."""
    digits = _digits(text)
    return sum(d * (3 if n % 2 else 1) for n, d in enumerate(digits)) % 10 == 0


def _always(_: str) -> bool:
    return True


_CHECKED: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("bank account", _IBAN, _iban),
    ("insurance number (DE)", _KVNR, _kvnr),
    ("social security number (FR)", _NIR, _nir),
    ("identity number (ES)", _DNI, _dni),
    ("NHS number", _NHS, _nhs),
    ("social security number (US)", _SSN, _always),
    ("social security number (CH)", _AHV, _ean),
)
