"""What the paper says of amounts and kinds of data, and of several tasks together; written down before the runs."""

from __future__ import annotations

from ropewalk.cells.readings import Reading
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.entropy_abf.cells import NAMES
from ropewalk.reproduce.entropy_abf.claims import SMALLEST, SMALLEST_RECALL, nll
from ropewalk.reproduce.entropy_abf.exams import BEYOND, CHAT, RECALL, TARGET, TASKS, TRAINED
from ropewalk.reproduce.recall_exams import ANSWERS_LOSS, BATTERY, CHAT_RECALL

SMALLEST_ANSWERS = 0.05  # nats per token of answers, of which there are few
NO_CHATS = "the built-in model was never taught to talk, and records in made conversations are no chats"


def data_claims() -> tuple[Claim, ...]:
    """Amounts, matched stretch, several tasks, kinds of data, conversations."""
    few = {"abf": "26.4", "yarn": "25.0", "linear": "29.7", "ntk-by-parts": "24.5"}
    tasks = {"abf": "35.1", "linear": "33.8", "ntk-by-parts": "31.9", "yarn": "30.9"}
    return (
        *(equal_base(ratio) for ratio in (8, 16)),
        *(beats_with(32, method, f"31.3 against {figure}") for method, figure in few.items()),
        beats_with(1000, "abf", "38.3 against 37.2"),
        *(better_at_tasks(method, figure) for method, figure in tasks.items()),
        better_at_tasks_beyond(),
        *composition(),
        *chat_claims(),
    )


def equal_base(ratio: int) -> Claim:
    """The scale at the other bases of matched stretch."""
    return Claim(
        name=f"scale-helps-beyond-base-{ratio}",
        source="table 4",
        words=f"The scale keeps the model robust beyond the tuned window also with base x {ratio}.",
        figure="none for other bases; 39.1 against 37.6 at 50 times",
        terms=minus(nll(f"abf-{ratio}", BEYOND), nll(f"entropy-abf-{ratio}", BEYOND)),
        contrast=f"NLL of ABF minus NLL of Entropy-ABF at {BEYOND:,} tokens, both with base x {ratio}",
        smallest_effect=SMALLEST,
    )


def beats_with(count: int, method: str, figure: str) -> Claim:
    """Table 5 at other amounts of data."""
    suffix = f"-{count}-samples"
    return Claim(
        name=f"beats-{method}{suffix}",
        source="table 5",
        words=f"Trained on {count:,} samples Entropy-ABF is better than {NAMES[method]} at the tuned window.",
        figure=f"LongBench-12: {figure}",
        terms=minus(nll(method + suffix, TARGET), nll("entropy-abf" + suffix, TARGET)),
        contrast=f"NLL of {NAMES[method]} minus NLL of Entropy-ABF at {TARGET:,} tokens, {count:,} samples",
        smallest_effect=SMALLEST,
    )


def better_at_tasks(method: str, figure: str) -> Claim:
    """Table 5 at 100 samples, by the mean over tasks."""
    return Claim(
        name=f"tasks-beats-{method}",
        source="table 5",
        words=f"After 6 steps on 100 samples Entropy-ABF does several tasks better than {NAMES[method]} at the tuned "
        "window.",
        figure=f"LongBench-12 after 100 samples: 37.4 against {figure}",
        terms=minus(_tasks("entropy-abf", TARGET), _tasks(method, TARGET)),
        contrast=f"mean over four tasks of Entropy-ABF minus that of {NAMES[method]} at {TARGET:,} tokens",
        smallest_effect=SMALLEST_RECALL,
    )


def better_at_tasks_beyond() -> Claim:
    """Table 4 at twice the tuned window, by the mean over tasks."""
    return Claim(
        name="tasks-scale-helps-beyond",
        source="table 4",
        words=f"The scale keeps several tasks robust beyond the tuned window, at {BEYOND:,} tokens.",
        figure="LongBench-12 at 32K, tuned for 16K: 39.1 against 37.6",
        terms=minus(_tasks("entropy-abf", BEYOND), _tasks("abf", BEYOND)),
        contrast=f"mean over four tasks of Entropy-ABF minus that of ABF at {BEYOND:,} tokens",
        smallest_effect=SMALLEST_RECALL,
    )


