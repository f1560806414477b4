import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from radrag.errors import ModelError
from radrag.training import classification
from radrag.training._head import Head, encode
from radrag.training._outcomes import auprc, classifier_metrics
from radrag.training.classification import LlamaClassifier, train_classifier
from radrag.training.config import QLoraConfig

pytestmark = pytest.mark.train
BASE = {"pad_token_id": None}  # as that of the released Llamas
FAST = QLoraConfig(steps=60, batch=8, max_length=64, lr=5e-3, valid_share=0.2, quantize=None, checkpoints=0)
LABELS = ("flank", "deaf", "left")


def truth_of(texts: list[str]) -> list[list[int]]:
    return [[int("flank" in text), int("deaf" in text), int("left" in text)] for text in texts]


@given(
    st.integers(2, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.booleans(), min_size=n, max_size=n),
            st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]), min_size=n, max_size=n),
        )
    )
)
def test_auprc_is_that_of_sklearn(columns: tuple[list[bool], list[float]]) -> None:
    true, score = columns
    if len(set(true)) == 1:
        with pytest.raises(ValueError, match="both classes"):
            auprc(true, score)
    else:
        assert auprc(true, score) == pytest.approx(average_precision_score(true, score))


def test_figures_are_those_of_sklearn_and_undefined_labels_stand_apart() -> None:
    rng = np.random.default_rng(0)
    true = (rng.random((60, 4)) < [0.5, 0.2, 0.8, 0.0]).astype(int)
    score = np.round(rng.random((60, 4)) + 0.3 * true, 1)
    found = classifier_metrics(true, score, ["a", "b", "c", "never"], n_resamples=50)
    assert found.undefined == ("never",)
    assert found.positives["never"] == 0
    assert list(found.auroc) == list(found.auprc) == ["a", "b", "c"]
    assert found.auroc["b"].value == pytest.approx(roc_auc_score(true[:, 1], score[:, 1]))
    assert found.auroc_macro is not None
    assert found.auroc_macro.value == pytest.approx(roc_auc_score(true[:, :3], score[:, :3], average="macro"))
    assert found.auroc_micro is not None
    assert found.auroc_micro.value == pytest.approx(roc_auc_score(true.ravel(), score.ravel()))
    assert found.auprc_macro is not None
    assert found.auprc_macro.value == pytest.approx(average_precision_score(true[:, :3], score[:, :3], average="macro"))
    assert found.auprc_micro is not None
    assert found.auprc_micro.value == pytest.approx(average_precision_score(true, score, average="micro"))
    assert found.auroc_macro.low < found.auroc_macro.value < found.auroc_macro.high
    assert found.accuracy is None


