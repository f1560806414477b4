import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora import load_evidence, load_protocols, load_questions
from radrag.generation.prompts import NOT_ENOUGH
from radrag.indexes.hybrid import HybridIndex
from radrag.training.raft import pubmedqa_documents, pubmedqa_questions, rag_records, support, target
from radrag.training.reader import read_pubmedqa
from radrag.training.records import ChatRecord
from radrag.training.splits import check_leaks, grouped_split
from radrag.types import Document, GoldSpan, Hit, Passage, Question

PASSAGE = re.compile(r"<passage (\d+)>\n\[\1\] [^\n]*\n(.*?)\n</passage \1>", re.DOTALL)


def shown(record: ChatRecord) -> dict[int, str]:
    return {int(number): " ".join(text.split()) for number, text in PASSAGE.findall(record.prompt[-1].content)}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("rag") / "index") as index:
        index.add([*load_protocols(), *load_evidence()])
        yield index


@pytest.fixture(scope="module")
def questions() -> dict[str, Question]:
    return {question.id: question for question in load_questions()}


@pytest.fixture(scope="module")
def records(index: HybridIndex, questions: dict[str, Question]) -> list[ChatRecord]:
    return rag_records(list(questions.values()), index, k=4, oracle=0.7, empty=0.1, copies=2, seed=3)


def test_no_answer_without_its_evidence_and_no_abstention_with_it(
    records: list[ChatRecord], questions: dict[str, Question]
) -> None:
    for record in records:
        question = questions[record.id.partition("/")[0]]
        texts = shown(record)
        quotes = {" ".join(span.quote.split()) for span in question.gold}
        holders = {quote: {number for number, text in texts.items() if quote in text} for quote in quotes}
        whole = question.answerable and all(holders.values())
        assert (record.completion == NOT_ENOUGH) == (not whole) == (record.label == "abstain")
        if whole:
            cited = set(map(int, re.findall(r"\[(\d+)\]", record.completion)))
            assert cited == set().union(*holders.values())
            assert record.label == (question.verdict or "")
            if question.verdict:
                assert record.completion.startswith(f"{question.verdict.capitalize()}.")
        else:
            assert not any(holders.values())  # not even a part of the evidence


def test_shares_are_those_asked_for(records: list[ChatRecord], questions: dict[str, Question]) -> None:
    assert [record.id for record in records] == [f"{name}/{copy}" for name in questions for copy in (0, 1)]
    empty = sum(not shown(record) for record in records)
    assert empty / len(records) == pytest.approx(0.1, abs=0.05)
    asked = [record for record in records if shown(record) and questions[record.id.partition("/")[0]].answerable]
    kept = sum(record.completion != NOT_ENOUGH for record in asked)
    assert kept / len(asked) == pytest.approx(0.7, abs=0.08)
    assert {len(shown(record)) for record in records if record.label == "abstain"} == {0, 4}
    first = Counter(re.findall(r"\[(\d)\]", record.completion)[0] for record in records if "[" in record.completion)
    assert min(first[str(place)] for place in (1, 2, 3, 4)) > 20  # the answer stands at every place


def test_passages_of_the_answering_documents_are_no_distractors(
    index: HybridIndex, questions: dict[str, Question]
) -> None:
    only_others = rag_records(list(questions.values()), index, oracle=0, empty=0)
    titles = {document.id: document.title for document in index.documents()}
    for record, question in zip(only_others, questions.values(), strict=True):
        heads = re.findall(r"^\[\d\] ([^>\n]*?)(?: >.*)?$", record.prompt[-1].content, re.MULTILINE)
        assert not {titles[span.document_id] for span in question.gold} & set(heads)
        assert record.completion == NOT_ENOUGH


def test_draws_are_seeded_and_groups_never_cross(
    index: HybridIndex, questions: dict[str, Question], records: list[ChatRecord]
) -> None:
    some = list(questions.values())[:20]
    assert rag_records(some, index, seed=1) == rag_records(some, index, seed=1)
    assert rag_records(some, index, seed=1) != rag_records(some, index, seed=2)
    train, held = grouped_split(records, 0.2)
    check_leaks(train, held)
    assert not {r.id.partition("/")[0] for r in train} & {r.id.partition("/")[0] for r in held}
    assert all(f"source:{span.document_id}" in records[0].groups for span in questions["q001"].gold)


def question(**changes: Any) -> Question:
    text = "Alpha beta gamma. Delta epsilon zeta."
    spans = (GoldSpan("d", 0, 17, text[:17]), GoldSpan("d", 18, 37, text[18:]))
    return replace(Question("q", "Is it?", "yesno", "yes", "It is. So.", spans), **changes)


def passage(start: int, end: int, document: str = "d", text: str = "Alpha beta gamma. Delta epsilon zeta.") -> Hit:
    return Hit(Passage(document, start, end, text[start:end]), 1.0)


