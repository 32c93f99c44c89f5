"""Profiles: ours, those of a site, their mistakes, and the statements that are made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomlake.deid import tables
from dicomlake.deid.profiles import names, parsed, profile_of, statement
from dicomlake.errors import UnknownAttribute, UsageError
from tests.deid.made import cleaner_of, read, sample, settings_of, written


def test_every_option_has_a_code_and_a_meaning() -> None:
    assert set(tables.OPTIONS.values()) | {tables.BASIC} == set(tables.concepts())


@pytest.mark.parametrize("name", names())
def test_ours_can_be_stated(name: str) -> None:
    profile = profile_of(name)
    told = statement(profile)
    assert all(f"| {code} |" in told for code in profile.codes)
    assert profile.title in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("options: [modified-date]", "Did you mean modified-dates"),
        ("extends: reserch", "Did you mean research"),
        ("option: []", "Did you mean options"),
        ("options: [full-dates, modified-dates]", "choose one"),
        ("attributes: {PatientSex: keep}", "K \\(kept\\)"),
        ("attributes: [PatientSex]", "PatientSex: K"),
        ("private: all", "tcia"),
        ("pixels: {lok: all}", "Did you mean look"),
        ("", "extends: basic"),
        ("a: [", "no YAML"),
    ],
)
def test_mistakes_are_told(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(text, "ours")


def test_a_keyword_is_checked() -> None:
    with pytest.raises(UnknownAttribute, match="PatientSex"):
        parsed("attributes: {PatientSx: K}", "ours")


def test_a_site_decides_for_single_attributes(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(
        'extends: basic\nattributes:\n  PatientSex: K\n  KVP: X\n  (0009,"GEMS_IDEN_01",02): K\n'
    )
    profile = profile_of(file)
    after = read(
        cleaner_of(profile, settings_of(tmp_path)).patient([], "1CT1").clean(sample()).data
    )
    assert after.PatientSex == read(sample()).PatientSex
    assert "KVP" not in after
    assert after[0x00091002].value == read(sample())[0x00091002].value
    assert [e.tag for e in after if e.tag.is_private] == [0x00090010, 0x00091002]


def test_profiles_differ_in_their_digest() -> None:
    assert len({profile_of(name).digest for name in names()}) == len(names())


def test_safe_private_attributes_stay_with_their_creator(tmp_path: Path) -> None:
    ds = read(sample())
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.25")
    block.add_new(0x42, "LO", "LEAK")
    made = cleaner_of("safe-private", settings_of(tmp_path)).patient([], "1CT1")
    after = read(made.clean(written(ds)).data)
    assert [(e.tag, e.value) for e in after if e.tag.group == 0x7053] == [
        (0x70530010, "Philips PET Private Group"), (0x70531000, 0.25)
    ]  # fmt: skip
    assert [c.CodeValue for c in after.DeidentificationMethodCodeSequence] == ["113100", "113111"]
