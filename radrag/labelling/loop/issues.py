"""Which labels of a set look wrong: by confident learning, by copies, by near copies, and by confused pairs."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import require
from radrag.labelling.groups import normalised
from radrag.labelling.loop.files import check_same_notes, note_ids
from radrag.labelling.near import near_pairs
from radrag.types import LabelledNote, LabelResult

NEAR = 0.6  # of 3-word shingles: one changed word in the middle of a note of 12 words gives .54, in one of 20 words .71
_SURE, _LEAST_PAIR = 0.01, 3


class IssueKind(StrEnum):
    """Why a label is doubted."""

    CONFIDENT_LEARNING = "confident-learning"
    CONFLICT = "conflict"
    NEAR_DUPLICATE = "near-duplicate"
    SIBLING = "sibling"


@dataclass(frozen=True, slots=True)
class Issue:
    """A doubt about the label of a note.

    Attributes:
        note_id: Name of the note, as ``note_ids`` gives it.
        kind: Why it is doubted.
        given: Id of the label that it has.
        suggested: Id of the label that it may have to have.
        score: How strong the doubt is, from 0 to 1; comparable within a kind.
        why: The reason, for a reader.
        others: Names of the notes that the reason rests on.
    """

    note_id: str
    kind: IssueKind
    given: str
    suggested: str
    score: float
    why: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiblingPair:
    """Two labels that are taken for each other more often than errors at random would have it.

    Attributes:
        one: Id of a label.
        other: Id of the other.
        one_as_other: Notes labelled ``one`` and predicted ``other``.
        other_as_one: Notes labelled ``other`` and predicted ``one``.
        notes: Notes labelled either.
        p_value: Binomial probability of as many or more, were errors spread evenly over the labels; multiplied by the
            number of pairs looked at.
    """

    one: str
    other: str
    one_as_other: int
    other_as_one: int
    notes: int
    p_value: float


@dataclass(frozen=True, slots=True)
class LabelIssues:
    """Doubts about the labels of a set.

    Attributes:
        issues: The doubts, the strongest of each kind first; a note may have several.
        siblings: Pairs of labels that are confused, most notes first.
        notes: Notes looked at.
        warnings: What a reader should know.
    """

    issues: tuple[Issue, ...]
    siblings: tuple[SiblingPair, ...]
    notes: int
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Doubts of each kind."""
        found = Counter(issue.kind.value for issue in self.issues)
        return {kind.value: found[kind.value] for kind in IssueKind}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        doubted = len({issue.note_id for issue in self.issues})
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.counts.items())
        return "\n".join(
            [f"{doubted} of {self.notes} notes have a doubtful label ({kinds})", *map(_told, self.siblings)]
        )


@dataclass(frozen=True, slots=True)
class _Case:
    """What every search for doubts looks at.

    Attributes:
        notes: The notes.
        ids: Their names.
        results: What a labeller says of them that has not seen their labels.
        probability: Of each note, the probability of every label in its ranking.
    """

    notes: Sequence[LabelledNote]
    ids: Sequence[str]
    results: Sequence[LabelResult]
    probability: Sequence[dict[str, float]]

    def accepts(self, row: int, label: str) -> bool:
        note = self.notes[row]
        return label == note.label or label in note.also

    def doubt(self, row: int, label: str) -> float:
        """Return from 0 to 1 how far the labeller prefers another label to the given one."""
        probability = self.probability[row]
        return (1 + probability.get(label, 0.0) - probability.get(self.notes[row].label, 0.0)) / 2


