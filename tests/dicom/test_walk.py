"""The walk over hand-made bytes: every rule of PS3.5 and PS3.10, kept and broken."""

from __future__ import annotations

import struct

import pytest

from dicomlake.dicom.walk import (
    DEEPEST,
    FIRST_READ,
    INLINE,
    LONGEST_NUMBERS,
    LONGEST_TEXT,
    MOST_HELD,
    SMALL,
    Bulk,
    Element,
    Root,
    Sequence,
    sniff,
    walk,
    walk_items,
)
from dicomlake.errors import DataError

from ..made import (
    BIG_ENDIAN,
    DEFLATED,
    END,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    JPEG,
    UNDEFINED,
    Counted,
    Sparse,
    explicit,
    file,
    fragments,
    implicit,
    item,
    sequence,
    walked,
)

EARLY = "the object ends too early, or a length in it is too large"


def flat(elements: list[Element]) -> list[object]:
    """(tag as text, VR, value) of elements, items as lists."""
    found: list[object] = []
    for tag, vr, value in elements:
        group, number = struct.unpack("<HH", tag)
        if group == 2:
            continue
        if isinstance(value, Sequence):
            said: object = [flat(i) for i in value.items]
        elif isinstance(value, Bulk):
            said = (value.offset, value.length)
        else:
            said = value
        found.append((f"{group:04X}{number:04X}", vr.decode(), said))
    return found


def body(*elements: bytes, **how: object) -> list[object]:
    return flat(walked(file(*elements, **how)).elements)  # type: ignore[arg-type]


def items_of(root: Root, tag: bytes) -> list[list[Element]]:
    """Items of a sequence, walked now if its bytes were kept."""
    value = next(e[2] for e in root.elements if e[0] == tag)
    if isinstance(value, bytes):
        value = walk_items(value, implicit=root.implicit, order=root.order)
    assert isinstance(value, Sequence)
    return value.items


MODALITY = explicit(0x00080060, "CS", b"CT")
NAME = explicit(0x00100010, "PN", b"Doe^Jane")
PIXELS = explicit(0x7FE00010, "OW", bytes(8))


class TestEncodings:
    def test_explicit_little_endian(self) -> None:
        assert body(MODALITY, NAME) == [("00080060", "CS", b"CT"), ("00100010", "PN", b"Doe^Jane")]

    @pytest.mark.parametrize("vr", "OB OD OF OL OV OW SV UC UN UR UT UV".split())
    def test_long_lengths(self, vr: str) -> None:
        assert body(explicit(0x00091001, vr, b"abcdefgh"), NAME)[0] == ("00091001", vr, b"abcdefgh")

    def test_implicit_takes_the_vr_from_the_dictionary(self) -> None:
        found = body(
            implicit(0x00080000, b"\4\0\0\0"),
            implicit(0x00080060, b"CT"),
            implicit(0x00090010, b"ACME"),
            implicit(0x00091001, b"x"),
            implicit(0x00280106, b"\1\0"),
            implicit(0x00990099, b"y"),
            implicit(0x60020010, b"\1\0"),
            implicit(0x7FE00010, b"\1\0"),
            syntax=IMPLICIT,
        )
        assert [(tag, vr) for tag, vr, _ in found] == [  # type: ignore[misc]
            ("00080000", "UL"),
            ("00080060", "CS"),
            ("00090010", "LO"),
            ("00091001", "??"),
            ("00280106", "?S"),
            ("00990099", "LO"),
            ("60020010", "US"),
            ("7FE00010", "OW"),
        ]

    def test_big_endian(self) -> None:
        found = walked(
            file(
                explicit(0x00080060, "CS", b"CT", order=">"),
                sequence(
                    0x00081140,
                    item(explicit(0x00081155, "UI", b"1.2", order=">"), order=">"),
                    order=">",
                    undefined=True,
                ),
                explicit(0x00280010, "US", b"\1\0", order=">"),
                syntax=BIG_ENDIAN,
            )
        )
        assert found.order == ">"
        assert flat(found.elements) == [
            ("00080060", "CS", b"CT"),
            ("00081140", "SQ", [[("00081155", "UI", b"1.2")]]),
            ("00280010", "US", b"\1\0"),
        ]

    def test_deflated(self) -> None:
        root = walked(file(MODALITY, explicit(0x7FE00010, "OW", bytes(100_000)), syntax=DEFLATED))
        assert root.deflated
        assert root.problems == []
        assert root.elements[-1][2] == Bulk(len(MODALITY) + 12, 100_000, inflated=True)

    def test_deflated_but_not(self) -> None:
        data = file(MODALITY, syntax=EXPLICIT).replace(
            explicit(0x00020010, "UI", EXPLICIT.encode() + b"\0"),
            explicit(0x00020010, "UI", DEFLATED.encode()),
        )
        assert flat(walked(data).elements) == [("00080060", "CS", b"CT")]

    def test_a_vr_of_a_later_edition_has_a_short_length(self) -> None:
        assert body(explicit(0x00091001, "ZZ", b"ab"), NAME)[0] == ("00091001", "ZZ", b"ab")

    @pytest.mark.parametrize("vr", ["  ", "??", "--"])
    def test_a_vr_that_the_writer_left_blank(self, vr: str) -> None:
        assert body(explicit(0x00080060, vr, b"CT"), NAME)[0] == ("00080060", "CS", b"CT")

    def test_an_element_without_vr_among_others(self) -> None:
        assert body(implicit(0x00080060, b"CT"), NAME)[0] == ("00080060", "CS", b"CT")

    def test_the_data_set_is_not_what_the_syntax_says(self) -> None:
        for syntax, element in ((EXPLICIT, implicit(0x00080060, b"CT")), (IMPLICIT, MODALITY)):
            root = walked(file(element, syntax=syntax))
            assert flat(root.elements) == [("00080060", "CS", b"CT")]
            assert "the data set is not encoded as its transfer syntax says" in root.problems