def composition() -> tuple[Claim, ...]:
    """Table 3: kinds of data, and their order."""
    return (
        Claim(
            name="long-data-for-long-text",
            source="table 3",
            words="Long samples are better for long text than as many tokens of short ones.",
            figure="GovReport, long: ROUGE 36.45 after long reports, 33.6 after short ones",
            terms=minus(nll("short", TARGET), nll("entropy-abf", TARGET)),
            contrast=f"NLL after samples of {TRAINED} tokens minus after samples of {TARGET:,}, at {TARGET:,} tokens",
            smallest_effect=SMALLEST,
        ),
        Claim(
            name="short-first-helps-short-text",
            source="table 3",
            words="Short samples first and long ones then are better for short text than long ones alone.",
            figure="GovReport, short: ROUGE 39.74 after short reports then chats, 38.93 after chats and long reports",
            terms=minus(nll("entropy-abf", TRAINED), nll("short-then-long", TRAINED)),
            contrast=f"NLL after long samples minus after short and then long ones, at {TRAINED} tokens",
            smallest_effect=SMALLEST,
        ),
        Claim(
            name="short-first-costs-long-text",
            source="table 3",
            words="Short samples first and long ones then are worse for long text than long ones alone.",
            figure="GovReport, long: ROUGE 32.12 after short reports then chats, 35.56 after chats and long reports",
            terms=minus(nll("short-then-long", TARGET), nll("entropy-abf", TARGET)),
            contrast=f"NLL after short and then long samples minus after long ones, at {TARGET:,} tokens",
            smallest_effect=SMALLEST,
        ),
        Claim(
            name="conversations-keep-retrieval",
            source="table 3",
            words="Long conversations keep retrieval where long text alone loses it.",
            figure="line retrieval, long: 48 after chats, 2 after long reports alone",
            terms=minus(_recall("entropy-abf-conversations"), _recall("entropy-abf")),
            contrast=f"share of records found after conversations minus after text, at {TARGET:,} tokens",
            smallest_effect=SMALLEST_RECALL,
            mechanism_only=NO_CHATS,
        ),
    )


def chat_claims() -> tuple[Claim, ...]:
    """Loss on answers alone, on long conversations."""
    return (
        Claim(
            name="answers-teach-recall",
            source="section 4.1",
            words=f"100 conversations of which only answers are learned teach recall at {TARGET:,} tokens: more facts "
            "are found in other conversations than after 100 stretches of text.",
            figure="none: all of theirs are trained so",
            terms=minus(_chat("entropy-abf-conversations", TARGET), _chat("entropy-abf", TARGET)),
            contrast=f"share of facts found after conversations minus after text, at {TARGET:,} tokens",
            smallest_effect=SMALLEST_RECALL,
            mechanism_only=NO_CHATS,
        ),
        *(
            Claim(
                name=f"scale-helps-in-conversations-{length}",
                source="tables 4 and 5",
                words=f"The scale helps in conversations: the NLL of answers is lower, at {length:,} tokens.",
                figure="LongBench-12 after 100 samples: 37.4 against 35.1; at 32K, after 3,500: 39.1 against 37.6",
                terms=minus(_answers("abf-conversations", length), _answers("entropy-abf-conversations", length)),
                contrast=f"NLL of answers of ABF minus of Entropy-ABF at {length:,} tokens, after conversations",
                smallest_effect=SMALLEST_ANSWERS,
                mechanism_only=NO_CHATS,
            )
            for length in (TARGET, BEYOND)
        ),
    )


def _tasks(cell: str, length: int) -> Reading:
    return Reading(cell, TASKS, BATTERY, length)


def _recall(cell: str) -> Reading:
    return Reading(cell, RECALL, "key_value", TARGET)


def _chat(cell: str, length: int) -> Reading:
    return Reading(cell, CHAT, CHAT_RECALL, length)


def _answers(cell: str, length: int) -> Reading:
    return Reading(cell, CHAT, ANSWERS_LOSS, length)
