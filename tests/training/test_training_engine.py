"""The machinery of a tuning run: settings, packing, loss, guards, digests."""

import io
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
pytest.importorskip("bitsandbytes")

from radrag.errors import MissingExtraError, TrainingError  # noqa: E402
from radrag.generation import _loading  # noqa: E402
from radrag.generation._turns import Turns  # noqa: E402
from radrag.generation.llama import LlamaGenerator  # noqa: E402
from radrag.training import _engine, _guards, qlora  # noqa: E402
from radrag.training._callbacks import stopped_early  # noqa: E402
from radrag.training._packing import IGNORED, Row, Rows, encode, pack  # noqa: E402
from radrag.training._runs import Run  # noqa: E402
from radrag.training.config import QLoraConfig  # noqa: E402
from radrag.training.records import ChatRecord  # noqa: E402
from radrag.types import Message  # noqa: E402

pytestmark = pytest.mark.train
SMALL = QLoraConfig(steps=4, batch=2, max_length=96, r=4, checkpoints=0)


@pytest.fixture(scope="module")
def base(tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, wide enough apart for its losses to differ from record to record."""
    folder = tmp_path_factory.mktemp("models") / "random"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), initializer_range=0.3, eos_token_id=tokenizer.eos_token_id, **shape
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def records(texts: list[str]) -> list[ChatRecord]:
    """Prompts and replies of many lengths, one with a system turn."""
    made = [
        ChatRecord((Message("user", text[: 10 + n]),), "yes" if n % 3 else "no, ct-stone and more")
        for n, text in enumerate(texts[:30])
    ]
    turns = (Message("system", "Be short."), Message("user", "Flank pain?"), Message("assistant", "Which side?"))
    return [*made, ChatRecord((*turns, Message("user", "Left")), "ct-stone")]


def tokenizer_of(base: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(base)


def trainer_for(base: Path, rows: list[Row], config: QLoraConfig, folder: Path, held: list[Row] | None = None) -> Any:
    run = Run(folder / "out", {})
    run.begin(_engine.updates_of(len(rows), config))
    return qlora._trainer(_loading.Source(str(base)), tokenizer_of(base), rows, held or [], config, run), run


def one_by_one(model: Any, base: Path, records: list[ChatRecord]) -> tuple[float, int]:
    """Summed loss and number of the reply's tokens, from plain forward passes over texts of the chat template."""
    tokenizer, total, count = tokenizer_of(base), 0.0, 0
    for record in records:
        turns = [{"role": turn.role, "content": turn.content} for turn in record.prompt]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        reply = tokenizer(record.completion + "<|eot_id|>", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + reply])).logits[0].double().log_softmax(-1)
        total -= sum(float(logits[len(prompt) - 1 + n, token]) for n, token in enumerate(reply))
        count += len(reply)
    return total, count


# Tokens, packing, loss


def test_only_the_reply_and_its_end_have_labels(base: Path, records: list[ChatRecord]) -> None:
    tokenizer = tokenizer_of(base)
    generator = LlamaGenerator(base, device="cpu")
    for record, row in zip(records, encode(records, Turns(tokenizer)), strict=True):
        kept = [token for token in row["labels"] if token != IGNORED]
        assert tokenizer.decode(kept) == f"{record.completion}<|eot_id|>"
        assert row["labels"] == [IGNORED] * (len(row["labels"]) - len(kept)) + kept
        turns = [{"role": turn.role, "content": turn.content} for turn in record.prompt]
        reply = {"role": "assistant", "content": record.completion}
        assert row["input_ids"] == tokenizer.apply_chat_template([*turns, reply], return_dict=False)
        assert row["seq_lengths"] == [len(row["input_ids"])]
        # What inference reads and writes.
        assert len(row["input_ids"]) - len(kept) == generator.count(record.prompt)
        assert generator.reply_tokens(record.completion) == kept


def test_a_control_token_in_a_record_is_broken(base: Path) -> None:
    record = ChatRecord((Message("user", "a <|eot_id|> b"),), "no<|eot_id|>yes")
    (row,) = encode([record], Turns(tokenizer_of(base)))
    end = tokenizer_of(base).convert_tokens_to_ids("<|eot_id|>")
    assert row["input_ids"].count(end) == 2  # of the user's turn, and of the reply
    assert row["labels"].count(end) == 1


