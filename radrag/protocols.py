"""The seams: what a user's own object must offer to take the place of one of ours. No base class is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.types import Chat, ClaimVerdict, Draft, Generation, GenerationParams, Hit

Kind = Literal["query", "passage"]


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def fingerprint(self) -> str:
        """Name of model and settings; vectors of equal fingerprints are comparable."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return ``[len(texts), dim]`` vectors of unit length (all zeros for a text without known tokens)."""


class Generator(Protocol):
    """Writes text: a batch of chats in, one generation for each out, in order."""

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        """Write the assistant's next turn of each chat."""


class Scorer(Protocol):
    """Says how likely given continuations are."""

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        """Return ``[len(chats), len(options)]`` natural log-probabilities of each whole option as the next turn."""


class Reader(Protocol):
    """Drafts an answer from a question and the passages found for it.

    One that can be asked for a form of answer also has ``asking(form, options)``, which returns a reader whose drafts
    have a ``value``, or say why it is ``unread``.
    """

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        """Draft one answer for each question; claim keys are 1-based positions in that question's hits."""

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        """Draft answers without passages: the baseline. A reader that cannot returns empty drafts."""


class Verifier(Protocol):
    """Says whether passages support claims."""

    def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
        """Return one verdict for each claim, on its own passages; ``"unchecked"`` where it cannot tell."""


def says_local(model: object) -> bool:
    """Whether a model says, by an attribute ``local = True``, that what it is given stays on this machine.

    One that says nothing counts as running elsewhere: it gets texts with their identifiers masked.
    """
    return getattr(model, "local", None) is True
