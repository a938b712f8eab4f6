"""Rules about config.json: settings that contradict themselves, or that a common reader takes for something else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import scaling_type
from ropewalk.adapters.doctor.rule import Case, Found, Repair, Rule, rule
from ropewalk.adapters.families import FULL, SLIDING, assumed_family
from ropewalk.adapters.foreign import ENTROPY_ABF_RELEASE
from ropewalk.adapters.spelling import both_spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS: list[Rule] = []
_setting = partial(rule, SETTINGS)
_NEEDS_ORIGINAL = ("yarn", "longrope", "llama3")
_KNOWN_TYPES = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "proportional", "mrope")
_ORIGINAL = "original_max_position_embeddings"
_TRANSFORMERS = "measured, transformers 5.23"
_BOTH_VERSIONS = "measured, transformers 4.57 and 5.23"


@_setting("unknown-type", "error", "transformers 5.23, modeling_rope_utils.py")
def _unknown_type(case: Case) -> Iterator[Found]:
    """The rope type must be one that transformers knows: a process without the code that registered it cannot load."""
    if case.kind not in (*_KNOWN_TYPES, ENTROPY_ABF_RELEASE):
        yield Found(
            f"rope type '{case.kind}' is not one that transformers knows: loading fails without its own code",
            f"Write the method as one of {', '.join(_KNOWN_TYPES[:-2])}; any fixed frequencies fit into longrope.",
        )


@_setting("two-settings", "error", _BOTH_VERSIONS)
def _two_settings(case: Case) -> Iterator[Found]:
    """`rope_parameters` and `rope_scaling` must say the same: transformers 5 takes `rope_scaling`, others may not."""
    new, old = _newer(case), case.config.text.get("rope_scaling")
    if not isinstance(new, dict) or not isinstance(old, dict):
        return
    a, b = _comparable(new), _comparable(old)
    differing = sorted(key for key in a.keys() & b.keys() if a[key] != b[key])
    if differing:
        yield Found(
            f"rope_parameters and rope_scaling disagree on {', '.join(differing)}: transformers 5 takes "
            "rope_scaling, and other readers may take the other",
            "Take the one that the model was not trained with out of config.json.",
        )


@_setting("factor-count", "error", "transformers 5.23, _validate_longrope_rope_parameters")
def _factor_lists(case: Case) -> Iterator[Found]:
    """`short_factor` and `long_factor` must have one number for each rotated pair."""
    for key in ("short_factor", "long_factor"):
        values = case.scaling.get(key)
        if isinstance(values, list) and len(values) != case.config.rope.pairs:
            yield Found(
                f"{key} has {len(values)} numbers, but the heads have {case.config.rope.pairs} rotated pairs",
                "Bring the list of this very model.",
            )


@_setting("original-missing", "warning", _TRANSFORMERS)
def _original_missing(case: Case) -> Iterator[Found]:
    """yarn, longrope and llama3 must say the trained window: it places their ramp and sets their attention scale."""
    if case.kind not in _NEEDS_ORIGINAL or case.original:
        return
    trained = _trained_window(case)
    yield Found(
        f"{case.kind} without {_ORIGINAL}: readers take max_position_embeddings "
        f"({case.config.declared_length:,}) for the trained window, which bends the wrong pairs if it was raised",
        f'Write "{_ORIGINAL}": {trained or "the trained window"} beside the factor'
        + ("." if trained else "; `inspect --fix --set trained_length=TOKENS` does."),
        Repair(_raised(case, trained), rope={_ORIGINAL: trained}) if trained else None,
    )


@_setting("factor-mismatch", "warning", "transformers 5.23, standardize_rope_params; vLLM, get_and_verify_max_len")
def _factor_mismatch(case: Case) -> Iterator[Found]:
    """Factor times the trained window must be the declared one: some readers take the factor, some the quotient."""
    # llama3 is left out: Meta's own checkpoints declare factor 8 of 8,192 and a window of 131,072.
    if case.kind not in ("yarn", "longrope") or not case.original or not case.factor:
        return
    # An engine reads max_position_embeddings = original as "scaling not counted yet"; that form is common and clear.
    reached = round(case.factor * case.original)
    if case.config.declared_length not in (case.original, reached):
        yield Found(
            f"factor {case.factor:g} x {_ORIGINAL} {case.original:,} = {case.factor * case.original:,.0f}, but "
            f"max_position_embeddings says {case.config.declared_length:,}",
            f'Write "max_position_embeddings": {reached}, if the factor is what the model was trained with.',
        )


@_setting("window-left", "note", "vLLM threads 16757, open-r1 645, ms-swift 1591")
def _window_left(case: Case) -> Iterator[Found]:
    """`max_position_embeddings` should be the window after scaling: programs size caches and refuse prompts by it."""
    if case.kind not in (*_NEEDS_ORIGINAL, "linear") or not case.factor or not case.original or case.factor <= 1:
        return
    if case.config.declared_length == case.original:
        reached = round(case.factor * case.original)
        yield Found(
            f"max_position_embeddings was left at the trained window of {case.original:,} tokens, although "
            f"{case.kind} reaches {reached:,}: engines differ in whether they multiply it, and cut prompts where not",
            f'Write "max_position_embeddings": {reached}.',
            Repair({"max_position_embeddings": reached}),
        )


@_setting("linear-window", "warning", "no field of the type says it")
def _linear_window(case: Case) -> Iterator[Found]:
    """Linear should say the trained window: its table does not need it, and every reader of the window does."""
    if case.kind != "linear" or case.original:
        return
    told = case.told.get("trained_length")
    yield Found(
        f"linear scaling does not say whether max_position_embeddings ({case.config.declared_length:,}) is the window "
        "before or after it; it is taken as the trained window here",
        f'Write "{_ORIGINAL}" beside the factor; `inspect --fix --set trained_length=TOKENS` does.',
        Repair(_raised(case, int(told)), rope={_ORIGINAL: int(told)}) if told else None,
    )


@_setting("dynamic-raised", "warning", _TRANSFORMERS)
def _dynamic_raised(case: Case) -> Iterator[Found]:
    """Dynamic must leave `max_position_embeddings` at the trained window, which is where it begins to scale."""
    if case.kind == "dynamic" and case.original and case.config.declared_length > case.original:
        yield Found(
            f"dynamic scaling starts beyond max_position_embeddings ({case.config.declared_length:,}), which was "
            f"raised above the trained window ({case.original:,}): it never scales inside the declared window",
            f'Write "max_position_embeddings": {case.original}.',
            Repair({"max_position_embeddings": case.original}),
        )


@_setting("length-dependent", "warning", "measured, transformers 5.23: cached decoding off by 0.36 at a spread of 0.6")
def _length_dependent(case: Case) -> Iterator[Found]:
    """Frequencies should not depend on the longest position of a call: cached keys were rotated by others."""
    if case.kind == "dynamic":
        yield Found(
            "dynamic scaling depends on the longest position of a call: cached keys and nested measurements are not "
            "exact, and a short text after a long one keeps the long one's frequencies",
            "Extend the unscaled model by ntk or yarn; `ropewalk export` can freeze dynamic at one length.",
        )
    short, long = case.scaling.get("short_factor"), case.scaling.get("long_factor")
    if case.kind in ("longrope", "su") and short and long and short != long:
        yield Found(
            f"longrope switches from short_factor to long_factor beyond {case.original or 'the original'} tokens: "
            "a cache that was begun below is stale above",
            "Begin every conversation that may grow so long with an empty cache and the long set; engines that choose "
            "by their window (vLLM) never switch.",
        )


@_setting("scaling-in-one-spelling", "warning", _BOTH_VERSIONS)
def _scaling_in_one_spelling(case: Case) -> Iterator[Found]:
    """A scaling should stand in both spellings: transformers 4 reads `rope_scaling`, 5 saves `rope_parameters`."""
    new, old = _newer(case), case.config.text.get("rope_scaling")
    if isinstance(new, dict) and not isinstance(old, dict) and case.kind != "default" and _has_older_spelling(case):
        yield Found(
            "the scaling is in rope_parameters alone: transformers 4 does not read it and applies none",
            "Write rope_scaling and rope_theta as well; `inspect --fix` does.",
            Repair(),
        )


@_setting("two-bases", "warning", "transformers 4.57 takes the top level, 5.23 rope_parameters")
def _two_bases(case: Case) -> Iterator[Found]:
    """`rope_theta` must be the same at the top level and inside `rope_parameters`."""
    base, top = _bases(case)
    if base is not None and top is not None and float(base) != float(top):
        yield Found(
            f"rope_parameters says base {base:g}, the top level says {top:g}: readers differ on which one counts",
            "Write the base that the model was trained with in both places.",
        )


@_setting("base-in-one-spelling", "warning", _BOTH_VERSIONS)
def _base_in_one_spelling(case: Case) -> Iterator[Found]:
    """The base should stand at the top level, too: transformers 4 does not look into `rope_parameters`."""
    base, top = _bases(case)
    if base is None or top is not None or not _has_older_spelling(case):
        return
    if not _is_nested(case) and float(base) != assumed_family(case.config.model_type).base:
        yield Found(
            f"base {base:g} is in rope_parameters alone: transformers 4 reads its default instead",
            f'Write "rope_theta": {base:g} at the top level as well; `inspect --fix` does.',
            Repair(),
        )


@_setting("flat-for-nested", "warning", _TRANSFORMERS)
def _flat_for_nested(case: Case) -> Iterator[Found]:
    """A family with one rope setting for each layer type must have such a `rope_parameters`: a flat one is ignored."""
    parameters = case.config.text.get("rope_parameters")
    nested = assumed_family(case.config.model_type).rope_per_layer_type
    if nested and isinstance(parameters, dict) and parameters and not _is_nested(case):
        yield Found(
            f"'{case.config.model_type}' keeps one rope setting for each layer type; the flat rope_parameters in this "
            "config is ignored by transformers 5, which uses its defaults",
            f'Write it as "rope_parameters": {{"{FULL}": ...}} with an entry for every layer type.',
        )


@_setting(
    "nested-truncate", "warning", "transformers 5.23, _compute_yarn_parameters reads it from the outer dictionary"
)
def _nested_truncate(case: Case) -> Iterator[Found]:
    """Yarn's `truncate` must not stand in a per-layer-type entry: it is looked for one level up."""
    parameters = case.config.text.get("rope_parameters")
    if isinstance(parameters, dict) and any("truncate" in entry for entry in _entries(parameters)):
        yield Found(
            "yarn's 'truncate' inside a per-layer-type entry is not read by transformers 5.23 (it looks one level up)",
            "Take it out and expect a truncated ramp, or carry the table as longrope.",
        )


