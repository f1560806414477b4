import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.generation import prompts
from radrag.generation.scripted import ScriptedGenerator
from radrag.reading.asked import Form
from radrag.reading.fitting import NO_ROOM_REMEDY
from radrag.reading.prompted import PromptedReader, parse_claims, parse_reply, parse_shaped
from radrag.types import Chat, Draft, DraftClaim, Generation, GenerationParams, Hit, Passage

YES = {"yes": 0.6, "no": 0.3, "maybe": 0.1}


def hits(*texts: str) -> list[Hit]:
    return [Hit(Passage(f"d{n}", 0, len(text), text), 1.0) for n, text in enumerate(texts)]


def reply(text: str, yes_no: bool = False, finished: bool = True) -> Draft:
    return parse_reply(Generation(text, finished), yes_no, YES if yes_no else {})


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("CT works [1].", [("CT works.", (1,))]),
        ("CT works. [1]", [("CT works.", (1,))]),
        ("CT works [1]. [2]", [("CT works.", (1, 2))]),
        ("CT works.[1] MRI too. [2] Both.", [("CT works.", (1,)), ("MRI too.", (2,)), ("Both.", ())]),
        ("CT [2] works [1], [3] often.", [("CT works, often.", (2, 1, 3))]),
        ("CT works [1, 2].", [("CT works.", (1, 2))]),
        ("CT works [1; 2][3].", [("CT works.", (1, 2, 3))]),
        ("CT works.\n\n[1][3]", [("CT works.", (1, 3))]),
        ("[1] CT works.", [("CT works.", (1,))]),
        ("Uptake of [12C] and [18F]FDG rose [1].", [("Uptake of [12C] and [18F]FDG rose.", (1,))]),
        ("A dose of .5 mg [1] helps.", [("A dose of .5 mg helps.", (1,))]),
        ("1. CT works [1].\n2. MRI works [2].", [("CT works.", (1,)), ("MRI works.", (2,))]),
        ("- CT works [1].\n- MRI works [2].", [("CT works.", (1,)), ("MRI works.", (2,))]),
        ("CT works [0] [99].", [("CT works.", (0, 99))]),
        ("See [1-3] and [a].", [("See [1-3] and [a].", ())]),
        ("[1]", []),
        ("... \n\n --", []),
        ("", []),
    ],
)
def test_claims_and_their_marks(text: str, claims: list[tuple[str, tuple[int, ...]]]) -> None:
    assert [(claim.text, claim.keys) for claim in parse_claims(text)] == claims


PIECES = st.sampled_from(
    ["CT works", "no stones", ". ", ".", "? ", "\n", "\n\n", " ", "[1]", "[2, 3]", " [14]", "[12C]", "[", "]", "5",
     "mg", ", ", "- ", "é", "Is it"]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80)
MARK = re.compile(r"\[(\d+(?:\s*[,;]\s*\d+)*)\]")


@given(TEXT)
def test_a_parsed_citation_never_invents_a_key(text: str) -> None:
    written = [int(number) for group in MARK.findall(text) for number in re.findall(r"\d+", group)]
    parsed = [key for claim in parse_claims(text) for key in claim.keys]
    assert not set(parsed) - set(written)
    assert len(parsed) <= len(written)


@given(st.lists(st.sampled_from(["CT works", "stones", ". ", "? ", "\n\n", " ", "[1]", "[12C]", "mg", ", "])))
def test_nothing_but_marks_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    words = re.findall(r"\w+", MARK.sub(" ", text))
    assert re.findall(r"\w+", " ".join(claim.text for claim in parse_claims(text))) == words


