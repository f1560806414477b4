from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from radrag.errors import CorpusError
from radrag.evaluation import compare
from radrag.evaluation.benchmarks import BioASQQuestion, read_bioasq, read_submission, score_phase_a, score_phase_b
from radrag.evaluation.benchmarks.bioasq import GoldSnippet, Submitted, exact_of, located, pmid_of, submitted
from radrag.evaluation.benchmarks.bioasq_scores import ideal_measures
from radrag.evaluation.benchmarks.exact import InForms, exact_measures, joined
from radrag.evaluation.benchmarks.given import GivenPassages
from radrag.evaluation.variants import metered, reseeded, samples
from radrag.generation.scripted import ScriptedGenerator
from radrag.metrics import Snippet, bioasq_documents, bioasq_snippets, holm, rouge_n, rouge_su
from radrag.pipelines.qa import QAPipeline
from radrag.types import (
    Answer,
    Chat,
    Claim,
    Document,
    Generation,
    GenerationParams,
    Hit,
    Passage,
    Section,
    Verdict,
)

URL = "http://www.ncbi.nlm.nih.gov/pubmed/"


def snippet(pmid: str, begin: int, end: int, text: str = "x", section: str = "abstract") -> dict[str, Any]:
    return {
        "document": URL + pmid, "text": text, "offsetInBeginSection": begin, "offsetInEndSection": end,
        "beginSection": section, "endSection": section,
    }  # fmt: skip


GOLD = {
    "questions": [
        {
            "id": "y1", "type": "yesno", "body": "Is zinc safe?", "documents": [URL + "1", URL + "2"],
            "snippets": [snippet("1", 0, 9)], "exact_answer": "yes", "ideal_answer": ["Zinc is safe in children."],
        },
        {"id": "y2", "type": "yesno", "body": "Is lead\nsafe?", "documents": [URL + "3"], "exact_answer": "no"},
        {"id": "f1", "type": "factoid", "body": "Which gene?", "exact_answer": ["BRCA1", "brca 1"]},
        {"id": "f2", "type": "factoid", "body": "Which drug?", "exact_answer": [["aspirin", "ASA"]]},
        {"id": "l1", "type": "list", "body": "Which genes?", "exact_answer": [["A1"], ["B2", "b-2"]]},
        {"id": "l2", "type": "list", "body": "Which bones?", "exact_answer": ["femur", "ulna"]},
        {"id": "s1", "type": "summary", "body": "What is zinc?", "ideal_answer": "A metal that cells need."},
    ]
}  # fmt: skip
SENT = {
    "questions": [
        {
            "id": "y1", "documents": [URL + "9", URL + "1"], "snippets": [snippet("1", 5, 14)], "exact_answer": "yes",
            "ideal_answer": "Zinc is safe.",
        },
        {"id": "y2", "documents": [URL + "3"], "exact_answer": "yes"},
        {"id": "f1", "exact_answer": [["other"], ["Brca 1"]]},
        {"id": "f2", "exact_answer": [["asa"]]},
        {"id": "l1", "exact_answer": [["a1"], ["C3"]]},
        {"id": "s1", "ideal_answer": "A metal that cells need."},
    ]
}  # fmt: skip


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_gold_in_the_official_format(tmp_path: Path) -> None:
    gold, digest = read_bioasq(write(tmp_path / "b.json", GOLD))
    assert len(digest) == 64
    assert [one.id for one in gold] == ["y1", "y2", "f1", "f2", "l1", "l2", "s1"]
    assert gold[0].pmids == ("1", "2")
    assert gold[0].snippets == (GoldSnippet("1", "abstract", "x", 0, 9),)
    assert gold[1].text == "Is lead safe?"
    # The synonyms of a factoid without the outer list are one entity; each text of a list question is one.
    assert [one.exact for one in gold[2:6]] == [
        (("BRCA1", "brca 1"),), (("aspirin", "ASA"),), (("A1",), ("B2", "b-2")), (("femur",), ("ulna",)),
    ]  # fmt: skip
    question = gold[0].question()
    assert (question.verdict, question.answer) == ("yes", "Zinc is safe in children.")
    assert [span.document_id for span in question.gold] == ["PMID:1", "PMID:2"]
    assert gold[6].question().verdict is None


@pytest.mark.parametrize(
    ("change", "said"),
    [({"type": "essay"}, "must be one of"), ({"body": " "}, "must be text"), ({"exact_answer": "perhaps"}, "yes or no"),
     ({"id": 3}, "must be str"), ({"snippets": [{"document": 3}]}, "is no snippet")],
)  # fmt: skip
def test_gold_that_is_something_else_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        read_bioasq(write(tmp_path / "b.json", {"questions": [{**GOLD["questions"][0], **change}]}))


