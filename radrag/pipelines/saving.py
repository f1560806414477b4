"""The settings of a question pipeline as JSON, and what differs between two manifests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radrag.errors import ModelError
from radrag.indexes.filters import Range, Where
from radrag.types import GenerationParams

FILE = "pipeline.json"
FORMAT = 1
_OF_THE_QUESTION = ("question_sha256", "patient", "form", "options_sha256")


def question_hash(question: str) -> str:
    """Return the sha256 of a question. It hides nothing from one who guesses: a short question is soon found."""
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()


def differences(given: Mapping[str, Any], own: Mapping[str, Any], question: str | None = None) -> tuple[str, ...]:
    """Say in what a manifest differs from what a pipeline would write now, a line each; none if it is the same.

    Args:
        given: The manifest of an answer.
        own: The pipeline's.
        question: The question of that answer, if it is at hand: then its hash is compared too.
    """
    return tuple(_differences(given, own, question))


def _differences(given: Mapping[str, Any], own: Mapping[str, Any], question: str | None) -> Iterator[str]:
    for name in dict.fromkeys((*own, *given)):
        if name in _OF_THE_QUESTION:
            continue
        one, two = (_stated(manifest, name) for manifest in (given, own))
        if one != two:
            yield f"{name}: the manifest has {one}, this pipeline {two}"
    if question is not None and given.get("question_sha256") != question_hash(question):
        yield "question: it is not the one that was answered, or was rewritten then"


def _stated(manifest: Mapping[str, Any], name: str) -> str:
    return json.dumps(manifest[name], sort_keys=True, ensure_ascii=False) if name in manifest else "nothing"


def plain_where(where: Where | None) -> dict[str, Any] | None:
    """Return a filter as JSON values: ranges as ``{"low": ..., "high": ...}``, sets as sorted lists."""
    return None if where is None else {field: _plain(wanted) for field, wanted in where.items()}


def where_from_plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the filter that ``plain_where`` wrote."""
    if value is None:
        return None
    return {
        field: Range(wanted["low"], wanted["high"]) if isinstance(wanted, Mapping) else wanted
        for field, wanted in value.items()
    }


def _plain(wanted: Any) -> Any:
    if isinstance(wanted, Range):
        return {"low": wanted.low, "high": wanted.high}
    if isinstance(wanted, set | frozenset):
        return sorted(wanted, key=lambda one: (str(type(one)), one))
    return list(wanted) if isinstance(wanted, tuple) else wanted


def write_settings(
    folder: str | Path, options: Mapping[str, Any], retrieves: bool, manifest: Mapping[str, Any]
) -> None:
    """Write a pipeline's options and manifest to a folder, which is made if need be; one that is there is replaced."""
    params: GenerationParams | None = options["params"]
    plain = {
        **options,
        "where": plain_where(options["where"]),
        "params": None if params is None else asdict(params),
    }
    stored = {"format": FORMAT, "options": plain, "retrieves": retrieves, "manifest": dict(manifest)}
    target = Path(folder) / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    text = json.dumps(stored, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(target)


def read_settings(folder: str | Path) -> tuple[dict[str, Any], bool, dict[str, Any]]:
    """Read what ``write_settings`` wrote: options, whether it retrieves, and the manifest.

    Raises:
        ModelError: If there is none, or it cannot be read.
    """
    path = Path(folder) / FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format {FORMAT} is expected, got {stored['format']!r}")
        options, params = dict(stored["options"]), stored["options"]["params"]
        options["where"] = where_from_plain(options["where"])
        if params is not None:
            options["params"] = GenerationParams(**{**params, "stop": tuple(params["stop"])})
        return options, bool(stored["retrieves"]), dict(stored["manifest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"no question pipeline in {path}: {error!r}; write one with QAPipeline.save") from error
