"""PubMedQA (Jin et al., arXiv 1909.06146): yes, no or maybe, from a given abstract or from an index.

Official files: ``ori_pqal.json`` (1,000 labelled questions) and ``test_ground_truth.json``, whose ids are the official
test split. In the reasoning-required setting a system is shown the abstract without its conclusion; that, and nothing
else, is what ``PubMedQA.given`` shows and ``PubMedQA.documents`` puts into an index. The long answer (the conclusion)
is never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from radrag.errors import CorpusError
from radrag.evaluation.benchmarks.files import field, read_json
from radrag.evaluation.benchmarks.given import GivenPassages
from radrag.evaluation.comparison import Comparison
from radrag.evaluation.figures import SetStatistic, corrected, groups_of, statistic_row
from radrag.metrics import accuracy, f1
from radrag.types import VERDICTS, Answer, Document, GoldSpan, Question, Section

NOTICE = (
    "PubMedQA: MIT licence, github.com/pubmedqa/pubmedqa; the abstracts are those of their publishers. "
    "Jin et al., EMNLP 2019."
)
_KEYS = {
    "QUESTION": "question", "CONTEXTS": "contexts", "LABELS": "section_labels", "YEAR": "year", "MESHES": "mesh",
    "final_decision": "answer", "LONG_ANSWER": "long_answer",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PubMedQAScore:
    """The official figures.

    Attributes:
        accuracy: Share of right ones.
        macro_f1: Mean F1 of yes, no and maybe.
        n: Questions.
        unanswered: Those without an answer; they count as wrong.
    """

    accuracy: float
    macro_f1: float
    n: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class PubMedQA:
    """Questions with their abstracts.

    Attributes:
        questions: The questions, each with its verdict, its long answer and its abstract as source.
        documents: The abstracts without their conclusions, in the order of the questions.
        sha256: Hash of each file that was read, by its name.
    """

    questions: tuple[Question, ...]
    documents: tuple[Document, ...]
    sha256: Mapping[str, str]

    def given(self) -> GivenPassages:
        """Return an "index" that shows each question its own abstract: the reasoning-required setting.

        Raises:
            ValueError: If two questions have the same text.
        """
        texts = [question.text for question in self.questions]
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"two questions have the text {twice!r:.80}; leave one out, as its abstract is not known")
        return GivenPassages(dict(zip(texts, self.documents, strict=True)), "PubMedQA abstracts without conclusions")


def read_pubmedqa(
    path: str | Path,
    split: str | Path | None = None,
    *,
    sha256: str | None = None,
    split_sha256: str | None = None,
) -> PubMedQA:
    """Read the labelled questions, and keep those of a split.

    Args:
        path: ``ori_pqal.json``; or JSON Lines with ``pmid``, ``question``, ``contexts``, ``section_labels``, ``year``,
            ``answer`` and ``long_answer``.
        split: ``test_ground_truth.json``: verdicts by PMID; None keeps all.
        sha256: What the hash of ``path`` must be; None takes any.
        split_sha256: The same of ``split``.

    Raises:
        CorpusError: If a file is something else, or a PMID of the split is not among the questions or has another
            verdict there.
    """
    value, digest = read_json(path, sha256)
    records = _records(value, path)
    hashes = {Path(path).name: digest}
    if split is not None:
        truth, hashes[Path(split).name] = read_json(split, split_sha256)
        records = _chosen(records, truth, split)
    made = [_item(pmid, record, path) for pmid, record in records.items()]
    return PubMedQA(tuple(one for one, _ in made), tuple(document for _, document in made), hashes)


def _records(value: Any, path: object) -> dict[str, dict[str, Any]]:
    if isinstance(value, dict) and value:
        if not all(isinstance(record, dict) for record in value.values()):
            raise CorpusError("expected an object of questions by PMID, as in ori_pqal.json", file=path)
        return {pmid: {_KEYS.get(key, key): one for key, one in record.items()} for pmid, record in value.items()}
    made: dict[str, dict[str, Any]] = {}
    for number, record in enumerate(value if isinstance(value, list) else [], start=1):
        pmid = field(record, "pmid", str, path, number)
        if pmid in made:
            raise CorpusError("this PMID stands twice", file=path, record=pmid)
        made[pmid] = record
    if not made:
        raise CorpusError("holds no questions; expected ori_pqal.json", file=path)
    return made


def _chosen(records: dict[str, dict[str, Any]], truth: Any, path: object) -> dict[str, dict[str, Any]]:
    if not isinstance(truth, dict) or not truth:
        raise CorpusError("expected an object of verdicts by PMID, as in test_ground_truth.json", file=path)
    for pmid, verdict in truth.items():
        if verdict not in VERDICTS:
            raise CorpusError(
                f"expected PMID: yes|no|maybe, as in test_ground_truth.json, got {type(verdict).__name__} "
                f"{verdict!r:.40}", file=path, record=pmid,
            )  # fmt: skip
        if pmid not in records:
            raise CorpusError(
                "this PMID is not among the questions; take both files from one release", file=path, record=pmid
            )
        if records[pmid].get("answer") != verdict:
            raise CorpusError(
                f"the verdict is {verdict!r} here and {records[pmid].get('answer')!r} with the question; take both "
                "files from one release", file=path, record=pmid,
            )  # fmt: skip
    return {pmid: records[pmid] for pmid in truth}


def _item(pmid: str, record: Mapping[str, Any], path: object) -> tuple[Question, Document]:
    question, verdict = field(record, "question", str, path, pmid), field(record, "answer", str, path, pmid)
    contexts, headings = field(record, "contexts", list, path, pmid), record.get("section_labels") or []
    if verdict not in VERDICTS:
        raise CorpusError(f"must be yes, no or maybe, got {verdict!r}", file=path, record=pmid, field="answer")
    if not contexts or not all(isinstance(text, str) and text for text in contexts):
        raise CorpusError("must be a list of texts", file=path, record=pmid, field="contexts")
    text, sections, start = "\n".join(contexts), [], 0
    for number, context in enumerate(contexts):
        heading = str(headings[number]) if number < len(headings) else ""
        sections.append(Section((heading,) if heading else (), start, start + len(context)))
        start += len(context) + 1
    year = str(record.get("year") or "")
    metadata: dict[str, Any] = {"pmid": pmid, "url": f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"}
    metadata |= {"year": int(year)} if year.isdigit() else {}
    document = Document(f"PMID:{pmid}", text, "", "abstract", tuple(sections), metadata)
    gold = (GoldSpan(document.id, 0, len(text), text),)
    return Question(pmid, question, "yesno", verdict, str(record.get("long_answer") or ""), gold), document


def score_pubmedqa(true: Sequence[str], predicted: Sequence[str | None]) -> PubMedQAScore:
    """Score verdicts as the official program does; it asks for all, so what was not answered counts as wrong.

    Args:
        true: Gold verdicts [n].
        predicted: Verdicts, or None [n].
    """
    said = [one if one in VERDICTS else "" for one in predicted]
    macro = float(f1(list(true), said, labels=list(VERDICTS), average="macro", zero_division=0.0))
    return PubMedQAScore(float(accuracy(list(true), said)), macro, len(said), said.count(""))


def verdicts_of(answers: Sequence[Answer]) -> list[str]:
    """Return the verdict of each answer, "" where it has none or abstained."""
    return ["" if one.abstained or one.verdict is None else one.verdict.answer for one in answers]


def with_macro_f1(
    made: Comparison, questions: Sequence[Question], ours: Sequence[Answer], theirs: Sequence[Answer], *, seed: int = 0
) -> Comparison:
    """Return a comparison with the official macro-F1 of both sides as its second row."""
    true = np.asarray([question.verdict for question in questions])
    sides = [np.asarray(verdicts_of(answers)) for answers in (ours, theirs)]

    def macro(gold: Any, said: Any) -> float:
        return float(f1(gold.tolist(), said.tolist(), labels=list(VERDICTS), average="macro", zero_division=0.0))

    figure = SetStatistic("macro-F1 of yes, no and maybe", ((true, sides[0]), (true, sides[1])), macro)
    row = statistic_row(figure, groups_of(questions), seed)
    return replace(made, rows=corrected([*made.rows[:1], row, *made.rows[1:]]))
