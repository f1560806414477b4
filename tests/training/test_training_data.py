import pytest

from radrag.training.data import chat_dataset, check_lengths, grouped_split
from radrag.types import LabelledNote


def notes(n: int) -> list[LabelledNote]:
    return [LabelledNote(f"note {i}", "a" if i % 2 else "b", group=f"g{i // 4}") for i in range(n)]


def test_split_keeps_groups_whole_and_loses_nothing() -> None:
    train, held = grouped_split(notes(200), 0.2, seed=1)
    assert len(held) == 40
    assert sorted((*train, *held), key=str) == sorted(notes(200), key=str)
    assert not {note.group for note in train} & {note.group for note in held}


def test_split_joins_equal_texts_across_groups() -> None:
    chain = [LabelledNote("Same  text", "a", group="1"), LabelledNote("same text", "a", group="2")]
    chain += [LabelledNote("other", "b", group="2"), LabelledNote("Other ", "b")]
    for seed in range(10):
        train, held = grouped_split([*chain, *notes(8)], 0.4, seed)
        assert len([note for note in held if note in chain]) in (0, 4)
        assert len([note for note in train if note in chain]) in (0, 4)


def test_split_is_seeded() -> None:
    assert grouped_split(notes(100), 0.1, 3) == grouped_split(notes(100), 0.1, 3)
    assert grouped_split(notes(100), 0.1, 3) != grouped_split(notes(100), 0.1, 4)
    assert grouped_split(notes(10), 0.0) == (notes(10), [])


def test_share_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 1\.0"):
        grouped_split(notes(4), 1.0)


@pytest.mark.train
def test_records_and_their_lengths(tokenizer_folder: str) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("datasets")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    dataset = chat_dataset([LabelledNote("Notes: <|eot_id|>", "ct-stone"), LabelledNote("x", "mr-iac")])
    assert dataset[0] == {
        "prompt": [{"role": "user", "content": "Notes: < |eot_id|>"}],
        "completion": [{"role": "assistant", "content": "ct-stone"}],
    }
    turns = [{"role": "user", "content": "Notes: < |eot_id|>"}, {"role": "assistant", "content": "ct-stone"}]
    longest = len(tokenizer.apply_chat_template(turns, return_dict=False))
    assert check_lengths(dataset, tokenizer, longest).longest == longest
    with pytest.raises(ValueError, match=f"1 of 2 records are longer than max_length {longest - 1}"):
        check_lengths(dataset, tokenizer, longest - 1)
    with pytest.raises(ValueError, match="no note"):
        check_lengths(chat_dataset([]), tokenizer, 10)
