"""The archive on disk: tidy folders, an inbox, old discs, and everything that is not DICOM."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from dicomlake.testing.dicom import EXPLICIT_LE, Encoder, uid
from dicomlake.testing.hospital import codes as c
from dicomlake.testing.hospital.chance import chance
from dicomlake.testing.hospital.patients import studies
from dicomlake.testing.hospital.study import Object, Options
from dicomlake.testing.hospital.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dicomlake.testing.dicom import Value
    from dicomlake.testing.hospital.anatomy import Shown
    from dicomlake.testing.hospital.study import Series, Study

JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300"
    + "10" * 64
    + "ffc0000b080001000101011100ffc40014000100000000000000000000000000000009"
    + "ffc40014100100000000000000000000000000000000ffda0008010100003f0054dfffd9"
)
"""A picture of one grey pixel."""


_LAST_IS_PIXELS = frozenset(["CR", "CT", "DX", "MG", "MR", "NM", "PT", "US", "XA"])


@dataclass(slots=True)
class File:
    """A file of the archive. `kind` is object, copy, broken, damaged, foreign, archive, dicomdir.

    `why` says what is wrong or which suffix it has; an archive file holds objects.
    """

    path: str
    data: bytes
    kind: str = "object"
    why: str = ""
    objects: tuple[Object, ...] = ()


def files_of(seed: int, number: int, options: Options) -> Iterator[File]:
    """Every file that a patient leaves in the archive."""
    case = number % 20
    rng = chance(seed, "archive", number)
    whole = list(studies(seed, number, options))
    for study in whole:
        if study is whole[0] and case in (3, 7, 8):
            yield from _disc(study, case)
            continue
        tidy = study.when.year < 2025 or rng.random() < 0.5
        folder = _folder(study) if tidy else f"incoming/{study.site.name.lower()}"
        cut = study is whole[0] and case == 10 and options.pixels
        yield from _filed(study, folder, flat=not tidy, cut=cut)
    yield from _rubbish(seed, number, whole, options)


def _folder(study: Study) -> str:
    when = study.when
    return f"PACS/{when:%Y/%m}/P{study.person.number:06d}/{when:%Y%m%d}-{study.number}"


def _filed(study: Study, folder: str, *, flat: bool, cut: bool) -> Iterator[File]:
    """The objects of a study as files, numbered or named by their UID; `cut` shortens the first."""
    suffix = ".dcm" if flat or study.person.number % 3 == 0 else ""
    seen: Counter[int] = Counter()
    for thing in study.objects:
        series = thing.series
        seen[id(series)] += 1
        if flat:
            path = f"{folder}/{thing.uid}{suffix}"
        else:
            order = study.series.index(series) + 1
            path = f"{folder}/{series.modality}{order:02d}/IM{seen[id(series)]:04d}{suffix}"
        thing.path = path
        if cut and thing is study.objects[0] and series.modality in _LAST_IS_PIXELS:
            yield File(path, thing.data[:-100], "damaged", "cut in the pixels", (thing,))
        else:
            yield File(path, thing.data, objects=(thing,))


def _disc(study: Study, case: int) -> Iterator[File]:
    """A study that came on a disc: copied with its DICOMDIR, or as one zip or tar file."""
    root = f"old-cds/CD{study.person.number:06d}"
    inside = []
    for at, thing in enumerate(study.objects):
        thing.path = f"IMAGES/I{at:07d}"
        inside.append((thing.path, thing.data))
    directory = dicomdir(study)
    if case == 3:
        for thing in study.objects:
            yield File(f"{root}/{thing.path}", thing.data, objects=(thing,))
        yield File(f"{root}/DICOMDIR", directory, "dicomdir")
        return
    inside.append(("DICOMDIR", directory))
    suffix, pack = (".zip", _zip) if case == 7 else (".tar", _tar)
    yield File(root + suffix, pack(inside), "archive", suffix, tuple(study.objects))


def _zip(files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in files:
            info = zipfile.ZipInfo(path, (2016, 1, 4, 8, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return out.getvalue()


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in files:
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(data), 1451894400
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _rubbish(seed: int, number: int, whole: list[Study], options: Options) -> Iterator[File]:
    """Files that are copies, broken, or no DICOM at all; the first patients cover all kinds."""
    case = number % 20
    filed = [thing for study in whole for thing in study.objects if "/" in thing.path]
    if case == 5:
        for at, thing in enumerate(filed[:2]):
            yield File(f"incoming/again{number:06d}{at}.dcm", thing.data, "copy")
    if case == 1:
        yield File(f"incoming/empty{number:06d}.dcm", b"", "broken", "empty")
    if case == 2:
        noise = chance(seed, "noise", number).randbytes(700)
        yield File(f"incoming/IMG{number:06d}.dcm", noise, "broken", "garbage")
    if case == 4:
        lost = next(studies(seed, -number, options)).objects[0].data
        cut = lost.find(b"\x10\x00\x20\x00") + 3  # in the middle of the tag of PatientID
        yield File(f"incoming/part{number:06d}.dcm", lost[:cut], "broken", "truncated")
    if case == 6:
        yield File(f"incoming/scan{number:06d}.jpg", JPEG, "foreign", ".jpg")
        yield File(
            f"PACS/2016/notes{number:06d}.txt",
            b"Moved from the old archive.\r\n",
            "foreign",
            ".txt",
        )
    if case == 9 and filed:
        folder = filed[0].path.rpartition("/")[0]
        thumbs = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
        yield File(f"{folder}/Thumbs.db", thumbs, "foreign", ".db")


def dicomdir(study: Study) -> bytes:
    """Bytes of a DICOMDIR that lists one study (PS3.3 Annex F)."""
    encoder = Encoder(EXPLICIT_LE, charset="ISO_IR 192")
    person = study.person
    records: list[dict[str, Value]] = [
        {
            "DirectoryRecordType": "PATIENT",
            "SpecificCharacterSet": "ISO_IR 192",
            "PatientName": person.name,
            "PatientID": person.id,
        },
        {
            "DirectoryRecordType": "STUDY",
            "StudyDate": study.when,
            "StudyTime": study.when,
            "StudyInstanceUID": study.uid,
            "StudyID": str(1000 + study.number),
            "AccessionNumber": study.accession,
        },
    ]
    depth = [0, 1]
    for series in study.series:
        records.append(
            {
                "DirectoryRecordType": "SERIES",
                "Modality": series.modality,
                "SeriesInstanceUID": series.uid,
                "SeriesNumber": series.number,
            }
        )
        depth.append(2)
        for thing in study.objects:
            if thing.series is series:
                records.append(
                    {
                        "DirectoryRecordType": "IMAGE",
                        "ReferencedFileID": thing.path.split("/"),
                        "ReferencedSOPClassUIDInFile": series.sop_class,
                        "ReferencedSOPInstanceUIDInFile": thing.uid,
                        "ReferencedTransferSyntaxUIDInFile": study.habits.syntax,
                        "InstanceNumber": series.instances.index(thing.uid) + 1,
                    }
                )
                depth.append(3)
    head: dict[str, Value] = {
        "MediaStorageSOPClassUID": "1.2.840.10008.1.3.10",
        "MediaStorageSOPInstanceUID": uid(study.uid, "directory"),
        "FileSetID": "OLDCD",
        "FileSetConsistencyFlag": 0,
    }
    return _with_offsets(encoder, head, records, depth)


def _with_offsets(
    encoder: Encoder, head: dict[str, Value], records: list[dict[str, Value]], depth: list[int]
) -> bytes:
    """The directory with the byte offsets that link its records; all offsets have fixed width."""
    links = {
        "OffsetOfTheNextDirectoryRecord": 0,
        "RecordInUseFlag": 0xFFFF,
        "OffsetOfReferencedLowerLevelDirectoryEntity": 0,
    }
    sizes = [8 + len(encoder.join(encoder.elements({**links, **record}))) for record in records]
    root = {
        "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity": 0,
        "OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity": 0,
    }
    empty = encoder.file(encoder.elements({**head, **root, "DirectoryRecordSequence": []}))
    offsets = [len(empty)]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    linked = []
    for at, record in enumerate(records):
        later = range(at + 1, len(records))
        end = next((n for n in later if depth[n] < depth[at]), len(records))
        following = next((offsets[n] for n in later if n < end and depth[n] == depth[at]), 0)
        below = at + 1 < len(records) and depth[at + 1] > depth[at]
        linked.append(
            {
                **links,
                **record,
                "OffsetOfTheNextDirectoryRecord": following,
                "OffsetOfReferencedLowerLevelDirectoryEntity": offsets[at + 1] if below else 0,
            }
        )
    root = dict.fromkeys(root, offsets[0])
    return encoder.file(encoder.elements({**head, **root, "DirectoryRecordSequence": linked}))


def _counted(seed: int, number: int, files: list[File]) -> Summary:
    """What the files of one patient add to the summary."""
    things = [thing for file in files for thing in file.objects]
    series = {thing.series.uid: thing.series for thing in things}
    kinds: dict[str, Counter[str]] = {kind: Counter() for kind in _WHY}
    for file in files:
        if file.kind in kinds:
            kinds[file.kind][file.why] += len(file.objects) if file.kind == "archive" else 1
    modality = {thing.uid: thing.series.modality for thing in things}
    by_modality = {
        "objects": Counter(modality.values()),
        "patients": Counter(set(modality.values())),
        "series": Counter(s.modality for s in series.values()),
        "studies": Counter(m for _, m in {(s.study.uid, s.modality) for s in series.values()}),
    }
    rows: Counter[str] = Counter()
    traits: Counter[str] = Counter()
    for thing in things:
        rows.update(thing.rows)
        traits.update(thing.series.traits)
    return Summary(
        files=len(files),
        bytes=sum(len(file.data) for file in files),
        objects=len(things),
        series=len(series),
        studies=len({s.study.uid for s in series.values()}),
        patients=int(bool(things)),
        patient_ids=int(bool(things) and number % 25 != 0),
        by_modality=by_modality,
        by_class=Counter(thing.series.sop_class for thing in things),
        duplicates=sum(file.kind == "copy" for file in files),
        failures=kinds["broken"],
        damaged=kinds["damaged"],
        foreign=kinds["foreign"],
        archives=kinds["archive"],
        dicomdirs=sum(file.kind == "dicomdir" for file in files),
        traits=traits,
        rows=rows,
        answers=_answers(list(series.values())),
    )


def _answers(series: list[Series]) -> Counter[str]:
    """What some questions must find among the series of one patient."""
    modalities = {s.modality for s in series}
    drawn = [frozenset(s.facts["segments"]) for s in series if "segments" in s.facts]
    both = {c.LEFT_VENTRICLE.value, c.RIGHT_VENTRICLE.value}
    mr = [s for s in series if s.modality == "MR"]
    return Counter(
        {
            "patients with CT and ECG": int({"CT", "ECG"} <= modalities),
            "patients with MR and SEG": int({"MR", "SEG"} <= modalities),
            "patients with both ventricles": int(both <= frozenset().union(*drawn)),
            "patients with both ventricles in one SEG": int(any(both <= one for one in drawn)),
            "MR series at 3 T": sum(s.device.tesla == 3 for s in mr),
            "MR series with b 800 or more": sum((s.facts.get("bmax") or 0) >= 800 for s in mr),
        }
    )


_WHY = ("broken", "damaged", "foreign", "archive")


def objects(
    patients: int = 40,
    seed: int = 7,
    *,
    pixels: bool = True,
    images: float = 1.0,
) -> Iterator[tuple[str, bytes]]:
    """(relative path, bytes) of every file of the hospital, patient after patient.

    >>> path, data = next(objects(patients=1))
    >>> data[128:132]
    b'DICM'

    `images` stretches every series; `pixels=False` writes headers that speak of large images.
    """
    for number in range(1, patients + 1):
        for file in files_of(seed, number, Options(pixels, images)):
            yield file.path, file.data


def summary(
    patients: int = 40, seed: int = 7, *, pixels: bool = True, images: float = 1.0
) -> Summary:
    """The truth about a hospital without writing it.

    >>> summary(patients=2).patients
    2
    """
    total = Summary()
    for number in range(1, patients + 1):
        files = list(files_of(seed, number, Options(pixels, images)))
        total += _counted(seed, number, files)
    return total


def shown(patients: int = 40, seed: int = 7, *, images: float = 1.0) -> dict[str, dict[str, Shown]]:
    """What the CT series of a hospital with pixels show: structures by SeriesInstanceUID and name.

    >>> shows = shown(patients=2)
    >>> sorted({series["left lung"].complete for series in shows.values()})
    [False, True]
    """
    found = {}
    for number in range(1, patients + 1):
        for study in studies(seed, number, Options(True, images)):
            for series in study.series:
                if series.facts.get("field"):
                    found[series.uid] = series.facts["field"].shows(len(series.instances))
    return found


def write(
    folder: Path,
    patients: int = 40,
    seed: int = 7,
    *,
    progress: Callable[[int, int], None] | None = None,
    pixels: bool = True,
    images: float = 1.0,
    processes: int = 1,
) -> Summary:
    """Write the hospital into a folder; the truth about what was written.

    `progress` is called with the number of patients done and of all. `images` stretches every
    series, `processes` shares the patients out. Memory does not grow with the number of patients.
    """
    one = partial(_write_patient, folder, seed, Options(pixels, images))
    numbers = range(1, patients + 1)
    total = Summary()
    if processes <= 1:
        for number in numbers:
            total += one(number)
            if progress:
                progress(number, patients)
        return total
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        chunk = max(1, min(50, patients // (processes * 4)))
        for done, part in enumerate(pool.map(one, numbers, chunksize=chunk), 1):
            total += part
            if progress:
                progress(done, patients)
    return total


def _write_patient(folder: Path, seed: int, options: Options, number: int) -> Summary:
    files = list(files_of(seed, number, options))
    made = set()
    for file in files:
        target = folder / file.path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.write_bytes(file.data)
    return _counted(seed, number, files)
