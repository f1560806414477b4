"""Merging an adapter into the full-precision base, written only if the merged model says what base and adapter say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.generation import _loading
from radrag.generation._turns import Turns
from radrag.training._files import package_versions, replaced_folder, write_json
from radrag.training._runs import is_main
from radrag.types import Chat, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A bfloat16 logit between 16 and 32 is rounded to 1/8, and two networks that differ in rounding differ by a few such.
TOLERANCES = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
_PROBES = (
    "CT abdomen and pelvis without contrast. History: left flank pain and haematuria, rule out stone.",
    "MRI internal auditory canals with and without contrast. History: 54 yo with sudden hearing loss on the right.",
    "Findings: no focal consolidation, pleural effusion or pneumothorax. The heart size is normal.",
    "Does vitamin D supplementation lower the risk of fracture in adults over 65?",
)
_CARD = """---
library_name: transformers
pipeline_tag: text-generation
base_model: {base}
---

# {name}: an adapter merged into its base

`{adapter}` merged into `{base}` by `radrag.training.merging`, in {dtype} and not into a quantised base. Terms, data and
limits are those of the base and of the adapter. **Not for clinical use.**

- **Base**: `{base}`, digest of its weights `{base_digest}`.
- **Adapter**: `{adapter}`, digest of its weights `{adapter_digest}`.
- **Agreement**, log-probability of each next token at {positions:,} positions of {probes} probes: the merged model
  differs from base and adapter by at most {difference:.2g} (tolerance {tolerance:g}). The adapter itself moves them by
  up to {effect:.2g}. Base in NF4 with the adapter: {nf4}.
"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge gave.

    All differences are in the log-probability (natural) of a next token, the largest over all positions of the probes.

    Attributes:
        folder: Where the merged model is.
        difference: Merged model, as loaded from the folder, against full-precision base and adapter.
        tolerance: The largest difference that was allowed.
        effect: Base without against base with the adapter: an agreement says little where this is not far above it.
        nf4_difference: Base in NF4 with the adapter against the same in full precision, None if it was not measured.
        positions: Positions compared.
        dtype: Numeric type of the weights that were merged and written.
    """

    folder: Path
    difference: float
    tolerance: float
    effect: float
    nf4_difference: float | None
    positions: int
    dtype: str


def merge(
    base: str | Path,
    adapter: str | Path,
    out: str | Path,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    probes: Sequence[Chat] | None = None,
    tolerance: float | None = None,
    nf4: bool | None = None,
    local_files_only: bool = False,
) -> Merged:
    """Merge an adapter into its base at full precision and check that nothing changed.

    One model is in memory at a time. The weights are written in parts of at most 4 GB, and ``out`` appears only once
    the model that was written has been loaded again and agrees.

    Args:
        base: Folder, shipped name or hub name of the base. It is never quantised here: what is merged into 4 bits is
            rounded again, and the adapter's effect with it.
        adapter: Folder or hub name of a LoRA adapter made for that base.
        out: Folder to write, replaced as a whole at the end.
        revision: Revision of the base on the hub.
        dtype: Name of the type to load, compute, merge and write in; None takes float32 on a CPU and bfloat16 on a GPU.
        probes: Chats to compare on, the reply included if there is one; None takes four short ones.
        tolerance: Largest allowed difference; None takes ``TOLERANCES[dtype]``.
        nf4: Whether to measure what NF4 changes too; None does so if bitsandbytes is installed.
        local_files_only: Whether to stay off the network.

    Raises:
        ModelError: If the merged model disagrees, or base and adapter cannot be loaded or do not belong together.
    """
    source = _loading.Source(str(base), revision, local_files_only)
    made = _loading.Source(str(adapter), None, local_files_only)
    _check_adapter(made)
    tokenizer = _loading.load_tokenizer(source)
    rows = _rows(tokenizer, probes)
    model = _loading.load_model(source, None, None, dtype)
    kind = str(model.dtype).removeprefix("torch.")
    allowed = TOLERANCES[kind] if tolerance is None else tolerance
    model = _loading.load_adapter(model, made, source).eval()
    adapted = next_token_logprobs(model, rows)
    with model.disable_adapter():
        effect = _largest(next_token_logprobs(model, rows), adapted)
    model = model.merge_and_unload(safe_merge=True)
    with replaced_folder(Path(out)) as staging:
        model.save_pretrained(staging, max_shard_size="4GB")
        tokenizer.save_pretrained(staging)
        del model
        written = _loading.load_model(_loading.Source(str(staging)), None, None, kind).eval()
        difference = _largest(next_token_logprobs(written, rows), adapted)
        del written
        if not difference <= allowed:
            raise ModelError(
                f"The merged model and {source.name} with {made.name} differ by {difference:.3g} in a log-probability "
                f"(allowed: {allowed:g}, dtype {kind}), so nothing was written. Merge in dtype='float32'; where that "
                "is done already, the adapter holds something that a merge cannot carry."
            )
        measure = find_spec("bitsandbytes") is not None if nf4 is None else nf4
        four = _largest(_nf4_logprobs(source, made, rows), adapted) if measure else None
        result = Merged(Path(out), difference, allowed, effect, four, len(adapted), kind)
        _describe(staging, result, source, made, len(rows))
    return result


def merge_once(base: _loading.Source, adapter: str | Path, folder: Path) -> Path:
    """Merge an adapter as a base for further training, unless the folder was made of the same weights already.

    Of several processes one merges, and the others wait for it.

    Args:
        base: The base.
        adapter: Folder of the adapter.
        folder: Folder to write or to keep.

    Returns:
        The folder.
    """
    made = _loading.Source(str(adapter), None, base.local_files_only)
    record = folder / "radrag.json"
    found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    asked = {"base": base, "adapter": made}
    same = found and all(
        found.get(name, {}).get("digest") == _loading.weights_digest(source.folder) for name, source in asked.items()
    )
    if not same and is_main():
        merge(base.name, adapter, folder, revision=base.revision, local_files_only=base.local_files_only)
    require("accelerate", extra="llama").PartialState().wait_for_everyone()
    return folder


def next_token_logprobs(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the log-probability of every token after the first of each row, one row after another.

    Args:
        model: A causal language model; one row at a time is run.
        rows: Token ids.

    Returns:
        Natural logarithms [sum of len(row) - 1].
    """
    torch = require("torch", extra="llama")
    parts = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row], device=model.device)
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, :-1]
            each = logits.float().log_softmax(-1).gather(-1, ids[0, 1:, None])
            parts.append(each[:, 0].double().cpu().numpy())
    return np.concatenate(parts)


