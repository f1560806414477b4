import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.errors import CorpusError
from radrag.generation.prompts import answer_chat, neutralise_tokens
from radrag.training._sources import load_records
from radrag.training.formats import FORMATS, alpaca_text, read_instructions, write_instructions
from radrag.training.records import ChatRecord, answer_records, instruction_records
from radrag.types import Message

QA = {"pmid": "1", "question": "q?", "contexts": ["c"], "answer": "yes", "long_answer": "It is."}
# Pieces from which markers, and texts that come near them, can form.
PIECES = [
    "<",
    "|",
    ">",
    "im_start",
    "<|im_end|>",
    "eot_id",
    "\n",
    "\r\n",
    " ",
    "\u2028",
    "\x85",
    "é",
    "a",
    '"',
    "\\",
    "\t",
]
content = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=20)).map(
    lambda text: neutralise_tokens(text.replace("\0", ""))
)
filled = content.filter(lambda text: text.strip() != "")
names = st.one_of(st.just(""), filled)
user = filled.map(lambda text: Message("user", text))
alpaca_prompts = st.one_of(
    user.map(lambda turn: (turn,)), st.tuples(filled.map(lambda text: Message("system", text)), user)
)
any_prompts = st.builds(
    lambda turns, last: (*turns, last),
    st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), content), max_size=4),
    st.builds(Message, st.just("user"), content),
)


def records(prompts: st.SearchStrategy[tuple[Message, ...]]) -> st.SearchStrategy[list[ChatRecord]]:
    groups = st.lists(content, max_size=2).map(tuple)
    return st.lists(st.builds(ChatRecord, prompts, filled, names, groups, names), max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz"])
@pytest.mark.parametrize("format", FORMATS)
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_what_is_written_is_read(folder: Path, format: str, suffix: str, data: st.DataObject) -> None:
    made = data.draw(records(alpaca_prompts if format == "alpaca" else any_prompts))
    path = folder / f"file{suffix}"
    assert write_instructions(iter(made), path, format) == len(made)
    assert list(read_instructions(path, format)) == made
    assert list(read_instructions(path)) == made  # the format is recognised


def test_records_of_the_builders_come_back(tmp_path: Path) -> None:
    made = [*answer_records([QA]), *answer_records([QA], reply="answer")]
    assert "<passage 1>" in made[0].prompt[1].content
    for format in FORMATS:
        write_instructions(made, tmp_path / "x.jsonl", format)
        assert list(read_instructions(tmp_path / "x.jsonl")) == made


def lines(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


TURNS = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
EXPECTED = ChatRecord((Message("system", "s"), Message("user", "u")), "a")


@pytest.mark.parametrize(
    "values",
    [
        {"messages": TURNS},
        {"prompt": TURNS[:2], "completion": TURNS[2:]},
        {"instruction": "s", "input": "u", "output": "a"},
        {"text": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\na<|im_end|>"},
        {"text": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user"
                 "<|end_header_id|>\n\nu<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"
                 "<|end_of_text|>"},
    ],
)  # fmt: skip
def test_files_of_others_are_read(tmp_path: Path, values: object) -> None:
    assert list(read_instructions(lines(tmp_path / "x.jsonl", values))) == [EXPECTED]


def test_the_text_formats_are_those_of_the_chat_templates(tmp_path: Path) -> None:
    for format, expected in (
        ("chatml", "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n"
                   "<|im_start|>assistant\na<|im_end|>\n"),
        ("llama3", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user"
                   "<|end_header_id|>\n\nu<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"),
    ):  # fmt: skip
        write_instructions([EXPECTED], tmp_path / "x.jsonl", format)
        assert json.loads((tmp_path / "x.jsonl").read_text()) == {"text": expected}


@pytest.mark.train
def test_llama3_text_is_what_our_chat_template_renders(tmp_path: Path, tokenizer_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    write_instructions([EXPECTED], tmp_path / "x.jsonl", "llama3")
    text = json.loads((tmp_path / "x.jsonl").read_text())["text"]
    assert text == tokenizer.apply_chat_template(TURNS, tokenize=False)


def test_plain_prompts_and_missing_inputs(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", {"prompt": "u", "completion": "a", "more": 1})
    assert list(read_instructions(path)) == [ChatRecord((Message("user", "u"),), "a")]
    path = lines(
        tmp_path / "x.jsonl", {"instruction": "u", "output": "a"}, {"instruction": "u", "input": None, "output": "a"}
    )
    assert list(read_instructions(path)) == [ChatRecord((Message("user", "u"),), "a")] * 2


def test_alpaca_is_rendered_in_its_own_words() -> None:
    (record,) = instruction_records([{"instruction": "Sum.", "input": "1 2", "output": "3"}])
    assert alpaca_text(record) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nSum.\n\n### Input:\n1 2\n\n"
        "### Response:\n3"
    )


def test_control_tokens_of_a_file_are_broken(tmp_path: Path) -> None:
    path = lines(tmp_path / "x.jsonl", {"prompt": "<|eot_id|> <note>", "completion": "</s>x"})
    (record,) = read_instructions(path)
    assert record == ChatRecord((Message("user", "< |eot_id|> <note>"),), "< /s>x")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"messages": TURNS[:2]}, "line|record 2: expected turns that end with .* got system, user"),
        ({"messages": []}, "record 2: expected turns .* got none"),
        ({"messages": "x"}, "record 2, field messages: expected a list"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "record 2, field messages: expected a role .*tool"),
        ({"messages": [*TURNS[:2], {"role": "assistant", "content": " "}]}, "record 2: .*completion is blank"),
        ({"text": "x"}, "record 2: is not of the format of the file"),
        ({"messages": TURNS, "groups": "g"}, "record 2, field groups: expected a list of strings"),
        ({"messages": TURNS, "id": [1]}, "record 2, field id"),
    ],
)
def test_bad_records_are_named_with_file_and_line(tmp_path: Path, second: object, message: str) -> None:
    path = lines(tmp_path / "x.jsonl", {"messages": TURNS}, second)
    found = read_instructions(path)
    assert next(found) == EXPECTED  # it streams: the first is there before the second is read
    with pytest.raises(CorpusError, match=rf"x\.jsonl, {message.removeprefix('line|')}"):
        next(found)


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nu<|im_end|><|im_start|>assistant\na",
        "<|im_start|>user\nu<|im_end|>assistant\na<|im_end|>",
        "<|im_start|>tool\nu<|im_end|><|im_start|>assistant\na<|im_end|>",
        "hello <|im_start|>user\nu<|im_end|><|im_start|>assistant\na<|im_end|>",
    ],
)
def test_broken_markers_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        CorpusError, match=r"record 1, field text: turn \d is not <\|im_start\|>role\\ncontent<\|im_end\|>"
    ):
        list(read_instructions(lines(tmp_path / "x.jsonl", {"text": text})))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "record 1: .*expected \\[, got the end of the file"),
        ("{}", "record 1: .*expected \\[, got '{'"),
        ('[\n{"prompt": "u", "completion": "a"}\n', "record 3: .*expected , or ], got the end"),
        ('[\n{"prompt": "u", "completion": "a"},\n{"prompt": 1]', "record 3: not a JSON object"),
        ('[\n\n1]', "record 3: .*expected a JSON object, got int"),
        ("[\n] x", "record 2: .*expected nothing behind the array, got 'x'"),
        ('[{"prompt": "u\\ud800", "completion": "a"}]', "record 1: .*surrogate"),
        ('[\n{"other": 1}]', "record 2: cannot tell the format from the keys 'other'"),
    ],
)  # fmt: skip
def test_bad_arrays_are_named_with_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CorpusError, match=rf"x\.json, {message}"):
        list(read_instructions(tmp_path / "x.json"))


