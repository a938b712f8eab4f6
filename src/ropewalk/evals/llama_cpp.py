"""A GGUF file in llama.cpp itself, through the C interface of llama-cpp-python.

Keys and values are cached in float32 and the fused attention is off, so that what differs from transformers is the
order of sums and not a format: llama.cpp's default cache of float16 alone moves logits by some 3e-3.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.errors import CarrierError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from ropewalk.evals.parity import Prompt

_BATCH = 512
_FLOAT32 = 0  # of ggml's types
_NO_FLASH = 0


class LlamaCppRunner:
    """A model in llama.cpp; see `parity.Runner`. Prompts are whole windows: it numbers its tokens itself.

    Args:
        file: The GGUF.
        window: Tokens of the context.
        tail: The last so many tokens of a prompt give logits.

    Raises:
        OptionError: llama-cpp-python is not installed.
        CarrierError: llama.cpp does not load the file.
    """

    def __init__(self, file: Path, window: int, tail: int) -> None:
        self.api = api = _interface()
        self.tail = tail
        api.llama_backend_init()
        model = api.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(str(file).encode(), model)
        settings = api.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = window, _BATCH, _BATCH
        settings.type_k = settings.type_v = _FLOAT32
        settings.flash_attn_type = _NO_FLASH
        settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
        self.context = api.llama_init_from_model(self.model, settings) if self.model else None
        if not self.context:
            raise CarrierError(f"llama.cpp must load the file; it does not load {file}. Its reason is on the log.")
        self.vocabulary = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model)))
        self.batch = api.llama_batch_init(_BATCH, 0, 1)

    def prefill(self, prompt: Prompt) -> Tensor:
        """Logits after the last tokens, from calls of whole batches, `[tail, vocabulary]`."""
        self._forget()
        tokens = prompt.tokens.tolist()
        rows = []
        for first in range(0, len(tokens), _BATCH):
            rows += self._call(tokens[first : first + _BATCH], first, len(tokens) - self.tail)
        return torch.from_numpy(np.stack(rows))

    def decode(self, prompt: Prompt) -> Tensor:
        """The same with a call for each of the last tokens."""
        self._forget()
        tokens = prompt.tokens.tolist()
        start = max(0, len(tokens) - self.tail)
        for first in range(0, start, _BATCH):
            self._call(tokens[first : min(first + _BATCH, start)], first, len(tokens))
        return torch.from_numpy(np.concatenate([self._call([tokens[at]], at, at) for at in range(start, len(tokens))]))

    def tokenize(self, text: str) -> list[int]:
        """Token numbers, as for a prompt: with the start that the file asks for, special tokens recognised."""
        raw = text.encode()
        found = (self.api.llama_token * (len(raw) + 8))()
        vocabulary = self.api.llama_model_get_vocab(self.model)
        count = self.api.llama_tokenize(vocabulary, raw, len(raw), found, len(found), True, True)
        return list(found[:count])

    def close(self) -> None:
        """Gives the memory back."""
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)

    def _forget(self) -> None:
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def _call(self, tokens: Sequence[int], first: int, wanted_from: int) -> list[np.ndarray[Any, Any]]:
        """Logits of the tokens of one batch whose position is `wanted_from` or later."""
        self.batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = first + index
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = 0
            self.batch.logits[index] = first + index >= wanted_from
        if self.api.llama_decode(self.context, self.batch) != 0:
            raise CarrierError(f"llama.cpp must compute {first + len(tokens):,} tokens; it failed. See its log.")
        rows = []
        for index in range(len(tokens)):
            if first + index >= wanted_from:
                row = self.api.llama_get_logits_ith(self.context, index)
                rows.append(np.ctypeslib.as_array(row, (self.vocabulary,)).astype(np.float64))
        return rows


def _interface() -> Any:
    """The C interface, quiet."""
    try:
        import llama_cpp
    except ImportError:
        raise OptionError(
            "logits of llama.cpp need llama-cpp-python, which is not installed. Install it with: "
            "pip install 'ropewalk[llama-cpp]' (it is built from source: a C++ compiler, 10 to 50 minutes)"
        ) from None
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
    return llama_cpp


# The library keeps the pointer, so the object must live as long as the program.
_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
