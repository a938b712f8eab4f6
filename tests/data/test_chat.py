"""Conversations in tokens: exactly the answers and the marks that end them are learnt, whatever the template."""

from __future__ import annotations

import re

import numpy as np
import pytest
from data import chat_templates
from data.chat_templates import CHATML, CHATML_MARKED, LEARNT
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from ropewalk import adapters
from ropewalk.data.chat import ChatEncoder, plain_template
from ropewalk.data.conversations import Turn, UnusableError
from ropewalk.data.examples import Example
from ropewalk.data.tally import Tally
from ropewalk.errors import DataError

THINKING = "<think>\nfour plus four\n</think>\n\n"


def tokenizer_with(template):
    tokenizer = adapters.load_tokenizer("builtin")
    tokenizer.add_special_tokens({"additional_special_tokens": list(chat_templates.SPECIAL)})
    tokenizer.bos_token, tokenizer.eos_token = "<s>", "</s>"
    tokenizer.chat_template = template
    return tokenizer


ENCODERS = {name: ChatEncoder(tokenizer_with(template)) for name, (template, _) in LEARNT.items()}


def conversation(*contents, system=None):
    turns = [Turn(("user", "assistant")[i % 2], content) for i, content in enumerate(contents)]
    return ([Turn("system", system)] if system else []) + turns


def messages(turns):
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def learnt(encoder, encoded):
    return encoder.tokenizer.decode(encoded.tokens[encoded.supervised])


TALK = conversation("What is 4 + 4?", "It is 8 😀.", "Und auf Deutsch?\n", "Acht.\n\nDas ist 8.")
# Names of roles, texts that occur twice, texts inside other texts, and blanks at the ends.
TRICKY = conversation("user", "assistant", "assistant", "user", "a", " a", "is", "model\n", "\ue0001\ue001", "\ue0003")


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("turns", [TALK, TRICKY, conversation("Hi", "Hi")], ids=["plain", "tricky", "repeated"])
def test_what_is_learnt_is_exactly_the_answers_and_the_marks_that_end_them(name, turns):
    encoder, (_, expected) = ENCODERS[name], LEARNT[name]
    encoded = encoder.encode(turns)
    answers = [turn.content for turn in turns if turn.role == "assistant"]
    assert learnt(encoder, encoded) == "".join(map(expected, answers))
    assert encoded.tokens.dtype == np.int32
    assert encoded.supervised.dtype == bool


@pytest.mark.parametrize("name", [name for name in LEARNT if name != "Gemma"])
def test_a_system_turn_is_read_and_not_learnt(name):
    encoder, (_, expected) = ENCODERS[name], LEARNT[name]
    turns = conversation("One?", "1", "Two?", "2", system="Answer in digits.")
    encoded = encoder.encode(turns)
    assert "Answer in digits." in encoder.tokenizer.decode(encoded.tokens)
    assert learnt(encoder, encoded) == expected("1") + expected("2")


@pytest.mark.parametrize("name", LEARNT)
def test_the_tokens_are_those_of_the_tokenizers_own_function(name):
    encoder = ENCODERS[name]
    own = encoder.tokenizer.apply_chat_template(messages(TALK), chat_template=encoder.template)["input_ids"]
    assert encoder.encode(TALK).tokens.tolist() == own


def test_the_beginning_of_text_stands_as_often_as_the_template_writes_it():
    for name, times in {"Llama-3": 1, "Llama-2": 2, "ropewalk": 1, "ChatML": 0}.items():
        encoder = ENCODERS[name]
        tokens = encoder.encode(TALK).tokens
        assert (tokens == encoder.tokenizer.bos_token_id).sum() == times


