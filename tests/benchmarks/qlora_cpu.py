"""Speed of ``train_qlora`` against plain trl on the same base, adapter, records and learning rate.

Plain trl is ``SFTTrainer`` with ``SFTConfig()`` as it comes: batches of 8 padded records, activations computed twice,
bfloat16 autocast, a loss that projects every position. Changed are the learning rate, the maximal length, the seed,
the number of steps, and what writes files. ``trl fp32`` is the same without bfloat16, for CPUs that have no units for
it. All take two passes over the same records in about as many optimiser steps, so the loss on the records held out,
measured by the same plain code, can be compared.

Time is that of the processor spent in the training loop, by one thread, since a busy machine stretches the clock's.
Runs alternate and are repeated, each time with another seed; figures are medians with the least and the greatest, those
of speed of the ratios of pairs.

    python tests/benchmarks/qlora_cpu.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from common import arguments, report  # noqa: E402

from radrag.corpora import load_notes  # noqa: E402
from radrag.generation import _loading  # noqa: E402
from radrag.generation._turns import Turns  # noqa: E402
from radrag.training import _engine, qlora  # noqa: E402
from radrag.training._packing import encode, pack  # noqa: E402
from radrag.training._runs import Run  # noqa: E402
from radrag.training.config import QLoraConfig  # noqa: E402
from radrag.training.records import ChatRecord, label_records  # noqa: E402
from radrag.training.splits import grouped_split  # noqa: E402

BATCH = 8  # trl's default, in records
PASSES = 2
LENGTH = 224  # of a sequence; three of them hold some 8 notes, so that both take as many steps


class Result(NamedTuple):
    """One run: optimiser steps, processor time of the loop, loss per token of held-out replies."""

    steps: int
    seconds: float
    loss: float


def main() -> None:
    """Run both, in turns, and report."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--base", default="small-llama", help="name, folder, or HIDDENxLAYERS (random weights)")
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["radrag", "trl", "trl fp32"], help="which to run")
    args = parser.parse_args()
    if args.quick:
        args.records, args.repeats = 96, 1
    with tempfile.TemporaryDirectory() as folder:
        base = shaped(args.base, Path(folder)) if "x" in args.base and args.base[0].isdigit() else args.base
        source = _loading.Source(str(base), None, True)
        train, held = grouped_split(label_records(load_notes("train")[: args.records]), 0.1)
        tokens = PASSES * sum(len(row["input_ids"]) for row in encode(train, Turns(_loading.load_tokenizer(source))))
        runs: dict[str, list[Result]] = {name: [] for name in args.only}
        for repeat in range(args.repeats):
            for name in args.only:
                runs[name].append(RUNS[name](source, train, held, Path(folder) / f"{name}-{repeat}", seed=repeat))
    rows = [row(name, made, tokens, runs["radrag"]) for name, made in runs.items()]
    columns = ["run", "tokens", "steps", "CPU seconds", "tokens a second", "radrag is faster by", "loss on held-out"]
    report(f"QLoRA on one CPU thread, {args.base}", columns, rows, args)


def row(name: str, made: list[Result], tokens: int, ours: list[Result]) -> list[Any]:
    """Make the table's row of one way to train."""
    seconds = statistics.median(one.seconds for one in made)
    ratios = sorted(other.seconds / own.seconds for other, own in zip(made, ours, strict=True))
    spread = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] n={len(ratios)}"
    losses = sorted(one.loss for one in made)
    loss = f"{statistics.median(losses):.3f} [{losses[0]:.3f}, {losses[-1]:.3f}]"
    return [name, tokens, made[0].steps, round(seconds, 1), round(tokens / seconds), spread, loss]


def shaped(text: str, folder: Path) -> Path:
    """Write a Llama with random weights and the small Llama's tokenizer."""
    import torch
    import transformers

    hidden, layers = map(int, text.split("x"))
    tokenizer = _loading.load_tokenizer(_loading.Source("small-llama"))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder / text)
    tokenizer.save_pretrained(folder / text)
    return folder / text


def settings(n: int, seed: int) -> QLoraConfig:
    """Return settings with as many optimiser steps as trl takes over n records."""
    steps = round(PASSES * n / BATCH)
    fixed = {"lr": 1e-3, "max_length": LENGTH, "checkpoints": 0, "schedule": "linear", "warmup": 0}
    return QLoraConfig(steps=steps, seed=seed, **fixed)


def run_radrag(source: Any, train: list[ChatRecord], held: list[ChatRecord], out: Path, seed: int) -> Result:
    """Train with the trainer of ``train_qlora``, on as many tokens as trl, in about as many steps."""
    config, tokenizer = settings(len(train), seed), _loading.load_tokenizer(source)
    rows = pack(encode(train, Turns(tokenizer)), config.max_length)
    batch = max(1, round(PASSES * len(rows) / (config.steps or 1)))
    config = replace(config, batch=batch, steps=round(PASSES * len(rows) / batch))
    run = Run(out, {})
    run.begin(config.steps or 1)
    trainer = qlora._trainer(source, tokenizer, rows, [], config, run)
    started = time.process_time()
    _engine.fit(trainer, run, config)
    seconds = time.process_time() - started
    return Result(config.steps or 1, seconds, held_loss(trainer.model, encode(held, Turns(tokenizer))))


def chat_row(record: ChatRecord) -> dict[str, Any]:
    """Return a record as trl's prompt and completion."""
    prompt = [{"role": turn.role, "content": turn.content} for turn in record.prompt]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": record.completion}]}


def run_trl(source: Any, train: list[ChatRecord], held: list[ChatRecord], out: Path, seed: int, **given: Any) -> Result:
    """Train with plain trl."""
    import datasets
    import transformers
    import trl

    config, tokenizer = settings(len(train), seed), _loading.load_tokenizer(source)
    args = trl.SFTConfig(
        output_dir=str(out), max_steps=config.steps, learning_rate=config.lr, max_length=config.max_length,
        seed=config.seed, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False, **given,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=_loading.load_model(source, config.quantize, "cpu", None),
        args=args,
        train_dataset=datasets.Dataset.from_list([chat_row(record) for record in train]),
        processing_class=tokenizer,
        peft_config=_engine.lora_config(config),
    )
    if not args.bf16:
        _engine._keep_adapters_in_float32(trainer.model)
    trainer.remove_callback(transformers.PrinterCallback)
    started = time.process_time()
    with _loading.quiet_renames():
        trainer.train()
    seconds = time.process_time() - started
    return Result(config.steps or 1, seconds, held_loss(trainer.model, encode(held, Turns(tokenizer))))


def held_loss(model: Any, rows: list[dict[str, list[int]]]) -> float:
    """Mean loss per token of the replies, one record at a time, without any of the code that is compared."""
    import torch

    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for entry in rows:
            labels = torch.tensor(entry["labels"])[1:]
            logits = model(input_ids=torch.tensor([entry["input_ids"]])).logits[0, :-1].float()
            kept = labels != -100
            total += float(torch.nn.functional.cross_entropy(logits[kept], labels[kept], reduction="sum"))
            count += int(kept.sum())
    return total / count


RUNS = {
    "radrag": run_radrag,
    "trl": run_trl,
    "trl fp32": lambda *given, **named: run_trl(*given, **named, bf16=False),
}

if __name__ == "__main__":
    main()
