"""Which objects are searched for text: all but those in which nobody burns any.

Neither Modality nor Burned In Annotation may switch the search off: both are wrong in real files.
Only cuts through the body as they were acquired pass, and objects whose values are no pictures.
"""

from __future__ import annotations

from dicomlake.readers.attributes import Item, items, key_of, text, texts, whole
from dicomlake.readers.pixels import KEYWORDS

_IMAGES = "1.2.840.10008.5.1.4.1.1."
ACQUIRED = frozenset(
    _IMAGES + tail
    for tail in (
        "2", "2.1", "2.2", "4", "4.1", "4.4", "20", "128", "128.1", "130", "77.1.6",
    )
)  # fmt: skip
"""CT, MR, PT, NM, their enhanced and converted ones, and tiles of slides: nearly all images of an
archive, and without text where they are original and primary."""
VALUES = frozenset(_IMAGES + tail for tail in ("30", "66.4", "66.7", "68.1", "481.2", "66.5"))
"""Parametric maps, segmentations, label maps, surface scans and doses: values, not pictures."""
NO_CUTS = ("LOCALIZER", "SCOUT", "SCREEN", "LABEL", "OVERVIEW", "THUMBNAIL", "POSDISP", "DOSE")
"""Words of Image Type of what is no plain cut through the body."""


def suspected(header: Item) -> str:
    """Why an object may have text in its pixels; "" where it has none that anybody burned in.

    >>> suspected({})
    'Image Type does not say that it is as it was acquired'
    """
    kind = text(header, "SOPClassUID") or ""
    if text(header, "BurnedInAnnotation") == "YES":
        return "Burned In Annotation is YES"
    if kind in VALUES:
        return ""
    types = [one.upper() for one in texts(header, "ImageType")]
    if types[:2] != ["ORIGINAL", "PRIMARY"]:
        if kind == _IMAGES + "77.1.6" and types[1:3] == ["PRIMARY", "VOLUME"]:
            return ""
        return "Image Type does not say that it is as it was acquired"
    if kind not in ACQUIRED:
        return "images of its SOP class may have text in them"
    if any(word in one for one in types[2:] for word in NO_CUTS):
        return "Image Type says that it is no cut through the body"
    if text(header, "ConversionType") or items(header, "SequenceOfUltrasoundRegions"):
        return "it was made from another picture, or has regions as ultrasound has"
    if kind == _IMAGES + "77.1.6":
        return ""
    if (whole(header, "SamplesPerPixel") or 1) > 1 or (whole(header, "BitsAllocated") or 0) <= 8:
        return "it is in colour or of 8 bits, as pictures of a screen are"
    return ""


def has_pixels(header: Item) -> bool:
    """Whether there are pixels in the object."""
    return any(key_of(keyword) in header for keyword in KEYWORDS)
