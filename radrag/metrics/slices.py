"""How a system does on parts of the data: sites, sexes, ages, modalities. Each against the rest, with how sure it is.

Sources: Wilson, JASA 22(158), 1927 (interval of a share); Fisher's exact test as the sum of all tables no likelier than
the one seen; Phipson and Smyth, "Permutation P-values Should Never Be Zero", SAGMB 9(1), 2010; Holm, "A Simple
Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979. No difference found is
not the same as no difference: the intervals say how large one may be.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import at_least, labels_of, numbers, same_length
from radrag.metrics.resampling import Estimate, bootstrap
from radrag.metrics.testing import holm

UNKNOWN = "(not known)"
SMALL = 20
AGES = (18, 40, 65, 80)
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the data.

    Attributes:
        attribute: What the data was parted by, such as ``"site"``.
        name: The part, such as ``"A"``; ``"(not known)"`` for items without a value.
        estimate: Mean score of its items, with its interval.
        rest: Mean score of all other items; nan if there are none.
        p_value: Two-sided probability of a difference to the rest at least this large if there were none; None if it
            was not tested: the slice or the rest is small, or its value is not known.
        adjusted: The same after Holm's correction over all slices tested.
        small: Whether it has too few items to say much.
    """

    attribute: str
    name: str
    estimate: Estimate
    rest: float
    p_value: float | None
    adjusted: float | None
    small: bool

    @property
    def difference(self) -> float:
        """How much better it is than the rest."""
        return self.estimate.value - self.rest

    def differs(self, level: float = 0.05) -> bool:
        """Whether the difference stands after correction."""
        return self.adjusted is not None and self.adjusted <= level

    def __str__(self) -> str:
        tested = "not tested" if self.adjusted is None else f"p={self.p_value:.3g}, corrected {self.adjusted:.3g}"
        mark = ", small" if self.small else ""
        return f"{self.attribute}={self.name}: {self.estimate}, rest {self.rest:.3f}, {tested}{mark}"


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Return a share with Wilson's score interval, which holds for few items and for shares of 0 and 1 too.

    Raises:
        ValueError: If ``successes`` is not between 0 and ``n``, or ``n`` is 0.
    """
    at_least("n", n, 1)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n={n}, got {successes}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95, got {level}")
    share, z = successes / n, NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n, level)


def fisher(right: int, wrong: int, rest_right: int, rest_wrong: int) -> float:
    """Return the two-sided p of Fisher's exact test of a table of two rows."""
    for name, count in {"right": right, "wrong": wrong, "rest_right": rest_right, "rest_wrong": rest_wrong}.items():
        at_least(name, count, 0)
    row, column, total = right + wrong, right + rest_right, right + wrong + rest_right + rest_wrong
    cells = np.arange(max(0, row + column - total), min(row, column) + 1)
    logs = np.array([_log_choose(column, int(a)) + _log_choose(total - column, row - int(a)) for a in cells])
    logs -= _log_choose(total, row)
    seen = logs[right - cells[0]]
    return min(1.0, float(np.exp(logs[logs <= seen + 1e-7]).sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def age_slices(ages: Iterable[float | None], edges: Sequence[float] = AGES) -> list[str | None]:
    """Return the slice of each age, such as ``"18-39"``; None for one that is not known.

    Args:
        ages: Years; None or nan if not known. MIMIC's 300 for those over 89 falls into the last slice.
        edges: Where a slice begins, ascending.

    Raises:
        ValueError: If an age is negative, or the edges do not ascend.
    """
    if list(edges) != sorted(set(edges)) or not edges or edges[0] <= 0:
        raise ValueError(f"edges must ascend from above 0, got {list(edges)}")
    names = [f"0-{edges[0] - 1:g}"]
    names += [f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)]
    names.append(f"{edges[-1]:g}+")
    found: list[str | None] = []
    for age in ages:
        if age is None or age != age:
            found.append(None)
        elif age < 0:
            raise ValueError(f"ages must be at least 0, got {age}; give None where it is not known")
        else:
            found.append(names[int(np.searchsorted(np.asarray(edges), age, side="right"))])
    return found


def by_slice(
    slices: Mapping[str, Iterable[Hashable]],
    scores: ArrayLike,
    *,
    groups: Iterable[Hashable] | None = None,
    small: int = SMALL,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[Slice]:
    """Score parts of the data, and test each against the rest.

    Where scores are 0 or 1 and items stand alone: Wilson's interval and Fisher's test. Other scores: bootstrap and a
    permutation test. With ``groups`` (notes of a patient) whole groups are drawn for both the interval and the test.
    All tests together are corrected by Holm's method; the two slices of an attribute with two are one test.

    Args:
        slices: For each attribute its value for each item [n]; None, nan and "" are not known.
        scores: Score of each item [n], such as whether its label was right.
        groups: Group of each item [n].
        small: Slices with fewer items (or whose rest has fewer) are shown and marked, and not tested.
        level: Coverage of the intervals.
        n_resamples: Number of resamples and permutations.
        seed: Seed of the draws.

    Returns:
        The slices by attribute in the order given, then by name.

    Raises:
        ValueError: If lengths differ, there are no items, or a score is not finite.
    """
    values = numbers("scores", scores)
    units = None if groups is None else _codes(labels_of("groups", groups))
    if units is not None:
        same_length(scores=values, groups=units)
    at_least("small", small, 2)
    at_least("n_resamples", n_resamples, 1)
    draws = _Draws(values, units, small, level, n_resamples, seed)
    found: list[tuple[str, str, NDArray[np.bool_], float | None]] = []
    for attribute, column in slices.items():
        names = [_name(value) for value in column]
        sized: dict[str, Sized] = {"scores": values, attribute: names}
        same_length(**sized)
        known = sorted(set(names), key=lambda name: (name == UNKNOWN, name))
        tested: dict[bytes, float | None] = {}
        for name in known:
            chosen = np.asarray([one == name for one in names])
            other = (~chosen).tobytes()
            p = tested[other] if other in tested else draws.p_value(chosen, known=name != UNKNOWN)
            tested[chosen.tobytes()] = p
            found.append((attribute, name, chosen, p))
    return _corrected(found, draws)


def _corrected(found: Sequence[tuple[str, str, NDArray[np.bool_], float | None]], draws: _Draws) -> list[Slice]:
    """Correct over all tests, counting a slice and its complement once, and make the records."""
    keys = [(attribute, min(chosen.tobytes(), (~chosen).tobytes())) for attribute, _, chosen, _ in found]
    tests = {key: p for key, (_, _, _, p) in zip(keys, found, strict=True) if p is not None}
    adjusted = dict(zip(tests, holm(list(tests.values())).tolist() if tests else [], strict=True))
    made = []
    for key, (attribute, name, chosen, p) in zip(keys, found, strict=True):
        rest = draws.values[~chosen]
        made.append(
            Slice(
                attribute=attribute,
                name=name,
                estimate=draws.estimate(chosen),
                rest=float(rest.mean()) if len(rest) else math.nan,
                p_value=p,
                adjusted=None if p is None else adjusted[key],
                small=int(chosen.sum()) < draws.small,
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class _Draws:
    """Scores and how to draw from them."""

    values: NDArray[np.float64]
    units: NDArray[np.int64] | None
    small: int
    level: float
    n_resamples: int
    seed: int

    @property
    def shares(self) -> bool:
        """Whether all scores are 0 or 1."""
        return bool(np.isin(self.values, (0, 1)).all())

    def estimate(self, chosen: NDArray[np.bool_]) -> Estimate:
        """Return the mean of a slice with its interval."""
        values = self.values[chosen]
        units = None if self.units is None else self.units[chosen]
        if self.shares and units is None:
            return wilson(int(values.sum()), len(values), self.level)
        if len(values if units is None else np.unique(units)) < 2:
            low, high = (0.0, 1.0) if self.shares else (-math.inf, math.inf)  # one item or group bounds nothing
            return Estimate(float(values.mean()), low, high, len(values), self.level, None if units is None else 1)
        drawn: dict[str, Any] = {"n_resamples": self.n_resamples, "seed": self.seed, "level": self.level}
        return bootstrap(values, groups=units, **drawn)

    def p_value(self, chosen: NDArray[np.bool_], *, known: bool) -> float | None:
        """Return the two-sided p of a slice against the rest; None if it is not to be tested."""
        if not known or min(int(chosen.sum()), int((~chosen).sum())) < self.small:
            return None
        if self.units is not None:
            return self._by_groups(chosen, self.units)
        if self.shares:
            right, rest_right = int(self.values[chosen].sum()), int(self.values[~chosen].sum())
            return fisher(right, int(chosen.sum()) - right, rest_right, int((~chosen).sum()) - rest_right)
        return self._permuted(chosen)

    def _permuted(self, chosen: NDArray[np.bool_]) -> float:
        rng = np.random.default_rng(self.seed)
        size, total = int(chosen.sum()), float(self.values.sum())
        n = len(self.values)

        def gap(part: Any) -> Any:
            return abs(part / size - (total - part) / (n - size))

        seen = gap(float(self.values[chosen].sum()))
        as_far = 0
        for _ in range(self.n_resamples):
            drawn = float(self.values[rng.permutation(n)[:size]].sum())
            as_far += gap(drawn) >= seen - 1e-12
        return (as_far + 1) / (self.n_resamples + 1)

    def _by_groups(self, chosen: NDArray[np.bool_], units: NDArray[np.int64]) -> float:
        """Draw whole groups, and see how often the difference changes its sign; a group may lie in both parts."""
        count = int(units.max()) + 1
        sums = [np.bincount(units[part], weights=self.values[part], minlength=count) for part in (chosen, ~chosen)]
        sizes = [np.bincount(units[part], minlength=count) for part in (chosen, ~chosen)]
        rng = np.random.default_rng(self.seed)
        rows = max(1, _BLOCK // count)
        gaps = []
        for start in range(0, self.n_resamples, rows):
            drawn = rng.integers(0, count, size=(min(rows, self.n_resamples - start), count))
            with np.errstate(invalid="ignore", divide="ignore"):
                here, there = (
                    part[drawn].sum(axis=1) / size[drawn].sum(axis=1) for part, size in zip(sums, sizes, strict=True)
                )
            gaps.append(here - there)
        found = np.concatenate(gaps)
        found = found[np.isfinite(found)]
        tail = min(int((found <= 0).sum()), int((found >= 0).sum()))
        return min(1.0, 2 * (tail + 1) / (len(found) + 1))


def _codes(names: Sequence[Hashable]) -> NDArray[np.int64]:
    number = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.fromiter((number[name] for name in names), dtype=np.int64)


def _name(value: Hashable) -> str:
    missing = value is None or value != value or (isinstance(value, str) and not value.strip())
    return UNKNOWN if missing else str(value)
