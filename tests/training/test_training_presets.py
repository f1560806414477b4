import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.training.config import QLoraConfig
from radrag.training.presets import (
    FOLDER,
    as_table,
    load_preset,
    parse_override,
    preset_from,
    preset_names,
    read_overrides,
)
from radrag.training.pretraining import SmallLlamaConfig

SMALLEST = {"title": "t", "source": ["s"], "method": "qlora", "data": "labels"}

# What the sources state: 03_train_llm.py of radiology-llm-classifier, and the recipes that the other files name.
STATED: dict[str, dict[str, Any]] = {
    "protocol-labels": {
        "quantize": "nf4",
        "r": 64,
        "alpha": 16,
        "rslora": False,
        "dropout": 0.1,
        "lr": 2e-4,
        "schedule": "cosine",
        "warmup": 0.2,
        "optimizer": "paged_adamw_32bit",
        "max_grad_norm": 0.3,
        "batch": 4,
        "packing": False,
    },
    "pubmedqa-llama31": {
        "r": 16,
        "alpha": 16,
        "rslora": True,
        "target_modules": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        "lr": 3e-4,
        "schedule": "linear",
        "batch": 1,
        "accumulate": 8,
        "epochs": 1,
        "warmup": 10,
        "weight_decay": 0.01,
        "max_length": 2048,
        "packing": True,
        "optimizer": "paged_adamw_8bit",
    },
    "report-llama3": {"max_length": 5000, "r": 16, "epochs": 5, "quantize": "nf4"},
    "clinical-two-step": {"r": 8, "alpha": 4, "dropout": 0.1, "lr": 5e-5, "warmup": 0.06, "epochs": 10},
}


def test_every_preset_names_its_sources_and_only_its_own_fields() -> None:
    assert set(preset_names()) == {*STATED, "small-llama", "small-llama-answers", "small-llama-protocols"}
    for name in preset_names():
        preset = load_preset(name)
        assert preset.title
        assert all("issue" not in source for source in preset.source)
        for field in preset.ours:
            step, dot, inner = field.partition(".")
            holder = preset.domain if dot and step == "domain" else preset.config
            assert field == "base" or hasattr(holder, inner or field), field
        json.dumps(as_table(preset))


@pytest.mark.parametrize("name", STATED)
def test_presets_hold_what_their_sources_state(name: str) -> None:
    config = load_preset(name).config
    for field, value in STATED[name].items():
        assert getattr(config, field) == value, field


def test_what_a_source_states_is_not_marked_as_ours() -> None:
    own = {"report-llama3": {"max_length"}}
    for name, stated in STATED.items():
        assert not (set(load_preset(name).ours) & set(stated)) - own.get(name, set())


def test_two_steps_have_two_configs() -> None:
    preset = load_preset("clinical-two-step")
    assert preset.domain is not None
    assert (preset.domain.r, preset.domain.alpha, preset.domain.dropout) == (16, 32, 0.0)
    assert preset.settings["strategy"] == "both"
    both = load_preset("clinical-two-step", {"steps": 2, "domain.lr": 0.5, "task.lr": 0.25, "strategy": "merged"})
    assert both.domain is not None
    assert (both.domain.steps, both.tuning.steps) == (2, 2)
    assert (both.domain.lr, both.tuning.lr) == (0.5, 0.25)
    assert both.settings["strategy"] == "merged"


def test_pretraining_takes_the_shape_of_the_model_that_ships() -> None:
    preset = load_preset("small-llama")
    assert preset.config == SmallLlamaConfig()
    assert load_preset("small-llama", {"hidden": 64, "steps": 3, "seed": 5}).settings["steps"] == 3
    with pytest.raises(ValueError, match="pretrains from scratch"):
        _ = preset.tuning


