"""Queries answered the slow and plain way: every condition on every value of every header.

Shares nothing with the engines but the tables `instances` and `series`.
"""

import base64
import datetime as dt
import fnmatch
import json
import re
from collections import defaultdict

from pydicom.datadict import keyword_for_tag, private_dictionary_VR
from pydicom.sr._snomed_dict import mapping

from dicomlake.query import (
    Age,
    And,
    Between,
    Compare,
    Contains,
    Exists,
    Like,
    Missing,
    Not,
    OneOf,
    Or,
    Related,
    Same,
    Within,
)

NUMBERS = "DS FD FL IS SL SS SV UL US UV".split()
BULK = "OB OD OF OL OV OW UN".split()
DAYS = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}
SIZE = {"patient": 0, "study": 1, "series": 2, "instance": 3}


class Brute:
    """Answers by looking at everything."""

    def __init__(self, store):
        series = {row["series_id"]: row for row in store.read("series").to_pylist()}
        self.instances = []
        for row in store.read("instances").to_pylist():
            about = series[row["series_id"]]
            header = json.loads(row["header"])
            values = defaultdict(list)
            for path, value in flat(header):
                values[path].append(value)
                last = "*." + path.split(".")[-1] if '"' not in path else None
                if last:
                    values[last].append(value)
            day = next(
                (about[k] for k in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
                 if about[k]),
                None,
            )  # fmt: skip
            self.instances.append(
                {
                    "patient": about["patient_key"],
                    "study": about["study_key"],
                    "series": about["series_id"],
                    "instance": row["SOPInstanceUID"],
                    "day": day,
                    "header": header,
                    "values": values,
                    "names": {
                        "patient": about["PatientID"],
                        "study": about["StudyInstanceUID"],
                        "series": about["SeriesInstanceUID"],
                        "instance": row["SOPInstanceUID"],
                    },
                }
            )
        self.groups = {level: self._grouped(level) for level in SIZE}
        self._known = {}

    def _grouped(self, level):
        groups = defaultdict(list)
        for instance in self.instances:
            groups[instance[level]].append(instance)
        return groups

    def answer(self, node, level):
        """Names of what meets a condition, sorted; None is an empty one."""
        self._known.clear()
        found = [
            group[0]["names"][level]
            for group in self.groups[level].values()
            if self.holds(node, level, group)
        ]
        return sorted(name or "" for name in found)

    def holds(self, node, level, group):
        """Whether a condition holds on all instances of a patient, study or series, or on one."""
        key = (id(node), level, group[0][level])
        if key not in self._known:
            self._known[key] = self._holds(node, level, group)
        return self._known[key]

    def _holds(self, node, level, group):
        if isinstance(node, And):
            return all(self.holds(part, level, group) for part in node.parts)
        if isinstance(node, Or):
            return any(self.holds(part, level, group) for part in node.parts)
        if isinstance(node, Not):
            return not self.holds(node.part, level, group)
        if isinstance(node, Missing):
            return not any(leaf(Exists(node.path), instance["values"]) for instance in group)
        if isinstance(node, Same):
            return self._same(node, level, group)
        if isinstance(node, Related):
            return self._related(node, group)
        if re.fullmatch("NumberOf.*Related.*s", node.path):
            return any(test(node, count(self.groups, node.path, one)) for one in group)
        return any(leaf(node, instance["values"]) for instance in group)

    def _same(self, node, level, group):
        if node.level == "item":
            return any(one_item(node.part, instance["header"]) for instance in group)
        if SIZE[node.level] < SIZE[level]:
            group = self.groups[node.level][group[0][node.level]]
        keys = {instance[node.level] for instance in group}
        parts = [[i for i in group if i[node.level] == key] for key in keys]
        return any(self.holds(node.part, node.level, part) for part in parts)

    def _related(self, node, group):
        low, high = node.days_low, node.days_high
        if low is None:
            low = 1 if high is None and node.relation != "within" else 0
        high = 10**9 if high is None else high
        for first in {instance["series"] for instance in group}:
            first = self.groups["series"][first]
            if first[0]["day"] is None or not self.holds(node.first, "series", first):
                continue
            for other in {i["series"] for i in self.groups["patient"][first[0]["patient"]]}:
                other = self.groups["series"][other]
                if other[0]["day"] is None or not self.holds(node.second, "series", other):
                    continue
                days = (other[0]["day"] - first[0]["day"]).days
                days = {"before": days, "after": -days, "within": abs(days)}[node.relation]
                if low <= days <= high:
                    return True
        return False


