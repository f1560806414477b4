"""Ask a folder of guidelines (Markdown, text, HTML, Word, PDF); every sentence of the answer names its source.

python examples/ask_my_guidelines.py [FOLDER] [--question "..."]

Without a folder it takes the guidelines that ship with radrag. It runs offline and needs no language model.
"""

import argparse
import tempfile
from pathlib import Path

import radrag as rr
from radrag.corpora import corpus_folder
from radrag.errors import RadragError

QUESTIONS = [
    "Must breastfeeding be interrupted after iodinated contrast?",
    "What radiation dose does a CT for kidney stones aim at?",
    "What is the capital of France?",
]


def main() -> None:
    """Index the folder and answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="folder of guidelines")
    parser.add_argument("--question", action="append", help="may be given several times")
    args = parser.parse_args()
    corpus = rr.read_folder(args.folder or corpus_folder("protocols"))
    for failure in corpus.failures:
        print(f"Not read: {failure.error}")
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        report = index.add(corpus.documents)
        print(f"{report['added']} guidelines, {len(index)} passages\n")
        for answer in rr.QAPipeline(index).batch(args.question or QUESTIONS):
            print(answer, end="\n\n")


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"ask_my_guidelines.py: {error}") from error
