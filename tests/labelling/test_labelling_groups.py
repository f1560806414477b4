import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.labelling import group_notes, grouped_folds
from radrag.types import LabelledNote


def _notes(*pairs: tuple[str, str]) -> list[LabelledNote]:
    return [LabelledNote(text, "x", group=group) for text, group in pairs]


def test_copies_are_one_group() -> None:
    groups = group_notes(
        _notes(("CT head, 54 F", ""), ("ct  HEAD,\n61 f", ""), ("CT head", ""), ("CT head, 54 F", "p1"))
    )
    assert groups[0] == groups[1] == groups[3]
    assert groups[2] != groups[0]


def test_groups_join_through_copies() -> None:
    # p1 and p2 share a copied note, so nothing of either may be on both sides.
    groups = group_notes(_notes(("a", "p1"), ("b", "p1"), ("b", "p2"), ("c", "p2"), ("d", "p3")))
    assert len(set(groups[:4])) == 1
    assert groups[4] != groups[0]


def test_a_group_name_is_no_text() -> None:
    groups = group_notes(_notes(("p1", ""), ("other", "p1")))
    assert groups[0] != groups[1]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=80), st.integers(0, 3))
def test_folds_never_split_a_group(pairs: list[tuple[int, int]], seed: int) -> None:
    groups = np.asarray([group for group, _ in pairs])
    _, groups = np.unique(groups, return_inverse=True)
    labels = np.asarray([label for _, label in pairs])
    if groups.max() < 4:
        with pytest.raises(ValueError, match="groups of notes cannot be split into 5 folds"):
            grouped_folds(groups, labels, 5, seed)
        return
    folds = grouped_folds(groups, labels, 5, seed)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert (folds == grouped_folds(groups, labels, 5, seed)).all()


def test_folds_are_even_in_size_and_label() -> None:
    labels = np.repeat(np.arange(8), 25)
    folds = grouped_folds(np.arange(200), labels, 5, seed=1)
    counts = np.zeros((5, 8), dtype=int)
    np.add.at(counts, (folds, labels), 1)
    assert (counts == 5).all()
    assert (folds != grouped_folds(np.arange(200), labels, 5, seed=2)).any()


def test_errors() -> None:
    with pytest.raises(ValueError, match="k must be at least 2, got 1"):
        grouped_folds(np.arange(3), np.arange(3), 1)
