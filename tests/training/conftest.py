from pathlib import Path

import pytest

TEXTS = [f"Notes: {what} {side} History: {age} yo, {what}" for what in ("flank pain", "deafness", "renal colic")
         for side in ("left", "right") for age in range(20, 80)]  # fmt: skip


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from radrag.training import train_tokenizer

    return train_tokenizer(TEXTS, tmp_path_factory.mktemp("tokenizer") / "tokenizer", vocab_size=300)


@pytest.fixture(scope="module")
def base(request: pytest.FixtureRequest, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights; a module's ``BASE`` changes its configuration."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "random"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    shape = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    changed = shape | getattr(request.module, "BASE", {})
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **changed)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return folder
