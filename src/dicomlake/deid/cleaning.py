"""The cleaner of a profile: steps for pixels and documents first, then the header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from dicomlake import plugins
from dicomlake.contracts.deid import (
    Cleaned,
    Dates,
    Identity,
    Item,
    Known,
    Looking,
    Opener,
    Replaced,
    Step,
    Unresolved,
    Words,
)
from dicomlake.contracts.pseudonyms import OTHER, Pseudonyms
from dicomlake.deid.identity import Keyed, KeyedIdentity, patient_key_of
from dicomlake.deid.profiles import Profile
from dicomlake.deid.rewriting import UNREADABLE, Memory, Parsed, Rewriter, has_pixels, parsed
from dicomlake.deid.sweeping import Sweeper
from dicomlake.deid.text import words_of
from dicomlake.settings import Pseudonyms as Settings

Factory = Callable[[Sequence[Known], Identity], Words]
_STUDY, _SERIES = b"\x20\x00\x0d\x00", b"\x20\x00\x0e\x00"
_INSTANCE = b"\x08\x00\x18\x00"
_CLASS, _ENCAPSULATED = b"\x08\x00\x16\x00", "1.2.840.10008.5.1.4.1.1.104."
_DOCUMENT = b"\x42\x00\x11\x00"
_PIXEL_DATA = 0x7FE00010


class ProfileCleaner:
    """Makes objects harmless as a profile says; fits `dicomlake.contracts.deid.Cleaner`.

    `pseudonyms`: the settings that name the key and who gives pseudonyms; `given`: who gives them,
    when it is not the plugin of these settings. `words` makes what finds names in texts.
    """

    def __init__(
        self,
        profile: Profile,
        pseudonyms: Settings,
        steps: Sequence[Step] = (),
        words: Factory = words_of,
        given: Pseudonyms | None = None,
    ) -> None:
        self.profile, self.name, self.steps = profile, profile.name, tuple(steps)
        self.settings, self._words = pseudonyms, words
        key = pseudonyms.key()
        self.keyed = Keyed(key)
        made = f"{profile.digest} {[type(step).__name__ for step in self.steps]}"
        made += f" {pseudonyms.dates} {pseudonyms.days}"
        self.digest = self.keyed.digest("cleaner", made).hex()[:16]
        self._given: Pseudonyms = given or plugins.load("pseudonyms", pseudonyms.kind)(
            profile.name, pseudonyms
        )
        self.rewriter = Rewriter(profile)

    def patient(self, known: Sequence[Known], PatientID: str, issuer: str = "") -> ProfilePatient:
        """What cleans the objects of one patient, of whom this is known.

        Without a PatientID every study becomes a patient of its own.
        """
        return ProfilePatient(self, known, PatientID.strip(), issuer.strip())

    def identity(self, PatientID: str, issuer: str, StudyInstanceUID: str) -> KeyedIdentity:
        """What the identifiers of a patient become, or of a study without one."""
        moves = self.profile.dates == "modified"
        shifts = moves and self.settings.dates == "shift"
        patient_key = patient_key_of(PatientID, issuer, StudyInstanceUID)
        days = -self.keyed.days(patient_key, self.settings.days) if shifts else 0
        return KeyedIdentity(
            self.keyed, self._given, PatientID, issuer, days=days, years=moves and not shifts
        )

    @property
    def dates(self) -> Dates:
        """What becomes of dates of days."""
        if self.profile.dates != "modified":
            return self.profile.dates
        return "moved" if self.settings.dates == "shift" else "years"

    def words(self, known: Sequence[Known], identity: Identity) -> Words:
        """What finds in texts what is known."""
        return self._words(known, identity)

    @property
    def looks(self) -> bool:
        """Whether a step wants to see whole series before their objects."""
        return any(isinstance(step, Looking) for step in self.steps)

    def close(self) -> None:
        """Let go of who gives pseudonyms."""
        self._given.close()


class ProfilePatient:
    """Makes the objects of one patient harmless; fits `dicomlake.contracts.deid.Patient`."""

    def __init__(
        self,
        cleaner: ProfileCleaner,
        known: Sequence[Known],
        PatientID: str,
        issuer: str,
        StudyInstanceUID: str = "",
    ) -> None:
        self._cleaner, self._known, self._issuer = cleaner, known, issuer
        self._own = PatientID
        identity = cleaner.identity(PatientID, issuer, StudyInstanceUID)
        self.identity: Identity = identity
        self.PatientID = (
            identity.PatientID if PatientID else identity.id(f"study {StudyInstanceUID}", OTHER)
        )
        self.words = cleaner.words(known, identity)
        self._memory = Memory(Sweeper(self.words, identity), identity, self.PatientID)
        self._nameless = not PatientID and not StudyInstanceUID
        self._studies: dict[str, ProfilePatient] = {}

    def clean(self, data: bytes) -> Cleaned:
        """The object as it may leave; Unresolved when it may not."""
        try:
            return self._clean(parsed(data))
        except UNREADABLE as error:
            why = type(error).__name__
            raise Unresolved("structure", f"The object cannot be rewritten ({why}).") from error

    @property
    def looks(self) -> bool:
        """Whether a step wants to see whole series first."""
        return self._cleaner.looks

    def look(self, headers: Sequence[Mapping[str, Any]], opener: Opener) -> None:
        """Let the steps look at all objects of a series."""
        for step in self._cleaner.steps:
            if isinstance(step, Looking):
                step.look(headers, opener)

    def named(
        self, StudyInstanceUID: str, SeriesInstanceUID: str, SOPInstanceUID: str
    ) -> tuple[str, str, str, str]:
        """What an object will be called: PatientID, and the UIDs of study, series and instance."""
        own = StudyInstanceUID or SeriesInstanceUID or SOPInstanceUID
        if self._nameless and own:
            of = self._study(own)
            return of.named(StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID)
        uid = self._cleaner.rewriter.uid
        uids = (StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID)
        study, series, instance = (uid(one, self.identity) for one in uids)
        return self.PatientID, study, series, instance

    def _clean(self, object_: Parsed) -> Cleaned:
        if self._nameless:
            own = (object_.text(tag) for tag in (_STUDY, _SERIES, _INSTANCE))
            return self._study(next(filter(None, own), ""))._clean(object_)
        replaced = self._stepped(object_)
        return self._cleaner.rewriter.rewrite(object_, self._memory, replaced)

    def _study(self, StudyInstanceUID: str) -> ProfilePatient:
        if not StudyInstanceUID:
            raise Unresolved("identity", "The object has neither PatientID nor any UID.")
        found = self._studies.get(StudyInstanceUID)
        if found is None:
            made = (self._cleaner, self._known, "", self._issuer, StudyInstanceUID)
            found = self._studies[StudyInstanceUID] = ProfilePatient(*made)
        return found

    def _stepped(self, object_: Parsed) -> Replaced:
        """What the steps put in the place of what; Unresolved when one is missing."""
        values: dict[int, tuple[str, bytes] | None] = {}
        codes: list[str] = []
        notes: list[str] = []
        syntax, changed, looked = "", False, False
        item = Item(object_.whole, _Header(object_.whole)) if self._cleaner.steps else None
        for step in self._cleaner.steps:
            assert item is not None
            found = step.clean(item, self.words, self.identity)
            if found is None:
                continue
            looked = True
            if _PIXEL_DATA in values and _PIXEL_DATA in found.values:
                raise Unresolved("pixels", "Its pixels hold a face and text: blank the text first.")
            values.update(found.values)
            syntax = found.syntax or syntax
            codes += found.codes
            notes += found.notes
            changed = changed or found.changed
        if "pixels" in self._cleaner.profile.options and has_pixels(object_) and not looked:
            raise Unresolved("pixels", "The profile cleans pixels, but nothing has looked at them.")
        documents = object_.text(_CLASS).startswith(_ENCAPSULATED)
        if documents and _DOCUMENT in object_.elements and 0x00420011 not in values:
            raise Unresolved("documents", "Nothing has cleaned the document in the object.")
        return Replaced(values, syntax, tuple(codes), changed, tuple(notes))


class _Header(Mapping[str, Any]):
    """The header of an object as DICOM JSON, read when somebody asks."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._read: dict[str, Any] | None = None

    @property
    def _json(self) -> dict[str, Any]:
        if self._read is None:
            from dicomlake.readers.header import HeaderReader

            data = self._data
            read = HeaderReader().read(lambda at, n: data[at : at + n], len(data))
            self._read = orjson.loads(read.json)
        return self._read

    def __getitem__(self, key: str) -> Any:
        return self._json[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._json)

    def __len__(self) -> int:
        return len(self._json)
