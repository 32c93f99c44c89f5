"""A cleaner for tests: new UIDs and a pseudonym, by replacing bytes of the same length."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from dicomlake.contracts.deid import Cleaned, Known, Unresolved
from dicomlake.jobs.datasets.identified import AsTheyAre, SamePatient

_STANDARD = b"1.2.840.10008."


def other(uid: str) -> str:
    """Another UID of the same length."""
    digits = str(int(hashlib.sha256(uid.encode()).hexdigest(), 16))
    return ("2.25.9" + digits)[: len(uid)]


class Other(AsTheyAre):
    """An identity with other UIDs."""

    def uid(self, uid: str) -> str:
        return other(uid)


class Marking:
    """Exchanges all UIDs that are not of the Standard; `bad`: an object that it cannot clean."""

    name = "marking"

    def __init__(self, bad: str = "", digest: str = "marking") -> None:
        self._bad, self.digest = bad, digest

    def patient(self, known: Sequence[Known], PatientID: str, issuer: str = "") -> _Patient:
        pseudonym = "PSN" + hashlib.sha256(PatientID.encode()).hexdigest()[:6]
        return _Patient(pseudonym, Other(), Other(), self._bad, PatientID)

    def close(self) -> None:
        pass


class _Patient(SamePatient):
    def __init__(
        self, PatientID: str, identity: Other, words: Other, bad: str, before: str
    ) -> None:
        super().__init__(PatientID, identity, words)
        self._bad, self._before = bad, before

    def clean(self, data: bytes) -> Cleaned:
        found = SamePatient.clean(self, data)
        if found.SOPInstanceUID == self._bad:
            raise Unresolved("pixels", "something is burned in")
        changed = re.sub(rb"[0-2](?:\.[0-9]+){4,}", _exchange, data)
        return SamePatient.clean(self, changed)


def _exchange(match: re.Match[bytes]) -> bytes:
    uid = match[0]
    return uid if uid.startswith(_STANDARD) else other(uid.decode()).encode()
