"""The version of dicomlake."""

__version__ = "0.1.0"