class TestFileMeta:
    def test_no_group_length_and_none_is_trusted(self) -> None:
        lying = explicit(0x00020000, "UL", b"\xff\0\0\0")
        data = file(MODALITY)
        data = data[:132] + lying + data[132:]
        assert flat(walked(data).elements) == [("00080060", "CS", b"CT")]

    def test_no_preamble(self) -> None:
        root = walked(file(MODALITY, preamble=False))
        assert (flat(root.elements), root.preamble) == ([("00080060", "CS", b"CT")], False)
        assert root.problems == ["no preamble and DICM prefix"]

    @pytest.mark.parametrize(
        ("element", "syntax"),
        [
            (MODALITY, EXPLICIT),
            (implicit(0x00080060, b"CT"), IMPLICIT),
            (explicit(0x00080060, "CS", b"CT", order=">"), BIG_ENDIAN),
        ],
    )
    def test_no_meta_and_no_transfer_syntax(self, element: bytes, syntax: str) -> None:
        for preamble in (True, False):
            root = walked(file(element, preamble=preamble, meta=False))
            assert flat(root.elements) == [("00080060", "CS", b"CT")]
            assert root.syntax == syntax
            assert "no transfer syntax; guessed from the first element" in root.problems

    def test_large_private_information_is_hopped_over(self) -> None:
        blob = explicit(0x00020102, "OB", bytes(200_000))
        data = file(MODALITY)
        fetch = Counted(data[:132] + blob + data[132:])
        root = walk(fetch, len(fetch.data))
        assert flat(root.elements) == [("00080060", "CS", b"CT")]
        assert fetch.read < 2 * FIRST_READ + 100

    def test_a_meta_element_that_says_it_is_huge(self) -> None:
        data = bytes(128) + b"DICM" + explicit(0x00020016, "AE", b"ME", length=60_000) + MODALITY
        data = data[:132] + explicit(0x00020002, "UI", b"1.2\0") + data[132:]
        root = walked(data)
        assert [e[0] for e in root.elements] == [b"\2\0\2\0", b"\2\0\x16\0"]
        assert EARLY in root.problems

    def test_no_dicom_at_all(self) -> None:
        for data in (b"", b"PK\3\4" + bytes(400), b"hello", bytes(500), bytes(128) + b"DICM"):
            with pytest.raises(DataError):
                walked(data)

    def test_sniff(self) -> None:
        assert sniff(file(MODALITY))
        assert sniff(file(MODALITY, preamble=False))
        assert sniff(file(implicit(0x00080060, b"CT"), preamble=False, meta=False))
        assert not sniff(bytes(200))
        assert not sniff(b"\x89PNG\r\n\x1a\n" + bytes(200))


