"""Reading questions, and the models of the extractive reader, fitted on made-up ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import CorpusError
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.sentence_model import FEATURES, Rarity, SentenceModel
from radrag.reading.verdict import VerdictModel
from radrag.training._reader_texts import count_terms, false_questions
from radrag.training.reader import read_medquad, read_pubmedqa
from radrag.training.verdict import fit_logistic, fit_sentences, fit_verdict
from radrag.types import VERDICTS, Document, GoldSpan, Hit, Passage, Question

DRUGS = [
    f"{first}{last}" for first in ("lan", "mor", "tes", "vul") for last in ("dine", "pril", "statin", "zole", "mab")
]
SAYS = {"yes": "significantly reduced", "no": "did not change", "maybe": "may possibly reduce"}


def made_up() -> list[dict[str, Any]]:
    records = []
    for number, drug in enumerate(DRUGS * 2):
        answer = VERDICTS[number % 3]
        contexts = [
            f"We gave {drug} to {number + 10} patients.",
            f"Treatment with {drug} {SAYS[answer]} pain {number}.",
        ]
        row = {"pmid": str(number), "question": f"Does {drug} reduce pain?", "contexts": contexts, "answer": answer}
        records.append({**row, "long_answer": f"In conclusion, {drug} {SAYS[answer]} pain in group {number}."})
    return records


MEDQUAD = [
    {
        "question": f"What is {drug}?",
        "focus": drug,
        "answer": f"{drug} is a drug that lowers pain. " + "It helps. " * 20,
    }
    for drug in DRUGS
]
CORPUS = [Document(drug, f"The dose of {drug} is {n} mg a day. It is taken by mouth.") for n, drug in enumerate(DRUGS)]
ASKED = [
    Question(str(n), f"What is the dose of {drug}?", answer=f"The dose of {drug} is {n} mg a day.",
             gold=(GoldSpan(drug, 0, 11, "The dose of"),))
    for n, drug in enumerate(DRUGS)
]  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    return path


def test_read_pubmedqa_with_and_without_conclusion(tmp_path: Path) -> None:
    rows = made_up()[:3]
    assert read_pubmedqa(write(tmp_path / "a.jsonl", [{**row, "more": 1} for row in rows])) == rows
    for row in rows:
        del row["long_answer"]
    assert read_pubmedqa(write(tmp_path / "a.jsonl", rows)) == rows


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("answer", "perhaps", "expected one of yes, no, maybe"),
        ("contexts", "one text", "expected a list of paragraphs"),
        ("contexts", [1], "expected a list of paragraphs"),
        ("question", 3, "question"),
    ],
)
def test_read_pubmedqa_names_what_is_wrong(tmp_path: Path, field: str, value: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_pubmedqa(write(tmp_path / "a.jsonl", [{**made_up()[0], field: value}]))


def test_read_medquad(tmp_path: Path) -> None:
    assert read_medquad(write(tmp_path / "m.jsonl", [{**MEDQUAD[0], "more": 1}])) == MEDQUAD[:1]
    with pytest.raises(CorpusError, match="focus"):
        read_medquad(write(tmp_path / "m.jsonl", [{"question": "a", "answer": "b"}]))


def test_terms_are_counted_once_a_text() -> None:
    found = count_terms(["stone stone gallium", "stone", "dose"], least=2)
    assert found == Rarity(3, {"stone": 2})


def test_false_questions_are_made_of_affirmed_ones_only_and_by_seed() -> None:
    rarity = Rarity(99, {"doe": 90, "reduce": 50, "pain": 40})
    records = made_up()
    made = list(false_questions(records, rarity, 0))
    assert {records[one.source]["answer"] for one in made} == {"yes"}
    assert made == list(false_questions(records, rarity, 0))
    assert made != list(false_questions(records, rarity, 1))
    flips = [one for one in made if one.kind == "flip"]
    assert [one.text for one in flips] == [f"Does {DRUGS[one.source % 20]} increase pain?" for one in flips]
    assert len(flips) == sum(record["answer"] == "yes" for record in records)
    for one in made:
        if one.kind == "swap":
            before, after = records[one.source]["question"].split(), one.text.split()
            assert len(before) == len(after)
            assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "new" / "sentences.json"
    facts = fit_sentences(made_up(), MEDQUAD, ASKED, CORPUS, path)
    assert set(facts["n"]) == {"PubMedQA", "MedQuAD", "shipped"}
    assert all(count > 0 for count in facts["n"].values())
    assert [file.name for file in path.parent.iterdir()] == ["sentences.json"]
    return path


def test_sentence_model_that_was_fitted_loads_and_reads(sentences: Path) -> None:
    model = SentenceModel.load(sentences)
    assert len(model.weights) == len(FEATURES)
    assert min(model.weights) >= 0
    assert max(model.weights) > 0
    texts = ("The weather was fine on that day.", "The dose of landine is 3 mg a day.")
    hits = [Hit(Passage(f"d{n}", 0, len(text), text), 1.0) for n, text in enumerate(texts)]
    draft = ExtractiveReader(1, model=model).read(["What is the dose of landine?"], [hits])[0]
    assert draft.claims[0].text == texts[1]


def test_fit_verdict_makes_models_that_tell_yes_from_no(tmp_path: Path, sentences: Path) -> None:
    path = tmp_path / "new" / "verdict.json"
    judged = [Question("y", "Is the dose of landine 0 mg a day?", verdict="yes"), *ASKED[:2]]
    facts = fit_verdict(made_up(), judged, CORPUS, path, sentences=sentences)
    assert set(facts) == {"evidence", "document", "question"}
    assert facts["evidence"]["n"] == len(made_up())
    assert facts["evidence"]["made false"] > 0
    assert facts["evidence"]["shipped questions"] == 1
    assert facts["document"]["made false"] == facts["question"]["made false"] == 0
    assert facts["document"]["cv_accuracy"] > 0.9
    model = SentenceModel.load(sentences)
    reader, verdict = ExtractiveReader(model=model), VerdictModel.load("document", path)
    for record in made_up()[:2]:
        text = record["contexts"][1]
        found = reader.scored(record["question"], [Hit(Passage("d", 0, len(text), text), 1.0)])
        assert verdict(record["question"], found, model.rarity).answer == record["answer"]
    assert [file.name for file in path.parent.iterdir()] == ["verdict.json"]


def test_logistic_regression_is_that_of_scikit_learn_on_raw_columns() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    table, answers = rng.normal(2, 3, (60, 4)), np.arange(60) % 3
    table[:, 3] = 7.0  # a column that never changes
    weights, bias = fit_logistic(table, answers, np.ones(60), 0.5)
    scaled = (table - table.mean(axis=0)) / np.where(table.std(axis=0) > 0, table.std(axis=0), 1)
    expected = LogisticRegression(C=0.5, max_iter=2000).fit(scaled, answers).decision_function(scaled)
    assert table @ weights.T + bias == pytest.approx(expected)
    with pytest.raises(ValueError, match="every one of yes, no, maybe"):
        fit_logistic(table, answers % 2, np.ones(60), 0.5)


def test_it_needs_no_torch() -> None:
    code = "import sys; import radrag.training.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