def test_intervals_draw_groups_and_a_lone_group_has_none() -> None:
    true, score = np.array([[1], [0], [1], [0]] * 5), np.arange(20.0)[:, None]
    grouped = classifier_metrics(true, score, ["a"], groups=[str(n // 4) for n in range(20)], n_resamples=50)
    assert grouped.auroc["a"].groups == 5
    lone = classifier_metrics(true, score, ["a"], groups=["one"] * 20, n_resamples=50)
    assert lone.auroc["a"].value == grouped.auroc["a"].value
    assert np.isnan(lone.auroc["a"].low)
    with pytest.raises(ValueError, match=r"shape \[n, 2\]"):
        classifier_metrics(true, score, ["a", "b"])


def test_several_outcomes_are_learnt_measured_and_loaded(texts: list[str], base: Path, tmp_path: Path) -> None:
    train, held = texts[::2], texts[1::12]
    valid = (held, truth_of(held), [text.split()[1] + text[-1] for text in held])
    tuned = train_classifier(
        base, train, truth_of(train), tmp_path / "out", FAST, kind="multilabel", labels=LABELS, valid=valid
    )
    assert tuned.last_loss < tuned.first_loss / 3
    assert tuned.metrics is not None
    assert tuned.metrics.auroc_macro is not None
    assert tuned.metrics.auroc_macro.value > 0.95
    loaded = LlamaClassifier(base, tuned.folder, device="cpu", batch_size=5)
    found = loaded.probabilities(held)
    assert found.shape == (30, 3)
    assert loaded.labels == LABELS
    for column, label in enumerate(LABELS):
        expected = roc_auc_score(np.array(truth_of(held))[:, column], found[:, column])
        assert tuned.metrics.auroc[label].value == pytest.approx(expected)
    mixed = ["deafness", *held[:2], "left flank pain"]
    alone = np.concatenate([loaded.probabilities([text]) for text in mixed])
    np.testing.assert_allclose(loaded.probabilities(mixed), alone, atol=1e-5)  # padding changes nothing
    record = json.loads((tuned.folder / "radrag.json").read_text())
    assert record["kind"] == "classifier"
    assert record["head"]["labels"] == list(LABELS)
    assert record["metrics"]["metrics"]["auroc"]["deaf"]["value"] == tuned.metrics.auroc["deaf"].value
    assert "AUROC macro" in (tuned.folder / "README.md").read_text()
    assert not (tmp_path / "out.work").exists()


def test_one_outcome_on_nf4_with_weights(texts: list[str], base: Path, tmp_path: Path) -> None:
    config = QLoraConfig(steps=30, batch=4, accumulate=2, max_length=64, lr=5e-3, valid_share=0.2, evaluations=2)
    targets = [int("deaf" in text) for text in texts]
    tuned = train_classifier(
        base, texts, targets, tmp_path / "out", config, kind="binary", labels=["deaf"], balanced=True
    )
    assert tuned.metrics is not None
    assert tuned.metrics.auroc["deaf"].value > 0.95
    assert tuned.train + tuned.held == len(texts)
    found = LlamaClassifier(base, tuned.folder, quantize="nf4", device="cpu").probabilities(texts)[:, 0]
    assert roc_auc_score(targets, found) > 0.95


def test_one_class_of_several(texts: list[str], base: Path, tmp_path: Path) -> None:
    names = ["renal colic", "flank pain", "deafness"]
    targets = [next(name for name in names if name in text) for text in texts]
    tuned = train_classifier(base, texts, targets, tmp_path / "out", FAST, kind="single", labels=names, balanced=True)
    assert tuned.metrics is not None
    assert tuned.metrics.accuracy is not None
    assert tuned.metrics.accuracy.value > 0.9
    found = LlamaClassifier(base, tuned.folder, device="cpu").probabilities(texts[:9])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert [names[n] for n in found.argmax(axis=1)] == targets[:9]


def test_groups_stay_on_one_side(texts: list[str]) -> None:
    part = classification.outcome_texts("multilabel", LABELS, texts, truth_of(texts), [t.split()[-3] for t in texts])
    train, held = classification.split_texts(part, FAST)
    assert held.texts
    assert not set(train.groups) & set(held.groups)
    assert sorted(train.texts + held.texts) == sorted(texts)
    assert held.truth.tolist() == truth_of(list(held.texts))


@pytest.mark.parametrize("kind", ["multilabel", "single"])
@pytest.mark.parametrize("balanced", [False, True])
def test_loss_is_that_of_the_formula(kind: Any, balanced: bool) -> None:
    truth = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    scores = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    loss = classification._loss(kind, truth, balanced)
    outputs = type("Outputs", (), {"logits": torch.tensor(scores)})()
    labels = torch.tensor(truth.argmax(1) if kind == "single" else truth)
    if kind == "single":
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        weight = np.array([5 / 9, 5 / 3, 5 / 3]) if balanced else np.ones(3)
        cells = -(truth * logs * weight).sum(1)
    else:
        p = 1 / (1 + np.exp(-scores))
        weight = np.array([2 / 3, 4, 4]) if balanced else np.ones(3)
        cells = -(truth * weight * np.log(p) + (1 - truth) * np.log(1 - p))
    assert float(loss(outputs, labels)) == pytest.approx(cells.mean(), rel=1e-5)
    assert float(loss(outputs, labels, num_items_in_batch=30)) == pytest.approx(cells.sum() / 30, rel=1e-5)


def test_what_is_too_long_is_refused_or_read_in_windows(texts: list[str], base: Path, tmp_path: Path) -> None:
    long = [" ".join([text] * 4) for text in texts[:20]]
    targets = [[n % 2, 1, n % 2] for n in range(20)]
    config = QLoraConfig(steps=2, batch=4, max_length=40, valid_share=0, quantize=None)
    options = {"kind": "multilabel", "labels": LABELS}
    with pytest.raises(ValueError, match=r"20 of 20 texts are longer than max_length 40 .* long='window'"):
        train_classifier(base, long, targets, tmp_path / "out", config, **options)
    tuned = train_classifier(base, long, targets, tmp_path / "out", config, long="window", **options)
    assert tuned.metrics is None
    loaded = LlamaClassifier(base, tuned.folder, device="cpu")
    windows, owners = encode(loaded._tokenizer, long[:1], 40, "window")
    assert set(owners) == {0}
    assert len(windows) > 2
    with torch.inference_mode():
        each = np.concatenate([loaded._model(input_ids=torch.tensor([ids])).logits.numpy() for ids in windows])
    np.testing.assert_allclose(loaded.probabilities(long[:1])[0], 1 / (1 + np.exp(-each.max(axis=0))), atol=1e-5)


@given(st.integers(1, 200), st.integers(3, 60))
def test_windows_cover_every_token_and_overlap(n: int, size: int) -> None:
    class Tokenizer:
        bos_token_id = 9_999

        def __call__(self, texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [list(range(n)) for _ in texts]}

    windows, owners = encode(Tokenizer(), ["a", "b"], size, "window")  # type: ignore[arg-type]
    mine = [window for window, owner in zip(windows, owners, strict=True) if owner == 1]
    assert all(window[0] == 9_999 and 1 < len(window) <= size for window in mine)
    assert {token for window in mine for token in window[1:]} == set(range(n))
    for left, right in itertools.pairwise(mine):
        assert len(set(left[1:]) & set(right[1:])) >= (size - 1) // 4
    assert all(len(window) == size for window in mine[:-1])


def test_a_control_token_in_a_text_is_no_padding(texts: list[str], base: Path, tmp_path: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    rows, _ = encode(tokenizer, [f"flank pain {tokenizer.pad_token}"], 64, "refuse")
    assert tokenizer.pad_token_id not in rows[0][1:]
    assert rows[0][0] == tokenizer.bos_token_id
    with pytest.raises(ValueError, match="text 1 holds no token"):
        encode(tokenizer, ["a", ""], 64, "refuse")


def test_interrupted_training_goes_on_to_the_same_weights(
    texts: list[str], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    config = QLoraConfig(steps=9, batch=4, max_length=64, quantize=None, dropout=0.1, checkpoints=3)
    args = (base, texts, [int("left" in text) for text in texts])
    options: dict[str, Any] = {"config": config, "kind": "binary", "labels": ["left"]}
    whole = train_classifier(*args, tmp_path / "whole", **options)

    class Stop(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 7:
                raise KeyboardInterrupt

    make = classification._trainer

    def interrupted(*args: Any) -> Any:
        trainer = make(*args)
        trainer.add_callback(Stop())
        return trainer

    monkeypatch.setattr(classification, "_trainer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(*args, tmp_path / "parts", **options)
    monkeypatch.undo()
    parts = train_classifier(*args, tmp_path / "parts", **options)
    name = "adapter_model.safetensors"
    assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "two"}, "kind must be"),
        ({"kind": "binary"}, "takes one label"),
        ({"labels": ["a", "a", "b"]}, "different names"),
        ({"labels": ["a", "b"]}, "2 columns, got shape"),
        ({"targets": [[2, 0, 0]] * 4}, "must be 0 or 1, got 2"),
        ({"groups": ["g"]}, "a group for each of 4 texts, got 1"),
        ({"groups": ["g"] * 4}, "nothing can be held out"),
        ({"kind": "single", "targets": ["flank", "deaf", "left", "right"]}, r"\['right'\]"),
        ({"valid": (["Flank  pain"], [[1, 0, 0]], None)}, "leak into the training data"),
        ({"long": "cut"}, "long must be"),
        ({"config": QLoraConfig(max_length=64, valid_share=0, evaluations=2)}, "needs held-out texts"),
        ({"config": QLoraConfig(max_length=999, valid_share=0)}, "at most 128, the positions"),
    ],
)
def test_what_does_not_fit_is_refused(base: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {
        "texts": ["flank pain", "deafness", "left side", "all of it"],
        "targets": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]],
        "config": QLoraConfig(max_length=64, valid_share=0.25),
        "kind": "multilabel",
        "labels": LABELS,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        train_classifier(base, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_only_a_classifier_is_loaded(base: Path) -> None:
    with pytest.raises(ModelError, match="holds no classifier"):
        LlamaClassifier(base, base)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        LlamaClassifier(base, base, batch_size=0)


def test_probabilities_of_extreme_logits() -> None:
    logits = np.array([[-800.0, 800.0, 0.0]])
    np.testing.assert_allclose(Head("multilabel", LABELS, 8).probabilities(logits), [[0, 1, 0.5]])
    np.testing.assert_allclose(Head("single", LABELS, 8).probabilities(logits), [[0, 1, 0]])
