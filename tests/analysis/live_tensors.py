"""Counts what a step really holds: the bytes of all tensors that are alive, after every operation of torch."""

from __future__ import annotations

import weakref
from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, LlamaConfig

from ropewalk.data.collate import collate
from ropewalk.train.objective import training_forward
from ropewalk.train.tiled import tile_mlps

CHUNK = 512  # rows


class LiveTensors(TorchDispatchMode):
    """Within, `peak` is the most that tensors made inside have held at one time, bytes."""

    def __init__(self, before):
        super().__init__()
        self.live = self.peak = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in before}

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage._cdata)
                self.live += storage.nbytes()
                weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return made

    def _freed(self, key, size):
        self.known.discard(key)
        self.live -= size


def peak_of_step(shape, window, *, checkpointing, chunked, dtype, autocast=False):
    """Bytes of forward and backward of one window, without weights and gradients."""
    model = llama(shape, window).to(dtype)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    ids = torch.zeros((1, window), dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    before = [tensor for parameter in model.parameters() for tensor in (parameter, parameter.grad)]
    with LiveTensors(before) as live:
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            loss = _chunked_loss(model, inputs, ids) if chunked else model(**inputs, labels=ids).loss
        loss.backward()
    return live.peak


def peak_of_our_step(shape, window, *, tile):
    """The same of a step as ropewalk trains: float32, activation checkpointing, loss in chunks, tiled MLPs."""
    model = llama(shape, window)
    model.train()
    model.activation_checkpointing_enable()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    tokens = torch.arange(window) % shape.vocabulary
    same = {"input_ids": tokens, "labels": tokens, "position_ids": torch.arange(window)}
    batch = collate([{**same, "segment_ids": torch.zeros(window, dtype=torch.long)}])
    before = [tensor for parameter in model.parameters() for tensor in (parameter, parameter.grad)]
    with (
        tile_mlps(model, tile),
        training_forward(model, fused=True, restoration=None),
        LiveTensors(before) as live,
    ):
        loss, _ = model(**batch)
        loss.backward()
    return live.peak


def _chunked_loss(model, inputs, ids):
    rows = model.model(**inputs).last_hidden_state[0, :-1]
    weight = model.lm_head.weight.to(rows.dtype)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=CHUNK)
    return torch.nn.functional.linear_cross_entropy(rows, weight, ids[0, 1:], options=options)


def llama(shape, window):
    return AutoModelForCausalLM.from_config(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            max_position_embeddings=window,
            tie_word_embeddings=shape.tied,
        )
    )
