"""Volumes agree with shapes of known volume, with what others measured, and with highdicom."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomlake.errors import DataError
from dicomlake.readers.bulk import fragments_of
from dicomlake.readers.frames import DEFLATED_FRAMES, frames_of
from dicomlake.readers.segments import STORAGE
from dicomlake.readers.volumes import Volume, volumes_of
from dicomlake.testing.dicom import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, RLE, Fragments, encode
from tests.readers.contents import header_of, mutants, named
from tests.readers.test_segments import segment, segmentation


def measured(data: bytes) -> dict[int, Volume]:
    _, json = header_of(data)
    return volumes_of(json, lambda offset, length: data[offset : offset + length], len(data))


LISTED = {
    "liver.dcm": [70.36],
    "liver_j2k.dcm": [70.36],
    "liver_nonbyte_aligned.dcm": [70.36],
    "liver_nonbyte_aligned_j2k.dcm": [70.36],
    "liver_rle.dcm": [70.36],
    "liver_nonbyte_aligned_rle.dcm": [70.36],
    "liver_deflate.dcm": [70.36],
    "liver_nonbyte_aligned_deflate.dcm": [70.36],
    "liver_expb.dcm": [70.36],
    "24x38x3/seg/label.seg": [0.386],
    "sr-example/seg.dcm": [33.58],
    "A1E9Q1/seg_0_ED.dcm": [209.55, 132.88, 172.52],
}


@pytest.mark.parametrize("file", LISTED)
def test_volumes_that_others_measured(corpus_files: list[Path], file: str) -> None:
    if "j2k" in file:
        pytest.importorskip("openjpeg")
    found = measured(named(corpus_files, file).read_bytes())
    assert [v.volume for v in found.values()] == pytest.approx(LISTED[file], rel=0.005)
    assert {(v.problem, v.present) for v in found.values()} == {(None, True)}


def test_what_has_no_volume_says_why(corpus_files: list[Path]) -> None:
    for file, problem in (
        ("seg_image_cr_binary.dcm", "no place in space"),
        ("seg_image_sm_dots.dcm", "tiles of a slide"),
        ("mock_data/rt.dcm", "one slice"),
    ):
        found = measured(named(corpus_files, file).read_bytes())
        assert found
        assert all(v.volume is None and problem in str(v.problem) for v in found.values())


def test_volumes_are_those_of_highdicom(corpus_files: list[Path]) -> None:
    highdicom = pytest.importorskip("highdicom")
    compared = 0
    for file in corpus_files:
        if file.suffix not in (".dcm", ".seg") or header_of_kind(file) != STORAGE + "66.4":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                theirs = highdicom.seg.segread(file)
                volumes = {
                    n: theirs.get_volume(segment_numbers=[n], rescale_fractional=True)
                    for n in theirs.segment_numbers
                }
            except Exception:  # noqa: BLE001  (whatever it cannot read)
                continue
        ours = measured(file.read_bytes())
        for n, volume in volumes.items():
            if "tiles of a slide" in str(ours[n].problem):
                continue  # one optical section, nanolitres: no volume of an organ
            expected = (volume.array >= 0.5).sum() * volume.voxel_volume / 1000
            assert ours[n].volume == pytest.approx(expected, rel=0.005), (file, n)
            compared += 1
    assert compared > 90


def header_of_kind(file: Path) -> str | None:
    try:
        return header_of(file.read_bytes())[0].first.get("SOPClassUID")
    except DataError:
        return None


# Shapes of known volume

SHAPE = (6, 13, 11)  # frames of 143 pixels: the next one does not start at a byte
AXIAL = [1, 0, 0, 0, 1, 0]


def box(size: tuple[int, int, int], at: tuple[int, int, int] = (1, 1, 1)) -> Any:
    found = np.zeros(SHAPE, np.uint8)
    found[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))] = 1
    return found


def bits(pixels: Any) -> bytes:
    return np.packbits(np.asarray(pixels).reshape(-1), bitorder="little").tobytes()


def made(
    masks: dict[int, Any],
    *,
    pixels: bytes | Fragments | tuple[str, Any] | None = None,
    spacing: tuple[float, float] = (2.0, 0.5),
    step: float = 3.0,
    orientation: list[float] = AXIAL,
    measures: dict[str, Any] | None = None,
    positions: list[list[float]] | None = None,
    kept: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """A description of a segmentation with a mask of SHAPE per segment; `kept` picks frames."""
    normal = np.cross(orientation[:3], orientation[3:])
    frames, planes = [], []
    for number, mask in masks.items():
        for i, plane in enumerate(mask):
            if kept is not None and not kept(number, i):
                continue
            place = positions[i] if positions else [float(x) for x in normal * step * i]
            frames.append(
                {
                    "SegmentIdentificationSequence": [{"ReferencedSegmentNumber": number}],
                    "PlanePositionSequence": [{"ImagePositionPatient": place}],
                }
            )
            planes.append(plane)
    shared = {
        "PlaneOrientationSequence": [{"ImageOrientationPatient": orientation}],
        "PixelMeasuresSequence": [{"PixelSpacing": list(spacing), **(measures or {})}],
    }
    return segmentation(
        *(segment(n) for n in masks),
        frames=frames,
        **{
            "SharedFunctionalGroupsSequence": [shared],
            "Rows": SHAPE[1],
            "Columns": SHAPE[2],
            "BitsAllocated": 1,
            "SamplesPerPixel": 1,
            "PixelData": ("OB", bits(planes)) if pixels is None else pixels,
            **more,
        },
    )


VOXEL = 2.0 * 0.5 * 3.0 / 1000  # mL


def volumes(description: dict[str, Any], syntax: str = EXPLICIT_LE) -> dict[int, float | None]:
    return {n: v.volume for n, v in measured(encode(description, syntax)).items()}


def test_a_box_that_does_not_start_at_a_byte() -> None:
    assert volumes(made({1: box((3, 4, 5))})) == {1: pytest.approx(60 * VOXEL)}


@pytest.mark.parametrize("syntax", [EXPLICIT_BE, DEFLATED])
def test_byte_orders_and_deflated_objects(syntax: str) -> None:
    found = volumes(made({1: box((3, 4, 5)), 2: box((2, 2, 2))}), syntax)
    assert found == {1: pytest.approx(60 * VOXEL), 2: pytest.approx(8 * VOXEL)}


def test_bits_in_words_of_big_endian() -> None:
    packed = bits(box((3, 4, 5)))
    words = np.frombuffer(packed + bytes(len(packed) % 2), "<u2")
    found = volumes(made({1: box((3, 4, 5))}, pixels=("OW", words)), EXPLICIT_BE)
    assert found == {1: pytest.approx(60 * VOXEL)}


def test_segments_that_overlap_count_both() -> None:
    one, two = box((3, 4, 5)), box((2, 4, 4), (2, 2, 2))
    assert (one & two).any()
    assert volumes(made({1: one, 2: two})) == {
        1: pytest.approx(60 * VOXEL),
        2: pytest.approx(32 * VOXEL),
    }


def test_frames_that_are_left_out() -> None:
    mask = box((5, 4, 5), (0, 0, 0))
    mask[1:3] = 0
    found = volumes(made({1: mask}, kept=lambda number, i: mask[i].any()))
    assert found == {1: pytest.approx(60 * VOXEL)}


def test_a_segment_without_frames_is_empty() -> None:
    found = volumes(made({1: box((3, 4, 5)), 2: box((1, 1, 1))}, kept=lambda n, i: n == 1))
    assert found == {1: pytest.approx(60 * VOXEL), 2: 0.0}


def test_a_tilted_stack() -> None:
    angle = 0.4
    orientation = [1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))]
    found = volumes(made({1: box((3, 4, 5))}, orientation=[round(x, 6) for x in orientation]))
    assert found == {1: pytest.approx(60 * VOXEL, rel=1e-4)}


def test_slices_that_are_sheared_count_by_their_distance_along_the_normal() -> None:
    positions = [[0.0, 1.5 * i, 3.0 * i] for i in range(6)]
    found = volumes(made({1: box((3, 4, 5))}, positions=positions))
    assert found == {1: pytest.approx(60 * VOXEL)}


def test_positions_win_over_a_spacing_that_contradicts_them() -> None:
    for stated in (7.0, 2.0, 0.0, -3.0):
        found = volumes(made({1: box((3, 4, 5))}, measures={"SpacingBetweenSlices": stated}))
        assert found == {1: pytest.approx(60 * VOXEL)}
    # every second slice only: the stated distance is the one that counts
    found = volumes(
        made(
            {1: box((6, 4, 5), (0, 1, 1))},
            measures={"SpacingBetweenSlices": 3.0},
            kept=lambda n, i: i % 2 == 0,
        )
    )
    assert found == {1: pytest.approx(60 * VOXEL)}


def test_one_slice_is_as_thick_as_it_says() -> None:
    only = made({1: box((1, 4, 5))}, kept=lambda n, i: i == 1, measures={"SliceThickness": 5.0})
    assert volumes(only) == {1: pytest.approx(20 * 5.0 / 1000)}
    (found,) = measured(encode(made({1: box((1, 4, 5))}, kept=lambda n, i: i == 1))).values()
    assert found.problem == "no 3D geometry: one slice without a thickness"


def test_uneven_slices_count_half_way_to_their_neighbours() -> None:
    positions = [[0.0, 0.0, z] for z in (0.0, 1.0, 2.0, 4.3, 6.6, 8.9)]
    found = volumes(made({1: box((6, 4, 5), (0, 0, 0))}, positions=positions))
    assert found == {1: pytest.approx(20 * (8.9 + 0.5 + 1.15) / 1000)}


def test_time_points_in_one_place_have_no_volume() -> None:
    positions = [[0.0, 0.0, float(i // 2)] for i in range(6)]
    (found,) = measured(encode(made({1: box((3, 4, 5))}, positions=positions))).values()
    assert found == Volume(None, "several of its frames lie in one place", True)


@pytest.mark.parametrize(("kind", "count"), [("PROBABILITY", 40), ("OCCUPANCY", 45)])
def test_fractions(kind: str, count: float) -> None:
    mask = box((3, 4, 5))
    values = mask * 200
    values[1] = mask[1] * 100  # half: counts
    values[2] = mask[2] * 50  # below
    found = volumes(
        made(
            {1: mask},
            pixels=("OB", values.astype(np.uint8).tobytes()),
            BitsAllocated=8,
            SegmentationType="FRACTIONAL",
            SegmentationFractionalType=kind,
            MaximumFractionalValue=200,
        )
    )
    expected = {"PROBABILITY": 40, "OCCUPANCY": 20 * (1 + 0.5 + 0.25)}[kind]
    assert found == {1: pytest.approx(expected * VOXEL)}


def label_map(dtype: str, *, numbers: tuple[int, ...] = (0, 1, 300), **more: Any) -> dict[str, Any]:
    pixels = box((3, 4, 5)).astype(dtype)
    pixels[4, 0, :4] = 2
    if dtype == "u2":
        pixels[5, 0, :7] = 300
    raw = pixels.tobytes() if dtype == "u1" else pixels
    description = made({1: box((3, 4, 5))})
    return description | {
        "SOPClassUID": STORAGE + "66.7",
        "SegmentationType": "LABELMAP",
        "SegmentSequence": [segment(n) for n in numbers],
        "BitsAllocated": 8 * pixels.itemsize,
        "PixelData": ("OB" if dtype == "u1" else "OW", raw),
        **more,
    }


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, EXPLICIT_BE, DEFLATED])
def test_label_maps(syntax: str) -> None:
    found = measured(encode(label_map("u2"), syntax))
    assert found[1] == Volume(pytest.approx(60 * VOXEL), None, True)
    assert found[300] == Volume(pytest.approx(7 * VOXEL), None, True)
    found = measured(encode(label_map("u1", numbers=(1, 2, 3)), syntax))
    assert found[2].volume == pytest.approx(4 * VOXEL)
    assert found[3] == Volume(0.0, None, False)


def test_a_label_map_without_geometry_still_says_what_is_there() -> None:
    found = measured(encode(label_map("u2", numbers=(1, 2, 9), SharedFunctionalGroupsSequence=[])))
    assert {n: (v.volume, v.present) for n, v in found.items()} == {
        1: (None, True),
        2: (None, True),
        9: (None, False),
    }


def test_height_maps_and_surfaces_have_no_voxels() -> None:
    for kind in ("66.5", "66.8"):
        (found,) = measured(encode(made({1: box((3, 4, 5))}, SOPClassUID=STORAGE + kind))).values()
        assert "no voxels" in str(found.problem)


# Compressed frames


def deflated(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(raw) + packer.flush()
    return packed + bytes(len(packed) % 2)


def packbits(raw: bytes) -> bytes:
    """RLE of a segment: runs as runs, what differs as it is."""
    found, i = bytearray(), 0
    while i < len(raw):
        run = 1
        while run < 128 and i + run < len(raw) and raw[i + run] == raw[i]:
            run += 1
        found += bytes([257 - run, raw[i]]) if run > 1 else bytes([0, raw[i]])
        i += run
    return bytes(found + bytes(len(found) % 2))


def rle(*planes: bytes) -> bytes:
    packed = [packbits(plane) for plane in planes]
    offsets, at = [], 64
    for one in packed:
        offsets.append(at)
        at += len(one)
    offsets += [0] * (15 - len(offsets))
    return struct.pack("<16I", len(packed), *offsets) + b"".join(packed)


def test_deflated_frames() -> None:
    mask = box((3, 4, 5))
    packed = Fragments(tuple(deflated(bits(plane)) for plane in mask))
    assert volumes(made({1: mask}, pixels=packed), DEFLATED_FRAMES) == {
        1: pytest.approx(60 * VOXEL)
    }


@pytest.mark.parametrize("to_a_byte", [False, True])
def test_rle_of_single_bits(to_a_byte: bool) -> None:
    mask = box((3, 4, 5))
    parts = tuple(rle(plane.tobytes() if to_a_byte else bits(plane)) for plane in mask)
    assert volumes(made({1: mask}, pixels=Fragments(parts)), RLE) == {1: pytest.approx(60 * VOXEL)}


def test_rle_of_label_maps() -> None:
    description = label_map("u2")
    pixels = description["PixelData"][1]
    planes = [(p >> 8, p & 255) for p in pixels]
    parts = [rle(*(half.astype(np.uint8).tobytes() for half in plane)) for plane in planes]
    found = volumes(description | {"PixelData": Fragments(tuple(parts))}, RLE)
    assert found[300] == pytest.approx(7 * VOXEL)


@pytest.mark.parametrize(
    ("module", "syntax"),
    [("jpeg_ls", "1.2.840.10008.1.2.4.80"), ("openjpeg", "1.2.840.10008.1.2.4.90")],
)
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_label_maps_that_pydicom_decodes(module: str, syntax: str, dtype: str) -> None:
    codec = pytest.importorskip(module)
    description = label_map(dtype, numbers=(1, 2))
    raw = description["PixelData"][1]
    pixels = np.frombuffer(raw if isinstance(raw, bytes) else raw.tobytes(), dtype).reshape(SHAPE)
    pixels = pixels.repeat(4, axis=1).repeat(4, axis=2)  # JPEG 2000 wants 32 rows
    encode_one = codec.encode if module == "openjpeg" else codec.encode_array
    parts = [bytes(encode_one(np.ascontiguousarray(plane))) for plane in pixels]
    packed = Fragments(tuple(part + bytes(len(part) % 2) for part in parts))
    size = {"Rows": pixels.shape[1], "Columns": pixels.shape[2]}
    found = volumes(description | size | {"PixelData": packed}, syntax)
    assert found == {1: pytest.approx(16 * 60 * VOXEL), 2: pytest.approx(16 * 4 * VOXEL)}


def test_a_decoder_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import Decoder

    monkeypatch.setattr(Decoder, "is_available", False)
    mask = box((3, 4, 5))
    packed = Fragments((b"\0\0",) * 6)
    for syntax, hint in (("1.2.840.10008.1.2.4.201", True), ("1.2.840.10008.1.2.4.50", False)):
        (found,) = measured(encode(made({1: mask}, pixels=packed), syntax)).values()
        assert "no decoder" in str(found.problem)
        assert ("dicomlake[pixels]" in str(found.problem)) is hint


def test_frames_in_several_fragments() -> None:
    mask = box((3, 4, 5))
    frames = [deflated(bits(plane)) for plane in mask]
    items, offsets, at = b"", [], 0
    for frame in frames:
        offsets.append(at)
        for part in (frame[:4], frame[4:]):
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part)) + part
            items += item
            at += len(item)
    table = struct.pack("<6I", *offsets)
    raw = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(table)) + table + items
    assert list(fragments_of(raw, 6)) == frames
    assert list(fragments_of(raw, 1)) == [b"".join(frames)]
    bare = b"\xfe\xff\x00\xe0" + bytes(4) + items
    with pytest.raises(DataError, match="12 fragments"):
        list(fragments_of(bare, 6))
    with pytest.raises(DataError, match="no compressed frames"):
        list(fragments_of(b"junk", 6))


def test_frames_that_cannot_be_decoded_have_no_volume() -> None:
    mask = box((3, 4, 5))
    junk = Fragments(tuple(b"\xff\x4f\xff\x51junk" for _ in mask))
    for syntax in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80", RLE, DEFLATED_FRAMES):
        (found,) = measured(encode(made({1: mask}, pixels=junk), syntax)).values()
        assert found.volume is None
        assert found.problem
    (found,) = measured(encode(made({1: mask}, pixels=junk), "1.2.3.4.5")).values()
    assert "1.2.3.4.5" in str(found.problem)


def test_frames_that_are_missing() -> None:
    (found,) = measured(encode(made({1: box((3, 4, 5))}, pixels=("OB", b"\0" * 20)))).values()
    assert "1 of 6 frames" in str(found.problem)
    description = made({1: box((3, 4, 5))})
    del description["PixelData"]
    (found,) = measured(encode(description)).values()
    assert "no pixels" in str(found.problem)


def test_inflating_is_bounded() -> None:
    bomb = deflated(bytes(50_000_000))
    mask = box((3, 4, 5))
    _, json = header_of(encode(made({1: mask}, pixels=Fragments((bomb,) * 6)), DEFLATED_FRAMES))
    data = encode(made({1: mask}, pixels=Fragments((bomb,) * 6)), DEFLATED_FRAMES)
    began = time.monotonic()
    for pixels in frames_of(json, lambda o, n: data[o : o + n], len(data)):
        assert not pixels.any()
    assert time.monotonic() - began < 20


# Structure sets


def contour(points: Any, **more: Any) -> dict[str, Any]:
    numbers = [round(float(x), 4) for x in np.asarray(points).reshape(-1)]
    return {
        "ContourGeometricType": "CLOSED_PLANAR",
        "NumberOfContourPoints": len(numbers) // 3,
        "ContourData": numbers,
        **more,
    }


def circle(radius: float, z: float, corners: int = 180, at: tuple[float, float] = (0, 0)) -> Any:
    turn = np.arange(corners) * 2 * pi / corners
    x, y = at[0] + radius * np.cos(turn), at[1] + radius * np.sin(turn)
    return np.stack([x, y, np.full(corners, z)], axis=1)


def structure(*regions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "SOPClassUID": STORAGE + "481.3",
        "SOPInstanceUID": "2.25.1",
        "StructureSetROISequence": [
            {"ROINumber": n, "ROIName": f"R{n}"} for n, _ in enumerate(regions, 1)
        ],
        "ROIContourSequence": [
            {"ReferencedROINumber": n, "ContourSequence": contours}
            for n, contours in enumerate(regions, 1)
        ],
    }


def test_a_cylinder() -> None:
    contours = [contour(circle(20, 2.5 * i)) for i in range(10)]
    found = volumes(structure(contours))
    assert found == {1: pytest.approx(pi * 20**2 * 25 / 1000, rel=1e-3)}


def test_a_tilted_cylinder() -> None:
    c, s = np.cos(0.5), np.sin(0.5)
    turned = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    contours = [contour(circle(20, 2.5 * i) @ turned.T) for i in range(10)]
    assert volumes(structure(contours)) == {1: pytest.approx(pi * 400 * 25 / 1000, rel=1e-3)}


def test_a_tube_and_what_is_in_it() -> None:
    contours = []
    for i in range(10):
        for radius in (20, 15, 5):
            contours.append(
                contour(circle(radius, 2.5 * i), ContourGeometricType="CLOSEDPLANAR_XOR")
            )
    area = pi * (20**2 - 15**2 + 5**2)
    assert volumes(structure(contours)) == {1: pytest.approx(area * 25 / 1000, rel=1e-3)}


def test_two_parts_beside_each_other_and_two_that_cross() -> None:
    apart = [
        contour(circle(10, float(z), at=at)) for z in range(5) for at in ((0.0, 0.0), (40.0, 0.0))
    ]
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]])
    crossing = [
        contour(np.column_stack([square + shift, np.full(4, z)]))
        for z in range(5)
        for shift in (0, 5)
    ]
    found = volumes(structure(apart, crossing))
    assert found[1] == pytest.approx(2 * pi * 100 * 5 / 1000, rel=1e-3)
    assert found[2] == pytest.approx((100 + 100 - 2 * 25) * 5 / 1000, rel=1e-3)


def test_one_slice_is_as_thick_as_those_of_other_regions() -> None:
    long = [contour(circle(10, 2.0 * i)) for i in range(3)]
    found = volumes(
        structure(long, [contour(circle(5, 2.0))], [contour(circle(5, 0), ContourSlabThickness=4)])
    )
    assert found[2] == pytest.approx(pi * 25 * 2 / 1000, rel=1e-3)
    assert found[3] == pytest.approx(pi * 25 * 4 / 1000, rel=1e-3)


def test_regions_that_enclose_nothing() -> None:
    point = contour([[0, 0, 0]], ContourGeometricType="POINT")
    line = contour([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    skew = [contour(circle(5, 0)), contour(circle(5, 0)[:, [2, 1, 0]])]
    found = measured(encode(structure([point], [line], [], skew)))
    assert all(v.volume is None and v.problem for v in found.values())
    assert [v.present for v in found.values()] == [True, True, False, True]


# Damage


def test_damage_never_surprises(corpus_files: list[Path]) -> None:
    files = [f for f in corpus_files if header_of_kind(f) in (STORAGE + "66.4", STORAGE + "481.3")]
    assert len(files) == 54
    began = time.monotonic()
    measured_ones = 0
    for seed, file in enumerate(files):
        data = file.read_bytes()
        for copy in mutants(data, 6, seed, 20_000) + mutants(data, 3, seed):
            try:
                measured_ones += len(measured(copy))
            except DataError:
                continue
    assert measured_ones > 400
    assert time.monotonic() - began < 30
