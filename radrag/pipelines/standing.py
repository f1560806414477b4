"""Answers whose sources still stand when they are given, though others write the index meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Answer, Hit

T = TypeVar("T")
Found = tuple[list[Hit], float]
_TIMES = 5


def standing(
    index: HybridIndex,
    asked: Sequence[str],
    find: Callable[[list[str]], list[Found]],
    read: Callable[[list[str], list[Found]], list[Callable[[], Answer]]],
) -> list[Answer]:
    """Answer questions; those whose sources were changed before they were answered are searched and answered again.

    A passage's id is never used again: one that is gone was revised or deleted. One against which something else is
    published now, such as a retraction, counts as changed too, so that it is cited with what is said of it or not.

    Args:
        index: Where the sources are.
        asked: The questions.
        find: Gives what was found for each question, and its score.
        read: Reads that, and gives for each question what makes the answer.

    Raises:
        IndexStateError: If the sources of a question changed each time it was answered.
    """
    made: list[Answer | None] = [None] * len(asked)
    for tries in range(_TIMES + 1):
        left = [place for place, answer in enumerate(made) if answer is None or not _stand(index, answer.evidence)]
        if not left or tries == _TIMES:
            break
        questions = [asked[place] for place in left]
        found = find(questions)
        everything = [hit for hits, _ in found for hit in hits]
        steps = _unless_changed(index, everything, partial(read, questions, found)) or ()
        for place, step, (hits, _) in zip(left, steps, found, strict=False):  # no steps if reading failed
            made[place] = _unless_changed(index, hits, step)
    if left:
        raise IndexStateError(
            f"the index changed while it was answered: sources of {len(left)} of {len(asked)} questions were revised, "
            f"deleted or retracted each of {_TIMES} times; ask again when less is written to it"
        )
    return [answer for answer in made if answer is not None]


def _unless_changed(index: HybridIndex, hits: Sequence[Hit], step: Callable[[], T]) -> T | None:
    """Take a step; None if it failed on passages that are not what was found any more."""
    try:
        return step()
    except (KeyError, IndexCorruptError):
        if _stand(index, hits):
            raise
        return None


def _stand(index: HybridIndex, hits: Sequence[Hit]) -> bool:
    try:
        now = index.passages([hit.passage.id for hit in hits])
    except KeyError:
        return False
    return all(one.flags == hit.passage.flags for one, hit in zip(now, hits, strict=True))
