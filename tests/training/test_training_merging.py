import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

import torch

from radrag.errors import ModelError
from radrag.generation._loading import quiet_renames, weights_digest
from radrag.generation.llama import LlamaGenerator
from radrag.training.merging import merge
from radrag.types import Message

pytestmark = pytest.mark.train
CHATS = [(Message("user", "Notes: flank pain"),), (Message("user", "History: 54 yo, deafness"),)]


def make_adapter(base: Path, folder: Path, **settings: Any) -> Path:
    """Write an adapter with random weights of a size that changes replies; name it as made for the base."""
    import peft
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    options = {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    with quiet_renames():
        model = peft.get_peft_model(model, peft.LoraConfig(**{**options, **settings}))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn_like(weight) * 0.2
    model.save_pretrained(folder)
    record = {"kind": "adapter", "base": {"name": "tiny", "digest": weights_digest(base)}}
    (folder / "radrag.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("rslora", [True, False])
def test_merged_weights_are_base_plus_scaled_product(base: Path, tmp_path: Path, rslora: bool) -> None:
    from safetensors.numpy import load_file

    adapter = make_adapter(base, tmp_path / "adapter", use_rslora=rslora)
    result = merge(base, adapter, tmp_path / "out", nf4=False)
    scale = 6 / np.sqrt(4) if rslora else 6 / 4
    before, low = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    after = load_file(result.folder / "model.safetensors")
    assert sorted(after) == sorted(before)
    changed = 0
    for name, weight in before.items():
        module = "base_model.model." + name.removesuffix(".weight")
        expected = weight
        if f"{module}.lora_A.weight" in low:
            expected = weight + scale * low[f"{module}.lora_B.weight"] @ low[f"{module}.lora_A.weight"]
            changed += 1
        np.testing.assert_allclose(after[name], expected, atol=1e-5)
    assert changed == 14  # seven linear layers in each of two blocks


def test_merged_model_loads_everywhere_and_scores_as_base_and_adapter(base: Path, tmp_path: Path) -> None:
    import transformers

    adapter = make_adapter(base, tmp_path / "adapter")
    result = merge(base, adapter, tmp_path / "out")
    options = ["ct", "flank pain left"]
    apart = LlamaGenerator(base, adapter, device="cpu").score(CHATS, options)
    together = LlamaGenerator(result.folder, device="cpu").score(CHATS, options)
    np.testing.assert_allclose(together, apart, atol=1e-3)
    assert np.abs(together - LlamaGenerator(base, device="cpu").score(CHATS, options)).max() > 0.5
    assert transformers.AutoModelForCausalLM.from_pretrained(result.folder).dtype == torch.float32
    assert result.difference <= 1e-3 == result.tolerance
    assert result.effect > 0.5
    assert result.nf4_difference is not None
    assert result.nf4_difference > result.difference
    record = json.loads((result.folder / "radrag.json").read_text())
    assert record["kind"] == "merged"
    assert record["base"] == {"name": base.name, "digest": weights_digest(base), "revision": None}
    assert record["adapter"] == {"name": "adapter", "digest": weights_digest(adapter)}
    assert record["digest"] == weights_digest(result.folder)
    assert record["agreement"]["difference"] == result.difference
    texts = [file.read_text() for file in result.folder.iterdir() if file.suffix in (".json", ".md", ".jinja")]
    assert len(texts) >= 5
    assert str(tmp_path) not in "".join(texts)


def test_differences_are_the_largest_over_the_probes(base: Path, tmp_path: Path) -> None:
    import transformers

    adapter = make_adapter(base, tmp_path / "adapter")
    probe = (Message("user", "deafness left"), Message("assistant", "mr-iac"))
    result = merge(base, adapter, tmp_path / "out", probes=[probe], nf4=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    turns = [{"role": turn.role, "content": turn.content} for turn in probe]
    ids = tokenizer.apply_chat_template(turns, return_dict=False)
    values = []
    for folder in (base, result.folder):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        logits = model(torch.tensor([ids])).logits[0].detach().numpy().astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        values.append(np.array([logs[n, token] for n, token in enumerate(ids[1:])]))
    assert result.positions == len(ids) - 1
    assert result.effect == pytest.approx(np.abs(values[0] - values[1]).max(), abs=1e-3)
    assert result.nf4_difference is None


def test_a_merge_that_changes_the_model_is_not_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    adapter = make_adapter(base, tmp_path / "adapter")
    monkeypatch.setattr(peft.LoraModel, "merge_and_unload", lambda self, **_: self.unload())
    with pytest.raises(ModelError, match=r"differ by .* so nothing was written"):
        merge(base, adapter, tmp_path / "out", nf4=False)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_bfloat16_is_held_to_its_own_tolerance(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    result = merge(base, adapter, tmp_path / "out", dtype="bfloat16", nf4=False)
    assert 1e-3 < result.difference <= result.tolerance == 0.5
    assert json.loads((result.folder / "config.json").read_text())["dtype"] == "bfloat16"
    with pytest.raises(ModelError, match="Merge in dtype='float32'"):
        merge(base, adapter, tmp_path / "strict", dtype="bfloat16", tolerance=1e-5, nf4=False)
    assert not (tmp_path / "strict").exists()


def test_what_cannot_be_merged_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match="not an adapter folder"):
        merge(base, base, tmp_path / "out")
    with pytest.raises(ValueError, match="at least one chat"):
        merge(base, adapter, tmp_path / "out", probes=[])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "task_type": "SEQ_CLS"}))
    with pytest.raises(ModelError, match="adapter for SEQ_CLS"):
        merge(base, adapter, tmp_path / "out")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "radrag.json").write_text(json.dumps({"base": {"name": "other", "digest": "sha256:0"}}))
    with pytest.raises(ModelError, match="was made for other"):
        merge(base, adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()
