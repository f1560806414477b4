"""Forms of answers through the pipeline: asked for, read strictly, shown and counted where they cannot be read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from radrag.generation import prompts
from radrag.generation.scripted import ScriptedGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.qa import DECLINED, SOURCELESS, UNSUPPORTED, QAPipeline
from radrag.reading.forms import Failure
from radrag.reading.prompted import PromptedReader
from radrag.types import Answer, Chat, Document, Draft, DraftClaim, GenerationParams

CT = "Low-dose CT detected 96% of ureteral stones in 121 adults."
US = "Ultrasound is the first test for flank pain in pregnancy."
STONES = "Does low-dose CT detect ureteral stones in adults?"
PREGNANT = "Which test comes first for flank pain in pregnancy?"
OPTIONS = {"A": "Low-dose CT", "B": "Ultrasound", "C": "MRI"}
EVIDENCE = f"Evidence:\n{US[:-1]} [1]."
NAMES_NONE = "the reader gives sentences and names no exact answer"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("forms") / "index") as made:
        made.add(
            [
                Document("PMID:111", f"{CT} Radiation dose was 1.2 mSv.", "CT for ureteral stones", "abstract"),
                Document("us-stones", f"{US} It misses distal stones.", "Ultrasound for stones", "abstract"),
            ]
        )
        yield made


def asked(index: HybridIndex, reply: str, question: str, form: str | None, **more: object) -> Answer:
    qa = QAPipeline(index, ScriptedGenerator([reply]), min_confidence=0.0)
    answer = qa(question, form, **more)  # type: ignore[arg-type]
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    return answer


@pytest.mark.parametrize(
    ("form", "reply", "value"),
    [
        ("yesno", f"Yes.\n{EVIDENCE}", "yes"),
        ("yesno", f"**No**\n**Evidence:** {US} [1]", "no"),
        ("yesno", f"Maybe [1].\n\n### Evidence\n{US} [1]", "maybe"),
        ("yesno", f"Yes. {US} [1]", "yes"),
        ("choice", f"B\n{EVIDENCE}", "B"),
        ("choice", f"**B. Ultrasound** [1]\n\n{EVIDENCE}", "B"),
        ("choice", f"The answer is (B).\nEVIDENCE: {US} [1]", "B"),
        ("choice", f"b) ultrasound\n{US} [1]", "B"),
        ("factoid", f"Ultrasound [1]\n{EVIDENCE}", "Ultrasound"),
        ("factoid", f"**Ultrasound.**\n{EVIDENCE}", "Ultrasound"),
        ("list", f"- Ultrasound [1]\n- flank pain\n\n{EVIDENCE}", ("Ultrasound", "flank pain")),
        ("list", f"Here are the items:\n1. Ultrasound [1]\n2. pregnancy [1]\n{EVIDENCE}", ("Ultrasound", "pregnancy")),
    ],
)
def test_an_answer_is_read_and_its_evidence_is_grounded(
    index: HybridIndex, form: str, reply: str, value: str | tuple[str, ...]
) -> None:
    answer = asked(index, reply, PREGNANT, form, options=OPTIONS if form == "choice" else None)
    assert (answer.form, answer.value, answer.unread, answer.abstained) == (form, value, "", False)
    assert (answer.verdict.answer if answer.verdict else None) == (value if form == "yesno" else None)
    assert [claim.text for claim in answer.claims] == [US]
    assert answer.claims[0].supported
    assert answer.citations[0].document_id == "us-stones"
    assert answer.warnings == ()


@pytest.mark.parametrize(
    ("form", "head", "failure"),
    [
        ("yesno", "It depends on the patient.", "no answer stated in the form asked for"),
        ("yesno", "Yes.\nNo.", "several answers"),
        ("choice", "D", "not one of the options"),
        ("choice", "B or C", "several answers"),
        ("choice", "B. MRI", "contradicts itself"),
        ("choice", '{"answer_choice": "B"', "broken JSON"),
        ("factoid", "Here is the answer:\nUltrasound", "longer than a short answer"),
        ("factoid", "Unknown", "declined to answer"),
        ("list", "Ultrasound, CT and MRI", "a list whose items cannot be told apart"),
    ],
)
def test_what_cannot_be_read_is_a_warning_and_never_guessed(
    index: HybridIndex, form: str, head: str, failure: str
) -> None:
    answer = asked(index, f"{head}\n{EVIDENCE}", PREGNANT, form, options=OPTIONS if form == "choice" else None)
    assert (answer.value, answer.verdict, answer.unread) == (None, None, failure)
    (warning,) = answer.warnings
    assert warning.startswith(f"the reply could not be read as {form}: {failure}")
    assert f"! {warning}" in " ".join(str(answer).split())
    assert answer.claims[0].text == US  # what was said from the sources stays


def test_failures_can_be_counted(index: HybridIndex) -> None:
    replies = [f"B\n{EVIDENCE}", f"E\n{EVIDENCE}", f"D\n{EVIDENCE}", prompts.NOT_ENOUGH]
    answers = QAPipeline(index, ScriptedGenerator(replies), min_confidence=0.0).batch([PREGNANT] * 4, "choice", OPTIONS)
    assert Counter(answer.unread for answer in answers) == {"": 2, "not one of the options": 2}
    assert [answer.value for answer in answers] == ["B", None, None, None]
    assert (answers[3].abstained, answers[3].reason) == (True, DECLINED)


def test_evidence_that_states_another_answer_is_a_contradiction(index: HybridIndex) -> None:
    reply = f"B\nEvidence:\n{US} [1] So the answer is C."
    assert asked(index, reply, PREGNANT, None, options=OPTIONS).unread == "contradicts itself"


@pytest.mark.parametrize(
    ("form", "reply"), [("choice", "B"), ("choice", '{"answer_choice": "B", "why": "Ultrasound is first."}')]
)
def test_an_answer_without_evidence_is_withheld(index: HybridIndex, form: str, reply: str) -> None:
    answer = asked(index, reply, PREGNANT, form, options=OPTIONS)
    assert (answer.abstained, answer.reason, answer.value, answer.claims) == (True, UNSUPPORTED, None, ())
    assert answer.warnings == ("the model gave its answer without a statement that could be checked",)


def test_an_unsupported_draft_withholds_its_value(index: HybridIndex) -> None:
    answer = asked(index, "MRI\nEvidence:\nMRI of the brain cures migraine [1].", PREGNANT, "factoid")
    assert (answer.abstained, answer.value) == (True, None)


def test_a_short_answer_that_no_cited_passage_has_is_said(index: HybridIndex) -> None:
    answer = asked(index, f"- Ultrasound\n- Scintigraphy\n{EVIDENCE}", PREGNANT, "list")
    assert answer.value == ("Ultrasound", "Scintigraphy")
    assert answer.warnings == ("not in the words of the cited passages: Scintigraphy",)


def test_a_list_that_was_cut_off_is_not_read() -> None:
    class Short(ScriptedGenerator):
        def generate(self, chats: object, params: GenerationParams | None = None) -> list:  # type: ignore[override, type-arg]
            made = super().generate(chats, params)  # type: ignore[arg-type]
            return [type(one)(one.text, finished=False) for one in made]

    reader = PromptedReader(Short(["- CT\n- Ultras", f"- CT\n{EVIDENCE}"])).asking("list")
    cut, whole = reader.read_alone(["Which tests?"] * 2)
    assert (cut.value, cut.unread) == (None, "cut off at the token limit")
    assert cut.dropped == ("the model was cut off at its token limit; an unfinished sentence is left out",)
    assert whole.value == ("CT",)


def test_an_item_that_begins_with_evidence_is_an_item() -> None:
    (draft,) = (
        PromptedReader(ScriptedGenerator([f"- CT\n- Evidence: low\n{EVIDENCE}"])).asking("list").read_alone(["?"])
    )
    assert draft.value == ("CT", "Evidence: low")
    assert draft.claims == (DraftClaim(US, (1,)),)


def test_the_prompt_is_that_of_the_form_and_the_search_sees_the_question_alone(index: HybridIndex) -> None:
    generator = ScriptedGenerator(lambda chat: f"B\n{EVIDENCE}")
    qa = QAPipeline(index, generator, min_confidence=0.0)
    answer = qa(PREGNANT, options=OPTIONS)
    plain = qa(PREGNANT)
    assert answer.evidence == plain.evidence
    assert generator.chats == [
        prompts.form_chat("choice", PREGNANT, answer.evidence, OPTIONS),
        prompts.answer_chat(PREGNANT, answer.evidence),
    ]
    qa(PREGNANT, "summary")
    assert generator.chats[2] == generator.chats[1]


def test_without_a_form_all_is_as_it_was_but_for_what_is_recognised(index: HybridIndex) -> None:
    replies = [f"Yes. {CT[:-1]} [1].", f"{US[:-1]} [1]."]
    yes, which = QAPipeline(index, ScriptedGenerator(replies), min_confidence=0.0).batch([STONES, PREGNANT])
    assert (yes.form, yes.value) == ("yesno", "yes")
    assert (which.form, which.value, which.unread, which.warnings) == ("factoid", None, "", ())
    assert "form" not in yes.manifest


def test_yes_or_no_that_the_wording_asks_for_is_read_strictly_and_counted(index: HybridIndex) -> None:
    answer = asked(index, CT + " [1]", STONES, None)
    assert (answer.form, answer.value, answer.verdict) == ("yesno", None, None)
    assert answer.unread == Failure.NONE
    assert answer.warnings == ("the model did not begin with yes, no or maybe",)
    declined = asked(index, prompts.NOT_ENOUGH, STONES, None)
    assert (declined.abstained, declined.unread) == (True, "")


def test_auto_asks_for_what_each_wording_asks_for(index: HybridIndex) -> None:
    listed = "List the tests for flank pain in pregnancy."
    told = "Describe flank pain in pregnancy."

    def reply(chat: Chat) -> str:
        head = {"yes": "Yes.", "on one line": "Ultrasound", "one on each line": "- Ultrasound\n- pregnancy"}
        (made,) = [
            text for words, text in head.items() if words in chat[0].content.split("2. ")[1].split("3. ")[0]
        ] or [""]
        return f"{made}\n{EVIDENCE}" if made else f"{US} [1]"

    generator = ScriptedGenerator(reply)
    qa = QAPipeline(index, generator, min_confidence=0.0)
    questions = [PREGNANT, listed, told, PREGNANT]
    answers = qa.batch(questions, "auto")
    assert [one.question for one in answers] == questions
    assert [one.form for one in answers] == ["factoid", "list", "summary", "factoid"]
    assert [one.value for one in answers] == ["Ultrasound", ("Ultrasound", "pregnancy"), None, "Ultrasound"]
    assert [one.unread for one in answers] == [""] * 4
    assert answers == [qa(one.question, str(one.manifest["form"])) for one in answers]
    assert qa(PREGNANT, "auto", OPTIONS).form == "choice"
    assert qa.batch([], "auto") == []
    plain = QAPipeline(index, min_confidence=0.0)(PREGNANT, "auto")
    assert (plain.form, plain.value, plain.unread) == ("factoid", None, Failure.UNNAMED)


@pytest.mark.parametrize(
    ("form", "reply", "value"),
    [
        ("yesno", f"Yes.\n{EVIDENCE}", "yes"),
        ("choice", f"B\n{EVIDENCE}", "B"),
        ("factoid", f"Ultrasound [1]\n{EVIDENCE}", "Ultrasound"),
        ("list", f"- Ultrasound\n- pregnancy\n{EVIDENCE}", ("Ultrasound", "pregnancy")),
        ("list", f"Ultrasound, CT\n{EVIDENCE}", None),
        ("auto", f"Ultrasound\n{EVIDENCE}", "Ultrasound"),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_a_stream_ends_in_the_answer_that_a_call_gives(
    index: HybridIndex, form: str, reply: str, value: object, local: bool
) -> None:
    options = OPTIONS if form == "choice" else None
    called, streams = ScriptedGenerator([reply]), ScriptedGenerator([reply])
    called.local = streams.local = local  # type: ignore[misc]
    whole = QAPipeline(index, called, min_confidence=0.0)(PREGNANT, form, options)
    *pieces, last = QAPipeline(index, streams, min_confidence=0.0).stream(PREGNANT, form, options)
    assert "".join(map(str, pieces)) == reply
    assert last == whole
    assert streams.chats == called.chats
    assert whole.value == value


def test_a_stream_keeps_the_form_of_a_reader_of_ones_own(index: HybridIndex) -> None:
    made = []
    for _ in range(2):
        generator = ScriptedGenerator([f"- Ultrasound\n{EVIDENCE}"])
        made.append(QAPipeline(index, PromptedReader(generator).asking("list"), min_confidence=0.0))
    *_, last = made[1].stream(PREGNANT)
    assert isinstance(last, Answer)
    assert (last, last.value) == (made[0](PREGNANT), ("Ultrasound",))


def test_a_stream_of_sentences_says_that_it_names_no_exact_answer(index: HybridIndex) -> None:
    qa = QAPipeline(index, min_confidence=0.0)
    text, answer = qa.stream(PREGNANT, "factoid")
    assert answer == qa(PREGNANT, "factoid")
    assert text == answer.text  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="form must be one of"):
        qa.stream(PREGNANT, "essay")


def test_a_conversation_asks_for_forms(index: HybridIndex) -> None:
    replies = [f"Ultrasound\n{EVIDENCE}", f"B\n{EVIDENCE}", f"- Ultrasound\n{EVIDENCE}", f"{US} [1]"]
    generator = ScriptedGenerator(replies)
    talk = QAPipeline(index, generator, min_confidence=0.0).chat()
    first = talk(PREGNANT, "factoid")
    second = talk("Which of these comes first for flank pain in pregnancy?", options=OPTIONS)
    *_, third = talk.stream("List the tests for flank pain in pregnancy.", "list")
    fourth = talk(PREGNANT)
    assert talk.turns == (first, second, third, fourth)
    assert [one.value for one in talk.turns] == ["Ultrasound", "B", ("Ultrasound",), None]
    assert second.searched == ""  # "these" are the options
    with pytest.raises(ValueError, match="two options"):
        talk.stream(PREGNANT, "choice")
    with pytest.raises(ValueError, match="form must be one of"):
        talk("And in children?", "essay")
    assert len(generator.chats) == 4


@pytest.mark.parametrize(
    ("form", "reply", "value"),
    [
        ("yesno", "No.", "no"),
        ("choice", "C", "C"),
        ("factoid", "Ultrasound", "Ultrasound"),
        ("list", "- a\n- b", ("a", "b")),
    ],
)
def test_the_baseline_gives_the_answer_alone(
    index: HybridIndex, form: str, reply: str, value: str | tuple[str, ...]
) -> None:
    generator = ScriptedGenerator([reply, prompts.NOT_ENOUGH])
    options = OPTIONS if form == "choice" else None
    said, silent = QAPipeline(index, generator).without_retrieval().batch([PREGNANT] * 2, form, options)
    assert (said.value, said.abstained) == (value, False)
    assert generator.chats[0] == prompts.form_chat(form, PREGNANT, None, options)
    assert (silent.value, silent.abstained, silent.reason) == (None, True, SOURCELESS)


def test_the_extractive_reader_says_that_it_names_no_exact_answer(index: HybridIndex) -> None:
    qa = QAPipeline(index, min_confidence=0.0)
    yes = qa(STONES, "yesno")
    assert yes.verdict is not None
    assert (yes.value, yes.warnings) == (yes.verdict.answer, ())
    for form in ("factoid", "list"):
        answer = qa(PREGNANT, form)
        assert (answer.form, answer.value, answer.unread) == (form, None, Failure.UNNAMED)
        assert f"{NAMES_NONE} ({form})" in answer.warnings
    assert f"{NAMES_NONE} (choice)" in qa(PREGNANT, options=OPTIONS).warnings
    unworded = qa(PREGNANT, "yesno")
    assert (unworded.value, unworded.unread) == (None, Failure.NONE)
    assert "the reader gives no yes or no: the question is not worded as one" in unworded.warnings
    for form in (None, "summary"):
        assert (qa(PREGNANT, form).warnings, qa(PREGNANT, form).unread) == ((), "")


def test_a_reader_of_ones_own_need_not_know_forms(index: HybridIndex) -> None:
    class Own:
        local = True

        def read(self, questions: list[str], hits: object) -> list[Draft]:
            return [Draft((DraftClaim(US, (1,)),)) for _ in questions]

        def read_alone(self, questions: list[str]) -> list[Draft]:
            return [Draft() for _ in questions]

    answer = QAPipeline(index, Own(), min_confidence=0.0)(PREGNANT, "list")
    assert (answer.value, answer.warnings) == (None, (f"{NAMES_NONE} (list)",))


def test_options_are_masked_for_a_model_elsewhere(index: HybridIndex) -> None:
    generator = ScriptedGenerator([f"B\n{EVIDENCE}"])
    generator.local = False  # type: ignore[misc]
    options = {"A": "CT, as Dr. Harold Finch said on 04/12/2019", "B": "Ultrasound"}
    answer = QAPipeline(index, generator, min_confidence=0.0)(PREGNANT, options=options)
    sent = generator.chats[0][-1].content
    assert "Finch" not in sent
    assert "04/12/2019" not in sent
    assert answer.value == "B"
    assert any(one.startswith("masked before the model elsewhere was asked") for one in answer.warnings)


def test_the_manifest_holds_the_form_and_no_option(index: HybridIndex) -> None:
    qa = QAPipeline(index, ScriptedGenerator([f"B\n{EVIDENCE}"]), min_confidence=0.0)
    answer = qa(PREGNANT, options=OPTIONS)
    assert answer.manifest["form"] == "choice"
    assert len(answer.manifest["options_sha256"]) == 64
    assert "MRI" not in json.dumps(dict(answer.manifest))
    assert qa.check(answer.manifest, PREGNANT) == ()


@pytest.mark.parametrize(
    ("form", "options", "said"),
    [
        ("essay", None, "form must be one of text, yesno, choice, factoid, list, summary, auto, got 'essay'"),
        ("choice", None, "two options"),
        (None, {"A": "x"}, "two options"),
        ("list", OPTIONS, "options belong to the form"),
        ("choice", {"A": "x", "bb": "y"}, "capital letter"),
        ("choice", {"A": "x", "B": " "}, "capital letter"),
    ],
)
def test_a_wrong_form_is_an_error(
    index: HybridIndex, form: str | None, options: dict[str, str] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        QAPipeline(index)(PREGNANT, form, options)
