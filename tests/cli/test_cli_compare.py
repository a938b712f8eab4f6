"""`ropewalk compare` and `ropewalk search` as a user meets their refusals."""

from __future__ import annotations

import json

import pytest

COMPARE = ("compare", "builtin", "--to", "512", "--methods", "yarn,linear", "--budget", "2 steps")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*COMPARE[:-1], "soon"), "a whole number of steps or of tokens"),
        ((*COMPARE, "--rates", "fast"), "learning rates are numbers between 0 and 1"),
        ((*COMPARE[:5], "yarn", *COMPARE[6:]), "at least two candidates"),
        ((*COMPARE[:5], "yarn,yarm", *COMPARE[6:]), "did you mean 'yarn'?"),
        ((*COMPARE[:3], "128", *COMPARE[4:]), "at least the trained window"),
        (
            (*COMPARE, "--search", "evolution", "--evaluations", "9"),
            "'searched' is none of the methods, so --search and --evaluations have nothing to act on; add it",
        ),
        ((*COMPARE[:5], "yarn,searched", *COMPARE[6:], "--evaluations", "0"), "evaluations of a comparison must be"),
        (("search", "builtin", "--to", "512", "--search", "tapir"), "did you mean 'taper'?"),
        (("search", "builtin", "--to", "512", "--contexts", "1"), "at least 2 needle contexts"),
    ],
)
def test_bad_input_gets_one_paragraph_and_exit_code_2(run, tmp_path, words, said):
    done = run(*words, "-o", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert said in done.paragraph
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_machines_get_the_whole_search(run, tmp_path):
    done = run(
        "search", "builtin", "--to", "512", "--evaluations", "4", "--contexts", "2", "-o", str(tmp_path), "--json"
    )
    assert done.exit_code == 0, done.err
    found = json.loads(done.out)
    assert (found["evaluations"], found["trajectories"][0]["search"]) == (4, "taper")
