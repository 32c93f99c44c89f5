"""Converters: files of other formats made into DICOM objects."""
