"""What the sources of an answer say, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CONFLICT, SUPERSEDED = "Known to conflict", "Superseded by a later source"
HEAD = "Read by rules, so check the sources"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Which sources report an effect for a yes/no question, and which report none.

    The first three are read by rules and often wrong (figures in ``radrag.pipelines.agreement``), so an answer shows
    them only beside curated knowledge that says the same. No conflict seen does not mean that there is none.

    Attributes:
        support: Documents that report a difference, an effect or an association, the best found first.
        contradict: Documents that report none, or harm.
        unclear: Documents on the question that say neither, or both.
        known: What is known of sources among them that disagree, or of which one supersedes another, in words: from
            the sets that ship, not read by rules.
    """

    support: tuple[str, ...] = ()
    contradict: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def conflict(self) -> bool:
        """Whether sources stand on both sides, as the rules read them."""
        return bool(self.support and self.contradict)

    @property
    def superseded(self) -> bool:
        """Whether all that is known is that later sources supersede earlier ones."""
        return bool(self.known) and all(line.startswith(SUPERSEDED) for line in self.known)

    def summary(self, keys: Mapping[str, int] | None = None) -> str:
        """Return on one line how many sources take which side, and which.

        Args:
            keys: Number of each document that is cited; others are named by their id.
        """
        sides = ((self.support, "report", " an effect"), (self.contradict, "report", " none or harm"))
        told = (*sides, (self.unclear, "leave", " it open"))
        parts = [
            f"{len(names)} {verb}{'s' * (len(names) == 1)}{what} {_marks(names, keys or {})}"
            for names, verb, what in told
            if names
        ]
        return f"{HEAD}: {', '.join(parts)}" if parts else "no source was read"

    def lines(self, keys: Mapping[str, int]) -> Iterator[str]:
        """Yield what an answer shows of it: what is known, and the counts where they bear it out; see ``summary``."""
        yield from self.known
        if self.known and self.conflict:
            yield self.summary(keys)

    def __str__(self) -> str:
        return "\n".join((*self.known, self.summary()))


def _marks(names: tuple[str, ...], keys: Mapping[str, int]) -> str:
    cited = sorted(keys[name] for name in names if name in keys)
    others = (name for name in names if name not in keys)
    return "".join(f"[{mark}]" for mark in (*cited, *others))
