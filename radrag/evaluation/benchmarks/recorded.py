"""Published systems beside ours: their saved outputs, read by a rule, as a system that ``compare`` takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radrag.errors import CorpusError
from radrag.evaluation.benchmarks.choices import ChoiceQuestion, Read, by_benchmark, chosen, strictly
from radrag.evaluation.benchmarks.files import read_json
from radrag.evaluation.compare import compare
from radrag.evaluation.comparison import Comparison, interval
from radrag.evaluation.records import Table
from radrag.evaluation.scores import Measure, verdict_right
from radrag.generation.recorded import RecordedGenerator
from radrag.types import Answer

RULES: dict[str, Read] = {"benchmark": by_benchmark, "strict": strictly}
_FIELDS = ("id", "question", "options", "gold", "model", "setting", "output")
_EXPECTED = f"expected objects with {', '.join(_FIELDS)}"
NOT_RECORDED = "no output was recorded for this question"
RIGHT = Measure("right option", verdict_right)


@dataclass(frozen=True)
class RecordedSystem:
    """A system that cannot be run again; its outputs are read by a rule, and one that is missing is no answer.

    Attributes:
        generator: The recorded outputs, by id.
        questions: What they answer.
        read: The rule: takes an output and the options, returns what it says.
    """

    generator: RecordedGenerator
    questions: Sequence[ChoiceQuestion]
    read: Read = strictly

    @property
    def manifest(self) -> dict[str, Any]:
        """What decides its outputs."""
        return {"generator": self.generator.fingerprint, "read": getattr(self.read, "__name__", repr(self.read))}

    def batch(self, texts: Iterable[str]) -> list[Answer]:
        """Return what was recorded for each question.

        Questions of the same text are told apart by their order, so each batch must ask all of them.

        Raises:
            ValueError: If a text is not one of a question, or is asked less or more often than there are questions.
        """
        asked = list(texts)
        known: dict[str, list[ChoiceQuestion]] = {}
        for question in self.questions:
            known.setdefault(question.text, []).append(question)
        for text, times in Counter(asked).items():
            if times != len(known.get(text, ())):
                raise ValueError(
                    f"{text!r:.80} is asked {times} times and {len(known.get(text, ()))} questions have this text; ask "
                    "for all questions at once, in their order"
                )
        turns = {text: iter(some) for text, some in known.items()}
        return [self._answer(next(turns[text])) for text in asked]

    def _answer(self, question: ChoiceQuestion) -> Answer:
        found = self.generator.by_id(question.id)
        if found is None:
            return Answer(question.text, abstained=True, reason=NOT_RECORDED, manifest=self.manifest)
        return chosen(question, self.read(found.text, question.options), self.manifest)


@dataclass(frozen=True, slots=True)
class Recordings:
    """All systems of a file of recorded outputs.

    Attributes:
        questions: The questions, in the order of the file.
        generators: Outputs by (model, setting).
        sha256: Hash of the file.
        given_letters: For each system the letters that the file says its own program read, by id; empty where it does
            not say.
    """

    questions: tuple[ChoiceQuestion, ...]
    generators: Mapping[tuple[str, str], RecordedGenerator]
    sha256: str
    given_letters: Mapping[tuple[str, str], Mapping[str, str]]

    def system(self, model: str, setting: str, read: Read = strictly) -> RecordedSystem:
        """Return one system."""
        if (model, setting) not in self.generators:
            raise ValueError(f"no outputs of {model!r} in the setting {setting!r}; there are {sorted(self.generators)}")
        return RecordedSystem(self.generators[model, setting], self.questions, read)


def recorded_systems(path: str | Path, *, sha256: str | None = None) -> Recordings:
    """Read a JSON Lines file of outputs of several models.

    Args:
        path: Objects with ``id``, ``question``, ``options``, ``gold``, ``model``, ``setting`` and ``output``, and
            optionally ``task`` and ``benchmark_parse``. An empty output counts as not recorded.
        sha256: What the file's hash must be; None takes any.

    Raises:
        CorpusError: If a record lacks one, two records of one id are other questions, or one system has two outputs.
    """
    rows, digest = read_json(path, sha256)
    questions: dict[str, ChoiceQuestion] = {}
    outputs: dict[tuple[str, str], list[dict[str, str]]] = {}
    letters: dict[tuple[str, str], dict[str, str]] = {}
    if not isinstance(rows, list):
        raise CorpusError(f"{_EXPECTED}, one on each line (.jsonl), got one {type(rows).__name__}", file=path)
    for number, row in enumerate(rows, start=1):
        missing = [name for name in _FIELDS if not isinstance(row, Mapping) or name not in row]
        if missing:
            found = f"it lacks {', '.join(missing)}" if isinstance(row, Mapping) else f"got {type(row).__name__}"
            raise CorpusError(f"{_EXPECTED}; {found}", file=path, record=number)
        try:
            made = ChoiceQuestion(row["id"], row["question"], row["options"], row["gold"], row.get("task", ""))
            key = (row["model"], row["setting"])
            said = outputs.setdefault(key, [])
            if row["output"]:  # an empty text is what is left of a call that gave nothing, not an answer
                said.append({"id": row["id"], "output": row["output"]})
        except (TypeError, ValueError) as error:
            raise CorpusError(f"is no recorded output: {error}", file=path, record=number) from error
        if questions.setdefault(made.id, made) != made:
            raise CorpusError(
                f"the question {made.id!r} stands otherwise in an earlier record", file=path, record=number
            )
        if "benchmark_parse" in row:
            letters.setdefault(key, {})[made.id] = row["benchmark_parse"]
    generators = {key: RecordedGenerator(said, name="/".join(key)) for key, said in outputs.items()}
    return Recordings(tuple(questions.values()), generators, digest, letters)


def recorded_comparison(
    system: Any,
    baseline: Any,
    questions: Sequence[ChoiceQuestion],
    *,
    names: tuple[str, str],
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """Compare two systems on questions with options, paired: recorded ones, or one of ours that gives verdicts.

    Args:
        system: A ``RecordedSystem``, ``ChoicePipeline`` or, on questions of yes, no and maybe, a ``QAPipeline``.
        baseline: Another.
        questions: The questions.
        names: What to call the two.
        seed: Seed of the resampling.
        options: More of ``compare``.
    """
    items = [question.question() for question in questions]
    return compare(system, baseline, items, names=names, seed=seed, measures=(RIGHT,), **options)


def recorded_tables(data: Recordings, baseline: str, *, seed: int = 0) -> tuple[Table, Table]:
    """Return every system by both rules, and each model's settings against its baseline, paired by question.

    Args:
        data: The outputs.
        baseline: The setting that the others of a model are compared with.
        seed: Seed of the resampling.

    Raises:
        ValueError: If no model has the baseline and another setting.
    """
    pairs = [
        (model, setting)
        for model, setting in data.generators
        if setting != baseline and (model, baseline) in data.generators
    ]
    if not pairs:
        raise ValueError(f"no model has the setting {baseline!r} and another; there are {sorted(data.generators)}")
    figures, differences = [], []
    for model, setting in pairs:
        for rule, read in RULES.items():
            sides = data.system(model, setting, read), data.system(model, baseline, read)
            made = recorded_comparison(*sides, data.questions, names=(setting, baseline), seed=seed)
            row, test = made.rows[0], made.rows[0].test
            assert test is not None
            for name, figure, side in ((setting, row.system, 0), (baseline, row.baseline, 1)):
                unread = sum((failure.system, failure.baseline)[side] for failure in made.failures)
                figures.append((model, name, f"{rule} rule", str(figure), str(unread)))
            counts = f"{test.system_only} : {test.baseline_only}"
            difference = (f"{model}: {setting} - {baseline}", f"{rule} rule", interval(row.difference))
            differences.append((*difference, counts, f"{row.p_value:.2g}", row.tested_by, str(row.system.n)))
    return (
        Table(
            "Right options", ("model", "setting", "read by", "accuracy [95 % interval]", "no answer"),
            tuple(dict.fromkeys(figures)), "An output that is missing, or that the strict rule cannot read, is wrong.",
        ),
        Table(
            "Differences, paired by question", ("", "read by", "difference", "only one right", "p", "test", "n"),
            tuple(differences),
        ),
    )  # fmt: skip
