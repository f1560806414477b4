"""Answers that can be made again, pipelines that are saved, streams, and llama-index around it all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.generation.scripted import ScriptedGenerator
from radrag.generation.streaming import _certain
from radrag.grounding.abstention import Reason
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.qa import QAPipeline
from radrag.pipelines.saving import plain_where, where_from_plain
from radrag.reading.extractive import ExtractiveReader
from radrag.types import Answer, Chat, Document, Generation, GenerationParams

STONE = "Low-dose CT detected 96% of ureteral stones in 121 adults."
QUESTION = "Does low-dose CT detect ureteral stones in adults?"
REPLY = f"Yes. {STONE} [1] It is cheap."
DOCUMENTS = [
    Document("PMID:111", f"We compared. {STONE}", "CT for stones", "abstract", metadata={"year": 2018}),
    Document("us", "Ultrasound misses distal ureteral stones.", "Ultrasound", "guideline", metadata={"year": 2020}),
]


def make(folder: Path, documents: list[Document]) -> HybridIndex:
    index = HybridIndex.create(folder)
    index.add(documents)
    return index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with make(tmp_path_factory.mktemp("kept") / "index", DOCUMENTS) as made:
        yield made


def test_a_saved_pipeline_gives_the_same_answer_again(index: HybridIndex, tmp_path: Path) -> None:
    params = GenerationParams(max_new_tokens=40, temperature=0.5, seed=7, stop=("\n",))
    where = {"year": Range(2010, 2030), "kind": {"abstract", "guideline"}}
    qa = QAPipeline(
        index, ScriptedGenerator(lambda _: REPLY), k=3, where=where, min_confidence=0.01, params=params,
        unsupported="drop",
    )  # fmt: skip
    first = qa(QUESTION)
    qa.save(tmp_path / "saved")
    again = QAPipeline.load(tmp_path / "saved", index, ScriptedGenerator(lambda _: REPLY))
    assert again(QUESTION) == first
    assert again.check(first.manifest, QUESTION) == ()
    assert again.check(json.loads(json.dumps(first.to_dict()))["manifest"], QUESTION) == ()
    stored = (tmp_path / "saved" / "pipeline.json").read_text(encoding="utf-8")
    assert "ureteral" not in stored
    assert first.manifest["question_sha256"] not in stored
    again.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "pipeline.json").read_text(encoding="utf-8") == stored


def test_the_baseline_is_saved_as_such(index: HybridIndex, tmp_path: Path) -> None:
    QAPipeline(index).without_retrieval().save(tmp_path)
    assert QAPipeline.load(tmp_path, index)(QUESTION).manifest["retrieval"] is False


def test_check_says_what_differs(index: HybridIndex, tmp_path: Path) -> None:
    answer = QAPipeline(index, k=2, min_confidence=0.0)(QUESTION)
    with make(tmp_path / "other", DOCUMENTS[:1]) as other:
        found = QAPipeline(other, ExtractiveReader(2), min_confidence=0.5).check(answer.manifest, "another question")
    names = [line.split(":")[0] for line in found]
    assert {"reader", "index", "k", "min_confidence", "question"} <= set(names)
    assert not {"encoder", "verifier", "radrag", "where", "patient"} & set(names)
    assert "k: the manifest has 2, this pipeline 8" in found


def test_loading_with_another_model_or_index_is_refused(index: HybridIndex, tmp_path: Path) -> None:
    QAPipeline(index, ExtractiveReader(1)).save(tmp_path)
    with pytest.raises(ModelError, match=r"would not answer as it did: reader: .*strict=False"):
        QAPipeline.load(tmp_path, index, ExtractiveReader(2))
    loose = QAPipeline.load(tmp_path, index, ExtractiveReader(2), strict=False)
    assert loose.manifest()["k"] == 8
    with pytest.raises(ModelError, match=r"no question pipeline in .*QAPipeline\.save"):
        QAPipeline.load(tmp_path / "none", index)
    (tmp_path / "pipeline.json").write_text('{"format": 99}', encoding="utf-8")
    with pytest.raises(ModelError, match="format 1 is expected, got 99"):
        QAPipeline.load(tmp_path, index)


def test_filters_survive_json() -> None:
    where = {"a": Range(1, None), "b": {"y", "x"}, "c": ("q",), "d": 3}
    stored = json.loads(json.dumps(plain_where(where)))
    assert where_from_plain(stored) == {"a": Range(1, None), "b": ["x", "y"], "c": ["q"], "d": 3}
    assert plain_where(None) is None
    assert where_from_plain(None) is None


class Streaming(ScriptedGenerator):
    """Writes word by word."""

    def stream(self, chat: Chat, params: GenerationParams) -> Iterator[str]:
        self.chats.append(chat)
        yield from (f"{word} " for word in REPLY.split())


def test_a_stream_ends_with_the_answer_that_a_call_gives(index: HybridIndex) -> None:
    model = Streaming([])
    *pieces, last = QAPipeline(index, model, min_confidence=0.0).stream(QUESTION)
    assert "".join(map(str, pieces)).split() == REPLY.split()
    assert len(pieces) == len(REPLY.split())
    assert isinstance(last, Answer)
    asked = QAPipeline(index, ScriptedGenerator([REPLY]), min_confidence=0.0)(QUESTION)
    assert replace(last, manifest={}) == replace(asked, manifest={})
    assert len(model.chats) == 1


def test_what_the_stream_returns_says_whether_it_was_cut_off(index: HybridIndex) -> None:
    class Cut(Streaming):
        def stream(self, chat: Chat, params: GenerationParams) -> Any:
            yield "Yes. "
            yield STONE
            return Generation(f"Yes. {STONE}", finished=False)

    *_, last = QAPipeline(index, Cut([]), min_confidence=0.0).stream(QUESTION)
    assert isinstance(last, Answer)
    assert "the model was cut off at its token limit" in last.warnings


def test_without_enough_evidence_nothing_is_streamed(index: HybridIndex) -> None:
    model = Streaming([])
    (only,) = QAPipeline(index, model, min_confidence=1.0).stream("Who composed Tosca?")
    assert isinstance(only, Answer)
    assert only.reason == Reason.OFF_TOPIC
    assert model.chats == []


def test_the_extractive_reader_streams_in_one_piece(index: HybridIndex) -> None:
    text, answer = QAPipeline(index, min_confidence=0.0).stream(QUESTION)
    assert isinstance(answer, Answer)
    assert text == answer.text


def test_what_is_streamed_is_never_taken_back() -> None:
    assert _certain("abc\ufffd", ()) == "abc"
    assert _certain("abc \n", ()) == "abc"
    assert _certain("see ##", ("###",)) == "see"
    assert _certain("see #x", ("###",)) == "see #x"


def tiny_llama(folder: Path, context: int) -> Path:
    """Write a Llama of one small random layer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from radrag.training import train_tokenizer

    torch.manual_seed(0)
    train_tokenizer(["flank pain, CT for stones", "sudden deafness"] * 2, folder, vocab_size=300, context=context)
    config = transformers.LlamaConfig(
        vocab_size=len(transformers.AutoTokenizer.from_pretrained(folder)), hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=context,
        initializer_range=0.3, eos_token_id=4,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def drained(made: Any) -> tuple[list[str], Generation]:
    """Return what an iterator yields, and what it returns."""
    returned = []

    def kept() -> Iterator[str]:
        returned.append((yield from made))

    return list(kept()), returned[0]


@pytest.mark.torch
def test_a_llama_streams_the_text_it_would_write(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.generation.llama import LlamaGenerator
    from radrag.generation.streaming import stream
    from radrag.types import Message

    llama = LlamaGenerator(tiny_llama(tmp_path, context=128), device="cpu", local_files_only=True)
    chat = (Message("user", "flank pain"),)
    plain = llama.generate([chat], GenerationParams(max_new_tokens=24))[0].text
    several = []
    for params in (
        GenerationParams(max_new_tokens=24),
        GenerationParams(max_new_tokens=24, temperature=1.0, seed=3),
        GenerationParams(max_new_tokens=24, stop=(plain[4:6],)),
        GenerationParams(max_new_tokens=500),
    ):
        (whole,) = llama.generate([chat], params)
        pieces, last = drained(stream(llama, chat, params))
        assert last == whole
        assert "".join(pieces) == whole.text
        several.append(len(pieces) > 1)
    assert several[0]


@pytest.mark.torch
def test_a_llama_index_llm_streams(index: HybridIndex) -> None:
    llms = pytest.importorskip("llama_index.core.llms")
    from radrag.generation.llamaindex import LlamaIndexGenerator
    from radrag.types import Message

    generator = LlamaIndexGenerator(llms.MockLLM(max_tokens=5), local=True)
    chat = (Message("user", "a b c d e f g"),)
    pieces = list(generator.stream(chat))
    assert len(pieces) > 1
    assert "".join(pieces) == generator.generate([chat])[0].text
    stopped = list(generator.stream(chat, GenerationParams(stop=("b c",))))
    assert "".join(stopped) == generator.generate([chat], GenerationParams(stop=("b c",)))[0].text


@pytest.mark.torch
def test_inside_llama_index(index: HybridIndex) -> None:
    pytest.importorskip("llama_index.core")
    qa = QAPipeline(index, ScriptedGenerator(lambda _: REPLY), min_confidence=0.0)
    engine = qa.as_query_engine()
    response = engine.query(QUESTION)
    answer = Answer.from_dict(response.metadata["answer"])
    assert answer == qa(QUESTION)
    assert str(response) == f"Yes. {answer.text}"
    assert [(one.node.metadata["document_id"], one.score) for one in response.source_nodes] == [
        (hit.passage.document_id, hit.score) for hit in answer.evidence
    ]
    cited = {one.node.metadata["document_id"]: one.node.metadata["cited"] for one in response.source_nodes}
    (stretch,) = cited["PMID:111"]
    assert index.document("PMID:111").text[stretch["start"] : stretch["end"]] == stretch["quote"] == STONE
    assert cited["us"] == []
    later = asyncio.run(engine.aquery(QUESTION))
    assert str(later) == str(response)
    silent = QAPipeline(index, min_confidence=1.0).as_query_engine().query("Who composed Tosca?")
    assert str(silent) == f"No answer: {Reason.OFF_TOPIC}"


@pytest.mark.torch
def test_inside_llama_index_in_a_form(index: HybridIndex) -> None:
    pytest.importorskip("llama_index.core")

    def engine(reply: str, *asked: Any) -> Any:
        return QAPipeline(index, ScriptedGenerator(lambda _: reply), min_confidence=0.0).as_query_engine(*asked)

    evidence = f"Evidence:\n{STONE} [1]"
    assert str(engine(f"96%\n{evidence}", "factoid").query(QUESTION)) == f"Answer: 96%. {STONE} [1]"
    chosen = engine(f"B\n{evidence}", None, {"A": "MRI", "B": "Low-dose CT"}).query("Which scan finds ureteral stones?")
    assert str(chosen) == f"Answer: B. {STONE} [1]"
    assert Answer.from_dict(chosen.metadata["answer"]).form == "choice"
    for wrong in (("essay",), ("choice",), ("yesno", {"A": "MRI", "B": "CT"})):
        with pytest.raises(ValueError, match="got"):
            engine("", *wrong)


@pytest.mark.torch
def test_a_verdict_that_only_leans_is_no_yes_in_llama_index_either(index: HybridIndex) -> None:
    pytest.importorskip("llama_index.core")

    class Torn(ScriptedGenerator):
        def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
            return np.log(np.tile([[0.45, 0.3, 0.25]], (len(chats), 1)))

    response = QAPipeline(index, Torn(lambda _: REPLY), min_confidence=0.0).as_query_engine().query(QUESTION)
    assert str(response).startswith("Unsure: leans to yes (probability 0.45)")


@pytest.mark.torch
def test_the_same_model_index_and_seed_write_the_same_answer(index: HybridIndex, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.generation.llama import LlamaGenerator

    folder = tiny_llama(tmp_path / "model", context=4096)
    params = GenerationParams(max_new_tokens=12, temperature=1.0, seed=5)
    first = LlamaGenerator(folder, device="cpu", local_files_only=True)
    qa = QAPipeline(index, first, min_confidence=0.0, params=params)
    answer = qa(QUESTION)
    qa.save(tmp_path / "saved")
    second = LlamaGenerator(folder, device="cpu", local_files_only=True)
    again = QAPipeline.load(tmp_path / "saved", index, second)
    assert again.check(answer.manifest, QUESTION) == ()
    assert again(QUESTION) == answer
    other = QAPipeline(index, second, min_confidence=0.0, params=replace(params, seed=6))
    assert [line.split(":")[0] for line in other.check(answer.manifest)] == ["reader"]
    *_, streamed = again.stream(QUESTION)
    assert streamed == answer
