"""From bytes to header and rows: context, private attributes, codes, the way out, and back."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from dicomlake.dicom.values import Row
from dicomlake.dicom.walk import DEEPEST, Fetch, Root, walk
from dicomlake.errors import DataError
from dicomlake.readers.header import Header, HeaderReader

from ..made import (
    BIG_ENDIAN,
    DEFLATED,
    END,
    IMPLICIT,
    ITEM,
    UNDEFINED,
    explicit,
    file,
    fragments,
    implicit,
    item,
    problems,
    read,
    said,
    sequence,
)

LATIN1 = explicit(0x00080005, "CS", b"ISO_IR 100")
NAME = explicit(0x00100010, "PN", b"M\xfcller^A ")


def rows(*elements: bytes, **how: Any) -> dict[str, list[Row]]:
    """Rows by path, without those of the file meta information."""
    reader = HeaderReader()
    header = reader.read_bytes(file(*elements, **how))
    found: dict[str, list[Row]] = {}
    for number in sorted(header.rows):
        row = reader.rows[number]
        if row.path != "TransferSyntaxUID":
            found.setdefault(row.path, []).append(row)
    return found


def creator(block: int, name: bytes, group: int = 0x0019) -> bytes:
    return explicit(group << 16 | block, "LO", name)


class TestContext:
    def test_items_inherit_the_character_set_and_may_override_it(self) -> None:
        utf8 = explicit(0x00080005, "CS", b"ISO_IR 192")
        german = explicit(0x00100010, "PN", "Müller^A".encode() + b" ")
        found = said(LATIN1, sequence(0x00081140, item(NAME), item(utf8, german), item(NAME)), NAME)
        items = found["00081140"]["Value"]
        assert [i["00100010"]["Value"] for i in items] == [[{"Alphabetic": "Müller^A"}]] * 3
        assert found["00100010"]["Value"] == [{"Alphabetic": "Müller^A"}]

    def test_the_same_bytes_in_another_character_set_are_other_text(self) -> None:
        reader = HeaderReader()
        greek = explicit(0x00080005, "CS", b"ISO_IR 126")
        texts = [
            orjson.loads(reader.read_bytes(file(label, NAME)).json)["00100010"]["Value"]
            for label in (LATIN1, greek, LATIN1)
        ]
        assert texts == [[{"Alphabetic": n}] for n in ("Müller^A", "Mόller^A", "Müller^A")]

    def test_a_misspelt_character_set_is_a_problem_of_that_attribute(self) -> None:
        wrong = explicit(0x00080005, "CS", b"ISO-IR 100")
        assert ("SpecificCharacterSet", "CS") in {p[:2] for p in read(wrong, NAME).problems}
        assert said(wrong, NAME)["00100010"]["Value"] == [{"Alphabetic": "Müller^A"}]

    def test_pixel_representation_decides_between_us_and_ss(self) -> None:
        raw = b"\xff\xff"
        smallest = implicit(0x00280106, raw)
        for value, vr in ((0, "US"), (1, "SS")):
            signed = implicit(0x00280103, struct.pack("<H", value))
            assert said(signed, smallest, syntax=IMPLICIT)["00280106"]["vr"] == vr
            unknown = explicit(0x00280106, "UN", raw)
            declared = explicit(0x00280103, "US", struct.pack("<H", value))
            assert said(declared, unknown)["00280106"]["vr"] == vr
        assert said(smallest, syntax=IMPLICIT)["00280106"] == {"vr": "US", "Value": [65535]}

    def test_pixel_representation_counts_for_what_comes_before_it_and_for_items(self) -> None:
        signed, unsigned = (implicit(0x00280103, struct.pack("<H", v)) for v in (1, 0))
        lut = implicit(0x00280106, b"\xff\xff")
        inside = sequence(0x00081140, item(lut), item(unsigned, lut), vr="")
        items = said(inside, signed, syntax=IMPLICIT)["00081140"]["Value"]
        assert [i["00280106"]["vr"] for i in items] == ["SS", "US"]

    def test_attributes_out_of_order(self) -> None:
        elements = [NAME, explicit(0x0019100C, "IS", b"5 "), creator(0x10, b"ACME"), LATIN1]
        found = read(*elements)
        assert ("", "", "attributes are not in ascending order") in found.problems
        assert orjson.loads(found.json)["00100010"]["Value"] == [{"Alphabetic": "Müller^A"}]
        assert '(0019,"ACME",0C)' in rows(*elements)

    def test_attributes_that_occur_twice(self) -> None:
        one, two = (explicit(0x00080060, "CS", v) for v in (b"CT", b"MR"))
        assert said(one, two)["00080060"]["Value"] == ["MR"]
        twice = "an attribute occurs twice; the last one is kept"
        assert problems(one, two) == [twice]
        assert [r.text for r in rows(one, two)["Modality"]] == ["MR"]
        inside = sequence(0x00081140, item(one, two))
        assert read(inside).problems == [("ReferencedImageSequence", "SQ", twice)]
        assert [r.text for r in rows(inside)["ReferencedImageSequence.Modality"]] == ["MR"]

    def test_file_meta_inside_the_data_set_loses_nothing(self) -> None:
        stray = explicit(0x00020016, "AE", b"ME")
        found = orjson.loads(read(LATIN1, stray, NAME).json)
        assert found["00020016"]["Value"] == ["ME"]
        assert found["00080005"]["Value"] == ["ISO_IR 100"]


class TestPrivate:
    def test_blocks_differ_between_files_of_one_device(self) -> None:
        value = b"1000"
        for block in (0x10, 0x11, 0xA0):
            element = explicit(0x00190000 | block << 8 | 0x0C, "IS", value)
            found = rows(creator(block, b"SIEMENS MR HEADER"), element)
            assert [r.number for r in found['(0019,"SIEMENS MR HEADER",0C)']] == [1000]

    def test_items_have_creators_of_their_own(self) -> None:
        value = explicit(0x0019100C, "IS", b"5 ")
        found = rows(
            creator(0x10, b"ACME"),
            sequence(0x00191001, item(value), item(creator(0x10, b"OTHER "), value)),
            value,
        )
        inside = '(0019,"ACME",01)'
        assert {f"{inside}.(0019,100C)", f'{inside}.(0019,"OTHER",0C)', '(0019,"ACME",0C)'} <= set(
            found
        )

    def test_several_creators_in_one_group(self) -> None:
        elements = (explicit(0x00190000 | n, "LO", b"x ") for n in (0x1001, 0x1101, 0x1201))
        found = rows(creator(0x10, b"A "), creator(0x11, b"B "), *elements)
        assert {'(0019,"A",01)', '(0019,"B",01)', "(0019,1201)"} <= set(found)

    def test_creators_of_one_group_are_none_of_another(self) -> None:
        found = rows(creator(0x10, b"A "), explicit(0x00211001, "LO", b"x "))
        assert "(0021,1001)" in found

    def test_quotes_in_a_creator(self) -> None:
        found = rows(creator(0x10, b'A "B" '), explicit(0x00191001, "LO", b"x "))
        assert '(0019,"A ""B""",01)' in found

    def test_unknown_vrs_become_what_the_private_dictionary_says_if_the_bytes_fit(self) -> None:
        siemens = creator(0x10, b"SIEMENS MR HEADER ")
        fits = said(siemens, explicit(0x0019100C, "UN", b"1000"))
        assert fits["0019100C"] == {"vr": "IS", "Value": [1000]}
        odd = said(siemens, explicit(0x0019100C, "UN", b"\x01\x02\x03\x04"))
        assert odd["0019100C"] == {"vr": "UN", "InlineBinary": "AQIDBA=="}

    def test_implicit_private_elements(self) -> None:
        acme = implicit(0x00190010, b"ACME")
        found = said(acme, implicit(0x00191001, b"text"), syntax=IMPLICIT)
        assert found["00190010"] == {"vr": "LO", "Value": ["ACME"]}
        assert found["00191001"] == {"vr": "UN", "InlineBinary": "dGV4dA=="}
        assert rows(acme, implicit(0x00191001, b"text"), syntax=IMPLICIT)['(0019,"ACME",01)'][
            0
        ].text == ("text")

    def test_thousands_of_creators_cost_no_memory_each(self) -> None:
        elements = b"".join(
            creator(block, b"%04X%02X" % (group, block), group)
            for group in range(0x0009, 0x0109, 2)
            for block in range(0x10, 0x100)
        )
        reader = HeaderReader()
        reader.read_bytes(file(elements))
        assert sum(len(c.creators) for c in reader._memories) < 5_000_000


