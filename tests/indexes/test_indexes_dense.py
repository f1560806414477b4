"""Vector search against exact float64 products, whatever the split, the batch and the filter."""

from __future__ import annotations

import hashlib
import json
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes import ann, dense
from radrag.indexes.ann import Approximate, train
from radrag.indexes.dense import MIN_ANN_ROWS, DenseSegment, build_ann

ROWS, DIM = 24_000, 32


def unit(rng: np.random.Generator, rows: int, dim: int) -> NDArray[np.float32]:
    drawn = rng.normal(size=(rows, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def best(
    vectors: NDArray[np.float16], query: NDArray[np.float32], depth: int, mask: Any = None
) -> tuple[list[int], list[float]]:
    """The rule in words: sort all admitted rows by exact cosine, cut after ``depth``, let ties with the last in."""
    cosines = [float(np.sum(row.astype(np.float64) * query.astype(np.float64))) for row in vectors]
    order = sorted((r for r in range(len(vectors)) if mask is None or mask[r]), key=lambda r: (-cosines[r], r))
    if len(order) > depth:
        order = [r for r in order if cosines[r] >= cosines[order[depth - 1]]]
    return order, [cosines[r] for r in order]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.float16], Path, dict[str, Any]]:
    """24,000 rows around 300 topics, their ANN file and its facts."""
    rng = np.random.default_rng(3)
    topics = unit(rng, 300, DIM)
    near = topics[rng.integers(0, 300, ROWS)] + 0.6 * unit(rng, ROWS, DIM)
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float16)
    vectors[[7, 9_000, 23_999]] = 0
    vectors[100:130] = vectors[100]
    folder = tmp_path_factory.mktemp("segment")
    np.save(folder / "vectors.npy", vectors)
    mapped = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    return mapped, folder, build_ann(mapped, probes(40), folder)


def probes(count: int, seed: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    topics = unit(np.random.default_rng(3), 300, DIM)
    mixed = topics[rng.integers(0, 300, count)] + 0.5 * unit(rng, count, DIM)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), rows=st.integers(1, 60), dim=st.sampled_from([1, 3, 16, 131]),
    depth=st.integers(1, 70), masked=st.booleans(), block=st.sampled_from([1, 7, 8_192]), kept=st.booleans(),
)  # fmt: skip
def test_exact_search_is_the_sorted_list_with_ties(
    seed: int, rows: int, dim: int, depth: int, masked: bool, block: int, kept: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, rows, dim).astype(np.float16)[rng.integers(0, rows, rows)]  # repeated rows tie
    vectors[rng.random(rows) < 0.1] = 0
    mask = rng.random(rows) < 0.5 if masked else None
    queries = unit(rng, 3, dim)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_BLOCK", block)
        patch.setattr(dense, "_SPAN", 2 * block)
        patch.setattr(dense, "MIN_ANN_ROWS", 100 if kept else 0)
        found = DenseSegment(vectors, None, None).top(queries, depth, mask)
    for query, (row, cosines) in zip(queries, found, strict=True):
        rows_wanted, cosines_wanted = best(vectors, query, depth, mask)
        assert row.tolist() == rows_wanted
        assert cosines.tolist() == pytest.approx(cosines_wanted, abs=1e-14)
        assert row.dtype == np.int64
        assert cosines.dtype == np.float64


