"""HL7 aECG, GE MUSE XML and Philips Sierra XML, as devices write them."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from dicomlake.testing.ecgfiles.made import BEAT_MS, LEADS, QRS_AT_MS, Ecg

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The leads that MUSE stores; the others follow from I and II."""
_MDC = 'codeSystem="2.16.840.1.113883.6.24" codeSystemName="MDC"'


def aecg(ecg: Ecg) -> bytes:
    """An HL7 aECG document with a rhythm, a representative beat and global annotations.

    >>> from dicomlake.testing.ecgfiles import made
    >>> b"MDC_ECG_LEAD_AVR" in aecg(made(1))
    True
    """
    at = f"{ecg.moment:%Y%m%d%H%M%S}"
    name = f"<family>{escape(ecg.family)}</family><given>{escape(ecg.given)}</given>"
    beat = f"""<derivation><derivedSeries>
<code code="REPRESENTATIVE_BEAT" codeSystem="2.16.840.1.113883.5.4"/>
{_aecg_leads(ecg, ecg.beat, "TIME_RELATIVE", '<head value="0" unit="s"/>')}
</derivedSeries></derivation>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">
<id root="{ecg.patient_id}-{at}"/>
<code code="93000" codeSystem="2.16.840.1.113883.6.12" codeSystemName="CPT-4"/>
<effectiveTime><center value="{at}"/></effectiveTime>
<componentOf><timepointEvent><componentOf><subjectAssignment>
<subject><trialSubject><id root="1.2.3" extension="{escape(ecg.patient_id)}"/>
<subjectDemographicPerson><name>{name}</name>
<administrativeGenderCode code="{ecg.sex}" codeSystem="2.16.840.1.113883.5.1"/>
<birthTime value="{ecg.born:%Y%m%d}"/></subjectDemographicPerson></trialSubject></subject>
<componentOf><clinicalTrial><id root="1.2.4" extension="T"/><location><trialSite><location>
<name>{escape(ecg.institution)}</name></location></trialSite></location></clinicalTrial></componentOf>
</subjectAssignment></componentOf></timepointEvent></componentOf>
<component><series><code code="RHYTHM" codeSystem="2.16.840.1.113883.5.4"/>
<effectiveTime><low value="{at}"/></effectiveTime>
<author><seriesAuthor><manufacturedSeriesDevice><id extension="{escape(ecg.serial)}"/>
<manufacturerModelName>{escape(ecg.model)}</manufacturerModelName>
<softwareName>{escape(ecg.software)}</softwareName></manufacturedSeriesDevice>
<manufacturerOrganization><name>{escape(ecg.manufacturer)}</name></manufacturerOrganization>
</seriesAuthor></author>
{_aecg_filters()}
{_aecg_leads(ecg, ecg.samples, "TIME_ABSOLUTE", f'<head value="{at}"/>')}
<subjectOf><annotationSet><activityTime value="{at}"/>{_aecg_annotations(ecg)}</annotationSet></subjectOf>
{beat}</series></component></AnnotatedECG>
""".encode()  # noqa: E501


def _aecg_filters() -> str:
    """0.05 to 150 Hz and a notch at 50 Hz."""
    found = ""
    kinds = (
        ("LOW_PASS", "CUTOFF", "150"),
        ("HIGH_PASS", "CUTOFF", "0.05"),
        ("NOTCH", "NOTCH", "50"),
    )
    for kind, which, hertz in kinds:
        filter_ = f"MDC_ECG_CTL_VBL_ATTR_FILTER_{kind}"
        frequency = f"MDC_ECG_CTL_VBL_ATTR_FILTER_{which}_FREQ"
        found += (
            f'<controlVariable><controlVariable><code code="{filter_}" {_MDC}/><component>'
            f'<controlVariable><code code="{frequency}" {_MDC}/><value xsi:type="PQ" '
            f'value="{hertz}" unit="Hz"/></controlVariable></component></controlVariable>'
            "</controlVariable>"
        )
    return found


def _aecg_leads(ecg: Ecg, samples: NDArray[np.int16], clock: str, head: str) -> str:
    listed = "GLIST_TS" if clock == "TIME_ABSOLUTE" else "GLIST_PQ"
    found = [
        f'<component><sequence><code code="{clock}" codeSystem="2.16.840.1.113883.5.4"/>'
        f'<value xsi:type="{listed}">{head}<increment value="{1 / ecg.rate:g}" unit="s"/></value>'
        "</sequence></component>"
    ]
    for name, lead in zip(LEADS, samples.T, strict=True):
        digits = " ".join(map(str, lead.tolist()))
        found.append(
            f'<component><sequence><code code="MDC_ECG_LEAD_{name.upper()}" {_MDC}/>'
            f'<value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/>'
            f'<scale value="{ecg.step:g}" unit="uV"/><digits>{digits}</digits></value>'
            "</sequence></component>"
        )
    return f"<component><sequenceSet>{''.join(found)}</sequenceSet></component>"


