"""Fit the models of the extractive reader: which sentences answer a question, and yes, no or maybe.

They are linear models over a few dozen hand-made features, fitted on PubMedQA's labelled questions outside its official
test split (MIT licence; Jin et al., "PubMedQA", EMNLP 2019), MedQuAD (CC BY 4.0; Ben Abacha and Demner-Fushman, BMC
Bioinformatics 20, 2019) and the questions that ship.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.metrics import accuracy, expected_calibration_error, rouge_n
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.sentence_model import FEATURES, Rarity, SentenceModel
from radrag.reading.sentences import cosines_of, describe, sentences_of
from radrag.reading.verdict import features
from radrag.training._reader_texts import count_terms, false_questions, full_text
from radrag.training.reader import Records
from radrag.types import VERDICTS, Document, Hit, Question

Floats = NDArray[np.float64]
_PUBMEDQA = "PubMedQA labelled questions outside the official test split (MIT)"
_MEDQUAD_INDEXED, _MEDQUAD_ASKED = 4000, 600
_MEDQUAD_WORDS = (20, 400)
_COUNTED = 1500  # characters of an answer of MedQuAD in which terms are counted
# What a question made false, or a shipped one, weighs beside one of PubMedQA, and the penalties: chosen on BioASQ
# 7b-9b and by folds of the questions fitted on.
_SHARE = {"swap": 0.07, "flip": 1.0, "shipped": 0.7}
_PENALTY = {"evidence": 0.01, "document": 0.003, "question": 0.003}


def fit_sentences(
    pubmedqa: Records,
    medquad: Records,
    questions: Sequence[Question],
    corpus: Sequence[Document],
    out: str | Path,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit which retrieved sentences an answer is made of, and count how rare terms are.

    The target of a sentence is the mean of recall and F1 of ROUGE-2 against the ideal answer, less the mean of its
    question: PubMedQA's conclusions, MedQuAD's answers, the shipped answers with their quotes. Each source is searched
    in its own documents and counts the same. Weights are those of least squares, none negative.

    Returns:
        The facts stored beside the weights.
    """
    rng = random.Random(seed)
    low, high = _MEDQUAD_WORDS
    drawn = [record for record in medquad if low < len(record["answer"].split()) < high]
    rng.shuffle(drawn)
    drawn = drawn[:_MEDQUAD_INDEXED]
    rarity = count_terms(
        [
            *map(full_text, pubmedqa),
            *(f"{record['question']} {record['answer'][:_COUNTED]}" for record in drawn),
            *(f"{document.title}\n{document.text}" for document in corpus),
        ]
    )
    answered = [question for question in questions if question.answerable and question.answer]
    sources = {
        "PubMedQA": _searched([(r["question"], r["long_answer"]) for r in pubmedqa], _abstracts(pubmedqa, True)),
        "MedQuAD": _searched(
            [(record["question"], record["answer"]) for record in drawn[:_MEDQUAD_ASKED]],
            [Document(f"MedQuAD:{n}", record["answer"], record["focus"]) for n, record in enumerate(drawn)],
        ),
        "shipped": _searched(
            [(q.text, " ".join([q.answer, *(span.quote for span in q.gold)])) for q in answered], corpus
        ),
    }
    weights, counts = _fit_selection(list(sources.values()), rarity)
    facts = {
        "data": f"{_PUBMEDQA}; MedQuAD (CC BY 4.0); shipped questions",
        "n": dict(zip(sources, counts, strict=True)),
        "seed": seed,
        "command": "radrag train sentences",
    }
    terms = defaultdict(list)
    for term, count in rarity.counts.items():
        terms[str(count)].append(term)
    stored = {
        "weights": dict(zip(FEATURES, _rounded(weights), strict=True)),
        "facts": facts,
        "documents": rarity.documents,
        "counts": {count: " ".join(terms[count]) for count in sorted(terms, key=int)},
    }
    _write(Path(out), stored)
    return facts