@_setting("sliding-everywhere", "warning", "transformers 5.23, sliding-window masks")
def _sliding_everywhere(case: Case) -> Iterator[Found]:
    """Some layer must see the whole window: no rotary setting reaches further than a sliding layer attends."""
    window, types = case.config.sliding_window, set(case.config.layer_types)
    if window and types == {SLIDING} and window < case.config.declared_length:
        yield Found(
            f"every layer slides over {window:,} tokens: whatever the rotary embedding, a token attends no further "
            f"back, although the window says {case.config.declared_length:,}",
            "Set sliding_window to null and train, or count on that window.",
        )


@_setting("attention-factor", "note", "vLLM up to 0.25 and SGLang read attn_factor, a multiplier; see docs/export.md")
def _attention_factor(case: Case) -> Iterator[Found]:
    """Yarn's `attention_factor` is not read by every engine: the same folder is then scaled differently."""
    stated = case.scaling.get("attention_factor")
    if case.kind == "yarn" and isinstance(stated, int | float):
        yield Found(
            f"yarn's attention_factor {stated:g} is read by transformers, and ignored by older vLLM and by SGLang",
            "For an engine, write it with `ropewalk export`.",
        )


@_setting("entropy-abf-release", "warning", "arXiv 2401.07004, released configs and code")
def _entropy_abf_release(case: Case) -> Iterator[Found]:
    """Entropy-ABF's released spelling is read by no library: its own patch sets base 500,000 and scales queries."""
    if case.kind != ENTROPY_ABF_RELEASE:
        return
    layers = case.told.get("exempt_layers")
    yield Found(
        f"rope type 'eabf' is the released spelling of Entropy-ABF, which no library reads, and "
        f"max_position_embeddings ({case.config.declared_length:,}) is the trained window; ropewalk.load computes it, "
        "with the paper's two exempt layers (its released code scales all layers)",
        "Use ropewalk.load or `ropewalk evaluate` as it is; `inspect --fix --set exempt_layers=2` (the paper) or "
        "`exempt_layers=0` (the released code) writes a folder that says so.",
        Repair(adopts=True) if layers is not None else None,
    )


