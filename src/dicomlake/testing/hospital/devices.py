"""The sites of the made-up hospital group and the devices that stand there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicomlake.testing.dicom import IMPLICIT_LE, Encoder, uid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomlake.testing.dicom import Value


@dataclass(frozen=True, slots=True)
class Site:
    """A house of the group: its language, and the authority that numbers its patients."""

    name: str
    institution: str
    language: str
    issuer: str
    physicians: tuple[str, ...]


_PLAIN = Encoder(IMPLICIT_LE)


@dataclass(frozen=True, eq=False)
class Device:
    """One device: what it writes into every object, and its habits.

    `private` are its private attributes that do not change within a series; `dialect` names how it
    writes those that do. `gateway` devices reach the archive through a converter that knows no
    private VR and writes UN. `unicode` devices write every text in UTF-8.
    """

    modality: str
    manufacturer: str
    model: str
    station: str
    serial: str
    software: str
    site: Site
    tesla: float = 0.0
    dialect: str = ""
    unicode: bool = False
    gateway: bool = False
    enhanced: bool = False
    private: Mapping[str, Value] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)

    @property
    def description(self) -> dict[str, Value]:
        """General Equipment attributes and the private ones that every object carries."""
        return {
            "Manufacturer": self.manufacturer,
            "InstitutionName": self.site.institution,
            "StationName": self.station,
            "ManufacturerModelName": self.model,
            "DeviceSerialNumber": self.serial,
            "SoftwareVersions": self.software.split("\\"),
            "DeviceUID": uid("hospital device", self.serial),
            **{key: self.as_sent(key, value) for key, value in self.private.items()},
        }

    def as_sent(self, key: str, value: Value) -> Value:
        """A private value as it reaches the archive: (VR, value), or UN behind a gateway."""
        if not self.gateway or not key.startswith("("):
            return value
        element = _PLAIN.element(0, *value)
        return "UN", element[8:]


NORD = Site(
    "NORD",
    "Klinikum Nordstadt (erfunden)",
    "de",
    "NORD",
    ("Erdacht^Sabine^^Dr.", "Nirgendwo^Jörg^^Prof. Dr.", "Übungsfall^Anke^^Dr."),
)
SUD = Site(
    "SUD",
    "Hôpital Sainte-Fiction",
    "fr",
    "SUD",
    ("Imaginaire^Hélène^^Dr", "Inexistant^Benoît^^Pr", "Supposé^Chloé^^Dr"),
)
WEST = Site(
    "WEST",
    "Westmere Make-Believe General",
    "en",
    "WEST",
    ("Fabrication^Oliver^^Dr", "Nonesuch^Priya^^Dr", "Pretence^Maeve^^Prof"),
)
SITES = (NORD, SUD, WEST)

_CSA = b"SV10\x04\x03\x02\x01\x01\x00\x00\x00M\x00\x00\x00made up" + bytes(41)

_SIEMENS_MR = {
    '(0019,"SIEMENS MR HEADER",08)': ("CS", "IMAGE NUM 4"),
    '(0019,"SIEMENS MR HEADER",09)': ("LO", "1.0"),
    '(0029,"SIEMENS CSA HEADER",08)': ("CS", "IMAGE NUM 4"),
    '(0029,"SIEMENS CSA HEADER",09)': ("LO", "20200101"),
    '(0029,"SIEMENS CSA HEADER",10)': ("OB", _CSA),
    '(0029,"SIEMENS MEDCOM HEADER2",60)': ("LO", "com. MR"),
    '(0051,"SIEMENS MR HEADER",0F)': ("LO", "HEA;HEP"),
    '(7FE1,"SIEMENS CSA NON-IMAGE",10)': ("OB", bytes(16)),
}
_GE = {
    '(0009,"GEMS_IDEN_01",01)': ("LO", "GE_GENESIS_FF"),
    '(0009,"GEMS_IDEN_01",02)': ("SH", "MADE"),
    '(0009,"GEMS_IDEN_01",27)': ("SL", 1600000000),
    '(0025,"GEMS_SERS_01",07)': ("SL", 24),
}
_GE_MR = {
    **_GE,
    '(0019,"GEMS_ACQU_01",9C)': ("LO", "FSE-XL"),
    '(0043,"GEMS_PARM_01",0C)': ("DS", "42.5"),
}
_GE_CT = {
    **_GE,
    '(0019,"GEMS_ACQU_01",02)': ("SL", 912),
    '(0027,"GEMS_IMAG_01",10)': ("SS", 0),
    '(0043,"GEMS_PARM_01",1E)': ("DS", "5.0"),
    '(0045,"GEMS_HELIOS_01",01)': ("SS", 64),
}
_PHILIPS_MR = {
    '(2001,"Philips Imaging DD 001",0B)': ("CS", "TRANSVERSAL"),
    '(2001,"Philips Imaging DD 001",18)': ("SL", 24),
    '(2005,"Philips MR Imaging DD 001",05)': ("CS", "NONE"),
    '(2005,"Philips MR Imaging DD 001",0E)': ("FL", 0.125),
}
_PHILIPS_CT = {
    '(00E1,"ELSCINT1",01)': ("US", 1),
    '(00E1,"ELSCINT1",40)': ("SH", "CT_MADEUP"),
    '(01F1,"ELSCINT1",05)': ("DS", "360"),
    '(01F1,"ELSCINT1",27)': ("DS", "0.5"),
}
_TOSHIBA_CT = {
    '(7005,"TOSHIBA_MEC_CT3",08)': ("DS", "0.5"),
    '(7005,"TOSHIBA_MEC_CT3",0B)': ("SH", "ORG"),
    '(7005,"TOSHIBA_MEC_CT3",0D)': ("CS", "CHEST"),
    '(7005,"TOSHIBA_MEC_CT3",0E)': ("SH", "ADULT L"),
}
_CANON_MR = {
    '(700D,"CANON_MEC_MR3",00)': ("DS", "1.0"),
    '(700D,"CANON_MEC_MR3",05)': ("DS", "240"),
}
_SIEMENS_CT = {
    '(0019,"SIEMENS CT VA0  COAD",B0)': ("DS", "6.0"),
    '(0021,"SIEMENS MED",11)': ("DS", ["0.0", "0.0"]),
    '(0029,"SIEMENS MEDCOM HEADER",10)': ("OB", _CSA[:32]),
}
_PHILIPS_PT = {'(7053,"Philips PET Private Group",00)': ("DS", "0.000512")}
_GE_PT = {**_GE, '(0009,"GEMS_PETD_01",01)': ("LO", ["petapp", "1.0"])}
_HOLOGIC = {'(0019,"LORAD Selenia",16)': ("SH", "MADE UP"), '(0099,"HOLOGIC",01)': ("LO", "1.1")}

DEVICES: tuple[Device, ...] = (
    Device(
        "CT", "SIEMENS", "SOMATOM Definition Flash", "CTN01", "73001", "syngo CT VA48A", NORD,
        dialect="siemens", private=_SIEMENS_CT,
    ),
    Device(
        "CT", "Siemens Healthineers", "SOMATOM Force", "CTN02", "73002", "syngo CT VB20A", NORD,
        dialect="siemens", private=_SIEMENS_CT, unicode=True,
        blocks={"SIEMENS MED": 0x11, "SIEMENS MEDCOM HEADER": 0x12},
    ),
    Device(
        "CT", "GE MEDICAL SYSTEMS", "Revolution CT", "CTS01", "GE500211", "revo_ct_21b.34", SUD,
        dialect="ge", private=_GE_CT,
    ),
    Device(
        "CT", "Philips", "Brilliance 64", "CTW01", "9041", "4.1.10", WEST,
        dialect="philips", private=_PHILIPS_CT,
    ),
    Device(
        "CT", "TOSHIBA", "Aquilion ONE", "CTW02", "2CA1182", "V7.03ER003", WEST,
        dialect="toshiba", private=_TOSHIBA_CT,
    ),
    Device(
        "MR", "SIEMENS", "Prisma_fit", "MRN01", "166001", "syngo MR E11", NORD,
        tesla=3.0, dialect="siemens", private=_SIEMENS_MR,
    ),
    Device(
        "MR", "SIEMENS", "Aera", "MRN02", "141007", "syngo MR D13", NORD,
        tesla=1.5, dialect="siemens", private=_SIEMENS_MR, blocks={"SIEMENS MR HEADER": 0x11},
    ),
    Device(
        "MR", "GE MEDICAL SYSTEMS", "SIGNA Premier", "MRS01", "GE777031",
        "29\\LX\\MR Software release:RX29.1", SUD, tesla=3.0, dialect="ge", private=_GE_MR,
    ),
    Device(
        "MR", "GE MEDICAL SYSTEMS", "DISCOVERY MR450", "MRS02", "GE450002",
        "25\\LX\\MR Software release:DV25.1", SUD,
        tesla=1.5, dialect="ge", private=_GE_MR, gateway=True,
    ),
    Device(
        "MR", "Philips Medical Systems", "Ingenia", "MRW01", "42211", "5.3.1\\5.3.1.0", WEST,
        tesla=3.0, dialect="philips", private=_PHILIPS_MR, enhanced=True,
    ),
    Device(
        "MR", "CANON_MEC", "Vantage Orian", "MRW02", "Z5X1932", "V6.0SP1", WEST,
        tesla=1.5, dialect="canon", private=_CANON_MR, unicode=True,
    ),
    Device("XA", "SIEMENS", "AXIOM-Artis", "XAN01", "58220", "VC21C", NORD),
    Device("XA", "Philips Medical Systems", "Allura Xper", "XAS01", "1720", "8.2.0", SUD),
    Device("XA", "CANON_MEC", "Alphenix", "XAW01", "C3D21", "V9.5", WEST, unicode=True),
    Device("US", "GE Vingmed Ultrasound", "Vivid E95", "USN01", "V95011", "204", NORD),
    Device("US", "Philips Medical Systems", "EPIQ 7C", "USS01", "US918B", "EPIQ 7_3.0.2", SUD),
    Device("US", "Canon Medical", "TUS-AI800", "USW01", "A800X", "V4.0", WEST),
    Device("MG", "HOLOGIC, Inc.", "Selenia Dimensions", "MGN01", "81005", "1.9.0", NORD,
           dialect="hologic", private=_HOLOGIC),
    Device("MG", "GE MEDICAL SYSTEMS", "Senographe Essential", "MGS01", "GE20419", "ADS_56.21", SUD,
           private=_GE),
    Device("MG", "SIEMENS", "Mammomat Inspiration", "MGW01", "5401", "VB60", WEST),
    Device("PT", "SIEMENS", "Biograph128_mCT", "PTN01", "11093", "VG60A", NORD),
    Device("PT", "GE MEDICAL SYSTEMS", "Discovery 690", "PTS01", "GE690", "pet_r6.4", SUD,
           private=_GE_PT),
    Device("PT", "Philips Medical Systems", "Ingenuity TF", "PTW01", "IN77", "4.5", WEST,
           private=_PHILIPS_PT),
    Device("DX", "SIEMENS", "Fluorospot Compact FD", "DXN01", "2130", "VF10", NORD),
    Device("CR", "Agfa", "DX-G", "CRS01", "A5501", "NX_3.0.8950", SUD),
    Device("DX", "Carestream Health", "DRX-Evolution", "DXW01", "K99", "5.7.412", WEST),
    Device("NM", "SIEMENS NM", "Symbia Intevo", "NMN01", "1088", "VB20A", NORD),
    Device("NM", "GE MEDICAL SYSTEMS", "Tandem_Discovery_670", "NMS01", "NM670", "1.003", SUD),
    Device("NM", "Philips Medical Systems", "BrightView", "NMW01", "B220", "2.5", WEST),
    Device("ECG", "Schiller", "AT-102plus", "ECGN1", "S1", "1.2", NORD, unicode=True),
    Device("ECG", "GE Healthcare", "MAC 5500", "ECGS1", "G55", "10.3", SUD),
    Device("ECG", "Mortara", "ELI 380", "ECGW1", "M380", "2.6", WEST),
    Device("SR", "dicomlake", "Reporting Desk", "WSN01", "R1", "1.0", NORD, unicode=True),
    Device("SR", "dicomlake", "Reporting Desk", "WSS01", "R2", "1.0", SUD, unicode=True),
    Device("SR", "dicomlake", "Reporting Desk", "WSW01", "R3", "1.0", WEST, unicode=True),
)  # fmt: skip


def devices_of(site: Site, modality: str) -> tuple[Device, ...]:
    """Devices of a site that make images of a modality; projection X-ray is CR or DX.

    >>> [d.station for d in devices_of(SUD, "DX")]
    ['CRS01']
    """
    return _BY_SITE[site.name, "DX" if modality == "CR" else modality]


_BY_SITE: dict[tuple[str, str], tuple[Device, ...]] = {}
for _device in DEVICES:
    _slot = _device.site.name, "DX" if _device.modality == "CR" else _device.modality
    _BY_SITE[_slot] = (*_BY_SITE.get(_slot, ()), _device)
