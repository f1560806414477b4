"""Verbs of ``radrag index`` that fit an index to questions of one's own: tune, measure."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from radrag.cli.app import fail, show
from radrag.cli.index import Folder, Json


def tune(
    index: Folder,
    questions: Annotated[Path, typer.Argument(help="Questions with gold documents, .jsonl as `evaluate run` reads.")],
    apply: Annotated[bool, typer.Option("--apply", help="Keep the best settings, if they gain.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the fusion of words and vectors on questions of your own, cross-validated."""
    from radrag.corpora import read_questions
    from radrag.indexes.hybrid import HybridIndex
    from radrag.indexes.tuning import fit_fusion

    everything = list(read_questions(questions))
    asked = [(one.text, {span.document_id for span in one.gold}) for one in everything if one.gold]
    if not asked:
        fail(f"none of the {len(everything)} questions of {questions} has gold; give each `gold`, a list of spans")
    with HybridIndex.open(index) as opened:
        fit = fit_fusion(opened, asked)
        if applied := apply and fit.better:
            opened.use(fit.settings)
    had = (str(fit.had.fusion), fit.had.dense_weight)
    lines = [
        f"{fusion:8}{weight:6.2f}{value:8.3f}{'  as it is' * ((fusion, weight) == had)}"
        for place, (fusion, weight, value) in enumerate(fit.table)
        if place < 10 or (fusion, weight) == had
    ]
    lines += [f"Chosen without the question judged: nDCG@10 {fit.score}; above the settings it has: {fit.gain}"]
    bare = len(everything) - len(asked)
    lines += [
        f"{fit.used} of {len(everything)} questions used; left out: {bare} without gold, {fit.absent} of which the "
        "index holds no document."
    ]
    lines += [f"Not in the index: {', '.join(fit.unknown[:5])}{', ...' * (len(fit.unknown) > 5)}"] * bool(fit.unknown)
    better = "Nothing was changed; --apply keeps the best."
    stays = "Nothing was changed: no settings are better on unseen questions than those the index has."
    lines += ["Kept with the index." if applied else better if fit.better else stays]
    facts = {**asdict(fit), "questions": len(everything), "without_gold": bare, "applied": applied}
    show(facts, "\n".join(["fusion  weight nDCG@10", *lines]), as_json)


def measure(
    index: Folder,
    questions: Annotated[Path, typer.Argument(help="Questions, .jsonl as `evaluate run` reads.")],
    as_json: Json = False,
) -> None:
    """Measure the recall of approximate vector search with questions of your own, and search as deep as they ask."""
    from radrag.corpora import read_questions
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        found = opened.measure([one.text for one in read_questions(questions)])
    lines = [f"{one['rows']:12,} passages: {one['vectors'] or 'every vector is compared'}" for one in found]
    show(found, "\n".join(lines), as_json)
