"""The bridge to ragas 0.4: its metrics, and answers, judges and encoders as it wants them; nothing else imports it."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from radrag.corpora.chunking import Chunking
from radrag.corpora.deidentify import Deidentified, deidentify
from radrag.errors import require
from radrag.evaluation.judge import Judge, JudgeFailure, read_json
from radrag.protocols import Encoder
from radrag.types import Answer, Question

Job = Callable[[int], float] | str  # makes the score of a repeat, or says why the metric does not apply

_INPUT = "Now perform the same with the following input\ninput: "
_CONTEXTS, _REFERENCE, _GOLD, _IDS = "retrieved_contexts", "reference", "reference_contexts", "retrieved_context_ids"
_MISSING = {
    "response": "abstained",
    _CONTEXTS: "no passages retrieved",
    _IDS: "no passages retrieved",
    _REFERENCE: "no gold answer",
    _GOLD: "no gold passages known",
    "reference_context_ids": "no gold documents",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is made and what it reads.

    Attributes:
        make: Takes the parts of ragas, a judge and an embedding (None where not needed).
        reads: Fields of a sample, all of them needed.
        judged: Whether it asks a judge.
        higher_is_better: Whether more is better.
        low: Least value; the greatest is 1.
    """

    make: Callable[[Any, Any, Any], Any]
    reads: tuple[str, ...]
    judged: bool = False
    higher_is_better: bool = True
    low: float = 0.0


_TEXTS = (_REFERENCE, "response")
METRICS: Mapping[str, Metric] = {
    "non_llm_context_precision_with_reference": Metric(
        lambda r, _, __: r.Precision(distance_measure=_Distance(r)), (_CONTEXTS, _GOLD)
    ),
    "non_llm_context_recall": Metric(lambda r, _, __: r.Recall(_distance_measure=_Distance(r)), (_CONTEXTS, _GOLD)),
    "id_based_context_precision": Metric(lambda r, _, __: r.IdPrecision(), (_IDS, "reference_context_ids")),
    "id_based_context_recall": Metric(lambda r, _, __: r.IdRecall(), (_IDS, "reference_context_ids")),
    "non_llm_string_similarity": Metric(lambda r, _, __: r.collections.NonLLMStringSimilarity(), _TEXTS),
    "bleu_score": Metric(lambda r, _, __: _WholeBleu(r.collections.BleuScore()), _TEXTS),
    "rouge_score": Metric(lambda r, _, __: r.collections.RougeScore(), _TEXTS),
    "exact_match": Metric(lambda r, _, __: r.collections.ExactMatch(), _TEXTS),
    "semantic_similarity": Metric(
        lambda r, _, vectors: r.collections.SemanticSimilarity(embeddings=vectors), _TEXTS, low=-1.0
    ),
    "faithfulness": Metric(
        lambda r, judge, _: r.collections.Faithfulness(llm=judge), ("user_input", "response", _CONTEXTS), True
    ),
    "answer_relevancy": Metric(
        lambda r, judge, vectors: r.collections.AnswerRelevancy(llm=judge, embeddings=vectors),
        ("user_input", "response"), True, low=-1.0,
    ),
    "context_precision": Metric(
        lambda r, judge, _: r.collections.ContextPrecision(llm=judge), ("user_input", _REFERENCE, _CONTEXTS), True
    ),
    "context_recall": Metric(
        lambda r, judge, _: r.collections.ContextRecall(llm=judge), ("user_input", _CONTEXTS, _REFERENCE), True
    ),
    "factual_correctness": Metric(
        lambda r, judge, _: r.collections.FactualCorrectness(llm=judge), ("response", _REFERENCE), True
    ),
    "noise_sensitivity": Metric(
        lambda r, judge, _: r.collections.NoiseSensitivity(llm=judge),
        ("user_input", "response", _REFERENCE, _CONTEXTS), True, False,
    ),
}  # fmt: skip
MODEL_FREE = tuple(name for name, metric in METRICS.items() if not metric.judged)
JUDGED = tuple(name for name, metric in METRICS.items() if metric.judged)


def load_ragas() -> SimpleNamespace:
    """Import ragas with its telemetry off, and return the parts that are used."""
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    with warnings.catch_warnings():  # its dependencies warn of each other; three metrics have no successor yet
        warnings.simplefilter("ignore")
        library, old = require("ragas", extra="ragas"), require("ragas.metrics", extra="ragas")
        require("ragas._analytics", extra="ragas").do_not_track.cache_clear()  # it may have been imported before
        return SimpleNamespace(
            version=library.__version__,
            Sample=library.SingleTurnSample,
            Dataset=library.EvaluationDataset,
            collections=require("ragas.metrics.collections", extra="ragas"),
            nli=require("ragas.metrics.collections.faithfulness.util", extra="ragas"),
            LLM=require("ragas.llms.base", extra="ragas").InstructorBaseRagasLLM,
            Embedding=require("ragas.embeddings.base", extra="ragas").BaseRagasEmbedding,
            Precision=old.NonLLMContextPrecisionWithReference,
            Recall=old.NonLLMContextRecall,
            IdPrecision=old.IDBasedContextPrecision,
            IdRecall=old.IDBasedContextRecall,
        )


