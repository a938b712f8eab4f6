"""Trains tiny models on one process or on several, and writes their losses and weights down.

    python several_processes.py OUTPUT
    torchrun --nproc-per-node 2 several_processes.py OUTPUT

Every run is made in two ways: `ddp` through Trainer, and `fsdp2` with fully_shard on a gloo mesh.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, LlamaConfig

from ropewalk import adapters, methods, positions
from ropewalk.adapters.config import loaded_config
from ropewalk.data.collate import collate
from ropewalk.data.gaps import GapWeights
from ropewalk.data.store import TokenStore
from ropewalk.data.windows import TextStretches, TrainingWindows
from ropewalk.train import trainer
from ropewalk.train.objective import training_forward
from ropewalk.train.processes import data_parallel_size, is_first, process_state
from ropewalk.train.settings import TrainSettings
from ropewalk.train.tiled import tile_mlps

TRAINED, TARGET, STEPS, BATCH = 32, 128, 6, 4
CHOICES = {  # method, sampler
    "contiguous": ("linear", "contiguous"),
    "cream": ("yarn", "cream"),
    "entropy-abf": ("entropy-abf", "contiguous"),
    "gap": ("yarn", "cream"),
}
TILES = {"contiguous": 0, "cream": 8, "entropy-abf": 48, "gap": 0}  # tokens that an MLP takes at a time
GAPS = {"gap": GapWeights(5.0, TRAINED, repeats=True)}


def model_and_windows(choice: str, *, size: int):
    method, sampler = CHOICES[choice]
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=TRAINED,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        tie_word_embeddings=True,
    )
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    rope = loaded_config(model).rope
    adapters.extend_model(model, methods.get(method).for_target(rope, TARGET), TARGET)
    made = positions.get(sampler).with_options({})
    kinds = 4 if choice in GAPS else 64  # few, so that pairs repeat
    documents = [np.random.default_rng(n).integers(0, kinds, 90 + 70 * n) for n in range(5)]
    window = TARGET if made.trains_at_target else TRAINED
    text = TextStretches(TokenStore.of(documents), window=window, reach=TARGET, seed=0)
    return model, TrainingWindows([text], made, target_length=TARGET, size=size, seed=0, gaps=GAPS.get(choice))


def through_trainer(choice: str, output: Path) -> None:
    model, windows = model_and_windows(choice, size=STEPS * BATCH)
    settings = TrainSettings(steps=STEPS, batch=BATCH, micro_batch=1, learning_rate=3e-3, seed=0)
    with tile_mlps(model, TILES[choice]):
        record = trainer.train(model, windows, settings, output / "checkpoints")
    if is_first():
        write(output, record.losses, model.state_dict())


def through_fully_shard(choice: str, output: Path) -> None:
    """The same objective, collator and scale; a loop of its own, because accelerate makes DDP of FSDP on processors."""
    state = process_state()
    model, windows = model_and_windows(choice, size=STEPS * BATCH)
    with tile_mlps(model, TILES[choice]), training_forward(model, fused=True, restoration=None):
        if state.num_processes > 1:
            mesh = init_device_mesh("cpu", (state.num_processes,))
            for layer in model.model.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(model, mesh=mesh)
            assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = [fsdp_step(model, optimizer, windows, step) for step in range(STEPS)]
        weights = {
            name: value.full_tensor() if isinstance(value, DTensor) else value
            for name, value in model.state_dict().items()
        }
    if is_first():
        write(output, losses, weights)


def fsdp_step(model, optimizer, windows, step: int) -> float:
    """One optimizer step on the windows of this process, as many as Trainer would give it."""
    devices, rank = data_parallel_size(), process_state().process_index
    numbers = range(step * BATCH, (step + 1) * BATCH)
    whole = collate([windows[number] for number in numbers])
    items = trainer.counted_targets(whole)
    batch = collate([windows[number] for number in numbers if number % devices == rank])
    summed, _ = model(**batch)
    loss = summed * (devices / items)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    mean = loss.detach().clone()
    if devices > 1:
        distributed.all_reduce(mean)
    return float(mean / devices)


def write(output: Path, losses, weights) -> None:
    save_file({name: value.detach().clone().contiguous() for name, value in weights.items()}, output / "weights")
    (output / "losses").write_text(repr([float(loss) for loss in losses]))


if __name__ == "__main__":
    for way, train in {"ddp": through_trainer, "fsdp2": through_fully_shard}.items():
        for choice in CHOICES:
            folder = Path(sys.argv[1]) / f"{way}-{choice}"
            folder.mkdir(parents=True, exist_ok=True)
            train(choice, folder)
    if distributed.is_initialized():
        distributed.destroy_process_group()
