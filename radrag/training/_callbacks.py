"""What watches a run: loss that is no number, early stopping, progress.

None of them keeps a state of its own: what they decide follows from the log, which a checkpoint holds, so that a
resumed run decides as an uninterrupted one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radrag.errors import TrainingError, require
from radrag.training.config import QLoraConfig


def callbacks(config: QLoraConfig) -> list[Any]:
    """Return the callbacks of a run, for a trainer's ``callbacks``."""
    base = require("transformers", extra="llama").TrainerCallback
    watching: list[Any] = [_Finite(config.lr), _Progress()]
    if config.patience is not None:
        watching.append(_Stopping(config.patience))
    # The trainer's base class is not to be imported before it is needed.
    return [_with_base(one, base) for one in watching]


def _with_base(watching: Any, base: type) -> Any:
    watching.__class__ = type(type(watching).__name__, (type(watching), base), {})
    return watching


def stopped_early(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Return whether the last ``patience`` evaluations of a log brought no lower loss."""
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    return patience is not None and bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


class _Finite:
    """Stops a run whose loss or gradient is no number, before that is saved."""

    def __init__(self, lr: float) -> None:
        self._lr = lr

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        control.should_log = control.should_log or control.should_save  # so that only what was looked at is saved
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **kwargs: Any) -> None:
        wrong = {key: logs[key] for key in ("loss", "grad_norm", "eval_loss") if not math.isfinite(logs.get(key, 0))}
        if not wrong:
            return
        saved = sorted(Path(args.output_dir).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        kept = f"The last good checkpoint is {saved[-1]}." if saved else "No checkpoint was made before."
        named = ", ".join(f"{key} {value}" for key, value in wrong.items())
        raise TrainingError(
            f"Training stopped at step {state.global_step}: {named}. {kept} Lower lr (it is {self._lr:g}), "
            "lengthen warmup, or look for broken records; then delete the work folder or name another out."
        )


class _Stopping:
    """Ends a run when the validation loss has not fallen for some evaluations."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if stopped_early(state.log_history, self._patience):
            control.should_training_stop = True
        return control


class _Progress:
    """Shows a bar on stderr where that is a terminal."""

    _bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            tqdm = require("tqdm", extra="llama").tqdm
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, file=sys.stderr, disable=None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **kwargs: Any) -> None:
        if self._bar is not None and "loss" in logs:
            self._bar.set_postfix_str(f"loss {logs['loss']:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
