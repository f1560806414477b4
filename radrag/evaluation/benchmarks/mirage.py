"""MIRAGE (Xiong et al., arXiv 2402.13178): five sets of questions with options, ``benchmark.json``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from radrag.errors import CorpusError
from radrag.evaluation.benchmarks.choices import ChoiceQuestion
from radrag.evaluation.benchmarks.files import field, read_json

DATASETS = ("mmlu", "medqa", "medmcqa", "pubmedqa", "bioasq")
NOTICE = (
    "MIRAGE gathers MMLU-Med, MedQA-US, MedMCQA, PubMedQA* and BioASQ-Y/N; each stays under its own terms. BioASQ asks "
    "for registration. Get benchmark.json from github.com/Teddy-XiongGZ/MIRAGE; nothing of it is kept here."
)


def read_mirage(
    path: str | Path, datasets: Iterable[str] | None = None, *, sha256: str | None = None
) -> tuple[tuple[ChoiceQuestion, ...], str]:
    """Read ``benchmark.json``.

    Args:
        path: The file: datasets by name, each of questions by id with ``question``, ``options`` and ``answer``.
        datasets: Those to read; all of ``DATASETS`` that it has if left out.
        sha256: What the file's hash must be; None takes any.

    Returns:
        The questions in the order of datasets and then of ids, as the benchmark's program takes them, each named
        ``dataset/id``; and the sha256 of the file. A ``PMID`` that a question was made from becomes its document.

    Raises:
        CorpusError: If the file is something else.
        ValueError: If a dataset is not in it.
    """
    value, digest = read_json(path, sha256)
    if not isinstance(value, dict) or not set(DATASETS) & value.keys():
        raise CorpusError(f"expected an object of the datasets {', '.join(DATASETS)}", file=path)
    names = [name for name in DATASETS if name in value] if datasets is None else list(datasets)
    if unknown := [name for name in names if name not in value]:
        raise ValueError(f"{path} has no dataset {unknown[0]!r}, expected one of {', '.join(value)}")
    made = []
    for name in names:
        made += [_question(name, id, value[name][id], path) for id in sorted(field(value, name, dict, path, name))]
    return tuple(made), digest


def _question(dataset: str, id: str, record: object, path: str | Path) -> ChoiceQuestion:
    name = f"{dataset}/{id}"
    text, options = field(record, "question", str, path, name), field(record, "options", dict, path, name)
    if not text.strip() or not all(isinstance(option, str) for option in options.values()):
        raise CorpusError("question and options must be texts", file=path, record=name)
    known = record.get("PMID", []) if isinstance(record, dict) else []
    documents = tuple(f"PMID:{one}" for one in (known if isinstance(known, list) else [known]))
    try:
        return ChoiceQuestion(name, text, options, field(record, "answer", str, path, name), dataset, documents)
    except ValueError as error:
        raise CorpusError(str(error), file=path, record=name) from error
