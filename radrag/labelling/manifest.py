"""What a labelling pipeline was made with, written beside it and checked before it is used again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.labelling.label_set import LabelSet
from radrag.labelling.rules import Rules
from radrag.protocols import Encoder

FORMAT = 2
SETTINGS = ("coverage", "seed", "tuned", "use", "sets", "risk", "delta")
_NEEDED = frozenset({*SETTINGS, "retrieval", "rules", "label_set", "files"})


def made_with(
    labels: LabelSet, index: HybridIndex, encoder: Encoder, generator: object, rules: Rules | None = None
) -> dict[str, Any]:
    """Return hashes and names of everything that a label rests on besides the examples."""
    return {
        "labels": labels.fingerprint,
        "index": index.manifest["content"],
        "encoder": encoder.fingerprint,
        "tokenizer": tokenizer_fingerprint(),
        "generator": None if generator is None else _name(generator),
        "rules": None if rules is None else rules.fingerprint,
    }


def check_made_with(folder: Path, kept: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse what differs from the time of saving.

    Raises:
        IndexMismatchError: If index, encoder or tokenizer differ.
        ModelError: If the labels or the generator do.
    """
    remedies = {
        "labels": (ModelError, "its label set was altered on disk; save the pipeline again"),
        "index": (
            IndexMismatchError,
            "the index has other documents; open the one it was fitted with, or fit it again",
        ),
        "encoder": (IndexMismatchError, "pass encoder=... as when it was made, or fit it again"),
        "tokenizer": (IndexMismatchError, "this version of radrag splits words otherwise; fit it again"),
        "generator": (
            ModelError,
            "pass the generator that it was fitted with (None if there was none), or fit it again",
        ),
        "rules": (ModelError, "pass the rules that it was fitted with, or fit it again"),
    }
    for key, (error, remedy) in remedies.items():
        if kept.get(key) != here[key]:
            raise error(f"{folder} was made with {key} {kept.get(key)}, but {here[key]} is given: {remedy}")


def stored_labels(labels: LabelSet) -> dict[str, Any]:
    """Return a label set as JSON values."""
    return labels.to_dict()


def read_labels(values: Any) -> LabelSet:
    """Return what ``stored_labels`` gave as a label set.

    Raises:
        ModelError: If it is something else.
    """
    try:
        return LabelSet.from_dict(values)
    except ValueError as error:
        raise ModelError(f"the manifest holds no label set ({error}); save the pipeline again") from error


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file in a folder, by name, but the manifest's."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != "manifest.json":
            with path.open("rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a folder of another format, or whose files are not the ones saved.

    Raises:
        ModelError: If that is so.
    """
    if manifest.get("format") != FORMAT:
        raise ModelError(f"{folder} has format {manifest.get('format')}, this version reads {FORMAT}; fit it again")
    lacking = _NEEDED - manifest.keys()
    if lacking:
        raise ModelError(f"{folder / 'manifest.json'} lacks {', '.join(sorted(lacking))}; save the pipeline again")
    found = file_hashes(folder)
    for name, expected in manifest["files"].items():
        if found.get(name) != expected:
            raise ModelError(f"{folder / name} is missing or is not what was saved; save the pipeline again")


def _name(generator: object) -> str:
    return str(getattr(generator, "fingerprint", None) or type(generator).__qualname__)
