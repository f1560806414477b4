from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import CorpusError
from radrag.indexes.encoders import STATIC, StaticEncoder, load_encoder
from radrag.training._negatives import hard_negatives
from radrag.training._pairs import Pair, read_pairs, shipping_pairs, shipping_texts

WORDS = ("liver", "kidney", "spine", "sinus", "stroke", "asthma", "fracture", "pregnancy")
FAR = ("violin", "tractor", "harbour", "carpet", "lantern", "pepper", "glacier", "saddle")
PAIRS = [Pair(f"{near} case {i}", f"{far} item {i}") for i in range(4) for near, far in zip(WORDS, FAR, strict=True)]


class Opposed:
    """A teacher that holds each two of the words for one and all others for far apart, in 300 dimensions."""

    fingerprint, dim = "opposed", 300

    def encode(self, texts: Sequence[str], kind: Any) -> Any:
        table = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            table[row, (*WORDS, *FAR).index(text) % len(WORDS)] = 1
        return table


def gap(folder: Path) -> float:
    """Mean cosine of the pairs that belong together, less that of those that do not."""
    encoder = StaticEncoder(folder)
    table = encoder.encode(list(WORDS), "query") @ encoder.encode(list(FAR), "passage").T
    own = np.eye(len(WORDS), dtype=bool)
    return float(table[own].mean() - table[~own].mean())


@pytest.mark.torch
def test_tuning_brings_pairs_together_and_repeats_itself(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    for name in ("a", "b"):
        tune_encoder(PAIRS, STATIC, tmp_path / name, epochs=20, batch=8, lr=2e-2, seed=3)
    assert gap(tmp_path / "a") > gap(STATIC) + 0.2
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]
    assert (tmp_path / "a" / "README.md").is_file()
    assert json.loads((tmp_path / "a" / "radrag.json").read_text())["pairs"] == len(PAIRS)
    tune_encoder(PAIRS, STATIC, tmp_path / "kept", epochs=20, batch=8, lr=2e-2, seed=3, keep=1.0)
    assert gap(tmp_path / "kept") == pytest.approx(gap(STATIC), abs=0.02)


