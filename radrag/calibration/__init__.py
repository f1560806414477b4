"""From scores to probabilities that mean something: opinion pools and conformal sets, on arrays."""

from __future__ import annotations

from radrag.calibration.conformal import conformal_set, conformal_threshold
from radrag.calibration.pooling import apply_pool, fit_pool

__all__ = ["apply_pool", "conformal_set", "conformal_threshold", "fit_pool"]
