"""What a model elsewhere gets to see: no identifier of a question, a patient, a note or the conversation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from radrag.generation.scripted import ScriptedGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.masking import MaskedReader, MaskedVerifier, is_local, searches_locally
from radrag.pipelines.patient import Patient
from radrag.pipelines.qa import QAPipeline
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.judge import JudgeVerifier
from radrag.reading.prompted import PromptedReader
from radrag.types import Chat, ClaimVerdict, Document, Draft, DraftClaim, Hit

STONE = "Low-dose CT detected 96% of ureteral stones in 121 adults."
PUBLISHED = f"In Boston, Dr. Harold Finch wrote on 04/12/2019: {STONE}"
NOTE = "Patient: Maria Gonzalez, MRN 55512345. Seen 03/14/2021. Ureteral stone of 6 mm on low-dose CT."
SECRETS = ("Gonzalez", "Maria", "55512345", "03/14/2021", "John", "Smith", "555-867-5309", "8842199")
QUESTION = "My patient John Smith (MRN 8842199, phone 555-867-5309): does low-dose CT detect ureteral stones in adults?"
REPLY = f"Yes. {STONE} [1]"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("private") / "index") as made:
        made.add(
            [
                Document("PMID:1", PUBLISHED, "Stones", "abstract"),
                Document("MRN 55512345", NOTE, "Maria Gonzalez", "note", metadata={"mrn": "55512345"}),
            ]
        )
        yield made


class Elsewhere(ScriptedGenerator):
    """A generator that does not say it is local, and keeps what it was sent."""

    local = False

    @property
    def sent(self) -> str:
        return "\n".join(turn.content for chat in self.chats for turn in chat)


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def test_a_model_elsewhere_gets_no_identifier_and_the_answer_says_so(index: HybridIndex) -> None:
    model = Elsewhere(lambda chat: REPLY)
    patient = Patient(age=93, sex="male", prior_studies=("CT on 03/14/2021 for John Smith",))
    answer = QAPipeline(index, model, min_confidence=0.0)(QUESTION, patient=patient)
    assert leaks(model.sent) == []
    assert "93" not in model.sent
    assert "does low-dose CT detect ureteral stones in adults?" in model.sent
    assert "Ureteral stone of 6 mm on low-dose CT." in model.sent
    assert PUBLISHED in model.sent  # what is published goes as it is, and is cited from the store
    assert not answer.abstained
    assert answer.question == QUESTION
    assert [index.document(one.document_id).text[one.start : one.end] for one in answer.citations] == [
        one.quote for one in answer.citations
    ]
    (said,) = [warning for warning in answer.warnings if warning.startswith("masked before")]
    assert "name" in said
    assert "mrn" in said
    assert leaks(said) == []
    assert answer.manifest["masked"] is True
    assert leaks(json.dumps(dict(answer.manifest))) == []


def test_a_local_model_gets_the_original(index: HybridIndex) -> None:
    model = ScriptedGenerator([REPLY])
    answer = QAPipeline(index, model, min_confidence=0.0)(QUESTION)
    assert QUESTION in model.chats[0][-1].content
    assert NOTE in model.chats[0][-1].content
    assert answer.manifest["masked"] is False
    assert not [warning for warning in answer.warnings if "masked" in warning]


def test_the_baseline_and_the_stream_are_masked_too(index: HybridIndex) -> None:
    model = Elsewhere(lambda chat: REPLY)
    qa = QAPipeline(index, model, min_confidence=0.0)
    qa.without_retrieval()(QUESTION)
    pieces = list(qa.stream(QUESTION))
    assert len(model.chats) == 2
    assert leaks(model.sent) == []
    assert pieces[0] == REPLY


def test_a_conversation_is_masked_too(index: HybridIndex) -> None:
    model = Elsewhere(lambda chat: "" if "rewrite" in chat[0].content else REPLY)
    talk = QAPipeline(index, model, min_confidence=0.0).chat()
    talk(QUESTION)
    talk("And in children of Maria Gonzalez?")
    assert any("rewrite" in chat[0].content for chat in model.chats)
    assert leaks(model.sent) == []


def test_a_judge_elsewhere_is_masked_and_a_local_one_not(index: HybridIndex) -> None:
    claim = "Maria Gonzalez has a ureteral stone of 6 mm."
    for judge, private in (
        (Elsewhere(lambda chat: "supported"), True),
        (ScriptedGenerator(lambda _: "supported"), False),
    ):
        qa = QAPipeline(
            index, ScriptedGenerator([f"{claim} [1][2]"]), verifier=JudgeVerifier(judge), min_confidence=0.0
        )
        answer = qa(QUESTION)
        sent = "\n".join(turn.content for chat in judge.chats for turn in chat)
        assert "stone of 6 mm" in sent
        assert (leaks(sent) == []) is private
        assert [one.text for one in answer.claims] == [claim]


def test_offsets_of_a_masked_verifier_are_those_of_the_original() -> None:
    class Finder:
        def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
            found = [texts[0].index("Ureteral stone") for texts in passages]
            assert leaks(str(claims) + str(passages)) == []
            return [ClaimVerdict("supported", None, (), 0, at, at + len("Ureteral stone")) for at in found]

    (verdict,) = MaskedVerifier(Finder()).verify(["Maria Gonzalez has one"], [[NOTE]])
    assert NOTE[verdict.start : verdict.end] == "Ureteral stone"


def test_a_reader_elsewhere_sees_no_id_or_metadata_of_a_note(index: HybridIndex) -> None:
    class Nosy:
        def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
            assert leaks(repr(questions) + repr(hits)) == []
            assert {hit.passage.document_id for hit in hits[0]} & {"PMID:1"}
            return [Draft((DraftClaim(STONE, (1, 2)),))]

        def read_alone(self, questions: Sequence[str]) -> list[Draft]:
            return [Draft() for _ in questions]

    answer = QAPipeline(index, Nosy(), min_confidence=0.0)(QUESTION)
    assert [one.document_id for one in answer.citations] == ["PMID:1"]
    assert answer.manifest["reader"] == "Nosy"


def test_who_counts_as_local() -> None:
    class Silent:
        def generate(self, chats: Sequence[Chat], params: object) -> list[Any]:
            return []

    class Said(Silent):
        local = True

    class Truthy(Silent):
        local = "yes"

    assert is_local(None)
    assert is_local(ExtractiveReader())
    assert is_local(PromptedReader(Said()))
    assert is_local(JudgeVerifier(ScriptedGenerator([])))
    assert not is_local(Silent())
    assert not is_local(Truthy())
    assert not is_local(PromptedReader(Silent()))
    assert not is_local(JudgeVerifier(Silent()))
    assert MaskedReader(ExtractiveReader(), lambda _: "note").fingerprint.endswith(":masked")


@pytest.mark.torch
def test_a_llama_index_llm_is_elsewhere_unless_declared_local(index: HybridIndex) -> None:
    llms = pytest.importorskip("llama_index.core.llms")
    from radrag.generation.llamaindex import LlamaIndexGenerator

    sent: list[str] = []

    class Recording(llms.MockLLM):  # type: ignore[misc, name-defined]
        def chat(self, messages: Any, **kwargs: Any) -> Any:
            sent.extend(message.content for message in messages)
            return llms.ChatResponse(message=llms.ChatMessage(role="assistant", content=REPLY))

    answer = QAPipeline(index, Recording(), min_confidence=0.0)(QUESTION)
    assert leaks("\n".join(sent)) == []
    assert answer.manifest["masked"]
    sent.clear()
    QAPipeline(index, LlamaIndexGenerator(Recording(), local=True), min_confidence=0.0)(QUESTION)
    assert QUESTION in sent[-1]


@pytest.mark.torch
def test_an_embedding_elsewhere_gets_masked_queries(tmp_path: Any) -> None:
    embeddings = pytest.importorskip("llama_index.core.embeddings")
    seen: list[str] = []

    class Recording(embeddings.MockEmbedding):  # type: ignore[misc, name-defined]
        def _get_query_embedding(self, query: str) -> list[float]:
            seen.append(query)
            return [float(value) for value in np.eye(4)[len(query) % 4]]

    with HybridIndex.create(tmp_path / "index", encoder=Recording(embed_dim=4)) as made:
        made.add([Document("PMID:1", PUBLISHED, "Stones", "abstract")])
        seen.clear()
        qa = QAPipeline(made, min_confidence=0.0)
        qa(QUESTION)
        assert seen
        assert leaks("\n".join(seen)) == []
        made.encoder.local = True  # type: ignore[attr-defined]
        assert searches_locally(made.encoder)
        qa(QUESTION)
        assert QUESTION in seen
