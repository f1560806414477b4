"""The corpora that ship with radrag: found in an installed wheel or in a checkout, and checked against their cards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from radrag.corpora.cards import file_problem, load_card
from radrag.corpora.claims import DocumentQuestion, LabelledClaim, read_claims, read_document_questions
from radrag.corpora.guidelines import read_markdown
from radrag.corpora.phi_notes import PHINote, read_phi_notes
from radrag.corpora.records import Fields, read_jsonl, read_labelled_notes, read_questions
from radrag.corpora.reports import read_conflicts, read_finding_sets, read_reports
from radrag.errors import CorpusError
from radrag.types import Conflict, Document, Label, LabelledNote, LabelledReport, Question

SHIPPED = ("protocols", "evidence", "protocol-notes", "reports", "questions", "phi-notes", "claims")
_PACKAGE = Path(__file__).resolve().parents[1]


def corpus_folder(name: str) -> Path:
    """Find the folder of a shipped corpus.

    A wheel has it in ``radrag/_corpora``; a checkout, also installed in editable mode, in ``corpora`` beside
    the package.

    Args:
        name: One of ``SHIPPED``.

    Raises:
        ValueError: If no such corpus ships.
        CorpusError: If this installation lacks it.
    """
    if name not in SHIPPED:
        raise ValueError(f"no corpus {name!r} ships, expected one of {', '.join(SHIPPED)}")
    places = [_PACKAGE / "_corpora" / name, _PACKAGE.parent / "corpora" / name]
    for place in places:
        if place.is_dir():
            return place
    searched = " and ".join(map(str, places))
    raise CorpusError(f"the shipped corpus {name!r} is in neither {searched}; install radrag again")


def _check(folder: Path, names: Iterable[str]) -> None:
    """Raise unless these files are what the corpus's card says."""
    card = load_card(folder)
    for name in names:
        problem = file_problem(folder, card, name)
        if problem is not None:
            raise CorpusError(
                f"{problem}. If the change is meant, refresh the card with: python corpora/build.py; if not, restore "
                "the file or install radrag again",
                file=folder / name,
            )


def _checked_file(corpus: str, name: str) -> Path:
    folder = corpus_folder(corpus)
    _check(folder, [name])
    return folder / name


def load_protocols() -> list[Document]:
    """Load the shipped imaging protocol guidelines, sorted by file name.

    Raises:
        CorpusError: If a file is missing or is not what the data card says.
    """
    folder = corpus_folder("protocols")
    listed = {name for name in load_card(folder).files if name.endswith(".md") and "/" not in name}
    present = {path.name for path in folder.glob("*.md") if path.name != "README.md"}
    _check(folder, sorted(listed | present))
    return list(read_markdown(folder))


def load_evidence() -> list[Document]:
    """Load the shipped digests of studies; each has the study's PMID as id and its PubMed page as ``url``.

    Raises:
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    path = _checked_file("evidence", "digests.jsonl")
    return [_digest(document) for document in read_jsonl(path, Fields(kind="digest"))]


def _digest(document: Document) -> Document:
    known = {name: value for name, value in document.metadata.items() if value is not None}
    return replace(document, metadata={**known, "url": f"https://pubmed.ncbi.nlm.nih.gov/{known['pmid']}/"})


def load_conflicts() -> list[Conflict]:
    """Load the sets of shipped digests that disagree on one question, or of which one supersedes another.

    Raises:
        CorpusError: If the file is missing, is not what the data card says, or cannot be read.
    """
    return read_conflicts(_checked_file("evidence", "conflicts.yaml"))


def load_notes(split: Literal["train", "calibration", "test"] = "train") -> list[LabelledNote]:
    """Load the shipped protocol notes.

    Args:
        split: ``"train"`` for the notes that a script made; ``"calibration"`` and ``"test"`` for those written by hand,
            by different authors.

    Raises:
        ValueError: If there is no such split.
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    if split not in ("train", "calibration", "test"):
        raise ValueError(f"split must be 'train', 'calibration' or 'test', got {split!r}")
    return list(read_labelled_notes(_checked_file("protocol-notes", f"{split}.jsonl")))


def load_finding_sets() -> dict[str, tuple[Label, ...]]:
    """Load the findings that the shipped reports are labelled with: ``"chest"`` (14), ``"head"`` and others.

    Raises:
        CorpusError: If the file is missing, is not what the data card says, or cannot be read.
    """
    return read_finding_sets(_checked_file("reports", "findings.yaml"))


def load_reports() -> list[LabelledReport]:
    """Load the shipped radiology reports with their labelled findings.

    Raises:
        CorpusError: If a file is missing, is not what the data card says, or a record cannot be read.
    """
    return list(read_reports(_checked_file("reports", "reports.jsonl"), load_finding_sets()))


def load_questions() -> list[Question]:
    """Load the shipped questions, with the spans of the shipped corpora that answer them.

    Raises:
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    return list(read_questions(_checked_file("questions", "questions.jsonl")))


def load_phi_notes() -> list[PHINote]:
    """Load the shipped notes with planted identifiers; every person in them is invented.

    Raises:
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    return list(read_phi_notes(_checked_file("phi-notes", "notes.jsonl")))


def load_claims(split: Literal["development", "test"] = "development") -> list[LabelledClaim]:
    """Load the shipped claims about documents, half of them supported.

    About half of the documents are shipped digests; the others are abstracts of PubMed, which do not ship.

    Args:
        split: ``"development"`` to fit on, ``"test"`` to judge by; other documents, other writers.

    Raises:
        ValueError: If there is no such split.
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    return list(read_claims(_checked_file("claims", f"{_judged(split)}.jsonl")))


def load_near_misses(split: Literal["development", "test"] = "development") -> list[DocumentQuestion]:
    """Load the shipped questions about single documents, half of which the document does not answer.

    The documents are shipped protocols and digests, and in the development split abstracts of PubMed, which do not
    ship.

    Args:
        split: ``"development"`` to fit on, ``"test"`` to judge by; other documents, other writers.

    Raises:
        ValueError: If there is no such split.
        CorpusError: If the file is missing, is not what the data card says, or a record cannot be read.
    """
    return list(read_document_questions(_checked_file("questions", f"near_misses_{_judged(split)}.jsonl")))


def _judged(split: str) -> str:
    """Return the name of a split to fit on or to judge by, if it is one."""
    if split not in ("development", "test"):
        raise ValueError(f"split must be 'development' or 'test', got {split!r}")
    return split
