"""dicomlake: an open imaging data lake for hospitals and research consortia."""

__version__ = "0.1.0"
