"""What can go wrong, in three kinds.

DicomlakeError
|-- UsageError            tell the person: the request cannot be right
|   |-- UnknownAttribute  a name that DICOM does not have, with the nearest ones
|   |-- WrongType         a value that the attribute cannot have
|   |-- NotAllowed        somebody may not do or see this
|   |-- QuerySyntax       the text of a query cannot be read
|   `-- LakeError         the folder is no lake, is locked, or has another version
|-- DataError             write a row to `failures`, go on
`-- ServiceError          the outside did not answer: try again
    |-- Unsupported       this engine cannot do it, and says what by name
    |-- Refused           an archive is busy, away, or stopped in the middle
    |-- Incomplete        an archive sent only some of the objects asked for
    |-- Paused            somebody paused this source, or its quiet hours began
    `-- Cancelled         somebody asked to stop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class DicomlakeError(Exception):
    """Anything that dicomlake raises on purpose."""


class UsageError(DicomlakeError):
    """The request cannot be right; the message says what to do.

    Of a query, `place` names the condition in a JSON tree, and `position` the character in a text.
    """

    place: str | None = None
    position: int | None = None
    near: tuple[str, ...] = ()


class UnknownAttribute(UsageError):
    """A name that is no DICOM keyword, with the nearest ones.

    >>> str(UnknownAttribute("MagneticFieldStrenght", near=["MagneticFieldStrength"]))
    "'MagneticFieldStrenght' is not a DICOM keyword. Did you mean MagneticFieldStrength?"
    """

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        self.name, self.near = name, tuple(near)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"{name!r} is not a DICOM keyword.{hint}")


class WrongType(UsageError):
    """A value that the attribute can never have."""


class QuerySyntax(UsageError):
    """A query text that cannot be read; `position` counts characters from 0."""

    position: int

    def __init__(self, message: str, text: str, position: int) -> None:
        self.text, self.position = text, position
        super().__init__(message)


class NotAllowed(UsageError):
    """Something that the role or the project of who asks does not allow."""


class LakeError(UsageError):
    """A folder that is no lake, is locked by another writer, or is of another version."""


class DataError(DicomlakeError):
    """An object that cannot be read: becomes a row of `failures`."""


class ServiceError(DicomlakeError):
    """Something outside did not answer as it should: try again later."""


class Unsupported(ServiceError):
    """An engine or a lake that cannot do this, and says what by name."""


class Refused(ServiceError):
    """An archive is busy, away, or stopped in the middle; `wait_s`: how long it asks to wait."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        super().__init__(message)


class Incomplete(ServiceError):
    """An archive sent only some objects; `failed` SOPInstanceUIDs, if it says which."""

    def __init__(self, message: str, failed: Sequence[str] = ()) -> None:
        self.failed = tuple(failed)
        super().__init__(message)


class Paused(ServiceError):
    """Somebody paused this source, or its quiet hours began: give the task back."""


class Cancelled(ServiceError):
    """What was running has been stopped on request."""
