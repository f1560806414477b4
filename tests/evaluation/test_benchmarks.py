from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import CorpusError
from radrag.evaluation import compare
from radrag.evaluation.benchmarks import ChoicePipeline, ChoiceQuestion, read_mirage, read_pubmedqa, score_pubmedqa
from radrag.evaluation.benchmarks.findings import compare_findings
from radrag.evaluation.benchmarks.pubmedqa import with_macro_f1
from radrag.generation.scripted import ScriptedGenerator
from radrag.pipelines.qa import QAPipeline
from radrag.types import FindingLabel, Hit, LabelledReport, Passage, Status
from radrag.types.reports import FindingsResult

RECORD = {
    "QUESTION": "Is zinc safe?", "CONTEXTS": ["Zinc was given.", "Zinc is safe in children."], "YEAR": "2011",
    "LABELS": ["METHODS", "RESULTS"], "MESHES": ["Zinc"], "final_decision": "yes", "LONG_ANSWER": "Zinc seems safe.",
}  # fmt: skip
PQAL = {"1": RECORD, "2": {**RECORD, "QUESTION": "Is lead safe?", "final_decision": "no", "YEAR": None}}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_pubmedqa_reads_the_official_files(tmp_path: Path) -> None:
    file = write(tmp_path / "ori_pqal.json", PQAL)
    whole = read_pubmedqa(file)
    assert [(one.id, one.text, one.verdict, one.answer) for one in whole.questions] == [
        ("1", "Is zinc safe?", "yes", "Zinc seems safe."), ("2", "Is lead safe?", "no", "Zinc seems safe."),
    ]  # fmt: skip
    document = whole.documents[0]
    assert (document.id, document.metadata["year"]) == ("PMID:1", 2011)
    assert "year" not in whole.documents[1].metadata
    parts = [(part.path, document.text[part.start : part.end]) for part in document.sections]
    assert parts == [(("METHODS",), "Zinc was given."), (("RESULTS",), "Zinc is safe in children.")]
    assert "seems safe" not in document.text
    assert whole.questions[0].gold[0].quote == document.text
    assert whole.sha256 == {"ori_pqal.json": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_pubmedqa_keeps_the_official_split(tmp_path: Path) -> None:
    file = write(tmp_path / "ori_pqal.json", PQAL)
    data = read_pubmedqa(file, write(tmp_path / "truth.json", {"2": "no"}))
    assert [one.id for one in data.questions] == ["2"]
    assert set(data.sha256) == {"ori_pqal.json", "truth.json"}
    with pytest.raises(CorpusError, match="not among the questions"):
        read_pubmedqa(file, write(tmp_path / "truth.json", {"3": "no"}))
    with pytest.raises(CorpusError, match="verdict is 'yes' here and 'no'"):
        read_pubmedqa(file, write(tmp_path / "truth.json", {"2": "yes"}))
    with pytest.raises(CorpusError, match=r"expected PMID: yes\|no\|maybe, .* got dict") as problem:
        read_pubmedqa(file, file)
    assert RECORD["LONG_ANSWER"] not in str(problem.value)


def test_pubmedqa_reads_json_lines_and_refuses_what_it_is_not(tmp_path: Path) -> None:
    row = {
        "pmid": "7", "question": "Is it?", "contexts": ["A."], "section_labels": ["X"], "year": "2000",
        "answer": "maybe",
    }  # fmt: skip
    lines = tmp_path / "dev.jsonl"
    lines.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert read_pubmedqa(lines).questions[0].verdict == "maybe"
    file = write(tmp_path / "a.json", PQAL)
    with pytest.raises(CorpusError, match="its sha256 is"):
        read_pubmedqa(file, sha256="0" * 64)
    for bad, said in (({"1": {**RECORD, "final_decision": "perhaps"}}, "yes, no or maybe"), ([], "holds no questions")):
        with pytest.raises(CorpusError, match=said):
            read_pubmedqa(write(tmp_path / "bad.json", bad))
    (tmp_path / "twice.json").write_text('{"1": {}, "1": {}}', encoding="utf-8")
    with pytest.raises(CorpusError, match="the key '1' occurs twice"):
        read_pubmedqa(tmp_path / "twice.json")


def test_given_shows_each_question_its_own_abstract_and_nothing_else(tmp_path: Path) -> None:
    data = read_pubmedqa(write(tmp_path / "a.json", PQAL))
    given = data.given()
    assert given.deepest == 2
    found = given.search(["Is lead safe?", "Unknown?"], 2)
    assert [[hit.passage.text for hit in hits] for hits in found] == [PQAL["2"]["CONTEXTS"], []]
    assert all(hit.passage.document_id == "PMID:2" for hit in found[0])
    for hit in found[0]:
        assert given.document("PMID:2").text[hit.passage.start : hit.passage.end] == hit.passage.text
    assert given.rarity(["unheard"])["unheard"] > given.rarity(["zinc"])["zinc"]
    with pytest.raises(KeyError, match="PMID:9"):
        given.document("PMID:9")
    chats: list[Any] = []
    generator = ScriptedGenerator(lambda chat: chats.append(chat) or "Yes. Zinc is safe in children [1].")
    (answer,) = QAPipeline(given, generator, k=2, min_confidence=0.0).batch(["Is zinc safe?"])
    assert "Zinc was given." in chats[0][-1].content
    assert "seems safe" not in chats[0][-1].content
    assert answer.verdict is not None
    same = {"1": RECORD, "2": RECORD}
    with pytest.raises(ValueError, match="two questions have the text"):
        read_pubmedqa(write(tmp_path / "same.json", same)).given()


def test_pubmedqa_scores_as_sklearn_does() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        true, said = (rng.choice(["yes", "no", "maybe"], size=40).tolist() for _ in range(2))
        made = score_pubmedqa(true, said)
        assert made.accuracy == pytest.approx(accuracy_score(true, said), abs=1e-12)
        assert made.macro_f1 == pytest.approx(f1_score(true, said, average="macro"), abs=1e-12)
    made = score_pubmedqa(["yes", "no"], ["yes", None])
    assert (made.accuracy, made.unanswered, made.n) == (0.5, 1, 2)
    assert made.macro_f1 == pytest.approx(1 / 3)  # yes 1, no 0, maybe 0


def test_macro_f1_stands_in_the_comparison(tmp_path: Path) -> None:
    records = {
        str(i): {**RECORD, "QUESTION": f"Is {i} safe?", "final_decision": ("yes", "no")[i % 2]} for i in range(8)
    }
    data = read_pubmedqa(write(tmp_path / "a.json", records))
    generator = ScriptedGenerator(lambda chat: "Yes. Zinc is safe in children [1].")
    system = QAPipeline(data.given(), generator, k=2, min_confidence=0.0)
    base = system.without_retrieval()
    texts = [question.text for question in data.questions]
    made = compare(system, base, data.questions)
    made = with_macro_f1(made, data.questions, system.batch(texts), base.batch(texts))
    assert made.rows[1].metric == "macro-F1 of yes, no and maybe"
    assert made.rows[1].system.value == pytest.approx(score_pubmedqa(["yes", "no"] * 4, ["yes"] * 8).macro_f1)
    assert made.rows[1].difference.value == 0
    assert all(row.adjusted is not None for row in made.rows)


MIRAGE = {
    "medqa": {
        "0002": {"question": "Which drug?", "options": {"A": "aspirin", "B": "zinc"}, "answer": "B"},
        "0001": {"question": "Which bone?", "options": {"A": "femur", "B": "ulna"}, "answer": "A"},
    },
    "bioasq": {"x": {"question": "Is it?", "options": {"A": "yes", "B": "no"}, "answer": "B", "PMID": [5, 6]}},
}


def test_mirage_reads_questions_in_the_order_of_its_program(tmp_path: Path) -> None:
    questions, digest = read_mirage(write(tmp_path / "benchmark.json", MIRAGE))
    assert [one.id for one in questions] == ["medqa/0001", "medqa/0002", "bioasq/x"]
    assert questions[2].documents == ("PMID:5", "PMID:6")
    assert [one.question().verdict for one in questions] == ["A", "B", "no"]
    assert [one.question().type for one in questions] == ["choice", "choice", "yesno"]
    assert len(digest) == 64
    assert [one.dataset for one in read_mirage(tmp_path / "benchmark.json", ["bioasq"])[0]] == ["bioasq"]
    with pytest.raises(ValueError, match="no dataset 'mmlu'"):
        read_mirage(tmp_path / "benchmark.json", ["mmlu"])
    for bad, said in (({"a": 1}, "expected an object of the datasets"), ({"bioasq": {"x": {}}}, "question")):
        with pytest.raises(CorpusError, match=said):
            read_mirage(write(tmp_path / "bad.json", bad))


class Spy:
    """An index that remembers what it was asked."""

    def __init__(self) -> None:
        self.manifest = {"content": "spy", "search": {}}
        self.asked: list[str] = []

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        self.asked += queries
        return [[Hit(Passage("d", 0, 9, f"Passage {n}."), 1.0) for n in range(k)] for _ in queries]


def test_options_are_hidden_from_the_search_and_shown_to_the_model() -> None:
    question = ChoiceQuestion("1", "Which drug?", {"A": "aspirin", "B": "zinc"}, "B")
    spy, generator = Spy(), ScriptedGenerator(lambda _: "B")
    system = ChoicePipeline(spy, generator, [question], k=2)
    (answer,) = system.batch(["Which drug?"])
    assert spy.asked == ["Which drug?"]
    user = generator.chats[0][-1].content
    assert "A. aspirin B. zinc" in user
    assert "Passage 1." in user
    assert answer.verdict is not None
    assert answer.verdict.answer == "B"
    (alone,) = system.without_retrieval().batch(["Which drug?"])
    assert len(spy.asked) == 1
    assert "Passage" not in generator.chats[1][-1].content
    assert "B. zinc" in generator.chats[1][-1].content
    assert alone.manifest != answer.manifest


def test_a_choice_that_cannot_be_read_is_no_answer() -> None:
    question = ChoiceQuestion("1", "Which drug?", {"A": "aspirin", "B": "zinc"}, "A")
    (answer,) = ChoicePipeline(None, ScriptedGenerator(["A or B"]), [question]).batch(["Which drug?"])
    assert answer.abstained
    assert answer.verdict is None
    assert answer.reason.startswith("the reply could not be read: ")


def test_passages_that_do_not_fit_are_left_out() -> None:
    class Small(ScriptedGenerator):
        def fits(self, chat: Any, new: int) -> bool:
            return chat[-1].content.count("<passage") <= 1

    generator = Small(lambda _: "A")
    question = ChoiceQuestion("1", "Which?", {"A": "a", "B": "b"}, "A")
    ChoicePipeline(Spy(), generator, [question], k=5).batch(["Which?"])
    assert generator.chats[0][-1].content.count("<passage") == 1


def test_questions_of_one_text_and_other_options_are_refused() -> None:
    first, second = (ChoiceQuestion(id, "Which?", {"A": "a", "B": id}, "A") for id in ("1", "2"))
    with pytest.raises(ValueError, match="other options"):
        ChoicePipeline(None, ScriptedGenerator([]), [first, second])
    with pytest.raises(ValueError, match="k must be at least 1"):
        ChoicePipeline(None, ScriptedGenerator([]), [first], k=0)


def test_findings_against_counting_mentions() -> None:
    def label(finding: str, status: Status) -> FindingLabel:
        return FindingLabel(finding, status)

    truth = [(Status.ABSENT, Status.PRESENT), (Status.NOT_MENTIONED, Status.PRESENT)]
    reports = [
        LabelledReport(str(n), f"text {n}", (), "chest", (label("a", one), label("b", two)))
        for n, (one, two) in enumerate(truth)
    ]

    class Reader:
        def batch(self, texts: Sequence[str]) -> list[FindingsResult]:
            return [
                FindingsResult(text, (label("a", truth[n][0]), label("b", Status.UNCERTAIN)))
                for n, text in enumerate(texts)
            ]

    made = compare_findings(reports, lambda name: Reader())
    right, _, present = made.rows
    assert (right.system.value, right.baseline.value) == (0.5, 0.75)  # the baseline calls "absent" present
    assert right.system.groups == 2
    assert present.system.value == 0
    assert present.baseline.value == pytest.approx(0.8)  # 2 right, 1 too many
    with pytest.raises(ValueError, match="at least 2"):
        compare_findings(reports[:1], lambda name: Reader())
