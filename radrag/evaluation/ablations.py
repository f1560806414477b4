"""What each part of a system is worth: the same items with one part changed at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from radrag.evaluation.figures import Groups, Scores, chosen_groups, estimate
from radrag.evaluation.records import Ablation, Cell
from radrag.evaluation.scores import Measure, score_all
from radrag.evaluation.variants import View, index_of, passages_of, reranks, variant
from radrag.metrics import holm, paired_bootstrap, permutation_test

if TYPE_CHECKING:
    from radrag.pipelines.qa import QAPipeline

KS = (1, 2, 4, 8, 16)
SOURCES = ("text", "characters", "neighbours", "guidelines", "rules", "generator")


def question_ablations(system: QAPipeline, ks: Sequence[int] = KS) -> dict[str, QAPipeline]:
    """Return the usual variants of a pipeline for questions, by name.

    BM25 alone, vectors alone, without the re-ranker if the index has one, without documents of kind ``"guideline"`` if
    that changes anything, and other numbers of passages.

    Args:
        system: The pipeline.
        ks: Numbers of passages to try; its own is left out.

    Raises:
        TypeError: If the system is no ``QAPipeline``.
    """
    index = index_of(system)

    def view(name: str, **options: Any) -> QAPipeline:
        return variant(system, index=View(index, name, options))

    made = {"BM25 only": view("BM25 only", mode="lexical"), "dense only": view("dense only", mode="dense")}
    if reranks(index):
        made["no re-rank"] = view("no re-rank", rerank=False)
    made["no guideline"] = variant(system, index=without_kind(index, "guideline"))
    return made | {_passages(k): variant(system, k=k) for k in ks if k != passages_of(system)}


def without_kind(index: Any, kind: str) -> View:
    """Return the index without documents of a kind."""
    kinds: dict[str, str] = {}

    def refuse(_: str, passage: Any) -> bool:
        if passage.document_id not in kinds:
            kinds[passage.document_id] = index.document(passage.document_id).kind
        return kinds[passage.document_id] == kind

    return View(index, f"without {kind}s", refuse=refuse)


def label_ablations(make: Callable[[tuple[str, ...]], Any], sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """Return labellers that each lack one source; each is fitted anew, as the weights of the others change with it.

    Args:
        make: Takes the sources to use and returns a fitted labeller, such as
            ``lambda use: LabelPipeline(index, None, labels=labels, use=use).fit(notes)``: a fitted labeller does not
            keep the notes that calibrated it, so it cannot be fitted anew from itself.
        sources: Those of the whole system.
    """
    if len(sources) < 2:
        raise ValueError(f"sources must be at least 2 to leave one out, got {list(sources)}")
    return {f"without {one}": make(tuple(other for other in sources if other != one)) for one in sources}


def ablate(
    variants: Mapping[str, Any],
    items: Sequence[Any],
    measures: Sequence[Measure],
    ours: Scores,
    groups: Groups,
    seed: int,
) -> tuple[Ablation, ...]:
    """Score variants on the same items, against the system; all cells are corrected together by Holm's method."""
    made = []
    for name, system in variants.items():
        outputs = system.batch([item.text for item in items])
        theirs = score_all(measures, items, outputs)
        cells = [
            cell
            for measure in measures
            if (cell := _cell(measure, theirs[measure.name], ours[measure.name], groups, seed))
        ]
        k = passages_of(system) if name.startswith("k = ") else None
        made.append(Ablation(name, tuple(cells), k))
    values = [cell.p_value for ablation in made for cell in ablation.cells]
    adjusted = iter(holm(values).tolist() if values else [])
    return tuple(
        replace(one, cells=tuple(replace(cell, adjusted=next(adjusted)) for cell in one.cells)) for one in made
    )


def _passages(k: int) -> str:
    return f"k = {k} passage{'' if k == 1 else 's'}"


def _cell(
    measure: Measure, theirs: Sequence[float | None], ours: Sequence[float | None], groups: Groups, seed: int
) -> Cell | None:
    chosen = [i for i, pair in enumerate(zip(theirs, ours, strict=True)) if None not in pair]
    some = chosen_groups(groups, chosen)
    if len(chosen if some is None else set(some)) < 2:
        return None
    left, right = (np.asarray([side[i] for i in chosen], dtype=np.float64) for side in (theirs, ours))
    return Cell(
        measure.name, estimate(left, some, seed, share=measure.share),
        paired_bootstrap(left, right, seed=seed, groups=some),
        permutation_test(left, right, groups=some, seed=seed).p_value, 1.0, measure.higher_is_better,
    )  # fmt: skip
