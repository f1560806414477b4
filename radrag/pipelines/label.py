"""Labelling notes: score by words, by similar notes, by guidelines and by rules; pool, calibrate, cite."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from radrag._version import __version__
from radrag.calibration import Drift, drift
from radrag.errors import ModelError
from radrag.indexes.encoders import load_encoder
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.candidate_scorer import CandidateScorer
from radrag.labelling.cite import Quotes
from radrag.labelling.default import default_generator
from radrag.labelling.ensemble import Ensemble
from radrag.labelling.label_set import LabelSet
from radrag.labelling.manifest import (
    FORMAT,
    SETTINGS,
    check_files,
    check_made_with,
    file_hashes,
    made_with,
    read_labels,
    stored_labels,
)
from radrag.labelling.memory import LastBatch
from radrag.labelling.notes import checked_notes
from radrag.labelling.reference import sample_of
from radrag.labelling.rules import Patterns, Rule, Rules
from radrag.labelling.sources import Sources, by_definition, checked_use, unfitted_probabilities
from radrag.labelling.stored import read_json, write_folder, write_json
from radrag.labelling.writer import Tuned, Writer
from radrag.labelling.zero_shot import ZeroShot
from radrag.pipelines._label_results import Explainer, Judge, Seen, calibrated_judge, check_settings, notices
from radrag.protocols import Encoder, Generator, Scorer
from radrag.types import LabelledNote, LabelResult

_CELLS = 20_000_000  # of a table of notes and labels: larger batches are labelled in parts
_NOTES = 1_000  # scored at a time: what several scorers make of the same notes is kept until the next ones
DRIFT_FROM = 50  # notes in a batch: of fewer only gross drift could be told


class LabelPipeline:
    """Labels notes, says how sure it is, and cites note and guideline.

    Without ``fit`` it goes by what the generator or the guidelines say, and its scores are not calibrated. ``fit`` adds
    a text model and a search over the labelled notes, and pools them with the guidelines, the rules and the generator.
    Without ``fit`` and with ``generator`` left out, the small Llama that ships takes part beside the guidelines, where
    the labels are shipped protocols and the ``llama`` extra is installed; the manifest names it. None leaves it out.

    Args:
        index: Guidelines, each a document whose id is a label's; labels without one are labelled but not cited.
        generator: Takes part if it has ``score``; None for none. One tuned on the notes that ``fit`` gets is trusted
            too much: it has seen them, so its scores on them are better than on others. Fit on notes that it was not
            tuned on.
        labels: The labels to choose from.
        encoder: Encoder of notes, as for ``HybridIndex``; the index's own if left out.
        coverage: Share of notes whose ``set`` holds the right label, after ``fit``.
        seed: Seed of folds, samples and solver.
        tuned: The generator was tuned on these labels: it is shown the note alone; or, if ``"examples"``, it was tuned
            with similar notes and the names of fitting guidelines, and is shown them too.
        rules: For each label's id regular expressions, or a function that returns the ids it is sure of for a note.
        use: Which of ``"text"``, ``"characters"``, ``"neighbours"``, ``"guidelines"``, ``"rules"`` and ``"generator"``
            may take part; by default all that there are.
        sets: Whether the sets cover ``coverage`` of all notes, ``"marginal"``, or of the notes of each label with
            enough calibration notes, ``"per-label"``, which makes them larger.
    """

    def __init__(
        self,
        index: HybridIndex,
        generator: Generator | Scorer | Literal["default"] | None = "default",
        *,
        labels: LabelSet,
        encoder: str | Path | Encoder | None = None,
        coverage: float = 0.9,
        seed: int = 0,
        tuned: Tuned = False,
        rules: Patterns | Rule | None = None,
        use: Sequence[str] | None = None,
        sets: Literal["marginal", "per-label"] = "marginal",
    ) -> None:
        check_settings(labels, coverage, sets)
        used = checked_use(use, rules is not None)
        loaded = LastBatch(index.encoder if encoder is None else load_encoder(encoder))
        self._by_default = generator == "default"
        given = None if self._by_default else generator
        scorer: Any = given if hasattr(given, "score") and "generator" in used else None
        writer = None if scorer is None else Writer(scorer, labels, tuned=tuned)
        zero_shot = by_definition(labels, loaded, index)
        ruled = None if rules is None else Rules(rules, labels)
        self._sources = Sources(labels, loaded, index, zero_shot, writer, ruled, used)
        self._generator: object = given
        self._settings: dict[str, Any] = {"coverage": coverage, "seed": seed, "tuned": tuned, "sets": sets}
        self._settings |= {"use": None if use is None else list(used), "risk": None, "delta": None}
        self._ensemble: Ensemble | None = None
        self._retrieval = True
        self._names_only: ZeroShot | CandidateScorer | None = None
        self._quotes = Quotes(index, loaded)

    def fit(
        self,
        examples: Iterable[LabelledNote],
        calibration: Iterable[LabelledNote] | None = None,
        *,
        learn: bool = False,
    ) -> Self:
        """Learn from labelled notes, about 50 or more, and calibrate the probabilities and sets.

        Probabilities and sets hold for notes like those they were calibrated on. Where the examples differ from the
        notes to come (made from templates, from another hospital), give some hundred labelled notes like those to come
        as ``calibration``; otherwise the examples serve, out of fold in 5 folds of whole groups. At most 5,000 notes
        calibrate, a seeded sample; where there is a generator, which is slow, at most 300.

        Args:
            examples: Notes with their labels; notes of one ``group``, or of the same text but for numbers, never help
                to score each other.
            calibration: Notes with their labels, none of them among the examples.
            learn: Whether to learn from the calibration notes too, each fifth scored by models of the others. Labels
                of notes like them come out better. The final models know more than those of the folds, so
                probabilities are rather too low and sets too large, and their promise is no longer exact.

        Returns:
            The pipeline itself.

        Raises:
            ValueError: If a label is not in the label set, there are fewer than 2 labels, fewer than 5 groups to
                calibrate on, or a note is in both.
        """
        apart = None if calibration is None else list(calibration)
        self._ensemble = Ensemble.fit(self._sources, list(examples), self._settings["seed"], apart, learn=learn)
        return self

    def __call__(self, note: str) -> LabelResult:
        """Label one note."""
        return self.batch([note])[0]

    def batch(self, notes: Iterable[str]) -> list[LabelResult]:
        """Label several notes.

        From 50 notes on they are compared with those that were calibrated on; if they differ, every result warns.

        Args:
            notes: A list, tuple, pandas column or any other iterable of texts.

        Returns:
            A result for each note, in order.

        Raises:
            ValueError: If a note is blank or not text; it names the position.
        """
        texts = checked_notes(notes)
        if not texts:
            return []
        size = max(1, _CELLS // len(self.labels))
        if len(texts) > size:
            return [one for start in range(0, len(texts), size) for one in self.batch(texts[start : start + size])]
        seen = [self._seen(texts[start : start + _NOTES]) for start in range(0, len(texts), _NOTES)]
        judge = self._judge(texts, np.concatenate([one.probabilities for one in seen]))
        return [result for one in seen for result in judge.results(one)]

    def probabilities(self, notes: Iterable[str]) -> NDArray[np.float64]:
        """Return only the numbers, faster than ``batch``, whose arguments and errors it has.

        Returns:
            float64 ``[n, labels]`` in the order of the label set; calibrated if ``fitted``. Of large sets, labels that
            are no candidates have 0.
        """
        texts = checked_notes(notes)
        parts = [self._probabilities(texts[start : start + _NOTES]) for start in range(0, len(texts), _NOTES)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)))

    def drift(self, notes: Iterable[str], *, level: float = 0.01) -> Drift:
        """Test whether notes come from where the calibration notes came from.

        Args:
            notes: At least 2 notes; some hundred tell more.
            level: Highest p that counts as drift.

        Returns:
            What differs most, with a p that is corrected for several tests.

        Raises:
            ValueError: If the pipeline is not fitted, or there are fewer than 2 notes.
        """
        texts = checked_notes(notes)
        if self._ensemble is None:
            raise ValueError("there is nothing to compare notes with before fit")
        return self._drift(texts, self.probabilities(texts), level)

    def at_risk(self, risk: float, *, delta: float = 0.1) -> Self:
        """Return the pipeline that withholds labels so that at most a share ``risk`` of those given is wrong.

        The promise holds for notes like the calibration notes, except with a chance of ``delta`` over their draw.
        A result that is withheld has ``abstained`` set; its label and ranking stay visible.

        Args:
            risk: Share of wrong labels among those given.
            delta: Chance that the promise fails.

        Raises:
            ValueError: If a value is out of range or the pipeline is not fitted.
        """
        if self._ensemble is None:
            raise ValueError("a risk can only be kept after fit, which finds out how often a label is wrong")
        self._ensemble.calibration(retrieval=self._retrieval).at_risk(risk, delta)
        cautious = copy.copy(self)
        cautious._settings = {**self._settings, "risk": risk, "delta": delta}
        return cautious

    def without_retrieval(self) -> Self:
        """Return the baseline: the same text model, rules or generator, calibrated alike, and nothing retrieved.

        No similar notes and no guidelines take part. Without ``fit`` and without a generator that leaves the labels'
        names and definitions.
        """
        alone = copy.copy(self)
        alone._retrieval = False
        alone._names_only = by_definition(self._sources.labels, self._sources.encoder, None)
        return alone

    @cached_property
    def _default(self) -> tuple[object, Writer] | None:
        wanted = self._by_default and "generator" in self._sources.use
        generator = default_generator(self.labels) if wanted else None
        return None if generator is None else (generator, Writer(generator, self.labels, tuned="examples"))

    @property
    def fitted(self) -> bool:
        """Whether it has learnt from labelled notes."""
        return self._ensemble is not None

    @property
    def labels(self) -> LabelSet:
        """The labels it chooses from."""
        return self._sources.labels

    @property
    def manifest(self) -> dict[str, Any]:
        """What produces its results: hashes of labels, index and encoder, settings, and the fitted weights."""
        sources = self._sources
        used = self._generator if self.fitted or self._default is None else self._default[0]
        made = made_with(sources.labels, sources.index, sources.encoder, used, sources.rules)
        fitted: dict[str, Any] = {}
        if self._ensemble is not None:
            kept = self._ensemble.calibration(retrieval=self._retrieval)
            fitted = {
                "weights": dict(kept.weights),
                "calibrated_by": "temperature" if kept.curve is None else "isotonic",
                "threshold": kept.threshold(self._settings["coverage"]),
                "examples": int(self._ensemble.counts.sum()),
                "calibrated_on": len(kept.true),
            }
        return {"radrag": __version__, **made, **self._settings, "retrieval": self._retrieval, **fitted}

    def save(self, folder: str | Path) -> None:
        """Write the fitted pipeline to a folder, whole or not at all; the labelled notes are in it.

        Raises:
            ValueError: If it is not fitted.
            ModelError: If the folder holds something else.
        """
        ensemble = self._ensemble
        if ensemble is None:
            raise ValueError("there is nothing to save before fit; an unfitted pipeline is made by its constructor")
        patterns = None if self._sources.rules is None else self._sources.rules.patterns or None

        def write(draft: Path) -> None:
            ensemble.save(draft)
            kept = {"format": FORMAT, "label_set": stored_labels(self.labels), "files": file_hashes(draft)}
            write_json(draft / "manifest.json", {**self.manifest, **kept, "patterns": patterns})

        write_folder(Path(folder), write)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        index: HybridIndex,
        generator: Generator | Scorer | None = None,
        *,
        encoder: str | Path | Encoder | None = None,
        rules: Rule | None = None,
    ) -> Self:
        """Read what ``save`` wrote.

        Rules that are patterns are in the folder; a function must be given again, as must a generator.

        Raises:
            IndexMismatchError: If index, encoder or tokenizer are not the ones it was fitted with.
            ModelError: If the files are not the ones saved, or the generator or the rules are others.
        """
        path = Path(folder)
        kept = read_json(path / "manifest.json")
        check_files(path, kept)
        settings = {name: kept[name] for name in SETTINGS}
        later = {name: settings.pop(name) for name in ("risk", "delta")}
        if rules is None and kept["rules"] is not None and not kept.get("patterns"):
            raise ModelError(f"{path} was made with rules {kept['rules']}; pass rules=... as when it was made")
        pipeline = cls(
            index, generator, labels=read_labels(kept["label_set"]), encoder=encoder,
            rules=kept.get("patterns") or rules, **settings,
        )  # fmt: skip
        check_made_with(path, kept, pipeline.manifest)
        pipeline._settings.update(later)
        pipeline._ensemble = Ensemble.load(path, pipeline._sources)
        return pipeline if kept["retrieval"] else pipeline.without_retrieval()

    def _seen(self, notes: Sequence[str]) -> Seen:
        probabilities = self._probabilities(notes)
        best = probabilities.argmax(axis=1).tolist()
        named = [self.labels[self.labels.ids[place]] for place in best]
        citations = self._quotes.of(notes, named) if self._retrieval else [None] * len(notes)
        text = None if self._ensemble is None else self._ensemble.text
        explainer: Explainer = text or self._names_only or self._sources.zero_shot
        return Seen(notes, probabilities, citations, explainer.evidences(notes, best))

    def _probabilities(self, notes: Sequence[str]) -> NDArray[np.float64]:
        scorer, fitted = self._sources.zero_shot, self._ensemble
        if fitted is not None:
            found = fitted.probabilities(notes, retrieval=self._retrieval)
        else:
            told = None if self._default is None else self._default[1]
            found = unfitted_probabilities(self._sources, notes, told, self._names_only)
        if not isinstance(scorer, CandidateScorer):
            return found
        return np.where(scorer.candidates(notes) if fitted is None else fitted.candidates(notes, scorer), found, 0)

    def _drift(self, notes: Sequence[str], probabilities: NDArray[np.float64], level: float) -> Drift:
        assert self._ensemble is not None
        known, seed = self._ensemble.known(retrieval=self._retrieval), self._settings["seed"]
        return drift(known, sample_of(notes, probabilities, self._sources.encoder, seed), level=level, seed=seed)

    def _judge(self, notes: Sequence[str], probabilities: NDArray[np.float64]) -> Judge:
        ensemble, retrieval = self._ensemble, self._retrieval
        told = list(notices(self._sources, None if ensemble is None else ensemble.counts, self._generator))
        if ensemble is None:
            return Judge(self.labels, None, None, self.manifest, retrieval, tuple(told))
        if len(notes) >= DRIFT_FROM and (found := self._drift(notes, probabilities, 0.01)).drifted:
            told.append(f"drift: {found}; what is promised of probabilities, sets and risk no longer holds")
        kept = ensemble.calibration(retrieval=retrieval)
        return calibrated_judge(self.labels, kept, self._settings, self.manifest, retrieval, told)
