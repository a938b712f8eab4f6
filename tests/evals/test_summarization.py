"""Summaries: the paper's prompt within the window, sampling from a generator of its own, ROUGE, failures."""

from __future__ import annotations

import re
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from evals_models import character_tokenizer, prose, tiny_llama
from tokenizers import processors

from ropewalk.data.summaries import SummaryDocument
from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals.summarization import AFTER, BEFORE, SummaryPlan, rouge, summarize
from ropewalk.statistics import bootstrap_mean

PLAN = SummaryPlan(length=400, document_tokens=200, new_tokens=12, temperature=0)
DOCUMENTS = tuple(SummaryDocument(f"line-{i}", prose(i, 60), prose(100 + i, 8)) for i in range(3))


@pytest.fixture(scope="module")
def model():
    return tiny_llama(max_position_embeddings=512)


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer()


def prompts_of(model, tokenizer, documents, plan):
    """What the model is given, as token ids, and the run."""
    seen = []

    def keep(module, arguments, options):
        ids = options["input_ids"]
        if ids.shape[1] > 1:
            seen.append(ids[0].tolist())

    handle = model.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        run = summarize(model, tokenizer, documents, plan)
    finally:
        handle.remove()
    return seen, run


def test_the_prompt_is_the_papers(model, tokenizer):
    short = SummaryDocument("line-1", "some report", "short")
    (prompt,), _ = prompts_of(model, tokenizer, [short], PLAN)
    assert tokenizer.decode(prompt) == (
        "Read the following article and then summarize it.\n# some report\nNow summarize the above article.\nSummary:"
    )


def test_what_the_tokenizer_puts_in_front_of_a_text_stands_there_once(model):
    begun = character_tokenizer()
    begun.add_special_tokens({"bos_token": "<end>"})
    begun._tokenizer.post_processor = processors.TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 0)])
    (prompt,), _ = prompts_of(model, begun, [SummaryDocument("line-1", "some report", "short")], PLAN)
    assert prompt.count(0) == 1
    assert prompt[0] == 0


@pytest.mark.parametrize(
    ("changes", "room"), [({}, 200), ({"length": 250}, 250 - 12 - len(BEFORE) - len(AFTER)), ({"keep": "ends"}, 200)]
)
def test_a_long_document_is_cut_to_the_window_and_to_the_papers_limit(model, tokenizer, changes, room):
    plan = SummaryPlan(**{**vars(PLAN), **changes})
    (prompt,), run = prompts_of(model, tokenizer, DOCUMENTS[:1], plan)
    report = DOCUMENTS[0].report
    front = (room + 1) // 2
    kept = report[:room] if plan.keep == "beginning" else report[:front] + report[len(report) - (room - front) :]
    assert tokenizer.decode(prompt) == BEFORE + kept + AFTER
    assert len(prompt) + plan.new_tokens <= plan.length
    assert run.samples[0].detail.startswith(f"read {room} of {len(report)} tokens, wrote ")


def test_without_temperature_the_model_writes_what_plain_generate_writes(model, tokenizer):
    seen, run = prompts_of(model, tokenizer, DOCUMENTS, PLAN)
    for prompt, text in zip(seen, run.texts.values(), strict=True):
        rows = torch.as_tensor([prompt])
        plain = model.generate(
            rows, attention_mask=torch.ones_like(rows), max_new_tokens=12, do_sample=False, pad_token_id=0
        )[0, len(prompt) :]
        assert text == tokenizer.decode(plain, skip_special_tokens=True).strip()


def test_the_models_own_way_of_sampling_is_set_aside_and_kept(model, tokenizer):
    plain = summarize(model, tokenizer, DOCUMENTS[:1], PLAN).texts
    other = tiny_llama(max_position_embeddings=512)
    other.generation_config.update(do_sample=True, temperature=0.2, top_k=3, repetition_penalty=1.7, max_length=20)
    before = other.generation_config.to_dict()
    assert summarize(other, tokenizer, DOCUMENTS[:1], PLAN).texts == plain
    assert other.generation_config.to_dict() == before


def test_a_seed_gives_the_same_summaries_and_another_seed_others(model, tokenizer):
    def texts(seed, documents=DOCUMENTS):
        plan = SummaryPlan(**{**vars(PLAN), "temperature": 2.0, "top_p": 1.0, "seed": seed})
        return summarize(model, tokenizer, documents, plan).texts

    state = torch.random.get_rng_state()
    assert texts(0) == texts(0) != texts(1)
    assert torch.equal(torch.random.get_rng_state(), state), "no global seed is touched"
    assert texts(0, DOCUMENTS[:1])["line-0"] == texts(0)["line-0"]


def plain_rouge(reference, summary):
    """F-measures of word n-grams and of the longest common subsequence, without stemming."""
    words = [re.findall("[a-z0-9]+", text.lower()) for text in (reference, summary)]

    def f_measure(common, first, second):
        return 2 * common / (first + second) if common else 0.0

    scores = {}
    for n in (1, 2):
        grams = [Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for text in words]
        scores[f"rouge{n}"] = f_measure((grams[0] & grams[1]).total(), *(g.total() for g in grams))
    table = np.zeros((len(words[0]) + 1, len(words[1]) + 1), dtype=int)
    for i, left in enumerate(words[0]):
        for j, right in enumerate(words[1]):
            table[i + 1, j + 1] = table[i, j] + 1 if left == right else max(table[i, j + 1], table[i + 1, j])
    scores["rougeL"] = f_measure(int(table[-1, -1]), len(words[0]), len(words[1]))
    return scores


