"""A run that goes on where it stopped: what was answered is kept, by what answered it and what was asked."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.memory import PeakMemory
from radrag.evaluation.plain import from_plain, to_plain
from radrag.evaluation.records import Cost
from radrag.evaluation.variants import metered
from radrag.types import Answer, LabelResult

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Answer, LabelResult)}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, after each batch.

    Attributes:
        done: Items answered, those kept from before included.
        total: Items to answer.
        kept: Items that were answered before.
        seconds: Time of the batches so far.
        seconds_left: What the rest will take at the same pace.
        tokens: Tokens read and written so far; None if the system does not count them.
        tokens_left: What the rest will need at the same pace.
    """

    done: int
    total: int
    kept: int
    seconds: float
    seconds_left: float
    tokens: int | None
    tokens_left: int | None


@dataclass(frozen=True, slots=True)
class _Kept:
    output: Any
    seconds: float
    prompt_tokens: float | None
    new_tokens: float | None


class _Store:
    """JSON Lines of outputs by key. A batch is one write, synced; a line that a kill cut off is taken away."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rows: dict[str, _Kept] = {}
        if path is not None and path.is_file():
            self._load(path)

    def _load(self, path: Path) -> None:
        raw = path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with path.open("r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                output = from_plain(_KINDS[row["kind"]], row["output"])
                kept = _Kept(output, float(row["seconds"]), row["prompt_tokens"], row["new_tokens"])
                self.rows[row["key"]] = kept
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a kept output ({error}); delete the file to begin anew"
                ) from error

    def add(self, rows: Sequence[tuple[str, _Kept]]) -> None:
        self.rows.update(rows)
        if self._path is None or not rows:
            return
        lines = "".join(_line(key, kept) for key, kept in rows)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(lines.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())


def _line(key: str, kept: _Kept) -> str:
    row = {
        "key": key, "kind": type(kept.output).__name__, "seconds": kept.seconds, "prompt_tokens": kept.prompt_tokens,
        "new_tokens": kept.new_tokens, "output": to_plain(kept.output),
    }  # fmt: skip
    return json.dumps(row, ensure_ascii=True) + "\n"


class Resumable:
    """A pipeline whose outputs are kept in a file, so that a run that was killed goes on.

    An output is found again by the hash of the pipeline's manifest and of the item's text: another model, index, number
    of passages or version never meets it. At most one batch is lost. Code that was changed without a new version number
    is not seen: delete the file then. The file holds the texts: keep it as you keep them.

    Args:
        system: A ``QAPipeline`` or ``LabelPipeline``, or anything with ``batch`` and a ``manifest`` that says all that
            decides its outputs.
        path: JSON Lines file to keep outputs in; None keeps them in memory only.
        batch_size: Items a batch; what is kept together.
        progress: Called after each batch.
    """

    def __init__(
        self,
        system: Any,
        path: str | Path | None = None,
        *,
        batch_size: int = 32,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.system = system
        self._counted, self._meter = metered(system)
        self._path = None if path is None else Path(path)
        self._size, self._progress = batch_size, progress
        self._store = _Store(self._path)
        self._last: tuple[str, ...] = ()
        self._peak: PeakMemory | None = None

    def __getattr__(self, name: str) -> Any:
        if name in ("system", "_reader", "metered"):  # it is counted here, so nobody else may count it again
            raise AttributeError(name)
        return getattr(self.system, name)

    def without_retrieval(self) -> Resumable:
        """Return the baseline, kept in the same file."""
        return type(self)(self.system.without_retrieval(), self._path, batch_size=self._size, progress=self._progress)

    def batch(self, texts: Iterable[str]) -> list[Any]:
        """Answer items, in order: those that were kept are read, the others are answered in batches and kept."""
        asked = list(texts)
        made_by = json.dumps(to_plain(manifest_of(self.system)), sort_keys=True)
        keys = tuple(
            hashlib.sha256(f"{made_by}\x00{text}".encode("utf-8", "surrogatepass")).hexdigest() for text in asked
        )
        missing = list(
            {key: text for key, text in zip(keys, asked, strict=True) if key not in self._store.rows}.items()
        )
        if missing:
            with PeakMemory() as self._peak:
                self._run(missing, len(set(keys)) - len(missing))
        self._last = keys
        return [self._store.rows[key].output for key in keys]

    def _run(self, missing: Sequence[tuple[str, str]], kept: int) -> None:
        seconds, tokens = 0.0, 0.0
        for start in range(0, len(missing), self._size):
            rows = self._answer(missing[start : start + self._size])
            self._store.add(rows)
            seconds += sum(row.seconds for _, row in rows)
            tokens += sum((row.prompt_tokens or 0) + (row.new_tokens or 0) for _, row in rows)
            if self._progress is not None:
                done = start + len(rows)
                left = (len(missing) - done) / done
                counts = (None, None) if self._meter is None else (round(tokens), round(tokens * left))
                self._progress(Progress(kept + done, kept + len(missing), kept, seconds, seconds * left, *counts))

    def cost(self, name: str) -> Cost:
        """Return what the last items took when they were answered, be it in this run or in one before.

        Memory is that of this run, and unknown (0) if nothing had to be answered.
        """
        rows = [self._store.rows[key] for key in self._last]
        counts = [[row.prompt_tokens for row in rows], [row.new_tokens for row in rows]]
        known = [None if None in one else round(sum(one)) for one in counts]  # type: ignore[arg-type]
        peak = self._peak or PeakMemory()
        seconds = round(sum(row.seconds for row in rows), 3)
        return Cost(name, seconds, len(rows), known[0], known[1], peak.bytes, peak.own, peak.gpu_bytes)

    def _answer(self, part: Sequence[tuple[str, str]]) -> list[tuple[str, _Kept]]:
        meter = self._meter
        before = _counts(meter)
        began = time.perf_counter()
        outputs = list(self._counted.batch([text for _, text in part]))
        share = (time.perf_counter() - began) / len(part)
        if len(outputs) != len(part):
            raise ValueError(f"{len(outputs)} outputs for {len(part)} items; batch must give one each")
        used = [
            None if a is None or b is None else (b - a) / len(part) for a, b in zip(before, _counts(meter), strict=True)
        ]
        return [(key, _Kept(output, share, *used)) for (key, _), output in zip(part, outputs, strict=True)]


def _counts(meter: Any) -> tuple[int | None, int | None]:
    return (None, None) if meter is None else (meter.prompt_tokens, meter.new_tokens)


def manifest_of(system: Any) -> dict[str, Any]:
    """Return what decides a system's outputs, whatever is asked.

    Raises:
        TypeError: If it does not say.
    """
    made = getattr(system, "manifest", None)
    made = made() if callable(made) else made
    if not isinstance(made, dict):
        raise TypeError(
            f"{type(system).__name__} has no manifest, so its outputs cannot be told from those of another system; "
            "give it a 'manifest' with all that decides its outputs, or run it without keeping them"
        )
    return {key: value for key, value in made.items() if key != "question_sha256"}


def with_cost(made: Comparison, system: Any, baseline: Any) -> Comparison:
    """Return a comparison with the cost of both sides as they were answered, not as they were read back."""
    sides = (system, baseline)
    cost = tuple(
        side.cost(one.side) if isinstance(side, Resumable) else one for side, one in zip(sides, made.cost, strict=True)
    )
    return replace(made, cost=cost)
