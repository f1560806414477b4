"""Labelling notes: score by words, by similar notes and by guidelines, pool, calibrate, cite."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from radrag.calibration import conformal_set
from radrag.indexes.encoders import load_encoder
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.cite import cite
from radrag.labelling.default import DEFAULT_WEIGHT, default_generator
from radrag.labelling.ensemble import Ensemble, Sources
from radrag.labelling.label_set import LabelSet
from radrag.labelling.manifest import (
    FORMAT,
    check_files,
    check_made_with,
    file_hashes,
    made_with,
    read_labels,
    stored_labels,
)
from radrag.labelling.memory import LastBatch
from radrag.labelling.notes import checked_notes
from radrag.labelling.stored import read_json, write_folder, write_json
from radrag.labelling.writer import Tuned, Writer
from radrag.labelling.zero_shot import ZeroShot, guidelines_of
from radrag.protocols import Encoder, Generator, Scorer
from radrag.types import Citation, LabelledNote, LabelResult, Span


class LabelPipeline:
    """Labels notes, says how sure it is, and cites note and guideline.

    Without ``fit`` it goes by what the generator or the guidelines say, and its scores are not calibrated. ``fit`` adds
    a text model and a search over the labelled notes, and pools them with the guidelines and the generator. Without
    ``fit`` and with ``generator`` left out, the small Llama that ships takes part beside the guidelines, where the
    labels are shipped protocols and the ``llama`` extra is installed; the manifest names it. None leaves it out.

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
    ) -> None:
        if len(labels) < 2:
            raise ValueError(f"labels must hold at least 2 labels to choose from, got {len(labels)}")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, got {coverage}; 0.9 is usual")
        loaded = LastBatch(index.encoder if encoder is None else load_encoder(encoder))
        self._by_default = generator == "default"
        given = None if self._by_default else generator
        scorer: Any = given if hasattr(given, "score") else None
        writer = None if scorer is None else Writer(scorer, labels, tuned=tuned)
        zero_shot = ZeroShot(labels, loaded, guidelines_of(labels, index))
        self._sources = Sources(labels, loaded, index, zero_shot, writer)
        self._generator: object = given
        self._settings: dict[str, Any] = {"coverage": coverage, "seed": seed, "tuned": tuned}
        self._ensemble: Ensemble | None = None
        self._retrieval = True
        self._names_only: ZeroShot | None = None

    def fit(self, examples: Iterable[LabelledNote], calibration: Iterable[LabelledNote] | None = None) -> Self:
        """Learn from labelled notes, about 50 or more, and calibrate the probabilities and sets.

        Probabilities and sets hold for notes like those they were calibrated on. Where the examples differ from the
        notes to come (made from templates, from another hospital), give some hundred labelled notes like those to come
        as ``calibration``; otherwise grouped 5-fold out-of-fold scores of the examples serve. A generator is asked
        about a seeded sample of at most 300 notes, and then all is calibrated on that sample.

        Args:
            examples: Notes with their labels; notes of one ``group``, or of the same text but for numbers, never help
                to score each other.
            calibration: Notes with their labels, none of them among the examples; they calibrate and are not learnt
                from.

        Returns:
            The pipeline itself.

        Raises:
            ValueError: If a label is not in the label set, there are fewer than 2 labels, fewer than 5 groups to
                calibrate on, or a note is in both.
        """
        coverage, seed = self._settings["coverage"], self._settings["seed"]
        apart = None if calibration is None else list(calibration)
        self._ensemble = Ensemble.fit(self._sources, list(examples), coverage, seed, apart)
        return self

    def __call__(self, note: str) -> LabelResult:
        """Label one note."""
        return self.batch([note])[0]

    def batch(self, notes: Iterable[str]) -> list[LabelResult]:
        """Label several notes.

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
        probabilities = self._probabilities(texts)
        best = [int(row.argmax()) for row in probabilities]
        citations, manifest = self._citations(texts, best), self.manifest
        rows = zip(texts, probabilities, best, citations, strict=True)
        return [self._result(*row, manifest) for row in rows]

    def without_retrieval(self) -> Self:
        """Return the baseline: the same text model or generator, calibrated on the same folds, and nothing retrieved.

        No similar notes and no guidelines take part. Without ``fit`` and without a generator that leaves the labels'
        names and definitions.
        """
        alone = copy.copy(self)
        alone._retrieval = False
        alone._names_only = ZeroShot(self._sources.labels, self._sources.encoder)
        return alone

    @cached_property
    def _default(self) -> tuple[object, Writer] | None:
        generator = default_generator(self.labels) if self._by_default else None
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
        made = made_with(sources.labels, sources.index, sources.encoder, used)
        fitted: dict[str, Any] = {}
        if self._ensemble is not None:
            kept = self._ensemble.calibration(retrieval=self._retrieval)
            fitted = {
                "weights": dict(kept.weights),
                "threshold": kept.threshold,
                "examples": int(self._ensemble.counts.sum()),
                "calibrated_on": kept.notes,
            }
        return {"radrag": version("radrag"), **made, **self._settings, "retrieval": self._retrieval, **fitted}

    def save(self, folder: str | Path) -> None:
        """Write the fitted pipeline to a folder, whole or not at all; the labelled notes are in it.

        Raises:
            ValueError: If it is not fitted.
            ModelError: If the folder holds something else.
        """
        ensemble = self._ensemble
        if ensemble is None:
            raise ValueError("there is nothing to save before fit; an unfitted pipeline is made by its constructor")

        def write(draft: Path) -> None:
            ensemble.save(draft)
            kept = {"format": FORMAT, "label_set": stored_labels(self.labels), "files": file_hashes(draft)}
            write_json(draft / "manifest.json", {**self.manifest, **kept})

        write_folder(Path(folder), write)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        index: HybridIndex,
        generator: Generator | Scorer | None = None,
        *,
        encoder: str | Path | Encoder | None = None,
    ) -> Self:
        """Read what ``save`` wrote.

        Raises:
            IndexMismatchError: If index, encoder or tokenizer are not the ones it was fitted with.
            ModelError: If the files are not the ones saved, or the generator is another.
        """
        path = Path(folder)
        kept = read_json(path / "manifest.json")
        check_files(path, kept)
        settings = {name: kept[name] for name in ("coverage", "seed", "tuned")}
        pipeline = cls(index, generator, labels=read_labels(kept["label_set"]), encoder=encoder, **settings)
        check_made_with(path, kept, pipeline.manifest)
        pipeline._ensemble = Ensemble.load(path, pipeline._sources)
        return pipeline if kept["retrieval"] else pipeline.without_retrieval()

    def _probabilities(self, notes: Sequence[str]) -> NDArray[np.float64]:
        if self._ensemble is not None:
            return self._ensemble.probabilities(notes, retrieval=self._retrieval)
        sources = self._sources
        index = sources.index if self._retrieval else None
        if sources.writer is not None:
            return np.exp(sources.writer.scores(notes, index=index))
        scores = (self._names_only or sources.zero_shot).scores(notes)
        if self._default is not None:
            scores = scores + DEFAULT_WEIGHT * self._default[1].scores(notes, index=index)
        return np.asarray(softmax(scores, axis=1))

    def _citations(self, notes: Sequence[str], best: Sequence[int]) -> list[Citation | None]:
        found: list[Citation | None] = [None] * len(notes)
        if not self._retrieval:
            return found
        for label in sorted(set(best)):
            rows = [row for row, chosen in enumerate(best) if chosen == label]
            quotes = cite(self._sources.index, [notes[row] for row in rows], self.labels[self.labels.ids[label]])
            for row, quote in zip(rows, quotes, strict=True):
                found[row] = quote
        return found

    def _result(
        self,
        note: str,
        probabilities: NDArray[np.float64],
        best: int,
        citation: Citation | None,
        manifest: dict[str, Any],
    ) -> LabelResult:
        ids, ensemble = self.labels.ids, self._ensemble
        evidence = (ensemble.text if ensemble else self._names_only or self._sources.zero_shot).evidence(note, best)
        chosen: tuple[int, ...] = ()
        if ensemble is not None:
            chosen = conformal_set(probabilities, ensemble.calibration(retrieval=self._retrieval).threshold)
        order = np.argsort(-probabilities, kind="stable")
        return LabelResult(
            note=note,
            label=ids[best],
            probability=float(probabilities[best]),
            ranking=tuple((ids[place], float(probabilities[place])) for place in order),
            set=tuple(ids[place] for place in chosen),
            evidence=evidence,
            citations=() if citation is None else (citation,),
            calibrated=ensemble is not None,
            warnings=tuple(self._warnings(ids[best], evidence, citation)),
            manifest=manifest,
        )

    def _warnings(self, label: str, evidence: Sequence[Span], citation: Citation | None) -> Iterator[str]:
        if self._ensemble is None:
            yield "not calibrated: no labelled notes were given; the scores only rank the labels"
        else:
            unseen = [id for id, count in zip(self.labels.ids, self._ensemble.counts, strict=True) if not count]
            if unseen:
                yield f"{len(unseen)} of {len(self.labels)} labels had no example: {_some(unseen)}"
        if self._sources.writer is None and self._generator is not None:
            yield "the generator has no score method and took no part"
        if not evidence:
            yield "no word of the note speaks for the label"
        if self._retrieval and citation is None:
            yield f"the index has no guideline {label!r} that can be cited"


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