class TestSequences:
    def test_defined_and_undefined_lengths_mixed(self) -> None:
        inner = explicit(0x00081155, "UI", b"1.2\0")
        for outer_open in (True, False):
            for item_open in (True, False):
                for deep_open in (True, False):
                    deep = sequence(
                        0x00081199, item(inner, undefined=deep_open), undefined=item_open
                    )
                    data = file(
                        sequence(
                            0x00081140,
                            item(deep, inner, undefined=item_open),
                            item(undefined=deep_open),
                            item(inner),
                            undefined=outer_open,
                        ),
                        NAME,
                    )
                    root = walked(data)
                    items = items_of(root, b"\x08\x00\x40\x11")
                    assert [len(i) for i in items] == [2, 0, 1]
                    assert root.problems == []
                    assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")

    def test_small_ones_are_kept_as_bytes_and_large_ones_as_items(self) -> None:
        small = item(NAME)
        assert body(sequence(0x00081140, small)) == [("00081140", "SQ", small)]
        large = [item(NAME)] * (SMALL // len(small) + 1)
        assert len(body(sequence(0x00081140, *large))[0][2]) == len(large)  # type: ignore[index]

    def test_empty(self) -> None:
        assert body(sequence(0x00081140)) == [("00081140", "SQ", b"")]
        assert body(sequence(0x00081140, undefined=True)) == [("00081140", "SQ", [])]

    def test_unknown_vr_of_undefined_length_is_implicit_inside(self) -> None:
        inside = item(
            implicit(0x00081155, b"1.2\0"),
            sequence(0x00081199, item(implicit(0x00081150, b"1.3\0")), vr=""),
        )
        data = file(explicit(0x00091001, "UN", length=UNDEFINED) + inside + implicit(END))
        deep = ("00081199", "SQ", [[("00081150", "UI", b"1.3\0")]])
        assert flat(walked(data).elements) == [
            ("00091001", "SQ", [[("00081155", "UI", b"1.2\0"), deep]])
        ]

    def test_unknown_vr_of_defined_length(self) -> None:
        inside = item(implicit(0x00081155, b"1.2\0"))
        assert body(explicit(0x00091001, "UN", inside)) == [("00091001", "UN", inside)]
        for count in (INLINE // len(inside) + 1, SMALL // len(inside) + 1):
            found = body(explicit(0x00091001, "UN", inside * count), NAME)
            assert isinstance(found[0][2], bytes | list)  # type: ignore[index]
            assert len(found) == 2

    def test_an_unknown_value_that_only_begins_like_items(self) -> None:
        raw = item(NAME) + b"no item" * 1000
        data = file(explicit(0x00091001, "UN", raw), NAME)
        root = walked(data)
        offset, length = flat(root.elements)[0][2]  # type: ignore[index, misc]
        assert data[offset : offset + length] == raw
        assert root.problems == []

    def test_writers_that_switch_to_implicit_inside(self) -> None:
        items = [item(implicit(0x00081155, b"1.2\0"), implicit(0x00081150, b"1.3\0"))] * 200
        found = body(sequence(0x00081140, *items), NAME)
        assert (
            found[0][2]
            == [  # type: ignore[index]
                [("00081155", "UI", b"1.2\0"), ("00081150", "UI", b"1.3\0")]
            ]
            * 200
        )

    @pytest.mark.parametrize("undefined", [True, False])
    def test_too_deep(self, undefined: bool) -> None:
        data = explicit(0x00091001, "OB", bytes(SMALL))
        for _ in range(DEEPEST + 40):
            data = sequence(0x00081140, item(data, undefined=undefined), undefined=undefined)
        root = walked(file(MODALITY, sequence(0x00081140, item(data)), NAME))
        assert f"sequences nested deeper than {DEEPEST}" in root.problems
        assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")

    def test_damage_in_a_sequence_of_defined_length_ends_there(self) -> None:
        good = item(NAME) * 200
        root = walked(file(sequence(0x00081140, good, NAME), NAME))
        assert len(items_of(root, b"\x08\x00\x40\x11")) == 200
        assert root.problems == ["a sequence holds something that is no item"]
        assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")

    def test_damage_in_a_sequence_of_undefined_length_keeps_what_came_before(self) -> None:
        root = walked(file(MODALITY, sequence(0x00081140, item(NAME), NAME, undefined=True), NAME))
        assert [tag for tag, _, _ in flat(root.elements)] == ["00080060", "00081140"]  # type: ignore[misc]
        assert len(items_of(root, b"\x08\x00\x40\x11")) == 1

    def test_items_without_an_end(self) -> None:
        first = implicit(ITEM, NAME, length=UNDEFINED)
        data = sequence(0x00081140, first, item(NAME, undefined=True), undefined=True)
        root = walked(file(data, NAME))
        assert [len(i) for i in items_of(root, b"\x08\x00\x40\x11")] == [1, 1]
        assert root.problems == ["an item without an end"]

    def test_delimiters_and_items_outside_a_sequence(self) -> None:
        root = walked(file(MODALITY, implicit(END), implicit(ITEM_END), implicit(ITEM), NAME))
        assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")
        assert root.problems == ["a delimiter outside a sequence", "an item outside a sequence"]


class TestBulk:
    def test_short_binary_values_are_kept_and_long_ones_left_out(self) -> None:
        assert body(explicit(0x00091001, "OB", bytes(INLINE)))[0][2] == bytes(INLINE)  # type: ignore[index]
        data = file(explicit(0x00091001, "OB", bytes(INLINE + 2)), NAME)
        assert flat(walked(data).elements)[0][2] == (data.index(b"OB") + 8, INLINE + 2)  # type: ignore[index]

    def test_pixels_at_the_top_are_always_left_out(self) -> None:
        for number in (0x7FE00008, 0x7FE00009, 0x7FE00010):
            assert body(explicit(number, "OD", bytes(8)))[0][2][1] == 8  # type: ignore[index]

    def test_icons_hold_pixels_too_and_do_not_end_anything(self) -> None:
        icon = sequence(0x00880200, item(explicit(0x7FE00010, "OB", bytes(64))), undefined=True)
        found = body(MODALITY, icon, PIXELS)
        assert found[1] == ("00880200", "SQ", [[("7FE00010", "OB", bytes(64))]])
        assert found[2][0] == "7FE00010"  # type: ignore[index]

    def test_elements_behind_the_pixels(self) -> None:
        behind = explicit(0xFFFAFFFA, "SQ", item(NAME))
        assert body(PIXELS, explicit(0x7FE11001, "LO", b"x "), behind)[-1][0] == "FFFAFFFA"  # type: ignore[index]

    def test_encapsulated_pixels_with_delimiters_inside_fragments(self) -> None:
        trap = implicit(END) + implicit(ITEM, b"xx") + implicit(END)
        pixels = fragments(0x7FE00010, b"", trap, b"\xff\xd8" * 4000, trap)
        data = file(MODALITY, pixels, explicit(0xFFFCFFFC, "OB", b"\0\0"), syntax=JPEG)
        root = walked(data)
        assert root.problems == []
        (_, _, (offset, length)), last = flat(root.elements)[1:]  # type: ignore[misc]
        assert data[offset : offset + length] + implicit(END) == pixels[12:]
        assert last == ("FFFCFFFC", "OB", b"\0\0")

    def test_encapsulated_pixels_inside_items(self) -> None:
        icon = fragments(0x7FE00010, b"", b"\xff\xd8" * 30)
        for pad in (b"", explicit(0x00091001, "LT", b"x" * SMALL)):
            for undefined in (True, False):
                data = file(sequence(0x00880200, item(icon, pad), undefined=undefined), PIXELS)
                ((tag, vr, value), *_), *_ = items_of(walked(data), b"\x88\x00\x00\x02")
                if isinstance(value, Bulk):
                    value = data[value.offset : value.offset + value.length]
                assert (tag, vr, value) == (b"\xe0\x7f\x10\x00", b"OB", icon[12:-8])

    def test_encapsulated_pixels_that_cannot_be_followed(self) -> None:
        for wrong in (implicit(0x00091001, b"xx"), implicit(ITEM, length=UNDEFINED)):
            pixels = explicit(0x7FE00010, "OB", implicit(ITEM) + wrong, length=UNDEFINED)
            root = walked(file(MODALITY, pixels, syntax=JPEG))
            assert root.problems == ["encapsulated pixel data that cannot be followed"]
            assert len(root.elements) == 3

    def test_long_texts_and_lists_are_left_out_too(self) -> None:
        text = explicit(0x0008119C, "UT", b"x" * (LONGEST_TEXT + 2))
        long = implicit(0x00189074, b"x" * (LONGEST_NUMBERS + 8))
        assert body(text, NAME)[0][2][1] == LONGEST_TEXT + 2  # type: ignore[index]
        long = implicit(0x00720074, b"x" * (LONGEST_NUMBERS + 8))  # FD
        assert (
            body(implicit(0x00080060, b"CT"), long, syntax=IMPLICIT)[1][2][1] == LONGEST_NUMBERS + 8
        )  # type: ignore[index]

    def test_a_public_text_without_its_vr_is_kept(self) -> None:
        raw = b"1\\" * 2000 + b"1 "
        assert body(explicit(0x30060050, "UN", raw))[0] == ("30060050", "UN", raw)

    def test_offsets_in_small_sequences_are_those_of_the_object(self) -> None:
        """Equal sequences at different places must not share what was left out of them."""
        inside = explicit(0x00091001, "OB", bytes(INLINE + 2))
        one = sequence(0x00081140, item(inside, undefined=True), undefined=True)
        for before in (b"", NAME):
            data = file(before, one, one.replace(b"\x40\x11", b"\x41\x11"))
            for _, _, value in walked(data).elements[-2:]:
                assert isinstance(value, Sequence)
                assert value.raw == b""
                bulk = value.items[0][0][2]
                assert isinstance(bulk, Bulk)
                assert data[bulk.offset - 12 : bulk.offset + bulk.length] == inside


class TestDamage:
    def test_every_cut_keeps_what_came_before(self) -> None:
        elements = [
            MODALITY,
            sequence(0x00081140, item(NAME), item(NAME, undefined=True), undefined=True),
            explicit(0x00091001, "UT", b"text"),
            NAME,
            PIXELS,
        ]
        data = file(*elements)
        begin = len(data) - sum(map(len, elements))
        for end in range(begin + len(MODALITY), len(data)):
            root = walked(data[:end])
            assert flat(root.elements)[0] == ("00080060", "CS", b"CT")
            whole = end in {begin + sum(map(len, elements[:n])) for n in range(1, 6)}
            assert bool(root.problems) == (not whole), end

    def test_a_value_that_is_cut_off_is_named(self) -> None:
        data = file(MODALITY, explicit(0x00100010, "PN", b"Doe", length=20))
        root = walked(data)
        assert flat(root.elements)[1] == ("00100010", "PN", (len(data) - 3, 3))
        assert root.problems == [EARLY]

    def test_a_sequence_that_is_cut_off_keeps_its_items(self) -> None:
        long = sequence(0x00081140, *[item(NAME)] * 5000)
        root = walked(file(MODALITY, long)[:-5000])
        items = items_of(root, b"\x08\x00\x40\x11")
        assert 4700 < len(items) < 5000
        assert root.problems == [EARLY]

    def test_a_sequence_whose_length_is_too_large_ends_where_no_item_follows(self) -> None:
        lying = explicit(0x00081140, "SQ", item(NAME) * 3, length=0x7FFFFFFF)
        root = walked(file(lying, NAME))
        assert [len(i) for i in items_of(root, b"\x08\x00\x40\x11")] == [1, 1, 1]
        assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")
        assert root.problems == [EARLY]

    def test_zero_padding_behind_the_end(self) -> None:
        for syntax, element in ((EXPLICIT, MODALITY), (IMPLICIT, implicit(0x00080060, b"CT"))):
            for count in (1, 7, 8, 4000):
                root = walked(file(element, syntax=syntax) + bytes(count))
                assert flat(root.elements) == [("00080060", "CS", b"CT")]

    def test_pixels_that_end_too_early(self) -> None:
        root = walked(file(MODALITY, explicit(0x7FE00010, "OW", bytes(10), length=5000)))
        assert root.problems == ["the object ends before its bulk data do"]

    def test_a_size_that_is_larger_than_the_object(self) -> None:
        for data in (file(MODALITY, NAME), file(sequence(0x00081140, item(NAME), undefined=True))):
            for cut in (0, 5):
                whole = data[: len(data) - cut]
                root = walk(Counted(whole), len(data) + 100_000)
                assert EARLY in root.problems
                assert len(root.elements) >= 2

    def test_deflated_data_that_end_too_early_or_are_damaged(self) -> None:
        data = file(MODALITY, explicit(0x00091001, "LT", b"abc" * 9000), NAME, syntax=DEFLATED)
        root = walked(data[:-20])
        assert "the deflated data set ends too early" in root.problems
        assert flat(root.elements)[0] == ("00080060", "CS", b"CT")
        broken = bytearray(data)
        broken[-30] ^= 0xFF
        assert walked(bytes(broken)).problems


class TestWhatIsRead:
    def test_an_image_costs_one_read(self) -> None:
        head = file(MODALITY, NAME, explicit(0x7FE00010, "OW", length=100_000_000))
        fetch = Sparse(len(head) + 100_000_000, {0: head})
        root = walk(fetch, fetch.size)
        assert root.problems == []
        assert fetch.asked == [(0, FIRST_READ)]

    def test_elements_behind_the_pixels_cost_one_more(self) -> None:
        head = file(MODALITY, explicit(0x7FE00010, "OW", length=100_000_000))
        fetch = Sparse(
            len(head) + 100_000_000 + len(NAME), {0: head, len(head) + 100_000_000: NAME}
        )
        root = walk(fetch, fetch.size)
        assert len(root.elements) == 4
        assert fetch.read == FIRST_READ + len(NAME)

    def test_private_blobs_are_hopped_over(self) -> None:
        parts, size = {0: file(MODALITY)}, len(file(MODALITY))
        for number in range(0x00291001, 0x00291005):
            head = explicit(number, "OB", length=5_000_000)
            parts[size] = head
            size += len(head) + 5_000_000
        parts[size] = NAME
        fetch = Sparse(size + len(NAME), parts)
        root = walk(fetch, fetch.size)
        assert flat(root.elements)[-1] == ("00100010", "PN", b"Doe^Jane")
        assert fetch.read < 6 * FIRST_READ

    def test_bulk_inside_items_is_hopped_over(self) -> None:
        waveform = explicit(0x54001010, "OW", length=300_000_000)
        for undefined in (True, False):
            length = UNDEFINED if undefined else len(waveform) + 300_000_000
            head = explicit(0x54000100, "SQ", length=UNDEFINED if undefined else length + 8)
            start = file(MODALITY, head + implicit(ITEM, length=length) + waveform)
            end = (implicit(ITEM_END) + implicit(END) if undefined else b"") + NAME
            fetch = Sparse(len(start) + 300_000_000 + len(end), {0: start})
            fetch.parts[fetch.size - len(end)] = end
            root = walk(fetch, fetch.size)
            assert root.problems == []
            assert flat(root.elements)[-2:] == [
                ("54000100", "SQ", [[("54001010", "OW", (len(start), 300_000_000))]]),
                ("00100010", "PN", b"Doe^Jane"),
            ]
            assert fetch.read < 2 * MOST_HELD

    def test_large_fragments_cost_a_few_bytes_each(self) -> None:
        parts, at = (
            {0: file(MODALITY, explicit(0x7FE00010, "OB", length=UNDEFINED), syntax=JPEG)},
            0,
        )
        at = len(parts[0])
        for _ in range(50):
            parts[at] = implicit(ITEM, length=1_000_000)
            at += 8 + 1_000_000
        parts[at] = implicit(END)
        fetch = Sparse(at + 8, parts)
        root = walk(fetch, fetch.size)
        assert root.problems == []
        assert fetch.read < FIRST_READ + 51 * 8 + 100

    def test_small_fragments_are_not_read_one_by_one(self) -> None:
        pixels = fragments(0x7FE00010, b"", *[b"\xff\xd8"] * 50_000)
        fetch = Counted(file(MODALITY, pixels, syntax=JPEG))
        assert walk(fetch, len(fetch.data)).problems == []
        assert len(fetch.asked) < 3 + len(fetch.data) / FIRST_READ
        assert fetch.read < len(fetch.data) + FIRST_READ

    @pytest.mark.parametrize("undefined", [True, False])
    @pytest.mark.parametrize("count", [1000, 5000, 200_000])
    def test_long_headers_are_read_once(self, undefined: bool, count: int) -> None:
        """Also functional groups of many frames: what is read is the header and little more."""
        frames = [item(NAME, undefined=undefined)] * count
        head = file(MODALITY, sequence(0x52009230, *frames, undefined=undefined))
        head += explicit(0x7FE00010, "OW", length=50_000_000)
        fetch = Sparse(len(head) + 50_000_000, {0: head})
        root = walk(fetch, fetch.size)
        assert root.problems == []
        assert len(items_of(root, b"\x00\x52\x30\x92")) == count
        assert fetch.read < 1.2 * len(head) + 12 * FIRST_READ
        assert max(length for _, length in fetch.asked) <= MOST_HELD

    def test_a_header_of_many_elements(self) -> None:
        texts = b"".join(explicit(0x00400000 + i, "LT", b"x" * 90) for i in range(1, 1000))
        head = file(MODALITY, texts, explicit(0x7FE00010, "OW", length=50_000_000))
        fetch = Sparse(len(head) + 50_000_000, {0: head})
        assert walk(fetch, fetch.size).problems == []
        assert fetch.read < len(head) + FIRST_READ + 200

    def test_one_long_text(self) -> None:
        head = file(MODALITY, explicit(0x00420011, "UT", b"x" * 3_000_000), NAME)
        fetch = Counted(head)
        assert len(walk(fetch, len(head)).elements) == 4
        assert fetch.read < len(head) + 2 * FIRST_READ

    def test_a_text_of_100_megabytes_is_not_read(self) -> None:
        head = file(MODALITY, explicit(0x00420011, "UT", length=100_000_000))
        fetch = Sparse(
            len(head) + 100_000_000 + len(NAME), {0: head, len(head) + 100_000_000: NAME}
        )
        root = walk(fetch, fetch.size)
        assert flat(root.elements)[1] == ("00420011", "UT", (len(head), 100_000_000))
        assert flat(root.elements)[2] == ("00100010", "PN", b"Doe^Jane")
        assert fetch.read < 2 * FIRST_READ

    def test_a_header_at_the_edge_of_the_window(self) -> None:
        """Whatever element the window ends in, and wherever, the same is found."""
        tail = [
            MODALITY,
            sequence(0x00081140, item(NAME, undefined=True), undefined=True),
            explicit(0x00091001, "UN", item(implicit(0x00081155, b"1.2\0")) * 100),
            explicit(0x00091002, "UN", item(implicit(0x00081155, b"1.2\0")) * 300),
            explicit(0x00091003, "OB", bytes(INLINE + 2)),
            NAME,
        ]
        lengths = [len(part) for part in tail]
        wanted = [(t, v) for t, v, _ in body(*tail)]  # type: ignore[misc]
        edges = [sum(lengths[:i]) + d for i in range(len(tail)) for d in range(-2, 16)]
        for edge in edges:
            filler = FIRST_READ - edge - len(file()) - 8
            data = file(explicit(0x00080001, "LT", b"x" * filler), *tail)
            assert [(t, v) for t, v, _ in flat(walked(data).elements)][1:] == wanted, edge  # type: ignore[misc]
