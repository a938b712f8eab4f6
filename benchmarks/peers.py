"""What people run today, restated plainly from the protocols of the released scripts. Nothing here is ropewalk's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from ropewalk.data.recall import RecallContext

    Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]


def labelled_loss(model: Any, tokens: Tokens, scored: int) -> float:
    """`model(ids, labels=...)`, its cache on: mean NLL of the last `scored` tokens, from the logits of all."""
    ids = torch.as_tensor(tokens[None])
    labels = ids.clone()
    labels[:, :-scored] = -100
    with torch.no_grad():
        return float(model(ids, labels=labels).loss)


def sliding_perplexity(model: Any, tokens: Tokens, window: int, stride: int) -> list[float]:
    """YaRN's perplexity script, one column: NLL in nats of the tokens that each window adds.

    The script averages windows; sums over tokens are given here, which is the weighting of PoSE's copy.
    """
    sums, known, begin = [], 1, 0
    while True:
        end = min(begin + window, len(tokens))
        new = end - known
        sums.append(labelled_loss(model, tokens[begin:end], new) * new)
        if end == len(tokens):
            return sums
        known, begin = end, begin + stride


def truncated_perplexity(model: Any, tokens: Tokens, lengths: Sequence[int]) -> list[float]:
    """YaRN's script with `--truncate`: one forward for each length; mean NLL in nats per token."""
    return [labelled_loss(model, tokens[:length], length - 1) for length in lengths]


def rolling_loglikelihood(model: Any, tokens: Tokens, window: int, start_token: int) -> list[float]:
    """lm-eval's `loglikelihood_rolling`: windows side by side, one token of context, log-softmax of whole windows."""
    sums = []
    for begin in range(0, len(tokens), window):
        targets = torch.as_tensor(tokens[begin : begin + window])
        before = start_token if begin == 0 else int(tokens[begin - 1])
        ids = torch.cat([torch.tensor([before]), targets[:-1]])
        with torch.no_grad():
            logits = model(ids[None]).logits
            scores = torch.nn.functional.log_softmax(logits, dim=-1, dtype=torch.float32)[0]
        sums.append(-float(scores.gather(1, targets[:, None]).sum()))
    return sums


def generated_answers(
    model: Any, tokenizer: Any, contexts: Sequence[RecallContext], *, use_cache: bool
) -> list[tuple[bool, list[int]]]:
    """The passkey loop of PoSE and LongRoPE (no cache), and YaRN's pipeline (cache): ten greedy tokens, first number.

    One prompt for each question, batch 1. Verdict and generated tokens of each question of each context.
    """
    answers = []
    for context, prompt, expected in _prompts(contexts):
        ids = torch.as_tensor([*context, *prompt])[None]
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, use_cache=use_cache
        )
        new = output[0, ids.shape[1] :].tolist()
        number = re.search(r"\d+", tokenizer.decode(new))
        answers.append((number is not None and int(number.group()) == int(expected), new))
    return answers


def forced_answers(model: Any, contexts: Sequence[RecallContext]) -> list[tuple[bool, list[int]]]:
    """EasyContext's needle loop: one teacher-forced forward for each cell, all logits, every argmax the answer's.

    Verdict of each cell, and the argmax at each place of the answer.
    """
    verdicts = []
    for context in contexts:
        (question,) = context.questions
        ids = torch.as_tensor([*context.context, *question.prompt, *question.answer])[None]
        with torch.no_grad():
            written = model(ids).logits.argmax(-1)[0, -len(question.answer) - 1 : -1]
        verdicts.append((written.tolist() == question.answer.tolist(), written.tolist()))
    return verdicts


def _prompts(contexts: Sequence[RecallContext]) -> Iterator[tuple[Tokens, Tokens, str]]:
    for context in contexts:
        for question in context.questions:
            yield context.context, question.prompt, question.answer_text
