"""Reads data files in RULER's format: one JSON object on each line, with `input`, `outputs`, and perhaps more.

`input` is the whole prompt, templates included; `answer_prefix`, which newer files keep apart, is appended to it.
`outputs` are the references, `length` the file's own count of tokens, `index` its number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.data.recall import Question, RecallContext
from ropewalk.errors import DataError, unknown_name

if TYPE_CHECKING:
    from ropewalk.data.recall import Encode
    from ropewalk.data.retrieval_task import Scoring


@dataclass(frozen=True)
class RulerRule:
    """How upstream scores a task.

    Attributes:
        scoring: `all-references` (string_match_all), or `any-reference` (string_match_part) for questions on documents.
        new_tokens: Tokens to generate.
    """

    scoring: Scoring
    new_tokens: int


RULES = {
    "niah": RulerRule("all-references", 128),
    "vt": RulerRule("all-references", 30),
    "cwe": RulerRule("all-references", 120),
    "fwe": RulerRule("all-references", 50),
    "qa": RulerRule("any-reference", 32),
}
LONG_NAMES = {
    "variable_tracking": "vt",
    "common_words_extraction": "cwe",
    "freq_words_extraction": "fwe",
}


@dataclass(frozen=True)
class RulerSample:
    """One line of a file.

    Attributes:
        prompt: Everything that the model reads.
        outputs: References.
        index: The sample's number in the file.
        length: Tokens as the file counts them, those to generate included, or None.
    """

    prompt: str
    outputs: tuple[str, ...]
    index: int
    length: int | None

    def context(self, encode: Encode) -> RecallContext:
        """The prompt as a context, whose last token is the question.

        The expected tokens only guide the reading of an answer; the verdict is about its text.

        Raises:
            DataError: The prompt is a single token.
        """
        tokens = encode(self.prompt)
        if len(tokens) < 2:
            raise DataError(f"a RULER prompt has at least 2 tokens; sample {self.index} has {len(tokens)}. Remove it.")
        answer = encode(" " + " ".join(self.outputs))
        question = Question(tokens[-1:], answer, None, len(tokens) - 1, " ".join(self.outputs), self.outputs)
        return RecallContext(tokens[:-1], (question,))


def ruler_rule(task: str) -> RulerRule:
    """The rule of one of RULER's thirteen tasks, such as `niah_multikey_2`, `vt` or `qa_1`.

    Raises:
        UnknownNameError: RULER has no such task.
    """
    name = LONG_NAMES.get(task, task).partition("_")[0]
    if name not in RULES:
        raise unknown_name("RULER task", task, [*RULES, *LONG_NAMES])
    return RULES[name]


def read_ruler_file(path: str | Path) -> list[RulerSample]:
    """All samples of a file; blank lines are passed over.

    Raises:
        DataError: The file cannot be read or is empty, or a line is not such an object; the message names the line.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a RULER file must be readable as UTF-8; {file} is not ({error}).") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise DataError(f"a RULER file holds one sample on each line; {file} has none.")
    return [_sample(f"{file}, line {number}", line, position) for position, (number, line) in enumerate(numbered)]


def _sample(place: str, line: str, position: int) -> RulerSample:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise _bad(place, f"it is not JSON ({error.msg} at character {error.pos})") from error
    if not isinstance(entry, dict):
        raise _bad(place, f"it is a {type(entry).__name__}, not an object")
    missing = [key for key in ("input", "outputs") if key not in entry]
    if missing:
        raise _bad(place, f"{' and '.join(missing)} missing; it has {', '.join(map(str, entry)) or 'nothing'}")
    prompt, outputs = entry["input"], entry["outputs"]
    prefix = entry.get("answer_prefix") or ""
    if not isinstance(prompt, str) or not prompt.strip() or not isinstance(prefix, str):
        raise _bad(place, "its input, or its answer_prefix, is not a text")
    if not isinstance(outputs, list) or not outputs or not all(isinstance(text, str) and text for text in outputs):
        raise _bad(place, "its outputs are not a list of texts with at least one")
    if not prompt.endswith(prefix):
        prompt += prefix
    return RulerSample(prompt, tuple(outputs), _number(entry, "index", place, position), _length(entry, place))


def _length(entry: dict[str, Any], place: str) -> int | None:
    return None if entry.get("length") is None else _number(entry, "length", place, 0)


def _number(entry: dict[str, Any], key: str, place: str, default: int) -> int:
    value = entry.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(place, f"its {key} is not a whole number")
    return value


def _bad(place: str, what: str) -> DataError:
    return DataError(
        f"each line of a RULER file is an object with the text 'input' and the list 'outputs'; {place}: {what}. "
        "Correct or remove the line."
    )
