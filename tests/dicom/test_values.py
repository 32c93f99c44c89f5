"""What single values say: JSON, rows and problems."""

import base64
import math
import struct
import time
import tracemalloc
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.dicom.charset import repertoire
from dicomlake.dicom.values import (
    LONGEST_LIST,
    LONGEST_TEXT,
    MOST_POSITIONS,
    Value,
    days_of,
    interpret,
    moment_of,
    number_of,
    plain_reader,
    seconds_of,
)

VRS = (
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SS ST SV TM UC UI UL UN UR US "
    "UT UV XX"
).split()


def value(vr: str, raw: bytes, order: str = "<", charset: str = "") -> Value:
    return interpret("A", vr, raw, order, repertoire(charset))


def values(vr: str, raw: bytes, order: str = "<", charset: str = "") -> list[object]:
    return value(vr, raw, order, charset).json.get("Value", [])


def numbers(vr: str, raw: bytes) -> list[tuple[int | None, float | None]]:
    return [(row.position, row.number) for row in value(vr, raw).rows]


def texts(vr: str, raw: bytes) -> list[str | None]:
    return [row.text for row in value(vr, raw).rows]


class TestText:
    def test_padding_goes_and_leading_spaces_stay_in_json(self) -> None:
        assert values("LO", b" a b \0") == [" a b"]
        assert texts("LO", b" a b \0") == ["a b"]
        for vr in ("LT", "ST", "UT"):
            assert values(vr, b"  a\r\n b  \0") == ["  a\r\n b"]
            assert texts(vr, b"  a\r\n b  \0") == ["  a\r\n b"]

    def test_several_values(self) -> None:
        for vr in ("AE", "CS", "LO", "SH", "UC", "UI"):
            assert values(vr, b"1\\\\2 ") == ["1", None, "2"]
            assert [(r.position, r.text) for r in value(vr, b"1\\\\2 ").rows] == [
                (1, "1"),
                (3, "2"),
            ]

    def test_backslashes_are_text_where_there_is_one_value(self) -> None:
        for vr in ("LT", "ST", "UT", "UR"):
            assert values(vr, b"a\\b ") == ["a\\b"]

    def test_values_are_split_after_decoding(self) -> None:
        assert values("LO", b"\x81\x5c\\b", charset="GB18030") == ["乗", "b"]
        assert values("PN", b"\x81\x5c^x", charset="GBK") == [{"Alphabetic": "乗^x"}]

    def test_empty(self) -> None:
        for vr in VRS:
            assert value(vr, b"").json == {"vr": vr}
            assert value(vr, b"").rows == [("A", vr, None, *[None] * 6, False)]
        for vr in ("AE", "CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "TM", "UI"):
            assert value(vr, b"  ").json == {"vr": vr}
            assert value(vr, b"  ").problems == []

    def test_wrong_values_are_kept_with_a_problem(self) -> None:
        assert value("CS", b"lower").problems == ["not a code string"]
        assert value("CS", b"A" * 17).problems == ["not a code string"]
        assert value("UI", b"1.2.x").problems == ["not a UID"]
        assert value("UI", b"1" * 65).problems == ["not a UID"]
        assert values("CS", b"lower") == ["lower"]
        assert texts("UI", b"1.2.x") == ["1.2.x"]

    def test_doubtful_text_keeps_its_bytes(self) -> None:
        for vr in ("CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "TM", "UI", "UT", "AS", "DT"):
            found = value(vr, b"\xfc1", charset="ISO_IR 192" if vr in ("LO", "LT", "PN") else "")
            assert base64.b64decode(found.json["InlineBinary"]) == b"\xfc1", vr
            assert found.json["Value"], vr
            assert found.problems, vr

    def test_names(self) -> None:
        assert values("PN", b"A^B=C=D\\E") == [
            {"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"},
            {"Alphabetic": "E"},
        ]
        assert values("PN", b"==D") == [{"Phonetic": "D"}]
        assert texts("PN", b"A^B== ") == ["A^B"]
        found = value("PN", b"A=B=C=D=E")
        assert found.problems == ["a person name with more than three groups"]
        assert found.json["Value"] == [{"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C=D=E"}]
        assert "InlineBinary" not in found.json

    def test_long_text_is_in_the_header_alone(self) -> None:
        found = value("UT", b"x" * (LONGEST_TEXT + 2))
        assert len(found.json["Value"][0]) == LONGEST_TEXT + 2
        assert [(r.text, r.unread) for r in found.rows] == [(None, True)]

    def test_a_vr_that_nobody_knows(self) -> None:
        found = value("XX", b"a\0\0")
        assert found.json == {"vr": "XX", "InlineBinary": "YQAA"}
        assert texts("XX", b"a\0\0") == ["a"]
        assert texts("XX", b"\x01\x02") == [None]


class TestNumbers:
    def test_decimal_text(self) -> None:
        assert values("DS", b"1.50\\ 2.5 \\\\-3\\1e3\\.5") == ["1.50", 2.5, None, -3, "1e3", ".5"]
        assert numbers("DS", b"1.50\\ 2.5 \\\\-3") == [(1, 1.5), (2, 2.5), (4, -3.0)]
        assert texts("DS", b"1.50\\2") == ["1.50", "2"]

    def test_whole_text(self) -> None:
        assert values("IS", b"+5\\007\\-0\\12") == ["+5", "007", "-0", 12]
        assert numbers("IS", b"+5\\007") == [(1, 5.0), (2, 7.0)]

    @pytest.mark.parametrize(
        ("vr", "raw", "problem"),
        [
            ("DS", b"1,5", "not a decimal number"),
            ("DS", b"nan", "not a decimal number"),
            ("DS", b"0x10", "not a decimal number"),
            ("DS", b"1_000", "not a decimal number"),
            ("DS", "١٢".encode(), "not a decimal number"),
            ("DS", b"1.2345678901234567", "longer than 16 characters"),
            ("IS", b"1.5", "not a whole number"),
            ("IS", b"1234567890123", "longer than 12 characters"),
            ("IS", b"1\\x", "not a whole number"),
        ],
    )
    def test_wrong_text_is_kept(self, vr: str, raw: bytes, problem: str) -> None:
        found = value(vr, raw)
        assert problem in found.problems
        assert found.rows[-1].text == raw.decode().split("\\")[-1]

    def test_a_number_beyond_all_measure(self) -> None:
        assert numbers("DS", b"1e999") == [(1, None)]
        assert values("DS", b"1e999") == ["1e999"]

    def test_binary_numbers_in_both_orders(self) -> None:
        for vr, code, numbers_ in [
            ("US", "H", (0, 65535)),
            ("SS", "h", (-32768, 5)),
            ("UL", "I", (0, 2**32 - 1)),
            ("SL", "i", (-(2**31), 5)),
            ("FD", "d", (0.1, -1e300)),
            ("FL", "f", (3.1, 3.4028234663852886e38, 1e-45, 16777216.0)),
        ]:
            for order in "<>":
                raw = struct.pack(f"{order}{len(numbers_)}{code}", *numbers_)
                said = values(vr, raw, order)
                assert struct.pack(f"{order}{len(numbers_)}{code}", *said) == raw
        assert values("FL", struct.pack("<f", 3.1)) == [3.1]

    def test_64_bits(self) -> None:
        assert values("UV", struct.pack("<2Q", 5, 2**64 - 1)) == [5, str(2**64 - 1)]
        assert values("SV", struct.pack("<2q", -5, -(2**63))) == [-5, str(-(2**63))]
        assert texts("UV", struct.pack("<Q", 2**64 - 1)) == [str(2**64 - 1)]

    def test_nan_and_infinities(self) -> None:
        raw = struct.pack("<3d", math.nan, math.inf, -math.inf)
        assert values("FD", raw) == ["NaN", "Infinity", "-Infinity"]
        assert texts("FD", raw) == ["nan", "inf", "-inf"]
        assert [n for _, n in numbers("FD", raw)] == [None] * 3
        assert values("FL", struct.pack("<f", math.inf)) == ["Infinity"]

    def test_bytes_that_make_no_whole_number_of_values(self) -> None:
        for vr, size in (("US", 2), ("UL", 4), ("FD", 8), ("AT", 4)):
            found = value(vr, bytes(size + 1))
            assert found.json == {
                "vr": vr,
                "InlineBinary": base64.b64encode(bytes(size + 1)).decode(),
            }
            assert found.rows[0].unread
            assert "no whole number" in found.problems[0]

    def test_tags(self) -> None:
        assert values("AT", b"\x08\x00\x18\x00\x10\x00\x20\x00") == ["00080018", "00100020"]
        assert values("AT", b"\x00\x08\x00\x18", ">") == ["00080018"]
        assert texts("AT", b"\x08\x00\x18\x00") == ["00080018"]

    def test_positions_end_where_lists_are_long(self) -> None:
        raw = struct.pack(f"<{MOST_POSITIONS}H", *range(MOST_POSITIONS))
        assert [p for p, _ in numbers("US", raw)] == list(range(1, MOST_POSITIONS + 1))
        assert {p for p, _ in numbers("US", raw + b"\0\0")} == {None}

    def test_very_long_lists_are_in_the_header_alone(self) -> None:
        many = LONGEST_LIST + 5
        for vr, raw in (("DS", b"\\".join([b"1"] * many)), ("US", bytes(2 * many))):
            found = value(vr, raw)
            assert len(found.json["Value"]) == many
            assert len(found.rows) == LONGEST_LIST + 1
            assert found.rows[-1].unread


class TestMoments:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("20240229", datetime(2024, 2, 29, tzinfo=UTC)),
            ("2024.02.29", datetime(2024, 2, 29, tzinfo=UTC)),
            ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
            ("20240230", None),
            ("00000000", None),
            ("2024", None),
            ("20240101-20240131", None),
            ("٢٠٢٤٠١٠١", None),
        ],
    )
    def test_dates(self, text: str, moment: datetime | None) -> None:
        assert moment_of(text) == moment
        found = value("DA", text.encode())
        assert found.rows[0].text == text
        assert ("not a date" in found.problems) == (moment is None)

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
            ("202403151230", datetime(2024, 3, 15, 12, 30, tzinfo=UTC)),
            ("20240315123059.25", datetime(2024, 3, 15, 12, 30, 59, 250000, tzinfo=UTC)),
            ("20240315123060", datetime(2024, 3, 15, 12, 30, 59, tzinfo=UTC)),
            ("20240315123061", None),
            ("2024031512-0500", datetime(2024, 3, 15, 17, tzinfo=UTC)),
            ("00010101000000+1400", None),
            ("20240315+9900", None),
        ],
    )
    def test_date_times(self, text: str, moment: datetime | None) -> None:
        assert moment_of(text, "DT") == moment
        assert value("DT", text.encode()).rows[0].moment == moment

    def test_times(self) -> None:
        assert seconds_of("235960.5") == 86400.5
        assert seconds_of("07") == 25200
        for text in ("24", "1260", "120061", "12:3", "1", ""):
            assert seconds_of(text) is None
        assert value("TM", b"1x").problems == ["not a time"]
        assert numbers("TM", b"010203.000004\\02 ") == [(1, 3723.000004), (2, 7200.0)]

    def test_ages(self) -> None:
        assert days_of("002W") == 14
        assert numbers("AS", b"010M") == [(1, 304.375)]
        assert value("AS", b"10").problems == ["not an age"]


