"""Labels by rules: patterns for each label, or a function of the user's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.labelling.label_set import LabelSet

Rule = Callable[[str], str | Iterable[str] | None]
Patterns = Mapping[str, Iterable[str]]
# Log-odds of a label that a rule names, before any weight is fitted.
_STRENGTH = 3.0


class Rules:
    """Scores labels by which rules fire: those named share what the others lack.

    Args:
        rules: For each label's id regular expressions, of which one must be found in the note, case ignored; or a
            function that returns the id or ids that it is sure of for a note, or None.
        labels: The labels.

    Raises:
        ValueError: If a label is not in the set, or a pattern is no regular expression or matches everything.
    """

    def __init__(self, rules: Patterns | Rule, labels: LabelSet) -> None:
        self._places = {id: place for place, id in enumerate(labels.ids)}
        self._function = rules if callable(rules) else None
        self.patterns: dict[str, tuple[str, ...]] = {} if callable(rules) else _checked(rules, labels)
        self._compiled = {
            id: [re.compile(pattern, re.IGNORECASE) for pattern in patterns] for id, patterns in self.patterns.items()
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the patterns, or the name of the function: what it does cannot be told."""
        if self._function is not None:
            named = self._function if hasattr(self._function, "__qualname__") else type(self._function)
            return f"function:{named.__module__}.{named.__qualname__}"
        return "patterns:" + hashlib.sha256(json.dumps(self.patterns, sort_keys=True).encode()).hexdigest()[:16]

    def named(self, note: str) -> tuple[str, ...]:
        """Return the ids that rules name for a note.

        Raises:
            ValueError: If the function returns what is no label.
        """
        if self._function is None:
            return tuple(id for id, ways in self._compiled.items() if any(way.search(note) for way in ways))
        found = self._function(note)
        ids = () if found is None else (found,) if isinstance(found, str) else tuple(found)
        for id in ids:
            if id not in self._places:
                raise ValueError(f"the rule returned {id!r} for {note!r:.60}, expected ids of the label set, or None")
        return ids

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``; equal ones for a note that no rule fires for."""
        raw = np.zeros((len(notes), len(self._places)))
        for row, note in enumerate(notes):
            raw[row, [self._places[id] for id in self.named(note)]] = _STRENGTH
        return np.asarray(log_softmax(raw, axis=1), dtype=np.float64)


def _checked(rules: Patterns, labels: LabelSet) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for id, patterns in rules.items():
        if id not in labels:
            raise ValueError(f"rules name the label {id!r}, which is not in the label set; correct it or add the label")
        found[id] = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        for pattern in found[id]:
            try:
                everything = re.compile(pattern, re.IGNORECASE).search("") is not None
            except re.error as error:
                raise ValueError(f"the pattern {pattern!r} of {id!r} is no regular expression ({error})") from error
            if everything:
                raise ValueError(f"the pattern {pattern!r} of {id!r} is found in every note; make it narrower")
    return found
