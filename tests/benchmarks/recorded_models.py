"""GPT-3.5 and GPT-4 on BioASQ yes/no 7b-9b from their recorded outputs, with 32 snippets and without, paired.

By the benchmark's rule (MIRAGE: the letter after ``"answer_choice": "``, the first option where none is found) and read
strictly (``radrag.reading.forms``: an output that does not name one option wholly is no answer, and wrong). The rule is
checked, output by output, against the letters that the file says the benchmark's own program read.

python tests/benchmarks/recorded_models.py [--quick] [--json FILE]
"""

from __future__ import annotations

import sys

from common import DATA, arguments, report

from radrag.evaluation.benchmarks import Recordings, benchmark_letter, recorded_systems
from radrag.evaluation.benchmarks.recorded import recorded_tables

FILE = "recorded_llm_outputs_bioasq_7b_9b.jsonl.gz"
NO_ANSWER = "-"


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    path = DATA / FILE
    if not path.is_file():
        sys.exit(f"{path} is not there. Set RADRAG_DATA to the folder of development data (see CONTRIBUTING.md).")
    data = recorded_systems(path)
    differ = _differences(data)
    outputs = sum(map(len, data.given_letters.values()))
    report("The rule against the benchmark's own program", ["outputs", "read otherwise"], [[outputs, differ]], args)
    for table in recorded_tables(data, "cot"):
        report(f"{table.title}: {len(data.questions)} questions", table.columns, table.rows, args)
    if differ:
        raise SystemExit(f"{differ} of {outputs} outputs are read otherwise than by the benchmark's program")


def _differences(data: Recordings) -> int:
    differ = 0
    for key, letters in data.given_letters.items():
        for id, letter in letters.items():
            found = data.generators[key].by_id(id)
            differ += letter != (NO_ANSWER if found is None else benchmark_letter(found.text))
    return differ


if __name__ == "__main__":
    main()