class TestBinary:
    def test_bytes_and_their_length(self) -> None:
        for vr in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
            found = value(vr, bytes(range(16)))
            assert base64.b64decode(found.json["InlineBinary"]) == bytes(range(16))
            assert [r.number for r in found.rows] == [16]

    def test_json_is_little_endian(self) -> None:
        assert value("OW", b"\1\2\3\4", ">").json["InlineBinary"] == "AgEEAw=="
        assert value("OD", bytes(range(8)), ">").json["InlineBinary"] == "BwYFBAMCAQA="
        assert value("OB", b"\1\2", ">").json["InlineBinary"] == "AQI="
        assert value("OW", b"\1\2\3", ">").problems == ["3 bytes are no whole number of OW values"]

    def test_readable_unknown_bytes_are_text_in_rows_too(self) -> None:
        assert texts("UN", b"V1.0 \0") == ["V1.0"]
        assert texts("UN", b"\1\2") == [None]
        assert texts("OB", b"V1.0") == [None]


RAWS = st.one_of(
    st.binary(max_size=40),
    st.text('0123456789.+-eE \\\0ABDMWYnaif:^=\x1b"é', max_size=30).map(str.encode),
    st.from_regex(rb"\A *[+-]?[0-9]{1,9}(\.[0-9]{0,6})?(\\[+-]?[0-9]{1,4}){0,3} ?\Z"),
    st.from_regex(rb"\A[12][0-9]{3}[01][0-9][0-3][0-9]([0-9]{2}){0,3} ?\Z"),
    st.floats(width=32).map(lambda f: struct.pack("<f", f)),
    st.floats().map(lambda f: struct.pack("<d", f)),
)