def by_walking(encoder, tokens):
    """The mask of a ChatML conversation, a second way: token by token, with the state of a reader."""
    vocabulary = encoder.tokenizer.convert_tokens_to_ids
    start, end, answer = vocabulary("<|im_start|>"), vocabulary("<|im_end|>"), vocabulary("assistant")
    header = encoder.tokenizer.encode("assistant\n", add_special_tokens=False)
    assert header != [answer]
    mask, inside = [], False
    for place, token in enumerate(tokens):
        mask.append(inside)
        if token == end:
            inside = False
        before = tokens[max(0, place - len(header)) : place + 1].tolist()
        inside = inside or before == [start, *header]
    return np.array(mask)


PARTS = [*"ab 1\n.é😀中\ue000\ue001", "user", "assistant", "system"]
CONTENT = st.lists(st.sampled_from(PARTS), min_size=1, max_size=12).map("".join).filter(str.strip)


@given(st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=4), st.none() | CONTENT)
@settings(max_examples=60)
def test_any_conversation_has_the_mask_of_a_reader_who_goes_token_by_token(exchanges, system):
    turns = conversation(*[content for exchange in exchanges for content in exchange], system=system)
    for name in ("ChatML", "ChatML, marked"):
        encoded = ENCODERS[name].encode(turns)
        assert encoded.supervised.tolist() == by_walking(ENCODERS[name], encoded.tokens).tolist()


@given(st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=3))
@settings(max_examples=40)
def test_any_conversation_is_learnt_exactly_under_every_template(exchanges):
    turns = conversation(*[content for exchange in exchanges for content in exchange])
    for name, (_, expected) in LEARNT.items():
        written = ENCODERS[name].written(turns)
        stretches = [written.text[start:end] for start, end in written.answers]
        assert stretches == [expected(answer) for _, answer in exchanges], name


def test_the_reader_would_notice_a_mask_that_is_shifted_or_holds_a_question():
    encoded = ENCODERS["ChatML"].encode(TALK)
    right = by_walking(ENCODERS["ChatML"], encoded.tokens)
    assert encoded.supervised.tolist() == right.tolist()
    assert np.roll(encoded.supervised, 1).tolist() != right.tolist()
    assert np.ones(len(right), dtype=bool).tolist() != right.tolist()
    assert learnt(ENCODERS["ChatML"], type(encoded)(encoded.tokens, np.roll(encoded.supervised, 1))) != (
        "It is 8 😀.<|im_end|>Acht.\n\nDas ist 8.<|im_end|>"
    )


def sentence_pieces():
    """In the way of Llama 2: blanks become marks, one is put before the text, unknown characters become bytes."""
    model = models.BPE(byte_fallback=True, unk_token="<unk>")
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend, trainers.BpeTrainer


