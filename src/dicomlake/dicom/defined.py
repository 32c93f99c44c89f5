"""Values that the Standard lists for code strings: what else is there deserves a look.

Enumerated values are all that may be there; defined terms may be extended (PS3.5 7.3), so that
another value is no fault, only one that other systems will hardly know.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicomlake.terms import bodyparts


@dataclass(frozen=True, slots=True)
class Listed:
    """What the Standard lists for a code string.

    `position`: of the value that is meant, 0 where it is every one; `enumerated`: nothing else is
    allowed; `place`: the section of the Standard.
    """

    keyword: str
    values: frozenset[str]
    place: str
    enumerated: bool = False
    position: int = 0


_MODALITIES = """
ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO
IOL IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR
PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR
SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
"""
_POSITIONS = "HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL"
_PHOTOMETRIC = (
    "MONOCHROME1,MONOCHROME2,PALETTE COLOR,RGB,YBR_FULL,YBR_FULL_422,YBR_PARTIAL_420,YBR_ICT,"
    "YBR_RCT,XYB"
)
_PET_UNITS = """
CNTS NONE CM2 CM2ML PCNT CPS BQML MGMINML UMOLMINML MLMING MLG 1CM UMOLML PROPCNTS PROPCPS MLMINML
MLML GML STDDEV
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LISTED = (
    Listed("Modality", _words(_MODALITIES), "PS3.3 C.7.3.1.1.1"),
    Listed("BodyPartExamined", bodyparts.listed(), "PS3.16 Annex L"),
    Listed("PatientPosition", _words(_POSITIONS), "PS3.3 C.7.3.1.1.2"),
    Listed(
        "PhotometricInterpretation", frozenset(_PHOTOMETRIC.split(",")), "PS3.3 C.7.6.3.1.2"
    ),
    Listed("PatientSex", _words("M F O"), "PS3.3 C.7.1.1", True),
    Listed("Laterality", _words("R L"), "PS3.3 C.7.3.1", True),
    Listed("ImageLaterality", _words("R L U B"), "PS3.3 C.7.6.1", True),
    Listed("BurnedInAnnotation", _words("YES NO"), "PS3.3 C.7.6.1", True),
    Listed("LossyImageCompression", _words("00 01"), "PS3.3 C.7.6.1", True),
    Listed("ImageType", _words("ORIGINAL DERIVED"), "PS3.3 C.7.6.1.1.2", True, 1),
    Listed("ImageType", _words("PRIMARY SECONDARY"), "PS3.3 C.7.6.1.1.2", True, 2),
    Listed("MRAcquisitionType", _words("2D 3D"), "PS3.3 C.8.3.1", True),
    Listed("ScanningSequence", _words("SE IR GR EP RM"), "PS3.3 C.8.3.1", True),
    Listed("SequenceVariant", _words("SK MTC SS TRSS SP MP OSP NONE"), "PS3.3 C.8.3.1"),
    Listed("Units", _words(_PET_UNITS), "PS3.3 C.8.9.1.1.3"),
    Listed("CompletionFlag", _words("PARTIAL COMPLETE"), "PS3.3 C.17.2", True),
    Listed("VerificationFlag", _words("UNVERIFIED VERIFIED"), "PS3.3 C.17.2", True),
    Listed("PresentationIntentType", frozenset(["FOR PRESENTATION", "FOR PROCESSING"]),
           "PS3.3 C.8.11.1", True),
    Listed("SegmentationType", _words("BINARY FRACTIONAL LABELMAP"), "PS3.3 C.8.20.2", True),
)  # fmt: skip
