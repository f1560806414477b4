from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import CorpusError
from radrag.evaluation.benchmarks import BioASQQuestion, read_bioasq, read_submission, score_phase_a, score_phase_b
from radrag.evaluation.benchmarks.bioasq import GoldSnippet, Submitted, located, pmid_of, submitted
from radrag.evaluation.benchmarks.bioasq_scores import ideal_measures
from radrag.metrics import Snippet, bioasq_documents, bioasq_snippets, rouge_n, rouge_su
from radrag.types import Answer, Claim, Document, Hit, Passage, Verdict

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
    sent = submitted(answer)
    assert sent == Submitted(("1",), (Snippet("1", 16, len(text) - 1),) * 2, ("yes",), "It is.")
    made = score_phase_a(found, {"0": sent, "1": sent})
    exact = bioasq_snippets(sent.snippets, [Snippet("1", kept.begin, kept.end)])
    assert dict(made.rows)["snippets: mean F1"].value == pytest.approx(exact.f1) == 1.0


def test_an_abstention_submits_no_answer_and_the_best_ten() -> None:
    hits = tuple(Hit(Passage(f"PMID:{n}", 0, 4, "Text"), 1.0) for n in range(12))
    made = submitted(Answer("Q?", (Claim("Draft.", (), False, 0.0),), Verdict("yes", {}), True, "why", evidence=hits))
    assert (made.exact, made.ideal) == ((), "")
    assert made.documents == tuple(str(n) for n in range(10))
    assert len(made.snippets) == 10
    assert pmid_of("PMID:12") == pmid_of(URL + "12") == pmid_of(URL + "12/") == "12"


def test_ideal_answers_are_figures_of_a_comparison(tmp_path: Path) -> None:
    gold, _ = read_bioasq(write(tmp_path / "g.json", GOLD))
    two, _ = ideal_measures(gold)
    answer = Answer("Q?", (Claim("A metal that cells need.", (), True, 1.0),))
    assert two.score(gold[6].question(), answer) == 1.0
    assert two.score(gold[6].question(), Answer("Q?", answer.claims, abstained=True)) == 0.0
    assert two.score(gold[1].question(), answer) is None