class _Distance:
    """Levenshtein similarity of passages; ragas's own older class would count every comparison for its statistics."""

    def __init__(self, ragas: Any) -> None:
        self._metric = ragas.collections.NonLLMStringSimilarity()

    async def single_turn_ascore(self, sample: Any, callbacks: Any = None) -> float:
        """Compare ``reference`` and ``response`` of a sample."""
        return float((await self._metric.ascore(reference=sample.reference, response=sample.response)).value)


class _WholeBleu:
    """BLEU of the whole texts: ragas 0.4 cuts at ". " and then compares the first sentences only."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    async def ascore(self, reference: str, response: str) -> Any:
        """Score with line breaks, which BLEU's tokenizer reads as spaces, where ragas would cut."""
        return await self._metric.ascore(reference=_uncut(reference), response=_uncut(response))


def _uncut(text: str) -> str:
    return text.replace(". ", ".\n")


def _judge_for(ragas: Any, judge: Judge, seed: int) -> Any:
    """Return the judge as ragas wants one, for one score; every request has a seed of its own."""
    asked = iter(range(1_000_000))

    def generate(_: Any, prompt: str, response_model: Any) -> Any:
        return judge.ask(prompt, lambda text: _read(text, prompt, response_model), seed * 1000 + next(asked))

    async def agenerate(_: Any, prompt: str, response_model: Any) -> Any:
        return generate(_, prompt, response_model)

    return type("RadragJudge", (ragas.LLM,), {"generate": generate, "agenerate": agenerate})()


def _read(text: str, prompt: str, model: Any) -> Any:
    """Return a reply as ragas's own record, if it is fit for its arithmetic, which checks nothing itself."""
    try:
        made = model.model_validate(read_json(text))
    except ValueError as error:  # pydantic's error is one
        raise JudgeFailure("wrong shape", str(error)) from error
    fields = made.model_dump()
    for name, value in _leaves(fields):
        if isinstance(value, int) and value not in (0, 1):
            raise JudgeFailure("wrong shape", f"{name} must be 0 or 1, got {value}")
    if any(isinstance(value, list) and not value for value in fields.values()) or fields.get("question", "?") == "":
        raise JudgeFailure("empty", "the judge listed nothing")
    wanted = _statements(prompt)
    if wanted is not None and len(fields.get("statements", ())) != wanted:
        raise JudgeFailure("wrong shape", f"{wanted} statements were to be judged, got {len(fields['statements'])}")
    return made


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, name)
    else:
        yield name, value


def _statements(prompt: str) -> int | None:
    """Return how many statements a prompt asks to judge; None if it asks for something else."""
    given = json.JSONDecoder().raw_decode(prompt.rpartition(_INPUT)[2])[0] if _INPUT in prompt else {}
    return len(given["statements"]) if "statements" in given else None


def embedding_for(ragas: Any, encoder: Encoder) -> Any:
    """Return an encoder as ragas wants one."""

    def embed_text(_: Any, text: str, **__: Any) -> list[float]:
        return [float(value) for value in encoder.encode([text], "query")[0]]

    async def aembed_text(_: Any, text: str, **__: Any) -> list[float]:
        return embed_text(_, text)

    return type("RadragEmbedding", (ragas.Embedding,), {"embed_text": embed_text, "aembed_text": aembed_text})()


