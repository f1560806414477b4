"""The small Llama that ships, on the hand-written protocol notes: base, QLoRA adapter, adapter with retrieval.

A reply counts if it is exactly the label's id, or that of another label that is right for the note. "Greedy" is the
reply that the model writes; "likelihood" takes the id that it finds most likely as a whole reply, its end of turn
included: without the end, an id that is the beginning of another could only win. Log-probabilities are not divided by
length: an id is a reply like any other, and both columns answer the same question only if nothing is divided.

``--methods`` also tunes, for a fixed number of steps each, a task adapter on the base and one on a domain adapter
(Gema et al., arXiv 2307.03042), and corrects an adapter by preference pairs made of its errors on the calibration notes
(Rafailov et al., arXiv 2305.18290).

python tests/benchmarks/small_llama.py [--quick] [--greedy] [--methods] [--base NAME] [--adapter NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, report
from numpy.typing import NDArray
from rich.progress import track
from small_llama_methods import compare_methods

import radrag as rr
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.text_model import TextModel
from radrag.labelling.writer import EXAMPLES, Writer
from radrag.metrics import bootstrap, mcnemar, paired_bootstrap

Notes = Sequence[rr.LabelledNote]
Right = NDArray[np.float64]
_BLOCK = 32


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--base", default="small-llama")
    parser.add_argument("--adapter", default="small-llama-protocols")
    parser.add_argument("--split", default="test", choices=["test", "calibration"])
    parser.add_argument("--greedy", action="store_true", help="no likelihoods, which take most of the time")
    parser.add_argument("--methods", action="store_true", help="also two-step against single-step, and DPO against SFT")
    args = parser.parse_args()
    train, test = rr.load_notes("train"), rr.load_notes(args.split)
    if args.quick:
        test = [test[row] for row in sorted(np.random.default_rng(0).choice(len(test), 40, replace=False))]
    labels = rr.LabelSet.from_protocols(rr.load_protocols())
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        made = _systems(args, index, labels, train, test)
    where = f"{len(test)} hand-written {args.split} notes, {len(labels)} labels"
    where += ", greedy in both columns" if args.greedy else ""
    _table(where, made, args)
    if args.methods:
        compare_methods(args)


def _systems(
    args: argparse.Namespace, index: rr.HybridIndex, labels: rr.LabelSet, train: Notes, test: Notes
) -> dict[str, dict[str, Right]]:
    true = np.asarray([labels.ids.index(note.label) for note in train])
    linear = TextModel.fit([note.text for note in train], true, len(labels))
    texts = [note.text for note in test]
    kept = Neighbours([note.text for note in train], true, len(labels), index.encoder)
    shown = [
        [(kept.notes[row], labels.ids[kept.true[row]]) for row, _ in reversed(hits)]
        for hits in kept.nearest(texts, EXAMPLES)
    ]
    votes = _right(labels, test, kept.scores(texts))
    made = {"linear text model": {"likelihood": _right(labels, test, linear.scores(texts))}}
    made["similar notes, voting"] = {"likelihood": votes}
    for name, adapter, quantize, tuned in (
        ("base without adapter, NF4", None, "nf4", True),
        ("QLoRA adapter, NF4", args.adapter, "nf4", True),
        ("QLoRA adapter, NF4, with retrieval", args.adapter, "nf4", "examples"),
        ("QLoRA adapter, full precision", args.adapter, None, True),
    ):
        llama = rr.LlamaGenerator(args.base, adapter, quantize=quantize, batch_size=_BLOCK, local_files_only=True)
        writer = Writer(llama, labels, tuned=tuned)  # type: ignore[arg-type]
        found = index if tuned == "examples" else None
        room = max(len(llama.reply_tokens(id)) for id in labels.ids)
        replies: list[str] = []
        scores: list[NDArray[np.float64]] = []
        for start in track(range(0, len(texts), _BLOCK), name, transient=True):
            part, near = texts[start : start + _BLOCK], shown[start : start + _BLOCK]
            chats = writer.chats(part, near, found)
            replies += [one.text for one in llama.generate(chats, rr.GenerationParams(max_new_tokens=room))]
            if not args.greedy:
                scores.append(np.asarray(llama.score(chats, list(labels.ids))))
        greedy = [float(reply in {note.label, *note.also}) for reply, note in zip(replies, test, strict=True)]
        strange = sum(reply not in labels.ids for reply in replies)
        likely = _right(labels, test, np.concatenate(scores)) if scores else np.asarray(greedy)
        made[name] = {"greedy": np.asarray(greedy), "likelihood": likely, "strange": np.asarray([strange])}
    return made


def _right(labels: rr.LabelSet, notes: Notes, scores: NDArray[np.float64]) -> Right:
    chosen = [labels.ids[row] for row in scores.argmax(axis=1)]
    return np.asarray([float(id in {note.label, *note.also}) for id, note in zip(chosen, notes, strict=True)])


def _table(where: str, made: dict[str, dict[str, Right]], args: argparse.Namespace) -> None:
    rows: list[list[Any]] = []
    for name, one in made.items():
        greedy = bootstrap(one["greedy"], seed=0) if "greedy" in one else ""
        strange = int(one["strange"][0]) if "strange" in one else ""
        rows.append([name, greedy, bootstrap(one["likelihood"], seed=0), strange])
    report(f"Small Llama: {where}", ["system", "greedy", "likelihood", "replies that are no label"], rows, args)
    adapter, rag = made["QLoRA adapter, NF4"], made["QLoRA adapter, NF4, with retrieval"]
    pairs = [
        ("retrieval - none, likelihood", rag["likelihood"], adapter["likelihood"]),
        ("retrieval - none, greedy", rag["greedy"], adapter["greedy"]),
        ("adapter - linear text model", adapter["likelihood"], made["linear text model"]["likelihood"]),
        ("adapter with retrieval - linear text model", rag["likelihood"], made["linear text model"]["likelihood"]),
        ("adapter with retrieval - votes", rag["likelihood"], made["similar notes, voting"]["likelihood"]),
        ("adapter - base", adapter["likelihood"], made["base without adapter, NF4"]["likelihood"]),
        ("NF4 - full precision", adapter["likelihood"], made["QLoRA adapter, full precision"]["likelihood"]),
        ("greedy - likelihood", adapter["greedy"], adapter["likelihood"]),
        ("greedy - likelihood, with retrieval", rag["greedy"], rag["likelihood"]),
    ]
    differences = [[name, paired_bootstrap(a, b, seed=0), mcnemar(a, b).p_value] for name, a, b in pairs]
    report(f"Differences, paired: {where}", ["", "difference", "p (McNemar)"], differences, args)


if __name__ == "__main__":
    main()
