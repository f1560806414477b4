"""Is the memory that `radrag train NAME --plan` states the memory that training then takes?

For random-weight Llamas of several shapes and settings, `train_qlora` runs a few steps in a fresh process, and the
highest resident size from the first step on, above the level after the imports, is set against the estimate. On CUDA
the allocator's own highest mark is read instead.

    python tests/benchmarks/plan_memory.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, report

_STEPS = 3
_SOME = ("q_proj", "v_proj")
_OVERHEAD = 24  # tokens of the chat template, and some to spare
# Large blocks go straight back to the system, so that the resident size follows what is in use.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "1"}
_SHAPES = {
    "512 x 8": {"hidden": 512, "layers": 8, "heads": 8, "kv_heads": 4, "intermediate": 1408, "vocabulary": 8192},
    "768 x 10": {"hidden": 768, "layers": 10, "heads": 12, "kv_heads": 12, "intermediate": 2048, "vocabulary": 16384},
    "1024 x 8": {"hidden": 1024, "layers": 8, "heads": 16, "kv_heads": 4, "intermediate": 2816, "vocabulary": 32000},
}
_ALL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("512 x 8", {"quantize": None, "max_length": 1024, "batch": 1}),
    ("512 x 8", {"quantize": None, "max_length": 2048, "batch": 1}),
    ("512 x 8", {"quantize": None, "max_length": 512, "batch": 4, "packing": False}),
    ("512 x 8", {"quantize": None, "max_length": 1024, "batch": 1, "dropout": 0.1, "target_modules": _SOME}),
    ("512 x 8", {"quantize": "nf4", "max_length": 1024, "batch": 2}),
    ("512 x 8", {"quantize": "nf4", "max_length": 2048, "batch": 1, "gradient_checkpointing": True, "r": 64}),
    ("768 x 10", {"quantize": None, "max_length": 512, "batch": 2}),
    ("768 x 10", {"quantize": "nf4", "max_length": 2048, "batch": 2, "gradient_checkpointing": True}),
    ("768 x 10", {"quantize": None, "max_length": 1024, "batch": 1, "attention": "eager"}),
    ("1024 x 8", {"quantize": "nf4", "max_length": 512, "batch": 2}),
    ("1024 x 8", {"quantize": None, "max_length": 1024, "batch": 1, "gradient_checkpointing": True}),
    ("1024 x 8", {"quantize": "nf4", "max_length": 1024, "batch": 2, "gradient_checkpointing": True}),
)
_QUICK: tuple[str, dict[str, Any]] = ("512 x 8", {"quantize": "nf4", "max_length": 256, "batch": 1})


def main() -> None:
    """Measure and compare."""
    args = arguments(__doc__ or "").parse_args()
    rows = []
    for name, settings in (_QUICK,) if args.quick else _ALL:
        estimated, measured = compare(_SHAPES[name], settings)
        stated = ", ".join(f"{key} {value}" for key, value in settings.items())
        rows.append((name, stated, estimated / 2**20, measured / 2**20, estimated / measured))
        report("Memory of a tuning run, MiB", ("shape", "settings", "estimate", "measured", "ratio"), rows, args)


def compare(shape: dict[str, Any], settings: dict[str, Any]) -> tuple[int, int]:
    """Return the estimated and the measured bytes of a run, each found in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for task in ("make", "train"):
            given = json.dumps({"task": task, "folder": folder, "shape": shape, "settings": settings})
            env = {**os.environ, **_MALLOC, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
            done = subprocess.run([sys.executable, __file__, "child", given], env=env, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
    return found["estimated"], found["measured"]


def child(given: dict[str, Any]) -> None:
    """Do one part of a comparison."""
    folder = Path(given["folder"])
    if given["task"] == "make":
        make(folder, given["shape"])
    else:
        print(json.dumps(train(folder, given["settings"])))


def make(folder: Path, shape: dict[str, Any]) -> None:
    """Write a random model of a shape, with a tokenizer of 1,000 tokens."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from radrag.corpora import load_notes
    from radrag.training.tokenizer import train_tokenizer

    texts = [note.text for note in load_notes("train")[:500]]
    tokenizer = train_tokenizer(texts, folder / "tokenizer", vocab_size=1000)
    fast = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(
        vocab_size=shape["vocabulary"],
        hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=4096,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "base")
    fast.save_pretrained(folder / "base")


def train(folder: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Train a few steps; return the estimated and the measured bytes."""
    import bitsandbytes  # noqa: F401 - imported now, so that it counts as before the run
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers.models.llama.modeling_llama  # noqa: F401
    import trl.trainer.sft_trainer  # noqa: F401
    from transformers import AutoTokenizer

    from radrag.training import qlora
    from radrag.training._memory import Load, total, tuning_parts
    from radrag.training._peak import Peak, forget
    from radrag.training._shapes import shape_of
    from radrag.training.config import QLoraConfig
    from radrag.training.statistics import describe

    base = str(folder / "base")
    cuda = torch.cuda.is_available()
    optimizer = "auto" if cuda else "adamw_torch"
    config = QLoraConfig(**{"steps": _STEPS, "valid_share": 0.0, "checkpoints": 0, "optimizer": optimizer, **settings})
    tokenizer = AutoTokenizer.from_pretrained(base)
    chats = records(config, tokenizer)
    found = describe(chats, tokenizer, config.max_length)
    share = found.completion.mean / found.whole.mean
    tokens = config.max_length if config.packing else found.whole.longest
    load = Load(config.batch, tokens, share, records=config.packing)
    parts = tuning_parts(shape_of(base), config, load, "cuda" if cuda else "cpu")
    fit = qlora.fit

    def fit_after_loading(*given: Any) -> Any:
        forget()
        return fit(*given)

    qlora.fit = fit_after_loading
    with Peak() as peak:
        qlora.train_qlora(base, chats, folder / "out", config)
    return {"estimated": total(parts), "measured": peak.bytes}


def records(config: Any, tokenizer: Any) -> list[Any]:
    """Return chats that fill the sequences of the steps: three to a packed sequence, the reply a tenth of each."""
    import random

    from radrag.corpora import load_notes
    from radrag.training.records import ChatRecord
    from radrag.types import Message

    ids = tokenizer(" ".join(note.text for note in load_notes("train")[:500]), add_special_tokens=False)["input_ids"]
    length = config.max_length // (3 if config.packing else 1) - _OVERHEAD
    draw = random.Random(0)
    chats = []
    for number in range((_STEPS + 1) * config.batch * (3 if config.packing else 1)):
        start = draw.randrange(len(ids) - length)
        cut = start + int(length * 0.9)
        text, reply = tokenizer.decode(ids[start:cut]), tokenizer.decode(ids[cut : start + length])
        chats.append(ChatRecord((Message("user", text),), reply.strip() or ".", id=str(number)))
    return chats


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(json.loads(sys.argv[2]))
    else:
        main()