class TestUnknown:
    def test_a_public_attribute_takes_the_vr_of_the_dictionary(self) -> None:
        assert said(explicit(0x00080060, "UN", b"CT"))["00080060"] == {"vr": "CS", "Value": ["CT"]}
        assert said(explicit(0x00280010, "UN", b"\0\1"))["00280010"] == {"vr": "US", "Value": [256]}

    def test_it_is_little_endian_wherever_it_is(self) -> None:
        found = said(explicit(0x00280010, "UN", b"\0\1", order=">"), syntax=BIG_ENDIAN)
        assert found["00280010"] == {"vr": "US", "Value": [256]}

    def test_a_public_sequence_of_defined_length(self) -> None:
        inside = item(implicit(0x00081155, b"1.2\0"))
        for count in (1, 60, 400):
            found = said(explicit(0x00081140, "UN", inside * count))["00081140"]
            assert found["vr"] == "SQ"
            assert found["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.2"]}}] * count

    def test_nested_sequences_inside_are_implicit(self) -> None:
        deep = sequence(0x00081199, item(implicit(0x00081155, b"1.2\0")), vr="")
        for length in (None, UNDEFINED):
            element = explicit(0x00091001, "UN", item(deep), length=length)
            end = implicit(END) if length else b""
            (inside,) = said(element + end)["00091001"]["Value"]
            assert inside["00081199"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]

    def test_bytes_that_only_begin_like_items(self) -> None:
        raw = implicit(ITEM, b"abc", length=3)
        assert said(explicit(0x00091001, "UN", raw))["00091001"] == {
            "vr": "UN",
            "InlineBinary": base64.b64encode(raw).decode(),
        }

    def test_a_broken_sequence_keeps_its_bytes(self) -> None:
        raw = b"\x08\x00\x60\x00CS\x02\x00CT"
        found = read(sequence(0x00081140, raw))
        assert orjson.loads(found.json)["00081140"] == {
            "vr": "SQ",
            "InlineBinary": base64.b64encode(raw).decode(),
        }
        assert found.problems == [
            ("ReferencedImageSequence", "SQ", "a sequence that cannot be read")
        ]
        assert rows(sequence(0x00081140, raw))["ReferencedImageSequence"][0].unread