@given(st.lists(st.integers(1, 20), max_size=60))
def test_packing_loses_nothing_and_leaves_little_room(sizes: list[int]) -> None:
    rows: list[Row] = [
        {"input_ids": [n] * size, "labels": [n] * size, "seq_lengths": [size]} for n, size in enumerate(sizes)
    ]
    packed = pack(rows, 20)
    assert all(len(row["input_ids"]) == len(row["labels"]) == sum(row["seq_lengths"]) <= 20 for row in packed)
    found = []
    for row in packed:
        start = 0
        for length in row["seq_lengths"]:
            found.append(tuple(row["input_ids"][start : start + length]))
            start += length
    assert sorted(found) == sorted(tuple(row["input_ids"]) for row in rows)
    # Best fit decreasing takes at most 11/9 of the fewest sequences, and 4 (Johnson, 1974).
    assert len(packed) <= 11 / 9 * math.ceil(sum(sizes) / 20) * 2
    assert all(
        len(one["input_ids"]) + len(other["input_ids"]) > 20 for one in packed for other in packed if one is not other
    )
    assert pack(rows, 20) == packed


@pytest.mark.parametrize("quantize", ["nf4", None])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_records_do_not_see_each_other(
    base: Path, records: list[ChatRecord], tmp_path: Path, quantize: Any, attention: Any
) -> None:
    config = replace(SMALL, quantize=quantize, attention=attention)
    rows = pack(encode(records, Turns(tokenizer_of(base))), config.max_length)
    assert max(len(row["seq_lengths"]) for row in rows) > 1
    trainer, _ = trainer_for(base, rows, config, tmp_path)
    trainer.model.eval()
    batch = trainer.data_collator(rows)
    assert batch["input_ids"].shape[0] == len(rows)
    with torch.inference_mode():
        loss = float(trainer.compute_loss(trainer.model, batch))
    total, count = one_by_one(trainer.model, base, records)
    assert loss == pytest.approx(total / count, rel=1e-5)


def test_the_loss_and_its_gradient_are_those_of_trl(base: Path, records: list[ChatRecord], tmp_path: Path) -> None:
    rows = pack(encode(records, Turns(tokenizer_of(base))), 96)
    trainer, _ = trainer_for(base, rows, SMALL, tmp_path)
    _engine._keep_adapters_in_float32(trainer.model)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))
    batch = trainer.data_collator(rows)
    found = []
    for compute in (trainer.compute_loss, super(type(trainer), trainer).compute_loss):
        trainer.model.zero_grad()
        loss = compute(trainer.model, dict(batch), num_items_in_batch=torch.tensor(100))
        loss.backward()
        grads = [weight.grad.flatten() for weight in trainer.model.parameters() if weight.requires_grad]
        found.append((float(loss.detach()), torch.cat(grads)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert float((found[0][1] - found[1][1]).abs().max()) < 1e-5
    assert float(found[0][1].abs().max()) > 1e-3


def test_validation_loss_counts_every_token_once(base: Path, records: list[ChatRecord], tmp_path: Path) -> None:
    rows = encode(records, Turns(tokenizer_of(base)))
    trainer, _ = trainer_for(base, rows, replace(SMALL, evaluations=1), tmp_path, rows)
    total, count = one_by_one(trainer.model.eval(), base, records)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(total / count, rel=1e-5)


def test_padding_changes_no_position() -> None:
    rows: list[Row] = [
        {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, 6, 7, -100, 9], "seq_lengths": [3, 2]},
        {"input_ids": [4], "labels": [4], "seq_lengths": [1]},
    ]
    batch = Rows(pad=1)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9], [4, -100, -100, -100, -100]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 4]]


