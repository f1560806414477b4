"""Findings of radiology reports: read by rules, learn from labelled reports, calibrate, cite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.labelling.cite import Quotes
from radrag.labelling.findings.asked import STATUSES, log_odds, status_scores
from radrag.labelling.findings.learned import FOLDS, FindingModel
from radrag.labelling.findings.lexicon import Entry, Lexicon
from radrag.labelling.findings.reader import FindingReader, Mention, parted
from radrag.labelling.findings.sections import Role
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.labelling.label_set import LabelSet
from radrag.labelling.manifest import file_hashes, read_labels, stored_labels
from radrag.labelling.stored import read_json, write_folder, write_json
from radrag.protocols import Generator, Scorer
from radrag.types import Citation, Label, LabelledNote, LabelledReport, Status
from radrag.types.reports import FindingsResult

FORMAT = 1
Report = str | Mapping[str, str]
_SAMPLE = 300  # labelled reports that a generator is asked about
_DISAGREES = 0.9
_STATED = (Status.PRESENT, Status.UNCERTAIN)


class FindingsPipeline:
    """Says for each finding of a set what a report says about it, with the words that say so.

    Without ``fit`` rules decide, and nothing is calibrated. ``fit`` adds a model of what the rules say and of the
    words, and with it calibrated probabilities that a finding is present.

    Args:
        index: Where passages that define a finding are: documents whose id is a finding's; None cites nothing.
        generator: Asked about each finding if it has ``score``. Before ``fit`` it changes no status: its probability is
            shown, and a warning where it surely disagrees. ``fit`` learns how far to trust it.
        labels: Name of a shipped finding set, or findings of your own.
        lexicon: More patterns, see ``FindingReader``.
        wide: Count what the set subsumes under another name too, see ``FindingReader``.
        seed: Seed of folds, sample and solver.
    """

    def __init__(
        self,
        index: HybridIndex | None = None,
        generator: Generator | Scorer | None = None,
        *,
        labels: str | Iterable[Label] = "chest",
        lexicon: Lexicon | None = None,
        wide: bool = False,
        seed: int = 0,
    ) -> None:
        self._reader = FindingReader(labels, lexicon, wide=wide)
        self._index, self._generator, self._seed = index, generator, seed
        self._scorer: Any = generator if hasattr(generator, "score") else None
        self._quotes: Quotes | None = None
        self._model: FindingModel | None = None
        self._examples = 0

    def __call__(self, report: Report) -> FindingsResult:
        """Read one report: its whole text, or its sections by heading."""
        return self.batch([report])[0]

    def batch(self, reports: Iterable[Report]) -> list[FindingsResult]:
        """Read several reports.

        Returns:
            A result for each report, in order.

        Raises:
            ValueError: If a report is blank or not text; it names the position.
        """
        results, words = self._read(reports)
        if not results:
            return []
        scores = None if self._scorer is None else status_scores(self._scorer, words, self.labels)
        odds = None if scores is None else log_odds(scores)
        probabilities = np.full((len(results), len(self.labels)), np.nan)
        if self._model is not None:
            probabilities = self._model.probabilities(results, words, odds)
        citations, manifest = self._citations(results), self.manifest
        found = []
        for row, result in enumerate(results):
            asked = None if scores is None else scores[row]
            warnings = self._warnings(result, asked)
            findings = result.findings
            if self._model is not None:
                findings = self._model.judged(result, probabilities[row])
            elif odds is not None:
                shown = zip(findings, expit(odds[row]), strict=True)
                findings = tuple(replace(label, probability=float(sure)) for label, sure in shown)
            found.append(
                replace(
                    result,
                    findings=findings,
                    citations=citations[row],
                    calibrated=self._model is not None,
                    warnings=warnings,
                    manifest=manifest,
                )
            )
        return found

    def fit(self, examples: Iterable[LabelledReport]) -> Self:
        """Learn from labelled reports, some 200 or more; "present" is learnt, against every other status.

        A finding with fewer than 10 reports with it, or without it, stays with the rules. Reports of the same text but
        for numbers never help to score each other. A generator is asked about a seeded sample of at most 300.

        Raises:
            ValueError: If a report is not labelled with this finding set, or there are fewer than 5 different reports.
        """
        reports = list(examples)
        ids = self.labels.ids
        for place, report in enumerate(reports):
            given = tuple(label.finding for label in report.findings)
            if given != ids:
                raise ValueError(f"report {place} ({report.id!r}) has the findings {given!r}, expected {ids!r}")
        results, words = self._read([report.text for report in reports])
        true = np.asarray([[label.status is Status.PRESENT for label in report.findings] for report in reports])
        groups = group_notes([LabelledNote(report.text, "") for report in reports])
        folds = grouped_folds(groups, np.asarray(true.any(axis=1), dtype=np.int64), FOLDS, self._seed)
        odds = self._sampled_odds(words)
        self._model = FindingModel.fit(results, words, true, folds, odds, seed=self._seed)
        self._examples = len(reports)
        return self

    @property
    def fitted(self) -> bool:
        """Whether it has learnt from labelled reports."""
        return self._model is not None

    @property
    def labels(self) -> LabelSet:
        """The findings it reads for."""
        return self._reader.labels

    @property
    def manifest(self) -> dict[str, Any]:
        """What produces its results: hashes of findings, lexicon, cues and index, settings, and what was learnt."""
        generator = None if self._generator is None else _name(self._generator)
        made = {
            "radrag": version("radrag"),
            **self._reader.manifest,
            "index": None if self._index is None else self._index.manifest["content"],
            "tokenizer": tokenizer_fingerprint(),
            "generator": generator,
            "seed": self._seed,
        }
        if self._model is None:
            return made
        learnt = [id for id, known in zip(self.labels.ids, self._model.learnt, strict=True) if known]
        return {**made, "examples": self._examples, "learnt": learnt}

    def save(self, folder: str | Path) -> None:
        """Write the fitted pipeline to a folder, whole or not at all; words of the reports are in it.

        Raises:
            ValueError: If it is not fitted.
            ModelError: If the folder holds something else.
        """
        model = self._model
        if model is None:
            raise ValueError("there is nothing to save before fit; an unfitted pipeline is made by its constructor")

        def write(draft: Path) -> None:
            model.save(draft)
            kept = {
                "format": FORMAT,
                "finding_set": stored_labels(self.labels),
                "patterns": asdict(self._reader.lexicon),
                "files": file_hashes(draft),
            }
            write_json(draft / "manifest.json", {**self.manifest, **kept})

        write_folder(Path(folder), write)

    @classmethod
    def load(
        cls, folder: str | Path, index: HybridIndex | None = None, generator: Generator | Scorer | None = None
    ) -> Self:
        """Read what ``save`` wrote. The index may be another: it is cited and nothing is learnt from it.

        Raises:
            IndexMismatchError: If this version of radrag splits words otherwise.
            ModelError: If the files are not the ones saved, the generator is another, or this version has other cues.
        """
        path = Path(folder)
        kept = read_json(path / "manifest.json")
        if kept.get("format") != FORMAT or "finding_set" not in kept:
            raise ModelError(f"{path} is no findings pipeline of format {FORMAT}; fit it again")
        if file_hashes(path) != kept["files"]:
            raise ModelError(f"a file of {path} is missing or is not what was saved; save the pipeline again")
        labels, lexicon = read_labels(kept["finding_set"]), _lexicon(kept["patterns"])
        pipeline = cls(index, generator, labels=labels, lexicon=lexicon, wide=kept["wide"], seed=kept["seed"])
        pipeline._model, pipeline._examples = FindingModel.load(path), kept["examples"]
        here = pipeline.manifest
        if kept["tokenizer"] != here["tokenizer"]:
            raise IndexMismatchError(f"{path} was made with another way to split words; fit it again")
        for name in ("labels", "lexicon", "cues", "generator"):
            if kept[name] != here[name]:
                raise ModelError(f"{path} was made with {name} {kept[name]}, here it is {here[name]}; fit it again")
        return pipeline

    def _read(self, reports: Iterable[Report]) -> tuple[list[FindingsResult], list[str]]:
        results, words = [], []
        if isinstance(reports, str | Mapping):
            raise ValueError("reports must be a list of reports, got one report; call the pipeline with it instead")
        for place, report in enumerate(reports):
            if not isinstance(report, str | Mapping):
                raise ValueError(f"report {place} must be text or sections by heading, got {report!r:.60}")
            try:
                text, parts = parted(report)
            except (ValueError, TypeError) as error:
                raise ValueError(f"report {place}: {error}") from error
            mentions: list[Mention] = self._reader.mentions(text, parts)
            results.append(self._reader.result(text, mentions))
            words.append("\n".join(text[part.start : part.end] for part in parts if part.role is not Role.ASIDE))
        return results, words

    def _sampled_odds(self, words: Sequence[str]) -> NDArray[np.float64] | None:
        if self._scorer is None:
            return None
        count = min(_SAMPLE, len(words))
        rows = np.sort(np.random.default_rng(self._seed).choice(len(words), count, replace=False))
        odds = np.full((len(words), len(self.labels)), np.nan)
        odds[rows] = log_odds(status_scores(self._scorer, [words[row] for row in rows], self.labels))
        return odds

    def _citations(self, results: Sequence[FindingsResult]) -> list[dict[str, Citation]]:
        found: list[dict[str, Citation]] = [{} for _ in results]
        if self._index is None:
            return found
        if self._quotes is None:
            self._quotes = Quotes(self._index)
        stated = [
            (row, label) for label in self.labels for row, one in enumerate(results) if one[label.id].status in _STATED
        ]
        notes = [" ".join(span.text for span in results[row][label.id].spans) for row, label in stated]
        quotes = self._quotes.of(notes, [label for _, label in stated])
        for (row, label), quote in zip(stated, quotes, strict=True):
            if quote is not None:
                found[row][label.id] = quote
        return found

    def _warnings(self, result: FindingsResult, asked: NDArray[np.float64] | None) -> tuple[str, ...]:
        said = []
        if self._model is None:
            said.append("not calibrated: read by rules; no labelled reports were given")
        elif not self._model.learnt.all():
            rest = [id for id, known in zip(self.labels.ids, self._model.learnt, strict=True) if not known]
            said.append(f"too few labelled reports to learn {', '.join(rest)}: read by rules, no probability")
        if self._generator is not None and self._scorer is None:
            said.append("the generator has no score method and took no part")
        if asked is not None:
            for label, scores in zip(result.findings, np.exp(asked), strict=True):
                best = int(scores.argmax())
                if scores[best] >= _DISAGREES and STATUSES[best] is not label.status:
                    said.append(
                        f"{label.finding}: the rules read {label.status}, the generator {STATUSES[best]} "
                        f"({scores[best]:.2f})"
                    )
        return tuple(said)


def _lexicon(value: Mapping[str, Any]) -> Lexicon:
    entries = {
        id: Entry(**{name: tuple(patterns) for name, patterns in entry.items()})
        for id, entry in value["findings"].items()
    }
    return Lexicon(entries, tuple(value["unless"]), value["synonyms"])


def _name(generator: object) -> str:
    return str(getattr(generator, "fingerprint", None) or type(generator).__qualname__)
