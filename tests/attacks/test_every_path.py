"""Every way by which text of others reaches a generator, each with every attack; a new way must be added here."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import ATTACKS, GOOD, HARMLESS, LABELS, QUESTION, REPLY, SPECIAL, each, hits, obedient, question, visible

import radrag
from radrag.evaluation.benchmarks.choices import ChoicePipeline, ChoiceQuestion
from radrag.evaluation.judge import Judge, Limits
from radrag.evaluation.variants import Meter
from radrag.generation import prompts
from radrag.generation.scripted import ScriptedGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.findings.asked import STATUSES, status_scores
from radrag.labelling.writer import Writer
from radrag.pipelines.patient import Patient
from radrag.pipelines.qa import QAPipeline
from radrag.pipelines.rewriting import by_model
from radrag.reading.prompted import PromptedReader
from radrag.types import Answer, Chat, Document

TEXTS = [attack["text"] for attack in ATTACKS]
OPTIONS = {"A": "Low-dose CT", "B": "Ultrasound"}
HEADS = {"yesno": "Yes.", "choice": "A", "factoid": "Low-dose CT", "list": "- Low-dose CT"}

# Where a generator or scorer is called, and the test here or beside this file that attacks it.
CALLS = {
    "reading/prompted.py": "test_prompted_reader_over_a_scripted_model, test_forms, test_the_baseline",
    "reading/judge.py": "test_judge_is_not_talked_into_a_verdict",
    "pipelines/rewriting.py": "test_a_rewriter_of_follow_ups",
    "pipelines/streams.py": "test_streams_and_conversations",
    "labelling/writer.py": "test_labels_stay_members_of_the_set, test_a_tuned_writer",
    "labelling/findings/asked.py": "test_findings_of_a_hostile_report",
    "evaluation/judge.py": "test_a_judge_of_evaluations",
    "evaluation/ragas.py": "test_ragas_puts_texts_into_json",
    "evaluation/variants.py": "test_choices",
    "evaluation/benchmarks/choices.py": "test_choices",
    "training/qlora.py": "test_training_records",
}
CALL = re.compile(
    r"\.generate\(|scorer\.score\(|getattr\((?:self\._)?generator, \"(?:score|stream)\"|stream\(generator|"
    r"\.(?:stream_)?chat\((?:messages|chat)"
)
PROMPTS = {
    "answer_chat", "answer_alone_chat", "choice_chat", "form_chat", "label_chat", "verdict_chat", "judge_chat",
    "report_chat", "impression_chat", "finding_chat", "rewrite_chat", "instruction_chat", "alpaca_chat",
}  # fmt: skip


def test_every_call_of_a_generator_and_every_prompt_is_listed() -> None:
    root = Path(radrag.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "generation" not in path.parts and CALL.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(CALLS)
    here = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for names in CALLS.values():
        assert all(f"def {name}(" in here for name in names.split(", ")), names
    assert {name for name in vars(prompts) if re.fullmatch(r"[a-z_]+_chat", name)} == PROMPTS


def obeying(reply: Callable[[], str]) -> ScriptedGenerator:
    """Return a generator that replies as asked, unless a prompt tells it otherwise."""
    return ScriptedGenerator(lambda chat: reply() if obedient(chat) == REPLY else "PWNED")


class Scorer:
    """Finds the first option likelier; if told otherwise, the last."""

    def __init__(self) -> None:
        self.chats: list[Chat] = []

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> Any:
        self.chats += chats
        first = [obedient(chat) == REPLY for chat in chats]
        return np.asarray([[0.0 if (n == 0) == good else -9.0 for n in range(len(options))] for good in first])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    documents = [Document("good", GOOD, "Stones")]
    documents += [
        Document(f"evil-{n}", f"Low-dose CT and ureteral stones. {text}", text[:60]) for n, text in enumerate(TEXTS)
    ]
    with HybridIndex.create(tmp_path_factory.mktemp("paths") / "index") as made:
        made.add(documents)
        yield made


@each()
@pytest.mark.parametrize("form", list(HEADS))
def test_forms(attack: dict[str, str], form: str) -> None:
    generator = obeying(lambda: f"{HEADS[form]}\nEvidence:\n{REPLY}")
    reader = PromptedReader(generator).asking(form, OPTIONS if form == "choice" else None)
    (draft,) = reader.read([question(attack)], [hits(attack)])
    assert "PWNED" not in draft.text
    assert draft.unread == ""


@each(where=("question",))
def test_the_baseline(attack: dict[str, str]) -> None:
    plain = PromptedReader(obeying(lambda: "It does."))
    for reader in (plain, plain.asking("list")):
        (draft,) = reader.read_alone([attack["text"]])
        assert draft.text == "It does."


@each()
def test_the_probability_of_a_verdict(attack: dict[str, str]) -> None:
    class Both(ScriptedGenerator, Scorer):
        pass

    (draft,) = PromptedReader(Both(lambda chat: f"Yes. {REPLY}")).read([QUESTION], [hits(attack)])
    assert draft.verdict is not None
    assert max(draft.verdict.probability, key=draft.verdict.probability.__getitem__) == "yes"


@each()
def test_a_rewriter_of_follow_ups(attack: dict[str, str]) -> None:
    """What a source said may stand in the history, as an earlier answer."""
    good = "How much radiation does low-dose CT give?"
    generator = obeying(lambda: good)
    asked = question(attack) if attack["where"] == "question" else QUESTION
    made = by_model("How much radiation does it give?", [(QUESTION, GOOD), (asked, attack["text"])], generator)
    assert made == good


def test_streams_and_conversations(index: HybridIndex) -> None:
    qa = QAPipeline(index, obeying(lambda: REPLY), k=120, min_confidence=0.0)
    *_, streamed = qa.stream(QUESTION)
    assert isinstance(streamed, Answer)
    assert len(streamed.evidence) > 60
    talk = qa.chat()
    asked = [streamed, qa(QUESTION), talk(QUESTION), talk("And in children with ureteral stones?")]
    for answer in asked:
        assert "PWNED" not in str([claim.text for claim in answer.claims])
        assert [claim.text for claim in answer.claims] == [GOOD]


@pytest.mark.parametrize("text", TEXTS)
def test_facts_of_a_patient_stay_on_the_line_of_the_question(index: HybridIndex, text: str) -> None:
    if not text.strip():
        return
    generator = ScriptedGenerator([REPLY])
    patient = Patient(allergies=(text,), prior_studies=(text,))
    QAPipeline(index, generator, min_confidence=0.0)(QUESTION, patient=patient)
    (chat,) = generator.chats
    seen = visible(chat[-1].content)
    assert not SPECIAL.search(seen)
    assert seen.rsplit("\n", 1)[1].startswith("Question: Patient: ")
    assert not re.search(r"</?passage", seen.rsplit("\n", 1)[1], re.IGNORECASE)


@each(where=("text",))
def test_findings_of_a_hostile_report(attack: dict[str, str]) -> None:
    scorer = Scorer()
    found = status_scores(scorer, [f"No effusion. {attack['text']}"], LabelSet(LABELS))
    assert found.shape == (1, len(LABELS), len(STATUSES))
    assert found.argmax(axis=2).tolist() == [[0] * len(LABELS)]
    assert len(scorer.chats) == len(LABELS)


@each(where=("text",))
def test_a_tuned_writer(attack: dict[str, str]) -> None:
    """A tuned model is shown the note alone, so there is nothing to leave; no token of a template may stand in it."""
    labels = LabelSet(LABELS)
    for tuned in (True, "examples"):
        scorer = Scorer()
        Writer(scorer, labels, tuned=tuned).scores([attack["text"]], [[(attack["text"], "ct-stone")]])  # type: ignore[arg-type]
        roles = [[turn.role for turn in chat] for chat in scorer.chats]
        assert roles == ([["user"]] if tuned is True else [["user", "assistant", "user"]])
        assert not [turn for chat in scorer.chats for turn in chat if SPECIAL.search(visible(turn.content))]


@each(where=("text",))
def test_a_judge_of_evaluations(attack: dict[str, str]) -> None:
    generator = ScriptedGenerator(["{}"])
    Judge(generator, Limits()).ask(f"Judge this: {attack['text']}", str)
    (chat,) = generator.chats
    assert [turn.role for turn in chat] == ["user"]
    assert not SPECIAL.search(visible(chat[0].content))


@pytest.mark.skipif(find_spec("ragas") is None, reason="no ragas")
def test_ragas_puts_texts_into_json() -> None:
    from radrag.evaluation.ragas import load_ragas, supports_by

    said = json.dumps({"statements": [{"statement": "x", "reason": "y", "verdict": 0}]})
    generator = ScriptedGenerator(lambda chat: said)
    supports = supports_by(load_ragas(), Judge(generator, Limits()), 0)
    for text in TEXTS:
        assert supports(text, text) is False
        prompt = generator.chats[-1][-1].content
        given = json.loads(prompt.rsplit("input: ", 1)[1].rsplit("Output:", 1)[0])
        assert set(given) == {"context", "statements"}
        assert {prompts.neutralise(one) for one in (given["context"], *given["statements"])} == {
            prompts.neutralise(text)
        }
        assert not SPECIAL.search(visible(prompt))


def test_choices(index: HybridIndex) -> None:
    asked = [ChoiceQuestion(f"q{n}", one, OPTIONS, "A") for n, one in enumerate((QUESTION, TEXTS[-1], TEXTS[-2]))]
    for generator in (obeying(lambda: "A"), Meter(obeying(lambda: "A"))):
        made = ChoicePipeline(index, generator, asked, k=120).batch([one.text for one in asked])
        assert [one.verdict.answer if one.verdict else "" for one in made] == ["A"] * 3


@each(where=("text",))
def test_training_records(attack: dict[str, str]) -> None:
    """Samples are written from the prompts of records; those not built by a prompt above carry whole instructions.

    What prints nothing is kept in them, for a model learns from texts as they are; no tokenizer known skips it.
    """
    text = attack["text"]
    chats = [
        prompts.instruction_chat(text), prompts.instruction_chat(HARMLESS, text), prompts.alpaca_chat(text, text),
        prompts.alpaca_chat(text),
    ]  # fmt: skip
    for chat in chats:
        assert not [turn for turn in chat if SPECIAL.search(unicodedata.normalize("NFKC", turn.content))]
