"""Do rules see which side a study takes and where sources conflict; and does a prior for strong evidence do any good?

Sets of shipped digests that conflict, and that agree, are divided by a hash of their name: rules and weights were
chosen on one half and on PubMedQA's abstracts, read whole with their conclusions; the other half reports. BioASQ's
experts gave one answer to each of their questions, so that its gold documents count as agreeing.


python tests/benchmarks/qa_evidence.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import CachedEncoder, arguments, records, report
from evidence_sets import AGREEING, NO, SIDELESS, YES

import radrag as rr
from radrag.corpora import load_conflicts
from radrag.grounding.evidence_level import Design, evidence_level
from radrag.grounding.evidence_prior import prefer
from radrag.indexes.encoders import load_encoder
from radrag.metrics import auroc as auroc_of
from radrag.metrics import bootstrap, bootstrap_statistic, ndcg, paired_bootstrap, wilson
from radrag.pipelines.agreement import agreement
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.stance import TAKES_A_SIDE, stance
from radrag.types import Hit, Passage
from radrag.types.agreement import Agreement

SHARES = (0.05, 0.1, 0.2)
STRONG = (Design.REVIEW, Design.TRIAL, Design.GUIDELINE)
POOL_K = 30
HALVES = ("develop", "report")
Asked = tuple[str, str, int, list[str], list[Hit]]  # name, question, side (0: they conflict), documents, hits


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    reader = ExtractiveReader()
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add([*rr.load_protocols(), *rr.load_evidence()])
        sets = _sets(index)
        bioasq, pubmedqa = _bioasq(args), _pubmedqa(args)
        _stances(sets, bioasq, pubmedqa, reader, args)
        _conflicts(sets, bioasq, reader, args)
        _prior_shipped(index, args)
    _prior_pool(args)


def _half(name: str) -> str:
    return HALVES[int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2]


def _sets(index: rr.HybridIndex) -> dict[str, list[Asked]]:
    asked: dict[str, list[tuple[str, str, int, list[str]]]] = {
        "conflicting sets": [
            (one.id, one.question, 0, list(one.documents)) for one in load_conflicts() if one.kind == "conflict"
        ],
        "agreeing sets": [(name, text, side, [f"PMID:{one}" for one in ids]) for name, text, side, ids in AGREEING],
        "shipped questions": [
            (one.id, one.text, 1 if one.verdict == "yes" else -1, sorted({span.document_id for span in one.gold}))
            for one in rr.load_questions()
            if one.verdict in ("yes", "no") and one.gold[0].document_id.startswith("PMID:")
        ],
    }
    return {
        kind: [(*row, hits) for row, hits in zip(rows, index.search([row[1] for row in rows], k=8), strict=True)]
        for kind, rows in asked.items()
    }


def _hit(name: str, text: str, title: str = "") -> Hit:
    return Hit(Passage(name, 0, len(text), text, title=title), 1.0)


def _bioasq(args: argparse.Namespace) -> list[Asked]:
    pool = {str(record["pmid"]): record for record in records("abstracts_pool.jsonl.gz")}
    found: list[Asked] = []
    for record in records("bioasq_7b_9b.jsonl.gz"):
        if record["type"] != "yesno" or (args.quick and len(found) == 20):
            continue
        gold = [pool[str(pmid)] for pmid in record["pmids"] if str(pmid) in pool][:5]
        if len(gold) > 1:
            answer = record["exact_answer"]
            side = 1 if (answer if isinstance(answer, str) else answer[0]) == "yes" else -1
            hits = [_hit(f"PMID:{one['pmid']}", one["text"], one["title"] or "") for one in gold]
            found.append((record["id"], record["question"], side, [hit.passage.document_id for hit in hits], hits))
    return found


def _pubmedqa(args: argparse.Namespace) -> list[Asked]:
    found: list[Asked] = []
    for record in records("pubmedqa_dev500.jsonl.gz"):
        if record["answer"] != "maybe" and not (args.quick and len(found) == 20):
            name, side = f"PMID:{record['pmid']}", 1 if record["answer"] == "yes" else -1
            text = " ".join([*record["contexts"], record["long_answer"]])
            found.append((str(record["pmid"]), record["question"], side, [name], [_hit(name, text)]))
    return found


def _stances(
    sets: dict[str, list[Asked]], bioasq: list[Asked], pubmedqa: list[Asked], reader: ExtractiveReader,
    args: argparse.Namespace,
) -> None:  # fmt: skip
    rows = []
    for kind, items in {**sets, "BioASQ yes/no": bioasq, "PubMedQA": pubmedqa}.items():
        for half in HALVES if kind in sets else ("all",):
            judged = [
                row for item in items if half in ("all", _half(item[0])) for row in _judged(item, reader) if row[0]
            ]
            gold, said = np.asarray([one for one, _ in judged]), np.asarray([one for _, one in judged])
            sides = [
                f"{wilson(int((gold[taken] == side).sum()), int(taken.sum()))}" if taken.sum() else "none"
                for side, taken in ((1, said > TAKES_A_SIDE), (-1, said < -TAKES_A_SIDE))
            ]
            both = len(set(gold.tolist())) > 1
            area = bootstrap_statistic(((gold > 0).astype(int), said), auroc_of, seed=0) if both else "one side only"
            rows.append([kind, half, len(gold), int((gold > 0).sum()), area, *sides])
    title = "Side of a document, read alone: AUROC, and share right of those read as an effect and as none"
    report(title, ["documents of", "half", "n", "towards yes", "AUROC", "effect", "none"], rows, args)


def _judged(item: Asked, reader: ExtractiveReader) -> Iterable[tuple[int, float]]:
    name_of_set, question, side, names, hits = item
    for name in names if name_of_set != SIDELESS else ():
        own = [hit for hit in hits if hit.passage.document_id == name]
        number = int(name.removeprefix("PMID:"))
        if own:
            gold = side or int(number in YES) - int(number in NO)
            yield gold, stance(question, reader.scored(question, own), reader.rarity)


def _conflicts(
    sets: dict[str, list[Asked]], bioasq: list[Asked], reader: ExtractiveReader, args: argparse.Namespace
) -> None:
    rows = []
    flagged: dict[str, list[int]] = {}
    for kind, items in {**sets, "BioASQ yes/no": bioasq}.items():
        for half in HALVES if kind in sets else ("all",):
            seen = [_seen(item, reader).conflict for item in items if half in ("all", _half(item[0]))]
            rows.append([kind, half, len(seen), sum(seen), wilson(sum(seen), len(seen))])
            flagged.setdefault(half, []).append(sum(seen))
    for half in HALVES:
        true, total = flagged[half][0], sum(flagged[half])
        if total:
            rows.append(["of those said to conflict, do", half, total, true, wilson(true, total)])
    title = "Said to conflict: searched in the shipped corpora; BioASQ in its gold documents"
    report(title, ["questions", "half", "n", "said to", "share"], rows, args)


def _seen(item: Asked, reader: ExtractiveReader) -> Agreement:
    return agreement(item[1], item[4], reader, counts=lambda name: name.startswith("PMID:"))


def _prior_shipped(index: rr.HybridIndex, args: argparse.Namespace) -> None:
    questions = [one for one in rr.load_questions() if one.answerable][: 40 if args.quick else None]
    strength = _strength(index.document)
    found = index.search([one.text for one in questions], k=POOL_K)
    plain, rows = _figures(questions, found, 0.0, strength, index), []
    for share in SHARES:
        for name, values in _figures(questions, found, share, strength, index).items():
            before = plain[name]
            rows.append([share, name, bootstrap(before, seed=0), bootstrap(values, seed=0), _gain(values, before)])
    columns = ["prior", "figure", "without", "with", "gain, paired"]
    report(f"Prior for strong evidence: shipped questions, {len(index)} passages", columns, rows, args)


def _strength(document: Callable[[str], rr.Document]) -> Callable[[str], float]:
    known: dict[str, float] = {}

    def strength(name: str) -> float:
        if name not in known:
            known[name] = evidence_level(document(name)).weight
        return known[name]

    return strength


def _figures(
    questions: Sequence[rr.Question], found: Sequence[Sequence[Hit]], share: float, strength: Callable[[str], float],
    index: rr.HybridIndex,
) -> dict[str, Any]:  # fmt: skip
    reader = ExtractiveReader()
    gold, right, strong = [], [], []
    for question, hits in zip(questions, found, strict=True):
        # Eight are kept, as a pipeline does; a few more are found, so that one just below can come up.
        first = prefer(hits[:12], strength, share)[:8]
        gold.append(float(any(_holds(hit, question) for hit in first[:5])))
        strong.append(np.mean([_strong(index.document(hit.passage.document_id)) for hit in first[:3]]))
        if question.verdict in ("yes", "no", "maybe"):
            draft = reader.read([question.text], [first])[0]
            right.append(float(draft.verdict is not None and draft.verdict.answer == question.verdict))
    return {
        "gold passage in first 5": np.asarray(gold),
        "verdict right": np.asarray(right),
        "review, trial or guideline among first 3": np.asarray(strong),
    }


def _holds(hit: Hit, question: rr.Question) -> bool:
    passage = hit.passage
    return any(
        (passage.document_id == gold.document_id and passage.start < gold.end and gold.start < passage.end)
        or " ".join(gold.quote.split()) in " ".join(passage.text.split())
        for gold in question.gold
    )


def _strong(document: rr.Document) -> bool:
    return evidence_level(document).design in STRONG


def _gain(values: Any, before: Any) -> Any:
    """Return the paired gain, or that there is none to draw an interval of."""
    return "none" if np.array_equal(values, before) else paired_bootstrap(values, before, seed=0)


def _prior_pool(args: argparse.Namespace) -> None:
    pool = {
        f"PMID:{one['pmid']}": rr.Document(f"PMID:{one['pmid']}", one["text"], one["title"] or "", kind="abstract")
        for place, one in enumerate(records("abstracts_pool.jsonl.gz"))
        if not args.quick or place < 3000
    }
    sources = {
        "BioASQ 7b-9b": [
            (one["question"], {f"PMID:{pmid}" for pmid in one["pmids"]}) for one in records("bioasq_7b_9b.jsonl.gz")
        ],
        "PubMedQA": [(one["question"], {f"PMID:{one['pmid']}"}) for one in records("pubmedqa_dev500.jsonl.gz")],
    }
    strength, rows = _strength(pool.__getitem__), []
    with tempfile.TemporaryDirectory() as folder:
        encoder = CachedEncoder(load_encoder("static"))
        with rr.HybridIndex.create(Path(folder) / "index", encoder=encoder) as index:
            index.add(pool.values())
            for source, items in sources.items():
                asked = [(text, gold & pool.keys()) for text, gold in items if gold & pool.keys()]
                found = [index.search(text, k=POOL_K) for text, _ in asked]
                if len(asked) < 2:
                    continue  # a --quick pool may hold no gold document of a source
                wanted = [gold for _, gold in asked]
                before = _pool_figures(found, wanted, 0.0, strength, pool)
                for share in SHARES:
                    for name, values in _pool_figures(found, wanted, share, strength, pool).items():
                        both = (bootstrap(one, seed=0) for one in (before[name], values))
                        rows.append([source, len(asked), share, name, *both, _gain(values, before[name])])
    columns = ["questions", "n", "prior", "figure", "without", "with", "gain, paired"]
    report(f"Prior for strong evidence: development pool of {len(pool):,} documents", columns, rows, args)


def _pool_figures(
    found: Sequence[Sequence[Hit]], wanted: Sequence[set[str]], share: float, strength: Callable[[str], float],
    pool: dict[str, rr.Document],
) -> dict[str, Any]:  # fmt: skip
    runs = [
        list(dict.fromkeys(hit.passage.document_id for hit in [*prefer(hits[:15], strength, share), *hits[15:]]))
        for hits in found
    ]
    return {
        "nDCG@10": np.asarray([ndcg(run, gold, k=10) for run, gold in zip(runs, wanted, strict=True)]),
        "review, trial or guideline among first 3": np.asarray(
            [np.mean([_strong(pool[name]) for name in run[:3]]) for run in runs]
        ),
    }


if __name__ == "__main__":
    main()
