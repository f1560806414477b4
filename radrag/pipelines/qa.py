"""Questions to cited answers: retrieve, generate, ground, decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from radrag._version import __version__
from radrag.errors import ModelError
from radrag.grounding import Confidence, default_verifier, evidence_features, ground
from radrag.grounding.abstention import Reason, evidence_reason
from radrag.grounding.evidence_prior import checked_share
from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.filters import Where
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.agreement import agreement_of
from radrag.pipelines.asking import Ask, Options, ask_of, asking, by_form, draft_notes, reason_of, value_notes, value_of
from radrag.pipelines.masking import MaskedReader, MaskedVerifier, is_local
from radrag.pipelines.patient import Patient, patient_warnings
from radrag.pipelines.readers import as_reader, checked
from radrag.pipelines.saving import differences, plain_where, question_hash, read_settings, write_settings
from radrag.pipelines.searching import search
from radrag.pipelines.standing import Found, standing
from radrag.pipelines.streams import streamed
from radrag.protocols import Reader, Verifier
from radrag.reading.extractive import ExtractiveReader
from radrag.types import Answer, Draft, GenerationParams, Hit

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine

    from radrag.pipelines.conversation import Conversation

NOTHING_FOUND, TOO_LITTLE = Reason.NOTHING_FOUND.value, Reason.TOO_LITTLE.value
DECLINED, UNSUPPORTED, SOURCELESS = Reason.DECLINED.value, Reason.UNSUPPORTED.value, Reason.SOURCELESS.value
_REMEDY = "Give it the index and the models it was saved with, or load it with strict=False"
_FOR_PATIENT = 3  # passages found by the patient's facts, behind those that the question alone finds


class QAPipeline:
    """Answers questions from an index; every claim cites characters of a source, or is marked as unsupported.

    What a generator or verifier elsewhere gets to see has its identifiers masked, and the answer says so: a llama-index
    LLM counts as elsewhere unless wrapped as ``LlamaIndexGenerator(llm, local=True)``, and so does any object of one's
    own without an attribute ``local = True``. Nothing that is asked is written to disk or logged.

    Args:
        index: Where to look.
        generator: Who writes: a ``Generator`` such as ``LlamaGenerator``, a llama-index LLM, a ``Reader``, or None for
            the ``ExtractiveReader``, which needs no model.
        k: Passages to retrieve.
        where: Metadata filter on what may be retrieved.
        min_confidence: Below this evidence score it abstains before the generator is called; 0 never does. By default
            the threshold that ships (``radrag train confidence``).
        risk: In place of ``min_confidence``: share of answers that may lack evidence; see ``Confidence.threshold_for``.
        params: How a generator decodes.
        verifier: Says whether passages support a statement; the one that ships if left out.
        unsupported: ``"mark"`` keeps statements that are not supported, marked as such; ``"drop"`` leaves them out of
            the answer, and a warning says how many.
        evidence_prior: Say of the strength of evidence in the order of passages, 0 to 1: ``grounding.evidence_prior``.

    Attributes:
        generator: Who writes, as a ``Generator``; None if nobody is prompted.
    """

    def __init__(
        self,
        index: HybridIndex,
        generator: Any = None,
        *,
        k: int = 8,
        where: Where | None = None,
        min_confidence: float | None = None,
        risk: float | None = None,
        params: GenerationParams | None = None,
        verifier: Verifier | None = None,
        unsupported: Literal["mark", "drop"] = "mark",
        evidence_prior: float = 0.0,
    ) -> None:
        if not callable(getattr(index, "search", None)):
            raise TypeError(f"index must be an index, got {index!r:.80}; open a folder with HybridIndex.open")
        if unsupported not in ("mark", "drop"):
            raise ValueError(f"unsupported must be 'mark' or 'drop', got {unsupported!r}")
        if risk is not None and min_confidence is not None:
            raise ValueError(f"give min_confidence or risk, not both, got {min_confidence} and {risk}")
        if risk is not None:
            min_confidence = Confidence.load().threshold_for(risk)
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must be between 0 and 1, got {min_confidence}")
        self._index = index
        self._reader, self._params = as_reader(generator, params), params
        self.generator = getattr(self._reader, "_generator", None)
        self._masks = not is_local(self._reader)
        self._k = _checked_k(k)
        self._where = where
        self._min_confidence = min_confidence
        self._given_verifier, self._unsupported = verifier, unsupported
        self._prior = checked_share(evidence_prior)
        self._retrieves = True

    def __call__(
        self, question: str, form: str | None = None, options: Options = None, *, patient: Patient | None = None
    ) -> Answer:
        """Answer one question, in a form or about a patient if given; see ``batch``."""
        return self.batch([question], form, options, patient=patient)[0]

    def batch(
        self, questions: Iterable[str], form: str | None = None, options: Options = None, *,
        patient: Patient | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Answer questions, in order; the generator sees those with enough evidence as one batch.

        Args:
            questions: The questions.
            form: What to ask for, for all of them: one of ``radrag.reading.forms.Form``, or ``"auto"`` for what each
                wording asks for (four in five are told right). ``Answer.value`` then is what was read strictly, else
                None, with a warning and ``Answer.unread``. If left out, ``Answer.form`` says what the wording asks
                for, the answer is free text, and its value at most yes, no or maybe.
            options: Options by capital letter, for a choice.
            patient: Whom all of them are about. Facts find some passages more, stand in a generator's prompt, and make
                warnings where the sources speak of others; neither they nor a hash of them is in the manifest.
        """
        return by_form(checked(questions), form, options, self._answerer(self._reader, patient))

    def stream(
        self, question: str, form: str | None = None, options: Options = None, *, patient: Patient | None = None
    ) -> Iterator[str | Answer]:
        """Yield the text of a generator while it is written, and at the end the answer, in a form if given.

        The text is a draft: no claim in it is checked before the answer is there, which may also be an abstention.
        What cannot be streamed comes in one piece; nothing comes before an abstention for want of evidence.
        """
        asked = checked([question])
        ask = ask_of(form, options, question)
        return streamed(self._reader, self._params, lambda reader: self._answerer(reader, patient)(asked, ask)[0])

    def chat(self, **options: Any) -> Conversation:
        """Begin a conversation; see ``Conversation`` for the options."""
        from radrag.pipelines.conversation import Conversation

        return Conversation(self, **options)

    def as_query_engine(self, form: str | None = None, options: Options = None) -> BaseQueryEngine:
        """Return a llama-index query engine that asks for a form; its responses have the passages as source nodes."""
        from radrag.pipelines.query_engine import as_query_engine

        return as_query_engine(self, form, options)

    def manifest(self, question: str | None = None) -> dict[str, Any]:
        """Return what decides the answers of this pipeline, with the hash of a question if one is given."""
        return {**self._manifest, **({} if question is None else {"question_sha256": question_hash(question)})}

    def check(self, manifest: Mapping[str, Any], question: str | None = None) -> tuple[str, ...]:
        """Say in what this pipeline differs from the one that wrote a manifest; nothing means the same answer again.

        Args:
            manifest: That of an answer.
            question: The question of that answer as it was read (``answer.searched or answer.question``), to be
                compared by its hash.
        """
        return differences(manifest, self._manifest, question)

    def save(self, folder: str | Path) -> None:
        """Write the settings and the manifest to a folder, as JSON: no question, no patient, no weights."""
        options = {
            "k": self._k, "where": self._where, "min_confidence": self._min_confidence, "params": self._params,
            "unsupported": self._unsupported, "evidence_prior": self._prior,
        }  # fmt: skip
        write_settings(folder, options, self._retrieves, self._manifest)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        index: HybridIndex,
        generator: Any = None,
        *,
        verifier: Verifier | None = None,
        strict: bool = True,
    ) -> Self:
        """Make a pipeline with the settings that ``save`` wrote.

        Args:
            folder: Where they are.
            index: The index.
            generator: Who wrote; see the class.
            verifier: Who verified; the one that ships if left out.
            strict: Whether a difference from the pipeline that was saved is an error; if not, see ``check``.

        Raises:
            ModelError: If there is none in the folder, or index, model, prompts or verifier are not those it had.
        """
        options, retrieves, manifest = read_settings(folder)
        made = cls(index, generator, verifier=verifier, **options)
        made._retrieves = retrieves
        if strict and (found := made.check(manifest)):
            raise ModelError(f"the pipeline in {folder} would not answer as it did: {'; '.join(found)}. {_REMEDY}")
        return made

    def _batch(self, asked: list[str], patient: Patient | None, reader: Reader, ask: Ask | None = None) -> list[Answer]:
        if not self._retrieves:
            drafts = reader.read_alone(self._told(asked, patient))
            return [self._answer(one, draft, (), 0.0, patient, ask) for one, draft in zip(asked, drafts, strict=True)]

        def read(some: list[str], found: list[Found]) -> list[Callable[[], Answer]]:
            told = self._told(some, patient)
            kept = [i for i, (hits, score) in enumerate(found) if hits and score >= self._threshold]
            made = dict(zip(kept, reader.read([told[i] for i in kept], [found[i][0] for i in kept]), strict=True))
            return [
                partial(self._answer, question, made.get(i), tuple(hits), score, patient, ask)
                for i, (question, (hits, score)) in enumerate(zip(some, found, strict=True))
            ]

        return standing(self._index, asked, lambda some: self._found(some, patient), read)

    def _found(self, asked: list[str], patient: Patient | None) -> list[Found]:
        """Search; whether there is enough evidence is decided by what the questions alone find."""
        found = self._search(asked, self._k)
        scores = [self._confidence(self._features(question, hits)) for question, hits in zip(asked, found, strict=True)]
        if patient is not None and patient.terms:
            others = self._search([f"{question} {patient.terms}" for question in asked], self._k + _FOR_PATIENT)
            for hits, more in zip(found, others, strict=True):
                known = {hit.passage.id for hit in hits}
                hits += [hit for hit in more if hit.passage.id not in known][:_FOR_PATIENT]
        return [(hits, score if hits else 0.0) for hits, score in zip(found, scores, strict=True)]

    def _search(self, texts: list[str], k: int, **options: Any) -> list[list[Hit]]:
        return search(self._index, texts, k, self._where, self._prior, **options)

    def _told(self, asked: list[str], patient: Patient | None) -> list[str]:
        """Return the questions as a reader gets them: a generator is told of the patient."""
        facts = patient.sentence if patient is not None and not isinstance(self._reader, ExtractiveReader) else ""
        return [f"{facts} {question}" if facts else question for question in asked]

    def without_retrieval(self) -> Self:
        """Return the baseline: the same reader with the question alone."""
        other = copy(self)
        other._retrieves = False
        return other

    def with_(self, *, index: HybridIndex | None = None, k: int | None = None) -> Self:
        """Return a pipeline that shares everything with this one but its index or its number of passages."""
        other = copy(self)  # what properties have cached does not rest on the index
        other._index = self._index if index is None else index
        other._k = self._k if k is None else _checked_k(k)
        return other

    def _answer(
        self, question: str, draft: Draft | None, hits: tuple[Hit, ...], confidence: float,
        patient: Patient | None, ask: Ask | None,
    ) -> Answer:  # fmt: skip
        manifest = self.manifest(question) | ({} if patient is None else {"patient": "given, not kept"})
        manifest |= {} if ask is None else ask.facts
        shaped = value_of(question, draft, ask)
        if draft is None:
            others = self._search([question], self._k, include_retracted=True)[0]
            reason = evidence_reason(hits, others, lambda found: self._features(question, found), self._suffices).value
            return Answer(question, (), None, True, reason, confidence, hits, manifest=manifest, **shaped)
        grounded = ground(draft, hits, self._index.document, self._verifier)
        reason = Reason.NO_ROOM.value if draft.shown == 0 else reason_of(draft, grounded.claims, self._retrieves)
        claims, notes = grounded.claims, draft_notes(grounded.claims) + value_notes(draft, grounded.claims, hits, ask)
        shaped["agreement"] = agreement_of(question, shaped["form"], hits, claims, self._kind, self._index.flags)
        if self._unsupported == "drop" and self._retrieves and not reason:
            claims = tuple(claim for claim in claims if claim.supported)
            lost = len(grounded.claims) - len(claims)
            notes += (f"{lost} of {len(grounded.claims)} statements were not supported and are left out",) * bool(lost)
        answer = Answer(
            question, claims, None if reason else draft.verdict, bool(reason), reason, confidence, hits,
            grounded.unknown, draft.dropped + notes, manifest, **shaped | ({"value": None} if reason else {}),
        )  # fmt: skip
        return answer if patient is None else self._with_warnings(answer, patient, ask.options if ask else None)

    def _with_warnings(self, answer: Answer, patient: Patient, options: Options) -> Answer:
        known = {name: self._index.document(name) for name in {one.document_id for one in answer.citations}}
        return replace(answer, warnings=(*answer.warnings, *patient_warnings(answer, patient, known, options)))

    def _features(self, question: str, hits: Sequence[Hit]) -> tuple[float, ...]:
        return evidence_features(question, hits, self._index.rarity, _shared_encoder())

    def _answerer(self, reader: Reader, patient: Patient | None) -> Callable[[list[str], Ask | None], list[Answer]]:
        """Return what answers questions of one form; it sends nothing elsewhere but what is masked."""
        sender = MaskedReader(reader, self._kind) if self._masks else reader
        return lambda asked, ask: self._batch(asked, patient, asking(sender, ask), ask)

    def _kind(self, document_id: str) -> str:
        return self._index.document(document_id).kind

    @property
    def _manifest(self) -> dict[str, Any]:
        facts = self._facts if self._retrieves else {}
        return {
            "radrag": __version__,
            "reader": self._reader_fingerprint,
            "verifier": str(getattr(self._verifier, "fingerprint", type(self._verifier).__name__)),
            "unsupported": self._unsupported,
            "retrieval": self._retrieves,
            "masked": self._masks,
            **facts,
        }

    @property
    def _facts(self) -> dict[str, Any]:
        index = self._index.manifest
        return {
            "index": index["content"],
            "encoder": index["encoder_fingerprint"],
            "search": index["search"],
            "k": self._k,
            "where": plain_where(self._where),
            "evidence_prior": self._prior,
            "min_confidence": self._threshold,
        }

    def _suffices(self, features: Sequence[float]) -> bool:
        return self._confidence(features) >= self._threshold

    @property
    def _threshold(self) -> float:
        return self._confidence.threshold if self._min_confidence is None else self._min_confidence

    @cached_property
    def _confidence(self) -> Confidence:
        return Confidence.load()

    @cached_property
    def _verifier(self) -> Verifier:
        given = self._given_verifier
        if given is None:
            return default_verifier()
        return given if is_local(given) else MaskedVerifier(given)

    @cached_property
    def _reader_fingerprint(self) -> str:
        return str(getattr(self._reader, "fingerprint", type(self._reader).__name__))


def _checked_k(k: int) -> int:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k


@cache
def _shared_encoder() -> StaticEncoder:
    """Return the encoder that confidence is computed with, loaded once for all pipelines."""
    return StaticEncoder()
