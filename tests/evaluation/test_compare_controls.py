"""Controls of a comparison on a small index: own sources removed, parts changed, seeds repeated, tokens counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import radrag as rr
from radrag.corpora.deidentify import deidentify
from radrag.evaluation import Comparison, compare, label_ablations, question_ablations
from radrag.evaluation.ablations import without_kind
from radrag.evaluation.leaks import without_own_source
from radrag.evaluation.variants import Meter, View, metered, reseeded, variant
from radrag.generation.scripted import ScriptedGenerator
from radrag.types import Chat, Document, Draft, DraftClaim, Generation, GenerationParams, GoldSpan, Hit, Question

TOPICS = ("kidney stone", "lung nodule", "thyroid nodule", "liver cyst", "brain tumour", "knee meniscus")


def _documents() -> Iterator[Document]:
    for number, topic in enumerate(TOPICS):
        for kind in ("guideline", "abstract"):
            text = f"The {topic} is seen on the scan. A {topic} needs {number + 2} weeks of follow-up, says the {kind}."
            yield Document(f"{kind}-{number}", text, f"{topic} {kind}", kind, metadata={"year": 2000 + number})


class Quoter:
    """Reads the last sentence of the best passage; alone it says nothing."""

    fingerprint = "quoter"

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        return [Draft((DraftClaim(found[0].passage.text.split(". ")[1], (1,)),)) for found in hits]

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        return [Draft() for _ in questions]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rr.HybridIndex]:
    with rr.HybridIndex.create(Path(tmp_path_factory.mktemp("controls")) / "index") as made:
        made.add(_documents())
        yield made


@pytest.fixture(scope="module")
def questions(index: rr.HybridIndex) -> list[Question]:
    made = []
    for number, topic in enumerate(TOPICS):
        document = index.document(f"abstract-{number}")
        span = GoldSpan(document.id, 0, 20, document.text[:20])
        made.append(Question(f"q{number}", f"How many weeks of follow-up does a {topic} need?", "factoid", None,
                             f"{number + 2} weeks", (span,)))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def qa(index: rr.HybridIndex) -> rr.QAPipeline:
    return rr.QAPipeline(index, Quoter(), k=3, min_confidence=0.0)


@pytest.fixture(scope="module")
def made(qa: rr.QAPipeline, questions: list[Question]) -> Comparison:
    return compare(qa, qa.without_retrieval(), questions, leak_control=True, ablations=True)


def _ids(hits: Sequence[Any]) -> list[str]:
    return [hit.passage.document_id for hit in hits]


@pytest.mark.parametrize("k", [1, 2, 5, 11, 12, 40])
def test_a_view_gives_the_ranking_without_what_it_refuses(index: rr.HybridIndex, k: int) -> None:
    whole = index.search("nodule follow-up weeks", 100)
    view = View(index, "odd", refuse=lambda _, passage: passage.document_id.endswith(("1", "3")))
    assert len(whole) == 12
    assert (
        view.search("nodule follow-up weeks", k)
        == [hit for hit in whole if not hit.passage.document_id.endswith(("1", "3"))][:k]
    )
    assert view.search(["nodule follow-up weeks"], k) == [view.search("nodule follow-up weeks", k)]
    assert view.search([], k) == []


def test_a_view_is_named_in_the_manifest(index: rr.HybridIndex) -> None:
    one, other = View(index, "one"), View(index, "other")
    assert len({index.manifest["content"], one.manifest["content"], other.manifest["content"]}) == 3
    assert one.manifest["view"] == "one"


def test_no_question_finds_its_own_source(index: rr.HybridIndex, questions: list[Question]) -> None:
    view = without_own_source(index, questions)
    found = view.search([question.text for question in questions], 12)
    for number, hits in enumerate(found):
        assert f"abstract-{number}" not in _ids(hits)
        assert len(hits) == 11
    with pytest.raises(ValueError, match="none of the questions"):
        view.search("another question on a kidney stone", 12)


def test_without_its_source_a_question_still_gets_k_passages(
    qa: rr.QAPipeline, index: rr.HybridIndex, questions: list[Question]
) -> None:
    """What is refused is made up for from further down the ranking, so that the control changes one thing only."""
    texts = [question.text for question in questions]
    whole = qa.batch(texts)
    left = variant(qa, index=without_own_source(index, questions)).batch(texts)
    for question, before, after in zip(questions, whole, left, strict=True):
        own = {span.document_id for span in question.gold}
        deep = [name for name in _ids(index.search(question.text, 12)) if name not in own][:3]
        assert _ids(after.evidence) == deep
        assert len(after.evidence) == len(before.evidence) == 3


def test_a_question_that_is_searched_masked_is_known_too(index: rr.HybridIndex) -> None:
    text = "How many weeks of follow-up for the kidney stone of John Smith, seen on 3 May 2021?"
    question = Question("q", text, gold=(GoldSpan("abstract-0", 0, 3, "The"),))
    masked = deidentify(text).text
    assert masked != text
    expected = [name for name in _ids(index.search(masked, 12)) if name != "abstract-0"]
    assert len(expected) == 11
    assert _ids(without_own_source(index, [question]).search(masked, 12)) == expected


def test_two_sources_of_one_text_are_refused(index: rr.HybridIndex, questions: list[Question]) -> None:
    twin = Question("twin", questions[0].text, gold=questions[1].gold)
    with pytest.raises(ValueError, match="have other sources"):
        without_own_source(index, [*questions, twin])


class Never:
    """An index that nobody may search."""

    def __init__(self, index: rr.HybridIndex) -> None:
        self.manifest = index.manifest
        self.encoder = index.encoder

    def search(self, *_: object, **__: object) -> None:
        raise AssertionError("it ran")


def test_without_sources_the_leak_control_is_refused_before_anything_runs(
    index: rr.HybridIndex, questions: list[Question]
) -> None:
    unread = rr.QAPipeline(Never(index), Quoter())  # type: ignore[arg-type]
    bare = [replace(question, gold=()) for question in questions]
    with pytest.raises(ValueError, match=r"none of the 6 questions .* without leak_control \(--controls\)"):
        compare(unread, unread, bare, leak_control=True, names=("a", "b"))
    twin = replace(questions[1], text=questions[0].text)
    with pytest.raises(ValueError, match="have other sources"):
        compare(unread, unread, [questions[0], twin], leak_control=True, names=("a", "b"))


def test_the_leak_control_says_how_often_the_source_was_reached(made: Comparison) -> None:
    assert made.leak is not None
    assert (made.leak.questions, made.leak.reached) == (6, 6)
    names = [row.metric for row in made.leak.rows]
    assert names == ["answer token F1"]
    assert next(row for row in made.rows if row.metric == "cites a gold source").system.value > 0


def test_ablations_are_what_they_are_called(index: rr.HybridIndex, qa: rr.QAPipeline, made: Comparison) -> None:
    variants = question_ablations(qa, ks=(1, 3, 5))
    assert list(variants) == ["BM25 only", "dense only", "no guideline", "k = 1 passage", "k = 5 passages"]
    text = "How many weeks for a lung nodule?"
    evidence = {name: one(text).evidence for name, one in variants.items()}
    assert list(evidence["BM25 only"]) == index.search(text, 3, mode="lexical")
    assert list(evidence["dense only"]) == index.search(text, 3, mode="dense")
    assert all(name.startswith("abstract") for name in _ids(evidence["no guideline"]))
    assert [len(evidence[name]) for name in ("no guideline", "k = 1 passage", "k = 5 passages")] == [3, 1, 5]
    assert qa(text).evidence == tuple(index.search(text, 3))  # the pipeline itself is as it was
    assert [one.k for one in made.ablations] == [None, None, None, 1, 2, 4, 8, 16]


def test_every_cell_of_all_variants_is_corrected_together(made: Comparison) -> None:
    from radrag.metrics import holm

    cells = [cell for one in made.ablations for cell in one.cells]
    assert len(cells) == 8 * 3
    assert [cell.adjusted for cell in cells] == pytest.approx(holm([cell.p_value for cell in cells]).tolist())


def test_a_reranker_is_taken_out_if_there_is_one(tmp_path: Path) -> None:
    class Backwards:
        depth = 12

        def rerank(self, query: str, hits: Sequence[Any]) -> list[Any]:
            return list(hits)[::-1]

    with rr.HybridIndex.create(tmp_path / "index", reranker=Backwards()) as index:
        index.add(_documents())
        variants = question_ablations(rr.QAPipeline(index, Quoter(), k=3, min_confidence=0.0))
        plain = index.search("lung nodule", 3, rerank=False)
        assert list(variants["no re-rank"]("lung nodule").evidence) == plain
        assert index.search("lung nodule", 3) != plain


def test_a_kind_is_left_out_whatever_it_is(index: rr.HybridIndex) -> None:
    assert {name.split("-")[0] for name in _ids(without_kind(index, "abstract").search("nodule", 12))} == {"guideline"}


def test_labels_lack_one_source_at_a_time() -> None:
    assert label_ablations(lambda use: use, ("a", "b", "c")) == {
        "without a": ("b", "c"),
        "without b": ("a", "c"),
        "without c": ("a", "b"),
    }
    with pytest.raises(ValueError, match="at least 2"):
        label_ablations(lambda use: use, ("a",))


def test_slices_come_from_the_documents_that_answer(made: Comparison) -> None:
    names = {(row.attribute, row.name) for row in made.slices}
    assert names == {("publication year", "2000-2004"), ("publication year", "2005-2009")}
    assert all(row.small and row.p_value is None for row in made.slices)


def test_retrieval_is_counted_by_rank(made: Comparison, questions: list[Question], index: rr.HybridIndex) -> None:
    ranks = [_ids(index.search(q.text, 3)).index(q.gold[0].document_id) + 1 for q in questions]
    assert [(one.k, one.share.value) for one in made.retrieval] == [
        (k, pytest.approx(sum(rank <= k for rank in ranks) / 6)) for k in (1, 2, 3)
    ]


class Sampler:
    """Writes its seed, and counts its words as tokens."""

    fingerprint = "sampler"

    def __init__(self, *, counts: bool = True) -> None:
        self.counts = counts

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        return [Generation(f"Seed {params.seed} said so. [1]", True, 7, 4 if self.counts else None) for _ in chats]


def test_repeats_use_other_seeds_and_show_their_spread(index: rr.HybridIndex, questions: list[Question]) -> None:
    params = GenerationParams(temperature=0.7)
    sampled = rr.QAPipeline(index, Sampler(), k=3, min_confidence=0.0, params=params)
    steady = rr.QAPipeline(index, Quoter(), k=3, min_confidence=0.0)
    made = compare(sampled.without_retrieval(), steady, questions, repeats=3)
    assert made.repeats is not None
    assert made.repeats.seeds == (0, 1, 2)
    assert made.repeats.changed_system == 6
    assert made.repeats.changed_baseline == 0
    assert {len(one.system) for one in made.repeats.spread} == {3}
    assert reseeded(sampled, 5)("How many weeks?").claims[0].text.startswith("Seed 5")
    assert sampled("How many weeks?").claims[0].text.startswith("Seed 0")


def test_the_manifest_names_the_seed_of_a_repeat(index: rr.HybridIndex) -> None:
    sampled = rr.QAPipeline(index, Sampler(), min_confidence=0.0, params=GenerationParams(temperature=0.7))
    before = sampled("How many weeks?").manifest["reader"]
    assert "seed=5" in reseeded(sampled, 5)("How many weeks?").manifest["reader"]
    assert "seed=0" in before


def test_greedy_decoding_is_not_repeated(index: rr.HybridIndex) -> None:
    with pytest.raises(ValueError, match="temperature above 0"):
        reseeded(rr.QAPipeline(index, Sampler()), 1)


def test_tokens_are_counted_where_the_generator_counts(index: rr.HybridIndex, questions: list[Question]) -> None:
    for counts, expected in ((True, 24), (False, None)):
        qa = rr.QAPipeline(index, Sampler(counts=counts), min_confidence=0.0)
        made = compare(qa, qa.without_retrieval(), questions)
        assert [(cost.prompt_tokens, cost.new_tokens) for cost in made.cost] == [(42, expected)] * 2
        assert all(cost.seconds >= 0 and cost.items == 6 for cost in made.cost)


def test_counting_changes_nothing(index: rr.HybridIndex) -> None:
    qa = rr.QAPipeline(index, ScriptedGenerator(lambda chat: "Five weeks. [1]"), min_confidence=0.0)
    counted, meter = metered(qa)
    assert isinstance(meter, Meter)
    assert counted("How many weeks?") == qa("How many weeks?")
    assert metered(rr.QAPipeline(index, Quoter()))[1] is None
    assert not hasattr(meter, "score")


def test_a_variant_needs_a_pipeline_of_ours(qa: rr.QAPipeline) -> None:
    with pytest.raises(TypeError, match="only a QAPipeline"):
        variant(object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        variant(qa, k=0)
