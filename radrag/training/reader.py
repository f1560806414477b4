"""Questions that the small models of question answering are fitted on: PubMedQA's labelled ones, and MedQuAD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radrag.corpora.rows import Row, json_rows
from radrag.types import VERDICTS

Records = list[dict[str, Any]]


def read_pubmedqa(path: str | Path) -> Records:
    """Read questions: JSON Lines with pmid, question, contexts (paragraphs) and answer (yes, no or maybe).

    The conclusion of the abstract, long_answer, is kept where a record has it.
    """
    found = []
    for row in json_rows(Path(path)):
        if row.string("answer") not in VERDICTS:
            row.fail(f"expected one of {', '.join(VERDICTS)}", "answer")
        contexts = check_contexts(row)
        names = ("pmid", "question", "answer", *(("long_answer",) if "long_answer" in row.values else ()))
        found.append({"contexts": contexts, **{name: row.string(name) for name in names}})
    return found


def check_contexts(row: Row) -> list[str]:
    """Return the paragraphs of a question's abstract."""
    contexts = row.need("contexts")
    if not isinstance(contexts, list) or not all(isinstance(part, str) for part in contexts):
        row.fail("expected a list of paragraphs", "contexts")
    return contexts


def read_medquad(path: str | Path) -> Records:
    """Read questions with answers: JSON Lines with question, answer and focus (what the question is about)."""
    return [{name: row.string(name) for name in ("question", "answer", "focus")} for row in json_rows(Path(path))]
