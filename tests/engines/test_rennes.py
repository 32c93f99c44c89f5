"""The experiment of Rennes on a hundred thousand patients: all who are to be found, nobody else."""

import pytest

from dicomlake.engines.duck import DuckEngine
from dicomlake.query import Query, from_json, parse, render, to_json
from dicomlake.testing import rennes

PATIENTS = 100_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return DuckEngine(rennes.write(tmp_path_factory.mktemp("rennes") / "lake", PATIENTS))


def _found(engine, text):
    where = parse(text)
    assert from_json(to_json(where)) == where == parse(render(where))
    answer = engine.answer(Query(where, "patient", ("PatientID",)))
    return set(answer.rows.column("PatientID").to_pylist())


def test_precision_and_recall_are_one(engine):
    expected = rennes.truth(PATIENTS)
    assert len(expected) > 1000
    assert _found(engine, rennes.QUESTION) == expected


@pytest.mark.parametrize("number", range(len(rennes.CASES)), ids=lambda n: rennes.CASES[n].name)
def test_every_case_is_met_by_somebody(number):
    assert (rennes.cases(PATIENTS) == number).sum() > 100


def test_the_operation_alone_finds_more(engine):
    operated = _found(engine, "fact.code within SCT:90470006")
    assert rennes.truth(PATIENTS) < operated
    early = _found(engine, "same(fact, fact.code within SCT:90470006 and fact.started < 2014)")
    assert early < operated
