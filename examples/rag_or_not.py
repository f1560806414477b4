"""Does retrieval help? The same pipeline with and without it on the same questions, paired, with intervals.

python examples/rag_or_not.py [--questions N] [--out NAME]

Writes NAME.json and NAME.md (rag_or_not.json and rag_or_not.md). It runs offline on the questions that ship.
"""

import argparse
import json
import tempfile
from pathlib import Path

import radrag as rr
from radrag.errors import RadragError


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, help="only the first N")
    parser.add_argument("--out", type=Path, default=Path("rag_or_not"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        qa = rr.QAPipeline(index)
        comparison = rr.compare(qa, qa.without_retrieval(), rr.load_questions()[: args.questions])
    args.out.with_suffix(".json").write_text(json.dumps(comparison.to_dict(), indent=1) + "\n", encoding="utf-8")
    args.out.with_suffix(".md").write_text(comparison.to_markdown(), encoding="utf-8")
    print(comparison)


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"rag_or_not.py: {error}") from error
