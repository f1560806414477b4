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