@pytest.mark.parametrize(
    ("text", "verdict", "claims"),
    [
        ("Yes. CT works [1].", "yes", ["CT works."]),
        ("no, CT fails [1].", "no", ["CT fails."]),
        ("**Maybe.** It varies [1].", "maybe", ["It varies."]),
        ("Yes\nCT works [1].", "yes", ["CT works."]),
        ("Yes – CT works [1].", "yes", ["CT works."]),
        ("No", "no", []),
        ("No significant difference was found [1].", None, ["No significant difference was found."]),
        ("Maybe half of them benefit [1].", None, ["Maybe half of them benefit."]),
        ("No-one was harmed [1].", None, ["No-one was harmed."]),
        ("CT works. Yes. [1]", None, ["CT works.", "Yes."]),
        ("Nothing speaks for it [1].", None, ["Nothing speaks for it."]),
        ("Yes, even if it is late [1].", "yes", ["even if it is late."]),
    ],
)
def test_verdict_is_the_first_word_only_where_it_stands_alone(
    text: str, verdict: str | None, claims: list[str]
) -> None:
    draft = reply(text, yes_no=True)
    assert (draft.verdict.answer if draft.verdict else None) == verdict
    assert [claim.text for claim in draft.claims] == claims
    assert draft.text == text
    if draft.verdict:
        assert draft.verdict.probability == YES
        assert draft.dropped == ()
    else:
        assert draft.dropped == ("the model did not begin with yes, no or maybe",)


@pytest.mark.parametrize("text", ["Yes, if pregnant; otherwise no [1].", "No [1], unless it is severe."])
def test_a_verdict_under_a_condition_is_none_and_its_words_stay(text: str) -> None:
    draft = reply(text, yes_no=True)
    assert draft.verdict is None
    assert draft.dropped == ("the model stated its verdict under a condition, so no verdict is taken from it",)
    assert draft.claims[0].text == " ".join(MARK.sub("", text).split()).replace(" ,", ",").replace(" .", ".")


def test_mark_behind_a_bare_verdict_goes_with_nothing() -> None:
    assert reply("Yes [1]. CT works [2].", yes_no=True).claims[-1] == DraftClaim("CT works.", (2,))


def test_other_questions_have_no_verdict() -> None:
    draft = reply("Yes. CT works [1].")
    assert draft.verdict is None
    assert [claim.text for claim in draft.claims] == ["Yes.", "CT works."]
    assert draft.dropped == ()


@pytest.mark.parametrize("text", ["Not enough evidence.", " not enough evidence", '"Not enough evidence."'])
@pytest.mark.parametrize("yes_no", [True, False])
def test_declining_gives_no_claim(text: str, yes_no: bool) -> None:
    assert reply(text, yes_no) == Draft(text=text)
    assert reply(f"Maybe. {text.strip()}", True) == Draft(text=f"Maybe. {text.strip()}")


def test_prompted_words_of_declining_are_understood() -> None:
    assert reply(prompts.NOT_ENOUGH).claims == ()


def test_a_sentence_that_begins_like_declining_is_a_claim() -> None:
    draft = reply("Not enough evidence supports routine CT [1].")
    assert draft.claims == (DraftClaim("Not enough evidence supports routine CT.", (1,)),)


def test_cut_off_reply_is_noted() -> None:
    draft = reply("CT works [1]. MRI wo", finished=False)
    assert draft.dropped == ("the model was cut off at its token limit; an unfinished sentence is left out",)
    assert [claim.text for claim in draft.claims] == ["CT works."]


@pytest.mark.parametrize("text", ["CT works [1]. MRI does too [2].", 'CT works [1]. They say "MRI does" [2].'])
def test_of_a_reply_cut_off_behind_a_sentence_nothing_is_left_out(text: str) -> None:
    draft = reply(text, finished=False)
    assert len(draft.claims) == 2
    assert draft.dropped == ("the model was cut off at its token limit",)
    assert len(reply("The patient's", finished=False).claims) == 0
    assert len(reply("CT works [1]. MRI wo").claims) == 2  # the model ended there itself


@pytest.mark.parametrize(
    "cut",
    ["The risk was 0.", "It fell in the 1.", "They gave 5 mg/kg vs.", "Give a statin, e.g.", "That is, i.e.",
     "The score was 5.", "CT, MRI, etc.", "The dose was approx.", "See no.", "See Fig.", "It was seen by Dr.",
     "Reported by J.", "The risk was ...", 'It is "0.', "1."],
)  # fmt: skip
def test_a_reply_cut_off_behind_a_stop_that_may_be_no_end_loses_that_sentence(cut: str) -> None:
    draft = reply(f"CT works [1].\n{cut}", finished=False)
    assert [claim.text for claim in draft.claims] == ["CT works."]
    assert draft.dropped == ("the model was cut off at its token limit; an unfinished sentence is left out",)
    shaped = parse_shaped(Generation(f"Yes.\nEvidence:\nCT works [1].\n{cut}", False), Form.YES_NO, {}, {})
    assert (shaped.claims, shaped.dropped) == (draft.claims, draft.dropped)


