"""Results of a labeller as columns of a table, for files, pandas and the datasets library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from radrag.errors import ModelError, require

if TYPE_CHECKING:
    import pandas as pd


class Labeller(Protocol):
    """What labels texts: a ``LabelPipeline`` or a ``FindingsPipeline``."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What its results rest on."""

    def batch(self, texts: Sequence[str], /) -> Sequence[Any]:
        """Return a result for each text, in order, with ``label`` or ``findings`` among its attributes."""


ERROR = "error"


def columns_of(result: Any) -> dict[str, Any]:
    """Return one result as JSON values by column: a label with what backs it, or the status of each finding."""
    if hasattr(result, "findings"):
        by_status: dict[str, list[str]] = {"present": [], "uncertain": []}
        for one in result.findings:
            by_status.get(str(one.status), []).append(one.finding)
        cited = [{"finding": name, **_citation(one)} for name, one in result.citations.items()]
        found = [asdict(one) for one in result.findings]
        return {**by_status, "findings": found, "citations": cited, "warnings": list(result.warnings)}
    return {
        "label": result.label,
        "probability": result.probability,
        "set": list(result.set),
        "evidence": [{"start": one.start, "end": one.end, "text": one.text} for one in result.evidence],
        "citations": [_citation(one) for one in result.citations],
        "abstained": bool(getattr(result, "abstained", False)),
        "warnings": list(result.warnings),
    }


def _citation(one: Any) -> dict[str, Any]:
    return {"document_id": one.document_id, "start": one.start, "end": one.end, "quote": one.quote}


def names_of(pipeline: Labeller) -> tuple[str, ...]:
    """Return the columns of a labeller's results, as one result shows them."""
    (shown,) = pipeline.batch(["Chest pain."])
    return tuple(columns_of(shown))


def label_rows(pipeline: Labeller, texts: Sequence[Any], errors: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Label texts; what cannot be labelled gets an ``error`` instead of ending the rest.

    Args:
        pipeline: The labeller.
        texts: What should be texts.
        errors: For each text what is wrong with it already, "" if nothing is; none by default.

    Returns:
        For each text its columns; of one with an error only ``error``, else ``error`` is "".

    Raises:
        ModelError: If the labeller returns another number of results than it got texts, or cannot run at all.
    """
    known = list(errors) or [""] * len(texts)
    wrong = [before or _fault(text) for text, before in zip(texts, known, strict=True)]
    rows: list[dict[str, Any]] = [{ERROR: error} for error in wrong]
    good = [place for place, error in enumerate(wrong) if not error]
    for place, made in zip(good, _results(pipeline, [texts[place] for place in good]), strict=True):
        rows[place] = {ERROR: made} if isinstance(made, str) else {**columns_of(made), ERROR: ""}
    return rows


def _fault(text: Any) -> str:
    if not isinstance(text, str):
        return f"the note is not text but {type(text).__name__}"
    return "" if text.strip() else "the note is blank"


def _results(pipeline: Labeller, texts: Sequence[str]) -> list[Any]:
    """Return results, or for a text that the labeller refuses why."""
    if not texts:
        return []
    try:
        found = list(pipeline.batch(texts))
    except ValueError as error:  # a prompt that is too long for the model, for one, is one too
        if len(texts) == 1:
            return [" ".join(str(error).split())]
        return [one for text in texts for one in _results(pipeline, [text])]
    if len(found) != len(texts):
        raise ModelError(f"the labeller returned {len(found)} results for {len(texts)} notes; it must return one each")
    return found


def flat(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a row with all of these columns; lists and objects as JSON texts, what is missing as None."""
    values = {name: row.get(name) for name in names}
    return {name: as_json(one) if isinstance(one, list | dict) else one for name, one in values.items()}


def as_json(value: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class as_map:
    """Make a labeller a function for ``Dataset.map(function, batched=True)`` of the datasets library.

    It adds the columns that ``predict_file`` writes, lists as JSON texts, and ``error``; rows stay in order. Where a
    data set has a column of such a name, it is replaced, as ``map`` always does.

    Args:
        pipeline: The labeller.
        text: Column of the note.
    """

    def __init__(self, pipeline: Labeller, text: str = "text") -> None:
        self._pipeline, self._text, self._names = pipeline, text, (*names_of(pipeline), ERROR)

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Label a batch of rows, given and returned by column."""
        if self._text not in rows:
            raise ValueError(f"expected a column {self._text!r}, got {', '.join(map(repr, rows))}; name it with text=")
        texts = rows[self._text]
        if isinstance(texts, str):
            raise ValueError("expected columns of rows, got one row; call Dataset.map with batched=True")
        made = [flat(row, self._names) for row in label_rows(self._pipeline, list(texts))]
        return {name: [row[name] for row in made] for name in self._names}


def label_frame(pipeline: Labeller, frame: pd.DataFrame, text: str = "text", *, batch: int = 256) -> pd.DataFrame:
    """Label the notes of a pandas table.

    Args:
        pipeline: The labeller.
        frame: The table, which is not changed.
        text: Column of the note.
        batch: Notes labelled at once.

    Returns:
        A table with the same index and the columns of the results (lists as lists), and ``error``, "" where none;
        ``frame.join(...)`` puts both side by side where the index is unique, ``pandas.concat([...], axis=1)`` too.

    Raises:
        ValueError: If the table has no such column, or two.
    """
    pandas = require("pandas", extra="all")
    if list(frame.columns).count(text) != 1:
        raise ValueError(f"expected one column {text!r}, got {', '.join(map(repr, frame.columns))}; name it with text=")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    names = (*names_of(pipeline), ERROR)
    texts = frame[text].tolist()
    rows = [
        {name: row.get(name) for name in names}
        for start in range(0, len(texts), batch)
        for row in label_rows(pipeline, texts[start : start + batch])
    ]
    return pandas.DataFrame(rows, index=frame.index, columns=list(names))
