"""What the sources of an answer say, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreement:
    """Which sources report the effect that a yes/no question asks about, and which report none.

    Attributes:
        support: Documents that report a difference, an effect or an association, the best found first.
        contradict: Documents that report none.
        unclear: Documents on the question that say neither, or both.
    """

    support: tuple[str, ...] = ()
    contradict: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()

    @property
    def conflict(self) -> bool:
        """Whether sources stand on both sides."""
        return bool(self.support and self.contradict)

    def __str__(self) -> str:
        said = ((self.support, "report an effect"), (self.contradict, "report none"), (self.unclear, "leave it open"))
        counts = ", ".join(f"{len(names)} {what}" for names, what in said if names)
        if not counts:
            return "no source was read"
        return f"The sources conflict: {counts}" if self.conflict else f"Of the sources, {counts}"
