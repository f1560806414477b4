"""Tests of two systems on the same items, and what many tests at once are worth.

``mcnemar`` of ``resampling`` is the exact test of right and wrong; these are for scores of any kind. Where items come
in groups (questions about one article), pass ``groups``: the sign of a whole group is then what chance decides.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import at_least, labels_of, numbers, same_length
from radrag.metrics.resampling import binomial_two_sided

# 2**16 sums of signs are listed in some milliseconds; whole numbers are folded up to this total instead.
_MOST_LISTED = 16
_MOST_FOLDED = 20_000
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """Sign-flip test of a mean difference.

    Attributes:
        difference: Mean of system less baseline over items.
        p_value: Two-sided probability of a difference at least this far from 0 if each unit's sign were a coin's.
        n: Items.
        units: Units whose signs were flipped: items or groups, those without a difference too.
        exact: Whether all sign patterns were counted; if not, ``resamples`` of them were drawn.
        resamples: Patterns drawn; None if all were counted.
    """

    difference: float
    p_value: float
    n: int
    units: int
    exact: bool
    resamples: int | None = None


@dataclass(frozen=True, slots=True)
class SignTest:
    """Exact test of how often a system is better.

    Attributes:
        better: Units on which the system scores higher.
        worse: Units on which it scores lower.
        equal: Units without a difference, which the test leaves out.
        p_value: Two-sided probability of a split at least this uneven if each were a coin's; 1.0 if all are equal.
    """

    better: int
    worse: int
    equal: int
    p_value: float


def _unit_sums(
    system: ArrayLike, baseline: ArrayLike, groups: Iterable[Hashable] | None
) -> tuple[NDArray[np.float64], int]:
    """Return the summed difference of each unit, and the number of items."""
    left, right = numbers("system", system), numbers("baseline", baseline)
    n = same_length(system=left, baseline=right)
    if groups is None:
        return left - right, n
    names = labels_of("groups", groups)
    same_length(items=left, groups=names)
    number = {name: code for code, name in enumerate(dict.fromkeys(names))}
    sums = np.bincount([number[name] for name in names], weights=left - right)
    return np.asarray(sums, dtype=np.float64), n


def _folded(sizes: NDArray[np.int64], observed: int) -> float:
    """Return the exact share of sign patterns of whole numbers whose sum is at least ``observed`` from 0."""
    total = int(sizes.sum())
    # chance[s] is the probability that the units with a plus sign sum to s; the signed sum is then 2 s - total.
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for size in sizes:
        moved = np.zeros_like(chance)
        moved[size:] = chance[: len(chance) - size]
        chance = (chance + moved) / 2
    far = np.abs(2 * np.arange(total + 1) - total) >= observed
    return float(chance[far].sum())


def _listed(sizes: NDArray[np.float64], observed: float) -> float:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    return float((np.abs(sums) >= observed).mean())


def _drawn(sizes: NDArray[np.float64], observed: float, n_resamples: int, seed: int) -> float:
    """Count the pattern that was seen as one of the draws, so that p is never 0 (Phipson and Smyth, 2010)."""
    rng = np.random.default_rng(seed)
    rows, far = max(1, _BLOCK // len(sizes)), 0
    for start in range(0, n_resamples, rows):
        signs = rng.integers(0, 2, size=(min(rows, n_resamples - start), len(sizes)), dtype=np.int8)
        far += int((np.abs((2.0 * signs - 1.0) @ sizes) >= observed).sum())
    return (far + 1) / (n_resamples + 1)


def permutation_test(
    system: ArrayLike,
    baseline: ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> PermutationTest:
    """Test whether the mean difference of two systems on the same items could be chance, by flipping signs.

    Source: Fisher, The Design of Experiments, 1935, section 21; for systems of language technology: Dror et al., ACL
    2018, section 3. Exact where the differences of units are whole numbers (0 or 1 scores), or at most 16 of them are
    not 0; drawn otherwise. It asks that differences be symmetric about 0 if neither system is better.

    Args:
        system: Score of each item [n].
        baseline: Score of the same items in the same order [n].
        groups: Group of each item [n]; the signs of a group are flipped together.
        n_resamples: Sign patterns to draw where they cannot all be counted.
        seed: Seed of the draws.

    Returns:
        The mean difference and its two-sided p; 1.0 if the systems never differ.

    Raises:
        ValueError: If there are no items, a score is not finite, or the lengths differ.
    """
    at_least("n_resamples", n_resamples, 1)
    sums, n = _unit_sums(system, baseline, groups)
    sizes = np.abs(sums[sums != 0])
    difference, units, observed = float(sums.sum() / n), len(sums), abs(float(sums.sum()))
    if not sizes.size:
        return PermutationTest(0.0, 1.0, n, units, exact=True)
    if (sizes == np.rint(sizes)).all() and sizes.sum() <= _MOST_FOLDED:
        return PermutationTest(difference, min(1.0, _folded(sizes.astype(np.int64), round(observed))), n, units, True)
    # Sums in another order differ in their last digits: a pattern that ties with what was seen must count as as far.
    bound = observed - 1e-9 * float(sizes.sum())
    if sizes.size <= _MOST_LISTED:
        return PermutationTest(difference, _listed(sizes, bound), n, units, exact=True)
    return PermutationTest(difference, _drawn(sizes, bound, n_resamples, seed), n, units, False, n_resamples)


def sign_test(system: ArrayLike, baseline: ArrayLike, *, groups: Iterable[Hashable] | None = None) -> SignTest:
    """Test whether a system scores higher than its baseline as often as lower.

    Source: Dixon and Mood, Journal of the American Statistical Association 41, 1946: binomial, equal units left out.

    Args:
        system: Score of each item [n].
        baseline: Score of the same items in the same order [n].
        groups: Group of each item [n]; a group counts once, by its summed difference.

    Returns:
        The three counts and the exact two-sided p.

    Raises:
        ValueError: If there are no items, a score is not finite, or the lengths differ.
    """
    sums, _ = _unit_sums(system, baseline, groups)
    better, worse = int((sums > 0).sum()), int((sums < 0).sum())
    return SignTest(better, worse, len(sums) - better - worse, binomial_two_sided(better, worse))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted so that all tests together err at most as often as one.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979. Calling every test significant whose adjusted value is
    at most alpha errs anywhere with a probability of at most alpha, however the tests depend on one another.

    Args:
        p_values: One p a test [m]; all tests that were made, not only those that look good.

    Returns:
        float64 [m], in the order given, each at least its p and at most 1.

    Raises:
        ValueError: If there are none, or one is not between 0 and 1.
    """
    values = numbers("p_values", p_values)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(f"p_values must lie between 0 and 1, got {outside[0]:g}; pass p-values, not statistics")
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values), 0, -1) * values[order]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
