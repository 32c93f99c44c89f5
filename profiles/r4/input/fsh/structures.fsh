// What a program says of structures in images, with volumes and how sure it is.

Alias: $sct = http://snomed.info/sct
Alias: $dcm = http://dicom.nema.org/resources/ontology/DCM
Alias: $ucum = http://unitsofmeasure.org
Alias: $bodySite = http://hl7.org/fhir/StructureDefinition/bodySite

Extension: Complete
Id: complete
Title: "Complete"
Description: "Whether the whole structure is in the field of view; false where the images cut it off."
Context: BodyStructure, Observation
* value[x] 1..1
* value[x] only boolean

Extension: Confidence
Id: confidence
Title: "Confidence"
Description: "How sure the program is, from 0 to 1, by its own account."
Context: BodyStructure, Observation
* value[x] 1..1
* value[x] only decimal

CodeSystem: DicomlakeCodes
Id: dicomlake
Title: "Concepts that no other code system has"
Description: "Concepts that resources of dicomlake need and no public code system has."
* ^caseSensitive = true
* ^experimental = false
* #complete "Whole structure in the field of view"
* #cut-off "Cut off by the field of view"

ValueSet: VolumeUnits
Id: volume-units
Title: "Units of volumes"
Description: "Units of UCUM that volumes of structures have."
* ^experimental = false
* $ucum#mL
* $ucum#mm3
* $ucum#cm3

Profile: StructureVolume
Parent: Observation
Id: structure-volume
Title: "Volume of a structure"
Description: "The volume of a structure that a program found in a series of images, with its mean Hounsfield number, and whether the whole structure is in the field of view."
* extension contains
    Complete named complete 0..1 and
    Confidence named confidence 0..1
* identifier 1..1
* identifier.system 1..1
* identifier.value 1..1
* partOf only Reference(ImagingStudy)
* code = $sct#118565006
* subject 1..1
* subject only Reference(Patient)
* value[x] 1..1
* value[x] only Quantity
* valueQuantity.value 1..1
* valueQuantity.system 1..1
* valueQuantity.system = $ucum
* valueQuantity.code 1..1
* valueQuantity.code from VolumeUnits (required)
* bodySite 1..1
* bodySite.extension contains $bodySite named structure 0..1
* device 1..1
* device only Reference(Device)
* component ^slicing.discriminator.type = #pattern
* component ^slicing.discriminator.path = "code"
* component ^slicing.rules = #open
* component contains mean 0..1 and complete 0..1
* component[mean].code = $dcm#112031
* component[mean].value[x] 1..1
* component[mean].value[x] only Quantity
* component[mean].valueQuantity = $ucum#[hnsf'U]
* component[complete].code = DicomlakeCodes#complete
* component[complete].value[x] 1..1
* component[complete].value[x] only boolean

Profile: FoundStructure
Parent: BodyStructure
Id: found-structure
Title: "Structure found in images"
Description: "A structure that a program found in a series of images."
* extension contains
    Complete named complete 0..1 and
    Confidence named confidence 0..1
* identifier 1..*
* identifier.system 1..1
* identifier.value 1..1
* location 1..1
* patient 1..1
