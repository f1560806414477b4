import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import peft
import torch
import transformers

from radrag.errors import ModelError
from radrag.generation._loading import quiet_renames
from radrag.training import _memory, _peak
from radrag.training import plan as planning
from radrag.training._memory import Load, Part, base_parts, optimizer_bytes, total, tuning_parts
from radrag.training._peak import Peak
from radrag.training._shapes import Shape, shape_of
from radrag.training.config import QLoraConfig
from radrag.training.plan import Machine, plan_run, size
from radrag.training.presets import load_preset, preset_from, preset_names
from radrag.training.records import ChatRecord
from radrag.types import Message

pytestmark = pytest.mark.train
TINY = Shape(hidden=64, layers=2, heads=4, kv_heads=2, intermediate=128, vocabulary=300, tied=False)
LLAMA31 = Shape(hidden=4096, layers=32, heads=32, kv_heads=8, intermediate=14336, vocabulary=128256, tied=False)
GPU = Machine("cuda", "a GPU", 16 * 2**30)


def model_of(shape: Shape) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        head_dim=shape.head,
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


def adapted(model: Any, rank: int, targets: Any) -> Any:
    names = targets if isinstance(targets, str) else list(targets)
    with quiet_renames():
        return peft.get_peft_model(model, peft.LoraConfig(r=rank, target_modules=names, task_type="CAUSAL_LM"))


@pytest.mark.parametrize("shape", [TINY, replace(TINY, tied=True), replace(TINY, head_dim=32), LLAMA31])
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj")])
def test_parameters_are_those_of_the_model_and_of_peft(shape: Shape, targets: Any) -> None:
    model = model_of(shape)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    assert shape.adapter(16, targets) == adapted(model, 16, targets).get_nb_trainable_parameters()[0]


def test_the_presets_for_8b_train_what_is_known_of_them() -> None:
    pubmedqa = plan_run(load_preset("pubmedqa-llama31"), machine=GPU)
    assert (pubmedqa.shape, pubmedqa.shape.parameters) == (LLAMA31, 8_030_261_248)
    assert pubmedqa.stages[0].trainable == 41_943_040
    labels = plan_run(load_preset("protocol-labels"), machine=GPU)
    assert labels.shape.parameters == 6_738_554_880  # Llama-2-7B has 6,738,415,616, and 17 tokens of 2 x 4,096 fewer
    assert labels.stages[0].trainable == 32 * 2 * 64 * (4096 + 4096)


def test_a_base_is_read_from_its_config(tmp_path: Path) -> None:
    model_of(replace(TINY, head_dim=32)).config.save_pretrained(tmp_path)
    assert shape_of(str(tmp_path)) == replace(TINY, head_dim=32)
    transformers.GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="gpt2"):
        shape_of(str(tmp_path))
    with pytest.raises(ModelError, match="The config of nobody/nothing"):
        shape_of("nobody/nothing")


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"target_modules must be .* got \('c_attn',\)"):
        TINY.adapter(4, ("c_attn",))


def test_base_weights_are_what_bitsandbytes_makes_of_them() -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weight = torch.randn(1024, 2048)
    codes, state = bitsandbytes.functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    one = Shape(hidden=64, layers=1, heads=1, kv_heads=1, intermediate=1, vocabulary=1, tied=True)
    per = (codes.numel() + state.absmax.numel() + 4 * state.state2.absmax.numel()) / weight.numel()
    parts = base_parts(LLAMA31, "nf4", 2)
    assert sum(part.bytes for part in parts[:2]) == pytest.approx(per * LLAMA31.in_linears, rel=1e-6)
    assert parts[2].bytes == 2 * LLAMA31.elsewhere
    assert base_parts(one, None, 4) == [Part("base weights", 4 * one.parameters)]


@pytest.mark.parametrize(
    ("name", "device", "bytes_"),
    [("adamw_torch", "cpu", 8), ("auto", "cpu", 8), ("auto", "cuda", 2.03125), ("paged_adamw_32bit", "cuda", 8),
     ("sgd", "cpu", 0), ("lion_32bit", "cuda", 4)],
)  # fmt: skip
def test_optimiser_state(name: str, device: Any, bytes_: float) -> None:
    assert optimizer_bytes(name, device) == bytes_


def test_adamw_holds_what_is_stated() -> None:
    weight = torch.nn.Parameter(torch.zeros(512, 16))
    optimizer = torch.optim.AdamW([weight])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    held = sum(value.nbytes for value in optimizer.state[weight].values() if value.dim())
    assert held == optimizer_bytes("adamw_torch", "cpu") * weight.numel()


