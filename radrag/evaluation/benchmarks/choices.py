"""Questions with options: how a reply is read, by the benchmark's rule and strictly, and a pipeline that answers them.

Source of the rule: Xiong et al., Benchmarking Retrieval-Augmented Generation for Medicine (MIRAGE), arXiv 2402.13178,
and ``locate_answer`` of Teddy-XiongGZ/MIRAGE @ 224ebe9a.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radrag._version import __version__
from radrag.evaluation.variants import Meter
from radrag.generation import prompts
from radrag.reading.forms import Form, Parsed, parse
from radrag.types import VERDICTS, Answer, Chat, GenerationParams, GoldSpan, Hit, Question, Verdict

FIELD = "answer_choice"
_LETTER = "([ABCD])"
# In the order in which the benchmark tries them; the first pattern that is found decides.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^\s*{_LETTER}$", rf"^\s*{_LETTER} or", rf"^\s*{_LETTER} and", rf"^\s*{_LETTER}/", rf"^\s*{_LETTER},",
        rf"[Oo]ption {_LETTER}", rf":\s*{_LETTER}", rf"^\s*{_LETTER}\.", rf'^\s*{_LETTER}"', rf"^\s*{_LETTER}:",
    )
)  # fmt: skip
UNREAD = "the reply could not be read"


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question with options.

    Attributes:
        id: Its name.
        text: The question alone: what may be searched for.
        options: Text of each option by its letter.
        gold: Letter of the right one.
        dataset: Which benchmark it is from.
        documents: Ids of the documents it was made from, where known.
    """

    id: str
    text: str
    options: Mapping[str, str]
    gold: str
    dataset: str = ""
    documents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.options) < 2 or self.gold not in self.options:
            raise ValueError(
                f"question {self.id!r} must have 2 options or more and one of them as gold, got {dict(self.options)} "
                f"and {self.gold!r}"
            )

    def verdict(self, letter: str) -> str:
        """Return an option as an answer: its word where all are yes, no or maybe, else its letter."""
        words = {key: text.strip().lower() for key, text in self.options.items()}
        return words[letter] if set(words.values()) <= set(VERDICTS) else letter

    def question(self) -> Question:
        """Return it as a question that ``compare`` scores by its verdict."""
        spans = tuple(GoldSpan(document, 0, 0, "") for document in self.documents)
        worded = self.verdict(self.gold) in VERDICTS
        words = "" if worded else self.options[self.gold]
        return Question(self.id, self.text, "yesno" if worded else "choice", self.verdict(self.gold), words, spans)


def benchmark_letter(output: str) -> str:
    """Read a reply as MIRAGE does: the letter after the last ``"answer_choice": "``, and A where none is found."""
    tail = output.split(f'"{FIELD}": "')[-1].strip()
    for pattern in _PATTERNS:
        if found := pattern.search(tail):
            return found.group(1)
    return "A"


def by_benchmark(output: str, options: Mapping[str, str]) -> Parsed:
    """Read a reply by the benchmark's rule, which always finds an option."""
    return Parsed(Form.CHOICE, benchmark_letter(output))


def strictly(output: str, options: Mapping[str, str]) -> Parsed:
    """Read a reply by ``radrag.reading.forms``: one option, named wholly, or a reason why there is none."""
    return parse(Form.CHOICE, output, options)


Read = Callable[[str, Mapping[str, str]], Parsed]


def chosen(question: ChoiceQuestion, read: Parsed, manifest: Mapping[str, Any]) -> Answer:
    """Return a reply as an answer: the option it names, or an abstention with the reason why it names none."""
    letter = read.value if isinstance(read.value, str) else None
    if letter is None or letter not in question.options:
        reason = f"{UNREAD}: {read.failure or 'not one of the options'}"
        return Answer(question.text, abstained=True, reason=reason, manifest=manifest)
    return Answer(question.text, verdict=Verdict(question.verdict(letter), {}), manifest=manifest)


class ChoicePipeline:
    """Answers questions with options by MIRAGE's rules: the search sees the question alone, the model also the options.

    Args:
        index: Where to look; None answers from the question alone.
        generator: Any ``Generator``.
        questions: The questions that will be asked, as ``batch`` is given their texts.
        k: Passages to retrieve; MIRAGE's own figures are with 32.
        params: How to decode.
        read: How a reply is read.

    Raises:
        ValueError: If two questions have the same text and other options: which is asked could not be told.
    """

    def __init__(
        self,
        index: Any,
        generator: Any,
        questions: Iterable[ChoiceQuestion],
        *,
        k: int = 32,
        params: GenerationParams | None = None,
        read: Read = strictly,
    ) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self._index, self._generator, self._k = index, generator, k
        self._params = params or GenerationParams()
        self._read = read
        self._known = by_text(questions)

    def without_retrieval(self) -> ChoicePipeline:
        """Return the baseline: the same model with the question and its options alone."""
        asked = self._known.values()
        return type(self)(None, self._generator, asked, k=self._k, params=self._params, read=self._read)

    def metered(self) -> tuple[ChoicePipeline, Meter]:
        """Return it with its generator counted."""
        meter, asked = Meter(self._generator), self._known.values()
        return type(self)(self._index, meter, asked, k=self._k, params=self._params, read=self._read), meter

    @property
    def manifest(self) -> dict[str, Any]:
        """What decides its outputs."""
        facts: dict[str, Any] = {"retrieval": self._index is not None}
        if self._index is not None:
            made = self._index.manifest
            facts |= {"index": made["content"], "search": made["search"], "k": self._k}
        name = getattr(self._generator, "fingerprint", type(self._generator).__name__)
        read = getattr(self._read, "__name__", repr(self._read))
        return {
            "radrag": __version__,
            "generator": str(name),
            "prompts": prompts.fingerprint(),
            "read": read,
            "params": repr(self._params),
            **facts,
        }

    def batch(self, texts: Iterable[str]) -> list[Answer]:
        """Answer questions by their texts, in order."""
        asked = [self._known[text] for text in texts]
        found: Sequence[Sequence[Hit]] = [()] * len(asked)
        if self._index is not None and asked:
            found = self._index.search([question.text for question in asked], self._k)
        chats = [self._fitting(question, list(hits)) for question, hits in zip(asked, found, strict=True)]
        replies = self._generator.generate(chats, self._params) if chats else []
        manifest = self.manifest
        return [
            chosen(question, self._read(reply.text, question.options), manifest)
            for question, reply in zip(asked, replies, strict=True)
        ]

    def _fitting(self, question: ChoiceQuestion, hits: list[Hit]) -> Chat:
        """Return the prompt; the weakest passages are left out where they do not fit."""
        fits = getattr(self._generator, "fits", None)
        made = self._chat(question, hits)
        while fits is not None and hits and not fits(made, self._params.max_new_tokens):
            hits = hits[:-1]
            made = self._chat(question, hits)
        return made

    def _chat(self, question: ChoiceQuestion, hits: Sequence[Hit]) -> Chat:
        return prompts.choice_chat(question.text, question.options, None if self._index is None else hits)


def by_text(questions: Iterable[ChoiceQuestion]) -> dict[str, ChoiceQuestion]:
    """Return questions by their texts; of those with the same text and options the first, as they are one prompt.

    Raises:
        ValueError: If two of the same text have other options.
    """
    made: dict[str, ChoiceQuestion] = {}
    for question in questions:
        first = made.setdefault(question.text, question)
        if dict(first.options) != dict(question.options):
            raise ValueError(
                f"the questions {first.id!r} and {question.id!r} have the text {question.text!r:.80} and other "
                "options; ask them in two runs"
            )
    return made