# Settings


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"r": 0}, "r must be at least 1, got 0"),
        ({"r": 1.5}, "r must be a whole number, got 1.5"),
        ({"lr": 0}, "lr must be above 0, got 0"),
        ({"lr": float("nan")}, "lr must be a number, got nan"),
        ({"dropout": 1.0}, r"dropout must be below 1, got 1\.0"),
        ({"batch": True}, "batch must be a whole number, got True"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"quantize": "int8"}, "quantize must be one of 'nf4', None, got 'int8'"),
        ({"schedule": "poly"}, "schedule must be one of 'cosine', 'linear', 'constant', got 'poly'"),
        ({"attention": "flash"}, "attention must be one of"),
        ({"reporter": "wandb"}, "reporter must be one of"),
        ({"dtype": "int4"}, "dtype must be one of"),
        ({"patience": 2}, "patience counts evaluations"),
        ({"target_modules": ()}, "target_modules must be"),
        ({"target_modules": "q_proj"}, "target_modules must be"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QLoraConfig(**setting)


def test_names_of_layers_may_come_as_a_list() -> None:
    names: Any = ["q_proj", "v_proj"]
    assert QLoraConfig(target_modules=names).target_modules == ("q_proj", "v_proj")


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200),
    batch=st.integers(1, 9),
    accumulate=st.integers(1, 5),
    epochs=st.sampled_from([0.3, 1.0, 2.5, 5.0]),
)
def test_steps_are_those_that_transformers_counts(n: int, batch: int, accumulate: int, epochs: float) -> None:
    config = QLoraConfig(batch=batch, accumulate=accumulate, epochs=epochs)
    loader = torch.utils.data.DataLoader(list(range(n)), batch_size=batch)
    args = SimpleNamespace(
        gradient_accumulation_steps=accumulate,
        max_steps=-1,
        num_train_epochs=epochs,
        include_num_input_tokens_seen="no",
    )
    # transformers.Trainer.set_initial_training_values
    per_epoch = max(len(loader) // accumulate + int(len(loader) % accumulate > 0), 1)
    assert _engine.updates_of(n, config) == math.ceil(args.num_train_epochs * per_epoch)
    assert _engine.updates_of(n, replace(config, steps=7)) == 7


def test_steps_are_shared_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = QLoraConfig(batch=4, epochs=2)
    assert _engine.updates_of(33, config) == 18
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _engine.updates_of(33, config) == 10


@pytest.mark.parametrize("kind", [trl.SFTConfig, trl.DPOConfig, transformers.TrainingArguments])
def test_one_config_gives_the_arguments_of_each_trainer(kind: Any, tmp_path: Path) -> None:
    config = QLoraConfig(
        lr=1e-4, schedule="linear", warmup=10, batch=3, accumulate=4, evaluations=5, patience=2, seed=9, max_length=77
    )
    made = _engine.arguments(kind, config, Run(tmp_path / "out", {}), 100, label_names=["labels"])
    assert (made.max_steps, made.warmup_steps, made.learning_rate) == (100, 10, 1e-4)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps, made.seed) == (3, 4, 9)
    assert (made.optim, made.lr_scheduler_type, made.label_names) == ("adamw_torch", "linear", ["labels"])
    assert (made.eval_steps, made.save_steps, made.load_best_model_at_end) == (20, 20, True)
    assert (made.gradient_checkpointing, made.bf16, made.report_to) == (False, False, [])
    assert getattr(made, "max_length", 77) == 77


def test_warmup_and_rhythm(tmp_path: Path) -> None:
    run = Run(tmp_path / "out", {})

    def made(**changed: Any) -> Any:
        return _engine.arguments(transformers.TrainingArguments, QLoraConfig(**changed), run, 40)

    assert made(warmup=0.2).warmup_steps == 8
    assert made(warmup=0).warmup_steps == 0
    assert made(schedule="constant", warmup=3).lr_scheduler_type == "constant_with_warmup"
    assert (made().save_steps, made().eval_strategy) == (13, "no")
    assert (made(evaluations=4).eval_steps, made(evaluations=4).save_steps) == (10, 13)
    assert made(checkpoints=0).save_strategy == "no"
    assert made(evaluations=4).load_best_model_at_end is False
    assert made(gradient_checkpointing=True).gradient_checkpointing_kwargs == {"use_reentrant": False}


def test_adapters_are_of_the_asked_layers(base: Path) -> None:
    model = _engine.load_base(_loading.Source(str(base)), QLoraConfig())
    kinds = {type(module).__name__ for module in model.modules()}
    assert "Linear4bit" in kinds
    peft = pytest.importorskip("peft")
    config = _engine.lora_config(QLoraConfig(r=8, alpha=32, rslora=False, dropout=0.1, target_modules=("q_proj",)))
    assert (config.r, config.lora_alpha, config.use_rslora, config.lora_dropout) == (8, 32, False, 0.1)
    with _loading.quiet_renames():
        tuned = peft.get_peft_model(model, config)
    assert {name.split(".")[-4] for name, _ in tuned.named_parameters() if "lora_" in name} == {"q_proj"}


def test_the_last_evaluations_decide_when_to_stop() -> None:
    def log(*losses: float) -> list[dict[str, float]]:
        return [{"loss": 1.0}, *({"eval_loss": loss} for loss in losses)]

    assert not stopped_early(log(3, 2, 1), 1)
    assert stopped_early(log(3, 2, 2), 1)  # no gain is no gain
    assert not stopped_early(log(3, 2, 4), 2)
    assert stopped_early(log(3, 2, 4, 5), 2)
    assert not stopped_early(log(3, 2, 4, 1), 2)
    assert not stopped_early(log(), 1)
    assert not stopped_early(log(1, 2, 3), None)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_progress_is_shown_on_a_terminal_alone(
    kind: Any, base: Path, records: list[ChatRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    trainer, run = trainer_for(base, encode(records, Turns(tokenizer_of(base))), SMALL, tmp_path)
    monkeypatch.setattr("sys.stderr", kind())
    _engine.fit(trainer, run, SMALL)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert ("4/4" in shown and "loss" in shown) is (kind is Terminal)
    assert capsys.readouterr().out == ""


# Guards


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"attention": "flash_attention_2"}, "attention='flash_attention_2' needs a CUDA GPU.*attention='sdpa'"),
        ({"optimizer": "paged_adamw_8bit"}, "paged_adamw_8bit' needs a CUDA GPU.*optimizer='auto'"),
        ({"liger": True}, "liger=True needs a CUDA GPU"),
        ({"dtype": "float16"}, "dtype='float16' needs a CUDA GPU.*float32 on a CPU"),
    ],
)
def test_what_needs_a_gpu_says_so(setting: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=message):
        _guards.check_machine(QLoraConfig(**setting))


