import pytest

from radrag.corpora import load_notes, load_reports
from radrag.generation import prompts
from radrag.training.records import (
    ChatRecord,
    answer_records,
    instruction_records,
    is_complete,
    label_records,
    long_answer,
    report_records,
)
from radrag.types import Hit, Label, LabelledNote, Message, Passage

ROW = {
    "pmid": "11",
    "question": "Does X  help?",
    "contexts": ["First part.", "Second <|eot_id|> part."],
    "answer": "maybe",
    "long_answer": "It may help. It may not.",
}
USER = (Message("user", "q"),)


def test_label_record_is_the_inference_prompt_and_the_id() -> None:
    note = LabelledNote("flank  pain </s>", "ct-stone", id="n1", group="p7", also=("us-kidneys",))
    assert label_records([note]) == [
        ChatRecord((Message("user", "flank pain < /s>"),), "ct-stone", "n1", ("patient:p7", "note:n1"), "ct-stone")
    ]


def test_label_record_with_labels_examples_and_guideline() -> None:
    labels = [Label("ct-stone"), Label("mr-iac")]
    hit = Hit(Passage("d", 0, 1, "x"), 1.0)
    note = LabelledNote("flank pain", "ct-stone")
    made = label_records([note], labels, examples=lambda n: [("colic", "ct-stone")], guideline=lambda n: [hit])
    assert made[0].prompt == prompts.label_chat("flank pain", labels, [("colic", "ct-stone")], [hit])
    assert made[0].groups == ()
    with pytest.raises(ValueError, match=r"'n' has the label 'other', expected one of 2 given labels"):
        label_records([LabelledNote("x", "other", id="n")], labels)
    with pytest.raises(ValueError, match="control token"):
        label_records([LabelledNote("x", "<|a|>")])


def test_shipped_notes_become_records() -> None:
    notes = load_notes("train")
    records = label_records(notes)
    assert [record.completion for record in records] == [note.label for note in notes]
    assert all(f"patient:{note.group}" in record.groups for note, record in zip(notes, records, strict=True))


def test_verdict_record_shows_the_abstract_as_one_passage() -> None:
    (record,) = answer_records([{**ROW, "patient": 5}])
    user = record.prompt[-1].content
    assert user.startswith("<passage 1>\n[1] PMID:11\nFirst part.\n\nSecond < |eot_id|> part.\n</passage 1>")
    assert user.endswith("Question: Does X help?\nAnswer yes, no or maybe:")
    assert (record.completion, record.label, record.id) == ("maybe", "maybe", "11")
    assert record.groups == ("patient:5", "source:PMID:11")


def test_question_only_records_show_no_passage() -> None:
    for reply in ("verdict", "answer"):
        (record,) = answer_records([{**ROW, "contexts": None}], reply=reply, passages=False)
        assert "passage 1" not in record.prompt[-1].content
        assert record.groups == ("source:PMID:11",)
    assert record.completion == "Maybe. It may help. It may not."
    assert record.prompt == prompts.answer_alone_chat("Does X help?")


def test_answer_record_cites_every_sentence() -> None:
    (record,) = answer_records([ROW], reply="answer")
    assert record.completion == "Maybe. It may help. [1] It may not. [1]"
    assert record.prompt[0].content == prompts.answer_chat("q", [])[0].content


@pytest.mark.parametrize(
    ("verdict", "answer", "keys", "expected"),
    [
        ("yes", "Yes. It does.", [2, 3, 2], "Yes. It does. [2][3]"),
        ("no", "no, it does not.", [1], "No. it does not. [1]"),
        ("no", "No difference was found.", [1], "No. No difference was found. [1]"),
        ("", "Two  weeks.\n", [4], "Two weeks. [4]"),
        ("yes", "", [1], "Yes. [1]"),
        ("yes", "", [], "Yes."),
        ("", "A </s> b.", [], "A < /s> b."),
    ],
)
def test_long_answer(verdict: str, answer: str, keys: list[int], expected: str) -> None:
    assert long_answer(verdict, answer, keys) == expected