@pytest.mark.parametrize(
    ("reference", "summary"),
    [
        ("the cat sat on the mat", "the cat lay on a mat"),
        ("a b c d e", "e d c b a"),
        ("The Cat, sat.", "cat sat the"),
        ("one two", "three"),
        ("word " * 5, "word"),
    ],
)
def test_rouge_is_that_of_its_definition(reference, summary):
    assert rouge()(reference, summary) == pytest.approx(plain_rouge(reference, summary))


def test_rouge_compares_stems():
    assert rouge()("running dogs", "runs dog")["rouge2"] == 1.0
    assert plain_rouge("running dogs", "runs dog")["rouge2"] == 0.0


def test_the_estimate_is_the_mean_over_documents_with_their_bootstrap(model, tokenizer):
    run = summarize(model, tokenizer, DOCUMENTS, PLAN)
    score = rouge()
    for estimate in run.estimates:
        expected = [score(d.summary, run.texts[d.name])[estimate.measure] for d in DOCUMENTS]
        interval = bootstrap_mean(expected, [d.name for d in DOCUMENTS], np.random.default_rng(0))
        assert (estimate.value, estimate.low, estimate.high) == (interval.value, interval.low, interval.high)
        assert (estimate.samples, estimate.failed, estimate.length) == (3, 0, 400)
    assert [estimate.unit.split(" F-")[0] for estimate in run.estimates] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert "beginning of a document up to 200 tokens, at most 12 new tokens, greedy" in run.estimates[0].protocol


def test_a_document_that_breaks_the_model_fails_and_is_no_zero(tokenizer):
    broken = tiny_llama(max_position_embeddings=512)
    with torch.no_grad():
        broken.model.embed_tokens.weight[tokenizer.encode("Q")[0]] = torch.nan
    bad = SummaryDocument("line-9", "Q" + DOCUMENTS[0].report, "short")
    for temperature in (0, 0.5):
        plan = SummaryPlan(**{**vars(PLAN), "temperature": temperature})
        run = summarize(broken, tokenizer, [*DOCUMENTS[:2], bad], plan)
        assert [(s.status, s.value) for s in run.samples[6:]] == [("failed", None)] * 3
        assert {(e.samples, e.failed) for e in run.estimates} == {(2, 1)}


def test_a_model_that_says_nothing_scores_zero(tokenizer):
    """It answered, so this is a score."""
    mute = tiny_llama(max_position_embeddings=512)
    mute.generation_config.eos_token_id = list(range(97))
    run = summarize(mute, tokenizer, DOCUMENTS[:2], SummaryPlan(**{**vars(PLAN), "new_tokens": 1}))
    assert {s.status for s in run.samples} == {"ok"}


def test_a_rope_that_grows_writes_without_a_cache(tokenizer):
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0, "original_max_position_embeddings": 16}
    grown = tiny_llama(rope_parameters=rope, max_position_embeddings=16)
    (first, *_), run = prompts_of(grown, tokenizer, DOCUMENTS[:1], PLAN)
    tokens = list(first)
    fresh = tiny_llama(rope_parameters=rope, max_position_embeddings=16)
    with torch.no_grad():
        for _ in range(12):
            tokens.append(int(fresh(torch.as_tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
            if tokens[-1] == 0:
                break
    assert run.texts["line-0"] == tokenizer.decode(tokens[len(first) :], skip_special_tokens=True).strip()


def test_progress_and_the_mode_of_the_model_are_kept(tokenizer):
    training = tiny_llama(max_position_embeddings=512).train()
    seen = []
    summarize(training, tokenizer, DOCUMENTS[:2], PLAN, progress=lambda *event: seen.append(event))
    assert seen == [("summaries", 1, 2), ("summaries", 2, 2)]
    assert training.training


def test_no_documents_and_a_window_without_room_are_refused(model, tokenizer):
    with pytest.raises(DataError, match="summaries are measured on documents; there are none"):
        summarize(model, tokenizer, [], PLAN)
    narrow = SummaryPlan(length=100, new_tokens=12)
    with pytest.raises(OptionError, match=r"the window must hold a prompt of .* tokens, 12 new tokens and a document"):
        summarize(model, tokenizer, DOCUMENTS, narrow)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, "length must be at least 1 token; got 0"),
        ({"new_tokens": 0}, "new_tokens must be at least 1 token"),
        ({"temperature": -1.0}, "a temperature of at least 0"),
        ({"top_p": 0.0}, "a top_p above 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        SummaryPlan(**changes)


def test_without_rouge_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(OptionError, match=r"pip install 'ropewalk\[summaries\]'"):
        rouge()


def test_memory_that_does_not_suffice_is_a_measurement_error(tokenizer):
    full = tiny_llama(max_position_embeddings=512)

    def out_of_memory(*arguments, **options):
        raise torch.OutOfMemoryError

    full.model.register_forward_pre_hook(out_of_memory)
    with pytest.raises(MeasurementError, match="must hold one batch of 'summaries'"):
        summarize(full, tokenizer, DOCUMENTS, PLAN)