class TestRows:
    def test_codes(self) -> None:
        def code(value: bytes, number: int = 0x00080100, vr: str = "SH") -> bytes:
            return item(
                explicit(number, vr, value),
                explicit(0x00080102, "SH", b"SCT "),
                explicit(0x00080104, "LO", b"M\xfcll"),
            )

        found = rows(
            LATIN1,
            sequence(
                0x00081032,
                code(b"77477000"),
                code(b"long", 0x00080119, "UC"),
                code(b"urn:x:y ", 0x00080120, "UR"),
            ),
        )["ProcedureCodeSequence"]
        assert [(r.position, r.code_value, r.code_scheme, r.code_meaning) for r in found] == [
            (1, "77477000", "SCT", "Müll"),
            (2, "long", "SCT", "Müll"),
            (3, "urn:x:y", "SCT", "Müll"),
        ]

    def test_sequences_count_their_items(self) -> None:
        inside = item(explicit(0x00081155, "UI", b"1.2\0"))
        (row,) = rows(sequence(0x00081140, inside, inside))["ReferencedImageSequence"]
        assert (row.number, row.position) == (2, None)
        (row,) = rows(sequence(0x00081140))["ReferencedImageSequence"]
        assert row == Row("ReferencedImageSequence", "SQ", None)

    def test_bulk_data(self) -> None:
        data = file(explicit(0x7FE00010, "OW", bytes(5000)))
        (row,) = rows(explicit(0x7FE00010, "OW", bytes(5000)))["PixelData"]
        assert (row.number, row.text) == (5000, None)
        found = said(explicit(0x7FE00010, "OW", bytes(5000)))["7FE00010"]
        assert found == {"vr": "OW", "BulkDataURI": f"?offset={len(data) - 5000}&length=5000"}

    def test_texts_that_are_left_out_are_unread_rows(self) -> None:
        data = file(explicit(0x00100010, "PN", b"Doe", length=20))
        reader = HeaderReader()
        header = reader.read_bytes(data)
        row = next(reader.rows[n] for n in header.rows if reader.rows[n].path == "PatientName")
        assert (row.unread, row.number) == (True, None)
        assert "BulkDataURI" in orjson.loads(header.json)["00100010"]

    def test_deflated_offsets_say_so(self) -> None:
        found = said(explicit(0x7FE00010, "OW", bytes(5000)), syntax=DEFLATED)["7FE00010"]
        assert found["BulkDataURI"] == "?offset=12&length=5000&inflated=1"

    def test_first_values(self) -> None:
        found = read(
            explicit(0x00080018, "UI", b"1.2\\1.3\0"),
            explicit(0x00100020, "LO", b" P1 "),
            explicit(0x00200013, "IS", b"7 "),
            explicit(0x00280010, "US", b"\0\2"),
            explicit(0x00280011, "US"),
        )
        assert found.first == {
            "SOPInstanceUID": "1.2",
            "PatientID": "P1",
            "InstanceNumber": "7",
            "Rows": "512",
        }
        big = read(explicit(0x00280010, "US", b"\2\0", order=">"), syntax=BIG_ENDIAN)
        assert big.first == {"Rows": "512"}
        directory = read(explicit(0x00041220, "SQ", item(LATIN1)))
        assert directory.first == {"DirectoryRecordSequence": "1"}

    def test_half_characters_do_not_split_a_first_value(self) -> None:
        gbk = explicit(0x00080005, "CS", b"GBK ")
        assert read(gbk, explicit(0x00100020, "LO", b"\x81\x5c")).first["PatientID"] == "乗"


