"""Records with retrieved passages after RAFT (Zhang et al., 2024, arXiv 2403.10131): cite what answers, or abstain.

A prompt holds the passages that answer its question among others that a search finds for it, or only those others, or
none. Which of these it is decides the reply, by the stored spans, so no reply rests on what its prompt lacks.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from radrag.generation.prompts import NOT_ENOUGH, answer_chat
from radrag.indexes.retriever import Searchable
from radrag.training.records import ChatRecord, long_answer
from radrag.types import VERDICTS, Document, GoldSpan, Hit, Passage, Question

ABSTAIN = "abstain"
_WHOLE = 1000  # more passages than a document has
_WIDTH = 3


def rag_records(
    questions: Sequence[Question],
    index: Searchable,
    *,
    k: int = 5,
    oracle: float = 0.8,
    empty: float = 0.05,
    copies: int = 1,
    seed: int = 0,
) -> list[ChatRecord]:
    """Make records of questions over the passages that an index finds for them.

    Args:
        questions: Questions with the spans that answer them; unanswerable ones have none, and their reply abstains.
        index: An index that holds the documents of the spans.
        k: Passages of a prompt; more where an answer rests on more.
        oracle: Share of the prompts with passages that keep those that answer (RAFT's P).
        empty: Share of all prompts that hold no passage.
        copies: Records for each question, each with its own draw; they share a group.
        seed: Seed of the draws.

    Returns:
        ``copies`` records for each question, in order. Groups are the question and the documents of its spans; the
        label is the verdict, ``"abstain"``, or "" for an answer without a verdict. A passage of another document that
        answers in other words than the spans is not recognised, and may stand in a prompt whose reply abstains.

    Raises:
        ValueError: If a question is answerable but lacks spans or an answer, or the index lacks the text of a span.
    """
    for name, share in (("oracle", oracle), ("empty", empty)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be a share from 0 to 1, got {share}")
    if k < 1 or copies < 1:
        raise ValueError(f"k and copies must be at least 1, got {k} and {copies}")
    draw = random.Random(seed)
    records = []
    for question in questions:
        if question.answerable and not (question.gold and (question.answer or question.verdict)):
            raise ValueError(f"question {question.id!r} is answerable but has no gold spans or no answer; add them")
        gold = _gold_hits(question, index)
        others = _distractors(question, index, k)
        groups = (f"question:{question.id}", *dict.fromkeys(f"source:{span.document_id}" for span in question.gold))
        for copy in range(copies):
            hits: list[Hit] = []
            if draw.random() >= empty:
                hits = [*gold] if gold and draw.random() < oracle else []
                hits += others[: max(0, k - len(hits))]
                draw.shuffle(hits)
            name = f"{question.id}/{copy}" if copies > 1 else question.id
            reply = target(question, hits)
            label = ABSTAIN if reply == NOT_ENOUGH else question.verdict or ""
            records.append(ChatRecord(answer_chat(question.text, hits), reply, name, groups, label))
    return records


def target(question: Question, hits: Sequence[Hit]) -> str:
    """Return the reply that passages allow: the answer with the marks of those that hold it, or that they do not."""
    keys = support(question, hits)
    return long_answer(question.verdict or "", question.answer, keys) if keys else NOT_ENOUGH


def support(question: Question, hits: Sequence[Hit]) -> tuple[int, ...]:
    """Return the 1-based numbers of the passages that answer a question, or none if a span of it is not among them.

    A span is there if one passage holds its quote, or if passages of its document together cover it. Spans with equal
    quotes count as one. An unanswerable question has no support.
    """
    keys: list[int] = []
    if not question.answerable:
        return ()
    for span in {_plain(span.quote): span for span in question.gold}.values():
        found = _holding(span, [hit.passage for hit in hits])
        if not found:
            return ()
        keys += found
    return tuple(sorted(set(keys)))


def pubmedqa_documents(rows: Iterable[Mapping[str, Any]]) -> list[Document]:
    """Return the abstracts of PubMedQA's questions (``pmid``, ``contexts``) as documents to index."""
    return [Document(f"PMID:{row['pmid']}", "\n\n".join(row["contexts"]), kind="abstract") for row in rows]


def pubmedqa_questions(rows: Iterable[Mapping[str, Any]]) -> list[Question]:
    """Return PubMedQA's questions; the span that answers one is its whole abstract.

    Args:
        rows: Each has ``pmid``, ``question``, ``contexts``, ``answer`` and ``long_answer``.

    Raises:
        ValueError: If an answer is not yes, no or maybe.
    """
    questions = []
    for row in rows:
        if row["answer"] not in VERDICTS:
            raise ValueError(f"question {row['pmid']} has the answer {row['answer']!r}, expected one of {VERDICTS}")
        name, text = f"PMID:{row['pmid']}", "\n\n".join(row["contexts"])
        span = GoldSpan(name, 0, len(text), text)
        questions.append(Question(name, row["question"], "yesno", row["answer"], row["long_answer"], (span,)))
    return questions


def _gold_hits(question: Question, index: Searchable) -> list[Hit]:
    """Return the fewest passages that hold all spans of a question, in the order of the spans."""
    chosen: dict[tuple[str, int], Hit] = {}
    for span in {_plain(span.quote): span for span in question.gold}.values():
        if _holding(span, [hit.passage for hit in chosen.values()]):
            continue
        of_document: list[Hit] = index.search(
            question.text, k=_WHOLE, where={"document_id": span.document_id}, rerank=False, include_retracted=True
        )
        of_document.sort(key=lambda hit: hit.passage.start)
        keys = _holding(span, [hit.passage for hit in of_document])
        if not keys:
            raise ValueError(
                f"question {question.id!r}: the index lacks {span.document_id}:{span.start}-{span.end}, a gold span. "
                "Add the document, or make the index of the documents that the spans were taken from."
            )
        for key in keys:
            hit = of_document[key - 1]
            chosen[hit.passage.document_id, hit.passage.start] = hit
    return list(chosen.values())


def _distractors(question: Question, index: Searchable, k: int) -> list[Hit]:
    """Return the best k passages found that are of none of the answering documents and repeat no answering span."""
    sources = {span.document_id for span in question.gold}
    spans = [_shingles(span.quote) for span in question.gold]
    depth = 4 * k
    while True:
        found: list[Hit] = index.search(question.text, k=depth)
        kept = [
            hit
            for hit in found
            if hit.passage.document_id not in sources and not _repeats(_shingles(hit.passage.text), spans)
        ]
        if len(kept) >= k or len(found) < depth:
            return kept[:k]
        depth *= 4


def _holding(span: GoldSpan, passages: Sequence[Passage]) -> list[int]:
    """Return the number of the first passage that holds a span, or of all that cover it together."""
    quote = _plain(span.quote)
    for number, passage in enumerate(passages, start=1):
        if quote in _plain(passage.text):
            return [number]
    parts = [
        (passage.start, passage.end, number)
        for number, passage in enumerate(passages, start=1)
        if passage.document_id == span.document_id and passage.start < span.end and span.start < passage.end
    ]
    at, keys = span.start, []
    for start, end, number in sorted(parts):
        if span.quote[at - span.start : max(0, start - span.start)].strip():
            return []
        if end > at:
            keys.append(number)
            at = end
    return [] if span.quote[at - span.start :].strip() else keys


def _repeats(passage: set[tuple[str, ...]], spans: Sequence[set[tuple[str, ...]]]) -> bool:
    """Whether a passage has half or more of a span's word triples: pages repeat such sentences with small changes."""
    return any(2 * len(passage & span) >= len(span) for span in spans if span)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _plain(text).split()
    return {tuple(words[at : at + _WIDTH]) for at in range(max(1, len(words) - _WIDTH + 1))}


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
