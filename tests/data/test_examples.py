"""Examples from every kind of source: what is broken is left out, counted and named, and nothing else is."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from ropewalk.data import readers
from ropewalk.data.conversations import Turn
from ropewalk.data.corpus import Corpus, standard_library
from ropewalk.data.documents import read_text, read_texts
from ropewalk.data.examples import Example, read_examples, source_files
from ropewalk.data.tally import KINDS, OTHER, PLACES, Tally
from ropewalk.errors import DataError

TURNS = (Turn("user", "Hi"), Turn("assistant", "Hello"))
SHAREGPT = {"id": "a", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def read(path, **options):
    tally = Tally()
    examples = list(read_examples(str(path), tally, **options))
    return examples, tally.report(str(path))


def lines(*records):
    return "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)


# --- a large file with broken lines


def broken_line(kind, rng):
    """A line that must be dropped, as bytes, for a kind that a tally names."""
    word = str(rng.integers(10**6))
    good = json.dumps(SHAREGPT).replace("Hi", f"Hi {word}")
    return {
        "not JSON": good[: int(rng.integers(1, len(good)))].encode(),
        "not UTF-8": good.replace("Hello", "garçon").encode("latin-1"),
        "not an object": json.dumps([word]).encode(),
        "a turn without a role": json.dumps(
            {"conversations": [{"value": word}, {"from": "gpt", "value": "x"}]}
        ).encode(),
        "an empty turn": good.replace(f"Hi {word}", " ").encode(),
        "an unknown role 'moderator'": good.replace("human", "moderator").encode(),
        "no assistant turn": good.replace('"gpt"', '"human"').encode(),
        "no text and no conversation": json.dumps({"id": word}).encode(),
        "text that is not Unicode": good.replace("Hello", "\\ud83d").encode(),
    }[kind]


BROKEN = (
    "not JSON",
    "not UTF-8",
    "not an object",
    "a turn without a role",
    "an empty turn",
    "an unknown role 'moderator'",
    "no assistant turn",
    "no text and no conversation",
    "text that is not Unicode",
)


def test_of_twenty_thousand_lines_with_two_percent_broken_every_good_one_is_read_and_every_other_counted(tmp_path):
    rng = np.random.default_rng(20_000)
    size, places = 20_000, {kind: [] for kind in BROKEN}
    file, good = tmp_path / "chats.jsonl", []
    with file.open("wb") as stream:
        for number in range(1, size + 1):
            if rng.random() < 0.02:
                kind = BROKEN[rng.integers(len(BROKEN))]
                places[kind].append(f"chats.jsonl:{number}")
                stream.write(broken_line(kind, rng) + b"\n")
            else:
                good.append(f"chats.jsonl:{number}")
                stream.write(json.dumps(SHAREGPT).replace("Hello", f"answer {number}").encode() + b"\n")
    examples, report = read(file)
    assert [example.name for example in examples] == good
    assert all(example.turns[1].content == f"answer {example.name.split(':')[1]}" for example in examples)
    assert (report.read, report.used) == (size, len(good))
    assert {reason.kind: reason.examples for reason in report.dropped} == {k: len(v) for k, v in places.items()}
    assert {reason.kind: reason.first for reason in report.dropped} == {k: tuple(v[:5]) for k, v in places.items()}
    assert 300 < report.read - report.used < 500
    assert report.noted == ()


def test_what_was_mended_is_noted_with_its_line(tmp_path):
    begun = {"conversations": [{"from": "gpt", "value": "Welcome"}, *SHAREGPT["conversations"]]}
    (tmp_path / "a.jsonl").write_text(lines(SHAREGPT, begun, begun))
    examples, report = read(tmp_path / "a.jsonl")
    assert [example.turns for example in examples] == [TURNS] * 3
    assert str(report.noted[0]) == "2 x turns before the first user turn removed (a.jsonl:2, a.jsonl:3)"
    assert report.used == 3


# --- lines


def test_texts_and_conversations_may_stand_in_one_file(tmp_path):
    records = (SHAREGPT, {"text": "A text."}, MESSAGES, {"content": "Another."})
    (tmp_path / "a.jsonl").write_text(lines(*records))
    examples, _ = read(tmp_path / "a.jsonl")
    assert examples == [
        Example("a.jsonl:1", turns=TURNS),
        Example("a.jsonl:2", text="A text."),
        Example("a.jsonl:3", turns=TURNS),
        Example("a.jsonl:4", text="Another."),
    ]


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson", ".json"])
def test_marks_of_byte_order_windows_line_ends_and_blank_lines_are_passed_over(tmp_path, ending):
    file = tmp_path / f"a{ending}"
    file.write_bytes(b"\xef\xbb\xbf" + lines(MESSAGES, "", SHAREGPT).replace("\n", "\r\n").encode() + b" ")
    examples, report = read(file)
    assert [(example.name, example.turns) for example in examples] == [(f"a{ending}:1", TURNS), (f"a{ending}:3", TURNS)]
    assert (report.read, report.dropped) == (2, ())


def test_a_packed_file_is_read_as_it_is_unpacked(tmp_path):
    for name, content in {"a.jsonl": lines(SHAREGPT, "{"), "b.json": json.dumps([SHAREGPT])}.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    examples, report = read(tmp_path)
    assert [example.name for example in examples] == ["a.jsonl.gz:1", "b.json.gz, item 1"]
    assert str(report.dropped[0]) == "1 x not JSON (a.jsonl.gz:2)"


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(*[SHAREGPT] * 1000).encode())[:-20])
    with pytest.raises(DataError, match=r"readable to its end; '.*a.jsonl.gz' is not: Compressed file ended"):
        read(tmp_path / "a.jsonl.gz")


@pytest.mark.parametrize("line", ["[" * 100_000, "1" * 5000, "\0\0\0", "{'text': 'single quotes'}", '{"text": "a"} {}'])
def test_no_line_stops_a_run(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(lines(SHAREGPT, line, SHAREGPT))
    examples, report = read(tmp_path / "a.jsonl")
    assert len(examples) == 2
    assert str(report.dropped[0]) == "1 x not JSON (a.jsonl:2)"


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"text": " "}, "an empty text"),
        ({"text": 5}, "a text that is not text"),
        ({"text": "half \ud83d"}, "text that is not Unicode"),
        ({"text": None, "messages": float("nan")}, "no text and no conversation"),
        ({"conversations": "Hi"}, "a conversation that is not a list"),
        ("null", "not an object"),
    ],
)
def test_a_record_without_a_text_is_dropped_by_name(tmp_path, record, kind):
    (tmp_path / "a.jsonl").write_text(lines(MESSAGES, record))
    assert [reason.kind for reason in read(tmp_path / "a.jsonl")[1].dropped] == [kind]


def test_the_first_key_that_holds_something_is_read(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"messages": None, "text": "A text."}))
    assert read(tmp_path / "a.jsonl")[0][0].text == "A text."


def test_a_column_can_be_named(tmp_path):
    records = ({"story": "Once.", "text": "no"}, {"story": MESSAGES["messages"]}, {"text": "no"}, {"story": ""})
    (tmp_path / "a.jsonl").write_text(lines(*records))
    examples, report = read(tmp_path / "a.jsonl", column="story")
    assert [(example.text, example.turns) for example in examples] == [("Once.", None), (None, TURNS)]
    assert {reason.kind for reason in report.dropped} == {"no 'story'", "an empty text"}


def test_a_system_turn_beside_a_conversation_belongs_to_it_unless_it_has_its_own(tmp_path):
    own = {"messages": [{"role": "system", "content": "Mine."}, *MESSAGES["messages"]], "system": "Be kind."}
    (tmp_path / "a.jsonl").write_text(lines({**SHAREGPT, "system": "Be kind."}, own, {**SHAREGPT, "system": ""}))
    examples, _ = read(tmp_path / "a.jsonl")
    assert [example.turns[0].content for example in examples] == ["Be kind.", "Mine.", "Hi"]


# --- lists


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("block", [1, 7, 100, 1 << 20])
def test_a_list_is_read_item_by_item_however_it_is_written_and_cut(tmp_path, monkeypatch, indent, block):
    monkeypatch.setattr(readers, "BLOCK", block)
    records = [SHAREGPT, {"text": 'a "quoted" ]} text \\ ü 😀'}, 12345, MESSAGES, []]
    (tmp_path / "a.json").write_text("\ufeff \n" + json.dumps(records, indent=indent), "utf-8")
    examples, report = read(tmp_path / "a.json")
    assert [(example.name, example.text) for example in examples] == [
        ("a.json, item 1", None),
        ("a.json, item 2", records[1]["text"]),
        ("a.json, item 4", None),
    ]
    assert str(report.dropped[0]) == "2 x not an object (a.json, item 3, a.json, item 5)"


def test_a_byte_that_is_not_utf8_spoils_its_item_only(tmp_path):
    raw = json.dumps([MESSAGES, {"text": "garXon"}, {"text": "fine", "id": "garXon"}]).encode()
    (tmp_path / "a.json").write_bytes(raw.replace(b"X", b"\xe7"))
    examples, report = read(tmp_path / "a.json")
    assert [example.name for example in examples] == ["a.json, item 1", "a.json, item 3"]
    assert str(report.dropped[0]) == "1 x text that is not Unicode (a.json, item 2)"


@pytest.mark.parametrize("end", ['{"text": "cut of', "{bad} " + "x" * 300, "", '{"text": "no bracket"}'])
def test_a_list_that_breaks_off_is_read_up_to_there(tmp_path, end):
    (tmp_path / "a.json").write_text("[" + json.dumps(SHAREGPT) + "," + end)
    examples, report = read(tmp_path / "a.json")
    assert examples[0].turns == TURNS
    assert str(report.dropped[0]) == "1 x not JSON, and nothing behind it in the list can be read (a.json, item 2)"


def peak_bytes(iterator):
    tracemalloc.start()
    try:
        for _ in iterator:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def all_at_once(file):
    yield from json.loads(file.read_text())


def test_a_large_list_is_held_one_item_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK", 1 << 16)
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"text": f"{i} " * 500} for i in range(4000)]))
    assert file.stat().st_size > 8e6
    assert peak_bytes(read_examples(str(file), Tally())) < 2e6
    assert peak_bytes(all_at_once(file)) > 8e6


# --- tables


def test_a_table_is_read_by_rows(tmp_path):
    rows = [{**SHAREGPT, "text": None}, {"text": "A text."}, {"text": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=2)
    examples, report = read(tmp_path / "a.parquet")
    assert [(e.name, e.text, e.turns) for e in examples] == [
        ("a.parquet, row 1", None, TURNS),
        ("a.parquet, row 2", "A text.", None),
    ]
    assert str(report.dropped[0]) == "1 x no text and no conversation (a.parquet, row 3)"


def test_a_row_that_is_not_utf8_is_dropped_alone(tmp_path):
    column = pyarrow.array([b"fine", b"gar\xe7on", b"too"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    examples, report = read(tmp_path / "a.parquet")
    assert [example.text for example in examples] == ["fine", "too"]
    assert str(report.dropped[0]) == "1 x not UTF-8 (a.parquet, row 2)"


def test_a_table_without_any_of_the_columns_is_refused_with_its_count(tmp_path):
    parquet.write_table(pyarrow.table({"body": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="of 2 read none is left: 2 x no text and no conversation"):
        read(tmp_path / "a.parquet")
    assert len(read(tmp_path / "a.parquet", column="body")[0]) == 2


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(DataError, match=r"must be a whole Parquet file; '.*a.parquet' is not"):
        read(tmp_path / "a.parquet")


# --- texts and folders


def test_any_other_file_is_one_document(tmp_path):
    (tmp_path / "a.py").write_text("print()\n")
    assert read(tmp_path / "a.py")[0] == [Example(str(tmp_path / "a.py"), text="print()\n")]


def test_a_folder_is_the_files_below_it_in_order_with_their_places(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "chats.jsonl").write_text(lines(SHAREGPT, "{"))
    (tmp_path / "a.txt").write_text("A text.")
    examples, report = read(tmp_path)
    assert [example.name for example in examples] == [str(tmp_path / "a.txt"), "sub/chats.jsonl:1"]
    assert report.dropped[0].first == ("sub/chats.jsonl:2",)
    assert source_files(str(tmp_path)) == [tmp_path / "a.txt", tmp_path / "sub" / "chats.jsonl"]


def test_texts_have_the_names_and_contents_that_they_have_when_they_are_read_whole(tmp_path):
    for name in ("b.txt", "a.md"):
        (tmp_path / name).write_text(f"{name}\r\nsecond line")
    examples, _ = read(tmp_path)
    assert Corpus({e.name: e.text for e in examples}).fingerprint == read_texts([tmp_path]).fingerprint


@pytest.mark.parametrize(
    "text", ["zeile ü😀\r\n" * 300, "a\n" * 3000, "one long line 😀 " * 400, "\n" + "x" * 3000 + "\r\n\nend"]
)
@pytest.mark.parametrize("piece", [64, 1000, 4097])
def test_a_long_text_comes_in_pieces_that_join_to_the_whole(tmp_path, monkeypatch, text, piece):
    monkeypatch.setattr(readers, "PIECE", piece)
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    examples, report = read(file)
    assert "".join(example.text for example in examples) == read_text(file).removeprefix("\ufeff")
    assert [example.continues for example in examples] == [False] + [True] * (len(examples) - 1)
    assert report.read == 1
    assert all(len(example.text.encode()) <= 2 * piece for example in examples)
    if "long" not in text and "xxx" not in text:
        assert all(example.text.endswith("\n") for example in examples)
        assert len(examples) > 1 or len(text) < piece


def test_a_long_text_is_held_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "PIECE", 1 << 16)
    (tmp_path / "a.txt").write_text("a line of text\n" * 500_000)
    assert peak_bytes(read_examples(str(tmp_path / "a.txt"), Tally())) < 2e6


@pytest.mark.parametrize(("before", "tail", "byte"), [(5000, b"\xe7on", "e7"), (4999, b"\xf0\x9f", "f0")])
def test_a_long_text_that_is_not_utf8_is_refused_with_the_place_of_the_byte(tmp_path, monkeypatch, before, tail, byte):
    monkeypatch.setattr(readers, "PIECE", 1000)
    (tmp_path / "a.txt").write_bytes(b"a" * before + tail)
    with pytest.raises(DataError, match=rf"must be UTF-8; '.*a.txt' has the byte 0x{byte} at offset {before}\."):
        read(tmp_path / "a.txt")


def test_a_source_that_does_not_exist_or_is_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a file, a folder, 'hub:NAME' or 'builtin'; '.*absent' does not exist"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match=r"must hold at least one file; .* holds none"):
        read(tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"at least one example that can be trained on; in '.*a.jsonl' it holds none"):
        read(tmp_path / "a.jsonl")


def test_a_source_of_which_nothing_is_left_is_refused_with_its_counts(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines("{", "{", {"id": 1}))
    with pytest.raises(
        DataError,
        match=r"of 3 read none is left: 2 x not JSON \(a.jsonl:1, a.jsonl:2\); 1 x no text and no conversation",
    ):
        read(tmp_path / "a.jsonl")


# --- the built-in corpus and the hub


def test_the_built_in_corpus_is_its_modules_in_order():
    examples, report = read("builtin")
    corpus = standard_library(held_out=False)
    assert {example.name: example.text for example in examples} == dict(corpus.documents)
    assert Corpus({e.name: e.text for e in examples}).fingerprint == corpus.fingerprint
    assert report.used == len(corpus.documents)
    assert source_files("builtin") == source_files("hub:any/thing") == []


@pytest.fixture
def data_set(tmp_path):
    """A data set as a folder, read by the `datasets` library as it reads one of the hub."""
    folder = tmp_path / "chats"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines(SHAREGPT, {**SHAREGPT, "conversations": []}))
    (folder / "test.jsonl").write_text(lines(SHAREGPT))
    return folder


def test_a_data_set_of_the_hub_is_streamed(data_set):
    examples, report = read(f"hub:{data_set}")
    assert [(e.name, e.turns) for e in examples] == [(f"{data_set}, row 1", TURNS)]
    assert report.dropped[0].kind == "no assistant turn"
    assert len(read(f"hub:{data_set}:default@test")[0]) == 1


@pytest.mark.parametrize(
    ("suffix", "told"), [("@validation", "[Ss]plit"), (":french", "[Cc]onfig"), ("-absent", "absent")]
)
def test_a_data_set_split_or_configuration_that_is_missing_is_refused_in_one_paragraph(data_set, suffix, told):
    with pytest.raises(DataError, match=rf"'hub:.*chats{suffix}' cannot be read: .*{told}") as error:
        read(f"hub:{data_set}{suffix}")
    assert "\n" not in str(error.value)


# --- the tally


def test_a_tally_keeps_a_few_places_and_a_bounded_number_of_kinds():
    tally = Tally()
    for number in range(1000):
        tally.read()
        tally.dropped(f"kind {min(number, KINDS + 50) % (KINDS + 50)}", f"a:{number}")
    report = tally.report("a")
    assert len(report.dropped) == KINDS + 1
    assert {reason.kind for reason in report.dropped} > {OTHER}
    assert max(len(reason.first) for reason in report.dropped) == PLACES
    assert sum(reason.examples for reason in report.dropped) == 1000
    assert report.used == 0


def test_a_report_reads_as_a_paragraph():
    tally = Tally()
    for _ in range(1200):
        tally.read()
    for number in range(7):
        tally.dropped("not JSON", f"a.jsonl:{number}")
    tally.noted("split at turn borders", "a.jsonl:9")
    assert str(tally.report("a.jsonl", tokens=500_000, supervised=1000)).splitlines() == [
        "a.jsonl: 1,193 of 1,200 examples used, 500,000 tokens, 1,000 of them learnt",
        "  dropped 7 x not JSON (a.jsonl:0, a.jsonl:1, a.jsonl:2, a.jsonl:3, a.jsonl:4, ...)",
        "  changed 1 x split at turn borders (a.jsonl:9)",
    ]


def test_a_packed_text_is_unpacked_however_short_it_is(tmp_path):
    import gzip

    (tmp_path / "note.txt.gz").write_bytes(gzip.compress(b"one line\nanother\n"))
    (example,) = read_examples(str(tmp_path / "note.txt.gz"), Tally())
    assert example.text == "one line\nanother\n"


def test_endings_are_read_whatever_their_case(tmp_path):
    (tmp_path / "UP.JSONL").write_text('{"text": "a"}\n{"text": "b"}\n')
    assert [example.text for example in read_examples(str(tmp_path / "UP.JSONL"), Tally())] == ["a", "b"]
