CodeSystem: Dicomlake
Id: dicomlake
Title: "What dicomlake says of structures"
Description: "Whether a structure is whole in the images that it was measured in."
* ^caseSensitive = true
* ^experimental = false
* #complete "Whole structure in the field of view"
* #cut-off "Cut off by the field of view"

Profile: DicomlakeStudy
Parent: ImagingStudy
Id: dicomlake-study
Title: "A study of a lake"
Description: "A study with its Study Instance UID, counts as they are seen, and a modality of PS3.16 CID 33 in every series."
* identifier 1..
* identifier.system 1..
* identifier.value 1..
* status = #available
* numberOfSeries 1..
* numberOfInstances 1..
* series 1..
* series.uid 1..
* series.modality.system 1..
* series.modality.code 1..

Profile: DicomlakeVolume
Parent: Observation
Id: dicomlake-volume
Title: "The volume of a structure"
Description: "The volume of a structure in a picture, by the program that measured it; mean Hounsfield number and completeness are components."
* identifier 1..1
* identifier.system 1..
* identifier.value 1..
* status = #final
* category 1..
* subject 1..
* partOf 1..
* value[x] only Quantity
* valueQuantity 1..
* valueQuantity.system = "http://unitsofmeasure.org"
* valueQuantity.code = #mL
* bodySite 1..
* device 1..

Profile: DicomlakeStructure
Parent: BodyStructure
Id: dicomlake-structure
Title: "A structure in a series"
Description: "A structure of a body that a program sees in a series; its side stands apart from its code."
* identifier 1..1
* identifier.system 1..
* identifier.value 1..
* location 1..
* location.text 1..

Profile: DicomlakeDose
Parent: Observation
Id: dicomlake-dose
Title: "The dose that a document tells"
Description: "Doses of a radiation dose report, one component each, and its events as members."
* identifier 1..1
* code.coding 1..
* subject 1..
* partOf 1..
* component 1..
