"""A natural language inference or fact-checking cross-encoder, by name or folder, as a verifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radrag.errors import ModelError, require
from radrag.grounding.support import find_support
from radrag.types import ClaimVerdict

_SUPPORTED = ("entail", "support", "consistent", "factual", "true")
_AGAINST = ("contradict", "refute", "inconsistent", "false", "hallucinat")


class NLIVerifier:
    """Reads passage and claim together with a sequence classification model.

    The probability is the model's own, after softmax; it is not calibrated for your texts. A passage longer than the
    model's input is cut by its sentences around what shares most words with the claim, never in silence: see
    ``objections``.

    Args:
        model: Hub name or folder of a sequence classification model with an entailment label (three labels), or of a
            consistency model (two labels, or one score).
        supports: Index of the label that means support, where the names of the labels do not tell.
        threshold: From this probability on a claim counts as supported.
        device: Device; None takes cuda if there is one.
        batch_size: Pairs run at once.
        revision: Revision on the hub.
        local_files_only: Whether to stay off the network.

    Raises:
        ModelError: If the model cannot be loaded, or which label means support cannot be told.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        supports: int | None = None,
        threshold: float = 0.5,
        device: str | None = None,
        batch_size: int = 16,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._torch = require("torch", extra="llama")
        transformers = require("transformers", extra="llama")
        options = {"revision": revision, "local_files_only": local_files_only, "trust_remote_code": False}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(model), **options)
            self._model = transformers.AutoModelForSequenceClassification.from_pretrained(
                str(model), use_safetensors=True, **options
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"no sequence classification model can be loaded from {str(model)!r}: {error}. Give a folder, or a hub "
                "name that this machine can reach"
            ) from error
        where = device or ("cuda" if self._torch.cuda.is_available() else "cpu")
        self._model.to(where).eval()
        self._name, self._threshold, self._batch = f"{model}@{revision}", threshold, batch_size
        self._support, self._contra = _labels(self._model.config, supports, str(model))
        limits = (self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", 512))
        self._most = min(limit for limit in (*limits, 4096) if limit and limit > 0)
        if "roberta" in str(getattr(self._model.config, "model_type", "")):
            self._most = min(self._most, self._model.config.max_position_embeddings - 2)  # two positions are padding's

    @property
    def fingerprint(self) -> str:
        """Name, revision and threshold."""
        return f"nli:{self._name}:{self._threshold}"

    def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
        """Check each claim against each of its passages; the one that supports it best decides."""
        pairs = [
            (n, m, *self._fitted(claim, text))
            for n, (claim, texts) in enumerate(zip(claims, passages, strict=True))
            for m, text in enumerate(texts)
        ]
        chances = self._chances([(text, claims[n]) for n, _, text, _ in pairs])
        made = [ClaimVerdict("unsupported", 0.0, ("there is no passage",)) for _ in claims]
        seen: set[int] = set()
        for (n, m, _, cut), (support, against) in zip(pairs, chances, strict=True):
            known = made[n].probability
            if n in seen and known is not None and support <= known:
                continue
            seen.add(n)
            notes = ("the passage was cut to fit the model",) if cut else ()
            made[n] = ClaimVerdict(self._named(support, against), support, notes, m)
        return made

    def _named(self, support: float, against: float) -> str:
        if support >= self._threshold:
            return "supported"
        return "contradicted" if against >= max(0.5, support) else "unsupported"

    def _fitted(self, claim: str, text: str) -> tuple[str, bool]:
        """Return a passage, or what of it fits beside the claim: the stretch that shares most words with it."""
        room = self._most - len(self._tokenizer(claim)["input_ids"]) - 4
        if room < 8:
            raise ValueError(f"a claim takes all of the model's {self._most} tokens; split it: {claim[:80]!r}...")
        ids = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = ids["offset_mapping"]
        if len(offsets) <= room:
            return text, False
        best = find_support(claim, text)
        middle = 0 if best is None else (best.start + best.end) // 2
        at = next((n for n, (_, end) in enumerate(offsets) if end > middle), len(offsets) - 1)
        first = max(0, min(at - room // 2, len(offsets) - room))
        return text[offsets[first][0] : offsets[first + room - 1][1]], True

    def _chances(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
        """Return the probabilities of support and of contradiction (0 where the model has no such label)."""
        found: list[tuple[float, float]] = []
        for start in range(0, len(pairs), self._batch):
            part = pairs[start : start + self._batch]
            inputs = self._tokenizer(
                [one for one, _ in part], [two for _, two in part], padding=True, truncation=True,
                max_length=self._most, return_tensors="pt",
            )  # fmt: skip
            with self._torch.inference_mode():
                logits = self._model(**inputs.to(self._model.device)).logits.float()
            chances = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(-1)
            if not bool(chances.isfinite().all()):
                raise ModelError(f"{self._name} gives scores that are not finite")
            found += [
                (float(row[self._support]), float(row[self._contra]) if self._contra is not None else 0.0)
                for row in chances
            ]
        return found


def _labels(config: Any, supports: int | None, name: str) -> tuple[int, int | None]:
    """Return the label that means support and the one that means contradiction, by their names."""
    names = {int(n): str(label).lower() for n, label in config.id2label.items()}
    if supports is not None and supports not in names:
        raise ValueError(f"supports must be one of {sorted(names)}, got {supports}")
    against = [n for n, label in names.items() if any(word in label for word in _AGAINST) or label.startswith("not")]
    for_it = [n for n, label in names.items() if n not in against and any(word in label for word in _SUPPORTED)]
    for_it = [n for n in for_it if not names[n].startswith(("not", "non", "un"))]
    if supports is None and len(names) == 1:
        supports = 0
    if supports is None and len(for_it) != 1:
        raise ModelError(
            f"which label of {name} means support cannot be told from {sorted(names.values())}; say supports=INDEX"
        )
    chosen = for_it[0] if supports is None else supports
    return chosen, next((n for n in against if n != chosen), None)
