"""Preference pairs: from a reviewer's corrections, split by group, as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radrag.generation._turns import Turns
from radrag.generation.prompts import label_chat
from radrag.training.config import QLoraConfig
from radrag.training.records import ChatRecord
from radrag.training.splits import check_leaks, grouped_split
from radrag.types import Chat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Row = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A prompt with a better and a worse reply.

    Attributes:
        prompt: Turns up to and including the user's last.
        chosen: The better reply, without special tokens.
        rejected: The worse reply.
        id: Name of the pair, "" if it has none.
        groups: Keys such as ``"patient:17"``; pairs that share one never sit on both sides of a split.

    Raises:
        ValueError: If the prompt does not end in the user's turn, or a reply is blank or equals the other.
    """

    prompt: Chat
    chosen: str
    rejected: str
    id: str = ""
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ChatRecord(self.prompt, self.chosen, self.id)
        ChatRecord(self.prompt, self.rejected, self.id)
        if self.chosen.strip() == self.rejected.strip():
            raise ValueError(
                f"pair {self.id!r}: chosen and rejected are both {self.chosen.strip()!r:.60}; a pair needs two replies"
            )


@dataclass(frozen=True, slots=True)
class Correction:
    """What a reviewer made of a suggested label.

    Attributes:
        note: The note.
        suggested: Id of the label that was suggested.
        right: Id of the label that the reviewer chose.
        id: Name of the note.
        group: Group of the note, such as the patient.
    """

    note: str
    suggested: str
    right: str
    id: str = ""
    group: str = ""


def pairs_from_corrections(corrections: Iterable[Correction]) -> list[PreferencePair]:
    """Make one pair of each correction: the note alone, as a tuned model sees it, the right label, the suggested one.

    Raises:
        ValueError: If a suggestion was right: it says what to keep, not what to prefer.
    """
    pairs = []
    for item in corrections:
        if item.suggested == item.right:
            raise ValueError(f"note {item.id!r}: the suggested label {item.right!r} was right; leave such notes out")
        groups = ((f"patient:{item.group}",) if item.group else ()) + ((f"note:{item.id}",) if item.id else ())
        pairs.append(PreferencePair(label_chat(item.note, None), item.right, item.suggested, item.id, groups))
    return pairs


def split_pairs(
    pairs: Sequence[PreferencePair], valid: Sequence[PreferencePair] | None, config: QLoraConfig
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Hold out a share of the pairs by group, or check those that are given."""
    if not pairs:
        raise ValueError("pairs holds no pair to train on")
    _check_contradictions(pairs)
    records = [ChatRecord(pair.prompt, pair.chosen, str(n), pair.groups, pair.chosen) for n, pair in enumerate(pairs)]
    if valid is not None:
        check_leaks(records, [ChatRecord(pair.prompt, pair.chosen, pair.id, pair.groups) for pair in valid])
        return list(pairs), list(valid)
    train, held = grouped_split(records, config.valid_share, config.seed) if config.valid_share else (records, [])
    if config.evaluations and not held:
        raise ValueError(f"evaluations={config.evaluations} needs held-out pairs; give valid, or a greater valid_share")
    return [pairs[int(record.id)] for record in train], [pairs[int(record.id)] for record in held]


def _check_contradictions(pairs: Sequence[PreferencePair]) -> None:
    seen: dict[tuple[Chat, str, str], int] = {}
    for position, pair in enumerate(pairs):
        seen.setdefault((pair.prompt, pair.chosen.strip(), pair.rejected.strip()), position)
        other = seen.get((pair.prompt, pair.rejected.strip(), pair.chosen.strip()))
        if other is not None:
            raise ValueError(
                f"pairs {other} and {position} contradict each other: {pair.chosen!r:.60} and {pair.rejected!r:.60} on "
                "the same prompt; keep one"
            )


def pair_texts(pair: PreferencePair) -> list[str]:
    """Return all texts of a pair."""
    return [*(f"{turn.role}\0{turn.content}" for turn in pair.prompt), pair.chosen, pair.rejected]


def pair_rows(pairs: Sequence[PreferencePair], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Row]:
    """Return the tokens of each pair as inference sees and writes them.

    Raises:
        ValueError: If a reply would be cut, or both are the same tokens.
    """
    turns = Turns(tokenizer)
    rows = []
    for pair, prompt in zip(pairs, turns.prompts([pair.prompt for pair in pairs]), strict=True):
        row = {"prompt_ids": prompt, "chosen_ids": turns.reply(pair.chosen), "rejected_ids": turns.reply(pair.rejected)}
        if row["chosen_ids"] == row["rejected_ids"]:
            raise ValueError(f"pair {pair.id!r}: chosen and rejected are the same tokens; a pair needs two replies")
        rows.append(row)
    lengths = [len(r["prompt_ids"]) + max(len(r["chosen_ids"]), len(r["rejected_ids"])) for r in rows]
    over = sum(length > max_length for length in lengths)
    if over:
        raise ValueError(
            f"{over} of {len(rows)} pairs are longer than max_length {max_length} (the longest has {max(lengths)} "
            f"tokens), and their replies would be cut. Set max_length to {max(lengths)}, or leave these out."
        )
    return rows
