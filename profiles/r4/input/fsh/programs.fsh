// Programs that look at images, and what they leave on record.

Profile: Program
Parent: Device
Id: program
Title: "Program"
Description: "A program that says something of images: its name and its versions."
* deviceName 1..*
* deviceName.type = #user-friendly-name
* version.value 1..1
* manufacturer 0..1
* serialNumber 0..0
* patient 0..0

Profile: ProgramRun
Parent: Provenance
Id: program-run
Title: "Run of a program"
Description: "Which resources a program made, when, and of which study."
* target 1..*
* target only Reference(BodyStructure or Observation or ImagingStudy or DiagnosticReport)
* recorded 1..1
* agent 1..1
* agent.type 1..1
* agent.who only Reference(Device)
* entity 1..1
* entity.role = #source
* entity.what only Reference(ImagingStudy)
