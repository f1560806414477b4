"""Hostile text in passages, titles, notes, claims and questions changes nothing, whichever generator reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import ATTACKS, GOOD, HARMLESS, LABELS, QUESTION, REPLY, each, hit, hits, lookup, obedient, question

from radrag.generation import prompts
from radrag.generation.scripted import ScriptedGenerator
from radrag.grounding import ground
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.writer import Writer
from radrag.pipelines.qa import QAPipeline
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.judge import JudgeVerifier
from radrag.reading.prompted import PromptedReader
from radrag.types import Chat, Document, Message

EXTRACTIVE = ExtractiveReader()


def test_the_set_is_large_and_varied() -> None:
    assert len(ATTACKS) >= 60
    assert len({attack["text"] for attack in ATTACKS}) == len(ATTACKS)
    assert len({attack["kind"] for attack in ATTACKS}) >= 12


def test_the_obedient_model_obeys_what_is_not_escaped() -> None:
    """The double is worth its name: a prompt built without escaping would be obeyed."""
    template = "<passage 1>\n[1] Stones\n{}\n</passage 1>\n\nQuestion: x"
    obeyed = [a for a in ATTACKS if obedient((Message("user", template.format(a["text"])),)) == "PWNED"]
    assert len(obeyed) > 35
    assert obedient((Message("user", template.format(GOOD)),)) == REPLY


@each()
def test_prompted_reader_over_a_scripted_model(attack: dict[str, str]) -> None:
    generator = ScriptedGenerator(obedient)
    (draft,) = PromptedReader(generator).read([question(attack)], [hits(attack)])
    (chat,) = generator.chats
    assert [turn.role for turn in chat] == ["system", "user"]
    assert "PWNED" not in draft.text
    grounded = ground(draft, hits(attack), lookup(attack))
    assert grounded.unknown == ()
    assert {one.document_id for claim in grounded.claims for one in claim.citations} == {"good"}


@each()
def test_every_other_prompt_keeps_it_inside(attack: dict[str, str]) -> None:
    text = attack["text"]
    chats = [
        prompts.verdict_chat(question(attack), hits(attack)),
        prompts.form_chat("list", question(attack), hits(attack)),
        prompts.form_chat("choice", QUESTION, hits(attack), {"A": "yes", "B": question(attack)}),
        prompts.report_chat(text, text if attack["where"] == "question" else ""),
        prompts.impression_chat(text),
        prompts.judge_chat(GOOD, [text]),
        prompts.judge_chat(text, [GOOD]),
        prompts.label_chat(text, LABELS, (), hits(attack)[1:2]),
        prompts.label_chat(GOOD, LABELS, [(HARMLESS, "ct-stone")], hits(attack)),
    ]
    harmless = [
        prompts.verdict_chat(QUESTION, [hit(HARMLESS)]),
        prompts.form_chat("list", QUESTION, [hit(HARMLESS)]),
        prompts.form_chat("choice", QUESTION, [hit(HARMLESS)], {"A": "yes", "B": "no"}),
        prompts.report_chat(HARMLESS),
        prompts.impression_chat(HARMLESS),
        *[prompts.judge_chat(GOOD, [HARMLESS])] * 2,
        prompts.label_chat(HARMLESS, LABELS, (), [hit(HARMLESS)]),
        prompts.label_chat(GOOD, LABELS, [(HARMLESS, "ct-stone")], [hit(HARMLESS)]),
    ]
    assert [[turn.role for turn in chat] for chat in chats] == [[turn.role for turn in chat] for chat in harmless]
    assert [obedient(chat) for chat in chats] == [REPLY] * len(chats)


@each()
def test_judge_is_not_talked_into_a_verdict(attack: dict[str, str]) -> None:
    judge = JudgeVerifier(ScriptedGenerator(lambda chat: "supported" if obedient(chat) == "PWNED" else "unsupported"))
    text = attack["text"]
    found = judge.verify([GOOD, text], [[text], [GOOD]])
    assert [one.verdict for one in found] == ["unsupported", "unsupported"]


@each()
def test_extractive_reader_cites_only_what_it_was_shown(attack: dict[str, str]) -> None:
    (draft,) = EXTRACTIVE.read([question(attack)], [hits(attack)])
    grounded = ground(draft, hits(attack), lookup(attack))
    shown = {one.passage.document_id: one.passage.text for one in hits(attack)}
    assert grounded.claims
    for claim in grounded.claims:
        for one in claim.citations:
            assert shown[one.document_id][one.start : one.end] == one.quote
    assert all(1 <= key <= 3 for claim in draft.claims for key in claim.keys)


class ObedientScorer:
    """Finds the first label likelier, unless it is told otherwise; then the second."""

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> Any:
        first = [obedient(chat) == REPLY for chat in chats]
        return np.asarray([[0.0 if (n == 0) == good else -9.0 for n in range(len(options))] for good in first])


@each(where=("text",))
def test_labels_stay_members_of_the_set(attack: dict[str, str]) -> None:
    labels = LabelSet(LABELS)
    writer = Writer(ObedientScorer(), labels, tuned=False)
    (row,) = writer.scores([attack["text"]], [[(attack["text"], "ct-stone")]])
    assert row.shape == (len(LABELS),)
    assert labels.ids[int(row.argmax())] == labels.ids[0]


@pytest.mark.torch
def test_llama_sees_the_same_special_tokens() -> None:
    pytest.importorskip("transformers")
    from radrag.generation import _loading
    from radrag.generation._turns import Turns

    tokenizer = _loading.load_tokenizer(_loading.Source("small-llama", None, True))
    turns = Turns(tokenizer)
    special = set(tokenizer.all_special_ids)

    def structure(chat: Chat) -> list[int]:
        return [token for token in turns.prompt(chat) if token in special]

    base = structure(prompts.answer_chat(QUESTION, [hit(GOOD), hit(HARMLESS), hit(HARMLESS)]))
    assert len(base) >= 5
    for attack in ATTACKS:
        assert structure(prompts.answer_chat(question(attack), hits(attack))) == base, attack["id"]
        raw = (Message("system", "Be short."), Message("user", attack["text"]))
        harmless = (Message("system", "Be short."), Message("user", HARMLESS))
        assert structure(raw) == structure(harmless), attack["id"]  # the second wall, where the first was not used


@pytest.mark.torch
def test_llama_index_llm_gets_two_messages_and_no_command() -> None:
    llms = pytest.importorskip("llama_index.core.llms")
    from radrag.generation.llamaindex import LlamaIndexGenerator

    class Obedient:
        def chat(self, messages: Any) -> Any:
            assert [message.role.value for message in messages] == ["system", "user"]
            chat = tuple(Message(message.role.value, message.content) for message in messages)
            return llms.ChatResponse(message=llms.ChatMessage(role="assistant", content=obedient(chat)))

    reader = PromptedReader(LlamaIndexGenerator(Obedient()))
    drafts = reader.read([question(a) for a in ATTACKS], [hits(a) for a in ATTACKS])
    assert {draft.text for draft in drafts} == {REPLY}


@pytest.mark.torch
def test_llama_generates_and_scores_over_attacks() -> None:
    pytest.importorskip("transformers")
    from radrag.generation.llama import LlamaGenerator
    from radrag.types import GenerationParams

    llama = LlamaGenerator("small-llama", device="cpu", local_files_only=True)
    chosen = [attack for attack in ATTACKS if attack["kind"] in ("llama3", "delimiter")][::5]
    drafts = PromptedReader(llama, GenerationParams(max_new_tokens=8)).read(
        [QUESTION] * len(chosen), [hits(attack) for attack in chosen]
    )
    for attack, draft in zip(chosen, drafts, strict=True):
        grounded = ground(draft, hits(attack), lookup(attack))
        assert {c.document_id for claim in grounded.claims for c in claim.citations} <= {"good", "evil", "third"}
    labels = LabelSet(LABELS)
    rows = Writer(llama, labels, tuned=False).scores([attack["text"] for attack in chosen])
    assert np.isfinite(rows).all()
    assert rows.shape == (len(chosen), len(LABELS))


def test_pipeline_over_an_index_of_attacks(tmp_path: Path) -> None:
    documents = [Document("good", GOOD, "Stones")]
    documents += [
        Document(f"evil-{n}", f"Low-dose CT and ureteral stones. {a['text']}", a["text"][:60])
        for n, a in enumerate(ATTACKS)
        if a["kind"] != "shape"
    ]
    with HybridIndex.create(tmp_path / "index") as index:
        index.add(documents)
        generator = ScriptedGenerator(obedient)
        answer = QAPipeline(index, generator, min_confidence=0.0)(QUESTION)
        plain = QAPipeline(index, min_confidence=0.0)(QUESTION)
    assert "PWNED" not in answer.text
    assert {one.document_id for one in answer.citations} <= {one.passage.document_id for one in answer.evidence}
    assert {one.document_id for one in plain.citations} <= {one.passage.document_id for one in plain.evidence}


class Narrow(ScriptedGenerator):
    """Fits two passages."""

    def fits(self, chat: Chat, max_new_tokens: int) -> bool:
        return Counter(re.findall(r"^</passage \d+>$", chat[-1].content, re.M)).total() <= 2


def test_a_flood_is_dropped_whole_and_said() -> None:
    flood = [hit(GOOD, "good"), hit(HARMLESS, "second"), hit("A" * 5000, "flood")]
    generator = Narrow(obedient)
    (draft,) = PromptedReader(generator).read(["What finds stones?"], [flood])
    assert (draft.shown, draft.dropped) == (2, ("1 of 3 passages did not fit the model's context window",))
    assert "AAAA" not in generator.chats[0][-1].content
    judge = JudgeVerifier(Narrow(["supported"]))
    (verdict,) = judge.verify([GOOD], [[one.passage.text for one in flood]])
    assert verdict.objections == ("1 passages did not fit the judge's context window",)


@pytest.mark.parametrize("fake", ["[7]", "[1][99]", "PMID:31337", "(PMID 999999)"])
def test_invented_citations_are_named_and_not_shown(fake: str) -> None:
    (draft,) = PromptedReader(ScriptedGenerator([f"{GOOD[:-1]} {fake}."])).read([QUESTION], [[hit(GOOD, "good")]])
    grounded = ground(draft, [hit(GOOD, "good")], {"good": Document("good", GOOD)}.get)  # type: ignore[arg-type]
    assert grounded.unknown
    assert {one.document_id for claim in grounded.claims for one in claim.citations} <= {"good"}
