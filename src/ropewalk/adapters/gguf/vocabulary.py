"""A checkpoint's tokenizer as keys of a GGUF file.

llama.cpp has tokenizers of its own, chosen by name: `gpt2` with a pre-tokenizer (byte-level BPE), `llama`
(SentencePiece's BPE with bytes to fall back to). Here a pre-tokenizer is recognised by its rules in tokenizer.json
(src/llama-vocab.cpp of llama.cpp has the same regular expressions under the names below); llama.cpp's own converter
recognises it by a hash of a sample, and knows more of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gguf import GGUFWriter

    from ropewalk.adapters.config import ModelConfig

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The rules of a pre-tokenizer, and whether merges are ignored for words of the vocabulary, by llama.cpp's name.
PRE_TOKENIZERS: dict[tuple[tuple[str, ...], bool], str] = {
    (("ByteLevel:regex",), False): "gpt-2",
    (("Digits:single", "ByteLevel:regex"), False): "smollm",
    ((f"Split:{_CONTRACTIONS}\\p{{N}}{{1,3}}{_REST}", "ByteLevel"), True): "llama-bpe",
    ((f"Split:{_CONTRACTIONS}\\p{{N}}{_REST}", "ByteLevel"), False): "qwen2",
}
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_ENDS = ("eos", "eot", "eom")  # all that llama.cpp stops at


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF says about tokens.

    Attributes:
        kind: `gpt2`, `llama`, or `none` where the checkpoint has no tokenizer.
        pre: llama.cpp's name of the pre-tokenizer.
        tokens: In the order of their numbers.
        types: Of each, as `gguf.TokenType` counts them.
        scores: Of each, for `llama`: the higher, the earlier merged.
        notes: Sentences for people.
    """

    kind: str
    pre: str
    tokens: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def read_vocabulary(config: ModelConfig, folder: Path, pre: str | None = None) -> Vocabulary:
    """The tokenizer of a checkpoint.

    Args:
        config: What its config says.
        folder: Where its tokenizer is.
        pre: llama.cpp's name of the pre-tokenizer, where it is known to somebody; None to recognise it.

    Raises:
        CarrierError: llama.cpp's tokenizers are not known to cut texts so.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        others = [name for name in ("tokenizer.model", "vocab.json", "tekken.json") if (folder / name).is_file()]
        if others:
            raise _refused(f"this one is {others[0]} alone; save it with transformers as a fast tokenizer first")
        return Vocabulary("none", "default", notes=("the checkpoint has no tokenizer, and so the GGUF has none",))
    saved = json.loads(file.read_text("utf-8"))
    model = saved["model"]
    if model.get("type") != "BPE":
        raise _refused(f"this one is {model.get('type')}")
    tokens, types = _tokens(saved, config.vocabulary_size)
    notes = _missing_ends(folder)
    if model.get("byte_fallback"):
        _require_sentencepiece(saved, named=pre is not None)
        scores = _scores(tokens, types, model["merges"])
        return Vocabulary("llama", pre or "default", tokens, types, scores, notes)
    return Vocabulary("gpt2", pre or _recognised(saved), tokens, types, notes=notes)


def write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary, folder: Path) -> None:
    """Writes the keys, the special tokens, the ends of generation and the chat template."""
    from gguf import SpecialVocab

    writer.add_tokenizer_model(vocabulary.kind)
    if vocabulary.kind == "none":
        return
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    if vocabulary.scores:
        writer.add_token_scores(list(vocabulary.scores))
    writer.add_token_types(list(vocabulary.types))
    special = SpecialVocab(folder, load_merges=vocabulary.kind == "gpt2", n_vocab=len(vocabulary.tokens))
    special.special_token_ids |= dict(zip(_ENDS, _ends(folder), strict=False))
    special.add_special_token = _added(folder, special.special_token_ids)
    special.add_to_gguf(writer, quiet=True)


def _tokens(saved: Mapping[str, Any], size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Every token and its type; numbers that no token has are filled up, because the matrices have rows for them."""
    words = {number: word for word, number in saved["model"]["vocab"].items()}
    added = {entry["id"]: entry for entry in saved["added_tokens"]}
    unknown = saved["model"].get("unk_token")
    tokens, types = [], []
    for number in range(size):
        word = added[number]["content"] if number in added else words.get(number, f"[PAD{number}]")
        kind = _NORMAL if number in words else _UNUSED
        if number in added:
            kind = _CONTROL if added[number]["special"] else _USER_DEFINED
        if saved["model"].get("byte_fallback"):
            if word == unknown:
                kind = _UNKNOWN
            elif number not in added and len(word) == 6 and word.startswith("<0x"):
                kind = _BYTE
        tokens.append(word)
        types.append(kind)
    beyond = [number for number in {**words, **added} if number >= size]
    if beyond:
        raise _refused(f"this one has token {max(beyond)}, and the model {size:,} tokens")
    return tuple(tokens), tuple(types)


