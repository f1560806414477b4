"""Do the sources agree? What is known of them is stated; what rules read in them is counted beside it.

The rules are weak, so they state no conflict by themselves. By ``tests/benchmarks/qa_evidence.py``, on the half of
the shipped sets that they were not written on, they see 3 of 12 conflicts, and one in 2 of 23 questions that have
none: right in 3 of 5 [.23, .88]. They see one in 15 of 257 questions (.06 [.04, .09]) to which BioASQ's experts gave
one answer. Of documents read as an effect .71 (24 of 34) take that side, of those read as none .62 (8 of 13); on
PubMedQA, by which weights were chosen, .77 of 299 and .78 of 92. An answer therefore states the conflicts that ship
with the evidence digests, where it cites one of their documents and found another, and shows the counts only where
the rules see two sides there. A set of which one document is retracted is not told: its words rest on that too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from radrag.corpora import load_conflicts
from radrag.corpora.retractions import NO_EVIDENCE, by_severity, is_evidence, own_flags
from radrag.grounding.evidence_level import STUDIES
from radrag.indexes.tokens import tokenize
from radrag.reading.asked import Form
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.sentences import Sentence
from radrag.reading.stance import TAKES_A_SIDE, stance
from radrag.types import Claim, Hit
from radrag.types.agreement import CONFLICT, SUPERSEDED, Agreement

_DOCUMENTS = 5
_COVERED, _COVERED_OF_BEST = 0.35, 0.6  # share of the question's rarity that a document on it holds
_NEAR_OF_BEST = 0.7  # its best cosine with the question against the best of all
_KNOWN = {"conflict": CONFLICT, "superseded": SUPERSEDED}
Flags = Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]]


def agreement(
    question: str, hits: Sequence[Hit], reader: ExtractiveReader | None = None, *,
    counts: Callable[[str], bool] | None = None,
) -> Agreement:  # fmt: skip
    """Read each of the best documents alone, and count those that report an effect and those that report none.

    Args:
        question: A yes/no question.
        hits: Passages found for it, best first; retracted sources and notices are left out.
        reader: Finds and weighs the sentences; the shipped one if left out.
        counts: Whether the document of this id counts, such as a study and no protocol; all do if left out.
    """
    reader = reader or _shared_reader()
    read = _best_documents([hit for hit in hits if counts is None or counts(hit.passage.document_id)])
    by_document: dict[str, list[Sentence]] = {hit.passage.document_id: [] for hit in read}
    for one in reader.scored(question, read):
        by_document[read[one.key - 1].passage.document_id].append(one)
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for name in _on_topic(question, by_document, reader):
        said = stance(question, by_document[name], reader.rarity)
        sides[(said > TAKES_A_SIDE) - (said < -TAKES_A_SIDE)].append(name)
    return Agreement(tuple(sides[1]), tuple(sides[-1]), tuple(sides[0]))


def agreement_of(
    question: str, form: str, hits: Sequence[Hit], claims: Sequence[Claim], kind: Callable[[str], str],
    flags: Flags | None = None,
) -> Agreement | None:  # fmt: skip
    """Return what the sources of a yes/no answer are known to disagree on, with the counts; None if nothing is known.

    Args:
        question: The question.
        form: Its form.
        hits: What was found for it, best first.
        claims: The statements of the answer; a set counts if one of its documents is cited and another one was found.
        kind: Gives the kind of a document by its id.
        flags: Gives what was published against documents by their ids, also against those that no search returns,
            such as ``HybridIndex.flags``; that of the hits alone if left out.
    """
    if form != Form.YES_NO:
        return None
    cited = {one.document_id for claim in claims for one in claim.citations}
    known = _known(hits, cited, flags or _flags_of(hits))
    if not known:
        return None
    return replace(agreement(question, hits, counts=lambda name: kind(name) in STUDIES), known=known)


def _best_documents(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits of the first documents that are evidence."""
    sound = _sound(hits)
    names = list(dict.fromkeys(one.passage.document_id for one in sound))[:_DOCUMENTS]
    return [one for one in sound if one.passage.document_id in names]


def _sound(hits: Sequence[Hit]) -> list[Hit]:
    return [one for one in hits if is_evidence(one.passage)]


def _on_topic(question: str, by_document: dict[str, list[Sentence]], reader: ExtractiveReader) -> list[str]:
    """Return the documents that hold enough of the question's words and come near enough to it."""
    weight = reader.rarity.weights(tokenize(question))
    held, near = {}, {}
    for name, sentences in by_document.items():
        terms = frozenset().union(*(one.known | one.context for one in sentences))
        held[name] = sum(share for term, share in weight.items() if term in terms)
        near[name] = max((one.cosine for one in sentences), default=0.0)
    least = max(_COVERED, _COVERED_OF_BEST * max(held.values(), default=0.0))
    least_near = _NEAR_OF_BEST * max(near.values(), default=0.0)
    return [name for name in by_document if held[name] >= least and near[name] > 0 and near[name] >= least_near]


def _flags_of(hits: Sequence[Hit]) -> Flags:
    passages = [hit.passage for hit in hits]
    found = {one.document_id: by_severity([*one.flags, *own_flags(one.metadata)]) for one in passages}
    return lambda names: {name: found.get(name, ()) for name in names}


def _known(hits: Sequence[Hit], cited: set[str], flags: Flags) -> tuple[str, ...]:
    """Say which curated sets have a document that is cited, another that was found, and none that is no evidence."""
    found = {hit.passage.document_id for hit in _sound(hits)}
    lines = []
    for kind, names, text in _curated():
        if not cited & set(names) or len(found & set(names)) < 2:
            continue
        said = flags(names)
        if all(NO_EVIDENCE.isdisjoint(one) for one in said.values()):
            marks = (f" [{name}: {', '.join(said[name]).upper()}]" for name in names if said[name])
            lines.append(f"{_KNOWN[kind]}: {text}{''.join(marks)}")
    return tuple(lines)


@cache
def _curated() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Return kind, documents and words of each shipped set."""
    return tuple((one.kind, tuple(one.documents), f"{one.question} {one.summary}") for one in load_conflicts())


@cache
def _shared_reader() -> ExtractiveReader:
    return ExtractiveReader()
