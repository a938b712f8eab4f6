"""Second opinions: each reads a prompt as plain text and works out the answer without the generator's knowledge."""

from __future__ import annotations

import json
import re
from collections import Counter


def passkey(context: str, question: str) -> list[str]:
    return re.findall(r"The pass key is (\d+)\.", context)


def multi_passkey(context: str, question: str) -> list[str]:
    name = re.search(r"pass key of (\S+) is$", question)[1]
    return re.findall(rf"The pass key of {name} is (\d+)\.", context)


def key_value(context: str, question: str) -> list[str]:
    return [line.partition("=")[2] for line in context.split("\n") if line.startswith(question.strip())]


def json_kv(context: str, question: str) -> list[str]:
    records = json.loads(context.partition("JSON data:\n")[2])
    return [records[re.search(r'Key: "(.*)"', question)[1]]]


def lines(context: str, question: str) -> list[str]:
    name = re.search(r"in line (\S+) is$", question)[1]
    return re.findall(rf"^line {name}: REGISTER_CONTENT is <(\d+)>$", context, flags=re.MULTILINE)


def needle(context: str, question: str) -> list[str]:
    key = re.search(r"for (\S+) mentioned", question)[1]
    return re.findall(rf"for {key} is: (\S+)\.$", context, flags=re.MULTILINE)


def variable_tracking(context: str, question: str) -> list[str]:
    value = re.search(r"assigned the value (\d+) in", question)[1]
    values: dict[str, str] = {}
    for name, source in re.findall(r"^VAR ([A-Z]+) = (?:VAR )?(\w+)$", context, flags=re.MULTILINE):
        values[name] = values.get(source, source)
    return [name for name, found in values.items() if found == value]


def frequent_words(context: str, question: str) -> list[str]:
    counts = Counter(word for word in context.partition("coded words. ")[2].split() if word != "...")
    first, fourth = counts.most_common(3), counts.most_common(4)[3]
    assert first[2][1] > fourth[1], "the third and the fourth word must not tie"
    return [word for word, _ in first]


def common_words(context: str, question: str) -> list[str]:
    count = int(re.search(r"the (\d+) most common", question)[1])
    ranked = numbered_words(context)[-1].most_common()
    assert ranked[count - 1][1] > ranked[count][1]
    return [word for word, _ in ranked[:count]]


def numbered_words(context: str) -> list[Counter[str]]:
    """Counts of the words of every numbered list, the example's first."""
    lists = re.findall(r"appear most often\.\n(.*)", context)
    return [Counter(re.findall(r"\d+\. (\w+)", listed)) for listed in lists]


READERS = {
    "passkey": passkey,
    "multi-passkey": multi_passkey,
    "key-value": key_value,
    "json-kv": json_kv,
    "lines": lines,
    "niah-single-1": needle,
    "niah-multikey-2": needle,
    "niah-multikey-3": needle,
    "variable-tracking": variable_tracking,
    "frequent-words": frequent_words,
    "common-words": common_words,
}