class TestNothingIsDropped:
    def test_every_element_has_a_value_or_bytes_or_a_place_or_is_empty(self) -> None:
        found = said(
            explicit(0x00080060, "CS", b"\xff\xfe"),
            explicit(0x00100010, "PN", b"\xff=\xff=\xff"),
            explicit(0x00104000, "LT", b"\xff\xff"),
            explicit(0x00189074, "DT", b"\xff\xff"),
            explicit(0x00201041, "DS", b"\xff\xff"),
            explicit(0x00280010, "US", b"\1"),
            explicit(0x00280009, "AT", b"\1"),
            explicit(0x00091001, "ZZ", b"\0\0"),
            explicit(0x00091002, "UN", b"\0\0"),
        )
        assert len(found) == 9
        for tag, element in found.items():
            assert "InlineBinary" in element, tag
        assert base64.b64decode(found["00100010"]["InlineBinary"]) == b"\xff=\xff=\xff"

    def test_undecodable_text_stands_beside_its_bytes(self) -> None:
        utf8 = explicit(0x00080005, "CS", b"ISO_IR 192")
        found = said(utf8, NAME)["00100010"]
        assert found["Value"] == [{"Alphabetic": "M\ufffdller^A"}]
        assert base64.b64decode(found["InlineBinary"]) == b"M\xfcller^A "

    def test_icons_that_are_compressed(self) -> None:
        icon = sequence(0x00880200, item(fragments(0x7FE00010, b"", b"\xff\xd8")))
        (inside,) = said(icon)["00880200"]["Value"]
        raw = base64.b64decode(inside["7FE00010"]["InlineBinary"])
        assert raw == implicit(ITEM) + implicit(ITEM, b"\xff\xd8")

    def test_sequences_nested_too_deep_keep_their_bytes(self) -> None:
        data = explicit(0x00080060, "CS", b"CT")
        for _ in range(DEEPEST + 5):
            data = sequence(0x00081140, item(data))
        found = said(data)
        for _ in range(DEEPEST):
            (found,) = found["00081140"]["Value"]
        assert "InlineBinary" in found["00081140"]
        assert f"sequences nested deeper than {DEEPEST}" in problems(data)


