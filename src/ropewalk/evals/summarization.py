"""Summaries of long documents, scored by ROUGE: table 6 of Position Interpolation.

Protocol: Chen et al. (2023), arXiv:2306.15595, section 3.5. Its prompt; at most 15,000 tokens of the document; at most
1,000 tokens of summary, sampled at temperature 0.5 from the likeliest 95 %. ROUGE-1, -2 and -L (Lin 2004) by Google's
`rouge-score` with stemming, F-measure, where -L takes a summary as one sequence. The paper does not say which
implementation of ROUGE it used, so compare its numbers with care. It needs a model that follows the prompt: theirs was
tuned on GovReport.

The paper keeps the first tokens of a document that is too long, and so do we (`keep="beginning"`); LongBench keeps both
ends (`keep="ends"`).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ropewalk.errors import DataError, OptionError
from ropewalk.evals.batches import memory, sample
from ropewalk.evals.estimates import estimate_of, values_of
from ropewalk.evals.sampling import NotFiniteError, Sampler
from ropewalk.evals.static_rope import depends_on_length, settle
from ropewalk.statistics import bootstrap_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ropewalk.data.recall import Tokens
    from ropewalk.data.summaries import SummaryDocument
    from ropewalk.result import Estimate, SampleResult

    Progress = Callable[[str, int, int], None]

BEFORE = "Read the following article and then summarize it.\n# "
AFTER = "\nNow summarize the above article.\nSummary:"
MEASURES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


@dataclass(frozen=True)
class SummaryPlan:
    """How documents are read and summaries written.

    Attributes:
        length: Tokens of the window: prompt, document and summary together.
        document_tokens: Tokens of a document that are read at most.
        new_tokens: Tokens of a summary at most.
        keep: What is kept of a longer document: its `beginning`, or both `ends` in equal parts.
        temperature: Of sampling; 0 takes the likeliest token.
        top_p: Share of probability that is sampled from.
        seed: Seed of the sampling and of the bootstrap.
        before, after: The prompt around the document; PI's by default.

    Raises:
        OptionError: Numbers with which nothing can be written.
    """

    length: int = 16_384
    document_tokens: int = 15_000
    new_tokens: int = 1_000
    keep: Literal["beginning", "ends"] = "beginning"
    temperature: float = 0.5
    top_p: float = 0.95
    seed: int = 0
    before: str = BEFORE
    after: str = AFTER

    def __post_init__(self) -> None:
        for name in ("length", "document_tokens", "new_tokens"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"{name} must be at least 1 token; got {getattr(self, name)}. The paper's numbers are 16384, "
                    "15000 and 1000."
                )
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise OptionError(
                f"sampling needs a temperature of at least 0 and a top_p above 0 and up to 1; got {self.temperature} "
                f"and {self.top_p}. The paper's are 0.5 and 0.95; temperature 0 takes the likeliest token."
            )

    @property
    def protocol(self) -> str:
        """In one phrase."""
        decoding = f"temperature {self.temperature:g}, top_p {self.top_p:g}" if self.temperature else "greedy"
        prompt = "PI's prompt" if (self.before, self.after) == (BEFORE, AFTER) else "a prompt of its own"
        return (
            f"{prompt}, {self.keep} of a document up to {self.document_tokens:,} tokens, "
            f"at most {self.new_tokens:,} new tokens, {decoding}; rouge-score with stemming"
        )


@dataclass(frozen=True)
class SummaryRun:
    """What a model wrote and how it scored.

    Attributes:
        samples: Three for each document: ROUGE-1, -2 and -L.
        estimates: Means over documents.
        texts: What was written, by the document's name.
    """

    samples: tuple[SampleResult, ...]
    estimates: tuple[Estimate, ...]
    texts: Mapping[str, str]


def summarize(
    model: Any,
    tokenizer: Any,
    documents: Sequence[SummaryDocument],
    plan: SummaryPlan,
    *,
    progress: Progress | None = None,
) -> SummaryRun:
    """Lets a model summarise documents one by one and scores what it writes.

    Args:
        model: A causal language model of transformers that can `generate`.
        tokenizer: Its tokenizer.
        documents: Documents with reference summaries.
        plan: How they are read.
        progress: Called with (`summaries`, documents done, documents in total).

    Raises:
        OptionError: rouge-score is not installed, or the window has no room for a document.
        DataError: There are no documents.
        MeasurementError: The device's memory does not hold one document.
    """
    score = rouge()
    if not documents:
        raise DataError("summaries are measured on documents; there are none. Give a file with at least two.")
    writer = _Writer(model, tokenizer, plan)
    samples: list[SampleResult] = []
    texts = {}
    training = model.training
    model.eval()
    try:
        for number, document in enumerate(documents):
            text, detail = writer.write(document.report, np.random.default_rng((plan.seed, number)))
            texts[document.name] = text or ""
            scores = dict.fromkeys(MEASURES, float("nan")) if text is None else score(document.summary, text)
            name = document.name
            samples += [sample(m, name, name, plan.length, scores[m], detail=detail) for m in MEASURES]
            if progress:
                progress("summaries", number + 1, len(documents))
    finally:
        model.train(training)
    return SummaryRun(tuple(samples), tuple(_estimates(samples, plan)), texts)


def rouge() -> Callable[[str, str], dict[str, float]]:
    """The scorer: reference and summary to F-measures, 0 to 1.

    Raises:
        OptionError: rouge-score is not installed.
    """
    if find_spec("rouge_score") is None:
        raise OptionError(
            "summaries are scored by the rouge-score library, which is an extra; it is not installed. "
            "Install it with: pip install 'ropewalk[summaries]'"
        )
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(MEASURES), use_stemmer=True)

    def score(reference: str, summary: str) -> dict[str, float]:
        return {name: float(found.fmeasure) for name, found in scorer.score(reference, summary).items()}

    return score


class _Writer:
    """Builds prompts within the window and lets the model write."""

    def __init__(self, model: Any, tokenizer: Any, plan: SummaryPlan) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.plan = plan
        self.before = np.concatenate([self._opening(), self._encode(plan.before)])
        self.after = self._encode(plan.after)
        room = plan.length - len(self.before) - len(self.after) - plan.new_tokens
        if room < 1:
            raise OptionError(
                f"the window must hold a prompt of {len(self.before) + len(self.after)} tokens, {plan.new_tokens:,} "
                f"new tokens and a document; got {plan.length:,} tokens. Give a longer one, or fewer new tokens."
            )
        self.room = min(room, plan.document_tokens)

    def write(self, report: str, rng: np.random.Generator) -> tuple[str | None, str]:
        """A summary, or None where the model failed; and what was read and written."""
        tokens = self._encode(report)
        kept = self._cut(tokens)
        prompt = np.concatenate([self.before, kept, self.after])[None]
        rows = torch.as_tensor(prompt, device=self.model.device)
        varies = depends_on_length(self.model, prompt.shape[1] + self.plan.new_tokens)
        if varies:
            settle(self.model, rows)
        try:
            with memory("summaries", prompt.shape[1]), self._plainly(use_cache=not varies):
                written = self.model.generate(
                    rows,
                    attention_mask=torch.ones_like(rows),
                    logits_processor=[Sampler(self.plan.temperature, self.plan.top_p, rng)],
                )[0, prompt.shape[1] :]
        except NotFiniteError:
            return None, ""
        text = str(self.tokenizer.decode(written, skip_special_tokens=True)).strip()
        return text, f"read {len(kept):,} of {len(tokens):,} tokens, wrote {len(written):,}"

    def _cut(self, tokens: Tokens) -> Tokens:
        if len(tokens) <= self.room:
            return tokens
        if self.plan.keep == "beginning":
            return tokens[: self.room]
        front = (self.room + 1) // 2
        return np.concatenate([tokens[:front], tokens[len(tokens) - (self.room - front) :]])

    @contextmanager
    def _plainly(self, *, use_cache: bool) -> Iterator[None]:
        """The model generates greedily up to the end of a text; its own sampling and penalties come back afterwards.

        The settings stand in the model itself, because `generate` fills what a call leaves open with the model's own.
        """
        own = self.model.generation_config
        ends, pad = own.eos_token_id, own.pad_token_id
        if pad is None and ends is not None:
            pad = ends[0] if isinstance(ends, list) else ends
        self.model.generation_config = type(own)(
            max_new_tokens=self.plan.new_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=pad,
            use_cache=use_cache,
        )
        try:
            yield
        finally:
            self.model.generation_config = own

    def _encode(self, text: str) -> Tokens:
        ids = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return np.asarray(ids, dtype=np.int64)

    def _opening(self) -> Tokens:
        """What the tokenizer puts in front of every text, such as a token for its beginning."""
        plain = self._encode(BEFORE).tolist()
        whole = list(self.tokenizer.encode(BEFORE))
        front = whole[: len(whole) - len(plain)] if whole[len(whole) - len(plain) :] == plain else []
        return np.asarray(front, dtype=np.int64)


def _estimates(samples: Sequence[SampleResult], plan: SummaryPlan) -> Iterator[Estimate]:
    for measure, name in MEASURES.items():
        chosen = [s for s in samples if s.measure == measure]
        good = [s for s in chosen if s.value is not None]
        if len(good) > 1:
            rng = np.random.default_rng(plan.seed)
            yield estimate_of(
                bootstrap_mean(values_of(good), [s.cluster for s in good], rng),
                measure=measure,
                protocol=plan.protocol,
                unit=f"{name} F-measure, 0 to 1",
                length=plan.length,
                failed=len(chosen) - len(good),
            )
