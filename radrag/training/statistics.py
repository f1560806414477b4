"""What training records look like in tokens and labels, and a refusal of what training would cut."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from radrag.generation.prompts import NOT_ENOUGH
from radrag.training.records import ChatRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 512
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in tokens.

    Attributes:
        n: Records.
        mean: Mean length.
        p95: 95th percentile, nearest rank.
        longest: Greatest length.
        p50: Median, nearest rank.
    """

    n: int
    mean: float
    p95: int
    longest: int
    p50: int = 0

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Lengths:
        """Measure lengths, of which there must be one."""
        ordered = sorted(lengths)
        p50, p95 = (ordered[-(-share * len(ordered) // 100) - 1] for share in (50, 95))
        return cls(len(ordered), sum(ordered) / len(ordered), p95, ordered[-1], p50)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What training records look like.

    Attributes:
        n: Records.
        max_length: Most tokens of a record that training keeps.
        prompt: Tokens of the prompts, up to where the reply begins.
        completion: Tokens of the replies, with the token that ends them.
        whole: Tokens of prompt and reply together.
        truncated: Records longer than ``max_length``, of which training would cut the reply.
        labels: Each label with its count, the most frequent first; "" for records without one.
        abstains: Share of the records whose reply is that the evidence does not suffice.
    """

    n: int
    max_length: int
    prompt: Lengths
    completion: Lengths
    whole: Lengths
    truncated: int
    labels: tuple[tuple[str, int], ...]
    abstains: float

    def __str__(self) -> str:
        lines = [f"{self.n:,} records, {self.truncated:,} of them longer than {self.max_length:,} tokens"]
        lines.append(f"{'tokens':<12}{'mean':>9}{'median':>8}{'p95':>8}{'longest':>9}")
        for name, part in (("prompt", self.prompt), ("completion", self.completion), ("whole", self.whole)):
            lines.append(f"{name:<12}{part.mean:>9,.1f}{part.p50:>8,}{part.p95:>8,}{part.longest:>9,}")
        named = [(label, count) for label, count in self.labels if label]
        if named:
            shown = ", ".join(f"{label} {count:,}" for label, count in named[:_SHOWN])
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            lines.append(textwrap.fill(f"{len(named)} labels: {shown}{more}", 100, subsequent_indent="  "))
        lines.append(f"abstains: {self.abstains:.1%}")
        rare = sorted(label for label, count in named if count < 2)
        if rare:
            shown = ", ".join(rare[:_SHOWN]) + (" ..." if len(rare) > _SHOWN else "")
            warning = f"warning: {len(rare)} labels have a single record, too few to learn and to test: {shown}"
            lines.append(textwrap.fill(warning, 100, subsequent_indent="  "))
        return "\n".join(lines)


def describe(
    records: Sequence[ChatRecord], tokenizer: PreTrainedTokenizerBase, max_length: int, *, refuse: bool = True
) -> Statistics:
    """Measure records through the tokenizer's chat template, and refuse what training would cut.

    Args:
        records: The records.
        tokenizer: Tokenizer of the model to tune, with a chat template.
        max_length: Most tokens of a record that training keeps.
        refuse: Whether records longer than that are an error; False only counts them.

    Raises:
        ValueError: If there is no record; if one is longer than ``max_length``; or if the chat template does not keep a
            reply whole and apart from its prompt, so that the loss would be on other tokens than the reply's.
    """
    if not records:
        raise ValueError("there is no record to train on")
    measured = [pair for batch in _batches(records) for pair in _measure(batch, tokenizer)]
    whole = Lengths.of(whole for _, whole in measured)
    labels = Counter(record.label for record in records)
    statistics = Statistics(
        n=len(records),
        max_length=max_length,
        prompt=Lengths.of(prompt for prompt, _ in measured),
        completion=Lengths.of(whole - prompt for prompt, whole in measured),
        whole=whole,
        truncated=sum(whole > max_length for _, whole in measured),
        labels=tuple(sorted(labels.items(), key=lambda item: (-item[1], item[0]))),
        abstains=sum(record.completion == NOT_ENOUGH for record in records) / len(records),
    )
    if statistics.truncated and refuse:
        raise ValueError(_too_long(statistics.truncated, len(records), max_length, whole.longest))
    return statistics


def _too_long(over: int, n: int, max_length: int, longest: int) -> str:
    return (
        f"{over} of {n} records are longer than max_length {max_length} (the longest has {longest} tokens), and their "
        f"completion would be cut. Set max_length to {longest}, shorten the notes or passages, or leave these out."
    )


def _batches(records: Sequence[ChatRecord]) -> Iterator[list[ChatRecord]]:
    rest = iter(records)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _ids(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def _measure(records: Sequence[ChatRecord], tokenizer: Any) -> Iterator[tuple[int, int]]:
    """Yield the tokens of each prompt, and of prompt and reply."""
    turns = [[{"role": turn.role, "content": turn.content} for turn in record.prompt] for record in records]
    replies = [[{"role": "assistant", "content": record.completion}] for record in records]
    prompts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    wholes = tokenizer.apply_chat_template(
        [[*asked, *reply] for asked, reply in zip(turns, replies, strict=True)], tokenize=False
    )
    tokens = zip(_ids(prompts, tokenizer), _ids(wholes, tokenizer), strict=True)
    for record, prompt, whole, (asked, both) in zip(records, prompts, wholes, tokens, strict=True):
        if not whole.startswith(prompt) or record.completion not in whole[len(prompt) :]:
            raise ValueError(
                f"record {record.id!r}: the chat template does not keep the completion {record.completion!r:.60} whole "
                "behind its prompt. Strip white space at its ends, or use another chat template."
            )
        if both[: len(asked)] != asked:
            raise ValueError(
                f"record {record.id!r}: the tokenizer joins the end of the prompt with the beginning of the completion "
                f"{record.completion!r:.60}, so the loss would miss a part of it. Strip white space at its beginning."
            )
        yield len(asked), len(both)
