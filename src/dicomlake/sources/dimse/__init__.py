"""DIMSE: DICOM's own network protocol (PS3.7, PS3.8); an archive asked, and a listener."""
