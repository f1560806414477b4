"""Strong evidence goes ahead of what a search scores nearly alike, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.grounding.evidence_level import evidence_level
from radrag.grounding.evidence_prior import prefer
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.qa import QAPipeline
from radrag.pipelines.searching import search
from radrag.types import Document, Hit, Passage


def hit(name: str, score: float) -> Hit:
    return Hit(Passage(name, 0, 1, "x"), score)


def test_what_is_near_is_overtaken_by_hand() -> None:
    # Spread 1: a review (1) gains .1 on an opinion (0), so that .05 behind is caught up and .2 behind is not.
    hits = [hit("opinion", 1.0), hit("review", 0.95), hit("far", 0.8), hit("last", 0.0)]
    strength = {"opinion": 0.0, "review": 1.0, "far": 1.0, "last": 0.0}.__getitem__
    assert [one.passage.document_id for one in prefer(hits, strength, 0.1)] == ["review", "opinion", "far", "last"]
    assert [one.score for one in prefer(hits, strength, 0.1)] == [0.95, 1.0, 0.8, 0.0]
    assert prefer(hits, strength, 0.0) == hits
    # With a spread of .1 only, a share of .1 is .01, and .05 behind is far.
    assert prefer([*hits[:2], hit("last", 0.9)], strength, 0.1)[0] == hits[0]
    assert prefer([], strength, 0.1) == []


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_bounds_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 1, got"):
        prefer([hit("a", 1.0)], lambda _: 1.0, share)


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0, 1))
def test_nothing_is_lost_and_alike_strength_changes_nothing(scores: list[float], share: float) -> None:
    hits = [hit(f"d{place}", score) for place, score in enumerate(sorted(scores, reverse=True))]
    assert [one.passage.document_id for one in prefer(hits, lambda _: 0.5, share)] == [
        one.passage.document_id for one in hits
    ]
    mixed = prefer(hits, lambda name: float(name in ("d1", "d4")), share)
    assert sorted(mixed, key=id) == sorted(hits, key=id)


TEXT = "Zinc was given to children with pneumonia and the stay was measured in hospital."
DOCUMENTS = [
    Document("opinion", TEXT, "Zinc", "abstract", metadata={"publication_types": ["Editorial"]}),
    Document("trial", f"{TEXT} Twice.", "Zinc", "abstract", metadata={"design": "randomised trial"}),
    Document("other", "Hips were replaced in children once.", "Hips", "abstract"),
    Document(
        "gone", TEXT, "Zinc", "abstract", metadata={"publication_types": ["Meta-Analysis"], "retracted": True},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("prior") / "index") as made:
        made.add(DOCUMENTS)
        yield made


def test_a_search_with_the_prior(index: HybridIndex) -> None:
    assert evidence_level(DOCUMENTS[1]).weight > evidence_level(DOCUMENTS[0]).weight
    question = "Zinc for children with pneumonia"
    plain = search(index, [question], 3, None)[0]
    assert plain == index.search(question, 3)
    assert [one.passage.document_id for one in plain][:2] == ["opinion", "trial"]
    strong = search(index, [question], 3, None, 0.3)[0]
    assert [one.passage.document_id for one in strong] == ["trial", "opinion", "other"]
    assert [one.passage.document_id for one in search(index, [question], 1, None, 0.3)[0]] == ["trial"]
    assert search(index, [], 3, None) == []


def test_a_pipeline_says_and_keeps_its_prior(index: HybridIndex, tmp_path: object) -> None:
    qa = QAPipeline(index, min_confidence=0.0, evidence_prior=0.3)
    assert qa.manifest()["evidence_prior"] == 0.3
    answer = qa("Zinc for children with pneumonia?")
    assert answer.evidence[0].passage.document_id == "trial"
    assert "gone" not in {one.passage.document_id for one in answer.evidence}
    qa.save(str(tmp_path))
    assert QAPipeline.load(str(tmp_path), index).manifest() == qa.manifest()
    assert qa.check(QAPipeline(index, min_confidence=0.0).manifest())
    with pytest.raises(ValueError, match="prior for strong evidence"):
        QAPipeline(index, evidence_prior=2)