def test_rows_that_single_precision_cannot_tell_apart_are_ranked_by_their_exact_cosines() -> None:
    rng = np.random.default_rng(0)
    base = unit(rng, 1, 768).astype(np.float16)
    query = base[0].astype(np.float32) + 0.1 * unit(rng, 1, 768)[0]
    vectors = np.repeat(base, 9_000, axis=0)
    small = np.argsort(np.abs(base[0]))[:60]
    vectors.view(np.uint16)[:, small] ^= rng.integers(0, 2, (9_000, 60), dtype=np.uint16)  # the last bit of each
    ((rows, cosines),) = DenseSegment(vectors, None, None).top(query[np.newaxis], 25)
    exact = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    assert rows.tolist() == np.lexsort((np.arange(9_000), -exact))[: len(rows)].tolist()
    assert cosines.tolist() == pytest.approx(exact[rows].tolist(), abs=1e-14)
    single = vectors.astype(np.float32) @ query
    assert set(np.argsort(-single)[:25].tolist()) != set(rows[:25].tolist())  # without a margin some would be lost


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 79))
def test_a_split_into_segments_changes_nothing(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = unit(rng, 80, 48).astype(np.float16), unit(rng, 4, 48)
    whole = DenseSegment(vectors, None, None).top(queries, 10)
    left = DenseSegment(vectors[:cut], None, None).top(queries, 10)
    right = DenseSegment(vectors[cut:], None, None).top(queries, 10)
    for one, (rows_l, cos_l), (rows_r, cos_r) in zip(whole, left, right, strict=True):
        pairs = [*zip(-cos_l, rows_l, strict=True), *zip(-cos_r, rows_r + cut, strict=True)]
        assert sorted(pairs)[:10] == [*zip(-one[1], one[0], strict=True)][:10]


@pytest.mark.parametrize("dim", [1, 7, 256, 384, 768])
def test_equal_rows_have_equal_cosines_wherever_they_stand(dim: int) -> None:
    rng = np.random.default_rng(dim)
    row, query = unit(rng, 1, dim).astype(np.float16), unit(rng, 1, dim)[0]
    expected = float(np.sum(row[0].astype(np.float64) * query.astype(np.float64)))
    for rows in (1, 2, 3, 5, 64, 8_191, 8_193):
        filler = unit(rng, rows, dim).astype(np.float16)
        for place in {0, rows // 2, rows - 1}:
            filler[place] = row
            segment = DenseSegment(filler, None, None)
            assert segment.at(query, np.arange(rows))[place] == expected
            assert segment.at(query, np.asarray([place])).tolist() == [expected]
            assert segment.at(query, np.arange(rows)[::-1])[rows - 1 - place] == expected


def test_every_finite_half_is_widened_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    widened = dense._widen(halves)
    assert np.array_equal(widened.view(np.uint32), halves.astype(np.float32).view(np.uint32))


def test_facts_are_json_and_state_the_recall_that_is_there(large: Any) -> None:
    vectors, folder, facts = large
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["kind"], facts["probes"]) == ("ivf-pq4-fastscan", 40)
    assert 1 <= facts["nprobe"] <= facts["lists"]
    assert facts["recall@10"] >= 0.97
    assert facts["recall@100"] >= 0.9
    index = Approximate(folder, *vectors.shape)
    for k in (10, 100):
        held = 0
        for probe in probes(40):
            exact = vectors.astype(np.float64) @ probe.astype(np.float64)
            found = index.candidates(probe, facts["rescored"], facts["nprobe"])
            held += min(k, int(np.count_nonzero(exact[found] >= np.sort(exact)[-k])))
        assert facts[f"recall@{k}"] == pytest.approx(held / k / 40, abs=6e-5)


def test_approximate_search_finds_nearly_all_with_exact_cosines(large: Any) -> None:
    vectors, folder, facts = large
    segment, queries = DenseSegment(vectors, folder, facts), probes(50, seed=11)
    found, exact = segment.top(queries, 100), segment.top(queries, 100, exact=True)
    held = []
    for query, (rows, cosines), (_, wanted) in zip(queries, found, exact, strict=True):
        assert len(rows) >= 100
        assert all((-a, r) < (-b, s) for (a, r), (b, s) in pairwise(zip(cosines, rows, strict=True)))
        assert np.array_equal(cosines, segment.at(query, rows))
        held.append(np.mean(cosines[:100] >= wanted[99]))
    assert np.mean(held) > 0.8
    assert min(len(rows) for rows, _ in segment.top(queries, 5_000)) >= 5_000


def test_approximate_and_exact_search_are_told_apart(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, folder, facts = large
    asked: list[tuple[int, int]] = []
    search = Approximate.candidates

    def spy(self: Any, query: Any, count: int, nprobe: int, selector: Any = None) -> Any:
        asked.append((count, nprobe))
        return search(self, query, count, nprobe, selector)

    monkeypatch.setattr(Approximate, "candidates", spy)
    segment, few, many = DenseSegment(vectors, folder, facts), np.zeros(ROWS, bool), np.ones(ROWS, bool)
    few[: dense._EXACT_ROWS - 1], many[0] = True, False
    query = probes(1)
    segment.top(query, 10, exact=True)
    segment.top(query, 10, few)
    DenseSegment(vectors, folder, None).top(query, 10)
    assert asked == []
    segment.top(query, 10)
    segment.top(query, 2_000)
    assert asked == [(facts["rescored"], facts["nprobe"]), (20 * facts["rescored"], facts["nprobe"])]
    segment.top(query, 10, many)
    assert asked[2][1] == min(facts["lists"], facts["nprobe"] + 1)
    half = DenseSegment(vectors, folder, {**facts, "nprobe": 1})
    few[MIN_ANN_ROWS - 1] = True
    half.top(query, 10, few)
    assert asked[3][1] == 2  # 20,000 of 24,000 rows: one list becomes 1.2, rounded up


def test_too_few_candidates_are_made_up_exactly(large: Any) -> None:
    vectors, folder, facts = large
    segment, query = DenseSegment(vectors, folder, {**facts, "nprobe": 1}), probes(1)
    exact = segment.top(query, 3_000, exact=True)
    assert [part.tolist() for part in segment.top(query, 3_000)[0]] == [part.tolist() for part in exact[0]]


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.3, 0.86, 1.0])
def test_a_filter_never_leaks(large: Any, share: float) -> None:
    vectors, folder, facts = large
    mask = np.random.default_rng(1).random(ROWS) < share
    for rows, cosines in DenseSegment(vectors, folder, facts).top(probes(20), 50, mask):
        assert mask[rows].all()
        assert len(rows) == len(cosines) >= min(50, mask.sum())