Searched = list[tuple[str, str, Sequence[Hit]]]


def _searched(asked: Sequence[tuple[str, str]], documents: Iterable[Document]) -> Searched:
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        index.add(documents)
        found = index.search([question for question, _ in asked], k=8) if asked else []
    return [(question, ideal, hits) for (question, ideal), hits in zip(asked, found, strict=True)]


def _fit_selection(sources: Sequence[Searched], rarity: Rarity) -> tuple[Floats, list[int]]:
    """Return weights of at least 0 and how many questions of each source could be learnt from."""
    from scipy.optimize import nnls

    encoder = StaticEncoder()
    tables, targets, shares, counts = [], [], [], []
    for source in sources:
        used = 0
        for question, ideal, hits in source:
            sentences = sentences_of(hits)
            if not sentences:
                continue
            made = [rouge_n(one.text, ideal, 2) for one in sentences]
            target = np.asarray([(score.recall + score.f1) / 2 for score in made])
            if not target.max() > 0:
                continue
            used += 1
            target /= target.max()
            table = describe(question, sentences, hits, rarity, cosines_of(question, sentences, encoder))
            tables.append(table - table.mean(axis=0))
            targets.append(target - target.mean())
            shares.append(np.full(len(target), 1 / len(target) / len(source)))
        counts.append(used)
    table, root = np.concatenate(tables), np.sqrt(np.concatenate(shares))
    scale = table.std(axis=0) + 1e-6
    weights, _ = nnls(table / scale * root[:, None], np.concatenate(targets) * root)
    return weights / scale, counts


