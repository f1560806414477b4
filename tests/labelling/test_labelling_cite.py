from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.corpora import Chunking, corpus_folder, load_notes, read_markdown, split_sentences
from radrag.corpora.sentences import HEADING
from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import Mode
from radrag.labelling import LabelSet
from radrag.labelling.cite import Quotes, cite, is_indications
from radrag.labelling.label_set import described
from radrag.labelling.memory import LastBatch, memory_searcher
from radrag.types import Document, Label, Notice, Section

TEXT = "# Scan\n\n## Safety\nColic in pregnancy needs care.\n\n## Indications\nRenal colic. Haematuria after trauma.\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("cite") / "index") as made:
        made.add(read_markdown(corpus_folder("protocols")))
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[HybridIndex]:
    safety, indications = TEXT.index("Colic in"), TEXT.index("Renal colic")
    sections = (
        Section(("Scan", "Safety"), safety, safety + 30),
        Section(("Scan", "Indications"), indications, len(TEXT) - 1),
    )
    with HybridIndex.create(tmp_path / "index") as made:
        made.add(
            [
                Document(
                    "scan", TEXT, "Scan", "guideline", sections, {"url": "https://example.org/scan", "year": 2024}
                ),
                Document("plain", "Headache. Trauma to the head.", "Plain"),
                Document("withdrawn", "Headache.", metadata={"retracted": True}),
                Document("notice", "Headache.", metadata={"publication_types": ["Expression of Concern"]}),
            ]
        )
        yield made


def test_the_sentence_is_about_the_note_and_from_the_indications(small: HybridIndex) -> None:
    colic, trauma = cite(small, ["severe colic in pregnancy", "haematuria after a fall"], Label("scan", "Scan"))
    assert colic is not None
    assert trauma is not None
    assert colic.quote == "Renal colic."  # not the sentence on safety, which has more of the note's words
    assert trauma.quote == "Haematuria after trauma."
    assert (trauma.path, trauma.url, trauma.year) == (("Scan", "Indications"), "https://example.org/scan", 2024)
    assert TEXT[trauma.start : trauma.end] == trauma.quote


def test_a_document_without_that_heading_is_cited_all_the_same(small: HybridIndex) -> None:
    (found,) = cite(small, ["trauma to the head"], Label("plain"))
    assert found is not None
    assert found.quote == "Trauma to the head."


@pytest.mark.parametrize("id", ["absent", "withdrawn", "notice"])
def test_nothing_is_cited_from_what_is_not_there_or_no_evidence(small: HybridIndex, id: str) -> None:
    assert cite(small, ["headache", "colic"], Label(id)) == [None, None]


def test_quotes_are_exact_and_of_the_right_guideline(index: HybridIndex) -> None:
    labels = LabelSet.from_protocols(index.documents())
    for label in labels:
        for found in cite(index, ["72 M with pain, eval", f"question about {label.name}"], label):
            assert found is not None
            assert found.document_id == label.id
            assert index.document(label.id).text[found.start : found.end] == found.quote
            assert found.path[-1] == "Indications"
            passage = index.passage(found.passage_id)
            assert passage.start <= found.start < found.end <= passage.end


def test_a_note_gets_the_same_quote_alone_and_among_others(index: HybridIndex) -> None:
    label = LabelSet.from_protocols(index.documents())["ct-urography"]
    notes = ["painless haematuria", "ureteric stricture", "follow-up of urothelial cancer", "hydronephrosis"]
    together = cite(index, notes, label)
    assert together == [cite(index, [note], label)[0] for note in notes]
    assert len({found.quote for found in together if found}) > 1


def _slowly(index: HybridIndex, note: str, label: Label) -> str | None:
    """The same search by the index's own machinery, one note at a time."""
    hits = index.search(note, 8, {"document_id": label.id})
    passages = sorted((hit.passage for hit in hits), key=lambda passage: passage.start)
    passages = [passage for passage in passages if is_indications(passage.path)] or passages
    texts = [
        passage.text[start:end]
        for passage in passages
        for start, end in split_sentences(passage.text)
        if not HEADING.match(passage.text, start)
    ]
    if not texts:
        return None
    searcher = memory_searcher(texts, index.encoder.encode(texts, "passage"), index.encoder)
    scores = np.zeros(len(texts))
    for asked, weight in ((note, 1.0), (described(label), 0.5)):
        for row, score, *_ in searcher.search([asked], len(texts), None, Mode.HYBRID)[0]:
            scores[row] += weight * score
    return texts[int(scores.argmax())]


