from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import CorpusError, ModelError
from radrag.evaluation.benchmarks import (
    ChoiceQuestion,
    RecordedSystem,
    benchmark_letter,
    by_benchmark,
    recorded_comparison,
    recorded_systems,
)
from radrag.evaluation.benchmarks.recorded import NOT_RECORDED, recorded_tables
from radrag.generation.prompts import answer_alone_chat, answer_chat, verdict_chat
from radrag.generation.recorded import RecordedGenerator, chat_key, question_in
from radrag.reading.prompted import PromptedReader
from radrag.types import Message

YES_NO = {"A": "yes", "B": "no"}
DATA = Path(os.environ.get("RADRAG_DATA", Path(__file__).parents[3] / "shared" / "data"))
OUTPUTS = DATA / "recorded_llm_outputs_bioasq_7b_9b.jsonl.gz"


def row(id: str, gold: str, output: str, setting: str = "cot", question: str = "") -> dict[str, Any]:
    text = question or f"Is {id} so?"
    return {
        "id": id, "question": text, "options": YES_NO, "gold": gold, "model": "m", "setting": setting, "output": output
    }  # fmt: skip


def said(letter: str) -> str:
    return json.dumps({"step_by_step_thinking": "Words.", "answer_choice": letter})


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


def test_a_chat_or_the_question_in_it_finds_the_output() -> None:
    chat = (Message("system", "s"), Message("user", "Question: Other?"))
    made = RecordedGenerator(
        [{"chat": chat_key(chat), "output": "by chat"}, {"question": "Is  zinc\nsafe?", "output": "Yes. It is."}]
    )
    found = made.generate([chat, answer_chat("Is zinc safe?", ()), answer_alone_chat("Is zinc safe?")])
    assert [one.text for one in found] == ["by chat", "Yes. It is.", "Yes. It is."]
    assert made.missing == ()
    assert len(made) == 2


def test_what_is_not_recorded_is_empty_and_counted_once() -> None:
    made = RecordedGenerator([{"question": "Is zinc safe?", "output": "Yes."}])
    found = made.generate([answer_alone_chat("Is iron safe?"), answer_alone_chat("Is iron safe?")])
    assert [one.text for one in found] == ["", ""]
    assert made.missing == ("Is iron safe?",)
    (draft,) = PromptedReader(made).read_alone(["Is iron safe?"])
    assert (draft.claims, draft.verdict) == ((), None)


def test_the_question_is_the_last_line_that_asks() -> None:
    assert question_in(verdict_chat("Is it?", None)) == "Is it?"
    assert question_in((Message("user", "Question: quoted\n\nQuestion: real"),)) == "real"
    assert question_in(()) == ""


def test_another_role_or_text_is_another_chat() -> None:
    keys = {chat_key((Message(role, text),)) for role in ("user", "system") for text in ("a", "b")}  # type: ignore[arg-type]
    assert len(keys) == 4
    assert chat_key((Message("user", "ab"),)) != chat_key((Message("user", "a"), Message("user", "b")))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no recorded output"),
        ([{"question": "a?"}], "must have a text 'output'"),
        ([{"output": "x"}], "names neither"),
        ([{"id": "1", "output": "x"}, {"id": "1", "output": "y"}], "two outputs for the id '1'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        RecordedGenerator(rows)


def test_rows_are_selected_and_decide_the_fingerprint(tmp_path: Path) -> None:
    rows = [{"id": "1", "output": "x", "model": "a"}, {"id": "1", "output": "y", "model": "b"}]
    path = tmp_path / "outputs.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in rows).encode()))
    first, second = (RecordedGenerator(path, where={"model": name}) for name in "ab")
    assert [one.by_id("1").text for one in (first, second)] == ["x", "y"]  # type: ignore[union-attr]
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == RecordedGenerator(rows[:1]).fingerprint
    with pytest.raises(ModelError, match="model"):
        RecordedGenerator(path, where={"model": "c"})
    (tmp_path / "bad.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="line 1"):
        RecordedGenerator(tmp_path / "bad.jsonl")


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        (said("B"), "B"), (said("B. no"), "B"), ('{"answer_choice": "B', "B"), ('"answer_choice": "C or D"', "C"),
        ("  D", "D"), ("Option B", "B"), ("so: C", "C"), ("B/C", "B"), ("A, surely", "A"), ("B and C", "B"),
        ("I do not know", "A"), ("", "A"), (said("b"), "A"), ("the answer is B", "A"), (said("E"), "A"),
        ('{"answer_choice": "A"} {"answer_choice": "B"}', "B"),
    ],
)  # fmt: skip
def test_the_benchmark_rule(output: str, letter: str) -> None:
    assert benchmark_letter(output) == letter


