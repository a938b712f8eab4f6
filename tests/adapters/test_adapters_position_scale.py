"""The position-dependent logit scale: once, on queries alone, by position and layer, wherever positions come from."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from tiny_models import TARGET, TRAINED, decoded_logits, logits, reference_logits, tiny_model, tokens
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from ropewalk import methods
from ropewalk.adapters import extend_checkpoint, extend_model, save_model
from ropewalk.adapters.attention import PositionScale, attached, wrap_attention_functions
from ropewalk.errors import CarrierError, ModelError
from ropewalk.method import Method
from ropewalk.rope import Rope

ROPE = Rope(head_dim=16, base=10000.0, trained_length=TRAINED)
METHOD = methods.get("entropy-abf").for_target(ROPE, TARGET)
POSITIONS = np.concatenate([np.arange(12), np.arange(TARGET - 12, TARGET)])


def scale(layer, positions):
    return METHOD.attention_scale(ROPE, positions.astype(int), layer)


def root(layer, positions):
    return np.sqrt(scale(layer, positions))


def without_exemption(layer, positions):
    return scale(layer + 2, positions)


def extended(**changes):
    model = tiny_model(**changes)
    extend_model(model, METHOD, TARGET)
    return model


def difference(**wrong):
    """Largest logit difference between the extended model and a reference with these scales."""
    model, ids = extended(), tokens(len(POSITIONS))
    settings = {"query_scale": scale, **wrong}
    wanted = reference_logits(model, ids, POSITIONS, METHOD.frequencies(ROPE), **settings)
    return np.abs(logits(model, ids, POSITIONS)[0] - wanted).max()


def test_the_scale_is_applied_once_to_the_query():
    assert difference() < 2e-4


@pytest.mark.parametrize(
    "wrong",
    [
        {"query_scale": root, "key_scale": root},  # "sqrt(t) on both sides" gives sqrt(t_i t_j)
        {"query_scale": lambda layer, at: scale(layer, at) ** 2},
        {"query_scale": without_exemption},
        {"query_scale": lambda layer, at: scale(layer, at - 1)},
        {"query_scale": None},
    ],
    ids=["root-on-both-sides", "squared", "no-exempt-layers", "off-by-one", "ignored"],
)
def test_the_reference_notices_every_known_wrong_scale(wrong):
    assert difference(**wrong) > 4e-4


def test_up_to_the_trained_window_entropy_abf_is_abf_bit_for_bit():
    ids = tokens(TRAINED)
    abf = tiny_model()
    extend_model(abf, "abf", TARGET)
    np.testing.assert_array_equal(logits(extended(), ids), logits(abf, ids))


def test_beyond_the_trained_window_entropy_abf_is_not_abf():
    ids, positions = tokens(TRAINED), np.arange(100, 100 + TRAINED)
    abf = tiny_model()
    extend_model(abf, "abf", TARGET)
    assert np.abs(logits(extended(), ids, positions) - logits(abf, ids, positions)).max() > 1e-2


def test_a_model_of_exempt_layers_alone_is_refused():
    with pytest.raises(CarrierError, match="none of the 2 layers would change"):
        extend_model(tiny_model(num_hidden_layers=2), METHOD, TARGET)


def test_layers_whose_window_is_not_longer_than_the_trained_one_are_left_alone():
    model = tiny_model("gemma2")
    extend_model(model, METHOD, TARGET)
    carrying = [layer for layer, block in enumerate(model.model.layers) if attached(block) is not None]
    assert carrying == [3]  # 0 and 1 are exempt, 2 slides over 32 tokens


@pytest.mark.parametrize("name", ["staircase", "ssmax"])
def test_a_constant_scale_under_another_must_reach_the_layers_that_slide(name, tmp_path):
    """They share the stretched table, and yarn's scale is made for it."""
    over = {over: methods.get(name).for_target(ROPE, TARGET, {"over": over}) for over in ("yarn", "ntk-by-parts")}
    words = rf"under '{name}' that of 'yarn' would miss the 2 of 4 layers that slide over 32 tokens"
    with pytest.raises(CarrierError, match=words):
        extend_model(tiny_model("gemma2"), over["yarn"], TARGET)
    save_model(tiny_model("gemma2"), None, tmp_path / "base")
    with pytest.raises(CarrierError, match=words):
        extend_checkpoint(tmp_path / "base", tmp_path / "long", over["yarn"], TARGET)
    extend_model(tiny_model("gemma2"), over["ntk-by-parts"], TARGET)
    extend_model(tiny_model("gemma2", sliding_window=TRAINED + 1), over["yarn"], TARGET)
    extend_model(tiny_model("olmo3"), over["yarn"], TARGET)  # a table of their own
    extend_model(tiny_model(), over["yarn"], TARGET)


@pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")  # transformers' own call
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt_neox"])
def test_every_attention_implementation_gives_the_same_logits(family, implementation):
    ids, positions = tokens(24), np.arange(TARGET - 24, TARGET)
    wanted = logits(extended(family=family), ids, positions)
    model = extended(family=family)
    model.set_attn_implementation(implementation)
    with torch.compiler.set_stance("force_eager"):  # flex would call a C++ compiler, which a fresh machine has not
        got = logits(model, ids, positions)
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    plain = tiny_model(family)
    extend_model(plain, "abf", TARGET)
    assert np.abs(wanted - logits(plain, ids, positions)).max() > 1e-2


def test_cached_decoding_equals_the_full_forward():
    model, ids, positions = extended(), tokens(24), np.arange(TRAINED - 12, TRAINED + 12)
    np.testing.assert_allclose(decoded_logits(model, ids, positions), logits(model, ids, positions), atol=1e-5)


def test_left_padding_does_not_change_the_logits():
    model, ids, positions = extended(), tokens(16), np.arange(100, 116)
    wanted = logits(model, ids, positions)
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.long), ids], dim=1)
    mask = torch.tensor([[0] * 5 + [1] * 16])
    got = logits(model, padded, np.concatenate([np.ones(5, dtype=int), positions]), mask=mask)
    np.testing.assert_allclose(got[:, 5:], wanted, atol=1e-5)


def test_rows_of_one_batch_have_their_own_positions():
    model, ids = extended(), tokens(12, rows=2)
    both = np.stack([np.arange(12), np.arange(400, 412)])
    got = logits(model, ids, both)
    for row in range(2):
        np.testing.assert_allclose(got[row], logits(model, ids[row : row + 1], both[row])[0], atol=1e-5)


def test_packed_documents_count_from_their_own_start():
    model, ids = extended(), tokens(160)
    starts = np.concatenate([np.arange(80), np.arange(80)])
    block = torch.tril(torch.ones(160, 160, dtype=torch.bool))
    block[80:, :80] = False
    got = logits(model, ids, starts, mask=block[None, None])
    for part in (slice(0, 80), slice(80, 160)):
        np.testing.assert_allclose(got[:, part], logits(model, ids[:, part]), atol=1e-5)


def test_generate_with_a_cache_follows_generation_without_one():
    model = extended()
    ids = tokens(TRAINED - 4)
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    cached = model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=True, **options)
    plain = model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=False, **options)
    assert cached.shape[1] > TRAINED
    assert torch.equal(cached, plain)


def test_generate_with_left_padding_gives_each_row_its_own_answer():
    model = extended()
    long, short = tokens(80, seed=3), tokens(70, seed=4)
    batch = torch.cat([long, torch.cat([torch.zeros(1, 10, dtype=torch.long), short], dim=1)])
    mask = torch.ones_like(batch)
    mask[1, :10] = 0
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    together = model.generate(batch, attention_mask=mask, **options)[:, 80:]
    alone = [model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, -6:] for ids in (long, short)]
    assert torch.equal(together, torch.stack(alone))


