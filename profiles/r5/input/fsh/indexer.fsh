// The profiles of the CT indexer of Kiel (0.1.0, draft), as far as they ask something, in words of
// ours. In the published source, Provenance names the profile of the study with its prefix twice,
// which no compiler resolves; here it is the profile that is there.

Alias: $sct = http://snomed.info/sct
Alias: $dcm = http://dicom.nema.org/resources/ontology/DCM

Profile: ImpetusCTIndexerPatient
Parent: Patient
Title: "Patient of the CT indexer"
Description: "A patient without a name."
* name 0..0

Profile: ImpetusCTIndexerImagingStudy
Parent: ImagingStudy
Title: "Study of the CT indexer"
Description: "A study of CT series, each with the moment it started."
* subject only Reference(ImpetusCTIndexerPatient)
* series.started 1..1
* series.modality = $dcm#CT

Profile: ImpetusCTIndexerBodyStructure
Parent: BodyStructure
Title: "Structures that the CT indexer found"
Description: "Structures of one series."
* includedStructure.structure from ImpetusCTIndexerBodyStructures (required)
* patient only Reference(ImpetusCTIndexerPatient)

Profile: ImpetusCTIndexerDevice
Parent: Device
Title: "Program of the CT indexer"
Description: "The program that segmented."

Profile: ImpetusCTIndexerProvenance
Parent: Provenance
Title: "Run of the CT indexer"
Description: "Which structures were found, when, by which program, in which study."
* recorded 1..1
* target only Reference(ImpetusCTIndexerBodyStructure)
* patient only Reference(ImpetusCTIndexerPatient)
* agent.who only Reference(ImpetusCTIndexerDevice)
* entity.what only Reference(ImpetusCTIndexerImagingStudy)

ValueSet: ImpetusCTIndexerBodyStructures
Title: "Structures of the CT indexer"
Description: "Codes of SNOMED CT that the structures of the CT indexer have."
* ^experimental = false
* $sct#206007
* $sct#266005
* $sct#1626008
* $sct#2748008
* $sct#5329002
* $sct#5953002
* $sct#7610001
* $sct#9846003
* $sct#10200004
* $sct#11068009
* $sct#11994002
* $sct#12003004
* $sct#12691009
* $sct#12738006
* $sct#12989004
* $sct#14293000
* $sct#14806007
* $sct#15339008
* $sct#15776009
* $sct#15825003
* $sct#18639004
* $sct#22565002
* $sct#23215003
* $sct#24915002
* $sct#25523003
* $sct#25888004
* $sct#28231008
* $sct#29392005
* $sct#29700009
* $sct#30315005
* $sct#32849002
* $sct#36054005
* $sct#36470004
* $sct#36978003
* $sct#38848004
* $sct#39976000
* $sct#41216001
* $sct#41224006
* $sct#42400003
* $sct#43993008
* $sct#44567001
* $sct#44714003
* $sct#44947003
* $sct#45296009
* $sct#48345005
* $sct#48535007
* $sct#49668003
* $sct#50016007
* $sct#53603007
* $sct#53733008
* $sct#56401006
* $sct#56873002
* $sct#58830002
* $sct#59558009
* $sct#62487009
* $sct#64131007
* $sct#64864005
* $sct#66794005
* $sct#69695003
* $sct#69748006
* $sct#71854001
* $sct#72481006
* $sct#73071006
* $sct#74281007
* $sct#75297007
* $sct#77644006
* $sct#78247007
* $sct#78961009
* $sct#80891009
* $sct#81040000
* $sct#82687006
* $sct#85235006
* $sct#87391001
* $sct#89545001
* $sct#89546000
* $sct#89837001
* $sct#110765007
* $sct#113205007
* $sct#113263003
* $sct#181668001
* $sct#277930000
* $sct#287579007
* $sct#287679003
* $sct#699698002
* $sct#719460003
* $sct#719461004
* $sct#719627005
* $sct#719628000
* $sct#720616002
* $sct#720617006
* $sct#721033002
* $sct#721035009
* $sct#721077009
* $sct#722223000
* $sct#722738000
* $sct#764118005
* $sct#764119002
* $sct#771203001
* $sct#1236872009
* $sct#1236873004
* $sct#1240432004
* $sct#1259955007
* $sct#1259956008
* $sct#1259958009
* $sct#1259959001
