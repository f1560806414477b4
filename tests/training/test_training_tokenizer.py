from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from radrag.training import train_tokenizer  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tokenizer_folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_every_text_comes_back(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("reply", ["ct-stone", "\n", " x", "42", "(a)", "é"])
def test_prompt_is_a_prefix_of_prompt_and_reply(tokenizer: Any, reply: str) -> None:
    user = {"role": "user", "content": "Notes: flank pain\n"}
    prompt = tokenizer.apply_chat_template([user], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": reply}], return_dict=False)
    if not reply.startswith("\n"):
        assert whole[: len(prompt)] == prompt
    assert whole[-1] == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|eot_id|>")


def test_template_has_llama_headers_and_marks_replies(tokenizer: Any) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    header = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
    text = "<|begin_of_text|>" + "".join(header.format(turn["role"], turn["content"]) for turn in chat)
    assert tokenizer.apply_chat_template(chat, tokenize=False) == text
    out = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, own in zip(out["input_ids"], out["assistant_masks"], strict=True) if own]
    assert tokenizer.decode(marked) == "a<|eot_id|>"


def test_training_is_deterministic_and_sized(texts: list[str], tokenizer_folder: Path, tmp_path: Path) -> None:
    again = train_tokenizer(texts, tmp_path / "again", vocab_size=300)
    assert (again / "tokenizer.json").read_text() == (tokenizer_folder / "tokenizer.json").read_text()
    assert len(transformers.AutoTokenizer.from_pretrained(again)) <= 300


def test_vocabulary_must_hold_the_bytes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 261"):
        train_tokenizer(["a"], tmp_path / "t", vocab_size=100)


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds files but no model"):
        train_tokenizer(["a"], tmp_path)
    assert (tmp_path / "thesis.txt").exists()