def test_a_filter_keeps_the_recall(large: Any) -> None:
    vectors, folder, facts = large
    mask = np.random.default_rng(1).random(ROWS) < 0.86
    segment, queries = DenseSegment(vectors, folder, facts), probes(50, seed=12)
    exact = segment.top(queries, 100, mask, exact=True)
    found = segment.top(queries, 100, mask)
    assert np.mean([cos[:100] >= wanted[99] for (_, cos), (_, wanted) in zip(found, exact, strict=True)]) > 0.8


def test_all_that_tie_with_the_last_come_along(large: Any) -> None:
    vectors, folder, facts = large
    query = vectors[100].astype(np.float32)[np.newaxis]
    for exact in (True, False):
        ((rows, cosines),) = DenseSegment(vectors, folder, facts).top(query, 5, exact=exact)
        assert rows.tolist() == list(range(100, 130))
        assert len(set(cosines.tolist())) == 1


def test_a_batch_finds_what_single_queries_find(large: Any) -> None:
    vectors, folder, facts = large
    segment, queries = DenseSegment(vectors, folder, facts), probes(30, seed=4)
    for (rows, cosines), query in zip(segment.top(queries, 20), queries, strict=True):
        ((alone, scores),) = segment.top(query[np.newaxis], 20)
        assert rows.tolist() == alone.tolist()
        assert cosines.tolist() == scores.tolist()
    many = np.repeat(queries, 10, axis=0)
    assert [r.tolist() for r, _ in segment.top(many, 3, exact=True)][::10] == [
        r.tolist() for r, _ in segment.top(queries, 3, exact=True)
    ]
    assert segment.top(queries[:0], 5) == []


def test_threads_search_one_segment_at_once(large: Any) -> None:
    vectors, folder, facts = large
    queries = probes(40, seed=9)
    expected = [rows.tolist() for rows, _ in DenseSegment(vectors, folder, facts).top(queries, 20)]
    segment, start = DenseSegment(vectors, folder, facts), threading.Barrier(4)
    results: list[list[list[int]]] = []

    def work() -> None:
        start.wait()
        results.append([segment.top(query[np.newaxis], 20)[0][0].tolist() for query in queries])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_the_number_of_faiss_threads_stays(large: Any) -> None:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        DenseSegment(*large).top(probes(1), 5)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("rows", [2, 39, 90])
