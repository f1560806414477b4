"""An 8B Llama on one CUDA GPU: tuning by the presets, writing and scoring, each against the plain way to do it.

Tuning: one pass over the shipped records of a preset. "radrag" is the preset as ``train_qlora`` runs it; "plain trl" is
``SFTTrainer`` with ``SFTConfig()`` as it comes (8 padded records a batch, activations computed twice) on the same base
in NF4, with the same adapter, learning rate and longest record; "LoRA, bf16" is radrag with ``quantize=None``. Tokens
are those of records, never padding, and are counted after a few batches of warm-up. The peak is what torch's allocator
reached in training, the base included, and what a paged optimiser holds outside of it; GB are 10^9 bytes.

Writing: many chats at once against one by one. Scoring: the ids of all protocols as replies, prompt computed once,
against every prompt and id computed whole.

Without ``--model`` the base has the preset's shape, random weights made on the device, and the tokenizer that ships:
speed and memory depend on shapes alone. Two such bases are written to ``--folder`` one after the other, 16 GB each.
Every cell runs in a process of its own. Without a GPU nothing is measured; ``--quick`` then shows that all of it runs.

    python tests/benchmarks/qlora_gpu.py [--model NAME] [--presets NAME ...] [--folder FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

from common import arguments, report

_PRESETS = ("pubmedqa-llama31", "report-llama3", "protocol-labels")
_ASKED = {("pubmedqa-llama31", "radrag"): "at most 16 GB, at least 1.5 x plain trl"}
_TINY = {"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate": 128, "vocabulary": 4096, "tied": False}
_TOKENS = 131_072  # trained on in a cell
_CONTEXT = 8192


def main() -> None:
    """Run the cells and print the tables."""
    import torch

    parser = arguments(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", help="a base for all presets: folder, or name on the hub")
    parser.add_argument("--presets", nargs="*", default=_PRESETS, choices=_PRESETS)
    parser.add_argument("--folder", type=Path, help="where random weights are written; else the temporary folder")
    args = parser.parse_args()
    cuda = torch.cuda.is_available()
    if not cuda and not args.quick:
        print("torch sees no CUDA GPU here, so nothing was measured; --quick runs all of it on a tiny model.")
        return
    where = torch.cuda.get_device_name() if cuda else "a CPU"
    where += ", a tiny random model: NO FIGURES, only that it runs" if args.quick else ""
    where += "" if args.quick else f", {args.model or 'random weights'}"
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        _tables(args, Path(folder), where)


def _tables(args: argparse.Namespace, folder: Path, where: str) -> None:
    tuned: list[list[Any]] = []
    for number, name in enumerate(args.presets):
        base = args.model or _base(name, folder, quick=args.quick)
        given = {"base": str(base), "quick": args.quick, "out": str(folder / "run")}
        tuned += _tuning(name, given)
        columns = ["preset", "way", "tokens", "tokens a second", "x plain trl", "peak, GB", "asked"]
        report(f"Tuning on {where}", columns, tuned, args)
        if not number:
            report(f"Writing on {where}", *_writing(given), args)
            report(f"Scoring on {where}", *_scoring(given), args)


def _base(preset: str, folder: Path, *, quick: bool) -> Path:
    """Write random weights of a preset's shape, in the place of those of another shape."""
    from dataclasses import asdict

    from radrag.training.presets import load_preset

    shape = _TINY if quick else asdict(load_preset(preset).shape)  # type: ignore[arg-type]
    base = folder / "-".join(str(shape[key]) for key in ("hidden", "layers", "intermediate", "vocabulary"))
    if not base.is_dir():
        for other in folder.iterdir():
            shutil.rmtree(other)
        cell("make", {"folder": str(base), "shape": shape})
    return base


