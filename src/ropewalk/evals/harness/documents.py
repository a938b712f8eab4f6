"""Our retrieval tasks as text, so that another harness asks the same questions, and back again as it reads them.

A harness is given text and tokenises it itself. Our generators put tokens together piece by piece, and a tokenizer
may join what stands on both sides of a seam; so the text, not the tokens, is what two programs can share.
`read_back` gives our own engine exactly the tokens that lm-eval makes of a document, and then both must answer alike.
A document's true number of tokens stands in it as `tokens`; its `length` is the number that was aimed at.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data import retrieval
from ropewalk.data.facts import EMPTY
from ropewalk.data.recall import Question, RecallContext
from ropewalk.errors import OptionError
from ropewalk.evals.scoring import score
from ropewalk.evals.tasks import encoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ropewalk.data.recall import Encode, Tokens
    from ropewalk.data.retrieval_task import RetrievalTask

    Document = Mapping[str, Any]

PREFIX = "ropewalk_"
GENERATE = "_generate"
DEPTHS = 10  # of a task with a single fact, in turn
SETTINGS = ("contexts", "facts", "seed")


def lm_eval_names(task: str) -> tuple[str, ...]:
    """What one of our retrieval tasks is called in lm-eval.

    The plain name looks at the log-probability of the answer, which exists where a question has one answer; the name
    with `_generate` decodes and scores as our own evaluation does.
    """
    name = PREFIX + task.replace("-", "_")
    asks_one_by_one = retrieval.get(task).placement != "whole"
    return (name, name + GENERATE) if asks_one_by_one else (name + GENERATE,)


def recall_documents(
    task: str,
    tokenizer: Any,
    lengths: Iterable[int],
    *,
    contexts: int = 20,
    facts: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The questions of one retrieval task as documents for a harness.

    Documents of all lengths take turns, so that the first n of them hold every length (lm-eval's `limit`).

    Args:
        task: A name in `ropewalk.data.retrieval`.
        tokenizer: The tokenizer of the model to be measured; lengths are counted in its tokens.
        lengths: Tokens of prompt and answer, without tokens that the tokenizer puts in front of every text.
        contexts: Contexts at each length. A single fact stands at ten even depths in turn.
        facts: Questions about each context, for tasks with many facts; the task's own choice if not given.
        seed: Every context draws from a generator keyed by seed, task, length and number.

    Returns:
        Dictionaries of `prompt`, `answer` (text that follows the prompt), `expected` and `references` (what decoded
        text is compared with) and `scoring` (how), `context` (documents of one context share it), `length`, `tokens`
        and `depth`.

    Raises:
        UnknownNameError: No such task.
        OptionError: A length or a number that the task cannot have.
    """
    kind = retrieval.get(task)()
    wanted = sorted({int(length) for length in lengths})
    if contexts < 1:
        raise OptionError(f"contexts must be at least 1, because nothing is asked otherwise; got {contexts}.")
    encode = encoder(tokenizer)
    return [
        _document(tokenizer, kind, question, context, length, f"{task}/{length}/{number}")
        for number in range(contexts)
        for length in wanted
        for context in [_drawn(kind, encode, length, number, facts=facts, seed=seed)]
        for question in context.questions
    ]


def as_read(tokenizer: Any, prompt: str, answer: str) -> tuple[Tokens, Tokens]:
    """The tokens that lm-eval makes of a prompt and its continuation (`TemplateLM._encode_pair` of version 0.4.13).

    Blanks at the end of the prompt go to the continuation; whatever the tokenizer puts in front of a text stays.
    """
    context = tokenizer.encode(prompt.rstrip(), verbose=False)
    whole = tokenizer.encode(prompt + answer, verbose=False)
    return np.asarray(context, dtype=np.int64), np.asarray(whole[len(context) :], dtype=np.int64)


def read_back(tokenizer: Any, documents: Sequence[Document]) -> list[tuple[list[int], RecallContext]]:
    """Documents as contexts with questions, in exactly the tokens that lm-eval reads.

    Returns:
        For each context the places of its documents in `documents`, and the context; what its prompts have in common
        is read once.
    """
    groups: dict[str, list[int]] = {}
    for place, document in enumerate(documents):
        groups.setdefault(str(document["context"]), []).append(place)
    return [(places, _context(tokenizer, [documents[place] for place in places])) for places in groups.values()]


