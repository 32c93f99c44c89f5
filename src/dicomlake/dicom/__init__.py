"""DICOM itself: dictionary, character sets, values and the walk over an object's bytes."""
