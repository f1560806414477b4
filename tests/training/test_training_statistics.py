from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.generation.prompts import NOT_ENOUGH
from radrag.training.records import ChatRecord, label_records
from radrag.training.statistics import Lengths, describe
from radrag.types import LabelledNote, Message

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(tokenizer_folder)


def ids(tokenizer: Any, record: ChatRecord, reply: bool) -> list[int]:
    turns = [{"role": turn.role, "content": turn.content} for turn in record.prompt]
    turns += [{"role": "assistant", "content": record.completion}] if reply else []
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=not reply, return_dict=False))


def made(n: int) -> list[ChatRecord]:
    return label_records(
        [LabelledNote("flank pain left " * (i % 7 + 1), f"label-{i % 3}", id=str(i)) for i in range(n)]
    )


def test_lengths_are_those_of_the_chat_template_one_by_one(tokenizer: Any) -> None:
    records = made(700)  # more than one batch
    found = describe(records, tokenizer, 512)
    prompt = np.array([len(ids(tokenizer, record, False)) for record in records[:21]] * 40)[:700]
    whole = np.array([len(ids(tokenizer, record, True)) for record in records[:21]] * 40)[:700]
    for part, lengths in ((found.prompt, prompt), (found.whole, whole), (found.completion, whole - prompt)):
        assert part.mean == pytest.approx(lengths.mean())
        assert part.longest == lengths.max()
        assert part.p50 == np.percentile(lengths, 50, method="inverted_cdf")
        assert part.p95 == np.percentile(lengths, 95, method="inverted_cdf")
    assert found.truncated == 0
    assert found.labels == (("label-0", 234), ("label-1", 233), ("label-2", 233))


def test_what_would_be_cut_is_refused_or_counted(tokenizer: Any) -> None:
    records = made(14)
    longest = describe(records, tokenizer, 512).whole.longest
    over = sum(len(ids(tokenizer, record, True)) > longest - 1 for record in records)
    assert describe(records, tokenizer, longest).truncated == 0
    with pytest.raises(
        ValueError, match=rf"{over} of 14 records .* {longest - 1} \(the longest has {longest} tokens\)"
    ):
        describe(records, tokenizer, longest - 1)
    counted = describe(records, tokenizer, longest - 1, refuse=False)
    assert counted.truncated == over
    assert f"14 records, {over} of them longer than" in str(counted)


def test_table_shows_labels_abstentions_and_rare_labels(tokenizer: Any) -> None:
    user = (Message("user", "q"),)
    records = [*made(9), ChatRecord(user, NOT_ENOUGH, label="abstain"), ChatRecord(user, "free text")]
    text = str(describe(records, tokenizer, 512))
    assert "4 labels: label-0 3, label-1 3, label-2 3, abstain 1" in text
    assert "abstains: 9.1%" in text
    assert "warning: 1 labels have a single record, too few to learn and to test: abstain" in text
    assert "warning" not in str(describe(made(9), tokenizer, 512))
    assert len({len(line) for line in text.splitlines()[1:5]}) == 1


def test_no_record_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="no record"):
        describe([], tokenizer, 10)


def test_templates_that_change_the_reply_are_refused(tokenizer: Any, tokenizer_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    trimming = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    trimming.chat_template = tokenizer.chat_template.replace("m['content'] + ", "m['content'] | trim + ")
    assert trimming.chat_template != tokenizer.chat_template
    spaced = ChatRecord((Message("user", "q"),), " spaced ", id="s")
    describe([spaced], tokenizer, 100)
    with pytest.raises(ValueError, match=r"record 's': the chat template does not keep the completion ' spaced '"):
        describe([spaced], trimming, 100)


def test_tokens_that_join_prompt_and_reply_are_refused(tokenizer: Any) -> None:
    class Joining:
        """Encodes characters as numbers, but two line breaks, the prompt's last and the reply's first, as one."""

        def apply_chat_template(self, chats: Any, tokenize: bool, add_generation_prompt: bool = False) -> list[str]:
            end = "|\n" if add_generation_prompt else ""
            return ["|\n".join(turn["content"] for turn in chat) + end for chat in chats]

        def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(char) for char in text.replace("\n\n", "\r")] for text in texts]}

    good = ChatRecord((Message("user", "q"),), "a", id="g")
    assert describe([good], Joining(), 10).whole.longest == 4  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="joins the end of the prompt"):
        describe([ChatRecord((Message("user", "q"),), "\na")], Joining(), 10)  # type: ignore[arg-type]


def test_percentiles_are_nearest_rank() -> None:
    assert Lengths.of([5]) == Lengths(1, 5.0, 5, 5, 5)
    assert Lengths.of(range(1, 101)) == Lengths(100, 50.5, 95, 100, 50)
    assert Lengths.of([3, 1, 2]) == Lengths(3, 2.0, 3, 3, 2)
