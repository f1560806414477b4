"""The official measures of BioASQ phases A and B over a batch, with intervals; see ``metrics.bioasq``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radrag.evaluation.benchmarks.bioasq import BioASQQuestion, Submitted
from radrag.evaluation.records import Table
from radrag.evaluation.scores import Measure
from radrag.metrics import (
    Estimate,
    RetrievalScore,
    Snippet,
    bioasq_documents,
    bioasq_factoid,
    bioasq_list,
    bioasq_snippets,
    bioasq_yes_no,
    bootstrap,
    bootstrap_statistic,
    geometric_map,
    rouge_n,
    rouge_su,
)
from radrag.types import Answer, Question

_NONE = Submitted()
_NAMED = 3


@dataclass(frozen=True, slots=True)
class OfficialScores:
    """Official measures of a batch.

    Attributes:
        rows: Measure and figure, in the order of the official tables.
        unscored: Questions that a part leaves out, or that have no submission, and answers to others, by reason.
    """

    rows: tuple[tuple[str, Estimate], ...]
    unscored: Mapping[str, int]

    def table(self, title: str) -> Table:
        """Return them as a table of a report."""
        rows = tuple(
            (name, f"{one.value:.4f}", f"[{one.low:.4f}, {one.high:.4f}]", str(one.n)) for name, one in self.rows
        )
        left = "; ".join(f"{count} {reason}" for reason, count in self.unscored.items())
        return Table(title, ("measure", "figure", "95 % interval", "n"), rows, f"Left out: {left}." if left else "")

    def __str__(self) -> str:
        return "\n".join(
            [f"{name}: {one}" for name, one in self.rows] + [f"{n} {why}" for why, n in self.unscored.items()]
        )


def score_phase_a(
    questions: Sequence[BioASQQuestion], submissions: Mapping[str, Submitted], *, seed: int = 0
) -> OfficialScores:
    """Score documents and snippets: mean precision, recall and F1, MAP and GMAP.

    A question without a submission scores 0, and is counted; one without gold documents (or snippets) is left out of
    that part.
    """
    unscored = Counter(_absent(questions, submissions))
    documents, snippets = [], []
    for question in questions:
        said = submissions.get(question.id, _NONE)
        if question.pmids:
            documents.append(bioasq_documents(said.documents, question.pmids))
        else:
            unscored["questions without gold documents"] += 1
        gold = [Snippet(one.pmid, one.begin, one.end, one.section) for one in question.snippets if one.begin >= 0]
        unscored["gold snippets without offsets in one section"] += len(question.snippets) - len(gold)
        if gold:
            snippets.append(bioasq_snippets(said.snippets, gold))
        else:
            unscored["questions without gold snippets that can be located"] += 1
    rows = [*_retrieval("documents", documents, unscored, seed), *_retrieval("snippets", snippets, unscored, seed)]
    return OfficialScores(tuple(rows), _some(unscored))


def score_phase_b(
    questions: Sequence[BioASQQuestion], submissions: Mapping[str, Submitted], *, seed: int = 0
) -> OfficialScores:
    """Score exact answers by type and ideal answers by ROUGE.

    A question without an answer scores 0 (a yes/no counts as the wrong one), as in the official program, and is
    counted.
    """
    unscored = Counter(_absent(questions, submissions))
    asked: dict[str, list[tuple[BioASQQuestion, Submitted]]] = {}
    for question in questions:
        if question.type == "summary":
            continue
        if question.exact:
            asked.setdefault(question.type, []).append((question, submissions.get(question.id, _NONE)))
        else:
            unscored[f"{question.type} questions without a gold answer"] += 1
    for kind, pairs in asked.items():
        unscored[f"{kind} questions without an exact answer"] += sum(not said.exact for _, said in pairs)
    rows = [
        *_yes_no(asked.get("yesno", []), unscored, seed),
        *_each(
            "factoid",
            asked.get("factoid", []),
            _factoid,
            ("strict accuracy", "lenient accuracy", "MRR"),
            unscored,
            seed,
        ),
        *_each("list", asked.get("list", []), _list, ("mean precision", "recall", "F1"), unscored, seed),
        *_ideal(questions, submissions, unscored, seed),
    ]
    return OfficialScores(tuple(rows), _some(unscored))


def ideal_measures(questions: Sequence[BioASQQuestion]) -> tuple[Measure, ...]:
    """Return ROUGE-2 and ROUGE-SU4 F1 against the ideal answers, as figures of ``compare``."""
    known = {question.id: question.ideal for question in questions}

    def measure(name: str, score: Callable[[str, Sequence[str]], Any]) -> Measure:
        def of(question: Question, answer: Answer) -> float | None:
            gold = known.get(question.id)
            if not gold:
                return None
            said = " ".join(claim.text for claim in answer.claims if not answer.abstained)
            return float(score(said, gold).f1) if said else 0.0

        return Measure(name, of)

    return (
        measure("ideal answer, ROUGE-2 F1", lambda said, gold: rouge_n(said, gold, 2)),
        measure("ideal answer, ROUGE-SU4 F1", lambda said, gold: rouge_su(said, gold, 4)),
    )


def _absent(questions: Sequence[BioASQQuestion], submissions: Mapping[str, Submitted]) -> dict[str, int]:
    known = {question.id for question in questions}
    strange = [name for name in submissions if name not in known]
    named = ", ".join(strange[:_NAMED]) + (", ..." if len(strange) > _NAMED else "")
    return {
        "questions are not in the submission": sum(question.id not in submissions for question in questions),
        f"answers to questions that are not in the gold ({named})": len(strange),
    }


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}


def _retrieval(
    what: str, scores: Sequence[RetrievalScore], unscored: Counter[str], seed: int
) -> list[tuple[str, Estimate]]:
    if len(scores) < 2:
        unscored[f"question(s) for {what}: too few for an interval"] += len(scores)
        return []
    found = np.asarray([[one.precision, one.recall, one.f1, one.average_precision] for one in scores]).T
    names = ("mean precision", "mean recall", "mean F1", "MAP")
    rows = [(f"{what}: {name}", bootstrap(values, seed=seed)) for name, values in zip(names, found, strict=True)]
    return [*rows, (f"{what}: GMAP", bootstrap_statistic((found[3],), geometric_map, seed=seed))]


def _yes_no(
    pairs: Sequence[tuple[BioASQQuestion, Submitted]], unscored: Counter[str], seed: int
) -> list[tuple[str, Estimate]]:
    if len(pairs) < 2:
        unscored["yes/no question(s): too few for an interval"] += len(pairs)
        return []
    true = np.asarray([question.exact[0][0] for question, _ in pairs])
    said = np.asarray([submission.exact[0].lower() if submission.exact else "" for _, submission in pairs])

    def of(name: str) -> Callable[[Any, Any], float]:
        return lambda gold, given: float(getattr(bioasq_yes_no(gold.tolist(), given.tolist()), name))

    names = {"accuracy": "accuracy", "F1 of yes": "f1_yes", "F1 of no": "f1_no", "macro-F1": "macro_f1"}
    return [
        (f"yes/no: {shown}", bootstrap_statistic((true, said), of(name), seed=seed)) for shown, name in names.items()
    ]


def _factoid(question: BioASQQuestion, said: Submitted) -> tuple[float, float, float]:
    made = bioasq_factoid(said.exact, question.exact)
    return made.strict, made.lenient, made.reciprocal_rank


def _list(question: BioASQQuestion, said: Submitted) -> tuple[float, float, float]:
    made = bioasq_list(said.exact, question.exact)
    return made.precision, made.recall, made.f1


def _each(
    kind: str,
    pairs: Sequence[tuple[BioASQQuestion, Submitted]],
    score: Callable[[BioASQQuestion, Submitted], tuple[float, float, float]],
    names: Sequence[str],
    unscored: Counter[str],
    seed: int,
) -> list[tuple[str, Estimate]]:
    if len(pairs) < 2:
        unscored[f"{kind} question(s): too few for an interval"] += len(pairs)
        return []
    found = np.asarray([score(question, said) for question, said in pairs]).T
    return [(f"{kind}: {name}", bootstrap(values, seed=seed)) for name, values in zip(names, found, strict=True)]


def _ideal(
    questions: Sequence[BioASQQuestion], submissions: Mapping[str, Submitted], unscored: Counter[str], seed: int
) -> list[tuple[str, Estimate]]:
    rows = []
    for question in questions:
        if not question.ideal:
            unscored["questions without a gold ideal answer"] += 1
            continue
        said = submissions.get(question.id, _NONE).ideal
        unscored["questions without an ideal answer"] += not said
        two, four = (rouge_n(said, question.ideal, 2), rouge_su(said, question.ideal, 4)) if said else (None, None)
        rows.append([0.0 if one is None else value for one in (two, four) for value in _recall_f1(one)])
    if len(rows) < 2:
        unscored["ideal answer(s): too few for an interval"] += len(rows)
        return []
    names = ("ROUGE-2 recall", "ROUGE-2 F1", "ROUGE-SU4 recall", "ROUGE-SU4 F1")
    return [
        (f"ideal: {name}", bootstrap(values, seed=seed)) for name, values in zip(names, np.asarray(rows).T, strict=True)
    ]


def _recall_f1(score: Any) -> tuple[float, float]:
    return (0.0, 0.0) if score is None else (score.recall, score.f1)
