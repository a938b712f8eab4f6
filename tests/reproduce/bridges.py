"""A small random model with the built-in tokenizer, a few documents, and a bridge of seconds."""

from __future__ import annotations

import json
from pathlib import Path

from ropewalk import adapters
from ropewalk.adapters.load import save_model
from ropewalk.analysis.memory import Shape
from ropewalk.data.corpus import standard_library
from ropewalk.evals.certification import CertificatePlan
from ropewalk.reproduce.bridge.order import BridgeOrder, Frame, Sizes

TRAINED, TARGET = 256, 512
SMALL = Sizes(
    fewest_steps=1,
    samples=4,
    documents=4,
    fewest_documents=2,
    windows_per_document=1,
    contexts=2,
    trials=1,
    keys=8,
    certificate=CertificatePlan(tasks=("key-value",), looks=(20,), alphas=(0.05,)),
    certified=("linear",),
    train={"steps": 2, "batch": 1, "micro_batch": 1, "warmup_steps": 0, "activation_checkpointing": "off"},
    samples_train={"batch": 2, "micro_batch": 1, "activation_checkpointing": "off"},
)
PYTHIA = Shape.llama(
    layers=24, hidden=1024, intermediate=4096, heads=16, kv_heads=16, head_dim=64, vocabulary=50304, tied=False
)


def random_model(folder: Path, **changes) -> str:
    """A Qwen3 of three layers; entries of its config may be changed, `None` takes one out."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = adapters.load_tokenizer("builtin")
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=TRAINED,
        tie_word_embeddings=True,
    )
    save_model(Qwen3ForCausalLM(config), tokenizer, folder)
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    return str(folder)


def text_folder(folder: Path, *, count: int = 8, characters: int = 8000) -> str:
    """Documents of about a third as many tokens as characters."""
    folder.mkdir()
    modules = standard_library(held_out=True).documents.values()
    for number, text in zip(range(count), modules, strict=False):
        (folder / f"{number}.txt").write_text(text[:characters], "utf-8")
    return str(folder)


def order(model: str, data: str, **changes) -> BridgeOrder:
    """One seed of a small model at twice its window."""
    entries = {"target_length": TARGET, "data": (data,), "any_size": True, "quick": True} | changes
    return BridgeOrder(model, **entries)


def frame(**changes) -> Frame:
    """The frame of a model of 400 million parameters, 2,048 to 16,384 tokens; nothing of it is read or made."""
    entries = {"model": "builtin", "shape": PYTHIA, "trained_length": 2048, "target_length": 16384} | changes
    return Frame(**entries)