def test_a_number_with_its_mark_ends_a_sentence() -> None:
    assert len(reply("CT works [1]. The risk was 5 [2].", finished=False).claims) == 2
    assert len(reply("CT works [1]. The risk was 5. [2]", finished=False).claims) == 2


def test_reader_prompts_with_numbered_passages_and_alone_without() -> None:
    generator = ScriptedGenerator(["CT works [1].", "CT works."])
    reader = PromptedReader(generator)
    found = hits("CT finds stones.", "MRI does not.")
    draft = reader.read(["What finds stones?"], [found])[0]
    assert draft.claims == (DraftClaim("CT works.", (1,)),)
    assert draft.shown == 2
    reader.read_alone(["What finds stones?"])
    assert generator.chats == [
        prompts.answer_chat("What finds stones?", found),
        prompts.answer_alone_chat("What finds stones?"),
    ]


def test_no_questions_ask_nothing() -> None:
    generator = ScriptedGenerator([])
    assert PromptedReader(generator).read([], []) == []
    assert generator.chats == []


def test_params_reach_the_generator() -> None:
    reader = PromptedReader(ScriptedGenerator(["CT works. STOP More."]), GenerationParams(stop=("STOP",)))
    assert reader.read_alone(["What works?"])[0].text == "CT works. "


class Narrow(ScriptedGenerator):
    """Has room for a few passages, and likes verdicts that are later in the list."""

    def __init__(self, replies: Sequence[str], room: int) -> None:
        super().__init__(replies)
        self.room, self.scored, self.asked = room, [], []

    def fits(self, chat: Chat, max_new_tokens: int) -> bool:
        self.asked.append(max_new_tokens)
        return chat[-1].content.count("</passage") <= self.room

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        self.scored.append((list(chats), list(options)))
        return np.log(np.tile([[0.1, 0.1, 0.2]], (len(chats), 1)))


def test_passages_that_do_not_fit_are_dropped_from_the_end_and_counted() -> None:
    generator = Narrow(["CT works [1]."], room=2)
    draft = PromptedReader(generator, GenerationParams(max_new_tokens=7)).read(["What?"], [hits("a", "b", "c", "d")])[0]
    assert draft.dropped == ("2 of 4 passages did not fit the model's context window",)
    assert draft.shown == 2
    assert generator.chats == [prompts.answer_chat("What?", hits("a", "b"))]
    assert set(generator.asked) == {7}


def test_without_room_for_any_passage_nothing_is_asked() -> None:
    generator = Narrow(["CT works [1]."], room=0)
    assert PromptedReader(generator).read(["What?"], [hits("a", "b")]) == [Draft(dropped=(NO_ROOM_REMEDY,), shown=0)]
    assert generator.chats == []


def test_scorer_gives_the_probabilities_of_the_yes_no_questions() -> None:
    generator = Narrow(["CT works.", "No. It fails [1].", "Yes. It works [1]."], room=9)
    questions = ["What works?", "Is CT safe?", "Is MRI safe?"]
    drafts = PromptedReader(generator).read(questions, [hits("a")] * 3)
    assert [draft.verdict.answer if draft.verdict else None for draft in drafts] == [None, "no", "yes"]
    assert drafts[1].verdict.probability == pytest.approx({"yes": 0.25, "no": 0.25, "maybe": 0.5})  # type: ignore[union-attr]
    ((chats, options),) = generator.scored
    assert chats == [prompts.answer_chat(question, hits("a")) for question in questions[1:]]
    assert options == ["Yes.", "No.", "Maybe."]


def test_without_scorer_the_probability_is_unknown() -> None:
    draft = PromptedReader(ScriptedGenerator(["Yes. Fine."])).read_alone(["Is CT safe?"])[0]
    assert draft.verdict is not None
    assert draft.verdict.probability == {}


def test_fingerprint_names_generator_params_and_prompts() -> None:
    generator = ScriptedGenerator([])
    one, other = PromptedReader(generator), PromptedReader(generator, GenerationParams(seed=1))
    assert one.fingerprint.startswith(f"prompted:scripted:{prompts.fingerprint()}:")
    assert one.fingerprint != other.fingerprint
