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

from radrag.errors import ModelError
from radrag.generation._loading import quiet_renames, weights_digest
from radrag.generation.llama import LlamaGenerator
from radrag.generation.prompts import label_chat
from radrag.training import preferences
from radrag.training.config import QLoraConfig
from radrag.training.preferences import Correction, PreferencePair, pairs_from_corrections, train_dpo
from radrag.types import Message

pytestmark = pytest.mark.train
ASK = (Message("user", "flank pain"),)
FAST = QLoraConfig(steps=12, batch=8, max_length=96, lr=3e-3, quantize=None, r=8, checkpoints=0, warmup=0)


@pytest.fixture(scope="module")
def sft(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with random weights, which stands for one that was tuned."""
    import peft
    import transformers

    folder = tmp_path_factory.mktemp("sft") / "adapter"
    with quiet_renames():
        model = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_pretrained(base),
            peft.LoraConfig(r=4, lora_alpha=4, use_rslora=True, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
    torch.manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn_like(weight) * 0.1
    model.save_pretrained(folder)
    (folder / "radrag.json").write_text(json.dumps({"base": {"name": "tiny", "digest": weights_digest(base)}}))
    return folder


def corrections(texts: list[str]) -> list[Correction]:
    """Every note was suggested the label of the other kind."""
    pairs = [("mr-iac", "ct-stone") if "deafness" in text else ("ct-stone", "mr-iac") for text in texts]
    return [
        Correction(text, wrong, right, id=f"n{n}", group=f"p{n // 2}")
        for n, (text, (right, wrong)) in enumerate(zip(texts, pairs, strict=True))
    ]


def gaps(generator: LlamaGenerator, pairs: list[PreferencePair]) -> np.ndarray:
    """Log p(chosen) - log p(rejected) by the generator's own scoring."""
    found = [generator.score([pair.prompt], [pair.chosen, pair.rejected])[0] for pair in pairs]
    return np.array([chosen - rejected for chosen, rejected in found])


def test_corrections_become_pairs(texts: list[str]) -> None:
    pair = pairs_from_corrections(corrections(texts))[3]
    assert pair.prompt == label_chat(texts[3], None)
    assert (pair.chosen, pair.rejected) == ("ct-stone", "mr-iac")
    assert (pair.id, pair.groups) == ("n3", ("patient:p1", "note:n3"))
    with pytest.raises(ValueError, match="'ct' was right; leave such notes out"):
        pairs_from_corrections([Correction("note", "ct", "ct")])


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_training_moves_replies_apart_from_the_sft_adapter(
    texts: list[str], base: Path, sft: Path, tmp_path: Path, quantize: Any
) -> None:
    pairs = pairs_from_corrections(corrections(texts[::8]))
    held = pairs_from_corrections(corrections(texts))[1::22]
    config = QLoraConfig(steps=12, batch=8, max_length=96, lr=3e-3, quantize=quantize, checkpoints=0, warmup=0)
    held = [pair for pair in held if pair.prompt not in {other.prompt for other in pairs}]
    held = [PreferencePair(pair.prompt, pair.chosen, pair.rejected) for pair in held]
    tuned = train_dpo(base, pairs, tmp_path / "out", config, adapter=sft, beta=0.5, valid=held)
    # At the first step policy and reference are the same, with the bare base as reference they are not.
    assert tuned.first_loss == pytest.approx(math.log(2), abs=1e-5)
    assert tuned.last_loss < 0.4
    before = gaps(LlamaGenerator(base, sft, quantize=quantize, device="cpu"), held)
    after = gaps(LlamaGenerator(base, tuned.folder, quantize=quantize, device="cpu"), held)
    assert (after > before).mean() > 0.9
    assert tuned.margin is not None
    assert tuned.accuracy is not None
    assert tuned.margin.value == pytest.approx(0.5 * (after - before).mean(), abs=2e-3)
    assert tuned.accuracy.value == pytest.approx((after > before).mean())
    assert tuned.preferred_before is not None
    assert tuned.preferred_before.value == pytest.approx((before > 0).mean())
    assert tuned.preferred_after is not None
    assert tuned.preferred_after.value == pytest.approx((after > 0).mean())
    names = sorted(file.name for file in tuned.folder.iterdir())
    assert "ref" not in names
    assert "adapter_model.safetensors" in names
    record = json.loads((tuned.folder / "radrag.json").read_text())
    assert record["method"] == "train_dpo"
    assert record["data"]["reference_digest"] == weights_digest(sft)
    assert record["config"]["r"] == 4  # the adapter's own, not the config's


def test_without_an_adapter_the_base_is_the_reference(texts: list[str], base: Path, tmp_path: Path) -> None:
    pairs = pairs_from_corrections(corrections(texts[::6]))
    tuned = train_dpo(base, pairs, tmp_path / "out", FAST, adapter=None, beta=0.5)
    assert tuned.first_loss == pytest.approx(math.log(2), abs=1e-5)
    assert tuned.train + tuned.held == len(pairs)
    bare, new = LlamaGenerator(base, device="cpu"), LlamaGenerator(base, tuned.folder, device="cpu")
    assert gaps(new, pairs).mean() > gaps(bare, pairs).mean() + 1
    assert json.loads((tuned.folder / "adapter_config.json").read_text())["r"] == 8


def test_interrupted_training_goes_on_to_the_same_weights(
    texts: list[str], base: Path, sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    config = QLoraConfig(steps=6, batch=4, max_length=96, lr=3e-3, quantize=None, checkpoints=3)
    pairs = pairs_from_corrections(corrections(texts[::10]))
    whole = train_dpo(base, pairs, tmp_path / "whole", config, adapter=sft)

    class Stop(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    make = preferences._trainer

    def interrupted(*args: Any) -> Any:
        trainer = make(*args)
        trainer.add_callback(Stop())
        return trainer

    monkeypatch.setattr(preferences, "_trainer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_dpo(base, pairs, tmp_path / "parts", config, adapter=sft)
    assert not (tmp_path / "parts").exists()
    monkeypatch.undo()
    parts = train_dpo(base, pairs, tmp_path / "parts", config, adapter=sft)
    name = "adapter_model.safetensors"
    assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert parts.margin == whole.margin


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((ASK, "ct", " ct"), "both 'ct'; a pair needs two replies"),
        ((ASK, "ct", " "), "completion is blank"),
        (((Message("assistant", "ct"),), "ct", "mr"), "must end in a user's turn"),
    ],
)
def test_a_pair_is_two_replies_to_a_user(pair: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreferencePair(*pair)


def test_what_cannot_be_trained_on_is_refused(base: Path, sft: Path, tmp_path: Path) -> None:
    good, other = PreferencePair(ASK, "ct", "mr", "a"), PreferencePair((Message("user", "deaf"),), "mr", "ct", "b")
    long = PreferencePair(ASK, "ct", "mr " * 90, "c")
    out = tmp_path / "out"
    for pairs, options, message in [
        ([], {}, "no pair"),
        ([good, PreferencePair(ASK, "mr", "ct")], {}, "pairs 0 and 1 contradict"),
        ([good, long], {"valid": [other]}, r"1 of 2 pairs are longer than max_length 96"),
        ([good], {"valid": [long]}, "leak into the training data"),
        ([good], {"valid": [other], "beta": 0}, "beta must be above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            train_dpo(base, pairs, out, FAST, adapter=sft, **options)
    with pytest.raises(ModelError, match="not an adapter folder"):
        train_dpo(base, [good], out, FAST, adapter=base, valid=[other])
    assert not out.exists()
