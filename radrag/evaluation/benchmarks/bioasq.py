"""BioASQ task b (Tsatsaronis et al., BMC Bioinformatics 16:138, 2015): questions, gold and submissions.

Official files hold ``{"questions": [...]}``: the gold of a batch (training files and golden enriched sets alike), and a
system's submission to phase A (documents, snippets) or phase B (exact and ideal answers). Scoring is in
``bioasq_scores``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radrag.errors import CorpusError
from radrag.evaluation.benchmarks.files import field, read_json
from radrag.metrics import Snippet
from radrag.metrics.bioasq import MOST_FACTOIDS
from radrag.types import Answer, Document, GoldSpan, Question

NOTICE = (
    "BioASQ: questions and gold are given on registration at bioasq.org, under its terms; abstracts are those of their "
    "publishers. Nothing of it is kept here."
)
TYPES = ("yesno", "factoid", "list", "summary")
MOST = 10


@dataclass(frozen=True, slots=True)
class GoldSnippet:
    """A snippet of the gold.

    Attributes:
        pmid: Its document.
        section: ``"title"``, ``"abstract"`` or another; offsets count from its start.
        text: Its words.
        begin: First character; -1 if the file does not say.
        end: Last character, as BioASQ counts it.
    """

    pmid: str
    section: str
    text: str
    begin: int = -1
    end: int = -1


@dataclass(frozen=True, slots=True)
class BioASQQuestion:
    """A question of task b with its gold.

    Attributes:
        id: Its name.
        text: The question.
        type: One of ``TYPES``.
        pmids: Gold documents.
        snippets: Gold snippets.
        exact: Gold entities, each with its synonyms; for yes/no the word alone; empty if there is none.
        ideal: Gold answers in words, any of which will do.
    """

    id: str
    text: str
    type: str
    pmids: tuple[str, ...] = ()
    snippets: tuple[GoldSnippet, ...] = ()
    exact: tuple[tuple[str, ...], ...] = ()
    ideal: tuple[str, ...] = ()

    def question(self, name: Callable[[str], str] = "PMID:{}".format) -> Question:
        """Return it as a question that ``compare`` takes.

        Args:
            name: Makes the id that the index gives to a document from its PMID.
        """
        gold = tuple(GoldSpan(name(pmid), 0, 0, "") for pmid in self.pmids)
        verdict = self.exact[0][0] if self.type == "yesno" and self.exact else None
        return Question(self.id, self.text, self.type, verdict, self.ideal[0] if self.ideal else "", gold)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a system says to one question.

    Attributes:
        documents: PMIDs, best first, at most 10.
        snippets: Snippets, best first, at most 10.
        exact: ``"yes"`` or ``"no"``; or names, best first; empty for no answer.
        ideal: The answer in words, "" for none.
    """

    documents: tuple[str, ...] = ()
    snippets: tuple[Snippet, ...] = ()
    exact: tuple[str, ...] = ()
    ideal: str = ""


def read_bioasq(path: str | Path, *, sha256: str | None = None) -> tuple[tuple[BioASQQuestion, ...], str]:
    """Read the gold of a batch, and the sha256 of the file.

    Args:
        path: Official JSON; or JSON Lines with ``id``, ``type``, ``question``, ``pmids``, ``snippets``,
            ``exact_answer`` and ``ideal_answer``.
        sha256: What the file's hash must be; None takes any.

    Raises:
        CorpusError: If the file is something else, or an id stands twice.
    """
    value, digest = read_json(path, sha256)
    made = {name: _question(record, name, path) for name, record in _by_id(value, path).items()}
    return tuple(made.values()), digest


def read_submission(path: str | Path, *, sha256: str | None = None) -> tuple[dict[str, Submitted], str]:
    """Read what a system submitted to phase A or B, by question, and the sha256 of the file."""
    value, digest = read_json(path, sha256)
    made: dict[str, Submitted] = {}
    for name, record in _by_id(value, path).items():
        snippets = [_snippet(one, path, name) for one in record.get("snippets") or []]
        entities = _entities(record.get("exact_answer"), "list", path, name)
        made[name] = Submitted(
            tuple(pmid_of(url) for url in record.get("documents") or []),
            tuple(Snippet(one.pmid, one.begin, one.end, one.section) for one in snippets),
            tuple(entity[0] for entity in entities),
            " ".join(_ideal(record.get("ideal_answer"))[:1]),
        )
    return made, digest


def pmid_of(url: str) -> str:
    """Return the PMID at the end of a document's address, or of ``PMID:123``."""
    return str(url).rstrip("/").rpartition("/")[2].removeprefix("PMID:")


def _by_id(value: Any, path: object) -> dict[str, Any]:
    found = value.get("questions") if isinstance(value, dict) else value
    if not isinstance(found, list) or not found:
        raise CorpusError('expected {"questions": [...]} with at least one', file=path)
    made: dict[str, Any] = {}
    for number, record in enumerate(found, start=1):
        name = field(record, "id", str, path, number)
        if name in made:
            raise CorpusError("this id stands twice", file=path, record=name)
        made[name] = record
    return made


