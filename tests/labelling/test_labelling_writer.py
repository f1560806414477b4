"""What a generator is shown with a note, written out by hand, and its scores against NumPy."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.writer import Writer
from radrag.types import Chat, Document, Label, Message

LABELS = LabelSet(
    [
        Label("ct-stone", "CT for stones", "Looks for stones in the ureter."),
        Label("mr-knee", "MR of the knee", "Looks for torn menisci."),
        Label("xr-chest", "Chest film"),
        Label("us-leg", "Ultrasound of leg veins", "Looks for clots."),
        Label("mr-iac"),
    ]
)
GUIDELINES = {
    "ct-stone": "Renal colic with flank pain: a ureteral stone is looked for. Haematuria is common with a stone.",
    "mr-knee": "A locked knee after a twist: the meniscus is looked at. Flank pain plays no part.",
    "xr-chest": "Cough and fever: pneumonia is looked for. A patient with flank pain needs something else.",
    "us-leg": "A swollen calf: thrombosis of the leg veins is looked for.",
    "other": "Flank pain, renal colic, stone, haematuria: this document is no label.",
}
NOTE = "r/o stone\nrenal colic,  flank pain"
SIMILAR = [("cough", "xr-chest"), ("swollen calf", "us-leg"), ("colic", "ct-stone"), ("flank pain", "ct-stone")]


class Recorder:
    """Keeps what it was asked, and gives set scores."""

    def __init__(self, scores: object = None) -> None:
        self.asked: list[Chat] = []
        self.options: list[str] = []
        self._scores = scores

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        self.asked, self.options = list(chats), list(options)
        return np.zeros((len(chats), len(options))) if self._scores is None else np.asarray(self._scores)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path / "index") as made:
        made.add(Document(id, text, title=id) for id, text in GUIDELINES.items())
        yield made


def pairs(chat: Chat) -> list[tuple[str, str]]:
    """The examples of a chat: turns of user and assistant before the last."""
    earlier = [turn for turn in chat[:-1] if turn.role != "system"]
    assert [turn.role for turn in earlier] == ["user", "assistant"] * (len(earlier) // 2)
    return [(asked.content, said.content) for asked, said in zip(earlier[::2], earlier[1::2], strict=True)]


def test_a_tuned_generator_is_shown_the_note_alone(index: HybridIndex) -> None:
    (chat,) = Writer(None, LABELS, tuned=True).chats([NOTE], [SIMILAR], index)
    assert chat == (Message("user", "r/o stone renal colic, flank pain"),)


def test_one_tuned_with_examples_is_shown_the_three_most_similar_the_most_similar_last(index: HybridIndex) -> None:
    (chat,) = Writer(None, LABELS, tuned="examples").chats([NOTE], [SIMILAR], index)
    assert pairs(chat) == SIMILAR[1:]  # given most similar last, so the first is the least similar
    assert all(turn.role != "system" for turn in chat)


def test_one_tuned_with_examples_is_shown_the_names_of_fitting_guidelines_and_not_their_text(
    index: HybridIndex,
) -> None:
    (chat,) = Writer(None, LABELS, tuned="examples").chats([NOTE], None, index)
    assert len(chat) == 1
    candidates, note = chat[0].content.split("\n\n")
    assert note == "r/o stone renal colic, flank pain"
    lines = candidates.split("\n")
    assert lines[0] == "ct-stone: CT for stones"
    assert 1 < len(lines) <= 3
    assert len(set(lines)) == len(lines)  # a document is named once, however many of its passages fit
    assert set(lines[1:]) <= {"mr-knee: MR of the knee", "xr-chest: Chest film", "us-leg: Ultrasound of leg veins"}
    assert "Haematuria" not in candidates
    assert "other" not in candidates  # it is no label, though it fits best


def test_candidates_follow_their_own_note(index: HybridIndex) -> None:
    notes = ["a stone in the ureter", "swollen calf, thrombosis", "the knee is locked after a twist, meniscus"]
    chats = Writer(None, LABELS, tuned="examples").chats(notes, [SIMILAR[:1], (), SIMILAR[:2]], index)
    assert [chat[-1].content.split(":")[0] for chat in chats] == ["ct-stone", "us-leg", "mr-knee"]
    assert [chat[-1].content.split("\n\n")[1] for chat in chats] == notes
    assert [pairs(chat) for chat in chats] == [SIMILAR[:1], [], SIMILAR[:2]]


def test_without_index_and_examples_the_note_stands_alone() -> None:
    (chat,) = Writer(None, LABELS, tuned="examples").chats([NOTE])
    assert chat == (Message("user", "r/o stone renal colic, flank pain"),)


def test_an_untuned_generator_is_shown_all_labels_all_examples_and_the_guidelines(index: HybridIndex) -> None:
    (chat,) = Writer(None, LABELS, tuned=False).chats([NOTE], [SIMILAR], index)
    assert chat[0].role == "system"
    assert all(f"\n{label.id}: {label.name or label.id}" in chat[0].content for label in LABELS)
    assert [said for _, said in pairs(chat)] == [label for _, label in SIMILAR]
    assert "a ureteral stone is looked for" in chat[-1].content
    assert "this document is no label" not in chat[-1].content


@pytest.mark.parametrize("tuned", [True, False, "examples"])
def test_scores_are_brought_to_sum_one(tuned: bool) -> None:
    raw = np.log([[0.1, 0.3, 0.1, 0.1, 0.2], [4.0, 1.0, 1.0, 1.0, 1.0]])
    asked = Recorder(raw)
    found = Writer(asked, LABELS, tuned=tuned).scores(["one", "two"])  # type: ignore[arg-type]
    np.testing.assert_allclose(np.exp(found), [[1 / 8, 3 / 8, 1 / 8, 1 / 8, 1 / 4], [1 / 2, *[1 / 8] * 4]])
    assert asked.options == ["ct-stone", "mr-knee", "xr-chest", "us-leg", "mr-iac"]
    assert [("one" in chat[-1].content, "two" in chat[-1].content) for chat in asked.asked] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("wrong", [np.zeros((1, 4)), np.zeros((2, 5)), [[0.0, 0, 0, 0, np.nan]], [[-np.inf] * 5]])
def test_scores_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(ModelError, match="must score 1 notes by 5 labels with finite numbers"):
        Writer(Recorder(wrong), LABELS, tuned=True).scores(["one"])  # type: ignore[arg-type]


NAMED = "Pt John Smith, MRN 12345678, seen 03/14/2021: renal colic, r/o stone"
SEEN = [("Mrs. Mary Jones, phone 617-555-0134, locked knee", "mr-knee")]
SECRETS = ("John", "Smith", "12345678", "03/14/2021", "Mary", "Jones", "617-555-0134")


@pytest.mark.parametrize("tuned", [False, "examples", True])
@pytest.mark.parametrize("local", [False, True, None])
def test_a_scorer_elsewhere_gets_masked_notes_and_examples(index: HybridIndex, tuned: bool, local: bool | None) -> None:
    asked = Recorder()
    if local is not None:
        asked.local = local  # type: ignore[attr-defined]
    writer = Writer(asked, LABELS, tuned=tuned)  # type: ignore[arg-type]
    writer.scores([NAMED, NOTE], [SEEN, SIMILAR], index)
    sent = [turn.content for chat in asked.asked for turn in chat]
    assert len(asked.asked) == 2
    if local is not True:
        assert writer.masks
        assert not [secret for secret in SECRETS if any(secret in one for one in sent)]
        assert any("renal colic, r/o stone" in one for one in sent)
        assert any("locked knee" in one for one in sent) is (tuned is not True)
        assert any("ct-stone" in one for one in sent) is (tuned is not True)  # guidelines are found as ever
    else:
        assert any("John Smith, MRN 12345678" in one for one in sent)
        assert any("Mary Jones" in one for one in sent) is (tuned is not True)
