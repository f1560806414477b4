"""Prompts that fit the context window, whatever is found, whoever is asked about, and whatever was said before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from radrag.corpora import Chunking
from radrag.errors import PromptError
from radrag.generation.scripted import ScriptedGenerator
from radrag.grounding.abstention import Reason
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.patient import Patient
from radrag.pipelines.qa import QAPipeline
from radrag.types import Answer, Chat, Document, Generation, GenerationParams

CT = "Low-dose CT detected 96% of ureteral stones in 121 adults."
DOSE = "The radiation dose of low-dose CT for ureteral stones was 1.2 mSv."
CHILD = "In children and in pregnant women with ureteral stones ultrasound comes before low-dose CT."
QUESTION = "Does low-dose CT detect ureteral stones?"
ASIDE = "Lunch is served to visitors of the {} ward between noon and two."
LONG = " ".join(ASIDE.format(f"{name} {place}") for name in ("north", "south", "east", "west") for place in range(9))
PATIENT = Patient(age=34, sex="female", pregnant=True)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    documents = [
        Document("long", f"{LONG} {CT} {LONG} {DOSE}", "Low-dose CT for ureteral stones"),
        Document("child", f"{CHILD} {LONG}", "Ureteral stones in children and in pregnancy"),
        Document("lunch", LONG, "Low-dose lunch"),
    ]
    with HybridIndex.create(tmp_path_factory.mktemp("window") / "index", chunking=Chunking(max_words=2000)) as made:
        made.add(documents)
        yield made


class Tiny(ScriptedGenerator):
    """Holds so many words of prompt and reply, and writes no more than that."""

    def __init__(self, context: int) -> None:
        super().__init__(lambda chat: f"Yes. {CT} [1]")
        self.context = context

    def count(self, chat: Chat) -> int:
        return sum(len(turn.content.split()) for turn in chat)

    def fits(self, chat: Chat, max_new_tokens: int) -> bool:
        return self.count(chat) + max_new_tokens <= self.context

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        assert params is not None
        for chat in chats:
            if not self.fits(chat, params.max_new_tokens):
                raise PromptError("too long")
        return super().generate(chats, params)


def pipeline(index: HybridIndex, context: int) -> tuple[QAPipeline, Tiny]:
    generator = Tiny(context)
    return QAPipeline(index, generator, min_confidence=0.0, params=GenerationParams(max_new_tokens=20)), generator


def check_quotes(answer: Answer, index: HybridIndex) -> None:
    for one in answer.citations:
        assert index.document(one.document_id).text[one.start : one.end] == one.quote


def test_a_quote_from_a_shortened_passage_has_the_offsets_of_the_document(index: HybridIndex) -> None:
    qa, generator = pipeline(index, 200)
    answer = qa(QUESTION)
    assert answer.warnings[0] == "2 of 3 passages did not fit the model's context window"
    assert answer.warnings[1].startswith("of the best passage ")
    assert answer.warnings[1].endswith(" of 74 sentences fit the model's context window")
    prompt = generator.chats[0][-1].content
    assert CT in prompt
    assert "</passage 2>" not in prompt
    assert [one.quote for one in answer.citations] == [CT]
    assert answer.citations[0].start == len(LONG) + 1
    check_quotes(answer, index)
    assert Answer.from_dict(answer.to_dict()) == answer
    *_, streamed = qa.stream(QUESTION)
    assert streamed == answer


def test_without_room_for_a_sentence_it_abstains_and_says_why(index: HybridIndex) -> None:
    qa, generator = pipeline(index, 200)
    long = f"{QUESTION} {'It is asked again and again. ' * 40}"
    first, answer = qa.batch([QUESTION, long])
    assert not first.abstained
    assert (answer.abstained, answer.reason, answer.claims) == (True, Reason.NO_ROOM, ())
    assert "max_new_tokens" in answer.warnings[0]
    assert len(generator.chats) == 1
    assert list(qa.stream(long)) == [answer]
    with pytest.raises(PromptError, match="longer context"):
        pipeline(index, 100)[0](QUESTION)


@pytest.mark.parametrize("context", [190, 230, 300, 900, 2000])
def test_a_patient_and_a_conversation_fit_too(index: HybridIndex, context: int) -> None:
    qa, generator = pipeline(index, context)
    chat = qa.chat(patient=PATIENT, history_tokens=10_000)
    for question in (QUESTION, "How much radiation does it give?", "And in children?", "Is it safe?"):
        answer = chat(question)
        assert answer.reason in ("", Reason.NO_ROOM) or "supported" in answer.reason
        check_quotes(answer, index)
    *_, last = chat.stream("And in pregnancy?", "yesno")
    assert isinstance(last, Answer)
    assert generator.chats  # every one of which ``Tiny`` has found to fit
    assert any("34" in prompt[-1].content for prompt in generator.chats)


@pytest.mark.torch
def test_the_small_llama_gets_prompts_that_fit(index: HybridIndex) -> None:
    pytest.importorskip("transformers")
    from radrag.generation.llama import LlamaGenerator

    llama = LlamaGenerator("small-llama", device="cpu", local_files_only=True)

    class Seen:
        """The small Llama, of whose prompts and replies the longest batch is remembered."""

        local, fits, score, count = True, llama.fits, llama.score, llama.count
        longest = 0

        def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
            widest = max(llama.count(chat) for chat in chats)
            Seen.longest = max(Seen.longest, widest + params.max_new_tokens)
            return llama.generate(chats, GenerationParams(max_new_tokens=4))

    room = GenerationParams(max_new_tokens=512)
    qa = QAPipeline(index, Seen(), min_confidence=0.0, params=room)
    answers = qa.batch([QUESTION, "What is the radiation dose of low-dose CT for ureteral stones?"], patient=PATIENT)
    for answer in answers:
        assert any(note.startswith("of the best passage ") for note in answer.warnings)
        check_quotes(answer, index)
    chat = qa.chat(patient=PATIENT)
    for question in (QUESTION, "And in children?"):
        check_quotes(chat(question), index)
    assert 900 < Seen.longest <= llama.context == 1024
