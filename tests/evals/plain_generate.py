"""Retrieval as anyone would write it: transformers' `generate` on whole prompts, and scores of the whole texts.

And small models and a tokenizer to compare it on.
"""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import torch
from evals_models import tiny_llama
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from ropewalk import adapters

METHODS = ["none", "linear", "yarn", "abf", "entropy-abf"]


def extended(model, method: str, target: int):
    if method != "none":
        adapters.extend_model(model, method, target)
    return model


def letters_tokenizer():
    vocabulary = {character: number for number, character in enumerate([*"0123abcdefgh", "<end>"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", clean_up_tokenization_spaces=False)


def small_model(**changes):
    """Random, over 13 tokens, so that chance gives every score; four layers, because two may be exempt from a scale."""
    sizes = {"vocab_size": 13, "spread": 0.5, "eos_token_id": 12, "hidden_size": 64, "num_hidden_layers": 4}
    return tiny_llama(**{**sizes, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, **changes})


def scores_by_generate(model, tokenizer, contexts, *, scoring, new_tokens, use_cache=True) -> list[list[float]]:
    """Greedy text of every prompt, scored when it is complete. Prompts of one length go through one call."""
    prompts = [
        (row, number, np.concatenate([context.context, question.prompt]))
        for row, context in enumerate(contexts)
        for number, question in enumerate(context.questions)
    ]
    by_length = defaultdict(list)
    for prompt in prompts:
        by_length[len(prompt[2])].append(prompt)
    scores = [[float("nan")] * len(context.questions) for context in contexts]
    for length, group in by_length.items():
        tokens = torch.as_tensor(np.stack([prompt for _, _, prompt in group]))
        with torch.no_grad():
            output = model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=new_tokens,
                do_sample=False,
                use_cache=use_cache,
                pad_token_id=model.generation_config.eos_token_id or 0,
            )
        for (row, number, _), written in zip(group, output[:, length:].tolist(), strict=True):
            text = tokenizer.decode(written, skip_special_tokens=True)
            scores[row][number] = plain_score(text, contexts[row].questions[number], scoring)
    return scores


def plain_score(text: str, question, scoring: str) -> float:
    if scoring in ("first-number", "number-at-once"):
        found = re.search("[0-9]+" if scoring == "first-number" else r"^\s*([0-9]+)", text)
        return float(found is not None and int(found.group()) == int(question.answer_text))
    hits = [reference.lower() in text.lower() for reference in question.expected]
    return sum(hits) / len(hits) if scoring == "all-references" else float(any(hits))
