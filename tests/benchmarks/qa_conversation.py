"""Follow-up questions and patient facts on the shipped questions: do they find the right document, and do they hurt?

Follow-ups are templates asked right after a shipped question; the document of that question is what should be found
again. They say nothing about the topic, so the share found for them as asked is what chance and their own words give.
Patients are made up; what an unremarkable or a special patient changes is measured against no patient.

python tests/benchmarks/qa_conversation.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import arguments, report

import radrag as rr
from radrag.metrics import bootstrap
from radrag.pipelines.patient import Patient
from radrag.pipelines.rewriting import by_rules

FOLLOW_UPS = (
    "How many patients were studied for it?",
    "Is it recommended?",
    "And in pregnant women?",
    "What are its risks?",
    "Why?",
)
PATIENTS = {
    "adult, nothing special": Patient(age=45, sex="male", egfr=90),
    "child": Patient(age=6),
    "pregnant": Patient(age=30, sex="female", pregnant=True),
    "eGFR 20, contrast allergy": Patient(age=80, egfr=20, allergies=("iodinated contrast",)),
}
K = 8


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    questions = [question for question in rr.load_questions() if question.answerable and question.gold]
    if args.quick:
        chosen = np.random.default_rng(0).choice(len(questions), 20, replace=False)
        questions = [questions[row] for row in sorted(chosen)]
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        _follow_ups(index, questions, args)
        _patients(index, questions, args)


def _found(index: rr.HybridIndex, texts: Sequence[str], questions: Sequence[rr.Question]) -> list[float]:
    runs = index.search(list(texts), K)
    gold = [{span.document_id for span in question.gold} for question in questions]
    return [
        float(bool(wanted & {hit.passage.document_id for hit in hits})) for wanted, hits in zip(gold, runs, strict=True)
    ]


def _follow_ups(index: rr.HybridIndex, questions: Sequence[rr.Question], args: argparse.Namespace) -> None:
    rows = []
    for asked in FOLLOW_UPS:
        raw = np.asarray(_found(index, [asked] * len(questions), questions))
        made = np.asarray(_found(index, [by_rules(asked, question.text) for question in questions], questions))
        rows.append(
            [asked, len(questions), bootstrap(raw, seed=0), bootstrap(made, seed=0), bootstrap(made - raw, seed=0)]
        )
    title = f"Document of the question before among the first {K} of {len(index)} passages"
    report(title, ["follow-up", "n", "as asked", "rewritten by rules", "gain"], rows, args)


def _patients(index: rr.HybridIndex, questions: Sequence[rr.Question], args: argparse.Namespace) -> None:
    qa = rr.QAPipeline(index, k=K)
    texts = [question.text for question in questions]
    plain = qa.batch(texts)
    rows = []
    for name, patient in PATIENTS.items():
        answers = qa.batch(texts, patient=patient)
        pairs = list(zip(questions, plain, answers, strict=True))
        lost = np.asarray([_right(one, q) - _right(two, q) for q, one, two in pairs])
        same = np.asarray([float(one.text == two.text) for _, one, two in pairs])
        more = np.asarray([float(len(two.evidence) - len(one.evidence)) for _, one, two in pairs])
        kept = all(two.evidence[: len(one.evidence)] == one.evidence for _, one, two in pairs)
        warned = np.asarray([float(len(two.warnings) > len(one.warnings)) for _, one, two in pairs])
        rows.append([
            name, len(pairs), "yes" if kept else "no", more.mean(), bootstrap(same, seed=0),
            bootstrap(lost, seed=0), bootstrap(warned, seed=0),
        ])  # fmt: skip
    columns = [
        "patient", "n", "hits kept", "hits more", "same text", "gold document lost", "warned",
    ]  # fmt: skip
    report("What a patient changes, extractive reader", columns, rows, args)


def _right(answer: rr.Answer, question: rr.Question) -> float:
    return float(bool({one.document_id for one in answer.citations} & {span.document_id for span in question.gold}))


if __name__ == "__main__":
    main()