def test_what_would_not_come_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_instructions([EXPECTED], path, "messages")
    before = path.read_bytes()
    prompt = (Message("user", "u"),)
    for bad, message in (
        (ChatRecord((Message("user", "<|im_end|>"),), "a", id="r"), "record 'r' holds what could pass for a control"),
        (ChatRecord(prompt, "a <|eot_id|>"), "control token"),
        (ChatRecord(prompt, "a\0"), "NUL"),
        (ChatRecord(prompt, "a\ud800"), "surrogate"),
        (ChatRecord(prompt, "a", id=" "), "white space"),
    ):
        for format in FORMATS:
            with pytest.raises(ValueError, match=message):
                write_instructions([EXPECTED, bad], path, format)
    for turns in (
        (Message("system", "s"), *prompt, Message("assistant", "b"), *prompt),
        (Message("system", " "), *prompt),
    ):
        with pytest.raises(ValueError, match="write it as messages"):
            write_instructions([ChatRecord(turns, "a")], path, "alpaca")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]


def test_a_failing_source_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[ChatRecord]:
        yield EXPECTED
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_instructions(failing(), tmp_path / "deep" / "x.jsonl", "messages")
    assert list((tmp_path / "deep").iterdir()) == []


def test_equal_records_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_instructions([EXPECTED], tmp_path / name, "messages")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes())) == {"messages": TURNS}


def test_unknown_format_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of messages, .*, got 'sharegpt'"):
        list(read_instructions(tmp_path / "x.jsonl", "sharegpt"))
    with pytest.raises(ValueError, match="got 'x'"):
        write_instructions([], tmp_path / "x.jsonl", "x")
    with pytest.raises(CorpusError, match="no such file"):
        list(read_instructions(tmp_path / "x.jsonl"))


def test_a_rag_prompt_keeps_its_delimiters(tmp_path: Path) -> None:
    record = ChatRecord(answer_chat("q <passage 1>?", []), "a")
    write_instructions([record], tmp_path / "x.jsonl", "chatml")
    assert list(read_instructions(tmp_path / "x.jsonl")) == [record]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contexts": None}, "record 2, field contexts: expected a list of paragraphs"),
        ({"contexts": [1]}, "record 2, field contexts: expected a list of paragraphs"),
        ({"answer": "perhaps"}, "record 2, field answer: expected one of yes, no, maybe"),
        ({"question": " "}, "record 2, field question: is empty"),
        ({"pmid": 1.5}, "record 2, field pmid"),
    ],
)
def test_questions_for_a_preset_are_checked(tmp_path: Path, change: dict, said: str) -> None:
    path = tmp_path / "questions.jsonl"
    for row in ({**QA, **change}, {key: value for key, value in QA.items() if key not in change}):
        path.write_text(f"{json.dumps(QA)}\n{json.dumps(row)}\n", encoding="utf-8")
        reason = said if len(row) == len(QA) else f"field {next(iter(change))}: the field is missing"
        with pytest.raises(CorpusError, match=reason):
            load_records("answers", path)
    path.write_text(json.dumps({**QA, "pmid": 1, "patient": "p"}) + "\n", encoding="utf-8")
    (record,), held = load_records("answers", path)
    assert (record.groups, held) == (("patient:p", "source:PMID:1"), None)
