"""Translating what is de-identified already, with a model of the site; nothing is downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicomlake.contracts.texts import Translator
from dicomlake.deid.text import MARKS
from dicomlake.errors import UsageError

_MARK = re.compile("|".join(map(re.escape, MARKS.values())))
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+")


class Ctranslate2Translator:
    """A model of CTranslate2 with its SentencePiece vocabularies, in one folder.

    The folder holds `model.bin` with its vocabularies, and `source.spm` and `target.spm`, or one
    `sentencepiece.model` for both. The packages ctranslate2 and sentencepiece are not installed
    with dicomlake.
    """

    def __init__(self, folder: Path) -> None:
        ctranslate2, pieces = _package("ctranslate2"), _package("sentencepiece")
        both = folder / "sentencepiece.model"
        source = both if both.exists() else folder / "source.spm"
        target = both if both.exists() else folder / "target.spm"
        for path in (folder / "model.bin", source, target):
            if not path.is_file():
                raise UsageError(
                    f"The folder of the translation model has no {path.name}. Convert a model with "
                    "ct2-transformers-converter, and put the SentencePiece models beside it."
                )
        self._source = pieces.SentencePieceProcessor(model_file=str(source))
        self._target = pieces.SentencePieceProcessor(model_file=str(target))
        self._end = [] if _ends_itself(folder / "config.json") else ["</s>"]
        self._model = ctranslate2.Translator(str(folder), device="cpu")

    def translate(self, lines: Sequence[str]) -> list[str]:
        """Each line in the other language, sentence by sentence."""
        sentences = [_SENTENCE.split(line) if line.strip() else [] for line in lines]
        every = [
            [*self._source.encode(one, out_type=str), *self._end]
            for line in sentences
            for one in line
        ]
        results = iter(self._model.translate_batch(every) if every else ())
        return [" ".join(self._decoded(next(results)) for _ in line) for line in sentences]

    def _decoded(self, result: Any) -> str:
        return str(self._target.decode(result.hypotheses[0]))


def translated(text: str, translator: Translator) -> str:
    """A cleaned text in the other language, with all its marks and lines.

    A line whose marks do not come back is translated in parts, between the marks.
    """
    lines = text.split("\n")
    made = translator.translate([line.strip() for line in lines])
    found = []
    for old, new in zip(lines, made, strict=True):
        if sorted(_MARK.findall(old)) != sorted(_MARK.findall(new)):
            new = _between_marks(old, translator)
        found.append(old[: len(old) - len(old.lstrip())] + new)
    return "\n".join(found)


def _between_marks(line: str, translator: Translator) -> str:
    parts = _MARK.split(line.strip())
    marks = [*_MARK.findall(line), ""]
    made = translator.translate([part.strip() for part in parts])
    joined = []
    for old, new, mark in zip(parts, made, marks, strict=True):
        before, after = old[:1].isspace(), old[-1:].isspace()
        joined.append((" " if before else "") + new.strip() + (" " if after and new else "") + mark)
    return "".join(joined)


def _ends_itself(config: Path) -> bool:
    """Whether the model adds the end of a sentence itself, as its config says."""
    try:
        return bool(json.loads(config.read_text(encoding="utf-8")).get("add_source_eos"))
    except (OSError, ValueError):
        return False


def _package(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"Translating needs the package {name}. Install it with: pip install {name}"
        ) from error