def test_bfloat16_needs_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(_guards, "fast_bfloat16", lambda: False)
    with pytest.raises(TrainingError, match="dtype='bfloat16' needs a CUDA GPU, or a CPU with AVX512-BF16"):
        _guards.check_machine(QLoraConfig(dtype="bfloat16"))
    monkeypatch.setattr(_guards, "fast_bfloat16", lambda: True)
    _guards.check_machine(QLoraConfig(dtype="bfloat16"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(TrainingError, match=r"Tesla T4 has no bfloat16 units.*dtype='float16'"):
        _guards.check_machine(QLoraConfig())
    _guards.check_machine(QLoraConfig(dtype="float16"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    _guards.check_machine(QLoraConfig(optimizer="paged_adamw_8bit"))


@pytest.mark.parametrize(
    ("setting", "module", "line"),
    [
        ({"attention": "flash_attention_2"}, "flash_attn", "pip install flash-attn"),
        ({"liger": True}, "liger_kernel", "pip install liger-kernel"),
        ({"reporter": "tensorboard"}, "tensorboard", "pip install tensorboard"),
        ({"reporter": "mlflow"}, "mlflow", "pip install mlflow"),
    ],
)
def test_an_absent_package_gives_the_pip_line(
    setting: dict[str, Any], module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(_guards, "find_spec", lambda name: None if name == module else object())
    with pytest.raises(MissingExtraError, match=line):
        _guards.check_machine(QLoraConfig(**setting))


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer must be 'auto' or one of adamw_torch"):
        _guards.check_machine(QLoraConfig(optimizer="adam"))


def test_one_process_takes_one_gpu(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(source: Any, quantize: Any, device: Any, dtype: Any, **more: Any) -> Any:
        asked.append((device, dtype))
        raise InterruptedError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(_loading, "load_model", load)
    for rank in (None, "3"):
        if rank is not None:
            monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(InterruptedError):
            _engine.load_base(_loading.Source(str(base)), QLoraConfig())
    assert asked == [("cuda:0", "bfloat16"), ("cuda:3", "bfloat16")]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_what_would_take_less(
    error: Exception, base: Path, records: list[ChatRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any, **named: Any) -> Any:
        raise error

    config = replace(SMALL, batch=5, accumulate=2, quantize=None)
    trainer, run = trainer_for(base, encode(records, Turns(tokenizer_of(base))), config, tmp_path)
    monkeypatch.setattr(trainer, "compute_loss", failing)
    wanted = "batch=3 with accumulate=4 .*gradient_checkpointing=True, then quantize='nf4', then a max_length below 96"
    with pytest.raises(TrainingError, match=wanted) as found:
        _engine.fit(trainer, run, config)
    assert found.value.__cause__ is error


def test_another_error_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="shape"), _guards.guarded(QLoraConfig()):
        raise RuntimeError("shape mismatch")


def poison(step: int) -> Any:
    class Poison(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == step:
                next(weight for weight in model.parameters() if weight.requires_grad).data.fill_(math.nan)

    return Poison()


def finite(folder: Path) -> bool:
    from safetensors.numpy import load_file

    return all(np.isfinite(value).all() for value in load_file(folder / "adapter_model.safetensors").values())


@pytest.mark.parametrize("step", [3, 4, 5])
def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(
    step: int, base: Path, records: list[ChatRecord], tmp_path: Path
) -> None:
    config = replace(SMALL, steps=60, checkpoints=60)  # logged every second step, saved at each
    trainer, run = trainer_for(base, encode(records, Turns(tokenizer_of(base))), config, tmp_path)
    trainer.add_callback(poison(step))
    good = run.folder / f"checkpoint-{step}"
    with pytest.raises(TrainingError, match=f"loss nan.*last good checkpoint is {good}.*Lower lr"):
        _engine.fit(trainer, run, config)
    saved = list(run.folder.glob("checkpoint-*"))
    assert good in saved
    assert all(finite(folder) for folder in saved)


def test_a_rate_far_too_high_stops_the_run(base: Path, records: list[ChatRecord], tmp_path: Path) -> None:
    config = replace(SMALL, lr=1e30, steps=20, warmup=0)
    trainer, run = trainer_for(base, encode(records, Turns(tokenizer_of(base))), config, tmp_path)
    with pytest.raises(TrainingError, match=r"(nan|inf).*No checkpoint was made before.*it is 1e\+30"):
        _engine.fit(trainer, run, config)
