"""A benchmark of de-identification: made-up objects full of planted secrets, and their judge.

    make(folder, patients=60, seed=1)       the corpus, and the key with every check
    judge(corpus, key, cleaned, options)    scores, gates and what failed

Everything follows from the seed and VERSION. The judge shares no code with any engine: it reads
what came out with pydicom and its own few rules, and it does not care how files are called.
"""

from __future__ import annotations

from dicomlake.testing.deidbench.answers import VERSION, Check, read_key
from dicomlake.testing.deidbench.corpus import make
from dicomlake.testing.deidbench.judging import Judged, judge
from dicomlake.testing.deidbench.scores import gates, summary

__all__ = ["VERSION", "Check", "Judged", "gates", "judge", "make", "read_key", "summary"]
