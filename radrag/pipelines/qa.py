"""Questions to cited answers: retrieve, generate, ground, decide."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal, Self

from radrag._version import __version__
from radrag.generation.llamaindex import LlamaIndexGenerator
from radrag.grounding import Confidence, default_verifier, evidence_features, ground
from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.filters import Where
from radrag.indexes.hybrid import HybridIndex
from radrag.protocols import Reader, Verifier
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.prompted import PromptedReader
from radrag.types import Answer, Claim, Draft, GenerationParams, Hit

NOTHING_FOUND = "nothing was found for this question"
TOO_LITTLE = "the passages found cover too little of the question"
DECLINED = "the reader found no answer in the passages"
UNSUPPORTED = "no statement of the draft is supported by the passages"
SOURCELESS = "without sources this reader cannot answer"


class QAPipeline:
    """Answers questions from an index; every claim cites characters of a source, or is marked as unsupported.

    Args:
        index: Where to look.
        generator: Who writes: a ``Generator`` such as ``LlamaGenerator``, a llama-index LLM, a ``Reader``, or None for
            the ``ExtractiveReader``, which needs no model.
        k: Passages to retrieve.
        where: Metadata filter on what may be retrieved.
        min_confidence: Below this evidence score it abstains before the generator is called; 0 never does. By default
            the threshold that ships (``radrag train confidence``).
        params: How a generator decodes.
        verifier: Says whether passages support a statement; the one that ships if left out.
        unsupported: ``"mark"`` keeps statements that are not supported, marked as such; ``"drop"`` leaves them out of
            the answer, and a warning says how many.
    """

    def __init__(
        self,
        index: HybridIndex,
        generator: Any = None,
        *,
        k: int = 8,
        where: Where | None = None,
        min_confidence: float | None = None,
        params: GenerationParams | None = None,
        verifier: Verifier | None = None,
        unsupported: Literal["mark", "drop"] = "mark",
    ) -> None:
        if unsupported not in ("mark", "drop"):
            raise ValueError(f"unsupported must be 'mark' or 'drop', got {unsupported!r}")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must be between 0 and 1, got {min_confidence}")
        self._index = index
        self._reader = as_reader(generator, params)
        self._k = k
        self._where = where
        self._min_confidence = min_confidence
        self._given_verifier, self._unsupported = verifier, unsupported
        self._retrieves = True

    def __call__(self, question: str) -> Answer:
        """Answer one question."""
        return self.batch([question])[0]

    def batch(self, questions: Iterable[str]) -> list[Answer]:
        """Answer questions, in order; the generator sees those with enough evidence as one batch."""
        asked = _checked(questions)
        if not self._retrieves:
            return [
                self._answer(question, draft, (), 0.0)
                for question, draft in zip(asked, self._reader.read_alone(asked), strict=True)
            ]
        found = self._index.search(asked, self._k, self._where) if asked else []
        scores = [self._confidence(self._features(question, hits)) for question, hits in zip(asked, found, strict=True)]
        enough = [bool(hits) and score >= self._threshold for hits, score in zip(found, scores, strict=True)]
        kept = [i for i, ready in enumerate(enough) if ready]
        drafts = dict(zip(kept, self._reader.read([asked[i] for i in kept], [found[i] for i in kept]), strict=True))
        return [
            self._answer(question, drafts.get(i), tuple(found[i]), scores[i] if found[i] else 0.0)
            for i, question in enumerate(asked)
        ]

    def without_retrieval(self) -> Self:
        """Return the baseline: the same reader with the question alone."""
        other = type(self)(
            self._index, self._reader, k=self._k, where=self._where, verifier=self._given_verifier,
            unsupported=self._unsupported,
        )  # fmt: skip
        other._retrieves = False
        return other

    def _answer(self, question: str, draft: Draft | None, hits: tuple[Hit, ...], confidence: float) -> Answer:
        manifest = self._manifest(question)
        if draft is None:
            reason = TOO_LITTLE if hits else NOTHING_FOUND
            return Answer(question, (), None, True, reason, confidence, hits, manifest=manifest)
        grounded = ground(draft, hits, self._index.document, self._verifier)
        reason = _reason(draft, any(claim.supported for claim in grounded.claims), self._retrieves)
        claims, notes = grounded.claims, _counted(grounded.claims)
        if self._unsupported == "drop" and self._retrieves and not reason:
            claims = tuple(claim for claim in claims if claim.supported)
            lost = len(grounded.claims) - len(claims)
            notes += (f"{lost} of {len(grounded.claims)} statements were not supported and are left out",) * bool(lost)
        return Answer(
            question, claims, None if reason else draft.verdict, bool(reason), reason, confidence, hits,
            grounded.unknown, draft.dropped + notes, manifest,
        )  # fmt: skip

    def _features(self, question: str, hits: Sequence[Hit]) -> tuple[float, ...]:
        return evidence_features(question, hits, self._index.rarity, self._static)

    def _manifest(self, question: str) -> dict[str, Any]:
        facts = self._facts if self._retrieves else {}
        return {
            "radrag": __version__,
            "reader": self._reader_fingerprint,
            "verifier": str(getattr(self._verifier, "fingerprint", type(self._verifier).__name__)),
            "unsupported": self._unsupported,
            "retrieval": self._retrieves,
            **facts,
            "question_sha256": hashlib.sha256(question.encode()).hexdigest(),
        }

    @property
    def _facts(self) -> dict[str, Any]:
        index = self._index.manifest
        return {
            "index": index["content"],
            "encoder": index["encoder_fingerprint"],
            "search": index["search"],
            "k": self._k,
            "where": None if self._where is None else repr(dict(self._where)),
            "min_confidence": self._threshold,
        }

    @property
    def _threshold(self) -> float:
        return self._confidence.threshold if self._min_confidence is None else self._min_confidence

    @cached_property
    def _confidence(self) -> Confidence:
        return Confidence.load()

    @cached_property
    def _static(self) -> StaticEncoder:
        return StaticEncoder()

    @cached_property
    def _verifier(self) -> Verifier:
        return default_verifier() if self._given_verifier is None else self._given_verifier

    @cached_property
    def _reader_fingerprint(self) -> str:
        return str(getattr(self._reader, "fingerprint", type(self._reader).__name__))


def as_reader(generator: Any, params: GenerationParams | None = None) -> Reader:
    """Return a reader for whatever can write: None, a ``Reader``, a ``Generator`` or a llama-index LLM."""
    if generator is None:
        return ExtractiveReader()
    if hasattr(generator, "read") and hasattr(generator, "read_alone"):
        reader: Reader = generator
        return reader
    if hasattr(generator, "generate"):
        return PromptedReader(generator, params)
    if hasattr(generator, "chat") and hasattr(generator, "metadata"):
        return PromptedReader(LlamaIndexGenerator(generator), params)
    raise TypeError(
        f"{type(generator).__name__} cannot write answers; expected an object with generate(chats, params), a reader "
        "with read and read_alone, a llama-index LLM, or None for the extractive reader"
    )


def _counted(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Say what a verifier could not tell, and which quotes are not those of the source."""
    unchecked = sum(claim.verdict == "unchecked" for claim in claims)
    altered = sum(len(claim.altered) for claim in claims)
    notes = [(unchecked, "statements could not be checked"), (altered, "quotes are not the words of the source")]
    return tuple(f"{count} {what}" for count, what in notes if count)


def _reason(draft: Draft, supported: bool, retrieves: bool) -> str:
    """Say why there is no answer, or "" if there is one."""
    if retrieves:
        return "" if supported else (UNSUPPORTED if draft.claims else DECLINED)
    return "" if draft.claims or draft.verdict is not None else SOURCELESS


def _checked(questions: Iterable[str]) -> list[str]:
    if isinstance(questions, str):
        raise TypeError("batch takes a list of questions; call the pipeline itself for one")
    asked = list(questions)
    for position, question in enumerate(asked):
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"question {position} must be text that is not blank, got {question!r}")
    return asked