def count(groups, path, instance):
    """A count as archives answer it."""
    level, what = re.fullmatch("NumberOf(.*)Related(.*)", path).groups()
    what = {"Instances": "instance", "Series": "series", "Studies": "study"}[what]
    return [
        {"number": float(len({i[what] for i in groups[level.lower()][instance[level.lower()]]}))}
    ]


def one_item(node, header):
    """Whether one item of a sequence at the top meets conditions on what is in it."""
    parts = node.parts if isinstance(node, And) else (node,)
    sequence = parts[0].path.split(".")[0]
    for key, element in header.items():
        if keyword_for_tag(int(key, 16)) == sequence:
            for item in element.get("Value", ()):
                values = defaultdict(list)
                for path, value in flat(item, sequence + "."):
                    values[path].append(value)
                if all(leaf(part, values) for part in parts):
                    return True
    return False


def flat(item, prefix=""):
    """(path, value) of everything in a header; a value is a mapping with what can be asked."""
    for key, element in item.items():
        path, vr = prefix + segment(item, key), element["vr"]
        items = element.get("Value", ()) if vr == "SQ" else ()
        yield from ((path, value) for value in ([{"code": code(i)} for i in items] or of(element)))
        for inner in items:
            yield from flat(inner, path + ".")


def segment(item, key):
    """The name of an element in a path."""
    tag = int(key, 16)
    group, number = key[:4], int(key[4:], 16)
    if tag >> 16 & 1 and number > 0xFF:
        said = item.get(f"{group}00{number >> 8:02X}", {}).get("Value", [None])[0]
        if said:
            return f'({group},"{said.strip()}",{number & 0xFF:02X})'
    return keyword_for_tag(tag) or f"({group},{key[4:]})"


def code(item):
    """Value and scheme of a code, or None."""
    said = {}
    for name, tag in (("value", "00080100"), ("long", "00080119"), ("scheme", "00080102")):
        said[name] = (item.get(tag, {}).get("Value") or [""])[0] or ""
    value = said["value"] or said["long"]
    return (value.strip(), said["scheme"].strip()) if value else None


def of(element):
    """The values of an element."""
    vr = element["vr"]
    if "BulkDataURI" in element or (element.get("InlineBinary") and "Value" not in element):
        raw = base64.b64decode(element.get("InlineBinary", "")).rstrip(b"\0 ")
        if vr == "UN" and raw and raw.isascii() and raw.decode().isprintable():
            return [{"text": raw.decode().strip()}]
        return [{}]
    found = []
    for value in element.get("Value", ()):
        if isinstance(value, dict):
            groups = [value.get(g, "") for g in ("Alphabetic", "Ideographic", "Phonetic")]
            whole = "=".join(groups).strip().rstrip("=")
            found.append({"text": whole, "forms": [whole, *(g.strip() for g in groups if g)]})
        elif value not in (None, ""):
            text = str(value).strip() if vr not in ("LT", "ST", "UT") else value
            said = {"text": text} if vr not in ("US", "SS", "UL", "SL", "FL", "FD") else {}
            said |= measure(vr, text)
            found.append(said)
    return found


