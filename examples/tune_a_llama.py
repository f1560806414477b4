"""Tune a Llama on labelled notes: plan, train, before and after, merge, RAG against no RAG, label a note.

python examples/tune_a_llama.py [--model NAME_OR_PATH] [--notes notes.csv] [--out FOLDER] [--steps N] [--tiny]

Needs ``pip install radrag[train]``. The CSV has columns ``note`` and ``label`` (ids of shipped guidelines). Without
options it runs offline on what ships; --tiny --steps 20 takes a minute. GPU: --model LLAMA --preset protocol-labels.
"""

import argparse
import random
import tempfile
from pathlib import Path

import radrag as rr
from radrag.errors import RadragError
from radrag.generation._loading import Source, load_tokenizer
from radrag.training import grouped_split, label_accuracy, load_preset, merge, plan_run, train_qlora
from radrag.training.small_llama import protocol_records

OPTIONS = {"model": "small-llama", "preset": "small-llama-protocols", "notes": "", "out": "tuned", "steps": 600}
TINY = ("ct-stone", "ct-urography", "mr-iac", "mr-knee", "us-leg-veins")


def split_notes(path: str, tiny: bool) -> list[list[rr.LabelledNote]]:
    """Return notes to tune on, to calibrate on, and to test on; no group of notes is in two of them."""
    if path:
        rest, test = grouped_split(list(rr.read_labelled_notes(path, text="note")), 0.2)
        return [*grouped_split(rest, 0.25), test]
    parts = [[n for n in rr.load_notes(s) if not tiny or n.label in TINY] for s in ("train", "calibration", "test")]
    return [random.Random(0).sample(parts[0], 80 if tiny else 3000), *parts[1:]]


def main() -> None:
    """Tune, compare, merge, label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in OPTIONS.items():
        parser.add_argument(f"--{name}", default=usual, type=type(usual))
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    train, calibration, test = split_notes(args.notes, args.tiny)
    own = {"base": args.model, "dtype": "none", "max_length": 1024, "packing": True, "batch": 2}
    preset = load_preset(args.preset, {**own, "steps": args.steps})
    records = protocol_records(train)  # notes alone, and with similar notes and fitting guidelines, as RAG shows them
    print(plan_run(preset, records=records, tokenizer=load_tokenizer(Source(args.model))))
    tuned = train_qlora(args.model, records, Path(args.out) / "adapter", preset.tuning)
    print(f"\nTuned: {tuned.steps} steps, {tuned.seconds:.0f} s, loss {tuned.first_loss:.2f} -> {tuned.last_loss:.2f}")
    for when, adapter in (("before", None), ("after", tuned.folder)):
        print(f"Exact match {when}: {label_accuracy(args.model, adapter, [*calibration, *test], preset.tuning)}")
    merged = merge(args.model, tuned.folder, Path(args.out) / "merged")
    print(f"Merged: log-probabilities differ by {merged.difference:.1g} at most (allowed {merged.tolerance:g})\n")
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        kinds = {note.label for note in (*train, *calibration, *test)}
        labels = rr.LabelSet.from_protocols(d for d in index.documents() if d.id in kinds)
        rag = rr.LabelPipeline(index, rr.LlamaGenerator(merged.folder), labels=labels, tuned="examples")
        rag.fit(train, calibration)  # calibrated on notes that the model was not tuned on
        print(rr.compare(rag, rag.without_retrieval(), test), rag(test[0].text), sep="\n\n")


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"tune_a_llama.py: {error}") from error