def fit_verdict(
    records: Records,
    questions: Sequence[Question],
    corpus: Sequence[Document],
    out: str | Path,
    *,
    sentences: str | Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit the yes/no/maybe models: over evidence that was retrieved, over one document, and on the question alone.

    The first is fitted on whole abstracts, with their conclusions, searched together, and on the shipped questions in
    the shipped corpora. Beside PubMedQA's questions stand some made false (``_reader_texts.false_questions``), so that
    it learns what evidence looks like that does not say what is asked. The second sees an abstract without its
    conclusion, as PubMedQA gives it. The third, the baseline, has the same features with no evidence.

    Args:
        records: PubMedQA, with long_answer.
        questions: Shipped questions, of which those with a verdict are used.
        corpus: Shipped documents.
        out: File to write.
        sentences: Sentence model, from ``fit_sentences``; the one that ships if left out.
        seed: Of the folds and of the questions made false.

    Returns:
        The facts stored beside the weights, with 5-fold accuracy and calibration error on the real questions.
    """
    model = SentenceModel.load() if sentences is None else SentenceModel.load(Path(sentences))
    reader = ExtractiveReader(model=model)
    made = list(false_questions(records, model.rarity, seed))
    asked = [record["question"] for record in records]
    answers = [VERDICTS.index(record["answer"]) for record in records]
    whole = _rows(reader, [*asked, *(one.text for one in made)], _abstracts(records, True), model.rarity)
    given = _rows(reader, asked, _abstracts(records, False), model.rarity, own=True)
    alone = np.stack([features(question, (), model.rarity) for question in asked])
    judged = [question for question in questions if question.answerable and question.verdict is not None]
    if judged:
        whole = np.concatenate([whole, _rows(reader, [q.text for q in judged], list(corpus), model.rarity)])
    groups = [*range(len(records)), *(one.source for one in made), *[-1] * len(judged)]
    shares = [*[1.0] * len(records), *(_SHARE[one.kind] for one in made), *[_SHARE["shipped"]] * len(judged)]
    negative = [*answers, *[VERDICTS.index("no")] * len(made), *(VERDICTS.index(str(q.verdict)) for q in judged)]
    parts = {
        "evidence": (whole, negative, groups, shares),
        "document": (given, answers, groups[: len(records)], shares[: len(records)]),
        "question": (alone, answers, groups[: len(records)], shares[: len(records)]),
    }
    stored = {
        name: _fitted(name, np.asarray(x), np.asarray(y), np.asarray(g), np.asarray(w), len(records), seed)
        for name, (x, y, g, w) in parts.items()
    }
    _write(Path(out), stored)
    return {name: part["facts"] for name, part in stored.items()}


def _rows(
    reader: ExtractiveReader, asked: list[str], documents: list[Document], rarity: Rarity, *, own: bool = False
) -> Floats:
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        index.add(documents)
        if own:
            pairs = zip(asked, documents, strict=True)
            found = [index.search(question, k=8, where={"document_id": one.id}) for question, one in pairs]
        else:
            found = index.search(asked, k=8)
    rows = zip(asked, found, strict=True)
    return np.stack([features(question, reader.scored(question, hits), rarity) for question, hits in rows])


def _fitted(
    name: str,
    table: Floats,
    answers: NDArray[np.int64],
    groups: NDArray[np.int64],
    shares: Floats,
    real: int,
    seed: int,
) -> dict[str, Any]:
    """Fit one model and cross-validate it by question: what was made of a question is in its fold, the rest in none."""
    from sklearn.model_selection import StratifiedKFold

    chances = np.zeros((real, len(VERDICTS)))
    for _, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(table[:real], answers[:real]):
        inside = ~np.isin(groups, held)
        weights, bias = fit_logistic(table[inside], answers[inside], shares[inside], _PENALTY[name])
        logits = table[held] @ weights.T + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances[held] = odds / odds.sum(axis=1, keepdims=True)
    predicted = chances.argmax(axis=1)
    right = predicted == answers[:real]
    weights, bias = fit_logistic(table, answers, shares, _PENALTY[name])
    facts = {
        "data": _PUBMEDQA + ("; shipped questions" if (groups < 0).any() else ""),
        "n": real,
        "made false": int((groups[real:] >= 0).sum()),
        "shipped questions": int((groups < 0).sum()),
        "seed": seed,
        "cv_accuracy": round(accuracy(answers[:real], predicted), 4),
        "cv_calibration_error": round(expected_calibration_error(chances.max(axis=1), right), 4),
        "majority": round(float(np.bincount(answers[:real]).max() / real), 4),
        "command": "radrag train verdict",
    }
    return {"weights": _rounded(weights), "bias": _rounded(bias), "facts": facts}


def fit_logistic(table: Floats, answers: NDArray[np.int64], shares: Floats, strength: float) -> tuple[Floats, Floats]:
    """Fit a multinomial logistic regression on standardised columns.

    Args:
        table: Features ``[n, f]``.
        answers: Classes ``[n]``, positions in ``VERDICTS``.
        shares: What each row weighs ``[n]``.
        strength: Inverse of the penalty, ``C`` of scikit-learn.

    Returns:
        Weights ``[3, f]`` and bias ``[3]`` for columns as they are.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = table.mean(axis=0), table.std(axis=0)
    scale[scale < 1e-9] = 1.0
    model = LogisticRegression(C=strength, max_iter=2000).fit((table - mean) / scale, answers, sample_weight=shares)
    if list(model.classes_) != list(range(len(VERDICTS))):
        raise ValueError(f"every one of {', '.join(VERDICTS)} must occur among the answers; add questions")
    weights = model.coef_ / scale
    return weights, model.intercept_ - weights @ mean


def _abstracts(records: Records, whole: bool) -> list[Document]:
    texts = [full_text(record) if whole else "\n\n".join(record["contexts"]) for record in records]
    names = [f"PMID:{record['pmid']}" for record in records]
    return [Document(name, text, kind="abstract") for name, text in zip(names, texts, strict=True)]


def _rounded(values: Floats) -> Any:
    return np.round(values, 5).tolist()


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
