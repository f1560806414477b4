"""The two small models of question answering, fitted on made-up questions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import CorpusError
from radrag.grounding import Confidence
from radrag.reading.verdict import VerdictModel
from radrag.training.reader import fit_confidence, fit_verdict, read_pubmedqa
from radrag.types import VERDICTS, Document, Question

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
        records.append(row)
    return records


def test_read_pubmedqa(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({**row, "more": 1}) for row in made_up()[:3]) + "\n", "utf-8")
    assert read_pubmedqa(path) == made_up()[:3]


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
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**made_up()[0], field: value}) + "\n", "utf-8")
    with pytest.raises(CorpusError, match=message):
        read_pubmedqa(path)


def test_fit_verdict_makes_a_model_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdict.json"
    facts = fit_verdict(made_up(), path)
    assert set(facts) == {"evidence", "question"}
    assert facts["evidence"]["n"] == len(made_up())
    for name in facts:
        model = VerdictModel.load(name, path)
        verdict = model("Does landine reduce pain?", ["Treatment with landine significantly reduced pain."])
        assert sum(verdict.probability.values()) == pytest.approx(1)
    assert [file.name for file in path.parent.iterdir()] == ["verdict.json"]


def test_fit_confidence_makes_a_model_that_loads(tmp_path: Path) -> None:
    corpus = [Document(drug, f"The dose of {drug} is {n} mg.") for n, drug in enumerate(DRUGS[:10])]
    questions = [Question(str(n), f"What is the dose of {drug}?", answerable=n < 10) for n, drug in enumerate(DRUGS)]
    path = tmp_path / "confidence.json"
    facts = fit_confidence(made_up(), questions, corpus, path)
    assert facts["n"] == {"pubmedqa": 80, "shipped": 20, "out of scope": 40}
    assert 0 <= facts["cv_auroc_shipped"] <= 1
    model = Confidence.load(path)
    assert min(model.weights) >= 0
    assert model((1.0,) * 7) > model((0.0,) * 7)
    assert 0 <= model.threshold <= 1


def test_it_needs_no_torch() -> None:
    code = "import sys; import radrag.training.reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
