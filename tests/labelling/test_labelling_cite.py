from collections.abc import Iterator
from pathlib import Path

import pytest

from radrag.corpora import corpus_folder, read_markdown
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.cite import cite
from radrag.types import Document, Label, Section

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


@pytest.mark.parametrize("id", ["absent", "withdrawn"])
def test_nothing_is_cited_from_what_is_not_there_or_retracted(small: HybridIndex, id: str) -> None:
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
