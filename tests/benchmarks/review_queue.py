"""How many wrong labels a reviewer finds in the first notes of the queue: labels planted in shipped made notes.

Of the notes, 6 % get another label: half of them one that the guideline names as a sibling, half any other. A second
copy with another label is planted beside 1 % more. Compared at the same number of notes read: the queue, cleanlab's
order alone, the least probable given label first, and chance.

    python tests/benchmarks/review_queue.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from radrag.corpora import load_notes, load_protocols
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.loop import IssueKind, find_label_issues, out_of_fold, review_queue
from radrag.metrics.slices import wilson
from radrag.pipelines.label import LabelPipeline
from radrag.types import LabelledNote


def planted(
    notes: list[LabelledNote], siblings: dict[str, list[str]], seed: int
) -> tuple[list[LabelledNote], set[str]]:
    """Return notes of which some have a wrong label, and the names of those."""
    rng = np.random.default_rng(seed)
    names = sorted(siblings)
    order = rng.permutation(len(notes)).tolist()
    wrong_count, copies = round(0.06 * len(notes)), round(0.01 * len(notes))
    found, wrong = list(notes), set()
    for place, row in enumerate(order[:wrong_count]):
        note = notes[row]
        near = [name for name in siblings[note.label] if name in siblings]
        others = near if place % 2 and near else [name for name in names if name != note.label]
        found[row] = LabelledNote(note.text, str(rng.choice(others)), note.id, note.group)
        wrong.add(note.id)
    for row in order[wrong_count : wrong_count + copies]:
        note = notes[row]
        label = str(rng.choice([name for name in names if name != note.label]))
        found.append(LabelledNote(note.text.upper(), label, f"{note.id}-copy", note.group))
        wrong.add(f"{note.id}-copy")
    return found, wrong


def share(order: list[str], wrong: set[str], read: int) -> dict[str, Any]:
    """Return the share of the first notes that are wrong, and of the wrong that are among them."""
    hits = sum(name in wrong for name in order[:read])
    return {"precision": asdict(wilson(hits, read)), "recall": asdict(wilson(hits, len(wrong)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size = 500 if arguments.quick else 3000
    rng = np.random.default_rng(arguments.seed)
    every = load_notes("train")
    chosen = [every[row] for row in sorted(rng.choice(len(every), size, replace=False))]
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        protocols = list(load_protocols())
        index.add(protocols)
        labels = LabelSet.from_protocols(protocols)
        siblings = {document.id: list(document.metadata.get("siblings", [])) for document in protocols}
        notes, wrong = planted(chosen, siblings, arguments.seed)
        start = time.perf_counter()
        results = out_of_fold(
            notes, lambda some: LabelPipeline(index, None, labels=labels).fit(some), seed=arguments.seed
        )
        seconds = {"out_of_fold": time.perf_counter() - start}
    start = time.perf_counter()
    issues = find_label_issues(notes, results)
    seconds["find_label_issues"] = time.perf_counter() - start
    start = time.perf_counter()
    queue = review_queue(notes, results, issues.issues)
    seconds["review_queue"] = time.perf_counter() - start
    given = [dict(result.ranking)[note.label] for note, result in zip(notes, results, strict=True)]
    least = [notes[row].id for row in np.argsort(given, kind="stable").tolist()]
    cleanlab = [issue.note_id for issue in issues.issues if issue.kind is IssueKind.CONFIDENT_LEARNING]
    chance = [notes[row].id for row in rng.permutation(len(notes)).tolist()]
    orders = {
        "queue": [row.note_id for row in queue],
        "cleanlab alone": cleanlab + [name for name in least if name not in set(cleanlab)],
        "least probable label first": least,
        "chance": chance,
    }
    reads = [len(wrong) // 2, len(wrong), 2 * len(wrong)]
    figures = {name: {str(read): share(order, wrong, read) for read in reads} for name, order in orders.items()}
    suggested = {row.note_id: row.suggested for row in queue}
    true = {note.id: note.label for note in chosen} | {f"{note.id}-copy": note.label for note in chosen}
    right = sum(suggested[name] == true[name] for name in wrong)
    kinds = {
        kind.value: {
            "issues": sum(issue.kind is kind for issue in issues.issues),
            "wrong": sum(issue.kind is kind and issue.note_id in wrong for issue in issues.issues),
        }
        for kind in IssueKind
    }
    print(f"{len(notes)} notes, {len(wrong)} with a planted wrong label, seed {arguments.seed}; {seconds}")
    for name, values in figures.items():
        for read, value in values.items():
            recall = value["recall"]
            print(
                f"{name:28} first {read:>4}: precision {value['precision']['value']:.3f}, "
                f"recall {recall['value']:.3f} [{recall['low']:.3f}, {recall['high']:.3f}]"
            )
    print(f"suggested label right for {right} of {len(wrong)} wrong notes; {kinds}")
    if arguments.json:
        value = {"notes": len(notes), "wrong": len(wrong), "seed": arguments.seed, "seconds": seconds}
        value |= {"orders": figures, "suggested_right": right, "kinds": kinds}
        arguments.json.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