def find_label_issues(
    notes: Sequence[LabelledNote],
    results: Sequence[LabelResult],
    *,
    kinds: Collection[IssueKind | str] = tuple(IssueKind),
    near: float = NEAR,
) -> LabelIssues:
    """Find labels that look wrong.

    Confident learning is cleanlab's (Northcutt et al., JAIR 70, 2021), with the doubt 1 less its self-confidence.
    Copies are notes of the same text but for case, white space and numbers; the label that most copies have is
    suggested, and the labeller decides between equals. Near copies share at least ``near`` of their 3-word shingles;
    of two the one is doubted whose label the labeller believes less. A pair of siblings is confused more often than
    chance; notes of the pair that the labeller puts at the other are doubted.

    Args:
        notes: The labelled notes. Where a label of ``also`` is predicted, nothing is doubted.
        results: Results of a labeller that has not seen the notes' labels: ``out_of_fold``. With others, which know
            the wrong labels already, little is found.
        kinds: Which doubts to look for. All but confident learning need no package.
        near: Jaccard similarity from which notes are near copies, above 0 and at most 1.

    Raises:
        ValueError: If results are not of these notes in this order, or a kind is unknown.
        MissingExtraError: If cleanlab is wanted and absent.
    """
    wanted = {IssueKind(kind) for kind in kinds}
    check_same_notes(notes, results)
    case = _Case(notes, note_ids(notes), results, [dict(result.ranking) for result in results])
    told: list[str] = []
    siblings = sibling_pairs(notes, results)
    searches: dict[IssueKind, Callable[[], Iterator[Issue]]] = {
        IssueKind.CONFIDENT_LEARNING: lambda: _confident(case, told),
        IssueKind.CONFLICT: lambda: _conflicts(case),
        IssueKind.NEAR_DUPLICATE: lambda: _near(case, near),
        IssueKind.SIBLING: lambda: _siblings(case, siblings),
    }
    found: list[Issue] = []
    for kind, search in searches.items():
        if kind in wanted:
            found.extend(sorted(search(), key=lambda issue: (-issue.score, issue.note_id)))
    if not all(result.calibrated for result in results):
        told.append("the probabilities are not calibrated, so confident learning rests on scores that only rank")
    return LabelIssues(tuple(found), siblings, len(notes), tuple(told))


def sibling_pairs(notes: Sequence[LabelledNote], results: Sequence[LabelResult]) -> tuple[SiblingPair, ...]:
    """Return the pairs of labels that are confused at least 3 times and more often than chance at 1 %."""
    from scipy.stats import binom

    given = Counter(note.label for note in notes)
    crossed = Counter(
        (note.label, result.label)
        for note, result in zip(notes, results, strict=True)
        if result.label != note.label and result.label not in note.also
    )
    labels = given.keys() | {label for pair in crossed for label in pair}
    if len(labels) < 3:
        return ()  # where there are two labels, every error is between them
    share = sum(crossed.values()) / len(notes) / (len(labels) - 1)
    pairs = sorted({(min(pair), max(pair)) for pair in crossed})
    found = []
    for one, other in pairs:
        there, back, total = crossed[one, other], crossed[other, one], given[one] + given[other]
        p_value = min(1.0, float(binom.sf(there + back - 1, total, share)) * len(pairs))
        if there + back >= _LEAST_PAIR and p_value < _SURE:
            found.append(SiblingPair(one, other, there, back, total, p_value))
    return tuple(sorted(found, key=lambda pair: (-pair.one_as_other - pair.other_as_one, pair.one, pair.other)))


def _confident(case: _Case, told: list[str]) -> Iterator[Issue]:
    filters = require("cleanlab.filter", extra="review")
    rank = require("cleanlab.rank", extra="review")
    names = sorted({note.label for note in case.notes} | {result.label for result in case.results})
    if len(names) < 2 or not case.notes:
        return
    numbers = {name: place for place, name in enumerate(names)}
    labels = np.asarray([numbers[note.label] for note in case.notes], dtype=np.int64)
    table: NDArray[np.float64] = np.zeros((len(labels), len(names)))
    for row, probability in enumerate(case.probability):
        for name, value in probability.items():
            if name in numbers:
                table[row, numbers[name]] = value
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = filters.find_label_issues(labels, table, n_jobs=1)
        quality = rank.get_label_quality_scores(labels, table, method="self_confidence")
    told.extend(dict.fromkeys(f"cleanlab: {' '.join(str(item.message).split())}" for item in caught))
    for row in np.flatnonzero(mask).tolist():
        note, suggested = case.notes[row], case.results[row].label
        if not case.accepts(row, suggested):
            sure = case.probability[row]
            why = (
                f"a labeller that did not see this label gives it {sure.get(note.label, 0.0):.0%}, and "
                f"{suggested!r} {sure[suggested]:.0%}"
            )
            score = float(np.clip(1 - quality[row], 0, 1))
            yield Issue(case.ids[row], IssueKind.CONFIDENT_LEARNING, note.label, suggested, score, why)


