import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora import load_notes
from radrag.generation import prompts
from radrag.labelling.near import near_pairs
from radrag.training.records import ChatRecord, report_records
from radrag.training.splits import balance, check_leaks, grouped_split, leaks
from radrag.types import LabelledNote, Message

WORDS = "kidney stone left right pain fever cough scan contrast acute".split()


def record(text: str, *groups: str, label: str = "") -> ChatRecord:
    return ChatRecord((Message("system", "s"), Message("user", text)), "done", groups=groups, label=label)


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


BASE = [f"w{i}" for i in range(16)]
loose = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14)
slices = st.tuples(st.integers(0, 6), st.integers(7, 16)).map(lambda ends: BASE[ends[0] : ends[1]])  # often near


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.one_of(loose, slices).map(" ".join), unique=True, max_size=25),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
)
def test_near_pairs_are_those_of_a_full_comparison(texts: list[str], least: float) -> None:
    found = {(min(a, b), max(a, b)): score for a, b, score in near_pairs(texts, least, lambda a, b: False)}
    expected = {
        (a, b): jaccard(texts[a], texts[b])
        for a, b in itertools.combinations(range(len(texts)), 2)
        if jaccard(texts[a], texts[b]) >= least - 1e-9
    }
    assert found == pytest.approx(expected)


def test_similarity_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 0"):
        list(near_pairs(["a"], 0, lambda a, b: False))
    assert list(near_pairs([], 0.8, lambda a, b: False)) == []


def long_text(seed: int) -> str:
    return " ".join(random.Random(seed).choices([f"w{i}" for i in range(500)], k=40))


def test_near_copies_stay_together_and_are_found_as_leaks() -> None:
    copies = [record(long_text(1)), record(long_text(1) + " again"), record("Once more: " + long_text(1))]
    others = [record(long_text(seed)) for seed in range(2, 30)]
    for seed in range(8):
        train, held = grouped_split([*copies, *others], 0.3, seed)
        assert sum(item in held for item in copies) in (0, 3)
        assert leaks(train, held) == []
    split = {
        tuple(item in grouped_split([*copies, *others], 0.3, s, near=None)[1] for item in copies) for s in range(8)
    }
    assert len(split) > 2  # without the comparison they part
    (leak,) = leaks([*others, copies[0]], [copies[1]])
    assert (leak.kind, leak.train, leak.valid) == ("near copy", 28, 0)
    assert leak.score == pytest.approx(38 / 39)


def test_groups_join_through_others() -> None:
    chain = [record(long_text(1), "patient:1"), record(long_text(2), "patient:1", "source:a"),
             record(long_text(3), "source:a"), record(long_text(3).upper(), "note:z"),
             record(long_text(4), "note:z")]  # fmt: skip
    others = [record(long_text(seed)) for seed in range(10, 40)]
    for seed in range(12):
        _, held = grouped_split([*chain, *others], 0.4, seed)
        assert sum(item in held for item in chain) in (0, 5)


def test_the_wording_of_a_prompt_does_not_make_copies() -> None:
    reports = [{"id": str(i), "findings": f"f{i} a b c", "impression": f"i{i} q{i * 7} r{i * 3}"} for i in range(40)]
    assert len(grouped_split(report_records(reports, style="alpaca"), 0.25)[1]) == 10
    user = report_records(reports[:1], style="alpaca")[0].prompt[0].content
    assert prompts.bare(user).split() == ["i0", "q0", "r0"]


def test_labels_are_held_out_in_proportion() -> None:
    items = [record(long_text(i), label="abc"[min(i % 10, 2)]) for i in range(400)]  # 40 a, 40 b, 320 c
    for seed in range(5):
        train, held = grouped_split(items, 0.2, seed)
        assert balance(train, held).labels == (("c", 256, 64), ("a", 32, 8), ("b", 32, 8))
    assert balance(train, held).off == 0
    assert str(balance(train, held)) == "20.0% held out; labels are off by 0.0 records at most"


def test_rare_labels_are_held_out_in_sum() -> None:
    items = [record(long_text(i), label=f"only {i}") for i in range(50)]
    draws = [grouped_split(items, 0.2, seed)[1] for seed in range(20)]
    assert {len(held) for held in draws} == {10}
    assert len({item.label for held in draws for item in held}) > 40  # every label has its turn
    assert "none held out of 40 labels" in str(balance(*grouped_split(items, 0.2)))