def _tuning(preset: str, given: dict[str, Any]) -> list[list[Any]]:
    made = {way: cell("tune", {**given, "preset": preset, "way": way}) for way in WAYS}
    plain = made["plain trl"].get("speed")
    rows = []
    for way, one in made.items():
        if "error" in one:
            rows.append([preset, way, "", one["error"], "", "", _ASKED.get((preset, way), "")])
            continue
        ratio = round(one["speed"] / plain, 2) if plain else "no figure"
        shown = [one["tokens"], round(one["speed"]), ratio, round(one["peak"] / 1e9, 2)]
        rows.append([preset, way, *shown, _ASKED.get((preset, way), "")])
    return rows


def _writing(given: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    made = cell("write", given)
    if "error" in made:
        return ["error"], [[made["error"]]]
    alone = made["one by one"]["speed"]
    rows = [
        [way, one["chats"], one["tokens"], round(one["speed"], 1), round(one["speed"] / alone, 2), one["peak"] / 1e9]
        for way, one in made.items()
    ]
    return ["way", "chats", "tokens written", "tokens a second", "x one by one", "peak, GB"], rows


def _scoring(given: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    rows: list[list[Any]] = []
    for prompt in ("note alone", "note and list of labels"):
        made = {way: cell("score", {**given, "prompt": prompt, "way": way}) for way in ("shared prefix", "naive")}
        if any("error" in one for one in made.values()):
            rows += [[prompt, way, "", one.get("error", ""), "", "", ""] for way, one in made.items()]
            continue
        ours, plain = (made[way]["scores"] for way in made)
        off = max(abs(a - b) for left, right in zip(ours, plain, strict=True) for a, b in zip(left, right, strict=True))
        for way, one in made.items():
            ratio = round(made["naive"]["seconds"] / one["seconds"], 2)
            size = f"{len(one['scores'])} notes, {len(one['scores'][0])} ids"
            rows.append([prompt, way, size, round(one["seconds"], 3), ratio, one["peak"] / 1e9, off])
    columns = ["prompt", "way", "scored", "seconds", "x naive", "peak, GB", "greatest difference of a log-probability"]
    return columns, rows


def cell(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Do a task in a process of its own; what does not fit into memory is a result, anything else an end."""
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "cell", json.dumps({"task": task, **given})]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    if "emory ran out" in done.stderr or "OutOfMemoryError" in done.stderr:
        return {"error": "out of memory"}
    sys.exit(f"{task} {given}:\n{done.stderr[-3000:]}")


def make(given: dict[str, Any]) -> dict[str, Any]:
    """Write a Llama with random weights, made on the device in bfloat16, and the tokenizer that ships."""
    import torch
    import transformers

    from radrag.generation._loading import Source, load_tokenizer

    tokenizer, shape = load_tokenizer(Source("small-llama")), given["shape"]
    config = transformers.LlamaConfig(
        vocab_size=max(shape["vocabulary"], len(tokenizer)),
        hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=shape["tied"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(given["folder"], max_shard_size="4GB")
    tokenizer.save_pretrained(given["folder"])
    return {"parameters": model.num_parameters()}


def tune(given: dict[str, Any]) -> dict[str, Any]:
    """Train one way over one pass of a preset's records; return tokens, tokens a second and the peak in bytes."""
    import torch
    from qlora_gpu_ways import Clock, paged_bytes

    from radrag.generation import _loading
    from radrag.training import load_preset
    from radrag.training._peak import Peak

    cuda, quick = torch.cuda.is_available(), given["quick"]
    off = {"valid_share": 0.0, "evaluations": 0, "patience": None, "checkpoints": 0, "epochs": 1.0, "steps": None}
    config = replace(load_preset(given["preset"]).tuning, **off)
    config = replace(config, max_length=min(config.max_length, 768)) if quick else config
    config = config if cuda else replace(config, optimizer="auto", dtype=None)
    source = _loading.Source(given["base"])
    tokenizer = _loading.load_tokenizer(source)
    records, rows = drawn(given["preset"], tokenizer, config.max_length, 6_000 if quick else _TOKENS)
    used = {token for row in rows for token in row["input_ids"]}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokenizer.pad_token = next(token for token, number in vocabulary if number not in used)  # so padding can be told
    import qlora_gpu_ways

    trainer, train = getattr(qlora_gpu_ways, WAYS[given["way"]])(source, tokenizer, records, rows, config, given["out"])
    clock = Clock(trainer, tokenizer.pad_token_id, warm=1 if quick else 4)
    with Peak() as peak, _loading.quiet_renames():
        train()
        seconds = clock.seconds()
    return {"tokens": clock.tokens, "speed": clock.tokens / seconds, "peak": peak.bytes + paged_bytes(trainer)}


def drawn(preset: str, tokenizer: Any, longest: int, tokens: int) -> tuple[list[Any], list[Any]]:
    """Return shipped records of a preset's kind, again and again up to a number of tokens; and their tokens."""
    from radrag.generation._turns import Turns
    from radrag.training import load_preset
    from radrag.training._packing import encode
    from radrag.training._sources import load_records

    chosen = load_preset(preset)
    known = load_records(chosen.data, "shipped", chosen.format)[0][:2000]
    rows = encode(known, Turns(tokenizer))
    fitting = [pair for pair in zip(known, rows, strict=True) if len(pair[1]["input_ids"]) <= longest]
    made: list[Any] = []
    for pair in cycle(fitting):
        made.append(pair)
        tokens -= len(pair[1]["input_ids"])
        if tokens <= 0:
            break
    return [record for record, _ in made], [row for _, row in made]


def write(given: dict[str, Any]) -> dict[str, Any]:
    """Write replies to many chats, at once and one by one."""
    import radrag as rr
    from radrag.training._peak import Peak
    from radrag.training._sources import load_records

    size, room = (4, 8) if given["quick"] else (32, 64)
    chats = [record.prompt for record in load_records("answers", "shipped")[0][:size]]
    llama = rr.LlamaGenerator(given["base"], quantize="nf4", batch_size=size)
    params = rr.GenerationParams(max_new_tokens=room)
    llama.generate(chats[:2], rr.GenerationParams(max_new_tokens=4))
    made = {}
    for way, at_once in ((f"{size} at once", size), ("one by one", 1)):
        llama.batch_size = at_once
        with Peak() as peak:
            started = time.perf_counter()
            replies = llama.generate(chats, params)
            seconds = time.perf_counter() - started
        tokens = sum(reply.new_tokens for reply in replies)
        made[way] = {"chats": size, "tokens": tokens, "speed": tokens / seconds, "peak": peak.bytes}
    return made


def score(given: dict[str, Any]) -> dict[str, Any]:
    """Score the ids of the protocols as replies to some notes."""
    from qlora_gpu_ways import naive_scores

    import radrag as rr
    from radrag.generation.prompts import label_chat
    from radrag.training._peak import Peak

    listed, quick = given["prompt"] != "note alone", given["quick"]
    labels = tuple(rr.LabelSet.from_protocols(rr.load_protocols()))[: 6 if quick else None]
    notes = rr.load_notes("train")[: 2 if listed or quick else 16]
    chats = [label_chat(note.text, labels if listed else None) for note in notes]
    ids = [label.id for label in labels]
    llama = rr.LlamaGenerator(given["base"], quantize="nf4", batch_size=8)
    run = llama.score if given["way"] == "shared prefix" else lambda chats, ids: naive_scores(llama, chats, ids)
    run(chats[:1], ids[:2])
    with Peak() as peak:
        started = time.perf_counter()
        scores = run(chats, ids)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "scores": scores.tolist(), "peak": peak.bytes}


WAYS = {"radrag": "radrag", "plain trl": "plain_trl", "LoRA, bf16": "unquantised"}
TASKS = {"make": make, "tune": tune, "write": write, "score": score}

if __name__ == "__main__":
    if sys.argv[1:2] == ["cell"]:
        asked = json.loads(sys.argv[2])
        print(json.dumps(TASKS[asked.pop("task")](asked)))
    else:
        main()
