"""Answers scored by ragas: side by side, failures kept by kind, the judge checked, and summed up with intervals."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from radrag._version import __version__
from radrag.evaluation.figures import groups_of
from radrag.evaluation.judge import Judge, JudgeFailure, Limits, as_generator
from radrag.evaluation.judge_check import JudgeCheck, check_judge
from radrag.evaluation.ragas import (
    JUDGED,
    METRICS,
    MODEL_FREE,
    Job,
    Metric,
    embedding_for,
    job,
    left_out,
    load_ragas,
    masked,
    paired,
    ragas_dataset,
    supports_by,
)
from radrag.evaluation.ragas_report import MUCH_LOST, NOT_BELIEVED, NOT_CHECKED, RagasItem, RagasReport, RagasRow
from radrag.evaluation.variants import index_of
from radrag.indexes.encoders import StaticEncoder
from radrag.metrics import bootstrap
from radrag.pipelines.masking import PUBLISHED, is_local, mask_notice
from radrag.protocols import Encoder
from radrag.types import Answer, Question


@dataclass(frozen=True, slots=True)
class Scored:
    """What one metric gave.

    Attributes:
        values: Score in each repeat of each item [n][repeats], None where it could not be had.
        kinds: Kind of failure likewise, "" where there is a score.
        left_out: Why the metric does not apply to an item [n], "" where it does.
    """

    values: tuple[tuple[float | None, ...], ...]
    kinds: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...]


def score(jobs: Sequence[Job], repeats: int, workers: int) -> Scored:
    """Do the jobs, in order with one worker; a ``JudgeFailure`` becomes its kind."""

    def one(job: Job) -> list[tuple[float | None, str]]:
        return [] if isinstance(job, str) else [_attempt(job, repeat) for repeat in range(repeats)]

    pool = ThreadPoolExecutor(workers, "radrag-ragas")  # also for one: a notebook's own event loop is in the way
    try:
        found = list(pool.map(one, jobs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return Scored(
        tuple(tuple(value for value, _ in tries) for tries in found),
        tuple(tuple(kind for _, kind in tries) for tries in found),
        tuple(job if isinstance(job, str) else "" for job in jobs),
    )


def _attempt(job: Callable[[int], float], repeat: int) -> tuple[float | None, str]:
    try:
        return job(repeat), ""
    except JudgeFailure as failure:
        return None, failure.kind


def row(
    name: str,
    scored: Scored,
    metric: Metric,
    check: JudgeCheck | None,
    groups: Sequence[Hashable] | None,
    seed: int,
) -> RagasRow:
    """Sum up a metric: the mean over items, each the mean of its repeats, with failures counted beside it."""
    known = [[value for value in values if value is not None] for values in scored.values]
    places = [place for place, values in enumerate(known) if values]
    means = np.asarray([float(np.mean(known[place])) for place in places])
    units = None if groups is None else [groups[place] for place in places]
    enough = len(set(units) if units is not None else places) >= 2
    estimate = bootstrap(means, groups=units, seed=seed) if enough else None
    failures = Counter(kind for kinds in scored.kinds for kind in kinds if kind)
    asked = sum(not reason for reason in scored.left_out)
    tries = sum(len(kinds) for kinds in scored.kinds)
    notes = []
    if metric.judged and (check is None or not check.passed):
        notes.append(NOT_CHECKED if check is None else NOT_BELIEVED)
    if tries and failures.total() > MUCH_LOST * tries:
        notes.append(f"{failures.total() / tries:.0%} could not be scored, so the rest may not stand for all")
    repeats, spread, within = _spread(scored.values)
    return RagasRow(
        name, float(means.mean()) if places else None, estimate, len(places), asked,
        dict(sorted(failures.items())), dict(sorted(Counter(filter(None, scored.left_out)).items())),
        metric.judged, metric.higher_is_better, repeats, spread, within, "; ".join(notes),
    )  # fmt: skip


def _spread(values: Sequence[Sequence[float | None]]) -> tuple[tuple[float, ...], float | None, float | None]:
    """Return the mean of each repeat, their standard deviation, and the mean one within items."""
    whole = [[one for one in tries if one is not None] for tries in values if len(tries) > 1 and None not in tries]
    if not whole:
        return (), None, None
    table = np.asarray(whole)  # [items, repeats]
    means = table.mean(axis=0)
    return tuple(map(float, means)), float(means.std(ddof=1)), float(table.std(axis=1, ddof=1).mean())


def item(place: int, question: Question, answer: Answer, results: Mapping[str, Scored]) -> RagasItem:
    """Return the scores of one question."""
    used = {name: found for name, found in results.items() if not found.left_out[place]}
    scores = {name: found.values[place] for name, found in used.items()}
    return RagasItem(
        question.id, scores, {name: found.kinds[place] for name, found in used.items()}, _state(question, answer)
    )


def apart(questions: Sequence[Question], answers: Sequence[Answer]) -> dict[str, int]:
    """Count questions by whether they can be answered, and were."""
    states = Counter(
        _state(question, answer) or "answered" for question, answer in zip(questions, answers, strict=True)
    )
    names = ("answered", "abstained", "unanswerable but answered", "unanswerable and abstained")
    return {name: states[name] for name in names}


def _state(question: Question, answer: Answer) -> str:
    if question.answerable:
        return "abstained" if answer.abstained else ""
    return f"unanswerable {'and abstained' if answer.abstained else 'but answered'}"


def evaluate_ragas(
    answers: Any,
    questions: Sequence[Question],
    judge: Any = None,
    *,
    metrics: Sequence[str] | None = None,
    repeats: int = 1,
    timeout: float = 60.0,
    retries: int = 2,
    max_tokens: int | None = None,
    reply_tokens: int = 2048,
    temperature: float = 0.0,
    seed: int = 0,
    workers: int = 1,
    check: bool = True,
    encoder: Encoder | None = None,
    index: Any = None,
    reference_contexts: Mapping[str, Sequence[str]] | None = None,
) -> RagasReport:
    """Score answers with ragas, count what could not be scored by kind, and check the judge before it is believed.

    Nothing is sent anywhere but to the judge that is given: there is no default one, and ragas's telemetry is off. A
    judge that is not on this machine (``local`` is not True) gets texts with identifiers masked, besides passages of
    published documents of the index; the manifest says how many were masked.

    Questions that cannot be answered are scored by no metric, and abstentions by none that reads an answer.

    Args:
        answers: A pipeline with ``batch``, or its answers in the order of the questions.
        questions: The questions, with their gold answers.
        judge: A ``Generator`` such as ``LlamaGenerator``, a llama-index LLM, or ``ChatServer(url, model)``. None runs
            the metrics that need no model.
        metrics: Names of ragas's metrics (``MODEL_FREE`` and ``JUDGED``); None runs all that can be.
        repeats: How often the judge is asked about everything.
        timeout: Seconds for one reply of the judge.
        retries: Further tries at a reply that failed.
        max_tokens: Upper bound on all tokens of the judge, its check included; scores beyond it fail as ``"budget"``.
        reply_tokens: Upper bound on the tokens of one reply.
        temperature: Of the judge; 0 is greedy. A llama-index LLM keeps its own.
        seed: Seed of judge and resampling.
        workers: Scores in the making at once; above 1 for a ``ChatServer`` only.
        check: Whether to ask the judge about statements whose truth is known.
        encoder: For the metrics that compare vectors; the one that ships if left out.
        index: The index that the answers were made from, for gold passages; a ``QAPipeline``'s own if left out.
        reference_contexts: Question id to its gold passages, in place of those of the index.

    Raises:
        ValueError: If an argument does not fit.
        MissingExtraError: If ragas is not installed.
    """
    names = _names(metrics, judge)
    asked = None
    if judge is not None:
        limits = Limits(timeout, retries, reply_tokens=reply_tokens, max_tokens=max_tokens, temperature=temperature)
        asked = Judge(as_generator(judge), limits)
    if repeats < 1 or workers < 1:
        raise ValueError(f"repeats and workers must be at least 1, got {repeats} and {workers}")
    if workers > 1 and asked is not None and not asked.concurrent:
        raise ValueError(f"this judge answers one request at a time, so workers must be 1, got {workers}")
    ragas, vectors = load_ragas(), StaticEncoder() if encoder is None else encoder
    made = list(answers.batch([question.text for question in questions])) if hasattr(answers, "batch") else answers
    given, made = paired(questions, made)
    index = index_of(answers) if index is None else index
    samples = ragas_dataset(made, given, index=index, reference_contexts=reference_contexts).samples
    shown, hidden = samples, ""
    if judge is not None and not is_local(as_generator(judge)):
        public = _published(made, index)
        pairs = [masked(ragas, sample, public) for sample in samples]
        shown, hidden = [one for one, _ in pairs], mask_notice(part for _, parts in pairs for part in parts)
    checked = None
    if asked is not None and check and any(METRICS[name].judged for name in names):
        checked = check_judge(supports_by(ragas, asked, seed), seed=seed)
    embedding, groups, rows, results = embedding_for(ragas, vectors), groups_of(given), [], {}
    for name in names:
        metric = METRICS[name]
        why = [left_out(metric, *of) for of in zip(given, made, samples, strict=True)]
        seen = shown if metric.judged else samples
        jobs = [no or job(ragas, metric, one, asked, embedding, seed) for no, one in zip(why, seen, strict=True)]
        found = results[name] = score(jobs, repeats if metric.judged else 1, workers)
        rows.append(row(name, found, metric, checked, groups, seed))
    manifest = {
        "radrag": __version__, "ragas": ragas.version, "metrics": list(names), "seed": seed, "repeats": repeats,
        "judge": None if asked is None else asked.fingerprint, "encoder": vectors.fingerprint,
        "temperature": temperature, "timeout": timeout, "retries": retries, "max_tokens": max_tokens,
        "reply_tokens": reply_tokens, "masked": hidden, "questions_sha256": _digest(given),
        "answers": {key: value for key, value in made[0].manifest.items() if key != "question_sha256"},
    }  # fmt: skip
    items = tuple(item(place, given[place], made[place], results) for place in range(len(given)))
    usage = None if asked is None else asked.usage
    return RagasReport(tuple(rows), items, apart(given, made), checked, usage, manifest)


def _names(metrics: Sequence[str] | None, judge: Any) -> tuple[str, ...]:
    if metrics is None:
        return MODEL_FREE if judge is None else (*MODEL_FREE, *JUDGED)
    names = tuple(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"no metric {unknown[0]!r}; expected some of {', '.join(METRICS)}")
    if judge is None and (judged := [name for name in names if name in JUDGED]):
        raise ValueError(f"{judged[0]!r} needs a judge; give one, or leave the metric out")
    return names


def _published(answers: Sequence[Answer], index: Any) -> set[str]:
    """Return the documents among the evidence that the index holds as published ones."""
    found = set()
    for name in {hit.passage.document_id for answer in answers for hit in answer.evidence} if index is not None else ():
        with suppress(KeyError):  # not in this index any more
            if index.document(name).kind in PUBLISHED:
                found.add(name)
    return found


def _digest(questions: Sequence[Question]) -> str:
    return hashlib.sha256(json.dumps([(one.id, one.text, one.answer) for one in questions]).encode()).hexdigest()