def _conflicts(case: _Case) -> Iterator[Issue]:
    copies: dict[str, list[int]] = defaultdict(list)
    for row, note in enumerate(case.notes):
        copies[normalised(note.text)].append(row)
    for rows in copies.values():
        labels = Counter(case.notes[row].label for row in rows)
        if len(labels) < 2:
            continue
        believed = {label: sum(case.probability[row].get(label, 0.0) for row in rows) for label in labels}
        best = min(labels, key=lambda label: (-labels[label], -believed[label], label))
        others = {row: [one for one in rows if not case.accepts(row, case.notes[one].label)] for row in rows}
        for row in rows:
            if others[row] and not case.accepts(row, best):
                same = all(case.notes[one].text == case.notes[row].text for one in others[row])
                what = "the same text" if same else "the same text but for numbers, case or white space"
                score = len(others[row]) / (len(rows) - 1)
                why = (
                    f"{what} has another label in {len(others[row])} of {len(rows) - 1} other copies; {best!r} is the "
                    f"label of {labels[best]}"
                )
                names = tuple(case.ids[one] for one in others[row])
                yield Issue(case.ids[row], IssueKind.CONFLICT, case.notes[row].label, best, score, why, names)


def _near(case: _Case, least: float) -> Iterator[Issue]:
    first: dict[str, int] = {}
    rows = [row for row, note in enumerate(case.notes) if first.setdefault(normalised(note.text), row) == row]

    def agree(one: int, other: int) -> bool:
        left, right = rows[one], rows[other]
        return case.accepts(left, case.notes[right].label) or case.accepts(right, case.notes[left].label)

    found: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for one, other, similarity in near_pairs([normalised(case.notes[row].text) for row in rows], least, agree):
        pair = rows[one], rows[other]
        doubts = [case.doubt(row, case.notes[twin].label) for row, twin in (pair, pair[::-1])]
        # The one whose label is believed less; of equals the later one, so that the result does not hang on a sort.
        place = max((0, 1), key=lambda side: (doubts[side], pair[side]))
        found[pair[place]].append((similarity * doubts[place], similarity, pair[1 - place]))
    for row, twins in found.items():
        score, similarity, twin = max(twins, key=lambda entry: (entry[0], -entry[2]))
        given, suggested = case.notes[row].label, case.notes[twin].label
        why = f"{case.ids[twin]} says nearly the same ({similarity:.0%} of word triples) and is {suggested!r}"
        names = tuple(case.ids[other] for *_, other in sorted(twins, reverse=True))
        yield Issue(case.ids[row], IssueKind.NEAR_DUPLICATE, given, suggested, score, why, names)


def _siblings(case: _Case, pairs: Sequence[SiblingPair]) -> Iterator[Issue]:
    known = {frozenset((pair.one, pair.other)): pair for pair in pairs}
    for row, (note, result) in enumerate(zip(case.notes, case.results, strict=True)):
        pair = known.get(frozenset((note.label, result.label)))
        if pair is not None and not case.accepts(row, result.label):
            score = case.doubt(row, result.label)
            yield Issue(case.ids[row], IssueKind.SIBLING, note.label, result.label, score, _told(pair))


def _told(pair: SiblingPair) -> str:
    crossed = pair.one_as_other + pair.other_as_one
    return f"{pair.one!r} and {pair.other!r} are confused in {crossed} of {pair.notes} notes"