def test_a_base_of_ones_own_has_its_own_shape() -> None:
    assert load_preset("pubmedqa-llama31").shape is not None
    other = load_preset("pubmedqa-llama31", {"base": "somewhere/else"})
    assert (other.base, other.shape) == ("somewhere/else", None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lrr": 1}, r"'lrr' \(did you mean lr"),
        ({"domain.lr": 1}, "no setting 'domain.lr'"),
        ({"rslora": "yes"}, "rslora must be true or false, got 'yes'"),
        ({"batch": 1.5}, "batch must be a whole number, got 1.5"),
        ({"batch": True}, "batch must be a whole number, got True"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"optimizer": 8}, "optimizer must be a text, got 8"),
        ({"schedule": "cosin"}, "schedule must be one of"),
        ({"target_modules": 3}, "target_modules must be"),
        ({"data": "notes"}, "data must be one of labels"),
        ({"base": 7}, "base must be a text, got 7"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_preset("protocol-labels", overrides)


def test_settings_of_pretraining_are_checked() -> None:
    for overrides in ({"quantize": "nf4"}, {"optimizer": "sgd"}):
        with pytest.raises(ValueError, match="there is no setting"):
            load_preset("small-llama", overrides)
    with pytest.raises(ValueError, match="vocab_size must be a whole number, got 'big'"):
        load_preset("small-llama", {"vocab_size": "big"})


def test_unknown_presets_come_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'pubmedqa-lama31' \(did you mean pubmedqa-llama31\?\)"):
        load_preset("pubmedqa-lama31")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "full"}, "method must be one of"),
        ({"source": []}, "source is empty"),
        ({"source": "a paper"}, "source must be a list, got 'a paper'"),
        ({"titel": "x"}, r"unknown key 'titel' \(did you mean title"),
        ({"config": {"ranks": 3}}, "config of mine: unknown key 'ranks'"),
        ({"domain": {"r": 3}}, "belongs to method two-step"),
        ({"settings": {"beta": 1}}, "settings of mine: unknown key 'beta'"),
        ({"shape": {"hidden": 8}}, "a shape needs whole numbers"),
    ],
)
def test_files_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preset_from({**SMALLEST, **change}, "mine")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text((FOLDER / "small-llama-protocols.toml").read_text().replace("nf4", "none"), encoding="utf-8")
    preset = load_preset(file, {"r": 4})
    assert (preset.name, preset.tuning.quantize, preset.tuning.r) == ("mine", None, 4)
    file.write_text("title = [", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.toml is not TOML"):
        load_preset(file)


def test_overrides_from_a_file_and_from_words(tmp_path: Path) -> None:
    file = tmp_path / "o.toml"
    file.write_text("lr = 0.5\n[config]\nr = 3\n[domain]\nr = 4\n", encoding="utf-8")
    preset = load_preset("clinical-two-step", read_overrides(file))
    assert preset.domain is not None
    assert (preset.tuning.r, preset.domain.r, preset.domain.lr) == (3, 4, 0.5)
    words = {"lr=2e-4": 2e-4, "steps=none": "none", "packing=false": False, 'target_modules=["q_proj"]': ["q_proj"]}
    for text, value in words.items():
        assert parse_override(text) == (text.partition("=")[0], value)
    assert load_preset("protocol-labels", {"quantize": "none"}).tuning.quantize is None
    assert load_preset("protocol-labels", {"target_modules": ["q_proj"]}).tuning.target_modules == ("q_proj",)
    with pytest.raises(ValueError, match="must be key=value, got 'lr'"):
        parse_override("lr")


@given(st.integers(1, 10**6), st.floats(1e-9, 10), st.booleans())
def test_values_survive_the_command_line(r: int, lr: float, rslora: bool) -> None:
    words = [f"r={r}", f"lr={lr!r}", f"rslora={str(rslora).lower()}"]
    config = load_preset("small-llama-protocols", dict(map(parse_override, words))).tuning
    assert isinstance(config, QLoraConfig)
    assert (config.r, config.lr, config.rslora) == (r, lr, rslora)