def ragas_dataset(
    answers: Sequence[Answer],
    questions: Sequence[Question],
    *,
    index: Any = None,
    reference_contexts: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """Return answers as a ragas ``EvaluationDataset``, a sample a question, in order.

    The response is the answer's statements without citation marks, after its verdict if it has one; an abstention has
    none. Gold passages are those of the index's own cutting that overlap a gold span, so that like is compared with
    like; without an index, ``reference_contexts`` can name them.

    Args:
        answers: Answers [n].
        questions: What was asked [n], in the same order.
        index: The ``HybridIndex`` that the answers were made from.
        reference_contexts: Question id to its gold passages, in place of those of the index.

    Raises:
        ValueError: If an answer is not to the question at its place, or there are none.
    """
    ragas = load_ragas()
    given, made = paired(questions, answers)
    known = {} if index is None else _gold_passages(given, index)
    known.update({name: list(texts) for name, texts in (reference_contexts or {}).items()})
    return ragas.Dataset([_sample(ragas, q, a, known.get(q.id)) for q, a in zip(given, made, strict=True)])


def paired(questions: Sequence[Question], answers: Sequence[Answer]) -> tuple[list[Question], list[Answer]]:
    """Return questions and answers as lists, if they belong together."""
    given, made = list(questions), list(answers)
    if not given or len(given) != len(made):
        raise ValueError(f"questions and answers must be equally many and at least 1, got {len(given)} and {len(made)}")
    if len({question.id for question in given}) != len(given):
        raise ValueError("questions must have ids of their own; at least two share one")
    for question, answer in zip(given, made, strict=True):
        if answer.question != question.text:
            raise ValueError(
                f"the answer at the place of question {question.id!r} is to {answer.question!r}; sort them"
            )
    return given, made


def _gold_passages(questions: Sequence[Question], index: Any) -> dict[str, list[str]]:
    """Cut the gold documents as the index cuts, and take what overlaps a gold span."""
    chunking, cut = Chunking(**index.manifest["chunking"]), {}
    found: dict[str, list[str]] = {}
    for question in questions:
        for span in question.gold:
            if span.document_id not in cut:
                try:
                    cut[span.document_id] = list(chunking.passages(index.document(span.document_id)))
                except KeyError:  # not in this index, so it could not be found there
                    cut[span.document_id] = []
            texts = found.setdefault(question.id, [])
            over = [one.text for one in cut[span.document_id] if one.start < span.end and span.start < one.end]
            texts.extend(text for text in over or [span.quote] if text not in texts)
    return found


def _sample(ragas: Any, question: Question, answer: Answer, gold: list[str] | None) -> Any:
    verdict = [] if answer.verdict is None else [f"{answer.verdict.answer.capitalize()}."]
    passages = [hit.passage for hit in answer.evidence]
    return ragas.Sample(
        user_input=question.text,
        response=None if answer.abstained else " ".join([*verdict, *(claim.text for claim in answer.claims)]) or None,
        retrieved_contexts=[passage.text for passage in passages] or None,
        retrieved_context_ids=[passage.document_id for passage in passages] or None,
        reference=question.answer or None,
        reference_contexts=gold or None,
        reference_context_ids=sorted({span.document_id for span in question.gold}) or None,
    )


def masked(ragas: Any, sample: Any, published: Collection[str]) -> tuple[Any, list[Deidentified]]:
    """Return a sample as a judge elsewhere may see it, and what was masked; passages of published documents stay.

    Args:
        ragas: What ``load_ragas`` returned.
        sample: The sample.
        published: Ids of documents whose passages hold nobody's data.
    """
    made: list[Deidentified] = []

    def hide(text: str | None) -> str | None:
        if text is None:
            return None
        made.append(deidentify(text))
        return made[-1].text

    pairs = zip(sample.retrieved_contexts or (), sample.retrieved_context_ids or (), strict=True)
    shown = ragas.Sample(
        user_input=hide(sample.user_input),
        response=hide(sample.response),
        reference=hide(sample.reference),
        retrieved_contexts=[text if name in published else hide(text) for text, name in pairs] or None,
    )
    return shown, made


def left_out(metric: Metric, question: Question, answer: Answer, sample: Any) -> str:
    """Say why a metric does not apply to a question, or ""."""
    if not question.answerable:
        return "unanswerable"
    lacks = [name for name in metric.reads if getattr(sample, name) is None]
    if "response" in lacks:
        return "abstained" if answer.abstained else "empty answer"
    return _MISSING[lacks[0]] if lacks else ""


def job(ragas: Any, metric: Metric, sample: Any, judge: Judge | None, embedding: Any, seed: int) -> Job:
    """Return what scores one sample; numbers that are none become a failure."""

    def made(repeat: int) -> float:
        one = metric.make(ragas, judge and _judge_for(ragas, judge, seed + repeat), embedding)
        if hasattr(one, "ascore"):
            call = one.ascore(**{name: getattr(sample, name) for name in metric.reads})
        else:  # the public method of these older classes notes every call for ragas's statistics
            call = one._single_turn_ascore(sample, [])
        try:
            with np.errstate(all="ignore"):  # a vector of zeros; the result is looked at below
                value = asyncio.run(call)
        except (ValueError, ArithmeticError) as error:
            if not metric.judged:
                raise
            raise JudgeFailure("undefined", f"{type(error).__name__}: {error}") from error
        value = float(getattr(value, "value", value))
        if not metric.low - 1e-6 <= value <= 1 + 1e-6:  # nan too
            raise JudgeFailure("undefined", f"got {value}")
        return round(value, 9)  # ragas adds 1e-10 to denominators

    return made


def supports_by(ragas: Any, judge: Judge, seed: int) -> Callable[[str, str], bool]:
    """Return the step of faithfulness that judges a statement against a context."""
    prompt = ragas.nli.NLIStatementPrompt()

    def supports(context: str, statement: str) -> bool:
        text = prompt.to_string(ragas.nli.NLIStatementInput(context=context, statements=[statement]))
        made = _judge_for(ragas, judge, seed).generate(text, ragas.nli.NLIStatementOutput)
        return bool(made.statements[0].verdict)

    return supports
