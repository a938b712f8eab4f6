"""The head of a page: what it is about, and one row for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.html import measures
from ropewalk.report.html.certificate import headline
from ropewalk.report.html.gate import verdict
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ropewalk.report.html.subjects import Contents, Subject

HEAD = ("", "model", "window, tokens", "perplexity at the trained length", "perplexity at the longest", "status")


def title(contents: Contents) -> str:
    """The name of the page: the models that it speaks of."""
    models = [*(one.model for one in contents.identities), *(one.model for one in contents.extensions)]
    models += [model for one in contents.comparisons for model in (one.before, one.after)]
    names = [model.name for model in models]
    names += [one.model for one in contents.rankings] + [one.model for one in contents.plans]
    names += [one.model for one in contents.probes] + [one.model for one in contents.searches]
    return f"Context extension report: {', '.join(dict.fromkeys(names))}"


def summary(contents: Contents) -> Markup:
    """The verdicts, the samples that the page rests on, and the models at one look."""
    parts: list[Content] = [*_verdicts(contents)]
    for subject in contents.subjects:
        if subject.result.status == "incomplete":
            warning = f"Incomplete: more than 1 % of the samples of {subject.label} failed."
            parts.append(element("p", warning, class_="warning"))
    if contents.subjects:
        first = contents.subjects[0].result
        note = f"Measured on the same samples: data {first.data}, seed {first.seed}."
        parts.append(table("Models", HEAD, [_row(subject) for subject in contents.subjects], note=note))
    return joined(parts)


def _verdicts(contents: Contents) -> Iterator[Markup]:
    """One line for each certificate and each gate."""
    for subject in contents.subjects:
        certificate = subject.result.certificate
        if certificate:
            reach = element("strong", headline(certificate))
            yield element("p", "Certified context of ", subject.label, ": ", reach, ".")
    for extension in contents.extensions:
        if extension.gate:
            whose = f"Short-context gate of {extension.model.name}, {extension.model.method}: "
            yield element("p", whose, verdict(extension.gate))


def _row(subject: Subject) -> list[Content]:
    model, points = subject.result.model, measures.curve(subject.result, "perplexity")
    inside = next((point for point in points if point.length == model.trained_length), None)
    window = f"{model.trained_length:,}"
    if model.target_length != model.trained_length:
        window = f"{window} extended to {model.target_length:,}"
    cells = [
        "not measured"
        if point is None
        else lines(measures.number(point.value), small(f"{measures.interval(point)} at {point.length:,} tokens"))
        for point in (inside, points[-1] if points else None)
    ]
    return [subject.letter, lines(model.name, small(model.method)), window, *cells, subject.result.status]
