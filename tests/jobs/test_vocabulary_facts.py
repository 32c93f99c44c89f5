"""What facts and documents add to the vocabulary and to the tree of what can be asked."""

import pytest

from dicomlake.engines.duck import DuckEngine
from dicomlake.jobs.access import masking
from dicomlake.jobs.index import index
from dicomlake.jobs.terminology import Terminology
from dicomlake.jobs.vocabulary import rebuild
from dicomlake.lake import Store
from dicomlake.lake.vocabulary import Vocabulary
from dicomlake.query import parse
from dicomlake.testing import engines, histories


@pytest.fixture
def store(tmp_path):
    index([engines.write(tmp_path / "objects")], tmp_path / "lake", workers=1)
    store = Store(tmp_path / "lake")
    histories.tell(store)
    rebuild(store)
    return Store(tmp_path / "lake")


def test_counts_are_those_of_the_engine(store):
    terms = Vocabulary.read(store)
    engine = DuckEngine(store)
    found = [term for term in terms if term.path.startswith(("fact", "document"))]
    assert len(found) > 30
    for term in found:
        totals = engine.count(parse(f"{term.path} exists"), "series")
        assert (term.patients, term.studies, term.series) == tuple(totals.values())[:3], term.path
    for value in terms["fact.code"].values:
        scheme, _, code = value.value.partition(":")
        totals = engine.count(parse(f"fact.code within '{scheme}':'{code}'"), "series")
        if not value.value.startswith(("I10:", "OPS:", "ATC:")):  # asked with what is narrower
            assert (value.patients, value.series) == (totals["patients"], totals["series"])


def test_terms_say_what_there_is(store):
    terms = Vocabulary.read(store)
    assert terms["fact"].documents == 9  # the tenth is of somebody whom the lake does not have
    assert terms["fact.quantity"].units[0][0] == "mmol/L"
    assert str(terms["fact.started"].first)[:10] == "2019-01-01"
    assert [value.value for value in terms["document.language"].values] == ["fr", "de", "en"]
    assert terms["fact.text"].values == ()
    assert "fact.identifier" in terms
    assert not terms["fact.identifier"].values
    found = terms.search("prostatectomy")
    assert [term.path for term in found] == ["fact.code"]
    assert "Prostatectomy (SCT:90470006)" in [value.label for value in found[0].values]


def test_the_tree_has_branches_of_their_own(store):
    tree = Terminology(Vocabulary.read(store))
    top = {place.path: place for place in tree.children("", "clinical")}
    assert top["@facts"].label == "Clinical facts"
    below = [place.path for place in tree.children("@facts", "clinical")]
    assert {"fact.code", "fact.kind", "fact.quantity", "fact.started"} <= set(below)
    assert "document.type" in [place.path for place in tree.children("@documents", "clinical")]
    assert tree.breadcrumb("fact.code") == [("@facts", "Clinical facts")]


def test_new_facts_alone_bring_it_up_to_date(store):
    said = {"PatientID": "P3", "kind": "condition", "code": "SCT:399068003"}
    store.append("clinical_events", histories.rows(store, "clinical_events", [said], 100))
    store.touch("more")
    rebuild(store)
    terms = Vocabulary.read(Store(store.path))
    assert "SCT:399068003" in [value.value for value in terms["fact.code"].values]
    assert terms["Modality"].series == 8
    rebuild(store, full=True)
    again = Vocabulary.read(Store(store.path))
    assert list(again) == list(terms)


def test_a_lake_without_facts_has_no_such_branch(tmp_path):
    index([engines.write(tmp_path / "objects")], tmp_path / "lake", workers=1)
    terms = Vocabulary.read(Store(tmp_path / "lake"))
    assert "fact" not in terms
    assert "@facts" not in [place.path for place in Terminology(terms).children("", "technical")]


def test_who_only_counts_sees_masked_counts_and_no_rare_codes(store):
    whole = Vocabulary.read(store)
    shown = Vocabulary(masking.vocabulary(whole.arrow(), 2), whole.version)
    assert shown["fact"].patients == 2
    assert [value.value for value in shown["fact.kind"].values] == [
        "observation",
        "condition",
        "procedure",
    ]
    assert not [value for value in shown["fact.code"].values if value.patients < 2]
    assert "document.affirmed" in shown
    assert shown["fact.started"].first is None
