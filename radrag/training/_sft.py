"""trl's SFTTrainer with less to compute on a CPU, and with a validation loss that counts every token once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from radrag.errors import require
from radrag.training._packing import IGNORED

if TYPE_CHECKING:
    from torch import Tensor


@cache
def trainer_kind() -> type:
    """Make the class; trl is not to be imported before it is needed."""
    torch = require("torch", extra="llama")

    class Trainer(require("trl", extra="train").SFTTrainer):  # type: ignore[misc]
        control: Any

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Tensor | int | None = None,
        ) -> Any:
            """Return the summed loss by the number of labels.

            On CUDA trl's kernel computes it without logits. On a CPU that kernel projects every position, here only
            those with a label are.
            """
            if return_outputs or inputs["input_ids"].device.type != "cpu":
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            following = inputs["labels"][:, 1:]
            kept = following != IGNORED
            given = {name: value for name, value in inputs.items() if name != "labels"}
            with _projecting(self.model.get_output_embeddings(), kept):
                logits = model(**given, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), following[kept], reduction="sum")
            if num_items_in_batch is None:
                return loss / kept.sum().clamp(min=1)
            # DDP averages over the processes what is to be summed.
            return loss / num_items_in_batch * self.accelerator.num_processes

        def evaluate(
            self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
        ) -> dict[str, float]:
            """Return the loss per label over all of a dataset; the mean of batches would weight short ones more."""
            self.model.eval()
            total, count = torch.zeros((), dtype=torch.float64), 0
            for inputs in self.get_eval_dataloader(eval_dataset):
                batch = self._prepare_inputs(inputs)
                with torch.no_grad(), self.accelerator.autocast():
                    summed = self.compute_loss(self.model, dict(batch), num_items_in_batch=torch.tensor(1))
                total += summed.detach().double().cpu() / self.accelerator.num_processes
                count += int((batch["labels"][:, 1:] != IGNORED).sum())
            sums = torch.stack([total.float(), torch.tensor(float(count))]).to(self.args.device)
            total, count = self.accelerator.reduce(sums, "sum").tolist()
            metrics = {f"{metric_key_prefix}_loss": total / max(count, 1)}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    return Trainer


@contextmanager
def _projecting(head: Any, kept: Tensor) -> Iterator[None]:
    """Let the language model's head see only the positions before those that are kept, as ``[kept, hidden]``."""
    handle = head.register_forward_pre_hook(lambda module, given: (given[0][:, :-1][kept], *given[1:]))
    try:
        yield
    finally:
        handle.remove()


def sft_trainer(**given: Any) -> Any:
    """Make the trainer, on rows that are tokens already."""
    return trainer_kind()(**given)


def sft_settings(eos_token: str | None) -> Mapping[str, Any]:
    """Arguments of ``trl.SFTConfig`` that leave tokens, packing and batches to ``_packing``."""
    return {
        "packing": False,
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "completion_only_loss": True,
        "eos_token": eos_token,
    }