@given(
    st.sampled_from(VRS), RAWS, st.sampled_from("<>"), st.sampled_from(["", "ISO_IR 192", "GBK"])
)
def test_no_value_is_lost_and_none_raises(vr: str, raw: bytes, order: str, charset: str) -> None:
    found = interpret("A", vr, raw, order, repertoire(charset))
    assert orjson.loads(orjson.dumps(found.json)) == found.json
    assert found.rows
    said = found.json.keys() & {"Value", "InlineBinary"}
    assert said or not raw.strip(b" \0=\\") or vr in ("AE",)
    if "InlineBinary" in said and order == "<":
        assert base64.b64decode(found.json["InlineBinary"]) == raw
    for row in found.rows:
        assert row.number is None or math.isfinite(row.number)


@given(st.sampled_from(VRS), RAWS)
def test_the_short_cut_says_the_same(vr: str, raw: bytes) -> None:
    read = plain_reader(vr)
    quick = read("A", raw) if read else None
    if quick is not None:
        slow = interpret("A", vr, raw, "<", repertoire(""))
        assert orjson.loads(quick[0]) == slow.json
        assert list(quick[1]) == slow.rows
        assert [type(row) for row in quick[1]] == [type(row) for row in slow.rows]
        assert slow.problems == []


def test_the_short_cut_is_taken() -> None:
    for vr, raw in [
        ("CS", b"CT"),
        ("DS", b"-1.5 "),
        ("DS", b"1\\2.25\\3"),
        ("IS", b"12"),
        ("UI", b"1.2.3\0"),
        ("DA", b"20240229"),
        ("TM", b"101010.5"),
        ("LO", b"Some text "),
        ("US", b"\1\2"),
        ("FL", b"\0\0\x80\x3f"),
        ("OB", b"\1\2"),
    ]:
        read = plain_reader(vr)
        assert read is not None
        assert read("A", raw) is not None, vr


def test_numbers_and_texts_come_back() -> None:
    assert number_of("1e5") == 1e5
    for text in ("1", "-1.5", "0.1", "123456789012345"):
        assert values("DS", text.encode()) == [orjson.loads(text)]


def test_no_pattern_takes_time_or_memory_out_of_proportion() -> None:
    hostile = [b"1" * 200_000 + b"x", b"1e" * 100_000, b" " * 200_000 + b"x", b"+" * 200_000]
    begin = time.process_time()
    for vr in VRS:
        for raw in hostile:
            value(vr, raw)
            if read := plain_reader(vr):
                read("A", raw)
    assert time.process_time() - begin < 5


def test_nothing_remembers_long_values() -> None:
    tracemalloc.start()
    try:
        for i in range(40):
            value("DS", b"%d" % i + b"1" * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
