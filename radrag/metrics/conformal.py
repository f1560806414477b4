"""Label sets, such as those of conformal prediction: how often they hold the true label, and how large they are."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass

from radrag.metrics._checks import labels_of, not_a_string, same_length


@dataclass(frozen=True, slots=True)
class SetScore:
    """What label sets are worth: coverage and size belong together, as a set of all labels always covers.

    Attributes:
        coverage: Share of sets that hold the true label (marginal coverage).
        size: Mean number of labels in a set; empty sets count as 0.
        empty: Share of sets without a label.
        single: Share of sets with just one.
        n: Sets.
    """

    coverage: float
    size: float
    empty: float
    single: float
    n: int


def set_scores(sets: Iterable[Collection[Hashable]], true: Iterable[Hashable]) -> SetScore:
    """Return coverage and size of label sets.

    Source: Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction", arXiv 2107.07511, sections 1 and
    4.2; an empty set is one that misses.

    Args:
        sets: The labels of each set, each label once [n].
        true: The true label of each item [n].

    Raises:
        ValueError: If there are none, the lengths differ, a set is a string, or one holds a label twice.
    """
    not_a_string("sets", sets)
    wanted, given = labels_of("true", true), [_checked(place, one) for place, one in enumerate(sets)]
    n = same_length(sets=given, true=wanted)
    held = sum(label in one for one, label in zip(given, wanted, strict=True))
    sizes = [len(one) for one in given]
    return SetScore(held / n, sum(sizes) / n, sizes.count(0) / n, sizes.count(1) / n, n)


def _checked(place: int, labels: Collection[Hashable]) -> frozenset[Hashable]:
    not_a_string(f"set {place}", labels)
    made = frozenset(labels)
    if len(made) < len(labels):
        raise ValueError(f"set {place} holds a label twice, got {list(labels)}; its size would be wrong")
    return made
