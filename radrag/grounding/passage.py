"""A passage split into sentences and read once: words, numbers, and where each stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from radrag.corpora import split_sentences
from radrag.grounding import numbers
from radrag.grounding.alignment import Word, content_words
from radrag.grounding.numbers import Quantity


@dataclass(frozen=True)
class ReadText:
    """A text with its content words and its numbers, in order."""

    text: str
    words: tuple[Word, ...]
    numbers: tuple[Quantity, ...]

    @classmethod
    def of(cls, text: str) -> ReadText:
        """Read a text."""
        return cls(text, content_words(text), numbers.quantities(text))


class Passage:
    """A passage split and read once, so that many claims can be measured against it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans = split_sentences(text)

    @cached_property
    def sentences(self) -> list[ReadText]:
        """Its sentences, read."""
        return [ReadText.of(self.text[start:end]) for start, end in self.spans]

    @cached_property
    def words(self) -> list[Word]:
        """The words of all sentences; offsets are those in the sentence."""
        return [word for sentence in self.sentences for word in sentence.words]

    @cached_property
    def numbers(self) -> list[Quantity]:
        """The numbers of all sentences."""
        return [number for sentence in self.sentences for number in sentence.numbers]

    @cached_property
    def slices(self) -> list[slice]:
        """For each sentence, where its words are among all."""
        ends = np.cumsum([0, *(len(sentence.words) for sentence in self.sentences)])
        return [slice(a, b) for a, b in pairwise(ends)]