def _check_adapter(adapter: _loading.Source) -> None:
    """Refuse what is no adapter of a causal language model."""
    peft = require("peft", extra="llama")
    file = Path(adapter.path) / "adapter_config.json"
    if Path(adapter.path).is_dir() and not file.is_file():
        raise ModelError(f"{adapter.name} holds no adapter_config.json: it is not an adapter folder.")
    options = {"local_files_only": adapter.local_files_only}
    task = peft.PeftConfig.from_pretrained(adapter.path, **options).task_type
    if task not in (None, "CAUSAL_LM"):
        raise ModelError(
            f"{adapter.name} is an adapter for {task}, and only one for CAUSAL_LM can be merged into a language model."
        )


def _rows(tokenizer: PreTrainedTokenizerBase, probes: Sequence[Chat] | None) -> list[list[int]]:
    chats = probes if probes is not None else [(Message("user", text),) for text in _PROBES]
    if not chats:
        raise ValueError("probes must hold at least one chat, got none; without one nothing can be checked")
    turns = Turns(tokenizer)
    return [_row(turns, chat) for chat in chats]


def _row(turns: Turns, chat: Chat) -> list[int]:
    if chat and chat[-1].role == "assistant":
        return [*turns.prompt(chat[:-1]), *turns.reply(chat[-1].content)]
    return turns.prompt(chat)


def _nf4_logprobs(base: _loading.Source, adapter: _loading.Source, rows: list[list[int]]) -> NDArray[np.float64]:
    model = _loading.load_model(base, "nf4", None, None)
    return next_token_logprobs(_loading.load_adapter(model, adapter, base).eval(), rows)


def _largest(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(np.abs(left - right).max())


def _describe(staging: Path, result: Merged, base: _loading.Source, adapter: _loading.Source, probes: int) -> None:
    names = {"base": _name(base), "adapter": _name(adapter)}
    digests = {"base": _loading.weights_digest(base.folder), "adapter": _loading.weights_digest(adapter.folder)}
    nf4 = "not measured" if result.nf4_difference is None else f"up to {result.nf4_difference:.2g}"
    measured = {key: value for key, value in asdict(result).items() if key != "folder"}
    card = _CARD.format(
        **{**measured, **names, "name": result.folder.name, "probes": probes, "nf4": nf4},
        base_digest=digests["base"],
        adapter_digest=digests["adapter"],
    )
    (staging / "README.md").write_text(card, encoding="utf-8")
    record = {
        "kind": "merged",
        "base": {"name": names["base"], "digest": digests["base"], "revision": base.revision},
        "adapter": {"name": names["adapter"], "digest": digests["adapter"]},
        "digest": _loading.weights_digest(staging),
        "agreement": {**measured, "probes": probes},
        "versions": package_versions("torch", "transformers", "peft"),
    }
    write_json(staging / "radrag.json", record)
    config = json.loads((staging / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # a path on this machine says nothing elsewhere
    write_json(staging / "config.json", config)


def _name(source: _loading.Source) -> str:
    return Path(source.name).name if Path(source.name).exists() else source.name