def measure(vr, text):
    """What a value is besides text."""
    try:
        if vr in NUMBERS:
            return {"number": float(text)} if re.fullmatch(r"[-+0-9.eE]+", text) else {}
        if vr == "AS":
            return {"age": int(text[:-1]) * DAYS[text[-1]]}
        if vr == "DA":
            digits = text.replace(".", "").replace("-", "")
            return {"moment": dt.datetime.strptime(digits, "%Y%m%d").replace(tzinfo=dt.UTC)}
        if vr == "DT":
            form = "%Y%m%d%H%M%S" + (".%f" if "." in text else "") + ("%z" if "+" in text else "")
            moment = dt.datetime.strptime(text, form)
            return {"moment": moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)}
        if vr == "TM":
            form = "%H%M%S" + (".%f" if "." in text else "")
            time = dt.datetime.strptime(text, form)
            return {"time": time.hour * 3600 + time.minute * 60 + time.second
                    + time.microsecond / 1e6}  # fmt: skip
    except (ValueError, KeyError, IndexError):
        pass
    return {}


def leaf(node, values):
    """Whether some value meets a condition on one attribute."""
    return test(node, values.get(node.path, ()))


def test(node, values):
    if isinstance(node, Exists | Missing):
        return bool(values) == isinstance(node, Exists)
    if isinstance(node, Contains):
        return any(node.text.lower() in v["text"].lower() for v in values if "text" in v)
    if isinstance(node, Like):
        return any(like(node.pattern, form, "forms" in v) for v in values for form in forms(v))
    if isinstance(node, Within):
        return any(v.get("code") in same_codes(node.code) for v in values if v.get("code"))
    if isinstance(node, OneOf):
        return any(test(Compare(node.path, "=", wanted), values) for wanted in node.values)
    if isinstance(node, Between):
        return any(
            test(Compare(node.path, ">=", node.low), [v])
            and test(Compare(node.path, "<=", node.high), [v])
            for v in values
        )
    return any(compare(node, v) for v in values)


def compare(node, value):
    kind, wanted = plain(node.value)
    if kind == "text":
        if node.op == "=":
            return wanted in forms(value)
        if node.op == "!=":
            return "text" in value and wanted not in forms(value)
    has = value.get(kind)
    if has is None and kind == "number" and number_in_text(node.path):
        has = measure("DS", value.get("text", "")).get("number")
    if has is None:
        return False
    return {
        "=": has == wanted, "!=": has != wanted, "<": has < wanted, "<=": has <= wanted,
        ">": has > wanted, ">=": has >= wanted,
    }[node.op]  # fmt: skip


def number_in_text(path):
    """Whether nobody knows what an attribute holds."""
    last = re.split(r"\.(?![^(]*\))", path)[-1]
    private = re.fullmatch(r'\((....),"(.*)",(..)\)', last)
    if not private:
        return last.startswith("(")
    try:
        private_dictionary_VR(int(private[1] + "10" + private[3], 16), private[2])
    except KeyError:
        return True
    return False


def plain(value):
    """Kind and value of what a query asks for."""
    if isinstance(value, str):
        return "text", value
    if isinstance(value, Age):
        return "age", value.count * DAYS[value.unit]
    if isinstance(value, dt.datetime):
        return "moment", value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return "moment", dt.datetime.combine(value, dt.time(), dt.UTC)
    if isinstance(value, dt.time):
        return (
            "time",
            value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6,
        )
    return "number", float(value)


def forms(value):
    """What a value may be called."""
    return value.get("forms") or ([value["text"]] if "text" in value else [])


def like(pattern, text, person):
    """Whether a text fits a pattern; case does not matter in names of persons."""
    escaped = pattern.replace("[", "[[]")
    if person:
        escaped, text = escaped.lower(), text.lower()
    return fnmatch.fnmatchcase(text, escaped)


def same_codes(wanted):
    """Codes that mean the same."""
    found = {(wanted.value, wanted.scheme)}
    if wanted.scheme == "SCT" and wanted.value in mapping["SCT"]:
        found |= {(mapping["SCT"][wanted.value], old) for old in ("SRT", "SNM3", "99SDM")}
    if wanted.scheme == "SRT" and wanted.value in mapping["SRT"]:
        found.add((mapping["SRT"][wanted.value], "SCT"))
    if wanted.scheme == "SRT":
        found |= {(wanted.value, old) for old in ("SNM3", "99SDM")}
    return found
