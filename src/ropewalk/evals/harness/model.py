"""lm-eval's model class, without the logits that nobody looks at. Imports lm-eval: import this module late.

lm-eval 0.4.13 computes logits of the whole prompt in order to read those of the answer: 32,768 tokens and a vocabulary
of 128,256 are 15.7 GiB of float32, twice over with their logarithms. Here the head runs over the last tokens alone;
the numbers are the same bit for bit. And what it does in silence is counted here: prompts that it cuts on the left
because they are longer than `max_length`, and answers made from logits that are not finite.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from ropewalk.errors import ModelError, OptionError
from ropewalk.evals.batches import memory
from ropewalk.evals.static_rope import depends_on_length, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class LeanHarnessModel(HFLM):  # type: ignore[misc]  # lm-eval ships no types
    """A loaded model for lm-eval; exact, and one row at a time unless asked otherwise.

    Attributes:
        cut: Prompts that were cut on the left since `start`.
        broken: Prompts, as text, whose generation met logits that are not finite, since `start`.
    """

    def __init__(self, model: Any, tokenizer: Any, *, max_length: int, batch_size: int = 1) -> None:
        """Wraps a model.

        Args:
            model: A causal language model of transformers, on any device.
            tokenizer: Its tokenizer; a copy is used, because lm-eval adds a padding token.
            max_length: Tokens that the model may see; lm-eval cuts longer prompts on the left.
            batch_size: Rows of one forward. With one row only the logits of the answer are computed.

        Raises:
            ModelError: The tokenizer has no token that begins or ends a text.
        """
        if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
            raise ModelError(
                "lm-eval needs a tokenizer with a token that begins or ends a text, to put before an empty prompt; "
                "this one has neither. Set its eos_token."
            )
        self.start("", None)
        self._kept = 0
        own = copy.deepcopy(tokenizer)
        own.model_max_length = sys.maxsize  # lm-eval cuts by max_length; the tokenizer need not remark on it
        super().__init__(
            pretrained=model,
            tokenizer=own,
            max_length=max_length,
            batch_size=batch_size,
            softmax_dtype="float32",
        )
        self.set_cache_hook(self.cache_hook)

    def start(self, task: str, answered: Callable[[], None] | None) -> None:
        """Begins the counts anew for a task; `answered` is called after each answer."""
        self._task = task
        self._answered = answered
        self._asked: Sequence[str] = ()
        self.cut = 0
        self.broken: set[str] = set()

    def set_cache_hook(self, cache_hook: Any) -> None:
        """lm-eval reports every answer to this hook; so does the progress."""
        self.cache_hook = _Hook(cache_hook, self)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
        del disable_tqdm
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
        del disable_tqdm
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
        del disable_tqdm
        for request in requests:
            self._require_room(normalize_gen_kwargs(request.args[1], self.max_gen_toks)["max_gen_toks"] + 1)
        return super().generate_until(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, override_bs: int | None = None) -> Any:
        del disable_tqdm
        for _, _, answer in requests:
            self._require_room(len(answer))
        self.cut += sum(len(context) + len(answer) > self.max_length + 1 for _, context, answer in requests)
        # Rows of a batch end at different places, so with several the last logits of each would not line up.
        alone = self.batch_size == 1 and override_bs in (None, 1)
        self._kept = max((len(answer) for _, _, answer in requests), default=0) if alone else 0
        try:
            return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
        finally:
            self._kept = 0

    def _model_call(self, inps: torch.Tensor, attn_mask: Any = None, labels: Any = None) -> torch.Tensor:
        self._settle(inps)
        with memory(self._task, inps.shape[1]):
            if not self._kept:
                return torch.as_tensor(super()._model_call(inps, attn_mask, labels))
            with torch.no_grad():
                logits: torch.Tensor = self.model(inps, use_cache=False, logits_to_keep=self._kept).logits
                return logits

    def tok_batch_encode(self, strings: list[str], *arguments: Any, **options: Any) -> Any:
        self._asked = strings
        room = options.get("left_truncate_len")
        if room:
            lengths = (len(self.tok_encode(string)) for string in strings)
            self.cut += sum(length > room for length in lengths)
        return super().tok_batch_encode(strings, *arguments, **options)

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **options: Any) -> Any:
        self._settle(context)
        watch = _Watch(len(context), context.device)
        with memory(self._task, max_length), torch.inference_mode():
            tokens = super()._model_generate(context, max_length, stop, logits_processor=[watch], **options)
        self.broken.update(text for text, bad in zip(self._asked, watch.broken.tolist(), strict=True) if bad)
        return tokens

    def _require_room(self, tokens: int) -> None:
        if tokens > self.max_length:
            raise OptionError(
                f"the model must see the answers of '{self._task}' and what they answer; one takes {tokens:,} tokens, "
                f"and the window is {self.max_length:,}. Give a longer max_length, or leave this task out."
            )

    def _settle(self, tokens: torch.Tensor) -> None:
        """A rope that remembers its longest call forgets it, so that no answer depends on the one before."""
        if depends_on_length(self.model, tokens.shape[1]):
            settle(self.model, tokens)


class _Watch:
    """A logits processor that changes nothing and remembers rows with logits that are not finite."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.broken = torch.zeros(rows, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del input_ids
        self.broken |= scores.isnan().any(-1) | scores.isposinf().any(-1)
        return scores


class _Hook:
    """Passes answers on to lm-eval's own hook and reports progress."""

    def __init__(self, hook: Any, model: LeanHarnessModel) -> None:
        self.hook = hook
        self.model = model

    def add_partial(self, kind: str, request: Any, answer: Any) -> None:
        self.hook.add_partial(kind, request, answer)
        if self.model._answered is not None:
            self.model._answered()