def trimmed_bytes():
    """In the way of GPT-2, whose tokens do not count the blank before a word as one of their characters."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    return backend, trainers.BpeTrainer


@pytest.mark.parametrize("kind", [sentence_pieces, trimmed_bytes])
@pytest.mark.parametrize("name", ["Llama-2", "ChatML"])
def test_tokenizers_that_count_characters_otherwise_learn_the_same_but_for_blanks(kind, name):
    backend, trainer = kind()
    template, expected = LEARNT[name]
    special = ["<unk>", *chat_templates.SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    backend.train_from_iterator(
        [turn.content + "<<SYS>>[INST] [/INST] system user assistant\n" for turn in TALK] * 9,
        trainer(vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template
    )
    turns = conversation("user  what?", "It is 8 😀", "and?", " Acht.  \n\n")
    encoder = ChatEncoder(tokenizer)
    text = encoder.tokenizer.decode(encoder.encode(turns).tokens[encoder.encode(turns).supervised])
    # A token that joins the end of the prompt and the blank behind it is none that a model would write.
    assert "".join(text.split()) == "".join((expected("It is 8 😀") + expected(" Acht.")).split())


def test_a_search_for_the_answers_would_find_them_in_headers_and_questions():
    written = ENCODERS["ChatML"].written(TRICKY)
    answers = [turn.content for turn in TRICKY if turn.role == "assistant"]
    found, place = [], 0
    for answer in answers:
        place = written.text.index(answer, place)
        found.append(place)
        place += len(answer)
    assert found != [start for start, _ in written.answers]


def test_marks_of_the_template_give_the_mask_that_transformers_gives():
    for name in ("ChatML, marked", "Llama-3, marked"):
        encoder = ENCODERS[name]
        own = encoder.tokenizer.apply_chat_template(messages(TALK), return_assistant_tokens_mask=True)
        encoded = encoder.encode(TALK)
        assert encoded.supervised.tolist() == [bool(flag) for flag in own["assistant_masks"]]
        assert encoder.written(TALK).way == "marks"


@pytest.mark.parametrize(
    "wrong",
    [
        CHATML_MARKED.replace("== 'assistant'", "== 'user'"),
        CHATML_MARKED.replace("'assistant' %}{% gen", "'assistant' and loop.last %}{% gen"),
        CHATML_MARKED.replace("message['content'] + '<|im_end|>' }}{% endg", "message['content'] }}{% endg").replace(
            "{% endgeneration %}", "{% endgeneration %}{{ '<|im_end|>' }}"
        ),
        CHATML_MARKED.replace("{% endgeneration %}", "").replace(
            "{% generation %}", "{% generation %}{% endgeneration %}"
        ),
    ],
    ids=["questions", "the last answer only", "without the ends of turns", "nothing"],
)
def test_wrong_marks_are_noticed_and_not_used(wrong):
    encoder = ChatEncoder(tokenizer_with(wrong))
    assert encoder.written(TALK).way == "construction"
    assert learnt(encoder, encoder.encode(TALK)) == "It is 8 😀.<|im_end|>Acht.\n\nDas ist 8.<|im_end|>"


def test_marks_that_leave_out_an_empty_block_of_reasoning_are_kept():
    marked = chat_templates.QWEN_3.replace(
        "'\\n</think>\\n\\n' + content.lstrip('\\n') }}{% else %}{{ '<|im_start|>assistant\\n' + content }}{% endif %}"
        "{{ '<|im_end|>\\n' }}",
        "'\\n</think>\\n\\n' }}{% else %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        "{% generation %}{{ content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}",
    )
    encoder = ChatEncoder(tokenizer_with(marked))
    assert encoder.written(TALK).way == "marks"
    assert learnt(encoder, encoder.encode(TALK)) == "It is 8 😀.<|im_end|>Acht.\n\nDas ist 8.<|im_end|>"


def test_a_template_that_rewrites_earlier_answers_is_learnt_as_it_writes_them():
    encoder = ChatEncoder(tokenizer_with(chat_templates.QWEN_3))
    turns = conversation("4 + 4?", THINKING + "8", "And 2 + 2?", THINKING + "4")
    text = encoder.tokenizer.decode(encoder.encode(turns).tokens)
    assert text.count("four plus four") == 1
    assert learnt(encoder, encoder.encode(turns)) == f"8<|im_end|>{THINKING}4<|im_end|>"
    plain = conversation("4 + 4?", "8", "And 2 + 2?", "4")
    assert learnt(encoder, encoder.encode(plain)) == "8<|im_end|><think>\n\n</think>\n\n4<|im_end|>"


def test_a_reasoning_that_the_template_leaves_out_is_not_learnt():
    turns = conversation("4 + 4?", "<think>four plus four</think>8", "Sure?", "Yes.")
    assert learnt(ENCODERS["DeepSeek-R1"], ENCODERS["DeepSeek-R1"].encode(turns)) == "8</s>Yes.</s>"


def test_without_a_mark_at_the_end_of_inner_turns_the_answers_alone_are_learnt():
    encoder = ChatEncoder(tokenizer_with(chat_templates.VICUNA))
    written = encoder.written(conversation("Hi", "Hello", "And?", "Well"))
    assert [written.text[start:end] for start, end in written.answers] == [" Hello", " Well</s>"]


@pytest.mark.parametrize("content", ["message['content'][:4]", "message['content'] | reverse", "'...'"])
def test_an_answer_that_the_template_changes_beyond_recognition_is_not_learnt(content):
    broken = CHATML.replace("message['content'] +", f"({content} if message['role'] == 'assistant' else 'q') +")
    encoder = ChatEncoder(tokenizer_with(broken))
    with pytest.raises(UnusableError, match="leaves out or rewrites"):
        encoder.encode(conversation("What?", "A long answer that is cut."))


def test_a_refusal_of_the_template_is_told_in_its_own_words():
    for name, turns in {"Gemma": conversation("a", "b", system="c"), "Llama-2": [*conversation("a"), *TALK]}.items():
        with pytest.raises(UnusableError, match=r"refused by the chat template: (System role not|Conversation roles)"):
            ENCODERS[name].encode(turns)


def test_a_template_that_is_not_jinja_refuses_everything():
    with pytest.raises(UnusableError, match="refused by the chat template"):
        ChatEncoder(tokenizer_with("{% for message in %}")).encode(TALK)


def test_a_tokenizer_without_a_template_gets_the_plain_one_which_is_to_be_saved():
    encoder = ENCODERS["ropewalk"]
    assert (encoder.template_source, encoder.template_to_save) == ("plain", plain_template())
    assert encoder.written(conversation("Hi", "Hello", system="Be kind.")).text == (
        "<s>Be kind.\n\nUSER: Hi\nASSISTANT: Hello</s>\n"
    )
    own = ENCODERS["ChatML"]
    assert (own.template_source, own.template, own.template_to_save) == ("tokenizer", CHATML, None)


def test_the_plain_template_ends_turns_with_a_blank_line_where_there_is_no_token_for_it():
    tokenizer = adapters.load_tokenizer("builtin")
    tokenizer.eos_token = None
    encoder = ChatEncoder(tokenizer)
    turns = conversation("Hi", "Hello", "And?", "Well")
    assert encoder.written(turns).text == "USER: Hi\nASSISTANT: Hello\n\nUSER: And?\nASSISTANT: Well\n\n"
    assert learnt(encoder, encoder.encode(turns)) == " Hello\n\n Well\n\n"
    tokenizer.chat_template = re.sub(r"\{%- (end)?generation -%\}", "", plain_template())
    unmarked = ChatEncoder(tokenizer)
    assert unmarked.written(turns).way == "construction"
    assert unmarked.encode(turns).supervised.tolist() == encoder.encode(turns).supervised.tolist()


def test_the_default_of_several_templates_is_used_and_must_be_there():
    tokenizer = tokenizer_with({"default": CHATML, "tool_use": "{{ 1 }}"})
    assert ChatEncoder(tokenizer).template == CHATML
    tokenizer.chat_template = {"rag": CHATML}
    with pytest.raises(DataError, match=r"must have one that is named 'default'; this one has rag\."):
        ChatEncoder(tokenizer)


def test_a_tokenizer_that_cannot_tell_characters_is_refused():
    with pytest.raises(DataError, match=r"which characters each token holds, .* ByT5Tokenizer cannot"):
        ChatEncoder(ByT5Tokenizer())


# --- splitting


def long_talk(exchanges, system="Be brief."):
    contents = [
        f"{'why ' * (i % 5 + 1)}{i}?" if j == 0 else f"so {i} " * (3 + i % 7) for i in range(exchanges) for j in (0, 1)
    ]
    return conversation(*contents, system=system)


def by_trying(encoder, turns, window):
    """Greedy pieces, a second way: exchange by exchange, measured with the tokenizer's own function."""

    def length(piece):
        return len(encoder.tokenizer.apply_chat_template(messages(piece), chat_template=encoder.template)["input_ids"])

    system, pieces = turns[:1], []
    current = system
    for start in range(1, len(turns), 2):
        exchange = turns[start : start + 2]
        if len(current) > 1 and length(current + exchange) > window:
            pieces.append(tuple(current))
            current = system
        current = current + exchange
    return [*pieces, tuple(current)]


