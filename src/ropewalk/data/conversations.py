"""Conversations as training files write them, in one form: ShareGPT's from and value, chat messages' role and content.

Real files are dirty: answers that nobody asked for stand first, turns are empty, roles are missing. What cannot be
trained on is refused by name, what can be mended without touching an answer is mended, and both are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "tool": "tool",
    "function": "tool",
}
ROLE_KEYS = ("role", "from")
CONTENT_KEYS = ("content", "value")


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        content: What was said; never blank.
    """

    role: str
    content: str


class UnusableError(ValueError):
    """An example that cannot be trained on. The message is the kind that a tally counts it under; no user meets it."""


def turns_of(value: Any, note: Callable[[str], None]) -> tuple[Turn, ...]:
    """A conversation in one form: system turns, if any, then a question first and an answer last.

    Args:
        value: A list of objects, each with a role (`role` or `from`) and a content (`content` or `value`); or an
            object of such lists, as some tables hold it.
        note: Called with the kind of each change that was made.

    Raises:
        UnusableError: Something is missing or cannot be told; the message says what.
    """
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        value = [dict(zip(value, row, strict=False)) for row in zip(*value.values(), strict=False)]
    if not isinstance(value, list):
        raise UnusableError("a conversation that is not a list")
    turns = [(_role(turn), _content(turn)) for turn in value]
    if turns and turns[-1][0] == "assistant" and not turns[-1][1]:
        note("an empty last answer removed")
        turns.pop()
    if any(role == "system" and not content for role, content in turns):
        note("an empty system turn removed")
        turns = [(role, content) for role, content in turns if role != "system" or content]
    if any(not content for _, content in turns):
        raise UnusableError("an empty turn")
    return _from_question_to_answer([Turn(role, content) for role, content in turns], note)


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: null, or the NaN by which tables say so."""
    return value is None or (isinstance(value, float) and value != value)


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON can hold halves of a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_question_to_answer(turns: Sequence[Turn], note: Callable[[str], None]) -> tuple[Turn, ...]:
    """Leaves out answers before the first question, and what follows the last answer."""
    if all(turn.role != "assistant" for turn in turns):
        raise UnusableError("no assistant turn")
    system = tuple(takewhile(lambda turn: turn.role == "system", turns))
    asked = tuple(dropwhile(lambda turn: turn.role != "user", turns[len(system) :]))
    answered = asked[: 1 + max((i for i, turn in enumerate(asked) if turn.role == "assistant"), default=-1)]
    if not answered:
        raise UnusableError("no answer to a user turn")
    if len(system) + len(asked) < len(turns):
        note("turns before the first user turn removed")
    if len(answered) < len(asked):
        note("turns after the last answer removed")
    return system + answered


def _role(turn: Any) -> str:
    if not isinstance(turn, dict):
        raise UnusableError("a turn that is not an object")
    name = next((turn[key] for key in ROLE_KEYS if not is_missing(turn.get(key))), None)
    if name is None or (isinstance(name, str) and not name.strip()):
        raise UnusableError("a turn without a role")
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise UnusableError(f"an unknown role {str(name)[:20]!r}")
    return role


def _content(turn: dict[str, Any]) -> str:
    """What was said, or an empty text if it is blank or missing."""
    if turn.get("tool_calls"):
        raise UnusableError("a turn with tool calls")
    content = next((turn[key] for key in CONTENT_KEYS if not is_missing(turn.get(key))), "")
    if isinstance(content, list):
        content = "".join(map(_part, content))
    if not isinstance(content, str):
        raise UnusableError("a turn whose content is not text")
    if not is_unicode(content):
        raise UnusableError("text that is not Unicode")
    return content if content.strip() else ""


def _part(part: Any) -> str:
    """The text of one part of a content that is a list."""
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise UnusableError("a turn with parts that are not text")
    return text
