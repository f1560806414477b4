"""Candidates of large label sets, near terms, and zero-shot scores of candidates only."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import tokenize
from radrag.labelling import LabelSet, TextModel, ZeroShot
from radrag.labelling import candidates as module
from radrag.labelling.candidates import DENSE_WEIGHT, K1, B, LabelIndex, candidate_recall
from radrag.labelling.features import fit_vocabulary, vectorise
from radrag.labelling.label_set import described
from radrag.labelling.near_terms import NearTerms, errors_between
from radrag.labelling.zero_shot import guidelines_of
from radrag.metrics import bootstrap
from radrag.protocols import Kind
from radrag.types import Document, Label, Notice, Section

LABELS = LabelSet([
    Label("ct-head", "CT head", "Scan of the brain without contrast", ("brain CT", "NCHCT")),
    Label("mr-knee", "MR knee", "Joint with ligaments", ("knee MRI",), examples=("locked joint after football",)),
    Label("ct-abd", "CT abdomen", "Belly with contrast", ("abdominal CT",)),
    Label("mr-abd", "MR abdomen", "", ("abdominal MRI",)),
    Label("I63.9", "Cerebral infarction", "", ("ischaemic stroke",)),
    Label("c3", "C3 lesion"),
    Label("c4", "C4 lesion"),
])  # fmt: skip


class Hashing:
    """Hashed letters, unit length, zeros for a text without letters a to h."""

    fingerprint = "test:letters"
    dim = 8

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        del kind
        rows = np.asarray([[text.lower().count(letter) for letter in "abcdefgh"] for text in texts], dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


class Silent(Hashing):
    """Knows no text, so that words decide."""

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        return 0 * super().encode(texts, kind)


@pytest.fixture(scope="module")
def index() -> LabelIndex:
    return LabelIndex(LABELS, Hashing())


def _first(index: LabelIndex, note: str) -> str:
    return index.labels.ids[index.nearest([note], 1)[0][0, 0]]


@pytest.mark.parametrize(
    ("note", "label"),
    [
        ("please NCHCT, fell", "ct-head"),
        ("mri of the knee", "mr-knee"),
        ("locked after football", "mr-knee"),  # an example
        ("ct abdmoen", "ct-abd"),  # two letters swapped
        ("mr abdo", "mr-abd"),  # cut short
        ("dx I63.9 please review", "I63.9"),  # a code
        ("C4 lesion", "c4"),
        ("c3 lesoin", "c3"),
    ],
)
def test_finds_by_name_synonym_example_misspelling_and_code(index: LabelIndex, note: str, label: str) -> None:
    assert _first(index, note) == label


def _rows(label: Label) -> list[str]:
    rows = [label.name, *label.synonyms, *label.examples]
    rows += [f"{label.name}\n{label.definition}"] if label.definition else []
    return rows + ([label.id] if any(char.isdigit() for char in label.id) else [])


def _expected(note: str) -> NDArray[np.float64]:
    """BM25 of the best row over what all words could give, and the cosine, written out; known words only."""
    rows = [(place, tokenize(text)) for place, label in enumerate(LABELS) for text in dict.fromkeys(_rows(label))]
    mean = sum(len(row) for _, row in rows) / len(rows)
    terms = list(dict.fromkeys(tokenize(note)))
    held = [sum(term in row for _, row in rows) for term in terms]
    idf = {term: math.log(1 + (len(rows) - n + 0.5) / (n + 0.5)) for term, n in zip(terms, held, strict=True)}
    best = np.zeros(len(LABELS))
    for place, row in rows:
        norm = K1 * (1 - B + B * len(row) / mean)
        score = sum(idf[term] * row.count(term) * (K1 + 1) / (row.count(term) + norm) for term in terms if term in row)
        best[place] = max(best[place], score)
    encode = Hashing().encode
    cosines = encode([described(label) for label in LABELS], "passage").astype(np.float16) @ encode([note], "query")[0]
    return (1 - DENSE_WEIGHT) * best / sum(idf.values()) + DENSE_WEIGHT * cosines


@pytest.mark.parametrize(
    "note", ["CT of the abdomen with contrast", "knee ligaments MRI knee", "infarction of the brain"]
)
def test_scores_are_those_written_out(index: LabelIndex, note: str) -> None:
    positions, scores = index.nearest([note], len(LABELS))
    expected = _expected(note)
    assert sorted(positions[0].tolist()) == list(range(len(LABELS)))
    np.testing.assert_allclose(scores[0], expected[positions[0]], atol=1e-5)
    assert (np.diff(scores[0]) <= 0).all()
    for k in range(1, len(LABELS)):
        again, kept = index.nearest([note], k)
        assert (again[0] == positions[0, :k]).all()
        assert (kept[0] == scores[0, :k]).all()


def test_few_candidates_are_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = [a + b for a in ("renal", "lung", "skull", "femur", "colon") for b in ("", "gram", "scan", "view")]
    labels = LabelSet(Label(f"l{i}", " ".join(rng.choice(words, 4, replace=False))) for i in range(400))
    index = LabelIndex(labels, Hashing())
    notes = [" ".join(rng.choice(words, 5)) for _ in range(130)]  # more than a block
    everything, scores = index.nearest(notes, 400)
    monkeypatch.setattr(module, "_LEAST_DEPTH", 20)
    few, kept = index.nearest(notes, 5)
    same = [len(set(a) & set(b)) for a, b in zip(few.tolist(), everything[:, :5].tolist(), strict=True)]
    assert np.mean(same) > 4.5  # ties at the edge of the depth aside, nothing better was left out
    assert (kept[:, 0] == scores[:, 0]).mean() > 0.97


def test_note_of_which_nothing_is_known_scores_nothing(index: LabelIndex) -> None:
    positions, scores = index.nearest(["zzz 99"], 3)
    assert scores.tolist() == [[0, 0, 0]]
    assert positions.tolist() == [[0, 1, 2]]


def test_arguments_are_checked(index: LabelIndex) -> None:
    for k in (0, len(LABELS) + 1):
        with pytest.raises(ValueError, match=f"k must be from 1 to the 7 labels, got {k}"):
            index.nearest(["a note"], k)
    with pytest.raises(ValueError, match="note 1 is blank"):
        index.nearest(["a note", " "], 2)
    assert index.nearest([], 2)[0].shape == (0, 2)


def test_save_and_load_give_the_same(index: LabelIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    loaded = LabelIndex.load(tmp_path / "index", LABELS, Hashing())
    notes = ["ct abdmoen", "I63.9", "football"]
    for one, other in zip(index.nearest(notes, 4), loaded.nearest(notes, 4), strict=True):
        assert (one == other).all()
    other_labels = LabelSet([*LABELS, Label("new")])
    with pytest.raises(IndexMismatchError, match=r"was made with labels .* make the label index anew"):
        LabelIndex.load(tmp_path / "index", other_labels, Hashing())
    encoder = Hashing()
    encoder.fingerprint = "test:other"
    with pytest.raises(IndexMismatchError, match="made with encoder test:letters, but test:other is given"):
        LabelIndex.load(tmp_path / "index", LABELS, encoder)
    np.save(tmp_path / "index" / "owners.npy", np.zeros(3, dtype=np.int64))
    with pytest.raises(ModelError, match="are not the ones saved"):
        LabelIndex.load(tmp_path / "index", LABELS, Hashing())
    with pytest.raises(ModelError, match="is missing"):
        LabelIndex.load(tmp_path / "nowhere", LABELS, Hashing())


def test_recall_counts_what_was_found(index: LabelIndex) -> None:
    notes, true = ["brain ct", "knee mri", "knee mri", "c3 lesion"], ["ct-head", "mr-knee", "ct-head", "c3"]
    assert candidate_recall(index, notes, true, 1) == bootstrap([1.0, 1.0, 0.0, 1.0])
    assert candidate_recall(index, notes, true, 7).value == 1
    assert candidate_recall(index, notes, true, 1, groups=list("aabb")).groups == 2
    with pytest.raises(ValueError, match="1 labels are not in the set, such as 'x'"):
        candidate_recall(index, ["a"], ["x"])
    with pytest.raises(ValueError, match="one length, got 1 and 2"):
        candidate_recall(index, ["a"], ["c3", "c4"])


@settings(deadline=None, max_examples=200)
@given(st.text("abc", max_size=7), st.text("abc", max_size=7), st.integers(0, 3))
@example("ca", "abc", 2)
def test_errors_are_the_optimal_string_alignment(one: str, other: str, most: int) -> None:
    distance = pytest.importorskip("rapidfuzz.distance").OSA.distance
    assert errors_between(one, other, most) == min(distance(one, other), most + 1)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.text("abcd", min_size=1, max_size=10), unique=True, max_size=12),
    st.text("abcd", min_size=1, max_size=10),
)
def test_near_terms_are_those_with_fewest_errors(terms: list[str], word: str) -> None:
    distance = pytest.importorskip("rapidfuzz.distance").OSA.distance
    allowed = 0 if len(word) < 4 else 2 if len(word) >= 8 else 1
    kept = [term for term in terms if len(term) >= 4]
    near = {term: distance(word, term) for term in kept if allowed and distance(word, term) <= allowed}
    if near:
        least = min(near.values())
        expected = sorted((term, count) for term, count in near.items() if count == least)[:3]
    else:
        begun = [term for term in kept if len(word) >= 3 and term.startswith(word)]
        expected = [(term, 2) for term in sorted(begun, key=lambda term: (len(term), term))[:3]]
    assert list(NearTerms(terms).near(word)) == expected


def test_near_terms_leave_names_with_digits_and_short_words_alone() -> None:
    near = NearTerms(["il6", "il16", "c3c4", "knee", "arm", "abdomen", "abdominopelv"]).near
    assert near("il8") == near("c3c5") == near("art") == near("ab") == ()
    assert near("kneee") == (("knee", 1),)
    assert near("abd") == (("abdomen", 2), ("abdominopelv", 2))
    assert NearTerms([]).near("knee") == ()


def test_zero_shot_of_candidates_and_nearest() -> None:
    text = "Indications of this exam: meniscus or acl"
    documents = {"mr-knee": Document("mr-knee", text, sections=(Section(("Knee", "Indications"), 0, len(text)),))}
    model = ZeroShot(LABELS, Hashing(), documents)
    notes = ["acl tear, locked knee", "abdominal ct"]
    everything = model.scores(notes)
    positions, scores = model.nearest(notes, len(LABELS))
    np.testing.assert_allclose(np.take_along_axis(everything, positions, 1), scores, atol=1e-5)
    assert (np.diff(scores) <= 0).all()
    order = np.asarray([[2, 1, 0, 6, 5, 4, 3]] * 2)
    np.testing.assert_allclose(model.scores_of(notes, order), np.take_along_axis(everything, order, 1), atol=1e-5)
    words = ZeroShot(LABELS, Silent(), documents)
    two = words.scores_of(notes, np.asarray([[1, 4], [4, 2]]))
    assert (two.argmax(axis=1) == [0, 1]).all()
    np.testing.assert_allclose(np.exp(two).sum(axis=1), 1)
    assert words.nearest(notes, 2)[0][:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("positions", "message"),
    [([[0, 0]], "got one twice"), ([[0, 7]], "from 0 to 6, got 0 to 7"), ([[0], [1]], r"shape \[1, k\].*got \[2, 1\]")],
)
def test_zero_shot_checks_candidates(positions: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ZeroShot(LABELS, Hashing()).scores_of(["a note"], np.asarray(positions))


def test_zero_shot_evidence_is_that_of_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radrag.labelling.zero_shot._BLOCK", 3)
    model = ZeroShot(LABELS, Hashing())
    texts = [described(label) for label in LABELS]
    vocabulary, idf = fit_vocabulary(texts)
    rows = vectorise([tokenize(text) for text in texts], vocabulary, idf).toarray()
    dense = TextModel(vocabulary, idf, rows, np.zeros(len(LABELS), dtype=np.float32))
    for note in ("brain scan with contrast, knee ligaments", "belly", "nothing known here at all zzz", "CT CT abdomen"):
        for label in range(len(LABELS)):
            assert model.evidence(note, label) == dense.evidence(note, label)


def test_a_retracted_document_is_no_guideline_whoever_says_so(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index", encoder=Hashing()) as index:
        index.add([
            Document("ct-head", "Head scan.", metadata={"retracted": "False"}),
            Document("mr-knee", "Knee scan.", metadata={"retracted": True}),
            Document("ct-abd", "Belly scan.", metadata={"doi": "10.1000/x"}),
            Document("other", "A cat."),
        ])  # fmt: skip
        assert set(guidelines_of(LABELS, index)) == {"ct-head", "ct-abd"}
        index.update([Document("ct-abd", "Belly scan.", metadata={"publication_types": ["Expression of Concern"]})])
        assert set(guidelines_of(LABELS, index)) == {"ct-head"}
        index.update([Document("ct-abd", "Belly scan.", metadata={"doi": "10.1000/x"})])
        index.set_notices("list", [Notice("doi:10.1000/x", "retracted")])
        assert set(guidelines_of(LABELS, index)) == {"ct-head"}