def test_files_without_questions_or_with_one_twice_are_refused(tmp_path: Path) -> None:
    for bad, said in (({"questions": []}, "at least one"), ({"questions": GOLD["questions"][:1] * 2}, "stands twice")):
        with pytest.raises(CorpusError, match=said):
            read_bioasq(write(tmp_path / "b.json", bad))
        with pytest.raises(CorpusError, match=said):
            read_submission(write(tmp_path / "b.json", bad))


def test_phase_b_by_hand(tmp_path: Path) -> None:
    gold, _ = read_bioasq(write(tmp_path / "g.json", GOLD))
    sent, _ = read_submission(write(tmp_path / "s.json", SENT))
    made = score_phase_b(gold, sent)
    found = {name: one.value for name, one in made.rows}
    assert found["yes/no: accuracy"] == 0.5
    assert found["yes/no: F1 of yes"] == pytest.approx(2 / 3)
    assert found["yes/no: F1 of no"] == 0
    assert found["yes/no: macro-F1"] == pytest.approx(1 / 3)
    assert found["factoid: strict accuracy"] == 0.5
    assert found["factoid: lenient accuracy"] == 1
    assert found["factoid: MRR"] == 0.75
    assert found["list: F1"] == pytest.approx(0.25)  # one of two right, one of two found; nothing submitted for l2
    two = rouge_n("Zinc is safe.", ["Zinc is safe in children."], 2)
    four = rouge_su("Zinc is safe.", ["Zinc is safe in children."], 4)
    assert found["ideal: ROUGE-2 F1"] == pytest.approx((two.f1 + 1) / 2)
    assert found["ideal: ROUGE-SU4 recall"] == pytest.approx((four.recall + 1) / 2)
    assert made.unscored["questions are not in the submission"] == 1
    assert made.unscored["list questions without an exact answer"] == 1
    assert dict((name, one.n) for name, one in made.rows)["ideal: ROUGE-2 F1"] == 2


def test_answers_to_other_questions_are_counted_and_named(tmp_path: Path) -> None:
    gold = read_bioasq(write(tmp_path / "gold.json", GOLD))[0]
    sent = {"y1": Submitted(exact=("yes",)), **{f"x{n}": Submitted() for n in range(4)}}
    for score in (score_phase_a, score_phase_b):
        made = score(gold, sent)
        assert made.unscored["answers to questions that are not in the gold (x0, x1, x2, ...)"] == 4
        assert "4 answers to questions that are not in the gold (x0" in made.table("t").note
        assert not any("not in the gold" in reason for reason in score(gold, {"y1": sent["y1"]}).unscored)


def test_phase_a_is_the_mean_of_the_official_measures(tmp_path: Path) -> None:
    gold, _ = read_bioasq(write(tmp_path / "g.json", GOLD))
    sent, _ = read_submission(write(tmp_path / "s.json", SENT))
    made = score_phase_a(gold, sent)
    found = {name: one.value for name, one in made.rows}
    first, second = bioasq_documents(["9", "1"], ["1", "2"]), bioasq_documents(["3"], ["3"])
    assert found["documents: mean F1"] == pytest.approx((first.f1 + second.f1) / 2)
    assert found["documents: MAP"] == pytest.approx((first.average_precision + second.average_precision) / 2)
    assert not any(name.startswith("snippets") for name in found)
    assert made.unscored["question(s) for snippets: too few for an interval"] == 1
    assert made.unscored["questions without gold documents"] == 5


def test_gold_snippets_are_found_in_the_texts_of_an_index() -> None:
    text = "Zinc was given. Zinc is safe in children."
    known = {"1": Document("PMID:1", text)}
    wanted = GoldSnippet("1", "sections.0", "Zinc is safe in children.")
    others = GoldSnippet("1", "title", "Not there."), GoldSnippet("2", "abstract", "x")
    questions = [BioASQQuestion(str(n), "Q?", "summary", ("1",), (wanted, *others)) for n in range(2)]
    found, lost = located(questions, known.get)
    assert lost == {"its words are not in the document's text": 2, "its document is not in the index": 2}
    (kept,) = found[0].snippets
    assert text[kept.begin : kept.end + 1] == wanted.text
    passage = Passage("PMID:1", 16, len(text), text[16:])
    answer = Answer("Q?", (Claim("It is.", (), True, 1.0),), Verdict("yes", {}), evidence=(Hit(passage, 1.0),) * 2)
    sent = submitted(answer, "yesno")
    assert sent == Submitted(("1",), (Snippet("1", 16, len(text) - 1),) * 2, ("yes",), "It is.")
    made = score_phase_a(found, {"0": sent, "1": sent})
    exact = bioasq_snippets(sent.snippets, [Snippet("1", kept.begin, kept.end)])
    assert dict(made.rows)["snippets: mean F1"].value == pytest.approx(exact.f1) == 1.0