def _question(record: Mapping[str, Any], name: str, path: object) -> BioASQQuestion:
    kind = field(record, "type", str, path, name)
    if kind not in TYPES:
        raise CorpusError(f"must be one of {', '.join(TYPES)}, got {kind!r}", file=path, record=name, field="type")
    text = record.get("body", record.get("question"))
    if not isinstance(text, str) or not text.strip():
        raise CorpusError(f"must be text, got {text!r:.80}", file=path, record=name, field="body")
    documents = record.get("documents") or record.get("pmids") or []
    exact = _entities(record.get("exact_answer"), kind, path, name)
    if kind == "yesno" and exact and exact not in ((("yes",),), (("no",),)):
        raise CorpusError(f"must be yes or no, got {exact!r:.80}", file=path, record=name, field="exact_answer")
    return BioASQQuestion(
        name, " ".join(text.split()), kind, tuple(dict.fromkeys(map(pmid_of, documents))),
        tuple(_snippet(one, path, name) for one in record.get("snippets") or []), exact,
        tuple(_ideal(record.get("ideal_answer"))),
    )  # fmt: skip


def _snippet(record: Mapping[str, Any], path: object, name: str) -> GoldSnippet:
    document = record.get("document", record.get("pmid"))
    section = str(record.get("beginSection", record.get("section", "abstract")))
    other = str(record.get("endSection", section))
    begin, end = record.get("offsetInBeginSection", -1), record.get("offsetInEndSection", -1)
    if not isinstance(document, str) or not isinstance(begin, int) or not isinstance(end, int):
        raise CorpusError(f"is no snippet: {record!r:.120}", file=path, record=name, field="snippets")
    if section != other:  # its offsets count from two places, so its characters cannot be compared
        begin = end = -1
    return GoldSnippet(pmid_of(document), section, str(record.get("text", "")), begin, end)


def _entities(value: Any, kind: str, path: object, name: str) -> tuple[tuple[str, ...], ...]:
    """Return entities with their synonyms; older files list the synonyms of a factoid without the outer list."""
    if value is None or value in ("", []):
        return ()
    if isinstance(value, str):
        return ((value.strip().lower() if value.strip().lower() in ("yes", "no") else value,),)
    if not isinstance(value, list):
        raise CorpusError(f"must be text or a list, got {value!r:.80}", file=path, record=name, field="exact_answer")
    if all(isinstance(one, str) for one in value):
        whole = kind in ("factoid", "yesno")
        made = [value] if whole else [[one] for one in value]
    else:
        made = [[one] if isinstance(one, str) else one for one in value]
    return tuple(tuple(str(name) for name in entity) for entity in made if entity)


def _ideal(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value else [str(one) for one in value or () if one]


def submitted(answer: Answer, kind: str, exact: Answer | None = None) -> Submitted:
    """Return an answer as a submission: the best ten documents and passages retrieved, its exact answer and its words.

    Offsets of passages count from the start of the document's text, see ``located``. An abstention submits what was
    found and no answer.

    Args:
        answer: The answer in words.
        kind: Type of the question, one of ``TYPES``: a verdict is an exact answer of a yes/no question only.
        exact: The answer to a factoid or list question asked in that form; None where nobody asked.
    """
    pmids = tuple(dict.fromkeys(pmid_of(hit.passage.document_id) for hit in answer.evidence))
    snippets = tuple(
        Snippet(pmid_of(hit.passage.document_id), hit.passage.start, hit.passage.end - 1)
        for hit in answer.evidence[:MOST]
        if hit.passage.end > hit.passage.start
    )
    named = () if exact is None or kind not in ("factoid", "list") else exact_of(exact)
    if kind == "yesno" and not answer.abstained and answer.verdict is not None:
        named = (answer.verdict.answer,)
    ideal = " ".join(claim.text for claim in answer.claims if not answer.abstained)
    return Submitted(pmids[:MOST], snippets, named, ideal)


def exact_of(answer: Answer) -> tuple[str, ...]:
    """Return the names that an answer to a factoid or list question gives; none if it abstained or was not read."""
    if answer.abstained or answer.value is None or answer.form not in ("factoid", "list"):
        return ()
    names = (answer.value,) if isinstance(answer.value, str) else answer.value
    return names[:MOST_FACTOIDS] if answer.form == "factoid" else names


def located(
    questions: Iterable[BioASQQuestion], document: Callable[[str], Document | None]
) -> tuple[tuple[BioASQQuestion, ...], dict[str, int]]:
    """Find the gold snippets in the texts of an index, so that they count characters from where its passages do.

    Args:
        questions: The questions.
        document: Takes a PMID, and returns the document that the index holds of it, or None.

    Returns:
        The questions with the snippets that stand word for word in their document; and how many were left out, by
        reason.
    """
    made, lost = [], Counter[str]()
    for question in questions:
        kept = []
        for snippet in question.snippets:
            known = document(snippet.pmid)
            start = -1 if known is None or not snippet.text else known.text.find(snippet.text)
            if start < 0:
                lost[
                    "its document is not in the index" if known is None else "its words are not in the document's text"
                ] += 1
                continue
            kept.append(replace(snippet, section="abstract", begin=start, end=start + len(snippet.text) - 1))
        made.append(replace(question, snippets=tuple(kept)))
    return tuple(made), dict(lost)
