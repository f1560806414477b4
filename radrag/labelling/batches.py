"""Labelling files of any size: in order, in constant memory, resumed after a kill, with errors in their rows."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from radrag.errors import CorpusError
from radrag.labelling.batch_columns import ERROR, Labeller, label_rows, names_of
from radrag.labelling.batch_draft import Draft, file_digest, finished
from radrag.labelling.batch_rows import Record, format_of, read_records

BATCH = 256
ROW = "row"
_MOST_KINDS = 20  # of errors told apart, so that memory stays constant
_VARIABLE = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a run has come.

    Attributes:
        rows: Records done, those of earlier runs included.
        errors: How many of them have an error.
        seconds: Time this run has taken.
        rate: Records a second of this run.
    """

    rows: int
    errors: int
    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What a run made.

    Attributes:
        target: The output.
        rows: Records of the source, one row of the output for each.
        errors: Rows with an error.
        kinds: How often each error occurs, numbers and quoted names in it left out.
        resumed_at: Records that earlier runs had done.
        seconds: Time this run took.
        manifest: What the output rests on, as it stands in the file beside it.
    """

    target: Path
    rows: int
    errors: int
    kinds: Mapping[str, int]
    resumed_at: int
    seconds: float
    manifest: Mapping[str, Any]

    @property
    def labelled(self) -> int:
        """Rows that got a result."""
        return self.rows - self.errors

    def __str__(self) -> str:
        head = f"{self.rows:,} rows, {self.labelled:,} labelled, {self.errors:,} with an error: {self.target}"
        return "\n".join([head, *(f"  {count:,} x {kind}" for kind, count in self.kinds.items())])


def predict_file(
    pipeline: Labeller,
    source: str | Path,
    target: str | Path,
    *,
    text: str = "text",
    id: str | None = None,
    keep: Sequence[str] = (),
    resume: bool = True,
    batch: int = BATCH,
    progress: Callable[[BatchProgress], None] | None = None,
) -> BatchSummary:
    """Label a file of notes, however large, into a file with a row for each record, in order.

    A note that is blank, a record that cannot be read and a note that the labeller refuses get a row with ``error``.
    After a kill the same call goes on where it stopped, and the output is the same to the byte. It appears under its
    name when it is whole, with ``<target>.manifest.json`` beside it. Batches are the same in both cases, as what is
    said about a whole batch (a drift) may depend on them.

    Args:
        pipeline: What labels, such as a ``LabelPipeline`` or a ``FindingsPipeline``.
        source: ``.csv`` or ``.jsonl``, gzipped or not, or ``.parquet``.
        target: The same kinds. In CSV and Parquet, lists are JSON texts.
        text: Column or key of the note.
        id: Column or key of the record's name, kept as ``id``.
        keep: Other columns to take over.
        resume: Whether to go on with an unfinished run and to accept a finished one. False begins anew, and replaces a
            target that is there.
        batch: Notes labelled at once; a kill costs at most so many.
        progress: Told after each batch.

    Returns:
        Counts, and the manifest.

    Raises:
        CorpusError: If the source cannot be used as a whole (it is not there, is cut off, lacks a column), or the
            target was made from something else.
        ModelError: If the labeller cannot run; what was done is kept.
        ValueError: If a kept column has the name of one that is written.
    """
    source, target, start = Path(source), Path(target), time.perf_counter()
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    format_of(source), format_of(target)
    if source.resolve() == target.resolve():
        raise ValueError(f"target must be another file than source, got {target} for both")
    names = _output_names(names_of(pipeline), id, keep)
    key = _key(pipeline, source, text, id, keep, batch)
    done = finished(target, key) if resume else None
    if done is not None:
        return BatchSummary(target, done["rows"], done["errors"], done["kinds"], done["rows"], 0.0, done)
    draft = Draft(target, names, key, resume=resume)
    try:
        resumed_at = draft.progress.rows
        columns = list(dict.fromkeys([text, *([] if id is None else [id]), *keep]))
        records = islice(read_records(source, columns), resumed_at, None)
        for part in _parts(records, batch):
            if not draft.progress.rows:
                _refuse_wrong_name(part, text, source)
            rows, kinds = _labelled(pipeline, part, draft.progress.rows, text, id, keep)
            draft.write(rows, _limited(kinds, draft.progress.errors))
            if progress is not None:
                progress(_told(draft, resumed_at, start))
        manifest = _manifest(pipeline, key, source, draft)
        made = draft.finish(manifest)
    finally:
        draft.close()
    seconds = time.perf_counter() - start
    return BatchSummary(target, made["rows"], made["errors"], made["kinds"], resumed_at, seconds, made)


def _output_names(results: Sequence[str], id: str | None, keep: Sequence[str]) -> list[str]:
    own = [ROW, *([] if id is None else ["id"])]
    if isinstance(keep, str):
        raise ValueError(f"keep must be a list of columns, got the text {keep!r}; write [{keep!r}]")
    taken = {ROW, "id", *results, ERROR}
    for name in keep:
        if name in taken or list(keep).count(name) > 1:
            raise ValueError(
                f"keep holds {name!r}, which is written already; rename that column in the source, or leave it out"
            )
    return [*own, *keep, *results, ERROR]


def _key(
    pipeline: Labeller, source: Path, text: str, id: str | None, keep: Sequence[str], batch: int
) -> dict[str, Any]:
    """Return all that decides the output."""
    made = json.dumps(dict(pipeline.manifest), sort_keys=True, ensure_ascii=False, default=str)
    return {
        "radrag": version("radrag"),
        "source": file_digest(source)["sha256"],
        "pipeline": hashlib.sha256(made.encode("utf-8")).hexdigest(),
        "text": text,
        "id": id,
        "keep": list(keep),
        "batch": batch,
    }


def _parts(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    while part := list(islice(records, size)):
        yield part


def _refuse_wrong_name(part: Sequence[Record], text: str, source: Path) -> None:
    """Raise where no record of the first batch has the note's key: then its name is wrong, not the records."""
    readable = [record for record in part if record.values or record.error.startswith("has no ")]
    if readable and not any(text in record.values for record in readable):
        raise CorpusError(
            f"none of the first {len(readable)} records has {text!r}; name the key of the note with text=", file=source
        )


