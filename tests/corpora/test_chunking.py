from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import Chunking, chunk, split_sentences
from radrag.errors import CorpusError
from radrag.types import Document, Section

WORDS = st.sampled_from(["lung", "No.", "clear.", "The", "0.5", "Stop.", "\n\n", "\n", "- item", "Dr.", "end!", "é"])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = " ".join(draw(st.lists(WORDS, max_size=60)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    sections = tuple(Section((f"s{i}",), start, end) for i, (start, end) in enumerate(pairs))
    return Document("d", text, title="T", sections=sections, metadata={"year": 2020})


def stretches(document: Document) -> list[tuple[tuple[str, ...], int, int]]:
    """Cut a document at its section edges, the slow and obvious way."""
    edges = sorted({0, len(document.text), *(s.start for s in document.sections), *(s.end for s in document.sections)})
    found = []
    for start, end in pairwise(edges):
        paths = [s.path for s in document.sections if s.start <= start and end <= s.end]
        found.append((paths[0] if paths else (), start, end))
    return found


@given(documents(), st.integers(1, 12), st.integers(0, 4))
def test_passages_of_any_document(document: Document, max_words: int, overlap: int) -> None:
    passages = list(chunk(document, max_words, overlap))
    covered: set[int] = set()
    places = [
        (path, {(start + a, start + b) for a, b in split_sentences(document.text[start:end])}, start, end)
        for path, start, end in stretches(document)
    ]
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
        assert (passage.document_id, passage.title, passage.metadata) == ("d", "T", {"year": 2020})
        path, sentences, *_ = next(place for place in places if place[2] <= passage.start and passage.end <= place[3])
        inside = [s for s in sentences if s[0] < passage.end and s[1] > passage.start]
        assert path == passage.path
        assert all(passage.start <= start and end <= passage.end for start, end in inside)
        assert passage.start in {start for start, _ in inside}
        assert len(passage.text.split()) <= max_words or len(inside) == 1
        covered.update(range(passage.start, passage.end))
    assert {i for i, c in enumerate(document.text) if not c.isspace()} <= covered
    assert [p.end for p in passages] == sorted({p.end for p in passages})


def test_overlap_shares_whole_sentences() -> None:
    document = Document("d", "Alpha one two. Beta one two. Gamma one two. Delta one two.")
    assert [p.text for p in chunk(document, max_words=6, overlap=1)] == [
        "Alpha one two. Beta one two.",
        "Beta one two. Gamma one two.",
        "Gamma one two. Delta one two.",
    ]
    assert [p.text for p in chunk(document, max_words=6, overlap=0)] == [
        "Alpha one two. Beta one two.",
        "Gamma one two. Delta one two.",
    ]


def test_a_long_sentence_is_a_passage_of_its_own() -> None:
    long = " ".join(["Long", *["word"] * 20]) + "."
    document = Document("d", f"Short one. {long} Short two.")
    assert [p.text for p in chunk(document, max_words=5, overlap=3)] == ["Short one.", long, "Short two."]


def test_nothing_crosses_a_section() -> None:
    text = "Before. Inside one. Inside two. After."
    document = Document("d", text, sections=(Section(("S",), 8, 31),))
    assert [(p.path, p.text) for p in chunk(document)] == [
        ((), "Before."),
        (("S",), "Inside one. Inside two."),
        ((), "After."),
    ]


def test_headings_between_sections_make_no_passage_but_other_text_does() -> None:
    text = "# A\n\n## B\nBody.\n\nLoose. # not a heading"
    document = Document("d", text, sections=(Section(("A", "B"), 10, 15),))
    assert [(p.path, p.text) for p in chunk(document)] == [(("A", "B"), "Body."), ((), "Loose. # not a heading")]


def test_headings_of_a_document_without_sections_stay_and_so_does_what_a_section_holds() -> None:
    inside = Document("d", "# Not a heading", sections=(Section(("S",), 0, 15),))
    assert [(p.path, p.text) for p in chunk(inside)] == [(("S",), "# Not a heading")]
    assert [p.text for p in chunk(Document("d", "# Only a heading"))] == ["# Only a heading"]


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_no_text_no_passages(text: str) -> None:
    assert list(chunk(Document("d", text))) == []


@pytest.mark.parametrize("spans", [[(0, 99)], [(4, 2)], [(3, 6), (5, 8)], [(5, 8), (0, 2)], [(-1, 3)]])
def test_sections_that_do_not_fit_are_an_error(spans: list[tuple[int, int]]) -> None:
    document = Document("doc-7", "Ten chars.", sections=tuple(Section(("S",), a, b) for a, b in spans))
    with pytest.raises(CorpusError, match="doc-7") as caught:
        list(chunk(document))
    assert caught.value.field == "sections"


@pytest.mark.parametrize(("values", "message"), [((0, 1), "max_words .* got 0"), ((5, -1), "overlap .* got -1")])
def test_a_chunking_is_checked_when_made(values: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Chunking(*values)


def test_five_megabytes() -> None:
    text = "The left lung is clear. No effusion, e.g. none at 0.5 cm.\n" * 87_000
    assert len(text) > 5_000_000
    passages = Chunking(300, 1).passages(Document("d", text))
    assert sum(1 for p in passages if text[p.start : p.end] == p.text) > 3000
