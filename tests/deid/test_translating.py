"""The translator runs a real model: a tiny one with random weights, so its words mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicomlake.deid.translating import Ctranslate2Translator, translated

ctranslate2 = pytest.importorskip("ctranslate2", reason="the package ctranslate2 is not installed")
pieces = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")

WIDTH = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    pieces.SentencePieceTrainer.train(
        sentence_iterator=iter(["no mass in the lung . the liver is normal ."] * 50),
        model_prefix=str(made / "sentencepiece"), vocab_size=40, model_type="char",
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    processor = pieces.SentencePieceProcessor(model_file=str(made / "sentencepiece.model"))
    listed = [processor.id_to_piece(n) for n in range(processor.get_piece_size())]
    _spec(["<blank>", *listed]).save(str(made))
    return made


def _spec(vocabulary: list[str]) -> Any:
    spec = ctranslate2.specs.TransformerSpec.from_config(num_layers=1, num_heads=2)
    chance, size = np.random.default_rng(1), len(vocabulary)
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)

    def linear(layer: Any, rows: int, columns: int = WIDTH) -> None:
        layer.weight = chance.normal(size=(rows, columns)).astype(np.float32)
        layer.bias = np.zeros(rows, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    for side in (spec.encoder, spec.decoder):
        norm(side.layer_norm)
        for layer in side.layer:
            linear(layer.self_attention.linear[0], 3 * WIDTH)
            linear(layer.self_attention.linear[1], WIDTH)
            linear(layer.ffn.linear_0, 2 * WIDTH)
            linear(layer.ffn.linear_1, WIDTH, 2 * WIDTH)
            norm(layer.self_attention.layer_norm)
            norm(layer.ffn.layer_norm)
    attention = spec.decoder.layer[0].attention
    for layer, rows in zip(attention.linear, (WIDTH, 2 * WIDTH, WIDTH), strict=True):
        linear(layer, rows)
    norm(attention.layer_norm)
    for table in (*spec.encoder.embeddings, spec.decoder.embeddings):
        table.weight = chance.normal(size=(size, WIDTH)).astype(np.float32)
    linear(spec.decoder.projection, size)
    spec.validate()
    return spec


def test_each_line_is_translated_and_marks_stay(folder: Path) -> None:
    made = translated("[NAME] no mass\n\n  the liver on [DATE]", Ctranslate2Translator(folder))
    first, second, third = made.split("\n")
    assert first.startswith("[NAME]")
    assert second == ""
    assert third.startswith("  ")
    assert third.count("[DATE]") == 1


def test_the_model_answers_each_line(folder: Path) -> None:
    lines = ["the liver", "", "no mass", "normal", "in the lung . the liver is normal ."]
    made = Ctranslate2Translator(folder).translate(lines)
    assert len(made) == len(lines)
    assert made[1] == ""
    assert any(made)


def test_the_end_of_sentences_is_added_unless_the_model_does(folder: Path) -> None:
    config = folder / "config.json"
    plain = Ctranslate2Translator(folder).translate(["the liver"])
    kept = config.read_text(encoding="utf-8")
    config.write_text(json.dumps({**json.loads(kept), "add_source_eos": True}), encoding="utf-8")
    assert Ctranslate2Translator(folder).translate(["the liver"]) == plain
    config.write_text(kept, encoding="utf-8")
