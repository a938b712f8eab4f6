"""The numbers of a training run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LoraSettings(BaseModel):
    """Low-rank adapters: the `[train.lora]` section (Hu et al., arXiv:2106.09685).

    Attributes:
        rank: Columns of the factors of each update.
        alpha: The update is multiplied by alpha / rank.
        dropout: Of the adapters' inputs.
        targets: Names of the linear modules that get adapters; `all` stands for every one but the output head.
        embeddings_and_norms: Trains these besides, as LongLoRA does (Chen et al., arXiv:2309.12307).
        quantize: Holds the frozen weights in 4 bits while training (QLoRA, arXiv:2305.14314); needs a GPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    embeddings_and_norms: bool = False
    quantize: bool = False


class GapSettings(BaseModel):
    """Targets that are told from across a gap: the `[train.gap]` section (after EXACT, arXiv:2605.10544).

    A gap is a distance in positions that the original window does not have. Which token tells a target is known of
    recall tasks, so they need `[data] recall_share`; see `ropewalk.data.gaps`.

    Attributes:
        weight: Of such a target's loss, against 1 of all others; the loss of a step is divided by the sum of weights.
        repeats: Targets of text that repeat a pair of tokens count as told by the last such pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    repeats: bool = False


class TrainSettings(BaseModel):
    """How a model is trained: the `[train]` section of a run file.

    Attributes:
        steps: Optimizer steps; 0 trains nothing.
        batch: Windows per step, over all devices.
        micro_batch: Windows per forward pass of a device; the whole batch by default.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up from zero.
        schedule: After the warm-up: `constant`, or `linear` or `cosine` decay to zero.
        weight_decay: AdamW's.
        beta1, beta2: AdamW's.
        gradient_clip: Largest gradient norm; 0 does not clip.
        precision: Of matrix products and attention, and of the weights that are saved; while they are trained, weights
            and their updates are float32, because bfloat16 loses most small updates. `auto` becomes bfloat16 where
            this machine multiplies it several times as fast, else float32; the resolved run says which.
        restoration: Weight of KL(original || trained) inside the trained window, added to the next-token loss; the
            original model is then held in memory as well.
        gap: Which targets count for more; by default all count alike.
        trainable: What is trained: `all` weights; `lora`, adapters of low rank, merged when the model is saved;
            `embeddings-norms`; or `frequencies`, the pairs' frequencies and one logit scale for each head.
        lora: The adapters, for `lora`.
        activation_checkpointing: `on` computes activations again in the backward pass instead of keeping them;
            `offload` also moves what is kept to the host's memory.
        tile: Tokens that the MLPs, and their backward passes, take at a time; 0 takes a window at once. By default
            tiles where they save memory and cost no time.
        attention: How attention is computed; by default as transformers chooses for this machine.
        compile: Compiles the model with torch.compile.
        workers: Processes that prepare windows in advance; 0 prepares them in the training process. Changes no number.
        save_every: Steps between checkpoints; a tenth of the run by default.
        evaluate_every: Steps between measurements at the target length; none by default.
        stop_when: `certified` ends the training at the first measurement whose certificate reaches the target.
        report_to: Where losses and measurements go besides: `tensorboard`, `wandb`.
        seed: Keys the order of the data, the positions and the tasks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=0, ge=0)
    batch: int = Field(default=32, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0, allow_inf_nan=False)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    restoration: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    gap: GapSettings | None = None
    trainable: Literal["all", "lora", "embeddings-norms", "frequencies"] = "all"
    lora: LoraSettings | None = None
    activation_checkpointing: Literal["off", "on", "offload"] = "off"
    tile: int | None = Field(default=None, ge=0)
    attention: Literal["auto", "sdpa", "eager", "flex_attention", "flash_attention_2"] = "auto"
    compile: bool = False
    workers: int = Field(default=0, ge=0)
    save_every: int | None = Field(default=None, ge=1)
    evaluate_every: int | None = Field(default=None, ge=1)
    stop_when: Literal["certified"] | None = None
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ()
    seed: int = Field(default=0, ge=0)
