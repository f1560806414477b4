"""How well it works: a system against its baseline on the same items, paired, with intervals."""

from radrag.evaluation.compare import Comparison, Row, compare

__all__ = ["Comparison", "Row", "compare"]