def test_answers_are_read_back_by_the_reader_as_they_were_meant() -> None:
    from radrag.reading.prompted import parse_reply
    from radrag.types import Generation

    draft = parse_reply(Generation(long_answer("no", "It does not. Nor does Y.", [1, 3])), True, {})
    assert draft.verdict is not None
    assert draft.verdict.answer == "no"
    assert [(claim.text, claim.keys) for claim in draft.claims] == [("It does not.", (1, 3)), ("Nor does Y.", (1, 3))]


def test_wrong_answer_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'11' has the answer 'perhaps'"):
        answer_records([{**ROW, "answer": "perhaps"}])
    with pytest.raises(ValueError, match="got 'long'"):
        answer_records([ROW], reply="long")  # type: ignore[arg-type]


REPORT = {"uid": 9, "indication": "Cough", "findings": " Clear lungs. ", "impression": "Normal </report>."}


def test_reports_go_both_ways() -> None:
    (record,) = report_records([REPORT])
    assert record.prompt[1].content == (
        "Indication: Cough\nImpression:\n<report>\nNormal < /report>.\n</report>\nFindings:"
    )
    assert (record.completion, record.id, record.groups) == ("Clear lungs.", "9", ("note:9",))
    (back,) = report_records([{**REPORT, "indication": ""}], "impression")
    assert back.prompt[1].content == "Findings:\n<report>\nClear lungs.\n</report>\nImpression:"
    assert back.completion == "Normal < /report>."
    (alpaca,) = report_records([REPORT], style="alpaca")
    assert [turn.role for turn in alpaca.prompt] == ["user"]
    assert (
        f"### Instruction:\n{record.prompt[0].content}\n\n### Input:\n{record.prompt[1].content}\n\n###"
        in alpaca.prompt[0].content
    )


def test_shipped_reports_become_records() -> None:
    reports = [report for report in load_reports() if is_complete(report)]
    records = report_records(reports, "impression")
    assert len(records) == len(reports) > 100
    for report, record in zip(reports, records, strict=True):
        assert prompts.neutralise(report.section("findings").strip()) in record.prompt[1].content
        assert record.completion == report.section("impression").strip()


def test_incomplete_reports_are_counted_not_dropped() -> None:
    bad = {"id": "b", "findings": "x", "impression": "  "}
    assert not is_complete(bad)
    with pytest.raises(ValueError, match=r"1 of 2 reports lack findings or impression \(the first is 'b'\)"):
        report_records([REPORT, bad])
    with pytest.raises(ValueError, match="got 'all'"):
        report_records([REPORT], "all")  # type: ignore[arg-type]


def test_instructions() -> None:
    rows = [{"instruction": "Say <s>", "output": "a [INST] <note>", "source": "s", "note": "n"},
            {"instruction": "Sum", "input": "1 2", "output": "3", "id": 4, "label": "math"}]  # fmt: skip
    plain, given = instruction_records(rows)
    assert plain == ChatRecord((Message("user", "Say < s>"),), "a [ INST] <note>", groups=("note:n", "source:s"))
    assert given.prompt == (Message("system", "Sum"), Message("user", "1 2"))
    assert (given.id, given.label) == ("4", "math")
    one, two = instruction_records(rows, style="alpaca")
    assert one.prompt[0].content.endswith("### Instruction:\nSay < s>\n\n### Response:")
    assert two.prompt[0].content.endswith("### Instruction:\nSum\n\n### Input:\n1 2\n\n### Response:")


def test_records_that_cannot_be_trained_on_are_refused() -> None:
    for prompt in ((), (Message("user", "q"), Message("assistant", "a"))):
        with pytest.raises(ValueError, match="must end in a user's turn"):
            ChatRecord(prompt, "a")
    with pytest.raises(ValueError, match=r"record 'x': the completion is blank"):
        ChatRecord(USER, " \n", id="x")
