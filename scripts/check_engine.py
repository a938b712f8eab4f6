"""Compares log-probabilities of vLLM or SGLang with the applied method, on a machine that has a GPU and the engine.

python scripts/check_engine.py --engine vllm --folder DIR-vllm --source DIR --output parity.json

Never run where this was written: no GPU, neither engine. The same drawn prompts go through `ropewalk.load` of the
source and through the engine's offline interface on the export, at the old window and at the new one; compared are the
log-probabilities of the prompt's own tokens, and greedy continuations (decode with a cache).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from ropewalk.adapters import load_model
from ropewalk.adapters.export import read_subject
from ropewalk.evals.parity import Prompt, whole_prompts
from ropewalk.run.device import default_device

# bfloat16 kernels of two programs differ by some 1e-2 in a log-probability; a forgotten factor by 0.1 and more.
MEAN_TOLERANCE = 0.02


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("vllm", "sglang"), required=True, help="Which program to run.")
    parser.add_argument("--folder", type=Path, required=True, help="The export.")
    parser.add_argument("--source", type=Path, required=True, help="The extended checkpoint that it was made from.")
    parser.add_argument("--lengths", type=int, nargs="*", help="Windows, in tokens. [default: the old and the new]")
    parser.add_argument("--new-tokens", type=int, default=32, help="Tokens of the greedy continuation.")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--output", type=Path, required=True, help="Where the numbers go, as JSON.")
    return parser.parse_args()


@torch.no_grad()
def applied(source: Path, prompts: list[Prompt], new_tokens: int, dtype: str) -> list[tuple[list[float], list[int]]]:
    """Log-probabilities of each prompt's tokens from the second on, and the greedy continuation."""
    model = load_model(source, dtype=getattr(torch, dtype), device=default_device())
    found = []
    for prompt in prompts:
        ids = prompt.tokens[None].to(model.device)
        likely: list[float] = []
        # Scored a block of positions at a time: all logits of a long prompt do not fit.
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0]
        head = model.get_output_embeddings()
        for first in range(0, ids.shape[1] - 1, 1024):
            rows = hidden[first : min(first + 1024, ids.shape[1] - 1)]
            chosen = ids[0, first + 1 : first + 1 + len(rows)]
            likely += head(rows).float().log_softmax(-1).gather(1, chosen[:, None])[:, 0].tolist()
        grown = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, min_new_tokens=new_tokens,
            do_sample=False, top_p=None, temperature=None, top_k=None,
        )  # fmt: skip
        found.append((likely, grown[0, ids.shape[1] :].tolist()))
    del model
    torch.cuda.empty_cache()
    return found


def through_vllm(
    folder: Path, prompts: list[Prompt], new_tokens: int, dtype: str, window: int
) -> list[tuple[list[float], list[int]]]:
    from vllm import LLM, SamplingParams

    engine = LLM(model=str(folder), dtype=dtype, max_model_len=window, enforce_eager=True)
    sampling = SamplingParams(temperature=0.0, max_tokens=new_tokens, ignore_eos=True, prompt_logprobs=0)
    found = []
    for prompt in prompts:
        ids = prompt.tokens.tolist()
        (output,) = engine.generate([{"prompt_token_ids": ids}], sampling)
        likely = [entry[token].logprob for entry, token in zip(output.prompt_logprobs[1:], ids[1:], strict=True)]
        found.append((likely, list(output.outputs[0].token_ids)))
    return found


def through_sglang(
    folder: Path, prompts: list[Prompt], new_tokens: int, dtype: str, window: int
) -> list[tuple[list[float], list[int]]]:
    import sglang

    engine = sglang.Engine(model_path=str(folder), dtype=dtype, context_length=window)
    sampling = {"temperature": 0.0, "max_new_tokens": new_tokens, "ignore_eos": True}
    found = []
    for prompt in prompts:
        ids = prompt.tokens.tolist()
        output: Any = engine.generate(input_ids=ids, sampling_params=sampling, return_logprob=True, logprob_start_len=0)
        likely = [entry[0] for entry in output["meta_info"]["input_token_logprobs"][1:]]
        found.append((likely, list(output["output_ids"])))
    engine.shutdown()
    return found


def compared(length: int, wanted: tuple[list[float], list[int]], got: tuple[list[float], list[int]]) -> dict[str, Any]:
    apart = torch.tensor(wanted[0]) - torch.tensor(got[0])
    continuation = [one != other for one, other in zip(wanted[1], got[1], strict=True)]
    return {
        "length": length,
        "largest_difference_nats": float(apart.abs().max()),
        "mean_difference_nats": float(apart.abs().mean()),
        "first_divergent_token": length + continuation.index(True) if any(continuation) else None,
        "verdict": "PASS" if float(apart.abs().mean()) <= MEAN_TOLERANCE else "FAIL",
    }


def main() -> None:
    options = arguments()
    subject = read_subject(options.source)
    window = subject.target_length
    lengths = options.lengths or [subject.config.rope.trained_length, window - options.new_tokens]
    prompts = list(whole_prompts(lengths, subject.config.vocabulary_size))
    wanted = applied(options.source, prompts, options.new_tokens, options.dtype)
    run = through_vllm if options.engine == "vllm" else through_sglang
    got = run(options.folder, prompts, options.new_tokens, options.dtype, window)
    rows = [compared(*row) for row in zip(lengths, wanted, got, strict=True)]
    options.output.write_text(json.dumps({"engine": options.engine, "rows": rows}, indent=1) + "\n", "utf-8")
    print(json.dumps(rows, indent=1))
    raise SystemExit(any(row["verdict"] == "FAIL" for row in rows))


if __name__ == "__main__":
    main()
