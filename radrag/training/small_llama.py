"""What the small Llama that ships is made of: sources whose terms allow it, and chats that teach it to look back.

Chats in which arbitrary symbols stand for texts make a model copy from its prompt what it cannot have learnt by heart
(Wei et al., "Symbol tuning improves in-context learning in language models", EMNLP 2023, arXiv 2305.08298).
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from radrag.corpora import load_evidence, load_notes, load_protocols, load_reports
from radrag.corpora.rows import json_rows
from radrag.generation.prompts import label_chat, neutralise
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.writer import EXAMPLES_TUNED, Writer
from radrag.training._pairs import open_abstracts
from radrag.training.records import ChatRecord, label_records
from radrag.training.splits import grouped_split
from radrag.types import Chat, LabelledNote, Message

HELD_SHARE = 0.1
_ANSWER_WORDS = 300
_NOTE_PASSES = 2
_LOOK_BACK = 8000
_WORD = re.compile(r"[a-z]{3,9}")
_PLAN = (1, 2, 3)
_WORN_COPIES = 2
_WORN = 0.3
_DEEP = 200


def base_texts(data_folder: str | Path | None, seed: int = 0) -> list[str | Chat]:
    """Return what the base learns from: no label of a note, and no note that is held out or hand-written.

    Args:
        data_folder: Folder with ``medquad.jsonl.gz`` (CC BY 4.0) and ``evidence_inference_abstracts.jsonl.gz``, of
            which only abstracts under CC BY or CC0 are read; None for the shipped corpora alone.
        seed: Seed of what is drawn, and of the notes held out.
    """
    draw = random.Random(seed)
    notes, _ = grouped_split(load_notes("train"), HELD_SHARE, seed)
    texts: list[str | Chat] = []
    for number in range(_NOTE_PASSES):
        texts += [one.text if (place + number) % 2 else label_chat(one.text, None) for place, one in enumerate(notes)]
    for document in (*load_protocols(), *load_evidence()):
        texts += [f"{document.title}\n{document.text}"] * 2
    texts += [report.text for report in load_reports()]
    texts += look_back_chats(notes, _LOOK_BACK, draw)
    if data_folder is not None:
        texts += _open_sources(Path(data_folder))
    return texts


def look_back_chats(notes: Sequence[LabelledNote], count: int, draw: random.Random) -> list[Chat]:
    """Return chats of some notes, each answered by a made-up symbol, and a worn copy of one of them with its symbol."""
    words = sorted({word for note in notes for word in _WORD.findall(note.text.lower())})
    chats = []
    for _ in range(count):
        shown = draw.sample(notes, draw.choice((2, 3, 4)))
        symbols = ["-".join(draw.choices(words, k=draw.choice(_PLAN))) for _ in shown]
        at = draw.randrange(len(shown))
        examples = [(note.text, symbol) for note, symbol in zip(shown, symbols, strict=True)]
        chat = label_chat(worn(shown[at].text, draw, 0.35), None, examples)
        chats.append((*chat, Message("assistant", symbols[at])))
    return chats


def worn(text: str, draw: random.Random, drop: float) -> str:
    """Return a text of which each word is left out with a probability, and the pieces between commas are shuffled."""
    pieces = [piece for piece in re.split(r"(?<=[,.;])\s+", text) if piece]
    draw.shuffle(pieces)
    words = [word for piece in pieces for word in piece.split()]
    kept = [word for word in words if draw.random() >= drop]
    return " ".join(kept or words)


def _open_sources(folder: Path) -> Iterator[str | Chat]:
    for row in json_rows(folder / "medquad.jsonl.gz"):
        question, words = row.string("question"), row.string("answer").split()
        if words:
            answer = neutralise(" ".join(words[:_ANSWER_WORDS]))
            yield (Message("user", neutralise(question)), Message("assistant", answer))
    for _, title, text in open_abstracts(folder):
        yield f"{title}\n{text}"


def protocol_records(notes: Sequence[LabelledNote], seed: int = 0) -> list[ChatRecord]:
    """Return what the shipped adapter for protocol labels learns: notes alone, worn, and with what is found.

    With each note once stand its most similar notes and the labels whose guidelines fit it best, as
    ``LabelPipeline`` shows them; for half of them, none made from the same ask or history. So they are wrong about as
    often as on notes from elsewhere, and some prompts lack them: they are to be weighed.

    Args:
        notes: Notes labelled with shipped protocols, to train on, with groups.
        seed: Seed of what is worn and drawn, and of the order.
    """
    draw = random.Random(seed)
    records = label_records(notes)
    for _ in range(_WORN_COPIES):
        records += label_records([replace(note, text=worn(note.text, draw, draw.random() * _WORN)) for note in notes])
    asked = [replace(note, text=worn(note.text, draw, draw.random() * _WORN)) for note in notes]
    records += _with_what_is_found(notes, asked, draw)
    draw.shuffle(records)
    return records


def _with_what_is_found(
    notes: Sequence[LabelledNote], asked: Sequence[LabelledNote], draw: random.Random
) -> list[ChatRecord]:
    guidelines = load_protocols()
    labels, texts = LabelSet.from_protocols(guidelines), [note.text for note in asked]
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        index.add(guidelines)
        true = np.asarray([labels.ids.index(note.label) for note in notes])
        kept = Neighbours([note.text for note in notes], true, len(labels), index.encoder)
        shown = []
        for note, hits in zip(notes, kept.nearest(texts, _DEEP), strict=True):
            apart = _alike if draw.random() < 0.5 else _of_one_group
            others = [notes[row] for row, _ in hits if not apart(notes[row], note)]
            near = others[: draw.choice((EXAMPLES_TUNED, EXAMPLES_TUNED, EXAMPLES_TUNED, 0))]
            shown.append([(one.text, one.label) for one in reversed(near)])  # the most similar stands last
        prompts = Writer(None, labels, tuned="examples").chats(texts, shown, index)
    records = label_records(asked)
    return [replace(record, prompt=prompt) for record, prompt in zip(records, prompts, strict=True)]


def _of_one_group(one: LabelledNote, other: LabelledNote) -> bool:
    return one.group == other.group if one.group else one.text == other.text


def _alike(one: LabelledNote, other: LabelledNote) -> bool:
    """Return whether two notes were made from the same ask or the same history of one label."""
    parts, others = one.group.split("/"), other.group.split("/")
    shared = one.label == other.label and not set(parts[1:]).isdisjoint(others[1:])
    return shared or _of_one_group(one, other)
