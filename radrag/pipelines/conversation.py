"""Several questions in a row: each is rewritten to stand alone, and answered from sources like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from radrag.corpora.deidentify import deidentify
from radrag.errors import RadragError
from radrag.pipelines.asking import Options, ask_of
from radrag.pipelines.masking import is_local
from radrag.pipelines.patient import Patient
from radrag.pipelines.rewriting import by_model, by_rules, leans_back
from radrag.types import Answer, Message

if TYPE_CHECKING:
    from radrag.pipelines.qa import QAPipeline

_OF_OPTIONS = re.compile(r"\b(?:of|among|from) (?:these|those|them)\b", re.IGNORECASE)
NOT_REWRITTEN = "the question may lean on one that was asked before; it was searched as it is"


class Conversation:
    """A conversation with a pipeline.

    A question that leans on what was asked before is rewritten to stand alone, by the pipeline's generator if it has
    one and its rewriting invents and loses nothing, else by rules; the answer shows it as ``searched``, and its
    manifest holds the hash of that. Earlier answers are never evidence: only sources are.

    The conversation lives in memory, until ``forget``; neither it nor the patient is written anywhere.

    Args:
        qa: The pipeline.
        patient: Whom the questions are about.
        history_tokens: Most tokens of earlier questions and answers that are considered, the newest first: by the
            generator's tokenizer if it counts, else in words.
        keep_patient: Whether manifests hold the patient's facts, as one who must re-create answers needs; by default
            they hold neither these nor a hash.

    Attributes:
        turns: The answers so far, oldest first.
    """

    def __init__(
        self, qa: QAPipeline, *, patient: Patient | None = None, history_tokens: int = 1024, keep_patient: bool = False
    ) -> None:
        if history_tokens < 0:
            raise ValueError(f"history_tokens must be at least 0, got {history_tokens}")
        self._qa, self.patient, self._history_tokens = qa, patient, history_tokens
        self._keep_patient = keep_patient
        self.turns: tuple[Answer, ...] = ()

    def __repr__(self) -> str:
        return f"Conversation({len(self.turns)} turns)"

    def __call__(self, question: str, form: str | None = None, options: Options = None) -> Answer:
        """Answer the next question, in a form if given; see ``QAPipeline.batch``."""
        ask_of(form, options)  # what is wrong with these is said before a model rewrites anything
        alone = self._alone(question, options)
        return self._kept(question, alone, self._qa(alone, form, options, patient=self.patient), options)

    def stream(self, question: str, form: str | None = None, options: Options = None) -> Iterator[str | Answer]:
        """Yield the text of the next answer while it is written, then the answer; see ``QAPipeline.stream``."""
        ask_of(form, options)
        return self._streamed(question, form, options)

    def forget(self) -> None:
        """Forget what was asked and answered, and the patient."""
        self.turns, self.patient = (), None

    def history(self) -> tuple[tuple[str, str], ...]:
        """Return the questions (as read) and answers that are still considered, oldest first."""
        kept: list[tuple[str, str]] = []
        left = self._history_tokens
        for turn in reversed(self.turns):
            pair = (turn.searched or turn.question, " ".join(claim.text for claim in turn.claims if claim.supported))
            left -= self._count(" ".join(pair))
            if left < 0:
                break
            kept.append(pair)
        return tuple(reversed(kept))

    def _streamed(self, question: str, form: str | None, options: Options) -> Iterator[str | Answer]:
        alone = self._alone(question, options)
        for piece in self._qa.stream(alone, form, options, patient=self.patient):
            yield self._kept(question, alone, piece, options) if isinstance(piece, Answer) else piece

    def _alone(self, question: str, options: Options) -> str:
        """Return the question so that it stands alone."""
        history = self.history()
        if not isinstance(question, str) or not history or not _leans(question, options):
            return question
        return self._by_model(question, history) or by_rules(question, history[-1][0])

    def _by_model(self, question: str, history: tuple[tuple[str, str], ...]) -> str:
        generator: Any = self._qa.generator
        if generator is None:
            return ""
        masks = not is_local(generator)
        if masks:
            question = deidentify(question).text
            history = tuple((deidentify(asked).text, deidentify(said).text) for asked, said in history)
        try:
            made = by_model(question, history, generator)
        except RadragError:  # the prompt does not fit, or the model failed: the rules need neither
            return ""
        return made

    def _kept(self, question: str, alone: str, answer: Answer, options: Options) -> Answer:
        manifest = dict(answer.manifest)
        if self.patient is not None and self._keep_patient:
            manifest["patient"] = self.patient.known
        lost = self.turns and _leans(question, options) and alone == question
        warnings = (*answer.warnings, NOT_REWRITTEN) if lost else answer.warnings
        kept = replace(
            answer, question=question, searched="" if alone == question else alone, warnings=warnings, manifest=manifest
        )
        self.turns = (*self.turns, kept)
        return kept

    def _count(self, text: str) -> int:
        count: Any = getattr(self._qa.generator, "count", None)
        return int(count((Message("user", text),))) if callable(count) else len(text.split())


def _leans(question: str, options: Options) -> bool:
    """Whether a question leans on an earlier one; with options, ``which of these`` points at them."""
    return leans_back(_OF_OPTIONS.sub(" ", question) if options else question)