def test_an_abstention_submits_no_answer_and_the_best_ten() -> None:
    hits = tuple(Hit(Passage(f"PMID:{n}", 0, 4, "Text"), 1.0) for n in range(12))
    drafted = Answer("Q?", (Claim("Draft.", (), False, 0.0),), Verdict("yes", {}), True, "why", evidence=hits)
    made = submitted(drafted, "yesno")
    assert (made.exact, made.ideal) == ((), "")
    assert made.documents == tuple(str(n) for n in range(10))
    assert len(made.snippets) == 10
    assert pmid_of("PMID:12") == pmid_of(URL + "12") == pmid_of(URL + "12/") == "12"


def _exact(form: str, value: Any, *, abstained: bool = False) -> Answer:
    return Answer("Q?", abstained=abstained, form=form, value=value)


def test_exact_answers_are_submitted_by_the_type_of_the_question() -> None:
    words = Answer("Q?", (Claim("It is aspirin.", (), True, 1.0),), Verdict("yes", {}))
    # A verdict is no answer to a question for a name.
    assert submitted(words, "factoid").exact == submitted(words, "summary").exact == ()
    assert submitted(words, "yesno", _exact("factoid", "aspirin")).exact == ("yes",)
    made = submitted(words, "factoid", _exact("factoid", "aspirin"))
    assert (made.exact, made.ideal) == (("aspirin",), "It is aspirin.")
    assert submitted(words, "list", _exact("list", ("a", "b"))).exact == ("a", "b")
    assert submitted(words, "list", _exact("list", ("a", "b"), abstained=True)).exact == ()
    assert submitted(words, "list", _exact("list", None)).exact == ()
    assert exact_of(_exact("factoid", tuple("abcdef"))) == tuple("abcde")  # as many as the benchmark takes


class Typed:
    """Answers in the form asked for: the last word of the question, or its last two words as a list."""

    manifest: ClassVar[dict[str, Any]] = {"name": "typed"}

    def __init__(self, alone: bool = False) -> None:
        self.alone = alone
        self.asked: list[tuple[str | None, list[str]]] = []

    def without_retrieval(self) -> Typed:
        return Typed(alone=True)

    def batch(self, texts: Sequence[str], form: str | None = None) -> list[Answer]:
        self.asked.append((form, list(texts)))
        words = [text.rstrip("?").split() for text in texts]
        values = [None if self.alone else one[-1] if form == "factoid" else tuple(one[-2:]) for one in words]
        return [
            Answer(text, (Claim("So.", (), True, 1.0),), form=form or "", value=value, manifest={"form": form})
            for text, value in zip(texts, values, strict=True)
        ]


ASKED = (
    BioASQQuestion("l1", "Which two are a b?", "list", exact=(("a",), ("c",))),
    BioASQQuestion("f1", "Which is x?", "factoid", exact=(("X", "ex"),)),
    BioASQQuestion("f2", "Which is y?", "factoid", exact=(("z",),)),
)


def test_each_question_is_asked_in_its_form() -> None:
    system = Typed()
    asked = InForms(system, ASKED)
    made = asked.batch([question.text for question in ASKED])
    assert system.asked == [("factoid", ["Which is x?", "Which is y?"]), ("list", ["Which two are a b?"])]
    assert [one.value for one in made] == [("a", "b"), "x", "y"]
    assert asked.manifest["name"] == "typed"
    assert asked.manifest != InForms(Typed(), ASKED[:2]).manifest
    with pytest.raises(ValueError, match="none of the questions"):
        asked.batch(["Another?"])
    with pytest.raises(ValueError, match="of type factoid or list"):
        InForms(system, [BioASQQuestion("s", "Why?", "summary")])
    with pytest.raises(ValueError, match="other types"):
        InForms(system, [ASKED[1], BioASQQuestion("l9", ASKED[1].text, "list")])


