"""The built-in corpus is fixed, split, and fingerprinted."""

from __future__ import annotations

from ropewalk.data import corpus


def test_training_and_held_out_modules_are_disjoint_and_at_least_sixteen_are_held_out():
    train, held_out = corpus.module_names(held_out=False), corpus.module_names(held_out=True)
    assert not set(train) & set(held_out)
    assert len(held_out) >= 16
    assert len(train) > 300


def test_every_listed_module_is_in_this_installation_or_reported_as_missing():
    found = corpus.standard_library(held_out=True)
    assert set(found.documents) | set(found.missing) == set(corpus.module_names(held_out=True))
    assert all(len(text) > 20_000 for text in found.documents.values())


def test_a_missing_module_is_reported_and_changes_the_fingerprint(tmp_path):
    names = corpus.module_names(held_out=True)
    for name in names[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    partial = corpus.standard_library(held_out=True, root=tmp_path)
    assert partial.missing == (names[-1],)
    assert partial.fingerprint != corpus.standard_library(held_out=True).fingerprint


def test_the_fingerprint_sees_a_changed_letter_and_a_changed_name():
    first = corpus.Corpus({"a": "text"})
    assert first.fingerprint == corpus.Corpus({"a": "text"}).fingerprint
    assert first.fingerprint != corpus.Corpus({"a": "texT"}).fingerprint
    assert first.fingerprint != corpus.Corpus({"b": "text"}).fingerprint


def test_the_language_reference_is_never_trained_on_and_reads_as_source_and_as_text():
    assert not any("topics" in name for name in corpus.module_names(held_out=False))
    source = corpus.language_reference(as_source=True).documents["pydoc_data/topics.py"]
    texts = corpus.language_reference(as_source=False).documents
    assert "topics = {" in source
    assert len(texts) > 50
    assert "\\n" not in texts["topics/assert"][:40]