class TestRemembering:
    def test_a_reader_that_knows_much_says_what_a_new_one_says(self) -> None:
        data = [
            file(LATIN1, NAME),
            file(NAME),
            file(explicit(0x00080005, "CS", b"ISO_IR 192"), NAME),
            file(creator(0x10, b"A "), explicit(0x0019100C, "IS", b"5 ")),
            file(creator(0x10, b"B "), explicit(0x0019100C, "IS", b"5 ")),
            file(implicit(0x00280103, b"\1\0"), implicit(0x00280106, b"\xff\xff"), syntax=IMPLICIT),
            file(implicit(0x00280106, b"\xff\xff"), syntax=IMPLICIT),
            file(sequence(0x00081140, item(NAME)), sequence(0x00081199, item(NAME))),
        ]
        reader = HeaderReader()
        for _ in range(2):
            for one in data:
                known, new = reader.read_bytes(one), HeaderReader().read_bytes(one)
                assert known.json == new.json
                assert known.problems == new.problems
                assert known.first == new.first

    def test_forgetting(self) -> None:
        reader = HeaderReader()
        header = reader.read_bytes(file(NAME))
        reader.forget()
        assert len(reader.rows) == len(header.rows)
        many = b"".join(explicit(0x00090000 | n, "LO", b"%08d" % n) for n in range(0x1000, 0xFFFF))
        for group in range(0x09, 0x10, 2):
            reader.read_bytes(file(many.replace(b"\x09\x00", bytes((group, 0)))))
        reader.forget()
        assert reader.rows == []
        assert reader.read_bytes(file(NAME)).json == header.json


class TestTheWayOut:
    """When our own walk fails in a way that nobody foresaw, pydicom reads the object."""

    DATA = file(
        LATIN1,
        explicit(0x00080060, "CS", b"CT"),
        sequence(0x00081140, item(explicit(0x00081155, "UI", b"1.2\0"))),
        sequence(0x00081199, item(explicit(0x00081155, "UI", b"1.3\0")), undefined=True),
        NAME,
        explicit(0x00280010, "US", b"\0\2"),
        explicit(0x7FE00010, "OW", bytes(64)),
    )

    @staticmethod
    def failing(error: Exception) -> HeaderReader:
        def fails(fetch: Fetch, size: int) -> Root:
            raise error

        return HeaderReader(fails)

    @pytest.mark.parametrize(
        "error",
        [
            struct.error("x"),
            IndexError("x"),
            RecursionError("x"),
            TypeError("x"),
            AssertionError("x"),
            MemoryError("x"),
            OverflowError("x"),
        ],
    )
    def test_the_same_header_but_for_the_pixels(self, error: Exception) -> None:
        found = self.failing(error).read_bytes(self.DATA)
        theirs, ours = orjson.loads(found.json), orjson.loads(read_whole(self.DATA).json)
        del ours["7FE00010"]
        assert theirs == ours
        problem = f"read by the fallback reader ({type(error).__name__})"
        assert found.problems == [("", "", problem)]

    @pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
    def test_other_encodings(self, syntax: str) -> None:
        order = ">" if syntax == BIG_ENDIAN else "<"
        inside = (0x00280010, struct.pack(order + "H", 512))
        if syntax == IMPLICIT:
            element = implicit(*inside)
            data = file(sequence(0x00081140, item(element), vr=""), element, syntax=syntax)
        else:
            element = explicit(inside[0], "US", inside[1], order=order)
            items = item(element, order=order)
            data = file(sequence(0x00081140, items, order=order), element, syntax=syntax)
        found = self.failing(IndexError()).read_bytes(data)
        assert orjson.loads(found.json) == orjson.loads(read_whole(data).json)

    def test_private_elements(self) -> None:
        data = file(creator(0x10, b"SIEMENS MR HEADER "), explicit(0x0019100C, "UN", b"1000"))
        found = self.failing(IndexError()).read_bytes(data)
        assert orjson.loads(found.json)["0019100C"] == {"vr": "IS", "Value": [1000]}

    def test_what_pydicom_cannot_read_is_a_data_error(self) -> None:
        reader = self.failing(IndexError())
        for data in (b"", b"nothing", bytes(128) + b"DICM" + b"\2\0\1\0OB\0\0"):
            with pytest.raises(DataError):
                reader.read_bytes(data)

    def test_pydicom_never_inflates(self) -> None:
        with pytest.raises(DataError):
            self.failing(IndexError()).read_bytes(file(LATIN1, syntax=DEFLATED))

    def test_a_tree_that_cannot_be_described(self) -> None:
        def odd(fetch: Fetch, size: int) -> Root:
            return Root([(b"\x08\0\x60\0", b"CS", 5)], "")  # type: ignore[list-item]

        found = HeaderReader(odd).read_bytes(self.DATA)
        assert "00100010" in orjson.loads(found.json)

    def test_errors_of_the_source_are_passed_on(self) -> None:
        def broken(offset: int, length: int) -> bytes:
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            HeaderReader().read(broken, 1000)


