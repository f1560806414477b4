"""What changed between two versions of a label set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from radrag.types import Label

if TYPE_CHECKING:
    from radrag.labelling.label_set import LabelSet

_FIELDS = tuple(field.name for field in fields(Label) if field.name != "id")
_LISTED = 20


@dataclass(frozen=True, slots=True)
class LabelChange:
    """A field of a label that differs.

    Attributes:
        id: The label, as the newer set calls it.
        field: Such as ``"name"`` or ``"definition"``.
        before: Its value in the older set.
        after: Its value in the newer set.
    """

    id: str
    field: str
    before: str | tuple[str, ...]
    after: str | tuple[str, ...]

    def __str__(self) -> str:
        if isinstance(self.before, str) or isinstance(self.after, str):
            return f"{self.id}: {self.field} {self.before!r} -> {self.after!r}"
        gone = [f"-{one!r}" for one in self.before if one not in self.after]
        new = [f"+{one!r}" for one in self.after if one not in self.before]
        return f"{self.id}: {self.field} {' '.join([*gone, *new]) or 'in another order'}"


@dataclass(frozen=True, slots=True)
class LabelSetDiff:
    """What changed from one label set to another.

    Predictions hold ids, so those made with the older set can be read with the newer one but for ``removed`` and
    ``renamed``.

    Attributes:
        before: Fingerprint of the older set.
        after: Fingerprint of the newer set.
        added: Ids that only the newer set has, in its order.
        removed: Ids that only the older set has, in its order.
        renamed: Old and new id of labels that kept their name, or else their definition, under another id.
        changed: Fields that differ, of labels with the same id or renamed.
        reordered: Whether labels that both have stand in another order.
        exclusive: Whether a note has exactly one label, before and after.
    """

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    changed: tuple[LabelChange, ...]
    reordered: bool
    exclusive: tuple[bool, bool]

    def __bool__(self) -> bool:
        return self.before != self.after

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"label set {self.before[:12]} -> {self.after[:12]}" + ("" if self else ": the same")
        if self.exclusive[0] != self.exclusive[1]:
            yield f"exclusive: {self.exclusive[0]} -> {self.exclusive[1]}"
        yield from _listed("added", self.added)
        yield from _listed("removed", self.removed)
        yield from _listed("renamed", (f"{old} -> {new}" for old, new in self.renamed))
        yield from _listed("changed", map(str, self.changed))
        if self.reordered:
            yield "the order of the labels differs"


def diff_labels(before: LabelSet, after: LabelSet) -> LabelSetDiff:
    """Compare two sets, label by label."""
    gone = {label.id: label for label in before if label.id not in after}
    new = {label.id: label for label in after if label.id not in before}
    renamed: dict[str, str] = {}
    for key in (_by_name, _by_definition):
        renamed |= _matched(gone, new, renamed, key)
    back = {new_id: old_id for old_id, new_id in renamed.items()}
    pairs = [(before[back.get(label.id, label.id)], label) for label in after if label.id in before or label.id in back]
    order = [id for id in before.ids if id in after]
    return LabelSetDiff(
        before=before.fingerprint,
        after=after.fingerprint,
        added=tuple(id for id in new if id not in back),
        removed=tuple(id for id in gone if id not in renamed),
        renamed=tuple((id, renamed[id]) for id in gone if id in renamed),
        changed=tuple(change for old, label in pairs for change in _changes(old, label, renamed)),
        reordered=order != [id for id in after.ids if id in before],
        exclusive=(before.exclusive, after.exclusive),
    )


def _changes(old: Label, label: Label, renamed: Mapping[str, str]) -> Iterator[LabelChange]:
    for field in _FIELDS:
        left, right = getattr(old, field), getattr(label, field)
        if field == "parent" and renamed.get(left) == right:
            continue  # the same parent under its new id
        if left != right:
            yield LabelChange(label.id, field, left, right)


def _by_name(label: Label) -> str:
    return " ".join(label.name.casefold().split())


def _by_definition(label: Label) -> str:
    return " ".join(label.definition.casefold().split())


def _matched(
    gone: Mapping[str, Label], new: Mapping[str, Label], known: Mapping[str, str], key: Callable[[Label], str]
) -> dict[str, str]:
    """Return old to new ids of labels whose key is the same and that nobody else has, on either side."""
    taken = set(known.values())
    left = _unique((id, key(label)) for id, label in gone.items() if id not in known)
    right = _unique((id, key(label)) for id, label in new.items() if id not in taken)
    return {id: right[value] for value, id in left.items() if value in right}


def _unique(keys: Iterable[tuple[str, str]]) -> dict[str, str]:
    held = [(id, value) for id, value in keys if value]
    times = Counter(value for _, value in held)
    return {value: id for id, value in held if times[value] == 1}


def _listed(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield f"{title} ({len(found)}):"
        yield from (f"  {line}" for line in found[:_LISTED])
    if len(found) > _LISTED:
        yield f"  and {len(found) - _LISTED} more"
