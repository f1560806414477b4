"""A file of any size: label it row by row, with errors in their rows, and go on where a kill stopped it.

python examples/label_a_file.py [--source notes.csv] [--text note] [--out labels.jsonl]

The file may be .csv, .jsonl (or these with .gz) or .parquet. Without one it writes itself a small one with two rows
that cannot be labelled.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import radrag as rr
from radrag.errors import RadragError
from radrag.labelling.batches import BatchProgress, predict_file


def write_sample(path: Path, notes: list[str]) -> None:
    """Write a CSV with a blank note and a row that lacks a column."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["accession", "note"])
        writer.writerows([f"A{number}", note] for number, note in enumerate([*notes, " "]))
        writer.writerow(["A999"])


def told(progress: BatchProgress) -> None:
    """Show how far it is."""
    print(f"  {progress.rows:,} rows, {progress.errors} with an error, {progress.rate:,.0f} a second")


def main() -> None:
    """Fit on shipped notes, label the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--text", default="note")
    parser.add_argument("--out", type=Path, default=Path("labels.jsonl"))
    args = parser.parse_args()
    kinds = ("ct-stone", "ct-urography", "mr-iac", "mr-knee", "us-leg-veins")
    known = [note for note in rr.load_notes("train") if note.label in kinds]
    if args.source is None:
        args.source = Path("new_notes.csv")
        write_sample(args.source, [note.text for note in known[5::20]])
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(document for document in rr.load_protocols() if document.id in kinds)
        labels = rr.LabelSet.from_protocols(index.documents())
        pipeline = rr.LabelPipeline(index, None, labels=labels).fit(known[::10])
        summary = predict_file(pipeline, args.source, args.out, text=args.text, batch=16, progress=told)
    print(f"{summary}\nmade from {args.source.name}, sha256 {summary.manifest['source']['sha256'][:12]}")


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"label_a_file.py: {error}") from error