def test_exact_answers_stand_beside_the_rest() -> None:
    items = [question.question() for question in ASKED]
    words = compare(Typed(), Typed(alone=True), items)
    system = InForms(Typed(), ASKED)
    exact = compare(system, system.without_retrieval(), items, measures=exact_measures(ASKED))
    # Right: x of the factoids; of the list one of two given, one of two wanted.
    assert [(row.metric, row.system.value, row.baseline.value) for row in exact.rows] == [
        ("exact answer of factoids, right", 0.5, 0.0)
    ]
    assert exact.unscored == {"exact answer of lists, F1: fewer than 2 items": 1}
    assert exact_measures(ASKED)[1].score(items[0], _exact("list", ("a", "b"))) == 0.5
    assert "form" not in exact.manifest["RAG"]  # it is another one for each question
    made = joined(words, exact)
    assert [row.metric for row in made.rows] == [row.metric for row in (*words.rows, *exact.rows)]
    tested = [row.p_value for row in made.rows if row.p_value is not None]
    assert [row.adjusted for row in made.rows if row.p_value is not None] == list(holm(tested))
    assert made.cases == words.cases
    assert made.cost[0].items == 6
    assert "exact answers: exact answer of lists, F1: fewer than 2 items" in made.unscored


def test_tokens_of_exact_answers_are_counted() -> None:
    passages = {question.text: Document(question.text, "The answer is x.", sections=(Section((), 0, 16),)) for
                question in ASKED}  # fmt: skip
    generator = ScriptedGenerator(lambda chat: "x\n\nEvidence:\nThe answer is x. [1]")
    system = InForms(QAPipeline(GivenPassages(passages, "test"), generator, min_confidence=0.0), ASKED)
    counted, meter = system.metered()
    assert counted.batch([ASKED[1].text])[0].value == "x"
    assert meter is not None
    assert meter.prompt_tokens is None  # this generator does not count, so the sum is unknown, and not 0
    assert system.without_retrieval().batch([ASKED[1].text])[0].form == "factoid"


class Seeded:
    """Answers x with the seed 0, and names any other."""

    fingerprint = "seeded"

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        return [Generation(f"x{params.seed or ''}\n\nEvidence:\nThe answer is x. [1]", True) for _ in chats]


def _in_forms(temperature: float) -> InForms:
    passages = {question.text: Document(question.text, "The answer is x.", sections=(Section((), 0, 16),)) for
                question in ASKED}  # fmt: skip
    params = GenerationParams(temperature=temperature)
    return InForms(QAPipeline(GivenPassages(passages, "test"), Seeded(), min_confidence=0.0, params=params), ASKED)


def test_exact_answers_that_are_drawn_are_drawn_again() -> None:
    system, items = _in_forms(0.7), [question.question() for question in ASKED]
    assert samples(system)
    assert samples(metered(system)[0])
    assert [one.value for one in system.batch([ASKED[1].text])] == ["x"]
    other = reseeded(system, 5)
    assert [one.value for one in other.batch([ASKED[1].text])] == ["x5"]
    assert [one.value for one in system.batch([ASKED[1].text])] == ["x"]
    assert "seed=5" in other.batch([ASKED[1].text])[0].manifest["reader"]
    made = compare(system, system.without_retrieval(), items, measures=exact_measures(ASKED), repeats=3)
    assert made.repeats is not None
    (factoids,) = (one for one in made.repeats.spread if "factoids" in one.metric)
    assert (factoids.system, factoids.baseline) == ((0.5, 0.0, 0.0), (0.5, 0.0, 0.0))


def test_exact_answers_that_are_not_drawn_are_not_repeated() -> None:
    items = [question.question() for question in ASKED]
    for system in (_in_forms(0.0), InForms(Typed(), ASKED)):
        assert not samples(system)
        with pytest.raises(ValueError, match="temperature above 0"):
            compare(system, system.without_retrieval(), items, measures=exact_measures(ASKED), repeats=3)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((5000, True), (0, False), (5000, True)),  # the second came from the cache
        ((0, False), (5000, True), (5000, True)),
        ((5000, True), (9000, False), (9000, False)),
        ((5000, True), (9000, True), (9000, True)),
        ((0, False), (0, False), (0, False)),
    ],
)
def test_memory_of_both_tasks(first: tuple[int, bool], second: tuple[int, bool], expected: tuple[int, bool]) -> None:
    items = [question.question() for question in ASKED]
    made = compare(Typed(), Typed(alone=True), items)
    parts = [
        replace(made, cost=tuple(replace(cost, peak_bytes=held, own_peak=own) for cost in made.cost))
        for held, own in (first, second)
    ]
    assert [(cost.peak_bytes, cost.own_peak) for cost in joined(*parts).cost] == [expected] * 2


def test_ideal_answers_are_figures_of_a_comparison(tmp_path: Path) -> None:
    gold, _ = read_bioasq(write(tmp_path / "g.json", GOLD))
    two, _ = ideal_measures(gold)
    answer = Answer("Q?", (Claim("A metal that cells need.", (), True, 1.0),))
    assert two.score(gold[6].question(), answer) == 1.0
    assert two.score(gold[6].question(), Answer("Q?", answer.claims, abstained=True)) == 0.0
    assert two.score(gold[1].question(), answer) is None
