import itertools
import json
import math
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

from radrag.errors import ModelError
from radrag.generation._loading import quiet_renames, weights_digest
from radrag.generation.llama import LlamaGenerator
from radrag.training import two_step
from radrag.training._domain import _split as split_texts
from radrag.training._domain import blocks
from radrag.training._stacking import hold, put_first, read_adapter, scale_of, stack, stacked_config
from radrag.training.config import QLoraConfig
from radrag.training.records import ChatRecord, label_records
from radrag.training.two_step import pretrain_adapter, train_two_step
from radrag.types import LabelledNote

pytestmark = pytest.mark.train
DOMAIN = QLoraConfig(r=4, alpha=6, steps=8, batch=4, max_length=48, lr=5e-3, quantize=None, checkpoints=2)
TASK = QLoraConfig(
    r=8, alpha=8, steps=6, batch=4, max_length=96, lr=5e-3, quantize=None, checkpoints=2, valid_share=0.2
)
A, B = ".lora_A.weight", ".lora_B.weight"


@pytest.fixture
def records(texts: list[str]) -> list[ChatRecord]:
    return label_records([LabelledNote(text, "mr-iac" if "deaf" in text else "ct-stone") for text in texts[::12]])


def with_adapters(base: Path, domain: QLoraConfig, task: QLoraConfig, folder: Path) -> Any:
    """Return base with two active adapters of random weights, saved as ``folder/domain`` and ``folder/task``."""
    import peft
    import transformers

    def lora(c: QLoraConfig) -> Any:
        return peft.LoraConfig(
            r=c.r, lora_alpha=c.alpha, use_rslora=c.rslora, target_modules="all-linear", task_type="CAUSAL_LM"
        )

    with quiet_renames():
        model = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), lora(domain), "domain")
        model.add_adapter("task", lora(task))
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn_like(weight) * 0.1
    model.save_pretrained(folder)
    model.base_model.set_adapter(["domain", "task"])
    return model


def fresh(base: Path, config: QLoraConfig) -> Any:
    import transformers
    from peft import get_peft_model

    from radrag.training._engine import lora_config

    with quiet_renames():
        return get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), lora_config(config))


@pytest.mark.parametrize("rslora", [(True, True), (True, False), (False, True)])
def test_stacked_is_both_adapters_active_and_the_sum_by_hand(base: Path, tmp_path: Path, rslora: Any) -> None:
    domain = QLoraConfig(r=4, alpha=6, rslora=rslora[0])
    task = QLoraConfig(r=8, alpha=16, rslora=rslora[1])
    two = with_adapters(base, domain, task, tmp_path)
    s1 = 6 / (math.sqrt(4) if rslora[0] else 4)
    s2 = 16 / (math.sqrt(8) if rslora[1] else 8)
    config = stacked_config(domain, task)
    assert config.r == 12
    assert scale_of(config.r, config.alpha, config.rslora) == pytest.approx(s2)
    first, second = read_adapter(tmp_path / "domain"), read_adapter(tmp_path / "task")
    made = stack(first, second, s1 / s2)
    for name in [name.removesuffix(A) for name in made if name.endswith(A)]:
        a1, b1, a2, b2 = (part[name + end].numpy() for part in (first, second) for end in (A, B))
        expected = s1 * b1 @ a1 + s2 * b2 @ a2
        np.testing.assert_allclose(s2 * made[name + B].numpy() @ made[name + A].numpy(), expected, atol=1e-5)
    one = fresh(base, config)
    for name, weight in one.named_parameters():
        if "lora_" in name:
            weight.data = made[name.replace(".default", "")]
    ids = torch.arange(30)[None]
    with torch.inference_mode():
        expected, found = two(input_ids=ids).logits, one(input_ids=ids).logits
        two.base_model.set_adapter(["domain"])
        assert (two(input_ids=ids).logits - expected).abs().max() > 0.1  # so that the equality says something
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_stacked_learns_as_both_adapters_do(base: Path, tmp_path: Path) -> None:
    domain, task = QLoraConfig(r=4, alpha=6, rslora=True), QLoraConfig(r=8, alpha=16, rslora=True)
    two = with_adapters(base, domain, task, tmp_path)
    ratio = scale_of(4, 6, True) / scale_of(8, 16, True)
    one = fresh(base, stacked_config(domain, task))
    written = put_first(one, read_adapter(tmp_path / "domain"), ratio)
    task_weights = read_adapter(tmp_path / "task")
    for name, weight in one.named_parameters():
        if "lora_A" in name:
            weight.data[4:] = task_weights[name.replace(".default", "")]
        if "lora_B" in name:
            weight.data[:, 4:] = task_weights[name.replace(".default", "")]
    ids = torch.arange(40).reshape(2, 20)
    for model in (one, two):
        model(input_ids=ids, labels=ids).loss.backward()
    grads = {name: weight.grad for name, weight in two.named_parameters() if weight.grad is not None}
    checked = 0
    for name, weight in one.named_parameters():
        if "lora_" not in name:
            continue
        first, second = (grads[name.replace("default", which)] for which in ("domain", "task"))
        # B of the domain is held multiplied by the ratio, so its gradient is divided by it.
        parts = (first, second) if "lora_A" in name else (first / ratio, second)
        torch.testing.assert_close(weight.grad, torch.cat(parts, 0 if "lora_A" in name else 1), atol=1e-5, rtol=1e-3)
        checked += 1
    assert checked == 28
    assert len(written) == 28


