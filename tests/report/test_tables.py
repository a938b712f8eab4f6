"""Tables: they fit a terminal, and every number in them has its interval and n."""

from __future__ import annotations

import io

import pytest
from report_results import estimate, result
from rich.console import Console

from ropewalk.report import tables
from ropewalk.result import Comparison, DemoResult, Estimate, ModelRecord

LONG = "entropy-abf, new base 25,000, exempt layers 2, 80 steps at 2,048 tokens"


def shown(table) -> str:
    """As a terminal of 100 columns shows it."""
    console = Console(width=tables.COLUMNS, markup=False, file=io.StringIO(), no_color=True)
    console.print(table)
    return console.file.getvalue()


def words_of(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def comparison(**changes) -> Comparison:
    model = {"name": "builtin", "trained_length": 256, "target_length": 2048}
    fields = {"protocol": "same", "unit": "nats/token", "interval": "bootstrap", "samples": 168, "clusters": 21}
    estimates = [
        Estimate(measure="paired_nll_change", length=256, value=0.01, low=-0.01, high=0.03, **fields),
        Estimate(measure="paired_nll_change", length=512, value=-0.5, low=-0.6, high=-0.4, **fields),
        Estimate(measure="passkey_change", length=512, value=0.9, low=0.8, high=1.0, **{**fields, "unit": "share"}),
        Estimate(measure="key_value_change", length=512, value=-0.9, low=-1.0, high=-0.8, **fields),
    ]
    return Comparison(
        before=ModelRecord(method="untouched", **model),
        after=ModelRecord(method="yarn, factor 8", **model),
        data="0123456789abcdef-01234567",
        seed=0,
        estimates=tuple(estimates),
        **changes,
    )


@pytest.mark.parametrize("methods", [["untouched"], ["untouched", "yarn, factor 8"], ["untouched", LONG, LONG]])
def test_every_table_fits_a_hundred_columns(methods):
    results = [result(method) for method in methods]
    both = [tables.curves_table(results), tables.gains_table(results), tables.comparison_table(comparison())]
    for table in (*both, *tables.evaluation_tables(results[-1])):
        text = shown(table)
        assert max(map(len, text.splitlines())) <= 100
        assert "…" not in text


def test_a_cell_holds_value_interval_and_failures():
    failed = result("untouched").find("perplexity", 256).model_copy(update={"length": 4096, "failed": 3})
    text = shown(tables.curves_table([result("untouched", extra=(failed,))]))
    assert "24.60" in text
    assert "22.55..26.65" in text
    assert "3 failed" in text
    assert "n = 168 in 21 clusters at each length, bootstrap interval" in words_of(text)


def test_an_evaluation_prints_curves_gains_and_depths():
    titles = [str(table.title) for table in tables.evaluation_tables(result("untouched"))]
    assert [title.split(",")[0] for title in titles] == [
        "Against context length",
        "Gain from more context",
        "pass key found by depth: untouched",
    ]


def test_the_demo_prints_before_beside_after_and_their_difference():
    both = {"before": result("untouched"), "after": result("yarn, factor 8")}
    text = "".join(shown(t) for t in tables.demo_tables(DemoResult.model_construct(comparison=comparison(), **both)))
    assert "Against context length" in text
    assert "Gain from more context" in text
    assert "Change from 'untouched' to 'yarn, factor 8', same samples" in text


def test_scores_of_the_battery_stand_beside_what_blind_choice_scores():
    scores = {"samples": 80, "clusters": 8, "unit": "mean score", "interval": "Wilson"}
    extra = (
        *(estimate("json_kv_score", n, 0.5, 0.1, chance=0.04, **scores) for n in (1024, 2048)),
        estimate("variable_tracking_score", 2048, 0.7, 0.1, chance=0.5, failed=2, **scores),
    )
    tables_of_result = tables.evaluation_tables(result("untouched", extra=extra))
    (table,) = [t for t in tables_of_result if "Retrieval tasks" in str(t.title)]
    text = shown(table)
    assert text.count("chance 0.04") == 2
    assert "chance 0.50" in text
    assert "2 failed" in text
    assert words_of(text).count("80/8") == 2
    row = next(line for line in text.splitlines() if "variable-tracking" in line)
    assert row.split("│")[2].strip() == "-"


def test_a_measure_without_a_table_of_its_own_is_not_lost():
    extra = estimate("hellaswag_acc_norm", 2048, 0.51, 0.02, unit="share", protocol="lm-eval 0.4, 10 shots")
    (table,) = [t for t in tables.evaluation_tables(result("untouched", extra=(extra,))) if "Measured" in str(t.title)]
    text = words_of(shown(table))
    assert "hellaswag_acc_norm 2,048 0.510 0.490..0.530 share" in text
    assert "lm-eval 0.4, 10 shots" in text


def test_nll_by_position_and_other_perplexities_have_their_place():
    extra = (
        estimate("position_nll", 512, 3.1, 0.1, baseline_length=256, samples=21, clusters=21),
        *(
            estimate("sliding_perplexity", n, 9.5, 0.5, samples=21, clusters=21, protocol=f"({n} tokens scored)")
            for n in (256, 512)
        ),
        estimate("released_code_truncate_perplexity", 256, 9.9, 0.5, samples=21, clusters=21),
    )
    text = "".join(shown(table) for table in tables.evaluation_tables(result("untouched", extra=extra)))
    assert "256 to 512" in text
    assert "3.000..3.200" in text
    assert "sliding windows: n = 21" in words_of(text)
    assert "512 tokens scored" in words_of(text)
    assert "as released code averages" in words_of(text)
    assert max(map(len, text.splitlines())) <= 100


def test_chance_stands_beside_the_name_of_a_curve():
    scored = estimate("key_value_accuracy", 128, 0.9, 0.05, chance=0.0625)
    whole = result("untouched")
    changed = whole.model_copy(update={"estimates": (scored, *whole.estimates)})
    text = shown(tables.curves_table([changed]))
    assert text.count("0.062)") == text.count("(chance") == 1


def test_one_length_has_no_table_of_gains():
    whole = result("untouched")
    short = whole.model_copy(update={"estimates": tuple(e for e in whole.estimates if e.measure == "perplexity")})
    assert len(tables.evaluation_tables(short)) == 1


def test_an_incomplete_result_says_so():
    text = words_of(shown(tables.curves_table([result("yarn, factor 8", status="incomplete")])))
    assert "INCOMPLETE, more than 1 % of samples failed: yarn, factor 8" in text


def test_gains_name_both_lengths_and_n():
    text = shown(tables.gains_table([result("untouched"), result("yarn, factor 8")]))
    assert "1,024 to 2,048" in text
    assert "+0.080" in text
    assert "+0.070..+0.090" in text
    assert "168/21" in text


def test_a_change_is_better_only_if_its_interval_leaves_zero_on_the_right_side():
    rows = [line for line in shown(tables.comparison_table(comparison())).splitlines() if "│" in line and "168" in line]
    assert [word for row in rows for word in row.split() if word in ("same", "yes", "no")] == [
        "same",
        "yes",
        "yes",
        "no",
    ]


def test_depths_are_a_table_of_their_own():
    text = shown(tables.depths_table(result("untouched"), "passkey_accuracy"))
    assert text.count("0.50  0.20..0.80") == 12
    assert text.count("10/30") == 3


@pytest.mark.parametrize(
    ("value", "written"), [(9.2134, "9.21"), (141.23, "141.2"), (41234.5, "41,234"), (1.5e9, "1.5e+09")]
)
def test_perplexities_of_any_size_are_readable(value, written):
    assert written in shown(tables.curves_table([result("untouched", (value,))]))