def _scores(tokens: tuple[str, ...], types: tuple[int, ...], merges: list[Any]) -> tuple[float, ...]:
    """SentencePiece merges the pair with the best score first, BPE the one that stands first in its list."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        ranks.setdefault(left + right, rank)
    worst = len(merges)
    return tuple(
        -float(ranks.get(word, worst)) if kind == _NORMAL else 0.0 for word, kind in zip(tokens, types, strict=True)
    )


def _recognised(saved: Mapping[str, Any]) -> str:
    """llama.cpp's name of a byte-level pre-tokenizer."""
    model = saved["model"]
    rules = tuple(map(_rule, _steps(saved.get("pre_tokenizer"), "pretokenizers")))
    name = PRE_TOKENIZERS.get((rules, bool(model.get("ignore_merges"))))
    normalizers = [step["type"] for step in _steps(saved.get("normalizer"), "normalizers")]
    # Both of llama.cpp's converters for Qwen leave its normalisation out: texts are nearly always composed already.
    if name is None or normalizers not in ([], ["NFC"] if name == "qwen2" else []):
        steps = " and ".join([*normalizers, *rules]) or "no rule"
        raise _refused(f"this one cuts texts by {steps}")
    return name


def _steps(part: Mapping[str, Any] | None, inner: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    return list(part[inner]) if part["type"] == "Sequence" else [part]


def _rule(step: Mapping[str, Any]) -> str:
    """One step of a pre-tokenizer in a word."""
    kind = str(step["type"])
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return "ByteLevel:regex" if step.get("use_regex", True) else "ByteLevel"
    if kind == "Digits":
        return "Digits:single" if step.get("individual_digits") else "Digits"
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return f"Split:{step['pattern'].get('Regex')}"
    return json.dumps(step, ensure_ascii=False)


def _require_sentencepiece(saved: Mapping[str, Any], *, named: bool) -> None:
    """The rules that SentencePiece's BPE has in tokenizer.json."""
    normalizers = [
        (step["type"], step.get("prepend", step.get("content")))
        for step in _steps(saved.get("normalizer"), "normalizers")
    ]
    before = saved.get("pre_tokenizer")
    older = normalizers == [("Prepend", "▁"), ("Replace", "▁")] and before is None
    newer = not normalizers and before and before["type"] == "Metaspace" and before.get("prepend_scheme") != "never"
    if not (named or older or newer):
        raise _refused("this one falls back to bytes, but does not mark words as SentencePiece does")


def _ends(folder: Path) -> list[int]:
    """The tokens that end a generation."""
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        ends = json.loads(file.read_text("utf-8")).get("eos_token_id") if file.is_file() else None
        if ends is not None:
            return list(ends) if isinstance(ends, list) else [int(ends)]
    return []


def _missing_ends(folder: Path) -> tuple[str, ...]:
    left = _ends(folder)[len(_ENDS) :]
    if not left:
        return ()
    return (f"a GGUF names {len(_ENDS)} tokens that end a generation; left out: {', '.join(map(str, left))}",)


def _added(folder: Path, special: Mapping[str, int]) -> dict[str, bool]:
    """Whether the tokenizer puts a start and an end around a text, by trying it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    inside, around = (tokenizer.encode("a", add_special_tokens=added).ids for added in (False, True))
    return {
        "bos": around[:1] == [special.get("bos")] and len(around) > len(inside),
        "eos": around[-1:] == [special.get("eos")] and len(around) > len(inside),
    }


def _refused(reason: str) -> CarrierError:
    known = ", ".join(PRE_TOKENIZERS.values())
    return CarrierError(
        f"a GGUF names a tokenizer that llama.cpp has itself, because tokens that are cut otherwise spoil every text; "
        f"recognised are byte-level BPE ({known}) and SentencePiece's BPE, and {reason}. Where you know llama.cpp's "
        "name for it, pass --tokenizer-pre NAME."
    )
