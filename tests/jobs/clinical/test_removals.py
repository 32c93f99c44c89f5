"""What a source removed stays away: a later state wins, whatever the order of files."""

from __future__ import annotations

import pytest

from dicomlake.jobs.clinical import bring, remove

from .made import condition, facts, patient, put


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in"


def at(year):
    return {"meta": {"lastUpdated": f"{year}-01-01T00:00:00Z"}} if year else {}


def there(id_, year=0, **more):
    return condition(id_, "Patient/p", **at(year), **more)


def wrong(id_, year=0):
    """A condition that was entered in error."""
    said = {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}
    return there(id_, year, **said)


def deleted(id_, year):
    """A bundle of a history that says that a condition was deleted."""
    entry = {"request": {"method": "DELETE", "url": f"Condition/{id_}"},
             "response": {"lastModified": f"{year}-01-01T00:00:00Z"}}  # fmt: skip
    return {"resourceType": "Bundle", "type": "history", "entry": [entry]}


def panel(year, *codes):
    """An observation of some components."""
    parts = [{"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
              "valueInteger": 1} for code in codes]  # fmt: skip
    return {"resourceType": "Observation", "id": "o", "status": "final", "component": parts,
            "code": {"text": "panel"}, **at(year)}  # fmt: skip


CASES = {
    "back-again": [there("back-again", 2014), wrong("back-again", 2016), there("back-again", 2015)],
    "removed-first": [wrong("removed-first", 2016), there("removed-first", 2015)],
    "deleted": [there("deleted", 2014), deleted("deleted", 2016), there("deleted", 2015)],
    "no-times": [there("no-times"), wrong("no-times"), there("no-times")],
    "anew": [deleted("anew", 2016), there("anew", 2017)],
    "removed-before": [there("removed-before", 2017), wrong("removed-before", 2016)],
    "a-component": [panel(2016, "1-1"), panel(2015, "1-1", "2-2")],
}
"""What one file after the other says of a thing."""
KEPT = ["Condition/anew", "Condition/removed-before", "Observation/o", "Observation/o#LN:1-1"]


def identifiers(lake):
    return [row["identifier"] for row in facts(lake)]


def test_the_later_state_wins_whatever_the_order_of_files(lake, folder):
    outdated = []
    for number in range(3):
        said = [states[number] for states in CASES.values() if number < len(states)]
        report = bring(lake, [put(folder, f"{number}.ndjson", *said)], source="clinic")
        outdated.append(report.outdated)
    assert identifiers(lake) == KEPT
    assert outdated == [0, 1, 3]


@pytest.mark.parametrize("step", [1, -1])
def test_the_order_within_a_file_does_not_matter(lake, folder, step):
    everything = [one for states in CASES.values() for one in states][::step]
    bring(lake, [put(folder, "a.ndjson", *everything)], source="clinic")
    assert identifiers(lake) == KEPT


def test_a_source_that_was_let_go_may_come_again(lake, folder):
    first = put(folder, "a.json", there("c"))
    bring(lake, [put(folder, "b.ndjson", wrong("c"), patient("p", "PAT1"))], source="clinic")
    assert bring(lake, [first], source="clinic").outdated == 1
    remove(lake, "clinic")
    bring(lake, [first], source="clinic")
    assert identifiers(lake) == ["Condition/c"]


def oru(sent, *lines, status="F"):
    return "\r".join([
        f"MSH|^~\\&|RIS|H|EHR|H|{sent}||ORU^R01|1|P|2.5", "PID|1||PAT1^^^HOSP^MR",
        f"OBR|1||A1|1^CT^L|||||||||||||||A1|||||||{status}", *lines,
    ])  # fmt: skip


def test_messages_withdraw_results_and_lines_of_them(lake, folder):
    folder.mkdir()
    first = oru("20240101100000", "OBX|1|TX|||No effusion.||||||F")
    withdrawn = oru("20240103100000", "OBX|1|TX|||No effusion.||||||W")
    later = oru("20240104100000", "OBX|1|TX|||Effusion.||||||C", "OBX|2|TX|||Mass.||||||D")
    older = oru("20240102100000", "OBX|1|TX|||Maybe effusion.||||||C")
    found = []
    for number, one in enumerate((first, withdrawn, first, later, older)):
        (folder / f"{number}.hl7").write_text(one)
        bring(lake, [folder / f"{number}.hl7"], source="ris")
        found.append([row["text"] for row in facts(lake, "documents")])
    assert found == [["No effusion."], [], [], ["Effusion."], ["Effusion."]]


def export(folder, day, *people):
    """Tables of OMOP of a day."""
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{n},1950,PAT{n}\n" for n in people)
    (folder / "person.csv").write_text(f"person_id,year_of_birth,person_source_value\n{rows}")
    (folder / "death.csv").write_text("person_id,death_date\n")
    (folder / "cdm_source.csv").write_text(f"cdm_source_name,source_release_date\nX,{day}\n")
    return folder


def test_what_a_snapshot_does_not_have_any_more_goes(lake, tmp_path):
    old = export(tmp_path / "old", "2020-01-01", 1, 2)
    bring(lake, [old], source="omop")
    new = export(tmp_path / "new", "2021-01-01", "", 2, 3)
    report = bring(lake, [new], source="omop", snapshot=True)
    assert (report.failures > 0, report.removed) == (True, 0)
    assert any("nothing was removed" in note for note in report.notes)
    export(tmp_path / "new", "2021-01-01", 2, 3)
    assert bring(lake, [new], source="omop", snapshot=True).removed == 1
    report = bring(lake, [old], source="omop", snapshot=True)
    assert (report.outdated, report.removed) == (1, 0)
    assert identifiers(lake) == ["person/2", "person/3"]


def test_without_a_day_a_snapshot_may_bring_back(lake, tmp_path):
    for people in ((1, 2), (2,), (1, 2)):
        bring(lake, [export(tmp_path / "in", "", *people)], source="omop", snapshot=True)
    assert identifiers(lake) == ["person/1", "person/2"]
