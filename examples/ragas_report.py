"""Score a pipeline's answers with RAGAS, without a judge or with any: what was not scored is counted, by kind.

python examples/ragas_report.py [--questions N] [--url URL --model NAME [--key-env VARIABLE]] [--out NAME]

Without --url it runs offline, with the metrics that need no model. With it, an OpenAI-compatible server at that
address (vLLM, Ollama, llama.cpp, a paid service) judges too: it first has to tell true statements about shipped digests
from false ones. Writes NAME.json and NAME.md (ragas_report.json and ragas_report.md). Needs the ragas extra.
"""

import argparse
import json
import tempfile
from pathlib import Path

import radrag as rr
from radrag.errors import RadragError
from radrag.evaluation.chat_server import ChatServer
from radrag.evaluation.ragas_runs import evaluate_ragas


def main() -> None:
    """Answer, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, help="only the first N")
    parser.add_argument("--url", help="address of a judge, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="", help="name of the model there")
    parser.add_argument("--key-env", help="environment variable that holds the server's key")
    parser.add_argument("--max-tokens", type=int, default=500_000, help="budget of the judge")
    parser.add_argument("--out", type=Path, default=Path("ragas_report"))
    args = parser.parse_args()
    judge = ChatServer(args.url, args.model, key_env=args.key_env) if args.url else None
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        questions = rr.load_questions()[: args.questions]
        report = evaluate_ragas(rr.QAPipeline(index), questions, judge, max_tokens=args.max_tokens)
    args.out.with_suffix(".json").write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    args.out.with_suffix(".md").write_text(report.to_markdown(), encoding="utf-8")
    print(report)


if __name__ == "__main__":
    try:
        main()
    except (RadragError, OSError, ValueError) as error:
        raise SystemExit(f"ragas_report.py: {error}") from error
