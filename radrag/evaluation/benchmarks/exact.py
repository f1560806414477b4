"""Exact answers of BioASQ from a pipeline: each question is asked again in the form that the benchmark says it has.

An exact answer and an ideal one are two tasks of phase B, so they are two questions to a generator: one that is asked
for a name alone would give the name as its ideal answer too.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from radrag.evaluation.benchmarks.bioasq import BioASQQuestion, exact_of
from radrag.evaluation.benchmarks.cache import manifest_of
from radrag.evaluation.comparison import Comparison
from radrag.evaluation.figures import corrected
from radrag.evaluation.records import Cost, Failure
from radrag.evaluation.scores import Measure
from radrag.evaluation.variants import Meter, index_of, metered
from radrag.metrics import bioasq_factoid, bioasq_list
from radrag.reading.asked import Form
from radrag.types import Answer, Question

FORMS = {"factoid": Form.FACTOID, "list": Form.LIST}


class InForms:
    """A pipeline that is asked each question in a form given with it.

    Args:
        pipeline: A ``QAPipeline``, or anything whose ``batch`` takes texts and a form.
        questions: The questions that will be asked; the type of each, factoid or list, is its form.

    Raises:
        ValueError: If a question is of another type, or two have the same text and other types.
    """

    def __init__(self, pipeline: Any, questions: Iterable[BioASQQuestion]) -> None:
        self._pipeline, self._questions = pipeline, tuple(questions)
        self._forms: dict[str, str] = {}
        for question in self._questions:
            if question.type not in FORMS:
                raise ValueError(
                    f"question {question.id!r} must be of type {' or '.join(FORMS)} to have an exact answer asked for, "
                    f"got {question.type!r}"
                )
            form = str(FORMS[question.type])
            if self._forms.setdefault(question.text, form) != form:
                raise ValueError(
                    f"two questions have the text {question.text!r:.80} and other types; ask them in two runs"
                )
        self._index = index_of(pipeline)

    def without_retrieval(self) -> InForms:
        """Return the baseline: the same pipeline with the questions alone."""
        return type(self)(self._pipeline.without_retrieval(), self._questions)

    def metered(self) -> tuple[InForms, Meter | None]:
        """Return it with the generator of its pipeline counted."""
        counted, meter = metered(self._pipeline)
        return type(self)(counted, self._questions), meter

    @property
    def _reader(self) -> Any:
        """The reader of its pipeline: whether it samples, and with which seed, is asked of and set in a reader."""
        return getattr(self._pipeline, "_reader", None)

    @_reader.setter
    def _reader(self, reader: Any) -> None:
        other = copy.copy(self._pipeline)
        other._reader = reader
        other.__dict__.pop("_reader_fingerprint", None)  # it was computed from the other reader
        self._pipeline = other

    @property
    def manifest(self) -> dict[str, Any]:
        """What decides its outputs."""
        asked = json.dumps(sorted(self._forms.items()), ensure_ascii=True)
        return {**manifest_of(self._pipeline), "forms_sha256": hashlib.sha256(asked.encode()).hexdigest()}

    def batch(self, texts: Iterable[str]) -> list[Answer]:
        """Answer questions in order; those of one form are asked together.

        Raises:
            ValueError: If a text is none of the questions.
        """
        asked = list(texts)
        made: dict[int, Answer] = {}
        for form in FORMS.values():
            places = [place for place, text in enumerate(asked) if self._form(text) == form]
            if places:
                answers = self._pipeline.batch([asked[place] for place in places], str(form))
                made |= dict(zip(places, answers, strict=True))
        return [made[place] for place in range(len(asked))]

    def _form(self, text: str) -> str:
        if text not in self._forms:
            raise ValueError(f"{text!r:.80} is none of the questions, so its form is not known")
        return self._forms[text]


def exact_measures(questions: Sequence[BioASQQuestion]) -> tuple[Measure, ...]:
    """Return strict accuracy of factoids and F1 of lists, as figures of ``compare``; no exact answer scores 0.

    A pipeline names one answer to a factoid, so lenient accuracy and MRR would be the same figure again.
    """
    known = {question.id: question for question in questions if question.exact}

    def factoid(question: Question, answer: Answer) -> float | None:
        gold = known.get(question.id)
        if gold is None or gold.type != "factoid":
            return None
        return bioasq_factoid(exact_of(answer), gold.exact).strict

    def listed(question: Question, answer: Answer) -> float | None:
        gold = known.get(question.id)
        return None if gold is None or gold.type != "list" else bioasq_list(exact_of(answer), gold.exact).f1

    return Measure("exact answer of factoids, right", factoid), Measure("exact answer of lists, F1", listed)


def joined(made: Comparison, exact: Comparison) -> Comparison:
    """Return a comparison with the figures, failures and cost of exact answers beside its own.

    All figures are corrected together. Cases stay those of the first: the answers in words.
    """
    failures = tuple(replace(one, what=f"exact answers: {one.what}") for one in exact.failures)
    unscored = {f"exact answers: {reason}": count for reason, count in exact.unscored.items()}
    return replace(
        made,
        rows=corrected([*made.rows, *exact.rows]),
        unscored={**made.unscored, **unscored},
        failures=tuple(sorted((*made.failures, *failures), key=_often)),
        cost=tuple(_both(*pair) for pair in zip(made.cost, exact.cost, strict=True)),
    )


def _often(failure: Failure) -> int:
    return -failure.system - failure.baseline


def _both(one: Cost, other: Cost) -> Cost:
    def total(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else a + b

    measured = [run.own_peak for run in (one, other) if run.peak_bytes] or [False]  # a run from the cache holds nothing
    return Cost(
        one.side, round(one.seconds + other.seconds, 3), one.items + other.items,
        total(one.prompt_tokens, other.prompt_tokens), total(one.new_tokens, other.new_tokens),
        max(one.peak_bytes, other.peak_bytes), all(measured), max(one.gpu_bytes, other.gpu_bytes),
    )  # fmt: skip
