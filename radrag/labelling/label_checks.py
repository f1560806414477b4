"""What must hold of labels before they make a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from radrag.types import Label

_TEXTS = ("name", "definition", "parent")
_LISTS = ("synonyms", "examples")


def checked_labels(labels: Iterable[Label]) -> Iterator[Label]:
    """Yield labels, their lists as tuples.

    Raises:
        ValueError: If there is none, an id is blank or occurs twice, or a field is not of its type or blank.
    """
    seen: set[str] = set()
    for label in labels:
        if not isinstance(label.id, str) or not label.id.strip():
            raise ValueError(f"a label's id must be text that is not blank, got {label.id!r}")
        if label.id in seen:
            raise ValueError(f"the label {label.id!r} occurs twice; ids must be unique")
        seen.add(label.id)
        yield _checked_fields(label)
    if not seen:
        raise ValueError("a label set must hold at least 1 label, got none")


def _checked_fields(label: Label) -> Label:
    """Return the label with its lists as tuples."""
    for field in _TEXTS:
        value = getattr(label, field)
        if not isinstance(value, str) or (value and not value.strip()):
            raise ValueError(f"{field} of the label {label.id!r} must be text that is not blank, got {value!r:.60}")
    lists: dict[str, tuple[str, ...]] = {}
    for field in _LISTS:
        value = getattr(label, field)
        if not isinstance(value, list | tuple):
            raise ValueError(f"{field} of the label {label.id!r} must be a list or tuple of texts, got {value!r:.60}")
        if not all(isinstance(part, str) and part.strip() for part in value):
            raise ValueError(f"{field} of the label {label.id!r} must be texts that are not blank, got {value!r:.60}")
        lists[field] = tuple(value)
    if all(getattr(label, field) == value for field, value in lists.items()):
        return label
    return replace(label, synonyms=lists["synonyms"], examples=lists["examples"])


def check_parents(labels: Mapping[str, Label]) -> None:
    """Refuse a parent that is not there, and labels that are their own ancestors.

    Raises:
        ValueError: If that is so; it names the label.
    """
    for label in labels.values():
        if label.parent and label.parent not in labels:
            raise ValueError(
                f"the parent {label.parent!r} of the label {label.id!r} is not in the set; add it as a label, or leave "
                "the parent out"
            )
    sound: set[str] = set()
    for id in labels:
        path = [id]
        for above in upwards(labels, id):
            if above in path:
                circle = " -> ".join([*path[path.index(above) :], above])
                raise ValueError(f"labels must not be their own ancestors, got {circle}; correct one of the parents")
            if above in sound:
                break
            path.append(above)
        sound.update(path)


def upwards(labels: Mapping[str, Label], id: str) -> Iterator[str]:
    """Yield the parent of a label, the parent's parent and so on."""
    while parent := labels[id].parent:
        yield parent
        id = parent
