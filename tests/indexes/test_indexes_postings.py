from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.indexes import postings as postings_module
from radrag.indexes import postings_merge
from radrag.indexes.postings import FILES, Postings, build_postings, read_postings, write_postings
from radrag.indexes.postings_merge import merge_postings

CORPUS = [["ct", "nodule", "ct"], [], ["brain", "β", "ct"], ["ct2", "c"]]
WORDS = ["a", "ab", "abc", "b", "ca2+", "z", "ß", "β", "漢", "\uffff", "😀"]
CORPORA = st.lists(st.lists(st.sampled_from(WORDS), max_size=9), max_size=9)
PARTS = st.lists(
    st.lists(st.tuples(st.lists(st.sampled_from(WORDS), max_size=9), st.booleans()), max_size=7), max_size=4
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def by_hand(corpus: list[list[str]]) -> dict[str, list[tuple[int, int, int]]]:
    """Term, in bytewise order, to (row, occurrences, length of the row)."""
    terms = sorted({term for tokens in corpus for term in tokens}, key=str.encode)
    return {
        term: [(row, tokens.count(term), len(tokens)) for row, tokens in enumerate(corpus) if term in tokens]
        for term in terms
    }


def read_back(postings: Postings) -> dict[str, list[tuple[int, int, int]]]:
    found = {}
    for position, term in enumerate(postings.terms()):
        rows, codes = postings.of(position)
        found[term] = [(row, *pair) for row, pair in zip(rows.tolist(), postings.pairs[codes].tolist(), strict=True)]
    return found


@pytest.mark.parametrize("corpus", [CORPUS, [], [[], []], [["a"]], [WORDS, WORDS[::-1], ["a"] * 3]])
def test_postings_hold_every_occurrence_once_written_too(tmp_path: Path, corpus: list[list[str]]) -> None:
    built = build_postings(corpus)
    write_postings(built, tmp_path)
    assert set(contents(tmp_path)) == set(FILES)
    for postings in (built, read_postings(tmp_path)):
        expected = by_hand(corpus)
        found = read_back(postings)
        assert found == expected
        assert list(found) == list(expected)
        assert postings.count == len(corpus)
        assert postings.lengths.tolist() == [len(tokens) for tokens in corpus]
        assert postings.max_tf.tolist() == [max(tf for _, tf, _ in held) for held in expected.values()]
        pairs = {(tf, length) for held in expected.values() for _, tf, length in held}
        assert postings.pairs.tolist() == [list(pair) for pair in sorted(pairs)]


def test_types_are_the_small_ones(tmp_path: Path) -> None:
    write_postings(build_postings(CORPUS), tmp_path)
    postings = read_postings(tmp_path)
    found = {name: getattr(postings, name).dtype for name in ("rows", "codes", "pairs", "lengths", "max_tf", "indptr")}
    expected = {"rows": "i4", "codes": "u2", "pairs": "i4", "lengths": "i4", "max_tf": "i4", "indptr": "i8"}
    assert found == expected
    assert not isinstance(postings.rows, np.memmap)
    assert isinstance(postings.rows.base, np.memmap)


@given(CORPORA)
def test_postings_give_the_documents_back(corpus: list[list[str]]) -> None:
    postings = build_postings(corpus)
    assert [sorted(tokens) for tokens in postings.documents()] == [sorted(tokens) for tokens in corpus]
    keep = np.arange(len(corpus)) % 2 == 0
    assert [Counter(tokens) for tokens in postings.documents(keep)] == [Counter(tokens) for tokens in corpus[::2]]


@pytest.fixture(params=[0, 1 << 14])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vocabularies that are searched where they lie, and those that are kept in memory."""
    monkeypatch.setattr(postings_module, "_FEW", request.param)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "term", ["", "aa", "ac", "abcd", "ca2", "ca2+x", "zz", "β ", "漢字", "😁", "A", "\ud800", "a\0"]
)
def test_absent_terms_are_not_found(tmp_path: Path, term: str) -> None:
    write_postings(build_postings([WORDS]), tmp_path)
    for postings in (build_postings([WORDS]), read_postings(tmp_path), build_postings([])):
        assert postings.find(term) == -1
        assert postings.holders(term) is None


@pytest.mark.usefixtures("few")
def test_every_term_is_found_where_it_is(tmp_path: Path) -> None:
    write_postings(build_postings([*([word] for word in WORDS), ["a", "a"]]), tmp_path)
    postings = read_postings(tmp_path)
    assert [postings.find(word) for word in WORDS] == list(range(len(WORDS)))
    for _ in range(2):  # the second time from memory
        for position, word in enumerate(WORDS):
            rows, codes, highest = postings.holders(word) or pytest.fail(word)
            assert rows.tolist() == [position] + [len(WORDS)] * (word == "a")
            assert postings.pairs[codes].tolist() == [[1, 1]] + [[2, 2]] * (word == "a")
            assert highest == (1 if word == "a" else 0)


def test_terms_of_a_large_vocabulary_are_found_and_few_are_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings_module, "_FEW", 1 << 12)
    draw = random.Random(0)
    words = sorted({"".join(draw.choices("abcé漢0", k=draw.randrange(1, 9))) for _ in range(20_000)}, key=str.encode)
    write_postings(build_postings([words[1::2]]), tmp_path)
    postings = read_postings(tmp_path)
    assert len(postings.term_ends) > 1 << 12
    asked = list(enumerate(words))
    draw.shuffle(asked)
    for place, word in asked:
        assert postings.find(word) == (place // 2 if place % 2 else -1)
    assert 1 << 10 < len(postings._waymarks) <= 1 << 12


def test_looking_up_many_terms_forgets_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radrag.indexes.postings._REMEMBERED", 3)
    postings = build_postings([WORDS])
    for _ in range(2):
        assert [postings.holders(word) is None for word in [*WORDS, "none"]] == [False] * len(WORDS) + [True]
        assert len(postings._held) <= 3


def test_more_pairs_than_sixteen_bits_can_count(tmp_path: Path) -> None:
    ladder = [f"{tf:02}" for tf in range(1, 53) for _ in range(tf)]
    rows = [ladder + ["pad"] * more for more in range(1300)]  # each length with the frequencies 1 to 52
    parts = [build_postings(rows[0::2]), build_postings(rows[1::2])]
    whole = build_postings(rows)
    assert len(whole.pairs) > 1 << 16
    assert whole.codes.dtype == np.uint32
    held, codes = whole.of(whole.find("52"))
    assert held.tolist() == list(range(1300))
    assert whole.pairs[codes].tolist() == [[52, 1378 + more] for more in range(1300)]
    (tmp_path / "merged").mkdir()
    (tmp_path / "fresh").mkdir()
    assert {part.codes.dtype for part in parts} == {np.dtype(np.uint16)}
    merge_postings(parts, [None, None], tmp_path / "merged")
    write_postings(build_postings(rows[0::2] + rows[1::2]), tmp_path / "fresh")
    assert contents(tmp_path / "merged") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("pairs.npy", "lengths.npy")])
def test_files_that_do_not_fit_together_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    write_postings(build_postings(CORPUS), tmp_path)
    write_postings(build_postings(CORPUS[:1]), tmp_path / "other")
    (tmp_path / "other" / name).rename(tmp_path / name)
    with pytest.raises(ValueError, match="do not fit together"):
        read_postings(tmp_path)


@given(PARTS, st.sampled_from([1, 2, 5, 1 << 20]), st.sampled_from([1, 3, 1 << 16]), st.integers(0, 15))
@settings(max_examples=60, deadline=None)
def test_a_merge_is_a_fresh_build_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[tuple[list[str], bool]]],
    postings_at_once: int,
    terms_at_once: int,
    untouched: int,
) -> None:
    merged, fresh = tmp_path_factory.mktemp("merged"), tmp_path_factory.mktemp("fresh")
    keep = [None if untouched >> i & 1 else np.asarray([k for _, k in part], bool) for i, part in enumerate(parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings_merge, "_POSTINGS", postings_at_once)
        patch.setattr(postings_merge, "_TERMS", terms_at_once)
        gone = merge_postings([build_postings(tokens for tokens, _ in part) for part in parts], keep, merged)
    stays = [
        tokens
        for mask, part in zip(keep, parts, strict=True)
        for row, (tokens, _) in enumerate(part)
        if mask is None or mask[row]
    ]
    write_postings(build_postings(stays), fresh)
    assert contents(merged) == contents(fresh)
    went = Counter(
        term
        for mask, part in zip(keep, parts, strict=True)
        for row, (tokens, _) in enumerate(part)
        for term in set(tokens)
        if mask is not None and not mask[row]
    )
    assert gone == went


def test_a_merge_of_files_in_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    words = [f"w{i}" for i in range(3000)]
    weights = [1 / (i + 1) for i in range(3000)]
    corpus = [draw.choices(words, weights, k=draw.randint(0, 80)) for _ in range(900)]
    parts = []
    for name, low, high in (("one", 0, 500), ("two", 500, 510), ("three", 510, 900)):
        (tmp_path / name).mkdir()
        write_postings(build_postings(corpus[low:high]), tmp_path / name)
        parts.append(read_postings(tmp_path / name))
    keep = np.asarray([draw.random() < 0.7 for _ in range(500)])
    monkeypatch.setattr(postings_merge, "_POSTINGS", 200)
    (tmp_path / "merged").mkdir()
    (tmp_path / "fresh").mkdir()
    merge_postings(parts, [keep, None, None], tmp_path / "merged")
    kept = [tokens for tokens, stays in zip(corpus, keep.tolist(), strict=False) if stays] + corpus[500:]
    write_postings(build_postings(kept), tmp_path / "fresh")
    assert contents(tmp_path / "merged") == contents(tmp_path / "fresh")
    assert read_back(read_postings(tmp_path / "merged")) == by_hand(kept)
