"""Rules that the definitions write in FHIRPath, and rules of ours, by type.

A rule of the definitions names its key, such as (obs-6); what has none is a warning of ours: valid,
but nobody can use it, or it was a placeholder once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomlake.fhir.validation.found import Check, Found
from dicomlake.fhir.validation.ucum import is_unit

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
_MEASURED = {(LOINC, "8302-2"), (LOINC, "29463-7"), (SCT, "118565006")}
"""What cannot be zero: height, weight, volume."""

Json = dict[str, Any]


def _has(value: Json, name: str) -> bool:
    """Whether an element is there, by whatever type."""
    size = len(name)
    return any(key.startswith(name) and (len(key) == size or key[size].isupper()) for key in value)


def _extension(value: Json, found: Found) -> None:
    held = any(key.startswith(("value", "_value")) for key in value)
    if held == ("extension" in value):
        found.error("has either a value or extensions (ext-1)")


def _coding(value: Json, found: Found) -> None:
    if "code" in value and "system" not in value:
        found.warning("is a code without a system, which nobody can look up")
    elif "display" in value and "code" not in value and "_code" not in value:
        found.warning("is a display without a code: a text of the concept says the same")


def _quantity(value: Json, found: Found) -> None:
    code = value.get("code")
    if code is not None and "system" not in value:
        found.error("has a code of a unit without its system (qty-3)")
    elif code is None and "unit" in value:
        found.warning("has a unit without a code, which programs cannot use")
    if isinstance(code, str) and value.get("system") == UCUM and not is_unit(code):
        found.error("is no unit of UCUM", "code")


def _period(value: Json, found: Found) -> None:
    start, end = value.get("start"), value.get("end")
    if isinstance(start, str) and isinstance(end, str):
        size = min(len(start), len(end), 10)
        if start[:size] > end[:size] or (start[10:] and _later(start, end)):
            found.error("ends before it starts (per-1)")


def _later(start: str, end: str) -> bool:
    """Whether a moment is later than another of the same zone."""
    same_zone = start[-6:] == end[-6:] or (start[-1] == "Z" == end[-1])
    return same_zone and len(end) > 10 and start[:19] > end[:19]


def _range(value: Json, found: Found) -> None:
    low, high = value.get("low"), value.get("high")
    if isinstance(low, dict) and isinstance(high, dict):
        first, last = low.get("value"), high.get("value")
        same = low.get("code") == high.get("code") and _number(first) and _number(last)
        if same and float(first or 0) > float(last or 0):
            found.error("its low is higher than its high (rng-2)")


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _ratio(value: Json, found: Found) -> None:
    if ("numerator" in value) != ("denominator" in value):
        found.error("has only one of numerator and denominator (rat-1)")
    elif "numerator" not in value and "extension" not in value:
        found.error("has neither numerator nor denominator (rat-1)")


def _attachment(value: Json, found: Found) -> None:
    if "data" in value and "contentType" not in value:
        found.error("has data without contentType (att-1)")


def _contact_point(value: Json, found: Found) -> None:
    if "value" in value and "system" not in value:
        found.error("has a value without a system (cpt-2)")


def _identifier(value: Json, found: Found) -> None:
    if "value" not in value and "_value" not in value:
        found.warning("is an identifier without a value (ident-1)")
    elif value.get("system") == "urn:ietf:rfc:3986" or value.get("system") == "urn:dicom:uid":
        text = value.get("value")
        uid = value.get("system") == "urn:dicom:uid"
        if isinstance(text, str) and not text.startswith("urn:oid:" if uid else ("urn:", "http")):
            found.warning("should be a URI: a UID is written urn:oid:UID", "value")


def _repeat(value: Json, found: Found) -> None:
    for name, unit in (("duration", "durationUnit"), ("period", "periodUnit")):
        if name in value and unit not in value:
            found.error(f"has no {unit} (tim-{1 if name == 'duration' else 2})")
        if _number(value.get(name)) and value[name] < 0:
            found.error(f"is negative (tim-{4 if name == 'duration' else 5})", name)
        if f"{name}Max" in value and name not in value:
            found.error(f"has {name}Max without {name} (tim-{7 if name == 'duration' else 6})")
    if "countMax" in value and "count" not in value:
        found.error("has countMax without count (tim-8)")
    if "timeOfDay" in value and "when" in value:
        found.error("has timeOfDay and when (tim-10)")


def _sampled(value: Json, found: Found) -> None:
    if ("interval" in value) == ("offsets" in value):
        found.error("has either an interval or offsets (sdd-1)")


def _codings(concept: Any) -> set[tuple[str, str]]:
    if not isinstance(concept, dict) or not isinstance(concept.get("coding"), list):
        return set()
    return {
        (str(one.get("system")), str(one.get("code")))
        for one in concept["coding"]
        if isinstance(one, dict)
    }


def _observation(value: Json, found: Found) -> None:
    has_value = _has(value, "value")
    if has_value and "dataAbsentReason" in value:
        found.error("may be there only without a value (obs-6)", "dataAbsentReason")
    if "bodySite" in value and "bodyStructure" in value:
        found.error("may be there only without bodySite (obs-8)", "bodyStructure")
    components = value.get("component")
    codes = _codings(value.get("code"))
    if has_value and isinstance(components, list):
        for number, one in enumerate(components):
            if isinstance(one, dict) and codes & _codings(one.get("code")):
                found.error("is the code of the observation, which has a value (obs-7)",
                            f"component[{number}].code")  # fmt: skip
    quantity = value.get("valueQuantity")
    if codes & _MEASURED and isinstance(quantity, dict) and quantity.get("value") == 0:
        found.warning("is zero, which is no measurement", "valueQuantity.value")
    said = has_value or "dataAbsentReason" in value or "component" in value or "hasMember" in value
    if not said and "_value" not in value:
        found.warning("says nothing: it has neither a value nor parts nor a reason for having none")


def _reference_range(value: Json, found: Found) -> None:
    if not value.keys() & {"low", "high", "text", "_text"}:
        found.error("needs low, high or text (obs-3)")


def _contact(value: Json, found: Found) -> None:
    if not value.keys() & {"name", "telecom", "address", "organization"}:
        found.error("has no details (pat-1)")


def _device(value: Json, found: Found) -> None:
    names = value.get("name")
    shown = [one for one in names if isinstance(one, dict) and one.get("display") is True] \
        if isinstance(names, list) else []  # fmt: skip
    if len(shown) > 1:
        found.error("more than one name is to be displayed (dev-1)", "name")


def _study(value: Json, found: Found) -> None:
    """No rule of the definitions: counts that contradict, UIDs twice, series before their study."""
    series = value.get("series")
    if not isinstance(series, list):
        return
    uids = [one.get("uid") for one in series if isinstance(one, dict)]
    if len(uids) != len({uid for uid in uids if isinstance(uid, str)}) and None not in uids:
        found.error("two series have one uid", "series")
    count = value.get("numberOfSeries")
    if type(count) is int and count < len(series):
        found.warning("is less than the series that are here", "numberOfSeries")
    started = value.get("started")
    for number, one in enumerate(series):
        if not isinstance(one, dict):
            continue
        instances = one.get("instance")
        count = one.get("numberOfInstances")
        if isinstance(instances, list):
            place = f"series[{number}]"
            inner = [i.get("uid") for i in instances if isinstance(i, dict)]
            if len(set(map(str, inner))) != len(inner):
                found.error("two instances have one uid", f"{place}.instance")
            if type(count) is int and count < len(instances):
                found.warning("is less than the instances that are here",
                              f"{place}.numberOfInstances")  # fmt: skip
        begun = one.get("started")
        if isinstance(started, str) and isinstance(begun, str) and _later_days(started, begun):
            found.warning("is before the day the study started", f"series[{number}].started")


def _later_days(first: str, second: str) -> bool:
    """Whether a day is more than one later than another: zones may differ by one."""
    size = min(len(first), len(second), 10)
    return first[:size] > second[:size] and first[:8] != second[:8]


def _domain(value: Json, found: Found) -> None:
    contained = value.get("contained")
    if not isinstance(contained, list):
        return
    ids: set[str] = set()
    for number, one in enumerate(contained):
        if not isinstance(one, dict):
            continue
        place = f"contained[{number}]"
        if "contained" in one:
            found.error("a contained resource contains none (dom-2)", place)
        meta = one.get("meta")
        if isinstance(meta, dict) and meta.keys() & {"versionId", "lastUpdated", "security"}:
            found.error("a contained resource has no version and no security (dom-4, dom-5)", place)
        id_ = one.get("id")
        if not isinstance(id_, str):
            found.error("a contained resource needs an id", place)
        elif id_ in ids:
            found.error("another contained resource has that id", f"{place}.id")
        else:
            ids.add(id_)


INVARIANTS: dict[str, tuple[Check, ...]] = {
    "Extension": (_extension,),
    "Coding": (_coding,),
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"),
                    (_quantity,)),
    "Period": (_period,),
    "Range": (_range,),
    "Ratio": (_ratio,),
    "Attachment": (_attachment,),
    "ContactPoint": (_contact_point,),
    "Identifier": (_identifier,),
    "Timing.repeat": (_repeat,),
    "Observation": (_observation,),
    "Observation.referenceRange": (_reference_range,),
    "Patient.contact": (_contact,),
    "Device": (_device,),
    "ImagingStudy": (_study,),
}  # fmt: skip
"""Type -> its rules."""
R5_ONLY: dict[str, tuple[Check, ...]] = {"SampledData": (_sampled,)}
"""The same for types that have other elements in R4."""
DOMAIN: Callable[[Json, Found], None] = _domain
"""The rules of what a resource contains."""
