"""Large files of FHIR: documents by some entries at a time, lines by several processes."""

from __future__ import annotations

import io
import json

import pytest

from dicomlake.errors import DataError
from dicomlake.jobs.clinical import bring, bringing, parallel
from dicomlake.jobs.clinical.formats import bundles, fhir
from dicomlake.jobs.clinical.formats.bundles import Entries
from dicomlake.lake import Store

from .made import bundle, condition, facts, failures, patient, put

TEXT = 'a "brace" }, { and a \\ bracket ]'
MANY = [
    condition(f"c{n}", "Patient/p", note=[{"text": TEXT}, {"text": "x" * n}]) for n in range(40)
]


def read(text, start=300):
    """What comes out entry by entry, and what stands before the entries."""
    data = text.encode()
    found = Entries(data[:start], io.BytesIO(data[start:]))
    return list(found), found.bundle


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("step", [64, 1000, 1 << 20])
def test_entries_are_those_of_the_whole_document(monkeypatch, indent, step):
    monkeypatch.setattr(bundles, "STEP", step)
    whole = {"meta": {"tag": [{"code": "x"}]}, **bundle(*MANY), "link": [{"url": "next"}]}
    entries, before = read(json.dumps(whole, indent=indent))
    assert entries == whole["entry"]
    assert before == {"resourceType": "Bundle", "meta": whole["meta"], "entry": []}
    assert read(json.dumps(MANY, indent=indent)) == (MANY, None)
    assert read(json.dumps(bundle()), start=60)[0] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps(bundle(*MANY))[:3000], "no JSON after entry"),
        ('{"resourceType": "Patient", "name": "' + "x" * 200, "no Bundle"),
        (json.dumps(bundle({"text": "x" * 9000}, *MANY)), "entry 1 is too large"),
    ],
)
def test_what_cannot_be_read_is_told(monkeypatch, text, why):
    monkeypatch.setattr(bundles, "STEP", 500)
    monkeypatch.setattr(bundles, "LARGEST", 4000)
    with pytest.raises(DataError, match=why):
        read(text)


def test_a_large_document_is_brought_in_as_a_small_one_is(tmp_path, monkeypatch):
    put(tmp_path, "b.json", bundle(patient("p", "PAT1"), *MANY, {"resourceType": "Condition"}))
    bring(tmp_path / "whole", [tmp_path / "b.json"], source="clinic")
    monkeypatch.setattr(fhir, "_WHOLE", 1000)
    monkeypatch.setattr(bundles, "STEP", 500)
    bring(tmp_path / "parts", [tmp_path / "b.json"], source="clinic")
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")
    assert failures(tmp_path / "parts") == failures(tmp_path / "whole") != {}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a file of lines that is read in parts."""
    monkeypatch.setattr(parallel, "LEAST", 0)
    monkeypatch.setattr(bringing, "PIECE", 3000)
    monkeypatch.setattr(bringing, "SMALL", 1000)
    folder = tmp_path / "in"
    put(folder, "c.ndjson", *MANY[:30], {"resourceType": "Condition"}, *MANY[30:])
    put(folder, "p.json", patient("p", "PAT1"))
    put(folder, "b.json", bundle(condition("b", "Patient/p")))
    return folder


@pytest.mark.parametrize("dies", [False, True])
def test_several_processes_stage_what_one_does(tmp_path, folder, monkeypatch, dies):
    if dies:
        monkeypatch.setattr(parallel, "_PROGRAM", "import os; os._exit(9)")
    one, several = tmp_path / "one", tmp_path / "several"
    made = bring(several, [folder], source="clinic", workers=2)
    assert made.facts == {"condition": 41, "patient": 1}
    if dies:
        return
    here = []
    read_ = fhir.Fhir.read
    monkeypatch.setattr(fhir.Fhir, "read", lambda *a: (here.append(a[1].name), read_(*a)))
    bring(one, [folder], source="clinic", workers=1)
    assert facts(several) == facts(one)
    assert failures(several) == failures(one)
    assert [uri.rpartition(":")[2] for uri in failures(one)] == ["31"]
    assert len(here) > 5
    here.clear()
    bring(several, [folder], source="clinic", workers=2)
    assert here == []  # other processes did it
    assert not list((several / "_work").glob("facts-*"))
    assert Store(several).settled
