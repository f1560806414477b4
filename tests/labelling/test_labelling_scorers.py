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
from scipy.special import log_softmax

from radrag.corpora import load_notes
from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.encoders import load_encoder
from radrag.indexes.searcher import Mode
from radrag.indexes.tokens import token_spans, tokenize
from radrag.labelling import LabelSet, Neighbours, TextModel, ZeroShot
from radrag.labelling.evidence import phrases
from radrag.labelling.feature_counts import FeatureCounts, weighted
from radrag.labelling.features import features, fit_vocabulary, vectorise
from radrag.labelling.label_set import described
from radrag.labelling.matrix_search import MatrixSearch
from radrag.labelling.memory import memory_searcher
from radrag.labelling.neighbours import SMOOTHING, TEMPERATURE, VOTERS
from radrag.labelling.term_counts import count_terms
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


def test_neighbours_by_matrices_and_by_single_searches_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = [note.text for note in load_notes("train")[:400:2]]
    true = np.arange(len(notes), dtype=np.int64) % 7
    asked, encoder = [note.text for note in load_notes("calibration")[:20]] + ["zzzz"], load_encoder("static")
    fast = Neighbours(notes, true, 7, encoder)
    monkeypatch.setattr("radrag.labelling.neighbours.MOST_COMPARED", 0)
    slow = Neighbours(notes, true, 7, encoder)
    np.testing.assert_allclose(fast.scores(asked), slow.scores(asked), atol=1e-4)
    assert (fast.voted(asked) == slow.voted(asked)).all()
    for one, other in zip(fast.nearest(asked, 5), slow.nearest(asked, 5), strict=True):
        assert [row for row, _ in one] == [row for row, _ in other]
        assert [score for _, score in one] == pytest.approx([score for _, score in other], abs=1e-4)


def test_neighbours_of_few_notes() -> None:
    model = Neighbours(["stone", "knee"], np.asarray([0, 1]), 3, HashEncoder())
    assert [len(hits) for hits in model.nearest(["stone colic"], 4)] == [2]
    assert model.voted(["stone colic"]).tolist() == [[True, True, False]]
    assert model.scores(["stone"])[0].argmax() == 0


def test_zero_shot_is_the_sum_of_its_searches() -> None:
    labels = LabelSet([Label(f"l{n}", f"scan of {word}", f"{word} and {WORDS[n - 1]}") for n, word in enumerate(WORDS)])
    texts = {f"l{n}": f"Indications: {word}. " + " ".join(WORDS[n:]) for n, word in enumerate(WORDS) if n % 3}
    guidelines = {
        id: Document(id, text, sections=(Section(("Scan", "Indications"), 0, 20),)) for id, text in texts.items()
    }
    notes = [*made(5, seed=3)[0], "nothing known"]
    names = [described(label) for label in labels]
    fields = [
        names,
        [texts[label.id][:20] if label.id in texts else name for label, name in zip(labels, names, strict=True)],
        [texts.get(label.id, name) for label, name in zip(labels, names, strict=True)],
    ]
    total = np.zeros((len(notes), len(labels)))
    for field in fields:
        searcher = memory_searcher(field, HashEncoder().encode(field, "passage"), HashEncoder())
        for place, hits in enumerate(searcher.search(notes, len(field), None, Mode.HYBRID)):
            for row, score, *_ in hits:
                total[place, row] += score
    found = ZeroShot(labels, HashEncoder(), guidelines).scores(notes)
    np.testing.assert_allclose(found, log_softmax(total, axis=1), atol=1e-4)


def _by_hand(model: TextModel, note: str, label: int, dense: NDArray[np.float32], names: list[str]) -> list[str]:
    """Evidence by the definition, from plain dictionaries."""
    terms = token_spans(note)
    found = list(features([term for term, _, _ in terms]))
    counts = Counter(name for name in found if name in names)
    row = {name: (1 + math.log(times)) * model._idf[names.index(name)] for name, times in counts.items()}
    norm = math.sqrt(sum(value**2 for value in row.values())) or 1
    for below in (dense.mean(axis=0), dense.min(axis=0)):
        share = {
            name: value / norm * (dense[label] - below)[names.index(name)] / counts[name] for name, value in row.items()
        }
        scores = [share.get(name, 0.0) for name in found[: len(terms)]]
        for place, name in enumerate(found[len(terms) :]):
            scores[place] += share.get(name, 0.0) / 2
            scores[place + 1] += share.get(name, 0.0) / 2
        if spans := phrases(note, terms, scores):
            return [span.text for span in spans]
    return []


def test_evidence_of_a_batch_is_the_definition_note_by_note() -> None:
    notes = [*made(30, seed=5)[0], "colic colic, flank colic stone", "nothing known", "knee", "?", "acl-knee lock"]
    names = list(_MODEL._vocabulary)
    dense = np.ascontiguousarray(_MODEL._weights.T)
    assert dense.shape == (3, len(names))
    labels = [place % 3 for place in range(len(notes))]
    together = _MODEL.evidences(notes, labels)
    for note, label, spans in zip(notes, labels, together, strict=True):
        assert [span.text for span in spans] == _by_hand(_MODEL, note, label, dense, names)
        assert spans == _MODEL.evidence(note, label)
    assert any(together)


def test_features_counted_once_are_those_of_each_part() -> None:
    notes = [*made(40, seed=2)[0], "", "stone"]
    rows = np.asarray([3, 40, 7, 7, 12, 41])
    part = [notes[row] for row in rows]
    taken = FeatureCounts.of([tokenize(note) for note in notes]).take(rows).known()
    vocabulary, idf = fit_vocabulary(part)
    assert taken.names == tuple(vocabulary)
    np.testing.assert_array_equal(taken.idf(), idf)
    expected = vectorise([tokenize(note) for note in part], vocabulary, idf)
    np.testing.assert_allclose(weighted(taken.counts, idf).toarray(), expected.toarray(), rtol=1e-6)


def test_terms_counted_once_search_as_those_of_each_part() -> None:
    notes = made(60, seed=4)[0]
    rows = np.arange(5, 50, 3)
    part, asked = [notes[row] for row in rows], [*made(6, seed=8)[0], "stone zzz"]
    vectors = HashEncoder().encode(part, "passage")
    counted = count_terms([tokenize(note) for note in notes]).take(rows)
    np.testing.assert_allclose(
        MatrixSearch(counted, vectors, HashEncoder(), 0.3).all(asked),
        MatrixSearch(part, vectors, HashEncoder(), 0.3).all(asked),
        atol=1e-6,
    )
