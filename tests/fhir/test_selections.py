"""Segments of segmentations are selections of their objects, in R5."""

from __future__ import annotations

from dicomlake.fhir.pseudonymous import Rules, pseudonymous
from dicomlake.fhir.validation import check
from dicomlake.lake import Store
from tests.fhir.lakes import made


def selections(store: Store, release: str = "R5") -> list[dict[str, object]]:
    found = made(store, release)  # type: ignore[arg-type]
    return [one.resource for one in found if one.type == "ImagingSelection"]


def test_each_segment_that_is_shown_is_one(hospital: Store) -> None:
    with hospital.database() as db:
        shown = db.execute(
            'select distinct "SOPInstanceUID", number from segments '
            "where kind in ('segmentation', 'label map') and present is not false"
        ).fetchall()
    found = [one["instance"][0] for one in selections(hospital)]  # type: ignore[index]
    assert {(one["uid"], int(one["subset"][0])) for one in found} == set(shown)
    assert len(found) == len(shown) > 0


def test_they_say_what_they_show(hospital: Store) -> None:
    found = selections(hospital)
    texts = {one["bodySite"]["concept"]["text"] for one in found}  # type: ignore[index]
    assert "Left ventricle" in texts
    assert all(check(one, "R5") == [] for one in found)


def test_r4_has_none(hospital: Store) -> None:
    assert selections(hospital, "R4") == []


def test_pseudonymous_ones_keep_their_segment_and_nothing_else(hospital: Store) -> None:
    rules = Rules(
        lambda kind, system, value: "x", "urn:x", lambda type_, id_: f"y{id_}",
        lambda uid: f"2.25.{len(uid)}", 10,
    )  # fmt: skip
    one = selections(hospital)[0]
    made_ = pseudonymous(one, rules)
    assert made_ is not None
    assert made_["instance"][0]["subset"] == one["instance"][0]["subset"]  # type: ignore[index]
    for name in ("studyUid", "seriesUid"):
        assert made_[name] == f"2.25.{len(str(one[name]))}"
    assert pseudonymous({**one, "instance": [{"uid": "1.2", "subset": ["Doe"]}]}, rules) != made_
    assert "Doe" not in str(pseudonymous({**one, "instance": [{"subset": ["Doe"]}]}, rules))