def kept(shape: Shape, tokens: int, targets: Any) -> int:
    """Bytes that autograd keeps of a forward pass, each storage once, weights left out."""
    config = model_of(shape).config
    config._attn_implementation = "sdpa"
    model = adapted(transformers.LlamaForCausalLM(config), 8, targets).train()
    weights = {weight.untyped_storage().data_ptr() for weight in (*model.parameters(), *model.buffers())}
    saved: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(0, shape.vocabulary, (1, tokens))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.get_base_model().model(input_ids=ids, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    return sum(storage.nbytes() for storage in saved.values())


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj"), ("down_proj",)])
@pytest.mark.parametrize("kv_heads", [2, 4])
def test_activations_are_what_autograd_keeps(targets: Any, kv_heads: int) -> None:
    tokens, shape = 96, replace(TINY, kv_heads=kv_heads)
    few, many = (kept(replace(shape, layers=layers), tokens, targets) for layers in (2, 6))
    config = QLoraConfig(r=8, target_modules=targets, quantize=None, packing=False)
    stated = _memory._layer(shape, config, Load(1, tokens, records=False), 4, "cpu")
    assert stated == pytest.approx((many - few) / 4, rel=0.05)


def test_checkpointing_keeps_less_and_longer_sequences_more() -> None:
    config = QLoraConfig(batch=2, max_length=512, packing=False)

    def bytes_of(**changes: Any) -> int:
        changed = replace(config, **changes)
        return total(tuning_parts(LLAMA31, changed, Load(2, changed.max_length, 0.1, records=False), "cuda"))

    assert bytes_of(gradient_checkpointing=True) < 0.6 * bytes_of()
    fixed = 2 * bytes_of() - bytes_of(max_length=1024)
    assert bytes_of(max_length=2048) == pytest.approx(4 * bytes_of() - 3 * fixed, rel=0.02)
    assert bytes_of(quantize=None) - bytes_of() == pytest.approx(LLAMA31.in_linears * (2 - 0.5 - 1 / 64), rel=0.05)
    assert bytes_of(r=64) > bytes_of()


def test_8b_at_2048_tokens_takes_less_than_16_gib_on_a_gpu() -> None:
    made = plan_run(load_preset("pubmedqa-llama31"), machine=GPU)
    assert 6 * 2**30 < made.bytes < 16 * 2**30
    assert made.fits
    small = plan_run(load_preset("pubmedqa-llama31"), machine=replace(GPU, free=2**30))
    assert small.fits is False
    assert "does not fit. Set a max_length below 2048" in str(small)


def test_only_what_is_there_at_the_peak_counts() -> None:
    assert total((Part("a", 3), Part("b", 5, at_peak=False), Part("c", 2))) == 5
    parts = tuning_parts(TINY, QLoraConfig(quantize=None), Load(1, 64), "cpu")
    loss = next(part for part in parts if part.name == "logits and loss")
    flowing = next(part for part in parts if part.name == "gradients on their way")
    assert loss.at_peak != flowing.at_peak
    assert loss.at_peak == (loss.bytes > flowing.bytes)


@pytest.fixture
def words(tokenizer_folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(tokenizer_folder)


def records(count: int) -> list[ChatRecord]:
    return [
        ChatRecord((Message("user", f"Notes: flank pain {n}"),), "ct-stone", label="ct-stone") for n in range(count)
    ]


def test_data_give_sequences_and_steps(words: Any, tmp_path: Path) -> None:
    model_of(TINY).config.save_pretrained(tmp_path)
    given = {"base": str(tmp_path), "batch": 4, "accumulate": 2, "epochs": 3, "max_length": 512}
    apart = plan_run(
        load_preset("small-llama-protocols", {**given, "packing": False}), records=records(33), tokenizer=words
    )
    assert apart.stages[0].sequences == 33
    assert apart.stages[0].steps == 15  # 33 records: 9 batches of 4, 5 steps of 2 batches, 3 times
    assert apart.statistics is not None
    assert apart.stages[0].tokens == round(apart.statistics.whole.mean * 33)
    packed = plan_run(
        load_preset("small-llama-protocols", {**given, "packing": True}), records=records(33), tokenizer=words
    )
    per = 512 // apart.statistics.whole.longest
    assert packed.stages[0].sequences == pytest.approx(33 / per, abs=1)
    assert "33 records" in str(apart)
    assert json.loads(json.dumps(apart.table()))["stages"][0]["steps"] == 15


def test_without_a_tokenizer_only_records_are_counted(tmp_path: Path) -> None:
    model_of(TINY).config.save_pretrained(tmp_path)
    made = plan_run(load_preset("small-llama-protocols", {"base": str(tmp_path), "packing": True}), records=records(9))
    assert (made.statistics, made.stages[0].sequences, made.stages[0].steps) == (None, None, None)
    assert "give --data" in str(made)


def test_two_steps_are_planned_apart(words: Any) -> None:
    made = plan_run(load_preset("clinical-two-step"), texts=["flank pain " * 400] * 8, tokenizer=words, machine=GPU)
    domain, task = made.stages
    assert domain.trainable == made.shape.adapter(16, ("q_proj", "v_proj"))
    assert task.trainable == domain.trainable + made.shape.adapter(8, ("q_proj", "v_proj"))
    assert domain.sequences is not None
    assert domain.tokens is not None
    assert domain.sequences == domain.tokens // 512
    assert made.bytes == max(domain.bytes, task.bytes)
    frozen = plan_run(load_preset("clinical-two-step", {"strategy": "frozen"}), machine=GPU).stages[1]
    assert (frozen.trainable, frozen.bytes) == (made.shape.adapter(8, ("q_proj", "v_proj")), task.bytes)
    merged = plan_run(load_preset("clinical-two-step", {"strategy": "merged"}), machine=GPU)
    assert merged.stages[1].trainable == made.shape.adapter(8, ("q_proj", "v_proj"))


def test_a_head_and_pairs_count() -> None:
    table = {"title": "t", "source": ["s"], "data": "texts", "base": "mine"}
    shape = {name: value for name, value in asdict(TINY).items() if name != "head_dim"}
    head = plan_run(preset_from({**table, "shape": shape, "method": "classification"}, "c"), machine=GPU, labels=5)
    assert head.stages[0].trainable == TINY.adapter(16, "all-linear") + 5 * 64
    pairs = plan_run(preset_from({**table, "shape": shape, "method": "dpo"}, "d"), machine=GPU)
    one, two = (next(p.bytes for p in made.stages[0].parts if p.name == "activations") for made in (head, pairs))
    assert two == 2 * one


def test_pretraining_counts_every_weight(tmp_path: Path) -> None:
    made = plan_run(load_preset("small-llama", {"steps": 7}), machine=GPU)
    assert made.stages[0].trainable == made.shape.parameters
    assert (made.stages[0].steps, made.shape.tied) == (7, True)
    assert "100 % of all" in str(made)


@pytest.mark.parametrize("name", ["protocol-labels", "pubmedqa-llama31"])
def test_a_machine_without_a_gpu_says_which_setting_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    preset = load_preset(name)
    (refusal,) = plan_run(preset).refusals
    assert refusal.startswith(f"optimizer={preset.tuning.optimizer} needs a CUDA GPU")
    assert "--set optimizer=adamw_torch" in refusal
    assert not plan_run(load_preset(name, {"optimizer": "adamw_torch"})).refusals
    both = plan_run(load_preset(name, {"attention": "flash_attention_2"})).refusals
    assert len(both) == 2


def test_the_machine_is_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 9))
    assert planning.this_machine() == Machine("cuda", "H", 5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:   7 kB\n")
    monkeypatch.setattr(planning, "_MEMINFO", meminfo)
    assert planning.this_machine().free == 7 * 1024
    monkeypatch.setattr(planning, "_MEMINFO", tmp_path / "none")
    assert planning.this_machine().free is None
    assert plan_run(load_preset("protocol-labels")).fits is None


def test_every_preset_can_be_planned_offline_and_shown() -> None:
    for name in preset_names():
        made = plan_run(load_preset(name))
        assert name in str(made)
        json.dumps(made.table())
        assert sum(part.bytes for part in made.stages[0].parts if part.at_peak) == made.stages[0].bytes


def test_sizes_are_readable() -> None:
    assert (size(1), size(2**20), size(2**30 * 3 / 2)) == ("1 MiB", "1 MiB", "1.50 GiB")


def test_the_peak_of_a_block_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux")
    with Peak() as peak:  # from 32 MiB on, malloc maps new pages and takes none that are kept
        block = torch.ones(128 * 2**20 // 4)
        block += 1
        del block
    assert peak.bytes == pytest.approx(128 * 2**20, rel=0.1)
    marks: list[str] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        reset_peak_memory_stats=lambda: marks.append("reset"),
        max_memory_allocated=lambda: 77,
    )
    monkeypatch.setattr(_peak, "require", lambda module, extra: SimpleNamespace(cuda=cuda))
    with Peak() as peak:
        assert marks == ["reset"]
    assert peak.bytes == 77


@pytest.mark.slow
def test_the_estimate_is_within_15_percent_of_what_training_takes(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    script = Path(__file__).parents[1] / "benchmarks" / "plan_memory.py"
    out = tmp_path / "out.json"
    subprocess.run([sys.executable, script, "--quick", "--json", out], check=True, capture_output=True)
    (table,) = json.loads(out.read_text()).values()
    (row,) = table["rows"]
    assert row["ratio"] == pytest.approx(1, abs=0.15)
