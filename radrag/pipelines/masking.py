"""What leaves this machine: identifiers are masked in all that a reader or a verifier sends to a model elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from radrag.corpora.deidentify import Deidentified, deidentify
from radrag.grounding import AlignmentVerifier, NLIVerifier
from radrag.indexes.encoders import LlamaIndexEncoder
from radrag.protocols import Reader, Verifier, says_local
from radrag.reading.extractive import ExtractiveReader
from radrag.types import ClaimVerdict, Draft, Hit

PUBLISHED = frozenset({"abstract", "guideline", "digest"})
_OURS = (ExtractiveReader, AlignmentVerifier, NLIVerifier)


def is_local(model: Any) -> bool:
    """Whether what a reader, verifier or generator is given stays on this machine.

    An object of one's own says so, see ``says_local``. A llama-index LLM does not, unless it is wrapped as
    ``LlamaIndexGenerator(llm, local=True)``.
    """
    if model is None or isinstance(model, _OURS):
        return True
    if not hasattr(model, "local") and hasattr(model, "_generator"):  # our readers and judges pass on what they get
        return is_local(model._generator)
    return says_local(model)


def searches_locally(encoder: Any) -> bool:
    """Whether queries stay here: all encoders do but a llama-index embedding, unless ``encoder.local`` is True."""
    return bool(getattr(encoder, "local", not isinstance(encoder, LlamaIndexEncoder)))


class MaskedReader:
    """A reader that gets questions and passages with their identifiers masked.

    Passages of published kinds (``PUBLISHED``) go as they are. Of all others, text, title and headings are masked, and
    id and metadata are left out, for they may name a patient.

    Args:
        reader: The reader.
        kind_of: Says of what kind a document is, by its id.
    """

    def __init__(self, reader: Reader, kind_of: Callable[[str], str]) -> None:
        self._reader, self._kind_of = reader, kind_of
        self._options: tuple[Deidentified, ...] = ()

    def asking(self, form: str, options: Mapping[str, str] | None = None) -> MaskedReader:
        """Return a reader that asks for answers in a form, with the options masked as well."""
        asks: Any = getattr(self._reader, "asking", None)
        if asks is None:
            return self
        made = {letter: deidentify(text) for letter, text in (options or {}).items()}
        other = MaskedReader(asks(form, {letter: one.text for letter, one in made.items()}), self._kind_of)
        other._options = tuple(made.values())
        return other

    @property
    def fingerprint(self) -> str:
        """That of the reader, and that texts were masked."""
        return f"{getattr(self._reader, 'fingerprint', type(self._reader).__name__)}:masked"

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        """Draft answers; the drafts say how many identifiers were masked."""
        asked = [deidentify(question) for question in questions]
        kinds: dict[str, str] = {}
        shown = [[self._masked(n, hit, kinds) for n, hit in enumerate(found, start=1)] for found in hits]
        drafts = self._reader.read([one.text for one in asked], [[hit for hit, _ in found] for found in shown])
        hidden = [
            [one, *self._options, *(part for _, made in found for part in made)]
            for one, found in zip(asked, shown, strict=True)
        ]
        return [_said(draft, made) for draft, made in zip(drafts, hidden, strict=True)]

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        """Draft answers from the masked questions alone."""
        asked = [deidentify(question) for question in questions]
        drafts = self._reader.read_alone([one.text for one in asked])
        return [_said(draft, [one, *self._options]) for draft, one in zip(drafts, asked, strict=True)]

    def _masked(self, number: int, hit: Hit, kinds: dict[str, str]) -> tuple[Hit, list[Deidentified]]:
        passage = hit.passage
        name = passage.document_id
        if name not in kinds:
            kinds[name] = self._kind_of(name)
        if kinds[name] in PUBLISHED:
            return hit, []
        text, title, *path = map(deidentify, (passage.text, passage.title, *passage.path))
        unnamed = replace(
            passage, document_id=f"document {number}", text=text.text, title=title.text or f"document {number}",
            path=tuple(part.text for part in path), metadata={},
        )  # fmt: skip
        return replace(hit, passage=unnamed), [text, title, *path]


class MaskedVerifier:
    """A verifier that gets claims and passages with their identifiers masked; offsets are those of the originals."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    @property
    def fingerprint(self) -> str:
        """That of the verifier, and that texts were masked."""
        return f"{getattr(self._verifier, 'fingerprint', type(self._verifier).__name__)}:masked"

    def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
        """Return one verdict for each claim."""
        known = {text: deidentify(text) for text in (*claims, *(one for texts in passages for one in texts))}
        verdicts = self._verifier.verify(
            [known[claim].text for claim in claims], [[known[text].text for text in texts] for texts in passages]
        )
        return [_back(one, [known[text] for text in texts]) for one, texts in zip(verdicts, passages, strict=True)]


def mask_notice(made: Iterable[Deidentified]) -> str:
    """Say how many identifiers of which kinds were masked, never which; "" for none."""
    kinds = Counter(span.kind.value for one in made for span in one.spans)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"masked before the model elsewhere was asked: {listed}" if kinds else ""


def _said(draft: Draft, made: Sequence[Deidentified]) -> Draft:
    notice = mask_notice(made)
    return replace(draft, dropped=(*draft.dropped, notice)) if notice else draft


def _back(verdict: ClaimVerdict, passages: Sequence[Deidentified]) -> ClaimVerdict:
    if verdict.passage < 0 or verdict.start == verdict.end:
        return verdict
    start, end = passages[verdict.passage].to_original(verdict.start, verdict.end)
    return replace(verdict, start=start, end=end)
