"""The extractive reader: answers with sentences of the sources themselves. It needs no language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from radrag.indexes.encoders import StaticEncoder
from radrag.protocols import Encoder
from radrag.reading.sentence_model import Rarity, SentenceModel, sentences_fingerprint
from radrag.reading.sentences import Sentence, cosines_of, describe, select, sentences_of
from radrag.reading.verdict import VerdictModel, is_yes_no, models_fingerprint, relevant
from radrag.types import Draft, DraftClaim, Hit, Verdict


class ExtractiveReader:
    """Picks and orders the sentences that answer; each is a claim that cites the passage it stands in.

    Args:
        max_sentences: Most sentences in an answer.
        encoder: Encoder that compares sentences with the question; the static one that ships if left out. The models
            were fitted with that one.
        model: What it takes a good sentence for; the model that ships if left out.
    """

    def __init__(
        self, max_sentences: int = 3, encoder: Encoder | None = None, model: SentenceModel | None = None
    ) -> None:
        if max_sentences < 1:
            raise ValueError(f"max_sentences must be at least 1, got {max_sentences}")
        self._max_sentences = max_sentences
        self._given, self._given_model = encoder, model

    @property
    def fingerprint(self) -> str:
        """What decides its drafts: the encoder, the number of sentences, the sentence model and the verdict models."""
        chosen = sentences_fingerprint() if self._given_model is None else self._given_model.fingerprint
        models = f"{chosen}:{models_fingerprint()}"
        return f"extractive:{self._max_sentences}:{self._encoder.fingerprint}:{models}"

    @property
    def rarity(self) -> Rarity:
        """How rare terms are, as its sentence model was fitted with."""
        return self._model.rarity

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        """Draft one answer for each question."""
        return [self._read(question, found) for question, found in zip(questions, hits, strict=True)]

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        """Answer yes/no questions from their wording alone, as a baseline; nothing else can be said without sources."""
        return [
            Draft(verdict=self._verdicts("question")(question, (), self._model.rarity) if is_yes_no(question) else None)
            for question in questions
        ]

    def evidence(self, question: str, hits: Sequence[Hit]) -> list[str]:
        """Return the sentences that a yes/no verdict rests on, the most telling first."""
        return [one.text for one in relevant(question, self.scored(question, hits), self._model.rarity)]

    def scored(self, question: str, hits: Sequence[Hit]) -> list[Sentence]:
        """Return every sentence of some hits, in their order, with its score and its cosine with the question."""
        sentences = sentences_of(hits)
        if not sentences:
            return []
        cosines = cosines_of(question, sentences, self._encoder)
        scores = describe(question, sentences, hits, self._model.rarity, cosines) @ self._model.weights
        return [
            replace(one, score=float(score), cosine=float(cosine))
            for one, score, cosine in zip(sentences, scores, cosines, strict=True)
        ]

    def _read(self, question: str, hits: Sequence[Hit]) -> Draft:
        sentences = self.scored(question, hits)
        chosen = select(sentences, self._max_sentences)
        if not chosen:
            return Draft()
        claims = tuple(DraftClaim(sentence.text, (sentence.key,)) for sentence in chosen)
        return Draft(claims, self._verdict(question, sentences, hits) if is_yes_no(question) else None)

    def _verdict(self, question: str, sentences: Sequence[Sentence], hits: Sequence[Hit]) -> Verdict:
        documents = {hit.passage.document_id for hit in hits}
        name = "document" if len(documents) == 1 else "evidence"
        return self._verdicts(name)(question, sentences, self._model.rarity)

    def _verdicts(self, name: str) -> VerdictModel:
        if name not in self._loaded:
            self._loaded[name] = VerdictModel.load(name)
        return self._loaded[name]

    @cached_property
    def _loaded(self) -> dict[str, VerdictModel]:
        return {}

    @cached_property
    def _encoder(self) -> Encoder:
        return StaticEncoder() if self._given is None else self._given

    @cached_property
    def _model(self) -> SentenceModel:
        return SentenceModel.load() if self._given_model is None else self._given_model
