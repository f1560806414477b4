"""Text model, neighbours and zero-shot against plain recomputations."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.tokens import token_spans, tokenize
from radrag.labelling import LabelSet, Neighbours, TextModel, ZeroShot
from radrag.labelling.evidence import phrases
from radrag.labelling.features import fit_vocabulary, vectorise
from radrag.labelling.neighbours import SMOOTHING, TEMPERATURE, VOTERS
from radrag.protocols import Encoder, Kind
from radrag.types import Document, Label, Section

WORDS = [
    "stone",
    "colic",
    "flank",
    "haematuria",
    "chest",
    "nodule",
    "smoker",
    "cough",
    "knee",
    "meniscus",
    "lock",
    "acl",
]
TOPICS = [WORDS[:4], WORDS[4:8], WORDS[8:]]


class HashEncoder:
    """A bag of hashed words."""

    fingerprint = "test:hash"
    dim = 16

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        del kind
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % self.dim] += 1
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def made(n: int, seed: int = 0, topics: int = 3) -> tuple[list[str], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    true = np.arange(n) % topics
    notes = [" ".join([*rng.choice(TOPICS[label], 3), *rng.choice(WORDS, 2)]) for label in true]
    return notes, true.astype(np.int64)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet="aAİI ½ﬁµμΑ가가́Å -+3.'/", max_size=30)))
def test_token_spans_are_the_terms_of_tokenize(text: str) -> None:
    spans = token_spans(text)
    assert [term for term, _, _ in spans] == tokenize(text)
    assert all(0 <= start < end <= len(text) for _, start, end in spans)
    assert [start for _, start, _ in spans] == sorted(start for _, start, _ in spans)


def test_token_spans_point_at_the_original_characters() -> None:
    text = "ﬁbrosis ½ cup, MR-guided 5µg İSTANBUL"
    found = {text[start:end] for _, start, end in token_spans(text)}
    assert {"ﬁbrosis", "cup", "MR-guided", "5µg", "İSTANBUL"} <= found
    shouted = "PATIENT İ HAS A ﬁRM MASS"
    assert {shouted[start:end] for _, start, end in token_spans(shouted)} >= {"ﬁRM", "MASS", "PATIENT"}


def test_features_by_hand() -> None:
    notes = ["stone colic stone", "colic nodule"]
    vocabulary, idf = fit_vocabulary(notes)
    assert sorted(vocabulary) == ["colic", "colic nodul", "colic stone", "nodul", "stone", "stone colic"]
    rare, common = math.log(3 / 2) + 1, 1.0
    assert idf[vocabulary["stone"]] == pytest.approx(rare)
    assert idf[vocabulary["colic"]] == pytest.approx(common)
    row = vectorise([tokenize("stone stone colic unknown")], vocabulary, idf).toarray()[0]
    raw = {"stone": (1 + math.log(2)) * rare, "colic": common, "stone colic": rare}
    norm = math.sqrt(sum(value**2 for value in raw.values()))
    assert {name: row[column] for name, column in vocabulary.items() if row[column]} == pytest.approx(
        {name: value / norm for name, value in raw.items()}
    )
    assert vectorise([[]], vocabulary, idf).toarray().sum() == 0


@pytest.mark.parametrize("topics", [2, 3])
def test_text_model_learns_and_its_scores_are_log_probabilities(topics: int) -> None:
    notes, true = made(120, topics=topics)
    scores = TextModel.fit(notes[:90], true[:90], topics + 1).scores(notes[90:])
    assert np.exp(scores).sum(axis=1) == pytest.approx(np.ones(30))
    assert (scores.argmax(axis=1) == true[90:]).mean() > 0.85
    assert scores[:, topics].max() < 0  # a label without a note is scored, and never taken
    assert (scores.argmax(axis=1) != topics).all()


def test_text_model_of_one_label() -> None:
    scores = TextModel.fit(["stone", "colic"], np.asarray([1, 1]), 3).scores(["stone"])
    assert scores[0].argmax() == 1


def test_text_model_saves_exactly(tmp_path: Path) -> None:
    notes, true = made(60)
    model = TextModel.fit(notes, true, 3)
    model.save(tmp_path)
    again = TextModel.load(tmp_path)
    assert (again.scores(notes) == model.scores(notes)).all()
    assert again.evidence(notes[0], 0) == model.evidence(notes[0], 0)
    (tmp_path / "text_model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="is not safetensors"):
        TextModel.load(tmp_path)


def test_evidence_is_the_deciding_phrase() -> None:
    notes, true = made(120)
    model = TextModel.fit(notes, true, 3)
    note = "Patient seen today. Flank colic, then nothing more; knee fine"
    spans = model.evidence(note, 0)
    assert spans[0].text == "Flank colic"
    assert all(note[span.start : span.end] == span.text for span in spans)
    assert all("knee" not in span.text for span in spans)
    assert model.evidence("nothing known here", 0) == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*WORDS, "ﬁbrosis", "½", "and", "FLANK-pain", ".", "\n"]), max_size=14), st.integers(0, 2)
)
def test_evidence_reslices_and_is_small(words: list[str], label: int) -> None:
    note = " ".join(words)
    terms = set(tokenize(note))
    spans = _MODEL.evidence(note, label)
    assert len(spans) <= 3
    assert all(note[span.start : span.end] == span.text for span in spans)
    known = terms & {tokenize(word)[0] for word in WORDS}
    if not known:
        assert spans == ()
    best = int(_MODEL.scores([note])[0].argmax())
    if known:
        assert _MODEL.evidence(note, best)


_MODEL = TextModel.fit(*made(120), 3)


def test_phrases_join_neighbours_and_split_at_marks() -> None:
    note = "left flank pain, knee. MR-guided"
    terms = token_spans(note)
    spans = phrases(note, terms, [1.0] * len(terms))
    assert [span.text for span in spans] == ["left flank pain", "MR-guided", "knee"]
    assert phrases(note, terms, [-1.0] * len(terms)) == ()
    weak = [1.0 if term == "flank" else 0.01 for term, _, _ in terms]
    assert [span.text for span in phrases(note, terms, weak)] == ["flank"]


def _reference(
    query: str, notes: Sequence[str], true: NDArray[np.int64], labels: int, encoder: Encoder
) -> NDArray[np.float64]:
    """BM25 (k1 .6, b .5) and cosine, each to mean 0 and deviation 1, weighted .4 and .6; then a softmax vote."""
    lists = [tokenize(note) for note in notes]
    mean = sum(map(len, lists)) / len(lists)
    bm25 = np.zeros(len(notes))
    for term, times in Counter(tokenize(query)).items():
        n = sum(term in words for words in lists)
        idf = math.log1p((len(lists) - n + 0.5) / (n + 0.5))
        for row, words in enumerate(lists):
            f = words.count(term)
            bm25[row] += times * idf * f * 1.6 / (f + 0.6 * (0.5 + 0.5 * len(words) / mean)) if n else 0
    cosine = encoder.encode(notes, "passage") @ encoder.encode([query], "query")[0]
    fused = 0.4 * (bm25 - bm25.mean()) / bm25.std() + 0.6 * (cosine - cosine.mean()) / cosine.std()
    best = np.lexsort((np.arange(len(notes)), -fused))[:VOTERS]
    votes = np.exp(fused[best] / TEMPERATURE)
    share = np.bincount(true[best], weights=votes / votes.sum(), minlength=labels)
    return np.log((share + SMOOTHING) / (1 + labels * SMOOTHING))


def test_neighbours_match_brute_force() -> None:
    notes, true = made(80)
    notes = [f"{note} note{row}" for row, note in enumerate(notes)]  # no two notes tie
    model = Neighbours(notes, true, 4, HashEncoder())
    queries = [note for note, _ in zip(*made(12, seed=9), strict=True)]
    found = model.scores(queries)
    for row, query in enumerate(queries):
        assert found[row] == pytest.approx(_reference(query, notes, true, 4, HashEncoder()), abs=1e-3)
    assert np.exp(found).sum(axis=1) == pytest.approx(np.ones(12))


def test_neighbours_save_exactly_and_refuse_another_encoder(tmp_path: Path) -> None:
    notes, true = made(40)
    model = Neighbours(notes, true, 3, HashEncoder())
    model.save(tmp_path)
    assert (Neighbours.load(tmp_path, HashEncoder()).scores(notes) == model.scores(notes)).all()
    other = HashEncoder()
    other.fingerprint = "test:other"
    with pytest.raises(IndexMismatchError, match="vectors of encoder test:hash, but test:other was given"):
        Neighbours.load(tmp_path, other)


def test_zero_shot_uses_guidelines_if_there_are_any() -> None:
    labels = LabelSet([Label("a", "Stone scan", "CT for renal colic"), Label("b", "Knee MR", "MR of the knee")])
    text = "Indications of this exam: meniscus or acl"
    document = Document("b", text, sections=(Section(("Knee MR", "Indications"), 0, len(text)),))
    alone, guided = ZeroShot(labels, HashEncoder()), ZeroShot(labels, HashEncoder(), {"b": document})
    assert alone.scores(["renal colic"])[0].argmax() == 0
    assert guided.scores(["renal colic"])[0].argmax() == 0
    assert guided.scores(["acl or meniscus"])[0, 1] > alone.scores(["acl or meniscus"])[0, 1]
    assert [span.text for span in guided.evidence("old acl injury", 1)] == ["acl"]
    assert alone.evidence("old acl injury", 1) == ()