def test_held_rows_neither_learn_nor_decay(base: Path, tmp_path: Path) -> None:
    config = QLoraConfig(r=4)
    with_adapters(base, config, config, tmp_path)
    model = fresh(base, stacked_config(config, config))
    before = put_first(model, read_adapter(tmp_path / "domain"), 1.0)
    callback = hold(model, before)
    ids = torch.arange(20)[None]
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.1, weight_decay=0.5)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    callback.on_step_end(None, None, None)
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            assert torch.equal(weight[:4], before[name])
            assert weight.grad is not None
            assert not weight.grad[:4].any()
        if "lora_B" in name:
            assert torch.equal(weight[:, :4], before[name])
            assert weight.grad is not None
            assert weight.grad[:, 4:].any()
            assert weight[:, 4:].any()  # it began at 0


def test_other_layers_cannot_be_stacked(base: Path, tmp_path: Path) -> None:
    domain, task = QLoraConfig(r=4), QLoraConfig(r=4, target_modules=("q_proj",))
    with_adapters(base, domain, domain, tmp_path)
    first = read_adapter(tmp_path / "domain")
    part = {name: weight for name, weight in first.items() if "q_proj" in name}
    with pytest.raises(ModelError, match="in one adapter only"):
        stack(first, part, 1.0)
    with pytest.raises(ModelError, match="has no place in the new adapter"):
        put_first(fresh(base, task), first, 1.0)
    with pytest.raises(ModelError, match="has no matrix in the first adapter"):
        put_first(fresh(base, domain), part, 1.0)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(4, 32))