def _aecg_annotations(ecg: Ecg) -> str:
    measured = (
        ("MDC_ECG_HEART_RATE", ecg.heart_rate, "/min"), ("MDC_ECG_TIME_PD_RR", ecg.rr, "ms"),
        ("MDC_ECG_TIME_PD_PR", ecg.pr, "ms"), ("MDC_ECG_TIME_PD_P", ecg.p_duration, "ms"),
        ("MDC_ECG_TIME_PD_QRS", ecg.qrs, "ms"), ("MDC_ECG_TIME_PD_QT", ecg.qt, "ms"),
        ("MDC_ECG_TIME_PD_QTcB", ecg.qtc, "ms"), ("MDC_ECG_ANGLE_P_FRONT", ecg.p_axis, "deg"),
        ("MDC_ECG_ANGLE_QRS_FRONT", ecg.qrs_axis, "deg"),
        ("MDC_ECG_ANGLE_T_FRONT", ecg.t_axis, "deg"),
    )  # fmt: skip
    found = "".join(
        f'<component><annotation><code code="{code}" {_MDC}/>'
        f'<value xsi:type="PQ" value="{value}" unit="{unit}"/></annotation></component>'
        for code, value, unit in measured
    )
    found += "".join(_aecg_lead(ecg, lead) for lead in LEADS)
    said = "".join(
        f'<component><annotation><code code="MDC_ECG_INTERPRETATION_STATEMENT" {_MDC}/>'
        f'<value xsi:type="ST">{escape(text)}</value></annotation></component>'
        for text in ecg.statements
    )
    return (
        f'{found}<component><annotation><code code="MDC_ECG_INTERPRETATION" {_MDC}/>'
        f"{said}</annotation></component>"
    )


def _aecg_lead(ecg: Ecg, lead: str) -> str:
    """Measurements of one lead, which a boundary names."""
    names = {
        "QRS": "TIME_PD_QRS", "QT": "TIME_PD_QT", "R duration": "TIME_PD_R_1",
        "S duration": "TIME_PD_S_1", "R": "AMPL_R", "S": "AMPL_S", "T+": "AMPL_T_MAX",
    }  # fmt: skip
    of = (
        "<support><supportingROI><component><boundary>"
        f'<code code="MDC_ECG_LEAD_{lead.upper()}" {_MDC}/></boundary></component>'
        "</supportingROI></support>"
    )
    return "".join(
        f'<component><annotation><code code="MDC_ECG_{names[name]}" {_MDC}/>'
        f'<value xsi:type="PQ" value="{value}" unit="{"ms" if "TIME" in names[name] else "uV"}"/>'
        f"{of}</annotation></component>"
        for name, value in ecg.measured(lead).items()
    )