@pytest.mark.parametrize("name", ["ChatML", "Llama-2", "Mistral", "ropewalk"])
@pytest.mark.parametrize("window", [90, 200, 511])
def test_a_long_conversation_is_cut_before_questions_into_pieces_as_long_as_fit(name, window):
    turns = long_talk(23)
    pieces = ENCODERS[name].split(turns, window)
    assert pieces == by_trying(ENCODERS[name], turns, window)
    assert [turn for piece in pieces for turn in piece[1:]] == turns[1:]
    assert all(piece[0].role == "system" and piece[1].role == "user" for piece in pieces)
    assert len(pieces) > 1


def read(name, examples, window):
    tally = Tally()
    for _ in examples:
        tally.read()
    parts = list(ENCODERS[name].pieces(iter(examples), tally, window=window))
    return parts, tally.report("chats", template="tokenizer")


def test_no_piece_is_longer_than_the_window_and_the_tally_names_what_was_cut():
    whole, cut = Example("a:1", turns=tuple(TALK)), Example("a:2", turns=tuple(long_talk(12)))
    parts, report = read("ChatML", [whole, cut], window=120)
    assert [example.name for example, _ in parts] == ["a:1"] + ["a:2"] * (len(parts) - 1)
    assert len(parts) > 2
    assert all(len(encoded.tokens) <= 120 and encoded.teaches for _, encoded in parts)
    assert (report.used, report.dropped) == (2, ())
    assert [str(note) for note in report.noted] == ["1 x split at turn borders (a:2)"]
    assert report.masks == {"construction": 2}