def test_blocks_hold_every_token_once(lengths: list[int], size: int) -> None:
    class Tokenizer:
        bos_token_id, eos_token_id = 1, 2

        def get_vocab(self) -> dict[str, int]:
            return {"<|end_of_text|>": 3}

        def __call__(self, texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
            assert options == {"add_special_tokens": False, "split_special_tokens": True}
            return {"input_ids": [[100 * n + k + 10 for k in range(length)] for n, length in enumerate(lengths)]}

    rows = blocks(["x"] * len(lengths), Tokenizer(), size)  # type: ignore[arg-type]
    whole = [[1, *(100 * n + k + 10 for k in range(length)), 3] for n, length in enumerate(lengths)]
    assert [token for row in rows for token in row["input_ids"]] == [token for ids in whole for token in ids]
    assert [label for row in rows for label in row["labels"]] == [label for ids in whole for label in (-100, *ids[1:])]
    assert all(len(row["input_ids"]) == sum(row["seq_lengths"]) == size for row in rows[:-1])
    assert 0 < len(rows[-1]["input_ids"]) == sum(rows[-1]["seq_lengths"]) <= size
    assert sum(len(row["seq_lengths"]) for row in rows) <= len(lengths) + len(
        rows
    )  # a text is cut at ends of rows only


def test_domain_adapter_lowers_the_loss_of_its_texts(texts: list[str], base: Path, tmp_path: Path) -> None:
    config = QLoraConfig(r=8, steps=40, batch=8, max_length=64, lr=1e-2, quantize="nf4", checkpoints=0)
    made = pretrain_adapter(base, texts[::3], tmp_path / "domain", config, data_note="notes")
    assert made.valid_loss is not None
    assert made.valid_loss < made.first_loss - 0.5
    assert made.train + made.held == 120
    record = json.loads((made.folder / "radrag.json").read_text())
    assert record["method"] == "pretrain_adapter"
    assert record["metrics"]["tokens"] == made.tokens
    loaded = LlamaGenerator(base, made.folder, quantize="nf4", device="cpu")
    _, held = split_texts(texts[::3], None, config)
    total, count = 0.0, 0
    for row in blocks(held, loaded.tokenizer, 64):
        for end, length in zip(itertools.accumulate(row["seq_lengths"]), row["seq_lengths"], strict=True):
            ids = row["input_ids"][end - length : end]  # each text alone: they do not see each other
            with torch.inference_mode():
                logs = loaded.model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            total -= sum(float(log[token]) for log, token in zip(logs, ids[1:], strict=True))
            count += length - 1
    assert made.valid_loss == pytest.approx(total / count, abs=1e-3)


@pytest.mark.parametrize(
    ("texts_given", "options", "message"),
    [
        ([], {}, "at least one text"),
        ("one text", {}, "at least one text"),
        (["a", " "], {}, "text 1 is blank"),
        (["a", "b"], {"groups": ["g"]}, "a group for each of 2 texts, got 1"),
    ],
)
def test_domain_texts_are_checked(base: Path, tmp_path: Path, texts_given: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain_adapter(base, texts_given, tmp_path / "domain", DOMAIN, **options)


@pytest.mark.parametrize("strategy", ["both", "frozen"])
def test_second_step_goes_on_from_the_domain_adapter(
    texts: list[str], records: list[ChatRecord], base: Path, tmp_path: Path, strategy: Any
) -> None:
    made = train_two_step(base, texts[:60], records, tmp_path / "out", DOMAIN, TASK, strategy=strategy)
    assert made.base == str(base)
    first = read_adapter(made.domain.folder)
    last = read_adapter(made.folder)
    ratio = scale_of(4, 6, True) / scale_of(8, 8, True)
    same = [
        torch.equal(last[name][:4], weight) if name.endswith(A) else torch.equal(last[name][:, :4], weight * ratio)
        for name, weight in first.items()
    ]
    assert all(same) if strategy == "frozen" else not any(same)
    assert all(last[name][:, 4:].any() for name in last if name.endswith(B))
    config = json.loads((made.folder / "adapter_config.json").read_text())
    assert (config["r"], config["use_rslora"]) == (12, False)
    record = json.loads((made.folder / "radrag.json").read_text())
    assert record["data"]["two_step"] == {
        "strategy": strategy,
        "domain": weights_digest(made.domain.folder),
        "rank": 4,
    }
    chats = [records[0].prompt]
    scores = LlamaGenerator(made.base, made.folder, device="cpu").score(chats, ["ct-stone", "mr-iac"])
    assert np.isfinite(scores).all()
    domain_alone = LlamaGenerator(base, made.domain.folder, device="cpu").score(chats, ["ct-stone", "mr-iac"])
    assert np.abs(scores - domain_alone).max() > 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-domain"]


def test_merged_domain_is_the_base_of_the_task_and_steps_are_not_repeated(
    texts: list[str], records: list[ChatRecord], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import radrag.training.merging as merging

    def stopped(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    task = QLoraConfig(r=8, steps=6, batch=4, max_length=96, lr=5e-3, checkpoints=2, valid_share=0.2)  # NF4
    args = (base, texts[:60], records, tmp_path / "out", DOMAIN, task)
    monkeypatch.setattr(two_step.qlora, "train_qlora", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_two_step(*args)
    monkeypatch.undo()
    monkeypatch.setattr(two_step, "pretrain_adapter", stopped)
    monkeypatch.setattr(merging, "merge", stopped)
    made = train_two_step(*args)
    assert made.domain.steps == 8
    assert Path(made.base).name == "out-base"
    merged = json.loads((Path(made.base) / "radrag.json").read_text())
    assert merged["base"]["digest"] == weights_digest(base)
    assert merged["adapter"]["digest"] == weights_digest(made.domain.folder)
    LlamaGenerator(made.base, made.folder, quantize="nf4", device="cpu").score([records[0].prompt], ["ct-stone"])
    with pytest.raises(ModelError, match="was made for out-base"):
        LlamaGenerator(base, made.folder, device="cpu")
    with pytest.raises(ValueError, match=r"out-domain holds a domain adapter of other texts, settings\. Delete it"):
        train_two_step(base, texts[:59], records, tmp_path / "out", QLoraConfig(r=2), task)


def test_interrupted_second_step_goes_on_to_the_same_weights(
    texts: list[str], records: list[ChatRecord], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    class Stop(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    whole = train_two_step(base, texts[:60], records, tmp_path / "whole", DOMAIN, TASK, strategy="frozen")
    fit = two_step.fit

    def interrupted(trainer: Any, *args: Any) -> Any:
        trainer.add_callback(Stop())
        return fit(trainer, *args)

    monkeypatch.setattr(two_step, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_two_step(base, texts[:60], records, tmp_path / "parts", DOMAIN, TASK, strategy="frozen")
    monkeypatch.undo()
    parts = train_two_step(base, texts[:60], records, tmp_path / "parts", DOMAIN, TASK, strategy="frozen")
    name = "adapter_model.safetensors"
    assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_settings_that_do_not_fit_are_refused_before_the_first_step(
    texts: list[str], records: list[ChatRecord], base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for options, message in [
        ({"strategy": "sum"}, "strategy must be one of merged, both, frozen"),
        ({"strategy": "both", "task": QLoraConfig(target_modules=("q_proj",))}, "same target_modules in both steps"),
        ({"task": QLoraConfig(max_length=8)}, "longer than max_length 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            train_two_step(base, texts[:9], records, out, DOMAIN, **options)
    assert not list(tmp_path.iterdir())
