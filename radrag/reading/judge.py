"""A language model as the judge of claims: asked for one word, read strictly, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from radrag.generation import prompts
from radrag.protocols import Generator
from radrag.types import SUPPORT_VERDICTS, Chat, ClaimVerdict, GenerationParams

_REPLY = re.compile(rf"[\s\"'“”*_`]*({'|'.join(SUPPORT_VERDICTS)})[\s\"'“”*_`.]*", re.IGNORECASE)
UNREADABLE = "the judge's reply is not one of the verdicts"


class JudgeVerifier:
    """Asks a generator whether passages support a claim.

    A reply that is not exactly one verdict makes the claim ``"unchecked"``, which counts as not supported. A model
    that also scores gives a probability, which is its own and not calibrated.

    Args:
        generator: Any ``Generator``.
        params: How to decode; greedy and 8 tokens if left out.

    Attributes:
        asked: How many claims it was asked about.
        unreadable: How many replies were not a verdict.
    """

    def __init__(self, generator: Generator, params: GenerationParams | None = None) -> None:
        self._generator = generator
        self._params = params or GenerationParams(max_new_tokens=8)
        self.asked = 0
        self.unreadable = 0

    @property
    def fingerprint(self) -> str:
        """What decides its verdicts: the generator, the decoding and the prompts."""
        name = getattr(self._generator, "fingerprint", type(self._generator).__name__)
        return f"judge:{name}:{prompts.fingerprint()}:{self._params}"

    def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
        """Ask about each claim with its own passages; the weakest, the last, are left out whole if they do not fit."""
        made = [self._fitting(claim, list(texts)) for claim, texts in zip(claims, passages, strict=True)]
        chats = [chat for chat, _ in made]
        replies = self._generator.generate(chats, self._params) if chats else []
        chances = self._chances(chats)
        found = []
        for reply, chance, (_, lost) in zip(replies, chances, made, strict=True):
            self.asked += 1
            notes = (f"{lost} passages did not fit the judge's context window",) if lost else ()
            read = _REPLY.fullmatch(reply.text)
            if read is None:
                self.unreadable += 1
                found.append(ClaimVerdict("unchecked", None, (*notes, f"{UNREADABLE}: {reply.text.strip()[:60]!r}")))
            else:
                # With one passage it is known which was judged; which of several decided, a single word does not say.
                found.append(ClaimVerdict(read[1].lower(), chance, notes))
        return [
            ClaimVerdict(one.verdict, one.probability, one.objections, 0 if len(texts) == 1 else -1)
            for one, texts in zip(found, passages, strict=True)
        ]

    def _fitting(self, claim: str, texts: list[str]) -> tuple[Chat, int]:
        fits: Any = getattr(self._generator, "fits", None)
        shown = len(texts)
        chat = prompts.judge_chat(claim, texts)
        while fits is not None and shown > 1 and not fits(chat, self._params.max_new_tokens):
            shown -= 1
            chat = prompts.judge_chat(claim, texts[:shown])
        return chat, len(texts) - shown

    def _chances(self, chats: Sequence[Chat]) -> list[float | None]:
        score: Any = getattr(self._generator, "score", None)
        if score is None or not chats:
            return [None] * len(chats)
        logs = np.asarray(score(chats, list(SUPPORT_VERDICTS)), dtype=np.float64)
        odds = np.exp(logs - logs.max(axis=1, keepdims=True))
        return [float(value) for value in odds[:, 0] / odds.sum(axis=1)]