def test_small_segments_can_be_built(tmp_path: Path, rows: int, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = unit(np.random.default_rng(rows), rows, 16).astype(np.float16)
    facts = build_ann(vectors, np.zeros((0, 16), np.float32), tmp_path)
    assert (facts["recall@10"], facts["recall@100"], facts["probes"]) == (1, 1, 20)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("distinct", [1, 3])
def test_rows_that_repeat_are_all_kept(tmp_path: Path, distinct: int) -> None:
    rng = np.random.default_rng(2)
    some = unit(rng, distinct, 16).astype(np.float16)
    vectors = some[rng.integers(0, len(some), 4_000)]
    facts = build_ann(vectors, unit(rng, 20, 16), tmp_path)
    everything = Approximate(tmp_path, 4_000, 16).candidates(unit(rng, 1, 16)[0], 4_000, facts["lists"])
    assert sorted(everything.tolist()) == list(range(4_000))


def test_what_a_mask_admits_is_kept_as_long_as_the_mask(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    segment, query, made = DenseSegment(*large), probes(1), []
    admit = dense.admit
    monkeypatch.setattr(dense, "admit", lambda mask: (made.append(1), admit(mask))[1])
    masks = [np.arange(ROWS) % 3 != place for place in range(3)]
    expected = [segment.top(query, 10, mask)[0][0].tolist() for mask in masks]
    assert [segment.top(query, 10, mask)[0][0].tolist() for mask in masks] == expected
    assert len(made) == 3
    masks.clear()
    segment.top(query, 10, np.arange(ROWS) % 5 != 0)
    assert len(segment._masks) == 1


def test_lengths_that_do_not_part_evenly_are_filled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann, "_PARTS", 8)
    assert (ann.shape(17), ann.shape(16), ann.shape(3)) == ((6, 18), (8, 16), (2, 4))
    rng = np.random.default_rng(8)
    vectors, queries = unit(rng, 2_000, 17).astype(np.float16), unit(rng, 20, 17)
    facts = build_ann(vectors, queries, tmp_path)
    assert facts["recall@10"] >= 0.97
    assert Approximate(tmp_path, 2_000, 17).lists == facts["lists"]


def test_recall_out_of_reach_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_DEPTHS", (1, 2))
    rng = np.random.default_rng(8)
    facts = build_ann(unit(rng, 2_000, 16).astype(np.float16), unit(rng, 20, 16), tmp_path)
    assert facts["rescored"] == 2
    assert facts["recall@100"] <= 0.02
    assert 0.05 < facts["recall@10"] <= 0.2


def test_the_same_seed_gives_the_same_facts_and_progress_counts_rows(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(1), 10_000, 16).astype(np.float16)
    calls: list[tuple[int, int]] = []
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    facts = build_ann(vectors, np.zeros((0, 16), np.float32), first, 4, lambda done, of: calls.append((done, of)))
    assert build_ann(vectors, np.zeros((0, 16), np.float32), second, 4) == facts
    assert calls == [(8_192, 10_000), (10_000, 10_000)]
    assert (first / "ann.faiss").read_bytes() == (second / "ann.faiss").read_bytes()


def test_wrong_arguments_say_what_was_expected(large: Any) -> None:
    vectors, folder, facts = large
    segment = DenseSegment(vectors, folder, facts)
    with pytest.raises(ValueError, match=r"shape \[q, 32\], got \[2, 31\]"):
        segment.top(np.zeros((2, 31), np.float32), 3)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        segment.top(probes(1), 0)
    with pytest.raises(ValueError, match=r"bool of shape \[24000\], got bool \[3\]"):
        segment.top(probes(1), 3, np.ones(3, bool))
    with pytest.raises(ValueError, match="folder must be given"):
        DenseSegment(vectors, None, facts)


def test_a_file_that_is_gone_broken_or_of_another_segment_is_reported(large: Any, tmp_path: Path) -> None:
    vectors, _, facts = large
    with pytest.raises(FileNotFoundError, match=r"ann\.faiss"):
        DenseSegment(vectors, tmp_path, facts).top(probes(1), 3)
    (tmp_path / "ann.faiss").write_bytes(b"no index at all")
    with pytest.raises(IndexCorruptError, match="rebuild"):
        DenseSegment(vectors, tmp_path, facts).top(probes(1), 3)
    train(vectors[:500], tmp_path)
    with pytest.raises(IndexCorruptError, match=r"500 rows of 32, expected 24000 of 32"):
        DenseSegment(vectors, tmp_path, facts).top(probes(1), 3)


def test_an_altered_file_is_refused_before_faiss_reads_it(
    large: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single bit, such as one of a list's size, can end the process inside FAISS."""
    vectors, folder, facts = large
    content = (folder / "ann.faiss").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    expected = DenseSegment(vectors, folder, facts).top(probes(3), 5)
    monkeypatch.setattr(ann, "_faiss", lambda: pytest.fail("FAISS was asked"))
    for place in (0, len(content) // 3, len(content) - 1):
        altered = bytearray(content)
        altered[place] ^= 4
        (tmp_path / "ann.faiss").write_bytes(altered)
        with pytest.raises(IndexCorruptError, match=r"ann\.faiss was altered.*rebuild the index"):
            DenseSegment(vectors, tmp_path, facts, sha256).top(probes(1), 3)
        with pytest.raises(IndexCorruptError, match=r"ann\.faiss was altered"):
            dense.measure_ann(vectors, probes(20), tmp_path, sha256=sha256)
    monkeypatch.undo()
    (tmp_path / "ann.faiss").write_bytes(content)
    hashed: list[Path] = []
    monkeypatch.setattr(ann, "file_sha256", lambda file: hashed.append(file) or sha256)
    segment = DenseSegment(vectors, tmp_path, facts, sha256)
    for _ in range(2):
        found = segment.top(probes(3), 5)
        assert [rows.tolist() for rows, _ in found] == [rows.tolist() for rows, _ in expected]
    assert hashed == [tmp_path / "ann.faiss"]


@pytest.mark.parametrize("error", [RuntimeError("Error in search: nope"), MemoryError("std::bad_alloc")])
def test_faiss_giving_up_in_a_search_is_reported(large: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, folder, facts = large

    class Failing:
        def search(self, *given: Any, **named: Any) -> Any:
            raise error

    index = Approximate(folder, *vectors.shape)
    monkeypatch.setattr(index, "_index", Failing())
    with pytest.raises(IndexCorruptError, match=r"ann\.faiss cannot be searched.*rebuild the index") as raised:
        index.candidates(probes(1)[0], 10, facts["nprobe"])
    assert ("memory" in str(raised.value)) == isinstance(error, MemoryError)