def build(*, recall_task: str, **settings: Any) -> dict[str, Any]:
    """What lm-eval's `custom_dataset` calls: the documents as a `test` split.

    Args:
        recall_task: A name in `ropewalk.data.retrieval`; the YAML files name it.
        **settings: lm-eval's metadata: `lengths` (needed), `tokenizer` (an object, a folder, a hub id or `builtin`;
            `pretrained` if it is not given), and `contexts`, `facts`, `seed` of `recall_documents`. lm-eval adds some
            of its own.

    Raises:
        OptionError: No lengths, or no tokenizer.
    """
    from datasets import Dataset

    source = settings.get("tokenizer") or settings.get("pretrained")
    lengths = settings.get("lengths")
    if source is None or not lengths:
        missing = "lengths" if source else "tokenizer"
        raise OptionError(
            f"a recall task needs a tokenizer and lengths, because it is made to measure; there is no '{missing}'. "
            'Give both as metadata: lm_eval --metadata \'{"tokenizer": "FOLDER", "lengths": [4096, 8192]}\'.'
        )
    chosen = {name: settings[name] for name in SETTINGS if name in settings}
    documents = recall_documents(recall_task, _tokenizer(source), lengths, **chosen)
    return {"test": Dataset.from_list(documents)}


def greedy_match(document: Document, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Scores of a `loglikelihood` task: is every token of the answer the likeliest, and the answer's log-probability.

    That is the teacher-forced form of "greedy decoding begins with the answer", stricter than every other rule.
    """
    logprob, greedy = results[0]
    return {**_scores(document, float(greedy)), "logprob": float(logprob)}


def decoded(document: Document, results: Sequence[str]) -> dict[str, float]:
    """Score of a `generate_until` task, by the task's own rule (see `ropewalk.evals.scoring`)."""
    expected, references = str(document["expected"]), tuple(document["references"])
    question = Question(EMPTY, EMPTY, None, 0, expected, references)
    found = score(document["scoring"], results[0], question, finished=True)
    return _scores(document, 0.0 if found is None else found)


def room(lengths: Iterable[int]) -> int:
    """Tokens that a model must be able to see for documents of these lengths and any task's answer."""
    longest_answer = max(retrieval.get(name)().new_tokens for name in retrieval.names())
    return max((int(length) for length in lengths), default=0) + longest_answer + 1


def _scores(document: Document, value: float) -> dict[str, float]:
    return {"acc": value, f"acc@{document['length']}": value}


def _drawn(
    kind: RetrievalTask, encode: Encode, length: int, number: int, *, facts: int | None, seed: int
) -> RecallContext:
    rng = np.random.default_rng((seed, zlib.crc32(kind.name.encode()), length, number))
    if kind.placement == "single":
        return kind.sample(encode, rng, length=length, depth=(number % DEPTHS) / (DEPTHS - 1))
    return kind.sample(encode, rng, length=length, facts=facts if kind.placement == "many" else None)


def _document(
    tokenizer: Any, kind: RetrievalTask, question: Question, context: RecallContext, length: int, name: str
) -> dict[str, Any]:
    before = np.concatenate([context.context, question.prompt])
    alone, whole = _text(tokenizer, before), _text(tokenizer, np.concatenate([before, question.answer]))
    # A decoder may treat the end of a text differently; what both texts have in common is the prompt.
    end = next((i for i, (one, other) in enumerate(zip(alone, whole, strict=False)) if one != other), len(alone))
    prompt, answer = whole[:end], whole[end:]
    return {
        "prompt": prompt,
        "answer": answer,
        "expected": question.answer_text,
        "references": list(question.expected),
        "scoring": kind.scoring,
        "context": name,
        "length": length,
        "tokens": sum(len(part) for part in as_read(tokenizer, prompt, answer)),
        "depth": question.depth,
    }


def _context(tokenizer: Any, documents: Sequence[Document]) -> RecallContext:
    read = [as_read(tokenizer, document["prompt"], document["answer"]) for document in documents]
    shared = min(len(prompt) for prompt, _ in read) - 1
    for prompt, _ in read:
        same = prompt[:shared] == read[0][0][:shared]
        shared = shared if same.all() else int(np.argmin(same))
    return RecallContext(read[0][0][:shared], tuple(_questions(read, documents, shared)))


def _questions(read: Sequence[tuple[Tokens, Tokens]], documents: Sequence[Document], shared: int) -> Iterator[Question]:
    for (prompt, answer), document in zip(read, documents, strict=True):
        references = tuple(document["references"])
        yield Question(prompt[shared:], answer, document["depth"], shared, str(document["expected"]), references)


def _text(tokenizer: Any, tokens: Tokens) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _tokenizer(source: Any) -> Any:
    if not isinstance(source, str | os.PathLike):
        return source
    from ropewalk.adapters import load_tokenizer

    return load_tokenizer(str(source))
