"""My CSV and fifty labelled notes: learn from the one, label the other, and cite note and guideline.

python examples/label_my_csv.py [--labelled notes.csv] [--unlabelled new.csv] [--out labels.csv]

Both have a column ``note``, the first also ``label`` (ids of shipped guidelines). Without them it writes itself some.
"""

import argparse
import csv
import random
import tempfile
from pathlib import Path

import radrag as rr
from radrag.corpora.rows import csv_rows
from radrag.errors import RadragError


def write_samples(labelled: Path, unlabelled: Path) -> None:
    """Write small files of the right form."""
    kinds, draw = ("ct-stone", "ct-urography", "mr-iac", "mr-knee", "us-leg-veins"), random.Random(0)
    chosen = draw.sample([note for note in rr.load_notes("train") if note.label in kinds], 60)
    _write(labelled, ["note", "label"], [[note.text, note.label] for note in chosen[:50]])
    _write(unlabelled, ["note"], [[note.text] for note in chosen[50:]])


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def main() -> None:
    """Fit, label, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--labelled", "--unlabelled"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, default=Path("labels.csv"))
    args = parser.parse_args()
    if args.labelled is None or args.unlabelled is None:
        if args.labelled or args.unlabelled:
            parser.error("give both --labelled and --unlabelled, or neither")
        args.labelled, args.unlabelled = Path("fifty_notes.csv"), Path("new_notes.csv")
        write_samples(args.labelled, args.unlabelled)
    examples = list(rr.read_labelled_notes(args.labelled, text="note"))
    new = [row.filled("note") for row in csv_rows(args.unlabelled)] or parser.error(f"{args.unlabelled} holds no note")
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        labels = rr.LabelSet.from_protocols(d for d in index.documents() if d.id in {e.label for e in examples})
        results = rr.LabelPipeline(index, labels=labels).fit(examples).batch(new)
    rows = []
    for result in results:
        cited = "; ".join(f"{c.document_id}:{c.start}-{c.end} {' '.join(c.quote.split())}" for c in result.citations)
        said = "; ".join(span.text for span in result.evidence)
        rows.append([result.note, result.label, f"{result.probability:.3f}", said, cited])
    _write(args.out, ["note", "label", "probability", "evidence", "citation"], rows)
    print(f"learnt from {len(examples)} notes, labelled {len(new)}: {args.out}\n\n{results[0]}")


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"label_my_csv.py: {error}") from error
