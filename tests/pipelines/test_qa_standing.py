"""Answers while another process revises, deletes and retracts what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.generation.scripted import ScriptedGenerator
from radrag.grounding.abstention import Reason
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.patient import Patient
from radrag.pipelines.qa import NOTHING_FOUND, QAPipeline
from radrag.types import Answer, Document, Notice

CT = "Low-dose CT detected 96% of ureteral stones in 121 adults."
REVISED = "Low-dose CT detected 69% of ureteral stones in 121 adults."
MRI = "Bladder cancer staging uses MRI of the pelvis."
STONES = "Does low-dose CT detect ureteral stones in adults?"
BLADDER = "Which scan does bladder cancer staging use?"
DOCUMENTS = [Document("PMID:1", f"We compared two scans. {CT}", "CT", "abstract"), Document("mri", MRI, "Bladder")]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path / "i") as made:
        made.add(DOCUMENTS)
        yield made


def revise(index: HybridIndex, time: int) -> None:
    text = f"Revision {time}. {REVISED}" if time < 2 else f"Revision {time}. {CT}"
    index.update([replace(DOCUMENTS[0], text=text)])


def delete(index: HybridIndex, time: int) -> None:
    index.delete(["PMID:1"])


def retract(index: HybridIndex, time: int) -> None:
    index.set_notices("watch", [Notice("PMID:1", "retracted")])


def correct(index: HybridIndex, time: int) -> None:
    index.set_notices("watch", [Notice("PMID:1", "corrected")])


def meanwhile(index: HybridIndex, change: Callable[[HybridIndex, int], None], times: int = 1) -> list[int]:
    """Let an index change after each of its first searches; return the list that will hold these."""
    search, done = index.search, []

    def searched(*asked: Any, **options: Any) -> Any:
        found = search(*asked, **options)
        if len(done) < times:
            done.append(len(done))
            with HybridIndex.open(index._path) as writer:
                change(writer, done[-1])
        return found

    index.search = searched  # type: ignore[method-assign]
    return done


def quotes(answer: Answer) -> list[str]:
    return [one.quote for one in answer.citations]


@pytest.mark.parametrize("options", [{}, {"evidence_prior": 0.5}])
def test_what_was_revised_is_quoted_as_it_is_now(index: HybridIndex, options: dict[str, Any]) -> None:
    meanwhile(index, revise, 2)
    answer = QAPipeline(index, min_confidence=0.0, **options)(STONES, patient=Patient(age=40))
    assert REVISED in quotes(answer)
    assert all("Revision 1." in hit.passage.text for hit in answer.evidence if hit.passage.document_id == "PMID:1")
    assert all(index.document(one.document_id).text[one.start : one.end] == one.quote for one in answer.citations)


@pytest.mark.parametrize("options", [{}, {"evidence_prior": 0.5}])
def test_what_was_deleted_is_not_cited(index: HybridIndex, options: dict[str, Any]) -> None:
    meanwhile(index, delete)
    answer = QAPipeline(index, min_confidence=0.0, where={"kind": "abstract"}, **options)(STONES)
    assert (answer.abstained, answer.reason, answer.evidence) == (True, NOTHING_FOUND, ())


def test_what_was_retracted_is_not_cited_and_what_was_corrected_says_so(index: HybridIndex) -> None:
    meanwhile(index, correct)
    qa = QAPipeline(index, min_confidence=0.0, where={"kind": "abstract"})
    assert {one.flags for one in qa(STONES).citations} == {("corrected",)}
    meanwhile(index, retract)
    answer = qa(STONES)
    assert (answer.abstained, answer.reason, answer.evidence) == (True, Reason.RETRACTED_ONLY, ())


def test_a_change_while_a_generator_writes(index: HybridIndex) -> None:
    """Only the question whose sources changed is asked again, and what changes last counts."""
    prompts: list[str] = []

    def write(chat: Any) -> str:
        prompts.append(chat[-1].content)
        if len(prompts) == 1:
            revise(index, 0)
        return f"{MRI} [1]" if BLADDER in prompts[-1] else f"Yes. {REVISED} [1]"

    qa = QAPipeline(index, ScriptedGenerator(write), min_confidence=0.0, k=1)
    stones, bladder = qa.batch([STONES, BLADDER])
    assert (quotes(stones), quotes(bladder)) == ([REVISED], [MRI])
    assert [BLADDER in prompt for prompt in prompts] == [False, True, False]
    assert CT in prompts[0]
    assert REVISED in prompts[2]


def test_a_model_elsewhere_is_asked_again_too(index: HybridIndex) -> None:
    class Elsewhere(ScriptedGenerator):
        local = False

    meanwhile(index, delete)
    generator = Elsewhere([f"{MRI} [1]"])
    assert quotes(QAPipeline(index, generator, min_confidence=0.0)(BLADDER)) == [MRI]
    assert len(generator.chats) == 1  # what was gone was noticed while the passages were masked


def test_a_streamed_text_is_checked_with_what_stands_at_its_end(index: HybridIndex) -> None:
    qa = QAPipeline(index, ScriptedGenerator([f"Yes. {CT} [1]"]), min_confidence=0.0, where={"kind": "abstract"})
    pieces = qa.stream(STONES)
    assert isinstance(next(pieces), str)
    delete(index, 0)
    answer = list(pieces)[-1]
    assert isinstance(answer, Answer)
    assert (answer.abstained, answer.citations) == (True, ())


def test_an_index_that_changes_each_time_is_said(index: HybridIndex) -> None:
    done = meanwhile(index, revise, 100)
    with pytest.raises(IndexStateError, match=r"sources of 1 of 1 questions were .* 5 times; ask again") as raised:
        QAPipeline(index, min_confidence=0.0)(STONES)
    assert raised.type is IndexStateError
    assert len(done) == 5


def test_a_document_that_was_altered_is_damage_and_an_error_of_a_reader_is_its_own(index: HybridIndex) -> None:
    document, count = index.document, []

    def write(chat: Any) -> str:
        count.append(1)
        raise KeyError("a fault of the generator")

    with pytest.raises(KeyError, match="a fault of the generator"):
        QAPipeline(index, ScriptedGenerator(write), min_confidence=0.0)(STONES)
    assert len(count) == 1
    index.document = lambda name: replace(document(name), text="X" + document(name).text)  # type: ignore[method-assign]
    with pytest.raises(IndexCorruptError, match="is not what the store holds"):
        QAPipeline(index, min_confidence=0.0)(STONES)
