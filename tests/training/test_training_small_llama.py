"""What the shipped models learn from: nothing held out, no label in the base, prompts as inference writes them."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.corpora import load_notes, load_protocols
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.writer import EXAMPLES_TUNED, Writer
from radrag.pipelines.label import LabelPipeline
from radrag.training import small_llama
from radrag.training.records import ChatRecord
from radrag.training.small_llama import base_texts, look_back_chats, protocol_records, worn
from radrag.training.splits import grouped_split
from radrag.types import Chat, LabelledNote

KINDS = ("ct-stone", "mr-iac", "mr-knee", "us-leg-veins", "xr-chest")


@pytest.fixture(scope="module")
def notes() -> list[LabelledNote]:
    """Sixty real notes, of several groups a label, as they are made: an ask and a history each."""
    chosen = [note for note in load_notes("train") if note.label in KINDS]
    return random.Random(1).sample(chosen, 60)


@pytest.fixture(scope="module")
def records(notes: list[LabelledNote]) -> list[ChatRecord]:
    return protocol_records(notes, seed=3)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("protocols") / "index") as made:
        made.add(load_protocols())
        yield made


def flat(text: str) -> str:
    return " ".join(text.split())


def shown_with(record: ChatRecord) -> list[tuple[str, str]]:
    """The examples of a record's prompt: text and reply."""
    earlier = record.prompt[:-1]
    assert [turn.role for turn in earlier] == ["user", "assistant"] * (len(earlier) // 2)
    return [(asked.content, said.content) for asked, said in zip(earlier[::2], earlier[1::2], strict=True)]


def has_retrieved(record: ChatRecord) -> bool:
    return len(record.prompt) > 1 or "\n\n" in record.prompt[-1].content


@settings(deadline=None)
@given(st.text("ab,.; \n", min_size=1).filter(str.strip), st.floats(0, 1), st.integers(0, 9))
def test_a_worn_text_holds_words_of_the_text_and_is_never_empty(text: str, drop: float, seed: int) -> None:
    made = worn(text, random.Random(seed), drop)
    assert made
    assert Counter(made.split()) <= Counter(text.split())
    assert made == worn(text, random.Random(seed), drop)


@settings(deadline=None)
@given(st.text("ab,.; \n", min_size=1).filter(str.strip), st.sampled_from([0.0, 1.0]))
def test_where_all_or_no_words_would_go_all_stay(text: str, drop: float) -> None:
    assert Counter(worn(text, random.Random(0), drop).split()) == Counter(text.split())


def test_a_worn_text_keeps_its_share_of_words_and_the_order_inside_its_pieces() -> None:
    long = " ".join(str(number) for number in range(10_000))
    assert 6_300 < len(worn(long, random.Random(0), 0.35).split()) < 6_700
    made = {worn("a b, c d, e f", random.Random(seed), 0.0) for seed in range(100)}
    assert len(made) == 6
    assert all(text.index("a b") >= 0 and text.index("c d") >= 0 and text.index("e f") >= 0 for text in made)


def test_looking_back_is_answered_by_the_symbol_of_the_note_that_the_last_turn_is_worn_from() -> None:
    words = [f"{chr(97 + a)}{chr(97 + b)}word" for a in range(6) for b in range(6)]
    plain = [LabelledNote(" ".join(words[row * 6 : row * 6 + 6]), "a-label") for row in range(6)]  # no word in common
    chats = look_back_chats(plain, 200, random.Random(0))
    assert len(chats) == 200
    places = set()
    for chat in chats:
        assert [turn.role for turn in chat] == ["user", "assistant"] * (len(chat) // 2)
        asked, answer = chat[-2].content, chat[-1].content
        examples = [(one.content, two.content) for one, two in zip(chat[:-2:2], chat[1:-2:2], strict=True)]
        assert 2 <= len(examples) <= 4
        (place,) = [row for row, (text, _) in enumerate(examples) if set(asked.split()) <= set(text.split())]
        assert examples[place][1] == answer
        places.add((place, len(examples)))
        assert "a-label" not in {symbol for _, symbol in examples}
    assert places == {(place, size) for size in (2, 3, 4) for place in range(size)}  # no place gives the answer away
    assert chats == look_back_chats(plain, 200, random.Random(0))
    assert chats != look_back_chats(plain, 200, random.Random(1))


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch, notes: list[LabelledNote], tmp_path: Path) -> list[str | Chat]:
    def only_train(split: str) -> list[LabelledNote]:
        assert split == "train", "notes written by hand are for calibration and testing"
        return notes

    monkeypatch.setattr(small_llama, "load_notes", only_train)
    monkeypatch.setattr(small_llama, "_LOOK_BACK", 50)
    write(tmp_path / "medquad.jsonl.gz", [
        {"question": "What is <|eot_id|> gout?", "answer": " ".join(["uric"] * 400)},
        {"question": "What is nothing?", "answer": " "},
    ])  # fmt: skip
    write(tmp_path / "evidence_inference_abstracts.jsonl.gz", [
        {"licence": "cc-by", "pmid": "1", "title": "Open", "abstract": "An open abstract."},
        {"licence": "cc-by-nc", "pmid": "2", "title": "Closed", "abstract": "Not for trade."},
        {"licence": "", "pmid": "3", "title": "Unknown", "abstract": "Nobody said."},
    ])  # fmt: skip
    return base_texts(tmp_path, seed=0)


def write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_the_base_never_sees_a_note_that_is_held_out_or_hand_written(
    base: list[str | Chat], notes: list[LabelledNote]
) -> None:
    turns = [one if isinstance(one, str) else "\n".join(turn.content for turn in one) for one in base]
    everything = "\n".join(map(flat, turns))
    kept, held = grouped_split(notes, small_llama.HELD_SHARE, 0)
    assert held
    assert all(flat(note.text) not in everything for note in held)
    assert all(flat(note.text) not in everything for name in ("calibration", "test") for note in load_notes(name))  # type: ignore[arg-type]
    for note in kept:
        assert base.count(note.text) == 1  # as text
        alone = [chat for chat in base if not isinstance(chat, str) and len(chat) == 1]
        assert [chat[0].content for chat in alone].count(flat(note.text)) == 1  # and as what a model is asked


def test_the_base_never_sees_a_label_as_a_reply(base: list[str | Chat]) -> None:
    ids = {document.id for document in load_protocols()}
    replies = [turn.content for chat in base if not isinstance(chat, str) for turn in chat if turn.role == "assistant"]
    assert len(replies) > 50
    assert not ids & set(replies)


def test_the_base_reads_open_sources_alone(base: list[str | Chat]) -> None:
    assert "Open\nAn open abstract." in base
    assert not any(isinstance(one, str) and one.startswith(("Closed", "Unknown")) for one in base)
    (asked,) = [chat for chat in base if not isinstance(chat, str) and "gout" in chat[0].content]
    assert asked[0].content == "What is < |eot_id|> gout?"
    assert asked[1].content.split() == ["uric"] * 300
    assert not any("nothing?" in chat[0].content for chat in base if not isinstance(chat, str))


def test_records_are_notes_alone_worn_copies_and_notes_with_what_is_found(
    notes: list[LabelledNote], records: list[ChatRecord]
) -> None:
    alone = 1 + small_llama._WORN_COPIES
    assert len(records) == 60 * (alone + 1)
    assert Counter(one.id for one in records if not has_retrieved(one)) == {note.id: alone for note in notes}
    known = {note.id: note for note in notes}
    for record in records:
        note = known[record.id]
        assert record.completion == record.label == note.label
        assert record.groups == (f"patient:{note.group}", f"note:{note.id}")
        text = record.prompt[-1].content.rsplit("\n\n", 1)[-1]
        assert text
        assert Counter(text.split()) <= Counter(note.text.split())
    assert {flat(note.text) for note in notes} <= {one.prompt[0].content for one in records if len(one.prompt) == 1}


def test_examples_are_labelled_right_and_never_of_the_notes_own_group(
    notes: list[LabelledNote], records: list[ChatRecord]
) -> None:
    known, by_text = {note.id: note for note in notes}, {flat(note.text): note for note in notes}
    found = [record for record in records if has_retrieved(record)]
    assert Counter(record.id for record in found) == dict.fromkeys(known, 1)
    sizes = Counter(len(shown_with(record)) for record in found)
    assert max(sizes) == EXAMPLES_TUNED == 3
    assert 30 < len(found) - sizes[0] < 58  # most have examples, not all
    unlike = 0
    for record in found:
        note, shown = known[record.id], [(by_text[text], label) for text, label in shown_with(record)]
        assert all(other.label == label for other, label in shown)
        assert all(other.group != note.group for other, _ in shown)
        unlike += all(not same_part(other, note) for other, _ in shown)
    assert 30 <= unlike < 60  # for half of them nothing made from the same ask or history is shown


def same_part(one: LabelledNote, other: LabelledNote) -> bool:
    """Whether the groups ``label/ask/history`` share the label and one of the others."""
    (kind, ask, history), (kind_, ask_, history_) = one.group.split("/"), other.group.split("/")
    return kind == kind_ and (ask == ask_ or history == history_)


def test_the_prompts_are_those_of_the_writer_and_the_pipeline(records: list[ChatRecord], index: HybridIndex) -> None:
    labels = LabelSet.from_protocols(index.documents())
    writer, asked = Writer(None, labels, tuned="examples"), Recorder()
    pipeline = LabelPipeline(index, asked, labels=labels, tuned="examples")
    found = [record for record in records if has_retrieved(record)]
    texts = [record.prompt[-1].content.rsplit("\n\n", 1)[-1] for record in found]
    shown = [shown_with(record) for record in found]
    assert [record.prompt for record in found] == writer.chats(texts, shown, index)
    bare = [row for row, examples in enumerate(shown) if not examples]
    pipeline.batch([texts[row] for row in bare])
    assert [found[row].prompt for row in bare] == asked.chats


class Recorder:
    """Keeps the chats that it scores."""

    fingerprint = "recorder"

    def __init__(self) -> None:
        self.chats: list[Chat] = []

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        self.chats += chats
        return np.zeros((len(chats), len(options)))


def test_records_follow_from_the_seed_alone(monkeypatch: pytest.MonkeyPatch, notes: list[LabelledNote]) -> None:
    few = [document for document in load_protocols() if document.id in KINDS]
    monkeypatch.setattr(small_llama, "load_protocols", lambda: few)
    given_, made = list(notes), protocol_records(notes, 5)
    assert notes == given_
    assert made == protocol_records(notes, 5)
    assert made != protocol_records(notes, 6)
