"""The training set is a map: a window depends on its number and the seed, and on nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from ropewalk import positions
from ropewalk.data.collate import IGNORED, PADDING, collate
from ropewalk.data.mixing import Mix
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.data.store import SCHEMA, StoreWriter, TokenStore
from ropewalk.data.windows import SHORTEST, TextStretches, TrainingWindows
from ropewalk.errors import DataError


def documents(*sizes: int) -> list[np.ndarray]:
    """Each token says which document and which place it is: document * 10 000 + place."""
    return [np.arange(size, dtype=np.int64) + 10_000 * (number + 1) for number, size in enumerate(sizes)]


def stretches(*sizes: int, window=16, reach=16, seed=1, **options) -> TextStretches:
    return TextStretches(TokenStore.of(documents(*sizes)), window=window, reach=reach, seed=seed, **options)


def windows(
    sampler="contiguous", *, sizes=(100, 70, 50), window=16, target=64, size=40, seed=3, packing="fill", **options
):
    text = stretches(*sizes, window=window, reach=target, seed=seed, packing=packing)
    return TrainingWindows([text], positions.get(sampler)(), target_length=target, size=size, seed=seed, **options)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("sampler", positions.names())
def test_a_window_is_the_same_in_whatever_order_and_by_whichever_worker_it_is_read(sampler):
    options = {"window": 16, "target": 16 if positions.get(sampler).trains_at_target else 64}
    forwards, backwards = windows(sampler, **options), windows(sampler, **options)
    items = [forwards[n] for n in range(40)]
    for number in reversed(range(40)):
        assert same(items[number], backwards[number])


def test_another_seed_gives_other_windows():
    assert not same(windows(seed=3)[0], windows(seed=4)[0])


def test_each_sweep_reads_every_stretch_once_and_in_its_own_order():
    text = stretches(100, 70, 50)
    assert len(text) == 6 + 4 + 3
    sweeps = [[int(text.stretch(n).tokens[0]) // 10_000 for n in range(s * 13, s * 13 + 13)] for s in range(2)]
    assert sorted(sweeps[0]) == sorted(sweeps[1]) == [1] * 6 + [2] * 4 + [3] * 3
    starts = [[int(text.stretch(n).tokens[0]) for n in range(s * 13, s * 13 + 13)] for s in range(2)]
    assert starts[0] != starts[1]
    for sweep in starts:
        covered = [token + k for token in sweep for k in range(16)]
        assert len(set(covered)) == len(covered)


def test_text_windows_are_consecutive_text_of_one_document():
    for number in range(40):
        item = windows()[number]
        assert (item["input_ids"].diff() == 1).all()
        assert item["position_ids"].tolist() == list(range(16))
        assert item["labels"][0] == IGNORED
        assert torch.equal(item["labels"][1:], item["input_ids"][1:])


def test_skipping_positions_never_touch_the_segments():
    for number in range(40):
        item = windows("cream", target=128, window=16)[number]
        assert (item["segment_ids"] == 0).all()
        assert (item["position_ids"].diff() >= 1).all()
        assert int(item["position_ids"][-1]) == 127


def test_short_documents_are_packed_with_borders_restarted_positions_and_no_label_across_a_border():
    item = windows(sizes=(7, 5, 9, 11, 16), window=16)[0]
    packed = [windows(sizes=(7, 5, 9, 11), window=16)[n] for n in range(4)]
    assert (item["segment_ids"] == 0).all() or len(item["segment_ids"].unique()) > 1
    for item in packed:
        starts = (item["segment_ids"].diff(prepend=torch.tensor([-1]))).nonzero().flatten()
        assert len(starts) > 1
        assert (item["position_ids"][starts] == 0).all()
        assert (item["labels"][starts] == IGNORED).all()
        for start in starts[1:]:
            assert item["input_ids"][start] // 10_000 != item["input_ids"][start - 1] // 10_000


def test_filling_keeps_every_token_but_the_last_unfilled_window_and_counts_those():
    text = stretches(7, 5, 9, 12)
    tokens = np.concatenate([text.stretch(n).tokens for n in range(len(text))])
    assert len(text) == 2
    assert len(np.unique(tokens)) == 32
    assert text.left_out == 1
    assert text.padding_share == 0


def test_text_shorter_than_one_window_is_refused_with_both_numbers():
    with pytest.raises(DataError, match=r"at least one window of 64 tokens; the 2 given document\(s\) have 30 tokens"):
        stretches(10, 20, window=64)


@pytest.mark.parametrize("packing", ["best-fit", "none"])
def test_documents_that_teach_nothing_alone_are_refused(packing):
    with pytest.raises(DataError, match=rf"at least one document of {SHORTEST} tokens, .* the 2 given have 3 tokens"):
        stretches(1, 2, packing=packing)


def test_best_fit_cuts_no_document_that_fits_a_window_and_packs_what_is_left_of_longer_ones():
    sizes = (7, 5, 9, 11, 16, 40, 2)
    text = stretches(*sizes, packing="best-fit")
    held = [
        [(int(d), int(a), int(b)) for d, a, b in zip(p.document, p.start, p.stop, strict=True)]
        for p in (text.pieces(n) for n in range(len(text)))
    ]
    pieces = sorted(piece for window in held for piece in window)
    assert pieces == [
        (0, 0, 7), (1, 0, 5), (2, 0, 9), (3, 0, 11), (4, 0, 16), (5, 0, 16), (5, 16, 32), (5, 32, 40),
    ]  # fmt: skip
    assert text.left_out == 2  # the document of 2 tokens
    assert len(text) == 6
    assert text.padding_share == pytest.approx(1 - (7 + 5 + 9 + 11 + 16 + 40) / (6 * 16))


def test_without_packing_each_short_document_has_a_window_and_the_rest_is_padding():
    data = windows(sizes=(7, 5, 16), packing="none", size=3)
    items = {int(item["input_ids"][0]) // 10_000: item for item in (data[n] for n in range(3))}
    assert sorted(items) == [1, 2, 3]
    short = items[1]
    assert short["input_ids"][:7].tolist() == list(range(10_000, 10_007))
    assert short["labels"].tolist() == [IGNORED, *range(10_001, 10_007), *[IGNORED] * 9]
    assert short["segment_ids"].tolist() == [0] * 7 + [PADDING] * 9
    assert short["position_ids"].tolist() == [*range(7), *range(9)]
    assert data.sources[0].padding_share == pytest.approx(20 / 48)
    assert collate([items[1], items[2]])["input_ids"].shape == (2, 7)


@pytest.mark.parametrize("sampler", ["cream", "pose", "randpos"])
def test_a_document_with_a_window_of_its_own_gets_positions_up_to_the_target_for_its_own_tokens(sampler):
    data = windows(sampler, sizes=(11,), packing="none", size=30)
    last = [int(data[n]["position_ids"][10]) for n in range(30)]
    assert max(last) > 40  # the window's first 11 of 16 would be the start of the range, for cream in every draw
    assert all((data[n]["position_ids"][:11].diff() >= 1).all() for n in range(30))


def conversations() -> TokenStore:
    """Three conversations: of the tokens 10 000 d + place, those at odd places are learnt."""
    batches: list[pa.RecordBatch] = []
    with StoreWriter(batches.append) as writer:
        for number, tokens in enumerate(documents(9, 6, 14)):
            writer.add(f"chats.jsonl:{number + 1}", tokens, tokens % 2 == 1, example=number)
    return TokenStore(pa.Table.from_batches(batches, SCHEMA))


@pytest.mark.parametrize("packing", ["fill", "best-fit", "none"])
def test_only_what_a_conversation_marks_as_learnt_has_a_label(packing):
    text = TextStretches(conversations(), window=16, reach=16, seed=0, packing=packing)
    data = TrainingWindows([text], positions.get("contiguous")(), target_length=16, size=len(text), seed=0)
    for number in range(len(text)):
        item = data[number]
        learnt = item["labels"] != IGNORED
        assert (item["labels"][learnt] == item["input_ids"][learnt]).all()
        places = torch.cat([torch.arange(16)[:1] * 0 - 1, item["segment_ids"][:-1]])
        begins = item["segment_ids"] != places
        assert (learnt == ((item["input_ids"] % 2 == 1) & ~begins & (item["segment_ids"] != PADDING))).all()


def test_whole_batches_leave_others_over_in_each_sweep():
    text = stretches(*[16] * 100, multiple=32)
    assert len(text) == 96
    sweeps = [{int(text.pieces(s * 96 + n).document[0]) for n in range(96)} for s in range(3)]
    assert [len(sweep) for sweep in sweeps] == [96] * 3  # 4 documents wait
    assert sweeps[0] != sweeps[1] != sweeps[2]
    assert len(stretches(*[16] * 20, multiple=32)) == 20  # less than a batch is read to its end


def test_only_chosen_documents_are_read():
    text = stretches(16, 16, 5, 16, 9, chosen=np.array([1, 2, 3]), packing="none")
    assert sorted(int(text.pieces(n).document[0]) for n in range(len(text))) == [1, 2, 3]


def mixed(weights=(60, 40), recall_share=0.0, window=16, sizes=((500, 520), (90, 400))):
    texts = [stretches(*lengths, window=window, source=source) for source, lengths in enumerate(sizes)]
    recall = RecallWindows(characters, characters("some text " * 200), window, shortest_passkey=window // 2)
    return TrainingWindows(
        texts,
        positions.get("contiguous")(),
        target_length=window,
        size=50,
        seed=2,
        weights=weights,
        recall=recall if recall_share else None,
        recall_share=recall_share,
    )


def test_sources_take_their_shares_spread_evenly_and_each_is_read_once_per_sweep():
    data = mixed()
    places = [data.mix.place(number) for number in range(50)]
    assert [source for source, _ in places].count(0) == 30
    assert all([source for source, _ in places[n : n + 5]].count(1) == 2 for n in range(0, 50, 5))
    for source in (0, 1):
        assert [index for s, index in places if s == source] == list(range(data.mix.counts(50)[source]))
    data = mixed(sizes=[(200, 120), (90, 100)])
    assert len(data.sources[1]) == 11
    first = [int(data[n]["input_ids"][0]) for n in range(50) if places[n][0] == 1][:11]
    assert len(set(first)) == 11


@pytest.mark.parametrize("weights", [(1,), (3, 1), (1, 1, 1), (0.2, 5, 1, 0.7)])
@pytest.mark.parametrize("last_share", [0.0, 0.4, 1.0])
def test_a_mix_numbers_the_windows_of_each_source_without_gaps_and_counts_them(weights, last_share):
    mix = Mix(weights, last_share=last_share)
    places = [mix.place(number) for number in range(1000)]
    sources = len(weights) + bool(last_share)
    for source in range(sources):
        assert [index for s, index in places if s == source] == list(range(mix.counts(1000)[source]))
    shares = [weight / sum(weights) * (1 - last_share) for weight in weights] + [last_share]
    for count, share in zip(mix.counts(1000), shares, strict=False):
        assert abs(count - 1000 * share) <= sources


def test_two_sources_of_one_text_are_swept_in_different_orders():
    a, b = (stretches(*[16] * 40, source=source) for source in (0, 1))
    orders = [[int(text.pieces(n).document[0]) for n in range(40)] for text in (a, b)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_window_says_which_documents_it_holds():
    packed = windows(sizes=(7, 9), size=1)
    assert packed.describe(0) == "document 1 and document 0"
    assert windows(sizes=(16,), size=1).describe(0) == "document 0"
    many = windows(sizes=(5, 4, 3, 2, 2), size=1)
    assert many.describe(0) == "document 0, document 1, document 2 and 2 more"
    assert mixed(recall_share=1.0, window=600, sizes=((1500,), (900,))).describe(0) == "a synthetic recall task"


def test_the_training_set_goes_to_another_process_whole():
    data = mixed(recall_share=0.3, window=600, sizes=((1500, 2000), (900, 4000)))
    again = pickle.loads(pickle.dumps(data))
    assert all(same(data[number], again[number]) for number in range(50))


def tiny_llama(attention="sdpa"):
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


def logits(model, windows, mask=None):
    batch = collate(windows)
    with torch.no_grad():
        return model(
            input_ids=batch["input_ids"] % 97,
            position_ids=batch["position_ids"],
            attention_mask=batch["attention_mask"] if mask is None else mask,
            use_cache=False,
        ).logits


@pytest.mark.parametrize("packing", ["fill", "best-fit"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_no_document_sees_another_one_of_its_window(packing, attention):
    model = tiny_llama(attention)
    data = windows(sizes=(7, 4, 3), packing=packing, window=14, target=14, size=1)
    item = data[0]
    changed = {name: value.clone() for name, value in item.items()}
    other = item["segment_ids"] == 0
    assert 0 < int(other.sum()) < len(other)
    changed["input_ids"][other] += 1
    before, after = logits(model, [item]), logits(model, [changed])
    assert torch.equal(before[0][~other], after[0][~other])
    assert not torch.equal(before[0][other], after[0][other])
    leaky = torch.ones(1, 14, dtype=torch.int64)
    assert not torch.equal(logits(model, [item], leaky)[0][~other], logits(model, [changed], leaky)[0][~other])


def test_a_document_computes_the_same_in_a_packed_window_as_alone():
    model = tiny_llama()
    item = windows(sizes=(7, 4, 3), packing="best-fit", window=16, target=16, size=1)[0]
    whole = logits(model, [item])[0]
    for segment in range(3):
        here = item["segment_ids"] == segment
        alone = {name: value[here] for name, value in item.items()}
        assert torch.allclose(whole[: len(here)][here[: len(whole)]], logits(model, [alone])[0], atol=1e-5)


def test_padding_changes_no_logit_of_a_document():
    model = tiny_llama()
    data = windows(sizes=(7, 12), packing="none", size=2)
    short, long = sorted((data[0], data[1]), key=lambda item: int(item["input_ids"][0]))
    together, alone = logits(model, [short, long]), logits(model, [short])
    assert together.shape[1] == 12
    assert torch.allclose(together[0, :7], alone[0], atol=1e-5)
    assert torch.isfinite(together).all()


def characters(piece: str) -> np.ndarray:
    return np.array([ord(c) for c in piece], dtype=np.int64)


def test_recall_windows_take_exactly_their_share_spread_evenly_and_text_is_still_read_once_per_sweep():
    recall = RecallWindows(characters, characters("some text " * 200), 600, shortest_passkey=400)
    data = windows(sizes=(6000, 3000), window=600, target=600, size=40, recall=recall, recall_share=0.3)
    kinds = ["text" if data[n]["labels"][1:].min() >= 10_000 else "recall" for n in range(40)]
    assert kinds.count("recall") == 12
    assert all(kinds[start : start + 10].count("recall") == 3 for start in range(0, 40, 10))
    firsts = [int(data[n]["input_ids"][0]) for n in range(40) if kinds[n] == "text"][:15]
    assert len(set(firsts)) == 15
    for number in range(40):
        if kinds[number] == "recall":
            labels = data[number]["labels"]
            assert len(labels) == 600
            assert (labels != IGNORED).any()
            answers = "".join(chr(t) for t in labels[labels != IGNORED])
            assert "".join(answers.split()).isdigit()
