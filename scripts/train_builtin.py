"""Makes the built-in model: tokenizer, pre-training, the asset folder. Documented in docs/builtin-model.md.

    python scripts/train_builtin.py --output src/ropewalk/assets/builtin

Deterministic: every window is drawn from a generator keyed by (seed, window number). A killed run resumes from
`--work`. Two cores need a little over an hour.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import Dataset
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from ropewalk import adapters
from ropewalk.data import corpus, recall
from ropewalk.data.documents import encode
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.sampler import sample_generator

WINDOW = 256
DIGITS_ONLY = 64_000  # the first windows of a run learn the digits of an answer, the later ones also where it ends
VOCABULARY = 4096
BASE = 500.0
IGNORE = -100


@dataclass(frozen=True)
class Phase:
    """One learning-rate cycle: what is read, and how fast is learned."""

    number: int
    steps: int
    batch: int
    learning_rate: float
    first: float  # share of recall windows at the start
    last: float  # and at the end
    shortest_passkey: int
    repeat_share: float  # of the recall windows; the demo's recall mix holds repeats as well
    near: bool = False  # half of first questions at an end of the context, and a quarter of facts come twice at once


PHASES = (
    Phase(0, steps=6000, batch=16, learning_rate=2e-3, first=0.1, last=0.5, shortest_passkey=96, repeat_share=0.0),
    Phase(1, steps=700, batch=32, learning_rate=6e-4, first=0.5, last=0.5, shortest_passkey=200, repeat_share=0.5),
    Phase(
        2,
        steps=250,
        batch=32,
        learning_rate=2e-4,
        first=0.5,
        last=0.5,
        shortest_passkey=240,
        repeat_share=0.2,
        near=True,
    ),
)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE that splits digits, on the corpus and on enough task text to know its words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    task_text = recall.TASK_LINE + recall.GRASS + recall.PASSKEY_FACT.format(key=1) + recall.PASSKEY_QUESTION
    words = "".join(f"\n{word}=\n {word}" for word in recall.WORDS)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *[task_text] * 400, *[words] * 400], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|pad|>",
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )


class Windows(Dataset):
    """Text and recall windows of 256 tokens; the share of recall grows from `first` to `last` over the run."""

    def __init__(
        self,
        tokenizer,
        texts: list[str],
        *,
        size: int,
        seed: int,
        first: float,
        last: float,
        shortest_passkey: int = 96,
        repeat_share: float = 0.0,
        near: bool = False,
        digits_only: int = 0,
    ) -> None:
        @lru_cache(maxsize=100_000)
        def encode_text(text: str) -> np.ndarray:
            return encode(tokenizer, text)

        streams = [encode_text(text) for text in texts]
        self.streams = [stream for stream in streams if len(stream) >= WINDOW]
        weights = np.array([len(stream) - WINDOW + 1 for stream in self.streams], dtype=float)
        self.probabilities = weights / weights.sum()
        self.tokens = int(sum(len(stream) for stream in streams))
        self.size, self.seed, self.first, self.last = size, seed, first, last
        self.newline, self.digits_only = int(encode_text("\n")[0]), digits_only
        self.recall = RecallWindows(
            encode_text,
            np.concatenate(self.streams),
            WINDOW,
            shortest_passkey=shortest_passkey,
            repeat_share=repeat_share,
            fewest_asked=1 if near else 4,
            ends=0.5 if near else 0.0,
            again=0.25 if near else 0.0,
        )

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = sample_generator(self.seed, index)
        share = self.first + (self.last - self.first) * index / max(1, self.size - 1)
        if rng.random() < share:
            tokens, evidence = self.recall.draw(rng)
            supervised = evidence != recall.NOWHERE
            if index < self.digits_only:
                supervised = supervised & (tokens != self.newline)
        else:
            tokens, supervised = self.text_window(rng)
        labels = np.where(supervised, tokens, IGNORE)
        return {"input_ids": torch.from_numpy(tokens), "labels": torch.from_numpy(labels)}

    def text_window(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        stream = self.streams[rng.choice(len(self.streams), p=self.probabilities)]
        start = int(rng.integers(0, len(stream) - WINDOW + 1))
        return stream[start : start + WINDOW], np.ones(WINDOW, dtype=bool)


def run_phase(phase: Phase, model, windows: Windows, evaluation, work: Path, arguments) -> list[dict]:
    """Trains the model in place, or goes on from the last checkpoint in `work`; returns what was logged."""
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(work),
            max_steps=phase.steps,
            per_device_train_batch_size=phase.batch,
            per_device_eval_batch_size=32,
            learning_rate=phase.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=phase.steps // 30,
            adam_beta2=0.95,
            weight_decay=0.1,
            max_grad_norm=1.0,
            logging_steps=50,
            eval_strategy="steps",
            eval_steps=phase.steps // 12,
            save_steps=phase.steps // 12,
            save_total_limit=2,
            seed=arguments.seed,
            report_to=[],
            torch_compile=arguments.compile,
            train_sampling_strategy="sequential",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=windows,
        eval_dataset=evaluation,
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(work)) if work.exists() else None)
    return trainer.state.log_history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/builtin"))
    parser.add_argument("--seed", type=int, default=20240611)
    parser.add_argument("--start", type=Path, help="An earlier output: only the cycles that it has not seen are run.")
    parser.add_argument("--compile", action="store_true", help="torch.compile: 1.4 times faster where a compiler is")
    arguments = parser.parse_args()
    set_seed(arguments.seed)

    train, held_out = corpus.standard_library(held_out=False), corpus.standard_library(held_out=True)
    texts = list(train.documents.values())
    tokenizer = adapters.load_tokenizer(arguments.start) if arguments.start else train_tokenizer(texts)
    spread = {word: len(tokenizer.encode(f"{word}=")) - 1 for word in recall.WORDS}
    if max(spread.values()) > 1:
        print("words of several tokens:", [word for word, tokens in spread.items() if tokens > 1])
    held_texts = list(held_out.documents.values())
    evaluation = {
        "text": Windows(tokenizer, held_texts, size=256, seed=1, first=0.0, last=0.0),
        "recall": Windows(tokenizer, held_texts, size=256, seed=2, first=1.0, last=1.0),
    }
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=WINDOW,
        rope_parameters={"rope_type": "default", "rope_theta": BASE},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=False,
    )
    model, curve = LlamaForCausalLM(config), []
    if arguments.start:
        model = LlamaForCausalLM.from_pretrained(arguments.start, dtype=torch.float32)
        model.config.use_cache = False
        curve = json.loads((arguments.start / "training.json").read_text())["curve"]
    done = {entry["phase"] for entry in curve}
    for phase in PHASES:
        if phase.number in done:
            continue
        size = phase.steps * phase.batch
        windows = Windows(
            tokenizer, texts, size=size, seed=arguments.seed + phase.number, first=phase.first, last=phase.last,
            shortest_passkey=phase.shortest_passkey, repeat_share=phase.repeat_share, near=phase.near,
            digits_only=0 if phase.number else DIGITS_ONLY,
        )  # fmt: skip
        history = run_phase(phase, model, windows, evaluation, arguments.work / f"phase-{phase.number}", arguments)
        curve += [{"phase": phase.number, **e} for e in history if any(key.startswith("eval_") for key in e)]

    partial = arguments.output.with_name(arguments.output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.config.use_cache = True
    adapters.save_model(model.to(torch.bfloat16), tokenizer, partial)
    record = {
        "python": corpus.python_version(),
        "torch": torch.__version__,
        "training_corpus": train.fingerprint,
        "held_out_corpus": held_out.fingerprint,
        "corpus_tokens": windows.tokens,
        "phases": [dataclasses.asdict(phase) for phase in PHASES],
        "parameters": model.num_parameters(),
        "tokens_seen": sum(phase.steps * phase.batch * WINDOW for phase in PHASES),
        "seed": arguments.seed,
        "curve": curve,
    }
    (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    shutil.rmtree(arguments.output, ignore_errors=True)
    partial.rename(arguments.output)


if __name__ == "__main__":
    main()
