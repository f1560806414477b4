"""The questions and passages that a re-ranker is fitted on: those of the one that ships, or one's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from radrag.corpora import load_evidence, load_protocols, load_questions
from radrag.indexes.embedding_cache import CachedEncoder
from radrag.indexes.encoders import load_encoder
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank_features import SEARCH_PARTS
from radrag.indexes.rerank_late import LATE_FEATURES
from radrag.indexes.token_states import TokenReader
from radrag.protocols import Encoder
from radrag.training._pairs import open_abstracts
from radrag.training.reader import read_pubmedqa
from radrag.training.reranker import Judged, judged_lists
from radrag.types import Document, Passage, Question

DATA = (
    "PubMedQA labelled questions outside the official test split (MIT), among abstracts of Evidence Inference that are "
    "CC BY or CC0; the shipped questions"
)
# In corpora as small as these the vectors find nearly everything: weights fitted on the parts of the search lost .02 to
# .05 of nDCG@10 in the pool of 34,078 documents.
WITHOUT = SEARCH_PARTS
# A question of these sources has one right document, so nothing can tell whether right passages are alike.
WITHOUT_LATE = LATE_FEATURES[1:]
Asked = tuple[str, Callable[[Passage], bool]]


def shipping_lists(
    data_folder: str | Path, encoders: Sequence[str], cache: Path | None = None, late: TokenReader | None = None
) -> list[Judged]:
    """Search the sources whose terms allow it; nothing of the evaluation-only pool is used.

    Args:
        data_folder: Folder with ``pubmedqa_dev500.jsonl.gz`` and ``evidence_inference_abstracts.jsonl.gz``.
        encoders: Encoders to search with; each question is judged once for each.
        cache: Folder for the vectors of encoders that are not static.
        late: What reads the hits for late interaction; none if left out.

    Returns:
        Lists of PubMedQA questions and of shipped questions. Titles of the abstracts are no questions here: the static
        encoder was tuned on them.
    """
    folder = Path(data_folder)
    records = read_pubmedqa(folder / "pubmedqa_dev500.jsonl.gz")
    documents = [Document(f"PMID:{r['pmid']}", "\n\n".join(r["contexts"]), kind="abstract") for r in records]
    known = {one.id for one in documents}
    documents += [
        Document(name, text, kind="abstract") for name, _, text in open_abstracts(folder) if name not in known
    ]
    own = [(record["question"], _of(f"PMID:{record['pmid']}")) for record in records]
    shipped = [(question.text, _holds_gold(question)) for question in load_questions() if question.answerable]
    lists: list[Judged] = []
    for name in encoders:
        encoder = _cached(name, cache)
        lists += _lists(encoder, documents, {"PubMedQA": own}, late)
        lists += _lists(encoder, [*load_protocols(), *load_evidence()], {"shipped questions": shipped}, late)
    return lists


def own_lists(
    index: HybridIndex, questions: Iterable[Question], source: str, late: TokenReader | None = None
) -> list[Judged]:
    """Search an index with questions of one's own; a hit is right where it overlaps a gold span.

    Args:
        index: Where to search, without its re-ranker.
        questions: Those without gold spans are left out.
        source: Name of where they are from.
        late: What reads the hits for late interaction; none if left out.
    """
    asked = [(question.text, _holds_gold(question)) for question in questions if question.gold]
    return judged_lists(index, asked, source, late=late)


def _lists(
    encoder: Encoder, documents: Iterable[Document], asked: dict[str, list[Asked]], reader: TokenReader | None
) -> Iterator[Judged]:
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "i", encoder=encoder) as index:
        index.add(documents)
        for source, questions in asked.items():
            yield from judged_lists(index, questions, source, late=reader)


def _of(document_id: str) -> Callable[[Passage], bool]:
    return lambda passage: passage.document_id == document_id


def _holds_gold(question: Question) -> Callable[[Passage], bool]:
    def answers(passage: Passage) -> bool:
        return any(
            passage.document_id == gold.document_id and passage.start < gold.end and gold.start < passage.end
            for gold in question.gold
        )

    return answers


def _cached(name: str, folder: Path | None) -> Encoder:
    encoder = load_encoder(name)
    if folder is None or encoder.fingerprint.startswith("static:"):
        return encoder
    folder.mkdir(parents=True, exist_ok=True)
    return CachedEncoder(encoder, folder / f"{name}.sqlite")