@pytest.mark.torch
def test_a_teacher_is_imitated(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    texts = [*WORDS, *FAR]
    other = [Pair(f"{a} glass", f"{a} wood") for a in ("one", "two", "three", "four")]
    made = [
        tune_encoder(other, STATIC, tmp_path / "without", epochs=1, batch=4),
        tune_encoder(other, STATIC, tmp_path / "with", epochs=1, batch=4, teacher=Opposed(), texts=[*texts, ""] * 200),
    ]
    assert gap(made[1]) > gap(made[0]) + 0.3
    assert "opposed" in (made[1] / "README.md").read_text()
    with pytest.raises(ValueError, match="teacher and texts go together"):
        tune_encoder(other, STATIC, tmp_path / "out", batch=4, teacher=Opposed())


@pytest.mark.torch
def test_a_given_negative_is_pushed_away(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    def cosine(folder: Path) -> float:
        left, right = StaticEncoder(folder).encode(["liver", "kidney"], "query")
        return float(left @ right)

    plain = [Pair(f"liver {i}", f"hepatic {i}") for i in range(8)]
    with_negative = [Pair(pair.query, pair.passage, "kidney") for pair in plain]
    folders = [
        tune_encoder(pairs, STATIC, tmp_path / name, epochs=10, batch=8, lr=1e-2)
        for name, pairs in (("plain", plain), ("negative", with_negative))
    ]
    assert cosine(folders[1]) < cosine(folders[0]) - 0.1


@pytest.mark.torch
def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    for options, message in (
        ({"batch": 1}, "batch must be at least 2 pairs, got 1"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"keep": 1.5}, "keep must be between 0 and 1, got 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            tune_encoder(PAIRS, STATIC, tmp_path / "out", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tuning needs at least 2 pairs, got 1"):
        tune_encoder(PAIRS[:1], STATIC, tmp_path / "out")
    with pytest.raises(ValueError, match="without a known token, ''"):
        tune_encoder([*PAIRS, Pair("a", "")], STATIC, tmp_path / "out", batch=8)
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_a_batch_is_no_larger_than_the_pairs_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    out = tune_encoder(PAIRS[:5], STATIC, tmp_path / "out", epochs=10, lr=2e-2)
    assert "batch is 256, but there are 5 pairs: every step takes all of them" in caplog.text
    facts = json.loads((out / "radrag.json").read_text())
    assert (facts["batch"], facts["pairs"]) == (5, 5)
    assert 0 < facts["changed"] <= StaticEncoder(out).table()[1].shape[0]
    assert "none of" not in caplog.text


@pytest.mark.torch
def test_training_that_changed_nothing_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("torch")
    from radrag.training.contrastive import tune_encoder

    out = tune_encoder(PAIRS[:8], STATIC, tmp_path / "out", epochs=1, batch=4, lr=1e-5)
    assert StaticEncoder(out).encode(["liver"], "query") == pytest.approx(StaticEncoder().encode(["liver"], "query"))
    assert json.loads((out / "radrag.json").read_text())["changed"] == 0
    assert "training changed none of the token vectors as they are saved, in 8 bits" in caplog.text
    caplog.clear()
    tune_encoder(PAIRS[:8], STATIC, tmp_path / "out", epochs=10, batch=4, lr=2e-2)
    assert caplog.text == ""


def test_hard_negatives_are_others_that_share_words() -> None:
    queries = ["renal stone pain", "renal stone size", "renal stone", "renal stone pain", "chest"]
    passages = ["renal stone pain", "renal stone size", "renal stone", "pain of renal stone again", "chest nodule"]
    pool = [f"renal filler {word}" for word in ("alpha", "beta", "gamma")]
    found = hard_negatives([*queries, *("x y z".split())], [*passages, *pool], count=2)
    # For the first query its own two passages are out, and the two best of the others are left out as likely answers.
    others = {1, 2}
    assert not others & set(found[0].tolist())
    assert found[0].tolist() == found[3].tolist() == [5, 6]
    assert found[4].tolist() == []
    assert found[5].tolist() == []


def test_pairs_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"query": "a", "passage": "b"}\n{"query": "c", "passage": "d", "negative": "e"}\n')
    assert read_pairs(path) == [Pair("a", "b"), Pair("c", "d", "e")]
    table = tmp_path / "pairs.csv"
    table.write_text("query,passage,negative\na,b,\nc,d,e\n")
    assert read_pairs(table) == read_pairs(path)
    path.write_text('{"query": "a", "passage": " "}\n')
    with pytest.raises(CorpusError, match="passage"):
        read_pairs(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like that of development data, of two small files."""
    sentences = " ".join(f"Open sentence number {word} is here." for word in ("one", "two", "three", "four", "five"))
    files: dict[str, list[dict[str, Any]]] = {
        "medquad": [{"question": "What is X?", "answer": " ".join(["long"] * 300)}],
        "evidence_inference_abstracts": [
            {"pmid": "1", "title": "Open title", "abstract": sentences, "licence": "cc-by"},
            {"pmid": None, "pmcid": "PMC2", "title": "Zero title", "abstract": "Zero text.", "licence": "cc0"},
            {"pmid": "3", "title": "Zyxwv title", "abstract": "Zyxwv text.", "licence": "cc-by-nc"},
        ],
    }
    for name, records in files.items():
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return tmp_path


def test_shipping_pairs_are_of_open_sources_only(data: Path) -> None:
    pairs = shipping_pairs(data)
    texts = {text for pair in pairs for text in (pair.query, pair.passage)} | set(shipping_texts(data))
    assert not any("Zyxwv" in text for text in texts)
    known = {(pair.query, pair.passage) for pair in pairs}
    assert ("Zero title", "Zero text.") in known
    assert ("What is X?", " ".join(["long"] * 200)) in known
    for pair in pairs:
        if pair.query.startswith("Open sentence"):
            assert pair.query not in pair.passage
    assert pairs == shipping_pairs(data)
    assert pairs != shipping_pairs(data, seed=1)
    assert len(known) == len(pairs)


@pytest.mark.torch
@pytest.mark.train
@pytest.mark.parametrize("negative", [False, True])
def test_a_sentence_encoder_is_tuned(tmp_path: Path, negative: bool) -> None:
    transformers = pytest.importorskip("transformers")
    library = pytest.importorskip("sentence_transformers")
    torch = pytest.importorskip("torch")
    pytest.importorskip("datasets")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    from radrag.training.sentence_encoder import tune_sentence_encoder

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *FAR]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizer(vocab=str(tmp_path / "bert" / "vocab.txt")).save_pretrained(tmp_path / "bert")
    module = Transformer(str(tmp_path / "bert"))
    library.SentenceTransformer(modules=[module, Pooling(16)], device="cpu").save_pretrained(str(tmp_path / "start"))
    others = FAR[1:] + FAR[:1] if negative else [None] * len(FAR)
    pairs = [Pair(*texts) for texts in zip(WORDS, FAR, others, strict=True)]

    def own_less_others(folder: Path) -> float:
        encoder = load_encoder(folder)
        table = encoder.encode(list(WORDS), "query") @ encoder.encode(list(FAR), "passage").T
        own = np.eye(len(WORDS), dtype=bool)
        return float(table[own].mean() - table[~own].mean())

    out = tune_sentence_encoder(pairs, tmp_path / "start", tmp_path / "out", epochs=60, batch=8, lr=5e-3)
    assert own_less_others(out) > own_less_others(tmp_path / "start") + 0.2
    assert json.loads((out / "radrag.json").read_text())["pairs"] == 8
    tune_sentence_encoder(pairs, tmp_path / "start", tmp_path / "other", batch=9)
    assert json.loads((tmp_path / "other" / "radrag.json").read_text())["batch"] == 8
    with pytest.raises(ValueError, match="batch must be at least 2 pairs, got 1"):
        tune_sentence_encoder(pairs, tmp_path / "start", tmp_path / "other", batch=1)
    if negative:
        with pytest.raises(ValueError, match="7 of 8 pairs name a negative"):
            tune_sentence_encoder([*pairs[:-1], Pair("a", "b")], tmp_path / "start", tmp_path / "other", batch=4)