def _newer(case: Case) -> Any:
    """`rope_parameters` of the full-attention layers, where there is such a thing."""
    new: Any = case.config.text.get("rope_parameters")
    return new[FULL] if _is_nested(case) else new


def _is_nested(case: Case) -> bool:
    new = case.config.text.get("rope_parameters")
    return isinstance(new, dict) and isinstance(new.get(FULL), dict)


def _entries(parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [value for value in parameters.values() if isinstance(value, dict)]


def _bases(case: Case) -> tuple[Any, Any]:
    """The base in `rope_parameters`, and that at the top level where the two mean the same layers."""
    new = _newer(case)
    base = new.get("rope_theta") if isinstance(new, dict) else None
    # Where layers differ, the older spelling's base means different layers in different families.
    top = None if _is_nested(case) else case.config.text.get("rope_theta", case.config.text.get("rotary_emb_base"))
    return base, top


def _has_older_spelling(case: Case) -> bool:
    return "rope_scaling" in both_spellings(case.config.text)


def _comparable(rope: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in rope.items() if key not in ("type", "rope_theta") and value is not None}
    values["rope_type"] = scaling_type(rope)
    return values


def _trained_window(case: Case) -> int | None:
    """The trained window, where a user or the tokenizer says it and the factor agrees."""
    declared, factor = case.config.declared_length, case.factor
    if not factor:
        return None
    if told := case.told.get("trained_length"):
        return int(told)
    tokens = case.tokenizer.get("model_max_length")
    return int(tokens) if isinstance(tokens, int) and tokens < declared == round(factor * tokens) else None


def _raised(case: Case, trained: int | None) -> dict[str, Any]:
    """The declared window after scaling, where it stands at the trained one."""
    if trained and case.factor and case.config.declared_length == trained:
        return {"max_position_embeddings": round(case.factor * trained)}
    return {}
