"""Our retrieval tasks in anybody's lm-eval: the same documents, the same numbers, to the last digit."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from evals_models import character_tokenizer, tiny_llama
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from ropewalk import adapters
from ropewalk.data import retrieval
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.evals.harness import documents as harness
from ropewalk.evals.harness.evaluation import run_harness
from ropewalk.evals.harness.library import task_folder
from ropewalk.evals.nll import token_nll
from ropewalk.evals.retrieval import answer_all
from ropewalk.statistics import clustered_proportion

# Inside the window and beyond it, so that some answers are right and some are wrong.
SETTINGS = {"lengths": [256, 512], "contexts": 3, "facts": 4, "seed": 5}
TASKS = ["passkey", "key-value"]


@pytest.fixture(scope="module")
def builtin():
    return adapters.load_model("builtin"), adapters.load_tokenizer("builtin")


@pytest.fixture(scope="module")
def foreign(builtin):
    """What somebody gets who knows lm-eval and our folder: its own model class, batches of rows, its own scores."""
    model, tokenizer = builtin
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, max_length=600, softmax_dtype="float32")
    manager = TaskManager(
        include_path=str(task_folder()), include_defaults=False, metadata={"tokenizer": "builtin", **SETTINGS}
    )
    names = [name for task in TASKS for name in harness.lm_eval_names(task)]
    return evaluate(lm, manager.load(names), bootstrap_iters=0, log_samples=True)


def our_answers(model, tokenizer, task):
    """Our engine on the same documents, in their order."""
    documents = harness.recall_documents(task, tokenizer, **SETTINGS)
    kind = retrieval.get(task)()
    answers = [None] * len(documents)
    for places, context in harness.read_back(tokenizer, documents):
        (row,) = answer_all(model, tokenizer, [context], new_tokens=kind.new_tokens, scoring=kind.scoring)
        for place, answer in zip(places, row, strict=True):
            answers[place] = answer
    return documents, answers


def rows_of(outcome, name):
    return sorted(outcome["samples"][name], key=lambda row: row["doc_id"])


@pytest.mark.parametrize("task", TASKS)
def test_decoding_in_a_foreign_harness_gives_our_scores(builtin, foreign, task):
    documents, answers = our_answers(*builtin, task)
    _, name = harness.lm_eval_names(task)
    rows = rows_of(foreign, name)
    assert [row["doc"] for row in rows] == documents
    ours = [answer.score for answer in answers]
    assert [row["acc"] for row in rows] == ours
    assert 0 < sum(ours) < len(ours), "the comparison sees right answers and wrong ones"
    assert foreign["results"][name]["acc,none"] == np.mean(ours)
    for length in SETTINGS["lengths"]:
        chosen = [score for score, d in zip(ours, documents, strict=True) if d["length"] == length]
        assert foreign["results"][name][f"acc@{length},none"] == np.mean(chosen)


@pytest.mark.parametrize("task", TASKS)
def test_log_probabilities_in_a_foreign_harness_are_ours(builtin, foreign, task):
    model, tokenizer = builtin
    documents, answers = our_answers(model, tokenizer, task)
    rows = rows_of(foreign, harness.lm_eval_names(task)[0])
    for row, document, answer in zip(rows, documents, answers, strict=True):
        prompt, expected = harness.as_read(tokenizer, document["prompt"], document["answer"])
        nll = token_nll(model, np.concatenate([prompt, expected])[None], scored=len(expected))
        assert row["logprob"] == pytest.approx(-nll.sum(), abs=1e-4)
        assert row["acc"] == float(answer.tokens[: len(expected)] == expected.tolist())


def test_our_own_runner_gives_what_the_foreign_harness_gives(builtin, foreign):
    names = [name for task in TASKS for name in harness.lm_eval_names(task)]
    runs = run_harness(*builtin, names, settings=SETTINGS)
    for name, run in zip(names, runs, strict=True):
        ours = run.of("acc")
        assert [sample.value for sample in ours] == [row["acc"] for row in rows_of(foreign, name)]
        for length in SETTINGS["lengths"]:
            cell = [sample for sample in ours if sample.length == length]
            expected = clustered_proportion([s.value for s in cell], [s.cluster for s in cell])
            (estimate,) = [e for e in run.estimates if e.measure == f"lm-eval:{name}/acc" and e.length == length]
            assert (estimate.value, estimate.low, estimate.high) == (expected.value, expected.low, expected.high)
            assert estimate.value == foreign["results"][name][f"acc@{length},none"]


def test_questions_of_one_context_are_one_cluster(builtin):
    (run,) = run_harness(*builtin, ["ropewalk_key_value"], settings=SETTINGS, limit=8)
    samples = run.of("acc")
    assert [s.cluster for s in samples] == ["key-value/256/0"] * 4 + ["key-value/512/0"] * 4
    assert [s.depth for s in samples] == sorted(s.depth for s in samples[:4]) + sorted(s.depth for s in samples[4:])


def test_the_text_is_shared_and_not_the_tokens(builtin):
    """The oracle bites: joined piece by piece, the tokens differ from those that lm-eval reads."""
    _, tokenizer = builtin
    rng = np.random.default_rng(0)
    context = retrieval.get("passkey")().sample(lambda t: np.asarray(tokenizer.encode(t)), rng, length=256, depth=0.5)
    pieces = np.concatenate([context.context, context.questions[0].prompt])
    again = np.asarray(tokenizer.encode(tokenizer.decode(pieces)))
    assert not np.array_equal(pieces, again)


@pytest.mark.parametrize("merges", [(), ((" ", "\n"), (".", " "), ("1", "2"), ("s", " "))], ids=["letters", "merging"])
@pytest.mark.parametrize("task", ["passkey", "key-value", "multi-passkey"])
def test_documents_are_read_back_in_the_tokens_of_the_harness(merges, task):
    tokenizer = character_tokenizer(*merges)
    lm = HFLM(pretrained=tiny_llama(vocab_size=120), tokenizer=tokenizer, max_length=4096)
    documents = harness.recall_documents(task, tokenizer, [1200], contexts=3, seed=1)
    for places, context in harness.read_back(tokenizer, documents):
        for place, question in zip(places, context.questions, strict=True):
            document = documents[place]
            prompt, answer = lm._encode_pair(document["prompt"], document["answer"])
            assert np.concatenate([context.context, question.prompt]).tolist() == prompt
            assert question.answer.tolist() == answer
            assert document["tokens"] == len(prompt) + len(answer)


def test_a_prompt_that_ends_with_blanks_is_split_as_in_the_harness():
    tokenizer = character_tokenizer((" ", "7"))
    lm = HFLM(pretrained=tiny_llama(), tokenizer=tokenizer, max_length=64)
    ours = harness.as_read(tokenizer, "it is  ", "7")
    assert tuple(part.tolist() for part in ours) == lm._encode_pair("it is  ", "7")


def test_every_retrieval_task_has_its_task_files():
    expected = {f"{name}.yaml" for task in retrieval.names() for name in harness.lm_eval_names(task)}
    assert {path.name for path in task_folder().glob("*.yaml")} == expected
    for task in retrieval.names():
        for name in harness.lm_eval_names(task):
            config = yaml.safe_load((task_folder() / f"{name}.yaml").read_text("utf-8"))
            assert config["task"] == name
            assert config["dataset_kwargs"] == {"recall_task": task}
            if name.endswith(harness.GENERATE):
                assert config["generation_kwargs"]["max_gen_toks"] == retrieval.get(task)().new_tokens
                assert config["generation_kwargs"]["do_sample"] is False


def test_the_first_documents_hold_every_length(builtin):
    documents = harness.recall_documents("passkey", builtin[1], [300, 256, 280], contexts=2)
    assert [d["length"] for d in documents] == [256, 280, 300] * 2


def test_documents_depend_on_their_own_length_and_number_alone(builtin):
    def named(**changes):
        documents = harness.recall_documents("passkey", builtin[1], **changes)
        return {document["context"]: document for document in documents}

    few, many = named(lengths=[300], contexts=1), named(lengths=[256, 300], contexts=3)
    assert few["passkey/300/0"] == many["passkey/300/0"]
    assert named(lengths=[300], contexts=1, seed=1)["passkey/300/0"] != few["passkey/300/0"]


@pytest.mark.parametrize(
    ("scoring", "said", "expected", "references", "value"),
    [
        ("first-number", " 123.", "123", ["123"], 1.0),
        ("first-number", " 1234", "123", ["123"], 0.0),
        ("number-at-once", " is 123", "123", ["123"], 0.0),
        ("all-references", "B and a", "a b c d", ["a", "b", "c", "d"], 0.75),
        ("any-reference", "only c", "a", ["c", "x"], 1.0),
    ],
)
def test_decoded_text_is_scored_by_the_rule_of_its_task(scoring, said, expected, references, value):
    document = {"scoring": scoring, "expected": expected, "references": references, "length": 64}
    assert harness.decoded(document, [said]) == {"acc": value, "acc@64": value}


@pytest.mark.parametrize(
    ("settings", "missing"), [({"tokenizer": "builtin"}, "lengths"), ({"lengths": [256]}, "tokenizer")]
)
def test_a_recall_task_without_lengths_or_tokenizer_says_which(settings, missing):
    with pytest.raises(OptionError, match=f"made to measure; there is no '{missing}'"):
        harness.build(recall_task="passkey", **settings)


def test_the_model_of_the_command_line_names_the_tokenizer_too():
    split = harness.build(recall_task="passkey", pretrained="builtin", lengths=[256], contexts=1)["test"]
    assert split[0]["scoring"] == "first-number"


def test_unknown_tasks_and_empty_ones_are_refused(builtin):
    with pytest.raises(UnknownNameError, match="did you mean 'passkey'"):
        harness.recall_documents("passkeys", builtin[1], [256])
    with pytest.raises(OptionError, match="contexts must be at least 1"):
        harness.recall_documents("passkey", builtin[1], [256], contexts=0)


def test_the_room_holds_every_answer():
    longest = max(retrieval.get(name)().new_tokens for name in retrieval.names())
    assert harness.room([256, 512]) == 512 + longest + 1


def test_the_decoder_s_own_ways_do_not_part_prompt_and_answer():
    """A decoder that treats the beginning of a text differently, as SentencePiece does with its blank."""
    tokenizer = character_tokenizer()
    odd = SimpleNamespace(
        encode=tokenizer.encode, decode=lambda tokens, **options: tokenizer.decode(tokens, **options).lstrip()
    )
    (document,) = harness.recall_documents("passkey", odd, [400], contexts=1)
    assert document["answer"] == f" {document['expected']}"
    assert document["prompt"].endswith("The pass key is")


def test_the_folder_is_printed_for_the_command_line():
    printed = subprocess.run(
        [sys.executable, "-m", "ropewalk.evals.harness"], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == str(task_folder())