def test_gradients_are_the_same_with_activation_checkpointing():
    ids = tokens(24)
    gradients = []
    for checkpointed in (False, True):
        model = extended().train()
        if checkpointed:
            model.activation_checkpointing_enable()
        positions = torch.arange(100, 124)[None]
        output = model(input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids), labels=ids)
        output.loss.backward()
        gradients.append(model.model.layers[3].self_attn.q_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


@dataclass(frozen=True)
class FromTheStart(Method):
    """A newcomer's scale: it grows from the first token on, and differs in every layer."""

    name: ClassVar[str] = "from-the-start"
    scale_varies: ClassVar[bool] = True

    def attention_scale(self, rope, positions, layer):
        return 1.0 + 0.1 * (layer + 1) * np.log1p(np.asarray(positions, dtype=np.float64))


def test_any_scale_by_position_and_layer_is_applied():
    model, ids, method = tiny_model(), tokens(len(POSITIONS)), FromTheStart()
    report = extend_model(model, method, TARGET)
    wanted = reference_logits(
        model, ids, POSITIONS, ROPE.frequencies, query_scale=lambda layer, at: method.attention_scale(ROPE, at, layer)
    )
    np.testing.assert_allclose(logits(model, ids, POSITIONS)[0], wanted, atol=5e-4)
    assert "at position 63 the logits carry the attention scale exactly once" in report.self_test


def test_a_compiled_model_scales_the_same():
    model, ids, positions = extended(), tokens(24), np.arange(TARGET - 24, TARGET)
    wanted = logits(model, ids, positions)
    for compiled in (torch.compile(extended(), backend="eager"), torch.compile(model, backend="eager")):
        np.testing.assert_allclose(logits(compiled, ids, positions), wanted, atol=1e-5)


def test_positions_beyond_the_target_make_the_table_grow():
    model, ids = extended(), tokens(12)
    positions = np.arange(3 * TARGET, 3 * TARGET + 12)
    wanted = reference_logits(model, ids, positions, METHOD.frequencies(ROPE), query_scale=scale)
    np.testing.assert_allclose(logits(model, ids, positions)[0], wanted, atol=2e-3)
    assert attached(model).length > 3 * TARGET


def test_the_table_holds_the_published_values_of_the_scale():
    known = {4095: 1.0, 4096: 1.00002935, 8191: 13 / 12, 16383: 7 / 6, 32767: 5 / 4, 65535: 4 / 3}
    table = PositionScale(METHOD, Rope(head_dim=16, base=10000.0, trained_length=4096), 65536)
    values = table.values(torch.tensor(list(known)), layer=2)
    np.testing.assert_allclose(values, list(known.values()), rtol=1e-7)
    assert torch.equal(table.values(torch.tensor(list(known)), layer=1), torch.ones(6))


def test_layers_of_one_scale_share_one_table():
    table = PositionScale(METHOD, ROPE, TARGET)
    assert table._table(2, torch.device("cpu")) is table._table(3, torch.device("cpu"))
    assert table._table(1, torch.device("cpu")) is not table._table(2, torch.device("cpu"))


def test_the_product_is_made_in_float32_and_rounded_once():
    query = torch.randn(1, 2, 8, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    positions = torch.arange(TARGET - 8, TARGET)[None]
    got = PositionScale(METHOD, ROPE, TARGET).apply(query, positions, layer=3)
    exact = torch.from_numpy(scale(3, np.arange(TARGET - 8, TARGET)).astype(np.float32))[None, None, :, None]
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, (query.float() * exact).to(torch.bfloat16))
    assert not torch.equal(got, query * exact.to(torch.bfloat16))


@pytest.mark.parametrize("positions", [None, torch.arange(3)[None]])
def test_queries_without_positions_are_refused_with_both_shapes(positions):
    with pytest.raises(ModelError, match=r"layer 3 was told .* for 8 queries. Pass position_ids of shape"):
        PositionScale(METHOD, ROPE, TARGET).apply(torch.zeros(1, 2, 8, 16), positions, layer=3)


def test_a_model_without_a_scale_is_untouched_by_the_wrappers():
    ids = tokens(20)
    for implementation in ("eager", "sdpa"):
        plain = tiny_model()
        plain.set_attn_implementation(implementation)
        before = logits(plain, ids, np.arange(300, 320))
        wrap_attention_functions()
        np.testing.assert_array_equal(logits(plain, ids, np.arange(300, 320)), before)


def test_wrapping_twice_changes_nothing():
    wrap_attention_functions()
    first = {key: ALL_ATTENTION_FUNCTIONS[key] for key in ALL_ATTENTION_FUNCTIONS.valid_keys()}
    look_up = AttentionInterface.get_interface
    wrap_attention_functions()
    assert {key: ALL_ATTENTION_FUNCTIONS[key] for key in ALL_ATTENTION_FUNCTIONS.valid_keys()} == first
    assert AttentionInterface.get_interface is look_up


def test_a_copied_or_pickled_model_keeps_its_scale():
    model, ids, positions = extended(), tokens(12), np.arange(300, 312)
    wanted = logits(model, ids, positions)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(logits(other, ids, positions), wanted)