def test_an_exchange_longer_than_the_window_keeps_its_beginning():
    example = Example("a:1", turns=tuple(conversation("Why?", "because " * 300)))
    parts, report = read("ChatML", [example], window=100)
    [(_, encoded)] = parts
    assert encoded.tokens.tolist() == ENCODERS["ChatML"].encode(example.turns).tokens[:100].tolist()
    assert [str(note) for note in report.noted] == ["1 x an exchange truncated to a window (a:1)"]


def test_a_conversation_whose_answers_lie_beyond_the_window_is_dropped():
    far = Example("a:1", turns=tuple(conversation("why " * 300, "Because.")))
    mixed = Example("a:2", turns=(*far.turns, *conversation("And?", "Yes.")))
    parts, report = read("ChatML", [far, mixed], window=100)
    assert [example.name for example, _ in parts] == ["a:2"]
    assert learnt(ENCODERS["ChatML"], parts[0][1]) == "Yes.<|im_end|>"
    assert [str(reason) for reason in report.dropped] == ["1 x no answer within a window (a:1)"]
    assert {note.kind for note in report.noted} == {
        "split at turn borders",
        "an exchange without an answer within a window left out",
    }


def test_what_a_template_refuses_is_dropped_and_the_others_are_read():
    examples = [Example(f"a:{i}", turns=tuple(TALK if i % 3 else [*conversation("a"), *TALK])) for i in range(1, 200)]
    parts, report = read("Gemma", examples, window=4096)
    assert len(parts) == report.used == 199 - 66
    [reason] = report.dropped
    assert str(reason) == (
        "66 x refused by the chat template: Conversation roles must alternate user/assistant/user/assistant/... "
        "(a:3, a:6, a:9, a:12, a:15, ...)"
    )


def test_conversations_encoded_together_are_those_encoded_alone():
    examples = [Example(f"a:{i}", turns=tuple(long_talk(i % 9 + 1))) for i in range(150)]
    parts, _ = read("Llama-3", examples, window=10_000)
    for (example, encoded), given_example in zip(parts, examples, strict=True):
        alone = ENCODERS["Llama-3"].encode(given_example.turns)
        assert example is given_example
        assert encoded.tokens.tolist() == alone.tokens.tolist()
        assert encoded.supervised.tolist() == alone.supervised.tolist()