def muse(ecg: Ecg) -> bytes:
    """A resting ECG as GE MUSE exports it: eight leads, coded in base 64, with their checksums.

    >>> from dicomlake.testing.ecgfiles import made
    >>> muse(made(1)).count(b"<LeadID>")
    16
    """
    at = ecg.moment
    said = "".join(
        "<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag>"
        f"<StmtText>{escape(text)}</StmtText></DiagnosisStatement>"
        for text in ecg.statements
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG>
<MuseInfo><MuseVersion>9.0.9</MuseVersion></MuseInfo>
<PatientDemographics><PatientID>{escape(ecg.patient_id)}</PatientID>
<PatientAge>{ecg.age}</PatientAge><AgeUnits>YEARS</AgeUnits>
<DateofBirth>{ecg.born:%m-%d-%Y}</DateofBirth>
<Gender>{"MALE" if ecg.sex == "M" else "FEMALE"}</Gender>
<PatientLastName>{escape(ecg.family)}</PatientLastName>
<PatientFirstName>{escape(ecg.given)}</PatientFirstName></PatientDemographics>
<TestDemographics><DataType>RESTING</DataType><SiteName>{escape(ecg.institution)}</SiteName>
<AcquisitionDevice>{escape(ecg.model)}</AcquisitionDevice><Status>UNCONFIRMED</Status>
<AcquisitionTime>{at:%H:%M:%S}</AcquisitionTime><AcquisitionDate>{at:%m-%d-%Y}</AcquisitionDate>
<AcquisitionSoftwareVersion>{escape(ecg.software)}</AcquisitionSoftwareVersion></TestDemographics>
<RestingECGMeasurements><VentricularRate>{ecg.heart_rate}</VentricularRate>
<PRInterval>{ecg.pr}</PRInterval><QRSDuration>{ecg.qrs}</QRSDuration>
<QTInterval>{ecg.qt}</QTInterval><QTCorrected>{ecg.qtc}</QTCorrected>
<PAxis>{ecg.p_axis}</PAxis><RAxis>{ecg.qrs_axis}</RAxis><TAxis>{ecg.t_axis}</TAxis>
<ECGSampleBase>{ecg.rate}</ECGSampleBase><ECGSampleExponent>0</ECGSampleExponent>
</RestingECGMeasurements>
<Diagnosis><Modality>RESTING</Modality>{said}</Diagnosis>
<QRSTimesTypes><GlobalRR>{ecg.rr}</GlobalRR></QRSTimesTypes>
{_muse_waveform(ecg, "Median", ecg.beat)}
{_muse_waveform(ecg, "Rhythm", ecg.samples)}
</RestingECG>
""".encode("iso-8859-1")


def _muse_waveform(ecg: Ecg, kind: str, samples: NDArray[np.int16]) -> str:
    leads = []
    for name in STORED:
        data = samples[:, LEADS.index(name)].astype("<i2").tobytes()
        text = base64.encodebytes(data).decode("ascii")
        leads.append(
            f"<LeadData><LeadByteCountTotal>{len(data)}</LeadByteCountTotal>"
            f"<LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{len(samples)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{ecg.step:g}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{name}</LeadID>"
            f"<LeadSampleSize>2</LeadSampleSize>"
            f"<LeadDataCRC32>{zlib.crc32(data)}</LeadDataCRC32>"
            f"<WaveFormData>{text}</WaveFormData></LeadData>"
        )
    return (
        f"<Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>{len(leads)}</NumberofLeads>"
        f"<SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>{ecg.rate}</SampleBase>"
        "<SampleExponent>0</SampleExponent><HighPassFilter>5</HighPassFilter>"
        f"<LowPassFilter>150</LowPassFilter><ACFilter>50</ACFilter>{''.join(leads)}</Waveform>"
    )


def sierra(ecg: Ecg, *, compressed: bool = True, encoding: str = "utf-16") -> bytes:
    """A Philips Sierra 1.04 document, its rhythm compressed by XLI or plain in base 64.

    >>> from dicomlake.testing.ecgfiles import made
    >>> len(sierra(made(1))) < len(sierra(made(1), compressed=False))
    True
    """
    at, count = ecg.moment, len(ecg.samples)
    leads = " ".join(LEADS)
    if compressed:
        data, how = xli(ecg.samples), 'compression="XLI"'
    else:
        data, how = ecg.samples.T.astype("<i2").tobytes(), 'compression="Uncompressed"'
    beats = "".join(
        f'<repbeat leadname="{name}"><waveform duration="{BEAT_MS}">{_base64(lead.astype("<i2"))}'
        "</waveform></repbeat>"
        for name, lead in zip(LEADS, ecg.beat.T, strict=True)
    )
    said = "".join(
        "<statement><statementcode/>"
        f"<leftstatement>{escape(text)}</leftstatement><rightstatement/></statement>"
        for text in ecg.statements
    )
    return f"""<?xml version="1.0" encoding="{encoding}"?>
<restingecgdata xmlns="http://www3.medical.philips.com">
<documentinfo><documenttype>PhilipsECG</documenttype><documentversion>1.04</documentversion></documentinfo>
<dataacquisition date="{at:%Y-%m-%d}" time="{at:%H:%M:%S}" statflag="False">
<machine machineid="{escape(ecg.serial)}" detaildescription="{escape(ecg.manufacturer)}:1:{escape(ecg.software)}">{escape(ecg.model)}</machine>
<acquirer><institutionname>{escape(ecg.institution)}</institutionname></acquirer>
<signalcharacteristics><samplingrate>{ecg.rate}</samplingrate><resolution>{ecg.step:g}</resolution>
<hipass>0.05</hipass><lowpass>150</lowpass><acsetting>50</acsetting>
<notchfiltered>True</notchfiltered><notchfilterfreqs>50</notchfilterfreqs>
<acquisitiontype>STD-12</acquisitiontype><bitspersample>16</bitspersample>
<signaloffset>0</signaloffset><signalsigned>True</signalsigned>
<numberchannelsallocated>12</numberchannelsallocated><numberchannelsvalid>12</numberchannelsvalid>
</signalcharacteristics></dataacquisition>
<patient><generalpatientdata><patientid>{escape(ecg.patient_id)}</patientid>
<name><lastname>{escape(ecg.family)}</lastname><firstname>{escape(ecg.given)}</firstname></name>
<age><dateofbirth>{ecg.born:%Y-%m-%d}</dateofbirth></age><pacestatus>Unknown</pacestatus>
<sex>{"Male" if ecg.sex == "M" else "Female"}</sex></generalpatientdata></patient>
<internalmeasurements date="{at:%Y-%m-%d}" time="{at:%H:%M:%S}"><leadmeasurements>{"".join(_sierra_lead(ecg, lead) for lead in LEADS)}</leadmeasurements></internalmeasurements>
<interpretations><interpretation date="{at:%Y-%m-%d}" time="{at:%H:%M:%S}"><globalmeasurements>
<heartrate>{ecg.heart_rate}</heartrate><rrint>{ecg.rr}</rrint><pdur>{ecg.p_duration}</pdur>
<print>{ecg.pr}</print><qonset>{QRS_AT_MS}</qonset><qrsdur>{ecg.qrs}</qrsdur><qtint>{ecg.qt}</qtint>
<qtcb>{ecg.qtc}</qtcb><pfrontaxis>{ecg.p_axis}</pfrontaxis><qrsfrontaxis>{ecg.qrs_axis}</qrsfrontaxis>
<tfrontaxis>{ecg.t_axis}</tfrontaxis></globalmeasurements>{said}</interpretation></interpretations>
<waveforms><parsedwaveforms dataencoding="Base64" {how} numberofleads="12" leadlabels="{leads}" durationperchannel="{count * 1000 // ecg.rate}" samplespersecond="{ecg.rate}" resolution="{ecg.step:g}" signaloffset="0" signalsigned="True" bitspersample="16" hipass="0.05" lowpass="150" notchfiltered="True" notchfilterfreqs="50">{base64.encodebytes(data).decode("ascii")}</parsedwaveforms>
<repbeats dataencoding="Base64" samplespersec="{ecg.rate}" resolution="{ecg.step:g}">{beats}</repbeats></waveforms>
</restingecgdata>
""".encode(encoding)  # noqa: E501


def _sierra_lead(ecg: Ecg, lead: str) -> str:
    """Measurements of one lead; a wave that is not there has 0 ms."""
    said = {"QRS": "qrsdur", "QT": "qtint", "R duration": "rdur", "S duration": "sdur",
            "R": "ramp", "S": "samp", "T+": "tamp"}  # fmt: skip
    values = {said[name]: value for name, value in ecg.measured(lead).items()}
    values |= {"qamp": 0, "qdur": 0, "tdur": 160}
    texts = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return f'<leadmeasurement leadname="{lead}">{texts}</leadmeasurement>'


def _base64(samples: NDArray[np.int16]) -> str:
    return base64.encodebytes(samples.tobytes()).decode("ascii")


def xli(samples: NDArray[np.int16]) -> bytes:
    """Samples x twelve leads in Philips' XLI: one chunk a lead, four limb leads as remainders."""
    leads = [lead.astype(np.int64) for lead in samples.T]
    one, two, three = leads[:3]
    leads[2] = two - one - three
    leads[3] = -leads[3] - (one + two) // 2
    leads[4] = (one - three) // 2 - leads[4]
    leads[5] = (two + three) // 2 - leads[5]
    return b"".join(map(_chunk, leads))


def _chunk(lead: NDArray[np.int64]) -> bytes:
    """Second differences, high bytes before low bytes, in a dictionary of 10 bits."""
    # z[n] = 2 z[n-1] - z[n-2] - (code[n-1] - 64), and `first` where no code came before
    wanted = (2 * lead[1:-1] - lead[:-2] - lead[2:]).tolist()
    first = wanted[0] if wanted else 0
    codes = [int(lead[0]), int(lead[1]), *(value + 64 for value in wanted[1:]), 64]
    words = np.array(codes[: lead.size], dtype=np.int64).astype("<u2")
    body = lzw((words >> 8).astype(np.uint8).tobytes() + (words & 0xFF).astype(np.uint8).tobytes())
    return len(body).to_bytes(4, "little") + b"\1\0" + (first & 0xFFFF).to_bytes(2, "little") + body


def lzw(data: bytes, bits: int = 10) -> bytes:
    """Bytes as codes of a dictionary that grows until its codes run out, then stays.

    >>> lzw(b"aaaa").hex()
    '18500187ff'
    """
    table = {bytes([value]): value for value in range(256)}
    codes, word = [], b""
    for value in data:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) <= (1 << bits) - 2:
            table[longer] = len(table)
        word = bytes([value])
    codes.append(table[word])
    return _packed([*codes, (1 << bits) - 1], bits)


def _packed(codes: Iterable[int], bits: int) -> bytes:
    text = "".join(f"{code:0{bits}b}" for code in codes)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