def read_whole(data: bytes) -> Header:
    return HeaderReader().read_bytes(data)


def back(data: bytes) -> tuple[Header, Header, HeaderReader]:
    reader = HeaderReader()
    header = reader.read_bytes(data)
    return header, reader.read_json(orjson.loads(header.json)), reader


class TestJson:
    @pytest.mark.parametrize(
        "elements",
        [
            [LATIN1, NAME, sequence(0x00081140, item(NAME))],
            [explicit(0x00080005, "CS", b"ISO_IR 192"), NAME],  # doubtful
            [NAME],
            [LATIN1, explicit(0x00100020, "UN", b"M\xfcller")],
            [explicit(0x00100020, "UN", "Müller".encode() + b" ")],
            [explicit(0x00080060, "CS", b"\xfcT"), explicit(0x00100020, "LO", b" \\ a \\")],
            [explicit(0x00100010, "PN", b"A=B=C=D=E "), explicit(0x00104000, "LT", b" a\\b \0")],
            [explicit(0x00189074, "FD", struct.pack("<3d", float("nan"), float("inf"), -0.0))],
            [explicit(0x00189074, "FL", struct.pack("<2f", 3.1, -1e-45))],
            [explicit(0x00720082, "SV", struct.pack("<2q", -(2**63), 5))],
            [explicit(0x00280009, "AT", b"\1\2\3\4"), explicit(0x00280010, "US", b"\1")],
            [explicit(0x00201041, "DS", b"1.50\\-0\\1e5\\ 1e999\\x")],
            [creator(0x10, b"A\\B "), explicit(0x0019100C, "IS", b"5 ")],
            [explicit(0x0019100C, "IS", b"5 "), creator(0x10, b"A ")],
            [sequence(0x00081032, item(explicit(0x00080100, "SH", b" a \\ b ")))],
            [
                sequence(0x00081140),
                sequence(0x00081199, item()),
                explicit(0x00091001, "ZZ", b"a\0"),
            ],
            [explicit(0x00080060, "UN", b"CT"), explicit(0x7FE00010, "OW", bytes(5000))],
        ],
    )
    def test_rows_are_those_of_the_bytes(self, elements: list[bytes]) -> None:
        header, again, reader = back(file(*elements))
        differ = [reader.rows[n] for n in header.rows ^ again.rows]
        assert not differ
        assert again.first == header.first
        assert again.syntax == header.syntax

    def test_big_endian(self) -> None:
        data = file(
            explicit(0x00280010, "US", b"\2\0", order=">"),
            explicit(0x00281201, "OW", b"\1\2\3\4", order=">"),
            syntax=BIG_ENDIAN,
        )
        header, again, _ = back(data)
        assert header.rows == again.rows
        assert orjson.loads(again.json) == orjson.loads(header.json)

    def test_json_of_a_service(self) -> None:
        found = HeaderReader().read_json(
            {
                "00080060": {"Value": ["CT"]},
                "00100010": {"vr": "PN", "Value": ["Doe^Jane"]},
                "00100020": {"vr": "LO", "Value": [None]},
                "00200013": {"vr": "IS", "Value": ["7"]},
                "00280010": {"vr": "US", "Value": ["512"]},
                "00201041": {"vr": "DS", "Value": [1.5, "2.50"]},
                "00081140": {"vr": "SQ", "Value": [None, {}]},
                "7fe00010": {"vr": "OW", "BulkDataURI": "http://pacs/bulk/1"},
                "00280009": {"vr": "AT", "Value": ["00181063"]},
            }
        )
        assert found.problems == []
        assert orjson.loads(found.json) == {
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
            "00100020": {"vr": "LO"},
            "00200013": {"vr": "IS", "Value": [7]},
            "00280010": {"vr": "US", "Value": [512]},
            "00201041": {"vr": "DS", "Value": [1.5, "2.50"]},
            "00081140": {"vr": "SQ", "Value": [{}, {}]},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://pacs/bulk/1"},
            "00280009": {"vr": "AT", "Value": ["00181063"]},
        }

    @pytest.mark.parametrize(
        "element",
        [
            {"vr": "US", "Value": ["many"]},
            {"vr": "US", "Value": [-1]},
            {"vr": "US", "Value": [None]},
            {"vr": "FD", "Value": [{}]},
            {"vr": "PN", "Value": [{"Alphabetic": 5}]},
            {"vr": "PN", "Value": [5]},
            {"vr": "SQ", "Value": ["no item"]},
            {"vr": "SQ", "Value": 5},
            {"vr": "OB", "InlineBinary": "?"},
            {"vr": "OB", "InlineBinary": 5},
            {"vr": "OB", "BulkDataURI": "?offset=x&length=y"},
            {"vr": "AT", "Value": [5]},
            {"vr": "UI", "Value": 5},
            {"vr": "LO", "Value": ["\ud800"]},
        ],
    )
    def test_values_that_do_not_fit_are_kept_with_a_problem(self, element: dict[str, Any]) -> None:
        found = HeaderReader().read_json({"00091001": element, "00080060": {"vr": "CS"}})
        assert [p for _, _, p in found.problems] == ["values in the JSON that do not fit their VR"]
        said = orjson.loads(found.json)
        assert said["00080060"] == {"vr": "CS"}
        assert said["00091001"]["vr"] == "UN"
        assert len(base64.b64decode(said["00091001"]["InlineBinary"])) > 0

    def test_parts_that_are_no_elements(self) -> None:
        found = HeaderReader().read_json({"x": {}, "0008": {}, "00080060": 5, "00080061": {}})  # type: ignore[dict-item]
        assert [p for _, _, p in found.problems] == ["a part of the JSON is no DICOM element"]
        assert orjson.loads(found.json) == {"00080061": {"vr": "CS"}}

    def test_no_object(self) -> None:
        for wrong in (None, 5, [], "x"):
            with pytest.raises(DataError):
                HeaderReader().read_json(wrong)  # type: ignore[arg-type]

    def test_sequences_nested_too_deep(self) -> None:
        nested: dict[str, Any] = {"00080060": {"vr": "CS", "Value": ["CT"]}}
        for _ in range(5000):
            nested = {"00081140": {"vr": "SQ", "Value": [nested]}}
        found = HeaderReader().read_json(nested)
        assert [p for _, _, p in found.problems] == [f"sequences nested deeper than {DEEPEST}"]
        assert found.json.count(b"00081140") == DEEPEST + 1


def test_the_walk_is_the_one_of_the_reader_unless_told_otherwise() -> None:
    data = file(NAME)
    root = walk(lambda offset, length: data[offset : offset + length], len(data))
    assert HeaderReader().describe(root).json == read_whole(data).json
