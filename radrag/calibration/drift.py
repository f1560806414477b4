"""Whether notes come from where the calibration notes came from.

Sources: Gretton et al., "A Kernel Two-Sample Test", JMLR 2012 (the maximum mean discrepancy and its permutation test);
Rabanser, Günnemann and Lipton, "Failing Loudly", NeurIPS 2019 (several tests, Bonferroni-corrected).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST = 300  # of each side that the kernel test compares: its work grows with the square
PERMUTATIONS = 499


@dataclass(frozen=True, slots=True)
class Drift:
    """What a comparison of two samples of notes found.

    Attributes:
        p: Probability of a difference this large if both came from the same place, corrected for several tests.
        statistic: Statistic of the test with the lowest p.
        drifted: Whether ``p`` is below the level that was asked for.
        what: Name of that test: what differs most.
        parts: p of each test, corrected.
        n: Notes that were compared with the calibration notes.
    """

    p: float
    statistic: float
    drifted: bool
    what: str
    parts: Mapping[str, float] = field(default_factory=dict)
    n: int = 0

    def __str__(self) -> str:
        found = "differ" if self.drifted else "do not differ measurably"
        return f"{self.n} notes {found} from those calibrated on (most in {self.what}, p = {self.p:.2g})"


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known about the notes of one side.

    Attributes:
        vectors: Their embeddings ``[n, dim]``.
        confidence: Probability of each note's label, ``[n]``.
    """

    vectors: NDArray[np.float32]
    confidence: NDArray[np.float64]


def drift(known: Sample, new: Sample, *, level: float = 0.01, seed: int = 0) -> Drift:
    """Compare notes with those that were calibrated on.

    Two tests: the embeddings (kernel test) and the confidences (Kolmogorov and Smirnov). Confidences are compared
    one-sidedly: a lower one breaks the promises, and those of calibration notes were found out of fold, by models that
    knew a little less.

    Args:
        known: The calibration notes, one of each group.
        new: The notes to compare.
        level: Highest p that counts as drift.
        seed: Seed of the sample and of the permutations.

    Raises:
        ValueError: If a side has fewer than 2 notes.
    """
    from scipy.stats import ks_2samp

    if min(len(known.vectors), len(new.vectors)) < 2:
        raise ValueError(f"drift needs at least 2 notes on each side, got {len(known.vectors)} and {len(new.vectors)}")
    rng = np.random.default_rng(seed)
    # "greater": the distribution function of the new confidences lies above, so they are lower.
    lower = ks_2samp(new.confidence, known.confidence, alternative="greater", method="asymp")
    tests = {
        "embedding": kernel_test(_some(known.vectors, rng), _some(new.vectors, rng), PERMUTATIONS, seed),
        "confidence": (float(lower.statistic), float(lower.pvalue)),
    }
    what = min(tests, key=lambda name: tests[name][1])
    parts = {name: min(1.0, p * len(tests)) for name, (_, p) in tests.items()}
    return Drift(parts[what], tests[what][0], parts[what] <= level, what, parts, len(new.vectors))


def kernel_test(one: ArrayLike, other: ArrayLike, permutations: int, seed: int) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy of two samples and its permutation p.

    The kernel is Gaussian, its width the median distance of the pooled rows; the estimate is the biased one, equation 5
    of Gretton et al., which is enough for a permutation test.

    Args:
        one: Rows ``[n, dim]``.
        other: Rows ``[m, dim]``.
        permutations: How often the rows are dealt anew; p is at least ``1 / (permutations + 1)``.
        seed: Seed of the permutations.
    """
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    rows = np.concatenate([first, second])
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0)
    width = float(np.median(distances[np.triu_indices(len(rows), 1)])) or 1.0
    kernel = np.exp(-distances / width)
    n, m = len(first), len(second)
    rng = np.random.default_rng(seed)
    marks = np.full((len(rows), permutations + 1), -1.0 / m)
    marks[:n, 0] = 1.0 / n
    for column in range(1, permutations + 1):
        marks[rng.permutation(len(rows))[:n], column] = 1.0 / n
    # Each column holds +1/n and -1/m: its quadratic form is the discrepancy of that deal.
    found = (marks * (kernel @ marks)).sum(axis=0)
    reached = int((found[1:] >= found[0] - 1e-12).sum())
    return float(found[0]), (1 + reached) / (1 + permutations)


def _some(rows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    if len(rows) <= MOST:
        return rows
    return rows[np.sort(rng.choice(len(rows), MOST, replace=False))]
