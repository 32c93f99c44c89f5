"""Text in every Specific Character Set, well written and not (PS3.3 C.12.1.1.2, PS3.5 H to K)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomlake.dicom.charset import repertoire

UTF8 = "bytes beyond ASCII without a character set, read as UTF-8"
LATIN1 = "bytes beyond ASCII without a character set, read as Latin-1"
MISSING = "bytes that its character set does not have"


def name(label: str, raw: bytes) -> str:
    text, problem = repertoire(label).decode(raw, name=True)
    assert not problem
    return text


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("ISO_IR 100", "latin_1"),
        ("ISO_IR 101", "iso8859_2"),
        ("ISO_IR 109", "iso8859_3"),
        ("ISO_IR 110", "iso8859_4"),
        ("ISO_IR 144", "iso8859_5"),
        ("ISO_IR 127", "iso8859_6"),
        ("ISO_IR 126", "iso8859_7"),
        ("ISO_IR 138", "iso8859_8"),
        ("ISO_IR 148", "iso8859_9"),
        ("ISO_IR 166", "iso8859_11"),
        ("ISO_IR 203", "iso8859_15"),
        ("ISO_IR 192", "utf_8"),
        ("GB18030", "gb18030"),
        ("GBK", "gbk"),
    ],
)
def test_every_set_without_escapes(label: str, codec: str) -> None:
    raw = bytes(range(0x20, 0x7F))
    assert repertoire(label).decode(raw) == (raw.decode("ascii"), "")
    letters = "".join(c for c in map(chr, range(0xA0, 0x1000)) if _fits(c, codec))
    assert len(letters) > 40
    assert repertoire(label).decode(letters.encode(codec)) == (letters, "")
    assert repertoire(label).problem == ""


def _fits(letter: str, codec: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


class TestExamplesOfTheStandard:
    def test_japanese_after_ascii(self) -> None:
        raw = (
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
        )
        assert name("\\ISO 2022 IR 87", raw) == "Yamada^Tarou=山田^太郎=やまだ^たろう"

    def test_japanese_after_katakana(self) -> None:
        raw = (
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
            b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
        )
        assert name("ISO 2022 IR 13\\ISO 2022 IR 87", raw) == "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"

    def test_korean(self) -> None:
        raw = (
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
            b"=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
        )
        assert name("\\ISO 2022 IR 149", raw) == "Hong^Gildong=洪^吉洞=홍^길동"

    def test_chinese_with_escapes(self) -> None:
        raw = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
        assert name("\\ISO 2022 IR 58", raw) == "Zhang^XiaoDong=张^小东="

    def test_chinese_without_escapes(self) -> None:
        raw = b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab="
        assert name("GB18030", raw) == name("GBK", raw) == "Wang^XiaoDong=王^小东="
        assert name("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode()) == "Wang^XiaoDong=王^小東="

    def test_supplementary_kanji(self) -> None:
        raw = b"\x1b$(D" + "丂".encode("iso2022_jp_2")[4:-3] + b"\x1b(B"
        assert name("\\ISO 2022 IR 87\\ISO 2022 IR 159", raw) == "丂"


class TestEscapes:
    def test_delimiters_lead_back_to_the_first_set(self) -> None:
        greek = "ISO 2022 IR 100\\ISO 2022 IR 126"
        assert name(greek, b"\x1b-F\xc4^\xc4") == "Δ^Ä"
        assert name(greek, b"\x1b-F\xc4=\xc4") == "Δ=Ä"
        assert repertoire(greek).decode(b"\x1b-F\xc4\\\xc4") == ("Δ\\Ä", "")
        assert repertoire(greek).decode(b"\x1b-F\xc4\r\n\xc4\x0c\xc4") == ("Δ\r\nÄ\x0cÄ", "")

    def test_carets_are_text_outside_names(self) -> None:
        greek = "ISO 2022 IR 100\\ISO 2022 IR 126"
        assert repertoire(greek).decode(b"\x1b-F\xc4^=\xc4") == ("Δ^=Δ", "")

    def test_ascii_comes_back_while_the_upper_half_stays(self) -> None:
        label = "ISO 2022 IR 100\\ISO 2022 IR 87"
        raw = b"\xe9 \x1b$B;3ED\x1b(B \xe9"
        assert repertoire(label).decode(raw) == ("é 山田 é", "")

    def test_both_halves_in_one_run(self) -> None:
        label = "ISO 2022 IR 13\\ISO 2022 IR 87"
        assert repertoire(label).decode(b"\x1b$B;3\xd4ED\x1b(J") == ("山ﾔ田", "")

    def test_half_characters_that_look_like_delimiters(self) -> None:
        raw = b"\x1b$B!\\1^1=\x1b(B"  # each pair holds the byte of \, ^ or =
        assert name("\\ISO 2022 IR 87", raw) == "＋厭噂"

    def test_unknown_and_unfinished_escapes_lose_no_text(self) -> None:
        for raw in (b"\x1bhello", b"hello\x1b", b"hello\x1b$", b"\x1b-"):
            text, _ = repertoire("\\ISO 2022 IR 87").decode(raw)
            assert text == raw.decode()
        text, problem = repertoire("\\ISO 2022 IR 87").decode(b"a\x1b-Zb")
        assert (text, problem) == ("ab", "an escape sequence that DICOM does not define")

    def test_no_escapes_where_none_are_declared(self) -> None:
        raw = b"\x1b$B;3ED\x1b(B"
        assert repertoire("ISO_IR 100").decode(raw) == (raw.decode(), "")

    def test_a_single_two_byte_set_has_escapes(self) -> None:
        for label in ("ISO 2022 IR 87", "ISO_IR 87", "ISO-2022-IR-87"):
            assert repertoire(label).decode(b"\x1b$B;3ED\x1b(B") == ("山田", "")


class TestLabels:
    @pytest.mark.parametrize(
        ("label", "right"),
        [
            ("ISO-IR 100", "ISO_IR 100"),
            ("ISO_IR_100", "ISO_IR 100"),
            ("ISO IR 100", "ISO_IR 100"),
            ("ISO_IR100", "ISO_IR 100"),
            ("iso_ir 100", "ISO_IR 100"),
            ("IR 100", ""),
            ("ISO_IR192", "ISO_IR 192"),
            ("UTF-8", "ISO_IR 192"),
            ("utf8", "ISO_IR 192"),
            ("ISO 8859-1", "ISO_IR 100"),
            ("ISO_8859-15", "ISO_IR 203"),
            ("ISO-2022-IR-100", "ISO 2022 IR 100"),
            ("ISO2022IR 100", "ISO 2022 IR 100"),
        ],
    )
    def test_misspelt(self, label: str, right: str) -> None:
        found = repertoire(label)
        if right:
            assert found.problem == f"Specific Character Set {label!r} read as {right!r}"
            assert found.codec == repertoire(right).codec
        else:
            assert found.problem == "Specific Character Set is none that DICOM defines"

    def test_padding_is_no_mistake(self) -> None:
        assert repertoire("ISO_IR 100 \\ ISO 2022 IR 126").problem == ""

    def test_an_unknown_label_is_not_repeated(self) -> None:
        """It may be a value that slipped, a name even."""
        assert "Doe" not in repertoire("Doe^Jane\\Doe^Jane").problem
        assert repertoire("Doe^Jane\\Doe^Jane").problem.count("none that DICOM defines") == 1

    def test_sets_that_stand_alone(self) -> None:
        found = repertoire("ISO_IR 192\\ISO 2022 IR 87")
        assert found.problem == "of several Specific Character Sets only the first counts"
        assert found.decode("山".encode()) == ("山", "")

    def test_empty_means_ascii(self) -> None:
        for label in ("", "\\", "ISO_IR 6", "ISO 2022 IR 6"):
            assert repertoire(label).codec == "ascii"


class TestDoubt:
    def test_undeclared_utf8(self) -> None:
        assert repertoire("").decode("Müller".encode()) == ("Müller", UTF8)

    def test_undeclared_latin1(self) -> None:
        assert repertoire("").decode(b"M\xfcller") == ("Müller", LATIN1)

    def test_bytes_that_the_set_does_not_have(self) -> None:
        assert repertoire("ISO_IR 192").decode(b"M\xfcller") == ("M\ufffdller", MISSING)
        assert repertoire("GB18030").decode(b"ab\xff") == ("ab\ufffd", MISSING)

    def test_gb18030_keeps_half_characters_that_are_backslashes(self) -> None:
        assert repertoire("GB18030").decode(b"\x81\x5c") == ("乗", "")
        assert repertoire("GBK").decode(b"\x81\x5c") == ("乗", "")


LABELS = ["", "ISO_IR 13", "ISO_IR 192", "GBK", "GB18030", "\\ISO 2022 IR 87\\ISO 2022 IR 149"]
ESCAPED = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from([b"\x1b$B", b"\x1b(B", b"\x1b$)C", b"\x1b-F", b"\x1b", b"\\", b"^"]),
    ),
    max_size=12,
).map(b"".join)


@given(st.sampled_from(LABELS), ESCAPED, st.booleans())
def test_any_bytes_become_text_that_can_be_written(label: str, raw: bytes, is_name: bool) -> None:
    text, problem = repertoire(label).decode(raw, name=is_name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert "\ufffd" not in text or problem or "\ufffd".encode() in raw


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_label_is_some_repertoire(label: str) -> None:
    assert repertoire(label).decode(b"plain") == ("plain", "")
