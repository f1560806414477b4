"""Batches of a stream, with a bar on the terminal if asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Iterable[T], size: int, title: str | None, total: int | None) -> Iterator[list[T]]:
    """Yield lists of at most ``size`` items; the bar moves when a batch is done.

    Args:
        items: Any iterable.
        size: Most items of a batch, at least 1.
        title: What the bar says; None for no bar.
        total: Number of items, if known.
    """
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    stream = iter(items)
    with Progress(*columns, disable=title is None) as bar:
        task = bar.add_task(title or "", total=total)
        while batch := list(islice(stream, size)):
            yield batch
            bar.advance(task, len(batch))