def _labelled(
    pipeline: Labeller, part: Sequence[Record], before: int, text: str, id: str | None, keep: Sequence[str]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the rows of the output for some records, and their errors."""
    made = label_rows(pipeline, [record.values.get(text) for record in part], [record.error for record in part])
    rows = []
    for place, (record, row) in enumerate(zip(part, made, strict=True), start=before + 1):
        own = {} if id is None else {"id": record.values.get(id)}
        rows.append({ROW: place, **own, **{name: record.values.get(name) for name in keep}, **row})
    return rows, Counter(_VARIABLE.sub("_", row[ERROR]) for row in made if row[ERROR])


def _limited(kinds: Mapping[str, int], known: Mapping[str, int]) -> Counter[str]:
    """Put errors that are new under "other" once there are too many kinds."""
    found: Counter[str] = Counter()
    for kind, count in kinds.items():
        new = kind not in known and kind not in found
        found["other" if new and len({*known, *found}) >= _MOST_KINDS else kind] += count
    return found


def _told(draft: Draft, resumed_at: int, start: float) -> BatchProgress:
    seconds = time.perf_counter() - start
    rows = draft.progress.rows
    return BatchProgress(rows, sum(draft.progress.errors.values()), seconds, (rows - resumed_at) / max(seconds, 1e-9))


def _manifest(pipeline: Labeller, key: Mapping[str, Any], source: Path, draft: Draft) -> dict[str, Any]:
    progress, read = draft.progress, file_digest(source)
    if read["sha256"] != key["source"]:
        raise CorpusError("changed while it was read; call again with resume=False (--anew)", file=source)
    described = json.loads(json.dumps(dict(pipeline.manifest), ensure_ascii=False, default=str))
    return {
        "key": dict(key),
        "source": {"name": source.name, **read},
        "pipeline": described,
        "rows": progress.rows,
        "errors": sum(progress.errors.values()),
        "kinds": dict(sorted(progress.errors.items())),
    }