def test_quotes_of_many_labels_at_once_are_those_of_one_search_each(
    index: HybridIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radrag.labelling.cite._NOTES", 7)
    labels = list(LabelSet.from_protocols(index.documents()))[::8]
    notes = [note.text for note in load_notes("calibration")[: 2 * len(labels)]]
    asked = [*labels, *labels[::-1]]
    found = Quotes(index, LastBatch(index.encoder)).of(notes, asked)
    expected = [_slowly(index, note, label) for note, label in zip(notes, asked, strict=True)]
    assert [quote.quote if quote else None for quote in found] == expected


def test_of_a_long_guideline_the_passages_nearest_to_the_note_are_looked_at(tmp_path: Path) -> None:
    words = ["stone", "knee", "cough", "stroke", "fever", "trauma", "nodule", "ulcer", "hernia", "lymphoma", "gout"]
    text = " ".join(f"Sought in {word} of kind {n}. Nothing else is told here." for n, word in enumerate(words * 2))
    with HybridIndex.create(tmp_path / "index", chunking=Chunking(max_words=12, overlap=0)) as index:
        index.add([Document("long", text, "Long")])
        assert len(index) > 8
        label = Label("long", "Long")
        notes = [f"{word} of kind {n}" for n, word in enumerate(words)]
        found = Quotes(index).of(notes, [label] * len(notes))
        assert [quote.quote for quote in found if quote] == [_slowly(index, note, label) for note in notes]
        assert found[3] is not None
        assert found[3].quote == "Sought in stroke of kind 3."


def test_what_is_prepared_follows_the_index(small: HybridIndex) -> None:
    quotes, label, asked = Quotes(small), Label("plain"), ["trauma to the head"]
    (before,) = quotes.of(asked, [label])
    assert before is not None
    small.set_notices("watch", [Notice("plain", "retracted")])
    assert quotes.of(asked, [label]) == [None]
    small.set_notices("watch", [Notice("plain", "corrected")])
    (corrected,) = quotes.of(asked, [label])
    assert corrected == replace(before, flags=("corrected",))
    small.set_notices("watch", [])
    document = small.document("plain")
    small.delete(["plain"])
    assert quotes.of(asked, [label]) == [None]
    small.add([document])  # the same content in other passages
    assert quotes.of(asked, [label])[0] is not None
    content = small.manifest["content"]
    small.delete(["plain"])
    small.add([document])
    assert small.manifest["content"] == content
    (again,) = quotes.of(asked, [label])
    assert again is not None
    assert small.passage(again.passage_id).document_id == "plain"
    small.update([replace(document, text="Injury: trauma to the head is imaged.")])
    (updated,) = quotes.of(asked, [label])
    assert updated is not None
    assert updated.quote == "Injury: trauma to the head is imaged."


@pytest.mark.parametrize("way", ["replaced", "deleted", "always"])
def test_a_guideline_that_changes_while_it_is_quoted(small: HybridIndex, way: str) -> None:
    """A new edition is quoted as it is then; that the old one is no slice of it is no damage."""
    search, label, times = small.search, Label("plain"), iter(range(1 if way != "always" else 100))

    def meanwhile(*asked: Any, **options: Any) -> Any:
        found = search(*asked, **options)
        if (time := next(times, None)) is not None and way == "deleted":
            small.delete(["plain"])
        elif time is not None:
            small.update([Document("plain", f"Edition {time}. Any trauma to the head.", "Plain")])
        return found

    small.search = meanwhile  # type: ignore[method-assign]
    if way == "always":
        with pytest.raises(IndexStateError, match="replaced while they were quoted, each of 5 times"):
            cite(small, ["trauma to the head"], label)
        return
    (found,) = cite(small, ["trauma to the head"], label)
    assert (found and found.quote) == {"replaced": "Any trauma to the head.", "deleted": None}[way]


def test_a_guideline_that_was_altered_is_damage(small: HybridIndex) -> None:
    document = small.document
    small.document = lambda name: replace(document(name), text=f"X{document(name).text}")  # type: ignore[method-assign]
    with pytest.raises(IndexCorruptError, match="is not a slice of 'plain'"):
        cite(small, ["trauma to the head"], Label("plain"))
