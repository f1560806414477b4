"""The near-leak control: what is left of the gain when no question can find the source it was written from.

Questions of most benchmarks were made from one article, and that article is in the index. Finding it again is easier
than finding what answers a question of practice, so the gain is measured once more without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from radrag.corpora.deidentify import deidentify
from radrag.evaluation.figures import Groups, Scores, corrected, rows_of
from radrag.evaluation.records import LeakControl
from radrag.evaluation.scores import Measure, score_all
from radrag.evaluation.variants import View, index_of, variant
from radrag.types import Answer, Passage, Question

# Without its source a question need not have an answer any more, and declining may be right.
_NEED_SOURCE = ("cites a gold source", "answers what can be answered")


def without_own_source(index: Any, questions: Sequence[Question]) -> View:
    """Return the index in which no question finds a document of its own gold spans.

    A question is known by its text, and by its text with identifiers masked, which is what an encoder elsewhere gets.
    Another query is refused: what it must not find is not known, and a leak that nobody sees is worse than none.

    Raises:
        ValueError: If two questions have the same text and not the same sources: which to remove could not be told.
    """
    own = _sources(questions)
    masked: dict[str, frozenset[str]] = {}

    def refuse(query: str, passage: Passage) -> bool:
        if query in own:
            return passage.document_id in own[query]
        if not masked:  # two questions that look the same once masked lose the sources of both
            for text, sources in own.items():
                name = deidentify(text).text
                masked[name] = masked.get(name, frozenset()) | sources
        if query not in masked:
            raise ValueError(f"{query!r} is none of the questions, so its own source cannot be kept from it")
        return passage.document_id in masked[query]

    return View(index, "without each question's own source", refuse=refuse)


def _sources(questions: Sequence[Question]) -> dict[str, frozenset[str]]:
    own: dict[str, frozenset[str]] = {}
    for question in questions:
        sources = frozenset(span.document_id for span in question.gold)
        if own.setdefault(question.text, sources) != sources:
            raise ValueError(
                f"two questions with the text {question.text!r} have other sources; remove one, or merge their gold"
            )
    return own


def with_sources(questions: Sequence[Question]) -> list[int]:
    """Return the places of the questions that name a source, which can be removed for them.

    Raises:
        ValueError: If there is none, or two of them have the same text and not the same sources.
    """
    chosen = [i for i, question in enumerate(questions) if question.gold]
    if not chosen:
        raise ValueError(
            f"none of the {len(questions)} questions names a gold source, so none can be removed; name sources in "
            "'gold', or run without leak_control (--controls)"
        )
    _sources([questions[i] for i in chosen])
    return chosen


def leak_control(
    system: Any,
    questions: Sequence[Question],
    measures: Sequence[Measure],
    before: Sequence[Answer],
    theirs: Scores,
    groups: Groups,
    seed: int,
) -> LeakControl:
    """Run the system without own sources, and compare that with the baseline on the questions that have one.

    Args:
        system: A ``QAPipeline``.
        questions: The questions.
        measures: How they are scored; figures that need the source to be there are left out.
        before: The system's answers with everything in the index.
        theirs: Scores of the baseline.
        groups: Group of each question, or None.
        seed: Seed of the resampling.
    """
    chosen = with_sources(questions)
    asked = [questions[i] for i in chosen]
    pipeline = variant(system, index=without_own_source(index_of(system), asked))
    answers = pipeline.batch([question.text for question in asked])
    kept = [measure for measure in measures if measure.name not in _NEED_SOURCE]
    scores = score_all(kept, asked, answers)
    baseline: Scores = {measure.name: [theirs[measure.name][i] for i in chosen] for measure in kept}
    some = None if groups is None else [groups[i] for i in chosen]
    rows, _ = rows_of(kept, scores, baseline, some, seed)
    reached = sum(
        any(hit.passage.document_id in {span.document_id for span in questions[i].gold} for hit in before[i].evidence)
        for i in chosen
    )
    declined, before_too = sum(one.abstained for one in answers), sum(before[i].abstained for i in chosen)
    return LeakControl(corrected(rows), len(chosen), reached, declined, before_too)