@pytest.mark.parametrize(
    ("hits", "keys"),
    [
        ([passage(0, 37)], (1,)),
        ([passage(0, 17), passage(18, 37)], (1, 2)),
        ([passage(0, 5, "x"), passage(18, 37), passage(0, 17)], (2, 3)),
        ([passage(0, 10), passage(11, 37)], (1, 2)),  # a span cut between two passages
        ([passage(0, 37, "copy")], (1,)),  # the quotes stand in another document
        ([passage(0, 12), passage(2, 8), passage(11, 37)], (1, 3)),  # the second adds nothing
        ([passage(0, 17)], ()),  # one of two spans
        ([passage(0, 9), passage(11, 37)], ()),  # a letter is missing
        ([passage(0, 9, "x"), passage(10, 37)], ()),
        ([], ()),
    ],
)
def test_support_needs_every_span(hits: Sequence[Hit], keys: tuple[int, ...]) -> None:
    assert support(question(), hits) == keys
    marks = "".join(f"[{key}]" for key in keys)
    assert target(question(), hits) == (f"Yes. It is. {marks} So. {marks}" if keys else NOT_ENOUGH)


def test_unanswerable_questions_have_no_support() -> None:
    assert support(question(answerable=False), [passage(0, 37)]) == ()
    assert target(question(answerable=False, gold=()), [passage(0, 37)]) == NOT_ENOUGH


def test_an_answer_over_more_passages_than_k_keeps_them_all(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index") as index:
        index.add(Document(f"d{i}", f"Fact number {i} about the spleen, as word{i} says.") for i in range(6))
        spans = tuple(GoldSpan(f"d{i}", 0, 43, f"Fact number {i} about the spleen, as word{i} says.") for i in range(4))
        asked = Question("q", "Facts about the spleen?", "list", None, "Four facts.", spans)
        (record,) = rag_records([asked], index, k=2, oracle=1, empty=0)
        assert len(shown(record)) == 4
        assert record.completion.startswith("Four facts. [1][2][3][4]")


def test_wrong_input_is_refused(index: HybridIndex, questions: dict[str, Question]) -> None:
    asked = questions["q001"]
    with pytest.raises(ValueError, match=r"'q001' is answerable but has no gold spans"):
        rag_records([replace(asked, gold=())], index)
    with pytest.raises(ValueError, match=r"'q001': the index lacks nowhere:0-3"):
        rag_records([replace(asked, gold=(GoldSpan("nowhere", 0, 3, "abc"),))], index)
    for wrong in ({"oracle": 1.1}, {"empty": -0.1}, {"k": 0}, {"copies": 0}):
        with pytest.raises(ValueError, match="must be"):
            rag_records([asked], index, **wrong)  # type: ignore[arg-type]


ROWS = [
    {"pmid": str(i), "question": f"Does drug{i} help?",
     "contexts": [f"We gave drug{i} to mice.", f"Mice of arm{i} slept."],
     "answer": ("yes", "no", "maybe")[i % 3], "long_answer": f"Drug{i} acts."} for i in range(12)
]  # fmt: skip


def test_pubmedqa_rows_rest_on_their_own_abstract(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index") as index:
        index.add(pubmedqa_documents(ROWS))
        made = rag_records(pubmedqa_questions(ROWS), index, k=3, oracle=0.5, empty=0.1, seed=1)
    for row, record in zip(ROWS, made, strict=True):
        own = [number for number, text in shown(record).items() if row["contexts"][0] in text]
        if own:
            assert record.completion == f"{str(row['answer']).capitalize()}. {row['long_answer']} [{own[0]}]"
        else:
            assert record.completion == NOT_ENOUGH
    assert 0 < sum(record.completion == NOT_ENOUGH for record in made) < 12
    with pytest.raises(ValueError, match="'perhaps'"):
        pubmedqa_questions([{**ROWS[0], "answer": "perhaps"}])


@pytest.mark.data
@pytest.mark.slow
def test_real_pubmedqa(tmp_path: Path, data: Path) -> None:
    rows = [{**row, "long_answer": "So it is."} for row in read_pubmedqa(data / "pubmedqa_dev500.jsonl.gz")]
    with HybridIndex.create(tmp_path / "index") as index:
        index.add(pubmedqa_documents(rows))
        made = rag_records(pubmedqa_questions(rows), index, oracle=0.8, empty=0)
    for row, record in zip(rows, made, strict=True):
        whole = all(
            any(sentence in text for text in shown(record).values())
            for part in row["contexts"]
            for sentence in [" ".join(part.split()[:12])]
        )
        assert whole or record.completion == NOT_ENOUGH
        assert not (whole and record.completion == NOT_ENOUGH)
