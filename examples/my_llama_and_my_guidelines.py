"""A Llama with a LoRA adapter, and guidelines: labels by likelihood, and answers it writes from what was found.

python examples/my_llama_and_my_guidelines.py [--model NAME_OR_PATH] [--adapter NAME_OR_PATH] [--guidelines FOLDER]

Needs ``pip install radrag[llama]``. Without options it runs offline on the small Llama that ships; that one is a few
million weights tuned to name protocols. It cannot write answers worth reading, so what it writes is mostly refused.
"""

import argparse
import tempfile
from pathlib import Path

import radrag as rr
from radrag.corpora import corpus_folder
from radrag.errors import RadragError

NOTE = "Notes: r/o stone. History: 35M with left flank pain and hematuria"
QUESTION = "Must breastfeeding be interrupted after iodinated contrast?"


def main() -> None:
    """Label a note and answer a question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small-llama", help="such as meta-llama/Llama-3.1-8B-Instruct")
    parser.add_argument("--adapter", help="left out, the one that ships for small-llama, and none for others")
    parser.add_argument("--quantize", choices=["nf4"], help="load the weights in 4 bits")
    parser.add_argument("--guidelines", type=Path, help="folder of *.md files")
    parser.add_argument("--note", default=NOTE)
    parser.add_argument("--question", default=QUESTION)
    args = parser.parse_args()
    small = args.model == "small-llama"
    adapter = args.adapter or ("small-llama-protocols" if small else None)
    offline = small or Path(args.model).exists()
    llama = rr.LlamaGenerator(args.model, adapter, quantize=args.quantize, local_files_only=offline)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.read_markdown(args.guidelines or corpus_folder("protocols")))
        labels = rr.LabelSet.from_protocols(index.documents())
        label = rr.LabelPipeline(index, llama, labels=labels, tuned=adapter is not None)
        print(label(args.note), end="\n\n")
        params = rr.GenerationParams(max_new_tokens=64 if small else 512)
        print(rr.QAPipeline(index, llama, k=1 if small else 8, params=params)(args.question))


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"my_llama_and_my_guidelines.py: {error}") from error
