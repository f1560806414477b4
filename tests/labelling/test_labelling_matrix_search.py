"""The batched search against the index's own machinery, text by text."""

from __future__ import annotations

import numpy as np
import pytest

from radrag.corpora import load_notes, load_protocols
from radrag.indexes.encoders import load_encoder
from radrag.indexes.searcher import Mode
from radrag.labelling.matrix_search import MatrixSearch
from radrag.labelling.memory import memory_searcher

ENCODER = load_encoder("static")
ASKED = [*(note.text for note in load_notes("calibration")[:40]), "zzzz", "CT CT ct", "the of"]


def encoded(texts: list[str]) -> np.ndarray:
    """Vectors as an index keeps them, in half precision, so that both search the same."""
    return ENCODER.encode(texts, "passage").astype(np.float16).astype(np.float32)


def corpora() -> dict[str, list[str]]:
    return {
        "guidelines": [document.text for document in load_protocols()],
        "notes with copies": [note.text for note in load_notes("train")][:600] * 2,
        "one text": ["CT of the head for headache"],
    }


@pytest.mark.parametrize("name", list(corpora()))
@pytest.mark.parametrize("k", [1, 20, 150])
def test_the_same_hits_and_scores(name: str, k: int) -> None:
    texts = corpora()[name]
    vectors = encoded(texts)
    weight = 0.3 if ENCODER.fingerprint.startswith("static:") else 0.6
    rows, scores = MatrixSearch(texts, vectors, ENCODER, weight).nearest(ASKED, k)
    expected = memory_searcher(texts, vectors, ENCODER).search(ASKED, k, None, Mode.HYBRID)
    assert rows.shape == scores.shape == (len(ASKED), min(k, len(texts)))
    for note, mine, values, hits in zip(ASKED, rows, scores, expected, strict=True):
        theirs = sorted(((row, score) for row, score, *_ in hits), key=lambda hit: (-hit[1], hit[0]))[:k]
        assert len(mine) == len(theirs)
        np.testing.assert_allclose(values, [score for _, score in theirs], atol=1e-4, err_msg=note)
        known = {row: score for row, score, *_ in hits}
        # Rows may change places only where their scores are as good as equal.
        assert all(abs(known.get(int(row), score) - score) < 1e-4 for row, score in zip(mine, values, strict=True))


def test_all_scores_of_a_small_set() -> None:
    texts = corpora()["guidelines"]
    vectors = encoded(texts)
    found = MatrixSearch(texts, vectors, ENCODER, 0.3).all(ASKED)
    for row, hits in zip(
        found, memory_searcher(texts, vectors, ENCODER).search(ASKED, len(texts), None, Mode.HYBRID), strict=True
    ):
        expected = np.zeros(len(texts))
        for place, score, *_ in hits:
            expected[place] = score
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpora()["notes with copies"]
    search = MatrixSearch(texts, encoded(texts), ENCODER, 0.3)
    whole = search.nearest(ASKED, 50)
    monkeypatch.setattr("radrag.labelling.matrix_search._CELLS", 3 * len(texts))
    parts = search.nearest(ASKED, 50)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-6)
    assert search.nearest([], 5)[0].shape == (0, 5)
