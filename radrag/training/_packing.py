"""Records as token sequences: prompt and reply, packed best fit decreasing, padded as little as possible."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radrag.errors import require
from radrag.generation._turns import Turns
from radrag.training.records import ChatRecord

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # the label of a token that no loss is computed on
Row = dict[str, list[int]]


def encode(records: Sequence[ChatRecord], turns: Turns) -> list[Row]:
    """Return the tokens of each record as inference sees and writes them; only the reply and its end have labels.

    Args:
        records: What to train on.
        turns: Writer of chats of the base's tokenizer.

    Returns:
        For each record ``input_ids``, ``labels`` and ``seq_lengths``, the one length.
    """
    replies = {text: turns.reply(text) for text in dict.fromkeys(record.completion for record in records)}
    rows = []
    for record, prompt in zip(records, turns.prompts([record.prompt for record in records]), strict=True):
        ids = [*prompt, *replies[record.completion]]
        labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
        rows.append({"input_ids": ids, "labels": labels, "seq_lengths": [len(ids)]})
    return rows


def pack(rows: Sequence[Row], length: int) -> list[Row]:
    """Put several rows into sequences of at most ``length`` tokens, best fit decreasing.

    Each row goes into the fullest sequence that has room for it, the longest rows first (Johnson, 1974). Ties keep the
    order given, so the result depends on nothing else.
    """
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]["input_ids"]))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left, number of the bin; ascending
    for row in order:
        size = len(rows[row]["input_ids"])
        place = bisect_left(room, (size, -1))
        left, chosen = room.pop(place) if place < len(room) else (length, len(bins))
        if chosen == len(bins):
            bins.append([])
        bins[chosen].append(row)
        insort(room, (left - size, chosen))
    return [_joined([rows[row] for row in members]) for members in bins]


def _joined(rows: Sequence[Row]) -> Row:
    return {name: [value for row in rows for value in row[name]] for name in rows[0]}


@dataclass(frozen=True, slots=True)
class Rows:
    """Collates sequences into a batch, padded to the longest of it.

    No attention mask is made. Positions begin anew with each record, by which transformers keeps packed records apart
    (``masking_utils.find_packed_sequence_indices``), and padding stands at the end, where causal attention does not
    look. trl would lay the whole batch end to end, which on attention without FlashAttention's kernels costs the square
    of the batch.

    Attributes:
        pad: Token to pad with.
    """

    pad: int

    def __call__(self, rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        torch = require("torch", extra="llama")
        width = max(len(row["input_ids"]) for row in rows)
        fills = {"input_ids": self.pad, "labels": IGNORED}
        batch = {name: [row[name] + [fill] * (width - len(row[name])) for row in rows] for name, fill in fills.items()}
        batch["position_ids"] = [_positions(row["seq_lengths"], width) for row in rows]
        return {name: torch.tensor(values) for name, values in batch.items()}


def _positions(lengths: Sequence[int], width: int) -> list[int]:
    last = lengths[-1] + width - sum(lengths)  # padding counts on: it needs no mask of its own
    return [position for length in (*lengths[:-1], last) for position in range(length)]


def collator(pad: int, attention: str) -> Any:
    """Return what makes batches: rows for SDPA and eager attention, one long row for FlashAttention's kernels."""
    if attention != "flash_attention_2":
        return Rows(pad)
    trl = require("trl.trainer.sft_trainer", extra="train")
    return trl.DataCollatorForLanguageModeling(pad_token_id=pad, padding_free=True)
