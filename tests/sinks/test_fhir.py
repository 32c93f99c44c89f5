"""What a lake publishes is on the server as it is here, once, whatever the server does."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomlake.contracts.sinks import Change, Done, Ref
from dicomlake.errors import Refused, UsageError
from dicomlake.settings import FhirTarget
from dicomlake.sinks.fhir import FhirSink
from dicomlake.testing.fhir import FhirServer, references

PID = "http://example.org/pid"
BOTH = pytest.mark.parametrize("ids", ["ours", "theirs"])


def id_(type_: str, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{type_}{number}"))


def patient(number: int, **more: Any) -> Change:
    identifier = [{"system": PID, "value": f"P {number}|&"}]
    me = {"resourceType": "Patient", "id": id_("Patient", number), "identifier": identifier}
    return Change("Patient", me["id"], me | more, (PID, f"P {number}|&"))  # type: ignore[arg-type, operator]


def study(number: int, of: int = 0, **more: Any) -> Change:
    uid = f"urn:oid:2.25.{number}"
    me = {
        "resourceType": "ImagingStudy", "id": id_("ImagingStudy", number), "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": uid}],
        "subject": {"reference": f"Patient/{id_('Patient', of)}"}, **more,
    }  # fmt: skip
    return Change("ImagingStudy", me["id"], me, ("urn:dicom:uid", uid))


def provenance(number: int, of: int = 0, **more: Any) -> Change:
    me = {
        "resourceType": "Provenance", "id": id_("Provenance", number),
        "target": [{"reference": f"ImagingStudy/{id_('ImagingStudy', of)}"}], **more,
    }  # fmt: skip
    return Change("Provenance", me["id"], me)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[FhirServer]:
    theirs = "theirs" in str(getattr(request.node, "callspec", ""))
    with FhirServer(client_ids=not theirs) as made:
        yield made


@pytest.fixture
def sink(server: FhirServer, request: pytest.FixtureRequest) -> FhirSink:
    theirs = "theirs" in str(getattr(request.node, "callspec", ""))
    return opened(server, ids="theirs" if theirs else "ours")


_OPEN: list[FhirSink] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def opened(server: FhirServer, url: str = "", **more: Any) -> FhirSink:
    _OPEN.append(FhirSink("station", FhirTarget(url=url or server.address, **more)))
    return _OPEN[-1]


def pushed(
    sink: FhirSink, *changes: Change, there: dict[Ref, str] | None = None
) -> dict[Ref, Done]:
    return {done.change.ref: done for done in sink.push(changes, there or {})}


def known(done: dict[Ref, Done]) -> dict[Ref, str]:
    return {ref: one.there for ref, one in done.items() if one.there}


@BOTH
def test_resources_are_there_and_point_at_each_other(
    sink: FhirSink, server: FhirServer, ids: str
) -> None:
    done = pushed(sink, patient(0), study(0), provenance(0))
    assert not any(one.refused for one in done.values())
    (held,) = server.resources.every("ImagingStudy")
    (person,) = server.resources.every("Patient")
    assert held["subject"]["reference"] == f"Patient/{person['id']}"
    ours = {change.id for change in (patient(0), study(0), provenance(0))}
    assert ({one["id"] for one in server.resources.every()} == ours) is (ids == "ours")
    assert done[study(0).ref].there == held["id"]
    assert sink.read("ImagingStudy", held["id"]) == held


@BOTH
def test_doing_the_same_twice_makes_nothing_twice(
    sink: FhirSink, server: FhirServer, ids: str
) -> None:
    for _ in range(2):
        pushed(sink, patient(0), study(0), provenance(0))
    assert len(server.resources.every()) == 3


@BOTH
def test_a_study_that_grows_stays_one(sink: FhirSink, server: FhirServer, ids: str) -> None:
    there = known(pushed(sink, patient(0), study(0)))
    grown = study(0, numberOfSeries=2)
    pushed(sink, grown, there=there)
    assert [one["numberOfSeries"] for one in server.resources.every("ImagingStudy")] == [2]


@BOTH
def test_a_patient_of_others_stays_as_it_is(ids: str) -> None:
    with FhirServer(client_ids=ids == "ours") as server:
        theirs = {"resourceType": "Patient", "identifier": patient(0).resource["identifier"]}  # type: ignore[index]
        server.resources.change("POST", "Patient", {**theirs, "active": True})
        sink = opened(server, ids=ids)
        done = pushed(sink, patient(0, active=False), study(0))
        people = server.resources.every("Patient")
        assert len(people) == (2 if ids == "ours" else 1)
        if ids == "theirs":
            assert people[0]["active"] is True
            assert done[patient(0).ref].ours is False
            (held,) = server.resources.every("ImagingStudy")
            assert held["subject"]["reference"] == f"Patient/{people[0]['id']}"


@BOTH
def test_several_matches_are_told_by_their_ids(ids: str) -> None:
    with FhirServer(client_ids=ids == "ours") as server:
        person = {"resourceType": "Patient", "identifier": patient(0).resource["identifier"]}  # type: ignore[index]
        twins = [server.resources.change("POST", "Patient", dict(person)).id for _ in range(2)]
        done = pushed(opened(server, ids=ids), patient(0), patient(1), study(0), study(1, 1))
        refused = {ref: one.refused for ref, one in done.items() if one.refused}
        if ids == "ours":
            assert refused == {}
        else:
            assert set(refused) == {patient(0).ref, study(0).ref}
            assert all(twin in refused[patient(0).ref] for twin in twins)
            assert done[patient(0).ref].status == 412
            assert refused[study(0).ref].startswith(f"It points at Patient/{patient(0).id}")
            assert len(server.resources.every("ImagingStudy")) == 1


@BOTH
def test_what_is_refused_does_not_keep_others_away(
    sink: FhirSink, server: FhirServer, ids: str
) -> None:
    wrong, lost = study(50, basedOn=[{"reference": "#none"}]), study(51, 99)
    good = [study(n) for n in range(20)]
    done = pushed(sink, patient(0), *good[:7], wrong, *good[7:9], lost, *good[9:])
    assert {ref for ref, one in done.items() if one.refused} == {wrong.ref, lost.ref}
    assert done[wrong.ref].status == 422
    assert len(server.resources.every("ImagingStudy")) == 20


def test_reasons_are_codes_and_places_alone(server: FhirServer) -> None:
    """The server says the name of the patient; that stays with it."""
    sink = opened(server)
    bad = Change("Patient", "p1", {"resourceType": "Device", "name": "MEYER^HANS"})
    (done,) = pushed(sink, bad).values()
    assert done.refused == "HTTP 400, structure Bundle.entry[0].resource."


@BOTH
def test_bundles_are_bounded_by_entries_and_bytes(ids: str) -> None:
    with FhirServer(client_ids=ids == "ours") as server:
        sink = opened(server, ids=ids, entries=7)
        pushed(sink, *(patient(n) for n in range(30)), *(study(n, n) for n in range(30)))
        assert server.largest[1] == 7
        assert len(server.resources.every()) == 60
    with FhirServer(client_ids=ids == "ours") as server:
        sink = opened(server, ids=ids, size="5 kB")
        more = {"text": {"status": "generated", "div": "x" * 900}}
        pushed(sink, *(patient(n, **more) for n in range(30)))
        assert server.largest[0] < 8000
        assert len(server.resources.every()) == 30


@BOTH
def test_what_was_deleted_there_is_made_anew(sink: FhirSink, server: FhirServer, ids: str) -> None:
    there = known(pushed(sink, patient(0), study(0)))
    server.resources.change("DELETE", f"ImagingStudy/{there[study(0).ref]}", None)
    again = study(0, numberOfSeries=9)
    again = Change(*again.ref, again.resource, again.key, there[study(0).ref])
    done = pushed(sink, again, there=there)
    assert not done[again.ref].refused
    assert [one["numberOfSeries"] for one in server.resources.every("ImagingStudy")] == [9]


@BOTH
def test_deleting_is_done_once_and_again(sink: FhirSink, server: FhirServer, ids: str) -> None:
    there = known(pushed(sink, patient(0), study(0)))
    gone = Change(*study(0).ref, None, there=there[study(0).ref])
    for _ in range(2):
        assert not pushed(sink, gone)[gone.ref].refused
    assert server.resources.every("ImagingStudy") == []


@pytest.mark.parametrize(
    ("kind", "wait_s"), [("503", 0.0), ("429", 9.0), ("drop before", 0.0), ("drop after", 0.0)]
)
def test_a_server_that_is_away_says_how_long(server: FhirServer, kind: Any, wait_s: float) -> None:
    sink = opened(server)
    pushed(sink, patient(1))
    server.fault(kind, wait_s=wait_s)
    with pytest.raises(Refused) as told:
        pushed(sink, patient(0))
    assert told.value.wait_s == wait_s
    assert not pushed(sink, patient(0))[patient(0).ref].refused
    assert len(server.resources.every()) == 2


def test_a_slow_server_is_not_waited_for(server: FhirServer) -> None:
    sink = opened(server, timeout_s=0.2)
    pushed(sink, patient(1))
    server.fault("slow", wait_s=1.0)
    with pytest.raises(Refused, match="did not answer within"):
        pushed(sink, patient(0))


def test_a_server_that_fails_on_everything_is_away(server: FhirServer) -> None:
    sink = opened(server)
    pushed(sink, patient(99))
    server.fault("500", times=40)
    with pytest.raises(Refused, match="again and again"):
        pushed(sink, *(patient(n) for n in range(20)))


def test_a_server_that_fails_on_one_resource_takes_the_others(server: FhirServer) -> None:
    sink = opened(server)
    pushed(sink, patient(99))
    server.fault("500", times=3)  # the whole, a half, the first
    done = pushed(sink, *(patient(n) for n in range(4)))
    assert [one.status for one in done.values() if one.refused] == [500]
    assert len(server.resources.every()) == 4


def test_what_is_no_fhir_server_is_told(server: FhirServer) -> None:
    server.fault("no FHIR")
    with pytest.raises(UsageError, match="Is its url right"):
        pushed(opened(server), patient(0))
    with pytest.raises(UsageError, match="url"):
        pushed(opened(server, server.address.replace("/fhir", "/nothing")), patient(0))
    with pytest.raises(UsageError, match="speaks FHIR 4"):
        pushed(opened(server, release="R5"), patient(0))


def test_nobody_there_is_refused(server: FhirServer) -> None:
    with pytest.raises(Refused, match="cannot be reached"):
        pushed(opened(server, "http://127.0.0.1:9/fhir"), patient(0))


def test_credentials_come_from_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("abc\n")
    monkeypatch.setenv("FHIR_PASSWORD", "p")
    with FhirServer(token="abc") as server:
        assert pushed(opened(server, token_file=tmp_path / "token"), patient(0))
        with pytest.raises(UsageError, match="401"):
            pushed(opened(server), patient(0))
    with FhirServer(user="u", password="p") as server:
        assert pushed(opened(server, user="u", password_env="FHIR_PASSWORD"), patient(0))


def test_certificates_are_checked(server: FhirServer) -> None:
    with pytest.raises((UsageError, Refused)) as told:
        pushed(opened(server, server.address.replace("http:", "https:")), patient(0))
    assert not isinstance(told.value, ssl.SSLError)


@BOTH
def test_no_reference_is_left_that_leads_nowhere(
    sink: FhirSink, server: FhirServer, ids: str
) -> None:
    there = known(pushed(sink, patient(0), study(0)))
    pushed(sink, provenance(0), there=there)
    ids_there = {f"{one['resourceType']}/{one['id']}" for one in server.resources.every()}
    assert set(references(server.resources.every())) <= ids_there
