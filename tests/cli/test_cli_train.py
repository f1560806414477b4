from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

from radrag.cli import app
from radrag.corpora import load_notes
from radrag.indexes.encoders import STATIC
from radrag.training.presets import preset_names
from radrag.training.tokenizer import train_tokenizer

pytestmark = pytest.mark.train
QUICK = ("--set", "steps=2", "--set", "optimizer=adamw_torch", "--set", "evaluations=0", "--set", "checkpoints=0",
         "--set", "batch=1", "--set", "r=4", "--json")  # fmt: skip
ROOM = ("--set", "max_length=2000")  # bytes are tokens to so small a tokenizer


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code != 0
    return str(result.exception) + result.output


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base of two layers, and a file of each kind of data."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("train")
    train_tokenizer([note.text for note in load_notes("train")[:100]], folder / "words", vocab_size=300, context=4096)
    words = AutoTokenizer.from_pretrained(folder / "words")
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    words.save_pretrained(folder / "base")
    notes = [("flank pain", "ct-stone"), ("deafness", "mr-iac")] * 10
    lines(folder / "labels.jsonl", ({"text": f"{text} {n}", "label": label} for n, (text, label) in enumerate(notes)))
    asked = (
        {"pmid": str(n), "question": f"Does {n} help?", "contexts": [f"{n} helps."], "answer": "yes"} for n in range(9)
    )
    lines(folder / "answers.jsonl", asked)
    reports = ({"id": str(n), "findings": f"Clear lungs {n}.", "impression": f"Normal {n}."} for n in range(9))
    lines(folder / "reports.jsonl", reports)
    lines(folder / "texts.jsonl", ({"id": str(n), "title": "", "text": f"Stones hurt. {n} " * 30} for n in range(9)))
    return folder


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_runs(name: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    if name == "small-llama":
        shape = ("hidden=64", "layers=2", "heads=2", "intermediate=64", "vocab_size=300", "sequence=64", "context=128",
                 "batch=2", "steps=2")  # fmt: skip
        settings = [word for one in shape for word in ("--set", one)]
        made = json.loads(run("train", name, "--data", folder / "texts.jsonl", "--out", out, *settings, "--json"))
        assert (made["steps"], (out / "model.safetensors").is_file()) == (2, True)
        return
    kind = {"protocol-labels": "labels", "clinical-two-step": "labels", "small-llama-protocols": "labels"}.get(name)
    kind = kind or ("reports" if name == "report-llama3" else "answers")
    files = ("--data", folder / f"{kind}.jsonl", "--texts", folder / "texts.jsonl", "--out", out)
    made = json.loads(run("train", name, "--base", folder / "base", *files, *QUICK, *ROOM))
    record = json.loads((out / "radrag.json").read_text(encoding="utf-8"))
    assert (out / "adapter_model.safetensors").is_file()
    tuned = made.get("tuned", made)
    assert tuned["steps"] == 2
    assert record["kind"] == "adapter"
    assert made["memory_estimated"] > 0


def test_alpaca_words_are_what_the_report_preset_shows(folder: Path) -> None:
    from radrag.training._sources import load_records

    record = load_records("reports", folder / "reports.jsonl", "alpaca")[0][0]
    assert "### Instruction:" in record.prompt[0].content
    assert record.completion == "Clear lungs 0."


def test_a_plan_trains_nothing(folder: Path, tmp_path: Path) -> None:
    at = ("--base", folder / "base", "--data", folder / "labels.jsonl", "--out", tmp_path / "made", *ROOM)
    text = run("train", "protocol-labels", "--plan", *at)
    assert "trainable parameters" in text
    assert "2 labels: ct-stone 9, mr-iac 9" in text
    assert "--set optimizer=adamw_torch" in text
    assert not list(tmp_path.iterdir())
    table = json.loads(run("train", "protocol-labels", "--plan", "--json", *at))
    assert table["data"]["n"] == 18
    assert table["stages"][0]["steps"] == 15  # 18 of 20 notes, batches of 4, 3 epochs
    assert table["stages"][0]["trainable"] == 2 * 64 * ((64 + 64) + (64 + 32))
    known = json.loads(run("train", "pubmedqa-llama31", "--plan", "--json", "--data", folder / "answers.jsonl"))
    assert known["stages"][0]["trainable"] == 41_943_040


def test_settings_come_from_file_flag_and_words(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("lr = 0.5\nr = 3\nseed = 1\n", encoding="utf-8")
    at = ("--base", folder / "base", "--data", folder / "labels.jsonl", "--plan", "--json", *ROOM)
    words = ("--config", file, "--set", "r=5", "--seed", 7, "--report-to", "tensorboard")
    config = json.loads(run("train", "small-llama-protocols", *at, *words))["stages"][0]["config"]
    assert (config["lr"], config["r"], config["seed"], config["reporter"]) == (0.5, 5, 7, "tensorboard")


def test_a_preset_file_is_a_verb(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    at = ("--base", folder / "base", "--data", folder / "labels.jsonl")
    file.write_text('title = "Mine"\nsource = ["me"]\nmethod = "qlora"\ndata = "labels"\n[config]\nr = 2\n')
    assert json.loads(run("train", file, *at, "--plan", "--json"))["stages"][0]["config"]["r"] == 2


@pytest.mark.parametrize(("method", "kind"), [("classification", "labels"), ("dpo", "pairs")])
def test_a_preset_file_may_be_of_any_method(method: str, kind: str, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'title = "Mine"\nsource = ["me"]\nmethod = "{method}"\ndata = "labels"\n[config]\nr = 2\n')
    lines(tmp_path / "pairs.jsonl", ({"prompt": f"? {n}", "chosen": "a", "rejected": "b"} for n in range(4)))
    data = folder / "labels.jsonl" if kind == "labels" else tmp_path / "pairs.jsonl"
    table = json.loads(run("train", file, "--base", folder / "base", "--data", data, "--plan", "--json"))
    assert (table["method"], table["stages"][0]["config"]["r"]) == (method, 2)
    extra = 2 * 64 if method == "classification" else 0
    assert (table["stages"][0]["trainable"] - extra) % (2 * 2) == 0


def test_held_out_data_can_be_named(folder: Path, tmp_path: Path) -> None:
    valid = lines(tmp_path / "valid.jsonl", [{"text": "colic", "label": "ct-stone"}] * 1)
    at = ("--base", folder / "base", "--data", folder / "labels.jsonl", "--valid", valid, "--out", tmp_path / "made")
    made = json.loads(run("train", "small-llama-protocols", *at, *QUICK, *ROOM))
    assert made["statistics"]["n"] == 20 * 4  # as they are, worn twice, and with what is found
    assert made["valid_loss"] > 0


def test_chats_are_read_for_every_kind(folder: Path, tmp_path: Path) -> None:
    chats = lines(tmp_path / "chats.jsonl", ({"prompt": f"Note {n}", "completion": "ct-stone"} for n in range(4)))
    at = ("--base", folder / "base", "--data", chats, "--plan", "--json", "--set", "valid_share=0.0")
    assert json.loads(run("train", "small-llama-protocols", *at))["data"]["n"] == 4


@pytest.mark.filterwarnings("ignore:Could not find a config file")  # peft looks for the base by its recorded name
def test_verbs_beside_the_presets(folder: Path, tmp_path: Path) -> None:
    base, adapter = folder / "base", tmp_path / "adapter"
    at = ("--base", base, "--data", folder / "labels.jsonl", "--out", adapter)
    run("train", "small-llama-protocols", *at, *QUICK, *ROOM)
    merged = json.loads(run("train", "merge", base, adapter, "--out", tmp_path / "merged", "--json"))
    assert merged["difference"] <= merged["tolerance"]
    rows = [{"note": f"flank pain {n}", "suggested": "mr-iac", "right": "ct-stone", "id": str(n)} for n in range(6)]
    corrections = lines(tmp_path / "corrections.jsonl", rows)
    tuned = ("--base", base, "--adapter", adapter, "--out", tmp_path / "dpo")
    made = json.loads(run("train", "dpo", corrections, *tuned, *QUICK, *ROOM))
    assert made["train"] + made["held"] == 6
    texts = [
        {"text": f"{word} {n}", "label": int(word == "ill"), "group": str(n)}
        for n in range(8)
        for word in ("ill", "well")
    ]
    data = lines(tmp_path / "outcomes.jsonl", texts)
    made = json.loads(run("train", "classifier", "--base", base, "--data", data, "--out", tmp_path / "head", *QUICK))
    assert (made["kind"], made["train"] + made["held"]) == ("binary", 16)
    run("train", "tokenizer", "--data", folder / "texts.jsonl", "--out", tmp_path / "words", "--vocab-size", 300)
    assert (tmp_path / "words" / "tokenizer.json").is_file()
    assert json.loads(run("train", "base", "--plan", "--json", "--set", "steps=3"))["stages"][0]["steps"] == 3


@pytest.mark.parametrize("words", [(), ("--whole", "--pairs", "pairs.jsonl")])
def test_a_static_encoder_is_only_tuned(words: tuple[str, ...], tmp_path: Path) -> None:
    at = ["train", "encoder", "--from", str(STATIC), "--out", str(tmp_path / "out"), *words]
    made = CliRunner().invoke(app, at, env={"COLUMNS": "300"})
    assert made.exit_code == 2
    assert "is a static model, which can only be tuned: give --pairs, not --whole" in made.output
    assert not (tmp_path / "out").exists()


def test_a_tuned_encoder_tells_its_pairs_and_what_they_changed(tmp_path: Path) -> None:
    data = lines(tmp_path / "pairs.jsonl", ({"query": f"liver {n}", "passage": f"violin {n}"} for n in range(4)))
    at = ("train", "encoder", "--from", STATIC, "--pairs", data, "--out", tmp_path / "out")
    assert "4 pairs, 4 a step; 0 of " in run(*at, "--epochs", 1)
    assert "batch must be at least 2 pairs, got 1" in refused(*at, "--batch", 1)


def test_outcomes_of_several_kinds(tmp_path: Path) -> None:
    from radrag.training._sources import load_outcomes

    rows = [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []}]
    kind, names, texts, targets, groups = load_outcomes(lines(tmp_path / "m.jsonl", rows))
    assert (kind, names, texts, targets, groups) == ("multilabel", ("x", "y"), ["a", "b"], [[1, 1], [0, 0]], None)
    rows = [{"text": "a", "label": "x", "group": "g"}, {"text": "b", "label": "y", "group": "h"}]
    assert load_outcomes(lines(tmp_path / "s.jsonl", rows)) == (
        "single",
        ("x", "y"),
        ["a", "b"],
        ["x", "y"],
        ["g", "h"],
    )
    with pytest.raises(ValueError, match="a label that is a name, or 0 or 1"):
        load_outcomes(lines(tmp_path / "w.jsonl", [{"text": "a", "label": 2}]))
    assert load_outcomes("shipped")[0] == "multilabel"


def test_pairs_in_words_and_turns(tmp_path: Path) -> None:
    from radrag.training._sources import load_pairs

    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    rows = [
        {"prompt": turns, "chosen": "So.", "rejected": "No.", "group": "7"},
        {"prompt": "Hm?", "chosen": "a", "rejected": "b"},
    ]
    one, two = load_pairs(lines(tmp_path / "p.jsonl", rows))
    assert [turn.role for turn in one.prompt] == ["system", "user"]
    assert (one.groups, two.prompt[0].content) == (("patient:7",), "Hm?")
    with pytest.raises(ValueError, match="expected a text, or turns"):
        load_pairs(
            lines(tmp_path / "q.jsonl", [{"prompt": [{"role": "x", "content": "y"}], "chosen": "a", "rejected": "b"}])
        )


def test_wrong_words_are_refused(folder: Path, tmp_path: Path) -> None:
    at = ("--base", folder / "base", "--data", folder / "labels.jsonl", "--plan")
    assert "did you mean lr" in refused("train", "protocol-labels", "--set", "lrr=1", *at)
    assert "key=value" in refused("train", "protocol-labels", "--set", "lr", *at)
    assert "there is no such file" in refused("train", "protocol-labels", "--data", tmp_path / "none.jsonl")
    assert "no instructions ship" in refused("train", "protocol-labels", "--set", "data=instructions")
    assert "needs a CUDA GPU" in refused("train", "protocol-labels", *at[:-1], *ROOM, "--out", tmp_path / "x")
    assert "No such command" in refused("train", "protocol-lables")
    assert "--adapter goes with" in refused("train", "clinical-two-step", "--adapter", "x", "--plan")


def test_presets_are_listed_and_explained() -> None:
    listed = json.loads(run("train", "presets", "--json"))
    assert [one["name"] for one in listed] == list(preset_names())
    assert "arXiv 2307.03042" in run("train", "presets")
    text = run("train", "--help")
    for name in (*preset_names(), "merge", "dpo", "classifier", "tokenizer", "base", "encoder", "reranker"):
        assert name in text
        assert "--" in run("train", name, "--help")


@pytest.mark.slow
def test_accelerate_launches_it(folder: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "-m", "radrag"]
    at = ["train", "small-llama-protocols", "--base", folder / "base", "--data", folder / "labels.jsonl"]
    words = [*at, "--out", tmp_path / "made", *QUICK, *ROOM]
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run([*launch, *map(str, words)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["steps"] == 2
