"""The extractive reader: answers with sentences of the sources themselves. It needs no language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from radrag.indexes.encoders import StaticEncoder
from radrag.protocols import Encoder
from radrag.reading.sentences import Sentence, score_sentences, select, sentences_of
from radrag.reading.verdict import VerdictModel, is_yes_no, models_fingerprint
from radrag.types import Draft, DraftClaim, Hit

_VERDICT_SENTENCES = 5


class ExtractiveReader:
    """Picks and orders the sentences that answer; each is a claim that cites the passage it stands in.

    Args:
        max_sentences: Most sentences in an answer.
        encoder: Encoder that compares sentences with the question; the static one that ships if left out.
    """

    def __init__(self, max_sentences: int = 3, encoder: Encoder | None = None) -> None:
        if max_sentences < 1:
            raise ValueError(f"max_sentences must be at least 1, got {max_sentences}")
        self._max_sentences = max_sentences
        self._given = encoder

    @property
    def fingerprint(self) -> str:
        """What decides its drafts: the encoder, the number of sentences and the verdict models."""
        return f"extractive:{self._max_sentences}:{self._encoder.fingerprint}:{models_fingerprint()}"

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        """Draft one answer for each question."""
        return [self._read(question, found) for question, found in zip(questions, hits, strict=True)]

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        """Answer yes/no questions from their wording alone, as a baseline; nothing else can be said without sources."""
        return [
            Draft(verdict=self._from_question(question, []) if is_yes_no(question) else None) for question in questions
        ]

    def evidence(self, question: str, hits: Sequence[Hit]) -> list[str]:
        """Return the sentences that a yes/no verdict rests on, the most telling first."""
        return [sentence.text for sentence in select(self._scored(question, hits), _VERDICT_SENTENCES)]

    def _read(self, question: str, hits: Sequence[Hit]) -> Draft:
        chosen = select(self._scored(question, hits), self._max_sentences)
        if not chosen:
            return Draft()
        claims = tuple(DraftClaim(sentence.text, (sentence.key,)) for sentence in chosen)
        verdict = self._from_evidence(question, self.evidence(question, hits)) if is_yes_no(question) else None
        return Draft(claims, verdict)

    def _scored(self, question: str, hits: Sequence[Hit]) -> list[Sentence]:
        sentences = sentences_of(hits)
        if not sentences:
            return []
        scores = score_sentences(question, sentences, self._encoder)
        return [replace(sentence, score=float(score)) for sentence, score in zip(sentences, scores, strict=True)]

    @cached_property
    def _encoder(self) -> Encoder:
        return StaticEncoder() if self._given is None else self._given

    @cached_property
    def _from_evidence(self) -> VerdictModel:
        return VerdictModel.load("evidence")

    @cached_property
    def _from_question(self) -> VerdictModel:
        return VerdictModel.load("question")