def test_systems_of_a_file_by_both_rules(tmp_path: Path) -> None:
    # By hand: with retrieval 4 of 4 by the rule, 3 of 4 strictly; without it 2 of 4, and 1 of 4.
    replies = {
        "cot": [said("A"), "no idea", said("A"), ""],
        "rag": [said("A"), "cannot say", said("B"), said("B. no")],
    }
    rows = [
        row(str(i), gold, output, setting)
        for setting, outputs in replies.items()
        for i, (gold, output) in enumerate(zip("AABB", outputs, strict=True))
    ]
    data = recorded_systems(write(tmp_path / "o.jsonl", rows))
    figures, differences = recorded_tables(data, "cot")
    found = {(line[1], line[2]): (line[3][:5], line[4]) for line in figures.rows}
    assert found == {
        ("rag", "benchmark rule"): ("1.000", "0"), ("cot", "benchmark rule"): ("0.500", "1"),
        ("rag", "strict rule"): ("0.750", "1"), ("cot", "strict rule"): ("0.250", "2"),
    }  # fmt: skip
    assert [(line[2][:6], line[3]) for line in differences.rows] == [("+0.500", "2 : 0"), ("+0.500", "2 : 0")]
    missing = data.system("m", "cot").batch([question.text for question in data.questions])[3]
    assert (missing.abstained, missing.reason) == (True, NOT_RECORDED)
    assert data.generators["m", "cot"].missing == ("3",)
    with pytest.raises(ValueError, match="no model has the setting"):
        recorded_tables(data, "other")


def test_questions_of_the_same_words_are_told_apart_by_their_order(tmp_path: Path) -> None:
    rows = [row("1", "A", said("A"), question="Is it?"), row("2", "A", said("B"), question="Is it?")]
    system = recorded_systems(write(tmp_path / "o.jsonl", rows)).system("m", "cot")
    assert [answer.verdict.answer for answer in system.batch(["Is it?", "Is it?"]) if answer.verdict] == ["yes", "no"]
    with pytest.raises(ValueError, match="asked 1 times"):
        system.batch(["Is it?"])


def test_a_recorded_system_stands_beside_another(tmp_path: Path) -> None:
    questions = [ChoiceQuestion(str(i), f"Is {i}?", YES_NO, gold) for i, gold in enumerate("ABAB")]
    system = RecordedSystem(
        RecordedGenerator([{"id": str(i), "output": "A"} for i in range(4)]), questions, by_benchmark
    )
    other = RecordedSystem(
        RecordedGenerator([{"id": str(i), "output": "B"} for i in range(3)]), questions, by_benchmark
    )
    made = recorded_comparison(system, other, questions, names=("a", "b"))
    assert (made.rows[0].system.value, made.rows[0].baseline.value) == (0.5, 0.25)
    assert made.rows[0].test is not None
    assert (made.rows[0].test.system_only, made.rows[0].test.baseline_only) == (2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": "C"}, "one of them as gold"),
        ({"options": {"A": "yes"}}, "2 options"),
        ({"question": "Other?"}, "otherwise"),
    ],
)
def test_a_record_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = [row("1", "A", said("A")), {**row("1", "A", said("A"), "rag"), **change}]
    with pytest.raises(CorpusError, match=message) as problem:
        recorded_systems(write(tmp_path / "o.jsonl", rows))
    assert problem.value.record == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"questions": []}, r"\(\.jsonl\), got one dict"),
        (["a"], "; got str"),
        ([{"id": "1", "question": "Is it?"}], "; it lacks options, gold, model, setting, output"),
    ],
)
def test_another_file_is_told_what_is_expected(tmp_path: Path, value: Any, message: str) -> None:
    file = tmp_path / "o.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(CorpusError, match=f"expected objects with id, question, options, gold, .*{message}"):
        recorded_systems(file)


@pytest.mark.skipif(not OUTPUTS.is_file(), reason="the development data is not there")
def test_published_systems_score_what_was_published() -> None:
    data = recorded_systems(OUTPUTS)
    known = {("gpt-35-turbo-16k", "cot"): 0.748, ("gpt-35-turbo-16k", "rag_32"): 0.914}
    known |= {("gpt-4-32k", "cot"): 0.851, ("gpt-4-32k", "rag_32"): 0.922}
    read = 0
    for key, accuracy in known.items():
        generator = data.generators[key]
        right = []
        for question in data.questions:
            found = generator.by_id(question.id)
            letter = "-" if found is None else benchmark_letter(found.text)
            read += letter == data.given_letters[key][question.id]
            right.append(letter == question.gold)
        assert round(float(np.mean(right)), 3) == accuracy
    assert read == 1636
