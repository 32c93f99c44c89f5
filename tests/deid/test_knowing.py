"""What is known of a patient, from headers and from the lake."""

from __future__ import annotations

from dicomlake.contracts.deid import Known
from dicomlake.jobs.deid.knowing import known_of_header


def test_a_header_tells_of_persons_at_any_depth() -> None:
    inner = {
        "0040A123": {"vr": "PN", "Value": [{"Alphabetic": "Weber^Hans"}]},
        "00080080": {"vr": "LO", "Value": ["Klinik Musterstadt"]},
    }
    header = {
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}],
        },
        "00100020": {"vr": "LO", "Value": ["P-4711"]},
        "00100030": {"vr": "DA", "Value": ["19610304"]},
        "00080050": {"vr": "SH", "Value": ["A998877"]},
        "00102154": {"vr": "SH", "Value": ["+49 611 123456"]},
        "00181000": {"vr": "LO", "Value": ["52999385"]},
        "00081010": {"vr": "SH", "Value": ["MAGNETOM"]},
        "0008103E": {"vr": "LO", "Value": ["t2 tra"]},
        "0040A730": {"vr": "SQ", "Value": [inner]},
    }
    assert set(known_of_header(header)) == {
        Known("name", "Yamada^Tarou"),
        Known("name", "山田^太郎"),
        Known("id", "P-4711"),
        Known("date", "19610304"),
        Known("id", "A998877"),
        Known("phone", "+49 611 123456"),
        Known("name", "Weber^Hans"),
        Known("place", "Klinik Musterstadt"),
    }


def test_each_thing_is_known_once() -> None:
    name = {"vr": "PN", "Value": [{"Alphabetic": "Weber^Hans"}]}
    assert known_of_header({"00080090": name, "00100010": name}) == [Known("name", "Weber^Hans")]
