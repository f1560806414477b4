from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from radrag.evaluation import compare
from radrag.evaluation.benchmarks import Progress, Resumable
from radrag.evaluation.benchmarks.cache import manifest_of, with_cost
from radrag.evaluation.benchmarks.given import GivenPassages
from radrag.generation.scripted import ScriptedGenerator
from radrag.pipelines.qa import QAPipeline
from radrag.types import (
    Answer,
    Chat,
    Citation,
    Claim,
    Document,
    Generation,
    GenerationParams,
    Hit,
    LabelResult,
    Passage,
    Question,
    Section,
    Span,
    Verdict,
)


class Echo:
    """Answers every question with its own words; counts what it was asked."""

    def __init__(self, name: str = "echo", dies_at: int | None = None) -> None:
        self.manifest = {"name": name}
        self.asked: list[str] = []
        self._dies_at = dies_at

    def batch(self, texts: Iterable[str]) -> list[Answer]:
        given = list(texts)
        if self._dies_at is not None and len(self.asked) + len(given) > self._dies_at:
            raise KeyboardInterrupt
        self.asked += given
        return [Answer(text, verdict=Verdict("yes", {"yes": 1.0}), manifest=self.manifest) for text in given]


TEXTS = [f"Is {number}?" for number in range(10)]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with pytest.raises(KeyboardInterrupt):
        Resumable(Echo(dies_at=7), path, batch_size=3).batch(TEXTS)
    second = Echo()
    made = Resumable(second, path, batch_size=3).batch(TEXTS)
    assert second.asked == TEXTS[6:]
    assert made == Echo().batch(TEXTS)
    third = Echo()
    assert Resumable(third, path).batch(TEXTS) == made
    assert third.asked == []


def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    Resumable(Echo(), path, batch_size=5).batch(TEXTS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    system = Echo()
    Resumable(system, path).batch(TEXTS)
    assert system.asked == TEXTS[-1:]
    assert len(path.read_bytes().splitlines()) == len(TEXTS)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1 is not a kept output"):
        Resumable(Echo(), path)


def test_another_system_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    Resumable(Echo("a"), path).batch(TEXTS)
    other = Echo("b")
    assert Resumable(other, path).batch(TEXTS)[0].manifest == {"name": "b"}
    assert other.asked == TEXTS


def test_the_same_text_is_asked_once_and_order_is_kept() -> None:
    system = Echo()
    made = Resumable(system, batch_size=2).batch(["b", "a", "b"])
    assert [answer.question for answer in made] == ["b", "a", "b"]
    assert system.asked == ["b", "a"]
    assert Resumable(system).batch([]) == []


def test_progress_estimates_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    Resumable(Echo(), path, batch_size=4).batch(TEXTS[:2])
    seen: list[Progress] = []
    Resumable(Echo(), path, batch_size=4, progress=seen.append).batch(TEXTS)
    assert [(now.done, now.total, now.kept) for now in seen] == [(6, 10, 2), (10, 10, 2)]
    assert seen[0].seconds_left == pytest.approx(seen[0].seconds)  # four are done and four are left
    assert seen[1].seconds_left == 0
    assert seen[0].tokens is None


def test_outputs_come_back_as_they_were(tmp_path: Path) -> None:
    passage = Passage("d", 0, 4, "Word", ("A", "B"), "T", 3, {"year": 2020, "synonyms": ["x"]}, ("retracted",))
    citation = Citation(1, "d", 3, 0, 4, "Word")
    answer = Answer(
        "q", (Claim("c", (citation,), True, 0.5),), Verdict("no", {"no": 0.7}), False, "", 0.25,
        (Hit(passage, 1.5, None, 0.5),), ("[9]",), ("warned",), {"n": {"m": None}},
    )  # fmt: skip
    label = LabelResult("q", "a", 0.5, (("a", 0.5), ("b", 0.25)), ("a",), (Span(0, 1, "q"),), (citation,), True)

    class Fixed:
        def __init__(self) -> None:
            self.manifest = {"fixed": True}

        def batch(self, texts: Iterable[str]) -> list[object]:
            return [{"answer": answer, "label": label}[text] for text in texts]

    path = tmp_path / "kept.jsonl"
    Resumable(Fixed(), path).batch(["answer", "label"])
    assert Resumable(Fixed(), path).batch(["label", "answer"]) == [label, answer]


class Counting(ScriptedGenerator):
    """Says how many tokens each reply took."""

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        return [Generation(one.text, True, 10, 2) for one in super().generate(chats, params)]


def test_cost_is_that_of_answering_not_of_reading(tmp_path: Path) -> None:
    texts = ["Is zinc safe?", "Is iron safe?", "Is lead safe?"]
    fact = "The metal is safe in children."
    documents = {text: Document(text, fact, sections=(Section((), 0, len(fact)),)) for text in texts}
    questions = [Question(text, text, "yesno", "yes") for text in texts]

    def pipeline() -> QAPipeline:
        generator = Counting(lambda _: "Yes. The metal is safe in children [1].")
        return QAPipeline(GivenPassages(documents, "test"), generator, min_confidence=0.0)

    path = tmp_path / "kept.jsonl"
    costs = []
    for _ in range(2):
        system = Resumable(pipeline(), path, batch_size=2)
        baseline = system.without_retrieval()
        made = with_cost(compare(system, baseline, questions), system, baseline)
        costs.append([(one.side, one.seconds, one.prompt_tokens, one.new_tokens) for one in made.cost])
        assert made.rows[0].system.value == 1.0
    assert costs[0] == costs[1]
    assert costs[0][0][2:] == (30, 6)


def test_given_documents_tell_what_their_records_say_against_them() -> None:
    flagged = Document("d", "Text.", sections=(Section((), 0, 5),), metadata={"erratum_in": ["1"]})
    given = GivenPassages({"q": flagged, "r": Document("e", "Text.")}, "test")
    assert given.flags(["d", "e", "x"]) == {"d": ("corrected",), "e": (), "x": ()}


def test_with_and_without_retrieval_are_two_systems() -> None:
    given = GivenPassages({"q": Document("d", "Text.", sections=(Section((), 0, 5),))}, "test")
    made = QAPipeline(given, ScriptedGenerator(["x"]))
    assert manifest_of(made) != manifest_of(made.without_retrieval())
    assert "question_sha256" not in manifest_of(made)
    assert manifest_of(made) != manifest_of(QAPipeline(given, ScriptedGenerator(["x"]), k=3))
    with pytest.raises(TypeError, match="has no manifest"):
        manifest_of(object())
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Resumable(Echo(), batch_size=0)