def test_groups_of_mixed_labels_stay_near_the_share() -> None:
    items = [record(long_text(i), f"patient:{i // 5}", label="ab"[i * 7 % 10 > 4]) for i in range(500)]
    for seed in range(5):
        train, held = grouped_split(items, 0.2, seed)
        assert abs(len(held) - 100) <= 3
        assert balance(train, held).off <= 6


def test_a_balance_that_groups_spoil_is_reported() -> None:
    items = [record(long_text(i), f"patient:{i // 10}", label="ab"[i // 10 % 2]) for i in range(40)]
    train, held = grouped_split(items, 0.25, 0)
    found = balance(train, held)
    assert len(held) == 10
    assert found.share == 0.25
    assert found.off == 5  # 10 of one label and none of the other, where 5 of each were wanted


def test_one_group_is_never_held_out_and_few_groups_give_one() -> None:
    assert grouped_split([record(long_text(i), "patient:1") for i in range(6)], 0.3) == (
        [record(long_text(i), "patient:1") for i in range(6)],
        [],
    )
    assert len(grouped_split([record(long_text(i)) for i in range(4)], 0.1)[1]) == 1
    assert grouped_split([], 0.2) == ([], [])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from("abc")), max_size=40),
    st.floats(0, 0.9),
    st.integers(0, 9),
)
def test_split_is_a_partition_without_leaks(rows: list[tuple[int, int, str]], share: float, seed: int) -> None:
    items = [record(long_text(text), f"patient:{group}", label=label) for text, group, label in rows]
    train, held = grouped_split(items, share, seed)
    assert sorted([*train, *held], key=repr) == sorted(items, key=repr)
    check_leaks(train, held)
    assert (train, held) == grouped_split(items, share, seed)


def test_leaks_name_pair_and_reason() -> None:
    train = [record("one two three", "patient:1"), record(long_text(5), "patient:2")]
    valid = [record(long_text(6), "patient:2", "note:4"), record("One  TWO three"), record(long_text(7))]
    assert [(leak.kind, leak.train, leak.valid, leak.shared) for leak in leaks(train, valid)] == [
        ("group", 1, 0, "patient:2"),
        ("text", 0, 1, "one two three"),
    ]
    with pytest.raises(ValueError, match=r"2 of 3 held-out records leak(?s:.*)training 1 and held-out 0: group 1.00"):
        check_leaks(train, valid)
    check_leaks(train, valid[2:])


def test_shipped_notes_split_cleanly() -> None:
    notes = load_notes("train")
    train, held = grouped_split(notes, 0.1, 0)
    assert len(held) == 1200
    assert not {note.group for note in train} & {note.group for note in held}
    assert balance(train, held).off < 2
    planted = LabelledNote(train[0].text.replace("Notes:", "notes:") + " x", train[0].label)
    assert [leak.valid for leak in leaks(train, [*held, planted])] == [1200]


def notes(n: int) -> list[LabelledNote]:
    return [LabelledNote(f"note {i}", "a" if i % 2 else "b", group=f"g{i // 4}") for i in range(n)]


def test_split_keeps_groups_whole_and_loses_nothing() -> None:
    train, held = grouped_split(notes(200), 0.2, seed=1)
    assert len(held) == 40
    assert sorted((*train, *held), key=str) == sorted(notes(200), key=str)
    assert not {note.group for note in train} & {note.group for note in held}


def test_split_joins_equal_texts_across_groups() -> None:
    chain = [LabelledNote("Same  text", "a", group="1"), LabelledNote("same text", "a", group="2")]
    chain += [LabelledNote("other", "b", group="2"), LabelledNote("Other ", "b")]
    for seed in range(10):
        train, held = grouped_split([*chain, *notes(8)], 0.4, seed)
        assert len([note for note in held if note in chain]) in (0, 4)
        assert len([note for note in train if note in chain]) in (0, 4)


def test_split_is_seeded() -> None:
    assert grouped_split(notes(100), 0.1, 3) == grouped_split(notes(100), 0.1, 3)
    assert grouped_split(notes(100), 0.1, 3) != grouped_split(notes(100), 0.1, 4)
    assert grouped_split(notes(10), 0.0) == (notes(10), [])


def test_share_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 1\.0"):
        grouped_split(notes(4), 1.0)
