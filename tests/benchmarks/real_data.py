"""Real input: 4,470 trial abstracts and official PubMed XML files become an index, and ten questions are asked.

The questions are the first ten of PubMedQA's development part. Their own abstracts are mostly not in this index, so
abstaining is often the right thing; this shows that the path works and how long it takes, not how good answers are.

python tests/benchmarks/real_data.py [--quick] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from common import DATA, arguments, records, report

import radrag as rr


def main() -> None:
    """Index, ask, print."""
    args = arguments(__doc__ or "").parse_args()
    counts: Counter[str] = Counter()
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        documents = list(_unique(_documents(counts, 300 if args.quick else None), counts))
        times["read"] = time.perf_counter() - start
        with rr.HybridIndex.create(Path(folder) / "index") as index:
            start = time.perf_counter()
            counts.update({f"documents {name}": n for name, n in index.add(documents).items() if name != "passages"})
            times["index"] = time.perf_counter() - start
            counts["passages"] = len(index)
        questions = list(islice(records("pubmedqa_dev500.jsonl.gz"), 10))
        known = {document.id for document in documents}
        counts["questions"] = len(questions)
        counts["questions whose own abstract is in the index"] = sum(f"PMID:{q['pmid']}" in known for q in questions)
        start = time.perf_counter()
        with rr.HybridIndex.open(Path(folder) / "index") as index:
            qa = rr.QAPipeline(index)
            answers = [qa(questions[0]["question"])]
            times["open, first answer"] = time.perf_counter() - start
            start = time.perf_counter()
            answers += qa.batch([question["question"] for question in questions[1:]])
            times["the other nine answers"] = time.perf_counter() - start
    for answer in answers:
        print(_brief(answer))
    counts["abstained"] = sum(answer.abstained for answer in answers)
    counts["citations"] = sum(len(answer.citations) for answer in answers)
    report("Real data, counts", ["what", "count"], list(counts.items()), args)
    report("Real data, time", ["stage", "seconds"], list(times.items()), args)


def _documents(counts: Counter[str], limit: int | None) -> Iterator[rr.Document]:
    for record in islice(records("evidence_inference_abstracts.jsonl.gz"), limit):
        counts["abstracts read"] += 1
        facts = {"pmid": record["pmid"], "url": f"https://pubmed.ncbi.nlm.nih.gov/{record['pmid']}/"}
        yield rr.Document(f"PMID:{record['pmid']}", record["abstract"], record["title"], "abstract", metadata=facts)
    folder = DATA / "pubmed_xml"
    for path in sorted([*folder.glob("*.xml"), *folder.glob("*.xml.gz")]):
        counts["PubMed XML files"] += 1
        for document in rr.read_pubmed(path):
            counts["PubMed articles read"] += 1
            yield document


def _unique(documents: Iterable[rr.Document], counts: Counter[str]) -> Iterator[rr.Document]:
    """Keep the first of each id: the files overlap, and hold several versions of some articles."""
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            counts["duplicates skipped"] += 1
        else:
            seen.add(document.id)
            yield document


def _brief(answer: rr.Answer) -> str:
    if answer.abstained:
        return f"Q: {answer.question}\n   no answer ({answer.confidence:.2f}): {answer.reason}"
    verdict = "" if answer.verdict is None else f"{answer.verdict.answer}: "
    sources = ", ".join(dict.fromkeys(citation.document_id for citation in answer.citations))
    text = " ".join(answer.text.split())
    return f"Q: {answer.question}\n   ({answer.confidence:.2f}) {verdict}{text[:240]}\n   {sources}"


if __name__ == "__main__":
    main()
