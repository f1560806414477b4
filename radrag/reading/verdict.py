"""Yes, no or maybe: a small linear model over cues in the question and in the evidence, with its probabilities."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.types import VERDICTS, Verdict

ASSET = Path(__file__).parent.parent / "assets" / "verdict.json"
_AUXILIARY = (
    r"(?:is|are|was|were|do|does|did|can|could|should|shall|will|would|has|have|had|may|might|must|need|isn't|aren't|"
    r"doesn't|don't|didn't|can't|cannot)"
)
_YES_NO = re.compile(rf"(?:^|[:;,.?!–—-]\s+){_AUXILIARY}\s+\S+[^?]*\?", re.IGNORECASE)
_OPEN_WORD = r"(?:what|which|who|whom|whose|when|where|why|how)\b"
_OPEN = re.compile(rf"^{_OPEN_WORD}|[.:;!–—]\s+{_OPEN_WORD}", re.IGNORECASE)

_EVIDENCE_CUES: dict[str, str] = {
    "no_difference": r"\bno (?:statistically |clinically )?(?:significant |relevant |clear )?(?:difference|effect|"
    r"change|association|correlation|relationship|influence|impact|benefit|advantage|increase|improvement)\w*",
    "not_significant": r"\b(?:not|n[o']t|neither|nor)\b[^.]{0,30}\b(?:significant|differ|associat|correlat|affect|"
    r"improve|reduce|increase|predict|influence|superior|better)\w*|\bp\s*[=>]\s*0?\.[1-9]",
    "negative": r"\b(?:no|not|never|without|neither|nor|none|cannot|failed|fails?|lack(?:s|ed)?|absence|unlikely)\b",
    "advised_against": r"\b(?:not (?:be )?(?:recommended|needed|necessary|required|indicated|justified)|"
    r"contraindicat\w+|avoid\w*|should not|need not|unnecessary|little (?:value|benefit|use)|"
    r"limited (?:value|use)|inferior)\b",
    "significant": r"\bsignificant(?:ly)?\b|\bp\s*<\s*0?\.0",
    "effect": r"\b(?:effective|efficacious|improv\w+|reduc\w+|increas\w+|decreas\w+|higher|lower|better|superior|"
    r"benefi\w+|associated|correlat\w+|predict\w+|independent(?:ly)?|risk factor)\b",
    "advised": r"\b(?:recommended|indicated|should be|safe(?:ly)?|feasible|useful|valuable|reliable|accurate|can be|"
    r"appropriate|of choice|preferred)\b",
    "hedge": r"\b(?:may|might|could|possibl[ey]|perhaps|suggest\w*|appear\w*|seem\w*|potential(?:ly)?)\b",
    "unclear": r"\b(?:unclear|uncertain|inconclusive|conflicting|mixed|further (?:stud\w+|research|investigation\w*)|"
    r"more (?:stud\w+|research)|remains? to|limited evidence|depends?|in some|selected|however|although|but)\b",
}
_QUESTION_CUES: dict[str, str] = {
    "q_compares": r"\b(?:differ\w*|compar\w+|better|superior|worse|more|less|than|versus|vs|equivalent|same)\b",
    "q_relates": r"\b(?:associat\w+|relat\w+|correlat\w+|predict\w*|risk|factor|influence|affect|impact|role|cause)\b",
    "q_works": r"\b(?:effective\w*|efficac\w+|improv\w+|reduc\w+|prevent\w*|help|benefi\w+|useful|value|increase)\b",
    "q_safe": r"\b(?:safe\w*|feasib\w+|accura\w+|reliab\w+|valid|possible|appropriate|acceptable)\b",
    "q_needed": r"\b(?:necessar\w+|need\w*|should|require\w*|routine\w*|justif\w+|indicat\w+|"
    r"warrant\w*|mandatory|must)\b",
    "q_negative": r"\b(?:no|not|never|without|only|still|really|ever)\b|n't\b",
    "q_can": r"\b(?:can|could|may|might)\b",
    "q_choice": r"\bor\b",
}
_COMPILED = {name: re.compile(cue, re.IGNORECASE) for name, cue in {**_EVIDENCE_CUES, **_QUESTION_CUES}.items()}


def is_yes_no(question: str) -> bool:
    """Whether a question asks for yes, no or maybe: it, or a clause of it, opens with an auxiliary verb.

    ``Is A better than B?`` does; ``Is it A or B that ...?`` is taken as yes/no too; ``Which A is ...?`` does not.
    """
    text = " ".join(question.split())
    match = _YES_NO.search(text)
    return match is not None and not _OPEN.search(text[: match.end()])


def features(question: str, evidence: Sequence[str]) -> NDArray[np.float64]:
    """Describe a question and its evidence by cues.

    Args:
        question: The question.
        evidence: Sentences, the most telling first; may be empty.

    Returns:
        float64 ``[f]``: cues of the question; then cues of the first sentence and their mean over all, as they are and
        where the question compares or relates.
    """
    asked = [float(bool(_COMPILED[name].search(question))) for name in _QUESTION_CUES]
    table = np.asarray(
        [[float(bool(_COMPILED[name].search(sentence))) for name in _EVIDENCE_CUES] for sentence in evidence]
    ).reshape(-1, len(_EVIDENCE_CUES))
    first = table[0] if len(table) else np.zeros(len(_EVIDENCE_CUES))
    mean = table.mean(axis=0) if len(table) else np.zeros(len(_EVIDENCE_CUES))
    relational = float(asked[0] or asked[1])
    return np.concatenate([asked, first, mean, relational * first, [float(bool(len(table)))]])


def models_fingerprint(path: Path = ASSET) -> str:
    """Return the sha256 of the verdict models that ship, or ``"none"`` if there are none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"


@dataclass(frozen=True)
class VerdictModel:
    """Multinomial logistic regression over ``features``.

    Attributes:
        weights: float64 ``[3, f]``, rows in the order of ``VERDICTS``.
        bias: float64 ``[3]``.
        facts: Where it comes from: data, size, command.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    facts: Mapping[str, Any]

    def __call__(self, question: str, evidence: Sequence[str]) -> Verdict:
        """Return the verdict for a question, with or without evidence."""
        logits = self.weights @ features(question, evidence) + self.bias
        odds = np.exp(logits - logits.max())
        share = odds / odds.sum()
        return Verdict(VERDICTS[int(share.argmax())], dict(zip(VERDICTS, map(float, share), strict=True)))

    @classmethod
    def load(cls, name: str, path: Path = ASSET) -> Self:
        """Load a model that ships: ``"evidence"``, or ``"question"`` (the baseline that sees no evidence)."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))[name]
            model = cls(np.asarray(stored["weights"], float), np.asarray(stored["bias"], float), stored["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"no verdict model {name!r} in {path}: {error}; make it with `radrag train verdict`"
            ) from error
        rows = len(VERDICTS)
        if model.weights.shape != (rows, len(features("", []))) or model.bias.shape != (rows,):
            raise ModelError(
                f"the verdict model {name!r} in {path} is of another version; make it with `radrag train verdict`"
            )
        return model
